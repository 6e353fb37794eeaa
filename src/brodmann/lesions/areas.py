"""Areas under lesion curves, their ratios, and intervals over prompts and draws together.

A curve of a random order varies with the prompts and with the draw of the order, which are crossed: every order is run
on every prompt. Resampling both (Owen 2007) sees five or ten draws as less spread than they are. So the variance is the
jackknife's, factor by factor (Efron and Stein 1981), the quantile Student's t with Satterthwaite's degrees of freedom
(1946), and a ratio is taken by its logarithm. Planted lognormal draws whose areas vary by a third, 60 prompts: 94 and
95 % of intervals of a ratio cover it (5 and 10 draws), where resampling gave 87 and 91; draws that vary by two thirds
93 and 94. What prompts and draws do together is counted twice: where little else varies, 98 to 99 %. Means of those
draws are covered in 93 and 94 % (resampling: 89 and 92), in 90 and 92 where draws vary by two thirds (82 and 87).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from brodmann.stats import jackknife_variance

COUNTED = 99
"""Draws from which they are counted, without a distribution."""


@dataclass(frozen=True, eq=False)
class Interval:
    """A statistic of any shape "*shape", and its equal-tailed interval element by element."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def ends(self) -> tuple[float, float]:
        """(low, high) of a statistic that is a single number."""
        return float(self.low), float(self.high)


def area(
    share: Float[np.ndarray, " fraction"], values: Float[np.ndarray, "*curve fraction prompt"]
) -> Float[np.ndarray, "*curve prompt"]:
    """Area under curves that start at 0 when nothing is removed (trapezoids).

    Parameters
    ----------
    share : array (fraction,)
        Share of the units that is removed, ascending.
    values : array (..., fraction, prompt)
        Divergence, nats.

    Returns
    -------
    array (..., prompt)
        Nats times share removed.

    Examples
    --------
    >>> import numpy as np
    >>> area(np.array([0.1, 0.4]), np.array([[1.0], [3.0]])).round(12).tolist()
    [0.65]
    """
    x = np.concatenate([[0.0], share])
    y = np.concatenate([np.zeros_like(values[..., :1, :]), values], axis=-2)
    return np.asarray(np.trapezoid(y, x, axis=-2))


def crossed_interval(statistic: Callable[..., np.ndarray], sizes: tuple[int, ...], level: float = 0.95) -> Interval:
    """Interval of a statistic over several crossed factors, such as prompts and draws.

    Parameters
    ----------
    statistic : callable
        Weights (k, n) of each factor, rows summing to 1 -> values (k, ...).
    sizes
        Levels of each factor; one with a single level is held as it is.
    level
        Confidence level.

    Raises
    ------
    ValueError
        If every factor has one level.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.random.default_rng(0).normal(1.0, 1.0, (5, 60))
    >>> found = crossed_interval(lambda d, p: np.einsum("kd,dp,kp->k", d, values, p), (5, 60))
    >>> bool(found.low < values.mean() < found.high)
    True
    """
    whole = [np.full((1, n), 1.0 / n) for n in sizes]
    estimate = np.asarray(statistic(*whole), dtype=float)[0]
    left_out = []
    for place, n in enumerate(sizes):
        if n < 2:
            continue
        weights = [np.repeat(each, n, axis=0) for each in whole]
        weights[place] = (np.ones((n, n)) - np.eye(n)) / (n - 1)
        left_out.append(np.asarray(statistic(*weights), dtype=float))
    if not left_out:
        raise ValueError("an interval needs a factor with at least two levels")
    variance, freedom = jackknife_variance(left_out)
    reach = stdtrit(np.where(freedom > 0, freedom, 1.0), (1 + level) / 2) * np.sqrt(variance)
    return Interval(np.asarray(estimate), np.asarray(estimate - reach), np.asarray(estimate + reach))


def mean_interval(values: Float[np.ndarray, "draw fraction prompt"]) -> Interval:
    """Mean over prompts and draws at each fraction, with its interval."""

    def statistic(of_draws: np.ndarray, of_prompts: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("kd,dfp,kp->kf", of_draws, values, of_prompts, optimize=True))

    return crossed_interval(statistic, (values.shape[0], values.shape[2]))


def difference_interval(first: Float[np.ndarray, "draw prompt"], second: Float[np.ndarray, "draw_ prompt"]) -> Interval:
    """Mean of the first minus that of the second, with its interval; both were run on the same prompts."""

    def statistic(of_first: np.ndarray, of_second: np.ndarray, of_prompts: np.ndarray) -> np.ndarray:
        return np.asarray(_mean(first, of_first, of_prompts) - _mean(second, of_second, of_prompts))

    return crossed_interval(statistic, (first.shape[0], second.shape[0], first.shape[1]))


def ratio_interval(first: Float[np.ndarray, "draw prompt"], second: Float[np.ndarray, "draw_ prompt"]) -> Interval:
    """Ratio of two means over prompts and draws, with its interval; both orders were run on the same prompts.

    The interval is that of the logarithm, so it lies around the ratio as 1/x and x do. It is NaN where a mean, or a
    mean with one draw or prompt left out, is not above 0; the ratio itself is NaN where the second mean is not.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.random.default_rng(0).uniform(1, 2, (1, 60))
    >>> float(ratio_interval(3 * one, one).estimate)
    3.0
    """

    def statistic(of_first: np.ndarray, of_second: np.ndarray, of_prompts: np.ndarray) -> np.ndarray:
        both = np.stack([_mean(first, of_first, of_prompts), _mean(second, of_second, of_prompts)])
        logs = np.log(both, out=np.full(both.shape, np.nan), where=both > 0)
        return np.asarray(logs[0] - logs[1])

    found = crossed_interval(statistic, (first.shape[0], second.shape[0], first.shape[1]))
    below = second.mean()
    estimate = np.asarray(first.mean() / below if below > 0 else np.nan)
    low, high = (estimate * np.exp(end - found.estimate) for end in (found.low, found.high))
    return Interval(estimate, np.asarray(low), np.asarray(high))


def ratio_over_sets(
    first: Float[np.ndarray, "draw prompt"],
    second: Float[np.ndarray, "draw_ prompt"],
    random: Float[np.ndarray, "draw__ prompt"],
    largest: float,
) -> Interval:
    """Ratio of two means, its interval with the chance in the set itself: another set, drawn alike, would differ too.

    In logarithms, the reach over prompts and draws (`ratio_interval`) and that over sets (Student's t) add as variances
    do. Draws that are counted need not look normal: there p alone guards support, and only the upper end reaches out,
    by their quantile.

    Parameters
    ----------
    first : array (draw, prompt)
        Areas under the curves of one order.
    second : array (draw, prompt)
        Those of its control, on the same prompts.
    random : array (draw, prompt)
        Those of random orders: how much sets differ where the control is one set.
    largest
        Largest share of the units that an order removes.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> prompts, sets = rng.uniform(1, 2, (1, 60)), rng.uniform(0.8, 1.2, (10, 1))
    >>> given, drawn = ratio_interval(prompts, sets * prompts), ratio_over_sets(prompts, sets * prompts, prompts, 0.4)
    >>> bool(drawn.low < given.low < given.high < drawn.high), float(drawn.estimate) == float(given.estimate)
    (True, True)
    """
    found = ratio_interval(first, second)
    spread, freedom = spread_of_sets(second, random, largest)
    estimate, (low, high) = float(found.estimate), found.ends
    if not (spread >= 0 and low > 0):
        return found
    below, above = math.log(estimate / low), math.log(high / estimate)
    if len(second) >= COUNTED:
        logs = np.log(second.mean(axis=1))
        above = math.hypot(above, float(logs.mean() - np.quantile(logs, 0.025)))
    else:
        reach = float(stdtrit(freedom, 0.975)) * spread
        below, above = math.hypot(below, reach), math.hypot(above, reach)
    return Interval(found.estimate, np.asarray(estimate * math.exp(-below)), np.asarray(estimate * math.exp(above)))


def spread_of_sets(
    second: Float[np.ndarray, "draw prompt"], random: Float[np.ndarray, "draw_ prompt"], largest: float
) -> tuple[float, int]:
    """Standard deviation of the log area by which sets differ, and its degrees of freedom; NaN where it is unknown."""
    single = len(second) == 1
    drawn = (random if single else second).mean(axis=1)
    if len(drawn) < 2 or not (drawn > 0).all():
        return math.nan, 0
    # Controls outside the core are disjoint from it, and disjoint sets differ more than two independent ones: by one
    # over the square root of the share of units that is left at the largest fraction.
    wider = math.sqrt(2 / (1 - largest)) if single else 1.0
    return float(np.log(drawn).std(ddof=1)) * wider, len(drawn) - 1


def _mean(values: np.ndarray, of_draws: np.ndarray, of_prompts: np.ndarray) -> np.ndarray:
    return np.asarray((of_draws @ values * of_prompts).sum(axis=1))

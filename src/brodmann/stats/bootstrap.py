"""Put an interval on an estimate by resampling the unit of inference, usually prompts.

Bias-corrected and accelerated intervals (Efron 1987; Efron and Tibshirani 1993, chapter 14) and percentile intervals.
The statistic is a function of many resamplings at once, so that a mean over prompts is one matrix product:
``lambda weights: weights @ values``. It tests nothing: an interval is not a null model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri, stdtrit

Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """A bootstrapped statistic of any shape "*shape".

    Attributes
    ----------
    estimate, low, high : array (*shape)
        Statistic of the data, and its interval element by element (a pointwise band where the shape is a profile).
    samples : array (draw, *shape)
        The resampled statistics.
    bias, acceleration : array (*shape)
        BCa's z0 and a; 0 for percentile intervals.
    fallback : bool array (*shape)
        Where BCa is undefined (all samples on one side of the estimate) and the percentile interval stands in.
    level, method, n
        Confidence level, "bca" or "percentile", and the number of resampled units.
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    samples: np.ndarray
    bias: np.ndarray
    acceleration: np.ndarray
    fallback: np.ndarray
    level: float
    method: Literal["bca", "percentile"]
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high) of a statistic that is a single number."""
        if self.estimate.ndim:
            raise ValueError(f"the statistic has shape {self.estimate.shape}: read .low and .high")
        return float(self.low), float(self.high)


def resampling_weights(n: int, draws: int, rng: np.random.Generator) -> Float[np.ndarray, "draw unit"]:
    """Draw bootstrap resamplings of n units as weights: how often each was drawn, divided by n; rows sum to 1."""
    return rng.multinomial(n, np.full(n, 1.0 / n), size=draws) / n


def weighted_mean(weights: Float[np.ndarray, "draw unit"], values: np.ndarray) -> np.ndarray:
    """Mean over units under each row of weights: one matrix product; NaN values are left out of their mean.

    Parameters
    ----------
    weights : array (draw, unit)
        Rows of non-negative weights.
    values : array (unit, ...)
        One value (of any shape) per unit.

    Returns
    -------
    array (draw, ...)
        NaN where a resampling holds no finite value.
    """
    flat = np.asarray(values, dtype=float).reshape(values.shape[0], -1)
    known = ~np.isnan(flat)
    if known.all():
        mean = weights @ flat / weights.sum(axis=1, keepdims=True)
    else:
        mass = weights @ known.astype(float)
        mean = np.divide(weights @ np.where(known, flat, 0.0), mass, out=np.full(mass.shape, np.nan), where=mass > 0)
    return np.asarray(mean.reshape(weights.shape[0], *values.shape[1:]))


def bootstrap_interval(
    statistic: Statistic,
    n: int,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
    method: Literal["bca", "percentile"] = "bca",
    given: Literal["weights", "indices"] = "weights",
) -> Bootstrap:
    """Bootstrap a statistic over n exchangeable units.

    Parameters
    ----------
    statistic : callable
        With `given` = "weights": weights (k, n), rows summing to 1 -> values (k, ...). With "indices": drawn units
        (k, m) -> values (k, ...), where m is n, or n - 1 for the jackknife. Called with the data, with all resamplings
        and, for BCa, with the n leave-one-out samples.
    n : int
        Number of units of inference (prompts).
    draws, level
        Resamplings, and the confidence level of the equal-tailed interval.
    method
        "bca" corrects bias and skewness to second order; "percentile" needs no jackknife.

    Raises
    ------
    ValueError
        If there are fewer than two units or the level is not in (0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> values = np.random.default_rng(0).normal(1.0, 1.0, 60)
    >>> result = bootstrap_interval(lambda weights: weights @ values, 60, rng=np.random.default_rng(1))
    >>> [round(end, 2) for end in result.interval]
    [0.86, 1.3]
    """
    if n < 2:
        raise ValueError(f"{n} unit of inference: a bootstrap needs at least two")
    if not 0 < level < 1:
        raise ValueError(f"level = {level} is not between 0 and 1")
    samples, whole, left_out = _resamplings(n, draws, given, rng)
    estimate = np.asarray(np.asarray(statistic(whole), dtype=float)[0])
    drawn = np.asarray(statistic(samples), dtype=float)
    if method == "percentile":
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
        zero = np.zeros(estimate.shape)
        never = np.zeros(estimate.shape, dtype=bool)
        return Bootstrap(estimate, np.asarray(low), np.asarray(high), drawn, zero, zero, never, level, method, n)
    jackknife = np.asarray(statistic(left_out), dtype=float)
    return bca(estimate, drawn, jackknife, level)


def bca(estimate: np.ndarray, samples: np.ndarray, jackknife: np.ndarray, level: float = 0.95) -> Bootstrap:
    """BCa interval from resampled and leave-one-out statistics, element by element.

    Source: Efron and Tibshirani (1993), equations 14.9 to 14.15; ties of a sample with the estimate count half.

    Parameters
    ----------
    estimate : array (*shape)
        Statistic of the data.
    samples : array (draw, *shape)
        Bootstrap statistics.
    jackknife : array (unit, *shape)
        Statistics with each unit left out.
    """
    estimate = np.asarray(estimate, dtype=float)
    share = ((samples < estimate).mean(axis=0) + (samples <= estimate).mean(axis=0)) / 2
    centred = jackknife.mean(axis=0) - jackknife
    spread = (centred**2).sum(axis=0)
    # Rounding leaves a spread of about 1e-32 when all leave-one-out values are equal; its skewness would be noise.
    tiny = (1e-14 * np.abs(jackknife).max(axis=0)) ** 2 * jackknife.shape[0]
    acceleration = np.divide(
        (centred**3).sum(axis=0),
        6 * np.maximum(spread, 1e-300) ** 1.5,
        out=np.zeros(estimate.shape),
        where=spread > tiny,
    )
    inside = (share > 0) & (share < 1)
    bias = np.asarray(ndtri(np.where(inside, share, 0.5)))
    tails = np.array([(1 - level) / 2, (1 + level) / 2]).reshape(2, *[1] * estimate.ndim)
    shifted = bias + ndtri(tails)
    stretch = 1 - acceleration * shifted
    fallback = ~inside | (stretch <= 0).any(axis=0)
    with np.errstate(divide="ignore"):
        corrected = ndtr(bias + shifted / np.where(stretch > 0, stretch, 1.0))
    low, high = _quantiles(samples, np.where(fallback, np.broadcast_to(tails, corrected.shape), corrected))
    return Bootstrap(
        estimate, low, high, samples, np.where(fallback, 0.0, bias),
        np.where(fallback, 0.0, acceleration),
        np.asarray(fallback), level, "bca", jackknife.shape[0],
    )  # fmt: skip


@dataclass(frozen=True)
class Jackknife:
    """Estimate, its jackknife bias, the estimate without it, standard error, and t interval around the latter."""

    estimate: float
    bias: float
    corrected: float
    standard_error: float
    interval: tuple[float, float]
    level: float


def jackknife_interval(estimate: float, left_out: Float[np.ndarray, " group"], level: float = 0.95) -> Jackknife:
    """Interval from leaving out each of g equal groups of prompts in turn, for statistics too slow to bootstrap.

    Bias (g - 1)(mean left out - estimate), variance (g - 1)/g sum (left out - mean)^2 (Quenouille 1956, Tukey 1958),
    t with g - 1 degrees of freedom. The correction removes a bias proportional to 1 / prompts, such as that of a
    network's efficiency or modularity, which noise in its weights raises.

    Examples
    --------
    >>> import numpy as np
    >>> jackknife_interval(2.0, np.array([1.5, 2.0, 2.5])).bias
    0.0
    """
    groups = left_out.size
    if groups < 2:
        raise ValueError("a jackknife needs at least two groups")
    mean = float(left_out.mean())
    bias = (groups - 1) * (mean - estimate)
    error = float(np.sqrt((groups - 1) / groups * ((left_out - mean) ** 2).sum()))
    reach = float(stdtrit(groups - 1, (1 + level) / 2)) * error
    corrected = estimate - bias
    return Jackknife(estimate, bias, corrected, error, (corrected - reach, corrected + reach), level)


def jackknife_variance(left_out: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Variance of a statistic of independent factors or strata, and its degrees of freedom.

    Each contributes (n - 1)/n sum (left out - mean)^2 (Tukey 1958), on average no less than its share of the variance
    (Efron and Stein 1981). Where factors are crossed, what they do together is counted once for each, so the sum errs
    on the wide side. Degrees of freedom after Satterthwaite (1946): (sum of parts)^2 / sum of part^2 / (n - 1).

    Parameters
    ----------
    left_out : sequence of arrays (level, *shape)
        For each factor, the statistic without each of its n levels; a factor with one level is held as it is.

    Returns
    -------
    variance, freedom : arrays (*shape)
        Degrees of freedom are NaN where nothing varies.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([1.0, 2.0, 6.0])
    >>> variance, freedom = jackknife_variance([(values.sum() - values) / 2])
    >>> bool(np.isclose(variance, values.var(ddof=1) / 3)), float(freedom.round(12))
    (True, 2.0)
    """
    variance, squares = np.zeros(left_out[0].shape[1:]), np.zeros(left_out[0].shape[1:])
    for values in left_out:
        n = values.shape[0]
        if n > 1:
            part = (n - 1) / n * ((values - values.mean(axis=0)) ** 2).sum(axis=0)
            variance, squares = variance + part, squares + part**2 / (n - 1)
    freedom = np.divide(variance**2, squares, out=np.full(variance.shape, np.nan), where=squares > 0)
    return np.asarray(variance), np.asarray(freedom)


def simultaneous_band(result: Bootstrap, level: float | None = None) -> Bootstrap:
    """Widen a pointwise band so that it covers the whole profile at once (sup-t).

    Half width: the level's quantile, over draws, of the largest |sample - estimate| / standard error along the profile.
    Elements that do not vary keep zero width. The claim "the profile leaves the band" then has size 1 - level.
    """
    level = result.level if level is None else level
    error = result.samples.std(axis=0, ddof=1)
    # The standard error of an element that does not vary is rounding noise, and so is its ratio.
    error = np.where(error > 1e-12 * np.abs(result.estimate), error, 0.0)
    ratio = np.divide(
        np.abs(result.samples - result.estimate), error, out=np.zeros(result.samples.shape), where=error > 0
    )
    half = np.quantile(ratio.reshape(ratio.shape[0], -1).max(axis=1), level) * error
    zero, never = np.zeros(result.estimate.shape), np.zeros(result.estimate.shape, dtype=bool)
    return Bootstrap(
        result.estimate, np.asarray(result.estimate - half), np.asarray(result.estimate + half), result.samples, zero,
        zero, never, level, "percentile", result.n,
    )  # fmt: skip


def _resamplings(
    n: int, draws: int, given: Literal["weights", "indices"], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if given == "weights":
        left_out = (np.ones((n, n)) - np.eye(n)) / (n - 1)
        return resampling_weights(n, draws, rng), np.full((1, n), 1.0 / n), left_out
    units = np.arange(n)
    others = np.array([np.delete(units, unit) for unit in units])
    return rng.integers(0, n, size=(draws, n)), units[None], others


def _quantiles(samples: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear quantiles along axis 0 at a share that differs from element to element; shares (2, *shape)."""
    ordered = np.sort(samples, axis=0)
    place = shares * (samples.shape[0] - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, samples.shape[0] - 1)
    left, right = np.take_along_axis(ordered, below, axis=0), np.take_along_axis(ordered, above, axis=0)
    found = left + (right - left) * (place - below)
    return np.asarray(found[0]), np.asarray(found[1])

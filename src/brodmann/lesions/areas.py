"""Areas under lesion curves, their ratios, and intervals over prompts and draws together.

A curve of a random order varies with the prompts and with the draw of the order, which are crossed: every order is run
on every prompt. Both are resampled, each with weights of its own (the pigeonhole bootstrap of Owen 2007, which errs on
the wide side), with the bias and skewness corrections of BCa. Verdicts are made elsewhere.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from brodmann.stats import Bootstrap, bca, resampling_weights


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


def crossed_interval(
    statistic: Callable[..., np.ndarray],
    sizes: tuple[int, ...],
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Bootstrap:
    """Bootstrap a statistic over several crossed factors, such as prompts and draws.

    Parameters
    ----------
    statistic : callable
        Weights (k, n) of each factor, rows summing to 1 -> values (k, ...).
    sizes
        Levels of each factor; one with a single level is held as it is.
    rng, draws, level
        As in `stats.bootstrap_interval`.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.random.default_rng(0).normal(1.0, 1.0, (5, 60))
    >>> found = crossed_interval(lambda d, p: np.einsum("kd,dp,kp->k", d, values, p), (5, 60),
    ...                          rng=np.random.default_rng(1))
    >>> bool(found.interval[0] < values.mean() < found.interval[1])
    True
    """
    whole = [np.full((1, n), 1.0 / n) for n in sizes]
    estimate = np.asarray(statistic(*whole), dtype=float)[0]
    drawn = [resampling_weights(n, draws, rng) if n > 1 else np.ones((draws, 1)) for n in sizes]
    samples = np.asarray(statistic(*drawn), dtype=float)
    left_out = []
    for place, n in enumerate(sizes):
        if n < 2:
            continue
        weights = [np.repeat(each, n, axis=0) for each in whole]
        weights[place] = (np.ones((n, n)) - np.eye(n)) / (n - 1)
        values = np.asarray(statistic(*weights), dtype=float)
        # each factor's influence is counted from its own mean
        left_out.append(values - values.mean(axis=0) + estimate)
    if not left_out:
        raise ValueError("a bootstrap needs a factor with at least two levels")
    return bca(np.asarray(estimate), samples, np.concatenate(left_out), level)


def mean_interval(values: Float[np.ndarray, "draw fraction prompt"], rng: np.random.Generator, draws: int) -> Bootstrap:
    """Mean over prompts and draws at each fraction, with its interval."""

    def statistic(of_draws: np.ndarray, of_prompts: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("kd,dfp,kp->kf", of_draws, values, of_prompts, optimize=True))

    return crossed_interval(statistic, (values.shape[0], values.shape[2]), rng=rng, draws=draws)


def ratio_interval(
    first: Float[np.ndarray, "draw prompt"],
    second: Float[np.ndarray, "draw_ prompt"],
    rng: np.random.Generator,
    draws: int,
) -> Bootstrap:
    """Ratio of two means over prompts and draws, with its interval; both orders were run on the same prompts.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.random.default_rng(0).uniform(1, 2, (1, 60))
    >>> float(ratio_interval(3 * one, one, np.random.default_rng(1), 100).estimate)
    3.0
    """

    def statistic(of_first: np.ndarray, of_second: np.ndarray, of_prompts: np.ndarray) -> np.ndarray:
        above = np.einsum("kd,dp,kp->k", of_first, first, of_prompts, optimize=True)
        below = np.einsum("kd,dp,kp->k", of_second, second, of_prompts, optimize=True)
        return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))

    return crossed_interval(statistic, (first.shape[0], second.shape[0], first.shape[1]), rng=rng, draws=draws)

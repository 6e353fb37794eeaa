"""Standardised effect sizes with intervals.

Hedges' g (Hedges 1981), the standardised difference of two means with the small-sample factor
J = 1 - 3/(4 (n1+n2) - 9), as the synergy paper (arXiv 2601.06851) reports it.
Intervals invert the noncentral t distribution (exact for normal groups of equal variance) or bootstrap both groups.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

from brodmann.stats.bootstrap import bca


@dataclass(frozen=True)
class Effect:
    """Hedges' g, its interval, and Cohen's d before the small-sample factor."""

    g: float
    interval: tuple[float, float]
    d: float
    level: float
    method: Literal["noncentral", "bootstrap"]


def hedges_g(
    first: Float[np.ndarray, " run"],
    second: Float[np.ndarray, " run_"],
    *,
    level: float = 0.95,
    method: Literal["noncentral", "bootstrap"] = "noncentral",
    rng: np.random.Generator | None = None,
    draws: int = 2000,
) -> Effect:
    """Hedges' g of two independent groups: J (mean first - mean second) / pooled standard deviation.

    Parameters
    ----------
    first, second : arrays (run,), (run_,)
        Values of both groups, at least two each.
    method
        "noncentral" (exact under normality and equal variances) or "bootstrap" (BCa, each group resampled; needs `rng`
        and is unreliable under about ten runs per group).

    Raises
    ------
    ValueError
        If a group has fewer than two values, or neither varies.

    Examples
    --------
    >>> import numpy as np
    >>> effect = hedges_g(np.array([3.0, 4.0, 5.0]), np.array([1.0, 2.0, 3.0]))
    >>> round(effect.g, 3)
    1.6
    """
    n1, n2 = first.size, second.size
    if min(n1, n2) < 2:
        raise ValueError("Hedges' g needs at least two values per group")
    df = n1 + n2 - 2
    shrink = 1 - 3 / (4 * (n1 + n2) - 9)
    d = float(_cohen(first[None], second[None])[0])
    if math.isnan(d):
        raise ValueError("neither group varies, so the difference has no standard deviation to be measured in")
    if method == "bootstrap":
        if rng is None:
            raise ValueError("a bootstrap needs a Generator")
        drawn = _cohen(first[rng.integers(0, n1, (draws, n1))], second[rng.integers(0, n2, (draws, n2))])
        left_out = np.concatenate([
            _cohen(_without_each(first), np.broadcast_to(second, (n1, n2))),
            _cohen(np.broadcast_to(first, (n2, n1)), _without_each(second)),
        ])  # fmt: skip
        # A resampling that repeats one value throughout both groups has no spread; it says nothing about the effect.
        drawn, left_out = drawn[np.isfinite(drawn)], left_out[np.isfinite(left_out)]
        low, high = bca(np.asarray(d), drawn, left_out, level).interval
        return Effect(shrink * d, (shrink * low, shrink * high), d, level, method)
    root = math.sqrt(n1 * n2 / (n1 + n2))
    low = _noncentrality(d * root, df, (1 + level) / 2) / root
    high = _noncentrality(d * root, df, (1 - level) / 2) / root
    return Effect(shrink * d, (shrink * low, shrink * high), d, level, method)


def _cohen(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    n1, n2 = first.shape[-1], second.shape[-1]
    pooled = ((n1 - 1) * first.var(axis=-1, ddof=1) + (n2 - 1) * second.var(axis=-1, ddof=1)) / (n1 + n2 - 2)
    difference = first.mean(axis=-1) - second.mean(axis=-1)
    return np.asarray(np.divide(difference, np.sqrt(pooled), out=np.full(difference.shape, np.nan), where=pooled > 0))


def _without_each(values: np.ndarray) -> np.ndarray:
    if values.size < 3:
        return np.empty((0, values.size - 1))
    return np.array([np.delete(values, index) for index in range(values.size)])


def _noncentrality(t: float, df: int, share: float) -> float:
    """Noncentrality at which P(T <= t) = share; the cumulative distribution falls as the noncentrality grows."""

    def excess(noncentrality: float) -> float:
        reached = float(stats.nct.cdf(t, df, noncentrality))
        if math.isnan(reached):  # scipy loses the far tails, where the distribution is 0 or 1 to all digits
            reached = 1.0 if noncentrality < t else 0.0
        return reached - share

    width = 8.0 + 4.0 * abs(t)
    return float(optimize.brentq(excess, t - width, t + width, xtol=1e-10))

"""How far has a network come since step 0? The degree of emergence, and what speaks against reading it as such.

E(t) = (w_t / w_0) ln(alpha0_0 / alpha0_t), natural logarithm, E(0) = 0 (Xiao et al., arXiv 2402.09099, and the
released code). The number is not scale-free: noise whose deviation alone grows gives E as large as training does, so
`Emergence` always stands beside the same formula for matched noise (`nulls`), and beside plain baselines.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import stats

from brodmann.fractal.resampling import Replicates

Array = NDArray[np.float64]
Numbers = float | np.float64 | Array


def degree(alpha0: Numbers, width: Numbers, alpha0_first: Numbers, width_first: Numbers) -> Array:
    """Degree of emergence; NaN where it is undefined (an exponent or the first width is not positive).

    Examples
    --------
    >>> round(float(degree(1.2, 0.9, 1.5, 0.6)), 4)
    0.3347
    """
    last, first = np.asarray(alpha0, dtype=np.float64), np.asarray(alpha0_first, dtype=np.float64)
    wide, narrow = np.asarray(width, dtype=np.float64), np.asarray(width_first, dtype=np.float64)
    defined = (last > 0) & (first > 0) & (narrow > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(defined, wide / narrow * np.log(first / last), np.nan)


@dataclass(frozen=True)
class Point:
    """alpha0 and width of one network."""

    alpha0: float
    width: float


def around(at: Point, drawn: Float[Array, "network exponent"], draws: int) -> Replicates:
    """Replicates of a beginning that was one network of those that were drawn, nobody knows which.

    Parameters
    ----------
    at
        Their mean.
    drawn : (network, 2)
        alpha0 and width of each.
    draws
        How many replicates; the networks take turns.
    """
    stretch = np.sqrt(len(drawn) / (len(drawn) - 1)) if len(drawn) > 1 else 0.0
    taken = drawn[np.arange(draws) % len(drawn)]
    alpha0, width = ((taken[:, k] - drawn[:, k].mean()) * stretch for k in (0, 1))
    return Replicates(at.alpha0 + alpha0, at.width + width)


@dataclass(frozen=True)
class Estimate:
    """A number with its interval."""

    value: float
    low: float
    high: float
    deviation: float
    """Standard error."""


def interval(
    now: Point,
    first: Point,
    drawn_now: Replicates,
    drawn_first: Replicates,
    *,
    among_targets: float = 0.0,
    level: float = 0.95,
) -> Estimate:
    """Degree of emergence with an interval over neurons.

    Source neurons of a layer are drawn again with replacement, the same ones now and at the start. The interval is the
    basic bootstrap's (2 estimate - quantiles): a network of fewer distinct neurons is a little narrower, which biases
    draws. It is then stretched to hold the chance among targets too.

    Parameters
    ----------
    now, first
        The network and its beginning.
    drawn_now, drawn_first
        Replicates of both.
    among_targets
        Standard error that target neurons add (`targets_error`).
    level
        Coverage.
    """
    value = float(degree(now.alpha0, now.width, first.alpha0, first.width))
    drawn = degree(drawn_now.alpha0, drawn_now.width, drawn_first.alpha0, drawn_first.width)
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or not np.isfinite(value):
        return Estimate(value, np.nan, np.nan, np.nan)
    low, high = (2 * value - each for each in np.quantile(drawn, [0.5 + level / 2, 0.5 - level / 2]))
    own = float(drawn.std(ddof=1)) if len(drawn) > 1 else 0.0
    both = float(np.hypot(own, among_targets))
    normal = float(stats.norm.ppf(0.5 + level / 2))
    # each side: as far as the bootstrap says, and the targets' part in quadrature
    low, high = (
        value - np.hypot(value - low, normal * among_targets),
        value + np.hypot(high - value, normal * among_targets),
    )
    return Estimate(value, float(low), float(high), both)


def holding(found: Estimate, other: Estimate) -> Estimate:
    """An estimate whose interval, and standard error, hold another way to take it, with that one's own interval.

    Used for the degree on the radii that many edges have: where the two differ, a handful of edges decides.
    """
    if not np.isfinite([found.value, found.low, other.value, other.low]).all():
        return found
    deviation = float(np.hypot(other.deviation, (found.value - other.value) / 2))
    low, high = min(found.low, other.low), max(found.high, other.high)
    return Estimate(found.value, low, high, max(found.deviation, deviation))


def targets_error(now: Replicates | Point, first: Replicates | Point) -> float:
    """Standard error of the degree of emergence by chance among target neurons.

    Parameters
    ----------
    now, first
        Exponents (layer, 2) with each half of a layer's targets, as `network.measure` gives them, now and at the
        beginning; a beginning that is known takes a point. Zero where no halves were counted.
    """
    if isinstance(now, Point) or not now.alpha0.size:
        return 0.0
    halves = degree(now.alpha0, now.width, first.alpha0, first.width)
    apart = (halves[:, 0] - halves[:, 1]) / 2
    return float(np.sqrt(np.square(apart[np.isfinite(apart)]).sum()))


def above(estimate: Estimate, null: Float[Array, " draw"], *, level: float = 0.95) -> Estimate:
    """Estimate minus the mean of draws from a null, with an interval that holds both uncertainties.

    Draws of a null are few (each is a whole network) and close together; their mean and the spread of one more draw
    enter with Student's t for their number, the neurons' with the bootstrap's standard error.
    """
    draws = null[np.isfinite(null)]
    if len(draws) < 2:
        return Estimate(estimate.value - float(draws.mean()) if len(draws) else np.nan, np.nan, np.nan, np.nan)
    among = float(draws.std(ddof=1)) * np.sqrt(1 + 1 / len(draws))
    both = float(np.hypot(estimate.deviation, among))
    # Welch and Satterthwaite: the part that is known from few draws has few degrees of freedom
    freedom = (len(draws) - 1) * (both / among) ** 4 if among > 0 else np.inf
    half = float(stats.t.ppf(0.5 + level / 2, freedom)) * both
    value = estimate.value - float(draws.mean())
    return Estimate(value, value - half, value + half, both)


def p_above(estimate: Estimate, null: Float[Array, " draw"]) -> float:
    """One-sided p of "no more than the null" (Welch and Satterthwaite's t, as in `above`)."""
    draws = null[np.isfinite(null)]
    found = above(estimate, null)
    if len(draws) < 2 or not found.deviation > 0:
        return float("nan")
    among = float(draws.std(ddof=1)) * np.sqrt(1 + 1 / len(draws))
    freedom = (len(draws) - 1) * (found.deviation / among) ** 4 if among > 0 else np.inf
    return float(stats.t.sf(found.value / found.deviation, freedom))

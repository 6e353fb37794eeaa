"""When a series of checkpoints rises, and what it rises with.

Change points by exact least squares, chosen by BIC (Yao 1988) against shapes without a jump (`shapes`); Spearman
correlations of levels and of differences. Few checkpoints of one run: it can say what these numbers look like, not what
another run would do, and not tell a jump from a slope that is over within three checkpoints.
"""

import math
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from brodmann.stats import cut_all, p_value, random_orders, segment
from brodmann.synergy.shapes import JUMPS, LEAST, criteria, drifts, lead

FEWEST = 6
"""Fewest checkpoints in which an onset is looked for."""
CLEARLY = 4.0
"""BIC by which a jump must beat every shape without one.

Chosen on planted series of 14 checkpoints: with 0 one smooth trend in ten passes, with 4 one in twenty (slow sigmoids:
one in twelve), at the price of 6 of 100 true jumps of 5 standard deviations.
"""
Shape = Literal["constant", "line", "linear in step", "parabola", "sigmoid", "drift", "one step", "two steps"]


@dataclass(frozen=True, eq=False)
class Onset:
    """Where a series of contrasts rises.

    Attributes
    ----------
    shape : str
        Model with the smallest BIC.
    bic : dict of str to float
        BIC of each model; smaller is better.
    first : int or None
        First checkpoint of the higher level after the largest rise; None where no level was left by a rise. Early
        rankings are noisy, so the first of two rises may be chance.
    levels : array (step,)
        Fitted level of each checkpoint under the best model with levels.
    p : float
        Share of exchanged checkpoints that split as well into two; NaN where nothing was fitted.
    drift_p : float
        Share of series of a fitted drift in which a jump beats the drift by as much BIC as here.
    """

    shape: Shape
    bic: dict[str, float]
    first: int | None
    levels: Float[np.ndarray, " step"]
    p: float
    drift_p: float

    @property
    def identified(self) -> bool:
        """Whether a rise clearly wins by BIC, and neither exchanged checkpoints nor a drift often jump so (5 %)."""
        return self.first is not None and self.margin > CLEARLY and self.p < 0.05 and self.drift_p < 0.05

    @property
    def margin(self) -> float:
        """BIC of the best shape without a jump minus that of the best with one: above 0 the jump is preferred."""
        return float(lead({shape: np.array([value]) for shape, value in self.bic.items()})[0])


def find_onset(
    values: Float[np.ndarray, " step"],
    position: Float[np.ndarray, " step"],
    rng: np.random.Generator,
    *,
    noise: float = 0.0,
    draws: int = 1999,
) -> Onset | None:
    """Compare one or two jumps with what has none; None below six checkpoints.

    Rivals and BIC: `shapes.criteria`. Two nulls, both ours: exchanged checkpoints (nothing depends on the order), and
    a Gaussian random walk read with noise, its two variances fitted to the values (everything depends on what was
    before; parametric bootstrap of the BIC by which a jump beats the drift). Increments in random order are no null
    here: they keep the jump itself and put it elsewhere, so that it is seldom found (3 of 10 jumps of 6 standard
    deviations among 14 checkpoints). Of 14 checkpoints, jumps of 4, 5 and 6 standard deviations of the noise are
    identified in 57, 75 and 87 of 100 series; line, parabola and random walk in 2 to 5, a sigmoid whose middle 80 %
    take six octaves in 4 to 8, one that takes three octaves in 7 to 13.

    Parameters
    ----------
    values : array (step,)
        Contrasts.
    position : array (step,)
        `step_position`.
    noise : float
        Sampling variance of one value. No model is rewarded for fitting closer than that.
    """
    count = values.size
    if count < FEWEST or not np.isfinite(values).all():
        return None
    bic = {shape: float(errors[0]) for shape, errors in criteria(values[None], position, noise).items()}
    shape = cast("Shape", min(bic, key=lambda name: bic[name]))
    cut = segment(values, levels_of(bic), least=LEAST)
    p = segment(values, 2, least=LEAST, rng=rng, draws=draws).p
    drifted = lead(criteria(drifts(values, draws, rng), position, noise), ("drift",))
    drift_p = p_value(bic["drift"] - min(bic[name] for name in JUMPS), drifted)
    first = _largest_rise(values[None], np.array([cut.boundaries]))[0] if shape in JUMPS else -1
    return Onset(
        shape, bic, int(first) if first >= 0 else None, cut.means[cut.labels], math.nan if p is None else p, drift_p
    )


def levels_of(bic: dict[str, float]) -> int:
    """Levels to place an onset by: three only if a second jump clearly wins, else a fall comes with a small rise."""
    return 3 if bic["one step"] - bic["two steps"] > CLEARLY else 2


@dataclass(frozen=True, eq=False)
class OnsetInterval:
    """Where resampled prompts put the onset: first and last checkpoint of the interval, and how often there is none."""

    low: int
    high: int
    absent: float
    samples: Int[np.ndarray, " draw"]
    """First checkpoint of the higher level in each resampling; -1 where it never rises."""


def onset_interval(samples: Float[np.ndarray, "draw step"], zones: int, *, level: float = 0.95) -> OnsetInterval | None:
    """Interval of the onset from jointly resampled contrasts, each cut into as many levels; None if none ever rises."""
    first = _largest_rise(samples, cut_all(samples, zones, least=LEAST).boundaries)
    known = np.sort(first[first >= 0])
    if not known.size:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return OnsetInterval(int(low), int(high), float((first < 0).mean()), first)


def margins(
    samples: Float[np.ndarray, "draw step"], position: Float[np.ndarray, " step"], noise: float = 0.0
) -> Float[np.ndarray, " draw"]:
    """`Onset.margin` of every resampled series."""
    return lead(criteria(samples, position, noise))


def _largest_rise(values: Float[np.ndarray, "draw step"], boundaries: np.ndarray) -> Int[np.ndarray, " draw"]:
    """Boundary of the largest rise between neighbouring levels; -1 where every jump falls."""
    draws, steps = values.shape
    edges = np.concatenate([np.zeros((draws, 1), int), boundaries, np.full((draws, 1), steps)], axis=1)
    sums = np.concatenate([np.zeros((draws, 1)), np.cumsum(values, axis=1)], axis=1)
    means = np.diff(np.take_along_axis(sums, edges, axis=1), axis=1) / np.diff(edges, axis=1)
    rises = np.diff(means, axis=1)
    best = rises.argmax(axis=1)[:, None]
    there = np.take_along_axis(rises, best, axis=1)[:, 0] > 0
    return np.where(there, np.take_along_axis(boundaries, best, axis=1)[:, 0], -1)


@dataclass(frozen=True)
class Relation:
    """How two series over checkpoints go together: Spearman correlations, and p of the differences.

    ``levels`` is high for any two trends that share a clock; ``partial`` has log2(step) taken out of both ranks;
    ``differences`` correlates changes from checkpoint to checkpoint and is what is tested.
    """

    levels: float
    partial: float
    differences: float
    interval: tuple[float, float]
    draws: tuple[float, ...]
    """The correlation of differences with the changes of one series in random order."""
    n: int


def relate(
    values: Float[np.ndarray, " step"], other: Float[np.ndarray, " step"], rng: np.random.Generator, draws: int = 1999
) -> Relation | None:
    """Relate contrasts to another series over the same checkpoints; None below six or where one does not vary.

    The interval of the correlation of differences is Fisher's z with the variance (1 + r^2 / 2) / (n - 3) for ranks
    (Bonett and Wright 2000).
    """
    if values.size < FEWEST or not (np.isfinite(values).all() and np.isfinite(other).all()):
        return None
    changes, others = rankdata(np.diff(values)), rankdata(np.diff(other))
    if np.ptp(changes) == 0 or np.ptp(others) == 0:
        return None
    count = changes.size
    r = _correlation(changes, others)
    clock = np.arange(values.size, dtype=float)
    levels = _correlation(rankdata(values), rankdata(other))
    one, two = (_correlation(rankdata(each), clock) for each in (values, other))
    rest = math.sqrt(max((1 - one**2) * (1 - two**2), 0.0))
    partial = (levels - one * two) / rest if rest > 1e-9 else math.nan
    reach = 1.959964 * math.sqrt((1 + r**2 / 2) / max(count - 3, 1))
    centre = math.atanh(float(np.clip(r, -0.999999, 0.999999)))
    interval = (min(math.tanh(centre - reach), r), max(math.tanh(centre + reach), r))
    null = [_correlation(changes[order], others) for order in random_orders(count, draws, rng)]
    return Relation(levels, partial, r, interval, tuple(null), count)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one - one.mean(), other - other.mean()
    scale = math.sqrt(float((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / scale) if scale > 0 else math.nan

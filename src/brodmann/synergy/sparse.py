"""Which series of units that are silent most of the time (routed experts, ReLU neurons) can say anything.

A series that is zero but for a few tokens has a correlation that those tokens alone decide. So a prompt in which a unit
was active too rarely says nothing about it, and a unit that is left with too few samples gets no rank. What is left
out is counted, never guessed; nothing is estimated here.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

FEWEST_PROMPTS = 6
"""Prompts in which a sparse unit must be usable, or half of them where there are fewer than twelve: its mean over
prompts needs a spread."""


@dataclass(frozen=True, eq=False)
class Activity:
    """How often each unit was active, and where that is enough."""

    share: Float[np.ndarray, " unit"]
    """Share of all samples at which the unit was active, 0 to 1."""
    active: Int[np.ndarray, "prompt unit"]
    """Samples at which it was active."""
    usable: Bool[np.ndarray, "prompt unit"]
    """Whether the prompt says something about the unit."""
    effective: Float[np.ndarray, " unit"]
    """Effective samples over its usable prompts; see `effective_samples`."""
    kept: Bool[np.ndarray, " unit"]
    """Whether the unit has enough of both to be ranked."""


def activity_of(
    values: Float[np.ndarray, "prompt token unit"],
    active: Bool[np.ndarray, "prompt token unit"],
    *,
    least: int,
    effective: float | int,
) -> Activity:
    """Count activations and decide which prompts and units can be used.

    Parameters
    ----------
    values
        The series; NaN beyond a prompt's end.
    active
        Where the unit was active (an expert selected, a neuron above zero).
    least
        Active samples a prompt needs before it says something about a unit. Units that are never silent need none.
    effective
        Effective samples, over its usable prompts, that a unit needs to be ranked, unless it is never silent.

    Examples
    --------
    >>> values = np.zeros((8, 50, 2))
    >>> values[:, ::5, 0], values[0, :4, 1] = 1.0 + np.arange(10) % 3, 1.0
    >>> found = activity_of(values, values > 0, least=5, effective=30)
    >>> found.share.tolist(), found.kept.tolist()
    ([0.2, 0.01], [True, False])
    """
    there = np.isfinite(values)
    active = active & there
    counts = active.sum(axis=1)
    always = counts == there.sum(axis=1)
    usable = always | (counts >= least)
    samples = np.where(usable, effective_samples(values), 0.0).sum(axis=0)
    needed = min(FEWEST_PROMPTS, -(-len(values) // 2))
    kept = always.all(axis=0) | ((samples >= effective) & (usable.sum(axis=0) >= needed))
    share = counts.sum(axis=0) / np.maximum(there.sum(axis=(0, 1)), 1)
    return Activity(share, counts, usable, samples, kept)


def effective_samples(values: Float[np.ndarray, "prompt token unit"]) -> Float[np.ndarray, "prompt unit"]:
    """Number of samples that carry a series' variance: (sum d^2)^2 / sum d^4 of the deviations d from its mean.

    As many as the peaks of a sparse series of equal peaks, a third of all samples of a Gaussian one, 0 where nothing
    varies. NaN values are left out.

    Examples
    --------
    >>> series = np.zeros((1, 1000, 1))
    >>> series[0, :10] = 1.0
    >>> round(float(effective_samples(series)[0, 0]), 1)
    10.2
    """
    there = np.isfinite(values)
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    known = np.where(there, values, 0.0).astype(np.float64)
    squares = np.where(there, known - known.sum(axis=1, keepdims=True) / count, 0.0) ** 2
    # a constant series leaves rounding behind
    squares[squares < 1e-20 * np.maximum((known**2).max(axis=1, keepdims=True), 1e-300)] = 0.0
    total, fourth = squares.sum(axis=1), (squares**2).sum(axis=1)
    return np.asarray(np.divide(total**2, fourth, out=np.zeros_like(total), where=fourth > 0))


def contributions(values: Float[np.ndarray, "*draw prompt unit"]) -> Float[np.ndarray, "*draw prompt unit"]:
    """Give prompts that say nothing about a unit (NaN) a value, so that plain means over prompts stay right.

    With k of P prompts known and m their mean, known values become m + (P / k)(x - m) and unknown ones m: the mean over
    all prompts is m, and its bootstrap over prompts has the spread that k prompts give (the linearised ratio mean). A
    unit that is unknown in every prompt of a draw takes its mean over the other draws, and where there is none the mean
    of the other units. Without NaN the values are given back as they are.

    Examples
    --------
    >>> contributions(np.array([[1.0, 4.0], [2.0, np.nan], [3.0, 6.0]])).tolist()
    [[1.0, 3.5], [2.0, 5.0], [3.0, 6.5]]
    """
    known = ~np.isnan(values)
    if known.all():
        return values
    count = known.sum(axis=-2, keepdims=True)
    filled = np.where(known, values, 0.0)
    mean = np.divide(filled.sum(axis=-2, keepdims=True), count, out=np.full(count.shape, np.nan), where=count > 0)
    for axes in (tuple(range(mean.ndim - 2)), tuple(range(mean.ndim))):
        present = ~np.isnan(mean)
        if axes and not present.all():
            counted = present.sum(axis=axes, keepdims=True)
            others = np.where(present, mean, 0.0).sum(axis=axes, keepdims=True)
            mean = np.where(
                present, mean, np.divide(others, counted, out=np.full(others.shape, np.nan), where=counted > 0)
            )
    prompts = values.shape[-2]
    stretched = np.where(count < prompts, mean + (filled - mean) * (prompts / np.maximum(count, 1)), filled)
    return np.asarray(np.where(known, stretched, mean))

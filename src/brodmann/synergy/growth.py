"""How the inverted U of a layer profile grows over training, in contrasts that prompts resample jointly.

The claim: Urbina-Rodriguez et al. 2026 (arXiv 2601.06851, Fig. 3a). Arrays in, arrays out: no model, no file, no
verdict. One training run is one run: resampling prompts says nothing about other runs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata
from scipy.stats import t as student

from brodmann.synergy import core

Contrast = Literal["thirds", "band", "quadratic"]
CONTRASTS: tuple[Contrast, ...] = ("thirds", "band", "quadratic")
RELIABLE = 0.5
"""Least split-half reliability of a ranking that the rule of emergence looks at."""
BAND = (0.3, 0.7)
"""Normalised depths between which a layer belongs to the middle band, fixed before anything is measured."""


def band_contrast(
    profile: Float[np.ndarray, "*batch layer"], band: tuple[float, float] = BAND
) -> Float[np.ndarray, "*batch"]:
    """Mean of the layers whose depth lies in a band minus the mean of all others; NaN where one of the two is empty.

    Examples
    --------
    >>> import numpy as np
    >>> float(band_contrast(np.array([0.0, 1.0, 1.0, 0.0])))
    1.0
    """
    depth = np.linspace(0, 1, profile.shape[-1])
    # a rounding error must not decide on which side of the band a layer is
    inside = (depth > band[0] - 1e-9) & (depth < band[1] + 1e-9)
    if inside.all() or not inside.any():
        return np.full(profile.shape[:-1], np.nan)
    return np.asarray(profile[..., inside].mean(axis=-1) - profile[..., ~inside].mean(axis=-1))


def contrast_of(profile: Float[np.ndarray, "*batch layer"], kind: Contrast) -> Float[np.ndarray, "*batch"]:
    """One contrast of layer profiles, positive for an inverted U, in the profile's units.

    ``thirds``: middle third minus both outer thirds (`core.mid_minus_ends`). ``band``: depths 0.3 to 0.7 minus the
    rest. ``quadratic``: height of the least-squares parabola above its chord (`core.arch_height`).
    """
    if kind == "band":
        return band_contrast(profile)
    return core.mid_minus_ends(profile) if kind == "thirds" else core.arch_height(profile)


def repeated_contrasts(layers: int) -> dict[Contrast, Contrast]:
    """Contrasts that weigh so many layers as an earlier one does, and that one; they are one number said twice.

    Examples
    --------
    >>> repeated_contrasts(8), repeated_contrasts(24)
    ({'band': 'thirds'}, {})
    """
    weights = {kind: contrast_of(np.eye(layers), kind) for kind in CONTRASTS}
    found: dict[Contrast, Contrast] = {}
    for place, kind in enumerate(CONTRASTS):
        same = [other for other in CONTRASTS[:place] if np.allclose(weights[kind], weights[other], rtol=0, atol=1e-9)]
        if same:
            found[kind] = same[0]
    return found


@dataclass(frozen=True, eq=False)
class Series:
    """Node means of a family of checkpoints on the same text: (step, prompt, unit), nats."""

    synergy: Float[np.ndarray, "step prompt unit"]
    redundancy: Float[np.ndarray, "step prompt unit"]
    layer: Int[np.ndarray, " unit"]
    definition: core.Definition = "rank_of_difference"

    @property
    def prompts(self) -> int:
        """Prompts that every checkpoint read."""
        return int(self.synergy.shape[1])

    @property
    def steps(self) -> int:
        """Checkpoints."""
        return int(self.synergy.shape[0])

    def profiles(self, weights: Float[np.ndarray, "draw prompt"]) -> Float[np.ndarray, "draw step layer"]:
        """Rank profiles of all checkpoints under the same weights over prompts; 0 lowest rank, 1 highest."""
        return np.stack(
            [
                core.profile_of_weights(weights, synergy, redundancy, self.layer, self.definition)
                for synergy, redundancy in zip(self.synergy, self.redundancy, strict=True)
            ],
            axis=1,
        )

    def contrasts(self, kind: Contrast) -> Callable[[np.ndarray], np.ndarray]:
        """Contrast of every checkpoint as a function of weights over prompts: (draw, prompt) -> (draw, step)."""
        return lambda weights: contrast_of(self.profiles(weights), kind)

    def only(self, *steps: int) -> "Series":
        """Some checkpoints of the series."""
        return Series(self.synergy[list(steps)], self.redundancy[list(steps)], self.layer, self.definition)


def exchanged_growth(
    series: Series, first: int, last: int, kind: Contrast, rng: np.random.Generator, draws: int = 1999
) -> Float[np.ndarray, " draw"]:
    """Growth of the contrast when the two checkpoints are exchanged, prompt by prompt: the null that nothing grew."""
    swapped = rng.random((draws, series.prompts)) < 0.5
    found = []
    for values in (series.synergy, series.redundancy):
        one, other = values[first], values[last]
        shares = swapped / series.prompts
        kept = 1.0 / series.prompts - shares
        found.append((kept @ one + shares @ other, kept @ other + shares @ one))
    early, late = (core.rank_profile(s, r, series.layer, series.definition) for s, r in zip(*found, strict=True))
    return np.asarray(contrast_of(late, kind) - contrast_of(early, kind))


def upper_of_initialisations(contrasts: Float[np.ndarray, " seed"], level: float = 0.975) -> float:
    """Value that the next random initialisation stays below with this probability (Student's prediction interval).

    NaN with fewer than two initialisations.
    """
    count = contrasts.size
    if count < 2:
        return math.nan
    spread = float(contrasts.std(ddof=1)) * math.sqrt(1 + 1 / count)
    return float(contrasts.mean()) + float(student.ppf(level, count - 1)) * spread


def excess_contrast(
    synergy: Float[np.ndarray, "prompt unit"],
    drawn: Float[np.ndarray, "draw prompt unit"],
    layer: Int[np.ndarray, " unit"],
    kind: Contrast,
) -> float:
    """Contrast, in nats, of the synergy of one model above the mean of its uncoupled surrogates."""
    above = np.nanmean(synergy - drawn.mean(axis=0), axis=0)
    return float(contrast_of(core.layer_profile(above, layer), kind))


def lower_bounds(
    estimate: Float[np.ndarray, "*null step"],
    error: Float[np.ndarray, "*null step"],
    levels: Float[np.ndarray, " step"],
    prompts: int,
) -> Float[np.ndarray, "*null step"]:
    """Lower end of each checkpoint's interval at the level that the checkpoint may spend.

    estimate - t error sqrt(n / (n - 1)), with Student's t of n - 1 degrees of freedom for n prompts: the levels of
    single looks are too small for quantiles of a bootstrap, whose spread is that of n and not of n - 1. With the normal
    quantile a dozen prompts raise false alarms at single looks two to four times as often as planned.

    Parameters
    ----------
    error
        Bootstrap standard error over prompts.
    levels
        Share of alpha that each checkpoint may spend, for both ends; only the lower end is used, which is half of it.
    """
    quantile = -student.isf(np.clip(levels, 1e-100, 1.0) / 2, prompts - 1)  # of smaller levels ppf gives +inf
    return np.asarray(estimate + quantile * error * math.sqrt(prompts / (prompts - 1)))


@dataclass(frozen=True, eq=False)
class Looks:
    """The rule of emergence at each checkpoint; arrays are (step,) or (null, step)."""

    level: Float[np.ndarray, " step"]
    """Share of alpha that the checkpoint may spend."""
    lower: Float[np.ndarray, " step"]
    """Lower end of the contrast of ranks, at this level."""
    threshold: float
    """97.5 % point of fresh random initialisations; NaN with fewer than two, and then nothing passes."""
    excess_lower: Float[np.ndarray, "null step"]
    """Lower end of the contrast of excess synergy (nats), at this level."""
    excess_threshold: Float[np.ndarray, "null step"]
    """97.5 % point of the same contrast among uncoupled surrogates."""
    excess_random: Float[np.ndarray, " null"]
    """97.5 % point of the same contrast of fresh random initialisations, each above its own surrogates; as `threshold`.

    Coupling is there before training: initial weights have an excess too, and it is no core that has emerged.
    """
    reliability: Float[np.ndarray, " step"]

    @property
    def passed(self) -> Bool[np.ndarray, " step"]:
        """Ranks and excess above random weights, excess above memory, and a ranking that can be trusted.

        Memory is counted in nats: on the rank scale a hump of memory and a hump of coupling look the same.
        """
        needed = np.maximum(np.maximum(self.excess_threshold, self.excess_random[:, None]), 0.0)
        above = (self.excess_lower > needed).all(axis=0)
        return np.asarray((self.lower > max(self.threshold, 0.0)) & above & (self.reliability >= RELIABLE))


def memory_rank_profile(
    memory: Float[np.ndarray, "*batch unit"], layer: Int[np.ndarray, " unit"]
) -> Float[np.ndarray, "*batch layer"]:
    """Layer profile of the rank of each unit's autocorrelation, on the scale of `core.rank_profile`: the rival."""
    return np.asarray(core.layer_profile((rankdata(memory, axis=-1) - 1) / max(memory.shape[-1] - 1, 1), layer))

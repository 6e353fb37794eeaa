"""From pairs to nodes: which units are synergistic, where in depth, and which of them in every sample of prompts.

Node means, both definitions of the synergy-redundancy rank, layer profiles, the core and its zones (arXiv 2601.06851,
Fig. 2; Luppi et al. 2022, doi 10.1038/s41593-022-01070-0). Everything is linear in prompts up to the ranking, so a
bootstrap over prompts is one matrix product. It decides nothing: `study` turns these numbers into findings.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from brodmann.stats import random_orders, segment, weighted_mean

Definition = Literal["rank_of_difference", "difference_of_ranks"]
DEFINITIONS: tuple[Definition, Definition] = ("rank_of_difference", "difference_of_ranks")


Exchange = Literal["units", "layers"]
EXCHANGES: tuple[Exchange, Exchange] = ("units", "layers")


def node_means(pairs: Float[np.ndarray, "*batch unit unit_"]) -> Float[np.ndarray, "*batch unit"]:
    """Average each unit's pairs over its partners: S_h = mean of S[h, j] over j != h, in the pairs' units.

    Partners without a finite value are left out; a unit with none is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> node_means(np.array([[9.0, 1.0, 2.0], [1.0, 9.0, 3.0], [2.0, 3.0, 9.0]])).tolist()
    [1.5, 2.0, 2.5]
    """
    units = pairs.shape[-1]
    if units < 2:
        raise ValueError("a single unit has no partners to average over")
    # Masked rather than subtracted: a NaN or a large value on the diagonal would spread.
    known = np.isfinite(pairs) & ~np.eye(units, dtype=bool)
    count = known.sum(axis=-1)
    total = np.where(known, pairs, 0.0).sum(axis=-1)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


def node_means_of_upper(pairs: Float[np.ndarray, "*batch unit unit_"]) -> Float[np.ndarray, "*batch unit"]:
    """`node_means` of symmetric pairs of which only the part above the diagonal is filled (the rest is 0)."""
    if np.isnan(pairs).any():
        upper = np.triu(pairs, 1)
        return node_means(upper + np.swapaxes(upper, -1, -2))
    return np.asarray((pairs.sum(axis=-1) + pairs.sum(axis=-2)) / (pairs.shape[-1] - 1))


def rank_nodes(
    node_synergy: Float[np.ndarray, "*batch unit"],
    node_redundancy: Float[np.ndarray, "*batch unit"],
    kind: Definition = "rank_of_difference",
) -> Float[np.ndarray, "*batch unit"]:
    """Rank units by node means; see `rank`. Leading axes (bootstrap draws) are ranked one by one."""
    if kind == "rank_of_difference":
        return np.asarray(rankdata(node_synergy - node_redundancy, axis=-1))
    return np.asarray(rankdata(node_synergy, axis=-1) - rankdata(node_redundancy, axis=-1))


def rank(
    synergy: Float[np.ndarray, "unit unit_"],
    redundancy: Float[np.ndarray, "unit unit_"],
    kind: Definition = "rank_of_difference",
) -> Float[np.ndarray, " unit"]:
    """Synergy-redundancy rank of each unit; higher is more synergistic, ties share the average rank.

    Two definitions are in circulation and they disagree:

    - "rank_of_difference": rank(S_h - R_h), from 1 to the number of units. It is nearly rank(S_h) where S varies more
      than R, as it does in language models.
    - "difference_of_ranks": rank(S_h) - rank(R_h), the text of arXiv 2601.06851 and of Luppi et al. (2022).

    Parameters
    ----------
    synergy, redundancy : arrays (unit, unit)
        Pairs, symmetric, in nats; the diagonal is ignored.

    Examples
    --------
    >>> import numpy as np
    >>> synergy = np.array([[0, 1, 2.0], [1, 0, 3], [2, 3, 0]])
    >>> rank(synergy, np.zeros((3, 3))).tolist(), rank(synergy, synergy, "difference_of_ranks").tolist()
    ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
    """
    return rank_nodes(node_means(synergy), node_means(redundancy), kind)


def scale(
    values: Float[np.ndarray, "*batch unit"], low: float | None = None, high: float | None = None
) -> Float[np.ndarray, "*batch unit"]:
    """Min-max scale along the last axis to 0..1, or with given ends; 0.5 everywhere where nothing varies."""
    bottom = values.min(axis=-1, keepdims=True) if low is None else np.asarray(low)
    spread = (values.max(axis=-1, keepdims=True) if high is None else np.asarray(high)) - bottom
    return np.where(spread > 0, (values - bottom) / np.where(spread > 0, spread, 1.0), 0.5)


def layer_profile(
    values: Float[np.ndarray, "*batch unit"], layer: Int[np.ndarray, " unit"]
) -> Float[np.ndarray, "*batch layer"]:
    """Average values over the units of each layer, layers in ascending order; one matrix product.

    Examples
    --------
    >>> import numpy as np
    >>> layer_profile(np.array([1.0, 3.0, 10.0]), np.array([0, 0, 1])).tolist()
    [2.0, 10.0]
    """
    codes = np.unique(layer, return_inverse=True)[1]
    averaging = np.zeros((codes.size, int(codes.max()) + 1))
    averaging[np.arange(codes.size), codes] = 1.0 / np.bincount(codes)[codes]
    return np.asarray(values @ averaging)


def rank_profile(
    node_synergy: Float[np.ndarray, "*batch unit"],
    node_redundancy: Float[np.ndarray, "*batch unit"],
    layer: Int[np.ndarray, " unit"],
    kind: Definition = "rank_of_difference",
) -> Float[np.ndarray, "*batch layer"]:
    """Mean rank of each layer on a fixed scale, 0 and 1 being the lowest and the highest rank that a unit can have.

    The published profile is the `scale` of this one. Min-max scaling blows a flat profile up to 0..1 and divides by the
    two noisiest layers, so contrasts and intervals belong on this scale, pictures on the other.
    """
    lowest, highest = rank_limits(node_synergy.shape[-1], kind)
    ranks = rank_nodes(node_synergy, node_redundancy, kind)
    return scale(layer_profile(ranks, layer), lowest, highest)


def rank_limits(units: int, kind: Definition) -> tuple[float, float]:
    """Lowest and highest rank that a unit can have under a definition."""
    return (1.0, float(units)) if kind == "rank_of_difference" else (1.0 - units, units - 1.0)


def profile_of_weights(
    weights: Float[np.ndarray, "draw prompt"],
    node_synergy: Float[np.ndarray, "prompt unit"],
    node_redundancy: Float[np.ndarray, "prompt unit"],
    layer: Int[np.ndarray, " unit"],
    kind: Definition = "rank_of_difference",
) -> Float[np.ndarray, "draw layer"]:
    """`rank_profile` under each row of prompt weights, for `stats.bootstrap_interval`; NaN values are left out.

    Noise pulls every rank towards the middle: contrasts of ranks keep their sign and lose size, the estimate as well as
    its interval (about a quarter where noise makes nearly half of the variance between node means). So a rank contrast
    can support a claim, but its smallness contradicts nothing unless the ranking is reliable; contrasts in nats,
    ``weights @ node_synergy`` averaged over layers, have no such bias.
    """
    return rank_profile(weighted_mean(weights, node_synergy), weighted_mean(weights, node_redundancy), layer, kind)


@dataclass(frozen=True, eq=False)
class Thirds:
    """Means of a profile's early, middle and late third, each of the profile's leading shape."""

    early: np.ndarray
    middle: np.ndarray
    late: np.ndarray


def thirds(profile: Float[np.ndarray, "*batch layer"]) -> Thirds:
    """Cut a profile into thirds by depth.

    Layer l of L belongs to the middle when its depth l / (L - 1) lies in [1/3, 2/3], ends included. Early and late
    always have equally many layers: 10 + 10 + 10 of 30, 11 + 12 + 11 of 34, 2 + 1 + 2 of 5, 1 + 2 + 1 of 4. With fewer
    than three layers there are no thirds, and all means are NaN.
    """
    layers = profile.shape[-1]
    if layers < 3:
        nothing = np.full(profile.shape[:-1], np.nan)
        return Thirds(nothing, nothing, nothing)
    position = np.arange(layers)
    early, late = 3 * position < layers - 1, 3 * position > 2 * (layers - 1)
    middle = ~(early | late)
    return Thirds(*(np.asarray(profile[..., part].mean(axis=-1)) for part in (early, middle, late)))


def mid_minus_ends(profile: Float[np.ndarray, "*batch layer"]) -> np.ndarray:
    """Mean of the middle third minus the mean of both outer thirds (equally many layers each), in the profile's units.

    Examples
    --------
    >>> import numpy as np
    >>> float(mid_minus_ends(np.array([0.0, 0.0, 1.0, 1.0, 0.5, 0.5])))
    0.75
    """
    parts = thirds(profile)
    return np.asarray(parts.middle - (parts.early + parts.late) / 2)


def mid_minus_higher_end(profile: Float[np.ndarray, "*batch layer"]) -> np.ndarray:
    """Mean of the middle third minus that of the higher outer third: positive only if the profile rises and falls.

    `mid_minus_ends` is positive for a profile that only rises steeply; an inverted U needs this one too.
    """
    parts = thirds(profile)
    return np.asarray(parts.middle - np.maximum(parts.early, parts.late))


def arch_height(profile: Float[np.ndarray, "*batch layer"]) -> np.ndarray:
    """Quadratic contrast: height, at mid depth, of the least-squares parabola above the chord between its own ends.

    For a + b d + c d^2 over depth d in 0..1 this is -c / 4: 1 for 4 d (1 - d), 0 for any straight line; NaN below three
    layers.
    """
    layers = profile.shape[-1]
    if layers < 3:
        return np.full(profile.shape[:-1], np.nan)
    depth = np.linspace(0, 1, layers)
    contrast = np.linalg.pinv(np.stack([np.ones(layers), depth, depth**2], axis=1))[2]
    return np.asarray(-(profile @ contrast) / 4)


def exchanged_profiles(
    values: Float[np.ndarray, " unit"],
    layer: Int[np.ndarray, " unit"],
    rng: np.random.Generator,
    *,
    exchange: Exchange = "units",
    draws: int = 2000,
) -> Float[np.ndarray, "draw layer"]:
    """Layer profiles of values whose depth was exchanged: the null that depth does not matter.

    "units" exchanges all units, which assumes that units of one layer are independent; "layers" exchanges whole layers
    and keeps whatever the units of a layer share (the harder null).
    """
    if exchange == "layers":
        profile = layer_profile(values, layer)
        return np.asarray(profile[random_orders(profile.size, draws, rng)])
    return layer_profile(values[random_orders(values.size, draws, rng)], layer)


@dataclass(frozen=True, eq=False)
class Zones:
    """Zone of each layer (0 early, 1 middle, 2 late), first layers of zones 1 and 2, variance explained (0..1), p."""

    zone: Int[np.ndarray, " layer"]
    boundaries: tuple[int, ...]
    explained: float
    p: float


def find_zones(profile: Float[np.ndarray, " layer"], rng: np.random.Generator, *, draws: int = 1000) -> Zones:
    """Cut a layer profile into early, middle and late zones by change points.

    Exact least-squares segmentation into three pieces; p is the share of exchanged layers that split as well, so it
    says that depth orders the profile, not that the zones have sharp borders. Under three layers: one zone, p = NaN.
    """
    if profile.size < 3:
        return Zones(np.zeros(profile.size, dtype=int), (), 0.0, float("nan"))
    cut = segment(profile, 3, rng=rng, draws=draws)
    return Zones(cut.labels, cut.boundaries, cut.explained, float("nan") if cut.p is None else cut.p)


def core_size(units: int, fraction: float) -> int:
    """Number of units in a core: the nearest integer to the fraction, at least 1 (halves round to even)."""
    if not 0 < fraction <= 1:
        raise ValueError(f"core fraction = {fraction} is not in (0, 1]")
    return max(1, round(fraction * units))


def core_set(values: Float[np.ndarray, "*batch unit"], fraction: float = 0.25) -> Bool[np.ndarray, "*batch unit"]:
    """Mark the top fraction of units along the last axis; among equal values the first units win.

    Examples
    --------
    >>> import numpy as np
    >>> core_set(np.array([4.0, 1.0, 3.0, 2.0]), 0.5).tolist()
    [True, False, True, False]
    """
    order = np.argsort(-values, axis=-1, kind="stable")[..., : core_size(values.shape[-1], fraction)]
    chosen = np.zeros(values.shape, dtype=bool)
    np.put_along_axis(chosen, order, True, axis=-1)
    return chosen


def top_overlap(first: Float[np.ndarray, " unit"], second: Float[np.ndarray, " unit"], fraction: float = 0.25) -> float:
    """Share of the top fraction by one ranking that is in the top fraction by the other too (chance: the fraction)."""
    both = core_set(first, fraction) & core_set(second, fraction)
    return float(both.sum() / core_size(first.size, fraction))


def core_probability(
    weights: Float[np.ndarray, "draw prompt"],
    node_synergy: Float[np.ndarray, "prompt unit"],
    node_redundancy: Float[np.ndarray, "prompt unit"],
    *,
    kind: Definition = "rank_of_difference",
    fraction: float = 0.25,
) -> Float[np.ndarray, " unit"]:
    """Share of prompt resamplings in which a unit belongs to the core.

    Parameters
    ----------
    weights : array (draw, prompt)
        Bootstrap weights of `stats.resampling_weights`.
    node_synergy, node_redundancy : arrays (prompt, unit)
        Node means of each prompt, nats. Only these are needed: node means are linear in prompts.
    """
    ranks = rank_nodes(weighted_mean(weights, node_synergy), weighted_mean(weights, node_redundancy), kind)
    return np.asarray(core_set(ranks, fraction).mean(axis=0))


def balance(
    synergy: Float[np.ndarray, "unit unit_"], redundancy: Float[np.ndarray, "unit unit_"]
) -> Float[np.ndarray, "unit unit_"]:
    """Balance of each pair, (S - R) / (S + R): 1 all synergy, -1 all redundancy.

    Guard: negative values (redundancy by CCS, sampling noise) count as 0, and where S + R is below a millionth of its
    median over pairs, where the ratio would be noise, and on the diagonal the balance is NaN.
    """
    high, low = np.maximum(synergy, 0.0), np.maximum(redundancy, 0.0)
    total = high + low
    others = ~np.eye(total.shape[0], dtype=bool)
    floor = 1e-6 * float(np.nanmedian(total[others])) if others.any() else 0.0
    known = others & (total > max(floor, np.finfo(float).tiny))
    return np.asarray(np.divide(high - low, total, out=np.full(total.shape, np.nan), where=known))

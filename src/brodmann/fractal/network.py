"""The spectrum of a whole network from its layers' counts, with what resampling its neurons would have given.

`one_hop` and `paths` count edges by distance, a table per layer; here rows with too few edges are dropped, the radii
that occur anywhere become the common grid, and layers are taken one after the other, so that memory holds the tables
and one layer's logarithms. What chance does to them is in `resampling`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from brodmann.errors import WeightsError
from brodmann.fractal import spectrum
from brodmann.fractal.grids import Grid
from brodmann.fractal.resampling import Replicates, Sampler, Split
from brodmann.fractal.spectrum import MIN_NEURONS, MIN_RADII, Q_GRID, Spectrum
from brodmann.fractal.sums import PowerSums, power_sums

Array = NDArray[np.float64]

COMMON = 20
"""Edges that a radius must have for `NetworkSpectrum.trimmed`: what a handful of weights decides is left out."""
MIN_DEGREE = 11
"""Neurons with fewer edges are dropped; the released code keeps those with more than 10."""


@dataclass(frozen=True, eq=False)
class LayerCounts:
    """Edges of the neurons of one layer, by distance."""

    name: str
    kind: str
    """Which layer of the block it is."""
    block: int
    counts: NDArray[np.unsignedinteger]
    """(neuron, code)"""
    half: NDArray[np.unsignedinteger] | None = None
    """The same of every second target neuron; None where it was not counted."""


@dataclass(frozen=True, eq=False)
class LayerSpectrum:
    """What one layer adds."""

    name: str
    kind: str
    block: int
    neurons: int
    kept: Bool[NDArray[np.bool_], " neuron"]
    slopes: Float[Array, " kept_neuron"]
    sums: PowerSums | None
    """None where no neuron was kept."""
    alpha0: float
    width: float
    """NaN below `MIN_NEURONS` kept neurons."""


@dataclass(frozen=True, eq=False)
class NetworkSpectrum:
    """Spectrum of the whole, and of its layers and kinds of layers on the same radii."""

    whole: Spectrum
    layers: tuple[LayerSpectrum, ...]
    kinds: dict[str, Spectrum]
    """Of all layers of a kind; kinds with too few neurons are left out."""
    replicates: Replicates | None
    common_replicates: Replicates | None
    """The same of `trimmed`."""
    halves: Replicates | None
    """Networks in which one layer (the first axis) had every second target neuron, or the others (the second)."""
    trimmed: tuple[float, float]
    """alpha0 and width on the radii that at least `COMMON` edges have."""
    beyond: float
    """Share of all weights that lie beyond the last radius."""

    @property
    def kept(self) -> int:
        """Neurons with enough edges."""
        return sum(int(layer.kept.sum()) for layer in self.layers)

    @property
    def neurons(self) -> int:
        """All source neurons."""
        return sum(layer.neurons for layer in self.layers)


def measure(
    layers: Sequence[LayerCounts],
    grid: Grid,
    q: Float[Array, " q"] = Q_GRID,
    *,
    min_degree: int = MIN_DEGREE,
    draws: int = 0,
    seed: int = 0,
) -> NetworkSpectrum:
    """Spectrum of a network.

    Parameters
    ----------
    layers
        Counts of each layer's source neurons.
    grid
        What the codes stand for.
    q : (q,)
        Orders.
    min_degree
        Neurons with fewer edges are dropped.
    draws
        Number of replicates; 0 for none.
    seed
        Of the replicates.

    Raises
    ------
    WeightsError
        If no neuron has enough edges, or fewer than 20, or fewer than 5 radii occur.
    """
    kept = [_degrees(layer, grid) >= min_degree for layer in layers]
    inside = _radii(layers, kept, grid)
    _refuse(layers, kept, inside, grid, min_degree)
    radii = grid.radii[inside]
    x = spectrum.centred(radii)
    sampler = Sampler(draws, seed, q[[0, -1]], radii, all_radii=grid.kind == "geometric")
    split = Split(q[[0, -1]], radii, all_radii=grid.kind == "geometric") if draws else None
    found, explained, edges = [], [], np.zeros(len(radii))
    for layer, chosen in zip(layers, kept, strict=True):
        counts = layer.counts[chosen][:, 1 : grid.beyond][:, inside]
        log_mu = _log_mass(counts)
        edges += counts.sum(axis=0)
        slopes, r_squared = spectrum.neuron_slopes(log_mu, radii)
        sums = power_sums(log_mu, q) if len(log_mu) else None
        alpha = sums.mean @ x / (x @ x) if sums is not None else np.empty(0)
        found.append(
            LayerSpectrum(
                layer.name, layer.kind, layer.block, len(chosen), chosen, slopes, sums,
                float(slopes.mean()) if len(slopes) else np.nan,
                float(np.ptp(alpha)) if len(slopes) >= MIN_NEURONS else np.nan,
            )
        )  # fmt: skip
        explained.append(r_squared)
        sampler.add(layer.name, chosen, log_mu, counts)
        if split is not None and layer.half is not None:
            half = layer.half[chosen][:, 1 : grid.beyond][:, inside]
            split.add(log_mu, counts, [(_log_mass(part), part) for part in (half, counts - half)])
    whole = _assembled(found, explained, radii, q)
    common = _trimmed(_joined(found), edges, radii)
    total = sum(int(layer.counts.sum()) for layer in layers)
    far = sum(int(layer.counts[:, grid.beyond].sum()) for layer in layers)
    return NetworkSpectrum(
        whole, tuple(found), _by_kind(found, explained, radii, q), sampler.take(), sampler.take(COMMON),
        None if split is None else split.take(), common, far / total,
    )  # fmt: skip


def _degrees(layer: LayerCounts, grid: Grid) -> NDArray[np.int64]:
    return np.asarray(layer.counts[:, 1 : grid.beyond].sum(axis=1, dtype=np.int64))


def _radii(layers: Sequence[LayerCounts], kept: Sequence[NDArray[np.bool_]], grid: Grid) -> NDArray[np.bool_]:
    """Radii of the common grid: those at which anything is (whole numbers), or all (geometric)."""
    if grid.kind == "geometric":
        return np.ones(grid.count, dtype=bool)
    found = np.zeros(grid.count, dtype=bool)
    for layer, chosen in zip(layers, kept, strict=True):
        found |= layer.counts[chosen][:, 1 : grid.beyond].any(axis=0)
    return found


def _refuse(
    layers: Sequence[LayerCounts], kept: Sequence[NDArray[np.bool_]], inside: NDArray[np.bool_], grid: Grid,
    min_degree: int,
) -> None:  # fmt: skip
    count, neurons = sum(int(each.sum()) for each in kept), sum(len(each) for each in kept)
    if count < MIN_NEURONS:
        most = max((int(_degrees(layer, grid).max(initial=0)) for layer in layers), default=0)
        raise WeightsError(
            f"{count} of {neurons} neurons have {min_degree} edges or more ({most} is the most), a spectrum "
            f"needs {MIN_NEURONS}; edges longer than {grid.high:g} are left out: raise r_max or take the geometric grid"
        )
    if inside.sum() < MIN_RADII:
        raise WeightsError(f"only {inside.sum()} different radii occur: a slope needs at least {MIN_RADII}")


def _log_mass(counts: NDArray[np.unsignedinteger]) -> Array:
    """Logarithm of mu for neurons that count themselves, N = 1 + edges within r, as the released code does."""
    mass = counts.cumsum(axis=1, dtype=np.int64) + 1
    logs = np.log(np.arange(1, int(mass.max(initial=1)) + 1, dtype=np.float64))
    return np.asarray(logs[mass - 1] - logs[mass[:, -1:] - 1])


def _joined(layers: Sequence[LayerSpectrum]) -> PowerSums:
    first, *others = (layer.sums for layer in layers if layer.sums is not None)
    for part in others:
        first = first.join(part)
    return first


def _assembled(layers: Sequence[LayerSpectrum], explained: Sequence[Array], radii: Array, q: Array) -> Spectrum:
    sums = _joined(layers)
    slopes = np.concatenate([layer.slopes for layer in layers])
    return spectrum.assemble(sums.log_z, sums.mean, slopes, np.concatenate(explained), radii, q)


def _trimmed(sums: PowerSums, edges: Array, radii: Array) -> tuple[float, float]:
    common = edges >= COMMON
    if common.sum() < MIN_RADII:
        return float("nan"), float("nan")
    x = spectrum.centred(radii[common])
    alpha = sums.mean[:, common] @ x / (x @ x)
    return float(alpha[len(alpha) // 2]), float(np.ptp(alpha))


def _by_kind(
    layers: Sequence[LayerSpectrum], explained: Sequence[Array], radii: Array, q: Array
) -> dict[str, Spectrum]:
    found = {}
    for kind in dict.fromkeys(layer.kind for layer in layers):
        own = [(layer, r) for layer, r in zip(layers, explained, strict=True) if layer.kind == kind and len(r)]
        if sum(len(r) for _, r in own) >= MIN_NEURONS:
            found[kind] = _assembled([layer for layer, _ in own], [r for _, r in own], radii, q)
    return found

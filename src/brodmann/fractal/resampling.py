"""How far a network's exponents would move by chance: source neurons drawn again, target neurons halved.

Two sources of chance, because an edge has two ends. `Sampler` draws the source neurons of each layer again (bootstrap),
with draws that depend on the seed and the layer's name alone: checkpoints of one training share them. But all sources
of a matrix share its targets, so that they are not independent where targets differ in size, or where one edge alone
has the shortest distance. `Split` therefore measures every layer with each half of its target neurons, the other layers
as they are: half the difference of the two is what chance among targets does (random groups, two a stratum; Wolter
2007, chapter 2), and the layers' squares add up.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Replicates:
    """alpha0 and width of networks that chance might have given."""

    alpha0: Float[Array, " *draw"]
    width: Float[Array, " *draw"]


class Sums:
    """Sums over neurons from which alpha0 and width follow, for several networks at once, on given radii.

    Parameters
    ----------
    networks
        Their number.
    ends
        First and last order, where the width is taken.
    radii
        Radii of the common grid.
    all_radii
        Whether a network has all of them, or those alone at which it has an edge.
    """

    def __init__(self, networks: int, ends: Array, radii: Array, *, all_radii: bool) -> None:
        self.ends, self.radii, self.all_radii = ends, radii, all_radii
        self.powers = np.zeros((2 * len(ends), networks, len(radii)))
        self.logs, self.edges = np.zeros((networks, len(radii))), np.zeros((networks, len(radii)))
        self.neurons = np.zeros(networks)

    def add(self, times: Float[Array, "network neuron"], log_mu: Array, edges: NDArray[np.unsignedinteger]) -> None:
        """Add neurons, as often as each network has them."""
        for at, order in enumerate(self.ends):
            powers = np.exp(order * log_mu)
            self.powers[2 * at] += times @ powers
            self.powers[2 * at + 1] += times @ (powers * log_mu)
        self.logs += times @ log_mu
        self.edges += times @ edges.astype(float)
        self.neurons += times.sum(axis=1)

    def moved(self, less: "Sums", more: "Sums") -> "Sums":
        """Networks of these neurons without some and with others."""
        found = Sums(1, self.ends, self.radii, all_radii=self.all_radii)
        for name in ("powers", "logs", "edges", "neurons"):
            setattr(found, name, getattr(self, name) - getattr(less, name) + getattr(more, name))
        return found

    def exponents(self, common: int = 0) -> Replicates:
        """alpha0 and width of each network; with ``common`` on the radii that so many edges have."""
        least = max(common, 0.5) if common or not self.all_radii else -1.0
        inside = (self.edges > least - 0.5).astype(float)
        x = np.log(self.radii) * inside
        x = (x - x.sum(axis=1, keepdims=True) / inside.sum(axis=1, keepdims=True)) * inside
        size = np.square(x).sum(axis=1)
        first, last = ((self.powers[k + 1] / self.powers[k] * x).sum(axis=1) / size for k in (0, 2))
        alpha0 = (self.logs * x).sum(axis=1) / size / self.neurons
        return Replicates(alpha0, first - last)


class Sampler:
    """Replicates whose source neurons were drawn again, with replacement, layer by layer.

    A replicate has its own radii: those at which a drawn neuron has an edge. On whole distances it can lose radii and
    not gain any.
    """

    def __init__(self, draws: int, seed: int, ends: Array, radii: Array, *, all_radii: bool) -> None:
        self._draws, self._seed = draws, seed
        self._sums = Sums(draws, ends, radii, all_radii=all_radii)

    def add(self, name: str, kept: NDArray[np.bool_], log_mu: Array, edges: NDArray[np.unsignedinteger]) -> None:
        """Draw neurons of a layer."""
        if not self._draws or not kept.any():
            return
        rng = np.random.default_rng([self._seed, zlib.crc32(name.encode())])
        # all neurons are drawn, kept or not: a checkpoint at which one has too few edges keeps the others' draws
        times = rng.multinomial(len(kept), np.full(len(kept), 1 / len(kept)), size=self._draws)[:, kept]
        self._sums.add(times.astype(float), log_mu, edges)

    def take(self, common: int = 0) -> Replicates | None:
        """All replicates; with ``common`` on the radii that so many edges have."""
        return self._sums.exponents(common) if self._draws else None


class Split:
    """Networks of which one layer has half of its target neurons."""

    def __init__(self, ends: Array, radii: Array, *, all_radii: bool) -> None:
        self._ends, self._radii, self._all = ends, radii, all_radii
        self._whole = self._new()
        self._layers: list[tuple[Sums, list[Sums]]] = []

    def _new(self) -> Sums:
        return Sums(1, self._ends, self._radii, all_radii=self._all)

    def add(
        self, log_mu: Array, counts: NDArray[np.unsignedinteger],
        halves: Sequence[tuple[Array, NDArray[np.unsignedinteger]]],
    ) -> None:  # fmt: skip
        """Add a layer's neurons: their logarithms of mass and their counts, of all targets and of each half."""
        once = np.ones((1, len(log_mu)))
        own, parts = self._new(), [self._new() for _ in halves]
        own.add(once, log_mu, counts)
        self._whole.add(once, log_mu, counts)
        for part, (logs, some) in zip(parts, halves, strict=True):
            part.add(once, logs, some)
        self._layers.append((own, parts))

    def take(self) -> Replicates | None:
        """By layer and half; None where no halves were counted."""
        if not self._layers:
            return None
        found = [[self._whole.moved(own, part).exponents() for part in parts] for own, parts in self._layers]
        alpha0 = np.array([[float(each.alpha0[0]) for each in pair] for pair in found])
        width = np.array([[float(each.width[0]) for each in pair] for pair in found])
        return Replicates(alpha0, width)

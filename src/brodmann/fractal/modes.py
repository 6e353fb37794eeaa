"""How a checkpoint becomes spectra: the whole network or samples of its neurons, one hop or shortest paths.

Numbers of different modes are different quantities and are never compared; `words` says the mode, for every result and
every finding. Both classes answer the same questions, so that what is measured (`weigh`) does not depend on the mode.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np

from brodmann.errors import SettingsError, WeightsError
from brodmann.fractal import sampling, walk
from brodmann.fractal.grids import Grid
from brodmann.fractal.network import LayerCounts, NetworkSpectrum, measure
from brodmann.fractal.walk import Weighed
from brodmann.models.edges import Edges
from brodmann.models.shards import Checkpoint
from brodmann.settings import FractalSettings

USUAL_SAMPLE = 64
"""Neurons per layer of paths where none are given; the released code's first value."""

Point = tuple[float, float, float, float]
"""alpha0 and width; the same on the radii that many edges have (`network.NetworkSpectrum.trimmed`)."""


def resolved(settings: FractalSettings) -> FractalSettings:
    """Settings with the sample that paths take where none is given.

    Raises
    ------
    SettingsError
        If one hop is to be undirected.

    Examples
    --------
    >>> resolved(FractalSettings(distance="path")).sampled
    64
    """
    if settings.distance == "path":
        return dataclasses.replace(settings, sampled=settings.sampled or USUAL_SAMPLE)
    if settings.undirected:
        raise SettingsError("undirected = True: one hop follows the edges; it goes with distance = path")
    return settings


def words(settings: FractalSettings) -> str:
    """Mode of resolved settings.

    Examples
    --------
    >>> words(FractalSettings())
    'one hop, whole network'
    >>> words(FractalSettings(distance="path", sampled=32))
    'directed shortest paths, cut at the last radius; mean of 10 samples of 32 neurons a layer'
    """
    way = "one hop"
    if settings.distance == "path":
        way = f"{'un' if settings.undirected else ''}directed shortest paths, cut at the last radius"
    if not settings.sampled:
        return f"{way}, whole network"
    return f"{way}; mean of {settings.samples} samples of {settings.sampled} neurons a layer"


@dataclasses.dataclass(frozen=True, eq=False)
class Whole:
    """Every edge of the network, one hop."""

    checkpoint: Checkpoint
    counted: walk.Counted
    settings: FractalSettings
    seed: int
    """Of replicates."""
    workers: int

    @property
    def weighed(self) -> tuple[Weighed, ...]:
        """What is kept of the matrices."""
        return self.counted.weighed

    def spectra(self) -> list[list[NetworkSpectrum]]:
        """By grid, one spectrum with replicates over neurons."""
        least, draws = self.settings.min_degree, self.settings.fractal_bootstraps
        return [
            [measure(layers, grid, min_degree=least, draws=draws, seed=self.seed)]
            for layers, grid in zip(self.counted.layers, self.counted.grids, strict=True)
        ]

    def spent(self) -> "Whole":
        """The same without its tables of counts, of which nulls need the sums alone."""
        return dataclasses.replace(self, counted=dataclasses.replace(self.counted, layers=()))

    def null(self, name: str, seed: Sequence[int]) -> list[Point]:
        """One draw of a null."""
        return self._points(DRAWS[name].whole(self, seed))

    def initial(self, deviations: Mapping[str, float], seed: Sequence[int]) -> list[Point]:
        """One network of the beginning."""
        return self._points(
            [walk.noise(self.counted, grid, np.random.default_rng(seed), deviations) for grid in self.counted.grids]
        )

    def _points(self, drawn: Sequence[Sequence[LayerCounts]]) -> list[Point]:
        found = []
        for layers, grid in zip(drawn, self.counted.grids, strict=True):
            found.append(_point(measure(layers, grid, min_degree=self.settings.min_degree)))
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class Sampled:
    """Sampled networks, one hop or paths."""

    samples: sampling.Samples
    grids: tuple[Grid, ...]
    settings: FractalSettings
    workers: int

    @cached_property
    def weighed(self) -> tuple[Weighed, ...]:
        """What is kept of the matrices: sizes of the whole, codes of the sampled edges."""
        by_grid = [sampling.totals(self.samples, grid) for grid in self.grids]
        steps = zip(self.samples.networks[0].weighted, self.samples.sizes, zip(*by_grid, strict=True), strict=True)
        return tuple(Weighed(step.edges, size, tuple(totals), step.formats) for step, size, totals in steps)

    def spectra(self) -> list[list[NetworkSpectrum]]:
        """By grid, the spectrum of each sample."""
        return self._measured(lambda sample, _: sample)

    def spent(self) -> "Sampled":
        """Itself: nulls of samples change their weights."""
        return self

    def null(self, name: str, seed: Sequence[int]) -> list[Point]:
        """One draw of a null for each sample."""
        draw = DRAWS[name].sampled
        return _means(self._measured(lambda sample, at: draw(sample, np.random.default_rng([*seed, at]))))

    def initial(self, deviations: Mapping[str, float], seed: Sequence[int]) -> list[Point]:
        """One network of the beginning for each sample."""
        return _means(
            self._measured(lambda sample, at: sampling.noise(sample, np.random.default_rng([*seed, at]), deviations))
        )

    def _measured(self, changed: Callable[[sampling.Sample, int], sampling.Sample]) -> list[list[NetworkSpectrum]]:
        """Spectra by grid and sample; samples share the threads."""

        def work(at: int) -> list[NetworkSpectrum]:
            network = changed(self.samples.networks[at], at)
            try:
                return [self._spectrum(network, grid) for grid in self.grids]
            except WeightsError as error:
                raise WeightsError(f"sample {at} of {self.settings.sampled} neurons a layer: {error}") from None

        found = list(walk.in_threads(work, range(len(self.samples.networks)), self.workers, lambda _share: None))
        return [list(each) for each in zip(*found, strict=True)]

    def _spectrum(self, network: sampling.Sample, grid: Grid) -> NetworkSpectrum:
        least = self.settings.min_degree
        if self.settings.distance == "one_hop":
            return measure(sampling.one_hop(network, grid), grid, min_degree=least)
        layers = sampling.along_paths(network, grid, undirected=self.settings.undirected)
        # paths beyond the last radius were not followed, so their share is unknown
        return dataclasses.replace(measure(layers, grid, min_degree=least), beyond=float("nan"))


@dataclasses.dataclass(frozen=True)
class Draw:
    """How a null is drawn."""

    whole: Callable[["Whole", Sequence[int]], Sequence[Sequence[LayerCounts]]]
    """Of a whole network and a seed: counts by grid."""
    sampled: Callable[[sampling.Sample, np.random.Generator], sampling.Sample]
    """Of a sampled network."""


def _by_grid(
    draw: Callable[[walk.Counted, Grid, np.random.Generator], Sequence[LayerCounts]],
) -> Callable[["Whole", Sequence[int]], Sequence[Sequence[LayerCounts]]]:
    """A null that is drawn from what was counted, on each grid by itself."""
    return lambda network, seed: [
        draw(network.counted, grid, np.random.default_rng([*seed, at])) for at, grid in enumerate(network.counted.grids)
    ]


def _shuffled_rows(network: "Whole", seed: Sequence[int]) -> Sequence[Sequence[LayerCounts]]:
    """A null that reads the weights again."""
    gate, workers = network.settings.gate, network.workers
    return walk.row_permuted(network.checkpoint, network.counted, seed, gate=gate, workers=workers)


DRAWS = {
    "matched_scale": Draw(_by_grid(walk.noise), sampling.noise),
    "permuted_entries": Draw(_by_grid(walk.permuted), sampling.permuted),
    "permuted_rows": Draw(_shuffled_rows, sampling.row_permuted),
}
"""By the names of `compared.NULLS`."""

Networks = Whole | Sampled


def share(chain: Sequence[Edges], settings: FractalSettings) -> float:
    """Share of the network's neurons that each sample holds; 1 of a whole network.

    Raises
    ------
    SettingsError
        If every sample would be the whole network.
    """
    if not settings.sampled:
        return 1.0
    sizes = sampling.sizes(chain)
    taken = {name: len(each) for name, each in sampling.draw(chain, settings.sampled, 0).items()}
    if taken == sizes:
        raise SettingsError(
            f"sampled = {settings.sampled}: no layer has more than {max(sizes.values())} neurons, so every sample is "
            "the whole network; take fewer, or 0 for the network itself"
        )
    return sum(taken.values()) / sum(sizes.values())


def open_networks(
    checkpoint: Checkpoint,
    chain: Sequence[Edges],
    grids: Sequence[Grid],
    settings: FractalSettings,
    *,
    seed: int,
    workers: int,
    say: walk.Say,
) -> Networks:
    """Read a checkpoint in the mode of (resolved) settings."""
    if settings.sampled:
        places = [sampling.draw(chain, settings.sampled, number) for number in range(settings.samples)]
        read = sampling.read(checkpoint, chain, places, gate=settings.gate, workers=workers, say=say)
        return Sampled(read, tuple(grids), settings, workers)
    counted = walk.count(checkpoint, chain, grids, gate=settings.gate, workers=workers, say=say)
    return Whole(checkpoint, counted, settings, seed, workers)


def _point(spectrum: NetworkSpectrum) -> Point:
    return (spectrum.whole.alpha0, spectrum.whole.width, *spectrum.trimmed)


def _means(spectra: Sequence[Sequence[NetworkSpectrum]]) -> list[Point]:
    found = (np.mean([_point(one) for one in each], axis=0) for each in spectra)
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in found]

"""Samples of a network's neurons: s a layer, the same ones through a training, as the released code takes them.

Xiao et al. (arXiv 2402.09099) measure s neurons of a layer, 2 s of an MLP, and 3 s of queries, keys and values, for
which one draw of indices serves, and for the attention's output too. A draw is uniform without replacement and depends
on the sample's number and the layer's name and size alone: not on the checkpoint, not on a study's seed. Here this
holds for any chain; keys and values of grouped heads, which are fewer than the outputs, and wider queries are drawn on
their own. Nulls are drawn on the sampled matrices, before weights become lengths.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brodmann.fractal import walk
from brodmann.fractal.grids import Grid
from brodmann.fractal.layer_graph import LayerGraph, Link
from brodmann.fractal.network import LayerCounts
from brodmann.fractal.one_hop import Matrix, Moments, count_edges, moments, numbers
from brodmann.fractal.paths import AttentionStep, Lengths, edge_lengths
from brodmann.models.edges import Edges
from brodmann.models.heads import KEY, QUERY, VALUE
from brodmann.models.rounding import rounded_normal
from brodmann.models.shards import Checkpoint

Indices = NDArray[np.int64]
Places = Mapping[str, Indices]
Weights = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class SampledStep:
    """What a sample has of one step of the chain."""

    edges: Edges
    pieces: tuple[Weights, ...]
    """(target, source) each; several are parallel edges. None for attention."""
    rms: tuple[float, ...]
    """Root mean square of each whole matrix."""
    formats: tuple[str, ...]
    """How the file stores each."""
    start: int
    """First of the target's sampled neurons that is reached."""
    reaches: NDArray[np.bool_] | None = None
    """Attention only: (neuron, output)."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One sampled network."""

    sizes: dict[str, int]
    """Sampled neurons of each layer."""
    steps: tuple[SampledStep, ...]

    @property
    def weighted(self) -> list[SampledStep]:
        """Steps that have weights."""
        return [step for step in self.steps if step.pieces]


@dataclass(frozen=True, eq=False)
class Samples:
    """All samples of a checkpoint."""

    networks: tuple[Sample, ...]
    sizes: tuple[tuple[Moments, ...], ...]
    """Of the whole matrices of each weighted step."""


def sizes(chain: Sequence[Edges]) -> dict[str, int]:
    """Neurons of each layer of a chain."""
    found: dict[str, int] = {}
    for edges in chain:
        found[edges.source] = max(found.get(edges.source, 0), edges.sources)
        found[edges.target] = max(found.get(edges.target, 0), edges.start + edges.targets)
    return found


def draw(chain: Sequence[Edges], sampled: int, sample: int) -> dict[str, Indices]:
    """Neurons of each layer that belong to a sample.

    Parameters
    ----------
    chain
        Steps of the network.
    sampled
        Neurons per layer; MLPs give twice as many, and no layer more than it has.
    sample
        Number of the sample, from 0.

    Returns
    -------
    dict of (neuron,)
        Rising indices, by layer.

    Examples
    --------
    >>> from brodmann.models.chains import chain
    >>> from brodmann.models.shards import open_checkpoint
    >>> found = draw(chain(open_checkpoint("nano", "step0")), 16, 0)
    >>> [len(found[f"L0.{kind}"]) for kind in ("input", "qkv", "attention", "middle", "hidden")]
    [16, 48, 16, 16, 32]
    >>> bool((found["L0.qkv"][:16] == found["L0.attention"]).all())
    True
    """
    found = {
        name: _drawn(name, size, sampled * (2 if name.endswith("hidden") else 1), sample)
        for name, size in sizes(chain).items()
    }
    for edges in chain:
        if edges.heads is None:
            continue
        taken = []
        for role in (QUERY, KEY, VALUE):
            ordered = edges.heads.ordered(role)
            same = len(ordered) == edges.heads.outputs
            own = found[edges.target] if same else _drawn(f"{edges.source} {role}", len(ordered), sampled, sample)
            taken.append(ordered[own])
        found[edges.source] = np.sort(np.concatenate(taken))
    return found


def _drawn(name: str, size: int, count: int, sample: int) -> Indices:
    rng = np.random.default_rng([sample, zlib.crc32(name.encode()), size])
    return np.sort(rng.choice(size, min(count, size), replace=False))


def read(
    checkpoint: Checkpoint,
    chain: Sequence[Edges],
    places: Sequence[Places],
    *,
    gate: walk.Gate = "shorter",
    workers: int = 1,
    say: walk.Say = lambda _share: None,
) -> Samples:
    """Read the sampled entries of every matrix; each matrix is read once.

    Parameters
    ----------
    checkpoint, chain
        Where the weights are, and which layers they connect.
    places
        Neurons of each sample, from `draw`.
    gate, workers, say
        As in `walk.count`.

    Raises
    ------
    WeightsError
        If a matrix holds NaN or infinite weights, or zeros alone; it is named.
    """

    def work(edges: Edges) -> tuple[tuple[Moments, ...], list[SampledStep]]:
        if edges.heads is not None:
            return (), [_attention(edges, each) for each in places]
        whole = walk.matrices(checkpoint, edges, gate)
        size = tuple(moments(each) for each in whole)
        forms = walk.formats(checkpoint, edges, len(whole))
        return size, [_cut(edges, whole, [each.rms for each in size], forms, place) for place in places]

    found = list(walk.in_threads(work, chain, workers, say))
    networks = tuple(
        Sample({name: len(own) for name, own in place.items()}, tuple(steps[at] for _, steps in found))
        for at, place in enumerate(places)
    )
    return Samples(networks, tuple(size for size, _ in found if size))


def _cut(
    edges: Edges, whole: Sequence[Matrix], rms: Sequence[float], formats: tuple[str, ...], place: Places
) -> SampledStep:
    inside, start = _reached(edges, place)
    pieces = []
    for matrix in whole:
        rows, columns = (place[edges.source], inside) if matrix.sources_are_rows else (inside, place[edges.source])
        cut = numbers(replace(matrix, raw=np.ascontiguousarray(matrix.raw[np.ix_(rows, columns)])))
        pieces.append(np.ascontiguousarray(cut.T if matrix.sources_are_rows else cut))
    return SampledStep(edges, tuple(pieces), tuple(rms), formats, start)


def _reached(edges: Edges, place: Places) -> tuple[Indices, int]:
    """Rows of a matrix whose target neurons are in the sample, and how many of these lie before it."""
    own = place[edges.target]
    first, last = np.searchsorted(own, [edges.start, edges.start + edges.targets])
    return own[first:last] - edges.start, int(first)


def _attention(edges: Edges, place: Places) -> SampledStep:
    assert edges.heads is not None
    return SampledStep(edges, (), (), (), 0, edges.heads.reaches(place[edges.source], place[edges.target]))


def one_hop(sample: Sample, grid: Grid) -> tuple[LayerCounts, ...]:
    """Counts of the sampled edges."""
    steps = sample.weighted
    return walk.by_layer([step.edges for step in steps], [_edge_counts(step, grid) for step in steps])


def _edge_counts(step: SampledStep, grid: Grid) -> NDArray[np.uint32]:
    # as float64, whose codes are computed one by one: a table for each root mean square costs more than a sample has
    whole = [
        Matrix(piece.name, weights.astype(np.float64), "float64")
        for piece, weights in zip(step.edges.tensors[-len(step.pieces) :], step.pieces, strict=True)
    ]
    return count_edges(whole, grid, step.rms)


def totals(samples: Samples, grid: Grid) -> list[NDArray[np.int64]]:
    """Number of sampled edges of each weighted step by code, in all samples."""
    every = [
        [_edge_counts(step, grid).sum(axis=0, dtype=np.int64) for step in each.weighted] for each in samples.networks
    ]
    return [np.sum(of_step, axis=0) for of_step in zip(*every, strict=True)]


def graph(sample: Sample, grid: Grid) -> LayerGraph:
    """Lengths of all edges: 1/|w|, or rms/|w| with each whole matrix's root mean square, and 1 for attention."""
    links = []
    for step in sample.steps:
        lengths = AttentionStep(step.reaches) if step.reaches is not None else _lengths(step, grid)
        if lengths.shape[1]:  # of a few shared keys a sample may have none
            links.append(Link(step.edges.source, step.edges.target, lengths, step.start))
    return LayerGraph(dict(sample.sizes), links)


def _lengths(step: SampledStep, grid: Grid) -> Lengths:
    scales = step.rms if grid.kind == "geometric" else [1.0] * len(step.rms)
    every = [edge_lengths(piece.T, scale) for piece, scale in zip(step.pieces, scales, strict=True)]
    found: Lengths = np.minimum.reduce(every)
    return found


def along_paths(sample: Sample, grid: Grid, *, undirected: bool = False) -> tuple[LayerCounts, ...]:
    """Counts of shortest paths to all later neurons; undirected, to all others."""
    blocks: dict[str, int] = {}
    for step in reversed(sample.steps):
        blocks.setdefault(step.edges.target, step.edges.block)
    blocks |= {step.edges.source: step.edges.block for step in reversed(sample.steps)}
    counts = graph(sample, grid).counts(grid, undirected=undirected)
    return tuple(
        LayerCounts(name, name.rpartition(".")[2], blocks[name], table) for name, table in counts.items() if len(table)
    )


def noise(sample: Sample, rng: np.random.Generator, deviations: Mapping[str, float] | None = None) -> Sample:
    """Normal noise with each whole matrix's root mean square, or with given deviations by tensor name."""

    def work(step: SampledStep) -> SampledStep:
        rms = step.rms
        if deviations is not None:
            rms = tuple(deviations[piece.name] for piece in step.edges.tensors[-len(rms) :])
        drawn = [
            _normal(each.shape, size, form, rng, stored=deviations is None)
            for each, size, form in zip(step.pieces, rms, step.formats, strict=True)
        ]
        return replace(step, pieces=tuple(each for each, _ in drawn), rms=tuple(size for _, size in drawn))

    return _changed(sample, work)


def _normal(
    shape: tuple[int, ...], size: float, form: str, rng: np.random.Generator, *, stored: bool
) -> tuple[Weights, float]:
    """Normal noise of a size, as a format gives it back, and its root mean square; ``stored``: `size` is after it."""
    known = rounded_normal(form)
    if known is None:
        return rng.standard_normal(shape, np.float32) * np.float32(size), size
    stretch = float(np.sqrt(np.mean(known.astype(np.float64) ** 2)))
    deviation = size / stretch if stored else size
    return rng.choice(known, shape) * np.float32(deviation), deviation * stretch


def permuted(sample: Sample, rng: np.random.Generator) -> Sample:
    """Entries of each matrix in random places; parallel edges stay together."""

    def work(step: SampledStep) -> SampledStep:
        order = rng.permutation(step.pieces[0].size)
        return replace(step, pieces=tuple(each.reshape(-1)[order].reshape(each.shape) for each in step.pieces))

    return _changed(sample, work)


def row_permuted(sample: Sample, rng: np.random.Generator) -> Sample:
    """Entries of each target neuron shuffled among its sources; parallel edges stay together."""

    def work(step: SampledStep) -> SampledStep:
        rows, columns = step.pieces[0].shape
        order = rng.permuted(np.tile(np.arange(columns), (rows, 1)), axis=1)
        return replace(step, pieces=tuple(np.take_along_axis(each, order, axis=1) for each in step.pieces))

    return _changed(sample, work)


def _changed(sample: Sample, work: Callable[[SampledStep], SampledStep]) -> Sample:
    return replace(sample, steps=tuple(work(step) if step.pieces else step for step in sample.steps))

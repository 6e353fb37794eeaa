"""From a checkpoint to counts: every matrix of a chain is read once, counted on all grids, and let go.

The real network comes from `count`; `noise` and `permuted` draw nulls from what `count` kept of each matrix (its size
and how its entries are distributed), without reading weights again; `row_permuted` reads them again. Matrices are
worked on by as many threads as there are cores: reading and counting hold no interpreter lock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from brodmann.errors import WeightsError
from brodmann.fractal import nulls
from brodmann.fractal.grids import Grid
from brodmann.fractal.network import LayerCounts
from brodmann.fractal.one_hop import Counts, Matrix, Moments, count_halves, edge_codes, moments
from brodmann.models.edges import Edges
from brodmann.models.rounding import rounded_normal
from brodmann.models.shards import Checkpoint

T = TypeVar("T")
R = TypeVar("R")
Say = Callable[[float], None]
Gate = Literal["shorter", "up_only"]
Halves = NDArray[np.unsignedinteger]


@dataclass(frozen=True, eq=False)
class Weighed:
    """What is kept of one matrix, or of several that hold parallel edges."""

    edges: Edges
    size: tuple[Moments, ...]
    """Of each piece."""
    totals: tuple[NDArray[np.int64], ...]
    """By grid: how many edges have each code."""
    formats: tuple[str, ...] = ()
    """Of each piece: how its file stores it."""

    @property
    def name(self) -> str:
        """Names of the tensors."""
        return " and ".join(piece.name for piece in self.edges.tensors)


@dataclass(frozen=True, eq=False)
class Counted:
    """Counts of a network on every grid, and what was kept of its matrices."""

    grids: tuple[Grid, ...]
    layers: tuple[tuple[LayerCounts, ...], ...]
    """By grid."""
    weighed: tuple[Weighed, ...]


@dataclass(frozen=True, eq=False)
class _One:
    weighed: Weighed
    counts: tuple[Counts, ...]
    halves: tuple[Halves, ...]


def matrices(checkpoint: Checkpoint, edges: Edges, gate: Gate = "shorter") -> list[Matrix]:
    """Read the matrices of one step of a chain; with `up_only` a gated MLP's gate is left out."""
    pieces = edges.tensors if gate == "shorter" or edges.kind != "mlp_in" else edges.tensors[-1:]
    found = []
    for piece in pieces:
        stored = piece.read(checkpoint)
        found.append(Matrix(piece.name, stored.raw, stored.storage, sources_are_rows=piece.transposed))
    return found


def count(
    checkpoint: Checkpoint,
    chain: Sequence[Edges],
    grids: Sequence[Grid],
    *,
    gate: Gate = "shorter",
    workers: int = 1,
    say: Say = lambda _share: None,
) -> Counted:
    """Count the edges of a checkpoint's network.

    Parameters
    ----------
    checkpoint, chain
        Where the weights are, and which layers they connect.
    grids
        Distances that are told apart.
    gate
        Whether the two matrices into gated neurons are parallel edges of which the shorter counts, or the gate is
        ignored.
    workers
        Threads; each holds one matrix.
    say
        Told the finished share.

    Raises
    ------
    WeightsError
        If a matrix holds NaN or infinite weights, or zeros alone; it is named.
    """

    def work(edges: Edges) -> _One:
        read = matrices(checkpoint, edges, gate)
        size = tuple(moments(each) for each in read)
        rms = [each.rms for each in size]
        both = [count_halves(read, grid, rms) for grid in grids]
        counts = tuple(each for each, _ in both)
        totals = tuple(each.sum(axis=0, dtype=np.int64) for each in counts)
        return _One(
            Weighed(edges, size, totals, formats(checkpoint, edges, len(read))),
            counts,
            tuple(narrow(half) for _, half in both),
        )

    steps = weighted(chain)
    found = list(in_threads(work, steps, workers, say))
    layers = tuple(
        by_layer(steps, [one.counts[at] for one in found], [one.halves[at] for one in found])
        for at in range(len(grids))
    )
    return Counted(tuple(grids), layers, tuple(one.weighed for one in found))


def noise(
    counted: Counted, grid: Grid, rng: np.random.Generator, deviations: Mapping[str, float] | None = None
) -> tuple[LayerCounts, ...]:
    """Counts of normal noise with each matrix's root mean square, or with given deviations by tensor name.

    Where the file stores weights in blocks of few bits, noise is stored so too before it is counted.
    """
    counts = []
    for each in counted.weighed:
        rounded = [_magnitudes(form) for form in each.formats]
        sizes = [size.rms for size in each.size]
        if deviations is not None:
            sizes = [deviations[piece.name] for piece in each.edges.tensors[-len(sizes) :]]
        stretch = [1.0 if known is None else float(np.sqrt(np.mean(known**2))) for known in rounded]
        scales = [a * b for a, b in zip(sizes, stretch, strict=True)] if deviations is not None else sizes
        if deviations is None:
            sizes = [a / b for a, b in zip(sizes, stretch, strict=True)]
        chances = nulls.code_probabilities(
            grid, sizes, scales if grid.kind == "geometric" else [1.0] * len(sizes), rounded
        )
        counts.append(nulls.gaussian_counts(each.edges.sources, each.edges.targets, chances, rng))
    return by_layer([each.edges for each in counted.weighed], counts)


def formats(checkpoint: Checkpoint, edges: Edges, read: int) -> tuple[str, ...]:
    """How the file stores the matrices of a step that were read, which are its last ones."""
    return tuple(checkpoint.entry(piece.name).dtype for piece in edges.tensors[-read:])


@cache
def _magnitudes(form: str) -> NDArray[np.float64] | None:
    """Magnitudes of rounded normal numbers, in rising order."""
    known = rounded_normal(form)
    return None if known is None else np.sort(np.abs(known)).astype(np.float64)


def permuted(counted: Counted, grid: Grid, rng: np.random.Generator) -> tuple[LayerCounts, ...]:
    """Counts after the edges of every matrix were put in random places."""
    at = counted.grids.index(grid)
    counts = [
        nulls.permuted_counts(each.totals[at], each.edges.sources, each.edges.targets, rng) for each in counted.weighed
    ]
    return by_layer([each.edges for each in counted.weighed], counts)


def row_permuted(
    checkpoint: Checkpoint,
    counted: Counted,
    seed: Sequence[int],
    *,
    gate: Gate = "shorter",
    workers: int = 1,
    say: Say = lambda _share: None,
) -> tuple[tuple[LayerCounts, ...], ...]:
    """Counts, by grid, after the edges of every target neuron were shuffled among its sources."""

    def work(at: int) -> tuple[Counts, ...]:
        each = counted.weighed[at]
        read, rms = matrices(checkpoint, each.edges, gate), [size.rms for size in each.size]
        turned = read[0].sources_are_rows
        return tuple(
            nulls.row_permuted_counts(
                edge_codes(read, grid, rms), each.edges.sources, grid, [_state(*seed, at, k)], sources_are_rows=turned
            )[0]
            for k, grid in enumerate(counted.grids)
        )

    found = list(in_threads(work, range(len(counted.weighed)), workers, say))
    steps = [each.edges for each in counted.weighed]
    return tuple(by_layer(steps, [one[at] for one in found]) for at in range(len(counted.grids)))


def each_matrix(
    checkpoint: Checkpoint,
    steps: Sequence[Edges],
    work: Callable[[Matrix], R],
    gate: Gate,
    workers: int,
    say: Say = lambda _share: None,
) -> list[R]:
    """What some work gives for every matrix, in the order of the steps."""
    found = in_threads(lambda edges: [work(each) for each in matrices(checkpoint, edges, gate)], steps, workers, say)
    return [each for several in found for each in several]


def weighted(chain: Sequence[Edges]) -> list[Edges]:
    """Steps that have weights."""
    steps = [edges for edges in chain if edges.tensors]
    if not steps:
        raise WeightsError("the chain has no step with weights")
    return steps


def _state(*place: int) -> int:
    return int(np.random.default_rng(place).integers(2**63))


def in_threads(work: Callable[[T], R], items: Sequence[T], workers: int, say: Say) -> Iterator[R]:
    """Results in order; as many matrices are in memory as there are workers."""
    if workers <= 1:
        for done, item in enumerate(items, start=1):
            yield work(item)
            say(done / len(items))
        return
    with ThreadPoolExecutor(workers) as pool:
        try:
            for done, result in enumerate(pool.map(work, items), start=1):
                yield result
                say(done / len(items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def narrow(counts: Counts) -> Halves:
    """The same numbers in two bytes each, if they fit."""
    return counts.astype(np.uint16) if counts.max(initial=0) < 1 << 16 else counts


def by_layer(
    steps: Sequence[Edges], counts: Sequence[Counts], halves: Sequence[Halves] | None = None
) -> tuple[LayerCounts, ...]:
    """Tables of layers: those of the matrices that start at one layer are added."""
    found: dict[str, LayerCounts] = {}
    for at, (edges, table) in enumerate(zip(steps, counts, strict=True)):
        half = None if halves is None else halves[at]
        before = found.get(edges.source)
        if before is not None:
            table = before.counts + table
            if half is not None and before.half is not None:
                half = narrow(before.half.astype(np.uint32) + half)
        found[edges.source] = LayerCounts(edges.source, edges.source.rpartition(".")[2], edges.block, table, half)
    return tuple(found.values())

"""Shortest paths through a layered network, exact, all pairs: D(a, b + 1) = D(a, b) (min, +) W_b.

The definition of the text of Xiao et al. (arXiv 2402.09099): distance 1/|w| along an edge, shortest directed path to
every later neuron. Layers make a priority queue needless: each (min, +) product is exact and adds in the order in
which Dijkstra's algorithm adds from the source, so both agree to the last bit. Edges without a weight (attention from
queries, keys and values to its output) have the length 1. Against the direction of the edges a path may zigzag, which
no product of layers knows: `undirected_distances` is Dijkstra's algorithm itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import dijkstra

from brodmann.errors import WeightsError
from brodmann.fractal import fused
from brodmann.fractal.grids import Grid

Lengths = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AttentionStep:
    """Structural edges of length 1 from queries, keys and values to the attention's output."""

    reaches: NDArray[np.bool_]
    """(neuron, output): whether there is an edge."""

    @classmethod
    def by_groups(cls, groups: NDArray[np.int64], key_groups: NDArray[np.int64]) -> "AttentionStep":
        """Edges where queries, then keys, then values lie one after the other.

        A query reaches the output of the same index only; keys and values of a group reach all outputs of its heads.

        Parameters
        ----------
        groups : (output,)
            Group of keys and values that each output listens to.
        key_groups : (key,)
            Group of each key, and of the value of the same index.
        """
        same = key_groups[:, None] == groups[None, :]
        return cls(np.concatenate([np.eye(len(groups), dtype=bool), same, same]))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries, keys and values together, and of outputs."""
        return self.reaches.shape[0], self.reaches.shape[1]

    def dense(self) -> Lengths:
        """Lengths as a matrix, infinite where there is no edge."""
        return np.where(self.reaches, 1.0, np.inf)

    def extend(self, distances: Lengths) -> Lengths:
        """Continue paths by this step: a minimum per group of neurons with the same edges instead of a product."""
        starts, order, listened = self._groups
        least = np.full((len(distances), len(starts) + 1), np.inf)
        if len(order):
            least[:, :-1] = np.minimum.reduceat(distances[:, order], starts, axis=1)
        found: Lengths = least[:, listened].min(axis=1) + 1.0
        return found

    @cached_property
    def _groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """First of each group in an order of the neurons, that order, and the groups (place, output) of each output.

        Places that an output does not need hold the number of groups, behind the last.
        """
        there = np.flatnonzero(self.reaches.any(axis=1))
        patterns, group = np.unique(self.reaches[there], axis=0, return_inverse=True)
        group = group.reshape(-1)
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], np.arange(len(patterns)))
        listened = np.full((max(1, int(patterns.sum(axis=0).max(initial=0))), self.shape[1]), len(patterns))
        for output in range(self.shape[1]):
            own = np.flatnonzero(patterns[:, output])
            listened[: len(own), output] = own
        return starts, there[order], listened


Step = Lengths | AttentionStep


def edge_lengths(weights: NDArray[np.floating], scale: float = 1.0) -> Lengths:
    """Lengths scale/|w| of the edges of weights (source, target); a zero weight is no edge."""
    with np.errstate(divide="ignore"):
        return np.asarray(scale / np.abs(np.asarray(weights, dtype=np.float64)))


def layered_distances(lengths: Sequence[Step], r_max: float | None = None) -> Lengths:
    """Distances between all neurons of consecutive layers along the edges.

    Parameters
    ----------
    lengths
        For each pair of consecutive layers the lengths (source, target) of its edges, infinite where there is none,
        or an `AttentionStep`.
    r_max
        Longer paths may be given as infinite, which saves following them; None follows all.

    Returns
    -------
    (node, node)
        Nodes in the order of their layers; infinite where there is no path, 0 on the diagonal.

    Raises
    ------
    WeightsError
        If layers do not fit each other, or a length is negative or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> layered_distances([np.array([[2.0, 5.0]]), np.array([[3.0], [1.0]])])[0]
    array([0., 2., 5., 5.])
    """
    starts = _starts(lengths)
    found = np.full((starts[-1], starts[-1]), np.inf)
    np.fill_diagonal(found, 0.0)
    for source in range(len(lengths)):
        for target, distances in _from_layer(lengths, source, r_max):
            found[starts[source] : starts[source + 1], starts[target] : starts[target + 1]] = distances
    return found


def path_counts(lengths: Sequence[Step], grid: Grid) -> list[NDArray[np.uint32]]:
    """Count each neuron's shortest paths to all later neurons by distance; distances are never kept.

    Returns
    -------
    list of (source, code)
        One table per layer but the last; see `brodmann.fractal.grids` for codes.
    """
    _starts(lengths)
    found = []
    for source in range(len(lengths)):
        counts: NDArray[np.uint32] | None = None
        for _, distances in _from_layer(lengths, source, grid.high):
            codes = grid.codes(distances)
            if counts is None:
                counts = np.zeros((len(codes), grid.beyond + 1), np.uint32)
            fused.count_rows(codes, 1 << 30, counts[None])
        assert counts is not None
        found.append(counts)
    return found


def undirected_distances(lengths: Sequence[Step], sources: NDArray[np.int64] | None = None) -> Lengths:
    """Distances where edges may be walked in both directions (Dijkstra's algorithm).

    Parameters
    ----------
    lengths
        As in `layered_distances`.
    sources : (source,), optional
        Nodes to start from; all where none are given.

    Returns
    -------
    (source, node)
    """
    return np.asarray(dijkstra(_sparse(lengths), directed=False, indices=sources))


def extended(distances: Lengths, step: Step, limit: float) -> Lengths:
    """Paths continued by one step; those beyond the limit may come as infinite."""
    if isinstance(step, AttentionStep):
        return step.extend(distances)
    edges = np.ascontiguousarray(step, dtype=np.float64)
    found: Lengths = fused.min_plus(distances, edges, edges.min(axis=1), limit)
    return found


def begun(step: Step) -> Lengths:
    """Paths of one step."""
    return step.dense() if isinstance(step, AttentionStep) else np.ascontiguousarray(step, dtype=np.float64)


def _from_layer(lengths: Sequence[Step], source: int, r_max: float | None) -> Iterator[tuple[int, Lengths]]:
    """Distances from one layer to each later one, as long as some path is not beyond r_max."""
    limit = np.inf if r_max is None else r_max
    distances = begun(lengths[source])
    yield source + 1, distances
    for at in range(source + 1, len(lengths)):
        if not distances.size or distances.min() > limit:
            return
        distances = extended(distances, lengths[at], limit)
        yield at + 1, distances


def _starts(lengths: Sequence[Step]) -> list[int]:
    """First node of each layer, and the number of nodes."""
    if not lengths:
        raise WeightsError("paths need at least two layers")
    starts = [0]
    for at, step in enumerate(lengths):
        if at and lengths[at - 1].shape[1] != step.shape[0]:
            raise WeightsError(
                f"step {at} begins at {step.shape[0]} neurons, step {at - 1} ends at {lengths[at - 1].shape[1]}"
            )
        if not isinstance(step, AttentionStep) and not np.all(step >= 0):
            raise WeightsError(f"step {at} holds lengths that are negative or NaN")
        starts.append(starts[-1] + step.shape[0])
    return [*starts, starts[-1] + lengths[-1].shape[1]]


def _sparse(lengths: Sequence[Step]) -> csr_array:
    starts = _starts(lengths)
    rows, columns, values = [], [], []
    for at, step in enumerate(lengths):
        edges = step.dense() if isinstance(step, AttentionStep) else step
        i, j = np.nonzero(np.isfinite(edges))
        rows.append(i + starts[at])
        columns.append(j + starts[at + 1])
        values.append(edges[i, j])
    place = (np.concatenate(rows), np.concatenate(columns))
    return csr_array(coo_array((np.concatenate(values), place), shape=(starts[-1], starts[-1])))

"""Shortest paths where layers form a graph and not a line: parallel blocks, experts, latents, cross-attention.

Layers of neurons are the nodes of a directed graph without cycles. From one layer of sources, the distances to a later
layer are the elementwise minimum over its incoming steps of D (min, +) W, taken in topological order: when a layer is
left, all ways into it have been seen, so that the result is exact, and equal to Dijkstra's on the neurons to the last
bit. For a line of layers it is `paths.layered_distances`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import dijkstra

from brodmann.errors import WeightsError
from brodmann.fractal import fused
from brodmann.fractal.grids import Grid
from brodmann.fractal.paths import AttentionStep, Lengths, Step, begun, extended

_SOURCES = 256
"""Sources of Dijkstra's algorithm at a time: their distances to all neurons are in memory."""


@dataclass(frozen=True, eq=False)
class Link:
    """Edges from one layer to a part of another."""

    source: str
    target: str
    lengths: Step
    """(source neuron, target neuron), infinite where there is no edge."""
    start: int = 0
    """First neuron of the target that is reached: queries, keys and values in matrices of their own share a layer."""


@dataclass(frozen=True, eq=False)
class LayerGraph:
    """Layers and the edges between them.

    Raises
    ------
    WeightsError
        If layers run in a circle, a step does not fit its layers, two have the same edges, or a length is negative or
        NaN.

    Examples
    --------
    >>> import numpy as np
    >>> both = [Link("a", "b", np.array([[2.0]])), Link("b", "c", np.array([[3.0]])), Link("a", "c", np.array([[4.0]]))]
    >>> LayerGraph({"a": 1, "b": 1, "c": 1}, both).distances()[0]
    array([0., 2., 4.])
    """

    sizes: dict[str, int]
    """Neurons of each layer."""
    links: Sequence[Link]

    def __post_init__(self) -> None:
        taken: set[tuple[str, str, int]] = set()
        for link in self.links:
            rows, columns = link.lengths.shape
            room = self.sizes.get(link.target, 0) - link.start
            if rows != self.sizes.get(link.source, 0) or columns > room:
                raise WeightsError(f"the step from {link.source} to {link.target} does not fit these layers")
            if not isinstance(link.lengths, AttentionStep) and not np.all(link.lengths >= 0):
                raise WeightsError(
                    f"the step from {link.source} to {link.target} holds lengths that are negative or NaN"
                )
            reached = {(link.source, link.target, link.start + at) for at in range(columns)}
            if reached & taken:  # of parallel edges the caller keeps the shorter
                raise WeightsError(f"two steps from {link.source} to {link.target} reach the same neurons")
            taken |= reached
        _ = self.order

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Layers, each after all that lead to it."""
        before: dict[str, list[str]] = {name: [] for name in self.sizes}
        for link in self.links:
            before[link.target].append(link.source)
        try:
            return tuple(TopologicalSorter(before).static_order())
        except CycleError:
            raise WeightsError("the layers run in a circle") from None

    @cached_property
    def starts(self) -> dict[str, int]:
        """First node of each layer, where all neurons are numbered in the order of the layers."""
        ends = np.cumsum([0, *(self.sizes[name] for name in self.order)])
        return dict(zip(self.order, ends[:-1].tolist(), strict=True))

    @property
    def sources(self) -> tuple[str, ...]:
        """Layers that edges leave, in order."""
        there = {link.source for link in self.links}
        return tuple(name for name in self.order if name in there)

    @cached_property
    def _leaving(self) -> dict[str, list[Link]]:
        found: dict[str, list[Link]] = {}
        for link in self.links:
            found.setdefault(link.source, []).append(link)
        return found

    def from_layer(self, source: str, r_max: float | None = None) -> Iterator[tuple[str, Lengths]]:
        """Distances from a layer to each one that it leads to, in order; beyond r_max they may come as infinite."""
        limit = np.inf if r_max is None else r_max
        open_: dict[str, Lengths] = {}
        for name in self.order[self.order.index(source) :]:
            distances = None
            if name != source:
                distances = open_.pop(name, None)
                if distances is None:
                    continue
                yield name, distances
                if not distances.size or distances.min() > limit:
                    continue
            for link in self._leaving.get(name, []):
                part = begun(link.lengths) if distances is None else extended(distances, link.lengths, limit)
                if link.target not in open_:
                    open_[link.target] = np.full((self.sizes[source], self.sizes[link.target]), np.inf)
                reached = open_[link.target][:, link.start : link.start + part.shape[1]]
                np.minimum(reached, part, out=reached)

    def distances(self, r_max: float | None = None) -> Lengths:
        """Distances (node, node) between all neurons in the order of the layers; infinite where there is no path."""
        count = sum(self.sizes.values())
        found = np.full((count, count), np.inf)
        np.fill_diagonal(found, 0.0)
        for source in self.sources:
            rows = slice(self.starts[source], self.starts[source] + self.sizes[source])
            for target, part in self.from_layer(source, r_max):
                found[rows, self.starts[target] : self.starts[target] + self.sizes[target]] = part
        return found

    def counts(self, grid: Grid, *, undirected: bool = False) -> dict[str, NDArray[np.uint32]]:
        """Count each neuron's shortest paths by distance; distances are never kept.

        Parameters
        ----------
        grid
            Distances that are told apart; paths beyond its last radius are not followed.
        undirected
            Edges may be walked in both directions: every neuron's paths to all others, by Dijkstra's algorithm.

        Returns
        -------
        dict of (source, code)
            By layer, those that edges leave; undirected, all that have edges. Only paths found are counted: what lies
            beyond the grid is not complete.
        """
        return self._counts_both_ways(grid) if undirected else self._counts_onward(grid)

    def _counts_onward(self, grid: Grid) -> dict[str, NDArray[np.uint32]]:
        found = {}
        for source in self.sources:
            counts = np.zeros((self.sizes[source], grid.bad + 1), np.uint32)
            for _, distances in self.from_layer(source, grid.high):
                fused.count_rows(grid.codes(distances), 1 << 30, counts[None])
            found[source] = counts[:, : grid.bad]
        return found

    def _counts_both_ways(self, grid: Grid) -> dict[str, NDArray[np.uint32]]:
        edges, found = self.sparse(), {}
        touched = {name for link in self.links for name in (link.source, link.target)}
        for name in self.order:
            if name not in touched:
                continue
            counts = np.zeros((self.sizes[name], grid.bad + 1), np.uint32)
            for start in range(0, self.sizes[name], _SOURCES):
                rows = np.arange(start, min(start + _SOURCES, self.sizes[name]))
                nodes = rows + self.starts[name]
                distances = np.asarray(dijkstra(edges, directed=False, indices=nodes, limit=grid.high))
                others = np.ones(distances.shape, dtype=bool)
                others[np.arange(len(nodes)), nodes] = False  # a neuron is no path to itself
                rest = distances[others].reshape(len(nodes), -1)
                fused.count_rows(grid.codes(rest), 1 << 30, counts[None, rows[0] : rows[-1] + 1])
            found[name] = counts[:, : grid.bad]
        return found

    def sparse(self) -> csr_array:
        """All edges between neurons in the order of the layers."""
        rows, columns, values = [], [], []
        for link in self.links:
            edges = begun(link.lengths)
            i, j = np.nonzero(np.isfinite(edges))
            rows.append(i + self.starts[link.source])
            columns.append(j + self.starts[link.target] + link.start)
            values.append(edges[i, j])
        count = sum(self.sizes.values())
        place = (np.concatenate(rows), np.concatenate(columns))
        return csr_array(coo_array((np.concatenate(values), place), shape=(count, count)))

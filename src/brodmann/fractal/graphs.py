"""Graphs and cascades whose spectrum is known, for teaching and for tests.

Node-sum convention throughout: rings and tori are vertex-transitive, so their width is 0; a path shows what a boundary
does; (u, v)-flowers (Rozenfeld, Havlin and ben-Avraham 2007) and Sierpinski gaskets approach a theoretical dimension
slowly; Watts-Strogatz rings (1998) go from a line to a small world; cascades have a closed form
(`spectrum.box_exponent`). Graphs are adjacency matrices, to be measured with `hop_mass`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import shortest_path

from brodmann.errors import WeightsError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Mass:
    """What `brodmann.fractal.spectrum.multifractal_spectrum` takes."""

    mass: Float[Array, "node radius"]
    radii: Float[Array, " radius"]


def hop_mass(adjacency: csr_array, *, include_self: bool = True) -> Mass:
    """Number of nodes within r steps of each node, for r from 1 to the diameter.

    Parameters
    ----------
    adjacency : (node, node)
        Nonzero where there is an edge; edges are walked both ways.
    include_self
        Whether a node counts itself, as the released code of Xiao et al. does.

    Raises
    ------
    WeightsError
        If the graph is not connected.

    Examples
    --------
    >>> from brodmann.fractal.spectrum import multifractal_spectrum
    >>> found = hop_mass(ring(1001), include_self=False)
    >>> round(multifractal_spectrum(found.mass, found.radii).alpha0, 12)
    1.0
    """
    steps = shortest_path(adjacency, directed=False, unweighted=True)
    if not np.all(np.isfinite(steps)):
        raise WeightsError("the graph is not connected")
    hops = steps.astype(np.int64)
    diameter = int(hops.max())
    rows = np.arange(len(hops))[:, None]
    counts = np.bincount((rows * (diameter + 1) + hops).ravel(), minlength=len(hops) * (diameter + 1))
    within = counts.reshape(len(hops), -1)[:, 1:].cumsum(axis=1)
    return Mass(within.astype(np.float64) + include_self, np.arange(1.0, diameter + 1))


def _graph(edges: NDArray[np.int64], nodes: int) -> csr_array:
    ones = np.ones(len(edges))
    one_way = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(nodes, nodes)).tocsr()
    return csr_array((one_way + one_way.T) > 0)


def ring(nodes: int) -> csr_array:
    """Cycle: dimension 1."""
    at = np.arange(nodes)
    return _graph(np.stack([at, (at + 1) % nodes], axis=1), nodes)


def path(nodes: int) -> csr_array:
    """Cycle that is cut open: its ends see less, which makes a little width."""
    at = np.arange(nodes - 1)
    return _graph(np.stack([at, at + 1], axis=1), nodes)


def torus(side: int) -> csr_array:
    """Square lattice without a boundary: dimension 2, approached slowly."""
    at = np.arange(side * side).reshape(side, side)
    pairs = [np.stack([at.ravel(), np.roll(at, -1, axis).ravel()], axis=1) for axis in (0, 1)]
    return _graph(np.concatenate(pairs), side * side)


def star(leaves: int) -> csr_array:
    """One centre: two radii at most, so no spectrum."""
    return _graph(np.stack([np.zeros(leaves, np.int64), np.arange(1, leaves + 1)], axis=1), leaves + 1)


def complete(nodes: int) -> csr_array:
    """Every node beside every other: one radius, so no spectrum."""
    return _graph(np.argwhere(np.triu(np.ones((nodes, nodes)), 1)), nodes)


def flower(u: int, v: int, generation: int) -> csr_array:
    """(u, v)-flower: a cycle of u + v edges, each edge replaced by paths of u and of v edges, again and again.

    Its dimension is ln(u + v) / ln(min(u, v)) for min(u, v) > 1; with 1 it is a small world without one.
    """
    edges = np.array([[k, (k + 1) % (u + v)] for k in range(u + v)])
    nodes = u + v
    for _ in range(generation - 1):
        new: list[tuple[int, int]] = []
        for a, b in edges.tolist():
            for length in (u, v):
                inner = list(range(nodes, nodes + length - 1))
                nodes += length - 1
                chain = [a, *inner, b]
                new += pairwise(chain)
        edges = np.array(new)
    return _graph(edges, nodes)


def gasket(generation: int) -> csr_array:
    """Sierpinski gasket: dimension ln 3 / ln 2."""
    corners = np.array([[0, 0]])
    for step in range(generation):
        side = 2**step
        corners = np.concatenate([corners + np.array(shift) for shift in ((0, 0), (side, 0), (0, side))])
    triangles = corners[:, None, :] + np.array([[0, 0], [1, 0], [0, 1]])
    places, index = np.unique(triangles.reshape(-1, 2), axis=0, return_inverse=True)
    index = index.reshape(-1, 3)
    edges = np.concatenate([index[:, [0, 1]], index[:, [0, 2]], index[:, [1, 2]]])
    return _graph(edges, len(places))


def watts_strogatz(nodes: int, neighbours: int, p: float, rng: np.random.Generator) -> csr_array:
    """Ring of neighbours, each edge's far end moved elsewhere with probability p (Watts and Strogatz 1998)."""
    linked = [set[int]() for _ in range(nodes)]
    ends = [(i, (i + k) % nodes) for k in range(1, neighbours // 2 + 1) for i in range(nodes)]
    for i, j in ends:
        linked[i].add(j)
        linked[j].add(i)
    for i, j in ends:
        if rng.random() >= p or len(linked[i]) >= nodes - 1:
            continue
        new = int(rng.integers(nodes))
        while new == i or new in linked[i]:
            new = int(rng.integers(nodes))
        linked[i].remove(j)
        linked[j].remove(i)
        linked[i].add(new)
        linked[new].add(i)
    edges = np.array([(i, j) for i, others in enumerate(linked) for j in others if i < j])
    return _graph(edges, nodes)


def cascade(parts: Sequence[int], ratio: float | int, generations: int) -> Mass:
    """Mass around each grain of a multiplicative cascade, whose grains lie in its branches as `parts` say.

    Parameters
    ----------
    parts
        Whole numbers: [1, 0, 1] is the Cantor set, [3, 7] a binomial measure.
    ratio
        How much smaller a branch is than what it grows from.
    generations
        Number of branchings; there are sum(parts)^generations grains.

    Examples
    --------
    >>> from brodmann.fractal.spectrum import multifractal_spectrum
    >>> found = cascade([1, 0, 1], 3, 6)
    >>> round(multifractal_spectrum(found.mass, found.radii).alpha0, 6)
    0.63093
    """
    kept = [part for part in parts if part > 0]
    rows = np.ones((1, 1))
    for _ in range(generations):
        rows = np.concatenate([np.concatenate([rows, rows[:, -1:] * part], axis=1) for part in kept])
    grains = rows[:, -1].astype(np.int64)
    shares = rows / float(sum(kept)) ** np.arange(generations + 1)
    radii = float(ratio) ** np.arange(-generations, 1.0)
    return Mass(np.repeat(shares[:, ::-1], grains, axis=0), radii)

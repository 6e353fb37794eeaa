"""Graph measures on the weights of pairs: the kernels under `graphs`.

A network of n units is a vector of its n (n - 1) / 2 non-negative weights, upper triangle row by row, so that to
exchange weights is to exchange entries. Shortest paths by Floyd (1962) and Warshall (1962), compiled with numba;
communities by igraph. Not here: weightings and null comparisons, see `graphs`.
"""

import functools
import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import igraph
import numpy as np
from jaxtyping import Float, Int
from numba import njit

from brodmann.stats import random_orders

Algorithm = Literal["leiden", "louvain"]
NullKind = Literal["weight_permuted", "layer_preserving", "strength_preserving"]

BLOCK = 2_000_000
"""Numbers that are drawn at once for null graphs: bounds memory at about 50 MB."""


def _floyd_warshall(lengths):  # type: ignore[no-untyped-def]
    """Floyd-Warshall in place on the lower triangle of a symmetric array, skipping rows that nothing can shorten.

    A detour from i over k is at least d(i,k) + min_j d(k,j) long; where that is no shorter than the longest edge of i,
    no distance of i can change. With nearly equal weights every row is skipped: the direct edge is best.
    """
    n = lengths.shape[0]
    through = np.empty(n)
    longest = np.zeros(n)
    for i in range(n):
        for j in range(i):
            longest[i] = max(longest[i], lengths[i, j])
    for k in range(n):
        nearest = np.inf
        for j in range(n):
            through[j] = lengths[k, j] if j < k else lengths[j, k]
            if j != k:
                nearest = min(nearest, through[j])
        through[k] = 0.0
        for i in range(n):
            start = through[i]
            if i == k or start + nearest >= longest[i]:
                continue
            for j in range(i):
                lengths[i, j] = min(lengths[i, j], start + through[j])


# Tests wrap every function in a type checker, which numba cannot compile: hence the bare one.
_shortest = njit(cache=True, nogil=True)(inspect.unwrap(_floyd_warshall))


@functools.lru_cache(maxsize=4)
def upper(units: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the upper triangle, which are asked for several times per null graph; read-only."""
    rows, columns = np.triu_indices(units, 1)
    rows.setflags(write=False)
    columns.setflags(write=False)
    return rows, columns


def condense(network: Float[np.ndarray, "unit unit_"]) -> Float[np.ndarray, " pair"]:
    """Take the weights of the pairs, negative ones at 0."""
    return np.asarray(np.maximum(network[upper(network.shape[0])], 0.0))


def expand(weights: Float[np.ndarray, " pair"], units: int) -> Float[np.ndarray, "unit unit_"]:
    """Symmetric array of the weights, 0 on the diagonal; inverse of `condense`."""
    result = np.zeros((units, units))
    result[upper(units)] = weights
    return np.asarray(result + result.T)


def keep(weights: Float[np.ndarray, " pair"], density: float) -> Float[np.ndarray, " pair"]:
    """Keep the strongest share of the weights, set the others to 0; among equals the first win."""
    count = max(1, round(density * weights.size))
    least = np.partition(weights, weights.size - count)[weights.size - count]
    kept = weights > least
    kept[np.flatnonzero(weights == least)[: count - int(kept.sum())]] = True
    return np.where(kept, weights, 0.0)


def shortest_paths(weights: Float[np.ndarray, " pair"], units: int) -> Float[np.ndarray, " pair"]:
    """Shortest path length of each pair, edge length 1 / weight; infinite where there is no path."""
    lengths = np.full((units, units), np.inf)
    rows, columns = upper(units)
    with np.errstate(divide="ignore"):
        lengths[columns, rows] = 1.0 / weights
    _shortest(lengths)
    return np.asarray(lengths[columns, rows])


def efficiency(weights: Float[np.ndarray, " pair"], units: int) -> float:
    """Mean of 1 / shortest path length over pairs."""
    return float((1.0 / shortest_paths(weights, units)).mean())


def quality(weights: Float[np.ndarray, " pair"], partition: Int[np.ndarray, " unit"], resolution: float) -> float:
    """Modularity of a partition whose communities are numbered from 0; 0 without any weight."""
    total = 2 * float(weights.sum())
    if total == 0:
        return 0.0
    rows, columns = (partition[index] for index in upper(partition.size))
    inside = 2 * float(weights[rows == columns].sum())
    number = int(partition.max()) + 1
    strength = np.bincount(rows, weights, number) + np.bincount(columns, weights, number)
    return inside / total - resolution * float((strength**2).sum()) / total**2


def partitions(
    weights: Float[np.ndarray, " pair"],
    units: int,
    rng: np.random.Generator,
    *,
    runs: int,
    algorithm: Algorithm,
    resolution: float = 1.0,
) -> Int[np.ndarray, "run unit"]:
    """Communities of several optimiser runs, each numbered from 0."""
    present = np.flatnonzero(weights)
    if present.size == 0:
        return np.tile(np.arange(units), (runs, 1))
    if present.size == weights.size:
        graph = _complete(units)
    else:
        graph = igraph.Graph(units, np.stack(upper(units), axis=1)[present].tolist())
    values = weights[present].tolist()
    found = np.empty((runs, units), dtype=int)
    with _igraph_random(rng):
        for run in range(runs):
            if algorithm == "leiden":
                result = graph.community_leiden("modularity", weights=values, resolution=resolution)
            else:
                result = graph.community_multilevel(weights=values, resolution=resolution)
            found[run] = result.membership
    return found


def exchanged(
    weights: Float[np.ndarray, " pair"],
    layer: Int[np.ndarray, " unit"],
    rng: np.random.Generator,
    kind: NullKind,
    draws: int,
) -> Iterator[Float[np.ndarray, " pair"]]:
    """Draw null graphs; what each kind keeps is said in `graphs.null_network`."""
    cells, expected, strength = None, np.ones(weights.size), np.zeros(0)
    if kind == "layer_preserving":
        codes = np.unique(layer, return_inverse=True)[1]
        first, second = (codes[index] for index in upper(layer.size))
        cells = np.unique(np.minimum(first, second) * layer.size + np.maximum(first, second), return_inverse=True)[1]
    if kind == "strength_preserving":
        strength = strengths(weights, layer.size)
        expected = _balanced(np.ones(weights.size), np.maximum(strength, np.finfo(float).tiny))
    block = max(1, BLOCK // max(1, weights.size))
    for start in range(0, draws, block):
        for order in random_orders(weights.size, min(block, draws - start), rng, cells):
            null = (weights / expected)[order] * expected
            yield null if kind != "strength_preserving" else _balanced(null, strength)


def strengths(weights: Float[np.ndarray, " pair"], units: int) -> Float[np.ndarray, " unit"]:
    """Sum of each unit's weights."""
    return np.asarray(expand(weights, units).sum(axis=0))


def _balanced(weights: np.ndarray, strength: np.ndarray, *, tolerance: float = 1e-9, most: int = 500) -> np.ndarray:
    """Multiply rows and columns until every unit has its strength (iterative proportional fitting, symmetric form)."""
    network = expand(weights, strength.size)
    factor = np.ones(strength.size)
    for _ in range(most):
        found = factor * (network @ factor)
        ratio = np.divide(strength, found, out=np.ones(strength.size), where=found > 0)
        factor *= np.sqrt(ratio)
        if np.abs(ratio - 1).max() < tolerance:
            break
    rows, columns = upper(strength.size)
    return np.asarray(weights * factor[rows] * factor[columns])


@functools.lru_cache(maxsize=2)
def _complete(units: int) -> igraph.Graph:
    """Complete graph, whose edges come in the order of the upper triangle, row by row; nobody changes it."""
    return igraph.Graph.Full(units)


@contextmanager
def _igraph_random(rng: np.random.Generator) -> Iterator[None]:
    """Let igraph draw from a seeded source; it has one for the whole process and gets Python's back afterwards."""
    igraph.set_random_number_generator(random.Random(int(rng.integers(2**63))))  # noqa: S311 (no secret is drawn)
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)

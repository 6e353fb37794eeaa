"""How the pairs hang together: global efficiency, modularity, and null graphs.

Weighted global efficiency and modularity as in the Brain Connectivity Toolbox (Rubinov and Sporns 2010, doi
10.1016/j.neuroimage.2009.10.003), Louvain (Blondel et al. 2008) and Leiden (Traag et al. 2019). Networks are dense
(unit, unit) arrays, the diagonal is ignored. It makes no findings, and no thresholds but those that are named.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from brodmann.synergy import edges
from brodmann.synergy.edges import Algorithm, NullKind

Weighting = Literal["raw", "normalised", "density_10"]

DENSITY = 0.10


def clip_negative(network: Float[np.ndarray, "unit unit_"]) -> Float[np.ndarray, "unit unit_"]:
    """Set negative weights and the diagonal to 0; `count_negative` says how many pairs that concerned."""
    return edges.expand(edges.condense(network), network.shape[0])


def count_negative(network: Float[np.ndarray, "unit unit_"]) -> int:
    """Count the pairs with a negative weight."""
    return int((network[np.triu_indices(network.shape[0], 1)] < 0).sum())


def strongest(network: Float[np.ndarray, "unit unit_"], density: float = DENSITY) -> Float[np.ndarray, "unit unit_"]:
    """Keep the strongest share of all pairs with their weights, set the others to 0; among equals the first win."""
    return edges.expand(edges.keep(edges.condense(network), density), network.shape[0])


def weigh(network: Float[np.ndarray, "unit unit_"], weighting: Weighting) -> Float[np.ndarray, "unit unit_"]:
    """Weights as the measures see them, negative ones at 0.

    - "raw": as they are. Efficiency then grows with the mean weight, so networks of different strength do not compare.
    - "normalised": divided by the mean weight over all pairs.
    - "density_10": the strongest 10 % of the pairs, divided by their own mean.

    A network without weight stays 0.
    """
    weights = edges.condense(network)
    if weighting == "density_10":
        weights = edges.keep(weights, DENSITY)
    if weighting == "raw" or not weights.any():
        return edges.expand(weights, network.shape[0])
    mean = weights.mean() if weighting == "normalised" else weights[weights > 0].mean()
    return edges.expand(weights / mean, network.shape[0])


def distances(network: Float[np.ndarray, "unit unit_"]) -> Float[np.ndarray, "unit unit_"]:
    """Shortest path lengths of a symmetric network with edge length 1 / weight; infinite where there is no path."""
    units = network.shape[0]
    return edges.expand(edges.shortest_paths(edges.condense(network), units), units)


def global_efficiency(network: Float[np.ndarray, "unit unit_"]) -> float:
    """Weighted global efficiency: mean over ordered pairs of 1 / shortest path length, edge length 1 / weight.

    It scales with the weights, and it equals the mean weight where every direct edge is its pair's shortest path; the
    efficiency of a normalised network above 1 is what detours gain. Negative weights count as 0.

    Examples
    --------
    >>> import numpy as np
    >>> round(global_efficiency(np.array([[0, 1.0, 0.1], [1.0, 0, 1.0], [0.1, 1.0, 0]])), 6)
    0.833333
    """
    if network.shape[0] < 2:
        raise ValueError("a network needs at least two units")
    return edges.efficiency(edges.condense(network), network.shape[0])


def modularity(
    network: Float[np.ndarray, "unit unit_"], partition: Int[np.ndarray, " unit"], resolution: float = 1.0
) -> float:
    """Modularity Q of a partition of a weighted network (Newman 2004); 0 for a network without weight.

    Q = (1/2m) sum_ij [w_ij - resolution k_i k_j / 2m] over pairs in one community, 2m the weight of ordered pairs.

    Examples
    --------
    >>> import numpy as np
    >>> modularity(np.kron(np.eye(2), np.ones((2, 2))), np.array([0, 0, 1, 1]))
    0.5
    """
    codes = np.unique(partition, return_inverse=True)[1]
    return edges.quality(edges.condense(network), codes, resolution)


@dataclass(frozen=True, eq=False)
class Communities:
    """Best partition of several runs.

    Attributes
    ----------
    partition : int array (unit,)
        Community of each unit, from 0, the largest first.
    modularity : float
        Q of that partition.
    scores : array (run,)
        Q of every run; their spread says how far the optimum can be trusted. Compare `typical` with null graphs that
        had one run each: the best of many would have an advantage over them.
    """

    partition: Int[np.ndarray, " unit"]
    modularity: float
    scores: Float[np.ndarray, " run"]

    @property
    def typical(self) -> float:
        """Median Q over runs."""
        return float(np.median(self.scores))


def communities(
    network: Float[np.ndarray, "unit unit_"],
    rng: np.random.Generator,
    *,
    runs: int = 20,
    algorithm: Algorithm = "leiden",
    resolution: float = 1.0,
) -> Communities:
    """Find communities by maximising modularity, keeping the best of several seeded runs.

    Parameters
    ----------
    network : array (unit, unit)
        Symmetric weights; negative ones count as 0.
    algorithm
        "leiden" or "louvain" (the published one); both maximise the same Q, Leiden reaches higher.
    """
    return _best(edges.condense(network), network.shape[0], rng, runs, algorithm, resolution)


def null_network(
    network: Float[np.ndarray, "unit unit_"],
    rng: np.random.Generator,
    kind: NullKind,
    layer: Int[np.ndarray, " unit"],
) -> Float[np.ndarray, "unit unit_"]:
    """Draw one null graph, negative weights at 0.

    Relabelling units, within layers or not, changes neither efficiency nor modularity, so a null must move weights
    between pairs:

    - "weight_permuted": all weights exchanged among all pairs. Keeps the weights, destroys strengths and all structure.
    - "layer_preserving": weights exchanged among the pairs of the same two layers. Keeps the weights of every
      layer-by-layer block, so what remains is structure beyond "which layers are they in". With one unit per layer
      nothing can be exchanged and the null equals the network.
    - "strength_preserving": weights relative to what the units' strengths let expect are exchanged among all pairs,
      then rows and columns are rescaled to the exact strengths. Keeps "some units are strong"; the weights only nearly.
    """
    null = next(iter(edges.exchanged(edges.condense(network), layer, rng, kind, 1)))
    return edges.expand(null, network.shape[0])


def measure_networks(
    synergy: Float[np.ndarray, "unit unit_"],
    redundancy: Float[np.ndarray, "unit unit_"],
    layer: Int[np.ndarray, " unit"],
    rng: np.random.Generator,
    *,
    draws: int = 50,
    runs: int = 20,
    algorithm: Algorithm = "leiden",
    kinds: tuple[NullKind, ...] = ("weight_permuted", "layer_preserving"),
) -> xr.Dataset:
    """Measure both networks under every weighting, beside null graphs.

    Parameters
    ----------
    synergy, redundancy : arrays (unit, unit)
        Pairs in nats, symmetric.
    layer : array (unit,)
        Layer of each unit.
    draws, runs
        Null graphs per network and kind; optimiser runs for the networks themselves (null graphs get one each).
    kinds
        Null models, see `null_network`.

    Returns
    -------
    Dataset
        Dims network ("synergy", "redundancy"), weighting, graph_null, draw, run, unit:

        - efficiency (network, weighting), efficiency_null (network, weighting, graph_null, draw); nats for "raw".
        - modularity (network, weighting), best of the runs; modularity_runs (network, weighting, run);
          modularity_typical (network, weighting), the median run, which is what compares with
          modularity_null (network, weighting, graph_null, draw).
        - community (network, unit), of the raw network; clipped (network), pairs with a negative weight.
    """
    shape, units = (2, len(get_args(Weighting))), layer.size
    efficiency, quality = np.empty(shape), np.empty((*shape, runs))
    efficiency_null, quality_null = (np.empty((*shape, len(kinds), draws)) for _ in range(2))
    community = np.empty((2, units), dtype=int)
    for n, network in enumerate((synergy, redundancy)):
        weights = edges.condense(network)
        whole = _best(weights, units, rng, runs, algorithm)
        part = _best(edges.keep(weights, DENSITY), units, rng, runs, algorithm)
        community[n] = whole.partition
        efficiency[n] = _efficiencies(weights, units)
        # Modularity does not change when all weights are divided by one number, so "normalised" has that of "raw".
        quality[n] = [whole.scores, whole.scores, part.scores]
        for k, kind in enumerate(kinds):
            for draw, null in enumerate(edges.exchanged(weights, layer, rng, kind, draws)):
                efficiency_null[n, :, k, draw] = _efficiencies(null, units)
                whole = _best(null, units, rng, 1, algorithm)
                part = _best(edges.keep(null, DENSITY), units, rng, 1, algorithm)
                quality_null[n, :, k, draw] = [whole.modularity, whole.modularity, part.modularity]
    kept, nulls = ("network", "weighting"), ("network", "weighting", "graph_null", "draw")
    return xr.Dataset(
        {
            "efficiency": (kept, efficiency, _words("weighted global efficiency", "nats for raw, else 1")),
            "efficiency_null": (nulls, efficiency_null, _words("efficiency of null graphs", "nats for raw, else 1")),
            "modularity": (kept, quality.max(axis=2), _words("modularity, best run", "1")),
            "modularity_typical": (kept, np.median(quality, axis=2), _words("modularity, median run", "1")),
            "modularity_runs": ((*kept, "run"), quality, _words("modularity of every run", "1")),
            "modularity_null": (nulls, quality_null, _words("modularity of null graphs", "1")),
            "community": (("network", "unit"), community, _words("community in the raw network", "number")),
            "clipped": ("network", [count_negative(synergy), count_negative(redundancy)], _words("negative", "pairs")),
        },
        coords={
            "network": ["synergy", "redundancy"],
            "weighting": list(get_args(Weighting)),
            "graph_null": list(kinds),
        },
        attrs={"algorithm": algorithm},
    )


def measure_of_weights(
    weights: Float[np.ndarray, "draw prompt"],
    pairs: Float[np.ndarray, "prompt pair"],
    units: int,
    measure: Literal["efficiency", "modularity"],
    weighting: Weighting = "normalised",
    *,
    seed: int = 0,
) -> Float[np.ndarray, " draw"]:
    """Measure the network of every row of prompt weights, for `stats.bootstrap_interval`.

    Parameters
    ----------
    weights : array (draw, prompt)
        Rows of prompt weights.
    pairs : array (prompt, pair)
        Pair values of each prompt, upper triangle row by row, nats; averaged over prompts before anything is measured.
    measure
        Modularity is that of one Leiden run, seeded alike for every row so that rows differ by their prompts only.
    """
    values = np.empty(weights.shape[0])
    block = max(1, edges.BLOCK // max(1, pairs.shape[1]))
    means = (mean for start in range(0, values.size, block) for mean in weights[start : start + block] @ pairs)
    for draw, mean in enumerate(means):
        mean = np.maximum(mean, 0.0)
        if measure == "efficiency":
            values[draw] = _efficiencies(mean, units)[get_args(Weighting).index(weighting)]
        else:
            graph = edges.keep(mean, DENSITY) if weighting == "density_10" else mean
            values[draw] = _best(graph, units, np.random.default_rng(seed), 1, "leiden").modularity
    return values


def area_over_densities(
    measure: Callable[[np.ndarray], float],
    network: Float[np.ndarray, "unit unit_"],
    densities: tuple[float, ...] = (0.05, 0.10, 0.15, 0.20, 0.25, 0.30),
) -> float:
    """Average a measure of the thresholded network over densities (trapezoidal area divided by the range)."""
    values = [measure(strongest(network, density)) for density in densities]
    return float(np.trapezoid(values, densities) / (densities[-1] - densities[0]))


def _efficiencies(weights: np.ndarray, units: int) -> list[float]:
    """Efficiency under the three weightings; it is proportional to the weights, so a mean can be divided out after."""
    if not weights.any():
        return [0.0, 0.0, 0.0]
    raw, kept = edges.efficiency(weights, units), edges.keep(weights, DENSITY)
    return [raw, raw / float(weights.mean()), edges.efficiency(kept, units) / float(kept[kept > 0].mean())]


def _best(
    weights: np.ndarray,
    units: int,
    rng: np.random.Generator,
    runs: int,
    algorithm: Algorithm,
    resolution: float = 1.0,
) -> Communities:
    found = edges.partitions(weights, units, rng, runs=runs, algorithm=algorithm, resolution=resolution)
    scores = np.array([edges.quality(weights, partition, resolution) for partition in found])
    best = int(scores.argmax())
    return Communities(_by_size(found[best]), float(scores[best]), scores)


def _by_size(partition: np.ndarray) -> np.ndarray:
    """Number communities by size, the largest first, equal ones by their first unit."""
    _, first, codes, counts = np.unique(partition, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -counts))
    number = np.empty(order.size, dtype=int)
    number[order] = np.arange(order.size)
    return np.asarray(number[codes])


def _words(long_name: str, units: str) -> dict[str, str]:
    return {"long_name": long_name, "units": units}

"""Graph measures against the oracle, scipy, igraph and closed forms; nulls that keep what they promise."""

import json
import random

import igraph
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import floyd_warshall

from brodmann.stats import bootstrap_interval, p_value
from brodmann.synergy.edges import condense
from brodmann.synergy.graphs import (
    area_over_densities,
    clip_negative,
    communities,
    count_negative,
    distances,
    global_efficiency,
    measure_networks,
    measure_of_weights,
    modularity,
    null_network,
    strongest,
    weigh,
)


@pytest.fixture(scope="module")
def oracle(data):
    return json.loads((data / "phiid" / "rank_and_graph.json").read_text())


def heavy(rng, units: int, spread: float = 1.5) -> np.ndarray:
    upper = np.triu(rng.lognormal(0, spread, (units, units)), 1)
    return upper + upper.T


def blocks(rng, sizes=(10, 10, 10), inside: float = 1.0, outside: float = 0.2) -> np.ndarray:
    member = np.repeat(np.arange(len(sizes)), sizes)
    upper = np.triu(np.where(member[:, None] == member, inside, outside) * rng.uniform(0.8, 1.2, (member.size,) * 2), 1)
    return upper + upper.T


@pytest.mark.parametrize("name", ["S", "R"])
def test_efficiency_and_communities_are_the_oracles(oracle, name, rng):
    network = np.array(oracle[name])
    best = oracle[f"bct_louvain_best_{name}"]
    assert global_efficiency(network) == pytest.approx(oracle[f"bct_global_efficiency_{name}"], rel=1e-12)
    assert global_efficiency(network) == pytest.approx(oracle[f"dijkstra_global_efficiency_{name}"], rel=1e-12)
    assert modularity(network, np.array(best["partition"])) == pytest.approx(best["Q"], rel=1e-10)
    for algorithm in ("leiden", "louvain"):
        found = communities(network, rng, runs=50, algorithm=algorithm)
        assert found.modularity == pytest.approx(best["Q"], abs=1e-12)
        same = found.partition[:, None] == found.partition
        expected = np.array(best["partition"])
        np.testing.assert_array_equal(same, expected[:, None] == expected)


@pytest.mark.parametrize("spread", [0.02, 0.5, 3.0])
def test_distances_equal_scipy(rng, spread):
    network = heavy(rng, 60, spread)
    network[:5, 5:] = network[5:, :5] = 0.0  # two components
    with np.errstate(divide="ignore"):
        expected = floyd_warshall(np.where(network > 0, 1 / network, np.inf))
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(distances(network), expected, rtol=1e-13)
    shared = np.isinf(distances(network))
    assert shared.sum() == 2 * 5 * 55


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.floats(0.0, 3.0), st.integers(0, 10**6), st.floats(0.01, 100))
def test_efficiency_scales_and_dominates_the_mean_weight(units, spread, seed, factor):
    rng = np.random.default_rng(seed)
    network = heavy(rng, units, spread)
    found = global_efficiency(network)
    pairs = np.triu_indices(units, 1)
    assert found >= network[pairs].mean() * (1 - 1e-12)  # detours only gain
    assert global_efficiency(factor * network) == pytest.approx(factor * found, rel=1e-10)
    order = rng.permutation(units)
    assert global_efficiency(network[np.ix_(order, order)]) == pytest.approx(found, rel=1e-10)


def test_closed_forms():
    units = 8
    complete = np.ones((units, units))
    assert global_efficiency(complete) == 1.0  # the diagonal is ignored
    ring = np.roll(np.eye(units), 1, axis=1) + np.roll(np.eye(units), -1, axis=1)
    assert global_efficiency(ring) == pytest.approx((2 * (1 + 1 / 2 + 1 / 3) + 1 / 4) / 7)
    star = np.zeros((units, units))
    star[0, 1:] = star[1:, 0] = 2.0
    assert global_efficiency(star) == pytest.approx((2 * 7 * 2.0 + 7 * 6 * 1.0) / (8 * 7))
    assert global_efficiency(np.zeros((4, 4))) == 0.0
    two = np.kron(np.eye(2), np.ones((4, 4)))
    assert modularity(two, np.repeat([0, 1], 4)) == pytest.approx(0.5)
    assert modularity(two, np.zeros(8, dtype=int)) == pytest.approx(0.0)
    assert modularity(np.zeros((4, 4)), np.arange(4)) == 0.0
    with pytest.raises(ValueError, match="two units"):
        global_efficiency(np.ones((1, 1)))


def test_nearly_equal_weights_leave_every_edge_a_shortest_path(rng):
    network = np.triu(rng.uniform(1.0, 1.9, (50, 50)), 1)
    network = network + network.T
    assert global_efficiency(network) == pytest.approx(network[np.triu_indices(50, 1)].mean(), rel=1e-13)
    assert global_efficiency(weigh(network, "normalised")) == pytest.approx(1.0, rel=1e-13)


@pytest.mark.parametrize("resolution", [0.5, 1.0, 2.0])
def test_modularity_equals_igraph(rng, resolution):
    network = heavy(rng, 25)
    partition = rng.integers(3, 8, 25)
    graph = igraph.Graph.Weighted_Adjacency(network.tolist(), mode="undirected")
    expected = graph.modularity(partition.tolist(), weights="weight", resolution=resolution)
    assert modularity(network, partition, resolution) == pytest.approx(expected, rel=1e-12)


def test_planted_communities_are_found_and_numbered_by_size(rng):
    network = blocks(rng, (6, 12, 9), outside=0.1)
    for algorithm in ("leiden", "louvain"):
        found = communities(network, rng, algorithm=algorithm)
        np.testing.assert_array_equal(found.partition, np.repeat([2, 0, 1], [6, 12, 9]))
        assert found.modularity == pytest.approx(modularity(network, found.partition), rel=1e-12)
        assert found.scores.max() == found.modularity
        assert found.scores.shape == (20,)


def test_communities_depend_on_the_seed_only_and_leave_igraph_alone(rng):
    network = heavy(rng, 40)
    random.seed(4)
    before = random.getstate()
    first, second = (communities(network, np.random.default_rng(3), runs=5) for _ in range(2))
    np.testing.assert_array_equal(first.partition, second.partition)
    np.testing.assert_array_equal(first.scores, second.scores)
    assert random.getstate() == before
    random.seed(4)
    third = igraph.Graph.Erdos_Renyi(20, 0.3).get_edgelist()
    random.seed(4)
    assert igraph.Graph.Erdos_Renyi(20, 0.3).get_edgelist() == third  # Python's source is back


def test_weightings(rng):
    network = heavy(rng, 30)
    network[0, 1] = network[1, 0] = -2.0
    pairs = np.triu_indices(30, 1)
    assert count_negative(network) == 1
    assert clip_negative(network)[0, 1] == 0.0
    np.testing.assert_array_equal(weigh(network, "raw"), clip_negative(network))
    assert weigh(network, "normalised")[pairs].mean() == pytest.approx(1.0)
    tenth = weigh(network, "density_10")
    kept = tenth[pairs] > 0
    assert kept.sum() == round(0.1 * 435)
    assert tenth[pairs][kept].mean() == pytest.approx(1.0)
    assert network[pairs][kept].min() > network[pairs][~kept].max()
    assert (weigh(np.zeros((5, 5)), "normalised") == 0).all()
    equal = strongest(np.ones((5, 5)), 0.3)
    assert equal[np.triu_indices(5, 1)].tolist() == [1, 1, 1] + [0] * 7  # among equals the first pairs


def test_nulls_keep_what_they_promise(rng):
    layer = np.repeat(np.arange(5), 6)
    network = heavy(rng, 30)
    for kind in ("weight_permuted", "layer_preserving"):
        null = null_network(network, rng, kind, layer)
        np.testing.assert_array_equal(null, null.T)
        np.testing.assert_array_equal(np.sort(condense(null)), np.sort(condense(network)))
        assert (condense(null) != condense(network)).mean() > 0.8
    null = null_network(network, rng, "layer_preserving", layer)
    for a in range(5):
        for b in range(5):
            cell = np.ix_(layer == a, layer == b)
            np.testing.assert_array_equal(np.sort(null[cell], axis=None), np.sort(network[cell], axis=None))
    alone = null_network(network, rng, "layer_preserving", np.arange(30))
    np.testing.assert_array_equal(alone, network)


def test_strengths_are_kept_exactly_and_modules_are_not(rng):
    network = blocks(rng, outside=0.3)
    strong = rng.lognormal(0, 0.5, 30)
    network *= np.outer(strong, strong)
    layer = np.zeros(30, dtype=int)
    null = null_network(network, rng, "strength_preserving", layer)
    np.testing.assert_allclose(null.sum(axis=0), network.sum(axis=0), rtol=1e-7)
    np.testing.assert_array_equal(null, null.T)
    assert (null[np.triu_indices(30, 1)] > 0).all()
    assert communities(null, rng).modularity < 0.5 * communities(network, rng).modularity
    # A network that is nothing but strengths is its own null.
    product = np.outer(strong, strong)
    np.fill_diagonal(product, 0)
    np.testing.assert_allclose(null_network(product, rng, "strength_preserving", layer), product, rtol=1e-6)
    found = measure_networks(network, product, layer, rng, draws=20, runs=3, kinds=("strength_preserving",))
    raw = found.sel(weighting="raw", graph_null="strength_preserving")
    assert p_value(float(raw.modularity_typical[0]), raw.modularity_null[0].values) == 1 / 21
    np.testing.assert_allclose(raw.efficiency_null[1], float(raw.efficiency[1]), rtol=1e-6)
    lonely = network.copy()
    lonely[0] = lonely[:, 0] = 0.0
    assert np.isfinite(null_network(lonely, rng, "strength_preserving", layer)).all()


def test_relabelling_changes_nothing_so_it_is_no_null(rng):
    network, order = blocks(rng), rng.permutation(30)
    moved = network[np.ix_(order, order)]
    assert global_efficiency(moved) == pytest.approx(global_efficiency(network), rel=1e-12)
    assert communities(moved, rng).modularity == pytest.approx(communities(network, rng).modularity, rel=1e-9)


def test_measured_networks_are_the_parts_put_together(rng):
    layer = np.repeat(np.arange(3), 10)
    planted, flat = blocks(rng, outside=0.3), blocks(rng, inside=1.0, outside=1.0)
    planted[0, 1] = planted[1, 0] = -0.1
    found = measure_networks(planted, flat, layer, rng, draws=60, runs=5)
    for network, weights in (("synergy", planted), ("redundancy", flat)):
        for weighting in ("raw", "normalised", "density_10"):
            one = found.sel(network=network, weighting=weighting)
            weighed = weigh(weights, weighting)
            assert float(one.efficiency) == pytest.approx(global_efficiency(weighed), rel=1e-12)
            assert float(one.modularity) == pytest.approx(communities(weighed, rng, runs=20).modularity, rel=0.02)
            assert float(one.modularity) == float(one.modularity_runs.max())
            assert float(one.modularity_typical) == float(one.modularity_runs.median())
    assert found.clipped.values.tolist() == [1, 0]
    assert found.sizes["draw"] == 60
    raw = found.sel(weighting="raw")
    typical, nulls = raw.modularity_typical, raw.modularity_null

    def p(network: str, kind: str) -> float:
        return p_value(float(typical.sel(network=network)), nulls.sel(network=network, graph_null=kind).values)

    # Communities that are the layers beat exchanged weights, and not the null that keeps the layers' blocks.
    assert p("synergy", "weight_permuted") == 1 / 61
    assert p("synergy", "layer_preserving") > 0.05
    assert p("redundancy", "weight_permuted") > 0.01


def test_communities_across_layers_beat_both_nulls(rng):
    network = blocks(rng, outside=0.3)
    layer = np.tile(np.arange(10), 3)  # every community has one unit in each layer
    found = measure_networks(network, network, layer, rng, draws=40, runs=3).sel(network="synergy", weighting="raw")
    for kind in ("weight_permuted", "layer_preserving"):
        null = found.modularity_null.sel(graph_null=kind).values
        assert p_value(float(found.modularity_typical), null) == 1 / 41


def test_networks_are_measured_again_for_every_resampling(rng):
    units, prompts = 20, 15
    pairs = np.stack([condense(blocks(rng, (10, 10), outside=0.5)) for _ in range(prompts)])
    uniform = np.full((1, prompts), 1 / prompts)
    mean = np.zeros((units, units))
    mean[np.triu_indices(units, 1)] = pairs.mean(axis=0)
    mean += mean.T
    for weighting in ("raw", "normalised", "density_10"):
        found = measure_of_weights(uniform, pairs, units, "efficiency", weighting)
        assert found[0] == pytest.approx(global_efficiency(weigh(mean, weighting)), rel=1e-12)
    found = measure_of_weights(uniform, pairs, units, "modularity", "raw")
    assert found[0] == pytest.approx(modularity(mean, np.repeat([0, 1], 10)), rel=1e-12)
    result = bootstrap_interval(
        lambda weights: measure_of_weights(weights, pairs, units, "modularity"), prompts, rng=rng, draws=100
    )
    assert result.interval[0] < found[0] < result.interval[1]


def test_area_over_densities_of_a_constant_and_of_a_line(rng):
    network = heavy(rng, 40)
    assert area_over_densities(lambda weights: 3.0, network) == pytest.approx(3.0)
    share = area_over_densities(lambda weights: float((weights > 0).mean()), network)
    assert share == pytest.approx(0.175 * 39 / 40, rel=1e-3)

"""Layered (min, +) products equal Dijkstra's algorithm to the last bit, cut or not, with attention's own step."""

import json

import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra
from tests.conftest import DATA

from brodmann.errors import WeightsError
from brodmann.fractal import paths
from brodmann.fractal.grids import geometric, whole
from brodmann.fractal.paths import AttentionStep, edge_lengths, layered_distances, path_counts, undirected_distances

TINY = json.loads((DATA / "neuromfa/layered_paths_tiny.json").read_text())


def layered(rng: np.random.Generator, layers: int = 6, width: int = 12) -> list[np.ndarray]:
    return [edge_lengths(rng.normal(0, 0.05, (width, width))) for _ in range(layers - 1)]


def test_tiny_network_by_hand() -> None:
    lengths = [np.array(each) for each in TINY["layers"]]
    for found, name in ((layered_distances(lengths), "directed"), (undirected_distances(lengths), "undirected")):
        assert np.array_equal(np.where(np.isinf(found), -1, found), TINY[name])


def test_equal_to_dijkstra_bit_by_bit(rng: np.random.Generator) -> None:
    lengths = layered(rng)
    lengths[2][rng.random((12, 12)) < 0.5] = np.inf
    found = layered_distances(lengths)
    assert np.array_equal(found, dijkstra(paths._sparse(lengths)))
    cut = layered_distances(lengths, r_max=60.0)
    near = found <= 60
    assert np.array_equal(cut[near], found[near])
    assert np.all(cut[~near] > 60)


def test_against_the_edges_paths_zigzag(rng: np.random.Generator) -> None:
    """The layered recursion is not valid for undirected paths: about one pair in six is nearer."""
    lengths = layered(rng)
    directed, both = layered_distances(lengths), undirected_distances(lengths)
    reachable = np.isfinite(directed) & (directed > 0)
    assert reachable.sum() == 2160
    assert 250 < (both[reachable] < directed[reachable]).sum() < 450
    assert np.all(both[reachable] <= directed[reachable])


@pytest.mark.parametrize("grid", [whole(), geometric(30, 5.0, 200.0)], ids=["whole", "geometric"])
def test_counts_are_those_of_all_distances(rng: np.random.Generator, grid: object) -> None:
    lengths = layered(rng)
    distances = layered_distances(lengths)
    for layer, counts in enumerate(path_counts(lengths, grid)):
        codes = grid.codes(distances[12 * layer : 12 * layer + 12, 12 * (layer + 1) :])
        slow = np.array([np.bincount(row, minlength=grid.beyond + 1) for row in codes])
        assert np.array_equal(counts[:, : grid.beyond], slow[:, : grid.beyond])


def test_attention_step_equals_its_matrix(rng: np.random.Generator) -> None:
    """Two groups of keys and values, the first serving two heads of two neurons each, the second one."""
    step = AttentionStep.by_groups(np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 1]))
    assert step.shape == (14, 6)
    assert step.dense()[[0, 6, 8, 13]].tolist() == [
        [1, np.inf, np.inf, np.inf, np.inf, np.inf],
        [1, 1, 1, 1, np.inf, np.inf],
        [np.inf, np.inf, np.inf, np.inf, 1, 1],
        [np.inf, np.inf, np.inf, np.inf, 1, 1],
    ]
    into, out = edge_lengths(rng.normal(size=(5, 14))), edge_lengths(rng.normal(size=(6, 5)))
    both = layered_distances([into, step, out])
    assert np.array_equal(both, layered_distances([into, step.dense(), out]))
    assert np.array_equal(both, dijkstra(paths._sparse([into, step, out])))


def test_zero_weights_are_no_edges() -> None:
    found = layered_distances([edge_lengths(np.array([[0.0, 0.5]])), edge_lengths(np.array([[1.0], [0.25]]))])
    assert found[0].tolist() == [0.0, np.inf, 2.0, 6.0]


def test_refusals() -> None:
    with pytest.raises(WeightsError, match="step 1 begins at 3 neurons, step 0 ends at 2"):
        layered_distances([np.ones((4, 2)), np.ones((3, 2))])
    with pytest.raises(WeightsError, match="step 0 holds lengths that are negative or NaN"):
        layered_distances([np.full((2, 2), np.nan)])
    with pytest.raises(WeightsError, match="at least two layers"):
        layered_distances([])

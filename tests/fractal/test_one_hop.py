"""Counts equal a slow loop over 1/|w| for every number type, with ties, zeros and ends; what must not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brodmann.errors import SettingsError, WeightsError
from brodmann.fractal.grids import Grid, geometric, whole, widen
from brodmann.fractal.one_hop import Matrix, count_edges, edge_codes, moments

GRIDS = (whole(), whole(300), geometric())
STORAGES = ("float16", "bfloat16", "float32", "float64")


def stored(weights: np.ndarray, storage: str, name: str = "w") -> tuple[Matrix, np.ndarray]:
    """Weights as they would lie in a file, and the numbers that are left of them."""
    if storage == "float16":
        half = weights.astype(np.float16)
        return Matrix(name, half.view(np.uint16), "float16"), half.astype(np.float64)
    if storage == "bfloat16":
        bits = (weights.astype(np.float32).view(np.uint32) >> np.uint32(16)).astype(np.uint16)
        return Matrix(name, bits, "bfloat16"), widen(bits, "bfloat16").astype(np.float64)
    kept = weights.astype(storage)
    return Matrix(name, kept, storage), kept.astype(np.float64)


def slow_counts(weights: np.ndarray, grid: Grid, scale: float) -> np.ndarray:
    """One weight after the other."""
    counts = np.zeros((weights.shape[1], grid.bad), int)
    for row in np.abs(weights):
        for j, size in enumerate(row):
            distance = scale / size if size else np.inf
            if grid.kind == "whole":
                near, far = distance <= grid.low, distance > grid.high
                code = 0 if near else grid.beyond if far else round(distance)  # round: half to even
            else:
                code = 1 + int((grid.radii < distance).sum())
            counts[j, code] += 1
    return counts


@pytest.fixture
def weights(rng: np.random.Generator) -> np.ndarray:
    """Noise, and columns of ties, ends, zeros, huge and tiny numbers."""
    found = rng.normal(0, 0.05, (120, 9))
    found[:, 0] = 1 / np.arange(1.0, 121.0)
    found[:, 1] = 1 / (np.arange(120) + 0.5)
    found[:, 2] = 0.0
    found[:, 3] = 1 / 150.0
    found[:40, 4], found[40:, 4] = 6e4, 1e-7
    found[:, 5] *= -1
    return found


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("grid", GRIDS, ids=["150", "300", "geometric"])
def test_counts_equal_a_slow_loop(weights: np.ndarray, grid: Grid, storage: str) -> None:
    matrix, numbers = stored(weights, storage)
    size = moments(matrix)
    assert size.rms == pytest.approx(np.sqrt(np.square(numbers).mean()), rel=1e-12)
    assert size.mean_magnitude == pytest.approx(np.abs(numbers).mean(), rel=1e-12)
    assert size.largest == np.abs(numbers).max()
    scale = size.rms if grid.kind == "geometric" else 1.0
    found = count_edges([matrix], grid, [size.rms])
    assert np.array_equal(found, slow_counts(numbers, grid, scale))
    turned = Matrix("w", np.ascontiguousarray(matrix.raw.T), matrix.storage, sources_are_rows=True)
    assert np.array_equal(count_edges([turned], grid, [size.rms]), found)


@pytest.mark.parametrize("storage", ["float16", "bfloat16", "float32"])
def test_every_magnitude_near_each_bound_gets_the_code_of_its_distance(storage: str) -> None:
    """All 16-bit numbers; of float32 the three patterns on both sides of each place where the code changes."""
    grid = whole()
    if storage == "float32":
        edges = 1 / np.concatenate([[1.0], np.arange(1, 151) + 0.5, [150.0]])
        bits = edges.astype(np.float32).view(np.uint32)[:, None].astype(np.int64) + np.arange(-3, 4)
        raw = bits.astype(np.uint32).view(np.float32).reshape(1, -1)
        numbers = raw.astype(np.float64)
    else:
        raw = np.arange(1 << 15, dtype=np.uint16)
        with np.errstate(invalid="ignore"):
            numbers = widen(raw, storage).astype(np.float64)
        raw, numbers = raw[np.isfinite(numbers)][None], numbers[np.isfinite(numbers)][None]
    (found,) = edge_codes([Matrix("w", np.ascontiguousarray(raw), storage)], grid, [1.0])
    with np.errstate(divide="ignore"):
        assert np.array_equal(found, grid.codes(1 / numbers))


def test_parallel_edges_keep_the_shortest(rng: np.random.Generator) -> None:
    gate, up = rng.normal(0, 0.05, (50, 30)).astype(np.float32), rng.normal(0, 0.02, (50, 30)).astype(np.float32)
    found = count_edges([Matrix("gate", gate, "float32"), Matrix("up", up, "float32")], whole(), [1.0, 1.0])
    nearest = np.maximum(np.abs(gate), np.abs(up))
    assert np.array_equal(found, count_edges([Matrix("both", nearest, "float32")], whole(), [1.0]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2.0, 0.5, 8.0]))
def test_signs_the_order_of_targets_and_scale_with_the_grid_do_not_matter(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.05, (60, 25)).astype(np.float32)
    for grid in (whole(), geometric()):
        plain = count_edges([Matrix("w", weights, "float32")], grid, [1.0])
        signs = rng.choice(np.array([-1, 1], np.float32), weights.shape)
        mixed = (weights * signs)[rng.permutation(60)]
        assert np.array_equal(count_edges([Matrix("w", mixed, "float32")], grid, [1.0]), plain)
        sources = rng.permutation(25)
        assert np.array_equal(count_edges([Matrix("w", weights[:, sources], "float32")], grid, [1.0]), plain[sources])
    # d = rms / |w| does not change when all weights grow; a power of 2 leaves no rounding
    small, large = (Matrix("w", weights * np.float32(f), "float32") for f in (1.0, factor))
    counts = [count_edges([m], geometric(), [moments(m).rms]) for m in (small, large)]
    assert np.array_equal(*counts)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named(weights: np.ndarray, storage: str, bad: float) -> None:
    weights[4, 5] = bad
    matrix, _ = stored(weights, storage, "layers.3.mlp.weight")
    for work in (lambda: moments(matrix), lambda: count_edges([matrix], whole(), [1.0])):
        with pytest.raises(WeightsError, match=r"^layers\.3\.mlp\.weight holds NaN or infinite weights$"):
            work()


def test_a_zero_matrix_is_named() -> None:
    with pytest.raises(WeightsError, match=r"^w is zero everywhere, so it has no edges$"):
        moments(Matrix("w", np.zeros((3, 4), np.float32), "float32"))


def test_grids_refuse_what_cannot_work() -> None:
    with pytest.raises(SettingsError, match="r_max = 3:"):
        whole(3)
    with pytest.raises(SettingsError, match=r"40 radii from 4\.0 to 1\.0"):
        geometric(40, 4.0, 1.0)

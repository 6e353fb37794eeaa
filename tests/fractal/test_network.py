"""Untrained Pythia from its published initialisation; nulls against slow draws; the artefact of scale."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import erfc
from tests.fractal.predicted import counted, drawn, matrices, prediction

from brodmann.errors import WeightsError
from brodmann.fractal import emergence
from brodmann.fractal.emergence import Estimate, Point
from brodmann.fractal.grids import Grid, geometric, whole
from brodmann.fractal.network import LayerCounts, NetworkSpectrum, measure
from brodmann.fractal.nulls import code_probabilities, gaussian_counts, permuted_counts, row_permuted_counts
from brodmann.fractal.one_hop import Matrix, count_edges, count_halves, edge_codes
from brodmann.fractal.resampling import Replicates
from brodmann.fractal.spectrum import multifractal_spectrum


def point(found: NetworkSpectrum) -> Point:
    return Point(found.whole.alpha0, found.whole.width)


class TestPublishedNumbers:
    def test_the_authors_untrained_70m(self, rng: np.random.Generator) -> None:
        """Their one-layer curve at step 1, read off by pixel: 1.78, 1.33 to 2.25, f -0.41 and -0.51 at the ends."""
        found = measure(counted(matrices(prediction("70m", 128), rng), whole()), whole())
        assert found.whole.alpha0 == pytest.approx(1.77, abs=0.02)
        assert found.whole.alpha[[-1, 0]] == pytest.approx([1.33, 2.26], abs=0.03)
        assert found.whole.f[[-1, 0]] == pytest.approx([-0.41, -0.52], abs=0.03)
        assert (found.kept, found.neurons) == (3840, 3840)
        assert not found.whole.flags

    @pytest.mark.parametrize(("model", "sampled"), [("14m", 32), ("31m", 64), ("70m", 32), ("410m", 64), ("1.4b", 32)])
    def test_predictions_for_other_sizes(self, model: str, sampled: int, rng: np.random.Generator) -> None:
        expected = prediction(model, sampled)
        for layers in (counted(matrices(expected, rng), whole()), drawn(expected, whole(), rng)):
            found = measure(layers, whole())
            assert found.whole.alpha0 == pytest.approx(expected.alpha0[0], abs=max(4 * expected.alpha0[1], 0.008))
            assert found.whole.width == pytest.approx(expected.width[0], abs=max(4 * expected.width[1], 0.03))
            assert found.kept == pytest.approx(expected.kept, abs=10)

    def test_noise_on_the_geometric_grid_has_the_closed_forms_exponent(self, rng: np.random.Generator) -> None:
        """Spec: 1.85230 for infinitely many normal weights, from erfc(1 / (r sqrt 2))."""
        radii = geometric().radii
        mass = np.tile(erfc(1 / (radii * np.sqrt(2))), (20, 1))
        assert multifractal_spectrum(mass, radii).alpha0 == pytest.approx(1.85230, abs=5e-6)
        weights = rng.standard_normal((20_000, 40)).astype(np.float32)
        layer = LayerCounts("w", "w", 0, count_edges([Matrix("w", weights, "float32")], geometric(), [1.0]))
        assert measure([layer], geometric()).whole.alpha0 == pytest.approx(1.85230, abs=0.01)


class TestScale:
    def test_noise_that_only_grows_emerges_on_whole_distances_and_not_on_the_geometric_grid(
        self, rng: np.random.Generator
    ) -> None:
        """Spec 8: 70m, deviation x 3: E = 0.379 with no structure at all; 0 in units of the root mean square."""
        model = prediction("70m", 64)
        small = matrices(model, rng)
        large = [(block, kind, 3 * w) for block, kind, w in matrices(model, rng)]
        expected = {whole(): 0.379, geometric(): 0.0}
        for grid, value in expected.items():
            first, last = (measure(counted(each, grid), grid, draws=200, seed=3) for each in (small, large))
            assert first.replicates is not None
            assert last.replicates is not None
            found = emergence.interval(point(last), point(first), last.replicates, first.replicates)
            assert found.value == pytest.approx(value, abs=0.02)
            assert found.low < value < found.high or abs(found.value - value) < 3 * found.deviation

    def test_matched_noise_takes_it_away_and_leaves_what_rows_differ_by(self, rng: np.random.Generator) -> None:
        model, grid = prediction("70m", 64), whole()
        start = matrices(model, rng)
        first = measure(counted(start, grid), grid, draws=200, seed=1)
        uneven = [
            (block, kind, w * np.exp(rng.normal(0, 0.6, w.shape[1])).astype(np.float32)) for block, kind, w in start
        ]
        for weights, structured in (([(b, k, 3 * w) for b, k, w in start], False), (uneven, True)):
            last = measure(counted(weights, grid), grid, draws=200, seed=1)
            assert first.replicates is not None
            assert last.replicates is not None
            found = emergence.interval(point(last), point(first), last.replicates, first.replicates)
            null = []
            for _ in range(5):
                noise = [
                    (b, k, rng.normal(0, np.sqrt(np.square(w).mean()), w.shape).astype(np.float32))
                    for b, k, w in weights
                ]
                drawn_null = point(measure(counted(noise, grid), grid))
                null.append(float(emergence.degree(drawn_null.alpha0, drawn_null.width, *vars(point(first)).values())))
            excess, p = emergence.above(found, np.array(null)), emergence.p_above(found, np.array(null))
            if structured:
                assert excess.low > 0.05
                assert p < 0.001
            else:
                assert excess.low < 0 < excess.high
                assert p > 0.02


class TestHalves:
    """Each layer with half of its targets, as if it had been counted so."""

    @pytest.mark.parametrize("grid", [whole(), geometric()], ids=lambda grid: grid.kind)
    def test_they_are_those_of_networks_with_half_of_a_layer(self, grid: Grid, rng: np.random.Generator) -> None:
        layers = []
        for k in range(3):
            pieces = [Matrix("w", rng.normal(0, 0.05, (80, 30)).astype(np.float32), "float32")]
            counts, half = count_halves(pieces, grid, [0.05])
            np.testing.assert_array_equal(counts, count_edges(pieces, grid, [0.05]))
            layers.append(LayerCounts(f"L{k}", "middle", k, counts, half))
        found = measure(layers, grid, min_degree=1, draws=2).halves
        assert found is not None
        for at, layer in enumerate(layers):
            for side, part in enumerate((layer.half, layer.counts - layer.half)):
                other = [replace(layer, counts=part, half=None) if k == at else each for k, each in enumerate(layers)]
                expected = measure(other, grid, min_degree=1).whole
                assert found.alpha0[at, side] == pytest.approx(expected.alpha0, rel=1e-9)
                assert found.width[at, side] == pytest.approx(expected.alpha[0] - expected.alpha[-1], rel=1e-9)

    def test_sources_as_rows_have_the_same_halves(self, rng: np.random.Generator) -> None:
        weights = rng.normal(0, 0.05, (81, 30)).astype(np.float32)
        turned = np.ascontiguousarray(weights.T)
        one = count_halves([Matrix("w", weights, "float32")], whole(), [0.05])
        two = count_halves([Matrix("w", turned, "float32", sources_are_rows=True)], whole(), [0.05])
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_error_is_that_of_random_groups(self) -> None:
        now = Replicates(np.array([[1.0, 1.0], [0.9, 1.1]]), np.ones((2, 2)))
        expected = abs(np.log(1.1 / 0.9)) / 2
        assert emergence.targets_error(now, Point(2.0, 1.0)) == pytest.approx(expected)


class TestNulls:
    def test_probabilities_of_codes_are_those_of_draws(self, rng: np.random.Generator) -> None:
        for grid in (whole(), geometric()):
            for deviations in ([0.05], [0.05, 0.02]):
                scales = deviations if grid.kind == "geometric" else [1.0] * len(deviations)
                chances = code_probabilities(grid, deviations, scales)
                assert chances.sum() == pytest.approx(1.0, abs=1e-12)
                pieces = [Matrix("w", rng.normal(0, d, (100_000, 4)).astype(np.float32), "float32") for d in deviations]
                seen = count_edges(pieces, grid, deviations).sum(axis=0)
                expected = 400_000 * chances
                often = expected > 5
                chi2 = (np.square(seen - expected)[often] / expected[often]).sum()
                assert chi2 < often.sum() + 5 * np.sqrt(2 * often.sum())

    def test_permutations_keep_what_they_must(self, rng: np.random.Generator) -> None:
        sources, targets = rng.lognormal(0, 0.6, 80), rng.lognormal(0, 0.6, (150, 1))
        weights = (rng.normal(0, 0.05, (150, 80)) * sources * targets).astype(np.float32)
        matrix, grid = Matrix("w", weights, "float32"), whole()
        counts = count_edges([matrix], grid, [1.0])
        entries = permuted_counts(counts.sum(axis=0, dtype=np.int64), 80, 150, rng)
        assert np.array_equal(entries.sum(axis=0), counts.sum(axis=0))
        assert np.all(entries.sum(axis=1) == 150)
        one, two = row_permuted_counts(edge_codes([matrix], grid, [1.0]), 80, grid, [1, 2])
        assert np.array_equal(one.sum(axis=0), counts.sum(axis=0))
        assert np.all(one.sum(axis=1) == 150)
        assert (one != two).any()
        turned = Matrix("w", np.ascontiguousarray(weights.T), "float32", sources_are_rows=True)
        again, _ = row_permuted_counts(edge_codes([turned], grid, [1.0]), 80, grid, [1, 2], sources_are_rows=True)
        assert np.array_equal(again, one)
        # how unequal sources are: their own sizes go with both, and chance is smaller while targets' sizes are kept
        spread = [float(each[:, 1:30].sum(axis=1).std()) for each in (counts, entries, one)]
        assert spread[0] > 3 * spread[1] > 3 * 0.9 * spread[2]

    def test_shuffles_are_uniform(self) -> None:
        """Every entry of a row lands everywhere equally often: chi-square over places."""
        grid = whole(10)
        rows = np.tile(np.array([1, 2, 3, 4, 5], np.uint16), (60_000, 1))
        (counts,) = row_permuted_counts([rows], 5, grid, [7])
        seen = counts[:, 1:6]
        assert seen.sum() == 300_000
        chi2 = (np.square(seen - 12_000.0) / 12_000).sum()
        assert chi2 < 16 + 5 * np.sqrt(32)

    def test_draws_depend_on_the_seed_alone(self) -> None:
        chances = code_probabilities(whole(), [0.05], [1.0])
        one, two = (gaussian_counts(10, 100, chances, np.random.default_rng(4)) for _ in range(2))
        assert np.array_equal(one, two)


class TestNetwork:
    def test_layers_add_up_to_the_whole(self, rng: np.random.Generator) -> None:
        found = measure(counted(matrices(prediction("70m", 32), rng), whole()), whole())
        slopes = np.concatenate([layer.slopes for layer in found.layers])
        assert found.whole.alpha0 == pytest.approx(slopes.mean(), abs=1e-12)
        assert set(found.kinds) == {"input", "attention", "middle", "hidden"}
        sizes = {kind: len(each.slopes) for kind, each in found.kinds.items()}
        mean = sum(found.kinds[kind].alpha0 * sizes[kind] for kind in sizes) / sum(sizes.values())
        assert mean == pytest.approx(found.whole.alpha0, abs=1e-12)

    def test_a_neuron_with_ten_edges_changes_nothing(self, rng: np.random.Generator) -> None:
        (layer,) = counted([(0, "w", rng.normal(0, 0.05, (60, 30)).astype(np.float32))], whole())
        lonely = np.zeros((1, layer.counts.shape[1]), np.uint32)
        lonely[0, 40:50], lonely[0, -1] = 1, 50
        more = LayerCounts("w", "w", 0, np.concatenate([layer.counts, lonely]))
        one, two = measure([layer], whole()), measure([more], whole())
        assert np.array_equal(one.whole.tau, two.whole.tau)
        assert (one.kept, one.neurons, two.kept, two.neurons) == (30, 30, 30, 31)

    def test_replicates_cover_the_spread_over_networks(self) -> None:
        """The bootstrap's deviation is that of fresh networks, within a factor."""
        model = prediction("70m", 32)
        points, spreads = [], []
        for seed in range(24):
            found = measure(drawn(model, whole(), np.random.default_rng(seed)), whole(), draws=100, seed=seed)
            assert found.replicates is not None
            points.append(found.whole.alpha0)
            spreads.append(found.replicates.alpha0.std())
        assert 0.5 < np.std(points, ddof=1) / np.mean(spreads) < 1.6

    def test_replicates_pair_checkpoints_by_neuron(self, rng: np.random.Generator) -> None:
        layers = counted(matrices(prediction("70m", 32), rng), whole())
        one, two = (measure(layers, whole(), draws=50, seed=9) for _ in range(2))
        found = emergence.interval(point(one), point(two), one.replicates, two.replicates)
        assert (found.value, found.low, found.high, found.deviation) == (0.0, 0.0, 0.0, 0.0)

    def test_no_neuron_kept(self) -> None:
        weights = np.full((40, 30), 1e-3, np.float32)
        (layer,) = counted([(0, "w", weights)], whole())
        with pytest.raises(
            WeightsError, match=r"^0 of 30 neurons have 11 edges or more \(0 is the most\).* raise r_max"
        ):
            measure([layer], whole())

    def test_one_radius(self) -> None:
        (layer,) = counted([(0, "w", np.full((40, 30), 0.1, np.float32))], whole())
        with pytest.raises(WeightsError, match=r"^only 1 different radii occur: a slope needs at least 5$"):
            measure([layer], whole())


def test_degree_of_emergence() -> None:
    assert float(emergence.degree(1.3, 0.8, 1.3, 0.8)) == 0.0
    assert float(emergence.degree(1.2, 0.9, 1.5, 0.6)) == pytest.approx(1.5 * np.log(1.25), abs=1e-15)
    assert float(emergence.degree(1.5, 0.9, 1.2, 0.6)) < 0
    assert np.isnan(emergence.degree(-0.1, 0.9, 1.5, 0.6))
    assert np.isnan(emergence.degree(1.2, 0.9, 1.5, 0.0))


def test_an_excess_knows_how_few_its_nulls_are() -> None:
    estimate = Estimate(0.5, 0.4, 0.6, 0.05)
    few, many = (emergence.above(estimate, np.linspace(0.1, 0.3, n)) for n in (3, 60))
    assert few.value == many.value == pytest.approx(0.3)
    assert few.high - few.low > 1.5 * (many.high - many.low)
    assert emergence.p_above(estimate, np.array([0.1, 0.2, 0.3])) > 0.02

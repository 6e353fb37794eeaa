"""Closed forms, the released code's numbers on tiny weights, and what must not change a spectrum."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import DATA

from brodmann.errors import WeightsError
from brodmann.fractal import graphs, sums
from brodmann.fractal.spectrum import Q_GRID, Spectrum, box_exponent, from_log_mass, multifractal_spectrum

KNOWN = json.loads((DATA / "neuromfa/known_answer_graphs.json").read_text())
TINY = json.loads((DATA / "neuromfa/tiny_two_layer_expected.json").read_text())


def tiny_masses() -> tuple[np.ndarray, np.ndarray]:
    """The oracle's two matrices, counted by hand."""
    kept = []
    with np.load(DATA / "neuromfa/tiny_two_layer_weights.npz") as weights:
        for name in weights:
            for row in np.abs(weights[name].astype(np.float64)):
                distances = 1 / row[row > 0]
                distances = distances[(distances > 1) & (distances <= 150)]
                if len(distances) > 10:
                    kept.append(np.rint(distances))
    radii = np.unique(np.concatenate(kept))
    return np.array([[1.0 + (row <= r).sum() for r in radii] for row in kept]), radii


def of_graph(graph: object, window: tuple[float, float] | None = None, *, include_self: bool = True) -> Spectrum:
    found = graphs.hop_mass(graph, include_self=include_self)
    return multifractal_spectrum(found.mass, found.radii, window=window)


class TestReleasedCode:
    def test_tau_alpha_and_f_of_the_tiny_network_are_those_of_the_authors_function(self) -> None:
        mass, radii = tiny_masses()
        assert len(mass) == TINY["n_nodes_kept"] == 55
        assert radii.tolist() == TINY["radii"]
        assert np.array_equal(mass[:3], TINY["N_matrix_first3"])
        found, official = multifractal_spectrum(mass, radii), TINY["official_finite_difference"]
        np.testing.assert_allclose(found.tau, official["tau"], atol=1e-12)
        assert found.discretised is not None
        np.testing.assert_allclose(found.discretised.alpha, official["alpha"], atol=1e-9)
        np.testing.assert_allclose(found.discretised.f, official["f"], atol=1e-9)
        assert found.discretised.width == pytest.approx(official["width"], abs=1e-9)
        # a tie in floating point: either bin beside q = 0
        assert min(abs(each - official["alpha0"]) for each in found.discretised.alpha0) < 1e-9

    def test_exact_derivative(self) -> None:
        found, exact = multifractal_spectrum(*tiny_masses()), TINY["exact_derivative"]
        np.testing.assert_allclose(found.alpha, exact["alpha"], atol=1e-12)
        np.testing.assert_allclose(found.f, exact["f"], atol=1e-12)
        assert found.alpha0 == pytest.approx(exact["alpha0"], abs=1e-12)
        assert found.width == pytest.approx(exact["width"], abs=1e-12)


class TestClosedForms:
    @pytest.mark.parametrize(
        ("name", "parts", "ratio", "generations"),
        [("cantor_1_0_1", [1, 0, 1], 3, 6), ("cantor_1_0_2", [1, 0, 2], 3, 6), ("binomial_p03", [3, 7], 2, 4)],
    )
    def test_cascades(self, name: str, parts: list[int], ratio: int, generations: int) -> None:
        grains, known = graphs.cascade(parts, float(ratio), generations), KNOWN["cascades"][name]
        found = multifractal_spectrum(grains.mass, grains.radii)
        assert found.alpha0 == pytest.approx(known["alpha0"], abs=1e-12)
        assert found.width == pytest.approx(known["width_q_pm3"], abs=1e-12)
        for order, value in known["tau_at_q"].items():
            assert found.tau[np.flatnonzero(found.q == float(order))[0]] == pytest.approx(value, abs=1e-12)
        for order, value in known["alpha_at_q"].items():
            assert found.alpha[np.flatnonzero(found.q == float(order))[0]] == pytest.approx(value, abs=1e-12)
        shares = [part / sum(parts) for part in parts]
        np.testing.assert_allclose(box_exponent(shares, float(ratio), found.q), found.tau, atol=1e-12)

    @pytest.mark.parametrize("dimension", [0.5, 1.0, 2.7])
    def test_one_dimension_has_no_width(self, dimension: float) -> None:
        radii = np.arange(1.0, 31.0)
        found = multifractal_spectrum(np.tile(4 * radii**dimension, (25, 1)), radii)
        assert found.alpha0 == pytest.approx(dimension, abs=1e-12)
        assert found.width == pytest.approx(0.0, abs=1e-12)
        np.testing.assert_allclose(found.tau, found.q * dimension, atol=1e-12)
        np.testing.assert_allclose(found.f, 0.0, atol=1e-12)
        assert not found.flags
        np.testing.assert_allclose(found.slope_r_squared, 1.0, atol=1e-12)

    def test_two_populations(self) -> None:
        radii = np.arange(1.0, 101.0)
        mass = np.concatenate([np.tile(radii, (30, 1)), np.tile(radii**2, (10, 1))])
        found, known = multifractal_spectrum(mass, radii), KNOWN["graphs"]["two_population_D1_1_D2_2_n_30_10_r_1_100"]
        assert found.alpha0 == pytest.approx(1.25, abs=1e-12)
        assert found.width == pytest.approx(known["width_exact_derivative"], abs=1e-9)
        for order, value in known["tau"].items():
            assert found.tau[np.flatnonzero(found.q == float(order))[0]] == pytest.approx(value, abs=1e-9)
        # slopes lie in [1, 2], alpha need not: the log of a sum of powers is not linear in ln r
        assert found.alpha.max() > 2.04
        assert any("does not fall" in flag for flag in found.flags)


class TestGraphs:
    def test_rings_and_tori_have_no_width(self) -> None:
        known = KNOWN["graphs"]
        for name, graph, include_self in (
            ("ring_C1001_self0", graphs.ring(1001), False),
            ("ring_C1001_self1", graphs.ring(1001), True),
            ("ring_C101_self1", graphs.ring(101), True),
        ):
            found = of_graph(graph, include_self=include_self)
            assert found.alpha0 == pytest.approx(known[name]["alpha0"], abs=1e-9)
            assert found.width == pytest.approx(0.0, abs=1e-12)
        for side in (21, 31):
            found = of_graph(graphs.torus(side))
            assert found.alpha0 == pytest.approx(known[f"torus_{side}"]["alpha0_full"], abs=1e-9)
            assert found.width == pytest.approx(0.0, abs=1e-12)
            half = of_graph(graphs.torus(side), (1.0, side / 2))
            assert half.alpha0 == pytest.approx(known[f"torus_{side}"]["alpha0_r_le_half"], abs=1e-9)

    def test_a_boundary_makes_width(self) -> None:
        found, known = of_graph(graphs.path(101)), KNOWN["graphs"]["path_101"]
        assert (found.alpha0, found.width) == pytest.approx((known["alpha0"], known["width"]), abs=1e-9)
        assert found.tau[[0, -1]] == pytest.approx([known["tau_m3"], known["tau_p3"]], abs=1e-9)

    @pytest.mark.parametrize(("u", "v", "generation"), [(2, 2, 4), (2, 2, 5), (2, 3, 4), (3, 3, 4), (1, 3, 5)])
    def test_flowers(self, u: int, v: int, generation: int) -> None:
        graph, known = graphs.flower(u, v, generation), KNOWN["graphs"][f"flower_{u}_{v}_g{generation}"]
        found = of_graph(graph)
        assert (graph.shape[0], graph.nnz // 2, len(found.radii)) == (known["N"], known["E"], known["diameter"])
        assert (found.alpha0, found.width) == pytest.approx((known["alpha0_full"], known["width_full"]), abs=1e-9)

    def test_gaskets_rise_towards_theory(self) -> None:
        estimates = []
        for generation in (5, 6):
            known = KNOWN["graphs"][f"gasket_{generation}"]
            graph = graphs.gasket(generation)
            found = of_graph(graph)
            assert (graph.shape[0], len(found.radii)) == (known["N"], known["diameter"])
            assert (found.alpha0, found.width) == pytest.approx((known["alpha0_full"], known["width_full"]), abs=1e-9)
            window = of_graph(graph, (2.0, known["diameter"] / 3))
            assert window.alpha0 == pytest.approx(known["alpha0_window_2_d3"], abs=1e-9)
            assert window.width == pytest.approx(known["width_window"], abs=1e-9)
            estimates.append(found.alpha0)
        assert estimates[0] < estimates[1] < np.log(3) / np.log(2)

    def test_small_worlds_grow_faster(self, rng: np.random.Generator) -> None:
        found = [of_graph(graphs.watts_strogatz(1000, 4, p, rng)).alpha0 for p in (0.0, 0.01, 1.0)]
        assert found[0] == pytest.approx(0.987, abs=0.001)
        assert found[1] == pytest.approx(1.40, abs=0.25)
        assert found[2] == pytest.approx(2.73, abs=0.1)

    def test_one_or_two_radii_are_refused(self) -> None:
        for graph, count in ((graphs.star(30), 2), (graphs.complete(30), 1)):
            with pytest.raises(WeightsError, match=f"^{count} different radii: a slope needs at least 5$"):
                of_graph(graph)


@st.composite
def masses(draw: st.DrawFn) -> np.ndarray:
    seed, neurons, radii = draw(st.integers(0, 2**32 - 1)), draw(st.integers(20, 60)), draw(st.integers(5, 40))
    rng = np.random.default_rng(seed)
    return 1.0 + rng.poisson(draw(st.sampled_from([0.3, 2.0, 50.0])), (neurons, radii)).cumsum(axis=1)


class TestProperties:
    @settings(max_examples=40, deadline=None)
    @given(masses(), st.integers(0, 2**32 - 1))
    def test_alpha0_is_the_mean_slope_and_tau_passes_through_0(self, mass: np.ndarray, seed: int) -> None:
        radii = np.arange(1.0, mass.shape[1] + 1)
        found = multifractal_spectrum(mass, radii)
        zero = int(np.flatnonzero(found.q == 0)[0])
        assert found.alpha[zero] == pytest.approx(found.slopes.mean(), abs=1e-12)
        assert found.alpha0 == pytest.approx(found.slopes.mean(), abs=1e-12)
        assert found.tau[zero] == pytest.approx(0.0, abs=1e-12)
        assert found.f[zero] == pytest.approx(0.0, abs=1e-12)
        mixed = multifractal_spectrum(mass[np.random.default_rng(seed).permutation(len(mass))], radii)
        np.testing.assert_allclose(mixed.tau, found.tau, atol=1e-10)
        # a network of two copies has the spectrum of one
        doubled = multifractal_spectrum(np.concatenate([mass, mass]), radii)
        np.testing.assert_allclose(doubled.alpha, found.alpha, atol=1e-10)

    @settings(max_examples=25, deadline=None)
    @given(masses(), st.sampled_from([1.0, 7.5]))
    def test_compiled_sums_equal_log_sum_exp_and_can_be_joined(self, mass: np.ndarray, scale: float) -> None:
        log_mu = scale * np.log(mass / mass[:, -1:])
        fast, plain = sums.power_sums(log_mu, Q_GRID), sums.plain_sums(log_mu, Q_GRID)
        np.testing.assert_allclose(fast.log_z, plain.log_z, atol=1e-11)
        np.testing.assert_allclose(fast.mean, plain.mean, atol=1e-11)
        joined = sums.power_sums(log_mu[:7], Q_GRID).join(sums.power_sums(log_mu[7:], Q_GRID))
        np.testing.assert_allclose(joined.log_z, plain.log_z, atol=1e-11)
        np.testing.assert_allclose(joined.mean, plain.mean, atol=1e-11)

    def test_masses_too_small_for_a_power_are_summed_all_the_same(self) -> None:
        radii = np.arange(1.0, 11.0)
        log_mu = np.tile(np.linspace(-900.0, 0.0, 10), (20, 1))
        found = from_log_mass(log_mu, radii)
        assert np.all(np.isfinite(found.tau))
        np.testing.assert_allclose(found.tau, found.q * found.alpha0, rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize(
        ("mass", "radii", "words"),
        [
            (np.ones((19, 6)), np.arange(1.0, 7), "19 neurons have enough edges: a spectrum needs at least 20"),
            (np.ones((20, 4)), np.arange(1.0, 5), "4 different radii: a slope needs at least 5"),
            (-np.ones((20, 6)), np.arange(1.0, 7), "masses must be positive and finite"),
            (np.ones((20, 6))[:, ::-1] * np.arange(6.0, 0, -1), np.arange(1.0, 7), "masses must not fall"),
            (np.ones((20, 6)), np.arange(6.0), "radii must be positive and rising"),
            (np.ones((20, 6)), np.arange(1.0, 8), r"masses of shape \(20, 6\) do not fit 7 radii"),
        ],
    )
    def test_refusals(self, mass: np.ndarray, radii: np.ndarray, words: str) -> None:
        with pytest.raises(WeightsError, match=words):
            multifractal_spectrum(mass, radii)

"""Permutation tests: every order once, layers kept, p values that are exact."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from brodmann.stats import (
    all_orders,
    count_orders,
    difference_p_value,
    p_value,
    permutation_test,
    random_orders,
    sign_flip_test,
)


def test_all_orders_lists_each_order_once():
    orders = all_orders(5)
    assert orders.shape == (120, 5)
    assert len({tuple(order) for order in orders.tolist()}) == 120
    assert orders[0].tolist() == [0, 1, 2, 3, 4]


def test_orders_within_layers_keep_the_layers():
    layers = np.array([1, 0, 1, 0, 2, 1])
    orders = all_orders(6, layers)
    assert orders.shape[0] == count_orders(6, layers) == math.factorial(3) * 2
    assert len({tuple(order) for order in orders.tolist()}) == 12
    assert (layers[orders] == layers).all()
    assert orders[0].tolist() == list(range(6))
    drawn = random_orders(6, 6000, np.random.default_rng(0), layers)
    assert (layers[drawn] == layers).all()
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert counts.size == 12
    assert scipy_stats.chisquare(counts).pvalue > 0.001


def test_random_orders_are_uniform():
    drawn = random_orders(4, 12000, np.random.default_rng(3))
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert counts.size == 24
    assert scipy_stats.chisquare(counts).pvalue > 0.001


def test_p_values_by_hand():
    null = np.array([0.0, 1.0, 2.0, 3.0])
    assert p_value(2.5, null) == 2 / 5
    assert p_value(2.5, null, "less") == 4 / 5
    assert p_value(2.5, null, "two-sided") == 4 / 5
    assert p_value(3.0, null, exact=True) == 1 / 4
    assert p_value(9.0, null) == 1 / 5
    assert p_value(3.0, np.array([3.0 - 1e-15, 0.0])) == 2 / 3  # a tie, but for its last bit
    assert p_value(9.0, np.array([np.nan, 0.0])) == 2 / 3
    assert math.isnan(p_value(math.nan, null))
    assert math.isnan(p_value(1.0, np.array([])))
    assert p_value(math.inf, null) == 1 / 5


@given(st.floats(-5, 5), st.lists(st.floats(-5, 5), min_size=1, max_size=50))
def test_p_is_never_zero_and_mirrors(estimate, draws):
    null = np.array(draws)
    p = p_value(estimate, null)
    assert 1 / (null.size + 1) <= p <= 1
    assert p == p_value(-estimate, -null, "less")
    assert p_value(estimate, null, "two-sided") <= min(1.0, 2 * p)


def test_pairings_of_two_nulls_count_as_few_draws():
    first, second = np.arange(50.0), np.arange(50.0)
    assert difference_p_value(100.0, first, second) == 1 / 51
    assert difference_p_value(-100.0, first, second, "less") == 1 / 51
    share = np.mean(np.subtract.outer(first, second) >= 20)
    assert difference_p_value(20.0, first, second) == pytest.approx((1 + 50 * share) / 51)
    assert difference_p_value(20.0, first, second, "two-sided") == pytest.approx(2 * (1 + 50 * share) / 51)
    assert math.isnan(difference_p_value(math.nan, first, second))
    rng = np.random.default_rng(2)
    found = [difference_p_value(rng.normal(), rng.normal(size=20), np.zeros(20)) for _ in range(1000)]
    assert np.mean(np.array(found) <= 0.05) <= scipy_stats.binom(1000, 0.05).ppf(0.999) / 1000


def test_exact_test_equals_scipy(rng):
    values = rng.normal(size=7)
    x = np.arange(7.0)
    result = permutation_test(lambda orders: values[orders] @ x, 7, rng=rng, draws=5040, alternative="two-sided")
    reference = scipy_stats.permutation_test(
        (values,), lambda v, axis: (v * x).sum(axis=axis), permutation_type="pairings", n_resamples=np.inf,
        alternative="two-sided", vectorized=True,
    )  # fmt: skip
    assert result.exact
    assert result.null.size == 5040
    assert result.statistic == pytest.approx(float(reference.statistic), rel=1e-14)
    assert result.p == pytest.approx(float(reference.pvalue), rel=1e-12)


def test_drawn_test_approaches_the_exact_one(rng):
    values = rng.normal(size=8) + np.arange(8) * 0.5
    x = np.arange(8.0)
    exact = permutation_test(lambda orders: values[orders] @ x, 8, rng=rng, draws=50000)
    drawn = permutation_test(lambda orders: values[orders] @ x, 8, rng=rng, draws=20000)
    assert exact.exact
    assert not drawn.exact
    assert drawn.null.size == 20000
    assert abs(drawn.p - exact.p) < 4 * math.sqrt(exact.p / 20000) + 1e-4


def test_p_is_uniform_under_the_null():
    rng = np.random.default_rng(7)
    x = np.arange(6.0)
    found = []
    for _ in range(400):
        values = rng.normal(size=6)
        found.append(permutation_test(lambda orders, v=values: v[orders] @ x, 6, rng=rng, draws=199).p)
    assert np.mean(np.array(found) <= 0.05) <= scipy_stats.binom(400, 0.05).ppf(0.999) / 400
    assert scipy_stats.kstest(found, "uniform").pvalue > 0.001


def test_sign_flips_are_exact_and_equal_scipy(rng):
    differences = rng.normal(0.4, 1, 10)
    result = sign_flip_test(differences, rng=rng)
    reference = scipy_stats.permutation_test(
        (differences,), lambda v, axis: v.mean(axis=axis), permutation_type="samples", n_resamples=np.inf,
        alternative="greater", vectorized=True,
    )  # fmt: skip
    assert result.exact
    assert result.null.size == 1024
    assert result.p == pytest.approx(float(reference.pvalue), rel=1e-12)
    drawn = sign_flip_test(rng.normal(0.4, 1, 100), rng=rng, draws=999)
    assert not drawn.exact
    assert drawn.p == 0.001

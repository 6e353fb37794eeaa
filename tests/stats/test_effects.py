"""Corrections, equivalence and effect sizes against closed forms and scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from brodmann.stats import adjust, fdr, hedges_g, holm, tost, tost_mean

CHANCES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.9]), [1, 1])


def test_fdr_equals_scipy_and_leaves_missing_tests_out():
    p = [0.001, 0.02, 0.03, 0.5]
    for method in ("bh", "by"):
        np.testing.assert_allclose(fdr(p, method), scipy_stats.false_discovery_control(p, method=method))
        np.testing.assert_allclose(fdr([*p, math.nan], method)[:4], fdr(p, method))
        assert math.isnan(fdr([*p, None], method)[4])
    np.testing.assert_allclose(fdr([0.01, 0.02, 0.03, 0.04]), [0.04] * 4)


@given(CHANCES)
def test_corrections_are_ordered(p):
    values = np.array(p)
    strict, loose = holm(p), fdr(p)
    assert (strict >= values - 1e-15).all()
    assert (loose <= strict + 1e-12).all()
    assert (strict <= np.minimum(values * len(p), 1) + 1e-12).all()
    order = np.argsort(values)
    assert (np.diff(strict[order]) >= 0).all()


def test_holm_keeps_the_family_wise_error():
    rng = np.random.default_rng(0)
    wrong = np.mean([(holm(rng.random(10)) < 0.05).any() for _ in range(4000)])
    assert abs(wrong - (1 - 0.995**10)) < 4 * math.sqrt(0.05 * 0.95 / 4000)


def test_adjust_and_wrong_p_values():
    assert adjust([], "holm").size == 0
    np.testing.assert_allclose(adjust([0.01, 0.02], "bh"), fdr([0.01, 0.02]))
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.2])


def test_tost_equals_two_t_tests(rng):
    values = rng.normal(0.05, 1, 80)
    result = tost_mean(values, 0.3)
    lower = scipy_stats.ttest_1samp(values, -0.3, alternative="greater").pvalue
    upper = scipy_stats.ttest_1samp(values, 0.3, alternative="less").pvalue
    assert result.p == pytest.approx(max(lower, upper), rel=1e-10)
    interval = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.9)
    np.testing.assert_allclose(result.interval, interval, rtol=1e-10)
    inside = result.interval[0] > -0.3 and result.interval[1] < 0.3
    assert result.equivalent == inside
    assert tost(0.0, 1.0, 1.0).p == pytest.approx(scipy_stats.norm.sf(1.0), rel=1e-12)
    with pytest.raises(ValueError, match="margin"):
        tost(0.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="standard error"):
        tost(0.0, 0.0, 1.0)


@given(st.floats(-2, 2), st.floats(0.05, 2), st.floats(0.05, 3))
def test_equivalence_is_the_90_percent_interval_inside_the_margin(estimate, error, margin):
    result = tost(estimate, error, margin, df=30)
    inside = -margin < result.interval[0] and result.interval[1] < margin
    if abs(result.p - 0.05) > 1e-9:
        assert result.equivalent == inside


def test_hedges_g_by_hand():
    effect = hedges_g(np.array([3.0, 4.0, 5.0]), np.array([1.0, 2.0, 3.0]))
    assert effect.d == pytest.approx(2.0)
    assert effect.g == pytest.approx(2.0 * (1 - 3 / (4 * 6 - 9)))  # 0.8 * 2
    swapped = hedges_g(np.array([1.0, 2.0, 3.0]), np.array([3.0, 4.0, 5.0]))
    np.testing.assert_allclose([swapped.g, *swapped.interval], [-effect.g, -effect.interval[1], -effect.interval[0]])


def test_the_noncentral_interval_inverts_the_t_distribution(rng):
    first, second = rng.normal(1, 1, 8), rng.normal(0, 1, 12)
    effect = hedges_g(first, second)
    shrink, root = 1 - 3 / 71, math.sqrt(8 * 12 / 20)
    t = scipy_stats.ttest_ind(first, second).statistic
    assert effect.d * root == pytest.approx(float(t), rel=1e-12)
    for end, share in zip(effect.interval, (0.975, 0.025), strict=True):
        assert scipy_stats.nct.cdf(t, 18, end / shrink * root) == pytest.approx(share, abs=1e-7)
    # The interval excludes 0 exactly when the two-sided t test rejects.
    assert (effect.interval[0] > 0) == (scipy_stats.ttest_ind(first, second).pvalue < 0.05)


def test_noncentral_interval_covers_at_five_runs_per_condition():
    rng = np.random.default_rng(4)
    shrink = 1 - 3 / 31
    covered = 0
    for _ in range(400):
        low, high = hedges_g(rng.normal(1.4, 1, 5), rng.normal(0, 1, 5)).interval
        covered += low <= 1.4 * shrink <= high
    assert abs(covered / 400 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 400)


def test_bootstrap_interval_agrees_for_large_normal_groups(rng):
    first, second = rng.normal(0.5, 1, 150), rng.normal(0, 1, 150)
    exact = hedges_g(first, second)
    drawn = hedges_g(first, second, method="bootstrap", rng=rng)
    assert drawn.g == exact.g
    np.testing.assert_allclose(drawn.interval, exact.interval, atol=0.06)
    with pytest.raises(ValueError, match="Generator"):
        hedges_g(first, second, method="bootstrap")


def test_groups_that_cannot_be_compared():
    with pytest.raises(ValueError, match="two values"):
        hedges_g(np.array([1.0]), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="neither group varies"):
        hedges_g(np.ones(3), np.zeros(3))


def test_a_huge_effect_has_a_finite_interval():
    low, high = hedges_g(np.array([50.0, 50.5, 49.5, 50.2, 49.8]), np.array([0.0, 0.3, -0.2, 0.1, -0.4])).interval
    assert 50 < low < high < 500

"""Reliability against its closed form, and cuts of a profile against brute force."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from brodmann.stats import segment, spearman_brown, split_half


def test_split_half_recovers_the_reliability_of_a_mean():
    rng = np.random.default_rng(0)
    units, prompts, noise = 4000, 60, 5.0
    truth = rng.normal(size=units)
    values = truth + noise * rng.normal(size=(prompts, units))
    result = split_half(lambda weights: weights @ values, prompts, rng=rng, splits=50, correlation="pearson")
    assert result.r == pytest.approx(1 / (1 + noise**2 / 30), abs=0.02)
    assert result.reliability == pytest.approx(1 / (1 + noise**2 / 60), abs=0.02)
    assert result.low < result.reliability < result.high
    assert result.samples.shape == (50,)


def test_rank_correlation_equals_scipy(rng):
    values = rng.normal(size=(8, 30)) + np.linspace(0, 2, 30)
    seen = []

    def statistic(weights):
        seen.append(weights)
        return weights @ values

    result = split_half(statistic, 8, rng=rng, splits=5)
    first, second = seen
    np.testing.assert_allclose(first.sum(axis=1), 1)
    np.testing.assert_allclose(second.sum(axis=1), 1)
    assert ((first > 0) != (second > 0)).all()
    expected = [scipy_stats.spearmanr(a @ values, b @ values).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(result.samples, expected, rtol=1e-12)


def test_pure_noise_is_unreliable_and_odd_numbers_split(rng):
    values = rng.normal(size=(21, 500))
    result = split_half(lambda weights: weights @ values, 21, rng=rng)
    assert abs(result.reliability) < 0.15
    with pytest.raises(ValueError, match="two prompts"):
        split_half(lambda weights: weights, 1, rng=rng)
    with pytest.raises(ValueError, match="two units"):
        split_half(lambda weights: weights[:, :1], 4, rng=rng)


@given(st.floats(-0.9, 1), st.floats(1.1, 5), st.floats(1.1, 5))
def test_spearman_brown_composes(r, first, second):
    if r <= -1 / (first * second - 1) + 0.01:
        return
    assert spearman_brown(spearman_brown(r, first), second) == pytest.approx(
        spearman_brown(r, first * second), abs=1e-9
    )


def test_spearman_brown_by_hand():
    assert spearman_brown(0.6) == pytest.approx(0.75)
    assert math.isnan(spearman_brown(-1.0))


def brute_force(profile: np.ndarray, zones: int, least: int) -> float:
    best = math.inf
    for cuts in itertools.combinations(range(1, profile.size), zones - 1):
        parts = np.split(profile, cuts)
        if min(part.size for part in parts) >= least:
            best = min(best, sum(float(((part - part.mean()) ** 2).sum()) for part in parts))
    return best


@settings(max_examples=60, deadline=None)
@given(st.integers(6, 12), st.integers(1, 3), st.integers(1, 2), st.integers(0, 10**6))
def test_the_cut_is_the_best_of_all(layers, zones, least, seed):
    profile = np.random.default_rng(seed).normal(size=layers) + 100
    result = segment(profile, zones, least=least)
    fitted = result.means[result.labels]
    error = float(((profile - fitted) ** 2).sum())
    assert error == pytest.approx(brute_force(profile, zones, least), rel=1e-9, abs=1e-12)
    assert np.bincount(result.labels, minlength=zones).min() >= least
    total = float(((profile - profile.mean()) ** 2).sum())
    assert result.explained == pytest.approx(1 - error / total, abs=1e-9)


def test_planted_zones_are_found_and_significant():
    rng = np.random.default_rng(6)
    profile = np.repeat([0.1, 0.9, 0.3], [9, 12, 9]) + rng.normal(0, 0.08, 30)
    result = segment(profile, rng=rng, draws=499)
    assert result.boundaries == (9, 21)
    assert result.p == 1 / 500
    assert result.explained > 0.9


def test_the_split_of_noise_is_significant_as_often_as_it_says():
    rng = np.random.default_rng(8)
    p = [segment(rng.normal(size=12), rng=rng, draws=99).p for _ in range(300)]
    assert np.mean(np.array(p) <= 0.05) <= scipy_stats.binom(300, 0.05).ppf(0.999) / 300
    assert scipy_stats.kstest(p, "uniform").pvalue > 0.001


def test_few_layers_are_tested_exactly():
    result = segment(np.array([0.0, 1.0, 1.0, 0.0]), rng=np.random.default_rng(0))
    assert result.exact
    # Of the 6 placements of two ones, only 0110 and 1001 split perfectly into three zones of four layers... and so do
    # 0011 and 1100: four of six.
    assert result.p == pytest.approx(4 / 6)


def test_short_and_constant_profiles():
    with pytest.raises(ValueError, match="cannot hold"):
        segment(np.array([1.0, 2.0]), 3)
    flat = segment(np.ones(6), rng=np.random.default_rng(0))
    assert flat.explained == 0.0
    assert flat.p == 1.0

"""Planted thresholds are reported, trends and noise are not."""

import numpy as np
import pytest

from brodmann.stats.scaling import find_threshold

SIZES = np.geomspace(1.4e7, 1.2e10, 9)


def _share(make, runs=30):
    found = [find_threshold(SIZES, make(np.random.default_rng(seed))) for seed in range(runs)]
    return np.mean([each.identified for each in found]), found


def test_a_planted_jump_is_a_threshold_that_the_interval_covers():
    share, found = _share(lambda rng: 0.3 * (np.arange(9) >= 5) + 0.02 * rng.standard_normal(9))
    assert share >= 0.9
    covered = [each.low <= SIZES[4] and each.high >= SIZES[5] for each in found if each.identified]
    assert np.mean(covered) >= 0.95
    assert all(each.rises for each in found)


def test_trends_and_noise_have_no_identifiable_threshold():
    noise, _ = _share(lambda rng: 0.02 * rng.standard_normal(9))
    trend, found = _share(lambda rng: np.linspace(0, 0.3, 9) + 0.02 * rng.standard_normal(9))
    assert noise <= 0.1
    assert trend <= 0.05
    assert np.mean([each.best == "linear" for each in found]) > 0.7


def test_a_jump_between_far_sizes_is_not_located():
    """Two clusters of sizes, two decades apart: the break lies somewhere between, and that is no threshold."""
    sizes = np.array([1e7, 2e7, 3e7, 4e7, 4e9, 5e9, 6e9, 7e9])
    values = np.array([0.0, 0.01, -0.01, 0.0, 0.3, 0.31, 0.29, 0.3])
    found = find_threshold(sizes, values)
    assert (found.low, found.high) == (4e7, 4e9)
    assert not found.identified


def test_aicc_by_hand():
    values = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    found = find_threshold(SIZES[:8], values)
    rss = ((values - values.mean()) ** 2).sum()
    assert found.aicc["constant"] == pytest.approx(8 * np.log(rss / 8) + 4 + 12 / 5)
    assert set(found.aicc) == {"constant", "linear", "breakpoint", "logistic"}


def test_few_sizes_give_no_answer():
    assert find_threshold(SIZES[:7], np.arange(7.0)).best == "none"
    assert not find_threshold(SIZES[:7], np.arange(7.0)).identified
    with pytest.raises(ValueError, match="ascend"):
        find_threshold(SIZES[::-1].copy(), np.arange(9.0))


def test_fitting_closer_than_the_noise_is_not_rewarded():
    values = 1e-3 * (np.arange(9) >= 5)
    assert find_threshold(SIZES, values).best == "breakpoint"
    assert find_threshold(SIZES, values, noise=1e-2).best == "constant"

"""Areas and their intervals: closed forms, what stays fixed, and how often planted truths are covered."""

import numpy as np
import pytest
from scipy.stats import t as student

from brodmann.lesions.areas import area, crossed_interval, difference_interval, mean_interval, ratio_interval


def test_area_is_the_integral_of_a_broken_line_from_zero():
    share = np.array([0.1, 0.2, 0.4])
    straight = np.stack([3 * share, share * 0 + 1], axis=-1)
    np.testing.assert_allclose(area(share, straight), [3 * 0.4**2 / 2, 0.05 + 0.3])


def test_an_interval_over_one_factor_is_students(rng):
    values = rng.normal(2, 1, 7)
    for shaped in (values[None], values[:, None]):
        found = mean_interval(shaped[:, None])
        reach = student.ppf(0.975, 6) * values.std(ddof=1) / np.sqrt(7)
        np.testing.assert_allclose([found.low[0], found.high[0]], [values.mean() - reach, values.mean() + reach])


def test_an_interval_over_crossed_factors_adds_their_variances(rng):
    draws, prompts = rng.normal(0, 1, (10, 1)), rng.normal(0, 1, (1, 60))
    found = mean_interval((5 + prompts + draws)[:, None])
    parts = np.array([draws.var(ddof=1) / 10, prompts.var(ddof=1) / 60])
    freedom = parts.sum() ** 2 / (parts**2 / [9, 59]).sum()
    expected = 2 * student.ppf(0.975, freedom) * np.sqrt(parts.sum())
    np.testing.assert_allclose(found.high - found.low, expected)


def test_one_level_is_held_and_one_of_every_factor_gives_no_interval(rng):
    control, core = rng.lognormal(0, 0.3, (4, 30)), rng.lognormal(0, 0.3, (1, 30))
    same = ratio_interval(np.repeat(core, 2, axis=0), control)
    assert ratio_interval(core, control).ends == pytest.approx(same.ends)
    with pytest.raises(ValueError, match="at least two levels"):
        crossed_interval(lambda a: a[:, 0], (1,))


def test_a_ratio_turned_over_has_its_interval_turned_over(rng):
    one, other = rng.lognormal(0, 0.3, (3, 30)), rng.lognormal(1, 0.3, (5, 30))
    there, back = ratio_interval(one, other), ratio_interval(other, one)
    assert there.estimate == pytest.approx(one.mean() / other.mean())
    assert there.ends == pytest.approx((1 / back.ends[1], 1 / back.ends[0]))
    assert ratio_interval(one[:1], 2 * one[:1]).ends == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(("first", "second", "ratio"), [(0, 1, 0.0), (1, 0, np.nan), (-1, 1, -1.0), (1, -1, np.nan)])
def test_a_mean_that_is_not_above_zero_gives_no_interval(first, second, ratio):
    found = ratio_interval(np.full((1, 8), float(first)), np.full((3, 8), float(second)))
    np.testing.assert_equal(float(found.estimate), ratio)
    assert np.isnan(found.ends).all()
    alone = np.zeros((1, 8))
    alone[0, 2] = 1.0  # without this prompt nothing is left
    assert np.isnan(ratio_interval(alone, np.ones((3, 8))).ends).all()


def planted(rng, draws, sets=0.3, together=0.2):
    """A core that costs 1.5 times its control: prompts x draws x what they do together, lognormal."""
    common = rng.lognormal(0, 0.5, (1, 60))
    core = 1.5 * common * rng.lognormal(0, 0.1, (1, 60))
    control = common * rng.lognormal(0, sets, (draws, 1)) * rng.lognormal(0, together, (draws, 60))
    return core, control, 1.5 * np.exp((0.1**2 - sets**2 - together**2) / 2)


@pytest.mark.parametrize("draws", [5, 10])
def test_a_ratio_is_covered_as_often_as_its_level_says(draws):
    rng, trials = np.random.default_rng(4), 1000
    below = above = 0
    for _ in range(trials):
        core, control, truth = planted(rng, draws)
        low, high = ratio_interval(core, control).ends
        below, above = below + (truth < low), above + (truth > high)
    assert 0.925 <= 1 - (below + above) / trials <= 0.98
    # few draws of a skewed area rather miss a large one than overstate it
    assert above <= below <= 0.06 * trials


@pytest.mark.parametrize("draws", [5, 10])
def test_means_and_differences_are_covered_too(draws):
    rng, trials, hits = np.random.default_rng(5), 500, np.zeros(2)
    for _ in range(trials):
        prompts, sets = rng.normal(0, 1, (1, 60)), rng.normal(0, 0.3, (draws, 1))
        control = 3 + prompts + sets + rng.normal(0, 0.3, (draws, 60))
        core = 4 + prompts + rng.normal(0, 0.3, (1, 60))
        band, (low, high) = mean_interval(control[:, None]), difference_interval(core, control).ends
        hits += [band.low[0] <= 3 <= band.high[0], low <= 1 <= high]
    assert (hits / trials >= 0.93).all()
    assert (hits / trials <= 0.98).all()

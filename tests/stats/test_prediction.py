"""p values of the next draw."""

import math

import numpy as np
import pytest
from scipy import stats

from brodmann.stats import prediction_p_value


def test_closed_form_of_one_null():
    draws = np.array([1.0, 2.0, 4.0, 5.0])
    t = (6 - 3) / (draws.std(ddof=1) * math.sqrt(1.25))
    assert prediction_p_value(6.0, draws) == pytest.approx(stats.t.sf(t, 3), abs=1e-14)
    assert prediction_p_value(6.0, draws, alternative="less") == pytest.approx(stats.t.cdf(t, 3), abs=1e-14)
    assert prediction_p_value(6.0, draws, alternative="two-sided") == pytest.approx(2 * stats.t.sf(t, 3), abs=1e-14)


@pytest.mark.parametrize("two", [False, True])
def test_uniform_under_a_normal_null(rng, two):
    found = []
    for _ in range(2000):
        first, second = rng.normal(3, 1, 30), rng.normal(1, 2, 30)
        estimate = rng.normal(3, 1) - (rng.normal(1, 2) if two else 0.0)
        found.append(prediction_p_value(estimate, *([first, second] if two else [first])))
    assert stats.kstest(found, "uniform").pvalue > 0.001


def test_reaches_below_the_permutation_floor_and_needs_spread(rng):
    assert prediction_p_value(20.0, rng.standard_normal(30)) < 1e-10
    assert math.isnan(prediction_p_value(1.0, np.zeros(10)))
    assert math.isnan(prediction_p_value(1.0, np.zeros(1)))
    with pytest.raises(ValueError, match="one null"):
        prediction_p_value(1.0)

"""Spending functions against their closed forms, published values, and a simulated walk."""

import numpy as np
import pytest
from scipy.stats import norm

from brodmann.stats.sequential import in_a_row, spending, spent


@pytest.mark.parametrize("kind", ["obrien_fleming", "pocock", "even"])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_everything_is_spent_at_the_end_and_never_returned(kind, alpha):
    levels = spending(20, alpha, kind)
    assert levels.sum() == pytest.approx(alpha, rel=1e-12)
    assert (levels > 0).all()
    assert spent(0.0, alpha, kind) == 0.0


def test_closed_forms():
    # Lan and DeMets 1983, alpha 0.05 two-sided, information 0.2, 0.4, 0.6, 0.8
    expected = [2 * norm.sf(norm.isf(0.025) / np.sqrt(t)) for t in (0.2, 0.4, 0.6, 0.8)]
    assert [spent(t, 0.05, "obrien_fleming") for t in (0.2, 0.4, 0.6, 0.8)] == pytest.approx(expected, rel=1e-9)
    assert expected == pytest.approx([1.17e-5, 0.00194, 0.01140, 0.02844], rel=5e-3)
    assert spent(0.5, 0.05, "pocock") == pytest.approx(0.05 * np.log(1 + (np.e - 1) / 2))
    assert spent(0.5, 0.05, "even") == 0.025


def test_pocock_is_nearly_flat_and_obrien_fleming_waits():
    pocock, waiting = spending(10, 0.05, "pocock"), spending(10, 0.05, "obrien_fleming")
    assert pocock.max() / pocock.min() < 2.6
    assert waiting[-1] / waiting[0] > 1e6
    assert (np.diff(waiting) > 0).all()


@pytest.mark.parametrize("kind", ["obrien_fleming", "pocock"])
def test_false_alarms_stay_below_alpha_whatever_the_dependence(rng, kind):
    """A walk looked at twelve times: increments tested by the union bound never exceed alpha."""
    looks = 12
    walk = np.cumsum(rng.standard_normal((20_000, looks)), axis=1) / np.sqrt(np.arange(1, looks + 1))
    p = 2 * norm.sf(np.abs(walk))
    levels = spending(looks, 0.05, kind)
    assert 0.01 < (p < levels).any(axis=1).mean() < 0.05
    # naive looks at 5 % each raise four to five times as many alarms
    assert (p < 0.05).any(axis=1).mean() > 0.2


def test_two_in_a_row():
    assert in_a_row(np.array([True, False, True])).confirmed is None
    assert in_a_row(np.array([False, True, True, True])).confirmed == 2
    assert in_a_row(np.array([True]), needed=1).confirmed == 0
    with pytest.raises(ValueError, match="at least one"):
        in_a_row(np.array([True]), needed=0)


@pytest.mark.parametrize(("share", "alpha"), [(-0.1, 0.05), (1.1, 0.05), (0.5, 0.0), (0.5, 1.0)])
def test_out_of_range(share, alpha):
    with pytest.raises(ValueError, match="is not between"):
        spent(share, alpha)

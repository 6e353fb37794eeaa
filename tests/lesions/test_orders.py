"""Orders of removal: what each control promises to hold fixed, over random layouts of layers and ranks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brodmann.errors import SettingsError
from brodmann.lesions import orders


def layout(seed: int, units: int, layers: int):
    rng = np.random.default_rng(seed)
    return rng.integers(0, layers, units), rng.normal(size=units), rng


@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_layer_matched_orders_take_as_many_units_of_each_layer_at_every_step(seed, units, layers):
    layer, rank, rng = layout(seed, units, layers)
    core = orders.by_rank(rank)
    for draw in orders.layer_matched(core, layer, 3, rng):
        assert sorted(draw) == list(range(units))
        assert (layer[draw] == layer[core]).all()


def test_layer_matched_orders_are_uniform_within_layers():
    layer, core = np.array([0, 0, 0, 1, 1]), np.array([0, 3, 1, 4, 2])
    drawn = orders.layer_matched(core, layer, 6000, np.random.default_rng(0))
    # the first place belongs to layer 0, the second to layer 1: every unit of the layer is as likely
    np.testing.assert_allclose(np.bincount(drawn[:, 0], minlength=5) / 6000, [1 / 3, 1 / 3, 1 / 3, 0, 0], atol=0.03)
    np.testing.assert_allclose(np.bincount(drawn[:, 1], minlength=5) / 6000, [0, 0, 0, 1 / 2, 1 / 2], atol=0.03)


def test_a_layer_that_is_wholly_in_the_core_is_wholly_in_its_control():
    layer = np.array([0, 0, 1, 1, 1, 1])
    core = np.array([0, 1, 2, 3, 4, 5])
    gone = orders.removed(orders.layer_matched(core, layer, 1, np.random.default_rng(0))[0], 6, np.array([3]))
    assert gone[0, :2].all()
    assert gone[0, 2:].sum() == 1


@given(st.integers(0, 10**6), st.integers(4, 60))
@settings(max_examples=60, deadline=None)
def test_matched_partners_are_outside_the_core_and_different(seed, units):
    _, rank, rng = layout(seed, units, 3)
    value, steps = rng.normal(size=units), units // 2
    core = orders.by_rank(rank)
    partners = orders.matched(core, value, steps)
    assert len(set(partners)) == steps
    assert not set(partners) & set(core[:steps])


def test_partners_are_the_nearest_on_the_whole():
    value = np.array([1.0, 2.0, 3.0, 1.1, 2.2, 2.9, 50.0, -50.0])
    assert orders.matched(np.arange(8), value, 3).tolist() == [3, 4, 5]
    # greedily the first unit would take what the second needs more
    value = np.array([1.0, 1.4, 1.3, 0.0, 9.0])
    assert orders.matched(np.arange(5), value, 2).tolist() == [3, 2]


def test_more_than_half_of_the_units_have_no_partners():
    with pytest.raises(SettingsError, match="at most half"):
        orders.matched(np.arange(5), np.zeros(5), 3)


def test_orders_by_rank_and_their_sets():
    rank = np.array([0.1, 0.9, 0.5, 0.5])
    assert orders.by_rank(rank).tolist() == [1, 2, 3, 0]
    assert orders.by_rank(rank, descending=False).tolist() == [0, 2, 3, 1]
    gone = orders.removed(orders.by_rank(rank), 4, np.array([1, 3]))
    assert gone.tolist() == [[False, True, False, False], [False, True, True, True]]
    assert orders.counts(270, (0.05, 0.4)).tolist() == [14, 108]


def test_draws_repeat_with_their_seed():
    layer, rank, _ = layout(3, 40, 5)
    core = orders.by_rank(rank)
    one, two, other = (orders.layer_matched(core, layer, 2, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()
    assert (orders.at_random(9, 2, np.random.default_rng(5)) == orders.at_random(9, 2, np.random.default_rng(5))).all()


def test_imbalance_is_in_standard_deviations():
    value = np.array([0.0, 0.0, 2.0, 2.0])
    one, other = np.array([False, False, True, True]), np.array([True, True, False, False])
    assert orders.imbalance(one, other, value) == 2.0
    assert orders.imbalance(one, other, np.ones(4)) == 0.0

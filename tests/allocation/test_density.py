"""Density, sparsity and layer-matched groups against closed forms and slow references."""

import numpy as np
import pytest

from brodmann.allocation import density

LAYER = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
CORE = np.array([1, 0, 0, 0, 1, 1, 1, 0, 0, 0], bool)


def test_others_have_the_layers_of_the_core():
    groups = density.layer_matched(CORE, LAYER)
    by_layer = [[float(weights[each == LAYER].sum()) for each in range(3)] for weights in groups.weights]
    assert by_layer[0] == by_layer[1] == [0.25, 0.75, 0.0]
    assert groups.others[7] == 0.75
    assert groups.others[1] == pytest.approx(1 / 12)
    assert groups.matched == (0, 1)
    assert groups.dropped == 0
    whole = density.layer_matched(np.array([1, 1, 1, 0], bool), np.array([0, 0, 1, 1]))
    assert (whole.dropped, whole.matched) == (2, (1,))
    with pytest.raises(ValueError, match="no layer holds"):
        density.layer_matched(np.array([1, 1, 0, 0], bool), np.array([0, 0, 1, 1]))


def test_random_groups_keep_layers_and_are_uniform_over_units(rng):
    found = density.random_groups(CORE, LAYER, 4000, rng)
    for each in range(3):
        assert np.allclose(found[:, 0, each == LAYER].sum(1), found[:, 1, each == LAYER].sum(1))
    assert np.allclose((found[:, 0] > 0).mean(0), [0.25] * 4 + [0.75] * 4 + [0.0] * 2, atol=0.03)
    assert not ((found[:, 0] > 0) & (found[:, 1] > 0)).any()


def test_density_is_a_quarter_on_the_text_of_the_threshold_and_ignores_scale(rng):
    activity = rng.gamma(2.0, 1.0, (8, 25, 10)).astype(np.float32)
    against = density.yardstick(activity)
    groups = density.layer_matched(CORE, LAYER)
    found = density.outcomes(activity, groups.weights, against)
    assert found.mean(axis=(1, 2)) == pytest.approx([0.25, 0.25], abs=1e-9)
    scale = rng.uniform(0.1, 10, 10).astype(np.float32)
    again = density.outcomes(activity * scale, groups.weights, density.yardstick(activity * scale))
    np.testing.assert_allclose(found, again)
    level = density.outcomes(activity, groups.weights, against, "level")
    slow = sum(groups.core[u] * activity[..., u] / activity[..., u].mean() for u in range(10))
    np.testing.assert_allclose(level[0], slow, rtol=1e-5)


def test_ended_series_are_not_a_number_and_do_not_count(rng):
    activity = rng.gamma(2.0, 1.0, (4, 6, 10)).astype(np.float32)
    activity[1, 4:] = np.nan
    against = density.yardstick(activity)
    assert np.isfinite(against.threshold).all()
    found = density.outcomes(activity, density.layer_matched(CORE, LAYER).weights, against)
    assert np.isnan(found[:, 1, 4:]).all()
    assert np.isfinite(found).sum() == 2 * (24 - 2)


def test_sparsity_and_participation_against_a_loop(rng):
    activity = rng.gamma(2.0, 1.0, (3, 5, 10)).astype(np.float32)
    against = density.yardstick(activity)
    sets = density.equal_sets(CORE, LAYER, 7, rng)
    sizes = sets.sum(axis=-1)
    assert (sizes == 2).all(), "one unit of layer 0 and one of layer 1 on each side"
    assert not sets[0][:, ~CORE].any()
    assert not sets[1][:, CORE].any()
    found = density.population(activity, sets, against)
    for group in range(2):
        slow = {"hoyer": [], "participation": []}
        for chosen in sets[group]:
            a = (activity / against.mean)[2, 3, chosen]
            n = len(a)
            slow["hoyer"].append((n**0.5 - a.sum() / np.linalg.norm(a)) / (n**0.5 - 1))
            slow["participation"].append((a**2).sum() ** 2 / (a**4).sum() / n)
        for name, values in slow.items():
            assert found[name][group, 2, 3] == pytest.approx(np.mean(values), rel=1e-5)

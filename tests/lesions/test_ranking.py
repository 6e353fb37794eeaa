"""Curves against the table of orders: as many as the dry run reckons, and none that only one of the two knows."""

import numpy as np
import pytest

from brodmann.errors import SettingsError
from brodmann.lesions import ranking
from brodmann.lesions.ranking import Ranked, make_curves
from brodmann.removal import REMOVALS, Removal
from brodmann.settings import LesionSettings

SETTINGS = LesionSettings(fractions=(0.1, 0.2, 0.4), layer_draws=4, random_draws=3)


@pytest.fixture
def ranked(rng):
    layer = np.repeat(np.arange(4), 5)
    rank, activity, autocorrelation = rng.normal(size=(3, 20))
    return Ranked(np.array([f"L{i // 5}H{i % 5}" for i in range(20)]), np.arange(20), layer, layer, rank, activity,
                  autocorrelation)  # fmt: skip


@pytest.mark.parametrize("draws", [(4, 3), (2, 7)])
def test_there_are_as_many_lesions_as_the_settings_reckon(ranked, rng, draws):
    settings = LesionSettings(fractions=SETTINGS.fractions, layer_draws=draws[0], random_draws=draws[1])
    curves = make_curves(ranked, np.tile(np.arange(20.0), (2, 1)), settings, rng)
    assert len(curves.order) * len(settings.fractions) == settings.conditions() == np.prod(curves.gone.shape[:2])
    assert list(dict.fromkeys(curves.order)) == list(REMOVALS)


def test_each_half_of_the_prompts_loses_what_the_other_half_finds_important(ranked, rng):
    even, odd = np.arange(20.0), np.arange(20.0)[::-1]
    curves = make_curves(ranked, np.stack([even, odd]), SETTINGS, rng)
    row = curves.order.index("importance")
    for half, last in enumerate(((0, 1), (18, 19))):
        gone = curves.on(half)
        assert np.flatnonzero(gone[row, 0]).tolist() == list(last)
        np.testing.assert_array_equal(np.delete(gone, row, axis=0), np.delete(curves.gone, row, axis=0))


def test_an_order_without_a_curve_and_a_curve_without_an_order_are_refused(ranked, rng, monkeypatch):
    def curves(table):
        monkeypatch.setattr(ranking, "REMOVALS", table)
        return make_curves(ranked, np.tile(np.arange(20.0), (2, 1)), SETTINGS, rng)

    louder = Removal("the loudest first", "rival", "matched", 1.4)
    with pytest.raises(SettingsError, match=r"the order 'loudest' .* needs one curve; .*make_curves makes 0"):
        curves({**REMOVALS, "loudest": louder})
    with pytest.raises(SettingsError, match=r"makes the order 'importance', which has no line in removal\.REMOVALS"):
        curves({name: each for name, each in REMOVALS.items() if name != "importance"})
    with pytest.raises(SettingsError, match=r"'norm_matched' .* needs layer_draws = 4 curves; .* makes 1"):
        curves({**REMOVALS, "norm_matched": Removal("same", "control", "matched", 1.6, draws="layer_draws")})

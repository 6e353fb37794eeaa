"""Units that are silent most of the time: what is left out, and that what is left in stays unbiased."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as distributions

from brodmann.settings import SynergySettings
from brodmann.stats import resampling_weights
from brodmann.synergy.measure import activity, leave_group_out, like, measure, measure_nodes, select
from brodmann.synergy.sparse import activity_of, contributions, effective_samples

SETTINGS = SynergySettings(min_active=5, min_effective=30)


def experts(
    rng: np.random.Generator, rates: np.ndarray, prompts: int = 20, tokens: int = 80, layers: int = 4
) -> xr.Dataset:
    """Experts that are chosen at random with these rates (prompt, unit), and write a norm of 1 to 2 when they are."""
    units = rates.shape[1]
    chosen = rng.random((prompts, tokens, units)) < rates[:, None]
    values = np.where(chosen, 1 + rng.random(chosen.shape), 0.0).astype(np.float32)
    layer = np.repeat(np.arange(layers), units // layers)
    dims = ("prompt", "token", "unit")
    names = [f"L{a}E{b}" for a, b in zip(layer, np.arange(units) % (units // layers), strict=True)]
    coords = {"prompt": [f"p{n}" for n in range(prompts)], "unit": names, "layer": ("unit", layer)}
    variables = {"activity": (dims, values), "selected": (dims, chosen)}
    return xr.Dataset(variables, coords | {"kind": ("unit", ["expert"] * units)}, {"signal": "expert_norm"})


def test_effective_samples_have_their_closed_forms(rng: np.random.Generator) -> None:
    for ones, n in ((1, 100), (7, 100), (50, 100)):
        series = np.zeros((1, n, 1))
        series[0, :ones] = 3.0
        p = ones / n
        expected = n * p * (1 - p) / ((1 - p) ** 3 + p**3)
        assert effective_samples(series)[0, 0] == pytest.approx(expected, rel=1e-12)
    gaussian = rng.standard_normal((1, 200_000, 1))
    assert effective_samples(gaussian)[0, 0] / 200_000 == pytest.approx(1 / 3, rel=0.02)
    assert effective_samples(np.full((1, 30, 1), 0.1))[0, 0] == 0
    longer = np.concatenate([gaussian[:, :50], np.full((1, 20, 1), np.nan)], axis=1)
    assert effective_samples(longer)[0, 0] == pytest.approx(effective_samples(gaussian[:, :50])[0, 0], rel=1e-12)


@given(st.floats(-1e3, 1e3), st.floats(0.1, 1e3), st.integers(0, 1000))
def test_effective_samples_know_no_scale_and_no_offset(offset: float, factor: float, seed: int) -> None:
    series = np.random.default_rng(seed).random((2, 30, 3)) ** 4
    moved = offset + factor * series
    np.testing.assert_allclose(effective_samples(moved), effective_samples(series), rtol=1e-5)


def test_which_prompts_and_units_can_be_used(rng: np.random.Generator) -> None:
    rates = np.zeros((20, 6))
    rates[:, 0] = 1.0  # never silent
    rates[:, 1] = 0.3
    rates[:5, 2] = 0.9  # often, but in five prompts only
    rates[:, 3] = 0.01
    rates[:8, 5] = 0.5
    recording = experts(rng, rates, layers=2)
    found = activity(recording, SETTINGS)
    assert found is not None
    assert found.kept.tolist() == [True, True, False, False, False, True]
    np.testing.assert_array_equal(found.active, recording["selected"].sum("token"))
    np.testing.assert_array_equal(found.usable, found.active >= 5)
    np.testing.assert_allclose(found.share, recording["selected"].mean(("prompt", "token")))
    assert found.share[4] == found.effective[4] == 0
    assert found.share[0] == 1
    stricter = activity(recording, dataclasses.replace(SETTINGS, min_effective=100_000))
    assert stricter is not None
    assert stricter.kept.tolist() == [True] + [False] * 5


def test_only_signals_that_can_be_silent_are_looked_at(rng: np.random.Generator) -> None:
    recording = experts(rng, np.full((20, 4), 0.2))
    plain = recording.drop_vars("selected")
    assert activity(plain.assign_attrs(signal="z_norm"), SETTINGS) is None
    xr.testing.assert_identical(
        select(plain.assign_attrs(signal="z_norm"), SETTINGS), plain.assign_attrs(signal="z_norm")
    )
    neuron = activity(plain.assign_attrs(signal="neuron"), SETTINGS)
    expert = activity(recording, SETTINGS)
    assert neuron is not None
    assert expert is not None
    np.testing.assert_array_equal(neuron.active, expert.active)


def test_samples_beyond_the_end_are_no_silence() -> None:
    values = np.ones((4, 30, 1))
    values[:, 20:] = np.nan
    found = activity_of(values, np.ones((4, 30, 1), bool), least=25, effective=1e9)
    assert found.share.tolist() == [1.0]
    assert found.kept.tolist() == [True]


def test_contributions_keep_the_mean_and_its_spread(rng: np.random.Generator) -> None:
    values = np.full((60, 3), np.nan)
    values[:, 0] = rng.standard_normal(60)
    values[10:22, 1] = 3 + rng.standard_normal(12)
    values[5:12, 2] = -2 + rng.standard_normal(7)
    full = contributions(values)
    assert np.array_equal(full[:, 0], values[:, 0])
    np.testing.assert_allclose(full.mean(axis=0), np.nanmean(values, axis=0), rtol=1e-12)
    drawn = resampling_weights(60, 20_000, rng) @ full
    expected = np.nanstd(values, axis=0) / np.sqrt(np.isfinite(values).sum(axis=0))
    np.testing.assert_allclose(drawn.std(axis=0), expected, rtol=0.05)
    np.testing.assert_array_equal(contributions(values[:, :1]), values[:, :1])


def test_contributions_of_draws_that_know_nothing(rng: np.random.Generator) -> None:
    values = rng.standard_normal((4, 6, 3))
    values[1, :, 0] = np.nan
    values[:, :, 2] = np.nan
    full = contributions(values)
    assert np.isfinite(full).all()
    np.testing.assert_allclose(full[1, :, 0], np.nanmean(values[:, :, 0]))
    np.testing.assert_allclose(full[..., 2], full[..., :2].mean())


def test_a_prompt_that_says_nothing_changes_nothing(rng: np.random.Generator) -> None:
    """Node means over all prompts equal those over the prompts in which every unit was active."""
    rates = np.full((16, 8), 0.4)
    rates[10:, 3] = 0.0
    recording = experts(rng, rates, prompts=16)
    selected = select(recording, SETTINGS)
    assert selected.sizes["unit"] == 8
    both = measure(selected, SETTINGS)
    first = measure(select(recording.isel(prompt=slice(10)), SETTINGS), SETTINGS)
    np.testing.assert_allclose(both.nodes.synergy.mean(0)[3], first.nodes.synergy.mean(0)[3], rtol=1e-12)
    np.testing.assert_allclose(both.synergy[3], first.synergy[3], rtol=1e-12)
    np.testing.assert_allclose(both.autocorrelation[3], first.autocorrelation[3], rtol=1e-12)
    np.testing.assert_allclose(both.artefact[3], first.artefact[3], rtol=1e-12)
    assert both.flagged.tolist() == [0, 0, 0, 6, 0, 0, 0, 0]
    # delete-group jackknife over the pairs' own prompts
    rest = leave_group_out(both)
    groups = both.group_sizes.size
    without = np.flatnonzero(np.arange(16) % groups != 1)
    alone = measure(select(recording.isel(prompt=without), SETTINGS), SETTINGS)
    np.testing.assert_allclose(rest[1, 0], alone.synergy, atol=1e-14)


def test_silence_shared_by_units_makes_no_rank(rng: np.random.Generator) -> None:
    """Without masking, units that are chosen once or twice a prompt would be ranked by chance peaks."""
    rates = np.full((20, 16), 0.3)
    rates[:, ::4] = 0.01
    recording = experts(rng, rates)
    kept = select(recording, SETTINGS)
    assert kept.sizes["unit"] == 12
    assert not set(recording["unit"].values[::4]) & set(kept["unit"].values)


def test_controls_take_the_recordings_units_whatever_they_route(rng: np.random.Generator) -> None:
    recording = select(experts(rng, np.full((20, 8), 0.4)), SETTINGS)
    rates = np.full((20, 8), 0.4)
    rates[:, 2] = 0.0
    rates[4:, 5] = 0.0
    control = like(experts(rng, rates), recording, SETTINGS)
    assert control["unit"].values.tolist() == recording["unit"].values.tolist()
    missing = np.isnan(control["activity"].values).any(axis=1).sum(axis=0)
    assert missing.tolist() == [0, 0, 0, 0, 0, 16, 0, 0]
    nodes = measure_nodes(control, SETTINGS)
    assert np.isfinite(nodes.synergy).all()
    assert (nodes.synergy[:, 2] == 0).all()
    ranks = distributions.rankdata(nodes.synergy.mean(0))
    assert ranks[2] == 1

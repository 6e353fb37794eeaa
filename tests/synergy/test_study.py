"""The study on planted recordings: it must find what was planted and explain away what was not."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from brodmann.errors import RecordingError
from brodmann.settings import SynergySettings
from brodmann.stats import Finding
from brodmann.synergy import core
from brodmann.synergy.claims_networks import threshold
from brodmann.synergy.measure import leave_group_out, measure
from brodmann.synergy.phiid import decompose
from brodmann.synergy.study import study

_spec = importlib.util.spec_from_file_location("planted_cases", Path(__file__).parent / "planted_cases.py")
planted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planted)

QUICK = SynergySettings(bootstraps=300, surrogates=5, graph_nulls=10)


def _verdicts(result):
    return {f["name"]: Finding.from_dict(f).verdict for f in json.loads(result.attrs["findings"])}


def _finding(result, name):
    return next(Finding.from_dict(f) for f in json.loads(result.attrs["findings"]) if f["name"] == name)


def test_an_inverted_u_of_memory_is_explained_by_autocorrelation(rng):
    result = study(planted.memory_only(rng), settings=QUICK)
    verdicts = _verdicts(result)
    assert verdicts["inverted_u"] == "supported"
    assert verdicts["more_than_memory"] == "contradicted"
    assert _finding(result, "more_than_memory").caveats[0].startswith("explained by autocorrelation")
    assert result.attrs["note"].startswith("The inverted U of synergy is explained by autocorrelation")
    # the profile is the artefact, unit by unit
    assert np.corrcoef(result.node_synergy, result.artefact)[0, 1] > 0.98
    assert np.abs(result.excess_profile).max() < 0.05 * result.synergy_profile.max()
    assert result.zone.values.tolist() == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize("redundancy", ["mmi", "ccs"])
def test_planted_synergy_is_found_beyond_memory(rng, redundancy):
    result = study(planted.coupled(rng), settings=dataclasses.replace(QUICK, redundancy=redundancy))
    verdicts = _verdicts(result)
    assert verdicts["inverted_u"] == "supported"
    assert verdicts["more_than_memory"] == "supported"
    assert "explained by" not in result.attrs["note"] + result.attrs["findings"]
    assert result.zone.values.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    middle = (result.unit_layer >= 4) & (result.unit_layer <= 7)
    assert result.excess_z.values[:, middle].min() > 4
    assert np.abs(result.excess_synergy.values[:, ~middle]).max() < 0.01
    # 48 units, a quarter is 12, and 16 units are in the middle: the core is a subset of them in every resampling
    assert result.core.values.sum() == 12
    assert middle.values[result.core.values].all()
    assert result.core_probability.values[~middle].max() == 0


def test_memory_alone_decides_nothing_about_networks(rng):
    """Independent units whose memories differ make structured networks: no claim about wiring may come of them."""
    result = study(planted.memory_only(rng), settings=dataclasses.replace(QUICK, surrogates=8))
    verdicts = _verdicts(result)
    assert verdicts["synergy_more_efficient"] == "inconclusive"
    assert verdicts["redundancy_more_modular"] == "inconclusive"


def test_without_an_inverted_u_nothing_is_more_than_memory(rng):
    """Coupling in the outer layers only: an excess, but of a profile that has no inverted U."""
    coupled = planted.coupled(rng)["activity"].values.reshape(24, 100, 12, 4)
    turned = planted.recording(np.roll(coupled, 6, axis=2).reshape(24, 100, 48))
    verdicts = _verdicts(study(turned, settings=QUICK))
    assert verdicts["inverted_u"] == "contradicted"
    assert verdicts["more_than_memory"] != "supported"


def test_two_prompts_decide_nothing(rng):
    verdicts = _verdicts(study(planted.coupled(rng, prompts=3), settings=QUICK))
    assert set(verdicts.values()) == {"inconclusive"}


def test_what_memory_gives_decides_the_threshold():
    assert threshold(0.5, (0.4, 0.6), (0.1, 0.3)) == 0.3
    assert threshold(0.5, (0.4, 0.6), (-0.1, -0.3)) == 0.0
    assert threshold(-0.5, (-0.6, -0.4), (-0.1, 0.3)) == -0.1
    assert threshold(0.2, (0.05, 0.4), (0.1, 0.3)) == 0.2
    assert threshold(-0.2, (-0.3, -0.1), (-0.4, -0.1)) == -0.2


def test_coupled_synergy_under_a_shared_drift_is_not_explained_away(rng):
    """Circular shifts break a drift that prompts share, mismatched prompts keep it: no verdict where they disagree."""
    drifting = planted.with_drift(planted.coupled(rng), amplitude=4.0)
    finding = _finding(study(drifting, settings=QUICK), "more_than_memory")
    assert finding.verdict == "inconclusive"
    assert finding.interval[0] < 0 < finding.interval[1]


def test_shared_signals_push_synergy_below_memory_and_the_finding_says_so(rng):
    """One slow source in all middle units: coupling without synergy."""
    noise = rng.standard_normal((24, 150, 48))
    source = np.zeros((24, 150))
    for t in range(1, 150):
        source[:, t] = 0.7 * source[:, t - 1] + rng.standard_normal(24)
    middle = np.repeat(np.isin(np.arange(12), (4, 5, 6, 7)), 4)
    finding = _finding(
        study(planted.recording((noise + source[..., None] * middle)[:, 50:]), settings=QUICK), "more_than_memory"
    )
    assert finding.verdict == "contradicted"
    assert any("memory alone predicts a larger inverted U" in caveat for caveat in finding.caveats)
    assert any("what they share lowers" in caveat for caveat in finding.caveats)


def test_both_definitions_and_ccs_are_in_the_caveats(rng):
    definition, ccs, *_ = _finding(study(planted.coupled(rng), settings=QUICK), "inverted_u").caveats
    # the planted core is high in synergy and in redundancy, so the difference of ranks cancels: it misses the core
    assert "ranked by difference of ranks the contrast is no inverted U: " in definition
    assert "CCS in place of MMI: 0.5" in ccs
    memory = _finding(study(planted.memory_only(rng), settings=QUICK), "inverted_u")
    assert "CCS in place of MMI: -0.5" in memory.caveats[1]
    assert "(" not in memory.claim


def test_random_weights_are_judged_over_initialisations(rng):
    trained = planted.coupled(rng)
    flat = [planted.recording(5 + np.random.default_rng(s).standard_normal((24, 100, 48))) for s in range(8)]
    finding = _finding(study(trained, controls=flat, settings=QUICK), "absent_at_random_init")
    assert (finding.n, finding.unit_of_inference) == (8, "random initialisation")
    assert finding.verdict == "supported"
    # controls that carry the same planted core contradict the claim
    same = [planted.coupled(np.random.default_rng(s)) for s in range(8)]
    assert _finding(study(trained, controls=same, settings=QUICK), "absent_at_random_init").verdict == "contradicted"
    without = _finding(study(trained, settings=QUICK), "absent_at_random_init")
    assert without.verdict == "inconclusive"
    assert np.isnan(without.estimate)


def test_same_seed_same_bits(rng):
    recording = planted.coupled(rng, prompts=6)
    one, other = (study(recording, settings=QUICK, seed=3) for _ in range(2))
    for result in (one, other):
        del result.attrs["seconds"]
    assert one.identical(other)
    assert not one.excess_synergy.equals(study(recording, settings=QUICK, seed=4).excess_synergy)


def test_node_means_are_those_of_the_decomposition(rng):
    recording = planted.memory_only(rng, prompts=5)
    measured = measure(recording, QUICK)
    atoms = decompose(recording["activity"])
    assert np.abs(measured.synergy - atoms.sts.mean("prompt")).max() < 1e-14
    assert np.abs(measured.nodes.synergy[2] - core.node_means(atoms.sts[2].values)).max() < 1e-14
    # leaving out a group of prompts is the mean over the others
    rest = leave_group_out(measured)
    assert rest.shape == (5, 2, 48, 48)
    assert np.abs(rest[3, 1] - atoms.rtr.isel(prompt=[0, 1, 2, 4]).mean("prompt").values).max() < 1e-14


def test_constant_and_missing_series_are_flagged_and_left_out(rng):
    recording = planted.memory_only(rng, prompts=6)
    recording["activity"][:, :, 5] = 0.0
    recording["activity"][2, 30, 7] = np.nan
    result = study(recording, settings=QUICK)
    assert result.flagged.values[5] == 6
    assert result.flagged.values[7] == 1
    assert result.node_synergy.values[5] == 0
    assert np.isfinite(result.node_synergy.values).all()
    assert np.isfinite(result.profile.values).all()


@pytest.mark.parametrize(("estimator", "redundancy"), [("copula", "mmi"), ("binary", "mmi"), ("binary", "i_min")])
def test_every_estimator_finds_the_planted_core(rng, estimator, redundancy):
    settings = dataclasses.replace(QUICK, estimator=estimator, redundancy=redundancy)
    result = study(planted.coupled(rng), settings=settings)
    middle = (result.unit_layer >= 4) & (result.unit_layer <= 7)
    # one bit a sample sees little of the coupling, but all of it in the right place
    factor = 10 if estimator == "copula" else 3
    excess = result.excess_synergy.sel(null="prompt_mismatch").values
    assert excess[middle].mean() > factor * np.abs(excess[~middle]).mean()


def test_short_recordings_are_refused_by_name(rng):
    recording = planted.memory_only(rng, prompts=3)
    recording["length"] = ("prompt", [100, 4, 100])
    with pytest.raises(RecordingError, match="prompt 'p1' has a series of 4 tokens: lag 1 needs at least 6"):
        study(recording, settings=QUICK)
    with pytest.raises(RecordingError, match="1 prompt"):
        study(planted.memory_only(rng, prompts=1), settings=QUICK)
    other = planted.recording(np.zeros((3, 100, 12)), layers=3)
    with pytest.raises(RecordingError, match="same architecture"):
        study(planted.memory_only(rng, prompts=3), controls=[other], settings=QUICK)


def test_dropping_the_first_layer_leaves_the_others(rng):
    result = study(planted.memory_only(rng, prompts=4), settings=dataclasses.replace(QUICK, drop_first_layer=True))
    assert result.layer.values.tolist() == list(range(1, 12))
    assert result.sizes["unit"] == 44

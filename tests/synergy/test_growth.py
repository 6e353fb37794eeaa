"""Growth on planted series of checkpoints: what was planted is found, memory is called memory, noise has no onset."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from brodmann.errors import RecordingError
from brodmann.plain import to_dict
from brodmann.settings import SynergySettings, TrackSettings
from brodmann.stats import Finding, spending
from brodmann.steps import step_position
from brodmann.synergy import core, growth_figures, growth_study, stage
from brodmann.synergy.growth import (
    Looks,
    Series,
    band_contrast,
    contrast_of,
    exchanged_growth,
    lower_bounds,
    memory_rank_profile,
    repeated_contrasts,
    upper_of_initialisations,
)
from brodmann.synergy.growth_claims import NAMES
from brodmann.synergy.onset import find_onset, onset_interval, relate

_spec = importlib.util.spec_from_file_location("planted_cases", Path(__file__).parent / "planted_cases.py")
planted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planted)

STEPS = (0, 4, 16, 64, 256, 512, 1024, 4096)
SWITCHED_ON = 4  # first checkpoint with what was planted: step 256
QUICK = TrackSettings(growth_surrogates=3, growth_bootstraps=200)
PROMPTS = 12


def _white(seed):
    return planted.recording(5 + np.random.default_rng(seed).standard_normal((PROMPTS, 100, 48)))


def _grown(late, redundancy="mmi", seed=0, initial=None):
    synergy = SynergySettings(redundancy=redundancy)
    results = {"synergy": xr.Dataset(attrs={"settings": json.dumps(to_dict(synergy))})}
    recordings = [
        late(np.random.default_rng([seed, i]), PROMPTS) if i >= SWITCHED_ON else _white([seed, i])
        for i in range(len(STEPS))
    ]
    stages = [stage.study(recording, results=results, settings=QUICK, seed=7) for recording in recordings]
    initial = initial or (lambda i: _white([seed, 100 + i]))
    controls = [initial(i) for i in range(5)]
    return growth_study.study(
        stages, STEPS, synergy=to_dict(synergy), controls=controls, settings=QUICK, seed=seed
    ), stages  # fmt: skip


def _verdicts(result):
    return {f["name"]: Finding.from_dict(f) for f in json.loads(result.attrs["findings"])}


@pytest.fixture(scope="module")
def coupled():
    return _grown(planted.coupled)


@pytest.fixture(scope="module")
def remembering():
    return _grown(planted.memory_only)[0]


def test_planted_synergy_emerges_where_it_was_planted(coupled):
    result, _ = coupled
    found = _verdicts(result)
    for name in ("contrast_grew", "contrast_grew_ccs", "emergence", "onset", "growth_beyond_memory"):
        assert found[name].verdict == "supported", name
    onset = json.loads(result.attrs["onset"])
    assert onset["identified"]
    assert (onset["after"], onset["by"]) == (64, 256)
    assert onset["low"] <= 64
    assert onset["high"] >= 256
    # two checkpoints in a row: the second with the planted core is step 512
    assert result.attrs["emerged"] == "512"
    assert result["passed"].values.tolist() == [False] * SWITCHED_ON + [True] * (len(STEPS) - SWITCHED_ON)
    assert "goes beyond it" in result.attrs["note"]
    # the largest contrast of 16 units among 48 is reached
    highest = core.mid_minus_ends(core.layer_profile(np.repeat([0.0, 1.0, 0.0], 16), np.repeat(np.arange(12), 4)))
    assert highest == 1.0
    assert result["contrast"].sel(function="mmi", form="thirds", step=4096) == pytest.approx(0.511, abs=0.01)
    assert (result["excess_contrast"].sel(step=4096) > 0.02).all()
    assert np.abs(result["excess_contrast"].sel(step=0)).max() < 0.002


def test_the_verdict_is_the_same_with_ccs_in_place_of_mmi():
    result, _ = _grown(planted.coupled, redundancy="ccs")
    found = _verdicts(result)
    for name in ("contrast_grew", "contrast_grew_mmi", "emergence", "growth_beyond_memory"):
        assert found[name].verdict == "supported", name
    assert json.loads(result.attrs["onset"])["by"] == 256


def test_memory_that_grows_is_explained_by_autocorrelation(remembering):
    found = _verdicts(remembering)
    assert found["contrast_grew"].verdict == "supported"
    assert found["growth_beyond_memory"].verdict == "contradicted"
    assert found["growth_beyond_memory"].caveats[0].startswith("explained by autocorrelation")
    assert found["emergence"].verdict != "supported"
    # independent memory is no synergy for CCS: there the middle falls
    assert found["contrast_grew_ccs"].verdict == "contradicted"
    assert remembering.attrs["note"].startswith("The growth is explained by autocorrelation")
    assert remembering.attrs["emerged"] == ""
    assert not remembering["passed"].any()
    # the rival has the same contrast at the end, on the same scale
    rival = remembering["memory_contrast"].sel(form="thirds", step=4096)
    assert rival == pytest.approx(
        float(remembering["contrast"].sel(function="mmi", form="thirds", step=4096)), abs=0.02
    )


def _half_coupled(seed):
    """Half of the middle units coupled, the others white: strong synergy in nats, half the contrast of ranks."""
    rng = np.random.default_rng(seed)
    found = planted.coupled(rng, PROMPTS)["activity"].values.copy()
    silent = rng.permutation(np.arange(16, 32))[:8]
    found[..., silent] = 5 + rng.standard_normal((PROMPTS, 100, 8))
    return planted.recording(found)


def test_an_excess_that_initial_weights_have_too_is_no_emergence():
    """Ranks of 0.51 stand far above 0.26 of the initial weights; the excess, in nats, does not stand above theirs."""

    def late(rng, prompts):
        return planted.coupled(rng, prompts, coupling=0.25)

    free, _ = _grown(late)
    assert _verdicts(free)["emergence"].verdict == "supported"
    assert free.attrs["emerged"] == "512"
    assert np.abs(free["random_excess_threshold"]).max() < 0.002
    found, _ = _grown(late, initial=lambda i: _half_coupled([3, i]))
    assert found["random_contrast"].sel(form="thirds").max() < 0.3
    assert found["contrast"].sel(function="mmi", form="thirds", step=4096) > 0.5
    last = found["excess_contrast_low"].sel(step=4096)
    assert (last > 0.005).all()
    assert (last < found["random_excess_threshold"]).all()
    verdict = _verdicts(found)["emergence"]
    assert verdict.verdict == "inconclusive"
    assert "excess of fresh random initialisations over circular shift surrogates" in verdict.null
    assert found["random_excess"].mean() == pytest.approx(0.0072, abs=0.001)
    assert any("of initial weights" in caveat for caveat in verdict.caveats)
    assert not found["passed"].any()
    assert found.attrs["emerged"] == ""


def test_same_inputs_same_bits(coupled):
    result, stages = coupled
    again = growth_study.study(
        stages, STEPS, synergy=to_dict(SynergySettings()), controls=[_white([0, 100 + i]) for i in range(5)],
        settings=QUICK, seed=0,
    )  # fmt: skip
    for name in result.data_vars:
        np.testing.assert_array_equal(result[name].values, again[name].values)
    assert result.attrs["findings"] == again.attrs["findings"]


def test_families_that_cannot_be_compared_are_refused(coupled):
    _, stages = coupled
    synergy = to_dict(SynergySettings())
    with pytest.raises(RecordingError, match="at least two"):
        growth_study.study(stages[:1], [1], synergy=synergy)
    with pytest.raises(RecordingError, match="must ascend"):
        growth_study.study(stages[:2], [4, 1], synergy=synergy)
    other = stages[1].assign_coords(prompt=[f"q{i}" for i in range(PROMPTS)])
    with pytest.raises(RecordingError, match="other prompts"):
        growth_study.study([stages[0], other], [1, 2], synergy=synergy)


# the mathematics beneath


def test_contrasts_of_a_parabola_and_of_a_line():
    depth = np.linspace(0, 1, 12)
    arch, line = 4 * depth * (1 - depth), 3 * depth - 1
    assert contrast_of(arch, "quadratic") == pytest.approx(1.0)
    for kind in ("thirds", "band", "quadratic"):
        assert contrast_of(line, kind) == pytest.approx(0.0, abs=1e-12)
        assert contrast_of(-arch, kind) == pytest.approx(-contrast_of(arch, kind))
    # depths 0.3 to 0.7 of eleven layers are layers 3 to 7, ends included
    assert band_contrast(np.array([0.0] * 3 + [1.0] * 5 + [0.0] * 3)) == 1.0
    assert np.isnan(band_contrast(np.array([1.0, 2.0])))


def test_contrasts_that_compare_the_same_layers_are_drawn_once(coupled):
    """Of 8 layers, layers 3 and 4 are the middle third and the depths from 0.3 to 0.7; of 11 and 24 they differ."""
    layers = {count: repeated_contrasts(count) for count in (8, 11, 24)}
    assert layers[8] == {"band": "thirds"}
    profiles = np.random.default_rng(0).random((50, 8))
    np.testing.assert_allclose(contrast_of(profiles, "band"), contrast_of(profiles, "thirds"))
    for count in (11, 24):
        assert layers[count] == {}
    result, _ = coupled
    whole = growth_figures.forms(result.isel(layer=slice(11)))
    assert whole.title.startswith("At the last checkpoint the three contrasts are 0.51, ")
    assert "xaxis3" in whole.figure["layout"]
    fewer = growth_figures.forms(result.isel(layer=slice(8)))
    assert fewer.title.startswith("At the last checkpoint the two contrasts are 0.51 and ")
    assert "xaxis3" not in fewer.figure["layout"]
    drawn = [t["name"] for t in fewer.figure["data"] if t.get("name") in NAMES.values()]
    assert drawn == [NAMES["thirds"], NAMES["quadratic"]]
    said = "Of 8 layers, depths 0.3 to 0.7 minus the rest compares the same ones as middle third"
    assert said in fewer.how_to_read
    assert "compares the same ones" not in whole.how_to_read


def test_the_bound_of_initial_weights_is_drawn(coupled):
    result, _ = coupled
    traces, _ = growth_figures._excess(result, step_position(result["step"].values))
    drawn = next(trace for trace in traces if trace.get("name") == "to exceed: random weights")
    assert drawn["y"] == pytest.approx([float(result["random_excess_threshold"].max())] * 2)
    older = growth_figures.course(result.drop_vars("random_excess_threshold")).figure["data"]
    assert "to exceed: random weights" not in [trace.get("name") for trace in older]


def test_memory_ranks_share_the_scale_of_the_profile(rng):
    layer = np.repeat(np.arange(6), 4)
    values = rng.standard_normal(24)
    expected = core.rank_profile(values, np.zeros(24), layer)
    np.testing.assert_allclose(memory_rank_profile(values, layer), expected)


def test_prompts_are_resampled_jointly(rng):
    """The difference of two equal checkpoints is exactly 0 in every resampling, however noisy each is."""
    nodes = rng.standard_normal((1, 20, 24))
    series = Series(np.repeat(nodes, 2, axis=0), np.zeros((2, 20, 24)), np.repeat(np.arange(6), 4))
    weights = rng.dirichlet(np.ones(20), 50)
    contrasts = series.contrasts("thirds")(weights)
    assert np.ptp(contrasts[:, 0]) > 0.1
    np.testing.assert_array_equal(contrasts[:, 0], contrasts[:, 1])
    assert not exchanged_growth(series, 0, 1, "thirds", rng, 50).any()


def test_exchanging_checkpoints_is_exact_for_no_growth():
    """Uniform p values where nothing grew: at most 7 of 100 below 0.05."""
    below = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        nodes = rng.standard_normal((2, 12, 24))
        series = Series(nodes, np.zeros_like(nodes), np.repeat(np.arange(6), 4))
        both = series.contrasts("thirds")(np.full((1, 12), 1 / 12))[0]
        null = exchanged_growth(series, 0, 1, "thirds", rng, 199)
        below += (1 + (null >= both[1] - both[0]).sum()) / 200 <= 0.05
    assert below <= 9


def test_positions_are_octaves():
    np.testing.assert_allclose(step_position(np.array([0, 8, 16, 1024])), [2, 3, 4, 10])


@pytest.fixture
def fourteen():
    return step_position(np.array([0, *(2**i for i in range(13))]))


def test_a_planted_jump_is_found_at_its_place(rng, fourteen):
    jump = 8.0 * (np.arange(14) >= 8)
    found = [find_onset(rng.standard_normal(14) + jump, fourteen, rng, draws=199) for _ in range(40)]
    firsts = [onset.first for onset in found if onset.identified]
    assert len(firsts) >= 36
    assert np.mean(np.array(firsts) == 8) >= 0.9


def test_the_interval_covers_the_planted_onset(rng, fourteen):
    """Resampled around a planted jump, the interval holds it in at least 90 of 100 series."""
    jump = 3.0 * (np.arange(14) >= 6)
    covered = 0
    for _ in range(100):
        values = rng.standard_normal(14) + jump
        between = onset_interval(values + rng.standard_normal((200, 14)), 2)
        covered += between.low <= 6 <= between.high
    assert covered >= 90
    assert find_onset(rng.standard_normal(5), fourteen[:5], rng) is None


def test_trends_correlate_in_levels_and_not_in_differences(rng):
    """Two unrelated trends share a clock: levels are near 1, differences are near 0 and are what is tested."""
    levels, tested = [], 0
    for seed in range(60):
        own = np.random.default_rng(seed)
        one, other = (np.arange(14) + 2 * own.standard_normal(14) for _ in range(2))
        found = relate(one, other, own, draws=199)
        levels.append(found.levels)
        tested += (1 + sum(draw >= found.differences for draw in found.draws)) / 200 <= 0.05
    assert np.mean(levels) > 0.7
    assert tested <= 7
    tied = np.cumsum(rng.standard_normal(14))
    found = relate(tied, tied + 0.1 * rng.standard_normal(14), rng)
    assert found.differences > 0.8
    assert found.interval[0] > 0.4
    assert relate(np.ones(14), tied, rng) is None


@pytest.mark.parametrize("kind", ["pocock", "obrien_fleming"])
@pytest.mark.parametrize("carried", [False, True], ids=["independent looks", "looks at a sum that grows"])
def test_false_alarms_at_any_planned_look_stay_below_alpha(kind, carried):
    """Twelve texts and fourteen looks at nothing: a single look passes in at most 5 % of runs, two in a row rarer."""
    rng = np.random.default_rng(14)
    runs, looks, texts = 4000, 14, 12
    values = rng.standard_normal((runs, looks, texts))
    if carried:
        values = np.cumsum(values, axis=1) / np.sqrt(np.arange(1, looks + 1))[:, None]
    # the bootstrap's standard error of a mean, without its noise
    error = values.std(axis=2) / np.sqrt(texts)
    passed = lower_bounds(values.mean(axis=2), error, spending(looks, 0.05, kind), texts) > 0
    assert 0.005 < passed.any(axis=1).mean() <= 0.05
    assert (passed[:, 1:] & passed[:, :-1]).any(axis=1).mean() <= 0.02
    normal = lower_bounds(values.mean(axis=2), error, spending(looks, 0.05, kind), 10**9) > 0
    assert normal.any(axis=1).mean() > 1.5 * passed.any(axis=1).mean()


def test_the_rule_of_emergence():
    estimate, error = np.full(3, 0.3), np.array([0.05, 0.05, 0.2])
    level = np.full(3, 0.05 / 3)
    lower = lower_bounds(estimate, error, level, 10**9)
    np.testing.assert_allclose(lower, 0.3 - 2.394 * error, atol=1e-3)
    # Student's t with 4 degrees of freedom at 0.05 / 6 is 3.961
    np.testing.assert_allclose(lower_bounds(estimate, error, level, 5), 0.3 - 3.961 * error * np.sqrt(5 / 4), atol=1e-3)
    known = {"level": level, "lower": lower, "excess_lower": np.full((2, 3), 0.1), "excess_random": np.zeros(2)}
    looks = Looks(**known, threshold=0.1, excess_threshold=np.full((2, 3), 0.05), reliability=np.array([0.9, 0.4, 0.9]))
    # the first passes; the second's ranking is not reliable; the third is too noisy
    assert looks.passed.tolist() == [True, False, False]
    memory = Looks(**known, threshold=0.1, excess_threshold=np.array([[0.05] * 3, [0.2] * 3]), reliability=np.ones(3))
    assert not memory.passed.any()
    # the initial weights have an excess that the second null does not take away
    above = {"threshold": 0.1, "excess_threshold": np.full((2, 3), 0.05), "reliability": np.ones(3)}
    assert Looks(**{**known, "excess_random": np.array([0.0, 0.09])}, **above).passed.tolist() == [True, True, False]
    assert not Looks(**{**known, "excess_random": np.array([0.0, 0.11])}, **above).passed.any()
    assert not Looks(**{**known, "excess_random": np.array([0.0, np.nan])}, **above).passed.any()
    unknown = Looks(**known, threshold=np.nan, excess_threshold=np.zeros((2, 3)), reliability=np.ones(3))
    assert not unknown.passed.any()
    # Student's prediction bound: mean 0, s = 1, n = 2: 12.706 * sqrt(1.5)
    assert upper_of_initialisations(np.array([-1, 1]) / np.sqrt(2)) == pytest.approx(12.706 * np.sqrt(1.5), rel=1e-3)


def test_a_tiny_level_never_opens_the_gate():
    lower = lower_bounds(np.zeros(3), np.ones(3), np.array([1e-290, 1e-120, 0.05]), 6)
    assert (lower < 0).all()
    assert lower[0] <= lower[1] < lower[2]

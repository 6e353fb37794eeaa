"""Sizes on planted recordings: a core that is there from some size on, and one that never is."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from brodmann.errors import RecordingError
from brodmann.plain import to_dict
from brodmann.settings import SynergySettings, TrackSettings
from brodmann.stats import Finding, bootstrap_interval
from brodmann.stats.scaling import find_threshold
from brodmann.synergy import sizes_study, stage
from brodmann.synergy.sizes_figures import chapter

_spec = importlib.util.spec_from_file_location("planted_cases", Path(__file__).parent / "planted_cases.py")
planted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planted)

QUICK = TrackSettings(growth_surrogates=2, growth_bootstraps=40, growth_subsets=2)
SIZES = [1e7, 2e7, 3e7, 5e7, 7e7, 1e8, 2e8, 3e8, 5e8, 7e8, 1e9, 2e9]


def _compared(core_from: int, prompts: int = 6, gone: bool = False):
    """Twelve sizes with a planted core from one on; or, where it is `gone`, below it only."""
    results = {"synergy": xr.Dataset(attrs={"settings": json.dumps(to_dict(SynergySettings()))})}
    recordings = []
    for number in range(len(SIZES)):
        rng = np.random.default_rng(number)
        white = planted.recording(5 + rng.standard_normal((prompts, 100, 48)))
        found = planted.coupled(rng, prompts=prompts) if (number >= core_from) != gone else white
        # the smallest model has half the heads of the others
        recordings.append(found.isel(unit=slice(None, None, 2)) if number == 0 else found)
    stages = [stage.study(each, results=results, settings=QUICK, seed=1) for each in recordings]
    names = [f"m{size:.0e}" for size in SIZES]
    return sizes_study.study(
        stages, SIZES, names, recordings=recordings, synergy=to_dict(SynergySettings()), settings=QUICK, seed=2
    ), stages, recordings  # fmt: skip


def test_a_planted_threshold_is_located_at_equally_many_units():
    result, _, recordings = _compared(core_from=6)
    told = json.loads(result.attrs["threshold"])
    assert told["identified"]
    assert (told["low"], told["high"]) == (1e8, 2e8)
    assert result.attrs["units"] == 24
    # the largest contrast of 8 units among 24
    assert result["contrast"].values[6:] == pytest.approx(np.full(6, 0.52), abs=0.03)
    (finding,) = (Finding.from_dict(f) for f in json.loads(result.attrs["findings"]))
    assert "between 1e+08 and 2e+08" in finding.claim
    assert finding.estimate > 4
    drawn = chapter(result, recordings[-1])
    assert "a threshold lies between 1e+08 and 2e+08" in drawn.panels[0].title


def _planted_finding(levels, seed: int, prompts: int = 60, spread: float = 0.04, sizes=SIZES) -> Finding:
    """The finding about planted contrasts of 12 sizes, each known to 0.005 from its prompts."""
    rng = np.random.default_rng([seed, 12])
    bands = []
    for level in levels:
        values = level + rng.normal(0, spread, prompts)
        bands.append(bootstrap_interval(lambda weights, v=values: weights @ v, prompts, rng=rng, draws=200))
    values = np.array([float(band.estimate) for band in bands])
    noise = float(np.mean([band.samples.var(ddof=1) for band in bands]))
    fitted = find_threshold(np.array(sizes), values, noise=noise)
    return sizes_study._finding(fitted, bands, sizes, 24, "thirds", seed)


def test_noise_that_hides_a_jump_does_not_contradict_it():
    # four standard deviations of one model's contrast, and twice what matters
    found = [_planted_finding([0.0] * 6 + [0.2] * 6, seed, spread=0.05 * np.sqrt(60)) for seed in range(6)]
    assert "contradicted" not in [each.verdict for each in found]
    level = [_planted_finding([0.2] * 12, seed, spread=0.01 * np.sqrt(60)) for seed in range(6)]
    assert [each.verdict for each in level] == ["inconclusive"] * 6
    few = [_planted_finding([0.0] * 4 + [0.4] * 4, seed, sizes=SIZES[:8]) for seed in range(6)]
    assert "contradicted" not in [each.verdict for each in few]


@pytest.mark.parametrize(
    ("below", "above", "supported"),
    [(0.0, 0.4, True), (0.4, 0.0, False), (0.4, -0.2, False), (-0.5, -0.1, False), (0.2, 0.2, False)],
    ids=["appears", "disappears", "turns over", "less below 0", "level"],
)
def test_only_an_inverted_u_that_appears_supports_a_threshold(below, above, supported):
    found = [_planted_finding([below] * 6 + [above] * 6, seed) for seed in range(4)]
    verdicts = [each.verdict for each in found]
    # a logistic curve as steep as a jump is hard to exclude: about three of four are supported
    assert (
        (verdicts.count("supported") >= 2 and "contradicted" not in verdicts)
        if supported
        else ("supported" not in verdicts)
    )
    assert all(("between 1e+08 and 2e+08" in each.claim) == supported for each in found)
    if below > above:
        assert all("lower than below, or is none" in each.caveats[0] for each in found)
        assert all(each.estimate <= 0 for each in found)


def test_no_figure_names_a_threshold_above_which_the_core_is_gone():
    result, _, recordings = _compared(core_from=6, gone=True)
    assert not json.loads(result.attrs["threshold"])["identified"]
    (finding,) = (Finding.from_dict(f) for f in json.loads(result.attrs["findings"]))
    assert finding.verdict != "supported"
    assert "no identifiable threshold" in chapter(result, recordings[-1]).panels[0].title


def test_without_a_core_there_is_no_identifiable_threshold():
    result, stages, recordings = _compared(core_from=99)
    (finding,) = (Finding.from_dict(f) for f in json.loads(result.attrs["findings"]))
    assert finding.verdict != "supported"
    assert "no identifiable threshold" in finding.claim
    other = stages[1].assign_coords(prompt=[f"q{i}" for i in range(6)])
    with pytest.raises(RecordingError, match="other prompts"):
        sizes_study.study(
            [stages[0], other], SIZES[:2], ["a", "b"], recordings=recordings[:2], synergy=to_dict(SynergySettings())
        )

"""Sizes on planted recordings: a core that is there from some size on, and one that never is."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from brodmann.errors import RecordingError
from brodmann.settings import SynergySettings, TrackSettings, to_dict
from brodmann.stats import Finding
from brodmann.synergy import sizes_study, stage
from brodmann.synergy.sizes_figures import chapter

_spec = importlib.util.spec_from_file_location("planted_cases", Path(__file__).parent / "planted_cases.py")
planted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planted)

QUICK = TrackSettings(growth_surrogates=2, growth_bootstraps=40, growth_subsets=2)
SIZES = [1e7, 2e7, 3e7, 5e7, 7e7, 1e8, 2e8, 3e8, 5e8, 7e8, 1e9, 2e9]


def _compared(core_from: int, prompts: int = 6):
    results = {"synergy": xr.Dataset(attrs={"settings": json.dumps(to_dict(SynergySettings()))})}
    recordings = []
    for number in range(len(SIZES)):
        rng = np.random.default_rng(number)
        white = planted.recording(5 + rng.standard_normal((prompts, 100, 48)))
        found = planted.coupled(rng, prompts=prompts) if number >= core_from else white
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

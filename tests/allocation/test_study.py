"""The whole study on a small real model: what it gives, that it resumes, what it refuses, and its chapter."""

import json

import numpy as np
import pytest
import xarray as xr

import brodmann as bd
from brodmann.allocation import study
from brodmann.allocation.figures import chapter
from brodmann.allocation.figures_axes import UNDER_TEST
from brodmann.atlas.draw import drawable
from brodmann.errors import RecordingError
from brodmann.settings import AllocationSettings
from brodmann.stats import read_findings

SMALL = AllocationSettings(
    hard_tasks=("addition", "sorting"), simple_tasks=("repeat", "copy"), rungs=2, task_texts=5, neutral_texts=6,
    text_context=12, text_steps=10, answer_tokens=6, ratio_bootstraps=60, random_sets=19,
)  # fmt: skip
RECORDING = xr.Dataset(attrs={"signal": "z_norm", "label": "glass-en", "settings": json.dumps({"batch_size": 16})})


class Kept(dict):
    def put(self, key, arrays):
        self[key] = {name: np.array(values) for name, values in arrays.items()}


@pytest.fixture(scope="module")
def core(glass):
    units = glass.anatomy.units("z_norm")["unit"].tolist()
    return xr.DataArray([index % 3 == 0 for index in range(len(units))], coords={"unit": units}, dims="unit")


@pytest.fixture(scope="module")
def parts():
    return Kept()


@pytest.fixture(scope="module")
def found(glass, core, parts):
    return study(glass, RECORDING, core=core, settings=SMALL, seed=3, partial=parts)


def test_variables_and_findings(found):
    assert found.sizes["condition"] == 9
    assert found.sizes["unit"] == 16
    assert found["ratio"].dims == ("version", "measure", "adjustment", "compared", "contrast")
    assert found["version"].values.tolist() == ["reading", "writing", "writing, right answers"]
    one = found["ratio"].sel(version="reading", measure="density", adjustment="none", contrast="addition 4")
    density = found["condition_density"].sel(condition=["neutral", "addition 4"]).values
    expected = density[:, 1] / density[:, 0]
    np.testing.assert_allclose(one.sel(compared=["core", "others"]), expected, rtol=1e-6)
    assert float(one.sel(compared="relative")) == pytest.approx(expected[0] / expected[1], rel=1e-6)
    inside = (found["ratio_low"] <= found["ratio"] + 1e-9) & (found["ratio"] <= found["ratio_high"] + 1e-9)
    assert float(inside.where(np.isfinite(found["ratio"])).mean()) > 0.97
    assert found["texts"].sel(version="reading", contrast=["hard", "harder"]).values.tolist() == [16, 20]
    assert 0 < float(found["density_neutral"].mean()) < 0.6
    assert (found["neuron_density"].values <= 1).all()
    findings = read_findings(found)
    assert [each.name for each in findings] == [
        "hard_tasks_more_active", "simple_repetition_less_active", "harder_more_active",
    ]  # fmt: skip
    assert all("energy" not in json.dumps(each.to_dict()) for each in findings)
    assert findings[0].n == 16


def test_a_killed_study_goes_on_to_the_same_numbers(glass, core, parts, found):
    kept = Kept(dict(list(parts.items())[: len(parts) // 2]))
    again = study(glass, RECORDING, core=core, settings=SMALL, seed=3, partial=kept)
    assert len(kept) == len(parts)
    again.attrs.pop("seconds")
    first = found.copy()
    first.attrs.pop("seconds")
    xr.testing.assert_identical(first, again)


def test_the_chapter_is_drawn(found):
    page = chapter(found, RECORDING)
    names = [panel.name for panel in page.panels]
    assert names == [
        "allocation", "allocation-ladder", "allocation-layers", "allocation-measures", "allocation-texts",
        "allocation-neurons",
    ]  # fmt: skip
    for panel in page.panels:
        assert drawable(panel.figure)
        json.dumps(panel.figure, allow_nan=False)
        assert panel.title.endswith(".")
        assert not panel.title[0].islower()
    core = float(found["ratio"].sel(version="reading", measure="density", adjustment="surprisal and position",
                                    compared="core", contrast="hard"))  # fmt: skip
    assert f"the core is {core:.2f} times as densely active" in page.panels[0].title
    marks = [trace for trace in page.panels[0].figure["data"] if trace["name"] == UNDER_TEST]
    assert sorted({round(float(np.exp(mark["x"][0])), 2) for mark in marks}) == [0.65, 1.42]
    families = [trace for trace in page.panels[1].figure["data"] if trace["xaxis"] == "x2"]
    looks = {(trace["line"]["color"], trace["marker"]["symbol"]) for trace in families}
    assert len(looks) == len(families)
    low, high = page.panels[1].figure["layout"]["yaxis2"]["range"]
    assert all(low <= value <= high for trace in families for value in trace["y"] if value is not None)


def test_what_it_refuses(glass, core):
    with pytest.raises(RecordingError, match="needs a core"):
        study(glass, RECORDING, settings=SMALL)
    with pytest.raises(RecordingError, match="no unit L9H9"):
        study(glass, RECORDING, core=xr.DataArray([True], coords={"unit": ["L9H9"]}, dims="unit"), settings=SMALL)
    with pytest.raises(RecordingError, match="not the signal 'neuron'"):
        study(glass, xr.Dataset(attrs={"signal": "neuron"}), core=core, settings=SMALL)
    with pytest.raises(RecordingError, match="is no decoder"):
        study(bd.load("random:bert"), RECORDING, core=core, settings=SMALL)
    with pytest.raises(RecordingError, match="no layer holds units of the core and others"):
        study(glass, RECORDING, core=core * False, settings=SMALL)

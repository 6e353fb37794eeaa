"""Studies of other packages: found by entry point, planned, run, tabled and drawn like our own."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import brodmann as bd
from brodmann.atlas.atlas import Atlas
from brodmann.atlas.registry import Needs, resolve, studies
from brodmann.errors import ReportError, SettingsError

MODULE = '''
"""A small study of another package: which unit is the loudest."""

import json

import xarray as xr

from brodmann.atlas.registry import Needs, Study
from brodmann.page import Chapter, Panel

LOUDEST = Study("loudness", "The loudest unit", "loudness_study:study", "loudness_study:chapter", Needs(prompts=2))


def study(recording, *, seed):
    mean = recording["activity"].mean(("prompt", "token"))
    return xr.Dataset({"loudness": ("unit", mean.values)}, {"unit": recording["unit"].values}, {"seed": seed})


def chapter(dataset, recording):
    loudest = str(dataset["unit"].values[int(dataset["loudness"].values.argmax())])
    return Chapter("loudness", "Loudness", "Which unit is loudest?", f"{loudest} is the loudest.", ())


CONTRIBUTED = Study("loudness", "As written in CONTRIBUTING", "loudness_study:written", "loudness_study:chapter")


def written(recording, *, settings, controls, seed, progress):
    progress("measuring")
    mean = recording["activity"].mean(("prompt", "token"))
    core = ("unit", (mean > mean.median()).values)
    attrs = {"settings_given": str(settings), "controls_given": len(controls), "seed": seed}
    return xr.Dataset({"core": core, "loudness": ("unit", mean.values)}, {"unit": recording["unit"].values}, attrs)


def failing_chapter(dataset, recording):
    return dataset["loudnes"]


def odd_chapter(dataset, recording):
    import numpy as np

    figure = {"data": [{"type": "scatter3d", "x": np.ones(2)}], "layout": {}}
    return Chapter("loudness", "Loudness", "", "", (Panel("array_panel", "An array", figure),))


FAILING = Study("loudness", "L", "loudness_study:study", "loudness_study:failing_chapter")
ODD = Study("loudness", "L", "loudness_study:study", "loudness_study:odd_chapter")
LOST = Study("loudness", "L", "loudness_study:study", "loudness_study:no_chapter")
CONTROLLED = Study("loudness", "L", "loudness_study:study", "loudness_study:chapter", Needs(controls=True))
SECTIONED = Study("loudness", "L", "loudness_study:study", "loudness_study:chapter", settings="volume")
NONSENSE = "a string"
TAKEN = Study("synergy", "Another synergy", "m:f", "m:c")
'''


def install(folder: Path, entry: str, monkeypatch: pytest.MonkeyPatch, version: str = "1.0") -> None:
    (folder / "loudness_study.py").write_text(MODULE)
    info = folder / "loudness_study-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: loudness-study\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[brodmann.studies]\nloudness = loudness_study:{entry}\n")
    monkeypatch.syspath_prepend(str(folder))


def mapped(folder: Path, **more: Any) -> Atlas:
    (folder / "p.json").write_text('["Alice was beginning", "The Queen said"]')
    small = {"prompts": str(folder / "p.json"), "new_tokens": 10, "null_models": 0, "surrogates": 2, "bootstraps": 20}
    return bd.map("glass-en", out=folder / "a", **(small | {"graph_nulls": 2} | more))


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    studies.cache_clear()
    yield
    sys.modules.pop("loudness_study", None)
    studies.cache_clear()


def test_built_in() -> None:
    assert next(iter(studies())) == "synergy"
    assert callable(resolve(studies()["synergy"].study))
    assert callable(resolve(studies()["synergy"].chapter))


def test_a_study_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "LOUDEST", monkeypatch)
    assert set(studies()) >= {"synergy", "loudness"}
    atlas = mapped(tmp_path, studies=["loudness"])
    assert list(atlas.results) == ["loudness"]
    expected = atlas.recording["activity"].mean(("prompt", "token"))
    np.testing.assert_array_equal(atlas.results["loudness"]["loudness"], expected)
    np.testing.assert_array_equal(atlas.units["loudness"], expected)
    loudest = str(atlas.units.loc[atlas.units["loudness"].idxmax(), "unit"])
    assert f"{loudest} is the loudest." in atlas.report.read_text(encoding="utf-8")
    assert atlas.findings == ()


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("NONSENSE", "is not a Study"),
        ("TAKEN", "registers the study 'synergy', which exists"),
        ("NOTHING", "cannot be loaded .AttributeError: .*; mend or uninstall its package"),
        ("CONTROLLED", "needs controls must name settings with null_models, such as settings='synergy'"),
        ("SECTIONED", "settings = 'volume' is no section; there are load, record, synergy"),
    ],
)
def test_bad_entries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, complaint: str) -> None:
    install(tmp_path, entry, monkeypatch)
    with pytest.raises(SettingsError, match=f"entry point 'loudness' .*{complaint}"):
        studies()


@pytest.mark.parametrize("target", ["nowhere:study", "brodmann.settings:nothing", "brodmann.settings"])
def test_targets_that_do_not_exist(target: str) -> None:
    with pytest.raises(SettingsError, match="cannot be imported"):
        resolve(target)


def test_the_signature_of_contributing_runs_without_settings_and_loses_no_unit_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "CONTRIBUTED", monkeypatch)
    mapped(tmp_path, studies=["loudness"])
    atlas = mapped(tmp_path, studies=["synergy"])
    assert list(atlas.results) == ["synergy", "loudness"]
    attrs = atlas.results["loudness"].attrs
    assert (attrs["settings_given"], attrs["controls_given"]) == ("None", 0)
    np.testing.assert_array_equal(atlas.units["core"], atlas.results["synergy"]["core"])
    np.testing.assert_array_equal(atlas.units["loudness.core"], atlas.results["loudness"]["core"])
    assert int(atlas.units["loudness.core"].sum()) == 8


def test_another_version_of_the_package_is_computed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "LOUDEST", monkeypatch)
    assert studies()["loudness"].version == "1.0"
    titles: list[str] = []
    mapped(tmp_path, studies=["loudness"])
    mapped(tmp_path, studies=["loudness"], tell=lambda tick: titles.append(tick.title))
    assert titles == []
    install(tmp_path, "LOUDEST", monkeypatch, version="1.1")
    studies.cache_clear()
    assert studies()["loudness"].version == "1.1"
    mapped(tmp_path, studies=["loudness"], tell=lambda tick: titles.append(tick.title))
    assert list(dict.fromkeys(titles)) == ["The loudest unit", "tables", "report"]


def test_a_package_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "LOUDEST", monkeypatch)
    (tmp_path / "loudness_study.py").write_text("import a_module_that_is_not_here\n")
    with pytest.raises(SettingsError, match=r"entry point 'loudness' .*No module named 'a_module_that_is_not_here'"):
        studies()


def test_targets_are_tried_before_anything_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "LOST", monkeypatch)
    with pytest.raises(SettingsError, match=r"target 'loudness_study:no_chapter' cannot be imported"):
        mapped(tmp_path)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("entry", "blamed"),
    [
        ("FAILING", r"chapter of study 'loudness' \(loudness_study:failing_chapter\) cannot be drawn \(KeyError"),
        ("ODD", r"panel 'array_panel' of the chapter 'loudness' cannot be drawn \(TypeError.*ndarray"),
    ],
)
def test_chapters_that_fail_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, blamed: str) -> None:
    install(tmp_path, entry, monkeypatch)
    with pytest.raises(ReportError, match=blamed):
        mapped(tmp_path, studies=["loudness"])


def test_the_study_in_contributing_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (entry,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    install(tmp_path, "LOUDEST", monkeypatch)
    (tmp_path / "loudness.py").write_text(code)
    ((group, points),) = tomllib.loads(entry)["project"]["entry-points"].items()
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (tmp_path / "loudness_study-1.0.dist-info" / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    atlas = mapped(tmp_path, studies=["loudness"])
    sys.modules.pop("loudness")
    (finding,) = atlas.findings
    units = atlas.units
    late, early = (units.loc[(units["depth"] > 0.5) == side, "mean_activity"].mean() for side in (True, False))
    assert finding.estimate == pytest.approx(late - early, rel=1e-5)
    assert finding.n == 2
    np.testing.assert_allclose(units["loudness"], units["mean_activity"], rtol=1e-5)
    page = atlas.report.read_text(encoding="utf-8")
    assert "Units of the later half of the layers speak louder" in page
    assert "@misc{loudness," in page


def test_needs_are_said_in_the_right_number() -> None:
    assert Needs().words == "1 layer, 2 units, 1 prompt, 1 token more than the lag"
    assert Needs(4, 8, 2, 8).words == "4 layers, 8 units, 2 prompts, 8 tokens more than the lag"

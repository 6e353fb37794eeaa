"""Studies of other packages: found by entry point, planned, run, tabled and drawn like our own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import brodmann as bd
from brodmann.atlas.registry import resolve, studies
from brodmann.errors import SettingsError

MODULE = '''
"""A small study of another package: which unit is the loudest."""

import json

import xarray as xr

from brodmann.atlas.registry import Needs, Study
from brodmann.page import Chapter

LOUDEST = Study("loudness", "The loudest unit", "loudness_study:study", "loudness_study:chapter", Needs(prompts=2))


def study(recording, *, seed):
    mean = recording["activity"].mean(("prompt", "token"))
    return xr.Dataset({"loudness": ("unit", mean.values)}, {"unit": recording["unit"].values}, {"seed": seed})


def chapter(dataset, recording):
    loudest = str(dataset["unit"].values[int(dataset["loudness"].values.argmax())])
    return Chapter("loudness", "Loudness", "Which unit is loudest?", f"{loudest} is the loudest.", ())


NONSENSE = "a string"
TAKEN = Study("synergy", "Another synergy", "m:f", "m:c")
'''


def install(folder: Path, entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "loudness_study.py").write_text(MODULE)
    info = folder / "loudness_study-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loudness-study\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[brodmann.studies]\nloudness = loudness_study:{entry}\n")
    monkeypatch.syspath_prepend(str(folder))


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    studies.cache_clear()
    yield
    sys.modules.pop("loudness_study", None)
    studies.cache_clear()


def test_built_in() -> None:
    assert list(studies()) == ["synergy"]
    assert callable(resolve(studies()["synergy"].study))
    assert callable(resolve(studies()["synergy"].chapter))


def test_a_study_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "LOUDEST", monkeypatch)
    assert list(studies()) == ["synergy", "loudness"]
    (tmp_path / "p.json").write_text('["Alice was beginning", "The Queen said"]')
    atlas = bd.map(
        "glass-en", out=tmp_path / "a", studies=["loudness"], prompts=str(tmp_path / "p.json"), new_tokens=10
    )
    assert list(atlas.results) == ["loudness"]
    expected = atlas.recording["activity"].mean(("prompt", "token"))
    np.testing.assert_array_equal(atlas.results["loudness"]["loudness"], expected)
    np.testing.assert_array_equal(atlas.units["loudness"], expected)
    loudest = str(atlas.units.loc[atlas.units["loudness"].idxmax(), "unit"])
    assert f"{loudest} is the loudest." in atlas.report.read_text(encoding="utf-8")
    assert atlas.findings == ()


@pytest.mark.parametrize(
    ("entry", "complaint"), [("NONSENSE", "is not a Study"), ("TAKEN", "registers the study 'synergy', which exists")]
)
def test_bad_entries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, complaint: str) -> None:
    install(tmp_path, entry, monkeypatch)
    with pytest.raises(SettingsError, match=f"entry point 'loudness' .*{complaint}"):
        studies()


@pytest.mark.parametrize("target", ["nowhere:study", "brodmann.settings:nothing", "brodmann.settings"])
def test_targets_that_do_not_exist(target: str) -> None:
    with pytest.raises(SettingsError, match="cannot be imported"):
        resolve(target)

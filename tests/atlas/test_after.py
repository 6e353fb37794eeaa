"""Studies that come after others, drive the model, and keep what they have finished."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import brodmann as bd
from brodmann.atlas.atlas import Atlas
from brodmann.atlas.registry import studies
from brodmann.errors import Incomplete, SettingsError, StudyError

MODULE = '''
"""Two studies of another package: one finds the loudest unit, the next one silences it, prompt by prompt."""

import numpy as np
import xarray as xr

from brodmann.atlas.registry import Needs, Study
from brodmann.page import Chapter

LOUDEST = Study("loudness", "Loudness", "silencing:loudness", "silencing:chapter")
SILENCED = Study(
    "silence", "Silence", "silencing:silence", "silencing:chapter", subject=True, after=("loudness",), optional=True
)
CIRCLE = Study("loudness", "Loudness", "silencing:loudness", "silencing:chapter", after=("silence",))
ORPHAN = Study("silence", "Silence", "silencing:silence", "silencing:chapter", after=("loud",))
BLIND = Study("loudness", "Loudness", "silencing:blind", "silencing:chapter")
DEAF = Study("loudness", "Loudness", "silencing:deaf", "silencing:chapter")
BROKEN = Study("loudness", "Loudness", "silencing:broken", "silencing:chapter")
worked, stop_after, given = [], [], []


def blind(recording, *, results):
    return xr.Dataset()


def deaf(recording, *, subject):
    return xr.Dataset()


def broken(recording):
    return recording["loudest"]


def loudness(recording):
    loud = recording["activity"].mean(("prompt", "token"))
    return xr.Dataset({"loudness": ("unit", loud.values)}, {"unit": recording["unit"].values})


def silence(subject, recording, *, results, seed, progress, partial=None):
    loudest = str(results["loudness"]["unit"].values[int(results["loudness"]["loudness"].values.argmax())])
    given.append((type(subject).__name__, subject.name, loudest, sorted(results)))
    drawn = []
    for number, prompt in enumerate(recording["prompt"].values):
        progress("silencing", number / recording.sizes["prompt"])
        kept = partial.get(str(prompt))
        if kept is None:
            if stop_after == [number]:
                raise KeyboardInterrupt
            worked.append(str(prompt))
            kept = {"value": np.random.default_rng([seed, number]).normal(size=3)}
            partial.put(str(prompt), kept)
        drawn.append(kept["value"])
    attrs = {"loudest": loudest}
    return xr.Dataset({"value": (("prompt", "draw"), np.stack(drawn))}, {"prompt": recording["prompt"].values}, attrs)


def chapter(dataset, recording):
    return Chapter("loudness" if "loudness" in dataset else "silence", "Loudness", "?", "", ())
'''


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **entries: str) -> None:
    (folder / "silencing.py").write_text(MODULE)
    info = folder / "silencing-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: silencing\nVersion: 1.0\n")
    lines = "".join(f"{name} = silencing:{entry}\n" for name, entry in entries.items())
    (info / "entry_points.txt").write_text(f"[brodmann.studies]\n{lines}")
    monkeypatch.syspath_prepend(str(folder))


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    studies.cache_clear()
    yield
    sys.modules.pop("silencing", None)
    studies.cache_clear()


def mapped(folder: Path, name: str, chosen: list[str] | None = None, **more: Any) -> Atlas:
    (folder / "p.json").write_text('["Alice was beginning", "The Queen said", "There was", "She went on"]')
    given = {"prompts": str(folder / "p.json"), "new_tokens": 10} | more
    return bd.map("glass-en", out=folder / name, studies=chosen or ["silence"], **given)


def test_killed_in_the_middle_it_goes_on_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, loudness="LOUDEST", silence="SILENCED")
    straight = mapped(tmp_path, "straight")
    import silencing  # type: ignore[import-not-found]

    assert len(silencing.worked) == 4
    assert not any((straight.path / "partial").glob("*"))
    silencing.worked.clear()
    silencing.stop_after.append(2)
    with pytest.raises(Incomplete, match="stopped after 2 of"):
        mapped(tmp_path, "stopped")
    (kept,) = (tmp_path / "stopped" / "partial").iterdir()
    assert kept.name.startswith("silence-")
    assert len(list(kept.glob("*.npz"))) == 2
    silencing.stop_after.clear()
    stopped = mapped(tmp_path, "stopped")
    assert len(silencing.worked) == len(set(silencing.worked)) == 4
    assert not any((stopped.path / "partial").glob("*"))
    one, two = (atlas.results["silence"]["value"].to_numpy() for atlas in (straight, stopped))
    assert one.tobytes() == two.tobytes()


def test_it_gets_the_opened_model_and_the_results_it_comes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, loudness="LOUDEST", silence="SILENCED")
    first = mapped(tmp_path, "a", ["loudness"])
    assert list(first.results) == ["loudness"]
    titles: list[str] = []
    atlas = mapped(tmp_path, "a", tell=lambda tick: titles.append(tick.title))
    import silencing

    loudest = str(atlas.units["unit"][atlas.results["loudness"]["loudness"].to_numpy().argmax()])
    assert silencing.given == [("Subject", "glass-en", loudest, ["loudness"])]
    assert list(dict.fromkeys(titles)) == ["Silence", "tables", "report"]
    assert atlas.manifest["added"] == ["silence"]
    assert atlas.manifest["command"].endswith("a-again --add silence") or "--add silence" in atlas.manifest["command"]
    # a command that does not ask for it leaves it there
    again = mapped(tmp_path, "a", ["loudness"])
    assert list(again.results) == ["loudness", "silence"]
    assert again.manifest["added"] == ["silence"]


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ({"loudness": "CIRCLE", "silence": "SILENCED"}, "'loudness' comes after itself, by way of loudness, silence"),
        ({"silence": "ORPHAN"}, "'silence' comes after 'loud', which does not exist"),
    ],
)
def test_circles_and_orphans_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: dict[str, str], complaint: str
) -> None:
    install(tmp_path, monkeypatch, **entries)
    with pytest.raises(SettingsError, match=complaint):
        studies()


@pytest.mark.parametrize(
    ("entry", "kind", "complaint"),
    [
        ("BLIND", SettingsError, "study 'loudness' takes results, which it gets only with after"),
        ("DEAF", SettingsError, "study 'loudness' takes subject, which it gets only with subject=True"),
        ("BROKEN", StudyError, "the study 'loudness' .silencing:broken. of another package failed: KeyError"),
    ],
)
def test_mistakes_of_other_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, kind: type[Exception], complaint: str
) -> None:
    install(tmp_path, monkeypatch, loudness=entry)
    with pytest.raises(kind, match=complaint):
        mapped(tmp_path, "a", ["loudness"])

"""The directory: whole files or none, foreign folders refused, disk problems in one line."""

import errno
import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from brodmann.atlas.store import FORMAT, Folder, disk_error, store_error, write_text
from brodmann.errors import StoreError


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "atlas")
    assert made.create() is True
    return made


def test_a_second_create_finds_it(folder: Folder) -> None:
    assert folder.create() is False


def test_markers(folder: Folder) -> None:
    assert folder.facts("t") is None
    folder.finish("t", {"seconds": 1.5})
    assert folder.facts("t") == {"seconds": 1.5}
    folder.marker("t").write_text("{", encoding="utf-8")
    assert folder.facts("t") is None


def test_a_failed_write_leaves_the_old_file_and_nothing_else(folder: Folder) -> None:
    write_text(folder.root / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(folder.root / "a.txt", "new \ud800")
    assert (folder.root / "a.txt").read_text() == "old"
    assert [p.name for p in folder.root.iterdir() if p.is_file()] == ["a.txt"]


def test_writing_is_all_or_nothing(folder: Folder) -> None:
    with pytest.raises(FileExistsError), folder.writing("results/x") as path:  # noqa: PT012
        path.mkdir()
        path.mkdir()
    assert not (folder.results / "x").exists()
    with folder.writing("results/x") as path:
        path.mkdir()
        (path / "part").write_text("1")
    with folder.writing("results/x") as path:
        path.mkdir()
        (path / "part").write_text("2")
    assert (folder.results / "x" / "part").read_text() == "2"
    assert list((folder.root / ".tmp").iterdir()) == []


def test_parts_of_a_study_stay_until_it_is_finished(folder: Folder) -> None:
    parts = {key: folder.partial(key) for key in ("lesions-1", "lesions-2")}
    for each in parts.values():
        each.put("a", {"x": np.arange(3)})
    (parts["lesions-2"].path / ".b.npz.123").write_text("half")
    folder.finish("lesions-1", {})
    assert [path.name for path in (folder.root / "partial").iterdir()] == ["lesions-2"]
    # killed between the marker and the tidying up
    parts["lesions-1"].put("a", {"x": np.arange(3)})
    with folder.locked():
        assert [str(p.relative_to(folder.root)) for p in (folder.root / "partial").rglob("*") if p.is_file()] == [
            "partial/lesions-2/a.npz"
        ]


def test_leftovers_of_a_killed_run_are_cleared(folder: Folder) -> None:
    (folder.root / ".tmp").mkdir()
    (folder.root / ".tmp" / "results--x").write_text("half")
    (folder.root / "done" / ".t.json.123").write_text("half")
    (folder.recordings / ".k.zarr.ff.tmp").mkdir()
    with folder.locked():
        left = [p.name for p in folder.root.rglob("*") if "half" in p.name or p.name.startswith(".")]
    assert left == [".lock"]


def test_log_survives_a_torn_line(folder: Folder) -> None:
    folder.note("started", "a")
    with (folder.root / "log.jsonl").open("a") as file:
        file.write('{"event": "fini\n')
    folder.note("finished", "a", more=1)
    assert [(e["event"], e["task"]) for e in folder.events()] == [("started", "a"), ("finished", "a")]


def test_foreign_folders_are_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match=r"is not an atlas and holds other files \(thesis.tex\)"):
        Folder(tmp_path).refuse_foreign()
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file, not a folder"):
        Folder(tmp_path / "file").refuse_foreign()
    with pytest.raises(StoreError, match="is a file, not a folder"):
        Folder(tmp_path / "file" / "below" / "it").refuse_foreign()


def test_empty_and_begun_folders_are_taken(tmp_path: Path, folder: Folder) -> None:
    folder.refuse_foreign()
    (tmp_path / "empty").mkdir()
    Folder(tmp_path / "empty").refuse_foreign()
    Folder(tmp_path / "not" / "there").refuse_foreign()
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other"}', '{"format": "brodmann atlas 99"}'])
def test_manifests_of_others_are_refused(folder: Folder, text: str) -> None:
    (folder.root / "atlas.json").write_text(text)
    with pytest.raises(StoreError, match=r"atlas\.json"):
        folder.refuse_foreign()


def test_manifest_round_trip(folder: Folder) -> None:
    folder.write_manifest({"label": "Übung", "results": {}})
    assert folder.read_manifest() == {"format": FORMAT, "label": "Übung", "results": {}}
    assert "Übung" in (folder.root / "atlas.json").read_text(encoding="utf-8")
    assert json.loads((folder.root / "atlas.json").read_text())["format"] == FORMAT


def _lock(path: str) -> bool:
    try:
        with Folder(Path(path)).locked():
            return True
    except StoreError:
        return False


def test_two_processes_do_not_share_a_folder(folder: Folder) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with folder.locked():
            assert pool.apply(_lock, (str(folder.root),)) is False
        assert pool.apply(_lock, (str(folder.root),)) is True


def test_disk_problems_are_found_in_the_chain() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    outer = RuntimeError("zarr failed")
    outer.__cause__ = full
    assert disk_error(outer) is full
    assert disk_error(ValueError("x")) is None
    assert str(store_error(full, Path("out"))) == (
        "cannot write to out: no space left on the disk; free some space, then run the same command again"
    )

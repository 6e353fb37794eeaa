"""What lies in an atlas directory, and how it gets there without ever being half there.

::

    OUT/ atlas.json      what this is: label, model, current keys, wall times (see `Folder.write_manifest`)
         settings.yaml   settings of the current results; ``--settings`` reproduces the run
         report.html plate.svg
         recordings/<key>.zarr           the subject's recording and those of its randomly initialised twins
         results/<study>-<key>.zarr      studies; earlier settings keep their files
         results/<study>-<key>.yaml      the settings of that study
         tables/{units,findings,profile,pairs}.parquet
         partial/<task key>/*.npz        what an unfinished study has finished so far
         done/<task key>.json            completion markers: written last, with the task's wall time
         plans/<fingerprint>.json        what a model and its settings stood for when they were first opened
         log.jsonl                       append-only: a task started, finished, failed

A task writes to a temporary name inside the atlas (same file system), renames, then drops its marker.
"""

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from brodmann.errors import StoreError
from brodmann.partial import PartialFolder

FORMAT = "brodmann atlas 1"
MANIFEST = "atlas.json"
TABLES = ("units", "findings", "profile", "pairs")
# what lies there before the first manifest; a run may have been killed just then
_BEGUN = {
    "recordings", "results", "tables", "partial", "plans", "done", "members", "log.jsonl", ".lock", ".tmp",
    "settings.yaml",
}  # fmt: skip
_REASONS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no permission to write",
    errno.EPERM: "no permission to write",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ENAMETOOLONG: "the name is too long",
}


def disk_error(error: BaseException) -> OSError | None:
    """The full-disk, permission or path problem behind an exception, if there is one in its chain."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _REASONS:
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def store_error(error: OSError, where: Path) -> StoreError:
    """One line for a disk problem."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    hint = (
        "free some space, then run the same command again"
        if error.errno in (errno.ENOSPC, errno.EDQUOT)
        else ("choose another folder with --out")
    )
    return StoreError(f"cannot write to {where}: {reason}; {hint}")


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all; it is on the disk when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove(path: Path) -> None:
    """Remove a file or a folder, whatever it is, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def recording_key(path: Path) -> str:
    """Key of a finished recording, which names everything that its numbers depend on.

    Raises
    ------
    StoreError
        If there is no recording.
    """
    try:
        described = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
        return str(described["attributes"]["recording_key"])
    except (OSError, ValueError, KeyError, TypeError):
        raise StoreError(f"{path} is not a recording") from None


def open_result(path: Path) -> Any:
    """Open the Dataset of a study; numbers are read when they are asked for.

    Raises
    ------
    StoreError
        If it is not there.
    """
    import numpy as np
    import xarray as xr

    if not path.exists():
        raise StoreError(f"{path} is not there; run `brodmann map` again to compute what is missing")
    found = xr.open_zarr(path, consolidated=False, chunks=None)
    # Texts come back in a type of their own that joins with no missing value: they take numpy's fixed width again.
    texts = {
        name: (each.dims, np.array([str(text) for text in each.values.flat], np.str_).reshape(each.shape))
        for name, each in found.variables.items()
        if each.dtype.kind == "T"
    }
    coords = {name: text for name, text in texts.items() if name in found.coords}
    return found.assign({name: text for name, text in texts.items() if name not in coords}).assign_coords(coords)


@dataclass(frozen=True)
class Folder:
    """An atlas directory, seen as a store."""

    root: Path

    @property
    def recordings(self) -> Path:
        """Folder of recordings."""
        return self.root / "recordings"

    @property
    def results(self) -> Path:
        """Folder of study results."""
        return self.root / "results"

    @property
    def tables(self) -> Path:
        """Folder of tables."""
        return self.root / "tables"

    def refuse_foreign(self, family: str = "") -> None:
        """Refuse a folder that holds something else, and a path on which no folder can be made.

        ``family`` is the study of a family of models that is about to be made here; empty: an atlas of one model.

        Raises
        ------
        StoreError
            Says what is in the way; nothing is written.
        """
        try:
            there = self.root.exists()
        except PermissionError:
            words = "no permission in a folder above it; choose another --out"
            raise StoreError(f"cannot write to {self.root}: {words}") from None
        if not there:
            parent = next(p for p in self.root.absolute().parents if p.exists())
            if not parent.is_dir():
                raise StoreError(f"cannot write to {self.root}: {parent} is a file, not a folder; choose another --out")
            if not os.access(parent, os.W_OK | os.X_OK):
                raise StoreError(f"cannot write to {self.root}: no permission in {parent}; choose another --out")
            return
        if not self.root.is_dir():
            raise StoreError(f"{self.root} is a file, not a folder; choose another --out")
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise StoreError(f"cannot write to {self.root}: no permission; choose another --out")
        names = {p.name for p in self.root.iterdir()}
        if names and MANIFEST not in names and not self.begun():
            example = sorted(names - _BEGUN or names)[0]
            raise StoreError(f"{self.root} is not an atlas and holds other files ({example}); choose another --out")
        if MANIFEST in names:
            there_is = str(self.read_manifest().get("family", ""))
            if there_is != family:
                what = f"a family of models (`brodmann {there_is}`)" if there_is else "an atlas of one model"
                raise StoreError(f"{self.root} holds {what}; choose another --out, or one of its members")

    def begun(self) -> bool:
        """Whether a run began here and was killed before its first manifest."""
        names = {p.name for p in self.root.iterdir()} if self.root.is_dir() else set()
        return names <= _BEGUN and "done" in names

    def create(self) -> bool:
        """Make the folder and its parts; says whether the folder is new."""
        new = not self.root.exists()
        try:
            for part in (self.recordings, self.results, self.tables, self.root / "done", self.root / "plans"):
                part.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if new:
                remove(self.root)
            raise store_error(error, self.root) from None
        return new

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; a killed process lets go by itself.

        Raises
        ------
        StoreError
            If another process is at work in it.
        """
        try:
            import fcntl
        except ImportError:  # no such lock on this system: the user keeps two commands apart
            yield
            return
        with (self.root / ".lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StoreError(f"another brodmann process is at work in {self.root}; wait for it to end") from None
            self._clear_temporary()
            try:
                yield
            finally:
                self._clear_temporary()

    def _clear_temporary(self) -> None:
        """What a killed run left under temporary names is worthless: no marker speaks for it."""
        remove(self.root / ".tmp")
        for folder in (self.root, self.results, self.root / "done", self.root / "plans"):
            for path in folder.glob(".*.[0-9]*"):
                remove(path)
        for pattern in (".*.tmp", "*.zarr/tasks/*.tmp"):
            for path in self.recordings.glob(pattern):
                remove(path)
        for parts in (self.root / "partial").glob("*"):
            if self.marker(parts.name).exists():
                remove(parts)
            for path in parts.glob(".*.[0-9]*"):
                remove(path)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A temporary path to fill; renamed to ``name`` (relative to the atlas) when the block ends well."""
        target = self.root / name
        temporary = self.root / ".tmp" / name.replace("/", "--")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        try:
            yield temporary
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                remove(target)
            temporary.replace(target)
        except BaseException:
            remove(temporary)
            raise

    def marker(self, key: str) -> Path:
        """Completion marker of a task."""
        return self.root / "done" / f"{key}.json"

    def finish(self, key: str, facts: dict[str, Any]) -> None:
        """Drop a completion marker; what was kept of the task while it was not finished goes."""
        write_text(self.marker(key), json.dumps(facts, indent=1, sort_keys=True) + "\n")
        remove(self.partial(key).path)

    def partial(self, key: str) -> PartialFolder:
        """Where a task keeps what it has finished so far."""
        return PartialFolder(self.root / "partial" / key)

    def forget(self, kind: str) -> None:
        """Remove the markers of a kind of task whose outputs overwrite each other (tables, report)."""
        for path in (self.root / "done").glob(f"{kind}-*.json"):
            path.unlink(missing_ok=True)

    def facts(self, key: str) -> dict[str, Any] | None:
        """What a finished task noted (its wall times), or None while it is not finished."""
        try:
            loaded = json.loads(self.marker(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return loaded if isinstance(loaded, dict) else None

    def note(self, event: str, key: str, **more: Any) -> None:
        """Append one line to the execution log."""
        line = json.dumps({"event": event, "task": key, "time": time.time(), "process": os.getpid(), **more})
        file: TextIO
        with (self.root / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def write_manifest(self, facts: dict[str, Any]) -> None:
        """Write ``atlas.json``.

        Keys: ``format``, ``brodmann`` (version), ``label``, ``model`` (as given), ``provenance`` (of the subject),
        ``recording`` (path of the current recording), ``controls`` (paths of the random models' recordings),
        ``results`` (study -> path), ``skipped`` (study -> reason), ``tables`` (name -> path), ``seconds``
        (stage -> wall seconds), ``seconds_forward`` (of the model's forward passes, in recordings and in studies),
        ``seconds_share`` (forward and other), ``complete``,
        ``command`` (repeats the run), ``added`` (optional studies), ``fingerprint``, ``updated``.
        Paths are relative to the atlas.
        """
        write_text(self.root / MANIFEST, json.dumps({"format": FORMAT, **facts}, indent=1, ensure_ascii=False) + "\n")

    def read_manifest(self) -> dict[str, Any]:
        """Read ``atlas.json``.

        Raises
        ------
        StoreError
            If there is none, or it is not one of ours.
        """
        path = self.root / MANIFEST
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StoreError(f"{self.root} is not an atlas: it has no {MANIFEST}") from None
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from None
        if not isinstance(loaded, dict) or loaded.get("format") != FORMAT:
            raise StoreError(f"{path} was not written by this version of brodmann ({FORMAT}); choose another folder")
        return loaded

    def events(self) -> Iterator[dict[str, Any]]:
        """Lines of the execution log; a line that a killed process left unfinished is passed over."""
        try:
            text = (self.root / "log.jsonl").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        for line in text.splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict):
                    yield event

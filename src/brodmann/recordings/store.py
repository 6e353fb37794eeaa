"""Where a recording lives, so that nothing is lost and nothing half-written is taken as done.

A zarr v3 group on disk (or arrays in memory). The group is made whole under a temporary name and renamed; a chunk holds
one batch of prompts, so tasks never share a file; a task writes its chunks and then drops a completion marker
(temporary name, fsync, rename). What has no marker is done again. Rows are stored in the plan's order; `load` restores
the user's.
"""

import contextlib
import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import xarray as xr
import zarr

from brodmann.errors import Incomplete, StoreError
from brodmann.recordings.plan import BatchTask, RecordingPlan, describe
from brodmann.settings import SIGNALS, Signal

try:
    import fcntl
except ImportError:  # no such locks on Windows: two processes would do the same work twice, to the same bits
    fcntl = None  # type: ignore[assignment]

_SERIES = ("prompt", "token", "unit")
# Samples in one chunk at most: a chunk passes through memory whole, and compressors end at 2 GiB.
CHUNK_SAMPLES = 2**24


@dataclass(frozen=True)
class Layout:
    """A variable that tasks fill, row by row."""

    dims: tuple[str, ...]
    dtype: Any
    fill: Any


@dataclass(frozen=True)
class BatchDone:
    """What a completion marker says."""

    key: str
    seconds: float
    tokens: int
    """Samples that were recorded (rows x their lengths)."""
    nonfinite: int
    """Samples that the model itself made infinite or NaN."""


@runtime_checkable
class Store(Protocol):
    """Takes the results of tasks."""

    def done(self) -> dict[str, BatchDone]:
        """Tasks that are complete, by key."""

    def claim(self, task: BatchTask) -> "contextlib.AbstractContextManager[None]":
        """Keep other processes off a task meanwhile."""

    def write(self, task: BatchTask, block: xr.Dataset, report: BatchDone) -> None:
        """Store a task's rows, then mark it complete."""

    def load(self) -> xr.Dataset:
        """Give the finished recording, in the user's order."""


def layouts(plan: RecordingPlan) -> dict[str, Layout]:
    """Variables that the tasks of a plan fill."""
    found = {
        "activity": Layout(_SERIES, np.float32, np.nan),
        "token_id": Layout(("prompt", "token"), np.int64, -1),
        "length": Layout(("prompt",), np.int64, 0),
        "nonfinite": Layout(("prompt",), np.int64, 0),
        "answer": Layout(("prompt",), str, ""),
    }
    if SIGNALS[plan.settings.signal].kind == "expert":
        found["selected"] = Layout(_SERIES, np.bool_, False)
    return found


class MemoryStore:
    """Keeps a recording in memory."""

    def __init__(self, plan: RecordingPlan) -> None:
        self._known = describe(plan).assign_coords(place=("prompt", np.array(plan.place, np.int64)))
        sizes = {"prompt": len(plan.passages), "token": plan.steps, "unit": len(plan.units)}
        self._plan = plan
        self._done: dict[str, BatchDone] = {}
        self._arrays = {
            name: np.full([sizes[dim] for dim in each.dims], each.fill, object if each.dtype is str else each.dtype)
            for name, each in layouts(plan).items()
        }

    def done(self) -> dict[str, BatchDone]:
        """Tasks that are complete, by key."""
        return dict(self._done)

    @contextmanager
    def claim(self, task: BatchTask) -> Iterator[None]:  # noqa: ARG002 (memory is not shared)
        """Nobody else can write here."""
        yield

    def write(self, task: BatchTask, block: xr.Dataset, report: BatchDone) -> None:
        """Keep a task's rows."""
        for name, array in self._arrays.items():
            array[task.start : task.stop] = block[name].values
        self._done[task.key] = report

    def load(self) -> xr.Dataset:
        """Give the finished recording, in the user's order."""
        _complete("the recording in memory", [task.key for task in self._plan.tasks], self._done)
        filled = {name: (each.dims, self._arrays[name]) for name, each in layouts(self._plan).items()}
        return _finish(self._known.assign(filled), self._done)


class ZarrStore:
    """Keeps a recording in a zarr v3 group.

    Parameters
    ----------
    path
        The group's directory. ``ZarrStore.create`` makes it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: str | Path, plan: RecordingPlan) -> "ZarrStore":
        """Open the store of a plan at `path`, making it where there is none.

        Raises
        ------
        StoreError
            If something else is there, or it cannot be written.
        """
        store = cls(path)
        if not store.path.exists():
            with _writing(store.path):
                store._make(plan)
        found = store._attributes().get("recording_key")
        if found != plan.key:
            raise StoreError(
                f"{path} holds another recording (key {found}, not {plan.key}): other model, prompts, settings or"
                " versions; choose another place or remove it"
            )
        return store

    def _make(self, plan: RecordingPlan) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.tmp")
        try:
            _skeleton(temporary, plan)
            try:
                temporary.rename(self.path)
            except OSError as error:
                # Another process was faster; what is there is checked by the caller.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            _sync(self.path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _attributes(self) -> dict[str, Any]:
        try:
            meta = json.loads((self.path / "zarr.json").read_text(encoding="utf-8"))
            attributes = meta["attributes"]
            tasks = json.loads(attributes["tasks"])
        except FileNotFoundError:
            what = "is not a recording" if self.path.exists() else "does not exist"
            raise StoreError(f"{self.path} {what}") from None
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{self.path} is not a recording, or its zarr.json is damaged") from None
        return {**attributes, "tasks": tasks}

    def done(self) -> dict[str, BatchDone]:
        """Tasks that are complete, by key.

        Raises
        ------
        StoreError
            If a marker cannot be read.
        """
        found = {}
        for marker in sorted((self.path / "tasks").glob("*.done")):
            try:
                report = BatchDone(**json.loads(marker.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                raise StoreError(f"{marker} is damaged; remove it and run again") from None
            found[report.key] = report
        return found

    @contextmanager
    def claim(self, task: BatchTask) -> Iterator[None]:
        """Keep other processes off a task while the context lasts; the lock dies with its process.

        Raises
        ------
        Incomplete
            If another process is at it.
        """
        with _writing(self.path):
            lock = (self.path / "tasks" / f"{task.key}.lock").open("w", encoding="utf-8")
        with lock:
            if fcntl is not None:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise Incomplete(
                        f"{self.path}: another process is recording batch {task.index + 1}; run again when it is done"
                    ) from None
                except OSError:
                    # Some network file systems have no locks. The same bits would be written twice: harmless.
                    pass
            yield

    def write(self, task: BatchTask, block: xr.Dataset, report: BatchDone) -> None:
        """Store a task's rows, then mark it complete.

        Raises
        ------
        StoreError
            If the disk is full or refuses; the task then counts as not done.
        """
        with _writing(self.path):
            group = zarr.open_group(str(self.path), mode="r+", zarr_format=3)
            for name in block.data_vars:
                group[str(name)][task.start : task.stop] = block[name].values
                chunk = self.path / str(name) / "c" / str(task.index)
                for file in [chunk, *chunk.rglob("*")]:
                    # A chunk that only holds the fill value has no file.
                    if file.is_file():
                        _sync(file)
            marker = self.path / "tasks" / f"{task.key}.done"
            temporary = marker.with_suffix(f".{uuid.uuid4().hex}.tmp")
            try:
                temporary.write_text(json.dumps(report.__dict__), encoding="utf-8")
                _sync(temporary)
                temporary.replace(marker)
            finally:
                temporary.unlink(missing_ok=True)
            _sync(marker.parent)

    def load(self) -> xr.Dataset:
        """Give the finished recording, in the user's order, in memory.

        Raises
        ------
        StoreError, Incomplete
            If it cannot be read, or tasks are missing.
        """
        tasks, done = self._attributes()["tasks"], self.done()
        _complete(str(self.path), tasks, done)
        try:
            with xr.open_zarr(str(self.path), consolidated=False, chunks=None) as stored:
                loaded = stored.load()
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise StoreError(f"{self.path} cannot be read: {' '.join(str(error).split())}") from None
        loaded.attrs.pop("tasks", None)
        return _finish(loaded, {key: done[key] for key in tasks})


def load(path: str | Path) -> xr.Dataset:
    """Load a finished recording.

    Parameters
    ----------
    path
        What ``record(out=...)`` wrote.

    Returns
    -------
    xarray.Dataset
        As `record` gives it.

    Raises
    ------
    StoreError
        If there is none, or it cannot be read.
    Incomplete
        If tasks are missing; the command that made it goes on from there.
    """
    return ZarrStore(path).load()


def _skeleton(path: Path, plan: RecordingPlan) -> None:
    known = describe(plan)
    known["place"] = ("prompt", np.array(plan.place, np.int64))
    coordinates = [str(name) for name in known.coords if name not in known.dims]
    attributes = {
        **known.attrs,
        "coordinates": " ".join([*coordinates, "answer"]),
        "tasks": json.dumps([task.key for task in plan.tasks]),
    }
    group = zarr.create_group(str(path), zarr_format=3, attributes=attributes)
    for name, variable in known.variables.items():
        values = variable.values
        array = group.create_array(
            str(name),
            shape=values.shape,
            chunks=values.shape,
            dtype=str if values.dtype.kind == "U" else values.dtype,
            dimension_names=[str(dim) for dim in variable.dims],
        )
        array[...] = values
    sizes = {"prompt": len(plan.passages), "token": plan.steps, "unit": len(plan.units)}
    for name, each in layouts(plan).items():
        shape = tuple(sizes[dim] for dim in each.dims)
        chunks = [min(plan.settings.batch_size, shape[0]), *shape[1:]]
        if each.dims == _SERIES:
            chunks[2] = min(shape[2], max(1, CHUNK_SAMPLES // (chunks[0] * chunks[1])))
        group.create_array(
            name,
            shape=shape,
            chunks=tuple(chunks),
            dtype=each.dtype,
            fill_value=each.fill,
            dimension_names=each.dims,
        )
    # A group of its own, so that reading the recording's group never meets the markers.
    group.create_group("tasks")


def _complete(where: str, tasks: list[str], done: dict[str, BatchDone]) -> None:
    missing = [key for key in tasks if key not in done]
    if missing:
        raise Incomplete(
            f"{where} is incomplete: {len(tasks) - len(missing)} of {len(tasks)} batches are recorded; run the same"
            " command again to go on"
        )


def _finish(recording: xr.Dataset, done: dict[str, BatchDone]) -> xr.Dataset:
    recording = recording.set_coords("answer").isel(prompt=np.argsort(recording["place"].values)).drop_vars("place")
    for name, variable in recording.variables.items():
        if variable.dtype.kind not in "fiub":
            text = np.array([str(value) for value in variable.values], dtype=np.str_)
            recording[name] = (variable.dims, text)
    reading = SIGNALS[cast(Signal, recording.attrs["signal"])]
    recording["activity"].attrs = {"long_name": reading.long_name, "units": "1"}
    recording["token_id"].attrs = {"long_name": "token produced (or read) at this step", "units": "1"}
    recording["length"].attrs = {"long_name": "samples of the series", "units": "token"}
    recording["nonfinite"].attrs = {"long_name": "samples that the model made infinite or NaN", "units": "1"}
    recording["input_id"].attrs = {"long_name": "token that the model was given; -1 is padding", "units": "1"}
    if "selected" in recording:
        recording["selected"].attrs = {"long_name": "whether the router chose the expert", "units": "1"}
    recording.attrs["seconds"] = float(sum(report.seconds for report in done.values()))
    return recording


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = {
            errno.ENOSPC: "; free some space and run again",
            errno.EDQUOT: "; free some space and run again",
            errno.EACCES: "; choose another place",
            errno.EPERM: "; choose another place",
            errno.EROFS: "; choose another place",
        }.get(error.errno or 0, "")
        where = f" ({error.filename})" if isinstance(error, (FileExistsError, NotADirectoryError)) else ""
        raise StoreError(f"{path} cannot be written: {error.strerror or error}{where}{advice}") from None


def _sync(path: Path) -> None:
    """Make the system write a file or directory out, so that a marker never outlives its data in a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

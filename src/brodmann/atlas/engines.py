"""Who runs a plan: the protocol, and the engine for one machine.

The contract is datatrove's: a task is done when its marker is there, and an engine runs what is missing. Another
engine needs no more than `Engine`: tasks, their dependencies, and a worker that can do one.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol, runtime_checkable

from brodmann.atlas.plan import Plan, Task
from brodmann.atlas.store import Folder, disk_error, store_error
from brodmann.errors import BrodmannError, Incomplete, StoreError


@dataclass(frozen=True)
class Tick:
    """A sign of life: which task, and how far it is."""

    title: str
    done: int
    """Tasks that are finished."""
    total: int
    """Tasks of the plan."""
    part: float = 0.0
    """Finished share of the task at work, 0 to 1."""
    note: str = ""


Tell = Callable[[Tick], None]


@runtime_checkable
class Apart(Protocol):
    """A task at work in another process."""

    @property
    def done(self) -> bool:
        """Whether that process has ended."""

    def result(self) -> dict[str, Any] | None:
        """Wait for the facts; None if it failed."""

    def stop(self) -> None:
        """End it."""


@runtime_checkable
class Worker(Protocol):
    """Does one task at a time and keeps opened models between them."""

    def keep(self, subjects: frozenset[str]) -> None:
        """Let go of opened models that no remaining task needs."""

    def run(self, task: Task, tell: Callable[[float, str], None]) -> dict[str, Any]:
        """Do a task; its output is complete when this returns. Gives the facts for the marker (wall times)."""

    def beside(self, task: Task) -> Apart:
        """Begin a task that needs no opened model in a second process."""


@runtime_checkable
class Engine(Protocol):
    """Runs the tasks of a plan that are missing, in an order that respects their dependencies."""

    def run(self, plan: Plan, folder: Folder, worker: Worker, tell: Tell | None = None) -> int:
        """Run what is missing and give the number of tasks that were run."""


def missing(plan: Plan, folder: Folder) -> tuple[Task, ...]:
    """Tasks without a marker, or whose output was taken away; groundwork only for studies that are missing."""
    undone = [t for t in plan.tasks if folder.facts(t.key) is None or not (folder.root / t.output).exists()]
    needed = {key for task in undone if task.kind != "ground" for key in task.after}
    return tuple(t for t in undone if t.kind != "ground" or t.key in needed)


@dataclass(frozen=True)
class LocalEngine:
    """One machine: a task at a time, opened models stay in memory while a task needs them.

    Groundwork of studies runs in a second process while the model works, where that takes long enough to be worth it.
    """

    beside_from: float = 8.0
    """Seconds of the model's work from which a second process is worth its start; infinite: never."""

    def run(self, plan: Plan, folder: Folder, worker: Worker, tell: Tell | None = None) -> int:
        """Run what is missing.

        Raises
        ------
        Incomplete
            If the user stops it. Nothing half remains; the same command goes on.
        StoreError
            If the disk is full or cannot be written.
        """
        todo = missing(plan, folder)
        finished = len(plan.tasks) - len(todo)
        apart: dict[str, tuple[Task, Apart, float]] = {}
        try:
            for number, task in enumerate(todo):
                worker.keep(frozenset(t.subject for t in todo[number:] if t.subject))
                place = _Place(folder, finished + number, len(plan.tasks))
                if task.kind == "ground" and self._is_worth_it(todo[number:], plan, folder):
                    apart[task.key] = task, worker.beside(task), time.perf_counter()
                    folder.note("started", task.key)
                    continue
                for key in [key for key, (_, process, _) in apart.items() if process.done or key in task.after]:
                    _take(*apart.pop(key), place, worker, tell)
                _do(task, place, worker, tell)
        finally:
            for _, process, _ in apart.values():
                process.stop()
        worker.keep(frozenset())
        return len(todo)

    def _is_worth_it(self, todo: Sequence[Task], plan: Plan, folder: Folder) -> bool:
        if (os.cpu_count() or 1) < 2:
            return False
        took = [float((folder.facts(t.key) or {}).get("seconds", 0.0)) for t in plan.tasks if t.kind == "record"]
        to_come = sum(t.kind == "replay" for t in todo)
        return bool(took) and to_come * sum(took) / len(took) >= self.beside_from


@dataclass(frozen=True)
class _Place:
    """Where in a plan an engine is."""

    folder: Folder
    count: int
    total: int


def _do(task: Task, place: _Place, worker: Worker, tell: Tell | None) -> None:
    def report(part: float, note: str = "") -> None:
        if tell is not None:
            tell(Tick(task.title, place.count, place.total, part, note))

    report(0.0)
    with _accounted(task, place.folder, place.count, place.total):
        start = time.perf_counter()
        facts = worker.run(task, report)
        _finish(task, place.folder, {"seconds": time.perf_counter() - start, **facts})


def _take(task: Task, process: Apart, began: float, place: _Place, worker: Worker, tell: Tell | None) -> None:
    """Take the result of a second process, waiting for it if need be; do the task here if it failed."""
    start = time.perf_counter()
    facts = process.result()
    if facts is None:
        _do(task, place, worker, tell)
        return
    now = time.perf_counter()
    stages = {"waiting for the second process": now - start}
    _finish(task, place.folder, {"seconds": now - began, "stages": stages, "beside": facts["stages"]})


def _finish(task: Task, folder: Folder, facts: dict[str, Any]) -> None:
    folder.finish(task.key, {"task": task.key, **facts})
    folder.note("finished", task.key)


@contextmanager
def _accounted(task: Task, folder: Folder, count: int, total: int) -> Iterator[None]:
    """Log how a task ends, and say in one line why it did not."""
    try:
        folder.note("started", task.key)
        yield
    except KeyboardInterrupt:
        _note(folder, "stopped", task)
        raise Incomplete(
            f"stopped after {count} of {total} tasks; run the same command again to go on from there"
        ) from None
    except BrodmannError:
        _note(folder, "failed", task)
        raise
    except Exception as error:
        _note(folder, "failed", task)
        disk = disk_error(error)
        if disk is not None:
            raise store_error(disk, folder.root) from error
        raise


def _note(folder: Folder, event: str, task: Task) -> None:
    try:
        folder.note(event, task.key)
    except (OSError, StoreError):  # the log shares the full disk with the task that failed
        return


@contextmanager
def stoppable() -> Iterator[None]:
    """Treat SIGTERM (job schedulers, ``kill``) like Ctrl-C, so that both end a run in the same clean way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

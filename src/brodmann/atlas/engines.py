"""Who runs a plan: the protocol, and the engine for one machine.

The contract is datatrove's: a task is done when its marker is there, and an engine runs what is missing. Another
engine needs no more than `Engine`: tasks, their dependencies, and a worker that can do one.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
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
class Worker(Protocol):
    """Does one task at a time and keeps opened models between them."""

    def keep(self, subjects: frozenset[str]) -> None:
        """Let go of opened models that no remaining task needs."""

    def run(self, task: Task, tell: Callable[[float, str], None]) -> dict[str, Any]:
        """Do a task; its output is complete when this returns. Gives the facts for the marker (wall times)."""


@runtime_checkable
class Engine(Protocol):
    """Runs the tasks of a plan that are missing, in an order that respects their dependencies."""

    def run(self, plan: Plan, folder: Folder, worker: Worker, tell: Tell | None = None) -> int:
        """Run what is missing and give the number of tasks that were run."""


def missing(plan: Plan, folder: Folder) -> tuple[Task, ...]:
    """Tasks without a marker, or whose output was taken away."""
    return tuple(t for t in plan.tasks if folder.facts(t.key) is None or not (folder.root / t.output).exists())


@dataclass(frozen=True)
class LocalEngine:
    """One process on this machine: a task at a time, opened models stay in memory while a task needs them."""

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
        for number, task in enumerate(todo):
            worker.keep(frozenset(t.subject for t in todo[number:] if t.subject))
            count = finished + number

            def report(part: float, note: str = "", task: Task = task, count: int = count) -> None:
                if tell is not None:
                    tell(Tick(task.title, count, len(plan.tasks), part, note))

            report(0.0)
            with _accounted(task, folder, count, len(plan.tasks)):
                start = time.perf_counter()
                facts = worker.run(task, report)
                folder.finish(task.key, {"task": task.key, "seconds": time.perf_counter() - start, **facts})
                folder.note("finished", task.key)
        worker.keep(frozenset())
        return len(todo)


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

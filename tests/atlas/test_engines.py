"""The local engine: what is missing, in order, once; stopping and failing leave nothing half."""

import errno
import hashlib
import math
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brodmann.atlas.engines import LocalEngine, Tick, missing, stoppable
from brodmann.atlas.plan import Basis, Plan, Task, build, choose
from brodmann.atlas.store import Folder
from brodmann.errors import Incomplete, ModelError, StoreError
from brodmann.settings import MapSettings, SynergySettings

BASIS = Basis("abcd", batches=2, label="m", layers=6, units=24, prompts=40, tokens=50)
SETTINGS = MapSettings(synergy=SynergySettings(null_models=2))


class Hasher:
    """A small real worker: a task's output is the hash of its key and of all outputs it depends on."""

    def __init__(self, folder: Folder, plan: Plan) -> None:
        self.folder, self.outputs = folder, {task.key: task.key for task in plan.tasks}
        self.ran: list[str] = []
        self.kept: list[frozenset[str]] = []
        self.trouble: dict[str, BaseException] = {}
        self.sent: list[str] = []
        self.stopped: list[str] = []
        self.breaks = False

    def keep(self, subjects: frozenset[str]) -> None:
        self.kept.append(subjects)

    def run(self, task: Task, tell: Callable[[float, str], None]) -> dict[str, Any]:
        if task.key in self.trouble:
            raise self.trouble.pop(task.key)
        tell(0.5, "half")
        text = task.key + "".join((self.folder.root / self.outputs[key]).read_text() for key in task.after)
        (self.folder.root / self.outputs[task.key]).write_text(hashlib.sha256(text.encode()).hexdigest())
        (self.folder.root / task.output).parent.mkdir(parents=True, exist_ok=True)
        (self.folder.root / task.output).touch()
        self.ran.append(task.key)
        return {"stages": {"hash": 0.25}}

    def beside(self, task: Task) -> Any:
        self.sent.append(task.key)
        return Apart(self, task, self.breaks)


class Apart:
    """Stands for a second process that ends when it is asked for its result, or fails."""

    done = False

    def __init__(self, worker: Hasher, task: Task, breaks: bool) -> None:
        self.worker, self.task, self.breaks = worker, task, breaks

    def result(self) -> dict[str, Any] | None:
        return None if self.breaks else self.worker.run(self.task, lambda *_: None)

    def stop(self) -> None:
        self.worker.stopped.append(self.task.key)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "atlas")
    made.create()
    return made


@pytest.fixture
def plan() -> Plan:
    return build(BASIS, SETTINGS, choose(None))


def outputs(folder: Folder, plan: Plan) -> dict[str, str]:
    return {task.key: (folder.root / task.key).read_text() for task in plan.tasks}


def test_runs_everything_once_then_nothing(folder: Folder, plan: Plan) -> None:
    worker, ticks = Hasher(folder, plan), list[Tick]()
    assert LocalEngine().run(plan, folder, worker, ticks.append) == len(plan.tasks) == 10
    assert worker.ran == [task.key for task in plan.tasks]
    assert missing(plan, folder) == ()
    assert LocalEngine().run(plan, folder, worker) == 0
    assert [tick.done for tick in ticks if tick.part == 0.5] == list(range(10))
    assert folder.facts(worker.ran[0]) is not None
    assert (folder.facts(worker.ran[0]) or {})["stages"] == {"hash": 0.25}


def test_models_are_let_go_when_no_task_needs_them(folder: Folder, plan: Plan) -> None:
    worker = Hasher(folder, plan)
    LocalEngine().run(plan, folder, worker)
    first, second = (f"random:{seed}" for seed in plan.controls)
    both = {first, second}
    assert worker.kept[0] == {"subject", *both}
    assert worker.kept[3] == both
    assert worker.kept[5] == {second}
    assert worker.kept[7:] == [frozenset()] * 4


@pytest.mark.parametrize("place", range(10))
def test_goes_on_after_a_stop(folder: Folder, plan: Plan, place: int) -> None:
    worker = Hasher(folder, plan)
    worker.trouble[plan.tasks[place].key] = KeyboardInterrupt()
    with pytest.raises(Incomplete, match=f"stopped after {place} of 10 tasks; run the same command again") as stopped:
        LocalEngine().run(plan, folder, worker)
    assert stopped.value.exit_code == 3
    assert LocalEngine().run(plan, folder, worker) == 10 - place
    assert Counter(worker.ran) == Counter(task.key for task in plan.tasks)
    events = Counter((event["event"], event["task"]) for event in folder.events())
    assert {events["finished", task.key] for task in plan.tasks} == {1}
    assert events["stopped", plan.tasks[place].key] == 1

    straight = Folder(folder.root.with_name("straight"))
    straight.create()
    LocalEngine().run(plan, straight, Hasher(straight, plan))
    assert outputs(folder, plan) == outputs(straight, plan)


def test_an_output_that_was_taken_away_is_made_again(folder: Folder, plan: Plan) -> None:
    worker = Hasher(folder, plan)
    LocalEngine().run(plan, folder, worker)
    (folder.root / "report.html").unlink()
    assert [task.kind for task in missing(plan, folder)] == ["report"]
    assert LocalEngine().run(plan, folder, worker) == 1


def test_only_what_a_setting_touches_is_run(folder: Folder, plan: Plan) -> None:
    worker = Hasher(folder, plan)
    LocalEngine().run(plan, folder, worker)
    changed = build(BASIS, MapSettings(synergy=SynergySettings(null_models=3, surrogates=5)), choose(None))
    worker.outputs = {task.key: task.key for task in changed.tasks}
    assert [task.kind for task in missing(changed, folder)] == [
        "ground",
        "replay",
        "replay",
        "study",
        "tables",
        "report",
    ]
    assert LocalEngine().run(changed, folder, worker) == 6
    # and back: everything is still there
    assert missing(plan, folder) == ()


def test_failures_pass_through_and_leave_no_marker(folder: Folder, plan: Plan) -> None:
    worker = Hasher(folder, plan)
    worker.trouble[plan.tasks[1].key] = ModelError("broken")
    with pytest.raises(ModelError, match="broken"):
        LocalEngine().run(plan, folder, worker)
    worker.trouble[plan.tasks[1].key] = ZeroDivisionError("a mistake of ours")
    with pytest.raises(ZeroDivisionError):
        LocalEngine().run(plan, folder, worker)
    worker.trouble[plan.tasks[1].key] = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(StoreError, match="no space left on the disk; free some space"):
        LocalEngine().run(plan, folder, worker)
    assert len(missing(plan, folder)) == 9
    assert LocalEngine().run(plan, folder, worker) == 9


def test_groundwork_is_only_missing_where_its_study_is(folder: Folder, plan: Plan) -> None:
    LocalEngine().run(plan, folder, Hasher(folder, plan))
    ground, study = (next(t for t in plan.tasks if t.kind == kind) for kind in ("ground", "study"))
    (folder.root / ground.output).unlink()
    assert missing(plan, folder) == ()
    (folder.root / study.output).unlink()
    assert missing(plan, folder) == (ground, study)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a second process is used from two cores on")
@pytest.mark.parametrize("breaks", [False, True])
def test_groundwork_beside_the_model(folder: Folder, plan: Plan, breaks: bool) -> None:
    worker = Hasher(folder, plan)
    worker.breaks = breaks
    assert LocalEngine(beside_from=0.0).run(plan, folder, worker) == 10
    ground = next(t.key for t in plan.tasks if t.kind == "ground")
    assert worker.sent == [ground]
    assert worker.stopped == []
    # taken when the study needs it, at the latest; done here if the second process failed
    assert worker.ran.index(ground) == worker.ran.index(next(t.key for t in plan.tasks if t.kind == "study")) - 1
    assert Counter(worker.ran) == Counter(task.key for task in plan.tasks)
    facts = folder.facts(ground) or {}
    assert facts["stages" if breaks else "beside"] == {"hash": 0.25}
    straight = Folder(folder.root.with_name("straight"))
    straight.create()
    LocalEngine(beside_from=math.inf).run(plan, straight, Hasher(straight, plan))
    assert outputs(folder, plan) == outputs(straight, plan)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a second process is used from two cores on")
def test_a_stop_ends_the_second_process(folder: Folder, plan: Plan) -> None:
    worker = Hasher(folder, plan)
    worker.trouble[next(t.key for t in plan.tasks if t.kind == "replay")] = KeyboardInterrupt()
    with pytest.raises(Incomplete):
        LocalEngine(beside_from=0.0).run(plan, folder, worker)
    assert worker.stopped == worker.sent
    assert len(worker.sent) == 1


def test_sigterm_is_taken_like_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stoppable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before

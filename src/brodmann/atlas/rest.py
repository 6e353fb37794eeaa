"""What a run that is asked for would still have to do: the atlas that exists, and an estimate of the rest alone."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from brodmann.atlas.atlas import default_out
from brodmann.atlas.engines import missing
from brodmann.atlas.estimate import Estimate, Line
from brodmann.atlas.job import Job
from brodmann.atlas.plan import Plan, Task
from brodmann.atlas.registry import Study
from brodmann.atlas.store import Folder
from brodmann.settings import MapSettings


@dataclass(frozen=True)
class Rest:
    """A plan of which an atlas holds some tasks already."""

    plan: Plan
    missing: tuple[Task, ...]
    root: Path


def rest_of(
    model: str, out: Path | None, settings: MapSettings, chosen: tuple[Study, ...], *, page: bool
) -> Rest | None:
    """What of the plan is missing; None where no atlas of this model, these prompts and these settings was begun."""
    folder = Folder(out if out is not None else default_out(model, settings))
    return rest_of_job(Job(model, settings, chosen, page, folder))


def rest_of_job(job: Job) -> Rest | None:
    """As `rest_of`."""
    if not job.folder.root.is_dir():
        return None
    plan = job.known_plan()
    return None if plan is None else Rest(plan, missing(plan, job.folder), job.folder.root)


@dataclass(frozen=True)
class Share:
    """One row of the estimate, and how much of it is finished."""

    line: Line
    """What is left: its tasks, their time and memory."""
    done: int
    """Tasks that are finished."""


def shares(reckoned: Estimate, rest: Rest) -> tuple[Share, ...]:
    """Divide an estimate of everything into what is done and what is left.

    Times are divided by tasks. A study that was stopped in the middle goes on where it was, which nobody can see from
    here, so it is reckoned whole.
    """
    found = []
    for line in reckoned.lines:
        if line.what in rest.plan.skipped:
            continue
        if line.what == "open the model":
            whole = left = int(any(task.subject for task in rest.missing))
        else:
            whole = sum(_of(line.what, task) for task in rest.plan.tasks)
            left = sum(_of(line.what, task) for task in rest.missing)
        share = left / whole if whole else 0.0
        kept = dataclasses.replace(line, tasks=left, seconds=line.seconds * share, memory=line.memory * (left > 0))
        found.append(Share(kept, whole - left))
    return tuple(found)


def _of(what: str, task: Task) -> bool:
    """Whether a task belongs to a row of the estimate."""
    if what == "record":
        return task.kind == "record"
    if what.endswith("randomly initialised models"):
        return task.kind == "replay"
    if what == "tables and report":
        return task.kind in ("tables", "report")
    return task.kind == "study" and task.name == what

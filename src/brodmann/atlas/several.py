"""What atlases of several checkpoints share: their members, the marks of what is finished, and ``atlas.json``."""

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import brodmann
from brodmann.atlas.store import TABLES, Folder, write_text
from brodmann.atlas.watch import Stopwatch
from brodmann.errors import StoreError
from brodmann.plain import to_yaml
from brodmann.settings import MapSettings


@dataclass(frozen=True)
class Member:
    """One model of a family."""

    name: str
    """Name of its folder."""
    model: str
    """What is opened."""
    revision: str | None = None
    place: float = 0.0
    """Where it stands: its training step; NaN where that is not known."""


def slug(name: str) -> str:
    """A name as a folder can be called.

    Examples
    --------
    >>> slug("step1000-tokens4B"), slug("runs/a b")
    ('step1000-tokens4B', 'runs-a-b')
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.") or "model"


def manifest_of(folder: Folder) -> dict[str, Any]:
    """What ``atlas.json`` says; nothing where there is none."""
    try:
        return folder.read_manifest()
    except StoreError:
        return {}


def is_done(folder: Folder, task: str, output: str) -> bool:
    """Whether a task left its marker, and what it made is still there."""
    return folder.facts(task) is not None and (folder.root / output).exists()


def finish(folder: Folder, task: str, watch: Stopwatch) -> None:
    """Mark a task as finished, with the seconds of its stages."""
    stages = watch.take()
    folder.finish(task, {"task": task, "seconds": sum(stages.values()), "stages": stages})
    folder.note("finished", task)


def make_once(
    folder: Folder, key: str, kind: str, output: str, begin: Callable[[], None], work: Callable[[], Any]
) -> int:
    """Make what every run overwrites (tables, report), unless it shows this result already; gives the tasks run.

    Parameters
    ----------
    folder
        The atlas.
    key
        Address of the result that is shown.
    kind
        "tables" or "report".
    output
        What is made, relative to the atlas.
    begin, work
        Called before, and to make it.
    """
    task = f"{kind}-{key}"
    if is_done(folder, task, output):
        return 0
    folder.forget(kind)
    begin()
    watch = Stopwatch()
    with watch.stage(kind):
        work()
    finish(folder, task, watch)
    return 1


def stage_seconds(folder: Folder, start: dict[str, float] | None = None) -> dict[str, float]:
    """Wall seconds by stage of all finished tasks of a folder, added to those of ``start``."""
    seconds = dict(start or {})
    for path in sorted((folder.root / "done").glob("*.json")):
        for stage, value in (folder.facts(path.stem) or {}).get("stages", {}).items():
            seconds[stage] = seconds.get(stage, 0.0) + float(value)
    return seconds


def write_manifest(
    folder: Folder,
    *,
    study: str,
    label: str,
    model: str,
    members: Sequence[Member],
    settings: MapSettings,
    seconds: dict[str, float],
    passes: float = 0.0,
    **facts: Any,
) -> None:
    """Write ``atlas.json`` and ``settings.yaml`` of several checkpoints.

    Parameters
    ----------
    folder
        The atlas.
    study
        Name of the study that compares.
    label, model, members, settings
        What is compared.
    seconds
        Wall seconds by stage.
    passes
        Those of them that were forward passes.
    **facts
        The other keys of `brodmann.atlas.store.Folder.write_manifest`.
    """  # fmt: skip
    write_text(folder.root / "settings.yaml", to_yaml(settings))
    whole = sum(seconds.values())
    forward = passes / whole if whole else 0.0
    folder.write_manifest(
        {
            "brodmann": brodmann.__version__,
            "family": study,
            "label": label,
            "model": model,
            "members": [
                {"name": each.name, "model": each.model, "revision": each.revision}
                | ({"place": each.place} if math.isfinite(each.place) else {})
                for each in members
            ],
            "tables": [f"tables/{n}.parquet" for n in TABLES if (folder.tables / f"{n}.parquet").exists()],
            "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
            "seconds_forward": round(passes, 3),
            "seconds_share": {"forward": round(forward, 4), "other": round(1.0 - forward, 4)},
            "updated": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **facts,
        }
    )

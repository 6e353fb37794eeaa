"""Calling studies: what each is given, what it may give back, and where that is kept.

Nothing here opens a model, so a second process can run it (`beside`).
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brodmann.atlas.plan import Task
from brodmann.atlas.registry import Study, from_elsewhere, resolve, studies
from brodmann.atlas.store import Folder, disk_error, open_result, write_text
from brodmann.atlas.watch import Part, Parts, Stopwatch, split
from brodmann.errors import BrodmannError, SettingsError, StudyError
from brodmann.plain import to_yaml
from brodmann.settings import MapSettings

Facts = dict[str, Any]


Read = Callable[[], dict[str, Any]]


def run_ground(folder: Folder, task: Task, settings: MapSettings, recording: Callable[[], Any], tell: Part) -> Facts:
    """Run the part of a study that needs the recording only, and keep its Dataset."""
    return _run(folder, task, settings, studies()[task.name].ground, lambda: {"recording": recording()}, tell)


def run_study(folder: Folder, task: Task, settings: MapSettings, read: Read, tell: Part) -> Facts:
    """Run a study and keep its Dataset, with its settings beside it; ``read`` gives what it may be given."""
    facts = _run(folder, task, settings, studies()[task.name].study, read, tell)
    write_text(folder.root / task.output.replace(".zarr", ".yaml"), to_yaml(settings))
    return facts


def _run(folder: Folder, task: Task, settings: MapSettings, target: str, read: Read, tell: Part) -> Facts:
    study, watch = studies()[task.name], Stopwatch()
    with watch.stage("import"):
        function = resolve(target)
    with watch.stage("read recordings"):
        given = read()
    recording, parts = given.pop("recording"), Parts(tell)
    own = {
        "settings": getattr(settings, study.settings) if study.settings else None,
        "seed": task.seed,
        "progress": parts,
    }
    with watch.stage(task.name), _named(study, target):
        dataset = _call(function, recording, own | given)
    _refuse_other_results(study, dataset)
    with watch.stage("store"):
        save_result(folder, task.output, dataset)
    return {"stages": split(watch.take(), task.name, parts.finish())}


def read_result(path: Path) -> Any:
    """Dataset of a study, in memory."""
    return open_result(path).load()


@contextmanager
def _named(study: Study, target: str) -> Iterator[None]:
    """Say whose mistake it is when a study of another package fails."""
    try:
        yield
    except BrodmannError:
        raise
    except Exception as error:
        if not from_elsewhere(study) or disk_error(error) is not None:
            raise
        said = f"{type(error).__name__}: {error}"
        raise StudyError(f"the study '{study.name}' ({target}) of another package failed: {said}") from error


def _call(function: Callable[..., Any], recording: Any, arguments: dict[str, Any]) -> Any:
    """Call a study with those of the arguments that its signature names, and with the recording, whatever its name."""
    parameters = inspect.signature(function).parameters
    if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        arguments = {name: value for name, value in arguments.items() if name in parameters}
    # beside other arguments that have no keyword of their own, such as a subject that comes first
    named = parameters.get("recording")
    if named is not None and named.kind is not inspect.Parameter.POSITIONAL_ONLY:
        return function(recording=recording, **arguments)
    return function(recording, **arguments)


def _refuse_other_results(study: Study, dataset: Any) -> None:
    import xarray as xr

    if not isinstance(dataset, xr.Dataset):
        raise SettingsError(
            f"the study '{study.name}' ({study.study}) gave a {type(dataset).__name__}, not an xarray.Dataset"
        )


def save_result(folder: Folder, name: str, dataset: Any) -> None:
    """Write a Dataset whole or not at all."""
    # zarr v3 has a settled form for strings of any length, but none for numpy's fixed-width ones
    texts = {n: v.astype(object) for n, v in dataset.variables.items() if v.dtype.kind == "U"}
    with folder.writing(name) as path:
        dataset.assign({n: v for n, v in texts.items() if n in dataset.data_vars}).assign_coords(
            {n: v for n, v in texts.items() if n in dataset.coords}
        ).to_zarr(path, mode="w", zarr_format=3, consolidated=False)

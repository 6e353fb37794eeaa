"""Commands that compute: `map`, `record`, `synergy`, and `go`, which every command that fills an atlas ends in."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brodmann.cli.options import RUN, Added, Model, ModelOrAtlas, Run
from brodmann.errors import ModelError, SettingsError
from brodmann.settings import (
    LoadSettings,
    MapSettings,
    RecordSettings,
    SynergySettings,
    from_yaml,
    of_units,
    to_yaml,
)


def map_(
    model: Model,
    add: Added = (),
    run: Run = RUN,
    load: LoadSettings = LoadSettings(),  # noqa: B008  frozen
    record: RecordSettings = RecordSettings(),  # noqa: B008
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
) -> None:
    """Record a model, run every study that applies, and write the atlas with its report.

    Parameters
    ----------
    model
        Hub id, folder, GGUF file, packaged model (see `brodmann models`) or random:FAMILY.
    add
        Optional studies to run too, such as lesions (see `brodmann studies`). Commas may part them too.
    run, load, record, synergy
        Options.
    """
    chosen = changed(base(run.settings), run, load=load, record=record, synergy=synergy)
    studies = None
    named = tuple(each for word in add for each in word.split(",") if each)
    if named:
        from brodmann.atlas.registry import studies as known

        studies = (*(name for name, study in known().items() if not study.optional), *named)
    go(model, run.out, chosen, studies, page=True, dry_run=run.dry_run)


def record_(
    model: Model,
    run: Run = RUN,
    load: LoadSettings = LoadSettings(),  # noqa: B008
    record: RecordSettings = RecordSettings(),  # noqa: B008
) -> None:
    """Record a model's units and stop there; `map` and `synergy` go on from it.

    Parameters
    ----------
    model
        Hub id, folder, GGUF file, packaged model (see `brodmann models`) or random:FAMILY.
    run, load, record
        Options.
    """
    chosen = changed(base(run.settings), run, load=load, record=record)
    go(model, run.out, chosen, (), page=False, dry_run=run.dry_run)


def synergy_(
    model: ModelOrAtlas,
    run: Run = RUN,
    load: LoadSettings = LoadSettings(),  # noqa: B008
    record: RecordSettings = RecordSettings(),  # noqa: B008
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
) -> None:
    """Run only the study of the synergistic core, on a model or on an atlas that exists.

    Parameters
    ----------
    model
        A model, or an atlas: then its settings are the defaults and its recordings are used.
    run, load, record, synergy
        Options.
    """
    chosen = changed(base(run.settings, model, run.out), run, load=load, record=record, synergy=synergy)
    with or_atlas(model):
        go(*place(model, run.out), chosen, ("synergy",), page=True, dry_run=run.dry_run)


def go(
    model: str, out: Path | None, settings: MapSettings, studies: tuple[str, ...] | None, *, page: bool, dry_run: bool
) -> None:
    """Refuse what cannot work, then reckon (`dry_run`) or run, and say what came out.

    Parameters
    ----------
    model
        Name of the model.
    out
        Folder of the atlas; None: the usual one.
    settings
        All settings.
    studies
        Names of the studies to run; None: all that `map` runs.
    page
        Whether tables and report are written and the findings printed.
    dry_run
        Print tasks, time and memory, and stop.
    """
    from brodmann import ahead

    ahead.refuse(model, settings, studies)
    if dry_run:
        ahead.dry_run(model, settings, studies)
        return
    from brodmann.atlas import map as map_model
    from brodmann.console import console, correction, duration, findings, progress

    ran: list[int] = []
    earlier = ahead.earlier_settings(model, out, settings)
    with progress() as tell:

        def hear(tick: Any) -> None:
            ran.append(1)
            tell(tick)

        atlas = map_model(model, out=out, settings=settings, studies=studies, page=page, tell=hear)
    screen = console()
    if not ran:
        screen.print(f"nothing to do: {atlas.path} is complete for these settings", markup=False)
    for name, reason in atlas.skipped.items():
        screen.print(f"skipped {name}: {reason}", markup=False)
    asked = tuple(name for name in atlas.results if studies is None or name in studies) if page else ()
    found = tuple(finding for name in asked for finding in atlas.findings_of(name))
    if found:
        screen.print(f"\n{atlas.label}: {len(found)} findings\n", markup=False, style="bold")
        screen.print(findings(found))
        screen.print(correction(found, studies=len(asked)), markup=False)
    rest = {name: len(atlas.findings_of(name)) for name in atlas.results if name not in asked} if page else {}
    if any(rest.values()):
        others = ", ".join(name for name, count in rest.items() if count)
        screen.print(f"{sum(rest.values())} findings of {others} are in the report", markup=False)
    seconds = atlas.seconds
    whole, forward = sum(seconds.values()), seconds.get("forward", 0.0)
    share = f", {forward / whole:.0%} of it in the model" if whole else ""
    screen.print(f"computed in {duration(whole)}{share}", markup=False)
    if page and earlier not in ("", to_yaml(settings)):
        screen.print("the report now shows these settings; results of earlier settings stay in results/", markup=False)
    # print, not the console: a path must never be wrapped
    print(atlas.report if page else atlas.path)


def base(settings: Path | None, *places: str | Path | None) -> MapSettings:
    """What the options of a command change: the settings of a file, else of the first atlas, else the usual ones.

    The options themselves start from these settings too (`brodmann.cli.main`).
    """
    if settings is not None:
        return from_yaml(MapSettings, settings)
    atlas = next((Path(each) for each in places if each is not None and is_atlas(each)), None)
    return MapSettings() if atlas is None else from_yaml(MapSettings, atlas / "settings.yaml")


def changed(start: MapSettings, run: Run, *, record: RecordSettings, **others: Any) -> MapSettings:
    """Settings with the sections and the seed that a command was given.

    Raises
    ------
    SettingsError
        If a signal was given that units of this kind do not have.
    """
    if run.units is not None:
        meant = of_units(record, run.units)
        if meant != record and record.signal != start.record.signal:
            raise SettingsError(f"--signal {record.signal} is not of {run.units}; leave out --signal or --units")
        record = meant
    return dataclasses.replace(start, record=record, seed=run.seed, **others)


def place(model: str, out: Path | None) -> tuple[str, Path | None]:
    """Model and folder that a MODEL|ATLAS stands for."""
    if not is_atlas(model):
        return model, out
    from brodmann.atlas.store import Folder

    return str(Folder(Path(model)).read_manifest()["model"]), out or Path(model)


@contextmanager
def or_atlas(model: str) -> Iterator[None]:
    """Where a name stands for no model, say that it stands for no atlas either."""
    try:
        yield
    except ModelError as error:
        if Path(model).exists() or not str(error).startswith((f"model '{model}'", "there is no folder")):
            raise
        raise ModelError(f"{error}; nor is there an atlas folder '{model}'") from error


def is_atlas(path: str | Path) -> bool:
    """Whether there is an atlas at a path."""
    return (Path(path) / "atlas.json").is_file()

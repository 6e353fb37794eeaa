"""Commands that compute: `map`, `record`, `synergy`, and `go`, which every command that fills an atlas ends in."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from brodmann.errors import SettingsError
from brodmann.settings import (
    LoadSettings,
    MapSettings,
    RecordSettings,
    SynergySettings,
    Units,
    from_yaml,
    of_units,
    to_yaml,
)

Model = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
ModelOrAtlas = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL|ATLAS")]
Place = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]
Given = Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")]
OfUnits = Annotated[Units | None, tyro.conf.arg(metavar="{heads,experts,neurons}")]
Added = Annotated[tuple[str, ...], tyro.conf.arg(metavar="STUDY ...")]


def map_(
    model: Model,
    out: Place = None,
    dry_run: bool = False,
    settings: Given = None,
    add: Added = (),
    units: OfUnits = None,
    seed: int = 0,
    load: LoadSettings = LoadSettings(),  # noqa: B008  frozen
    record: RecordSettings = RecordSettings(),  # noqa: B008
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
) -> None:
    """Record a model, run every study that applies, and write the atlas with its report.

    Parameters
    ----------
    model
        Hub id, folder, GGUF file, packaged model (see `brodmann models`) or random:FAMILY.
    out
        Folder of the atlas. By default atlas-MODEL in the working directory.
    dry_run
        Print tasks, time and memory before any weight is read, and stop.
    settings
        Settings to start from, as written beside every result; options given here win.
    add
        Optional studies to run too, such as lesions (see `brodmann studies`).
    units
        Kind of units to record: short for the signal that is read from them.
    seed
        Seed of everything random.
    load, record, synergy
        Settings.
    """
    chosen = changed(base(settings), units, load=load, record=record, synergy=synergy, seed=seed)
    studies = None
    if add:
        from brodmann.atlas.registry import studies as known

        studies = (*(name for name, study in known().items() if not study.optional), *add)
    go(model, out, chosen, studies, page=True, dry_run=dry_run)


def record_(
    model: Model,
    out: Place = None,
    dry_run: bool = False,
    settings: Given = None,
    units: OfUnits = None,
    seed: int = 0,
    load: LoadSettings = LoadSettings(),  # noqa: B008
    record: RecordSettings = RecordSettings(),  # noqa: B008
) -> None:
    """Record a model's units and stop there; `map` and `synergy` go on from it.

    Parameters
    ----------
    model
        Hub id, folder, GGUF file, packaged model (see `brodmann models`) or random:FAMILY.
    out
        Folder of the atlas. By default atlas-MODEL in the working directory.
    dry_run
        Print tasks, time and memory before any weight is read, and stop.
    settings
        Settings to start from, as written beside every result; options given here win.
    units
        Kind of units to record: short for the signal that is read from them.
    seed
        Seed of everything random.
    load, record
        Settings.
    """
    chosen = changed(base(settings), units, load=load, record=record, seed=seed)
    go(model, out, chosen, (), page=False, dry_run=dry_run)


def synergy_(
    model: ModelOrAtlas,
    out: Place = None,
    dry_run: bool = False,
    settings: Given = None,
    units: OfUnits = None,
    seed: int = 0,
    load: LoadSettings = LoadSettings(),  # noqa: B008
    record: RecordSettings = RecordSettings(),  # noqa: B008
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
) -> None:
    """Run only the study of the synergistic core, on a model or on an atlas that exists.

    Parameters
    ----------
    model
        A model, or an atlas: then its settings are the defaults and its recordings are used.
    out
        Folder of the atlas. By default the given one, or atlas-MODEL in the working directory.
    dry_run
        Print tasks, time and memory before any weight is read, and stop.
    settings
        Settings to start from, as written beside every result; options given here win.
    units
        Kind of units to record: short for the signal that is read from them.
    seed
        Seed of everything random.
    load, record, synergy
        Settings.
    """
    chosen = changed(base(settings, model, out), units, load=load, record=record, synergy=synergy, seed=seed)
    go(*place(model, out), chosen, ("synergy",), page=True, dry_run=dry_run)


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
    earlier = ahead.earlier_settings(model, out)
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
    found = atlas.findings if page else ()
    if found:
        screen.print(f"\n{atlas.label}: {len(found)} findings\n", markup=False, style="bold")
        screen.print(findings(found))
        screen.print(correction(found, studies=len(atlas.results)), markup=False)
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


def changed(start: MapSettings, units: Units | None, *, record: RecordSettings, **others: Any) -> MapSettings:
    """Settings with the sections that a command was given.

    Raises
    ------
    SettingsError
        If a signal was given that units of this kind do not have.
    """
    if units is not None:
        meant = of_units(record, units)
        if meant != record and record.signal != start.record.signal:
            raise SettingsError(f"--signal {record.signal} is not of {units}; leave out --signal or --units")
        record = meant
    return dataclasses.replace(start, record=record, **others)


def place(model: str, out: Path | None) -> tuple[str, Path | None]:
    """Model and folder that a MODEL|ATLAS stands for."""
    if not is_atlas(model):
        return model, out
    from brodmann.atlas.store import Folder

    return str(Folder(Path(model)).read_manifest()["model"]), out or Path(model)


def is_atlas(path: str | Path) -> bool:
    """Whether there is an atlas at a path."""
    return (Path(path) / "atlas.json").is_file()

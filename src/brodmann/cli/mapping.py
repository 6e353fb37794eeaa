"""Commands that compute: `map`, `record`, `synergy`, and `go`, which every command that fills an atlas ends in."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brodmann.cli.options import RUN, Added, Model, ModelOrAtlas, Run
from brodmann.errors import ModelError, SettingsError
from brodmann.plain import from_yaml, to_yaml
from brodmann.settings import LoadSettings, MapSettings, RecordSettings, SynergySettings, of_units


def map_(
    model: Model,
    add: Added = (),
    run: Run = RUN,
    record: RecordSettings = RecordSettings(),  # noqa: B008  frozen
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
    load: LoadSettings = LoadSettings(),  # noqa: B008
) -> None:
    """Record a model, run every study that applies, and write atlas and report.

    Example: brodmann map glass-en --new-tokens 40 --add lesions

    Parameters
    ----------
    model
        Hub id, folder, GGUF file, packaged model (see `brodmann models`) or random:FAMILY.
    add
        Optional studies to run too, such as lesions (see `brodmann studies`). Commas may part them too.
    record, synergy, run, load
        Options.
    """
    chosen = changed(base(run.settings), run, load=load, record=record, synergy=synergy)
    studies = None
    named = tuple(each for word in add for each in word.split(",") if each)
    if named:
        from brodmann.atlas.registry import usual

        studies = (*usual(), *named)
    go(model, run.out, chosen, studies, page=True, dry_run=run.dry_run)


def record_(
    model: Model,
    record: RecordSettings = RecordSettings(),  # noqa: B008
    run: Run = RUN,
    load: LoadSettings = LoadSettings(),  # noqa: B008
) -> None:
    """Record a model's units and stop there; `map` and `synergy` go on from it.

    Example: brodmann record glass-en --new-tokens 40

    Parameters
    ----------
    model
        Hub id, folder, GGUF file, packaged model (see `brodmann models`) or random:FAMILY.
    record, run, load
        Options.
    """
    chosen = changed(base(run.settings), run, load=load, record=record)
    go(model, run.out, chosen, (), page=False, dry_run=run.dry_run)


def synergy_(
    model: ModelOrAtlas,
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
    run: Run = RUN,
    record: RecordSettings = RecordSettings(),  # noqa: B008
    load: LoadSettings = LoadSettings(),  # noqa: B008
) -> None:
    """Run only the study of the synergistic core, on a model or on an atlas.

    Example: brodmann synergy atlas-glass-en --core-fraction 0.1

    Parameters
    ----------
    model
        A model, or an atlas: then its settings are the defaults and its recordings are used.
    record, synergy, run, load
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
    from brodmann.atlas.plan import check_settings, choose

    ahead.refuse(model, settings, studies)
    check_settings(settings, choose(studies))
    if dry_run:
        from brodmann.cli.reckoning import dry_run as reckon

        reckon(model, out, settings, studies, page=page)
        return
    from brodmann.atlas import map as map_model
    from brodmann.atlas.registry import usual
    from brodmann.cli.outcome import print_cost, print_findings
    from brodmann.console import console, progress

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
    if page:
        print_findings(screen, atlas, usual() if studies is None else studies)
    print_cost(screen, atlas)
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

"""Commands that compare models of one family: `track` over training, `sizes` over sizes."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro

from brodmann.cli.mapping import Given, OfUnits, Place, base, changed
from brodmann.settings import LoadSettings, MapSettings, RecordSettings, SynergySettings, TrackSettings, to_yaml

Family = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]")]
Models = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL MODEL ...")]
Revisions = Annotated[tuple[str, ...], tyro.conf.arg(metavar="A B ...")]
Folders = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR ...")]


def track_(
    model: Family = None,
    revisions: Revisions = (),
    checkpoints: Folders = (),
    out: Place = None,
    settings: Given = None,
    units: OfUnits = None,
    seed: int = 0,
    load: LoadSettings = LoadSettings(),  # noqa: B008  frozen
    record: RecordSettings = RecordSettings(),  # noqa: B008
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
    track: TrackSettings = TrackSettings(),  # noqa: B008
) -> None:
    """Follow the synergistic core through training: one atlas per checkpoint, and growth over all of them.

    brodmann track nano: the project's own series, offline.

    brodmann track ORG/MODEL --revisions step0 step512: revisions of the hub.

    brodmann track --checkpoints runs/checkpoint-*: folders of a trainer.

    Every checkpoint follows the text that the last one writes.
    In reading mode it follows the given texts.

    Parameters
    ----------
    model
        Hub id, folder of checkpoints, or a series that ships with Brodmann (nano).
    revisions
        Revisions of the model; their names tell the training step. Commas may part them too.
    checkpoints
        Folders of checkpoints, in place of a model.
    out
        Folder of the family. By default growth-MODEL in the working directory.
    settings
        Settings to start from, as written beside every result; options given here win.
    units
        Kind of units to record: short for the signal that is read from them.
    seed
        Seed of everything random.
    load, record, synergy, track
        Settings.
    """
    from brodmann.atlas.track import track as run

    chosen = changed(base(settings), units, load=load, record=record, synergy=synergy, track=track, seed=seed)
    named = tuple(each for word in revisions for each in word.split(",") if each)
    _go(
        chosen,
        lambda tell: run(model, revisions=named, checkpoints=checkpoints, out=out, settings=chosen, tell=tell),
        out,
    )


def sizes_(
    models: Models,
    out: Place = None,
    settings: Given = None,
    units: OfUnits = None,
    seed: int = 0,
    load: LoadSettings = LoadSettings(),  # noqa: B008
    record: RecordSettings = RecordSettings(),  # noqa: B008
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
    track: TrackSettings = TrackSettings(),  # noqa: B008
) -> None:
    """Compare models of one family by size; a threshold is named only if it can be identified.

    Parameters
    ----------
    models
        Models with one tokenizer, in order of size; all follow the text of the last.
    out
        Folder of the family. By default sizes-MODEL, after the last model.
    settings
        Settings to start from, as written beside every result; options given here win.
    units
        Kind of units to record: short for the signal that is read from them.
    seed
        Seed of everything random.
    load, record, synergy, track
        Settings.
    """
    from brodmann.atlas.sizes import sizes as run

    chosen = changed(base(settings), units, load=load, record=record, synergy=synergy, track=track, seed=seed)
    _go(chosen, lambda tell: run(models, out=out, settings=chosen, tell=tell), out)


def _go(settings: MapSettings, run: Callable[[Any], Any], out: Path | None) -> None:
    """Run with progress, then say what came out."""
    from brodmann.console import console, correction, duration, findings, progress

    before = ""
    if out is not None and (out / "report.html").exists():
        before = (out / "settings.yaml").read_text(encoding="utf-8")
    ran: list[int] = []
    with progress() as tell:

        def hear(tick: Any) -> None:
            ran.append(1)
            tell(tick)

        atlas = run(hear)
    screen = console()
    if not ran:
        screen.print(f"nothing to do: {atlas.path} is complete for these settings", markup=False)
    study = str(atlas.manifest["family"])
    found = atlas.findings_of(study)
    screen.print(f"\n{atlas.label}: {len(found)} findings\n", markup=False, style="bold")
    screen.print(findings(found))
    screen.print(correction(found), markup=False)
    seconds = atlas.seconds
    whole, forward = sum(seconds.values()), seconds.get("forward", 0.0)
    share = f", {forward / whole:.0%} of it in the models" if whole else ""
    screen.print(f"computed in {duration(whole)}{share}", markup=False)
    if before not in ("", to_yaml(settings)):
        screen.print("the report now shows these settings; results of earlier settings stay where they are",
                     markup=False)  # fmt: skip
    print(atlas.report)

"""Commands that compare models of one family: `track` over training, `sizes` over sizes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from brodmann.cli.mapping import base, changed
from brodmann.cli.options import RUN, Run
from brodmann.settings import LoadSettings, RecordSettings, SynergySettings, TrackSettings, to_yaml

if TYPE_CHECKING:
    from brodmann.atlas.family import Family

OneOrNone = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]")]
Models = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL MODEL ...")]
Revisions = Annotated[tuple[str, ...], tyro.conf.arg(metavar="A B ...")]
Folders = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR ...")]


def track_(
    model: OneOrNone = None,
    revisions: Revisions = (),
    checkpoints: Folders = (),
    run: Run = RUN,
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
    run, load, record, synergy, track
        Options; the folder is by default growth-MODEL in the working directory.
    """
    from brodmann.atlas.track import series

    chosen = changed(base(run.settings), run, load=load, record=record, synergy=synergy, track=track)
    named = tuple(each for word in revisions for each in word.split(",") if each)
    _go(series(model, revisions=named, checkpoints=checkpoints, out=run.out, settings=chosen), run)


def sizes_(
    models: Models,
    run: Run = RUN,
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
    run, load, record, synergy, track
        Options; the folder is by default sizes-MODEL, after the last model.
    """
    from brodmann.atlas.sizes import lineage

    chosen = changed(base(run.settings), run, load=load, record=record, synergy=synergy, track=track)
    _go(lineage(models, out=run.out, settings=chosen), run)


def _go(family: "Family", run: Run) -> None:
    """Refuse what cannot work, then reckon or run with progress, and say what came out."""
    from brodmann import ahead

    ahead.refuse_family(family)
    if run.dry_run:
        ahead.dry_run_family(family)
        return
    from brodmann.atlas import Atlas
    from brodmann.console import console, correction, duration, findings, progress

    earlier = ahead.earlier_settings(family.model, family.folder.root, family.settings)
    with progress() as tell:
        ran = family.run(tell=tell)
    atlas, screen = Atlas(family.folder.root), console()
    if not ran:
        screen.print(f"nothing to do: {atlas.path} is complete for these settings", markup=False)
    found = atlas.findings_of(family.study)
    screen.print(f"\n{atlas.label}: {len(found)} findings\n", markup=False, style="bold")
    screen.print(findings(found))
    screen.print(correction(found), markup=False)
    seconds = atlas.seconds
    whole, forward = sum(seconds.values()), seconds.get("forward", 0.0)
    share = f", {forward / whole:.0%} of it in the models" if whole else ""
    screen.print(f"computed in {duration(whole)}{share}", markup=False)
    if earlier not in ("", to_yaml(family.settings)):
        screen.print("the report now shows these settings; results of earlier settings stay where they are",
                     markup=False)  # fmt: skip
    print(atlas.report)

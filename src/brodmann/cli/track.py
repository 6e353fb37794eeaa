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
Revisions = Annotated[
    tuple[str, ...], tyro.conf.arg(metavar="A B ...", help_behavior_hint="(default: all that a series has)")
]
Folders = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR ...", help_behavior_hint="(default: none)")]


def track_(
    model: OneOrNone = None,
    revisions: Revisions = (),
    checkpoints: Folders = (),
    track: TrackSettings = TrackSettings(),  # noqa: B008  frozen
    run: Run = RUN,
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
    record: RecordSettings = RecordSettings(),  # noqa: B008
    load: LoadSettings = LoadSettings(),  # noqa: B008
) -> None:
    """Follow the core through training: an atlas per checkpoint, and their growth.

    Example: brodmann track nano (the project's own series, offline)

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
    track, run, synergy, record, load
        Options; the folder is by default growth-MODEL in the working directory.
    """
    from brodmann.atlas.track import series

    chosen = changed(base(run.settings), run, load=load, record=record, synergy=synergy, track=track)
    named = tuple(each for word in revisions for each in word.split(",") if each)
    _go(series(model, revisions=named, checkpoints=checkpoints, out=run.out, settings=chosen), run)


def sizes_(
    models: Models,
    track: TrackSettings = TrackSettings(),  # noqa: B008
    run: Run = RUN,
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
    record: RecordSettings = RecordSettings(),  # noqa: B008
    load: LoadSettings = LoadSettings(),  # noqa: B008
) -> None:
    """Compare models of one family by size; name a threshold if there is one.

    Example: brodmann sizes random:gpt_neox random:llama random:gpt2

    Those three have random weights: they show the command, nothing about size.

    brodmann sizes EleutherAI/pythia-70m EleutherAI/pythia-160m: models of the hub.

    A threshold needs at least eight sizes, trained alike.

    Parameters
    ----------
    models
        Models with one tokenizer, in order of size; all follow the text of the last.
    track, run, synergy, record, load
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
        from brodmann.cli.reckoning import dry_run_family

        dry_run_family(family)
        return
    from brodmann.atlas import Atlas
    from brodmann.cli.outcome import print_cost, print_findings
    from brodmann.console import console, progress

    earlier = ahead.earlier_settings(family.model, family.folder.root, family.settings)
    with progress() as tell:
        ran = family.run(tell=tell)
    atlas, screen = Atlas(family.folder.root), console()
    if not ran:
        screen.print(f"nothing to do: {atlas.path} is complete for these settings", markup=False)
    print_findings(screen, atlas, (family.study,))
    print_cost(screen, atlas)
    if earlier not in ("", to_yaml(family.settings)):
        screen.print("the report now shows these settings; results of earlier settings stay where they are",
                     markup=False)  # fmt: skip
    print(atlas.report)

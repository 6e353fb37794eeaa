"""Commands on families of models: `track` over training, `sizes` over sizes; and `fractal`, on weights alone."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from brodmann.cli.mapping import base, changed, go, is_atlas, place
from brodmann.cli.options import RUN, Run
from brodmann.errors import SettingsError
from brodmann.plain import to_yaml
from brodmann.settings import FractalSettings, LoadSettings, MapSettings, RecordSettings, SynergySettings, TrackSettings

if TYPE_CHECKING:
    from brodmann.atlas.family import Family
    from brodmann.atlas.weighing import Weighing

OneOrNone = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]")]
ModelOrNone = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL|ATLAS]")]
Models = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL MODEL ...")]
Revisions = Annotated[
    tuple[str, ...], tyro.conf.arg(metavar="A B ...", help_behavior_hint="(default: all that a series has)")
]
Folders = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR ...", help_behavior_hint="(default: none)")]


def fractal_(
    model: ModelOrNone = None,
    revisions: Revisions = (),
    checkpoints: Folders = (),
    fractal: FractalSettings = FractalSettings(),  # noqa: B008  frozen
    run: Run = RUN,
    load: LoadSettings = LoadSettings(),  # noqa: B008
) -> None:
    """Measure the graph of the weights: its spectrum, and how far it has emerged.

    Example: brodmann fractal smollm2-135m

    brodmann fractal ORG/MODEL --revisions step0 step512: one training.

    brodmann track nano --study fractal: the project's own series, offline.

    Reads weights alone: no model is built and nothing is recorded.

    Parameters
    ----------
    model
        A model as `brodmann map` takes it, or an atlas: then the weight graph becomes a chapter of it.
    revisions
        Revisions of the model; their names tell the training step. Commas may part them too.
    checkpoints
        Folders of checkpoints, in place of a model.
    fractal, run, load
        Options; the folder is by default fractal-MODEL in the working directory.
    """
    if model is None and not checkpoints:
        raise SettingsError("say which model, or give folders with --checkpoints")
    if model is not None and is_atlas(model):
        _in_atlas(model, run, fractal=fractal, load=load)
        return
    _weigh(model, revisions, checkpoints, base(run.settings), run, fractal=fractal, load=load)


def _in_atlas(atlas: str, run: Run, **sections: Any) -> None:
    """Measure the model of an atlas, and keep the result there."""
    from brodmann.atlas.store import Folder

    manifest = Folder(Path(atlas)).read_manifest()
    chosen = replace(base(run.settings, atlas), seed=run.seed, **sections)
    model, out = place(atlas, run.out)
    if not manifest.get("family"):
        go(model, out, chosen, ("fractal",), page=True, dry_run=run.dry_run)
    elif len(manifest.get("members", ())) == 1:
        _weigh(model, (), (), chosen, replace(run, out=out))
    else:
        raise SettingsError(f"{atlas} compares several models; name them instead: {manifest.get('command', '')}")


def track_(
    model: OneOrNone = None,
    revisions: Revisions = (),
    checkpoints: Folders = (),
    study: Literal["growth", "fractal"] = "growth",
    track: TrackSettings = TrackSettings(),  # noqa: B008  frozen
    fractal: FractalSettings = FractalSettings(),  # noqa: B008
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
    study
        growth: the core, recorded at every checkpoint; fractal: the graph of the weights, read from the files.
    track, fractal, run, synergy, record, load
        Options; the folder is by default growth-MODEL (fractal-MODEL) in the working directory.
    """
    if study == "fractal":
        _weigh(model, revisions, checkpoints, base(run.settings), run, series=True, fractal=fractal, load=load)
        return
    from brodmann.atlas.track import series

    chosen = changed(base(run.settings), run, load=load, record=record, synergy=synergy, track=track)
    named = tuple(each for word in revisions for each in word.split(",") if each)
    _go(series(model, revisions=named, checkpoints=checkpoints, out=run.out, settings=chosen), run)


def sizes_(
    models: Models,
    study: Literal["sizes", "fractal"] = "sizes",
    track: TrackSettings = TrackSettings(),  # noqa: B008
    fractal: FractalSettings = FractalSettings(),  # noqa: B008
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

    With --study fractal an order needs six models, scores need eight.

    Parameters
    ----------
    models
        Models with one tokenizer, in order of size; all follow the text of the last.
    study
        sizes: the core, recorded; fractal: the graph of the weights, read from the files.
    track, fractal, run, synergy, record, load
        Options; the folder is by default sizes-MODEL, after the last model.
    """
    if study == "fractal":
        from brodmann.atlas.weighing import plan_sizes

        chosen = replace(base(run.settings), seed=run.seed, fractal=fractal, load=load)
        _weighed(plan_sizes(models, out=run.out, settings=chosen), run)
        return
    from brodmann.atlas.sizes import lineage

    chosen = changed(base(run.settings), run, load=load, record=record, synergy=synergy, track=track)
    _go(lineage(models, out=run.out, settings=chosen), run)


def _weigh(
    model: str | None, revisions: tuple[str, ...], checkpoints: tuple[Path, ...], start: MapSettings, run: Run, *,
    series: bool = False, **sections: Any,
) -> None:  # fmt: skip
    from brodmann.atlas.weighing import plan_weighing

    named = tuple(each for word in revisions for each in word.split(",") if each)
    chosen = replace(start, seed=run.seed, **sections)
    weighing = plan_weighing(
        model, revisions=named, checkpoints=checkpoints, out=run.out, settings=chosen, series=series
    )
    _weighed(weighing, run)


def _weighed(weighing: "Weighing", run: Run) -> None:
    """Refuse what cannot work, then reckon or run with progress, and say what came out."""
    from brodmann import ahead
    from brodmann.atlas.weighing import refuse

    if run.units is not None:
        raise SettingsError("--units is about recordings; the weight graph is read from the weights")
    refuse(weighing)
    if run.dry_run:
        from brodmann.cli.reckoning import dry_run_weighing

        dry_run_weighing(weighing)
        return
    from brodmann.atlas import Atlas
    from brodmann.cli.outcome import print_findings, print_time
    from brodmann.console import console, progress

    earlier = ahead.earlier_settings(weighing.model, weighing.folder.root, weighing.settings)
    with progress() as tell:
        ran = weighing.run(tell=tell)
    atlas, screen = Atlas(weighing.folder.root), console()
    if earlier not in ("", to_yaml(weighing.settings)):
        screen.print("the report now shows these settings; results of earlier settings stay in results/", markup=False)
    if not ran:
        screen.print(f"nothing to do: {atlas.path} is complete for these settings", markup=False)
    print_findings(screen, atlas, (weighing.study,))
    print_time(screen, atlas)
    print(atlas.report)


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

"""An atlas of weights alone: a study that reads checkpoints as they lie in their files, without building a model.

::

    OUT/ atlas.json      an atlas without a recording, with a key ``family`` (the study's name)
         settings.yaml  report.html  tables/  results/  partial/  done/  log.jsonl

One checkpoint, or a series of one training; each is measured once and kept, so that a stopped run goes on.
"""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import brodmann
from brodmann.atlas.atlas import Atlas, override
from brodmann.atlas.checkpoints import Cost, checkpoint_of, graph_cost, refuse_weights
from brodmann.atlas.engines import Tell, Tick, stoppable
from brodmann.atlas.plan import study_seed
from brodmann.atlas.registry import resolve, studies
from brodmann.atlas.several import (
    Member,
    finish,
    is_done,
    make_once,
    manifest_of,
    slug,
    stage_seconds,
    write_manifest,
)
from brodmann.atlas.source import file_address, identity
from brodmann.atlas.store import Folder, disk_error, remove, store_error, write_text
from brodmann.atlas.studying import read_result, save_result
from brodmann.atlas.track import find_checkpoints
from brodmann.atlas.watch import Parts, Stopwatch
from brodmann.errors import BrodmannError, Incomplete, SettingsError
from brodmann.models.packaged import PACKAGED, training_log
from brodmann.plain import digest, to_dict, to_yaml
from brodmann.ranges import check_ranges
from brodmann.settings import MapSettings

STUDY, SIZES = "fractal", "fractal_sizes"


def weigh(
    model: str | None = None,
    *,
    revisions: Sequence[str] = (),
    checkpoints: Iterable[str | Path] = (),
    out: str | Path | None = None,
    settings: MapSettings | None = None,
    page: bool = True,
    tell: Tell | None = None,
    **overrides: Any,
) -> Atlas:
    """Measure the graph of a model's weights, or follow it through training, and write atlas and report.

    Parameters
    ----------
    model
        What `brodmann.map` takes. Folders, GGUF files and packaged models are read tensor by tensor and never built;
        others are opened.
    revisions, checkpoints
        Revisions of the model, or folders of checkpoints in place of a model: a series of one training, as
        `brodmann.atlas.track.track` takes it. A packaged series without revisions is taken at its last state here.
    out
        Folder of the atlas; by default ``fractal-`` and the model's name.
    settings, page, tell, **overrides
        As in `brodmann.map`; ``settings.fractal`` says what is measured.

    Raises
    ------
    SettingsError, WeightsError, ModelError, StoreError
        Before anything is written, if the mistake can be seen from there.
    Incomplete
        If the user stopped it; call again to go on.
    """
    chosen = override(settings or MapSettings(), overrides)
    weighing = plan_weighing(model, revisions=revisions, checkpoints=checkpoints, out=out, settings=chosen)
    weighing.run(page=page, tell=tell)
    return Atlas(weighing.folder.root)


def plan_weighing(
    model: str | None,
    *,
    revisions: Sequence[str] = (),
    checkpoints: Iterable[str | Path] = (),
    out: str | Path | None = None,
    settings: MapSettings,
    series: bool = False,
) -> "Weighing":
    """What `weigh` runs; headers are read, nothing is written. With ``series`` all of a packaged series is taken.

    Raises
    ------
    SettingsError, WeightsError
        If there is no such checkpoint, or its architecture is unknown.
    """
    check_ranges(settings)
    folders = tuple(Path(each) for each in checkpoints)
    if folders or revisions or series:
        members = find_checkpoints(model, revisions, folders)
        name = model if model is not None else str(folders[0].resolve().parent)
        label = f"{_short(name)}: weights of {len(members)} checkpoints, {members[0].name} to {members[-1].name}"
    else:
        assert model is not None
        name, label = model, f"{_short(model)}: weights"
        members = (Member(slug(_short(model)), model, settings.load.revision, float("nan")),)
    place = Path(out) if out is not None else Path("fractal-" + slug(_short(name)).lower())
    return Weighing(label, name, members, Folder(place), settings, _command(model, revisions, folders, place, series))


def plan_sizes(models: Sequence[str], *, out: str | Path | None = None, settings: MapSettings) -> "Weighing":
    """Models of several sizes, in order, as `brodmann sizes --study fractal` compares them.

    Raises
    ------
    SettingsError
        If there are fewer than two, or two have the same name.
    """
    check_ranges(settings)
    if len(models) < 2:
        raise SettingsError(f"{len(models)} model{'s' * (len(models) != 1)}: sizes needs at least two")
    members = tuple(Member(slug(_short(model)), model, None, float("nan")) for model in models)
    if len({member.name for member in members}) < len(members):
        raise SettingsError("two models have the same name")
    place = Path(out) if out is not None else Path("fractal-sizes-" + slug(_short(models[-1])).lower())
    words = ["brodmann", "sizes", "--study", STUDY, *models, "--settings", str(place / "settings.yaml")]
    label = f"weights of {len(models)} sizes, {members[0].name} to {members[-1].name}"
    return Weighing(
        label, models[-1], members, Folder(place), settings, shlex.join([*words, "--out", f"{place}-again"]), SIZES
    )


def _short(name: str) -> str:
    return Path(name).resolve().name if Path(name).exists() else name


def _command(model: str | None, revisions: Sequence[str], folders: Sequence[Path], place: Path, series: bool) -> str:
    """What repeats this run beside it, from the folder that it was given in."""
    words = ["brodmann", *(["track"] if series else ["fractal"]), *([model] if model is not None else [])]
    words += [*(["--study", STUDY] if series else []), *(["--revisions", *revisions] if revisions else [])]
    words += ["--checkpoints", *map(str, folders)] if folders else []
    return shlex.join([*words, "--settings", str(place / "settings.yaml"), "--out", f"{place}-again"])


@dataclass(frozen=True)
class Weighing:
    """Checkpoints, their folder, and how they are measured."""

    label: str
    model: str
    members: tuple[Member, ...]
    folder: Folder
    settings: MapSettings
    command: str
    study: str = STUDY
    """Study of one model or one training, or the one that compares sizes."""

    def run(self, *, page: bool = True, tell: Tell | None = None) -> int:
        """Do what is missing; gives the number of tasks that were run.

        Raises
        ------
        Incomplete
            If the user stopped it; the same command goes on.
        """
        self.folder.refuse_foreign(family=self.study)
        watch = Stopwatch()
        with watch.stage("import"):
            function = resolve(studies()[self.study].study)
        with watch.stage("open"):
            opened = [self._opened(member) for member in self.members]
        new = self.folder.create()
        try:
            with self.folder.locked(), stoppable():
                count = self._study(function, opened, watch, tell)
                if page:
                    count += self._once("tables", "tables/findings.parquet", self._tables)
                    count += self._once("report", "report.html", self._report)
                if count or not manifest_of(self.folder).get("complete"):
                    self._write_manifest(complete=True)
                return count
        except KeyboardInterrupt:
            raise Incomplete("stopped; run the same command again to go on from there") from None
        except Exception as error:
            disk = None if isinstance(error, BrodmannError) else disk_error(error)
            if new and not any(self.folder.root.glob("partial/*/*.npz")) and not any(self.folder.root.glob("done/*")):
                remove(self.folder.root)  # nothing was finished, so nothing is worth keeping
            if disk is not None:
                raise store_error(disk, self.folder.root) from error
            raise

    def cost(self) -> Cost:
        """What the last checkpoint costs."""
        return graph_cost(self._opened(self.members[-1]), self.settings.fractal)

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        done = is_done(self.folder, f"{self.study}-{self.key}", self.output)
        return done and bool(manifest_of(self.folder).get("complete"))

    def _opened(self, member: Member) -> Any:
        return checkpoint_of(member.model, replace(self.settings.load, revision=member.revision), self.settings.seed)

    @property
    def key(self) -> str:
        """Address of everything that the result depends on."""
        study, settings = studies()[self.study], self.settings
        load = [replace(settings.load, revision=member.revision) for member in self.members]
        told = [identity(member.model, each) for member, each in zip(self.members, load, strict=True)]
        scores = None if settings.fractal.scores is None else file_address(settings.fractal.scores)
        places = [repr(member.place) for member in self.members]
        own = [to_dict(settings.fractal), scores, settings.seed]
        return digest([self.study, study.study, study.version, told, places, own, brodmann.__version__])

    @property
    def output(self) -> str:
        """Path of the result inside the atlas."""
        return f"results/{self.study}-{self.key}.zarr"

    def _study(self, function: Any, opened: Sequence[Any], watch: Stopwatch, tell: Tell | None) -> int:
        task = f"{self.study}-{self.key}"
        if is_done(self.folder, task, self.output):
            return 0
        self._write_manifest(complete=False)
        self.folder.note("started", task)

        def say(share: float, words: str) -> None:
            if tell is not None:
                tell(Tick(studies()[self.study].title, 0, 1, part=share, note=words))

        parts = Parts(say)
        seed = study_seed(self.settings, self.study, self.model)
        series = self.study == STUDY and len(opened) > 1
        with watch.stage(self.study):
            dataset = function(
                opened, **({"steps": [member.place for member in self.members]} if series else {}),
                settings=self.settings.fractal, seed=seed, progress=parts, partial=self.folder.partial(task),
                scores=self._own_scores(),
            )  # fmt: skip
        with watch.stage("store"):
            save_result(self.folder, self.output, dataset)
            write_text(self.folder.root / self.output.replace(".zarr", ".yaml"), to_yaml(self.settings))
        finish(self.folder, task, watch)
        return 1

    def _own_scores(self) -> Any:
        """Held-out losses of a series that ships with Brodmann; None for others."""
        if self.model not in PACKAGED or not PACKAGED[self.model].steps or len(self.members) == 1:
            return None
        import pandas as pd

        losses = [(each["step"], each["validation_loss"]) for each in training_log(self.model)["checkpoints"]]
        rows = [(self.model, float(step), "held-out loss", "nats", float(loss)) for step, loss in losses]
        return pd.DataFrame(rows, columns=["model", "step", "task", "metric", "value"])

    def _once(self, kind: str, output: str, work: Any) -> int:
        return make_once(self.folder, self.key, kind, output, lambda: self._write_manifest(complete=False), work)

    def _tables(self) -> None:
        from brodmann.atlas.tables import write_tables
        from brodmann.atlas.unrecorded import no_recording

        with self.folder.writing("tables") as path:
            path.mkdir()
            write_tables(path, no_recording(), {self.study: read_result(self.folder.root / self.output)})

    def _report(self) -> None:
        from brodmann.atlas.report import render

        render(self.folder.root)

    def _write_manifest(self, *, complete: bool) -> None:
        there = (self.folder.root / self.output).exists()
        write_manifest(
            self.folder, study=self.study, label=self.label, model=self.model, members=self.members,
            settings=self.settings, seconds=stage_seconds(self.folder),
            provenance={"name": self.model, "randomly_initialised": self.model.startswith("random:")},
            recording="", controls=[], results={self.study: self.output} if there else {}, skipped={},
            complete=complete, command=self.command,
        )  # fmt: skip


def refuse(weighing: Weighing) -> None:
    """Refuse checkpoints whose files or architecture cannot be walked, before anything is written.

    Raises
    ------
    ModelError, WeightsError
        Names the file, the tensor or the architecture.
    """
    for member in weighing.members:
        refuse_weights(member.model, weighing.settings, member.revision)

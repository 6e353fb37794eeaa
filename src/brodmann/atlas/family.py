"""Several models in one atlas: a folder with one ordinary atlas for each, and a study that compares them.

::

    OUT/ atlas.json          an atlas whose recording and core are those of the last member, with a key ``family``
         settings.yaml  report.html  tables/  results/  done/  log.jsonl
         members/NAME/       an atlas of its own: recording, core, stage; `brodmann report` draws its page

Members are opened one after the other. All of them follow the text that the last one wrote, unless texts are read:
what early or small models write by themselves falls into loops, and a loop is memory. What is finished stays finished.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import brodmann
from brodmann.atlas.engines import Engine, LocalEngine, Tell, Tick, stoppable
from brodmann.atlas.job import Job
from brodmann.atlas.plan import choose, study_seed
from brodmann.atlas.registry import resolve, studies
from brodmann.atlas.several import Member, finish, is_done, make_once, manifest_of, stage_seconds, write_manifest
from brodmann.atlas.source import find, vocabulary
from brodmann.atlas.store import Folder, disk_error, store_error, write_text
from brodmann.atlas.studying import read_result, save_result
from brodmann.atlas.watch import Parts, Stopwatch
from brodmann.errors import BrodmannError, Incomplete, SettingsError, StoreError
from brodmann.plain import digest, to_dict, to_yaml
from brodmann.settings import MapSettings

MEMBERS = "members"
STUDIES = ("synergy", "stage")


@dataclass(frozen=True)
class Family:
    """What is compared, and where it is kept."""

    study: str
    """Name of the study that compares."""
    label: str
    model: str
    """What the user named."""
    members: tuple[Member, ...]
    """In order; the last one writes the text."""
    folder: Folder
    settings: MapSettings
    command: str
    compare: Callable[["Family", Sequence[Any]], dict[str, Any]] = field(default=lambda _family, _controls: {})
    """Arguments of the study beside stages, settings, seed and progress; recordings of random weights are given."""

    def member_folder(self, member: Member) -> Folder:
        """Atlas of one member."""
        return Folder(self.folder.root / MEMBERS / member.name)

    @property
    def order(self) -> tuple[Member, ...]:
        """Members as they are run: the last one, whose text the others follow, comes first."""
        return (self.members[-1], *self.members[:-1])

    def settings_of(self, member: Member) -> MapSettings:
        """Settings of one member. Random weights are the same for all members, so only the last one's are run."""
        synergy, wanted = self.settings.synergy, self.settings.track.growth_null_models
        nulls = max(synergy.null_models, wanted) if member is self.members[-1] else 0
        return replace(
            self.settings,
            load=replace(self.settings.load, revision=member.revision),
            synergy=replace(synergy, null_models=nulls),
        )

    def job(self, member: Member, follow: Path | None) -> Job:
        """The work on one member."""
        return Job(
            member.model, self.settings_of(member), choose(STUDIES), page=False, folder=self.member_folder(member),
            follow=follow, origin=self.command,
        )  # fmt: skip

    def member_job(self, member: Member) -> Job:
        """The work on one member as far as its folder tells; a member that has nothing to follow yet has no plan."""
        try:
            follow = None if member is self.members[-1] else self._text(self.members[-1])
        except (StoreError, OSError, KeyError, ValueError):
            follow = None
        return self.job(member, follow)

    def run(self, *, page: bool = True, engine: Engine | None = None, tell: Tell | None = None) -> int:
        """Do what is missing; gives the number of tasks that were run.

        Raises
        ------
        Incomplete
            If the user stopped it; the same command goes on.
        """
        self.folder.refuse_foreign(family=self.study)
        self.folder.create()
        (self.folder.root / MEMBERS).mkdir(exist_ok=True)
        try:
            with self.folder.locked(), stoppable():
                return self._run(page, engine or LocalEngine(), tell)
        except KeyboardInterrupt:
            raise Incomplete("stopped; run the same command again to go on from there") from None
        except Exception as error:
            disk = None if isinstance(error, BrodmannError) else disk_error(error)
            if disk is not None:
                raise store_error(disk, self.folder.root) from error
            raise

    def _run(self, page: bool, engine: Engine, tell: Tell | None) -> int:
        order = self.order
        total = len(order) + 1 + 2 * page
        follow: Path | None = None
        count = 0
        for number, member in enumerate(order):
            before = dict(manifest_of(self.folder))
            if not before.get("complete"):
                self._write_manifest(complete=False)
            count += self.job(member, follow).do(None, engine, _within(tell, member.name, number, total))
            if number == 0:
                follow = self._text(member)
        count += self._compare(_within(tell, self.study, len(order), total))
        if page:
            count += self._tables(_within(tell, "tables", len(order) + 1, total))
            count += self._report(_within(tell, "report", len(order) + 2, total))
        manifest = manifest_of(self.folder)
        if count or not manifest.get("complete"):
            self._write_manifest(complete=True)
        return count

    def _text(self, last: Member) -> Path | None:
        """The last member's recording, whose text the others follow; None where texts were given and are only read."""
        folder = self.member_folder(last)
        path = folder.root / str(folder.read_manifest()["recording"])
        described = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
        return path if described["attributes"].get("mode") == "generate" else None

    def _result(self, member: Member, study: str) -> Path:
        folder = self.member_folder(member)
        results = folder.read_manifest()["results"]
        if study not in results:
            why = folder.read_manifest()["skipped"].get(study, "it is not there")
            raise StoreError(f"{member.name} lacks the study '{study}': {why}")
        return folder.root / str(results[study])

    def _key(self) -> str:
        """Address of everything that the comparison depends on."""
        study = studies()[self.study]
        parts = [self._result(member, name).name for member in self.members for name in STUDIES]
        places = [member.place for member in self.members]
        own = [to_dict(self.settings.track), to_dict(self.settings.synergy), self.settings.seed]
        return digest(
            [self.study, study.study, study.version, parts, places, self._controls(), own, brodmann.__version__]
        )

    def _controls(self) -> list[str]:
        """Recordings of random weights, relative to the last member's folder."""
        return [str(path) for path in self.member_folder(self.members[-1]).read_manifest().get("controls", [])]

    def _compare(self, tell: Tell | None) -> int:
        key = self._key()
        output = f"results/{self.study}-{key}.zarr"
        task = f"{self.study}-{key}"
        if is_done(self.folder, task, output):
            return 0
        watch, parts = Stopwatch(), Parts(_part(tell))
        with watch.stage("import"):
            function = resolve(studies()[self.study].study)
        with watch.stage("read recordings"):
            stages = [read_result(self._result(member, "stage")) for member in self.members]
            last = self.member_folder(self.members[-1])
            controls = [_recording(last.root / path) for path in self._controls()]
        self.folder.note("started", task)
        seed = study_seed(self.settings, self.study, [each.name for each in self.members], to_dict(self.settings.track))
        with watch.stage(self.study):
            dataset = function(
                stages, settings=self.settings.track, seed=seed, progress=parts,
                **self.compare(self, controls),
            )  # fmt: skip
        with watch.stage("store"):
            save_result(self.folder, output, dataset)
            write_text(self.folder.root / output.replace(".zarr", ".yaml"), to_yaml(self.settings))
        finish(self.folder, task, watch)
        return 1

    def _tables(self, tell: Tell | None) -> int:
        return self._once("tables", "tables/units.parquet", tell, self._write_tables)

    def _write_tables(self) -> None:
        from brodmann.atlas.tables import write_tables

        manifest = manifest_of(self.folder)
        results = {name: read_result(self.folder.root / path) for name, path in manifest["results"].items()}
        with self.folder.writing("tables") as path:
            path.mkdir()
            write_tables(path, _recording(self.folder.root / manifest["recording"]), results)

    def _report(self, tell: Tell | None) -> int:
        from brodmann.atlas.report import render

        return self._once("report", "report.html", tell, lambda: render(self.folder.root))

    def _once(self, kind: str, output: str, tell: Tell | None, work: Callable[[], Any]) -> int:
        def begin() -> None:
            _part(tell)(0.0, kind)
            self._write_manifest(complete=False)

        return make_once(self.folder, self._key(), kind, output, begin, work)

    def _write_manifest(self, *, complete: bool) -> None:
        """``atlas.json``: that of the last member, with paths from here, and what belongs to the family."""
        last = self.members[-1]
        within = f"{MEMBERS}/{last.name}/"
        own = manifest_of(self.member_folder(last))
        results = {}
        if complete or all(self._known(member) for member in self.members):
            path = f"results/{self.study}-{self._key()}.zarr"
            results = {self.study: path} if (self.folder.root / path).exists() else {}
        results |= {name: within + path for name, path in own.get("results", {}).items() if name == "synergy"}
        manifests = [manifest_of(self.member_folder(member)) for member in self.members]
        seconds: dict[str, float] = {}
        for each in manifests:
            for stage, value in each.get("seconds", {}).items():
                seconds[stage] = seconds.get(stage, 0.0) + float(value)
        write_manifest(
            self.folder, study=self.study, label=self.label, model=self.model, members=self.members,
            settings=self.settings, seconds=stage_seconds(self.folder, seconds),
            passes=sum(float(each.get("seconds_forward", 0.0)) for each in manifests),
            provenance=own.get("provenance", {}),
            recording=within + own["recording"] if own.get("recording") else "",
            controls=[within + path for path in own.get("controls", [])],
            results=results, skipped=own.get("skipped", {}), complete=complete, command=self.command,
        )  # fmt: skip

    def _known(self, member: Member) -> bool:
        manifest = manifest_of(self.member_folder(member))
        return bool(manifest.get("complete")) and all(name in manifest["results"] for name in STUDIES)


def refuse_other_tokenizers(members: Sequence[Member], settings: MapSettings) -> None:
    """Refuse members that cannot follow the text of the last one, as far as their files tell.

    Raises
    ------
    SettingsError
        Names both models.
    """
    if settings.record.mode == "read":
        return
    known = [vocabulary(find(each.model, replace(settings.load, revision=each.revision))) for each in members]
    for member, tokens in zip(members, known, strict=True):
        if None not in (tokens, known[-1]) and tokens != known[-1]:
            raise SettingsError(
                f"{member.model} and {members[-1].model} have different tokenizers, so one cannot follow the text that "
                "the other writes; name models with one tokenizer, or let them read texts (--mode read)"
            )


def _within(tell: Tell | None, name: str, number: int, total: int) -> Tell | None:
    """Ticks of one member as ticks of the family."""
    if tell is None:
        return None

    def hear(tick: Tick) -> None:
        share = (tick.done + tick.part) / tick.total if tick.total else 0.0
        tell(Tick(f"{name}: {tick.title}", number, total, min(share, 1.0), tick.note))

    return hear


def _part(tell: Tell | None) -> Callable[[float, str], None]:
    def hear(share: float, name: str) -> None:
        if tell is not None:
            tell(Tick(name, 0, 1, share))

    return hear


def _recording(path: Path) -> Any:
    from brodmann.recordings import load

    return load(path)

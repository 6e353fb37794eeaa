"""One call of `map` from its fingerprint to its manifest: what is known, what is missing, what it cost."""

import json
import shlex
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import brodmann
from brodmann.atlas import import_seconds
from brodmann.atlas.engines import Engine, Tell, missing, stoppable
from brodmann.atlas.plan import Basis, Plan, build
from brodmann.atlas.registry import Study, studies
from brodmann.atlas.source import file_address, identity
from brodmann.atlas.store import TABLES, Folder, disk_error, recording_key, remove, store_error, write_text
from brodmann.atlas.watch import Stopwatch
from brodmann.atlas.work import Workshop
from brodmann.errors import BrodmannError, Incomplete, StoreError
from brodmann.models.rules import RULES
from brodmann.plain import digest, to_dict, to_yaml
from brodmann.settings import MapSettings


@dataclass(frozen=True)
class Job:
    """What is asked for, and where."""

    model: str
    settings: MapSettings
    chosen: tuple[Study, ...]
    page: bool
    folder: Folder
    address: str = ""
    """What a model that the caller opened is; empty where it is opened by its name."""
    follow: Path | None = None
    """A recording whose text the model is made to follow, in place of prompts that it answers itself."""
    origin: str = ""
    """The command that asked for this one among others, where it was not `map` or `record`."""

    def command(self, added: Sequence[str]) -> str:
        """What repeats this run beside it, from the folder that it was given in (paths are as they were given).

        ``added`` are the optional studies of the atlas.
        """
        if self.origin:
            return self.origin
        verb = "map" if self.page else "record"
        root = self.folder.root
        return _words(verb, self.model, root, Path(f"{root}-again"), added)

    def do(self, subject: Any, engine: Engine, tell: Tell | None) -> int:
        """Run what is missing and give the number of tasks that were run; with none missing, open no model.

        Parameters
        ----------
        subject
            The opened model if the caller has one, else None.
        engine
            Who runs the tasks.
        tell
            Called with a `Tick` whenever something moves.
        """
        plan = self.known_plan()
        if plan is not None and not missing(plan, self.folder) and self.is_current(plan):
            return 0
        watch = Stopwatch()
        watch.add("import", import_seconds())
        worker = Workshop(self.folder, self.model, self.settings, subject, watch, self.follow)
        try:
            with stoppable():
                if plan is None:
                    plan = build(worker.basis(tell), self.settings, self.chosen, page=self.page)
                    self.refuse_other_model(plan.basis)
                return self._run(plan, worker, engine, tell, watch)
        except KeyboardInterrupt:
            raise Incomplete("stopped before any task began; run the same command again") from None
        finally:
            worker.close()

    def _run(self, plan: Plan, worker: Workshop, engine: Engine, tell: Tell | None, watch: "Stopwatch") -> int:
        new = self.folder.create()
        count = 0
        try:
            with self.folder.locked():
                self._note_plan(plan)
                worker.prepare(plan, lambda: self.write_manifest(plan, watch, complete=False))
                self.write_manifest(plan, watch, complete=False)
                count = engine.run(plan, self.folder, worker, tell)
                self.write_manifest(plan, watch, complete=True)
                for task in plan.tasks:
                    if task.kind == "ground":  # the study's own result holds all of it
                        remove(self.folder.root / task.output)
        except Exception as error:
            disk = None if isinstance(error, BrodmannError) else disk_error(error)
            if new and not any((self.folder.root / "done").glob("*.json")):
                remove(self.folder.root)  # nothing was finished, so nothing is worth keeping
            if disk is not None:
                raise store_error(disk, self.folder.root) from error
            raise
        return count

    @property
    def fingerprint(self) -> str:
        """Address of everything that decides what the recording will be, without opening the model."""
        settings = to_dict(self.settings)
        load, record = settings["load"], settings["record"]
        if load["spec"] is not None:
            load["spec"] = file_address(load["spec"])
        record["prompts"] = file_address(record["prompts"])
        own = [load, record, settings["seed"], self.address]
        if self.follow is not None:
            own.append(recording_key(self.follow))
        rules = {name: to_dict(rule) for name, rule in RULES.items()}
        return digest([identity(self.model, self.settings.load), own, rules, brodmann.__version__])

    def known_plan(self) -> Plan | None:
        """The plan, if an earlier run noted what this model and these settings stand for."""
        try:
            basis = Basis.from_dict(json.loads(self._plan_file().read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return build(basis, self.settings, self.chosen, page=self.page)

    def _plan_file(self) -> Path:
        return self.folder.root / "plans" / f"{self.fingerprint}.json"

    def _note_plan(self, plan: Plan) -> None:
        # Opening a hub model may have filled the cache and so changed the fingerprint: it is taken now, not before.
        write_text(self._plan_file(), json.dumps(plan.basis.to_dict(), indent=1) + "\n")
        write_text(self.folder.root / "settings.yaml", to_yaml(self.settings))

    def is_current(self, plan: Plan) -> bool:
        """Whether the manifest already speaks of this plan."""
        try:
            manifest = self.folder.read_manifest()
        except StoreError:
            return False
        results = manifest.get("results", {})
        return bool(
            manifest.get("complete")
            and manifest.get("recording") == plan.recording_path()
            and all(results.get(name) == plan.result_path(name) for name in plan.results)
        )

    def refuse_other_model(self, basis: Basis) -> None:
        """One atlas, one model (or checkpoints of one)."""
        try:
            manifest = self.folder.read_manifest()
        except StoreError:
            return
        before = manifest.get("provenance", {}).get("weights_hash"), manifest.get("label")
        if manifest.get("model") != self.model and before != (basis.provenance.get("weights_hash"), basis.label):
            raise StoreError(
                f"{self.folder.root} is the atlas of {before[1]}, not of {basis.label}; choose another --out"
            )

    def write_manifest(self, plan: Plan, watch: "Stopwatch", *, complete: bool) -> None:
        """Write ``atlas.json``: what is current, what was skipped, where the time went."""
        self._note_stages(watch)
        root = self.folder.root
        results = {name: plan.result_path(name) for name in plan.results if (root / plan.result_path(name)).exists()}
        skipped = dict(plan.skipped)
        try:
            before = self.folder.read_manifest()
        except StoreError:
            before = {}
        if before.get("recording") == plan.recording_path():  # a smaller command leaves the rest of the atlas as it is
            asked = {study.name for study in self.chosen}
            results = {n: p for n, p in before.get("results", {}).items() if n not in asked} | results
            skipped = {n: r for n, r in before.get("skipped", {}).items() if n not in asked} | skipped
        # in the registry's order, whichever command came first: tables and page speak of the first study first
        known = list(studies())
        results = dict(
            sorted(results.items(), key=lambda each: known.index(each[0]) if each[0] in known else len(known))
        )
        added = _optional((*results, *plan.results))
        seconds, beside = self.stage_seconds(plan), self.stage_seconds(plan, "beside")
        total = sum(seconds.values())
        # the recordings' passes are a stage of their own, those of studies that drive the model lie within their stages
        passes = seconds.get("forward", 0.0) + self.stage_seconds(plan, "driven").get("forward", 0.0)
        forward = passes / total if total else 0.0
        self.folder.write_manifest(
            {
                "brodmann": brodmann.__version__,
                "label": plan.basis.label,
                "model": self.model,
                "provenance": dict(plan.basis.provenance),
                "recording": plan.recording_path(),
                "controls": [plan.recording_path(key) for key in plan.controls.values()],
                "results": results,
                "skipped": skipped,
                "tables": [f"tables/{n}.parquet" for n in TABLES if (root / "tables" / f"{n}.parquet").exists()],
                "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
                "seconds_beside": {stage: round(value, 3) for stage, value in beside.items()},
                "seconds_forward": round(passes, 3),
                "seconds_share": {"forward": round(forward, 4), "other": round(1.0 - forward, 4)},
                "complete": complete,
                "command": self.command(added),
                "added": added,
                "fingerprint": self.fingerprint,
                "updated": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )

    def _note_stages(self, watch: "Stopwatch") -> None:
        for stage, seconds in watch.take().items():
            self.folder.note("stage", self.fingerprint, stage=stage, seconds=seconds)

    def stage_seconds(self, plan: Plan, kind: str = "stages") -> dict[str, float]:
        """Wall seconds by stage, over all runs that led to this plan's results.

        With kind "beside": those of the second process, which ran while the model worked and add nothing to the wall
        time but the wait for their end. With kind "driven": ``forward``, the passes of studies that drive the model.

        Stages: ``import``, ``conversion`` (of a GGUF file), ``load``, ``plan``, ``forward`` (the model at work, its
        taps included), ``store``, ``random weights`` (drawing them), one per study and part of a study, ``tables``,
        ``report``.
        """
        seconds: dict[str, float] = {}
        for task in plan.tasks:
            for stage, value in (self.folder.facts(task.key) or {}).get(kind, {}).items():
                seconds[stage] = seconds.get(stage, 0.0) + float(value)
        if kind != "stages":
            return seconds
        for event in self.folder.events():
            if event.get("event") == "stage" and event.get("task") == self.fingerprint:
                seconds[event["stage"]] = seconds.get(event["stage"], 0.0) + float(event["seconds"])
        return seconds


def _words(verb: str, model: str, root: Path, out: Path, added: Sequence[str]) -> str:
    words = ["brodmann", verb, model, "--settings", str(root / "settings.yaml"), "--out", str(out)]
    return shlex.join([*words, "--add", *added] if added else words)


def _optional(names: Iterable[str]) -> list[str]:
    """Those of the studies that `map` leaves out unless they are asked for, in the registry's order."""
    return [name for name, study in studies().items() if study.optional and name in set(names)]


def going_on(folder: Folder) -> str | None:
    """Say what an unfinished atlas lacks and which command goes on; None for a finished one, or for no atlas at all."""
    try:
        manifest = folder.read_manifest()
    except StoreError:
        if not folder.begun():
            return None
        manifest = {"complete": False}
    if manifest.get("complete", True):
        return None
    if manifest.get("family"):
        words = shlex.split(str(manifest["command"]))  # it repeats the run beside this one: go on here
        words[words.index("--settings") + 1], words[-1] = str(folder.root / "settings.yaml"), str(folder.root)
        return f"{folder.root} is not complete: the run was stopped; {shlex.join(words)} goes on with it"
    model = manifest.get("model") or _model_of(folder)
    verb = "record" if str(manifest.get("command", "")).startswith("brodmann record") else "map"
    again = _words(verb, str(model), folder.root, folder.root, manifest.get("added", []))
    go = again if model else "the command that began it, given again,"
    return f"{folder.root} is not complete: the run was stopped; {go} goes on with it"


def _model_of(folder: Folder) -> str | None:
    """The model's name, from what was noted when it was opened."""
    for path in sorted((folder.root / "plans").glob("*.json")):
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["provenance"]["name"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None

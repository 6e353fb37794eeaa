"""The worker: does one task at a time, keeps opened models between tasks, and times its stages.

The only module of the atlas that opens models; everything heavy is imported when a task needs it.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from brodmann.atlas.beside import Beside
from brodmann.atlas.driving import Driven
from brodmann.atlas.engines import Tell, Tick
from brodmann.atlas.meanwhile import Meanwhile
from brodmann.atlas.plan import SUBJECT, Basis, Plan, Task, shortest
from brodmann.atlas.registry import studies
from brodmann.atlas.source import find
from brodmann.atlas.store import Folder
from brodmann.atlas.studying import read_result, run_ground, run_study
from brodmann.atlas.watch import Part, Stopwatch
from brodmann.errors import RecordingError
from brodmann.settings import MapSettings

_CHANGED = "{} or its prompts changed while the atlas was being made; run the same command again"


class Workshop:
    """Does the tasks of an atlas in this process.

    Parameters
    ----------
    folder
        The atlas.
    model
        Name of the model.
    settings
        All settings.
    subject
        The opened model, if the caller has one.
    watch
        Counts the stages that belong to no single task (import, load, random weights).
    follow
        Path of a recording whose text the model is made to follow; None: it answers or reads the prompts itself.
    """

    def __init__(
        self,
        folder: Folder,
        model: str,
        settings: MapSettings,
        subject: Any,
        watch: Stopwatch,
        follow: Path | None = None,
    ) -> None:
        self._folder, self._model, self._settings, self._watch = folder, model, settings, watch
        self._follow = follow
        self._given = subject
        self._opened: dict[str, Any] = {}
        self._layouts: dict[str, Any] = {}
        self._plan: Plan | None = None
        self._write_manifest: Callable[[], None] = lambda: None
        self._loaded: tuple[str, Any] | None = None
        self._meanwhile = Meanwhile()
        self._needed: frozenset[str] = frozenset()

    def prepare(self, plan: Plan, write_manifest: Callable[[], None]) -> None:
        """Take the plan whose tasks will come, and the way to bring ``atlas.json`` up to date before the report."""
        self._plan, self._write_manifest = plan, write_manifest

    def close(self) -> None:
        """Let go of everything."""
        self._opened.clear()
        self._layouts.clear()
        self._loaded = None
        self._meanwhile.close()

    def keep(self, subjects: frozenset[str]) -> None:
        """Let go of opened models that no remaining task needs; random models are made from the subject."""
        self._needed = subjects
        if any(name.startswith("random:") for name in subjects):
            subjects = subjects | {SUBJECT}
        for name in set(self._opened) - subjects:
            del self._opened[name]
            self._layouts.pop(name, None)

    def basis(self, tell: Tell | None) -> Basis:
        """Open the model and the prompts, and say what they stand for."""
        if tell is not None:
            tell(Tick("open the model", 0, 0))
        subject = self._subject(SUBJECT)
        layout = self._layout(SUBJECT)
        tokens = (
            min(shortest(layout.settings), layout.steps)
            if layout.mode == "generate"
            else min(len(passage.ids) for passage in layout.passages)
        )
        return Basis(
            recording=layout.key,
            batches=len(layout.tasks),
            label=subject.label,
            layers=layout.units["layer"].nunique(),
            units=len(layout.units),
            prompts=len(layout.passages),
            tokens=tokens,
            provenance=subject.provenance,
        )

    def run(self, task: Task, tell: Part) -> dict[str, Any]:
        """Do a task and give the facts for its marker."""
        if task.kind in ("record", "replay"):
            return self._record(task, tell)
        if task.kind == "ground":
            return self._ground(task, tell)
        if task.kind == "study":
            return self._study(task, tell)
        # There is one set of tables and one page: what other settings left there is about to be replaced.
        self._folder.forget(task.kind)
        return self._tables() if task.kind == "tables" else self._report()

    def _subject(self, name: str) -> Any:
        if name not in self._opened:
            with self._watch.stage("import"):
                from brodmann import models
            if name == SUBJECT:
                self._opened[name] = self._given or self._open()
            else:
                subject = self._subject(SUBJECT)
                with self._watch.stage("random weights"):
                    ready = self._meanwhile.take(name)
                    self._opened[name] = ready or models.randomise(subject, int(name.removeprefix("random:")))
        return self._opened[name]

    def _get_ready(self) -> None:
        """While the model works: draw the next random model's weights, and import what the studies will need."""
        subject = self._opened.get(SUBJECT)
        if subject is None or self._plan is None or not self._meanwhile.suits(subject.model):
            return
        from brodmann.models import randomise

        for seed in self._plan.controls:
            name = f"random:{seed}"
            if name in self._needed and name not in self._opened:
                self._meanwhile.make(name, partial(randomise, subject, seed))
                break
        ran = [studies()[name] for name in self._plan.results]
        targets = [target.partition(":")[0] for each in ran for target in (each.study, each.chapter)]
        self._meanwhile.load([*targets, "brodmann.atlas.tables", "brodmann.atlas.report"])

    def _open(self) -> Any:
        from brodmann.models import load
        from brodmann.models.gguf_file import convert

        chosen = self._settings.load
        files = find(self._model, chosen).files
        if len(files) == 1 and files[0].suffix.lower() == ".gguf":
            with self._watch.stage("conversion"):  # once per file and machine; opening it again finds the result
                convert(files[0])
        with self._watch.stage("load"):
            return load(
                self._model,
                revision=chosen.revision,
                device=chosen.device,
                dtype=chosen.dtype,
                trust_remote_code=chosen.trust_remote_code,
                allow_pickle=chosen.allow_pickle,
                seed=self._settings.seed,
                spec=chosen.spec,
            )

    def _layout(self, name: str) -> Any:
        """The recording's plan for an opened model: batches, tokens, units."""
        if name not in self._layouts:
            subject = self._subject(name)
            with self._watch.stage("plan"):
                from brodmann.recordings import plan as recording_plan
                from brodmann.recordings.prompts import read_prompts

                if name == SUBJECT and self._follow is not None:
                    from brodmann.recordings import load

                    self._layouts[name] = recording_plan.plan_replay(subject, load(self._follow))
                elif name == SUBJECT:
                    prompts = read_prompts(self._settings.record.prompts)
                    self._layouts[name] = recording_plan.plan_recording(subject, prompts, self._settings.record)
                else:
                    self._layouts[name] = recording_plan.plan_replay(subject, self._recording())
        return self._layouts[name]

    def _recording(self) -> Any:
        assert self._plan is not None
        return self._load(self._plan.recording_path())

    def _load(self, path: str) -> Any:
        """A finished recording; the last one stays in memory, because each random model follows it."""
        if self._loaded is None or self._loaded[0] != path:
            from brodmann.recordings import load

            self._loaded = (path, load(self._folder.root / path))
        return self._loaded[1]

    def _record(self, task: Task, tell: Part) -> dict[str, Any]:
        from brodmann.recordings.store import ZarrStore

        assert self._plan is not None
        assert task.subject is not None
        subject, layout = self._subject(task.subject), self._layout(task.subject)
        if task.kind == "record" and layout.key != self._plan.basis.recording:
            raise RecordingError(_CHANGED.format(self._model))
        self._get_ready()
        start = time.perf_counter()
        store = ZarrStore.create(self._folder.root / task.output, layout)
        batch = layout.tasks[task.batch]
        if batch.key not in store.done():  # a run may have been killed between the recording's marker and ours
            self._run_batch(subject, layout, batch, store, tell)
        report = store.done()[batch.key]
        whole = time.perf_counter() - start
        return {"stages": {"forward": report.seconds, "store": max(0.0, whole - report.seconds)}}

    def _run_batch(self, subject: Any, layout: Any, batch: Any, store: Any, tell: Part) -> None:
        from brodmann.recordings import run_batch

        start = time.perf_counter()

        def on_tokens(done: int) -> None:
            seconds = time.perf_counter() - start
            tell(
                done / batch.tokens if batch.tokens else 0.0, f"{done / seconds:.0f} tokens/s" if seconds > 0.5 else ""
            )

        run_batch(subject, layout, batch, store, on_tokens=on_tokens)

    def _ground(self, task: Task, tell: Part) -> dict[str, Any]:
        return run_ground(self._folder, task, self._settings, self._recording, tell)

    def beside(self, task: Task) -> Beside:
        """Begin a task that needs no opened model in a second process."""
        assert self._plan is not None
        import torch

        return Beside(
            self._folder.root, task, self._settings, self._plan.recording_path(), threads=torch.get_num_threads()
        )

    def _study(self, task: Task, tell: Part) -> dict[str, Any]:
        if not studies()[task.name].subject:
            return run_study(self._folder, task, self._settings, lambda: self._arguments(task), tell)
        with Driven(self._subject_of_recording().model) as driven:
            facts = run_study(self._folder, task, self._settings, lambda: self._arguments(task), tell)
        return {**facts, "driven": {"forward": driven.seconds}}

    def _arguments(self, task: Task) -> dict[str, Any]:
        """What a study may be given; it gets those that its signature names."""
        assert self._plan is not None
        study = studies()[task.name]
        if study.weights:
            return {"recording": [self._checkpoint()], "partial": self._folder.partial(task.key)}
        given = {
            "recording": self._recording(),
            "controls": self._controls(task),
            "partial": self._folder.partial(task.key),
        }
        ground = next((t for t in self._plan.tasks if t.kind == "ground" and t.key in task.after), None)
        if ground is not None:
            given["ground"] = read_result(self._folder.root / ground.output)
        if study.subject:
            given["subject"] = self._subject_of_recording()
        if study.after:
            paths = {name: self._plan.result_path(name) for name in study.after}
            given["results"] = {name: read_result(self._folder.root / path) for name, path in paths.items()}
        return given

    def _checkpoint(self) -> Any:
        """The model's weights: from its files where they can be read so, else from the opened model."""
        from brodmann.atlas.checkpoints import checkpoint_of
        from brodmann.models.shards import from_model, only_opened

        if self._given is not None or only_opened(self._model):
            return from_model(self._subject(SUBJECT).model, self._model)
        return checkpoint_of(self._model, self._settings.load, self._settings.seed)

    def _subject_of_recording(self) -> Any:
        """The opened model, if it is still what was recorded."""
        assert self._plan is not None
        if self._layout(SUBJECT).key != self._plan.basis.recording:
            raise RecordingError(_CHANGED.format(self._model))
        return self._subject(SUBJECT)

    def _controls(self, task: Task) -> list[Any]:
        from brodmann.recordings import load

        assert self._plan is not None
        keys = dict.fromkeys(
            name.rpartition("-")[0].removeprefix("replay-") for name in task.after if "replay-" in name
        )
        return [load(self._folder.root / self._plan.recording_path(key)) for key in keys]

    def _results(self) -> Mapping[str, Any]:
        """All current results, those of studies that this command did not ask for included."""
        paths = self._folder.read_manifest()["results"]
        return {name: read_result(self._folder.root / path) for name, path in paths.items()}

    def _tables(self) -> dict[str, Any]:
        from brodmann.atlas.tables import write_tables

        watch = Stopwatch()
        self._write_manifest()
        with watch.stage("tables"), self._folder.writing("tables") as path:
            path.mkdir()
            write_tables(path, self._recording(), self._results())
        return {"stages": watch.take()}

    def _report(self) -> dict[str, Any]:
        from brodmann.atlas.report import render

        watch = Stopwatch()
        with watch.stage("report"):
            self._write_manifest()
            render(self._folder.root)
        return {"stages": watch.take()}

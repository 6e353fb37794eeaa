"""The worker: does one task at a time, keeps opened models between tasks, and times its stages.

The only module of the atlas that opens models and calls studies; everything heavy is imported when a task needs it.
"""

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brodmann.atlas.engines import Tell, Tick
from brodmann.atlas.plan import SUBJECT, Basis, Plan, Task, shortest, study_seed
from brodmann.atlas.registry import Study, resolve, studies
from brodmann.atlas.source import find
from brodmann.atlas.store import Folder, write_text
from brodmann.errors import RecordingError, SettingsError
from brodmann.settings import MapSettings, to_yaml

Part = Callable[[float, str], None]
_CHANGED = "{} or its prompts changed while the atlas was being made; run the same command again"


class Stopwatch:
    """Wall seconds by stage, until somebody takes them."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's wall time under a name."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def take(self) -> dict[str, float]:
        """What was counted since the last time."""
        taken = dict(self._seconds)
        self._seconds.clear()
        return taken


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

    def prepare(self, plan: Plan, write_manifest: Callable[[], None]) -> None:
        """Take the plan whose tasks will come, and the way to bring ``atlas.json`` up to date before the report."""
        self._plan, self._write_manifest = plan, write_manifest

    def close(self) -> None:
        """Let go of everything."""
        self._opened.clear()
        self._layouts.clear()
        self._loaded = None

    def keep(self, subjects: frozenset[str]) -> None:
        """Let go of opened models that no remaining task needs; random models are made from the subject."""
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
                    self._opened[name] = models.randomise(subject, int(name.removeprefix("random:")))
        return self._opened[name]

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

    def _study(self, task: Task, tell: Part) -> dict[str, Any]:
        assert self._plan is not None
        study = studies()[task.name]
        key = self._plan.results[task.name]
        watch = Stopwatch()
        with watch.stage("import"):
            function = resolve(study.study)
        with watch.stage("read recordings"):
            recording = self._recording()
            controls = self._controls(task)
        parts = Parts(tell)
        arguments: dict[str, Any] = {
            "settings": getattr(self._settings, study.settings) if study.settings else None,
            "controls": controls,
            "seed": study_seed(self._settings.seed, key),
            "progress": parts,
            "partial": self._folder.partial(task.key),
        }
        if study.subject:
            arguments["subject"] = self._subject_of_recording()
        if study.after:
            arguments["results"] = {name: self._result(self._plan.result_path(name)) for name in study.after}
        with watch.stage(task.name):
            dataset = _call(function, recording, arguments)
        _refuse_other_results(study, dataset)
        with watch.stage("store"):
            save(self._folder, task.output, dataset)
            write_text(self._folder.root / task.output.replace(".zarr", ".yaml"), to_yaml(self._settings))
        return {"stages": _split(watch.take(), task.name, parts.finish())}

    def _subject_of_recording(self) -> Any:
        """The opened model, if it is still what was recorded."""
        assert self._plan is not None
        if self._layout(SUBJECT).key != self._plan.basis.recording:
            raise RecordingError(_CHANGED.format(self._model))
        return self._subject(SUBJECT)

    def _result(self, path: str) -> Any:
        import xarray as xr

        return xr.open_zarr(self._folder.root / path, consolidated=False, chunks=None).load()

    def _controls(self, task: Task) -> list[Any]:
        from brodmann.recordings import load

        assert self._plan is not None
        keys = dict.fromkeys(
            name.rpartition("-")[0].removeprefix("replay-") for name in task.after if "replay-" in name
        )
        return [load(self._folder.root / self._plan.recording_path(key)) for key in keys]

    def _results(self) -> Mapping[str, Any]:
        """All current results, those of studies that this command did not ask for included."""
        return {name: self._result(path) for name, path in self._folder.read_manifest()["results"].items()}

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


class Parts:
    """Takes a study's signs of life (the name of each part, and perhaps its finished share) and times the parts."""

    def __init__(self, tell: Part) -> None:
        self._tell, self._name, self._since = tell, "", time.perf_counter()
        self._seconds: dict[str, float] = {}

    def __call__(self, name: str, share: float = 0.0) -> None:
        """Begin a part, or say how far it is."""
        if name != self._name:
            self.finish()
            self._name = name
        self._tell(share, name)

    def finish(self) -> dict[str, float]:
        """Seconds of each part so far."""
        now = time.perf_counter()
        if self._name:
            self._seconds[self._name] = self._seconds.get(self._name, 0.0) + now - self._since
        self._since = now
        return dict(self._seconds)


def _call(function: Callable[..., Any], recording: Any, arguments: dict[str, Any]) -> Any:
    """Call a study with those of the arguments that its signature names, and with the recording, whatever its name."""
    parameters = inspect.signature(function).parameters
    if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        arguments = {name: value for name, value in arguments.items() if name in parameters}
    # beside other arguments that have no keyword of their own, such as a subject that comes first
    named = parameters.get("recording")
    if named is not None and named.kind is not inspect.Parameter.POSITIONAL_ONLY:
        return function(recording=recording, **arguments)
    return function(recording, **arguments)


def _refuse_other_results(study: Study, dataset: Any) -> None:
    import xarray as xr

    if not isinstance(dataset, xr.Dataset):
        raise SettingsError(
            f"the study '{study.name}' ({study.study}) gave a {type(dataset).__name__}, not an xarray.Dataset"
        )


def save(folder: Folder, name: str, dataset: Any) -> None:
    """Keep a result under a name inside the atlas, whole or not at all."""
    # zarr v3 has a settled form for strings of any length, but none for numpy's fixed-width ones
    texts = {n: v.astype(object) for n, v in dataset.variables.items() if v.dtype.kind == "U"}
    with folder.writing(name) as path:
        dataset.assign({n: v for n, v in texts.items() if n in dataset.data_vars}).assign_coords(
            {n: v for n, v in texts.items() if n in dataset.coords}
        ).to_zarr(path, mode="w", zarr_format=3, consolidated=False)


def _split(stages: dict[str, float], study: str, parts: Mapping[str, float]) -> dict[str, float]:
    """Divide a study's time by its parts."""
    named = {f"{study}: {part}": seconds for part, seconds in parts.items()}
    rest = max(0.0, stages.pop(study) - sum(named.values()))
    return {**stages, **named, study: rest}

"""What has to be done for an atlas: independent tasks with content-addressed keys.

A key names everything that can change a task's result (the recording it reads, settings, seed, version), so a task
that is finished stays finished for every later command, on any machine, whichever worker did it. Building a plan
opens no model: it starts from a `Basis`, which is what opening the model and the prompts once has told.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import brodmann
from brodmann.atlas.registry import Study, check_targets, in_order, resolve, studies
from brodmann.atlas.source import file_address
from brodmann.errors import SettingsError
from brodmann.plain import digest, to_dict
from brodmann.settings import MapSettings, RecordSettings

Kind = Literal["record", "replay", "ground", "study", "tables", "report"]
SUBJECT = "subject"


@dataclass(frozen=True)
class Basis:
    """What a model and its prompts stand for, known once they have been opened; plain data, kept in ``plans/``."""

    recording: str
    """Key of the recording (weights, prompts, settings of recording, library versions)."""
    batches: int
    """Number of batches that the recording is made of."""
    label: str
    """The subject's name, with "(randomly initialised)" where it is."""
    layers: int
    units: int
    prompts: int
    tokens: int
    """Length of the shortest series that can come out."""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(dataclasses.replace(self, provenance=dict(self.provenance)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Basis":
        """Inverse of `to_dict`; raises TypeError or KeyError for anything else."""
        return cls(**values)


@dataclass(frozen=True)
class Task:
    """One piece of work."""

    key: str
    kind: Kind
    title: str
    output: str
    """What it leaves behind, relative to the atlas."""
    after: tuple[str, ...] = ()
    """Keys of tasks that must be finished before."""
    subject: str | None = None
    """The opened model it needs: "subject", "random:<seed>", or None."""
    batch: int = 0
    name: str = ""
    """Name of the study, for kinds "ground" and "study"."""
    seed: int = 0
    """Seed of the study; a study and its groundwork share it."""


@dataclass(frozen=True)
class Plan:
    """All tasks of an atlas, in an order that respects their dependencies."""

    basis: Basis
    tasks: tuple[Task, ...]
    controls: Mapping[int, str]
    """Seed of each randomly initialised model -> key of its recording."""
    results: Mapping[str, str]
    """Study -> key of its result."""
    skipped: Mapping[str, str]
    """Study -> why it does not apply."""

    def recording_path(self, key: str | None = None) -> str:
        """Path of a recording inside the atlas; without a key, the subject's own."""
        return f"recordings/{key or self.basis.recording}.zarr"

    def result_path(self, study: str) -> str:
        """Path of a study's result inside the atlas."""
        return f"results/{study}-{self.results[study]}.zarr"


def check_lengths(settings: MapSettings, chosen: Iterable[Study]) -> None:
    """Refuse series that are too short for a study's lag, before anything is loaded.

    Raises
    ------
    SettingsError
        Names the smallest number of tokens that works.
    """
    record = settings.record
    if record.mode == "read":
        return
    name, tokens = ("min_tokens", record.min_tokens) if record.stop_at_eos else ("new_tokens", record.new_tokens)
    tokens = min(tokens, record.new_tokens)
    for study in chosen:
        lag = _lag(settings, study)
        least = study.needs.pairs_of_tokens + lag
        if tokens < least:
            option = "new_tokens" if record.new_tokens < least else name
            raise SettingsError(
                f"{option} = {getattr(record, option)} is too short for the study '{study.name}' at lag {lag}: "
                f"the smallest number that works is {least}"
            )


def check_settings(settings: MapSettings, chosen: Iterable[Study]) -> None:
    """Let each study refuse its settings before a model is opened; settings that nobody changed are known to work.

    Raises
    ------
    SettingsError, PromptError
        In the study's own words.
    """
    for study in chosen:
        own = getattr(settings, study.settings) if study.settings else None
        if study.check and own != getattr(MapSettings(), study.settings or "", None):
            resolve(study.check)(own)


def choose(names: Iterable[str] | None) -> tuple[Study, ...]:
    """Studies by name, with those that they come after; None: all but the optional ones.

    What studies of other packages point to is imported, so that it fails early.
    """
    wanted = [name for name, study in studies().items() if not study.optional] if names is None else names
    chosen = in_order(wanted)
    for study in chosen:
        if study.family:
            raise SettingsError(
                f"the study '{study.name}' compares several models: it is made by `brodmann {study.family}`"
            )
    check_targets(chosen)
    return chosen


def build(basis: Basis, settings: MapSettings, chosen: Iterable[Study], *, page: bool = True) -> Plan:
    """Lay out all tasks.

    Parameters
    ----------
    basis
        What the model and the prompts stand for.
    settings
        All settings.
    chosen
        Studies to run, each after those that it comes after (`choose`); those that do not apply are skipped with a
        reason.
    page
        Whether tables and report belong to the plan.
    """
    skipped: dict[str, str] = {}
    applying: list[Study] = []
    for study in chosen:
        missing = [name for name in study.after if name not in {each.name for each in applying}]
        reason = _obstacle(study, basis, settings)
        if missing:
            why = f"was skipped: {skipped[missing[0]]}" if missing[0] in skipped else "was not asked for"
            reason = f"it comes after the study '{missing[0]}', which {why}"
        if reason:
            skipped[study.name] = reason
        else:
            applying.append(study)
    recording = f"recordings/{basis.recording}.zarr"
    record = _batches(basis, f"record-{basis.recording}", "record", "record", recording, SUBJECT)
    tasks = list(record)
    recorded = tuple(task.key for task in record)
    grounds = {study.name: _ground(study, basis, settings, recorded) for study in applying if study.ground}
    tasks += grounds.values()
    wanted = max((null_models(settings, study) for study in applying), default=0)
    controls = {seed: digest([basis.recording, "random weights", seed]) for seed in null_seeds(settings.seed, wanted)}
    replays: dict[int, tuple[str, ...]] = {}
    for number, (seed, key) in enumerate(controls.items(), start=1):
        batches = _batches(
            basis, f"replay-{key}", "replay", f"random weights {number} of {wanted},", f"recordings/{key}.zarr",
            f"random:{seed}", recorded,
        )  # fmt: skip
        tasks += batches
        replays[seed] = tuple(task.key for task in batches)
    results: dict[str, str] = {}
    for study in applying:
        heard = () if study.weights else recorded
        used = list(controls)[: null_models(settings, study)]
        before = [results[name] for name in study.after]
        key = study_key(study, basis, settings, [controls[seed] for seed in used], before)
        results[study.name] = key
        tasks.append(
            Task(
                key=f"{study.name}-{key}",
                kind="study",
                title=study.title,
                output=f"results/{study.name}-{key}.zarr",
                after=(
                    *heard,
                    *(batch for seed in used for batch in replays[seed]),
                    *(f"{name}-{results[name]}" for name in study.after),
                    *([grounds[study.name].key] if study.name in grounds else []),
                ),
                subject=SUBJECT if study.subject else None,
                name=study.name,
                seed=_seed(study, basis, settings),
            )
        )
    if page:
        tasks += _page(basis, results, skipped, recorded)
    return Plan(basis, tuple(tasks), MappingProxyType(controls), MappingProxyType(results), MappingProxyType(skipped))


def _batches(
    basis: Basis, key: str, kind: Kind, words: str, output: str, subject: str, after: tuple[str, ...] = ()
) -> list[Task]:
    """Tasks of a recording, one a batch of prompts."""
    return [
        Task(f"{key}-{batch:04d}", kind, f"{words} batch {batch + 1} of {basis.batches}", output, after, subject, batch)
        for batch in range(basis.batches)
    ]


def _ground(study: Study, basis: Basis, settings: MapSettings, recorded: tuple[str, ...]) -> Task:
    key = ground_key(study, basis, settings)
    return Task(
        f"{study.name}-ground-{key}", "ground", f"{study.title}, without random models",
        f"results/{study.name}-{key}.ground.zarr", recorded, name=study.name,
        seed=study_seed(settings, *_matter(study, basis, settings)),
    )  # fmt: skip


def _page(basis: Basis, results: dict[str, str], skipped: dict[str, str], recorded: tuple[str, ...]) -> list[Task]:
    what = [basis.recording, results, skipped, brodmann.__version__]
    tables, report = f"tables-{digest(what)}", f"report-{digest(what)}"
    after = tuple(f"{name}-{key}" for name, key in results.items()) or recorded
    return [
        Task(tables, "tables", "tables", "tables/units.parquet", after),
        Task(report, "report", "report", "report.html", (tables,)),
    ]


def null_seeds(seed: int, count: int) -> tuple[int, ...]:
    """Seeds of the randomly initialised models: the first ones stay the same when more are asked for."""
    return tuple(int(digest(["random weights", seed, number])[:7], 16) for number in range(count))


def study_seed(settings: MapSettings, *matter: Any) -> int:
    """Seed of one study, from the plan's seed and what is studied.

    More random models leave it as it is, and so does another version of the code: a release draws the same controls.
    """
    return int(digest([settings.seed, *matter])[:7], 16)


def _seed(study: Study, basis: Basis, settings: MapSettings) -> int:
    if study.weights:  # as `brodmann.atlas.weighing` seeds it, so that both ways to ask give the same numbers
        return study_seed(settings, study.name, basis.provenance.get("name", basis.label))
    return study_seed(settings, *_matter(study, basis, settings))


def ground_key(study: Study, basis: Basis, settings: MapSettings) -> str:
    """Content address of what a study says about the recording alone."""
    return digest([*_matter(study, basis, settings), settings.seed, study.version, brodmann.__version__])


def _matter(study: Study, basis: Basis, settings: MapSettings) -> list[Any]:
    """What a study is asked about a recording, whatever code answers."""
    own = _own(study, settings)
    if study.weights:
        scores = own.get("scores")
        files = file_address(scores) if isinstance(scores, str) else None
        return [study.name, study.study, basis.recording, own, files]
    own.pop("null_models", None)
    return [study.name, study.ground, study.study, basis.recording, own]


def _own(study: Study, settings: MapSettings) -> dict[str, Any]:
    return to_dict(getattr(settings, study.settings)) if study.settings else {}


def study_key(study: Study, basis: Basis, settings: MapSettings, controls: list[str], before: list[str]) -> str:
    """Content address of a study's result; ``before`` are the keys of the results that it starts from."""
    what = [ground_key(study, basis, settings), controls]
    return digest([*what, before] if before else what)


def shortest(record: RecordSettings) -> int:
    """Length of the shortest series that these settings of recording can give."""
    return min(record.min_tokens, record.new_tokens) if record.stop_at_eos else record.new_tokens


def _lag(settings: MapSettings, study: Study) -> int:
    return int(getattr(getattr(settings, study.settings), "tau", 0)) if study.settings else 0


def null_models(settings: MapSettings, study: Study) -> int:
    """How many randomly initialised models a study wants."""
    if not study.needs.controls or not study.settings:
        return 0
    return int(getattr(getattr(settings, study.settings), "null_models", 0))


def _obstacle(study: Study, basis: Basis, settings: MapSettings) -> str | None:
    if study.weights:
        return None
    needs, lag = study.needs, _lag(settings, study)
    for what, has, least in (
        ("layers", basis.layers, needs.layers),
        ("units", basis.units, needs.units),
        ("prompts", basis.prompts, needs.prompts),
        (f"tokens in each series (lag {lag})", basis.tokens, needs.pairs_of_tokens + lag),
    ):
        if has < least:
            return (
                f"it needs at least {least} {what}; {basis.label} has {has}"
                if what in ("layers", "units")
                else (f"it needs at least {least} {what}; this recording has {has}")
            )
    return None

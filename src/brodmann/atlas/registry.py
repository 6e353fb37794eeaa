"""Which analyses there are: names, lazy targets and what each needs.

A study's targets are strings (``module:function``) that are resolved when a task runs, so the atlas imports no
analysis. Other packages add studies through the entry point group ``brodmann.studies``; an entry point's value is a
`Study`, or a function without arguments that returns one.
"""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from importlib import import_module, metadata
from types import MappingProxyType
from typing import Any

from brodmann.errors import SettingsError
from brodmann.settings import MapSettings

GROUP = "brodmann.studies"


@dataclass(frozen=True)
class Needs:
    """What a recording must offer before a study can say anything."""

    layers: int = 1
    """Fewest layers of the model."""
    units: int = 2
    """Fewest units."""
    prompts: int = 1
    """Fewest prompts."""
    pairs_of_tokens: int = 1
    """Fewest (past, future) pairs in each series, that is tokens minus lag."""
    controls: bool = False
    """Whether it wants recordings of randomly initialised models: ``null_models`` of its settings."""

    @property
    def words(self) -> str:
        """All of it in words."""
        counts = (
            (self.layers, "layer"),
            (self.units, "unit"),
            (self.prompts, "prompt"),
            (self.pairs_of_tokens, "token"),
        )
        return ", ".join(f"{count} {what}{'s' * (count != 1)}" for count, what in counts) + " more than the lag"


@dataclass(frozen=True)
class Study:
    """One analysis: where it is computed, where it is drawn, what it needs.

    The study is called as ``study(recording, settings=..., controls=[...], seed=..., progress=..., partial=...)``, and
    with ``subject=`` and ``results=`` where it asks for them below; of the keywords it gets those that its signature
    names. It gives an `xarray.Dataset`; the chapter is called as ``chapter(dataset, recording)`` and gives a
    `brodmann.page.Chapter`.
    """

    name: str
    title: str
    study: str
    chapter: str
    needs: Needs = field(default_factory=Needs)
    settings: str | None = None
    """Field of `brodmann.settings.MapSettings` that holds its settings; None: it has none."""
    version: str = ""
    """Part of the results' keys: another version is computed anew. Empty: that of the package it comes from."""
    subject: bool = False
    """Whether it drives the model: it is then given the opened one as ``subject``."""
    after: tuple[str, ...] = ()
    """Studies that are run before it; their Datasets are given by name as ``results``."""
    optional: bool = False
    """Whether `map` leaves it out unless it is asked for by name."""
    family: str = ""
    """Command that asks it of a family of models (`track`, `sizes`); such a study is asked of no single recording."""
    check: str = ""
    """What refuses settings that only the study can judge, such as names of tasks, before a model is opened:
    ``check(settings)`` of its own section. It should import nothing heavy."""
    weights: bool = False
    """Whether it reads the model's weights in place of the recording: it is called as ``study([checkpoint], ...)`` with
    a `brodmann.models.shards.Checkpoint`."""
    ground: str = ""
    """The part of the study that needs the recording only, ``ground(recording, settings=..., seed=..., progress=...)``;
    an engine may run it beside the model, and the study gets its Dataset as ``ground``."""


_BUILT_IN = (
    Study(
        name="synergy",
        title="The synergistic core",
        study="brodmann.synergy.study:study",
        chapter="brodmann.synergy.figures:chapter",
        needs=Needs(layers=4, units=8, prompts=2, pairs_of_tokens=8, controls=True),
        settings="synergy",
        ground="brodmann.synergy.groundwork:groundwork",
    ),
    Study(
        name="lesions",
        title="Lesions",
        study="brodmann.lesions.sweep:study",
        chapter="brodmann.lesions.figures:chapter",
        needs=Needs(layers=4, units=8, prompts=2),
        settings="lesions",
        version="2",
        subject=True,
        after=("synergy",),
        optional=True,
    ),
    Study(
        name="accuracy",
        title="Tasks under lesion",
        study="brodmann.lesions.accuracy_study:study",
        chapter="brodmann.lesions.accuracy_figures:chapter",
        needs=Needs(units=8),
        settings="accuracy",
        version="3",
        check="brodmann.tasks.early:check_accuracy",
        subject=True,
        after=("synergy",),
        optional=True,
    ),
    Study(
        name="allocation",
        title="Allocation",
        study="brodmann.allocation.study:study",
        chapter="brodmann.allocation.figures:chapter",
        needs=Needs(layers=4, units=8),
        version="2",
        settings="allocation",
        check="brodmann.tasks.early:check_allocation",
        subject=True,
        after=("synergy",),
        optional=True,
    ),
    Study(
        name="stage",
        title="A stage of growth",
        study="brodmann.synergy.stage:study",
        chapter="brodmann.synergy.stage:chapter",
        needs=Needs(layers=4, units=8, prompts=2, pairs_of_tokens=8),
        settings="track",
        subject=True,
        after=("synergy",),
        optional=True,
    ),
    Study(
        name="growth",
        title="Growth",
        study="brodmann.synergy.growth_study:study",
        chapter="brodmann.synergy.growth_figures:chapter",
        version="2",
        settings="track",
        optional=True,
        family="track",
    ),
    Study(
        name="sizes",
        title="Sizes",
        study="brodmann.synergy.sizes_study:study",
        chapter="brodmann.synergy.sizes_figures:chapter",
        settings="track",
        optional=True,
        family="sizes",
    ),
    Study(
        name="fractal",
        title="The weight graph",
        study="brodmann.fractal.study:study",
        chapter="brodmann.fractal.figures:chapter",
        version="3",
        settings="fractal",
        optional=True,
        weights=True,
    ),
    Study(
        name="fractal_sizes",
        title="Weight graphs by size",
        study="brodmann.fractal.sizes_study:study",
        chapter="brodmann.fractal.figures_sizes:chapter",
        version="3",
        settings="fractal",
        optional=True,
        family="sizes --study fractal",
    ),
)


@cache
def studies() -> Mapping[str, Study]:
    """All studies by name: the built-in ones, then those of installed packages.

    Raises
    ------
    SettingsError
        If an installed package cannot be imported, registers something that is not a `Study` or cannot work, or takes a
        name that is in use.
    """
    found = {study.name: study for study in _BUILT_IN}
    for point in metadata.entry_points(group=GROUP):
        study = _registered(point)
        if study.name in found:
            raise SettingsError(f"entry point '{point.name}' registers the study '{study.name}', which exists already")
        found[study.name] = study
    for study in found.values():
        _refuse_circles(study, found)
    return MappingProxyType(found)


def usual() -> tuple[str, ...]:
    """Names of the studies that `map` runs unasked."""
    return tuple(name for name, study in studies().items() if not study.optional)


def in_order(names: Iterable[str]) -> tuple[Study, ...]:
    """Studies with all those that they come after, each after these, otherwise as named.

    Raises
    ------
    SettingsError
        If there is no study of some name.
    """
    known, chosen = studies(), dict[str, Study]()

    def take(name: str) -> None:
        if name not in known:
            raise SettingsError(f"there is no study '{name}'; known are {', '.join(known)}")
        if name not in chosen:
            for before in known[name].after:
                take(before)
            chosen[name] = known[name]

    for name in names:
        take(name)
    return tuple(chosen.values())


def _refuse_circles(study: Study, known: Mapping[str, Study]) -> None:
    """A study may come after any other, but not after itself."""
    before, new = set[str](), set(study.after)
    while new:
        for name in new - known.keys():
            raise SettingsError(f"the study '{study.name}' comes after '{name}', which does not exist")
        before |= new
        new = {name for each in new for name in known[each].after} - before
    if study.name in before:
        raise SettingsError(f"the study '{study.name}' comes after itself, by way of {', '.join(sorted(before))}")


def _registered(point: metadata.EntryPoint) -> Study:
    where = f"entry point '{point.name}' ({point.value}) of group {GROUP}"
    try:
        target = point.load()
        study = target() if callable(target) and not isinstance(target, Study) else target
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise SettingsError(f"{where} cannot be loaded ({said}); mend or uninstall its package") from error
    if not isinstance(study, Study):
        raise SettingsError(f"{where} is not a Study")
    sections = {each.name: each.default_factory for each in fields(MapSettings) if each.default_factory is not MISSING}
    if study.settings is not None and study.settings not in sections:
        raise SettingsError(f"{where}: settings = '{study.settings}' is no section; there are {', '.join(sections)}")
    if study.needs.controls and not hasattr(sections.get(study.settings or ""), "null_models"):
        raise SettingsError(
            f"{where}: a study that needs controls must name settings with null_models, such as settings='synergy'"
        )
    version = study.version or (point.dist.version if point.dist is not None else "")
    return replace(study, version=version)


def check_targets(chosen: Iterable[Study]) -> None:
    """Import what studies of other packages point to; our own are tested and heavy.

    Raises
    ------
    SettingsError
        If a study or a chapter cannot be imported, or is nothing that can be called.
    """
    for study in chosen:
        if study in _BUILT_IN:
            continue
        for part, target in (("study", study.study), ("chapter", study.chapter), ("ground", study.ground),
                             ("check", study.check)):  # fmt: skip
            if target and not callable(resolve(target)):
                raise SettingsError(f"the {part} of study '{study.name}', {target}, cannot be called")
        wanted = inspect.signature(resolve(study.study)).parameters
        for keyword, given, remedy in (
            ("results", bool(study.after), "after=(...)"), ("subject", study.subject, "subject=True"),
        ):  # fmt: skip
            if keyword in wanted and not given:
                raise SettingsError(f"the study '{study.name}' takes {keyword}, which it gets only with {remedy}")


def from_elsewhere(study: Study) -> bool:
    """Whether another package brought a study."""
    return study not in _BUILT_IN


def resolve(target: str) -> Any:
    """Import what ``module:name`` points to."""
    module, _, name = target.partition(":")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # an import runs foreign code
        raise SettingsError(f"the registry's target '{target}' cannot be imported: {error}") from error

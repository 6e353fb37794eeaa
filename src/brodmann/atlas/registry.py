"""Which analyses there are: names, lazy targets and what each needs.

A study's targets are strings (``module:function``) that are resolved when a task runs, so the atlas imports no
analysis. Other packages add studies through the entry point group ``brodmann.studies``; an entry point's value is a
`Study`, or a function without arguments that returns one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata
from types import MappingProxyType
from typing import Any

from brodmann.errors import SettingsError

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
    """Whether it wants recordings of randomly initialised models of the same config."""

    @property
    def words(self) -> str:
        """All of it in words."""
        tokens = f"{self.pairs_of_tokens} tokens more than the lag"
        return f"{self.layers} layers, {self.units} units, {self.prompts} prompts, {tokens}"


@dataclass(frozen=True)
class Study:
    """One analysis: where it is computed, where it is drawn, what it needs.

    The study is called as ``study(recording, settings=..., controls=[...], seed=..., progress=...)`` and gives an
    `xarray.Dataset`; the chapter as ``chapter(dataset, recording)`` and gives a `brodmann.page.Chapter`.
    """

    name: str
    title: str
    study: str
    chapter: str
    needs: Needs = field(default_factory=Needs)
    settings: str | None = None
    """Field of `brodmann.settings.MapSettings` that holds its settings; None: it is called without settings."""


_BUILT_IN = (
    Study(
        name="synergy",
        title="The synergistic core",
        study="brodmann.synergy.study:study",
        chapter="brodmann.synergy.figures:chapter",
        needs=Needs(layers=4, units=8, prompts=2, pairs_of_tokens=8, controls=True),
        settings="synergy",
    ),
)


@cache
def studies() -> Mapping[str, Study]:
    """All studies by name: the built-in ones, then those of installed packages.

    Raises
    ------
    SettingsError
        If an installed package registers something that is not a `Study`, or takes a name that is in use.
    """
    found = {study.name: study for study in _BUILT_IN}
    for point in metadata.entry_points(group=GROUP):
        target = point.load()
        study = target() if callable(target) and not isinstance(target, Study) else target
        if not isinstance(study, Study):
            raise SettingsError(f"entry point '{point.name}' ({point.value}) of group {GROUP} is not a Study")
        if study.name in found:
            raise SettingsError(f"entry point '{point.name}' registers the study '{study.name}', which exists already")
        found[study.name] = study
    return MappingProxyType(found)


def resolve(target: str) -> Any:
    """Import what ``module:name`` points to."""
    module, _, name = target.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"the registry's target '{target}' cannot be imported: {error}") from error

"""Commands that test what a ranking of units does: `lesions`, `accuracy` and `allocation`.

The ranking is the atlas's own synergy result; where there is none yet, that study runs first.
"""

from typing import Any

from brodmann.cli import mapping
from brodmann.cli.options import RUN, ModelOrAtlas, Run
from brodmann.settings import (
    AccuracySettings,
    AllocationSettings,
    LesionSettings,
    LoadSettings,
    RecordSettings,
    SynergySettings,
)


def lesions_(
    model: ModelOrAtlas,
    lesions: LesionSettings = LesionSettings(),  # noqa: B008  frozen
    run: Run = RUN,
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
    record: RecordSettings = RecordSettings(),  # noqa: B008
    load: LoadSettings = LoadSettings(),  # noqa: B008
) -> None:
    """Take units away by rank, and as controls do, and measure what breaks.

    Example: brodmann lesions atlas-glass-en --fractions 0.1 0.2

    Needs the ranking of the synergy study, which runs first where there is none.

    Parameters
    ----------
    model
        A model, or an atlas: then its settings are the defaults, and its recordings and its ranking are used.
    lesions, run, synergy, record, load
        Options.
    """
    _go("lesions", model, run, load=load, record=record, synergy=synergy, lesions=lesions)


def accuracy_(
    model: ModelOrAtlas,
    accuracy: AccuracySettings = AccuracySettings(),  # noqa: B008  frozen
    run: Run = RUN,
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
    record: RecordSettings = RecordSettings(),  # noqa: B008
    load: LoadSettings = LoadSettings(),  # noqa: B008
) -> None:
    """Ask the model checkable questions, whole and with units taken away.

    Example: brodmann accuracy atlas-smollm2-135m --questions 20

    Needs the ranking of the synergy study, which runs first where there is none.

    Parameters
    ----------
    model
        A model, or an atlas: then its settings are the defaults, and its recordings and its ranking are used.
    accuracy, run, synergy, record, load
        Options.
    """
    _go("accuracy", model, run, load=load, record=record, synergy=synergy, accuracy=accuracy)


def allocation_(
    model: ModelOrAtlas,
    allocation: AllocationSettings = AllocationSettings(),  # noqa: B008  frozen
    run: Run = RUN,
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
    record: RecordSettings = RecordSettings(),  # noqa: B008
    load: LoadSettings = LoadSettings(),  # noqa: B008
) -> None:
    """Give the model tasks of rising difficulty and measure which units work harder.

    Example: brodmann allocation atlas-glass-en --hard-tasks addition sorting

    Needs the core of the synergy study, which runs first where there is none.

    Parameters
    ----------
    model
        A model, or an atlas: then its settings are the defaults, and its recordings and its ranking are used.
    allocation, run, synergy, record, load
        Options.
    """
    _go("allocation", model, run, load=load, record=record, synergy=synergy, allocation=allocation)


def _go(study: str, model: str, run: Run, **sections: Any) -> None:
    chosen = mapping.changed(mapping.base(run.settings, model, run.out), run, **sections)
    with mapping.or_atlas(model):
        mapping.go(*mapping.place(model, run.out), chosen, (study,), page=True, dry_run=run.dry_run)

"""Commands that test what a ranking of units does: `lesions` and `allocation`.

The ranking is the atlas's own synergy result; where there is none yet, that study runs first.
"""

from typing import Any

from brodmann.cli import mapping
from brodmann.cli.options import RUN, ModelOrAtlas, Run
from brodmann.settings import AllocationSettings, LesionSettings, LoadSettings, RecordSettings, SynergySettings


def lesions_(
    model: ModelOrAtlas,
    run: Run = RUN,
    load: LoadSettings = LoadSettings(),  # noqa: B008  frozen
    record: RecordSettings = RecordSettings(),  # noqa: B008
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
    lesions: LesionSettings = LesionSettings(),  # noqa: B008
) -> None:
    """Take units away in the order of their rank, and of controls, and measure what breaks.

    Needs the ranking of the synergy study, which runs first where the atlas has none.

    Parameters
    ----------
    model
        A model, or an atlas: then its settings are the defaults, and its recordings and its ranking are used.
    run, load, record, synergy, lesions
        Options.
    """
    _go("lesions", model, run, load=load, record=record, synergy=synergy, lesions=lesions)


def allocation_(
    model: ModelOrAtlas,
    run: Run = RUN,
    load: LoadSettings = LoadSettings(),  # noqa: B008  frozen
    record: RecordSettings = RecordSettings(),  # noqa: B008
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
    allocation: AllocationSettings = AllocationSettings(),  # noqa: B008
) -> None:
    """Give the model tasks of rising difficulty and measure which units work harder.

    Needs the core of the synergy study, which runs first where the atlas has none.

    Parameters
    ----------
    model
        A model, or an atlas: then its settings are the defaults, and its recordings and its ranking are used.
    run, load, record, synergy, allocation
        Options.
    """
    _go("allocation", model, run, load=load, record=record, synergy=synergy, allocation=allocation)


def _go(study: str, model: str, run: Run, **sections: Any) -> None:
    chosen = mapping.changed(mapping.base(run.settings, model, run.out), run, **sections)
    with mapping.or_atlas(model):
        mapping.go(*mapping.place(model, run.out), chosen, (study,), page=True, dry_run=run.dry_run)

"""Commands that test what a ranking of units does: `lesions` and `allocation`.

The ranking is the atlas's own synergy result; where there is none yet, that study runs first.
"""

from brodmann.cli import mapping
from brodmann.cli.mapping import Given, ModelOrAtlas, OfUnits, Place
from brodmann.settings import AllocationSettings, LesionSettings, LoadSettings, RecordSettings, SynergySettings


def lesions_(
    model: ModelOrAtlas,
    out: Place = None,
    dry_run: bool = False,
    settings: Given = None,
    units: OfUnits = None,
    seed: int = 0,
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
    out
        Folder of the atlas. By default the given one, or atlas-MODEL in the working directory.
    dry_run
        Print tasks, time and memory before any weight is read, and stop.
    settings
        Settings to start from, as written beside every result; options given here win.
    units
        Kind of units to record: short for the signal that is read from them.
    seed
        Seed of everything random.
    load, record, synergy, lesions
        Settings.
    """
    start = mapping.base(settings, model, out)
    chosen = mapping.changed(start, units, load=load, record=record, synergy=synergy, lesions=lesions, seed=seed)
    mapping.go(*mapping.place(model, out), chosen, ("lesions",), page=True, dry_run=dry_run)


def allocation_(
    model: ModelOrAtlas,
    out: Place = None,
    dry_run: bool = False,
    settings: Given = None,
    units: OfUnits = None,
    seed: int = 0,
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
    out
        Folder of the atlas. By default the given one, or atlas-MODEL in the working directory.
    dry_run
        Print tasks, time and memory before any weight is read, and stop.
    settings
        Settings to start from, as written beside every result; options given here win.
    units
        Kind of units to record: short for the signal that is read from them.
    seed
        Seed of everything random.
    load, record, synergy, allocation
        Settings.
    """
    start = mapping.base(settings, model, out)
    chosen = mapping.changed(start, units, load=load, record=record, synergy=synergy, allocation=allocation, seed=seed)
    mapping.go(*mapping.place(model, out), chosen, ("allocation",), page=True, dry_run=dry_run)

"""What the command line says before a model is opened: mistakes that can be seen from there, and the dry run.

Nothing here imports torch, which alone takes seconds.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from brodmann.errors import Incomplete, ModelError
from brodmann.settings import MapSettings

if TYPE_CHECKING:
    from brodmann.atlas.family import Family


def refuse(model: str, settings: MapSettings, studies: tuple[str, ...] | None) -> None:
    """Refuse what cannot work: device, name, folder, family, prompts, numbers.

    Raises
    ------
    AnatomyError, ModelError, PromptError, SettingsError
        In the words that opening the model would use.
    """
    from brodmann.atlas.plan import check_lengths, choose
    from brodmann.models.early import check_device_early, check_hub, check_name
    from brodmann.ranges import check_ranges
    from brodmann.recordings.prompts import read_prompts

    check_ranges(settings)
    check_lengths(settings, choose(studies))
    if (Path(model) / "atlas.json").is_file():
        raise ModelError(
            f"{model} is an atlas, not a model; use it with synergy, lesions, accuracy, allocation or report"
        )
    check_device_early(settings.load.device)
    check_name(model, allow_pickle=settings.load.allow_pickle)
    read_prompts(settings.record.prompts)
    check_hub(model, settings.load.revision)
    refuse_units(model, settings)
    if any(study.weights for study in choose(studies)):
        from brodmann.atlas.checkpoints import refuse_weights

        refuse_weights(model, settings, settings.load.revision)


def refuse_units(model: str, settings: MapSettings) -> None:
    """Refuse units that a model does not have, where its configuration can be read; else opening it tells.

    Raises
    ------
    AnatomyError
        With the kinds of units that the model has.
    """
    from brodmann.atlas.estimate import check_units, shape_of

    try:
        shape = shape_of(model, settings)
    except ModelError:
        return
    check_units(model, shape, settings.record)


def refuse_family(family: "Family") -> None:
    """Refuse a family of which a member cannot be opened.

    Raises
    ------
    ModelError, PromptError, SettingsError
        In the words that opening the model would use.
    """
    from brodmann.atlas.family import STUDIES

    for member in family.members:
        refuse(member.model, family.settings_of(member), STUDIES)


def dry_run_family(family: "Family") -> None:
    """Print tasks, time and memory of each member.

    Raises
    ------
    AnatomyError, PromptError, SettingsError
        Where the run itself would be refused.
    """
    from brodmann.atlas.estimate import estimate
    from brodmann.atlas.family import STUDIES
    from brodmann.console import console, duration, size, table
    from brodmann.recordings.prompts import read_prompts

    prompts = read_prompts(family.settings.record.prompts)
    rows, seconds, memory, disk, method = [], 0.0, 0.0, 0.0, ""
    for member in family.order:
        settings = family.settings_of(member)
        if member is not family.order[0]:  # the others follow the first one's text
            settings = replace(settings, record=replace(settings.record, mode="read"))
        reckoned = estimate(member.model, settings, prompts, STUDIES)
        tasks = sum(line.tasks for line in reckoned.lines)
        rows.append((member.name, str(tasks), duration(reckoned.seconds), size(reckoned.memory)))
        seconds, memory, disk = seconds + reckoned.seconds, max(memory, reckoned.memory), disk + reckoned.disk
        method = method or reckoned.method
    rows.append(("all", str(sum(int(row[1]) for row in rows)), duration(seconds), size(memory)))
    screen = console()
    screen.print(f"{family.label}\n", markup=False)
    screen.print(table(("member", "tasks", "time", "memory"), rows, right=(1, 2, 3)))
    screen.print(f"\n{size(disk)} on disk. {method}", markup=False)


def refuse_unfinished(atlas: Path) -> None:
    """Refuse an atlas whose run was stopped.

    Raises
    ------
    Incomplete
        Names the command that goes on.
    """
    from brodmann.atlas.job import going_on
    from brodmann.atlas.store import Folder

    said = going_on(Folder(atlas))
    if said is not None:
        raise Incomplete(said)


def earlier_settings(model: str, out: Path | None, settings: MapSettings) -> str:
    """YAML of the settings that an atlas shows before a run; empty where it shows nothing yet."""
    from brodmann.atlas.atlas import default_out

    root = out if out is not None else default_out(model, settings)
    try:
        return (root / "settings.yaml").read_text(encoding="utf-8") if (root / "report.html").exists() else ""
    except OSError:
        return ""


def dry_run(model: str, settings: MapSettings, studies: tuple[str, ...] | None) -> None:
    """Print tasks, time and memory, and whether the prompts fit.

    Raises
    ------
    AnatomyError, PromptError, SettingsError
        Where the run itself would be refused.
    """
    from brodmann.atlas.estimate import estimate
    from brodmann.atlas.fit import fit
    from brodmann.atlas.plan import choose
    from brodmann.console import console, duration, size, table
    from brodmann.recordings.prompts import read_prompts

    chosen = choose(studies)
    prompts = read_prompts(settings.record.prompts)
    reckoned = estimate(model, settings, prompts, tuple(study.name for study in chosen))
    fits = fit(model, settings, prompts)
    rows = [(line.what, str(line.tasks), duration(line.seconds), size(line.memory)) for line in reckoned.lines]
    tasks = sum(line.tasks for line in reckoned.lines)
    rows.append(("all", str(tasks), duration(reckoned.seconds), size(reckoned.memory)))
    screen = console()
    screen.print(f"{model}: {reckoned.units} units in {reckoned.shape.layers} layers{reckoned.which}\n", markup=False)
    screen.print(table(("step", "tasks", "time", "memory"), rows, right=(1, 2, 3)))
    screen.print(f"\n{size(reckoned.disk)} on disk. {reckoned.method} {fits}", markup=False)

"""Whether settings name tasks that exist, seen before a model is opened and without torch.

The studies look up the same names in the same catalogue when they run, and judge what needs a model as well.
"""

from pathlib import Path
from typing import Any

from brodmann.errors import SettingsError
from brodmann.tasks.asking import quiz
from brodmann.tasks.catalogue import SIMPLE, named
from brodmann.tasks.harness import read_harness


def check_allocation(settings: Any) -> None:
    """Refuse families of `AllocationSettings` that are unknown or not of their kind.

    Raises
    ------
    SettingsError
        Names the task, and those that there are.
    """
    for kind, names in (("hard", settings.hard_tasks), ("simple", settings.simple_tasks)):
        for task in named(names):
            if (task.name in SIMPLE) != (kind == "simple") or task.name == "neutral":
                raise SettingsError(f"{kind}_tasks: '{task.name}' is not {kind}; simple are {', '.join(SIMPLE)}")


def check_accuracy(settings: Any) -> None:
    """Refuse tasks of `AccuracySettings` that are unknown, have no such level or too few questions, or cannot be read.

    Raises
    ------
    SettingsError, PromptError
        Names the task or the file.
    """
    for name in settings.accuracy_tasks:
        if Path(name).suffix in (".yaml", ".yml"):
            read_harness(name, settings.questions)
            continue
        family, _, level = name.partition(":")
        (task,) = named((family,))
        if level and not level.isdigit():
            raise SettingsError(f"task '{name}': write a family and a level, such as addition:2")
        quiz(task, settings.questions, int(level) if level else task.levels[0], 0, shots=settings.shots)

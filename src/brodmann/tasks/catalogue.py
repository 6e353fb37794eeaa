"""All tasks by name, and which of them are hard, simple and neutral."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from brodmann.errors import SettingsError
from brodmann.tasks.analogies import ANALOGIES
from brodmann.tasks.arithmetic import ADDITION, COUNT, MODULAR, SUBTRACTION
from brodmann.tasks.ladders import Task
from brodmann.tasks.lookup import ASSIGNMENTS, FACTS
from brodmann.tasks.sequences import BRACKETS, REVERSAL, SORTING
from brodmann.tasks.simple import COPY, NEUTRAL, REPEAT

_ALL = (
    ADDITION, SUBTRACTION, MODULAR, SORTING, REVERSAL, BRACKETS, ASSIGNMENTS, FACTS, ANALOGIES, REPEAT, COPY, COUNT,
    NEUTRAL,
)  # fmt: skip

TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _ALL})
SIMPLE: tuple[str, ...] = ("repeat", "copy", "count")
"""The repetition ladder."""
HARD: tuple[str, ...] = tuple(task.name for task in _ALL if task.name not in (*SIMPLE, "neutral"))


def named(names: Sequence[str]) -> tuple[Task, ...]:
    """Tasks by their names.

    Raises
    ------
    SettingsError
        If a name is unknown or repeated, or there is none.

    Examples
    --------
    >>> [task.about for task in named(["addition"])]
    ['Sum of two numbers of so many digits']
    """
    unknown = next((name for name in names if name not in TASKS), None)
    if unknown is not None:
        hint = "; names are separated by spaces" if "," in unknown else ""
        raise SettingsError(f"there is no task '{unknown}'; known are {', '.join(TASKS)}{hint}")
    if not names or len(set(names)) < len(names):
        raise SettingsError(f"tasks {', '.join(names) or '(none)'}: name each task once, and at least one")
    return tuple(TASKS[name] for name in names)

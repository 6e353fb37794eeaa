"""Verifiable tasks: a generator with a difficulty knob and a checker for each; no model, no torch."""

from typing import TYPE_CHECKING

from brodmann.lazy import exports

if TYPE_CHECKING:
    from brodmann.tasks.analogies import read_analogies
    from brodmann.tasks.asking import Quiz, quiz
    from brodmann.tasks.catalogue import HARD, SIMPLE, TASKS, named
    from brodmann.tasks.harness import read_harness
    from brodmann.tasks.item import Item, check
    from brodmann.tasks.ladders import Task, few_shot, guessing, items, ladder, running

__getattr__ = exports(
    __name__,
    {
        "read_analogies": "analogies",
        **dict.fromkeys(("Quiz", "quiz"), "asking"),
        **dict.fromkeys(("HARD", "SIMPLE", "TASKS", "named"), "catalogue"),
        "read_harness": "harness",
        **dict.fromkeys(("Item", "check"), "item"),
        **dict.fromkeys(("Task", "few_shot", "guessing", "items", "ladder", "running"), "ladders"),
    },
)

__all__ = [
    "HARD",
    "SIMPLE",
    "TASKS",
    "Item",
    "Quiz",
    "Task",
    "check",
    "few_shot",
    "guessing",
    "items",
    "ladder",
    "named",
    "quiz",
    "read_analogies",
    "read_harness",
    "running",
]


def __dir__() -> list[str]:
    return sorted(__all__)

"""From a task to items: sets of one level, ladders over levels, few-shot prompts and running text.

Everything follows from a seed, the task's name and the level, so that a ladder is the same wherever it is built. Length
is matched by its user, in tokens of the model: `running` goes on for as long as it is asked.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from brodmann.errors import SettingsError
from brodmann.tasks.item import Item

_IN_VAIN = 1000


@dataclass(frozen=True)
class Task:
    """A family of questions with a difficulty knob."""

    name: str
    about: str
    """What is asked, and what its level counts."""
    levels: tuple[int, ...]
    """Its ladder, easiest first."""
    make: Callable[[np.random.Generator, int], Item]
    """One random item of a level."""
    separator: str = "\n"
    """What stands between solved items in a prompt or a running text."""
    loop: bool = False
    """Running text repeats one item for ever instead of asking for new ones."""


def generator(task: Task, level: int, seed: int) -> np.random.Generator:
    """Source of randomness of one rung."""
    return np.random.default_rng([seed, level, *task.name.encode()])


def items(task: Task, count: int, level: int, seed: int) -> tuple[Item, ...]:
    """Different items of one level.

    Parameters
    ----------
    task, count, level, seed
        What, how many, how hard, and the seed; fewer items with the same seed are the first of more.

    Raises
    ------
    SettingsError
        If the task has no such level, or fewer different questions of it.

    Examples
    --------
    >>> from brodmann.tasks import TASKS, items
    >>> [item.solved for item in items(TASKS["addition"], 2, 2, seed=0)]
    ['48 + 98 = 146', '63 + 21 = 84']
    """
    if level not in task.levels:
        known = ", ".join(map(str, task.levels))
        raise SettingsError(f"task '{task.name}' has no level {level}; its levels are {known}")
    rng = generator(task, level, seed)
    found: dict[str, Item] = {}
    in_vain = 0
    while len(found) < count and in_vain < _IN_VAIN:
        item = task.make(rng, level)
        in_vain = in_vain + 1 if item.prompt in found else 0
        found.setdefault(item.prompt, item)
    if len(found) < count:
        raise SettingsError(
            f"task '{task.name}' has only {len(found)} different items at level {level}, and {count} are wanted, "
            "examples among them; ask for fewer"
        )
    return tuple(found.values())


def ladder(task: Task, per_level: int, seed: int, levels: Sequence[int] | None = None) -> tuple[Item, ...]:
    """Items of every rung, easiest first.

    Parameters
    ----------
    per_level
        Different items on each rung.
    levels
        Rungs; all of the task's by default.
    """
    chosen = task.levels if levels is None else levels
    return tuple(item for level in chosen for item in items(task, per_level, level, seed))


def few_shot(shots: Sequence[Item], item: Item, separator: str = "\n") -> str:
    r"""Put solved items before a question, so that a model without instructions sees the pattern.

    Examples
    --------
    >>> one, two = Item("t", "1 + 1 =", "2", 1, "number"), Item("t", "2 + 3 =", "5", 1, "number")
    >>> few_shot([one], two)
    '1 + 1 = 2\n2 + 3 ='
    """
    return separator.join([*(shot.solved for shot in shots), item.prompt])


def running(task: Task, level: int, rng: np.random.Generator) -> Iterator[Item]:
    """Endless items of one level, for running text; a looping task repeats its first."""
    item = task.make(rng, level)
    while True:
        yield item
        if not task.loop:
            item = task.make(rng, level)


def guessing(asked: Sequence[Item], *, choose: bool) -> float:
    """Share of right answers that needs no understanding.

    Parameters
    ----------
    asked
        The items.
    choose
        Whether one of the choices has to be picked: mean of 1 / choices. Otherwise the share of the most frequent
        answer, which is what a model that always says the same thing can reach.
    """
    if choose:
        return float(np.mean([1 / len(item.choices) for item in asked]))
    return Counter(item.answer for item in asked).most_common(1)[0][1] / len(asked)

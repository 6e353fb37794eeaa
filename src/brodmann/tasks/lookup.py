"""Multi-hop lookup: chains of assignments and of facts.

The number of statements is the same on every rung, so that prompts of all levels have the same length and the same
tokens and differ only in the number of steps that the answer needs.
"""

import itertools
import string

import numpy as np

from brodmann.tasks.arithmetic import CHOICES, with_choices
from brodmann.tasks.item import Item
from brodmann.tasks.ladders import Task
from brodmann.tasks.wording import NAMES

STATEMENTS = 6


def _assignments(rng: np.random.Generator, level: int) -> Item:
    """One chain of `level` copies and one of the rest, interleaved, each variable set before it is copied."""
    letters = [string.ascii_lowercase[i] for i in rng.choice(26, size=STATEMENTS, replace=False)]
    value, other = (str(each) for each in rng.choice(10, size=2, replace=False))
    sizes = (level + 1, STATEMENTS - level - 1)
    chains: list[list[str]] = []
    names: list[list[str]] = []
    for start, size in ((value, sizes[0]), (other, sizes[1])):
        mine = [letters.pop() for _ in range(size)]
        chains.append([f"{name} = {before}" for name, before in zip(mine, [start, *mine[:-1]], strict=True)])
        names.append(mine)
    turn = rng.permutation([0] * sizes[0] + [1] * sizes[1])
    statements = [chains[int(which)].pop(0) for which in turn]
    item = Item("assignments", f"{'; '.join(statements)}; {names[0][-1]} =", value, level, "number")
    rest = [str(each) for each in range(10) if str(each) not in (value, other)]
    wrong = [other, *(rest[i] for i in rng.permutation(len(rest))[: CHOICES - 2])]
    return with_choices(item, wrong, rng)


def _facts(rng: np.random.Generator, level: int) -> Item:
    """A chain of names, told in random order; the answer is so many steps along it."""
    names = [NAMES[i] for i in rng.choice(len(NAMES), size=STATEMENTS + 1, replace=False)]
    told = [f"{one} calls {two}." for one, two in itertools.pairwise(names)]
    start = int(rng.integers(0, STATEMENTS + 1 - level))
    text = " ".join(told[i] for i in rng.permutation(STATEMENTS))
    steps = "1 step" if level == 1 else f"{level} steps"
    item = Item("facts", f"{text} From {names[start]}, {steps} ->", names[start + level], level, "word")
    wrong = [name for place, name in enumerate(names) if place not in (start, start + level)]
    return with_choices(item, [wrong[i] for i in rng.permutation(len(wrong))[: CHOICES - 1]], rng)


ASSIGNMENTS = Task("assignments", "The value of a variable that was copied so many times", (1, 2, 3, 4), _assignments)
FACTS = Task("facts", "Who is reached after so many calls", (1, 2, 3, 4), _facts)

"""Lists and brackets with a difficulty knob: sorting, reversal, completion."""

import itertools
import math

import numpy as np

from brodmann.tasks.arithmetic import CHOICES, with_choices
from brodmann.tasks.item import Item
from brodmann.tasks.ladders import Task
from brodmann.tasks.wording import NOUNS

_PAIRS = {"(": ")", "[": "]", "{": "}"}
BRACKETED = 6


def _other_orders(right: list[str], rng: np.random.Generator) -> list[str]:
    """Other orders of the same entries, as texts."""
    wanted = min(CHOICES, math.factorial(len(right))) - 1
    if len(right) <= 3:
        orders = [" ".join(order) for order in itertools.permutations(right)]
        return [orders[i] for i in rng.permutation(len(orders)) if orders[i] != " ".join(right)][:wanted]
    found: dict[str, None] = {}
    while len(found) < wanted:
        order = " ".join(right[i] for i in rng.permutation(len(right)))
        if order != " ".join(right):
            found[order] = None
    return list(found)


def _sorting(rng: np.random.Generator, level: int) -> Item:
    given = [str(each) for each in 10 + rng.choice(90, size=level, replace=False)]
    right = sorted(given)
    item = Item("sorting", f"sort {' '.join(given)} ->", " ".join(right), level, "numbers")
    return with_choices(item, _other_orders(right, rng), rng)


def _reversal(rng: np.random.Generator, level: int) -> Item:
    given = [NOUNS[i] for i in rng.choice(len(NOUNS), size=level, replace=False)]
    right = given[::-1]
    item = Item("reversal", f"reverse {' '.join(given)} ->", " ".join(right), level, "words")
    return with_choices(item, _other_orders(right, rng), rng)


def _brackets(rng: np.random.Generator, level: int) -> Item:
    """So many open brackets among pairs that are closed; a solved item has twelve brackets on every rung."""
    opened = [list(_PAIRS)[i] for i in rng.integers(0, 3, size=level)]
    shown = [*opened]
    for _ in range(BRACKETED - level):
        inner = list(_PAIRS)[int(rng.integers(0, 3))]
        place = int(rng.integers(0, len(shown) + 1))
        shown[place:place] = [inner, _PAIRS[inner]]
    closers = [_PAIRS[each] for each in reversed(opened)]
    right = " ".join(closers)
    whole = " ".join([*shown, *closers])
    item = Item("brackets", f"close {' '.join(shown)} ->", right, level, "brackets", accepted=(whole,))
    wrong: dict[str, None] = {}
    while len(wrong) < min(CHOICES, 3**level) - 1:
        other = " ".join(list(_PAIRS.values())[i] for i in rng.integers(0, 3, size=level))
        if other != right:
            wrong[other] = None
    return with_choices(item, list(wrong), rng)


SORTING = Task("sorting", "So many two-digit numbers in rising order", (2, 3, 4, 6), _sorting)
REVERSAL = Task("reversal", "So many words in reverse order", (2, 3, 4, 6), _reversal)
BRACKETS = Task("brackets", "The brackets that close so many open ones", (1, 2, 4, 6), _brackets)

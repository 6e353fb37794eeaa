"""Arithmetic with a difficulty knob: n-digit addition and subtraction, remainders, counting."""

from dataclasses import replace

import numpy as np

from brodmann.tasks.item import Item
from brodmann.tasks.ladders import Task

CHOICES = 4


def near_numbers(right: int, rng: np.random.Generator, *, low: int | None = None, high: int | None = None) -> list[str]:
    """Wrong answers that look like the right one: off by little, by a power of ten, or with two digits exchanged."""
    digits = str(abs(right))
    steps = [10**place for place in range(len(digits))]
    near = {right + sign * step * factor for step in steps for sign in (-1, 1) for factor in (1, 2)}
    for place in range(len(digits) - 1):
        swapped = [*digits]
        swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
        near.add(int("".join(swapped)) * (-1 if right < 0 else 1))
    near |= {right + step for step in (-3, 3)}
    fit = sorted(
        each for each in near if each != right and (low is None or each >= low) and (high is None or each <= high)
    )
    alike = [each for each in fit if len(str(each)) == len(str(right))]
    pool = alike if len(alike) >= CHOICES - 1 else fit
    return [str(pool[index]) for index in rng.permutation(len(pool))[: CHOICES - 1]]


def with_choices(item: Item, wrong: list[str], rng: np.random.Generator) -> Item:
    """The same item with the right answer among wrong ones, in random order."""
    options = [item.answer, *wrong]
    order = rng.permutation(len(options))
    return replace(item, choices=tuple(options[i] for i in order))


def _digits(rng: np.random.Generator, count: int) -> int:
    return int(rng.integers(10 ** (count - 1), 10**count))


def _addition(rng: np.random.Generator, level: int) -> Item:
    one, other = _digits(rng, level), _digits(rng, level)
    item = Item("addition", f"{one} + {other} =", str(one + other), level, "number")
    return with_choices(item, near_numbers(one + other, rng, low=0), rng)


def _subtraction(rng: np.random.Generator, level: int) -> Item:
    smaller, larger = sorted((_digits(rng, level), _digits(rng, level)))
    item = Item("subtraction", f"{larger} - {smaller} =", str(larger - smaller), level, "number")
    return with_choices(item, near_numbers(larger - smaller, rng, low=0), rng)


def _modular(rng: np.random.Generator, level: int) -> Item:
    modulus = int(rng.integers(5, 10))
    number = _digits(rng, level)
    right = number % modulus
    item = Item("modular", f"{number} mod {modulus} =", str(right), level, "number")
    others = [str(each) for each in range(modulus) if each != right]
    return with_choices(item, [others[i] for i in rng.permutation(len(others))[: CHOICES - 1]], rng)


def _count(rng: np.random.Generator, level: int) -> Item:
    start = int(rng.integers(1, 80))
    shown = [start + level * place for place in range(4)]
    right = start + 4 * level
    item = Item("count", " ".join(map(str, shown)), str(right), level, "number")
    return with_choices(item, near_numbers(right, rng, low=0), rng)


ADDITION = Task("addition", "Sum of two numbers of so many digits", (1, 2, 3, 4), _addition)
SUBTRACTION = Task("subtraction", "Difference of two numbers of so many digits", (1, 2, 3, 4), _subtraction)
MODULAR = Task("modular", "Remainder of a number of so many digits", (1, 2, 3), _modular)
COUNT = Task("count", "The next number when counting on in steps of so many", (1, 2, 5), _count)

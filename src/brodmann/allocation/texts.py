"""Texts of every condition, equally long in the model's own tokens.

A condition is a level of a family of tasks (solved items one after the other), a level of the repetition ladder, or
ordinary sentences in random order. All texts are cut to one number of tokens, so positions are the same in all
conditions. For written answers the prompts end in a question and are equally long too, cut at their start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from brodmann.errors import SettingsError
from brodmann.models import Subject
from brodmann.ranges import check_ranges
from brodmann.settings import AllocationSettings
from brodmann.tasks import SIMPLE, TASKS, Item, Task, named, running

Kind = Literal["neutral", "hard", "simple"]

_CHARACTERS = 6  # of a token; only where a text is begun, it grows until it is long enough


@dataclass(frozen=True)
class Condition:
    """A level of a family."""

    name: str
    """Such as ``addition 3``."""
    task: Task
    level: int
    kind: Kind
    place: float
    """0 the easiest level of the family that is used, 1 the hardest."""


@dataclass(frozen=True, eq=False)
class Texts:
    """Token ids of equally long texts, by condition."""

    ids: Int[np.ndarray, "text token"]
    label: Int[np.ndarray, " text"]
    """Place of each text's condition."""
    items: tuple[Item | None, ...]
    """What each text asks at its end; None for texts that ask nothing."""


def conditions(settings: AllocationSettings) -> tuple[Condition, ...]:
    """The neutral reference, then every level of the hard and of the simple families.

    Raises
    ------
    SettingsError
        If a family is unknown, or is not of its kind.
    """
    found = [Condition("neutral", TASKS["neutral"], 1, "neutral", 0.0)]
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (("hard", settings.hard_tasks), ("simple", settings.simple_tasks))
    for kind, names in kinds:
        for task in named(names):
            if (task.name in SIMPLE) != (kind == "simple") or task.name == "neutral":
                raise SettingsError(f"{kind}_tasks: '{task.name}' is not {kind}; simple are {', '.join(SIMPLE)}")
            for place, level in rungs(task, settings.rungs):
                found.append(Condition(f"{task.name} {level}", task, level, kind, place))
    return tuple(found)


def rungs(task: Task, count: int) -> list[tuple[float, int]]:
    """Evenly spread levels of a task, the easiest and the hardest among them, each with its place in [0, 1].

    Examples
    --------
    >>> rungs(TASKS["addition"], 2), [level for _, level in rungs(TASKS["addition"], 3)]
    ([(0.0, 1), (1.0, 4)], [1, 3, 4])
    """
    count = min(count, len(task.levels))
    if count < 1:
        raise SettingsError(f"rungs = {count}; it must be at least 1")
    if count == 1:
        return [(1.0, task.levels[-1])]
    chosen = [int(place * (len(task.levels) - 1) / (count - 1) + 0.5) for place in range(count)]
    return [(place / (count - 1), task.levels[index]) for place, index in enumerate(chosen)]


def check_room(subject: Subject, settings: AllocationSettings) -> None:
    """Refuse numbers that cannot work, and texts that do not fit the model's context.

    Raises
    ------
    SettingsError
        With what to change.
    """
    check_ranges(settings)
    longest = settings.text_context + max(settings.text_steps, settings.answer_tokens)
    if subject.context_length is not None and longest > subject.context_length:
        raise SettingsError(
            f"text_context + text_steps = {longest} tokens do not fit the context of {subject.name}"
            f" ({subject.context_length} tokens); ask for fewer"
        )


def fixed_texts(subject: Subject, chosen: Sequence[Condition], counts: Sequence[int], length: int, seed: int) -> Texts:
    """Running text of each condition, all of exactly `length` tokens, a start token among them where there is one.

    Parameters
    ----------
    chosen, counts
        Conditions, and how many texts of each.
    """
    rows, labels = [], []
    for label, (condition, count) in enumerate(zip(chosen, counts, strict=True)):
        for number in range(count):
            rng = np.random.default_rng([seed, number, *condition.name.encode()])
            rows.append(_running_ids(subject, condition, rng, length)[0])
            labels.append(label)
    return Texts(np.array(rows, np.int64), np.array(labels, np.int64), (None,) * len(rows))


def asking_texts(subject: Subject, chosen: Sequence[Condition], counts: Sequence[int], length: int, seed: int) -> Texts:
    """Prompts of each condition, all of exactly `length` tokens, that end where an answer begins.

    They are solved items and a question, without as many tokens of their start as are too many.
    """
    rows, labels, items = [], [], []
    for label, (condition, count) in enumerate(zip(chosen, counts, strict=True)):
        for number in range(count):
            rng = np.random.default_rng([seed, 1, number, *condition.name.encode()])
            row, item = _running_ids(subject, condition, rng, length, asking=True)
            rows.append(row)
            labels.append(label)
            items.append(item)
    return Texts(np.array(rows, np.int64), np.array(labels, np.int64), tuple(items))


def _running_ids(
    subject: Subject, condition: Condition, rng: np.random.Generator, length: int, *, asking: bool = False
) -> tuple[list[int], Item]:
    tokenizer: Any = subject.tokenizer
    before = _start_tokens(tokenizer)
    wanted = length - len(before)
    stream = running(condition.task, condition.level, rng)
    shown: list[str] = []
    characters = _CHARACTERS * wanted
    while True:
        while sum(map(len, shown)) < characters:
            shown.append(next(stream).solved)
        # the next item follows from the state of the generator, so a longer text begins like a shorter one
        last = next(stream)
        text = condition.task.separator.join([*shown, last.prompt] if asking else shown)
        # verbose=False: the tokenizer's own remark about long inputs; what is kept of it fits
        ids = [int(i) for i in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]
        if len(ids) >= wanted:
            kept = ids[len(ids) - wanted :] if asking else ids[:wanted]
            return [*before, *kept], last
        shown.append(last.solved)
        characters *= 2


def _start_tokens(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before every text."""
    framed = [int(i) for i in tokenizer("a", add_special_tokens=True)["input_ids"]]
    bare = [int(i) for i in tokenizer("a", add_special_tokens=False)["input_ids"]]
    for start in range(len(framed) - len(bare) + 1):
        if framed[start : start + len(bare)] == bare:
            return framed[:start]
    return []


def token_distance(texts: Texts, one: Sequence[int], other: Sequence[int]) -> float:
    """Total variation distance between the token frequencies of two sets of conditions: 0 the same, 1 no token shared.

    Each text's tokens count equally.
    """
    sets = [texts.ids[np.isin(texts.label, labels)].ravel() for labels in (one, other)]
    if not all(each.size for each in sets):
        return float("nan")
    known, code = np.unique(np.concatenate(sets), return_inverse=True)
    first, second = code[: sets[0].size], code[sets[0].size :]
    shares = [np.bincount(each, minlength=known.size) / each.size for each in (first, second)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)

"""Which questions a model answers right, as it is or while it is lesioned: the driving and the marking.

Multiple choice by log-likelihood, or a written answer that is checked. A model is asked without chat template, after
solved examples, as base models are. Sets of units to lesion are drawn here too; nothing is concluded.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from brodmann.errors import PromptError
from brodmann.lesions.ablate import lesion
from brodmann.models import Subject
from brodmann.recordings import SeriesReducer, drive
from brodmann.recordings.choices import choice_log_likelihood
from brodmann.recordings.drive import Tokens
from brodmann.settings import Signal
from brodmann.stats import random_orders
from brodmann.tasks import Item, Quiz

WRITTEN = 24
"""Tokens of a written answer; few-shot patterns end it sooner."""
TOGETHER = 64


@dataclass(frozen=True, eq=False)
class Condition:
    """What is done to the model while it is asked."""

    name: str
    """``intact``, ``core``, ``redundant``, ``random`` or ``same layers``."""
    draw: int
    units: tuple[str, ...]
    alpha: float | None = None
    """Strength of noise on the units' weights; None removes them."""

    def context(self, subject: Subject) -> AbstractContextManager[None]:
        """The model under this condition."""
        if not self.units:
            return nullcontext()
        if self.alpha is None:
            return lesion(subject, self.units)
        return lesion(subject, self.units, "noise", alpha=self.alpha, seed=self.draw)


def marks(subject: Subject, quiz: Quiz) -> Bool[np.ndarray, " item"]:
    """Ask a model, as it is at the moment, and mark its answers.

    Raises
    ------
    PromptError
        If a choice has no tokens of its own.
    RecordingError
        If a question does not fit the model, or memory runs out.
    """
    return _chosen(subject, quiz) if quiz.choose else _written(subject, quiz)


def _chosen(subject: Subject, quiz: Quiz) -> np.ndarray:
    prompts, choices = zip(*(choice_tokens(subject.tokenizer, item) for item in quiz.items), strict=True)
    nats = choice_log_likelihood(subject, prompts, choices)
    right = []
    for item, values in zip(quiz.items, nats, strict=True):
        lengths = np.array([len(choice) for choice in item.choices]) if quiz.per_character else 1.0
        right.append(int(np.argmax(values / lengths)) == item.gold)
    return np.array(right, bool)


def _written(subject: Subject, quiz: Quiz) -> np.ndarray:
    prompts = [prompt_tokens(subject.tokenizer, item.prompt) for item in quiz.items]
    order = sorted(range(len(prompts)), key=lambda n: len(prompts[n]))
    right = np.zeros(len(prompts), bool)
    signal: Signal = "residual"  # something has to be listened to; one number a layer is the least
    for first in range(0, len(order), TOGETHER):
        rows = order[first : first + TOGETHER]
        driven = drive.generate(
            subject, [prompts[n] for n in rows], signal=signal, new_tokens=WRITTEN, reducers=[SeriesReducer()],
            stop_at_eos=True,
        )  # fmt: skip
        for n, said in zip(rows, driven.token_id, strict=True):
            text = str(subject.tokenizer.decode(said[said >= 0].tolist(), skip_special_tokens=True))
            right[n] = quiz.right(text, quiz.items[n])
    return right


def prompt_tokens(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Token ids of a prompt with the tokenizer's start tokens, and without an end token that would close it."""
    ids = [int(i) for i in tokenizer(text, add_special_tokens=True, verbose=False)["input_ids"]]
    end = tokenizer.eos_token_id
    while len(ids) > 1 and end is not None and ids[-1] == end and end != tokenizer.bos_token_id:
        ids.pop()
    return tuple(ids)


def choice_tokens(tokenizer: Any, item: Item) -> tuple[tuple[int, ...], Tokens]:
    """Token ids of an item's prompt and of each choice behind it.

    A tokenizer may join the end of the prompt with the start of an answer; what all choices have in common with the
    prompt alone counts as the prompt.

    Raises
    ------
    PromptError
        If a choice has no tokens of its own.
    """
    alone = prompt_tokens(tokenizer, item.prompt)
    whole = [prompt_tokens(tokenizer, item.prompt + item.joint + choice) for choice in item.choices]
    common = min(_shared(alone, each) for each in whole)
    choices = [each[common:] for each in whole]
    if common < 1 or not all(choices):
        raise PromptError(f"task {item.task}: a choice of '{item.prompt[-40:]}' has no tokens of its own")
    return alone[:common], choices


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common start of two rows."""
    both = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(both) if a != b), min(len(one), len(other)))


def unit_sets(
    units: Sequence[str],
    order: Int[np.ndarray, " step"],
    layer: Int[np.ndarray, " unit"],
    *,
    share: float,
    matched: int,
    random: int,
    rng: np.random.Generator,
) -> dict[str, list[tuple[str, ...]]]:
    """Sets of equally many units: the core, the other end of its ranking, and random ones.

    Parameters
    ----------
    units
        Names of the ranked units.
    order
        Their indices, the core's first.
    layer
        Their layers; sets of the same layers take as many units of each as the core does.
    share
        Share of the units in a set; at least one.
    matched, random
        Random sets of the same layers, and without regard to layers.
    """
    size = max(1, round(share * len(units)))
    core = order[:size]
    within = random_orders(len(units), matched, rng, groups=layer)[:, core]
    anywhere = random_orders(len(units), random, rng)[:, :size]

    def named(places: np.ndarray) -> tuple[str, ...]:
        return tuple(units[place] for place in sorted(places.tolist()))

    return {
        "core": [named(core)],
        "redundant": [named(order[len(order) - size :])],
        "same layers": [named(places) for places in within],
        "random": [named(places) for places in anywhere],
    }

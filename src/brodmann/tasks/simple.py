"""Simple repetition and the neutral reference: what the hard tasks are held against.

Repetition uses the words of the neutral sentences or of the other tasks, so that it differs from them in order and not
in vocabulary. The neutral reference is ordinary text, a shuffled pool of our own sentences.
"""

import numpy as np

from brodmann.tasks.arithmetic import CHOICES, with_choices
from brodmann.tasks.item import Item
from brodmann.tasks.ladders import Task
from brodmann.tasks.wording import CLAUSES, MAINS, sentence


def _sentence(rng: np.random.Generator) -> str:
    return sentence(int(rng.integers(len(MAINS))), int(rng.integers(len(CLAUSES))))


def _pool_words(rng: np.random.Generator) -> list[str]:
    return _sentence(rng).rstrip(".").lower().split()


def _repeat(rng: np.random.Generator, level: int) -> Item:
    """The same `level` different words over and over; shown twice, without the last word."""
    words: dict[str, None] = {}
    while len(words) < level:
        drawn = _pool_words(rng)
        words[drawn[int(rng.integers(len(drawn)))]] = None
    loop = list(words)
    item = Item("repeat", " ".join([*loop, *loop, *loop[:-1]]), loop[-1], level, "word")
    return with_choices(item, _other_words(rng, {*loop}), rng)


def _copy(rng: np.random.Generator, level: int) -> Item:
    """So many words of a sentence, then the same again."""
    words = _pool_words(rng)[:level]
    item = Item("copy", f"{' '.join(words)} | {' '.join(words[:-1])}", words[-1], level, "word")
    return with_choices(item, _other_words(rng, {*words}), rng)


def _other_words(rng: np.random.Generator, known: set[str]) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < CHOICES - 1:
        words = _pool_words(rng)
        word = words[int(rng.integers(len(words)))]
        if word not in known:
            found[word] = None
    return list(found)


def _neutral(rng: np.random.Generator, level: int) -> Item:
    prompt, _, last = _sentence(rng).rpartition(" ")
    return Item("neutral", prompt, last, level, "word")


REPEAT = Task("repeat", "So many different words, repeated for ever", (1, 2, 4), _repeat, separator=" ", loop=True)
COPY = Task("copy", "So many words of a sentence, said twice", (4, 6, 8), _copy)
NEUTRAL = Task("neutral", "Ordinary sentences in random order", (1,), _neutral, separator=" ")

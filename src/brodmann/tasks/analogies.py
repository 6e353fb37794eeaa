"""Word analogies: our own small list of related pairs, or a user's file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from brodmann.errors import PromptError
from brodmann.tasks.arithmetic import CHOICES, with_choices
from brodmann.tasks.item import Item
from brodmann.tasks.ladders import Task

Pairs = Mapping[str, Sequence[tuple[str, str]]]

_PAIRS: dict[int, dict[str, tuple[str, ...]]] = {
    1: {
        "plural": (
            "cat cats", "house houses", "tree trees", "child children", "man men", "foot feet", "mouse mice",
            "knife knives", "boat boats", "goose geese", "tooth teeth", "leaf leaves",
        ),
        "past": (
            "go went", "see saw", "walk walked", "eat ate", "write wrote", "run ran", "give gave", "play played",
            "sing sang", "buy bought", "think thought", "come came",
        ),
    },
    2: {
        "opposite": (
            "hot cold", "big small", "up down", "day night", "open closed", "early late", "full empty", "rich poor",
            "fast slow", "old young", "left right", "happy sad",
        ),
        "comparative": (
            "good better", "bad worse", "big bigger", "small smaller", "easy easier", "long longer", "cold colder",
            "happy happier", "strong stronger", "weak weaker",
        ),
        "female": (
            "king queen", "man woman", "boy girl", "father mother", "brother sister", "son daughter", "uncle aunt",
            "husband wife", "prince princess", "actor actress",
        ),
    },
    3: {
        "capital": (
            "France Paris", "Italy Rome", "Spain Madrid", "Germany Berlin", "Japan Tokyo", "Russia Moscow",
            "Greece Athens", "Egypt Cairo", "Portugal Lisbon", "Norway Oslo", "Austria Vienna", "Cuba Havana",
        ),
        "young": (
            "dog puppy", "cat kitten", "cow calf", "horse foal", "sheep lamb", "hen chick", "bear cub", "goat kid",
            "duck duckling", "frog tadpole",
        ),
        "maker": (
            "bread baker", "shoe cobbler", "poem poet", "song singer", "suit tailor", "meal cook", "painting painter",
            "crop farmer", "roof roofer", "novel novelist",
        ),
    },
}  # fmt: skip


def task(by_level: Mapping[int, Pairs], name: str = "analogies") -> Task:
    """Make a task of related pairs.

    Parameters
    ----------
    by_level
        Level -> relation -> pairs (word, related word); a relation needs two pairs at least.
    """

    def make(rng: np.random.Generator, level: int) -> Item:
        relations = by_level[level]
        relation = list(relations)[int(rng.integers(len(relations)))]
        pairs = list(relations[relation])
        (one, two), (three, four) = (pairs[i] for i in rng.choice(len(pairs), size=2, replace=False))
        item = Item(name, f"{one} : {two} = {three} :", four, level, "word")
        same = {second for _, second in pairs if second not in (four, two)}
        rest = {word for others in relations.values() for _, word in others} - same - {four, two}
        wrong = [*_shuffled(same, rng)[: CHOICES - 2], three]
        wrong += _shuffled(rest - {three}, rng)[: CHOICES - 1 - len(wrong)]
        return with_choices(item, wrong, rng)

    return Task(name, "The word that completes a pair like another; rarer relations on higher levels",
                tuple(by_level), make)  # fmt: skip


def _shuffled(words: set[str], rng: np.random.Generator) -> list[str]:
    ordered = sorted(words)
    return [ordered[i] for i in rng.permutation(len(ordered))]


def read_analogies(path: str | Path) -> Task:
    """Read a user's analogies.

    Parameters
    ----------
    path
        Text: ``: relation`` begins a relation; each other line has two words (a pair) or four (two pairs). All
        relations are of level 1.

    Raises
    ------
    PromptError
        With file and line, if the file cannot be read or a line has another number of words.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise PromptError(f"analogies {path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"analogies {path} cannot be read: {error}") from None
    found: dict[str, dict[tuple[str, str], None]] = {}
    relation = "relation"
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if words[0].startswith(":"):
            relation = line.strip(" :") or f"relation {number}"
        elif len(words) in (2, 4):
            for first in range(0, len(words), 2):
                found.setdefault(relation, {})[(words[first], words[first + 1])] = None
        else:
            raise PromptError(f"analogies {path}, line {number}: {len(words)} words; expected two or four")
    pairs = {name: list(each) for name, each in found.items() if len(each) > 1}
    if not pairs:
        raise PromptError(f"analogies {path}: no relation has two pairs")
    return task({1: pairs}, Path(path).stem)


def _own() -> dict[int, Pairs]:
    split = {
        level: {name: [(each.split()[0], each.split()[1]) for each in pairs] for name, pairs in relations.items()}
        for level, relations in _PAIRS.items()
    }
    return dict(split)


ANALOGIES = task(_own())

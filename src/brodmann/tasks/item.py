"""One verifiable question, and the rule that recognises its answer in what a model wrote.

A model may answer bare ("68"), in a sentence ("The answer is 68."), or restate the question ("23 + 45 = 68"), and a
base model goes on with the next question: only the first line that is not empty counts. Whether a task is worth asking,
and how many answers mere guessing would get right, is not decided here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Kind = Literal["number", "numbers", "words", "brackets", "word", "text"]

_MARK = re.compile(r"=|:|→|->|=>|\bis\b|\bequals\b|\banswer\b", re.IGNORECASE)
_WORD_MARK = re.compile(r"=|:|→|->|=>|\banswer is\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.,])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w)")
_ENTRY = re.compile(r"(?<![\w.])[-−]?\d+(?:\.\d+)?(?!\w)")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_BRACKET = re.compile(r"[()\[\]{}]")
_BETWEEN = frozenset({"and", "then"})
_ARTICLES = frozenset({"a", "an", "the", "to"})


@dataclass(frozen=True)
class Item:
    """One question with its answer."""

    task: str
    prompt: str
    """Ends where the answer begins, without a space."""
    answer: str
    level: int
    """Difficulty: what it counts (digits, hops, items) is the task's own."""
    kind: Kind
    """How an answer is recognised."""
    choices: tuple[str, ...] = ()
    """Answers to choose from, the right one once among them, in no telling order; empty where there are none."""
    accepted: tuple[str, ...] = ()
    """Further right answers."""
    joint: str = " "
    """What stands between the prompt and an answer."""

    @property
    def solved(self) -> str:
        """The question with its answer, as one text."""
        return self.prompt + self.joint + self.answer

    @property
    def gold(self) -> int:
        """Place of the right answer among the choices."""
        return self.choices.index(self.answer)


def check(text: str, item: Item) -> bool:
    """Whether what a model wrote after an item's prompt answers it.

    Parameters
    ----------
    text
        What was generated; from its second line on it is ignored (kind ``text``: all of it counts).
    item
        The question. By kind: a ``number`` is the first one after "=", ":" or "is", or the first of the line, whatever
        its format (1,234 or 68.0); ``numbers`` must be exactly the list; ``words`` too, whatever stands between them;
        ``brackets`` may have spaces; a ``word`` may have capitals, an article, a full stop, and may go on; ``text``
        must be equal but for white space around it.

    Examples
    --------
    >>> item = Item("addition", "23 + 45 =", "68", 2, "number")
    >>> [check(text, item) for text in (" 68", "23 + 45 = 68.", "The answer is 68", "86", "68.5", "168")]
    [True, True, True, False, False, False]
    """
    if item.kind == "text":
        return text.strip() in {item.answer.strip(), *(each.strip() for each in item.accepted)}
    line = next((each.strip() for each in text.splitlines() if each.strip()), "")
    return any(_RULES[item.kind](line, right) for right in (item.answer, *item.accepted))


def _after(line: str, mark: re.Pattern[str], content: re.Pattern[str]) -> str:
    """What follows the last mark that has any content behind it; the whole line where there is none."""
    for found in reversed(list(mark.finditer(line))):
        if content.search(line, found.end()):
            return line[found.end() :]
    return line


def _number(line: str, right: str) -> bool:
    found = _NUMBER.search(_after(line, _MARK, _NUMBER))
    return found is not None and Decimal(found[0].replace(",", "").replace("−", "-")) == Decimal(right)


def _numbers(line: str, right: str) -> bool:
    said = _ENTRY.findall(_after(line, _MARK, _ENTRY))
    return [Decimal(each.replace("−", "-")) for each in said] == [Decimal(each) for each in _ENTRY.findall(right)]


def _words(line: str, right: str) -> bool:
    said = [word for word in _lower(_after(line, _MARK, _WORD)) if word not in _BETWEEN]
    return said == _lower(right)


def _brackets(line: str, right: str) -> bool:
    return _BRACKET.findall(_after(line, _MARK, _BRACKET)) == _BRACKET.findall(right)


def _word(line: str, right: str) -> bool:
    said, wanted = _lower(_after(line, _WORD_MARK, _WORD)), _lower(right)
    while said and said[0] in _ARTICLES and said[0] != wanted[0]:
        said = said[1:]
    return said[: len(wanted)] == wanted


def _lower(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


_RULES: dict[str, Callable[[str, str], bool]] = {
    "number": _number,
    "numbers": _numbers,
    "words": _words,
    "brackets": _brackets,
    "word": _word,
}

"""A set of questions as a model is asked them: prompts with solved examples, and how an answer is marked."""

import re
import string
from dataclasses import dataclass, replace

from brodmann.tasks.item import Item, check
from brodmann.tasks.ladders import Task, few_shot, guessing, items


@dataclass(frozen=True)
class Quiz:
    """Questions of one task, ready to be asked."""

    name: str
    items: tuple[Item, ...]
    """Their prompts hold everything the model is given, solved examples included."""
    choose: bool
    """The model picks the likeliest of the choices; otherwise it writes an answer."""
    per_character: bool = False
    """Choices are compared by log-likelihood per character instead of in total."""
    stop: tuple[str, ...] = ("\n",)
    """A written answer ends before the first of these; white space in front of it is not looked at."""
    pattern: str = ""
    """Regular expression whose first group (or whole match) is the answer in a written text; empty: all of it."""
    ignore: str = ""
    """Of exact matching (kind ``text``): ``case``, ``punctuation``, or both."""

    @property
    def chance(self) -> float:
        """Share of right answers that guessing reaches."""
        return guessing(self.items, choose=self.choose)

    def right(self, text: str, item: Item) -> bool:
        """Whether a written text answers an item."""
        text = text.lstrip()
        for end in self.stop:
            text = text.split(end, 1)[0] if end else text
        if self.pattern:
            found = re.search(self.pattern, text)
            text = "" if found is None else found[1] if found.re.groups else found[0]
        if item.kind == "text" and self.ignore:
            item = replace(
                item, answer=self._plain(item.answer), accepted=tuple(self._plain(each) for each in item.accepted)
            )
            text = self._plain(text)
        return check(text, item)

    def _plain(self, text: str) -> str:
        text = text.casefold() if "case" in self.ignore else text
        return text.translate(str.maketrans("", "", string.punctuation)) if "punctuation" in self.ignore else text


def quiz(task: Task, count: int, level: int, seed: int, *, shots: int = 4, choose: bool = False) -> Quiz:
    """Questions of one level, each after the same solved examples.

    Parameters
    ----------
    count, level, seed
        As in `items`.
    shots
        Solved examples, none of which is asked; none for a task whose prompt already shows the pattern.
    choose
        Multiple choice by log-likelihood instead of a written answer.

    Raises
    ------
    SettingsError
        If the task has fewer different questions of this level.
    """
    shots = 0 if task.loop else shots
    drawn = items(task, count + shots, level, seed)
    asked = tuple(replace(item, prompt=few_shot(drawn[count:], item, task.separator)) for item in drawn[:count])
    stop = ("\n",) if "\n" in task.separator else ()
    return Quiz(f"{task.name} {level}", asked, choose, stop=stop)

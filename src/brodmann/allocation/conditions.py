"""Which conditions are compared, as rows of coefficients over conditions.

``hard`` is the geometric mean over families of tasks of their hardest level, ``simple`` that over all levels of the
repetition ladder, both against the neutral reference; ``harder`` is the hardest against the easiest level of the same
families, so that both sides have the same words and signs. Every level is compared with the reference too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from brodmann.allocation.texts import Condition

POOLED = ("hard", "simple", "harder")
FEWEST = 3
"""Fewer texts of a condition say nothing about it."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Contrasts that are fitted together: the reference and the conditions of one kind."""

    labels: Int[np.ndarray, " label"]
    """Places of the conditions; the reference is the first."""
    names: tuple[str, ...]
    """Of the contrasts."""
    rows: Float[np.ndarray, "contrast label"]
    families: Int[np.ndarray, " label"]
    """Family of tasks of each condition, counted from 0, the reference's."""

    def row(self, name: str) -> Float[np.ndarray, " label"]:
        """Coefficients of one contrast."""
        return np.asarray(self.rows[self.names.index(name)])


def contrast_names(chosen: Sequence[Condition]) -> tuple[str, ...]:
    """All contrasts: the pooled ones, then every condition against the reference."""
    return (*POOLED, *(each.name for each in chosen[1:]))


def plans(chosen: Sequence[Condition], label: Int[np.ndarray, " text"]) -> tuple[Plan, ...]:
    """Contrasts of the hard and of the simple kind that these texts allow.

    Families with fewer than `FEWEST` texts of a level are left out of the pooled contrasts that need it.
    """
    count = np.bincount(label, minlength=len(chosen))
    return tuple(_plan(chosen, count >= FEWEST, kind) for kind in ("hard", "simple")) if count[0] >= FEWEST else ()


def _plan(chosen: Sequence[Condition], known: Bool[np.ndarray, " label"], kind: str) -> Plan:
    labels = np.array([0, *(i for i, each in enumerate(chosen) if each.kind == kind and known[i])])
    used = [chosen[i] for i in labels]
    names, rows = [], []
    for place, each in enumerate(used[1:], start=1):
        names.append(each.name)
        rows.append(np.eye(len(used))[place])
    top = _mean_of([each.kind == kind and (kind == "simple" or each.place == 1.0) for each in used])
    if top.any():
        names.append(kind)
        rows.append(top)
    if kind == "hard":
        ladder = [_steps(used, name) for name in dict.fromkeys(each.task.name for each in used[1:])]
        whole = [each for each in ladder if each is not None]
        if whole:
            names.append("harder")
            rows.append(np.mean(whole, axis=0))
    tasks = list(dict.fromkeys(each.task.name for each in used))
    families = np.array([tasks.index(each.task.name) for each in used])
    return Plan(labels, tuple(names), np.array(rows).reshape(len(names), len(used)), families)


@dataclass(frozen=True, eq=False)
class Parts:
    """A contrast that is a mean over families of tasks, taken apart; arrays have one row a family."""

    family: Int[np.ndarray, " family"]
    own: Float[np.ndarray, "family label"]
    """Contrast of each family alone."""
    without: Float[np.ndarray, "family label"]
    """Contrast of all other families; 0 where there are none."""


def by_family(row: Float[np.ndarray, " label"], families: Int[np.ndarray, " label"]) -> Parts:
    """Take a contrast apart by family; a family's weight is its share of the absolute coefficients.

    Examples
    --------
    >>> import numpy as np
    >>> by_family(np.array([0, 0.5, 0.5]), np.array([0, 1, 2])).without.tolist()
    [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    used = np.unique(families[row != 0])
    inside = (families == used[:, None]).astype(float)
    share = (inside @ np.abs(row) / np.abs(row).sum())[:, None]
    rest = np.divide(row * (1 - inside), 1 - share, out=np.zeros(inside.shape), where=share < 1)
    return Parts(used, row * inside / share, rest)


def _mean_of(chosen: list[bool]) -> np.ndarray:
    mask = np.array(chosen, float)
    return np.asarray(mask / max(mask.sum(), 1.0))


def _steps(used: Sequence[Condition], family: str) -> np.ndarray | None:
    """Hardest minus easiest level of a family; None where it has not both."""
    place = [each.place if each.task.name == family else np.nan for each in used]
    if 0.0 not in place or 1.0 not in place:
        return None
    return np.array([(value == 1.0) - (value == 0.0) for value in place], float)

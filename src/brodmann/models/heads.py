"""Which neurons of a layer's queries, keys and values reach which outputs of its attention. No torch."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brodmann.errors import WeightsError

QUERY, KEY, VALUE = 0, 1, 2
ALL = -1
"""In place of a group: keys that all heads share."""


@dataclass(frozen=True, eq=False)
class Heads:
    """The step from queries, keys and values to the attention's output: edges without weights.

    A query reaches the output of the same index (all outputs of its head where queries and values differ in width, as
    in latent attention); a key or a value reaches all outputs of the heads that listen to its group. Outputs lie head
    by head, `width` each.
    """

    heads: int
    groups: int
    """Groups of keys and values; each has ``heads / groups`` heads."""
    query_width: int
    """Queries of a head."""
    width: int
    """Values of a group, and outputs of a head."""
    role: NDArray[np.int8]
    """(neuron,) `QUERY`, `KEY` or `VALUE`."""
    head: NDArray[np.int64]
    """(neuron,) head of a query, group of a key or value, or `ALL`."""
    index: NDArray[np.int64]
    """(neuron,) which one it is of those of its role and head."""

    def __post_init__(self) -> None:
        for each in (self.role, self.head, self.index):
            each.setflags(write=False)  # the blocks of a model share them

    @property
    def neurons(self) -> int:
        """Queries, keys and values together."""
        return len(self.role)

    @property
    def outputs(self) -> int:
        """Outputs of all heads."""
        return self.heads * self.width

    @property
    def output_groups(self) -> NDArray[np.int64]:
        """(output,) group of keys and values that each output listens to."""
        return np.arange(self.outputs) // self.width // (self.heads // self.groups)

    def ordered(self, role: int) -> NDArray[np.int64]:
        """Neurons of a role, head by head: queries in the order of the outputs, values in that of the keys.

        Examples
        --------
        >>> from brodmann.models.heads import QUERY, VALUE, arranged
        >>> fused = arranged("grouped", heads=2, groups=2, query_width=2, width=2)
        >>> fused.ordered(QUERY), fused.ordered(VALUE)
        (array([0, 1, 6, 7]), array([ 4,  5, 10, 11]))
        """
        found = np.flatnonzero(self.role == role)
        return found[np.lexsort((self.index[found], self.head[found]))]

    def reaches(self, neurons: NDArray[np.int64], outputs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether there is an edge.

        Parameters
        ----------
        neurons : (neuron,)
            Some queries, keys and values.
        outputs : (output,)
            Some outputs of the attention.

        Returns
        -------
        (neuron, output)
        """
        role, head, index = self.role[neurons, None], self.head[neurons, None], self.index[neurons, None]
        same_head = head == outputs // self.width
        same = same_head & (index == outputs % self.width) if self.query_width == self.width else same_head
        listens = (head == ALL) | (head == self.output_groups[outputs])
        return np.asarray(np.where(role == QUERY, same, listens))


@lru_cache(maxsize=64)
def arranged(
    order: Literal["separate", "grouped", "blocks", "latent"],
    *,
    heads: int,
    groups: int,
    query_width: int,
    width: int,
    shared: int = 0,
) -> Heads:
    """Heads by the order of their rows (`brodmann.models.layouts.Layout`).

    Three matrices count one after the other, queries first; `shared` keys of all heads come last.

    Raises
    ------
    WeightsError
        If the heads do not share the groups evenly.
    """
    if groups < 1 or heads % groups:
        raise WeightsError(f"{heads} heads do not share {groups} groups of keys and values evenly")
    key = query_width - shared
    if order == "grouped":
        every = heads // groups
        parts = [
            part
            for group in range(groups)
            for part in (
                *((QUERY, group * every + each, query_width) for each in range(every)),
                (KEY, group, key),
                (VALUE, group, width),
            )
        ]
    else:
        queries = [(QUERY, head, query_width) for head in range(heads)]
        keys, values = ([(role, group, size) for group in range(groups)] for role, size in ((KEY, key), (VALUE, width)))
        both = [part for pair in zip(keys, values, strict=True) for part in pair]
        parts = [*queries, *(both if order == "latent" else [*keys, *values])]
    if shared:
        parts.append((KEY, ALL, shared))
    sizes = [size for _, _, size in parts]
    return Heads(
        heads,
        groups,
        query_width,
        width,
        np.repeat(np.array([role for role, _, _ in parts], np.int8), sizes),
        np.repeat(np.array([head for _, head, _ in parts], np.int64), sizes),
        np.concatenate([np.arange(size) for size in sizes]),
    )


@lru_cache(maxsize=64)
def undivided(queries: int, keys: int, values: int) -> Heads:
    """Queries, keys and values in this order, heads ignored: keys and values reach every output."""
    sizes = (queries, keys, values)
    return Heads(
        1,
        1,
        queries,
        queries,
        np.repeat(np.array([QUERY, KEY, VALUE], np.int8), sizes),
        np.zeros(sum(sizes), np.int64),
        np.concatenate([np.arange(size) for size in sizes]),
    )

"""In which order units are removed: the core first, and the orders that the core must be compared with.

The orders by rank and at random are those of Urbina-Rodriguez et al. 2026 (arXiv 2601.06851, their figure 4a); the
matched ones are controls that their study lacks. numpy and scipy only: a ranking goes in, indices of units come out.

What each control holds fixed, and what it lets vary:

``random``
    The number of units. Where middle layers matter more than others, a core in the middle beats it for that reason.
``layer_matched``
    At every step as many units of each layer as the core has taken by then: the labels of the units are exchanged
    within each layer. Units are drawn from *all* units of a layer, those of the core among them. That makes the core
    one of the draws if, within layers, it does not matter which units go, so that draws give a valid p. Drawing from
    the rest only would not (the core could never be drawn), and would run out where a layer lies mostly in the core.
    The price is overlap with the core (reported as ``shared``), which moves a ratio of areas towards 1 and never away
    from it. A layer that is wholly in the core is removed wholly by both and adds nothing to their difference.
``matched``
    Each unit of the core has a partner outside it with like activity or autocorrelation, and partners go in the order
    of their units, so that the two sets are disjoint and alike at every step. One set, not a draw.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from brodmann.errors import SettingsError
from brodmann.stats import random_orders

Order = Int[np.ndarray, " step"]
Orders = Int[np.ndarray, "draw step"]


def by_rank(rank: Float[np.ndarray, " unit"], *, descending: bool = True) -> Order:
    """Units by a ranking, the highest first; ties by their place.

    Examples
    --------
    >>> import numpy as np
    >>> by_rank(np.array([0.2, 0.9, 0.2])).tolist(), by_rank(np.array([0.2, 0.9, 0.2]), descending=False).tolist()
    ([1, 0, 2], [0, 2, 1])
    """
    return np.argsort(-rank if descending else rank, kind="stable")


def at_random(units: int, draws: int, rng: np.random.Generator) -> Orders:
    """Uniformly random orders (draw, unit)."""
    return random_orders(units, draws, rng)


def layer_matched(order: Order, layer: Int[np.ndarray, " unit"], draws: int, rng: np.random.Generator) -> Orders:
    """Orders that take, at every step, a random unit of the layer from which the given order takes one.

    Parameters
    ----------
    order : array (step,)
        Indices of all units in the order of their removal.
    layer : array (unit,)
        Layer of each unit.
    draws
        Orders to draw.
    rng
        Source of the draws.

    Returns
    -------
    array (draw, step)
        Uniform over all orders with these layers: ``layer[orders[k]] == layer[order]`` for every k.

    Examples
    --------
    >>> import numpy as np
    >>> order, layer = np.array([3, 0, 2, 1]), np.array([0, 0, 1, 1])
    >>> layer[layer_matched(order, layer, 2, np.random.default_rng(0))].tolist()
    [[1, 0, 1, 0], [1, 0, 1, 0]]
    """
    return random_orders(len(layer), draws, rng, groups=layer)[:, order]


def matched(order: Order, value: Float[np.ndarray, " unit"], steps: int) -> Int[np.ndarray, " partner"]:
    """Order of partners outside the first units of an order, as alike to them as possible in some value.

    Parameters
    ----------
    order : array (step,)
        Indices of all units in the order of their removal; the first `steps` get partners among the others.
    value : array (unit,)
        What partners share. The sum of absolute differences over all pairs is the smallest possible (assignment).
    steps
        Units to match; at most half of all.

    Returns
    -------
    array (steps,)
        Partner of each unit, in the order of the units.

    Raises
    ------
    SettingsError
        If more than half of the units need a partner.

    Examples
    --------
    >>> import numpy as np
    >>> matched(np.array([0, 1, 2, 3, 4]), np.array([1.0, 5.0, 4.5, 0.9, 9.0]), 2).tolist()
    [3, 2]
    """
    taken, others = order[:steps], order[steps:]
    if len(others) < len(taken):
        raise SettingsError(
            f"{steps} of {len(order)} units cannot be matched with others: remove at most half (fractions up to 0.5)"
        )
    cost = np.abs(value[taken][:, None] - value[others][None, :])
    row, column = linear_sum_assignment(cost)
    return others[column[np.argsort(row)]]


def counts(units: int, fractions: Sequence[float]) -> Int[np.ndarray, " fraction"]:
    """Units to remove at each fraction: the nearest whole number, at least one.

    Examples
    --------
    >>> counts(270, (0.1, 0.4)).tolist(), counts(16, (0.01,)).tolist()
    ([27, 108], [1])
    """
    return np.array([max(1, round(fraction * units)) for fraction in fractions], dtype=np.int64)


def removed(order: Order, units: int, numbers: Int[np.ndarray, " fraction"]) -> Bool[np.ndarray, "fraction unit"]:
    """Which units are gone when so many of an order have been removed."""
    gone = np.zeros((len(numbers), units), dtype=bool)
    for row, number in enumerate(numbers):
        gone[row, order[:number]] = True
    return gone


def imbalance(
    one: Bool[np.ndarray, " unit"], other: Bool[np.ndarray, " unit"], value: Float[np.ndarray, " unit"]
) -> float:
    """Difference of the means of two sets of units, in standard deviations over all units; 0 where nothing varies.

    Examples
    --------
    >>> import numpy as np
    >>> imbalance(np.array([True, False]), np.array([False, True]), np.array([3.0, 1.0]))
    2.0
    """
    spread = float(value.std())
    return float(value[one].mean() - value[other].mean()) / spread if spread > 0 else 0.0

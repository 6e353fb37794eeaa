"""Ask whether an estimate is larger than exchangeable labels would give.

Permutation tests, exact where all orders can be listed, otherwise by drawing with add-one p values (Phipson and Smyth
2010). Labels may be exchanged within groups only, so that layers keep their nodes. The statistic is a function of many
orders at once, so that a test is a few array operations. Not here: bootstrap (an interval is not a null).
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Alternative = Literal["greater", "less", "two-sided"]

TIE = 1e-12
"""Relative difference under which two statistics are equal: the same sum in another order differs in its last bits."""


@dataclass(frozen=True, eq=False)
class PermutationResult:
    """A statistic, its null (order,), its p; exact: the null lists every order once, the identity among them."""

    statistic: float
    null: np.ndarray
    p: float
    alternative: Alternative
    exact: bool


def p_value(estimate: float, null: np.ndarray, alternative: Alternative = "greater", *, exact: bool = False) -> float:
    """Compute the p value of an estimate under draws of a null.

    Drawn nulls use (1 + number at least as extreme) / (1 + draws), which is never 0; exact ones the plain share, as the
    identity is among them. Two-sided is twice the smaller one-sided p, at most 1. Ties count as extreme, and so does a
    draw that is NaN. NaN estimate: NaN. No draws: NaN.

    Parameters
    ----------
    estimate : float
        The observed statistic.
    null : array (draw,)
        The statistic under the null.

    Examples
    --------
    >>> import numpy as np
    >>> p_value(3.0, np.array([0.0, 1.0, 2.0]))
    0.25
    """
    if null.size == 0 or math.isnan(estimate):
        return math.nan
    scale = TIE * max(abs(estimate), float(np.nanmax(np.abs(null), initial=0.0)) if not np.isinf(null).any() else 0.0)
    failed = int(np.isnan(null).sum())
    added = 0 if exact else 1
    above = (int((null >= estimate - scale).sum()) + failed + added) / (null.size + added)
    below = (int((null <= estimate + scale).sum()) + failed + added) / (null.size + added)
    chosen = {"greater": above, "less": below, "two-sided": 2 * min(above, below)}[alternative]
    return min(1.0, chosen)


def difference_p_value(
    estimate: float, first: np.ndarray, second: np.ndarray, alternative: Alternative = "greater"
) -> float:
    """Compute the p value of a difference first - second whose two terms have independent nulls.

    All pairings of both nulls give the share at least as extreme (a U statistic), but no more than min(draws) of them
    are independent, so the add-one rule counts that many: 50 and 50 draws cannot give less than 1 / 51.

    Parameters
    ----------
    estimate : float
        Observed difference.
    first, second : arrays (draw,), (draw_,)
        Draws of each term under its null.

    Examples
    --------
    >>> import numpy as np
    >>> difference_p_value(5.0, np.arange(4.0), np.arange(4.0))
    0.2
    """
    pairings = np.subtract.outer(first, second).ravel()
    fewest = min(first.size, second.size)
    if pairings.size == 0 or math.isnan(estimate):
        return math.nan
    shares = [p_value(estimate, pairings, side, exact=True) for side in ("greater", "less")]
    above, below = ((1 + fewest * share) / (1 + fewest) for share in shares)
    return min(1.0, {"greater": above, "less": below, "two-sided": 2 * min(above, below)}[alternative])


def count_orders(n: int, groups: np.ndarray | None = None) -> int:
    """Count the orders of n labels that move each label within its group only.

    Examples
    --------
    >>> import numpy as np
    >>> count_orders(5), count_orders(5, np.array([0, 0, 0, 1, 1]))
    (120, 12)
    """
    sizes = [n] if groups is None else np.unique(groups, return_counts=True)[1].tolist()
    return math.prod(math.factorial(size) for size in sizes)


def random_orders(
    n: int, draws: int, rng: np.random.Generator, groups: np.ndarray | None = None
) -> Int[np.ndarray, "draw label"]:
    """Draw uniformly random orders of n labels, each label within its group only.

    Parameters
    ----------
    n, draws : int
        Labels, and orders to draw.
    groups : array (label,), optional
        Group of each label, such as its layer; groups need not be contiguous.

    Returns
    -------
    array (draw, label)
        ``values[orders[k]]`` are the values in the k-th order.
    """
    if groups is None:
        return rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)
    keys = rng.random((draws, n))
    codes = np.unique(groups, return_inverse=True)[1]
    # Sorting by group and, inside it, by a random key lists every group's labels in random order; they go back to the
    # places that the group holds. Keys stay clear of 1, where the sum would round up into the next group.
    shuffled = np.argsort(codes + 0.999999 * keys, axis=1)
    orders = np.empty_like(shuffled)
    orders[:, np.argsort(codes, kind="stable")] = shuffled
    return orders


def all_orders(n: int, groups: np.ndarray | None = None) -> Int[np.ndarray, "order label"]:
    """List every order of n labels within groups, the identity first; shape (order, label)."""
    labels = np.arange(n)
    codes = np.zeros(n, dtype=int) if groups is None else np.unique(groups, return_inverse=True)[1]
    places = [labels[codes == code] for code in range(codes.max() + 1)] if n else []
    orders = np.empty((count_orders(n, groups), n), dtype=int)
    for row, parts in enumerate(itertools.product(*(itertools.permutations(place.tolist()) for place in places))):
        for place, part in zip(places, parts, strict=True):
            orders[row, place] = part
    return orders


def permutation_test(
    statistic: Callable[[np.ndarray], np.ndarray],
    n: int,
    *,
    rng: np.random.Generator,
    groups: np.ndarray | None = None,
    draws: int = 2000,
    alternative: Alternative = "greater",
) -> PermutationResult:
    """Test a statistic by exchanging labels.

    Exact when no more than `draws` orders exist; otherwise `draws` random orders and an add-one p.

    Parameters
    ----------
    statistic : callable
        Orders (k, label) -> values (k,). It is called once with the identity and the null orders together.
    n : int
        Number of labels.
    groups : array (label,), optional
        Exchange within these groups only (layer-preserving).

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([1.0, 2.0, 3.0, 10.0, 11.0, 12.0])
    >>> first, last = slice(0, 3), slice(3, 6)
    >>> result = permutation_test(lambda order: values[order][:, last].mean(1) - values[order][:, first].mean(1), 6,
    ...                           rng=np.random.default_rng(0))
    >>> result.exact, round(result.p, 3)
    (True, 0.05)
    """
    exact = count_orders(n, groups) <= draws
    orders = all_orders(n, groups) if exact else random_orders(n, draws, rng, groups)
    values = np.asarray(statistic(np.concatenate([np.arange(n)[None], orders])), dtype=float)
    observed, null = float(values[0]), values[1:]
    return PermutationResult(observed, null, p_value(observed, null, alternative, exact=exact), alternative, exact)


def sign_flip_test(
    differences: Float[np.ndarray, " pair"],
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    alternative: Alternative = "greater",
) -> PermutationResult:
    """Test the mean of paired differences by flipping their signs (exact when 2^n <= draws).

    Valid when the differences are symmetric around 0 under the null, as those of exchangeable pairs are.

    Examples
    --------
    >>> import numpy as np
    >>> sign_flip_test(np.array([1.0, 2.0, 3.0, 4.0]), rng=np.random.default_rng(0)).p
    0.0625
    """
    n = differences.size
    exact = n < 63 and 2**n <= draws
    if exact:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(draws, n))
    observed = float(differences.mean())
    null = signs @ differences / n
    return PermutationResult(observed, null, p_value(observed, null, alternative, exact=exact), alternative, exact)

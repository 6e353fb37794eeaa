"""Weights with the same size but without the structure: what a spectrum would be by chance.

From weak to strict. `gaussian_counts`: normal noise with each matrix's own root mean square (or with the
deviation of an initialisation). `permuted_counts`: the entries of each matrix in random places. `row_permuted_counts`:
the entries of each target neuron in random order, so that only the sources lose what is theirs. One-hop counts of the
first two are drawn directly, from their exact distributions (multinomial; multivariate hypergeometric), at a cost that
depends on the neurons and not on the weights; the third shuffles.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from brodmann.fractal import fused
from brodmann.fractal.grids import Grid
from brodmann.fractal.one_hop import Codes, Counts

Array = NDArray[np.float64]


_TAIL = 4.0
"""Deviations from which too few of the rounded numbers are left to count."""


def code_probabilities(
    grid: Grid, deviations: Sequence[float], scales: Sequence[float], rounded: Sequence[Array | None] = ()
) -> Array:
    """Probability of each code for normal weights.

    Parameters
    ----------
    grid
        Distances.
    deviations
        Standard deviation of the weights; of several parallel edges the shortest counts.
    scales
        Distance of a weight of 1: 1, or the root mean square on a geometric grid.
    rounded
        Magnitudes of standard normal numbers as the format of the weights gives them back, in rising order; none or
        None where they are stored as they are.

    Returns
    -------
    (code,)
        From 0 to `grid.beyond`.

    Examples
    --------
    >>> from brodmann.fractal.grids import geometric
    >>> found = code_probabilities(geometric(), [1.0], [1.0])
    >>> round(float(found[1]), 5)  # |w| >= 3 deviations
    0.0027
    """
    if grid.kind == "whole":
        ends = np.concatenate([[grid.low], np.minimum(np.arange(1, grid.count + 1) + 0.5, grid.high)])
    else:
        ends = np.concatenate([[0.0], grid.radii])
    longer = np.ones(len(ends))
    with np.errstate(divide="ignore"):
        for deviation, scale, known in zip(deviations, scales, rounded or [None] * len(scales), strict=True):
            least = scale / ends / deviation  # weights of this size and more are within
            if known is None:
                longer *= 1 - erfc(least / np.sqrt(2))
            else:
                # the largest number of a block is kept exactly, so that the tail is the normal one's
                longer *= np.where(
                    least > _TAIL, 1 - erfc(least / np.sqrt(2)), np.searchsorted(known, least) / len(known)
                )
    within = np.concatenate([1 - longer, [1.0]])
    return np.clip(np.diff(within, prepend=0.0), 0.0, 1.0)


def gaussian_counts(sources: int, targets: int, probabilities: Array, rng: np.random.Generator) -> Counts:
    """Counts (source, code) of a matrix of normal noise."""
    return rng.multinomial(targets, probabilities / probabilities.sum(), size=sources).astype(np.uint32)


def permuted_counts(totals: NDArray[np.int64], sources: int, targets: int, rng: np.random.Generator) -> Counts:
    """Counts after the entries of a matrix were put in random places.

    Parameters
    ----------
    totals : (code,)
        How many of the entries have each code.
    sources, targets
        Shape of the matrix.
    """
    left = totals.copy()
    found = np.empty((sources, len(totals)), np.uint32)
    for at in range(sources - 1):
        found[at] = rng.multivariate_hypergeometric(left, targets, method="marginals")
        left -= found[at]
    found[-1] = left
    return found


def row_permuted_counts(
    blocks: Iterable[Codes], sources: int, grid: Grid, seeds: Sequence[int], *, sources_are_rows: bool = False
) -> list[Counts]:
    """Counts after the entries of each target neuron were shuffled among its sources, once per seed.

    Parameters
    ----------
    blocks
        Codes of the matrix by blocks of rows, as `one_hop.edge_codes` gives them.
    sources
        Number of source neurons.
    seeds
        One per shuffle.
    sources_are_rows
        Whether rows are source neurons; the matrix is then turned first, which takes memory for its codes.
    """
    found = [np.zeros((sources, grid.bad + 1), np.uint32) for _ in seeds]
    states = [np.array([seed], np.uint64) for seed in seeds]
    taken = [np.ascontiguousarray(np.concatenate(list(blocks)).T)] if sources_are_rows else blocks
    for codes in taken:
        for counts, state in zip(found, states, strict=True):
            fused.shuffle_rows(codes, state)  # each shuffle goes on from the one before: all are uniform
            fused.count_columns(codes, 0, 1 << 30, counts[None])
    return [counts[:, : grid.bad] for counts in found]

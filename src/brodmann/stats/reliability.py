"""Ask whether the same ranking would come out of other prompts.

Split-half reliability over many random halves of the prompts, stepped up to the full number by Spearman (1910) and
Brown (1910): 2 r / (1 + r). It measures repeatability over prompts of this kind, not validity.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats


@dataclass(frozen=True, eq=False)
class SplitHalf:
    """Agreement of random halves.

    Attributes
    ----------
    r : float
        Mean correlation between the two halves' values over units.
    reliability : float
        Spearman-Brown estimate for all prompts, from `r`.
    low, high : float
        2.5th and 97.5th percentile of the stepped-up correlations over splits: the spread due to how prompts were
        split, not a confidence interval over prompts.
    samples : array (split,)
        The correlations.
    """

    r: float
    reliability: float
    low: float
    high: float
    samples: np.ndarray


def spearman_brown(r: float, factor: float = 2.0) -> float:
    """Reliability of a test made `factor` times as long: factor r / (1 + (factor - 1) r).

    Examples
    --------
    >>> spearman_brown(0.5)
    0.6666666666666666
    """
    return factor * r / (1 + (factor - 1) * r) if r > -1 / (factor - 1) else math.nan


def split_half(
    statistic: Callable[[np.ndarray], np.ndarray],
    n: int,
    *,
    rng: np.random.Generator,
    splits: int = 200,
    correlation: Literal["pearson", "spearman"] = "spearman",
) -> SplitHalf:
    """Split-half reliability of a value per unit, over n prompts.

    Parameters
    ----------
    statistic : callable
        Weights over prompts (k, n), rows summing to 1 -> values (k, unit). For per-prompt node means this is one matrix
        product: ``lambda weights: weights @ node_synergy``.
    n : int
        Number of prompts; odd numbers split into halves that differ by one.
    splits : int
        Random halvings.

    Raises
    ------
    ValueError
        If there are fewer than two prompts or two units.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.arange(50.0)
    >>> values = truth + np.random.default_rng(0).normal(0, 30, (40, 50))
    >>> split_half(lambda weights: weights @ values, 40, rng=np.random.default_rng(1)).reliability > 0.8
    True
    """
    if n < 2:
        raise ValueError("split halves need at least two prompts")
    half = n // 2
    order = np.argsort(rng.random((splits, n)), axis=1)
    first = np.zeros((splits, n))
    np.put_along_axis(first, order[:, :half], 1.0 / half, axis=1)
    second = np.where(first > 0, 0.0, 1.0 / (n - half))
    one, other = np.asarray(statistic(first)), np.asarray(statistic(second))
    if one.shape[-1] < 2:
        raise ValueError("a correlation needs at least two units")
    if correlation == "spearman":
        one, other = stats.rankdata(one, axis=1), stats.rankdata(other, axis=1)
    samples = _rowwise_correlation(one, other)
    stepped = np.array([spearman_brown(float(r)) for r in samples])
    r = float(samples.mean())
    low, high = (float(np.nanquantile(stepped, share)) if not np.isnan(stepped).all() else math.nan
                 for share in (0.025, 0.975))  # fmt: skip
    return SplitHalf(r, spearman_brown(r) if not math.isnan(r) else math.nan, low, high, samples)


def _rowwise_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    a = first - first.mean(axis=1, keepdims=True)
    b = second - second.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.divide((a * b).sum(axis=1), scale, out=np.full(scale.shape, np.nan), where=scale > 0))

"""Adjust p values where many tests are made at once.

Holm (1979) for the family-wise error, Benjamini and Hochberg (1995) and Benjamini and Yekutieli (2001) for the false
discovery rate (the latter through scipy). It decides nothing: verdicts are made in `judging.py`.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import stats


def holm(p: Sequence[float | None] | np.ndarray) -> Float[np.ndarray, " test"]:
    """Adjust for the family-wise error by Holm's step-down rule, valid under any dependence.

    Parameters
    ----------
    p : array (test,)
        p values; NaN stays NaN and does not count as a test.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = _checked(p)
    adjusted = np.full_like(values, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = values[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def fdr(p: Sequence[float | None] | np.ndarray, method: Literal["bh", "by"] = "bh") -> Float[np.ndarray, " test"]:
    """Adjust for the false discovery rate.

    Benjamini-Hochberg ("bh": independent or positively dependent tests) or Yekutieli ("by": any dependence).

    Parameters
    ----------
    p : array (test,)
        p values; NaN stays NaN and does not count as a test.

    Examples
    --------
    >>> fdr([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    values = _checked(p)
    adjusted = np.full_like(values, np.nan)
    known = ~np.isnan(values)
    if known.any():
        adjusted[known] = stats.false_discovery_control(values[known], method=method)
    return adjusted


def adjust(
    p: Sequence[float | None] | np.ndarray, method: Literal["holm", "bh", "by"] = "holm"
) -> Float[np.ndarray, " test"]:
    """Adjust p values (test,) by `holm` or `fdr`."""
    return holm(p) if method == "holm" else fdr(p, method)


def _checked(p: Sequence[float | None] | np.ndarray) -> np.ndarray:
    values = np.array([np.nan if one is None else one for one in p], dtype=float)
    if np.any((values < 0) | (values > 1)):
        raise ValueError("p values lie between 0 and 1")
    return values

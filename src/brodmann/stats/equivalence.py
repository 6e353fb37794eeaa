"""Show that an effect is too small to matter.

Two one-sided tests (Schuirmann 1987; Lakens 2017): equivalence holds when the effect is significantly above the lower
margin and significantly below the upper one. `judge` uses the same logic on intervals; this gives the p value.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats


@dataclass(frozen=True)
class Equivalence:
    """Outcome of two one-sided tests: p (the larger of both), both p values, and the (1 - 2 alpha) interval."""

    estimate: float
    margin: float
    p: float
    p_above_lower: float
    p_below_upper: float
    interval: tuple[float, float]
    equivalent: bool


def tost(
    estimate: float, standard_error: float, margin: float, *, df: float | int = math.inf, alpha: float = 0.05
) -> Equivalence:
    """Two one-sided t tests of -margin < effect < margin (normal where df is infinite).

    Parameters
    ----------
    estimate, standard_error, margin : float
        Effect, its standard error, and the smallest effect of interest (> 0), in the same units.
    df : float
        Degrees of freedom.

    Examples
    --------
    >>> tost(0.0, 0.1, 0.3).equivalent, tost(0.2, 0.1, 0.3).equivalent
    (True, False)
    """
    if not margin > 0:
        raise ValueError(f"margin = {margin}: equivalence needs a smallest effect of interest above 0")
    if not standard_error > 0:
        raise ValueError(f"standard error = {standard_error} is not above 0")
    curve = stats.norm() if math.isinf(df) else stats.t(df)
    lower = float(curve.sf((estimate + margin) / standard_error))
    upper = float(curve.cdf((estimate - margin) / standard_error))
    half = float(curve.ppf(1 - alpha)) * standard_error
    p = max(lower, upper)
    return Equivalence(estimate, margin, p, lower, upper, (estimate - half, estimate + half), p < alpha)


def tost_mean(values: Float[np.ndarray, " unit"], margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Two one-sided t tests of the mean of values (unit,), such as paired differences, against +-margin."""
    error = float(values.std(ddof=1)) / math.sqrt(values.size)
    return tost(float(values.mean()), error, margin, df=values.size - 1, alpha=alpha)

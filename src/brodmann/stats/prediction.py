"""P values from few draws of a smooth null, by asking where one more draw of it would fall.

A permutation p value cannot be smaller than one over the number of draws, however far the estimate lies outside them.
Where a null statistic averages many terms (a network's efficiency), its draws are close to normal, and the
prediction distribution of the next draw is Student's t (Geisser 1993). Skewed nulls need permutation p values instead.
"""

import math

import numpy as np
from scipy.stats import t as student

from brodmann.stats.permutation import Alternative


def prediction_p_value(estimate: float, *nulls: np.ndarray, alternative: Alternative = "greater") -> float:
    """Compute the p value of an estimate against the next draw of a normal null, or of a difference of two such nulls.

    Parameters
    ----------
    estimate : float
        Observed statistic, or difference of two.
    *nulls : arrays (draw,)
        Draws of the statistic; with two, the null of the estimate is the first minus the second, drawn independently.
    alternative : {"greater", "less", "two-sided"}

    Returns
    -------
    float
        From t = (estimate - mean) / sqrt(sum of s^2 (1 + 1/n)) with Welch's degrees of freedom; NaN without spread.

    Examples
    --------
    >>> import numpy as np
    >>> round(prediction_p_value(0.0, np.array([-1.0, 0.0, 1.0])), 3)
    0.5
    """
    if not 1 <= len(nulls) <= 2:
        raise ValueError("one null, or two whose difference is taken")
    terms = [float(draws.var(ddof=1)) * (1 + 1 / draws.size) if draws.size > 1 else math.nan for draws in nulls]
    variance = sum(terms)
    if not variance > 0:
        return math.nan
    freedom = variance**2 / sum(term**2 / (draws.size - 1) for term, draws in zip(terms, nulls, strict=True))
    centre = float(nulls[0].mean()) - (float(nulls[1].mean()) if len(nulls) == 2 else 0.0)
    value = (estimate - centre) / math.sqrt(variance)
    above = float(student.sf(value, freedom))
    return {"greater": above, "less": 1 - above, "two-sided": 2 * min(above, 1 - above)}[alternative]

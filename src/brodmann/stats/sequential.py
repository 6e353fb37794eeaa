"""Spend the chance of a false alarm over planned looks at data that grow.

Spending functions of Lan and DeMets (1983, Biometrika 70:659) of the O'Brien and Fleming (1979) and the Pocock (1977)
type, in closed form. Each look is tested at the increment it is given, which by the union bound holds whatever the
dependence between looks: it is stricter than boundaries from the joint normal distribution, which are not computed.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

Spending = Literal["obrien_fleming", "pocock", "even"]


def spent(share: float, alpha: float = 0.05, kind: Spending = "pocock") -> float:
    """Alpha that may have been spent when a share of the planned looks is over.

    Parameters
    ----------
    share : float
        Looks that are over, divided by those planned: 0 to 1.
    alpha : float
        All that may be spent.
    kind
        ``obrien_fleming``: 2 (1 - Phi(z / sqrt(share))) with z the upper alpha / 2 point: nearly nothing at first.
        ``pocock``: alpha log(1 + (e - 1) share): nearly the same at every look. ``even``: alpha share.

    Raises
    ------
    ValueError
        If the share or alpha is not in range.

    Examples
    --------
    >>> [round(spent(share, 0.05, "obrien_fleming"), 4) for share in (0.2, 0.5, 1.0)]
    [0.0, 0.0056, 0.05]
    >>> [round(spent(share, 0.05, "pocock"), 4) for share in (0.2, 0.5, 1.0)]
    [0.0148, 0.031, 0.05]
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share = {share} is not between 0 and 1")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha = {alpha} is not between 0 and 1")
    if share == 0:
        return 0.0
    if kind == "obrien_fleming":
        return float(2 * ndtr(ndtri(alpha / 2) / math.sqrt(share)))
    return alpha * math.log1p((math.e - 1) * share) if kind == "pocock" else alpha * share


def spending(looks: int, alpha: float = 0.05, kind: Spending = "pocock") -> Float[np.ndarray, " look"]:
    """Level at which each of so many planned looks is tested; the levels sum to alpha.

    Examples
    --------
    >>> spending(4, 0.04, "even").round(12).tolist()
    [0.01, 0.01, 0.01, 0.01]
    """
    if looks < 1:
        raise ValueError("at least one look must be planned")
    return np.diff([spent(look / looks, alpha, kind) for look in range(looks + 1)])


@dataclass(frozen=True)
class Verdicts:
    """What the rule says at each look: which looks pass, and the first one at which enough in a row have passed."""

    passed: np.ndarray
    """bool array (look,)."""
    confirmed: int | None
    """Look at which the rule is first fulfilled; None if never."""


def in_a_row(passed: np.ndarray, needed: int = 2) -> Verdicts:
    """Confirm what passes at so many looks in a row.

    Examples
    --------
    >>> import numpy as np
    >>> in_a_row(np.array([True, False, True, True, False])).confirmed
    3
    """
    if needed < 1:
        raise ValueError("at least one look must pass")
    passed = np.asarray(passed, dtype=bool)
    run = 0
    for look, one in enumerate(passed.tolist()):
        run = run + 1 if one else 0
        if run == needed:
            return Verdicts(passed, look)
    return Verdicts(passed, None)

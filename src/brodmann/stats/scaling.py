"""Is there a threshold in size, or only a trend, or nothing? Four curves over log10(size), compared by AICc.

Constant, linear, logistic, and one breakpoint between two levels; a threshold counts as identified only if the
breakpoint wins clearly and its profile-likelihood interval is short. Few sizes fit anything: with fewer than eight
there is no answer. Least squares with Gaussian errors; no extrapolation.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2

CLEARLY = 4.0
"""AICc by which the breakpoint must beat every other curve."""
DECADES = 1.0
"""Longest interval of an identified threshold, in powers of ten."""
FEWEST = 8
"""With fewer the penalty for a breakpoint decides, whatever the values: with six a step of 24 noise sd is not seen."""
_TERMS = {"constant": 2, "linear": 3, "breakpoint": 4, "logistic": 5}


@dataclass(frozen=True)
class Threshold:
    """What the sizes say.

    Attributes
    ----------
    aicc : dict of str to float
        AICc of each curve that so many sizes can tell apart; smaller is better.
    best : str
        Curve with the smallest AICc; "none" with fewer than eight sizes.
    low, high : float
        Sizes between which the breakpoint lies, by profile likelihood at 95 %; NaN without a breakpoint.
    lead : float
        AICc by which the breakpoint beats the best other curve (negative: by which it is beaten).
    rises : bool
        Whether the level above the breakpoint is the higher one.
    """

    aicc: dict[str, float]
    best: str
    low: float
    high: float
    lead: float
    rises: bool

    @property
    def identified(self) -> bool:
        """Whether a threshold may be reported at all."""
        return self.lead > CLEARLY and math.log10(self.high / self.low) < DECADES


def find_threshold(
    sizes: Float[np.ndarray, " model"], values: Float[np.ndarray, " model"], *, noise: float = 0.0
) -> Threshold:
    """Compare the four curves.

    AICc = n log(RSS / n) + 2k + 2k(k + 1) / (n - k - 1) (Hurvich and Tsai 1989), k counting the variance. A curve with
    k + 1 >= n cannot be judged and is left out. The interval holds all gaps between neighbouring sizes at which a break
    is not rejected by the likelihood ratio; within a gap all places are equally likely.

    Parameters
    ----------
    sizes : array (model,)
        Parameters of each model, ascending and distinct.
    values : array (model,)
        Contrast of each model.
    noise : float
        Sampling variance of one value: no curve is rewarded for fitting closer.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([0.0, 0.01, -0.01, 0.0, 0.3, 0.31, 0.29, 0.3, 0.3])
    >>> found = find_threshold(np.geomspace(1e7, 1e10, 9), values)
    >>> found.best, found.identified
    ('breakpoint', True)
    """
    if np.any(np.diff(sizes) <= 0):
        raise ValueError("sizes must ascend")
    count = values.size
    if count < FEWEST:
        return Threshold({}, "none", math.nan, math.nan, -math.inf, False)
    place = np.log10(sizes)
    splits = {at: _two_levels(values, at) for at in range(2, count - 1)}
    at = min(splits, key=lambda where: splits[where])
    errors = {
        "constant": float(((values - values.mean()) ** 2).sum()),
        "linear": float(((values - np.polyval(np.polyfit(place, values, 1), place)) ** 2).sum()),
        "breakpoint": splits[at],
        "logistic": _logistic(place, values),
    }
    floor = max(noise, 1e-12)
    aicc = {
        curve: count * math.log(max(error / count, floor)) + 2 * k + 2 * k * (k + 1) / (count - k - 1)
        for curve, error in errors.items()
        if count > (k := _TERMS[curve]) + 1
    }
    best = min(aicc, key=lambda curve: aicc[curve])
    others = [value for curve, value in aicc.items() if curve != "breakpoint"]
    least = max(splits[at] / count, floor)
    limit = float(chi2.ppf(0.95, 1))
    kept = [where for where, error in splits.items() if count * math.log(max(error / count, floor) / least) <= limit]
    return Threshold(
        aicc, best, float(sizes[min(kept) - 1]), float(sizes[max(kept)]), min(others) - aicc["breakpoint"],
        bool(values[at:].mean() > values[:at].mean()),
    )  # fmt: skip


def _two_levels(values: np.ndarray, at: int) -> float:
    return float(sum(((part - part.mean()) ** 2).sum() for part in (values[:at], values[at:])))


def _logistic(place: np.ndarray, values: np.ndarray) -> float:
    """Smallest squared error of a logistic curve over a grid of middles and slopes; its two levels are solved exactly.

    Slopes from one to a hundredth of the range of sizes wide: beyond both ends it is a line or a breakpoint.
    """
    reach = float(place[-1] - place[0])
    middles = np.linspace(place[0], place[-1], 41)[:, None, None]
    slopes = (np.geomspace(4, 400, 15) / reach)[:, None]
    shape = 1 / (1 + np.exp(-np.clip(slopes * (place - middles), -50, 50)))
    centred = shape - shape.mean(axis=-1, keepdims=True)
    away = values - values.mean()
    square = (centred**2).sum(axis=-1)
    explained = np.divide((centred @ away) ** 2, square, out=np.zeros(square.shape), where=square > 1e-12)
    return float((away**2).sum() - explained.max())

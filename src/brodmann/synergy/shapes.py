"""Shapes that a series of checkpoints can have, with and without a jump, compared by BIC.

BIC = n log(max(error / n, noise)) + k log n for jumps as in Yao (1988); the rivals are ours: straight lines over
log2(step) and over step, a parabola, a sigmoid no faster than three gaps between checkpoints, and a drift (a random
walk read with noise). It does not say where a jump is: `onset` does.
"""

import math

import numpy as np
from jaxtyping import Float

from brodmann.stats import cut_all

LEAST = 2
"""Fewest checkpoints of a level: one that stands alone is an outlier, not a level."""
SMOOTH = ("constant", "line", "linear in step", "parabola", "sigmoid", "drift")
JUMPS = ("one step", "two steps")
GAPS = 3.0
"""Gaps between checkpoints that the middle 80 % of a sigmoid take at least; a faster one looks like a jump."""
_TERMS = {
    "constant": 2, "line": 3, "linear in step": 3, "parabola": 4, "sigmoid": 5, "drift": 3, "one step": 4,
    "two steps": 6,
}  # fmt: skip
_RATIOS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
"""Variance of a drift's increments over that of the noise of one checkpoint; the last is a random walk."""
_MIDDLES, _WIDTHS = 41, 7


def criteria(
    values: Float[np.ndarray, "draw step"], position: Float[np.ndarray, " step"], noise: float = 0.0
) -> dict[str, Float[np.ndarray, " draw"]]:
    """BIC of each shape for each series.

    Terms are levels or coefficients, jumps, and variances: constant 2, lines 3, parabola 4, sigmoid 5, drift 3, one
    step 4, two steps 6. The error of a drift is its generalised variance, det(V)^(1/n), which is the mean square for
    independent errors.

    Parameters
    ----------
    values : array (draw, step)
        Contrasts.
    position : array (step,)
        log2(step), ascending.
    noise : float
        Sampling variance of one value. No shape is rewarded for fitting closer than that.

    Examples
    --------
    >>> import numpy as np
    >>> found = criteria(np.array([[0.0, 0.1, 0.0, 0.1, 1.0, 1.1, 1.0, 1.1]]), np.arange(8.0))
    >>> min(found, key=lambda shape: found[shape][0])
    'one step'
    """
    count = values.shape[1]
    centred = values - values.mean(axis=1, keepdims=True)
    total = (centred**2).sum(axis=1)
    place = (position - position.mean()) / np.ptp(position)
    errors = {
        "constant": total,
        "line": total - _explained(centred, place[None]),
        "linear in step": total - _explained(centred, np.exp2(position - position.max())[None]),
        "parabola": total - _explained(centred, np.stack([place, place**2])),
        "sigmoid": total - _sigmoids(centred, position),
        "drift": np.min([count * _generalised(centred, ratio) for ratio in _RATIOS], axis=0),
        "one step": cut_all(values, 2, least=LEAST).error,
        "two steps": cut_all(values, 3, least=LEAST).error,
    }
    floor = max(noise, 1e-12)
    return {
        shape: count * np.log(np.maximum(error / count, floor)) + _TERMS[shape] * math.log(count)
        for shape, error in errors.items()
    }


def lead(bic: dict[str, np.ndarray], over: tuple[str, ...] = SMOOTH) -> Float[np.ndarray, " draw"]:
    """BIC of the best of some shapes without a jump minus that of the best with one: above 0 the jump is preferred."""
    return np.asarray(np.min([bic[name] for name in over], axis=0) - np.min([bic[name] for name in JUMPS], axis=0))


def drifts(values: Float[np.ndarray, " step"], draws: int, rng: np.random.Generator) -> Float[np.ndarray, "draw step"]:
    """Series of the drift that describes the values best: Gaussian increments and noise of its two variances."""
    count = values.size
    centred = (values - values.mean())[None]
    ratio = min(_RATIOS, key=lambda each: float(_generalised(centred, each)[0]))
    shape = _drift(count, ratio)
    scale = math.sqrt(float(_generalised(centred, ratio)[0]) / _root(shape))
    return scale * rng.standard_normal((draws, count)) @ np.linalg.cholesky(shape).T


def _explained(centred: np.ndarray, columns: Float[np.ndarray, "column step"]) -> np.ndarray:
    """Squared sum that a constant and some columns explain together, for each series."""
    axes = np.linalg.qr((columns - columns.mean(axis=1, keepdims=True)).T)[0]
    return np.asarray(((centred @ axes) ** 2).sum(axis=1))


def _sigmoids(centred: np.ndarray, position: np.ndarray) -> np.ndarray:
    """The same for the best of a grid of sigmoids; their two levels are solved exactly."""
    narrow = GAPS * np.ptp(position) / (position.size - 1)
    widths = np.geomspace(narrow, 8 * narrow, _WIDTHS)[:, None, None]
    middles = np.linspace(position[0], position[-1], _MIDDLES)[:, None]
    # from 10 to 90 % a logistic curve takes 2 log 9 over its slope
    shapes = (1 / (1 + np.exp(-2 * math.log(9) / widths * (position - middles)))).reshape(-1, position.size)
    shapes -= shapes.mean(axis=1, keepdims=True)
    shapes /= np.sqrt((shapes**2).sum(axis=1, keepdims=True))
    return np.asarray(((centred @ shapes.T) ** 2).max(axis=1))


def _drift(count: int, ratio: float) -> Float[np.ndarray, "step step"]:
    """Covariance of a walk whose increments have `ratio` times the variance of the noise, which is 1."""
    index = np.arange(count)
    return np.asarray(np.eye(count) + ratio * np.minimum.outer(index, index))


def _root(covariance: np.ndarray) -> float:
    return float(np.exp(np.linalg.slogdet(covariance)[1] / len(covariance)))


def _generalised(centred: np.ndarray, ratio: float) -> np.ndarray:
    """det(V)^(1/n) of a drift at its most likely level and scale, for each series."""
    count = centred.shape[1]
    shape = _drift(count, ratio)
    inverse = np.linalg.inv(shape)
    ends = inverse.sum(axis=0)
    without_level = inverse - np.outer(ends, ends) / ends.sum()
    scale = ((centred @ without_level) * centred).sum(axis=1) / count
    return np.asarray(np.maximum(scale, 0.0) * _root(shape))

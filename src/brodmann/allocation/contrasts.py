"""Ratios of an activity measure between conditions, at equal surprisal and position, with prompts as the clusters.

Model: E[y] = exp(a + g_condition + b'x) for each step of each prompt, fitted by Poisson pseudo-maximum likelihood,
which needs only the mean to be right, whatever the distribution and the dependence inside a prompt (Gourieroux, Monfort
and Trognon 1984). exp(g) is then a ratio to the reference condition; without covariates it is the ratio of means.
Prompts are resampled inside their condition (Rao and Wu 1988) and each resampling is one Newton step from the fit
(Andrews 2002, k-step bootstrap). Null: residuals of whole prompts exchanged (Freedman and Lane 1983).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from brodmann.stats import random_orders

_STEPS = 60
_CLOSE = 1e-9


@dataclass(frozen=True, eq=False)
class RatioFit:
    """Fitted log ratios of some outcomes, and what resampling needs."""

    parameters: Float[np.ndarray, "outcome parameter"]
    """Level of the reference, a log ratio per other label, then a slope per covariate."""
    log_ratio: Float[np.ndarray, "outcome label"]
    """0 for the reference; NaN where an outcome or the reference is never active."""
    score: Float[np.ndarray, "outcome prompt parameter"]
    information: Float[np.ndarray, "outcome prompt square"]
    """Per prompt, parameter x parameter flattened."""


@dataclass(frozen=True, eq=False)
class Exchanged:
    """A contrast after one Newton step from the fit without conditions, and under exchanged residuals."""

    observed: Float[np.ndarray, " outcome"]
    null: Float[np.ndarray, "draw outcome"]


def design(
    label: Int[np.ndarray, " prompt"], covariates: Float[np.ndarray, "prompt step covariate"], labels: int
) -> Float[np.ndarray, "prompt step parameter"]:
    """Columns of the model: 1, one per label but the first, and the covariates, centred and in their deviations.

    Covariates that do not vary are left out.
    """
    known = np.isfinite(covariates).all(axis=-1)
    flat = covariates[known]
    spread = flat.std(axis=0) if len(flat) else np.zeros(covariates.shape[-1])
    varies = spread > 1e-9 * (1e-300 + np.abs(flat).max(axis=0, initial=0.0))
    scaled = (covariates[..., varies] - flat[:, varies].mean(axis=0)) / spread[varies]
    coded = (label[:, None] == np.arange(labels)).astype(float)
    coded[:, 0] = 1.0
    coded = np.broadcast_to(coded[:, None], (*covariates.shape[:2], labels))
    return np.concatenate([coded, np.nan_to_num(scaled)], axis=-1)


def fit_ratios(
    values: Float[np.ndarray, "outcome prompt step"],
    label: Int[np.ndarray, " prompt"],
    covariates: Float[np.ndarray, "prompt step covariate"],
    labels: int,
) -> RatioFit:
    """Fit log ratios of outcomes to the reference, condition by condition.

    Parameters
    ----------
    values
        Non-negative outcomes; NaN (the same steps in all outcomes) where a series has ended.
    label
        Condition of each prompt; 0 is the reference.
    covariates
        What is held equal; may have no columns.
    labels
        Number of conditions, the reference among them.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([[[1.0, 1.0], [2.0, 4.0]]])
    >>> fit = fit_ratios(values, np.array([0, 1]), np.zeros((2, 2, 0)), 2)
    >>> round(float(np.exp(fit.log_ratio[0, 1])), 6)
    3.0
    """
    valid = np.isfinite(values[0]) & np.isfinite(covariates).all(axis=-1)
    x = design(label, covariates, labels) * valid[..., None]
    y = np.where(valid, np.nan_to_num(values), 0.0)
    theta, seen = _start(y, valid, label, labels, x.shape[-1])
    theta = _maximise(y, x, theta, seen)
    mu = np.exp(x @ theta.T).transpose(2, 0, 1) * valid
    score = np.einsum("ont,ntp->onp", y - mu, x)
    information = np.einsum("ont,ntk->onk", mu, _squares(x), optimize=True)
    ratio = np.where(seen[:, :labels], theta[:, :labels], np.nan)
    ratio = np.where(seen[:, :1], ratio, np.nan)
    ratio[:, 0] = 0.0
    return RatioFit(theta, ratio, score, information)


def _start(
    y: np.ndarray, valid: np.ndarray, label: np.ndarray, labels: int, parameters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log means of the conditions as a first guess, and which parameters the data can tell."""
    coded = (label[:, None] == np.arange(labels)).astype(float)
    sums, steps = y.sum(axis=2) @ coded, valid.sum(axis=1) @ coded
    seen = np.ones((y.shape[0], parameters), bool)
    seen[:, :labels] = sums > 0
    means = np.where(sums > 0, sums, 1.0) / np.maximum(steps, 1)
    theta = np.zeros((y.shape[0], parameters))
    theta[:, :labels] = np.log(means)
    theta[:, 1:labels] -= theta[:, :1]
    return theta, seen


def _squares(x: np.ndarray) -> np.ndarray:
    return np.asarray((x[..., :, None] * x[..., None, :]).reshape(*x.shape[:-1], -1))


def _maximise(y: np.ndarray, x: np.ndarray, theta: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Newton's method for all outcomes at once; the likelihood is concave."""
    size = x.shape[-1]
    flat = x.reshape(-1, size)
    inside = flat.any(axis=1)
    flat, y = flat[inside], y.reshape(len(y), -1)[:, inside]
    squares = _squares(flat)
    for _ in range(_STEPS):
        mu = np.exp(theta @ flat.T)
        step = _solve((mu @ squares).reshape(-1, size, size), (y - mu) @ flat)
        step = np.clip(np.where(seen, step, 0.0), -1.0, 1.0)
        theta = theta + step
        if np.abs(step).max() < _CLOSE:
            break
    return np.asarray(theta)


def _solve(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Solve many small systems; a ridge far below rounding of the data keeps singular ones finite."""
    size = matrix.shape[-1]
    ridge = 1e-10 * np.trace(matrix, axis1=-2, axis2=-1)[..., None, None] / size + 1e-300
    return np.asarray(np.linalg.solve(matrix + ridge * np.eye(size), vector[..., None])[..., 0])


def resample_weights(strata: Int[np.ndarray, " prompt"], draws: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap weights (draw, prompt) that resample prompts inside strata.

    n - 1 of the n prompts of a stratum are drawn with replacement and weighted n / (n - 1) (Rao and Wu 1988), so that
    the variance of a mean is not too small by 1 / n where strata are small. A stratum of one prompt does not vary.
    """
    weights = np.ones((draws, strata.size))
    for stratum in np.unique(strata):
        place = np.flatnonzero(strata == stratum)
        count = len(place)
        if count > 1:
            drawn = rng.multinomial(count - 1, np.full(count, 1 / count), size=draws)
            weights[:, place] = drawn * (count / (count - 1))
    return weights


def resampled(fit: RatioFit, weights: Float[np.ndarray, "draw prompt"]) -> Float[np.ndarray, "draw outcome label"]:
    """Log ratios of reweighted prompts: one Newton step from the fit."""
    labels, size = fit.log_ratio.shape[1], fit.parameters.shape[1]
    found = np.empty((len(weights), *fit.log_ratio.shape))
    for outcome in range(len(fit.parameters)):
        matrix = (weights @ fit.information[outcome]).reshape(-1, size, size)
        step = _solve(matrix, weights @ fit.score[outcome])
        found[:, outcome] = fit.parameters[outcome, :labels] + step[:, :labels]
    found[..., 0] = 0.0
    return np.where(np.isnan(fit.log_ratio), np.nan, found)


def exchange_residuals(
    values: Float[np.ndarray, "outcome prompt step"],
    label: Int[np.ndarray, " prompt"],
    covariates: Float[np.ndarray, "prompt step covariate"],
    contrast: Float[np.ndarray, " label"],
    *,
    groups: Int[np.ndarray, " prompt"],
    draws: int,
    rng: np.random.Generator,
) -> Exchanged:
    """Null of a contrast of log ratios: what prompts leave unexplained, exchanged between conditions.

    The model without conditions is fitted; the residuals of whole prompts, in standard deviations of a Poisson
    variable, change places inside `groups`, step by step in line; each time the contrast is computed by one Newton
    step.

    Parameters
    ----------
    contrast
        Coefficients over labels.
    groups
        Prompts that may change places have the same number.
    """
    labels = contrast.size
    valid = np.isfinite(values[0]) & np.isfinite(covariates).all(axis=-1)
    x = design(label, covariates, labels) * valid[..., None]
    y = np.where(valid, np.nan_to_num(values), 0.0)
    reduced = np.concatenate([valid[..., None].astype(float), x[..., labels:]], axis=-1)
    start = np.zeros((len(y), reduced.shape[-1]))
    start[:, 0] = np.log(np.maximum(y.sum(axis=(1, 2)), 1e-300) / valid.sum())
    theta = _maximise(y, reduced, start, np.ones(start.shape, bool))
    root = np.sqrt(np.exp(reduced @ theta.T).transpose(2, 0, 1)) * valid
    residual = np.divide(y - root**2, root, out=np.zeros(y.shape), where=root > 0)
    information = np.einsum("ont,ntk->ok", root**2, _squares(x), optimize=True)
    size = x.shape[-1]
    along = np.zeros((len(y), size))
    along[:, 1:labels] = contrast[1:]
    direction = _solve(information.reshape(-1, size, size), along)
    pull = np.einsum("op,ntp->ont", direction, x) * root
    moved = np.einsum("ont,omt->onm", pull, residual, optimize=True)
    orders = random_orders(label.size, draws, rng, groups)
    rows = np.arange(label.size)
    null = np.stack([each[rows, orders].sum(axis=1) for each in moved], axis=1)
    return Exchanged(np.trace(moved, axis1=1, axis2=2), null)


def two_sided(observed: float, null: np.ndarray, *, above: bool) -> float:
    """Twice the one-sided p of a claim's direction, add-one: a two-sided test whose support is on one side.

    Examples
    --------
    >>> import numpy as np
    >>> two_sided(3.0, np.arange(-50.0, 50.0) / 10, above=True) < 0.5
    True
    """
    known = null[np.isfinite(null)]
    if np.isnan(observed) or not known.size:
        return float("nan")
    beyond = int(((known >= observed) if above else (known <= observed)).sum())
    failed = null.size - known.size
    return float(min(1.0, 2.0 * (1 + beyond + failed) / (1 + null.size)))


def in_blocks(count: int, block: int, work: Callable[[slice], np.ndarray]) -> np.ndarray:
    """Join what `work` gives for slices of at most `block` of `count` things: bounds memory."""
    return np.concatenate([work(slice(first, min(first + block, count))) for first in range(0, count, block)])

"""The core against layer-matched others: ratios of ratios, their resamplings, and two nulls.

The ratio of ratios says by how much more the core's activity changes between two conditions than that of other units of
the same layers, all at equal surprisal and position. Its interval resamples prompts and, where a contrast is a mean
over families of tasks, leaves families out too: they are few, and effects differ between them. Its nulls exchange units
inside layers (is the core special?) and what prompts leave unexplained between conditions (does the condition matter?).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import ndtri, stdtrit

from brodmann.allocation.conditions import by_family
from brodmann.allocation.contrasts import (
    RatioFit,
    exchange_residuals,
    fit_ratios,
    in_blocks,
    left_out_weights,
    resample_weights,
    resampled,
)
from brodmann.allocation.density import Yardstick, outcomes, random_groups
from brodmann.stats import jackknife_variance

COMPARED = ("core", "others", "relative")
"""Ratios that are reported: the core's own, that of its layer-matched others, and the first over the second."""
_SETS_TOGETHER = 64


@dataclass(frozen=True, eq=False)
class Trials:
    """Prompts of several conditions as they were heard."""

    activity: Float[np.ndarray, "prompt step unit"]
    covariates: Float[np.ndarray, "prompt step covariate"]
    label: Int[np.ndarray, " prompt"]
    """Condition of each prompt; 0 is the reference."""
    labels: int
    """Number of conditions."""

    def only(self, chosen: Bool[np.ndarray, " prompt"]) -> "Trials":
        """Some of the prompts."""
        return Trials(self.activity[chosen], self.covariates[chosen], self.label[chosen], self.labels)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Log ratios of contrasts of conditions: core, others, relative."""

    log_ratio: Float[np.ndarray, "compared contrast"]
    samples: Float[np.ndarray, "draw compared contrast"]
    level: float

    @property
    def ratio(self) -> Float[np.ndarray, "compared contrast"]:
        """The ratios themselves."""
        return np.asarray(np.exp(self.log_ratio))

    @property
    def interval(self) -> Float[np.ndarray, "end compared contrast"]:
        """Percentile interval of each ratio, low and high; NaN where it is unknown."""
        tails = [(1 - self.level) / 2, (1 + self.level) / 2]
        return np.asarray(np.exp(np.quantile(self.samples, tails, axis=0)))


def compare(
    values: Float[np.ndarray, "group prompt step"],
    trials: Trials,
    contrasts: Float[np.ndarray, "contrast label"],
    *,
    draws: int,
    rng: np.random.Generator,
    families: Int[np.ndarray, " label"] | None = None,
    adjust: bool = True,
    level: float = 0.95,
) -> Comparison:
    """Compare the core (first group) with its others (second) in some measure.

    Parameters
    ----------
    values
        The measure of both groups at each step.
    trials
        Covariates and conditions.
    contrasts
        Rows of coefficients over conditions: (0, 1/2, 1/2) is the geometric mean of two ratios to the reference.
    draws
        Resamplings of prompts inside their conditions.
    families
        Family of tasks of each condition. The interval of a contrast of two families or more speaks of families like
        them: these are a factor of chance, beside the reference's prompts. Without, it speaks of these conditions.
    adjust
        At equal covariates; otherwise ratios of means.
    """
    covariates = trials.covariates if adjust else trials.covariates[..., :0]
    fit = fit_ratios(values, trials.label, covariates, trials.labels)
    estimate = _three(contrasted(fit.log_ratio, contrasts))
    weights = resample_weights(trials.label, draws, rng)
    samples = _three(contrasted(resampled(fit, weights), contrasts))
    without = _three(contrasted(resampled(fit, left_out_weights(trials.label)), contrasts))
    by_text = [without[trials.label == each] for each in np.unique(trials.label)]
    drawn = widened(estimate, samples, by_text, level)
    for place, row in enumerate(contrasts):
        if families is None:
            break
        left_out = _without_families(fit, trials.label, row, families)
        if len(left_out) > 1:
            # how much families differ holds the chance of their own prompts too
            factors = [without[trials.label == 0, :, place], left_out]
            most = 1.0 if len(left_out) == 2 else np.inf  # Satterthwaite's are too many of two: 85 % are covered
            drawn[..., place] = widened(estimate[:, place], samples[..., place], factors, level, most)
    return Comparison(estimate, drawn, level)


def _without_families(
    fit: RatioFit, label: Int[np.ndarray, " prompt"], row: Float[np.ndarray, " label"], families: np.ndarray
) -> Float[np.ndarray, "family compared"]:
    """A contrast without each of its families, slopes fitted anew by one Newton step."""
    parts = by_family(row, families)
    weights = (families[label] != parts.family[:, None]).astype(float)
    log = resampled(fit, weights)
    found = [_three(contrasted(each, rest[None])) for each, rest in zip(log, parts.without, strict=True)]
    return np.array(found).reshape(len(found), len(COMPARED))


def widened(
    estimate: np.ndarray, samples: np.ndarray, left_out: list[np.ndarray], level: float, most: float = np.inf
) -> np.ndarray:
    """Resamplings with the spread of the jackknife and Student's t instead of the normal distribution.

    Resampled residuals are too small by what each prompt pulls the fit towards itself; leaving prompts out one by one
    is not (Bell and McCaffrey 2002). Degrees of freedom after Satterthwaite, over factors.

    Parameters
    ----------
    estimate, samples
        The statistic of the data and of its resamplings (draw, ...).
    left_out
        For each condition or factor of chance, the statistic without each of its prompts or families (left out, ...).
    most
        Degrees of freedom at most.
    """
    variance, freedom = jackknife_variance(left_out)
    freedom = np.minimum(freedom, most)
    spread = samples.std(axis=0)
    known = (spread > 0) & (freedom > 0)
    student = stdtrit(np.where(known, freedom, 1.0), (1 + level) / 2)
    factor = np.divide(np.sqrt(variance), spread, out=np.ones(estimate.shape), where=known)
    return np.asarray(estimate + (samples - estimate) * factor * student / ndtri((1 + level) / 2))


def contrasted(log_ratio: np.ndarray, contrasts: np.ndarray) -> np.ndarray:
    """Contrasts of log ratios; an unknown one spoils only the contrasts that use it."""
    found = np.nan_to_num(log_ratio) @ contrasts.T
    spoilt = np.isnan(log_ratio).astype(float) @ (contrasts != 0).T.astype(float) > 0
    return np.where(spoilt, np.nan, found)


def _three(pair: np.ndarray) -> np.ndarray:
    """Core, others and their difference along the group axis, the one before the last."""
    core, others = pair[..., 0, :], pair[..., 1, :]
    return np.stack([core, others, core - others], axis=-2)


def random_set_null(
    trials: Trials,
    contrast: Float[np.ndarray, " label"],
    *,
    core: Bool[np.ndarray, " unit"],
    layer: Int[np.ndarray, " unit"],
    against: Yardstick,
    draws: int,
    rng: np.random.Generator,
    measure: str = "density",
) -> Float[np.ndarray, " draw"]:
    """Ratio of ratios of random sets of units with as many of each layer as the core has."""
    weights = random_groups(core, layer, draws, rng)

    def work(block: slice) -> np.ndarray:
        chosen = weights[block]
        values = outcomes(trials.activity, chosen, against, measure)
        fit = fit_ratios(values.reshape(-1, *values.shape[2:]), trials.label, trials.covariates, trials.labels)
        log = contrasted(fit.log_ratio, contrast[None])[:, 0].reshape(-1, 2)
        return np.asarray(np.exp(log[:, 0] - log[:, 1]))

    return in_blocks(draws, _SETS_TOGETHER, work)


@dataclass(frozen=True, eq=False)
class LabelNull:
    """Ratio of ratios after one step from the fit without conditions, and with residuals exchanged."""

    observed: float
    null: Float[np.ndarray, " draw"]


def exchanged_null(
    values: Float[np.ndarray, "group prompt step"],
    trials: Trials,
    contrast: Float[np.ndarray, " label"],
    *,
    draws: int,
    rng: np.random.Generator,
    families: Int[np.ndarray, " label"] | None = None,
) -> LabelNull:
    """Ratio of ratios when what prompts leave unexplained changes places between the compared conditions.

    Parameters
    ----------
    families
        Conditions with the same number may exchange prompts; by default all that the contrast compares.
    """
    compared = contrast != 0
    compared[0] |= not np.isclose(contrast.sum(), 0.0)
    kept = trials.only(compared[trials.label])
    group = np.zeros(len(kept.label), int) if families is None else families[kept.label]
    found = exchange_residuals(
        values[:, compared[trials.label]], kept.label, kept.covariates, contrast,
        groups=group, draws=draws, rng=rng,
    )  # fmt: skip
    one, other = found.observed
    return LabelNull(float(np.exp(one - other)), np.asarray(np.exp(found.null[:, 0] - found.null[:, 1])))

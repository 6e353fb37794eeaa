"""Whether emergence goes with scores on benchmarks, more than training itself does.

Pearson and Spearman correlations over checkpoints, with a block bootstrap over steps (neighbouring checkpoints are not
independent; Kunsch 1989, circular blocks), the same for plain baselines, and partial correlations given log step. High
correlations over a whole training mostly say that both curves go from 0 to a plateau. Of few checkpoints drawn again
some come twice, which a partial correlation of ranks takes for agreement: its interval is a closed form (`fisher`).
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import stats

from brodmann.errors import WeightsError

Array = NDArray[np.float64]

COLUMNS = ("model", "step", "task", "metric", "value")
FEWEST = 4
LEAST = 6
"""Fewest points of an interval."""
LEAST_GIVEN = 8
"""Fewest points of an interval of a partial correlation."""

_CUBIC = 11
"""Points from which a cubic is taken out of ranks."""

_LOWER = {
    "bits",
    "bpb",
    "bpc",
    "brier",
    "ce",
    "cer",
    "divergence",
    "ece",
    "err",
    "errors",
    "kl",
    "losses",
    "mae",
    "mse",
    "nats",
    "nll",
    "perplexities",
    "rank",
    "rmse",
    "surprisal",
    "wer",
}
_TURNED = {"neg", "negative", "saved", "reduction", "gain", "free", "minus"}
"""Words after which less of it is worse."""  # fmt: skip
_ENDINGS = ("loss", "perplexity", "ppl", "error", "entropy")
_LIKELIHOODS = {"likelihood", "loglikelihood", "logprob", "logprobs"}


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of a metric is the better one, read from the words of its name.

    Examples
    --------
    >>> lower_is_better("word_perplexity"), lower_is_better("acc_norm"), lower_is_better("negative log-likelihood")
    (True, False, True)
    """
    words = re.findall(r"[a-z]+", metric.lower())
    falls = any(word in _LOWER or word.endswith(_ENDINGS) for word in words)
    turned = bool(_TURNED & set(words)) or metric.lstrip().startswith("-")
    return falls != turned if falls or _LIKELIHOODS & set(words) else False


def fisher(
    value: float, n: int, *, given: int = 0, inflation: float = 1.0, level: float = 0.95
) -> tuple[float, float, float]:
    """Interval of a Spearman correlation, and one-sided p of "not above 0".

    Fisher's transform with the variance (1 + rho^2 / 2) / (n - 3) of Bonett and Wright (2000), less one degree for
    each column that was taken out. A perfect order is taken for the nearest other one, in which two neighbours have
    changed places: rho = 1 - 12 / (n (n^2 - 1)). With columns taken out, Student's t takes the place of the normal.

    Parameters
    ----------
    value
        The correlation.
    n
        How many points.
    given
        How many covariates were taken out of the ranks.
    inflation
        Of the variance, where neighbouring points are not independent.

    Returns
    -------
    low, high, p
        Infinite ends and p = NaN below `LEAST` points (`LEAST_GIVEN` with covariates), and where the value is NaN. The
        interval always holds the value.

    Examples
    --------
    >>> [round(each, 3) for each in fisher(1.0, 6)[:2]]
    [0.383, 1.0]
    """
    if n < (LEAST_GIVEN if given else LEAST) or not np.isfinite(value):
        return -np.inf, np.inf, float("nan")
    most = 1 - 12 / (n * (n**2 - 1))
    held = float(np.clip(value, -most, most))
    centre, deviation = float(np.arctanh(held)), float(np.sqrt((1 + held**2 / 2) * inflation / (n - 3 - given)))
    spread = stats.t(n - 2 - given) if given else stats.norm  # few points are left once columns are taken out
    half = float(spread.ppf(0.5 + level / 2)) * deviation
    low, high = (float(np.tanh(centre + each)) for each in (-half, half))
    return min(low, value), max(high, value), float(spread.sf(centre / deviation))


@dataclass(frozen=True)
class Correlation:
    """Correlation over checkpoints."""

    pearson: float
    pearson_interval: tuple[float, float]
    spearman: float
    spearman_interval: tuple[float, float]
    partial: float
    """Spearman's, given log step: of the residuals of ranks."""
    partial_interval: tuple[float, float]
    """NaN below `LEAST_GIVEN` checkpoints."""
    inflation: float
    """Of the partial correlation's variance."""
    n: int


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read a table of scores: columns model, step, task, metric, value; others are left alone.

    Raises
    ------
    WeightsError
        If the file cannot be read, lacks a column, or holds a step or a value that is no number (its line is named).
    """
    try:
        table = pd.read_csv(path, comment="#")
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as a table of scores: {str(error).splitlines()[0]}") from None
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise WeightsError(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    for name in ("step", "value"):
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = np.flatnonzero(~np.isfinite(numbers.to_numpy(dtype=np.float64)))
        if len(wrong):
            at = int(wrong[0])
            raise WeightsError(f"{path}, line {at + 2}: {name} = {table[name].iloc[at]!r} is no number")
        table[name] = numbers
    return table


def correlate(
    values: Float[Array, " step"],
    scores: Float[Array, " step"],
    steps: Float[Array, " step"],
    rng: np.random.Generator,
    *,
    draws: int = 2000,
    level: float = 0.95,
) -> Correlation:
    """Correlation of a quantity with a score over the checkpoints of one training.

    Parameters
    ----------
    values, scores, steps : (step,)
        In order of training.
    rng
        Of the bootstrap of Pearson's and Spearman's correlation; the partial one has a closed form.
    draws
        Number of bootstrap samples; blocks hold about the cube root of the number of steps.

    Raises
    ------
    WeightsError
        If there are fewer than four checkpoints.
    """
    n = len(values)
    if n < FEWEST:
        raise WeightsError(f"{n} checkpoints have both a value and a score; a correlation needs {FEWEST}")
    chosen = _blocks(n, draws, rng)
    ends = [0.5 - level / 2, 0.5 + level / 2]
    drawn = np.array([_both(values[rows], scores[rows]) for rows in chosen])
    low, high = _quantiles(drawn, ends)
    pearson, spearman = _both(values, scores)
    beyond = partial(values, scores, np.log1p(steps))
    inflated = inflation(values, scores, np.log1p(steps))
    bounds = fisher(beyond, n, given=degree(n), inflation=inflated, level=level)[:2]
    if not np.isfinite(bounds).all():
        bounds = (float("nan"), float("nan"))
    return Correlation(pearson, (low[0], high[0]), spearman, (low[1], high[1]), beyond, bounds, inflated, n)


def _quantiles(drawn: Float[Array, "draw value"], ends: list[float]) -> tuple[list[float], list[float]]:
    """Both ends of each column's finite draws; NaN where there are none."""
    found = []
    for column in drawn.T:
        finite = column[np.isfinite(column)]
        found.append(np.quantile(finite, ends).tolist() if len(finite) else [float("nan")] * 2)
    return [low for low, _ in found], [high for _, high in found]


def degree(n: int) -> int:
    """Degree of the polynomial in the ranks of what is given that is taken out of n points: 3 from 11 on, else 1.

    Two curves that are functions of the step alone have ranks that bend with it; a straight line leaves them tied (of
    independent saturating curves at 27 checkpoints a quarter were called tied; a cubic leaves 7 %).
    """
    return 3 if n >= _CUBIC else 1


def partial(values: Float[Array, " step"], scores: Float[Array, " step"], given: Float[Array, " step"]) -> float:
    """Spearman's partial correlation: of what the ranks of ``given`` leave over. NaN where nothing is left."""
    left = _left(values, scores, given)
    return float("nan") if left is None else float(left[0] @ left[1])


def inflation(values: Float[Array, " step"], scores: Float[Array, " step"], given: Float[Array, " step"]) -> float:
    """How many times the variance of `partial` is larger than that of independent points; never below 1.

    (1 + ab) / (1 - ab), with a and b the correlations of neighbours, in the order of ``given``, among what is left of
    the two ranks (Bartlett 1935, of first-order processes). Random walks have a large one, and so have two orders in
    which single neighbours have changed places.
    """
    order = np.argsort(given, kind="stable")
    left = _left(values[order], scores[order], given[order])
    if left is None:
        return 1.0
    both = float(np.prod([each[1:] @ each[:-1] for each in left]))
    return max(1.0, (1 + both) / (1 - both))


def _left(values: Array, scores: Array, given: Array) -> list[Array] | None:
    """What the ranks of ``given`` leave of two ranks, each of length 1; None where nothing is left of one."""
    a, b, c = (stats.rankdata(each) for each in (values, scores, given))
    c = (c - c.mean()) / max(float(np.ptp(c)), 1.0)
    design = np.stack([c**power for power in range(degree(len(c)) + 1)], axis=1)
    left = [each - design @ np.linalg.lstsq(design, each, rcond=None)[0] for each in (a, b)]
    sizes = [float(np.sqrt(each @ each)) for each in left]
    if min(sizes) < 1e-9 * len(a):
        return None
    return [each / size for each, size in zip(left, sizes, strict=True)]


def _both(values: Array, scores: Array) -> tuple[float, float]:
    if np.ptp(values) == 0 or np.ptp(scores) == 0:
        return float("nan"), float("nan")
    ranks = stats.rankdata(values), stats.rankdata(scores)
    return float(np.corrcoef(values, scores)[0, 1]), float(np.corrcoef(*ranks)[0, 1])


def _blocks(n: int, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of circular blocks, (draw, step)."""
    length = max(1, round(n ** (1 / 3)))
    starts = rng.integers(n, size=(draws, -(-n // length)))
    return np.asarray(((starts[:, :, None] + np.arange(length)) % n).reshape(draws, -1)[:, :n])

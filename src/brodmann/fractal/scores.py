"""Whether emergence goes with scores on benchmarks, more than training itself does.

Pearson and Spearman correlations over checkpoints, with a block bootstrap over steps (neighbouring checkpoints are not
independent; Kunsch 1989, circular blocks), the same for plain baselines, and partial correlations given log step. High
correlations over a whole training mostly say that both curves go from 0 to a plateau.
"""

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
        Of the bootstrap.
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
    clock = np.log1p(steps)
    drawn = np.array(
        [(*_both(values[rows], scores[rows]), partial(values[rows], scores[rows], clock[rows])) for rows in chosen]
    )
    low, high = _quantiles(drawn, ends)
    pearson, spearman = _both(values, scores)
    return Correlation(
        pearson, (low[0], high[0]), spearman, (low[1], high[1]), partial(values, scores, clock), (low[2], high[2]), n
    )


def _quantiles(drawn: Float[Array, "draw value"], ends: list[float]) -> tuple[list[float], list[float]]:
    """Both ends of each column's finite draws; NaN where there are none."""
    found = []
    for column in drawn.T:
        finite = column[np.isfinite(column)]
        found.append(np.quantile(finite, ends).tolist() if len(finite) else [float("nan")] * 2)
    return [low for low, _ in found], [high for _, high in found]


def partial(values: Float[Array, " step"], scores: Float[Array, " step"], given: Float[Array, " step"]) -> float:
    """Spearman's partial correlation: of what the ranks of ``given`` leave over. NaN where nothing is left."""
    a, b, c = (stats.rankdata(each) for each in (values, scores, given))
    design = np.stack([np.ones_like(c), c], axis=1)
    left = [each - design @ np.linalg.lstsq(design, each, rcond=None)[0] for each in (a, b)]
    sizes = [float(np.sqrt(each @ each)) for each in left]
    if min(sizes) < 1e-9 * len(a):
        return float("nan")
    return float(left[0] @ left[1] / (sizes[0] * sizes[1]))


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

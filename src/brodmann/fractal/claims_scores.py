"""Whether emergence goes with benchmark scores over the checkpoints of one training, beyond the training step.

Pearson's and Spearman's correlations describe: two curves that rise in training correlate whatever they are. The
finding is the partial correlation given log step, in the direction of better scores, from eight checkpoints on.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from brodmann.errors import WeightsError
from brodmann.fractal.scores import FEWEST, LEAST_GIVEN, correlate, degree, fisher, lower_is_better
from brodmann.stats import Finding, conclude
from brodmann.stats.finding import UNTESTED


def correlations(result: xr.Dataset, table: pd.DataFrame, model: str, rng: np.random.Generator) -> xr.Dataset:
    """Correlations of emergence, exponents and plain quantities with each score over the checkpoints.

    Correlations are with the score as it stands in the table; ``score_sign`` is -1 where a lower one is better.

    Raises
    ------
    WeightsError
        If the table speaks of no score at four or more of the checkpoints.
    """
    rows = rows_of(table, model)
    steps = result["step"].values
    quantities = {
        "emergence": result["emergence"].sel(grid="official").values,
        "emergence, scale-free": result["emergence"].sel(grid="scale_free").values,
        "alpha0": result["alpha0"].sel(grid="official").values, "width": result["width"].sel(grid="official").values,
        **{str(name): result["baseline"].sel(quantity=name).values for name in result["quantity"].values},
    }  # fmt: skip
    names, found, signs = [], [], []
    for (task, metric), part in rows.groupby(["task", "metric"], sort=False):
        by_step = part.groupby("step")["value"].mean()
        there = np.isin(steps, by_step.index.to_numpy(dtype=float))
        if there.sum() < FEWEST:
            continue
        scores = by_step.reindex(steps[there]).to_numpy(dtype=float)
        names.append(f"{task} ({metric})")
        signs.append(-1 if lower_is_better(str(metric)) else 1)
        found.append([_correlated(values[there], scores, steps[there], rng) for values in quantities.values()])
    if not names:
        raise WeightsError(f"the table of scores has no task with values at {FEWEST} or more of these checkpoints")
    values = np.array(found, dtype=np.float64)  # score, quantity, (pearson, 2, spearman, 2, partial, 2, inflation, n)
    names_of = ("pearson", "pearson_interval", "spearman", "spearman_interval", "partial", "partial_interval")
    variables: dict[str, Any] = {}
    for at, name in zip((0, 1, 3, 4, 6, 7), names_of, strict=True):
        bound = name.endswith("interval")
        dims = ("score", "compared", "bound") if bound else ("score", "compared")
        variables[f"score_{name}"] = (dims, values[..., at : at + 2] if bound else values[..., at])
    variables["score_count"] = ("score", values[:, 0, 10])
    variables["score_inflation"] = (("score", "compared"), values[..., 9])
    variables["score_sign"] = ("score", np.array(signs, dtype=np.int64))
    return xr.Dataset(variables, coords={"score": names, "compared": list(quantities)})


def comparable(table: pd.DataFrame, model: str, steps: Sequence[float]) -> bool:
    """Whether a table has a task with values at enough of the checkpoints.

    Raises
    ------
    WeightsError
        If it does not speak of the model.
    """
    rows = rows_of(table, model)
    there = rows[rows["step"].isin(list(steps))]
    return bool((there.groupby(["task", "metric"])["step"].nunique() >= FEWEST).any())


def _correlated(values: np.ndarray, scores: np.ndarray, steps: np.ndarray, rng: np.random.Generator) -> list[float]:
    known = np.isfinite(values)
    if known.sum() < FEWEST:
        return [np.nan] * 10 + [float(known.sum())]
    each = correlate(values[known], scores[known], steps[known], rng)
    return [
        each.pearson, *each.pearson_interval, each.spearman, *each.spearman_interval, each.partial,
        *each.partial_interval, each.inflation, float(each.n),
    ]  # fmt: skip


def rows_of(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """Rows that speak of a model: by its name or the last part of it; all where the table knows one model only."""
    known = table["model"].astype(str)
    short = model.rstrip("/").rpartition("/")[2]
    chosen = table[known.isin([model, short])]
    if len(chosen):
        return chosen
    if known.nunique() == 1:
        return table
    raise WeightsError(f"the table of scores does not speak of {short}; it has {', '.join(sorted(known.unique())[:8])}")


def scored(result: xr.Dataset, seed: int, source: str, manner: str) -> list[Finding]:
    """One finding for each score: whether emergence goes with better values, given the training step.

    Parameters
    ----------
    result
        With the variables that `correlations` gives.
    seed, source
        As findings note them.
    manner
        How distances were taken, for the caveats.
    """
    return [_scored(result, name, seed, source, manner) for name in result["score"].values.tolist()]


def _scored(result: xr.Dataset, name: str, seed: int, source: str, manner: str) -> Finding:
    at = result.sel(score=name, compared="emergence")
    clock = float(result["score_spearman"].sel(score=name, compared="log_step"))
    n, sign = int(at["score_count"]), int(at["score_sign"])
    value = sign * float(at["score_partial"])
    inflated = float(at["score_inflation"])
    low, high, p = fisher(value, n, given=degree(n), inflation=inflated)
    turned = ["lower is better: the score is negated for this estimate"] if sign < 0 else []
    return conclude(
        f"emergence_goes_with_{slug(name)}",
        f"Emergence ranks the checkpoints by '{name}' beyond what the training step alone does",
        estimate=value, interval=(low, high), units="Spearman correlation with better scores, given log step", n=n,
        p_values={"no tie beyond the training step": p} if np.isfinite(p) else {}, unit_of_inference="checkpoint",
        source=source, seed=seed,
        caveats=[
            *untied(value, n, "checkpoints", "step"), *turned,
            f"Spearman correlation {float(at['score_spearman']):.3g}; of log step alone {clock:.3g}",
            f"Pearson correlation {float(at['score_pearson']):.3g}", manner,
            f"what the step leaves of neighbours is not independent: variance of Fisher's z times {inflated:.3g}",
        ],
    )  # fmt: skip


def untied(value: float, n: int, points: str, given: str) -> list[str]:
    """First caveat of a partial correlation that was not tested; empty where it was."""
    if not np.isfinite(value):
        return [f"nothing is left of the ranks once the {given} is known"]
    if n < LEAST_GIVEN:
        return [f"{UNTESTED}: {n} {points}, a correlation given the {given} needs {LEAST_GIVEN}"]
    return []


def slug(name: str) -> str:
    """Name of a score as part of a finding's name.

    Examples
    --------
    >>> slug("lambada (acc)")
    'lambada__acc'
    """
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower()).strip("_")

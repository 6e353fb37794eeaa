"""Whether larger models have larger degrees of emergence, and whether emergence ranks models by their scores.

Each model is measured by `study` alone, against networks drawn from its own initialisation. The unit of inference is
the model: with four to eight sizes only an almost perfect order is more than chance. The published figure of E
against size is not monotone, and draws its models by rank.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats as distributions

from brodmann.errors import SettingsError
from brodmann.fractal.claims import SOURCE
from brodmann.fractal.compared import NOISE
from brodmann.fractal.scores import FEWEST, read_scores
from brodmann.fractal.study import study as one_model
from brodmann.models.chains import chain
from brodmann.models.shards import Checkpoint
from brodmann.partial import Partial
from brodmann.plain import to_dict
from brodmann.settings import FractalSettings
from brodmann.stats import Finding, conclude, correct, permutation_test

Progress = Callable[[str, float], None]

_TAKEN = ("alpha0", "width", "emergence", "emergence_interval", "excess", "excess_interval")


def study(
    checkpoints: Sequence[Checkpoint],
    *,
    settings: FractalSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    partial: Partial | None = None,
    workers: int | None = None,
    scores: pd.DataFrame | None = None,
) -> xr.Dataset:
    """Compare the weight graphs of models of several sizes.

    Parameters
    ----------
    checkpoints
        One per model, in order of size.
    settings, seed, progress, partial, workers
        As in `brodmann.fractal.study`.
    scores
        Scores to compare with, as `brodmann.fractal.scores.read_scores` gives them; of each model and task the one at
        its last step is taken.

    Returns
    -------
    xarray.Dataset
        Over ``model``: ``weights``, the number of weights of the graph; ``alpha0``, ``width``, ``emergence`` (grid,
        model), ``emergence_interval`` (..., bound), ``excess`` (grid, null, model), ``null_emergence`` (grid, null,
        model: mean of the draws), with scores ``score`` (task, model). ``findings`` in the attributes.

    Raises
    ------
    SettingsError
        If there are fewer than two models.
    WeightsError
        If weights cannot be read or make no network.
    """
    settings = settings or FractalSettings()
    if len(checkpoints) < 2:
        raise SettingsError("sizes needs at least two models")
    table = scores if settings.scores is None else read_scores(settings.scores)
    say = progress or (lambda _name, _share: None)
    alone = replace(settings, scores=None)
    measured, weights = [], []
    for number, checkpoint in enumerate(checkpoints):
        named = f"{_short(checkpoint.name)} ({number + 1}/{len(checkpoints)})"
        found = one_model(
            [checkpoint], settings=alone, seed=seed, partial=partial, workers=workers,
            progress=_within(say, named),
        )  # fmt: skip
        measured.append(found.isel(step=0, drop=True))
        steps = chain(checkpoint, settings.chain)
        weights.append(sum(each.sources * each.targets * len(each.tensors) for each in steps))
    names = [_short(checkpoint.name) for checkpoint in checkpoints]
    joined = xr.concat([each[list(_TAKEN)] for each in measured], dim="model", combine_attrs="drop")
    joined["null_emergence"] = xr.concat([each["null_emergence"].mean("draw") for each in measured], dim="model")
    result = joined.drop_vars("checkpoint", errors="ignore").assign_coords(model=names)
    result["weights"] = ("model", np.array(weights, dtype=np.int64))
    if table is not None:
        result = result.merge(_scores(table, names))
    result.attrs = {
        "title": "Weight graphs by size", "settings": json.dumps(to_dict(settings)), "seed": seed,
        "references": json.dumps([str(each.attrs["reference"]) for each in measured]),
        "mode": str(measured[0].attrs.get("mode", "")),
    }  # fmt: skip
    result.attrs["findings"] = json.dumps([each.to_dict() for each in findings(result, seed)])
    return result


def _within(say: Progress, named: str) -> Progress:
    return lambda name, share: say(f"{named}: {name}", share)


def _short(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def _scores(table: pd.DataFrame, names: Sequence[str]) -> xr.Dataset:
    """Score of each model at its last step, by task; NaN where the table has none."""
    known = table.assign(
        model=table["model"].astype(str).map(_short), task=table["task"] + " (" + table["metric"] + ")"
    )
    last = known.sort_values("step").groupby(["task", "model"], sort=False)["value"].last().unstack("model")
    found = last.reindex(columns=list(names))
    return xr.Dataset(
        {"score": (("task", "model"), found.to_numpy(dtype=float))},
        coords={"task": found.index.to_list(), "model": list(names)},
    )


def findings(result: xr.Dataset, seed: int) -> tuple[Finding, ...]:
    """Order by size, and by each score."""
    emergence = result["emergence"].sel(grid="official").values
    noise = result["null_emergence"].sel(grid="official", null="matched_scale").values
    size = result["weights"].values.astype(float)
    found = [_ordered("emergence_rises_with_size", "Larger models have a larger degree of emergence", emergence, size,
                      noise, seed)]  # fmt: skip
    for task in result["task"].values.tolist() if "score" in result else []:
        values = result["score"].sel(task=task).values
        slug = "".join(letter if letter.isalnum() else "_" for letter in task.lower()).strip("_")
        claim = f"The degree of emergence ranks the models by '{task}'"
        found.append(_ordered(f"emergence_ranks_models_{slug}", claim, emergence, values, noise, seed))
    return correct(found)


def _ordered(name: str, claim: str, emergence: np.ndarray, other: np.ndarray, noise: np.ndarray, seed: int) -> Finding:
    known = np.isfinite(emergence) & np.isfinite(other)
    n = int(known.sum())
    caveats = ["each model is counted from networks drawn from its own published initialisation"]
    value, interval, p = float("nan"), (-np.inf, np.inf), 1.0
    if n >= FEWEST:
        ranks = distributions.rankdata(emergence[known])
        against = distributions.rankdata(other[known])
        value = _correlation(ranks, against)
        one, two = ((each - each.mean()) / max(float(each.std()) * np.sqrt(n), 1e-12) for each in (ranks, against))
        tested = permutation_test(lambda order: one[order] @ two, n, rng=np.random.default_rng(seed), draws=9999)
        p, interval = tested.p, _interval(value, n)
        both = known & np.isfinite(noise)
        their = _correlation(distributions.rankdata(noise[both]), distributions.rankdata(other[both]))
        caveats += [f"that of {NOISE.words} correlates {their:.3g}"]
    else:
        caveats.insert(0, f"{n} models have both numbers: an order needs {FEWEST}")
    return conclude(
        name, claim, estimate=value, interval=interval, p_values={"models exchanged": p},
        units="Spearman correlation", n=n, unit_of_inference="model", source=SOURCE, seed=seed, caveats=caveats,
    )  # fmt: skip


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _interval(value: float, n: int) -> tuple[float, float]:
    """Fisher's transform with the variance of Bonett and Wright (2000); a perfect order ends at 1."""
    held = float(np.clip(value, -0.999999, 0.999999))
    half = float(distributions.norm.ppf(0.975)) * np.sqrt((1 + held**2 / 2) / (n - 3))
    centre = float(np.arctanh(held))
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))

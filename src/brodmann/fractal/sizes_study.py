"""Whether larger models have larger degrees of emergence, and whether emergence ranks models by their scores.

Each model is measured by `study` alone, against networks drawn from its own initialisation. Noise of the same scale has
a degree of emergence too, which may be ordered as the models are: what is ordered is the difference, and for scores log
size is taken out as well. The unit of inference is the model: with six sizes only an almost perfect order is more than
chance, with fewer nothing is tested, and scores take eight. The published figure of E against size is not monotone, and
draws its models by rank.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import stats as distributions

from brodmann.errors import SettingsError
from brodmann.fractal.claims import SOURCE
from brodmann.fractal.claims_scores import slug, untied
from brodmann.fractal.compared import NOISE
from brodmann.fractal.scores import FEWEST, LEAST, degree, fisher, lower_is_better, read_scores
from brodmann.fractal.scores import partial as partial_correlation
from brodmann.fractal.study import study as one_model
from brodmann.models.chains import chain
from brodmann.models.shards import Checkpoint
from brodmann.partial import Partial
from brodmann.plain import to_dict
from brodmann.settings import FractalSettings
from brodmann.stats import Finding, conclude, correct, permutation_test
from brodmann.stats.finding import UNTESTED

Array = NDArray[np.float64]
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
    found = [_by_size(result, seed)]
    found += [_by_score(result, task, seed) for task in (result["task"].values.tolist() if "score" in result else [])]
    return correct(found)


_COUNTED = "each model is counted from networks drawn from its own initialisation"


def _beyond_noise(result: xr.Dataset) -> tuple[Array, Array, Array]:
    """Degree of emergence of the models, that of noise of the same scale, and log size."""
    emergence = result["emergence"].sel(grid="official").values
    noise = result["null_emergence"].sel(grid="official", null="matched_scale").values
    return emergence, noise, np.log(result["weights"].values.astype(float))


def _by_size(result: xr.Dataset, seed: int) -> Finding:
    """Whether what a model has beyond noise of its own scale is ordered by size; p over all orders of the models."""
    emergence, noise, size = _beyond_noise(result)
    known = np.isfinite(emergence - noise)
    n = int(known.sum())
    value = _spearman((emergence - noise)[known], size[known]) if n >= FEWEST else float("nan")
    low, high, _ = fisher(value, n)
    caveats = [_alone("size", n, known, emergence, noise, size), _COUNTED]
    p_values = {}
    if np.isfinite(low):
        ranks = [distributions.rankdata(each[known]) for each in (emergence - noise, size)]
        one, two = ((each - each.mean()) / (float(each.std()) * np.sqrt(n)) for each in ranks)
        tested = permutation_test(lambda order: one[order] @ two, n, rng=np.random.default_rng(seed), draws=9999)
        p_values = {"models exchanged": tested.p}
    elif n < FEWEST:
        caveats.insert(0, f"{n} models have both numbers: an order needs {FEWEST}")
    elif np.isnan(value):
        caveats.insert(0, "the models do not differ in their number of weights")
    else:
        caveats.insert(0, f"{UNTESTED}: {n} models, an interval needs {LEAST}")
    return conclude(
        "emergence_rises_with_size",
        "Larger models have a larger degree of emergence, beyond that of noise of the same scale",
        estimate=value, interval=(low, high), p_values=p_values, units="Spearman correlation of the excess over noise",
        n=n, unit_of_inference="model", source=SOURCE, seed=seed, caveats=caveats,
    )  # fmt: skip


def _by_score(result: xr.Dataset, task: str, seed: int) -> Finding:
    """Whether what a model has beyond noise of its own scale goes with its score, given log size."""
    emergence, noise, size = _beyond_noise(result)
    falls = lower_is_better(task.partition(" (")[2])
    score = result["score"].sel(task=task).values * (-1 if falls else 1)
    known = np.isfinite(emergence - noise) & np.isfinite(score)
    n = int(known.sum())
    held = (emergence - noise)[known], score[known], size[known]
    value = partial_correlation(*held) if n >= FEWEST else float("nan")
    low, high, p = fisher(value, n, given=degree(n))
    first = untied(value, n, "models", "size")
    if n < FEWEST:
        first = [f"{n} models have both numbers: an order needs {FEWEST}"]
    return conclude(
        f"emergence_ranks_models_{slug(task)}",
        f"The degree of emergence goes with '{task}', beyond what size and noise of the same scale give",
        estimate=value, interval=(low, high), p_values={"no tie beyond size": p} if np.isfinite(p) else {},
        units="Spearman correlation of the excess over noise with better scores, given log size", n=n,
        unit_of_inference="model", source=SOURCE, seed=seed,
        caveats=[
            *first, *(["lower is better: the score is negated for this estimate"] if falls else []),
            _alone("a better score", n, known, emergence, noise, score),
            *([f"log size correlates {_spearman(size[known], score[known]):.3g} with a better score"] if n > 1 else []),
            _COUNTED,
        ],
    )  # fmt: skip


def _alone(other: str, n: int, known: NDArray[np.bool_], emergence: Array, noise: Array, values: Array) -> str:
    """Plain correlations, of the models and of noise."""
    if n < FEWEST:
        return f"{n} models"
    ours, theirs = (_spearman(each[known], values[known]) for each in (emergence, noise))
    return (
        f"with {other} the degree itself has a Spearman correlation of {ours:.3g}, that of {NOISE.words} {theirs:.3g}"
    )


def _spearman(one: Array, other: Array) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(distributions.rankdata(one), distributions.rankdata(other))[0, 1])

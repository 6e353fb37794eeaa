"""What may be said of a weight graph: emergence, and whether it is more than scale, entries or rows would give.

Source of the claims: Xiao et al. 2025 (ICLR, arXiv 2402.09099). Interval: neurons drawn again within their layers, the
same ones at both ends of the training, and halves of the target neurons; of sampled networks, the samples. They are one
run's: nothing is said about another. Each null is a few networks; p takes their spread and the neurons' together
(Student's t, Welch and Satterthwaite).
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats as distributions

from brodmann.errors import WeightsError
from brodmann.fractal import emergence
from brodmann.fractal.compared import NULLS
from brodmann.fractal.emergence import Estimate
from brodmann.fractal.network import COMMON
from brodmann.fractal.scores import FEWEST, correlate
from brodmann.models.rounding import FINE, can_write
from brodmann.stats import Finding, conclude, correct
from brodmann.stats.finding import UNTESTED

SOURCE = "Xiao et al. 2025, arXiv 2402.09099"
_SHAPES = ("matched_scale", "permuted_entries")
"""Nulls without neurons that differ, which a scale-free degree must exceed."""
_OFFICIAL = "1/|w| in whole numbers: the released code's grid, on which noise that only grows emerges too"


def findings(result: xr.Dataset, seed: int) -> tuple[Finding, ...]:
    """All claims that a result allows, p values corrected for their number."""
    found = [_rises(result, seed)]
    found += [_beyond(result, null, seed) for null in result["null"].values.tolist()]
    found.append(_scale_free(result, seed))
    if result.sizes["step"] >= FEWEST:
        found.append(_widens(result, seed))
    if "score_partial" in result:
        found += _scores(result, seed)
    return correct(found)


def _estimate(result: xr.Dataset, grid: str) -> Estimate:
    last = result.isel(step=-1).sel(grid=grid)
    low, high = (float(each) for each in last["emergence_interval"].values)
    return Estimate(float(last["emergence"]), low, high, float(last["emergence_deviation"]))


def _words(result: xr.Dataset) -> list[str]:
    """Where the emergence is counted from, and what must be known of both exponents."""
    reference = str(result.attrs.get("reference", ""))
    last = result.isel(step=-1).sel(grid="official")
    said = f"alpha0 {float(last['alpha0']):.3g}, width {float(last['width']):.3g}; counted from {reference}"
    simulated = [] if result.attrs.get("own_start") else ["no step 0 is at hand: its place takes a simulated network"]
    return [said, *simulated, *_stored(result), *_manner(result)]


def _stored(result: xr.Dataset) -> list[str]:
    """That weights lie in blocks of few bits, where they do."""
    coarse = [form for form in _coarse(result) if can_write(form)]
    return [f"weights are stored as {', '.join(coarse)}; noise is drawn, then stored so too"] if coarse else []


def _coarse(result: xr.Dataset) -> list[str]:
    return [form for form in json.loads(str(result.attrs.get("formats", "[]"))) if form not in FINE]


def _no_start(result: xr.Dataset) -> list[str]:
    """Why nothing can be counted from the beginning, if so."""
    if result.attrs.get("guessed"):
        return [
            (
                f"{UNTESTED}: no file says what the weights were before training, and a guess decides the number "
                "(--initial-deviation says it)"
            )
        ]
    return _no_noise(result)


def _no_noise(result: xr.Dataset) -> list[str]:
    """Why noise is no comparison, if so."""
    unknown = [form for form in _coarse(result) if not can_write(form)]
    if not unknown:
        return []
    return [
        (
            f"{UNTESTED}: weights are stored as {', '.join(unknown)}, and noise cannot be stored so here; take a "
            "file of sixteen bits"
        )
    ]


def _manner(result: xr.Dataset) -> list[str]:
    """How distances were taken, and what the interval is over."""
    mode = result.attrs.get("mode", "one hop, whole network")
    over = _unit(result)
    return [
        f"{mode}: not to be compared with other modes",
        f"one training run: the interval is over its {over}s, and says nothing of another run",
    ]


def _unit(result: xr.Dataset) -> str:
    return "sample" if result.attrs.get("sampled") else "neuron"


def _size(result: xr.Dataset) -> int:
    """How many neurons, or samples, stand behind an interval."""
    return int(result.attrs["samples"] if result.attrs.get("sampled") else result["kept"].values[0, -1])


def _start_draws(result: xr.Dataset, grid: str) -> np.ndarray:
    """Degree of emergence of fresh networks of the beginning, against the beginning."""
    if "initial" in result:
        drawn = result["initial"].sel(grid=grid).values
        alpha0, width = drawn.mean(axis=0)
        return emergence.degree(drawn[:, 0], drawn[:, 1], float(alpha0), float(width))
    start = result.isel(step=0).sel(grid=grid)
    noise = start.sel(null="matched_scale")
    return emergence.degree(
        noise["null_alpha0"].values, noise["null_width"].values, float(start["alpha0"]), float(start["width"])
    )


def _rises(result: xr.Dataset, seed: int) -> Finding:
    found, null = _estimate(result, "official"), _start_draws(result, "official")
    return _concluded(
        "emergence_rises", "The weight graph has a positive degree of emergence since the beginning", found,
        {"fresh networks of the beginning": null}, result, seed,
        [*_no_start(result), *_course(result), _common(result), _OFFICIAL],
    )  # fmt: skip


def _course(result: xr.Dataset) -> list[str]:
    """Where E was highest, if that was before the end."""
    values = result["emergence"].sel(grid="official").values
    if len(values) < 3 or not np.isfinite(values).any() or int(np.nanargmax(values)) == len(values) - 1:
        return []
    most = int(np.nanargmax(values))
    return [f"it was highest at step {result['step'].values[most]:g}, {values[most]:.3g}, and fell to the end"]


def _common(result: xr.Dataset) -> str:
    """E where no handful of edges decides."""
    common = float(result["common_emergence"].sel(grid="official").values[-1])
    return f"{common:.3g} on the radii that at least {COMMON} edges have"


def _scale_free(result: xr.Dataset, seed: int) -> Finding:
    found = _estimate(result, "scale_free")
    last = result.sel(grid="scale_free").isel(step=-1)
    nulls = {NULLS[name].words: last["null_emergence"].sel(null=name).values for name in _SHAPES}
    said = ["rms/|w| on 40 geometric radii: a matrix that only grows does not change"]
    claim = "In units of each matrix's own scale, the weight graph has a positive degree of emergence"
    first = result.sel(grid="scale_free").isel(step=0)
    begun = (
        [float(first[name]) for name in ("alpha0", "width")]
        if "initial" not in result else result["initial"].sel(grid="scale_free").values.mean(axis=0).tolist()
    )  # fmt: skip
    now = [float(last[name]) for name in ("alpha0", "width")]
    said.insert(
        0, f"on this grid alpha0 went from {begun[0]:.3g} to {now[0]:.3g}, width from {begun[1]:.3g} to {now[1]:.3g}"
    )
    why = _no_noise(result)
    if found.high < 0 and now[1] > begun[1]:
        why.append(f"{UNTESTED}: the spectrum widened while alpha0 rose; a product of both does not say which counts")
    return _concluded("emergence_scale_free", claim, found, nulls, result, seed, [*why, *said])


def _concluded(
    name: str, claim: str, found: Estimate, nulls: dict[str, np.ndarray], result: xr.Dataset, seed: int,
    caveats: Sequence[str],
) -> Finding:  # fmt: skip
    p = {words: emergence.p_above(found, null) for words, null in nulls.items()}
    tested = not any(caveat.startswith(UNTESTED) for caveat in caveats)
    return conclude(
        name, claim, estimate=found.value, interval=_interval(found) if tested else (-np.inf, np.inf), nulls=nulls,
        p_values={words: each if np.isfinite(each) and tested else 1.0 for words, each in p.items()},
        units="degree of emergence", n=_size(result), unit_of_inference=_unit(result), source=SOURCE, seed=seed,
        caveats=_in_order([*_undefined(found), *caveats, *_words(result)]),
    )  # fmt: skip


def _in_order(caveats: Sequence[str]) -> list[str]:
    """What kept a claim from being tested comes first."""
    return sorted(caveats, key=lambda caveat: not caveat.startswith(UNTESTED))


def _interval(found: Estimate) -> tuple[float, float]:
    return (found.low, found.high) if np.isfinite(found.low) else (-np.inf, np.inf)


def _undefined(found: Estimate) -> list[str]:
    if np.isfinite(found.value) and np.isfinite(found.low):
        return []
    return [_unknown(found.value, "alpha0 or the first width is not positive, so the degree is undefined")]


def _unknown(value: float, why: str) -> str:
    """First caveat of what could not be tested; where there is no estimate either, readers are told so elsewhere."""
    return f"{UNTESTED}: {why}" if np.isfinite(value) else why


def _beyond(result: xr.Dataset, null: str, seed: int) -> Finding:
    at = result.sel(grid="official", null=null).isel(step=-1)
    low, high = (float(each) for each in at["excess_interval"].values)
    drawn = at["null_emergence"].values
    own = f"the null's own degree is {np.nanmean(drawn):.3g}"
    free = result.sel(grid="scale_free", null=null).isel(step=-1)
    beside = f"on the scale-free grid the difference is {float(free['excess']):.3g}"
    p, words = float(at["excess_p"]), NULLS[null].words
    why = (
        _no_start(result)
        if null == "matched_scale"
        else [each for each in _no_start(result) if result.attrs["guessed"]]
    )
    if null == "matched_scale" and high < 0:
        spread = result.sel(grid="official", null="permuted_entries").isel(step=-1)["excess_interval"].values
        if not spread[1] < 0:  # what falls short of noise is what the entries are, wherever they stand
            low, high = min(low, float(spread[0])), max(high, float(spread[1]))
            own = f"{own}; the same entries in random places fall short of it too, so the interval holds both"
    found = Estimate(float(at["excess"]), low, high, np.nan)
    return conclude(
        f"emergence_beyond_{null}", NULLS[null].claim, estimate=found.value,
        interval=(-np.inf, np.inf) if why else _interval(found), nulls={words: drawn - np.nanmean(drawn)},
        p_values={words: p if np.isfinite(p) and not why else 1.0},
        units="degree of emergence, above the null", n=_size(result), unit_of_inference=_unit(result), source=SOURCE,
        seed=seed, caveats=_in_order([*why, *_undefined(found), own, beside, *_words(result)]),
    )  # fmt: skip


def _widens(result: xr.Dataset, seed: int) -> Finding:
    """The spectrum widens until some checkpoint, and alpha0 falls from there to the end, further than noise's."""
    grid = result.sel(grid="official")
    noise = grid.sel(null="matched_scale")
    width, alpha0 = grid["width"].values, grid["alpha0"].values
    widest, last = int(np.argmax(width)), len(width) - 1
    drift, gain = float(alpha0[last] - alpha0[widest]), float(width[widest] - width[0])
    spread = _deviation(grid["replicate_alpha0"].values, last, widest)
    gained = _deviation(grid["replicate_width"].values, widest, 0)
    their = noise["null_alpha0"].values[:, last] - noise["null_alpha0"].values[:, widest]  # (draw,)
    beyond = emergence.p_above(Estimate(-drift, np.nan, np.nan, spread), -their)
    p_values = {
        "no widening before the widest checkpoint": float(distributions.norm.sf(gain / gained)) if gained > 0 else 1.0,
        "drift of noise of the same scale": beyond if np.isfinite(beyond) else 1.0,
    }
    return conclude(
        "widens_then_drifts",
        "The spectrum widens and then drifts to smaller exponents, further than that of noise of the same scale",
        estimate=drift - float(their.mean()), direction="less",
        interval=_around(drift - float(their.mean()), spread) if widest < last else (-np.inf, np.inf),
        p_values=p_values, units="alpha0 (drift from the widest checkpoint to the last, minus noise's)",
        n=_size(result), unit_of_inference=_unit(result), source=SOURCE, seed=seed,
        caveats=[
            *([] if widest < last else [f"{UNTESTED}: the last checkpoint is the widest"]),
            f"widest at step {result['step'].values[widest]:g}, by {gain:.2g} over the beginning",
            f"alpha0 drifts by {drift:.2g} from there, that of noise of the same scale by {their.mean():.2g}",
            *_manner(result),
        ],
    )  # fmt: skip


def _deviation(replicates: np.ndarray, later: int, earlier: int) -> float:
    """Standard error of a difference between two checkpoints whose replicates (step, draw) are paired."""
    paired = replicates[later] - replicates[earlier]
    return float(paired.std(ddof=1)) if paired.size > 1 else 0.0


def _around(value: float, deviation: float) -> tuple[float, float]:
    half = float(distributions.norm.ppf(0.975)) * deviation
    return value - half, value + half


def correlations(result: xr.Dataset, table: pd.DataFrame, model: str, rng: np.random.Generator) -> xr.Dataset:
    """Correlations of emergence, exponents and plain quantities with each score over the checkpoints.

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
    names, found = [], []
    for (task, metric), part in rows.groupby(["task", "metric"], sort=False):
        by_step = part.groupby("step")["value"].mean()
        there = np.isin(steps, by_step.index.to_numpy(dtype=float))
        if there.sum() < FEWEST:
            continue
        scores = by_step.reindex(steps[there]).to_numpy(dtype=float)
        names.append(f"{task} ({metric})")
        found.append([_correlated(values[there], scores, steps[there], rng) for values in quantities.values()])
    if not names:
        raise WeightsError(f"the table of scores has no task with values at {FEWEST} or more of these checkpoints")
    values = np.array(found, dtype=np.float64)  # score, quantity, (pearson, 2, spearman, 2, partial, 2)
    names_of = ("pearson", "pearson_interval", "spearman", "spearman_interval", "partial", "partial_interval")
    variables: dict[str, Any] = {}
    for at, name in zip((0, 1, 3, 4, 6, 7), names_of, strict=True):
        bound = name.endswith("interval")
        dims = ("score", "compared", "bound") if bound else ("score", "compared")
        variables[f"score_{name}"] = (dims, values[..., at : at + 2] if bound else values[..., at])
    variables["score_count"] = ("score", values[:, 0, 9])
    return xr.Dataset(variables, coords={"score": names, "compared": list(quantities)})


def _correlated(values: np.ndarray, scores: np.ndarray, steps: np.ndarray, rng: np.random.Generator) -> list[float]:
    known = np.isfinite(values)
    if known.sum() < FEWEST:
        return [np.nan] * 9 + [float(known.sum())]
    each = correlate(values[known], scores[known], steps[known], rng)
    return [
        each.pearson, *each.pearson_interval, each.spearman, *each.spearman_interval, each.partial,
        *each.partial_interval, float(each.n),
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


def _scores(result: xr.Dataset, seed: int) -> list[Finding]:
    found = []
    for name in result["score"].values.tolist():
        at = result.sel(score=name, compared="emergence")
        clock = float(result["score_spearman"].sel(score=name, compared="log_step"))
        low, high = (float(each) for each in at["score_partial_interval"].values)
        value = float(at["score_partial"])
        finite = np.isfinite([value, low, high]).all()
        found.append(
            conclude(
                f"emergence_goes_with_{_slug(name)}",
                f"Emergence ranks the checkpoints by '{name}' beyond what the training step alone does",
                estimate=value, interval=(low, high) if finite else (-np.inf, np.inf),
                units="Spearman correlation, given log step", n=int(at["score_count"]), unit_of_inference="checkpoint",
                source=SOURCE, seed=seed,
                caveats=[
                    *([] if finite else [_unknown(value, "nothing is left of the ranks once the step is known")]),
                    f"Spearman correlation {float(at['score_spearman']):.3g}; of log step alone {clock:.3g}",
                    f"Pearson correlation {float(at['score_pearson']):.3g}", _manner(result)[0],
                    "no null model: the interval is a block bootstrap over checkpoints, few and not independent",
                ],
            )
        )  # fmt: skip
    return found


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower()).strip("_")

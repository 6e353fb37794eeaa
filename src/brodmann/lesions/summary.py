"""What a sweep of lesions amounts to: means with intervals, areas, ratios, overlap and balance of the sets.

Intervals of means are over prompts and, for random orders, draws together; those of ratios hold the chance in which set
was drawn too, as the findings' do (`areas`). Verdicts are made in `claims`; nothing is run here.
"""

from typing import Any

import numpy as np
import xarray as xr

from brodmann.lesions import orders
from brodmann.lesions.areas import area, mean_interval, ratio_over_sets
from brodmann.lesions.claims import FEWEST_PROMPTS, MATCHED, ORDERS
from brodmann.lesions.ranking import Curves, Ranked

CONTROLS = tuple(name for name in ORDERS if name != "synergistic")


def summarise(
    recording: xr.Dataset, ranked: Ranked, curves: Curves, nats: np.ndarray, importance: np.ndarray
) -> xr.Dataset:
    """Dataset of the lesion study, without attributes; `study` lists its variables.

    Parameters
    ----------
    recording
        Gives the prompts and what is known of the units.
    ranked, curves
        Units and orders.
    nats : array (curve, fraction, prompt)
        Divergences.
    importance : array (unit,)
        Gradient importance of the ranked units, mean of both halves of the prompts.
    """
    kept = {
        name: ("unit", recording[name].sel(unit=ranked.unit).values)
        for name in ("kind", "stack", "index", "depth")
        if name in recording.coords
    }
    draw = [curves.order[:k].count(name) for k, name in enumerate(curves.order)]
    coordinates = {
        "curve": np.arange(len(curves.order)), "curve_order": ("curve", list(curves.order)), "draw": ("curve", draw),
        "fraction": curves.share, "prompt": recording["prompt"].values, "unit": ranked.unit,
        "unit_layer": ("unit", ranked.layer), "order": list(ORDERS), "control": list(CONTROLS),
        "quantity": ["activity", "autocorrelation"], **kept,
    }  # fmt: skip
    areas = area(curves.share, nats)
    variables = {
        "divergence": (("curve", "fraction", "prompt"), nats, _nats("divergence from the intact model")),
        "area": (("curve", "prompt"), areas, {"long_name": "area under the curve", "units": "nats x share"}),
        "removed": ("fraction", curves.count, _plain("units that are gone")),
        "removal": (("curve", "unit"), _removal(curves), _plain("share of units gone when it goes")),
        "rank": ("unit", ranked.rank, _plain("ranking under test")),
        "importance": ("unit", importance, _plain("gradient importance, within the layer")),
        "activity": ("unit", ranked.activity, _plain("mean activity")),
        "autocorrelation": ("unit", ranked.autocorrelation, _plain("lag-1 autocorrelation")),
        **_means(curves, nats),
        **_sets(curves, ranked),
        **_ratios(curves, nats, areas),
    }
    return xr.Dataset(variables, coordinates)


def _removal(curves: Curves) -> np.ndarray:
    units, most = curves.gone.shape[2], int(curves.count[-1])
    removal = np.full((len(curves.order), units), np.nan)
    for row, each in enumerate(curves.units):
        removal[row, each[:most]] = np.arange(1, most + 1) / units
    return removal


def _means(curves: Curves, nats: np.ndarray) -> dict[str, Any]:
    """Mean of each order at each step, its interval, and the range of its draws."""
    values = [curves.of(name, nats) for name in ORDERS]
    bands = [mean_interval(each) for each in values]
    means = [each.mean(axis=2) for each in values]
    dims, known = ("order", "fraction"), nats.shape[2] >= FEWEST_PROMPTS
    # a divergence is never below 0, an interval around a small mean may be
    low, high = (np.stack([np.maximum(getattr(band, end), 0) for band in bands]) for end in ("low", "high"))
    return {
        "mean": (dims, np.stack([band.estimate for band in bands]), _nats("mean divergence")),
        "mean_low": (dims, low if known else np.full_like(low, np.nan), _nats("low end of its interval")),
        "mean_high": (dims, high if known else np.full_like(high, np.nan), _nats("high end of its interval")),
        "lowest": (dims, np.stack([each.min(axis=0) for each in means]), _nats("smallest of the draws")),
        "highest": (dims, np.stack([each.max(axis=0) for each in means]), _nats("largest of the draws")),
    }


def _sets(curves: Curves, ranked: Ranked) -> dict[str, Any]:
    """How much each order's set overlaps with the core's, and how much the two differ in activity and memory."""
    core = curves.of("synergistic", curves.gone)[0]
    sets = [curves.of(name, curves.gone) for name in ORDERS]
    shared = np.stack([(each & core).sum(axis=2).mean(axis=0) / core.sum(axis=1) for each in sets])
    gap = np.array([
        [np.mean([orders.imbalance(core[-1], draw[-1], values) for draw in each]) for each in sets]
        for values in (ranked.activity, ranked.autocorrelation)
    ])  # fmt: skip
    return {
        "shared": (("order", "fraction"), shared, _plain("share of the core's set that this order's set holds")),
        "gap": (("quantity", "order"), gap, _plain("mean of the core's set minus this one's, in SD over units")),
    }


def _ratios(curves: Curves, nats: np.ndarray, areas: np.ndarray) -> dict[str, Any]:
    core = curves.of("synergistic", areas)
    random, largest = curves.of("random", areas), float(curves.share[-1])
    found = [ratio_over_sets(core, curves.of(name, areas), random, largest) for name in CONTROLS]
    top = curves.of("synergistic", nats).mean(axis=(0, 2))
    at = np.stack([top / curves.of(name, nats).mean(axis=(0, 2)) for name in CONTROLS])
    known = nats.shape[2] >= FEWEST_PROMPTS
    low, high = ([float(getattr(each, end)) if known else np.nan for each in found] for end in ("low", "high"))
    return {
        "ratio": ("control", [float(each.estimate) for each in found], _plain("area of the core over the control's")),
        "ratio_low": ("control", low, _plain("low end of its interval")),
        "ratio_high": ("control", high, _plain("high end of its interval")),
        "ratio_at": (("control", "fraction"), at, _plain("divergence of the core over the control's")),
        "ratio_of_draw": ("curve", _of_draws(curves, areas), _plain("area of a draw over the mean of the others")),
    }


def _of_draws(curves: Curves, areas: np.ndarray) -> np.ndarray:
    """How far a draw's area is from the other draws of its order: the null of the ratio; NaN for single sets."""
    mean = areas.mean(axis=1)
    found = np.full(len(mean), np.nan)
    for name in ORDERS:
        places = curves.of(name, np.arange(len(mean)))
        if len(places) > 1:
            found[places] = mean[places] / ((mean[places].sum() - mean[places]) / (len(places) - 1))
    return found


_CROSSED = (
    "cross-fitted: even prompts are lesioned by their importance on odd prompts, and the reverse, so that neither"
    " ranking saw the loss that it is measured by; each rests on half of the prompts"
)


def caveats(result: xr.Dataset, *, same_prompts: bool) -> dict[str, tuple[str, ...]]:
    """What the numbers ask to be said beside the findings, by control; ``all`` belongs to every finding."""
    share = result["fraction"].values
    most = f"{share[-1]:.0%} removed"
    notes: dict[str, list[str]] = {}
    for name in CONTROLS:
        at = result["ratio_at"].sel(control=name).values
        steps = ", ".join(f"{value:.2g} at {x:.0%}" for x, value in zip(share, at, strict=True))
        notes[name] = [f"divergence, core over control, by share removed: {steps}"]
    shared = float(result["shared"].sel(order="layer_matched").isel(fraction=-1))
    notes["layer_matched"].append(
        f"at {most}, a layer-matched set holds {shared:.0%} of the core, which moves the ratio towards 1"
    )
    for name, quantity in (("norm_matched", "activity"), ("autocorrelation_matched", "autocorrelation")):
        gap = float(result["gap"].sel(quantity=quantity, order=name))
        words = "matched" if abs(gap) <= MATCHED else "poorly matched: the core has too few like it outside"
        notes[name].append(f"at {most}, the {quantity} of core and control differs by {gap:.2g} SD ({words})")
    notes["all"] = ["removal is by zeroing, which also takes later layers off the inputs they know"]
    if same_prompts:
        notes["all"].append("the core was ranked on activity recorded on these same prompts")
    notes["importance"].append(_CROSSED)
    return {name: tuple(each) for name, each in notes.items()}


def _nats(words: str) -> dict[str, str]:
    return {"long_name": words, "units": "nats"}


def _plain(words: str) -> dict[str, str]:
    return {"long_name": words, "units": "1"}

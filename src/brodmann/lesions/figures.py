"""The lesion chapter: from the study's Dataset to figures (plotly JSON). It draws what is there and computes nothing.

The core is warm and redundant units are cool, controls are grey, the rival ranking is ink; a line's name stands at its
end. Controls that are drawn several times are bands from their least to their most harmful draw.
"""

import json
from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.lesions.claims import ORDERS
from brodmann.page import Chapter, Panel
from brodmann.plotting import band, has, heading, label, layout, line, note, text_number, vline
from brodmann.removal import REMOVALS, Removal

_FARTHEST = 12.0
"""Ratio at which the axis ends; what lies beyond is named at its end."""
_GREYS = (look.INK, look.INK_2, look.NULL)
"""Of units that go early, later and last; the colour of rules is left to those that stay."""
_INKS = {"core": look.SYNERGY, "redundant": look.REDUNDANCY, "control": look.NULL, "rival": look.INK}
_PANELS = {"random": ("", "Random and redundant orders"), "matched": ("2", "Matched sets, and a rival")}
"""Axis and heading of each panel of curves."""


def chapter(dataset: xr.Dataset, recording: xr.Dataset) -> Chapter:
    """Draw the lesion study.

    Parameters
    ----------
    dataset : xarray.Dataset
        What `brodmann.lesions.study` returned, or the same read from a store.
    recording : xarray.Dataset
        The recording whose text the lesioned models were scored on.
    """
    provenance = json.loads(str(dataset.attrs.get("provenance", "{}")))
    suffix = " (randomly initialised)." if provenance.get("randomly_initialised") else "."
    panels = tuple(
        Panel(p.name, p.title.removesuffix(".") + suffix, p.figure, p.how_to_read, p.description, p.detail)
        for p in (curves(dataset), ratios(dataset), removal(dataset))
        if p
    )
    return Chapter(
        name="lesions",
        title="Lesions",
        question="Does the model's behaviour depend on its synergistic core?",
        summary=_summary(dataset, recording),
        panels=panels,
        unit_columns={"importance": "gradient importance"},
        citations=("urbina2026", "michel2019", "efron1981", "satterthwaite1946", "holm1979"),
        readings=_readings(dataset),
    )


def curves(dataset: xr.Dataset) -> Panel | None:
    """Divergence against the share of units removed, for all orders."""
    if not has(dataset, "mean"):
        return None
    kind, x = _kind(dataset), np.concatenate([[0.0], dataset["fraction"].values])
    traces: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for panel, (axis, title) in _PANELS.items():
        notes.append(heading(title, axis))
        if axis == "":
            low, high = (_from_zero(dataset, end, "layer_matched") for end in ("lowest", "highest"))
            traces.append(band(x, low, high, look.NULL_BAND))
        if has(dataset, "mean_low"):
            low, high = (_from_zero(dataset, end, "synergistic") for end in ("mean_low", "mean_high"))
            traces.append(band(x, low, high, look.SYNERGY_BAND, axis=axis, opacity=0.75))
        for name, order in _shown(dataset, panel):
            values, ink = _from_zero(dataset, "mean", name), _INKS[order.role]
            traces.append(line(x, values, order.words, ink, width=order.width, dash=order.dash, axis=axis))
            notes.append(label(order.words, x, values, look.INK_2 if ink == look.NULL else ink, axis=axis))
    most = _percent(x[-1])
    core, layer, redundant = (
        text_number(float(_from_zero(dataset, "mean", name)[-1]))
        for name in ("synergistic", "layer_matched", "redundant")
    )
    title = (
        f"With {most} of the {kind}s removed, behaviour moves by {core} nats if the core goes first, by {layer} if as "
        f"many {kind}s of the same layers go at random, and by {redundant} if the redundant ones go first."
    )
    highest = max((float(v) for trace in traces for v in trace["y"] if v is not None), default=1e-9)
    figure = layout(
        {"title": f"share of {kind}s removed", "range": [0, float(x[-1])]},
        {"title": "divergence from the intact model (nats)", "range": [0, 1.04 * highest or 1.0]},
        columns=2, annotations=notes, height=430,
    )  # fmt: skip
    return Panel(
        "lesions", title, {"data": traces, "layout": figure},
        how_to_read="Each line removes more and more units in one order and asks how far the model's next-token "
        "probabilities move, on the intact model's own answers. The warm band is the 95 % interval of the core's line "
        "over prompts. The grey band reaches from the least to the most harmful of the layer-matched draws: a core "
        "inside it does what any units of its layers would do.",
        description=f"Two line charts of divergence by share of units removed. {title}",
        detail=_sizes(dataset),
    )  # fmt: skip


def ratios(dataset: xr.Dataset) -> Panel | None:
    """Area under the core's curve over that of each control, with intervals and the spread of the draws."""
    if not has(dataset, "ratio"):
        return None
    names = [str(name) for name in dataset["control"].values]
    height = {name: float(len(names) - place) for place, name in enumerate(names)}
    traces: list[dict[str, Any]] = []
    wide, notes = _end(dataset), [note(1.0, len(names) + 0.5, "\xa0equal", anchor="left", colour=look.INK_2)]
    for name in names:
        chosen = dataset["curve_order"].values == name
        draws = dataset["ratio_of_draw"].values[chosen]
        draws = draws[np.isfinite(draws)]
        if len(draws):
            traces.append(_ticks(draws, height[name]))
        one = dataset.sel(control=name)
        value, low, high = (float(one[f"ratio{end}"]) for end in ("", "_low", "_high"))
        if np.isfinite([low, high]).all():
            traces.append(_reach(min(low, wide), min(high, wide), height[name]))
            if high > wide:
                end = f"{high:,.0f}" if high >= 100 else text_number(high)
                traces.append(_arrow(wide, height[name], f"the interval reaches {end}"))
                notes.append(note(wide, height[name] + 0.2, f"to {end}", anchor="right"))
        said = f"[{text_number(low)}, {text_number(high)}]"
        if value <= wide:
            traces.append(_dot(value, height[name], f"core over {ORDERS[name]}\n{text_number(value)} {said}"))
        else:
            notes.append(note(wide, height[name] - 0.3, f"{text_number(value)} {said}", anchor="right"))
    matched = dataset.sel(control="layer_matched")
    value, low, high = (float(matched[f"ratio{end}"]) for end in ("", "_low", "_high"))
    interval = f" [{text_number(low)}, {text_number(high)}]" if np.isfinite([low, high]).all() else ""
    title = f"Removing the core costs {text_number(value)}{interval} times what random units of the same layers cost."
    figure = layout(
        {"title": "area under the core's curve over the control's", "range": [0, 1.06 * wide]},
        {"title": "", "range": [0.4, len(names) + 0.6], "tickvals": [height[name] for name in names],
         "ticktext": [ORDERS[name] for name in names]},
        annotations=notes, shapes=[vline(1.0)], height=90 + 44 * len(names),
    )  # fmt: skip
    return Panel(
        "lesion_ratios", title, {"data": traces, "layout": figure},
        how_to_read="Right of the dashed line, removing the core hurts more than the control; left of it, less. Lines "
        "are 95 % intervals over prompts, draws and the chance in which set was drawn: another set, drawn alike, would "
        "cost something else; the findings have the same intervals. Grey ticks are single random draws, each divided "
        "by the mean of the others: where no unit is special, the dot lies among them. An interval that leaves the "
        "axis ends in an arrow.",
        description=f"Dot plot of {len(names)} area ratios. {title}",
        detail=_matching(dataset),
    )  # fmt: skip


def removal(dataset: xr.Dataset) -> Panel | None:
    """Which units go, and when: the core, one layer-matched draw, and the rival ranking."""
    if not has(dataset, "removal") or "index" not in dataset:
        return None
    layer, index = dataset["unit_layer"].values, dataset["index"].values
    rank = dataset["rank"].values
    scaled = (np.argsort(np.argsort(rank)) / max(1, len(rank) - 1)).tolist()
    traces, notes = [], []
    shown = {"": "synergistic", "2": "layer_matched", "3": "importance"}
    headings = {"": "The core", "2": "One draw, same layers", "3": "Gradient importance"}
    for axis, name in shown.items():
        row = int(np.flatnonzero(dataset["curve_order"].values == name)[0])
        gone = dataset["removal"].values[row]
        traces.append(_map(dataset, layer, index, gone, scaled if name == "synergistic" else None, axis))
        notes.append(heading(headings[axis], axis))
    layers = np.unique(layer[np.isfinite(dataset["removal"].values[0])])
    count = int(dataset["removed"].values[-1])
    kind, ticks = _kind(dataset), list(range(0, int(index.max()) + 1, int(index.max()) // 8 + 1))
    first = str(dataset["unit"].values[int(np.argmax(rank))])
    title = (
        f"The {count:,} {kind}s that are removed when the core goes first lie in {len(layers)} of "
        f"{len(np.unique(layer))} layers; the first to go is {first}."
    )
    figure = layout(
        {"title": "layer", "range": [float(layer.min()) - 0.8, float(layer.max()) + 0.8]},
        {"title": kind, "range": [float(index.max()) + 0.8, -0.8], "tickvals": ticks},
        columns=3, annotations=notes, height=360,
    )  # fmt: skip
    return Panel(
        "lesion_order", title, {"data": traces, "layout": figure},
        how_to_read=f"One dot per {kind}. Filled dots are removed within the curves above, the first ones strongest; "
        "open dots stay. Left in the colours of the plate. The middle draw takes as many from each layer as the core.",
        description=f"Three maps of layers and {kind}s. {title}",
    )  # fmt: skip


def _map(
    dataset: xr.Dataset, layer: np.ndarray, index: np.ndarray, gone: np.ndarray, rank: list[float] | None, axis: str
) -> dict[str, Any]:
    known = np.isfinite(gone)
    last = float(np.nanmax(gone))
    # rounded: three times 0.4 over 0.4 is a little more than 3
    steps = np.where(known, np.ceil(np.round(len(_GREYS) * gone / last, 9)) - 1, 0).astype(int)
    filled = [look.rank_colour(r) for r in rank] if rank is not None else [_GREYS[step] for step in steps]
    said = [f"goes when {_percent(value)} are gone" if ok else "stays" for value, ok in zip(gone, known, strict=True)]
    size = float(np.clip(230 / max(np.ptp(layer) + 1, np.ptp(index) + 1), 3, 8))
    return {
        "type": "scatter", "mode": "markers", "x": layer.astype(float).tolist(), "y": index.astype(float).tolist(),
        "marker": {
            "color": [colour if ok else look.RULE for colour, ok in zip(filled, known, strict=True)],
            "symbol": ["circle" if ok else "circle-open" for ok in known],
            "size": size, "line": {"width": 0.6},
        },
        "hovertext": [f"{unit}\n{words}" for unit, words in zip(dataset["unit"].values, said, strict=True)],
        "ids": [str(unit) for unit in dataset["unit"].values], "xaxis": f"x{axis}", "yaxis": f"y{axis}",
        "name": "order of removal",
    }  # fmt: skip


def _ticks(values: np.ndarray, y: float) -> dict[str, Any]:
    tips = [f"one draw\n{text_number(float(value))}" for value in values]
    return {"type": "scatter", "mode": "markers", "x": values.tolist(), "y": [y - 0.22] * len(values), "name": "draws",
            "marker": {"symbol": "line-ns", "size": 9, "color": look.NULL, "line": {"width": 1.2, "color": look.NULL}},
            "hovertext": tips}  # fmt: skip


def _reach(low: float, high: float, y: float) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": [low, high], "y": [y, y], "name": "interval",
            "line": {"color": look.SYNERGY, "width": 2.2}, "hoverinfo": "skip"}  # fmt: skip


def _end(dataset: xr.Dataset) -> float:
    """Where the axis of ratios ends: a half beyond the farthest dot or draw, and not beyond what there is."""
    ratio, high, draws = (
        values[np.isfinite(values)] for values in (dataset[n].values for n in ("ratio", "ratio_high", "ratio_of_draw"))
    )
    dots = float(np.max(np.concatenate([ratio[ratio <= _FARTHEST], draws, [1.0]])))
    return min(_FARTHEST, max(1.5 * dots, 2.0), max(dots, float(np.max(high, initial=1.0))))


def _arrow(x: float, y: float, tip: str) -> dict[str, Any]:
    return {"type": "scatter", "mode": "markers", "x": [x], "y": [y], "name": "interval goes on", "hovertext": [tip],
            "marker": {"symbol": "triangle-right", "size": 9, "color": look.SYNERGY}}  # fmt: skip


def _dot(x: float, y: float, tip: str) -> dict[str, Any]:
    return {"type": "scatter", "mode": "markers", "x": [x if np.isfinite(x) else None], "y": [y], "name": "ratio",
            "marker": {"color": look.SYNERGY, "size": 10}, "hovertext": [tip]}  # fmt: skip


def _from_zero(dataset: xr.Dataset, name: str, order: str) -> np.ndarray:
    """A curve with its first point, where nothing is removed and nothing diverges."""
    return np.concatenate([[0.0], dataset[name].sel(order=order).values])


def _shown(dataset: xr.Dataset, panel: str) -> list[tuple[str, Removal]]:
    """Orders of a panel that the dataset has (an older one may have fewer), the core last."""
    has_curve = set(dataset["order"].values.tolist())
    found = [(name, each) for name, each in REMOVALS.items() if each.panel in (panel, "all") and name in has_curve]
    return sorted(found, key=lambda one: one[1].role == "core")


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\xa0%"


def _kind(dataset: xr.Dataset) -> str:
    return str(dataset.attrs.get("kind", "unit"))


def _summary(dataset: xr.Dataset, recording: xr.Dataset) -> str:
    tokens = int(recording["length"].values.sum()) if "length" in recording else 0
    kind = _kind(dataset)
    return (
        f"{dataset.sizes['unit']:,} {kind}s are removed in {dataset.sizes['curve']} orders, up to "
        f"{_percent(dataset['fraction'].values[-1])}, and the lesioned model is compared with the intact one at each "
        f"of {tokens:,} positions of the intact model's own answers to {dataset.sizes['prompt']} prompts."
    )


def _sizes(dataset: xr.Dataset) -> str:
    names = dataset["curve_order"].values.tolist()
    layered, plain = names.count("layer_matched"), names.count("random")
    return (
        "Kullback-Leibler divergence, intact to lesioned, over the whole vocabulary, teacher-forced. "
        f"{layered} layer-matched and {plain} random orders; matched sets are one order each, of {_kind(dataset)}s "
        "outside the core."
    )


def _matching(dataset: xr.Dataset) -> str:
    shared = float(dataset["shared"].sel(order="layer_matched").isel(fraction=-1))
    gaps = [
        f"{quantity} by {text_number(float(dataset['gap'].sel(quantity=quantity, order=order)))} SD"
        for order, quantity in (("norm_matched", "activity"), ("autocorrelation_matched", "autocorrelation"))
    ]
    most = _percent(dataset["fraction"].values[-1])
    return (
        f"At {most} removed, a layer-matched set holds {_percent(shared)} of the core itself, which moves its ratio "
        f"towards 1. The matched sets differ from the core in {' and in '.join(gaps)} over units."
    )


def _readings(dataset: xr.Dataset) -> tuple[str, ...]:
    expert = _kind(dataset) == "expert"
    what = "an expert: its gate value is 0, the others keep theirs" if expert else "a head: its output is 0"
    return (
        f"Removal of {what}. Urbina-Rodriguez et al. do not say how they remove one.",
        (
            "Layer-matched orders draw from all units of a layer, the core's own among them: only then is the core one "
            "of the draws if it is not special."
        ),
        (
            "Gradient importance (Michel et al. 2019): mean over prompts of the absolute gradient of the answer's mean "
            "negative log-likelihood by the unit's gate, divided by the norm of its layer. Ranked on even prompts and "
            "measured on odd ones, and the reverse; the map of units has the mean of both scores."
        ),
    )

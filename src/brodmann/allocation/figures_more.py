"""Further figures of the allocation chapter: by layer, by measure, the texts themselves, and neurons."""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.allocation import figures_text
from brodmann.allocation.figures_axes import POOLED, dot, log_axis, pick, ratio_text, upright_one
from brodmann.page import Panel
from brodmann.plotting import band, has, heading, hline, keyed, label, layout, line, named_rows, note, text_number

_MEASURES = {"density": "density", "level": "level", "hoyer": "Hoyer sparsity", "participation": "participation"}
_BARE = "without covariates"


def layers(dataset: xr.Dataset) -> Panel | None:
    """Ratios of density by layer."""
    if not has(dataset, "layer_ratio"):
        return None
    layer = dataset["layer"].values
    traces: list[dict[str, Any]] = []
    notes = [heading("All units of the layer", ""), heading("Core over others of the layer", "2")]
    for axis, compared, colour, shade in (
        ("", "all units", look.INK, look.NULL_BAND), ("2", "core over others", look.SYNERGY, look.SYNERGY_BAND),
    ):  # fmt: skip
        some = dataset.sel(compared_layer=compared)
        drawn, named = _by_depth(some, "layer", layer, colour, shade, axis)
        traces += drawn
        notes += named
    if not traces:
        return None
    figure = layout({"title": "depth (0 first layer, 1 last)", "range": [0, 1]},
                    {"title": "ratio of density", **log_axis(*_span(traces))}, columns=2, annotations=notes,
                    shapes=[hline(0.0), hline(0.0, "2")], height=400)  # fmt: skip
    hard = dataset["layer_ratio"].sel(compared_layer="all units", contrast_layer="hard").values
    top = int(np.nanargmax(hard)) if np.isfinite(hard).any() else 0
    title = (
        f"Density on hard tasks is highest over neutral text in layer {int(layer[top])} "
        f"({ratio_text(float(hard[top]))} times), over all units of a layer."
    )
    return Panel(
        "allocation-layers", title, {"data": traces, "layout": figure},
        how_to_read="Left: what a kind of text does to all units of a layer. Right: the core's units over the others "
        "of the same layer, where a layer holds both. Bands are 95 % intervals over texts. Where only the left side "
        "moves, an effect belongs to the layer and not to the core.",
        description=f"Two line charts by depth. {title}",
    )  # fmt: skip


def _by_depth(
    some: xr.Dataset, name: str, layer: np.ndarray, colour: str, shade: str, axis: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines with bands of hard tasks and repetition over depth, on a logarithmic axis, and their names."""
    depth = layer / max(1, int(layer.max()))
    traces: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for contrast, dash, width in (("hard", None, 2.0), ("simple", "dot", 1.6)):
        chosen = some.sel(contrast_layer=contrast)
        value, low, high = (np.log(chosen[f"{name}_{end}"].values) for end in ("ratio", "low", "high"))
        if not np.isfinite(value).any():
            continue
        trace = line(depth, value, POOLED[contrast], colour, width=width, dash=dash, axis=axis)
        tips = [ratio_text(float(np.exp(v))) if np.isfinite(v) else "" for v in value]
        # a layer whose neighbours have no value would vanish from a line
        dots = {"mode": "lines+markers", "marker": {"size": 5, "color": colour}, "hovertext": tips}
        for run in np.split(np.arange(len(value)), np.flatnonzero(~np.isfinite(low))):
            if np.isfinite(low[run]).sum() > 1:
                traces += [band(depth[run], low[run], high[run], shade, axis=axis, opacity=0.6)]
        traces += [trace | dots]
        notes += [label(POOLED[contrast], depth, value, colour, axis=axis)]
    return traces, notes


def _span(traces: list[dict[str, Any]]) -> tuple[float, float]:
    values = [value for trace in traces for value in trace["y"] if value is not None]
    return min(values), max(values)


def measures(dataset: xr.Dataset) -> Panel | None:
    """The ratio of ratios by every measure and version."""
    if not has(dataset, "ratio"):
        return None
    versions = [str(v) for v in dataset["version"].values]
    rows = [(measure, version) for measure in _MEASURES for version in versions][::-1]
    traces: list[dict[str, Any]] = []
    notes = [heading("Hard tasks", ""), heading("Repetition", "2")]
    spans = []
    for axis, contrast in (("", "hard"), ("2", "simple")):
        for y, (measure, version) in enumerate(rows):
            found = pick(dataset, contrast, "relative", measure=measure, version=version)
            traces += dot(found, float(y), f"{_MEASURES[measure]}, {version}", look.SYNERGY, axis)
            if not np.isfinite(found[0]):
                notes.append(note(0.0, y - 0.2, "\xa0no data", axis=axis, anchor="left", colour=look.INK_2))
            bare = pick(dataset, contrast, "relative", measure=measure, version=version, adjustment="none")[0]
            if np.isfinite(bare):
                traces.append({
                    "type": "scatter", "mode": "markers", "x": [float(np.log(bare))], "y": [float(y)], "name": _BARE,
                    "marker": {"symbol": "circle-open", "size": 8, "color": look.INK_2, "line": {"width": 1}},
                    "hovertext": [f"without covariates: {ratio_text(bare)}"], "xaxis": f"x{axis}", "yaxis": f"y{axis}",
                })  # fmt: skip
            spans += [v for v in (*found, bare) if np.isfinite(v)]
    if not spans:
        return None
    notes += [keyed(_BARE)]
    words = [f"{_MEASURES[measure]}, {'reading' if v == 'reading' else 'writing' if v == 'writing' else 'right'}"
             for measure, v in rows]  # fmt: skip
    figure = layout(
        {"title": "core over others", **log_axis(float(np.log(min(spans))), float(np.log(max(spans))))},
        named_rows(words),
        columns=2, annotations=notes, shapes=[upright_one(""), upright_one("2")], height=90 + 26 * len(rows),
    )  # fmt: skip
    figure["yaxis2"] |= {"showticklabels": False}
    title = _agreement(dataset)
    return Panel(
        "allocation-measures", title, {"data": traces, "layout": figure},
        how_to_read="Each row is one way to measure activity in one situation: reading fixed text, writing answers, or "
        "only those answers that were right. Level is activity over its neutral mean. Hoyer's sparsity falls when "
        "activity spreads over more units, participation grows. Open circles leave surprisal and position out of "
        "account.",
        description=f"Dot plot with intervals. {title}",
    )  # fmt: skip


def _agreement(dataset: xr.Dataset) -> str:
    """What density, level and participation say of hard tasks while reading; 1 inside an interval says nothing."""
    sides: dict[str, list[str]] = {"above 1": [], "below 1": [], "not told apart from 1": []}
    for measure in ("density", "level", "participation"):
        _, low, high = pick(dataset, "hard", "relative", measure=measure)
        side = "above 1" if low > 1 else "below 1" if high < 1 else "not told apart from 1"
        sides[side].append(_MEASURES[measure])
    told = [
        f"{' and '.join(', '.join(names).rsplit(', ', 1))} {'are' if len(names) > 1 else 'is'} {side}"
        for side, names in sides.items() if names
    ]  # fmt: skip
    return f"Over its layer-mates, while the model reads hard tasks, the core's {'; '.join(told)}."


def texts(dataset: xr.Dataset) -> Panel | None:
    """What the model was given: surprisal, vocabulary and success at the hardest level of each family."""
    if not has(dataset, "surprisal"):
        return None
    task = dataset["condition_task"].values.tolist()
    last = [len(task) - 1 - task[::-1].index(family) for family in dict.fromkeys(task)][::-1]
    names = [str(name) for name in dataset["condition"].values[last]]
    shown = [("surprisal", "surprisal (nats)"), ("token_distance", "distance of vocabulary from neutral")]
    shown += [("accuracy", "share of right answers")] if has(dataset, "accuracy") else []
    traces: list[dict[str, Any]] = []
    figure = layout({}, named_rows(names), columns=len(shown), height=90 + 26 * len(names))
    for k, (variable, words) in enumerate(shown):
        axis = str(k + 1) if k else ""
        values = dataset[variable].values[last]
        traces.append({
            "type": "scatter", "mode": "markers", "x": [float(v) if np.isfinite(v) else None for v in values],
            "y": list(range(len(names))), "marker": {"size": 8, "color": look.INK}, "name": variable,
            "hovertext": [f"{name}: {text_number(float(v))}" for name, v in zip(names, values, strict=True)],
            "xaxis": f"x{axis}", "yaxis": f"y{axis}",
        })  # fmt: skip
        figure[f"xaxis{axis}"] |= {"title": {"text": words}, "rangemode": "tozero"}
        figure[f"yaxis{axis}"] |= {"showticklabels": k == 0}
    title = figures_text.texts_title(dataset)
    return Panel(
        "allocation-texts", title, {"data": traces, "layout": figure},
        how_to_read="One row per family of tasks, at its hardest level. Ratios are compared at equal surprisal; where "
        "surprisals hardly overlap with those of neutral text that is an extrapolation, and the findings say so. "
        "Vocabulary: 0 the same tokens equally often, 1 no token in common.",
        description=f"Dot plots by condition. {title}",
    )  # fmt: skip


def neurons(dataset: xr.Dataset) -> Panel | None:
    """Density of neurons by layer."""
    if not has(dataset, "neuron_ratio"):
        return None
    traces, notes = _by_depth(dataset, "neuron", dataset["neuron_layer"].values, look.INK, look.NULL_BAND, "")
    if not traces:
        return None
    figure = layout({"title": "depth (0 first layer, 1 last)", "range": [0, 1]},
                    {"title": "ratio of density", **log_axis(*_span(traces))}, annotations=notes,
                    shapes=[hline(0.0)], height=360)  # fmt: skip
    means = [float(dataset["neuron_ratio"].sel(contrast_layer=c).mean()) for c in ("hard", "simple")]
    share = float(dataset["neuron_density"].values[0].mean())
    title = (
        f"{100 * share:.0f} % of MLP neurons are active on neutral text; on hard tasks {ratio_text(means[0])} times "
        f"as many, on repetition {ratio_text(means[1])} times."
    )
    return Panel(
        "allocation-neurons", title, {"data": traces, "layout": figure},
        how_to_read="A neuron counts as active where what it writes is larger than its layer's threshold: the largest "
        "one at which leaving out all smaller writers costs no more than a set share of perplexity on neutral text. "
        "Bands are 95 % intervals over texts.",
        description=f"Line chart by depth. {title}",
        detail=f"At the thresholds the sum of what is left out is {float(dataset.attrs.get('neuron_error', 0)):.1%} of "
        f"the MLPs' output, and perplexity rises by {float(dataset.attrs.get('neuron_loss', 0)):.1%}.",
    )  # fmt: skip

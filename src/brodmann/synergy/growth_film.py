"""Layer profiles over training: a film with a slider, and a carpet of layers by checkpoints. Nothing is computed."""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.page import Panel
from brodmann.plotting import band, has, label, layout, line, text_number
from brodmann.steps import step_position, ticks
from brodmann.synergy.growth_axis import onset_marks

_MOST = 64
"""Checkpoints that the film and the carpet show; of more, evenly spaced ones."""


def _shown(dataset: xr.Dataset) -> np.ndarray:
    steps = dataset.sizes["step"]
    return np.unique(np.linspace(0, steps - 1, min(steps, _MOST)).round().astype(int))


def film(dataset: xr.Dataset) -> Panel | None:
    """The layer profile at one checkpoint at a time, with a slider; all others stay as hairlines."""
    if not has(dataset, "profile"):
        return None
    shown, steps = _shown(dataset), dataset["step"].values
    layers = dataset["layer"].values
    depth = np.linspace(0, 1, layers.size)
    functions = [str(name) for name in dataset["function"].values]
    profile = dataset["profile"].sel(function=functions[0])
    traces: list[dict[str, Any]] = []
    if dataset.sizes.get("seed"):
        random = dataset["random_profile"].sel(function=functions[0]).values
        traces += [band(depth, random.min(axis=0), random.max(axis=0), look.NULL_BAND)]
        traces += [line(depth, random.mean(axis=0), "random weights", look.NULL, width=1.0)]
    hair = [line(depth, profile.values[i], "", look.RULE, width=0.7) for i in shown]
    traces += [{key: value for key, value in each.items() if key != "hovertext"} for each in hair]
    frames = [_frame(dataset, functions, int(i), depth) for i in shown]
    moving = list(range(len(traces), len(traces) + len(frames[-1]["data"])))
    frames = [{"name": f"step {steps[i]:g}", "traces": moving, **frame} for i, frame in zip(shown, frames, strict=True)]
    notes = []
    for each in frames[-1]["data"]:
        if each.get("name"):
            notes += [label(each["name"], depth, np.array(each["y"]), each["line"]["color"])]
    if dataset.sizes.get("seed"):
        notes += [label("random weights", depth, random.mean(axis=0), look.INK_2)]
    names = [frame["name"] for frame in frames]
    stops = [{"label": name, "method": "animate", "args": [[name], {"mode": "immediate"}]} for name in names]
    sliders = [{"active": len(names) - 1, "currentvalue": {"prefix": ""}, "steps": stops}]
    reach = np.concatenate(
        [dataset[f"profile_{end}"].sel(function=functions[0]).values.ravel() for end in ("low", "high")]
    )
    limits = [float(min(0.0, reach.min())), float(max(1.0, reach.max()))]
    figure = layout(
        {"title": "depth (0 first layer, 1 last)", "range": [0, 1]},
        {"title": "mean rank of the layer, 0 to 1", "range": limits}, annotations=notes, height=430,
    )  # fmt: skip
    first, last = (int(layers[int(profile.values[i].argmax())]) for i in (0, -1))
    title = (
        f"At step {steps[0]:g} layer {first} ranks highest, at step {steps[-1]:g} layer {last}; the slider shows every "
        "checkpoint."
    )
    return Panel(
        "growth-film", title,
        {"data": [*traces, *frames[-1]["data"]], "frames": frames, "layout": {**figure, "sliders": sliders}},
        how_to_read="The bold line is the mean rank of each layer's units at the chosen checkpoint, with its 95 % band "
        "over prompts; hairlines are all checkpoints. The dotted line ranks units by autocorrelation instead. The grey "
        "band spans fresh random weights on the same text.",
        description=f"Line chart of the layer profile, one checkpoint at a time. {title}",
    )  # fmt: skip


def _frame(dataset: xr.Dataset, functions: list[str], step: int, depth: np.ndarray) -> dict[str, Any]:
    def of(name: str, function: str) -> np.ndarray:
        return np.asarray(dataset[name].sel(function=function).values[step])

    drawn = [
        band(depth, of("profile_low", functions[0]), of("profile_high", functions[0]), look.SYNERGY_BAND, opacity=0.75)
    ]
    memory = dataset["memory_profile"].values[step]
    drawn += [line(depth, memory, "autocorrelation, the rival", look.INK, width=1.2, dash="dot")]
    if len(functions) > 1:
        drawn += [line(depth, of("profile", functions[1]), functions[1].upper(), look.SYNERGY, width=1.3, dash="dash")]
    drawn += [line(depth, of("profile", functions[0]), functions[0].upper(), look.SYNERGY, width=2.6)]
    return {"data": drawn}


def carpet(dataset: xr.Dataset) -> Panel | None:
    """Mean rank of every layer at every checkpoint, as coloured cells."""
    if not has(dataset, "profile"):
        return None
    shown, steps = _shown(dataset), dataset["step"].values
    chosen = steps[shown]
    x = step_position(chosen)
    middle = (x[1:] + x[:-1]) / 2
    edges = np.concatenate([[2 * x[0] - middle[0]], middle, [2 * x[-1] - middle[-1]]])
    values = dataset["profile"].sel(function=dataset["function"].values[0]).values[shown]
    layers = dataset["layer"].values
    shapes = [
        {"type": "rect", "x0": float(edges[i]), "x1": float(edges[i + 1]), "y0": row - 0.5, "y1": row + 0.5,
         "xref": "x", "yref": "y", "fillcolor": look.rank_colour(float(values[i, row])), "line": {"width": 0}}
        for i in range(x.size) for row in range(layers.size)
    ]  # fmt: skip
    tips = [f"step {chosen[i]:g}, layer {int(layers[row])}: mean rank {text_number(float(values[i, row]))}"
            for i in range(x.size) for row in range(layers.size)]  # fmt: skip
    points = {"type": "scatter", "mode": "markers", "x": np.repeat(x, layers.size).tolist(), "name": "",
              "y": np.tile(np.arange(layers.size, dtype=float), x.size).tolist(), "hovertext": tips,
              "marker": {"size": 16, "opacity": 0, "color": look.INK}, "meta": {"ramp": "rank"}}  # fmt: skip
    every = max(1, layers.size // 12)
    rows = {"tickvals": list(range(0, layers.size, every)), "ticktext": [str(int(v)) for v in layers[::every]]}
    shapes += onset_marks(dataset, steps, "")[:1]
    span = [float(edges[0]), float(edges[-1])]
    figure = layout(
        {"title": "training step (log scale)", "range": span, **ticks(steps)},
        {"title": "layer", "range": [-0.5, layers.size - 0.5], **rows}, shapes=shapes,
        height=min(520, 150 + 26 * layers.size),
    )  # fmt: skip
    spread = values.max(axis=1) - values.min(axis=1)
    title = (
        f"Layers differ by {text_number(float(spread[0]))} of the rank scale at step {chosen[0]:g} and by "
        f"{text_number(float(spread[-1]))} at step {chosen[-1]:g}."
    )
    return Panel(
        "growth-carpet", title, {"data": [points], "layout": figure},
        how_to_read="One column a checkpoint, one row a layer; warm cells rank synergistic, cool ones redundant, the "
        "neutral middle is the mean rank. An inverted U is a warm stripe between two cool ones. Columns are as wide as "
        "the time between checkpoints on a log scale.",
        description=f"Cells of layers by checkpoints. {title}",
    )  # fmt: skip

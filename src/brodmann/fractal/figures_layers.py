"""Where in the network neurons are regular: maps of layers, and the distribution of the neurons' slopes."""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.fractal.compared import NOISE
from brodmann.fractal.figures_text import GRIDS, is_series, when
from brodmann.page import Panel
from brodmann.plotting import band, has, heading, keyed, layout, line, text_number, vline

_NAMES = {"alpha0": "alpha0", "width": "width of the spectrum"}


def layers(dataset: xr.Dataset) -> Panel | None:
    """alpha0 and width of every layer of the last checkpoint, by block and kind, on both grids."""
    if not has(dataset, "layer_alpha0"):
        return None
    traces, notes, shapes = [], [], []
    blocks, kinds = np.unique(dataset["part_block"].values), _kinds(dataset)
    for k, (grid, name) in enumerate((grid, name) for grid in GRIDS for name in _NAMES):
        axis = str(k + 1) if k else ""
        drawn, cells = _map(dataset, grid, name, blocks, kinds, axis)
        shapes += cells
        traces += drawn
        notes += [heading(f"{name}, {GRIDS[grid]}", axis)]
    every = max(1, -(-blocks.size // 12))
    figure = layout(
        {"title": "block", "range": [-0.5, blocks.size - 0.5], "tickvals": list(range(0, blocks.size, every)),
         "ticktext": [str(int(block)) for block in blocks[::every]]},
        {"title": "", "range": [len(kinds) - 0.5, -0.5], "tickvals": list(range(len(kinds))), "ticktext": kinds},
        columns=4, annotations=notes, shapes=shapes, height=2 * (110 + 34 * len(kinds)),
    )  # fmt: skip
    figure["grid"] = {"rows": 2, "columns": 2, "pattern": "independent"}
    for suffix in ("2", "4"):
        figure[f"yaxis{suffix}"]["showticklabels"] = False
    title = f"{_where(dataset)}, alpha0 on the official grid is {_extremes(dataset)}."
    return Panel(
        "fractal-layers", title, {"data": traces, "layout": figure},
        how_to_read="One cell a layer of neurons, by the block it lies in and its place there; each map has its "
        "own scale, above it. alpha0 is the mean slope of the layer's neurons, width that of the layer's own "
        "spectrum. What differs on the official grid but not on the scale-free one is the size of weights. "
        "An empty cell has too few neurons within reach.",
        description=f"Heat maps of layers by block and kind. {title}",
        detail="Layers are measured on the radii of the whole network. Matrices of unlike shape and initial scale "
        "differ before any training. No null is drawn by layer.",
    )  # fmt: skip


def _where(dataset: xr.Dataset) -> str:
    return f"At {when(dataset, -1)}" if is_series(dataset) else "In this checkpoint"


def _kinds(dataset: xr.Dataset) -> list[str]:
    return list(dict.fromkeys(str(kind) for kind in dataset["part_kind"].values))


def _map(
    dataset: xr.Dataset, grid: str, name: str, blocks: np.ndarray, kinds: list[str], axis: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Invisible points that tell values and the scale, and the cells."""
    values = dataset[f"layer_{name}"].sel(grid=grid).values[-1]
    known = np.flatnonzero(np.isfinite(values))
    columns = np.searchsorted(blocks, dataset["part_block"].values)
    rows = [kinds.index(str(kind)) for kind in dataset["part_kind"].values]
    low, high = (float(values[known].min()), float(values[known].max())) if known.size else (0.0, 1.0)
    cells = [
        {"type": "rect", "x0": columns[i] - 0.5, "x1": columns[i] + 0.5, "y0": rows[i] - 0.5, "y1": rows[i] + 0.5,
         "xref": f"x{axis}", "yref": f"y{axis}", "line": {"width": 0},
         "fillcolor": look.tone((float(values[i]) - low) / (high - low) if high > low else 0.5)}
        for i in known
    ]  # fmt: skip
    parts = dataset["part"].values
    points = {
        "type": "scatter", "mode": "markers", "x": [float(columns[i]) for i in known],
        "y": [float(rows[i]) for i in known], "name": "", "xaxis": f"x{axis}", "yaxis": f"y{axis}",
        "hovertext": [f"{parts[i]}: {_NAMES[name]} {text_number(float(values[i]))}" for i in known],
        "marker": {"size": 22, "opacity": 0, "color": look.INK},
        "meta": {"ramp": "tones", "low": text_number(low), "high": text_number(high)},
    }  # fmt: skip
    return [points], cells


def _extremes(dataset: xr.Dataset) -> str:
    values = dataset["layer_alpha0"].sel(grid="official").values[-1]
    parts, known = dataset["part"].values, np.flatnonzero(np.isfinite(values))
    if not known.size:
        return "not defined for any layer"
    least, most = (int(known[pick(values[known])]) for pick in (np.argmin, np.argmax))
    lowest, highest = text_number(float(values[least])), text_number(float(values[most]))
    return f"lowest in {parts[least]} ({lowest}) and highest in {parts[most]} ({highest})"


def slopes(dataset: xr.Dataset) -> Panel | None:
    """How the neurons' slopes are spread at the last checkpoint, beside the first."""
    if not has(dataset, "slopes"):
        return None
    traces: list[dict[str, Any]] = []
    notes, shapes = [], []
    centres = dataset["slope_bin"].values
    half = float(centres[1] - centres[0]) / 2 if centres.size > 1 else 0.5
    spans: list[list[float]] = []
    for k, grid in enumerate(GRIDS):
        axis = str(k + 1) if k else ""
        notes += [heading(GRIDS[grid].capitalize(), axis)]
        drawn: list[dict[str, Any]] = []
        for at in (0, -1) if is_series(dataset) else (-1,):
            x, share = _outline(dataset["slopes"].sel(grid=grid).values[at], centres, half)
            mean = float(dataset["alpha0"].sel(grid=grid).values[at])
            name = f"{when(dataset, at)}, mean {text_number(mean)}"
            colour = look.WEIGHTS if at else look.INK
            if at:
                drawn.insert(0, band(x, np.zeros(x.size), share, look.WEIGHTS_BAND, axis=axis, opacity=0.8))
            drawn += [line(x, share, name, colour, width=1.8 if at else 1.1, axis=axis) | {"hovertext": []}]
            notes += [keyed(name, axis=axis)]
            upright = vline(mean, axis)
            upright["line"] = {"color": colour, "width": 1.2, "dash": "dash"}
            shapes += [upright]
        noise = dataset["null_alpha0"].sel(grid=grid, null="matched_scale").values[:, -1]
        drawn += _noise(noise, _top(drawn), axis)
        traces += drawn
        notes += [keyed(f"mean of {NOISE.short}", axis=axis)]
        reach = [value for trace in drawn for value in trace["x"]]
        spans.append([min(reach) - 0.1, max(reach) + 0.1])
    figure = layout({"title": "slope of a neuron, ln N over ln r"}, {"title": f"% of neurons, bins of {2 * half:.3g}"},
                    columns=2, annotations=notes, shapes=shapes, height=400)  # fmt: skip
    for axis, span in zip(("", "2"), spans, strict=True):
        top = 1.06 * max(value for trace in traces if trace["xaxis"] == f"x{axis}" for value in trace["y"])
        figure[f"xaxis{axis}"]["range"] = span
        figure[f"yaxis{axis}"]["range"] = [0.0, top]
    return Panel(
        "fractal-slopes", _slopes_title(dataset), {"data": traces, "layout": figure},
        how_to_read="How steeply the number of neighbours within a radius grows with that radius, neuron by neuron. "
        "Dashed lines: the mean, which is alpha0 exactly. The grey line is the mean slope in noise of the same scale "
        "at the last checkpoint. A shift moves alpha0; a spread widens the spectrum.",
        description=f"Histograms of the neurons' slopes. {_slopes_title(dataset)}",
        detail="Slopes outside 0 to 4 are counted in the outermost bins. Of noise only the mean slope is kept, not the "
        "distribution.",
    )  # fmt: skip


def _outline(counts: np.ndarray, centres: np.ndarray, half: float) -> tuple[np.ndarray, np.ndarray]:
    """A histogram's outline in per cent, from its first bin that holds something to its last."""
    filled = np.flatnonzero(counts > 0)
    if not filled.size:
        return np.array([0.0, 1.0]), np.zeros(2)
    chosen = np.arange(filled[0], filled[-1] + 1)
    x = np.stack([centres[chosen] - half, centres[chosen] + half], axis=1).ravel()
    share = np.repeat(100 * counts[chosen] / counts.sum(), 2)
    return np.concatenate([x[:1], x, x[-1:]]), np.concatenate([[0.0], share, [0.0]])


def _top(traces: list[dict[str, Any]]) -> float:
    return float(max((value for trace in traces for value in trace["y"]), default=1.0))


def _noise(values: np.ndarray, top: float, axis: str) -> list[dict[str, Any]]:
    values = values[np.isfinite(values)]
    if not values.size:
        return []
    ends, level = np.array([values.min(), values.max()]), np.full(2, values.mean())
    high = np.array([0.0, 1.06 * top])
    return [
        band(ends, np.zeros(2), np.full(2, high[1]), look.NULL_BAND, axis=axis),
        line(level, high, f"mean of {NOISE.short}", look.NULL, width=2.2, axis=axis) | {"hovertext": []},
    ]


def _slopes_title(dataset: xr.Dataset) -> str:
    official, free = (dataset["alpha0"].sel(grid=grid).values for grid in GRIDS)
    if not is_series(dataset):
        return (
            f"Neurons' slopes have mean {text_number(float(official[-1]))} on the official grid and "
            f"{text_number(float(free[-1]))} on the scale-free grid."
        )
    moved = [(text_number(float(v[-1] - v[0])), text_number(float(v[-1]))) for v in (official, free)]
    return (
        f"From {when(dataset, 0)} to {when(dataset, -1)} the mean slope changes by {moved[0][0]} to {moved[0][1]} on "
        f"the official grid and by {moved[1][0]} to {moved[1][1]} on the scale-free grid."
    )

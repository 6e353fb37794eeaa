"""Where in the network neurons are regular: maps of layers, and the distribution of the neurons' slopes."""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.fractal.compared import NOISE
from brodmann.fractal.figures_text import GRIDS, is_series, moved, settings, when
from brodmann.page import Panel
from brodmann.plotting import band, has, heading, keyed, layout, line, text_number

_NAMES = {"alpha0": "alpha0", "width": "width of the spectrum"}
_PLACES = {
    "input": "the residual stream before attention", "qkv": "queries, keys and values",
    "attention": "outputs of the heads", "middle": "the residual stream before the MLP",
    "hidden": "neurons of the MLP",
}  # fmt: skip


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
    title = f"{_where(dataset)}, alpha0 on the official grid is {_extremes(dataset)}{_ahead(dataset)}."
    noise = text_number(float(np.nanmean(dataset["null_alpha0"].sel(grid="official", null="matched_scale")[:, -1])))
    return Panel(
        "fractal-layers", title, {"data": traces, "layout": figure},
        how_to_read="One cell a layer of neurons, by the block it lies in and its place there "
        f"({_places(kinds)}). Each map has its own scale, above it; with ≤ and ≥ it ends at the 2nd and 98th "
        "percentile of the cells, so that one cell does not take all colours. alpha0 is the mean slope of the layer's "
        "neurons, width that of the layer's own spectrum. What differs on the official grid but not on the scale-free "
        "one is the size of weights. Noise of the same scale is not measured by layer; over the whole network its "
        f"alpha0 is {noise} on the official grid. An empty cell has too few neurons with enough edges, or no width.",
        description=f"Heat maps of layers by block and kind. {title}",
        detail="Layers are measured on the radii of the whole network. Matrices of unlike shape and initial scale "
        "differ before any training.",
    )  # fmt: skip


def _places(kinds: list[str]) -> str:
    """What the rows are."""
    return "; ".join(f"{kind}: {_PLACES[kind]}" for kind in kinds if kind in _PLACES)


def _ahead(dataset: xr.Dataset) -> str:
    """What lowers alpha0 of late layers whatever their weights."""
    chosen = settings(dataset)
    if chosen.get("distance", "one_hop") != "path" or chosen.get("undirected"):
        return ""
    return "; along paths a late layer has fewer neurons ahead, which lowers it whatever the weights"


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
    low, high, ends = _limits(values[known])
    cells = [
        {"type": "rect", "x0": columns[i] - 0.5, "x1": columns[i] + 0.5, "y0": rows[i] - 0.5, "y1": rows[i] + 0.5,
         "xref": f"x{axis}", "yref": f"y{axis}", "line": {"width": 0},
         "fillcolor": look.tone((float(values[i]) - low) / (high - low) if high > low else 0.5)}
        for i in known
    ]  # fmt: skip
    parts, before = dataset["part"].values, dataset[f"layer_{name}"].sel(grid=grid).values[0]
    began = [f" ({when(dataset, 0)}: {text_number(float(each))})" if is_series(dataset) else "" for each in before]
    points = {
        "type": "scatter", "mode": "markers", "x": [float(columns[i]) for i in known],
        "y": [float(rows[i]) for i in known], "name": "", "xaxis": f"x{axis}", "yaxis": f"y{axis}",
        "hovertext": [f"{parts[i]}: {_NAMES[name]} {text_number(float(values[i]))}{began[i]}" for i in known],
        "marker": {"size": 22, "opacity": 0, "color": look.INK},
        "meta": {"ramp": "tones", "low": ends[0], "high": ends[1]},
    }  # fmt: skip
    return [points], cells


def _limits(values: np.ndarray) -> tuple[float, float, list[str]]:
    """Ends of a map's scale and their words: the 2nd and 98th percentile where single cells lie far beyond."""
    if not values.size:
        return 0.0, 1.0, ["0", "1"]
    least, most = values.min(), values.max()
    low, high = np.quantile(values, 0.02, method="higher"), np.quantile(values, 0.98, method="lower")
    low, high = (
        (low if low - least > 0.1 * (high - low) else least),
        (high if most - high > 0.1 * (high - low) else most),
    )
    words = [text_number(float(low)), text_number(float(high))]
    if words[0] == words[1]:
        words = [f"{float(low):.3g}", f"{float(high):.3g}"]
    return (
        float(low),
        float(high),
        [f"{'≤ ' if low > least else ''}{words[0]}", f"{'≥ ' if high < most else ''}{words[1]}"],
    )


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
    notes, spans = [], []
    centres = dataset["slope_bin"].values
    half = float(centres[1] - centres[0]) / 2 if centres.size > 1 else 0.5
    for k, grid in enumerate(GRIDS):
        axis = str(k + 1) if k else ""
        drawn, span = _histograms(dataset, grid, centres, half, axis)
        traces += drawn
        spans.append((span, 1.06 * max(value for trace in drawn for value in trace["y"])))
        notes += [heading(GRIDS[grid].capitalize(), axis)]
        notes += [keyed(str(trace["name"]), axis=axis) for trace in drawn if ": mean " in str(trace.get("name", ""))]
    across, upright = f"slope of a neuron, {_counted(dataset)}", f"% of neurons, bins of {2 * half:.3g}"
    figure = layout({"title": across}, {"title": upright}, columns=2, annotations=notes, height=400)
    for axis, (span, top) in zip(("", "2"), spans, strict=True):
        figure[f"xaxis{axis}"]["range"] = span
        figure[f"yaxis{axis}"]["range"] = [0.0, top]
    combs = ""
    if settings(dataset).get("distance", "one_hop") == "path":
        combs = " Spikes are whole layers whose neurons reach the same others: edges of attention all have length 1."
    return Panel(
        "fractal-slopes", _slopes_title(dataset), {"data": traces, "layout": figure},
        how_to_read="How steeply the number of others within a radius grows with that radius, neuron by neuron. "
        "Dashed lines: the mean of the histogram of the same colour, which is alpha0 exactly. The grey line is the "
        "mean in noise of the same scale at the last checkpoint. A shift moves alpha0; a spread widens the spectrum. "
        f"The axis holds the middle 99 % of the neurons; the first and the last bin drawn "
        f"count the rest.{combs}",
        description=f"Histograms of the neurons' slopes. {_slopes_title(dataset)}",
        detail="Of noise only the mean slope is kept, not the distribution.",
    )  # fmt: skip


def _counted(dataset: xr.Dataset) -> str:
    path = settings(dataset).get("distance", "one_hop") == "path"
    return f"ln of {'neurons' if path else 'edges'} within r over ln r"


def _histograms(
    dataset: xr.Dataset, grid: str, centres: np.ndarray, half: float, axis: str
) -> tuple[list[dict[str, Any]], list[float]]:
    """Histograms of the first and the last checkpoint, their means and that of noise; and the axis."""
    here = dataset.sel(grid=grid)
    chosen = (0, -1) if is_series(dataset) else (-1,)
    tails = [_middle(here["slopes"].values[at]) for at in chosen]
    first, last = min(low for low, _ in tails), max(high for _, high in tails)
    drawn: list[dict[str, Any]] = []
    means: list[tuple[float, str, str]] = []
    for at in chosen:
        x, share = _outline(here["slopes"].values[at], centres, half, first, last)
        colour = look.WEIGHTS if at else look.tone(0.45)
        if at:
            drawn.insert(0, band(x, np.zeros(x.size), share, look.WEIGHTS_BAND, axis=axis, opacity=0.8))
        drawn += [line(x, share, when(dataset, at), colour, width=1.8 if at else 1.4, axis=axis)]
        mean = float(here["alpha0"].values[at])
        means += [(mean, f"{when(dataset, at)}: mean {text_number(mean)}", colour)]
    top = 1.06 * max(max(trace["y"]) for trace in drawn)
    noise = here["null_alpha0"].sel(null="matched_scale").values[:, -1]
    drawn += _noise(noise, top, axis)
    drawn += [
        line(np.full(2, x), np.array([0.0, top]), name, c, width=1.4, dash="dash", axis=axis) for x, name, c in means
    ]
    reach = [centres[first] - half, centres[last] + half, *(x for x, _, _ in means), *noise[np.isfinite(noise)]]
    return [trace | {"hovertext": []} for trace in drawn], [float(min(reach)) - half, float(max(reach)) + half]


def _middle(counts: np.ndarray) -> tuple[int, int]:
    """First and last bin of the middle 99 %."""
    if not counts.sum() > 0:
        return 0, len(counts) - 1
    below = np.cumsum(counts) / counts.sum()
    return int(np.searchsorted(below, 0.005)), min(int(np.searchsorted(below, 0.995)), len(counts) - 1)


def _outline(
    counts: np.ndarray, centres: np.ndarray, half: float, first: int, last: int
) -> tuple[np.ndarray, np.ndarray]:
    """A histogram's outline in per cent between two bins, which count what lies beyond them."""
    if not counts.sum() > 0:
        return np.array([0.0, 1.0]), np.zeros(2)
    within = counts[first : last + 1].astype(float)
    within[0] += counts[:first].sum()
    within[-1] += counts[last + 1 :].sum()
    filled = np.flatnonzero(within > 0)
    chosen = np.arange(filled[0], filled[-1] + 1)
    x = np.stack([centres[first + chosen] - half, centres[first + chosen] + half], axis=1).ravel()
    share = np.repeat(100 * within[chosen] / counts.sum(), 2)
    return np.concatenate([x[:1], x, x[-1:]]), np.concatenate([[0.0], share, [0.0]])


def _noise(values: np.ndarray, top: float, axis: str) -> list[dict[str, Any]]:
    values = values[np.isfinite(values)]
    if not values.size:
        return []
    ends, level = np.array([values.min(), values.max()]), np.full(2, values.mean())
    high, name = np.array([0.0, top]), f"{NOISE.short}: mean {text_number(float(values.mean()))}"
    return [
        band(ends, np.zeros(2), np.full(2, top), look.NULL_BAND, axis=axis),
        line(level, high, name, look.NULL, width=2.6, axis=axis),
    ]


def _slopes_title(dataset: xr.Dataset) -> str:
    official, free = (dataset["alpha0"].sel(grid=grid).values for grid in GRIDS)
    if not is_series(dataset):
        return (
            f"Neurons' slopes have mean {text_number(float(official[-1]))} on the official grid and "
            f"{text_number(float(free[-1]))} on the scale-free grid."
        )
    went = [moved(float(values[0]), float(values[-1])) for values in (official, free)]
    return (
        f"From {when(dataset, 0)} to {when(dataset, -1)} the mean slope {went[0]} on the official grid and {went[1]} "
        "on the scale-free grid."
    )

"""The chapter on weight graphs of several sizes: emergence against the number of weights. It draws what is there."""

import math
from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.fractal.compared import NOISE, NULLS
from brodmann.fractal.figures_text import GRIDS, fit, given, mode
from brodmann.page import Chapter, Panel
from brodmann.plotting import has, heading, hline, keyed, layout, line, note, text_number

_ALL = 4
"""Models that the caption names; of more, the first and the last."""
_MARKS = {"matched_scale": "circle", "permuted_entries": "square-open", "permuted_rows": "diamond-open"}


def chapter(dataset: xr.Dataset, recording: xr.Dataset) -> Chapter:
    """Draw the comparison of sizes.

    Parameters
    ----------
    dataset : xarray.Dataset
        What `sizes_study.study` returned, or the same read from a store.
    recording : xarray.Dataset
        Not used: the study reads weights alone.
    """
    del recording
    drawn = (against_size(dataset), against_scores(dataset))
    models = dataset["model"].values.tolist()
    return Chapter(
        name="fractal-sizes", title="Weight graphs by size",
        question="Is the weight graph of a larger model further from its beginning?",
        summary=f"{mode(dataset)}{len(models)} models, {models[0]} to {models[-1]}, each counted from networks drawn "
        "from its own initialisation. The degree of emergence E is the ratio of the spectrum's widths times the "
        "logarithm of the factor by which alpha0, the mean slope of the neurons, has fallen; noise of the same scale "
        "has one too as soon as it grows.",
        panels=tuple(panel for panel in drawn if panel is not None),
        citations=("xiao2025", "bonett2000", "bartlett1935"),
        readings=(
            ("The published figure of E against size spaces models evenly in their order, not by their weights, and E "
            "does not always rise in it."),
        ),
    )  # fmt: skip


def _title(dataset: xr.Dataset) -> str:
    here = dataset.sel(grid="official")
    value, within = here["emergence"].values, here["emergence_interval"].values
    noise = here["null_emergence"].sel(null="matched_scale").values
    models = dataset["model"].values.tolist()
    chosen = range(len(models)) if len(models) <= _ALL else (0, len(models) - 1)
    said = [
        f"{fit(float(value[at]), within[at])} {given(within[at])} in {models[at]} "
        f"(noise {fit(float(noise[at]), within[at])})"
        for at in chosen
    ]
    return f"On the official grid E is {', '.join(said[:-1])} and {said[-1]}."


def against_size(dataset: xr.Dataset) -> Panel | None:
    """E of each model over its number of weights, with the nulls, on both grids."""
    if not has(dataset, "emergence"):
        return None
    x = np.log10(dataset["weights"].values.astype(float))
    pad = 0.16 * max(float(np.ptp(x)), 0.2)
    traces: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    ranges = []
    for axis, grid in zip(("", "2"), GRIDS, strict=True):
        here = dataset.sel(grid=grid)
        for k, null in enumerate(NULLS):
            traces.append(_nulls(dataset, grid, null, x - 0.16 * pad * (k + 1), axis))
            notes.append(keyed(NULLS[null].short, axis=axis))
        value, ends = here["emergence"].values, here["emergence_interval"].values
        strokes = (line(np.full(2, a), b, "", look.WEIGHTS, width=1.4, axis=axis) for a, b in zip(x, ends, strict=True))
        traces += [stroke | {"hovertext": []} for stroke in strokes]
        traces.append(_dots(dataset, x, value, ends, axis))
        notes.append(heading(GRIDS[grid].capitalize(), axis))
        reach = np.concatenate([value, ends.ravel(), here["null_emergence"].values.ravel(), [0.0]])
        low, high = np.nanmin(reach), np.nanmax(reach)
        room = 0.05 * max(high - low, 1e-12)
        ranges.append([float(low) - room, float(high) + 3 * room])
        marked = np.nanmax(here["null_emergence"].transpose("null", "model").values, axis=0, initial=-np.inf)
        notes += _names(dataset, x, np.fmax(np.fmax(value, ends[:, 1]), marked), room, axis)
    ends_of_axis = float(x.min() - pad), float(x.max() + pad)
    across = {"title": "weights of the graph (log scale)", "range": list(ends_of_axis), **_ticks(*ends_of_axis)}
    figure = layout(across, {"title": "degree of emergence E"}, columns=2, annotations=notes,
                    shapes=[hline(0.0), hline(0.0, "2")], height=420)  # fmt: skip
    for axis, upright in zip(("", "2"), ranges, strict=True):
        figure[f"yaxis{axis}"]["range"] = upright
    title = _title(dataset)
    return Panel(
        "fractal-size", title, {"data": traces, "layout": figure},
        how_to_read="Each dot is a model, its stroke a 95 % interval. Grey marks to its left: the same degree of the "
        f"nulls, among them {NOISE.short}; they are moved aside so that all are seen. Where the stroke holds the grey, "
        "E says no more than that the weights have grown, or that their sizes are spread as they are.",
        description=f"Degree of emergence over the number of weights. {title}",
        detail="Each model is counted from networks drawn from its own initialisation. The interval also "
        "holds E on the radii that many edges have, with its own interval, so the dot need not lie in the middle.",
    )  # fmt: skip


def _nulls(dataset: xr.Dataset, grid: str, null: str, x: np.ndarray, axis: str) -> dict[str, Any]:
    """Marks of a null; models are no course, so nothing joins them."""
    level = dataset["null_emergence"].sel(grid=grid, null=null).values
    known, names = np.isfinite(level), dataset["model"].values
    tips = [
        f"{name}, {NULLS[null].short}: {text_number(float(v))}"
        for name, v in zip(names[known], level[known], strict=True)
    ]
    return {
        "type": "scatter", "mode": "markers", "x": x[known].tolist(), "y": level[known].tolist(),
        "name": NULLS[null].short, "hovertext": tips, "xaxis": f"x{axis}", "yaxis": f"y{axis}",
        "marker": {"size": 8, "color": look.NULL, "symbol": _MARKS.get(null, "diamond")},
    }  # fmt: skip


def _names(dataset: xr.Dataset, x: np.ndarray, top: np.ndarray, room: float, axis: str) -> list[dict[str, Any]]:
    """Names above strokes and marks; above the line at zero where they would lie on it."""
    notes = []
    for at, name in enumerate(dataset["model"].values.tolist()):
        y = float(top[at]) + 0.5 * room
        if np.isfinite(y):
            notes.append(note(x[at], 0.5 * room if -1.2 * room < y < 0.5 * room else y, name, axis=axis))
    return notes


def _ticks(low: float, high: float) -> dict[str, Any]:
    """Two ticks or more on a logarithmic axis: powers of ten, else with halves and fifths, else round numbers.

    Examples
    --------
    >>> _ticks(5.9, 9.1)["ticktext"]
    ['1 million', '10 million', '100 million', '1 billion']
    >>> _ticks(5.0, 5.8)["ticktext"], _ticks(5.16, 5.27)["ticktext"]
    (['100 thousand', '200 thousand', '500 thousand'], ['150 thousand', '180 thousand'])
    """
    for digits in ((1,), (1, 2, 5)):
        marks = [d * 10.0**k for k in range(math.floor(low), math.ceil(high) + 1) for d in digits]
        inside = [mark for mark in marks if low <= math.log10(mark) <= high]
        if len(inside) >= 2:
            inside = inside[:: -(-len(inside) // 4)]
            break
    else:
        ends = [10 ** (low + share * (high - low)) for share in (0.2, 0.8)]
        inside = sorted({float(f"{each:.2g}") for each in ends} if ends[1] > 1.1 * ends[0] else ends)
    return {"tickvals": [math.log10(each) for each in inside], "ticktext": [_amount(each) for each in inside]}


def against_scores(dataset: xr.Dataset) -> Panel | None:
    """E of each model over its score, a panel for each of the first two tasks."""
    if not has(dataset, "score"):
        return None
    tasks = dataset["task"].values.tolist()[:2]
    traces, notes = [], []
    for axis, task in zip(("", "2"), tasks, strict=False):
        here = dataset.sel(grid="official")
        x = dataset["score"].sel(task=task).values
        traces.append(_dots(dataset, x, here["emergence"].values, here["emergence_interval"].values, axis))
        notes.append(heading(task, axis))
        aside = 0.03 * max(float(np.nanmax(x) - np.nanmin(x)), 1e-9)
        notes += [note(float(x[at]) + aside, float(here["emergence"].values[at]), name, axis=axis, anchor="left")
                  for at, name in enumerate(dataset["model"].values.tolist()) if np.isfinite(x[at])]  # fmt: skip
    figure = layout({"title": "score"}, {"title": "degree of emergence E"}, columns=len(tasks), annotations=notes)
    title = f"E against {tasks[0]} of {int(np.isfinite(dataset['score'].sel(task=tasks[0]).values).sum())} models."
    return Panel(
        "fractal-size-scores", title, {"data": traces, "layout": figure},
        how_to_read="Each dot is a model: its degree of emergence on the official grid over its last score. "
        "Both may rise with size, and noise of the same scale may be in the same order: the finding takes "
        "noise off and log size out, and tests nothing below eight models.",
        description=title,
    )  # fmt: skip


def _dots(dataset: xr.Dataset, x: np.ndarray, value: np.ndarray, ends: np.ndarray, axis: str) -> dict[str, Any]:
    known = np.isfinite(x) & np.isfinite(value)
    names = dataset["model"].values.tolist()
    tips = [f"{names[at]}: {fit(float(value[at]), ends[at])} {given(ends[at])}" for at in np.flatnonzero(known)]
    return {
        "type": "scatter", "mode": "markers", "x": x[known].tolist(), "y": value[known].tolist(), "name": "",
        "hovertext": tips, "marker": {"size": 9, "color": look.WEIGHTS}, "xaxis": f"x{axis}", "yaxis": f"y{axis}",
    }  # fmt: skip


def _amount(value: float) -> str:
    """A number of weights, for an axis.

    Examples
    --------
    >>> _amount(1e6), _amount(1e9), _amount(1e4)
    ('1 million', '1 billion', '10 thousand')
    """
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if value >= size:
            return f"{value / size:.4g} {word}"
    return f"{value:g}"

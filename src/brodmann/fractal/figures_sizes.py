"""The chapter on weight graphs of several sizes: emergence against the number of weights. It draws what is there."""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.fractal.compared import NOISE, NULLS
from brodmann.fractal.figures_text import GRIDS, given
from brodmann.page import Chapter, Panel
from brodmann.plotting import has, heading, hline, keyed, layout, line, note, text_number


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
        summary=f"{len(models)} models, {models[0]} to {models[-1]}, each counted from networks drawn from its own "
        f"initialisation. {_title(dataset)}",
        panels=tuple(panel for panel in drawn if panel is not None),
        citations=("xiao2025", "bonett2000", "bartlett1935"),
        readings=("The published figure of E against size draws models by rank and is not monotone.",),
    )  # fmt: skip


def _title(dataset: xr.Dataset) -> str:
    value = dataset["emergence"].sel(grid="official").values
    noise = dataset["null_emergence"].sel(grid="official", null="matched_scale").values
    models = dataset["model"].values.tolist()
    ends = [
        f"{text_number(float(value[at]))} in {models[at]} (noise {text_number(float(noise[at]))})" for at in (0, -1)
    ]
    return f"E is {ends[0]} and {ends[1]}."


def against_size(dataset: xr.Dataset) -> Panel | None:
    """E of each model over its number of weights, with the nulls, on both grids."""
    if not has(dataset, "emergence"):
        return None
    x = np.log10(dataset["weights"].values.astype(float))
    pad = 0.12 * max(float(np.ptp(x)), 0.2)
    traces: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for axis, grid in zip(("", "2"), GRIDS, strict=True):
        here = dataset.sel(grid=grid)
        for null in NULLS:
            level = here["null_emergence"].sel(null=null).values
            traces.append(line(x, level, NULLS[null].short, look.NULL, width=1.3, dash=NULLS[null].dash, axis=axis))
            notes.append(keyed(NULLS[null].short, axis=axis))
        value, ends = here["emergence"].values, here["emergence_interval"].values
        strokes = (line(np.full(2, a), b, "", look.WEIGHTS, width=1.4, axis=axis) for a, b in zip(x, ends, strict=True))
        traces += [stroke | {"hovertext": []} for stroke in strokes]
        traces.append(_dots(dataset, x, value, ends, axis))
        notes.append(heading(GRIDS[grid].capitalize(), axis))
        notes += [note(x[at] + 0.2 * pad, float(value[at]), name, axis=axis, anchor="left")
                  for at, name in enumerate(dataset["model"].values.tolist())]  # fmt: skip
    marks = np.arange(np.ceil(x.min() - pad), np.floor(x.max() + 3 * pad) + 1)
    across = {"title": "weights of the graph", "range": [x.min() - pad, x.max() + 3 * pad],
              "tickvals": marks.tolist(), "ticktext": [_amount(10.0**mark) for mark in marks]}  # fmt: skip
    figure = layout(across, {"title": "degree of emergence E"}, columns=2, annotations=notes,
                    shapes=[hline(0.0), hline(0.0, "2")], height=420)  # fmt: skip
    title = _title(dataset)
    return Panel(
        "fractal-size", title, {"data": traces, "layout": figure},
        how_to_read="Each dot is a model, its stroke the interval over its neurons. Grey: the same degree of the "
        f"nulls, among them {NOISE.short}. Where the dot lies on the grey, the model has emerged no more than its "
        "weights have grown.",
        description=f"Degree of emergence over the number of weights. {title}",
        detail="Each model is counted from networks drawn from its own published initialisation.",
    )  # fmt: skip


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
    tips = [f"{names[at]}: {text_number(float(value[at]))} {given(ends[at])}" for at in np.flatnonzero(known)]
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
            return f"{value / size:g} {word}"
    return f"{value:g}"

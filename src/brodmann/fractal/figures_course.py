"""Emergence over training, beside its nulls, its two factors and plain quantities; of one checkpoint, as dots."""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.fractal import emergence
from brodmann.fractal.compared import NOISE, NULLS, PLAIN, nulls_in_words
from brodmann.fractal.figures_text import GRIDS, given, over, redrawn, start, verdict, when
from brodmann.page import Panel
from brodmann.plotting import band, bounds, has, heading, hline, label, layout, line, named_rows, text_number
from brodmann.steps import step_position, ticks

NAME = "fractal-emergence"
_TRAINED = "trained weights"
_MARKS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
_FINE = (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)
_NULLS_READ = f"Grey is the same number for {len(NULLS)} nulls, each drawn several times: {nulls_in_words()}. "

Drawn = tuple[list[dict[str, Any]], list[dict[str, Any]], str]
"""Traces, annotations, and the unit of one row."""


def over_training(dataset: xr.Dataset) -> Panel | None:
    """Emergence on both grids, alpha0, width and plain quantities over one axis of training."""
    if not has(dataset, "alpha0"):
        return None
    steps = dataset["step"].values
    x = step_position(steps)
    rows = [_emergence(dataset, grid, x, str(k + 1) if k else "") for k, grid in enumerate(GRIDS)]
    rows += [_exponent(dataset, name, x, axis) for name, axis in (("alpha0", "3"), ("width", "4"))]
    plain, shown = _plain(dataset, x, "5")
    if plain[0]:
        rows.append(plain)
    figure = layout(
        {"range": [float(x[0]) - 0.4, float(x[-1]) + 0.4], **ticks(steps)}, {}, columns=len(rows),
        height=230 * len(rows), annotations=[note for row in rows for note in row[1]],
        shapes=[hline(0.0), hline(0.0, "2")],
    )  # fmt: skip
    figure["grid"] = {"rows": len(rows), "columns": 1, "pattern": "independent"}
    for place, (_, _, unit) in enumerate(rows):
        figure[f"yaxis{place + 1 if place else ''}"]["title"] = {"text": unit}
    if plain[0]:
        figure["yaxis5"] |= shown
        figure["shapes"].append(hline(0.0, "5"))
    figure[f"xaxis{len(rows)}"]["title"] = {"text": "training step (log scale)"}
    title = f"At {when(dataset, -1)} {verdict(dataset)}."
    return Panel(
        NAME, title, {"data": [trace for row in rows for trace in row[0]], "layout": figure},
        how_to_read="First two rows: the degree of emergence E, which is 0 where it is counted from; the coloured band "
        f"is a 95 % interval over {over(dataset)}. {_NULLS_READ}Where a coloured line stays in the grey, the weights "
        "have grown or their sizes have spread, and that is all E sees. The official grid counts 1/|w| in whole "
        "numbers, so that noise which only grows emerges too; on the scale-free grid it cannot. Then the two factors "
        "of E apart: alpha0, lower is more regular, and the width of the spectrum. Last row: quantities that need no "
        "graph, as multiples of their value at the first checkpoint, on a log scale.",
        description=f"Line charts over training steps. {title}",
        detail=f"E = (w / w₀) ln(alpha0₀ / alpha0), counted from {start(dataset)}. {redrawn(dataset)}, the same "
        "at both ends; each null is counted from its own beginning where there is a step 0. One "
        "training run: nothing here says what another run would do. Share within reach: weights whose 1/|w| lies on "
        "the official grid. Weighted degree: sum of |w| of a neuron's outgoing weights. Tail exponent: of the "
        "eigenvalues of each matrix, by Hill's estimator, mean over matrices. Stable rank: their sum over the largest.",
    )  # fmt: skip


def _emergence(dataset: xr.Dataset, grid: str, x: np.ndarray, axis: str) -> Drawn:
    here = dataset.sel(grid=grid)
    traces, notes = [], [heading(f"Emergence on the {GRIDS[grid]}", axis)]
    known = [null for null in NULLS if null in dataset["null"].values]
    drawn = {null: here["null_emergence"].sel(null=null).values for null in known}  # (draw, step)
    traces += [band(x, *bounds(drawn[null]), look.NULL_BAND, axis=axis) for null in known]
    value, interval = here["emergence"].values, here["emergence_interval"].values
    traces += [band(x, interval[:, 0], interval[:, 1], look.WEIGHTS_BAND, axis=axis, opacity=0.8)]
    for null in known:
        level = _mean(drawn[null])
        traces += [line(x, level, NULLS[null].short, look.NULL, width=1.3, dash=NULLS[null].dash, axis=axis)]
        notes += [label(NULLS[null].short, x, level, look.INK_2, axis=axis)]
    course = line(x, value, _TRAINED, look.WEIGHTS, width=2.2, axis=axis)
    course["hovertext"] = [f"{text_number(float(v))} {given(w)}" for v, w in zip(value, interval, strict=True)]
    return [*traces, course], [*notes, label(_TRAINED, x, value, look.WEIGHTS, axis=axis)], "degree of emergence E"


def _mean(draws: np.ndarray) -> np.ndarray:
    """Mean over draws, for the line inside their band; NaN where nothing is finite."""
    known = np.isfinite(draws)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, draws, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _exponent(dataset: xr.Dataset, name: str, x: np.ndarray, axis: str) -> Drawn:
    words = {
        "alpha0": "Regularity: alpha0, the mean slope of the neurons",
        "width": "Heterogeneity: width of the spectrum",
    }
    traces, notes = [], [heading(words[name], axis)]
    for grid, dash in zip(GRIDS, (None, "dash"), strict=True):
        noise = dataset[f"null_{name}"].sel(grid=grid, null="matched_scale").values
        level, called = _mean(noise), f"{NOISE.short}{', scale-free' if dash else ''}"
        traces += [band(x, *bounds(noise), look.NULL_BAND, axis=axis)]
        traces += [line(x, level, called, look.NULL, width=1.3, dash=dash, axis=axis)]
        notes += [label(called, x, level, look.INK_2, axis=axis)]
    for grid, dash in zip(GRIDS, (None, "dash"), strict=True):
        values = dataset[name].sel(grid=grid).values
        traces += [line(x, values, GRIDS[grid], look.WEIGHTS, width=2.0, dash=dash, axis=axis)]
        notes += [label(GRIDS[grid], x, values, look.WEIGHTS, axis=axis)]
    return traces, notes, f"{name} (no unit)"


def _plain(dataset: xr.Dataset, x: np.ndarray, axis: str) -> tuple[Drawn, dict[str, Any]]:
    """Plain quantities as multiples of their first known value, on a scale of powers of two; and its ticks."""
    traces: list[dict[str, Any]] = []
    notes = [heading("Plain quantities", axis)]
    for name, plain in PLAIN.items():
        if not plain.drawn:
            continue
        values = dataset["baseline"].sel(quantity=name).values
        positive = np.isfinite(values) & (values > 0)
        if not positive.any():
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            times = np.where(positive, np.log2(values / values[positive][0]), np.nan)
        each = line(x, times, plain.words, plain.colour, width=1.5, dash=plain.dash, axis=axis)
        each["hovertext"] = [text_number(float(v)) if known else "" for v, known in zip(values, positive, strict=True)]
        traces += [each]
        notes += [label(plain.words, x, times, plain.colour, axis=axis)]
    reach = [value for trace in traces for value in trace["y"] if value is not None]
    fine = not reach or max(reach) - min(reach) < 1.2
    marks = [mark for mark in (_FINE if fine else _MARKS) if not reach or min(reach) <= np.log2(mark) <= max(reach)]
    marks = sorted({*marks, 1.0})
    shown = {"tickvals": [float(np.log2(mark)) for mark in marks], "ticktext": [f"{mark:g}" for mark in marks]}
    return (traces, notes, "times the first value (log scale)"), shown


def of_one(dataset: xr.Dataset) -> Panel | None:
    """Emergence of a single checkpoint: its interval against draws of the nulls and of the beginning."""
    if not has(dataset, "emergence"):
        return None
    known = [null for null in NULLS if null in dataset["null"].values]
    begun = ["fresh initialisations"] if "initial" in dataset else []
    names = [*reversed(begun), *(NULLS[null].short for null in reversed(known)), _TRAINED]
    traces: list[dict[str, Any]] = []
    notes = []
    for k, grid in enumerate(GRIDS):
        axis = str(k + 1) if k else ""
        here = dataset.sel(grid=grid).isel(step=-1)
        drawn = {NULLS[null].short: here["null_emergence"].sel(null=null).values for null in known}
        drawn |= {name: _fresh(dataset, grid) for name in begun}
        for name, values in drawn.items():
            traces += _draws(values, names.index(name), name, axis)
        low, high = (float(each) for each in here["emergence_interval"].values)
        value, row = float(here["emergence"]), len(names) - 1
        traces += [line(np.array([low, high]), np.full(2, row), "", look.WEIGHTS, width=2.0, axis=axis)]
        traces[-1]["hovertext"] = []
        tip = f"{_TRAINED}: {text_number(value)} {given(here['emergence_interval'].values)}"
        traces += [_dots(np.array([value]), row, _TRAINED, look.WEIGHTS, 10, axis, [tip])]
        notes += [heading(GRIDS[grid].capitalize(), axis)]
    figure = layout(
        {"title": "degree of emergence E (no unit)"}, {"title": "", **named_rows(names)}, columns=2, annotations=notes,
        shapes=[_zero(axis) for axis in ("", "2")], height=110 + 42 * len(names),
    )  # fmt: skip
    figure["yaxis2"]["showticklabels"] = False
    title = f"Counted from {start(dataset)}, {verdict(dataset)}."
    return Panel(
        NAME, title, {"data": traces, "layout": figure},
        how_to_read=f"The coloured dot is the degree of emergence E with its 95 % interval over {over(dataset)}. "
        f"{_NULLS_READ}Grey dots are their draws, grey boxes span them. The last row is networks drawn from the "
        "published initialisation, against their own mean. On the official grid, 1/|w| in whole numbers, noise that "
        "only grows emerges too; on the scale-free grid it cannot.",
        description=f"Dot plots of the degree of emergence. {title}",
        detail="E = (w / w₀) ln(alpha0₀ / alpha0). There is no step 0, so w₀ and alpha0₀ are those of simulated "
        f"networks: {dataset.attrs.get('reference', '')}. If the model began otherwise, E on the official grid is off "
        "by what the scale of the beginning explains. One training run.",
    )  # fmt: skip


def _fresh(dataset: xr.Dataset, grid: str) -> np.ndarray:
    """Emergence of each initialisation against their mean: how far 0 itself is known."""
    drawn = dataset["initial"].sel(grid=grid).values
    alpha0, width = drawn.mean(axis=0)
    return emergence.degree(drawn[:, 0], drawn[:, 1], float(alpha0), float(width))


def _draws(values: np.ndarray, row: int, name: str, axis: str) -> list[dict[str, Any]]:
    values = values[np.isfinite(values)]
    if not values.size:
        return []
    ends = np.array([values.min(), values.max()])
    tips = [f"{name}: {text_number(float(value))}" for value in values]
    return [
        band(ends, np.full(2, row - 0.3), np.full(2, row + 0.3), look.NULL_BAND, axis=axis),
        _dots(values, row, name, look.NULL, 6, axis, tips),
    ]


def _dots(
    values: np.ndarray, row: int, name: str, colour: str, size: int, axis: str, tips: list[str]
) -> dict[str, Any]:
    return {"type": "scatter", "mode": "markers", "x": values.tolist(), "y": [float(row)] * len(values), "name": name,
            "hovertext": tips, "marker": {"size": size, "color": colour}, "xaxis": f"x{axis}",
            "yaxis": f"y{axis}"}  # fmt: skip


def _zero(axis: str) -> dict[str, Any]:
    return {"type": "line", "x0": 0, "x1": 0, "xref": f"x{axis}", "y0": 0, "y1": 1, "yref": f"y{axis} domain",
            "line": {"color": look.INK_2, "width": 0.7}}  # fmt: skip

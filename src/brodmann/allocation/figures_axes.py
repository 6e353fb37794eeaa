"""Pieces of the allocation figures: values with intervals on logarithmic axes. Nothing is computed here."""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.plotting import note

SAID = {"hard": 1.42, "simple": 0.65}
"""Values under test, from popular articles."""
UNDER_TEST = "value that popular articles gave"
POOLED = {"hard": "hard tasks", "simple": "repetition", "harder": "hardest / easiest"}
_MARKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


def pick(dataset: xr.Dataset, contrast: str, compared: str, **where: str) -> tuple[float, float, float]:
    """Ratio, low and high end; of density while reading at equal surprisal and position unless said otherwise."""
    place = {
        "version": "reading", "measure": "density", "adjustment": "surprisal and position",
        "compared": compared, "contrast": contrast, **where,
    }  # fmt: skip
    one, low, high = (float(dataset[f"ratio{end}"].sel(place)) for end in ("", "_low", "_high"))
    return one, low, high


def dot(found: tuple[float, float, float], y: float, name: str, colour: str, axis: str) -> list[dict[str, Any]]:
    """A value with its interval, on a logarithmic axis."""
    if not np.isfinite(found[0]):
        return []
    value, low, high = (float(np.log(v)) if np.isfinite(v) and v > 0 else None for v in found)
    where = {"xaxis": f"x{axis}", "yaxis": f"y{axis}"}
    traces: list[dict[str, Any]] = []
    if low is not None and high is not None:
        traces.append({"type": "scatter", "mode": "lines", "x": [low, high], "y": [y, y], "name": "interval",
                       "line": {"color": colour, "width": 1.6}, "hoverinfo": "skip", **where})  # fmt: skip
    tip = f"{name}\n{ratio_text(found[0])} [{ratio_text(found[1])}, {ratio_text(found[2])}]"
    traces.append({"type": "scatter", "mode": "markers", "x": [value], "y": [y], "name": name,
                   "marker": {"size": 9, "color": colour}, "hovertext": [tip], **where})  # fmt: skip
    return traces


def ratio_text(value: float) -> str:
    """A ratio for sentences: two decimals, since what matters is how far it is from 1.

    Examples
    --------
    >>> ratio_text(1.0234), ratio_text(float("nan"))
    ('1.02', 'not a number')
    """
    return f"{value:.2f}" if np.isfinite(value) else "not a number"


def reach(dataset: xr.Dataset, contrasts: list[str], compared: tuple[str, ...]) -> tuple[float, float]:
    """Logarithms of the smallest and largest number that is drawn, the values under test among them."""
    values = [v for name in contrasts for each in compared for v in pick(dataset, name, each)]
    logs = [float(np.log(v)) for v in (*values, *SAID.values()) if np.isfinite(v) and v > 0]
    return min(logs), max(logs)


def log_axis(low: float, high: float) -> dict[str, Any]:
    """Range and ticks of a logarithmic axis with some room at its ends; ends are given in logarithms."""
    low, high = min(low, -0.05), max(high, 0.05)
    pad = 0.07 * (high - low)
    low, high = low - pad, high + pad
    marks = [mark for mark in _MARKS if low <= np.log(mark) <= high]
    if len(marks) < 3:
        step = 0.05 if high - low < 0.6 else 0.1
        finer = np.arange(step, 3.0, step).round(2).tolist()
        marks = [mark for mark in finer if low <= np.log(mark) <= high]
    places = [float(np.log(mark)) for mark in marks]
    return {"range": [low, high], "tickvals": places, "ticktext": [f"{mark:.3g}" for mark in marks]}


def upright_one(axis: str) -> dict[str, Any]:
    """Where nothing changes, on a level axis of ratios."""
    return {"type": "line", "x0": 0.0, "x1": 0.0, "xref": f"x{axis}", "y0": 0, "y1": 1, "yref": f"y{axis} domain",
            "line": {"color": look.INK_2, "width": 0.7}}  # fmt: skip


def said(contrast: str, y: float, axis: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A thin mark and its number at a value under test."""
    x = float(np.log(SAID[contrast]))
    mark = {"symbol": "line-ns", "size": 22, "color": look.INK_2, "line": {"width": 1}}
    trace = {
        "type": "scatter", "mode": "markers", "x": [x], "y": [y], "marker": mark, "name": UNDER_TEST,
        "hovertext": [f"said: {SAID[contrast]:g}"], "xaxis": f"x{axis}", "yaxis": f"y{axis}",
    }  # fmt: skip
    return trace, note(x, y - 0.46, f"{SAID[contrast]:g}", axis=axis, colour=look.INK_2)

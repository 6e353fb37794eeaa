"""The weight graph's chapter: from the study's Dataset to figures (plotly JSON). It draws what is there.

Weights are plum, from pale to full with the training step; null models are grey. What is measured in 1/|w| (official
grid) and what is measured in units of each matrix's own scale (scale-free grid) always stand beside each other.
"""

import json
from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.fractal.compared import NOISE
from brodmann.fractal.figures_course import of_one, over_training
from brodmann.fractal.figures_layers import layers, slopes
from brodmann.fractal.figures_scores import scores
from brodmann.fractal.figures_text import GRIDS, citations, is_series, readings, summary, when
from brodmann.page import Chapter, Panel
from brodmann.plotting import band, has, heading, keyed, layout, line, note, text_number
from brodmann.steps import step_position

_MOST = 24
"""Spectra that are drawn; of more checkpoints, evenly spaced ones."""
_HEAD = 0.13
"""Room above f = 0, as a share of what lies below."""


def chapter(dataset: xr.Dataset, recording: xr.Dataset) -> Chapter:
    """Draw the study of the weight graph.

    Parameters
    ----------
    dataset : xarray.Dataset
        What `fractal.study` returned, or the same read from a store.
    recording : xarray.Dataset
        Not used: the study reads weights alone.
    """
    del recording
    course = over_training if is_series(dataset) else of_one
    drawn = (course(dataset), spectra(dataset), layers(dataset), slopes(dataset), scores(dataset))
    return Chapter(
        name="fractal",
        title="Weight graph",
        question="How organised is the graph of the weights, and is that more than their scale?",
        summary=summary(dataset),
        panels=tuple(panel for panel in drawn if panel is not None),
        citations=citations(dataset),
        readings=readings(dataset),
    )


def spectra(dataset: xr.Dataset) -> Panel | None:
    """F over alpha of every checkpoint, coloured by training step, on both grids."""
    if not has(dataset, "f"):
        return None
    count = dataset.sizes["step"]
    shown = np.unique(np.linspace(0, count - 1, min(count, _MOST)).round().astype(int))
    traces: list[dict[str, Any]] = []
    notes, ranges = [], []
    for k, grid in enumerate(GRIDS):
        axis = str(k + 1) if k else ""
        curves = _curves(dataset, grid, shown, axis)
        reach = [value for curve in curves for value in curve["x"] if value is not None]
        left, right, low = min(reach), max(reach), min(v for c in curves for v in c["y"] if v is not None)
        pad = (0.15 if is_series(dataset) else 0.06) * (right - left)  # room for the names of two curves
        ranges.append(([left - pad, right + pad], [1.08 * low, _HEAD * abs(low)]))
        traces += [*_noise(dataset, grid, low, axis), *curves, _apexes(dataset, grid, shown, axis)]
        notes += [heading(GRIDS[grid].capitalize(), axis), keyed(f"alpha0 of {NOISE.short}", axis=axis)]
        notes += _names(dataset, grid, right - left, low, axis) if is_series(dataset) else []
    figure = layout({"title": "alpha (no unit)"}, {"title": "f(alpha)"}, columns=2, annotations=notes, height=460)
    for axis, (across, upright) in zip(("", "2"), ranges, strict=True):
        figure[f"xaxis{axis}"]["range"], figure[f"yaxis{axis}"]["range"] = across, upright
    title = _spectra_title(dataset)
    return Panel(
        "fractal-spectra", title, {"data": traces, "layout": figure},
        how_to_read="Each curve is the multifractal spectrum of one checkpoint"
        f"{', coloured by training step as the scale above says' if is_series(dataset) else ''}. "
        "Its top, where f is 0, lies at alpha0, the mean slope of the neurons; on its left q is positive, on its right "
        "negative, and from end to end is the width. The grey line is where the top lies in noise of the same scale"
        f"{' at the last checkpoint' if is_series(dataset) else ''}. On the scale-free grid a network that only grows "
        "keeps its curve.",
        description=f"Curves of f over alpha. {title}",
        detail="q from −3 to 3 in 61 steps, exact derivative. Node sums: f never exceeds 0 where the regression "
        f"describes a spectrum. {_flags(dataset)}",
    )  # fmt: skip


def _curves(dataset: xr.Dataset, grid: str, shown: np.ndarray, axis: str) -> list[dict[str, Any]]:
    here, count = dataset.sel(grid=grid), dataset.sizes["step"]
    share = _shares(dataset)
    drawn = []
    for i in [*shown[1:-1], *dict.fromkeys((shown[0], shown[-1]))]:  # the named ones on top
        colour = look.tone(share[i]) if is_series(dataset) else look.WEIGHTS
        wide = 2.6 if i in (0, count - 1) else 1.3
        drawn += [
            line(here["alpha"].values[i], here["f"].values[i], when(dataset, int(i)), colour, width=wide, axis=axis)
        ]
        drawn[-1]["hovertext"] = []
    return drawn


def _shares(dataset: xr.Dataset) -> np.ndarray:
    """Place of each checkpoint on the sequential scale; the palest tones stay free, they are hard to see as lines."""
    if not is_series(dataset):
        return np.ones(dataset.sizes["step"])
    x = step_position(dataset["step"].values)
    return np.asarray(0.15 + 0.85 * (x - x[0]) / (x[-1] - x[0]))


def _apexes(dataset: xr.Dataset, grid: str, shown: np.ndarray, axis: str) -> dict[str, Any]:
    """Invisible points on the tops: they tell a checkpoint's numbers, and carry the colour scale."""
    here = dataset.sel(grid=grid)
    alpha0, width = here["alpha0"].values, here["width"].values
    tips = [
        f"{when(dataset, int(i))}: alpha0 {text_number(float(alpha0[i]))}, width {text_number(float(width[i]))}"
        for i in shown
    ]
    points: dict[str, Any] = {
        "type": "scatter", "mode": "markers", "x": [float(alpha0[i]) for i in shown], "y": [0.0] * len(shown),
        "name": "", "hovertext": tips, "marker": {"size": 14, "opacity": 0, "color": look.INK},
        "xaxis": f"x{axis}", "yaxis": f"y{axis}",
    }  # fmt: skip
    if is_series(dataset):
        points["meta"] = {"ramp": "tones", "low": when(dataset, 0), "high": when(dataset, -1)}
    return points


def _noise(dataset: xr.Dataset, grid: str, low: float, axis: str) -> list[dict[str, Any]]:
    values = dataset["null_alpha0"].sel(grid=grid, null="matched_scale").values[:, -1]
    values = values[np.isfinite(values)]
    if not values.size:
        return []
    ends, height = np.array([values.min(), values.max()]), np.array([1.08 * low, _HEAD * abs(low)])
    return [
        band(ends, np.full(2, height[0]), np.full(2, height[1]), look.NULL_BAND, axis=axis),
        line(np.full(2, values.mean()), height, f"alpha0 of {NOISE.short}", look.NULL, width=1.6, axis=axis)
        | {"hovertext": []},
    ]


def _names(dataset: xr.Dataset, grid: str, span: float, low: float, axis: str) -> list[dict[str, Any]]:
    """Names of the first and the last curve: above their tops where these stand apart, else at their outer ends."""
    here = dataset.sel(grid=grid)
    tops = here["alpha0"].values
    if abs(tops[-1] - tops[0]) > 0.3 * span:
        return [note(tops[at], 0.04 * abs(low), when(dataset, at), axis=axis) for at in (0, -1)]
    leftwards = bool(tops[-1] <= tops[0])
    notes = []
    for at, left in ((0, not leftwards), (-1, leftwards)):
        q = -1 if left else 0  # alpha falls with q
        x, y = float(here["alpha"].values[at, q]), float(here["f"].values[at, q])
        if np.isfinite(x) and np.isfinite(y):
            anchor, shift = ("right", -0.02 * span) if left else ("left", 0.02 * span)
            notes += [note(x + shift, y, when(dataset, at), axis=axis, anchor=anchor)]
    return notes


def _spectra_title(dataset: xr.Dataset) -> str:
    def said(grid: str, name: str) -> str:
        values = dataset[name].sel(grid=grid).values
        ends = [text_number(float(values[at])) for at in (0, -1)]
        return f"from {ends[0]} to {ends[1]}" if is_series(dataset) else ends[1]

    if is_series(dataset):
        return (
            f"Between {when(dataset, 0)} and {when(dataset, -1)} the spectrum's width goes "
            f"{said('official', 'width')} on the official grid and {said('scale_free', 'width')} on the scale-free one."
        )
    return (
        f"The spectrum has its top at {said('official', 'alpha0')} and is {said('official', 'width')} wide on the "
        f"official grid; on the scale-free grid its top is at {said('scale_free', 'alpha0')} and it is "
        f"{said('scale_free', 'width')} wide."
    )


def _flags(dataset: xr.Dataset) -> str:
    flags = json.loads(str(dataset.attrs.get("flags", "{}")))
    raised = [f"{GRIDS[grid]}: {', '.join(each)}" for grid, each in flags.items() if each and grid in GRIDS]
    return (
        f"Flags of the last checkpoint: {'; '.join(raised)}." if raised else "No flag is raised at the last checkpoint."
    )

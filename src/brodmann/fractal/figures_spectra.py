"""Multifractal spectra: the curves of the checkpoints, and how far those of noise reach."""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.fractal.compared import NOISE
from brodmann.fractal.figures_text import GRIDS, flags, is_series, is_spectrum, moved, peak, when
from brodmann.page import Panel
from brodmann.plotting import has, heading, keyed, layout, line, note, text_number

_MOST = 24
"""Spectra that are drawn; of more checkpoints, evenly spaced ones."""
_NAMED = 6
"""Spectra with a name and a strong line."""
_HEAD, _FOOT = 0.13, 0.26
"""Room above f = 0 and below the lowest f, as shares of what lies between."""
_LETTER = 6.6 / 280
"""A letter's width, as a share of the axes on a narrow sheet."""
_FOLDED = "no spectrum: the curve folds back"
_NOISE = f"{NOISE.short}: alpha0 and width"


def spectra(dataset: xr.Dataset) -> Panel | None:
    """F over alpha of every checkpoint, coloured by training step, on both grids."""
    if not has(dataset, "f"):
        return None
    count = dataset.sizes["step"]
    shown = np.unique(np.linspace(0, count - 1, min(count, _MOST)).round().astype(int))
    named = _chosen(dataset, shown)
    shown = np.union1d(shown, named)
    traces: list[dict[str, Any]] = []
    notes, ranges = [], []
    for k, grid in enumerate(GRIDS):
        axis = str(k + 1) if k else ""
        curves = _curves(dataset, grid, shown, named, axis)
        xs, ys = ([value for curve in curves for value in curve[key] if value is not None] for key in "xy")
        bars = _bars(dataset, grid, min(ys), axis)
        xs += [value for bar in bars for value in bar["x"]]
        pad, low = 0.06 * (max(xs) - min(xs)), min(ys)
        ranges.append(
            ([min(xs) - pad, max(xs) + pad], [(1 + _FOOT) * low, max(_HEAD * abs(low), max(ys) + 0.05 * abs(low))])
        )
        traces += [*bars, *curves, _apexes(dataset, grid, shown, axis)]
        whole = is_spectrum(dataset, grid)
        notes += [heading(f"{GRIDS[grid].capitalize()}{'' if whole else ': no spectrum'}", axis)]
        notes += [keyed(when(dataset, int(at)), axis=axis) for at in named] if is_series(dataset) else []
        notes += [keyed(_FOLDED, axis=axis), keyed(_ours(dataset), axis=axis), keyed(_NOISE, axis=axis)]
        notes += _names(dataset, grid, named, ranges[-1][0], low, axis) if is_series(dataset) else []
    figure = layout({"title": "alpha (no unit)"}, {"title": "f(alpha)"}, columns=2, annotations=notes, height=500)
    for axis, (across, upright) in zip(("", "2"), ranges, strict=True):
        figure[f"xaxis{axis}"]["range"], figure[f"yaxis{axis}"]["range"] = across, upright
    title = _title(dataset)
    return Panel(
        "fractal-spectra", title, {"data": traces, "layout": figure}, how_to_read=_how_to_read(dataset),
        description=f"Curves of f over alpha. {title}",
        detail="q from −3 to 3 in 61 steps, exact derivative. Of noise only alpha0 and width are kept, not the curve: "
        "how its bar is divided by the stroke is taken from the weights. "
        f"A sum over neurons gives f of 0 at most, unless the fits behind it are of no power law. {_flags(dataset)}",
    )  # fmt: skip


def _how_to_read(dataset: xr.Dataset) -> str:
    many = is_series(dataset)
    coloured = ", darker with training; at most six are named, the thin ones lie between them" if many else ""
    text = (
        f"Each curve is the multifractal spectrum of one checkpoint{coloured}. Its top, where f is 0, lies at alpha0, "
        "the mean slope of the neurons; from end to end it is the width. The bars below compare both with noise of the "
        f"same scale{' at the last checkpoint' if many else ''}: the stroke is alpha0, the length is the width. On the "
        "scale-free grid a network that only grows keeps its curve."
    )
    if any(not is_spectrum(dataset, grid, at) for grid in GRIDS for at in range(dataset.sizes["step"])):
        text += " Dotted grey curves are no spectra: there alpha does not fall with q, or f rises above 0."
    return text


def _chosen(dataset: xr.Dataset, shown: np.ndarray) -> np.ndarray:
    """The first, the last, the one of highest E, and those that differ most from the chosen ones."""
    here = dataset.sel(grid="official")
    places = np.stack([here[name].values for name in ("alpha0", "width")], axis=1)
    spread = np.nanmax(places, axis=0) - np.nanmin(places, axis=0)
    places = np.nan_to_num(places / np.where(spread > 0, spread, 1.0))
    most = peak(dataset)
    chosen = sorted({0, dataset.sizes["step"] - 1, *([] if most is None else [most])})
    while len(chosen) < min(_NAMED, shown.size):
        apart = np.linalg.norm(places[shown, None] - places[None, chosen], axis=-1).min(axis=1)
        apart[np.isin(shown, chosen)] = -1.0
        chosen = sorted({*chosen, int(shown[apart.argmax()])})
    return np.array(chosen)


def _curves(dataset: xr.Dataset, grid: str, shown: np.ndarray, named: np.ndarray, axis: str) -> list[dict[str, Any]]:
    here, many = dataset.sel(grid=grid), is_series(dataset)
    drawn = []
    for at in [*(i for i in shown if i not in named), *named]:  # the named ones on top
        colour = look.tone(float(np.interp(at, named, np.linspace(0.2, 1.0, named.size)))) if many else look.WEIGHTS
        wide, dash, name = (2.4 if at in named else 0.7), None, when(dataset, int(at))
        if not is_spectrum(dataset, grid, int(at) - dataset.sizes["step"]):
            colour, wide, dash, name = look.INK_2, 0.9, "dot", _FOLDED
        drawn += [line(here["alpha"].values[at], here["f"].values[at], name, colour, width=wide, dash=dash, axis=axis)]
        drawn[-1]["hovertext"] = []
    return drawn


def _apexes(dataset: xr.Dataset, grid: str, shown: np.ndarray, axis: str) -> dict[str, Any]:
    """Invisible points on the tops: they tell a checkpoint's numbers."""
    here = dataset.sel(grid=grid)
    alpha0, width = here["alpha0"].values, here["width"].values
    tips = [
        f"{when(dataset, int(i))}: alpha0 {text_number(float(alpha0[i]))}, width {text_number(float(width[i]))}"
        for i in shown
    ]
    return {
        "type": "scatter", "mode": "markers", "x": [float(alpha0[i]) for i in shown], "y": [0.0] * len(shown),
        "name": "", "hovertext": tips, "marker": {"size": 14, "opacity": 0, "color": look.INK},
        "xaxis": f"x{axis}", "yaxis": f"y{axis}",
    }  # fmt: skip


def _ours(dataset: xr.Dataset) -> str:
    return f"{when(dataset, -1)}: alpha0 and width"


def _bars(dataset: xr.Dataset, grid: str, low: float, axis: str) -> list[dict[str, Any]]:
    """Below the curves: alpha0 and width of the last checkpoint and of noise; none of what is no spectrum."""
    if not is_spectrum(dataset, grid):
        return []
    here = dataset.sel(grid=grid).isel(step=-1)
    noise = [here[f"null_{name}"].sel(null="matched_scale").values for name in ("alpha0", "width")]
    ours = (float(here["alpha0"]), float(here["width"]))
    left = (ours[0] - float(here["alpha"].values.min())) / ours[1] if ours[1] > 0 else 0.5
    rows = [(ours, _ours(dataset), look.tone(1.0) if is_series(dataset) else look.WEIGHTS)]
    known = np.isfinite(noise[0]) & np.isfinite(noise[1])
    if known.any():
        rows += [((float(noise[0][known].mean()), float(noise[1][known].mean())), _NOISE, look.NULL)]
    bars = []
    for k, ((alpha0, width), name, colour) in enumerate(rows):
        y, tall, start = (1.10 + 0.09 * k) * low, 0.03 * low, alpha0 - left * width
        x = np.array([start, alpha0, alpha0, alpha0, alpha0, start + width])
        bars += [line(x, np.array([y, y, y + tall, y - tall, y, y]), name, colour, width=2.6, axis=axis)]
        bars[-1]["hovertext"] = []
    return bars


def _names(
    dataset: xr.Dataset, grid: str, named: np.ndarray, across: list[float], low: float, axis: str
) -> list[dict[str, Any]]:
    """Names above the tops, where these stand apart: the last first, then the first."""
    tops = dataset["alpha0"].sel(grid=grid).values
    taken: list[tuple[float, float]] = []
    notes = []
    letter = _LETTER * (across[1] - across[0])
    for at in dict.fromkeys((int(named[-1]), int(named[0]), *named.tolist())):
        text, half = when(dataset, at), 0.5 * letter * (len(when(dataset, at)) + 1)
        fits = all(abs(float(tops[at]) - x) > half + other for x, other in taken)
        inside = across[0] < float(tops[at]) - half and float(tops[at]) + half < across[1]
        if fits and inside and is_spectrum(dataset, grid, at - dataset.sizes["step"]):
            taken.append((float(tops[at]), half))
            notes.append(note(tops[at], 0.04 * abs(low), text, axis=axis))
    return notes


def _title(dataset: xr.Dataset) -> str:
    said = [_said(dataset, grid) for grid in GRIDS]
    return f"{said[0][0].upper()}{said[0][1:]}; {said[1]}."


def _said(dataset: xr.Dataset, grid: str) -> str:
    """What is to be seen on one grid, as a clause."""
    here = dataset.sel(grid=grid)
    if not is_spectrum(dataset, grid):
        at = f" at {when(dataset, -1)}" if is_series(dataset) else ""
        return f"on the {GRIDS[grid]} this is no spectrum{at}: the curve folds back, and its width means nothing"
    noise = here.sel(null="matched_scale").isel(step=-1)
    alpha0, width = (noise[f"null_{name}"].values for name in ("alpha0", "width"))
    wide = text_number(float(width.mean()))
    if is_series(dataset):
        values = here["width"].values
        return (
            f"on the {GRIDS[grid]} the spectrum's width {moved(float(values[0]), float(values[-1]))} "
            f"(noise of the same scale: {wide})"
        )
    ours = [text_number(float(here[name].values[-1])) for name in ("alpha0", "width")]
    return (
        f"on the {GRIDS[grid]} the spectrum has its top at {ours[0]} (noise {text_number(float(alpha0.mean()))}) "
        f"and is {ours[1]} wide (noise {wide})"
    )


def _flags(dataset: xr.Dataset) -> str:
    raised = [f"{name}: {', '.join(flags(dataset, grid))}" for grid, name in GRIDS.items() if flags(dataset, grid)]
    return (
        f"Flags of the last checkpoint: {'; '.join(raised)}." if raised else "No flag is raised at the last checkpoint."
    )

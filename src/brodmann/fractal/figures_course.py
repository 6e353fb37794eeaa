"""Emergence over training, beside its nulls, its two factors and plain quantities; of one checkpoint, as dots."""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.fractal import emergence
from brodmann.fractal.compared import NOISE, NULLS, PLAIN, nulls_in_words
from brodmann.fractal.figures_axis import Training
from brodmann.fractal.figures_text import (
    GRIDS,
    fit,
    given,
    highest,
    is_spectrum,
    level_in_words,
    over,
    peak,
    redrawn,
    start,
    when,
)  # fmt: skip
from brodmann.page import Panel
from brodmann.plotting import bounds, has, heading, hline, label, layout, line, named_rows, text_number

NAME = "fractal-emergence"
_TRAINED = "trained weights"
_MARKS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
_FINE = (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)
_MEANS_NOTHING = ": no spectrum"
_ROW = 260
"""Height of a row; names at the ends of lines need it."""
_E = (
    "the degree of emergence E, the ratio of the spectrum's widths now and then, times ln of the ratio of alpha0 then "
    "and now; it is 0 where it is counted from"
)
_GRIDS_READ = (
    "The official grid, that of the paper's released code, counts 1/|w| in whole numbers, so that noise has a positive "
    "E too as soon as it grows; on the scale-free grid, in units of each matrix's own root mean square, noise that "
    "grows keeps E = 0. "
)

Drawn = tuple[list[dict[str, Any]], list[dict[str, Any]], str]
"""Traces, annotations, and the unit of one row."""


def _nulls_read(dataset: xr.Dataset) -> str:
    return f"Grey is the same number for {len(NULLS)} nulls, each drawn {_draws(dataset)} times: {nulls_in_words()}. "


def _draws(dataset: xr.Dataset) -> int:
    return int(dataset.sizes["draw"])


def over_training(dataset: xr.Dataset) -> Panel | None:
    """Emergence on both grids, alpha0, width and plain quantities over one axis of training."""
    if not has(dataset, "alpha0"):
        return None
    course = Training(dataset["step"].values)
    rows = [_emergence(dataset, grid, course, str(k + 1) if k else "") for k, grid in enumerate(GRIDS)]
    rows += [_exponent(dataset, name, course, axis) for name, axis in (("alpha0", "3"), ("width", "4"))]
    plain, shown = _plain(dataset, course, "5")
    if plain[0]:
        rows.append(plain)
    axes = [str(k + 1) if k else "" for k in range(len(rows))]
    notes = [*(note for row in rows for note in row[1]), *(each for axis in axes for each in course.breaks(axis))]
    figure = layout(
        course.axis(), {}, columns=len(rows), height=_ROW * len(rows), annotations=notes,
        shapes=[hline(0.0), hline(0.0, "2")],
    )  # fmt: skip
    figure["grid"] = {"rows": len(rows), "columns": 1, "pattern": "independent"}
    for axis, (_, _, unit) in zip(axes, rows, strict=True):
        figure[f"yaxis{axis}"]["title"] = {"text": unit}
    if plain[0]:
        figure["yaxis5"] |= shown
        figure["shapes"].append(hline(0.0, "5"))
    figure[f"xaxis{axes[-1]}"]["title"] = {"text": f"training step (log scale{', step 0 apart' * course.apart})"}
    title = _course_title(dataset)
    return Panel(
        NAME, title, {"data": [trace for row in rows for trace in row[0]], "layout": figure},
        how_to_read=f"First two rows: {_E}. The coloured band is a 95 % interval over {over(dataset)}. "
        f"{_nulls_read(dataset)}Where a coloured line stays in the grey or below it, E says no more than that the "
        f"weights have grown, or that their sizes are spread as they are. {_GRIDS_READ}Then the two factors of E "
        "apart: alpha0 (low: the neurons' neighbours lie at few distances) and the width of the spectrum (wide: "
        "neurons differ), with the same kind of band. Last row: quantities that need no graph, as multiples of their "
        "value at the first checkpoint.",
        description=f"Line charts over training steps. {title}",
        detail=f"E = (width / width₀) ln(alpha0₀ / alpha0), counted from {start(dataset)}. {redrawn(dataset)}, "
        "the same ones at the first and at the last checkpoint; bands of alpha0 and width hold the 2.5 % and 97.5 % "
        "quantiles of these draws, mirrored about the value as the basic bootstrap does. Each null is counted from "
        f"its own beginning where there is a step 0. One training run: nothing here says what another run would do. "
        f"{_plain_words(dataset)}",
    )  # fmt: skip


def _course_title(dataset: xr.Dataset) -> str:
    """Where E is highest and where it ends, and at how many checkpoints it lies above or below its nulls."""
    value = dataset["emergence"].sel(grid="official").values
    most = peak(dataset)
    if most is None or not np.isfinite(value[-1]):
        return f"On the official grid E is not defined at {when(dataset, -1)}."
    end = (
        f"{fit(float(value[-1]), dataset['emergence_interval'].sel(grid='official').values[-1])} at {when(dataset, -1)}"
    )
    if most < value.size - 1:
        text = (
            f"On the official grid E rises to {text_number(float(value[most]))} at {when(dataset, most)} and is {end}"
        )
    else:
        text = f"On the official grid E is highest at the end, {end}"
    later = range(1 if dataset.attrs.get("own_start") else 0, value.size)
    over_all = [at for at in later if _beside(dataset, "official", at) > 0]
    text += f"; it lies above every null at {len(over_all)} of {len(later)} checkpoints"
    if not is_spectrum(dataset, "scale_free"):
        return f"{text}. On the scale-free grid the fit describes no spectrum, and E there means nothing."
    under = [at for at in later if _beside(dataset, "scale_free", at) < 0]
    text += f". On the scale-free grid a null lies above it at {len(under) or 'none'} of {len(later)}"
    if under:
        worst = max(under, key=lambda at: highest(dataset, "scale_free", at)[1])
        name, level = highest(dataset, "scale_free", worst)
        own = float(dataset["emergence"].sel(grid="scale_free").values[worst])
        text += f" ({name} {text_number(level)}, trained {text_number(own)} at {when(dataset, worst)})"
    return f"{text}."


def _beside(dataset: xr.Dataset, grid: str, at: int) -> int:
    """1 where the interval lies above the highest null, −1 where below, 0 where it holds it."""
    low, high = dataset["emergence_interval"].sel(grid=grid).values[at]
    level = highest(dataset, grid, at)[1]
    return int(low > level) - int(high < level)


def _plain_words(dataset: xr.Dataset) -> str:
    """What the plain quantities are that were computed."""
    told = {
        "weighted_degree": "Weighted degree: sum of |w| of a neuron's outgoing weights.",
        "share_within": "Share within reach: weights whose 1/|w| lies on the official grid.",
        "tail_exponent": "Tail exponent: of the eigenvalues of each matrix, by Hill's estimator, mean over matrices.",
        "stable_rank": "Stable rank: sum of the eigenvalues of a matrix over their largest, mean over matrices.",
    }
    return " ".join(words for name, words in told.items() if has(dataset.sel(quantity=[name]), "baseline"))


def _emergence(dataset: xr.Dataset, grid: str, course: Training, axis: str) -> Drawn:
    here = dataset.sel(grid=grid)
    whole = is_spectrum(dataset, grid)
    traces, notes = [], [heading(f"Emergence on the {GRIDS[grid]}{'' if whole else _MEANS_NOTHING}", axis)]
    known = [null for null in NULLS if null in dataset["null"].values]
    drawn = {null: here["null_emergence"].sel(null=null).values for null in known}  # (draw, step)
    traces += [course.band(*bounds(drawn[null]), look.NULL_BAND, axis=axis) for null in known]
    value, interval = here["emergence"].values, here["emergence_interval"].values
    if whole:
        traces += [course.band(interval[:, 0], interval[:, 1], look.WEIGHTS_BAND, axis=axis, opacity=0.8)]
    for null in known:
        level = _mean(drawn[null])
        each = course.line(level, NULLS[null].short, look.NULL, width=1.3, dash=NULLS[null].dash, axis=axis)
        traces += [course.ringed(each, look.NULL) if null == "permuted_rows" else each]
        notes += [label(NULLS[null].short, course.x, level, look.INK_2, axis=axis)]
    tips = [f"{fit(float(v), w)} {given(w)}" for v, w in zip(value, interval, strict=True)]
    colour, wide, dash = (look.WEIGHTS, 2.2, None) if whole else (look.INK_2, 0.9, "dot")
    traces += [course.line(value, _TRAINED, colour, tips=tips, width=wide, dash=dash, axis=axis)]
    return traces, [*notes, label(_TRAINED, course.x, value, colour, axis=axis)], "degree of emergence E"


def _mean(draws: np.ndarray) -> np.ndarray:
    """Mean over draws, for the line inside their band; NaN where nothing is finite."""
    known = np.isfinite(draws)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, draws, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _exponent(dataset: xr.Dataset, name: str, course: Training, axis: str) -> Drawn:
    words = {
        "alpha0": "Regularity: alpha0, the mean slope of the neurons",
        "width": "Heterogeneity: width of the spectrum",
    }
    traces, notes = [], [heading(words[name], axis)]
    for grid, dash in zip(GRIDS, (None, "dash"), strict=True):
        noise = dataset[f"null_{name}"].sel(grid=grid, null="matched_scale").values
        level, called = _mean(noise), f"{NOISE.short}{', scale-free' if dash else ''}"
        traces += [course.band(*bounds(noise), look.NULL_BAND, axis=axis)]
        traces += [course.line(level, called, look.NULL, width=1.3, dash=dash, axis=axis)]
        notes += [label(called, course.x, level, look.INK_2, axis=axis)]
    ours = []
    for grid, dash in zip(GRIDS, (None, "dash"), strict=True):
        whole = name == "alpha0" or is_spectrum(dataset, grid)  # the mean slope is one whatever the curve
        values, (low, high) = dataset[name].sel(grid=grid).values, redrawn_bounds(dataset, name, grid)
        ends = np.stack([low, high], axis=1)
        tips = [f"{fit(float(v), w)} {given(w)}" for v, w in zip(values, ends, strict=True)]
        called = f"{GRIDS[grid]}{'' if whole else ', no spectrum'}"
        style: dict[str, Any] = {"width": 2.0, "dash": dash} if whole else {"width": 0.9, "dash": "dot"}
        colour = look.WEIGHTS if whole else look.INK_2
        if whole:
            traces += [course.band(low, high, look.WEIGHTS_BAND, axis=axis, opacity=0.8)]
        ours += [course.line(values, called, colour, tips=tips, axis=axis, **style)]
        notes += [label(called, course.x, values, colour, axis=axis)]
    traces += ours
    return traces, notes, f"{name} (no unit)"


def redrawn_bounds(dataset: xr.Dataset, name: str, grid: str) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of alpha0 or width by the basic bootstrap; NaN where nothing was drawn again."""
    value = dataset[name].sel(grid=grid).values
    drawn = dataset[f"replicate_{name}"].sel(grid=grid).values  # (step, replicate)
    if not drawn.shape[-1]:
        return np.full(value.shape, np.nan), np.full(value.shape, np.nan)
    high, low = np.quantile(drawn, [0.025, 0.975], axis=-1)
    return 2 * value - low, 2 * value - high


def _plain(dataset: xr.Dataset, course: Training, axis: str) -> tuple[Drawn, dict[str, Any]]:
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
        tips = [text_number(float(v)) if known else "" for v, known in zip(values, positive, strict=True)]
        traces += [course.line(times, plain.words, plain.colour, tips=tips, width=1.5, dash=plain.dash, axis=axis)]
        notes += [label(plain.words, course.x, times, plain.colour, axis=axis)]
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
            traces += _strokes(values, names.index(name), name, axis)
        low, high = (float(each) for each in here["emergence_interval"].values)
        value, row = float(here["emergence"]), len(names) - 1
        traces += [line(np.array([low, high]), np.full(2, row), "", look.WEIGHTS, width=2.0, axis=axis)]
        traces[-1]["hovertext"] = []
        within = here["emergence_interval"].values
        tip = f"{_TRAINED}: {fit(value, within)} {given(within)}"
        traces += [_dots(np.array([value]), row, _TRAINED, look.WEIGHTS, 10, axis, [tip])]
        notes += [heading(f"{GRIDS[grid].capitalize()}{'' if is_spectrum(dataset, grid) else _MEANS_NOTHING}", axis)]
    figure = layout(
        {"title": "degree of emergence E (no unit)"}, {"title": "", **named_rows(names)}, columns=2, annotations=notes,
        shapes=[_zero(axis) for axis in ("", "2")], height=110 + 42 * len(names),
    )  # fmt: skip
    figure["yaxis2"]["showticklabels"] = False
    title = _one_title(dataset)
    fresh = int(dataset.sizes.get("initialisation", 0))
    return Panel(
        NAME, title, {"data": traces, "layout": figure},
        how_to_read=f"The coloured dot is {_E}. Its line is a 95 % interval over {over(dataset)}. "
        f"{_nulls_read(dataset)}Each grey stroke is one draw; draws of a null lie so close together that they may look "
        f"like one stroke. The last row is {fresh} networks drawn from the initialisation, against their own mean. "
        f"{_GRIDS_READ}",
        description=f"Dot plots of the degree of emergence. {title}",
        detail="E = (width / width₀) ln(alpha0₀ / alpha0). There is no step 0, so width₀ and alpha0₀ are those of "
        f"simulated networks: {dataset.attrs.get('reference', '')}. If the model began otherwise, E on the official "
        "grid is off by what the scale of the beginning explains. The findings' p takes the spread of the few draws "
        "and the interval together (Student's t, degrees of freedom by Welch and Satterthwaite). One training run.",
    )  # fmt: skip


def _one_title(dataset: xr.Dataset) -> str:
    """Where the trained weights lie beside their highest null, on both grids."""
    said = []
    words = {
        1: "above every null (the highest: ", -1: "below the highest null (", 0: "about where the highest null does (",
    }  # fmt: skip
    for grid, name in GRIDS.items():
        null, level = highest(dataset, grid)
        if not is_spectrum(dataset, grid):
            said.append(f"on the {name} the fit describes no spectrum and E means nothing")
        elif not np.isfinite(dataset["emergence"].sel(grid=grid).values[-1]):
            said.append(f"on the {name} E is not defined")
        else:
            place = words[_beside(dataset, grid, -1)]
            said.append(f"on the {name} E lies {place}{null}, {level_in_words(dataset, grid, level)})")
    return f"{said[0][0].upper()}{said[0][1:]}; {said[1]}. {_draws(dataset)} draws of each null."


def _fresh(dataset: xr.Dataset, grid: str) -> np.ndarray:
    """Emergence of each initialisation against their mean: how far 0 itself is known."""
    drawn = dataset["initial"].sel(grid=grid).values
    alpha0, width = drawn.mean(axis=0)
    return emergence.degree(drawn[:, 0], drawn[:, 1], float(alpha0), float(width))


def _strokes(values: np.ndarray, row: int, name: str, axis: str) -> list[dict[str, Any]]:
    """A stroke for each draw."""
    values = values[np.isfinite(values)]
    if not values.size:
        return []
    tips = [f"{name}: {text_number(float(value))}" for value in values]
    stroke = _dots(values, row, name, look.NULL, 22, axis, tips)
    stroke["marker"] |= {"symbol": "line-ns", "line": {"width": 2.4, "color": look.NULL}}
    return [stroke]


def _dots(
    values: np.ndarray, row: int, name: str, colour: str, size: int, axis: str, tips: list[str]
) -> dict[str, Any]:
    return {"type": "scatter", "mode": "markers", "x": values.tolist(), "y": [float(row)] * len(values), "name": name,
            "hovertext": tips, "marker": {"size": size, "color": colour}, "xaxis": f"x{axis}",
            "yaxis": f"y{axis}"}  # fmt: skip


def _zero(axis: str) -> dict[str, Any]:
    return {"type": "line", "x0": 0, "x1": 0, "xref": f"x{axis}", "y0": 0, "y1": 1, "yref": f"y{axis} domain",
            "line": {"color": look.INK_2, "width": 0.7}}  # fmt: skip

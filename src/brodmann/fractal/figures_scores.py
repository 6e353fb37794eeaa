"""Whether emergence goes with benchmark scores, beside the training step and other plain quantities."""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.fractal.compared import PLAIN
from brodmann.fractal.figures_text import given
from brodmann.page import Panel
from brodmann.plotting import has, heading, layout, line, named_rows, note, text_number

_FORMS = {"spearman": "Spearman", "pearson": "Pearson", "partial": "Spearman, given log step"}
RIVAL = "log_step"


def scores(dataset: xr.Dataset) -> Panel | None:
    """Correlations over checkpoints, a row of three dot plots for each score."""
    if not has(dataset, "score_spearman"):
        return None
    compared = [str(name) for name in reversed(dataset["compared"].values.tolist())]
    traces: list[dict[str, Any]] = []
    notes, shapes = [], []
    for k, score in enumerate(dataset["score"].values.tolist()):
        for m, form in enumerate(_FORMS):
            place = 3 * k + m
            axis = str(place + 1) if place else ""
            here = dataset.sel(score=score)
            drawn, said, marks = _dots(here, form, compared, axis)
            traces += drawn
            shapes += marks
            notes += [heading(f"{score}: {_FORMS[form]}" if not m else _FORMS[form], axis), *said]
    count = dataset.sizes["score"]
    rows = named_rows([_called(name) for name in compared])
    figure = layout(
        {"title": "correlation over checkpoints", "range": [-1.08, 1.08], "tickvals": [-1, -0.5, 0, 0.5, 1]},
        {"title": "", **rows}, columns=3 * count, annotations=notes, shapes=shapes,
        height=count * (110 + 26 * len(compared)),
    )  # fmt: skip
    figure["grid"] = {"rows": count, "columns": 3, "pattern": "independent"}
    for place in range(3 * count):
        if place % 3:
            figure[f"yaxis{place + 1}"]["showticklabels"] = False
    title = _title(dataset)
    return Panel(
        "fractal-scores", title, {"data": traces, "layout": figure},
        how_to_read="Each dot is a correlation of one quantity with the score over the checkpoints, with a 95 % "
        "interval. The diamond and the dotted lines at its size are the training step alone: what lies between them "
        "says no more of the score than the clock does. Given log step, the step is removed from both; a quantity "
        "without a dot has nothing left there. Sign is the direction: a loss falls as training goes on; the finding "
        "negates it, so that better is up.",
        description=f"Dot plots of correlations with scores. {title}",
        detail="Intervals of the plain correlations: circular block bootstrap over checkpoints, which are few and not "
        "independent. They describe: two curves that run from one plateau to another correlate whatever they are. "
        "Given log step: Fisher's transform with the variance of Bonett and Wright, from eight checkpoints on.",
    )  # fmt: skip


def _called(name: str) -> str:
    return PLAIN[name].words if name in PLAIN else name


def _dots(
    here: xr.Dataset, form: str, compared: list[str], axis: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    values = here[f"score_{form}"].sel(compared=compared).values
    within = here[f"score_{form}_interval"].sel(compared=compared).values
    row = compared.index(RIVAL) if RIVAL in compared else None
    traces: list[dict[str, Any]] = []
    shapes = [_upright(0.0, axis, look.INK_2, None)]
    if row is not None and form != "partial" and np.isfinite(values[row]):
        shapes += [_upright(each, axis, look.INK, "dot") for each in (float(values[row]), -float(values[row]))]
    colours = [look.INK if name in PLAIN else look.WEIGHTS for name in compared]
    for k, (low, high) in enumerate(within):
        if np.isfinite([low, high]).all():
            traces += [line(np.array([low, high]), np.full(2, float(k)), "", colours[k], width=1.4, axis=axis)]
            traces[-1]["hovertext"] = []
    known = np.flatnonzero(np.isfinite(values))
    tips = [f"{_called(compared[k])}: {text_number(float(values[k]))} {given(within[k])}" for k in known]
    traces += [
        {"type": "scatter", "mode": "markers", "x": values[known].tolist(), "y": [float(k) for k in known],
         "name": _FORMS[form], "hovertext": tips, "xaxis": f"x{axis}", "yaxis": f"y{axis}",
         "marker": {"size": [11 if k == row else 9 for k in known], "color": [colours[k] for k in known],
                    "symbol": ["diamond" if k == row else "circle" for k in known]}}
    ]  # fmt: skip
    said = [] if known.size else [note(0.0, (len(compared) - 1) / 2, "the step leaves nothing", axis=axis)]
    return traces, said, shapes


def _upright(x: float, axis: str, colour: str, dash: str | None) -> dict[str, Any]:
    style: dict[str, Any] = {"color": colour, "width": 0.7 if dash is None else 1.2} | ({"dash": dash} if dash else {})
    return {"type": "line", "x0": x, "x1": x, "xref": f"x{axis}", "y0": 0, "y1": 1, "yref": f"y{axis} domain",
            "line": style}  # fmt: skip


def _title(dataset: xr.Dataset) -> str:
    def of(form: str, compared: str) -> np.ndarray:
        return np.asarray(dataset[f"score_{form}"].sel(compared=compared).values)

    ours, clock = of("spearman", "emergence"), of("spearman", RIVAL)
    names = dataset["score"].values.tolist()
    if len(names) == 1:
        within = dataset["score_spearman_interval"].sel(compared="emergence").values[0]
        return (
            f"With {names[0]} emergence has a Spearman correlation of {text_number(float(ours[0]))} {given(within)}, "
            f"the training step alone one of {text_number(float(clock[0]))}."
        )
    behind = int((np.abs(ours) <= np.abs(clock)).sum())
    return (
        f"For {behind or 'none'} of {len(names)} scores the training step alone ranks the checkpoints at least as well "
        f"as emergence does; the Spearman correlation is {text_number(float(np.nanmean(np.abs(clock))))} in size on "
        f"average, emergence's {text_number(float(np.nanmean(np.abs(ours))))}."
    )

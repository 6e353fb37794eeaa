"""Whether emergence goes with benchmark scores, beside the training step and other plain quantities."""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.fractal.compared import PLAIN
from brodmann.page import Panel
from brodmann.plotting import has, heading, layout, line, named_rows, note, text_number

_FORMS = {"spearman": "Spearman", "pearson": "Pearson", "partial": "Spearman, given log step"}
RIVAL = "log_step"


def scores(dataset: xr.Dataset) -> Panel | None:
    """Correlations over checkpoints, a row of three dot plots for each score."""
    if not has(dataset, "score_spearman"):
        return None
    forms = [form for form in _FORMS if has(dataset, f"score_{form}")]
    drawn_at_all = np.isfinite([dataset[f"score_{form}"].values for form in forms]).any(axis=(0, 1))
    compared = [str(name) for name in dataset["compared"].values[drawn_at_all][::-1]]
    traces: list[dict[str, Any]] = []
    notes, shapes = [], []
    for k, score in enumerate(dataset["score"].values.tolist()):
        for m, form in enumerate(forms):
            place = len(forms) * k + m
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
        {"title": "", **rows}, columns=len(forms) * count, annotations=notes, shapes=shapes,
        height=count * (110 + 26 * len(compared)),
    )  # fmt: skip
    figure["grid"] = {"rows": count, "columns": len(forms), "pattern": "independent"}
    for place in range(len(forms) * count):
        if place % len(forms):
            figure[f"yaxis{place + 1}"]["showticklabels"] = False
    title = _title(dataset)
    return Panel(
        "fractal-scores", title, {"data": traces, "layout": figure},
        how_to_read=_how_to_read(len(forms), bool(drawn_at_all.all())),
        description=f"Dot plots of correlations with scores. {title}",
        detail="Intervals of the plain correlations: circular block bootstrap over checkpoints, which are few and not "
        "independent. They describe: two curves that run from one plateau to another correlate whatever they are. "
        "Given log step: Fisher's transform with the variance of Bonett and Wright, from eight checkpoints on.",
    )  # fmt: skip


def _how_to_read(forms: int, every: bool) -> str:
    """What the panels show, and what they leave out."""
    given_step = (
        "Given log step, the step is removed from both. " if forms == len(_FORMS) else
        "Correlations given log step are not drawn: nothing of the ranks is left once the step is known. "
    )  # fmt: skip
    return (
        "Each dot is a correlation of one quantity with the score over the checkpoints, with a 95 % interval; plum is "
        "of the weight graph, black needs no graph. The diamond and the dotted lines at its size are the training step "
        "alone: a quantity between them follows the score no better than time does. "
        f"{given_step}{'' if every else 'Quantities that were not computed have no row. '}"
        "Sign is the direction: a loss falls as training goes on; the finding negates it, so that better is up."
    )


def _rounded(value: float) -> str:
    """A correlation; only a perfect one is written as 1.

    Examples
    --------
    >>> _rounded(-1.0), _rounded(-0.9961), _rounded(0.5)
    ('−1', '−0.996', '0.50')
    """
    size = abs(value)
    if not np.isfinite(value) or size < 0.995:
        return text_number(value)
    return f"{'−' if value < 0 else ''}{'1' if size > 1 - 1e-9 else f'{min(size, 0.999):.3f}'}"


def _within(values: np.ndarray) -> str:
    return f"[{', '.join(_rounded(float(each)) for each in values)}]" if np.isfinite(values).all() else "(no interval)"


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
    tips = [f"{_called(compared[k])}: {_rounded(float(values[k]))} {_within(within[k])}" for k in known]
    traces += [
        {"type": "scatter", "mode": "markers", "x": values[known].tolist(), "y": [float(k) for k in known],
         "name": _FORMS[form], "hovertext": tips, "xaxis": f"x{axis}", "yaxis": f"y{axis}",
         "marker": {"size": [11 if k == row else 9 for k in known], "color": [colours[k] for k in known],
                    "symbol": ["diamond" if k == row else "circle" for k in known]}}
    ]  # fmt: skip
    said = [] if known.size else [note(0.0, (len(compared) - 1) / 2, "nothing left", axis=axis)]
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
    left = "" if has(dataset, "score_partial") else "; given the step nothing of the ranks is left to correlate"
    if len(names) == 1:
        within = dataset["score_spearman_interval"].sel(compared="emergence").values[0]
        return (
            f"With {names[0]} emergence has a Spearman correlation of {_rounded(float(ours[0]))} {_within(within)}, "
            f"the training step alone one of {_rounded(float(clock[0]))}{left}."
        )
    behind = int((np.abs(ours) <= np.abs(clock)).sum())
    return (
        f"For {behind or 'none'} of {len(names)} scores the training step alone ranks the checkpoints at least as well "
        f"as emergence does; the Spearman correlation is {text_number(float(np.nanmean(np.abs(clock))))} in size on "
        f"average, emergence's {text_number(float(np.nanmean(np.abs(ours))))}{left}."
    )

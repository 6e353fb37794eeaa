"""The chapter about tasks under lesion: accuracies with their controls. It draws what is there and computes nothing."""

import json
from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.page import Chapter, Panel
from brodmann.plotting import has, heading, layout, named_rows, text_number
from brodmann.stats import read_findings

_SHOWN = (
    ("intact", look.INK, "circle-open", 0.3, 13), ("redundant", look.REDUNDANCY, "circle", 0.08, 8),
    ("core", look.SYNERGY, "circle", 0.3, 7),
)  # fmt: skip
"""Name, colour, symbol, height in the row and size. The ring of the intact model comes first: the core's dot can lie in
it, and a ring is filled with the colour of the paper.
"""
_STROKES = (("same layers", -0.12, 10), ("random", -0.28, 7))


def chapter(dataset: xr.Dataset, recording: xr.Dataset) -> Chapter:
    """Draw the study of tasks under lesion.

    Parameters
    ----------
    dataset : xarray.Dataset
        What `brodmann.lesions.accuracy_study.study` returned, or the same read from a store.
    recording : xarray.Dataset
        The recording of the atlas; only its label is used.
    """
    settings = json.loads(str(dataset.attrs.get("settings", "{}")))
    label = str(recording.attrs.get("label", "The model"))
    kind = str(dataset.attrs.get("kind", "unit"))
    lesioned = "removed" if settings.get("accuracy_kind", "zero") == "zero" else "disturbed by noise on their weights"
    panels = tuple(panel for panel in (accuracies(dataset), differences(dataset)) if panel)
    return Chapter(
        name="accuracy",
        title="Tasks under lesion",
        question="Which answers does the model lose with its core?",
        summary=f"{label} was asked the same questions of {dataset.sizes['task']} tasks intact and with "
        f"{100 * float(settings.get('accuracy_share', 0)):.0f} % of its {kind}s {lesioned}: its core, the other end of "
        "the ranking, and random sets with and without regard to layers.",
        panels=panels,
        unit_columns={},
        citations=("urbina2026", "efron1981", "satterthwaite1946", "holm1979"),
        readings=(
            "Tasks: solved examples and a question as plain text, without instruction or chat template; "
            + ("the likeliest of the choices is the answer, by the sum over its tokens."
               if settings.get("answering") == "choose" else "the answer that is written is checked."),
        ),
    )  # fmt: skip


def accuracies(dataset: xr.Dataset) -> Panel | None:
    """Accuracy by task under every lesion."""
    if not has(dataset, "accuracy"):
        return None
    tasks = [str(name) for name in dataset["task"].values][::-1]
    traces: list[dict[str, Any]] = []
    for y, task in enumerate(tasks):
        chosen = dataset.sel(task=task)
        traces.append(_mark([float(chosen["chance"])], y - 0.44, "guessing", look.INK_2, "line-ns", 9))
        for name, shift, size in _STROKES:
            draws = chosen["right"].values[dataset["set"].values == name]
            traces.append(_mark(np.nanmean(draws, axis=1).tolist(), y + shift, name, look.NULL, "line-ns", size))
        for name, colour, symbol, shift, size in _SHOWN:
            value = float(chosen["accuracy"].sel(shown=name))
            traces.append(_mark([value], y + shift, name, colour, symbol, size))
    figure = layout(
        {"title": "share of right answers", "range": [-0.03, 1.03], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        named_rows(tasks),
        height=90 + 62 * len(tasks),
    )  # fmt: skip
    means = [100 * float(dataset["accuracy"].sel(shown=name).mean()) for name in ("intact", "core", "same layers")]
    title = (
        f"Over all tasks {means[0]:.0f}\xa0% of answers are right; without the core {means[1]:.0f}\xa0%, without as "
        f"many units of the same layers {means[2]:.0f}\xa0%."
    )
    if dataset["untestable"].values.any():
        near = int(dataset["untestable"].values.sum())
        title = f"{title[:-1]}; {near} of {len(tasks)} tasks are not clearly above guessing."
    return Panel(
        "accuracy", title, {"data": traces, "layout": figure},
        how_to_read="Ring: the intact model. Warm: its core lesioned. Cool: the other end of the ranking. Grey "
        "strokes: random sets of as many units, the upper ones with as many of each layer as the core has, the lower "
        "ones from anywhere. The stroke below each row is guessing. The same questions are asked every time.",
        description=f"Dot plot by task. {title}",
    )  # fmt: skip


def differences(dataset: xr.Dataset) -> Panel | None:
    """How much more the core costs than each control."""
    if not has(dataset, "difference"):
        return None
    tasks = [str(name) for name in dataset["task"].values][::-1]
    controls = [str(name) for name in dataset["control"].values]
    traces: list[dict[str, Any]] = []
    for column, control in enumerate(controls):
        axis = str(column + 1) if column else ""
        for y, task in enumerate(tasks):
            place = {"control": control, "task": task}
            value, low, high = (float(dataset[f"difference{end}"].sel(place)) for end in ("", "_low", "_high"))
            colour = look.NULL if bool(dataset["untestable"].sel(task=task)) else look.SYNERGY
            where = {"xaxis": f"x{axis}", "yaxis": f"y{axis}"}
            traces.append({"type": "scatter", "mode": "lines", "x": [low, high], "y": [y, y], "name": "interval",
                           "line": {"color": colour, "width": 1.6}, "hoverinfo": "skip", **where})  # fmt: skip
            tip = f"{task}: {text_number(value)} [{text_number(low)}, {text_number(high)}]"
            traces.append(_mark([value], float(y), task, colour, "circle", 9) | where | {"hovertext": [tip]})
    zero = {"type": "line", "x0": 0.0, "x1": 0.0, "y0": 0, "y1": 1, "line": {"color": look.INK_2, "width": 0.7}}
    suffixes = [str(column + 1) if column else "" for column in range(len(controls))]
    figure = layout(
        {"title": "accuracy lost beyond control"},
        named_rows(tasks),
        columns=len(controls), height=90 + 32 * len(tasks),
        annotations=[heading(f"Against {name}", suffix) for name, suffix in zip(controls, suffixes, strict=True)],
        shapes=[zero | {"xref": f"x{suffix}", "yref": f"y{suffix} domain"} for suffix in suffixes],
    )  # fmt: skip
    for suffix in suffixes[1:]:
        figure[f"yaxis{suffix}"] |= {"showticklabels": False}
    found = [finding.verdict for finding in read_findings(dataset)]
    title = (
        f"The core costs more than random units of the same layers in {found.count('supported')} of {len(found)} "
        f"tasks; {found.count('contradicted')} contradict it, {found.count('inconclusive')} are inconclusive."
    )
    return Panel(
        "accuracy-differences", title, {"data": traces, "layout": figure},
        how_to_read="Right of the line: with the core lesioned fewer answers are right than with the control lesioned. "
        "Lines are 95 % intervals over questions, sets and the chance in which set was drawn; against the same layers "
        "they are the findings' own. Grey rows are not clearly above guessing.",
        description=f"Dot plot with intervals. {title}",
    )  # fmt: skip


def _mark(x: list[float], y: float, name: str, colour: str, symbol: str, size: int) -> dict[str, Any]:
    edge = {"width": 1.6, "color": colour}
    return {
        "type": "scatter", "mode": "markers", "x": x, "y": [y] * len(x), "name": name,
        "marker": {"symbol": symbol, "size": size, "color": colour, "line": edge},
        "hovertext": [f"{name}: {text_number(value)}" for value in x],
    }  # fmt: skip

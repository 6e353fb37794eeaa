"""The allocation chapter: from the study's Dataset to figures (plotly JSON). It draws and computes nothing.

The core is warm, its layer-matched others are grey; ratios stand on a logarithmic axis, so that half and double are
equally far from 1. Values that others have named appear as thin marks only.
"""

import json
from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.allocation import figures_more as more
from brodmann.allocation import figures_text
from brodmann.allocation.figures_axes import (
    POOLED,
    SAID,
    UNDER_TEST,
    dot,
    log_axis,
    pick,
    ratio_text,
    reach,
    said,
    upright_one,
)
from brodmann.page import Chapter, Panel
from brodmann.plotting import has, heading, hline, keyed, label, layout, line

_SYMBOLS = ("circle", "circle-open", "square", "triangle-up", "diamond-open", "x-thin", "square-open", "diamond")
"""Marks that tell families of one colour apart."""


def chapter(dataset: xr.Dataset, recording: xr.Dataset) -> Chapter:
    """Draw the allocation study.

    Parameters
    ----------
    dataset : xarray.Dataset
        What `brodmann.allocation.study` returned, or the same read from a store.
    recording : xarray.Dataset
        The recording of the atlas; only its label is used.
    """
    provenance = json.loads(str(dataset.attrs.get("provenance", "{}")))
    suffix = " (randomly initialised)." if provenance.get("randomly_initialised") else "."
    drawn = (
        ratios(dataset), ladder(dataset), more.layers(dataset), more.measures(dataset), more.texts(dataset),
        more.neurons(dataset),
    )  # fmt: skip
    panels = tuple(
        Panel(p.name, p.title.removesuffix(".") + suffix, p.figure, p.how_to_read, p.description, p.detail)
        for p in drawn
        if p
    )
    return Chapter(
        name="allocation",
        title="Allocation of activity",
        question="Is the core more active where a task is harder?",
        summary=figures_text.summary(dataset, recording),
        panels=panels,
        unit_columns=figures_text.COLUMNS,
        citations=figures_text.CITATIONS,
        readings=figures_text.readings(dataset),
    )


def ratios(dataset: xr.Dataset) -> Panel | None:
    """The core and its others by family, and the core over its others."""
    rows = _rows(dataset) if has(dataset, "ratio") else []
    if not rows:
        return None
    traces: list[dict[str, Any]] = []
    notes = [heading("Against neutral text", ""), heading("Core over its layer-matched others", "2")]
    for y, (contrast, _) in enumerate(rows):
        for compared, colour, shift in (("others", look.NULL, -0.16), ("core", look.SYNERGY, 0.16)):
            traces += dot(pick(dataset, contrast, compared), y + shift, compared, colour, "")
        traces += dot(pick(dataset, contrast, "relative"), float(y), "core / others", look.SYNERGY, "2")
        for axis in ("", "2") if contrast in SAID else ():
            trace, words = said(contrast, float(y), axis)
            traces.append(trace)
            notes.append(words)
    # a word beside a dot would lie on the marks of values under test
    notes += [keyed("core"), keyed("others")]
    notes += [keyed(UNDER_TEST)] if any(name in SAID for name, _ in rows) else []
    names = [name for name, _ in rows]
    figure = layout(
        {"title": "ratio of density", **log_axis(*reach(dataset, names, ("core", "others")))},
        {"range": [-0.8, len(rows) - 0.2], "tickvals": list(range(len(rows))), "ticktext": [each for _, each in rows]},
        columns=2, annotations=notes, shapes=[upright_one(""), upright_one("2")], height=125 + 36 * len(rows),
    )  # fmt: skip
    figure["xaxis2"] |= {**log_axis(*reach(dataset, names, ("relative",))), "title": {"text": "ratio of ratios"}}
    figure["yaxis2"] |= {"showticklabels": False}
    title = figures_text.ratio_title(dataset)
    return Panel(
        "allocation", title, {"data": traces, "layout": figure}, figures_text.RATIOS,
        f"Dot plot with intervals. {title}", figures_text.RATIOS_DETAIL,
    )  # fmt: skip


def _rows(dataset: xr.Dataset) -> list[tuple[str, str]]:
    """Contrasts from bottom to top: pooled on top, then each family at its hardest level."""
    kind, task, level = (dataset[f"condition_{name}"].values for name in ("kind", "task", "level"))
    names = dataset["condition"].values
    families = []
    for wanted in ("hard", "simple"):
        for family in dict.fromkeys(task[kind == wanted].tolist()):
            last = int(np.flatnonzero(task == family)[-1])
            families.append((str(names[last]), f"{family} {int(level[last])}"))
    rows = [("hard", POOLED["hard"]), ("simple", POOLED["simple"]), ("harder", POOLED["harder"]), *families]
    known = set(dataset["contrast"].values.tolist())
    return [row for row in rows if row[0] in known and np.isfinite(pick(dataset, row[0], "core")[0])][::-1]


def ladder(dataset: xr.Dataset) -> Panel | None:
    """Ratios along each family's ladder."""
    if not has(dataset, "ratio"):
        return None
    kind, task = dataset["condition_kind"].values, dataset["condition_task"].values
    names = dataset["condition"].values
    traces: list[dict[str, Any]] = []
    notes = [heading("Core over neutral text", ""), heading("Core over its others", "2")]
    spans: dict[str, list[float]] = {"": [], "2": []}
    marks = {True: 0, False: 0}
    for family in dict.fromkeys(task[kind != "neutral"].tolist()):
        places = np.flatnonzero(task == family)
        if len(places) < 2:
            continue
        hard = bool(kind[places[0]] == "hard")
        symbol = _SYMBOLS[marks[hard] % len(_SYMBOLS)]
        marks[hard] += 1
        for axis, compared in (("", "core"), ("2", "relative")):
            values = np.array([np.log(pick(dataset, str(names[i]), compared)[0]) for i in places])
            colour, x = look.SYNERGY if hard else look.INK_2, np.linspace(0, 1, len(places))
            trace = line(x, values, str(family), colour, width=1.8, dash=None if hard else "dot", axis=axis)
            tips = zip(places, values, strict=True)
            said_of = [f"{names[i]}: {ratio_text(float(np.exp(v)))}" for i, v in tips]
            marker = {"symbol": symbol, "size": 7, "color": colour, "line": {"width": 1.3, "color": colour}}
            traces.append(trace | {"mode": "lines+markers", "marker": marker, "hovertext": said_of})
            notes.append(label(str(family), x, values, look.INK if hard else look.INK_2, axis=axis))
            spans[axis] += values[np.isfinite(values)].tolist()
    if not all(spans.values()):
        return None
    ends = {"title": "place on the ladder", "range": [-0.04, 1.04], "tickvals": [0, 1]}
    figure = layout(
        ends | {"ticktext": ["easiest", "hardest"]},
        {"title": "ratio of density", **log_axis(min(spans[""]), max(spans[""]))},
        columns=2, annotations=notes, shapes=[hline(0.0), hline(0.0, "2")], height=400,
    )  # fmt: skip
    # the second panel's values lie nearer to 1 than the first one's
    figure["yaxis2"] |= {**log_axis(min(spans["2"]), max(spans["2"])), "title": {"text": "ratio of ratios"}}
    title = figures_text.ladder_title(dataset)
    return Panel(
        "allocation-ladder", title, {"data": traces, "layout": figure}, figures_text.LADDER,
        f"Two line charts over difficulty. {title}",
    )  # fmt: skip

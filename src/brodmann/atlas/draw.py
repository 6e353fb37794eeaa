"""Plotly figures (plain JSON) drawn as still SVG in the page's own hand: axes, lines, bands, points, bars, matrices.

Only the part of the grammar that the chapters use is drawn (`drawable`); the page hands anything else to plotly.js.
Each figure is drawn twice, for a wide and for a narrow column, and the stylesheet shows one: text keeps its size,
nothing waits for a script, and print is lossless. Colours become CSS variables, so both themes share one drawing.
"""

import math
import re
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from brodmann import look
from brodmann.atlas.lettering import NARROW, key, notes, on, place, title
from brodmann.atlas.marks import Cell, Scale, draw_trace, legible, number, svg_text, tag, tick_texts, ticks

WIDE = 960.0
_DRAWN = {"scatter", "bar", "heatmap"}


def drawable(figure: dict[str, Any]) -> bool:
    """Whether this module can draw the figure; plotly.js has to draw the others."""
    layout = figure.get("layout", {})
    axes = [value for key, value in layout.items() if re.fullmatch(r"[xy]axis\d*", key)]
    plain = all(axis.get("type", "linear") == "linear" for axis in axes)
    traces = [*figure.get("data", ()), *(trace for frame in figure.get("frames", ()) for trace in frame["data"])]
    return plain and all(trace.get("type", "scatter") in _DRAWN for trace in traces)


def film(figure: dict[str, Any]) -> dict[str, Any] | None:
    """Names of a figure's frames and the one that is shown first; None for a still figure."""
    frames = figure.get("frames", ())
    if not frames:
        return None
    sliders = figure.get("layout", {}).get("sliders") or [{}]
    return {"names": [str(frame["name"]) for frame in frames], "active": int(sliders[0].get("active", 0))}


def draw(figure: dict[str, Any], *, name: str, description: str) -> Markup:
    """HTML of one figure: a wide and a narrow drawing.

    Parameters
    ----------
    figure : dict
        Plotly figure as plain JSON. ``layout.grid`` gives rows and columns of independent axes; annotations named
        ``label`` write a line's name at its end, those named ``key`` name a trace above the axes, those named
        ``heading`` stand above their axes. ``frames`` replace
        the traces that each of them numbers; the page's slider shows one at a time, print and the file as well.
    name : str
        Slug, unique on the page.
    description : str
        What the figure shows, for screen readers.
    """
    return Markup("\n").join(_drawing(figure, name, description, narrow) for narrow in (False, True))


def _drawing(figure: dict[str, Any], name: str, description: str, narrow: bool) -> Markup:
    layout = figure.get("layout", {})
    width = NARROW if narrow else WIDE
    cells, height = _cells(figure, width, narrow)
    body = [_axes(layout, cell, narrow) for cell in cells]
    canvases = []
    sheet_name = f"{name}-{'narrow' if narrow else 'wide'}"
    for cell in cells:
        # What leaves the axes is cut: a band, or a line through all of them.
        clip = f"c-{sheet_name}{cell.suffix}"
        body += [
            Markup('<clipPath id="{}"><rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/></clipPath>').format(
                clip, cell.left - 6, cell.top - 6, cell.width + 12, cell.height + 6
            ),
            Markup('<g clip-path="url(#{})">').format(clip),
        ]
        shapes = [shape for shape in layout.get("shapes", ()) if on(shape, cell, "ref")]
        body += [_shape(shape, cell, narrow) for shape in shapes if shape.get("layer") == "below"]
        replaced = {number for frame in figure.get("frames", ()) for number in frame["traces"]}
        for index, trace in enumerate(figure["data"]):
            if on(trace, cell, "axis") and index not in replaced:
                if trace.get("type") == "heatmap":
                    canvases.append(_canvas(cell, width, height, f"{name}-{index}"))
                else:
                    body.append(draw_trace(trace, cell.x, cell.y))
        body += [_shape(shape, cell, narrow) for shape in shapes if shape.get("layer") != "below"]
        still = [trace for index, trace in enumerate(figure["data"]) if index not in replaced]
        body += [*_frames(figure, cell), Markup("</g>"), _columns(still, cell)]
        body += [
            _ramp(trace, cell)
            for trace in figure["data"]
            if "ramp" in trace.get("meta", {}) and on(trace, cell, "axis")
        ]
        body += notes(layout, figure["data"], cell, narrow)
    shape = "narrow" if narrow else "wide"
    svg = Markup(
        '<svg class="drawing" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}" data-name="{}">{}</svg>'
    ).format(width, height, description, name, Markup("").join(body))
    return Markup('<div class="sheet {}" style="--ratio:{:.4f}">{}{}</div>').format(
        shape, width / height, svg, Markup("").join(canvases)
    )


def _frames(figure: dict[str, Any], cell: Cell) -> list[Markup]:
    """Each frame in a group of its own; all but the active one are hidden."""
    moving = film(figure)
    parts: list[Markup] = []
    for index, frame in enumerate(figure.get("frames", ()) if moving else ()):
        traces = [trace for trace in frame["data"] if on(trace, cell, "axis")]
        drawn = [draw_trace(trace, cell.x, cell.y) for trace in traces]
        hidden = "" if moving and index == moving["active"] else Markup(' style="display:none"')
        parts.append(
            Markup('<g class="frame" data-frame="{}"{}>{}{}</g>').format(
                index, hidden, Markup("").join(drawn), _columns(traces, cell)
            )
        )
    return parts


def _cells(figure: dict[str, Any], width: float, narrow: bool) -> tuple[list[Cell], float]:
    """Place the axes: a grid as given on a wide sheet, one under the other on a narrow one."""
    layout = figure.get("layout", {})
    grid = layout.get("grid", {})
    rows, columns = int(grid.get("rows", 1)), int(grid.get("columns", 1))
    count = rows * columns
    if narrow:
        rows, columns = count, 1
    square = any(trace.get("type") == "heatmap" for trace in figure["data"])
    cells, y = [], 0.0
    for row in range(rows):
        suffixes = [str(i + 1) if i else "" for i in range(row * columns, min(count, (row + 1) * columns))]
        lefts = [_tick_room(layout.get(f"yaxis{suffix}", {}), narrow) for suffix in suffixes]
        rights = [14.0 if narrow else _label_room(layout, suffix) for suffix in suffixes]
        if columns == 1 and rows > 1 and not narrow:
            # rows over one axis are read from top to bottom: their axes must stand over each other
            every = [str(i + 1) if i else "" for i in range(count)]
            lefts = [max(_tick_room(layout.get(f"yaxis{each}", {}), narrow) for each in every)]
            rights = [max(_label_room(layout, each) for each in every)]
        inner_width = (width - sum(lefts) - sum(rights)) / len(suffixes)
        named = any(title(layout.get(f"yaxis{suffix}", {})) for suffix in suffixes)
        top = (30.0 if named else 14.0) + (22.0 if any(_has(layout, "heading", suffix) for suffix in suffixes) else 0.0)
        top += 21.0 * max(len(key(figure, suffix, None if narrow else inner_width)) for suffix in suffixes)
        full = float(layout.get("height", 420)) / max(1, int(grid.get("rows", 1)))
        # names of rows are all read, numbers need not be
        names = max(sum(not _numeric(text) for text in _texts(layout, suffix)) for suffix in suffixes)
        inner = max(min(full, 250.0) - 60.0, 19.0 * names) if narrow else full - top - 46.0
        if square:
            inner = inner_width
        left = 0.0
        for suffix, before, after in zip(suffixes, lefts, rights, strict=True):
            left += before
            xs, ys = layout.get(f"xaxis{suffix}", {}), layout.get(f"yaxis{suffix}", {})
            (x0, x1), (y0, y1) = _range(xs, figure, suffix, "x"), _range(ys, figure, suffix, "y")
            x_scale = Scale(x0, x1, left, left + inner_width)
            y_scale = Scale(y0, y1, y + top + inner, y + top)
            cells.append(Cell(suffix, left, y + top, inner_width, inner, x_scale, y_scale))
            left += inner_width + after
        y += top + inner + 46.0
    return cells, y


def _tick_room(axis: dict[str, Any], narrow: bool) -> float:
    shown = narrow or axis.get("showticklabels", True)
    texts = [str(text) for text in axis.get("ticktext", ())] if shown else []
    return max(46.0, 14.0 + 6.6 * max((len(text) for text in texts), default=0))


def _texts(layout: dict[str, Any], suffix: str) -> list[str]:
    return [str(text) for text in layout.get(f"yaxis{suffix}", {}).get("ticktext", ())]


def _numeric(text: str) -> bool:
    return text.replace("−", "-").strip("-%k").replace(".", "", 1).isdigit()


def _label_room(layout: dict[str, Any], suffix: str) -> float:
    notes = [
        n for n in layout.get("annotations", ()) if n.get("name") == "label" and n.get("xref", "x") == f"x{suffix}"
    ]
    return min(250.0, 44.0 + 6.4 * max(len(str(n["text"])) for n in notes)) if notes else 14.0


def _has(layout: dict[str, Any], name: str, suffix: str) -> bool:
    return any(
        note.get("name") == name and note.get("xref", "x").removesuffix(" domain") == f"x{suffix}"
        for note in layout.get("annotations", ())
    )


def _range(axis: dict[str, Any], figure: dict[str, Any], suffix: str, letter: str) -> tuple[float, float]:
    if "range" in axis:
        return float(axis["range"][0]), float(axis["range"][1])
    values = [
        float(value)
        for trace in figure["data"]
        if str(trace.get(f"{letter}axis", letter)) == f"{letter}{suffix}"
        for value in (trace.get(letter) or ())
        if value is not None and math.isfinite(float(value))
    ]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if axis.get("rangemode") == "tozero":
        low, high = min(low, 0.0), max(high, 0.0)
    pad = 0.06 * (high - low) or max(abs(high), 1e-9) * 0.5
    return low - (0.0 if axis.get("rangemode") == "tozero" and low == 0.0 else pad), high + pad


def _axes(layout: dict[str, Any], cell: Cell, narrow: bool) -> Markup:
    xs, ys = layout.get(f"xaxis{cell.suffix}", {}), layout.get(f"yaxis{cell.suffix}", {})
    bottom, right = cell.top + cell.height, cell.left + cell.width
    upright = (
        f"M{cell.left:.1f} {cell.top:.1f}V{bottom:.1f}" if ys.get("visible", True) else f"M{cell.left:.1f} {bottom:.1f}"
    )
    parts = [tag("path", d=f"{upright}H{right:.1f}", class_="axis")]
    x_values, x_texts = _tick_labels(xs, cell.x, max(3, int(cell.width / 80)))
    x_texts = legible([cell.x(value) for value in x_values], x_texts)
    for value, text in zip(x_values, x_texts, strict=True):
        at = cell.x(value)
        parts += [tag("path", d=f"M{at:.1f} {bottom:.1f}v4", class_="axis")]
        parts += [svg_text(at, bottom + 17, text, class_="tick", anchor="middle")]
    y_values, y_texts = _tick_labels(ys, cell.y, max(3, int(cell.height / 60)))
    if all(_numeric(text) for text in y_texts):
        y_texts = legible([cell.y(value) for value in y_values], y_texts, 14.0)
    for value, text in zip(y_values, y_texts, strict=True):
        at = cell.y(value)
        parts += [tag("path", d=f"M{cell.left:.1f} {at:.1f}h-4", class_="axis")]
        # Neighbours that share an axis name its ticks once; stacked on a narrow sheet each has to name its own.
        if narrow or ys.get("showticklabels", True):
            parts += [svg_text(cell.left - 8, at + 4, text, class_="tick", anchor="end")]
    x_title, y_title = (title(axis) for axis in (xs, ys))
    # a long title under narrow axes may reach as far as the sheet does
    half, middle = 3.25 * len(x_title), (cell.left + right) / 2
    middle = max(half, min(middle, NARROW - half)) if narrow else middle
    parts += [svg_text(middle, bottom + 36, x_title, class_="axis-title", anchor="middle")]
    parts += [svg_text(max(2.0, cell.left - 40), cell.top - 13, y_title, class_="axis-title")]
    return Markup("").join(parts)


def _tick_labels(axis: dict[str, Any], scale: Scale, count: int) -> tuple[list[float], list[str]]:
    if axis.get("tickvals") is not None:
        values = [float(value) for value in axis["tickvals"]]
        texts = [str(text) for text in axis.get("ticktext", tick_texts(values))]
        return values, texts
    values = ticks(scale.low, scale.high, count)
    return values, tick_texts(values)


def _shape(shape: dict[str, Any], cell: Cell, narrow: bool) -> Markup:
    line = shape.get("line", {})
    thin = 0.45 if narrow and shape["type"] == "path" else 1.0
    style = {
        "stroke": look.css(str(line.get("color", "none"))),
        "stroke_width": f"{thin * float(line.get('width', 1)):.2g}",
        "fill": look.css(str(shape.get("fillcolor", "none"))),
        "opacity": f"{shape.get('opacity', 1)}",
    }
    if line.get("dash"):
        style["stroke_dasharray"] = look.dashes(line["dash"])
    if shape["type"] == "path":
        return tag("path", d=_move_path(str(shape["path"]), cell), **style)
    x0, x1, y0, y1 = (place(shape, key, cell) for key in ("x0", "x1", "y0", "y1"))
    if shape["type"] == "line":
        return tag("path", d=f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}", **style)
    return tag("rect", x=min(x0, x1), y=min(y0, y1), width=abs(x1 - x0), height=abs(y1 - y0), **style)


def _move_path(path: str, cell: Cell) -> str:
    """A path in data coordinates, as plotly writes it (M, L, C, Q with absolute x,y pairs), in pixels."""

    def move(match: re.Match[str]) -> str:
        return f"{cell.x(float(match[1])):.1f} {cell.y(float(match[2])):.1f}"

    return re.sub(r"(-?[\d.eE+-]+),(-?[\d.eE+-]+)", move, path)


def _columns(traces: list[dict[str, Any]], cell: Cell) -> Markup:
    """Invisible columns over a line figure: pointing at one shows what every line says there."""
    rows: dict[float, list[str]] = {}
    for trace in traces:
        if on(trace, cell, "axis") and "lines" in str(trace.get("mode", "")) and trace.get("hovertext"):
            for x, text in zip(trace["x"], trace["hovertext"], strict=True):
                if x is not None and text:
                    rows.setdefault(float(x), []).append(f"{trace.get('name', '')}: {text}")
    if len(rows) < 2:
        return Markup("")
    at = sorted(rows)
    edges = [at[0], *((a + b) / 2 for a, b in pairwise(at)), at[-1]]
    parts = []
    for index, x in enumerate(at):
        left, right = cell.x(edges[index]), cell.x(edges[index + 1])
        parts += [
            tag(
                "rect", x=left, y=cell.top, width=max(right - left, 2.0), height=cell.height, class_="column",
                data_tip="\n".join(rows[x]),
            )
        ]  # fmt: skip
    return Markup("").join(parts)


def _ramp(trace: dict[str, Any], cell: Cell) -> Markup:
    """The colour scale of a matrix, above its right end."""
    meta = trace["meta"]
    right, y = cell.left + cell.width, cell.top - 24
    if meta["ramp"] == "rank":
        steps, width, low, words = [f"r{k}" for k in range(look.STEPS)], 5.0, "redundant", "synergistic"
    elif meta["ramp"] == "tones":
        steps, width, low, words = [f"t{k}" for k in range(look.TONES)], 9.0, str(meta["low"]), str(meta["high"])
    else:
        tones = range(11, 21) if meta["ramp"] == "synergy" else range(9, -1, -1)
        steps, width, low = ["paper", *(f"r{k}" for k in tones)], 9.0, "0"
        words = f"{number(float(meta['high']))} {meta.get('units', '')}"
    start = right - 7.0 * len(words) - len(steps) * width - 6.0 * (meta["ramp"] == "tones")
    parts = [
        tag("rect", x=start + i * width, y=y, width=width + 0.3, height=10.0, fill=f"var(--{step})")
        for i, step in enumerate(steps)
    ]
    parts += [
        tag("rect", x=start, y=y, width=len(steps) * width, height=10.0, fill="none", stroke="var(--ink)",
            stroke_width="0.5")
    ]  # fmt: skip
    parts += [svg_text(start - 6, y + 9.5, low, class_="tick", anchor="end")]
    return Markup("").join([*parts, svg_text(start + len(steps) * width + 6, y + 9.5, words, class_="tick")])


def _canvas(cell: Cell, width: float, height: float, ident: str) -> Markup:
    """Where the script paints a matrix; its quantised values are stored once, under ``ident``."""
    place = (cell.left / width, cell.top / height, cell.width / width, cell.height / height)
    return Markup(
        '<canvas class="matrix" data-source="m-{}" aria-hidden="true" '
        'style="left:{:.3%};top:{:.3%};width:{:.3%};height:{:.3%}"></canvas>'
    ).format(ident, *place)


def matrices(figure: dict[str, Any], *, name: str) -> list[dict[str, Any]]:
    """Quantised values of a figure's heat maps, for the script that paints them.

    Returns
    -------
    list of dict
        ``id``, ``size``, ``values`` (base64 of uint8, row by row), ``high`` (value of 255), ``units``, ``ramp``
        (``synergy`` or ``redundancy``) and ``labels`` of the rows.
    """
    found = []
    for index, trace in enumerate(figure["data"]):
        if trace.get("type") == "heatmap":
            meta = trace.get("meta", {})
            found.append(
                {"id": f"m-{name}-{index}", "values": trace["z"]["bdata"], "labels": trace.get("text"), **meta}
            )
    return found

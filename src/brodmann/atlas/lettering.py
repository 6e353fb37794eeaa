"""What is written in a figure: names at the ends of lines (or in a key where there is no room), headings, notes."""

from typing import Any

from markupsafe import Markup

from brodmann import look
from brodmann.atlas.marks import Cell, Scale, draw_trace, svg_text, tag

NARROW = 356.0
"""Width of a narrow sheet, in pixels."""


def on(item: dict[str, Any], cell: Cell, kind: str) -> bool:
    """Whether a trace (``xaxis``) or a shape or note (``xref``) belongs to these axes."""
    return str(item.get(f"x{kind}", "x")).removesuffix(" domain") == f"x{cell.suffix}"


def place(item: dict[str, Any], key: str, cell: Cell) -> float:
    """Pixel of a coordinate, which is data or a share of the axes (``domain``)."""
    letter = key[0]
    value = float(item[key])
    if str(item.get(f"{letter}ref", "")).endswith("domain"):
        return cell.left + value * cell.width if letter == "x" else cell.top + (1.0 - value) * cell.height
    return (cell.x if letter == "x" else cell.y)(value)


def title(axis: dict[str, Any]) -> str:
    """Title of an axis, given as text or as ``{"text": ...}``."""
    name = axis.get("title", "")
    return str(name.get("text", "")) if isinstance(name, dict) else str(name)


def notes(layout: dict[str, Any], traces: list[dict[str, Any]], cell: Cell, narrow: bool) -> list[Markup]:
    """Everything written inside one pair of axes: headings, names of lines, notes."""
    rows = key({"layout": layout, "data": traces}, cell.suffix, None if narrow else cell.width)
    named = bool(title(layout.get(f"yaxis{cell.suffix}", {})))
    lowest, start = cell.top - (34.0 if named else 16.0), 0.0 if narrow else cell.left - 6.0
    parts = [_key_row(row, start, lowest - 21.0 * k) for k, row in enumerate(reversed(rows))]
    labels: list[tuple[float, float, str, str]] = []
    lines = {str(trace.get("name")): trace for trace in traces if on(trace, cell, "axis")}
    for note in layout.get("annotations", ()):
        if not on(note, cell, "ref"):
            continue
        text, colour = str(note["text"]), look.css(str(note.get("font", {}).get("color", look.INK)))
        if note.get("name") == "heading":
            at = 6.0 if narrow else cell.left - 40 if named else cell.left
            parts += [svg_text(at, lowest - 21.0 * len(rows), text, class_="heading")]
        elif note.get("name") == "label":
            labels += [(place(note, "y", cell), place(note, "x", cell) + 8, text, colour)]
        elif note.get("name") != "key":
            anchor = {"left": "start", "right": "end"}.get(str(note.get("xanchor")), "middle")
            x, y = place(note, "x", cell), place(note, "y", cell)
            parts += [svg_text(x, y, text, class_="note", anchor=anchor, fill=colour)]
    if not narrow:
        for y, x, text, colour in _spread(labels, cell):
            if text in lines:
                parts += [_sample(lines[text], x, y)]
            parts += [svg_text(x + 22, y + 4, text, class_="label", fill=colour)]
    return parts


def _spread(labels: list[tuple[float, float, str, str]], cell: Cell) -> list[tuple[float, float, str, str]]:
    """Move labels apart until none overlaps, keeping their order."""
    step, ordered = 16.0, sorted(labels, key=lambda item: item[0])
    ys = [item[0] for item in ordered]
    for _ in range(200):
        for i in range(1, len(ys)):
            overlap = step - (ys[i] - ys[i - 1])
            if overlap > 1e-6:
                ys[i - 1] -= overlap / 2
                ys[i] += overlap / 2
        if ys:
            shift = max(0.0, ys[-1] - (cell.top + cell.height))
            ys = [y - shift for y in ys]
    return [(y, *item[1:]) for y, item in zip(ys, ordered, strict=True)]


def key(figure: dict[str, Any], suffix: str, width: float | None) -> list[list[Any]]:
    """What stands above the axes to name lines and marks: rows of (trace, x).

    Annotations named ``key`` are always written there, those named ``label`` on sheets too narrow to write them at the
    lines' ends.

    Parameters
    ----------
    figure : dict
        Plotly figure; annotations find their trace by its name.
    suffix : str
        Which axes.
    width : float or None
        Room in pixels; None: a narrow sheet.
    """
    notes = figure.get("layout", {}).get("annotations", ())
    wanted = ("key",) if width is not None else ("key", "label")
    mine = [n for n in notes if str(n.get("xref", "x")).removesuffix(" domain") == f"x{suffix}"]
    names = [str(n["text"]) for n in mine if n.get("name") in wanted]
    found = {str(t.get("name")): t for t in figure["data"] if str(t.get("xaxis", "x")) == f"x{suffix}"}
    rows: list[list[Any]] = []
    most = NARROW if width is None else width
    used = most
    for name in dict.fromkeys(names):
        room = 44.0 + 6.6 * len(name)
        if name in found:
            if not rows or used + room > most + 12:
                rows, used = [*rows, []], 6.0
            rows[-1].append((found[name], used))
            used += room
    return rows


def _key_row(row: list[Any], start: float, y: float) -> Markup:
    parts = []
    for trace, x in row:
        parts += [_sample(trace, start + x, y - 4), svg_text(start + x + 23, y, str(trace["name"]), class_="label")]
    return Markup("").join(parts)


def _sample(trace: dict[str, Any], x: float, y: float) -> Markup:
    """A short piece of a line, one mark or a piece of a band, to go before its name."""
    if trace.get("fill") == "toself":
        fill = look.css(str(trace["fillcolor"]))
        return tag("rect", x=x, y=y - 5.0, width=16.0, height=10.0, fill=fill, opacity=f"{trace.get('opacity', 1)}")
    mode, parts = str(trace.get("mode", "lines")), []
    line = trace.get("line", {})
    if "lines" in mode:
        dash = look.dashes(line.get("dash"))
        style = {"stroke": look.css(str(line.get("color", look.INK))), "stroke_width": f"{line.get('width', 1.5)}"}
        parts += [tag("path", d=f"M{x:.1f} {y:.1f}h16", fill="none", stroke_dasharray=dash, **style)]
    if "markers" in mode:
        marker = {k: v[0] if isinstance(v, list | tuple) else v for k, v in trace.get("marker", {}).items()}
        edge = {k: v[0] if isinstance(v, list | tuple) else v for k, v in marker.get("line", {}).items()}
        one = {**marker, "line": edge, "size": min(12.0, float(marker.get("size", 5)))}
        dot = {"mode": "markers", "x": [0], "y": [0], "marker": one}
        parts += [draw_trace(dot, Scale(0.0, 1.0, x + 8, x + 9), Scale(0.0, 1.0, y, y + 1))]
    return Markup("").join(parts)

"""SVG marks and scales under `draw`: lines, bands, points, bars, ticks. Every text is escaped here."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup, escape

from brodmann import look


@dataclass(frozen=True)
class Scale:
    """Data to pixels, linear."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float | int) -> float:
        """Pixel of a value."""
        span = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / span if span else 0.5)


@dataclass(frozen=True)
class Cell:
    """One pair of axes inside a figure, in pixels."""

    suffix: str
    left: float
    top: float
    width: float
    height: float
    x: Scale
    y: Scale


def number(value: float | int, digits: int = 2) -> str:
    """A number for people: significant digits without trailing zeros, no exponent between 1e-4 and 1e6.

    Examples
    --------
    >>> number(0.123456), number(1200.0), number(0.0), number(-3.1e-7), number(float("nan"))
    ('0.12', '1200', '0', '−3.1e-7', 'not a number')
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("infinite" if value > 0 else "minus infinite")
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if -4 <= size < 6:
        text = f"{value:.{max(0, digits - 1 - size)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    return f"−{text[1:]}" if text.startswith("-") else text


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round positions (1, 2, 5 times a power of ten) inside a range.

    Examples
    --------
    >>> ticks(0.0, 1.0, 5)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((power * m for m in (1, 2, 5, 10)), key=lambda size: abs(math.log(size / rough)))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def tick_texts(values: list[float]) -> list[str]:
    """Tick labels with as many digits as tell neighbours apart, and no more.

    Examples
    --------
    >>> tick_texts([1.05, 1.06, 1.07]), tick_texts([0.0, 50.0])
    (['1.05', '1.06', '1.07'], ['0', '50'])
    """
    step = abs(values[1] - values[0]) if len(values) > 1 else 0.0
    for digits in range(1, 8):
        texts = [number(value, digits) for value in values]
        off = [abs(float(text.replace("−", "-")) - value) for text, value in zip(texts, values, strict=True)]
        if max(off, default=0.0) <= 1e-3 * step:
            break
    return texts


def tag(name: str, **attributes: Any) -> Markup:
    """One empty SVG element; ``class_`` and ``stroke_width`` become ``class`` and ``stroke-width``."""
    parts = [Markup("<{}").format(Markup(name))]  # noqa: S704 names are ours
    for key, value in attributes.items():
        shown = f"{value:.2f}" if isinstance(value, float) else value
        parts.append(Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), shown))
    return Markup("").join([*parts, Markup("/>")])


def svg_text(
    x: float | int, y: float | int, text: str, *, class_: str, anchor: str = "start", fill: str | None = None
) -> Markup:
    """A line of text; nothing where the text is empty."""
    if not text:
        return Markup("")
    style = Markup(' style="fill:{}"').format(fill) if fill else Markup("")
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}" text-anchor="{}"{}>{}</text>').format(
        x, y, class_, anchor, style, escape(text)
    )


def legible(places: list[float], texts: list[str], room: float = 0.0) -> list[str]:
    """Texts of ticks with every second one empty, or every third, until neighbours keep apart; 0 or 1 stays.

    Parameters
    ----------
    places : list of float
        Pixels, from one end to the other.
    texts : list of str
        What is written there, centred.
    room : float
        Pixels that every text takes; 0: as wide as it is, along a level axis.

    Examples
    --------
    >>> legible([0.0, 20.0, 40.0, 60.0], ["512", "1024", "2048", "4096"])
    ['512', '', '2048', '']
    """
    sizes = [room or 6.6 * len(text) + 7.0 for text in texts]
    stays = next((i for i, text in enumerate(texts) if text in ("0", "1")), 0)
    for every in range(1, len(texts)):
        kept = list(range(stays % every, len(texts), every))
        gaps = (abs(places[b] - places[a]) - (sizes[a] + sizes[b]) / 2 for a, b in pairwise(kept))
        if min(gaps, default=0.0) >= 0.0:
            return [text if i in kept else "" for i, text in enumerate(texts)]
    return [text if i == stays else "" for i, text in enumerate(texts)] if len(texts) > 1 else texts


def _finite(*values: Any) -> bool:
    return all(value is not None and math.isfinite(float(value)) for value in values)


def _runs(trace: dict[str, Any], x: Scale, y: Scale) -> list[str]:
    """Polylines of a trace; a missing value lifts the pen."""
    runs: list[list[str]] = [[]]
    for a, b in zip(trace["x"], trace["y"], strict=True):
        if _finite(a, b):
            runs[-1].append(f"{x(float(a)):.1f} {y(float(b)):.1f}")
        elif runs[-1]:
            runs.append([])
    return ["M" + "L".join(run) for run in runs if run]


def draw_trace(trace: dict[str, Any], x: Scale, y: Scale) -> Markup:
    """One trace of a plotly figure in pixels."""
    if trace.get("type") == "bar":
        return _bars(trace, x, y)
    parts = []
    mode, opacity = str(trace.get("mode", "lines")), f"{trace.get('opacity', 1)}"
    line = trace.get("line", {})
    if trace.get("fill") == "toself":
        shape = "Z".join(_runs(trace, x, y)) + "Z"
        parts += [tag("path", d=shape, fill=look.css(str(trace["fillcolor"])), stroke="none", opacity=opacity)]
    elif "lines" in mode:
        dash = look.dashes(line.get("dash"))
        parts += [
            tag(
                "path", d="".join(_runs(trace, x, y)), fill="none", opacity=opacity, stroke_linejoin="round",
                stroke=look.css(str(line.get("color", look.INK))), stroke_width=f"{line.get('width', 1.5)}",
                stroke_dasharray=dash,
            )
        ]  # fmt: skip
    if "markers" in mode:
        parts += [_points(trace, x, y)]
    return Markup("").join(parts)


def _each(value: Any, index: int) -> Any:
    return value[index] if isinstance(value, list | tuple) else value


_STROKES = {
    "line-ns": lambda x, y, r: f"M{x:.1f} {y - r:.1f}v{2 * r:.1f}",
    "x-thin": lambda x, y, r: (
        f"M{x - r:.1f} {y - r:.1f}l{2 * r:.1f} {2 * r:.1f}M{x - r:.1f} {y + r:.1f}l{2 * r:.1f} {-2 * r:.1f}"
    ),
}
_SHAPES = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "diamond": ((0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)),
    "triangle-up": ((0.0, -1.15), (1.1, 0.9), (-1.1, 0.9)),
    "triangle-right": ((1.0, 0.0), (-0.8, 1.0), (-0.8, -1.0)),
}
"""Marks other than dots: strokes without a fill, and outlines in radii."""


def _points(trace: dict[str, Any], x: Scale, y: Scale) -> Markup:
    marker, parts = trace.get("marker", {}), []
    tips, units = trace.get("hovertext") or [], trace.get("ids") or []
    quiet = "lines" in str(trace.get("mode"))
    for index, (a, b) in enumerate(zip(trace["x"], trace["y"], strict=True)):
        if not _finite(a, b):
            continue
        colour = look.css(str(_each(marker.get("color", look.INK), index)))
        edge = marker.get("line", {})
        stroke = look.css(str(_each(edge.get("color", "none"), index)))
        px, py, radius = x(float(a)), y(float(b)), float(_each(marker.get("size", 5), index)) / 2
        more: dict[str, Any] = {"opacity": f"{marker['opacity']}"} if "opacity" in marker else {}
        if index < len(tips) and not quiet:
            more["data_tip"] = tips[index]
        if index < len(units) and not quiet:
            more["data_unit"] = units[index]
        symbol = str(_each(marker.get("symbol", "circle"), index))
        if symbol in _STROKES:
            d = _STROKES[symbol](px, py, radius)
            width = _each(edge.get("width", 1), index)
            parts += [tag("path", d=d, fill="none", stroke=colour, stroke_width=f"{width}", **more)]
        else:
            if symbol.endswith("-open"):
                colour, stroke = "var(--paper)", colour
            width = _each(edge.get("width", 1), index)
            ring = {"stroke": stroke, "stroke_width": f"{width}"} if stroke != "none" else {}
            corners = _SHAPES.get(symbol.removesuffix("-open"))
            if corners:
                d = "M" + "L".join(f"{px + radius * u:.1f} {py + radius * v:.1f}" for u, v in corners) + "Z"
                parts += [tag("path", d=d, fill=colour, **ring, **more)]
                continue
            parts += [tag("circle", cx=f"{px:.1f}", cy=f"{py:.1f}", r=f"{radius:.1f}", fill=colour, **ring, **more)]
    return Markup("").join(parts)


def _bars(trace: dict[str, Any], x: Scale, y: Scale) -> Markup:
    tips, parts = trace.get("hovertext") or [], []
    width = float(trace.get("width", 0.8))
    for index, (a, b) in enumerate(zip(trace["x"], trace["y"], strict=True)):
        if not _finite(a, b):
            continue
        left, right = x(float(a) - width / 2), x(float(a) + width / 2)
        zero, top = y(max(0.0, y.low)), y(float(b))
        colour = look.css(str(_each(trace.get("marker", {}).get("color", look.INK), index)))
        edge = trace.get("marker", {}).get("line", {})
        more = {"data_tip": tips[index]} if index < len(tips) else {}
        if edge:
            more |= {"stroke": look.css(str(edge.get("color"))), "stroke_width": f"{edge.get('width', 1)}"}
        height = max(abs(zero - top), 2.0)
        parts += [tag("rect", x=left, y=zero - height, width=right - left, height=height, fill=colour, **more)]
    return Markup("").join(parts)

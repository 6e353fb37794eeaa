"""SVG marks and scales under `draw`: lines, bands, points, bars, ticks. Every text is escaped here."""

import math
from dataclasses import dataclass
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
        dash = {"dot": "2 4", "dash": "7 4"}.get(str(line.get("dash")), "none")
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
        if symbol == "line-ns":
            d = f"M{px:.1f} {py - radius:.1f}v{2 * radius:.1f}"
            parts += [tag("path", d=d, stroke=colour, stroke_width=f"{edge.get('width', 1)}", **more)]
        else:
            if symbol == "circle-open":
                colour, stroke = "var(--paper)", colour
            width = _each(edge.get("width", 1), index)
            ring = {"stroke": stroke, "stroke_width": f"{width}"} if stroke != "none" else {}
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

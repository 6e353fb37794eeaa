"""Small pieces of plotly JSON for all chapters: lines, bands, labels, layouts. Nothing is computed here."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from brodmann import look


def has(dataset: xr.Dataset, name: str) -> bool:
    """Whether a variable is there and holds at least one finite number."""
    return name in dataset and dataset[name].size > 0 and bool(np.isfinite(dataset[name].values.astype(float)).any())


def first(values: np.ndarray, default: str) -> str:
    """First entry as text, or the default where there is none."""
    return str(values[0]) if len(values) else default


def text_number(value: float) -> str:
    """Two significant digits, for sentences.

    Examples
    --------
    >>> text_number(0.01234), text_number(-1.0), text_number(float("nan"))
    ('0.012', '−1.0', 'not a number')
    """
    if not np.isfinite(value):
        return "not a number"
    if value == 0:
        return "0"
    text = f"{abs(value):#.2g}"
    text = text.removesuffix(".") if "e" not in text else text.replace("e-0", "e-").replace("e+0", "e")
    return f"−{text}" if value < 0 else text


def bounds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest over the first axis, NaN where nothing is finite."""
    finite = np.isfinite(values)
    low = np.where(finite, values, np.inf).min(axis=0)
    high = np.where(finite, values, -np.inf).max(axis=0)
    nothing = ~finite.any(axis=0)
    return np.where(nothing, np.nan, low), np.where(nothing, np.nan, high)


def _list(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def line(x: np.ndarray, y: np.ndarray, name: str, colour: str, *, width: float, dash: str | None = None,
         axis: str = "") -> dict[str, Any]:  # fmt: skip
    """One named line; pointing at it tells its values."""
    style: dict[str, Any] = {"color": colour, "width": width} | ({"dash": dash} if dash else {})
    tips = [text_number(float(v)) if np.isfinite(v) else "" for v in y]
    return {"type": "scatter", "mode": "lines", "x": _list(x), "y": _list(y), "name": name, "line": style,
            "hovertext": tips, "xaxis": f"x{axis}", "yaxis": f"y{axis}"}  # fmt: skip


def band(x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, *, axis: str = "",
         opacity: float = 1.0) -> dict[str, Any]:  # fmt: skip
    """A filled band between two lines, where both are known."""
    known = np.isfinite(low) & np.isfinite(high)
    x, low, high = x[known], low[known], high[known]
    return {"type": "scatter", "mode": "none", "fill": "toself", "fillcolor": colour, "opacity": opacity,
            "x": _list(np.concatenate([x, x[::-1]])), "y": _list(np.concatenate([low, high[::-1]])),
            "xaxis": f"x{axis}", "yaxis": f"y{axis}", "hoverinfo": "skip"}  # fmt: skip


def label(text: str, x: np.ndarray, y: np.ndarray, colour: str, *, axis: str = "") -> dict[str, Any]:
    """A line's name at its last known point."""
    known = np.flatnonzero(np.isfinite(y))
    at = int(known[-1]) if len(known) else 0
    height = float(y[at]) if len(known) else 0.0
    return {"name": "label", "text": text, "x": float(x[at]), "y": height, "xref": f"x{axis}", "yref": f"y{axis}",
            "xanchor": "left", "showarrow": False, "font": {"color": colour}}  # fmt: skip


def heading(text: str, axis: str) -> dict[str, Any]:
    """What stands above one pair of axes."""
    return {"name": "heading", "text": text, "x": 0, "y": 1.1, "xref": f"x{axis} domain", "yref": f"y{axis} domain",
            "showarrow": False, "xanchor": "left"}  # fmt: skip


def keyed(text: str, *, axis: str = "") -> dict[str, Any]:
    """A name above the axes for the trace that has it, where nothing in the figure can be named on the spot."""
    return {"name": "key", "text": text, "x": 1, "y": 1.1, "xref": f"x{axis} domain", "yref": f"y{axis} domain",
            "showarrow": False, "xanchor": "right"}  # fmt: skip


def note(x: float, y: float, text: str, *, axis: str = "", anchor: str = "center",
         colour: str = look.INK) -> dict[str, Any]:  # fmt: skip
    """Words at a point of the figure."""
    return {"text": text, "x": float(x), "y": float(y), "xref": f"x{axis}", "yref": f"y{axis}", "showarrow": False,
            "xanchor": anchor, "font": {"color": colour}}  # fmt: skip


def p_words(p: float) -> str:
    r"""A p value in a sentence, held together by no-break spaces.

    Examples
    --------
    >>> p_words(0.0123).replace("\xa0", " "), p_words(1e-5).replace("\xa0", " ")
    ('p = 0.012', 'p < 0.001')
    """
    return "p\xa0<\xa00.001" if p < 0.001 else f"p\xa0=\xa0{p:.2g}"


def hline(y: float, axis: str = "") -> dict[str, Any]:
    """A hairline across the axes."""
    return {"type": "line", "x0": 0, "x1": 1, "xref": f"x{axis} domain", "y0": y, "y1": y, "yref": f"y{axis}",
            "line": {"color": look.INK_2, "width": 0.7}}  # fmt: skip


def vline(x: float, axis: str = "") -> dict[str, Any]:
    """A dashed line from bottom to top."""
    return {"type": "line", "x0": x, "x1": x, "xref": f"x{axis}", "y0": 0, "y1": 1, "yref": f"y{axis} domain",
            "line": {"color": look.INK, "width": 1, "dash": "dash"}}  # fmt: skip


def named_rows(names: Sequence[str]) -> dict[str, Any]:
    """Upright axis with a row for each name, the first one lowest.

    Examples
    --------
    >>> named_rows(["copy", "sorting"])
    {'range': [-0.7, 1.7], 'tickvals': [0, 1], 'ticktext': ['copy', 'sorting']}
    """
    return {"range": [-0.7, len(names) - 0.3], "tickvals": list(range(len(names))), "ticktext": list(names)}


def layout(x: dict[str, Any], y: dict[str, Any], *, columns: int = 1, annotations: list[dict[str, Any]] | None = None,
           shapes: list[dict[str, Any]] | None = None, height: int = 420) -> dict[str, Any]:  # fmt: skip
    """Layout with ``columns`` pairs of axes that start alike; titles may be plain text."""
    result: dict[str, Any] = {"template": look.template(), "height": height, "annotations": annotations or []}
    result |= {"shapes": shapes or [], "grid": {"rows": 1, "columns": columns, "pattern": "independent"}}
    for k in range(columns):
        suffix = str(k + 1) if k else ""
        result[f"xaxis{suffix}"], result[f"yaxis{suffix}"] = _axis(x), _axis(y)
    return result


def _axis(axis: dict[str, Any]) -> dict[str, Any]:
    title = axis.get("title", "")
    return axis | {"title": title if isinstance(title, dict) else {"text": title}}


def quantised(values: np.ndarray, block: int, high: float) -> dict[str, Any]:
    """A heat map in 256 steps from 0 to ``high``; blocks of ``block`` units are averaged for the eye."""
    edges = np.arange(0, len(values), block)
    if block > 1:
        sizes = np.diff(np.append(edges, len(values)))
        values = np.add.reduceat(np.add.reduceat(values, edges, axis=0), edges, axis=1) / np.outer(sizes, sizes)
    steps = np.clip(np.round(values / high * 255), 0, 255).astype(np.uint8)
    packed = {
        "dtype": "u1",
        "bdata": base64.b64encode(steps.tobytes()).decode(),
        "shape": f"{len(edges)}, {len(edges)}",
    }
    return {"type": "heatmap", "z": packed, "zmin": 0, "zmax": 255, "showscale": False,
            "meta": {"size": len(edges), "high": high}}  # fmt: skip

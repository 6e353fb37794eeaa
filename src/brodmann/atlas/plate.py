"""The plate: the model as a page of an anatomical atlas, one cell per unit, drawn as SVG.

Colour is the synergy-redundancy rank, the core is outlined; position is layer and index, and the cortex is a drawing.
`sheet` gives the figure for the page (colours are CSS variables, cells carry their unit), `standalone` the same as a
file for papers.
"""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from brodmann import look
from brodmann.atlas.marks import number, svg_text, tag
from brodmann.atlas.tiling import HEIGHT, WIDTH, Tiling, outline, surroundings, tile

CAPTION = "Position is layer and {kind}; the outline is a drawing, not anatomy."

_GREY = {"fill": "var(--null)", "fill_opacity": "0.62"}
"""Cells without a rank: paper would be taken for the neutral middle of the scale."""


@dataclass(frozen=True)
class PlateUnits:
    """What the plate shows, one entry per unit."""

    unit: tuple[str, ...]
    layer: np.ndarray
    index: np.ndarray
    rank: np.ndarray
    core: np.ndarray
    z: np.ndarray
    """Excess synergy over the surrogates in their standard deviations; NaN where there is none."""
    kind: str = "head"

    @property
    def without(self) -> str:
        """Why cells are grey; empty where all have a rank."""
        known = np.isfinite(self.rank)
        if known.all():
            return ""
        return "too rarely active" if self.kind == "expert" and known.any() else "no rank"

    def tip(self, i: int) -> str:
        """What pointing at a cell says."""
        lines = [f"{self.unit[i]}, layer {int(self.layer[i])}"]
        rank = float(self.rank[i])
        lines += [f"rank {number(rank)}" if np.isfinite(rank) else "no rank"]
        if np.isfinite(self.z[i]):
            lines += [f"excess z {number(float(self.z[i]))}"]
        return "\n".join([*lines, "core"] if self.core[i] else lines)


def sheet(units: PlateUnits) -> Markup:
    """SVG of the plate for the page, which writes title and caption beside it.

    Parameters
    ----------
    units : PlateUnits
        At least two units.
    """
    tiling = tile(units.layer)
    edge = tag("path", d=outline(), fill="none", stroke="var(--ink)", stroke_width="2.2", pointer_events="none")
    parts = [_behind(), _cells(units, tiling), _core(units, tiling), edge, _leaders(units, tiling)]
    parts += [_ruler(units, tiling), _scale(bool(units.core.any()), units.without)]
    return Markup('<svg class="cortex" viewBox="0 -6 {:.0f} {:.0f}" aria-hidden="true">{}</svg>').format(
        WIDTH, HEIGHT + 92, Markup("").join(parts)
    )


def standalone(svg: Markup, *, title: str, legend: str, kind: str = "head") -> str:
    """The same plate as a file of its own: concrete colours, fonts named, paper behind, title engraved below."""
    text = str(svg).removesuffix("</svg>")
    text += str(svg_text(20, 806, title, class_="engraved") + svg_text(20, 832, legend, class_="legend"))
    text += str(svg_text(20, 854, CAPTION.format(kind=kind), class_="legend")) + "</svg>"
    for name, colour in sorted(look.variables().items(), key=lambda item: -len(item[0])):
        text = text.replace(f"var(--{name})", colour)
    style = (
        f"text{{font-family:{look.SERIF};fill:{look.INK}}}.leader,.numeral{{font-style:italic;font-size:15px}}"
        ".engraved{font-size:27px;letter-spacing:.03em}.legend{font-size:15px;font-style:italic}"
    )
    height = HEIGHT + 148
    paper = f'<rect x="0" y="-6" width="{WIDTH:.0f}" height="{height:.0f}" fill="{look.PAPER}"/>'
    opening, body = text.split(">", 1)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -6 {WIDTH:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}"'
    )
    return f"{opening}><style>{style}</style>{paper}{body}"


def _cells(units: PlateUnits, tiling: Tiling) -> Markup:
    parts = [
        Markup('<clipPath id="cortex-clip"><path d="{}"/></clipPath>').format(outline()),
        Markup(
            '<pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(38)">'
            '<path d="M0 0V5" stroke="var(--ink)" stroke-width="0.55" opacity="0.55"/></pattern>'
        ),
        Markup('<g clip-path="url(#cortex-clip)">'),
    ]
    for i, cell in enumerate(tiling.cells):
        d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in cell) + "Z"
        known = bool(np.isfinite(units.rank[i]))
        style = {"fill": look.css(look.rank_colour(float(units.rank[i])))} if known else _GREY
        parts += [
            tag(
                "path", d=d, **style, stroke="var(--ink)", stroke_width="0.5", class_="cell", data_tip=units.tip(i),
                data_unit=units.unit[i],
            )
        ]  # fmt: skip
    hatched = "".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in cell) + "Z"
        for cell, core in zip(tiling.cells, units.core, strict=True)
        if core
    )
    if hatched:
        parts += [tag("path", d=hatched, fill="url(#hatch)", stroke="none", pointer_events="none")]
    return Markup("").join([*parts, Markup("</g>")])


def _core(units: PlateUnits, tiling: Tiling) -> Markup:
    """Heavy line between cells of the core and the others."""
    d = "".join(
        f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"
        for a, b, x0, y0, x1, y1 in tiling.borders
        if units.core[a] != units.core[b]
    )
    width = "1.9" if len(units.unit) < 600 else "1.3"
    line = tag(
        "path", d=d, stroke="var(--ink)", stroke_width=width, stroke_linecap="round", fill="none",
        clip_path="url(#cortex-clip)", pointer_events="none",
    )  # fmt: skip
    return line if d else Markup("")


def _behind() -> Markup:
    stem, cerebellum, folia = surroundings()
    ink = {"fill": "var(--paper)", "stroke": "var(--ink)", "opacity": "0.75"}
    parts = [tag("path", d=stem, stroke_width="1.1", **ink), tag("path", d=cerebellum, stroke_width="1.1", **ink)]
    parts += [Markup('<clipPath id="cerebellum-clip"><path d="{}"/></clipPath>').format(cerebellum)]
    parts += [
        tag("path", d=d, fill="none", stroke="var(--ink)", stroke_width="0.5", clip_path="url(#cerebellum-clip)")
        for d in folia
    ]
    return Markup("").join([*parts, tag("path", d=outline(), fill="var(--paper)", stroke="none")])


def _leaders(units: PlateUnits, tiling: Tiling) -> Markup:
    """Name the ends of the scale, as an engraver would: a fine line from the cell to its label outside."""
    known = np.flatnonzero(np.isfinite(units.rank))
    if len(known) < 12:
        return Markup("")
    order = known[np.argsort(units.rank[known], kind="stable")]
    chosen = np.concatenate([order[:3], order[-4:]])
    x, y = tiling.seeds[chosen].T
    left, right = (x < 330) & (y > 330), (x > 800) & (y > 290)
    below = ~left & ~right & (y > 390) & (x > 430)
    above = ~left & ~right & ~below
    parts = []
    for members, line, gap in ((chosen[above], 18.0, 7.0), (chosen[below], 668.0, -15.0)):
        ends = _apart(tiling.seeds[members, 0], 92.0, 560.0 if line > 300 else 60.0, 890.0)
        for unit, at in zip(members, ends, strict=True):
            parts += [_leader(units, tiling, int(unit), (float(at), line), (float(at), line + gap), "middle")]
    for members, line, gap, anchor in ((chosen[left], 52.0, 6.0, "end"), (chosen[right], 932.0, -6.0, "start")):
        ends = _apart(tiling.seeds[members, 1], 24.0, 200.0, 610.0)
        for unit, at in zip(members, ends, strict=True):
            parts += [_leader(units, tiling, int(unit), (line, float(at) + 5), (line + gap, float(at)), anchor)]
    return Markup("").join(parts)


def _leader(
    units: PlateUnits, tiling: Tiling, unit: int, text: tuple[float, float], end: tuple[float, float], anchor: str
) -> Markup:
    cx, cy = tiling.seeds[unit].tolist()
    line = tag("path", d=f"M{cx:.1f} {cy:.1f}L{end[0]:.1f} {end[1]:.1f}", stroke="var(--ink)", stroke_width="0.7",
               fill="none", pointer_events="none")  # fmt: skip
    dot = tag("circle", cx=cx, cy=cy, r="2.1", fill="var(--ink)", pointer_events="none")
    return line + dot + svg_text(text[0], text[1], units.unit[unit], class_="leader", anchor=anchor)


def _apart(xs: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Nearest positions to ``xs`` that keep their order and a gap."""
    order = np.argsort(xs, kind="stable")
    placed = np.clip(xs[order].astype(float), low, high)
    for _ in range(100):
        for i in range(1, len(placed)):
            overlap = gap - (placed[i] - placed[i - 1])
            if overlap > 0:
                placed[i - 1] -= overlap / 2
                placed[i] += overlap / 2
        placed = np.clip(placed, low, high)
    return np.asarray(placed[np.argsort(order)])


def _ruler(units: PlateUnits, tiling: Tiling) -> Markup:
    """Where the layers lie: a fine scale under the drawing."""
    names, y = np.unique(units.layer), 722.0
    step = next(s for s in (1, 2, 5, 10, 20, 50) if len(names) / s <= 12)
    left, right = float(tiling.columns[0]), float(tiling.columns[-1])
    parts = [tag("path", d=f"M{left:.1f} {y}H{right:.1f}", stroke="var(--ink)", stroke_width="0.7")]
    for k, (name, x) in enumerate(zip(names, tiling.columns, strict=True)):
        named = k == len(names) - 1 or (k % step == 0 and (k == 0 or len(names) - 1 - k >= step * 0.6))
        parts += [tag("path", d=f"M{x:.1f} {y}v{7 if named else 4}", stroke="var(--ink)", stroke_width="0.7")]
        if named:
            parts += [svg_text(float(x), y + 22, f"{int(name)}", class_="numeral", anchor="middle")]
    parts += [svg_text(left - 14, y + 4, "input", class_="numeral", anchor="end")]
    parts += [svg_text(right + 14, y + 4, "output", class_="numeral")]
    parts += [svg_text((left + right) / 2, y - 8, "layer", class_="numeral", anchor="middle")]
    return Markup("").join(parts)


def _scale(core: bool, without: str) -> Markup:
    """The colour scale with its ends in words, and the signs of the core and of cells without a rank."""
    left, top, width = 690.0, 766.0, 13.0
    parts = [
        tag("rect", x=left + i * width, y=top, width=width + 0.4, height=11.0, fill=f"var(--r{i})")
        for i in range(look.STEPS)
    ]
    right = left + look.STEPS * width
    parts += [tag("rect", x=left, y=top, width=right - left, height=11.0, fill="none", stroke="var(--ink)",
                  stroke_width="0.6")]  # fmt: skip
    parts += [svg_text(left, top + 29, "least synergistic", class_="numeral")]
    parts += [svg_text((left + right) / 2, top + 29, "rank", class_="numeral", anchor="middle")]
    parts += [svg_text(right, top + 29, "most synergistic", class_="numeral", anchor="end")]
    if core:
        parts += [tag("rect", x=560.0, y=top - 1, width=22.0, height=13.0, fill="url(#hatch)", stroke="var(--ink)",
                      stroke_width="1.9")]  # fmt: skip
        parts += [svg_text(592, top + 11, "the core", class_="numeral")]
    if without:
        start = 385.0 if core else 540.0
        parts += [tag("rect", x=start, y=top - 1, width=22.0, height=13.0, stroke="var(--ink)", stroke_width="0.6",
                      **_GREY)]  # fmt: skip
        parts += [svg_text(start + 32, top + 11, without, class_="numeral")]
    return Markup("").join(parts)

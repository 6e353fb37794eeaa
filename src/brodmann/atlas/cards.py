"""A finding as a drawing: the null distribution first, then the estimate with its interval on the same axis."""

import math

import numpy as np
from markupsafe import Markup

from brodmann.atlas.marks import Scale, number, svg_text, tag, tick_texts, ticks
from brodmann.stats import Finding

WIDTH, HEIGHT = 400.0, 168.0
_LEFT, _RIGHT, _BASE, _LINE = 12.0, 388.0, 118.0, 34.0


def evidence(finding: Finding) -> Markup:
    """SVG of one finding's estimate, interval and null draws."""
    draws = np.array([d for d in finding.null_samples if math.isfinite(d)])
    known = [v for v in (finding.estimate, *finding.interval, finding.reference) if math.isfinite(v)]
    known += [finding.reference - finding.margin, finding.reference + finding.margin] if finding.margin else []
    low, high = min([*known, *draws.tolist()]), max([*known, *draws.tolist()])
    pad = 0.06 * (high - low) or 0.5
    x = Scale(low - pad, high + pad, _LEFT, _RIGHT)
    parts = [_margin(finding, x), _null(draws, x), _axis(x, finding.units)]
    if math.isfinite(finding.estimate):
        parts += [_estimate(finding, x)]
    words = f"Estimate {number(finding.estimate)} with interval {interval(finding)}; null draws: {len(draws)}"
    words = not_tested(finding) if math.isnan(finding.estimate) else words
    if len(draws):
        words += f" between {number(float(draws.min()))} and {number(float(draws.max()))}"
    return Markup('<svg class="evidence" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, words, Markup("").join(parts)
    )


def interval(finding: Finding) -> str:
    """The confidence interval as [low, high], to the precision that its width allows; in words where it has no ends."""
    if not all(map(math.isfinite, finding.interval)):
        return "not tested"
    return f"[{number(finding.interval[0])},\xa0{number(finding.interval[1])}]"


def not_tested(finding: Finding) -> str:
    """What to say of a finding that has no estimate."""
    return ": ".join(("not tested", *finding.caveats[:1])).replace("not tested: not tested", "not tested", 1)


def p_text(p: float | None) -> str:
    r"""A p value as the page writes it.

    Examples
    --------
    >>> p_text(0.0123).replace("\xa0", " "), p_text(None)
    ('p = 0.012', 'no null model')
    """
    if p is None:
        return "no null model"
    if not math.isfinite(p):
        return "p could not be computed"
    return "p\xa0<\xa00.001" if p < 0.001 else f"p\xa0=\xa0{number(p)}"


def _null(draws: np.ndarray, x: Scale) -> Markup:
    if len(draws) == 0:
        return svg_text(_LEFT, _BASE - 14, "no null draws", class_="null-word margin-word")
    counts, edges = np.histogram(draws, bins=min(24, max(6, int(len(draws) ** 0.5))))
    tall = 60.0 / max(1, counts.max())
    steps = "".join(
        f"L{x(a):.1f} {_BASE - tall * c:.1f}L{x(b):.1f} {_BASE - tall * c:.1f}"
        for a, b, c in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    )
    d = f"M{x(float(edges[0])):.1f} {_BASE}{steps}L{x(float(edges[-1])):.1f} {_BASE}Z"
    parts = [tag("path", d=d, fill="var(--null-band)", stroke="var(--null)", stroke_width="0.8")]
    left, right = x(float(edges[0])), x(float(edges[-1]))
    if right - left > 44:
        middle = min(max(x(float(np.median(draws))), _LEFT + 16), _RIGHT - 16)
        return Markup("").join([*parts, svg_text(middle, _BASE - 5, "null", class_="null-word", anchor="middle")])
    side = (right + 5, "start") if right < _RIGHT - 40 else (left - 5, "end")
    parts += [svg_text(side[0], _BASE - 5, "null", class_="null-word", anchor=side[1])]
    return Markup("").join(parts)


def _estimate(finding: Finding, x: Scale) -> Markup:
    at, parts = x(finding.estimate), []
    ends = [x(v) for v in finding.interval if math.isfinite(v)]
    if len(ends) == 2:
        bar = f"M{ends[0]:.1f} {_LINE}H{ends[1]:.1f}M{ends[0]:.1f} {_LINE - 5}v10M{ends[1]:.1f} {_LINE - 5}v10"
        parts += [tag("path", d=bar, stroke="var(--ink)", stroke_width="1.8", fill="none")]
    parts += [tag("path", d=f"M{at:.1f} {_LINE}V{_BASE}", stroke="var(--ink)", stroke_width="0.8",
                  stroke_dasharray="2 3")]  # fmt: skip
    parts += [tag("circle", cx=f"{at:.1f}", cy=f"{_LINE}", r="5", fill="var(--ink)")]
    place = min(max(at, _LEFT + 20), _RIGHT - 20)
    parts += [svg_text(place, _LINE - 13, number(finding.estimate), class_="value", anchor="middle")]
    return Markup("").join(parts)


def _margin(finding: Finding, x: Scale) -> Markup:
    """Effects too small to matter, and the value that effects are counted from."""
    at, parts = x(finding.reference), []
    if finding.margin:
        left, right = x(finding.reference - finding.margin), x(finding.reference + finding.margin)
        parts += [tag("path", d=f"M{left:.1f} {_LINE - 8}V{_BASE}M{right:.1f} {_LINE - 8}V{_BASE}",
                      stroke="var(--rule)", stroke_width="1", stroke_dasharray="4 3")]  # fmt: skip
        if right - left > 140:
            parts += [svg_text(max(left, _LEFT) + 5, 53, "too small to matter", class_="null-word margin-word")]
    parts += [tag("path", d=f"M{at:.1f} {_LINE - 8}V{_BASE}", stroke="var(--rule)", stroke_width="1")]
    if finding.reference and finding.reference != finding.estimate:
        side = (at + 5, "start") if at < _RIGHT - 110 else (at - 5, "end")
        words = f"tested against {number(finding.reference)}"
        parts += [svg_text(side[0], _BASE - 34, words, class_="null-word margin-word", anchor=side[1])]
    return Markup("").join(parts)


def _axis(x: Scale, units: str) -> Markup:
    parts = [tag("path", d=f"M{_LEFT} {_BASE}H{_RIGHT}", class_="axis")]
    values = ticks(x.low, x.high, 5)
    for value, text in zip(values, tick_texts(values), strict=True):
        at = x(value)
        parts += [tag("path", d=f"M{at:.1f} {_BASE}v4", class_="axis")]
        parts += [svg_text(at, _BASE + 18, text, class_="tick", anchor="middle")]
    return Markup("").join([*parts, svg_text((_LEFT + _RIGHT) / 2, _BASE + 40, units, class_="axis-title",
                                             anchor="middle")])  # fmt: skip

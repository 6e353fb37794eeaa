"""The page's colours and type, set once: synergy is warm, redundancy is cool, weights are plum, nulls are grey.

Scales run through OKLab (Ottosson 2020), so that equal steps look equal and both arms are equally light; every colour
exists for a light and a dark ground and is known on the page by the name of its CSS variable. Nothing is drawn here.
"""

import math
from typing import Any

import numpy as np

STEPS = 21
"""Classes of the diverging scale: enough to look continuous, few enough to be named in a stylesheet."""
TONES = 12
"""Classes of the sequential scale of the weight graph: pale is low or early, dark is high or late."""

SERIF = "'Iowan Old Style', 'Palatino Linotype', Palatino, 'TeX Gyre Pagella', 'Book Antiqua', Georgia, serif"
SANS = "'Helvetica Neue', 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"


def _linear_to_hex(linear: np.ndarray) -> str:
    clipped = np.clip(linear, 0.0, 1.0)
    encoded = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * float(value)):02x}" for value in encoded)


def oklch(lightness: float, chroma: float, hue: float) -> str:
    """Hex colour of an OKLCh triple.

    Parameters
    ----------
    lightness : float
        0 (black) to 1 (white).
    chroma : float
        0 (grey) to about 0.3.
    hue : float
        Degrees.

    Returns
    -------
    str
        ``#rrggbb``, clipped to sRGB.

    Examples
    --------
    >>> oklch(1.0, 0.0, 0.0)
    '#ffffff'
    """
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    roots = np.array(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    return _linear_to_hex(to_rgb @ roots**3)


def _arm(middle: tuple[float, float, float], end: tuple[float, float, float], steps: int) -> list[str]:
    """From the neutral middle (not included) to one end: lightness and chroma move evenly, the hue stays."""
    fractions = np.linspace(0.0, 1.0, steps + 1)[1:]
    return [
        oklch(middle[0] + t * (end[0] - middle[0]), middle[1] + t * (end[1] - middle[1]), end[2]) for t in fractions
    ]


def _diverging(middle: tuple[float, float, float], cool: tuple[float, float, float], warm: tuple[float, float, float]):  # type: ignore[no-untyped-def]
    half = STEPS // 2
    return (*reversed(_arm(middle, cool, half)), oklch(*middle), *_arm(middle, warm, half))


_RANKS_LIGHT = _diverging((0.945, 0.012, 85.0), (0.50, 0.125, 250.0), (0.50, 0.150, 44.0))
_RANKS_DARK = _diverging((0.295, 0.008, 85.0), (0.76, 0.115, 240.0), (0.76, 0.140, 50.0))
_TONES_LIGHT = _arm((0.925, 0.018, 330.0), (0.33, 0.135, 330.0), TONES)
_TONES_DARK = _arm((0.30, 0.020, 330.0), (0.90, 0.085, 330.0), TONES)

_ROLES = {
    # name: (light, dark)
    "paper": ("#faf7f0", "#171512"),
    "ink": ("#1d1a16", "#ece6da"),
    "ink-2": ("#5d574d", "#aaa294"),
    "rule": ("#d8d1c2", "#3b3731"),
    "hair": ("#e9e3d6", "#2a2723"),
    "synergy": (oklch(0.53, 0.150, 44.0), oklch(0.76, 0.140, 50.0)),
    "synergy-band": (oklch(0.885, 0.050, 48.0), oklch(0.37, 0.055, 45.0)),
    "redundancy": (oklch(0.50, 0.125, 250.0), oklch(0.76, 0.115, 240.0)),
    "redundancy-band": (oklch(0.885, 0.036, 245.0), oklch(0.36, 0.045, 245.0)),
    "weights": (oklch(0.47, 0.130, 330.0), oklch(0.78, 0.110, 330.0)),
    "weights-band": (oklch(0.88, 0.040, 330.0), oklch(0.36, 0.050, 330.0)),
    "null": ("#8d8981", "#8b867c"),
    "null-band": ("#dedbd4", "#35322e"),
}

PAPER, INK, INK_2, RULE = (_ROLES[role][0] for role in ("paper", "ink", "ink-2", "rule"))
SYNERGY, SYNERGY_BAND = _ROLES["synergy"][0], _ROLES["synergy-band"][0]
REDUNDANCY, REDUNDANCY_BAND = _ROLES["redundancy"][0], _ROLES["redundancy-band"][0]
WEIGHTS, WEIGHTS_BAND = _ROLES["weights"][0], _ROLES["weights-band"][0]
NULL, NULL_BAND = _ROLES["null"][0], _ROLES["null-band"][0]


def rank_step(rank: float) -> int | None:
    """Class of a synergy-redundancy rank on the diverging scale.

    Parameters
    ----------
    rank : float
        0 (most redundant) to 1 (most synergistic).

    Returns
    -------
    int or None
        0 to 20, 10 is neutral; None where the rank is not a number.

    Examples
    --------
    >>> rank_step(0.0), rank_step(0.5), rank_step(1.0)
    (0, 10, 20)
    """
    if not math.isfinite(rank):
        return None
    return round(min(max(rank, 0.0), 1.0) * (STEPS - 1))


def rank_colour(rank: float) -> str:
    """Light-ground hex colour of a rank in [0, 1]; paper where the rank is not a number."""
    step = rank_step(rank)
    return PAPER if step is None else str(_RANKS_LIGHT[step])


def tone(share: float) -> str:
    """Light-ground hex colour of a share in [0, 1] of the sequential scale; paper where it is not a number.

    Examples
    --------
    >>> tone(0.0) == tone(-1.0), tone(float("nan")) == PAPER
    (True, True)
    """
    if not math.isfinite(share):
        return PAPER
    return _TONES_LIGHT[round(min(max(share, 0.0), 1.0) * (TONES - 1))]


def variables(dark: bool = False) -> dict[str, str]:
    """CSS variables of one ground: name without dashes in front -> hex."""
    ranks = _RANKS_DARK if dark else _RANKS_LIGHT
    named = {role: pair[int(dark)] for role, pair in _ROLES.items()}
    tones = _TONES_DARK if dark else _TONES_LIGHT
    named |= {f"t{step}": colour for step, colour in enumerate(tones)}
    return named | {f"r{step}": colour for step, colour in enumerate(ranks)}


# The roles win where a scale's end happens to be the same hex, so that the text and lines keep their own variable.
_VARIABLE_OF = {hex_: name for name, hex_ in reversed(list(variables().items()))}


def css(colour: str) -> str:
    """How the page writes a colour: the CSS variable of a palette colour, anything else unchanged.

    Examples
    --------
    >>> css(INK), css("none")
    ('var(--ink)', 'none')
    """
    name = _VARIABLE_OF.get(colour.lower())
    return f"var(--{name})" if name else colour


def template() -> dict[str, Any]:
    """Plotly layout template of the page, for figures that are opened elsewhere or drawn by plotly.js."""
    axis = {
        "showgrid": False,
        "zeroline": False,
        "showline": True,
        "linecolor": INK,
        "linewidth": 0.8,
        "ticks": "outside",
        "tickcolor": INK,
        "ticklen": 4,
        "tickfont": {"size": 12, "color": INK_2},
        "title": {"font": {"size": 13, "color": INK}},
    }
    scale = [[step / (STEPS - 1), colour] for step, colour in enumerate(_RANKS_LIGHT)]
    return {
        "layout": {
            "font": {"family": SANS, "size": 13, "color": INK},
            "title": {"font": {"family": SERIF, "size": 18}},
            "paper_bgcolor": PAPER,
            "plot_bgcolor": PAPER,
            "colorway": [INK, SYNERGY, REDUNDANCY, NULL],
            "colorscale": {"diverging": scale},
            "showlegend": False,
            "hoverlabel": {"bgcolor": PAPER, "bordercolor": INK, "font": {"family": SANS, "color": INK}},
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 56, "r": 24, "t": 32, "b": 48},
        }
    }


DASHES = {"dash": "7 4", "dot": "2 4", "dashdot": "7 3 2 3"}
"""Styles of lines, by plotly's names, as lengths of strokes and gaps in pixels; a line without one is solid."""


def dashes(style: object) -> str:
    """Strokes and gaps of a line's style.

    Raises
    ------
    ValueError
        For a style that is not known: it must not pass for a solid line.

    Examples
    --------
    >>> dashes("dash"), dashes(None)
    ('7 4', 'none')
    """
    if style in (None, "", "solid"):
        return "none"
    if str(style) not in DASHES:
        raise ValueError(f"a line's style is '{style}'; known are {', '.join(DASHES)}")
    return DASHES[str(style)]

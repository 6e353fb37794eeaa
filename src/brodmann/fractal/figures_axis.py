"""The axis of training of the weight graph's figures: step 0 stands apart from the logarithmic rest."""

from itertools import pairwise
from typing import Any

import numpy as np

from brodmann.plotting import band, line
from brodmann.steps import short, step_position

_STUB = 0.22
"""Half the length of what is drawn at step 0."""
_NARROW = 290.0
"""Pixels of these axes on a narrow sheet, where every tick must still have its text."""


class Training:
    """Where checkpoints stand, and how lines and bands over them are drawn.

    Parameters
    ----------
    steps : array
        Training steps, rising.
    """

    def __init__(self, steps: np.ndarray) -> None:
        self.steps, self.x = np.asarray(steps, dtype=float), step_position(steps)
        self.apart = bool(self.steps.size > 1 and self.steps[0] == 0)

    def axis(self) -> dict[str, Any]:
        """Range and ticks: of the checkpoints as many as a narrow sheet can name, the last one among them."""
        low, high = float(self.x[0]) - 0.4, float(self.x[-1]) + 0.4
        texts = [short(float(step)) for step in self.steps]
        first = [0] if self.apart else []
        last = self.steps.size - 1
        even = (list(range(last, len(first) - 1, -stride)) for stride in (1, 2, 3, 4))
        chosen = next((each for each in even if self._fit(each, first, texts, high - low)), [])
        for at in range(last, len(first) - 1, -1) if not chosen else ():  # uneven steps: what there is room for
            if self._fit([*chosen[-1:], at], first, texts, high - low):
                chosen.append(at)
        shown = [*first, *reversed(chosen)]
        return {
            "range": [low, high], "tickvals": [float(self.x[at]) for at in shown],
            "ticktext": [texts[at] for at in shown],
        }  # fmt: skip

    def _fit(self, chosen: list[int], first: list[int], texts: list[str], span: float) -> bool:
        """Whether neighbours among some ticks, from the last down, keep apart."""
        return all(
            abs(float(self.x[one] - self.x[other])) / span * _NARROW
            >= 3.3 * (len(texts[one]) + len(texts[other])) + 8.0
            for one, other in pairwise([*chosen, *first])
        )

    def breaks(self, axis: str) -> list[dict[str, Any]]:
        """Strokes across the axis between step 0 and the others."""
        if not self.apart:
            return []
        return [{"text": "//", "x": float(self.x[:2].mean()), "y": -0.02, "xref": f"x{axis}", "yref": f"y{axis} domain",
                 "showarrow": False, "xanchor": "center"}]  # fmt: skip

    def line(
        self, y: np.ndarray, name: str, colour: str, *, tips: list[str] | None = None, **style: Any
    ) -> dict[str, Any]:
        """One line, with a stub of its own at step 0."""
        drawn = line(*self._parted(y), name, colour, **style)
        said = tips or line(self.x, y, name, colour, **style)["hovertext"]
        drawn["hovertext"] = [said[0], "", "", "", *said[1:]] if self.apart else said
        return drawn

    def ringed(self, drawn: dict[str, Any], colour: str) -> dict[str, Any]:
        """The same line with a ring at each checkpoint: what lies on another's line would not be seen."""
        sizes = [6, 0, 0, 0, *[6] * (self.x.size - 1)] if self.apart else [6] * self.x.size
        return drawn | {
            "mode": "lines+markers", "marker": {"size": sizes, "symbol": "circle-open", "color": colour}
        }  # fmt: skip

    def band(self, low: np.ndarray, high: np.ndarray, colour: str, **style: Any) -> dict[str, Any]:
        """One band, in two pieces where step 0 stands apart."""
        if not self.apart:
            return band(self.x, low, high, colour, **style)
        at = self.x[0] + _STUB * np.array([-1.0, 1.0])
        stub = band(at, np.repeat(low[:1], 2), np.repeat(high[:1], 2), colour, **style)
        rest = band(self.x[1:], low[1:], high[1:], colour, **style)
        return rest | {key: [*stub[key], None, *rest[key]] for key in ("x", "y")}

    def _parted(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self.apart:
            return self.x, y
        x = np.concatenate([self.x[0] + _STUB * np.array([0.0, -1.0, 1.0]), [np.nan], self.x[1:]])
        return x, np.concatenate([np.repeat(y[:1], 3), [np.nan], y[1:]])

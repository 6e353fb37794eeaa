"""What all growth figures mark on their axis of training: the onset and its interval."""

import json
from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.plotting import vline
from brodmann.steps import step_position


def told_onset(dataset: xr.Dataset) -> dict[str, Any]:
    """What the study noted about the onset; empty where none was identified."""
    told: dict[str, Any] = json.loads(str(dataset.attrs.get("onset", "{}")))
    return told if told.get("identified") else {}


def onset_marks(dataset: xr.Dataset, steps: np.ndarray, axis: str) -> list[dict[str, Any]]:
    """A dashed line at the onset and its interval behind everything; nothing where there is none."""
    told = told_onset(dataset)
    if not told:
        return []
    place = dict(zip(steps.tolist(), step_position(steps).tolist(), strict=True))
    marks = [vline((place[float(told["after"])] + place[float(told["by"])]) / 2, axis)]
    if "low" in told:
        marks += [
            {"type": "rect", "layer": "below", "x0": place[float(told["low"])], "x1": place[float(told["high"])],
             "xref": f"x{axis}", "y0": 0, "y1": 1, "yref": f"y{axis} domain", "fillcolor": look.RULE, "opacity": 0.45,
             "line": {"width": 0}}
        ]  # fmt: skip
    return marks

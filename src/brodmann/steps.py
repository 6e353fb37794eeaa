"""The axis of training that figures share: log2(step), with step 0 one octave before the first other step."""

from typing import Any

import numpy as np
from jaxtyping import Float


def step_position(steps: np.ndarray) -> Float[np.ndarray, " step"]:
    """Place of a training step on the axis of all figures: log2(step); step 0 one octave below the first other step.

    Examples
    --------
    >>> import numpy as np
    >>> step_position(np.array([0, 1, 2, 8])).tolist()
    [-1.0, 0.0, 1.0, 3.0]
    """
    steps = np.asarray(steps, dtype=float)
    positive = steps[steps > 0]
    lowest = float(np.log2(positive.min())) if positive.size else 0.0
    return np.where(steps > 0, np.log2(np.where(steps > 0, steps, 1.0)), lowest - 1.0)


def ticks(steps: np.ndarray) -> dict[str, Any]:
    """Tick positions and texts of a training axis, at most fifteen."""
    position = step_position(steps)
    chosen = np.unique(np.linspace(0, steps.size - 1, min(steps.size, 15)).round().astype(int))
    return {"tickvals": position[chosen].tolist(), "ticktext": [short(float(steps[i])) for i in chosen]}


def short(step: float) -> str:
    """A training step for an axis.

    Examples
    --------
    >>> short(512.0), short(16384.0), short(100000.0)
    ('512', '16.4k', '100k')
    """
    return f"{step:g}" if step < 10_000 else f"{round(step / 1000, 1):g}k"

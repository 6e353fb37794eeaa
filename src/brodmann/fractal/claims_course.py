"""What may be said of a spectrum's course through training: whether it widens and then drifts, beyond noise.

The widest of the checkpoints is picked after the fact, so every p is multiplied by the number of checkpoints that
could have been picked (Bonferroni), and the interval is simultaneous over them. Noise of the same scale is taken off
the gain in width and off the drift alike, with the spread of fresh networks (`emergence.above`): neurons drawn again
spread less than these, and what noise of the same scale can do by chance is no widening.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray

from brodmann.fractal import emergence
from brodmann.fractal.emergence import Estimate
from brodmann.stats import Finding, conclude
from brodmann.stats.finding import UNTESTED, p_text

Array = NDArray[np.float64]

LEVEL = 0.95


def widens(result: xr.Dataset, seed: int, source: str, n: int, unit: str, manner: Sequence[str]) -> Finding:
    """The spectrum widens until some checkpoint, and alpha0 falls from there to the end, both further than noise's.

    Parameters
    ----------
    result
        With ``alpha0``, ``width``, their replicates, ``null_alpha0`` and ``null_width`` on the official grid.
    seed, source, n, unit
        As findings note them; n and unit are what the intervals are over.
    manner
        How distances were taken, for the caveats.
    """
    grid = result.sel(grid="official")
    noise = grid.sel(null="matched_scale")
    width, alpha0 = grid["width"].values, grid["alpha0"].values
    widest, last = int(np.argmax(width)), len(width) - 1
    gain = Estimate(*_difference(width, grid["replicate_width"].values, widest, 0))
    fall = Estimate(*_difference(-alpha0, -grid["replicate_alpha0"].values, last, widest))
    wider = _between(noise["null_width"].values, widest, 0)
    further = _between(-noise["null_alpha0"].values, last, widest)
    found = emergence.above(fall, further, level=1 - (1 - LEVEL) / last)
    fall_of_noise = 0.0 - float(np.nanmean(further))
    p_values = {
        "no widening before the widest checkpoint": _counted(emergence.p_above(gain, wider - np.nanmean(wider)), last),
        "widening of noise of the same scale": _counted(emergence.p_above(gain, wider), last),
        "drift of noise of the same scale": _counted(emergence.p_above(fall, further), last),
    }
    there = widest < last and bool(np.isfinite([found.low, found.high]).all())
    bounds = (0.0 - found.high, 0.0 - found.low) if there else (-np.inf, np.inf)
    rise, their = p_text(p_values["no widening before the widest checkpoint"]), float(np.nanmean(wider))
    return conclude(
        "widens_then_drifts",
        "Beyond what noise of the same scale does, the spectrum widens and then drifts to smaller exponents",
        estimate=0.0 - found.value, direction="less", interval=bounds,
        p_values=p_values, units="alpha0 (drift from the widest checkpoint to the last, minus noise's)", n=n,
        unit_of_inference=unit, source=source, seed=seed,
        caveats=[
            *([] if there else [_why(widest, last)]),
            f"widest at step {result['step'].values[widest]:g}, by {gain.value:.2g} over the beginning ({rise})",
            f"noise of the same scale is wider there than at the beginning by {their:.2g}",
            f"alpha0 drifts by {0.0 - fall.value:.2g} from there, that of such noise by {fall_of_noise:.2g}",
            f"p values and interval count that the widest of {last} later checkpoints was picked", *manner,
        ],
    )  # fmt: skip


def _why(widest: int, last: int) -> str:
    return f"{UNTESTED}: " + ("the last checkpoint is the widest" if widest == last else "noise has too few draws")


def _difference(values: Array, replicates: Array, later: int, earlier: int) -> tuple[float, float, float, float]:
    """Change between two checkpoints and its standard error; replicates (step, draw) are paired."""
    paired = replicates[later] - replicates[earlier]
    spread = float(paired.std(ddof=1)) if paired.size > 1 else 0.0
    return float(values[later] - values[earlier]), np.nan, np.nan, spread


def _between(drawn: Float[Array, "draw step"], later: int, earlier: int) -> Float[Array, " draw"]:
    """Changes of noise between two of its networks, of different draws: those of one draw share their seed."""
    return np.asarray(drawn[:, later] - np.roll(drawn[:, earlier], 1), dtype=np.float64)


def _counted(p: float, chances: int) -> float:
    """Bonferroni: the best of several chances; 1 where p could not be computed."""
    return min(1.0, p * chances) if np.isfinite(p) else 1.0

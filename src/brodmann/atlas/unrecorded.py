"""What stands in for a recording where none was made: an atlas of weights has no units that were heard."""

import numpy as np
import xarray as xr


def no_recording() -> xr.Dataset:
    """A recording of no unit, no prompt and no token."""
    texts = {name: ("unit", np.array([], dtype=np.str_)) for name in ("unit", "kind", "stack")}
    numbers = {name: ("unit", np.array([], dtype=np.int64)) for name in ("layer", "index")}
    activity = (("prompt", "token", "unit"), np.empty((0, 0, 0)))
    return xr.Dataset(
        {"activity": activity}, coords={**texts, **numbers, "depth": ("unit", np.array([]))}, attrs={"mode": "none"}
    )

"""What becomes of the signals that a driven model sends.

`drive.py` hands each reducer one slice of signals after another and keeps none of them. Every analysis that needs
activity brings a reducer instead of a loop of its own.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Heard:
    """Signals of one forward pass, aligned on the time axis of the series."""

    values: Float[Tensor, "row token unit"]
    """float32, on the CPU."""
    valid: Bool[Tensor, "row token"]
    """False where a row has ended: what stands there is padding."""
    first: int
    """Place of the first of these tokens in the series."""
    row: int = 0
    """Place of the first of these rows in the batch."""
    selected: Bool[Tensor, "row token unit"] | None = None
    """Which routed experts were chosen; signal ``expert_norm`` only."""


@runtime_checkable
class Reducer(Protocol):
    """Takes a batch's signals slice by slice and keeps what an analysis needs."""

    def start(self, units: pd.DataFrame, rows: int, tokens: int) -> None:
        """Get ready for a batch of `rows` series, each at most `tokens` long."""

    def feed(self, heard: Heard) -> None:
        """Take one slice. Slices come in the order of time, each (row, token) once."""

    def finish(self) -> xr.Dataset:
        """Give the result of the batch."""


class SeriesReducer:
    """Keeps every sample: the series of each unit.

    ``finish`` gives ``activity(row, token, unit)`` float32, NaN where a row has ended, ``nonfinite(row)`` int64, the
    samples that the model itself made infinite or NaN (kept as they are), and for experts ``selected(row, token,
    unit)`` bool.
    """

    def __init__(self) -> None:
        self._activity = np.empty((0, 0, 0), np.float32)
        self._selected: np.ndarray | None = None
        self._nonfinite = np.empty(0, np.int64)

    def start(self, units: pd.DataFrame, rows: int, tokens: int) -> None:
        """Reserve the series."""
        self._activity = np.full((rows, tokens, len(units)), np.nan, np.float32)
        self._selected = None
        self._nonfinite = np.zeros(rows, np.int64)

    def feed(self, heard: Heard) -> None:
        """Write one slice into its place."""
        rows, tokens = heard.valid.shape
        where = (slice(heard.row, heard.row + rows), slice(heard.first, heard.first + tokens))
        values, valid = heard.values.numpy(), heard.valid.numpy()
        self._activity[where] = np.where(valid[:, :, None], values, np.nan)
        self._nonfinite[where[0]] += np.sum(~np.isfinite(values) & valid[:, :, None], axis=(1, 2))
        if heard.selected is not None:
            if self._selected is None:
                self._selected = np.zeros(self._activity.shape, np.bool_)
            self._selected[where] = heard.selected.numpy() & valid[:, :, None]

    def finish(self) -> xr.Dataset:
        """Give the series of the batch."""
        dims = ("row", "token", "unit")
        found = xr.Dataset({"activity": (dims, self._activity), "nonfinite": ("row", self._nonfinite)})
        return found if self._selected is None else found.assign(selected=(dims, self._selected))


class MeanReducer:
    """Keeps the mean and the standard deviation of each unit over all finite samples, and no series.

    Sums are taken in float64 about the first finite sample, so that a large mean does not swallow the variance. It may
    be started again for further batches; ``finish`` gives ``mean(unit)``, ``std(unit)`` (ddof 0) and ``samples(unit)``
    over all of them.
    """

    def __init__(self) -> None:
        self._units: list[str] = []
        self._origin = torch.zeros(0, dtype=torch.float64)
        self._sums = torch.zeros(3, 0, dtype=torch.float64)

    def start(self, units: pd.DataFrame, rows: int, tokens: int) -> None:  # noqa: ARG002 (nothing is kept per row)
        """Begin a batch; earlier batches stay in the sums."""
        names = [str(name) for name in units["unit"]]
        if names != self._units:
            self._units = names
            self._origin = torch.full((len(names),), torch.nan, dtype=torch.float64)
            self._sums = torch.zeros(3, len(names), dtype=torch.float64)

    def feed(self, heard: Heard) -> None:
        """Add one slice to the sums."""
        values = heard.values[heard.valid].double()
        if not len(values):
            return
        finite = torch.isfinite(values)
        first = values.gather(0, finite.long().argmax(0, keepdim=True))[0]
        fresh = torch.isnan(self._origin) & torch.isfinite(first)
        self._origin = torch.where(fresh, first, self._origin)
        away = torch.where(finite, values - self._origin, 0.0)
        self._sums += torch.stack([finite.double().sum(0), away.sum(0), (away**2).sum(0)])

    def finish(self) -> xr.Dataset:
        """Give the moments of everything that was fed."""
        samples, first, second = self._sums.numpy()
        with np.errstate(invalid="ignore", divide="ignore"):
            shift = first / samples
            spread = np.sqrt(np.maximum(second / samples - shift**2, 0.0))
        return xr.Dataset(
            {
                "mean": ("unit", self._origin.numpy() + shift),
                "std": ("unit", np.where(samples > 0, spread, np.nan)),
                "samples": ("unit", samples.astype(np.int64)),
            },
            coords={"unit": self._units},
        )

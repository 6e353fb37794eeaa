"""Series cut into past and future windows, standardised or binarised: what every estimator starts from.

Each window is centred and scaled on its own, as the reference implementation of ΦID does. Unusable series become
flags, never exceptions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8
from scipy.special import ndtri
from scipy.stats import rankdata
from torch import Tensor

from brodmann.errors import SettingsError

FINE, CONSTANT, NON_FINITE = 0, 1, 2
"""Flags of a series: usable; no variance in one of its windows (atoms 0); not finite (atoms NaN)."""

ESTIMATORS = {"gaussian": ("mmi", "ccs"), "copula": ("mmi", "ccs"), "binary": ("mmi", "ccs", "i_min")}
"""Redundancy functions that each estimator offers."""


@dataclass(frozen=True)
class Windows:
    """Past and future window of each unit, ready for the estimator: standardised values, or bits."""

    past: Float[Tensor, "unit sample"] | Bool[Tensor, "unit sample"]
    future: Float[Tensor, "unit sample"] | Bool[Tensor, "unit sample"]
    flag: Int8[np.ndarray, " unit"]

    @property
    def discrete(self) -> bool:
        """Whether the windows hold bits."""
        return self.past.dtype == torch.bool

    def shifted(self, offsets: np.ndarray) -> "Windows":
        """Every unit's (past, future) samples rotated together by its own offset.

        A unit's own lagged information is exactly what it was; its coupling to units with other offsets is broken.
        """
        samples = self.past.shape[1]
        place = torch.from_numpy((np.arange(samples)[None] - offsets[:, None]) % samples).to(self.past.device)
        return Windows(self.past.gather(1, place), self.future.gather(1, place), self.flag)


def windows(
    series: Float[np.ndarray, "unit time"],
    *,
    tau: int = 1,
    estimator: str = "gaussian",
    standard: bool = True,
    device: str = "cpu",
) -> Windows:
    """Cut series into past and future windows and standardise (or binarise) each on its own.

    Parameters
    ----------
    series
        (unit, time). Constant and non-finite series are flagged and replaced by zeros.
    tau
        Lag in samples, at least 1.
    estimator
        ``gaussian`` standardises (``ddof=1``), ``copula`` first replaces values by normal scores of their ranks,
        ``binary`` cuts each window at its mean.
    standard
        Divide by the standard deviation; off for windows that `pool` will join.

    Raises
    ------
    SettingsError
        If fewer than 5 samples would remain (four variables need five), or the lag or the estimator is unknown.
    """
    if tau < 1:
        raise SettingsError(f"tau = {tau}: the lag between past and future must be at least 1 token")
    if estimator not in ESTIMATORS:
        raise SettingsError(f"estimator '{estimator}' is unknown; choose one of {', '.join(ESTIMATORS)}")
    time = series.shape[1]
    if time - tau < 5:
        raise SettingsError(f"series of {time} tokens are too short for lag {tau}: at least {5 + tau} are needed")
    values = np.array(series, dtype=np.float64)
    finite = np.asarray(np.isfinite(values).all(axis=1))
    values[~finite] = 0.0
    past, future = values[:, :-tau], values[:, tau:]
    scale = np.abs(values).max(axis=1)
    moving = np.minimum(past.std(axis=1), future.std(axis=1)) > 1e-12 * scale
    flag = np.where(moving, FINE, CONSTANT).astype(np.int8)
    flag[~finite] = NON_FINITE
    if estimator == "copula":
        past, future = (ndtri(rankdata(w, axis=1) / (w.shape[1] + 1)) for w in (past, future))
    if estimator == "binary":
        before, after = (torch.from_numpy(w > w.mean(axis=1, keepdims=True)).to(device) for w in (past, future))
        return Windows(before, after, flag)
    usable = np.reshape(finite & moving, (-1, 1))
    before, after = (torch.from_numpy(np.where(usable, _centre(w, standard), 0.0)).to(device) for w in (past, future))
    return Windows(before, after, flag)


def trim(series: Float[np.ndarray, "unit time"]) -> Float[np.ndarray, "unit time_"]:
    """Cut the steps at the end at which no unit has a value: they lie beyond the series' end."""
    present = np.flatnonzero(~np.isnan(series).all(axis=0))
    return np.asarray(series[:, : present[-1] + 1]) if present.size else series


def _centre(values: np.ndarray, standard: bool) -> np.ndarray:
    centred = values - values.mean(axis=1, keepdims=True)
    if not standard:
        return np.asarray(centred)
    spread = centred.std(axis=1, ddof=1, keepdims=True)
    return np.asarray(np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0))


def pool(parts: Sequence[Windows]) -> Windows:
    """Join the windows of several prompts into one, without lag pairs across borders.

    For Gaussian windows made with ``standard=False`` this averages the prompts' covariance matrices. A unit that is
    constant or not finite in one prompt contributes zeros there and is flagged only if it is unusable in all.
    """
    past, future = (torch.cat([getattr(part, name) for part in parts], dim=1) for name in ("past", "future"))
    flag = np.stack([part.flag for part in parts]).min(axis=0)
    if past.dtype != torch.bool:
        past, future = (_rescale(w) for w in (past, future))
    return Windows(past, future, flag)


def _rescale(values: Tensor) -> Tensor:
    spread = values.std(dim=1, keepdim=True)
    return torch.where(spread > 0, values / spread, 0.0)

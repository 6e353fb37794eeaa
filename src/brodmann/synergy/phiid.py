"""Integrated information decomposition (ΦID) of every pair of units: how much of what their past says about their
future is redundant, unique or synergistic.

Source: Mediano et al. 2021 (arXiv 2109.13186); Gaussian MMI with lag 1 is what Luppi et al. 2022 and Urbina-Rodriguez
et al. 2026 (arXiv 2601.06851) use. Estimation only: no significance here (see `surrogates`), no rank (see `core`).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from brodmann.errors import SettingsError
from brodmann.synergy.lattice import ATOMS
from brodmann.synergy.pairs import local_atoms, pair_atoms
from brodmann.synergy.windows import ESTIMATORS, NON_FINITE, Windows, pool, trim, windows


def decompose(
    series: np.ndarray | xr.DataArray,
    *,
    tau: int = 1,
    estimator: str = "gaussian",
    redundancy: str = "mmi",
    local: bool = False,
    pooled: bool = False,
    average: bool = False,
    names: Sequence[str] = ATOMS,
    device: str = "cpu",
    backend: str = "auto",
    block: int | None = None,
) -> xr.Dataset:
    """Decompose the time-delayed mutual information of every pair of units into sixteen atoms.

    Parameters
    ----------
    series
        (unit, time) or (prompt, unit, time); a DataArray may have its dims ``prompt``, ``unit`` and ``token`` or
        ``time`` in any order. Steps at the end at which every unit is NaN are beyond the series' end.
    tau
        Lag between past and future in samples.
    estimator, redundancy
        ``gaussian`` or ``copula`` with ``mmi`` or ``ccs``; ``binary`` with ``mmi``, ``ccs`` or ``i_min``.
    local
        Keep the value of every sample (a last dim ``sample``); for few units.
    pooled
        Estimate once from all prompts (covariances averaged over prompts) instead of prompt by prompt.
    average
        Average over prompts on the fly; the result has no dim ``prompt`` and memory does not grow with prompts.
    names
        Atoms to compute.
    device, backend, block
        Where and how: see `pair_atoms`.

    Returns
    -------
    xarray.Dataset
        One variable per atom, dims (prompt?, unit, unit_, sample?), nats, diagonal 0; ``flag`` (prompt?, unit): 0 fine,
        1 constant (atoms 0), 2 not finite (atoms NaN); ``near_singular`` (prompt?, unit, unit_), the (share of) prompts
        in which a pair was too close to copying to be resolved.

    Raises
    ------
    SettingsError
        If the series are too short for the lag or estimator and redundancy do not go together.

    Notes
    -----
    Mediano et al. 2021, arXiv 2109.13186. For two independent series with memory, MMI counts twice the smaller memory
    as ``sts``: never read ``sts`` without a null (see `surrogates`).

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((3, 200))
    >>> decompose(noise).sts.shape
    (3, 3)
    """
    if redundancy not in ESTIMATORS.get(estimator, ()):
        raise SettingsError(f"redundancy '{redundancy}' is not offered for estimator '{estimator}'")
    values, labels = _as_prompts(series)
    cut = [windows(trim(v), tau=tau, estimator=estimator, standard=not pooled, device=device) for v in values]
    parts = [pool(cut)] if pooled else cut
    shapes = "unit unit_ sample" if local else "unit unit_"
    found = (_pairs(part, redundancy, names, local=local, backend=backend, block=block) for part in parts)
    flag = np.stack([part.flag for part in parts])
    leading: tuple[str, ...] = ()
    if average and len(parts) > 1:
        atom_values, near = _average(found, flag)
        flag = flag.max(axis=0)
    elif len(parts) == 1 and (pooled or average or np.ndim(series) == 2):
        atom_values, near = next(found)
        flag = flag[0]
    else:
        stacks = list(found)
        atom_values, near = (np.stack([stack[k] for stack in stacks], axis=axis) for k, axis in ((0, 1), (1, 0)))
        leading = ("prompt",)
    dims = (*leading, *shapes.split())
    data = {name: (dims, value, {"units": "nats"}) for name, value in zip(names, atom_values, strict=True)}
    result = xr.Dataset(data, attrs={"tau": tau, "estimator": estimator, "redundancy": redundancy})
    result["flag"] = ((*leading, "unit"), flag, {"long_name": "0 fine, 1 constant, 2 not finite"})
    result["near_singular"] = ((*leading, "unit", "unit_"), near)
    return result.assign_coords({dim: label for dim, label in labels.items() if dim in result.dims})


def _pairs(
    part: Windows, redundancy: str, names: Sequence[str], *, local: bool, backend: str, block: int | None
) -> tuple[np.ndarray, np.ndarray]:
    pairs = pair_atoms(part, redundancy=redundancy, names=names, backend=backend, block=block)
    values = local_atoms(part, redundancy=redundancy, names=names) if local else pairs.values
    return values, pairs.near_singular


def _average(found: Iterator[tuple[np.ndarray, np.ndarray]], flag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the prompts in which a pair is finite; share of prompts in which it is near-singular."""
    total, near = next(found)
    total, near = np.nan_to_num(total), near.astype(np.float64)
    for values, singular in found:
        total += np.nan_to_num(values)
        near += singular
    usable = (flag != NON_FINITE).astype(np.float64)
    count = usable.T @ usable
    np.fill_diagonal(count, flag.shape[0])
    with np.errstate(invalid="ignore"):
        total /= count if total.ndim == 3 else count[..., None]
    return total, near / flag.shape[0]


def _as_prompts(series: np.ndarray | xr.DataArray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(prompt, unit, time) values, and the labels that came with them."""
    labels: dict[str, np.ndarray] = {}
    if isinstance(series, xr.DataArray):
        time = "token" if "token" in series.dims else "time"
        order = [dim for dim in ("prompt", "unit", time) if dim in series.dims]
        if set(order) != set(series.dims) or "unit" not in order:
            raise SettingsError(f"series have dims {tuple(series.dims)}; expected (prompt, unit, {time})")
        labels = {dim: series[dim].values for dim in ("prompt", "unit") if dim in series.coords}
        if "unit" in labels:
            labels["unit_"] = labels["unit"]
        series = series.transpose(*order).values
    values = np.asarray(series)
    if values.ndim not in (2, 3):
        raise SettingsError(f"series have shape {values.shape}; expected (unit, time) or (prompt, unit, time)")
    return values if values.ndim == 3 else values[None], labels

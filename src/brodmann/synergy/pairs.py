"""Atoms of all pairs of units, block by block, compiled or with torch: the bridge from windows to matrices.

Nothing is estimated here that `gaussian`, `binary` and `lattice` do not define; this module only decides which pairs
are computed where, and how much memory that takes.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from brodmann.errors import SettingsError
from brodmann.synergy import binary, fused, gaussian
from brodmann.synergy.lattice import ATOMS, SWAPPED, atoms
from brodmann.synergy.windows import CONSTANT, ESTIMATORS, FINE, NON_FINITE, Windows

_BYTES_PER_BLOCK = 1 << 28
_SHARED_FROM = 512  # units from which one decomposition is worth several threads

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class PairAtoms:
    """Atoms of all pairs: (atom, unit, unit) in nats, and where a correlation was too close to one to resolve."""

    names: tuple[str, ...]
    values: Float[np.ndarray, "atom unit unit"]
    near_singular: Bool[np.ndarray, "unit unit"]


@dataclass(frozen=True)
class Target:
    """Arrays that blocks fill: atoms (atom, unit, unit) and near-singular pairs (unit, unit)."""

    values: Float[np.ndarray, "atom unit unit"]
    near: Bool[np.ndarray, "unit unit"]


def pair_atoms(
    rows: Windows,
    columns: Windows | None = None,
    *,
    redundancy: str = "mmi",
    names: Sequence[str] = ATOMS,
    backend: str = "auto",
    block: int | None = None,
    both: bool = True,
    out: PairAtoms | None = None,
) -> PairAtoms:
    """Atoms of all pairs i < j, unit i taken from ``rows`` and unit j from ``columns``.

    Parameters
    ----------
    rows, columns
        Windows of the same units. Different windows (surrogates, other prompts) give null values; the default is
        ``columns = rows``. The lower triangle is filled by exchanging x and y, the diagonal is 0.
    redundancy
        ``mmi``, ``ccs``, or ``i_min`` (bits only).
    names
        Atoms to keep.
    backend
        ``fused`` (compiled, CPU), ``torch`` (any device), or ``auto``.
    block
        Pairs held at once; bounds the memory beside the result.
    both
        Fill the lower triangle too. Without it that half is left as it is: 0, and never touched, in a new result.
    out
        An earlier result for as many units and the same atoms, whose arrays are written over and given back: fetching
        fresh memory from the system can cost more than the arithmetic.

    Raises
    ------
    SettingsError
        If the redundancy is not offered for the estimator, or ``out`` does not fit.
    """
    columns = rows if columns is None else columns
    offered = ESTIMATORS["binary" if rows.discrete else "gaussian"]
    if redundancy not in offered:
        raise SettingsError(
            f"redundancy '{redundancy}' is not offered for this estimator; choose {' or '.join(offered)}"
        )
    kept = _with_partners(names)
    units = rows.past.shape[0]
    values, near = _room(kept, units, out)
    use_fused = rows.past.device.type == "cpu" and not rows.discrete if backend == "auto" else backend == "fused"
    make = _fused_blocks if use_fused else _torch_blocks
    work, height = make(rows, columns, redundancy, [ATOMS.index(name) for name in kept], Target(values, near), block)
    _over_rows(work, units, height)
    if both:
        partner = np.array([kept.index(ATOMS[SWAPPED[ATOMS.index(name)]]) for name in kept])
        _over_rows(lambda start, stop: fused.mirror(values, partner, start, stop), units, 64)
        near |= near.T
    _apply_flags(values, np.maximum(rows.flag, columns.flag), both=both)
    return PairAtoms(tuple(names), values[: len(names)], near)


def _room(kept: Sequence[str], units: int, out: PairAtoms | None) -> tuple[np.ndarray, np.ndarray]:
    """Arrays to fill: those of an earlier result, or new ones."""
    shape = len(kept), units, units
    if out is None:
        return np.zeros(shape), np.zeros(shape[1:], dtype=bool)
    if out.names != tuple(kept) or out.values.shape != shape:
        raise SettingsError(f"the arrays given for {', '.join(kept)} of {units} units hold something else")
    out.near_singular[:] = False
    return out.values, out.near_singular


def _with_partners(names: Sequence[str]) -> list[str]:
    """The atoms asked for, then those that stand in for them when the units change places."""
    swapped = [ATOMS[SWAPPED[ATOMS.index(name)]] for name in names]
    return list(dict.fromkeys([*names, *swapped]))


def over_prompts(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Run ``work`` on every item, one thread of arithmetic each, as many at once as torch has threads; in order.

    Matrices of a few hundred units are too small to share between threads: sharing prompts instead is faster, and does
    not collapse when other processes compete for the cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool_of_threads:
            waiting: deque[Future[Result]] = deque()
            for item in items:
                waiting.append(pool_of_threads.submit(work, item))
                if len(waiting) > threads:  # results are matrices: no more of them than threads wait to be taken
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(threads)


def _over_rows(work: Callable[[int, int], None], units: int, height: int) -> None:
    spans = [(start, min(start + height, units)) for start in range(0, units, height)]
    threads = torch.get_num_threads() if units >= _SHARED_FROM else 1
    if threads == 1:
        for span in spans:
            work(*span)
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool_of_threads:
            list(pool_of_threads.map(lambda span: work(*span), spans))
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Correlations:
    """The six correlations of pairs of a block: its rows with all units from its first row on."""

    xy: Tensor
    ab: Tensor
    xa: Tensor
    yb: Tensor
    xb: Tensor
    ya: Tensor


def _correlate(rows: Windows, columns: Windows) -> Callable[[int, int], _Correlations]:
    """Correlations by blocks of rows: a block stays in cache where all pairs at once would not."""
    scale = math.sqrt(rows.past.shape[1] - 1)
    x, a, y, b = (w / scale for w in (rows.past, rows.future, columns.past, columns.future))
    own_rows, own_columns = (x * a).sum(1), (y * b).sum(1)

    def block(start: int, stop: int) -> _Correlations:
        down, across = slice(start, stop), slice(start, None)
        return _Correlations(
            x[down] @ y[across].T, a[down] @ b[across].T, own_rows, own_columns,
            x[down] @ b[across].T, a[down] @ y[across].T,
        )  # fmt: skip

    return block


Work = Callable[[int, int], None]


def _fused_blocks(
    rows: Windows, columns: Windows, redundancy: str, index: list[int], out: Target, pairs: int | None
) -> tuple[Work, int]:
    correlations = _correlate(rows, columns)
    which = np.array(index)
    samples = tuple(w.contiguous().numpy() for w in (rows.past, columns.past, rows.future, columns.future))

    def work(start: int, stop: int) -> None:
        r = correlations(start, stop)
        arguments = [value.numpy() for value in (r.xy, r.ab, r.xa, r.yb, r.xb, r.ya)]
        if redundancy == "ccs":
            fused.ccs_atoms(*arguments, *samples, start, which, out.values, out.near)
        else:
            fused.mmi_atoms(*arguments, start, which, out.values, out.near)

    units = rows.past.shape[0]
    return work, max(1, min(64, (pairs or units**2) // units))


def _torch_blocks(
    rows: Windows, columns: Windows, redundancy: str, index: list[int], out: Target, pairs: int | None
) -> tuple[Work, int]:
    correlations = None if rows.discrete else _correlate(rows, columns)
    samples = rows.past.shape[1] if redundancy == "ccs" and correlations is not None else 1

    def work(start: int, stop: int) -> None:
        span = slice(start, stop), slice(start, None)
        if correlations is None:
            values = _binary_atoms(rows, columns, redundancy, span)
        else:
            c, i = _gaussian_pairs(correlations(start, stop), span)
            out.near[span] = np.triu(c.near_singular.cpu().numpy(), 1)
            if redundancy == "ccs":
                local = _gaussian_samples(c, rows, columns, span)
                means = tuple(v.mean(-1) for v in gaussian.ccs_redundancies(local))
                values = atoms(*i.astuple(), *means)
            else:
                values = atoms(*i.astuple(), *gaussian.mmi_redundancies(i))
        shape = stop - start, out.near.shape[1] - start
        for position, k in enumerate(index):
            out.values[(position, *span)] = np.triu(values[k].expand(shape).cpu().numpy(), 1)

    units = rows.past.shape[0]
    return work, max(1, (pairs or max(1, _BYTES_PER_BLOCK // (8 * 40 * samples))) // units)


_Span = tuple[slice, slice]


def _gaussian_pairs(r: _Correlations, span: _Span) -> tuple[gaussian.Conditionals, gaussian.Informations]:
    down, across = span
    c = gaussian.conditionals(r.xy, r.ab, r.xa[down, None], r.yb[None, across], r.xb, r.ya)
    return c, gaussian.mean_informations(c)


def _gaussian_samples(c: gaussian.Conditionals, rows: Windows, columns: Windows, span: _Span) -> gaussian.Informations:
    down, across = span
    x, a = rows.past[down][:, None], rows.future[down][:, None]
    y, b = columns.past[across][None], columns.future[across][None]
    return gaussian.local_informations(c, x, y, a, b)


def _binary_joint(rows: Windows, columns: Windows, span: _Span) -> Tensor:
    down, across = span
    return binary.joint_distribution(rows.past[down], rows.future[down], columns.past[across], columns.future[across])


def _binary_atoms(rows: Windows, columns: Windows, redundancy: str, span: _Span) -> tuple[Tensor, ...]:
    p = _binary_joint(rows, columns, span)
    i = binary.mean_informations(p)
    return atoms(*i.astuple(), *binary.redundancies(p, i, redundancy))


def _apply_flags(out: np.ndarray, flag: np.ndarray, *, both: bool = True) -> None:
    """Atoms of constant units are 0, of units with non-finite samples NaN; the diagonal stays 0."""
    for kind, value in ((CONSTANT, 0.0), (NON_FINITE, np.nan)):
        for unit in np.flatnonzero(flag == kind):
            out[:, unit, unit + 1 :] = value
            out[:, :unit, unit] = value
            if both:
                out[:, unit, :unit] = value
                out[:, unit + 1 :, unit] = value
    out[:, np.flatnonzero(flag != FINE), np.flatnonzero(flag != FINE)] = 0.0


def local_atoms(
    rows: Windows, *, redundancy: str = "mmi", names: Sequence[str] = ATOMS
) -> Float[np.ndarray, "atom unit unit sample"]:
    """Atoms of every sample of every pair, in nats. Memory grows with units squared times samples: for few units.

    Under MMI the sample values of whichever information is smaller on average stand for the redundancy, as in the
    reference implementation; I_min is an average by definition and has no sample values.
    """
    span = slice(None), slice(None)
    if redundancy not in ("mmi", "ccs"):
        raise SettingsError(f"redundancy '{redundancy}' has no sample values; choose mmi or ccs")
    if rows.discrete:
        p = _binary_joint(rows, rows, span)
        i = binary.mean_informations(p)
        local = binary.sample_informations(p, (rows.past, rows.future, rows.past, rows.future))
    else:
        c, i = _gaussian_pairs(_correlate(rows, rows)(0, rows.past.shape[0]), span)
        local = _gaussian_samples(c, rows, rows, span)
    tolerance = binary.NO_SIGN if rows.discrete else 0.0
    shares = (
        gaussian.ccs_redundancies(local, tolerance=tolerance)
        if redundancy == "ccs"
        else gaussian.mmi_redundancies(i, local=local)
    )
    values = atoms(*local.astuple(), *shares)
    units, samples = rows.past.shape
    out = np.stack([values[ATOMS.index(name)].expand(units, units, samples).cpu().numpy() for name in names])
    _apply_flags(out, rows.flag)
    out[:, np.arange(units), np.arange(units)] = 0.0
    return out

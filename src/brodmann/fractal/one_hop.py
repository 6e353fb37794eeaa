"""Counting a matrix's edges by distance, neuron by neuron: the one-hop network of the released code, without a list.

One pass over the weights fills a table (source neuron, code) of counts. The floor is one look-up and one increment per
weight; sixteen-bit numbers are looked up whole, float32 ones by a cell and one comparison (`grids`). Rows are taken
in blocks that stay in the cache. Nothing here reads a file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brodmann.errors import WeightsError
from brodmann.fractal import fused
from brodmann.fractal.grids import Grid, Storage, table, widen

Codes = NDArray[np.uint16]
Counts = NDArray[np.uint32]

_RUNS = 16
"""Runs of neighbouring target neurons that go to two halves in turn."""
_BLOCK = 1 << 19
"""Codes held at a time."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """Weights as they are stored."""

    name: str
    raw: NDArray[np.generic]
    """(row, column): float32 or float64 numbers, or the bits of 16-bit ones as uint16."""
    storage: Storage
    sources_are_rows: bool = False
    """Whether each row belongs to one source neuron; in PyTorch's linear layers each column does."""

    @property
    def sources(self) -> int:
        """Number of source neurons."""
        return int(self.raw.shape[0 if self.sources_are_rows else 1])

    @property
    def targets(self) -> int:
        """Number of target neurons."""
        return int(self.raw.shape[1 if self.sources_are_rows else 0])


@dataclass(frozen=True)
class Moments:
    """What can be said about a matrix as a whole."""

    rms: float
    mean_magnitude: float
    largest: float


def moments(matrix: Matrix) -> Moments:
    """Root mean square, mean and largest magnitude of the weights.

    Raises
    ------
    WeightsError
        If a weight is NaN or infinite, or all are zero; the matrix is named.
    """
    flat = matrix.raw.reshape(-1)
    if matrix.storage in ("float16", "bfloat16"):
        counted = fused.magnitudes(flat)
        with np.errstate(invalid="ignore"):  # signalling NaN
            values = widen(np.arange(1 << 15, dtype=np.uint16), matrix.storage).astype(np.float64)
        present = counted > 0
        values, counted = values[present], counted[present]
        squares, total, largest = counted @ values**2, counted @ values, values.max(initial=0.0)
    else:
        squares, total, largest = fused.sums(flat)
    if not np.isfinite(squares):
        raise WeightsError(f"{matrix.name} holds NaN or infinite weights")
    if largest == 0:
        raise WeightsError(f"{matrix.name} is zero everywhere, so it has no edges")
    return Moments(float(np.sqrt(squares / flat.size)), float(total / flat.size), float(largest))


def numbers(matrix: Matrix) -> NDArray[np.floating]:
    """Weights as floating-point numbers."""
    if matrix.storage in ("float16", "bfloat16"):
        return widen(matrix.raw.reshape(-1), matrix.storage).reshape(matrix.raw.shape)  # type: ignore[arg-type]
    return matrix.raw  # type: ignore[return-value]


def edge_codes(matrices: Sequence[Matrix], grid: Grid, rms: Sequence[float]) -> Iterator[Codes]:
    """Codes of a matrix's weights, by blocks of rows.

    Several matrices of one shape are parallel edges between the same neurons (the gate and the input of a gated MLP):
    each pair of neurons keeps the shortest.

    Parameters
    ----------
    matrices
        One, or several of one shape.
    grid
        Which distances are told apart.
    rms
        Root mean square of each matrix; used by the geometric grid.
    """
    first = matrices[0]
    if any(each.raw.shape != first.raw.shape for each in matrices):
        raise WeightsError(f"{', '.join(each.name for each in matrices)}: parallel edges need matrices of one shape")
    tables = [
        table(grid, each.storage, scale if grid.kind == "geometric" else 1.0)
        for each, scale in zip(matrices, rms, strict=True)
    ]
    rows, columns = first.raw.shape
    step = max(1, _BLOCK // max(columns, 1))
    for start in range(0, rows, step):
        found = None
        for matrix, codes in zip(matrices, tables, strict=True):
            block = matrix.raw[start : start + step]
            one = np.empty(block.shape, np.uint16)
            if matrix.storage in ("float16", "bfloat16"):
                fused.look_up(block, codes.cells, one)
            elif matrix.storage == "float32":
                fused.search(block.view(np.uint32), codes.cells, codes.below, codes.steps, one)
            else:
                with np.errstate(divide="ignore"):
                    one[:] = grid.codes(codes.scale / np.abs(block))
                one[~np.isfinite(block)] = grid.bad
            found = one if found is None else _nearest(found, one, grid)
        yield found  # type: ignore[misc]


def _nearest(one: Codes, other: Codes, grid: Grid) -> Codes:
    """Shorter of two parallel edges; one that is no number stays so."""
    bad = (one == grid.bad) | (other == grid.bad)
    return np.where(bad, np.uint16(grid.bad), np.minimum(one, other))


def count_edges(matrices: Sequence[Matrix], grid: Grid, rms: Sequence[float]) -> Counts:
    """Number of each source neuron's edges by code.

    Returns
    -------
    (source, code)
        Codes 0 (too short) to `grid.beyond`.

    Raises
    ------
    WeightsError
        If a weight is NaN or infinite; the matrix is named.
    """
    found: Counts = _counted(matrices, grid, rms, halves=1)[0]
    return found


def count_halves(matrices: Sequence[Matrix], grid: Grid, rms: Sequence[float]) -> tuple[Counts, Counts]:
    """As `count_edges`, of all target neurons and of half of them: every second of sixteen runs of neighbours.

    Neighbours belong together (heads), so that neurons one by one would put half of each head into either half.
    """
    even, odd = _counted(matrices, grid, rms, halves=2)
    return odd + even, even.copy()  # neither holds on to the table of both


def _counted(matrices: Sequence[Matrix], grid: Grid, rms: Sequence[float], halves: int) -> NDArray[np.uint32]:
    """Counts by half, source and code; the target neurons go to the halves in turn."""
    by_row = matrices[0].sources_are_rows
    run = max(1, -(-matrices[0].targets // _RUNS))
    counts = np.zeros((halves, matrices[0].sources, grid.bad + 1), np.uint32)
    at = 0
    for codes in edge_codes(matrices, grid, rms):
        if by_row:
            fused.count_rows(codes, run, counts[:, at : at + len(codes)])
        else:
            fused.count_columns(codes, at, run, counts)
        at += len(codes)
    if counts[:, :, grid.bad].any():
        names = " or ".join(each.name for each in matrices)
        raise WeightsError(f"{names} holds NaN or infinite weights")
    found: NDArray[np.uint32] = counts[:, :, : grid.bad]
    return found

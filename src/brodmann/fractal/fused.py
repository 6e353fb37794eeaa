"""Compiled kernels of the weight graph: look-ups, counts, (min, +) products, sums of powers, shuffles.

Each holds the interpreter's lock for nothing, so layers run on threads. What they compute is said where they are used;
tests hold each against a plain form.
"""

import numpy as np
from numba import njit

from brodmann.fractal.grids import CELL_BITS

_JIT = {"nogil": True, "cache": True, "error_model": "numpy", "boundscheck": False}
_COLUMNS = 32
"""Columns whose counts stay in the first cache."""
_ROWS = 64
"""Rows of the right factor that are used while they stay in the cache."""


@njit(**_JIT)
def look_up(block, cells, out):  # type: ignore[no-untyped-def]
    """Codes of 16-bit numbers."""
    for i in range(block.shape[0]):
        for j in range(block.shape[1]):
            out[i, j] = cells[block[i, j] & 0x7FFF]


@njit(**_JIT)
def search(block, cells, below, steps, out):  # type: ignore[no-untyped-def]
    """Codes of float32 bit patterns: that of the cell, less the bounds that were passed."""
    for i in range(block.shape[0]):
        for j in range(block.shape[1]):
            magnitude = block[i, j] & np.uint32(0x7FFFFFFF)
            code = cells[magnitude >> CELL_BITS]
            for _ in range(steps):
                code -= np.uint16(magnitude >= below[code])
            out[i, j] = code


@njit(**_JIT)
def count_columns(codes, first, run, counts):  # type: ignore[no-untyped-def]
    """Add each column's codes (row, column) to its row of counts (half, column, code).

    Runs of rows, of which this block's first is the matrix's ``first``, go to the halves in turn; of one half all do.
    """
    halves = counts.shape[0]
    rows, columns = codes.shape
    for start in range(0, columns, _COLUMNS):
        stop = min(start + _COLUMNS, columns)
        for i in range(rows):
            half = ((first + i) // run) % halves
            for j in range(start, stop):
                counts[half, j, codes[i, j]] += np.uint32(1)


@njit(**_JIT)
def count_rows(codes, run, counts):  # type: ignore[no-untyped-def]
    """Add each row's codes (row, column) to its row of counts (half, row, code).

    Runs of columns go to the halves in turn.
    """
    halves = counts.shape[0]
    for i in range(codes.shape[0]):
        for start in range(0, codes.shape[1], run):
            half = (start // run) % halves
            for j in range(start, min(start + run, codes.shape[1])):
                counts[half, i, codes[i, j]] += np.uint32(1)


@njit(**_JIT)
def magnitudes(bits):  # type: ignore[no-untyped-def]
    """How often each magnitude of 16-bit numbers occurs."""
    counted = np.zeros(1 << 15, np.int64)
    for i in range(bits.size):
        counted[bits[i] & 0x7FFF] += 1
    return counted


@njit(**(_JIT | {"fastmath": {"reassoc", "contract"}}))
def sums(values):  # type: ignore[no-untyped-def]
    """Sum of squares, sum of magnitudes and largest magnitude."""
    squares, total, largest = 0.0, 0.0, 0.0
    for i in range(values.size):
        size = abs(np.float64(values[i]))
        squares += size * size
        total += size
        largest = max(largest, size)
    return squares, total, largest


@njit(**(_JIT | {"fastmath": {"nnan", "nsz"}}))
def min_plus(left, right, least, limit):  # type: ignore[no-untyped-def]
    """out[i, j] = min_k left[i, k] + right[k, j]; rows of ``right`` that only lead beyond the limit are skipped."""
    rows, inner, columns = left.shape[0], left.shape[1], right.shape[1]
    out = np.full((rows, columns), np.inf)
    for k0 in range(0, inner, _ROWS):
        for i in range(rows):
            for k in range(k0, min(k0 + _ROWS, inner)):
                near = left[i, k]
                if near + least[k] > limit or near == np.inf:
                    continue
                for j in range(columns):
                    out[i, j] = min(out[i, j], near + right[k, j])
    return out


@njit(**(_JIT | {"fastmath": {"contract"}}))
def power_sums(log_mu, first, step, z, a):  # type: ignore[no-untyped-def]
    """Add mu^q and mu^q ln mu of all neurons to z and a (q, radius)."""
    neurons, radii = log_mu.shape
    power, factor = np.empty(radii), np.empty(radii)
    for i in range(neurons):
        for r in range(radii):
            power[r] = np.exp(first * log_mu[i, r])
            factor[r] = np.exp(step * log_mu[i, r])
        for k in range(z.shape[0]):
            for r in range(radii):
                z[k, r] += power[r]
                a[k, r] += power[r] * log_mu[i, r]
                power[r] *= factor[r]


@njit(**_JIT)
def shuffle_rows(codes, state):  # type: ignore[no-untyped-def]
    """Shuffle every row in place (Fisher and Yates; splitmix64 of Steele, Lea and Flood 2014, Lemire's bounds)."""
    bits = state[0]
    for i in range(codes.shape[0]):
        for j in range(codes.shape[1] - 1, 0, -1):
            bits += np.uint64(0x9E3779B97F4A7C15)
            mixed = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed = mixed ^ (mixed >> np.uint64(31))
            # the bias of the product of a 32-bit draw is below columns / 2^32
            k = ((mixed >> np.uint64(32)) * np.uint64(j + 1)) >> np.uint64(32)
            codes[i, j], codes[i, k] = codes[i, k], codes[i, j]
    state[0] = bits

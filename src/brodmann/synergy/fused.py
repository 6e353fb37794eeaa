"""Compiled kernels for the CPU: all atoms of a rectangle of pairs in one pass, float64.

They compute what `gaussian` computes with torch (tests hold the two equal) without writing intermediate arrays:
seven logarithms and 128 written bytes a pair. Kernels release the interpreter lock, so row blocks run on threads.
"""

import inspect
import math

import numpy as np
from numba import njit

from brodmann.synergy import gaussian, lattice

_FLOOR = gaussian.FLOOR
_atoms = njit(inline="always")(inspect.unwrap(lattice.atoms))
_JIT = {"nogil": True, "cache": True, "error_model": "numpy", "boundscheck": False}
_SQRT_HALF = 0x3FE6A09E00000000  # bits of sqrt(1/2), rounded: mantissas lie in [sqrt(1/2), sqrt(2))
_ROUND = 0x3FF0000000000000 - _SQRT_HALF
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_L1, _L2, _L3, _L4 = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
)
_L5, _L6, _L7 = 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01
_RUN = 512  # pairs whose atoms are collected before they are written out
_CONTRACT = {*("contract", "nsz", "arcp")}  # rounding may differ in the last bit; NaN and infinity keep their meaning


@njit(inline="always", **_JIT)
def _conditionals(r_xy, r_ab, r_xa, r_yb, r_xb, r_ya):  # type: ignore[no-untyped-def]
    """Scalar twin of `gaussian.conditionals`."""
    v_xy, v_ab = (1 - r_xy) * (1 + r_xy), (1 - r_ab) * (1 + r_ab)
    v_xa, v_yb = (1 - r_xa) * (1 + r_xa), (1 - r_yb) * (1 + r_yb)
    v_xb, v_ya = (1 - r_xb) * (1 + r_xb), (1 - r_ya) * (1 + r_ya)
    least = min(v_xy, v_ab, v_xa, v_yb, v_xb, v_ya)
    v_xy, v_ab = max(v_xy, _FLOOR), max(v_ab, _FLOOR)
    v_xa, v_yb, v_xb, v_ya = max(v_xa, _FLOOR), max(v_yb, _FLOOR), max(v_xb, _FLOOR), max(v_ya, _FLOOR)
    c_ya, c_yb = r_ya - r_xy * r_xa, r_yb - r_xy * r_xb
    c_xb, c_yb_a = r_xb - r_ab * r_xa, r_yb - r_ab * r_ya
    w_xy, w_ab = 1 / v_xy, 1 / v_ab
    k_a, k_b, k_x, k_y = c_ya * w_xy, c_yb * w_xy, c_xb * w_ab, c_yb_a * w_ab
    v_a, v_b = v_xa - c_ya * k_a, v_xb - c_yb * k_b
    v_x, v_y = v_xa - c_xb * k_x, v_ya - c_yb_a * k_y
    least = min(least, v_a, v_b, v_x, v_y)
    v_a, v_b, v_x, v_y = max(v_a, _FLOOR), max(v_b, _FLOOR), max(v_x, _FLOOR), max(v_y, _FLOOR)
    c_ba = (r_ab - r_xa * r_xb) - c_ya * k_b
    k_ba = c_ba / v_a
    v_ba = v_b - c_ba * k_ba
    least = min(least, v_ba)
    v_ba = max(v_ba, _FLOOR)
    return v_xy, v_ab, v_xa, v_yb, v_xb, v_ya, v_a, v_b, v_x, v_y, k_a, k_b, k_x, k_y, k_ba, v_ba, w_ab, least


@njit(fastmath=_CONTRACT, **_JIT)
def _minus_half_log(values, bits, exponent):  # type: ignore[no-untyped-def]
    """Replace positive normal numbers by minus half their logarithm; ``bits`` views the same memory as integers.

    The polynomial is that of fdlibm's log (error below one unit in the last place), split into loops over the
    exponent and the mantissa that the compiler can run eight numbers at a time: the library's log cannot be.
    """
    for j in range(values.shape[0]):
        shifted = bits[j] + _ROUND
        exponent[j] = (shifted >> 52) - 0x3FF
        bits[j] = (shifted & 0x000FFFFFFFFFFFFF) + _SQRT_HALF
    for j in range(values.shape[0]):
        f = values[j] - 1.0
        k = float(exponent[j])
        s = f / (2.0 + f)
        z = s * s
        w = z * z
        even = w * (_L2 + w * (_L4 + w * _L6))
        odd = z * (_L1 + w * (_L3 + w * (_L5 + w * _L7)))
        half = 0.5 * f * f
        values[j] = -0.5 * (s * (half + even + odd) + k * _LN2_LOW - half + f + k * _LN2_HIGH)


@njit(**_JIT)
def _mmi_row(r_xy, r_ab, r_xa, r_yb, r_xb, r_ya, buffer, bits, exponent, near):  # type: ignore[no-untyped-def]
    """Nine mutual informations of one row of pairs into ``buffer`` (9, column)."""
    columns = r_xy.shape[0]
    for j in range(columns):
        (_, _, v_xa, v_yb, v_xb, v_ya, v_a, v_b, v_x, v_y, _, _, _, _, _, v_ba, w_ab, least) = _conditionals(
            r_xy[j], r_ab[j], r_xa, r_yb[j], r_xb[j], r_ya[j]
        )
        buffer[0, j] = v_xb
        buffer[1, j] = v_ya
        buffer[2, j] = v_a
        buffer[3, j] = v_b
        buffer[4, j] = v_x
        buffer[5, j] = v_y
        buffer[6, j] = v_ba * w_ab
        near[j] = least < _FLOOR
    for k in range(7):
        _minus_half_log(buffer[k], bits[k], exponent)


@njit(inline="always", **_JIT)
def _store(out, j, v):  # type: ignore[no-untyped-def]
    out[0, j], out[1, j], out[2, j], out[3, j] = v[0], v[1], v[2], v[3]
    out[4, j], out[5, j], out[6, j], out[7, j] = v[4], v[5], v[6], v[7]
    out[8, j], out[9, j], out[10, j], out[11, j] = v[8], v[9], v[10], v[11]
    out[12, j], out[13, j], out[14, j], out[15, j] = v[12], v[13], v[14], v[15]


@njit(**_JIT)
def mmi_atoms(r_xy, r_ab, r_xa, r_yb, r_xb, r_ya, start, index, out, near):  # type: ignore[no-untyped-def]
    """Atoms under MMI of the pairs (row, column) with row < column, for a block of rows that begins at ``start``.

    r_xy, r_ab, r_xb, r_ya: (row, column), rows and columns counted from ``start``; r_xa, r_yb: (unit,);
    near: (unit, unit); out: (atom, unit, unit) for the atoms ``index``.
    """
    units = r_xa.shape[0]
    i, scratch = np.empty((7, units)), np.empty((16, _RUN + 8))
    bits, exponent = i.view(np.int64), np.empty(units, np.int64)
    i_yb = np.empty(units)
    for j in range(start, units):
        i_yb[j] = -0.5 * math.log(max((1 - r_yb[j]) * (1 + r_yb[j]), _FLOOR))
    for row in range(start, start + r_xy.shape[0]):
        n, first = row - start, row + 1
        _mmi_row(
            r_xy[n, n + 1 :], r_ab[n, n + 1 :], r_xa[row], r_yb[first:], r_xb[n, n + 1 :], r_ya[n, n + 1 :],
            i[:, first:], bits[:, first:], exponent, near[row, first:],
        )  # fmt: skip
        xa = -0.5 * math.log(max((1 - r_xa[row]) * (1 + r_xa[row]), _FLOOR))
        # Sixteen matrices that lie a power of two apart share cache sets: writing all of them pair by pair would evict
        # each line before it is full. A run of pairs is collected first, then copied matrix by matrix.
        for begin in range(first, units, _RUN):
            length = min(_RUN, units - begin)
            for k in range(length):
                j = begin + k
                yb, xb, ya = i_yb[j], i[0, j], i[1, j]
                xy_a, xy_b, x_ab, y_ab = i[2, j], i[3, j], i[4, j], i[5, j]
                r_a, r_b, q_x, q_y = min(xa, ya), min(xb, yb), min(xa, xb), min(ya, yb)
                v = _atoms(
                    xa, xb, ya, yb, xy_a, xy_b, x_ab, y_ab, xy_a + i[6, j],
                    r_a, r_b, min(x_ab, y_ab), q_x, q_y, min(xy_a, xy_b), min(r_a, r_b),
                )  # fmt: skip
                _store(scratch, k, v)
            for m in range(index.shape[0]):
                source, target = scratch[index[m]], out[m, row]
                for k in range(length):
                    target[begin + k] = source[k]


@njit(inline="always", fastmath=_CONTRACT, **_JIT)
def _common(first, second, joint):  # type: ignore[no-untyped-def]
    """Common change in surprisal of one sample (zero counts as negative: of measure zero for continuous variables)."""
    change = first + second - joint
    positive = change > 0
    same = ((first > 0) == positive) & ((second > 0) == positive) & ((joint > 0) == positive)
    return change if same else 0.0


@njit(fastmath=_CONTRACT, **_JIT)
def _ccs_samples(x, y, a, b, r, v, k, logs, out):  # type: ignore[no-untyped-def]
    """Twice the seven CCS redundancies of each sample of one pair, into out (7, sample).

    They are summed elsewhere: a reduction here would keep the loop from being vectorised, and allowing the compiler to
    reorder sums would undo the residuals' careful order.

    r: r_xy, r_ab, r_xa, r_yb, r_xb, r_ya; v: inverse conditional variances xa, yb, xb, ya, a, b, x, y, ba, ab;
    k: k_a, k_b, k_x, k_y, k_ba; logs: log of the variances, in the order of v.
    """
    r_xy, r_ab, r_xa, r_yb, r_xb, r_ya = r
    w_xa, w_yb, w_xb, w_ya, w_a, w_b, w_x, w_y, w_ba, w_ab = v
    k_a, k_b, k_x, k_y, k_ba = k
    l_xa, l_yb, l_xb, l_ya, l_a, l_b, l_x, l_y, l_ba, l_ab = logs
    for t in range(x.shape[0]):
        xt, yt, at, bt = x[t], y[t], a[t], b[t]
        u, w = yt - r_xy * xt, bt - r_ab * at
        xx, yy, aa, bb = xt * xt, yt * yt, at * at, bt * bt
        e_xa, e_xb = at - r_xa * xt, bt - r_xb * xt
        e_ya, e_yb = at - r_ya * yt, bt - r_yb * yt
        e_a, e_b = e_xa - k_a * u, e_xb - k_b * u
        e_x, e_y = (xt - r_xa * at) - k_x * w, (yt - r_ya * at) - k_y * w
        e_ba = e_b - k_ba * e_a
        i_xa, i_xb = aa - e_xa * e_xa * w_xa - l_xa, bb - e_xb * e_xb * w_xb - l_xb
        i_ya, i_yb = aa - e_ya * e_ya * w_ya - l_ya, bb - e_yb * e_yb * w_yb - l_yb
        i_xy_a, i_xy_b = aa - e_a * e_a * w_a - l_a, bb - e_b * e_b * w_b - l_b
        i_x_ab, i_y_ab = xx - e_x * e_x * w_x - l_x, yy - e_y * e_y * w_y - l_y
        i_xy_ab = i_xy_a + w * w * w_ab + l_ab - e_ba * e_ba * w_ba - l_ba
        r_a, r_b = _common(i_xa, i_ya, i_xy_a), _common(i_xb, i_yb, i_xy_b)
        r_both = _common(i_x_ab, i_y_ab, i_xy_ab)
        q_x, q_y = _common(i_xa, i_xb, i_x_ab), _common(i_ya, i_yb, i_y_ab)
        q_both = _common(i_xy_a, i_xy_b, i_xy_ab)
        change = (
            (i_x_ab + i_y_ab + i_xy_a + i_xy_b - i_xy_ab) - (i_xa + i_xb + i_ya + i_yb)
            + (r_a + r_b - r_both) + (q_x + q_y - q_both)
        )  # fmt: skip
        up = change > 0
        same = ((i_xa > 0) == up) & ((i_xb > 0) == up) & ((i_ya > 0) == up) & ((i_yb > 0) == up)
        out[0, t], out[1, t], out[2, t] = r_a, r_b, r_both
        out[3, t], out[4, t], out[5, t] = q_x, q_y, q_both
        out[6, t] = change if same else 0.0


@njit(fastmath={"reassoc", *_CONTRACT}, **_JIT)
def _row_sums(values, sums):  # type: ignore[no-untyped-def]
    for k in range(values.shape[0]):
        total = 0.0
        for t in range(values.shape[1]):
            total += values[k, t]
        sums[k] = total


@njit(**_JIT)
def ccs_atoms(r_xy, r_ab, r_xa, r_yb, r_xb, r_ya, x, y, a, b, start, index, out, near):  # type: ignore[no-untyped-def]
    """Atoms under CCS, averaged over samples. As `mmi_atoms`; x, y, a, b (unit, sample) are centred and divided by
    their ``ddof=1`` standard deviation.
    """
    units, samples = x.shape
    half = 0.5 / samples
    s, series, values = np.empty(7), np.empty((7, samples)), np.empty((16, units))
    for row in range(start, start + r_xy.shape[0]):
        for j in range(row + 1, units):
            m, n = row - start, j - start
            r = (r_xy[m, n], r_ab[m, n], r_xa[row], r_yb[j], r_xb[m, n], r_ya[m, n])
            (_, v_ab, v_xa, v_yb, v_xb, v_ya, v_a, v_b, v_x, v_y, k_a, k_b, k_x, k_y, k_ba, v_ba, w_ab, least) = (
                _conditionals(r[0], r[1], r[2], r[3], r[4], r[5])
            )
            near[row, j] = least < _FLOOR
            logs = (
                math.log(v_xa), math.log(v_yb), math.log(v_xb), math.log(v_ya), math.log(v_a),
                math.log(v_b), math.log(v_x), math.log(v_y), math.log(v_ba), math.log(v_ab),
            )  # fmt: skip
            inverse = (1 / v_xa, 1 / v_yb, 1 / v_xb, 1 / v_ya, 1 / v_a, 1 / v_b, 1 / v_x, 1 / v_y, 1 / v_ba, w_ab)
            _ccs_samples(x[row], y[j], a[row], b[j], r, inverse, (k_a, k_b, k_x, k_y, k_ba), logs, series)
            _row_sums(series, s)
            v = _atoms(
                -0.5 * logs[0], -0.5 * logs[2], -0.5 * logs[3], -0.5 * logs[1], -0.5 * logs[4], -0.5 * logs[5],
                -0.5 * logs[6], -0.5 * logs[7], -0.5 * (logs[4] + logs[8] - logs[9]),
                s[0] * half, s[1] * half, s[2] * half, s[3] * half, s[4] * half, s[5] * half, s[6] * half,
            )  # fmt: skip
            _store(values, j, v)
        for k in range(index.shape[0]):
            for j in range(row + 1, units):
                out[k, row, j] = values[index[k], j]


@njit(**_JIT)
def mirror(out, swapped, start, stop):  # type: ignore[no-untyped-def]
    """Fill rows ``start:stop`` left of the diagonal from above it: atom k of (i, j) is atom swapped[k] of (j, i).

    Tiles keep both sides in cache.
    """
    for k in range(out.shape[0]):
        source, target = out[swapped[k]], out[k]
        for j0 in range(0, stop, 64):
            for i in range(start, stop):
                for j in range(j0, min(j0 + 64, i)):
                    target[i, j] = source[j, i]

"""What a file of few bits makes of normal numbers: stored in blocks, they are no longer normal."""

from functools import cache

import gguf
import numpy as np
from numpy.typing import NDArray

FINE = frozenset({"F16", "BF16", "F32", "F64"})
"""Formats of sixteen bits and more, whose rounding is far below the grids' steps."""
_COUNT = 1 << 21
_ROW = 1 << 12


@cache
def rounded_normal(dtype: str) -> NDArray[np.float32] | None:
    """Standard normal numbers as a format gives them back; blocks scale with what they hold, so any deviation follows.

    Parameters
    ----------
    dtype
        Name of the format, as files say it: ``Q4_0``.

    Returns
    -------
    (number,) or None
        Two million numbers, the same ones at every call; None for sixteen bits and more, and for formats that cannot
        be written here (`can_write`).

    Examples
    --------
    >>> rounded_normal("F16") is None, len(set(rounded_normal("Q4_0")[:32].tolist())) <= 16
    (True, True)
    """
    if not can_write(dtype) or dtype in FINE:
        return None
    kind = gguf.GGMLQuantizationType[dtype]
    values = np.random.default_rng(0).standard_normal((_COUNT // _ROW, _ROW), np.float32)
    found = np.asarray(gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind), np.float32).reshape(-1)
    found.setflags(write=False)
    return found


@cache
def can_write(dtype: str) -> bool:
    """Whether numbers can be put into a format here; of the k-quants they can only be read."""
    if dtype in FINE:
        return True
    try:
        gguf.quants.quantize(np.ones((1, 256), np.float32), gguf.GGMLQuantizationType[dtype])
    except (NotImplementedError, KeyError):
        return False
    return True

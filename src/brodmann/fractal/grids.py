"""Which distances are told apart: the released code's whole numbers up to a cut, or a scale-free geometric grid.

An edge of weight w has the distance 1/|w| (`whole`), or rms/|w| with the root mean square of its matrix (`geometric`).
Both become a small *code*: 0 for an edge too short to count, 1 to `count` for the radius at which it is first inside,
`count` + 1 for one beyond the last radius. Codes never rise with |w|, so the codes of all weights of a number type
follow from one rising list of magnitudes, found by bisection over bit patterns: reading a weight is a table look-up,
and equals 1/|w| in double precision, rounded half to even, for every weight there is.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from brodmann.errors import SettingsError

Kind = Literal["whole", "geometric"]
Storage = Literal["float16", "bfloat16", "float32", "float64"]

R_MAX = 150
"""Largest distance of the released code; a weight below 1/150 is no edge."""
MOST = 60_000
CELL_BITS = 15
"""Bits of a float32 magnitude below those that pick its cell."""


@dataclass(frozen=True)
class Grid:
    """Radii at which mass is counted.

    Examples
    --------
    >>> import numpy as np
    >>> whole().codes(np.array([0.5, 2.0, 2.5, 151.5, np.inf]))
    array([  0,   2,   2, 151, 151], dtype=uint16)
    """

    kind: Kind
    count: int
    """Number of radii."""
    low: float
    """`whole`: edges must be longer than this. `geometric`: the first radius."""
    high: float
    """The last radius."""

    @property
    def radii(self) -> Float[NDArray[np.float64], " radius"]:
        """Radii, in the order of the codes from 1."""
        if self.kind == "whole":
            return np.arange(1.0, self.count + 1)
        return np.geomspace(self.low, self.high, self.count)

    @property
    def beyond(self) -> int:
        """Code of edges longer than the last radius."""
        return self.count + 1

    @property
    def bad(self) -> int:
        """Code of weights that are no finite numbers."""
        return self.count + 2

    def codes(self, distance: NDArray[np.float64]) -> NDArray[np.uint16]:
        """Codes of distances; infinite ones are beyond, NaN is bad."""
        found = np.full(np.shape(distance), self.beyond, dtype=np.uint16)
        inside = distance <= self.high
        if self.kind == "whole":
            found[inside] = np.rint(distance[inside])
            found[distance <= self.low] = 0
        else:
            found[inside] = np.searchsorted(self.radii, distance[inside], side="left") + 1
        found[np.isnan(distance)] = self.bad
        return found


def whole(r_max: int = R_MAX) -> Grid:
    """Distances of the released code: 1 < d <= r_max, rounded to whole numbers, half to even."""
    if not 5 <= r_max <= MOST:
        raise SettingsError(f"r_max = {r_max}: choose a whole number from 5 to {MOST}")
    return Grid("whole", int(r_max), 1.0, float(r_max))


def geometric(count: int = 40, low: float = 1 / 3, high: float = 4.0) -> Grid:
    """Distances in units of each matrix's root mean square, on a geometric grid; no edge is too short."""
    if not 5 <= count <= MOST or not 0 < low < high < np.inf:
        raise SettingsError(f"{count} radii from {low} to {high}: choose at least 5, from above 0 to something larger")
    return Grid("geometric", count, low, high)


@dataclass(frozen=True, eq=False)
class Table:
    """Codes of all magnitudes of a number type."""

    below: NDArray[np.uint32]
    """below[c]: smallest magnitude, as bits, whose code is less than c (float32 only)."""
    steps: int
    """Most bounds that lie in one cell."""
    cells: NDArray[np.uint16]
    """Code of the smallest magnitude of each cell; for 16-bit numbers a cell is one magnitude."""
    scale: float
    """Distance of a weight of 1."""


def table(grid: Grid, storage: Storage, scale: float) -> Table:
    """Codes of |w| with distance scale/|w|."""
    return _table(grid, storage, float(scale))


@lru_cache(maxsize=8)
def _table(grid: Grid, storage: Storage, scale: float) -> Table:
    if storage in ("float16", "bfloat16"):
        bits = np.arange(1 << 15, dtype=np.uint16)
        return Table(np.empty(0, np.uint32), 0, _codes_of(grid, widen(bits, storage), scale), scale)
    if storage == "float64":  # codes are computed one by one
        return Table(np.empty(0, np.uint32), 0, np.empty(0, np.uint16), scale)
    never = np.uint32(0xFFFFFFFF)  # codes of 0 and of what is no number stay as they are
    bounds = _bounds(grid, scale)
    starts = np.arange(1 << (31 - CELL_BITS), dtype=np.uint32) << np.uint32(CELL_BITS)
    codes = _codes_of(grid, starts.view(np.float32), scale)
    steps = int(np.unique(bounds >> np.uint32(CELL_BITS), return_counts=True)[1].max())
    return Table(np.concatenate([[never], bounds, [never]]).astype(np.uint32), steps, codes, scale)


def widen(bits: NDArray[np.uint16], storage: Storage) -> NDArray[np.float32]:
    """Numbers that 16-bit patterns stand for."""
    if storage == "float16":
        with np.errstate(invalid="ignore"):
            return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _codes_of(grid: Grid, magnitude: NDArray[np.float32], scale: float) -> NDArray[np.uint16]:
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        codes = grid.codes(scale / magnitude.astype(np.float64))
    codes[~np.isfinite(magnitude)] = grid.bad
    return codes


def _bounds(grid: Grid, scale: float) -> NDArray[np.uint32]:
    """Smallest magnitude with code <= c, for c from 0 to `count`, by bisection over the bits of finite numbers."""
    wanted = np.arange(grid.beyond)
    infinite = 0x7F800000
    low, high = np.full(len(wanted), -1, np.int64), np.full(len(wanted), infinite, np.int64)
    while np.any(high - low > 1):
        middle = (low + high) // 2
        inside = _codes_of(grid, middle.astype(np.uint32).view(np.float32), scale) <= wanted
        high, low = np.where(inside, middle, high), np.where(inside, low, middle)
    return high.astype(np.uint32)

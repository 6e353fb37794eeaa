"""The sixteen atoms of a pair, as linear combinations of informations and redundancies.

Source: Mediano et al. 2021 (arXiv 2109.13186), the 2 x 2 lattice of integrated information decomposition, inverted in
closed form. Nothing here knows how information is estimated; see `gaussian` and `binary`.
"""

from typing import Any

ATOMS = (
    "rtr", "rtx", "rty", "rts", "xtr", "xtx", "xty", "xts", "ytr", "ytx", "yty", "yts", "str", "stx", "sty", "sts",
)  # fmt: skip
"""Names: what the past carries, ``t`` (to), what the future carries; r redundant, x and y unique, s synergistic."""

SWAPPED = tuple(ATOMS.index(name.translate(str.maketrans("xy", "yx"))) for name in ATOMS)
"""Position of the atom that each atom becomes when the two units change places."""

REVERSED = tuple(ATOMS.index(name[::-1]) for name in ATOMS)
"""Position of the atom that each atom becomes when time runs backwards."""


def atoms(
    i_xa: Any, i_xb: Any, i_ya: Any, i_yb: Any, i_xy_a: Any, i_xy_b: Any, i_x_ab: Any, i_y_ab: Any, i_xy_ab: Any,
    r_a: Any, r_b: Any, r_ab: Any, q_x: Any, q_y: Any, q_xy: Any, d: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """Invert the lattice: nine informations, six single-target redundancies, one double redundancy -> 16 atoms.

    Arguments are numbers or arrays of one shape, in one unit of information; pointwise values give pointwise atoms.
    The function is arithmetic only, so that the torch path and the compiled path share it.

    Parameters
    ----------
    i_xa, i_xb, i_ya, i_yb, i_xy_a, i_xy_b, i_x_ab, i_y_ab, i_xy_ab
        Mutual information between past (x, y, both) and future (a, b, both).
    r_a, r_b, r_ab
        Redundancy of x and y about a, b, and both.
    q_x, q_y, q_xy
        Redundancy of a and b about x, y, and both (time reversed).
    d
        Double redundancy, the atom ``rtr``.

    Returns
    -------
    tuple
        The atoms in the order of `ATOMS`. Their sum is ``i_xy_ab``.

    Examples
    --------
    >>> values = atoms(0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)
    >>> dict(zip(ATOMS, values))["sts"]
    1
    """
    return (
        d,
        r_a - d,
        r_b - d,
        r_ab - r_a - r_b + d,
        q_x - d,
        i_xa - r_a - q_x + d,
        i_xb - r_b - q_x + d,
        i_x_ab - r_ab - i_xa - i_xb + r_a + r_b + q_x - d,
        q_y - d,
        i_ya - r_a - q_y + d,
        i_yb - r_b - q_y + d,
        i_y_ab - r_ab - i_ya - i_yb + r_a + r_b + q_y - d,
        q_xy - q_x - q_y + d,
        i_xy_a - i_xa - i_ya + r_a - q_xy + q_x + q_y - d,
        i_xy_b - i_xb - i_yb + r_b - q_xy + q_x + q_y - d,
        i_xy_ab - i_x_ab - i_y_ab - i_xy_a - i_xy_b + i_xa + i_xb + i_ya + i_yb
        + r_ab + q_xy - r_a - r_b - q_x - q_y + d,
    )  # fmt: skip

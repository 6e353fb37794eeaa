"""Gaussian informations of a pair from six correlations, averaged or sample by sample.

Past x, y and future a, b. Everything is written with conditional variances and residuals (Schur complements), never
with determinants as polynomials: those lose all digits when the two units nearly copy each other. Redundancy:
minimum mutual information (MMI; Barrett 2015) and common change in surprisal (CCS; Ince 2017). The functions are
elementwise over pairs and run wherever their tensors are.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

FLOOR = 1e-12
"""Smallest (conditional) variance of a standardised variable. Below it a pair counts as near-singular; the floor makes
the informations of two identical units equal those of one."""


@dataclass(frozen=True)
class Informations:
    """The nine mutual informations of each pair, in nats; fields are tensors of one shape."""

    xa: Tensor
    xb: Tensor
    ya: Tensor
    yb: Tensor
    xy_a: Tensor
    xy_b: Tensor
    x_ab: Tensor
    y_ab: Tensor
    xy_ab: Tensor

    def astuple(self) -> tuple[Tensor, ...]:
        """Fields in the order of `lattice.atoms`."""
        return (self.xa, self.xb, self.ya, self.yb, self.xy_a, self.xy_b, self.x_ab, self.y_ab, self.xy_ab)


@dataclass(frozen=True)
class Conditionals:
    """Regression coefficients and conditional variances of each pair, from its six correlations."""

    r_xy: Tensor
    r_ab: Tensor
    r_xa: Tensor
    r_yb: Tensor
    r_xb: Tensor
    r_ya: Tensor
    v_xa: Tensor
    v_yb: Tensor
    v_xb: Tensor
    v_ya: Tensor
    v_xy: Tensor
    v_ab: Tensor
    v_a: Tensor
    v_b: Tensor
    v_x: Tensor
    v_y: Tensor
    k_a: Tensor
    k_b: Tensor
    k_x: Tensor
    k_y: Tensor
    k_ba: Tensor
    v_ba: Tensor
    near_singular: Tensor


def conditionals(r_xy: Tensor, r_ab: Tensor, r_xa: Tensor, r_yb: Tensor, r_xb: Tensor, r_ya: Tensor) -> Conditionals:
    """Conditional variances and regression coefficients of pairs; tensors that broadcast to one shape."""
    v_xy, v_ab = _one_minus_square(r_xy), _one_minus_square(r_ab)
    v_xa, v_yb, v_xb, v_ya = (_one_minus_square(r) for r in (r_xa, r_yb, r_xb, r_ya))
    small = (v_xy < FLOOR) | (v_ab < FLOOR) | (v_xa < FLOOR) | (v_yb < FLOOR) | (v_xb < FLOOR) | (v_ya < FLOOR)
    v_xy, v_ab, v_xa, v_yb, v_xb, v_ya = (v.clamp(min=FLOOR) for v in (v_xy, v_ab, v_xa, v_yb, v_xb, v_ya))
    c_ya, c_yb = r_ya - r_xy * r_xa, r_yb - r_xy * r_xb  # covariances left after regression on x
    c_xb, c_yb_a = r_xb - r_ab * r_xa, r_yb - r_ab * r_ya  # ... and on a
    k_a, k_b, k_x, k_y = c_ya / v_xy, c_yb / v_xy, c_xb / v_ab, c_yb_a / v_ab
    v_a, v_b = v_xa - c_ya * k_a, v_xb - c_yb * k_b
    v_x, v_y = v_xa - c_xb * k_x, v_ya - c_yb_a * k_y
    small = small | (v_a < FLOOR) | (v_b < FLOOR) | (v_x < FLOOR) | (v_y < FLOOR)
    v_a, v_b, v_x, v_y = (v.clamp(min=FLOOR) for v in (v_a, v_b, v_x, v_y))
    c_ba = (r_ab - r_xa * r_xb) - c_ya * k_b
    k_ba = c_ba / v_a
    v_ba = v_b - c_ba * k_ba
    small = small | (v_ba < FLOOR)
    return Conditionals(
        r_xy, r_ab, r_xa, r_yb, r_xb, r_ya, v_xa, v_yb, v_xb, v_ya, v_xy, v_ab, v_a, v_b, v_x, v_y,
        k_a, k_b, k_x, k_y, k_ba, v_ba.clamp(min=FLOOR), small,
    )  # fmt: skip


def _one_minus_square(r: Tensor) -> Tensor:
    return (1 - r) * (1 + r)


def mean_informations(c: Conditionals) -> Informations:
    """Mutual informations of Gaussian variables; with sample correlations, exactly the mean of the local values."""
    return Informations(
        xa=-0.5 * torch.log(c.v_xa),
        xb=-0.5 * torch.log(c.v_xb),
        ya=-0.5 * torch.log(c.v_ya),
        yb=-0.5 * torch.log(c.v_yb),
        xy_a=-0.5 * torch.log(c.v_a),
        xy_b=-0.5 * torch.log(c.v_b),
        x_ab=-0.5 * torch.log(c.v_x),
        y_ab=-0.5 * torch.log(c.v_y),
        xy_ab=-0.5 * (torch.log(c.v_a) + torch.log(c.v_ba / c.v_ab)),
    )


def local_informations(
    c: Conditionals,
    x: Float[Tensor, "*#pair sample"],
    y: Float[Tensor, "*#pair sample"],
    a: Float[Tensor, "*#pair sample"],
    b: Float[Tensor, "*#pair sample"],
) -> Informations:
    """Informations of each sample: ``log p(future | past) / p(future)``.

    Parameters
    ----------
    c
        Conditionals of shape (*pair,).
    x, y, a, b
        Centred samples divided by their standard deviation with ``ddof=1`` (as the reference implementation does).
    """
    e = Conditionals(**{name: value.unsqueeze(-1) for name, value in vars(c).items()})

    def local(variance: Tensor, residual: Tensor, target: Tensor) -> Tensor:
        return 0.5 * (target.square() - residual.square() / variance - torch.log(variance))

    u, w = y - e.r_xy * x, b - e.r_ab * a
    residual_a, residual_b = (a - e.r_xa * x) - e.k_a * u, (b - e.r_xb * x) - e.k_b * u
    residual_x, residual_y = (x - e.r_xa * a) - e.k_x * w, (y - e.r_ya * a) - e.k_y * w
    xy_a = local(e.v_a, residual_a, a)
    b_given_a = 0.5 * (w.square() / e.v_ab + torch.log(e.v_ab))
    b_given_axy = 0.5 * ((residual_b - e.k_ba * residual_a).square() / e.v_ba + torch.log(e.v_ba))
    return Informations(
        xa=local(e.v_xa, a - e.r_xa * x, a),
        xb=local(e.v_xb, b - e.r_xb * x, b),
        ya=local(e.v_ya, a - e.r_ya * y, a),
        yb=local(e.v_yb, b - e.r_yb * y, b),
        xy_a=xy_a,
        xy_b=local(e.v_b, residual_b, b),
        x_ab=local(e.v_x, residual_x, x),
        y_ab=local(e.v_y, residual_y, y),
        xy_ab=xy_a + b_given_a - b_given_axy,
    )


def mmi_redundancies(i: Informations, *, local: Informations | None = None) -> tuple[Tensor, ...]:
    """Minimum mutual information: r_a, r_b, r_ab, q_x, q_y, q_xy and the double redundancy, from mean informations.

    With ``local`` the sample values of whichever information is smaller on average are given.
    """

    def smaller(first: str, second: str) -> Tensor:
        one, other = getattr(i, first), getattr(i, second)
        if local is None:
            return torch.minimum(one, other)
        return torch.where((one <= other).unsqueeze(-1), getattr(local, first), getattr(local, second))

    single = smaller("xa", "ya"), smaller("xb", "yb"), smaller("x_ab", "y_ab")
    backward = smaller("xa", "xb"), smaller("ya", "yb"), smaller("xy_a", "xy_b")
    means = _stack(i.xa, i.xb, i.ya, i.yb)
    if local is None:
        return (*single, *backward, means.amin(0))
    series = _stack(local.xa, local.xb, local.ya, local.yb)
    index = means.argmin(0)[None, ..., None].expand(1, *series.shape[1:])
    return (*single, *backward, series.gather(0, index)[0])


def _stack(*values: Tensor) -> Tensor:
    shape = np.broadcast_shapes(*(tuple(value.shape) for value in values))
    return torch.stack([value.expand(shape) for value in values])


def ccs_redundancies(i: Informations, *, tolerance: float = 0.0) -> tuple[Tensor, ...]:
    """Common change in surprisal of each sample: r_a, r_b, r_ab, q_x, q_y, q_xy and the double redundancy.

    Values within ``tolerance`` of zero have no sign (needed for discrete variables, whose local informations are often
    exactly zero up to rounding).
    """

    def sign(value: Tensor) -> Tensor:
        return (value > tolerance).to(torch.int8) - (value < -tolerance).to(torch.int8)

    def common(first: Tensor, second: Tensor, joint: Tensor) -> Tensor:
        change = first + second - joint
        s = sign(change)
        return torch.where((sign(first) == s) & (sign(second) == s) & (sign(joint) == s), change, 0.0)

    r_a, r_b, r_ab = common(i.xa, i.ya, i.xy_a), common(i.xb, i.yb, i.xy_b), common(i.x_ab, i.y_ab, i.xy_ab)
    q_x, q_y, q_xy = common(i.xa, i.xb, i.x_ab), common(i.ya, i.yb, i.y_ab), common(i.xy_a, i.xy_b, i.xy_ab)
    change = (
        -i.xa - i.xb - i.ya - i.yb + i.x_ab + i.y_ab + i.xy_a + i.xy_b - i.xy_ab + r_a + r_b - r_ab + q_x + q_y - q_xy
    )
    s = sign(change)
    same = (sign(i.xa) == s) & (sign(i.xb) == s) & (sign(i.ya) == s) & (sign(i.yb) == s)
    return r_a, r_b, r_ab, q_x, q_y, q_xy, torch.where(same, change, 0.0)

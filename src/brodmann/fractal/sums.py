"""Sums of powers over neurons: ln Z_q(r) and the weighted mean of ln mu, for all q and r in one pass.

The floor is neurons x radii x orders multiply-adds. The compiled kernel steps along an even grid of q by multiplying
(mu^(q + dq) = mu^q mu^dq), so it takes two exponentials per neuron and radius instead of one per order as well; the
plain form, log-sum-exp, is used for uneven grids and for masses so small that a power would overflow.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from brodmann.fractal import fused

Array = NDArray[np.float64]

_SAFE = 600.0
_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class PowerSums:
    """Sums over neurons of powers of their masses; of several groups of neurons they can be joined."""

    log_z: Float[Array, "q radius"]
    """ln sum_i mu_i(r)^q"""
    mean: Float[Array, "q radius"]
    """sum_i p_i ln mu_i with p_i = mu_i^q / Z_q"""

    def join(self, other: "PowerSums") -> "PowerSums":
        """Sums over both groups."""
        log_z = np.logaddexp(self.log_z, other.log_z)
        share = np.exp(self.log_z - log_z)
        return PowerSums(log_z, share * self.mean + (1 - share) * other.mean)


def power_sums(log_mu: Float[Array, "neuron radius"], q: Float[Array, " q"]) -> PowerSums:
    """Sums over neurons for every order.

    Parameters
    ----------
    log_mu : (neuron, radius)
        ln mu_i(r), at most 0.
    q : (q,)
        Orders.
    """
    steps = np.diff(q)
    even = len(q) > 1 and np.ptp(steps) < 1e-9 * abs(steps[0])
    if not even or np.abs(q).max() * np.abs(log_mu).max() > _SAFE:
        return plain_sums(log_mu, q)
    rows = np.ascontiguousarray(log_mu)
    z, a = np.zeros((len(q), rows.shape[1])), np.zeros((len(q), rows.shape[1]))
    fused.power_sums(rows, float(q[0]), float(steps.mean()), z, a)
    return PowerSums(np.log(z), a / z)


def plain_sums(log_mu: Float[Array, "neuron radius"], q: Float[Array, " q"]) -> PowerSums:
    """The same by log-sum-exp, order by order: slower, for any q and any masses."""
    log_z, mean = np.empty((len(q), log_mu.shape[1])), np.empty((len(q), log_mu.shape[1]))
    for at, order in enumerate(q):
        top, total, weighted = np.full(log_mu.shape[1], -np.inf), 0.0, 0.0
        for start in range(0, len(log_mu), _BLOCK):
            rows = log_mu[start : start + _BLOCK]
            new = np.maximum(top, (order * rows).max(axis=0))
            shrink, powers = np.exp(top - new), np.exp(order * rows - new)
            total = total * shrink + powers.sum(axis=0)
            weighted = weighted * shrink + (powers * rows).sum(axis=0)
            top = new
        log_z[at], mean[at] = top + np.log(total), weighted / total
    return PowerSums(log_z, mean)

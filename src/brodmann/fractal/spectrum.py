"""How does the mass around a neuron grow with distance? Partition function, mass exponent and spectrum over neurons.

Xiao et al. (ICLR 2025, arXiv 2402.09099), node-sum convention of the released code: Z_q(r) = sum_i mu_i(r)^q with
mu_i(r) = N_i(r) / N_i(d), tau(q) the slope of ln Z_q on ln(r / d) (their Eq. 6), f = q alpha - tau (Eq. 9). Where the
code differentiates tau by finite differences, alpha(q) is exact here; `Discretised` keeps the code's numbers.
It builds no network: the masses come from `one_hop` or `paths`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import logsumexp

from brodmann.errors import WeightsError
from brodmann.fractal.sums import power_sums

Array = NDArray[np.float64]

Q_GRID: Array = np.round(np.arange(-30, 31) / 10, 1)
"""Orders of the released code: -3 to 3 in steps of 0.1."""
MIN_NEURONS, MIN_RADII = 20, 5
"""Below either number no spectrum is given: a slope over two radii fits anything."""
_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Discretised:
    """The released code's finite differences (step of `q` forward, f with the left q)."""

    alpha: Float[Array, " interval"]
    f: Float[Array, " interval"]
    alpha0: tuple[float, float]
    """alpha in the interval that ends at q = 0 and in the one that begins there. f touches 0 in both, and which of
    them the code takes for its maximum is decided by rounding."""
    width: float
    """Largest minus smallest alpha."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Multifractal spectrum of a network's neurons."""

    q: Float[Array, " q"]
    tau: Float[Array, " q"]
    """Mass exponent."""
    alpha: Float[Array, " q"]
    """Lipschitz-Hoelder exponent, the exact derivative of tau."""
    f: Float[Array, " q"]
    """Spectrum f(alpha); at most 0, and 0 at q = 0."""
    r_squared: Float[Array, " q"]
    """Share of variance that the regression behind tau(q) explains; NaN at q = 0, where ln Z is constant."""
    alpha0: float
    """alpha(0), which is the mean of `slopes`: the irregularity metric."""
    width: float
    """Largest minus smallest alpha over q: the heterogeneity metric. Ends of q, unless a flag says otherwise."""
    asymmetry: float
    """ln of the spectrum's part above alpha0 over the part below; NaN where either is not positive."""
    slopes: Float[Array, " neuron"]
    """Slope of ln N_i on ln r over the common radii: each neuron's own dimension."""
    slope_r_squared: Float[Array, " neuron"]
    radii: Float[Array, " radius"]
    discretised: Discretised | None
    """None where q is not an even grid through 0."""
    flags: tuple[str, ...] = field(default=())
    """What speaks against reading the curve as a spectrum."""


def multifractal_spectrum(
    mass: NDArray[np.number],
    radii: NDArray[np.number],
    q: NDArray[np.number] = Q_GRID,
    *,
    window: tuple[float, float] | None = None,
    min_neurons: int = MIN_NEURONS,
    min_radii: int = MIN_RADII,
) -> Spectrum:
    """Spectrum of masses that were counted around neurons.

    Parameters
    ----------
    mass : (neuron, radius)
        How much lies within each radius of each neuron, positive and not falling with the radius.
    radii : (radius,)
        Common radii, positive and rising.
    q : (q,)
        Orders, rising; the exponent alpha0 belongs to q = 0, whether or not it is among them.
    window
        Lowest and highest radius of the regressions; all where none is given. Masses are still divided by the last.
    min_neurons, min_radii
        Fewer are refused.

    Raises
    ------
    WeightsError
        If there are too few neurons or radii, or masses that are not positive and finite or that fall.

    Examples
    --------
    A line, N proportional to r, has one dimension:

    >>> import numpy as np
    >>> r = np.arange(1.0, 11.0)
    >>> found = multifractal_spectrum(np.tile(3 * r, (20, 1)), r)
    >>> round(found.alpha0, 12), abs(round(found.width, 12))
    (1.0, 0.0)
    """
    counted, places, orders = (np.asarray(each, dtype=np.float64) for each in (mass, radii, q))
    inside = np.ones(len(places), bool) if window is None else (places >= window[0]) & (places <= window[1])
    _refuse(counted, places, orders)
    if len(places[inside]) < max(min_radii, 2):
        raise WeightsError(f"{len(places[inside])} different radii: a slope needs at least {min_radii}")
    if len(counted) < min_neurons:
        raise WeightsError(f"{len(counted)} neurons have enough edges: a spectrum needs at least {min_neurons}")
    log_mu = np.log(counted / counted[:, -1:])
    return from_log_mass(log_mu[:, inside], places[inside], orders)


def from_log_mass(
    log_mu: Float[Array, "neuron radius"], radii: Float[Array, " radius"], q: Float[Array, " q"] = Q_GRID
) -> Spectrum:
    """Spectrum from ln mu_i(r), at most 0; nothing is checked."""
    sums = power_sums(log_mu, q)
    slopes, explained = neuron_slopes(log_mu, radii)
    return assemble(sums.log_z, sums.mean, slopes, explained, radii, q)


def neuron_slopes(
    log_mu: Float[Array, "neuron radius"], radii: Float[Array, " radius"]
) -> tuple[Float[Array, " neuron"], Float[Array, " neuron"]]:
    """Least-squares slope of each neuron's ln mu on ln r, and its R squared (1 for a neuron that never grows)."""
    x = centred(radii)
    slopes = log_mu @ x / (x @ x)
    total = np.square(log_mu).sum(axis=1) - np.square(log_mu.sum(axis=1)) / len(x)
    explained = np.divide(slopes**2 * (x @ x), total, out=np.ones_like(slopes), where=total > 0)
    return slopes, np.clip(explained, 0.0, 1.0)


def centred(radii: Float[Array, " radius"]) -> Float[Array, " radius"]:
    """ln(r / d) minus its mean."""
    x = np.log(radii / radii[-1])
    return np.asarray(x - x.mean())


def assemble(
    log_z: Float[Array, "q radius"],
    mean: Float[Array, "q radius"],
    slopes: Float[Array, " neuron"],
    explained: Float[Array, " neuron"],
    radii: Float[Array, " radius"],
    q: Float[Array, " q"],
) -> Spectrum:
    """Spectrum from the sums over neurons (`brodmann.fractal.sums.PowerSums`) and their slopes."""
    x = centred(radii)
    tau, alpha = log_z @ x / (x @ x), mean @ x / (x @ x)
    f = q * alpha - tau
    alpha0 = float(slopes.mean())
    above, below = float(alpha[0] - alpha0), float(alpha0 - alpha[-1])
    return Spectrum(
        q=q, tau=tau, alpha=alpha, f=f, r_squared=_explained(log_z, tau, x), alpha0=alpha0,
        width=float(np.ptp(alpha)),
        asymmetry=float(np.log(above / below)) if above > _TOLERANCE and below > _TOLERANCE else float("nan"),
        slopes=slopes, slope_r_squared=explained, radii=radii, discretised=discretise(tau, q), flags=_flags(alpha, f),
    )  # fmt: skip


def _explained(log_z: Array, tau: Array, x: Array) -> Array:
    total = np.square(log_z - log_z.mean(axis=1, keepdims=True)).sum(axis=1)
    told = tau**2 * (x @ x)
    return np.asarray(np.divide(told, total, out=np.full_like(tau, np.nan), where=total > _TOLERANCE))


def _flags(alpha: Array, f: Array) -> tuple[str, ...]:
    """The released code's filters as flags: f above 0 (mode 1), alpha not falling with q (as mode 2)."""
    found = []
    if f.max() > _TOLERANCE:
        found.append(f"f rises above 0, to {f.max():.2g}: the regression describes no spectrum")
    if np.diff(alpha).max(initial=-np.inf) > _TOLERANCE:
        found.append("alpha does not fall with q everywhere: tau is not concave")
    return tuple(found)


def discretise(tau: Float[Array, " q"], q: Float[Array, " q"]) -> Discretised | None:
    """Finite differences as the released code takes them; None where q is not an even grid through 0."""
    steps = np.diff(q)
    zero = np.flatnonzero(np.abs(q) < _TOLERANCE)
    if len(q) < 3 or np.ptp(steps) > _TOLERANCE or len(zero) != 1 or zero[0] in (0, len(q) - 1):
        return None
    alpha = np.diff(tau) / steps[0]
    f = q[:-1] * alpha - tau[:-1]
    at = int(zero[0])
    return Discretised(alpha, f, (float(alpha[at - 1]), float(alpha[at])), float(alpha.max() - alpha.min()))


def box_exponent(probabilities: Sequence[float], ratio: float | int, q: Array | Sequence[float]) -> Float[Array, " q"]:
    """Mass exponent of a cascade in the node-sum convention: tau(q) = -ln(sum_c p_c^(q+1)) / ln(ratio).

    The textbook's boxes give the same curve at q + 1 (tau_node(q) = tau_box(q + 1)), so alpha0 is the information
    dimension.

    Examples
    --------
    >>> round(float(box_exponent([0.5, 0.5], 3, [1.0])[0]), 6)
    0.63093
    """
    orders = np.atleast_1d(np.asarray(q, dtype=np.float64))
    logs = np.log(np.asarray([each for each in probabilities if each > 0]))
    return np.asarray(-logsumexp(np.outer(orders + 1, logs), axis=1) / np.log(ratio))


def _refuse(mass: Array, radii: Array, q: Array) -> None:
    if mass.ndim != 2 or mass.shape[1] != len(radii):
        raise WeightsError(f"masses of shape {mass.shape} do not fit {len(radii)} radii")
    if q.ndim != 1 or len(q) < 2 or np.any(np.diff(q) <= 0):
        raise WeightsError("the orders q must be at least two rising numbers")
    if np.any(~np.isfinite(radii)) or np.any(radii <= 0) or np.any(np.diff(radii) <= 0):
        raise WeightsError("radii must be positive and rising")
    if not np.all(np.isfinite(mass)) or np.any(mass <= 0):
        raise WeightsError("masses must be positive and finite")
    if np.any(np.diff(mass, axis=1) < 0):
        raise WeightsError("masses must not fall with the radius")

"""Plain quantities that a degree of emergence must be compared with: heavy tails, and how many directions matter.

`stable_rank` is how many directions share a matrix's size (Rudelson and Vershynin 2007). `hill_exponent` is the
quantity that WeightWatcher (Martin and Mahoney) is known for, the power-law exponent of the eigenvalues of W^T W; here
by Hill's estimator (1975) on the largest eigenvalues, with the number of them that minimises the Kolmogorov-Smirnov
distance (Clauset, Shalizi and Newman 2009).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LEAST = 10
"""Fewest eigenvalues in a tail."""


@dataclass(frozen=True)
class Tail:
    """Power law of the largest values: density proportional to x^-exponent above `start`."""

    exponent: float
    start: float
    count: int
    """Values in the tail."""
    distance: float
    """Largest difference of the two distribution functions."""


def eigenvalues(weights: NDArray[np.floating]) -> Float[Array, " value"]:
    """Eigenvalues of W^T W (or W W^T, whichever is smaller), in rising order."""
    wide = np.asarray(weights, dtype=np.float32)
    gram = wide @ wide.T if wide.shape[0] <= wide.shape[1] else wide.T @ wide
    return np.clip(np.linalg.eigvalsh(gram.astype(np.float64)), 0.0, None)


def stable_rank(values: Float[Array, " value"]) -> float:
    """Sum of the eigenvalues of W^T W over the largest: the squared Frobenius norm over the squared spectral norm.

    Examples
    --------
    >>> import numpy as np
    >>> stable_rank(np.array([1.0, 1.0, 2.0])), stable_rank(np.array([0.0, 4.0]))
    (2.0, 1.0)
    """
    return float(values.sum() / values.max())


def hill_exponent(values: Float[Array, " value"]) -> Tail:
    """Exponent of the tail of positive values.

    Examples
    --------
    Values with density x^-3 above 1:

    >>> import numpy as np
    >>> u = (np.arange(2000) + 0.5) / 2000
    >>> round(hill_exponent((1 - u) ** -0.5).exponent, 1)
    3.0
    """
    ordered = np.sort(values[values > 0])[::-1]
    if len(ordered) < 2 * _LEAST:
        return Tail(float("nan"), float("nan"), len(ordered), float("nan"))
    logs = np.log(ordered)
    counts = np.arange(_LEAST, len(ordered))
    # Hill: mean of ln(x_i / x_k) over the k values above the k-th
    means = np.cumsum(logs)[counts - 1] / counts - logs[counts]
    exponents = 1 + 1 / np.maximum(means, 1e-12)
    distances = np.array([_distance(logs[:k], logs[k], a) for k, a in zip(counts, exponents, strict=True)])
    best = int(np.argmin(distances))
    k = int(counts[best])
    return Tail(float(exponents[best]), float(ordered[k]), k, float(distances[best]))


def _distance(logs: Array, start: float, exponent: float) -> float:
    """Kolmogorov-Smirnov distance of a tail (falling) from its power law."""
    model = np.exp(-(exponent - 1) * (logs - start))  # share of the tail above each value
    ranks = np.arange(1, len(logs) + 1) / len(logs)
    return float(max(np.abs(model - ranks).max(), np.abs(model - ranks + 1 / len(logs)).max()))

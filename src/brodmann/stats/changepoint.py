"""Cut a layer profile into zones.

Least-squares piecewise-constant segmentation by exact dynamic programming (Fisher 1958; Bellman 1961), with a
permutation p for the split: how often do exchanged layers split as well? It does not choose the number of zones, and a
smooth trend beats exchanged layers as surely as a step does, so p rejects "no order over layers", not "no step".
"""

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from brodmann.stats.permutation import permutation_test


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Best cut of a profile.

    Attributes
    ----------
    labels : int array (layer,)
        Zone of each layer, from 0.
    boundaries : tuple of int
        First layer of each zone after the first.
    means : array (zone,)
        Zone means.
    explained : float
        Share of the profile's variance between zones, 0 to 1 (0 for a constant profile).
    p : float or None
        Share of exchanged profiles that split at least as well; None without the test.
    exact : bool
        Whether all orders of the layers were listed.
    """

    labels: Int[np.ndarray, " layer"]
    boundaries: tuple[int, ...]
    means: Float[np.ndarray, " zone"]
    explained: float
    p: float | None
    exact: bool


def segment(
    profile: Float[np.ndarray, " layer"],
    zones: int = 3,
    *,
    least: int = 1,
    rng: np.random.Generator | None = None,
    draws: int = 1000,
) -> Segmentation:
    """Cut a profile into contiguous zones of constant mean with the smallest squared error.

    Parameters
    ----------
    profile : array (layer,)
        Values in layer order.
    zones : int
        Number of zones.
    least : int
        Fewest layers of a zone.
    rng : Generator, optional
        Also test the split against `draws` random orders of the layers (all orders where there are no more).

    Raises
    ------
    ValueError
        If the profile is too short for the zones.

    Examples
    --------
    >>> import numpy as np
    >>> segment(np.array([0.0, 0.1, 0.9, 1.0, 0.9, 0.2])).boundaries
    (2, 5)
    """
    layers = profile.size
    if zones < 1 or least < 1 or layers < zones * least:
        raise ValueError(f"{layers} layers cannot hold {zones} zones of at least {least}")
    error, cuts = _best_cuts(profile[None], zones, least)
    edges = [0, *cuts[0].tolist(), layers]
    labels = np.repeat(np.arange(zones), np.diff(edges))
    means = np.array([profile[start:end].mean() for start, end in itertools.pairwise(edges)])
    p, exact = None, False
    if rng is not None:
        test = permutation_test(
            lambda orders: -_best_cuts(profile[orders], zones, least)[0], layers, rng=rng, draws=draws
        )
        p, exact = test.p, test.exact
    total = float(((profile - profile.mean()) ** 2).sum())
    explained = 1 - float(error[0]) / total if total > 0 else 0.0
    return Segmentation(labels, tuple(edges[1:-1]), means, explained, p, exact)


@dataclass(frozen=True, eq=False)
class Cuts:
    """Best cuts of many profiles: squared error (profile,) and first places of the later zones (profile, zone - 1)."""

    error: Float[np.ndarray, " profile"]
    boundaries: Int[np.ndarray, "profile cut"]


def cut_all(profiles: Float[np.ndarray, "profile layer"], zones: int, *, least: int = 1) -> Cuts:
    """Cut many profiles at once, as `segment` cuts one, without a test; for bootstraps.

    Examples
    --------
    >>> import numpy as np
    >>> cut_all(np.array([[0.0, 0.1, 0.9, 1.0], [5.0, 1.0, 1.1, 0.9]]), 2).boundaries.tolist()
    [[2], [1]]
    """
    if zones < 1 or least < 1 or profiles.shape[1] < zones * least:
        raise ValueError(f"{profiles.shape[1]} places cannot hold {zones} zones of at least {least}")
    return Cuts(*_best_cuts(profiles, zones, least))


def _best_cuts(profiles: np.ndarray, zones: int, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared error (profile,) and first layers of the later zones (profile, zones - 1), profiles (profile, layer)."""
    count, layers = profiles.shape
    # Centring keeps the difference of prefix sums from losing digits.
    centred = profiles - profiles.mean(axis=1, keepdims=True)
    first = np.concatenate([np.zeros((count, 1)), np.cumsum(centred, axis=1)], axis=1)
    second = np.concatenate([np.zeros((count, 1)), np.cumsum(centred**2, axis=1)], axis=1)

    def cost(starts: np.ndarray, end: int) -> np.ndarray:
        sums = first[:, end, None] - first[:, starts]
        return np.asarray(np.maximum(second[:, end, None] - second[:, starts] - sums**2 / (end - starts), 0.0))

    best = np.full((zones + 1, layers + 1, count), np.inf)
    came = np.zeros((zones + 1, layers + 1, count), dtype=int)
    best[0, 0] = 0.0
    for zone in range(1, zones + 1):
        for end in range(zone * least, layers + 1):
            starts = np.arange((zone - 1) * least, end - least + 1)
            total = best[zone - 1, starts].T + cost(starts, end)
            chosen = total.argmin(axis=1)
            best[zone, end] = np.take_along_axis(total, chosen[:, None], axis=1)[:, 0]
            came[zone, end] = starts[chosen]
    cuts = np.empty((count, zones - 1), dtype=int)
    last = np.full(count, layers)
    rows = np.arange(count)
    for zone in range(zones, 1, -1):
        last = came[zone, last, rows]
        cuts[:, zone - 2] = last
    return best[zones, layers], cuts

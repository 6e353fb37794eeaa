"""How densely units are active: above a fixed threshold of their own, and by measures without any threshold.

A head is never off, so its density is the share of steps on which it is louder than its own 75th percentile on neutral
text. Beside it, without a threshold: the level (activity over its neutral mean), Hoyer's (2004) sparsity and the
participation ratio of a group of units at each step. Activity is not energy, and nothing here measures energy.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from brodmann.stats import random_orders

MEASURES = ("density", "level", "hoyer", "participation")
GROUPS = ("core", "others")


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What each unit is measured against, from neutral text that is used for nothing else."""

    threshold: Float[np.ndarray, " unit"]
    mean: Float[np.ndarray, " unit"]


@dataclass(frozen=True, eq=False)
class Groups:
    """The core and its layer-matched others, as weights over units.

    Weights of the core are equal; those of the others are equal inside a layer and give each layer the weight that it
    has in the core. Layers that lie wholly inside or outside the core have no weight.
    """

    core: Float[np.ndarray, " unit"]
    others: Float[np.ndarray, " unit"]
    matched: tuple[int, ...]
    """Layers that hold units of both."""
    dropped: int
    """Units of the core in layers without others."""

    @property
    def weights(self) -> Float[np.ndarray, "group unit"]:
        """Both, in the order of `GROUPS`."""
        return np.stack([self.core, self.others])


def yardstick(activity: Float[np.ndarray, "prompt step unit"], quantile: float = 0.75) -> Yardstick:
    """Threshold and mean of each unit on neutral text; NaN steps do not count."""
    flat = activity.reshape(-1, activity.shape[-1])
    return Yardstick(np.nanquantile(flat, quantile, axis=0).astype(float), np.nanmean(flat, axis=0, dtype=float))


def layer_matched(core: Bool[np.ndarray, " unit"], layer: Int[np.ndarray, " unit"]) -> Groups:
    """Weights of the core and of others that are spread over the layers as the core is.

    Raises
    ------
    ValueError
        If no layer holds units of the core and others.

    Examples
    --------
    >>> import numpy as np
    >>> groups = layer_matched(np.array([True, True, False, False, False]), np.array([0, 0, 0, 1, 1]))
    >>> groups.core.tolist(), groups.others.tolist()
    ([0.5, 0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0])
    """
    code = np.unique(layer, return_inverse=True)[1]
    inside = np.bincount(code, weights=core)
    outside = np.bincount(code, weights=~core)
    both = (inside > 0) & (outside > 0)
    if not both.any():
        raise ValueError("no layer holds units of the core and other units")
    total = inside[both].sum()
    mine = np.where(core & both[code], 1.0, 0.0) / total
    share = np.divide(inside, outside * total, out=np.zeros(len(inside)), where=both)
    theirs = np.where(core, 0.0, share[code])
    return Groups(mine, theirs, tuple(np.unique(layer)[both].tolist()), int(inside[~both].sum()))


def random_groups(
    core: Bool[np.ndarray, " unit"], layer: Int[np.ndarray, " unit"], draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draw group unit"]:
    """Weights of random sets with as many units in each layer as the core has, and of their layer-matched others."""
    groups = layer_matched(core, layer)
    orders = random_orders(core.size, draws, rng, layer)
    # Both weights are constant inside (layer, membership), so exchanging units inside layers exchanges them rightly.
    return np.stack([groups.core[orders], groups.others[orders]], axis=1)


def outcomes(
    activity: Float[np.ndarray, "prompt step unit"],
    weights: Float[np.ndarray, "*set unit"],
    against: Yardstick,
    measure: str = "density",
) -> Float[np.ndarray, "*set prompt step"]:
    """Weighted mean over units of ``density`` (0 or 1) or ``level`` (activity over its neutral mean) at each step.

    Parameters
    ----------
    activity
        Non-negative; NaN where a series has ended.
    weights
        Of any number of groups of units.
    against
        Each unit's threshold and neutral mean.

    Returns
    -------
    array (*set, prompt, step)
        NaN where a series has ended.
    """
    ended = np.isnan(activity[..., 0])
    if measure == "density":
        per_unit = (activity > against.threshold).astype(np.float32)
    else:
        per_unit = relative(activity, against)
    flat = weights.reshape(-1, weights.shape[-1]).astype(np.float32)
    found = np.tensordot(flat, per_unit, axes=(1, 2)).astype(float)
    found[:, ended] = np.nan
    return np.asarray(found.reshape(*weights.shape[:-1], *activity.shape[:2]))


def relative(
    activity: Float[np.ndarray, "prompt step unit"], against: Yardstick
) -> Float[np.ndarray, "prompt step unit"]:
    """Activity over each unit's neutral mean, float32; 0 for units that are silent on neutral text, and where NaN."""
    known = against.mean > 0
    scale = np.divide(1.0, against.mean, out=np.zeros(against.mean.shape), where=known)
    return np.asarray(np.nan_to_num(activity * scale), np.float32)


def hoyer(total: np.ndarray, squares: np.ndarray, count: int) -> np.ndarray:
    """Hoyer's sparsity from the sums of n non-negative values and of their squares (Hoyer 2004).

    (sqrt(n) - sum / sqrt(squares)) / (sqrt(n) - 1): 0 where all are equal, 1 where one alone is active.

    Examples
    --------
    >>> import numpy as np
    >>> hoyer(np.array([4.0, 1.0]), np.array([4.0, 1.0]), 4).tolist()
    [0.0, 1.0]
    """
    root = np.sqrt(count)
    ratio = np.divide(total, np.sqrt(squares), out=np.full(np.shape(total), np.nan), where=squares > 0)
    return np.asarray((root - ratio) / (root - 1))


def participation(squares: np.ndarray, fourths: np.ndarray, count: int) -> np.ndarray:
    """Participation ratio as a share of n values: (sum a^2)^2 / (n sum a^4), from 1/n to 1.

    Examples
    --------
    >>> import numpy as np
    >>> participation(np.array([4.0, 1.0]), np.array([4.0, 1.0]), 4).tolist()
    [1.0, 0.25]
    """
    return np.asarray(np.divide(squares**2, count * fourths, out=np.full(np.shape(squares), np.nan), where=fourths > 0))


def equal_sets(
    core: Bool[np.ndarray, " unit"], layer: Int[np.ndarray, " unit"], draws: int, rng: np.random.Generator
) -> Bool[np.ndarray, "group draw unit"]:
    """Random sets of the core and of others that hold equally many units of every layer.

    Sparsity depends on the number of units, so both sets must be of one size: the smaller of both in each layer.
    """
    chosen = np.zeros((2, draws, core.size), bool)
    for each in np.unique(layer):
        places = [np.flatnonzero((layer == each) & (core == inside)) for inside in (True, False)]
        size = min(len(place) for place in places)
        for group, place in enumerate(places):
            keys = rng.random((draws, len(place))).argsort(axis=1)[:, :size]
            np.put_along_axis(chosen[group], place[keys], True, axis=1)
    return chosen


def population(
    activity: Float[np.ndarray, "prompt step unit"],
    sets: Bool[np.ndarray, "group draw unit"],
    against: Yardstick,
) -> dict[str, Float[np.ndarray, "group prompt step"]]:
    """Hoyer sparsity and participation ratio of each group at each step, mean over its random sets."""
    ended = np.isnan(activity[..., 0])
    values = relative(activity, against)
    count = int(sets[0, 0].sum())
    flat = sets.reshape(-1, sets.shape[-1]).astype(np.float32)
    one, two, four = (np.tensordot(flat, values**power, axes=(1, 2)) for power in (1, 2, 4))
    shape = (*sets.shape[:2], *activity.shape[:2])
    found = {}
    for name, each in (("hoyer", hoyer(one, two, count)), ("participation", participation(two, four, count))):
        mean = each.reshape(shape).mean(axis=1).astype(float)
        mean[:, ended] = np.nan
        found[name] = mean
    return found

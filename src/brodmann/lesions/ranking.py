"""Which units have a rank, and what else is known of them: the input of all orders of removal.

A ranking is data here (an array over units); where it comes from is not asked. Activity and autocorrelation are the two
rival explanations of a core that its controls are matched on. Nothing is removed here.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from brodmann.errors import RecordingError, SettingsError
from brodmann.lesions import orders
from brodmann.removal import REMOVALS
from brodmann.settings import LesionSettings

HALVES = (slice(0, None, 2), slice(1, None, 2))
"""Even and odd prompts. The rival is ranked on one half and measured on the other, or it would be favoured."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """Units that have a rank; arrays are over these units."""

    unit: np.ndarray
    column: np.ndarray
    """Place of each in the model's table of units."""
    layer: np.ndarray
    group: np.ndarray
    """Stack and layer, as one number."""
    rank: np.ndarray
    activity: np.ndarray
    autocorrelation: np.ndarray


@dataclass(frozen=True, eq=False)
class Curves:
    """Orders of removal, one for each curve, draws one after the other."""

    order: tuple[str, ...]
    """Name of each curve's order, from `removal.REMOVALS`."""
    units: tuple[np.ndarray, ...]
    """Indices of units in the order of their removal."""
    count: np.ndarray
    """Units that are gone at each step."""
    gone: np.ndarray
    """Which units are gone, bool (curve, fraction, unit); of the rival, by its scores on all prompts."""
    rival: np.ndarray
    """What the rival takes from each half of the prompts, by its scores on the other, bool (half, fraction, unit)."""

    @property
    def share(self) -> np.ndarray:
        """Share of the units that is gone at each step."""
        return np.asarray(self.count / self.gone.shape[2])

    def of(self, name: str, values: np.ndarray) -> np.ndarray:
        """Values (curve, ...) of one order's draws."""
        return values[[place for place, each in enumerate(self.order) if each == name]]

    def on(self, half: int) -> np.ndarray:
        """Which units are gone while the prompts of one half (`HALVES`) run, bool (curve, fraction, unit)."""
        gone = self.gone.copy()
        gone[self.order.index("importance")] = self.rival[half]
        return gone


def find_ranking(order: xr.DataArray | None, results: Mapping[str, xr.Dataset] | None) -> xr.DataArray:
    """Give the ranking that the user names, or that of the synergy study by the definition its core was cut by.

    Raises
    ------
    RecordingError
        If there is none, or it is not one number per named unit.
    """
    if order is not None:
        if order.dims != ("unit",) or "unit" not in order.coords:
            raise RecordingError(f"the order must be one number per named unit; its dimensions are {order.dims}")
        return order
    if results is None or "synergy" not in results:
        raise RecordingError("lesions need a ranking of the units: give order=, or the result of the synergy study")
    found = results["synergy"]
    definition = json.loads(str(found.attrs.get("settings", "{}"))).get("rank", "rank_of_difference")
    return found["rank"].sel(definition=definition)


def ranked_units(table: pd.DataFrame, label: str, recording: xr.Dataset, ranking: xr.DataArray) -> Ranked:
    """Bring a ranking, a recording and a model's units together.

    Parameters
    ----------
    table
        The model's units (`Anatomy.units`).
    label
        The model's name.
    recording
        ``activity`` (prompt, token, unit).
    ranking
        One number per unit; units without a finite one are left out.

    Raises
    ------
    RecordingError
        If the ranking names units the model does not have, or fewer than two recorded units have a rank.
    """
    known = {unit: place for place, unit in enumerate(table["unit"])}
    ranks = {str(unit): float(rank) for unit, rank in zip(ranking["unit"].values, ranking.values, strict=True)}
    strange = next((unit for unit in ranks if unit not in known), None)
    if strange is not None:
        raise RecordingError(f"{label} has no unit {strange}: the ranking is of another model or kind of unit")
    series = recording["activity"]
    units = [str(unit) for unit in series["unit"].values if np.isfinite(ranks.get(str(unit), np.nan))]
    if len(units) < 2:
        raise RecordingError("fewer than two recorded units have a rank, so there is nothing to remove in order")
    column = np.array([known[unit] for unit in units])
    activity, autocorrelation = rivals(series.sel(unit=units).values)
    group = table.groupby(["stack", "layer"], sort=False).ngroup().to_numpy()
    return Ranked(
        np.array(units), column, table["layer"].to_numpy()[column], group[column],
        np.array([ranks[unit] for unit in units]), activity, autocorrelation,
    )  # fmt: skip


def rivals(series: Float[np.ndarray, "prompt token unit"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean activity, and mean over prompts of the lag-1 autocorrelation, of each unit.

    NaN beyond the end of a series does not count; a series that does not vary has an autocorrelation of 0.

    Examples
    --------
    >>> import numpy as np
    >>> activity, autocorrelation = rivals(np.array([1.0, 3.0, 1.0, 3.0]).reshape(1, 4, 1))
    >>> activity.tolist(), autocorrelation.round(12).tolist()
    ([2.0], [-1.0])
    """
    series = series.astype(float)
    activity = np.nanmean(series.reshape(-1, series.shape[2]), axis=0)
    past, future = series[:, :-1], series[:, 1:]
    both = np.isfinite(past) & np.isfinite(future)
    count = np.maximum(both.sum(axis=1, keepdims=True), 1)
    past, future = (np.where(both, v, 0.0) for v in (past, future))
    past, future = (np.where(both, v - v.sum(axis=1, keepdims=True) / count, 0.0) for v in (past, future))
    size = np.sqrt((past**2).sum(axis=1) * (future**2).sum(axis=1))
    # what is left of a constant after its mean is rounding
    steady = size <= 1e-12 * np.maximum(np.abs(activity), 1e-30) ** 2
    each = np.divide((past * future).sum(axis=1), size, out=np.zeros_like(size), where=~steady)
    return activity, each.mean(axis=0)


def make_curves(
    ranked: Ranked, importance: Float[np.ndarray, "half unit"], settings: LesionSettings, rng: np.random.Generator
) -> Curves:
    """Every order of removal, and which units are gone at each step; steps that remove as many units are one.

    Parameters
    ----------
    ranked
        Units and what the controls are matched on.
    importance : array (half, unit)
        Scores of the rival ranking on each half of the prompts.
    settings, rng
        Fractions and numbers of draws, and what they are drawn with.

    Raises
    ------
    SettingsError
        If the orders that are made here are not those of `removal.REMOVALS`, as often as it says.
    """
    units = len(ranked.unit)
    count = np.unique(orders.counts(units, settings.fractions))
    core = orders.by_rank(ranked.rank)
    found = [
        ("synergistic", core),
        ("redundant", orders.by_rank(ranked.rank, descending=False)),
        *(("random", each) for each in orders.at_random(units, settings.random_draws, rng)),
        *(("layer_matched", each) for each in orders.layer_matched(core, ranked.group, settings.layer_draws, rng)),
        ("norm_matched", orders.matched(core, ranked.activity, int(count[-1]))),
        ("autocorrelation_matched", orders.matched(core, ranked.autocorrelation, int(count[-1]))),
        ("importance", orders.by_rank(importance.mean(axis=0))),
    ]
    _check_orders(Counter(name for name, _ in found), settings)
    gone = np.stack([orders.removed(each, units, count) for _, each in found])
    rival = np.stack([orders.removed(orders.by_rank(scores), units, count) for scores in importance[::-1]])
    return Curves(tuple(name for name, _ in found), tuple(each for _, each in found), count, gone, rival)


def _check_orders(made: Counter[str], settings: LesionSettings) -> None:
    for name in [*made, *REMOVALS]:
        if name not in REMOVALS:
            raise SettingsError(f"make_curves makes the order '{name}', which has no line in removal.REMOVALS")
        draws = REMOVALS[name].draws
        wanted = getattr(settings, draws) if draws else 1
        if made[name] != wanted:
            raise SettingsError(
                f"the order '{name}' of removal.REMOVALS needs {draws or 'one curve'}"
                f"{f' = {wanted} curves' if draws else ''}; lesions.ranking.make_curves makes {made[name]}"
            )

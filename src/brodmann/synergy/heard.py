"""What the study says about units that are silent most of the time, those without a rank included.

How much was heard of every recorded unit, how many were left out, and whether rank merely follows use. The rule of
what is enough stands in `sparse`.
"""

import json
import math
from typing import Any

import numpy as np
import xarray as xr

from brodmann.plain import to_dict
from brodmann.settings import SynergySettings
from brodmann.stats import conclude
from brodmann.synergy.evidence import SOURCE, rank_correlation
from brodmann.synergy.measure import activity, without_first_layer
from brodmann.synergy.sparse import Activity

FEWEST = 3
"""Ranked units, and layers that have some, below which there is neither a core nor a profile."""


def heard_of(recording: xr.Dataset, settings: SynergySettings) -> xr.Dataset | None:
    """How much was heard of every recorded unit; None where units are never silent.

    Returns
    -------
    xarray.Dataset or None
        Over ``recorded`` (ids of all units, with ``recorded_layer``, ``recorded_index``, ``recorded_kind``):
        ``recorded_share`` of tokens at which the unit was active (0 to 1), ``usable_prompts``, ``effective_samples``
        over these, ``ranked``; attrs ``min_active``, ``min_effective``, ``left_out`` (number of units).
    """
    recording = without_first_layer(recording, settings)
    found = activity(recording, settings)
    if found is None:
        return None
    coords = {"recorded": recording["unit"].values} | {
        f"recorded_{name}": ("recorded", recording[name].values)
        for name in ("layer", "index", "kind")
        if name in recording.coords
    }
    return xr.Dataset(_variables(found), coords, {
        "min_active": settings.min_active, "min_effective": settings.min_effective,
        "left_out": int((~found.kept).sum()), "prompts": len(found.active),
    })  # fmt: skip


def _variables(found: Activity) -> dict[str, Any]:
    one = "recorded"
    return {
        "recorded_share": (one, found.share, {"long_name": "share of tokens at which the unit was active"}),
        "usable_prompts": (one, found.usable.sum(axis=0), {"long_name": "prompts that say something about the unit"}),
        "effective_samples": (one, found.effective, {"long_name": "samples that carry the variance of its series"}),
        "ranked": (one, found.kept, {"long_name": "whether enough was heard of the unit to rank it"}),
    }


def enough(heard: xr.Dataset) -> bool:
    """Whether enough units, in enough layers, are left to be ranked."""
    return len(np.unique(heard["recorded_layer"].values[heard["ranked"].values])) >= FEWEST


def nothing_ranked(recording: xr.Dataset, heard: xr.Dataset, settings: SynergySettings, seed: int) -> xr.Dataset:
    """The result where too few units were active often enough: what was heard, no rank, and a claim not tested."""
    left = int(heard["ranked"].sum())
    layers = len(np.unique(heard["recorded_layer"].values[heard["ranked"].values]))
    where = f", in {layers} layers," if left else ""
    why = (
        f"only {left} of {heard.sizes['recorded']} units{where} were active often enough "
        f"(min_active = {settings.min_active}, min_effective = {settings.min_effective}); record more prompts or "
        "longer answers"
    )
    finding = conclude(
        "inverted_u",
        "The synergy-redundancy rank is higher in the middle third of layers than in the first and the last",
        estimate=math.nan, interval=(math.nan, math.nan), units="of the rank scale", n=recording.sizes["prompt"],
        unit_of_inference="prompt", source=SOURCE, seed=seed, caveats=[why],
    )  # fmt: skip
    return heard.assign_attrs({
        "title": f"Synergistic core of {recording.attrs.get('title', 'a recording').removeprefix('Recording of ')}",
        "settings": json.dumps(to_dict(settings)), "provenance": recording.attrs.get("provenance", "{}"),
        "signal": recording.attrs.get("signal", ""), "findings": json.dumps([finding.to_dict()]), "seed": seed,
        "note": f"No unit is ranked: {why}.",
    })  # fmt: skip


def with_heard(result: xr.Dataset, heard: xr.Dataset | None) -> xr.Dataset:
    """Add what was heard to a result, and the rank correlation of rank and use to its note."""
    if heard is None:
        return result
    share = heard["recorded_share"].sel(recorded=result["unit"].values).values
    related = rank_correlation(share, result["node_synergy"].values - result["node_redundancy"].values)
    merged = result.merge(heard)
    left, all_ = int(heard.attrs["left_out"]), heard.sizes["recorded"]
    said = f"{left} of {all_} units were active too rarely to be ranked. " if left else ""
    merged.attrs = result.attrs | heard.attrs | {
        "use_correlation": related,
        "note": f"{result.attrs['note']} {said}Rank follows how often a unit was active with a rank correlation of "
        f"{related:.2f}.",
    }  # fmt: skip
    return merged

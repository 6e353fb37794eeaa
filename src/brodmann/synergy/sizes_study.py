"""Does the inverted U appear above some size? Models of one family in, contrasts and a threshold out, if there is one.

Rank scales depend on the number of units, so models are compared by random subsets of equally many units, spread over
depth; the plain contrast stands beside it. The family must be trained alike, which nothing here can check.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from brodmann.errors import RecordingError
from brodmann.plain import from_dict, to_dict
from brodmann.settings import SynergySettings, TrackSettings
from brodmann.stats import Finding, bootstrap_interval, conclude
from brodmann.stats.scaling import CLEARLY, FEWEST, Threshold, find_threshold
from brodmann.synergy.evidence import trusted
from brodmann.synergy.growth import Contrast, Series, contrast_of, memory_rank_profile
from brodmann.synergy.growth_claims import NAMES
from brodmann.synergy.measure import measure_nodes
from brodmann.synergy.stage import mean_loss


def study(
    stages: Sequence[xr.Dataset],
    sizes: Sequence[float | int],
    names: Sequence[str],
    *,
    recordings: Sequence[xr.Dataset],
    synergy: Mapping[str, Any],
    settings: TrackSettings | None = None,
    seed: int = 0,
    progress: Any = None,
) -> xr.Dataset:
    """Compare models of several sizes.

    Parameters
    ----------
    stages, recordings
        What `stage.study` gave for each model, and what it was computed from; same prompts.
    sizes, names
        Parameters and name of each model, ascending in size.
    synergy, settings, seed
        Settings of the core; contrast, subsets and bootstraps; seed.

    Returns
    -------
    xarray.Dataset
        Over ``model``: ``parameters``, ``contrast`` with ends (equally many units), ``whole_contrast`` (all units),
        ``memory_contrast``, ``loss`` (nats per token); attrs ``findings``, ``threshold`` (JSON), ``units``.

    Raises
    ------
    RecordingError
        If the models read other prompts.
    """
    start = time.perf_counter()
    settings = settings or TrackSettings()
    chosen = from_dict(SynergySettings, dict(synergy))
    kind: Contrast = settings.growth_contrast
    if any(stage["prompt"].values.tolist() != stages[0]["prompt"].values.tolist() for stage in stages[1:]):
        raise RecordingError("the models read other prompts: they cannot be compared")
    units = min(stage.sizes["unit"] for stage in stages)
    say = progress or (lambda _: None)
    found, whole, memory = [], [], []
    for number, (stage, recording) in enumerate(zip(stages, recordings, strict=True)):
        say(f"{names[number]} by subsets of {units} units")
        rng = np.random.default_rng([seed, number])
        series = _subsets(recording, stage, units, settings.growth_subsets, chosen, rng)
        prompts = stage.sizes["prompt"]

        def mean(weights: np.ndarray, series: tuple[Series, ...] = series) -> np.ndarray:
            return np.asarray(np.mean([one.contrasts(kind)(weights)[:, 0] for one in series], axis=0))

        found.append(
            bootstrap_interval(mean, prompts, rng=np.random.default_rng([seed, 2]), draws=settings.growth_bootstraps)
        )
        everything = np.full((1, prompts), 1 / prompts)
        layer = stage["unit_layer"].values.astype(int)
        one, other = (stage[name].values[:1] for name in ("node_synergy", "node_redundancy"))
        whole.append(float(Series(one, other, layer, chosen.rank).contrasts(kind)(everything)[0, 0]))
        memory.append(float(contrast_of(memory_rank_profile(stage["memory"].values.mean(axis=0), layer), kind)))
    values = np.array([float(band.estimate) for band in found])
    noise = float(np.mean([band.samples.var(ddof=1) for band in found]))
    fitted = find_threshold(np.asarray(sizes, float), values, noise=noise)
    tested = _finding(fitted, found, sizes, units, kind, seed)
    variables: dict[str, Any] = {
        "parameters": ("model", np.asarray(sizes, float)), "contrast": ("model", values),
        "contrast_low": ("model", np.array([float(band.low) for band in found])),
        "contrast_high": ("model", np.array([float(band.high) for band in found])),
        "whole_contrast": ("model", np.array(whole)), "memory_contrast": ("model", np.array(memory)),
        "loss": ("model", np.array([mean_loss(stage) for stage in stages])),
    }  # fmt: skip
    told = {"best": fitted.best, "aicc": fitted.aicc, "lead": fitted.lead,
            "identified": _appears(fitted, sizes, values, noise),
            "low": fitted.low, "high": fitted.high}  # fmt: skip
    attrs = {
        "title": "Sizes", "findings": json.dumps([tested.to_dict()]), "threshold": json.dumps(told), "units": units,
        "settings": json.dumps({**to_dict(settings), "rank": chosen.rank}), "seed": seed,
        "prompts": stages[0].sizes["prompt"], "seconds": time.perf_counter() - start,
    }  # fmt: skip
    return xr.Dataset(variables, {"model": list(names)}, attrs)


def _subsets(
    recording: xr.Dataset, stage: xr.Dataset, units: int, count: int, chosen: SynergySettings, rng: np.random.Generator
) -> tuple[Series, ...]:
    """Series of random subsets of units, as evenly spread over the layers as can be; one if all units are kept."""
    recording = recording.sel(unit=stage["unit"].values)
    layer = recording["layer"].values.astype(int)
    result = []
    for _ in range(count if units < layer.size else 1):
        # in random order within layers, then first of each layer, second of each layer, and so on
        order = rng.permutation(layer.size)
        turn = np.zeros(layer.size, int)
        for each in np.unique(layer):
            turn[order[layer[order] == each]] = np.arange(int((layer == each).sum()))
        kept = np.sort(np.lexsort((rng.random(layer.size), turn))[:units])
        nodes = measure_nodes(recording.isel(unit=kept), chosen)
        result.append(Series(nodes.synergy[None], nodes.redundancy[None], layer[kept], chosen.rank))
    return tuple(result)


def _lead(sizes: Sequence[float | int], values: np.ndarray, noise: float) -> float:
    """How clearly an inverted U *appears*: a breakpoint above which the contrast is lower, or not above 0, is none."""
    found = find_threshold(np.asarray(sizes, float), values, noise=noise)
    if not np.isfinite(found.lead):
        return float("nan")
    above = values[np.asarray(sizes, float) >= found.high] if np.isfinite(found.high) else values[-1:]
    leads = found.rises and above.size > 0 and float(above.mean()) > 0
    return float(found.lead if leads else min(found.lead, 0.0))


def _appears(fitted: Threshold, sizes: Sequence[float | int], values: np.ndarray, noise: float) -> bool:
    """Whether a threshold may be named: located, and above it an inverted U that is not there below."""
    return fitted.identified and _lead(sizes, values, noise) > CLEARLY


def _finding(
    fitted: Threshold, bands: Sequence[Any], sizes: Sequence[float | int], units: int, kind: Contrast, seed: int
) -> Finding:
    drawn = np.stack([band.samples for band in bands], axis=1)[:200]
    noise = float(np.mean([band.samples.var(ddof=1) for band in bands]))
    # a resampled value has the noise of the value and that of resampling
    leads = np.array([_lead(sizes, row, 2 * noise) for row in drawn])
    values = np.array([float(band.estimate) for band in bands])
    lead = _lead(sizes, values, noise)
    where = "no identifiable threshold"
    appears = _appears(fitted, sizes, values, noise)
    if appears:
        where = f"between {fitted.low:.2g} and {fitted.high:.2g} parameters"
    low, high = np.quantile(leads, [0.025, 0.975]) if np.isfinite(leads).all() else (float("nan"),) * 2
    shuffled = np.random.default_rng([seed, 7])
    nulls = [_lead(sizes, shuffled.permutation(values), noise) for _ in range(199)] if np.isfinite(lead) else []
    caveats = [
        "AICc: "
        + ", ".join(f"{curve} {value:.3g}" for curve, value in sorted(fitted.aicc.items(), key=lambda v: v[1])),
        "the interval resamples prompts, not models",
        f"compared at {units} units each; numbers of heads and layers still differ with size",
        "contrasts of ranks can jump where what lies beneath grows smoothly",
    ]
    if not fitted.aicc:
        caveats.insert(0, f"{len(sizes)} sizes: a threshold needs at least {FEWEST}")
    elif lead > CLEARLY and not fitted.identified:
        caveats.insert(0, "the breakpoint wins, but its interval spans a decade or more")
    elif fitted.lead > CLEARLY >= lead:
        caveats.insert(0, "the breakpoint wins, but above it the inverted U is lower than below, or is none")
    low, high = trusted((min(float(low), lead), max(float(high), lead)), int(bands[0].n))
    if np.isfinite(lead):
        low = low if appears else min(low, CLEARLY)
        # only a clear step the other way speaks against a threshold; a lead that is not clear is absence of evidence
        high = high if fitted.lead > CLEARLY >= lead else max(high, CLEARLY)
    return conclude(
        "size_threshold", f"The inverted U appears above a threshold of size ({where})", estimate=lead,
        interval=(low, high),
        nulls={"sizes exchanged": nulls} if nulls else None, reference=CLEARLY,
        units=f"AICc by which a breakpoint wins ({NAMES[kind]})", n=len(sizes), unit_of_inference="model",
        source="Claim of a threshold at 6 billion parameters: no published source was found", seed=seed,
        caveats=caveats,
    )  # fmt: skip

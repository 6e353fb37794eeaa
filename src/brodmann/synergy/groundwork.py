"""What a recording alone says about its synergistic core: pairs, ranks, profile, surrogates, networks, four findings.

This is the larger part of the study and needs no random model, so an engine can work on it beside the model. `study`
adds the random models and corrects the findings for their number.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from brodmann.plain import to_dict
from brodmann.settings import SynergySettings
from brodmann.stats import Bootstrap, bootstrap_interval, resampling_weights, split_half, weighted_mean
from brodmann.synergy import core, graphs
from brodmann.synergy.claims import findings
from brodmann.synergy.evidence import Evidence, rank_correlation
from brodmann.synergy.heard import enough, heard_of, nothing_ranked, with_heard
from brodmann.synergy.lattice import ATOMS
from brodmann.synergy.measure import Measured, measure, select
from brodmann.synergy.surrogates import KINDS, Surrogates, null_node_means, recombine

Progress = Callable[[str], None]
Variables = dict[str, Any]


def groundwork(
    recording: xr.Dataset,
    *,
    settings: SynergySettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Measure a recording against its surrogates and null graphs.

    Parameters
    ----------
    recording, settings, seed, progress
        As in `study.study`.

    Returns
    -------
    xarray.Dataset
        What `study.study` gives, without the variables of random models and with four findings whose p values are not
        yet corrected.

    Raises
    ------
    RecordingError
        If the recording has too few prompts or units or too short series.
    """
    settings = settings or SynergySettings()
    say = progress or (lambda _: None)
    heard = heard_of(recording, settings)
    if heard is not None and not enough(heard):
        return nothing_ranked(recording, heard, settings, seed)
    recording = select(recording, settings)
    say("pairs")
    measured = measure(recording, settings)
    rng = np.random.default_rng([seed, 1])
    nulls: dict[str, Surrogates] = {}
    for kind in KINDS:
        say(kind.replace("_", " "))
        nulls[kind] = null_node_means(
            measured.parts,
            kind,
            settings.surrogates,
            redundancy=settings.redundancy,
            rng=np.random.default_rng([seed, *kind.encode()]),
        )
    say("networks")
    networks = graphs.measure_networks(
        measured.synergy, measured.redundancy, measured.layer, rng, draws=settings.graph_nulls
    )
    say("findings")
    tested = findings(Evidence(measured, nulls, networks, settings, seed))
    say("intervals")
    variables = {
        **_pair_variables(measured),
        **_rank_variables(measured, settings, rng),
        **_null_variables(measured, nulls, settings, rng),
    }
    zones = core.find_zones(variables["profile"][1][core.DEFINITIONS.index(settings.rank)], rng)
    variables["zone"] = ("layer", zones.zone, {"long_name": "zone of the layer: 0 early, 1 middle, 2 late"})
    result = xr.Dataset(variables, coords=_coordinates(recording, measured)).merge(networks)
    result.attrs = {
        "title": f"Synergistic core of {recording.attrs.get('title', 'a recording').removeprefix('Recording of ')}",
        "settings": json.dumps(to_dict(settings)),
        "provenance": recording.attrs.get("provenance", "{}"),
        "signal": recording.attrs.get("signal", ""),
        "findings": json.dumps([finding.to_dict() for finding in tested]),
        "zone_p": zones.p, "zone_boundaries": json.dumps(list(zones.boundaries)),
        "seed": seed, "prompts": len(measured.parts), "note": _note(measured, result),
        **_summaries(measured, settings, rng),
    }  # fmt: skip
    return with_heard(result, heard)


def _note(measured: Measured, result: xr.Dataset) -> str:
    """What a reader of the ranks must know: how much of them is memory."""
    synergy = np.nanmean(measured.nodes.synergy, axis=0)
    related = rank_correlation(synergy, measured.autocorrelation)
    core_excess = result["excess_synergy"].sel(null="prompt_mismatch").values[result["core"].values]
    return (
        f"Synergy has a rank correlation of {related:.2f} with each unit's own memory (lag autocorrelation); "
        f"{float((core_excess < 0).mean()):.0%} of the core lies below its uncoupled surrogates of the same memory."
    )


def _coordinates(recording: xr.Dataset, measured: Measured) -> Variables:
    units = recording["unit"].values
    kept = {
        name: ("unit", recording[name].values)
        for name in ("kind", "stack", "index", "depth")
        if name in recording.coords
    }
    return {
        "prompt": recording["prompt"].values if "prompt" in recording.coords else np.arange(len(measured.parts)),
        "unit": units, "unit_": units, "unit_layer": ("unit", measured.layer), **kept,
        "layer": np.unique(measured.layer), "definition": list(core.DEFINITIONS), "null": list(KINDS),
        "rival": ["autocorrelation", "total_information", "mean_norm"], "atom": list(ATOMS),
    }  # fmt: skip


def _pair_variables(measured: Measured) -> Variables:
    pairs = ("unit", "unit_")
    layers = core.layer_profile(measured.atom_nodes, measured.layer)
    total = measured.atom_nodes.sum(axis=0)
    rivals = np.stack([measured.autocorrelation, total, measured.mean_activity])
    return {
        "synergy": (pairs, measured.synergy, _nats("persistent synergy of the pair")),
        "redundancy": (pairs, measured.redundancy, _nats("persistent redundancy of the pair")),
        "balance": (pairs, core.balance(measured.synergy, measured.redundancy), {"long_name": "(S - R) / (S + R)"}),
        "near_singular": (
            pairs,
            measured.near_singular,
            {"long_name": "share of prompts in which the pair nearly copies"},
        ),
        "atom_profile": (("atom", "layer"), layers, _nats("mean atom of the layer's units")),
        "rival_node": (("rival", "unit"), rivals, {"long_name": "rival explanations: correlation, nats, norm"}),
        "rival_profile": (("rival", "layer"), core.scale(core.layer_profile(rivals, measured.layer))),
        "artefact": ("unit", measured.artefact, _nats("synergy of independent units with the same memory")),
        "flagged": ("unit", measured.flagged, {"long_name": "prompts with a constant or non-finite series"}),
    }


def _rank_variables(measured: Measured, settings: SynergySettings, rng: np.random.Generator) -> Variables:
    nodes, layer = measured.nodes, measured.layer
    synergy, redundancy = (np.nanmean(v, axis=0) for v in (nodes.synergy, nodes.redundancy))
    ranks = {kind: core.rank_nodes(synergy, redundancy, kind) for kind in core.DEFINITIONS}
    scaled = np.stack([core.scale(ranks[kind], *core.rank_limits(layer.size, kind)) for kind in core.DEFINITIONS])
    profile = partial(core.profile_of_weights, node_synergy=nodes.synergy, node_redundancy=nodes.redundancy)
    bands = []
    for kind in core.DEFINITIONS:
        found = _over_prompts(
            partial(profile, layer=layer, kind=kind),
            measured, settings, rng,
        )  # fmt: skip
        low, high = float(found.estimate.min()), float(found.estimate.max())
        bands.append([core.scale(v, low, high) for v in (found.estimate, found.low, found.high)])
    profiles = np.array(bands)
    weights = resampling_weights(len(measured.parts), settings.bootstraps, rng)
    likely = core.core_probability(
        weights, nodes.synergy, nodes.redundancy, kind=settings.rank, fraction=settings.core_fraction
    )
    variables: Variables = {
        "node_synergy": ("unit", synergy, _nats("mean synergy with all other units")),
        "node_redundancy": ("unit", redundancy, _nats("mean redundancy with all other units")),
        "prompt_synergy": (("prompt", "unit"), nodes.synergy, _nats("mean synergy with all other units, by prompt")),
        "prompt_redundancy": (("prompt", "unit"), nodes.redundancy, _nats("mean redundancy, by prompt")),
        "rank": (("definition", "unit"), scaled, {"long_name": "synergy-redundancy rank, 1 the most synergistic"}),
        "core": ("unit", core.core_set(ranks[settings.rank], settings.core_fraction)),
        "core_probability": (
            "unit",
            likely,
            {"long_name": "share of prompt bootstraps in which the unit is in the core"},
        ),
    }
    for index, end in enumerate(("", "_low", "_high")):
        variables[f"profile{end}"] = (("definition", "layer"), profiles[:, index])
    for name, values in (("synergy", nodes.synergy), ("redundancy", nodes.redundancy)):
        variables |= _with_band(f"{name}_profile", "layer", _band(values, measured, settings, rng), f"mean {name}")
    return variables


def _null_variables(
    measured: Measured, nulls: dict[str, Surrogates], settings: SynergySettings, rng: np.random.Generator
) -> Variables:
    observed = measured.nodes.synergy
    means, excess, z, bands = [], [], [], []
    for null in nulls.values():
        mean = null.synergy.mean(axis=0)
        spread = recombine(null.synergy, 999, rng).std(axis=0, ddof=1)
        above = np.nanmean(observed - mean, axis=0)
        means.append(np.nanmean(mean, axis=0))
        excess.append(above)
        z.append(np.divide(above, spread, out=np.zeros_like(above), where=spread > 0))
        bands.append(_band(observed - mean, measured, settings, rng))
    by_unit = ("null", "unit")
    variables: Variables = {
        "null_synergy": (by_unit, np.stack(means), _nats("mean synergy of uncoupled surrogates")),
        "excess_synergy": (by_unit, np.stack(excess), _nats("synergy above its surrogates")),
        "excess_z": (by_unit, np.stack(z), {"long_name": "excess in standard deviations of the surrogates"}),
    }
    for end, name in (("", "estimate"), ("_low", "low"), ("_high", "high")):
        values = np.stack([getattr(band, name) for band in bands])
        variables[f"excess_profile{end}"] = (("null", "layer"), values, _nats("mean excess synergy of the layer"))
    return variables


def _summaries(measured: Measured, settings: SynergySettings, rng: np.random.Generator) -> dict[str, Any]:
    nodes = measured.nodes

    def ranks(weights: np.ndarray) -> np.ndarray:
        return core.rank_nodes(
            weighted_mean(weights, nodes.synergy), weighted_mean(weights, nodes.redundancy), settings.rank
        )

    halves = split_half(ranks, len(measured.parts), rng=rng)
    whole = np.full((1, len(measured.parts)), 1.0)
    one, other = (
        core.rank_nodes(weighted_mean(whole, nodes.synergy)[0], weighted_mean(whole, nodes.redundancy)[0], kind)
        for kind in core.DEFINITIONS
    )
    return {
        "reliability": halves.reliability, "reliability_low": halves.low, "reliability_high": halves.high,
        "overlap": core.top_overlap(one, other, settings.core_fraction),
    }  # fmt: skip


def _over_prompts(
    statistic: Callable[[np.ndarray], np.ndarray],
    measured: Measured,
    settings: SynergySettings,
    rng: np.random.Generator,
) -> Bootstrap:
    return bootstrap_interval(statistic, len(measured.parts), rng=rng, draws=settings.bootstraps)


def _band(values: np.ndarray, measured: Measured, settings: SynergySettings, rng: np.random.Generator) -> Bootstrap:
    """Layer profile of a mean over prompts, with its interval at each layer."""
    return _over_prompts(
        lambda weights: core.layer_profile(weighted_mean(weights, values), measured.layer), measured, settings, rng
    )


def _with_band(name: str, dims: str, band: Bootstrap, words: str) -> Variables:
    ends = (("", band.estimate), ("_low", band.low), ("_high", band.high))
    return {f"{name}{end}": (dims, values, _nats(f"{words} of the layer's units")) for end, values in ends}


def _nats(words: str) -> dict[str, str]:
    return {"long_name": words, "units": "nats"}

"""Is there a synergistic core, and is it more than memory? A recording in, a Dataset with nulls and findings out.

The method is that of Urbina-Rodriguez et al. 2026 (arXiv 2601.06851); the nulls and rivals are ours. What a user
changes to ask another question is `SynergySettings`; the mathematics lives in `phiid`, `core`, `graphs`, `surrogates`.
"""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from brodmann.errors import RecordingError
from brodmann.settings import SynergySettings, to_dict
from brodmann.stats import Bootstrap, bootstrap_interval, resampling_weights, split_half, weighted_mean
from brodmann.synergy import core, graphs
from brodmann.synergy.claims import findings
from brodmann.synergy.evidence import Evidence, rank_correlation
from brodmann.synergy.lattice import ATOMS
from brodmann.synergy.measure import Measured, measure, measure_nodes, select
from brodmann.synergy.surrogates import KINDS, NodeMeans, Surrogates, null_node_means, recombine

Progress = Callable[[str], None]
Variables = dict[str, Any]


def study(
    recording: xr.Dataset,
    *,
    settings: SynergySettings | None = None,
    controls: Sequence[xr.Dataset] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Find the synergistic core of a recording and test the published claims about it.

    Parameters
    ----------
    recording
        ``activity`` (prompt, token, unit) with the anatomy as coordinates, as `brodmann.record` gives it.
    settings
        Estimator, redundancy, lag, core size, sizes of bootstraps and nulls.
    controls
        Recordings of randomly initialised models of the same config on the same text (`brodmann.replay`).
    seed
        Seed of everything random here.
    progress
        Called with the name of each step as it begins.

    Returns
    -------
    xarray.Dataset
        Informations in nats, ranks and profiles in [0, 1]:

        - pairs (unit, unit_): ``synergy``, ``redundancy``, ``balance``, ``near_singular`` (share of prompts);
        - units: ``node_synergy``, ``node_redundancy``, ``rank`` (definition, unit), ``core``, ``core_probability``,
          ``artefact``, ``rival_node`` (rival, unit), ``flagged`` (prompts), ``community`` (network, unit);
        - against surrogates (null, unit): ``null_synergy``, ``excess_synergy``, ``excess_z``;
        - layers: ``profile`` (definition, layer), ``synergy_profile``, ``redundancy_profile`` and ``excess_profile``
          (null, layer), each with ``_low`` and ``_high`` from a bootstrap over prompts; ``rival_profile``,
          ``atom_profile``, ``zone``; ``random_profile`` (definition, seed, layer), ``random_synergy_profile`` and
          ``random_redundancy_profile`` (seed, layer);
        - networks: what `graphs.measure_networks` gives;
        - attrs: ``findings`` (JSON), ``settings``, ``reliability``, ``overlap``, ``zone_p``, ``zone_boundaries``.

    Raises
    ------
    RecordingError
        If the recording has too few prompts or units or too short series, or a control records other units.
    """
    start = time.perf_counter()
    settings = settings or SynergySettings()
    say = progress or (lambda _: None)
    recording = select(recording, settings)
    say("pairs")
    measured = measure(recording, settings)
    say("random weights")
    random = tuple(measure_nodes(_matching(control, recording, settings), settings) for control in controls)
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
    evidence = Evidence(measured, random, nulls, networks, settings, seed)
    tested = findings(evidence)
    say("intervals")
    variables = {
        **_pair_variables(measured),
        **_rank_variables(measured, settings, rng),
        **_null_variables(measured, nulls, settings, rng),
        **_random_variables(measured, random),
    }
    zones = core.find_zones(variables["profile"][1][core.DEFINITIONS.index(settings.rank)], rng)
    variables["zone"] = ("layer", zones.zone, {"long_name": "zone of the layer: 0 early, 1 middle, 2 late"})
    result = xr.Dataset(variables, coords=_coordinates(recording, measured, len(random))).merge(networks)
    result.attrs = {
        "title": f"Synergistic core of {recording.attrs.get('title', 'a recording').removeprefix('Recording of ')}",
        "settings": json.dumps(to_dict(settings)),
        "provenance": recording.attrs.get("provenance", "{}"),
        "signal": recording.attrs.get("signal", ""),
        "findings": json.dumps([finding.to_dict() for finding in tested]),
        "zone_p": zones.p, "zone_boundaries": json.dumps(list(zones.boundaries)),
        "seed": seed, "prompts": len(measured.parts), "seconds": time.perf_counter() - start,
        "note": _note(measured, result),
        **_summaries(measured, settings, rng),
    }  # fmt: skip
    return result


def _note(measured: Measured, result: xr.Dataset) -> str:
    """What a reader of the ranks must know: how much of them is memory."""
    synergy = np.nanmean(measured.nodes.synergy, axis=0)
    related = rank_correlation(synergy, measured.autocorrelation)
    core_excess = result["excess_synergy"].sel(null="prompt_mismatch").values[result["core"].values]
    return (
        f"Synergy follows each unit's own memory (lag autocorrelation) with a rank correlation of {related:.2f}; "
        f"{float((core_excess < 0).mean()):.0%} of the core lies below its uncoupled surrogates of the same memory."
    )


def _matching(control: xr.Dataset, recording: xr.Dataset, settings: SynergySettings) -> xr.Dataset:
    control = select(control, settings)
    if control["unit"].values.tolist() != recording["unit"].values.tolist():
        raise RecordingError("a control records other units than the recording: it must be the same architecture")
    return control


def _coordinates(recording: xr.Dataset, measured: Measured, seeds: int) -> Variables:
    units = recording["unit"].values
    kept = {
        name: ("unit", recording[name].values)
        for name in ("kind", "stack", "index", "depth")
        if name in recording.coords
    }
    return {
        "unit": units, "unit_": units, "unit_layer": ("unit", measured.layer), **kept,
        "layer": np.unique(measured.layer), "definition": list(core.DEFINITIONS), "null": list(KINDS),
        "rival": ["autocorrelation", "total_information", "mean_norm"], "atom": list(ATOMS),
        "seed": np.arange(seeds),
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


def _random_variables(measured: Measured, random: Sequence[NodeMeans]) -> Variables:
    if not random:
        return {}
    layer = measured.layer
    synergy = np.stack([np.nanmean(nodes.synergy, axis=0) for nodes in random])
    redundancy = np.stack([np.nanmean(nodes.redundancy, axis=0) for nodes in random])
    profiles = [core.scale(core.rank_profile(synergy, redundancy, layer, kind)) for kind in core.DEFINITIONS]
    return {
        "random_profile": (("definition", "seed", "layer"), np.stack(profiles)),
        "random_synergy_profile": (("seed", "layer"), core.layer_profile(synergy, layer), _nats("mean synergy")),
        "random_redundancy_profile": (
            ("seed", "layer"), core.layer_profile(redundancy, layer), _nats("mean redundancy"),
        ),
    }  # fmt: skip


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

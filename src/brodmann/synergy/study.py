"""Is there a synergistic core, and is it more than memory? A recording in, a Dataset with nulls and findings out.

The method is that of Urbina-Rodriguez et al. 2026 (arXiv 2601.06851); the nulls and rivals are ours. What a user
changes to ask another question is `SynergySettings`; the mathematics lives in `phiid`, `core`, `graphs`, `surrogates`.
"""

import json
import time
from collections.abc import Sequence

import numpy as np
import xarray as xr

from brodmann.settings import SynergySettings
from brodmann.stats import read_findings
from brodmann.synergy import core
from brodmann.synergy.claims import corrected
from brodmann.synergy.claims_memory import EXPLAINED
from brodmann.synergy.claims_random import absent_at_random_init
from brodmann.synergy.groundwork import Progress, Variables, groundwork
from brodmann.synergy.measure import like, measure_nodes, select
from brodmann.synergy.surrogates import NodeMeans


def study(
    recording: xr.Dataset,
    *,
    settings: SynergySettings | None = None,
    controls: Sequence[xr.Dataset] = (),
    seed: int = 0,
    progress: Progress | None = None,
    ground: xr.Dataset | None = None,
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
    ground
        What `groundwork.groundwork` gave for the same recording, settings and seed, if somebody ran it before.

    Returns
    -------
    xarray.Dataset
        Informations in nats, ranks and profiles in [0, 1]:

        - pairs (unit, unit_): ``synergy``, ``redundancy``, ``balance``, ``near_singular`` (share of prompts);
        - units: ``node_synergy``, ``node_redundancy``, ``rank`` (definition, unit), ``core``, ``core_probability``,
          ``prompt_synergy`` and ``prompt_redundancy`` (prompt, unit), ``artefact``, ``rival_node`` (rival, unit),
          ``flagged`` (prompts), ``community`` (network, unit);
        - against surrogates (null, unit): ``null_synergy``, ``excess_synergy``, ``excess_z``;
        - layers: ``profile`` (definition, layer), ``synergy_profile``, ``redundancy_profile`` and ``excess_profile``
          (null, layer), each with ``_low`` and ``_high`` from a bootstrap over prompts; ``rival_profile``,
          ``atom_profile``, ``zone``; ``random_profile`` (definition, seed, layer), ``random_synergy_profile`` and
          ``random_redundancy_profile`` (seed, layer);
        - networks: what `graphs.measure_networks` gives;
        - where units can be silent (experts): what `heard.heard_of` gives, over all recorded units; ``unit`` then holds
          the ranked ones only, and with too few of them there are no other variables;
        - attrs: ``findings`` (JSON), ``settings``, ``reliability``, ``overlap``, ``zone_p``, ``zone_boundaries``.

    Raises
    ------
    RecordingError
        If the recording has too few prompts or units or too short series, or a control records other units.
    """
    start = time.perf_counter()
    settings = settings or SynergySettings()
    say = progress or (lambda _: None)
    if ground is None:
        ground = groundwork(recording, settings=settings, seed=seed, progress=progress)
    if "rank" not in ground:  # too little was heard of all units
        return ground.assign_attrs(seconds=time.perf_counter() - start)
    recording = select(recording, settings)
    say("random weights")
    random = tuple(measure_nodes(like(control, recording, settings), settings) for control in controls)
    layer = ground["unit_layer"].values
    trained = NodeMeans(ground["prompt_synergy"].values, ground["prompt_redundancy"].values)
    tested = corrected(read_findings(ground), absent_at_random_init(trained, random, layer, settings, seed))
    result = ground.assign_coords(seed=np.arange(len(random))).assign(_random_variables(layer, random))
    result.attrs["findings"] = json.dumps([finding.to_dict() for finding in tested])
    if any(caveat.startswith(EXPLAINED) for finding in tested for caveat in finding.caveats):
        result.attrs["note"] = f"The inverted U of synergy is {EXPLAINED}. {result.attrs['note']}"
    result.attrs["seconds"] = time.perf_counter() - start
    return result


def _random_variables(layer: np.ndarray, random: Sequence[NodeMeans]) -> Variables:
    if not random:
        return {}
    synergy = np.stack([np.nanmean(nodes.synergy, axis=0) for nodes in random])
    redundancy = np.stack([np.nanmean(nodes.redundancy, axis=0) for nodes in random])
    profiles = [core.scale(core.rank_profile(synergy, redundancy, layer, kind)) for kind in core.DEFINITIONS]
    return {
        "random_profile": (("definition", "seed", "layer"), np.stack(profiles)),
        "random_synergy_profile": (
            ("seed", "layer"), core.layer_profile(synergy, layer), {"long_name": "mean synergy", "units": "nats"},
        ),
        "random_redundancy_profile": (
            ("seed", "layer"), core.layer_profile(redundancy, layer),
            {"long_name": "mean redundancy", "units": "nats"},
        ),
    }  # fmt: skip

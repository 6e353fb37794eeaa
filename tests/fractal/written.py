"""Small GPT-NeoX checkpoints on disk, made of given weights."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import save_file

from brodmann.models.rounding import FINE
from brodmann.models.shard_files import Entry
from brodmann.models.shards import Checkpoint

LAYERS, WIDTH = 4, 64


def shapes() -> dict[str, tuple[int, int]]:
    """Tensor names and shapes (targets, sources)."""
    parts = {
        "attention.query_key_value": (3 * WIDTH, WIDTH), "attention.dense": (WIDTH, WIDTH),
        "mlp.dense_h_to_4h": (4 * WIDTH, WIDTH), "mlp.dense_4h_to_h": (WIDTH, 4 * WIDTH),
    }  # fmt: skip
    return {f"gpt_neox.layers.{layer}.{name}.weight": shape for layer in range(LAYERS) for name, shape in parts.items()}


def noise(rng: np.random.Generator, deviation: float) -> dict[str, np.ndarray]:
    return {name: rng.normal(0, deviation, shape).astype(np.float32) for name, shape in shapes().items()}


CONFIG = {
    "model_type": "gpt_neox", "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
    "intermediate_size": 4 * WIDTH, "use_parallel_residual": True, "vocab_size": 100, "initializer_range": 0.02,
}  # fmt: skip


def held(weights: dict[str, np.ndarray], dtype: str = "F32", **config: Any) -> Checkpoint:
    """A checkpoint in memory; with the name of a format of few bits its numbers are put into that format first."""
    kept = {name: np.asarray(values, np.float32) for name, values in weights.items()}
    if dtype not in FINE:
        kind = gguf.GGMLQuantizationType[dtype]
        kept = {name: gguf.quants.dequantize(gguf.quants.quantize(each, kind), kind) for name, each in kept.items()}
    entries = {name: Entry(dtype, values.shape, "float32") for name, values in kept.items()}

    def fetch(name: str, entry: Entry, start: int, count: int) -> np.ndarray:
        return kept[name].reshape(-1)[start : start + count]

    return Checkpoint("held", {**CONFIG, **config}, entries, fetch)


def write(folder: Path, weights: dict[str, np.ndarray], **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = {**CONFIG, **config}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors")
    return folder

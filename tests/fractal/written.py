"""Small GPT-NeoX checkpoints on disk, made of given weights."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

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


def write(folder: Path, weights: dict[str, np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "gpt_neox", "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
        "intermediate_size": 4 * WIDTH, "use_parallel_residual": True, "vocab_size": 100,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors")
    return folder

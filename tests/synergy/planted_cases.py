"""Recordings whose answer is known: memory without coupling, and coupling that carries synergy."""

import numpy as np
import xarray as xr

LAYERS, HEADS, PROMPTS, TOKENS = 12, 4, 24, 100


def recording(activity: np.ndarray, layers: int = LAYERS) -> xr.Dataset:
    """Wrap (prompt, token, unit) activity as a recording."""
    units = activity.shape[2]
    layer = np.repeat(np.arange(layers), units // layers)
    index = np.arange(units) % (units // layers)
    names = [f"L{a}H{b}" for a, b in zip(layer, index, strict=True)]
    return xr.Dataset(
        {"activity": (("prompt", "token", "unit"), activity.astype(np.float32))},
        coords={
            "prompt": [f"p{i}" for i in range(activity.shape[0])], "unit": names, "layer": ("unit", layer),
            "index": ("unit", index), "depth": ("unit", layer / max(layers - 1, 1)),
        },
        attrs={"title": "Recording of a planted case"},
    )  # fmt: skip


def _hump(layers: int) -> np.ndarray:
    """1 in the middle third of the layers, 0 outside."""
    depth = np.linspace(0, 1, layers)
    return ((depth >= 1 / 3) & (depth <= 2 / 3)).astype(float)


def memory_only(rng: np.random.Generator, prompts: int = PROMPTS) -> xr.Dataset:
    """Independent AR(1) units; those of the middle layers remember more. An inverted U without any coupling."""
    phi = np.repeat(0.2 + 0.5 * _hump(LAYERS), HEADS)
    out = rng.standard_normal((prompts, TOKENS + 50, LAYERS * HEADS))
    for t in range(1, TOKENS + 50):
        out[:, t] = phi * out[:, t - 1] + np.sqrt(1 - phi**2) * out[:, t]
    return recording(5 + out[:, 50:])


def coupled(
    rng: np.random.Generator, prompts: int = PROMPTS, coupling: float = 0.45, noise: float = -0.8
) -> xr.Dataset:
    """Two populations in the middle layers drive each other by their sum; their noise has correlation ``noise``.

    What the two do next depends on their sum, which their anticorrelated noise hides from each alone: synergy. The
    outer layers are white.
    """
    out = rng.standard_normal((prompts, TOKENS + 50, LAYERS * HEADS))
    middle = np.flatnonzero(np.repeat(_hump(LAYERS), HEADS))
    shared = rng.multivariate_normal([0, 0], [[1, noise], [noise, 1]], size=(prompts, TOKENS + 50))
    state = np.zeros((prompts, TOKENS + 50, 2))
    for t in range(1, TOKENS + 50):
        state[:, t] = coupling * state[:, t - 1].sum(axis=1, keepdims=True) + shared[:, t]
    out[:, :, middle] = state[:, :, np.arange(middle.size) % 2] + 0.25 * out[:, :, middle]
    return recording(5 + out[:, 50:])


def with_drift(plain: xr.Dataset, amplitude: float) -> xr.Dataset:
    """Add to the middle layers a slow drift over position that all prompts share."""
    drift = amplitude * np.sin(np.linspace(0, np.pi, plain.sizes["token"]))
    middle = np.repeat(_hump(LAYERS), HEADS)
    moved = plain["activity"].values + drift[None, :, None] * middle
    return recording(moved)

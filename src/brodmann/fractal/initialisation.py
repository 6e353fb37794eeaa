"""What weights were before training, where no checkpoint says: deviations by the published rule of an architecture.

Used for models without a step 0, and marked wherever it is shown. GPT-NeoX of the Pythia suite up to 2.8b: a variance
of 2/(5 d) into a layer and a deviation of 2/(L sqrt(d)) out of it (`small_init` and `wang_init` of its configs); GPT-2
divides the deviation of what writes to the stream by sqrt(2 L); T5 goes by the number of inputs; all others take
`initializer_range` of their config.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brodmann.models.edges import Edges

_RANGE = ("initializer_range", "init_std")
_USUAL = 0.02
_DEPTH = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WIDTH = ("hidden_size", "n_embd", "d_model", "dim")
_OUT = ("attention_out", "mlp_out")


@dataclass(frozen=True)
class Initialisation:
    """Deviation of each tensor's weights before training."""

    deviations: Mapping[str, float]
    """By tensor name."""
    said: str
    """The rule in words."""


def initialisation(config: Mapping[str, Any], chain: Sequence[Edges]) -> Initialisation:
    """Deviations by the rule of an architecture.

    Parameters
    ----------
    config
        Values of ``config.json``.
    chain
        Steps with their tensors.
    """
    depth, width = _first(config, _DEPTH), _first(config, _WIDTH)
    plain = _first(config, _RANGE)
    family = str(config.get("model_type", ""))
    deviation, said = plain or _USUAL, f"normal, deviation {plain or _USUAL:g}"
    said += " (initializer_range of the config)" if plain else " (the usual value; the config names none)"
    into = out = deviation
    if family == "gpt_neox" and depth and width and width < 4096:
        into, out = float(np.sqrt(2 / (5 * width))), 2 / (depth * np.sqrt(width))
        said = f"normal, deviation {into:.4g} into layers and {out:.4g} out of them (the Pythia suite's rule)"
    elif family == "gpt2" and depth:
        out = deviation / float(np.sqrt(2 * depth))
        said = f"normal, deviation {into:.4g}, and {out:.4g} for what writes to the stream (GPT-2's rule)"
    elif family == "t5":
        factor = _first(config, ("initializer_factor",)) or 1.0
        said = "normal, deviation 1 / sqrt(inputs), of queries 1 / sqrt(inputs x head width) (T5's rule)"
        head = _first(config, ("d_kv",)) or 64.0
        return Initialisation({p.name: _t5(p.name, e.sources, head, factor) for e in chain for p in e.tensors}, said)
    found = {piece.name: (out if edges.kind in _OUT else into) for edges in chain for piece in edges.tensors}
    return Initialisation(found, said)


def _t5(name: str, sources: int, head: float, factor: float) -> float:
    return factor / float(np.sqrt(sources * (head if name.endswith(".q.weight") else 1.0)))


def _first(config: Mapping[str, Any], names: Sequence[str]) -> float:
    return next((float(config[name]) for name in names if isinstance(config.get(name), int | float)), 0.0)

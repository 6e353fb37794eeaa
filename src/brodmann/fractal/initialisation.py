"""What weights were before training, where no checkpoint says: deviations by the published rule of an architecture.

Used for models without a step 0, and marked wherever it is shown. The config's `initializer_range` decides, with these
exceptions: the Pythia suite up to 2.8b, known by width, depth and vocabulary, began with a variance of 2/(5 d) into a
layer and a deviation of 2/(L sqrt(d)) out of it (`small_init` and `wang_init`), though its configs say 0.02, and of its
larger models what writes to the stream was divided by sqrt(2 L); GPT-2 does so
too; T5 goes by the number of inputs. A file that names none (GGUF) leaves a guess, and what is counted from a guess is
no test.
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
_PYTHIA = {(128, 6), (256, 6), (512, 6), (768, 12), (1024, 24), (2048, 16), (2048, 24), (2560, 32)}
"""Width and depth of the suite's models up to 2.8b."""
_GUESS = "a guess: the files name none"
_VOCABULARY = (50_000, 51_200)
"""Sizes of the suite's vocabulary, padded as its checkpoints are."""
_PYTHIA_LARGE = {(4096, 32), (5120, 36)}


@dataclass(frozen=True)
class Initialisation:
    """Deviation of each tensor's weights before training."""

    deviations: Mapping[str, float]
    """By tensor name."""
    said: str
    """The rule in words."""
    guessed: bool = False
    """Whether neither the files nor the user say what the deviations were."""


def initialisation(config: Mapping[str, Any], chain: Sequence[Edges], deviation: float | None = None) -> Initialisation:
    """Deviations by the rule of an architecture.

    Parameters
    ----------
    config
        Values of ``config.json``.
    chain
        Steps with their tensors.
    deviation
        What the user says; it stands in for the config's.
    """
    depth, width = _first(config, _DEPTH), _first(config, _WIDTH)
    suite = (width, depth) if _VOCABULARY[0] <= _first(config, ("vocab_size",)) <= _VOCABULARY[1] else None
    family, named = str(config.get("model_type", "")), _first(config, _RANGE)
    into = out = deviation or named or _USUAL
    if deviation:
        said = f"normal, deviation {into:.4g}, as given"
    elif family == "gpt_neox" and suite in _PYTHIA:
        into, out = float(np.sqrt(2 / (5 * width))), 2 / (depth * np.sqrt(width))
        said = f"normal, deviation {into:.4g} into layers and {out:.4g} out of them (the Pythia suite's rule)"
    elif family == "gpt_neox" and suite in _PYTHIA_LARGE:
        into, out = _USUAL, _USUAL / float(np.sqrt(2 * depth))
        said = f"normal, deviation {into:.4g} into layers and {out:.4g} out of them (measured of Pythia 6.9b at step 0)"
    elif family == "t5":
        factor = _first(config, ("initializer_factor",)) or 1.0
        said = "normal, deviation 1 / sqrt(inputs), of queries 1 / sqrt(inputs x head width) (T5's rule)"
        head = _first(config, ("d_kv",)) or 64.0
        return Initialisation({p.name: _t5(p.name, e.sources, head, factor) for e in chain for p in e.tensors}, said)
    elif family == "gpt2" and depth:
        out = into / float(np.sqrt(2 * depth))
        said = f"normal, deviation {into:.4g}, and {out:.4g} for what writes to the stream (GPT-2's rule)"
    else:
        source = "initializer_range of the config, unless that was left as it is" if named else _GUESS
        said = f"normal, deviation {into:.4g} ({source})"
    found = {piece.name: (out if edges.kind in _OUT else into) for edges in chain for piece in edges.tensors}
    return Initialisation(found, said, guessed=not (deviation or named or (family == "gpt_neox" and into != out)))


def _t5(name: str, sources: int, head: float, factor: float) -> float:
    return factor / float(np.sqrt(sources * (head if name.endswith(".q.weight") else 1.0)))


def _first(config: Mapping[str, Any], names: Sequence[str]) -> float:
    return next((float(config[name]) for name in names if isinstance(config.get(name), int | float)), 0.0)

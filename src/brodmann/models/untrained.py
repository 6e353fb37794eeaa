"""Models with random weights: tiny ones of every family, and fresh weights for an opened model's config.

They have learned nothing: they serve tests and null models, and everything that shows one says so.
"""

import copy
from dataclasses import replace
from typing import Any

import torch
from transformers import CONFIG_MAPPING, PreTrainedModel
from transformers.initialization import no_init_weights

from brodmann.models.quiet import quiet
from brodmann.models.rules import FAMILIES
from brodmann.models.subject import Subject
from brodmann.models.tiny import tiny_values


def tiny_config(family: str, **changes: Any) -> Any:
    """Config of a tiny model of a family: 4 layers, 4 heads, width 32, one token per byte.

    Raises
    ------
    ModelError
        If the family is unknown; close names are suggested.
    """
    values = {**tiny_values(family), **changes}
    return CONFIG_MAPPING[FAMILIES[family][0]](**copy.deepcopy(values))


def fresh_model(model_class: Any, config: Any, seed: int, dtype: torch.dtype) -> PreTrainedModel:
    """Model with weights from the architecture's own initialisation; the global random state is left alone."""
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Modules would first draw torch's default weights, which the architecture's own then replace.
        with no_init_weights():
            model: PreTrainedModel = model_class._from_config(config, dtype=dtype)
        model.init_weights()
    return model.eval()


def randomise(subject: Subject, seed: int) -> Subject:
    """The same architecture and tokenizer with fresh random weights: a null model that has learned nothing.

    Parameters
    ----------
    subject
        The opened model; it is not changed.
    seed
        Decides the weights, whatever the state of torch's own generators.

    Examples
    --------
    >>> from brodmann.models import load, randomise
    >>> randomise(load("random:llama"), seed=3).provenance["seed"]
    3
    """
    old = subject.model
    model = fresh_model(type(old), copy.deepcopy(old.config), seed, old.dtype)
    device_map = getattr(old, "hf_device_map", None)
    if device_map and len(set(device_map.values())) > 1:
        from accelerate import dispatch_model

        model = dispatch_model(model, device_map=device_map)
    else:
        model = model.to(old.device)
    provenance = {
        **subject.provenance,
        "weights_hash": "none",
        "randomly_initialised": True,
        "seed": seed,
        "quantisation": None,
        "note": f"fresh random weights of the config of {subject.name}",
    }
    return replace(subject, model=model, provenance=provenance)

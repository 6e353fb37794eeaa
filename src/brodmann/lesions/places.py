"""Where the tokens of a forward call stand in their texts, whichever way a model is being driven.

Teacher forcing pads on the right, generation on the left and goes on from a cache: positions here count from the first
token of the text in all cases.
"""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from brodmann.models import Subject


@dataclass(frozen=True, eq=False)
class Place:
    """Where the tokens of a forward call stand in their texts."""

    ids: Int64[Tensor, "row token"] | None
    """Their ids, where the model was given ids."""
    position: Int64[Tensor, "row token"]
    """Counted from the first token that is not padding; negative for padding before it."""
    valid: Bool[Tensor, "row token"]
    """False for padding."""
    begins: bool
    """Whether the texts begin here, and do not go on from a cache."""


@contextmanager
def noted_places(subject: Subject) -> Iterator[dict[str, Place]]:
    """Note, at each forward call, where its tokens stand; for ``main`` and an encoder-decoder's ``encoder``."""
    model = subject.model
    both = subject.is_encoder_decoder
    roots = {"main": model.get_decoder(), "encoder": model.get_encoder()} if both else {"main": model.base_model}
    places: dict[str, Place] = {}

    def note(name: str, signature: inspect.Signature) -> Any:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            places[name] = _place({**signature.bind_partial(*args).arguments, **kwargs})

        return hook

    with ExitStack() as cleanup:
        for name, root in roots.items():
            hook = note(name, inspect.signature(root.forward))
            cleanup.callback(root.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield places


def _place(given: dict[str, Any]) -> Place:
    ids, mask, cache = (given.get(name) for name in ("input_ids", "attention_mask", "past_key_values"))
    tokens: Tensor = given["inputs_embeds"] if ids is None else ids
    shape, device = tokens.shape[:2], tokens.device
    past = int(cache.get_seq_length()) if cache is not None else 0
    position = past + torch.arange(shape[1], device=device).expand(*shape)
    valid = torch.ones(shape, dtype=torch.bool, device=device)
    if isinstance(mask, Tensor) and mask.ndim == 2:
        padding = (mask.cumsum(1) == 0).sum(1, keepdim=True)
        position, valid = position - padding, mask[:, -shape[1] :].bool()
    return Place(ids, position, valid, past == 0)

"""Taking experts out before the router chooses, whatever kind of router it is.

Routers of transformers 5 score all experts and then call ``topk``, once or (with groups of experts) several times.
While a block of experts runs, ``topk`` sees removed experts with the lowest score there is, so the router chooses
others by its own rule. The scores themselves, and so what they say about the other experts, stay as they are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from brodmann.errors import AnatomyError
from brodmann.models.anatomy import Site

Removed = Callable[[int, torch.device], Tensor | None]
"""Takes a number of tokens and a device, gives the mask (token, expert) of removed experts, or None."""

_TOPK = (torch.topk, torch.Tensor.topk)


class _OthersOnly(TorchFunctionMode):
    def __init__(self, site: Site, experts: int, removed: Removed) -> None:
        super().__init__()
        self._site, self._experts, self._removed = site, experts, removed
        self.asked = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in _TOPK:
            return func(*args, **kwargs)
        scores = args[0] if args else kwargs["input"]
        # With groups, scores are (token, group, expert of the group): the same numbers in the same order.
        if scores.numel() == 0 or scores.shape[0] * self._experts != scores.numel():
            return func(*args, **kwargs)
        self.asked = True
        mask = self._removed(scores.shape[0], scores.device)
        if mask is None:
            return func(*args, **kwargs)
        if scores.ndim == 2:
            self._refuse_too_few(mask, int(args[1] if len(args) > 1 else kwargs["k"]))
        masked = scores.masked_fill(mask.reshape(scores.shape), torch.finfo(scores.dtype).min)
        if args:
            return func(masked, *args[1:], **kwargs)
        return func(**{**kwargs, "input": masked})

    def _refuse_too_few(self, mask: Tensor, chosen: int) -> None:
        left = self._experts - int(mask.sum(-1).max())
        if left < chosen:
            raise AnatomyError(
                f"{self._site.module}: {left} experts are left, but the router chooses {chosen}; remove fewer"
            )


@contextmanager
def rerouted(block: nn.Module, site: Site, removed: Removed) -> Iterator[None]:
    """Let the router inside `block` choose among the experts that are left, while the context lasts.

    Raises
    ------
    AnatomyError
        While the model runs: if fewer experts are left than the router chooses, or if the router was not seen to
        choose.
    """
    experts = site.count - bool(site.shared)
    own = block.__dict__.get("forward")
    forward = block.forward

    # A wrapper and not two hooks: a hook after the call is left out when Ctrl-C ends it.
    def with_others_only(*args: Any, **kwargs: Any) -> Any:
        with _OthersOnly(site, experts, removed) as mode:
            output = forward(*args, **kwargs)
        if not mode.asked:
            raise AnatomyError(f"{site.module}: its router's choice could not be reached, so nothing can be rerouted")
        return output

    block.forward = with_others_only
    try:
        yield
    finally:
        if own is None:
            del block.forward
        else:
            block.forward = own

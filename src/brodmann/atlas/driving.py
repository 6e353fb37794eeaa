"""How long a model that a study drives is at work: wall seconds of its forward passes, taps and lesions included.

Backward passes and what a study does with the outputs are not counted.
"""

import time
from types import TracebackType
from typing import Any


class Driven:
    """Counts the seconds of a model's forward passes while the context lasts; changes nothing about them.

    Parameters
    ----------
    model
        A Hugging Face model. Studies call it whole or by its body alone, so both are listened to, and the outermost
        call counts.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.Linear(2, 2)
    >>> with Driven(layer) as driven:
    ...     _ = layer(torch.zeros(1, 2))
    >>> driven.seconds > 0
    True
    """

    def __init__(self, model: Any) -> None:
        self.seconds = 0.0
        self._depth, self._since = 0, 0.0
        self._handles: list[Any] = []
        parts = [model, getattr(model, "base_model", None)]
        parts += [getattr(model, name)() for name in ("get_encoder", "get_decoder") if hasattr(model, name)]
        self._modules = {id(part): part for part in parts if hasattr(part, "register_forward_pre_hook")}

    def __enter__(self) -> "Driven":
        for module in self._modules.values():
            self._handles.append(module.register_forward_pre_hook(self._begin))
            self._handles.append(module.register_forward_hook(self._end, always_call=True))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()

    def _begin(self, *_: Any) -> None:
        self._depth += 1
        if self._depth == 1:
            self._since = time.perf_counter()

    def _end(self, module: Any, *_: Any) -> None:
        self._depth = max(0, self._depth - 1)
        if self._depth == 0:
            _wait(module)
            self.seconds += time.perf_counter() - self._since


def _wait(module: Any) -> None:
    """On a GPU a pass has only been asked for when the call returns."""
    weight = next(module.parameters(), None)
    if weight is not None and weight.device.type == "cuda":
        import torch

        torch.cuda.synchronize(weight.device)

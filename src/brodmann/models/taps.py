"""Listening to a model's units while it works, without changing a bit of what it computes.

Signals (each reduced inside the hook; no (token, head, d_model) array ever exists):

``z_norm``       L2 norm of a head's attention output before the output projection (2601.06851)
``write_norm``   L2 norm of what the head adds to the residual stream, |W_O,h z_h|, through the triangular factor R of
                 the head's slice, R'R = W_O,h' W_O,h (its Gram matrix); where a norm follows the attention
                 (Gemma 2 and 3, OLMo 2) this is before that post-norm
``expert_norm``  L2 norm of a routed expert's output times its gate value; 0 where the router did not select it
``neuron``       the neuron's activation (signed): input of the MLP's down projection; fused experts' are left out
``residual``     L2 norm of a layer's output, one unit per layer

Norms are taken in float32 whatever the weights' type. Positions are the model's own: with left padding the last
position is the last token of every prompt.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from brodmann.errors import AnatomyError
from brodmann.models.anatomy import Site, norms, submodule, unit_table
from brodmann.models.experts import expert_norms
from brodmann.models.subject import Subject
from brodmann.settings import SIGNALS, Signal


class Tap:
    """What `listen` gives: collects the signal of each forward call until it is taken."""

    def __init__(self, sites: tuple[Site, ...], last_only: bool) -> None:
        self._sites = sites
        self._last_only = last_only
        self._values: dict[Site, list[Tensor]] = {site: [] for site in sites}
        self._selected: dict[Site, list[Tensor]] = {site: [] for site in sites if site.kind == "expert"}
        self._shape: dict[str, tuple[int, int]] = {}
        self._taken_selected: Tensor | None = None
        self._units = unit_table(sites)

    @property
    def units(self) -> pd.DataFrame:
        """Table of the units, in the order of the last axis of `take`."""
        return self._units

    def take(self) -> Float[Tensor, "batch token unit"]:
        """Everything heard since the last take, float32 on the CPU; calls are joined along the token axis.

        Raises
        ------
        AnatomyError
            If some module heard nothing (the model did not run, or ran around it).
        """
        deaf = [site.module for site, heard in self._values.items() if not heard]
        if deaf:
            raise AnatomyError(f"nothing was heard at {deaf[0]}" + (f" and {len(deaf) - 1} more" if deaf[1:] else ""))
        values = _join(list(self._values.values()))
        self._taken_selected = _join(list(self._selected.values())) if self._selected else None
        self.clear()
        return values

    def take_selected(self) -> Bool[Tensor, "batch token unit"] | None:
        """Which routed experts were chosen, for what `take` just gave; shared experts always are. Else None."""
        return self._taken_selected

    def clear(self) -> None:
        """Forget what was heard and not yet taken."""
        for heard in (*self._values.values(), *self._selected.values()):
            heard.clear()

    def begin(self, stack: str, hidden: Tensor) -> None:
        """Note how many prompts and tokens a forward call brings (some modules see them flattened)."""
        self._shape[stack] = (hidden.shape[0], hidden.shape[1])

    def hear(self, site: Site, value: Tensor, selected: Tensor | None = None) -> None:
        """Keep the reduced signal of a site: (batch, token, unit), or (batch * token, unit)."""
        shape = self._shape.get(site.stack)
        for kept, one in ((self._values, value), (self._selected, selected)):
            if one is None:
                continue
            if one.ndim == 2:
                if shape is None or one.shape[0] != shape[0] * shape[1]:
                    raise AnatomyError(f"{site.module}: cannot tell prompts from tokens in shape {tuple(one.shape)}")
                one = one.reshape(*shape, one.shape[-1])
            kept[site].append(one[:, -1:].clone() if self._last_only else one)


def _join(sites: list[list[Tensor]]) -> Tensor:
    # One transfer per device instead of one per layer.
    parts = [each[0] if len(each) == 1 else torch.cat(each, dim=1) for each in sites]
    runs: list[list[Tensor]] = []
    for part in parts:
        if runs and runs[-1][0].device == part.device:
            runs[-1].append(part)
        else:
            runs.append([part])
    return torch.cat([torch.cat(run, dim=-1).cpu() for run in runs], dim=-1)


@contextmanager
def listen(subject: Subject, signal: Signal, *, last_only: bool = False, stack: str | None = None) -> Iterator[Tap]:
    """Read a signal of all units while the model runs inside the context.

    Parameters
    ----------
    subject
        The opened model. It is not changed: all hooks, and the experts' implementation, are as before at exit, also
        after an exception.
    signal
        ``z_norm``, ``write_norm``, ``expert_norm``, ``neuron`` or ``residual``.
    last_only
        Keep only the last position of each forward call (the token being processed while generating).
    stack
        ``encoder``, ``decoder`` or ``cross``; None takes all stacks on the generated text's token axis.

    Yields
    ------
    Tap
        ``tap.take()`` gives (batch, token, unit) after a forward call.

    Raises
    ------
    AnatomyError
        If the model has no such units.

    Examples
    --------
    >>> import torch
    >>> from brodmann.models import listen, load
    >>> subject = load("random:llama")
    >>> with listen(subject, "z_norm") as tap:
    ...     _ = subject.model(torch.tensor([[5, 6, 7]]))
    >>> tuple(tap.take().shape)
    (1, 3, 16)
    """
    sites = subject.anatomy.select(signal, stack)
    tap = Tap(sites, last_only)
    with ExitStack() as cleanup:
        for name in dict.fromkeys(site.stack for site in sites):
            first = next(s for s in subject.anatomy.sites if s.stack == _layers_of(name) and s.kind == "residual")
            hook = _note_shape(tap, name)
            cleanup.callback(_module(subject, first.module).register_forward_pre_hook(hook, with_kwargs=True).remove)
        if SIGNALS[signal].kind == "expert":
            cleanup.enter_context(expert_norms(subject.model, sites, tap.hear))
        else:
            for site in sites:
                cleanup.callback(_HEAR[signal](tap, site, _module(subject, site.module)).remove)
        yield tap


def _layers_of(stack: str) -> str:
    return "decoder" if stack == "cross" else stack


def _module(subject: Subject, path: str) -> nn.Module:
    module = submodule(subject.model, path)
    if module is None:
        raise AnatomyError(f"{subject.name}: there is no module {path}")
    return module


def first_tensor(value: Any) -> Tensor:
    """First tensor of what a module takes or gives: itself, or inside a tuple."""
    return value if isinstance(value, Tensor) else first_tensor(value[0])


def _note_shape(tap: Tap, stack: str) -> Callable[..., None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tap.begin(stack, first_tensor(args) if args else kwargs["hidden_states"])

    return hook


def _heads(tap: Tap, site: Site, module: nn.Module, reduce: Callable[[Tensor], Tensor]) -> Any:
    """Hear the concatenated heads (..., head, width) that enter a projection, reduced to one number each."""

    def hook(_module: nn.Module, args: tuple[Any, ...]) -> None:
        tap.hear(site, reduce(args[0].detach().unflatten(-1, (site.count, site.width))))

    return module.register_forward_pre_hook(hook)


def _z_norm(tap: Tap, site: Site, module: nn.Module) -> Any:
    return _heads(tap, site, module, norms)


def _write_norm(tap: Tap, site: Site, module: nn.Module) -> Any:
    factor = write_factor(module, site)
    return _heads(tap, site, module, lambda heads: norms(torch.einsum("hrc,...hc->...hr", factor, heads.to(factor))))


def _neuron(tap: Tap, site: Site, module: nn.Module) -> Any:
    def hook(_module: nn.Module, args: tuple[Any, ...]) -> None:
        # A copy: the activation may be overwritten in place later.
        tap.hear(site, args[0].detach().to(torch.float32, copy=True))

    return module.register_forward_pre_hook(hook)


def _residual(tap: Tap, site: Site, module: nn.Module) -> Any:
    def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        stream = first_tensor(output).detach()
        tap.hear(site, norms(stream).unsqueeze(-1))

    return module.register_forward_hook(hook)


# Signals of experts are heard inside the routed sum (`experts.py`); all others at one module per site.
_HEAR: dict[str, Callable[[Tap, Site, nn.Module], Any]] = {
    "z_norm": _z_norm,
    "write_norm": _write_norm,
    "neuron": _neuron,
    "residual": _residual,
}


def head_slices(module: nn.Module, site: Site) -> Float[Tensor, "head d_model width"]:
    """W_O of each head, float32: what it writes is W_O,h z_h.

    Raises
    ------
    AnatomyError
        If the weights are stored quantised, so that they cannot be read as numbers.
    """
    weight = module.weight
    if not isinstance(weight, Tensor) or not weight.is_floating_point() or weight.is_meta:
        raise AnatomyError(f"{site.module}: the weights are quantised or elsewhere; write_norm needs them as numbers")
    matrix = weight.detach().to(torch.float32)
    if hasattr(module, "nf"):  # Conv1D keeps (in, out)
        matrix = matrix.T
    return matrix.reshape(-1, site.count, site.width).movedim(1, 0)


def write_factor(module: nn.Module, site: Site) -> Float[Tensor, "head rank width"]:
    """Triangular R with R'R the Gram matrix of each head's W_O slice, so that |W_O,h z| = |R z|.

    From a QR decomposition: squaring the weights (forming the Gram matrix itself) would lose half the digits.
    """
    factor: Tensor = torch.linalg.qr(head_slices(module, site), mode="r").R
    return factor

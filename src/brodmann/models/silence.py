"""Switching heads and experts off, or down, exactly, while a context lasts; the weights are not touched.

A gate is the factor on what a unit writes: 1 intact, 0 removed. Every row of a batch may have gates of its own, so that
several lesions run in one forward pass. How noise is put into weights stands elsewhere (`brodmann.lesions`).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from brodmann.errors import AnatomyError
from brodmann.models.anatomy import Site, submodule, unit_table
from brodmann.models.rerouting import rerouted
from brodmann.models.subject import Subject
from brodmann.settings import SIGNALS, Signal

Fill = Callable[[Site, Tensor], Tensor]
"""What stands in for a head that is gated down: takes a site and its heads (..., head, width), gives the same shape or
one that broadcasts to it."""


@contextmanager
def lesion(
    subject: Subject,
    units: Sequence[str],
    *,
    renormalise: bool = False,
    reroute: bool = False,
    fill: Fill | None = None,
) -> Iterator[None]:
    """Silence units: what a head or a routed expert would write is zero.

    A head's slice of the output projection's input is zeroed (the projection's bias stays). A routed expert's gate
    value is zeroed after the router's choice, so the other experts keep theirs. The weights are not touched.

    Parameters
    ----------
    subject
        The opened model.
    units
        Unit ids: ``L12H3``, ``L12E7``, in encoder-decoder models ``cross.L0H3``.
    renormalise, reroute, fill
        As in `gated`.

    Raises
    ------
    AnatomyError
        If a unit does not exist or is of a kind that cannot be silenced here, or an option does not suit its kind.

    Examples
    --------
    >>> import torch
    >>> from brodmann.models import lesion, load
    >>> subject = load("random:gpt2")
    >>> with lesion(subject, ["L0H1"]):
    ...     damaged = subject.model(torch.tensor([[5, 6, 7]])).logits
    """
    where = find_units(subject, units)
    signals = [signal for signal, kind in _GATED.items() if kind in {site.kind for site in where}]
    with ExitStack() as cleanup:
        for signal in signals:
            gates = gates_without(subject, units, signal, stack="all")
            cleanup.enter_context(
                gated(subject, gates, signal=signal, stack="all", renormalise=renormalise, reroute=reroute, fill=fill)
            )
        yield


def find_units(subject: Subject, units: Sequence[str]) -> dict[Site, list[int]]:
    """Where heads and experts are: their sites and their places there, each once.

    Raises
    ------
    AnatomyError
        If one does not exist, or is neither a head nor an expert.
    """
    if isinstance(units, str):
        raise AnatomyError(f"units to lesion are a list of ids, not the one string '{units}'")
    sites = [site for site in subject.anatomy.sites if site.kind in ("head", "expert")]
    known = {unit: (site, index) for site in sites for index, unit in enumerate(unit_table((site,))["unit"])}
    missing = [unit for unit in units if unit not in known]
    if missing:
        raise AnatomyError(f"{subject.name} has no head or expert '{missing[0]}': {_there(sites, missing[0])}")
    where: dict[Site, list[int]] = {}
    for unit in dict.fromkeys(units):
        site, index = known[unit]
        where.setdefault(site, []).append(index)
    return where


def _there(sites: Sequence[Site], wanted: str) -> str:
    """What a model has where a unit is not: the layers and numbers of such ids, or that it has none of the kind."""
    like = re.fullmatch(r"(.*)L\d+([HE])\d+", wanted)
    if like is not None:
        kind = "head" if like[2] == "H" else "expert"
        sites = [site for site in sites if site.kind == kind]
        if not sites:
            return f"the model has no {kind}s"
        sites = [site for site in sites if site.prefix == like[1]] or sites
    ranges = []
    for prefix, kind in dict.fromkeys((site.prefix, site.kind) for site in sites):
        here = [site for site in sites if (site.prefix, site.kind) == (prefix, kind)]
        layers, most = [site.layer for site in here], max(site.count for site in here)
        first = unit_table((here[0],))["unit"][0]
        ranges.append(f"layers {min(layers)} to {max(layers)}, {kind}s 0 to {most - 1} (ids like {first})")
    return f"it has {'; '.join(ranges)}"


def gates_without(subject: Subject, units: Sequence[str], signal: Signal, *, stack: str | None = None) -> Tensor:
    """One row of gates, float32: 0 for the units named, 1 for all others of the signal."""
    table = subject.anatomy.units(signal, stack)
    removed = table["unit"].isin(list(units)).to_numpy(copy=True)
    return 1.0 - torch.from_numpy(removed).float()[None]


_GATED: dict[Signal, str] = {"z_norm": "head", "expert_norm": "expert"}


class Gates:
    """What `gated` gives: the gates in force, which a sweep changes without hooking the model anew."""

    def __init__(self, sites: tuple[Site, ...]) -> None:
        self._units = unit_table(sites)
        self._columns: dict[Site, slice] = {}
        start = 0
        for site in sites:
            self._columns[site] = slice(start, start + site.count)
            start += site.count
        self._gates: Tensor | None = None
        self._changed: set[Site] = set()
        self._parts: dict[Site, Tensor] = {}
        self._tokens: dict[str, int] = {}

    @property
    def units(self) -> pd.DataFrame:
        """Table of the units, in the order of the gates' columns."""
        return self._units

    def set(self, gates: Tensor | None) -> None:
        """Put other gates in force.

        Parameters
        ----------
        gates
            Float (row, unit), one row per row of the batches to come, or one row for all; None lets all be intact.
            Gates that require a gradient get one.

        Raises
        ------
        AnatomyError
            If the shape or the number type does not fit.
        """
        if gates is None:
            self._gates, self._changed = None, set()
            return
        if gates.ndim != 2 or gates.shape[0] == 0 or gates.shape[1] != len(self._units):
            raise AnatomyError(
                f"gates have shape {tuple(gates.shape)}; they must be (rows, {len(self._units)}), a column per unit"
                f" from {self._units['unit'].iloc[0]} to {self._units['unit'].iloc[-1]}"
            )
        if not gates.is_floating_point() or not bool(torch.isfinite(gates).all()):
            raise AnatomyError(f"gates must be finite floating-point numbers, not {gates.dtype} with gaps")
        # A copy, so that a caller may go on writing into its own array.
        self._gates = gates if gates.requires_grad else gates.detach().clone()
        touched = (gates.detach() != 1).any(0).cpu()
        self._changed = {
            site for site, columns in self._columns.items() if gates.requires_grad or bool(touched[columns].any())
        }
        self._parts = {}

    def begin(self, stack: str, rows: int, tokens: int) -> None:
        """Note how many rows and tokens a forward call brings to a stack of layers."""
        if self._gates is not None and self._changed and self._gates.shape[0] not in (1, rows):
            raise AnatomyError(f"gates have {self._gates.shape[0]} rows, but the model runs {rows} rows at once")
        self._tokens[stack] = tokens

    def part(self, site: Site, like: Tensor) -> Tensor | None:
        """Gates (row, unit) of a site, as `like` is kept; None where all are 1."""
        if self._gates is None or site not in self._changed:
            return None
        part = self._parts.get(site)
        if part is None or part.dtype != like.dtype or part.device != like.device:
            part = self._gates[:, self._columns[site]].to(like)
            if not self._gates.requires_grad:
                self._parts[site] = part
        return part

    def rows_of(self, site: Site, count: int, device: torch.device) -> Tensor:
        """Row of the gates for each of `count` tokens that were flattened, row after row."""
        if self._gates is None or self._gates.shape[0] == 1:
            return torch.zeros(count, dtype=torch.int64, device=device)
        rows = self._gates.shape[0]
        tokens = self._tokens.get(site.stack, 0)
        if rows * tokens != count:
            raise AnatomyError(f"{site.module}: cannot tell rows from tokens among {count} tokens of {rows} rows")
        return torch.arange(rows, device=device).repeat_interleave(tokens)


@contextmanager
def gated(
    subject: Subject,
    gates: Tensor | None = None,
    *,
    signal: Signal = "z_norm",
    stack: str | None = None,
    renormalise: bool = False,
    reroute: bool = False,
    fill: Fill | None = None,
) -> Iterator[Gates]:
    """Multiply what units write by gates, row by row of the batch, while the context lasts.

    Head h's slice of the output projection's input is multiplied by ``gates[row, h]`` (the projection's bias stays), a
    routed expert's gate value after the router's choice likewise, the shared experts' output likewise. Layers whose
    gates are all 1 are passed over. The weights are not touched; all hooks are gone at exit, also after an exception.

    Parameters
    ----------
    subject
        The opened model.
    gates
        Float (row, unit) over ``subject.anatomy.units(signal, stack)``: one row per row of the batch, or one row for
        all; 1 intact, 0 removed. Gates that require a gradient get one. None starts intact.
    signal
        Which units the columns are: ``z_norm`` for heads, ``expert_norm`` for experts.
    stack
        As in ``anatomy.units``.
    renormalise
        Experts: rescale the gate values of a token's experts to the sum they had before.
    reroute
        Experts: those with gate 0 are taken out before the router chooses, which then chooses others.
    fill
        Heads: what stands in, so that a head becomes ``gate * z + (1 - gate) * fill``; None stands for zero.

    Yields
    ------
    Gates
        ``.set(gates)`` puts other gates in force.

    Raises
    ------
    AnatomyError
        If the model has no such units, or the gates' shape does not fit them or the batch.

    Examples
    --------
    >>> import torch
    >>> from brodmann.models import load
    >>> from brodmann.models.silence import gated
    >>> subject = load("random:llama")
    >>> gates = torch.ones(2, len(subject.anatomy.units("z_norm")))
    >>> gates[1, 3] = 0
    >>> with gated(subject, gates), torch.no_grad():
    ...     intact, damaged = subject.model(torch.tensor([[5, 6, 7], [5, 6, 7]])).logits
    >>> bool((intact == damaged).all())
    False
    """
    if signal not in _GATED:
        kind = SIGNALS[signal].kind if signal in SIGNALS else signal
        raise AnatomyError(f"{kind} units cannot be gated; signals with gates are {', '.join(_GATED)}")
    if (renormalise or reroute) and signal != "expert_norm":
        raise AnatomyError("renormalise and reroute are for experts (signal 'expert_norm')")
    if fill is not None and signal == "expert_norm":
        raise AnatomyError("experts have no stand-in: they can only be gated down")
    sites = subject.anatomy.select(signal, stack)
    handle = Gates(sites)
    handle.set(gates)
    with ExitStack() as cleanup:
        for name in dict.fromkeys(site.stack for site in sites):
            first = _layer_of(subject, name)
            cleanup.callback(first.register_forward_pre_hook(_note_shape(handle, name), with_kwargs=True).remove)
        for site in sites:
            module = _module(subject, site.module)
            if site.kind == "head":
                cleanup.callback(module.register_forward_pre_hook(_gate_heads(handle, site, fill)).remove)
                continue
            cleanup.callback(module.register_forward_pre_hook(_gate_experts(handle, site, renormalise)).remove)
            if site.shared:
                shared = _module(subject, site.shared)
                cleanup.callback(shared.register_forward_hook(_gate_shared(handle, site)).remove)
            if reroute:
                block = _module(subject, site.module.rpartition(".")[0])
                cleanup.enter_context(rerouted(block, site, _removed(handle, site)))
        yield handle


def _module(subject: Subject, path: str) -> nn.Module:
    module = submodule(subject.model, path)
    if module is None:
        raise AnatomyError(f"{subject.name}: there is no module {path}")
    return module


def _layer_of(subject: Subject, stack: str) -> nn.Module:
    own = "decoder" if stack == "cross" else stack  # cross-attention has no layers of its own
    return _module(subject, next(s for s in subject.anatomy.sites if s.stack == own and s.kind == "residual").module)


def _note_shape(handle: Gates, stack: str) -> Callable[..., None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        handle.begin(stack, hidden.shape[0], hidden.shape[1])

    return hook


def _gate_heads(handle: Gates, site: Site, fill: Fill | None) -> Callable[..., Any]:
    def hook(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        gate = handle.part(site, args[0])
        if gate is None:
            return None
        heads = args[0].unflatten(-1, (site.count, site.width))
        if heads.ndim == 4:
            gate = gate[:, None, :, None]
        else:
            gate = gate[handle.rows_of(site, len(heads), gate.device), :, None]
        # A gate of 1 leaves every bit as it is, also beside a fill.
        mixed = heads * gate if fill is None else heads * gate + fill(site, heads) * (1 - gate)
        return (mixed.flatten(-2), *args[1:])

    return hook


def _gate_experts(handle: Gates, site: Site, renormalise: bool) -> Callable[..., Any]:
    def hook(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if len(args) != 3:
            raise AnatomyError(f"{site.module} was called with {len(args)} arguments instead of 3")
        hidden, index, weight = args
        gate = handle.part(site, weight)
        if gate is None:
            return None
        rows = handle.rows_of(site, len(index), index.device)
        gated_weight = weight * gate[rows[:, None], index]
        if renormalise:
            left = gated_weight.sum(-1, keepdim=True)
            # x / x is 1 to the last bit: tokens that lost no expert are unchanged. Where all are gone, 0 stays 0.
            gated_weight = gated_weight * (weight.sum(-1, keepdim=True) / torch.where(left != 0, left, 1))
        return hidden, index, gated_weight

    return hook


def _gate_shared(handle: Gates, site: Site) -> Callable[..., Any]:
    def hook(_module: nn.Module, _args: Any, output: Tensor) -> Tensor | None:
        gate = handle.part(site, output)
        if gate is None:
            return None
        rows = handle.rows_of(site, output[..., 0].numel(), output.device)
        return output * gate[rows, -1].reshape(*output.shape[:-1], 1)

    return hook


def _removed(handle: Gates, site: Site) -> Callable[[int, torch.device], Tensor | None]:
    """Mask (token, expert) of the routed experts that a layer must do without; None where there is none."""

    def mask(tokens: int, device: torch.device) -> Tensor | None:
        gate = handle.part(site, torch.empty(0, device=device))
        if gate is None:
            return None
        removed = gate[:, : site.count - bool(site.shared)] == 0
        return removed[handle.rows_of(site, tokens, device)] if bool(removed.any()) else None

    return mask

"""Disturbing units: Gaussian noise on their weights while a context lasts, and not a bit of it afterwards.

Query rows and output columns of chosen heads, all parameters of chosen experts (arXiv 2601.06851, figure 4b, which does
not state the noise's size). Its standard deviation is alpha times that of the matrix, so that alpha means the same in
every layer. The untouched numbers are kept aside and copied back, also after an exception or Ctrl-C.
"""

import hashlib
import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from brodmann.errors import SettingsError
from brodmann.models import Site, Subject
from brodmann.models.anatomy import unit_table
from brodmann.models.silence import find_units
from brodmann.models.weights import WeightSlice, expert_weights, weights_at

Part = Literal["query", "key", "value", "output"]

# The experts of one layer may take gigabytes, and more in double precision: their spread is summed in pieces.
_PIECE = 2**22


@dataclass(frozen=True, eq=False)
class Edit:
    """Some numbers of one parameter, as they are and as they shall be."""

    weight: Tensor
    dim: int
    index: Tensor
    before: Tensor
    after: Tensor

    def apply(self) -> None:
        """Write the new numbers."""
        self.weight.index_copy_(self.dim, self.index, self.after)

    def restore(self) -> None:
        """Write the old numbers, bit by bit; it does no harm to do it twice, or without `apply`."""
        self.weight.index_copy_(self.dim, self.index, self.before)


@contextmanager
def noisy(
    subject: Subject,
    units: Sequence[str],
    *,
    alpha: float,
    seed: int = 0,
    which: Sequence[str] = ("query", "output"),
) -> Iterator[None]:
    """Add noise to the weights of units while the context lasts.

    Parameters
    ----------
    subject
        The opened model.
    units
        Ids of heads and experts.
    alpha
        Standard deviation of the noise over that of the matrix: the layer's query rows, its output projection, an
        experts' parameter. (Over the numbers of that matrix, whatever else is fused with it.)
    seed
        Decides the noise. A unit's noise depends on the seed and on its own name only: neither on the other units
        nor, up to its scale, on alpha.
    which
        Heads: ``query`` rows, ``key`` and ``value`` rows (shared by the heads of a group), ``output`` columns.

    Raises
    ------
    AnatomyError
        If a unit does not exist or its weights are quantised. Nothing has been changed then.
    SettingsError
        If alpha is negative or no number, or `which` is unknown or empty.
    """
    with edited(noise(subject, units, alpha=alpha, seed=seed, which=which)):
        yield


def noise(
    subject: Subject, units: Sequence[str], *, alpha: float, seed: int, which: Sequence[str] = ("query", "output")
) -> tuple[Edit, ...]:
    """Noise of `noisy`, not yet added."""
    if not (math.isfinite(alpha) and alpha >= 0):
        raise SettingsError(f"alpha = {alpha}; noise needs a strength of 0 or more")
    if isinstance(which, str) or not which or set(which) - set(get_args(Part)):
        raise SettingsError(f"which = {which!r}; name some of {', '.join(get_args(Part))} in a tuple")
    slices: dict[tuple[str, int], list[tuple[str, WeightSlice, float]]] = {}
    for site, indices in find_units(subject, units).items():
        chosen = (
            _of_heads(subject, site, indices, which) if site.kind == "head" else _of_experts(subject, site, indices)
        )
        for label, each, spread in chosen:
            slices.setdefault((each.parameter_name, each.dim), []).append((label, each, spread))
    return tuple(_edit(subject, found, alpha, seed) for found in slices.values())


@contextmanager
def edited(edits: Sequence[Edit]) -> Iterator[None]:
    """Apply edits to weights while the context lasts; at exit every bit is as before.

    A ``finally`` alone would not do: Ctrl-C may come after the first edit and before it is reached, or while it
    restores. In the main thread the weights are therefore restored before the interrupt is raised at all.
    """
    guard = _Guard(edits)
    try:
        guard.open()
        yield
    finally:
        guard.close()


class _Guard:
    """Keeps edits in force, and takes them back before an interrupt goes on its way."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits
        self._in_force = False
        self._previous: Callable[[int, FrameType | None], Any] | None = None

    def open(self) -> None:
        if self._edits and threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):
                self._previous = previous
                signal.signal(signal.SIGINT, self._interrupted)
        self._in_force = True
        self._apply()

    def close(self) -> None:
        try:
            self._restore()
        finally:
            self._in_force = False
            if self._previous is not None and signal.getsignal(signal.SIGINT) == self._interrupted:
                signal.signal(signal.SIGINT, self._previous)

    def _apply(self) -> None:
        for edit in self._edits:
            edit.apply()

    def _restore(self) -> None:
        for edit in self._edits:
            edit.restore()

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self._previous is None:
            return
        if not self._in_force:
            self._previous(number, frame)
            return
        self._restore()
        self._in_force = False
        self._previous(number, frame)
        # It raised nothing: the work goes on, and so does the lesion.
        self._in_force = True
        self._apply()


_Chosen = Iterator[tuple[str, WeightSlice, float]]
"""Name of the noise, numbers that get it, standard deviation of their matrix."""


def _of_heads(subject: Subject, site: Site, heads: Sequence[int], which: Sequence[str]) -> _Chosen:
    every = weights_at(subject, site, range(site.count))
    ids = list(unit_table((site,))["unit"])
    for part in dict.fromkeys(which):
        slices: list[WeightSlice] = [getattr(each, part) for each in every]
        whole = torch.cat(list({int(each.index[0]): each.index for each in slices}.values()))
        spread = _spread(WeightSlice(slices[0].parameter_name, slices[0].dim, whole).read(subject.model))
        # the heads of a group share keys and values: noise is added once
        owners = {every[head].group[0] if part in ("key", "value") else ids[head]: head for head in heads}
        for owner, head in owners.items():
            yield f"{owner} {part}", slices[head], spread


def _of_experts(subject: Subject, site: Site, experts: Sequence[int]) -> _Chosen:
    ids = list(unit_table((site,))["unit"])
    spreads: dict[str, float] = {}
    for expert in experts:
        for each in expert_weights(subject, ids[expert]):
            if each.parameter_name not in spreads:
                spreads[each.parameter_name] = _spread(each.parameter(subject.model).detach())
            yield f"{ids[expert]} {each.parameter_name}", each, spreads[each.parameter_name]


def _spread(weight: Tensor) -> float:
    """Standard deviation (ddof 0) of all numbers of a matrix."""
    total = squares = 0.0
    flat = weight.reshape(-1)
    for start in range(0, len(flat), _PIECE):
        wide = flat[start : start + _PIECE].double()
        total, squares = total + float(wide.sum()), squares + float((wide**2).sum())
    mean = total / weight.numel()
    return math.sqrt(max(squares / weight.numel() - mean**2, 0.0))


def _edit(subject: Subject, found: Sequence[tuple[str, WeightSlice, float]], alpha: float, seed: int) -> Edit:
    weight = found[0][1].parameter(subject.model).detach()
    dim = found[0][1].dim
    wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
    before, after = [], []
    for label, each, spread in found:
        old = each.read(subject.model)
        name = int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "big")
        draw = torch.from_numpy(np.random.default_rng([seed, name]).standard_normal(tuple(old.shape), np.float32))
        before.append(old)
        after.append((old.to(wide) + alpha * spread * draw.to(old.device, wide)).to(old.dtype))
    index = torch.cat([each.index for _, each, _ in found]).to(weight.device)
    return Edit(weight, dim, index, torch.cat(before, dim), torch.cat(after, dim))

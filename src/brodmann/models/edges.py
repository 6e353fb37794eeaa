"""Edges between two layers of neurons, as data: which tensors hold them, or which heads. No torch."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from brodmann.models.heads import Heads
from brodmann.models.shards import Checkpoint, Stored

Step = Literal["latent", "qkv", "attention", "attention_out", "mlp_in", "mlp_out"]


@dataclass(frozen=True)
class Piece:
    """A matrix: a tensor, or a part of one."""

    name: str
    rows: slice | None = None
    """Which targets; None for all."""
    index: int | None = None
    """Which expert of a fused tensor (expert, ...)."""
    transposed: bool = False
    """Whether it is stored as (source, target), not (target, source)."""

    def read(self, checkpoint: Checkpoint) -> Stored:
        """Numbers as they are stored, (target, source) or, where `transposed`, (source, target)."""
        if not self.transposed:
            return checkpoint.read(self.name, index=self.index, rows=self.rows)
        whole = checkpoint.read(self.name, index=self.index)
        if self.rows is None:
            return whole
        return Stored(np.ascontiguousarray(whole.raw[:, self.rows]), whole.storage)


@dataclass(frozen=True, eq=False)
class Edges:
    """A step of the chain: the edges from one layer of neurons to another."""

    source: str
    target: str
    kind: Step
    """``attention`` has no weights: see `heads`."""
    stack: str
    """``decoder``, ``encoder`` or ``cross``."""
    block: int
    tensors: tuple[Piece, ...]
    """Parallel edges between the same neurons: a gate and an input, of which a graph keeps the shorter."""
    sources: int
    """Neurons of `source`."""
    targets: int
    """Neurons of `target` that these edges reach: all, or those from `start` on."""
    start: int = 0
    """First neuron of `target` that is reached: queries, keys and values in matrices of their own share a layer."""
    heads: Heads | None = None
    """``attention`` only: which neuron reaches which output, at length 1."""

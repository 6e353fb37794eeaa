"""The corpus as tokens: streams to draw training rows from, and fixed held-out rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scripts.series.corpus import Corpus

HELD_OUT_ROWS = 24
"""Rows per domain at most."""


@dataclass(frozen=True)
class Streams:
    """Each domain's documents in one row of tokens, with token 0 after each document."""

    train: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray]

    def rows(self, context: int) -> dict[str, Tensor]:
        """Held-out text of each domain, cut into rows of equal length: (row, token)."""
        return {
            domain: torch.from_numpy(
                stream[: len(stream) // context * context].reshape(-1, context)[:HELD_OUT_ROWS].astype(np.int64)
            )
            for domain, stream in self.held_out.items()
        }


def streams(corpus: Corpus, tokenizer: Any) -> Streams:
    """Tokenise a corpus."""
    return Streams(
        *(
            {domain: _stream(texts, tokenizer) for domain, texts in part.items()}
            for part in (corpus.train, corpus.held_out)
        )
    )


def _stream(texts: Iterable[str], tokenizer: Any) -> np.ndarray:
    encoded = tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return np.concatenate([np.array([*each.ids, 0], dtype=np.uint16) for each in encoded])


def draw(train: dict[str, np.ndarray], *, rows: int, context: int, tempering: float, seed: int, step: int) -> Tensor:
    """Rows of one training step, (row, token); they depend on seed and step only, so that a run can go on anywhere."""
    rng = np.random.default_rng((seed, step))
    pieces = list(train.values())
    share = np.array([float(len(piece)) for piece in pieces]) ** tempering
    chosen = rng.choice(len(pieces), size=rows, p=share / share.sum())
    starts = [int(rng.integers(0, len(pieces[each]) - context + 1)) for each in chosen]
    return torch.from_numpy(
        np.stack([pieces[each][start : start + context] for each, start in zip(chosen, starts, strict=True)]).astype(
            np.int64
        )
    )


def bytes_of(tokenizer: Any) -> np.ndarray:
    """Bytes that each token stands for; a byte-level alphabet has one letter per byte."""
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    return np.array([0 if token in tokenizer.all_special_tokens else len(token) for token in tokens])

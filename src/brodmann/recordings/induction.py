"""How well a model continues what it has seen before: induction on repeated random tokens.

Behaviour: the loss on the second copy of a random sequence against that on the first (Elhage et al. 2021; Olsson et al.
2022, arXiv 2209.11895). Attention: how much each head attends to the token after the previous copy of the current one
(prefix matching, the same source). Random tokens carry no language, so a model that only knows its language scores 0.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

from brodmann.errors import RecordingError
from brodmann.models import Subject
from brodmann.recordings.drive import ready
from brodmann.recordings.likelihood import answer_log_likelihood, vocabulary_size


@dataclass(frozen=True, eq=False)
class Induction:
    """Losses on sequences of random tokens that are said twice, in nats per token.

    Attributes
    ----------
    first, second : array (sequence,)
        Mean loss on the tokens of the first copy, and on the same tokens of the second.
    by_position : array (position,)
        Mean loss over sequences at each predicted position of both copies.
    tokens : int
        Length of one copy.
    """

    first: Float[np.ndarray, " sequence"]
    second: Float[np.ndarray, " sequence"]
    by_position: Float[np.ndarray, " position"]
    tokens: int

    @property
    def score(self) -> Float[np.ndarray, " sequence"]:
        """First minus second: positive where the model uses the first copy to predict the second."""
        return np.asarray(self.first - self.second)


def repeated_tokens(subject: Subject, sequences: int, tokens: int, seed: int) -> Int[np.ndarray, "sequence position"]:
    """Random token ids said twice: (sequence, 2 tokens). Special tokens are left out; the same seed gives the same.

    Raises
    ------
    RecordingError
        If two copies do not fit into the model's context, or a copy is too short.
    """
    longest = subject.context_length
    if tokens < 4 or sequences < 2:
        raise RecordingError(f"{sequences} sequences of {tokens} tokens: induction needs at least 2 of at least 4")
    if longest is not None and 2 * tokens > longest:
        raise RecordingError(
            f"two copies of {tokens} random tokens do not fit into {subject.name}, which reads at most {longest}"
        )
    special = {int(token) for token in getattr(subject.tokenizer, "all_special_ids", ()) or ()}
    known = min(vocabulary_size(subject), len(subject.tokenizer))
    ordinary = np.array([token for token in range(known) if token not in special])
    once = np.random.default_rng([seed, 0x1D]).choice(ordinary, (sequences, tokens))
    return np.concatenate([once, once], axis=1)


def induction(subject: Subject, *, sequences: int = 32, tokens: int = 50, seed: int = 0) -> Induction:
    """Measure induction by behaviour.

    Parameters
    ----------
    subject
        A model with a language-model head.
    sequences, tokens
        How many random sequences, and the length of each copy; a copy is cut to half the model's context.
    seed
        Decides the random tokens.

    Returns
    -------
    Induction
        The first token of each copy is not counted: nothing announces that the second copy begins.

    Raises
    ------
    RecordingError
        If the model has no language-model head, or the sequences cannot be made.

    Examples
    --------
    >>> from brodmann.models import load
    >>> bool(abs(induction(load("random:gpt2"), sequences=4, tokens=8).score.mean()) < 0.1)
    True
    """
    if subject.context_length is not None:
        tokens = min(tokens, subject.context_length // 2)
    rows = repeated_tokens(subject, sequences, tokens, seed)
    texts = [[int(token) for token in row] for row in rows]
    loss = -answer_log_likelihood(subject, [row[:1] for row in texts], [row[1:] for row in texts])
    first, second = loss[:, : tokens - 1], loss[:, tokens:]
    return Induction(first.mean(axis=1), second.mean(axis=1), loss.mean(axis=0), tokens)


def prefix_matching(subject: Subject, *, sequences: int = 8, tokens: int = 50, seed: int = 0) -> pd.Series | None:
    """Attention of each head, in the second copy, to the token that followed the current one in the first copy.

    Parameters
    ----------
    subject, sequences, tokens, seed
        As in `induction`; memory is one sequence's attention, layers x heads x (2 tokens)^2.

    Returns
    -------
    Series or None
        0 to 1 by unit (``L12H3``), mean over sequences and positions. None where the family does not hand out
        its attention, or not one matrix for each head.
    """
    if subject.context_length is not None:
        tokens = min(tokens, subject.context_length // 2)
    rows = repeated_tokens(subject, sequences, tokens, seed)
    units = subject.anatomy.units("z_norm")
    queries = np.arange(tokens, 2 * tokens - 1)
    total = np.zeros(len(units))
    with ready(subject.model, 1), _eager(subject.model) as possible:
        if not possible or subject.is_encoder_decoder:
            return None
        for row in rows:
            ids = torch.as_tensor(row[None], dtype=torch.int64, device=subject.model.device)
            found = subject.model.base_model(input_ids=ids, use_cache=False, output_attentions=True)
            attention = getattr(found, "attentions", None)
            if not attention or any(layer is None for layer in attention):
                return None
            heads = [layer[0, :, queries, queries - tokens + 1].mean(-1).double().cpu().numpy() for layer in attention]
            matched = np.concatenate(heads)
            if matched.size != total.size:
                return None
            total += matched
    return pd.Series(total / sequences, index=units["unit"].to_numpy(), name="prefix_matching")


@contextmanager
def _eager(model: Any) -> Iterator[bool]:
    """Plain attention, which can be handed out, while the context lasts; False where the model offers no choice."""
    before = getattr(model.config, "_attn_implementation", None)
    if not hasattr(model, "set_attn_implementation") or before is None:
        yield False
        return
    try:
        model.set_attn_implementation("eager")
    except (ValueError, NotImplementedError, ImportError):
        yield False
        return
    try:
        yield True
    finally:
        model.set_attn_implementation(before)

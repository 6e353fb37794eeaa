"""Which of some answers a model finds likeliest: the log-likelihood of each choice after a common prompt.

The prompt is read once and its cache serves all its choices, so that four choices do not cost four prompts. Prompts of
equal length run together, without padding before them; choices are padded behind. The numbers are those of
`answer_log_likelihood` but for rounding (tested). Encoder-decoders read each choice for itself.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from brodmann.models import Subject
from brodmann.recordings.drive import Tokens, pad_token, padded, ready
from brodmann.recordings.likelihood import TOKENS_TOGETHER, answer_log_likelihood, check_text, head_logits


def choice_log_likelihood(
    subject: Subject, prompts: Tokens, choices: Sequence[Tokens]
) -> list[Float[np.ndarray, " choice"]]:
    """Log-likelihood of every choice of every prompt.

    Parameters
    ----------
    subject
        A model with a language-model head; inside a lesion's context, the lesioned model is asked.
    prompts
        Token ids of each prompt.
    choices
        Token ids of each prompt's choices; prompts may have different numbers of them.

    Returns
    -------
    list of arrays (choice,)
        Nats: sum over the tokens of the choice.

    Raises
    ------
    RecordingError
        If the model has no language-model head, a row does not fit, or memory runs out.

    Examples
    --------
    >>> from brodmann.models import load
    >>> from brodmann.recordings.choices import choice_log_likelihood
    >>> [each.shape for each in choice_log_likelihood(load("random:gpt2"), [[5, 6]], [[[7], [8, 9]]])]
    [(2,)]
    """
    rows = [(prompt, choice) for prompt, some in zip(prompts, choices, strict=True) for choice in some]
    check_text(subject, [prompt for prompt, _ in rows], [choice for _, choice in rows])
    found = [np.empty(len(some)) for some in choices]
    if subject.is_encoder_decoder:
        flat = np.nansum(answer_log_likelihood(subject, *map(list, zip(*rows, strict=True))), axis=1)
        ends = np.cumsum([len(some) for some in choices])
        return [flat[end - len(some) : end] for end, some in zip(ends, choices, strict=True)]
    for batch in _batches(prompts, choices):
        with ready(subject.model, len(batch)):
            values = _of_batch(subject, [prompts[n] for n in batch], [choices[n] for n in batch])
        for n, value in zip(batch, values, strict=True):
            found[n] = value
    return found


def _batches(prompts: Tokens, choices: Sequence[Tokens]) -> Iterator[list[int]]:
    """Prompts of one length and one number of choices, as many as fit together."""
    alike: dict[tuple[int, int], list[int]] = {}
    for n, (prompt, some) in enumerate(zip(prompts, choices, strict=True)):
        alike.setdefault((len(prompt), len(some)), []).append(n)
    for (length, count), rows in alike.items():
        together = max(1, TOKENS_TOGETHER // max(length, count * max(len(c) for n in rows for c in choices[n])))
        yield from (rows[first : first + together] for first in range(0, len(rows), together))


def _of_batch(subject: Subject, prompts: Tokens, choices: Sequence[Tokens]) -> list[np.ndarray]:
    model: Any = subject.model
    given = torch.tensor([list(prompt) for prompt in prompts], device=model.device)
    count, longest = len(choices[0]), max(len(choice) for some in choices for choice in some)
    read = model.base_model(input_ids=given, attention_mask=torch.ones_like(given), use_cache=longest > 1)
    first = torch.log_softmax(head_logits(subject, read.last_hidden_state[:, -1]), dim=-1)
    flat = [choice for some in choices for choice in some]
    ids, valid = (each.to(model.device) for each in padded(flat, side="right", pad=pad_token(subject)))
    total = first.repeat_interleave(count, dim=0).gather(1, ids[:, :1])[:, 0]
    if longest > 1:
        total = total + _rest(subject, read.past_key_values, given.shape[1], ids, valid, count)
    values = total.double().cpu().numpy()
    return [values[row * count : (row + 1) * count] for row in range(len(prompts))]


def _rest(subject: Subject, cache: Any, length: int, ids: Tensor, valid: Tensor, count: int) -> Tensor:
    """Log-likelihood of each choice's tokens after its first."""
    model: Any = subject.model
    cache.batch_repeat_interleave(count)
    before = torch.ones((len(ids), length), dtype=valid.dtype, device=ids.device)
    mask = torch.cat([before, valid[:, :-1]], dim=1)
    said = model.base_model(input_ids=ids[:, :-1], attention_mask=mask, past_key_values=cache, use_cache=True)
    states = said.last_hidden_state
    logits = head_logits(subject, states.flatten(0, 1)).reshape(*states.shape[:2], -1)
    nats = torch.log_softmax(logits, dim=-1).gather(-1, ids[:, 1:, None])[..., 0]
    return torch.where(valid[:, 1:].bool(), nats, 0.0).sum(-1)

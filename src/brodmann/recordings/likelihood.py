"""What a model gives to a text that is known: logits and log-likelihoods of answers, teacher-forced.

All positions of an answer come from one forward pass; time 0 of an answer is its first token, predicted at the last
position of the prompt, as in `drive.generate`. Nothing is sampled and no token is suppressed: the distributions are the
model's own over its whole vocabulary. The body and the head run apart, so that the vocabulary is only computed where an
answer is produced, block by block; what a family does to its logits (scaling, soft-capping) is the model's own code.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.modeling_outputs import MoeModelOutputWithPast

from brodmann.errors import AnatomyError, RecordingError
from brodmann.models import Subject
from brodmann.recordings.drive import Tokens, pad_token, padded, ready, start_token, window

LOGITS_BYTES = 256 * 2**20
"""What one block of logits may take."""
TOKENS_TOGETHER = 4096
"""Positions, padding included, of one forward pass where the caller does not say how many rows."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Logits of a block of answers."""

    row: slice
    """Which of the given rows."""
    step: slice
    """Which steps of the answers: all of them, unless one row alone would pass `LOGITS_BYTES`."""
    logits: Float[Tensor, "row step vocab"]
    """Float32, at the positions that produce the answers; meaningless where not valid."""
    valid: Bool[Tensor, "row step"]
    """False where an answer has ended."""
    target: Int[Tensor, "row step"]
    """The answers' tokens; 0 where not valid."""


def score(subject: Subject, prompts: Tokens, answers: Tokens, *, rows: int | None = None) -> Iterator[Scored]:
    """Logits at every position that produces a token of given answers.

    Parameters
    ----------
    subject
        A model with a language-model head. Runs as it is: inside a lesion's context, the lesioned model is scored.
    prompts, answers
        Token ids of each row. A prompt has at least one token; answers may differ in length.
    rows
        Rows of one forward pass; by default as many as `TOKENS_TOGETHER` allows. It changes the last bits only.

    Yields
    ------
    Scored
        Blocks in the order of rows, then of steps.

    Raises
    ------
    RecordingError
        If the model has no language-model head, a row does not fit, or memory runs out.

    Examples
    --------
    >>> from brodmann.models import load
    >>> from brodmann.recordings.likelihood import score
    >>> [tuple(block.logits.shape) for block in score(load("random:gpt2"), [[5, 6]], [[7, 8, 9]])]
    [(1, 3, 261)]
    """
    check_text(subject, prompts, answers)
    steps = max(map(len, answers))
    longest = steps + (0 if subject.is_encoder_decoder else max(map(len, prompts)))
    together = max(1, TOKENS_TOGETHER // longest) if rows is None else rows
    vocabulary = vocabulary_size(subject)
    steps_block = max(1, min(steps, LOGITS_BYTES // (4 * vocabulary)))
    rows_block = max(1, LOGITS_BYTES // (4 * vocabulary * steps_block))
    target, valid = (each[:, :steps] for each in padded(answers, side="right", pad=0))
    for first in range(0, len(prompts), together):
        last = min(first + together, len(prompts))
        states = final_states(subject, prompts[first:last], answers[first:last], steps=steps)
        for row in range(first, last, rows_block):
            here = slice(row, min(row + rows_block, last))
            for step in range(0, steps, steps_block):
                span = slice(step, min(step + steps_block, steps))
                block = states[here.start - first : here.stop - first, span]
                logits = head_logits(subject, block.flatten(0, 1)).reshape(*block.shape[:2], -1)
                yield Scored(here, span, logits, valid[here, span].bool(), target[here, span])


def answer_log_likelihood(subject: Subject, prompts: Tokens, answers: Tokens) -> Float[np.ndarray, "row step"]:
    """Log-probability of each token of given answers.

    Parameters
    ----------
    subject, prompts, answers
        As in `score`.

    Returns
    -------
    array (row, step)
        Nats, float64 (computed in float32); NaN where an answer has ended. The sum over a row is the log-likelihood of
        its answer; minus the mean is the loss.

    Raises
    ------
    RecordingError
        As `score`.
    """
    check_text(subject, prompts, answers)
    found = np.full((len(answers), max(map(len, answers))), np.nan)
    # rows of like length together: little padding
    order = sorted(range(len(answers)), key=lambda n: (len(prompts[n]) + len(answers[n]), n))
    place = np.array(order)
    for block in score(subject, [prompts[n] for n in order], [answers[n] for n in order]):
        chosen = block.logits.gather(-1, block.target.to(block.logits.device).unsqueeze(-1)).squeeze(-1)
        nats = (chosen - block.logits.logsumexp(-1)).cpu().numpy().astype(np.float64)
        found[place[block.row], block.step] = np.where(block.valid.numpy(), nats, np.nan)
    return found


def recorded_text(recording: xr.Dataset) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Prompts and answers of a recording, in its order of prompts, as `score` takes them.

    Of a text that was only read, the first token is the prompt and the rest the answer.

    Raises
    ------
    RecordingError
        If the Dataset is no recording.
    """
    missing = {"input_id", "token_id", "length"} - set(recording.variables)
    if missing:
        raise RecordingError(f"this Dataset is no recording made by record(): it lacks {', '.join(sorted(missing))}")
    given = [tuple(int(token) for token in row[row >= 0]) for row in recording["input_id"].values]
    lengths = recording["length"].values
    said = [tuple(int(i) for i in row[:n]) for row, n in zip(recording["token_id"].values, lengths, strict=True)]
    if json.loads(recording.attrs.get("settings", "{}")).get("mode") == "generate":
        return given, said
    return [row[:1] for row in said], [row[1:] for row in said]


def final_states(
    subject: Subject, prompts: Tokens, answers: Tokens, *, steps: int | None = None, gradient: bool = False
) -> Float[Tensor, "row step d_model"]:
    """Last hidden states at the positions that produce given answers, in one forward pass of the model's body.

    Parameters
    ----------
    subject, prompts, answers
        As in `score`.
    steps
        Length of the step axis, at least that of the longest answer (the default).
    gradient
        Keep the graph, so that something can be differentiated through the body.

    Returns
    -------
    tensor (row, step, d_model)
        As the model's head takes them (`head_logits`), in its number type and on its device; beyond the end of an
        answer its last state is repeated.
    """
    model = subject.model
    pad = pad_token(subject)
    spoken = [tuple(answer[:-1]) for answer in answers]
    if subject.is_encoder_decoder:
        texts: list[Sequence[int]] = [(start_token(subject), *answer) for answer in spoken]
        starts = [0] * len(texts)
    else:
        texts = [(*prompt, *answer) for prompt, answer in zip(prompts, spoken, strict=True)]
        starts = [len(prompt) - 1 for prompt in prompts]
    spans = [(start, start + max(1, len(answer))) for start, answer in zip(starts, answers, strict=True)]
    ids, mask = (each.to(model.device) for each in padded(texts, side="right", pad=pad))
    # `ready` switches gradients off; the inner context may switch them on again
    with ready(model, len(texts)), torch.enable_grad() if gradient else nullcontext():
        if subject.is_encoder_decoder:
            read, read_mask = (each.to(model.device) for each in padded(prompts, side="right", pad=pad))
            encoded = model.get_encoder()(input_ids=read, attention_mask=read_mask).last_hidden_state
            output = model.get_decoder()(
                input_ids=ids, attention_mask=mask, encoder_hidden_states=encoded, encoder_attention_mask=read_mask,
                use_cache=False,
            )  # fmt: skip
        else:
            output = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
        hidden: Tensor = output.last_hidden_state
        index, _ = window(spans, max(map(len, answers)) if steps is None else steps)
        index = index.to(hidden.device)
        return hidden[torch.arange(len(index), device=hidden.device)[:, None], index]


def head_logits(subject: Subject, states: Float[Tensor, "position d_model"]) -> Float[Tensor, "position vocab"]:
    """Logits (float32) of final hidden states, by the model's own way from its body to its output.

    The model is called with its body replaced by these states, so that what a family does around its projection
    (T5's scaling, Gemma's soft-capping) is neither repeated here nor forgotten. Gradients follow where they are on.

    Raises
    ------
    AnatomyError
        If the model does not take its logits from its body's last hidden state.
    """
    model: Any = subject.model
    one = torch.zeros((1, 1), dtype=torch.int64, device=states.device)
    given: dict[str, Any] = {"input_ids": one, "attention_mask": one + 1, "use_cache": False}
    if subject.is_encoder_decoder:
        given = {"encoder_outputs": (states[None, :1],), "decoder_input_ids": one, "use_cache": False}
    with torch.set_grad_enabled(torch.is_grad_enabled() and states.requires_grad), _replaced(model, states):
        logits: Tensor = model(**given).logits
    if logits.shape[:2] != (1, len(states)):
        raise AnatomyError(f"{subject.name}: its logits do not come from its body's last hidden state")
    return logits[0].float()


def vocabulary_size(subject: Subject) -> int:
    """Entries of the model's output distribution."""
    text: Any = getattr(subject.model.config, "text_config", None) or subject.model.config
    return int(text.vocab_size)


class _Reply(MoeModelOutputWithPast):  # type: ignore[misc]  # transformers is not typed
    """What a replaced body gives: a last hidden state, and nothing of whatever else a family looks for."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


@contextmanager
def _replaced(model: Any, states: Tensor) -> Iterator[None]:
    """Let the model's body give these states, whatever it is asked, while the context lasts."""
    bodies: dict[int, nn.Module] = {id(body): body for body in (model.base_model, model.get_decoder())}
    bodies.pop(id(model), None)
    with ExitStack() as cleanup:
        for body in bodies.values():
            # an instance may carry a forward of its own already (accelerate puts one there)
            if "forward" in vars(body):
                cleanup.callback(setattr, body, "forward", body.forward)
            else:
                cleanup.callback(delattr, body, "forward")
            body.forward = lambda *_, **__: _Reply(last_hidden_state=states[None])
        yield


def check_text(subject: Subject, prompts: Tokens, answers: Tokens) -> None:
    """Refuse what cannot be scored, in one line.

    Raises
    ------
    RecordingError
        If the model has no language-model head, or a row is empty, too long or of another tokenizer.
    """
    if not subject.generates:
        raise RecordingError(f"{subject.name} gives no likelihood of a text: it has no language-model head")
    if len(prompts) != len(answers):
        raise RecordingError(f"{len(prompts)} prompts do not go with {len(answers)} answers")
    if not any(map(len, answers)):
        raise RecordingError("there is nothing to score: all answers are empty")
    empty = next((row for row, prompt in enumerate(prompts) if not len(prompt)), None)
    if empty is not None:
        raise RecordingError(f"prompt {empty + 1} is empty: an answer's first token needs a position before it")
    largest = max(max((*prompt, *answer)) for prompt, answer in zip(prompts, answers, strict=True))
    if largest >= vocabulary_size(subject):
        raise RecordingError(f"{subject.label}: its vocabulary ends before token {largest}; the tokenizer must fit")
    longest = max(
        max(len(prompt), len(answer)) if subject.is_encoder_decoder else len(prompt) + len(answer) - 1
        for prompt, answer in zip(prompts, answers, strict=True)
    )
    if subject.context_length is not None and longest > subject.context_length:
        raise RecordingError(f"{subject.name} reads at most {subject.context_length} tokens; a row has {longest}")

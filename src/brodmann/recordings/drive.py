"""The one loop that drives a model: over prompts (greedy generation) or over given text (teacher forcing).

Signals go from the taps to the reducers, slice by slice; batching, padding, devices and the end-of-sequence rule exist
here and nowhere else. Time 0 of a generated series is the last prompt position of the prefill, which produces the first
new token (arXiv 2601.06851 leaves it open), so a series has as many samples as there are new tokens.

Generation pads on the left, so that the last position is everywhere the newest token; reading pads on the right, so
that no position has to be shifted. Neither changes a norm by more than rounding (tests: batches of 1 and of 16 agree).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from brodmann.errors import RecordingError
from brodmann.models import Subject, listen
from brodmann.recordings.reducers import Heard, Reducer
from brodmann.settings import Signal

Tokens = Sequence[Sequence[int]]
OnStep = Callable[[int], None]

# One forward pass over text hears every position at once: this bounds what it holds of them, in bytes.
HEARD_BYTES = 256 * 2**20

# How chat models end a turn; each counts as an end only where the tokenizer has it as a special token.
_ENDS = (
    "<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<end_of_turn>", "<|end_of_turn|>",
    "<|endofturn|>", "<|end|>", "<|return|>", "<|call|>", "<|eos|>", "<eos>", "</s>", "[EOS]", "<turn|>",
    "<｜end▁of▁sentence｜>", "<|END_OF_TURN_TOKEN|>", "<|end_of_role|>", "<|EOT|>", "[eos]",
)  # fmt: skip


@dataclass(frozen=True)
class Driven:
    """Tokens that a batch of rows produced."""

    token_id: Int64[np.ndarray, "row token"]
    """Token produced at each step; -1 beyond the end of a row."""
    length: Int64[np.ndarray, " row"]
    """Samples of each row."""


def end_tokens(subject: Subject) -> tuple[int, ...]:
    """Every token with which the model ends a text or a turn: of its configs, its tokenizer and its chat format."""
    found: set[int] = set()
    model = subject.model
    text = getattr(model.config, "text_config", None) or model.config
    for holder in (getattr(model, "generation_config", None), model.config, text, subject.tokenizer):
        ends = getattr(holder, "eos_token_id", None)
        found.update(ends if isinstance(ends, (list, tuple)) else () if ends is None else (ends,))
    added = subject.tokenizer.get_added_vocab()
    found.update(added[end] for end in _ENDS if end in added)
    size = text.vocab_size
    return tuple(sorted(int(token) for token in found if 0 <= int(token) < size))


def generate(
    subject: Subject,
    prompts: Tokens,
    *,
    signal: Signal,
    new_tokens: int,
    reducers: Sequence[Reducer],
    stop_at_eos: bool = False,
    min_tokens: int = 0,
    on_step: OnStep | None = None,
) -> Driven:
    """Generate greedily from a batch of prompts and hand the signals of each step to the reducers.

    Parameters
    ----------
    subject
        The model.
    prompts
        Token ids of each prompt.
    signal
        What is read.
    new_tokens
        Steps; each row gets exactly so many, unless `stop_at_eos`.
    reducers
        Take ``Heard`` slices of one token.
    stop_at_eos
        Let rows end at an end-of-sequence token (which counts as their last). Off: these tokens are suppressed.
    min_tokens
        With `stop_at_eos`, steps before which no row may end.
    on_step
        Called with the number of steps done.

    Raises
    ------
    RecordingError
        If memory runs out.
    """
    model = subject.model
    ends = end_tokens(subject)
    ids, mask = padded(prompts, side="right" if subject.is_encoder_decoder else "left", pad=pad_token(subject))
    config = _greedy(subject, new_tokens, ends, stop_at_eos, min(min_tokens, new_tokens))
    with (
        ready(model, len(prompts)),
        _generation_config(model, config),
        listen(subject, signal, last_only=True) as tap,
    ):
        for reducer in reducers:
            reducer.start(tap.units, len(prompts), new_tokens)
        step = _EachStep(tap, reducers, len(prompts), new_tokens, ends if stop_at_eos else (), on_step)
        model.generate(
            ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([step]),
        )
    return Driven(step.token_id.numpy(), (step.token_id >= 0).sum(1).numpy())


class _EachStep(StoppingCriteria):  # type: ignore[misc]  # transformers is not typed
    """Stops nothing: `generate` calls it after each forward pass, which is when a step's signals are complete."""

    def __init__(
        self,
        tap: Any,
        reducers: Sequence[Reducer],
        rows: int,
        steps: int,
        ends: tuple[int, ...],
        on_step: OnStep | None,
    ):
        self.token_id = torch.full((rows, steps), -1, dtype=torch.int64)
        self._tap, self._reducers, self._on_step = tap, reducers, on_step
        self._alive = torch.ones(rows, dtype=torch.bool)
        self._ends = torch.tensor(ends, dtype=torch.int64)
        self._step = 0

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:  # noqa: ARG002 (the caller's signature)
        signal, selected = self._tap.take(), self._tap.take_selected()
        if self._step < self.token_id.shape[1]:
            newest = input_ids[:, -1].cpu()
            heard = Heard(signal, self._alive[:, None].clone(), self._step, selected=selected)
            for reducer in self._reducers:
                reducer.feed(heard)
            self.token_id[self._alive, self._step] = newest[self._alive]
            self._alive &= ~torch.isin(newest, self._ends)
            self._step += 1
            if self._on_step is not None:
                self._on_step(self._step)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def read(
    subject: Subject,
    texts: Tokens,
    *,
    signal: Signal,
    reducers: Sequence[Reducer],
    spans: Sequence[tuple[int, int]] | None = None,
    answers: Tokens | None = None,
    on_step: OnStep | None = None,
) -> None:
    """Let the model read given tokens in one forward pass and hand the signals to the reducers.

    No logits are computed where the model keeps its body apart from its head.

    Parameters
    ----------
    subject
        The model. Of an encoder-decoder, the encoder reads, unless `answers` are given.
    texts
        Token ids of each row.
    signal
        What is read.
    reducers
        Take ``Heard`` slices of some rows, all tokens at once.
    spans
        First and last (exclusive) position of each row's series; all of it by default.
    answers
        What an encoder-decoder's decoder reads while the encoder reads `texts`; `spans` then count in it.
    on_step
        Called with the number of rows done.

    Raises
    ------
    RecordingError
        If memory runs out.
    """
    heard_text = texts if answers is None else answers
    spans = [(0, len(row)) for row in heard_text] if spans is None else spans
    steps = max(stop - start for start, stop in spans)
    stack = "encoder" if subject.is_encoder_decoder and answers is None else None
    with ready(subject.model, len(texts)), listen(subject, signal, stack=stack) as tap:
        for reducer in reducers:
            reducer.start(tap.units, len(texts), steps)
        longest = max(map(len, heard_text))
        together = max(1, HEARD_BYTES // (4 * longest * len(tap.units)))
        for first in range(0, len(texts), together):
            rows = slice(first, first + together)
            _forward(subject, texts[rows], None if answers is None else answers[rows])
            signal_, selected = tap.take(), tap.take_selected()
            index, valid = window(spans[rows], steps)
            row = torch.arange(len(index))[:, None]
            chosen = None if selected is None else selected[row, index]
            heard = Heard(signal_[row, index], valid, 0, row=first, selected=chosen)
            for reducer in reducers:
                reducer.feed(heard)
            if on_step is not None:
                on_step(first + len(index))


def follow(
    subject: Subject,
    prompts: Tokens,
    answers: Tokens,
    *,
    signal: Signal,
    reducers: Sequence[Reducer],
    on_step: OnStep | None = None,
) -> None:
    """Let the model read prompts and answers, heard at the positions from which it would produce the answers.

    The series are on the token axis of `generate`: time 0 is the last prompt position (of an encoder-decoder, the start
    token), and the last token of an answer is never read.
    """
    if subject.is_encoder_decoder:
        decoder = [(start_token(subject), *answer[:-1]) for answer in answers]
        read(subject, prompts, signal=signal, reducers=reducers, answers=decoder, on_step=on_step)
        return
    texts = [(*prompt, *answer[:-1]) for prompt, answer in zip(prompts, answers, strict=True)]
    spans = [(len(p) - 1, len(p) - 1 + len(a)) for p, a in zip(prompts, answers, strict=True)]
    read(subject, texts, signal=signal, reducers=reducers, spans=spans, on_step=on_step)


def as_driven(rows: Tokens, steps: int) -> Driven:
    """Give known tokens the form of generated ones."""
    token_id = np.full((len(rows), steps), -1, np.int64)
    for number, row in enumerate(rows):
        token_id[number, : len(row)] = row
    return Driven(token_id, np.array([len(row) for row in rows], np.int64))


def _forward(subject: Subject, texts: Tokens, answers: Tokens | None) -> None:
    model = subject.model
    pad = pad_token(subject)
    ids, mask = (each.to(model.device) for each in padded(texts, side="right", pad=pad))
    if answers is not None:
        decoder_ids, decoder_mask = (each.to(model.device) for each in padded(answers, side="right", pad=pad))
        model(
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=decoder_ids,
            decoder_attention_mask=decoder_mask,
            use_cache=False,
        )
    elif subject.is_encoder_decoder:
        model.get_encoder()(input_ids=ids, attention_mask=mask)
    elif subject.generates:
        # The body alone: the head would compute the whole vocabulary at every position.
        model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
    else:
        model.base_model(input_ids=ids, attention_mask=mask)


def window(spans: Sequence[tuple[int, int]], steps: int) -> tuple[Tensor, Tensor]:
    """Positions (row, step) of each row's series, and where a series has them."""
    start = torch.tensor([first for first, _ in spans])[:, None]
    stop = torch.tensor([last for _, last in spans])[:, None]
    index = start + torch.arange(steps)[None, :]
    return torch.minimum(index, stop - 1), index < stop


def padded(rows: Tokens, *, side: str, pad: int) -> tuple[Tensor, Tensor]:
    """Token ids (row, position) and attention mask of rows padded on a side, ``left`` or ``right``."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, dtype=torch.int64)
    mask = torch.zeros((len(rows), width), dtype=torch.int64)
    for number, row in enumerate(rows):
        where = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[number, where] = torch.tensor(row, dtype=torch.int64)
        mask[number, where] = 1
    return ids, mask


def start_token(subject: Subject) -> int:
    """With what an encoder-decoder's decoder begins."""
    return int(_greedy(subject, 1, (), False, 0).decoder_start_token_id)


def pad_token(subject: Subject) -> int:
    """Any token will do, padding is masked; the model's own first, as some embeddings expect it."""
    text = getattr(subject.model.config, "text_config", None) or subject.model.config
    for token in (subject.tokenizer.pad_token_id, getattr(text, "pad_token_id", None)):
        if isinstance(token, int) and 0 <= token < text.vocab_size:
            return token
    return 0


def _greedy(
    subject: Subject, new_tokens: int, ends: tuple[int, ...], stop_at_eos: bool, min_tokens: int
) -> GenerationConfig:
    """Build a config from nothing, so that sampling settings that travel with a checkpoint have no effect."""
    own = subject.model.generation_config
    text = getattr(subject.model.config, "text_config", None) or subject.model.config
    start = own.decoder_start_token_id
    return GenerationConfig(
        max_new_tokens=new_tokens,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        pad_token_id=pad_token(subject),
        bos_token_id=own.bos_token_id,
        decoder_start_token_id=getattr(text, "decoder_start_token_id", None) if start is None else start,
        eos_token_id=list(ends) if stop_at_eos and ends else None,
        min_new_tokens=min_tokens if stop_at_eos and ends and min_tokens > 1 else None,
        suppress_tokens=list(ends) if ends and not stop_at_eos else None,
    )


@contextmanager
def _generation_config(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    """`generate` fills gaps in the config it is given from the model's own: ours stands there meanwhile."""
    own = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = own


@contextmanager
def ready(model: PreTrainedModel, rows: int) -> Iterator[None]:
    """No dropout, no gradients, and running out of memory said in one line."""
    training = model.training
    if training:
        model.eval()
    try:
        with torch.no_grad():
            yield
    except torch.OutOfMemoryError:
        advice = (
            f"use a batch_size below {rows}" if rows > 1 else "use fewer new tokens, a smaller dtype or device='auto'"
        )
        raise RecordingError(f"{model.device} ran out of memory with {rows} prompts at a time; {advice}") from None
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise RecordingError(f"memory ran out with {rows} prompts at a time; use a smaller batch_size") from None
    finally:
        if training:
            model.train()

"""How prompts become the tokens that a model is given.

Wraps each prompt in a template (arXiv 2601.06851 leaves it open: chat for instruct models, raw for base models), cuts
it into tokens, and says which prompt does not fit. Running text is cut into windows of equal length.
"""

from dataclasses import dataclass
from typing import Any, Literal

from jinja2 import TemplateError

from brodmann.errors import PromptError, RecordingError, SettingsError
from brodmann.models import Subject
from brodmann.recordings.prompts import Prompt, PromptSet, refuse_long
from brodmann.settings import RecordSettings, Template

Mode = Literal["generate", "read"]

# Some chat templates print today's date unless they are told one; a recording must not depend on the day it is made.
_DATE = "26 Jul 2024"


@dataclass(frozen=True)
class Passage:
    """One prompt as a model is given it."""

    prompt: Prompt
    ids: tuple[int, ...]
    """Token ids, special tokens included."""


def mode_of(subject: Subject, mode: Literal["auto", "generate", "read"]) -> Mode:
    """Whether the model generates or reads.

    Raises
    ------
    RecordingError
        If the model cannot generate but is asked to.
    """
    if mode == "auto":
        return "generate" if subject.generates else "read"
    if mode == "generate" and not subject.generates:
        raise RecordingError(f"{subject.name} cannot generate text (it has no language-model head); use mode 'read'")
    return mode


def template_of(subject: Subject, template: Template, mode: Mode) -> Literal["chat", "question", "raw"]:
    """Resolve ``auto``: the chat template where a generating model has one, the raw text elsewhere."""
    if template == "auto":
        return "chat" if mode == "generate" and subject.has_chat_template else "raw"
    if template == "chat" and not subject.has_chat_template:
        raise PromptError(f"{subject.name} has no chat template; use template 'question' or 'raw'")
    return template


def tokenise(subject: Subject, prompts: PromptSet, settings: RecordSettings) -> tuple[Passage, ...]:
    """Give each prompt its token ids.

    Parameters
    ----------
    subject
        The model; its tokenizer, chat template and context length are used.
    prompts
        What it answers or reads.
    settings
        ``mode``, ``template`` and ``new_tokens`` are used. In reading mode a corpus becomes windows of exactly
        ``new_tokens`` tokens (special tokens included); what is left over at the end of a passage is dropped.

    Returns
    -------
    tuple of Passage
        In the order of the prompts (of the windows inside each passage).

    Raises
    ------
    PromptError
        If a prompt has no tokens or, with the new tokens, does not fit the context; the message names it.
    """
    mode = mode_of(subject, settings.mode)
    template = template_of(subject, settings.template, mode)
    context = subject.context_length
    room = settings.new_tokens if mode == "generate" else 0
    if mode == "read" and prompts.corpus:
        return _windows(subject, prompts, settings.new_tokens)
    passages = []
    if subject.is_encoder_decoder:  # its answer has a context of its own
        if context is not None and room > context:
            raise SettingsError(
                f"new_tokens = {room} is longer than the context of {subject.name} ({context} tokens);"
                f" use --new-tokens {context} or less"
            )
        room = 0
    for prompt in prompts.prompts:
        ids = _ids(subject, prompt, template)
        if mode == "generate" and not subject.is_encoder_decoder:
            ids = _open_end(subject, ids)
        if not ids:
            raise PromptError(f"prompt '{prompt.id}' of {prompts.name}: nothing is left of it as tokens")
        passages.append(Passage(prompt, ids))
    refuse_long(
        [(passage.prompt.id, len(passage.ids)) for passage in passages],
        room, context, model=subject.name, prompts=prompts.name,
    )  # fmt: skip
    return tuple(passages)


def _ids(subject: Subject, prompt: Prompt, template: str) -> tuple[int, ...]:
    if template == "chat":
        message = [{"role": "user", "content": prompt.text}]
        try:
            text = subject.tokenizer.apply_chat_template(
                message, add_generation_prompt=True, tokenize=False, date_string=_DATE
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise PromptError(f"the chat template of {subject.name} fails on prompt '{prompt.id}': {reason}") from None
        # The template writes the special tokens itself; adding them again would double the first one.
        return _encode(subject.tokenizer, text, special=False)
    text = f"Question: {prompt.text}\nAnswer:" if template == "question" else prompt.text
    return _encode(subject.tokenizer, text, special=True)


def _encode(tokenizer: Any, text: str, *, special: bool) -> tuple[int, ...]:
    # verbose=False: the tokenizer's own remark about long inputs; the check against the context is ours
    return tuple(int(i) for i in tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])


def _open_end(subject: Subject, ids: tuple[int, ...]) -> tuple[int, ...]:
    """Drop an end-of-sequence token that a tokenizer puts after every text: a decoder would start anew behind it."""
    end = subject.tokenizer.eos_token_id
    start = subject.tokenizer.bos_token_id
    while len(ids) > 1 and end is not None and ids[-1] == end and end != start:
        ids = ids[:-1]
    return ids


def _windows(subject: Subject, prompts: PromptSet, length: int) -> tuple[Passage, ...]:
    context = subject.context_length
    if context is not None and length > context:
        raise SettingsError(f"windows of {length} tokens do not fit the context of {subject.name} ({context} tokens)")
    probe = _encode(subject.tokenizer, prompts.prompts[0].text, special=True)
    bare = _encode(subject.tokenizer, prompts.prompts[0].text, special=False)
    before, after = _frame(probe, bare)
    inner = length - len(before) - len(after)
    if inner < 1:
        raise SettingsError(f"windows of {length} tokens leave no room beside the special tokens")
    passages = []
    for prompt in prompts.prompts:
        ids = _encode(subject.tokenizer, prompt.text, special=False)
        for number, start in enumerate(range(0, len(ids) - inner + 1, inner), start=1):
            piece = ids[start : start + inner]
            text = str(subject.tokenizer.decode(list(piece)))
            window = Prompt(f"{prompt.id}/{number}", prompt.category, text)
            passages.append(Passage(window, before + piece + after))
    if not passages:
        raise PromptError(
            f"{prompts.name}: no passage has {inner} tokens, so no window of {length}; ask for fewer new_tokens"
        )
    return tuple(passages)


def _frame(framed: tuple[int, ...], bare: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Special tokens that a tokenizer puts before and after a text."""
    for start in range(len(framed) - len(bare) + 1):
        if framed[start : start + len(bare)] == bare:
            return framed[:start], framed[start + len(bare) :]
    return (), ()

"""What has to be done for a recording: independent batches of prompts, each under its content address.

The composition of a batch changes the last bits of a norm (padding, shapes of matrix products), so it is part of the
plan: prompts are sorted by length, longest first (little padding, and too large a batch fails at once), cut into
batches, and put back into the user's order when the recording is loaded.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers
import xarray as xr

from brodmann import __version__
from brodmann.errors import RecordingError, SettingsError
from brodmann.models import Subject
from brodmann.plain import digest, to_dict
from brodmann.ranges import check_ranges
from brodmann.recordings.prompts import Prompt, PromptSet
from brodmann.recordings.tokens import Passage, mode_of, template_of, tokenise
from brodmann.settings import SIGNALS, RecordSettings

FORMAT = 1
"""Version of the stored layout and of the meaning of its numbers; part of every key."""


@dataclass(frozen=True)
class BatchTask:
    """One batch of prompts: rows ``start`` to ``stop`` (exclusive) of the plan."""

    key: str
    index: int
    start: int
    stop: int
    tokens: int
    """Samples that this task adds at most: rows x steps."""


@dataclass(frozen=True, eq=False)
class RecordingPlan:
    """A recording before it is made. Rows are in the order of work, not in the user's."""

    key: str
    settings: RecordSettings
    """Resolved: no ``auto`` is left."""
    label: str
    """Of the subject; says where weights are random."""
    provenance: dict[str, Any]
    prompts_name: str
    prompts_hash: str
    passages: tuple[Passage, ...]
    place: tuple[int, ...]
    """Place of each row in the user's order."""
    units: pd.DataFrame
    steps: int
    """Length of the token axis."""
    tasks: tuple[BatchTask, ...]
    given: tuple[tuple[int, ...], ...] | None = None
    """Replay: the tokens of each row's series, which the model is made to follow."""
    replay_of: str | None = None
    """Key of the recording that is replayed."""

    @property
    def mode(self) -> str:
        """What is done: ``generate``, ``read`` or ``replay``."""
        return "replay" if self.replay_of is not None else self.settings.mode

    @property
    def stored_bytes(self) -> int:
        """Size of the signals, uncompressed; also what ``record`` holds in memory without ``out``."""
        width = 5 if SIGNALS[self.settings.signal].kind == "expert" else 4
        return len(self.passages) * self.steps * len(self.units) * width


def plan_recording(subject: Subject, prompts: PromptSet, settings: RecordSettings) -> RecordingPlan:
    """Plan the recording of a model on prompts.

    Parameters
    ----------
    subject
        The model.
    prompts
        What it answers or reads.
    settings
        How; ``settings.prompts`` is only a name here.

    Returns
    -------
    RecordingPlan
        Its key is the content address of weights, token ids, settings, the modules that are read and the versions that
        matter, so the same key means the same numbers.

    Raises
    ------
    SettingsError, PromptError, RecordingError
        If the settings cannot work, a prompt does not fit, or the model cannot generate.
    """
    _check(settings)
    mode = mode_of(subject, settings.mode)
    settings = replace(
        settings, mode=mode, template=template_of(subject, settings.template, mode), prompts=prompts.name
    )
    passages = tokenise(subject, prompts, settings)
    steps = settings.new_tokens if mode == "generate" else max(len(passage.ids) for passage in passages)
    stack = "encoder" if mode == "read" and subject.is_encoder_decoder else None
    return _plan(
        subject, settings, prompts.name, prompts.hash, passages,
        stack=stack, steps=steps,
    )  # fmt: skip


def plan_replay(
    subject: Subject, recording: xr.Dataset, *, signal: str | None = None, batch_size: int | None = None
) -> RecordingPlan:
    """Plan the replay of a recording: another model (or the same) is made to follow its text, token by token.

    Raises
    ------
    RecordingError
        If the Dataset is no recording, or its tokens do not suit the model.
    """
    missing = {"input_id", "token_id", "length"} - set(recording.variables)
    if missing or "settings" not in recording.attrs:
        raise RecordingError(f"replay needs a recording made by record(); this one lacks {', '.join(sorted(missing))}")
    settings = RecordSettings(**json.loads(recording.attrs["settings"]))
    changes: dict[str, Any] = {"signal": signal, "batch_size": batch_size}
    settings = replace(settings, **{name: value for name, value in changes.items() if value is not None})
    _check(settings)
    passages, given = [], []
    for row in range(recording.sizes["prompt"]):
        prompt = Prompt(*(str(recording[name].values[row]) for name in ("prompt", "category", "prompt_text")))
        ids = recording["input_id"].values[row]
        passages.append(Passage(prompt, tuple(int(i) for i in ids[ids >= 0])))
        answer = recording["token_id"].values[row, : int(recording["length"].values[row])]
        given.append(tuple(int(i) for i in answer))
    text: Any = getattr(subject.model.config, "text_config", None) or subject.model.config
    largest = max(max(passage.ids + answer) for passage, answer in zip(passages, given, strict=True))
    if largest >= text.vocab_size:
        raise RecordingError(
            f"{subject.label} cannot replay this recording: its vocabulary ends before token {largest};"
            " replay needs the same tokenizer"
        )
    if settings.mode == "generate" and not subject.generates:
        raise RecordingError(f"{subject.name} cannot follow generated text: it has no language-model head")
    if settings.mode == "generate" and "answer" in recording.coords:
        # the same ids must mean the same words: a longer vocabulary of another tokenizer would pass the test above
        said = str(subject.tokenizer.decode(list(given[0]), skip_special_tokens=True))
        if said != str(recording["answer"].values[0]):
            raise RecordingError(f"{subject.label} cannot replay this recording: it has another tokenizer")
    stack = "encoder" if settings.mode == "read" and subject.is_encoder_decoder else None
    return _plan(
        subject, settings, settings.prompts, str(recording.attrs["prompts_hash"]), tuple(passages),
        stack=stack, steps=recording.sizes["token"], given=tuple(given),
        replay_of=str(recording.attrs["recording_key"]),
    )  # fmt: skip


def _plan(
    subject: Subject,
    settings: RecordSettings,
    prompts_name: str,
    prompts_hash: str,
    passages: tuple[Passage, ...],
    *,
    stack: str | None,
    steps: int,
    given: tuple[tuple[int, ...], ...] | None = None,
    replay_of: str | None = None,
) -> RecordingPlan:
    lengths = [len(passage.ids) + (0 if given is None else len(given[n])) for n, passage in enumerate(passages)]
    place = tuple(sorted(range(len(passages)), key=lambda n: (-lengths[n], n)))
    passages = tuple(passages[n] for n in place)
    given = None if given is None else tuple(given[n] for n in place)
    sites = subject.anatomy.select(settings.signal, stack)
    units = subject.anatomy.units(settings.signal, stack)
    key = digest(
        {
            "format": FORMAT,
            "weights": fingerprint(subject),
            "computed": [subject.provenance.get(name) for name in ("model_type", "dtype")]
            + [subject.model.device.type],
            "versions": versions(),
            # the name of a prompt file says nothing about the numbers
            "settings": to_dict(replace(settings, prompts=prompts_hash)),
            "rows": [[p.prompt.id, p.prompt.category, p.prompt.text, p.ids] for p in passages],
            "given": given,
            "units": [str(unit) for unit in units["unit"]],
            # units keep their names when a mended rule or spec reads them elsewhere
            "sites": [[site.module, site.count, site.width, site.shared] for site in sites],
        }
    )
    tasks = []
    for index, start in enumerate(range(0, len(passages), settings.batch_size)):
        stop = min(start + settings.batch_size, len(passages))
        tasks.append(BatchTask(digest([key, start, stop]), index, start, stop, (stop - start) * steps))
    return RecordingPlan(
        key=key, settings=settings, label=subject.label, provenance=dict(subject.provenance),
        prompts_name=prompts_name, prompts_hash=prompts_hash, passages=passages, place=place, units=units, steps=steps,
        tasks=tuple(tasks), given=given, replay_of=replay_of,
    )  # fmt: skip


def suits(plan: RecordingPlan, subject: Subject) -> bool:
    """Whether a subject is the one that a plan was made for; it may have come from another place or device."""
    names = ("name", "model_type", "parameters", "dtype", "weights_hash", "randomly_initialised", "seed")
    return all(subject.provenance.get(name) == plan.provenance.get(name) for name in names)


def _check(settings: RecordSettings) -> None:
    check_ranges(settings)
    if settings.stop_at_eos and settings.min_tokens > settings.new_tokens:
        raise SettingsError(f"min_tokens = {settings.min_tokens} is more than new_tokens = {settings.new_tokens}")


def versions() -> dict[str, str]:
    """Versions that the numbers depend on."""
    return {"torch": str(torch.__version__), "transformers": str(transformers.__version__)}


def fingerprint(subject: Subject) -> str:
    """Content address of the weights as they are in memory.

    The hash of the files would not do: weights may be random, trained further, or changed by hand. Bit patterns are
    summed as integers, which is exact in any order and on any device.
    """
    found = []
    for name, weight in subject.model.named_parameters():
        raw = weight.detach().contiguous().flatten().view(torch.uint8)
        whole = raw.numel() // 8 * 8
        # Eight bytes at a time; what overflows is lost in the same way in any order. The second sum is over half of
        # the words, so that exchanged rows or a shifted tensor are seen.
        words = raw[:whole].view(torch.int64)
        sums = [int(part.sum(dtype=torch.int64)) for part in (words, words[::2], raw[whole:])]
        found.append([name, list(weight.shape), str(weight.dtype), *sums])
    return digest(found)


def describe(plan: RecordingPlan) -> xr.Dataset:
    """Give everything of a recording that is known before it is made, rows in the plan's order.

    ``input_id(prompt, input_token)`` int64 is padded with -1; attrs as in the finished recording, without ``seconds``.
    """
    width = max(len(passage.ids) for passage in plan.passages)
    ids = np.full((len(plan.passages), width), -1, np.int64)
    for row, passage in enumerate(plan.passages):
        ids[row, : len(passage.ids)] = passage.ids
    prompts = [passage.prompt for passage in plan.passages]
    coords: dict[str, Any] = {
        "prompt": ("prompt", _text([p.id for p in prompts])),
        "category": ("prompt", _text([p.category for p in prompts])),
        "prompt_text": ("prompt", _text([p.text for p in prompts])),
    }
    for name in ("unit", "kind", "stack", "layer", "index", "depth"):
        column = plan.units[name].to_numpy()
        coords[name] = ("unit", column if column.dtype.kind in "if" else _text([str(value) for value in column]))
    attrs = {
        "title": f"Recording of {plan.label}",
        "label": plan.label,
        "signal": plan.settings.signal,
        "mode": plan.mode,
        "provenance": json.dumps(plan.provenance),
        "settings": json.dumps(to_dict(plan.settings)),
        "prompts": plan.prompts_name,
        "prompts_hash": plan.prompts_hash,
        "versions": json.dumps({"brodmann": __version__, "format": str(FORMAT), **versions()}),
        "recording_key": plan.key,
    }
    if plan.replay_of is not None:
        attrs["replay_of"] = plan.replay_of
    return xr.Dataset({"input_id": (("prompt", "input_token"), ids)}, coords, attrs)


def _text(values: list[str]) -> np.ndarray:
    return np.array(values, dtype=np.str_)

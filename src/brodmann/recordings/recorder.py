"""Record a model's units while it works, or while it is made to follow a recording's text.

Small steps, each usable alone: plan (`plan_recording`, `plan_replay`), run one task (`run_batch`), load. `record` and
`replay` walk through a plan in this process; the atlas hands the same steps to its engines.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from brodmann.errors import Incomplete, RecordingError
from brodmann.models import Subject, load
from brodmann.plain import from_dict
from brodmann.recordings import drive
from brodmann.recordings.plan import BatchTask, RecordingPlan, plan_recording, plan_replay, suits
from brodmann.recordings.prompts import PromptSet, as_prompts
from brodmann.recordings.reducers import SeriesReducer
from brodmann.recordings.store import BatchDone, MemoryStore, Store, ZarrStore
from brodmann.settings import RecordSettings, Signal, Template


@dataclass(frozen=True)
class Progress:
    """How far `record` or `replay` is."""

    done: int
    """Finished tasks, those of earlier runs included."""
    tasks: int
    tokens: int
    """Samples recorded in this run so far (rows x tokens)."""
    total: int
    """Samples that this run will record at most."""
    seconds: float
    """Since this run began."""

    @property
    def tokens_per_second(self) -> float:
        """Mean speed of this run."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


OnProgress = Callable[[Progress], None]


def record(
    model: str | Subject,
    *,
    prompts: str | Path | PromptSet | list[str] | tuple[str, ...] = "cognitive",
    signal: Signal = "z_norm",
    mode: Literal["auto", "generate", "read"] = "auto",
    new_tokens: int = 100,
    batch_size: int = 30,
    stop_at_eos: bool = False,
    min_tokens: int = 32,
    template: Template = "auto",
    out: str | Path | None = None,
    progress: OnProgress | None = None,
) -> xr.Dataset:
    """Record the units of a model while it answers prompts or reads text.

    Parameters
    ----------
    model
        A subject, or what `brodmann.load` takes.
    prompts
        ``cognitive``, a JSON, JSONL, CSV or TXT file (see `read_prompts`), a prompt set or a list of strings.
    signal
        What is read from each unit.
    mode
        ``generate``: greedy text of the model, time 0 is the last prompt position. ``read``: the given text itself,
        time 0 is its first token. ``auto``: read for models that cannot generate.
    new_tokens
        Samples per prompt when generating; length of the windows when reading a corpus (.txt).
    batch_size
        Prompts that run together. It changes the last bits, so it is part of the recording's key.
    stop_at_eos
        Let the model stop early. Off: end-of-sequence tokens are suppressed and all series are equally long.
    min_tokens
        With `stop_at_eos`, the shortest series.
    template
        How a prompt is wrapped. ``auto``: the chat template where the model has one, the raw text elsewhere.
    out
        Directory (``*.zarr``) to keep the recording in. A finished one is loaded, an unfinished one is gone on with.
        Default: memory.
    progress
        Is called after each step.

    Returns
    -------
    xarray.Dataset
        ``activity(prompt, token, unit)`` float32, NaN beyond the end of a series; ``selected(prompt, token, unit)``
        bool, for experts; ``token_id(prompt, token)`` int64, the token produced (or read) at that step, -1 beyond the
        end; ``length(prompt)`` int64; ``nonfinite(prompt)`` int64; ``input_id(prompt, input_token)`` int64, padded with
        -1. Coordinates: ``prompt`` (id), ``category``, ``prompt_text``, ``answer`` on prompt; ``unit``, ``kind``,
        ``stack``, ``layer``, ``index``, ``depth`` on unit. Attributes: signal, mode, provenance, settings, versions
        (JSON), prompts, prompts_hash, recording_key, seconds.

    Raises
    ------
    BrodmannError
        A subclass that says what to do: SettingsError, PromptError, ModelError, AnatomyError, RecordingError,
        StoreError, or Incomplete where another process is at the same recording.

    Examples
    --------
    >>> import brodmann as bd
    >>> rec = bd.record("glass-en", prompts=["Once upon a time"], new_tokens=4)
    >>> dict(rec.sizes)["token"]
    4
    """
    settings = from_dict(
        RecordSettings,
        {"signal": signal, "mode": mode, "new_tokens": new_tokens, "batch_size": batch_size,
         "stop_at_eos": stop_at_eos, "min_tokens": min_tokens, "template": template},
        where="record",
    )  # fmt: skip
    chosen = as_prompts(prompts)
    subject = load(model) if isinstance(model, str) else model
    return run_plan(subject, plan_recording(subject, chosen, settings), out=out, progress=progress)


def replay(
    model: str | Subject,
    recording: xr.Dataset,
    *,
    signal: Signal | None = None,
    batch_size: int | None = None,
    out: str | Path | None = None,
    progress: OnProgress | None = None,
) -> xr.Dataset:
    """Make a model follow a recording's text, token by token, and record its units.

    The text is the prompt and the answer of the recording, whoever wrote it, so two models (trained and random weights,
    two checkpoints) hear the same tokens. All positions are computed in one forward pass, without logits.

    Parameters
    ----------
    model
        A subject, or what `brodmann.load` takes; it needs the recording's tokenizer.
    recording
        What `record` gave.
    signal, batch_size
        As in `record`; the recording's own by default.
    out, progress
        As in `record`.

    Returns
    -------
    xarray.Dataset
        As `record` gives it, on the recording's own token axis; ``mode`` is ``replay`` and ``replay_of`` the
        recording's key.

    Raises
    ------
    BrodmannError
        As `record`; RecordingError if the recording's tokens do not suit the model.
    """
    subject = load(model) if isinstance(model, str) else model
    plan = plan_replay(subject, recording, signal=signal, batch_size=batch_size)
    return run_plan(subject, plan, out=out, progress=progress)


def run_plan(
    subject: Subject, plan: RecordingPlan, *, out: str | Path | None = None, progress: OnProgress | None = None
) -> xr.Dataset:
    """Run what is missing of a plan in this process and give the recording."""
    store: Store = MemoryStore(plan) if out is None else ZarrStore.create(out, plan)
    finished = store.done()
    missing = [task for task in plan.tasks if task.key not in finished]
    total, began = sum(task.tokens for task in missing), time.monotonic()
    done, tokens = len(plan.tasks) - len(missing), 0
    busy: Incomplete | None = None

    def tell(more: int) -> None:
        if progress is not None:
            progress(Progress(done, len(plan.tasks), tokens + more, total, time.monotonic() - began))

    tell(0)
    for task in missing:
        try:
            report = run_batch(subject, plan, task, store, on_tokens=tell)
        except Incomplete as error:
            # Another process has this one: do the others meanwhile.
            busy = error
            continue
        done, tokens = done + 1, tokens + report.tokens
        tell(0)
    if busy is not None and len(store.done()) < len(plan.tasks):
        raise busy
    return store.load()


def run_batch(
    subject: Subject,
    plan: RecordingPlan,
    task: BatchTask,
    store: Store,
    *,
    on_tokens: Callable[[int], None] | None = None,
) -> BatchDone:
    """Run one task of a plan and store its rows; a task that is complete is not run again.

    Parameters
    ----------
    subject
        The model the plan was made for.
    plan, task
        What to do.
    store
        A `MemoryStore` or `ZarrStore` of this plan.
    on_tokens
        Called with the samples recorded so far in this task.

    Raises
    ------
    RecordingError
        If the subject is another one, or memory runs out.
    StoreError
        If the result cannot be written.
    Incomplete
        If another process is at this task.
    """
    if not suits(plan, subject):
        raise RecordingError(f"the plan was made for {plan.label}, not for {subject.label}")
    with store.claim(task):
        earlier = store.done().get(task.key)
        if earlier is not None:
            return earlier
        began = time.monotonic()
        block = _work(subject, plan, task, on_tokens)
        lengths, nonfinite = block["length"].values, block["nonfinite"].values
        report = BatchDone(task.key, time.monotonic() - began, int(lengths.sum()), int(nonfinite.sum()))
        store.write(task, block, report)
    return report


def _work(
    subject: Subject, plan: RecordingPlan, task: BatchTask, on_tokens: Callable[[int], None] | None
) -> xr.Dataset:
    """Rows of one task: activity, nonfinite, perhaps selected, token_id, length, answer."""
    rows = slice(task.start, task.stop)
    texts = [passage.ids for passage in plan.passages[rows]]
    series = SeriesReducer()
    common: dict[str, Any] = {"signal": plan.settings.signal, "reducers": [series]}
    if plan.settings.mode == "read":
        drive.read(subject, texts, on_step=on_tokens and (lambda n: on_tokens(sum(map(len, texts[:n])))), **common)
        produced = drive.as_driven(texts, plan.steps)
    elif plan.given is None:
        produced = drive.generate(
            subject, texts, new_tokens=plan.steps, stop_at_eos=plan.settings.stop_at_eos,
            min_tokens=plan.settings.min_tokens, on_step=on_tokens and (lambda n: on_tokens(n * len(texts))), **common,
        )  # fmt: skip
    else:
        given = plan.given[rows]
        drive.follow(
            subject, texts, given, on_step=on_tokens and (lambda n: on_tokens(sum(map(len, given[:n])))), **common
        )
        produced = drive.as_driven(given, plan.steps)
    block = series.finish().rename(row="prompt")
    short = plan.steps - block.sizes["token"]
    if short:
        # the rows of this batch are all shorter than the longest of the recording
        selected = {"selected": False} if "selected" in block else {}
        block = block.pad(token=(0, short), constant_values={"activity": np.nan, **selected})
    return block.assign(
        token_id=(("prompt", "token"), produced.token_id),
        length=("prompt", produced.length),
        answer=("prompt", _answers(subject, plan, produced)),
    )


def _answers(subject: Subject, plan: RecordingPlan, produced: drive.Driven) -> np.ndarray:
    """Decode what was generated; a text that was only read has no answer."""
    answers = np.full(len(produced.length), "", dtype=object)
    if plan.settings.mode == "generate":
        for row, length in enumerate(produced.length):
            ids = produced.token_id[row, :length].tolist()
            answers[row] = str(subject.tokenizer.decode(ids, skip_special_tokens=True))
    return answers

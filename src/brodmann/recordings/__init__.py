"""Recordings: the only place where a model is driven."""

from brodmann.recordings.drive import Driven, end_tokens, follow, generate, read
from brodmann.recordings.plan import BatchTask, RecordingPlan, plan_recording, plan_replay
from brodmann.recordings.prompts import Prompt, PromptSet, as_prompts, read_prompts
from brodmann.recordings.record import Progress, record, replay, run_batch, run_plan
from brodmann.recordings.reducers import Heard, MeanReducer, Reducer, SeriesReducer
from brodmann.recordings.store import BatchDone, MemoryStore, ZarrStore, load

__all__ = [
    "BatchDone",
    "BatchTask",
    "Driven",
    "Heard",
    "MeanReducer",
    "MemoryStore",
    "Progress",
    "Prompt",
    "PromptSet",
    "RecordingPlan",
    "Reducer",
    "SeriesReducer",
    "ZarrStore",
    "as_prompts",
    "end_tokens",
    "follow",
    "generate",
    "load",
    "plan_recording",
    "plan_replay",
    "read",
    "read_prompts",
    "record",
    "replay",
    "run_batch",
    "run_plan",
]

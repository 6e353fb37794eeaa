"""Recordings: the only place where a model is driven."""

from typing import TYPE_CHECKING

from brodmann.lazy import exports

if TYPE_CHECKING:
    from brodmann.recordings.drive import Driven, end_tokens, follow, generate, read
    from brodmann.recordings.likelihood import answer_log_likelihood, recorded_text, score
    from brodmann.recordings.plan import BatchTask, RecordingPlan, plan_recording, plan_replay
    from brodmann.recordings.prompts import Prompt, PromptSet, as_prompts, read_prompts
    from brodmann.recordings.recorder import Progress, record, replay, run_batch, run_plan
    from brodmann.recordings.reducers import Heard, MeanReducer, Reducer, SeriesReducer
    from brodmann.recordings.store import BatchDone, MemoryStore, ZarrStore, load

__getattr__ = exports(
    __name__,
    {
        **dict.fromkeys(("Driven", "end_tokens", "follow", "generate", "read"), "drive"),
        **dict.fromkeys(("answer_log_likelihood", "recorded_text", "score"), "likelihood"),
        **dict.fromkeys(("BatchTask", "RecordingPlan", "plan_recording", "plan_replay"), "plan"),
        **dict.fromkeys(("Prompt", "PromptSet", "as_prompts", "read_prompts"), "prompts"),
        **dict.fromkeys(("Progress", "record", "replay", "run_batch", "run_plan"), "recorder"),
        **dict.fromkeys(("Heard", "MeanReducer", "Reducer", "SeriesReducer"), "reducers"),
        **dict.fromkeys(("BatchDone", "MemoryStore", "ZarrStore", "load"), "store"),
    },
)

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
    "answer_log_likelihood",
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
    "recorded_text",
    "replay",
    "run_batch",
    "run_plan",
    "score",
]


def __dir__() -> list[str]:
    return sorted(__all__)

"""Drive the model over the texts of an allocation study: activity, surprisal, position, and whether answers are right.

Two ways: the model reads fixed text, and it writes answers of its own. Both give series on the axis of `generate`: at
each step the model has read one token and produces the next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from brodmann.allocation.texts import Texts
from brodmann.models import Subject
from brodmann.partial import Partial
from brodmann.recordings import SeriesReducer, drive
from brodmann.recordings.likelihood import answer_log_likelihood
from brodmann.settings import Signal
from brodmann.tasks import check

COVARIATES = (
    "surprisal of the token read", "surprisal of the token produced", "position",
    "log(1 + surprisal) of the token read", "log(1 + surprisal) of the token produced",
)  # fmt: skip
Say = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class Listened:
    """What was heard of some texts."""

    activity: Float[np.ndarray, "text step unit"]
    covariates: Float[np.ndarray, "text step covariate"]
    """In the order of `COVARIATES`: nats, nats, tokens, log nats, log nats."""
    label: Int[np.ndarray, " text"]
    correct: Bool[np.ndarray, " text"]
    """Whether the answer was right; True where nothing was asked."""


def hear_reading(
    subject: Subject, texts: Texts, *, context: int, signal: Signal, batch: int, partial: Partial | None = None,
    key: str = "reading", say: Say | None = None,
) -> Listened:  # fmt: skip
    """Let the model read fixed texts; listen from the position that produces token `context` on."""

    def work(rows: slice) -> dict[str, np.ndarray]:
        ids = texts.ids[rows].tolist()
        series = SeriesReducer()
        prompts, answers = [row[:context] for row in ids], [row[context:] for row in ids]
        drive.follow(subject, prompts, answers, signal=signal, reducers=[series])
        return {"activity": series.finish()["activity"].values, "surprisal": surprisal(subject, ids)}

    found = in_batches(len(texts.ids), batch, work, partial, key, say)
    covariates = _covariates(found["surprisal"], context, texts.ids.shape[1] - context)
    return Listened(found["activity"], covariates, texts.label, np.ones(len(texts.ids), bool))


def hear_writing(
    subject: Subject, texts: Texts, *, tokens: int, signal: Signal, batch: int, partial: Partial | None = None,
    key: str = "writing", say: Say | None = None,
) -> Listened:  # fmt: skip
    """Let the model go on greedily from prompts that end in a question; listen to all it writes."""

    def work(rows: slice) -> dict[str, np.ndarray]:
        prompts = texts.ids[rows].tolist()
        series = SeriesReducer()
        driven = drive.generate(subject, prompts, signal=signal, new_tokens=tokens, reducers=[series])
        whole = [[*prompt, *said] for prompt, said in zip(prompts, driven.token_id.tolist(), strict=True)]
        return {
            "activity": series.finish()["activity"].values, "surprisal": surprisal(subject, whole),
            "token_id": driven.token_id,
        }  # fmt: skip

    found = in_batches(len(texts.ids), batch, work, partial, key, say)
    covariates = _covariates(found["surprisal"], texts.ids.shape[1], tokens)
    said = [str(subject.tokenizer.decode(row, skip_special_tokens=True)) for row in found["token_id"].tolist()]
    right = [
        item is None or item.task == "neutral" or check(text, item)
        for text, item in zip(said, texts.items, strict=True)
    ]
    return Listened(found["activity"], covariates, texts.label, np.array(right, bool))


def surprisal(subject: Subject, texts: Sequence[Sequence[int]]) -> Float[np.ndarray, "text token"]:
    """Surprisal of each token of equally long texts given those before it, nats; NaN for the first."""
    likelihood = answer_log_likelihood(subject, [row[:1] for row in texts], [row[1:] for row in texts])
    return np.concatenate([np.full((len(texts), 1), np.nan), -likelihood], axis=1)


def _covariates(found: np.ndarray, first: int, steps: int) -> np.ndarray:
    """Covariates at the positions that produce tokens `first` to `first + steps` (exclusive)."""
    read, made = found[:, first - 1 : first + steps - 1], found[:, first : first + steps]
    return curved(read, made, np.broadcast_to(np.arange(first - 1.0, first + steps - 1), read.shape))


def curved(
    read: Float[np.ndarray, "text step"], made: Float[np.ndarray, "text step"], position: Float[np.ndarray, "text step"]
) -> Float[np.ndarray, "text step covariate"]:
    """`COVARIATES`: surprisals of the tokens read and produced, positions, and both surprisals bent.

    A straight slope alone lets a bent one into the ratios wherever conditions differ in surprisal: where it doubles,
    intervals covered a planted ratio in 9 to 36 of 100 runs, with logarithms in 93 or more (parabola, saturation,
    hinge). Squares do as well for parabolas and worse for the others, and let a token of 20 nats outweigh the rest. A
    sharp bend inside the range of surprisals can still leave a rest (84 of 100).
    """
    return np.stack([read, made, position, np.log1p(read), np.log1p(made)], axis=-1)


def in_batches(
    count: int, batch: int, work: Callable[[slice], dict[str, np.ndarray]], partial: Partial | None, key: str,
    say: Say | None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Work batch by batch, keeping what is finished."""
    parts = []
    for first in range(0, count, batch):
        rows = slice(first, min(first + batch, count))
        name = f"{key}, texts {rows.start} to {rows.stop}"
        done = None if partial is None else partial.get(name)
        if done is None:
            done = work(rows)
            if partial is not None:
                partial.put(name, done)
        parts.append(done)
        if say is not None:
            say(rows.stop / count)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

"""What one checkpoint says about growth: numbers of every prompt, from its recording and from the model itself.

Node means under both redundancy functions, uncoupled surrogates, autocorrelation, the loss on the text that the prompts
are written in, and induction. Nothing is tested here: `growth_study` compares checkpoints, and resamples prompts in all
of them at once.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from brodmann import look
from brodmann.models import Subject
from brodmann.page import Chapter, Panel
from brodmann.plain import from_dict, to_dict
from brodmann.plotting import layout, line, note, text_number
from brodmann.recordings.induction import induction, prefix_matching
from brodmann.recordings.likelihood import answer_log_likelihood
from brodmann.settings import SynergySettings, TrackSettings
from brodmann.synergy.measure import measure_nodes, prompt_windows, select
from brodmann.synergy.surrogates import KINDS, NodeMeans, autocorrelation, null_node_means
from brodmann.synergy.windows import ESTIMATORS


def study(
    recording: xr.Dataset,
    *,
    results: Mapping[str, xr.Dataset],
    subject: Subject | None = None,
    settings: TrackSettings | None = None,
    seed: int = 0,
    progress: Any = None,
) -> xr.Dataset:
    """Measure what growth is told from, prompt by prompt.

    Parameters
    ----------
    recording
        As `brodmann.record` or `brodmann.replay` gives it.
    results
        ``synergy``: the study of the same recording; its settings (lag, estimator, rank) are used here too.
    subject
        The model; without it, or where it has no language-model head, loss and induction are NaN.
    settings
        Number of surrogates and of induction sequences.
    seed
        Seed of the surrogates. The random tokens of the induction test are the same for every model.

    Returns
    -------
    xarray.Dataset
        ``node_synergy``, ``node_redundancy`` (function, prompt, unit) nats; ``null_synergy``, ``null_redundancy``
        (null, draw, prompt, unit) nats, under the first function; ``memory`` (prompt, unit) lag autocorrelation;
        ``loss`` (prompt) nats per token of the prompts' own text; ``induction`` (sequence) nats, first minus second
        copy; ``induction_loss`` (position) nats; ``prefix_matching`` (unit) 0 to 1.
    """
    start = time.perf_counter()
    settings = settings or TrackSettings()
    chosen = from_dict(SynergySettings, json.loads(str(results["synergy"].attrs["settings"])))
    say = progress or (lambda _: None)
    recording = select(recording, chosen)
    say("pairs")
    functions = functions_of(chosen)
    nodes = [measure_nodes(recording, with_redundancy(chosen, function)) for function in functions]
    say("surrogates")
    nulls = surrogates_of(recording, chosen, settings.growth_surrogates, seed)
    continuous = prompt_windows(recording, replace(chosen, estimator="gaussian"))
    say("loss and induction")
    heard = _behaviour(recording, subject, settings)
    units = recording["unit"].values
    by_prompt = ("function", "prompt", "unit")
    by_draw = ("null", "draw", "prompt", "unit")
    variables: dict[str, Any] = {
        "node_synergy": (by_prompt, np.stack([each.synergy for each in nodes]), _nats("mean synergy of the unit")),
        "node_redundancy": (by_prompt, np.stack([n.redundancy for n in nodes]), _nats("mean redundancy of the unit")),
        "null_synergy": (by_draw, np.stack([null.synergy for null in nulls]), _nats("synergy of surrogates")),
        "null_redundancy": (by_draw, np.stack([null.redundancy for null in nulls]), _nats("redundancy of surrogates")),
        "memory": (("prompt", "unit"), np.stack([autocorrelation(part) for part in continuous]),
                   {"long_name": "correlation of the unit with itself one lag later"}),
        **heard,
    }  # fmt: skip
    if "prefix_matching" in variables:
        values = variables["prefix_matching"].reindex(units).to_numpy()
        variables["prefix_matching"] = ("unit", values, {"long_name": "attention to the token after the last copy"})
    coords = {
        "unit": units, "unit_layer": ("unit", recording["layer"].values.astype(int)),
        "prompt": recording["prompt"].values, "function": list(functions), "null": list(KINDS),
    }  # fmt: skip
    return xr.Dataset(
        variables, coords,
        {"title": "A stage of growth", "settings": json.dumps({**to_dict(settings), "rank": chosen.rank}),
         "findings": "[]", "seed": seed, "seconds": time.perf_counter() - start},
    )  # fmt: skip


def functions_of(settings: SynergySettings) -> tuple[str, ...]:
    """Redundancy functions that are compared: that of the settings first, then the other of MMI and CCS."""
    other = "ccs" if settings.redundancy != "ccs" else "mmi"
    return (settings.redundancy, other) if other in ESTIMATORS[settings.estimator] else (settings.redundancy,)


def with_redundancy(settings: SynergySettings, function: str) -> SynergySettings:
    """The same settings with another redundancy function."""
    return from_dict(SynergySettings, {**to_dict(settings), "redundancy": function})


def surrogates_of(recording: xr.Dataset, chosen: SynergySettings, draws: int, seed: int) -> list[NodeMeans]:
    """Node means of uncoupled surrogates of every prompt, one for each of `KINDS`."""
    parts = prompt_windows(recording, chosen)
    return [
        null_node_means(
            parts, kind, draws, redundancy=chosen.redundancy, rng=np.random.default_rng([seed, *kind.encode()])
        )
        for kind in KINDS
    ]


def _behaviour(recording: xr.Dataset, subject: Subject | None, settings: TrackSettings) -> dict[str, Any]:
    """Loss on the prompts and induction; NaN where the model cannot be asked."""
    prompts = recording.sizes["prompt"]
    words = _nats("loss per token of the prompt's own text")
    if subject is None or not subject.generates:
        return {"loss": ("prompt", np.full(prompts, np.nan), words)}
    found: dict[str, Any] = {"loss": ("prompt", text_loss(recording, subject), words)}
    heard = induction(subject, sequences=settings.induction_sequences, tokens=settings.induction_tokens)
    found["induction"] = ("sequence", heard.score, _nats("loss on the first copy minus loss on the second"))
    found["induction_loss"] = ("position", heard.by_position, _nats("loss at each position of two copies"))
    matched = prefix_matching(subject, tokens=settings.induction_tokens)
    return found if matched is None else {**found, "prefix_matching": matched}


def text_loss(recording: xr.Dataset, subject: Subject) -> Float[np.ndarray, " prompt"]:
    """Mean loss (nats per token) on the text of each prompt, or on the passage that was read; NaN for single tokens."""
    rows = [tuple(int(token) for token in row[row >= 0]) for row in recording["input_id"].values]
    known = [index for index, row in enumerate(rows) if len(row) > 1]
    loss = np.full(len(rows), np.nan)
    if known:
        told = answer_log_likelihood(subject, [rows[i][:1] for i in known], [rows[i][1:] for i in known])
        loss[known] = -np.nanmean(told, axis=1)
    return loss


def mean_loss(stage: xr.Dataset) -> float:
    """Mean over prompts of a stage's loss, nats per token; NaN where the model could not be asked."""
    loss = stage["loss"].values
    return float(np.nanmean(loss)) if np.isfinite(loss).any() else float("nan")


def _nats(words: str) -> dict[str, str]:
    return {"long_name": words, "units": "nats"}


def chapter(dataset: xr.Dataset, recording: xr.Dataset) -> Chapter:  # noqa: ARG001  the page's own call
    """Draw what the model does with repeated random tokens; all else is drawn for the whole family."""
    loss = mean_loss(dataset)
    panels: tuple[Panel, ...] = ()
    if "induction_loss" in dataset:
        score = float(dataset["induction"].mean())
        at = np.arange(1, dataset.sizes["position"] + 1, dtype=float)
        half = (at.size + 1) / 2
        values = dataset["induction_loss"].values
        title = f"On random tokens said twice, the second copy costs {text_number(score)} nats per token less."
        figure = layout(
            {"title": "token"}, {"title": "loss (nats)", "rangemode": "tozero"},
            annotations=[note(half, float(values.max()), "second copy begins", anchor="left", colour=look.INK_2)],
        )  # fmt: skip
        panels = (
            Panel(
                "induction", title, {"data": [line(at, values, "loss", look.INK, width=1.8)], "layout": figure},
                how_to_read="Mean loss at each token of two copies of the same random sequence. A model that looks up "
                "what followed a token before gets cheaper in the second copy.",
                description=f"Line chart of the loss by token. {title}",
            ),
        )  # fmt: skip
    return Chapter(
        name="stage", title="A stage of growth", question="What does this checkpoint say about growth?",
        summary=f"Loss on the prompts' own text: {text_number(loss)} nats per token.", panels=panels,
        unit_columns={"prefix_matching": "prefix matching"} if "prefix_matching" in dataset else {},
        citations=("olsson2022",),
    )  # fmt: skip

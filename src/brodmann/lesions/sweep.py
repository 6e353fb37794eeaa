"""Does behaviour depend on the synergistic core? A model, its recording and a ranking in; curves and findings out.

The sweep is that of Urbina-Rodriguez et al. 2026 (arXiv 2601.06851, figure 4a), with the controls that it lacks: same
layers, same activity, same autocorrelation, and a rival ranking by gradient (Michel et al. 2019). The core's ranking is
data here; how it is found stands in `synergy`. Heads or experts are removed by zeroing what they write. The gradient's
ranking is cross-fitted, since a ranking by the loss is favoured on its own prompts: even prompts are lesioned by what
odd prompts say is important, and the reverse.
"""

import json
import time
from collections.abc import Mapping

import numpy as np
import xarray as xr

from brodmann.errors import RecordingError
from brodmann.lesions.claims import ORDERS, Evidence, findings
from brodmann.lesions.divergence import divergences
from brodmann.lesions.importance import gradient_importance
from brodmann.lesions.ranking import HALVES, Curves, find_ranking, make_curves, ranked_units
from brodmann.lesions.summary import caveats, summarise
from brodmann.models import Subject
from brodmann.partial import Partial, Progress
from brodmann.plain import digest, to_dict
from brodmann.ranges import check_ranges
from brodmann.recordings.drive import Tokens
from brodmann.recordings.likelihood import recorded_text
from brodmann.settings import SIGNALS, LesionSettings, Signal


def study(
    subject: Subject,
    recording: xr.Dataset,
    *,
    order: xr.DataArray | None = None,
    results: Mapping[str, xr.Dataset] | None = None,
    settings: LesionSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    partial: Partial | None = None,
) -> xr.Dataset:
    """Remove units in several orders and measure how far the model's behaviour moves.

    Parameters
    ----------
    subject
        The model that made the recording.
    recording
        What it said (`brodmann.record`), with signal z_norm or write_norm for heads, expert_norm for experts.
    order
        The ranking under test, over units: the highest are the core and go first. Units that it does not name, or
        whose rank is not a number, stay untouched and do not count in fractions. Default: that of
        ``results["synergy"]``, by the definition that its core was cut by.
    results
        Results of other studies by name.
    settings
        Fractions, numbers of draws, sizes of passes.
    seed
        Seed of everything random here.
    progress
        Called with what is being done and the share of it that is done.
    partial
        Where finished passes are kept, so that a killed study goes on and gives the same bits.

    Returns
    -------
    xarray.Dataset
        Divergences in nats, areas in nats times share removed:

        - ``divergence`` (curve, fraction, prompt); ``area`` (curve, prompt); ``curve_order``, ``draw`` (curve);
          ``removed`` (fraction): units that are gone;
        - ``mean``, ``mean_low``, ``mean_high`` (order, fraction) with 95 % intervals over prompts and draws;
          ``lowest``, ``highest`` (order, fraction): range of the draws; ``shared`` (order, fraction): share of the
          core's set that the order's set holds too;
        - ``ratio``, ``ratio_low``, ``ratio_high`` (control): area of the core's curve over the control's;
          ``ratio_at`` (control, fraction); ``ratio_of_draw`` (curve): area of a draw over the mean of the other draws;
        - ``rank``, ``importance``, ``activity``, ``autocorrelation`` (unit); ``removal`` (curve, unit): share of units
          gone when it goes, NaN where it stays; ``gap`` (quantity, order): difference of the sets' means at the largest
          fraction, in standard deviations over units; of the rival these and ``shared`` are by the mean of its scores
          on both halves of the prompts, while its ``divergence`` on each half is by its scores on the other;
        - attrs: ``findings`` (JSON), ``settings``, ``provenance``, ``signal``, ``forward_tokens``, ``seconds``.

    Raises
    ------
    RecordingError
        If the model writes no text, the recording is of other units, or there is no ranking.
    SettingsError
        If a setting cannot work.
    """
    start = time.perf_counter()
    settings = settings or LesionSettings()
    say = progress or (lambda *_: None)
    check_ranges(settings)
    signal = _signal(subject, recording)
    recording = recording.isel(prompt=np.flatnonzero([len(answer) > 0 for answer in recorded_text(recording)[1]]))
    prompts, answers = recorded_text(recording)
    if len(prompts) < 2:
        raise RecordingError("lesions need at least two prompts with an answer: one gives no interval")
    table = subject.anatomy.units(signal)
    ranked = ranked_units(table, subject.label, recording, find_ranking(order, results))
    importance = _importance(subject, prompts, answers, signal, say, partial)[:, ranked.column]
    curves = make_curves(ranked, importance, settings, np.random.default_rng([seed, 1]))
    nats = _measure(subject, prompts, answers, signal, curves, ranked.column, settings.lesion_tokens, say, partial)
    say("intervals")
    result = summarise(recording, ranked, curves, nats, importance.mean(axis=0))
    evidence = Evidence(
        {name: curves.of(name, result["area"].values) for name in ORDERS}, str(SIGNALS[signal].kind),
        float(curves.share[-1]), seed, caveats(result, same_prompts=order is None),
    )  # fmt: skip
    result.attrs = {
        "title": f"Lesions of {subject.label}",
        "settings": json.dumps(to_dict(settings)),
        "provenance": recording.attrs.get("provenance", "{}"),
        "signal": signal,
        "kind": SIGNALS[signal].kind,
        "findings": json.dumps([finding.to_dict() for finding in findings(evidence)]),
        "prompts": len(prompts), "seed": seed,
        "forward_tokens": settings.forward_tokens(1, sum(map(len, prompts)) + sum(map(len, answers))),
        "seconds": time.perf_counter() - start,
    }  # fmt: skip
    return result


def _signal(subject: Subject, recording: xr.Dataset) -> Signal:
    if not subject.generates:
        raise RecordingError(f"{subject.name} writes no text, so lesions have no behaviour to change: it is an encoder")
    recorded = str(recording.attrs.get("signal", ""))
    kind = SIGNALS[recorded].kind if recorded in SIGNALS else recorded
    if kind not in ("head", "expert"):
        raise RecordingError(
            f"{kind or 'unknown'} units cannot be removed; record heads (z_norm) or experts (expert_norm)"
        )
    return "expert_norm" if kind == "expert" else "z_norm"


def _measure(
    subject: Subject, prompts: Tokens, answers: Tokens, signal: Signal, curves: Curves, column: np.ndarray,
    tokens: int, say: Progress, partial: Partial | None,
) -> np.ndarray:  # fmt: skip
    """Divergences (curve, fraction, prompt); both halves of the prompts have the same lesions but for the rival's."""
    say("lesions", 0.0)
    shape = curves.gone.shape[:2]
    nats = np.empty((*shape, len(prompts)))
    done = 0
    for number, half in enumerate(HALVES):
        lesions = np.zeros((*shape, len(subject.anatomy.units(signal))), dtype=bool)
        lesions[..., column] = curves.on(number)
        some = prompts[half]

        def said(of_half: int, all_of_half: int, done: int = done, size: int = len(some)) -> None:
            say("lesions", (done + size * of_half / all_of_half) / len(prompts))

        nats[..., half] = divergences(
            subject, some, answers[half], lesions.reshape(-1, lesions.shape[-1]), signal=signal, tokens=tokens,
            partial=partial, on_pass=said,
        ).reshape(*shape, -1)  # fmt: skip
        done += len(some)
    return nats


def _importance(
    subject: Subject, prompts: Tokens, answers: Tokens, signal: Signal, say: Progress, partial: Partial | None
) -> np.ndarray:
    """Gradient importance on each half of the prompts (half, unit)."""
    say("gradient importance", 0.0)
    found = []
    for half in HALVES:
        some, said = prompts[half], answers[half]
        key = digest(["importance", list(some), list(said), signal])
        kept = None if partial is None else partial.get(key)
        if kept is None:
            kept = {"scores": gradient_importance(subject, some, said, signal=signal)}
            if partial is not None:
                partial.put(key, kept)
        found.append(np.asarray(kept["scores"]))
        say("gradient importance", len(found) / len(HALVES))
    return np.stack(found)

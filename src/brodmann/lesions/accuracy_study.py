"""Does a model fail tasks when its core is lesioned? A model and a ranking in; accuracies and findings out.

The question of Urbina-Rodriguez et al. 2026 (arXiv 2601.06851, figure 4b) with tasks that are verified, on the same
questions under every lesion, and with sets of the same layers as controls. Units are removed, or their weights get
noise of a strength at which random sets cost a set share.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from brodmann.errors import RecordingError, SettingsError
from brodmann.lesions import orders
from brodmann.lesions.accuracy import Condition, marks, unit_sets
from brodmann.lesions.accuracy_claims import SETS, Marked, below, findings
from brodmann.lesions.calibrate import find_alpha
from brodmann.lesions.ranking import find_ranking, ranked_units
from brodmann.models import Subject
from brodmann.partial import Partial, Progress
from brodmann.plain import digest, to_dict
from brodmann.ranges import check_ranges
from brodmann.settings import SIGNALS, AccuracySettings, Signal
from brodmann.tasks import Quiz, named, quiz, read_harness

CONTROLS = ("same layers", "random", "redundant")
_NOISE_DRAWS = 3
_CALIBRATED_ON = 2


def study(
    subject: Subject,
    recording: xr.Dataset,
    *,
    order: xr.DataArray | None = None,
    results: Mapping[str, xr.Dataset] | None = None,
    settings: AccuracySettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    partial: Partial | None = None,
) -> xr.Dataset:
    """Ask the intact and the lesioned model the same questions.

    Parameters
    ----------
    subject
        A decoder with a language-model head.
    recording
        Says which units there are (z_norm or write_norm: heads, expert_norm: experts).
    order
        The ranking under test, over units; the highest are the core. Default: that of ``results["synergy"]``.
    results
        Results of other studies by name.
    settings
        Tasks, lesions, numbers of questions and sets.
    seed
        Seed of everything random here, the questions among it.
    progress
        Called with what is being done and the share of it that is done.
    partial
        Where the marks of finished lesions are kept, so that a killed study goes on.

    Returns
    -------
    xarray.Dataset
        Shares between 0 and 1:

        - ``right`` (lesion, task, question): 1 right, 0 wrong, NaN beyond a task's questions; ``set``, ``draw``
          (lesion);
        - ``accuracy`` (shown, task): intact and mean of each set; ``chance`` (task); ``untestable`` (task) bool;
        - ``difference``, ``difference_low``, ``difference_high`` (control, task): accuracy under the control minus
          under the core, with 95 % intervals over questions, sets and the chance in which set was drawn;
        - ``lesioned`` (set_name, unit): share of a set's draws that hold the unit;
        - attrs: ``findings`` (JSON), ``settings``, ``provenance``, ``signal``, ``alpha`` (noise), ``seconds``.

    Raises
    ------
    RecordingError
        If the model writes no text or there is no ranking.
    SettingsError
        If a setting cannot work, or no noise costs the set share.
    """
    start = time.perf_counter()
    settings = settings or AccuracySettings()
    say = progress or (lambda *_: None)
    signal = _signal(subject, recording)
    check_ranges(settings)
    ranked = ranked_units(subject.anatomy.units(signal), subject.label, recording, find_ranking(order, results))
    quizzes = make_quizzes(settings, seed)
    sets = unit_sets(
        ranked.unit.tolist(), orders.by_rank(ranked.rank), ranked.group, share=settings.accuracy_share,
        matched=settings.control_sets, random=settings.random_unit_sets, rng=np.random.default_rng([seed, 1]),
    )  # fmt: skip
    asker = _Asker(subject, quizzes, seed, partial)
    alpha = None
    if settings.accuracy_kind == "noise":
        say("strength of noise")
        alpha = asker.strength(sets["same layers"][:_CALIBRATED_ON], settings.noise_loss)
    conditions = _conditions(sets, alpha)
    right = []
    for number, condition in enumerate(conditions):
        right.append(asker.ask(condition))
        say("questions", (number + 1) / len(conditions))
    marked = _marked(quizzes, conditions, np.array(right))
    result = _dataset(quizzes, conditions, np.array(right), marked)
    holds = [[np.mean([unit in each for each in sets[name]]) for unit in ranked.unit] for name in SETS]
    result = result.assign_coords(unit=ranked.unit, unit_layer=("unit", ranked.layer), set_name=list(SETS))
    result["lesioned"] = (("set_name", "unit"), np.array(holds), {"long_name": "share of draws that hold the unit"})
    result.attrs = {
        "title": f"Tasks of {subject.label} under lesion", "settings": json.dumps(to_dict(settings)),
        "provenance": json.dumps(dict(subject.provenance)), "signal": signal, "kind": SIGNALS[signal].kind,
        "findings": json.dumps([
            finding.to_dict()
            for finding in findings(marked, kind=settings.accuracy_kind, share=settings.accuracy_share, seed=seed)
        ]),
        "seed": seed, "seconds": time.perf_counter() - start, **({} if alpha is None else {"alpha": alpha}),
    }  # fmt: skip
    return result


def make_quizzes(settings: AccuracySettings, seed: int) -> tuple[Quiz, ...]:
    """Read or generate the questions that the settings name.

    Raises
    ------
    SettingsError
        If a name is no task, or has no such level.
    PromptError
        If a file cannot be read, or asks for what is not covered.
    """
    found = []
    for name in settings.accuracy_tasks:
        if Path(name).suffix in (".yaml", ".yml"):
            found.append(read_harness(name, settings.questions))
            continue
        family, _, level = name.partition(":")
        task = named((family,))[0]
        if level and not level.isdigit():
            raise SettingsError(f"task '{name}': write a family and a level, such as addition:2")
        chosen = int(level) if level else task.levels[0]
        found.append(
            quiz(task, settings.questions, chosen, seed, shots=settings.shots, choose=settings.answering == "choose")
        )
    names = [each.name for each in found]
    if not names or len(set(names)) < len(names):
        raise SettingsError(f"accuracy_tasks: {', '.join(names) or 'none'}; name each task once, and at least one")
    return tuple(found)


class _Asker:
    """Asks all questions under one condition after the other, and keeps the marks."""

    def __init__(self, subject: Subject, quizzes: tuple[Quiz, ...], seed: int, partial: Partial | None) -> None:
        self._subject, self._quizzes, self._partial = subject, quizzes, partial
        self._key = digest([seed, [[each.name, each.choose, [i.prompt for i in each.items]] for each in quizzes]])
        self._longest = max(len(each.items) for each in quizzes)

    def ask(self, condition: Condition) -> np.ndarray:
        """Marks (task, question), NaN beyond a task's questions."""
        key = digest([self._key, condition.units, condition.alpha, condition.draw if condition.alpha else 0])
        kept = None if self._partial is None else self._partial.get(key)
        if kept is None:
            right = np.full((len(self._quizzes), self._longest), np.nan)
            with condition.context(self._subject):
                for row, each in enumerate(self._quizzes):
                    right[row, : len(each.items)] = marks(self._subject, each)
            kept = {"right": right}
            if self._partial is not None:
                self._partial.put(key, kept)
        return np.asarray(kept["right"])

    def strength(self, sets: list[tuple[str, ...]], loss: float) -> float:
        """Noise at which these sets lose a share of the accuracy above guessing, over all tasks."""
        chance = float(np.mean([each.chance for each in self._quizzes]))

        def score(subject: Subject) -> float:
            return float(np.mean([marks(subject, each).mean() for each in self._quizzes]))

        return find_alpha(self._subject, sets, score, share=loss, floor=chance).alpha


def _conditions(sets: Mapping[str, list[tuple[str, ...]]], alpha: float | None) -> list[Condition]:
    """Intact, then every draw of every set; noise is drawn anew for each, several times for sets of one draw."""
    conditions = [Condition("intact", 0, ())]
    for name in SETS:
        drawn = sets[name] if alpha is None or len(sets[name]) > 1 else sets[name] * _NOISE_DRAWS
        conditions += [Condition(name, draw, units, alpha) for draw, units in enumerate(drawn)]
    return conditions


def _marked(quizzes: tuple[Quiz, ...], conditions: list[Condition], right: np.ndarray) -> list[Marked]:
    names = np.array([each.name for each in conditions])
    found = []
    for row, each in enumerate(quizzes):
        some = right[:, row, : len(each.items)].astype(bool)
        under = {name: some[names == name] for name in SETS}
        words = f"chosen among {len(each.items[0].choices)}" if each.choose else "written"
        found.append(Marked(each.name, each.chance, some[0], under, words))
    return found


def _dataset(
    quizzes: tuple[Quiz, ...], conditions: list[Condition], right: np.ndarray, marked: list[Marked]
) -> xr.Dataset:
    gaps = [[below(each, control) for each in marked] for control in CONTROLS]
    shown = ("intact", *SETS)
    words = {"units": "1"}
    variables: dict[str, Any] = {
        "right": (("lesion", "task", "question"), right, {"long_name": "whether the answer was right"}),
        "accuracy": (("shown", "task"), np.array([[each.accuracy(name) for each in marked] for name in shown]), words),
        "chance": ("task", np.array([each.chance for each in marked]), {"long_name": "accuracy of guessing"}),
        "untestable": ("task", np.array([bool(each.floor) for each in marked])),
    }  # fmt: skip
    for end, field in (("", "estimate"), ("_low", "low"), ("_high", "high")):
        values = np.array([[float(getattr(gap, field)) for gap in row] for row in gaps])
        variables[f"difference{end}"] = (("control", "task"), values, words)
    coords = {
        "task": [each.name for each in quizzes], "shown": list(shown), "control": list(CONTROLS),
        "set": ("lesion", [each.name for each in conditions]), "draw": ("lesion", [each.draw for each in conditions]),
    }  # fmt: skip
    return xr.Dataset(variables, coords)


def _signal(subject: Subject, recording: xr.Dataset) -> Signal:
    if not subject.generates or subject.is_encoder_decoder:
        raise RecordingError(f"{subject.name} is no decoder that writes text, so tasks cannot be given to it")
    recorded = str(recording.attrs.get("signal", ""))
    kind = SIGNALS[recorded].kind if recorded in SIGNALS else recorded
    if kind not in ("head", "expert"):
        raise RecordingError(
            f"{kind or 'unknown'} units cannot be lesioned; record heads (z_norm) or experts (expert_norm)"
        )
    return "expert_norm" if kind == "expert" else "z_norm"

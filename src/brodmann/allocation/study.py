"""Is the core more active where a task is harder? A model and its core in; ratios with nulls and findings out.

The design is ours (training.md, section 2): tasks with a difficulty knob, repetition and ordinary sentences, equally
long in tokens; density against thresholds of other neutral texts; the core against units of its own layers, at equal
surprisal and position. A dense transformer computes as much on easy as on hard input: activity is not energy.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial as bound
from typing import Any

import numpy as np
import xarray as xr

from brodmann.allocation import density, listening, neurons
from brodmann.allocation.claims import Heard, findings
from brodmann.allocation.evidence import VERSIONS, Scene, tabulate
from brodmann.allocation.results import layer_variables, neuron_variables, ratio_variables, unit_variables
from brodmann.allocation.texts import Condition, asking_texts, check_room, conditions, fixed_texts
from brodmann.errors import RecordingError
from brodmann.models import Subject
from brodmann.partial import Partial, Progress
from brodmann.plain import digest, to_dict
from brodmann.settings import SIGNALS, AllocationSettings, Signal

_PERPLEXITY_TEXTS = 16


def study(
    subject: Subject,
    recording: xr.Dataset,
    *,
    core: xr.DataArray | None = None,
    results: Mapping[str, xr.Dataset] | None = None,
    settings: AllocationSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    partial: Partial | None = None,
) -> xr.Dataset:
    """Measure how densely the core is active on hard tasks, simple repetition and neutral text.

    Parameters
    ----------
    subject
        A decoder with a language-model head.
    recording
        Says which signal is listened to and how many texts run together; its activity is not used.
    core
        Which units are the core, bool over units. Default: that of ``results["synergy"]``.
    results
        Results of other studies by name.
    settings
        Tasks, numbers and lengths of texts, threshold, sizes of bootstraps and nulls.
    seed
        Seed of everything random here, the texts among it.
    progress
        Called with what is being done and the share of it that is done.
    partial
        Where finished batches are kept, so that a killed study goes on.

    Returns
    -------
    xarray.Dataset
        Ratios are dimensionless; contrasts are ``hard``, ``simple``, ``harder`` and every condition against neutral:

        - ``ratio``, ``ratio_low``, ``ratio_high`` (version, measure, adjustment, compared, contrast), with 95 %
          intervals over texts, and over families of tasks where a contrast pools them; ``texts`` (version, contrast):
          texts they rest on;
        - ``layer_ratio``, ``layer_low``, ``layer_high`` (compared_layer, contrast_layer, layer): density by layer;
        - ``condition_density`` (group, condition), ``surprisal`` (condition) in nats, ``overlap`` (condition): share of
          steps with surprisals usual on neutral text, ``token_distance`` (condition): of the token frequencies from
          those of neutral text, ``accuracy`` (condition): share of right written answers;
        - ``threshold``, ``density_hard``, ``density_simple``, ``density_neutral``, ``core`` (unit);
        - ``neuron_density`` (condition, neuron_layer), ``neuron_ratio``, ``neuron_low``, ``neuron_high``
          (contrast_layer, neuron_layer), where neurons are measured;
        - attrs: ``findings`` (JSON), ``settings``, ``provenance``, ``signal``, ``neuron_error``, ``neuron_loss``.

    Raises
    ------
    RecordingError
        If the model writes no text, there is no core, or the core leaves no layer with other units.
    SettingsError
        If a setting cannot work or the texts do not fit the model's context.
    """
    start = time.perf_counter()
    settings = settings or AllocationSettings()
    say = progress or (lambda *_: None)
    signal = _signal(subject, recording)
    check_room(subject, settings)
    table = subject.anatomy.units(signal)
    chosen = conditions(settings)
    inside = _core(table["unit"].tolist(), subject, core, results)
    layer = table.groupby(["stack", "layer"], sort=False).ngroup().to_numpy()
    driver = _Driver(subject, signal, settings, chosen, seed, _batch(recording), say, partial)
    neutral, reading, fixed = driver.read()
    if not any(inside[layer == each].any() and not inside[layer == each].all() for each in np.unique(layer)):
        raise RecordingError(
            "no layer holds units of the core and others, so there is nothing to compare the core with"
        )
    against = density.yardstick(neutral.activity, settings.active_quantile)
    scene = Scene(chosen, inside, layer, against, settings, seed)
    writing = driver.write()
    say("ratios")
    tables = {"reading": tabulate(scene, reading)}
    if writing is not None:
        tables |= {VERSIONS[1]: tabulate(scene, writing), VERSIONS[2]: tabulate(scene, writing, right_only=True)}
    say("findings")
    tested = findings(scene, Heard(reading, tables))
    variables = {
        **ratio_variables(tables), **layer_variables(scene, reading),
        **unit_variables(scene, reading, fixed, writing),
    }  # fmt: skip
    found = driver.neurons(fixed)
    coords: dict[str, Any] = {name: ("unit", table[name].to_numpy()) for name in ("kind", "stack", "index", "depth")}
    result = xr.Dataset(variables).assign_coords(
        unit=table["unit"].to_numpy(dtype=np.str_), unit_layer=("unit", table["layer"].to_numpy()), **coords
    )
    if found is not None:
        result = result.merge(neuron_variables(scene, reading, found.active, found.truncation))
    result.attrs = {
        "title": f"Allocation of activity in {subject.label}", "settings": json.dumps(to_dict(settings)),
        "provenance": json.dumps(dict(subject.provenance)), "signal": signal, "kind": SIGNALS[signal].kind,
        "findings": json.dumps([finding.to_dict() for finding in tested]), "seed": seed,
        "prompts": len(reading.label), "core_units": int(inside.sum()), "seconds": time.perf_counter() - start,
        **({} if found is None else {"neuron_error": found.truncation.error, "neuron_loss": found.truncation.loss}),
    }  # fmt: skip
    return result


@dataclass(frozen=True, eq=False)
class _Neurons:
    truncation: neurons.Truncation
    active: np.ndarray
    """(text, step, layer)"""


@dataclass(frozen=True, eq=False)
class _Driver:
    """Everything that takes the model's time, batch by batch."""

    subject: Subject
    signal: Signal
    settings: AllocationSettings
    conditions: tuple[Condition, ...]
    seed: int
    batch: int
    say: Progress
    partial: Partial | None

    @property
    def key(self) -> str:
        """What decides the numbers of a batch besides its place."""
        names = [each.name for each in self.conditions]
        return digest([to_dict(self.settings), names, self.seed, self.batch, self.signal])

    def read(self) -> tuple[listening.Listened, listening.Listened, Any]:
        """Neutral texts for the thresholds, then the texts of all conditions."""
        settings = self.settings
        length = settings.text_context + settings.text_steps
        extra = replace(self.conditions[0], name="calibration")
        counts = [settings.neutral_texts, *(settings.task_texts for _ in self.conditions[1:])]
        found = []
        for words, chosen, numbers in (
            ("neutral text", (extra,), [settings.neutral_texts]),
            ("reading", self.conditions, counts),
        ):
            texts = fixed_texts(self.subject, chosen, numbers, length, self.seed)
            heard = listening.hear_reading(
                self.subject, texts, context=settings.text_context, signal=self.signal, batch=self.batch,
                partial=self.partial, key=f"{self.key} {words}", say=bound(self.say, words),
            )  # fmt: skip
            found.append((heard, texts))
        return found[0][0], found[1][0], found[1][1]

    def write(self) -> listening.Listened | None:
        """Answers that the model writes; None where it is not asked to."""
        settings = self.settings
        if settings.answer_tokens < 1:
            return None
        counts = [settings.neutral_texts, *(settings.task_texts for _ in self.conditions[1:])]
        texts = asking_texts(self.subject, self.conditions, counts, settings.text_context, self.seed)
        return listening.hear_writing(
            self.subject, texts, tokens=settings.answer_tokens, signal=self.signal, batch=self.batch,
            partial=self.partial, key=f"{self.key} writing", say=lambda share: self.say("writing", share),
        )  # fmt: skip

    def neurons(self, texts: Any) -> _Neurons | None:
        """Density of neurons on the texts that were read; None where they are not asked for or cannot be reached."""
        if not self.settings.neurons or not neurons.neuron_sites(self.subject):
            return None
        length = self.settings.text_context + self.settings.text_steps
        extra = replace(self.conditions[0], name="calibration")
        neutral = fixed_texts(self.subject, (extra,), [_PERPLEXITY_TEXTS], length, self.seed).ids.tolist()
        kept = None if self.partial is None else self.partial.get(f"{self.key} truncation")
        if kept is None:
            found = neurons.calibrate(
                self.subject, neutral, loss=self.settings.perplexity_loss,
                say=lambda share: self.say("threshold of neurons", share),
            )  # fmt: skip
            kept = {
                "layer": np.array(found.layer), "threshold": found.threshold,
                "numbers": np.array([found.error, found.loss]),
            }  # fmt: skip
            if self.partial is not None:
                self.partial.put(f"{self.key} truncation", kept)
        truncation = neurons.Truncation(tuple(kept["layer"].tolist()), kept["threshold"], *kept["numbers"].tolist())

        def work(rows: slice) -> dict[str, np.ndarray]:
            ids = texts.ids[rows].tolist()
            context = self.settings.text_context
            return {"active": neurons.hear_neurons(self.subject, ids, context=context, truncation=truncation)}

        active = listening.in_batches(
            len(texts.ids), self.batch, work, self.partial, f"{self.key} neurons",
            lambda share: self.say("neurons", share),
        )  # fmt: skip
        return _Neurons(truncation, active["active"])


def _signal(subject: Subject, recording: xr.Dataset) -> Signal:
    if not subject.generates or subject.is_encoder_decoder:
        raise RecordingError(f"{subject.name} is no decoder that writes text, so tasks cannot be given to it")
    recorded = str(recording.attrs.get("signal", "z_norm"))
    if recorded not in SIGNALS or SIGNALS[recorded].kind not in ("head", "expert"):
        raise RecordingError(
            f"allocation compares heads or experts, not the signal '{recorded}'; record z_norm or expert_norm"
        )
    return recorded


def _batch(recording: xr.Dataset) -> int:
    recorded = json.loads(str(recording.attrs.get("settings", "{}")))
    return int(recorded.get("batch_size", 30))


def _core(
    units: list[str], subject: Subject, core: xr.DataArray | None, results: Mapping[str, xr.Dataset] | None
) -> np.ndarray:
    if core is None:
        if results is None or "synergy" not in results:
            raise RecordingError("allocation needs a core: give core=, or the result of the synergy study")
        core = results["synergy"]["core"]
    if core.dims != ("unit",) or "unit" not in core.coords:
        raise RecordingError(f"the core must be one truth value per named unit; its dimensions are {core.dims}")
    named = {str(unit) for unit, inside in zip(core["unit"].values, core.values, strict=True) if bool(inside)}
    strange = sorted(named - set(units))
    if strange:
        raise RecordingError(f"{subject.label} has no unit {strange[0]}: the core is of another model or kind of unit")
    return np.array([unit in named for unit in units])

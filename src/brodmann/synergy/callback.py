"""A callback for `transformers.Trainer` that watches for a synergistic core while a model is trained.

It takes the looks of `monitor.Monitor` at a schedule known from the beginning and logs what they see. Training is not
touched: a run with the callback ends with the same weights, bit for bit, as one without. The model must be whole on the
process that looks (one device, or data-parallel copies); sharded weights are not gathered.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from transformers import TrainerCallback

from brodmann.errors import SettingsError
from brodmann.synergy.monitor import Look, Monitor, Watch, panel

PREFIX = "core_"


@runtime_checkable
class Beside(Protocol):
    """Something else that looks at a model in training."""

    def begin(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Hear what earlier parts of the training logged."""

    def __call__(self, model: Any, step: int) -> Mapping[str, float]:
        """Look, and give numbers by the names under which they are logged."""


class EmergenceCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Look at the model every so many steps; `emerged` says whether a core has appeared.

    Every look is kept in `looks` and logged with the Trainer's step, under

    - ``core_contrast``: contrast of the rank profile, 0 to 1 scale; above 0 there is an inverted U;
    - ``core_contrast_low``, ``core_contrast_high``: its 95 % interval over texts;
    - ``core_excess``: the smaller contrast, over both nulls, of synergy above uncoupled surrogates, nats;
    - ``core_reliability``: split-half reliability of the ranking; below 0.5 no look passes;
    - ``core_level``: share of alpha that this look may spend; 0 once all planned looks are over;
    - ``core_passed``: 1 if this look fulfils the rule (contrast and excess above those of random weights, excess above
      what surrogates show among themselves, a reliable ranking), else 0;
    - ``core_emerged``: 1 from the first time that two looks in a row have passed, else 0;
    - ``core_seconds``: wall time of this look.

    Given as ``callbacks=[...]``, they go to the Trainer's ``state.log_history``; with `attach`, to its reporters too.

    Parameters
    ----------
    texts
        Token ids of the panel, or texts; by default 12 texts of 96 tokens made of the built-in prompts.
    every
        Steps between looks. The first look is before training, the last one at its end.
    watch
        Contrast, surrogates, random initialisations, how alpha is spent.
    tokenizer
        For texts; by default the Trainer's ``processing_class``.
    also
        What else looks at the model, each time: called with the model and the step, it gives numbers by name, which
        are logged with the others. `brodmann.fractal.live.WeightWatch` adds the degree of emergence of the weights.

    Examples
    --------
    >>> from brodmann.synergy.callback import EmergenceCallback
    >>> callback = EmergenceCallback(every=500)
    >>> callback.emerged, callback.looks
    (False, [])
    """

    def __init__(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]] | None = None,
        *,
        every: int = 100,
        watch: Watch | None = None,
        tokenizer: Any = None,
        also: Sequence["Beside"] = (),
    ) -> None:
        if every < 1:
            raise SettingsError(f"every = {every}; it must be at least 1")
        self._texts, self._every, self._watch, self._tokenizer = texts, every, watch, tokenizer
        self._also = tuple(also)
        self._monitor: Monitor | None = None
        self._trainer: Any = None
        self._began = 0.0
        self.looks: list[Look] = []
        """What was seen, in order."""
        self.overhead = 0.0
        """Share of the wall time of training that the looks took, once it has ended."""

    @property
    def emerged(self) -> bool:
        """Whether two looks in a row have fulfilled the rule."""
        return self._monitor is not None and self._monitor.emerged

    def attach(self, trainer: Any) -> "EmergenceCallback":
        """Add this callback to a Trainer and log through it, so that its reporters (boards, files) hear of it too."""
        self._trainer = trainer
        trainer.add_callback(self)
        return self

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Make the panel, plan the looks, take the first."""
        self._began = time.perf_counter()
        planned = 1 + math.ceil(state.max_steps / self._every)
        self._monitor = Monitor(self._rows(kwargs.get("processing_class")), planned, self._watch)
        earlier = [entry for entry in state.log_history if f"{PREFIX}passed" in entry]
        self._monitor.passed = [bool(entry[f"{PREFIX}passed"]) for entry in earlier]
        for each in self._also:
            each.begin(state.log_history)
        if not any(entry["step"] == state.global_step for entry in earlier):
            self._look(state, kwargs["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Look, where a look is planned."""
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._look(state, kwargs["model"])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Note the share of time that the looks took."""
        whole = time.perf_counter() - self._began
        self.overhead = self._monitor.seconds / whole if self._monitor is not None and whole > 0 else 0.0

    def _look(self, state: Any, model: Any) -> None:
        if not state.is_world_process_zero:
            return
        assert self._monitor is not None
        look = self._monitor.look(model, int(state.global_step))
        self.looks.append(look)
        low, high = look.interval
        seen = {
            "contrast": look.contrast, "contrast_low": low, "contrast_high": high, "excess": look.excess,
            "reliability": look.reliability, "level": look.level, "passed": float(look.passed),
            "emerged": float(look.emerged), "seconds": look.seconds,
        }  # fmt: skip
        logs = {f"{PREFIX}{name}": value for name, value in seen.items()}
        for each in self._also:
            start = time.perf_counter()
            logs |= each(model, int(state.global_step))
            self._monitor.seconds += time.perf_counter() - start
        if self._trainer is not None:
            self._trainer.log(logs)
        else:
            state.log_history.append({**logs, "epoch": state.epoch, "step": state.global_step})

    def _rows(self, processing_class: Any) -> list[tuple[int, ...]]:
        if self._texts is not None and not isinstance(self._texts[0], str):
            return [tuple(int(token) for token in row) for row in self._texts]
        tokenizer = self._tokenizer or processing_class
        if tokenizer is None:
            raise SettingsError("give the callback a tokenizer (or the Trainer a processing_class), or token ids")
        if self._texts is None:
            return panel(tokenizer)
        return [tuple(tokenizer(str(text), add_special_tokens=False)["input_ids"]) for text in self._texts]

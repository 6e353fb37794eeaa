"""Watch for a synergistic core while a model is trained: short looks at a small panel of texts.

The rule is that of the growth study (`growth.Looks`): at two looks in a row, ranks above random weights, synergy above
uncoupled series of the same memory and that excess above random weights' own, a reliable ranking. Each look has its
share of alpha (5 %), so that texts drawn by chance pass at any of the planned looks in at most 5 % of runs, and at two
in a row less often; bounds of random weights and surrogates are 97.5 % points at every look and not shared out. A look
leaves the model as it was: modes of all modules, gradients and random states. It needs the whole model on one process.
"""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from transformers import PreTrainedModel

from brodmann.errors import RecordingError, SettingsError
from brodmann.models import Subject
from brodmann.models.anatomy import read_anatomy
from brodmann.models.untrained import fresh_model
from brodmann.recordings import SeriesReducer, drive, read_prompts
from brodmann.settings import Signal, SynergySettings
from brodmann.stats import Bootstrap, bootstrap_interval, spending, split_half, weighted_mean
from brodmann.stats.sequential import Spending
from brodmann.synergy import core
from brodmann.synergy.growth import (
    Contrast,
    Looks,
    Series,
    contrast_of,
    excess_contrast,
    lower_bounds,
    upper_of_initialisations,
)
from brodmann.synergy.measure import measure_nodes, prompt_windows
from brodmann.synergy.surrogates import KINDS, NodeMeans, null_node_means, recombine

SKIPPED = 4
"""First tokens of each text that are not counted: they attend to almost nothing but themselves."""
RECOMBINED = 499


@dataclass(frozen=True)
class Watch:
    """What is looked at, and how."""

    contrast: Contrast = "thirds"
    signal: Signal = "z_norm"
    surrogates: int = 5
    """Uncoupled surrogates of each text and kind."""
    bootstraps: int = 300
    random_models: int = 8
    """Fresh random initialisations that are measured once, at the beginning. Below two, nothing can emerge; with three,
    their 97.5 % point often lies above what a contrast can reach."""
    spending: Spending = "pocock"
    alpha: float = 0.05
    seed: int = 0


@dataclass(frozen=True)
class Look:
    """What one look saw."""

    step: int
    contrast: float
    """Contrast of the rank profile, 0 to 1 scale."""
    interval: tuple[float, float]
    """95 % over texts."""
    excess: float
    """The smaller contrast, over both nulls, of synergy above its surrogates, nats."""
    reliability: float
    level: float
    """Share of alpha that this look may spend."""
    passed: bool
    emerged: bool
    """Whether this look and the one before passed, or earlier ones did."""
    seconds: float


class Monitor:
    """Looks at one model again and again.

    Parameters
    ----------
    texts
        Token ids of the panel, one row a text, each at least 32 tokens; `panel` makes some.
    planned
        Looks that will be taken; alpha is spent over them. Later looks can pass no more.
    watch
        How to look.

    Examples
    --------
    >>> from brodmann.models import load
    >>> subject = load("random:gpt_neox")
    >>> monitor = Monitor(panel(subject.tokenizer, texts=6, tokens=48), planned=3)
    >>> monitor.look(subject.model, step=0).emerged
    False
    """

    def __init__(self, texts: Sequence[Sequence[int]], planned: int, watch: Watch | None = None) -> None:
        short = min((len(row) for row in texts), default=0)
        if len(texts) < 5 or short < 32:
            had = f"{len(texts)}, the shortest has {short}" if len(texts) else "none"
            raise SettingsError(f"5 texts of at least 32 tokens are needed; got {had}")
        self._texts = [tuple(int(token) for token in row) for row in texts]
        self._watch = watch or Watch()
        self._levels = spending(planned, self._watch.alpha, self._watch.spending)
        self._synergy = SynergySettings()
        self._random: _Initial | None = None
        self.passed: list[bool] = []
        """Whether each look passed; a run that goes on from a checkpoint puts its earlier looks here."""
        self.seconds = 0.0
        """Wall time of everything so far."""

    @property
    def emerged(self) -> bool:
        """Whether two looks in a row have passed."""
        return any(one and other for one, other in zip(self.passed, self.passed[1:], strict=False))

    def look(self, model: PreTrainedModel, step: int) -> Look:
        """Measure the model as it is now.

        Raises
        ------
        AnatomyError
            If the model's units cannot be reached.
        RecordingError
            If a text is longer than the model reads.
        """
        start = time.perf_counter()
        with undisturbed(model):
            if self._random is None:
                self._random = self._initialisations(model)
            recording = self._record(model)
            level = float(self._levels[len(self.passed)]) if len(self.passed) < self._levels.size else 0.0
            seen = self._judge(recording, np.array([level]))
        self.passed.append(seen.passed)
        took = time.perf_counter() - start
        self.seconds += took
        return replace(seen, step=step, level=level, emerged=self.emerged, seconds=took)

    def _judge(self, recording: xr.Dataset, level: np.ndarray) -> Look:
        watch, nodes = self._watch, measure_nodes(recording, self._synergy)
        layer = recording["layer"].values.astype(int)
        series = Series(nodes.synergy[None], nodes.redundancy[None], layer)
        rng = np.random.default_rng([watch.seed, len(self.passed)])
        band = bootstrap_interval(series.contrasts(watch.contrast), len(self._texts), rng=rng, draws=watch.bootstraps)
        excess = [self._excess(recording, nodes, kind, layer, rng) for kind in KINDS]
        bounds = [_lower(above, level) for above, _ in excess]
        assert self._random is not None
        looks = Looks(
            level=level,
            lower=_lower(band, level),
            threshold=upper_of_initialisations(self._random.ranks),
            excess_lower=np.stack(bounds),
            excess_threshold=np.array([[point] for _, point in excess]),
            excess_random=np.array([upper_of_initialisations(each) for each in self._random.excess]),
            reliability=np.array([self._reliability(nodes, rng)]),
        )
        return Look(
            step=0, contrast=float(band.estimate[0]), interval=(float(band.low[0]), float(band.high[0])),
            excess=min(float(above.estimate[0]) for above, _ in excess), reliability=float(looks.reliability[0]),
            level=0.0, passed=bool(looks.passed[0]) and bool(level[0] > 0), emerged=False, seconds=0.0,
        )  # fmt: skip

    def _excess(
        self, recording: xr.Dataset, nodes: NodeMeans, kind: Any, layer: np.ndarray, rng: np.random.Generator
    ) -> tuple[Any, float]:
        """Contrast of synergy above its surrogates, and the 97.5 % point of what they show among themselves."""
        null = null_node_means(prompt_windows(recording, self._synergy), kind, self._watch.surrogates, rng=rng)
        above = nodes.synergy - null.synergy.mean(axis=0)
        form = self._watch.contrast

        def statistic(weights: np.ndarray) -> np.ndarray:
            return contrast_of(core.layer_profile(weighted_mean(weights, above), layer), form)[:, None]

        sampled = recombine(null.synergy, RECOMBINED, rng)
        among = contrast_of(core.layer_profile(sampled - sampled.mean(axis=0), layer), form)
        band = bootstrap_interval(statistic, len(self._texts), rng=rng, draws=self._watch.bootstraps)
        return band, float(np.quantile(among, 0.975))

    def _reliability(self, nodes: NodeMeans, rng: np.random.Generator) -> float:
        return split_half(
            lambda weights: core.rank_nodes(
                weighted_mean(weights, nodes.synergy), weighted_mean(weights, nodes.redundancy)
            ),
            len(self._texts), rng=rng, splits=100,
        ).reliability  # fmt: skip

    def _initialisations(self, model: PreTrainedModel) -> "_Initial":
        ranks, excess = [], []
        for seed in range(self._watch.random_models):
            fresh = fresh_model(type(model), model.config, self._watch.seed + seed, model.dtype).to(model.device)
            recording = self._record(fresh)
            one, other = self._initial(recording, np.random.default_rng([self._watch.seed, seed, 1]))
            ranks.append(one)
            excess.append(other)
            del fresh
        return _Initial(np.array(ranks), np.array(excess).reshape(len(excess), len(KINDS)).T)

    def _initial(self, recording: xr.Dataset, rng: np.random.Generator) -> tuple[float, list[float]]:
        """Contrasts of one initialisation: of its ranks, and of its synergy above surrogates of each kind."""
        nodes, layer = measure_nodes(recording, self._synergy), recording["layer"].values.astype(int)
        profile = core.rank_profile(nodes.synergy.mean(axis=0), nodes.redundancy.mean(axis=0), layer)
        parts, form = prompt_windows(recording, self._synergy), self._watch.contrast
        drawn = [null_node_means(parts, kind, self._watch.surrogates, rng=rng).synergy for kind in KINDS]
        return float(contrast_of(profile, form)), [excess_contrast(nodes.synergy, each, layer, form) for each in drawn]

    def _record(self, model: PreTrainedModel) -> xr.Dataset:
        # a tokenizer is asked for nothing but a padding token, and any will do
        subject = Subject("the model in training", model, _NoTokenizer(), read_anatomy(model), {})
        longest = max(map(len, self._texts))
        if subject.context_length is not None and longest > subject.context_length:
            raise RecordingError(
                f"a text of {longest} tokens is longer than the model reads ({subject.context_length}): give shorter"
                f" texts, such as texts=panel(tokenizer, tokens={subject.context_length})"
            )
        series = SeriesReducer()
        drive.read(subject, self._texts, signal=self._watch.signal, reducers=[series])
        found = series.finish().rename(row="prompt").isel(token=slice(SKIPPED, None))
        units = subject.anatomy.units(self._watch.signal)
        return found.assign_coords(unit=units["unit"].to_numpy(), layer=("unit", units["layer"].to_numpy()))


@dataclass(frozen=True, eq=False)
class _Initial:
    """Contrasts of fresh random initialisations."""

    ranks: np.ndarray
    """(seed,)"""
    excess: np.ndarray
    """(null, seed), nats."""


def _lower(band: Bootstrap, level: np.ndarray) -> np.ndarray:
    return lower_bounds(band.estimate, band.samples.std(axis=0, ddof=1), level, band.n)


class _NoTokenizer:
    pad_token_id = None


def panel(tokenizer: Any, *, texts: int = 12, tokens: int = 96) -> list[tuple[int, ...]]:
    """Token ids of a small panel: the built-in prompts, one after the other, cut into texts of equal length.

    Raises
    ------
    SettingsError
        If the built-in prompts do not hold so many tokens.
    """
    joined = "\n".join(prompt.text for prompt in read_prompts("cognitive").prompts)
    ids = [int(token) for token in tokenizer(joined, add_special_tokens=False)["input_ids"]]
    if len(ids) < texts * tokens:
        raise SettingsError(f"the built-in prompts hold {len(ids)} tokens, not {texts} times {tokens}; give your own")
    return [tuple(ids[start : start + tokens]) for start in range(0, texts * tokens, tokens)]


@contextmanager
def undisturbed(model: PreTrainedModel) -> Iterator[None]:
    """Evaluate a model in training and leave it as it was: module modes, gradients, and all random states."""
    modes = {module: module.training for module in model.modules()}
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  the caller's own, only kept
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002

"""What the findings about growth are computed from: every contrast of every checkpoint, its nulls and its rivals.

Prompts are resampled with the same weights in all checkpoints, contrasts and redundancy functions, so that differences
between them can be resampled too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from brodmann.errors import RecordingError
from brodmann.settings import SynergySettings, TrackSettings
from brodmann.stats import Bootstrap, bootstrap_interval, spending, split_half, weighted_mean
from brodmann.steps import step_position
from brodmann.synergy import core
from brodmann.synergy.growth import (
    CONTRASTS,
    Contrast,
    Looks,
    Series,
    contrast_of,
    excess_contrast,
    lower_bounds,
    memory_rank_profile,
    upper_of_initialisations,
)
from brodmann.synergy.measure import measure_nodes, select
from brodmann.synergy.onset import Onset, OnsetInterval, find_onset, levels_of, onset_interval
from brodmann.synergy.stage import surrogates_of, with_redundancy
from brodmann.synergy.surrogates import KINDS, recombine

RECOMBINED = 999
Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class GrowthEvidence:
    """All that is known about the growth of one family; see `gather`."""

    stages: tuple[xr.Dataset, ...]
    steps: tuple[float, ...]
    series: dict[str, Series]
    """Redundancy function -> node means; that of the settings comes first."""
    bands: dict[tuple[str, Contrast], Bootstrap]
    """(function, contrast) -> contrast of the rank profile of each checkpoint, (step,)."""
    random: dict[str, np.ndarray]
    """Function -> rank profiles of fresh initialisations, (seed, layer)."""
    excess: dict[str, Bootstrap]
    """Null -> contrast, in nats, of synergy above its surrogates, (step,)."""
    excess_nulls: dict[str, np.ndarray]
    """Null -> the same contrast among the surrogates, (draw, step)."""
    looks: Looks
    onset: Onset | None
    onset_interval: OnsetInterval | None
    settings: TrackSettings
    seed: int
    random_excess: dict[str, np.ndarray] = field(default_factory=dict)
    """Null -> contrast, in nats, of the synergy of fresh initialisations above surrogates of their own, (seed,)."""

    @property
    def functions(self) -> tuple[str, ...]:
        """Redundancy functions, that of the settings first."""
        return tuple(self.series)

    @property
    def main(self) -> Series:
        """Node means under the redundancy function of the settings."""
        return self.series[self.functions[0]]

    @property
    def kind(self) -> Contrast:
        """Contrast that the findings are about."""
        return self.settings.growth_contrast

    @property
    def position(self) -> np.ndarray:
        """Places of the checkpoints on the axis."""
        return step_position(np.asarray(self.steps))

    @property
    def band(self) -> Bootstrap:
        """The contrast that the findings are about."""
        return self.bands[self.functions[0], self.kind]

    def of_random(self, function: str, kind: Contrast) -> np.ndarray:
        """Contrasts of fresh initialisations, (seed,)."""
        return contrast_of(self.random[function], kind) if len(self.random[function]) else np.empty(0)

    def generator(self, name: str) -> np.random.Generator:
        """Give every finding its own source of randomness, whatever the others draw."""
        return np.random.default_rng([self.seed, *name.encode()])

    def bootstrap(self, statistic: Statistic) -> Bootstrap:
        """Interval over prompts; every call resamples the same prompts."""
        rng = np.random.default_rng([self.seed, 2])
        return bootstrap_interval(statistic, self.main.prompts, rng=rng, draws=self.settings.growth_bootstraps)

    def behaviour(self, name: str) -> np.ndarray | None:
        """Loss by prompt or induction by sequence, (step, ...); None where some checkpoint lacks it."""
        if any(name not in stage or not np.isfinite(stage[name].values).any() for stage in self.stages):
            return None
        return np.stack([stage[name].values for stage in self.stages])

    def synergy_contrast(self, weights: np.ndarray) -> np.ndarray:
        """Contrast, in nats, of synergy itself: weights (draw, prompt) -> (draw, step)."""
        return _contrast_in_nats(self.main.synergy, self.main.layer, self.kind)(weights)

    def spread_contrast(self, weights: np.ndarray) -> np.ndarray:
        """The same in standard deviations of the units' true means: a louder model has the same one, (draw, step).

        The variance of true means over units is the covariance of the means of two halves of the prompts, whose noise
        is independent; it counts as at least a quarter of the variance of the means themselves, as a checkpoint that is
        all noise has no true means.
        """
        half = np.arange(self.main.prompts) % 2 == 0
        scales = []
        for each in self.main.synergy:
            with np.errstate(invalid="ignore"):  # a resampling may leave a half of few prompts empty
                whole, one, other = (_centred(weighted_mean(weights * mask, each)) for mask in (1.0, half, ~half))
            scales.append(np.fmax((one * other).mean(axis=-1), 0.25 * (whole**2).mean(axis=-1)))
        return np.asarray(self.synergy_contrast(weights) / np.sqrt(np.stack(scales, axis=1)))

    def memory_contrast(self, kind: Contrast) -> Statistic:
        """Contrast of the ranks of autocorrelation: weights (draw, prompt) -> (draw, step)."""
        memory, layer = [stage["memory"].values for stage in self.stages], self.main.layer
        return lambda weights: np.stack(
            [contrast_of(memory_rank_profile(weighted_mean(weights, each), layer), kind) for each in memory], axis=1
        )

    def surrogate_contrasts(self, null: str, kind: Contrast) -> np.ndarray:
        """Contrast of the rank profile of uncoupled surrogates, prompts recombined: (draw, step)."""
        found = []
        for stage in self.stages:
            # one seed for both: synergy and redundancy of a surrogate belong together
            synergy, redundancy = (
                recombine(stage[name].sel(null=null).values, RECOMBINED, np.random.default_rng([self.seed, 3]))
                for name in ("null_synergy", "null_redundancy")
            )
            profile = core.rank_profile(synergy, redundancy, self.main.layer, self.main.definition)
            found.append(contrast_of(profile, kind))
        return np.stack(found, axis=1)


def gather(
    stages: Sequence[xr.Dataset],
    steps: Sequence[float | int],
    controls: Sequence[xr.Dataset],
    synergy: SynergySettings,
    settings: TrackSettings,
    seed: int,
) -> GrowthEvidence:
    """Measure everything once; parameters as in `growth_study.study`.

    Raises
    ------
    RecordingError
        If there are fewer than two checkpoints, steps do not ascend, or units or prompts differ.
    """
    _refuse(stages, steps)
    functions = [str(name) for name in stages[0]["function"].values]
    series = {name: _series(stages, name, synergy) for name in functions}
    main, kind = series[functions[0]], settings.growth_contrast
    random = {name: _random(controls, with_redundancy(synergy, name), main.layer) for name in functions}
    bands = {
        (name, each): _interval(series[name].contrasts(each), main.prompts, settings, seed)
        for name in functions
        for each in CONTRASTS
    }
    excess, excess_nulls = {}, {}
    for null in (str(name) for name in stages[0]["null"].values):
        drawn = [stage["null_synergy"].sel(null=null).values for stage in stages]
        above = [one - draws.mean(axis=0) for one, draws in zip(main.synergy, drawn, strict=True)]
        excess[null] = _interval(_contrast_in_nats(above, main.layer, kind), main.prompts, settings, seed)
        excess_nulls[null] = np.stack([_among_surrogates(d, main.layer, kind, seed) for d in drawn], axis=1)
    band = bands[functions[0], kind]
    highest = upper_of_initialisations(contrast_of(random[functions[0]], kind)) if len(controls) else np.nan
    random_excess = _random_excess(controls, synergy, main.layer, settings, seed)
    bounds = np.array([upper_of_initialisations(random_excess[null]) for null in excess])
    looks = _looks(band, highest, excess, excess_nulls, bounds, _reliabilities(main, seed), settings)
    onset, between = _onset(band, np.asarray(steps, float), seed)
    return GrowthEvidence(
        stages=tuple(stages), steps=tuple(float(step) for step in steps), series=series, bands=bands, random=random,
        excess=excess, excess_nulls=excess_nulls, looks=looks, onset=onset, onset_interval=between, settings=settings,
        seed=seed, random_excess=random_excess,
    )  # fmt: skip


def _centred(values: np.ndarray) -> np.ndarray:
    return np.asarray(values - values.mean(axis=-1, keepdims=True))


def _refuse(stages: Sequence[xr.Dataset], steps: Sequence[float | int]) -> None:
    if len(stages) < 2 or len(stages) != len(steps):
        raise RecordingError(f"{len(stages)} checkpoints: growth needs at least two, each with its step")
    if np.any(np.diff(np.asarray(steps, float)) <= 0):
        raise RecordingError("the steps of the checkpoints must ascend")
    for stage in stages[1:]:
        for name in ("unit", "prompt"):
            if stage[name].values.tolist() != stages[0][name].values.tolist():
                raise RecordingError(f"the checkpoints recorded other {name}s: they must share architecture and text")


def _series(stages: Sequence[xr.Dataset], function: str, synergy: SynergySettings) -> Series:
    one, other = (
        np.stack([stage[name].sel(function=function).values for stage in stages])
        for name in ("node_synergy", "node_redundancy")
    )
    return Series(one, other, stages[0]["unit_layer"].values.astype(int), synergy.rank)


def _random(controls: Sequence[xr.Dataset], synergy: SynergySettings, layer: np.ndarray) -> np.ndarray:
    found = []
    for control in controls:
        nodes = measure_nodes(select(control, synergy), synergy)
        one, other = (np.nanmean(values, axis=0) for values in (nodes.synergy, nodes.redundancy))
        found.append(core.rank_profile(one, other, layer, synergy.rank))
    return np.array(found).reshape(len(found), np.unique(layer).size)


def _random_excess(
    controls: Sequence[xr.Dataset], synergy: SynergySettings, layer: np.ndarray, settings: TrackSettings, seed: int
) -> dict[str, np.ndarray]:
    """What `excess` of the checkpoints has to exceed: the same of initial weights, whose units are coupled too."""
    found = np.empty((len(controls), len(KINDS)))
    for place, control in enumerate(controls):
        recording = select(control, synergy)
        nodes = measure_nodes(recording, synergy)
        drawn = surrogates_of(recording, synergy, settings.growth_surrogates, seed)
        kind = settings.growth_contrast
        found[place] = [excess_contrast(nodes.synergy, null.synergy, layer, kind) for null in drawn]
    return dict(zip(KINDS, found.T, strict=True))


def _interval(statistic: Statistic, prompts: int, settings: TrackSettings, seed: int) -> Bootstrap:
    rng = np.random.default_rng([seed, 2])
    return bootstrap_interval(statistic, prompts, rng=rng, draws=settings.growth_bootstraps)


def _contrast_in_nats(values: Sequence[np.ndarray] | np.ndarray, layer: np.ndarray, kind: Contrast) -> Statistic:
    return lambda weights: np.stack(
        [contrast_of(core.layer_profile(weighted_mean(weights, each), layer), kind) for each in values], axis=1
    )


def _among_surrogates(drawn: np.ndarray, layer: np.ndarray, kind: Contrast, seed: int) -> np.ndarray:
    """Contrast of the excess that surrogates have over their own mean: what noise alone gives, (draw,)."""
    sampled = recombine(drawn, RECOMBINED, np.random.default_rng([seed, 3]))
    return contrast_of(core.layer_profile(sampled - sampled.mean(axis=0), layer), kind)


def _reliabilities(series: Series, seed: int) -> np.ndarray:
    found = []
    for synergy, redundancy in zip(series.synergy, series.redundancy, strict=True):

        def ranks(weights: np.ndarray, one: np.ndarray = synergy, other: np.ndarray = redundancy) -> np.ndarray:
            return core.rank_nodes(weighted_mean(weights, one), weighted_mean(weights, other), series.definition)

        found.append(split_half(ranks, series.prompts, rng=np.random.default_rng([seed, 4])).reliability)
    return np.array(found)


def _looks(
    band: Bootstrap, highest: float, excess: dict[str, Bootstrap], nulls: dict[str, np.ndarray], random: np.ndarray,
    reliability: np.ndarray, settings: TrackSettings,
) -> Looks:  # fmt: skip
    """The rule of emergence, with alpha spent over the checkpoints."""
    level = spending(reliability.size, kind=settings.growth_spending)

    def bound(found: Bootstrap) -> np.ndarray:
        return lower_bounds(found.estimate, found.samples.std(axis=0, ddof=1), level, found.n)

    points = [np.quantile(nulls[null], 0.975, axis=0) for null in excess]
    return Looks(
        level,
        bound(band),
        float(highest),
        np.stack([bound(e) for e in excess.values()]),
        np.stack(points),
        random,
        reliability,
    )


def _onset(band: Bootstrap, steps: np.ndarray, seed: int) -> tuple[Onset | None, OnsetInterval | None]:
    noise = float(band.samples.var(axis=0, ddof=1).mean())
    onset = find_onset(band.estimate, step_position(steps), np.random.default_rng([seed, 5]), noise=noise)
    if onset is None:
        return None, None
    return onset, onset_interval(band.samples, levels_of(onset.bic))

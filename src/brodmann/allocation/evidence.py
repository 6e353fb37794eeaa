"""What the findings about allocation are computed from, and the tables of ratios that they share."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int

from brodmann.allocation import density
from brodmann.allocation.compare import COMPARED, Trials, compare
from brodmann.allocation.conditions import Plan, contrast_names, plans
from brodmann.allocation.listening import Listened
from brodmann.allocation.texts import Condition
from brodmann.settings import AllocationSettings

ADJUSTMENTS = ("surprisal and position", "none")
VERSIONS = ("reading", "writing", "writing, right answers")
_SETS = 20


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that comparisons need besides what was heard."""

    conditions: tuple[Condition, ...]
    core: Bool[np.ndarray, " unit"]
    layer: Int[np.ndarray, " unit"]
    """Layer of each unit, as places that start at 0 in every stack."""
    against: density.Yardstick
    settings: AllocationSettings
    seed: int

    @property
    def groups(self) -> density.Groups:
        """The core and its layer-matched others."""
        return density.layer_matched(self.core, self.layer)

    def generator(self, name: str) -> np.random.Generator:
        """Give every computation its own source of randomness, whatever the others draw."""
        return np.random.default_rng([self.seed, *name.encode()])


@dataclass(frozen=True, eq=False)
class Table:
    """Ratios of one version."""

    ratio: np.ndarray
    """(measure, adjustment, compared, contrast), NaN where unknown."""
    low: np.ndarray
    high: np.ndarray
    names: tuple[str, ...]
    """Of the contrasts."""
    count: dict[str, int] = field(default_factory=dict)
    """Texts that the pooled contrasts rest on, the reference among them."""

    def get(
        self, contrast: str, *, measure: str = "density", compared: str = "relative", adjusted: bool = True
    ) -> tuple[float, float, float]:
        """Ratio, low and high end of its interval."""
        place = (
            density.MEASURES.index(measure), ADJUSTMENTS.index(ADJUSTMENTS[0] if adjusted else "none"),
            COMPARED.index(compared), self.names.index(contrast),
        )  # fmt: skip
        return float(self.ratio[place]), float(self.low[place]), float(self.high[place])


def trials(heard: Listened, plan: Plan, *, right_only: bool = False) -> Trials:
    """The texts of a plan's conditions, their labels counted within the plan."""
    place = np.full(max(int(heard.label.max()), int(plan.labels.max())) + 1, -1)
    place[plan.labels] = np.arange(len(plan.labels))
    kept = place[heard.label] >= 0
    if right_only:
        kept &= heard.correct
    return Trials(heard.activity[kept], heard.covariates[kept], place[heard.label[kept]], len(plan.labels))


def measured(
    scene: Scene, activity: np.ndarray, rng: np.random.Generator, measures: Sequence[str] = density.MEASURES
) -> dict[str, np.ndarray]:
    """Measures of the core and its others at each step: name -> (group, text, step)."""
    weights = scene.groups.weights
    plain = [name for name in ("density", "level") if name in measures]
    values = {name: density.outcomes(activity, weights, scene.against, name) for name in plain}
    if len(plain) < len(measures):
        sets = density.equal_sets(scene.core, scene.layer, _SETS, rng)
        if int(sets[0, 0].sum()) >= 2:
            values |= density.population(activity, sets, scene.against)
    return values


def tabulate(
    scene: Scene, heard: Listened, *, right_only: bool = False, measures: Sequence[str] = density.MEASURES
) -> Table:
    """Ratios of measures in all contrasts, with and without covariates."""
    draws = scene.settings.ratio_bootstraps
    names = contrast_names(scene.conditions)
    shape = (len(density.MEASURES), len(ADJUSTMENTS), len(COMPARED), len(names))
    ratio, low, high = (np.full(shape, np.nan) for _ in range(3))
    kept = heard.correct if right_only else np.ones(len(heard.label), bool)
    count: dict[str, int] = {}
    for plan in plans(scene.conditions, heard.label[kept]):
        if not plan.names:
            continue
        some = trials(heard, plan, right_only=right_only)
        columns = [names.index(name) for name in plan.names]
        for name, row in zip(plan.names, plan.rows, strict=True):
            used = row != 0
            used[0] = not np.isclose(row.sum(), 0.0)
            count[name] = int(used[some.label].sum())
        values = measured(scene, some.activity, scene.generator("equal sets"), measures)
        for measure, each in values.items():
            for way, words in enumerate(ADJUSTMENTS):
                found = compare(
                    each, some, plan.rows, draws=draws, rng=scene.generator(f"prompts {plan.names[-1]}"),
                    families=plan.families, adjust=words != "none",
                )  # fmt: skip
                place = density.MEASURES.index(measure), way
                ratio[place][:, columns] = found.ratio
                low[place][:, columns], high[place][:, columns] = found.interval
    return Table(ratio, low, high, names, count)


def overlap(heard: Listened, labels: Sequence[int], reference: int = 0) -> float:
    """Share of the steps of some conditions whose surprisals both lie inside the central 95 % of the reference's."""
    mine, theirs = heard.covariates[np.isin(heard.label, labels)], heard.covariates[heard.label == reference]
    if not mine.size or not theirs.size:
        return float("nan")
    inside = np.ones(mine.shape[:2], bool)
    for column in range(2):
        low, high = np.nanquantile(theirs[..., column], [0.025, 0.975])
        inside &= (mine[..., column] >= low) & (mine[..., column] <= high)
    return float(inside.mean())

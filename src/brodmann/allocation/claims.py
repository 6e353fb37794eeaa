"""The claims that the core is more active on hard tasks and less on simple ones, each as a test that it can fail.

The numbers under test (1.42 and 0.65) stand in popular articles about arXiv 2601.06851, not in the paper; the
literature disagrees on the sign (harder input made last hidden states sparser: arXiv 2603.03415). The effect is a ratio
of ratios, so that what happens to all units of a layer is no evidence. Tests are two-sided; a claim that finds the
other sign is contradicted. Two nulls must be beaten: other sets of units of the same layers, and exchanged texts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brodmann.allocation.compare import Trials, exchanged_null, random_set_null
from brodmann.allocation.conditions import Plan, by_family, plans
from brodmann.allocation.contrasts import two_sided
from brodmann.allocation.density import outcomes
from brodmann.allocation.evidence import VERSIONS, Scene, Table, overlap, trials
from brodmann.allocation.listening import Listened
from brodmann.stats import Direction, Finding, conclude, correct

HARD, SIMPLE = 1.42, 0.65
SOURCE = "popular articles about arXiv 2601.06851, as values under test"
MARGIN = 0.05
"""Smallest ratio of ratios that counts: a twentieth more or less."""
_TRUSTED_OVERLAP = 0.5


@dataclass(frozen=True)
class Claim:
    """One claim about a pooled contrast."""

    name: str
    contrast: str
    words: str
    direction: Direction
    reference: float | None
    """Value that is said of the core's density; None where there is none."""
    comparison: str


CLAIMS = (
    Claim("hard_tasks_more_active", "hard",
          "On hard tasks the core's activity is denser than on neutral text, by more than that of other units of its"
          " layers", "greater", HARD, "hard tasks over neutral text"),
    Claim("simple_repetition_less_active", "simple",
          "On simple repetition the core's activity is less dense than on neutral text, by more than that of other"
          " units of its layers", "less", SIMPLE, "repetition over neutral text"),
    Claim("harder_more_active", "harder",
          "The core's activity is denser on the hardest than on the easiest level of the same tasks, by more than that"
          " of other units of its layers", "greater", None, "hardest over easiest level"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Heard:
    """All that was heard and tabulated, by version."""

    reading: Listened
    tables: Mapping[str, Table]


def findings(scene: Scene, heard: Heard) -> tuple[Finding, ...]:
    """Test the claims on text that the model reads, and correct their p values for their number."""
    return correct([_finding(scene, heard, claim) for claim in CLAIMS])


def _finding(scene: Scene, heard: Heard, claim: Claim) -> Finding:
    table = heard.tables["reading"]
    estimate, low, high = table.get(claim.contrast)
    plan = next((p for p in plans(scene.conditions, heard.reading.label) if claim.contrast in p.names), None)
    nulls: dict[str, np.ndarray] = {}
    p_values: dict[str, float] = {}
    if plan is not None and math.isfinite(estimate):
        nulls, p_values = _nulls(scene, trials(heard.reading, plan), plan, claim, estimate)
    return conclude(
        claim.name, claim.words, estimate=estimate, interval=(low, high), nulls=nulls, p_values=p_values,
        direction=claim.direction, reference=1.0, margin=MARGIN,
        units=f"(ratio of ratios: core over its layer-matched others, {claim.comparison})",
        n=table.count.get(claim.contrast, 0), unit_of_inference="text", source=SOURCE, seed=scene.seed,
        caveats=_caveats(scene, heard, claim),
    )  # fmt: skip


def _nulls(
    scene: Scene, some: Trials, plan: Plan, claim: Claim, estimate: float
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    row = plan.row(claim.contrast)
    above = claim.direction == "greater"
    draws = scene.settings.random_sets
    rng = scene.generator(f"null {claim.name}")
    sets = random_set_null(some, row, core=scene.core, layer=scene.layer, against=scene.against, draws=draws, rng=rng)
    values = outcomes(some.activity, scene.groups.weights, scene.against)
    tasks = [scene.conditions[i].task.name for i in plan.labels]
    known = list(dict.fromkeys(tasks))
    # hardest and easiest level: texts change places within their family only
    families = np.array([known.index(name) for name in tasks]) if claim.contrast == "harder" else None
    texts = exchanged_null(values, some, row, draws=draws, rng=rng, families=families)
    nulls = {"random sets of the same layers": sets, "texts exchanged": texts.null}
    observed = {"random sets of the same layers": estimate, "texts exchanged": texts.observed}
    return nulls, {name: two_sided(observed[name], null, above=above) for name, null in nulls.items()}


def _caveats(scene: Scene, heard: Heard, claim: Claim) -> list[str]:
    table = heard.tables["reading"]
    said = ["two-sided: published measurements disagree about the sign"]
    own = table.get(claim.contrast, compared="core")
    if claim.reference is not None:
        said.append(
            f"the core's own ratio, {claim.comparison}, is {_with_interval(own)}; the value {claim.reference:g} that is"
            f" said of it lies {_inside(claim.reference, own)} this interval and"
            f" {_inside(claim.reference, table.get(claim.contrast))} that of the ratio of ratios"
        )
    else:
        said.append(f"the core's own ratio, {claim.comparison}, is {_with_interval(own)}")
    said += _families(scene, heard, claim)
    said.append(f"without covariates: {_with_interval(table.get(claim.contrast, adjusted=False))}")
    free = {name: table.get(claim.contrast, measure=name) for name in ("level", "hoyer", "participation")}
    words = {"level": "activity over its neutral mean", "hoyer": "Hoyer sparsity", "participation": "participation"}
    said.append(
        "without a threshold: " + ", ".join(f"{words[name]} {_with_interval(each)}" for name, each in free.items())
    )
    for version in VERSIONS[1:]:
        if version in heard.tables:
            each = heard.tables[version].get(claim.contrast)
            said.append(f"{version}: {_with_interval(each)}")
    shared = _overlap(scene, heard, claim)
    if shared < _TRUSTED_OVERLAP:
        said.append(
            f"only {shared:.0%} of the steps have surprisals that are usual on neutral text, so equal surprisal is"
            " reached by extrapolation"
        )
    dropped = scene.groups.dropped
    if dropped:
        said.append(f"{dropped} units of the core lie in layers without others and are left out")
    return said


def family_ratios(scene: Scene, heard: Heard, contrast: str) -> dict[str, float]:
    """Ratio of ratios of each family alone, at equal surprisal and position; families without one are left out."""
    plan = next((p for p in plans(scene.conditions, heard.reading.label) if contrast in p.names), None)
    if plan is None:
        return {}
    table, found = heard.tables["reading"], {}
    own = by_family(plan.row(contrast), plan.families).own
    for coefficients in own:
        used = [scene.conditions[plan.labels[place]] for place in np.flatnonzero(coefficients)]
        logs = np.log([table.get(each.name)[0] for each in used])
        value = float(np.exp(coefficients[coefficients != 0] @ logs))
        if math.isfinite(value):
            found[used[0].task.name] = value
    return found


def _families(scene: Scene, heard: Heard, claim: Claim) -> list[str]:
    """By how much families differ, and for which ones the interval speaks."""
    found = family_ratios(scene, heard, claim.contrast)
    if not found:
        return []
    told = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
    if len(found) == 1:
        return [f"one family of tasks ({told}): other texts of this family are drawn here, not other tasks"]
    spread = float(np.std(np.log(list(found.values())), ddof=1))
    few = "; of two families the interval is very wide" if len(found) == 2 else ""
    words = (
        f"by family of tasks: {told}; standard deviation {spread:.2g} of the logarithm, texts' noise included; the"
        f" interval takes these {len(found)} as drawn from families like them and says nothing of unlike ones{few}"
    )
    return [words]


def _overlap(scene: Scene, heard: Heard, claim: Claim) -> float:
    if claim.contrast == "harder":
        return 1.0
    labels = [
        i for i, each in enumerate(scene.conditions)
        if each.kind == claim.contrast and (each.kind == "simple" or each.place == 1.0)
    ]  # fmt: skip
    return overlap(heard.reading, labels)


def _with_interval(found: tuple[float, float, float]) -> str:
    if not math.isfinite(found[0]):
        return "not known"
    return f"{found[0]:.3g} [{found[1]:.3g}, {found[2]:.3g}]"


def _inside(value: float, found: tuple[float, float, float]) -> str:
    if not all(map(math.isfinite, found)):
        return "neither inside nor outside"
    return "inside" if found[1] <= value <= found[2] else "outside"

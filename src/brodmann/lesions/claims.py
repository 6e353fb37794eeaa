"""Does the core matter for behaviour? The claims about lesions, each as a test that this model can pass or fail.

Source of the claim: Urbina-Rodriguez et al. 2026 (arXiv 2601.06851), who compare with random orders only. The effect is
the ratio of the areas under two lesion curves, 1 where both orders hurt alike.

Two things vary, and a claim must survive both. *Prompts* are the unit of inference: the interval leaves them out one by
one (and the draws of a random control), and flipping the signs of the prompts' differences gives a p. But all prompts
agree on a set of heads that happens to be harmful, so p over prompts alone would call nearly any set different from any
other. *Sets* are the second source: would another set, drawn as the control is drawn, hurt as much? Few draws cannot
answer by counting (5 draws give no p below 1/6), so the logarithms of their areas are taken as normal, and p is the
chance that the next draw reaches the core (Student's t, with the error of the mean). Among 300 layer-matched orders of
two trained models (64 and 16 heads), 10 draws so called one more draw harmful in 4.9 % and 1.9 % of cases at 5 %, in
1.1 % and 0.1 % at 1 %; without the logarithm in 7.1 % and 5.5 %, 2.6 % and 1.1 %. From 99 draws on they are counted. A
control that is one set has no draws; the core and it are then compared as two sets that differ by as much as random
orders differ from each other. The finding has the larger p of both, and Holm's correction over all claims; its interval
spans both too, so that a verdict against a claim survives both as well.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from brodmann.lesions.areas import COUNTED, Interval, ratio_interval, ratio_over_sets, spread_of_sets
from brodmann.removal import REMOVALS
from brodmann.stats import Finding, conclude, correct, p_value, prediction_p_value, sign_flip_test

SOURCE = "Urbina-Rodriguez et al. 2026, arXiv 2601.06851"
MICHEL = "Michel et al. 2019, arXiv 1905.10650"
MARGIN = 0.1
"""Smallest effect that matters: a tenth more area than the control."""
FEWEST_PROMPTS = 5
"""Fewer prompts give no interval, so nothing is supported or contradicted."""
WIDEST = 100
"""Factor between the ends of an interval beyond which it is said that there are too few draws."""
ENOUGH = 5
"""Draws from which a wide interval is no longer laid to them alone."""
MATCHED = 0.25
"""Difference of two sets' means, in standard deviations over units, from which they no longer count as matched."""
ORDERS = {name: each.words for name, each in REMOVALS.items()}
"""Orders of removal, as figures name them."""

Areas = Mapping[str, Float[np.ndarray, "draw prompt"]]


@dataclass(frozen=True)
class Claim:
    """One order hurts more than another."""

    name: str
    sentence: str
    """The claim in words; ``{units}`` stands for the kind of units."""
    first: str
    """The order that is said to hurt more; `first` and `second` are names of `ORDERS`."""
    second: str
    source: str


_CORE = "Removing the synergistic core hurts more than removing {units}"
CLAIMS = (
    Claim("core_against_layer_matched", f"{_CORE} at random in the same layers",
          "synergistic", "layer_matched", SOURCE),
    Claim("core_against_random", f"{_CORE} at random", "synergistic", "random", SOURCE),
    Claim("core_against_norm_matched", f"{_CORE} outside it with the same activity",
          "synergistic", "norm_matched", SOURCE),
    Claim("core_against_autocorrelation_matched", f"{_CORE} outside it with the same autocorrelation",
          "synergistic", "autocorrelation_matched", SOURCE),
    Claim("importance_against_core", "Removing {units} by gradient importance hurts more than removing the synergistic"
          " core", "importance", "synergistic", MICHEL),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the findings about lesions are computed from."""

    areas: Areas
    """Order -> area under each draw's curve for each prompt."""
    kind: str
    """``head`` or ``expert``."""
    largest: float
    """Largest share of the units that an order removes."""
    seed: int
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Caveats of each control; those under ``all`` belong to every finding."""

    def generator(self, name: str) -> np.random.Generator:
        """Give every finding its own source of randomness, whatever the others draw."""
        return np.random.default_rng([self.seed, *name.encode()])

    def ratio(self, first: str, second: str) -> Interval:
        """Ratio of the areas of two orders, with the interval that figures and findings both show."""
        return ratio_over_sets(self.areas[first], self.areas[second], self.areas["random"], self.largest)


def findings(evidence: Evidence) -> tuple[Finding, ...]:
    """Test all claims, and correct for their number."""
    return correct(
        tuple(
            compare(evidence, each.name, each.sentence.format(units=f"{evidence.kind}s"), each.first, each.second,
                    each.source)
            for each in CLAIMS
        )
    )  # fmt: skip


def compare(evidence: Evidence, name: str, claim: str, first: str, second: str, source: str) -> Finding:
    """Test whether one order hurts more than another, over prompts and over sets."""
    rng = evidence.generator(name)
    one, other = evidence.areas[first], evidence.areas[second]
    prompts = one.shape[1]
    given, found = ratio_interval(one, other), evidence.ratio(first, second)
    differences = one.mean(axis=0) - other.mean(axis=0)
    p_values = {"no difference over prompts": sign_flip_test(differences, rng=rng).p}
    words, samples, p, note = _over_sets(evidence, one, other, second.replace("_", "-"))
    p_values[words] = p
    share = float((differences > 0).mean())
    control = second if second != "synergistic" else first
    few = (f"flipping the signs of {prompts} prompts gives no p below {0.5**prompts:.2g}",) if prompts < 8 else ()
    return conclude(
        name, claim,
        estimate=float(found.estimate),
        interval=found.ends if prompts >= FEWEST_PROMPTS else (-math.inf, math.inf),
        nulls={words: samples}, p_values=p_values, reference=1.0,
        # Draws from the same layers hold much of the core, which pulls the ratio to 1: there a small ratio is no
        # evidence against the claim, only one below 1 is.
        margin=0.0 if "layer_matched" in (first, second) else MARGIN,
        units="times as much harm (area under the divergence curve; 1 = equal)",
        n=prompts, unit_of_inference="prompt", source=source, seed=evidence.seed,
        caveats=(
            *_wide(given, len(other)), f"in {share:.0%} of prompts the first order hurts more", note, *few,
            f"over prompts and draws of the control, these sets given: {given.low:.3g} to {given.high:.3g}",
            *evidence.notes.get(control, ()), *evidence.notes.get("all", ()),
        ),
    )  # fmt: skip


def _wide(found: Interval, draws: int) -> tuple[str, ...]:
    if not found.high > WIDEST * found.low:
        return ()
    what = f"too few draws ({draws})" if 1 < draws < ENOUGH else "too few prompts or draws"
    return (f"{what}: the interval spans more than a factor of {WIDEST}, so the ratio says nothing",)


def _over_sets(
    evidence: Evidence, one: np.ndarray, other: np.ndarray, control: str
) -> tuple[str, np.ndarray, float, str]:
    """Null over sets in words, draws of the ratio under it, p, and what to know about it."""
    if len(other) == 1:
        return _two_sets(evidence, one, other, evidence.areas["random"])
    core, areas = float(one.mean()), other.mean(axis=1)
    rest = (areas.sum() - areas) / (len(areas) - 1)
    ratios = np.divide(areas, rest, out=np.ones_like(areas), where=rest > 0)
    words = f"another {control} order"
    if len(areas) >= COUNTED:
        return words, ratios, p_value(core, areas), f"p counts its {len(areas)} draws"
    p = prediction_p_value(math.log(core), np.log(areas)) if core > 0 and (areas > 0).all() else math.nan
    least = 1 / (len(areas) + 1)
    note = f"counting its {len(areas)} draws gives no p below {least:.2g}; p takes their log areas as normal"
    return words, ratios, p, note


def _two_sets(
    evidence: Evidence, one: np.ndarray, other: np.ndarray, random: np.ndarray
) -> tuple[str, np.ndarray, float, str]:
    """Are two sets further apart than two random ones? p from the spread of the log areas of random orders."""
    note = "the control is one set of units; how much two sets differ by chance is taken from the random orders"
    pairs = np.array([a / b if b > 0 else math.nan for a, b in permutations(random.mean(axis=1), 2)])
    spread, freedom = spread_of_sets(other, random, evidence.largest)
    p, first, second = math.nan, float(one.mean()), float(other.mean())
    if min(first, second) > 0 and spread > 0:
        p = float(student.sf(math.log(first / second) / spread, freedom))
    return f"the difference between two random sets of {evidence.kind}s", pairs, p, note

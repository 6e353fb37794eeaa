"""The claims about growth, each as a test that a family of checkpoints can pass or fail.

Claim under test: Urbina-Rodriguez et al. 2026 (arXiv 2601.06851, Fig. 3a). Contrasts are of rank profiles, 0 to 1.
Prompts are the unit of inference where checkpoints are compared, checkpoints where series over them are related.
Verdicts are made by `stats.judge` alone; p values are corrected over all findings (Holm).
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import rankdata

from brodmann.stats import Finding, bootstrap_interval, conclude, correct, p_value, prediction_p_value
from brodmann.stats.finding import UNTESTED
from brodmann.synergy.claims_memory import EXPLAINED
from brodmann.synergy.evidence import SOURCE, trusted
from brodmann.synergy.growth import Contrast, exchanged_growth
from brodmann.synergy.growth_evidence import GrowthEvidence
from brodmann.synergy.onset import CLEARLY, margins, relate

NAMES: dict[Contrast, str] = {
    "thirds": "middle third minus both outer thirds",
    "band": "depths 0.3 to 0.7 minus the rest",
    "quadratic": "height of a parabola above its ends",
}
CLOCK = (
    "not tested: two trends of one run share its clock, and so do their differences; of independent smooth curves every"
    " third pair passes a test that exchanges differences"
)
ONSET = "The inverted U has an onset in training"
ONE_RUN = "one training run: other prompts are drawn here, not other runs"


def findings(evidence: GrowthEvidence) -> tuple[Finding, ...]:
    """Test all claims that the checkpoints allow, and correct their p values for their number."""
    found = [grew(evidence, evidence.functions[0]), emerged(evidence), onset(evidence)]
    found += [grew(evidence, name) for name in evidence.functions[1:]]
    found += [tied(evidence, name) for name in ("loss", "induction") if evidence.behaviour(name) is not None]
    tested = correct((*found, grew_beyond_memory(evidence)))
    return tuple(placed(finding, evidence) if finding.name == "onset" else finding for finding in tested)


def _growth(statistic: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Last checkpoint minus first, of a statistic over all of them."""

    def difference(weights: np.ndarray) -> np.ndarray:
        over_steps = statistic(weights)
        return np.asarray(over_steps[:, -1] - over_steps[:, 0])

    return difference


def grew(evidence: GrowthEvidence, function: str) -> Finding:
    """The contrast at the last checkpoint is above that at the first."""
    rng = evidence.generator(f"grew {function}")
    series = evidence.series[function].only(0, -1)
    found = bootstrap_interval(
        _growth(series.contrasts(evidence.kind)), series.prompts, rng=rng, draws=evidence.settings.growth_bootstraps
    )
    exchanged = exchanged_growth(series, 0, -1, evidence.kind, rng)
    # ranks of noise are resampled too evenly: the interval spans what exchanged checkpoints would make of the estimate
    around = float(found.estimate) + np.quantile(exchanged, [0.025, 0.975])
    ends = (min(found.interval[0], float(around[0])), max(found.interval[1], float(around[1])))
    early, late = evidence.bands[function, evidence.kind].estimate[[0, -1]]
    random, p_values = evidence.of_random(function, evidence.kind), {}
    if random.size > 1:
        # the first checkpoint is one beginning; a fresh one could have been higher
        p_values["fresh random initialisations"] = prediction_p_value(float(late), random)
    if function == evidence.functions[0]:
        # Noise pulls ranks to the middle, so a contrast of ranks also grows when only the noise falls; nats do not.
        # Nats grow when everything gets louder; standard deviations of the units' true means do not.
        for words, statistic in (
            ("no growth of synergy in nats", evidence.synergy_contrast),
            ("no growth of synergy in standard deviations over units", evidence.spread_contrast),
        ):
            raw = evidence.bootstrap(_growth(statistic))
            p_values[words] = float((1 + (raw.samples <= 0).sum()) / (1 + raw.samples.size))
    other = "" if function == evidence.functions[0] else f", under {function.upper()} too"
    first, last = (evidence.steps[place] for place in (0, -1))
    when = "after training than before it" if first == 0 else f"at step {last:g} than at step {first:g}"
    return conclude(
        "contrast_grew" if not other else f"contrast_grew_{function}",
        f"The inverted U of the synergy-redundancy rank is higher {when}{other}",
        estimate=float(found.estimate), interval=trusted(ends, series.prompts),
        nulls={"checkpoints exchanged prompt by prompt": exchanged},
        p_values=p_values, units=f"of the rank scale ({NAMES[evidence.kind]})", n=series.prompts,
        unit_of_inference="prompt", source=SOURCE, seed=evidence.seed,
        caveats=(
            f"from {early:.2g} at step {first:g} to {late:.2g} at step {last:g}",
            _noise_words(evidence.looks.reliability),
            _random_words(random), ONE_RUN,
        ),
    )  # fmt: skip


def _noise_words(reliability: np.ndarray) -> str:
    first, last = float(reliability[0]), float(reliability[-1])
    return f"a noisy ranking has a smaller contrast: split-half reliability first {first:.2f}, last {last:.2f}"


def _spending(evidence: GrowthEvidence) -> str:
    return evidence.settings.growth_spending.replace("_", " ")


def _random_words(random: np.ndarray) -> str:
    if random.size < 2:
        return "fewer than two fresh random initialisations were run"
    return f"{random.size} fresh random initialisations: {random.mean():.2g} ± {random.std(ddof=1):.2g}"


def _initial_words(excess: np.ndarray) -> str:
    if excess.size < 2:
        return " (too few initial weights to compare with)"
    return f" ({excess.mean():.2g} ± {excess.std(ddof=1):.2g} of initial weights)"


def emerged(evidence: GrowthEvidence) -> Finding:
    """At the end, ranks and excess synergy stand out from random weights, and synergy from what memory would give."""
    band, random = evidence.band, evidence.of_random(evidence.functions[0], evidence.kind)
    late, looks = float(band.estimate[-1]), evidence.looks
    p_values = {"fresh random initialisations": prediction_p_value(late, random) if random.size > 1 else math.nan}
    excesses = []
    for null, found in evidence.excess.items():
        words = f"{null.replace('_', ' ')} surrogates (excess, nats)"
        noise = p_value(float(found.estimate[-1]), evidence.excess_nulls[null][:, -1])
        below = float((1 + (found.samples[:, -1] <= 0).sum()) / (1 + len(found.samples)))
        p_values[words] = max(noise, below)
        initial = evidence.random_excess.get(null, np.empty(0))
        if initial.size > 1:
            fresh = f"excess of fresh random initialisations over {null.replace('_', ' ')} surrogates"
            p_values[fresh] = prediction_p_value(float(found.estimate[-1]), initial)
        excesses.append(f"{float(found.estimate[-1]):.2g} over {null.replace('_', ' ')}{_initial_words(initial)}")
    passed = [f"{step:g}" for step, one in zip(evidence.steps, looks.passed, strict=True) if one]
    return conclude(
        "emergence", "The trained model's inverted U exceeds those of random weights and of memory without coupling",
        estimate=late, interval=trusted((float(band.low[-1]), float(band.high[-1])), evidence.main.prompts),
        p_values=p_values, reference=max(float(random.mean()), 0.0) if random.size else 0.0,
        units=f"of the rank scale ({NAMES[evidence.kind]})", n=evidence.main.prompts, unit_of_inference="prompt",
        source=f"{SOURCE}; rule of emergence: this project", seed=evidence.seed,
        caveats=(
            f"the rule (above every null at the checkpoint's own level, reliability at least 0.5) holds at "
            f"{len(passed)} of {len(evidence.steps)} checkpoints" + (f": {', '.join(passed)}" if passed else ""),
            f"5 % of false alarms by the draw of prompts are spent over them ({_spending(evidence)})",
            "bounds of random weights and of surrogates are 97.5 % points at every checkpoint",
            f"contrast of excess synergy, nats: {', '.join(excesses)}",
            _random_words(random), ONE_RUN,
        ),
    )  # fmt: skip


def onset(evidence: GrowthEvidence) -> Finding:
    """There is a step at which the contrast rises, rather than no change, a smooth trend or a drift.

    The claim names no step: only `placed` does, once p is corrected.
    """
    found, between, band = evidence.onset, evidence.onset_interval, evidence.band
    common: dict[str, Any] = {
        "n": evidence.main.prompts, "unit_of_inference": "prompt", "seed": evidence.seed,
        "source": "BIC of change points: Yao 1988; rivals and drift null: this project",
    }  # fmt: skip
    if found is None:
        return conclude(
            "onset", ONSET, estimate=math.nan, interval=(math.nan, math.nan), units="BIC",
            caveats=("too few checkpoints",), **common,
        )  # fmt: skip
    noise = float(band.samples.var(axis=0, ddof=1).mean())
    # a resampled contrast has the noise of the contrast and that of resampling
    low, high = np.quantile(margins(band.samples, evidence.position, 2 * noise), [0.025, 0.975])
    # a jump is the onset of an inverted U only if it leads to one, and the series does not fall back
    last = float(band.estimate[-1])
    leads = found.first is not None and min(float(found.levels[found.first]), last) > max(0.0, float(band.estimate[0]))
    estimate = found.margin if leads and found.margin > CLEARLY else min(found.margin, 0.0)
    caveats = [
        "BIC: " + ", ".join(f"{shape} {value:.3g}" for shape, value in sorted(found.bic.items(), key=lambda b: b[1])),
        f"p = {found.p:.2g} by exchanging checkpoints, {found.drift_p:.2g} against a random walk read with noise",
    ]
    if found.first is not None and not leads:
        caveats.append("a jump is there, but it does not lead from no inverted U to one that lasts")
    if leads and found.margin <= CLEARLY:
        caveats.append(f"a jump wins by {found.margin:.2g}; {CLEARLY:g} or less is no clear lead and counts as none")
    if found.identified and leads and between is not None:
        caveats.append(f"{between.absent:.0%} of resampled prompts show no rise")
    caveats.append(
        "a rise that is over within three checkpoints cannot be told from a jump, and with 14 checkpoints only jumps of"
        " 6 standard deviations of the noise and more are seldom missed"
    )
    return conclude(
        "onset", ONSET, estimate=estimate,
        # a smooth curve that wins does not speak against an onset: a slow one, or a bend, is a smooth curve
        interval=trusted((min(float(low), estimate), max(float(high), estimate, 0.0)), evidence.main.prompts),
        p_values={"checkpoints exchanged": found.p, "a drift from checkpoint to checkpoint": found.drift_p},
        units="BIC (best without a jump minus best with one)",
        caveats=(*caveats, "the onset lies between two checkpoints, wherever they were kept", ONE_RUN), **common,
    )  # fmt: skip


def placed(finding: Finding, evidence: GrowthEvidence) -> Finding:
    """The finding about the onset with the step in its claim if it is supported, else among its caveats."""
    found, between, steps = evidence.onset, evidence.onset_interval, evidence.steps
    if found is None:
        return replace(finding, claim=f"{finding.claim} (no identifiable onset: too few checkpoints)")
    if found.first is None:
        return replace(finding, claim=f"{finding.claim} (no identifiable onset)")
    before, by = steps[found.first - 1], steps[found.first]
    if finding.verdict != "supported":
        jump = f"best single jump: step {before:g} to {by:g}, not established as an onset"
        return replace(finding, claim=f"{finding.claim} (no identifiable onset)", caveats=(jump, *finding.caveats))
    where = f"between steps {before:g} and {by:g}"
    if between is not None:
        where += f", interval {steps[max(between.low - 1, 0)]:g} to {steps[between.high]:g}"
    return replace(finding, claim=f"{finding.claim} ({where})")


def tied(evidence: GrowthEvidence, name: str) -> Finding:
    """The contrast changes when loss falls, or when induction rises."""
    values = evidence.behaviour(name)
    assert values is not None
    other = np.nanmean(values, axis=1) * (-1 if name == "loss" else 1)
    found = relate(evidence.band.estimate, other, evidence.generator(f"tied {name}"))
    words = {"loss": "the loss falls", "induction": "induction rises"}[name]
    claim = f"From checkpoint to checkpoint, the inverted U rises as {words}"
    common: dict[str, Any] = {
        "units": "Spearman correlation of differences", "unit_of_inference": "checkpoint difference",
        "source": "this project", "seed": evidence.seed,
    }  # fmt: skip
    if found is None:
        return conclude(
            f"tied_to_{name}", claim, estimate=math.nan, interval=(math.nan, math.nan), n=len(evidence.steps) - 1,
            caveats=("too few checkpoints, or one that does not vary",), **common,
        )  # fmt: skip
    return conclude(
        f"tied_to_{name}", claim, estimate=found.differences, interval=(math.nan, math.nan), n=found.n,
        caveats=(
            CLOCK,
            f"the levels correlate with {found.levels:.2f}, as any two trends with one clock would",
            f"with log2(step) taken out, {_number(found.partial)}",
            f"{found.n + 1} checkpoints of one run; noise of each contrast weakens the correlation of differences",
        ),
        **common,
    )  # fmt: skip


def grew_beyond_memory(evidence: GrowthEvidence) -> Finding:
    """What grew is more than the units' own memory: the excess over uncoupled surrogates grew too, for both kinds."""
    raw = evidence.bootstrap(_growth(evidence.synergy_contrast))
    estimates, ends, sampled = {}, [], {}
    for null, found in evidence.excess.items():
        words = f"{null.replace('_', ' ')} surrogates"
        growth = found.samples[:, -1] - found.samples[:, 0]
        estimates[words] = float(found.estimate[-1] - found.estimate[0])
        ends += [float(end) for end in np.quantile(growth, [0.025, 0.975])]
        sampled[words] = evidence.excess_nulls[null][:, -1] - evidence.excess_nulls[null][:, 0]
    estimate = min(estimates.values())
    # Without growth of the contrast itself there is nothing that memory could explain.
    p_values = {"no growth of the contrast": float((1 + (raw.samples <= 0).sum()) / (1 + raw.samples.size))}
    told = " and ".join(f"{words}: {value:.2g}" for words, value in estimates.items())
    untested: tuple[str, ...] = ()
    if raw.interval[0] <= 0:  # nothing has clearly grown, so nothing can be said of what grew
        ends = [-math.inf, math.inf]
        untested = (f"{UNTESTED}: the contrast itself did not clearly grow",)
    finding = conclude(
        "growth_beyond_memory", "What grew is more than the units' own memory would give without coupling",
        estimate=estimate, interval=trusted((min(*ends, estimate), max(*ends, estimate)), evidence.main.prompts),
        nulls=sampled, p_values=p_values, margin=abs(float(raw.estimate)) / 10,
        units="nats (growth of the contrast of excess synergy)", n=evidence.main.prompts, unit_of_inference="prompt",
        source=f"Rival explanation of {SOURCE}", seed=evidence.seed,
        caveats=(
            *untested,
            f"the same growth of the synergy itself is {float(raw.estimate):.2g} nats; the margin is a tenth of it",
            f"growth of the excess over {told}; the interval spans both",
            f"rank correlation with the contrast of autocorrelation over checkpoints: {_number(followed(evidence))}",
            ONE_RUN,
        ),
    )  # fmt: skip
    if finding.verdict != "contradicted" or raw.interval[0] <= 0:
        return finding
    why = f"{EXPLAINED}: uncoupled series with the same memory show the same growth, or more"
    return replace(finding, caveats=(why, *finding.caveats))


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "cannot be computed"


def followed(evidence: GrowthEvidence) -> float:
    """Rank correlation over checkpoints of the contrast with that of the ranks of autocorrelation."""
    whole = np.full((1, evidence.main.prompts), 1 / evidence.main.prompts)
    one, other = (rankdata(v) for v in (evidence.band.estimate, evidence.memory_contrast(evidence.kind)(whole)[0]))
    return float(np.corrcoef(one, other)[0, 1]) if np.ptp(one) and np.ptp(other) else math.nan


def note(evidence: GrowthEvidence, tested: tuple[Finding, ...]) -> str:
    """One sentence that a reader of the growth must know."""
    rival = next(finding for finding in tested if finding.name == "growth_beyond_memory")
    related = f"rank correlation {_number(followed(evidence))} over checkpoints"
    if rival.caveats[0].startswith(EXPLAINED):
        return f"The growth is {EXPLAINED}: uncoupled series of the same memory show it too ({related})."
    beyond = {"supported": "goes beyond it", "contradicted": "does not go beyond it"}
    said = beyond.get(rival.verdict, "is not settled against it")
    return f"Contrast of ranks and contrast of the units' own memory: {related}. Growth of synergy {said}."

"""Does lesioning the core cost more answers than lesioning other units of its layers? One finding per task.

Source of the claim: Urbina-Rodriguez et al. 2026 (arXiv 2601.06851, figure 4b), who compare with random units and do
not match layers. Two things vary: the questions, over which the interval and the sign flips run, and the sets of units.
That all questions agree on one set proves nothing about another, so the core's accuracy must also lie below what the
next set of the same layers would reach (Student's t over the drawn sets). Where the intact model, or the model under
layer-matched lesions, is not above guessing, nothing can be lost: the task is then untestable.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import stats as distributions

from brodmann.lesions.areas import Interval, difference_interval
from brodmann.stats import Finding, conclude, correct, p_value, prediction_p_value, sign_flip_test
from brodmann.stats.finding import UNTESTED

SOURCE = "Urbina-Rodriguez et al. 2026, arXiv 2601.06851"
MARGIN = 0.02
"""Smallest difference of accuracies that counts: two answers in a hundred."""
SETS = ("core", "redundant", "same layers", "random")


@dataclass(frozen=True, eq=False)
class Marked:
    """Marks of one task under all conditions."""

    task: str
    chance: float
    intact: Bool[np.ndarray, " question"]
    under: dict[str, Bool[np.ndarray, "draw question"]]
    """By name of the set: which questions were answered right under each of its draws."""
    words: str
    """How answers were given: chosen or written."""

    def accuracy(self, name: str) -> float:
        """Mean over draws and questions."""
        return float((self.intact if name == "intact" else self.under[name]).mean())

    @property
    def floor(self) -> str:
        """Why nothing can be concluded; empty where something can."""
        right, asked = int(self.intact.sum()), self.intact.size
        test = distributions.binomtest(right, asked, min(self.chance, 1.0), alternative="greater")
        if test.pvalue >= 0.05:
            return (
                f"the intact model answers {right} of {asked} right, not clearly more than guessing"
                f" ({self.chance:.0%}): the task tests nothing here{self._more(right)}"
            )
        matched = self.under["same layers"]
        likely = distributions.binomtest(round(float(matched.mean()) * asked), asked, min(self.chance, 1.0),
                                         alternative="greater")  # fmt: skip
        if likely.pvalue >= 0.05:
            return (
                f"under lesions of the same layers {matched.mean():.0%} are right, not clearly more than guessing"
                f" ({self.chance:.0%}): too little is left that the core could cost more of"
                f"{self._more(round(float(matched.mean()) * asked))}"
            )
        return ""

    def _more(self, right: int) -> str:
        """Advice, where more questions could help."""
        asked = self.intact.size
        return f"; more than questions = {asked} may tell" if right > self.chance * asked else ""


def findings(marked: Sequence[Marked], *, kind: str, share: float, seed: int) -> tuple[Finding, ...]:
    """One finding per task, p values corrected for their number."""
    return correct([_finding(each, kind, share, seed) for each in marked])


def below(marked: Marked, control: str) -> Interval:
    """Accuracy under a control minus that under the core; its interval is the one of figures and findings.

    It is over questions and draws, with the chance in the set itself (Student's t): the core is one set, and another
    one, drawn as the control is, would differ from it by as much as the draws do from each other. The redundant end is
    one set too; the two are taken to differ as two random sets do.
    """
    core, other = (marked.under[name].astype(float) for name in ("core", control))
    found = difference_interval(other, core)
    single = control == "redundant"
    per_set = (marked.under["random"] if single else other).mean(axis=1)
    spread = float(per_set.std(ddof=1)) * (math.sqrt(2) if single else 1.0) if len(per_set) > 1 else 0.0
    reach = float(distributions.t.ppf(0.975, len(per_set) - 1)) * spread if spread > 0 else 0.0
    least = _least_half_width(marked.intact.size)
    low, high = (math.hypot(max(abs(float(found.estimate) - end), least), reach) for end in found.ends)
    return Interval(found.estimate, np.asarray(found.estimate - low), np.asarray(found.estimate + high))


def _least_half_width(questions: int) -> float:
    """Half of Agresti and Min's (2005) interval for paired proportions where no question is answered differently.

    Resampled questions then agree far too well: twelve right answers of twelve under both would have an interval
    without any length.
    """
    return float(distributions.norm.ppf(0.975)) / (questions + 2)


def _finding(marked: Marked, kind: str, share: float, seed: int) -> Finding:
    rng = np.random.default_rng([seed, *marked.task.encode()])
    core, matched = marked.under["core"], marked.under["same layers"]
    found = below(marked, "same layers")
    flips = sign_flip_test(matched.mean(axis=0) - core.mean(axis=0), rng=rng, alternative="greater")
    per_set = matched.mean(axis=1)
    accuracy = float(core.mean())
    next_set = prediction_p_value(accuracy, per_set, alternative="less")
    if math.isnan(next_set):  # all sets cost the same
        next_set = p_value(accuracy, per_set, "less")
    floor = marked.floor
    interval = (-math.inf, math.inf) if floor else found.ends
    done = "Removing" if kind == "zero" else "Noise on"
    shares = ", ".join(f"{name} {marked.accuracy(name):.0%}" for name in ("intact", *SETS))
    said = f"accuracy, {marked.words}: {shares}; guessing {marked.chance:.0%}"
    drawn = f"{share:.0%} of the units, {len(per_set)} random sets of the same layers"
    return conclude(
        f"core_accuracy_{marked.task.replace(' ', '_')}",
        f"{done} the {share:.0%} of units that rank highest costs more right answers to '{marked.task}' than"
        f" {done.lower()} as many random units of the same layers",
        estimate=float(found.estimate), interval=interval,
        nulls={"the next random set of the same layers": per_set.mean() - per_set},
        p_values={"the next random set of the same layers": next_set, "signs of questions flipped": flips.p},
        margin=MARGIN, units="of accuracy (same layers minus core)", n=int(marked.intact.size),
        unit_of_inference="question", source=SOURCE, seed=seed,
        caveats=[*([f"{UNTESTED}: {floor}"] if floor else []), said, drawn],
    )  # fmt: skip

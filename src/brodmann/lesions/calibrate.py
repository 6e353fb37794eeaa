"""How strong must noise be? So strong that disturbing random units costs a set share of a score.

arXiv 2601.06851 (figure 4b) states no size; a size at which random sets lose some of the score, and not all of it,
leaves room to be hurt more or less. The score is the caller's; it is not asked here what it means.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from brodmann.errors import SettingsError
from brodmann.lesions.perturb import noisy
from brodmann.models import Subject


@dataclass(frozen=True)
class Trial:
    """One strength that was tried."""

    alpha: float
    score: float
    """Mean over the sets of units and the seeds."""
    share: float
    """Lost share of the score."""


@dataclass(frozen=True)
class Calibration:
    """A strength of noise, and how it was found."""

    alpha: float
    share: float
    """Lost share of the score at `alpha`."""
    wanted: float
    reached: bool
    """Whether the share is within the tolerance; a score that jumps may never come closer."""
    intact: float
    """Score of the intact model."""
    trials: tuple[Trial, ...]
    """In the order in which they were made."""


def find_alpha(
    subject: Subject,
    sets: Sequence[Sequence[str]],
    score: Callable[[Subject], float],
    *,
    share: float = 0.25,
    tolerance: float = 0.03,
    floor: float = 0.0,
    start: float = 0.5,
    largest: float = 16.0,
    steps: int = 8,
    seeds: Sequence[int] = (0,),
    which: Sequence[str] = ("query", "output"),
) -> Calibration:
    """Strength of noise at which random sets of units lose a share of a score, by bisection.

    The noise is the same at every strength up to its scale, so the score changes with the strength alone.

    Parameters
    ----------
    subject
        The opened model; its weights are as before when this returns.
    sets
        Random sets of units; the score is averaged over them.
    score
        Takes the subject, gives a number that is larger for a better model, always the same for the same weights.
    share
        Wanted loss, as a share of what the intact model scores above `floor`; between 0 and 1.
    tolerance
        How far from `share` is near enough.
    floor
        Score of a model that knows nothing, such as chance.
    start, largest
        First strength tried, and the one beyond which the search gives up.
    steps
        Bisections at most.
    seeds
        Draws of the noise, averaged over.
    which
        As in `noisy`.

    Returns
    -------
    Calibration
        The strength whose loss is nearest to the wanted one.

    Raises
    ------
    SettingsError
        If the intact model scores no more than the floor, or even the largest strength does not cost the share.

    Examples
    --------
    >>> from brodmann.lesions.calibrate import find_alpha
    >>> from brodmann.models import load
    >>> subject = load("random:gpt2")
    >>> size = lambda subject: 1 / float(subject.model.transformer.h[0].attn.c_proj.weight.detach().std())
    >>> found = find_alpha(subject, [["L0H0", "L0H1"]], size, share=0.2)
    >>> found.reached, abs(found.share - 0.2) < 0.03
    (True, True)
    """
    if not 0 < share < 1 or not sets or not seeds or not 0 < start <= largest:
        raise SettingsError("calibration needs a share between 0 and 1, a set, a seed and 0 < start <= largest")
    intact = float(score(subject))
    if not intact > floor:
        raise SettingsError(
            f"the intact model scores {intact:.3g}, no more than the floor {floor:.3g}: nothing to lose"
        )
    trials: list[Trial] = []

    def lost(alpha: float) -> float:
        scores = []
        for units in sets:
            for seed in seeds:
                with noisy(subject, units, alpha=alpha, seed=seed, which=which):
                    scores.append(float(score(subject)))
        mean = float(np.mean(scores))
        trials.append(Trial(alpha, mean, (intact - mean) / (intact - floor)))
        return trials[-1].share

    low, high = 0.0, start
    while (at := lost(high)) < share - tolerance:
        if high >= largest:
            raise SettingsError(f"noise of strength {high:g} costs {at:.0%} of the score, less than {share:.0%}")
        low, high = high, min(2 * high, largest)
    for _ in range(steps):
        if abs(trials[-1].share - share) <= tolerance:
            break
        middle = math.sqrt(low * high) if low > 0 else high / 2
        low, high = (middle, high) if lost(middle) < share else (low, middle)
    # NaN, the score of a model that breaks down, is the farthest from everything
    best = min(trials, key=lambda trial: (not math.isfinite(trial.share), abs(trial.share - share)))
    return Calibration(best.alpha, best.share, share, abs(best.share - share) <= tolerance, intact, tuple(trials))

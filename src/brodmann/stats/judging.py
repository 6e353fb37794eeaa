"""The one rule that gives a finding its verdict, and the correction for the number of findings.

`judge` is the only place where "supported", "contradicted" or "inconclusive" is decided; `conclude` computes the p
values, asks `judge` and fills a `Finding`; `correct` judges again with adjusted p values. Equivalence follows
Schuirmann (1987), several nulls the intersection-union test (Berger 1982). The studies bring intervals and null draws.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from brodmann.stats.finding import UNTESTED, Direction, Finding, Verdict, p_text
from brodmann.stats.multiple import adjust
from brodmann.stats.permutation import p_value

KEPT_DRAWS = 2000
_CORRECTIONS = {"holm": "Holm's", "bh": "Benjamini and Hochberg's", "by": "Benjamini and Yekutieli's"}
FEW = 10


@dataclass(frozen=True)
class Judgement:
    """What `judge` decided: verdict, the p it used, the null it came from, what would change it, and caveats."""

    verdict: Verdict
    p: float | None
    hardest: str
    would_change: str
    caveats: tuple[str, ...]


def judge(
    estimate: float,
    interval: tuple[float, float],
    p_values: Mapping[str, float],
    *,
    direction: Direction = "greater",
    margin: float | int = 0.0,
    reference: float | int = 0.0,
    alpha: float = 0.05,
) -> Judgement:
    """Decide a verdict. This is the only place where verdicts are made.

    With effect = estimate - reference and its interval (low, high) counted from `reference` too, p the largest p over
    all null models (each must be beaten), and margin >= 0 the smallest effect of interest:

    ============= ====================================== ====================================================
    direction     supported                              contradicted
    ============= ====================================== ====================================================
    "greater"     low > margin and p < alpha             high < margin (for margin 0: the interval lies wholly
                                                         below 0; for margin > 0 this includes equivalence)
    "less"        high < -margin and p < alpha           low > -margin
    "two-sided"   (low > margin or high < -margin)       -margin < low and high < margin (margin 0: never)
                  and p < alpha
    "equivalent"  -margin < low and high < margin        low > margin or high < -margin
    ============= ====================================== ====================================================

    Anything else is inconclusive, and so is anything with a number that is NaN. Without a null model no directional
    claim is supported. p decides nothing but support: a small p never contradicts, a large p never contradicts either
    (absence of evidence). An equal-tailed interval of level 1 - alpha makes every branch a test of size at most alpha
    (one-sided branches alpha/2; the equivalence branch is two one-sided tests at alpha/2 each).

    Parameters
    ----------
    estimate, interval
        Estimate and equal-tailed confidence interval, in the same units as margin and reference.
    p_values : mapping of str to float
        Null model in words -> p value of the estimate under it, in the claim's direction.
    direction : {"greater", "less", "two-sided", "equivalent"}
        The side the claim is on. "equivalent" claims that the effect is smaller than the margin, and needs no null.
    margin, reference, alpha
        Smallest effect of interest (>= 0), the value effects are counted from, and the size of the test.

    Raises
    ------
    ValueError
        If margin is negative, alpha is not in (0, 1), the interval is reversed, or "equivalent" comes without a margin.

    Examples
    --------
    >>> judge(0.4, (0.1, 0.7), {"circular shift": 0.02, "prompt mismatch": 0.2}).verdict
    'inconclusive'
    >>> judge(0.01, (-0.02, 0.04), {"circular shift": 0.3}, margin=0.05).verdict
    'contradicted'
    """
    _check(interval, direction, margin, alpha)
    low, high = interval[0] - reference, interval[1] - reference
    caveats: list[str] = []
    broken = [name for name, p in p_values.items() if math.isnan(p)]
    caveats += [f"the p value against {name} could not be computed" for name in broken]
    hardest = max(p_values, key=lambda name: -1.0 if math.isnan(p_values[name]) else p_values[name], default="")
    p = p_values[hardest] if p_values else None
    beaten = p is not None and not broken and p < alpha
    change = _would_change(direction, margin, reference, alpha, tuple(p_values))
    if any(math.isnan(number) for number in (estimate, *interval)):
        caveats.append("the estimate or its interval could not be computed")
        return Judgement("inconclusive", p, hardest, change["inconclusive"], tuple(caveats))
    if not interval[0] <= estimate <= interval[1]:
        caveats.append("the estimate lies outside its own interval: the bootstrap found it strongly biased")
    if direction != "equivalent" and p is None:
        caveats.append("no null model was run")
    inside = -margin < low and high < margin
    above, below = low > margin, high < -margin
    supported, contradicted = {
        "greater": (above and beaten, high < margin),
        "less": (below and beaten, low > -margin),
        "two-sided": ((above or below) and beaten, inside),
        "equivalent": (inside, above or below),
    }[direction]
    verdict: Verdict = "supported" if supported else "contradicted" if contradicted else "inconclusive"
    if verdict == "contradicted" and beaten and direction in ("greater", "less"):
        caveats.append(f"the estimate still exceeds its null ({hardest}), which lies further on the other side")
    return Judgement(verdict, p, hardest, change[verdict], tuple(caveats))


def conclude(
    name: str,
    claim: str,
    *,
    estimate: float,
    interval: tuple[float, float],
    nulls: Mapping[str, Any] | None = None,
    p_values: Mapping[str, float] | None = None,
    direction: Direction = "greater",
    margin: float | int = 0.0,
    reference: float | int = 0.0,
    level: float = 0.95,
    alpha: float | None = None,
    units: str,
    n: int,
    unit_of_inference: str,
    source: str,
    seed: int,
    would_change: str = "",
    caveats: Sequence[str] = (),
) -> Finding:
    """Turn an estimate, its interval and its nulls into a `Finding`, with the verdict of `judge`.

    Parameters
    ----------
    nulls : mapping of str to array (draw,), optional
        Null model in words -> draws of the same estimate under it. Their p values are add-one (a draw that is NaN
        counts against the claim).
    p_values : mapping of str to float, optional
        p values that were computed elsewhere (exact tests); they win over the draws of the same name.
    direction, margin, reference, alpha
        Passed to `judge`; alpha is 1 - level unless given.
    would_change, caveats
        Own words; `judge` writes `would_change` when empty and appends its caveats.

    Examples
    --------
    >>> conclude("u", "Middle layers rank higher", estimate=0.3, interval=(0.2, 0.4),
    ...          nulls={"heads exchanged": [0.0] * 99}, units="rank", n=60, unit_of_inference="prompt",
    ...          source="arXiv 2601.06851", seed=0).verdict
    'supported'
    """
    alpha = round(1.0 - level, 12) if alpha is None else alpha
    draws = {null: np.asarray(values, dtype=float).ravel() for null, values in (nulls or {}).items()}
    alternative = "two-sided" if direction == "equivalent" else direction
    found = {null: p_value(estimate, values, alternative) for null, values in draws.items()}
    found |= {null: float(p) for null, p in (p_values or {}).items()}
    noted = [str(caveat) for caveat in caveats]
    least = 2.0 if alternative == "two-sided" else 1.0
    for null, values in draws.items():
        if null in (p_values or {}):
            continue
        if least / (values.size + 1) >= alpha and direction != "equivalent":
            noted.append(
                f"{values.size} draws of {null} are too few: p cannot fall below {least / (values.size + 1):.2g}"
            )
        if failed := int(np.isnan(values).sum()):
            noted.append(f"{failed} of {values.size} draws of {null} could not be computed and count against the claim")
    if n < FEW:
        people = f"only {n} {unit_of_inference}{'' if n == 1 else 's'}"
        if all(map(math.isfinite, interval)):
            noted.append(f"{people}: the interval is likely too narrow")
        elif math.isfinite(estimate) and not any(note.startswith(UNTESTED) for note in noted[:1]):
            noted.insert(0, f"{UNTESTED}: {people}, too few for an interval")
    judgement = judge(estimate, interval, found, direction=direction, margin=margin, reference=reference, alpha=alpha)
    words = " and ".join(f"{null} ({p_text(p)})" for null, p in found.items())
    return Finding(
        name=name, claim=claim, estimate=float(estimate), interval=(float(interval[0]), float(interval[1])),
        level=level, units=units, null=words, null_samples=_thinned(draws.get(judgement.hardest)),
        p=judgement.p, n=n, unit_of_inference=unit_of_inference, verdict=judgement.verdict,
        would_change=would_change or judgement.would_change, caveats=(*noted, *judgement.caveats), source=source,
        seed=seed, direction=direction, margin=float(margin), reference=float(reference),
    )  # fmt: skip


def correct(findings: Sequence[Finding], method: Literal["holm", "bh", "by"] = "holm") -> tuple[Finding, ...]:
    """Judge findings again with p values adjusted for their number.

    Only support can be lost: "supported" becomes "inconclusive" where the adjusted p is no longer below 1 - level.
    Findings without p pass unchanged and do not count.

    Examples
    --------
    >>> one = conclude("a", "A", estimate=1.0, interval=(0.5, 1.5), p_values={"chance": 0.03}, units="", n=60,
    ...                unit_of_inference="prompt", source="", seed=0)
    >>> [finding.verdict for finding in correct([one, one])]
    ['inconclusive', 'inconclusive']
    """
    tested = [index for index, finding in enumerate(findings) if finding.p is not None]
    adjusted = adjust([findings[index].p for index in tested], method)
    result = list(findings)
    for index, p in zip(tested, adjusted.tolist(), strict=True):
        old = findings[index]
        verdict = judge(
            old.estimate, old.interval, {old.null: p}, direction=old.direction, margin=old.margin,
            reference=old.reference, alpha=round(1.0 - old.level, 12),
        ).verdict  # fmt: skip
        note = f"{p_text(p)} after correction for {len(tested)} findings ({method.capitalize()})"
        if old.verdict == "supported" and verdict != "supported":
            note += f"; alone it was {p_text(old.p or 0.0)} and supported the claim"
        result[index] = dataclasses.replace(
            old, p=p, verdict=verdict, caveats=(*old.caveats, note), correction=f"{_CORRECTIONS[method]} correction"
        )
    return tuple(result)


def _check(interval: tuple[float, float], direction: Direction, margin: float | int, alpha: float) -> None:
    if not margin >= 0:
        raise ValueError(f"margin = {margin}: the smallest effect of interest is 0 or more")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha = {alpha} is not between 0 and 1")
    if interval[0] > interval[1]:
        raise ValueError(f"interval {interval} is reversed")
    if direction == "equivalent" and margin == 0:
        raise ValueError("a claim of equivalence needs a margin above 0")


def _would_change(
    direction: Direction, margin: float | int, reference: float | int, alpha: float, nulls: tuple[str, ...]
) -> dict[str, str]:
    upper, lower = f"{reference + margin:.3g}", f"{reference - margin:.3g}"
    beat = f"p < {alpha:g} against {' and '.join(nulls)}" if nulls else f"a null model beaten at p < {alpha:g}"
    within, beyond = f"an interval inside {lower} to {upper}", f"an interval above {upper} or below {lower}"
    support, against = {
        "greater": (f"an interval above {upper} and {beat}", f"an interval below {upper}"),
        "less": (f"an interval below {lower} and {beat}", f"an interval above {lower}"),
        "two-sided": (f"{beyond} and {beat}", within),
        "equivalent": (within, beyond),
    }[direction]
    if direction == "two-sided" and margin == 0:
        against = "nothing: without a smallest effect of interest, no data can contradict it"
    without = "otherwise" if direction == "equivalent" else "without either"
    return {
        "supported": f"Support rests on {support}; {without} it is inconclusive, and {against} contradicts it.",
        "contradicted": f"Support would have needed {support}.",
        "inconclusive": f"Support would have needed {support}; {against} would have contradicted it.",
    }


def _thinned(draws: np.ndarray | None) -> tuple[float, ...]:
    if draws is None or draws.size == 0:
        return ()
    if draws.size > KEPT_DRAWS:
        draws = draws[np.linspace(0, draws.size - 1, KEPT_DRAWS).round().astype(int)]
    return tuple(draws.tolist())

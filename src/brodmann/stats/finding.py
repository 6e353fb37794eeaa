"""What may be claimed: a `Finding`, what it says in words, and how it is stored.

Every claim in a report, on the command line and in the docs is a `Finding` that the run computed. Its verdict is made
in `judging`; nothing is decided or computed here.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["supported", "contradicted", "inconclusive"]
Direction = Literal["greater", "less", "two-sided", "equivalent"]

UNTESTED = "not tested"
"""How the first caveat of a finding begins whose interval is unbounded on purpose."""


@dataclass(frozen=True)
class Finding:
    """One claim under test, with everything a reader needs to disagree.

    Attributes
    ----------
    name, claim : str
        A slug, and the claim in words.
    estimate, interval, level, units
        The estimate, its confidence interval at `level`, and their units.
    null : str
        The null models in words, each with its own p value, before any correction.
    null_samples : tuple of float
        Draws of the estimate under the hardest null (largest p), at most 2000, thinned evenly.
    p : float or None
        Largest p over the null models; None where none was run.
    n, unit_of_inference
        How many of what the interval is about (60, "prompt").
    verdict : {"supported", "contradicted", "inconclusive"}
        Made by `judge`.
    would_change, caveats, source, seed
        What would have changed the verdict; what weakens it; who claimed it; the seed of the draws.
    direction, margin, reference
        What `judge` was asked: the claimed side, the smallest effect that matters, and the value it is counted from.
    correction : str
        How p was corrected for the number of findings ("Holm's correction"); empty where it was not.
    """

    name: str
    claim: str
    estimate: float
    interval: tuple[float, float]
    level: float
    units: str
    null: str
    null_samples: tuple[float, ...]
    p: float | None
    n: int
    unit_of_inference: str
    verdict: Verdict
    would_change: str
    caveats: tuple[str, ...]
    source: str
    seed: int
    direction: Direction = "greater"
    margin: float = 0.0
    reference: float = 0.0
    correction: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary that strict JSON can hold: numbers that are not finite become "nan", "inf", "-inf"."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Finding":
        """Inverse of `to_dict`."""
        kept = dict(values)
        low, high = kept["interval"]
        kept["interval"] = (float(low), float(high))
        kept["null_samples"] = tuple(float(draw) for draw in kept["null_samples"])
        kept["caveats"] = tuple(str(caveat) for caveat in kept["caveats"])
        kept["p"] = None if kept["p"] is None else float(kept["p"])
        for name in ("estimate", "level", "margin", "reference"):
            if name in kept:
                kept[name] = float(kept[name])
        return cls(**kept)

    def sentence(self) -> str:
        """Say the finding in plain text.

        Examples
        --------
        >>> from brodmann.stats import conclude
        >>> finding = conclude("gain", "Gain", estimate=0.4, interval=(0.1, 0.7), p_values={"chance": 0.01},
        ...                    units="nats", n=60, unit_of_inference="prompt", source="example", seed=0)
        >>> finding.sentence()
        'Supported: Gain. Estimate 0.4 nats (95 % interval 0.1 to 0.7, n = 60 prompts); null: chance (p = 0.01).'
        """
        claim = self.claim.rstrip(".")
        if math.isnan(self.estimate):
            return f"Not tested: {claim} ({self.caveats[0] if self.caveats else 'no data'})."
        units = f" {self.units}" if self.units else ""
        people = self.unit_of_inference if self.n == 1 else f"{self.unit_of_inference}s"
        inside = f"{100 * self.level:g} % interval {self.interval[0]:.3g} to {self.interval[1]:.3g}"
        if not all(map(math.isfinite, self.interval)):
            why = self.caveats[0].removeprefix(UNTESTED) if self.caveats[:1] and self.untested else ""
            inside = f"interval not tested{why}"
        against = "no null model" if self.p is None else f"null: {self.null}"
        if self.p is not None and self.correction:
            against = f"{p_text(self.p)} after {self.correction}; {against}"
        numbers = f"Estimate {self.estimate:.3g}{units} ({inside}, n = {self.n} {people})"
        return f"{self.verdict.capitalize()}: {claim}. {numbers}; {against}."

    @property
    def tested(self) -> bool:
        """Whether there is an estimate with an interval, so that the verdict says something."""
        return all(map(math.isfinite, (self.estimate, *self.interval)))

    @property
    def untested(self) -> bool:
        """Whether there is an estimate but no interval, and the first caveat says why."""
        bounded = all(map(math.isfinite, self.interval))
        return not bounded and bool(self.caveats) and self.caveats[0].startswith(UNTESTED)


def p_text(p: float) -> str:
    """Write a p value as the page does.

    Examples
    --------
    >>> p_text(0.0123), p_text(3e-45)
    ('p = 0.012', 'p < 0.001')
    """
    if math.isnan(p):
        return "p could not be computed"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def read_findings(source: Any) -> tuple[Finding, ...]:
    """Findings that a study left in its result.

    Parameters
    ----------
    source
        A Dataset (its ``attrs["findings"]`` is read), or the JSON text itself.
    """
    text = source if isinstance(source, str) else getattr(source, "attrs", {}).get("findings", "[]")
    return tuple(Finding.from_dict(values) for values in json.loads(str(text)))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value

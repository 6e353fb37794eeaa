"""The rule that makes verdicts: its table, its error rates, and that a finding survives JSON."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from brodmann.stats import Finding, bootstrap_interval, conclude, correct, judge

BEATEN = {"circular shift": 0.01, "prompt mismatch": 0.04}


def gain(estimate: float = 0.4, interval: tuple[float, float] = (0.1, 0.7), **changes) -> Finding:
    settings = {
        "nulls": {"chance": np.zeros(99)}, "units": "nats", "n": 60, "unit_of_inference": "prompt", "source": "test",
        "seed": 3,
    }  # fmt: skip
    return conclude("gain", "Gain is positive", estimate=estimate, interval=interval, **(settings | changes))


@pytest.mark.parametrize(
    ("direction", "interval", "margin", "verdict"),
    [
        ("greater", (0.1, 0.7), 0.05, "supported"),
        ("greater", (0.05, 0.7), 0.05, "inconclusive"),  # touches the margin
        ("greater", (-0.7, -0.1), 0.0, "contradicted"),
        ("greater", (-0.04, 0.04), 0.05, "contradicted"),  # equivalent to zero
        ("greater", (0.01, 0.04), 0.05, "contradicted"),  # positive, but too small to matter
        ("greater", (-0.04, 0.04), 0.0, "inconclusive"),
        ("less", (-0.7, -0.1), 0.05, "supported"),
        ("less", (0.1, 0.7), 0.0, "contradicted"),
        ("less", (-0.04, 0.04), 0.05, "contradicted"),
        ("less", (-0.7, 0.1), 0.05, "inconclusive"),
        ("two-sided", (0.1, 0.7), 0.05, "supported"),
        ("two-sided", (-0.7, -0.1), 0.05, "supported"),
        ("two-sided", (-0.04, 0.04), 0.05, "contradicted"),
        ("two-sided", (-0.04, 0.04), 0.0, "inconclusive"),
        ("equivalent", (-0.04, 0.04), 0.05, "supported"),
        ("equivalent", (0.06, 0.7), 0.05, "contradicted"),
        ("equivalent", (-0.7, -0.06), 0.05, "contradicted"),
        ("equivalent", (-0.06, 0.04), 0.05, "inconclusive"),
    ],
)
def test_the_table_of_verdicts(direction, interval, margin, verdict):
    middle = sum(interval) / 2
    assert judge(middle, interval, BEATEN, direction=direction, margin=margin).verdict == verdict
    moved = tuple(end + 0.5 for end in interval)
    if margin not in np.abs(interval):  # a sum in floating point cannot touch a margin exactly
        judgement = judge(middle + 0.5, moved, BEATEN, direction=direction, margin=margin, reference=0.5)
        assert judgement.verdict == verdict


def test_every_null_must_be_beaten():
    lost = judge(0.4, (0.1, 0.7), {"shift": 0.001, "mismatch": 0.05})
    assert (lost.verdict, lost.p, lost.hardest) == ("inconclusive", 0.05, "mismatch")
    assert judge(0.4, (0.1, 0.7), {"shift": 0.001, "mismatch": 0.049}).verdict == "supported"


def test_without_a_null_nothing_directional_is_supported():
    bare = judge(0.4, (0.1, 0.7), {})
    assert bare.verdict == "inconclusive"
    assert bare.p is None
    assert "no null model was run" in bare.caveats
    assert judge(0.0, (-0.1, 0.1), {}, direction="equivalent", margin=0.2).verdict == "supported"


@pytest.mark.parametrize(
    ("estimate", "interval", "p_values"),
    [
        (math.nan, (0.1, 0.7), BEATEN),
        (0.4, (math.nan, 0.7), BEATEN),
        (0.4, (0.1, math.nan), BEATEN),
        (0.4, (0.1, 0.7), {"shift": math.nan, "mismatch": 0.001}),
    ],
)
def test_what_is_not_a_number_decides_nothing(estimate, interval, p_values):
    judgement = judge(estimate, interval, p_values)
    assert judgement.verdict == "inconclusive"
    assert any("could not be computed" in caveat for caveat in judgement.caveats)


def test_infinite_intervals_are_inconclusive_and_half_lines_decide():
    assert judge(0.4, (-math.inf, math.inf), BEATEN).verdict == "inconclusive"
    assert judge(0.4, (0.1, math.inf), BEATEN).verdict == "supported"


def test_wrong_questions_are_refused():
    with pytest.raises(ValueError, match="smallest effect"):
        judge(0.4, (0.1, 0.7), BEATEN, margin=-0.1)
    with pytest.raises(ValueError, match="alpha"):
        judge(0.4, (0.1, 0.7), BEATEN, alpha=0.0)
    with pytest.raises(ValueError, match="reversed"):
        judge(0.4, (0.7, 0.1), BEATEN)
    with pytest.raises(ValueError, match="equivalence"):
        judge(0.4, (0.1, 0.7), BEATEN, direction="equivalent")


@given(
    st.floats(-10, 10), st.floats(0, 5), st.floats(0, 5), st.floats(0, 3), st.floats(0.001, 1), st.floats(-5, 5),
    st.sampled_from(["greater", "less", "two-sided"]),
)  # fmt: skip
def test_mirror_and_monotone(estimate, below, above, margin, p, reference, direction):
    interval = (estimate - below, estimate + above)
    verdict = judge(estimate, interval, {"null": p}, direction=direction, margin=margin, reference=reference).verdict
    mirror = {"greater": "less", "less": "greater", "two-sided": "two-sided"}[direction]
    flipped = judge(
        -estimate, (-interval[1], -interval[0]), {"null": p}, direction=mirror, margin=margin, reference=-reference
    )
    assert flipped.verdict == verdict
    weaker = judge(estimate, interval, {"null": 1.0}, direction=direction, margin=margin, reference=reference).verdict
    assert weaker != "supported"
    assert (weaker == "contradicted") == (verdict == "contradicted")
    wider = (interval[0] - 1, interval[1] + 1)
    loose = judge(estimate, wider, {"null": p}, direction=direction, margin=margin, reference=reference).verdict
    assert loose in (verdict, "inconclusive")


def test_type_one_error_under_the_null_and_power_under_an_effect():
    rng = np.random.default_rng(5)
    runs, n = 1000, 40
    verdicts = {0.0: [], 0.8: []}
    for effect, found in verdicts.items():
        for _ in range(runs):
            values = rng.normal(effect, 1, n)
            half = scipy_stats.t(n - 1).ppf(0.975) * values.std(ddof=1) / math.sqrt(n)
            null = (rng.choice([-1.0, 1.0], (199, n)) * values).mean(axis=1)
            estimate = float(values.mean())
            found.append(gain(estimate, (estimate - half, estimate + half), nulls={"sign flips": null}).verdict)
    supported = verdicts[0.0].count("supported")
    # Support needs both the interval (one side: 2.5 %) and the null (5 %), so its rate is 2.5 % at most.
    assert supported <= scipy_stats.binom(runs, 0.025).ppf(0.999)
    assert verdicts[0.0].count("contradicted") <= scipy_stats.binom(runs, 0.025).ppf(0.999)
    assert verdicts[0.8].count("supported") > 0.98 * runs
    assert verdicts[0.8].count("contradicted") == 0


def test_p_is_add_one_and_the_hardest_null_is_kept():
    easy, hard = np.zeros(99), np.array([0.5] + [0.0] * 98)
    finding = gain(nulls={"easy": easy, "hard": hard})
    assert finding.p == 0.02
    assert finding.null == "easy (p = 0.01) and hard (p = 0.02)"
    assert finding.null_samples == tuple(hard.tolist())
    assert finding.verdict == "supported"
    assert gain(nulls={"easy": easy}, p_values={"easy": 0.3}).verdict == "inconclusive"


def test_long_nulls_are_thinned_and_counted_whole():
    draws = np.concatenate([np.zeros(9999), [1.0]])
    finding = gain(nulls={"chance": draws})
    assert len(finding.null_samples) == 2000
    assert finding.null_samples[-1] == 1.0
    assert finding.p == 2 / 10001


def test_caveats_name_what_weakens_a_finding():
    few = gain(nulls={"random models": np.zeros(3)}, n=4)
    assert few.verdict == "inconclusive"
    assert few.p == 0.25
    assert any("3 draws of random models are too few: p cannot fall below 0.25" in caveat for caveat in few.caveats)
    assert any("only 4 prompts" in caveat for caveat in few.caveats)
    failed = gain(nulls={"chance": np.array([np.nan] * 10 + [0.0] * 89)})
    assert failed.p == 0.11
    assert any("10 of 99 draws" in caveat for caveat in failed.caveats)
    outside = gain(0.8, (0.1, 0.7))
    assert any("outside its own interval" in caveat for caveat in outside.caveats)
    opposite = gain(-0.4, (-0.7, -0.1), nulls={"chance": np.full(99, -2.0)})
    assert opposite.verdict == "contradicted"
    assert any("still exceeds its null" in caveat for caveat in opposite.caveats)


def test_every_verdict_says_what_would_have_changed_it():
    assert "an interval below 0.05 contradicts it" in gain(margin=0.05).would_change
    assert gain(-0.4, (-0.7, -0.1)).would_change == (
        "Support would have needed an interval above 0 and p < 0.05 against chance."
    )
    assert "an interval below 0 would have contradicted it" in gain(0.1, (-0.1, 0.3)).would_change
    assert gain(would_change="own words").would_change == "own words"
    unreachable = gain(0.1, (-0.1, 0.3), direction="two-sided").would_change
    assert "no data can contradict it" in unreachable


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.none() | st.floats(0, 1),
    st.text(),
    st.lists(st.floats(), max_size=5),
)
def test_a_finding_survives_strict_json(estimate, p, claim, draws):
    finding = dataclasses.replace(gain(), estimate=estimate, p=p, claim=claim, null_samples=tuple(draws))
    text = json.dumps(finding.to_dict(), allow_nan=False)
    again = Finding.from_dict(json.loads(text))
    assert again.to_dict() == finding.to_dict()
    assert repr(again) == repr(finding)


def test_correction_only_takes_support_away():
    weak, strong = gain(p_values={"chance": 0.03}), gain(p_values={"chance": 0.001})
    against, untested = gain(-0.4, (-0.7, -0.1), p_values={"chance": 1.0}), gain(nulls={})
    corrected = correct([weak, strong, against, untested])
    assert [finding.verdict for finding in corrected] == ["inconclusive", "supported", "contradicted", "inconclusive"]
    assert [finding.p for finding in corrected] == [0.06, 0.003, 1.0, None]
    assert "supported the claim" in corrected[0].caveats[-1]
    assert corrected[3] == untested
    assert [finding.p for finding in correct([weak, strong], "bh")] == [0.03, 0.002]


def test_bootstrap_null_and_rule_work_together():
    rng = np.random.default_rng(11)
    values = rng.normal(1.0, 1.0, 60)
    interval = bootstrap_interval(lambda weights: weights @ values, 60, rng=rng).interval
    null = (rng.choice([-1.0, 1.0], (999, 60)) * values).mean(axis=1)
    finding = gain(float(values.mean()), interval, nulls={"sign flips": null}, margin=0.5)
    assert (finding.verdict, finding.p) == ("supported", 0.001)
    assert finding.sentence().startswith("Supported: Gain is positive. Estimate ")
    assert finding.sentence().endswith("n = 60 prompts); null: sign flips (p = 0.001).")


def test_an_unbounded_interval_is_said_to_be_untested():
    finding = gain(0.4, (-math.inf, math.inf), n=3)
    assert finding.caveats[0] == "not tested: only 3 prompts, too few for an interval"
    assert "(interval not tested: only 3 prompts, too few for an interval, n = 3 prompts)" in finding.sentence()
    assert "inf" not in finding.sentence()
    own = gain(0.4, (-math.inf, math.inf), n=3, caveats=("not tested: nothing grew",))
    assert own.caveats[0] == "not tested: nothing grew"
    assert not any("too narrow" in caveat for caveat in own.caveats)


def test_a_corrected_p_is_told_apart_from_those_of_the_nulls():
    one = correct([gain(nulls={}, p_values={"a": 0.4, "b": 0.02}), gain(p_values={"a": 0.9})])[0]
    assert one.sentence().endswith("p = 0.8 after Holm's correction; null: a (p = 0.4) and b (p = 0.02).")

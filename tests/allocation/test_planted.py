"""A planted allocation is found, its interval covers it as often as it says, and none is found where none is."""

import json

import numpy as np
import pytest
from planted import plant

from brodmann.allocation.claims import Heard, family_ratios, findings
from brodmann.allocation.evidence import tabulate
from brodmann.stats import Finding

RUNS = 100


def intervals(ratio, runs=RUNS, **given):
    adjusted, raw = [], []
    for seed in range(runs):
        world = plant(seed, ratio, **given)
        table = tabulate(world.scene, world.heard, measures=("density",))
        adjusted.append(table.get("hard"))
        raw.append(table.get("hard", adjusted=False))
    return np.array(adjusted), np.array(raw)


def covered(found, value):
    return int(((found[:, 1] <= value) & (value <= found[:, 2])).sum())


def test_the_interval_covers_a_planted_ratio_of_1_42_in_at_least_90_of_100_runs():
    adjusted, raw = intervals(1.42)
    assert covered(adjusted, 1.42) >= 90
    assert np.exp(np.log(adjusted[:, 0]).mean()) == pytest.approx(1.42, rel=0.015)
    # surprisal acts more strongly on the core, and hard texts have more of it: without it the answer is wrong
    assert covered(raw, 1.42) < 70


def test_a_ratio_of_1_is_rejected_in_at_most_7_of_100_runs():
    adjusted, raw = intervals(1.0)
    assert RUNS - covered(adjusted, 1.0) <= 7
    assert RUNS - covered(raw, 1.0) > 20


def test_families_that_differ_are_a_factor_of_chance():
    """With a standard deviation of 0.2 between families, intervals over texts alone cover 56 of 100."""
    found, _ = intervals(1.42, tau=0.2)
    assert covered(found, 1.42) >= 90
    none, _ = intervals(1.0, tau=0.2)
    assert RUNS - covered(none, 1.0) <= 10
    # no more than chance is taken for an effect of a twentieth
    assert (none[:, 1] > 1.05).sum() <= 5
    # of two families Student's t has one degree of freedom
    two, _ = intervals(1.42, runs=40, tau=0.2, families=2)
    assert covered(two, 1.42) >= 36


def test_one_large_family_has_the_coverage_too():
    adjusted, _ = intervals(1.42, families=1, texts=40, steps=16)
    assert covered(adjusted, 1.42) >= 90


def verdict(seed, ratio) -> Finding:
    world = plant(seed, ratio, steps=16)
    tables = {"reading": tabulate(world.scene, world.heard, measures=("density",))}
    return findings(world.scene, Heard(world.heard, tables))[0]


def test_verdicts_follow_the_planted_ratio():
    more, none, less = ([verdict(seed, ratio) for seed in range(6)] for ratio in (1.42, 1.0, 0.65))
    assert [each.verdict for each in more] == ["supported"] * 6
    assert "supported" not in {each.verdict for each in none}
    assert {each.verdict for each in less} == {"contradicted"}, "the other sign contradicts the claim"
    assert all(each.p == pytest.approx(1.0) for each in less)
    one = more[0]
    assert one.name == "hard_tasks_more_active"
    assert one.n == 90
    assert one.reference == 1.0
    assert len(one.null_samples) == 199
    assert any("1.42" in caveat and "inside" in caveat for caveat in one.caveats)
    json.dumps(one.to_dict(), allow_nan=False)
    told = next(caveat for caveat in one.caveats if caveat.startswith("by family of tasks: addition "))
    assert "takes these 5 as drawn from families like them" in told


def test_the_families_own_ratios_have_the_pooled_one_as_their_mean():
    world = plant(3, 1.42, tau=0.2, steps=16)
    heard = Heard(world.heard, {"reading": tabulate(world.scene, world.heard, measures=("density",))})
    found = family_ratios(world.scene, heard, "hard")
    assert list(found) == ["addition", "modular", "sorting", "assignments", "brackets"]
    pooled = heard.tables["reading"].get("hard")[0]
    assert np.exp(np.log(list(found.values())).mean()) == pytest.approx(pooled)
    planted = 1.42 * np.exp(0.2 * np.random.default_rng([3, 144]).standard_normal(5))
    np.testing.assert_allclose(list(found.values()), planted, rtol=0.25)
    assert family_ratios(world.scene, heard, "simple") == {}


def test_findings_without_repetition_or_levels_say_that_nothing_was_tested():
    world = plant(0, 1.0, neutral=12, steps=8)
    tables = {"reading": tabulate(world.scene, world.heard, measures=("density",))}
    found = findings(world.scene, Heard(world.heard, tables))
    assert [each.verdict for each in found[1:]] == ["inconclusive", "inconclusive"]
    assert all(np.isnan(each.estimate) for each in found[1:])
    assert found[1].sentence().startswith("Not tested")

"""Two sets of units against the spread of random ones: the closed form that the claims use."""

import numpy as np
import pytest
from scipy.stats import t as student

from brodmann.lesions.claims import CLAIMS, ORDERS, Evidence, compare


@pytest.mark.parametrize("largest", [0.1, 0.4, 0.5])
def test_two_sets_are_further_apart_the_more_units_are_gone(rng, largest):
    prompts = rng.lognormal(0, 0.2, (1, 30))
    areas = {
        "synergistic": 1.8 * prompts,
        "norm_matched": prompts,
        "random": rng.lognormal(0, 0.15, (6, 1)) * prompts,
    }
    evidence = Evidence(areas, "head", largest, 0)
    finding = compare(evidence, "x", "x", "synergistic", "norm_matched", "x")
    spread = np.log(areas["random"].mean(axis=1)).std(ddof=1)
    expected = student.sf(np.log(1.8) / (spread * np.sqrt(2 / (1 - largest))), 5)
    assert finding.p == pytest.approx(expected, rel=1e-9)
    assert finding.null.startswith("the difference between two random sets of heads (p")
    less = compare(Evidence(areas, "head", largest / 2, 0), "x", "x", "synergistic", "norm_matched", "x")
    assert less.p < finding.p


def test_claims_compare_orders_that_there_are():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    assert {order for claim in CLAIMS for order in (claim.first, claim.second)} <= set(ORDERS)
    assert all("synergistic" in (claim.first, claim.second) for claim in CLAIMS)
    assert CLAIMS[0].sentence.format(units="heads") == (
        "Removing the synergistic core hurts more than removing heads at random in the same layers"
    )


def _drawn(rng, gain: float) -> Evidence:
    """96 heads in 12 layers with lognormal harm; the core is one more set, its heads `gain` times as harmful."""
    harm = rng.lognormal(0, 0.8, 96).reshape(12, 8)

    def area(first: int, count: int) -> np.ndarray:
        picked = np.stack([[rng.permutation(8)[:2] for _ in range(12)] for _ in range(count)])
        sums = np.take_along_axis(harm[None], picked, axis=2).sum(axis=(1, 2))
        return sums[:, None] * rng.lognormal(0, 0.1, (count, 60)) * (gain if first else 1.0)

    areas = {"synergistic": area(1, 1), "layer_matched": area(0, 10), "random": area(0, 5), "norm_matched": area(0, 1)}
    return Evidence(areas, "head", 0.4, 0)


@pytest.mark.parametrize(("gain", "control", "most"), [(1.0, "layer_matched", 0.05), (1.3, "norm_matched", 0.06)])
def test_one_more_set_is_seldom_called_less_harmful(gain, control, most):
    found = [
        compare(_drawn(np.random.default_rng(seed), gain), "x", "x", "synergistic", control, "x").verdict
        for seed in range(200)
    ]
    assert found.count("contradicted") / len(found) <= most
    assert found.count("supported") / len(found) <= (0.05 if gain == 1 else 1.0)


def test_a_core_that_is_spared_is_contradicted():
    found = [
        compare(_drawn(np.random.default_rng(seed), 0.4), "x", "x", "synergistic", "layer_matched", "x").verdict
        for seed in range(20)
    ]
    assert found.count("contradicted") >= 15


def test_two_draws_that_disagree_are_said_to_be_too_few(rng):
    prompts = rng.lognormal(0, 0.2, (1, 30))
    areas = {"synergistic": 1.8 * prompts, "random": np.array([[0.6], [2.0]]) * prompts}
    finding = compare(Evidence(areas, "head", 0.4, 0), "x", "x", "synergistic", "random", "x")
    assert finding.interval[1] > 100 * finding.interval[0]
    assert finding.caveats[0].startswith("too few draws (2)")

"""Two sets of units against the spread of random ones: the closed form that the claims use."""

import numpy as np
import pytest
from scipy.stats import t as student

from brodmann.lesions.claims import Evidence, compare


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


def test_two_draws_that_disagree_are_said_to_be_too_few(rng):
    prompts = rng.lognormal(0, 0.2, (1, 30))
    areas = {"synergistic": 1.8 * prompts, "random": np.array([[0.6], [2.0]]) * prompts}
    finding = compare(Evidence(areas, "head", 0.4, 0), "x", "x", "synergistic", "random", "x")
    assert finding.interval[1] > 100 * finding.interval[0]
    assert finding.caveats[0].startswith("too few draws (2)")

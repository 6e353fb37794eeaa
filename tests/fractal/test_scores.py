"""The published Pythia table, partial correlation, heavy tails, and tables that cannot be read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import DATA, SHARED

from brodmann.errors import WeightsError
from brodmann.fractal.baselines import eigenvalues, hill_exponent, stable_rank
from brodmann.fractal.scores import correlate, partial, read_scores

TABLE = SHARED / "pythia" / "pythia_zero_shot_acc.csv"
# Task -> Pearson and Spearman over all 18 points, both from step 23,000 on (13 points), Spearman of the step itself.
PUBLISHED = {
    "lambada_openai": (0.992, 0.876, 0.823, 0.672, 0.971),
    "piqa": (0.989, 0.860, 0.813, 0.625, 0.955),
    "sciq": (0.957, 0.796, 0.664, 0.455, 0.843),
    "arc_easy": (0.990, 0.909, 0.831, 0.756, 0.991),
    "arc_challenge": (0.831, 0.839, None, None, 0.934),
    "winogrande": (0.900, 0.830, None, None, 0.786),
    "logiqa": (0.271, 0.075, None, None, None),
    "wsc": (-0.598, -0.096, None, None, None),
}


@pytest.mark.skipif(not TABLE.exists(), reason=f"needs the public Pythia scores: {TABLE} is not there")
@pytest.mark.parametrize("task", PUBLISHED)
def test_published_table(task: str) -> None:
    read = pd.read_csv(DATA / "neuromfa/pythia_1p4b_emergence_digitised.csv")
    both = read[read["model"] == "1.4b-deduped"].merge(pd.read_csv(TABLE).query("model == '1.4b-deduped'"), on="step")
    both = both.sort_values("step")
    found = []
    for rows in (both, both[both["step"] >= 23000]):
        values, scores, steps = (rows[c].to_numpy(dtype=np.float64) for c in ("E_read_from_authors_plot", task, "step"))
        result = correlate(values, scores, steps, np.random.default_rng(0), draws=200)
        found += [result.pearson, result.spearman]
    steps, scores = (both[c].to_numpy(dtype=np.float64) for c in ("step", task))
    found.append(correlate(steps, scores, steps, np.random.default_rng(0), draws=200).spearman)
    for value, expected in zip(found, PUBLISHED[task], strict=True):
        if expected is not None:
            assert value == pytest.approx(expected, abs=0.01)
    if task in ("lambada_openai", "piqa", "sciq", "arc_easy", "arc_challenge"):
        assert found[4] > found[1]  # training alone ranks the scores better than emergence does


def test_partial_correlation(rng: np.random.Generator) -> None:
    steps = np.arange(200.0)
    trend = steps + rng.normal(0, 30, 200)
    own = rng.normal(0, 30, 200)
    assert abs(partial(trend, steps + rng.normal(0, 30, 200), steps)) < 0.2
    assert partial(trend, trend + 0.3 * own, steps) > 0.8
    assert np.isnan(partial(steps, trend, steps))


def test_blocks_widen_the_interval_of_two_walks(rng: np.random.Generator) -> None:
    """Two independent trends: the interval must not be that of independent points (about +-0.2 at n = 100)."""
    a, b = rng.normal(size=(2, 100)).cumsum(axis=1)
    found = correlate(a, b, np.arange(100.0), rng, draws=500)
    assert found.n == 100
    assert found.spearman_interval[1] - found.spearman_interval[0] > 0.2
    assert found.pearson_interval[0] < found.pearson < found.pearson_interval[1]


def test_hill_finds_planted_exponents(rng: np.random.Generator) -> None:
    for exponent in (2.0, 3.0, 4.5):
        assert hill_exponent((1 - rng.random(4000)) ** (-1 / (exponent - 1))).exponent == pytest.approx(
            exponent, rel=0.1
        )
    weights = rng.normal(size=(30, 50))
    np.testing.assert_allclose(eigenvalues(weights), np.linalg.svd(weights)[1][::-1] ** 2, rtol=1e-4)
    assert np.isnan(hill_exponent(np.ones(5)).exponent)


def test_stable_rank(rng: np.random.Generator) -> None:
    """Of r equal directions r, whatever the scale; never above the rank."""
    directions = np.linalg.qr(rng.normal(size=(60, 60)))[0]
    assert stable_rank(eigenvalues(7 * directions[:, :12])) == pytest.approx(12, rel=1e-5)
    weights = rng.normal(0, 0.02, (40, 90)).astype(np.float32)
    expected = (np.linalg.norm(weights) / np.linalg.norm(weights, 2)) ** 2
    assert stable_rank(eigenvalues(weights)) == pytest.approx(expected, rel=1e-4)
    assert expected < 40


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model,step,task,value\na,1,b,2\n", "lacks the column metric"),
        ("model,step,task,metric,value\na,1,b,acc,0.5\na,x,b,acc,0.5\n", "line 3: step = 'x' is no number"),
        ("model,step,task,metric,value\na,1,b,acc,\n", "line 2: value = .* is no number"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(WeightsError, match=words):
        read_scores(path)
    with pytest.raises(WeightsError, match="cannot be read as a table of scores"):
        read_scores(tmp_path / "nowhere.csv")


def test_three_checkpoints_are_too_few(rng: np.random.Generator) -> None:
    with pytest.raises(WeightsError, match=r"3 checkpoints .* needs 4"):
        correlate(np.arange(3.0), np.arange(3.0), np.arange(3.0), rng)

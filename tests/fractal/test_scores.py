"""The published Pythia table, partial correlation, heavy tails, and tables that cannot be read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from tests.conftest import DATA, SHARED

from brodmann.errors import WeightsError
from brodmann.fractal.baselines import eigenvalues, hill_exponent, stable_rank
from brodmann.fractal.claims_scores import correlations, scored
from brodmann.fractal.scores import correlate, degree, fisher, inflation, lower_is_better, partial, read_scores
from brodmann.stats import Finding

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


def _finding(values: np.ndarray, scores: np.ndarray, steps: np.ndarray, sign: int = 1) -> Finding:
    """The finding alone, of correlations as the study notes them."""
    each = correlate(values, scores, steps, np.random.default_rng(0), draws=1)
    kept = {
        "score_partial": each.partial,
        "score_spearman": each.spearman,
        "score_pearson": each.pearson,
        "score_inflation": each.inflation,
    }
    variables: dict = {name: (("score", "compared"), np.full((1, 2), value)) for name, value in kept.items()}
    variables |= {"score_count": ("score", [float(each.n)]), "score_sign": ("score", [sign])}
    coords = {"score": ["task (metric)"], "compared": ["emergence", "log_step"]}
    return scored(xr.Dataset(variables, coords=coords), 0, "a source", "one hop")[0]


def _steps(count: int) -> np.ndarray:
    return np.concatenate([[0.0], 2.0 ** np.arange(count - 1)])


def _own(rng: np.random.Generator, count: int, *, walk: bool = False) -> np.ndarray:
    drawn = rng.normal(size=count)
    return drawn.cumsum() if walk else drawn


@pytest.mark.parametrize("drift", [0.2, 1.0])
@pytest.mark.parametrize("count", [8, 14, 27])
@pytest.mark.parametrize("walk", [False, True], ids=["noise", "walks"])
def test_series_that_share_the_step_alone_are_neither_supported_nor_contradicted(
    count: int, walk: bool, drift: float
) -> None:
    """Contradicted in 0.34, 0.19, 0.01 (noise) and 0.24, 0.14, 0.03 (walks) by a bootstrap of checkpoints.

    Without the inflation, 0.13 of walks of 27 checkpoints with little drift are supported and 0.09 contradicted.
    """
    rng, clock = np.random.default_rng(5), drift * np.log1p(_steps(count))
    found = [
        _finding(clock + _own(rng, count, walk=walk), clock + _own(rng, count, walk=walk), _steps(count)).verdict
        for _ in range(200)
    ]
    assert found.count("contradicted") <= 10
    assert found.count("supported") <= 10


@pytest.mark.parametrize(("count", "least"), [(8, 70), (14, 150), (27, 199)])
@pytest.mark.parametrize("sign", [1, -1], ids=["accuracy", "loss"])
def test_emergence_that_tracks_a_score_is_supported(count: int, least: int, sign: int) -> None:
    """Partial correlation about 0.88; a loss falls as emergence rises, and was contradicted in 0.9 of 200."""
    rng, clock = np.random.default_rng(5), np.log1p(_steps(count))
    found = []
    for _ in range(200):
        own = _own(rng, count)
        score = sign * (clock + own + 0.3 * _own(rng, count))
        found.append(_finding(clock + own, score, _steps(count), sign))
    assert np.nanmean([each.estimate for each in found]) > 0.8
    verdicts = [each.verdict for each in found]
    assert verdicts.count("contradicted") == 0
    assert verdicts.count("supported") >= least
    assert any("negated" in each for each in found[0].caveats) == (sign < 0)


def test_seven_checkpoints_are_not_tested(rng: np.random.Generator) -> None:
    steps = _steps(7)
    found = _finding(rng.normal(size=7), rng.normal(size=7), steps)
    assert found.untested
    assert found.p is None
    assert "7 checkpoints" in found.caveats[0]
    assert np.isnan(correlate(rng.normal(size=7), rng.normal(size=7), steps, rng, draws=2).partial_interval).all()


def test_a_metric_is_turned_by_its_name(rng: np.random.Generator) -> None:
    """Held-out nats fall while E rises: the sign is kept beside the correlations, which are with the score as it is."""
    for metric in ("nats", "loss", "val_loss", "word_perplexity", "bits_per_byte", "Error rate", "nll"):
        assert lower_is_better(metric), metric
    for metric in ("acc", "acc_norm", "f1", "exact_match", "neg_log_loss", "log-likelihood", "accuracy"):
        assert not lower_is_better(metric), metric
    steps, own = _steps(9), rng.normal(size=9)
    by_grid = (("grid", "step"), np.stack([own, own]))
    variables = dict.fromkeys(("emergence", "alpha0", "width"), by_grid)
    variables["baseline"] = (("quantity", "step"), np.log1p(steps)[None])
    coords = {"grid": ["official", "scale_free"], "step": steps, "quantity": ["log_step"]}
    rows = [("run", step, "held-out loss", "nats", -value) for step, value in zip(steps, own, strict=True)]
    table = pd.DataFrame(rows, columns=["model", "step", "task", "metric", "value"])
    result = correlations(xr.Dataset(variables, coords=coords), table, "run", rng)
    assert result["score_sign"].values.tolist() == [-1]
    assert float(result["score_partial"].sel(compared="emergence")[0]) == pytest.approx(-1.0)
    (found,) = scored(result, 0, "a source", "one hop")
    assert found.estimate == pytest.approx(1.0)
    assert found.verdict == "supported"


def test_the_closed_form_is_that_of_bonett_and_wright() -> None:
    low, high, p = fisher(0.5, 30)
    deviation = np.sqrt((1 + 0.5**2 / 2) / 27)
    assert (np.arctanh(0.5) - np.arctanh(low)) / deviation == pytest.approx(1.95996, abs=1e-4)
    assert np.arctanh(low) + np.arctanh(high) == pytest.approx(2 * np.arctanh(0.5))
    given = fisher(0.5, 31, given=1)
    assert (np.arctanh(0.5) - np.arctanh(given[0])) / deviation == pytest.approx(2.04841, abs=1e-4)  # t of 28
    assert given[2] == pytest.approx(stats.t.sf(np.arctanh(0.5) / deviation, 28))
    assert fisher(-0.5, 30)[2] == pytest.approx(1 - p)
    assert fisher(-1.0, 9)[0] == -1.0


@pytest.mark.parametrize("count", [6, 8, 12])
@pytest.mark.parametrize("pearson", [0.0, 0.7, 0.9, 0.95])
def test_the_closed_form_covers(count: int, pearson: float) -> None:
    """At n = 6, 0.76 and 0.85 of the intervals covered true correlations of 0.95 and 0.89 when 1 was taken for 1."""
    rng, truth = np.random.default_rng(1), 6 / np.pi * np.arcsin(pearson / 2)
    drawn = rng.multivariate_normal([0, 0], [[1, pearson], [pearson, 1]], size=(1000, count)).argsort(1).argsort(1)
    values = [float(np.corrcoef(each.T)[0, 1]) for each in drawn]
    assert np.mean([low <= truth <= high for low, high, _ in (fisher(value, count) for value in values)]) >= 0.93


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


@pytest.mark.parametrize("steps", [2.0 ** np.arange(14), np.array([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]), None])
def test_curves_of_the_step_alone_are_not_tied(rng: np.random.Generator, steps: np.ndarray | None) -> None:
    """Independent curves that saturate at onsets of their own, with little noise, on three schedules."""
    if steps is None:
        steps = np.array([0, *2.0 ** np.arange(10), *np.arange(1000, 160_000, 10_000)])
    clock = np.log1p(steps)
    found = []
    for _ in range(300):
        curves = []
        for _ in range(2):
            onset, slope = rng.uniform(0.2, 0.8) * clock[-1], rng.uniform(0.5, 2.0)
            curves.append(1 / (1 + np.exp(-slope * (clock - onset))) + rng.normal(0, 0.02, len(clock)))
        value, n = partial(*curves, clock), len(clock)
        found.append(fisher(value, n, given=degree(n), inflation=inflation(*curves, clock)))
    low, high = np.array([each[:2] for each in found]).T
    known = np.isfinite(low)
    assert np.mean(low[known] > 0) <= 0.10
    assert np.mean(high[known] < 0) <= 0.06

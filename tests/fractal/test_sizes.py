"""Models of several sizes: each as it is alone; an order that noise of the same scale or size gives is no finding."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tests.fractal.written import noise, write

from brodmann.errors import SettingsError
from brodmann.fractal import emergence, nulls, study
from brodmann.fractal.figures_sizes import chapter
from brodmann.fractal.grids import whole
from brodmann.fractal.network import LayerCounts, measure
from brodmann.fractal.sizes_study import findings
from brodmann.fractal.sizes_study import study as compare
from brodmann.models.shards import open_checkpoint
from brodmann.settings import FractalSettings
from brodmann.stats import Finding

QUICK = FractalSettings(fractal_nulls=2, initialisations=2, fractal_bootstraps=40, tails=False)


def test_order_of_planted_models(tmp_path: Path, rng: np.random.Generator) -> None:
    """Six models of normal weights that grow: emergence and a score follow the scale alone, so nothing is found."""
    factors = (1.0, 1.3, 1.7, 2.2, 2.8, 3.5)
    opened = []
    for k, factor in enumerate(factors):
        weights = {name: factor * values for name, values in noise(rng, 0.07).items()}
        opened.append(open_checkpoint(write(tmp_path / f"model-{k}", weights, initializer_range=0.07)))
    rows = [(f"model-{k}", step, "task", "acc", value) for k in range(6) for step, value in ((1, 9.0), (2, 0.1 * k))]
    scores = pd.DataFrame(rows, columns=["model", "step", "task", "metric", "value"])
    result = compare(opened, settings=QUICK, scores=scores)
    assert result["model"].values.tolist() == [f"model-{k}" for k in range(6)]
    assert result["weights"].values.tolist() == [196_608] * 6
    emergence = result["emergence"].sel(grid="official").values
    assert np.all(np.diff(emergence) > 0)
    alone = study([opened[3]], settings=QUICK)
    assert emergence[3] == float(alone["emergence"].sel(grid="official").isel(step=0))
    np.testing.assert_allclose(result["score"].values[0], 0.1 * np.arange(6))  # at the last step
    found = {each["name"]: Finding.from_dict(each) for each in json.loads(result.attrs["findings"])}
    ranked = found["emergence_ranks_models_task__acc"]
    assert ranked.untested
    assert ranked.caveats[0] == "not tested: 6 models, a correlation given the size needs 8"
    said = "with a better score the degree itself has a Spearman correlation of 1, that of normal noise"
    assert any(each.startswith(said) for each in ranked.caveats)
    sized = found["emergence_rises_with_size"]
    assert not sized.tested
    assert "do not differ" in sized.sentence()
    drawn = chapter(result, result)
    assert [panel.name for panel in drawn.panels] == ["fractal-size", "fractal-size-scores"]
    figure = drawn.panels[0].figure
    dots = next(trace for trace in figure["data"] if trace["mode"] == "markers" and not trace["name"])
    assert dots["y"] == emergence.tolist()
    np.testing.assert_allclose(dots["x"], np.log10(196_608))
    noises = next(trace for trace in figure["data"] if trace["name"] == "noise of the same scale")
    assert noises["mode"] == "markers"  # models are no course: nothing joins them
    assert noises["y"] == result["null_emergence"].sel(grid="official", null="matched_scale").values.tolist()
    across = figure["layout"]["xaxis"]
    assert len(across["tickvals"]) >= 2
    assert all(across["range"][0] < at < across["range"][1] for at in across["tickvals"])
    names = {n["text"]: n["y"] for n in figure["layout"]["annotations"] if n["xref"] == "x" and "name" not in n}
    tops = result["emergence_interval"].sel(grid="official").values[:, 1]
    assert all(names[name] > top for name, top in zip(result["model"].values, tops, strict=True))


def _family(
    emergence: np.ndarray,
    noise: np.ndarray,
    weights: np.ndarray,
    score: np.ndarray | None = None,
    task: str = "t (acc)",
) -> dict[str, Finding]:
    """Findings on given numbers."""
    variables: dict = {
        "emergence": (("grid", "model"), emergence[None]), "weights": ("model", weights),
        "null_emergence": (("grid", "null", "model"), noise[None, None]),
    }  # fmt: skip
    coords: dict = {"grid": ["official"], "null": ["matched_scale"]}
    if score is not None:
        variables["score"], coords["task"] = (("task", "model"), score[None]), [task]
    return {each.name: each for each in findings(xr.Dataset(variables, coords=coords), 0)}


def _sizes(count: int) -> np.ndarray:
    return 10.0 ** np.linspace(6, 10, count)


def _point(shape: tuple[int, int], deviation: float, rng: np.random.Generator) -> emergence.Point:
    """Exponents of two layers of normal weights."""
    chances = nulls.code_probabilities(whole(), [deviation], [1.0])
    layers = [LayerCounts(str(k), str(k), 0, nulls.gaussian_counts(*shape, chances, rng)) for k in range(2)]
    found = measure(layers, whole(), np.array([-3.0, 0.0, 3.0])).whole
    return emergence.Point(found.alpha0, found.width)


def _degree(now: emergence.Point, first: emergence.Point) -> float:
    return float(emergence.degree(now.alpha0, now.width, first.alpha0, first.width))


@pytest.mark.slow
@pytest.mark.parametrize("count", [6, 9])
def test_families_of_scaled_normal_weights_are_not_in_order(count: int, rng: np.random.Generator) -> None:
    """Larger models have larger weights here and nothing else: E is ordered by size, and noise's as well."""
    verdicts, orders = [], []
    for _ in range(10):
        ours, theirs = np.empty(count), np.empty(count)
        for k in range(count):
            shape, deviation = (64 + 8 * k, 256 + 32 * k), 0.07
            first, grown = _point(shape, deviation, rng), deviation * np.linspace(1.2, 3.5, count)[k]
            ours[k] = _degree(_point(shape, grown, rng), first)
            theirs[k] = np.mean([_degree(_point(shape, grown, rng), first) for _ in range(3)])
        found = _family(ours, theirs, _sizes(count), np.arange(count) / 10)
        verdicts += [each.verdict for each in found.values()]
        orders.append(np.corrcoef(ours.argsort().argsort(), np.arange(count))[0, 1])
    assert np.mean(orders) > 0.6
    assert verdicts.count("supported") <= 1


@pytest.mark.parametrize("count", [6, 8, 9, 12])
@pytest.mark.parametrize("task", ["t (acc)", "t (perplexity)"])
def test_emergence_and_score_that_share_size_alone(count: int, task: str) -> None:
    """Both rise with size, and were supported in 300 of 300 sets of six."""
    rng, size, sign = np.random.default_rng(3), np.log10(_sizes(count)), -1 if "perplexity" in task else 1
    verdicts = []
    for _ in range(200):
        ours, score = size + rng.normal(0, 0.3, count), sign * (size + rng.normal(0, 0.3, count))
        found = _family(ours, np.full(count, 0.1), _sizes(count), score, task)
        verdicts.append(found[f"emergence_ranks_models_t__{task[3:-1]}"].verdict)
    assert verdicts.count("supported") <= 10
    assert verdicts.count("contradicted") <= 10


def test_noise_in_the_same_order_takes_the_support() -> None:
    """Emergence in the order of size, below noise that is in the same order; excess at random."""
    rng = np.random.default_rng(3)
    verdicts = []
    for _ in range(200):
        noise = np.linspace(0.1, 1.0, 9)
        found = _family(noise + rng.normal(0, 0.1 * noise), noise, _sizes(9), np.linspace(0.2, 0.8, 9))
        verdicts.append([each.verdict for each in found.values()])
    for each in np.array(verdicts).T:
        assert (each == "supported").sum() <= 10
        assert (each == "contradicted").sum() <= 10


@pytest.mark.parametrize("metric", ["acc", "loss"])
def test_planted_excess_is_found(metric: str) -> None:
    """What nine models have beyond noise rises with size, and with the score beyond size."""
    rng, size = np.random.default_rng(3), np.linspace(0, 1, 9)
    sized, ranked = 0, 0
    for _ in range(50):
        noise, own = rng.uniform(0.2, 0.6, 9), rng.normal(0, 1, 9)
        found = _family(noise + size + rng.normal(0, 0.05, 9), noise, _sizes(9))
        sized += found["emergence_rises_with_size"].verdict == "supported"
        score = (size + own + rng.normal(0, 0.1, 9)) * (-1 if metric == "loss" else 1)
        found = _family(noise + size + own, noise, _sizes(9), score, f"t ({metric})")
        ranked += found[f"emergence_ranks_models_t__{metric}"].verdict == "supported"
    assert sized == 50
    assert ranked >= 48


@pytest.mark.parametrize(("count", "bounded"), [(4, False), (5, False), (6, True), (9, True)])
def test_a_perfect_order_has_an_honest_interval(count: int, bounded: bool) -> None:
    """It was 0.99988 to 1 at four models, and the page spoke of a bootstrap where there is none."""
    found = _family(np.arange(count) / 10, np.zeros(count), _sizes(count))["emergence_rises_with_size"]
    assert found.estimate == pytest.approx(1.0)
    assert found.untested == (not bounded)
    assert not any("bootstrap" in each for each in found.caveats)
    if bounded:
        assert found.interval[0] < 0.9
        assert found.interval[1] == pytest.approx(1.0)
        assert found.verdict == "supported"
    else:
        assert found.caveats[0] == f"not tested: {count} models, an interval needs 6"


def test_one_model_is_no_family(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(SettingsError, match="at least two models"):
        compare([open_checkpoint(write(tmp_path / "one", noise(rng, 0.02)))], settings=QUICK)

"""Models of several sizes: each as it is alone, ordered by size and by a planted score."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.fractal.written import noise, write

from brodmann.errors import SettingsError
from brodmann.fractal import study
from brodmann.fractal.figures_sizes import chapter
from brodmann.fractal.sizes_study import study as compare
from brodmann.models.shards import open_checkpoint
from brodmann.settings import FractalSettings
from brodmann.stats import Finding

QUICK = FractalSettings(fractal_nulls=2, initialisations=2, fractal_bootstraps=40, tails=False)


def test_order_of_planted_models(tmp_path: Path, rng: np.random.Generator) -> None:
    """Six models whose weights grow; their emergence grows with them, and a score that follows it is ranked."""
    factors = (1.0, 1.3, 1.7, 2.2, 2.8, 3.5)
    opened = []
    for k, factor in enumerate(factors):
        weights = {name: factor * values for name, values in noise(rng, 0.07).items()}
        opened.append(open_checkpoint(write(tmp_path / f"model-{k}", weights)))
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
    assert ranked.estimate == pytest.approx(1.0)
    assert ranked.p == pytest.approx(2 / 720)  # exact over 720 orders, Holm for two
    assert ranked.verdict == "supported"
    sized = found["emergence_rises_with_size"]
    assert sized.verdict == "inconclusive"  # all are of one size
    drawn = chapter(result, result)
    assert [panel.name for panel in drawn.panels] == ["fractal-size", "fractal-size-scores"]
    dots = next(trace for trace in drawn.panels[0].figure["data"] if trace["mode"] == "markers")
    assert dots["y"] == emergence.tolist()
    np.testing.assert_allclose(dots["x"], np.log10(196_608))


def test_one_model_is_no_family(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(SettingsError, match="at least two models"):
        compare([open_checkpoint(write(tmp_path / "one", noise(rng, 0.02)))], settings=QUICK)

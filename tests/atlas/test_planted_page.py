"""What the page says about planted recordings, from the study to the words a reader sees."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from brodmann.atlas.report import PageData, build_page
from brodmann.settings import SynergySettings
from brodmann.stats import Finding
from brodmann.synergy.figures import chapter
from brodmann.synergy.study import study

QUICK = SynergySettings(bootstraps=100, surrogates=4, graph_nulls=6)


def _module(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


planted = _module(Path(__file__).parents[1] / "synergy" / "planted_cases.py")
synthetic = _module(Path(__file__).with_name("synthetic.py"))


def _page(recording, settings) -> str:
    prompts = recording.sizes["prompt"]
    texts = {name: ("prompt", [f"{name} {k}" for k in range(prompts)]) for name in ("prompt_text", "answer")}
    recording = recording.assign_coords(
        **texts, category=("prompt", ["c"] * prompts), kind=("unit", ["head"] * recording.sizes["unit"]),
        stack=("unit", ["decoder"] * recording.sizes["unit"]),
    )  # fmt: skip
    recording = recording.assign(length=("prompt", np.full(prompts, recording.sizes["token"])))
    recording.attrs |= synthetic.recording(4, 2, prompts=2).attrs
    result = study(recording, settings=settings)
    result.attrs["provenance"] = json.dumps(synthetic.provenance())
    found = tuple(Finding.from_dict(f) for f in json.loads(result.attrs["findings"]))
    data = PageData(
        label="planted", recording=recording, chapters=(chapter(result, recording),), results={"synergy": result},
        findings=found, provenance=synthetic.provenance(), settings="seed: 0", command="", skipped={},
    )  # fmt: skip
    return build_page(data).html


def test_a_hump_of_memory_is_called_explained_by_autocorrelation_on_the_page(rng):
    html = _page(planted.memory_only(rng), QUICK)
    assert "The inverted U of synergy is explained by autocorrelation" in html
    assert html.count("explained by autocorrelation") >= 2  # in the summary and in the finding's card


@pytest.mark.parametrize("redundancy", ["mmi", "ccs"])
def test_planted_synergy_is_not_explained_away_on_the_page(rng, redundancy):
    html = _page(planted.coupled(rng), dataclasses.replace(QUICK, redundancy=redundancy))
    assert "explained by autocorrelation" not in html
    assert "early 0 to 3, middle 4 to 7, late 8 to 11" in html

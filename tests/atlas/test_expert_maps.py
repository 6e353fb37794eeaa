"""Maps of experts: every family with routed experts, and what becomes of experts that the router hardly chooses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import brodmann as bd
from brodmann.atlas.atlas import Atlas
from brodmann.errors import ModelError

MOE = ("deepseek_v2", "deepseek_v3", "gpt_oss", "mixtral", "olmoe", "qwen3_moe")
SMALL = {"new_tokens": 24, "batch_size": 6, "null_models": 0, "surrogates": 2, "bootstraps": 50, "graph_nulls": 2}
TEXTS = ["Alice was beginning", "The Queen said", "There was a little", "She went on", "A law is", "Two and three"]


def mapped(model: str, out: Path, **more: Any) -> Atlas:
    out.mkdir(exist_ok=True)
    prompts = out / "prompts.json"
    prompts.write_text(json.dumps(TEXTS))
    return bd.map(model, out=out / "atlas", units="experts", **(SMALL | {"prompts": str(prompts)} | more))


def check(atlas: Atlas) -> None:
    recording, result = atlas.recording, atlas.results["synergy"]
    chosen = recording["selected"]
    assert recording.attrs["signal"] == "expert_norm"
    assert (recording["activity"].values[~chosen.values] == 0).all()
    assert result["recorded"].values.tolist() == recording["unit"].values.tolist()
    np.testing.assert_allclose(result["recorded_share"], chosen.mean(("prompt", "token")), rtol=1e-12)
    np.testing.assert_allclose(atlas.units["active_share"], chosen.mean(("prompt", "token")), rtol=1e-12)
    ranked = result["ranked"].values
    assert result.attrs["left_out"] == int((~ranked).sum())
    # the rule, once more and slowly
    for unit, kept in zip(recording["unit"].values, ranked, strict=True):
        counts = chosen.sel(unit=unit).sum("token").values
        if (counts < 5).sum() > len(TEXTS) // 2:
            assert not kept
        if (counts == recording.sizes["token"]).all():
            assert kept
    page = atlas.report.read_text(encoding="utf-8")
    assert f"{int(recording.sizes['unit']):,} experts" in page
    if ranked.sum() >= 3:
        assert result["unit"].values.tolist() == recording["unit"].values[ranked].tolist()
        assert np.isfinite(result["rank"].values).all()
        assert np.isfinite(result["excess_synergy"].values).all()
        assert len(atlas.findings) == 5
        missing = atlas.units["rank.rank_of_difference"].isna().values
        np.testing.assert_array_equal(missing, ~ranked)
        assert 'data-name="experts"' in page
        assert 'data-name="experts-use"' in page


@pytest.mark.parametrize("family", MOE)
def test_every_family_with_experts_is_mapped(family: str, tmp_path: Path) -> None:
    # two controls for one of them: random weights route in their own way
    atlas = mapped(f"random:{family}", tmp_path, null_models=2 if family == "deepseek_v2" else 0)
    check(atlas)
    if family == "deepseek_v2":
        assert np.isfinite(atlas.results["synergy"]["random_profile"].values).all()


def test_where_too_little_was_heard_nothing_is_ranked_and_the_report_says_so(tmp_path: Path) -> None:
    atlas = mapped("random:mixtral", tmp_path, min_effective=10**6, null_models=2)
    result = atlas.results["synergy"]
    assert "rank" not in result
    assert result.attrs["left_out"] == 24
    (finding,) = atlas.findings
    assert finding.verdict == "inconclusive"
    assert np.isnan(finding.estimate)
    assert "only 0 of 24 units were active often enough" in finding.caveats[0]
    page = atlas.report.read_text(encoding="utf-8")
    assert "No unit is ranked: only 0 of 24 units" in page
    assert 'data-name="experts"' in page
    check(atlas)


@pytest.mark.slow
def test_a_trained_mixture_of_experts_is_mapped(tmp_path: Path) -> None:
    try:
        atlas = mapped("nano-moe", tmp_path, new_tokens=60, null_models=2)
    except ModelError:
        pytest.skip("nano-moe is not built")
    check(atlas)
    assert not atlas.manifest["provenance"]["randomly_initialised"]
    assert atlas.results["synergy"]["ranked"].sum() >= 8

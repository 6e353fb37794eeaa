"""The main job on small real models: what is made, what is reused, what is refused."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import brodmann as bd
from brodmann.atlas.atlas import Atlas, default_out, override
from brodmann.atlas.engines import LocalEngine, Tick
from brodmann.errors import SettingsError, StoreError
from brodmann.models.rules import RULES
from brodmann.plain import from_yaml
from brodmann.settings import MapSettings, RecordSettings, SynergySettings

TEXTS = ["Alice was beginning to get very tired", "The Queen said to the", "There was a little", "She went on and on"]
SETTINGS = MapSettings(
    record=RecordSettings(new_tokens=12, batch_size=2),
    synergy=SynergySettings(bootstraps=50, surrogates=3, null_models=2, graph_nulls=3),
)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("prompts") / "p.json"
    path.write_text(json.dumps([{"prompt": text, "category": "ab"[n % 2]} for n, text in enumerate(TEXTS)]))
    return str(path)


@pytest.fixture(scope="module")
def settings(prompts: str) -> MapSettings:
    return dataclasses.replace(SETTINGS, record=dataclasses.replace(SETTINGS.record, prompts=prompts))


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory, settings: MapSettings) -> Atlas:
    return bd.map("glass-en", out=tmp_path_factory.mktemp("atlases") / "glass", settings=settings)


class Listener:
    """Remembers which tasks ran."""

    def __init__(self) -> None:
        self.titles: list[str] = []

    def __call__(self, tick: Tick) -> None:
        if not self.titles or self.titles[-1] != tick.title:
            self.titles.append(tick.title)


def again(atlas: Atlas, settings: MapSettings, **more: Any) -> list[str]:
    heard = Listener()
    bd.map("glass-en", out=atlas.path, settings=settings, tell=heard, **more)
    return heard.titles


def test_what_is_there(atlas: Atlas) -> None:
    names = {path.name for path in atlas.path.iterdir()}
    assert {"atlas.json", "settings.yaml", "report.html", "plate.svg", "recordings", "results", "tables"} <= names
    assert len(list((atlas.path / "recordings").iterdir())) == 3
    assert {path.name for path in (atlas.path / "tables").iterdir()} == {
        f"{name}.parquet" for name in ("units", "findings", "profile", "pairs")
    }
    assert not (atlas.path / ".tmp").exists()
    assert bd.open_atlas(atlas.path) == atlas
    assert atlas.label == "glass-en"


def test_recording_is_what_record_gives(atlas: Atlas, prompts: str) -> None:
    alone = bd.record("glass-en", prompts=prompts, new_tokens=12, batch_size=2)
    np.testing.assert_array_equal(atlas.recording["activity"], alone["activity"])
    assert list(atlas.recording["prompt_text"].to_numpy()) == TEXTS
    assert atlas.recording.attrs["recording_key"] == alone.attrs["recording_key"]


def test_controls_are_random_models_on_the_same_text(atlas: Atlas) -> None:
    from brodmann.recordings import load

    controls = [load(atlas.path / path) for path in atlas.manifest["controls"]]
    seeds = {json.loads(control.attrs["provenance"])["seed"] for control in controls}
    assert len(controls) == len(seeds) == 2
    for control in controls:
        assert control.attrs["replay_of"] == atlas.recording.attrs["recording_key"]
        np.testing.assert_array_equal(control["token_id"], atlas.recording["token_id"])
        assert np.abs(control["activity"] - atlas.recording["activity"]).max() > 0.01


def test_result_is_what_the_study_gives(atlas: Atlas, settings: MapSettings) -> None:
    from brodmann.recordings import load
    from brodmann.synergy.study import study

    kept = atlas.results["synergy"]
    controls = [load(atlas.path / path) for path in atlas.manifest["controls"]]
    alone = study(atlas.recording, settings=settings.synergy, controls=controls, seed=int(kept.attrs["seed"]))
    for name in ("synergy", "redundancy", "rank", "profile", "random_profile"):
        np.testing.assert_array_equal(kept[name], alone[name])
    assert [finding.name for finding in atlas.findings] == [f["name"] for f in json.loads(alone.attrs["findings"])]
    assert len(atlas.findings) > 0


def test_tables_agree_with_results(atlas: Atlas) -> None:
    result = atlas.results["synergy"]
    assert list(atlas.units["unit"]) == list(result["unit"].to_numpy())
    np.testing.assert_array_equal(atlas.units["node_synergy"], result["node_synergy"])
    pairs = pd.read_parquet(atlas.path / "tables" / "pairs.parquet")
    assert len(pairs) == 16 * 15 // 2
    found = pd.read_parquet(atlas.path / "tables" / "findings.parquet")
    assert list(found["claim"]) == [finding.claim for finding in atlas.findings]


def test_the_same_call_does_nothing(atlas: Atlas, settings: MapSettings) -> None:
    before = {path: path.stat().st_mtime_ns for path in atlas.path.rglob("*") if path.is_file()}
    assert again(atlas, settings) == []
    assert {path: path.stat().st_mtime_ns for path in atlas.path.rglob("*") if path.is_file()} == before


def test_settings_file_reproduces_the_settings(atlas: Atlas, settings: MapSettings) -> None:
    assert from_yaml(MapSettings, atlas.path / "settings.yaml") == settings
    beside = atlas.path / atlas.manifest["results"]["synergy"].replace(".zarr", ".yaml")
    assert from_yaml(MapSettings, beside) == settings


def test_other_study_settings_reuse_the_recordings(atlas: Atlas, settings: MapSettings) -> None:
    changed = override(settings, {"surrogates": 4})
    old = atlas.manifest["results"]["synergy"]
    try:
        ground = "The synergistic core, without random models"
        assert again(atlas, changed) == [ground, "The synergistic core", "tables", "report"]
        new = atlas.manifest["results"]["synergy"]
        assert new != old
        assert (atlas.path / old).exists()
        assert (atlas.path / new).exists()
    finally:
        # back: the earlier result is found again, only the page is made anew
        page = atlas.report.read_text(encoding="utf-8")
        assert again(atlas, settings) == ["tables", "report"]
    assert atlas.manifest["results"]["synergy"] == old
    assert atlas.report.read_text(encoding="utf-8") != page
    assert again(atlas, settings) == []


def test_the_second_process_changes_no_bit(atlas: Atlas, settings: MapSettings, tmp_path: Path) -> None:
    heard = Listener()
    engine = LocalEngine(beside_from=0.0)
    other = bd.map("glass-en", out=tmp_path / "beside", settings=settings, engine=engine, tell=heard)
    if (os.cpu_count() or 1) > 1:
        assert "The synergistic core, without random models" not in heard.titles
        assert other.manifest["seconds_beside"]["synergy: pairs"] > 0
        assert "waiting for the second process" in other.seconds
    assert atlas.manifest["seconds_beside"] == {}
    one, two = (each.results["synergy"] for each in (atlas, other))
    xr.testing.assert_identical(one.drop_attrs(), two.drop_attrs())
    assert one.attrs["findings"] == two.attrs["findings"]
    assert not list(other.path.glob("results/*.ground.zarr"))


def test_more_random_models_leave_the_surrogates_as_they_are(
    atlas: Atlas, settings: MapSettings, tmp_path: Path
) -> None:
    fewer = bd.map("glass-en", out=tmp_path / "a", settings=override(settings, {"null_models": 0}))
    one, two = (each.results["synergy"] for each in (atlas, fewer))
    assert one.attrs["seed"] == two.attrs["seed"]
    np.testing.assert_array_equal(one["null_synergy"].values, two["null_synergy"].values)


def test_wall_time_is_divided_into_stages(atlas: Atlas) -> None:
    seconds, share = atlas.seconds, atlas.manifest["seconds_share"]
    assert {"import", "load", "forward", "store", "random weights", "synergy", "tables", "report"} <= set(seconds)
    assert min(seconds.values()) >= 0
    assert share["forward"] == pytest.approx(seconds["forward"] / sum(seconds.values()), abs=1e-3)
    assert share["forward"] + share["other"] == pytest.approx(1)


def test_log_shows_each_task_once(atlas: Atlas) -> None:
    events = [json.loads(line) for line in (atlas.path / "log.jsonl").read_text().splitlines()]
    finished = [event["task"] for event in events if event["event"] == "finished"]
    records = [task for task in finished if task.startswith(("record-", "replay-"))]
    assert len(records) == len(set(records)) == 6


def test_one_atlas_holds_one_model(atlas: Atlas, settings: MapSettings) -> None:
    with pytest.raises(StoreError, match="is the atlas of glass-en, not of glass-pt; choose another --out"):
        bd.map("glass-pt", out=atlas.path, settings=settings)


def test_record_first_then_map(tmp_path: Path, settings: MapSettings) -> None:
    heard = Listener()
    recorded = bd.map("glass-en", out=tmp_path / "a", settings=settings, studies=[], page=False, tell=heard)
    assert heard.titles == ["open the model", "record batch 1 of 2", "record batch 2 of 2"]
    assert len(recorded.results) == 0
    assert not recorded.report.exists()
    titles = again(recorded, settings)
    assert not any("record batch" in title for title in titles)
    assert titles[-3:] == ["The synergistic core", "tables", "report"]
    # a smaller command afterwards takes nothing away
    again(recorded, settings, studies=[], page=False)
    assert list(recorded.results) == ["synergy"]


@pytest.mark.parametrize(("model", "batches"), [("random:llama", 2), ("minilm", 2), ("random:t5", 2)])
def test_other_kinds_of_models(tmp_path: Path, settings: MapSettings, model: str, batches: int) -> None:
    atlas = bd.map(model, out=tmp_path / "a", settings=override(settings, {"null_models": 1}))
    assert atlas.report.exists()
    assert ("randomly initialised" in atlas.label) == model.startswith("random:")
    assert set(atlas.results) | set(atlas.skipped) == {"synergy"}
    assert isinstance(atlas.recording, xr.Dataset)


def test_an_opened_subject_is_taken(tmp_path: Path, settings: MapSettings, atlas: Atlas) -> None:
    subject = bd.load("glass-en")
    made = bd.map(subject, out=tmp_path / "a", settings=settings, studies=[], page=False)
    assert made.recording.attrs["recording_key"] == atlas.recording.attrs["recording_key"]


def test_short_names_of_settings() -> None:
    changed = override(MapSettings(), {"new_tokens": 7, "tau": 2, "dtype": "float64", "seed": 5})
    assert (changed.record.new_tokens, changed.synergy.tau, changed.load.dtype, changed.seed) == (7, 2, "float64", 5)
    assert override(MapSettings(), {"synergy": SynergySettings(tau=3)}).synergy.tau == 3
    with pytest.raises(SettingsError, match="there is no setting 'tokens'"):
        override(MapSettings(), {"tokens": 7})


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("smollm2-135m", "atlas-smollm2-135m"),
        ("Org/Model-7B_v1.5", "atlas-org-model-7b_v1.5"),
        ("random:gpt2", "atlas-random-gpt2"),
        ("some/where/Model.Q4.GGUF", "atlas-some-where-model.q4"),
        ("../..", "atlas-model"),
    ],
)
def test_default_folder(model: str, folder: str) -> None:
    assert default_out(model, MapSettings()) == Path(folder)
    experts = MapSettings(record=RecordSettings(signal="expert_norm"))
    assert default_out(model, experts) == Path(folder + "-experts")  # beside the heads, not over them


def test_a_mended_spec_or_rule_is_recorded_anew(
    tmp_path: Path, settings: MapSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("neurons: mlp.up_proj\n")
    wanted = override(settings, {"signal": "neuron", "new_tokens": 3, "spec": str(spec)})

    def made(settings: MapSettings) -> Atlas:
        return bd.map("random:llama", out=tmp_path / "a", settings=settings, studies=[], page=False)

    before = made(wanted)
    path, values = before.manifest["recording"], before.recording["activity"].to_numpy()
    spec.write_text("neurons: self_attn.q_proj\n")
    after = made(wanted)
    assert list(after.recording["unit"].to_numpy())[:2] == ["L0N0", "L0N1"]
    assert after.manifest["recording"] != path
    assert np.abs(after.recording["activity"].to_numpy() - values).max() > 0.1
    # the same with the table of rules itself, which finds again what the first spec read
    plain = override(wanted, {"spec": None})
    usual = made(plain).manifest["recording"]
    rule = RULES["llama"]
    mended = dataclasses.replace(rule, stacks=(dataclasses.replace(rule.stacks[0], neurons="mlp.up_proj"),))
    monkeypatch.setitem(RULES, "llama", mended)
    assert usual != path
    assert made(plain).manifest["recording"] == path


def test_a_subject_changed_by_hand_is_not_taken_for_its_name(tmp_path: Path, settings: MapSettings) -> None:
    subject = bd.load("random:llama")
    wanted = override(settings, {"new_tokens": 3})

    def made(model: Any) -> str:
        atlas = bd.map(model, out=tmp_path / "a", settings=wanted, studies=[], page=False)
        return str(atlas.manifest["recording"])

    named = made("random:llama")
    assert made(subject) == named
    with torch.no_grad():
        subject.model.model.layers[0].self_attn.o_proj.weight.mul_(2)
    changed = made(subject)
    assert changed != named
    assert made("random:llama") == named

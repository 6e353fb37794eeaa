"""A family of checkpoints: resumed with the same bits, read from its names, drawn on one page."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from safetensors.torch import load_file, save_file

from brodmann.atlas import draw
from brodmann.atlas.atlas import map as map_model
from brodmann.atlas.atlas import open_atlas
from brodmann.atlas.track import find_checkpoints, step_of, track
from brodmann.cli import main
from brodmann.errors import Incomplete, SettingsError, StoreError
from brodmann.models import load
from brodmann.plain import to_yaml
from brodmann.settings import MapSettings, RecordSettings, SynergySettings, TrackSettings

QUICK = MapSettings(
    record=RecordSettings(prompts="", new_tokens=24, batch_size=3),
    synergy=SynergySettings(bootstraps=40, surrogates=2, null_models=2, graph_nulls=2),
    track=TrackSettings(
        growth_null_models=2, growth_surrogates=2, growth_bootstraps=40, induction_sequences=2, induction_tokens=8
    ),
)
TEXTS = ["Alice was beginning to get very tired", "The Queen said to the", "There was a little door",
         "She went on and on", "Down, down, down", "What a curious feeling"]  # fmt: skip


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    """Seven checkpoints between two random models: nothing is trained, but weights change from step to step."""
    root = tmp_path_factory.mktemp("series")
    first, last = load("random:gpt_neox", seed=0), load("random:gpt_neox", seed=1)
    last.model.save_pretrained(root / "other")
    other = load_file(root / "other" / "model.safetensors")
    for number, step in enumerate((0, 1, 2, 4, 8, 16)):
        folder = root / f"checkpoint-{step}"
        first.model.save_pretrained(folder)
        first.tokenizer.save_pretrained(folder)
        weights = load_file(folder / "model.safetensors")
        share = number / 5
        mixed = {name: (1 - share) * value + share * other[name] for name, value in weights.items()}
        save_file(mixed, folder / "model.safetensors", metadata={"format": "pt"})
    (root / "texts.txt").write_text("\n\n".join(TEXTS))
    return root


def _settings(series: Path) -> MapSettings:
    from dataclasses import replace

    return replace(QUICK, record=replace(QUICK.record, prompts=str(series / "texts.txt"), mode="generate"))


def _run(series: Path, out: Path):
    folders = sorted(series.glob("checkpoint-*"))
    return track(checkpoints=folders, out=out, settings=_settings(series))


@pytest.fixture(scope="module")
def family(series, tmp_path_factory):
    return _run(series, tmp_path_factory.mktemp("out") / "family")


def _bits(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "/c/" in path.as_posix() and ".zarr/" in path.as_posix()
    }


def test_all_checkpoints_follow_the_text_of_the_last(family):
    names = [member["name"] for member in family.manifest["members"]]
    assert names == [f"checkpoint-{step}" for step in (0, 1, 2, 4, 8, 16)]
    members = [open_atlas(family.path / "members" / name) for name in names]
    said = [member.recording["token_id"].values for member in members]
    assert all((one == said[-1]).all() for one in said)
    key = members[-1].recording.attrs["recording_key"]
    assert all(member.recording.attrs["replay_of"] == key for member in members[:-1])
    assert len({member.recording.attrs["recording_key"] for member in members}) == 6
    # random weights once, for the last one
    assert [len(member.manifest["controls"]) for member in members] == [0] * 5 + [2]
    # a member is an ordinary atlas
    assert set(members[2].results) == {"synergy", "stage"}


def test_the_family_is_an_atlas_with_growth(family):
    growth = family.results["growth"]
    assert growth["step"].values.tolist() == [0, 1, 2, 4, 8, 16]
    assert growth.sizes["seed"] == 2
    names = [finding.name for finding in family.findings_of("growth")]
    assert names == ["contrast_grew", "emergence", "onset", "contrast_grew_ccs", "tied_to_loss", "tied_to_induction",
                     "growth_beyond_memory"]  # fmt: skip
    # random weights all along: nothing emerges
    verdicts = {finding.name: finding.verdict for finding in family.findings}
    assert verdicts["emergence"] != "supported"
    assert growth.attrs["emerged"] == ""
    assert (np.abs(growth["loss"].values - np.log(261)) < 0.5).all()
    page = family.report.read_text(encoding="utf-8")
    for panel in ("growth-course", "growth-film", "growth-carpet", "growth-forms"):
        assert f'id="figure-{panel}"' in page
    assert 'max="5" value="5"' in page
    assert page.count('class="frame" data-frame="0"') == 2  # a wide and a narrow drawing
    assert "plotly.min.js" not in page
    assert family.manifest["complete"]


def test_again_does_nothing_and_killed_anywhere_gives_the_same_bits(family, series, tmp_path, monkeypatch):
    ticks: list[str] = []
    track(
        checkpoints=sorted(series.glob("checkpoint-*")), out=family.path, settings=_settings(series),
        tell=lambda tick: ticks.append(tick.title),
    )  # fmt: skip
    assert ticks == []
    out = tmp_path / "battered"
    for stop in ("checkpoint-16: record batch 2", "checkpoint-1: A stage", "findings"):

        def stop_there(tick, stop=stop):
            if stop in tick.title:
                raise KeyboardInterrupt

        with pytest.raises(Incomplete, match="run the same command again"):
            track(
                checkpoints=sorted(series.glob("checkpoint-*")), out=out, settings=_settings(series), tell=stop_there
            )  # fmt: skip
        assert not json.loads((out / "atlas.json").read_text())["complete"]
    again = _run(series, out)
    assert _bits(out) == _bits(family.path)
    one, other = (xr.open_zarr(a.path / a.manifest["results"]["growth"], consolidated=False) for a in (family, again))
    assert one.attrs["findings"] == other.attrs["findings"]


def _command(series: Path, out: Path, *more: str) -> list[str]:
    folders = [str(path) for path in sorted(series.glob("checkpoint-*"))[:3]]
    return ["track", "--checkpoints", *folders, "--settings", str(series / "quick.yaml"), "--out", str(out), *more]


def _markers(root: Path) -> list[Path]:
    return [*root.glob("done/*.json"), *root.glob("members/*/done/*.json")]


@pytest.mark.slow
def test_killed_with_sigkill_the_same_command_gives_the_same_bits(series, tmp_path):
    (series / "quick.yaml").write_text(to_yaml(_settings(series)))
    straight, battered = tmp_path / "straight", tmp_path / "battered"
    run = [sys.executable, "-m", "brodmann.cli"]
    subprocess.run([*run, *_command(series, straight)], check=True, capture_output=True, timeout=300)
    tasks = len(_markers(straight))
    killed, before = 0, {}
    for share in (0.2, 0.5, 0.8):
        with subprocess.Popen([*run, *_command(series, battered)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:  # fmt: skip
            deadline = time.monotonic() + 120
            while process.poll() is None and time.monotonic() < deadline:
                if len(_markers(battered)) >= share * tasks:
                    break
                time.sleep(0.002)
            time.sleep(0.02)
            killed += process.poll() is None
            process.send_signal(signal.SIGKILL)
        now = {path.relative_to(battered): path.read_bytes() for path in _markers(battered)}
        assert {name: now.get(name) for name in before} == before  # nothing finished was done again
        before = now
    assert killed == 3
    subprocess.run([*run, *_command(series, battered)], check=True, capture_output=True, timeout=300)
    assert _bits(battered) == _bits(straight)


def test_dry_run_and_refusals_of_the_command(series, tmp_path, capsys, family):
    (series / "quick.yaml").write_text(to_yaml(_settings(series)))
    out = tmp_path / "never"
    assert main(_command(series, out, "--dry-run")) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines() if line.startswith("checkpoint-")] == [
        "checkpoint-16", "checkpoint-0", "checkpoint-1"
    ]  # fmt: skip
    assert not out.exists()
    for words, refusal in (
        (["track", "nobody", "--revisions", "step1", "step2"], "model 'nobody' at revision 'step1'"),
        (_command(series, out, "--new-tokens", "2"), "new_tokens = 2 is too short"),
        (_command(series, out, "--device", "abacus"), "device 'abacus' is unknown"),
        (["sizes", "random:gpt2", "--out", str(out)], "at least two"),
        (["sizes", "glass-en", "nano", "--out", str(out)], "glass-en and nano have different tokenizers"),
        (["sizes", "random:gpt2", "nano", "--out", str(out)], "random:gpt2 and nano have different tokenizers"),
    ):
        assert main(words) == 1
        assert refusal in capsys.readouterr().err
        assert not out.exists()
    manifest = json.loads((family.path / "atlas.json").read_text())
    whole = (family.path / "atlas.json").read_text()
    (family.path / "atlas.json").write_text(json.dumps({**manifest, "complete": False}))
    try:
        assert main(["report", str(family.path)]) == 3
    finally:
        (family.path / "atlas.json").write_text(whole)
    go_on = capsys.readouterr().err
    assert "brodmann track --checkpoints" in go_on
    assert f"--out {family.path} goes on" in go_on


def test_given_texts_are_read_by_all(series, tmp_path):
    from dataclasses import replace

    settings = _settings(series)
    settings = replace(settings, record=replace(settings.record, mode="read", new_tokens=14))
    found = track(
        checkpoints=sorted(series.glob("checkpoint-*"))[:2], out=tmp_path / "f", settings=settings, page=False
    )
    recordings = [open_atlas(found.path / "members" / m["name"]).recording for m in found.manifest["members"]]
    assert [r.attrs["mode"] for r in recordings] == ["read", "read"]
    assert all("replay_of" not in r.attrs for r in recordings)


def test_an_atlas_and_a_family_are_not_mixed(family):
    with pytest.raises(StoreError, match="holds a family"):
        map_model("random:gpt2", out=family.path)
    with pytest.raises(SettingsError, match="brodmann track"):
        map_model("random:gpt2", studies=["growth"])


def test_steps_are_read_from_names(tmp_path):
    assert [m.place for m in find_checkpoints("org/model", ["step10", "step2"])] == [2, 10]
    assert step_of("step143000") == 143000
    assert step_of("iter_0005000") == 5000
    for bad, words in (
        ({"model": "org/model"}, "which checkpoints"), ({"model": None}, "which model"),
        ({"model": "a/b", "revisions": ["main", "step1"]}, "does not tell"),
        ({"model": "a/b", "revisions": ["step1", "s1"]}, "are both step 1"),
        ({"model": str(tmp_path)}, "no folders"), ({"model": "a/b", "revisions": ["step1"]}, "at least two"),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match=words):
            find_checkpoints(**bad)
    with pytest.raises(SettingsError, match="not both"):
        find_checkpoints("a/b", folders=[tmp_path])


def test_frames_are_drawn_one_at_a_time():
    def line(y):
        return {"type": "scatter", "mode": "lines", "x": [0, 1], "y": y, "name": "a", "hovertext": ["", ""]}

    figure = {
        "data": [line([5, 5]), line([0, 1])],
        "frames": [{"name": str(k), "traces": [1], "data": [line([0, k])]} for k in range(3)],
        "layout": {"sliders": [{"active": 2}]},
    }
    assert draw.drawable(figure)
    assert draw.film(figure) == {"names": ["0", "1", "2"], "active": 2}
    drawn = str(draw.draw(figure, name="f", description="d"))
    assert drawn.count('class="frame"') == 6
    assert drawn.count('style="display:none"') == 4
    assert draw.film({"data": []}) is None

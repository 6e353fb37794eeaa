"""An atlas of weights alone: made, found finished, made again after a kill, refused where it cannot be made."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tests.fractal.written import noise, write

from brodmann.atlas.atlas import Atlas
from brodmann.atlas.store import Folder, open_result
from brodmann.atlas.weighing import plan_weighing, weigh
from brodmann.cli import main
from brodmann.errors import StoreError
from brodmann.settings import FractalSettings, MapSettings

QUICK = MapSettings(fractal=FractalSettings(fractal_nulls=2, initialisations=2, fractal_bootstraps=40, tails=False))
FLAGS = ["--fractal-nulls", "2", "--initialisations", "2", "--fractal-bootstraps", "40"]


@pytest.fixture
def checkpoints(tmp_path: Path, rng: np.random.Generator) -> list[Path]:
    start = noise(rng, 0.02)
    return [
        write(tmp_path / "run" / f"step{step}", {k: factor * v for k, v in start.items()})
        for step, factor in ((0, 1.0), (8, 1.5), (64, 2.0), (512, 3.0))
    ]


def test_a_series_makes_an_atlas_and_is_then_finished(tmp_path: Path, checkpoints: list[Path]) -> None:
    atlas = weigh(checkpoints=checkpoints, out=tmp_path / "out", settings=QUICK)
    result = atlas.results["fractal"]
    assert result["step"].values.tolist() == [0.0, 8.0, 64.0, 512.0]
    emergence = result["emergence"].sel(grid="official").values
    assert emergence[0] == 0.0
    assert np.all(np.diff(emergence) > 0)
    findings = pd.read_parquet(tmp_path / "out/tables/findings.parquet").set_index("name")
    assert findings.loc["emergence_rises", "verdict"] == "supported"
    assert findings.loc["emergence_beyond_matched_scale", "verdict"] != "supported"
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "read from the weights; nothing was recorded" in page
    assert 'id="units"' not in page
    weighing = plan_weighing(None, checkpoints=checkpoints, out=tmp_path / "out", settings=QUICK)
    assert weighing.done
    assert weighing.run() == 0
    assert (weighing.cost().weights, weighing.cost().neurons) == (4 * 12 * 64 * 64, 4 * 7 * 64)
    with pytest.raises(StoreError, match="brodmann fractal"):
        Folder(tmp_path / "out").refuse_foreign()


def test_a_killed_run_goes_on_with_the_same_numbers(tmp_path: Path, checkpoints: list[Path]) -> None:
    words = ["fractal", "--checkpoints", *map(str, checkpoints), "--no-tails", *FLAGS]
    code = f"import sys; from brodmann.cli import main; sys.exit(main({words!r} + ['--out', sys.argv[1]]))"
    run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "killed")], start_new_session=True)
    partial = tmp_path / "killed/partial"
    deadline = time.monotonic() + 120
    while not any(partial.glob("*/*.npz")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    kept = len(list(partial.glob("*/*.npz")))
    assert main([*words, "--out", str(tmp_path / "killed")]) == 0
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    one, two = (
        open_result(next((tmp_path / name / "results").glob("fractal-*.zarr"))).load() for name in ("killed", "whole")
    )
    xr.testing.assert_identical(one.drop_attrs(), two.drop_attrs())
    assert one.attrs["findings"] == two.attrs["findings"]
    assert kept >= 1
    assert not partial.exists() or not any(partial.glob("*/*.npz"))


def test_dry_run_writes_nothing(
    tmp_path: Path, checkpoints: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["fractal", "--checkpoints", *map(str, checkpoints), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "196,608 weights between 1,792 neurons, 4 checkpoints" in told
    assert sorted(tmp_path.iterdir()) == before


def test_an_atlas_of_a_recording_takes_the_weight_graph_as_a_chapter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked for with a map, or of its atlas later, it gives the numbers of its own command; the recording stays."""
    recorded, alone = tmp_path / "recorded", tmp_path / "alone"
    quick = {
        "record": {"new_tokens": 12},
        "synergy": {"null_models": 2, "surrogates": 10, "graph_nulls": 5, "bootstraps": 50},
        "fractal": {"fractal_nulls": 2, "initialisations": 2, "fractal_bootstraps": 40, "tails": False},
    }
    settings = tmp_path / "quick.yaml"
    settings.write_text(json.dumps(quick))
    assert main(["map", "glass-en", "--settings", str(settings), "--out", str(recorded), "--add", "fractal"]) == 0
    assert main(["fractal", "glass-en", "--settings", str(settings), "--out", str(alone)]) == 0
    one, two = (Atlas(path).results["fractal"].load() for path in (recorded, alone))
    xr.testing.assert_identical(one.drop_attrs(), two.drop_attrs())
    assert one.attrs["findings"] == two.attrs["findings"]
    assert set(Atlas(recorded).results) == {"synergy", "fractal"}
    page = (recorded / "report.html").read_text(encoding="utf-8")
    assert 'id="chapter-fractal"' in page
    assert 'id="chapter-synergy"' in page
    before = json.loads((recorded / "atlas.json").read_text())
    assert main(["fractal", str(recorded), "--fractal-nulls", "3"]) == 0
    after = json.loads((recorded / "atlas.json").read_text())
    assert after["results"]["fractal"] != before["results"]["fractal"]
    assert after["results"]["synergy"] == before["results"]["synergy"]
    assert after["recording"] == before["recording"]
    for atlas in (recorded, alone):
        capsys.readouterr()
        assert main(["fractal", str(atlas), "--dry-run"]) == 0
        assert "nothing to do" in capsys.readouterr().out


class TestRefusals:
    """One clear line each, and nothing is written."""

    def said(self, capsys: pytest.CaptureFixture[str], *words: str) -> str:
        assert main(["fractal", *words]) == 1
        lines = capsys.readouterr().err.strip().splitlines()
        assert [line.startswith("error: ") for line in lines].count(True) == 1
        return lines[-1]

    def test_a_missing_shard(self, tmp_path: Path, checkpoints: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
        folder = checkpoints[0]
        (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
        index = {
            "weight_map": {
                "gpt_neox.layers.0.attention.dense.weight": "model-00001-of-00002.safetensors",
                "gpt_neox.layers.3.mlp.dense_4h_to_h.weight": "model-00002-of-00002.safetensors",
            }
        }
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        line = self.said(capsys, str(folder), "--out", str(tmp_path / "out"))
        assert "model-00002-of-00002.safetensors is missing" in line
        assert "gpt_neox.layers.3.mlp.dense_4h_to_h.weight" in line
        assert not (tmp_path / "out").exists()

    def test_nan(self, tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]) -> None:
        weights = noise(rng, 0.02)
        weights["gpt_neox.layers.1.attention.dense.weight"][0, 0] = np.nan
        folder = write(tmp_path / "nan", weights)
        line = self.said(capsys, str(folder), "--out", str(tmp_path / "out"), *FLAGS)
        assert line == f"error: {folder}: gpt_neox.layers.1.attention.dense.weight holds NaN or infinite weights"
        assert not (tmp_path / "out").exists()

    def test_others(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "say which model" in self.said(capsys)
        assert "there is no folder" in self.said(capsys, str(tmp_path / "nowhere"))
        assert "r_max = 2" in self.said(capsys, "nano", "--r-max", "2")
        assert "--units is about recordings" in self.said(capsys, "nano", "--units", "heads")
        table = tmp_path / "scores.csv"
        table.write_text("model,step,task,value\n")
        line = self.said(capsys, "nano", "--scores", str(table), "--out", str(tmp_path / "out"), *FLAGS)
        assert "lacks the column metric" in line
        assert not (tmp_path / "out").exists()

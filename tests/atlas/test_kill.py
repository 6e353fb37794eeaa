"""Nothing is lost and nothing is done twice, whenever a run is killed."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

KILLS = 10
TEXTS = ["Alice was beginning to get very tired", "The Queen said to the", "There was a little", "She went on and on"]
OPTIONS = [
    "--new-tokens", "12", "--batch-size", "1", "--null-models", "2", "--bootstraps", "50", "--surrogates", "3",
    "--graph-nulls", "3", "--seed", "7",
]  # fmt: skip


def command(prompts: Path, out: Path) -> list[str]:
    map_glass = ["map", "glass-en", "--prompts", str(prompts), "--out", str(out)]
    return [sys.executable, "-m", "brodmann.cli", *map_glass, *OPTIONS]


def arrays(atlas: Path) -> dict[str, np.ndarray]:
    """All arrays of recordings and results by path and name."""
    found: dict[str, np.ndarray] = {}
    for path in sorted([*atlas.glob("recordings/*.zarr"), *atlas.glob("results/*.zarr")]):
        with xr.open_zarr(path, consolidated=False, chunks=None) as stored:
            found |= {f"{path.name}/{name}": array.to_numpy() for name, array in stored.variables.items()}
    return found


def markers(atlas: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (atlas / "done").glob("*.json")}


def same_bits(one: np.ndarray, two: np.ndarray) -> bool:
    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    return bool(np.array_equal(one, two)) if one.dtype.kind not in "fc" else one.tobytes() == two.tobytes()


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "p.json"
    path.write_text(json.dumps(TEXTS))
    return path


def begun(out: Path) -> int:
    """Tasks that were begun so far, counting repetitions."""
    try:
        return (out / "log.jsonl").read_bytes().count(b'"started"')
    except OSError:
        return 0


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path, prompts: Path) -> None:
    straight, battered = tmp_path / "straight", tmp_path / "battered"
    subprocess.run(command(prompts, straight), check=True, capture_output=True, timeout=300)
    tasks = len(markers(straight))
    assert tasks == 4 + 2 * 4 + 4

    rng = np.random.default_rng(20261121)
    killed = 0
    before: dict[str, bytes] = {}
    for _ in range(KILLS):
        with subprocess.Popen(command(prompts, battered), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
            # a moment inside the work: a little after this run has begun its first or second task
            goal, deadline = begun(battered) + int(rng.integers(1, 3)), time.monotonic() + 120
            while run.poll() is None and begun(battered) < goal and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(float(rng.exponential(0.03)))
            killed += run.poll() is None
            run.send_signal(signal.SIGKILL)
        now = markers(battered)
        assert {name: now.get(name) for name in before} == before
        before = now
    assert killed >= KILLS // 2, "the kills came too late to mean anything"
    subprocess.run(command(prompts, battered), check=True, capture_output=True, timeout=300)

    one, two = arrays(straight), arrays(battered)
    assert one.keys() == two.keys()
    assert [name for name in one if not same_bits(one[name], two[name])] == []
    for table in ("units", "findings", "profile", "pairs"):
        pd.testing.assert_frame_equal(
            *(pd.read_parquet(atlas / "tables" / f"{table}.parquet") for atlas in (straight, battered))
        )

    done = markers(battered)
    assert {name: done[name] for name in before} == before
    assert done.keys() == markers(straight).keys()
    events = [json.loads(line) for line in (battered / "log.jsonl").read_text().splitlines() if line.endswith("}")]
    finished: set[str] = set()
    for event in events:
        if event["event"] == "finished":
            assert event["task"] not in finished
            finished.add(event["task"])
        elif event["event"] == "started":
            assert event["task"] not in finished, "a finished task was begun again"
    started = Counter(event["task"] for event in events if event["event"] == "started")
    assert len(started) == tasks
    # each kill can interrupt at most one task, and the one in the second process
    assert sum(started.values()) <= tasks + 2 * killed
    assert not [p for p in battered.rglob("*") if p.name.endswith(".tmp")]


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_the_user(tmp_path: Path, prompts: Path, sign: signal.Signals) -> None:
    out = tmp_path / "a"
    # a shell's background job is started with SIGINT ignored, and so would be its children
    run = subprocess.Popen(
        command(prompts, out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while begun(out) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    run.send_signal(sign)
    said, error = run.communicate(timeout=60)
    assert run.returncode == 3, error
    assert error.splitlines()[-1].startswith("error: stopped after ")
    assert "run the same command again" in error
    assert "Traceback" not in error
    count = len(markers(out))
    assert not [p for p in out.rglob("*") if p.name.endswith(".tmp")]
    again = subprocess.run(command(prompts, out), capture_output=True, text=True, timeout=300, check=True)
    assert len(markers(out)) == 16 > count >= 1
    assert again.stdout.splitlines()[-1] == str(out / "report.html")
    del said

"""An atlas that exists already: what a dry run still reckons, whose findings a command prints, where the time went."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import brodmann as bd
from brodmann.cli import main
from brodmann.errors import SettingsError
from brodmann.settings import AccuracySettings, AllocationSettings

OPTIONS = {"prompts": "p.json", "new-tokens": 12, "batch-size": 2, "null-models": 1, "bootstraps": 20,
           "surrogates": 2, "graph-nulls": 2}  # fmt: skip
QUICK = [word for name, value in OPTIONS.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rest")
    (folder / "p.json").write_text(json.dumps(["Alice was beginning", "The Queen said", "There was a", "She went on"]))
    return folder


@pytest.fixture(autouse=True)
def there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "80")


def said(words: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert main(words) == code
    streams = capsys.readouterr()
    return streams.out + streams.err


def row(text: str, step: str) -> list[str]:
    """Cells of one line of the table: done, to do, time, memory."""
    (line,) = [line for line in text.splitlines() if line.startswith(step + "  ")]
    return re.split(r"\s{2,}", line.removeprefix(step).strip())


def test_a_dry_run_says_what_is_done_and_reckons_the_rest(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    command = ["map", "random:gpt2", "--out", "a", *QUICK]
    first = said([*command, "--dry-run"], capsys)
    assert "to do" not in first
    assert not (place / "a").exists()
    said(command, capsys)
    assert "nothing to do: a is complete" in said([*command, "--dry-run"], capsys)
    files = sorted(path for path in (place / "a").rglob("*"))

    more = said([*command, "--dry-run", "--add", "lesions"], capsys)
    assert row(more, "record")[:3] == ["2", "0", "-"]
    assert row(more, "1 randomly initialised models")[:3] == ["2", "0", "-"]
    assert row(more, "synergy")[:3] == ["1", "0", "-"]
    assert row(more, "lesions")[:2] == ["0", "1"]
    assert row(more, "all")[:2] == ["5", "4"], "open, lesions, tables, report"
    assert max(map(len, more.splitlines())) <= 80

    # half of a recording that was stopped is reckoned by half
    (marker,) = (place / "a" / "done").glob("record-*-0001.json")
    kept = marker.read_text()
    marker.unlink()
    half = said([*command, "--dry-run"], capsys)
    assert row(half, "record")[:2] == ["1", "1"]
    marker.write_text(kept)
    # another recording has nothing of this one
    assert "to do" not in said([*command, "--dry-run", "--new-tokens", "13"], capsys)
    assert sorted(path for path in (place / "a").rglob("*")) == files, "a dry run writes nothing"


def test_findings_of_what_was_asked_and_time_in_every_pass(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    command = ["map", "random:gpt2", "--out", "b", *QUICK]
    (place / "s.yaml").write_text("lesions: {fractions: [0.1, 0.2], layer_draws: 3, random_draws: 3}\n")
    both = said([*command, "--settings", "s.yaml", "--add", "lesions"], capsys)
    atlas = bd.open_atlas("b")
    cored, hurt = (len(atlas.findings_of(name)) for name in ("synergy", "lesions"))
    assert f"{cored + hurt} findings" in both
    assert "stand in the report" not in both
    forward, whole = atlas.seconds["forward"], sum(atlas.seconds.values())
    driven = atlas.manifest["seconds_forward"] - forward
    assert 0 < driven < sum(seconds for stage, seconds in atlas.seconds.items() if stage.startswith("lesions"))
    assert atlas.forward_share == pytest.approx((forward + driven) / whole, abs=1e-3)
    assert f"{atlas.forward_share:.0%} of it in forward passes of the model" in both

    alone = said([*command, "--settings", "s.yaml"], capsys)
    assert f": {cored} findings" in alone
    assert f"{hurt} more findings (of lesions) stand in the report" in alone
    assert len(re.findall(r"^[-+?] (?:supported|contradicted|inconclusive)", alone, flags=re.MULTILINE)) == cored


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["allocation", "--hard-tasks", "knitting"], "there is no task 'knitting'; known are addition"),
        (["allocation", "--simple-tasks", "addition"], "simple_tasks: 'addition' is not simple"),
        (["allocation", "--hard-tasks", "knitting", "--dry-run"], "there is no task 'knitting'"),
        (["map", "--settings", "t.yaml", "--add", "accuracy"], "there is no task 'knitting'"),
    ],
)
def test_tasks_are_checked_before_the_model_is_opened(
    command: list[str], words: str, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    (place / "t.yaml").write_text("accuracy: {accuracy_tasks: ['knitting:2']}\n")
    text = said([command[0], "random:gpt2", *command[1:], "--out", "c"], capsys, code=1)
    assert words in text
    assert "open the model" not in text
    assert not (place / "c").exists()


def test_python_checks_tasks_too(tmp_path: Path) -> None:
    for study, changed in (
        ("allocation", AllocationSettings(hard_tasks=("knitting",))),
        ("accuracy", AccuracySettings(accuracy_tasks=("addition:9",))),
    ):
        with pytest.raises(SettingsError, match=r"knitting|level"):
            bd.map("random:gpt2", out=tmp_path / "d", studies=[study], **{study: changed})
        assert not (tmp_path / "d").exists()


def test_neither_the_check_nor_the_dry_run_of_an_atlas_imports_torch(place: Path) -> None:
    assert (place / "a" / "atlas.json").exists(), "made by the first test of this file"
    code = (
        "import sys; from brodmann.cli import main; code = main(sys.argv[1:]);"
        "print('torch' in sys.modules); sys.exit(code)"
    )
    for given, expected in (
        (["allocation", "random:gpt2", "--hard-tasks", "knitting"], 1),
        (["map", "random:gpt2", "--out", "a", *QUICK, "--dry-run", "--add", "lesions"], 0),
    ):
        run = subprocess.run(
            [sys.executable, "-c", code, *given], capture_output=True, text=True, timeout=120, check=False
        )
        assert run.returncode == expected, run.stderr
        assert run.stdout.splitlines()[-1] == "False"

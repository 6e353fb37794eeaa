"""The examples in docstrings run and give what they show."""

import doctest
import importlib
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "brodmann"
MODULES = sorted(
    "brodmann." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8") and path.name != "__init__.py"
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    importlib.import_module(name)
    module = sys.modules[name]  # a package may give a function the name of a module
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0

"""Importing is light: nothing heavy is read before a model is opened."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "numba", "xarray", "pandas", "scipy")


def loaded_after(code: str) -> set[str]:
    """Heavy modules that a fresh interpreter holds after running some code."""
    script = f"import json, sys\n{code}\nprint('\\n' + json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import brodmann",
        "import brodmann.settings, brodmann.errors, brodmann.page",
        "import brodmann.atlas",
        "import brodmann.cli",
        "import brodmann.cli\ntry: brodmann.cli.main(['--help'])\nexcept SystemExit: pass",
        "import brodmann.cli\ntry: brodmann.cli.main(['map', '--help'])\nexcept SystemExit: pass",
        "import brodmann.cli\nbrodmann.cli.main(['studies'])",
        "from brodmann.atlas import studies\nassert 'synergy' in studies()",
    ],
)
def test_reads_nothing_heavy(code: str) -> None:
    assert loaded_after(code) == set()


def test_public_names_resolve() -> None:
    import brodmann

    assert set(brodmann.__all__) <= set(dir(brodmann))
    assert {callable(getattr(brodmann, name)) for name in ("load", "record", "replay", "map", "open_atlas")} == {True}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = brodmann.nothing  # type: ignore[attr-defined]


def test_atlas_names_resolve() -> None:
    import brodmann.atlas

    assert all(getattr(brodmann.atlas, name) is not None for name in brodmann.atlas.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = brodmann.atlas.nothing

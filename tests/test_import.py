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
        "import brodmann.lesions\ndir(brodmann.lesions)",
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


@pytest.mark.parametrize("room", ["allocation", "lesions", "models", "recordings", "synergy", "tasks"])
def test_rooms_list_and_resolve_their_public_names(room: str) -> None:
    import brodmann

    module = getattr(brodmann, room)
    assert dir(module) == sorted(module.__all__)
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing


def test_the_callback_is_found_where_a_reader_looks_for_it() -> None:
    from brodmann.synergy import EmergenceCallback, Monitor
    from brodmann.synergy.callback import EmergenceCallback as at_home

    assert EmergenceCallback is at_home
    assert Monitor.__module__ == "brodmann.synergy.monitor"


def test_a_rooms_docstring_names_what_it_exports() -> None:
    import brodmann

    for room in (brodmann.lesions, brodmann.allocation, brodmann.synergy):
        assert [name for name in room.__all__ if f"`{name}`" not in str(room.__doc__)] == []

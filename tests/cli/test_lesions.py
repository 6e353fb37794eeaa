"""Commands that test a ranking: they start from an atlas and its settings, and bring the ranking along."""

from pathlib import Path
from typing import Any

import pytest

from brodmann.cli import main, mapping
from brodmann.plain import to_yaml
from brodmann.settings import UNITS, MapSettings, RecordSettings, SynergySettings

Went = tuple[str, Path | None, MapSettings, tuple[str, ...] | None]


@pytest.fixture
def went(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Went]:
    """What the commands would have done."""
    caught: list[Went] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mapping, "go", lambda *given, **_: caught.append(given))
    return caught


def write_atlas(folder: Path, settings: MapSettings) -> None:
    folder.mkdir()
    (folder / "settings.yaml").write_text(to_yaml(settings))
    (folder / "atlas.json").write_text('{"format": "brodmann atlas 1", "model": "glass-en"}')


@pytest.mark.parametrize("command", ["lesions", "allocation"])
def test_on_a_model_and_on_an_atlas(command: str, went: list[Went], tmp_path: Path) -> None:
    kept = MapSettings(record=RecordSettings(new_tokens=9), synergy=SynergySettings(tau=3), seed=4)
    write_atlas(tmp_path / "a", kept)
    for given in ([command, "glass-pt"], [command, "a"], [command, "a", "--tau", "1", "--out", "b"]):
        assert main(given) == 0
    model, atlas, changed = went
    assert model == ("glass-pt", None, MapSettings(), (command,))
    assert atlas == ("glass-en", Path("a"), kept, (command,))
    assert changed[:2] == ("glass-en", Path("b"))
    assert (changed[2].synergy.tau, changed[2].record, changed[2].seed) == (1, kept.record, 4)


def test_an_atlas_is_no_model_and_a_wrong_name_is_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_atlas(tmp_path / "a", MapSettings())
    monkeypatch.chdir(tmp_path)
    for command in ("map", "record"):
        assert main([command, "a"]) == 1
        assert "a is an atlas, not a model; use it with synergy, lesions" in capsys.readouterr().err
    for command in ("synergy", "lesions", "allocation"):
        assert main([command, "./nowhere"]) == 1
        assert "nor is there an atlas folder './nowhere'" in capsys.readouterr().err
    assert main(["map", "random:llama", "--units", "experts"]) == 1
    assert "random:llama has no experts (--signal expert_norm); --units can be heads or neurons" in (
        capsys.readouterr().err
    )


def test_studies_to_add_may_be_parted_by_commas(went: list[Went]) -> None:
    assert main(["map", "m", "--add", "allocation,lesions"]) == 0
    assert went[-1][3] == ("synergy", "allocation", "lesions")


@pytest.mark.parametrize("command", ["map", "record", "synergy", "lesions", "allocation"])
def test_units_are_short_for_a_signal(
    command: str, went: list[Went], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def signal(*options: str) -> str:
        assert main([command, "m", *options]) == 0
        return went[-1][2].record.signal

    for units, usual in UNITS.items():
        assert signal("--units", units) == usual
    assert signal("--units", "heads", "--signal", "write_norm") == "write_norm"
    assert main([command, "m", "--units", "experts", "--signal", "write_norm"]) == 1
    assert "--signal write_norm is not of experts; leave out --signal or --units" in capsys.readouterr().err
    # of a file, not of the command line: the command line wins
    (tmp_path / "s.yaml").write_text(to_yaml(MapSettings(record=RecordSettings(signal="neuron"))))
    assert signal("--units", "experts", "--settings", "s.yaml") == "expert_norm"


def test_units_in_python() -> None:
    from brodmann.atlas.atlas import override
    from brodmann.errors import SettingsError

    given: dict[str, Any] = {"units": "experts", "new_tokens": 5}
    assert override(MapSettings(), given).record == RecordSettings(signal="expert_norm", new_tokens=5)
    with pytest.raises(SettingsError, match="units = 'limbs'; choose one of heads, experts, neurons"):
        override(MapSettings(), {"units": "limbs"})

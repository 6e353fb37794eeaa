"""Numbers that cannot work are refused by name, at once, and numbers at their limits are not."""

import dataclasses
import math

import pytest

import brodmann as bd
from brodmann.cli import main
from brodmann.errors import SettingsError
from brodmann.ranges import check_ranges
from brodmann.settings import MapSettings

WRONG = [
    ("lesions", "fractions", (), "fractions = none; they must ascend, above 0 and at most 0.5"),
    ("lesions", "fractions", (0.2, 0.1), "fractions = 0.2, 0.1; they must ascend"),
    ("lesions", "fractions", (0.1, 0.1), "they must ascend"),
    ("lesions", "fractions", (0.0, 0.1), "above 0"),
    ("lesions", "fractions", (0.1, 0.6), "at most 0.5"),
    ("lesions", "fractions", (math.nan,), "fractions = nan"),
    ("lesions", "layer_draws", 1, "layer_draws = 1; it must be at least 3"),
    ("lesions", "random_draws", 2, "random_draws = 2; it must be at least 3"),
    ("lesions", "lesion_tokens", 0, "lesion_tokens = 0; it must be at least 1"),
    ("allocation", "rungs", 0, "rungs = 0; it must be at least 1"),
    ("allocation", "task_texts", 1, "task_texts = 1; it must be at least 2"),
    ("allocation", "neutral_texts", 3, "neutral_texts = 3; it must be at least 4"),
    ("allocation", "text_context", 3, "text_context = 3; it must be at least 4"),
    ("allocation", "text_steps", 1, "text_steps = 1; it must be at least 2"),
    ("allocation", "answer_tokens", -1, "answer_tokens = -1; it must be at least 0"),
    ("allocation", "active_quantile", 1.0, "active_quantile = 1.0; it must be between 0 and 1"),
    ("allocation", "ratio_bootstraps", 0, "ratio_bootstraps = 0; it must be at least 1"),
    ("allocation", "random_sets", 0, "random_sets = 0; it must be at least 1"),
    ("allocation", "perplexity_loss", -0.1, "perplexity_loss = -0.1; it must be at least 0"),
    ("accuracy", "questions", 4, "questions = 4; it must be at least 5"),
    ("accuracy", "shots", -1, "shots = -1; it must be at least 0"),
    ("accuracy", "accuracy_share", 0.6, "accuracy_share = 0.6; it must be above 0 and at most 0.5"),
    ("accuracy", "accuracy_share", math.nan, "accuracy_share = nan; it must be above 0"),
    ("accuracy", "control_sets", 2, "control_sets = 2; it must be at least 3"),
    ("accuracy", "random_unit_sets", 0, "random_unit_sets = 0; it must be at least 1"),
    ("accuracy", "noise_loss", 1.0, "noise_loss = 1.0; it must be between 0 and 1"),
    ("record", "new_tokens", 0, "new_tokens = 0; it must be at least 1"),
    ("synergy", "core_fraction", 1.0, "core_fraction = 1.0; it must be between 0 and 1"),
    ("track", "growth_surrogates", 1, "growth_surrogates = 1; it must be at least 2"),
]


def having(section, name, value):
    usual = MapSettings()
    return dataclasses.replace(usual, **{section: dataclasses.replace(getattr(usual, section), **{name: value})})


@pytest.mark.parametrize(("section", "name", "value", "said"), WRONG)
def test_a_number_out_of_range_is_named(section, name, value, said):
    whole = having(section, name, value)
    with pytest.raises(SettingsError, match=said):
        check_ranges(whole)
    with pytest.raises(SettingsError, match=said):
        check_ranges(getattr(whole, section))


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("lesions", "fractions", (0.5,)), ("lesions", "layer_draws", 3), ("allocation", "answer_tokens", 0),
        ("allocation", "perplexity_loss", 0.0), ("accuracy", "shots", 0), ("accuracy", "accuracy_share", 0.5),
    ],
)  # fmt: skip
def test_a_number_at_its_limit_is_taken(section, name, value):
    check_ranges(having(section, name, value))


def test_no_number_is_left_without_a_range():
    """A setting that is added needs a range; booleans and words have their choices already."""
    for section in (bd.settings.LesionSettings, bd.settings.AllocationSettings, bd.settings.AccuracySettings):
        for field in dataclasses.fields(section):
            if field.type in (int, float):
                with pytest.raises(SettingsError, match=f"{field.name} = -1"):
                    check_ranges(section(**{field.name: field.type(-1)}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["lesions", "./nowhere", "--layer-draws", "1"], "layer_draws = 1; it must be at least 3"),
        (["lesions", "./nowhere", "--fractions", "0.1", "0.7"], "at most 0.5"),
        (["allocation", "./nowhere", "--random-sets", "0"], "random_sets = 0; it must be at least 1"),
    ],
)
def test_the_command_line_says_so_before_it_looks_for_the_model(tmp_path, monkeypatch, capsys, given, said):
    monkeypatch.chdir(tmp_path)
    assert main(given) == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SettingsError, match="control_sets = 1; it must be at least 3"):
        bd.map("./nowhere", out=tmp_path / "a", studies=("accuracy",), control_sets=1)

"""Texts of all conditions: one length in tokens, reproducible, and what they ask at their end."""

import numpy as np
import pytest

from brodmann.allocation.conditions import plans
from brodmann.allocation.texts import asking_texts, check_room, conditions, fixed_texts, rungs, token_distance
from brodmann.errors import SettingsError
from brodmann.settings import AllocationSettings
from brodmann.tasks import TASKS

SMALL = AllocationSettings(hard_tasks=("addition", "sorting"), simple_tasks=("repeat", "copy"), rungs=2)


def test_all_texts_are_equally_long_and_follow_from_the_seed(glass):
    chosen = conditions(SMALL)
    assert [each.name for each in chosen] == [
        "neutral", "addition 1", "addition 4", "sorting 2", "sorting 6", "repeat 1", "repeat 4", "copy 4", "copy 8",
    ]  # fmt: skip
    texts = fixed_texts(glass, chosen, [3] * 9, 30, 7)
    assert texts.ids.shape == (27, 30)
    assert (texts.ids == fixed_texts(glass, chosen, [3] * 9, 30, 7).ids).all()
    assert len(np.unique(texts.ids, axis=0)) == 27
    longer = fixed_texts(glass, chosen, [3] * 9, 60, 7)
    assert (longer.ids[:, :30] == texts.ids).all(), "a longer text begins like a shorter one"
    said = glass.tokenizer.decode(texts.ids[15].tolist())
    assert len(set(said.split())) == 1, "the same word for ever"
    assert glass.tokenizer.decode(texts.ids[0].tolist()).count(".") >= 1


def test_asking_texts_end_where_an_answer_begins(glass):
    chosen = conditions(SMALL)
    texts = asking_texts(glass, chosen, [2] * 9, 24, 1)
    assert texts.ids.shape == (18, 24)
    for row, item in zip(texts.ids, texts.items, strict=True):
        bare = glass.tokenizer(item.prompt, add_special_tokens=False)["input_ids"]
        said, asked = ("".join(glass.tokenizer.decode(ids).split()) for ids in (row.tolist(), bare))
        assert said.endswith(asked[-4:])


def test_levels_are_spread_over_the_ladder():
    assert rungs(TASKS["addition"], 2) == [(0.0, 1), (1.0, 4)]
    assert [level for _, level in rungs(TASKS["addition"], 9)] == [1, 2, 3, 4]
    assert rungs(TASKS["addition"], 1) == [(1.0, 4)]


def test_contrasts_are_means_over_families():
    chosen = conditions(SMALL)
    hard, simple = plans(chosen, np.repeat(np.arange(9), 5))
    assert hard.names == ("addition 1", "addition 4", "sorting 2", "sorting 6", "hard", "harder")
    assert hard.row("hard").tolist() == [0, 0, 0.5, 0, 0.5]
    assert hard.row("harder").tolist() == [0, -0.5, 0.5, -0.5, 0.5]
    assert simple.row("simple").tolist() == [0, 0.25, 0.25, 0.25, 0.25]
    few = np.repeat(np.arange(9), [5, 5, 1, 5, 5, 5, 5, 5, 5])
    assert plans(chosen, few)[0].row("hard").tolist() == [0, 0, 0, 1.0], "a level with one text is left out"
    assert plans(chosen, np.repeat([0, 1], [1, 9])) == ()


def test_token_distance_is_0_for_the_same_and_1_for_other_words(glass):
    chosen = conditions(SMALL)
    texts = fixed_texts(glass, chosen, [6] * 9, 30, 0)
    assert token_distance(texts, [0], [0]) == 0.0
    assert token_distance(texts, [1], [2]) < 0.5 < token_distance(texts, [1], [0])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"text_context": 100, "text_steps": 40}, "do not fit the context of glass-en"),
        ({"text_steps": 1}, "text_steps = 1; it must be at least 2"),
        ({"hard_tasks": ("copy",)}, "'copy' is not hard"),
        ({"simple_tasks": ("sorting",)}, "'sorting' is not simple"),
        ({"hard_tasks": ("soting",)}, "no task 'soting'"),
        ({"rungs": 0}, "rungs = 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(glass, given, said):
    def check():
        check_room(glass, AllocationSettings(**given))
        conditions(AllocationSettings(**given))

    with pytest.raises(SettingsError, match=said):
        check()

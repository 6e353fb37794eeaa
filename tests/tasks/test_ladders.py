"""Every task against a solver of its own: items are right, distinct, reproducible, and have one right choice."""

import re
from collections import Counter

import numpy as np
import pytest

from brodmann.errors import PromptError, SettingsError
from brodmann.tasks import HARD, SIMPLE, TASKS, check, few_shot, guessing, items, ladder, named, quiz, read_analogies
from brodmann.tasks import running as running_text
from brodmann.tasks.analogies import _own

ASKABLE = [*HARD, *SIMPLE]


def _solve_assignments(prompt):
    value = {}
    *statements, last = prompt.rstrip(" =").split("; ")
    for statement in statements:
        name, right = statement.split(" = ")
        value[name] = value.get(right, right)
    return value[last]


def _solve_facts(prompt):
    calls = dict(re.findall(r"(\w+) calls (\w+)\.", prompt))
    name, steps = re.search(r"From (\w+), (\d)", prompt).groups()
    for _ in range(int(steps)):
        name = calls[name]
    return name


def _solve_brackets(prompt):
    open_ = []
    for each in re.findall(r"[()\[\]{}]", prompt):
        if each in "([{":
            open_.append(each)
        else:
            assert "([{".index(open_.pop()) == ")]}".index(each)
    return " ".join(")]}"["([{".index(each)] for each in reversed(open_))


def _solve_analogy(prompt):
    one, two, three = re.match(r"(\S+) : (\S+) = (\S+) :", prompt).groups()
    for relations in _own().values():
        for pairs in relations.values():
            if (one, two) in pairs and three in dict(pairs):
                return dict(pairs)[three]
    return None


SOLVERS = {
    "addition": lambda p: str(sum(map(int, re.findall(r"\d+", p)))),
    "subtraction": lambda p: str(int(p.split()[0]) - int(p.split()[2])),
    "modular": lambda p: str(int(p.split()[0]) % int(p.split()[2])),
    "sorting": lambda p: " ".join(sorted(re.findall(r"\d+", p), key=int)),
    "reversal": lambda p: " ".join(reversed(p.split()[1:-1])),
    "brackets": _solve_brackets,
    "assignments": _solve_assignments,
    "facts": _solve_facts,
    "analogies": _solve_analogy,
    "repeat": lambda p: p.split()[(len(p.split()) + 1) // 3 - 1],
    "copy": lambda p: p.split(" | ")[0].split()[-1],
    "count": lambda p: str(2 * int(p.split()[-1]) - int(p.split()[-2])),
}


def solve(name, prompt):
    if name not in SOLVERS:
        pytest.fail(f"no solver of '{name}': write one that reads the prompt alone, in SOLVERS of {__name__}")
    return SOLVERS[name](prompt)


@pytest.mark.parametrize("name", ASKABLE)
def test_answers_are_what_an_independent_solver_finds(name):
    task = TASKS[name]
    for item in ladder(task, 20, seed=3):
        assert item.answer == solve(name, item.prompt), item
        assert check(f" {item.answer}\n", item)
        assert item.task == name
        assert not item.prompt.endswith(" ")


@pytest.mark.parametrize("name", ASKABLE)
def test_one_choice_is_right_and_no_other_would_be_marked_right(name):
    places = Counter()
    for item in ladder(TASKS[name], 25, seed=5):
        assert len(set(item.choices)) == len(item.choices) >= 2
        assert item.choices.count(item.answer) == 1
        assert [choice for choice in item.choices if check(choice, item)] == [item.answer]
        places[item.gold] += 1
    assert places[0] > 0
    assert places[1] > 0


@pytest.mark.parametrize(("name", "level"), [(name, level) for name in ASKABLE for level in TASKS[name].levels])
def test_always_saying_the_same_is_rarely_right(name, level):
    task = TASKS[name]
    for seed in range(5):
        asked = _at_most(task, 40, level, seed)
        assert guessing(asked, choose=False) <= (0.5 if len(asked) == 40 else 0.7), f"balance the answers of {name}"


def _at_most(task, count, level, seed):
    try:
        return items(task, count, level, seed)
    except SettingsError as error:
        return items(task, int(re.search(r"only (\d+)", str(error))[1]), level, seed)


@pytest.mark.parametrize("name", list(TASKS))
def test_items_are_distinct_and_follow_from_the_seed(name):
    task = TASKS[name]
    level = task.levels[-1]
    first = items(task, 30, level, seed=1)
    assert len({item.prompt for item in first}) == 30
    assert first == items(task, 30, level, seed=1)
    assert first[:10] == items(task, 10, level, seed=1)
    assert first != items(task, 30, level, seed=2)
    assert {item.level for item in first} == {level}


def test_levels_turn_the_knob():
    assert [len(i.prompt.split()[0]) for i in ladder(TASKS["addition"], 1, 0)] == [1, 2, 3, 4]
    assert [len(i.answer.split()) for i in ladder(TASKS["sorting"], 1, 0)] == [2, 3, 4, 6]
    assert [len(i.answer.split()) for i in ladder(TASKS["brackets"], 1, 0)] == [1, 2, 4, 6]
    assert [len(i.solved.split()) for i in ladder(TASKS["brackets"], 1, 0)] == [14] * 4
    assert [len(i.prompt.split()) for i in ladder(TASKS["repeat"], 1, 0)] == [2, 5, 11]


@pytest.mark.parametrize("name", ["assignments", "facts"])
def test_lookup_rungs_differ_in_hops_and_in_nothing_that_could_be_counted(name):
    task = TASKS[name]
    by_level = {level: items(task, 40, level, seed=2) for level in task.levels}
    shapes = {
        level: {re.sub(r"[A-Z][a-z]+|\b[a-z]\b|\d", "_", item.prompt).replace("steps", "step") for item in found}
        for level, found in by_level.items()
    }
    counts = {level: {len(item.prompt.split()) for item in found} for level, found in by_level.items()}
    assert all(each == counts[1] for each in counts.values())
    if name == "assignments":
        assert all(each == shapes[1] for each in shapes.values())


def test_asking_for_more_than_there_are_is_refused():
    with pytest.raises(SettingsError, match=r"only 100 different items at level 1|only \d+ different"):
        items(TASKS["addition"], 101, 1, seed=0)
    with pytest.raises(SettingsError, match="has no level 9; its levels are 1, 2, 3, 4"):
        items(TASKS["addition"], 1, 9, seed=0)


def test_names_are_checked():
    assert [task.name for task in named(("sorting", "addition"))] == ["sorting", "addition"]
    commas = "no task 'sorting,copy'.*; names are separated by spaces"
    for wrong, said in (
        (("sortng",), "no task 'sortng'; [^;]*$"), (("sorting,copy",), commas), ((), "at least one"),
        (("copy", "copy"), "each task once"),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match=said):
            named(wrong)


def test_few_shot_and_quiz_ask_what_they_do_not_show():
    one, two, three = items(TASKS["addition"], 3, 2, seed=0)
    assert few_shot([one, two], three) == f"{one.prompt} {one.answer}\n{two.prompt} {two.answer}\n{three.prompt}"
    asked = quiz(TASKS["sorting"], 12, 3, seed=0, shots=3)
    assert asked.name == "sorting 3"
    plain = items(TASKS["sorting"], 15, 3, seed=0)
    for item, bare in zip(asked.items, plain[:12], strict=True):
        assert item.prompt.endswith(f"\n{bare.prompt}")
        assert item.prompt.count("\n") == 3
        assert sum(other.prompt in item.prompt for other in plain[:12]) == 1
        assert item.choices == bare.choices
    assert asked.right(f"{asked.items[0].answer}\nsort 9 1 -> 1 9", asked.items[0])
    loop = quiz(TASKS["repeat"], 4, 2, seed=0)
    assert all("\n" not in item.prompt for item in loop.items)


def test_chance_is_one_over_choices_or_the_commonest_answer():
    asked = items(TASKS["modular"], 30, 2, seed=0)
    assert guessing(asked, choose=True) == pytest.approx(0.25)
    commonest = Counter(item.answer for item in asked).most_common(1)[0][1]
    assert guessing(asked, choose=False) == commonest / 30


def test_running_text_goes_on_and_a_loop_repeats_itself(rng):
    stream = running_text(TASKS["repeat"], 2, rng)
    assert len({next(stream).prompt for _ in range(5)}) == 1
    stream = running_text(TASKS["neutral"], 1, rng)
    sentences = [next(stream).solved for _ in range(200)]
    assert len(set(sentences)) > 180
    assert all(sentence.endswith(".") for sentence in sentences)


def test_a_users_analogies(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text(": colours\ngrass green\nsky blue\nsnow white\n: pets\ncat meow dog woof\n")
    task = read_analogies(file)
    assert task.name == "mine"
    found = items(task, 8, 1, seed=0)
    right = {"grass": "green", "sky": "blue", "snow": "white", "cat": "meow", "dog": "woof"}
    for item in found:
        assert item.answer == right[item.prompt.split()[-2]]
    for text, said in (("a b c\n", "line 1: 3 words"), ("a b\n", "no relation has two pairs")):
        file.write_text(text)
        with pytest.raises(PromptError, match=said):
            read_analogies(file)
    with pytest.raises(PromptError, match="no such file"):
        read_analogies(tmp_path / "none.txt")


def test_neutral_words_are_common_to_the_repetition_ladder(rng):
    """Repetition differs from the reference in order, not in vocabulary."""
    stream = running_text(TASKS["neutral"], 1, rng)
    pool = {word.strip(".").lower() for _ in range(6000) for word in next(stream).solved.split()}
    repeated = {word for name in ("repeat", "copy") for item in ladder(TASKS[name], 40, 0) for word in
                item.solved.replace("|", "").split()}  # fmt: skip
    assert repeated <= pool
    assert np.mean([len(word) for word in repeated]) > 3

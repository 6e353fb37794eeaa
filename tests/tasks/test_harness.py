"""Task files of lm-evaluation-harness: what is read, and what is refused by name."""

import json

import pytest

from brodmann.errors import PromptError
from brodmann.tasks import read_harness

DOCUMENTS = [
    {"question": f"How many legs have {n} cats?", "options": [str(4 * n), str(4 * n + 1)], "label": 0, "n": n,
     "answer": f"Thinking... #### {4 * n}"}
    for n in range(1, 9)
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "test.jsonl").write_text("\n".join(json.dumps(each) for each in DOCUMENTS) + "\n")
    (tmp_path / "shots.json").write_text(json.dumps(DOCUMENTS[6:]))
    return tmp_path


def write(folder, text):
    file = folder / "legs.yaml"
    file.write_text(text)
    return file


CHOICE = """
task: legs
dataset_path: json
dataset_kwargs:
  data_files: {test: test.jsonl, train: shots.json}
test_split: test
training_split: train
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: label
doc_to_choice: options
metric_list:
  - metric: acc
"""


def test_multiple_choice_is_read_as_the_harness_would_ask_it(folder):
    asked = read_harness(write(folder, CHOICE + 'num_fewshot: 2\ndescription: "Count.\\n\\n"\n'))
    assert (asked.name, asked.choose, asked.per_character, len(asked.items)) == ("legs", True, False, 8)
    first = asked.items[0]
    assert first.prompt == (
        "Count.\n\nQuestion: How many legs have 7 cats?\nAnswer: 28\n\nQuestion: How many legs have 8 cats?\nAnswer: 32"
        "\n\nQuestion: How many legs have 1 cats?\nAnswer:"
    )
    assert (first.choices, first.answer, first.joint) == (("4", "5"), "4", " ")
    assert asked.chance == pytest.approx(0.5)


def test_templates_for_target_and_choices(folder):
    text = CHOICE.replace("doc_to_target: label", 'doc_to_target: "{{label}}"')
    text = text.replace("doc_to_choice: options", 'doc_to_choice: "{{[options[1], options[0]]}}"')
    asked = read_harness(write(folder, text.replace("metric: acc", "metric: acc_norm")), limit=3)
    assert len(asked.items) == 3
    assert asked.per_character
    assert [item.answer for item in asked.items] == ["5", "9", "13"], "digits of a template are a place"


def test_written_answers_by_exact_match_behind_a_regex(folder):
    asked = read_harness(
        write(
            folder,
            """
task: legs_written
dataset_path: json
dataset_kwargs: {data_files: test.jsonl}
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer.split('#### ')[-1]}}"
generation_kwargs: {until: ["\\n\\n"]}
filter_list:
  - name: strict
    filter:
      - {function: regex, regex_pattern: "#### (\\\\d+)"}
      - {function: take_first}
metric_list:
  - {metric: exact_match, ignore_case: true, ignore_punctuation: true}
num_fewshot: 1
""",
        )
    )
    assert len(asked.items) == 7, "the example is not asked"
    item = asked.items[0]
    assert item.answer == "8"
    assert asked.right("It is two times four.\n#### 8\n\nNext", item)
    assert not asked.right("8", item)
    assert not asked.right("Hm.\n\n#### 8", item)
    assert asked.chance == pytest.approx(1 / 7)


def test_an_include_is_a_base(folder):
    (folder / "base.yaml").write_text(CHOICE)
    asked = read_harness(write(folder, "include: base.yaml\ntask: other\ntarget_delimiter: ''\n"))
    assert asked.name == "other"
    assert asked.items[0].solved.endswith("Answer:4")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("dataset_path: json", "dataset_path: super_glue"), "only local data is read"),
        (("test.jsonl", "none.jsonl"), "none.jsonl cannot be read"),
        (("doc_to_target: label", "doc_to_target: !function utils.target"), "Python code"),
        (("metric: acc", "metric: f1"), "metric 'f1' is not covered"),
        (("output_type: multiple_choice", "output_type: loglikelihood_rolling"), "output_type 'loglikelihood_rolling'"),
        (("test_split: test", "test_split: dev"), "no split 'dev'"),
        (("{{question}}", "{{query}}"), "'query' is undefined"),
        (("task: legs", "task: legs\nprocess_docs: x"), "'process_docs' is not covered"),
        (("task: legs", "task: legs\nnum_fewshot: 3"), "2 documents are too few for 3 examples"),
        (("{{question}}", "{{question.__class__.__mro__}}"), "unsafe"),
        (("task: legs", "task: [legs"), "task .*legs.yaml"),
    ],
)
def test_what_is_not_covered_is_refused_by_name(folder, change, said):
    with pytest.raises(PromptError, match=said):
        read_harness(write(folder, CHOICE.replace(*change)))

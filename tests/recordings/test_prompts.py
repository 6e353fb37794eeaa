from pathlib import Path

import pytest

from brodmann.errors import PromptError
from brodmann.recordings import as_prompts, read_prompts


def test_the_cognitive_set_is_sixty_prompts_in_six_kinds_of_ten():
    prompts = read_prompts("cognitive")
    assert len(prompts) == 60
    counts = {kind: sum(p.category == kind for p in prompts.prompts) for kind in prompts.categories}
    assert counts == dict.fromkeys(("syntax", "part_of_speech", "numerical", "common_sense", "abstract", "social"), 10)
    assert len({p.text for p in prompts.prompts}) == 60
    assert prompts.prompts[0].id == "syntax-01"


def test_prompts_of_a_kind_are_similarly_long():
    prompts = read_prompts("cognitive")
    for kind in prompts.categories:
        words = [len(p.text.split()) for p in prompts.prompts if p.category == kind]
        assert max(words) <= 1.5 * min(words), kind


def test_the_hash_is_of_the_content_not_of_the_file(tmp_path: Path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text('["One.", "Two."]')
    (tmp_path / "c.json").write_text('["One.", "Two!"]')
    a, b, c = (read_prompts(tmp_path / name) for name in ("a.json", "b.json", "c.json"))
    assert a.hash == b.hash != c.hash
    assert as_prompts(["One.", "Two."]).hash == a.hash
    assert as_prompts(["Two.", "One."]).hash != a.hash


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '["One, two.", {"prompt": "Drei", "category": "de", "id": "x"}]'),
        ("b.json", '{"about": "mine", "prompts": ["One, two.", {"prompt": "Drei", "category": "de", "id": "x"}]}'),
        ("c.jsonl", '"One, two."\n\n{"prompt": "Drei", "category": "de", "id": "x"}\n'),
        ("d.csv", 'id,prompt,category\n,"One, two.",\nx,Drei,de\n'),
        ("e.CSV", '\ufeffprompt, category,id\r\n"One, two.",,\r\nDrei,de,x\r\n'),
        ("f.json", '["One, two.", {"prompt": "Drei", "category": "de", "id": "x", "note": null}]'),
        (
            "g.json",
            '[{"prompt": "One, two.", "id": null, "category": null}, {"prompt":"Drei","category":"de","id":"x"}]',
        ),
    ],
)
def test_all_formats_give_the_same_prompts(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    found = read_prompts(tmp_path / name).prompts
    assert [(p.id, p.category, p.text) for p in found] == [
        ("prompt-001", "uncategorised", "One, two."),
        ("x", "de", "Drei"),
    ]


def test_a_corpus_has_one_passage_per_block(tmp_path: Path):
    (tmp_path / "book.txt").write_text("First line\nsecond line\r\n\n  \n\nAnother block\n")
    found = read_prompts(tmp_path / "book.txt")
    assert found.corpus
    assert [(p.id, p.text) for p in found.prompts] == [
        ("line-1", "First line\nsecond line"),
        ("line-6", "Another block"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.json", b"  \n", "empty.json is empty"),
        ("none.json", b"[]", "no prompts in it"),
        ("none.csv", b"prompt\n", "no prompts in it"),
        ("broken.json", b'[\n"a",\n"b\n]', "broken.json, line 3: not JSON"),
        ("broken.jsonl", b'"a"\n{"prompt": \n', "broken.jsonl, line 2: not JSON"),
        ("deep.json", b"[" * 100_000, "nested too deeply"),
        ("number.json", b"3", "expected a list of prompts, found int"),
        ("object.json", b'{"a": 1}', "a list under 'prompts'"),
        ("field.jsonl", b'"a"\n\n{"text": "b"}', "field.jsonl, line 3: no field 'prompt' (found: text)"),
        ("column.csv", b"text,id\na,b\n", "column.csv, line 1: no column 'prompt' (found: text, id)"),
        ("wide.csv", b"prompt,id\na,b,c\n", "wide.csv, line 2: more fields than columns"),
        ("quote.csv", b'prompt\n"a"b\n', "quote.csv, line 2: not CSV"),
        ("latin.csv", "prompt\nok\ncaf\xe9\n".encode("latin-1"), "latin.csv, line 3: not UTF-8"),
        ("nul.txt", b"a\nb\0c\n", "nul.txt, line 2: a NUL character"),
        (
            "twice.jsonl",
            b'{"prompt":"a","id":"x"}\n{"prompt":"b","id":"x"}',
            "line 2: id 'x' was already used at line 1",
        ),
        ("blank.jsonl", b'"a"\n" "', "blank.jsonl, line 2: the prompt is empty"),
        ("blank.csv", b"prompt,id\na,1\n,2\n", "blank.csv, line 3: the prompt is empty"),
        ("type.json", b'["a", 3]', "type.json, entry 2: expected a string or an object"),
        ("text.json", b'[{"prompt": 3}]', "'prompt' must be text, found int"),
        ("id.json", b'[{"prompt": "a", "id": ["b"]}]', "'id' must be text or a whole number"),
        ("half.json", b'["\\ud800"]', "half a surrogate pair"),
        ("prompts.docx", b"x", "nor a file in .json, .jsonl, .csv, .txt"),
    ],
)
def test_errors_are_one_line_and_say_where(tmp_path: Path, name: str, content: bytes, says: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PromptError) as caught:
        read_prompts(tmp_path / name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path):
    with pytest.raises(PromptError, match=r"gone\.json does not exist"):
        read_prompts(tmp_path / "gone.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(PromptError, match=r"folder\.json cannot be read: Is a directory"):
        read_prompts(tmp_path / "folder.json")

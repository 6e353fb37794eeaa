"""The texts that a model works on while it is recorded.

The built-in set has sixty prompts of our own in the six kinds of arXiv 2601.06851 (appendix A); a user's JSON, JSONL or
CSV works as well, and a plain-text file is a corpus for reading. How a prompt is wrapped and cut into tokens is decided
in `tokens.py`; nothing here opens a model.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from brodmann.errors import PromptError
from brodmann.plain import digest

BUILT_IN = ("cognitive",)
FORMATS = (".json", ".jsonl", ".csv", ".txt")
UNCATEGORISED = "uncategorised"


@dataclass(frozen=True)
class Prompt:
    """One text that a model answers or reads."""

    id: str
    category: str
    text: str


@dataclass(frozen=True)
class PromptSet:
    """An ordered set of prompts with unique ids."""

    name: str
    prompts: tuple[Prompt, ...]
    corpus: bool = False
    """Running text: in reading mode it is cut into windows of equal length."""

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def hash(self) -> str:
        """Content address of ids, categories and texts; the name of the file does not enter."""
        return digest([[p.id, p.category, p.text] for p in self.prompts])

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories in order of first appearance."""
        return tuple(dict.fromkeys(p.category for p in self.prompts))


def read_prompts(source: str | Path) -> PromptSet:
    """Read a prompt set.

    Parameters
    ----------
    source
        ``cognitive``, or a file: ``.json`` (a list of strings or of objects with ``prompt`` and perhaps ``category``
        and ``id``; or an object with such a list under ``prompts``), ``.jsonl`` (one such entry a line), ``.csv`` (a
        column ``prompt``, perhaps ``category`` and ``id``), ``.txt`` (a corpus: one passage per block between blank
        lines).

    Raises
    ------
    PromptError
        With file and line: missing, empty or undecodable file, malformed entry, missing column, repeated id.

    Examples
    --------
    >>> prompts = read_prompts("cognitive")
    >>> len(prompts), len(prompts.categories)
    (60, 6)
    """
    if str(source) in BUILT_IN:
        text = (files("brodmann.recordings") / "data" / f"{source}.json").read_text(encoding="utf-8")
        return _json(text, str(source), str(source))
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise PromptError(
            f"prompts '{source}': neither a built-in set ({', '.join(BUILT_IN)}) nor a file in {', '.join(FORMATS)}"
        )
    text = _text(path)
    reader = {".json": _json, ".jsonl": _jsonl, ".csv": _csv, ".txt": _corpus}[suffix]
    return reader(text, path.stem, str(path))


def as_prompts(source: "str | Path | PromptSet | list[str] | tuple[str, ...]") -> PromptSet:
    """Take a prompt set, a name, a file, or a plain list of strings."""
    if isinstance(source, PromptSet):
        return source
    if isinstance(source, (str, Path)):
        return read_prompts(source)
    return _collect([(f"entry {n}", entry) for n, entry in enumerate(source, start=1)], "list", "prompts")


def refuse_long(
    lengths: Sequence[tuple[str, int]], new_tokens: int, context: int | None, *, model: str, prompts: str
) -> None:
    """Refuse prompts that do not fit a context, naming the number of new tokens at which all of them do.

    Parameters
    ----------
    lengths
        Id and number of tokens of each prompt.
    new_tokens
        Tokens that come after each prompt; 0 in reading mode.
    context
        Tokens that the model can hold; None where it has no limit.
    model, prompts
        Names for the message.

    Raises
    ------
    PromptError
        Names the longest prompt.

    Examples
    --------
    >>> refuse_long([("a", 28), ("b", 29)], 99, 128, model="m", prompts="p")
    """
    longest, length = max(lengths, key=lambda each: each[1])
    if context is None or length + new_tokens <= context:
        return
    extra = f" + {new_tokens} new tokens" if new_tokens else ""
    hint = f"use --new-tokens {context - length} or less" if new_tokens and length < context else "shorten it"
    raise PromptError(
        f"prompt '{longest}' of {prompts}: {length} tokens{extra} do not fit the context of {model}"
        f" ({context} tokens); {hint}"
    )


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise PromptError(f"prompt file {path} does not exist") from None
    except OSError as error:
        raise PromptError(f"prompt file {path} cannot be read: {error.strerror or error}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PromptError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise PromptError(f"{path}, line {line}: a NUL character, so this is no text file")
    if not text.strip():
        raise PromptError(f"prompt file {path} is empty")
    return text


def _json(text: str, name: str, where: str) -> PromptSet:
    loaded = _parse(text, where, 1)
    if isinstance(loaded, dict):
        if "prompts" not in loaded:
            raise PromptError(f"{where}: expected a list of prompts, or an object with a list under 'prompts'")
        loaded = loaded["prompts"]
    if not isinstance(loaded, list):
        raise PromptError(f"{where}: expected a list of prompts, found {type(loaded).__name__}")
    return _collect([(f"entry {n}", entry) for n, entry in enumerate(loaded, start=1)], name, where)


def _jsonl(text: str, name: str, where: str) -> PromptSet:
    # split("\n"), not splitlines(): U+2028 and the like may stand inside a JSON string
    lines = [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
    return _collect([(f"line {n}", _parse(line, where, n)) for n, line in lines], name, where)


def _parse(text: str, where: str, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise PromptError(f"{where}, line {line}: not JSON ({error.msg} at column {error.colno})") from None
    except RecursionError:
        raise PromptError(f"{where}, line {first_line}: JSON is nested too deeply") from None


def _csv(text: str, name: str, where: str) -> PromptSet:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    entries: list[tuple[str, Any]] = []
    try:
        columns = [str(column).strip() for column in reader.fieldnames or ()]
        if "prompt" not in columns:
            raise PromptError(f"{where}, line 1: no column 'prompt' (found: {', '.join(columns)})")
        reader.fieldnames = columns
        for row in reader:
            if None in row:
                raise PromptError(f"{where}, line {reader.line_num}: more fields than columns; quote text with commas")
            # an empty cell is a missing value: the default applies, except for the prompt itself
            entry = {key: value for key, value in row.items() if value or key == "prompt"}
            entries.append((f"line {reader.line_num}", entry))
    except csv.Error as error:
        raise PromptError(f"{where}, line {reader.reader.line_num}: not CSV ({error})") from None
    return _collect(entries, name, where)


def _corpus(text: str, name: str, where: str) -> PromptSet:
    blocks: list[tuple[int, list[str]]] = []
    open_block = False
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            open_block = False
        elif open_block:
            blocks[-1][1].append(line.rstrip("\r"))
        else:
            blocks.append((number, [line.rstrip("\r")]))
            open_block = True
    entries = [(f"line {n}", {"prompt": "\n".join(lines), "id": f"line-{n}"}) for n, lines in blocks]
    found = _collect(entries, name, where)
    return PromptSet(name, found.prompts, corpus=True)


def _collect(entries: list[tuple[str, Any]], name: str, where: str) -> PromptSet:
    """Check entries and give each an id; `entries` pairs a place in the file with a string or a mapping."""
    if not entries:
        raise PromptError(f"{where}: no prompts in it")
    prompts: list[Prompt] = []
    places: dict[str, str] = {}
    width = max(3, len(str(len(entries))))
    for number, (place, entry) in enumerate(entries, start=1):
        prompt = _prompt(entry, f"prompt-{number:0{width}d}", f"{where}, {place}")
        if prompt.id in places:
            raise PromptError(f"{where}, {place}: id '{prompt.id}' was already used at {places[prompt.id]}")
        places[prompt.id] = place
        prompts.append(prompt)
    return PromptSet(name, tuple(prompts))


def _prompt(entry: Any, default_id: str, where: str) -> Prompt:
    if isinstance(entry, str):
        entry = {"prompt": entry}
    if not isinstance(entry, dict):
        raise PromptError(f"{where}: expected a string or an object with 'prompt', found {type(entry).__name__}")
    if "prompt" not in entry:
        raise PromptError(f"{where}: no field 'prompt' (found: {', '.join(map(str, entry)) or 'nothing'})")
    text = entry["prompt"]
    if not isinstance(text, str):
        raise PromptError(f"{where}: 'prompt' must be text, found {type(text).__name__}")
    if not text.strip():
        raise PromptError(f"{where}: the prompt is empty")
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise PromptError(f"{where}: the prompt holds half a surrogate pair, which is no text")
    # null is how JSON writes a missing value
    identifier = default_id if entry.get("id") is None else entry["id"]
    category = UNCATEGORISED if entry.get("category") is None else entry["category"]
    for field, value in (("id", identifier), ("category", category)):
        if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
            raise PromptError(f"{where}: '{field}' must be text or a whole number, found {value!r}")
    return Prompt(str(identifier), str(category), text)

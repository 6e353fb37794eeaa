"""What a model's name stands for, looked up without reading a weight.

Serves two ends: the fingerprint that lets a finished command end at once, and the size that `--dry-run` reckons with.
Reads file names, sizes and dates, ``config.json``, and the headers of safetensors, GGUF and npz files; nothing else.
Whether a model can really be opened is decided where it is opened (`brodmann.models`).
"""

import contextlib
import hashlib
import json
import math
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from brodmann.models.packaged import PACKAGED
from brodmann.plain import digest
from brodmann.settings import LoadSettings

_GLASS = {
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 128, "vocab_size": 1024,
    "max_position_embeddings": 128,
}  # fmt: skip
_NUMBERS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class Source:
    """Where a model's files are."""

    name: str
    files: tuple[Path, ...]
    """Files that make up the model; empty where nothing is found on this machine."""
    kind: str
    """"folder", "gguf", "package", "cache", "random" or "unknown"."""


@dataclass(frozen=True)
class Header:
    """What configuration and headers tell."""

    config: dict[str, Any]
    """Keys of transformers' config files."""
    parameters: int | None
    """Exact number of weights, where a header lists them all."""
    read: str
    """Where this was read, in words."""


def find(model: str, load: LoadSettings) -> Source:
    """Look a model up on this machine."""
    if model.startswith("random:"):
        return Source(model, (), "random")
    if model in PACKAGED:
        return Source(model, PACKAGED[model].files(load.revision) if PACKAGED[model].installed else (), "package")
    path = Path(model).expanduser()
    if path.is_dir():
        return Source(model, tuple(sorted(p for p in path.iterdir() if p.is_file())), "folder")
    if path.is_file():
        return Source(model, (path,), "gguf" if path.suffix.lower() == ".gguf" else "unknown")
    snapshot = _in_cache(model, load.revision)
    if snapshot is not None:
        return Source(model, tuple(sorted(p for p in snapshot.iterdir() if p.is_file())), "cache")
    return Source(model, (), "unknown")


def vocabulary(source: Source) -> str | None:
    """Address of the tokens that a model's ids stand for; None where only opening the model tells."""
    if source.kind == "random":
        return "bytes"
    for path in source.files:
        if path.suffix == ".npz":
            path = path.with_suffix("").with_suffix(".tokenizer.json")
        if path.name.endswith("tokenizer.json"):
            with contextlib.suppress(OSError, ValueError):
                told = json.loads(path.read_text(encoding="utf-8"))
                return digest(told.get("model", told).get("vocab", told))
    return None


def identity(model: str, load: LoadSettings) -> list[Any]:
    """What must stay the same for a model to be taken as the same without opening it."""
    source = find(model, load)
    stamps: list[list[Any]] = []
    for path in source.files:
        with contextlib.suppress(OSError):
            real = path.resolve()
            stat = real.stat()
            stamps.append([str(real), stat.st_size, stat.st_mtime_ns])
    return [model, source.kind, stamps]


def file_address(name: str) -> str:
    """Content address of a file's bytes; a name that is no file (a built-in prompt set) stands for itself."""
    try:
        return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except OSError:
        return name


def read_header(source: Source) -> Header | None:
    """Read configuration and headers; None where they tell nothing."""
    names = {path.name: path for path in source.files}
    for path in source.files:
        if path.suffix.lower() == ".gguf":
            return _gguf(path)
        if path.suffix == ".npz":
            return Header(dict(_GLASS), _npz(path), "the header of the package's npz file")
    if "config.json" not in names:
        return None
    try:
        config = json.loads(names["config.json"].read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(config, dict):
        return None
    text = config.get("text_config")
    config = {**config, **text} if isinstance(text, dict) else config
    weights = [path for path in source.files if path.suffix == ".safetensors"]
    counts = [_safetensors(path) for path in weights]
    if weights and all(counts):
        return Header(config, sum(c for c in counts if c), "config.json and the headers of the safetensors files")
    return Header(config, None, "config.json")


def _in_cache(model: str, revision: str | None) -> Path | None:
    if model.count("/") > 1 or not model:
        return None
    with contextlib.suppress(Exception):  # a name no hub would take, or no cache: both mean "not here"
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(model, "config.json", revision=revision)
        if isinstance(config, str):
            return Path(config).parent
    return None


def _safetensors(path: Path) -> int | None:
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > 100_000_000:
                return None
            header = json.loads(file.read(length))
        return sum(int(math.prod(entry["shape"])) for name, entry in header.items() if name != "__metadata__")
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError):
        return None


def _npz(path: Path) -> int | None:
    import numpy as np

    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    version = np.lib.format.read_magic(file)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else (np.lib.format.read_array_header_2_0)
                    )
                    total += math.prod(read(file)[0])
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    return total


def _gguf(path: Path) -> Header | None:
    try:
        with path.open("rb") as file:
            magic, _, tensors, entries = struct.unpack("<4sIQQ", file.read(24))
            if magic != b"GGUF" or tensors > 1_000_000 or entries > 1_000_000:
                return None
            values = dict(_gguf_entry(file) for _ in range(entries))
            parameters = sum(_gguf_tensors(file, tensors))
    except (OSError, struct.error, ValueError, KeyError, MemoryError, OverflowError):
        return None
    family = values.get("general.architecture", "")
    names = {
        "num_hidden_layers": "block_count", "num_attention_heads": "attention.head_count",
        "num_key_value_heads": "attention.head_count_kv", "hidden_size": "embedding_length",
        "intermediate_size": "feed_forward_length", "max_position_embeddings": "context_length",
        "head_dim": "attention.key_length", "num_experts": "expert_count", "num_experts_per_tok": "expert_used_count",
        "vocab_size": "vocab_size",
    }  # fmt: skip
    config = {ours: values[f"{family}.{theirs}"] for ours, theirs in names.items() if f"{family}.{theirs}" in values}
    config.setdefault("vocab_size", values.get("tokenizer.ggml.tokens"))
    return Header({**config, "model_type": family}, parameters, "the header of the GGUF file")


def _gguf_string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > 50_000_000:
        raise ValueError("not a GGUF string")
    raw = file.read(length)
    if len(raw) < length:
        raise ValueError("the file ends inside its header")
    return raw.decode("utf-8", errors="replace")


def _gguf_entry(file: BinaryIO) -> tuple[str, Any]:
    key = _gguf_string(file)
    (kind,) = struct.unpack("<I", file.read(4))
    return key, _gguf_value(file, kind)


def _gguf_value(file: BinaryIO, kind: int) -> Any:
    """Value of an entry; of an array its length, which for the vocabulary is what we want to know."""
    if kind == _STRING:
        return _gguf_string(file)
    if kind == _ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        if inner in _NUMBERS:
            file.seek(struct.calcsize(_NUMBERS[inner]) * count, 1)
        else:
            for _ in range(count):
                _gguf_value(file, inner)
        return count
    return struct.unpack(_NUMBERS[kind], file.read(struct.calcsize(_NUMBERS[kind])))[0]


def _gguf_tensors(file: BinaryIO, count: int) -> Iterator[int]:
    for _ in range(count):
        _gguf_string(file)
        (dims,) = struct.unpack("<I", file.read(4))
        if dims > 8:
            raise ValueError("not a GGUF tensor")
        yield math.prod(struct.unpack(f"<{dims}Q", file.read(8 * dims)))
        file.read(12)

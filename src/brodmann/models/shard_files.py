"""What lies in safetensors and GGUF files: headers, and plain reads of some bytes.

No torch; nothing stays mapped. Opened by `shards.py`.
"""

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brodmann.errors import ModelError, WeightsError, one_line
from brodmann.models import gguf_reader
from brodmann.models.folder import PICKLED

Storage = Literal["float16", "bfloat16", "float32", "float64"]

PLAIN: dict[str, Storage] = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
ARRAYS: dict[Storage, Any] = {
    "float16": np.uint16,
    "bfloat16": np.uint16,
    "float32": np.float32,
    "float64": np.float64,
}
_INDEX = "model.safetensors.index.json"
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class Entry:
    """Where a tensor is, and in what form."""

    dtype: str
    """As its file says: ``F32``, ``BF16``, ``F8_E4M3``, ``Q4_0``."""
    shape: tuple[int, ...]
    storage: Storage | None
    """Form in which it is read; None where it holds no plain numbers."""
    file: Path | None = None
    """None for tensors of an opened model."""
    start: int = 0
    """First byte in the file."""
    size: int = 0
    """Bytes in the file."""


Fetch = Callable[[str, Entry, int, int], NDArray[np.generic]]
"""Some elements of a tensor, counted along its flat form: name, entry, first, how many."""


def chosen_files(folder: Path) -> dict[Path, list[str]]:
    """Files with the weights, as transformers would choose; of those an index lists, the tensors it says they hold."""
    whole, index = folder / "model.safetensors", folder / _INDEX
    if whole.is_file():
        return {whole: []}
    if index.is_file():
        listed = read_json(index, "").get("weight_map")
        if not isinstance(listed, dict) or not all(isinstance(file, str) for file in listed.values()):
            raise WeightsError(f"{index} is damaged: it has no weight_map of tensors and files")
        if any(Path(file).name != file for file in listed.values()):
            raise WeightsError(f"{index} names files outside the folder")
        files: dict[Path, list[str]] = {}
        for tensor, file in listed.items():
            files.setdefault(folder / file, []).append(tensor)
        return files
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
        kept = f" (pickle, as in {pickled[0]}, is not read)" if pickled else ""
        raise WeightsError(f"{folder} holds no .safetensors file{kept}")
    return {path: [] for path in found}


def read_json(path: Path, missing: str) -> dict[str, Any]:
    """Mapping in a file; ``missing`` is what to say where there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(missing) from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {one_line(error)}") from None
    if not isinstance(values, dict):
        raise WeightsError(f"{path} is damaged: a mapping was expected")
    return values


def safetensors_entries(path: Path) -> dict[str, Entry]:
    """Entries of a whole, undamaged file."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size - 8, _LONGEST_HEADER):
                raise ValueError("header longer than the file")
            header = json.loads(stream.read(length))
        entries = {}
        for key, value in header.items():
            if key != "__metadata__":
                start, end = value["data_offsets"]
                shape = tuple(int(extent) for extent in value["shape"])
                entries[key] = Entry(
                    value["dtype"], shape, PLAIN.get(value["dtype"]), path, 8 + length + start, end - start
                )
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is no whole safetensors file: its header is damaged ({one_line(error)})") from None
    for key, entry in entries.items():
        wanted = math.prod(entry.shape) * (_itemsize(entry.storage) if entry.storage else 0)
        if entry.start < 8 + length or entry.size < 0 or (entry.storage and entry.size != wanted):
            raise WeightsError(f"{path} has a damaged header: {key} does not have the bytes of its shape")
    last = max(entries.values(), key=lambda entry: entry.start + entry.size, default=None)
    if last is not None and last.start + last.size > size:
        key = next(key for key, entry in entries.items() if entry.start + entry.size > size)
        raise WeightsError(f"{path} is cut short: {size} bytes of {last.start + last.size}; {key} is not whole")
    return entries


def _itemsize(storage: Storage) -> int:
    return int(np.dtype(ARRAYS[storage]).itemsize)


def fetch_plain(name: str, entry: Entry, start: int, count: int) -> NDArray[np.generic]:
    """Elements of a tensor whose numbers lie plainly in its file."""
    assert entry.storage is not None
    step = _itemsize(entry.storage)
    return _bytes(name, entry, start * step, count * step).view(ARRAYS[entry.storage])


def _bytes(name: str, entry: Entry, start: int, size: int) -> NDArray[np.uint8]:
    """Bytes of a tensor, read and not mapped."""
    assert entry.file is not None
    found = np.empty(size, np.uint8)
    left = memoryview(found.data)
    try:
        with entry.file.open("rb", buffering=0) as stream:
            stream.seek(entry.start + start)
            while len(left):  # one call gives 2 GiB at most
                got = stream.readinto(left)
                if not got:
                    raise WeightsError(f"{entry.file} is cut short: it ends inside {name}")
                left = left[got:]
    except OSError as error:
        raise WeightsError(f"{entry.file} cannot be read: {error.strerror or error}") from None
    return found


def gguf_entries(path: Path) -> tuple[dict[str, Any], dict[str, Entry], Fetch]:
    """Config and entries of a GGUF file by their Hugging Face names, and how to read them.

    Queries and keys come in transformers' order of rows.
    """
    if not path.is_file():
        raise WeightsError(f"there is no file {path}")
    entries: dict[str, Entry] = {}
    kinds: dict[str, Any] = {}
    turned: dict[str, int] = {}
    architecture = ""
    try:
        reader = gguf_reader.opened(path)
        architecture = str(gguf_reader.field(reader, "general.architecture", ""))
        if architecture not in gguf_reader.ARCHITECTURES:
            raise ValueError(f"known are {', '.join(gguf_reader.ARCHITECTURES)}")
        if reader.byte_order != "I":
            raise ValueError("its bytes are in another order than this machine's")
        config = gguf_reader.read_config(reader, architecture)
        for tensor in gguf_reader.tensors(reader):
            key, kind = gguf_reader.hf_name(tensor.name), tensor.tensor_type
            shape = tuple(int(extent) for extent in reversed(tensor.shape))
            storage = PLAIN.get(kind.name, "float32")
            entries[key] = Entry(kind.name, shape, storage, path, int(tensor.data_offset), int(tensor.n_bytes))
            kinds[key] = kind
            heads = gguf_reader.rotated_heads(architecture, tensor.name, config)
            if heads is not None:
                turned[key] = heads
    except ModelError as error:
        raise WeightsError(str(error)) from None
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path} (architecture '{architecture}') cannot be read: {one_line(error)}") from None

    def part(key: str, entry: Entry, start: int, count: int) -> NDArray[np.generic]:
        if entry.dtype in PLAIN:
            return fetch_plain(key, entry, start, count)
        width, whole = entry.shape[-1], math.prod(entry.shape)
        stride = entry.size * width // whole  # blocks never cross the end of a row
        blocks = _bytes(key, entry, start // width * stride, count // width * stride).reshape(-1, stride)
        try:
            return gguf_reader.dequantised_rows(blocks, kinds[key]).reshape(-1)
        except (NotImplementedError, ValueError) as error:
            raise WeightsError(f"{path}: {key} ({entry.dtype}) cannot be dequantised: {one_line(error)}") from None

    def fetch(key: str, entry: Entry, start: int, count: int) -> NDArray[np.generic]:
        if key not in turned:
            return part(key, entry, start, count)
        values = part(key, entry, 0, math.prod(entry.shape)).reshape(entry.shape)
        return gguf_reader.halves(values, turned[key]).reshape(-1)[start : start + count]

    return config, entries, fetch

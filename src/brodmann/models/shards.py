"""The tensors of a checkpoint, one at a time, without building the model and without torch.

Plain reads into an array of the size asked for: nothing is mapped, so that memory stays bounded by the largest piece
read, however large the files are. Numbers come as they are stored; only GGUF's blocks are dequantised. Which tensor
connects what is said in `chains.py`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brodmann.errors import WeightsError
from brodmann.models.packaged import PACKAGED
from brodmann.models.shard_files import (
    ARRAYS,
    PLAIN,
    Entry,
    Fetch,
    Storage,
    chosen_files,
    fetch_plain,
    gguf_entries,
    read_json,
    safetensors_entries,
)


@dataclass(frozen=True, eq=False)
class Stored:
    """Numbers as they are stored."""

    raw: NDArray[np.generic]
    """float32 or float64 numbers, or the bits of 16-bit ones as uint16; contiguous. Not to be written to: those of an
    opened model may be the model's own."""
    storage: Storage


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The tensors of one state of a model, and its config.

    Examples
    --------
    >>> nano = open_checkpoint("nano", "step0")
    >>> stored = nano.read("gpt_neox.layers.0.attention.dense.weight")
    >>> stored.storage, stored.raw.shape, stored.raw.dtype.name
    ('float16', (96, 96), 'uint16')
    """

    name: str
    config: dict[str, Any]
    """Values of config.json; those of ``text_config`` stand in for the model's own."""
    tensors: Mapping[str, Entry]
    """By their Hugging Face names."""
    fetch: Fetch
    revision: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that hold the tensors; none for an opened model."""
        return tuple(sorted({entry.file for entry in self.tensors.values() if entry.file is not None}))

    def entry(self, name: str) -> Entry:
        """Entry of a tensor that can be read.

        Raises
        ------
        WeightsError
            If there is no such tensor, or it holds no plain numbers.
        """
        if name not in self.tensors:
            raise WeightsError(f"{self.name} has no tensor {name}")
        found = self.tensors[name]
        if found.storage is None:
            raise WeightsError(
                f"{self.name}: {name} is stored as {found.dtype}, which is no plain number: dequantise the model first"
                " and save it as float16, bfloat16 or float32"
            )
        return found

    def read(self, name: str, *, index: int | None = None, rows: slice | None = None) -> Stored:
        """Numbers of a tensor, or of a part of it; only that part is read.

        Parameters
        ----------
        name
            One of `tensors`.
        index
            Which one of the slices along the first axis, for the fused experts of a layer.
        rows
            Which slices along the first axis (after `index`, along the one that is then the first).

        Raises
        ------
        WeightsError
            If there is no such tensor, it holds no plain numbers, or its file cannot be read to the end.
        """
        entry = self.entry(name)
        shape, start = entry.shape, 0
        if index is not None:
            start, shape = range(shape[0])[index] * math.prod(shape[1:]), shape[1:]
        if rows is not None:
            taken = range(shape[0])[rows]
            if taken.step == 1:
                start, shape, rows = start + taken.start * math.prod(shape[1:]), (len(taken), *shape[1:]), None
        raw = self.fetch(name, entry, start, math.prod(shape)).reshape(shape)
        raw = raw if rows is None else np.ascontiguousarray(raw[rows])
        assert entry.storage is not None
        return Stored(raw, entry.storage)


def open_checkpoint(name: str | Path, revision: str | None = None) -> Checkpoint:
    """Open a checkpoint on this machine: its headers are read, its numbers when they are asked for.

    Parameters
    ----------
    name
        A folder of safetensors files, a ``.gguf`` file, a model that ships in a package as one of these, or a hub id
        whose files have been fetched.
    revision
        Branch, tag or commit of a hub model; training step of ``nano``.

    Raises
    ------
    WeightsError
        If it is not there, is damaged or incomplete, or can only be opened as a model (`from_model`).
    """
    name = str(name)
    path = Path(name).expanduser()
    if name in PACKAGED:
        return _open_packaged(name, revision)
    if name.startswith("random:"):
        raise _only_opened(name)
    if revision is not None and path.exists():
        raise WeightsError(f"{path} is on this machine in one state, so it has no revision '{revision}'")
    if path.suffix.lower() == ".gguf":
        return Checkpoint(name, *gguf_entries(path))
    if path.is_dir():
        return _open_folder(name, path, chosen_files(path), None)
    return _open_cached(name, revision)


def from_model(model: Any, name: str | None = None) -> Checkpoint:
    """Tensors of an opened model, by the names of its ``state_dict``.

    Nothing is copied ahead: while a model is trained, each reading gives the numbers of that moment.

    Parameters
    ----------
    model
        A transformers model; any torch module with a ``config`` in this sense.
    name
        What errors call it.

    Raises
    ------
    WeightsError
        If it has no config. Reading raises for tensors that are quantised or on no device.
    """
    import torch

    config = getattr(model, "config", None)
    if config is None:
        raise WeightsError(f"{type(model).__name__} has no config, so its architecture is unknown")
    called = name or getattr(config, "_name_or_path", "") or type(model).__name__
    kinds = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32", torch.float64: "F64"}
    state = {key: value for key, value in model.state_dict().items() if isinstance(value, torch.Tensor)}

    def fetch(key: str, entry: Entry, start: int, count: int) -> NDArray[np.generic]:
        tensor = state[key].detach()
        if tensor.is_meta:
            raise WeightsError(f"{called}: {key} is on no device; open the model with one")
        part = tensor.reshape(-1)[start : start + count].cpu()
        bits = part.view(torch.int16) if entry.dtype in ("F16", "BF16") else part
        array: NDArray[np.generic] = bits.numpy()
        return array.view(ARRAYS[entry.storage]) if entry.storage else array

    entries = {}
    for key, value in state.items():
        dtype = kinds.get(value.dtype, str(value.dtype).removeprefix("torch."))
        entries[key] = Entry(dtype, tuple(value.shape), PLAIN.get(dtype))
    stated = dict(PACKAGED[called].config) if called in PACKAGED else {}
    return Checkpoint(called, _merged(config.to_dict()) | stated, entries, fetch)


def only_opened(name: str) -> bool:
    """Whether a name stands for a model that has no tensors on disk in a form that is read here."""
    return name.startswith("random:") or (name in PACKAGED and PACKAGED[name].ending.endswith(".npz"))


def _only_opened(name: str) -> WeightsError:
    return WeightsError(
        f"{name} has no checkpoint of tensors on disk; open it and use from_model(load({name!r}).model)"
    )


def _open_packaged(name: str, revision: str | None) -> Checkpoint:
    packaged = PACKAGED[name]
    step = packaged.chosen(revision)
    files = packaged.files(step)
    if packaged.ending.endswith(".npz"):
        raise _only_opened(name)
    if files[0].suffix == ".gguf":
        config, tensors, fetch = gguf_entries(files[0])
        return Checkpoint(name, config | dict(packaged.config), tensors, fetch, step)
    weights = [each for each in files if each.suffix == ".safetensors"]
    return _open_folder(name, packaged.file().parent, {each: [] for each in weights}, step)


def _open_cached(name: str, revision: str | None) -> Checkpoint:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        config = None
    if not isinstance(config, str):
        at = f" at revision '{revision}'" if revision else ""
        raise WeightsError(
            f"{name}{at} is not on this machine: give a folder or a .gguf file, or fetch the model first"
        )
    folder = Path(config).parent
    return _open_folder(name, folder, chosen_files(folder), folder.name)


def _open_folder(name: str, folder: Path, files: Mapping[Path, list[str]], revision: str | None) -> Checkpoint:
    """Checkpoint of some files; of each, the tensors that it must hold."""
    config = read_json(folder / "config.json", f"{folder} holds no config.json, so its architecture is unknown")
    entries: dict[str, Entry] = {}
    for path, must in files.items():
        if not path.is_file():
            raise WeightsError(f"{path} is missing: the index lists it, with {must[0]} in it")
        found = safetensors_entries(path)
        lacking = next((key for key in must if key not in found), None)
        if lacking is not None:
            raise WeightsError(f"{path} lacks {lacking}, which the index says it holds")
        twice = next((key for key in found if key in entries), None)
        if twice is not None:
            raise WeightsError(f"{folder}: {twice} is in {entries[twice].file} and in {path}; keep one of them")
        entries.update(found)
    return Checkpoint(name, _merged(config), entries, fetch_plain, revision)


def _merged(config: dict[str, Any]) -> dict[str, Any]:
    text = config.get("text_config")
    return {**config, **text} if isinstance(text, dict) else config

"""Looking at a model folder before anything is read from it, so that each mistake gets its own clear line."""

import json
import struct
from pathlib import Path

from brodmann.errors import ModelError

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
NO_TOKENIZER = "no tokenizer in the folder: save it there too (tokenizer.save_pretrained)"
_TOKENIZERS = ("token", "vocab", "merges", "spiece", "sentencepiece", "tekken", "bpe")


def check_folder(folder: Path, *, allow_pickle: bool) -> None:
    """Refuse a folder that cannot be opened safely.

    Raises
    ------
    ModelError
        If there is no config or no weights, weights are pickled (and not allowed), or a safetensors file is damaged
        or cut short, or there is no tokenizer.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(f"{folder} holds no config.json, so it is no model folder")
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{config} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict) or not isinstance(values.get("model_type"), str):
        raise ModelError(f"{config} does not name a model_type")
    tensors = sorted(folder.glob("*.safetensors"))
    if not tensors:
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
        if pickled and not allow_pickle:
            raise ModelError(
                f"{folder} has its weights as pickle ({pickled[0]}), which can run code: convert them to safetensors,"
                " or allow pickle if you trust them"
            )
        if not pickled:
            raise ModelError(f"{folder} holds no weights (no .safetensors file)")
    for path in tensors:
        check_safetensors(path)
    if not any(
        path.name.startswith(_TOKENIZERS) or path.suffix in (".tiktoken", ".model") for path in folder.iterdir()
    ):
        raise ModelError(f"{folder}: {NO_TOKENIZER}")


def check_safetensors(path: Path) -> None:
    """Raise ModelError where a safetensors file is damaged or shorter than its header says."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > size - 8:
                raise ValueError("header longer than the file")
            header = json.loads(stream.read(length))
        end = max((entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0)
    except (ValueError, struct.error, KeyError, TypeError, AttributeError, OSError):
        raise ModelError(f"{path} is not a whole safetensors file: its header is damaged or cut short") from None
    if 8 + length + end != size:
        raise ModelError(f"{path} is cut short: {size} bytes of {8 + length + end}")

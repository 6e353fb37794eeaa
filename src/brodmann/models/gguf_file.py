"""GGUF files: config and tokenizer converted once into a Hugging Face folder, weights exactly dequantised when opened.

The weights stay where they are: dequantised and written out they would take four times the room and be slower to read.
transformers can open GGUF files too, but parses the vocabulary several times (three times slower for a model of 135
million parameters) and refuses to save what it opened. It is used here for architectures this reader does not know.
"""

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from brodmann.errors import ModelError
from brodmann.models.cache import build_once, file_sha256
from brodmann.models.gguf_reader import (
    ARCHITECTURES,
    dequantised,
    field,
    halves,
    hf_name,
    opened,
    read_config,
    rotated_heads,
    tensors,
)
from brodmann.models.quiet import one_line, quiet

CONVERTER = "2"
"""Version of what is written; a change converts again."""

_THREADS = min(4, os.cpu_count() or 1)

_DIGITS_ALONE = [pre_tokenizers.Digits(individual_digits=True)]
_GPT2_SPLIT = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]


def _split(pattern: str) -> list[Any]:
    return [
        pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]


_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# How text is cut before merging, by the name that GGUF files give it.
_CUTS: dict[str, list[Any]] = {
    "smollm": [*_DIGITS_ALONE, *_GPT2_SPLIT],
    "gpt-2": _GPT2_SPLIT,
    "default": _GPT2_SPLIT,
    "llama-bpe": _split(_WORDS % r"\p{N}{1,3}"),
    "qwen2": _split(_WORDS % r"\p{N}"),
}


def convert(path: Path) -> Path:
    """Hugging Face folder made from a GGUF file, in the cache; made once and then found again.

    It holds config and tokenizer, and the weights only where `read_weights` cannot read them.

    Raises
    ------
    ModelError
        If the file is no GGUF file, is damaged or cut short, or holds an architecture that nobody here reads.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from None
    if len(start) < 8 or start[:4] != b"GGUF":
        raise ModelError(f"{path} is not a GGUF file")

    def build(folder: Path) -> None:
        with quiet():
            _convert(path, folder)

    return build_once(path, f"gguf-{CONVERTER}", build)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Exactly dequantised weights of a GGUF file that `convert` took, float32, by their Hugging Face names.

    Raises
    ------
    ModelError
        If the file is damaged or cut short.
    """
    reader = opened(path)
    architecture = field(reader, "general.architecture", "")
    try:
        with ThreadPoolExecutor(_THREADS) as pool:  # numpy works without the interpreter's lock
            return dict(pool.map(partial(_weight, architecture, read_config(reader, architecture)), tensors(reader)))
    except (ValueError, KeyError, NotImplementedError) as error:
        raise ModelError(f"{path} (architecture '{architecture}') cannot be read: {one_line(error)}") from None


def _weight(architecture: str, config: dict[str, Any], tensor: Any) -> tuple[str, torch.Tensor]:
    values = dequantised(tensor)
    heads = rotated_heads(architecture, tensor.name, config)
    if heads is not None:
        values = halves(values, heads)
    ours = torch.empty(values.shape)  # aligned as torch aligns, so that products have the same bits every time
    ours.numpy()[...] = values
    return hf_name(tensor.name), ours


def _convert(path: Path, folder: Path) -> None:
    reader = opened(path)
    architecture = str(field(reader, "general.architecture", ""))
    try:
        # A sentencepiece vocabulary (kind "llama") is left to transformers as well.
        if architecture in ARCHITECTURES and field(reader, "tokenizer.ggml.model", "") == "gpt2":
            _write_known(reader, architecture, folder)
        else:
            _write_through_transformers(path, folder)
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the file's
        raise ModelError(f"{path} (architecture '{architecture}') cannot be converted: {one_line(error)}") from None
    kinds: dict[str, int] = {}
    for tensor in reader.tensors:
        kinds[tensor.tensor_type.name] = kinds.get(tensor.tensor_type.name, 0) + 1
    stored = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: -item[1]))
    about = {
        "source": path.name,
        "sha256": file_sha256(path),
        "quantisation": stored,
        "licence": field(reader, "general.license", None),
        "converter": CONVERTER,
    }
    (folder / "source.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def _write_known(reader: Any, architecture: str, folder: Path) -> None:
    config = read_config(reader, architecture)
    shapes = {hf_name(tensor.name): tensor.shape for tensor in tensors(reader)}
    config["attention_bias"] = any(name.endswith("o_proj.bias") for name in shapes)
    config["tie_word_embeddings"] = "lm_head.weight" not in shapes
    config["vocab_size"] = int(shapes["model.embed_tokens.weight"][-1])  # rows come last in these files
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    _tokenizer(reader).save_pretrained(folder)


def _tokenizer(reader: Any) -> PreTrainedTokenizerFast:
    cut = field(reader, "tokenizer.ggml.pre", "default")
    if cut not in _CUTS:
        raise ValueError(f"its tokenizer cuts text by the rule '{cut}', which is not supported")
    tokens = field(reader, "tokenizer.ggml.tokens", None)
    merges = [tuple(merge.split(" ", 1)) for merge in field(reader, "tokenizer.ggml.merges", [])]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(_CUTS[cut])
    tokenizer.decoder = decoders.ByteLevel()
    types = field(reader, "tokenizer.ggml.token_type", [])
    # 3: control token, 4: added by the user (ordinary text that is never split).
    control = [
        AddedToken(t, special=True, normalized=False) for t, kind in zip(tokens, types, strict=False) if kind == 3
    ]
    added = [
        AddedToken(t, special=False, normalized=False) for t, kind in zip(tokens, types, strict=False) if kind == 4
    ]
    tokenizer.add_special_tokens(control)
    tokenizer.add_tokens(added)
    names = {}
    for ours, theirs in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        index = field(reader, f"tokenizer.ggml.{theirs}_token_id", None)
        if index is not None and 0 <= int(index) < len(tokens):
            names[f"{ours}_token"] = tokens[int(index)]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template=field(reader, "tokenizer.chat_template", None),
        clean_up_tokenization_spaces=False,
        **names,
    )


def _write_through_transformers(path: Path, folder: Path) -> None:
    # Slow, but it knows more architectures. What it opens cannot be saved: the values go into a model without the mark.
    with redirect_stderr(io.StringIO()):  # a progress bar that the library's own switch does not reach
        opened = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    config = opened.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = type(opened)._from_config(config, dtype=torch.float32)
    plain.load_state_dict(opened.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(folder)

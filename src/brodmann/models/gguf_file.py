"""GGUF files: config and tokenizer converted once into a Hugging Face folder, weights exactly dequantised when opened.

The weights stay where they are: dequantised and written out they would take four times the room and be slower to read.
transformers can open GGUF files too, but parses the vocabulary several times (three times slower for a model of 135
million parameters) and refuses to save what it opened. It is used here for architectures this reader does not know.
"""

import io
import json
import os
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from brodmann.errors import ModelError
from brodmann.models.cache import build_once, file_sha256
from brodmann.models.quiet import one_line, quiet

CONVERTER = "2"
"""Version of what is written; a change converts again."""

_ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_DERIVED = {"rope_freqs.weight"}
_LONG_ROW = 1 << 15
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


class _Reader(gguf.GGUFReader):  # type: ignore[misc]
    """The library's reader, reading a vocabulary in one go: the library slices some 250,000 times for it."""

    @property
    def data(self) -> NDArray[np.uint8]:
        """Bytes of the file, still mapped."""
        return self._plain

    @data.setter
    def data(self, mapped: np.memmap) -> None:
        self._plain = mapped.view(np.ndarray)

    def _get(self, offset: Any, dtype: Any, count: Any = 1, override_order: str | None = None) -> NDArray[Any]:
        values = np.frombuffer(self._plain, dtype, int(count), int(offset))  # a ValueError past the end
        order = override_order or self.byte_order
        return values if order == "I" else values.view(values.dtype.newbyteorder(order))

    def _get_field_parts(
        self, orig_offs: Any, raw_type: Any
    ) -> tuple[int, list[NDArray[Any]], list[int], list[gguf.GGUFValueType]]:
        kinds, at = gguf.GGUFValueType, orig_offs + 12
        if raw_type == kinds.ARRAY:
            kind = kinds(int(self._get(orig_offs, np.uint32)[0]))
            count = int(self._get(orig_offs + 4, np.uint64)[0])
            if kind == kinds.STRING:
                return self._strings(orig_offs, at, count)
            if kind in self.gguf_scalar_to_np:
                values = self._get(at, self.gguf_scalar_to_np[kind], count)
                return 12 + int(values.nbytes), [values], [0], [kinds.ARRAY, kind]
        return super()._get_field_parts(orig_offs, raw_type)  # type: ignore[no-any-return]

    def _strings(
        self, start: Any, at: Any, count: int
    ) -> tuple[int, list[NDArray[Any]], list[int], list[gguf.GGUFValueType]]:
        length = struct.Struct("=Q" if (sys.byteorder == "little") == (self.byte_order == "I") else ">Q")
        raw, parts = self._plain.data, []
        for _ in range(count):
            (size,) = length.unpack_from(raw, at)
            parts.append(np.frombuffer(self._plain, np.uint8, size, at + 8))
            at += 8 + size
        return at - start, parts, list(range(count)), [gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.STRING]


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
    reader = _opened(path)
    architecture = _field(reader, "general.architecture", "")
    try:
        with ThreadPoolExecutor(_THREADS) as pool:  # numpy works without the interpreter's lock
            return dict(pool.map(partial(_weight, architecture, _config(reader, architecture)), _tensors(reader)))
    except (ValueError, KeyError, NotImplementedError) as error:
        raise ModelError(f"{path} (architecture '{architecture}') cannot be read: {one_line(error)}") from None


def _weight(architecture: str, config: dict[str, Any], tensor: Any) -> tuple[str, torch.Tensor]:
    values = _dequantised(tensor)
    if architecture == "llama" and (".attn_q." in tensor.name or ".attn_k." in tensor.name):
        heads = config["num_attention_heads" if ".attn_q." in tensor.name else "num_key_value_heads"]
        values = _halves(values, heads)
    ours = torch.empty(values.shape)  # aligned as torch aligns, so that products have the same bits every time
    ours.numpy()[...] = values
    return _hf_name(tensor.name), ours


def _opened(path: Path) -> _Reader:
    try:
        reader = _Reader(path)
    except (ValueError, IndexError, KeyError, OverflowError, struct.error, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is damaged or cut short ({one_line(error)})") from None
    size = path.stat().st_size
    end = max((int(t.data_offset) + int(t.n_bytes) for t in reader.tensors), default=0)
    if not reader.tensors or end > size:
        raise ModelError(f"{path} is cut short: its tensors end at byte {end}, the file at {size}")
    return reader


def _convert(path: Path, folder: Path) -> None:
    reader = _opened(path)
    architecture = str(_field(reader, "general.architecture", ""))
    try:
        # A sentencepiece vocabulary (kind "llama") is left to transformers as well.
        if architecture in _ARCHITECTURES and _field(reader, "tokenizer.ggml.model", "") == "gpt2":
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
        "licence": _field(reader, "general.license", None),
        "converter": CONVERTER,
    }
    (folder / "source.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def _field(reader: Any, name: str, default: Any) -> Any:
    field = reader.get_field(name)
    return default if field is None else field.contents()


def _tensors(reader: Any) -> list[Any]:
    return [tensor for tensor in reader.tensors if tensor.name not in _DERIVED]


def _write_known(reader: Any, architecture: str, folder: Path) -> None:
    config = _config(reader, architecture)
    shapes = {_hf_name(tensor.name): tensor.shape for tensor in _tensors(reader)}
    config["attention_bias"] = any(name.endswith("o_proj.bias") for name in shapes)
    config["tie_word_embeddings"] = "lm_head.weight" not in shapes
    config["vocab_size"] = int(shapes["model.embed_tokens.weight"][-1])  # rows come last in these files
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    _tokenizer(reader).save_pretrained(folder)


def _dequantised(tensor: Any) -> NDArray[np.float32]:
    # The library works on sixteen rows at a time: longer rows (blocks never cross the end of one) mean fewer rounds.
    data = tensor.data
    rows = data.shape[0] if data.ndim == 2 else 1
    together = next(k for k in range(min(rows, max(1, _LONG_ROW // data.shape[-1])), 0, -1) if rows % k == 0)
    joined = data.reshape(rows // together, -1) if data.ndim == 2 else data
    values = gguf.quants.dequantize(joined, tensor.tensor_type)
    return np.asarray(values, np.float32).reshape(*data.shape[:-1], -1)


def _hf_name(name: str) -> str:
    stem, _, ending = name.rpartition(".")
    if stem in _TOP:
        return f"{_TOP[stem]}.{ending}"
    block, _, rest = stem.removeprefix("blk.").partition(".")
    if not stem.startswith("blk.") or rest not in _LAYER:
        raise KeyError(f"unknown tensor {name}")
    return f"model.layers.{block}.{_LAYER[rest]}.{ending}"


def _halves(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    # llama.cpp keeps the two rotated channels side by side, transformers half a head apart.
    rows = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(values.shape))


def _config(reader: Any, architecture: str) -> dict[str, Any]:
    def get(key: str, default: Any = None) -> Any:
        value = _field(reader, f"{architecture}.{key}", default)
        if value is None:
            raise KeyError(f"{architecture}.{key} is missing")
        return value

    heads = int(get("attention.head_count"))
    width = int(get("embedding_length"))
    scaling = _field(reader, f"{architecture}.rope.scaling.type", "none")
    if scaling not in ("none", None):
        raise ValueError(f"rotary scaling '{scaling}' is not supported")
    config: dict[str, Any] = {
        "architectures": [_ARCHITECTURES[architecture]],
        "model_type": architecture,
        "hidden_size": width,
        "num_hidden_layers": int(get("block_count")),
        "num_attention_heads": heads,
        "num_key_value_heads": int(get("attention.head_count_kv", heads)),
        "head_dim": int(_field(reader, f"{architecture}.attention.key_length", None) or width // heads),
        "intermediate_size": int(get("feed_forward_length")),
        "max_position_embeddings": int(get("context_length")),
        "rms_norm_eps": float(get("attention.layer_norm_rms_epsilon")),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(get("rope.freq_base", 10000.0))},
        "dtype": "float32",
    }
    if reader.get_field("general.file_type") is not None and any(t.name == "rope_freqs.weight" for t in reader.tensors):
        raise ValueError(
            "per-channel rotary frequencies (Llama 3.1) are not supported in GGUF; open the original model"
        )
    for ours, theirs in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        token = _field(reader, f"tokenizer.ggml.{theirs}_token_id", None)
        config[f"{ours}_token_id"] = None if token is None else int(token)
    return config


def _tokenizer(reader: Any) -> PreTrainedTokenizerFast:
    cut = _field(reader, "tokenizer.ggml.pre", "default")
    if cut not in _CUTS:
        raise ValueError(f"its tokenizer cuts text by the rule '{cut}', which is not supported")
    tokens = _field(reader, "tokenizer.ggml.tokens", None)
    merges = [tuple(merge.split(" ", 1)) for merge in _field(reader, "tokenizer.ggml.merges", [])]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(_CUTS[cut])
    tokenizer.decoder = decoders.ByteLevel()
    types = _field(reader, "tokenizer.ggml.token_type", [])
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
        index = _field(reader, f"tokenizer.ggml.{theirs}_token_id", None)
        if index is not None and 0 <= int(index) < len(tokens):
            names[f"{ours}_token"] = tokens[int(index)]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template=_field(reader, "tokenizer.chat_template", None),
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

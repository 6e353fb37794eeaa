"""Headers and blocks of GGUF files, without torch: names, config, and numbers of one tensor at a time.

Tensors get their Hugging Face names. What becomes of them is in `gguf_file.py` (a model) and `shards.py` (matrices).
"""

import struct
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from brodmann.errors import ModelError, one_line

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
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


class Reader(gguf.GGUFReader):  # type: ignore[misc]
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


def opened(path: Path) -> Reader:
    """Open a GGUF file; its bytes are mapped, not read.

    Raises
    ------
    ModelError
        If the file is damaged or cut short.
    """
    try:
        reader = Reader(path)
    except (ValueError, IndexError, KeyError, OverflowError, struct.error, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is damaged or cut short ({one_line(error)})") from None
    size = path.stat().st_size
    end = max((int(t.data_offset) + int(t.n_bytes) for t in reader.tensors), default=0)
    if not reader.tensors or end > size:
        raise ModelError(f"{path} is cut short: its tensors end at byte {end}, the file at {size}")
    return reader


def field(reader: Any, name: str, default: Any) -> Any:
    """Value of an entry of the header."""
    found = reader.get_field(name)
    return default if found is None else found.contents()


def tensors(reader: Any) -> list[Any]:
    """Tensors that were trained."""
    return [tensor for tensor in reader.tensors if tensor.name not in _DERIVED]


def dequantised(tensor: Any) -> NDArray[np.float32]:
    """Numbers of a tensor, exactly dequantised."""
    return dequantised_rows(tensor.data, tensor.tensor_type)


def dequantised_rows(data: NDArray[Any], kind: gguf.GGMLQuantizationType) -> NDArray[np.float32]:
    """Numbers of rows of blocks, as `dequantised`."""
    # The library works on sixteen rows at a time: longer rows (blocks never cross the end of one) mean fewer rounds.
    rows = data.shape[0] if data.ndim == 2 else 1
    together = next(k for k in range(min(rows, max(1, _LONG_ROW // data.shape[-1])), 0, -1) if rows % k == 0)
    joined = data.reshape(rows // together, -1) if data.ndim == 2 else data
    values = gguf.quants.dequantize(joined, kind)
    return np.asarray(values, np.float32).reshape(*data.shape[:-1], -1)


def hf_name(name: str) -> str:
    """Hugging Face name of a tensor; a KeyError where it is unknown."""
    stem, _, ending = name.rpartition(".")
    if stem in _TOP:
        return f"{_TOP[stem]}.{ending}"
    block, _, rest = stem.removeprefix("blk.").partition(".")
    if not stem.startswith("blk.") or rest not in _LAYER:
        raise KeyError(f"unknown tensor {name}")
    return f"model.layers.{block}.{_LAYER[rest]}.{ending}"


def rotated_heads(architecture: str, name: str, config: dict[str, Any]) -> int | None:
    """Number of heads whose rows `halves` must put in order, by a tensor's GGUF name; None where they are in order."""
    if architecture != "llama" or not (".attn_q." in name or ".attn_k." in name):
        return None
    return int(config["num_attention_heads" if ".attn_q." in name else "num_key_value_heads"])


def halves(values: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows of queries or keys in the order of transformers."""
    # llama.cpp keeps the two rotated channels side by side, transformers half a head apart.
    rows = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(values.shape))


def read_config(reader: Any, architecture: str) -> dict[str, Any]:
    """Values of config.json; a KeyError or ValueError where they cannot be had."""

    def get(key: str, default: Any = None) -> Any:
        value = field(reader, f"{architecture}.{key}", default)
        if value is None:
            raise KeyError(f"{architecture}.{key} is missing")
        return value

    heads = int(get("attention.head_count"))
    width = int(get("embedding_length"))
    scaling = field(reader, f"{architecture}.rope.scaling.type", "none")
    if scaling not in ("none", None):
        raise ValueError(f"rotary scaling '{scaling}' is not supported")
    config: dict[str, Any] = {
        "architectures": [ARCHITECTURES[architecture]],
        "model_type": architecture,
        "hidden_size": width,
        "num_hidden_layers": int(get("block_count")),
        "num_attention_heads": heads,
        "num_key_value_heads": int(get("attention.head_count_kv", heads)),
        "head_dim": int(field(reader, f"{architecture}.attention.key_length", None) or width // heads),
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
        token = field(reader, f"tokenizer.ggml.{theirs}_token_id", None)
        config[f"{ours}_token_id"] = None if token is None else int(token)
    return config

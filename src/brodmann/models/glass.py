"""Models of the package glassllm as Llamas: float16 arrays in an npz archive, read without pickle.

The package multiplies from the left and rotates neighbouring channels; transformers multiplies from the right and
rotates channels half a head apart. Tests hold the logits to the package's own code.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from brodmann.errors import ModelError
from brodmann.models.quiet import one_line, quiet
from brodmann.models.tokenizers_built import glass_tokenizer


@dataclass(frozen=True)
class Glass:
    """A model of the package glassllm, as a Llama."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast


def open_glass(path: Path, dtype: torch.dtype) -> Glass:
    """Open weights of the package glassllm (an npz archive of float16 arrays, no pickle) as a Llama model.

    Raises
    ------
    ModelError
        If the archive is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        stored: dict[str, Any] = json.loads(str(arrays.pop("__config__")))
        state = _llama_state(arrays, int(stored["n_heads"]), int(stored["n_kv_heads"]))
        tokenizer = glass_tokenizer(path.with_suffix("").with_suffix(".tokenizer.json"), int(stored["max_len"]))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ModelError(f"{path} is damaged ({one_line(error)})") from None
    config = LlamaConfig(
        vocab_size=stored["vocab_size"],
        hidden_size=stored["d_model"],
        num_hidden_layers=stored["n_layers"],
        num_attention_heads=stored["n_heads"],
        num_key_value_heads=stored["n_kv_heads"],
        intermediate_size=int(arrays["blocks.0.ffn.W1"].shape[1]),
        max_position_embeddings=stored["max_len"],
        rms_norm_eps=stored["eps"],
        rope_parameters={"rope_type": "default", "rope_theta": stored["rope_base"]},
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        architectures=["LlamaForCausalLM"],
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM._from_config(config, dtype=dtype)
    model.load_state_dict({**state, "lm_head.weight": state["model.embed_tokens.weight"]})
    return Glass(model.eval(), tokenizer)


def _llama_state(arrays: dict[str, NDArray[Any]], heads: int, groups: int) -> dict[str, torch.Tensor]:
    names = {
        "norm1.gamma": "input_layernorm",
        "norm2.gamma": "post_attention_layernorm",
        "attn.W_Q": "self_attn.q_proj",
        "attn.W_K": "self_attn.k_proj",
        "attn.W_V": "self_attn.v_proj",
        "attn.W_O": "self_attn.o_proj",
        "ffn.W1": "mlp.gate_proj",
        "ffn.W3": "mlp.up_proj",
        "ffn.W2": "mlp.down_proj",
    }
    state: dict[str, torch.Tensor] = {}
    for name, array in arrays.items():
        values = torch.from_numpy(array.astype(np.float32))
        if name == "E":
            state["model.embed_tokens.weight"] = values
        elif name == "norm_f.gamma":
            state["model.norm.weight"] = values
        else:
            block, rest = name.removeprefix("blocks.").split(".", 1)
            if values.ndim == 2:
                values = values.T  # the package multiplies from the left
            if rest in ("attn.W_Q", "attn.W_K"):
                # The package rotates neighbouring channels, transformers channels half a head apart.
                count = heads if rest == "attn.W_Q" else groups
                rows, columns = values.shape
                values = values.reshape(count, rows // count // 2, 2, columns).transpose(1, 2).reshape(rows, columns)
            state[f"model.layers.{block}.{names[rest]}.weight"] = values.contiguous()
    return state

"""Configurations of the tiny models with random weights, one per family: plain data, no torch.

4 layers (5 where the first has no experts), 4 heads, width 32, one token per byte.
"""

import difflib
from typing import Any

from brodmann.errors import ModelError
from brodmann.models.rules import FAMILIES, families

BYTE_VOCABULARY = 261
"""All bytes and five special tokens; see `tokenizers_built.byte_tokenizer`."""
CONTEXT = 256
"""Tokens that a tiny model can hold."""

_PLAIN: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": BYTE_VOCABULARY,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED = {**_PLAIN, "num_key_value_heads": 2, "head_dim": 8}
_GPT2 = {
    "n_embd": 32,
    "n_layer": 4,
    "n_head": 4,
    "n_positions": CONTEXT,
    **{k: _PLAIN[k] for k in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")},
}
_WINDOWED = {**_GROUPED, "sliding_window": 16, "query_pre_attn_scalar": 8}
_EXPERTS = {"num_experts": 6, "num_local_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_MLA = {
    **_PLAIN,
    "num_hidden_layers": 5,  # the first one is dense, and a profile over experts wants four
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 12,
    "head_dim": 4,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 1,
    "n_group": 2,
    "topk_group": 1,
}

CONFIGS: dict[str, dict[str, Any]] = {
    "bloom": {**_GPT2, "hidden_size": 32},
    "deepseek_v2": {**_MLA, "topk_method": "greedy"},
    "deepseek_v3": _MLA,
    "distilbert": {**_PLAIN, "dim": 32, "n_layers": 4, "n_heads": 4, "hidden_dim": 64},
    "falcon": {**_PLAIN, "ffn_hidden_size": 64, "num_kv_heads": 4},
    "gemma2": {**_WINDOWED, "layer_types": ["sliding_attention", "full_attention"] * 2},
    "gemma3": {**_WINDOWED, "layer_types": ["sliding_attention"] * 3 + ["full_attention"]},
    "gpt2": _GPT2,
    "gpt_oss": {
        **_GROUPED,
        **_EXPERTS,
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "gptj": {**_GPT2, "rotary_dim": 4},
    "llama": _GROUPED,
    "mistral": {**_GROUPED, "sliding_window": 16},
    "mixtral": {**_GROUPED, **_EXPERTS},
    "modernbert": {
        **_PLAIN,
        "layer_types": ["full_attention", "sliding_attention"] * 2,
        "local_attention": 16,
        "cls_token_id": 1,
        "sep_token_id": 2,
    },
    "mpt": {
        "d_model": 32,
        "n_heads": 4,
        "n_layers": 4,
        "max_seq_len": CONTEXT,
        **{k: _PLAIN[k] for k in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")},
    },
    "olmo2": _GROUPED,
    "olmoe": {**_GROUPED, **_EXPERTS},
    "opt": {**_PLAIN, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "qwen2": _GROUPED,
    "qwen3": _GROUPED,
    "qwen3_moe": {**_GROUPED, **_EXPERTS},
    "roberta": {**_PLAIN, "max_position_embeddings": CONTEXT + 1},
    "stablelm": _GROUPED,
    "t5": {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 4,
        "num_decoder_layers": 4,
        "num_heads": 4,
        "vocab_size": BYTE_VOCABULARY,
        "pad_token_id": 0,
        "eos_token_id": 2,
        "decoder_start_token_id": 0,
    },
    "llava": {
        "image_token_id": 4,
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "patch_size": 8,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "image_size": 16,
            "projection_dim": 16,
        },
        "text_config": {"model_type": "llama", **_GROUPED},
    },
}


def tiny_values(family: str) -> dict[str, Any]:
    """Values of the config of a family's tiny model.

    Raises
    ------
    ModelError
        If the family is unknown; close names are suggested.

    Examples
    --------
    >>> tiny_values("llama")["num_hidden_layers"]
    4
    """
    if family not in FAMILIES:
        close = difflib.get_close_matches(family, families(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(families())}"
        raise ModelError(f"random:{family}: there is no family '{family}'; {hint}")
    return CONFIGS.get(family, _PLAIN)

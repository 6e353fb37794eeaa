"""Where each architecture keeps queries, keys and values: one table, no code, no torch.

Keyed like the rules of `rules.py`. `weights.py` finds the numbers of a head by it, `chains.py` the edges of a block.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Layout:
    """Where a layer keeps queries, keys and values; paths are relative to the layer."""

    query: str
    key: str
    value: str
    order: Literal["separate", "grouped", "blocks", "latent"] = "separate"
    """How rows are arranged. separate: a matrix each. grouped: one matrix; for each key/value head its query heads, its
    key, its value (one query head each: q, k, v of head 0, then of head 1). blocks: one matrix; all queries, all keys,
    all values. latent: keys and values side by side, head by head, in one matrix behind a latent (MLA)."""


def _fused(path: str, order: Literal["grouped", "blocks"]) -> Layout:
    return Layout(path, path, path, order)


def _three(parent: str, names: str = "q_proj k_proj v_proj") -> Layout:
    query, key, value = (f"{parent}.{name}" for name in names.split())
    return Layout(query, key, value)


_LLAMA = _three("self_attn")
_BERT = _three("attention.self", "query key value")
_LATENT = tuple(
    Layout(f"self_attn.{query}", "self_attn.kv_b_proj", "self_attn.kv_b_proj", "latent")
    for query in ("q_b_proj", "q_proj")
)

LAYOUTS: dict[str, tuple[Layout, ...]] = {
    **dict.fromkeys(("llama", "mistral", "mixtral", "opt", "phi", "stablelm"), (_LLAMA,)),
    **dict.fromkeys(("gemma2", "gemma3_text", "gpt_oss", "olmo2", "olmoe", "qwen2", "qwen3", "qwen3_moe"), (_LLAMA,)),
    **dict.fromkeys(("bert", "roberta"), (_BERT,)),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3"), _LATENT),
    **dict.fromkeys(("bloom", "falcon"), (_fused("self_attention.query_key_value", "grouped"),)),
    "distilbert": (_three("attention", "q_lin k_lin v_lin"),),
    "gpt2": (_fused("attn.c_attn", "blocks"),),
    "gpt_neox": (_fused("attention.query_key_value", "grouped"),),
    "gptj": (_three("attn"),),
    "modernbert": (_fused("attn.Wqkv", "blocks"),),
    "mpt": (_fused("attn.Wqkv", "blocks"),),
    "phi3": (_fused("self_attn.qkv_proj", "blocks"),),
    "t5": (_three("layer.0.SelfAttention", "q k v"),),
}
"""Model type of a stack -> its layouts; the first whose modules are there holds."""
CROSS: dict[str, tuple[Layout, ...]] = {"t5": (_three("layer.1.EncDecAttention", "q k v"),)}
"""The same for the cross-attention of decoders."""

"""Where the units of each architecture live: one table, no code.

A rule says, for each stack of layers, which module projects the heads back into the residual stream and which one the
MLP's neurons feed. Paths are relative to the layer. The self-test proves each rule on the opened model (`check.py`),
so a wrong line here refuses a model instead of giving wrong numbers. Names are those of transformers 5.
"""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from brodmann.errors import AnatomyError


@dataclass(frozen=True)
class StackRule:
    """How to reach the units of one stack of layers."""

    name: str
    """``decoder`` or ``encoder``; ``cross`` for the cross-attention heads of a decoder."""
    layers: str
    """Path of the list of layers, from the base model (for example ``layers`` or ``encoder.layer``)."""
    projection: str
    """Attention output projection, whose input is the concatenated heads."""
    total: str
    """Module whose (first) output equals the sum of what the heads write plus the projection's bias."""
    neurons: str | None = None
    """MLP down projection, whose input is the neurons; layers without it have none."""
    experts: str | None = None
    """Module with the fused routed experts; layers without it have none."""
    shared: str | None = None
    """Module with the shared experts, if any."""
    residual: bool = True
    """Whether the output of a layer of this stack is a residual stream of its own (not so for ``cross``)."""


@dataclass(frozen=True)
class Rule:
    """An architecture: its stacks, and what to know about its head signals."""

    stacks: tuple[StackRule, ...]
    prefixed: bool = False
    """Whether unit ids carry the stack's name (encoder-decoder models)."""
    note: str = ""


def _decoder(layers: str, projection: str, neurons: str, total: str | None = None, **more: Any) -> StackRule:
    parent = projection.rpartition(".")[0]
    return StackRule("decoder", layers, projection, parent if total is None else total, neurons, **more)


def _encoder(layers: str, projection: str, neurons: str, total: str | None = None) -> StackRule:
    return replace(_decoder(layers, projection, neurons, total), name="encoder")


_POST_NORM = "a norm follows the attention: heads are read before this post-norm"
_LLAMA = Rule((_decoder("layers", "self_attn.o_proj", "mlp.down_proj"),))
_POST_NORMED = replace(_LLAMA, note=_POST_NORM)
_MOE = Rule((_decoder("layers", "self_attn.o_proj", "mlp.down_proj", experts="mlp.experts"),))
_DEEPSEEK = Rule((replace(_MOE.stacks[0], shared="mlp.shared_experts"),))
_GPT2 = Rule((_decoder("h", "attn.c_proj", "mlp.c_proj"),))
_BERT = Rule((_encoder("encoder.layer", "attention.output.dense", "output.dense", "attention.output.dense"),))
_T5 = Rule(
    (
        _encoder("encoder.block", "layer.0.SelfAttention.o", "layer.1.DenseReluDense.wo"),
        _decoder("decoder.block", "layer.0.SelfAttention.o", "layer.2.DenseReluDense.wo"),
        StackRule("cross", "decoder.block", "layer.1.EncDecAttention.o", "layer.1.EncDecAttention", residual=False),
    ),
    prefixed=True,
)

RULES: dict[str, Rule] = {
    "bert": _BERT,
    # BLOOM adds the residual stream inside its attention module: the projection itself is the place where heads sum.
    "bloom": Rule((_decoder("h", "self_attention.dense", "mlp.dense_4h_to_h", "self_attention.dense"),)),
    "deepseek_v2": _DEEPSEEK,
    "deepseek_v3": _DEEPSEEK,
    "distilbert": Rule((_encoder("transformer.layer", "attention.out_lin", "ffn.lin2"),)),
    "falcon": Rule((_decoder("h", "self_attention.dense", "mlp.dense_4h_to_h"),)),
    "gemma2": _POST_NORMED,
    "gemma3_text": _POST_NORMED,
    "gpt2": _GPT2,
    "gpt_neox": Rule((_decoder("layers", "attention.dense", "mlp.dense_4h_to_h"),)),
    "gpt_oss": _MOE,
    "gptj": Rule((_decoder("h", "attn.out_proj", "mlp.fc_out"),)),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": _MOE,
    "modernbert": Rule((_encoder("layers", "attn.Wo", "mlp.Wo"),)),
    "mpt": Rule((_decoder("blocks", "attn.out_proj", "ffn.down_proj"),)),
    "olmo2": _POST_NORMED,
    "olmoe": _MOE,
    "opt": Rule((_decoder("decoder.layers", "self_attn.out_proj", "fc2"),)),
    "phi": Rule((_decoder("layers", "self_attn.dense", "mlp.fc2"),)),
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "qwen3_moe": _MOE,
    "roberta": _BERT,
    "stablelm": _LLAMA,
    "t5": _T5,
}

# A family's name as users know it -> (model_type of the whole model, model_type of the stack with the rule).
FAMILIES: dict[str, tuple[str, str]] = {
    **{name: (name, name) for name in RULES if name != "gemma3_text"},
    "gemma3": ("gemma3_text", "gemma3_text"),
    "llava": ("llava", "llama"),
}


def families() -> tuple[str, ...]:
    """Names of the supported architectures, each proven on a tiny model in the tests."""
    return tuple(sorted(FAMILIES))


def read_spec(spec: str | Path | dict[str, Any], model_type: str) -> Rule:
    """Rule of a model that the table does not know, or knows wrongly.

    Parameters
    ----------
    spec
        A dictionary, or the path of a YAML or JSON file with one. ``{"like": "llama"}`` takes another family's rule;
        any field of `StackRule` replaces that field of the (first) stack; ``{"stacks": [{...}, ...]}`` gives all.
    model_type
        The model's own type, whose rule is the start where there is one and ``like`` is not given.

    Raises
    ------
    AnatomyError
        If the spec cannot be read, names an unknown field or family, or leaves a required field open.
    """
    where = "the spec" if isinstance(spec, dict) else f"spec {spec}"
    values = dict(spec) if isinstance(spec, dict) else _parse(Path(spec), where)
    like = values.pop("like", None)
    if like is not None and like not in FAMILIES:
        raise AnatomyError(f"{where}: like = {like!r} is not a known family; known are {', '.join(families())}")
    start = RULES.get(FAMILIES[like][1] if like else model_type)
    stacks = values.pop("stacks", None)
    if stacks is None:
        base = start.stacks[0] if start else None
        first = _stack(values, base, where)
        return Rule((first, *start.stacks[1:]), start.prefixed, start.note) if start else Rule((first,))
    if values:
        raise AnatomyError(f"{where}: '{sorted(values)[0]}' must stand inside one of the stacks")
    if not isinstance(stacks, list) or not stacks or not all(isinstance(each, dict) for each in stacks):
        raise AnatomyError(f"{where}: 'stacks' must be a list of mappings")
    return Rule(tuple(_stack(each, None, where) for each in stacks), prefixed=len(stacks) > 1)


def _parse(path: Path, where: str) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise AnatomyError(f"{where}: {error.strerror or error}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise AnatomyError(f"{where} is neither YAML nor JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise AnatomyError(f"{where}: expected a mapping, found {type(values).__name__}")
    return values


def _stack(values: dict[str, Any], base: StackRule | None, where: str) -> StackRule:
    known = {field.name for field in fields(StackRule)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise AnatomyError(f"{where}: unknown field '{unknown[0]}'; known are like, stacks, {', '.join(sorted(known))}")
    if base is not None:
        if "projection" in values:
            values = {"total": str(values["projection"]).rpartition(".")[0], **values}
        return replace(base, **values)
    missing = sorted({"layers", "projection"} - set(values))
    if missing:
        raise AnatomyError(f"{where}: '{missing[0]}' is missing (and the model's type has no rule to start from)")
    values = {"name": "decoder", "total": str(values["projection"]).rpartition(".")[0], **values}
    return StackRule(**values)

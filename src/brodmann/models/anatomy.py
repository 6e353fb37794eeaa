"""The units of an opened model, and the way to reach each one.

Reads the config and the module names (rules in `rules.py`); changes nothing. What it cannot account for (an attention
without a rule, a layer type that is no attention) is named and refused: silence would give a map with holes.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from brodmann.errors import AnatomyError
from brodmann.models.rules import FAMILIES, RULES, Rule, StackRule, families, read_spec
from brodmann.settings import SIGNALS, Kind, Signal

_MIXER = re.compile(r"Attention|Attn|Mamba|DeltaNet|Recurrent|RetNet|ShortConv|SSM|Rwkv|Mixer")
_OTHER_SENSES = re.compile(r"(^|\.)(vision\w*|visual|multi_modal\w*|image\w*|audio\w*)(\.|$)")
_ATTENTION_TYPES = {"full_attention", "sliding_attention", "chunked_attention", "attention"}


@dataclass(frozen=True)
class Site:
    """A module where units of one kind are read."""

    kind: Kind
    stack: str
    layer: int
    module: str
    """Path of the module that is hooked, from the model."""
    count: int
    """Units at this site."""
    depth: float
    """layer / (layers - 1) inside the stack."""
    prefix: str = ""
    """What unit ids start with: ``""``, or ``encoder.`` and so on."""
    width: int = 1
    """Channels per head; 1 for other kinds."""
    total: str = ""
    """Heads: path of the module whose output is the sum of the heads' writes plus bias."""
    shared: str = ""
    """Experts: path of the shared experts, which are the last unit of the site; empty where there are none."""


@dataclass(frozen=True)
class Anatomy:
    """The table of a model's units.

    ``layers`` counts the layers of the main stack (the decoder, where there is one).
    """

    family: str
    layers: int
    sites: tuple[Site, ...]
    note: str = ""

    @property
    def stacks(self) -> tuple[str, ...]:
        """Names of the stacks that have heads, in order."""
        return tuple(dict.fromkeys(site.stack for site in self.sites if site.kind == "head"))

    def select(self, signal: Signal, stack: str | None = None) -> tuple[Site, ...]:
        """Sites that a signal is read from.

        Parameters
        ----------
        signal
            What is read.
        stack
            ``encoder``, ``decoder`` or ``cross``. None takes all stacks that share one token axis: everything in
            ordinary models; decoder and cross in encoder-decoder models, whose encoder reads other tokens.
            ``all`` takes everything (for tables, not for listening).

        Raises
        ------
        AnatomyError
            If the model has no such units or no such stack.
        """
        kind = SIGNALS[signal].kind
        if stack not in (None, "all") and stack not in self.stacks:
            raise AnatomyError(f"{self.family} has no stack '{stack}'; it has {', '.join(self.stacks)}")
        chosen = [site for site in self.sites if site.kind == kind]
        if stack is None and "cross" in self.stacks:
            chosen = [site for site in chosen if site.stack != "encoder"]
        elif stack not in (None, "all"):
            chosen = [site for site in chosen if site.stack == stack]
        if not chosen:
            what = f"in its stack '{stack}'" if stack not in (None, "all") else "that can be reached"
            raise AnatomyError(f"{self.family} has no {kind} units {what}, so signal '{signal}' cannot be read")
        return tuple(chosen)

    def units(self, signal: Signal, stack: str | None = None) -> pd.DataFrame:
        """Table of the units of a signal, in the order of the tapped values.

        Columns: ``unit`` (id), ``kind``, ``stack``, ``layer``, ``index``, ``depth`` (0 first, 1 last layer).
        """
        return unit_table(self.select(signal, stack))


def unit_table(sites: tuple[Site, ...]) -> pd.DataFrame:
    """Table of the units of some sites: unit, kind, stack, layer, index, depth."""
    letter = {"head": "H", "expert": "E", "neuron": "N"}
    rows = [
        (
            f"{site.prefix}L{site.layer}" + (f"{letter[site.kind]}{index}" if site.kind in letter else "R"),
            site.kind,
            site.stack,
            site.layer,
            index,
            site.depth,
        )
        for site in sites
        for index in range(site.count)
    ]
    return pd.DataFrame(rows, columns=["unit", "kind", "stack", "layer", "index", "depth"])


def norms(values: Tensor) -> Tensor:
    """L2 norm along the last axis in float32, whatever the type of the values."""
    # torch widens on the way, but does not narrow.
    wide = None if values.dtype == torch.float64 else torch.float32
    norm: Tensor = torch.linalg.vector_norm(values, dim=-1, dtype=wide)
    return norm.to(torch.float32)


def submodule(parent: nn.Module, path: str) -> nn.Module | None:
    """Module at a dotted path, or None where there is none."""
    try:
        return parent.get_submodule(path)
    except AttributeError:
        return None


def read_anatomy(model: PreTrainedModel, spec: str | Path | dict[str, Any] | None = None) -> Anatomy:
    """Anatomy of an opened model.

    Raises
    ------
    AnatomyError
        If the architecture is unknown, or has modules that mix tokens and that no rule covers; all are named.
    """
    config = model.config
    text = getattr(config, "text_config", None) or config
    rule = read_spec(spec, text.model_type) if spec is not None else RULES.get(text.model_type)
    if rule is None:
        raise AnatomyError(_unknown(model, text.model_type))
    strange = sorted(set(getattr(text, "layer_types", None) or ()) - _ATTENTION_TYPES)
    if strange:
        mixers = _uncovered(model, set())
        raise AnatomyError(
            f"{text.model_type}: layers of type {', '.join(strange)} are not attention and have no rule"
            f" ({', '.join(mixers[:4]) or 'no module recognised'})"
        )
    sites: list[Site] = []
    for stack in rule.stacks:
        sites += _stack_sites(model, text, rule, stack)
    covered = {site.total for site in sites if site.kind == "head"} | {
        site.module for site in sites if site.kind == "head"
    }
    unknown = _uncovered(model, covered)
    if unknown:
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        raise AnatomyError(f"{text.model_type}: no rule covers {', '.join(unknown[:4])}{more}")
    main = "decoder" if any(site.stack == "decoder" for site in sites) else sites[0].stack
    layers = len({site.layer for site in sites if site.stack == main and site.kind == "head"})
    family = text.model_type if text is config else f"{config.model_type} ({text.model_type})"
    return Anatomy(family, layers, tuple(sites), rule.note)


def _unknown(model: PreTrainedModel, model_type: str) -> str:
    mixers = sorted({type(each).__name__ for each in model.modules() if _MIXER.search(type(each).__name__)})
    found = ", ".join(mixers[:6]) or "none recognised"
    start = f"no rule for the architecture '{model_type}' (its token mixers: {found})"
    mixture = any(name.endswith("mlp.experts") for name, _ in model.named_modules())
    for name in ("qwen3_moe" if mixture else "llama", *RULES):
        stack = RULES[name].stacks[0]
        layers = submodule(_text_root(model), stack.layers)
        if isinstance(layers, nn.ModuleList) and all(submodule(each, stack.projection) is not None for each in layers):
            like = next(family for family, types in FAMILIES.items() if types[1] == name)
            return f'{start}; modules are named as in {like}: the spec {{"like": "{like}"}} may fit, and is then proven'
    return f"{start}; a spec can say where its units are; known families are {', '.join(families())}"


def _text_root(model: PreTrainedModel) -> nn.Module:
    base: Any = getattr(model, model.base_model_prefix, model) if model.base_model_prefix else model
    root: nn.Module = getattr(base, "language_model", base) if hasattr(model.config, "text_config") else base
    return root


def _stack_sites(model: PreTrainedModel, config: Any, rule: Rule, stack: StackRule) -> list[Site]:
    root = _text_root(model)
    layers = submodule(root, stack.layers)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        raise AnatomyError(f"{config.model_type}: no list of layers at '{stack.layers}' in {type(root).__name__}")
    names = {id(module): name for name, module in model.named_modules()}
    heads = getattr(config, "num_attention_heads", None)
    if not isinstance(heads, int):
        raise AnatomyError(
            f"{config.model_type}: the config does not say one number of attention heads (found {heads})"
        )
    sites: list[Site] = []
    for index, layer in enumerate(layers):
        where = names[id(layer)]
        common: dict[str, Any] = {
            "stack": stack.name,
            "layer": index,
            "depth": index / (len(layers) - 1) if len(layers) > 1 else 0.0,
            "prefix": f"{stack.name}." if rule.prefixed else "",
        }
        projection = submodule(layer, stack.projection)
        total = submodule(layer, stack.total)
        if projection is None or total is None:
            mixers = [f"{name} ({type(each).__name__})" for name, each in layer.named_children()]
            raise AnatomyError(
                f"{where}: no attention projection at '{stack.projection}'; the layer holds {', '.join(mixers)}"
            )
        channels = input_width(projection, f"{where}.{stack.projection}")
        if channels % heads:
            raise AnatomyError(f"{where}.{stack.projection}: {channels} inputs do not divide into {heads} heads")
        sites.append(
            Site(
                "head",
                module=names[id(projection)],
                count=heads,
                width=channels // heads,
                total=names[id(total)],
                **common,
            )
        )
        sites += _other_sites(layer, where, names, stack, common)
    _refuse_unreached(layers, f"{config.model_type}, stack '{stack.name}'", stack)
    # Kinds are listed one after the other, each in the order of layers.
    order: dict[str, int] = {"head": 0, "expert": 1, "neuron": 2, "residual": 3}
    return sorted(sites, key=lambda site: order[site.kind])


def _refuse_unreached(layers: nn.ModuleList, where: str, stack: StackRule) -> None:
    """Layers may differ, but a path that leads nowhere in all of them is a mistake in the rule."""
    routed = [bool(stack.experts) and submodule(layer, stack.experts or "") is not None for layer in layers]
    if stack.experts and not any(routed):
        raise AnatomyError(f"{where}: no layer has a module at '{stack.experts}', which the rule names as its experts")
    # where all layers route to experts, none has neurons of its own
    dense = [layer for layer, has_experts in zip(layers, routed, strict=True) if not has_experts]
    if stack.neurons and dense and all(submodule(layer, stack.neurons) is None for layer in layers):
        raise AnatomyError(f"{where}: no layer has a module at '{stack.neurons}', which the rule says neurons feed")


def _other_sites(
    layer: nn.Module, where: str, names: dict[int, str], stack: StackRule, common: dict[str, Any]
) -> list[Site]:
    sites: list[Site] = []
    experts = submodule(layer, stack.experts) if stack.experts else None
    if experts is not None:
        shared = submodule(layer, stack.shared) if stack.shared else None
        count = getattr(experts, "num_experts", None)
        # An experts class without these marks cannot be given another implementation: it is left out, and
        # asking for expert_norm says so.
        if isinstance(count, int) and hasattr(experts, "_apply_gate") and hasattr(type(experts).forward, "__wrapped__"):
            sites.append(
                Site(
                    "expert",
                    module=names[id(experts)],
                    count=count + (shared is not None),
                    shared=names[id(shared)] if shared is not None else "",
                    **common,
                )
            )
    neurons = submodule(layer, stack.neurons) if stack.neurons else None
    if neurons is not None:
        path = f"{where}.{stack.neurons}"
        sites.append(Site("neuron", module=names[id(neurons)], count=input_width(neurons, path), **common))
    if stack.residual:
        sites.append(Site("residual", module=where, count=1, **common))
    return sites


def input_width(projection: nn.Module, path: str) -> int:
    """Inputs of a linear map, whichever way round its class keeps them."""
    width = getattr(projection, "in_features", getattr(projection, "nx", None))  # nx: transformers' Conv1D
    if isinstance(width, int):
        return width
    raise AnatomyError(f"{path} is a {type(projection).__name__}, not a linear projection")


def _uncovered(model: PreTrainedModel, covered: set[str]) -> list[str]:
    unknown = []
    for name, module in model.named_modules():
        if not name or not _MIXER.search(type(module).__name__) or _OTHER_SENSES.search(name):
            continue
        inside = any(name == c or c.startswith(f"{name}.") or name.startswith(f"{c}.") for c in covered)
        # The self part of BERT's attention stands beside its projection, below a common attention module.
        sibling = any(c.startswith(f"{name.rpartition('.')[0]}.output.") for c in covered)
        if not inside and not sibling and not isinstance(module, PreTrainedModel):
            unknown.append(f"{name} ({type(module).__name__})")
    return unknown

"""Which matrices of a checkpoint connect which layers of neurons: any transformer as a chain of steps. No torch.

A block's layers of neurons are called ``L3.input`` (residual stream), ``L3.qkv`` (queries, keys, values),
``L3.attention`` (heads side by side), ``L3.middle`` (residual stream after the attention), ``L3.hidden`` (the MLP's
neurons), or ``L3E5.hidden`` (those of an expert); the next one begins with ``L4.input``. Latent attention adds
``L3.query_latent`` and ``L3.kv_latent``. Encoder-decoder models prefix the stack (``encoder.L0.input``); a decoder's
cross-attention has ``cross.L0.qkv`` and so on, and its keys and values come from the encoder's last stream.

Left out are embeddings and unembedding (tied ones with them), norms, biases, routers and relative positions; a matrix
of a block that is none of these and that no step uses is refused, since silence would give a graph with holes.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from brodmann.errors import WeightsError
from brodmann.models.edges import Edges, Piece, Step
from brodmann.models.heads import Heads, arranged, undivided
from brodmann.models.layouts import CROSS, LAYOUTS, Layout
from brodmann.models.rules import RULES, Rule, StackRule
from brodmann.models.shards import Checkpoint

__all__ = ["INPUTS", "PARALLEL", "Chain", "Edges", "Piece", "Step", "chain"]

Chain = Literal["official", "architectural"]

_GATED = (("mlp.gate_proj", "mlp.up_proj"),)
_T5 = ("layer.1.DenseReluDense", "layer.2.DenseReluDense")
_FOUR_H = (("mlp.dense_h_to_4h",),)
INPUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "gemma2", "gemma3_text", "gpt_oss", "llama", "mistral"), _GATED),
    **dict.fromkeys(("mixtral", "olmo2", "olmoe", "qwen2", "qwen3", "qwen3_moe", "stablelm"), _GATED),
    **dict.fromkeys(("bert", "roberta"), (("intermediate.dense",),)),
    **dict.fromkeys(("bloom", "falcon", "gpt_neox"), _FOUR_H),
    "distilbert": (("ffn.lin1",),),
    "gpt2": (("mlp.c_fc",),),
    "gptj": (("mlp.fc_in",),),
    "modernbert": (("mlp.Wi",),),
    "mpt": (("ffn.up_proj",),),
    "opt": (("fc1",),),
    "phi": (("mlp.fc1",),),
    "phi3": (("mlp.gate_up_proj",),),
    "t5": tuple(each for at in _T5 for each in ((f"{at}.wi_0", f"{at}.wi_1"), (f"{at}.wi",))),
}
"""Model type of a stack -> what feeds its neurons: paths in the layer, parallel ones together; the first that are there
hold. A gate and an input in one matrix are told by its height."""
PARALLEL: dict[str, dict[str, bool]] = {
    "falcon": {"new_decoder_architecture": False, "parallel_attn": True},
    "gpt_neox": {"use_parallel_residual": True},
    "gptj": {"": True},
    "phi": {"": True},
    "stablelm": {"use_parallel_residual": False},
}
"""Model type -> keys of the config, with what they are where it is silent; if one holds, attention and MLP are
parallel. The empty key is in no config: always."""
TRANSPOSED = {"gpt2"}
"""Model types whose matrices are (in, out)."""
INTERLEAVED = {"gpt_oss"}
"""Model types whose fused experts are (expert, in, out), gates and inputs in turns."""
_EXPERTS = ((("gate_proj", "up_proj"), "down_proj"), (("w1", "w3"), "w2"))
_ELSEWHERE = ("block_sparse_moe.experts",)
"""Where checkpoints keep experts that transformers has elsewhere."""
_EXPERT_COUNTS = ("n_routed_experts", "num_experts", "num_local_experts")
_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_NO_EDGES = re.compile(r"bias(es)?$|\.(gate|router|relative_attention_bias)\.weight$|norm\w*\.weight$|rotary_emb\.")
_OTHER_SENSES = re.compile(r"(^|\.)(vision\w*|visual|multi_modal\w*|image\w*|audio\w*)(\.|$)")
_Pair = tuple[tuple[Piece, ...], Piece]
"""Matrices into neurons, parallel ones together, and the one out of them."""
_QUANTISED = ("qweight", "_blocks", "weight_packed", "weight_scale_inv", ".codes", "SCB", "quant_map")


def chain(checkpoint: Checkpoint, kind: Chain = "official") -> tuple[Edges, ...]:
    """Steps of a checkpoint's blocks, in order of depth.

    Parameters
    ----------
    checkpoint
        Only its config, names and shapes are looked at.
    kind
        ``official``: as the released code of Xiao et al. (arXiv 2402.09099) chains Pythia. Attention, then MLP, even
        where the model runs them in parallel; queries, keys and values are the rows as stored, cut in three, and heads
        are ignored. ``architectural``: as the model computes. Where attention and MLP are parallel both start at the
        block's stream and return to the next one's; queries, keys and values are told apart by head and group. In
        both, experts are parallel layers, and latent attention is as the model computes.

    Raises
    ------
    WeightsError
        If the architecture is unknown, a block lacks a matrix or has one that no step uses, matrices do not fit each
        other, or hold no plain numbers.

    Examples
    --------
    >>> from brodmann.models.shards import open_checkpoint
    >>> for step in chain(open_checkpoint("nano"))[:5]:
    ...     print(step.source, step.target, step.kind, step.sources, step.targets)
    L0.input L0.qkv qkv 96 288
    L0.qkv L0.attention attention 288 96
    L0.attention L0.middle attention_out 96 96
    L0.middle L0.hidden mlp_in 96 384
    L0.hidden L1.input mlp_out 384 96
    """
    model_type = str(checkpoint.config.get("model_type", ""))
    if model_type not in RULES or model_type not in INPUTS:
        raise WeightsError(
            f"{checkpoint.name}: the architecture '{model_type}' is unknown; it needs a line in RULES"
            " (models/rules.py), one in LAYOUTS (models/layouts.py) and one in INPUTS (models/chains.py)"
        )
    walk = _Walk(checkpoint, model_type, RULES[model_type], kind)
    for stack in walk.rule.stacks:
        if stack.name != "cross":
            walk.stack(stack)
    if not walk.edges:
        raise walk.lacking(walk.rule.stacks[-1].projection)
    return tuple(walk.edges)


@dataclass(eq=False)
class _Walk:
    """A chain while it is made."""

    checkpoint: Checkpoint
    model_type: str
    rule: Rule
    kind: Chain
    edges: list[Edges] = field(default_factory=list)
    widths: dict[str, int] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    @property
    def parallel(self) -> bool:
        """Whether attention and MLP read the same stream."""
        keys = PARALLEL.get(self.model_type, {})
        config = self.checkpoint.config
        return self.kind == "architectural" and any(config.get(key, default) for key, default in keys.items())

    def stack(self, stack: StackRule) -> None:
        """Add the blocks of a stack."""
        where = self.blocks(stack)
        cross = next((each for each in self.rule.stacks if each.name == "cross"), None)
        prefix = f"{stack.name}." if self.rule.prefixed else ""
        for block, path in enumerate(where):
            stream, after = f"{prefix}L{block}.input", f"{prefix}L{block + 1}.input"
            middle = after if self.parallel else f"{prefix}L{block}.middle"
            own = _Block(self, stack, block, path, prefix)
            own.attention(LAYOUTS[self.model_type], stream, stream, middle)
            if cross is not None and stack.name == "decoder":
                memory = max((name for name in self.widths if re.fullmatch(r"encoder\.L\d+\.input", name)), key=_depth)
                other = _Block(self, cross, block, path, "cross.")
                other.attention(CROSS[self.model_type], middle, memory, f"cross.L{block}.middle")
                middle = f"cross.L{block}.middle"
            own.mlp(stream if self.parallel else middle, after)
            left = [name for name in self.checkpoint.tensors if name.startswith(path) and self.forgotten(name)]
            if left:
                raise WeightsError(
                    f"{self.checkpoint.name}: {left[0]} is a matrix of a block, but what it connects is unknown"
                    f" for the architecture '{self.model_type}' (models/chains.py)"
                )

    def forgotten(self, name: str) -> bool:
        """Whether a tensor could be edges but no step uses it."""
        entry = self.checkpoint.tensors[name]
        matrix = len(entry.shape) in (2, 3) and entry.storage is not None
        return matrix and name not in self.used and not _NO_EDGES.search(name)

    def blocks(self, stack: StackRule) -> list[str]:
        """Beginning of the names of each block's tensors."""
        layers, projection = re.escape(stack.layers), re.escape(stack.projection)
        pattern = re.compile(rf"((?:.*\.)?{layers}\.)(\d+)\.{projection}\.weight")
        found: dict[str, set[int]] = {}
        for name in self.checkpoint.tensors:
            match = pattern.fullmatch(name)
            if match and not _OTHER_SENSES.search(name):
                found.setdefault(match[1], set()).add(int(match[2]))
        if len(found) != 1:
            if not found:
                raise self.lacking(f"{stack.layers}.0.{stack.projection}")
            raise WeightsError(f"{self.checkpoint.name} has several stacks of blocks: {', '.join(sorted(found))}")
        ((prefix, there),) = found.items()
        keys = ("num_decoder_layers", *_COUNTS) if self.rule.prefixed and stack.name == "decoder" else _COUNTS
        count = self.number(keys) or max(there) + 1  # more blocks than the config counts serve multi-token prediction
        gap = next((block for block in range(count) if block not in there), None)
        if gap is not None:
            raise self.lacking(f"{prefix}{gap}.{stack.projection}")
        return [f"{prefix}{block}." for block in range(count)]

    def number(self, keys: tuple[str, ...]) -> int | None:
        """First of some numbers that the config has."""
        values = (self.checkpoint.config.get(key) for key in keys)
        return next((value for value in values if isinstance(value, int) and value > 0), None)

    def lacking(self, path: str) -> WeightsError:
        """What to say where a module's weight is missing."""
        for name in self.checkpoint.tensors:
            if name.endswith(_QUANTISED):
                return WeightsError(
                    f"{self.checkpoint.name} holds quantised weights ({name}): dequantise the model first"
                )
        return WeightsError(
            f"{self.checkpoint.name} lacks {path}.weight, which the architecture '{self.model_type}' has"
        )

    def shape(self, piece: Piece) -> tuple[int, int]:
        """Numbers of targets and sources."""
        shape = self.checkpoint.entry(piece.name).shape[0 if piece.index is None else 1 :]
        if len(shape) != 2:
            raise WeightsError(f"{self.checkpoint.name}: {piece.name} has the shape {shape}, which is no matrix")
        targets, sources = reversed(shape) if piece.transposed else shape
        return (targets if piece.rows is None else len(range(targets)[piece.rows])), sources

    def add(self, edges: Edges) -> None:
        """Add a step that fits those before."""
        for piece in edges.tensors:
            if self.shape(piece) != (edges.targets, edges.sources):
                raise WeightsError(f"{self.checkpoint.name}: {piece.name} does not fit the one beside it")
            self.used.add(piece.name)
        what = edges.tensors[0].name if edges.tensors else edges.target
        if self.widths.setdefault(edges.source, edges.sources) != edges.sources:
            raise WeightsError(
                f"{self.checkpoint.name}: {what} begins at {edges.sources} neurons, but {edges.source} has"
                f" {self.widths[edges.source]}"
            )
        whole = edges.start + edges.targets
        if edges.kind in ("qkv", "latent"):
            self.widths[edges.target] = max(self.widths.get(edges.target, 0), whole)
        elif self.widths.setdefault(edges.target, whole) != whole:
            raise WeightsError(
                f"{self.checkpoint.name}: {what} ends at {whole} neurons, but {edges.target} has"
                f" {self.widths[edges.target]}"
            )
        self.edges.append(edges)


def _depth(name: str) -> int:
    return int(name.split("L")[1].split(".")[0])


@dataclass(eq=False)
class _Block:
    """A block while its steps are made."""

    walk: _Walk
    stack: StackRule
    block: int
    path: str
    prefix: str

    def name(self, layer: str) -> str:
        """Id of a layer of neurons of this block."""
        return f"{self.prefix}L{self.block}{layer}"

    def has(self, path: str) -> bool:
        """Whether a linear map is there."""
        return f"{self.path}{path}.weight" in self.walk.checkpoint.tensors

    def piece(self, path: str, rows: slice | None = None) -> Piece:
        """Matrix of a linear map."""
        if not self.has(path):
            raise self.walk.lacking(f"{self.path}{path}")
        return Piece(f"{self.path}{path}.weight", rows, transposed=self.walk.model_type in TRANSPOSED)

    def join(self, kind: Step, source: str, target: str, *pieces: Piece, start: int = 0) -> int:
        """Add a step; gives the first neuron of the target after those that it reaches."""
        targets, sources = self.walk.shape(pieces[0])
        self.walk.add(Edges(source, target, kind, self.stack.name, self.block, pieces, sources, targets, start))
        return start + targets

    def attention(self, layouts: tuple[Layout, ...], stream: str, memory: str, after: str) -> None:
        """Add the attention: queries of a stream, keys and values of a memory."""
        layout = next((each for each in layouts if self.has(each.query) and self.has(each.key)), layouts[0])
        out = self.piece(self.stack.projection)
        outputs = self.walk.shape(out)[1]
        qkv, attention = self.name(".qkv"), self.name(".attention")
        if layout.order == "latent":
            heads = self.latent(layout, stream, qkv, outputs)
        else:
            ends, sources = [0], (stream, memory, memory)
            paths = dict.fromkeys((layout.query, layout.key, layout.value))
            for path, source in zip(paths, sources, strict=False):
                ends.append(self.join("qkv", source, qkv, self.piece(path), start=ends[-1]))
            heads = self.heads(layout, ends, outputs)
        sizes = heads.neurons, heads.outputs
        self.walk.add(Edges(qkv, attention, "attention", self.stack.name, self.block, (), *sizes, heads=heads))
        self.join("attention_out", attention, after, out)

    def heads(self, layout: Layout, ends: list[int], outputs: int) -> Heads:
        """Heads of an attention whose matrices end at these neurons of ``qkv``."""
        queries, total = ends[1] if layout.order == "separate" else outputs, ends[-1]
        keys = ends[2] - queries if layout.order == "separate" else (total - queries) // 2
        if self.walk.kind == "official":
            return undivided(queries, keys, total - queries - keys)
        heads = self.count()
        width = outputs // heads
        groups = (total - queries - keys) // width
        fits = heads * width == outputs and queries % heads == 0 and groups > 0 and heads % groups == 0
        sizes = {"heads": heads, "groups": groups, "query_width": queries // heads, "width": width}
        found = arranged(layout.order, **sizes) if fits else None
        if found is None or found.neurons != total:
            raise WeightsError(
                f"{self.walk.checkpoint.name}: {total} queries, keys and values of {self.path}{layout.query} do not"
                f" divide into {heads} heads of {width}"
            )
        return found

    def latent(self, layout: Layout, stream: str, qkv: str, outputs: int) -> Heads:
        """Add queries, keys and values behind latents."""
        parent = layout.query.rpartition(".")[0]
        source = stream
        if self.has(f"{parent}.q_a_proj"):
            source = self.name(".query_latent")
            self.join("latent", stream, source, self.piece(f"{parent}.q_a_proj"))
        down, up = f"{parent}.kv_a_proj_with_mqa", self.piece(layout.key)
        rank, kept = self.walk.shape(up)[1], self.name(".kv_latent")
        self.join("latent", stream, kept, self.piece(down, slice(0, rank)))
        queries = self.join("qkv", source, qkv, self.piece(layout.query))
        both = self.join("qkv", kept, qkv, up, start=queries)
        # The rotated keys, which all heads share, bypass the latent.
        total = self.join("qkv", stream, qkv, self.piece(down, slice(rank, None)), start=both)
        heads = self.count()
        widths = {"query_width": queries // heads, "width": outputs // heads, "shared": total - both}
        return arranged("latent", heads=heads, groups=heads, **widths)

    def count(self) -> int:
        """Number of heads."""
        found = self.walk.number(_HEADS)
        if found is None:
            raise WeightsError(
                f"{self.walk.checkpoint.name}: the config does not say num_attention_heads, so heads cannot be told"
                " apart; add it, or ask for the official chain"
            )
        return found

    def mlp(self, stream: str, after: str) -> None:
        """Add the MLP, or each expert."""
        experts = self.experts()
        each = [(f"E{at}.hidden", *one) for at, one in enumerate(experts)] if experts else [(".hidden", *self.dense())]
        for name, inputs, output in each:
            hidden = self.name(name)
            self.join("mlp_in", stream, hidden, *inputs)
            self.join("mlp_out", hidden, after, output)

    def dense(self, parent: str | None = None) -> _Pair:
        """Matrices into and out of the neurons of an MLP, or of the shared experts."""
        if parent is not None:
            paths: tuple[str, ...] = (f"{parent}.gate_proj", f"{parent}.up_proj")
            output = self.piece(f"{parent}.down_proj")
        else:
            known = INPUTS[self.walk.model_type]
            paths = next((each for each in known if all(self.has(path) for path in each)), known[-1])
            output = self.piece(str(self.stack.neurons))
        inputs = tuple(self.piece(path) for path in paths)
        neurons = self.walk.shape(output)[1]
        if len(inputs) == 1 and self.walk.shape(inputs[0])[0] == 2 * neurons:
            return (self.piece(paths[0], slice(0, neurons)), self.piece(paths[0], slice(neurons, None))), output
        return inputs, output

    def experts(self) -> list[_Pair]:
        """Matrices of each expert, the shared ones last; none where the MLP is dense."""
        found: list[_Pair] = []
        for where in (self.stack.experts, *_ELSEWHERE) if self.stack.experts else ():
            found += self.fused(f"{self.path}{where}")
            for names, down in _EXPERTS:
                while self.has(f"{where}.{len(found)}.{down}"):
                    one = f"{where}.{len(found)}."
                    found.append((tuple(self.piece(one + name) for name in names), self.piece(one + down)))
        if found and len(found) < (self.walk.number(_EXPERT_COUNTS) or 0):
            raise self.walk.lacking(f"{self.path}{self.stack.experts}.{len(found)}.down_proj")
        if found and self.stack.shared and self.has(f"{self.stack.shared}.down_proj"):
            found.append(self.dense(self.stack.shared))
        return found

    def fused(self, where: str) -> list[_Pair]:
        """Experts of a layer in tensors with an axis for them."""
        both, down = f"{where}.gate_up_proj", f"{where}.down_proj"
        if both not in self.walk.checkpoint.tensors or down not in self.walk.checkpoint.tensors:
            return []
        turned = self.walk.model_type in INTERLEAVED
        count = self.walk.checkpoint.entry(both).shape[0]
        neurons = self.walk.shape(Piece(down, index=0, transposed=turned))[1]
        rows = (slice(0, None, 2), slice(1, None, 2)) if turned else (slice(0, neurons), slice(neurons, None))
        return [
            (tuple(Piece(both, each, at, turned) for each in rows), Piece(down, None, at, turned))
            for at in range(count)
        ]

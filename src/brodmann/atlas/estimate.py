"""How long will it take and how much memory will it need? Reckoned before any weight is read.

A forward pass costs two operations per weight and token, and each generation step must read all weights once; the
machine's speed is measured with one small matrix product. Real runs stray from this by a factor of about two in either
direction; the text says so. Studies are reckoned at their pair count, those that drive the model at the tokens that
pass through it.
"""

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from brodmann.atlas.checkpoints import checkpoint_of, graph_cost
from brodmann.atlas.plan import null_models
from brodmann.atlas.registry import Study
from brodmann.atlas.registry import studies as known
from brodmann.atlas.source import Header, find, read_header
from brodmann.errors import AnatomyError, ModelError
from brodmann.models.rules import FAMILIES, RULES
from brodmann.models.tiny import tiny_values
from brodmann.settings import SIGNALS, UNITS, MapSettings, RecordSettings, Signal

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
_MEMORY_BANDWIDTH = 1.0e10  # bytes per second and CPU process: weights are read once per generation step
_GPU_SPEED, _GPU_BANDWIDTH = 3.0e13, 1.0e12  # a middling data-centre card
_EFFICIENCY = 1.0  # of the measured product's speed; torch's own products are faster, the rest of a pass is slower
_CHARACTERS_PER_TOKEN = 4.0
_TEMPLATE_TOKENS = 30
_SECONDS_PER_PAIR = 1.2e-7  # Gaussian decomposition of one pair of units on one prompt, and what follows from it
_SECONDS_PER_EDGE = 1.0e-6  # measures of one null graph, per pair of units
_ARRAYS_PER_STUDY = 14
_REREADINGS = 10  # of all prompts and answers, by a study that drives the model and does not say how often


@dataclass(frozen=True)
class Shape:
    """A model's dimensions, as far as headers tell."""

    parameters: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    intermediate: int
    experts: int
    vocabulary: int
    context: int | None
    read: str
    encoder_layers: int = 0
    """Of an encoder-decoder; its ``layers`` are the decoder's."""
    dense: int | None = None
    """Layers whose MLP has neurons; None: all."""
    shared: int = 0
    """Whether the shared experts of a layer are a unit beside its routed experts: 0 or 1."""
    only_reads: bool = False
    """An encoder: it generates nothing."""


@dataclass(frozen=True)
class Line:
    """One row of the estimate."""

    what: str
    tasks: int
    seconds: float
    memory: float
    """Bytes held at the same time while this runs."""


@dataclass(frozen=True)
class Estimate:
    """What `--dry-run` prints."""

    shape: Shape
    units: int
    lines: tuple[Line, ...]
    disk: float
    """Bytes of the finished atlas."""
    method: str
    """How the numbers came about, in words."""
    which: str = ""
    """Which units of an encoder-decoder are meant."""

    @property
    def seconds(self) -> float:
        """Total wall time."""
        return sum(line.seconds for line in self.lines)

    @property
    def memory(self) -> float:
        """Peak memory in bytes."""
        return max(line.memory for line in self.lines)


def shape_of(model: str, settings: MapSettings) -> Shape:
    """Dimensions of a model from its configuration and headers alone.

    Raises
    ------
    ModelError
        If nothing can be learned about it on this machine without downloading.
    """
    source = find(model, settings.load)
    if source.kind == "random":
        header: Header | None = Header(_tiny(model), None, "the small configuration of random models")
    else:
        header = read_header(source)
    if header is None and source.kind == "unknown" and not source.files:
        raise ModelError(f"'{model}' is no packaged model, folder, GGUF file or cached hub model on this machine")
    if header is None:
        raise ModelError(f"'{model}' has no readable config.json or GGUF header, so nothing can be reckoned")
    return _shape(header)


def _tiny(model: str) -> dict[str, Any]:
    family = model.removeprefix("random:")
    values = tiny_values(family)
    return {"model_type": FAMILIES[family][1], **values, **values.get("text_config", {})}


def _shape(header: Header) -> Shape:
    def number(*names: str, default: int) -> int:
        for name in names:
            value = header.config.get(name)
            if isinstance(value, list) and value:
                value = max(value)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
        return default

    width = number("hidden_size", "n_embd", "d_model", "dim", default=64)
    layers = number("num_hidden_layers", "n_layer", "num_layers", "n_layers", default=4)
    rule = RULES.get(str(header.config.get("model_type", "")))
    prefixed = rule.prefixed if rule else bool(header.config.get("is_encoder_decoder"))
    encoder_layers = layers if prefixed else 0
    layers = number("num_decoder_layers", default=layers) if prefixed else layers
    heads = number("num_attention_heads", "n_head", "num_heads", "n_heads", default=4)
    kv_heads = number("num_key_value_heads", "multi_query_group_num", default=heads)
    head_dim = number("head_dim", "d_kv", default=max(1, width // heads))
    intermediate = number(
        "intermediate_size", "n_inner", "d_ff", "ffn_dim", "ffn_hidden_size", "hidden_dim", default=4 * width
    )
    experts = number("num_local_experts", "num_experts", "n_routed_experts", default=0)
    experts = 0 if rule and not any(stack.experts for stack in rule.stacks) else experts
    shared = int(number("n_shared_experts", default=0) > 0) if experts else 0
    vocabulary = number("vocab_size", default=1024)
    attention = width * head_dim * (2 * heads + 2 * kv_heads)
    expert_width = number("moe_intermediate_size", default=intermediate)
    mlp = 3 * width * (expert_width * experts if experts else intermediate)
    reckoned = (layers + encoder_layers) * (attention + mlp) + vocabulary * width
    context = number("max_position_embeddings", "n_positions", "max_seq_len", default=0) or None
    dense = number("first_k_dense_replace", default=0) if experts else None
    parameters = header.parameters or reckoned
    read = header.read if header.parameters else f"{header.read} (number of weights reckoned from it)"
    return Shape(
        parameters, layers, heads, kv_heads, head_dim, width, intermediate, experts, vocabulary, context, read,
        encoder_layers, dense, shared, rule is not None and {stack.name for stack in rule.stacks} == {"encoder"},
    )  # fmt: skip


def unit_count(shape: Shape, signal: Signal, mode: str = "auto") -> int:
    """Number of units that a signal has in a model of this shape; an encoder-decoder reads with its encoder only."""
    dense = shape.layers if shape.dense is None else min(shape.dense, shape.layers)
    reads = bool(shape.encoder_layers) and mode == "read"
    layers = shape.encoder_layers if reads else shape.layers
    cross = 2 if shape.encoder_layers and not reads else 1  # a decoder's self-attention, and its cross-attention
    per_kind = {
        "head": layers * cross * shape.heads,
        "expert": (shape.layers - dense) * (shape.experts + shape.shared),
        "neuron": (layers if reads else dense) * shape.intermediate,
        "residual": layers,
    }
    return per_kind[SIGNALS[signal].kind]


def check_units(model: str, shape: Shape, record: RecordSettings) -> int:
    """Number of units that are recorded.

    Raises
    ------
    AnatomyError
        If the model has none; the message names the kinds that it has.
    """
    found = unit_count(shape, record.signal, record.mode)
    if not found:
        has = [kind for kind, signal in UNITS.items() if unit_count(shape, signal, record.mode)]
        kind = SIGNALS[record.signal].kind
        raise AnatomyError(f"{model} has no {kind}s (--signal {record.signal}); --units can be {' or '.join(has)}")
    return found


def _which(shape: Shape, signal: Signal, mode: str) -> str:
    """Which units of an encoder-decoder are meant, in words; empty for other models."""
    if not shape.encoder_layers:
        return ""
    kind = {"head": "heads", "expert": "experts", "neuron": "neurons", "residual": "residual streams"}[
        SIGNALS[signal].kind
    ]
    other = "auto" if mode == "read" else "read"
    rest = unit_count(shape, signal, other)
    decoder = "decoder and cross-attention heads" if kind == "heads" else f"the decoder's {kind}"
    if mode == "read":
        return f": the encoder's {kind}; without --mode read the decoder's {rest} are recorded"
    return f": {decoder}; the encoder's {rest} are read with --mode read"


def estimate(model: str, settings: MapSettings, prompts: Any, studies: tuple[str, ...]) -> Estimate:
    """Reckon tasks, wall time and memory.

    Parameters
    ----------
    model
        Name of the model.
    settings
        All settings.
    prompts
        A `brodmann.recordings.prompts.PromptSet`.
    studies
        Names of the studies that are asked for.

    Raises
    ------
    AnatomyError
        If the model has no such units.
    """
    shape, record = shape_of(model, settings), settings.record
    units = check_units(model, shape, record)
    texts = [prompt.text for prompt in prompts.prompts]
    asked = _TEMPLATE_TOKENS + sum(map(len, texts)) / _CHARACTERS_PER_TOKEN / len(texts)
    batches = -(-len(texts) // record.batch_size)
    rows = min(record.batch_size, len(texts))
    on_gpu = settings.load.device.startswith(("cuda", "mps", "auto"))
    speed, bandwidth = (_GPU_SPEED, _GPU_BANDWIDTH) if on_gpu else (_EFFICIENCY * matmul_speed(), _MEMORY_BANDWIDTH)
    size = _BYTES[settings.load.dtype]
    weights = float(shape.parameters * size)
    step = max(2 * shape.parameters * rows / speed, weights / bandwidth)
    prefill = 2 * shape.parameters * asked * rows / speed
    generate = 0.0 if record.mode == "read" else record.new_tokens * step
    reread = 2 * shape.parameters * (asked + record.new_tokens) * rows / speed
    cache = 2 * shape.layers * shape.kv_heads * shape.head_dim * (asked + record.new_tokens) * rows * size
    logits = shape.vocabulary * rows * (asked + record.new_tokens) * 4.0
    series = 4.0 * len(texts) * record.new_tokens * units
    base = 6.0e8  # Python, torch and transformers themselves
    lines = [
        Line("open the model", 1, 4.0 + shape.parameters / 3.0e7, base + weights + 4.0 * shape.parameters),
        Line("record", batches, batches * (prefill + generate), base + weights + cache + logits + series),
    ]
    chosen = [known()[name] for name in studies]
    nulls = max((null_models(settings, study) for study in chosen), default=0)
    if nulls:
        held = base + 2 * weights + logits + series
        lines.append(Line(f"{nulls} randomly initialised models", nulls * batches, nulls * batches * reread, held))
    pairs = units * (units - 1) / 2 * len(texts)
    for study in chosen:
        if study.weights:
            cost = graph_cost(checkpoint_of(model, settings.load, settings.seed), settings.fractal)
            lines.append(Line(study.name, 1, cost.seconds, base / 3 + cost.memory))
            continue
        draws, graphs = (
            (1 + nulls + 2 * settings.synergy.surrogates, settings.synergy.graph_nulls)
            if study.name == "synergy"
            else (0 if study.subject else 1, 0)
        )
        seconds = 4.0 + pairs * draws * _SECONDS_PER_PAIR + graphs * units**2 * _SECONDS_PER_EDGE
        held = base + 3 * series + 8.0 * _ARRAYS_PER_STUDY * units**2 * (draws > 0)
        if study.subject:
            seconds += 2 * shape.parameters * _through_the_model(study, settings, len(texts), asked) / speed
            held += weights + cache + logits
        lines.append(Line(study.name, 1, seconds, held))
    lines.append(Line("tables and report", 2, 2.0, base + 8.0 * units**2))
    machine = "a data-centre GPU's usual speed" if on_gpu else f"{speed / 1e9:.0f} GFLOP/s measured just now"
    method = (
        f"From {shape.read}, without reading a weight: {shape.parameters / 1e6:.1f} M weights, {shape.layers} layers; "
        f"two operations per weight and token at {machine}, prompts at {_CHARACTERS_PER_TOKEN:g} characters per token. "
        "Real runs stray by a factor of two."
    )
    disk = series * (1 + nulls) + 8.0 * units**2 * 4 + 5.0e6
    return Estimate(shape, units, tuple(lines), disk, method, _which(shape, record.signal, record.mode))


def _through_the_model(study: Study, settings: MapSettings, prompts: int, asked: float) -> float:
    """Tokens that a study lets the model read, as its settings reckon them; a few rereadings where they do not."""
    tokens = round(asked + settings.record.new_tokens)
    section = getattr(settings, study.settings) if study.settings else None
    reckon = getattr(section, "forward_tokens", None)
    return float(reckon(prompts, tokens)) if reckon else float(_REREADINGS * prompts * tokens)


@cache
def matmul_speed() -> float:
    """Floating-point operations per second of this machine, by one small float32 matrix product; measured once."""
    size = 640
    left = np.ones((size, size), dtype=np.float32)
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        left @ left
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best

"""How long will it take and how much memory will it need? Reckoned before any weight is read.

A forward pass costs two operations per weight and token, and each generation step must read all weights once; the
machine's speed is measured with one small matrix product. Real runs stray from this by a factor of about two in either
direction; the text says so. Studies are reckoned at their pair count.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from brodmann.atlas.source import Header, find, read_header
from brodmann.errors import ModelError
from brodmann.settings import MapSettings

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
_MEMORY_BANDWIDTH = 1.0e10  # bytes per second and CPU process: weights are read once per generation step
_GPU_SPEED, _GPU_BANDWIDTH = 3.0e13, 1.0e12  # a middling data-centre card
_EFFICIENCY = 0.5  # of the matrix product's speed that a forward pass reaches
_CHARACTERS_PER_TOKEN = 4.0
_TEMPLATE_TOKENS = 30
_SECONDS_PER_PAIR = 1.2e-7  # Gaussian decomposition of one pair of units on one prompt, and what follows from it
_SECONDS_PER_EDGE = 1.0e-6  # measures of one null graph, per pair of units
_ARRAYS_PER_STUDY = 14


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
        header: Header | None = Header({}, None, "the small configuration of random models")
    else:
        header = read_header(source)
    if header is None and source.kind == "unknown" and not source.files:
        raise ModelError(f"'{model}' is no packaged model, folder, GGUF file or cached hub model on this machine")
    if header is None:
        raise ModelError(f"'{model}' has no readable config.json or GGUF header, so nothing can be reckoned")
    return _shape(header)


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
    heads = number("num_attention_heads", "n_head", "num_heads", "n_heads", default=4)
    kv_heads = number("num_key_value_heads", "multi_query_group_num", default=heads)
    head_dim = number("head_dim", "d_kv", default=max(1, width // heads))
    intermediate = number("intermediate_size", "n_inner", "d_ff", "ffn_dim", "hidden_dim", default=4 * width)
    experts = number("num_local_experts", "num_experts", "n_routed_experts", default=0)
    vocabulary = number("vocab_size", default=1024)
    attention = width * head_dim * (2 * heads + 2 * kv_heads)
    expert_width = number("moe_intermediate_size", default=intermediate)
    mlp = 3 * width * (expert_width * experts if experts else intermediate)
    reckoned = layers * (attention + mlp) + vocabulary * width
    context = number("max_position_embeddings", "n_positions", "max_sequence_length", default=0) or None
    parameters = header.parameters or reckoned
    read = header.read if header.parameters else f"{header.read} (number of weights reckoned from it)"
    return Shape(parameters, layers, heads, kv_heads, head_dim, width, intermediate, experts, vocabulary, context, read)


def unit_count(shape: Shape, signal: str) -> int:
    """Number of units that a signal has in a model of this shape."""
    per_layer = {
        "z_norm": shape.heads,
        "write_norm": shape.heads,
        "expert_norm": shape.experts,
        "neuron": shape.intermediate,
        "residual": 1,
    }
    return shape.layers * per_layer[signal]


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
    """
    shape, record = shape_of(model, settings), settings.record
    units = unit_count(shape, record.signal)
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
    nulls = settings.synergy.null_models if "synergy" in studies else 0
    if nulls:
        held = base + 2 * weights + logits + series
        lines.append(Line(f"{nulls} randomly initialised models", nulls * batches, nulls * batches * reread, held))
    pairs = units * (units - 1) / 2 * len(texts)
    for name in studies:
        draws, graphs = (
            (1, 0) if name != "synergy" else (1 + nulls + 2 * settings.synergy.surrogates, settings.synergy.graph_nulls)
        )
        seconds = 4.0 + pairs * draws * _SECONDS_PER_PAIR + graphs * units**2 * _SECONDS_PER_EDGE
        lines.append(Line(name, 1, seconds, base + 8.0 * _ARRAYS_PER_STUDY * units**2 + 3 * series))
    lines.append(Line("tables and report", 2, 2.0, base + 8.0 * units**2))
    machine = "a data-centre GPU's usual speed" if on_gpu else f"{speed / 1e9:.0f} GFLOP/s measured just now"
    method = (
        f"From {shape.read}, without reading a weight: {shape.parameters / 1e6:.1f} M weights, {shape.layers} layers; "
        f"two operations per weight and token at {machine}, prompts at {_CHARACTERS_PER_TOKEN:g} characters per token. "
        "Real runs stray by a factor of two."
    )
    disk = series * (1 + nulls) + 8.0 * units**2 * 4 + 5.0e6
    return Estimate(shape, units, tuple(lines), disk, method)


def matmul_speed() -> float:
    """Floating-point operations per second of this machine, by one small float32 matrix product."""
    size = 640
    left = np.ones((size, size), dtype=np.float32)
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        left @ left
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best

"""A small real Llama whose answer provably needs four of its 72 heads, set by hand.

Tokens are pairs (a, b) of one-hot codes, five values each; a text is a start token and a sequence of distinct pairs,
said twice. Continuing it takes an induction circuit, and each part of it is held by one head only:

- ``L0H3`` and ``L0H8`` look one token back (rotary position: q and k are constants whose fast pairs are turned by one
  step) and write the a part, or the b part, of that token into subspaces of their own, ``prev_a`` and ``prev_b``;
- ``L2H5`` and ``L2H11`` look for the position whose ``prev`` codes are the current token's codes (content lies in slow
  rotary pairs, which hardly turn) and write the a part, or the b part, of what stands there into ``out_a``, ``out_b``;
- the unembedding of (a, b) reads ``out_a`` and ``out_b`` and nothing else.

All other heads have random queries, keys and values and write into ``junk``, which nothing that matters reads: they
have activity, and no effect but through the size of the norm. The MLPs are 0. So without L2H5 no head writes out_a, and
all five values of a are equally likely: KL = log 5 less what the intact model is unsure of. Without L0H3 the search
cannot tell tokens that share b. Every a and every b is said by several tokens of each sequence, so both are needed.
"""

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from brodmann.models import Subject
from brodmann.models.anatomy import read_anatomy

PLANTED = ("L0H3", "L0H8", "L2H5", "L2H11")
VALUES = 5
HEADS, WIDTH, LAYERS, MODEL = 24, 32, 3, 72
FAST = range(5)
SLOW = range(9, 14)
CONST = 0
A, B, PREV_A, PREV_B, OUT_A, OUT_B = (slice(1 + VALUES * k, 1 + VALUES * (k + 1)) for k in range(6))
JUNK = slice(1 + 6 * VALUES, MODEL)
THETA = 1e6
NORM = 4.0
"""What the constant channel holds: it makes up most of the norm, so that a norm hardly depends on anything else."""


def planted_subject(seed: int = 0) -> Subject:
    """The model, with a tokenizer of 25 words and a start sign."""
    config = LlamaConfig(
        vocab_size=VALUES**2 + 1, hidden_size=MODEL, intermediate_size=8, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=HEADS, head_dim=WIDTH, max_position_embeddings=64,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        for layer in model.model.layers:
            layer.input_layernorm.weight.fill_(1.0)
            layer.post_attention_layernorm.weight.fill_(1.0)
            _junk(layer.self_attn, generator)
        model.model.norm.weight.fill_(1.0)
        embedding = model.model.embed_tokens.weight
        embedding[:, CONST] = NORM
        head = model.lm_head.weight
        head[0, CONST] = -10.0
        for token in range(VALUES**2):
            a, b = divmod(token, VALUES)
            embedding[token + 1, A.start + a] = embedding[token + 1, B.start + b] = 1.0
            head[token + 1, OUT_A.start + a] = head[token + 1, OUT_B.start + b] = 4.0
        for head_index, source, target in ((3, A, PREV_A), (8, B, PREV_B)):
            _look_back(model.model.layers[0].self_attn, head_index, source, target)
        for head_index, source, target in ((5, A, OUT_A), (11, B, OUT_B)):
            _look_up(model.model.layers[2].self_attn, head_index, source, target)
    words = {"^": 0} | {f"{'abcde'[k // VALUES]}{k % VALUES}": k + 1 for k in range(VALUES**2)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="^"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    provenance = {"name": "planted", "model_type": "llama", "weights_hash": "none", "randomly_initialised": False}
    return Subject(
        "planted", model, PreTrainedTokenizerFast(tokenizer_object=tokenizer), read_anatomy(model), provenance
    )


def planted_prompts(count: int, rng: np.random.Generator) -> list[str]:
    """Texts that begin a sequence of ten distinct tokens a second time; every a and every b is in two of them."""
    found = []
    for _ in range(count):
        b = np.concatenate([rng.permutation(VALUES), np.zeros(VALUES, int)])
        b[VALUES:] = (b[:VALUES] + 1 + rng.integers(0, VALUES - 1)) % VALUES
        tokens = [f"{'abcde'[k % VALUES]}{b[k]}" for k in range(2 * VALUES)]
        order = rng.permutation(len(tokens))
        said = [tokens[k] for k in order]
        found.append(" ".join(["^", *said, said[0]]))
    return found


def _scale() -> float:
    """Roughly what a channel is multiplied by in the norm."""
    return float(np.sqrt(MODEL) / np.sqrt(NORM**2 + 4))


def _rows(head: int) -> slice:
    return slice(head * WIDTH, (head + 1) * WIDTH)


def _clear(attention, head: int) -> None:
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight[_rows(head)] = 0.0
    attention.o_proj.weight[:, _rows(head)] = 0.0


def _look_back(attention, head: int, source: slice, target: slice) -> None:
    _clear(attention, head)
    start, half, scale = head * WIDTH, WIDTH // 2, _scale()
    for pair in FAST:
        omega = THETA ** (-2 * pair / WIDTH)
        size = np.sqrt(12.0 * np.sqrt(WIDTH)) / (NORM * scale)
        attention.q_proj.weight[start + pair, CONST] = size * np.cos(omega)
        attention.q_proj.weight[start + pair + half, CONST] = -size * np.sin(omega)
        attention.k_proj.weight[start + pair, CONST] = size
    _copy(attention, head, source, target)


def _look_up(attention, head: int, source: slice, target: slice) -> None:
    _clear(attention, head)
    start, half, scale = head * WIDTH, WIDTH // 2, _scale()
    size = np.sqrt(7.0 * np.sqrt(WIDTH)) / scale
    for place, pair in enumerate(SLOW):
        for query, key, offset in ((A, PREV_A, 0), (B, PREV_B, half)):
            attention.q_proj.weight[start + pair + offset, query.start + place] = size
            attention.k_proj.weight[start + pair + offset, key.start + place] = size
    _copy(attention, head, source, target)


def _copy(attention, head: int, source: slice, target: slice) -> None:
    start = head * WIDTH
    for place in range(VALUES):
        attention.v_proj.weight[start + place, source.start + place] = 1.0 / _scale()
        attention.o_proj.weight[target.start + place, start + place] = 1.0


def _junk(attention, generator: torch.Generator) -> None:
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight.copy_(0.3 * torch.randn(projection.weight.shape, generator=generator))
    write = attention.o_proj.weight
    write[JUNK] = 0.003 * torch.randn(write[JUNK].shape, generator=generator)

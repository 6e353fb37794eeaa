"""A real, tiny Llama with grouped queries (stories260K of llama2.c), where its file is at hand."""

import struct

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from brodmann.models import listen, load


def read_llama2c(path):
    """Model of a llama2.c checkpoint: seven integers, then float32 matrices, layers stacked."""
    raw = path.read_bytes()
    width, hidden, layers, heads, groups, vocabulary, context = struct.unpack("<7i", raw[:28])
    numbers, place = np.frombuffer(raw, dtype="<f4", offset=28), 0

    def take(*shape):
        nonlocal place
        count = int(np.prod(shape))
        place += count
        return torch.from_numpy(numbers[place - count : place].reshape(shape).copy())

    def halves(w, count):
        return w.reshape(layers, count, w.shape[1] // count // 2, 2, width).transpose(2, 3).reshape(w.shape)

    kv = width * groups // heads
    stacked = {"embed": take(vocabulary, width), "input_layernorm": take(layers, width)}
    stacked["self_attn.q_proj"] = halves(take(layers, width, width), heads)
    stacked["self_attn.k_proj"] = halves(take(layers, kv, width), groups)
    stacked["self_attn.v_proj"] = take(layers, kv, width)
    stacked["self_attn.o_proj"] = take(layers, width, width)
    stacked["post_attention_layernorm"] = take(layers, width)
    stacked["mlp.gate_proj"] = take(layers, hidden, width)
    stacked["mlp.down_proj"] = take(layers, width, hidden)
    stacked["mlp.up_proj"] = take(layers, hidden, width)
    embed = stacked.pop("embed")
    state = {"model.embed_tokens.weight": embed, "lm_head.weight": embed, "model.norm.weight": take(width)}
    state |= {f"model.layers.{i}.{name}.weight": w[i] for name, w in stacked.items() for i in range(layers)}
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=groups, max_position_embeddings=context, rms_norm_eps=1e-5,
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(state)
    return model


def read_tokens(path, count):
    raw, place, tokens = path.read_bytes(), 4, []
    for _ in range(count):
        _, length = struct.unpack_from("<fi", raw, place)
        tokens.append(raw[place + 8 : place + 8 + length])
        place += 8 + length
    return tokens


@pytest.fixture
def stories(shared, tmp_path, monkeypatch, tiny):
    monkeypatch.setenv("BRODMANN_CACHE", str(tmp_path / "cache"))
    path = shared / "stories260K" / "stories260K.bin"
    if not path.is_file():
        pytest.skip(f"{path} is not on this machine")
    read_llama2c(path).save_pretrained(tmp_path / "stories")
    tiny("llama").tokenizer.save_pretrained(tmp_path / "stories")
    return load(tmp_path / "stories")


def test_it_tells_a_story_and_its_heads_are_heard(stories, shared):
    assert (stories.anatomy.layers, len(stories.anatomy.units("z_norm"))) == (5, 40)
    start = torch.tensor([[1]])
    with listen(stories, "z_norm", last_only=True) as tap:
        ids = stories.model.generate(start, attention_mask=torch.ones_like(start), max_new_tokens=60, do_sample=False)
        heard = tap.take()
    tokens = read_tokens(shared / "stories260K" / "tok512.bin", 512)
    text = b"".join(tokens[index] for index in ids[0, 1:].tolist()).decode().lstrip()
    assert text.startswith("Once upon a time, there was a little girl named Lily. She loved to play outside")
    assert heard.shape == (1, 60, 40)
    # What was heard step by step with a cache is what a single reading of the text gives.
    with listen(stories, "z_norm") as tap, torch.no_grad():
        stories.model(ids[:, :-1])
        torch.testing.assert_close(heard, tap.take(), rtol=2e-4, atol=1e-6)

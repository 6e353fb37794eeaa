"""Numbers of the loop against a naive one, over batches, families, endings."""

from collections.abc import Callable
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import brodmann as bd
from brodmann.errors import RecordingError
from brodmann.models import Subject, families
from brodmann.recordings import drive, end_tokens, record, replay

STEPS = 24


@contextmanager
def changed(holder, **values):
    before = {name: getattr(holder, name) for name in values}
    for name, value in values.items():
        setattr(holder, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(holder, name, value)


def naive_generation(subject: Subject, prompt: list[int], steps: int):
    """One prompt, no cache, no padding, own hooks: the definition of 2601.06851, word by word."""
    heard: list[torch.Tensor] = []
    layers = subject.model.model.layers
    hooks = [
        layer.self_attn.o_proj.register_forward_pre_hook(lambda module, args: heard.append(args[0][0, -1]))
        for layer in layers
    ]
    ids, rows = list(prompt), []
    heads = subject.model.config.num_attention_heads
    try:
        for _ in range(steps):
            heard.clear()
            with torch.no_grad():
                logits = subject.model(torch.tensor([ids])).logits[0, -1]
            logits[list(end_tokens(subject))] = -torch.inf
            rows.append(torch.stack(heard).reshape(len(layers), heads, -1).norm(dim=-1).flatten())
            ids.append(int(logits.argmax()))
    finally:
        for hook in hooks:
            hook.remove()
    return ids[len(prompt) :], torch.stack(rows).numpy()


@pytest.mark.parametrize("batch_size", [1, 4])
def test_series_equal_a_naive_loop(llama: Subject, batch_size: int, texts: list[str]):
    found = record(llama, prompts=texts, new_tokens=STEPS, batch_size=batch_size)
    for row in range(len(texts)):
        ids = found["input_id"].values[row]
        tokens, norms = naive_generation(llama, ids[ids >= 0].tolist(), STEPS)
        assert found["token_id"].values[row].tolist() == tokens
        np.testing.assert_allclose(found["activity"].values[row], norms, rtol=1e-5)


@pytest.mark.parametrize("family", families())
def test_neither_batching_nor_caching_changes_norms(family: str, texts: list[str], sharpened: Callable[..., Subject]):
    # T5's initial weights are large already: sharper ones blow rounding up to 6e-3
    subject = sharpened(f"random:{family}", 2.0 if family == "t5" else 6.0)
    one = record(subject, prompts=texts, new_tokens=STEPS, batch_size=1)
    four = record(subject, prompts=texts, new_tokens=STEPS, batch_size=4)
    again = replay(subject, four)
    np.testing.assert_array_equal(one["token_id"], four["token_id"])
    np.testing.assert_allclose(one["activity"], four["activity"], rtol=1e-4)
    np.testing.assert_allclose(again["activity"], four["activity"], rtol=1e-4)
    assert four["nonfinite"].sum() == 0
    ended = np.arange(four.sizes["token"])[None, :] >= four["length"].values[:, None]
    assert np.isnan(four["activity"].values[ended]).all()
    assert np.isfinite(four["activity"].values[~ended]).all()


@pytest.mark.parametrize("family", ["bloom", "falcon", "gpt2", "llama", "mpt", "opt"])
def test_the_batching_test_would_see_a_wrong_mask(family: str, texts: list[str], sharpened: Callable[..., Subject]):
    # Negative control: the same prompt behind unmasked padding has other norms, in every way of coding position.
    subject = sharpened(f"random:{family}")
    ids = record(subject, prompts=texts[:1], new_tokens=2)["input_id"].values[0].tolist()
    norms = []
    for prompt in (ids, [7] * 9 + ids):
        reducer = bd.recordings.SeriesReducer()
        drive.generate(subject, [prompt], signal="z_norm", new_tokens=2, reducers=[reducer])
        norms.append(reducer.finish()["activity"].values[0, 0])
    assert np.max(np.abs(norms[1] / norms[0] - 1)) > 1e-2


def test_sampling_settings_of_the_checkpoint_do_not_leak(llama: Subject, texts: list[str]):
    plain = record(llama, prompts=texts, new_tokens=STEPS)
    own = llama.model.generation_config
    with changed(own, do_sample=True, temperature=3.0, repetition_penalty=50.0, no_repeat_ngram_size=2, max_length=20):
        assert own is llama.model.generation_config
        leaky = record(llama, prompts=texts, new_tokens=STEPS)
        assert llama.model.generation_config is own
    np.testing.assert_array_equal(plain["token_id"], leaky["token_id"])
    np.testing.assert_array_equal(plain["activity"], leaky["activity"])


def test_end_tokens_are_suppressed_wherever_they_are_declared(llama: Subject, texts: list[str]):
    plain = record(llama, prompts=texts, new_tokens=STEPS)
    favourite = int(np.bincount(plain["token_id"].values.ravel()).argmax())
    for holder in (llama.model.generation_config, llama.model.config):
        with changed(holder, eos_token_id=[2, favourite]):
            assert favourite in end_tokens(llama)
            found = record(llama, prompts=texts, new_tokens=STEPS)
        assert favourite not in found["token_id"].values
        assert found["length"].values.tolist() == [STEPS] * len(texts)


def test_stopping_early_keeps_the_minimum_and_ends_in_nan(llama: Subject, texts: list[str]):
    plain = record(llama, prompts=texts, new_tokens=STEPS)
    token_id = plain["token_id"].values
    minimum = 6
    # an end that comes after the minimum in the first row: its first appearance decides
    end = int(token_id[0, 10])
    with changed(llama.model.generation_config, eos_token_id=end):
        found = record(llama, prompts=texts, new_tokens=STEPS, stop_at_eos=True, min_tokens=minimum)
        again = replay(llama, found)
    assert found["length"].values.min() < STEPS
    for row, length in enumerate(found["length"].values):
        assert minimum <= length <= STEPS
        tokens = found["token_id"].values[row]
        assert end not in tokens[: length - 1]
        assert length == STEPS or tokens[length - 1] == end
        assert (tokens[length:] == -1).all()
        assert np.isnan(found["activity"].values[row, length:]).all()
        assert np.isfinite(found["activity"].values[row, :length]).all()
    np.testing.assert_allclose(again["activity"], found["activity"], rtol=1e-4)
    # what was written before the first difference does not depend on the rule
    same = np.cumprod(found["token_id"].values == token_id, axis=1).astype(bool)
    np.testing.assert_allclose(found["activity"].values[same], plain["activity"].values[same], rtol=1e-4)


def test_nonfinite_activations_are_kept_and_counted(texts: list[str], sharpened: Callable[..., Subject]):
    subject = sharpened("random:llama")
    value = subject.model.model.layers[2].self_attn.v_proj.weight
    with torch.no_grad():
        value[0, 0] = torch.inf
    found = record(subject, prompts=texts[:2], new_tokens=5)
    activity = found["activity"].values
    assert np.isfinite(activity[:, :, found["layer"].values < 2]).all()
    bad = ~np.isfinite(activity)
    assert bad.any()
    assert found["nonfinite"].values.tolist() == bad.sum((1, 2)).tolist()
    assert found["length"].values.tolist() == [5, 5]


def test_reading_computes_no_logits_and_leaves_no_hooks(llama: Subject, texts: list[str]):
    written = record(llama, prompts=texts[:2], new_tokens=4)
    calls: list[int] = []
    handle = llama.model.lm_head.register_forward_hook(lambda *_: calls.append(1))
    try:
        replay(llama, written)
    finally:
        handle.remove()
    assert calls == []
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.model.modules())
    assert not llama.model.training


def test_logits_are_computed_for_the_last_position_only(llama: Subject, texts: list[str]):
    shapes: list[torch.Size] = []
    handle = llama.model.lm_head.register_forward_hook(lambda module, args, output: shapes.append(output.shape))
    try:
        record(llama, prompts=texts, new_tokens=3)
    finally:
        handle.remove()
    assert {shape[1] for shape in shapes} == {1}
    assert len(shapes) == 3


def test_long_reading_is_split_without_a_trace(llama: Subject, monkeypatch: pytest.MonkeyPatch, texts: list[str]):
    written = record(llama, prompts=texts, new_tokens=STEPS)
    whole = replay(llama, written)
    monkeypatch.setattr(drive, "HEARD_BYTES", 4 * 120 * 16 * 2)
    steps: list[int] = []
    split = replay(llama, written, progress=lambda event: steps.append(event.tokens))
    np.testing.assert_allclose(split["activity"], whole["activity"], rtol=1e-4)
    assert len(set(steps)) > 2


def test_running_out_of_memory_advises_a_smaller_batch(llama: Subject):
    advice = "memory ran out with 16 prompts at a time; use a smaller batch_size"
    with pytest.raises(RecordingError, match=advice), drive.ready(llama.model, 16):
        torch.empty(1 << 55)


def test_an_encoder_decoder_is_heard_where_it_writes_or_where_it_reads(
    texts: list[str], sharpened: Callable[..., Subject]
):
    subject = sharpened("random:t5", 2.0)
    written = record(subject, prompts=texts, new_tokens=6)
    assert set(written["stack"].values) == {"decoder", "cross"}
    read = record(subject, prompts=texts, mode="read")
    assert set(read["stack"].values) == {"encoder"}
    lengths = (written["input_id"].values >= 0).sum(1)
    np.testing.assert_array_equal(read["length"], lengths)

import json
import os
import shutil
import threading

import gguf
import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

from brodmann.errors import ModelError
from brodmann.models import load
from brodmann.models.chains import chain
from brodmann.models.gguf_file import convert, read_weights
from brodmann.models.shards import open_checkpoint
from brodmann.models.untrained import tiny_config

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def neighbours(values, heads):
    """Rows as llama.cpp keeps them: the two rotated channels side by side."""
    rows = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return rows.swapaxes(1, 2).reshape(values.shape)


def write_gguf(path, model, tokenizer, kind=gguf.GGMLQuantizationType.F32, cut="gpt-2"):
    config, architecture = model.config, model.config.model_type
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_file_type(0)
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<") and len(token) > 1 else 1 for token in tokens])
    writer.add_token_merges([])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages[0].content }}")
    for name, tensor in model.state_dict().items():
        values = tensor.numpy()
        stem, _, ending = name.rpartition(".")
        if stem == "model.embed_tokens":
            new = "token_embd"
        elif stem == "model.norm":
            new = "output_norm"
        elif stem == "lm_head":
            new = "output"
        else:
            layer, rest = stem.removeprefix("model.layers.").split(".", 1)
            new = f"blk.{layer}.{NAMES[rest]}"
            if architecture == "llama" and rest.endswith(("q_proj", "k_proj")):
                heads = config.num_attention_heads if rest.endswith("q_proj") else config.num_key_value_heads
                values = neighbours(values, heads)
        stored = kind if values.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(
            f"{new}.{ending}", gguf.quants.quantize(np.ascontiguousarray(values), stored), raw_dtype=stored
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BRODMANN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def little(tmp_path, tiny, cache):
    return write_gguf(tmp_path / "little.gguf", tiny("llama").model, tiny("llama").tokenizer)


def test_unquantised_weights_come_back_bit_for_bit(little, tiny, ids, run):
    subject = load(little)
    assert torch.equal(run(subject, ids), run(tiny("llama"), ids))
    assert subject.provenance["quantisation"] == "39 F32"
    assert subject.has_chat_template
    text = "In 1984 <eos> é\n"
    expected = [
        tiny("llama").tokenizer.convert_tokens_to_ids("<eos>") if part == "<eos>" else part for part in text.split()
    ]
    encoded = subject.tokenizer(text)["input_ids"]
    assert encoded == tiny("llama").tokenizer(text)["input_ids"]
    assert expected[2] in encoded
    assert (subject.tokenizer.bos_token, subject.tokenizer.eos_token) == ("<bos>", "<eos>")


def test_quantised_weights_are_exactly_the_dequantised_ones(tmp_path, tiny, cache):
    kind = gguf.GGMLQuantizationType.Q8_0
    path = write_gguf(tmp_path / "small.gguf", tiny("llama").model, tiny("llama").tokenizer, kind)
    subject = load(path)
    assert subject.provenance["quantisation"] == "30 Q8_0, 9 F32"
    for name, tensor in tiny("llama").model.state_dict().items():
        values = tensor.numpy()
        if values.ndim == 2:
            values = gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind)
        assert np.array_equal(subject.model.state_dict()[name].numpy(), values)


def test_biases_and_tied_embeddings(tmp_path, tiny, ids, run, cache):
    config = Qwen2Config(
        vocab_size=261, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config).eval()
    torch.nn.init.normal_(model.model.layers[0].self_attn.q_proj.bias)
    untied = {name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}
    model.state_dict = lambda: untied
    subject = load(write_gguf(tmp_path / "qwen.gguf", model, tiny("llama").tokenizer, cut="qwen2"))
    with torch.no_grad():
        assert torch.equal(run(subject, ids), model(ids).logits)
    assert subject.model.lm_head.weight is subject.model.model.embed_tokens.weight


def test_an_architecture_this_reader_does_not_know_goes_through_transformers(tmp_path, tiny, ids, cache, capfd):
    # transformers takes GPT-2's number of positions for granted.
    model, tokenizer = (
        GPT2LMHeadModel(tiny_config("gpt2", n_positions=1024, vocab_size=262)).eval(),
        tiny("gpt2").tokenizer,
    )
    writer = gguf.GGUFWriter(tmp_path / "gpt2.gguf", "gpt2")
    writer.add_context_length(1024)
    writer.add_embedding_length(32)
    writer.add_block_count(4)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-5)
    writer.add_name("little")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*tokenizer.convert_ids_to_tokens(range(261)), "ab"])
    writer.add_token_types([1] * 262)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    parts = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
             "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}  # fmt: skip
    top = {"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm"}
    for name, tensor in model.state_dict().items():
        stem, _, ending = name.rpartition(".")
        if stem == "lm_head":
            continue
        values = tensor.numpy()
        if stem in top:
            new = top[stem]
        else:
            layer, rest = stem.removeprefix("transformer.h.").split(".", 1)
            new = f"blk.{layer}.{parts[rest]}"
            values = values.T if values.ndim == 2 else values
        writer.add_tensor(f"{new}.{ending}", np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    subject = load(tmp_path / "gpt2.gguf")
    assert subject.anatomy.family == "gpt2"
    assert subject.tokenizer("abba")["input_ids"][0] == 261
    assert capfd.readouterr() == ("", "")
    with torch.no_grad():
        assert torch.equal(subject.model(ids).logits, model(ids).logits)


def test_digits_are_cut_as_the_file_says(tmp_path, tiny, cache):
    path = write_gguf(tmp_path / "digits.gguf", tiny("llama").model, tiny("llama").tokenizer, cut="smollm")
    pieces = load(path).tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("of 1984")
    assert [piece for piece, _ in pieces] == ["of", "Ġ", "1", "9", "8", "4"]


def test_conversion_happens_once_and_anew_when_the_file_changes(little, cache):
    folder = convert(little)
    stamp = (folder / "tokenizer.json").stat().st_mtime_ns
    assert convert(little) == folder
    assert (folder / "tokenizer.json").stat().st_mtime_ns == stamp
    assert not (folder / "model.safetensors").exists()
    assert folder.parent == cache / "models"
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]
    little.write_bytes(little.read_bytes() + b"\0" * 32)
    assert convert(little) != folder


def test_what_a_killed_process_left_is_swept_away(little, cache):
    folder = convert(little)
    left, young = (folder.with_name(f".{folder.name}-{name}") for name in ("old", "young"))
    left.mkdir()
    young.mkdir()
    os.utime(left, (0, 0))
    shutil.rmtree(folder)
    assert convert(little) == folder
    assert not left.exists()
    assert young.exists()


def test_two_at_once_both_succeed(little, cache):
    folders = []
    threads = [threading.Thread(target=lambda: folders.append(convert(little))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 1
    assert len(folders) == 4
    assert [path.name for path in (cache / "models").iterdir()] == [folders[0].name]
    assert {"config.json", "source.json", "tokenizer.json"} <= {p.name for p in folders[0].iterdir()}


def test_bad_files_are_one_line_each_and_leave_nothing_behind(little, tmp_path, tiny, cache):
    whole = little.read_bytes()
    cases = {
        "not a GGUF file": b"PK" + whole[2:],
        "is not a GGUF": b"",
        "damaged or cut short": whole[: len(whole) // 50],
        "cut short": whole[:-64],
    }
    for message, content in cases.items():
        path = tmp_path / "bad.gguf"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=message) as caught:
            load(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="there is no file"):
        load(tmp_path / "absent.gguf")
    strange = write_gguf(tmp_path / "strange.gguf", tiny("llama").model, tiny("llama").tokenizer, cut="unheard-of")
    with pytest.raises(ModelError, match="rule 'unheard-of', which is not supported"):
        load(strange)
    assert not list((cache / "models").iterdir())


def test_a_file_cut_short_after_its_conversion_is_said(little, cache):
    folder, state = convert(little), little.stat()
    whole = little.read_bytes()
    little.write_bytes(whole[:-64] + b"\0" * 64)  # same size: the header is read again, the tensors are there
    os.utime(little, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert convert(little) == folder
    with little.open("r+b") as stream:
        stream.truncate(len(whole) - 64)
    with pytest.raises(ModelError, match="cut short"):
        read_weights(little)


def test_a_cache_that_cannot_be_written_is_said(little, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BRODMANN_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"the cache .* cannot be written"):
        load(little)


def test_what_was_converted_says_where_it_came_from(little, cache):
    import hashlib

    about = json.loads((convert(little) / "source.json").read_text())
    assert about["sha256"] == hashlib.sha256(little.read_bytes()).hexdigest()
    assert about["source"] == "little.gguf"
    assert load(little).provenance["weights_hash"] == f"sha256:{about['sha256']}"


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
def test_tensors_read_one_at_a_time_equal_the_opened_model(kind, family, tmp_path, tiny, cache):
    path = tmp_path / "little.gguf"
    write_gguf(path, tiny(family).model, tiny(family).tokenizer, gguf.GGMLQuantizationType[kind])
    checkpoint, state = open_checkpoint(path), load(path, check=False).model.state_dict()
    assert len([step for step in chain(checkpoint) if step.tensors]) == 4 * 6
    for name, entry in checkpoint.tensors.items():
        stored = checkpoint.read(name)
        if stored.storage == "float32":
            values = stored.raw
        else:
            wide = torch.float16 if stored.storage == "float16" else torch.bfloat16
            values = torch.from_numpy(stored.raw.view(np.int16)).view(wide).float().numpy()
        np.testing.assert_array_equal(values, state[name].numpy())
        assert values.shape == entry.shape
        if len(entry.shape) == 2:
            np.testing.assert_array_equal(checkpoint.read(name, rows=slice(3, 7)).raw, stored.raw[3:7])

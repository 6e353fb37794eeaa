import json
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch

from brodmann.errors import WeightsError
from brodmann.models import load
from brodmann.models.packaged import PACKAGED
from brodmann.models.shards import from_model, open_checkpoint

BITS = {torch.float16: torch.int16, torch.bfloat16: torch.int16}
NAMES = {torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float32: "float32", torch.float64: "float64"}


def bits(tensor):
    """A tensor's numbers as the reader gives them."""
    if tensor.dtype in BITS:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    return tensor.numpy()


def write(path, tensors, cut=None):
    """A safetensors file of (dtype, shape, bytes); ``cut`` leaves off bytes at the end."""
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    raw = struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())
    path.write_bytes(raw[: len(raw) - (cut or 0)])


def folder(path, tensors, model_type="llama", **more):
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps({"model_type": model_type}))
    write(path / "model.safetensors", tensors, **more)
    return path


@pytest.fixture
def copy(tiny):
    def make(family, dtype):
        model = load(f"random:{family}", check=False).model
        return model.to(dtype)

    return make


@pytest.mark.parametrize("dtype", list(NAMES))
def test_numbers_are_read_bit_for_bit(copy, dtype, tmp_path):
    model = copy("llama", dtype)
    model.save_pretrained(tmp_path)
    for checkpoint in (open_checkpoint(tmp_path), from_model(model)):
        assert set(checkpoint.tensors) == set(model.state_dict())
        for name, value in model.state_dict().items():
            stored = checkpoint.read(name)
            assert stored.storage == NAMES[dtype]
            np.testing.assert_array_equal(stored.raw, bits(value))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_parts_equal_parts_of_the_whole(copy, dtype, tmp_path):
    model = copy("gpt_oss", dtype)
    model.save_pretrained(tmp_path)
    name = "model.layers.2.mlp.experts.gate_up_proj"
    whole = bits(model.state_dict()[name])
    for checkpoint in (open_checkpoint(tmp_path), from_model(model)):
        for index in (0, 3, 5):
            np.testing.assert_array_equal(checkpoint.read(name, index=index).raw, whole[index])
            for rows in (slice(3, 9), slice(20, None), slice(None, None, 2), slice(0, 0)):
                np.testing.assert_array_equal(checkpoint.read(name, index=index, rows=rows).raw, whole[index][rows])
        np.testing.assert_array_equal(checkpoint.read(name, rows=slice(1, 3)).raw, whole[1:3])
        with pytest.raises(IndexError):
            checkpoint.read(name, index=6)


def test_only_the_part_is_read(tmp_path, monkeypatch):
    write_me = np.arange(6 * 4 * 5, dtype=np.float32).reshape(6, 4, 5)
    folder(tmp_path / "m", {"x": ("F32", write_me.shape, write_me.tobytes())})
    from brodmann.models import shard_files

    sizes = []
    plain = shard_files._bytes
    monkeypatch.setattr(shard_files, "_bytes", lambda *args: (sizes.append(args[-1]), plain(*args))[1])
    found = open_checkpoint(tmp_path / "m").read("x", index=4, rows=slice(1, 3)).raw
    np.testing.assert_array_equal(found, write_me[4, 1:3])
    assert sizes == [2 * 5 * 4]


def test_shards_of_an_index_equal_one_file(tiny, tmp_path):
    model = tiny("llama").model
    model.save_pretrained(tmp_path, max_shard_size="60KB")
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) >= 2
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.files == tuple(files)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(checkpoint.read(name).raw, value.numpy())
    index = tmp_path / "model.safetensors.index.json"
    held = json.loads(index.read_text())["weight_map"]
    (tmp_path / "model.safetensors.index.json").rename(tmp_path / "kept")
    assert set(open_checkpoint(tmp_path).tensors) == set(checkpoint.tensors)  # shards without an index
    (tmp_path / "kept").rename(index)
    lost = files[1]
    first = next(name for name, file in held.items() if file == lost.name)
    lost.rename(tmp_path / "elsewhere")
    with pytest.raises(WeightsError, match=re.escape(f"{lost} is missing: the index lists it, with {first} in it")):
        open_checkpoint(tmp_path)
    (tmp_path / "elsewhere").rename(lost)
    index.write_text(json.dumps({"weight_map": {**held, "model.other.weight": lost.name}}))
    with pytest.raises(WeightsError, match=re.escape(f"{lost} lacks model.other.weight, which the index says")):
        open_checkpoint(tmp_path)
    index.write_text(json.dumps({"weight_map": {**held, "x": "../x.safetensors"}}))
    with pytest.raises(WeightsError, match="names files outside the folder"):
        open_checkpoint(tmp_path)
    index.write_text("[]")
    with pytest.raises(WeightsError, match="is damaged: a mapping was expected"):
        open_checkpoint(tmp_path)


def test_each_mistake_has_its_line(tmp_path):
    one = {"x.weight": ("F32", (2, 3), bytes(24)), "y.weight": ("BF16", (4,), bytes(8))}
    good = folder(tmp_path / "good", one)
    assert open_checkpoint(good).read("y.weight").raw.dtype == np.uint16
    cases = {"cut short: .* y.weight is not whole": folder(tmp_path / "cut", one, cut=5)}
    damaged = folder(tmp_path / "damaged", one)
    (damaged / "model.safetensors").write_bytes(struct.pack("<Q", 40) + b"{" * 40)
    cases["is no whole safetensors file: its header is damaged"] = damaged
    endless = folder(tmp_path / "endless", one)
    (endless / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
    cases["header longer than the file"] = endless
    empty = folder(tmp_path / "empty", one)
    (empty / "model.safetensors").write_bytes(b"")
    cases["its header is damaged .unpack requires"] = empty
    cases["damaged header: x.weight does not have the bytes of its shape"] = folder(
        tmp_path / "shape", {"x.weight": ("F32", (2, 4), bytes(24))}
    )
    nameless = folder(tmp_path / "nameless", one)
    (nameless / "config.json").unlink()
    cases["nameless holds no config.json, so its architecture is unknown"] = nameless
    pickled = folder(tmp_path / "pickled", one)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    cases[r"pickled holds no .safetensors file \(pickle, as in pytorch_model.bin, is not read\)"] = pickled
    twice = folder(tmp_path / "twice", one)
    (twice / "model.safetensors").rename(twice / "a.safetensors")
    write(twice / "b.safetensors", one)
    cases["x.weight is in .*a.safetensors and in .*b.safetensors; keep one of them"] = twice
    for message, path in cases.items():
        with pytest.raises(WeightsError, match=message) as caught:
            open_checkpoint(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["F8_E4M3", "I8", "U8"])
def test_what_is_no_plain_number_must_be_dequantised(dtype, tmp_path):
    checkpoint = open_checkpoint(folder(tmp_path / "m", {"x": (dtype, (2, 3), bytes(6))}))
    with pytest.raises(WeightsError, match=f"x is stored as {dtype}, which is no plain number: dequantise"):
        checkpoint.read("x")
    with pytest.raises(WeightsError, match="has no tensor z"):
        checkpoint.read("z")


def test_a_file_that_shrinks_after_it_was_opened_is_noticed(tmp_path):
    path = folder(tmp_path / "m", {"x": ("F32", (2, 3), bytes(24))})
    checkpoint = open_checkpoint(path)
    raw = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(raw[:-4])
    with pytest.raises(WeightsError, match="is cut short: it ends inside x"):
        checkpoint.read("x")


def test_names_that_cannot_be_read_say_what_to_do(tmp_path):
    for name in ("random:llama", "glass-en") if PACKAGED["glass-en"].installed else ("random:llama",):
        with pytest.raises(WeightsError, match="open it and use from_model"):
            open_checkpoint(name)
    with pytest.raises(WeightsError, match="nobody/nothing at revision 'v1' is not on this machine"):
        open_checkpoint("nobody/nothing", "v1")
    with pytest.raises(WeightsError, match="is not on this machine"):
        open_checkpoint(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="in one state, so it has no revision 'v1'"):
        open_checkpoint(tmp_path, "v1")
    with pytest.raises(WeightsError, match="there is no file"):
        open_checkpoint(tmp_path / "x.gguf")
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(WeightsError, match=r"x.gguf"):
        open_checkpoint(tmp_path / "x.gguf")
    with pytest.raises(WeightsError, match="Linear has no config"):
        from_model(torch.nn.Linear(2, 2))


def test_a_hub_model_is_found_in_the_cache(tmp_path, monkeypatch):
    import huggingface_hub

    path = folder(tmp_path / "abc123", {"x": ("F32", (2,), np.arange(2, dtype=np.float32).tobytes())})
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(path / "config.json"))
    checkpoint = open_checkpoint("someone/model")
    assert (checkpoint.name, checkpoint.revision) == ("someone/model", "abc123")
    assert checkpoint.read("x").raw.tolist() == [0, 1]


def test_the_text_config_stands_in_for_the_models_own(tiny):
    config = from_model(tiny("llava").model).config
    assert (config["model_type"], config["num_attention_heads"]) == ("llama", 4)


def test_an_opened_model_is_read_as_it_is_now(copy):
    model = copy("llama", torch.float32)
    checkpoint = from_model(model, "in training")
    name = "model.layers.0.mlp.up_proj.weight"
    with torch.no_grad():
        model.get_parameter(name).fill_(2.5)
    assert np.all(checkpoint.read(name).raw == 2.5)
    with torch.device("meta"):
        empty = type(model)(model.config)
    with pytest.raises(WeightsError, match="is on no device; open the model with one"):
        from_model(empty).read(name)
    model.model.layers[0].mlp.up_proj.weight = torch.nn.Parameter(torch.zeros(64, 32, dtype=torch.int8), False)
    with pytest.raises(WeightsError, match="is stored as int8"):
        from_model(model).read(name)


def test_smollm_equals_the_opened_model():
    if not PACKAGED["smollm2-135m"].installed:
        pytest.skip("the package with the model is not installed")
    state = load("smollm2-135m", check=False).model.state_dict()
    checkpoint = open_checkpoint("smollm2-135m")
    for part in ("self_attn.o_proj", "mlp.down_proj", "self_attn.q_proj", "self_attn.k_proj"):
        name = f"model.layers.7.{part}.weight"
        np.testing.assert_array_equal(checkpoint.read(name).raw, state[name].numpy())


def test_nano_has_its_checkpoints():
    first, last = open_checkpoint("nano", "step0"), open_checkpoint("nano")
    assert (first.revision, last.revision) == ("step0", "step4096")
    name = "gpt_neox.layers.3.mlp.dense_h_to_4h.weight"
    state = load("nano", dtype="float16", check=False).model.state_dict()
    np.testing.assert_array_equal(last.read(name).raw, bits(state[name]))
    assert np.any(first.read(name).raw != last.read(name).raw)


@pytest.mark.parametrize("name", ["nano", "smollm2-135m"])
def test_torch_stays_out(name):
    if not PACKAGED[name].installed:
        pytest.skip("the package with the model is not installed")
    code = f"""if True:
        import sys
        from brodmann.models.shards import open_checkpoint
        from brodmann.models.chains import chain
        checkpoint = open_checkpoint({name!r})
        step = chain(checkpoint)[0]
        assert step.tensors[0].read(checkpoint).raw.shape == (step.targets, step.sources)
        assert not {{"torch", "transformers"}} & set(sys.modules)"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the memory of the process from /proc")
def test_memory_is_that_of_the_piece_and_no_file_stays_mapped(tmp_path):
    rows = 24 << 10
    path = folder(tmp_path / "m", {})
    size = rows << 10
    places = {f"x{at}": [at * size, (at + 1) * size] for at in range(8)}
    entries = {name: {"dtype": "F32", "shape": [rows, 256], "data_offsets": place} for name, place in places.items()}
    header = json.dumps(entries).encode()
    with (path / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + 8 * size)  # 192 MiB, of which the disk holds almost nothing
    code = f"""if True:
        import resource
        from brodmann.models.shards import open_checkpoint
        checkpoint = open_checkpoint({str(path)!r})
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        before = peak()
        for name in checkpoint.tensors:
            assert checkpoint.read(name).raw.nbytes == 24 << 20
        assert "safetensors" not in open("/proc/self/maps").read()
        assert peak() - before < 60 << 10, peak() - before"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

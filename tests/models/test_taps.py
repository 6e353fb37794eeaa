import itertools
from typing import get_args

import numpy as np
import pytest
import torch

from brodmann.errors import AnatomyError
from brodmann.models import families, listen, load
from brodmann.models.taps import _HEAR
from brodmann.settings import SIGNALS, Kind, Signal

ALL_STACKS = {"t5": ("encoder", "decoder", "cross")}


def hooks_on(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def capture(subject, paths, side, run, ids):
    """Whole inputs or outputs of modules, kept by plain hooks of the test's own."""
    kept, handles = {}, []
    for path in paths:
        module = subject.model.get_submodule(path)
        if side == "input":
            handles.append(module.register_forward_pre_hook(lambda m, a, p=path: kept.update({p: a[0].clone()})))
        else:
            handles.append(
                module.register_forward_hook(
                    lambda m, a, o, p=path: kept.update({p: (o if isinstance(o, torch.Tensor) else o[0]).clone()})
                )
            )
    run(subject, ids)
    for handle in handles:
        handle.remove()
    return kept


def heard(subject, signal, run, ids, **more):
    with listen(subject, signal, **more) as tap:
        run(subject, ids)
        return tap.take(), tap.units


def sites_of(subject, kind, stack):
    return [site for site in subject.anatomy.sites if site.kind == kind and site.stack == stack]


def as_out_in(module):
    return module.weight.T if hasattr(module, "nf") else module.weight


@pytest.mark.parametrize("family", families())
def test_head_signals_equal_the_naive_computation(tiny, ids, run, family):
    subject = tiny(family)
    for stack in ALL_STACKS.get(family, subject.anatomy.stacks):
        sites = sites_of(subject, "head", stack)
        inputs = capture(subject, [site.module for site in sites], "input", run, ids)
        z, units = heard(subject, "z_norm", run, ids, stack=stack)
        written, _ = heard(subject, "write_norm", run, ids, stack=stack)
        assert z.shape == (2, 11, len(units))
        assert z.dtype == torch.float32
        column = 0
        for site in sites:
            weight = as_out_in(subject.model.get_submodule(site.module))
            for head in range(site.count):
                part = slice(head * site.width, (head + 1) * site.width)
                vector = inputs[site.module].reshape(2, 11, -1)[..., part]
                naive = vector @ weight.detach()[:, part].T
                torch.testing.assert_close(z[..., column], vector.norm(dim=-1), rtol=1e-5, atol=0)
                torch.testing.assert_close(written[..., column], naive.norm(dim=-1), rtol=1e-5, atol=1e-9)
                row = units.iloc[column]
                assert (row["layer"], row["index"], row["stack"]) == (site.layer, head, stack)
                column += 1
        assert column == len(units) == 4 * tiny_layers(family)


def tiny_layers(family: str) -> int:
    return 5 if family.startswith("deepseek") else 4  # one dense layer comes before the four with experts


@pytest.mark.parametrize("family", families())
def test_neurons_and_residuals_equal_the_modules_own_values(tiny, ids, run, family):
    subject = tiny(family)
    stack = subject.anatomy.stacks[0]
    neurons = sites_of(subject, "neuron", stack)
    if neurons:
        inputs = capture(subject, [site.module for site in neurons], "input", run, ids)
        values, units = heard(subject, "neuron", run, ids, stack=stack)
        naive = torch.cat([inputs[site.module].reshape(2, 11, -1) for site in neurons], -1)
        assert torch.equal(values, naive)
        assert units["unit"].iloc[5].endswith("N5")
    else:
        with pytest.raises(AnatomyError, match="no neuron units"), listen(subject, "neuron"):
            pass
    layers = sites_of(subject, "residual", stack)
    outputs = capture(subject, [site.module for site in layers], "output", run, ids)
    values, units = heard(subject, "residual", run, ids, stack=stack)
    naive = torch.stack([outputs[site.module].norm(dim=-1) for site in layers], -1)
    torch.testing.assert_close(values, naive, rtol=1e-6, atol=0)
    assert list(units["depth"]) == pytest.approx(np.linspace(0, 1, tiny_layers(family)).tolist())


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_z_is_attention_times_values(ids, run, family):
    # The signal's definition, from the attention weights: |softmax(qk) V| per head, grouped keys and values repeated.
    subject = load(f"random:{family}")
    subject.model.set_attn_implementation("eager")
    z, _ = heard(subject, "z_norm", run, ids)
    layers = subject.model.base_model.h if family == "gpt2" else subject.model.model.layers
    values = {}
    for index, layer in enumerate(layers):
        module = layer.attn.c_attn if family == "gpt2" else layer.self_attn.v_proj
        module.register_forward_hook(lambda m, a, o, i=index: values.update({i: o}))
    with torch.no_grad():
        attentions = subject.model(ids, output_attentions=True).attentions
    naive = []
    for index, attention in enumerate(attentions):
        value = values[index][..., -32:] if family == "gpt2" else values[index]
        value = value.unflatten(-1, (-1, 8)).movedim(2, 1)
        value = value.repeat_interleave(4 // value.shape[1], dim=1)
        naive.append((attention @ value).norm(dim=-1).movedim(1, 2))
    torch.testing.assert_close(z, torch.cat(naive, -1), rtol=1e-5, atol=0)


def test_every_signal_is_in_the_one_table_and_can_be_heard():
    assert set(get_args(Signal)) == set(SIGNALS)
    assert {reading.kind for reading in SIGNALS.values()} == set(get_args(Kind))
    assert set(_HEAR) == {signal for signal, reading in SIGNALS.items() if reading.kind != "expert"}


@pytest.mark.parametrize(
    ("family", "signal"),
    # mixtral has no neurons of its own, the others no experts; deepseek_v2 has both
    [(family, signal)
     for family, lacks in (("llama", "expert"), ("t5", "expert"), ("bert", "expert"), ("gpt2", "expert"),
                           ("mixtral", "neuron"), ("deepseek_v2", ""))
     for signal in get_args(Signal) if SIGNALS[signal].kind != lacks],
)  # fmt: skip
def test_listening_changes_no_bit_and_leaves_nothing_behind(tiny, ids, run, family, signal):
    subject = tiny(family)
    silent, before = run(subject, ids), hooks_on(subject.model)
    implementation = subject.model.get_experts_implementation()
    with listen(subject, signal):
        assert torch.equal(run(subject, ids), silent)
        assert hooks_on(subject.model) > before
    assert hooks_on(subject.model) == before
    with pytest.raises(RuntimeError, match="stop"), listen(subject, signal):
        raise RuntimeError("stop")
    assert hooks_on(subject.model) == before
    assert subject.model.get_experts_implementation() == implementation


def test_the_last_position_alone_is_the_last_of_all(tiny, ids, run):
    homes = {"head": ("llama", "t5"), "expert": ("mixtral",), "neuron": ("opt",), "residual": ("gpt2", "bert")}
    for signal, family in [(name, home) for name, reading in SIGNALS.items() for home in homes[reading.kind]]:
        subject = tiny(family)
        everything, _ = heard(subject, signal, run, ids)
        last, _ = heard(subject, signal, run, ids, last_only=True)
        assert torch.equal(last, everything[:, -1:])


def test_generating_gives_one_position_per_step(tiny, ids):
    for family, signal in (("llama", "z_norm"), ("qwen3_moe", "expert_norm")):
        subject = tiny(family)
        with listen(subject, signal, last_only=True) as tap:
            whole = subject.model.generate(ids, max_new_tokens=6, min_new_tokens=6, do_sample=False)
            steps = tap.take()
        with listen(subject, signal) as tap, torch.no_grad():
            subject.model(whole[:, :-1])
            reread = tap.take()[:, -6:]
        assert steps.shape == (2, 6, len(tap.units))
        torch.testing.assert_close(steps, reread, rtol=1e-4, atol=1e-6)


def test_half_precision_weights_give_single_precision_norms(ids, run):
    for family in ("llama", "mixtral"):
        subject = load(f"random:{family}", dtype="bfloat16")
        sites = sites_of(subject, "head", "decoder")
        inputs = capture(subject, [site.module for site in sites], "input", run, ids)
        z, _ = heard(subject, "z_norm", run, ids)
        naive = torch.cat([inputs[s.module].double().unflatten(-1, (4, 8)).norm(dim=-1) for s in sites], -1)
        assert inputs[sites[0].module].dtype == torch.bfloat16
        assert z.dtype == torch.float32
        torch.testing.assert_close(z.double(), naive, rtol=1e-6, atol=0)
        if family == "mixtral":
            norms, _ = heard(subject, "expert_norm", run, ids)
            assert norms.dtype == torch.float32
            assert torch.isfinite(norms).all()


def test_double_precision_agrees_with_single(tiny, run, ids):
    for family, experts in (("llama", False), ("mixtral", True)):
        signals = [signal for signal, reading in SIGNALS.items() if (reading.kind == "expert") is experts]
        # The same weights, widened.
        subject = load(f"random:{family}", dtype="float64")
        subject.model.load_state_dict(tiny(family).model.state_dict())
        for signal in signals:
            double, _ = heard(subject, signal, run, ids)
            assert double.dtype == torch.float32
            torch.testing.assert_close(double, heard(tiny(family), signal, run, ids)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_hears_the_same(tiny, run, ids):
    for family, signal in itertools.product(families(), ("z_norm", "write_norm", "residual")):
        subject = load(f"random:{family}", device="cuda")
        more = {"decoder_input_ids": ids.flip(1).cuda()} if family == "t5" else {}
        with listen(subject, signal) as tap, torch.no_grad():
            subject.model(input_ids=ids.cuda(), **more)
            values = tap.take()
        assert values.device.type == "cpu"
        torch.testing.assert_close(values, heard(tiny(family), signal, run, ids)[0], rtol=1e-3, atol=1e-5)


def test_every_kernel_is_heard_alike(ids, run):
    subject = load("random:qwen3")
    first, _ = heard(subject, "z_norm", run, ids)
    subject.model.set_attn_implementation("eager")
    second, _ = heard(subject, "z_norm", run, ids)
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-7)


def test_stacks_of_an_encoder_decoder(tiny, ids, run):
    subject = tiny("t5")
    table = subject.anatomy.units("z_norm")
    assert list(dict.fromkeys(table["stack"])) == ["decoder", "cross"]
    assert len(subject.anatomy.units("z_norm", "all")) == 48
    assert table["unit"].iloc[0] == "decoder.L0H0"
    assert table["unit"].iloc[-1] == "cross.L3H3"
    assert subject.anatomy.units("z_norm", "encoder")["unit"].iloc[-1] == "encoder.L3H3"
    both, units = heard(subject, "z_norm", run, ids)
    assert units.equals(table)
    parts = [heard(subject, "z_norm", run, ids, stack=stack)[0] for stack in ("decoder", "cross")]
    assert torch.equal(both, torch.cat(parts, -1))
    with pytest.raises(AnatomyError, match="no stack 'middle'"):
        subject.anatomy.units("z_norm", "middle")
    with pytest.raises(AnatomyError, match="no stack 'cross'"):
        tiny("bert").anatomy.units("z_norm", "cross")


def test_taking_before_hearing_is_refused(tiny, ids, run):
    with listen(tiny("llama"), "z_norm") as tap:
        with pytest.raises(AnatomyError, match=r"nothing was heard at model\.layers\.0\.self_attn\.o_proj and 3 more"):
            tap.take()
        run(tiny("llama"), ids)
        tap.take()
        run(tiny("llama"), ids)
        tap.clear()
        with pytest.raises(AnatomyError, match="nothing was heard"):
            tap.take()


def test_units_are_written_as_the_field_does(tiny):
    table = tiny("mixtral").anatomy.units("expert_norm")
    assert list(table.columns) == ["unit", "kind", "stack", "layer", "index", "depth"]
    assert list(table["unit"])[:7] == ["L0E0", "L0E1", "L0E2", "L0E3", "L0E4", "L0E5", "L1E0"]
    assert tiny("gpt2").anatomy.units("neuron")["unit"].iloc[129] == "L1N1"
    assert list(tiny("gpt2").anatomy.units("residual")["unit"]) == ["L0R", "L1R", "L2R", "L3R"]
    assert np.array_equal(table["depth"].unique(), np.arange(4) / 3)

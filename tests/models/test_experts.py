import pytest
import torch
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from brodmann.models import families, listen, load
from brodmann.models.rules import FAMILIES, RULES

MOE = ("deepseek_v2", "deepseek_v3", "gpt_oss", "mixtral", "olmoe", "qwen3_moe")


def test_every_family_with_experts_is_here():
    with_experts = [name for name in families() if any(stack.experts for stack in RULES[FAMILIES[name][1]].stacks)]
    assert sorted(with_experts) == sorted(MOE)


def one_expert(module, family, number, x):
    """What one expert computes, written out from the architecture's description."""
    up, down = module.gate_up_proj[number], module.down_proj[number]
    if family == "gpt_oss":
        both = x @ up + module.gate_up_proj_bias[number]
        gate, linear = both[..., ::2].clamp(max=7.0), both[..., 1::2].clamp(-7.0, 7.0)
        return ((linear + 1) * gate * torch.sigmoid(1.702 * gate)) @ down + module.down_proj_bias[number]
    gate, linear = (x @ up.T).chunk(2, -1)
    return (torch.nn.functional.silu(gate) * linear) @ down.T


def slow_norms(subject, family, ids, run):
    """Norm of every expert's gated output, one token and one expert at a time."""
    calls, shared_outputs, handles = {}, {}, []
    sites = [site for site in subject.anatomy.sites if site.kind == "expert"]
    for site in sites:
        experts = subject.model.get_submodule(site.module)
        handles.append(experts.register_forward_pre_hook(lambda m, a, s=site: calls.update({s: a})))
        if site.shared:
            shared = subject.model.get_submodule(site.shared)
            handles.append(shared.register_forward_hook(lambda m, a, o, s=site: shared_outputs.update({s: o})))
    run(subject, ids)
    for handle in handles:
        handle.remove()
    norms, chosen = [], []
    for site in sites:
        hidden, index, weight = calls[site]
        experts = subject.model.get_submodule(site.module)
        part = torch.zeros(hidden.shape[0], site.count)
        mask = torch.zeros(hidden.shape[0], site.count, dtype=torch.bool)
        with torch.no_grad():
            for token in range(hidden.shape[0]):
                for place, number in enumerate(index[token].tolist()):
                    output = one_expert(experts, family, number, hidden[token]) * weight[token, place]
                    part[token, number] = output.norm()
                    mask[token, number] = True
        if site.shared:
            part[:, -1] = shared_outputs[site].reshape(hidden.shape[0], -1).norm(dim=-1)
            mask[:, -1] = True
        norms.append(part.unflatten(0, tuple(ids.shape)))
        chosen.append(mask.unflatten(0, tuple(ids.shape)))
    return torch.cat(norms, -1), torch.cat(chosen, -1)


@pytest.mark.parametrize("family", MOE)
@pytest.mark.parametrize("implementation", ["eager", "grouped_mm", "batched_mm"])
def test_expert_norms_equal_a_slow_loop(ids, run, family, implementation):
    subject = load(f"random:{family}", check=False)
    subject.model.set_experts_implementation(implementation)
    naive, chosen = slow_norms(subject, family, ids, run)
    silent = run(subject, ids)
    with listen(subject, "expert_norm") as tap:
        assert torch.equal(run(subject, ids), silent)
        norms, selected = tap.take(), tap.take_selected()
    assert torch.equal(selected, chosen)
    torch.testing.assert_close(norms, naive, rtol=1e-5, atol=1e-7)
    assert (norms[~selected] == 0).all()
    routed = torch.tensor(
        [not s.shared or i < s.count - 1 for s in subject.anatomy.sites if s.kind == "expert" for i in range(s.count)]
    )
    layers = sum(site.kind == "expert" for site in subject.anatomy.sites)
    assert (selected[..., routed].sum(-1) == 2 * layers).all()
    assert subject.model.get_experts_implementation()[""] == implementation
    assert not [name for name in ALL_EXPERTS_FUNCTIONS.valid_keys() if "brodmann" in name]


def test_implementations_agree_to_a_few_ulp(ids, run):
    subject = load("random:mixtral")
    logits = []
    for implementation in ("eager", "grouped_mm", "batched_mm"):
        subject.model.set_experts_implementation(implementation)
        with listen(subject, "expert_norm"):
            logits.append(run(subject, ids))
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(logits[0], logits[2], rtol=1e-5, atol=1e-6)


def test_two_taps_hear_the_same(ids, run):
    subject = load("random:olmoe")
    with listen(subject, "expert_norm") as outer, listen(subject, "expert_norm", last_only=True) as inner:
        run(subject, ids)
        everything, last = outer.take(), inner.take()
    torch.testing.assert_close(everything[:, -1:], last, rtol=1e-6, atol=0)


def test_shared_experts_are_the_last_unit_and_dense_layers_have_none(tiny):
    units = tiny("deepseek_v3").anatomy.units("expert_norm")
    assert sorted(set(units["layer"])) == [1, 2, 3, 4]
    assert list(units["unit"])[:7] == ["L1E0", "L1E1", "L1E2", "L1E3", "L1E4", "L1E5", "L1E6"]
    assert set(tiny("deepseek_v3").anatomy.units("neuron")["layer"]) == {0}

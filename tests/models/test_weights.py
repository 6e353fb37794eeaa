"""Every layout is proven on numbers: what a slice says is a head's moves that head, and nothing else."""

from functools import cache

import pytest
import torch

from brodmann.errors import AnatomyError
from brodmann.models import families, lesion, load, tiny
from brodmann.models.rules import RULES
from brodmann.models.weights import CROSS, LAYOUTS, expert_weights, head_weights

# Layouts that a family has beside that of its tiny model.
VARIANTS = [
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    ("falcon", {"multi_query": False}),
    ("deepseek_v2", {"q_lora_rank": None}),
    ("deepseek_v3", {"q_lora_rank": None, "v_head_dim": 5}),
    ("llama", {"num_key_value_heads": 1, "head_dim": 16}),
    ("llama", {"num_key_value_heads": 4, "attention_bias": True}),
    ("phi3", {"num_key_value_heads": 2}),
    ("phi", {"num_key_value_heads": 2}),
    ("gpt_neox", {"attention_bias": False}),
    ("t5", {"d_kv": 5}),
]


@cache
def double(family):
    return opened(family)


def opened(family):
    """Tiny model in double precision, so that what must not change does not change by rounding either."""
    subject = load(f"random:{family}", dtype="float64", check=False)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in subject.model.named_parameters():
        if name.endswith("bias"):  # they start as zeros
            parameter.data.copy_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return subject


def projected(subject, site, ids):
    """Heads (batch, token, head, width) that enter an output projection."""
    kept = []
    module = subject.model.get_submodule(site.module)
    handle = module.register_forward_pre_hook(lambda m, a: kept.append(a[0].clone()))
    forward(subject, ids)
    handle.remove()
    return kept[0].unflatten(-1, (site.count, site.width))


def forward(subject, ids):
    more = {"decoder_input_ids": ids.flip(1)} if subject.is_encoder_decoder else {}
    with torch.no_grad():
        output = subject.model(input_ids=ids, **more)
    return output.logits if "logits" in output else output.last_hidden_state


def negate(subject, *slices):
    """Change signs in place; its own inverse. A query keeps its size, so that a norm over all heads does not notice."""
    for each in slices:
        if each is not None:
            weight = each.parameter(subject.model).data
            weight.index_copy_(each.dim, each.index, -weight.index_select(each.dim, each.index))


def changed(before, after):
    """Heads that differ."""
    return (before - after).abs().amax((0, 1, 3)) > 1e-10 * before.abs().max()


def prove(subject, ids):
    for site in [site for site in subject.anatomy.sites if site.kind == "head" and site.layer == 1]:
        before = projected(subject, site, ids)
        unit = f"{site.prefix}L{site.layer}H"
        for head in range(site.count):
            found = head_weights(subject, f"{unit}{head}")
            own = torch.arange(site.count) == head
            group = torch.tensor([f"{unit}{index}" in found.group for index in range(site.count)])
            assert (group & own).any()
            for slices, expected in (
                ((found.query, found.query_bias), own),
                ((found.key, found.key_bias), group),
                ((found.value, found.value_bias), group),
            ):
                negate(subject, *slices)
                after = projected(subject, site, ids)
                negate(subject, *slices)
                assert torch.equal(changed(before, after), expected), (site.module, head)
            # The last was the value: what the group reads is turned round, exactly.
            torch.testing.assert_close(after[:, :, group], -before[:, :, group], rtol=1e-10, atol=1e-14)
            prove_output(subject, ids, found, f"{unit}{head}")


def prove_output(subject, ids, found, unit):
    weight = found.output.parameter(subject.model).data
    kept = weight.clone()
    weight.index_fill_(found.output.dim, found.output.index, 0.0)
    edited = forward(subject, ids)
    weight.copy_(kept)
    with lesion(subject, [unit]):
        silenced = forward(subject, ids)
    torch.testing.assert_close(silenced, edited, rtol=1e-10, atol=1e-12)
    assert (silenced - forward(subject, ids)).abs().max() > 1e-8


@pytest.fixture
def ids():
    return torch.randint(5, 261, (1, 5), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("family", families())
def test_a_heads_weights_move_that_head_alone(ids, family):
    prove(double(family), ids)


@pytest.mark.parametrize(("family", "changes"), VARIANTS)
def test_variants_of_layouts(ids, monkeypatch, family, changes):
    monkeypatch.setitem(tiny.CONFIGS, family, {**tiny.tiny_values(family), **changes})
    prove(opened(family), ids)


def test_slices_of_a_layer_share_no_number_and_leave_none_out():
    for family in families():
        subject = double(family)
        for site in [site for site in subject.anatomy.sites if site.kind == "head" and site.layer == 1]:
            taken = {}
            for head in range(site.count):
                found = head_weights(subject, f"{site.prefix}L1H{head}")
                for part in ("query", "key", "value", "output"):
                    each = getattr(found, part)
                    owner = head if part in ("query", "output") else found.group
                    taken.setdefault(each.parameter_name, {})[part, owner] = each
            for name, slices in taken.items():
                every = torch.cat([each.index for each in slices.values()])
                dim = next(iter(slices.values())).dim
                assert torch.equal(every.sort().values, torch.arange(subject.model.get_parameter(name).shape[dim]))


def test_every_rule_has_a_layout():
    assert set(LAYOUTS) == set(RULES)
    assert set(CROSS) == {name for name, rule in RULES.items() if any(each.name == "cross" for each in rule.stacks)}


def test_an_experts_parameters_move_that_expert_alone(ids, run):
    subject = load("random:deepseek_v3")
    silent = run(subject, ids)
    for unit, count in (("L2E0", 2), ("L2E6", 3)):  # the last are the shared experts, an MLP of three maps
        slices = expert_weights(subject, unit)
        assert len(slices) == count
        down = next(each for each in slices if "down_proj" in each.parameter_name)
        weight = down.parameter(subject.model).data
        kept = weight.clone()
        weight.index_fill_(down.dim, down.index, 0.0)
        edited = run(subject, ids)
        weight.copy_(kept)
        with lesion(subject, [unit]):
            torch.testing.assert_close(run(subject, ids), edited, rtol=1e-5, atol=1e-6)
        assert (edited - silent).abs().max() > 1e-4


def test_a_model_opened_by_a_spec_has_the_one_layout_there_can_be(monkeypatch):
    subject = double("llama")
    monkeypatch.setattr(subject.model.config, "model_type", "llama_of_tomorrow")
    assert head_weights(subject, "L0H3").key.index.tolist() == list(range(8, 16))
    fused = double("gpt_neox")
    monkeypatch.setattr(fused.model.config, "model_type", "neox_of_tomorrow")
    with pytest.raises(AnatomyError, match=r"layers\.0 \(neox_of_tomorrow\): where its heads keep queries"):
        head_weights(fused, "L0H3")


def test_what_cannot_be_sliced_is_named():
    with pytest.raises(AnatomyError, match="no head or expert 'L9H0'"):
        head_weights(double("llama"), "L9H0")
    with pytest.raises(AnatomyError, match="L1E0 is an expert, not a head"):
        head_weights(double("mixtral"), "L1E0")
    with pytest.raises(AnatomyError, match="L1H0 is a head, not an expert"):
        expert_weights(double("mixtral"), "L1H0")
    subject = load("random:llama")
    query = subject.model.model.layers[0].self_attn.q_proj
    query.weight = torch.nn.Parameter(torch.zeros(32, 32, dtype=torch.int8), requires_grad=False)
    with pytest.raises(AnatomyError, match=r"q_proj\.weight: the weights are quantised \(kept as torch\.int8\)"):
        head_weights(subject, "L0H0").query.read(subject.model)
    query.weight = torch.nn.Parameter(torch.zeros(32, 32, device="meta"))
    with pytest.raises(AnatomyError, match="not on a device"):
        head_weights(subject, "L0H0").query.read(subject.model)

from functools import cache

import pytest
import torch

from brodmann.errors import AnatomyError
from brodmann.models import families, lesion, load
from brodmann.models.rules import RULES
from brodmann.models.weights import LAYOUTS, expert_weights, head_weights, weights_at

# Configurations that have another layout than a family's default.
VARIANTS = {
    "deepseek_v3": "deepseek_v3",
    "falcon, a key for all heads": "falcon",
}


@cache
def double(family):
    """Tiny model in double precision, so that what must not change does not change by rounding either."""
    return load(f"random:{family}", dtype="float64", check=False)


def projected(subject, site, ids):
    """Heads (batch, token, head, width) that enter an output projection, and the model's output."""
    kept = []
    module = subject.model.get_submodule(site.module)
    handle = module.register_forward_pre_hook(lambda m, a: kept.append(a[0].clone()))
    output = forward(subject, ids)
    handle.remove()
    return kept[0].unflatten(-1, (site.count, site.width)), output


def forward(subject, ids):
    more = {"decoder_input_ids": ids.flip(1)} if subject.is_encoder_decoder else {}
    with torch.no_grad():
        output = subject.model(input_ids=ids, **more)
    return output.logits if "logits" in output else output.last_hidden_state


def negate(subject, *slices):
    """Change signs in place: the size of a query stays, so that a norm over all heads does not notice. Its own inverse."""
    for each in slices:
        if each is not None:
            weight = each.parameter(subject.model).data
            weight.index_copy_(each.dim, each.index, -weight.index_select(each.dim, each.index))


def changed(before, after):
    """Heads that differ."""
    return (before - after).abs().amax((0, 1, 3)) > 1e-10 * before.abs().max()


def sites_to_prove(subject):
    """One layer of each stack, not the first."""
    heads = [site for site in subject.anatomy.sites if site.kind == "head"]
    return [site for site in heads if site.layer == 1]


def prove(subject, ids):
    for site in sites_to_prove(subject):
        before, _ = projected(subject, site, ids)
        unit = f"{site.prefix}L{site.layer}H"
        for head in range(site.count):
            found = head_weights(subject, f"{unit}{head}")
            assert f"{unit}{head}" in found.group
            own = torch.zeros(site.count, dtype=torch.bool)
            own[head] = True
            group = torch.tensor([f"{unit}{index}" in found.group for index in range(site.count)])
            for slices, expected in (
                ((found.query, found.query_bias), own),
                ((found.key, found.key_bias), group),
                ((found.value, found.value_bias), group),
            ):
                negate(subject, *slices)
                after, _ = projected(subject, site, ids)
                negate(subject, *slices)
                assert torch.equal(changed(before, after), expected), (site.module, head)
            # the last was the value: what a head reads is turned round, exactly
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


@pytest.mark.parametrize("family", families())
def test_a_heads_weights_move_that_head_alone(ids, family):
    prove(double(family), ids)


def test_every_rule_has_a_layout():
    assert set(LAYOUTS) == set(RULES)

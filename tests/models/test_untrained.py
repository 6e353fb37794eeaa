"""Fresh weights: every parameter is drawn, in the architecture's own way, and a seed decides all of them."""

import copy

import pytest
import torch

from brodmann.models import families, load
from brodmann.models.untrained import fresh_model


@pytest.mark.parametrize("family", families())
def test_skipping_torchs_own_draws_leaves_the_distribution(family: str) -> None:
    model = load(f"random:{family}", check=False).model
    kind, config = type(model), model.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        usual = dict(kind._from_config(copy.deepcopy(config), dtype=torch.float32).named_parameters())
    drawn = dict(fresh_model(kind, copy.deepcopy(config), 3, torch.float32).named_parameters())
    again = dict(fresh_model(kind, copy.deepcopy(config), 3, torch.float32).named_parameters())
    assert drawn.keys() == usual.keys()
    for name, weight in drawn.items():
        assert torch.equal(weight, again[name]), name  # memory that nobody filled would differ
        assert torch.isfinite(weight).all(), name
        one, other = weight.detach().double(), usual[name].detach().double()
        if other.numel() > 1 and float(other.std()) == 0:  # norms and biases: ones and zeros
            assert torch.equal(one, other), name
        elif other.numel() >= 256:
            assert float(one.std()) == pytest.approx(float(other.std()), rel=0.2), name
            assert abs(float(one.mean() - other.mean())) < 0.3 * float(other.std()), name

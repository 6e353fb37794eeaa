"""CETT against a loop; truncation leaves the model as it was."""

import numpy as np
import pytest
import torch

import brodmann as bd
from brodmann.allocation import neurons
from brodmann.models import listen
from brodmann.models.anatomy import submodule

TEXTS = [[2, 30, 41, 52, 63, 74, 85, 96], [2, 130, 141, 152, 163, 174, 185, 196]]


def test_tail_error_against_a_loop(rng):
    activity, weight = torch.tensor(rng.normal(0, 1, (4, 9))), torch.tensor(rng.normal(0, 1, (5, 9)))
    thresholds = torch.tensor([0.0, 1.0, 2.0, 100.0], dtype=torch.float64)
    found = neurons.tail_error(activity, weight, thresholds)
    for k, eps in enumerate(thresholds.tolist()):
        for t in range(4):
            each = [activity[t, i] * weight[:, i] for i in range(9)]
            tail = sum((n for n in each if n.norm() < eps), torch.zeros(5, dtype=torch.float64))
            assert float(found[k, t]) == pytest.approx(float(tail.norm() / sum(each).norm()), abs=1e-12)
    assert found[0].tolist() == [0.0] * 4
    assert found[3].tolist() == pytest.approx([1.0] * 4)


@pytest.mark.parametrize("name", ["glass-en", "random:gpt2"])
def test_calibration_keeps_the_loss_and_the_model(name):
    subject = bd.load(name)
    ids = torch.tensor(TEXTS)
    before = subject.model(ids).logits
    found = neurons.calibrate(subject, TEXTS, loss=0.05)
    assert torch.equal(before, subject.model(ids).logits)
    assert found.loss <= 0.05
    assert 0 <= found.error < 1
    shares = neurons.hear_neurons(subject, TEXTS, context=3, truncation=found)
    with listen(subject, "neuron") as tap:
        subject.model.base_model(ids)
    heard, start = tap.take()[:, 2:-1], 0
    for place, site in enumerate(neurons.neuron_sites(subject)):
        weight = submodule(subject.model, site.module).weight.detach()
        norm = torch.linalg.vector_norm(weight, dim=1 if hasattr(submodule(subject.model, site.module), "nf") else 0)
        written = heard[..., start : start + site.count].abs() * norm
        slow = (written >= found.threshold[place]).float().mean(-1)
        np.testing.assert_allclose(shares[..., place], slow, atol=0.01)
        start += site.count


def test_truncating_everything_silences_the_mlps(glass):
    sites = neurons.neuron_sites(glass)
    norms = {site: torch.ones(site.count) for site in sites}
    with neurons.truncated(glass, dict.fromkeys(sites, 1e9), norms), listen(glass, "residual") as tap:
        glass.model.base_model(torch.tensor(TEXTS))
    silent = tap.take()
    with neurons.truncated(glass, dict.fromkeys(sites, 0.0), norms), listen(glass, "residual") as tap:
        glass.model.base_model(torch.tensor(TEXTS))
    assert (silent != tap.take()).any()

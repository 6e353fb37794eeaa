"""Acceptance: lesions find the heads that a planted answer needs, exactly, and their layers alone do not matter."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import brodmann as bd
from brodmann.lesions import orders, study
from brodmann.lesions.divergence import divergences
from brodmann.lesions.importance import gradient_importance
from brodmann.models.check import self_test
from brodmann.recordings import recorded_text, score
from brodmann.settings import LesionSettings
from brodmann.stats import read_findings

_spec = importlib.util.spec_from_file_location("planted_model", Path(__file__).with_name("planted_model.py"))
planted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planted)

PROMPTS = 8


@pytest.fixture(scope="module")
def subject():
    return planted.planted_subject()


@pytest.fixture(scope="module")
def recording(subject):
    prompts = planted.planted_prompts(PROMPTS, np.random.default_rng(0))
    return bd.record(subject, prompts=prompts, new_tokens=9)


@pytest.fixture(scope="module")
def units(subject):
    return subject.anatomy.units("z_norm")


@pytest.fixture(scope="module")
def single(subject, recording):
    """Divergence of each head alone (unit, prompt)."""
    return divergences(subject, *recorded_text(recording), np.eye(72, dtype=bool))


def test_the_intact_model_continues_every_sequence(subject, recording):
    assert self_test(subject).ok
    for prompt, answer in zip(*recorded_text(recording), strict=True):
        assert prompt[2:11] == answer


def test_single_lesions_recover_the_planted_heads_exactly(single, units):
    nats = single.mean(axis=1)
    order = np.argsort(-nats)
    assert set(units["unit"].to_numpy()[order[:4]]) == set(planted.PLANTED)
    assert nats[order[3]] > 1.5
    assert nats[order[4]] < 1e-3


def test_without_the_writer_of_one_part_all_its_values_are_equally_likely(subject, recording, single, units):
    # KL = log 5 minus the entropy of that part under the intact model, which holds both parts independently
    prompts, answers = recorded_text(recording)
    log_p = np.concatenate([block.logits.double().log_softmax(-1) for block in score(subject, prompts, answers)])
    part = np.exp(log_p[..., 1:]).reshape(*log_p.shape[:2], 5, 5)
    for head, axis in (("L2H5", -1), ("L2H11", -2)):
        marginal = part.sum(axis=axis)
        entropy = -(marginal * np.log(marginal)).sum(-1).mean(-1)
        found = single[units["unit"].to_list().index(head)]
        np.testing.assert_allclose(found, np.log(5) - entropy, atol=2e-4)


@pytest.mark.parametrize("layer_normalised", [False, True])
def test_gradient_importance_recovers_the_planted_heads_exactly(subject, recording, units, layer_normalised):
    scores = gradient_importance(subject, *recorded_text(recording), layer_normalised=layer_normalised)
    assert set(units["unit"].to_numpy()[np.argsort(-scores)[:4]]) == set(planted.PLANTED)
    # the next head is in the layer without planted ones: after division by the layer's norm it looks larger than it is
    fifth = np.sort(scores)[-5] / np.sort(scores)[-4]
    assert fifth < (0.7 if layer_normalised else 0.3)


def test_other_heads_of_the_same_layers_do_not_hurt(subject, recording, units):
    chosen = units["unit"].isin(planted.PLANTED).to_numpy()
    core = orders.by_rank(chosen.astype(float))
    layer = units["layer"].to_numpy()
    draws = orders.layer_matched(core, layer, 20, np.random.default_rng(1))[:, :4]
    sets = orders.removed(core, 72, np.array([4]))
    drawn = np.concatenate([orders.removed(each, 72, np.array([4])) for each in draws])
    assert (np.array([np.bincount(layer[each], minlength=3) for each in drawn]) == [2, 0, 2]).all()
    nats = divergences(subject, *recorded_text(recording), np.concatenate([sets, drawn])).mean(axis=1)
    spared = ~(drawn & chosen).any(axis=1)
    assert spared.sum() >= 8
    assert nats[0] > 3.0
    assert nats[1:][spared].max() < 1e-2
    assert nats[1:][~spared].min() > 1.5


def test_the_study_supports_a_core_that_was_planted(subject, recording, single, units):
    ranking = xr.DataArray(single.mean(axis=1), dims="unit", coords={"unit": units["unit"].to_numpy()})
    settings = LesionSettings(fractions=(2 / 72, 4 / 72), layer_draws=149, random_draws=5)
    found = study(subject, recording, order=ranking, settings=settings)
    findings = {finding.name: finding for finding in read_findings(found)}
    assert findings["core_against_layer_matched"].verdict == "supported"
    assert findings["core_against_layer_matched"].estimate > 3
    # the rival finds the same heads, so it cannot hurt more
    assert findings["importance_against_core"].verdict != "supported"
    assert findings["importance_against_core"].estimate < 1.1

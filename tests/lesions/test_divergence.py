"""Divergences against closed forms and against one lesion at a time."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

import brodmann as bd
from brodmann.errors import RecordingError
from brodmann.lesions import divergence
from brodmann.lesions.divergence import divergences, longest, prompt_batches
from brodmann.lesions.importance import gradient_importance
from brodmann.models import lesion
from brodmann.recordings import score

PROMPTS = [(5, 60, 7), (9, 8, 70, 61, 12, 13, 14), (30,)]
ANSWERS = [(11, 90, 17, 4), (50, 51), (7, 99, 101, 3, 12)]


def sharp(name: str):
    subject = bd.load(name)
    with torch.no_grad():
        for weight in subject.model.parameters():
            if weight.ndim >= 2:
                weight.mul_(6)
    return subject


def naive(subject, units) -> np.ndarray:
    """Mean KL per prompt, one lesion and one prompt at a time, log-softmax in float64."""
    found = []
    for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
        intact = next(iter(score(subject, [prompt], [answer]))).logits[0].double().numpy()
        with lesion(subject, units):
            damaged = next(iter(score(subject, [prompt], [answer]))).logits[0].double().numpy()
        p, q = log_softmax(intact, axis=-1), log_softmax(damaged, axis=-1)
        found.append((np.exp(p) * (p - q)).sum(-1).mean())
    return np.array(found)


@pytest.mark.parametrize(
    ("name", "signal"),
    [
        ("random:llama", "z_norm"),
        ("random:gpt_neox", "z_norm"),
        ("random:t5", "z_norm"),
        ("random:olmoe", "expert_norm"),
    ],
)
def test_many_lesions_in_one_pass_equal_one_at_a_time(name, signal):
    subject = sharp(name)
    units = subject.anatomy.units(signal)["unit"].to_numpy()
    rng = np.random.default_rng(0)
    lesions = rng.random((5, len(units))) < 0.3
    lesions[3] = lesions[1]
    lesions[4] = False
    expected = np.stack([naive(subject, list(units[row])) for row in lesions])
    # an expert that no token chose leaves no trace, so single prompts may be 0
    assert expected[:3].max(axis=1).min() > 1e-3
    for tokens in (1, 40, 4096):
        found = divergences(subject, PROMPTS, ANSWERS, lesions, signal=signal, tokens=tokens)
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-6)
        assert np.abs(found[4]).max() < 1e-6
        assert (found[3] == found[1]).all()


def test_divergence_is_the_closed_form_of_known_logits():
    target = torch.tensor([[0.7, 0.2, 0.1], [1.0, 1.0, 1.0]]).log().log_softmax(-1)
    logits = torch.tensor([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    entropy = -(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1))
    np.testing.assert_allclose(divergence._kl(target, logits), [np.log(3) - entropy, 0.0], atol=1e-7)


def test_intact_log_probabilities_that_do_not_fit_are_worked_out_again_to_the_same_bits(monkeypatch):
    subject = sharp("random:llama")
    lesions = np.eye(16, dtype=bool)[:6]
    kept = divergences(subject, PROMPTS, ANSWERS, lesions)
    monkeypatch.setattr(divergence, "INTACT_BYTES", 0)
    assert (divergences(subject, PROMPTS, ANSWERS, lesions) == kept).all()
    monkeypatch.setattr(divergence, "BLOCK_BYTES", 4 * 261 * 3)
    np.testing.assert_allclose(divergences(subject, PROMPTS, ANSWERS, lesions), kept, atol=1e-6)


def test_finished_passes_are_found_again_and_none_is_run_twice(monkeypatch):
    subject = sharp("random:llama")
    lesions = np.random.default_rng(1).random((7, 16)) < 0.3

    class Stopped(Exception):
        pass

    class Kept(dict):
        def put(self, key, arrays):
            if len(self) == 4:
                raise Stopped
            self[key] = arrays

    whole = divergences(subject, PROMPTS, ANSWERS, lesions, tokens=20)
    kept = Kept()
    with pytest.raises(Stopped):
        divergences(subject, PROMPTS, ANSWERS, lesions, tokens=20, partial=kept)
    rest = dict(kept)
    passes = []
    real = divergence._Intact.divergence
    monkeypatch.setattr(divergence._Intact, "divergence", lambda *a: passes.append(1) or real(*a))

    class Open(dict):
        put = dict.__setitem__

    found = divergences(subject, PROMPTS, ANSWERS, lesions, tokens=20, partial=(now := Open(rest)))
    assert (found == whole).all()
    assert len(passes) == len(now) - 4


def test_batches_hold_like_lengths_and_no_more_than_asked():
    subject = bd.load("random:llama")
    prompts, answers = [(1,) * n for n in (3, 9, 4, 8, 2)], [(1, 2)] * 5
    batches = prompt_batches(subject, prompts, answers, 20)
    assert [batch.tolist() for batch in batches] == [[1, 3], [2, 0, 4]]
    for batch in batches:
        assert len(batch) * longest(subject, [prompts[n] for n in batch], [answers[n] for n in batch]) <= 20


def test_an_encoder_is_refused_in_one_line():
    with pytest.raises(RecordingError, match="no language-model head"):
        divergences(bd.load("random:bert"), PROMPTS, ANSWERS, np.zeros((1, 16), bool))


def test_gradient_importance_is_the_slope_of_the_loss():
    """Central differences on the public gates, prompt by prompt."""
    from brodmann.lesions import gated
    from brodmann.recordings import answer_log_likelihood

    subject = sharp("random:llama")
    scores = gradient_importance(subject, PROMPTS, ANSWERS, layer_normalised=False)
    step = 1e-2
    for unit in (0, 5, 11, 15):
        slopes = []
        for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
            losses = []
            for gate in (1 + step, 1 - step):
                gates = torch.ones(1, 16)
                gates[0, unit] = gate
                with gated(subject, gates):
                    losses.append(-answer_log_likelihood(subject, [prompt], [answer]).mean())
            slopes.append(abs(losses[0] - losses[1]) / (2 * step))
        np.testing.assert_allclose(scores[unit], np.mean(slopes), rtol=0.03, atol=2e-4)
    assert all(weight.requires_grad for weight in subject.model.parameters())
    whole = gradient_importance(subject, PROMPTS, ANSWERS).reshape(4, 4)
    np.testing.assert_allclose((whole**2).sum(1), 1.0)
    np.testing.assert_allclose(gradient_importance(subject, PROMPTS, ANSWERS, tokens=1).reshape(4, 4), whole, rtol=1e-4)

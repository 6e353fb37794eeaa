"""Induction against a model that copies by construction, and against models that cannot."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from brodmann.errors import RecordingError
from brodmann.models import load
from brodmann.recordings import induction as module
from brodmann.recordings.induction import induction, prefix_matching, repeated_tokens


@pytest.fixture(scope="module")
def subject():
    return load("random:gpt_neox")


def test_random_weights_do_not_induce(subject):
    found = induction(subject, sequences=8, tokens=30)
    assert abs(found.score.mean()) < 0.05
    # a random model knows nothing: its loss is close to that of a uniform guess
    assert found.first.mean() == pytest.approx(np.log(subject.model.config.vocab_size), abs=0.3)
    assert found.by_position.shape == (59,)


def test_a_model_that_copies_scores_what_it_must(subject, monkeypatch):
    """Loss 3 on new tokens and 0.5 on tokens that follow a token seen before: the score is 2.5 exactly."""

    def likelihood(_subject, prompts, answers):
        rows = [list(p) + list(a) for p, a in zip(prompts, answers, strict=True)]
        out = np.full((len(rows), len(rows[0]) - 1), -3.0)
        half = len(rows[0]) // 2
        out[:, half:] = -0.5
        assert all(row[:half] == row[half:] for row in rows)
        return out

    monkeypatch.setattr(module, "answer_log_likelihood", likelihood)
    found = induction(subject, sequences=5, tokens=10)
    np.testing.assert_allclose(found.score, 2.5)
    np.testing.assert_allclose(found.first, 3.0)


def test_the_same_seed_gives_the_same_tokens_without_special_ones(subject):
    one, other = (repeated_tokens(subject, 4, 20, seed) for seed in (1, 1))
    assert (one == other).all()
    assert (one != repeated_tokens(subject, 4, 20, 2)).any()
    assert (one[:, :20] == one[:, 20:]).all()
    assert not set(one.ravel().tolist()) & set(subject.tokenizer.all_special_ids)


def test_prefix_matching_is_the_share_of_attention(subject):
    """Against the definition, position by position, and with the model left as it was."""
    before = subject.model.config._attn_implementation
    found = prefix_matching(subject, sequences=2, tokens=6, seed=3)
    assert subject.model.config._attn_implementation == before
    rows = repeated_tokens(subject, 2, 6, 3)
    eager = load("random:gpt_neox")
    eager.model.set_attn_implementation("eager")
    expected = np.zeros(len(found))
    for row in rows:
        with torch.no_grad():
            attentions = eager.model(torch.tensor(row[None]), output_attentions=True).attentions
        slow = [
            np.mean([float(layer[0, head, q, q - 6 + 1]) for q in range(6, 11)])
            for layer in attentions
            for head in range(layer.shape[1])
        ]
        expected += np.array(slow) / 2
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-5)
    assert found.index[0] == "L0H0"
    # untrained heads spread their attention evenly: about one in the number of tokens seen
    assert 0.05 < found.mean() < 0.2


def test_what_cannot_be_measured_is_refused(subject):
    with pytest.raises(RecordingError, match="at least 2 of at least 4"):
        repeated_tokens(subject, 1, 20, 0)
    with pytest.raises(RecordingError, match="do not fit"):
        repeated_tokens(subject, 4, 129, 0)
    # a context that is too short for the usual copies shortens them
    assert induction(subject, sequences=2, tokens=400).tokens == 128
    with module._eager(SimpleNamespace(config=SimpleNamespace(_attn_implementation=None))) as possible:
        assert not possible

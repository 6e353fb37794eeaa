"""Choices after one reading of the prompt: the same likelihoods as when each is read for itself."""

import numpy as np
import pytest
import torch

import brodmann as bd
from brodmann.models import lesion
from brodmann.recordings.choices import choice_log_likelihood
from brodmann.recordings.likelihood import answer_log_likelihood

PROMPTS = [[5, 6, 7, 8], [9, 10, 11, 12], [13, 14], [15, 16, 17, 18]]
CHOICES = [[[7], [8, 9], [10, 11, 12]], [[20], [21], [22]], [[30, 31], [32]], [[40, 41], [42], [43, 44, 45]]]


@pytest.mark.parametrize("name", ["random:llama", "random:gpt2", "random:gpt_neox", "random:gemma2", "random:mixtral",
                                  "random:deepseek_v2", "random:t5"])  # fmt: skip
def test_likelihoods_are_those_of_reading_each_choice(name):
    subject = bd.load(name)
    with torch.no_grad():
        for weight in subject.model.parameters():
            if weight.ndim >= 2:
                weight.mul_(3.0)
    found = choice_log_likelihood(subject, PROMPTS, CHOICES)
    for prompt, some, values in zip(PROMPTS, CHOICES, found, strict=True):
        slow = np.nansum(answer_log_likelihood(subject, [prompt] * len(some), some), axis=1)
        np.testing.assert_allclose(values, slow, atol=2e-4)
        assert np.ptp(values) > 0.01


def test_a_lesion_is_seen_in_both_passes():
    subject = bd.load("random:llama")
    with lesion(subject, ["L0H0", "L2H1"]):
        found = choice_log_likelihood(subject, PROMPTS, CHOICES)
        slow = [np.nansum(answer_log_likelihood(subject, [p] * len(c), c), axis=1)
                for p, c in zip(PROMPTS, CHOICES, strict=True)]  # fmt: skip
    intact = choice_log_likelihood(subject, PROMPTS, CHOICES)
    for one, other, whole in zip(found, slow, intact, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
        assert np.abs(one - whole).max() > 1e-6

"""A batch of sixteen prompts gives the norms of sixteen batches of one, on a real model."""

import numpy as np
import pytest

from brodmann.models import load
from brodmann.recordings import read_prompts, record, replay


@pytest.mark.slow
def test_batches_of_one_and_of_sixteen_agree_on_the_same_text():
    subject = load("smollm2-135m")
    texts = [*(prompt.text for prompt in read_prompts("cognitive").prompts[::4]), "Say hello."]
    sixteen = record(subject, prompts=texts, new_tokens=24, batch_size=16)
    one = replay(subject, sixteen, batch_size=1)
    together = replay(subject, sixteen, batch_size=16)
    for other in (one, together):
        found, expected = other.activity.values, sixteen.activity.values
        assert np.abs(found / expected - 1).max() < 1e-4
    assert sixteen.activity.shape == (16, 24, 270)

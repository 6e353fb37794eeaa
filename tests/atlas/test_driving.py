"""How long a model that a study drives is at work: which calls count, and that nothing is changed by counting."""

import time

import pytest
import torch

import brodmann as bd
from brodmann.atlas.driving import Driven

IDS = torch.tensor([[5, 6, 7]])


@pytest.mark.parametrize("family", ["gpt2", "t5", "bert"])
def test_the_outermost_pass_counts_once_and_logits_stay_bit_equal(family: str) -> None:
    model = bd.load(f"random:{family}").model
    given = {"input_ids": IDS} | ({"decoder_input_ids": IDS} if family == "t5" else {})
    with torch.no_grad():
        before = model(**given)[0]
        start = time.perf_counter()
        with Driven(model) as driven:
            after = model(**given)[0]
        whole = time.perf_counter() - start
        assert torch.equal(before, after)
        assert 0.3 * whole < driven.seconds <= whole
        seconds = driven.seconds
        model(**given)
        assert driven.seconds == seconds, "counting ends with the context"
        with Driven(model) as body:
            model.base_model(**given)
        assert body.seconds > 0, "studies may call the body alone"


def test_a_pass_that_fails_ends_too() -> None:
    model = bd.load("random:gpt2").model
    with Driven(model) as driven:
        with pytest.raises(IndexError):
            model(torch.tensor([[10**6]]))
        time.sleep(0.05)
        seconds = driven.seconds
        with torch.no_grad():
            model(IDS)
    assert seconds < driven.seconds < seconds + 0.05

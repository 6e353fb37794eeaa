"""Tiny subjects of every family, opened once."""

from collections.abc import Callable
from functools import cache

import pytest
import torch

from brodmann.models import Subject, load


@cache
def _tiny(family: str) -> Subject:
    return load(f"random:{family}")


@pytest.fixture
def tiny() -> Callable[[str], Subject]:
    """Subject with random weights, by family; shared between tests, which must not change it."""
    return _tiny


@pytest.fixture
def ids() -> torch.Tensor:
    """Two prompts of eleven tokens of the byte vocabulary."""
    return torch.randint(5, 261, (2, 11), generator=torch.Generator().manual_seed(3))


def forward(subject: Subject, ids: torch.Tensor) -> torch.Tensor:
    """Logits, or hidden states where there is no head."""
    more = {"decoder_input_ids": ids.flip(1)} if subject.is_encoder_decoder else {}
    with torch.no_grad():
        output = subject.model(input_ids=ids, **more)
    return output.logits if "logits" in output else output.last_hidden_state


@pytest.fixture
def run() -> Callable[[Subject, torch.Tensor], torch.Tensor]:
    return forward

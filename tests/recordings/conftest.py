"""Subjects and texts that several files share; each subject is opened once per session."""

from collections.abc import Callable

import pytest
import torch

import brodmann as bd
from brodmann.models import Subject

TEXTS = (
    "Hi",
    "A longer prompt of some words, so that there is padding.",
    "Middle sized prompt, this.",
    "One more, about a ship which left the harbour in the early morning light.",
)


def sharpen(name: str, factor: float = 6.0) -> Subject:
    """A random model whose attention is far from uniform, so that a wrong position or mask shows in the norms."""
    subject = bd.load(name)
    with torch.no_grad():
        for weight in subject.model.parameters():
            if weight.ndim >= 2:
                weight.mul_(factor)
    return subject


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return list(TEXTS)


@pytest.fixture(scope="session")
def sharpened() -> Callable[..., Subject]:
    return sharpen


@pytest.fixture(scope="session")
def llama() -> Subject:
    return sharpen("random:llama")


@pytest.fixture(scope="session")
def glass() -> Subject:
    return bd.load("glass-en")

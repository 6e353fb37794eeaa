"""The folder's own modules are importable, and one subject is opened for all."""

import sys
from pathlib import Path

import pytest

import brodmann as bd
from brodmann.models import Subject

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def glass() -> Subject:
    return bd.load("glass-en")

"""Shapes are checked while testing: jaxtyping annotations of the whole package are enforced by beartype."""

import os
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("HF_HUB_OFFLINE", "1")

install_import_hook("brodmann", "beartype.beartype")

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260111)


@pytest.fixture(scope="session")
def data() -> Path:
    """Oracle files that travel with the project."""
    return DATA


@pytest.fixture(scope="session")
def shared() -> Path:
    """Data files that stay outside the project; the test is skipped where they are missing."""
    if not SHARED.is_dir():
        pytest.skip(f"the data folder {SHARED} is not on this machine")
    return SHARED

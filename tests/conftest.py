"""Shapes are checked while testing: jaxtyping annotations of the whole package are enforced by beartype."""

import os
from pathlib import Path

# Each of the test workers, and every process a test starts, computes on one thread: threads that outnumber the cores
# wait for each other. Set before numpy and torch load.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest
from jaxtyping import install_import_hook

PACKAGE = Path(__file__).parents[1] / "src" / "brodmann"
# The compiled kernels stay out: numba cannot compile a function wrapped in a type check. Naming a package would take
# in all of it, so the modules are named one by one.
MODULES = [
    "brodmann." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name not in ("__init__.py", "fused.py")
]
install_import_hook(MODULES, "beartype.beartype")

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

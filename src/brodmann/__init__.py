"""An atlas of the functional anatomy of language models.

Names load lazily: ``import brodmann`` reads neither torch nor transformers.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_FUNCTIONS = {
    "load": "brodmann.models",
    "record": "brodmann.recordings",
    "replay": "brodmann.recordings",
    "map": "brodmann.atlas",
    "open_atlas": "brodmann.atlas",
    "Finding": "brodmann.stats",
}
_ROOMS = ("atlas", "errors", "models", "recordings", "settings", "stats", "synergy")

__all__ = ["__version__", *_FUNCTIONS, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(import_module(_FUNCTIONS[name]), name)
    if name in _ROOMS:
        return import_module(f"brodmann.{name}")
    raise AttributeError(f"module 'brodmann' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)

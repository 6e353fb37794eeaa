"""An atlas of the functional anatomy of language models.

Names load lazily: ``import brodmann`` reads neither torch nor transformers.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load": "models",
    "record": "recordings",
    "replay": "recordings",
    "map": "atlas",
    "open_atlas": "atlas",
    "Finding": "stats",
}

__all__ = [
    "Finding",
    "__version__",
    "allocation",
    "atlas",
    "errors",
    "fractal",
    "lesions",
    "load",
    "map",
    "models",
    "open_atlas",
    "record",
    "recordings",
    "replay",
    "settings",
    "stats",
    "synergy",
    "tasks",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"brodmann.{_HOMES[name]}"), name)
    if name in __all__:
        return import_module(f"brodmann.{name}")
    raise AttributeError(f"module 'brodmann' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)

"""The directory a user keeps: a plan of tasks, engines that run it, the store of results and the report.

The atlas knows its analyses only through the registry's lazy strings; nothing here imports torch before a task
needs it.
"""

import time
from importlib import import_module
from typing import Any

_HOMES = {
    "Atlas": "brodmann.atlas.atlas",
    "map": "brodmann.atlas.atlas",
    "open_atlas": "brodmann.atlas.atlas",
    "Plan": "brodmann.atlas.plan",
    "Task": "brodmann.atlas.plan",
    "Engine": "brodmann.atlas.engines",
    "LocalEngine": "brodmann.atlas.engines",
    "Study": "brodmann.atlas.registry",
    "studies": "brodmann.atlas.registry",
}

__all__ = [
    "Atlas",
    "Engine",
    "LocalEngine",
    "Plan",
    "Study",
    "Task",
    "map",
    "open_atlas",
    "studies",
]


# wall seconds of imports that no run has accounted for yet
_unaccounted = [0.0]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        start = time.perf_counter()
        module = import_module(_HOMES[name])
        _unaccounted[0] += time.perf_counter() - start
        return getattr(module, name)
    raise AttributeError(f"module 'brodmann.atlas' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)


def import_seconds() -> float:
    """Wall seconds that importing this package's parts took since the last call; a run counts them as its own."""
    seconds, _unaccounted[0] = _unaccounted[0], 0.0
    return seconds

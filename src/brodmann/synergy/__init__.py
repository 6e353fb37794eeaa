"""Integrated information decomposition of pairs of units: synergy, redundancy, and the core they point to.

`study` asks the question on a recording and gives a Dataset with nulls and findings; `phiid`, `core`, `graphs` and
`surrogates` hold the mathematics (arrays in, arrays out); `figures` draws what a study found.
"""

from importlib import import_module
from typing import Any

__all__ = [
    "binary",
    "core",
    "figures",
    "fused",
    "gaussian",
    "graphs",
    "lattice",
    "pairs",
    "phiid",
    "study",
    "surrogates",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name == "study":
        return import_module("brodmann.synergy.study").study
    if name in __all__:
        return import_module(f"brodmann.synergy.{name}")
    raise AttributeError(f"module 'brodmann.synergy' has no attribute '{name}'")

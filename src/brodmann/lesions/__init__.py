"""Causal tests on units: what a model loses when heads or experts are removed, replaced or disturbed.

`lesion` intervenes on any set of units while a context lasts; `gated` puts several lesions into one forward pass.
"""

from typing import TYPE_CHECKING

from brodmann.lazy import exports

if TYPE_CHECKING:
    from brodmann.lesions.ablate import gated, lesion

__getattr__ = exports(
    __name__,
    {
        **dict.fromkeys(("gated", "lesion"), "ablate"),
    },
)

__all__ = [
    "gated",
    "lesion",
]

"""Causal tests on units: what a model loses when heads or experts are removed, replaced or disturbed.

`lesion` intervenes on any set of units while a context lasts; `gated` puts several lesions into one forward pass.
"""

from typing import TYPE_CHECKING

from brodmann.lazy import exports

if TYPE_CHECKING:
    from brodmann.lesions.ablate import gated, lesion
    from brodmann.lesions.calibrate import Calibration, find_alpha
    from brodmann.lesions.stand_ins import References, references, stand_in

__getattr__ = exports(
    __name__,
    {
        **dict.fromkeys(("gated", "lesion"), "ablate"),
        **dict.fromkeys(("Calibration", "find_alpha"), "calibrate"),
        **dict.fromkeys(("References", "references", "stand_in"), "stand_ins"),
    },
)

__all__ = [
    "Calibration",
    "References",
    "find_alpha",
    "gated",
    "lesion",
    "references",
    "stand_in",
]

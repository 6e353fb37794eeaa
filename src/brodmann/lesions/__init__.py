"""Causal tests on units: what a model loses when heads or experts are removed, replaced or disturbed.

`lesion` intervenes on any set of units while a context lasts; `gated` puts several lesions into one forward pass.
`study` removes a ranking's units step by step, against honest controls, and asks how far behaviour moves. Its parts:
`divergences` (nats, for any sets of units) and `gradient_importance` (the rival ranking).
Instead of zero: `references` keeps what heads did on a text (`References`) for the kinds mean and resample, which
`stand_in` makes; `find_alpha` finds a strength of noise (`Calibration`).
"""

from typing import TYPE_CHECKING

from brodmann.lazy import exports

if TYPE_CHECKING:
    from brodmann.lesions.ablate import gated, lesion
    from brodmann.lesions.calibrate import Calibration, find_alpha
    from brodmann.lesions.divergence import divergences
    from brodmann.lesions.importance import gradient_importance
    from brodmann.lesions.stand_ins import References, references, stand_in
    from brodmann.lesions.sweep import study

__getattr__ = exports(
    __name__,
    {
        **dict.fromkeys(("gated", "lesion"), "ablate"),
        **dict.fromkeys(("Calibration", "find_alpha"), "calibrate"),
        **dict.fromkeys(("divergences",), "divergence"),
        **dict.fromkeys(("gradient_importance",), "importance"),
        **dict.fromkeys(("References", "references", "stand_in"), "stand_ins"),
        **dict.fromkeys(("study",), "sweep"),
    },
)

__all__ = [
    "Calibration",
    "References",
    "divergences",
    "find_alpha",
    "gated",
    "gradient_importance",
    "lesion",
    "references",
    "stand_in",
    "study",
]


def __dir__() -> list[str]:
    return sorted(__all__)

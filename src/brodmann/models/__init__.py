"""A Hugging Face model as an anatomy: opened safely, read exactly, never changed.

`load` opens a model as a `Subject`, `listen` reads the signal of all its units while it runs, `lesion` silences units,
`randomise` gives the same architecture with fresh random weights.
"""

from typing import TYPE_CHECKING

from brodmann.lazy import exports

if TYPE_CHECKING:
    from brodmann.models.anatomy import Anatomy, Site, read_anatomy
    from brodmann.models.check import CheckRow, CheckTable, self_test
    from brodmann.models.loading import load
    from brodmann.models.packaged import PackagedModel, available
    from brodmann.models.rules import families
    from brodmann.models.silence import lesion
    from brodmann.models.subject import Subject
    from brodmann.models.taps import Tap, listen
    from brodmann.models.untrained import randomise

__getattr__ = exports(
    __name__,
    {
        **dict.fromkeys(("Anatomy", "Site", "read_anatomy"), "anatomy"),
        **dict.fromkeys(("CheckRow", "CheckTable", "self_test"), "check"),
        "lesion": "silence",
        "load": "loading",
        **dict.fromkeys(("PackagedModel", "available"), "packaged"),
        "families": "rules",
        "Subject": "subject",
        **dict.fromkeys(("Tap", "listen"), "taps"),
        "randomise": "untrained",
    },
)

__all__ = [
    "Anatomy",
    "CheckRow",
    "CheckTable",
    "PackagedModel",
    "Site",
    "Subject",
    "Tap",
    "available",
    "families",
    "lesion",
    "listen",
    "load",
    "randomise",
    "read_anatomy",
    "self_test",
]


def __dir__() -> list[str]:
    return sorted(__all__)

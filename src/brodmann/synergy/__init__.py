"""Integrated information decomposition of pairs of units: synergy, redundancy, and the core they point to.

`study` asks the question on a recording and gives a Dataset with nulls and findings; `phiid`, `core`, `graphs` and
`surrogates` hold the mathematics (arrays in, arrays out); `figures` draws what a study found.

While a model is trained, `EmergenceCallback` (for `transformers.Trainer`) or `Monitor` (for a loop of one's own) looks
at a `panel` of texts, as a `Watch` says, and gives a `Look` each time.
"""

from typing import TYPE_CHECKING

from brodmann.lazy import exports

# Imported at once: a lazy name would become the module `study` as soon as somebody imports that.
from brodmann.synergy import core, figures, graphs, phiid, surrogates
from brodmann.synergy.study import study

if TYPE_CHECKING:
    from brodmann.synergy.callback import EmergenceCallback
    from brodmann.synergy.monitor import Look, Monitor, Watch, panel

__getattr__ = exports(
    __name__,
    {
        **dict.fromkeys(("EmergenceCallback",), "callback"),
        **dict.fromkeys(("Look", "Monitor", "Watch", "panel"), "monitor"),
    },
)

__all__ = [
    "EmergenceCallback",
    "Look",
    "Monitor",
    "Watch",
    "core",
    "figures",
    "graphs",
    "panel",
    "phiid",
    "study",
    "surrogates",
]


def __dir__() -> list[str]:
    return sorted(__all__)

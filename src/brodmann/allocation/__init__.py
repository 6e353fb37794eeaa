"""Is the core more active on hard tasks? Density of activity by task, against other units of the same layers.

`study` takes a model, its recording and a core, and gives a Dataset of ratios with nulls and findings.
"""

# Imported at once: a lazy name would become the module `study` as soon as somebody imports that.
from brodmann.allocation.study import study

__all__ = ["study"]


def __dir__() -> list[str]:
    return sorted(__all__)

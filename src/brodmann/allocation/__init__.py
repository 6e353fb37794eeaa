"""Is the core more active on hard tasks? Density of activity by task, against other units of the same layers."""

# Imported at once: a lazy name would become the module `study` as soon as somebody imports that.
from brodmann.allocation.study import study

__all__ = ["study"]

"""The weight graph: distances 1/|w| between neurons, its multifractal spectrum, and the degree of emergence.

`study` asks the question of a checkpoint or of a series and gives a Dataset with nulls and findings; `spectrum`,
`one_hop`, `paths`, `layer_graph`, `nulls` and `emergence` hold the mathematics; `sampling` draws neurons, `modes` says
which networks stand for a checkpoint; `graphs` has graphs whose spectrum is known.
"""

# Imported at once: a lazy name would become the module `study` as soon as somebody imports that.
from brodmann.fractal import emergence, figures, graphs, live, paths, spectrum
from brodmann.fractal.study import study

__all__ = ["emergence", "figures", "graphs", "live", "paths", "spectrum", "study"]


def __dir__() -> list[str]:
    return sorted(__all__)

"""Integrated information decomposition of pairs of units: synergy, redundancy, and the core they point to.

`study` asks the question on a recording and gives a Dataset with nulls and findings; `phiid`, `core`, `graphs` and
`surrogates` hold the mathematics (arrays in, arrays out); `figures` draws what a study found.
"""

# Imported at once: a lazy name would become the module `study` as soon as somebody imports that.
from brodmann.synergy import core, figures, graphs, phiid, surrogates
from brodmann.synergy.study import study

__all__ = ["core", "figures", "graphs", "phiid", "study", "surrogates"]

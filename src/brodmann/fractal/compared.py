"""What a degree of emergence is compared with: the nulls and the plain quantities, each in one table with its words.

How a null is drawn stands in `modes` (``DRAWS``), how a plain quantity is computed in `weigh` (``plain_quantities``);
both must name exactly what is named here. A null of one-hop counts must change how many weights of which size a source
has: entries permuted among a source's own targets, or other signs, would leave every count as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from brodmann import look


@dataclass(frozen=True)
class Null:
    """One null of the weight graph, in words."""

    short: str
    """In figures."""
    words: str
    """In a finding, and in a figure's explanation."""
    claim: str
    """What exceeds it means."""
    dash: str | None
    """Its line in figures."""


@dataclass(frozen=True)
class Plain:
    """One quantity that needs no graph, in words."""

    words: str
    colour: str
    dash: str | None
    drawn: bool = True
    """Whether it has a line over training; log step is the axis itself."""
    of_spectra: bool = False
    """Whether it takes eigenvalues of the matrices, which are computed where the settings ask for them (``tails``)."""
    cites: tuple[str, ...] = ()


NULLS: Mapping[str, Null] = MappingProxyType(
    {
        "matched_scale": Null(
            "noise of the same scale",
            "normal noise with each matrix's own root mean square",
            "The degree of emergence exceeds that of noise of the same scale",
            None,
        ),
        "permuted_entries": Null(
            "entries permuted",
            "entries of each matrix in random places",
            "The degree of emergence exceeds that of the same entries in random places",
            "dash",
        ),
        "permuted_rows": Null(
            "rows permuted",
            "entries of each target neuron shuffled among its sources",
            "The degree of emergence exceeds that of rows shuffled among their sources",
            "dot",
        ),
    }
)
"""By name, from weak to strict."""

NOISE = NULLS["matched_scale"]

PLAIN: Mapping[str, Plain] = MappingProxyType(
    {
        "log_step": Plain("log step, the rival", look.INK, None, drawn=False),
        "rms": Plain("root mean square", look.INK, None),
        "weighted_degree": Plain("mean weighted degree", look.INK, "dash"),
        "share_within": Plain("share within reach", look.INK_2, None),
        "tail_exponent": Plain(
            "mean tail exponent", look.INK_2, "dot", of_spectra=True, cites=("martin2021", "hill1975", "clauset2009")
        ),
        "stable_rank": Plain("mean stable rank", look.INK_2, "dash", of_spectra=True, cites=("rudelson2007",)),
    }
)
"""By name, in the order of figures."""


def nulls_in_words() -> str:
    """All nulls, for explanations.

    Examples
    --------
    >>> nulls_in_words().split(", ")[0]
    "normal noise with each matrix's own root mean square"
    """
    *first, last = (null.words for null in NULLS.values())
    return f"{', '.join(first)}, and {last}"

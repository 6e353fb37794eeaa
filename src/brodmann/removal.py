"""The orders in which units are removed: one table that sweep, claims, figures and the dry run read.

How an order is made stands in `lesions.ranking.make_curves`, what each control holds fixed in `lesions.orders`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class Removal:
    """An order of removal, as it is named, drawn and counted."""

    words: str
    """What figures and findings call it."""
    role: Literal["core", "redundant", "control", "rival"]
    """What it is to the core; gives its colour."""
    panel: Literal["random", "matched", "all"]
    """Where its curve stands in the figure: among random and redundant orders, among matched sets and rivals, or in
    both.
    """
    width: float
    """Of its line, pixels."""
    dash: str | None = None
    draws: str = ""
    """Field of `settings.LesionSettings` that says how often it is drawn at random; empty: it is one order."""


REMOVALS: Mapping[str, Removal] = MappingProxyType({
    "synergistic": Removal("the core first", "core", "all", 2.6),
    "redundant": Removal("redundant first", "redundant", "random", 1.8),
    "random": Removal("random", "control", "random", 1.3, "dot", draws="random_draws"),
    "layer_matched": Removal("random, same layers", "control", "random", 1.8, draws="layer_draws"),
    "norm_matched": Removal("same activity", "control", "matched", 1.6, "dash"),
    "autocorrelation_matched": Removal("same autocorrelation", "control", "matched", 1.6, "dot"),
    "importance": Removal("gradient importance", "rival", "matched", 1.4, "dot"),
})  # fmt: skip
"""The one table of orders. Curves come in this order; the core's is drawn last, on top."""

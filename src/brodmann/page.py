"""What an analysis hands to the report: plain data, no plotting library, no HTML.

A study's ``figures.py`` turns its Dataset into a `Chapter`; the atlas lays chapters out on the page. Text fields are
plain text; the page escapes them.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Panel:
    """One figure of a chapter."""

    name: str
    """Slug, unique on the page; also the name of exported files."""
    title: str
    """What to see, as one sentence written from the numbers."""
    figure: dict[str, Any]
    """Plotly figure as plain JSON (``data``, ``layout``)."""
    how_to_read: str = ""
    """Folded below the figure."""
    description: str = ""
    """What the figure shows, in words, for screen readers."""
    detail: str = ""
    """Expert detail, folded after."""


@dataclass(frozen=True)
class Chapter:
    """One analysis on the page."""

    name: str
    title: str
    question: str
    summary: str
    panels: tuple[Panel, ...]
    unit_columns: dict[str, str] = field(default_factory=dict)
    """Variable of the study's Dataset with dim ``unit`` -> heading in the table of units."""
    citations: tuple[str, ...] = ()
    """Methods that were used: keys of Brodmann's ``references.bib``, or whole BibTeX entries (``@article{...}``)."""
    readings: tuple[str, ...] = ()
    """Which reading of each source was used, where it leaves a choice."""

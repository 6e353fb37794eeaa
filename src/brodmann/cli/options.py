"""Options that several commands share, as tyro reads them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from brodmann.settings import Units

Model = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
ModelOrAtlas = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL|ATLAS")]
Place = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]
Given = Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")]
OfUnits = Annotated[Units | None, tyro.conf.arg(metavar="{heads,experts,neurons}")]
Added = Annotated[tuple[str, ...], tyro.conf.arg(metavar="STUDY ...", help_behavior_hint="(default: none)")]


@dataclass(frozen=True)
class Run:
    """Where a command writes, what it starts from, and whether it only reckons."""

    out: Place = None
    """Folder of the atlas. By default the atlas that was given, or a name after the model in the working directory."""
    dry_run: bool = False
    """Print tasks, time and memory before any weight is read, and stop."""
    settings: Given = None
    """Settings to start from, as written beside every result; options given here win."""
    units: OfUnits = None
    """Kind of units to record: short for the signal that is read from them."""
    seed: int = 0
    """Seed of everything random."""


RUN = Run()

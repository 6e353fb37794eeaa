"""How the command line looks: progress, tables, findings. Nothing here computes, and nothing heavy is imported.

On a terminal there is colour and a moving bar; elsewhere plain lines, so that a log file reads well. Meaning is never
carried by colour alone.
"""

import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 80
_EVERY = 15.0
_MARKS = {"supported": "+", "contradicted": "-", "inconclusive": "?"}
_STYLES = {"supported": "bold green", "contradicted": "bold red", "inconclusive": "yellow"}


def console(*, error: bool = False) -> Console:
    """Where to print: as wide as the terminal, 80 columns elsewhere."""
    stream = sys.stderr if error else sys.stdout
    return Console(file=stream, highlight=False, soft_wrap=False, width=None if stream.isatty() else _width())


def _width() -> int:
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdigit() and int(given) > 20 else PLAIN_WIDTH


@contextmanager
def progress() -> Iterator[Any]:
    """Give the function that takes each `Tick` of a run: a bar on a terminal, plain log lines elsewhere."""
    out = console(error=True)
    if out.is_terminal:
        columns = (
            TextColumn("{task.description}", table_column=None),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
        )
        with Progress(*columns, console=out, transient=True) as bars:
            bar = bars.add_task("starting", total=None, note="")

            def move(tick: Any) -> None:
                total = tick.total or None
                bars.update(bar, description=tick.title, total=total, completed=tick.done + tick.part, note=tick.note)

            yield move
        return
    title, last = "", 0.0

    def log(tick: Any) -> None:
        nonlocal title, last
        now, new = time.monotonic(), tick.title != title
        if not new and now - last < _EVERY:
            return
        title, last = tick.title, now
        place = f" ({tick.done + 1}/{tick.total})" if tick.total else ""
        share = "" if new else f" {tick.part:.0%} {tick.note}".rstrip()
        out.print(f"{time.strftime('%H:%M:%S')} {tick.title}{place}{share}", markup=False)

    yield log


def table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]], *, right: Iterable[int] = ()) -> Table:
    """A table without rules at its sides, readable as plain text."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number in set(right) else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made


def findings(found: Sequence[Any]) -> Table:
    """Verdict beside claim, estimate [interval], p and null."""
    made = Table.grid(padding=(0, 2, 1, 0))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for finding in found:
        verdict = Text(f"{_MARKS[finding.verdict]} {finding.verdict}", style=_STYLES[finding.verdict])
        low, high = finding.interval
        bounded = math.isfinite(low) and math.isfinite(high)
        interval = f" [{number(low)}, {number(high)}]" if bounded else ""
        measured = f"{number(finding.estimate)}{interval} {finding.units}".strip()
        if not bounded and not math.isnan(finding.estimate):
            measured += f"; {finding.caveats[0] if finding.untested else 'interval not tested'}"
        measured += f"; margin {number(finding.margin)}" if finding.margin else ""
        # p is evidence for the claim against its nulls; beside another verdict it would read as evidence for that.
        shown = finding.verdict == "supported" and finding.p is not None
        chance = f", p {'<' if finding.p < 0.001 else '='} {max(finding.p, 0.001):.3g}" if shown else ""
        told = Text(f"{finding.claim}\n", style="bold")
        if math.isnan(finding.estimate):
            why = "".join(finding.caveats[:1]).removeprefix("not tested: ")
            told.append(f"not tested: {why}" if why else "not tested", style="not bold")
        else:
            told.append(f"{measured}; n = {finding.n} ({finding.unit_of_inference}s){chance}", style="not bold")
        if finding.null:
            told.append(f"\nnull: {finding.null}", style="not bold dim")
        made.add_row(verdict, told)
    return made


def correction(found: Sequence[Any], studies: int = 1) -> str:
    """What to say once under the findings about their p values; empty where none is shown.

    Each study corrects its own findings.
    """
    shown = any(finding.verdict == "supported" and finding.p is not None for finding in found)
    tested = sum(finding.p is not None for finding in found)
    over = f"the {tested} findings that have one" if studies == 1 else "the findings of each study that have one"
    return f"p is Holm-corrected over {over}" if shown else ""


def number(value: float) -> str:
    """Three significant digits, never in exponents that nobody reads at a glance unless needed."""
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Wall time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(amount: float) -> str:
    """Bytes in words."""
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"

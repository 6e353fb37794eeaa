"""What a run says at its end, whichever command it was: findings, where the time went, where the page is."""

from collections.abc import Collection, Mapping
from typing import Any

from brodmann.console import correction, duration, findings


def print_findings(screen: Any, atlas: Any, asked: Collection[str]) -> None:
    """Print the findings of the studies that were asked for, and in one line how many others the report holds."""
    by_study = {name: atlas.findings_of(name) for name in atlas.results}
    shown = {name: found for name, found in by_study.items() if name in asked and found}
    others = {name: len(found) for name, found in by_study.items() if name not in asked and found}
    found = tuple(finding for each in shown.values() for finding in each)
    if found:
        screen.print(f"\n{atlas.label}: {_counted(len(found))}\n", markup=False, style="bold")
        if _random(atlas.manifest):
            screen.print(
                "Random weights, which have learned nothing: what follows shows what those show.\n", markup=False
            )
        screen.print(findings(found))
        screen.print(correction(found, studies=len(shown)), markup=False)
    if others:
        count = sum(others.values())
        stand = "stands" if count == 1 else "stand"
        screen.print(f"{_counted(count, ' more')} (of {', '.join(others)}) {stand} in the report", markup=False)


def print_cost(screen: Any, atlas: Any) -> None:
    """Print the wall time over all runs, and the share of it in which the model itself was at work."""
    whole = sum(atlas.seconds.values())
    share = f", {atlas.forward_share:.0%} of it in forward passes of the model" if whole else ""
    screen.print(f"computed in {duration(whole)}{share}", markup=False)


def print_time(screen: Any, atlas: Any) -> None:
    """Print the wall time over all runs of an atlas whose model was never run."""
    screen.print(f"computed in {duration(sum(atlas.seconds.values()))}; no model was run", markup=False)


def _random(manifest: Mapping[str, Any]) -> bool:
    return bool(manifest.get("provenance", {}).get("randomly_initialised"))


def _counted(count: int, more: str = "") -> str:
    return f"{count}{more} finding{'s' * (count != 1)}"

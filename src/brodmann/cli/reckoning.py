"""The dry run: what is done already, and what the rest would take. Prints, and opens no model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from brodmann import ahead
from brodmann.settings import MapSettings

if TYPE_CHECKING:
    from brodmann.atlas.estimate import Estimate
    from brodmann.atlas.family import Family
    from brodmann.atlas.rest import Share
    from brodmann.atlas.several import Member
    from brodmann.atlas.weighing import Weighing


def dry_run(
    model: str, out: Path | None, settings: MapSettings, studies: tuple[str, ...] | None, *, page: bool
) -> None:
    """Print the tasks that are done, and tasks, time and memory of the rest."""
    from brodmann.atlas.plan import choose
    from brodmann.atlas.rest import rest_of, shares

    chosen = choose(studies)
    rest = rest_of(model, out, settings, chosen, page=page)
    if rest is None:
        ahead.dry_run(model, settings, studies)
        return
    from brodmann.console import console

    screen = console()
    for name, reason in rest.plan.skipped.items():
        screen.print(f"skipped {name}: {reason}", markup=False)
    if not rest.missing:
        screen.print(f"nothing to do: {rest.root} is complete for these settings", markup=False)
        return
    reckoned = _estimate(model, settings, tuple(study.name for study in chosen))
    rows = shares(reckoned, rest)
    layers = reckoned.shape.layers
    screen.print(f"{model}: {reckoned.units} units in {layers} layers{reckoned.which}\n", markup=False)
    _print(screen, [(row.line.what, row) for row in rows], "step")
    screen.print(f"\nTime and memory are of what is left to do. {reckoned.method}", markup=False)


def dry_run_family(family: "Family") -> None:
    """Print what is done and what is left of each member."""
    rests = {member.name: _rest(family, member) for member in family.order}
    if not any(rests.values()):
        ahead.dry_run_family(family)
        return
    from brodmann.console import console

    rows, method = [], ""
    for member in family.order:
        reckoned, row = _member(family, member, rests[member.name])
        rows.append((member.name, row))
        method = method or reckoned.method
    screen = console()
    if not sum(row.line.tasks for _, row in rows):
        screen.print("all members are done; at most their comparison and its page are left", markup=False)
        return
    screen.print(f"{family.label}\n", markup=False)
    _print(screen, rows, "member")
    screen.print(f"\nTime and memory are of what is left to do, without the comparison. {method}", markup=False)


def dry_run_weighing(weighing: "Weighing") -> None:
    """Print the size of the graph, and time and memory of what is left."""
    from brodmann.console import console, duration, size

    screen = console()
    if weighing.done:
        screen.print(f"nothing to do: {weighing.folder.root} is complete for these settings", markup=False)
        return
    cost, count = weighing.cost(), len(weighing.members)
    screen.print(f"{weighing.label}\n", markup=False)
    screen.print(
        f"{cost.weights:,} weights between {cost.neurons:,} neurons, {count} checkpoint{'s' * (count != 1)}",
        markup=False,
    )
    screen.print(
        f"about {duration(cost.seconds * count)} on this machine's cores together and {size(cost.memory)} of memory; "
        "a guess from the speed of a small server", markup=False,
    )  # fmt: skip


def _rest(family: "Family", member: "Member") -> Any:
    from brodmann.atlas.rest import rest_of_job

    return rest_of_job(family.member_job(member))


def _member(family: "Family", member: "Member", rest: Any) -> tuple["Estimate", "Share"]:
    """A member's estimate, and its rows as one."""
    from dataclasses import replace

    from brodmann.atlas.estimate import Line
    from brodmann.atlas.family import STUDIES
    from brodmann.atlas.rest import Share, shares

    settings = family.settings_of(member)
    if member is not family.order[0]:  # the others follow the first one's text
        settings = replace(settings, record=replace(settings.record, mode="read"))
    reckoned = _estimate(member.model, settings, STUDIES)
    # a member's own page is drawn on request only
    everything = tuple(Share(line, 0) for line in reckoned.lines if line.what != "tables and report")
    rows = shares(reckoned, rest) if rest else everything
    lines = [row.line for row in rows]
    memory = max(line.memory for line in lines)
    whole = Line(member.name, sum(each.tasks for each in lines), sum(each.seconds for each in lines), memory)
    return reckoned, Share(whole, sum(row.done for row in rows))


def _estimate(model: str, settings: MapSettings, studies: tuple[str, ...]) -> "Estimate":
    from brodmann.atlas.estimate import estimate
    from brodmann.recordings.prompts import read_prompts

    return estimate(model, settings, read_prompts(settings.record.prompts), studies)


def _print(screen: Any, rows: "list[tuple[str, Share]]", what: str) -> None:
    from brodmann.console import duration, size, table

    def cells(name: str, done: int, left: int, seconds: float, memory: float) -> tuple[str, ...]:
        return (name, str(done), str(left), *((duration(seconds), size(memory)) if left else ("-", "-")))

    lines = [row.line for _, row in rows]
    everything = cells("all", sum(row.done for _, row in rows), sum(line.tasks for line in lines),
                       sum(line.seconds for line in lines), max(line.memory for line in lines))  # fmt: skip
    shown = [cells(name, row.done, row.line.tasks, row.line.seconds, row.line.memory) for name, row in rows]
    screen.print(table((what, "done", "to do", "time", "memory"), [*shown, everything], right=(1, 2, 3, 4)))

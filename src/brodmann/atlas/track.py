"""A model through its training: one atlas for each checkpoint, and the study of growth over all of them.

Checkpoints are revisions of a hub model, folders as a trainer leaves them, or a series that ships with Brodmann. They
are read from their names alone; nothing is opened here.
"""

import itertools
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from brodmann.atlas.atlas import Atlas, override
from brodmann.atlas.engines import Engine, Tell
from brodmann.atlas.family import STUDIES, Family, refuse_other_tokenizers
from brodmann.atlas.plan import check_lengths, choose
from brodmann.atlas.several import Member, slug
from brodmann.atlas.store import Folder
from brodmann.errors import SettingsError
from brodmann.models.packaged import PACKAGED
from brodmann.models.packaged import checkpoints as packaged_checkpoints
from brodmann.plain import to_dict
from brodmann.ranges import check_ranges
from brodmann.settings import MapSettings

_STEP = (re.compile(r"step[-_]?(\d+)([kKmM]?)"), re.compile(r"(?:checkpoint|ckpt|iter)[-_]?(\d+)([kKmM]?)"))
_LAST = re.compile(r"(\d+)([kKmM]?)(?!.*\d)")
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000}


def track(
    model: str | None = None,
    *,
    revisions: Sequence[str] = (),
    checkpoints: Iterable[str | Path] = (),
    out: str | Path | None = None,
    settings: MapSettings | None = None,
    page: bool = True,
    engine: Engine | None = None,
    tell: Tell | None = None,
    **overrides: Any,
) -> Atlas:
    """Follow the synergistic core through training.

    Every checkpoint gets an atlas of its own under ``members/``: a recording on one common text, the study of the core,
    and a stage of growth. The common text is what the last checkpoint answers greedily; with ``mode="read"`` it is the
    given texts themselves. The same call again does only what is missing.

    Parameters
    ----------
    model
        Hub id of the revisions, a folder of checkpoints, or a series that ships with Brodmann (``nano``).
    revisions
        Revisions of the hub model, or of the series; each name holds its training step (``step512``).
    checkpoints
        Folders of checkpoints, in place of a model (``checkpoint-500``).
    out
        Folder of the family; by default ``growth-`` and the model's name.
    settings, page, engine, tell, **overrides
        As in `brodmann.map`; ``settings.track`` says how growth is tested.

    Returns
    -------
    Atlas
        ``results["growth"]`` compares the checkpoints; recording and core are those of the last one.

    Raises
    ------
    SettingsError, PromptError, ModelError, AnatomyError, StoreError
        Before anything is written, if the mistake can be seen from there.
    Incomplete
        If the user stopped it; call again to go on.
    """
    chosen = override(settings or MapSettings(), overrides)
    family = series(model, revisions=revisions, checkpoints=checkpoints, out=out, settings=chosen)
    family.run(page=page, engine=engine, tell=tell)
    return Atlas(family.folder.root)


def series(
    model: str | None,
    *,
    revisions: Sequence[str] = (),
    checkpoints: Iterable[str | Path] = (),
    out: str | Path | None = None,
    settings: MapSettings,
) -> Family:
    """Checkpoints, their folder and their comparison, as `track` runs them; nothing is opened or written.

    Raises
    ------
    SettingsError, PromptError
        As `track`.
    """
    check_ranges(settings)
    check_lengths(settings, choose(STUDIES))
    folders = tuple(Path(each) for each in checkpoints)
    members = find_checkpoints(model, revisions, folders)
    refuse_other_tokenizers(members, settings)
    name = model if model is not None else str(folders[0].resolve().parent)
    place = Path(out) if out is not None else default_out(name)
    first, last = members[0].name, members[-1].name
    return Family(
        study="growth",
        label=f"{Path(name).name if Path(name).exists() else name}: {len(members)} checkpoints, {first} to {last}",
        model=name,
        members=members,
        folder=Folder(place),
        settings=settings,
        command=command(model, revisions, folders, place),
        compare=lambda family, controls: {
            "steps": [member.place for member in family.members],
            "synergy": to_dict(family.settings.synergy),
            "controls": controls,
        },
    )


def find_checkpoints(
    model: str | None, revisions: Sequence[str] = (), folders: Sequence[Path] = ()
) -> tuple[Member, ...]:
    """Checkpoints in the order of their training steps, which their names tell.

    Raises
    ------
    SettingsError
        If there are fewer than two, a name holds no step, or two share one.
    """
    if folders and (model is not None or revisions):
        raise SettingsError("give a model with --revisions, or folders with --checkpoints, not both")
    found: list[tuple[float, str, str, str | None]]
    missing = next((path for path in folders if not path.is_dir()), None)
    if missing is not None:
        raise SettingsError(
            f"there is no folder {missing}" + (" (the pattern matches none)" if "*" in str(missing) else "")
        )
    if folders:
        found = [(step_of(path.name), path.name, str(path), None) for path in folders]
    elif model is None:
        raise SettingsError("say which model: a hub id with --revisions, a packaged series (nano), or --checkpoints")
    elif revisions:
        found = [(step_of(each), each, model, each) for each in revisions]
    elif model in PACKAGED:
        found = [(float(step), each, model, each) for step, each in packaged_checkpoints(model)]
    elif Path(model).is_dir():
        inside = [path for path in sorted(Path(model).iterdir()) if (path / "config.json").is_file()]
        found = [(step_of(path.name), path.name, str(path), None) for path in inside]
        if not found:
            raise SettingsError(f"{model} holds no folders of checkpoints (a config.json in each)")
    else:
        raise SettingsError(f"which checkpoints of {model}? name them: --revisions step1000 step2000 ...")
    found.sort(key=lambda each: each[0])
    if len(found) < 2:
        plural = "" if len(found) == 1 else "s"
        raise SettingsError(f"{len(found)} checkpoint{plural}: growth needs at least two (an onset at least six)")
    for one, other in itertools.pairwise(found):
        if one[0] == other[0]:
            raise SettingsError(f"'{one[1]}' and '{other[1]}' are both step {one[0]:g}")
    return tuple(Member(slug(name), opened, revision, step) for step, name, opened, revision in found)


def step_of(name: str) -> float:
    """Training step that a checkpoint's name tells.

    Examples
    --------
    >>> step_of("step512"), step_of("checkpoint-500"), step_of("step1000-tokens4B"), step_of("run3_100k")
    (512.0, 500.0, 1000.0, 100000.0)
    """
    for pattern in (*_STEP, _LAST):
        found = pattern.search(name)
        if found:
            return float(int(found[1]) * _FACTORS[found[2].lower()])
    raise SettingsError(f"'{name}' does not tell its training step: rename it, such as step1000")


def default_out(model: str) -> Path:
    """``growth-`` and the model's name as a slug, in the working directory."""
    stem = Path(model).resolve().name if Path(model).exists() else model
    return Path("growth-" + slug(stem).lower())


def command(model: str | None, revisions: Sequence[str], folders: Sequence[Path], place: Path) -> str:
    """What repeats this run beside it, from the folder that it was given in."""
    words = ["brodmann", "track"]
    if model is not None:
        words.append(model)
    if revisions:
        words += ["--revisions", *revisions]
    if folders:
        words += ["--checkpoints", *map(str, folders)]
    words += ["--settings", str(place / "settings.yaml"), "--out", f"{place}-again"]
    return shlex.join(words)

"""Models of several sizes side by side: one atlas for each, and the search for a threshold over all of them."""

import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brodmann.atlas.atlas import Atlas, override
from brodmann.atlas.engines import Engine, Tell
from brodmann.atlas.family import STUDIES, Family, refuse_other_tokenizers
from brodmann.atlas.plan import check_lengths, choose
from brodmann.atlas.several import Member, slug
from brodmann.atlas.source import find, read_header
from brodmann.atlas.store import Folder
from brodmann.errors import SettingsError
from brodmann.plain import to_dict
from brodmann.ranges import check_ranges
from brodmann.settings import MapSettings


def sizes(
    models: Sequence[str],
    *,
    out: str | Path | None = None,
    settings: MapSettings | None = None,
    page: bool = True,
    engine: Engine | None = None,
    tell: Tell | None = None,
    **overrides: Any,
) -> Atlas:
    """Compare models of one family by size; all follow the text that the last, the largest, writes.

    Parameters
    ----------
    models
        At least two models with one tokenizer, in order of size.
    out
        Folder of the family; by default ``sizes-`` and the last model's name.
    settings, page, engine, tell, **overrides
        As in `brodmann.map`.

    Raises
    ------
    BrodmannError
        As `brodmann.map`; SettingsError also if sizes do not ascend.
    """
    family = lineage(models, out=out, settings=override(settings or MapSettings(), overrides))
    family.run(page=page, engine=engine, tell=tell)
    return Atlas(family.folder.root)


def lineage(models: Sequence[str], *, out: str | Path | None = None, settings: MapSettings) -> Family:
    """Models, their folder and their comparison, as `sizes` runs them; nothing is opened or written.

    Raises
    ------
    SettingsError, PromptError
        As `sizes`.
    """
    check_ranges(settings)
    check_lengths(settings, choose(STUDIES))
    if len(models) < 2:
        counted = "1 model" if len(models) == 1 else "no model"
        raise SettingsError(f"{counted}: sizes needs at least two (a threshold at least eight)")
    members = tuple(Member(slug(Path(model).name), model) for model in models)
    if len({member.name for member in members}) < len(members):
        raise SettingsError("two models have the same name")
    refuse_other_tokenizers(members, settings)
    known = [read_header(find(model, settings.load)) for model in models]
    counts = [header.parameters if header is not None else None for header in known]
    _refuse_order(models, counts)
    place = Path(out) if out is not None else Path("sizes-" + slug(Path(models[-1]).name).lower())
    settings_file = str(place / "settings.yaml")
    return Family(
        study="sizes", label=f"{len(models)} sizes, {members[0].name} to {members[-1].name}", model=models[-1],
        members=members, folder=Folder(place), settings=settings,
        command=shlex.join(["brodmann", "sizes", *models, "--settings", settings_file, "--out", f"{place}-again"]),
        compare=_arguments,
    )  # fmt: skip


def _refuse_order(models: Sequence[str], counts: Sequence[int | None]) -> None:
    """Refuse models whose known numbers of parameters do not ascend, and name the order that does."""
    known = [(many, model) for model, many in zip(models, counts, strict=True) if many is not None]
    for (few, one), (many, other) in itertools.pairwise(known):
        if few >= many:
            said = f"{one} ({few:,} parameters) is not smaller than {other} ({many:,})"
            order = " ".join(model for _, model in sorted(known))
            again = f"the order is {order}" if few > many else "sizes must differ"
            raise SettingsError(f"{said}; name the models in order of size: {again}")


def _arguments(family: Family, controls: Sequence[Any]) -> dict[str, Any]:  # noqa: ARG001  random weights: the last's
    from brodmann.recordings import load

    folders = [family.member_folder(member) for member in family.members]
    manifests = [folder.read_manifest() for folder in folders]
    parameters = [int(manifest["provenance"]["parameters"]) for manifest in manifests]
    _refuse_order([member.model for member in family.members], parameters)
    return {
        "sizes": parameters,
        "names": [member.name for member in family.members],
        "recordings": [
            load(folder.root / manifest["recording"]) for folder, manifest in zip(folders, manifests, strict=True)
        ],
        "synergy": to_dict(family.settings.synergy),
    }

"""The main job, `map`, and what it leaves behind, `Atlas`."""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from brodmann.atlas.engines import Engine, LocalEngine, Tell
from brodmann.atlas.job import Job
from brodmann.atlas.plan import check_lengths, check_settings, choose
from brodmann.atlas.store import Folder, open_result
from brodmann.atlas.unrecorded import no_recording
from brodmann.errors import SettingsError
from brodmann.plain import digest
from brodmann.ranges import check_ranges
from brodmann.settings import SIGNALS, MapSettings, of_units
from brodmann.stats import Finding

_SECTIONS: dict[str, Any] = {
    each.name: each.default_factory
    for each in dataclasses.fields(MapSettings)
    if each.default_factory is not dataclasses.MISSING
}


class Results(Mapping[str, xr.Dataset]):
    """Study name -> Dataset, opened when asked for."""

    def __init__(self, root: Path, paths: Mapping[str, str]) -> None:
        self._root, self._paths = root, dict(paths)

    def __getitem__(self, name: str) -> xr.Dataset:
        if name not in self._paths:
            raise KeyError(name)
        found: xr.Dataset = open_result(self._root / self._paths[name])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"Results({', '.join(self._paths) or 'none'})"


@dataclass(frozen=True)
class Atlas:
    """A finished (or begun) atlas directory.

    Examples
    --------
    >>> import brodmann as bd
    >>> atlas = bd.open_atlas("atlas-smollm2-135m")  # doctest: +SKIP
    >>> atlas.results["synergy"]["rank"]  # doctest: +SKIP
    """

    path: Path

    @property
    def manifest(self) -> dict[str, Any]:
        """What ``atlas.json`` says; see `brodmann.atlas.store.Folder.write_manifest`."""
        return Folder(self.path).read_manifest()

    @property
    def label(self) -> str:
        """Name of the model, with a warning where its weights are random."""
        return str(self.manifest["label"])

    @property
    def recording(self) -> xr.Dataset:
        """The subject's recording, prompts in the user's order; an empty one where weights alone were read."""
        from brodmann.recordings import load

        if not self.manifest["recording"]:
            return no_recording()
        return load(self.path / self.manifest["recording"])

    @property
    def results(self) -> Results:
        """Current results by study."""
        return Results(self.path, self.manifest["results"])

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every claim that was tested, in the order of the studies."""
        return tuple(finding for study in self.manifest["results"] for finding in self.findings_of(study))

    def findings_of(self, study: str) -> tuple[Finding, ...]:
        """Every claim that one study tested."""
        path = self.manifest["results"][study]
        described = json.loads((self.path / path / "zarr.json").read_text(encoding="utf-8"))
        text = described.get("attributes", {}).get("findings", "[]")
        return tuple(Finding.from_dict(values) for values in json.loads(text))

    @property
    def units(self) -> pd.DataFrame:
        """One row per unit: anatomy and every result that has one value per unit."""
        return pd.read_parquet(self.path / "tables" / "units.parquet")

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def skipped(self) -> dict[str, str]:
        """Studies that do not apply, with the reason."""
        return dict(self.manifest["skipped"])

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time by stage."""
        return dict(self.manifest["seconds"])

    @property
    def forward_share(self) -> float:
        """Share of the wall time in forward passes of the model, those of recordings and of studies that drive it."""
        return float(self.manifest["seconds_share"]["forward"])


def map(  # noqa: A001
    model: Any,
    *,
    out: str | Path | None = None,
    settings: MapSettings | None = None,
    studies: Iterable[str] | None = None,
    page: bool = True,
    engine: Engine | None = None,
    tell: Tell | None = None,
    **overrides: Any,
) -> Atlas:
    """Record a model, run every study that applies, write the atlas and its report.

    The same call again does only what is missing; when nothing is, no model is opened.

    Parameters
    ----------
    model : str or Subject
        Hub id, folder, GGUF file, packaged model, ``random:FAMILY``, or an opened subject.
    out
        Folder of the atlas; by default ``atlas-`` and the model's name.
    settings
        All settings.
    studies
        Names of studies; None runs all but the optional ones (`lesions`, `allocation`). A study that comes after
        others brings them along.
    page
        Whether to write tables and report.
    engine
        Who runs the tasks; by default this process.
    tell
        Called with a `Tick` whenever something moves.
    **overrides
        Single settings by their short names (``new_tokens=50``), whole sections (``synergy=SynergySettings(...)``), or
        ``units="experts"`` for the signal that is read from these.

    Raises
    ------
    SettingsError, PromptError, ModelError, AnatomyError, StoreError
        Before anything is written, if the mistake can be seen from there.
    Incomplete
        If the user stopped it; call again to go on.
    """
    wanted = override(settings or MapSettings(), overrides)
    chosen = choose(studies)
    check_ranges(wanted)
    check_lengths(wanted, chosen)
    check_settings(wanted, chosen)
    name = model if isinstance(model, str) else str(model.name)
    folder = Folder(Path(out) if out is not None else default_out(name, wanted))
    folder.refuse_foreign()
    job = Job(name, wanted, chosen, page, folder, "" if isinstance(model, str) else _address(model))
    job.do(None if isinstance(model, str) else model, engine or LocalEngine(), tell)
    return Atlas(folder.root)


def _address(subject: Any) -> str:
    """What an opened subject is: its name does not tell changed weights or another spec."""
    from brodmann.recordings.plan import fingerprint

    return digest([fingerprint(subject), [dataclasses.astuple(site) for site in subject.anatomy.sites]])


def open_atlas(path: str | Path) -> Atlas:
    """Open an atlas directory.

    Raises
    ------
    StoreError
        If it is not an atlas.
    """
    atlas = Atlas(Path(path))
    _ = atlas.manifest
    return atlas


def default_out(model: str, settings: MapSettings) -> Path:
    """``atlas-``, the model's name as a slug, and the kind of units unless they are heads; in the working directory."""
    stem = Path(model).name if Path(model).exists() else model
    stem = re.sub(r"\.gguf$", "", stem, flags=re.IGNORECASE)
    kind = SIGNALS[settings.record.signal].kind
    units = "" if kind == "head" else f"-{kind}s"
    return Path("atlas-" + (re.sub(r"[^A-Za-z0-9._]+", "-", stem).strip("-.").lower() or "model") + units)


def override(settings: MapSettings, values: Mapping[str, Any]) -> MapSettings:
    """Settings with single values replaced by their short names.

    Raises
    ------
    SettingsError
        If no setting has such a name.
    """
    for name, value in values.items():
        if name in _SECTIONS or name == "seed":
            settings = dataclasses.replace(settings, **{name: value})
            continue
        if name == "units":
            settings = dataclasses.replace(settings, record=of_units(settings.record, value))
            continue
        homes = [section for section, kind in _SECTIONS.items() if name in {f.name for f in dataclasses.fields(kind)}]
        if not homes:
            raise SettingsError(f"there is no setting '{name}'")
        section = dataclasses.replace(getattr(settings, homes[0]), **{name: value})
        settings = dataclasses.replace(settings, **{homes[0]: section})
    return settings

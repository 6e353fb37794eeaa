"""The report: one HTML file that opens offline, written from what lies in an atlas directory.

`render` reads the directory and asks the registry for each study's chapter; `build_page` lays a page out from objects
in memory. Everything that came from a model, a prompt or a file is text here: jinja escapes it, drawings escape it,
and data for scripts is JSON without a single ``<``. A content security policy names the page's own script by its hash,
so nothing else can run and nothing can be fetched.
"""

import base64
import gzip
import hashlib
import json
import math
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import xarray as xr
from markupsafe import Markup

from brodmann import __version__, look
from brodmann.atlas import bibliography, cards, draw, plate
from brodmann.atlas.marks import number
from brodmann.atlas.overview import found, grid, plate_units, short_name, unit_table
from brodmann.atlas.registry import resolve, studies
from brodmann.atlas.store import Folder, open_result, write_text
from brodmann.atlas.unrecorded import no_recording
from brodmann.errors import BrodmannError, ReportError
from brodmann.page import Chapter
from brodmann.stats import Finding

TEMPLATES = Path(__file__).parent / "templates"
_UNHEARD = "read from the weights; nothing was recorded"
_PLURAL = {"head": "attention heads", "expert": "experts", "neuron": "neurons", "residual": "residual streams"}


@dataclass(frozen=True)
class PageData:
    """Everything a page shows."""

    label: str
    recording: xr.Dataset
    chapters: tuple[Chapter, ...] = ()
    results: dict[str, xr.Dataset] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    settings: str = ""
    """YAML of the run's settings."""
    command: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage -> wall seconds."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Study -> why it does not apply."""
    version: str = __version__

    @property
    def randomly_initialised(self) -> bool:
        """Whether the weights are random."""
        return bool(self.provenance.get("randomly_initialised"))


@dataclass(frozen=True)
class Page:
    """What `build_page` gives: the page and the plate as a file of its own (empty where there is none)."""

    html: str
    plate: str


def render(atlas_dir: Path) -> Path:
    """Write ``report.html`` and ``plate.svg`` of an atlas directory; give the report's path.

    Raises
    ------
    StoreError
        If the directory is not an atlas, or a file it names is missing.
    """
    folder = Folder(atlas_dir)
    page = build_page(read(folder))
    report = atlas_dir / "report.html"
    write_text(report, page.html)
    if page.plate:
        write_text(atlas_dir / "plate.svg", page.plate)
    return report


def read(folder: Folder) -> PageData:
    """Gather what the page needs from an atlas directory, and nothing from elsewhere."""
    manifest = folder.read_manifest()
    path = str(manifest["recording"])
    recording = open_result(folder.root / path) if path else no_recording()
    results = {name: open_result(folder.root / str(path)) for name, path in manifest.get("results", {}).items()}
    chapters = tuple(_told(name, dataset, recording) for name, dataset in results.items() if name in studies())
    findings = tuple(Finding.from_dict(values) for dataset in results.values() for values in _claims(dataset))
    settings = folder.root / "settings.yaml"
    model = str(manifest.get("model", manifest["label"]))
    return PageData(
        label=str(manifest["label"]),
        recording=recording,
        chapters=chapters,
        results=results,
        findings=findings,
        provenance=dict(manifest.get("provenance", {})),
        settings=settings.read_text(encoding="utf-8") if settings.exists() else "",
        command=str(manifest.get("command") or f"brodmann map {shlex.quote(model)} --settings settings.yaml"),
        seconds={str(k): float(v) for k, v in manifest.get("seconds", {}).items()},
        skipped={str(k): str(v) for k, v in manifest.get("skipped", {}).items()},
        version=str(manifest.get("brodmann", __version__)),
    )


def _claims(dataset: xr.Dataset) -> list[dict[str, Any]]:
    claims: list[dict[str, Any]] = json.loads(str(dataset.attrs.get("findings", "[]")))
    return claims


def _told(name: str, dataset: xr.Dataset, recording: xr.Dataset) -> Chapter:
    target = studies()[name].chapter
    with _blaming(f"the chapter of study '{name}' ({target})"):
        chapter = resolve(target)(dataset, recording)
        if not isinstance(chapter, Chapter):
            raise TypeError(f"it gave a {type(chapter).__name__}, not a brodmann.page.Chapter")
    return chapter


@contextmanager
def _blaming(what: str) -> Iterator[None]:
    """Say whose mistake it is: chapters may come from other packages."""
    try:
        yield
    except BrodmannError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ReportError(f"{what} cannot be drawn ({said}); the results are kept") from error


def build_page(data: PageData) -> Page:
    """Lay out a page from objects in memory.

    Raises
    ------
    ReportError
        If two chapters or two panels have the same name, or a panel cannot be drawn; they are named.
    """
    _refuse_same_names(data.chapters)
    units = plate_units(data.recording, data.results)
    kind = units.kind
    plural = _PLURAL.get(kind, f"{kind}s")
    layers = len(np.unique(units.layer))
    recorded = len(units.unit) > 0
    anatomy = f"{layers} {'layer' if layers == 1 else 'layers'}, {len(units.unit):,} {plural}" if recorded else _UNHEARD
    sheet = plate.sheet(units) if len(units.unit) > 1 else Markup("")
    script = _script()
    chapters = [_chapter(chapter) for chapter in data.chapters]
    bundle = any(drawn["figure"] is not None for chapter in chapters for drawn in chapter["panels"])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {"number": number, "seconds": _seconds}
    html = environment.get_template("report.html.j2").render(
        data=data,
        title=data.label,
        anatomy=anatomy,
        kind=kind,
        plate=sheet,
        caption=plate.CAPTION.format(kind=kind),
        note=next((str(r.attrs["note"]) for r in data.results.values() if "note" in r.attrs), ""),
        recorded=recorded,
        grid=grid(units) if recorded else None,
        found=found(data.findings, [len(_claims(dataset)) for dataset in data.results.values()]),
        findings=[_card(finding) for finding in data.findings],
        chapters=chapters,
        table=unit_table(data.recording, data.results, data.chapters, units) if recorded else None,
        transcripts=_transcripts(data.recording),
        generated=str(data.recording.attrs.get("mode", "generate")) == "generate",
        facts=_facts(data),
        bibtex=bibliography.entries([key for chapter in data.chapters for key in chapter.citations]),
        payload=_json({"matrices": [m for each in chapters for drawn in each["panels"] for m in drawn["matrices"]]}),
        style=Markup(_style()),  # noqa: S704 our own file
        script=Markup(script),  # noqa: S704 our own file
        policy=_policy(script, bundle),
        bundle=Markup(_bundle()) if bundle else None,  # noqa: S704 base64
        light=look.variables(),
        dark=look.variables(dark=True),
    )
    legend = f"{anatomy[0].upper()}{anatomy[1:]}."
    return Page(html, plate.standalone(sheet, title=data.label, legend=legend, kind=kind) if sheet else "")


def _card(finding: Finding) -> dict[str, Any]:
    people = finding.unit_of_inference if finding.n == 1 else f"{finding.unit_of_inference}s"
    shown = (
        finding.p is None or finding.verdict == "supported"
    )  # beside another verdict p would read as evidence for it
    return {
        "finding": finding,
        "short": short_name(finding.name),
        "drawing": cards.evidence(finding),
        "interval": cards.interval(finding),
        "p": cards.p_text(finding.p) if shown else "",
        "not_tested": cards.not_tested(finding) if math.isnan(finding.estimate) else "",
        "n": f"{finding.n:,} {people}",
        "level": f"{100 * finding.level:g} %",
    }


def _chapter(chapter: Chapter) -> dict[str, Any]:
    drawn = []
    for panel in chapter.panels:
        with _blaming(f"panel '{panel.name}' of the chapter '{chapter.name}'"):
            if draw.drawable(panel.figure):
                drawing, figure = draw.draw(panel.figure, name=panel.name, description=panel.description), None
            else:
                drawing, figure = None, _json(panel.figure)
            matrices = draw.matrices(panel.figure, name=panel.name)
        film = draw.film(panel.figure) if drawing else None
        drawn.append({"panel": panel, "drawing": drawing, "figure": figure, "matrices": matrices, "film": film})
    return {"chapter": chapter, "panels": drawn}


def _refuse_same_names(chapters: Sequence[Chapter]) -> None:
    homes: dict[str, str] = {}
    for chapter in chapters:
        for name, what in ((chapter.name, "chapter"), *((panel.name, "panel") for panel in chapter.panels)):
            key = f"{what} '{name}'"
            if key in homes:
                raise ReportError(
                    f"{key} of '{chapter.title}' is there twice, first in '{homes[key]}': each needs a name of its own"
                )
            homes[key] = chapter.title


def _transcripts(recording: xr.Dataset) -> list[tuple[str, list[dict[str, str]]]]:
    """Prompts with answers by category, in the order of the recording."""
    count = recording.sizes.get("prompt", 0)

    def texts(name: str) -> list[str]:
        return [str(text) for text in recording[name].values] if name in recording.coords else [""] * count

    groups: dict[str, list[dict[str, str]]] = {}
    rows = zip(texts("prompt"), texts("category"), texts("prompt_text"), texts("answer"), strict=True)
    for ident, category, prompt, answer in rows:
        groups.setdefault(category or "prompts", []).append({"id": ident, "prompt": prompt, "answer": answer})
    return list(groups.items())


def _facts(data: PageData) -> list[tuple[str, list[tuple[str, str]]]]:
    """Provenance as titled lists of facts."""
    attrs = data.recording.attrs
    model = [(key.replace("_", " "), _fact(value)) for key, value in data.provenance.items() if value is not None]
    sizes = data.recording.sizes
    recorded = [
        ("signal", str(attrs.get("signal", ""))), ("mode", str(attrs.get("mode", ""))),
        ("prompts", f"{sizes.get('prompt', 0):,}"), ("tokens per prompt", f"{sizes.get('token', 0):,}"),
        ("prompts hash", str(attrs.get("prompts_hash", ""))), ("key", str(attrs.get("recording_key", ""))),
    ]  # fmt: skip
    versions = json.loads(str(attrs.get("versions", "{}")))
    software = [("brodmann", data.version), *((str(k), str(v)) for k, v in versions.items() if k != "brodmann")]
    time = [(stage, _seconds(seconds)) for stage, seconds in data.seconds.items() if seconds >= 0.05]
    heard = [("Recording", recorded)] if sizes.get("unit", 0) else []
    lists = [("Model", model), *heard, ("Software", software), ("Time", time)]
    for name, dataset in data.results.items():
        settings = json.loads(str(dataset.attrs.get("settings", "{}")))
        lists.append((f"Study: {name}", [(key.replace("_", " "), _fact(value)) for key, value in settings.items()]))
    lists.append(("Not applicable", list(data.skipped.items())))
    return [(title, [(key, value) for key, value in facts if value]) for title, facts in lists if facts]


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 100_000 else str(value)


def _seconds(value: float) -> str:
    if value < 90:
        return f"{number(value)} s"
    return f"{number(value / 60)} min" if value < 5400 else f"{number(value / 3600)} h"


def _json(value: Any) -> Markup:
    """JSON that can stand inside a script element: no ``<``, ``>`` or ``&``, and no NaN."""
    text = json.dumps(_strict(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _style() -> str:
    return "\n".join(
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "figures.css", "media.css")
    )


def _script() -> str:
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("figures.js", "page.js"))


def _policy(script: str, bundle: bool) -> str:
    """Content security policy: our script by its hash, nothing from the network."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    more = " blob: 'unsafe-eval'" if bundle else ""
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'{more}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _bundle() -> str:
    """plotly.js, compressed, for figures that this page cannot draw itself."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(str(get_plotlyjs()).encode(), mtime=0)).decode()

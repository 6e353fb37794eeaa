"""The command line: parses settings, calls the rooms, prints, exits. No science, and no torch until a model is opened.

Exit codes: 0 done, 1 a mistake that the user can act on (one line), 2 usage, 3 incomplete (the same command goes on).
"""

import dataclasses
import functools
import inspect
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from brodmann.errors import BrodmannError
from brodmann.settings import LoadSettings, MapSettings, RecordSettings, SynergySettings, from_yaml, to_yaml

ABOUT = """An atlas of the functional anatomy of language models, with a null model beside every claim.

  brodmann map smollm2-135m        record a model, run every study, write the report
  brodmann map MODEL --dry-run     what that would take, before anything is opened
  brodmann COMMAND --help          all settings of a command

MODEL is a hub id, a local folder, a GGUF file, a model that ships in a package, or random:FAMILY.

A command that was stopped goes on where it was when it is given again. Every command takes --traceback.

Exit codes: 0 done, 1 mistake (one clear line), 2 usage, 3 incomplete."""

Model = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
Place = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]
Given = Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")]


def map_(
    model: Model,
    out: Place = None,
    dry_run: bool = False,
    settings: Given = None,  # noqa: ARG001  read before parsing, because it changes the defaults
    seed: int = 0,
    load: LoadSettings = LoadSettings(),  # noqa: B008  frozen
    record: RecordSettings = RecordSettings(),  # noqa: B008
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
) -> None:
    """Record a model, run every study that applies, and write the atlas with its report.

    Parameters
    ----------
    model
        Hub id, folder, GGUF file, packaged model (see `brodmann models`) or random:FAMILY.
    out
        Folder of the atlas. By default atlas-MODEL in the working directory.
    dry_run
        Print tasks, time and memory before any weight is read, and stop.
    settings
        Settings to start from, as written beside every result; options given here win.
    seed
        Seed of everything random.
    load, record, synergy
        Settings.
    """
    chosen = MapSettings(load, record, synergy, seed)
    _go(model, out, chosen, None, page=True, dry_run=dry_run)


def record_(
    model: Model,
    out: Place = None,
    dry_run: bool = False,
    settings: Given = None,  # noqa: ARG001
    seed: int = 0,
    load: LoadSettings = LoadSettings(),  # noqa: B008
    record: RecordSettings = RecordSettings(),  # noqa: B008
) -> None:
    """Record a model's units and stop there; `map` and `synergy` go on from it.

    Parameters
    ----------
    model
        Hub id, folder, GGUF file, packaged model (see `brodmann models`) or random:FAMILY.
    out
        Folder of the atlas. By default atlas-MODEL in the working directory.
    dry_run
        Print tasks, time and memory before any weight is read, and stop.
    settings
        Settings to start from, as written beside every result; options given here win.
    seed
        Seed of everything random.
    load, record
        Settings.
    """
    chosen = MapSettings(load, record, seed=seed)
    _go(model, out, chosen, (), page=False, dry_run=dry_run)


def synergy_(
    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL|ATLAS")],
    out: Place = None,
    dry_run: bool = False,
    settings: Given = None,  # noqa: ARG001
    seed: int = 0,
    load: LoadSettings = LoadSettings(),  # noqa: B008
    record: RecordSettings = RecordSettings(),  # noqa: B008
    synergy: SynergySettings = SynergySettings(),  # noqa: B008
) -> None:
    """Run only the study of the synergistic core, on a model or on an atlas that exists.

    Parameters
    ----------
    model
        A model, or an atlas: then its settings are the defaults and its recordings are used.
    out
        Folder of the atlas. By default the given one, or atlas-MODEL in the working directory.
    dry_run
        Print tasks, time and memory before any weight is read, and stop.
    settings
        Settings to start from, as written beside every result; options given here win.
    seed
        Seed of everything random.
    load, record, synergy
        Settings.
    """
    chosen = MapSettings(load, record, synergy, seed)
    if _is_atlas(model):
        from brodmann.atlas.store import Folder

        out = out or Path(model)
        model = str(Folder(Path(model)).read_manifest()["model"])
    _go(model, out, chosen, ("synergy",), page=True, dry_run=dry_run)


def report_(
    atlas: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="ATLAS")],
    open_: Annotated[bool, tyro.conf.arg(name="open")] = False,
) -> None:
    """Rebuild the page of an atlas.

    Parameters
    ----------
    atlas
        Folder of the atlas.
    open_
        Open the page in the browser.
    """
    from brodmann.ahead import refuse_unfinished
    from brodmann.atlas import open_atlas
    from brodmann.atlas.report import render

    refuse_unfinished(atlas)
    page = render(open_atlas(atlas).path)
    print(page)
    if open_:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def models_(check: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None, spec: str | None = None) -> None:
    """List the models that ship in packages, or prove that a model is read exactly.

    Parameters
    ----------
    check
        Open this model and print its self-test instead.
    spec
        With --check: where the units are, for an architecture that is not known (YAML or JSON file).
    """
    from brodmann.console import console, table

    if check is not None:
        _check(check, spec)
        return
    from brodmann.models import available, families

    out = console()
    rows = [
        (each.name, "yes" if each.installed else "no", each.licence, f"{each.megabytes:.0f} MB", each.about)
        for each in available()
    ]
    out.print(table(("name", "here", "licence", "size", "what it is"), rows, right=(3,)))
    missing = [each for each in available() if not each.installed]
    for each in missing:
        out.print(f"to get {each.name}: {each.install}", markup=False)
    out.print(
        "\nAlso: any hub id, local folder or GGUF file of these architectures, and random:FAMILY for a tiny model"
    )
    out.print("with random weights:")
    out.print("  " + ", ".join(families()), markup=False)


def _check(model: str, spec: str | None) -> None:
    from brodmann.console import console, table
    from brodmann.errors import AnatomyError
    from brodmann.models import load, self_test

    subject = load(model, check=False, spec=spec)
    tested = self_test(subject)
    rows = [
        (r.check, "ok" if r.ok else "FAILED", f"{r.value:.2g}", f"{r.tolerance:.2g}", r.detail) for r in tested.rows
    ]
    out = console()
    out.print(repr(subject), markup=False)
    out.print(table(("check", "result", "value", "limit", "detail"), rows, right=(2, 3)))
    if subject.is_encoder_decoder:
        written, reads = (len(subject.anatomy.units("z_norm", stack)) for stack in (None, "encoder"))
        out.print(
            f"{written} heads of the decoder and its cross-attention are recorded; the encoder's {reads} with "
            "--mode read",
            markup=False,
        )
    if not tested.ok:
        raise AnatomyError(f"{model} cannot be read exactly; see the table above")


def prompts_(name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[SET|FILE]")] = None) -> None:
    """List the built-in prompt sets, or show the prompts of one set or file.

    A prompt file is JSON (a list of strings, or of objects with prompt, category
    and id), JSONL (one such entry a line), CSV (a column prompt, perhaps category
    and id), or .txt (passages split at blank lines).

    Parameters
    ----------
    name
        Built-in set or file to show; without it, all sets are listed.
    """
    from brodmann.console import console, table
    from brodmann.recordings.prompts import BUILT_IN, read_prompts

    out = console()
    if name is None:
        rows = [(each, str(len(s := read_prompts(each))), ", ".join(s.categories)) for each in BUILT_IN]
        out.print(table(("set", "prompts", "categories"), rows, right=(1,)))
        out.print("\n`brodmann prompts SET` shows one; --prompts FILE takes JSON, JSONL, CSV or text.", markup=False)
        return
    shown = read_prompts(name)
    out.print(table(("id", "category", "prompt"), [(p.id, p.category, p.text) for p in shown.prompts]))


def studies_() -> None:
    """List the studies and what each needs."""
    from brodmann.atlas.registry import check_targets, studies
    from brodmann.console import console, table

    check_targets(studies().values())
    rows = [(name, study.title, study.needs.words) for name, study in studies().items()]
    console().print(table(("study", "title", "needs at least"), rows))


def cite_(atlas: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="ATLAS")]) -> None:
    """Print BibTeX of the methods that an atlas used.

    Parameters
    ----------
    atlas
        Folder of the atlas.
    """
    from brodmann.atlas import open_atlas
    from brodmann.atlas.cite import bibtex

    print(bibtex(open_atlas(atlas)))


COMMANDS = {
    "map": map_,
    "record": record_,
    "synergy": synergy_,
    "report": report_,
    "models": models_,
    "prompts": prompts_,
    "studies": studies_,
    "cite": cite_,
}


def _go(
    model: str, out: Path | None, settings: MapSettings, studies: tuple[str, ...] | None, *, page: bool, dry_run: bool
) -> None:
    from brodmann import ahead

    ahead.refuse(model, settings, studies)
    if dry_run:
        ahead.dry_run(model, settings, studies)
        return
    from brodmann.atlas import map as map_model
    from brodmann.console import console, correction, duration, findings, progress

    ran: list[int] = []
    earlier = ahead.earlier_settings(model, out)
    with progress() as tell:

        def hear(tick: Any) -> None:
            ran.append(1)
            tell(tick)

        atlas = map_model(model, out=out, settings=settings, studies=studies, page=page, tell=hear)
    screen = console()
    if not ran:
        screen.print(f"nothing to do: {atlas.path} is complete for these settings", markup=False)
    for name, reason in atlas.skipped.items():
        screen.print(f"skipped {name}: {reason}", markup=False)
    found = atlas.findings if page else ()
    if found:
        screen.print(f"\n{atlas.label}: {len(found)} findings\n", markup=False, style="bold")
        screen.print(findings(found))
        screen.print(correction(found), markup=False)
    seconds = atlas.seconds
    whole, forward = sum(seconds.values()), seconds.get("forward", 0.0)
    share = f", {forward / whole:.0%} of it in the model" if whole else ""
    screen.print(f"computed in {duration(whole)}{share}", markup=False)
    if page and earlier not in ("", to_yaml(settings)):
        screen.print("the report now shows these settings; results of earlier settings stay in results/", markup=False)
    # print, not the console: a path must never be wrapped
    print(atlas.report if page else atlas.path)


def _is_atlas(path: str) -> bool:
    return (Path(path) / "atlas.json").is_file()


def _defaults(arguments: Sequence[str]) -> MapSettings:
    """Settings that the options start from: of ``--settings``, else of an atlas that is named, else the usual ones."""
    for place, word in enumerate(arguments):
        if word == "--settings" and place + 1 < len(arguments):
            return from_yaml(MapSettings, arguments[place + 1])
        if word.startswith("--settings="):
            return from_yaml(MapSettings, word.partition("=")[2])
    if arguments and arguments[0] == "synergy":
        for word in arguments[1:]:
            if not word.startswith("-") and _is_atlas(word):
                return from_yaml(MapSettings, Path(word) / "settings.yaml")
    return MapSettings()


def _with_defaults(command: Any, settings: MapSettings) -> Any:
    """The command with other default settings."""
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    signature = inspect.signature(command)
    names = values.keys() & signature.parameters.keys()
    if settings == MapSettings() or not names:
        return command

    @functools.wraps(command)
    def changed(*args: Any, **kwargs: Any) -> Any:
        return command(*args, **kwargs)

    changed.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(default=values[name]) if name in names else p for name, p in signature.parameters.items()]
    )
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code."""
    # Threads that wait for each other spin only briefly, then sleep: on a machine with other work, spinning threads
    # steal the cores from those they wait for. Must be set before torch loads; a user's own setting wins.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    given = list(sys.argv[1:] if arguments is None else arguments)
    words = [word for word in given if word != "--traceback"]
    traceback = words != given
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries; what matters is said in errors and caveats
    try:
        defaults = _defaults(words)
        tyro.extras.subcommand_cli_from_dict(
            {name: _with_defaults(command, defaults) for name, command in COMMANDS.items()},
            prog="brodmann",
            description=ABOUT,
            args=words,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        )
    except BrodmannError as error:
        if traceback:
            raise
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        if traceback:
            raise
        return _fail("stopped; run the same command again to go on", 3)
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # the last line of defence: no traceback unless asked for
        if traceback:
            raise
        return _fail(f"unexpected {type(error).__name__}: {error}; --traceback shows where, please report it", 1)
    return 0


def _fail(message: str, code: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

"""Commands that look: at an atlas, at models, at prompts and studies. They compute nothing that is kept."""

from pathlib import Path
from typing import Annotated, Any

import tyro


def report_(
    atlas: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="ATLAS")],
    open_: Annotated[bool, tyro.conf.arg(name="open")] = False,
) -> None:
    """Rebuild the page of an atlas.

    Example: brodmann report atlas-glass-en --open

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
    """List the packaged models, or prove that a model is read exactly.

    Example: brodmann models --check glass-en

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

    Example: brodmann prompts cognitive

    A prompt file is one of

      .json   a list of strings, or of objects with prompt, category and id
      .jsonl  one such entry a line
      .csv    a column prompt, perhaps category and id
      .txt    passages split at blank lines

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
    """List the studies and what each needs.

    Example: brodmann studies
    """
    from brodmann.atlas.registry import check_targets, studies
    from brodmann.console import console, table

    check_targets(studies().values())
    rows = [
        (name, study.title, ", ".join((_needs(study), *study.after)), _way(study)) for name, study in studies().items()
    ]
    console().print(table(("study", "title", "needs at least", "in map"), rows))


def _needs(study: Any) -> str:
    """What a study asks of what it reads."""
    return "weights, no recording" if study.weights else study.needs.words


def _way(study: Any) -> str:
    """How a study is asked for."""
    if study.family:
        return f"no: brodmann {study.family}"
    return f"--add {study.name}" if study.optional else "yes"


def cite_(atlas: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="ATLAS")]) -> None:
    """Print BibTeX of the methods that an atlas used.

    Example: brodmann cite atlas-glass-en

    Parameters
    ----------
    atlas
        Folder of the atlas.
    """
    from brodmann.atlas import open_atlas
    from brodmann.atlas.cite import bibtex

    print(bibtex(open_atlas(atlas)))

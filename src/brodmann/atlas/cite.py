"""BibTeX of the methods that an atlas used."""

import re
from importlib.resources import files

from brodmann.atlas.atlas import Atlas
from brodmann.atlas.registry import resolve, studies

_ALWAYS = ("brodmann", "wolf2020")
_ENTRY = re.compile(r"^@\w+\{(?P<key>[^,]+),.*?^\}", re.MULTILINE | re.DOTALL)


def bibliography() -> dict[str, str]:
    """All BibTeX entries by key."""
    text = (files("brodmann.atlas") / "references.bib").read_text(encoding="utf-8")
    return {match["key"]: match[0] for match in _ENTRY.finditer(text)}


def citations(atlas: Atlas) -> tuple[str, ...]:
    """Keys of the methods that the atlas's current results used, in the order of use."""
    keys: list[str] = []
    for name, dataset in atlas.results.items():
        if name in studies():
            keys += resolve(studies()[name].chapter)(dataset, atlas.recording).citations
    return tuple(dict.fromkeys([*keys, *_ALWAYS]))


def bibtex(atlas: Atlas) -> str:
    """BibTeX entries of the methods that the atlas used; a study of another package brings its own entries."""
    known = bibliography()
    return "\n\n".join(known.get(key, f"% {key}: see the package that brings this study") for key in citations(atlas))

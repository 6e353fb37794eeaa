"""BibTeX of the methods that an atlas used."""

from brodmann.atlas import bibliography
from brodmann.atlas.atlas import Atlas
from brodmann.atlas.registry import resolve, studies

_ALWAYS = ("brodmann", "wolf2020")


def citations(atlas: Atlas) -> tuple[str, ...]:
    """Keys of the methods that the atlas's current results used, in the order of use."""
    keys: list[str] = []
    for name, dataset in atlas.results.items():
        if name in studies():
            keys += resolve(studies()[name].chapter)(dataset, atlas.recording).citations
    return tuple(dict.fromkeys([*keys, *_ALWAYS]))


def bibtex(atlas: Atlas) -> str:
    """BibTeX entries of the methods that the atlas used."""
    return bibliography.entries(citations(atlas))

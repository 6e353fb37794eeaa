"""BibTeX of the methods: entries by key, read from ``references.bib`` beside this file."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from brodmann.errors import SettingsError


@cache
def _all() -> dict[str, str]:
    text = Path(__file__).with_name("references.bib").read_text(encoding="utf-8")
    found = re.findall(r"^(@\w+\{([^,]+),.*?^\})", text, flags=re.MULTILINE | re.DOTALL)
    return {key.strip(): entry for entry, key in found}


def keys() -> tuple[str, ...]:
    """All known keys."""
    return tuple(_all())


def entries(wanted: Iterable[str]) -> str:
    """BibTeX of the wanted keys, each once, in the order given; a whole entry (``@article{...}``) stands for itself.

    Raises
    ------
    SettingsError
        If a key is unknown: a method without its source must not go unseen.

    Examples
    --------
    >>> entries(["efron1987"]).splitlines()[0]
    '@article{efron1987,'
    """
    known = _all()
    chosen = [key.strip() for key in dict.fromkeys(wanted)]
    unknown = [key for key in chosen if key not in known and not key.startswith("@")]
    if unknown:
        raise SettingsError(
            f"a chapter cites '{unknown[0]}', which is no key of references.bib; give the whole entry (@article{{...}})"
        )
    return "\n\n".join(known.get(key, key) for key in chosen)

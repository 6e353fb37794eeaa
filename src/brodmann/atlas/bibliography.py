"""BibTeX of the methods: entries by key, read from ``references.bib`` beside this file."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path


@cache
def _all() -> dict[str, str]:
    text = Path(__file__).with_name("references.bib").read_text(encoding="utf-8")
    found = re.findall(r"^(@\w+\{([^,]+),.*?^\})", text, flags=re.MULTILINE | re.DOTALL)
    return {key.strip(): entry for entry, key in found}


def keys() -> tuple[str, ...]:
    """All known keys."""
    return tuple(_all())


def entries(wanted: Iterable[str]) -> str:
    """BibTeX of the wanted keys, each once, in the order given; unknown keys are left out.

    Examples
    --------
    >>> entries(["efron1987"]).splitlines()[0]
    '@article{efron1987,'
    """
    known = _all()
    return "\n\n".join(known[key] for key in dict.fromkeys(wanted) if key in known)

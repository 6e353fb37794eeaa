"""Removing units while a context lasts: the one door to every kind of lesion.

Zero is what arXiv 2601.06851 (section 7.1 of its method) leaves open and its authors' code does; mean, resample and
noise are options. Nothing is measured here.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from brodmann.errors import SettingsError
from brodmann.models import Subject, silence
from brodmann.models.silence import Gates, gated

__all__ = ["Gates", "KINDS", "LesionKind", "gated", "lesion"]

LesionKind = Literal["zero", "mean", "resample", "noise"]
KINDS: tuple[LesionKind, ...] = ("zero", "mean", "resample", "noise")


@contextmanager
def lesion(subject: Subject, units: Sequence[str], kind: LesionKind = "zero") -> Iterator[None]:
    """Remove units."""
    if kind != "zero":
        raise SettingsError(f"a lesion of kind '{kind}' is not there yet")
    with silence.lesion(subject, units):
        yield

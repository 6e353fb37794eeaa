"""Removing, replacing or disturbing units while a context lasts: the one door to every kind of lesion.

How units are switched off is left open by arXiv 2601.06851; zero is its authors' code's choice and the default here.
Mean and resample replace a head (`stand_ins.py`), noise disturbs its weights (`perturb.py`). Nothing is measured here.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal, get_args

from brodmann.errors import SettingsError
from brodmann.lesions.perturb import noisy
from brodmann.lesions.stand_ins import References, stand_in
from brodmann.models import Subject, silence
from brodmann.models.silence import Gates, gated

__all__ = ["Gates", "LesionKind", "gated", "lesion"]

LesionKind = Literal["zero", "mean", "resample", "noise"]


@contextmanager
def lesion(
    subject: Subject,
    units: Sequence[str],
    kind: str = "zero",
    *,
    references: References | None = None,
    seed: int = 0,
    alpha: float | None = None,
    which: Sequence[str] = ("query", "output"),
    renormalise: bool = False,
    reroute: bool = False,
) -> Iterator[None]:
    """Intervene on units while the context lasts.

    Parameters
    ----------
    subject
        The opened model.
    units
        Unit ids: heads ``L12H3``, experts ``L12E7``, in encoder-decoder models ``cross.L0H3``. None at all is no
        lesion: the model's numbers keep every bit.
    kind
        ``zero``: a head's slice of the output projection's input is zero (the projection's bias stays), a routed
        expert's gate value is zero after the router's choice. ``mean``: the slice is its mean over the reference text.
        ``resample``: the slice is what the head wrote at the same position of another prompt of the reference text.
        ``noise``: Gaussian noise on the unit's weights; all other kinds leave the weights alone.
    references
        For ``mean`` and ``resample``: what `references` gave.
    seed
        For ``resample`` and ``noise``.
    alpha
        For ``noise``: standard deviation of the noise over that of the matrix.
    which
        For ``noise`` on heads: which of their weights.
    renormalise
        Zero, experts: the remaining gate values of a token are rescaled to the sum they had.
    reroute
        Zero, experts: the units are taken out before the router chooses, which then chooses others.

    Raises
    ------
    AnatomyError
        If a unit does not exist, or is of a kind that this kind of lesion cannot reach, or its weights are quantised.
    SettingsError
        If the kind is unknown, or an option is missing or belongs to another kind.

    Examples
    --------
    >>> import torch
    >>> from brodmann.lesions import lesion
    >>> from brodmann.models import load
    >>> subject = load("random:mixtral")
    >>> with lesion(subject, ["L0E1"], renormalise=True), torch.no_grad():
    ...     damaged = subject.model(torch.tensor([[5, 6, 7]])).logits
    """
    if kind not in get_args(LesionKind):
        raise SettingsError(f"a lesion of kind '{kind}' is unknown; choose one of {', '.join(get_args(LesionKind))}")
    if (alpha is None) == (kind == "noise"):
        if alpha is not None:
            raise SettingsError(f"alpha is the strength of a lesion of kind 'noise'; '{kind}' has none")
        raise SettingsError("a lesion of kind 'noise' needs alpha, its strength; bd.lesions.find_alpha finds one")
    if (renormalise or reroute) and kind != "zero":
        raise SettingsError(f"renormalise and reroute belong to the kind 'zero', not to '{kind}'")
    with ExitStack() as cleanup:
        if alpha is not None:
            cleanup.enter_context(noisy(subject, units, alpha=alpha, seed=seed, which=which))
        else:
            fill = cleanup.enter_context(stand_in(subject, kind, references, seed=seed))
            cleanup.enter_context(silence.lesion(subject, units, renormalise=renormalise, reroute=reroute, fill=fill))
        yield

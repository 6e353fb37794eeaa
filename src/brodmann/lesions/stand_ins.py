"""What a head can be replaced by instead of nothing: its own mean, or what it did in another prompt.

Both come from a reference text that the intact model reads once. Replacing keeps a head's usual contribution and takes
away only what it says about the text at hand (Wang et al. 2022, arXiv 2211.00593). Experts have no stand-in here.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from brodmann.errors import AnatomyError, RecordingError, SettingsError
from brodmann.lesions.places import Place, noted_places
from brodmann.models import Site, Subject
from brodmann.models.anatomy import submodule
from brodmann.models.silence import Fill, find_units
from brodmann.recordings.drive import Tokens, read, start_token
from brodmann.recordings.likelihood import recorded_text

VECTORS_BYTES = 4 * 2**30
"""What the vectors of a reference text may take in memory."""


@dataclass(frozen=True, eq=False)
class References:
    """What heads did on a reference text."""

    means: dict[Site, Float[Tensor, "head width"]]
    """Mean over prompts and tokens of what enters the output projection, float64 on the CPU."""
    vectors: dict[Site, Float[Tensor, "token head width"]] | None
    """The same at every token, text after text, in the model's own number type on the CPU; None where not kept."""
    texts: dict[str, tuple[tuple[int, ...], ...]]
    """Token ids of what the ``main`` stacks read, and the ``encoder`` of an encoder-decoder."""
    prompts: tuple[tuple[int, ...], ...]
    """Token ids of the prompts, which begin the texts (in encoder-decoders: which the encoder reads)."""


def references(
    subject: Subject,
    source: xr.Dataset | Tokens,
    answers: Tokens | None = None,
    *,
    units: Sequence[str] | None = None,
    vectors: bool = False,
    batch_size: int = 8,
) -> References:
    """Let the intact model read a reference text and keep what its heads write.

    Parameters
    ----------
    subject
        The opened model.
    source
        A recording made by `record`, whose prompts and answers are read, or the token ids of each prompt.
    answers
        With token ids: what follows each prompt. Needed for encoder-decoders.
    units
        Heads whose layers are kept; by default all on the generated text's token axis.
    vectors
        Keep every token's vectors too, as resampling needs.
    batch_size
        Texts that are read together.

    Raises
    ------
    RecordingError
        If there is nothing to read, or the vectors would not fit in memory.
    AnatomyError
        If a unit is not a head.

    Examples
    --------
    >>> from brodmann.lesions import lesion, references
    >>> from brodmann.models import load
    >>> subject = load("random:llama")
    >>> usual = references(subject, [[5, 6, 7], [8, 9]])
    >>> with lesion(subject, ["L1H2"], "mean", references=usual):
    ...     pass
    """
    if isinstance(source, xr.Dataset):
        prompts, answers = recorded_text(source)
    else:
        prompts = [tuple(row) for row in source]
    sites = _sites(subject, units)
    texts = _texts(subject, prompts, answers, sites)
    if vectors:
        _refuse_large(subject, sites, texts)
    kept = {site: _Sums(site, vectors) for site in sites}
    for axis, rows in texts.items():
        here = {site: sums for site, sums in kept.items() if _axis(site, subject) == axis}
        with _hearing(subject, axis, here):
            for first in range(0, len(rows), batch_size):
                part = slice(first, first + batch_size)
                if subject.is_encoder_decoder and axis == "main":
                    read(subject, prompts[part], answers=rows[part], signal="z_norm", reducers=())
                else:
                    read(subject, rows[part], signal="z_norm", reducers=())
    means = {site: sums.total / sums.count for site, sums in kept.items()}
    parts = {site: torch.cat(sums.parts) for site, sums in kept.items()} if vectors else None
    return References(means, parts, texts, tuple(prompts))


@contextmanager
def stand_in(
    subject: Subject, kind: str, references: References | None = None, *, seed: int = 0
) -> Iterator[Fill | None]:
    """What `gated` puts in the place of a head, for a kind of lesion, while the context lasts.

    Parameters
    ----------
    subject
        The opened model.
    kind
        ``zero``: nothing (None). ``mean``: the head's mean over the reference text. ``resample``: what the head wrote
        at the same position of another prompt of the reference text. Positions count from the first token that is not
        padding. Which other prompt depends on the seed and on the row's own text only, so the same text has the same
        stand-in in every batch, and never itself; where that prompt has ended, the next one that is long enough takes
        its place, and beyond them all the last token of the longest.
    references
        From `references`; needed for all kinds but ``zero``.
    seed
        Decides which prompt stands in.

    Raises
    ------
    SettingsError
        If the kind is unknown, or references are missing or lack what it needs.
    """
    if kind == "zero":
        yield None
        return
    if kind not in ("mean", "resample"):
        raise SettingsError(f"nothing stands in for a head in a lesion of kind '{kind}'; choose mean or resample")
    if references is None:
        more = ", vectors=True" if kind == "resample" else ""
        raise SettingsError(
            f"a lesion of kind '{kind}' needs references, what the heads did on a reference text:"
            f" references=bd.lesions.references(model, rec{more})"
        )
    if kind == "mean":
        yield lambda site, heads: _at(references.means, site).to(heads)
        return
    if references.vectors is None:
        raise SettingsError(
            "a lesion of kind 'resample' needs references with vectors=True: references(model, rec, vectors=True)"
        )
    with noted_places(subject) as places:
        yield _Resampled(subject, references, places, seed)


def _at(values: dict[Site, Tensor], site: Site) -> Tensor:
    if site not in values:
        raise AnatomyError(f"the references were not taken at {site.module}; take them with these units")
    return values[site]


def _axis(site: Site, subject: Subject) -> str:
    """Token axis that a site is on."""
    return "encoder" if subject.is_encoder_decoder and site.stack == "encoder" else "main"


class _Resampled:
    """Gives each row's heads what they wrote in another text."""

    def __init__(self, subject: Subject, references: References, places: dict[str, Place], seed: int) -> None:
        self._subject, self._references, self._places, self._seed = subject, references, places, seed
        self._named_by = "encoder" if subject.is_encoder_decoder else "main"
        self._orders: tuple[Place, list[np.ndarray]] | None = None
        self._tokens: dict[str, tuple[Place, Tensor]] = {}

    def __call__(self, site: Site, heads: Tensor) -> Tensor:
        vectors = _at(self._references.vectors or {}, site)
        axis = _axis(site, self._subject)
        place = self._places[axis]
        if axis not in self._tokens or self._tokens[axis][0] is not place:
            self._tokens[axis] = (place, self._others(axis, place))
        return vectors[self._tokens[axis][1]].to(heads).reshape(heads.shape)

    def _others(self, axis: str, place: Place) -> Tensor:
        """Which token of the reference texts stands in for each (row, token)."""
        lengths = np.array([len(text) for text in self._references.texts[axis]])
        starts = np.cumsum([0, *lengths])[:-1]
        found = []
        for order, position in zip(self._order(), place.position.clamp_min(0).cpu().numpy(), strict=True):
            reach = np.maximum.accumulate(lengths[order])
            at = np.minimum(position, reach[-1] - 1)
            found.append(starts[order[np.searchsorted(reach, at, side="right")]] + at)
        return torch.from_numpy(np.stack(found))

    def _order(self) -> list[np.ndarray]:
        """Texts that stand in for each row, in the order in which they are asked."""
        place = self._places[self._named_by]
        if self._orders is None or (place.begins and self._orders[0] is not place):
            if place.ids is None:
                raise AnatomyError("resampling needs token ids: the model was given embeddings")
            rows = [ids[valid].tolist() for ids, valid in zip(place.ids.cpu(), place.valid.cpu(), strict=True)]
            self._orders = place, [self._order_of(tuple(row)) for row in rows]
        return self._orders[1]

    def _order_of(self, row: tuple[int, ...]) -> np.ndarray:
        own = self._own(row)
        others = np.setdiff1d(np.arange(len(self._references.prompts)), own)
        if not len(others):
            raise SettingsError("no other text can stand in: all reference texts begin as the text at hand")
        # a row that is known is drawn for by its number, so that it has one stand-in however far it is read
        return np.random.default_rng([self._seed, *([1, own[0]] if own else [0, *row])]).permutation(others)

    def _own(self, row: tuple[int, ...]) -> list[int]:
        """Reference texts that are this row: it goes on from them, or they from it, or they share all of a prompt."""
        texts = self._references.prompts if self._named_by == "encoder" else self._references.texts["main"]
        same = [number for number, text in enumerate(texts) if text[: len(row)] == row[: len(text)]]
        if same:
            return same
        shared = np.array([_common(text, row) for text in texts])
        longest = np.flatnonzero(shared == shared.max())
        alone = len(longest) == 1 and shared.max() >= len(self._references.prompts[longest[0]])
        return [int(longest[0])] if alone else []


def _common(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """Length of the beginning that two texts share."""
    return next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


class _Sums:
    """Sums of a site's heads over tokens, and the vectors themselves where they are kept."""

    def __init__(self, site: Site, vectors: bool) -> None:
        self._site, self._vectors = site, vectors
        self.total = torch.zeros(site.count, site.width, dtype=torch.float64)
        self.count = 0
        self.parts: list[Tensor] = []

    def add(self, heads: Tensor, valid: Tensor) -> None:
        chosen = heads.reshape(*valid.shape, self._site.count, self._site.width)[valid.to(heads.device)].cpu()
        self.total += chosen.sum(0, dtype=torch.float64)
        self.count += len(chosen)
        if self._vectors:
            self.parts.append(chosen)


@contextmanager
def _hearing(subject: Subject, axis: str, kept: dict[Site, _Sums]) -> Iterator[None]:
    with noted_places(subject) as places, ExitStack() as cleanup:

        def hook(sums: _Sums) -> Any:
            def add(_module: nn.Module, args: tuple[Any, ...]) -> None:
                sums.add(args[0].detach(), places[axis].valid)

            return add

        for site, sums in kept.items():
            module = submodule(subject.model, site.module)
            if module is None:
                raise AnatomyError(f"{subject.name}: there is no module {site.module}")
            cleanup.callback(module.register_forward_pre_hook(hook(sums)).remove)
        yield


def _sites(subject: Subject, units: Sequence[str] | None) -> tuple[Site, ...]:
    if units is None:
        return subject.anatomy.select("z_norm")
    where = find_units(subject, units)
    wrong = [site for site in where if site.kind != "head"]
    if wrong:
        raise AnatomyError(f"references are of heads; {wrong[0].module} holds experts")
    return tuple(where)


def _texts(
    subject: Subject, prompts: Sequence[tuple[int, ...]], answers: Tokens | None, sites: tuple[Site, ...]
) -> dict[str, tuple[tuple[int, ...], ...]]:
    """What each stack reads: as in `recordings.follow`, the last token of an answer is never read."""
    if not prompts or not all(prompts):
        raise RecordingError("a reference text needs at least one prompt, and none may be empty")
    if answers is not None and len(answers) != len(prompts):
        raise RecordingError(f"{len(prompts)} prompts do not go with {len(answers)} answers")
    if not subject.is_encoder_decoder:
        return {"main": tuple((*p, *a[:-1]) for p, a in zip(prompts, answers or [()] * len(prompts), strict=True))}
    found: dict[str, tuple[tuple[int, ...], ...]] = {}
    stacks = {site.stack for site in sites}
    if stacks - {"encoder"}:
        if answers is None:
            raise RecordingError(f"{subject.name} is an encoder-decoder: references of its decoder need answers")
        found["main"] = tuple((start_token(subject), *answer[:-1]) for answer in answers)
    if "encoder" in stacks:
        found["encoder"] = tuple(prompts)
    return found


def _refuse_large(subject: Subject, sites: tuple[Site, ...], texts: dict[str, tuple[tuple[int, ...], ...]]) -> None:
    tokens = {name: sum(map(len, rows)) for name, rows in texts.items()}
    size = subject.model.dtype.itemsize
    needed = sum(tokens[_axis(site, subject)] * site.count * site.width * size for site in sites)
    if needed > VECTORS_BYTES:
        raise RecordingError(
            f"the vectors of this reference text take {needed / 2**30:.1f} GiB, more than {VECTORS_BYTES / 2**30:.0f};"
            " take fewer texts, or name the units"
        )

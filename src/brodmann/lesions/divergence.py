"""How far a lesioned model's behaviour is from the intact model's, in nats.

D = mean over t of KL(p_intact(. | x_<t) || p_lesioned(. | x_<t)) with x the intact model's own text, teacher-forced,
over the full vocabulary (Urbina-Rodriguez et al. 2026, arXiv 2601.06851, figure 4a). Log-softmax in float32, the sum
over the vocabulary in float64. It makes no orders and no claims.

The floor is one forward pass per lesion and prompt: the body runs exactly that often, plus once for the intact model.
Lesions share a pass, each with gates of its own, where prompts alone would not fill it. Layers below the first lesioned
one are computed again: a core spreads over most layers, so that keeping their output would save little.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from brodmann.models import Subject
from brodmann.models.silence import Gates, gated
from brodmann.partial import Partial
from brodmann.plain import digest
from brodmann.recordings.drive import Tokens
from brodmann.recordings.likelihood import check_text, final_states, head_logits, vocabulary_size
from brodmann.settings import Signal

INTACT_BYTES = 2 * 2**30
"""Intact log-probabilities of one batch of prompts are kept up to this size, and worked out again beyond it."""
BLOCK_BYTES = 64 * 2**20
"""Logits of one lesion that are held at a time."""
CACHED = 2**18
"""Logits that a CPU sums together: what its cache holds. Whole blocks take six times as long."""

OnPass = Callable[[int, int], None]
"""Called with the (lesion, prompt) pairs that are done, and all of them."""


def divergences(
    subject: Subject,
    prompts: Tokens,
    answers: Tokens,
    lesions: Bool[np.ndarray, "lesion unit"],
    *,
    signal: Signal = "z_norm",
    tokens: int = 4096,
    partial: Partial | None = None,
    on_pass: OnPass | None = None,
) -> Float[np.ndarray, "lesion prompt"]:
    """Divergence of the model's next-token distributions under each of many lesions.

    Parameters
    ----------
    subject
        A model with a language-model head.
    prompts, answers
        Token ids of each prompt and of the text that the intact model gave to it (`recorded_text`).
    lesions : bool array (lesion, unit)
        Which units are removed together (gate 0), over ``subject.anatomy.units(signal)``. Equal rows are run once.
    signal
        ``z_norm`` for heads, ``expert_norm`` for experts.
    tokens
        Positions of one forward pass, padding included; it decides which prompts and lesions share a pass, and so
        changes the last bits.
    partial
        Where finished passes are kept and found again, by content.
    on_pass
        Told after each pass how far it is.

    Returns
    -------
    array (lesion, prompt)
        Mean over the answer's positions, nats, float64. 0 for a lesion of no units, to rounding (below 1e-6).

    Raises
    ------
    RecordingError
        If the model has no language-model head, the text does not fit it, or memory runs out.
    AnatomyError
        If the model has no such units, or the lesions have another number of them.

    Examples
    --------
    >>> import numpy as np
    >>> from brodmann.lesions.divergence import divergences
    >>> from brodmann.models import load
    >>> divergences(load("random:llama"), [[5, 6]], [[7, 8]], np.eye(16, dtype=bool)).shape
    (16, 1)
    """
    check_text(subject, prompts, answers)
    distinct, place = _distinct(lesions)
    found = np.full((len(distinct), len(prompts)), np.nan)
    done, total = 0, found.size
    with gated(subject, None, signal=signal) as gates:
        for rows in prompt_batches(subject, prompts, answers, tokens):
            chosen, said = [prompts[n] for n in rows], [answers[n] for n in rows]
            intact: _Intact | None = None
            together = max(1, tokens // (len(rows) * longest(subject, chosen, said)))
            for first in range(0, len(distinct), together):
                part = distinct[first : first + together]
                key = digest(["divergence", [np.flatnonzero(row).tolist() for row in part], chosen, said, signal])
                kept = None if partial is None else partial.get(key)
                if kept is None:
                    if intact is None:
                        gates.set(None)
                        intact = _Intact(subject, chosen, said)
                    kept = {"nats": intact.divergence(gates, part)}
                    if partial is not None:
                        partial.put(key, kept)
                found[first : first + len(part), rows] = kept["nats"]
                done += kept["nats"].size
                if on_pass is not None:
                    on_pass(done, total)
    return np.asarray(found[place])


def longest(subject: Subject, prompts: Tokens, answers: Tokens) -> int:
    """Positions of the longest row that passes through the layers whose units are removed."""
    if subject.is_encoder_decoder:
        return max(map(len, answers))
    return max(len(prompt) + len(answer) - 1 for prompt, answer in zip(prompts, answers, strict=True))


def prompt_batches(subject: Subject, prompts: Tokens, answers: Tokens, tokens: int) -> list[Int[np.ndarray, " row"]]:
    """Rows that run together: of like length, the longest first, no more than `tokens` positions with padding.

    Rows without an answer have nothing to be compared at and are left out.
    """
    lengths = [longest(subject, [p], [a]) for p, a in zip(prompts, answers, strict=True)]
    order = sorted((n for n in range(len(prompts)) if len(answers[n])), key=lambda n: (-lengths[n], n))
    batches: list[list[int]] = []
    for n in order:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= tokens:
            batches[-1].append(n)
        else:
            batches.append([n])
    return [np.array(batch) for batch in batches]


class _Intact:
    """What the intact model says to a batch of prompts: final hidden states, and log-probabilities where they fit."""

    def __init__(self, subject: Subject, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> None:
        self._subject, self._prompts, self._answers = subject, prompts, answers
        self._length = np.array([len(answer) for answer in answers])
        steps = int(self._length.max())
        valid = np.arange(steps)[None, :] < self._length[:, None]
        self._row = np.nonzero(valid)[0]
        self._valid = torch.from_numpy(valid.ravel())
        states = final_states(subject, prompts, answers).flatten(0, 1)
        self._states = states[self._valid.to(states.device)]
        bytes_each = 4 * vocabulary_size(subject)
        step = max(1, BLOCK_BYTES // bytes_each)
        self._blocks = [slice(n, n + step) for n in range(0, len(self._states), step)]
        fits = len(self._states) * bytes_each <= INTACT_BYTES
        self._kept = [self._log_probabilities(block) for block in self._blocks] if fits else None

    def divergence(self, gates: Gates, lesions: Bool[np.ndarray, "lesion unit"]) -> Float[np.ndarray, "lesion row"]:
        """One forward pass with all of these lesions; mean divergence of each prompt under each."""
        rows = len(self._prompts)
        gates.set(torch.from_numpy(np.repeat(~lesions, rows, axis=0).astype(np.float32)))
        states = final_states(self._subject, [*self._prompts] * len(lesions), [*self._answers] * len(lesions))
        states = states.reshape(len(lesions), -1, states.shape[-1])[:, self._valid.to(states.device)]
        nats = np.empty((len(lesions), len(self._states)))
        for number, block in enumerate(self._blocks):
            target = self._kept[number] if self._kept is not None else self._log_probabilities(block)
            for lesion in range(len(lesions)):
                nats[lesion, block] = _kl(target, head_logits(self._subject, states[lesion, block]))
        sums = np.stack([np.bincount(self._row, weights=each, minlength=rows) for each in nats])
        return np.asarray(sums / self._length)

    def _log_probabilities(self, block: slice) -> Tensor:
        return head_logits(self._subject, self._states[block]).log_softmax(-1)


def _kl(target: Tensor, logits: Tensor) -> np.ndarray:
    """KL(target || softmax(logits)) at each position, from log-probabilities and logits (position, vocab)."""
    rows = max(1, CACHED // logits.shape[-1]) if logits.device.type == "cpu" else len(logits)
    found = []
    for first in range(0, len(logits), rows):
        known = target[first : first + rows]
        each = known - logits[first : first + rows].log_softmax(-1)
        each = each.mul_(known.exp())
        # Apple's GPUs know no double precision
        found.append((each.cpu() if each.device.type == "mps" else each).double().sum(-1))
    return np.asarray(torch.cat(found).cpu().numpy())


def _distinct(lesions: Bool[np.ndarray, "lesion unit"]) -> tuple[np.ndarray, np.ndarray]:
    """Different rows in the order of their first appearance, and which of them each row is."""
    _, first, inverse = np.unique(np.packbits(lesions, axis=1), axis=0, return_index=True, return_inverse=True)
    appearance = np.argsort(first)
    return lesions[first[appearance]], np.argsort(appearance)[inverse.ravel()]

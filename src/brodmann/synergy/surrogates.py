"""What synergy and redundancy come to when units are not coupled: surrogate recordings and the analytic artefact.

Minimum mutual information counts the memory of two *independent* series as persistent synergy, sts = 2 min(i1, i2)
(see the table of finite-sample values in the method's documentation). Every surrogate here keeps each unit's own
memory exactly and breaks only the coupling between units. What the measured value differs by, the excess, is coupling:
above zero coupling that adds synergy, below zero coupling whose shared part (redundancy) takes away from it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from brodmann.errors import RecordingError
from brodmann.stats import derangement
from brodmann.synergy.core import node_means_of_upper
from brodmann.synergy.pairs import over_prompts, pair_atoms
from brodmann.synergy.sparse import contributions
from brodmann.synergy.windows import NON_FINITE, Windows

Kind = Literal["circular_shift", "prompt_mismatch"]

KINDS: tuple[Kind, ...] = ("circular_shift", "prompt_mismatch")


KEPT_NETWORKS = 8
_NETWORK_BYTES = 1 << 29


@dataclass(frozen=True)
class NodeMeans:
    """Mean atom of each unit with all others, prompt by prompt, in nats."""

    synergy: Float[np.ndarray, "*draw prompt unit"]
    redundancy: Float[np.ndarray, "*draw prompt unit"]


@dataclass(frozen=True)
class Surrogates(NodeMeans):
    """Node means of uncoupled surrogates (draw, prompt, unit), and the networks of some of the draws."""

    networks: Float[np.ndarray, "kept two unit unit"]
    """Synergy and redundancy of pairs, averaged over prompts, of the first draws (as many as memory allows)."""


def null_node_means(
    parts: Sequence[Windows],
    kind: Kind,
    draws: int,
    *,
    redundancy: str = "mmi",
    rng: np.random.Generator,
    progress: Callable[[], None] | None = None,
) -> Surrogates:
    """Node synergy and redundancy of uncoupled surrogates.

    Parameters
    ----------
    parts
        Windows of each prompt.
    kind
        ``circular_shift``: each unit's (past, future) samples rotate together by an offset of its own, so its lagged
        information is untouched and its timing relative to others is lost. About two in a hundred pairs draw offsets
        within one sample of each other and stay coupled, which makes the null slightly too high (conservative).
        ``prompt_mismatch``: unit i from one prompt, unit j from another; drift and position effects that prompts share
        stay in the null. Prompts of different length are cut to the shorter.
    draws
        Surrogates of each prompt.
    redundancy
        As in `pairs.pair_atoms`.
    rng
        Source of the offsets and pairings.

    Returns
    -------
    Surrogates
        (draw, prompt, unit). Circular shifts are independent across prompts, so any choice of one draw a prompt is a
        draw of the average over prompts (`recombine`). A derangement uses every prompt exactly twice, which recombined
        draws do not: their spread is too wide, by a factor of about three, so z and p of the mismatch are conservative.

    Raises
    ------
    RecordingError
        If prompts are to be mismatched and there is only one.
    """
    if kind == "prompt_mismatch" and len(parts) < 2:
        raise RecordingError("the prompt-mismatch null needs at least two prompts; record more or use circular shifts")
    units = parts[0].past.shape[0]
    synergy, shared = (np.empty((draws, len(parts), units)) for _ in range(2))
    kept = max(2, min(KEPT_NETWORKS, draws, _NETWORK_BYTES // (16 * units**2)))
    networks = np.zeros((kept, 2, units, units))
    gaps = any((part.flag == NON_FINITE).any() for part in parts)
    known = np.zeros((kept, units, units)) if gaps else np.full((1, 1, 1), len(parts))
    for draw in range(draws):
        partner = derangement(len(parts), rng) if kind == "prompt_mismatch" else None
        pairings = [
            _uncoupled(part, None if partner is None else parts[partner[p]], rng) for p, part in enumerate(parts)
        ]
        found = over_prompts(
            lambda pair: pair_atoms(*pair, redundancy=redundancy, names=("sts", "rtr"), both=False).values, pairings
        )
        for prompt, upper in enumerate(found):
            synergy[draw, prompt], shared[draw, prompt] = node_means_of_upper(upper)
            if draw < kept:
                networks[draw] += np.nan_to_num(upper)
                if gaps:
                    known[draw] += np.isfinite(upper[0])
        if progress is not None:
            progress()
    networks /= np.maximum(known, 1)[:, None]
    networks += np.swapaxes(networks, -1, -2)
    return Surrogates(contributions(synergy), contributions(shared), networks[: min(kept, draws)])


def _uncoupled(part: Windows, other: Windows | None, rng: np.random.Generator) -> tuple[Windows, Windows]:
    if other is not None:
        return _equally_long(part, other)
    moved = part.shifted(rng.integers(0, part.past.shape[1], part.past.shape[0]))
    return moved, moved


def _equally_long(one: Windows, other: Windows) -> tuple[Windows, Windows]:
    samples = min(one.past.shape[1], other.past.shape[1])
    cut = [w if w.past.shape[1] == samples else _cut(w, samples) for w in (one, other)]
    return cut[0], cut[1]


def _cut(w: Windows, samples: int) -> Windows:
    past, future = w.past[:, :samples], w.future[:, :samples]
    if not w.discrete:
        past, future = (
            (v - v.mean(1, keepdim=True)) / v.std(1, keepdim=True).clamp(min=1e-300) for v in (past, future)
        )
    return replace(w, past=past, future=future)


def recombine(
    draws: Float[np.ndarray, "draw prompt unit"],
    samples: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "sample unit"]:
    """Null distribution of the average over prompts: each sample takes one draw of each prompt at random."""
    count, prompts, units = draws.shape
    chosen = rng.integers(0, count, (samples, prompts))
    weights = np.zeros((samples, count * prompts))
    np.put_along_axis(weights, chosen * prompts + np.arange(prompts), 1.0 / prompts, axis=1)
    return np.asarray(weights @ np.nan_to_num(draws.reshape(count * prompts, units)))


def lagged_information(part: Windows) -> Float[np.ndarray, " unit"]:
    """Gaussian information of each unit's past about its own future, ``-0.5 log(1 - r^2)`` nats: its memory."""
    r = autocorrelation(part)
    return np.asarray(-0.5 * np.log(np.maximum((1 - r) * (1 + r), 1e-12)))


def autocorrelation(part: Windows) -> Float[np.ndarray, " unit"]:
    """Correlation of each unit's past with its future window (lag tau); 0 for constant series."""
    past, future = (w.double() - w.double().mean(1, keepdim=True) for w in (part.past, part.future))
    scale = (past.square().sum(1) * future.square().sum(1)).sqrt()
    r = (past * future).sum(1) / scale.clamp(min=1e-300)
    return np.asarray(r.cpu().numpy())


def artefact(memory: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    """Node synergy that MMI gives to independent units with these memories: mean over partners of 2 min(i1, i2).

    Examples
    --------
    >>> artefact(np.array([0.1, 0.3, 0.2])).round(12).tolist()
    [0.2, 0.3, 0.3]
    """
    order = np.argsort(memory)
    smaller_sum = np.cumsum(memory[order]) - memory[order]
    larger = memory.size - 1 - np.arange(memory.size)
    out = np.empty_like(memory)
    out[order] = 2 * (smaller_sum + larger * memory[order]) / max(memory.size - 1, 1)
    return out

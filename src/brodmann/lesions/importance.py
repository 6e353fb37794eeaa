"""How much a loss depends on each unit's gate: the gradient importance of Michel et al. 2019, a rival to the core.

I_h = E_x |dL(x) / d gate_h| at gate 1 (arXiv 1905.10650, equation 2), with L(x) the mean negative log-likelihood of the
recorded answer to prompt x, in nats per token. The paper divides the scores of each layer by their l2 norm (after
Molchanov et al. 2017), and so does the default here. A first-order effect of one unit alone; it removes nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from brodmann.lesions.divergence import BLOCK_BYTES, prompt_batches
from brodmann.models import Subject
from brodmann.models.silence import gated
from brodmann.recordings.drive import Tokens
from brodmann.recordings.likelihood import check_text, final_states, head_logits, vocabulary_size
from brodmann.settings import Signal


def gradient_importance(
    subject: Subject,
    prompts: Tokens,
    answers: Tokens,
    *,
    signal: Signal = "z_norm",
    layer_normalised: bool = True,
    tokens: int = 1024,
    on_pass: Callable[[int, int], None] | None = None,
) -> Float[np.ndarray, " unit"]:
    """Expected absolute gradient of the loss with respect to each unit's gate.

    Parameters
    ----------
    subject, prompts, answers, signal
        As in `divergences`.
    layer_normalised
        Divide the scores of each layer by their l2 norm, as the paper does: every layer then has units at the top.
        Off: raw nats per unit of gate.
    tokens
        Positions of one forward and backward pass; their activations are held.
    on_pass
        Told after each pass how many prompts are done, and all of them.

    Returns
    -------
    array (unit,)
        Over ``subject.anatomy.units(signal)``, not negative.

    Raises
    ------
    RecordingError
        If the model has no language-model head, the text does not fit it, or memory runs out.

    Examples
    --------
    >>> from brodmann.lesions.importance import gradient_importance
    >>> from brodmann.models import load
    >>> scores = gradient_importance(load("random:gpt2"), [[5, 6]], [[7, 8]]).reshape(4, 4)
    >>> (scores**2).sum(1).round(6).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    check_text(subject, prompts, answers)
    table = subject.anatomy.units(signal)
    total, done = np.zeros(len(table)), 0
    with _frozen(subject.model), gated(subject, None, signal=signal) as handle:
        for rows in prompt_batches(subject, prompts, answers, tokens):
            gates = torch.ones(len(rows), len(table), requires_grad=True)
            handle.set(gates)
            _backward(subject, [prompts[n] for n in rows], [answers[n] for n in rows])
            if gates.grad is not None:
                total += gates.grad.abs().sum(0, dtype=torch.float64).numpy()
            done += len(rows)
            if on_pass is not None:
                on_pass(done, len(prompts))
    scores = total / max(1, done)
    return _normalised(scores, table.groupby(["stack", "layer"]).ngroup().to_numpy()) if layer_normalised else scores


def _backward(subject: Subject, prompts: Tokens, answers: Tokens) -> None:
    """Let the summed loss of all rows reach the gates; each row has gates of its own, so they do not mix.

    The head is differentiated block by block down to the final hidden states, which bounds the logits that are held.
    """
    states = final_states(subject, prompts, answers, gradient=True)
    leaf = states.detach().requires_grad_()
    target = torch.zeros(states.shape[:2], dtype=torch.int64)
    weight = torch.zeros(states.shape[:2])
    for row, answer in enumerate(answers):
        target[row, : len(answer)] = torch.tensor(answer)
        weight[row, : len(answer)] = 1 / len(answer)
    target, weight = target.flatten().to(states.device), weight.flatten().to(states.device)
    step = max(1, BLOCK_BYTES // (4 * vocabulary_size(subject)))
    flat = leaf.flatten(0, 1)
    slope = torch.zeros_like(flat)
    for first in range(0, len(flat), step):
        block = slice(first, first + step)
        part = flat[block].detach().requires_grad_()
        with torch.enable_grad():
            nats = nn.functional.cross_entropy(head_logits(subject, part), target[block], reduction="none")
            (slope[block],) = torch.autograd.grad((nats * weight[block]).sum(), part)
    torch.autograd.backward(states, slope.reshape(states.shape))


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """No gradients for the weights meanwhile: only the gates want one."""
    changed = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in changed:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in changed:
            weight.requires_grad_(True)


def _normalised(scores: np.ndarray, group: np.ndarray) -> np.ndarray:
    size = np.sqrt(np.bincount(group, weights=scores**2))[group]
    return np.asarray(np.divide(scores, size, out=np.zeros_like(scores), where=size > 0))

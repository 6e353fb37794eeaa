"""Held-out loss of a checkpoint, per domain: nats per token and bits per byte."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from scripts.series.train import shipped


def held_out_loss(model: Any, rows: dict[str, Tensor], widths: np.ndarray) -> dict[str, dict[str, float]]:
    """Mean loss of the model as it ships (float16), for each domain.

    Parameters
    ----------
    rows
        Held-out tokens of each domain, (row, token); the first token of a row is not predicted.
    widths
        Bytes that each token stands for.

    Returns
    -------
    dict
        ``nats`` (per domain, per token), ``bits_per_byte`` (per domain), ``sample`` (nats on the first row alone).
    """
    rounded = shipped(model)
    nats: dict[str, float] = {}
    bits: dict[str, float] = {}
    sample: dict[str, float] = {}
    for domain, tokens in rows.items():
        each = torch.cat([token_losses(rounded, part) for part in tokens.split(8)])
        covered = float(widths[tokens[:, 1:].numpy()].sum())
        nats[domain] = round(float(each.mean()), 5)
        bits[domain] = round(float(each.sum()) / covered / float(np.log(2)), 5)
        sample[domain] = round(float(each[0].mean()), 5)
    return {"nats": nats, "bits_per_byte": bits, "sample": sample}


@torch.no_grad()
def token_losses(model: Any, tokens: Tensor) -> Tensor:
    """Cross-entropy of each token after the first of its row, (row, token - 1), nats."""
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1].double()
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")


@torch.no_grad()
def expert_use(model: Any, rows: dict[str, Tensor]) -> list[list[float]] | None:
    """Share of held-out tokens that go to each expert, (layer, expert); None where there are no experts."""
    if not hasattr(model.config, "num_experts_per_tok"):
        return None
    tokens = torch.cat(list(rows.values()))
    routed = shipped(model)(input_ids=tokens, use_cache=False, output_router_logits=True).router_logits
    used = []
    for logits in routed:
        chosen = logits.topk(model.config.num_experts_per_tok, dim=-1).indices
        used.append(torch.bincount(chosen.flatten(), minlength=logits.shape[-1]).double() / len(logits))
    return [[round(float(share), 4) for share in layer] for layer in used]

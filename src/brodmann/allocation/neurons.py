"""Density of MLP neurons by what they write: CETT, cumulative errors of tail truncation.

A neuron writes n_i = a_i w_i. Leaving out all that write less than eps makes the relative error
CETT = |sum of the n_i left out| / |sum of all n_i|; the density is the share of neurons that stay, at the largest
common error that raises perplexity on neutral text by no more than a set share (CETT-PPL-1 %; Luo et al. 2024,
"Sparsing Law", arXiv 2411.02335). The sum leaves out the projection's bias; the error is a layer's mean over tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from brodmann.errors import AnatomyError
from brodmann.models import Site, Subject
from brodmann.models.anatomy import submodule
from brodmann.recordings import Heard, drive
from brodmann.recordings.likelihood import answer_log_likelihood

GRID = 48
SAMPLED = 256
READINGS = 8


@dataclass(frozen=True, eq=False)
class Truncation:
    """Thresholds below which a layer's neurons count as inactive."""

    layer: tuple[int, ...]
    threshold: Float[np.ndarray, " layer"]
    """What a neuron writes at least, in the residual stream's units."""
    error: float
    """CETT at these thresholds, the same in all layers."""
    loss: float
    """Share by which perplexity rises when the inactive neurons are left out."""


def tail_error(
    activity: Float[Tensor, "token neuron"],
    weight: Float[Tensor, "d_model neuron"],
    thresholds: Float[Tensor, " threshold"],
) -> Float[Tensor, "threshold token"]:
    """CETT of each token at given thresholds.

    Parameters
    ----------
    activity
        Neurons' activations.
    weight
        Output projection; a column is what a neuron writes when its activation is 1.

    Examples
    --------
    >>> import torch
    >>> activity, weight = torch.tensor([[3.0, 4.0]]), torch.eye(2)
    >>> tail_error(activity, weight, torch.tensor([3.5, 5.0])).tolist()
    [[0.6000000238418579], [1.0]]
    """
    written = activity.abs() * torch.linalg.vector_norm(weight, dim=0)
    whole = torch.linalg.vector_norm(activity @ weight.T, dim=-1).clamp_min(1e-30)
    tails = [torch.linalg.vector_norm((activity * (written < each)) @ weight.T, dim=-1) for each in thresholds]
    errors: Tensor = torch.stack(tails) / whole
    return errors


def neuron_sites(subject: Subject) -> tuple[Site, ...]:
    """Where neurons can be reached; none where the model has no ordinary MLPs or stores them quantised."""
    try:
        sites = subject.anatomy.select("neuron")
    except AnatomyError:
        return ()
    weights = (getattr(submodule(subject.model, site.module), "weight", None) for site in sites)
    fit = all(isinstance(weight, Tensor) and weight.is_floating_point() and not weight.is_meta for weight in weights)
    return sites if fit else ()


def calibrate(
    subject: Subject, texts: Sequence[Sequence[int]], *, loss: float, say: Callable[[float], None] | None = None
) -> Truncation:
    """Find the largest truncation that costs no more than a share of perplexity on given text.

    Parameters
    ----------
    texts
        Neutral text, token ids.
    loss
        Share by which perplexity may rise, such as 0.01.
    """
    sites = neuron_sites(subject)
    grids = _grids(subject, sites, texts)
    norms = {site: _written_per_activation(subject, site) for site in sites}
    whole = _nats_per_token(subject, texts)
    low, high, kept, lost = 0.0, 1.0, np.zeros(len(sites)), 0.0
    for reading in range(READINGS):
        error = (low + high) / 2
        thresholds = np.array([np.interp(error, errors, eps) for eps, errors in grids])
        with truncated(subject, dict(zip(sites, thresholds.tolist(), strict=True)), norms):
            rise = float(np.expm1(_nats_per_token(subject, texts) - whole))
        if rise <= loss:
            low, kept, lost = error, thresholds, rise
        else:
            high = error
        if say is not None:
            say((reading + 1) / READINGS)
    return Truncation(tuple(site.layer for site in sites), kept, low, lost)


@contextmanager
def truncated(subject: Subject, thresholds: dict[Site, float], norms: dict[Site, Tensor]) -> Iterator[None]:
    """Leave out, at each token, the neurons that would write less than their layer's threshold; exact at exit."""
    with ExitStack() as cleanup:
        for site, threshold in thresholds.items():
            cleanup.callback(_module(subject, site).register_forward_pre_hook(_dropper(threshold, norms[site])).remove)
        yield


def _dropper(threshold: float, norm: Tensor) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    def hook(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0] * (args[0].abs() * norm >= threshold), *args[1:])

    return hook


def hear_neurons(
    subject: Subject, ids: Sequence[Sequence[int]], *, context: int, truncation: Truncation
) -> Float[np.ndarray, "text step layer"]:
    """Share of each layer's neurons that are active, at the positions that produce token `context` on."""
    sites = neuron_sites(subject)
    reducer = _ShareReducer(
        [_written_per_activation(subject, site).cpu() for site in sites], torch.tensor(truncation.threshold)
    )
    drive.follow(
        subject, [row[:context] for row in ids], [row[context:] for row in ids], signal="neuron", reducers=[reducer]
    )
    return np.asarray(reducer.finish()["active"].values)


class _ShareReducer:
    """Keeps, for each token and layer, the share of neurons that write at least as much as a threshold."""

    def __init__(self, norms: list[Tensor], thresholds: Tensor) -> None:
        self._norm = torch.cat(norms).float()
        self._sizes = [len(each) for each in norms]
        self._threshold = torch.repeat_interleave(thresholds.float(), torch.tensor(self._sizes))
        self._active = np.empty((0, 0, 0), np.float32)

    def start(self, units: pd.DataFrame, rows: int, tokens: int) -> None:  # noqa: ARG002 (layers are kept, not units)
        self._active = np.full((rows, tokens, len(self._sizes)), np.nan, np.float32)

    def feed(self, heard: Heard) -> None:
        rows, tokens = heard.valid.shape
        strong = heard.values.abs() * self._norm >= self._threshold
        share = torch.stack([each.float().mean(-1) for each in torch.split(strong, self._sizes, dim=-1)], dim=-1)
        where = (slice(heard.row, heard.row + rows), slice(heard.first, heard.first + tokens))
        self._active[where] = np.where(heard.valid[..., None].numpy(), share.numpy(), np.nan)

    def finish(self) -> xr.Dataset:
        return xr.Dataset({"active": (("row", "token", "layer"), self._active)})


class _SampleReducer:
    """Keeps the activations of some tokens, evenly spread."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._kept: list[Tensor] = []

    def start(self, units: pd.DataFrame, rows: int, tokens: int) -> None:
        pass

    def feed(self, heard: Heard) -> None:
        self._kept.append(heard.values[heard.valid][:: self._every].clone())

    def finish(self) -> xr.Dataset:
        return xr.Dataset({"activity": (("token", "unit"), torch.cat(self._kept).numpy())})


def _grids(
    subject: Subject, sites: tuple[Site, ...], texts: Sequence[Sequence[int]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each site a rising grid of thresholds and the mean CETT at each."""
    sample = _SampleReducer(max(1, sum(map(len, texts)) // SAMPLED))
    drive.read(subject, texts, signal="neuron", reducers=[sample])
    heard = torch.from_numpy(sample.finish()["activity"].values)
    activity = torch.split(heard, [site.count for site in sites], dim=-1)
    grids = []
    for site, values in zip(sites, activity, strict=True):
        weight = _weight(subject, site)
        values = values.to(weight)
        written = (values.abs() * torch.linalg.vector_norm(weight, dim=0)).flatten()
        # quantiles of a sample: torch's own has a limit of 16 million values
        ordered = written[:: max(1, written.numel() // 2**20)].sort().values
        places = torch.linspace(0, 1, GRID, device=ordered.device) * (len(ordered) - 1)
        eps = ordered[places.long()]
        errors = tail_error(values, weight, eps).mean(-1)
        grids.append((eps.cpu().double().numpy(), np.maximum.accumulate(errors.cpu().double().numpy())))
    return grids


def _nats_per_token(subject: Subject, texts: Sequence[Sequence[int]]) -> float:
    return -float(np.nanmean(answer_log_likelihood(subject, [row[:1] for row in texts], [row[1:] for row in texts])))


def _weight(subject: Subject, site: Site) -> Float[Tensor, "d_model neuron"]:
    module = _module(subject, site)
    weight: Tensor = module.weight.detach().float()  # type: ignore[operator]
    return weight.T if hasattr(module, "nf") else weight  # Conv1D keeps (in, out)


def _written_per_activation(subject: Subject, site: Site) -> Float[Tensor, " neuron"]:
    norm: Tensor = torch.linalg.vector_norm(_weight(subject, site), dim=0)
    return norm


def _module(subject: Subject, site: Site) -> nn.Module:
    module = submodule(subject.model, site.module)
    if module is None:
        raise AnatomyError(f"{subject.name}: there is no module {site.module}")
    return module

"""Zero lesions: switching single heads or experts off, exactly, while a context lasts."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from brodmann.errors import AnatomyError
from brodmann.models.anatomy import Site, submodule, unit_table
from brodmann.models.subject import Subject


@contextmanager
def lesion(subject: Subject, units: Sequence[str]) -> Iterator[None]:
    """Silence units: what a head or a routed expert would write is zero.

    A head's slice of the output projection's input is zeroed (the projection's bias stays). A routed expert's gate
    value is zeroed after the router's choice, so the other experts keep theirs. The weights are not touched.

    Parameters
    ----------
    subject
        The opened model.
    units
        Unit ids: ``L12H3``, ``L12E7``, in encoder-decoder models ``cross.L0H3``.

    Raises
    ------
    AnatomyError
        If a unit does not exist or is of a kind that cannot be silenced here.

    Examples
    --------
    >>> import torch
    >>> from brodmann.models import lesion, load
    >>> subject = load("random:gpt2")
    >>> with lesion(subject, ["L0H1"]):
    ...     damaged = subject.model(torch.tensor([[5, 6, 7]])).logits
    """
    where = _find(subject, units)
    with ExitStack() as cleanup:
        for site, indices in where.items():
            module = submodule(subject.model, site.module)
            if module is None:
                raise AnatomyError(f"{subject.name}: there is no module {site.module}")
            if site.kind == "head":
                cleanup.callback(module.register_forward_pre_hook(_silence_heads(site, indices)).remove)
                continue
            routed = [index for index in indices if not (site.shared and index == site.count - 1)]
            cleanup.callback(module.register_forward_pre_hook(_silence_experts(routed)).remove)
            shared = submodule(subject.model, site.shared) if len(routed) < len(indices) else None
            if shared is not None:
                cleanup.callback(shared.register_forward_hook(lambda _m, _a, output: torch.zeros_like(output)).remove)
        yield


def _find(subject: Subject, units: Sequence[str]) -> dict[Site, list[int]]:
    if isinstance(units, str):
        raise AnatomyError(f"units to lesion are a list of ids, not the one string '{units}'")
    sites = [site for site in subject.anatomy.sites if site.kind in ("head", "expert")]
    known = {unit: (site, index) for site in sites for index, unit in enumerate(unit_table((site,))["unit"])}
    missing = [unit for unit in units if unit not in known]
    if missing:
        raise AnatomyError(f"{subject.name} has no head or expert '{missing[0]}' (ids look like {next(iter(known))})")
    where: dict[Site, list[int]] = {}
    for unit in units:
        site, index = known[unit]
        where.setdefault(site, []).append(index)
    return where


def _silence_heads(site: Site, indices: list[int]) -> Any:
    def hook(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        heads = args[0].unflatten(-1, (site.count, site.width)).clone()
        heads[..., indices, :] = 0
        return (heads.flatten(-2), *args[1:])

    return hook


def _silence_experts(indices: list[int]) -> Any:
    def hook(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, index, weight = args
        chosen: Tensor = torch.isin(index, torch.tensor(indices, device=index.device, dtype=index.dtype))
        return hidden, index, weight.masked_fill(chosen, 0.0)

    return hook

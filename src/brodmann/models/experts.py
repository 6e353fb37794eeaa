"""What each routed expert writes, although transformers 5 fuses all experts of a layer into one module.

The library lets anyone register an experts function. Ours hands every call on to the implementation that was in use,
so that the model's numbers do not change by a bit, and reads each expert's output on the way: the library's own
``grouped_mm`` and ``batched_mm`` offer a place for a norm after each expert, and a stand-in for the module puts an ear
there. Other implementations (``eager``, a kernel) leave no such place: there the experts' outputs are computed a second
time for their norms.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS, batched_mm_experts_forward, grouped_mm_experts_forward

from brodmann.errors import AnatomyError
from brodmann.models.anatomy import Site, norms, submodule

Hear = Callable[[Site, Tensor, Tensor | None], None]

_numbers = itertools.count()


class _Ear:
    """Stands in for an experts module and keeps each (token, expert) output before its gate value."""

    has_post_expert_norm = True

    def __init__(self, module: Any) -> None:
        self._module = module
        self.heard: list[Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def post_expert_norm(self, output: Tensor) -> Tensor:
        if getattr(self._module, "has_post_expert_norm", False):
            output = self._module.post_expert_norm(output)
        self.heard.append(norms(output.detach()))
        return output


@contextmanager
def expert_norms(model: PreTrainedModel, sites: tuple[Site, ...], hear: Hear) -> Iterator[None]:
    """Report every expert's norm (routed: times the gate value) while the context lasts.

    ``hear(site, norms, selected)`` gets (token, unit) float32 norms and which units were selected.
    """
    before = model.get_experts_implementation()
    modules: dict[int, Site] = {}
    last_shared: dict[Site, Tensor] = {}
    # The routed and the shared experts run in either order: whoever comes second reports both.
    waiting: dict[Site, tuple[Tensor, Tensor]] = {}

    def report(site: Site) -> None:
        if site.shared:
            if site not in waiting or site not in last_shared:
                return
            norms, selected = waiting.pop(site)
            own = last_shared.pop(site).to(norms.device)
            hear(site, torch.cat([norms, own], -1), torch.cat([selected, torch.ones_like(own, dtype=torch.bool)], -1))
        else:
            hear(site, *waiting.pop(site))

    def shared_hook(site: Site) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, output: Tensor) -> None:
            flat = output.detach().reshape(-1, output.shape[-1])
            last_shared[site] = norms(flat).unsqueeze(-1)
            report(site)

        return hook

    def experts_forward(module: Any, *args: Any, **kwargs: Any) -> Tensor:
        site = modules.get(id(module))
        hidden, index, weight = _arguments(args, kwargs)
        base = _base_of(model, module, before)
        if site is None:
            return _run(base, module, hidden, index, weight)
        if base in ("grouped_mm", "batched_mm"):
            ear = _Ear(module)
            output = _run(base, ear, hidden, index, weight)
            norms = ear.heard[0] if ear.heard else None
            if norms is not None and base == "grouped_mm":  # rows are sorted by expert: the same sort, undone
                order = torch.sort(index.reshape(-1))[1]
                norms = torch.empty_like(norms).index_copy_(0, order, norms)
        else:
            output, norms = _run(base, module, hidden, index, weight), None
        if norms is None:
            norms = _second_pass(module, hidden, index, weight)
        waiting[site] = _spread(norms, index, weight, int(module.num_experts))
        report(site)
        return output

    name = f"brodmann_ear_{next(_numbers)}"
    with ExitStack() as cleanup:
        for site in sites:
            modules[id(submodule(model, site.module))] = site
            shared = submodule(model, site.shared) if site.shared else None
            if shared is not None:
                cleanup.callback(shared.register_forward_hook(shared_hook(site)).remove)
        ALL_EXPERTS_FUNCTIONS.register(name, experts_forward)
        cleanup.callback(ALL_EXPERTS_FUNCTIONS._global_mapping.pop, name, None)
        cleanup.callback(model.set_experts_implementation, before)
        model.set_experts_implementation(name)
        yield


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    given = [*args, *kwargs.values()]
    if len(given) != 3:
        raise AnatomyError(f"an experts module was called with {len(given)} arguments instead of 3")
    return given[0], given[1], given[2]


def _base_of(model: PreTrainedModel, module: Any, before: dict[str, str | None]) -> str | None:
    # A text model inside a larger one may have been given its own implementation.
    for part, implementation in before.items():
        if part and getattr(model.config, part, None) is module.config:
            return implementation
    return before[""]


def _run(base: str | None, module: Any, hidden: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    forward: Callable[..., Tensor]
    if base == "grouped_mm":
        forward = grouped_mm_experts_forward
    elif base == "batched_mm":
        forward = batched_mm_experts_forward
    else:
        forward = ALL_EXPERTS_FUNCTIONS.get_interface(base, type(module).forward.__wrapped__)
    return forward(module, hidden, index, weight)


def _second_pass(module: Any, hidden: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    ear = _Ear(module)
    with torch.no_grad():
        batched_mm_experts_forward(ear, hidden, index, weight)
    if not ear.heard:
        raise AnatomyError(f"{type(module).__name__}: this version of transformers gives no place to hear experts")
    return ear.heard[0]


def _spread(norms: Tensor, index: Tensor, weight: Tensor, experts: int) -> tuple[Tensor, Tensor]:
    # (token * top_k,) norms before the gate -> (token, expert) norms after it.
    gated = norms.reshape(index.shape) * weight.detach().to(torch.float32).abs()
    spread = torch.zeros(index.shape[0], experts, dtype=torch.float32, device=gated.device)
    selected = torch.zeros_like(spread, dtype=torch.bool)
    return spread.scatter_(1, index, gated), selected.scatter_(1, index, True)

"""Which numbers of which matrix belong to a head or an expert, for every layout of attention.

The table of layouts is in `layouts.py`; grouped queries are read from the shapes. The tests prove each
line: changing a head's query rows changes that head's signal alone, and zeroing its output columns is its lesion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from brodmann.errors import AnatomyError
from brodmann.models.anatomy import Site, submodule, unit_table
from brodmann.models.layouts import CROSS, LAYOUTS, Layout
from brodmann.models.silence import find_units
from brodmann.models.subject import Subject


@dataclass(frozen=True, eq=False)
class WeightSlice:
    """Some rows, columns or entries of one parameter."""

    parameter_name: str
    """Name in ``model.named_parameters()``."""
    dim: int
    """Axis that `index` counts along."""
    index: Int64[Tensor, " entry"]

    def parameter(self, model: nn.Module) -> nn.Parameter:
        """Parameter, all of it.

        Raises
        ------
        AnatomyError
            If it is stored quantised or is elsewhere, so that it has no numbers that could be read or changed.
        """
        path, _, name = self.parameter_name.rpartition(".")
        weight = getattr(submodule(model, path), name, None)
        if not isinstance(weight, nn.Parameter) or not weight.is_floating_point() or weight.element_size() < 2:
            kept = f"as {weight.dtype}" if isinstance(weight, Tensor) else "in another form"
            raise AnatomyError(f"{self.parameter_name}: the weights are quantised (kept {kept}), not plain numbers")
        if weight.is_meta:
            raise AnatomyError(f"{self.parameter_name}: the weights are not on a device; open the model with one")
        return weight

    def read(self, model: nn.Module) -> Tensor:
        """Copy of the slice."""
        weight = self.parameter(model).detach()
        return weight.index_select(self.dim, self.index.to(weight.device))


@dataclass(frozen=True)
class HeadWeights:
    """Weights of one attention head.

    ``key`` and ``value`` are shared by all heads of ``group``. In latent attention (MLA) ``query`` and ``key`` count
    behind the latent, and ``key`` lacks the rotary part, which all heads share. The output's bias belongs to no head.
    Norms of queries and keys are shared and never listed; in OLMo 2 and OLMoE one norm spans all queries of a layer, so
    that a larger query of one head makes those of the others smaller.
    """

    query: WeightSlice
    key: WeightSlice
    value: WeightSlice
    output: WeightSlice
    query_bias: WeightSlice | None
    key_bias: WeightSlice | None
    value_bias: WeightSlice | None
    group: tuple[str, ...]
    """Units that share key and value, this one among them."""


def head_weights(subject: Subject, unit: str) -> HeadWeights:
    """Where the weights of one head are.

    Parameters
    ----------
    subject
        The opened model.
    unit
        Id of a head: ``L12H3``, ``cross.L0H3``.

    Raises
    ------
    AnatomyError
        If there is no such head, or the layout of its attention is unknown.

    Examples
    --------
    >>> from brodmann.models import load
    >>> from brodmann.models.weights import head_weights
    >>> found = head_weights(load("random:gpt_neox"), "L0H1")
    >>> found.query.parameter_name, found.query.index[[0, -1]].tolist(), found.output.index[[0, -1]].tolist()
    ('gpt_neox.layers.0.attention.query_key_value.weight', [24, 31], [8, 15])
    """
    ((site, (index,)),) = find_units(subject, [unit]).items()
    if site.kind != "head":
        raise AnatomyError(f"{unit} is an expert, not a head")
    return weights_at(subject, site, [index])[0]


def weights_at(subject: Subject, site: Site, heads: Sequence[int]) -> list[HeadWeights]:
    """Weights of some heads of one layer, as `head_weights`."""
    layout, where = _layout(subject, site)
    rows = _rows(subject, site, layout, where)
    ids = list(unit_table((site,))["unit"])
    output = _linear(subject, site.module)
    found = []
    for head in heads:
        group = head // rows.heads_per_group
        columns = torch.arange(head * site.width, (head + 1) * site.width)
        query, key, value = rows.query[head], rows.key[group], rows.value[group]
        found.append(
            HeadWeights(
                _slice(subject, f"{where}.{layout.query}", query),
                _slice(subject, f"{where}.{layout.key}", key),
                _slice(subject, f"{where}.{layout.value}", value),
                WeightSlice(f"{site.module}.weight", 0 if _transposed(output) else 1, columns),
                _bias(subject, f"{where}.{layout.query}", query),
                _bias(subject, f"{where}.{layout.key}", key),
                _bias(subject, f"{where}.{layout.value}", value),
                tuple(ids[group * rows.heads_per_group : (group + 1) * rows.heads_per_group]),
            )
        )
    return found


def expert_weights(subject: Subject, unit: str) -> tuple[WeightSlice, ...]:
    """Where all parameters of one expert are: slices of the layer's fused ones, or all of the shared experts'.

    Raises
    ------
    AnatomyError
        If there is no such expert.
    """
    ((site, (index,)),) = find_units(subject, [unit]).items()
    if site.kind != "expert":
        raise AnatomyError(f"{unit} is a head, not an expert")
    shared = bool(site.shared) and index == site.count - 1
    path = site.shared if shared else site.module
    module = submodule(subject.model, path)
    if module is None:
        raise AnatomyError(f"{subject.name}: there is no module {path}")
    found = []
    for name, parameter in module.named_parameters():
        where = torch.arange(len(parameter)) if shared else torch.tensor([index])
        if not shared and len(parameter) != site.count - bool(site.shared):
            raise AnatomyError(f"{path}.{name}: its first axis does not count the experts")
        found.append(WeightSlice(f"{path}.{name}", 0, where))
    return tuple(found)


def _layout(subject: Subject, site: Site) -> tuple[Layout, str]:
    """Layout of the attention at a site, and the path of its layer."""
    own = "decoder" if site.stack == "cross" else site.stack
    where = next(
        each.module
        for each in subject.anatomy.sites
        if each.kind == "residual" and each.stack == own and each.layer == site.layer
    )
    config = getattr(subject.model.config, "text_config", None) or subject.model.config
    table = CROSS if site.stack == "cross" else LAYOUTS
    # A model opened by a spec: three matrices beside the projection can only be one layout, a fused one could be many.
    spare = [each for layouts in table.values() for each in layouts if each.order == "separate"]
    layer = submodule(subject.model, where)
    for layout in table.get(config.model_type, spare):
        parts = [submodule(layer, path) for path in (layout.query, layout.key, layout.value)] if layer else [None]
        if None not in parts and (config.model_type in table or _beside(f"{where}.{layout.query}", site.module)):
            return layout, where
    raise AnatomyError(
        f"{where} ({config.model_type}): where its heads keep queries, keys and values is unknown; see LAYOUTS"
    )


def _beside(query: str, projection: str) -> bool:
    return query.rpartition(".")[0] == projection.rpartition(".")[0]


@dataclass(frozen=True)
class _Rows:
    """Rows of queries (head, width), of keys and of values (group, width)."""

    query: Int64[Tensor, "head query_width"]
    key: Int64[Tensor, "group key_width"]
    value: Int64[Tensor, "group value_width"]

    @property
    def heads_per_group(self) -> int:
        return len(self.query) // len(self.key)


def _rows(subject: Subject, site: Site, layout: Layout, where: str) -> _Rows:
    heads, width = site.count, site.width
    outputs = {path: _outputs(subject, f"{where}.{path}") for path in (layout.query, layout.key, layout.value)}
    total = outputs[layout.query]
    query, groups = total // heads, 0
    if layout.order == "latent":
        both = torch.arange(outputs[layout.key]).reshape(heads, -1)
        found = _Rows(torch.arange(total).reshape(heads, -1), both[:, :-width], both[:, -width:])
    elif layout.order == "separate":
        groups = outputs[layout.value] // width
        found = _Rows(*(torch.arange(outputs[path]).reshape(-1, size) for path, size in (
            (layout.query, query), (layout.key, outputs[layout.key] // max(groups, 1)), (layout.value, width)
        )))  # fmt: skip
    else:
        groups = (total // width - heads) // 2
        if groups < 1 or (heads + 2 * groups) * width != total:
            raise AnatomyError(f"{where}.{layout.query}: {total} outputs do not divide into {heads} heads of {width}")
        rows = torch.arange(total)
        if layout.order == "blocks":
            each = rows.reshape(-1, width)
            found = _Rows(each[:heads], each[heads : heads + groups], each[heads + groups :])
        else:
            grouped = rows.reshape(groups, -1, width)
            found = _Rows(grouped[:, :-2].reshape(heads, width), grouped[:, -2], grouped[:, -1])
    if len(found.query) != heads or len(found.key) != len(found.value) or heads % len(found.key):
        raise AnatomyError(f"{where}: {heads} heads do not share {len(found.key)} keys evenly")
    return found


def _linear(subject: Subject, path: str) -> Any:
    module = submodule(subject.model, path)
    if module is None:
        raise AnatomyError(f"{subject.name}: there is no module {path}")
    return module


def _transposed(module: Any) -> bool:
    return hasattr(module, "nf")  # transformers' Conv1D keeps (in, out)


def _outputs(subject: Subject, path: str) -> int:
    module = _linear(subject, path)
    width = getattr(module, "out_features", getattr(module, "nf", None))
    if not isinstance(width, int):
        raise AnatomyError(f"{path} is a {type(module).__name__}, not a linear map")
    return width


def _slice(subject: Subject, path: str, rows: Tensor) -> WeightSlice:
    return WeightSlice(f"{path}.weight", 1 if _transposed(_linear(subject, path)) else 0, rows.clone())


def _bias(subject: Subject, path: str, rows: Tensor) -> WeightSlice | None:
    if not isinstance(getattr(_linear(subject, path), "bias", None), Tensor):
        return None
    return WeightSlice(f"{path}.bias", 0, rows.clone())

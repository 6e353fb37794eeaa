"""Figures for experts: which of them carry synergy, how often the router chose them, and whether the two go together.

Draws what the study stored about all recorded experts, those without a rank included; computes nothing.
"""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.page import Panel
from brodmann.plotting import has, keyed, layout, text_number

_LEAST, _MOST, _CROSS = 4.0, 16.0, 7.0  # diameters in pixels
_RARE = "chosen too rarely to be ranked"


def expert_map(dataset: xr.Dataset) -> Panel | None:
    """Layer by expert: colour is rank, area the share of tokens; a grey cross where too little was heard."""
    if not _known(dataset):
        return None
    share, ranked, rank = _of_all(dataset)
    names = [str(name) for name in dataset["recorded"].values]
    layers, index = dataset["recorded_layer"].values.astype(int), dataset["recorded_index"].values.astype(int)
    rows = int(index.max()) + 1
    row_height = float(np.clip(900.0 / rows, 7.0, 22.0))
    largest = min(_MOST, 0.9 * row_height, 800.0 / len(np.unique(layers)))
    size = np.maximum(_LEAST, largest * np.sqrt(share / max(float(share.max()), 1e-12)))
    filled = {
        "color": [look.rank_colour(float(r)) for r in rank[ranked]], "size": np.round(size[ranked], 1).tolist(),
        "line": {"color": look.INK_2, "width": 0.6},
    }  # fmt: skip
    cross = {"symbol": "x-thin", "size": min(_CROSS, 0.6 * row_height), "color": look.INK_2,
             "line": {"color": look.INK_2, "width": 1.1}}  # fmt: skip
    tips = [_tip(dataset, i, name, float(share[i]), float(rank[i])) for i, name in enumerate(names)]
    traces = [
        {
            "type": "scatter", "mode": "markers", "x": layers[some].tolist(), "y": index[some].tolist(),
            "marker": marker, "hovertext": [tips[i] for i in np.flatnonzero(some)], "name": name,
            "ids": [names[i] for i in np.flatnonzero(some)], **more,
        }
        for some, marker, name, more in (
            (ranked, filled, "experts", {"meta": {"ramp": "rank"}} if ranked.any() else {}),
            (~ranked, cross, _RARE, {}),
        )
        if some.any()
    ]  # fmt: skip
    low, high = int(layers.min()), int(layers.max())
    step = max(1, -(-(high - low + 1) // 15))
    xs = {"title": "layer", "range": [low - 0.6, high + 0.6], "tickvals": list(range(low, high + 1, step))}
    tall = max(1, -(-rows // 12))
    ys = {"title": "expert", "range": [rows - 0.3, -0.7], "tickvals": list(range(0, rows, tall))}
    out = int((~ranked).sum())
    notes = [keyed(_RARE)] if out else []
    most = int(share.argmax())
    left = f"{out} of {len(names)} experts were chosen too rarely to be ranked" if out else (
        f"All {len(names)} experts were chosen often enough to be ranked"
    )  # fmt: skip
    title = f"{left}; {names[most]} was chosen most, at {share[most]:.0%} of tokens."
    return Panel(
        "experts", title,
        {"data": traces, "layout": layout(xs, ys, annotations=notes, height=int(90 + rows * row_height))},
        how_to_read="One dot per expert. Its colour is the synergy-redundancy rank it has on the plate, its area the "
        "share of tokens at which the router chose it. Crosses have no rank: too little was heard of them. Shared "
        "experts, which see every token, are the last of their layer.",
        description=f"Dots by layer and expert. {title}",
        detail=_rule(dataset),
    )  # fmt: skip


def use(dataset: xr.Dataset) -> Panel | None:
    """Rank against the share of tokens, for those that have one."""
    if not _known(dataset) or not has(dataset, "rank"):
        return None
    share, ranked, rank = _of_all(dataset)
    related = float(dataset.attrs.get("use_correlation", float("nan")))
    names = [str(name) for name in dataset["recorded"].values[ranked]]
    values = [(float(s), float(r)) for s, r in zip(share[ranked], rank[ranked], strict=True)]
    marker: dict[str, Any] = {"color": [look.rank_colour(r) for _, r in values], "size": 8}
    trace = {
        "type": "scatter", "mode": "markers", "x": [s for s, _ in values], "y": [r for _, r in values], "ids": names,
        "marker": marker | {"line": {"color": look.INK_2, "width": 0.6}}, "name": "experts",
        "hovertext": [f"{n}\nchosen at {s:.1%} of tokens\nrank {text_number(r)}" for n, (s, r) in
                      zip(names, values, strict=True)],
    }  # fmt: skip
    xs = {"title": "share of tokens at which the expert was chosen", "rangemode": "tozero"}
    told = f"has a rank correlation of {text_number(related)} with" if np.isfinite(related) else "cannot be related to"
    title = f"An expert's rank {told} how often it was chosen."
    return Panel(
        "experts-use", title,
        {"data": [trace], "layout": layout(xs, {"title": "rank, scaled 0 to 1", "range": [-0.04, 1.04]}, height=340)},
        how_to_read="One dot per ranked expert. Where the dots rise or fall together, the ranking says as much about "
        "routing as about synergy.",
        description=f"Scatter plot of {len(names)} experts. {title}",
    )  # fmt: skip


def _known(dataset: xr.Dataset) -> bool:
    kinds = dataset["recorded_kind"].values.tolist() if "recorded_kind" in dataset.coords else []
    return has(dataset, "recorded_share") and set(kinds) == {"expert"}


def _of_all(dataset: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share, whether ranked, and rank of all recorded units."""
    names = dataset["recorded"].values
    rank = np.full(len(names), np.nan)
    if "rank" in dataset:
        kept = dataset["rank"].sel(definition="rank_of_difference")
        rank = kept.reindex(unit=names).values.astype(float)
    return dataset["recorded_share"].values.astype(float), dataset["ranked"].values.astype(bool), rank


def _tip(dataset: xr.Dataset, i: int, name: str, share: float, rank: float) -> str:
    heard = f"{int(dataset['usable_prompts'].values[i])} of {int(dataset.attrs['prompts'])} prompts usable"
    told = f"rank {text_number(rank)}" if np.isfinite(rank) else "no rank"
    return f"{name}\nchosen at {share:.1%} of tokens\n{heard}\n{told}"


def _rule(dataset: xr.Dataset) -> str:
    return (
        f"A prompt says something about an expert that was chosen at {int(dataset.attrs['min_active'])} of its tokens "
        f"or more; an expert is ranked when such prompts hold {int(dataset.attrs['min_effective'])} effective samples, "
        "(sum of squared deviations)² / (sum of their squares), and are not too few."
    )

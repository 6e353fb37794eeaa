"""Network figures of the synergy chapter: the strongest links as arcs, and graph measures against their nulls."""

from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.page import Panel
from brodmann.plotting import has, heading, layout, note, text_number

_MOST = 4000  # arcs per network that an eye and a page can take
_LAYERS_OF_INK = 24
_WEIGHTINGS = {"raw": "raw weights", "normalised": "divided by the mean", "density_10": "strongest tenth"}
_NULLS = {"weight_permuted": "any links", "layer_preserving": "same layers"}


def _ink(a: np.ndarray, b: np.ndarray, lift: np.ndarray, colour: str) -> list[dict[str, Any]]:
    """Arcs from unit a to unit b in several faint paths: one path does not darken where it crosses itself."""
    ends = zip(a.tolist(), b.tolist(), lift.tolist(), strict=True)
    arc = [f"M{i},0C{i},{h:.3f} {j},{h:.3f} {j},0" for i, j, h in ends]
    style = {
        "type": "path", "xref": "x", "yref": "y", "layer": "below", "line": {"color": colour, "width": 0.7},
        "opacity": round(min(0.55, 0.16 * max(1.0, 3600 / len(arc)) ** 0.5), 2),
    }  # fmt: skip
    return [style | {"path": "".join(arc[k::_LAYERS_OF_INK])} for k in range(min(len(arc), _LAYERS_OF_INK))]


def arcs(dataset: xr.Dataset, layer: np.ndarray) -> Panel | None:
    """The strongest tenth of both networks, units in order of layer: synergy above, redundancy below."""
    if not has(dataset, "synergy") or not has(dataset, "redundancy"):
        return None
    count = len(layer)
    rows, columns = np.triu_indices(count, 1)
    kept = min(_MOST, max(1, len(rows) // 10))
    shapes: list[dict[str, Any]] = []
    spans: list[float] = []
    tops: list[float] = []
    for name, side, colour in (("synergy", 1.0, look.SYNERGY), ("redundancy", -1.0, look.REDUNDANCY)):
        weights = np.nan_to_num(dataset[name].values[rows, columns], nan=-np.inf)
        strongest = np.argpartition(weights, -kept)[-kept:]
        strongest = strongest[np.lexsort((columns[strongest], rows[strongest]))]
        a, b = rows[strongest], columns[strongest]
        spans += [float(np.mean(np.abs(layer[b] - layer[a])))]
        lift = side * (b - a) / count * 1.22
        tops += [0.75 * float(lift[np.argmax(np.abs(lift))])]
        shapes += _ink(a, b, lift, colour)
    rank = (
        dataset["rank"].sel(definition="rank_of_difference").values if has(dataset, "rank") else np.full(count, np.nan)
    )
    names = [str(unit) for unit in dataset["unit"].values]
    dots = {
        "type": "scatter", "mode": "markers", "x": list(range(count)), "y": [0.0] * count, "name": "units",
        "marker": {"color": [look.rank_colour(float(r)) for r in rank], "size": 20, "symbol": "line-ns",
                   "line": {"width": max(1.0, min(4.0, 800 / count))}},
        "hovertext": names, "ids": names,
    }  # fmt: skip
    _, starts = np.unique(layer, return_index=True)
    step = max(1, len(starts) // 10)
    xs = {"title": "units in order of layer", "range": [-1, count], "tickvals": starts[::step].tolist(),
          "ticktext": [f"L{int(layer[s])}" for s in starts[::step]]}  # fmt: skip
    room = 0.06 * (tops[0] - tops[1])
    ys = {"title": "", "range": [tops[1] - room, tops[0] + room], "tickvals": [], "ticktext": [], "visible": False}
    notes = [note(0.0, tops[0], "synergy", anchor="left", colour=look.SYNERGY)]
    notes += [note(0.0, tops[1], "redundancy", anchor="left", colour=look.REDUNDANCY)]
    share = "strongest tenth of links" if kept < _MOST else f"{kept:,} strongest of {len(rows):,} links"
    chance = float(np.mean(np.abs(layer[columns] - layer[rows])))
    title = (
        f"The {share}: synergy spans {text_number(spans[0])} layers on average, redundancy {text_number(spans[1])}; "
        f"all pairs together span {text_number(chance)}."
    )
    return Panel(
        "network", title,
        {"data": [dots], "layout": layout(xs, ys, annotations=notes, shapes=shapes, height=520)},
        how_to_read="Units lie on the line in order of layer, in their colour on the plate. Each arc is one pair of "
        "units; wide arcs join distant layers.",
        description=f"Arc diagram. {title}",
        detail="The same number of links is drawn on both sides, so the two halves differ in where links go, not in "
        "how many or how strong they are.",
    )  # fmt: skip


def measure(dataset: xr.Dataset, name: str) -> Panel | None:
    """Global efficiency or modularity of both networks, each value against its null graphs."""
    if not has(dataset, name):
        return None
    values, nulls = dataset[name], dataset.get(f"{name}_null")
    weightings = [str(w) for w in dataset["weighting"].values]
    rows = [(net, null) for net in ("synergy", "redundancy") for null in _NULLS]
    traces, notes = [], []
    ratios: dict[str, float] = {}
    for k, weighting in enumerate(weightings):
        axis = str(k + 1) if k else ""
        notes += [heading(_WEIGHTINGS.get(weighting, weighting), axis)]
        for y, (net, null) in enumerate(reversed(rows)):
            value = float(values.sel(network=net, weighting=weighting))
            if nulls is not None and null in nulls["graph_null"].values:
                draws = nulls.sel(network=net, weighting=weighting, graph_null=null).values
                draws = draws[np.isfinite(draws)]
                traces += [{
                    "type": "scatter", "mode": "markers", "x": draws.tolist(), "y": [float(y)] * len(draws),
                    "marker": {"symbol": "line-ns", "size": 16, "color": look.NULL, "opacity": 0.45,
                               "line": {"width": 1}},
                    "xaxis": f"x{axis}", "yaxis": f"y{axis}", "name": "null", "hoverinfo": "skip",
                }]  # fmt: skip
                if weighting == weightings[-1] and null == "layer_preserving" and len(draws) and draws.mean() != 0:
                    ratios[net] = value / float(draws.mean())
            colour = look.SYNERGY if net == "synergy" else look.REDUNDANCY
            traces += [{
                "type": "scatter", "mode": "markers", "x": [value], "y": [float(y)], "name": net,
                "marker": {"size": 11, "color": colour}, "xaxis": f"x{axis}", "yaxis": f"y{axis}",
                "hovertext": [f"{net}, {_WEIGHTINGS.get(weighting, weighting)}\n{name} {text_number(value)}"],
            }]  # fmt: skip
    words = [f"{net}, {_NULLS[null]}" for net, null in reversed(rows)]  # from bottom to top
    figure = layout({"title": _TITLES[name]}, {"range": [-0.6, 3.6], "tickvals": [0, 1, 2, 3], "ticktext": words},
                    columns=len(weightings), annotations=notes, height=290)  # fmt: skip
    for k in range(1, len(weightings)):
        figure[f"yaxis{k + 1}"] |= {"showticklabels": False}
    last = _WEIGHTINGS.get(weightings[-1], weightings[-1])
    title = f"{_TITLES[name].capitalize()} of both networks; no null graphs were drawn."
    if len(ratios) == 2:
        title = (
            f"{_TITLES[name].capitalize()} ({last}) is {text_number(ratios['synergy'])} times its null for synergy and "
            f"{text_number(ratios['redundancy'])} times for redundancy, weights exchanged within layers."
        )
    return Panel(
        name, title, {"data": traces, "layout": figure},
        how_to_read="Dots are the measured networks; grey strokes are null graphs, whose weights were exchanged among "
        "any links, or only among links between the same layers. Raw weights make the stronger network look more "
        "efficient whatever its shape, so read the other two columns first. These nulls are about who is linked to "
        "whom; what memory alone does to networks is tested in the findings.",
        description=f"Dot plots with null strokes. {title}",
    )  # fmt: skip


_TITLES = {"efficiency": "global efficiency", "modularity": "modularity"}

"""The synergy chapter: from the study's Dataset to figures (plotly JSON). It draws what is there and computes nothing.

Rank and synergy are warm, redundancy is cool, null models are grey; a line's name stands at its end. Variables that a
study did not produce, or that hold no number, leave out their line or their panel.
"""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.page import Chapter, Panel
from brodmann.plotting import (
    band,
    bounds,
    has,
    heading,
    hline,
    label,
    layout,
    line,
    note,
    p_words,
    quantised,
    text_number,
    vline,
)  # fmt: skip
from brodmann.synergy import figures_experts, figures_text
from brodmann.synergy import figures_network as network

NULLS = {"circular_shift": "circular shift", "prompt_mismatch": "prompt mismatch"}
_DASHES = {"circular_shift": "dot", "prompt_mismatch": None}
DEFINITIONS = {"rank_of_difference": "rank of difference", "difference_of_ranks": "difference of ranks"}
ZONES = ("early", "middle", "late")
_FINEST = 512  # rows of a drawn matrix; larger ones are shown in blocks


def chapter(dataset: xr.Dataset, recording: xr.Dataset) -> Chapter:
    """Draw the synergy study.

    Parameters
    ----------
    dataset : xarray.Dataset
        What `brodmann.synergy.study` returned, or the same read from a store.
    recording : xarray.Dataset
        The recording it was computed from; gives each unit's layer.
    """
    provenance = json.loads(str(dataset.attrs.get("provenance", "{}")))
    suffix = " (randomly initialised)." if provenance.get("randomly_initialised") else "."
    # The study may leave units out (its first layer, silent experts), so their layers are looked up by name.
    ranked: Any = dataset["unit"].values if "unit" in dataset.coords else []
    layer = np.asarray(recording["layer"].sel(unit=ranked).values)
    drawn = (
        figures_experts.expert_map(dataset),
        figures_experts.use(dataset),
        profile(dataset),
        nats(dataset),
        random(dataset),
        matrices(dataset, layer),
        network.arcs(dataset, layer),
        zones(dataset),
        units(dataset, layer),
        network.measure(dataset, "efficiency"),
        network.measure(dataset, "modularity"),
    )
    panels = tuple(
        Panel(p.name, p.title.removesuffix(".") + suffix, p.figure, p.how_to_read, p.description, p.detail)
        for p in drawn
        if p
    )
    return Chapter(
        name="synergy",
        title="The synergistic core",
        question="Where does the model hold information that no unit carries alone?",
        summary=figures_text.summary(dataset, recording),
        panels=panels,
        unit_columns=figures_text.columns(dataset),
        citations=figures_text.citations(dataset),
        readings=figures_text.readings(dataset, recording),
    )


def profile(dataset: xr.Dataset) -> Panel | None:
    """Both ranks by layer with their rival and nulls, all on one axis from 0 to 1."""
    if not has(dataset, "profile"):
        return None
    depth = _depth(dataset)
    traces: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    if has(dataset, "random_profile"):
        low, high = bounds(dataset["random_profile"].sel(definition="rank_of_difference").values)
        traces += [band(depth, low, high, look.NULL_BAND)]
        middle = np.nanmean(dataset["random_profile"].sel(definition="rank_of_difference").values, axis=0)
        traces += [line(depth, middle, "random weights", look.NULL, width=1.2)]
        notes += [label("random weights", depth, middle, look.INK_2)]
    main = dataset["profile"].sel(definition="rank_of_difference")
    if has(dataset, "profile_low"):
        low, high = (dataset[f"profile_{end}"].sel(definition="rank_of_difference").values for end in ("low", "high"))
        traces += [band(depth, low, high, look.SYNERGY_BAND, opacity=0.75)]
    if has(dataset, "rival_profile"):
        memory = dataset["rival_profile"].sel(rival="autocorrelation").values
        traces += [line(depth, memory, "autocorrelation, the rival", look.INK, width=1.3, dash="dot")]
        notes += [label("autocorrelation, the rival", depth, memory, look.INK)]
    if has(dataset, "excess_profile"):
        peak_synergy = float(np.nanmax(dataset["synergy_profile"].values))
        excess = dataset["excess_profile"].sel(null="prompt_mismatch").values / (peak_synergy or 1.0)
        traces += [line(depth, excess, "excess over memory", look.INK, width=1.1)]
        notes += [label("excess over memory", depth, excess, look.INK)]
    other = dataset["profile"].sel(definition="difference_of_ranks").values
    traces += [line(depth, other, DEFINITIONS["difference_of_ranks"], look.SYNERGY, width=1.4, dash="dash")]
    traces += [line(depth, main.values, DEFINITIONS["rank_of_difference"], look.SYNERGY, width=2.6)]
    notes += [label(DEFINITIONS["difference_of_ranks"], depth, other, look.SYNERGY)]
    notes += [label(DEFINITIONS["rank_of_difference"], depth, main.values, look.SYNERGY)]
    layers = dataset["layer"].values
    top = int(np.nanargmax(main.values))
    title = f"The rank is highest in layer {int(layers[top])}, at depth {text_number(depth[top])}"
    if has(dataset, "rival_profile"):
        peak = int(layers[int(np.nanargmax(memory))])
        title += f"; autocorrelation, its rival, is highest in layer {peak}"
    title += "."
    reach = [v for t in traces for v in t["y"] if v is not None]
    limits = [min(-0.03, *reach), max(1.03, *reach)]
    return Panel(
        "profile",
        title,
        {"data": traces, "layout": layout(
            {"title": "depth (0 first layer, 1 last)", "range": [0, 1]},
            {"title": "mean over the layer, scaled 0 to 1", "range": limits, "tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1]},
            annotations=notes, height=470)},
        how_to_read="Each line is a mean over the units of a layer, stretched so that its lowest layer is 0 and its "
        "highest is 1: shapes can be compared, sizes cannot. The warm band is the 95 % bootstrap interval over "
        "prompts. The excess (synergy above the prompt mismatch null) is not stretched: it is drawn as a share of the "
        "highest layer's synergy, so 0 means nothing beyond memory. The grey band spans the same model with random "
        "weights. If the dotted line (how well a unit's "
        "activity predicts its own next step) runs along the rank, memory of single units is an explanation.",
        description=f"Line chart of the synergy-redundancy rank by depth. {title}",
        detail="Rank of difference orders units by synergy minus redundancy; difference of ranks subtracts the two "
        f"orders. The two definitions are both in circulation and can disagree{figures_text.overlap(dataset)}.",
    )  # fmt: skip


def nats(dataset: xr.Dataset) -> Panel | None:
    """Synergy and redundancy by layer in nats, and what is left after the surrogates."""
    if not has(dataset, "synergy_profile"):
        return None
    depth, synergy = _depth(dataset), dataset["synergy_profile"].values
    traces, notes = [], [heading("Measured", "")]
    if has(dataset, "random_synergy_profile") and not _far(dataset):
        low, high = bounds(dataset["random_synergy_profile"].values)
        traces += [band(depth, low, high, look.NULL_BAND)]
        notes += [label("random weights", depth, (low + high) / 2, look.INK_2)]
        traces += [line(depth, (low + high) / 2, "random weights", look.NULL, width=0.9)]
    for name, values, colour, shade in (
        ("redundancy", dataset["redundancy_profile"], look.REDUNDANCY, look.REDUNDANCY_BAND),
        ("synergy", dataset["synergy_profile"], look.SYNERGY, look.SYNERGY_BAND),
    ):
        if has(dataset, f"{name}_profile_low"):
            low, high = (dataset[f"{name}_profile_{end}"].values for end in ("low", "high"))
            traces += [band(depth, low, high, shade, opacity=0.75)]
        traces += [line(depth, values.values, name, colour, width=2.2)]
        notes += [label(name, depth, values.values, colour)]
    columns, said = 1, ""
    if has(dataset, "excess_profile"):
        columns = 2
        notes += [heading("Synergy left after each null", "2")]
        known = [null for null in NULLS if null in dataset["null"].values]
        if has(dataset, "excess_profile_low"):
            for null in known:
                low, high = (dataset[f"excess_profile_{end}"].sel(null=null).values for end in ("low", "high"))
                traces += [band(depth, low, high, look.SYNERGY_BAND, axis="2", opacity=0.55)]
        for null in known:
            excess, dash = dataset["excess_profile"].sel(null=null).values, _DASHES[null]
            traces += [line(depth, synergy - excess, NULLS[null], look.NULL, width=1.6, dash=dash)]
            notes += [label(NULLS[null], depth, synergy - excess, look.INK_2)]
            traces += [line(depth, excess, NULLS[null], look.SYNERGY, width=1.8, dash=dash, axis="2")]
            notes += [label(NULLS[null], depth, excess, look.SYNERGY, axis="2")]
            left = float(np.nanmean(excess))
            said = f", {text_number(abs(left))} {'above' if left > 0 else 'below'} the {NULLS[null]} null"
    figure = layout(
        {"title": "depth", "range": [0, 1]}, {"title": "nats", "rangemode": "tozero"}, columns=columns,
        annotations=notes, shapes=[hline(0.0, "2")] if columns == 2 else [], height=430,
    )  # fmt: skip
    redundancy = text_number(float(np.nanmean(dataset["redundancy_profile"].values)))
    title = f"Mean synergy is {text_number(float(np.nanmean(synergy)))} nats{said}; mean redundancy is {redundancy}."
    return Panel(
        "nats", title, {"data": traces, "layout": figure},
        how_to_read="Left: what was measured, with 95 % bootstrap bands. The grey lines are the same measure on "
        "series whose coupling was broken: each unit shifted in time, or paired with a unit from another prompt. "
        "Right: measured minus null. Both sides of zero are coupling: above it, coupling that adds synergy; below it, "
        "coupling whose shared part takes away from synergy.",
        description=f"Two line charts by depth. {title}",
        detail="Two independent series that each remember their past have a persistent synergy of twice the smaller "
        "memory under minimum mutual information, so the null level is never zero.",
    )  # fmt: skip


def _far(dataset: xr.Dataset) -> bool:
    """Whether random weights lie so far above the trained model that one axis would flatten it."""
    trained = max(float(np.nanmax(dataset[f"{name}_profile"].values)) for name in ("synergy", "redundancy"))
    return float(np.nanmax(dataset["random_synergy_profile"].values)) > 2.0 * trained


def random(dataset: xr.Dataset) -> Panel | None:
    """Synergy and redundancy with random weights, on an axis of their own where they are far above the trained ones."""
    if not (has(dataset, "random_synergy_profile") and has(dataset, "synergy_profile") and _far(dataset)):
        return None
    depth, traces, notes, means = _depth(dataset), [], [], []
    for axis, name, colour in (("", "synergy", look.SYNERGY), ("2", "redundancy", look.REDUNDANCY)):
        low, high = bounds(dataset[f"random_{name}_profile"].values)
        trained = dataset[f"{name}_profile"].values
        traces += [band(depth, low, high, look.NULL_BAND, axis=axis)]
        traces += [line(depth, (low + high) / 2, "random weights", look.NULL, width=1.2, axis=axis)]
        traces += [line(depth, trained, "this model", colour, width=2.2, axis=axis)]
        notes += [heading(name.capitalize(), axis), label("this model", depth, trained, colour, axis=axis)]
        notes += [label("random weights", depth, (low + high) / 2, look.INK_2, axis=axis)]
        means += [text_number(float(np.nanmean(v))) for v in (dataset[f"random_{name}_profile"].values, trained)]
    title = (
        f"On the same text, random weights have {means[0]} nats of synergy and {means[2]} of redundancy; this "
        f"model has {means[1]} and {means[3]}."
    )
    figure = layout({"title": "depth", "range": [0, 1]}, {"title": "nats", "rangemode": "tozero"}, columns=2,
                    annotations=notes, height=360)  # fmt: skip
    return Panel(
        "random", title, {"data": traces, "layout": figure},
        how_to_read="The grey band spans the same architecture with random weights, reading the same text. High "
        "synergy alone is therefore no sign of training; the shape of the profile may be.",
        description=f"Two line charts by depth. {title}",
    )  # fmt: skip


def matrices(dataset: xr.Dataset, layer: np.ndarray) -> Panel | None:
    """Both pair matrices, units in order of layer, one scale."""
    if not has(dataset, "synergy") or not has(dataset, "redundancy"):
        return None
    both = [np.nan_to_num(dataset[name].values) for name in ("synergy", "redundancy")]
    block = -(-len(layer) // _FINEST)
    high = float(max(np.quantile(values, 0.995) for values in both)) or 1.0
    traces, notes = [], []
    axes: dict[str, dict[str, Any]] = {}
    names, starts = np.unique(layer, return_index=True)
    step = max(1, len(names) // 8)
    ticks = {"tickvals": (starts[::step] / block).tolist(), "ticktext": [str(int(n)) for n in names[::step]]}
    size = -(-len(layer) // block)
    for k, (name, values) in enumerate(zip(("synergy", "redundancy"), both, strict=True)):
        axis = "" if k == 0 else "2"
        trace = quantised(values, block, high) | {"xaxis": f"x{axis}", "yaxis": f"y{axis}", "name": name}
        trace["colorscale"] = [[0, look.PAPER], [1, look.SYNERGY if k == 0 else look.REDUNDANCY]]
        trace["text"] = [str(unit) for unit in dataset["unit"].values[::block]]
        trace["meta"] |= {"ramp": name, "units": "nats"}
        traces.append(trace)
        notes.append(heading(name.capitalize(), axis))
        axes |= {f"xaxis{axis}": {"title": "layer of one unit", "range": [0, size], **ticks}}
        axes |= {f"yaxis{axis}": {"title": "layer of the other", "range": [size, 0], **ticks}}
    means = [float(values.mean() * len(layer) / (len(layer) - 1)) for values in both]
    title = (
        f"On one scale, the mean pair has {text_number(means[0])} nats of synergy and {text_number(means[1])} of "
        "redundancy."
    )
    shown = "" if block == 1 else f" Each dot is the mean of {block} by {block} pairs."
    return Panel(
        "matrices", title,
        {"data": traces, "layout": layout(axes["xaxis"], axes["yaxis"], columns=2, annotations=notes)
         | {key: value for key, value in axes.items() if key.endswith("2")}},
        how_to_read=f"Row and column are two units, ordered by layer. Darker is more, from 0 to {text_number(high)} "
        f"nats in both; stronger pairs are drawn like the strongest.{shown} Squares on the diagonal would be layers "
        "that talk to themselves.",
        description=f"Two matrices over pairs of units. {title}",
        detail=f"{int((both[0] < 0).sum() // 2):,} pairs have negative synergy and are drawn as 0.",
    )  # fmt: skip


def zones(dataset: xr.Dataset) -> Panel | None:
    """The layer profile as bars, cut into zones."""
    if not has(dataset, "profile") or not has(dataset, "zone"):
        return None
    values = dataset["profile"].sel(definition="rank_of_difference").values
    layers, zone = dataset["layer"].values.astype(int), dataset["zone"].values.astype(int)
    cuts = np.flatnonzero(np.diff(zone)) + 1
    shapes = [vline(float(layers[cut]) - 0.5) for cut in cuts]
    edges = [0, *cuts.tolist(), len(layers)]
    notes, spans = [], []
    for a, b in pairwise(edges):
        name = ZONES[zone[a]] if 0 <= zone[a] < len(ZONES) else f"zone {zone[a]}"
        notes += [note((layers[a] + layers[b - 1]) / 2, 1.1, name)]
        spans += [f"{name} {layers[a]} to {layers[b - 1]}" if b - a > 1 else f"{name} {layers[a]}"]
    p = float(dataset.attrs.get("zone_p", float("nan")))
    tested = f"; {p_words(p)} against layers in random order" if np.isfinite(p) else ""
    trace = {
        "type": "bar", "x": layers.tolist(), "y": [None if not np.isfinite(v) else float(v) for v in values],
        "marker": {"color": [look.rank_colour(float(v)) for v in values], "line": {"color": look.INK_2, "width": 0.5}},
        "name": "rank",
        "hovertext": [f"layer {n}\nscaled rank {text_number(float(v))}" for n, v in zip(layers, values, strict=True)],
        "width": 0.86,
    }  # fmt: skip
    step = max(1, -(-len(layers) // 15))
    xs = {
        "title": "layer",
        "tickvals": layers[::step].tolist(),
        "range": [float(layers[0]) - 0.6, float(layers[-1]) + 0.6],
    }
    title = f"The best cut of the layers is {', '.join(spans)}{tested}."
    return Panel(
        "zones", title,
        {"data": [trace], "layout": layout(xs, {"title": "rank, scaled 0 to 1", "range": [0, 1.18],
         "tickvals": [0, 0.5, 1]}, annotations=notes, shapes=shapes, height=320)},
        how_to_read="Bars are layers. The two cuts are where three levels fit the profile best; any profile has a "
        "best pair of cuts, so only the p value says whether these are there.",
        description=f"Bar chart of the rank by layer. {title}",
    )  # fmt: skip


def units(dataset: xr.Dataset, layer: np.ndarray) -> Panel | None:
    """Every unit: synergy against redundancy, and against what its own memory explains."""
    if not has(dataset, "node_synergy") or not has(dataset, "node_redundancy"):
        return None
    rank = dataset["rank"].sel(definition="rank_of_difference").values if has(dataset, "rank") else None
    core = dataset["core"].values.astype(bool) if "core" in dataset else np.zeros(len(layer), bool)
    synergy = dataset["node_synergy"].values
    names = [str(unit) for unit in dataset["unit"].values]
    traces, notes, columns = [], [heading("Against redundancy", "")], 1
    xs: dict[str, dict[str, Any]] = {"": {"title": "mean redundancy (nats)"}}
    pairs = [("", dataset["node_redundancy"].values, "redundancy")]
    if has(dataset, "artefact"):
        columns = 2
        pairs.append(("2", dataset["artefact"].values, "own memory"))
        notes.append(heading("Against what own memory alone would give", "2"))
        xs["2"] = {"title": "2 min(i₁, i₂), mean over partners (nats)"}
    for axis, values, words in pairs:
        tips = [
            f"{name}\nsynergy {text_number(float(s))} nats\n{words} {text_number(float(v))} nats"
            for name, s, v in zip(names, synergy, values, strict=True)
        ]
        colours = [look.rank_colour(float(r)) for r in rank] if rank is not None else look.INK
        edge = {"color": [look.INK if c else look.INK_2 for c in core], "width": [1.4 if c else 0.4 for c in core]}
        traces.append({
            "type": "scatter", "mode": "markers", "x": [float(v) for v in values], "y": [float(s) for s in synergy],
            "marker": {"color": colours, "size": 8, "line": edge}, "hovertext": tips, "ids": names,
            "xaxis": f"x{axis}", "yaxis": f"y{axis}", "name": words,
        })  # fmt: skip
    shapes = []
    if columns == 2:
        own = pairs[1][1]
        ends = [float(max(np.nanmin(synergy), np.nanmin(own))), float(min(np.nanmax(synergy), np.nanmax(own)))]
        shapes = [{"type": "line", "x0": ends[0], "x1": ends[1], "y0": ends[0], "y1": ends[1], "xref": "x2",
                   "yref": "y2", "line": {"color": look.NULL, "width": 1.2}}]  # fmt: skip
        room = float(np.nanmax(own)) - ends[1] > 0.12 * float(np.nanmax(own) - np.nanmin(own))
        at = ends[1] if room else ends[1] - 0.13 * (ends[1] - ends[0])
        notes += [note(ends[1], at, "\xa0\xa0equal", axis="2", anchor="left" if room else "right", colour=look.INK_2)]
    figure = layout(xs[""], {"title": "mean synergy (nats)"}, columns=columns, annotations=notes, shapes=shapes,
                    height=430)  # fmt: skip
    if columns == 2:
        figure["xaxis2"] |= xs["2"]
        figure["yaxis2"] |= {"title": {"text": "mean synergy (nats)"}}
    both = np.isfinite(synergy) & np.isfinite(pairs[0][1])
    title = f"Every unit by its synergy and redundancy; {int(core.sum())} of {len(layer)} form the core."
    return Panel(
        "units", title, {"data": traces, "layout": figure},
        how_to_read="One dot per unit, in the colour it has on the plate; a heavy edge marks the core. Right: dots on "
        "the grey line have no more synergy than two independent units with the same memory would show.",
        description=f"Scatter plots of {int(both.sum())} units. {title}",
    )  # fmt: skip


def _depth(dataset: xr.Dataset) -> np.ndarray:
    layers = dataset.sizes["layer"]
    return np.arange(layers) / max(1, layers - 1)

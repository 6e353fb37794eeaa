"""Words of the weight graph's chapter: summary, readings of the paper, citations, and names that its figures share."""

import json
from typing import Any

import numpy as np
import xarray as xr

from brodmann.fractal.compared import NOISE, NULLS, PLAIN
from brodmann.plotting import has, text_number

GRIDS = {"official": "official grid", "scale_free": "scale-free grid"}


def settings(dataset: xr.Dataset) -> dict[str, Any]:
    """Settings of the study."""
    return dict(json.loads(str(dataset.attrs.get("settings", "{}"))))


def is_series(dataset: xr.Dataset) -> bool:
    """Whether there is a course of training to draw: two checkpoints or more."""
    return bool(dataset.sizes["step"] > 1)


def when(dataset: xr.Dataset, at: int) -> str:
    """A checkpoint by its step, or by its name where no step is known."""
    step = float(dataset["step"].values[at])
    if np.isfinite(step):
        return f"step {step:g}"
    return str(dataset["checkpoint"].values[at]).rstrip("/").rpartition("/")[2]  # of a folder its last part


def given(values: np.ndarray) -> str:
    """An interval in a sentence.

    Examples
    --------
    >>> import numpy as np
    >>> given(np.array([-0.012, 0.5])), given(np.array([np.nan, 0.5]))
    ('[−0.012, 0.50]', '(no interval)')
    """
    low, high = (float(each) for each in values)
    known = np.isfinite([low, high]).all()
    return f"[{text_number(low)}, {text_number(high)}]" if known else "(no interval)"


def told(dataset: xr.Dataset, grid: str, at: int = -1) -> str:
    """Emergence with its interval."""
    here = dataset.sel(grid=grid).isel(step=at)
    return f"{text_number(float(here['emergence']))} {given(here['emergence_interval'].values)}"


def null_level(dataset: xr.Dataset, grid: str, null: str) -> float:
    """Mean emergence of a null's draws at the last checkpoint."""
    drawn = dataset["null_emergence"].sel(grid=grid, null=null).values[..., -1]
    return float(drawn[np.isfinite(drawn)].mean()) if np.isfinite(drawn).any() else float("nan")


def highest(dataset: xr.Dataset, grid: str) -> tuple[str, float]:
    """The null that emerges most at the last checkpoint, in words, and how much."""
    levels = {str(null): null_level(dataset, grid, str(null)) for null in dataset["null"].values}
    known = {null: level for null, level in levels.items() if np.isfinite(level)}
    if not known:
        return "no null", float("nan")
    most = max(known, key=lambda null: known[null])
    return NULLS[most].short, known[most]


def start(dataset: xr.Dataset) -> str:
    """What emergence is counted from."""
    return "step 0" if dataset.attrs.get("own_start") else "networks drawn from the published initialisation"


def verdict(dataset: xr.Dataset) -> str:
    """Emergence on both grids beside its nulls, as one sentence without its beginning."""
    name, level = highest(dataset, "scale_free")
    noise = text_number(null_level(dataset, "official", "matched_scale"))
    return (
        f"E is {told(dataset, 'official')} on the official grid, where {NOISE.short} reaches {noise}, and "
        f"{told(dataset, 'scale_free')} on the scale-free grid, where the highest null ({name}) reaches "
        f"{text_number(level)}"
    )


def summary(dataset: xr.Dataset) -> str:
    """What was measured, and what it gave."""
    official = dataset.sel(grid="official")
    kept, neurons = (int(official[name].values[-1]) for name in ("kept", "neurons"))
    least = int(settings(dataset).get("min_degree", 11)) - 1
    many = is_series(dataset)
    text = f"Neurons are nodes, weights are edges, and a large weight is a short distance; {kept:,} of {neurons:,} "
    text += f"neurons have more than {least} edges within reach{' at the last checkpoint' if many else ''}. "
    text += f"Counted from {start(dataset)}, {verdict(dataset)}. "
    beyond = dataset["excess"].sel(grid="official", null="matched_scale").values[-1]
    within = dataset["excess_interval"].sel(grid="official", null="matched_scale").values[-1]
    text += f"On the official grid the difference from that noise is {text_number(float(beyond))} {given(within)}"
    text += f"; E is highest at {_peak(dataset)}. " if many else ". "
    if not many:
        alpha0, width = (text_number(float(official[name].values[-1])) for name in ("alpha0", "width"))
        return text + f"There alpha0, the mean slope of the neurons, is {alpha0}, and the spectrum is {width} wide."
    ends = [text_number(float(official[name].values[at])) for name in ("alpha0", "width") for at in (0, -1)]
    return text + (
        f"There alpha0, the mean slope of the neurons, goes from {ends[0]} to {ends[1]} and the width of the "
        f"spectrum from {ends[2]} to {ends[3]} between {when(dataset, 0)} and {when(dataset, -1)}."
    )


def _peak(dataset: xr.Dataset) -> str:
    """Where emergence is highest on the official grid, and how high."""
    course = dataset["emergence"].sel(grid="official").values
    if not np.isfinite(course).any():
        return "no checkpoint"
    most = int(np.nanargmax(course))
    return f"{when(dataset, most)}, {text_number(float(course[most]))}"


def readings(dataset: xr.Dataset) -> tuple[str, ...]:
    """Choices where the paper's text, its code and its figures differ or are silent."""
    chosen = settings(dataset)
    reach, least = chosen.get("r_max", 150), int(chosen.get("min_degree", 11)) - 1
    begun = str(dataset.attrs.get("reference", "step 0"))
    found = [
        _distances(chosen),
        (f"Official grid: distances with 1 < d ≤ {reach}, rounded to whole numbers (half to even), as in the code; a "
        f"neuron needs more than {least} of them. A weight of size 1 or more is thereby left out."),
        ("Scale-free grid: root mean square of the matrix over |w| on 40 geometric radii from 1/3 to 4. It is not in "
        "the paper; a matrix that only grows does not change on it."),
        ("Partition function: a sum over neurons, each normalised by its own final mass, not over boxes. alpha0 is "
        "therefore the mean slope of the neurons and no box dimension."),
        ("alpha(q) is the exact derivative of tau(q). The code takes finite differences and the first maximum of f, "
        "which is a tie that rounding decides; width is alpha at q = −3 minus alpha at q = 3."),
        _neurons(chosen),
        f"Reference of E: {begun}." if dataset.attrs.get("own_start") else
        f"Reference of E: no step 0 is at hand, its place takes the mean of simulated networks ({begun}).",
    ]  # fmt: skip
    layers = str(chosen.get("chain", "official"))
    if layers == "official":
        found.append(
            "Layers: the code's chain of input, attention, middle and hidden layers; residual connections, biases, "
            "norms, embeddings and attention patterns are no part of the graph."
        )
    else:
        found.append(f"Layers: the {layers} chain, not the code's; biases, norms and embeddings are left out.")
    return tuple(found)


def _distances(chosen: dict[str, Any]) -> str:
    """How distances were taken."""
    if chosen.get("distance", "one_hop") == "one_hop":
        return (
            "Distances: one hop, 1/|w| of a neuron's own outgoing weights, as in the released code; the paper's text "
            "speaks of shortest paths. The two are not comparable."
        )
    way = "either way along an edge" if chosen.get("undirected") else "along the direction of the edges"
    return (
        f"Distances: shortest paths through the layers, {way}, as the paper's text says; attention has edges of length "
        "1. The released code takes one hop, and its published numbers are of that. The two are not comparable."
    )


def _neurons(chosen: dict[str, Any]) -> str:
    """Which neurons were taken."""
    sampled = int(chosen.get("sampled", 0))
    if not sampled:
        return "All neurons of the network are used. The code draws 32 or 64 of a layer, which biases alpha0."
    return (
        f"{sampled} neurons of a layer are drawn (of an MLP twice, of queries, keys and values three times as many), "
        f"as in the code, {chosen.get('samples', 10)} times; numbers are means over these samples. alpha0 depends on "
        "how many are drawn: numbers of other samples, or of the whole network, are not to be compared with these."
    )


def over(dataset: xr.Dataset) -> str:
    """What an interval is over."""
    return "samples" if dataset.attrs.get("sampled") else "neurons"


def redrawn(dataset: xr.Dataset) -> str:
    """How an interval is made."""
    return f"{'Samples' if dataset.attrs.get('sampled') else 'Neurons'} are drawn again" + (
        "" if dataset.attrs.get("sampled") else " within their layers"
    )


def citations(dataset: xr.Dataset) -> tuple[str, ...]:
    """Methods that were used."""
    found = ["xiao2025", "satterthwaite1946", "holm1979"]
    for name, plain in PLAIN.items():
        if plain.cites and has(dataset.sel(quantity=[name]), "baseline"):
            found += plain.cites
    return (*found, *(["kunsch1989", "bonett2000", "bartlett1935"] if "score_spearman" in dataset else []))

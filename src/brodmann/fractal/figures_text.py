"""Words of the weight graph's chapter: summary, readings of the paper, citations, and names that its figures share."""

import json
import math
from typing import Any

import numpy as np
import xarray as xr

from brodmann.fractal.compared import NOISE, NULLS, PLAIN
from brodmann.plotting import has, text_number

GRIDS = {"official": "official grid", "scale_free": "scale-free grid"}
_USUAL = "one hop, whole network"
_TINY = 1e-9


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


def fit(value: float, within: np.ndarray) -> str:
    """A number with two significant digits, or fewer where its interval says that the last ones mean nothing.

    Examples
    --------
    >>> import numpy as np
    >>> fit(-0.00066, np.array([-0.014, 0.003])), fit(4.66, np.array([4.47, 4.9])), fit(1e-5, np.array([-1.0, 1.0]))
    ('−0.001', '4.7', '0')
    """
    low, high = (float(each) for each in within)
    if not np.isfinite([value, low, high]).all() or not value or not high > low:
        return text_number(value)
    known = max(0, 1 - math.floor(math.log10(high - low)))
    if 1 - math.floor(math.log10(abs(value))) <= known:
        return text_number(value)
    text = f"{abs(value):.{known}f}"
    return "0" if not float(text) else f"−{text}" if value < 0 else text


def moved(first: float, last: float) -> str:
    """How a number went from one checkpoint to another.

    Examples
    --------
    >>> moved(1.72, 0.64), moved(0.1, 0.2), moved(1.91, 1.93)
    ('falls from 1.7 to 0.64', 'rises from 0.10 to 0.20', 'stays at 1.9')
    """
    before, after = text_number(first), text_number(last)
    if before == after:
        return f"stays at {after}"
    return f"{'falls' if last < first else 'rises'} from {before} to {after}"


def emergence_in_words(dataset: xr.Dataset, grid: str, at: int = -1) -> str:
    """Emergence with its interval."""
    here = dataset.sel(grid=grid).isel(step=at)
    value, within = float(here["emergence"]), here["emergence_interval"].values
    return f"{fit(value, within)} {given(within)}" if np.isfinite(value) else "not defined (no interval)"


def null_level(dataset: xr.Dataset, grid: str, null: str, at: int = -1) -> float:
    """Mean emergence of a null's draws at a checkpoint."""
    drawn = dataset["null_emergence"].sel(grid=grid, null=null).values[..., at]
    return float(drawn[np.isfinite(drawn)].mean()) if np.isfinite(drawn).any() else float("nan")


def highest(dataset: xr.Dataset, grid: str, at: int = -1) -> tuple[str, float]:
    """The null that emerges most at a checkpoint, in words, and how much."""
    levels = {str(null): null_level(dataset, grid, str(null), at) for null in dataset["null"].values}
    known = {null: level for null, level in levels.items() if np.isfinite(level)}
    if not known:
        return "no null", float("nan")
    most = max(known, key=lambda null: known[null])
    return NULLS[most].short, known[most]


def level_in_words(dataset: xr.Dataset, grid: str, level: float) -> str:
    """A null's emergence at the last checkpoint, with the digits that the interval beside it supports."""
    return fit(level, dataset.sel(grid=grid).isel(step=-1)["emergence_interval"].values)


def start(dataset: xr.Dataset) -> str:
    """What emergence is counted from."""
    if dataset.attrs.get("own_start"):
        return "step 0"
    return f"networks drawn from {'a guessed' if dataset.attrs.get('guessed') else 'the stated'} initialisation"


def flags(dataset: xr.Dataset, grid: str) -> list[str]:
    """What is wrong with the last checkpoint's spectrum on a grid, if anything."""
    return list(json.loads(str(dataset.attrs.get("flags", "{}"))).get(grid, []))


def is_spectrum(dataset: xr.Dataset, grid: str, at: int = -1) -> bool:
    """Whether alpha falls with q and f stays below 0, as a spectrum's must."""
    here = dataset.sel(grid=grid).isel(step=at)
    alpha, f = here["alpha"].values, here["f"].values
    return not (at == -1 and flags(dataset, grid)) and not (np.diff(alpha).max() > _TINY or f.max() > _TINY)


def shares(dataset: xr.Dataset, at: int = -1) -> tuple[float, float]:
    """What the widths and what alpha0 contribute to the difference from noise on the official grid; sums to it.

    Both have E = R L, with the ratio of widths R and the logarithm L of the ratio of alpha0. Their difference is
    (R - R') (L + L') / 2 + (L - L') (R + R') / 2, for each draw of noise; the mean over draws is returned.
    """
    here, noise = dataset.sel(grid="official"), dataset.sel(grid="official", null="matched_scale")
    drawn = [noise[f"null_{name}"].values for name in ("alpha0", "width")]  # (draw, step)
    now = [float(here[name].values[at]) for name in ("alpha0", "width")]
    if "initial" in here:
        first = here["initial"].values.mean(axis=0).tolist()
        begun: list[Any] = first
    else:
        first, begun = [float(here[name].values[0]) for name in ("alpha0", "width")], [each[:, 0] for each in drawn]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio, fall = now[1] / first[1], np.log(first[0] / now[0])
        theirs, sunk = drawn[1][:, at] / begun[1], np.log(begun[0] / drawn[0][:, at])
        width, alpha0 = (ratio - theirs) * (fall + sunk) / 2, (fall - sunk) * (ratio + theirs) / 2
    known = np.isfinite(width) & np.isfinite(alpha0)
    return (float(width[known].mean()), float(alpha0[known].mean())) if known.any() else (np.nan, np.nan)


def summary(dataset: xr.Dataset) -> str:
    """What was measured, and what it gave."""
    text = mode(dataset)
    text += f"Neurons are nodes, weights are edges, and a large weight is a short distance; {_counted(dataset)}. "
    text += (
        "alpha0 is the mean slope of the neurons: how fast the number of others within a radius grows with the radius. "
        f"The degree of emergence E compares with {start(dataset)}: it is the ratio of the spectrum's widths times the "
        "logarithm of the factor by which alpha0 has fallen. "
    )
    return f"{text}{_on_official(dataset)} {_beyond_noise(dataset)} {_on_scale_free(dataset)}"


def mode(dataset: xr.Dataset) -> str:
    """How distances and neurons were taken, where that is not the usual way."""
    words = str(dataset.attrs.get("mode", "")) or _USUAL
    if words == _USUAL:
        return ""
    return f"Mode: {words}; numbers of other modes are not to be compared with these. "


def _counted(dataset: xr.Dataset) -> str:
    """How many neurons have enough edges."""
    last, chosen = dataset.sel(grid="official").isel(step=-1), settings(dataset)
    kept, neurons = (float(last[name]) for name in ("kept", "neurons"))
    least, reach = int(chosen.get("min_degree", 11)), chosen.get("r_max", 150)
    many = f"all {neurons:,.0f}" if kept == neurons else f"{kept:,.0f} of {neurons:,.0f}"
    of = "neurons"
    if dataset.attrs.get("sampled"):
        of = f"neurons of one sample{'' if kept == neurons else ' (a mean)'}"
    what = f"outgoing weights with 1/|w| above 1 and up to {reach}"
    if chosen.get("distance", "one_hop") == "path":
        what = f"other neurons at a path length above 1 and up to {reach}"
    end = f" at {when(dataset, -1)}" if is_series(dataset) else ""
    return f"{many} {of} have at least {least} {what}{end}"


def _on_official(dataset: xr.Dataset) -> str:
    """E where the paper takes it, with its highest value if that is not the last."""
    said = f"On the official grid, which counts 1/|w| in whole numbers, E is {emergence_in_words(dataset, 'official')}"
    said += f" at {when(dataset, -1)}" if is_series(dataset) else ""
    most = peak(dataset)
    course = dataset["emergence"].sel(grid="official").values
    if most is None or most == len(course) - 1 or not np.isfinite(course[-1]):
        return f"{said}."
    fallen = 100 * (1 - course[-1] / course[most])
    return (
        f"{said}; it was highest at {when(dataset, most)}, {text_number(float(course[most]))}, and has fallen by "
        f"{fallen:.0f} % since."
    )


def _beyond_noise(dataset: xr.Dataset) -> str:
    """How much of E is more than growth, and which factor has it."""
    at = dataset.sel(grid="official", null="matched_scale").isel(step=-1)
    value, within = float(at["excess"]), at["excess_interval"].values
    level = level_in_words(dataset, "official", null_level(dataset, "official", "matched_scale"))
    if not np.isfinite(value):
        return f"{NOISE.short.capitalize()} reaches {level}."
    width, alpha0 = (fit(each, within) for each in shares(dataset))
    return (
        f"{NOISE.short.capitalize()} reaches {level}; the difference is {fit(value, within)} {given(within)}, of which "
        f"{width} comes from the width and {alpha0} from alpha0."
    )


def _on_scale_free(dataset: xr.Dataset) -> str:
    if not is_spectrum(dataset, "scale_free"):
        return (
            "On the scale-free grid, in units of each matrix's own root mean square, the fit describes no spectrum "
            "(Fig. 2), so that E there means nothing."
        )
    name, level = highest(dataset, "scale_free")
    return (
        "On the scale-free grid, in units of each matrix's own root mean square, E is "
        f"{emergence_in_words(dataset, 'scale_free')}, and the highest null ({name}) reaches "
        f"{level_in_words(dataset, 'scale_free', level)}."
    )


def peak(dataset: xr.Dataset) -> int | None:
    """Where emergence is highest on the official grid."""
    course = dataset["emergence"].sel(grid="official").values
    return int(np.nanargmax(course)) if np.isfinite(course).any() else None


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
        f"Beginning of E: {begun}." if dataset.attrs.get("own_start") else
        f"Beginning of E: no step 0 is at hand, its place takes the mean of simulated networks ({begun}).",
    ]  # fmt: skip
    layers = str(chosen.get("chain", "official"))
    if layers == "official":
        path = chosen.get("distance", "one_hop") == "path"
        own = (
            ", with queries, keys and values as a layer of their own (qkv) between input and attention" if path else ""
        )
        found.append(
            f"Layers: the code's chain of input, attention, middle and hidden layers{own}; residual connections, "
            "biases, norms, embeddings and attention patterns are no part of the graph."
        )
    else:
        found.append(f"Layers: the {layers} chain, not the code's; biases, norms and embeddings are left out.")
    found += [
        f"The {name} at the last checkpoint is flagged and describes no spectrum: {'; '.join(flags(dataset, grid))}."
        for grid, name in GRIDS.items()
        if flags(dataset, grid)
    ]
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

"""Words of the synergy chapter that stand outside its figures: summary, readings of the papers, columns, citations."""

import json
from typing import Any

import numpy as np
import xarray as xr

from brodmann.plotting import first, text_number


def settings(dataset: xr.Dataset) -> dict[str, Any]:
    """Settings of the study."""
    return dict(json.loads(str(dataset.attrs.get("settings", "{}"))))


def summary(dataset: xr.Dataset, recording: xr.Dataset) -> str:
    """What was measured, on what, and how reliable the ranking is."""
    chosen = settings(dataset)
    kind = str(first(recording["kind"].values, "unit"))
    if "unit" not in dataset.sizes:
        return str(dataset.attrs.get("note", ""))
    method = (
        f"Persistent synergy and redundancy of every pair of {dataset.sizes['unit']:,} {kind}s over "
        f"{recording.sizes['prompt']} prompts, by integrated information decomposition "
        f"({chosen.get('estimator', 'gaussian')}, {str(chosen.get('redundancy', 'mmi')).upper()}, "
        f"lag {chosen.get('tau', 1)})."
    )
    left_out = int(dataset.attrs.get("left_out", 0))
    if left_out:
        method += f" {left_out:,} more were active too rarely to be ranked."
    reliability = float(dataset.attrs.get("reliability", float("nan")))
    if not np.isfinite(reliability):
        return method
    return f"{method} The split-half reliability of the ranking over prompts is {text_number(reliability)}."


def columns(dataset: xr.Dataset) -> dict[str, str]:
    """Columns of the table of units that this study fills."""
    wanted = {
        "rank@rank_of_difference": "rank",
        "rank@difference_of_ranks": "rank (difference of ranks)",
        "node_synergy": "synergy (nats)",
        "node_redundancy": "redundancy (nats)",
        "excess_synergy@prompt_mismatch": "excess (nats)",
        "excess_z@prompt_mismatch": "excess z",
        "artefact": "own memory (nats)",
        "core": "core",
        "core_probability": "core probability",
        "flagged": "flagged prompts",
    }
    return {key: title for key, title in wanted.items() if key.partition("@")[0] in dataset}


def readings(dataset: xr.Dataset, recording: xr.Dataset) -> tuple[str, ...]:
    """Choices made where the sources that could be read leave one open."""
    chosen = settings(dataset)
    recorded = json.loads(str(recording.attrs.get("settings", "{}")))
    estimator = f"{chosen.get('estimator', 'gaussian')}, redundancy {chosen.get('redundancy', 'mmi')}"
    rank = str(chosen.get("rank", "rank_of_difference")).replace("_", " ")
    public = (
        "The paper's text and Luppi et al. subtract two ranks, the first author's public code ranks the difference."
    )
    read = [
        f"Estimator: {estimator}, lag {chosen.get('tau', 1)}. Urbina-Rodriguez et al. do not state theirs.",
        "Prompts: decomposed one by one, then averaged. The paper leaves the order open.",
        f"Rank: the core is cut by {rank}; the other definition is shown beside it. {public}",
    ]
    if str(recording.attrs.get("mode")) == "generate" and not recorded.get("stop_at_eos", False):
        read.append(
            "Generation: greedy, with the end-of-sequence token suppressed, so that all series are equally long."
        )
    if "selected" in recording:
        read.append(
            "Experts: the norm of an expert's gated output, 0 where the router did not choose it (the paper does not "
            "say); shared experts are one unit."
        )
    if "efficiency" in dataset:
        read.append(
            "Networks: raw weights as in the first author's public code; also divided by their mean and cut at the "
            "strongest tenth, because the efficiency of raw weights grows with their mean."
        )
    return tuple(read)


def citations(dataset: xr.Dataset) -> tuple[str, ...]:
    """BibTeX keys of the methods that were used."""
    redundancy = str(settings(dataset).get("redundancy", "mmi"))
    measure = {"mmi": "barrett2015", "ccs": "ince2017", "i_min": "williams2010"}.get(redundancy, "barrett2015")
    graph = ("latora2001", "traag2019", "rubinov2010") if "efficiency" in dataset else ()
    return ("urbina2026", "mediano2021", measure, "luppi2022", *graph, "efron1987", "holm1979")


def overlap(dataset: xr.Dataset) -> str:
    """How far the two definitions of the rank agree on the core; empty where that is unknown."""
    shared = float(dataset.attrs.get("overlap", float("nan")))
    return f": their cores share {text_number(shared)} of their units" if np.isfinite(shared) else ""

"""The page's views of units: plate and grid, the table, and what was found in a few sentences."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from brodmann import look
from brodmann.atlas.cards import interval, not_tested, p_text
from brodmann.atlas.marks import number
from brodmann.atlas.plate import PlateUnits
from brodmann.atlas.tables import active_share
from brodmann.page import Chapter
from brodmann.stats import Finding

_ORDER = ("supported", "contradicted", "inconclusive")


def pick(dataset: xr.Dataset, key: str, names: tuple[str, ...]) -> np.ndarray | None:
    """Values of the named units: ``variable``, or ``variable@coordinate`` where the variable has one more dimension.

    Returns
    -------
    ndarray of shape (unit,), or None
        NaN for units that the study left out; None where the variable or the coordinate is not there.

    Examples
    --------
    >>> data = xr.Dataset({"rank": (("definition", "unit"), [[0.0, 1.0]])}, {"definition": ["a"], "unit": ["x", "y"]})
    >>> pick(data, "rank@a", ("x", "y")), pick(data, "rank@b", ("x",))
    (array([0., 1.]), None)
    """
    name, _, coordinate = key.partition("@")
    if name not in dataset:
        return None
    values = dataset[name]
    for dim in [d for d in values.dims if d != "unit"]:
        if not coordinate or coordinate not in values[dim].values:
            return None
        values = values.sel({dim: coordinate})
    if values.dims != ("unit",):
        return None
    if tuple(str(unit) for unit in values["unit"].values) == names:
        return np.asarray(values.values)
    return np.asarray(values.astype(float).reindex(unit=list(names)).values)


def plate_units(recording: xr.Dataset, results: Mapping[str, xr.Dataset]) -> PlateUnits:
    """What the plate shows, from the first study that ranks units; NaN where no study does."""
    names = tuple(str(unit) for unit in recording["unit"].values)
    unknown = np.full(len(names), np.nan)
    rank, core, z = unknown, np.zeros(len(names), dtype=bool), unknown
    for dataset in results.values():
        ranked = pick(dataset, "rank@rank_of_difference", names)
        if ranked is not None:
            cored = pick(dataset, "core", names)
            excess = pick(dataset, "excess_z@prompt_mismatch", names)
            rank, core = ranked.astype(float), core if cored is None else np.nan_to_num(cored).astype(bool)
            z = unknown if excess is None else excess.astype(float)
            break
    kind = str(recording["kind"].values[0]) if "kind" in recording.coords and names else "unit"
    layer = np.asarray(recording["layer"].values).astype(int)
    return PlateUnits(names, layer, _places(layer), rank, core, z, kind)


def _places(layer: np.ndarray) -> np.ndarray:
    """Place of each unit within its layer; stacks of an encoder-decoder share layers, so their indices do not do."""
    seen: dict[int, int] = {}
    places = np.empty(layer.size, dtype=int)
    for i, number_ in enumerate(layer.tolist()):
        places[i] = seen.get(number_, 0)
        seen[number_] = places[i] + 1
    return places


def grid(units: PlateUnits) -> dict[str, Any]:
    """The plate as a plain table: one row per index, one column per layer."""
    layers = sorted({int(layer) for layer in units.layer})
    # A unit may be missing (layers need not be equally wide); its cell stays empty.
    column = {layer: k for k, layer in enumerate(layers)}
    height = max(int(np.sum(units.layer == layer)) for layer in layers)
    rows: list[list[dict[str, Any] | None]] = [[None] * len(layers) for _ in range(height)]
    filled = dict.fromkeys(layers, 0)
    for i, name in enumerate(units.unit):
        layer = int(units.layer[i])
        step = look.rank_step(float(units.rank[i]))
        words = units.tip(i).replace("\n", ", ")
        cell = {"unit": name, "step": step, "core": bool(units.core[i]), "words": words}
        rows[filled[layer]][column[layer]] = cell
        filled[layer] += 1
    return {"layers": layers, "rows": rows, "without": units.without}


def found(findings: tuple[Finding, ...], by_study: Sequence[int] = ()) -> dict[str, Any]:
    """A few plain sentences and the count of verdicts.

    They tell the first two findings and the last of the first study, and the first finding of each further study:
    studies put their main claim first and its rival explanation last. ``by_study`` says how many findings each study
    has, in order; empty: all are one study's. Of a further study the first finding is one that could be tested, if any.
    """
    tested = [f for f in findings if f.tested]
    counts = {verdict: sum(f.verdict == verdict for f in tested) for verdict in _ORDER}
    told = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    total = f"{len(tested)} {'claim was' if len(tested) == 1 else 'claims were'} tested: {', '.join(told)}."
    if len(tested) < len(findings):
        total = f"{total if tested else 'No claim was tested.'} {len(findings) - len(tested)} could not be tested."
    sizes = [size for size in by_study if size] or [len(findings)]
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    first = findings[: sizes[0]]
    chosen = first if len(first) <= 3 else (*first[:2], first[-1])
    others = [findings[start:stop] for start, stop in itertools.pairwise([*starts, len(findings)])][1:]
    leading = (next((each for each in own if each.tested), own[0]) for own in others)
    sentences = [_sentence(finding) for finding in (*chosen, *leading)]
    if not findings:
        total = "No claim was tested."
        sentences = []
    return {"count": total, "sentences": sentences}


_SHORT = {
    "inverted_u": "inverted U over depth",
    "absent_at_random_init": "no inverted U in random weights",
    "synergy_more_efficient": "synergy network more efficient",
    "redundancy_more_modular": "redundancy network more modular",
    "more_than_memory": "more than the units' own memory",
    "core_against_layer_matched": "core hurts more than its layers",
    "core_against_random": "core hurts more than random units",
    "core_against_norm_matched": "core hurts more than equally active units",
    "core_against_autocorrelation_matched": "core hurts more than units of equal memory",
    "importance_against_core": "gradient importance hurts more than the core",
    "hard_tasks_more_active": "core denser on hard tasks",
    "simple_repetition_less_active": "core sparser on repetition",
    "harder_more_active": "core denser the harder the task",
    "contrast_grew": "inverted U grew in training",
    "emergence": "inverted U exceeds its nulls at the end",
    "onset": "onset in training",
    "tied_to_loss": "inverted U rises as the loss falls",
    "tied_to_induction": "inverted U rises with induction",
    "growth_beyond_memory": "growth beyond memory",
    "size_threshold": "threshold of size",
    "emergence_rises": "degree of emergence since the beginning",
    "emergence_beyond_matched_scale": "emergence beyond noise of the same scale",
    "emergence_scale_free": "emergence in units of each matrix's scale",
    "scale_free_beyond_permuted_entries": "in units of scale, beyond the same entries",
    "widens_then_drifts": "spectrum widens, then drifts further than noise's",
}


def short_name(name: str) -> str:
    """What a finding is about, in a few words, for lists.

    Examples
    --------
    >>> short_name("inverted_u"), short_name("core_accuracy_copy_4"), short_name("of_a_plugin")
    ('inverted U over depth', "core's removal costs answers: copy 4", 'of a plugin')
    """
    if name.startswith("core_accuracy_"):
        return f"core's removal costs answers: {name.removeprefix('core_accuracy_').replace('_', ' ')}"
    if name.startswith("contrast_grew_"):
        return f"{_SHORT['contrast_grew']} (under {name.removeprefix('contrast_grew_').upper()})"
    return _SHORT.get(name, name.replace("_", " "))


def _sentence(finding: Finding) -> dict[str, str]:
    """Verdict and claim, with the numbers apart so that the page can set them smaller; spaces inside never break."""
    units = finding.units.partition(",")[0].partition("(")[0].strip()
    estimate = f"{number(finding.estimate)} {units}".strip()
    people = finding.unit_of_inference if finding.n == 1 else f"{finding.unit_of_inference}s"
    # p is evidence for the claim against its nulls; beside any other verdict it would read as evidence for that.
    chance = f"{p_text(finding.p)}, " if finding.verdict == "supported" else ""
    reach = f", {finding.caveats[0]}" if finding.untested else f" {interval(finding)}"
    numbers = f"{estimate}{reach}, {chance}{finding.n:,} {people}"
    if math.isnan(finding.estimate):
        numbers = not_tested(finding)
    return {"claim": finding.claim.rstrip("."), "verdict": finding.verdict, "numbers": numbers}


def unit_table(
    recording: xr.Dataset, results: Mapping[str, xr.Dataset], chapters: tuple[Chapter, ...], units: PlateUnits
) -> dict[str, Any]:
    """Columns and rows of the table of units; every number is kept in full beside what is shown."""
    columns = [{"title": "unit", "number": False}, {"title": "layer", "number": True}]
    values: list[list[dict[str, str]]] = []
    share = active_share(recording)
    if share is not None:
        columns.append({"title": "chosen (share of tokens)", "number": True})
        values.append(_cells(share))
    for chapter in chapters:
        for key, title in chapter.unit_columns.items():
            found_values = pick(results[chapter.name], key, units.unit) if chapter.name in results else None
            if found_values is not None:
                columns.append({"title": title, "number": True})
                values.append(_cells(found_values))
    layer = np.asarray(recording["layer"].values).astype(int)
    rows = []
    for i, name in enumerate(units.unit):
        cells = [column[i] for column in values]
        step = look.rank_step(float(units.rank[i]))
        rows.append(
            {"unit": name, "layer": int(layer[i]), "step": step, "core": bool(units.core[i]), "cells": cells}
        )  # fmt: skip
    return {"columns": columns, "rows": rows, "layers": sorted(set(layer.tolist()))}


def _cells(column: np.ndarray) -> list[dict[str, str]]:
    """Shown text and full value of a column's cells; numbers share their decimals, so that the points align."""
    if column.dtype == bool:
        return [{"shown": "yes" if value else "", "full": str(int(value))} for value in column.tolist()]
    if np.issubdtype(column.dtype, np.integer):
        return [{"shown": str(value), "full": str(value)} for value in column.tolist()]
    largest = float(np.max(np.abs(column), initial=0.0, where=np.isfinite(column)))
    decimals = int(np.clip(3 - np.floor(np.log10(largest)), 0, 9)) if largest > 0 else 0
    return [
        {"shown": f"{value:.{decimals}f}", "full": repr(value)} if np.isfinite(value) else {"shown": "–", "full": ""}
        for value in column.astype(float).tolist()
    ]

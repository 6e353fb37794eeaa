"""Results as tidy parquet tables that open anywhere: units, findings, profile, pairs.

``units``    one row per unit: its place in the anatomy, its mean activity (of experts the share of tokens at which they
             were chosen too), and every variable of a study that has one value per unit
``findings`` one row per claim, with quantiles of its null draws
``profile``  one row per study, variable, layer and further label (definition, null, rival, seed, ...)
``pairs``    one row per unordered pair of units, with every variable that has one value per pair
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr

from brodmann.stats import Finding

_ANATOMY = ("unit", "kind", "stack", "layer", "index", "depth")
_PAIR = ("unit", "unit_")
_ROWS_AT_ONCE = 1_000_000


def write_tables(folder: Path, recording: xr.Dataset, results: Mapping[str, xr.Dataset]) -> None:
    """Write the four tables into a folder.

    Parameters
    ----------
    folder
        Where the files go.
    recording
        The subject's recording; its unit coordinates are the anatomy.
    results
        Study name -> Dataset, in the order of the registry: the first study keeps the plain names of columns.
    """
    pa_table = pa.Table.from_pandas
    pq.write_table(pa_table(unit_table(recording, results), preserve_index=False), folder / "units.parquet")
    pq.write_table(pa_table(finding_table(results), preserve_index=False), folder / "findings.parquet")
    pq.write_table(pa_table(profile_table(results), preserve_index=False), folder / "profile.parquet")
    _write_pairs(folder / "pairs.parquet", results)


def unit_table(recording: xr.Dataset, results: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """One row per unit; further labels of a variable are parts of its column's name (``rank.rank_of_difference``).

    A column whose name is taken, by the anatomy or an earlier study, starts with its study's name (``loudness.core``).
    """
    units = pd.DataFrame({name: recording[name].to_numpy() for name in _ANATOMY})
    signal = recording["activity"].mean(("prompt", "token"), skipna=True)
    columns: dict[str, Any] = {"mean_activity": signal.to_numpy()}
    share = active_share(recording)
    if share is not None:
        columns["active_share"] = share
    for study, dataset in results.items():
        for name, variable in _in_order(dataset):
            if "unit" not in variable.dims or "unit_" in variable.dims or "draw" in variable.dims:
                continue
            # a study may leave units out (constant ones): they get missing values
            aligned = variable.reindex(unit=units["unit"].to_numpy())
            for label, values in _slices(aligned, "unit"):
                column = ".".join((str(name), *label.values()))
                while column in columns or column in units:
                    column = f"{study}.{column}"
                columns[column] = values
    return pd.concat([units, pd.DataFrame(columns)], axis=1)


def active_share(recording: xr.Dataset) -> np.ndarray | None:
    """Share of tokens at which each expert was chosen; None for other kinds of units."""
    if "selected" not in recording:
        return None
    known = ~np.isnan(
        recording["activity"].transpose("prompt", "token", "unit").to_numpy()
    )  # a token beyond a series' end chose nothing
    tokens = np.maximum(known.sum(axis=(0, 1)), 1)
    return np.asarray(recording["selected"].sum(("prompt", "token")) / tokens)


def finding_table(results: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """One row per finding; of the null draws their 5, 50 and 95 % quantiles."""
    rows = []
    for study, dataset in results.items():
        for values in json.loads(dataset.attrs.get("findings", "[]")):
            row = {"study": study, **dataclasses.asdict(Finding.from_dict(values))}
            low, high = row.pop("interval")
            draws = np.array(row.pop("null_samples"), dtype=float)
            draws = draws[np.isfinite(draws)]
            quantiles = np.quantile(draws, [0.05, 0.5, 0.95]) if draws.size else np.full(3, np.nan)
            row |= {"low": low, "high": high, "null_05": quantiles[0], "null_50": quantiles[1], "null_95": quantiles[2]}
            row["caveats"] = "; ".join(row["caveats"])
            row["p"] = np.nan if row["p"] is None else row["p"]
            rows.append(row)
    return pd.DataFrame(rows)


def profile_table(results: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """All variables over layers, long."""
    frames = []
    for study, dataset in results.items():
        for name, variable in _in_order(dataset):
            if "layer" not in variable.dims or "draw" in variable.dims:
                continue
            layers = dataset["layer"].to_numpy()
            depth = (layers - layers.min()) / max(1, layers.max() - layers.min())
            for label, values in _slices(variable, "layer"):
                words = {key: str(word) for key, word in label.items()}
                frames.append(
                    pd.DataFrame(
                        {"study": study, "variable": str(name), "layer": layers, "depth": depth, **words}
                    ).assign(value=values.astype(float))
                )
    if not frames:
        return pd.DataFrame(columns=["study", "variable", "layer", "depth", "value"])
    table = pd.concat(frames, ignore_index=True)
    return table[[*(c for c in table.columns if c != "value"), "value"]]


def pair_columns(dataset: xr.Dataset) -> tuple[str, ...]:
    """Variables of a study that have one value per pair of units."""
    return tuple(str(name) for name, variable in _in_order(dataset) if variable.dims == _PAIR)


def _in_order(dataset: xr.Dataset) -> list[tuple[str, xr.DataArray]]:
    """Variables by name: a store lists them in whatever order its file system does."""
    return [(str(name), dataset[name]) for name in sorted(dataset.data_vars, key=str)]


def _slices(variable: xr.DataArray, dim: str) -> Iterator[tuple[dict[str, str], np.ndarray]]:
    """All one-dimensional slices along a dimension, each with the labels of the other dimensions."""
    others = [str(d) for d in variable.dims if d != dim]
    moved = variable.transpose(*others, dim)
    for place in np.ndindex(*(moved.sizes[d] for d in others)):
        label = {
            d: str(moved[d].to_numpy()[i]) if d in moved.coords else str(i) for d, i in zip(others, place, strict=True)
        }
        yield label, moved.to_numpy()[place]


def _write_pairs(path: Path, results: Mapping[str, xr.Dataset]) -> None:
    """Block by block: the table of a large model would not fit into memory twice."""
    columns = sorted({name for dataset in results.values() for name in pair_columns(dataset)})
    words = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [("study", words), ("unit", words), ("unit_", words), *((name, pa.float64()) for name in columns)]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for study, dataset in results.items():
            names = pair_columns(dataset)
            if not names:
                continue
            labels = pa.array([str(unit) for unit in dataset["unit"].to_numpy()])
            arrays = {name: dataset[name].to_numpy().astype(float) for name in names}
            count = len(labels)
            step = max(1, _ROWS_AT_ONCE // max(1, count))
            for start in range(0, count - 1, step):
                rows, cols = np.triu_indices(min(step, count - start), k=1, m=count - start)
                rows, cols = rows + start, cols + start
                if not len(rows):
                    continue
                block = {
                    "study": pa.DictionaryArray.from_arrays(np.zeros(len(rows), dtype=np.int32), pa.array([study])),
                    "unit": pa.DictionaryArray.from_arrays(rows.astype(np.int32), labels),
                    "unit_": pa.DictionaryArray.from_arrays(cols.astype(np.int32), labels),
                }
                for name in columns:
                    block[name] = pa.array(
                        arrays[name][rows, cols] if name in arrays else np.full(len(rows), np.nan), pa.float64()
                    )
                writer.write_table(pa.table(block, schema=schema))

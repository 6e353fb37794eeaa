"""Tables hold the same numbers as the Datasets they come from."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from brodmann.atlas import tables
from brodmann.atlas.store import TABLES
from brodmann.stats import Finding

UNITS = [f"L{layer}H{head}" for layer in range(3) for head in range(2)]


@pytest.fixture
def recording(rng: np.random.Generator) -> xr.Dataset:
    activity = rng.random((4, 5, 6)).astype(np.float32)
    activity[2, 3:] = np.nan
    layer = np.repeat(np.arange(3), 2)
    return xr.Dataset(
        {"activity": (("prompt", "token", "unit"), activity)},
        coords={
            "unit": UNITS,
            "kind": ("unit", ["head"] * 6),
            "stack": ("unit", ["decoder"] * 6),
            "layer": ("unit", layer),
            "index": ("unit", np.tile(np.arange(2), 3)),
            "depth": ("unit", layer / 2),
        },
    )


@pytest.fixture
def result(rng: np.random.Generator) -> xr.Dataset:
    finding = Finding(
        "inverted_u", "the middle leans to synergy", 0.4, (0.1, float("inf")), 0.95, "rank", "circular shift",
        tuple(np.linspace(0, 1, 101)), 0.03, 60, "prompt", "supported", "a flat profile", ("few prompts", "one model"),
        "a paper", 1,
    )  # fmt: skip
    pairs = rng.random((6, 6))
    return xr.Dataset(
        {
            "synergy": (("unit", "unit_"), pairs),
            "redundancy": (("unit", "unit_"), pairs * 2),
            "rank": (("definition", "unit"), rng.random((2, 6))),
            "core": ("unit", np.arange(6) > 2),
            "profile": (("definition", "layer"), rng.random((2, 3))),
            "zone": ("layer", [0, 1, 2]),
            "null": (("draw", "layer"), rng.random((7, 3))),
        },
        coords={"unit": UNITS, "unit_": UNITS, "layer": [0, 1, 2], "definition": ["rank_of_difference", "other"]},
        attrs={"findings": json.dumps([finding.to_dict()])},
    )


def test_experts_say_how_often_they_were_chosen(recording: xr.Dataset) -> None:
    assert tables.active_share(recording) is None
    assert "active_share" not in tables.unit_table(recording, {})
    chosen = np.zeros((4, 5, 6), bool)
    chosen[0, :, 0] = chosen[2, :3, 0] = chosen[:, 0, 1] = True
    routed = recording.assign(selected=(("prompt", "token", "unit"), chosen))
    # the third prompt ends after three tokens: 18 tokens in all
    np.testing.assert_allclose(tables.unit_table(routed, {})["active_share"], [8 / 18, 4 / 18, 0, 0, 0, 0])


def test_units(recording: xr.Dataset, result: xr.Dataset) -> None:
    table = tables.unit_table(recording, {"synergy": result.isel(unit=slice(0, 5), unit_=slice(0, 5))})
    assert list(table["unit"]) == UNITS
    assert list(table["depth"]) == [0, 0, 0.5, 0.5, 1, 1]
    np.testing.assert_allclose(table["mean_activity"], np.nanmean(recording["activity"], axis=(0, 1)), rtol=1e-6)
    np.testing.assert_array_equal(table["rank.other"][:5], result["rank"][1, :5])
    assert np.isnan(table["rank.other"][5])
    assert "synergy" not in table


def test_findings(result: xr.Dataset) -> None:
    table = tables.finding_table({"synergy": result})
    row = table.iloc[0]
    assert (row["study"], row["name"], row["verdict"], row["n"]) == ("synergy", "inverted_u", "supported", 60)
    assert (row["low"], row["high"]) == (0.1, np.inf)
    assert [row["null_05"], row["null_50"], row["null_95"]] == pytest.approx([0.05, 0.5, 0.95])
    assert row["caveats"] == "few prompts; one model"


def test_profile(result: xr.Dataset) -> None:
    table = tables.profile_table({"synergy": result})
    chosen = table[(table["variable"] == "profile") & (table["definition"] == "other")]
    np.testing.assert_array_equal(chosen["value"], result["profile"][1])
    assert list(chosen["depth"]) == [0, 0.5, 1]
    assert set(table["variable"]) == {"profile", "zone"}


@pytest.mark.parametrize("rows", [1_000_000, 7, 1])
def test_pairs_are_the_upper_triangle(
    tmp_path: Path, recording: xr.Dataset, result: xr.Dataset, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_ROWS_AT_ONCE", rows)
    tables.write_tables(tmp_path, recording, {"synergy": result})
    table = pd.read_parquet(tmp_path / "pairs.parquet")
    first, second = np.triu_indices(6, k=1)
    assert list(table["unit"]) == [UNITS[i] for i in first]
    assert list(table["unit_"]) == [UNITS[i] for i in second]
    np.testing.assert_array_equal(table["synergy"], result["synergy"].to_numpy()[first, second])
    np.testing.assert_array_equal(table["redundancy"], result["redundancy"].to_numpy()[first, second])
    assert set(table["study"]) == {"synergy"}


def test_without_results_all_four_files_open(tmp_path: Path, recording: xr.Dataset) -> None:
    tables.write_tables(tmp_path, recording, {})
    sizes = {name: len(pd.read_parquet(tmp_path / f"{name}.parquet")) for name in TABLES}
    assert sizes == {"units": 6, "findings": 0, "profile": 0, "pairs": 0}


def test_studies_with_the_same_names_lose_nothing(recording: xr.Dataset, result: xr.Dataset) -> None:
    other = xr.Dataset(
        {"core": ("unit", np.arange(6) * 0.5), "depth": ("unit", np.arange(6) + 7.0), "own": ("unit", np.arange(6))},
        coords={"unit": UNITS},
    )
    table = tables.unit_table(recording, {"synergy": result, "loudness": other})
    assert not table.columns.duplicated().any()
    np.testing.assert_array_equal(table["core"], np.arange(6) > 2)
    np.testing.assert_array_equal(table["loudness.core"], np.arange(6) * 0.5)
    np.testing.assert_array_equal(table["depth"], [0, 0, 0.5, 0.5, 1, 1])
    np.testing.assert_array_equal(table["loudness.depth"], np.arange(6) + 7.0)
    np.testing.assert_array_equal(table["own"], np.arange(6))

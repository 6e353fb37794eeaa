"""What is written around a figure, and cells and marks of units without a rank."""

import numpy as np
import pytest

from brodmann.atlas.draw import draw
from brodmann.atlas.marks import legible
from brodmann.atlas.plate import PlateUnits, sheet
from brodmann.plotting import band, keyed, label, layout, line, named_rows


def test_tick_labels_that_would_touch_are_thinned_evenly_and_zero_stays():
    texts = ["−0.2", "−0.1", "0", "0.1", "0.2"]
    assert legible([0.0, 100.0, 200.0, 300.0, 400.0], texts) == texts
    assert legible([0.0, 25.0, 50.0, 75.0, 100.0], texts) == ["−0.2", "", "0", "", "0.2"]
    assert legible([9.0, 6.0, 3.0], ["1", "2", "3"], 14.0) == ["1", "", ""]
    assert legible([], []) == []


def _figure(notes, **axis):
    x = np.arange(14.0)
    traces = [band(x, x - 1, x + 1, "#dedbd4") | {"name": "null"}, line(x, x, "rank", "#1d1a16", width=2.0)]
    ticks = {"tickvals": x.tolist(), "ticktext": [f"{2**k}" for k in range(14)]}
    return {"data": traces, "layout": layout(ticks, axis, annotations=notes)}


def test_a_narrow_training_axis_drops_labels_and_a_wide_one_keeps_them():
    wide, narrow = draw(_figure([]), name="f", description="d").split('class="sheet narrow"')
    assert wide.count(">4096<") == 1
    assert narrow.count(">4096<") + narrow.count(">8192<") == 1
    assert 3 <= sum(narrow.count(f">{2**k}<") for k in range(14)) <= 7


def test_a_key_stands_on_both_sheets_and_a_label_becomes_one_on_the_narrow_sheet():
    notes = [keyed("null"), label("rank", np.arange(14.0), np.arange(14.0), "#1d1a16")]
    for sheet_ in draw(_figure(notes), name="f", description="d").split('class="sheet narrow"'):
        assert sheet_.count(">null<") == 1
        assert sheet_.count(">rank<") == 1


def test_names_of_rows_are_never_dropped():
    names = [f"family {letter}" for letter in "abcdefghijklmnop"]
    for sheet_ in draw(_figure([], **named_rows(names)), name="f", description="d").split('class="sheet narrow"'):
        assert all(f">{name}<" in sheet_ for name in names)


@pytest.mark.parametrize(("kind", "rank", "told"), [
    ("expert", [0.0, 1.0, np.nan], "too rarely active"), ("head", [0.0, 1.0, np.nan], "no rank"),
    ("expert", [np.nan] * 3, "no rank"), ("expert", [0.0, 0.5, 1.0], ""),
])  # fmt: skip
def test_cells_without_a_rank_are_grey_and_named_in_the_key(kind, rank, told):
    units = PlateUnits(("a", "b", "c"), np.array([0, 0, 1]), np.array([0, 1, 0]), np.array(rank),
                       np.zeros(3, dtype=bool), np.full(3, np.nan), kind)  # fmt: skip
    assert units.without == told
    svg = str(sheet(units))
    missing = int(np.isnan(rank).sum())
    assert svg.count('fill="var(--null)"') == missing + bool(missing)
    assert (">too rarely active<" in svg, ">no rank<" in svg) == (told == "too rarely active", told == "no rank")

"""The weight graph's chapter: figures hold the Dataset's numbers, titles say them, nothing else is drawn."""

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr

from brodmann import look
from brodmann.atlas import bibliography, draw
from brodmann.fractal import study
from brodmann.fractal.compared import NULLS
from brodmann.fractal.emergence import degree
from brodmann.fractal.figures import chapter
from brodmann.fractal.figures_course import of_one
from brodmann.models.shards import open_checkpoint
from brodmann.page import Chapter, Panel
from brodmann.plotting import text_number
from brodmann.settings import FractalSettings
from brodmann.steps import step_position

STEPS = (0, 512, 4096)
COMPARED = (
    "emergence", "emergence, scale-free", "alpha0", "width", "log_step", "rms", "weighted_degree", "share_within",
    "tail_exponent", "stable_rank",
)  # fmt: skip


@pytest.fixture(scope="module")
def series() -> xr.Dataset:
    settings = FractalSettings(fractal_nulls=2, fractal_bootstraps=20, tails=False)
    steps = [float(step) for step in STEPS]
    found = study([open_checkpoint("nano", f"step{step}") for step in STEPS], steps=steps, settings=settings)
    return found.merge(_planted_scores())


def _planted_scores() -> xr.Dataset:
    """Two scores as the study notes them; nothing is left of the first once the step is known."""
    rng = np.random.default_rng(3)
    variables: dict = {}
    for form in ("spearman", "pearson", "partial"):
        values = rng.uniform(-0.9, 0.9, (2, len(COMPARED)))
        if form == "partial":
            values[0], values[:, COMPARED.index("log_step")] = np.nan, np.nan
        variables[f"score_{form}"] = (("score", "compared"), values)
        within = np.stack([values - 0.05, values + 0.05], axis=-1)
        variables[f"score_{form}_interval"] = (("score", "compared", "bound"), within)
    return xr.Dataset(variables, coords={"score": ["recall (loss)", "recall (acc)"], "compared": list(COMPARED)})


@pytest.fixture(scope="module")
def one() -> xr.Dataset:
    settings = FractalSettings(fractal_nulls=2, initialisations=3, fractal_bootstraps=20, tails=False)
    return study([open_checkpoint("nano")], settings=settings)


def _chapter(dataset: xr.Dataset) -> Chapter:
    return chapter(dataset, xr.Dataset())


def _panels(dataset: xr.Dataset) -> dict[str, Panel]:
    return {panel.name.removeprefix("fractal-"): panel for panel in _chapter(dataset).panels}


def _trace(panel: Panel, name: str, axis: str = "") -> dict:
    return next(t for t in panel.figure["data"] if t.get("name") == name and t["xaxis"] == f"x{axis}")


def test_every_panel_is_a_drawing_of_its_own_with_words(series, one):
    for dataset, names in (
        (series, ["emergence", "spectra", "layers", "slopes", "scores"]),
        (one, ["emergence", "spectra", "layers", "slopes"]),
    ):
        panels = _panels(dataset)
        assert list(panels) == names
        for name, panel in panels.items():
            figure = go.Figure(panel.figure)  # refuses unknown properties
            assert len(figure.data) == len(panel.figure["data"])
            assert draw.drawable(panel.figure)
            assert "nan" not in draw.draw(panel.figure, name=name, description=panel.description).lower()
            assert all([panel.how_to_read, panel.description, panel.detail])
            assert panel.title.endswith(".")
            assert "not a number" not in panel.title
        assert set(_chapter(dataset).citations) <= set(bibliography.keys())


def test_emergence_stands_beside_every_draw_of_its_nulls(series):
    panel = _panels(series)["emergence"]
    x = step_position(series["step"].values)
    for axis, grid in (("", "official"), ("2", "scale_free")):
        here = series.sel(grid=grid)
        trained = _trace(panel, "trained weights", axis)
        np.testing.assert_array_equal(trained["x"], x)
        np.testing.assert_array_equal(trained["y"], here["emergence"].values)
        bands = [t for t in panel.figure["data"] if t["xaxis"] == f"x{axis}" and t.get("fill")]
        grey = [t for t in bands if t["fillcolor"] == look.NULL_BAND]
        assert len(grey) == series.sizes["null"] == len(NULLS)
        for trace, null in zip(grey, series["null"].values, strict=True):
            drawn = here["null_emergence"].sel(null=null).values
            np.testing.assert_array_equal(trace["y"], [*drawn.min(axis=0), *drawn.max(axis=0)[::-1]])
        (own,) = [t for t in bands if t["fillcolor"] == look.WEIGHTS_BAND]
        low, high = here["emergence_interval"].values.T
        np.testing.assert_array_equal(own["y"], [*low, *high[::-1]])


def test_factors_and_plain_quantities_share_the_axis_of_training(series):
    panel = _panels(series)["emergence"]
    for axis, name in (("3", "alpha0"), ("4", "width")):
        np.testing.assert_array_equal(
            _trace(panel, "scale-free grid", axis)["y"], series[name].sel(grid="scale_free").values
        )
        noise = series[f"null_{name}"].sel(grid="official", null="matched_scale").values
        np.testing.assert_allclose(_trace(panel, "noise of the same scale", axis)["y"], noise.mean(axis=0))
    rms = series["baseline"].sel(quantity="rms").values
    drawn = _trace(panel, "root mean square", "5")
    np.testing.assert_allclose(2.0 ** np.array(drawn["y"]), rms / rms[0])
    assert drawn["hovertext"][-1] == text_number(rms[-1])
    ticks = panel.figure["layout"]["yaxis5"]
    np.testing.assert_allclose(2.0 ** np.array(ticks["tickvals"]), [float(text) for text in ticks["ticktext"]])
    names = {trace.get("name") for trace in panel.figure["data"]}
    assert not {"mean tail exponent", "mean stable rank"} & names  # none was computed


def test_titles_and_summary_say_the_numbers(series):
    panels, last = _panels(series), series.isel(step=-1)
    value = text_number(float(last["emergence"].sel(grid="official")))
    low, high = (text_number(float(v)) for v in last["emergence_interval"].sel(grid="official"))
    noise = text_number(float(last["null_emergence"].sel(grid="official", null="matched_scale").mean()))
    said = f"E is {value} [{low}, {high}] on the official grid, where noise of the same scale reaches {noise}"
    assert said in panels["emergence"].title
    assert panels["emergence"].title.startswith("At step 4096 ")
    free = last["null_emergence"].sel(grid="scale_free").mean("draw")
    assert f"reaches {text_number(float(free.max()))}." in panels["emergence"].title
    summary = _chapter(series).summary
    assert said in summary
    most = int(series["emergence"].sel(grid="official").values.argmax())
    assert f"E is highest at step {STEPS[most]}," in summary
    width = series["width"].sel(grid="official").values
    assert f"from {text_number(width[0])} to {text_number(width[-1])} on the official grid" in panels["spectra"].title


def test_spectra_run_from_pale_to_full_and_end_at_the_named_steps(series):
    panel = _panels(series)["spectra"]
    for axis, grid in (("", "official"), ("2", "scale_free")):
        for k, step in enumerate(STEPS):
            curve = _trace(panel, f"step {step}", axis)
            np.testing.assert_array_equal(curve["x"], series["alpha"].sel(grid=grid).values[k])
            np.testing.assert_array_equal(curve["y"], series["f"].sel(grid=grid).values[k])
    tones = [look.variables()[f"t{k}"] for k in range(look.TONES)]
    places = [tones.index(_trace(panel, f"step {step}")["line"]["color"]) for step in STEPS]
    assert places == sorted(set(places))
    assert places[-1] == look.TONES - 1
    notes = {note["text"]: note for note in panel.figure["layout"]["annotations"] if note["xref"] == "x"}
    assert notes["step 4096"]["x"] == float(series["alpha0"].sel(grid="official").values[-1])  # above its own top


def test_layers_are_coloured_by_their_exponents(series):
    panel = _panels(series)["layers"]
    for axis, grid, name in (("", "official", "alpha0"), ("4", "scale_free", "width")):
        values = series[f"layer_{name}"].sel(grid=grid).values[-1]
        cells = [s for s in panel.figure["layout"]["shapes"] if s["xref"] == f"x{axis}"]
        assert len(cells) == series.sizes["part"]
        for at, colour in ((values.argmin(), look.tone(0.0)), (values.argmax(), look.tone(1.0))):
            assert cells[at]["fillcolor"] == colour
            assert (cells[at]["x0"] + cells[at]["x1"]) / 2 == series["part_block"].values[at]
    lowest = str(series["part"].values[series["layer_alpha0"].sel(grid="official").values[-1].argmin()])
    assert f"lowest in {lowest} " in panel.title


def test_slopes_are_shares_about_alpha0(series):
    panel = _panels(series)["slopes"]
    alpha0 = series["alpha0"].sel(grid="official").values
    lines = [s["x0"] for s in panel.figure["layout"]["shapes"] if s["xref"] == "x"]
    assert lines == [alpha0[0], alpha0[-1]]
    outline = _trace(panel, f"step 4096, mean {text_number(alpha0[-1])}")
    x, y = np.array(outline["x"]), np.array(outline["y"])
    assert np.trapezoid(y, x) == pytest.approx(100 * 0.025)
    assert np.trapezoid(x * y, x) / np.trapezoid(y, x) == pytest.approx(alpha0[-1], abs=0.0125)


def test_scores_show_the_training_step_as_the_rival(series):
    panel = _panels(series)["scores"]
    compared = series["compared"].values.tolist()
    for k, form in enumerate(("spearman", "pearson", "partial")):
        for row, score in enumerate(series["score"].values):
            place = 3 * row + k
            axis = str(place + 1) if place else ""
            expected = series[f"score_{form}"].sel(score=score).values
            dots = next(t for t in panel.figure["data"] if t["mode"] == "markers" and t["xaxis"] == f"x{axis}")
            drawn = dict(zip(dots["y"], dots["x"], strict=True))
            for place_, value in enumerate(reversed(expected)):
                assert drawn.get(float(place_), np.nan) == pytest.approx(float(value), nan_ok=True)
            if form != "partial":
                rival = compared[::-1].index("log_step")
                assert dots["marker"]["symbol"][dots["y"].index(rival)] == "diamond"
    ours, clock = (np.abs(series["score_spearman"].sel(compared=name).values) for name in ("emergence", "log_step"))
    assert f"For {int((ours <= clock).sum()) or 'none'} of 2 scores" in panel.title
    without = series.drop_vars([name for name in series.data_vars if str(name).startswith("score_")])
    assert "scores" not in _panels(without)
    assert "kunsch1989" in _chapter(series).citations
    assert "kunsch1989" not in _chapter(without).citations


def test_one_checkpoint_is_dots_against_draws(one):
    panel = _panels(one)["emergence"]
    assert panel.figure["layout"]["yaxis"]["ticktext"][0] == "fresh initialisations"
    for axis, grid in (("", "official"), ("2", "scale_free")):
        here = one.sel(grid=grid).isel(step=-1)
        assert _trace(panel, "trained weights", axis)["x"] == [float(here["emergence"])]
        for null, name in (("matched_scale", "noise of the same scale"), ("permuted_rows", "rows permuted")):
            np.testing.assert_array_equal(_trace(panel, name, axis)["x"], here["null_emergence"].sel(null=null).values)
        fresh = one["initial"].sel(grid=grid).values
        expected = degree(fresh[:, 0], fresh[:, 1], *fresh.mean(axis=0))
        np.testing.assert_allclose(_trace(panel, "fresh initialisations", axis)["x"], expected)
        whiskers = next(t for t in panel.figure["data"] if t["mode"] == "lines" and t["xaxis"] == f"x{axis}")
        np.testing.assert_array_equal(whiskers["x"], here["emergence_interval"].values)
    assert panel.title.startswith("Counted from networks drawn from the published initialisation, E is ")
    assert str(one.attrs["reference"]) in " ".join(_chapter(one).readings)
    curves = [t for t in _panels(one)["spectra"].figure["data"] if len(t["x"]) == one.sizes["q"]]
    assert len(curves) == 2


def test_an_undefined_emergence_leaves_a_gap_and_is_said(series, one):
    gone = series.copy(deep=True)
    gone["emergence"][{"grid": 0, "step": -1}] = np.nan
    gone["emergence_interval"][{"grid": 0, "step": -1}] = np.nan
    panel = _panels(gone)["emergence"]
    assert _trace(panel, "trained weights")["y"][-1] is None
    assert "E is not a number (no interval) on the official grid" in panel.title
    assert of_one(one.assign(emergence=one["emergence"] * np.nan)) is None


def test_a_checkpoint_in_a_folder_is_called_by_its_last_part(one):
    moved = one.assign_coords(checkpoint=("step", ["some/where/else/mine/"]))
    names = {trace.get("name") for trace in _panels(moved)["slopes"].figure["data"]}
    mean = text_number(float(one["alpha0"].sel(grid="official").values[0]))
    assert f"mine, mean {mean}" in names
    assert "where" not in str(_panels(moved)["spectra"].figure)

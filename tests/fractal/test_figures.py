"""The weight graph's chapter: figures hold the Dataset's numbers, titles say them, nothing else is drawn."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr

from brodmann import look
from brodmann.atlas import bibliography, draw
from brodmann.atlas.marks import legible
from brodmann.fractal import study
from brodmann.fractal.compared import NULLS
from brodmann.fractal.emergence import degree
from brodmann.fractal.figures import chapter
from brodmann.fractal.figures_axis import Training
from brodmann.fractal.figures_course import of_one
from brodmann.fractal.figures_text import shares
from brodmann.models.shards import open_checkpoint
from brodmann.page import Chapter, Panel
from brodmann.plotting import text_number
from brodmann.settings import FractalSettings
from brodmann.steps import short, step_position

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


def _at(trace: dict, key: str = "y") -> list:
    """What a line over training says at the checkpoints: step 0 is drawn as a stub of three points and a gap."""
    values = trace[key]
    assert values[3] is None
    assert key == "x" or values[1] == values[2] == values[0]
    return [values[0], *values[4:]]


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> list:
    """A band's outline: around step 0, then around the rest."""
    return [low[0]] * 2 + [high[0]] * 2 + [None] + [*low[1:], *high[1:][::-1]]


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
        np.testing.assert_array_equal(_at(trained, "x"), x)
        np.testing.assert_array_equal(_at(trained), here["emergence"].values)
        bands = [t for t in panel.figure["data"] if t["xaxis"] == f"x{axis}" and t.get("fill")]
        grey = [t for t in bands if t["fillcolor"] == look.NULL_BAND]
        assert len(grey) == series.sizes["null"] == len(NULLS)
        for trace, null in zip(grey, series["null"].values, strict=True):
            drawn = here["null_emergence"].sel(null=null).values
            assert trace["y"] == _band(x, drawn.min(axis=0), drawn.max(axis=0))
        (own,) = [t for t in bands if t["fillcolor"] == look.WEIGHTS_BAND]
        low, high = here["emergence_interval"].values.T
        assert own["y"] == _band(x, low, high)
        rows = _trace(panel, "rows permuted", axis)
        assert [size for size, y in zip(rows["marker"]["size"], rows["y"], strict=True) if size and y is not None] == [
            6
        ] * 3


def test_factors_and_plain_quantities_share_the_axis_of_training(series):
    panel = _panels(series)["emergence"]
    for axis, name in (("3", "alpha0"), ("4", "width")):
        np.testing.assert_array_equal(
            _at(_trace(panel, "scale-free grid", axis)), series[name].sel(grid="scale_free").values
        )
        value = series[name].sel(grid="official").values
        drawn = series[f"replicate_{name}"].sel(grid="official").values
        low, high = (2 * value - np.quantile(drawn, each, axis=1) for each in (0.975, 0.025))
        bands = [
            t for t in panel.figure["data"] if t["xaxis"] == f"x{axis}" and t.get("fillcolor") == look.WEIGHTS_BAND
        ]
        np.testing.assert_allclose(np.array(bands[0]["y"], float), np.array(_band(value, low, high), float))
        noise = series[f"null_{name}"].sel(grid="official", null="matched_scale").values
        np.testing.assert_allclose(_at(_trace(panel, "noise of the same scale", axis)), noise.mean(axis=0))
    rms = series["baseline"].sel(quantity="rms").values
    drawn = _trace(panel, "root mean square", "5")
    np.testing.assert_allclose(2.0 ** np.array(_at(drawn)), rms / rms[0])
    assert drawn["hovertext"][-1] == text_number(rms[-1])
    ticks = panel.figure["layout"]["yaxis5"]
    np.testing.assert_allclose(2.0 ** np.array(ticks["tickvals"]), [float(text) for text in ticks["ticktext"]])
    names = {trace.get("name") for trace in panel.figure["data"]}
    assert not {"mean tail exponent", "mean stable rank"} & names  # none was computed


def test_titles_and_summary_say_the_numbers(series):
    panels, last = _panels(series), series.isel(step=-1)
    course = series["emergence"].sel(grid="official").values
    value = text_number(float(course[-1]))
    low, high = (text_number(float(v)) for v in last["emergence_interval"].sel(grid="official"))
    most = int(course.argmax())
    assert 0 < most < 2
    summary, title = _chapter(series).summary, panels["emergence"].title
    assert f"E is {value} [{low}, {high}] at step 4096; it was highest at step {STEPS[most]}, " in summary
    assert f"fallen by {100 * (1 - course[-1] / course[most]):.0f} % since" in summary
    assert f"E rises to {text_number(course[most])} at step {STEPS[most]} and is {value} at step 4096" in title
    noise = text_number(float(last["null_emergence"].sel(grid="official", null="matched_scale").mean()))
    assert f"Noise of the same scale reaches {noise}; the difference is " in summary
    bounds = series["emergence_interval"].values[:, 1:]  # (grid, step, bound)
    levels = series["null_emergence"].mean("draw").max("null").values[:, 1:]
    assert f"above every null at {(bounds[0, :, 0] > levels[0]).sum()} of 2 checkpoints" in title
    assert f"a null lies above it at {(bounds[1, :, 1] < levels[1]).sum() or 'none'} of 2" in title
    width = series["width"].sel(grid="official").values
    assert f"from {text_number(width[0])} to {text_number(width[-1])} (noise" in panels["spectra"].title
    alpha0 = series["alpha0"].sel(grid="official").values
    assert f"falls from {text_number(alpha0[0])} to {text_number(alpha0[-1])} on" in panels["slopes"].title


def test_width_and_alpha0_share_the_difference_from_noise(series, one):
    for dataset in (series, one):
        width, alpha0 = shares(dataset)
        excess = float(dataset["excess"].sel(grid="official", null="matched_scale").values[-1])
        assert width + alpha0 == pytest.approx(excess)
    here = one.sel(grid="official").isel(step=-1)
    only_wider = one.copy(deep=True)
    only_wider["null_alpha0"][{"grid": 0, "null": 0}] = float(here["alpha0"])
    assert shares(only_wider)[1] == pytest.approx(0.0)


def test_the_mode_is_said_where_it_is_not_the_usual_one(series):
    assert _chapter(series).summary.startswith("Neurons are nodes")
    words = "one hop; mean of 4 samples of 32 neurons a layer"
    other = series.assign_attrs(mode=words, sampled=32, samples=4)
    summary = _chapter(other).summary
    assert summary.startswith(f"Mode: {words}; ")
    neurons = int(series["neurons"].values[0, -1])
    assert f"{neurons:,} neurons of one sample have at least 11 outgoing weights" in summary
    assert "interval over samples" in _panels(other)["emergence"].how_to_read
    assert "tail exponent" not in _panels(series)["emergence"].detail.lower()  # none was computed
    path = json.dumps({**json.loads(series.attrs["settings"]), "distance": "path"})
    along = series.assign_attrs(settings=path, mode="directed shortest paths")
    assert "other neurons at a path length" in _chapter(along).summary
    assert "fewer neurons ahead" in _panels(along)["layers"].title
    assert any("(qkv)" in each for each in _chapter(along).readings)


def test_a_flagged_curve_is_no_result(series):
    """A curve that folds back: said in words, drawn thin and whole, without width and interval."""
    folded = series.copy(deep=True)
    folded["f"][{"grid": 1, "step": -1}] = folded["f"].values[1, -1] + 0.4
    folded.attrs["flags"] = json.dumps({"official": [], "scale_free": ["f rises above 0, to 0.4"]})
    panels = _panels(folded)
    assert "on the scale-free grid this is no spectrum at step 4096" in panels["spectra"].title
    assert "On the scale-free grid the fit describes no spectrum" in panels["emergence"].title
    assert "means nothing" in _chapter(folded).summary
    assert any("is flagged and describes no spectrum: f rises above 0, to 0.4." in r for r in _chapter(folded).readings)
    drawn = [t for t in panels["spectra"].figure["data"] if t["xaxis"] == "x2" and len(t["x"]) == series.sizes["q"]]
    (last,) = [t for t in drawn if t["y"][30] == folded["f"].values[1, -1, 30]]
    assert last["line"]["width"] < 1
    assert last["line"]["color"] == look.INK_2
    low, high = panels["spectra"].figure["layout"]["yaxis2"]["range"]
    assert low < min(last["y"]) < max(last["y"]) < high
    assert not any(
        str(t.get("name")).endswith("alpha0 and width") for t in panels["spectra"].figure["data"] if t["xaxis"] == "x2"
    )
    bands = [t for t in panels["emergence"].figure["data"] if t.get("fillcolor") == look.WEIGHTS_BAND]
    assert not any(t["xaxis"] == "x2" for t in bands)


def test_a_flagged_single_checkpoint_is_no_result(one):
    folded = one.assign_attrs(flags=json.dumps({"official": [], "scale_free": ["f rises above 0, to 0.4"]}))
    panels = _panels(folded)
    assert "on the scale-free grid the fit describes no spectrum and E means nothing" in panels["emergence"].title
    headings = [n["text"] for n in panels["emergence"].figure["layout"]["annotations"] if n.get("name") == "heading"]
    assert headings == ["Official grid", "Scale-free grid: no spectrum"]
    assert "this is no spectrum: the curve folds back" in panels["spectra"].title


def test_ticks_of_training_name_the_last_checkpoint():
    for steps in ([0, *(2.0**k for k in range(13))], [0, 1, 2, 4, 8, 512, 1000, 143000], [1000, 2000, 143000]):
        axis = Training(np.array(steps)).axis()
        assert axis["ticktext"][-1] == short(float(steps[-1]))
        places = 290 * np.array(axis["tickvals"]) / (axis["range"][1] - axis["range"][0])
        assert legible(places.tolist(), axis["ticktext"]) == axis["ticktext"]  # all, on a narrow sheet too


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
    notes = {n["text"]: n for n in panel.figure["layout"]["annotations"] if n["xref"] == "x" and "name" not in n}
    assert notes["step 4096"]["x"] == float(series["alpha0"].sel(grid="official").values[-1])  # above its own top
    last = series.isel(step=-1).sel(grid="official")
    for name, alpha0, width in (
        ("step 4096", last["alpha0"], last["width"]),
        ("noise of the same scale", *(last[f"null_{n}"].sel(null="matched_scale").mean() for n in ("alpha0", "width"))),
    ):
        bar = _trace(panel, f"{name}: alpha0 and width")["x"]
        assert bar[1] == pytest.approx(float(alpha0))
        assert bar[-1] - bar[0] == pytest.approx(float(width))


def test_at_most_six_spectra_are_named(series):
    many = series.isel(step=[0] * 6 + [1] * 4 + [2] * 4).assign_coords(step=[0.0, *(2.0**k for k in range(13))])
    panel = _panels(many)["spectra"]
    wide = [t for t in panel.figure["data"] if t["xaxis"] == "x" and len(t["x"]) == series.sizes["q"]]
    assert len(wide) == 14
    strong = [t["name"] for t in wide if t["line"]["width"] > 2]
    keys = [
        n["text"] for n in panel.figure["layout"]["annotations"] if n.get("name") == "key" and n["xref"] == "x domain"
    ]
    assert len(strong) <= 6
    assert {"step 0", "step 4096"} <= set(strong) <= set(keys)


def test_layers_are_coloured_by_their_exponents(series):
    panel = _panels(series)["layers"]
    for axis, grid, name in (("", "official", "alpha0"), ("4", "scale_free", "width")):
        values = series[f"layer_{name}"].sel(grid=grid).values[-1]
        cells = [s for s in panel.figure["layout"]["shapes"] if s["xref"] == f"x{axis}"]
        assert len(cells) == series.sizes["part"]
        (points,) = [t for t in panel.figure["data"] if t["xaxis"] == f"x{axis}"]
        low, high = points["meta"]["low"], points["meta"]["high"]
        least, most = np.quantile(values, 0.02, method="higher"), np.quantile(values, 0.98, method="lower")
        assert low == text_number(values.min()) or low == f"≤ {text_number(least)}"
        assert high == text_number(values.max()) or high == f"≥ {text_number(most)}"
        for at, colour in ((values.argmin(), look.tone(0.0)), (values.argmax(), look.tone(1.0))):
            assert cells[at]["fillcolor"] == colour
            assert (cells[at]["x0"] + cells[at]["x1"]) / 2 == series["part_block"].values[at]
    lowest = str(series["part"].values[series["layer_alpha0"].sel(grid="official").values[-1].argmin()])
    assert f"lowest in {lowest} " in panel.title


def test_one_outlier_does_not_take_the_colours(one):
    far = one.copy(deep=True)
    far["layer_alpha0"][{"grid": 0, "step": 0, "part": 3}] = 50.0
    panel = _panels(far)["layers"]
    values = np.delete(far["layer_alpha0"].values[0, 0], 3)
    cells = [s["fillcolor"] for s in panel.figure["layout"]["shapes"] if s["xref"] == "x"]
    assert cells[3] == look.tone(1.0)
    assert len(set(cells)) > 3 or np.ptp(values) < 0.1
    assert panel.figure["data"][0]["meta"]["high"].startswith("≥ ")


def test_slopes_are_shares_about_alpha0(series):
    panel = _panels(series)["slopes"]
    alpha0 = series["alpha0"].sel(grid="official").values
    for step, mean in zip((0, 4096), alpha0[[0, -1]], strict=True):
        upright = _trace(panel, f"step {step}: mean {text_number(mean)}")
        assert upright["x"] == [mean, mean]
        assert upright["line"]["dash"] == "dash"
    outline = _trace(panel, "step 4096")
    x, y = np.array(outline["x"]), np.array(outline["y"])
    assert np.trapezoid(y, x) == pytest.approx(100 * 0.025)  # none is lost: the outermost bins count the rest
    assert np.trapezoid(x * y, x) / np.trapezoid(y, x) == pytest.approx(alpha0[-1], abs=0.0125)
    counts = series["slopes"].sel(grid="official").values[-1]
    below = np.cumsum(counts) / counts.sum()
    assert x.max() <= series["slope_bin"].values[np.searchsorted(below, 0.995)] + 0.8  # or where step 0 reaches
    shown = panel.figure["layout"]["xaxis"]["range"]
    assert shown[0] < x.min() < x.max() < shown[1]


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
    assert "nothing of the ranks" not in panel.title
    bare = series.copy(deep=True)
    bare["score_partial"][:] = np.nan
    bare["score_spearman"][{"compared": 9}], bare["score_pearson"][{"compared": 9}] = np.nan, np.nan
    smaller = _panels(bare)["scores"]
    assert "given the step nothing of the ranks is left" in smaller.title
    assert smaller.figure["layout"]["grid"]["columns"] == 2
    assert len(smaller.figure["layout"]["yaxis"]["ticktext"]) == len(compared) - 1
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
        strokes = _trace(panel, "rows permuted", axis)["marker"]
        assert (strokes["symbol"], strokes["line"]["width"]) == ("line-ns", 2.4)
    assert panel.title.endswith(" 2 draws of each null.")
    assert "compares with networks drawn from the stated initialisation" in _chapter(one).summary
    assert str(one.attrs["reference"]) in " ".join(_chapter(one).readings)
    curves = [t for t in _panels(one)["spectra"].figure["data"] if len(t["x"]) == one.sizes["q"]]
    assert len(curves) == 2


def test_an_undefined_emergence_leaves_a_gap_and_is_said(series, one):
    gone = series.copy(deep=True)
    gone["emergence"][{"grid": 0, "step": -1}] = np.nan
    gone["emergence_interval"][{"grid": 0, "step": -1}] = np.nan
    panel = _panels(gone)["emergence"]
    assert _trace(panel, "trained weights")["y"][-1] is None
    assert panel.title == "On the official grid E is not defined at step 4096."
    assert "E is not defined (no interval)" in _chapter(gone).summary
    assert of_one(one.assign(emergence=one["emergence"] * np.nan)) is None


def test_a_checkpoint_in_a_folder_is_called_by_its_last_part(one):
    moved = one.assign_coords(checkpoint=("step", ["some/where/else/mine/"]))
    names = {trace.get("name") for trace in _panels(moved)["slopes"].figure["data"]}
    mean = text_number(float(one["alpha0"].sel(grid="official").values[0]))
    assert {"mine", f"mine: mean {mean}"} <= names
    assert "where" not in str(_panels(moved)["spectra"].figure)

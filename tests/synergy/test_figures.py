"""The synergy chapter: valid plotly figures that show the numbers of the Dataset and compute none."""

import base64
import importlib.util
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from brodmann import look
from brodmann.plotting import band, bounds, label, p_words, quantised, text_number
from brodmann.settings import SynergySettings
from brodmann.synergy.figures import chapter
from brodmann.synergy.growth_figures import _near_zero
from brodmann.synergy.study import study as study_of

_spec = importlib.util.spec_from_file_location("synthetic", Path(__file__).parents[1] / "atlas" / "synthetic.py")
synthetic = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(synthetic)


@pytest.fixture(scope="module")
def study():
    return synthetic.study()


@pytest.fixture(scope="module")
def panels(study):
    return {panel.name: panel for panel in chapter(study, synthetic.recording()).panels}


def _trace(panel, name: str, axis: str = "x"):
    return next(t for t in panel.figure["data"] if t.get("name") == name and t.get("xaxis", "x") == axis)


def test_every_panel_is_a_valid_plotly_figure(panels):
    assert list(panels) == ["profile", "nats", "matrices", "network", "zones", "units", "efficiency", "modularity"]
    for panel in panels.values():
        figure = go.Figure(panel.figure)  # refuses unknown properties
        assert len(figure.data) == len(panel.figure["data"])
        assert panel.title.endswith(".")
        assert panel.how_to_read
        assert panel.description


def test_profile_shows_both_ranks_the_rival_and_the_random_band(study, panels):
    panel = panels["profile"]
    for definition, name in (
        ("rank_of_difference", "rank of difference"),
        ("difference_of_ranks", "difference of ranks"),
    ):
        expected = study["profile"].sel(definition=definition).values
        np.testing.assert_array_equal(_trace(panel, name)["y"], expected)
    rival = study["rival_profile"].sel(rival="autocorrelation").values
    np.testing.assert_array_equal(_trace(panel, "autocorrelation, the rival")["y"], rival)
    grey = [t for t in panel.figure["data"] if t.get("fillcolor") == look.NULL_BAND]
    values = study["random_profile"].sel(definition="rank_of_difference").values
    assert len(grey) == 1
    np.testing.assert_array_equal(grey[0]["y"][:30], values.min(axis=0))
    np.testing.assert_array_equal(grey[0]["y"][30:], values.max(axis=0)[::-1])
    assert (
        f"highest in layer {int(study['profile'].sel(definition='rank_of_difference').values.argmax())}," in panel.title
    )


def test_nulls_are_grey_and_excess_is_measured_minus_null(study, panels):
    panel = panels["nats"]
    null = _trace(panel, "prompt mismatch")
    assert null["line"]["color"] == look.NULL
    excess = _trace(panel, "prompt mismatch", "x2")
    measured = _trace(panel, "synergy")
    np.testing.assert_allclose(np.array(null["y"]) + np.array(excess["y"]), measured["y"], rtol=1e-12)
    np.testing.assert_array_equal(excess["y"], study["excess_profile"].sel(null="prompt_mismatch").values)


def test_random_weights_far_above_get_their_own_axis(study):
    far = study.copy()
    far["random_synergy_profile"] = 20 * study["random_synergy_profile"]
    made = {panel.name: panel for panel in chapter(far, synthetic.recording()).panels}
    assert list(made)[:3] == ["profile", "nats", "random"]
    assert not any(t.get("name") == "random weights" for t in made["nats"].figure["data"])
    values = far["random_synergy_profile"].values
    middle = (values.min(axis=0) + values.max(axis=0)) / 2
    np.testing.assert_allclose(_trace(made["random"], "random weights")["y"], middle)
    assert f"{text_number(values.mean())} nats of synergy" in made["random"].title


def test_matrices_share_one_scale(study, panels):
    one, two = panels["matrices"].figure["data"]
    assert one["meta"]["high"] == two["meta"]["high"]
    steps = np.frombuffer(base64.b64decode(one["z"]["bdata"]), np.uint8).reshape(270, 270)
    back = steps / 255 * one["meta"]["high"]
    expected = np.clip(study["synergy"].values, 0, one["meta"]["high"])
    np.testing.assert_allclose(back, expected, atol=one["meta"]["high"] / 509)


def test_large_matrices_are_shown_in_block_means():
    values = np.arange(25.0).reshape(5, 5)
    trace = quantised(values, 2, 24.0)
    steps = np.frombuffer(base64.b64decode(trace["z"]["bdata"]), np.uint8).reshape(3, 3)
    assert steps[0, 0] == round(values[:2, :2].mean() / 24 * 255)
    assert steps[2, 2] == 255
    assert steps[2, 0] == round(values[4, :2].mean() / 24 * 255)


def test_network_draws_the_strongest_tenth_of_each(study, panels):
    shapes = panels["network"].figure["layout"]["shapes"]
    arcs = {side: [] for side in (look.SYNERGY, look.REDUNDANCY)}
    for shape in shapes:
        for piece in shape["path"].split("M")[1:]:
            i, j = int(piece.split(",")[0]), int(piece.split(" ")[-1].split(",")[0])
            arcs[shape["line"]["color"]].append((i, j))
    pairs = 270 * 269 // 2
    for colour, name in ((look.SYNERGY, "synergy"), (look.REDUNDANCY, "redundancy")):
        assert len(arcs[colour]) == len(set(arcs[colour])) == pairs // 10
        values = study[name].values
        drawn = min(values[i, j] for i, j in arcs[colour])
        assert (values[np.triu_indices(270, 1)] > drawn).sum() == pairs // 10 - 1


def test_zones_are_told_with_their_p(panels):
    title = panels["zones"].title
    assert "early 0 to 9, middle 10 to 19, late 20 to 29" in title
    assert "p\xa0=\xa00.002" in title
    cuts = [shape["x0"] for shape in panels["zones"].figure["layout"]["shapes"]]
    assert cuts == [9.5, 19.5]


def test_units_have_their_colour_and_name(study, panels):
    trace = panels["units"].figure["data"][0]
    rank = study["rank"].sel(definition="rank_of_difference").values
    assert trace["marker"]["color"] == [look.rank_colour(float(r)) for r in rank]
    assert trace["ids"] == [str(u) for u in study["unit"].values]
    assert sum(width > 1 for width in trace["marker"]["line"]["width"]) == int(study["core"].sum())


@pytest.mark.parametrize("name", ["efficiency", "modularity"])
def test_graph_measures_stand_before_their_nulls(study, panels, name):
    data = panels[name].figure["data"]
    null = [t for t in data if t["name"] == "null"]
    dots = [t for t in data if t["name"] != "null"]
    assert len(null) == len(dots) == 12
    expected = study[name].sel(network="synergy", weighting="raw").item()
    assert [t["x"] for t in dots if t["name"] == "synergy" and t["xaxis"] == "x"] == [[expected], [expected]]
    ratio = study[name].sel(network="redundancy", weighting="density_10") / study[f"{name}_null"].sel(
        network="redundancy", weighting="density_10", graph_null="layer_preserving"
    ).mean("draw")
    assert f"{text_number(ratio.item())} times for redundancy" in panels[name].title


def test_a_real_study_fits_the_chapter():
    """The study itself, on series with a planted early block, gives every panel."""
    rng = np.random.default_rng(7)
    recording = synthetic.recording(6, 4, prompts=8, tokens=30)
    common = rng.normal(size=(8, 30, 1)).cumsum(axis=1)
    series = rng.normal(size=(8, 30, 24)) + 0.3 * common * (np.arange(24) < 8)
    recording["activity"] = (("prompt", "token", "unit"), series.astype("float32"))
    settings = SynergySettings(bootstraps=60, surrogates=3, graph_nulls=4, drop_first_layer=True)
    result = study_of(recording, settings=settings, controls=[recording], seed=1)
    made = chapter(result, recording)
    names = [panel.name for panel in made.panels]
    assert names == ["profile", "nats", "matrices", "network", "zones", "units", "efficiency", "modularity"]
    assert "20 heads over 8 prompts" in made.summary
    for panel in made.panels:
        go.Figure(panel.figure)
        assert "not a number" not in panel.title
    profile = _trace(made.panels[0], "rank of difference")["y"]
    np.testing.assert_array_equal(profile, result["profile"].sel(definition="rank_of_difference").values)


def test_bounds_and_bands_pass_over_what_is_unknown():
    low, high = bounds(np.array([[1.0, np.nan, 3.0], [2.0, np.nan, np.nan]]))
    np.testing.assert_array_equal(low, [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(high, [2.0, np.nan, 3.0])
    trace = band(np.arange(3.0), low, high, look.NULL_BAND)
    assert trace["x"] == [0.0, 2.0, 2.0, 0.0]
    assert trace["y"] == [1.0, 3.0, 3.0, 2.0]


def test_a_label_stands_at_the_last_known_point():
    mark = label("a", np.arange(4.0), np.array([1.0, 2.0, 5.0, np.nan]), look.INK)
    assert (mark["x"], mark["y"]) == (2.0, 5.0)


def test_sentences_write_p_as_the_page_does():
    assert p_words(0.0123) == "p\xa0=\xa00.012"
    assert p_words(0.0009) == "p\xa0<\xa00.001"


def test_early_steps_do_not_flatten_the_rest_of_an_excess():
    late = np.array([3.0, -1.0, 2e-3, 1e-3, -2e-3, 2e-3])
    (traces, notes, unit), shown = _near_zero(
        [{"y": late.tolist()}], [label("over", np.arange(6.0), late, look.INK) | {"y": 2e-3}]
    )
    drawn = np.array(traces[0]["y"])
    assert (np.sign(drawn) == np.sign(late)).all()
    assert abs(drawn[3]) > 0.05 * abs(drawn[0])
    assert notes[0]["y"] == drawn[5]
    assert "logarithmic" in unit
    places = dict(zip(shown["ticktext"], shown["tickvals"], strict=True))
    assert places["0"] == 0.0
    assert places["1"] == pytest.approx(np.arcsinh(1 / 1e-3))
    (same, _, unit), none = _near_zero([{"y": [1.0, 2.0]}], [])
    assert (same, unit, none) == ([{"y": [1.0, 2.0]}], "nats", {})

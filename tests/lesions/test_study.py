"""The lesion study on a real small model: its numbers, its refusals, what a kill changes (nothing), its chapter."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr

import brodmann as bd
from brodmann import look
from brodmann.atlas.bibliography import entries
from brodmann.atlas.draw import draw, drawable
from brodmann.errors import RecordingError, SettingsError
from brodmann.lesions import claims, figures, study
from brodmann.lesions.areas import area, ratio_interval
from brodmann.lesions.figures import chapter
from brodmann.lesions.ranking import rivals
from brodmann.partial import PartialFolder
from brodmann.recordings import answer_log_likelihood, recorded_text
from brodmann.removal import REMOVALS, Removal
from brodmann.settings import LesionSettings
from brodmann.stats import read_findings

SETTINGS = LesionSettings(fractions=(0.1, 0.25, 0.4), layer_draws=4, random_draws=3)
TEXTS = ["Once upon a time", "A dog ran", "The girl said that", "In the forest there was", "Tom and Mia", "It was cold"]


@pytest.fixture(scope="module")
def glass():
    return bd.load("glass-en")


@pytest.fixture(scope="module")
def recording(glass):
    return bd.record(glass, prompts=TEXTS, new_tokens=12)


@pytest.fixture(scope="module")
def order(recording):
    rank = np.linspace(0, 1, 16)[np.random.default_rng(5).permutation(16)]
    return xr.DataArray(rank, dims="unit", coords={"unit": recording["unit"].values})


@pytest.fixture(scope="module")
def found(glass, recording, order):
    return study(glass, recording, order=order, settings=SETTINGS)


def test_curves_are_what_single_lesions_give(glass, recording, order, found):
    prompts, answers = recorded_text(recording)
    intact = answer_log_likelihood(glass, prompts, answers).mean()
    by_rank = order.sortby(order, ascending=False)["unit"].values
    assert found["removed"].values.tolist() == [2, 4, 6]
    row = found.isel(curve=0)
    assert str(row["curve_order"].values) == "synergistic"
    assert found["unit"].values[np.isfinite(row["removal"].values)].tolist() == sorted(by_rank[:6])
    with bd.lesions.lesion(glass, by_rank[:6].tolist()):
        damaged = answer_log_likelihood(glass, prompts, answers).mean()
    assert damaged < intact
    assert float(row["divergence"].isel(fraction=2).mean()) > 0.2 * (intact - damaged)
    np.testing.assert_allclose(found["area"], area(found["fraction"].values, found["divergence"].values))


def test_controls_keep_what_they_promise(found):
    layer, names = found["unit_layer"].values, found["curve_order"].values
    gone = np.isfinite(found["removal"].values)
    per_layer = np.array([np.bincount(layer[each], minlength=4) for each in gone])
    assert (per_layer[names == "layer_matched"] == per_layer[0]).all()
    for name in ("norm_matched", "autocorrelation_matched", "redundant"):
        assert not (gone[names == name] & gone[0]).any()
        assert (found["shared"].sel(order=name) == 0).all()
    assert (found["shared"].sel(order="synergistic") == 1).all()
    assert [names.tolist().count(name) for name in ("random", "layer_matched")] == [3, 4]
    assert found["draw"].values[names == "layer_matched"].tolist() == [0, 1, 2, 3]


def test_summaries_follow_from_the_divergences(found):
    names = found["curve_order"].values
    core = found["area"].values[0].mean()
    for control in found["control"].values:
        other = found["area"].values[names == control].mean()
        np.testing.assert_allclose(found["ratio"].sel(control=control), core / other)
        nats = found["divergence"].values[names == control]
        np.testing.assert_allclose(found["mean"].sel(order=control), nats.mean(axis=(0, 2)))
        np.testing.assert_allclose(found["highest"].sel(order=control), nats.mean(axis=2).max(axis=0))
    assert (found["ratio_low"] <= found["ratio"]).all()
    assert (found["ratio"] <= found["ratio_high"]).all()
    assert [finding.name for finding in read_findings(found)] == [
        "core_against_layer_matched", "core_against_random", "core_against_norm_matched",
        "core_against_autocorrelation_matched", "importance_against_core",
    ]  # fmt: skip


def test_sets_are_compared_at_the_share_that_was_really_removed(found):
    assert found["fraction"].values[-1] == 6 / 16 != SETTINGS.fractions[-1]
    areas = {name: found["area"].values[found["curve_order"].values == name] for name in claims.ORDERS}
    again = claims.findings(claims.Evidence(areas, "head", 6 / 16, 0))
    assert [one.p for one in again] == [one.p for one in read_findings(found)]
    other = claims.findings(claims.Evidence(areas, "head", 0.4, 0))
    assert [one.null for one in other] != [one.null for one in again]


def test_a_killed_study_goes_on_to_the_same_bits(glass, recording, order, tmp_path):
    class Killed(Exception):
        pass

    class Dying(PartialFolder):
        def put(self, key, arrays):
            if len(list(self.path.glob("*.npz"))) == 4:
                raise Killed
            super().put(key, arrays)

    few = replace(SETTINGS, lesion_tokens=600)
    whole = study(glass, recording, order=order, settings=few)
    with pytest.raises(Killed):
        study(glass, recording, order=order, settings=few, partial=Dying(tmp_path))
    said = []
    again = study(
        glass, recording, order=order, settings=few, partial=PartialFolder(tmp_path), progress=lambda *w: said.append(w)
    )
    assert whole.drop_attrs().identical(again.drop_attrs())
    assert whole.attrs["findings"] == again.attrs["findings"]
    assert said[-2] == ("lesions", 1.0)
    assert said[0] == ("gradient importance", 0.0)


def test_units_without_a_rank_stay(glass, recording, order):
    short = order.copy()
    short[:4] = np.nan
    found = study(glass, recording, order=short, settings=SETTINGS)
    assert found.sizes["unit"] == 12
    assert found["unit_layer"].values.min() == 1
    by_results = xr.Dataset({"rank": short.expand_dims(definition=["rank_of_difference"])})
    same = study(glass, recording, results={"synergy": by_results}, settings=SETTINGS)
    assert found.drop_attrs().identical(same.drop_attrs())
    assert "ranked on activity recorded on these same prompts" in same.attrs["findings"]


def test_experts_are_removed_as_heads_are():
    subject = bd.load("random:olmoe")
    recording = bd.record(subject, prompts=TEXTS[:3], signal="expert_norm", new_tokens=6)
    units = recording["unit"].values
    order = xr.DataArray(np.arange(len(units)) * 1.0, dims="unit", coords={"unit": units})
    found = study(subject, recording, order=order, settings=SETTINGS)
    assert found.attrs["kind"] == "expert"
    assert float(found["divergence"].max()) > 0
    assert all(finding.verdict == "inconclusive" for finding in read_findings(found))  # three prompts give no interval
    assert len(chapter(found, recording).panels) == 3


def test_what_cannot_be_lesioned_is_refused_in_one_line(glass, recording, order):
    with pytest.raises(RecordingError, match="need a ranking"):
        study(glass, recording)
    with pytest.raises(RecordingError, match="has no unit L9H9"):
        study(glass, recording, order=order.assign_coords(unit=["L9H9", *order["unit"].values[1:]]))
    with pytest.raises(RecordingError, match="two prompts"):
        study(glass, recording.isel(prompt=[0]), order=order)
    with pytest.raises(RecordingError, match="neuron units cannot be removed"):
        study(glass, recording.assign_attrs(signal="neuron"), order=order)
    encoder = bd.load("random:bert")
    heard = bd.record(encoder, prompts=TEXTS[:2])
    with pytest.raises(RecordingError, match="writes no text"):
        study(encoder, heard, order=order)
    for wrong in ((0.4, 0.2), (0.0, 0.2), (0.2, 0.7), ()):
        with pytest.raises(SettingsError, match="must ascend"):
            study(glass, recording, order=order, settings=LesionSettings(fractions=wrong))


def test_activity_and_autocorrelation_are_those_of_numpy():
    rng = np.random.default_rng(2)
    series = rng.normal(3, 1, (2, 30, 3)).cumsum(axis=1)
    series[1, 20:] = np.nan
    series[:, :, 2] = np.where(np.isnan(series[:, :, 2]), np.nan, 7.1)
    activity, autocorrelation = rivals(series)
    np.testing.assert_allclose(activity, np.nanmean(series, axis=(0, 1)))
    for unit in (0, 1):
        expected = [np.corrcoef(s[:-1, unit], s[1:, unit])[0, 1] for s in (series[0], series[1, :20])]
        np.testing.assert_allclose(autocorrelation[unit], np.mean(expected), rtol=1e-9)
    assert autocorrelation[2] == 0


def test_a_claim_must_beat_prompts_and_sets():
    """A core whose area is one draw of its control is called harmful in no more than 5 % of 400 cases."""
    rng = np.random.default_rng(0)
    supported = 0
    for case in range(400):
        sets = rng.lognormal(0, 0.3, 12)
        prompts = rng.lognormal(0, 0.5, 30)
        areas = sets[:, None] * prompts * rng.lognormal(0, 0.1, (12, 30))
        evidence = claims.Evidence(
            {"synergistic": areas[:1], "layer_matched": areas[1:], "random": areas[1:6]}, "head", 0.4, case
        )
        finding = claims.compare(evidence, "x", "x", "synergistic", "layer_matched", "x")
        supported += finding.verdict == "supported"
    assert supported <= 28  # 20 expected, and three standard deviations less than twice


def test_a_claim_that_is_true_is_found():
    rng = np.random.default_rng(1)
    prompts = rng.lognormal(0, 0.5, 30)
    areas = {
        name: rng.lognormal(0, 0.1, (count, 1)) * prompts for name, count in (("random", 5), ("layer_matched", 10))
    }
    areas |= dict.fromkeys(("norm_matched", "autocorrelation_matched"), prompts[None] * 1.05)
    areas |= {"synergistic": 3 * prompts[None], "importance": 1.5 * prompts[None], "redundant": prompts[None]}
    found = {one.name: one for one in claims.findings(claims.Evidence(areas, "head", 0.4, 0))}
    verdicts = [finding.verdict for finding in found.values()]
    assert verdicts == ["supported"] * 4 + ["contradicted"]
    assert found["core_against_norm_matched"].estimate == pytest.approx(3 / 1.05)
    assert found["core_against_layer_matched"].reference == 1.0


def test_the_chapter_shows_the_numbers(found, recording):
    made = chapter(found, recording)
    assert [panel.name for panel in made.panels] == ["lesions", "lesion_ratios", "lesion_order"]
    assert entries(made.citations)
    for panel in made.panels:
        go.Figure(panel.figure)
        assert drawable(panel.figure)
        assert "<svg" in draw(panel.figure, name=panel.name, description=panel.description)
        assert panel.title.endswith(".")
    curves = made.panels[0].figure["data"]
    core = [trace for trace in curves if trace.get("name") == "the core first"]
    assert len(core) == 2
    for trace in core:
        np.testing.assert_array_equal(trace["y"], [0.0, *found["mean"].sel(order="synergistic").values])
        assert trace["line"]["color"] == look.SYNERGY
    grey = next(trace for trace in curves if trace.get("fillcolor") == look.NULL_BAND)
    np.testing.assert_array_equal(grey["y"][1:4], found["lowest"].sel(order="layer_matched").values)
    drawn = Counter(trace.get("name") for trace in curves)
    assert [drawn[order.words] for order in REMOVALS.values()] == [2, *[1] * (len(REMOVALS) - 1)]
    dots = [trace["x"][0] for trace in made.panels[1].figure["data"] if trace["name"] == "ratio"]
    np.testing.assert_array_equal(dots, found["ratio"].values)
    first = made.panels[2].figure["data"][0]
    assert first["marker"]["symbol"].count("circle") == 6
    assert str(found["unit"].values[int(found["rank"].values.argmax())]) in made.panels[2].title


def test_the_figure_draws_the_intervals_of_the_findings(found, recording):
    """Both hold the chance in which set was drawn."""
    panel = chapter(found, recording).panels[1]
    traces = panel.figure["data"]
    height = dict(zip(panel.figure["layout"]["yaxis"]["ticktext"], panel.figure["layout"]["yaxis"]["tickvals"],
                      strict=True))  # fmt: skip
    said = {finding.name: finding for finding in read_findings(found)}
    end = panel.figure["layout"]["xaxis"]["range"][1] / 1.06
    for claim in claims.CLAIMS:
        finding, control = said[claim.name], claim.second if claim.second != "synergistic" else claim.first
        expected = np.array([finding.estimate, *finding.interval])
        if claim.first != "synergistic":  # the rival over the core; the figure has the core over the rival
            expected = 1 / expected[[0, 2, 1]]
        at = height[claims.ORDERS[control]]
        dot = next(t["x"] for t in traces if t["name"] == "ratio" and t["y"] == [at])
        line = next(t["x"] for t in traces if t["name"] == "interval" and t["y"] == [at, at])
        np.testing.assert_allclose([*dot, *line], np.minimum(expected, [np.inf, end, end]), rtol=1e-12)
        one = found.sel(control=control)
        np.testing.assert_allclose([one[f"ratio{e}"] for e in ("", "_low", "_high")], expected, rtol=1e-12)
    areas = {name: found["area"].values[found["curve_order"].values == name] for name in claims.ORDERS}
    given = ratio_interval(areas["synergistic"], areas["norm_matched"])
    assert found["ratio_high"].sel(control="norm_matched") > 1.05 * given.high
    assert "which set was drawn" in panel.how_to_read


def test_an_atlas_from_before_an_order_was_added_is_drawn_without_it(found, recording, monkeypatch):
    before = chapter(found, recording)
    newer = {**REMOVALS, "loudest": Removal("the loudest first", "rival", "matched", 1.4)}
    monkeypatch.setattr(figures, "REMOVALS", newer)
    assert chapter(found, recording) == before
    again = found.assign_coords(order=["loudest" if name == "random" else name for name in found["order"].values])
    traces = chapter(again, recording).panels[0].figure["data"]
    named = Counter(trace.get("name") for trace in traces)
    assert (named["the loudest first"], named["random"], named["the core first"]) == (1, 0, 2)


def test_the_map_of_removal_shades_by_thirds_up_to_any_last_share(found, recording):
    """Three times 0.4 over 0.4 is 3.0000000000000004: the last units have the last of three shades all the same."""
    gone = found["removal"].copy(deep=True)
    row = int(np.flatnonzero(found["curve_order"].values == "importance")[0])
    gone[row] = np.nan
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    gone[row, :4] = shares
    panels = {panel.name: panel for panel in chapter(found.assign(removal=gone), recording).panels}
    colours = panels["lesion_order"].figure["data"][2]["marker"]["color"]
    assert colours[:4] == [look.INK, look.INK_2, look.NULL, look.NULL]
    assert set(colours[4:]) == {look.RULE}


def test_a_random_model_and_far_ratios_are_said(found, recording):
    far = found.copy()
    far["ratio"] = found["ratio"] * 1e4
    far.attrs["provenance"] = json.dumps({"randomly_initialised": True})
    made = chapter(far, recording)
    assert made.panels[0].title.endswith("(randomly initialised).")
    assert made.panels[1].figure["layout"]["xaxis"]["range"][1] < 13
    assert not [trace for trace in made.panels[1].figure["data"] if trace["name"] == "ratio"]


def test_a_wide_interval_does_not_set_the_scale(found, recording):
    wide = found.copy(deep=True)
    wide["ratio_high"][{"control": 0}] = 1300.0
    panel = chapter(wide, recording).panels[1]
    reach = [*found["ratio"].values, *found["ratio_of_draw"].values[np.isfinite(found["ratio_of_draw"].values)], 4 / 3]
    end = panel.figure["layout"]["xaxis"]["range"][1]
    assert end <= 1.06 * 1.5 * max(reach) + 1e-9
    (arrow, *_) = [trace for trace in panel.figure["data"] if trace["name"] == "interval goes on"]
    assert arrow["x"][0] <= end
    assert "to 1,300" in [each["text"] for each in panel.figure["layout"]["annotations"]]
    drawn = [v for trace in chapter(wide, recording).panels[0].figure["data"] for v in trace["y"]]
    assert chapter(wide, recording).panels[0].figure["layout"]["yaxis"]["range"][1] == pytest.approx(1.04 * max(drawn))


def test_the_dry_run_can_reckon_forward_passes():
    assert SETTINGS.conditions() == 3 * (5 + 4 + 3)  # five orders that are not drawn
    assert SETTINGS.forward_tokens(60, 150) == 60 * 150 * (36 + 4)

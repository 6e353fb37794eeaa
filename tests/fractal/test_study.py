"""What the study says of planted weights: scale alone, structure, nothing; of nano's own training; live and stored."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tests.fractal.written import held, noise, write

from brodmann.errors import SettingsError, WeightsError
from brodmann.fractal import study
from brodmann.fractal.baselines import hill_exponent
from brodmann.fractal.compared import NULLS, PLAIN
from brodmann.fractal.figures import chapter
from brodmann.fractal.initialisation import initialisation
from brodmann.fractal.live import WeightWatch
from brodmann.fractal.weigh import weigh
from brodmann.models.chains import chain
from brodmann.models.packaged import checkpoints
from brodmann.models.shards import open_checkpoint
from brodmann.settings import FractalSettings
from brodmann.stats import Finding

QUICK = FractalSettings(fractal_nulls=3, initialisations=3, fractal_bootstraps=100, tails=False)


def said(result: xr.Dataset) -> dict[str, Finding]:
    return {each["name"]: Finding.from_dict(each) for each in json.loads(result.attrs["findings"])}


def series(folder: Path, *states: dict[str, np.ndarray]) -> list:
    return [open_checkpoint(write(folder / f"step{k}", weights)) for k, weights in enumerate(states)]


def test_weights_that_only_grow(tmp_path: Path, rng: np.random.Generator) -> None:
    """Multiplied by 3: the official degree is large, the scale-free one 0, and nothing is beyond matched scale."""
    start = noise(rng, 0.02)
    result = study(series(tmp_path, start, {k: 3 * v for k, v in start.items()}), steps=[0, 1], settings=QUICK)
    found = said(result)
    assert found["emergence_rises"].verdict == "supported"
    assert found["emergence_rises"].estimate > 0.25
    for null in NULLS:
        assert found[f"emergence_beyond_{null}"].verdict != "supported"
    free = found["emergence_scale_free"]
    assert abs(free.estimate) < 0.005
    assert free.interval[0] <= 0.0 <= free.interval[1]
    assert free.verdict != "supported"


def test_rows_of_different_size(tmp_path: Path, rng: np.random.Generator) -> None:
    """The same growth, with sources that differ in size: beyond every null."""
    start = noise(rng, 0.02)
    uneven = {k: 3 * v * np.exp(rng.normal(0, 0.8, v.shape[1])).astype(np.float32) for k, v in start.items()}
    found = said(study(series(tmp_path, start, uneven), steps=[0, 1], settings=QUICK))
    for null in NULLS:
        finding = found[f"emergence_beyond_{null}"]
        assert finding.verdict == "supported", finding.sentence()
        assert finding.interval[0] > 0.1


@pytest.mark.slow
def test_a_fresh_network_is_not_called_emerged(tmp_path: Path, rng: np.random.Generator) -> None:
    states = [noise(rng, 0.02) for _ in range(5)]
    verdicts = []
    for k in range(4):
        result = study(series(tmp_path / str(k), states[k], states[k + 1]), steps=[0, 1], settings=QUICK)
        verdicts += [each.verdict for each in said(result).values()]
    assert verdicts.count("supported") <= 1


def test_a_single_checkpoint_is_counted_from_a_simulated_beginning(rng: np.random.Generator) -> None:
    """Weights as the config says they were drawn have not emerged."""
    result = study([held(noise(rng, 0.05), initializer_range=0.05)], settings=QUICK)
    assert "deviation 0.05 (initializer_range of the config" in result.attrs["reference"]
    assert result["initial"].sizes == {"grid": 2, "initialisation": 3, "exponent": 2}
    assert abs(float(result["emergence"].sel(grid="official").isel(step=0))) < 0.1
    found = said(result)
    assert {each.verdict for each in found.values()} <= {"inconclusive"}
    assert any("no step 0 is at hand" in caveat for caveat in found["emergence_rises"].caveats)


def test_what_is_counted_from_a_guess_is_no_test(rng: np.random.Generator) -> None:
    """Nobody says how the weights began: only the scale-free degree, which does not ask, is tested."""
    weights = {name: 3 * values for name, values in noise(rng, 0.02).items()}
    guessed = said(study([held(weights, initializer_range=None)], settings=QUICK))
    told = said(study([held(weights, initializer_range=None)], settings=replace(QUICK, initial_deviation=0.02)))
    counted = {name for name in told if name != "emergence_scale_free"}
    assert all(guessed[name].untested for name in counted)
    assert not any(told[name].untested for name in told)
    assert "--initial-deviation" in guessed["emergence_rises"].caveats[0]
    assert guessed["emergence_rises"].estimate == pytest.approx(told["emergence_rises"].estimate)
    assert told["emergence_rises"].verdict == "supported"


def test_the_packaged_models_begin_as_they_did() -> None:
    """nano alone gives what its own step 0 gives; SmolLM2's file lacks what its published config says."""
    last, first = open_checkpoint("nano"), open_checkpoint("nano", "step0")
    alone, own = study([last], settings=QUICK), study([first, last], steps=[0, 4096], settings=QUICK)
    one, two = (said(each)["emergence_rises"] for each in (alone, own))
    assert one.estimate == pytest.approx(two.estimate, abs=0.05)
    untrained = study([first], settings=QUICK)
    assert abs(said(untrained)["emergence_rises"].estimate) < 0.02
    assert {each.verdict for each in said(untrained).values()} == {"inconclusive"}
    smol = open_checkpoint("smollm2-135m")
    assert set(initialisation(smol.config, chain(smol)).deviations.values()) == {1 / 24}


@pytest.mark.parametrize("dtype", ["Q4_0", "Q4_1", "Q8_0"])
def test_rounding_to_few_bits_is_no_emergence(rng: np.random.Generator, dtype: str) -> None:
    """Noise is stored as the weights are: an untrained network in four bits is no finding, as one sample says too."""
    for settings in (QUICK, replace(QUICK, sampled=32, samples=3)):
        found = said(study([held(noise(rng, 0.02), dtype)], settings=settings))
        assert {each.verdict for each in found.values()} == {"inconclusive"}, dtype
        assert abs(found["emergence_rises"].estimate) < 0.1
        assert any(f"stored as {dtype}" in caveat for caveat in found["emergence_rises"].caveats)


def test_formats_that_cannot_be_written_are_not_tested_against_noise(rng: np.random.Generator) -> None:
    start = held(noise(rng, 0.02))
    entries = {name: replace(entry, dtype="Q4_K") for name, entry in start.tensors.items()}
    found = said(study([replace(start, tensors=entries)], settings=QUICK))
    untested = {name for name, each in found.items() if each.untested}
    assert untested == {"emergence_rises", "emergence_beyond_matched_scale", "emergence_scale_free"}


def test_uneven_entries_that_only_grow_contradict_nothing(rng: np.random.Generator) -> None:
    """Uniform weights fall short of normal ones of their size; so do they in random places."""
    start = {name: rng.uniform(-0.05, 0.05, values.shape) for name, values in noise(rng, 1.0).items()}
    grown = {name: 3 * values for name, values in start.items()}
    found = said(study([held(start), held(grown)], steps=[0, 1], settings=QUICK))
    assert found["emergence_beyond_matched_scale"].estimate < 0
    assert "contradicted" not in {each.verdict for each in found.values()}


def test_sources_of_different_size_do_not_contradict_scale_free_emergence(rng: np.random.Generator) -> None:
    """alpha0 rises and the spectrum widens: their product says nothing, and the finding says so."""
    start = noise(rng, 0.03)
    uneven = {k: v * 2 * np.exp(rng.normal(0, 0.5, v.shape[1])) for k, v in noise(rng, 0.03).items()}
    found = said(study([held(start), held(uneven)], steps=[0, 1], settings=QUICK))
    assert found["emergence_beyond_matched_scale"].verdict == "supported"
    free = found["emergence_scale_free"]
    assert free.estimate < 0
    assert free.untested
    assert "widened while alpha0 rose" in free.caveats[0]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["alike", "targets"])
def test_intervals_cover_what_fresh_networks_give(rng: np.random.Generator, case: str) -> None:
    """Two fresh networks alike, of which some have an edge of length 2; targets that differ in size."""

    def drawn() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        if case == "alike":
            return noise(rng, 0.08), noise(rng, 0.08)
        later = {k: v * np.exp(rng.normal(0, 0.8, (v.shape[0], 1))) for k, v in noise(rng, 0.06).items()}
        return noise(rng, 0.03), later

    pairs = (drawn() for _ in range(40))
    found = [said(study([held(a), held(b)], steps=[0, 1], settings=QUICK)) for a, b in pairs]
    for name in ("emergence_rises", "emergence_scale_free"):
        values = np.array([each[name].estimate for each in found])
        truth = 0.0 if case == "alike" else float(np.median(values))
        inside = [each[name].interval[0] <= truth <= each[name].interval[1] for each in found]
        assert np.mean(inside) >= 0.85
    if case == "alike":
        said_of = [each.verdict for one in found for each in one.values()]
        assert said_of.count("supported") + said_of.count("contradicted") <= 4  # of 200


def test_every_plain_quantity_is_computed(tmp_path: Path, rng: np.random.Generator) -> None:
    found = weigh(
        open_checkpoint(write(tmp_path / "one", noise(rng, 0.02))), QUICK, seed=0, workers=1, say=lambda *_: None
    )
    assert {name.removeprefix("plain.") for name in found if name.startswith("plain.")} == PLAIN.keys() - {"log_step"}


def test_plain_quantities_are_those_of_each_matrix(tmp_path: Path, rng: np.random.Generator) -> None:
    """Against numpy, matrix by matrix; with a table of scores each is correlated, and drawn."""
    start = noise(rng, 0.02)
    states = [{k: factor * v for k, v in start.items()} for factor in (1, 2, 3, 4)]
    for k, state in enumerate(states):
        state["gpt_neox.layers.0.attention.dense.weight"][:, 0] *= 1 + k
    rows = [("run", step, "task", "acc", value) for step, value in ((0, 0.1), (1, 0.3), (2, 0.2), (3, 0.5))]
    scores = pd.DataFrame(rows, columns=["model", "step", "task", "metric", "value"])
    result = study(series(tmp_path, *states), steps=[0, 1, 2, 3], settings=replace(QUICK, tails=True), scores=scores)
    assert result["quantity"].values.tolist() == list(PLAIN)
    for k, state in enumerate(states):
        values = [np.linalg.svd(each)[1].astype(float) for each in state.values()]
        found = {name: float(result["baseline"].sel(quantity=name)[k]) for name in PLAIN}
        entries = np.concatenate([each.ravel() for each in state.values()]).astype(float)
        assert found["rms"] == pytest.approx(np.sqrt(np.mean(entries**2)), rel=1e-5)
        assert found["stable_rank"] == pytest.approx(np.mean([(v**2).sum() / v.max() ** 2 for v in values]), rel=1e-4)
        tails = [hill_exponent(np.sort(v**2)).exponent for v in values]
        assert found["tail_exponent"] == pytest.approx(np.nanmean(tails), rel=1e-3)
    assert set(PLAIN) < set(result["compared"].values.tolist())
    panels = {panel.name: panel for panel in chapter(result, xr.Dataset()).panels}
    names = {trace.get("name") for trace in panels["fractal-emergence"].figure["data"]}
    assert {"mean tail exponent", "mean stable rank"} <= names
    assert "mean stable rank" in panels["fractal-scores"].figure["layout"]["yaxis"]["ticktext"]


@pytest.mark.slow
def test_nano_through_its_training() -> None:
    """E on both grids with nulls and baselines, and its correlation with the held-out losses' clock."""
    steps = checkpoints("nano")
    taken = [steps[at] for at in (0, 4, 7, 10, 13)]
    opened = [open_checkpoint("nano", name) for _, name in taken]
    result = study(opened, steps=[float(step) for step, _ in taken], settings=QUICK)
    emergence = result["emergence"].sel(grid="official").values
    assert emergence[0] == 0.0
    assert emergence[1] == pytest.approx(0.0, abs=0.01)
    assert emergence[-1] == pytest.approx(0.633, abs=0.002)
    noise_of_its_scale = result["null_emergence"].sel(grid="official", null="matched_scale").mean("draw").values
    assert noise_of_its_scale[-1] == pytest.approx(0.48, abs=0.02)
    found = said(result)
    assert found["emergence_beyond_matched_scale"].verdict == "supported"
    assert found["emergence_beyond_matched_scale"].estimate == pytest.approx(0.15, abs=0.02)
    rms = result["baseline"].sel(quantity="rms").values
    assert rms[[0, -1]] == pytest.approx([0.0200, 0.1102], abs=2e-4)
    assert float(result["alpha0"].sel(grid="official")[-1]) == pytest.approx(result["neuron_slope"].values.mean(), 1e-5)


def test_live_numbers_are_the_studys(tmp_path: Path, rng: np.random.Generator) -> None:
    from brodmann.models import load

    watch = WeightWatch(FractalSettings(), draws=2)
    first, last = ("step0", "step256")
    seen = [watch(load("nano", revision=name, check=False).model, 0) for name in (first, last)]
    opened = [open_checkpoint("nano", name) for name in (first, last)]
    result = study(opened, steps=[0, 256], settings=QUICK)
    for grid in ("official", "scale_free"):
        stored = result.sel(grid=grid).isel(step=1)
        assert seen[1][f"weights_{grid}_alpha0"] == pytest.approx(float(stored["alpha0"]), abs=1e-12)
        assert seen[1][f"weights_{grid}_width"] == pytest.approx(float(stored["width"]), abs=1e-12)
        assert seen[1][f"weights_{grid}_emergence"] == pytest.approx(float(stored["emergence"]), abs=1e-12)
        assert seen[0][f"weights_{grid}_emergence"] == 0.0
    assert seen[1]["weights_official_noise"] == pytest.approx(
        float(result["null_emergence"].sel(grid="official", null="matched_scale").mean("draw")[1]), abs=0.02
    )
    again = WeightWatch(FractalSettings(), draws=2)
    again.begin([{"loss": 1.0}, {**seen[0], "step": 0}])
    assert again(load("nano", revision=last, check=False).model, 256)["weights_official_emergence"] == pytest.approx(
        seen[1]["weights_official_emergence"], abs=1e-12
    )


def test_a_finished_checkpoint_is_not_measured_again(tmp_path: Path, rng: np.random.Generator) -> None:
    kept: dict[str, dict[str, np.ndarray]] = {}

    class Kept:
        def get(self, key: str) -> dict[str, np.ndarray] | None:
            return kept.get(key)

        def put(self, key: str, arrays: dict[str, np.ndarray]) -> None:
            kept[key] = arrays

    opened = series(tmp_path, noise(rng, 0.02), noise(rng, 0.04))
    one = study(opened, steps=[0, 8], settings=QUICK, partial=Kept())
    whole = [key for key in kept if " " not in key.removeprefix("weighed ")]
    assert len(whole) == 2
    heard: list[str] = []
    two = study(opened, steps=[0, 8], settings=QUICK, partial=Kept(), progress=lambda name, _share: heard.append(name))
    assert heard == ["findings"]
    xr.testing.assert_identical(one.drop_attrs(), two.drop_attrs())
    assert one.attrs["findings"] == two.attrs["findings"]
    for key in [*whole, *list(kept)[-3:]]:  # stopped within the last checkpoint: what it had drawn is kept
        kept.pop(key, None)
    left = set(kept)
    three = study(opened, steps=[0, 8], settings=QUICK, partial=Kept())
    xr.testing.assert_identical(one.drop_attrs(), three.drop_attrs())
    assert left < set(kept)


class TestRefusals:
    def test_steps(self, tmp_path: Path, rng: np.random.Generator) -> None:
        opened = series(tmp_path, noise(rng, 0.02), noise(rng, 0.02))
        with pytest.raises(SettingsError, match="the steps must rise"):
            study(opened, steps=[4, 4], settings=QUICK)
        with pytest.raises(SettingsError, match="2 checkpoints and 1 steps"):
            study(opened, steps=[4], settings=QUICK)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda w: w.__setitem__((3, 5), np.nan), "holds NaN or infinite weights"),
            (lambda w: w.__setitem__(slice(None), 0.0), "is zero everywhere, so it has no edges"),
        ],
        ids=["nan", "zero"],
    )
    def test_a_matrix_that_cannot_be_used_is_named(
        self, tmp_path: Path, rng: np.random.Generator, change: object, words: str
    ) -> None:
        weights, name = noise(rng, 0.02), "gpt_neox.layers.2.mlp.dense_h_to_4h.weight"
        change(weights[name])  # type: ignore[operator]
        with pytest.raises(WeightsError, match=f"bad: {name} {words}$"):
            study([open_checkpoint(write(tmp_path / "bad", weights))], settings=QUICK)

    def test_no_neuron_kept(self, tmp_path: Path, rng: np.random.Generator) -> None:
        opened = [open_checkpoint(write(tmp_path / "far", noise(rng, 1e-4)))]
        with pytest.raises(WeightsError, match=r"0 of 1792 neurons have 11 edges or more.*raise r_max"):
            study(opened, settings=QUICK)

    def test_one_radius(self, tmp_path: Path, rng: np.random.Generator) -> None:
        """A star's distances: every weight the same."""
        same = {name: np.full_like(values, 0.1) for name, values in noise(rng, 1.0).items()}
        with pytest.raises(WeightsError, match="only 1 different radii occur: a slope needs at least 5"):
            study([open_checkpoint(write(tmp_path / "star", same))], settings=QUICK)

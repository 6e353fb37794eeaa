"""Accuracy under lesion: marking, sets of units, verdicts on planted marks, and one small study."""

import json

import numpy as np
import pytest
import xarray as xr
from scipy.stats import t as student

import brodmann as bd
from brodmann.atlas.draw import drawable
from brodmann.errors import RecordingError, SettingsError
from brodmann.lesions.accuracy import choice_tokens, marks, unit_sets
from brodmann.lesions.accuracy_claims import Marked, below, findings
from brodmann.lesions.accuracy_figures import chapter
from brodmann.lesions.accuracy_study import make_quizzes, study
from brodmann.lesions.areas import difference_interval
from brodmann.recordings.likelihood import answer_log_likelihood
from brodmann.settings import AccuracySettings
from brodmann.stats import read_findings
from brodmann.tasks import TASKS, quiz


@pytest.fixture(scope="module")
def glass():
    return bd.load("glass-en")


def test_choices_are_marked_by_the_likelihood_of_their_tokens(glass):
    asked = quiz(TASKS["copy"], 8, 4, seed=0, shots=1, choose=True)
    found = marks(glass, asked)
    for item, right in zip(asked.items, found, strict=True):
        prompt, choices = choice_tokens(glass.tokenizer, item)
        slow = np.nansum(answer_log_likelihood(glass, [prompt] * len(choices), choices), axis=1)
        assert (int(np.argmax(slow)) == item.gold) == right
        whole = glass.tokenizer(f"{item.prompt} {item.answer}")["input_ids"]
        assert [*prompt, *choices[item.gold]] == whole


def test_sets_have_one_size_and_the_cores_layers(rng):
    layer = np.repeat([0, 1, 2], 4)
    order = np.array([8, 9, 4, 0, 1, 2, 3, 5, 6, 7, 10, 11])
    names = [f"L{each}H{n % 4}" for n, each in enumerate(layer)]
    sets = unit_sets(names, order, layer, share=0.25, matched=30, random=9, rng=rng)
    assert sets["core"] == [("L1H0", "L2H0", "L2H1")]
    assert sets["redundant"] == [("L1H3", "L2H2", "L2H3")]
    assert {tuple(sorted(unit[:2] for unit in each)) for each in sets["same layers"]} == {("L1", "L2", "L2")}
    assert len(set(sets["same layers"])) > 5
    assert {len(set(each)) for each in sets["random"]} == {3}


def planted(core, matched, intact=0.9, questions=60, sets=10, spread=0.0, seed=0):
    rng = np.random.default_rng(seed)
    shares = np.clip(matched + spread * rng.standard_normal(sets), 0, 1)
    under = {
        "core": rng.random((1, questions)) < core,
        "same layers": rng.random((sets, questions)) < shares[:, None],
        "random": rng.random((3, questions)) < matched,
        "redundant": rng.random((1, questions)) < matched,
    }
    return Marked("planted", 0.25, rng.random(questions) < intact, under, "chosen among 4")


def verdict(marked):
    return findings([marked], kind="zero", share=0.1, seed=0)[0]


def test_verdicts_on_planted_marks():
    assert verdict(planted(0.4, 0.85)).verdict == "supported"
    assert verdict(planted(0.85, 0.4)).verdict == "contradicted"
    assert verdict(planted(0.85, 0.85)).verdict != "supported"
    # one set among sets that differ as much: questions agree, sets do not
    wide = [verdict(planted(0.55, 0.7, spread=0.15, questions=400, seed=seed)) for seed in range(6)]
    assert [each.verdict for each in wide].count("supported") <= 1
    assert np.median([each.p for each in wide]) > 0.05


def test_figures_and_findings_have_one_interval_and_it_holds_the_chance_in_the_set():
    marked = planted(0.6, 0.8, spread=0.1)
    found, finding = below(marked, "same layers"), verdict(marked)
    assert found.ends == finding.interval
    assert float(found.estimate) == finding.estimate
    given = difference_interval(*(marked.under[name].astype(float) for name in ("same layers", "core")))
    per_set = marked.under["same layers"].mean(axis=1)
    reach = student.ppf(0.975, 9) * per_set.std(ddof=1)
    assert found.high - found.estimate == pytest.approx(np.hypot(given.high - given.estimate, reach))
    two = student.ppf(0.975, 2) * marked.under["random"].mean(axis=1).std(ddof=1) * np.sqrt(2)
    assert float(below(marked, "redundant").high - below(marked, "redundant").estimate) > two > 0


def test_near_guessing_nothing_is_concluded():
    guess = verdict(planted(0.0, 0.25, intact=0.25))
    assert guess.verdict == "inconclusive"
    assert "not clearly more than guessing" in guess.caveats[0]
    spent = verdict(planted(0.0, 0.25, intact=0.95))
    assert spent.verdict == "inconclusive"
    assert "too little is left" in spent.caveats[0]


def test_at_the_ceiling_a_dozen_questions_contradict_nothing():
    """All right under core and controls: no question differs, which 12 questions cannot make certain."""
    everything = {name: np.ones((len(rows), 12), bool) for name, rows in planted(0.5, 0.5).under.items()}
    found = verdict(Marked("ceiling", 0.25, np.ones(12, bool), everything, "chosen among 4"))
    assert found.verdict == "inconclusive"
    # Agresti and Min: 1.96 sqrt(1) / 14
    assert found.interval == pytest.approx((-0.14, 0.14), abs=1e-3)


SMALL = AccuracySettings(accuracy_tasks=("copy:4", "addition:1"), questions=8, shots=1, control_sets=3,
                         random_unit_sets=2)  # fmt: skip


class Kept(dict):
    def put(self, key, arrays):
        self[key] = arrays


@pytest.fixture(scope="module")
def recording(glass):
    return bd.record(glass, prompts=["Once upon a time", "The king said"], new_tokens=6)


def order_of(recording):
    units = recording["unit"].values
    return xr.DataArray(np.arange(len(units))[::-1] / len(units), coords={"unit": units}, dims="unit")


def test_a_small_study_resumes_and_draws(glass, recording):
    kept = Kept()
    found = study(glass, recording, order=order_of(recording), settings=SMALL, partial=kept)
    assert found.sizes["lesion"] == 1 + 1 + 1 + 3 + 2
    assert 3 <= len(kept) <= 8, "equal sets are asked once"
    again = study(glass, recording, order=order_of(recording), settings=SMALL, partial=kept)
    np.testing.assert_array_equal(found["right"], again["right"])
    mean = found["right"].isel(lesion=found["set"].values == "same layers").mean(("lesion", "question"))
    np.testing.assert_allclose(found["accuracy"].sel(shown="same layers"), mean)
    gap = found["accuracy"].sel(shown="same layers") - found["accuracy"].sel(shown="core")
    np.testing.assert_allclose(found["difference"].sel(control="same layers"), gap, atol=1e-12)
    assert [each.name for each in read_findings(found)] == ["core_accuracy_copy_4", "core_accuracy_addition_1"]
    assert found["lesioned"].sel(set_name="core").values[:2].tolist() == [1.0, 1.0]
    page = chapter(found, recording)
    assert [panel.name for panel in page.panels] == ["accuracy", "accuracy-differences"]
    for panel in page.panels:
        assert drawable(panel.figure)
        json.dumps(panel.figure, allow_nan=False)


def test_written_answers(glass):
    settings = AccuracySettings(accuracy_tasks=("count:1",), questions=6, shots=0, answering="write")
    asked = make_quizzes(settings, 0)[0]
    assert not asked.choose
    assert marks(glass, asked).shape == (6,)


def test_what_it_refuses(glass, recording):
    for given, said in (
        ({"accuracy_share": 0.9}, "accuracy_share = 0.9"), ({"control_sets": 1}, "control_sets = 1"),
        ({"accuracy_tasks": ("addition:x",)}, "write a family and a level"),
        ({"accuracy_tasks": ("addition:9",)}, "has no level 9"), ({"accuracy_tasks": ()}, "at least one"),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match=said):
            study(glass, recording, order=order_of(recording), settings=AccuracySettings(**given))
    with pytest.raises(RecordingError, match="neuron units cannot be lesioned"):
        study(glass, recording.assign_attrs(signal="neuron"), order=order_of(recording), settings=SMALL)

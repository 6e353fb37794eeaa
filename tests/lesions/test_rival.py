"""The rival ranking by gradient is measured on prompts that it has not seen."""

import numpy as np
import pytest
import xarray as xr

import brodmann as bd
from brodmann.lesions import study, sweep
from brodmann.lesions.divergence import divergences
from brodmann.lesions.importance import gradient_importance
from brodmann.recordings import recorded_text
from brodmann.settings import LesionSettings

SETTINGS = LesionSettings(fractions=(0.125, 0.25), layer_draws=3, random_draws=3)
TEXTS = [f"{name} {did} the {what}" for name in ("Tom", "Mia", "A dog") for did in ("saw", "took")
         for what in ("ball", "tree")]  # fmt: skip


@pytest.fixture(scope="module")
def glass():
    return bd.load("glass-en")


@pytest.fixture(scope="module")
def recording(glass):
    return bd.record(glass, prompts=TEXTS, new_tokens=8)


@pytest.fixture(scope="module")
def order(recording):
    return xr.DataArray(np.arange(16.0), dims="unit", coords={"unit": recording["unit"].values})


def test_where_no_head_matters_more_the_rival_does_no_harm_on_other_prompts(glass, recording, order, monkeypatch):
    """Every prompt is hurt by heads of its own; the gradient knows the harm exactly, of the prompts it was given."""
    harm: dict[tuple[int, ...], np.ndarray] = {}

    def of(answers):
        return np.stack([harm[tuple(each)] for each in answers])  # prompt, unit

    monkeypatch.setattr(sweep, "gradient_importance", lambda subject, prompts, answers, **_: of(prompts).mean(axis=0))
    monkeypatch.setattr(sweep, "divergences", lambda subject, prompts, answers, lesions, **_: lesions @ of(prompts).T)
    prompts, _ = recorded_text(recording)
    assert len({tuple(each) for each in prompts}) == len(TEXTS)
    crossed, favoured = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        harm |= {tuple(each): rng.lognormal(0, 1, 16) for each in prompts}
        found = study(glass, recording, order=order, settings=SETTINGS)
        everything = of(prompts)
        by_all = np.argsort(-everything.mean(axis=0))[:4]
        at = found["mean"].sel(order="importance").isel(fraction=-1)
        crossed.append(float(at) / (4 * everything.mean()))
        favoured.append(everything[:, by_all].sum(axis=1).mean() / (4 * everything.mean()))
    error = np.std(crossed, ddof=1) / np.sqrt(len(crossed))
    assert np.mean(favoured) > 1.3
    assert abs(np.mean(crossed) - 1) < 3 * error < 0.1


def test_what_the_study_measures_is_each_half_by_the_ranking_of_the_other(glass, recording, order):
    found = study(glass, recording, order=order, settings=SETTINGS)
    prompts, answers = recorded_text(recording)
    row = found["curve_order"].values.tolist().index("importance")
    scores = [gradient_importance(glass, prompts[first::2], answers[first::2]) for first in (0, 1)]
    for first, other in ((0, 1), (1, 0)):
        sets = np.zeros((2, 16), dtype=bool)
        for step, count in enumerate((2, 4)):
            sets[step, np.argsort(-scores[other], kind="stable")[:count]] = True
        expected = divergences(glass, prompts[first::2], answers[first::2], sets)
        np.testing.assert_allclose(found["divergence"].values[row][:, first::2], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["importance"], np.mean(scores, axis=0))

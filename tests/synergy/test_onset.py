"""A jump among checkpoints is found; slopes, curves, drifts and noise are seldom taken for one."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from brodmann.steps import step_position
from brodmann.synergy.onset import CLEARLY, find_onset, margins
from brodmann.synergy.shapes import SMOOTH, criteria, drifts, lead

STEPS = np.array([0, *(2**k for k in range(13))], float)
PLACE = step_position(STEPS)
SHARE = (PLACE - PLACE[0]) / np.ptp(PLACE)
TRENDS = {
    "line": SHARE, "parabola": SHARE**2, "linear in step": STEPS / STEPS[-1],
    "sigmoid": 1 / (1 + np.exp(-(PLACE - 5.5) / 1.5)),
}  # fmt: skip


def identified(make: Callable[[np.random.Generator], np.ndarray], seeds: int = 200) -> float:
    """Share of planted series in which an onset is identified."""
    series = np.array([make(np.random.default_rng([seed, 14])) for seed in range(seeds)])
    count = 0
    for seed in np.flatnonzero(margins(series, PLACE) > CLEARLY):  # no other can be identified
        found = find_onset(series[seed], PLACE, np.random.default_rng([seed, 15]), draws=99)
        count += found.identified
    return count / seeds


def noisy(truth: np.ndarray) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: truth + rng.standard_normal(truth.size)


@pytest.mark.parametrize("height", [2.0, 5.0, 10.0])
@pytest.mark.parametrize("trend", TRENDS)
def test_smooth_trends_have_no_onset(trend: str, height: float) -> None:
    assert identified(noisy(height * TRENDS[trend])) <= 0.1


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_random_walks_have_no_onset(noise: float) -> None:
    def walk(rng: np.random.Generator) -> np.ndarray:
        return np.cumsum(rng.standard_normal(14)) + noise * rng.standard_normal(14)

    assert identified(walk) <= 0.08


def test_autocorrelated_noise_has_no_onset() -> None:
    def decaying(rng: np.random.Generator) -> np.ndarray:
        values = rng.standard_normal(14)
        for step in range(1, 14):
            values[step] += 0.6 * values[step - 1]
        return values

    assert identified(decaying) <= 0.08


@pytest.mark.parametrize(("height", "least"), [(4.0, 0.4), (5.0, 0.6), (6.0, 0.8), (8.0, 0.95)])
def test_jumps_are_identified(height: float, least: float) -> None:
    """The power that 14 checkpoints leave: 57, 75, 87 and 97 of 100."""
    assert identified(noisy(height * (np.arange(14) >= 7)), 60) >= least


def test_a_fall_is_no_onset() -> None:
    assert identified(noisy(-6.0 * (np.arange(14) >= 7)), 100) <= 0.03


@pytest.mark.parametrize(
    ("shape", "truth"),
    [*TRENDS.items(), ("one step", (np.arange(14) >= 7) * 1.0), ("two steps", np.repeat([0.0, 1.0, 0.2], [5, 4, 5]))],
)
def test_each_shape_wins_where_it_is_true(shape: str, truth: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    bic = criteria(15 * truth + rng.standard_normal((100, 14)), PLACE)
    best = Counter(min(bic, key=lambda name: bic[name][row]) for row in range(100))
    assert best.most_common(1)[0][0] == shape
    assert best[shape] >= 60


def test_criteria_by_hand() -> None:
    values = np.array([[0.0, 1.0, 0.0, 2.0, 1.0, 3.0, 2.0, 2.0]])
    place = np.arange(8.0)
    bic = criteria(values, place)
    for shape, columns, terms in (("line", [place], 3), ("linear in step", [2**place], 3),
                                  ("parabola", [place, place**2], 4)):  # fmt: skip
        design = np.stack([np.ones(8), *columns], axis=1)
        error = ((values[0] - design @ np.linalg.lstsq(design, values[0], rcond=None)[0]) ** 2).sum()
        assert bic[shape][0] == pytest.approx(8 * np.log(error / 8) + terms * np.log(8))
    # a drift is judged by its Gaussian likelihood: here by its whole density, over the same ratios
    density = []
    for ratio in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0):
        shape = np.eye(8) + ratio * np.minimum.outer(np.arange(8), np.arange(8))
        inverse = np.linalg.inv(shape)
        level = inverse.sum(axis=0) @ values[0] / inverse.sum()
        scale = (values[0] - level) @ inverse @ (values[0] - level) / 8
        density.append(np.linalg.slogdet(scale * shape)[1])
    assert bic["drift"][0] == pytest.approx(min(density) + 3 * np.log(8))
    # no reward for fitting closer than the noise
    floored = criteria(values, place, noise=100.0)
    assert floored["parabola"][0] - floored["constant"][0] == pytest.approx(2 * np.log(8))
    assert lead(floored)[0] == pytest.approx(-2 * np.log(8))
    assert set(bic) == {*SMOOTH, "one step", "two steps"}


def test_fitted_drifts_vary_as_the_values_do() -> None:
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.standard_normal(400))
    increments = np.diff(drifts(walk, 50, rng), axis=1)
    assert increments.std() == pytest.approx(1.0, rel=0.1)
    white = drifts(rng.standard_normal(400), 50, rng)
    # the smallest ratio is no walk yet
    assert np.diff(white, axis=1).std() == pytest.approx(np.sqrt(2), rel=0.15)

"""Surrogates keep exactly what they promise and break the coupling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from brodmann.stats import circular_shift, derangement, phase_randomise, prompt_mismatch


def periodogram(series: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(series, axis=-1)) ** 2 / series.shape[-1]


def autoregressive(rng: np.random.Generator, shape: tuple[int, ...], phi: float = 0.8) -> np.ndarray:
    noise = rng.normal(size=shape)
    series = np.empty(shape)
    series[..., 0] = noise[..., 0] / np.sqrt(1 - phi**2)
    for step in range(1, shape[-1]):
        series[..., step] = phi * series[..., step - 1] + noise[..., step]
    return series


@pytest.mark.parametrize("time", [99, 100])
def test_phases_leave_mean_and_periodogram(rng, time):
    series = autoregressive(rng, (3, 4, time)) + 5
    surrogate = phase_randomise(series, rng)
    assert surrogate.shape == series.shape
    np.testing.assert_allclose(periodogram(surrogate), periodogram(series), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(surrogate.mean(axis=-1), series.mean(axis=-1), rtol=1e-12)
    np.testing.assert_allclose(surrogate.var(axis=-1), series.var(axis=-1), rtol=1e-12)
    assert np.abs(surrogate - series).max() > 1


def test_amplitude_adjustment_keeps_every_value_and_nearly_the_spectrum(rng):
    series = np.exp(autoregressive(rng, (5, 400), 0.7))
    surrogate = phase_randomise(series, rng, amplitude_adjusted=True)
    np.testing.assert_array_equal(np.sort(surrogate, axis=-1), np.sort(series, axis=-1))

    def lag_one(x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        return (centred[..., 1:] * centred[..., :-1]).sum(axis=-1) / (centred**2).sum(axis=-1)

    np.testing.assert_allclose(lag_one(surrogate).mean(), lag_one(series).mean(), atol=0.12)


def test_shifts_only_roll(rng):
    series = autoregressive(rng, (6, 50))
    surrogate = circular_shift(series, rng, least=5)
    for before, after in zip(series, surrogate, strict=True):
        lag = next(lag for lag in range(50) if np.array_equal(np.roll(before, lag), after))
        assert 5 <= lag <= 45
    np.testing.assert_allclose(periodogram(surrogate), periodogram(series), rtol=1e-10, atol=1e-12)


def test_shift_lags_are_uniform():
    rng = np.random.default_rng(2)
    series = np.tile(np.eye(1, 10)[0], (9000, 1))
    lags = circular_shift(series, rng).argmax(axis=1)
    counts = np.bincount(lags, minlength=10)
    assert counts[0] == 0
    assert scipy_stats.chisquare(counts[1:]).pvalue > 0.001
    assert circular_shift(np.array([[1.0, 2.0]]), rng).tolist() == [[2.0, 1.0]]
    with pytest.raises(ValueError, match="needs 6 samples"):
        circular_shift(np.ones((2, 5)), rng, least=3)


@pytest.mark.parametrize("method", [circular_shift, phase_randomise])
def test_coupling_is_broken(rng, method):
    shared = autoregressive(rng, (200, 1, 100), 0.5)
    series = shared + 0.1 * rng.normal(size=(200, 2, 100))

    def coupling(x: np.ndarray) -> float:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).sum(axis=-1))
        return float(((centred[:, 0] * centred[:, 1]).sum(axis=-1) / (scale[:, 0] * scale[:, 1])).mean())

    assert coupling(series) > 0.95
    assert abs(coupling(method(series, rng))) < 0.05


@given(st.integers(2, 40), st.integers(0, 10**6))
def test_derangements_move_everyone(n, seed):
    moved = derangement(n, np.random.default_rng(seed))
    assert sorted(moved.tolist()) == list(range(n))
    assert (moved != np.arange(n)).all()


def test_derangements_are_uniform_and_keep_categories():
    rng = np.random.default_rng(1)
    drawn = np.array([derangement(4, rng) for _ in range(4500)])
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert counts.size == 9  # !4
    assert scipy_stats.chisquare(counts).pvalue > 0.001
    category = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    moved = derangement(8, rng, category)
    assert (category[moved] == category).all()
    assert (moved != np.arange(8)).all()
    with pytest.raises(ValueError, match="no partner"):
        derangement(3, rng, np.array([0, 0, 1]))


def test_mismatched_prompts_are_other_prompts(rng):
    series = np.arange(5.0)[:, None, None] + np.zeros((5, 3, 7))
    partner = prompt_mismatch(series, rng)
    assert (partner != series).all()
    assert sorted(partner[:, 0, 0].tolist()) == [0, 1, 2, 3, 4]


def test_the_same_seed_gives_the_same_surrogate(rng):
    series = rng.normal(size=(3, 64))
    for method in (circular_shift, phase_randomise):
        first, second = (method(series, np.random.default_rng(9)) for _ in range(2))
        np.testing.assert_array_equal(first, second)

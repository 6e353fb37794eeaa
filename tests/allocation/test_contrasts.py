"""Log-linear ratios against closed forms, a slow fit and full resampling; the nulls' size."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from brodmann.allocation.compare import Trials, compare, exchanged_null
from brodmann.allocation.conditions import by_family
from brodmann.allocation.contrasts import (
    exchange_residuals,
    fit_ratios,
    resample_weights,
    resampled,
    two_sided,
)
from brodmann.allocation.listening import COVARIATES, curved

LABEL = np.repeat([0, 1, 2], 12)


def world(rng, effect=(0.0, 0.3, -0.2), slope=0.4, steps=6):
    x = rng.normal(0, 1, (36, steps, 2)) + 0.5 * LABEL[:, None, None]
    shared = rng.normal(0, 0.3, (36, 1))
    mean = np.exp(-1 + np.array(effect)[LABEL][:, None] + slope * x[..., 0] + shared - 0.045)
    return rng.gamma(3.0, mean / 3.0)[None], x


def test_without_covariates_a_ratio_is_that_of_means(rng):
    values, x = world(rng)
    values[:, 5, 2:] = np.nan
    fit = fit_ratios(values, LABEL, x[..., :0], 3)
    means = [np.nanmean(values[0][each == LABEL]) for each in range(3)]
    np.testing.assert_allclose(np.exp(fit.log_ratio[0]), np.array(means) / means[0], rtol=1e-8)


def test_the_fit_maximises_the_poisson_likelihood(rng):
    values, x = world(rng)
    fit = fit_ratios(values, LABEL, x, 3)
    coded = np.concatenate([np.ones((216, 1)), (LABEL[:, None] == [1, 2]).repeat(6, 0), x.reshape(216, 2)], axis=1)
    y = values[0].ravel()

    def loss(theta):
        return float((np.exp(coded @ theta) - y * (coded @ theta)).sum())

    slow = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(fit.log_ratio[0, 1:], slow[1:3], atol=1e-5)
    assert np.abs(fit.score.sum(axis=1)).max() < 1e-6


def test_one_newton_step_is_close_to_fitting_each_resampling(rng):
    values, x = world(rng)
    fit = fit_ratios(values, LABEL, x, 3)
    weights = resample_weights(LABEL, 40, rng)
    quick = resampled(fit, weights)[:, 0, 1:]
    whole = np.array([_weighted(values[0], x, row) for row in weights])
    difference = quick - whole
    assert np.sqrt((difference**2).mean()) < 0.1 * whole.std()
    assert np.quantile(np.abs(difference), 0.9) < 0.2 * whole.std()


def _weighted(y, x, weights):
    coded = np.concatenate(
        [np.ones((36, 6, 1)), np.broadcast_to((LABEL[:, None, None] == [1, 2]), (36, 6, 2)), x], axis=-1
    )
    theta = np.zeros(5)
    theta[0] = np.log(y.mean())
    for _ in range(50):
        mu = np.exp(coded @ theta) * weights[:, None]
        step = np.linalg.solve(np.einsum("nt,ntp,ntq->pq", mu, coded, coded),
                               np.einsum("nt,ntp->p", y * weights[:, None] - mu, coded))  # fmt: skip
        theta += step
    return theta[1:3]


def test_resampling_has_the_variance_of_a_mean_in_small_strata(rng):
    values = rng.normal(0, 1, 5)
    weights = resample_weights(np.zeros(5, int), 40_000, rng)
    assert weights.sum(axis=1) == pytest.approx(np.full(40_000, 5.0))
    assert (weights @ values / 5).var() == pytest.approx(values.var(ddof=1) / 5, rel=0.03)


def test_silent_conditions_are_unknown_and_spoil_only_what_uses_them(rng):
    values, x = world(rng)
    values[0, LABEL == 2] = 0.0
    both = np.concatenate([values, values])
    trials = Trials(np.empty((36, 6, 0), np.float32), x, LABEL, 3)
    found = compare(both, trials, np.array([[0.0, 1, 0], [0, 0, 1], [0, 0.5, 0.5]]), draws=50, rng=rng)
    assert np.isfinite(found.ratio[:, 0]).all()
    assert np.isnan(found.ratio[:, 1:]).all()
    np.testing.assert_allclose(found.ratio[2, 0], 1.0, atol=1e-9)


def test_the_interval_of_a_mean_over_families_is_students_t_of_the_families():
    """Texts that hardly differ: half the interval is t s / sqrt(K) of the families' own log ratios, t with K - 1."""
    for logs, quantile in (((0.1, 0.5, -0.2, 0.4), 3.182446), ((0.1, 0.5), 12.706205)):
        families, rng = len(logs), np.random.default_rng(0)
        label = np.repeat(np.arange(families + 1), 10)
        values = np.exp(np.array([0.0, *logs])[label][None, :, None] + 1e-4 * rng.standard_normal((2, label.size, 3)))
        values[1] = 1.0 + 1e-4 * rng.standard_normal(values[1].shape)
        trials = Trials(np.empty((label.size, 3, 0), np.float32), np.zeros((label.size, 3, 0)), label, families + 1)
        row = np.array([[0.0, *([1 / families] * families)]])
        rng = np.random.default_rng(1)
        found = compare(values, trials, row, draws=4000, rng=rng, families=np.arange(families + 1))
        half = np.log(found.interval[1, 2, 0] / found.interval[0, 2, 0]) / 2
        assert found.log_ratio[2, 0] == pytest.approx(np.mean(logs), abs=1e-3)
        assert half == pytest.approx(quantile * np.std(logs, ddof=1) / np.sqrt(families), rel=0.05)
        alone = compare(values, trials, row, draws=400, rng=rng)
        assert np.ptp(np.log(alone.interval[:, 2, 0])) < 1e-3


def test_contrasts_are_means_over_their_families():
    """Hardest against easiest level of three families, and a ladder of unequal families."""
    harder = np.array([0, -1, 1, -1, 1, -1, 1]) / 3
    parts = by_family(harder, np.array([0, 1, 1, 2, 2, 3, 3]))
    assert parts.family.tolist() == [1, 2, 3]
    np.testing.assert_allclose(parts.own[1], [0, 0, 0, -1, 1, 0, 0])
    np.testing.assert_allclose(parts.own.mean(axis=0), harder)
    np.testing.assert_allclose(parts.without[0], [0, 0, 0, -0.5, 0.5, -0.5, 0.5])
    ladder = by_family(np.array([0, 1, 1, 1, 1]) / 4, np.array([0, 1, 1, 1, 2]))
    np.testing.assert_allclose(ladder.own, [[0, 1 / 3, 1 / 3, 1 / 3, 0], [0, 0, 0, 0, 1]])
    np.testing.assert_allclose(ladder.without, ladder.own[::-1])
    assert not by_family(np.array([0, 1.0]), np.array([0, 1])).without.any()


def test_exchanged_texts_are_a_null_of_the_right_size():
    rejected, contrast = 0, np.array([0.0, 0.5, 0.5])
    for seed in range(120):
        rng = np.random.default_rng(seed)
        one, x = world(rng, effect=(0.0, 0.2, 0.2))
        other = one * np.exp(rng.normal(0, 0.25, (1, 36, 1)))
        trials = Trials(np.empty((36, 6, 0), np.float32), x, LABEL, 3)
        null = exchanged_null(np.concatenate([one, other]), trials, contrast, draws=99, rng=rng)
        rejected += two_sided(null.observed, null.null, above=True) < 0.05
    assert rejected <= 9, "one of two sides: 2.5 % of 120 are expected"


def test_exchanging_within_groups_moves_only_these(rng):
    values, x = world(rng, effect=(0.0, 0.0, 1.5))
    contrast = np.array([0.0, -1.0, 1.0])
    free = exchange_residuals(values, LABEL, x, contrast, groups=np.zeros(36, int), draws=200, rng=rng)
    fixed = exchange_residuals(values, LABEL, x, contrast, groups=np.arange(36), draws=5, rng=rng)
    np.testing.assert_allclose(fixed.null[:, 0], fixed.observed[0])
    assert abs(np.median(free.null)) < 0.3 < free.observed[0]


CURVES = {
    "quadratic": lambda nats: 0.02 * nats**2,
    "bent down": lambda nats: 0.3 * nats - 0.025 * nats**2,
    "saturating": lambda nats: 1.2 * (1 - np.exp(-nats / 2)),
    "hinge": lambda nats: 0.25 * np.maximum(nats - 3, 0),
}


def bent(seed: int, curve) -> tuple[np.ndarray, Trials]:
    """The core follows surprisal along a curve, its others do not; conditions differ in surprisal (twofold) only."""
    rng = np.random.default_rng([seed, 7])
    label = np.repeat([0, 1, 2], [40, 25, 25])
    nats = rng.gamma(4.0, 0.5, (90, 25)) * np.where(label > 0, 2.0, 1.0)[:, None]
    nats *= rng.gamma(20, 1 / 20, 90)[:, None]
    read, position = nats[:, :-1], np.broadcast_to(np.arange(24.0), (90, 24))
    plain = -1.3 + 0.05 * read - 0.008 * position + rng.normal(0, 0.15, (90, 1))
    mean = np.exp(np.stack([plain + curve(read), plain]) + rng.normal(0, 0.05, (2, 90, 1)))
    trials = Trials(np.empty((90, 24, 0), np.float32), curved(read, nats[:, 1:], position), label, 3)
    return rng.gamma(10.0, mean / 10), trials


@pytest.mark.parametrize("curve", CURVES)
def test_a_bent_dependence_on_surprisal_does_not_leak_into_the_ratio(curve):
    """No effect of the condition is planted: intervals cover 1, which straight slopes alone miss most of the time."""
    covered = {"bent": 0, "straight": 0}
    runs, straight = 100, [COVARIATES.index(name) for name in COVARIATES if not name.startswith("log")]
    for seed in range(runs):
        values, trials = bent(seed, CURVES[curve])
        without = replace(trials, covariates=trials.covariates[..., straight])
        for name, each in (("bent", trials), ("straight", without)):
            rng = np.random.default_rng(seed)
            low, high = compare(values, each, np.array([[0, 0.5, 0.5]]), draws=100, rng=rng).interval[:, 2, 0]
            covered[name] += low <= 1 <= high
    assert covered["bent"] >= 0.88 * runs
    assert covered["straight"] <= 0.5 * runs
    assert len(straight) == 3


def test_two_sided_p_counts_one_side_twice():
    null = np.arange(99.0)
    assert two_sided(200.0, null, above=True) == pytest.approx(0.02)
    assert two_sided(-1.0, null, above=True) == 1.0
    assert two_sided(-1.0, null, above=False) == pytest.approx(0.02)
    assert np.isnan(two_sided(float("nan"), null, above=True))

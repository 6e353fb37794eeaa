"""Nulls keep every unit's own memory and nothing of the coupling."""

import numpy as np
import pytest

from brodmann.errors import RecordingError
from brodmann.synergy.core import node_means
from brodmann.synergy.pairs import pair_atoms
from brodmann.synergy.surrogates import (
    artefact,
    autocorrelation,
    lagged_information,
    null_node_means,
    recombine,
)
from brodmann.synergy.windows import windows


def _coupled(rng, prompts=12, units=10, time=100, coupling=0.7):
    """Units that share one slow source: strongly coupled, with memory."""
    out = np.empty((prompts, units, time))
    for p in range(prompts):
        source = np.zeros(time)
        for t in range(1, time):
            source[t] = 0.8 * source[t - 1] + rng.standard_normal()
        out[p] = coupling * source + rng.standard_normal((units, time))
    return out


def test_shifted_windows_keep_memory_exactly(rng):
    part = windows(_coupled(rng)[0])
    moved = part.shifted(rng.integers(0, 99, 10))
    assert np.abs(autocorrelation(moved) - autocorrelation(part)).max() < 1e-13
    assert np.abs((moved.past @ moved.past.T - part.past @ part.past.T).numpy()).max() > 10
    r = np.corrcoef(part.past[3], part.future[3])[0, 1]
    assert lagged_information(part)[3] == pytest.approx(-0.5 * np.log(1 - r**2), abs=1e-12)


@pytest.mark.parametrize("kind", ["circular_shift", "prompt_mismatch"])
def test_nulls_lose_redundancy_and_keep_the_memory_artefact(rng, kind):
    parts = [windows(p) for p in _coupled(rng)]
    observed = np.mean([node_means(pair_atoms(p, names=("rtr",)).values[0]) for p in parts])
    null = null_node_means(parts, kind, 5, rng=rng)
    assert null.synergy.shape == (5, 12, 10)
    assert observed > 0.02
    assert null.redundancy.mean() < 0.25 * observed
    # what is left is the identity sts = 2 min(i1, i2), up to the finite sample
    expected = np.mean([artefact(lagged_information(p)) for p in parts])
    assert null.synergy.mean() == pytest.approx(expected, rel=0.25)


def test_independent_units_have_no_excess(rng):
    series = np.cumsum(rng.standard_normal((40, 12, 300)), axis=2)
    series = series[:, :, 100:] - 0.98 * series[:, :, 99:-1]
    parts = [windows(p) for p in series]
    observed = np.array([node_means(pair_atoms(p, names=("sts",)).values[0]) for p in parts])
    null = null_node_means(parts, "circular_shift", 10, rng=rng)
    excess = (observed - null.synergy.mean(0)).mean(1)
    assert abs(excess.mean()) < 3 * excess.std(ddof=1) / np.sqrt(40)


def test_recombination_has_the_mean_and_spread_of_independent_draws(rng):
    draws = rng.standard_normal((50, 30, 4))
    samples = recombine(draws, 4000, rng)
    assert np.abs(samples.mean(0) - draws.mean((0, 1))).max() < 0.02
    assert np.abs(samples.std(0) - np.sqrt(draws.var(0).sum(0)) / 30).max() < 0.01


def test_artefact_equals_the_double_loop(rng):
    memory = rng.exponential(0.1, 9)
    slow = [np.mean([2 * min(memory[i], memory[j]) for j in range(9) if j != i]) for i in range(9)]
    assert np.abs(artefact(memory) - slow).max() < 1e-15


def test_node_means_leave_out_the_diagonal_and_missing_pairs():
    values = np.array([[9.0, 1.0, np.nan], [1.0, 9.0, np.nan], [np.nan, np.nan, 9.0]])
    assert node_means(values)[:2].tolist() == [1.0, 1.0]
    assert np.isnan(node_means(values)[2])


def test_one_prompt_cannot_be_mismatched(rng):
    with pytest.raises(RecordingError, match="at least two prompts"):
        null_node_means([windows(rng.standard_normal((3, 40)))], "prompt_mismatch", 2, rng=rng)

"""ΦID against the reference implementation, closed forms and invariances."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brodmann.errors import SettingsError
from brodmann.synergy import binary, gaussian
from brodmann.synergy.lattice import ATOMS, REVERSED, SWAPPED, atoms
from brodmann.synergy.pairs import local_atoms, pair_atoms
from brodmann.synergy.phiid import decompose
from brodmann.synergy.windows import pool, windows

FILES = ("var_T100_tau1", "white_T100_tau1", "norms_T100_tau1", "var_T1000_tau1", "nearcopy_T200_tau1")
BIT = math.log(2)
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu])]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def _load(data, name):
    with np.load(data / "phiid" / f"{name}.npz") as file:
        return dict(file)


def _tolerance(name):
    return 1e-9 if name.startswith("nearcopy") else 1e-10


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("redundancy", ["mmi", "ccs"])
@pytest.mark.parametrize("estimator", ["gaussian", "binary"])
@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_mean_atoms_equal_the_reference(data, name, estimator, redundancy, backend):
    if (estimator, backend) == ("binary", "fused"):
        backend = "auto"
    case = _load(data, name)
    kind = "gaussian" if estimator == "gaussian" else "discrete"
    expected = case[f"mean_{kind}_{redundancy.upper()}"] * (1 if kind == "gaussian" else BIT)
    result = decompose(
        case["series"], tau=int(case["tau"]), estimator=estimator, redundancy=redundancy, backend=backend
    )
    names = [str(n) for n in case["atom_names"]]
    found = np.stack([result[n].values[case["pair_i"], case["pair_j"]] for n in names], axis=1)
    assert np.abs(found - expected).max() < _tolerance(name)
    assert (result.flag == 0).all()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("redundancy", ["mmi", "ccs"])
@pytest.mark.parametrize("estimator", ["gaussian", "binary"])
def test_pointwise_atoms_equal_the_reference(data, name, estimator, redundancy):
    case = _load(data, name)
    kind, scale = ("gaussian", 1.0) if estimator == "gaussian" else ("discrete", BIT)
    result = decompose(case["series"], tau=int(case["tau"]), estimator=estimator, redundancy=redundancy, local=True)
    for pair in (0, 1):
        i, j = case["pair_i"][pair], case["pair_j"][pair]
        found = np.stack([result[str(n)].values[i, j] for n in case["atom_names"]])
        expected = case[f"local_{kind}_{redundancy.upper()}_pair{pair}"] * scale
        assert np.abs(found - expected).max() < _tolerance(name)


def _gaussian_case(case):
    r = [torch.tensor(case[k], dtype=torch.float64) for k in ("r_xy", "r_ab", "r_xa", "r_yb", "r_xb", "r_ya")]
    i = gaussian.mean_informations(gaussian.conditionals(*r))
    return dict(zip(ATOMS, (float(v) for v in atoms(*i.astuple(), *gaussian.mmi_redundancies(i))), strict=True))


def test_analytic_gaussian_cases(data):
    cases = json.loads((data / "phiid" / "analytic_gaussian_mmi.json").read_text())
    for name, case in cases.items():
        found = _gaussian_case(case)
        for atom, value in case["mmi_atoms_nats"].items():
            assert found[atom] == pytest.approx(value, abs=1e-12), (name, atom)


@pytest.mark.parametrize("redundancy", ["mmi", "ccs"])
def test_analytic_binary_cases(data, redundancy):
    cases = json.loads((data / "phiid" / "analytic_binary.json").read_text())
    for name, case in cases.items():
        # the file's axes are x, y, a, b; ours x, a, y, b
        p = torch.tensor(case["pmf_xyab"], dtype=torch.float64).reshape(2, 2, 2, 2).permute(0, 2, 1, 3)
        i = binary.mean_informations(p)
        values = atoms(*i.astuple(), *binary.redundancies(p, i, redundancy))
        for atom, value in zip(ATOMS, values, strict=True):
            assert float(value) / BIT == pytest.approx(case[f"{redundancy}_bits"][atom], abs=1e-12), (name, atom)


def test_i_min_of_known_gates():
    # Williams and Beer 2010: two independent bits and their AND share 0.311 bits; two copied bits share 1 bit.
    p = torch.zeros(2, 2, 2, 2, dtype=torch.float64)  # x, a, y, b
    for x in (0, 1):
        for y in (0, 1):
            p[x, x & y, y, 0] += 0.25
    assert float(binary.i_min(p, "a", "x", "y")) / BIT == pytest.approx(0.75 * math.log2(4 / 3), abs=1e-12)
    copied = torch.zeros(2, 2, 2, 2, dtype=torch.float64)
    copied[0, 0, 0, 0] = copied[1, 1, 1, 1] = 0.5
    i = binary.mean_informations(copied)
    found = dict(zip(ATOMS, atoms(*i.astuple(), *binary.redundancies(copied, i, "i_min")), strict=True))
    assert float(found["rtr"]) / BIT == pytest.approx(1, abs=1e-12)
    assert max(abs(float(v)) for k, v in found.items() if k != "rtr") < 1e-12


def test_independent_memory_is_counted_twice_as_synergy():
    """The identity sts = 2 min(i1, i2), in the population and, up to sampling error, in long series (spec 9)."""
    for first, second in ((0.8, 0.5), (0.7, 0.7), (0.3, 0.95)):
        case = {"r_xy": 0.0, "r_ab": 0.0, "r_xa": first, "r_yb": second, "r_xb": 0.0, "r_ya": 0.0}
        memory = [-0.5 * math.log(1 - phi**2) for phi in (first, second)]
        assert _gaussian_case(case)["sts"] == pytest.approx(2 * min(memory), abs=1e-12)
    rng = np.random.default_rng(1)
    series = _autoregressive(rng, phi=0.8, shape=(2, 200_000))
    found = decompose(series)
    assert float(found.sts[0, 1]) == pytest.approx(-math.log(1 - 0.64), abs=0.02)
    assert float(decompose(series, redundancy="ccs").sts[0, 1]) == pytest.approx(0, abs=0.01)


def _autoregressive(rng, phi, shape):
    noise = rng.standard_normal(shape)
    out = np.empty(shape)
    out[..., 0] = noise[..., 0]
    for t in range(1, shape[-1]):
        out[..., t] = phi * out[..., t - 1] + math.sqrt(1 - phi**2) * noise[..., t]
    return out


@pytest.mark.parametrize(
    ("phi", "synergy", "redundancy", "ccs"),
    [(0.0, 0.0035, 0.0006, -0.001), (0.5, 0.190, 0.004, -0.017), (0.8, 0.711, 0.015, -0.028)],
)
def test_finite_sample_means_of_independent_pairs(phi, synergy, redundancy, ccs):
    """The table of spec section 9 at T = 100 (burnt-in series; tolerance four standard errors or its last digit)."""
    rng = np.random.default_rng(2)
    series = _autoregressive(rng, phi, (700, 400))[:, 300:]
    found = decompose(series, names=("sts", "rtr"))
    upper = np.triu_indices(700, 1)
    assert found.sts.values[upper].mean() == pytest.approx(synergy, abs=0.05 * synergy + 0.002)
    assert found.rtr.values[upper].mean() == pytest.approx(redundancy, abs=0.15 * redundancy + 0.0003)
    found = decompose(series[:160], redundancy="ccs", names=("sts",))
    upper = np.triu_indices(160, 1)
    assert found.sts.values[upper].mean() == pytest.approx(ccs, abs=0.004)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31), scale=st.floats(0.01, 100), shift=st.floats(-50, 50), tau=st.integers(1, 5),
    redundancy=st.sampled_from(["mmi", "ccs"]),
)  # fmt: skip
def test_invariances(seed, scale, shift, tau, redundancy):
    rng = np.random.default_rng(seed)
    series = np.cumsum(rng.standard_normal((4, 80)), axis=1) * 0.3 + rng.standard_normal((4, 80))
    base = pair_atoms(windows(series, tau=tau), redundancy=redundancy).values
    # affine maps of a series change nothing
    moved = series * np.array([[scale], [1], [-scale], [1]]) + shift
    assert np.abs(pair_atoms(windows(moved, tau=tau), redundancy=redundancy).values - base).max() < 1e-9
    # exchanging the units exchanges x and y
    assert np.abs(base - base[list(SWAPPED)].transpose(0, 2, 1)).max() < 1e-12
    # time reversal exchanges the past and the future part of each atom's name
    back = pair_atoms(windows(series[:, ::-1], tau=tau), redundancy=redundancy).values
    assert np.abs(back[list(REVERSED)] - base).max() < 1e-9
    # the atoms sum to the joint mutual information, computed here from determinants
    w = windows(series, tau=tau)
    c = np.corrcoef(np.concatenate([w.past[:2].numpy(), w.future[:2].numpy()]))
    joint = 0.5 * (np.linalg.slogdet(c[:2, :2])[1] + np.linalg.slogdet(c[2:, 2:])[1] - np.linalg.slogdet(c)[1])
    assert base[:, 0, 1].sum() == pytest.approx(joint, abs=1e-9)


@pytest.mark.parametrize("redundancy", ["mmi", "ccs"])
@pytest.mark.parametrize("kind", ["gaussian", "copula"])
def test_compiled_and_torch_paths_agree(rng, redundancy, kind):
    series = np.cumsum(rng.standard_normal((70, 100)), axis=1) * 0.2 + rng.standard_normal((70, 100))
    series[3] = series[2] + 1e-3 * rng.standard_normal(100)
    w = windows(series, estimator=kind)
    one, other = (
        pair_atoms(w, redundancy=redundancy, backend=b, block=b_size) for b, b_size in (("fused", None), ("torch", 500))
    )
    assert np.abs(one.values - other.values).max() < 1e-10
    assert (one.near_singular == other.near_singular).all()


@needs_cuda
@pytest.mark.gpu
@pytest.mark.parametrize("redundancy", ["mmi", "ccs"])
def test_gpu_equals_cpu(rng, redundancy):
    series = rng.standard_normal((40, 100))
    cpu = pair_atoms(windows(series), redundancy=redundancy).values
    gpu = pair_atoms(windows(series, device="cuda"), redundancy=redundancy).values
    assert np.abs(cpu - gpu).max() < 1e-10


def test_different_rows_and_columns_use_only_upper_pairs(rng):
    one, other = (windows(rng.standard_normal((5, 60))) for _ in range(2))
    mixed = pair_atoms(one, other).values
    both = windows(np.zeros((2, 60)))
    assert both.flag.tolist() == [1, 1]
    for i in range(5):
        for j in range(i + 1, 5):
            pair = type(one)(
                torch.stack([one.past[i], other.past[j]]), torch.stack([one.future[i], other.future[j]]), one.flag[:2]
            )
            assert np.abs(pair_atoms(pair).values[:, 0, 1] - mixed[:, i, j]).max() < 1e-13


@pytest.mark.parametrize("redundancy", ["mmi", "ccs"])
@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_unusable_series_become_flags(rng, redundancy, backend):
    series = rng.standard_normal((7, 60))
    series[1] = 3.25
    series[2, 10] = np.nan
    series[3] = series[0]
    series[4] = np.arange(60.0)
    series[5, :-1] = 1.0  # constant past, last sample differs
    found = decompose(series, redundancy=redundancy, backend=backend)
    assert found.flag.values.tolist() == [0, 1, 2, 0, 0, 1, 0]
    for name in ATOMS:
        values = found[name].values
        assert (values[1, [0, 3, 4, 5, 6]] == 0).all()
        assert np.isnan(np.delete(values[2], 2)).all()
        fine = np.ix_([0, 3, 4, 6], [0, 3, 4, 6])
        assert np.isfinite(values[fine]).all()
    assert bool(found.near_singular[0, 3])
    assert not bool(found.near_singular[0, 6])
    if redundancy == "mmi":  # an exact copy shares all its memory: only rtr remains
        own = windows(series[[0]])
        memory = -0.5 * math.log(1 - float((own.past * own.future).sum() / 58) ** 2)
        assert float(found.rtr[0, 3]) == pytest.approx(memory, abs=1e-6)
        assert abs(float(found.sts[0, 3])) < 1e-6


def test_an_outlier_does_not_underflow(rng):
    series = rng.standard_normal((2, 20_000))
    series[0, 500] = 1e4
    assert np.isfinite(decompose(series, redundancy="ccs").to_array()).all()


def test_too_short_and_unknown_are_refused(rng):
    with pytest.raises(SettingsError, match="series of 3 tokens are too short for lag 1: at least 6"):
        decompose(rng.standard_normal((2, 3)))
    with pytest.raises(SettingsError, match="i_min"):
        decompose(rng.standard_normal((2, 30)), redundancy="i_min")
    with pytest.raises(SettingsError, match="tau = 0"):
        decompose(rng.standard_normal((2, 30)), tau=0)
    with pytest.raises(SettingsError, match="sample values"):
        local_atoms(windows(rng.standard_normal((2, 30)), estimator="binary"), redundancy="i_min")


def test_average_over_prompts_equals_the_mean(rng):
    series = rng.standard_normal((4, 6, 50))
    each = decompose(series)
    mean = decompose(series, average=True)
    assert each.sts.dims == ("prompt", "unit", "unit_")
    for name in ATOMS:
        assert np.abs(each[name].mean("prompt") - mean[name]).max() < 1e-14
    series[1, 2] = np.nan
    broken = decompose(series, average=True, names=("sts",))
    kept = decompose(series[[0, 2, 3]], average=True, names=("sts",))
    assert np.abs((broken.sts - kept.sts).values[2]).max() < 1e-14


def test_pooled_averages_covariances(rng):
    series = rng.standard_normal((3, 2, 40)) * np.array([1.0, 2.0, 5.0])[:, None, None]
    covariance = 0
    for prompt in series:
        stacked = np.concatenate([prompt[:, :-1], prompt[:, 1:]])
        covariance = covariance + np.cov(stacked)
    d = np.sqrt(np.diag(covariance))
    r = torch.tensor(covariance / d[:, None] / d[None])
    i = gaussian.mean_informations(gaussian.conditionals(r[0, 1], r[2, 3], r[0, 2], r[1, 3], r[0, 3], r[1, 2]))
    expected = [float(v) for v in atoms(*i.astuple(), *gaussian.mmi_redundancies(i))]
    found = decompose(series, pooled=True)
    assert np.abs(np.array([float(found[n][0, 1]) for n in ATOMS]) - expected).max() < 1e-12
    assert pool([windows(p, standard=False) for p in series]).past.shape == (2, 3 * 39)


def test_ragged_series_are_cut_at_their_end(rng):
    series = rng.standard_normal((2, 3, 50))
    short = series.copy()
    short[1, :, 30:] = np.nan
    found = decompose(short)
    assert (found.flag == 0).all()
    assert np.abs(found.sts[1] - decompose(series[1, :, :30]).sts).max() < 1e-15


def test_exact_value_of_the_sum_gate():
    rho = 0.9
    case = dict.fromkeys(("r_xy", "r_ab"), 0.0) | dict.fromkeys(("r_xa", "r_yb", "r_xb", "r_ya"), rho / 2)
    found = _gaussian_case(case)
    i1, i2, i4 = (-0.5 * math.log(1 - rho**2 / k) for k in (4, 2, 1))
    assert found["rtr"] == pytest.approx(i1, abs=1e-12)
    assert found["rts"] == pytest.approx(i2 - i1, abs=1e-12)
    assert found["sts"] == pytest.approx(i4 - 2 * i2 + i1, abs=1e-12)


@pytest.mark.parametrize("backend", ["fused", "torch"])
@pytest.mark.parametrize("both", [True, False])
def test_memory_of_an_earlier_result_leaves_no_trace(backend: str, both: bool) -> None:
    rng = np.random.default_rng(8)
    one, other = rng.standard_normal((2, 9, 80))
    one[2], one[5, 7], one[3] = 1.0, np.nan, one[4]
    first = pair_atoms(windows(one), backend=backend, both=both)
    assert np.isnan(first.values).any()
    assert first.near_singular.any()
    fresh = pair_atoms(windows(other), backend=backend, both=both)
    again = pair_atoms(windows(other), backend=backend, both=both, out=first)
    assert again.values.base is first.values or np.shares_memory(again.values, first.values)
    np.testing.assert_array_equal(again.values, fresh.values)
    np.testing.assert_array_equal(again.near_singular, fresh.near_singular)
    with pytest.raises(SettingsError, match="hold something else"):
        pair_atoms(windows(other[:5]), backend=backend, out=first)

import numpy as np
import pandas as pd
import torch

from brodmann.recordings import Heard, MeanReducer, SeriesReducer

UNITS = pd.DataFrame({"unit": ["L0H0", "L0H1"]})


def feed_in_steps(reducer, values, valid):
    for step in range(values.shape[1]):
        where = slice(step, step + 1)
        reducer.feed(Heard(torch.from_numpy(values[:, where]), torch.from_numpy(valid[:, where]), step))


def test_series_are_put_together_from_steps_and_end_in_nan(rng):
    values = rng.normal(size=(3, 5, 2)).astype(np.float32)
    values[1, 2, 0] = np.inf
    valid = np.arange(5)[None, :] < np.array([5, 3, 1])[:, None]
    series = SeriesReducer()
    series.start(UNITS, 3, 5)
    feed_in_steps(series, values, valid)
    found = series.finish()
    expected = np.where(valid[:, :, None], values, np.nan)
    np.testing.assert_array_equal(found["activity"].values, expected)
    assert found["nonfinite"].values.tolist() == [0, 1, 0]
    assert "selected" not in found


def test_series_are_put_together_from_rows(rng):
    values = rng.normal(size=(3, 5, 2)).astype(np.float32)
    chosen = torch.from_numpy(rng.random((3, 5, 2)) < 0.5)
    series = SeriesReducer()
    series.start(UNITS, 3, 5)
    for row in range(3):
        part = slice(row, row + 1)
        valid = torch.ones(1, 5, dtype=torch.bool)
        valid[0, 4] = row != 2
        series.feed(Heard(torch.from_numpy(values[part]), valid, 0, row=row, selected=chosen[part]))
    found = series.finish()
    np.testing.assert_array_equal(found["activity"].values[:, :4], values[:, :4])
    assert np.isnan(found["activity"].values[2, 4]).all()
    np.testing.assert_array_equal(found["selected"].values[:, :4], chosen.numpy()[:, :4])
    assert not found["selected"].values[2, 4].any()


def test_moments_of_several_batches_equal_numpy_despite_a_large_mean(rng):
    values = (1e4 + rng.normal(size=(6, 7, 2))).astype(np.float32)
    values[0, 0, 1] = np.nan
    valid = np.ones((6, 7), bool)
    valid[3, 4:] = False
    moments = MeanReducer()
    for rows in (slice(0, 2), slice(2, 6)):
        moments.start(UNITS, 2, 7)
        feed_in_steps(moments, values[rows], valid[rows])
    found = moments.finish()
    kept = [values[..., unit][valid].astype(np.float64) for unit in range(2)]
    np.testing.assert_allclose(found["mean"], [np.nanmean(k) for k in kept], rtol=1e-12)
    np.testing.assert_allclose(found["std"], [np.nanstd(k) for k in kept], rtol=1e-9)
    assert found["samples"].values.tolist() == [39, 38]


def test_moments_of_nothing_are_nan():
    moments = MeanReducer()
    moments.start(UNITS, 1, 1)
    assert np.isnan(moments.finish()["mean"].values).all()
    assert moments.finish()["samples"].values.tolist() == [0, 0]

"""What a fit knows of its data: whether the targets are the next inputs, in any precision."""

import numpy as np
import pandas as pd
import pytest

import numlstm

FEW = {"hidden_size": 2, "epochs": 1, "rng": 0}
A = np.random.default_rng(0).standard_normal((60, 2))
TYPES = ("float16", "float32", "float64")


def forecasts(X, y):
    return numlstm.fit(X, y, **FEW).model.forecasts


@pytest.mark.parametrize("of_y", TYPES)
@pytest.mark.parametrize("of_X", TYPES)
def test_next_values_are_known_in_every_precision(of_X, of_y):
    X, y = A[:-1].astype(of_X), A[1:, :1].astype(of_y)
    model = numlstm.fit(X, y, **FEW).model
    assert model.forecasts
    assert model.rollout(X, 3, np.zeros(3)).shape == (3, 1)
    np.testing.assert_array_equal(model.scaling.y_mean, model.scaling.x_mean[:1])
    numlstm.fit(X, y, scheduled_sampling=0.5, **FEW)
    frame = pd.DataFrame({"a": X[:, 0], "b": A[:-1, 1]})  # all of one type, as an array
    assert forecasts(frame, y)
    off = y.copy()
    off[30] *= 1.01
    assert not forecasts(X, off)


def test_other_targets_are_no_next_values():
    for other in (A[1:, :1] + 1e-3, 2 * A[1:, :1], A[:-1, :1], np.round(A[1:, :1])):
        for dtype in TYPES:
            assert not forecasts(A[:-1].astype(dtype), other.astype(dtype))
            assert not forecasts(A[:-1], other.astype(dtype))
    assert not forecasts(np.zeros((59, 1)), 1e-9 * A[1:, :1])  # float16 would keep nothing of them
    assert not forecasts(1e-9 * A[:-1], np.zeros((59, 1)))

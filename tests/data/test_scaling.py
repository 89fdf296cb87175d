"""Standardisation: moments over valid entries only, and the way there and back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from numlstm.data.scaling import Scaling, moments


@given(st.integers(0, 2**32 - 1), st.sampled_from(["float32", "float64"]))
def test_moments_are_those_of_the_valid_entries(seed, dtype):
    rng = np.random.default_rng(seed)
    values = (10 * rng.standard_normal((4, 5, 3)) + 100).astype(dtype)
    valid = rng.random(values.shape) < 0.7
    valid[0] = True
    values[~valid] = np.nan
    mean, scale = moments(values, valid)
    assert mean.dtype == scale.dtype == np.float64
    wide = values.astype(np.float64)
    np.testing.assert_allclose(mean, np.nanmean(wide, axis=(0, 1)), rtol=1e-12)
    np.testing.assert_allclose(scale, np.nanstd(wide, axis=(0, 1)), rtol=1e-12)


def test_a_constant_or_absent_feature_keeps_its_unit():
    values = np.zeros((2, 3, 3), "float32")
    values[..., 0], values[..., 1] = 0.1, 1e6
    valid = np.ones(values.shape, bool)
    valid[..., 2] = False
    mean, scale = moments(values, valid)
    assert scale.tolist() == [1, 1, 1]
    np.testing.assert_allclose(mean, [0.1, 1e6, 0], rtol=1e-6)


def test_there_and_back():
    rng = np.random.default_rng(0)
    scaling = Scaling(np.array([1.0]), np.array([2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0]))
    X, y = rng.standard_normal((2, 3, 1)), rng.standard_normal((2, 3, 2))
    np.testing.assert_allclose(2 * scaling.inputs(X) + 1, X, rtol=1e-14)
    np.testing.assert_allclose(scaling.outputs(scaling.targets(y)), y, rtol=1e-14)
    for dtype in ("float32", "float64"):
        assert scaling.inputs(X.astype(dtype)).dtype == dtype
        assert scaling.outputs(y.astype(dtype)).dtype == dtype


def test_log_variances_go_back_as_the_variances_do():
    scaling = Scaling(np.zeros(1), np.ones(1), np.array([3.0]), np.array([5.0]))
    back = scaling.outputs(np.array([[2.0, np.log(0.5)]]))
    np.testing.assert_allclose(back, [[13.0, np.log(0.5 * 25)]], rtol=1e-14)


def test_classes_have_no_unit():
    scaling = Scaling(np.zeros(1), np.ones(1))
    values = np.ones((2, 3))
    assert scaling.targets(values) is values
    assert scaling.outputs(values) is values

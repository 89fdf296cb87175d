"""Standardisation: moments over valid entries only, and the way there and back."""

import math
from fractions import Fraction

import numpy as np
import pytest
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


@pytest.mark.parametrize("offset", [47.37, -1e6, 0.1, 2.0**53])
def test_a_spread_that_float64_can_tell_is_one(offset):
    """Whatever its share of the mean; that of a constant is rounding."""
    wave = np.spacing(offset) * np.round(1000 * np.sin(np.arange(4000) / 9))
    values = np.stack([offset + wave, np.full(4000, offset)], axis=-1)
    mean, scale = moments(values, np.ones(values.shape, bool))
    exact = [Fraction(value) for value in values[:, 0]]
    center = sum(exact) / 4000
    expected = math.sqrt(sum((value - center) ** 2 for value in exact) / 4000)
    assert abs(Fraction(mean[0]) - center) <= 2 * Fraction(np.spacing(abs(offset)))
    assert scale[0] == pytest.approx(expected, rel=1e-3)
    assert mean[1] == pytest.approx(offset, rel=1e-15)
    assert scale[1] == 1
    assert moments(values.astype("float32"), np.ones(values.shape, bool))[1].tolist() == [1, 1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [0.1, 47.37, -1e6, 1e30])
def test_two_levels_are_a_spread_in_the_numbers_that_float32_has(value, dtype):
    low = np.float32(value)
    high = np.nextafter(low, np.float32(np.inf))
    values = np.where(np.arange(4000) % 2, high, low).astype(dtype)[:, None]
    mean, scale = moments(values, np.ones(values.shape, bool))
    assert scale[0] == pytest.approx((float(high) - float(low)) / 2, rel=1e-6)
    assert mean[0] == pytest.approx((float(high) + float(low)) / 2, rel=1e-15)
    assert moments(np.full_like(values, low), np.ones(values.shape, bool))[1] == 1


def test_two_levels_are_a_spread_beside_columns_of_every_other_kind():
    values = np.ones((4000, 4))
    values[:, 0] = 2.0**53 + 4 * (np.arange(4000) % 2)  # whole numbers, which nothing rounds
    values[:, 1] = np.arange(4000) % 3
    values[:, 2] = np.where(np.arange(4000) % 2, 0.1, np.nextafter(0.1, 1))
    _, scale = moments(values, np.ones(values.shape, bool))
    np.testing.assert_allclose(scale, [2, np.std(values[:, 1]), 1, 1], rtol=1e-12)


def test_a_constant_stays_one_in_a_long_series():
    """A plain sum of so many values is off by thousands of ulps."""
    values = np.full((300_000, 3), [0.1, 47.37, 1e-300])
    values[::2] = np.nextafter(values[::2], 1)
    mean, scale = moments(values, np.ones(values.shape, bool))
    assert scale.tolist() == [1, 1, 1]
    np.testing.assert_allclose(mean, values[0], rtol=1e-15)


@pytest.mark.parametrize("unit", [1e300, 1e-300, 2.0**-1040])
def test_sums_and_squares_stay_in_range(unit):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((50, 20, 2)) + 3
    valid = np.ones(values.shape, bool)
    mean, scale = moments(values, valid)
    far = moments(values * unit, valid)
    np.testing.assert_allclose(far[0] / unit, mean, rtol=1e-9)
    np.testing.assert_allclose(far[1] / unit, scale, rtol=1e-9)


def test_there_and_back():
    rng = np.random.default_rng(0)
    scaling = Scaling(np.array([1.0]), np.array([2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0]))
    X, y = rng.standard_normal((2, 3, 1)), rng.standard_normal((2, 3, 2))
    np.testing.assert_allclose(2 * scaling.inputs(X) + 1, X, rtol=1e-14)
    np.testing.assert_allclose(scaling.outputs(scaling.targets(y)), y, rtol=1e-14)
    for dtype in ("float32", "float64"):
        assert scaling.inputs(X.astype(dtype)).dtype == scaling.inputs(X, dtype).dtype == dtype
        assert scaling.targets(y.astype(dtype)).dtype == scaling.targets(y, dtype).dtype == dtype
        assert scaling.outputs(y.astype(dtype)).dtype == np.float64
    np.testing.assert_array_equal(scaling.inputs([[1], [4]]), [[0.0], [1.5]])


def test_log_variances_go_back_as_the_variances_do():
    scaling = Scaling(np.zeros(1), np.ones(1), np.array([3.0]), np.array([5.0]))
    back = scaling.outputs(np.array([[2.0, np.log(0.5)]]))
    np.testing.assert_allclose(back, [[13.0, np.log(0.5 * 25)]], rtol=1e-14)


def test_classes_have_no_unit():
    scaling = Scaling(np.zeros(1), np.ones(1))
    values = np.ones((2, 3))
    assert scaling.targets(values) is values
    assert scaling.outputs(values) is values

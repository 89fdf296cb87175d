"""Losses: PyTorch's numbers, the gradient of the value, and sense at the extremes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.house import TRUTHS
from numlstm.optim.losses import CURVATURES, LOSSES

SHAPES = {"cross_entropy": ((4, 3, 5), (4, 3)), "gaussian_nll": ((4, 3, 4), (4, 3, 2))}


def example(name, seed, scale=1.0, dtype="float64"):
    """Prediction, target and weight as a loss takes them."""
    rng = np.random.default_rng(seed)
    shape, target_shape = SHAPES.get(name, ((4, 3, 2), (4, 3, 2)))
    target = rng.standard_normal(target_shape).astype(dtype)
    if name == "cross_entropy":
        target = rng.integers(0, shape[-1], target_shape)
    if name == "binary_cross_entropy":
        target = rng.random(target_shape).astype(dtype)
    prediction = (scale * rng.standard_normal(shape)).astype(dtype)
    return prediction, target, rng.random(target_shape).astype(dtype)


@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_and_its_gradient_are_pytorchs(name):
    with np.load(TRUTHS / "fit_truths.npz") as stored:
        prediction, target, expected, slope = (
            stored[f"loss.{name}.{key}"] for key in ("prediction", "target", "value", "gradient")
        )
    weight = np.full(target.shape, 1 / target.size)
    value, gradient = LOSSES[name].function(prediction, target, weight)
    assert value == pytest.approx(float(expected), rel=1e-13)
    np.testing.assert_allclose(gradient, slope, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("name", LOSSES)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_gradient_is_that_of_the_value(name, seed):
    prediction, target, weight = example(name, seed)
    function = LOSSES[name].function
    direction = np.random.default_rng(seed + 1).standard_normal(prediction.shape)
    step = 1e-6
    above, below = (
        function(prediction + sign * step * direction, target, weight)[0] for sign in (1, -1)
    )
    _, gradient = function(prediction, target, weight)
    # a kink of mae or huber between the two points moves the difference by at most the step
    assert (above - below) / (2 * step) == pytest.approx(
        float((gradient * direction).sum()), rel=1e-5, abs=1e-4
    )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e4])
def test_huge_and_tiny_predictions_stay_finite_without_a_warning(name, scale):
    prediction, target, weight = example(name, 0, scale, "float32")
    value, gradient = LOSSES[name].function(prediction, target, weight)
    if not (
        name == "gaussian_nll" and scale > 1
    ):  # a mean far off under a tiny variance may overflow
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    assert gradient.shape == prediction.shape
    assert gradient.dtype == np.float32


def test_logits_far_out_cost_what_they_miss_by():
    logits = np.array([[1e4, -1e4]])
    for target, expected in ([0, 0.0], [1, 2e4]):
        value, _ = LOSSES["cross_entropy"].function(logits, np.array([target]), np.ones(1))
        assert value == expected
    value, gradient = LOSSES["binary_cross_entropy"].function(
        np.array([1e4, -1e4]), np.array([0.0, 0.0]), np.ones(2)
    )
    assert value == 1e4
    assert gradient.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_of_zero_takes_a_target_out(name):
    prediction, target, weight = example(name, 1)
    weight[1] = 0
    value, gradient = LOSSES[name].function(prediction, target, weight)
    keep = [0, 2, 3]
    without, _ = LOSSES[name].function(prediction[keep], target[keep], weight[keep])
    assert value == pytest.approx(without, rel=1e-14)
    assert not gradient[1].any()


@pytest.mark.parametrize("name", LOSSES)
def test_arguments_are_left_as_they_were(name):
    arrays = example(name, 2)
    copies = [array.copy() for array in arrays]
    LOSSES[name].function(*arrays)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_log_variance_beyond_every_number_has_no_slope():
    prediction = np.array([[0.0, 1e5]])
    value, gradient = LOSSES["gaussian_nll"].function(prediction, np.ones((1, 1)), np.ones((1, 1)))
    assert np.isfinite(value)
    assert gradient[0, 1] == 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_curvature_is_the_derivative_of_the_gradient(name, scale):
    prediction, target, weight = example(name, 3, scale)
    along = np.random.default_rng(4).standard_normal(prediction.shape)
    loss = LOSSES[name].function
    exact = np.longdouble  # central differences need the digits
    weight, step = weight.astype(exact), exact(1e-6)
    target = target if name == "cross_entropy" else target.astype(exact)
    ahead, behind = (
        loss(prediction.astype(exact) + sign * step * along, target, weight)[1] for sign in (1, -1)
    )
    bend = CURVATURES[loss](prediction.astype(exact), target, weight, along.astype(exact))
    expected = (ahead - behind) / (2 * step)
    assert np.linalg.norm(bend - expected) <= 1e-9 * max(1e-12, np.linalg.norm(expected))


@pytest.mark.parametrize("name", LOSSES)
def test_the_curvature_keeps_the_dtype_and_stays_finite(name):
    prediction, target, weight = example(name, 5, 1e4, "float32")
    bend = CURVATURES[LOSSES[name].function](prediction, target, weight, np.ones_like(prediction))
    assert bend.dtype == np.float32
    assert np.isfinite(bend).all()

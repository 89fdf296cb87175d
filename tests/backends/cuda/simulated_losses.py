"""The losses of the CUDA backend in Numba's simulator, held to `numlstm.optim.losses`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.harness import BARS, require_bits
from helpers.simulator import poisoned_memory  # noqa: F401
from numlstm.backends.cuda.device import memory, sums
from numlstm.backends.cuda.training import losses
from numlstm.optim.losses import LOSSES

SCALE = 1 / 3
DTYPES = ["float32", "float64"]


def example(name, leading, outputs=3, seed=0, size=1.0, dtype="float64"):
    """Prediction, target and weight as a loss takes them."""
    rng = np.random.default_rng(seed)
    shape = *leading, outputs
    target = rng.standard_normal(shape).astype(dtype)
    if name == "cross_entropy":
        target = rng.integers(0, outputs, leading)
    if name == "binary_cross_entropy":
        target = rng.random(shape).astype(dtype)
    width = outputs * LOSSES[name].outputs
    prediction = (size * rng.standard_normal((*leading, width))).astype(dtype)
    return prediction, target, rng.random(target.shape).astype(dtype)


def evaluate(name, prediction, target, weight, scale=SCALE):
    """(total, gradient) of the kernels, on the host."""
    arrays = map(memory.on_device, (prediction, target, weight, np.array([scale])))
    total, gradient = map(memory.on_host, losses.evaluate(name, *arrays))
    assert (total.shape, total.dtype) == ((1,), np.float64)
    assert (gradient.shape, gradient.dtype) == (prediction.shape, prediction.dtype)
    return float(total[0]), gradient


def of_host(name, prediction, target, weight, scale=SCALE):
    """(total, gradient) of NumPy, in the type of the prediction."""
    with np.errstate(all="ignore"):
        return LOSSES[name].function(prediction, target, weight * weight.dtype.type(scale))


def truth(name, prediction, target, weight, scale=SCALE):
    """The same in float64, of the very same numbers."""
    weight = (weight * weight.dtype.type(scale)).astype("float64")
    target = target if name == "cross_entropy" else target.astype("float64")
    return LOSSES[name].function(prediction.astype("float64"), target, weight)


def require_close(name, arrays):
    (total, gradient), (value, slope) = evaluate(name, *arrays), truth(name, *arrays)
    bar = BARS[gradient.dtype.name]
    assert total == pytest.approx(value, rel=bar, abs=bar * 1e-3)
    assert np.linalg.norm(gradient - slope) <= bar * np.linalg.norm(slope)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", [(1,), (7,), (3, 5), (2, 4)], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_the_hosts(name, leading, dtype):
    for outputs in (1, 2, 5):
        require_close(name, example(name, leading, outputs, dtype=dtype))


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=10)
@given(
    leading=st.lists(st.integers(1, 4), max_size=3),
    outputs=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([0.1, 1.0, 10.0]),
)
def test_losses_of_any_shape_are_the_hosts(name, leading, outputs, seed, size):
    require_close(name, example(name, leading, outputs, seed, size))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", [(0,), (0, 3), (2, 0)], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_no_targets_cost_nothing(name, leading, dtype):
    total, gradient = evaluate(name, *example(name, leading, dtype=dtype))
    assert total == 0
    assert gradient.size == 0


@pytest.mark.parametrize("scale", [1 / 3, 1e-3 / 7, 3.0])
def test_the_scale_is_rounded_as_on_the_host(scale):
    arrays = example("mae", (6,), dtype="float32")
    require_bits(evaluate("mae", *arrays, scale)[1], of_host("mae", *arrays, scale)[1])


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_of_zero_takes_a_target_out(name):
    prediction, target, weight = example(name, (5,))
    weight[2] = 0
    total, gradient = evaluate(name, prediction, target, weight)
    assert total == pytest.approx(truth(name, prediction, target, weight)[0], rel=1e-14)
    assert not gradient[2].any()


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e4])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.filterwarnings("ignore:overflow encountered")  # gaussian_nll, as on the host
def test_huge_and_tiny_predictions(name, size):
    arrays = example(name, (4,), 2, size=size, dtype="float32")
    (total, gradient), (value, slope) = evaluate(name, *arrays), of_host(name, *arrays)
    assert total == pytest.approx(value, rel=2e-6)
    np.testing.assert_allclose(gradient, slope, rtol=2e-6)


def test_logits_far_out_cost_what_they_miss_by():
    logits, one = np.array([[1e4, -1e4]]), np.ones(1)
    for target, expected in ([0, 0.0], [1, 2e4]):
        assert evaluate("cross_entropy", logits, np.array([target]), one, 1.0)[0] == expected
    total, gradient = evaluate(
        "binary_cross_entropy", np.array([1e4, -1e4]), np.zeros(2), np.ones(2), 1.0
    )
    assert total == 1e4
    assert gradient.tolist() == [1.0, 0.0]


def test_log_variance_beyond_every_number_has_no_slope():
    prediction, one = np.array([[0.0, 1e5]]), np.ones((1, 1))
    total, gradient = evaluate("gaussian_nll", prediction, one, one)
    assert np.isfinite(total)
    assert gradient[0, 1] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_prediction_that_is_no_number_shows_in_the_total(name, bad):
    prediction, target, weight = example(name, (3,))
    prediction[1, 0] = bad
    arrays = prediction, target, weight
    assert np.isfinite(evaluate(name, *arrays)[0]) == np.isfinite(of_host(name, *arrays)[0])


# --- sums -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 32, 33, 101])
def test_sums_are_in_float64(count, dtype):
    terms = np.random.default_rng(count).standard_normal(count).astype(dtype)
    [total] = memory.on_host(sums.total(memory.on_device(terms)))
    assert total == pytest.approx(terms.sum(dtype=np.float64), rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 1, 16, 33, 70])
def test_norms_skip_what_is_held_still(count, dtype):
    rng = np.random.default_rng(count)
    gradient, free = rng.standard_normal(count).astype(dtype), rng.integers(0, 2, count)
    gradient[free == 0] = np.nan
    given = memory.on_device(gradient), memory.on_device(free, np.uint8)
    [norm] = memory.on_host(sums.norm(*given))
    held = gradient[free == 1].astype("float64")
    assert norm == pytest.approx(np.linalg.norm(held), rel=1e-14)


def test_a_norm_is_no_square_that_overflows():
    gradient = memory.on_device(np.full(3, 1e30, "float32"))
    [norm] = memory.on_host(sums.norm(gradient, memory.empty(0, np.uint8)))
    assert norm == pytest.approx(np.sqrt(3) * 1e30, rel=1e-6)

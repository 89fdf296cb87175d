"""The updates of the CUDA backend in Numba's simulator, held to `numlstm.optim`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.harness import BARS, require_bits
from helpers.simulator import poisoned_memory  # noqa: F401
from numlstm.backends.cuda.device import memory, sums
from numlstm.backends.cuda.training import optimizers as kernels
from numlstm.optim import optimizers
from numlstm.optim.bounds import Limits
from numlstm.optim.optimizers import OPTIMIZERS

# method, weight decay, options
CASES = {
    "adam": ("adam", 0.0, {}),
    "adam decayed": ("adam", 0.1, {"betas": (0.8, 0.95), "eps": 1e-4}),
    "adam without means": ("adam", 0.0, {"betas": (0.0, 0.0)}),
    "adamw": ("adamw", 0.1, {}),
    "sgd": ("sgd", 0.0, {}),
    "sgd with momentum": ("sgd", 0.01, {"momentum": 0.9}),
    "sgd by nesterov": ("sgd", 0.1, {"momentum": 0.9, "nesterov": True}),
    "rmsprop": ("rmsprop", 0.0, {}),
    "rmsprop with momentum": ("rmsprop", 0.01, {"momentum": 0.5, "alpha": 0.9}),
}
LIMITS = "none", "held", "bounded", "both"
DTYPES = ["float32", "float64"]
NONE = np.empty(0)


def limits_of(kind, theta, rng):
    """What the host and the device take for a kind of limits."""
    host = Limits.none(theta.size)
    if kind in ("held", "both"):
        host.free[...] = rng.random(theta.size) < 0.6
    if kind in ("bounded", "both"):
        below, above = rng.random((2, theta.size)).astype(theta.dtype) * 0.02
        host.lower[...] = np.where(rng.random(theta.size) < 0.7, theta - below, -np.inf)
        host.upper[...] = np.where(rng.random(theta.size) < 0.7, theta + above, np.inf)
    bounds = (host.lower, host.upper) if kind in ("bounded", "both") else (NONE, NONE)
    free = host.free if kind in ("held", "both") else NONE
    device = kernels.Limits(
        memory.on_device(free, np.uint8),
        *(memory.on_device(bound, theta.dtype) for bound in bounds),
    )
    return host, device


class Host:
    """Updates as `numlstm.training.loop` makes them."""

    def __init__(self, theta, method, decay, options, clip, host_limits):
        self.theta, self.previous, self.clip, self.limits = theta.copy(), None, clip, host_limits
        self.optimizer = OPTIMIZERS[method](theta.size, theta.dtype.name, decay, options)

    def update(self, gradient, rate):
        self.previous = self.theta.copy()
        gradient = np.where(self.limits.free, gradient, gradient.dtype.type(0))
        gradient = optimizers.clip(gradient, optimizers.norm(gradient), self.clip)
        self.optimizer.update(self.theta, gradient, rate)
        self.limits.hold(self.theta, self.previous)

    @property
    def arrays(self):
        return [self.theta, self.previous, *self.optimizer.state.values()]


class Device:
    """The same by the kernels; status and arrays come back to the host."""

    def __init__(self, theta, method, decay, options, clip, device_limits):
        options = {**OPTIMIZERS[method].defaults, **options}
        self.constants = kernels.Constants(options, decay, clip)
        self.method, self.limits, self.steps = method, device_limits, 0
        self.theta, self.previous = map(memory.on_device, (theta, np.zeros_like(theta)))
        count = len(kernels.METHODS[method].arrays._fields)
        self.state = kernels.METHODS[method].arrays(
            *(memory.zeros(theta.size, theta.dtype) for _ in range(count))
        )
        self.status = memory.zeros(2, np.int32)

    def update(self, gradient, rate, value=1.0):
        self.steps += 1
        gradient = memory.on_device(gradient)
        norm = sums.norm(gradient, self.limits.free)
        numbers = kernels.numbers_of(self.method, self.constants, self.steps, rate)
        numbers, value = map(memory.on_device, (numbers, np.array([value])))
        kernels.update(
            *(self.method, self.theta, self.previous, gradient, self.state, self.limits),
            *(value, norm, numbers, self.status),
        )

    @property
    def arrays(self):
        return [memory.on_host(array) for array in (self.theta, self.previous, *self.state)]

    @property
    def said(self):
        return memory.on_host(self.status).tolist()


def both(case, size, dtype, kind="none", clip=None, seed=0):
    """The host's and the device's updates of the same start."""
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal(size).astype(dtype)
    host_limits, device_limits = limits_of(kind, theta, rng)
    given = theta, *CASES[case], clip
    return Host(*given, host_limits), Device(*given, device_limits)


def require_close(case, size, dtype, kind, clip, seed, count=5):
    host, device = both(case, size, dtype, kind, clip, seed)
    rng = np.random.default_rng(seed + 1)
    for step in range(count):
        gradient = (rng.standard_normal(size) * 10.0 ** rng.integers(-3, 2)).astype(dtype)
        for each in (host, device):
            each.update(gradient, 0.02 / (1 + step))
        for ours, expected in zip(device.arrays, host.arrays, strict=True):
            assert ours.dtype == dtype
            error = np.linalg.norm(ours - expected)
            assert error <= BARS[dtype] * np.linalg.norm(expected)
    assert device.said == [0, 0]
    theta, (free, lower, upper) = device.arrays[0], host.limits
    require_bits(theta[~free], host.theta[~free])
    assert ((lower <= theta) & (theta <= upper))[free].all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("case", CASES)
def test_updates_are_the_hosts(case, kind, dtype):
    require_close(case, 11, dtype, kind, clip=1.0, seed=3)


@settings(max_examples=25)
@given(
    case=st.sampled_from(list(CASES)),
    size=st.integers(0, 19),
    kind=st.sampled_from(LIMITS),
    clip=st.sampled_from([None, 1e-3, 1.0, 1e6]),
    seed=st.integers(0, 2**32 - 1),
)
def test_updates_of_any_kind_are_the_hosts(case, size, kind, clip, seed):
    require_close(case, size, "float64", kind, clip, seed, count=3)


def test_the_arrays_have_the_hosts_names():
    for method, kind in OPTIMIZERS.items():
        assert kernels.METHODS[method].arrays._fields == kind.arrays


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("value", "entry"), [(np.nan, 1.0), (np.inf, 1.0), (1.0, np.nan)])
def test_a_loss_or_gradient_that_is_not_finite_changes_nothing(case, value, entry):
    _, device = both(case, 5, "float64")
    device.update(np.ones(5), 0.1)
    before, gradient = device.arrays, np.ones(5)
    gradient[3] = entry
    device.update(gradient, 0.1, value)
    assert device.said == [1, 0]
    device.update(np.ones(5), 0.1)  # nor does any update after it
    assert device.said == [1, 0]
    for ours, kept in zip(device.arrays, before, strict=True):
        require_bits(ours, kept)


def test_a_gradient_that_is_not_finite_does_not_matter_where_theta_is_held():
    _, device = both("adam", 9, "float64", "held")
    gradient = np.where(memory.on_host(device.limits.free), 1.0, np.nan)
    device.update(gradient, 0.1)
    assert device.said == [0, 0]
    assert all(np.isfinite(array).all() for array in device.arrays)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_theta_that_is_not_finite_is_said_and_the_one_before_kept():
    _, device = both("sgd", 5, "float32")
    device.update(np.ones(5, "float32"), 0.1)
    before = device.arrays[0]
    device.update(np.float32([1, 1, 3e38, 1, 1]), 1e10)
    assert device.said == [0, 1]
    require_bits(device.arrays[1], before)
    device.update(np.ones(5, "float32"), 0.1)
    assert device.said == [1, 1]
    require_bits(device.arrays[1], before)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_bounds_bring_back_what_is_infinite():
    host, device = both("sgd", 4, "float32", "bounded")
    gradient = np.full(4, 3e38, "float32")
    host.limits.lower[...] = -1  # else what has no bound is infinite
    device.limits = device.limits._replace(lower=memory.on_device(np.full(4, -1, "float32")))
    with np.errstate(all="ignore"):
        host.update(gradient, 1e10)
    device.update(gradient, 1e10)
    assert device.said == [0, 0]
    require_bits(device.arrays[0], host.theta)

"""Updates of the parameters on the device: `numlstm.optim` with its limits, a kernel a method.

What changes from update to update is read from `numbers`, a small vector on the device, so that a
launch can be captured and replayed: `numbers_of` says on the host what stands in it. Its first
number is the largest norm that a gradient may have; the others are the method's.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from numlstm.backends.cuda.device.compile import kernel
from numlstm.backends.cuda.device.memory import empty, launched, over_elements
from numlstm.backends.cuda.device.target import cuda
from numlstm.cell.elementary import compilable, like


class Constants(NamedTuple):
    """Constants of a method, fixed for a fit."""

    options: Mapping[str, Any]  # every constant of the method, by the name that it has there
    weight_decay: float = 0.0
    clip: float | None = None  # the largest norm of a gradient


class Limits(NamedTuple):
    """Free entries of theta and their bounds; an empty array is no limit."""

    free: Any  # (n,) uint8, 0 where an entry is held still
    lower: Any  # (n,) in the type of theta, infinite where there is no bound
    upper: Any  # (n,)


class Adam(NamedTuple):
    """The arrays of Adam and AdamW."""

    m: Any  # (n,)
    v: Any  # (n,)


class SGD(NamedTuple):
    """The array of SGD."""

    velocity: Any  # (n,)


class RMSprop(NamedTuple):
    """The arrays of RMSprop."""

    v: Any  # (n,)
    velocity: Any  # (n,)


class Method(NamedTuple):
    """A method: its arrays, what stands in its `numbers`, and its step for one entry of theta."""

    arrays: type
    numbers: Callable[..., tuple[float, ...]]
    step: Callable[..., Any]


def numbers_of(method: str, constants: Constants, steps: int, rate: float) -> np.ndarray:
    """Numbers for the n-th update, counted from 1: float64 (k,)."""
    longest = math.inf if constants.clip is None else constants.clip
    return np.array((longest, *METHODS[method].numbers(constants, steps, rate)))


def update(
    method, theta, previous, gradient, arrays, limits: Limits, value, norm, numbers, status
) -> None:
    """One step on theta, in place; theta as it was goes to `previous`.

    theta, previous, gradient and the method's arrays (n,); value and norm (1,) in float64, the loss
    and what `sums.norm` says of the gradient; status (2,) in int32, zeros at first. Where value or
    norm is not finite, status[0] becomes 1 and nothing else changes; where theta is no longer
    finite, status[1] becomes 1. From then on nothing changes until both are 0 again.
    """
    settled = empty(numbers.size, theta.dtype)
    launched(settle, 1, 1)(numbers, value, norm, status, settled)
    kernel = compiled(METHODS[method].step)
    over_elements(kernel, theta.size, settled, gradient, theta, previous, arrays, limits, status)


# --- kernels --------------------------------------------------------------------------------------


@kernel
def settle(numbers, value, norm, status, settled):
    """settled (k,) = numbers (k,), for the first the gradient's factor. value, norm (1,)."""
    longest, length = numbers[0], norm[0]
    if status[1] != 0 or not math.isfinite(value[0] + length):
        status[0] = 1
    settled[0] = like(settled[0], longest / length if length > longest else 1.0)
    for k in range(1, numbers.shape[0]):
        settled[k] = like(settled[k], numbers[k])


@cache
def compiled(step):
    """The kernel of a method."""

    @kernel
    def step_within_limits(numbers, gradient, theta, previous, arrays, limits, status):
        """theta = step(theta) within the limits. numbers (k,), status (2,), all others (n,)."""
        if status[0] != 0:
            return
        for i in range(cuda.grid(1), theta.shape[0], cuda.gridsize(1)):
            before = theta[i]
            g = like(before, 0.0) if is_held(limits, i) else numbers[0] * gradient[i]
            after = allowed(limits, i, before, step(numbers, arrays, i, before, g))
            previous[i], theta[i] = before, after
            if not math.isfinite(after):
                status[1] = 1

    return step_within_limits


@compilable()
def is_held(limits, i):
    """Whether an entry of theta is held still."""
    return limits.free.shape[0] > 0 and limits.free[i] == 0


@compilable()
def allowed(limits, i, before, after):
    """The point within the bounds nearest to `after`; `before` where it is held still."""
    if is_held(limits, i):
        return before
    if limits.lower.shape[0] > 0 and after < limits.lower[i]:
        after = limits.lower[i]
    if limits.upper.shape[0] > 0 and after > limits.upper[i]:
        after = limits.upper[i]
    return after


# --- methods: what stands in the numbers, next to the step that reads them ------------------------


def adam_numbers(constants, steps, rate, decoupled=False):
    """Decay of theta's gradient and of theta itself, then the constants of the two means."""
    (beta1, beta2), decay = constants.options["betas"], constants.weight_decay
    decays = (0.0, 1 - rate * decay) if decoupled else (decay, 1.0)
    root, long = (1 - beta2**steps) ** 0.5, rate / (1 - beta1**steps)
    return (*decays, 1 - beta1, beta2, 1 - beta2, root, constants.options["eps"], long)


@compilable()
def adam(numbers, arrays, i, theta, g):
    """theta - rate m / (sqrt(v) + eps), m and v the unbiased means of g and g^2."""
    decay, shrunk, new_m, old_v, new_v = numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]
    root, eps, rate = numbers[6], numbers[7], numbers[8]
    theta = theta * shrunk
    g = g + decay * theta
    m = arrays.m[i] + new_m * (g - arrays.m[i])
    v = old_v * arrays.v[i] + new_v * (g * g)
    arrays.m[i], arrays.v[i] = m, v
    return theta - rate * (m / (like(v, math.sqrt(v)) / root + eps))


def sgd_numbers(constants, steps, rate):
    """The step is along `straight` g + `ahead` velocity."""
    momentum, nesterov = constants.options["momentum"], constants.options["nesterov"]
    straight, ahead = (1.0, momentum) if nesterov else (0.0, 1.0)
    return constants.weight_decay, momentum, straight, ahead, rate


@compilable()
def sgd(numbers, arrays, i, theta, g):
    """theta - rate velocity, or Nesterov's theta - rate (g + momentum velocity)."""
    decay, momentum, straight, ahead = numbers[1], numbers[2], numbers[3], numbers[4]
    g = g + decay * theta
    velocity = momentum * arrays.velocity[i] + g
    arrays.velocity[i] = velocity
    return theta - numbers[5] * (ahead * velocity + straight * g)


def rmsprop_numbers(constants, steps, rate):
    """The constants of the mean, then those of the step."""
    alpha, eps, momentum = (constants.options[name] for name in ("alpha", "eps", "momentum"))
    return constants.weight_decay, alpha, 1 - alpha, eps, momentum, rate


@compilable()
def rmsprop(numbers, arrays, i, theta, g):
    """theta - rate velocity, of g / (sqrt(v) + eps), v the mean of g^2."""
    decay, old_v, new_v = numbers[1], numbers[2], numbers[3]
    eps, momentum, rate = numbers[4], numbers[5], numbers[6]
    g = g + decay * theta
    v = old_v * arrays.v[i] + new_v * (g * g)
    velocity = momentum * arrays.velocity[i] + g / (like(v, math.sqrt(v)) + eps)
    arrays.v[i], arrays.velocity[i] = v, velocity
    return theta - rate * velocity


METHODS = {
    "adam": Method(Adam, adam_numbers, adam),
    "adamw": Method(Adam, partial(adam_numbers, decoupled=True), adam),
    "sgd": Method(SGD, sgd_numbers, sgd),
    "rmsprop": Method(RMSprop, rmsprop_numbers, rmsprop),
}

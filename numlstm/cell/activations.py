"""Activation functions by number: their values, and their slopes from their values.

Written over the primitives of `numlstm.cell.elementary`, for every kernel. The derivative of each
is a function of the value alone, so that the backward pass needs nothing else; none of them turns,
which is what `slope_limited` rests on. Names and constants: `ACTIVATIONS` in
`numlstm.architecture.spec`.
"""

from typing import Any, NamedTuple

from numlstm.architecture.cell import ACTIVATIONS, Activation
from numlstm.cell.elementary import (
    clip,
    compilable,
    expm1,
    fma,
    like,
    log1p,
    noinline,
    sigmoid,
    tanh,
    where,
)

NUMBERS = {name: number for number, name in enumerate(ACTIVATIONS)}
(
    SIGMOID,
    TANH,
    RELU,
    AFFINE,
    LEAKY_RELU,
    THRESHOLDED_RELU,
    SCALED_TANH,
    HARD_SIGMOID,
    ELU,
    SOFTSIGN,
    SOFTPLUS,
) = range(len(NUMBERS))


class Function(NamedTuple):
    """An activation as kernels take it."""

    number: int
    alpha: float
    beta: float


def function_of(activation: Activation) -> Function:
    """An activation of a spec as kernels take it."""
    return Function(NUMBERS[activation.name], activation.alpha or 0.0, activation.beta or 0.0)


@compilable()
def activate(f, z):
    """f(z)."""
    if f.number == SIGMOID:
        return sigmoid(z)
    if f.number == TANH:
        return tanh(z)
    return _activate_other(f, z)


@compilable()
def _activate_other(f, z):
    noinline()
    zero, one, alpha, beta = like(z, 0.0), like(z, 1.0), like(z, f.alpha), like(z, f.beta)
    if f.number == RELU:
        return where(z > zero, z, zero)
    if f.number == AFFINE:
        return fma(alpha, z, beta)
    if f.number == LEAKY_RELU:
        return where(z > zero, z, alpha * z)
    if f.number == THRESHOLDED_RELU:
        return where(z > alpha, z, zero)
    if f.number == SCALED_TANH:
        return alpha * tanh(beta * z)
    if f.number == HARD_SIGMOID:
        y = fma(alpha, z, beta)
        y = where(y > one, one, y)
        return where(y < zero, zero, y)
    if f.number == ELU:
        return where(z > zero, z, alpha * expm1(z))
    if f.number == SOFTSIGN:
        return z / (one + where(z < zero, -z, z))
    return where(z > zero, z, zero) + log1p(exp_of_minus_magnitude(z))


@compilable()
def exp_of_minus_magnitude(z):
    """exp(-|z|)."""
    return expm1(where(z < like(z, 0.0), z, -z)) + like(z, 1.0)


@compilable()
def slope(f, y):
    """f'(z) where y = f(z)."""
    one = like(y, 1.0)
    if f.number == SIGMOID:
        return y * (one - y)
    if f.number == TANH:
        return fma(-y, y, one)
    return _slope_other(f, y)


@compilable()
def _slope_other(f, y):
    noinline()
    zero, one, alpha, beta = like(y, 0.0), like(y, 1.0), like(y, f.alpha), like(y, f.beta)
    if f.number == RELU:
        return where(y > zero, one, zero)
    if f.number == AFFINE:
        return alpha
    if f.number == LEAKY_RELU:
        return where(y > zero, one, alpha)
    if f.number == THRESHOLDED_RELU:
        return where(y > alpha, one, zero)
    if f.number == SCALED_TANH:
        return beta * (alpha - y * y / alpha)
    if f.number == HARD_SIGMOID:
        return where(y > zero, where(y < one, alpha, zero), zero)
    if f.number == ELU:
        return where(y > zero, one, y + alpha)
    if f.number == SOFTSIGN:
        rest = one - where(y < zero, -y, y)
        return rest * rest
    return -expm1(-y)


class Limited(NamedTuple):
    """An activation of what is limited to [-limit, limit], and the ends of its values."""

    function: Function
    limit: float
    low: Any  # these two are for slopes, and stand there once `limited` has made them
    high: Any


@compilable()
def limited(f, zero):
    """The activation with its ends, in the type of `zero`."""
    one = activate(f.function, like(zero, f.limit))
    other = activate(f.function, like(zero, -f.limit))
    low, high = where(one < other, one, other), where(one < other, other, one)
    return Limited(f.function, f.limit, low, high)


@compilable()
def activate_limited(f, z):
    """f(z), z limited before."""
    return activate(f.function, clip(z, f.limit))


@compilable()
def slope_limited(f, y):
    """The slope of `activate_limited`: 0 from the limit on, where y has reached an end."""
    zero = like(y, 0.0)
    inside = where(y < like(y, f.high), slope(f.function, y), zero)
    return where(y > like(y, f.low), inside, zero)

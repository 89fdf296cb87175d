"""exp, tanh and the logistic function as polynomials: the same bits on every machine.

Each function takes a NumPy scalar, or a vector or scalar of a compiled backend, and works in that
type throughout. The `primitives` below say in Python what a backend supplies as instructions;
everything else is built on them, so it stands here once. The coefficients are minimax fits made by
``benchmarks/minimax.py``.

Errors, measured by ``tests/cell/test_elementary.py`` over all float32 and 10^7 float64 arguments:
at most 1.1 units in the last place for exp, 2.6 for tanh, 2.5 for sigmoid. exp takes an argument
beyond +-87 (float32) or +-708 (float64) for that limit, so that every result is finite, and sigmoid
is 0 below the lower one; a NaN stays a NaN.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numba.extending import overload, register_jitable

# for functions that only compiled code calls: no entrance from Python or C is made for them
_inside = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
compilable = partial(register_jitable, **_inside)

CHAIN_RULES: dict[Callable, Callable] = {}  # function -> what it is for a number with a tangent


def differentiable(function):
    """Compilable; for a number with a tangent the rule of a backend that knows such numbers."""

    @overload(function, jit_options=dict(_inside), strict=False)
    def by_type(x):
        return CHAIN_RULES[function] if getattr(x, "has_tangent", False) else function

    return function


# --- primitives: one instruction each, supplied by the backend ------------------------------------


def fma(a, b, c):
    """a * b + c, rounded once."""
    return a * b + c


def like(x, value):
    """The constant `value` in the type of x."""
    return type(x)(value)


def where(condition, a, b):
    """a where the condition holds, else b."""
    return a if condition else b


def power_of_two(shifted):
    """2**n for shifted = n + SHIFT, by moving n into the exponent bits."""
    return like(shifted, 2.0) ** (shifted - like(shifted, shift(shifted)))


def shift(x):
    """1.5 * 2**(number of mantissa bits): adding it rounds to an integer in the low bits."""
    return 1.5 * 2.0 ** np.finfo(type(x)).nmant


def noinline():
    """Keep the function that says this out of line: it is large, and seldom called."""


def smallest_normal(x):
    """The smallest normal number of the type of x."""
    return np.finfo(type(x)).smallest_normal


def reduction(x):
    """A power of two by which numbers of any size have squares that can be added."""
    return 2.0**-73 if type(x) is np.float32 else 2.0**-521


def exponent_limit(x):
    """Largest a for which exp(a) and exp(-a) are normal numbers."""
    return 87.0 if type(x) is np.float32 else 708.0


def expm1_series(r):
    """q(r) in exp(r) = 1 + r + r**2 q(r), for abs(r) <= ln(2)/2."""
    return series32(r) if type(r) is np.float32 else series64(r)


# --- built on the primitives ----------------------------------------------------------------------


@compilable()
def series32(r):
    """Minimax polynomial of degree 4; relative error of expm1 1.4e-8."""
    q = like(r, 0.0013884184)
    q = fma(q, r, like(r, 0.008366437))
    q = fma(q, r, like(r, 0.04166717))
    q = fma(q, r, like(r, 0.16666545))
    return fma(q, r, like(r, 0.49999997))


@compilable()
def series64(r):
    """Minimax polynomial of degree 9; relative error of expm1 1.9e-17."""
    q = like(r, 2.505488191636893e-08)
    q = fma(q, r, like(r, 2.762577860971015e-07))
    q = fma(q, r, like(r, 2.755740365509742e-06))
    q = fma(q, r, like(r, 2.4801506018061147e-05))
    q = fma(q, r, like(r, 0.00019841269723867085))
    q = fma(q, r, like(r, 0.0013888888930834533))
    q = fma(q, r, like(r, 0.008333333333387037))
    q = fma(q, r, like(r, 0.04166666666657953))
    q = fma(q, r, like(r, 0.16666666666666594))
    return fma(q, r, like(r, 0.5000000000000004))


@compilable()
def clip(x, limit):
    """x limited to [-limit, limit], a constant from there on; a NaN stays a NaN."""
    top = like(x, limit)
    x = where(x >= top, top, x)
    return where(x <= -top, -top, x)


@differentiable
def flush(x):
    """x, or zero where x is subnormal: subnormal arithmetic is slow on many processors."""
    tiny = like(x, smallest_normal(x))
    zero = like(x, 0.0)
    return where(x > -tiny, where(x < tiny, zero, x), x)


@compilable()
def exp_parts(x):
    """(s, p) with exp(x) = s + s * p: s a power of two, abs(p) <= 0.42."""
    magic = like(x, shift(x))
    shifted = fma(x, like(x, 1.4426950408889634), magic)  # x / ln(2), rounded to an integer
    n = shifted - magic
    # ln(2) in two parts: the first has so few bits that n times it is exact
    r = fma(n, like(x, -0.693145751953125), x)
    r = fma(n, like(x, -1.4286068203094172e-06), r)
    p = fma(r * r, expm1_series(r), r)
    return power_of_two(shifted), p


@compilable()
def exp(x):
    """exp(x), x limited to the range where the result is a normal number."""
    s, p = exp_parts(clip(x, exponent_limit(x)))
    return fma(s, p, s)


@differentiable
def expm1(x):
    """exp(x) - 1, with all its digits near 0; x limited as for exp."""
    s, p = exp_parts(clip(x, exponent_limit(x)))
    return fma(s, p, s - like(x, 1.0))


@differentiable
def log1p(x):
    """log(1 + x) for 0 <= x <= 1: 2 atanh(x / (2 + x)), by its Taylor series."""
    ratio = x / (x + like(x, 2.0))
    square = ratio * ratio
    total = like(x, 1.0 / 35.0)
    for n in range(33, 0, -2):
        total = fma(total, square, like(x, 1.0 / n))
    return (ratio + ratio) * total


@differentiable
def sigmoid(x):
    """1 / (1 + exp(-x)), or 0 where that is no normal number: a shut gate lets nothing through."""
    one = like(x, 1.0)
    y = one / (one + exp(-x))
    return where(x < like(x, -exponent_limit(x)), like(x, 0.0), y)


@differentiable
def tanh(x):
    """(exp(2x) - 1) / (exp(2x) + 1), through expm1 so that small x keep all their digits."""
    s, p = exp_parts(clip(x + x, 44.0))
    e = fma(s, p, s - like(x, 1.0))
    return e / (e + like(x, 2.0))

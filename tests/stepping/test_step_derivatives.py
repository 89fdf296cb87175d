"""`step_jvp` and `step_vjp` in the user's own compiled loop, against the definition."""

import numba
import numpy as np
import pytest
from numba.core.errors import TypingError
from numba.core.runtime import _nrt_python, rtsys

import numlstm
from helpers.stepping import (
    DTYPES,
    VARIANTS,
    a_model,
    a_run,
    adjoint,
    draw,
    random_model,
    require_adjoints_in_parallel,
    require_close,
)
from numlstm.architecture.spec import State
from numlstm.backends import reference
from numlstm.network.network import Network, with_tangent

BARS = {"float64": 1e-11, "float32": 2e-5}  # relative in L2, per array


@numba.njit
def tangent(stepper, X, h, c, Y, dX, dh, dc, dY):
    """`simulate_and_keep` in forward mode."""
    status = 0
    for t in range(len(X)):
        status += stepper.step_jvp(X[t], h, c, Y[t], dX[t], dh, dc, dY[t])
    return status


def go_back(model, stepper, X, states, cotangents):
    """Gradients (theta, X, h, c)."""
    dY, dh, dc = (part.copy() for part in cotangents)
    dX, dtheta = np.empty_like(X), np.zeros_like(model.theta)
    assert adjoint(stepper, X, *states, dY, dh, dc, dX, dtheta) == 0
    return dtheta, dX, dh, dc


def by_the_definition(model, X, states, direction):
    """Y, h and c of X (T, B, I) by complex steps through the reference, along (theta, X, h, c)."""
    theta, dX, dh, dc = direction
    network, scaling = Network(model.spec, reference).tangents, model.scaling
    state = State(*(with_tangent(at[0], d) for at, d in zip(states, (dh, dc), strict=True)))
    inside = X.astype("float64") if scaling is None else (X - scaling.x_mean) / scaling.x_scale
    inside = with_tangent(inside, dX if scaling is None else dX / scaling.x_scale)
    weights = network.pack(with_tangent(model.theta, theta))
    Y, final, _ = network.forward(weights, inside.swapaxes(0, 1), state)
    if scaling is not None:
        Y = Y * scaling.y_scale + scaling.y_mean
    return Y.swapaxes(0, 1), *final


def require_derivatives(model, seed, rows):
    rng, bar = np.random.default_rng([seed, 1]), BARS[model.spec.dtype]
    stepper, X, states, ends = a_run(model, rng, rows)
    direction = draw(rng, model.theta, X, *(at[0] for at in states))
    still = [np.zeros_like(model.theta), *direction[1:]]
    expected = by_the_definition(model, X, states, still)
    _, *given = direction
    dX, dh, dc = (part.copy() for part in given)
    h, c = (at[0].copy() for at in states)
    Y, dY = (np.empty_like(ends[0]) for _ in range(2))
    assert tangent(stepper, X, h, c, Y, dX, dh, dc, dY) == 0
    for have, moved, want in zip((Y, h, c), (dY, dh, dc), expected, strict=True):
        require_close(have, want.real, bar)
        require_close(moved, want.imag, bar)

    cotangents = draw(rng, *ends)
    gradients = go_back(model, stepper, X, states, cotangents)
    moved = [end.imag for end in by_the_definition(model, X, states, direction)]
    want = sum(np.vdot(*pair) for pair in zip(cotangents, moved, strict=True))
    have = sum(np.vdot(*pair) for pair in zip(gradients, direction, strict=True))
    size = sum(
        np.linalg.norm(a) * np.linalg.norm(b) for a, b in zip(cotangents, moved, strict=True)
    )
    assert abs(have - want) <= bar * size


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_every_variant_is_differentiated_as_by_the_complex_step(first):
    for seed in range(first, first + 20):
        require_derivatives(random_model(seed), seed, rows=(1, 2, 7, 29)[seed % 4])


def test_float32_keeps_its_digits():
    for seed in (0, 3, 8):
        require_derivatives(random_model(seed, "float32"), seed, rows=13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VARIANTS)
def test_an_adjoint_loop_is_vjp_and_a_tangent_loop_jvp(name, dtype):
    model, rng = a_model(dtype, 19, **VARIANTS[name]), np.random.default_rng(0)
    stepper, X, states, ends = a_run(model, rng, 5)
    start, rows = State(*(at[0] for at in states)), X.swapaxes(0, 1)
    cotangents = draw(rng, *ends)
    gradients = go_back(model, stepper, X, states, cotangents)
    _, pullback = model.vjp(rows, start)
    expected = pullback(cotangents[0].swapaxes(0, 1), State(*cotangents[1:]))
    pairs = zip(
        gradients, (expected.theta, expected.X.swapaxes(0, 1), *expected.state), strict=True
    )
    for have, want in pairs:
        require_close(have, want, {"float64": 1e-14, "float32": 1e-6}[dtype])

    dX, dh, dc = draw(rng, X, *start)
    _, (dY, dstate) = model.jvp(rows, dX.swapaxes(0, 1), State(dh, dc), state=start)
    Y, moved = (np.empty_like(ends[0]) for _ in range(2))
    h, c = (part.copy() for part in start)
    assert tangent(stepper, X, h, c, Y, dX, dh, dc, moved) == 0
    for have, want in zip((moved, dh, dc), (dY.swapaxes(0, 1), *dstate), strict=True):
        require_close(have, want, {"float64": 1e-14, "float32": 1e-6}[dtype])


def test_one_sequence_no_sequence_and_no_gradient_of_theta():
    model, rng = a_model(num_layers=2), np.random.default_rng(0)
    stepper, X, states, ends = a_run(model, rng)
    cotangents = draw(rng, *ends)
    dtheta, *rest = go_back(model, stepper, X, states, cotangents)
    dY, dh, dc = (part[:, None].copy() for part in cotangents)
    dX, again = np.empty_like(X)[:, None], np.zeros_like(dtheta)
    states = [np.ascontiguousarray(at[:, :, None]) for at in states]
    assert adjoint(stepper, X[:, None], *states, dY, dh, dc, dX, again) == 0
    for have, want in zip((dX, dh, dc), rest, strict=True):
        np.testing.assert_array_equal(have.reshape(want.shape), want)
    np.testing.assert_array_equal(again, dtheta)
    dY, dh, dc = (part.copy() for part in cotangents)
    assert adjoint(stepper, X, *(at[:, :, 0] for at in states), dY, dh, dc, dX[:, 0], None) == 0
    np.testing.assert_array_equal(dh, rest[1])
    _, X, states, ends = a_run(model, rng, 0)
    dtheta, *_ = go_back(model, stepper, X, states, ends)
    assert not dtheta.any()


def test_derivatives_allocate_nothing():
    model, rng, counts = a_model(num_layers=2), np.random.default_rng(0), []
    stepper, X, (H, C), (Y, h, c) = a_run(model, rng, steps=1000)
    dX, dtheta = np.empty_like(X), np.zeros_like(model.theta)
    _nrt_python.memsys_enable_stats()
    try:
        for steps in (10, 1000):
            before = rtsys.get_allocation_stats().alloc
            adjoint(stepper, X[:steps], H, C, Y, h, c, dX, dtheta)
            tangent(stepper, X[:steps], h, c, Y, dX, H[0], C[0], Y)
            counts.append(rtsys.get_allocation_stats().alloc - before)
    finally:
        _nrt_python.memsys_disable_stats()
    assert counts[0] == counts[1]  # what it takes to hand arrays from Python to compiled code


def test_in_a_parallel_loop_of_the_user():
    require_adjoints_in_parallel()


def test_wrong_sizes_are_a_status_and_nothing_is_written():
    stepper = a_model().njit(derivatives=True)
    sizes = {"x": 3, "h": 11, "c": 11, "y": 2, "dx": 3, "dh": 11, "dc": 11, "dy": 2}
    ahead = numba.njit(lambda stepper, x, h, c, y, *d: stepper.step_jvp(x, h, c, y, *d))
    back = numba.njit(lambda stepper, *arrays: stepper.step_vjp(*arrays))
    count = a_model().theta.size
    for call, names in (
        (ahead, ["x", "h", "c", "y", "dx", "dh", "dc", "dy"]),
        (back, ["x", "h", "c", "dy", "dh", "dc", "dx", "dtheta"]),
    ):
        good = [sizes.get(name, count) for name in names]
        assert call(stepper, *map(np.ones, good)) == 0
        for wrong in range(len(names)):
            arrays = [np.ones(size + (n == wrong)) for n, size in enumerate(good)]
            assert call(stepper, *arrays) == 2, names[wrong]
            assert all((array == 1).all() for array in arrays)


def test_what_is_refused():
    with pytest.raises(TypeError, match="derivatives must be True or False"):
        a_model().njit(derivatives=1)
    call = numba.njit(lambda stepper, x, h, c, y: stepper.step_vjp(x, h, c, y, h, c, x))
    arrays = np.ones(3), np.ones(11), np.ones(11), np.ones(2)
    with pytest.raises(TypingError, match=r"model.njit\(derivatives=True\)"):
        call(a_model().njit(), *arrays)
    assert call(a_model().njit(derivatives=True), *arrays) == 0
    wrong = [array.astype("float32") for array in arrays]
    with pytest.raises(TypingError, match="x must be a C-contiguous array of float64"):
        call(a_model().njit(derivatives=True), *wrong)
    arrays[1].flags.writeable = False
    with pytest.raises(TypingError, match="dh is written, but the array is read-only"):
        call(a_model().njit(derivatives=True), *arrays)
    with pytest.raises(ValueError, match="stack"):
        numlstm.LSTM(1, 1500, init={"weights": "uniform"}, rng=0).njit(derivatives=True)

"""Models that have a step, and loops over them in parallel."""

from dataclasses import replace

import numba
import numpy as np

import numlstm
from helpers.harness import require_bits
from helpers.strategies import random_family_network
from helpers.variants import first_examples
from numlstm.architecture.spec import Dropout
from numlstm.data.scaling import Scaling

VARIANTS = {
    "plain": {},
    "stacked": {"num_layers": 3, "output_size": None},
    "residual": {"num_layers": 3, "residual": True},
    "projection": {"num_layers": 2, "proj_size": 5},
    "direct input": {"direct_input": True},
    "direct input, wide": {"num_layers": 2, "residual": True, "direct_input": True,
                           "output_size": 19},
    "square projection": {"num_layers": 2, "proj_size": 11, "cell": {"proj_clip": 0.2}},
    **first_examples(),
    "no forget gate": {"cell": {"forget_gate": "none", "cell_clip": 1.5}},
    "peephole": {"cell": {"peephole": True, "activation_clip": 0.7}},
    "layer_norm": {"cell": {"layer_norm": True}, "num_layers": 2},
    "activations": {
        "cell": {"activations": ["hard_sigmoid", ("elu", 0.5), "softsign"], "cell_clip": 2.0}},
    "learned state": {"learned_state": True, "num_layers": 2},
    "zoneout": {"dropout": {"zoneout_h": 0.2, "zoneout_c": 0.3}},
    "everything": {
        "cell": {"peephole": True, "layer_norm": True, "forget_gate": "coupled", "cell_clip": 1.0,
                 "proj_clip": 0.3},
        "num_layers": 2, "proj_size": 3, "residual": True, "learned_state": True,
        "dropout": {"zoneout_h": 0.1},
    },
}  # fmt: skip
DTYPES = ("float32", "float64")


def a_model(dtype="float64", hidden_size=11, **variant):
    model = numlstm.LSTM(3, hidden_size, **{"output_size": 2, **variant}, dtype=dtype, rng=1)
    model.theta[...] += 0.3 * np.random.default_rng(2).standard_normal(model.theta.size)
    return model


def inputs(model, *shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((*shape, model.spec.input_size)).astype(model.spec.dtype)


@numba.njit(parallel=True)
def simulate_many(stepper, X, h, c, Y):
    """Members (N, T, I) of an ensemble, each with a state of its own."""
    for n in numba.prange(len(X)):
        for t in range(X.shape[1]):
            stepper.step(X[n, t], h[n], c[n], Y[n, t])


def random_model(seed, dtype="float64", exogenous=None):
    """A small network of any variant that has a step, often for data with units of their own.

    With so many exogenous inputs it has its outputs among its inputs.
    """
    case = random_family_network(seed, dtype)
    zoneout = {name: getattr(case.spec.dropout, name) for name in ("zoneout_h", "zoneout_c")}
    spec = replace(case.spec, bidirectional=False, dropout=Dropout(**zoneout))
    if exogenous is not None:
        spec = replace(spec, input_size=spec.width + exogenous)
    case = replace(case, spec=spec, begins=False)
    model = numlstm.LSTM.from_spec(spec, "cpu", case.numbers.theta)
    rng = np.random.default_rng(seed)
    if rng.random() < 0.7:
        sizes = (spec.input_size, spec.input_size, spec.width, spec.width)
        model.scaling = Scaling(*(rng.uniform(0.5, 2, size) for size in sizes))
    return model


def require_close(have, want, bar):
    error = np.linalg.norm(have - want)
    assert error <= bar * np.linalg.norm(want), error


@numba.njit(parallel=True)
def many_adjoints(stepper, X, H, C, dY, dh, dc, dX, dtheta):
    """`adjoint` of every member, each with arrays of its own."""
    for n in numba.prange(len(X)):
        for t in range(X.shape[1] - 1, -1, -1):
            given = X[n, t], H[n, t], C[n, t], dY[n, t]
            stepper.step_vjp(*given, dh[n], dc[n], dX[n, t], dtheta[n])


@numba.njit
def simulate_and_keep(stepper, X, h, c, Y, H, C):
    """Every step of X (T, ...), the state before it kept; the sum of what the steps returned."""
    status = 0
    for t in range(len(X)):
        H[t], C[t] = h, c
        status += stepper.step(X[t], h, c, Y[t])
    return status


@numba.njit
def adjoint(stepper, X, H, C, dY, dh, dc, dX, dtheta):
    """`simulate_and_keep` in reverse mode."""
    status = 0
    for t in range(len(X) - 1, -1, -1):
        status += stepper.step_vjp(X[t], H[t], C[t], dY[t], dh, dc, dX[t], dtheta)
    return status


def draw(rng, *arrays):
    return [rng.standard_normal(array.shape).astype(array.dtype) for array in arrays]


def a_run(model, rng, *batch, steps=3):
    """(stepper, X, (H, C), (Y, h, c)) of a simulation from some state."""
    stepper, X = model.njit(derivatives=True), inputs(model, steps, *batch)
    h, c = draw(rng, *stepper.initial_state(*batch))
    H, C = (np.empty((steps, *part.shape), part.dtype) for part in (h, c))
    Y = np.empty((steps, *batch, model.spec.width), X.dtype)
    assert simulate_and_keep(stepper, X, h, c, Y, H, C) == 0
    return stepper, X, (H, C), (Y, h, c)


def require_steps_in_parallel():
    model = a_model("float32", 16)
    X, stepper = inputs(model, 40, 25), model.njit()
    h, c = (np.stack([part] * 40) for part in stepper.initial_state())
    Y = np.empty((40, 25, 2), "float32")
    simulate_many(stepper, X, h, c, Y)
    require_bits(Y, model.forward(X)[0])


def require_adjoints_in_parallel():
    model, rng = a_model(num_layers=2), np.random.default_rng(0)
    stepper, X, (H, C), (Y, h, c) = a_run(model, rng)
    stacked = [np.stack([part] * 40) for part in (X, H, C, Y, h, c)]
    dX, dtheta = np.empty_like(stacked[0]), np.zeros((40, model.theta.size))
    many_adjoints(stepper, *stacked, dX, dtheta)
    adjoint(
        stepper, X, H, C, Y, h, c, one_dX := np.empty_like(X), one := np.zeros_like(model.theta)
    )
    for have, want in zip((dX, dtheta, *stacked[4:]), (one_dX, one, h, c), strict=True):
        np.testing.assert_array_equal(have, np.broadcast_to(want, have.shape))

"""Models that have a step, and loops over them in parallel."""

from dataclasses import replace

import numba
import numpy as np

import numlstm
from helpers.strategies import random_family_network
from numlstm.architecture.spec import Dropout
from numlstm.data.scaling import Scaling

FAMILY = {
    "plain": {},
    "stacked": {"num_layers": 3, "output_size": None},
    "residual": {"num_layers": 3, "residual": True},
    "projection": {"num_layers": 2, "proj_size": 5},
    "coupled": {"forget_gate": "coupled"},
    "no forget gate": {"forget_gate": "none", "cell_clip": 1.5},
    "peephole": {"peephole": True, "activation_clip": 0.7},
    "layer_norm": {"layer_norm": True, "num_layers": 2},
    "activations": {"activations": ["hard_sigmoid", ("elu", 0.5), "softsign"], "cell_clip": 2.0},
    "learned state": {"learned_state": True, "num_layers": 2},
    "zoneout": {"dropout": {"zoneout_h": 0.2, "zoneout_c": 0.3}},
    "everything": {
        "peephole": True, "layer_norm": True, "proj_size": 3, "forget_gate": "coupled",
        "num_layers": 2, "residual": True, "learned_state": True, "cell_clip": 1.0,
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
    model, rng = numlstm.LSTM._of(spec, "cpu", case.numbers.theta), np.random.default_rng(seed)
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

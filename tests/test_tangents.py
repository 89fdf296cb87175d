"""Derivatives along a direction: the kernels over dual numbers against the complex step."""

import numpy as np
import pytest
from strategies import random_family_network

from numlstm import backends
from numlstm.backends import reference
from numlstm.network import Network, with_tangent

BARS = {"float64": 1e-11, "float32": 2e-5}  # relative in L2, per array


def moved(rng, array):
    """The array with a random tangent; None stays None."""
    if array is None:
        return None
    if isinstance(array, tuple):
        return type(array)(*(moved(rng, part) for part in array))
    return with_tangent(array, rng.standard_normal(array.shape))


def run(backend, case):
    """Outputs and gradients of a network along a random direction in everything it depends on."""
    numbers, rng = case.numbers, np.random.default_rng(case.seed + 1)
    theta, X, dY, state, dstate = (
        moved(rng, array)
        for array in (numbers.theta, numbers.X, numbers.dY, numbers.state, numbers.dstate)
    )
    network = Network(case.spec, backend).tangents
    weights = network.pack(theta, numbers.noise)
    Y, final, tape = network.forward(
        *(weights, X, state, numbers.lengths),
        tape=True,
        last=case.last,
        reset=numbers.reset,
        noise=numbers.noise,
    )
    gradients = network.backward(weights, tape, dY, dstate, need_dX=True)
    return {
        "Y": Y,
        "h": final.h,
        "c": final.c,
        "dtheta": gradients.theta,
        "dX": gradients.X,
        "dh": gradients.state.h,
        "dc": gradients.state.c,
    }


def require_tangents(case):
    ours, definition = run(backends.get("cpu"), case), run(reference, case)
    for name, expected in definition.items():
        assert ours[name].dtype == expected.dtype
        for part in ("real", "imag"):
            have, want = getattr(ours[name], part), getattr(expected, part)
            error = np.linalg.norm(have - want)
            assert error <= BARS[case.spec.dtype] * np.linalg.norm(want), (name, part, error)


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_every_variant_is_differentiated_as_by_the_complex_step(first):
    for seed in range(first, first + 20):
        require_tangents(random_family_network(seed))

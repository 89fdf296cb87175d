"""Derivatives along a direction: the kernels over dual numbers against the complex step."""

import numpy as np
import pytest

from helpers.strategies import Case, random_family_network
from numlstm import backends
from numlstm.architecture.spec import NetworkSpec
from numlstm.backends import reference
from numlstm.network.network import Network, with_tangent

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


@pytest.mark.parametrize(
    ("H", "B", "T"), [(1, 1, 1), (3, 2, 5), (8, 13, 3), (17, 40, 4), (65, 7, 6)]
)
@pytest.mark.parametrize("ragged", [False, True])
def test_the_plain_cell_is_differentiated_as_by_the_complex_step(H, B, T, ragged):
    spec = NetworkSpec(3, H, 2, 2, "float64", bidirectional=ragged)
    require_tangents(Case(spec, B, T, seed=H, ragged=ragged))


def test_large_weights_are_differentiated_as_by_the_complex_step():
    require_tangents(Case(NetworkSpec(2, 280, 1, dtype="float64"), 3, 2))


@pytest.mark.parametrize(("B", "T"), [(0, 3), (3, 0)])
def test_nothing_has_no_derivative(B, T):
    require_tangents(Case(NetworkSpec(3, 4, 2, dtype="float64"), B, T))


def test_float32_keeps_its_digits():
    for case in (
        Case(NetworkSpec(3, 9, 2, dtype="float32"), 5, 4),
        random_family_network(3, "float32"),
    ):
        require_tangents(case)


def test_real_parameters_are_constants():
    rng, spec = np.random.default_rng(0), NetworkSpec(3, 5, 2, dtype="float64")
    theta, X = rng.standard_normal(spec.num_parameters), moved(rng, np.ones((2, 4, 3)))
    results = []
    for backend in (backends.get("cpu"), reference):
        network = Network(spec, backend).tangents
        results.append(network.forward(network.pack(theta), X)[0])
    np.testing.assert_allclose(*results, rtol=1e-12)

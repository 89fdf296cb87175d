"""The reference is the definition: its gradients are held to complex-step derivatives.

The derivative of an analytic f along v is Im f(x + i h v) / h without cancellation (Squire & Trapp
1998, SIAM Review 40(1)), so float64 gradients can be checked to their last digits. 200 random
configurations are checked array by array (every parameter, the input, both initial states): along
two random complex-step directions, which meet every element at once, and at two single elements,
others in each configuration. The smallest configurations are checked at every element.
"""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from helpers.harness import run_case
from helpers.strategies import Case
from numlstm.architecture.parameters import split
from numlstm.architecture.spec import LayerSpec, NetworkSpec, State
from numlstm.backends import reference
from numlstm.network.network import Network

STEP = 1e-30
BAR = 1e-12


def random_case(seed):
    rng = np.random.default_rng(seed)
    spec = NetworkSpec(
        int(rng.integers(1, 8)),
        int(rng.integers(1, 9)),
        [None, 1, 3][rng.integers(3)],
        int(rng.integers(1, 4)),
        "float64",
    )
    flags = rng.integers(0, 2, 3).astype(bool)
    B, T = int(rng.integers(1, 5)), int(rng.integers(1, 8))
    return Case(spec, B, T, seed, ragged=flags[0], last=flags[1], with_dstate=flags[2])


def functional(case, numbers):
    """The real functional of Y, h_T and c_T whose gradient `backward` returns."""
    network = Network(case.spec, reference)
    weights = network.pack(numbers.theta)
    Y, final, _ = network.forward(
        weights, numbers.X, numbers.state, numbers.lengths, last=case.last
    )
    value = (numbers.dY * Y).sum()
    if numbers.dstate is not None:
        value += sum((d * part).sum() for d, part in zip(numbers.dstate, final, strict=True))
    return value


def inputs_and_gradients(case):
    """name -> (function that puts a value in the place of that input, value, gradient)."""
    numbers = case.numbers
    results = run_case(reference, case)
    dparams = split(case.spec.shapes, results["dtheta"])

    def put_parameter(name):
        def put(value):
            theta = numbers.theta.astype(complex)
            split(case.spec.shapes, theta)[name][...] = value
            return numbers._replace(theta=theta)

        return put

    params = split(case.spec.shapes, numbers.theta)
    checked = {name: (put_parameter(name), params[name], dparams[name]) for name in params}
    h, c = numbers.state
    checked["X"] = (lambda X: numbers._replace(X=X), numbers.X, results["dX"])
    checked["h0"] = (lambda h: numbers._replace(state=State(h, c)), h, results["dh"])
    checked["c0"] = (lambda c: numbers._replace(state=State(h, c)), c, results["dc"])
    return checked


def derivative(case, put, value, direction):
    return functional(case, put(value + 1j * STEP * direction)).imag / STEP


def require_element(case, name, put, value, gradient, index):
    direction = np.zeros(value.shape)
    direction[index] = 1.0
    error = abs(derivative(case, put, value, direction) - gradient[index])
    assert error <= BAR * np.abs(gradient).max(), (name, index, error)


@pytest.mark.parametrize("block", range(10))
def test_gradients_are_complex_step_derivatives(block):
    for seed in range(20 * block, 20 * (block + 1)):
        case, rng = random_case(seed), np.random.default_rng(seed + 1000)
        for name, (put, value, gradient) in inputs_and_gradients(case).items():
            assert gradient.shape == value.shape, name
            for _ in range(2):
                direction = rng.standard_normal(value.shape)
                error = abs(derivative(case, put, value, direction) - (gradient * direction).sum())
                assert error <= BAR * np.linalg.norm(gradient), (seed, name, error)
            for flat in rng.choice(value.size, min(2, value.size), replace=False):
                index = np.unravel_index(flat, value.shape)
                require_element(case, name, put, value, gradient, index)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("output_size", [None, 2])
@pytest.mark.parametrize("ragged", [False, True])
def test_every_element_of_small_networks(num_layers, output_size, ragged):
    spec = NetworkSpec(2, 3, output_size, num_layers, "float64")
    case = Case(spec, 2, 3, seed=7, ragged=ragged)
    for name, (put, value, gradient) in inputs_and_gradients(case).items():
        for index in np.ndindex(value.shape):
            require_element(case, name, put, value, gradient, index)


def test_the_check_can_fail():
    case = random_case(3)
    for name, (put, value, gradient) in inputs_and_gradients(case).items():
        wrong = gradient.copy()
        wrong.flat[-1] += 1e-9 * np.abs(gradient).max()
        index = np.unravel_index(value.size - 1, value.shape)
        with pytest.raises(AssertionError):
            require_element(case, name, put, value, wrong, index)


def test_one_step_by_hand():
    """One unit, one step, written out with scalars from the equations of the docstring."""
    spec = LayerSpec(1, 1, "float64")
    w, u, b = [0.5, -0.3, 0.8, 0.2], [0.1, 0.7, -0.4, 0.6], [0.05, 1.0, -0.2, 0.3]
    x, h, c = 0.9, -0.2, 0.4
    i, f, o = (1 / (1 + np.exp(-(w[k] * x + u[k] * h + b[k]))) for k in (0, 1, 3))
    g = np.tanh(w[2] * x + u[2] * h + b[2])
    c_new = f * c + i * g
    h_new = o * np.tanh(c_new)
    weights = reference.pack_layer(spec, np.array(w + u + b))
    state = (np.array([[h]]), np.array([[c]]))
    Y, final, tape = reference.layer_forward(spec, weights, np.array([[[x]]]), state)
    assert tape is None
    np.testing.assert_allclose([Y.item(), final[0].item()], h_new, rtol=1e-15)
    np.testing.assert_allclose(final[1].item(), c_new, rtol=1e-15)


def test_gate_order_is_i_f_g_o():
    """A gate wide open or shut by its bias does what its place in the vector says."""
    spec = LayerSpec(1, 1, "float64")
    shut, opened = -1e3, 1e3
    c0 = np.array([[0.25]])

    def last_state(*bias):
        weights = reference.pack_layer(spec, np.array([0.0] * 8 + list(bias)))
        zeros = np.zeros((1, 1))
        _, (h, c), _ = reference.layer_forward(spec, weights, np.zeros((1, 1, 1)), (zeros, c0))
        return h.item(), c.item()

    assert last_state(shut, opened, opened, shut) == (0.0, 0.25)  # keep, show nothing
    assert last_state(opened, shut, opened, shut) == (0.0, 1.0)  # replace by g = 1
    assert last_state(opened, opened, shut, opened) == (np.tanh(-0.75), -0.75)  # add g = -1


def test_sigmoid_saturates_quietly():
    z = np.array([-np.inf, -1e308, -800.0, 0.0, 800.0, 1e308, np.inf])
    assert_array_equal(reference.sigmoid(z), [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("z", [-600.0, -40.0, -20.0, -1.0, -1e-9, 0.0, 1e-9, 1.0, 20.0, 40.0])
def test_sigmoid_is_accurate_in_its_tails(z):
    """To the last digits of a small value, and of a small slope: 1 - s(z) = s(-z)."""
    with localcontext(prec=60):
        exact = 1 / (1 + Decimal(-z).exp())
        slope = float(exact * (1 - exact))
    np.testing.assert_allclose(reference.sigmoid(np.array([z])), float(exact), rtol=4e-16)
    complex_step = reference.sigmoid(np.array([z + 1j * STEP])).imag / STEP
    np.testing.assert_allclose(complex_step, slope, rtol=1e-15)

"""Every variant of the layer in the reference: gradients against complex-step derivatives.

As in test_reference.py, but of one layer, with resets and noise: every array (each parameter, the
input, both initial states) along random complex-step directions and at single elements.
"""

import numpy as np
import pytest

from helpers.harness import STEP, by_complex_step, run_case
from helpers.strategies import Case, alone, random_family_case
from numlstm.architecture.cell import ACTIVATIONS, Activation, Cell
from numlstm.architecture.parameters import split
from numlstm.architecture.spec import LayerSpec, Noise
from numlstm.backends import reference

BAR = 1e-11


def functional(case, numbers):
    """The real functional of Y, h_T and c_T whose gradient `layer_backward` returns."""
    theta, X, state, lengths, dY, dstate, reset, noise = numbers
    weights = reference.pack_layer(case.spec, theta)
    Y, final, _ = reference.layer_forward(
        case.spec, weights, X, state, lengths, reset=reset, noise=noise
    )
    return (dY * Y).sum() + sum((d * p).sum() for d, p in zip(dstate, final, strict=True))


def require_gradients(case, elements=2):
    """Every array: two directions that meet all elements at once, and single elements."""
    results, rng = run_case(reference, case), np.random.default_rng(case.seed)
    for name in ("theta", "X", "h", "c"):
        gradient = results[f"d{name}"]
        directions = list(rng.standard_normal((2, *gradient.shape)))
        directions += [_unit(gradient.shape, i) for i in _places(case, name, gradient, elements)]
        for direction in directions:
            error = abs(
                by_complex_step(functional, case, name, direction) - (gradient * direction).sum()
            )
            assert error <= BAR * np.linalg.norm(gradient), (case, name, error)


def _places(case, name, gradient, elements):
    """Some elements of every parameter, or of the array."""
    rng, places = np.random.default_rng(case.seed), np.arange(gradient.size)
    parts = split(case.spec.shapes, places).values() if name == "theta" else [places]
    return [i for part in parts for i in rng.choice(part.ravel(), min(elements, part.size), False)]


def _unit(shape, place):
    direction = np.zeros(shape)
    direction.flat[place] = 1.0
    return direction


@pytest.mark.parametrize("variant", alone())
def test_every_variant_alone(variant):
    for seed in range(2):
        require_gradients(alone(seed=seed)[variant], elements=6)


@pytest.mark.parametrize("block", range(10))
def test_random_combinations(block):
    for seed in range(24 * block, 24 * (block + 1)):
        require_gradients(random_family_case(seed))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_and_its_slope(name):
    """The slope, written with the value, is the complex-step derivative; exact far from 0 too."""
    constants = [(None, None), (0.7, 0.3)] if ACTIVATIONS[name] else [(None, None)]
    z = np.concatenate([np.linspace(-6, 6, 97), [-700.0, -40.0, -1e-9, 1e-9, 40.0, 700.0]])
    for alpha, beta in constants:
        activation = Activation(name, alpha, beta)
        moved = reference.activate(activation, z + 1j * STEP, None)
        y = reference.activate(activation, z, None)
        np.testing.assert_allclose(y, moved.real, rtol=1e-15, atol=1e-15)
        slope = reference.activate_backward(activation, y, np.ones_like(y), z, None)
        np.testing.assert_allclose(slope, moved.imag / STEP, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_is_kept(dtype):
    for name, case in alone(dtype).items():
        results = run_case(reference, case)
        assert {array.dtype for array in results.values()} == {np.dtype(dtype)}, name


def last_state(cell, theta, x=0.0, h=0.0, c=0.25, **options):
    """One unit, one step, from the weights of the flat vector."""
    spec = LayerSpec(1, 1, "float64", cell=cell, **options)
    weights = reference.pack_layer(spec, np.array(theta, dtype="float64"))
    state = (np.array([[h]]), np.array([[c]]))
    _, (h, c), _ = reference.layer_forward(spec, weights, np.array([[[x]]]), state)
    return h.item(), c.item()


def s(z):
    return 1 / (1 + np.exp(-z))


def test_peepholes_by_hand():
    cell, theta = Cell(peephole=True), [0.0] * 8 + [0.1, 0.2, 0.3, 0.4] + [0.5, -0.6, 0.7]
    c = s(0.2 - 0.6 * 0.25) * 0.25 + s(0.1 + 0.5 * 0.25) * np.tanh(0.3)
    h = s(0.4 + 0.7 * c) * np.tanh(c)  # the output gate looks at the new cell
    np.testing.assert_allclose(last_state(cell, theta), (h, c), rtol=1e-15)


def test_coupled_and_missing_forget_gates_by_hand():
    theta, i, g = [0.0] * 6 + [0.1, 0.3, 0.4], s(0.1), np.tanh(0.3)
    for forget, f in (("coupled", 1 - i), ("none", 1.0)):
        c = f * 0.25 + i * g
        expected = (s(0.4) * np.tanh(c), c)
        np.testing.assert_allclose(last_state(Cell(forget), theta), expected, rtol=1e-15)


def test_clips_by_hand():
    theta = [0.0] * 8 + [5.0, 5.0, 5.0, 5.0]
    c = s(0.1) * 0.25 + s(0.1) * np.tanh(0.1)  # every pre-activation becomes 0.1
    h = s(0.1) * np.tanh(0.1)  # and what goes into the last tanh, but not the cell
    np.testing.assert_allclose(last_state(Cell(activation_clip=0.1), theta), (h, c), rtol=1e-15)
    h, c = last_state(Cell(cell_clip=0.2), theta)
    np.testing.assert_allclose((h, c), (s(5.0) * np.tanh(0.2), 0.2), rtol=1e-15)


def test_a_layer_norm_of_one_unit_sees_only_its_biases():
    """One number normalised is 0: what is left are the biases of gates and cell."""
    theta = [9.0] * 8 + [0.1, 0.2, 0.3, 0.4] + [7.0] * 4 + [7.0, 0.6]
    h, c = last_state(Cell(layer_norm=True), theta, x=1.0, h=2.0)
    np.testing.assert_allclose(c, s(0.2) * 0.25 + s(0.1) * np.tanh(0.3), rtol=1e-15)
    np.testing.assert_allclose(h, s(0.4) * np.tanh(0.6), rtol=1e-15)


def tflite_gate(sums, weights, cell, gain, bias, epsilon):
    """A gate of TensorFlow Lite's LSTM with layer normalisation (lstm_eval.cc), before it acts."""
    z = sums + weights * cell
    return gain * (z - z.mean()) / np.sqrt((z * z).mean() - z.mean() ** 2 + epsilon) + bias


def test_normalised_gates_see_the_cell_before_they_are_normalised_by_hand():
    """The output gate, the new cell; the cell itself goes out as it is."""
    rng, epsilon = np.random.default_rng(0), 0.01
    W, R = rng.standard_normal((4, 2, 1)), rng.standard_normal((4, 2, 2))
    bias, gain = rng.standard_normal((2, 4, 2))
    look = rng.standard_normal((3, 2))
    x, h, c = rng.standard_normal(1), *rng.standard_normal((2, 2))
    sums = W @ x + R @ h
    i, f = (s(tflite_gate(sums[k], look[k], c, gain[k], bias[k], epsilon)) for k in range(2))
    g = np.tanh(tflite_gate(sums[2], 0, c, gain[2], bias[2], epsilon))
    c_new = f * c + i * g
    h_new = s(tflite_gate(sums[3], look[2], c_new, gain[3], bias[3], epsilon)) * np.tanh(c_new)
    cell = Cell(peephole=True, layer_norm="gates", layer_norm_epsilon=epsilon)
    spec = LayerSpec(1, 2, "float64", cell=cell)
    parts = {"weight_ih": W, "weight_hh": R, "bias": bias, "peephole": look, "gain": gain}
    assert list(spec.shapes) == list(parts)
    weights = {name: parts[name].reshape(shape) for name, shape in spec.shapes.items()}
    state = h[None], c[None]
    _, (h, c), _ = reference.layer_forward(spec, weights, x[None, None], state)
    np.testing.assert_allclose((h[0], c[0]), (h_new, c_new), rtol=1e-13)


def test_zoneout_keeps_and_takes():
    spec = LayerSpec(1, 1, "float64")
    weights = reference.pack_layer(spec, np.array([0.0] * 8 + [0.1, 0.2, 0.3, 0.4]))
    state, X = (np.array([[-0.5]]), np.array([[0.25]])), np.zeros((1, 1, 1))
    new = last_state(Cell(), [0.0] * 8 + [0.1, 0.2, 0.3, 0.4])

    def after(keep):
        noise = Noise(keep_h=np.full((1, 1, 1), keep), keep_c=np.full((1, 1, 1), keep))
        _, final, _ = reference.layer_forward(spec, weights, X, state, noise=noise)
        return [part.item() for part in final]

    np.testing.assert_allclose(after(1.0), new, rtol=1e-15)
    np.testing.assert_allclose(after(0.0), (-0.5, 0.25), rtol=1e-15)
    mean = 0.75 * np.array(new) + 0.25 * np.array([-0.5, 0.25])
    np.testing.assert_allclose(after(0.75), mean, rtol=1e-15)


@pytest.mark.parametrize("learned", [False, True])
def test_a_reset_is_a_new_beginning(learned):
    """What comes after a reset does not know what was before: two sequences in one row."""
    spec = LayerSpec(2, 3, "float64", learned_state=learned)
    numbers = Case(spec, B=2, T=5, seed=3).numbers
    X, weights = numbers.X, reference.pack_layer(spec, numbers.theta)
    zeros = (np.zeros((2, 3)), np.zeros((2, 3)))
    start = tuple(np.broadcast_to(weights.get(k, 0), (2, 3)) for k in ("initial_h", "initial_c"))
    reset = np.zeros((2, 5), bool)
    reset[:, 2] = True
    Y, final, _ = reference.layer_forward(spec, weights, X, zeros, reset=reset)
    one, _, _ = reference.layer_forward(spec, weights, X[:, :2], zeros)
    two, last, _ = reference.layer_forward(spec, weights, X[:, 2:], start)
    np.testing.assert_array_equal(Y, np.concatenate([one, two], axis=1))
    np.testing.assert_array_equal(final, last)

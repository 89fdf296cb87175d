"""Optimisers: PyTorch's trajectories, and no memory beyond what they hold."""

import tracemalloc

import numpy as np
import pytest

import numlstm
from helpers.house import TRUTHS
from numlstm.optim.optimizers import OPTIMIZERS, clip, norm

# as in tests/truths/make_fit_truths.py: method, rate, decay, options
CASES = {
    "adam": ("adam", 0.01, 0.0, {}),
    "adam_decay": ("adam", 0.02, 0.1, {"betas": (0.8, 0.95)}),
    "adamw": ("adamw", 0.02, 0.1, {}),
    "sgd": ("sgd", 0.1, 0.0, {}),
    "sgd_momentum": ("sgd", 0.05, 0.01, {"momentum": 0.9}),
    "sgd_nesterov": ("sgd", 0.05, 0.0, {"momentum": 0.9, "nesterov": True}),
    "rmsprop": ("rmsprop", 0.01, 0.0, {}),
    "rmsprop_momentum": ("rmsprop", 0.01, 0.01, {"momentum": 0.5, "alpha": 0.9}),
}


def truth(kind, name):
    prefix = f"{kind}.{name}."
    with np.load(TRUTHS / "fit_truths.npz") as stored:
        return {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}


@pytest.mark.parametrize("name", CASES)
def test_a_hundred_steps_are_pytorchs(name):
    stored = truth("optimizer", name)
    method, rate, decay, options = CASES[name]
    theta = stored["start"].copy()
    optimizer = OPTIMIZERS[method](theta.size, "float64", decay, options)
    for gradient, expected in zip(stored["gradients"], stored["trajectory"], strict=True):
        copy = gradient.copy()
        optimizer.update(theta, gradient, rate)
        np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-13)
        np.testing.assert_array_equal(gradient, copy)


@pytest.mark.parametrize("name", ["adam", "tbptt"])
def test_a_training_of_pytorchs_from_equal_weights(name):
    """A hundred steps of Adam; windows with an update each and the state carried, detached."""
    stored = truth("training", name)
    input_size, hidden_size, output_size, num_layers = map(int, stored["sizes"])
    model = numlstm.LSTM(
        input_size, hidden_size, output_size, num_layers=num_layers, dtype="float64"
    )
    model.theta = stored["start"]
    method, rate, decay, options = CASES["adam" if name == "adam" else "sgd_momentum"]
    trajectory = []
    numlstm.fit(
        stored["X"],
        stored["y"],
        model=model,
        standardize=False,
        method=method,
        learning_rate=rate,
        weight_decay=decay,
        options=options,
        clip=None,
        bptt_steps=None if name == "adam" else 5,
        epochs=int(stored["epochs"]),
        callback=lambda intermediate_result: trajectory.append(intermediate_result.x),
    )
    np.testing.assert_allclose(trajectory[-1::-10][::-1], stored["trajectory"], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(model.theta, stored["start"])


@pytest.mark.parametrize("method", OPTIMIZERS)
def test_an_update_allocates_nothing(method):
    size = 100_000
    theta, gradient = np.ones(size, "float32"), np.ones(size, "float32")
    optimizer = OPTIMIZERS[method](size, "float32", 0.01)
    optimizer.update(theta, gradient, 0.1)
    tracemalloc.start()
    optimizer.update(theta, gradient, 0.1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size  # bytes: a quarter of one array


@pytest.mark.parametrize("method", OPTIMIZERS)
def test_the_state_is_all_there_is(method):
    """An optimiser with another's arrays and steps goes on as that one would."""
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((5, 7))
    one, other = (OPTIMIZERS[method](7, "float64", 0.1) for _ in range(2))
    theta = rng.standard_normal(7)
    for gradient in gradients[:3]:
        one.update(theta, gradient, 0.1)
    copy = theta.copy()
    for name, array in one.state.items():
        other.state[name][...] = array
    other.steps = one.steps
    for gradient in gradients[3:]:
        one.update(theta, gradient, 0.1)
        other.update(copy, gradient, 0.1)
    np.testing.assert_array_equal(theta, copy)


def test_clipping_shortens_long_gradients_only():
    gradient = np.array([3.0, 4.0], "float32")
    assert norm(gradient) == 5.0
    np.testing.assert_allclose(clip(gradient, 5.0, 1.0), [0.6, 0.8], rtol=1e-6)
    assert clip(gradient, 5.0, 5.0) is gradient
    assert clip(gradient, 5.0, None) is gradient
    assert clip(gradient, 5.0, 1.0).dtype == np.float32


def test_a_norm_whose_square_is_beyond_float32_is_finite():
    assert norm(np.full(4, 1e30, np.float32)) == pytest.approx(2e30)

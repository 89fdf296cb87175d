"""Truncated back-propagation: what is cut, what is carried, what is held in memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numlstm
from helpers.datasets import dataset
from numlstm.architecture.spec import State
from numlstm.objectives.evaluator import Evaluator, windows
from numlstm.optim.losses import LOSSES


def make(lengths, last=False, num_layers=2, loss="mse"):
    model = numlstm.LSTM(3, 5, 2, num_layers=num_layers, dtype="float64", rng=0)
    return model, Evaluator(model.network, LOSSES[loss].function), dataset(lengths, last)


def by_hand(model, data, k):
    """Loss and gradient window by window with the public face; the state's gradient is dropped."""
    total, gradient, state = 0.0, 0.0, None
    scale = 1 / data.weight.sum()
    lengths = np.full(len(data.X), data.X.shape[1]) if data.lengths is None else data.lengths
    for start in range(0, data.X.shape[1], k):
        cut = slice(start, start + k)
        X = data.X[:, cut]
        inside = np.clip(lengths - start, 0, X.shape[1])
        Y, pullback = model.vjp(X, state, lengths=inside)
        value, dY = LOSSES["mse"].function(Y, data.y[:, cut], data.weight[:, cut] * scale)
        total, gradient = total + value, gradient + pullback(dY).theta
        _, state = model.forward(X, state, lengths=inside)
    return total, gradient


def test_windows_cover_all_steps():
    assert windows(7, 3) == [(0, 3), (3, 6), (6, 7)]
    assert windows(6, 3) == [(0, 3), (3, 6)]
    assert windows(6, None) == [(0, 6)]
    assert windows(0, 3) == [(0, 0)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(max), st.integers(1, 10))
def test_loss_and_gradient_are_those_of_windows_with_the_state_carried(lengths, k):
    model, evaluator, data = make(lengths)
    value, gradient = evaluator.gradient(model.theta, data, k)
    expected, slope = by_hand(model, data, k)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("lengths", [[9, 9, 9], [4, 9, 0, 1]])
def test_the_value_does_not_depend_on_the_cut(monkeypatch, lengths, last):
    model, evaluator, data = make(lengths, last)
    value = evaluator.value(model.theta, data)
    for k in (None, 1, 4, 9):
        assert evaluator.gradient(model.theta, data, k)[0] == pytest.approx(value, rel=1e-13)
    monkeypatch.setattr("numlstm.objectives.evaluator._HELD", 10)
    monkeypatch.setattr("numlstm.objectives.evaluator._TAPED", 10)
    assert evaluator.value(model.theta, data) == pytest.approx(value, rel=1e-13)
    _, whole = evaluator.gradient(model.theta, data)
    monkeypatch.undo()
    np.testing.assert_allclose(
        evaluator.gradient(model.theta, data)[1], whole, rtol=1e-10, atol=1e-15
    )


@pytest.mark.parametrize("last", [False, True])
def test_the_gradient_is_that_of_the_value(last):
    model, evaluator, data = make([9, 4, 7], last)
    _, gradient = evaluator.gradient(model.theta, data)
    direction = np.random.default_rng(0).standard_normal(model.theta.size)
    above, below = (
        evaluator.value(model.theta + sign * 1e-6 * direction, data) for sign in (1, -1)
    )
    assert (above - below) / 2e-6 == pytest.approx(float((gradient * direction).sum()), rel=1e-6)


def test_one_target_per_sequence_is_learned_in_the_window_in_which_it_ends():
    """Nothing crosses a cut, so rows that end early must not wait for the end of the batch."""
    model, evaluator, data = make([2, 9], last=True)
    value, gradient = evaluator.gradient(model.theta, data, 3)
    rows = [
        (data.X[:1, :2], None, data.y[:1], data.weight[:1]),
        (data.X[1:, 6:], model.forward(data.X[1:, :6])[1], data.y[1:], data.weight[1:]),
    ]
    expected = 0.0
    for X, state, y, weight in rows:
        Y, pullback = model.vjp(X, state)
        _, d_last = LOSSES["mse"].function(Y[:, -1], y, weight / data.weight.sum())
        dY = np.zeros_like(Y)
        dY[:, -1] = d_last
        expected = expected + pullback(dY).theta
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-14)
    assert value == pytest.approx(evaluator.value(model.theta, data), rel=1e-13)


def test_steps_without_a_target_still_move_the_state():
    model, evaluator, data = make([9, 9])
    data.weight[:, 3:6] = 0
    value, gradient = evaluator.gradient(model.theta, data, 3)
    expected, slope = by_hand(model, data, 3)
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(gradient, slope, rtol=1e-9, atol=1e-14)
    state = model.network.zero_state(2)
    moved = evaluator.advance(model.theta, data.cut(0, 3), state)
    assert isinstance(moved, State)
    np.testing.assert_array_equal(moved.h, model.forward(data.X[:, :3])[1].h)


@pytest.mark.parametrize("arguments", [{}, {"stateful": True}, {"method": "CG"}])
def test_memory_does_not_grow_with_the_length(arguments):
    """The hidden sequence of this series is 13 MB, its tape several times that.

    What is held is a tape of batch_size x bptt_steps steps, 3 MB here, and copies of the data.
    """
    T, H = 100_000, 32
    series = np.sin(np.arange(T) / 5).astype("float32")
    common = {"hidden_size": H, "bptt_steps": 200, "epochs": 1, "rng": 0, "batch_size": 16}
    if "method" in arguments:
        del common["batch_size"]
    options = {**common, **arguments}
    numlstm.fit(series[:5000], **options)
    tracemalloc.start()
    result = numlstm.fit(series, validation=0.1, **options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.nit == 1
    assert peak < 4 * T * H  # bytes: less than one array of hidden states


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_the_hessian_times_a_vector_is_the_derivative_of_the_gradient(loss, last):
    model, evaluator, data = make([4, 2, 5], last, loss=loss)
    u, v = np.random.default_rng(0).standard_normal((2, model.theta.size))
    product = evaluator.hessp(model.theta, v, data)
    step = 1e-6
    ahead, behind = (evaluator.gradient(model.theta + s * v, data)[1] for s in (step, -step))
    np.testing.assert_allclose(product, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-9)
    scale = np.linalg.norm(u) * np.linalg.norm(product)
    assert abs(u @ product - v @ evaluator.hessp(model.theta, u, data)) <= 1e-11 * scale


def test_the_hessian_of_a_dataset_is_the_sum_over_its_blocks(monkeypatch):
    model, evaluator, data = make([4, 2, 5])
    v = np.ones(model.theta.size)
    whole = evaluator.hessp(model.theta, v, data)
    monkeypatch.setattr("numlstm.objectives.evaluator._TAPED", 1)
    np.testing.assert_allclose(evaluator.hessp(model.theta, v, data), whole, rtol=1e-12)

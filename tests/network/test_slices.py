"""Long passes in slices: the bits of the whole, whatever the slices and the network."""

import math
import os
import signal
from itertools import cycle

import numpy as np
import pytest

import numlstm
from helpers.variants import KEYWORDS
from numlstm.model import rollout
from numlstm.network import slices

B, T = 20, 41
NETWORKS = {"plain": {}, "by units": {"hidden_size": 300}, **KEYWORDS}


def of_odd_sizes(steps, first):
    start, sizes = 0, cycle([1, 3, 16, 2, 5])
    while start < steps:
        stop = min(start + next(sizes), steps)
        yield start, stop
        start = stop


@pytest.fixture
def many_slices(monkeypatch):
    monkeypatch.setattr(slices, "slices", of_odd_sizes)
    monkeypatch.setattr(rollout, "slices", of_odd_sizes)


def model_of(name, dtype="float32"):
    options = {"hidden_size": 9, **NETWORKS[name]}
    model = numlstm.LSTM(3, output_size=3, dtype=dtype, rng=1, backend="cpu", **options)
    model.theta += 0.1 * np.random.default_rng(0).standard_normal(model.theta.size)
    return model


def both(model, function):
    """A result in one piece, and in slices, as bytes."""
    results = []
    for short in (math.inf, 0):
        model.network.short = short
        found = function()
        parts = found if isinstance(found, (list, tuple)) else [found]
        results.append([np.asarray(part).tobytes() for part in parts])
    return results


@pytest.mark.parametrize("output", ["sequence", "last"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_prediction(name, output, many_slices):
    model, rng = model_of(name), np.random.default_rng(2)
    model.output = output
    X, reset, lengths = rng.random((B, T, 3)), rng.random((B, T)) < 0.1, rng.integers(0, T + 1, B)
    noise = {"noise_rng": 5} if "dropout" in NETWORKS[name] else {}
    for options in ({}, {"lengths": lengths}, {"reset": reset}, noise):
        whole, sliced = both(model, lambda options=options: model.predict(X, **options))
        assert whole == sliced, options
    whole, sliced = both(model, lambda: model.predict([X[0], X[1, :7], X[2, :1]]))
    assert whole == sliced


@pytest.mark.parametrize("name", ["plain", "several"])
def test_a_forward_pass(name, many_slices):
    model, rng = model_of(name, "float64"), np.random.default_rng(2)
    X, lengths = rng.random((1, T, 3)), np.array([T - 2])
    _, state = model.forward(X[:, ::-1])

    def outputs():
        Y, (h, c) = model.forward(X, state, lengths=lengths)
        return Y, h, c

    whole, sliced = both(model, outputs)
    assert whole == sliced


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("rows", [1, 5])
def test_a_rollout(rows, outputs, monkeypatch):
    model = numlstm.LSTM(3, 9, outputs, rng=0)
    rng = np.random.default_rng(1)
    X = rng.standard_normal((rows, 7, 3))
    exogenous = rng.standard_normal((rows, T, 2)) if outputs == 1 else None
    whole = model.rollout(X, T, exogenous)
    monkeypatch.setattr(rollout, "slices", of_odd_sizes)
    assert model.rollout(X, T, exogenous).tobytes() == whole.tobytes()


@pytest.mark.parametrize("name", ["predict", "rollout"])
def test_ctrl_c_between_two_slices(name, monkeypatch):
    model, X = numlstm.LSTM(1, 4, 1, rng=0), np.ones(T)
    call = {"predict": lambda: model.predict(X), "rollout": lambda: model.rollout(X, T)}[name]
    expected, theta = call(), model.theta.copy()

    def pressing(steps, first):
        for part in of_odd_sizes(steps, first):
            yield part
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    model.network.short = 0
    try:
        with monkeypatch.context() as patch:
            patch.setattr(slices, "slices", pressing)
            patch.setattr(rollout, "slices", pressing)
            with pytest.raises(KeyboardInterrupt):
                call()
    finally:
        signal.signal(signal.SIGINT, before)
    assert model.theta.tobytes() == theta.tobytes()
    assert call().tobytes() == expected.tobytes()

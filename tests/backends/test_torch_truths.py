"""Every backend against torch.nn.LSTM; tests/truths/make_torch_truths.py stored its numbers."""

import numpy as np
import pytest

import numlstm
from helpers.house import TRUTHS
from numlstm.architecture.spec import NetworkSpec, State
from numlstm.network.network import Network

WHOLE = ["smallest", "layer", "head", "stack", "deep", "ragged", "ragged_deep"]
BAR = 1e-12  # relative in L2, per array


@pytest.fixture(scope="module")
def stored():
    with np.load(TRUTHS / "torch_truths.npz") as file:
        return dict(file)


def configuration(stored, name):
    prefix = name + "."
    return {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}


def network_of(backend, truth):
    input_size, hidden_size, output_size, num_layers = map(int, truth["sizes"])
    return Network(
        NetworkSpec(input_size, hidden_size, output_size or None, num_layers, "float64"), backend
    )


def require_equal(result, expected, name):
    assert result.shape == expected.shape, name
    error = np.linalg.norm(result - expected)
    assert error <= BAR * np.linalg.norm(expected), (name, error)


def require_gradients(gradients, truth):
    pairs = {"dtheta": gradients.theta, "dX": gradients.X}
    pairs |= {"dh0": gradients.state.h, "dc0": gradients.state.c}
    for name, gradient in pairs.items():
        require_equal(gradient, truth[name], name)


@pytest.mark.parametrize("name", WHOLE)
def test_outputs_and_gradients_are_pytorchs(backend, stored, name):
    truth = configuration(stored, name)
    T = truth["X"].shape[1]
    lengths = None if (truth["lengths"] == T).all() else truth["lengths"]
    input_size, hidden_size, output_size, num_layers = map(int, truth["sizes"])
    model = numlstm.LSTM(
        input_size,
        hidden_size,
        output_size or None,
        num_layers=num_layers,
        dtype="float64",
        backend=backend.name,
    )
    model.theta = truth["theta"]
    state = State(truth["h0"], truth["c0"])
    Y, pullback = model.vjp(truth["X"], state, lengths=lengths)
    valid = (np.arange(T) < truth["lengths"][:, None])[..., None]
    require_equal(np.where(valid, Y, 0.0), np.where(valid, truth["Y"], 0.0), "Y")
    _, final = model.forward(truth["X"], state, lengths=lengths)
    require_equal(final.h, truth["h"], "h")
    require_equal(final.c, truth["c"], "c")
    require_gradients(pullback(truth["dY"], State(truth["dh"], truth["dc"])), truth)


def test_windows_with_the_state_carried_equal_detach(backend, stored):
    """Truncated BPTT: no gradient crosses a cut, the gradients of the windows are added."""
    truth = configuration(stored, "tbptt")
    network, k, T = network_of(backend, truth), int(stored["window"]), truth["X"].shape[1]
    weights, state = network.pack(truth["theta"]), State(truth["h0"], truth["c0"])
    outputs, dtheta, dX, dstates = [], 0.0, [], []
    for start in range(0, T, k):
        X, dY = (truth[name][:, start : start + k] for name in ("X", "dY"))
        Y, state, tape = network.forward(weights, X, state, tape=True)
        dstate = State(truth["dh"], truth["dc"]) if start + k >= T else None
        gradients = network.backward(weights, tape, dY, dstate, need_dX=True)
        outputs.append(Y)
        dtheta = dtheta + gradients.theta
        dX.append(gradients.X)
        dstates.append(gradients.state)
    require_equal(np.concatenate(outputs, axis=1), truth["Y"], "Y")
    require_equal(state.h, truth["h"], "h")
    require_equal(state.c, truth["c"], "c")
    require_equal(dtheta, truth["dtheta"], "dtheta")
    require_equal(np.concatenate(dX, axis=1), truth["dX"], "dX")
    require_equal(dstates[0].h, truth["dh0"], "dh0")
    require_equal(dstates[0].c, truth["dc0"], "dc0")

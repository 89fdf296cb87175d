"""Derivatives of a model: along a direction, and Jacobians in forward and in reverse mode."""

from dataclasses import replace

import numpy as np
import pytest

import numlstm
from helpers.strategies import Case, random_family_network
from numlstm import backends
from numlstm.architecture.spec import Dropout, NetworkSpec, State
from numlstm.network import derivatives
from numlstm.network.network import Network

VARIANTS = {
    "plain": {},
    "stacked": {"num_layers": 2, "residual": True},
    "projected": {"proj_size": 2, "cell": {"peephole": True}},
    "normalised": {"cell": {"layer_norm": True}, "learned_state": True},
    "both directions": {"bidirectional": True, "cell": {"forget_gate": "coupled"}},
    "headless": {"output_size": None},
    "zoneout": {"dropout": {"zoneout_h": 0.2, "zoneout_c": 0.3}},
}


@pytest.fixture(params=VARIANTS)
def model(request, backend):
    options = {"output_size": 2, "dtype": "float64", "rng": 0} | VARIANTS[request.param]
    return numlstm.LSTM(2, 4, backend=backend.name, **options)


def arguments(model, seed=0):
    """X, and the keywords state, lengths and reset."""
    rng = np.random.default_rng(seed)
    B, T = 2, 3
    size = derivatives.state_size(model.network)
    state = derivatives.as_state(model.network, rng.standard_normal((B, size)))
    return rng.standard_normal((B, T, 2)), {
        "state": state,
        "lengths": np.array([3, 2]),
        "reset": rng.random((B, T)) < 0.3,
    }


def outputs(model, of, X, keywords):
    """Y or the final state as rows of numbers."""
    Y, final = model.forward(X, **keywords)
    return Y if of == "y" else derivatives.as_vectors(final)


def difference(model, of, wrt, direction, X, keywords):
    """The central difference along a direction."""
    before, step, ends = model.theta.copy(), 1e-6, []
    for sign in (step, -step):
        X_there, there = X, dict(keywords)
        if wrt == "X":
            X_there = X + sign * direction
        elif wrt == "theta":
            model.theta = before + sign * direction
        else:
            vectors = derivatives.as_vectors(keywords["state"]) + sign * direction
            there["state"] = derivatives.as_state(model.network, vectors)
        ends.append(outputs(model, of, X_there, there))
    model.theta = before
    return (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("of", ["y", "state"])
@pytest.mark.parametrize("wrt", ["X", "state", "theta"])
def test_the_jacobian_times_a_direction_is_the_derivative(model, of, wrt):
    X, keywords = arguments(model)
    J = model.jacobian(X, of, wrt, **keywords)
    out = outputs(model, of, X, keywords)
    size = derivatives.state_size(model.network)
    shape = {"X": X.shape, "state": (len(X), size), "theta": model.theta.shape}[wrt]
    direction = np.random.default_rng(1).standard_normal(shape)
    inside = shape if wrt == "theta" else shape[1:]
    assert J.shape == (*out.shape, *inside)
    axes = "n" if wrt != "X" else "ti"
    rows = "" if wrt == "theta" else "b"
    product = np.einsum(f"b...{axes},{rows}{axes}->b...", J, direction)
    expected = difference(model, of, wrt, direction, X, keywords)
    np.testing.assert_allclose(product, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("of", ["y", "state"])
@pytest.mark.parametrize("wrt", ["X", "state", "theta"])
def test_forward_and_reverse_mode_agree(model, of, wrt):
    X, keywords = arguments(model)
    run = derivatives.Run(model.theta, X, *keywords.values())
    J = derivatives.jacobian(model.network, run, of, wrt)
    flat = (len(X), int(np.prod(outputs(model, of, X, keywords).shape[1:])), -1)
    ahead, back = (np.zeros_like(J.reshape(flat)) for _ in range(2))
    if wrt == "theta":
        derivatives._by_parameter(model.network, run, of, ahead)
        derivatives._by_output_and_row(model.network, run, of, back)
    else:
        derivatives._by_input(model.network, run, of, wrt, ahead)
        derivatives._by_output(model.network, run, of, wrt, back)
    scale = np.linalg.norm(ahead)
    assert np.linalg.norm(ahead - back) <= 1e-13 * scale
    assert np.linalg.norm(J.reshape(flat) - ahead) <= 1e-13 * scale


def test_jvp_and_vjp_are_each_others_transpose(model):
    X, keywords = arguments(model)
    rng = np.random.default_rng(2)
    dX, dtheta = rng.standard_normal(X.shape), rng.standard_normal(model.theta.shape)
    dstate = State(*(rng.standard_normal(part.shape) for part in keywords["state"]))
    (Y, final), (dY, dfinal) = model.jvp(X, dX, dstate, dtheta, **keywords)
    expected, state = model.forward(X, **keywords)
    np.testing.assert_allclose(Y, expected, rtol=1e-12)
    np.testing.assert_allclose(final.c, state.c, rtol=1e-12)
    _, pullback = model.vjp(X, **keywords)
    cotangent = rng.standard_normal(Y.shape)
    cofinal = State(*(rng.standard_normal(part.shape) for part in final))
    g = pullback(cotangent, cofinal)
    left = (cotangent * dY).sum() + sum((a * b).sum() for a, b in zip(cofinal, dfinal, strict=True))
    right = g.theta @ dtheta + (g.X * dX).sum()
    right += sum((a * b).sum() for a, b in zip(g.state, dstate, strict=True))
    assert left == pytest.approx(right, rel=1e-11)


def test_without_a_state_the_initial_one_is_moved():
    model = numlstm.LSTM(2, 3, 1, learned_state=True, dtype="float64", rng=0)
    model.params["initial_c_l0"][...] = 0.5
    X = np.ones((2, 3, 2))
    start = State(np.zeros((1, 2, 3)), np.full((1, 2, 3), 0.5))
    dstate = State(np.ones((1, 2, 3)), np.ones((1, 2, 3)))
    values, tangents = model.jvp(X, dstate=dstate)
    given = model.jvp(X, dstate=dstate, state=start)
    np.testing.assert_allclose(tangents[0], given[1][0], rtol=1e-13)
    np.testing.assert_allclose(values[0], given[0][0], rtol=1e-13)


def test_the_product_of_the_transitions_is_the_jacobian(model):
    if model.spec.bidirectional:
        with pytest.raises(ValueError, match="no transitions"):
            model.transitions(np.ones((1, 2, 2)))
        return
    X, keywords = arguments(model)
    J = model.transitions(X, **keywords)
    whole = model.jacobian(X, "state", "state", **keywords)
    for row, steps in enumerate(J):
        product = np.linalg.multi_dot(list(steps[::-1]))
        np.testing.assert_allclose(product, whole[row], rtol=1e-11, atol=1e-13)


def require_transitions(spec, numbers, bar):
    """The kernels over the tape, against every direction through the reference."""
    run = derivatives.Run(*numbers[:4], numbers.reset)
    assert derivatives._units_are_apart(spec)
    ours, theirs = (
        derivatives.transitions(Network(spec, backends.get(name)), run)
        for name in ("cpu", "reference")
    )
    assert ours.dtype == spec.dtype
    assert np.linalg.norm(ours - theirs) <= bar * np.linalg.norm(theirs)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_transitions_are_those_by_the_complex_step(first):
    for seed in range(first, first + 20):
        case = random_family_network(seed)
        cell = replace(case.spec.cell, layer_norm=False)
        changes = {"bidirectional": False, "proj_size": None, "dropout": Dropout(), "cell": cell}
        case = replace(case, spec=replace(case.spec, **changes), noisy=())
        require_transitions(case.spec, case.numbers, 1e-13)


@pytest.mark.parametrize(("H", "B", "T"), [(1, 1, 1), (9, 13, 3), (17, 9, 2), (280, 3, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transitions_of_every_size(H, B, T, dtype):
    spec = NetworkSpec(2, H, None, 2 if H < 100 else 1, dtype)
    case = Case(spec, B, T, ragged=B > 1)
    require_transitions(spec, case.numbers, 1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize(("B", "T"), [(0, 3), (3, 0)])
def test_nothing_has_no_transitions(B, T):
    model = numlstm.LSTM(2, 3, rng=0)
    assert model.transitions(np.ones((B, T, 2))).shape == (B, T, 6, 6)


def test_a_row_that_has_ended_keeps_its_state_and_a_reset_forgets_it():
    model = numlstm.LSTM(2, 3, rng=0, dtype="float64")
    J = model.transitions(np.ones((1, 3, 2)), lengths=[2], reset=[[False, True, False]])[0]
    np.testing.assert_array_equal(J[2], np.eye(6))
    np.testing.assert_array_equal(J[1], 0)


def test_memory_is_bounded_by_parts(monkeypatch):
    model = numlstm.LSTM(2, 3, 1, rng=0, dtype="float64")
    X, keywords = arguments(model)
    whole = [model.jacobian(X, of, "X", **keywords) for of in ("y", "state")]
    monkeypatch.setattr(derivatives, "_HELD", 1)
    parts = [model.jacobian(X, of, "X", **keywords) for of in ("y", "state")]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 2)])
def test_empty_batches_have_empty_jacobians(shape):
    model = numlstm.LSTM(2, 3, 1, rng=0)
    B, T = shape[:2]
    assert model.jacobian(np.zeros(shape)).shape == (B, T, 1, T, 2)
    assert model.transitions(np.zeros(shape)).shape == (B, T, 6, 6)


def test_wrong_directions_are_refused_by_name():
    model, X = numlstm.LSTM(2, 3, 1, rng=0), np.ones((1, 4, 2))
    with pytest.raises(ValueError, match=r"dX must have shape \(1, 4, 2\), received \(1, 2, 4\)"):
        model.jvp(X, np.ones((1, 2, 4)))
    with pytest.raises(ValueError, match=r"dtheta must have shape \(76,\)"):
        model.jvp(X, dtheta=np.ones(3))
    with pytest.raises(TypeError, match="dstate must be a State"):
        model.jvp(X, dstate=3)
    with pytest.raises(ValueError, match="wrt must be one of"):
        model.jacobian(X, wrt="x")


def test_arguments_are_left_as_they_were():
    model = numlstm.LSTM(2, 3, 1, rng=0, dtype="float64")
    X, keywords = arguments(model)
    arrays = [X, model.theta, *keywords["state"], keywords["lengths"], keywords["reset"]]
    before = [array.copy() for array in arrays]
    model.jvp(X, X, keywords["state"], model.theta, **keywords)
    model.jacobian(X, "y", "theta", **keywords)
    model.transitions(X, **keywords)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_linearised_steps_say_how_a_state_changes_with_the_inputs(model):
    if model.spec.bidirectional:
        return
    X, keywords = arguments(model)
    run = derivatives.Run(model.theta, X, *keywords.values())
    network = model.network.on_host
    by_state, by_X = derivatives.linearised(network, run)
    np.testing.assert_array_equal(by_state, model.transitions(X, **keywords))
    before = derivatives.states_before(network, run)
    for row, length in enumerate(keywords["lengths"]):
        for t in range(length):
            start = derivatives.as_state(network, before[[row], t])
            here = X[[row], t : t + 1], "state", "X"
            reset = keywords["reset"][[row], t : t + 1]
            J = model.jacobian(*here, state=start, reset=reset)[0, :, 0]
            np.testing.assert_allclose(by_X[row, t], J, rtol=1e-12, atol=1e-15)
        assert (by_X[row, length:] == 0).all()

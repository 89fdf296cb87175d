"""Attributes of whole sequences in a step: from Python, in compiled loops, in rollouts."""

import copy
import gc
from dataclasses import replace

import numpy as np
import pytest

import numlstm
from helpers.harness import require_bits
from helpers.stepping import (
    DTYPES,
    VARIANTS,
    a_model,
    adjoint,
    draw,
    inputs,
    random_model,
    require_close,
    simulate_and_keep,
)
from numlstm.architecture.spec import State
from numlstm.backends import reference
from numlstm.data.scaling import Scaling
from numlstm.network.network import Network, with_tangent
from numlstm.stepping import rollout

SIZE = 4  # attributes


def attributes(model, *rows, seed=5):
    given = np.random.default_rng(seed).standard_normal((*rows, SIZE))
    return given.astype(model.spec.dtype)


def simulated(stepper, X, h=None, c=None):
    """Y, h and c after all of X (T, I) or (T, B, I)."""
    if h is None:
        h, c = stepper.initial_state(*X.shape[1:-1])
    Y = np.empty((*X.shape[:-1], stepper.output_size), X.dtype)
    kept = (np.empty((len(X), *part.shape), part.dtype) for part in (h, c))
    assert simulate_and_keep(stepper, X, h, c, Y, *kept) == 0
    return Y, h, c


def a_random_model(seed, exogenous=None):
    """A model of any variant that has a step, with attributes, often in units of its own."""
    plain, rng = random_model(seed, exogenous=exogenous), np.random.default_rng([seed, 9])
    spec = replace(plain.spec, static_size=SIZE)
    theta = rng.standard_normal(spec.num_parameters) / np.sqrt(spec.hidden_size)
    model = numlstm.LSTM.from_spec(spec, "cpu", theta)
    if plain.scaling is not None:
        units = rng.uniform(0.5, 2, SIZE), rng.uniform(0.5, 2, SIZE)
        model.scaling = plain.scaling._replace(static_mean=units[0], static_scale=units[1])
    return model


# --- a step ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VARIANTS)
def test_steps_are_forward_bit_for_bit(name, dtype):
    """From Python, in a compiled loop over one sequence, and over rows that share attributes."""
    model = a_model(dtype, static_size=SIZE, **VARIANTS[name])
    X, static, state = inputs(model, 29, 6), attributes(model, 29), None
    Y, final = model.forward(X, static=static)
    for t in range(6):
        y, state = model.step(X[:, t], state, static=static)
        require_bits(y, Y[:, t])
    for have, want in zip(state, final, strict=True):
        require_bits(have, want)
    stepper = model.njit(static=static[3])
    one, h, c = simulated(stepper, X[3])
    require_bits(one, Y[3])
    require_bits(h, final.h[:, 3])
    require_bits(c, final.c[:, 3])
    alike, _, _ = simulated(stepper, X.swapaxes(0, 1).copy())
    require_bits(alike, model.forward(X, static=np.tile(static[3], (29, 1)))[0].swapaxes(0, 1))


@pytest.mark.parametrize("name", ["plain", "everything"])
def test_a_step_of_rows_that_share_attributes_and_of_one(name):
    model = a_model(static_size=SIZE, **VARIANTS[name])
    X, static = inputs(model, 5), attributes(model, 5)
    together, _ = model.step(X, static=static)
    single, _ = model.step(X[2], static=static[2])
    require_bits(single, together[2])
    alike, _ = model.step(X, static=static[2])
    require_bits(alike[2], together[2])
    by_forward, _ = model.step(X, static=static[2], reset=np.zeros(5, bool))
    require_bits(by_forward, alike)
    require_bits(model.step(X, static=static, reset=np.ones(5, bool))[0], together)
    assert model.step(X[:0], static=static[:0])[0].shape == (0, 2)


def test_a_step_follows_its_attributes_and_its_parameters():
    model = a_model(static_size=SIZE)
    x, static = inputs(model, 3), attributes(model, 3)
    first, _ = model.step(x, static=static)
    static[1] += 1
    second, _ = model.step(x, static=static)
    require_bits(second, model.forward(x[:, None], static=static)[0][:, 0])
    require_bits(second[::2], first[::2])
    model.params["weight_is_l0"][...] *= 2
    third, _ = model.step(x, static=static)
    require_bits(third, model.forward(x[:, None], static=static)[0][:, 0])


@pytest.mark.parametrize("name", ["plain", "layer_norm"])
def test_large_attributes_go_the_way_that_looks_at_them(name):
    model = a_model("float32", static_size=SIZE, **VARIANTS[name])
    x, static = inputs(model, 2), 1e25 * attributes(model, 2)
    y, _ = model.step(x, static=static)
    require_bits(y, model.forward(x[:, None], static=static)[0][:, 0])
    with pytest.raises(ValueError, match="static"):
        model.step(x, static=1e13 * static)


def test_other_backends_step_alike():
    model = a_model(static_size=SIZE)
    slow = numlstm.LSTM.from_spec(model.spec, "reference", model.theta)
    x, static = inputs(model, 3), attributes(model, 3)
    np.testing.assert_allclose(
        slow.step(x, static=static)[0], model.step(x, static=static)[0], rtol=1e-12
    )
    require_close(slow.step(x, static=static[1])[0], model.step(x, static=static[1])[0], 1e-12)


def test_steppers_share_their_parameters_and_live_alone():
    model = a_model(static_size=SIZE, num_layers=2)
    X, static = inputs(model, 4), attributes(model, 3)
    expected = [model.forward(X[None], static=row[None])[0][0] for row in static]
    steppers = [model.njit(static=row, derivatives=True) for row in static]
    del model
    gc.collect()
    junk = [np.full(3000, np.nan) for _ in range(50)]
    for stepper, want in zip(steppers, expected, strict=True):
        require_bits(simulated(stepper, X)[0], want)
    del junk


def test_a_c_function_is_the_step_of_one_sequence():
    model = a_model(static_size=SIZE)
    x, static = inputs(model, 1), attributes(model)
    function, y = model.cfunc(static=static), np.empty((1, 2))
    h, c = (np.zeros((1, 1, 11)) for _ in range(2))
    assert function.ctypes(function.net, *(a.ctypes.data for a in (x, h, c, y)), 1) == 0
    require_bits(y, model.step(x, static=static)[0])


def a_fit(**options):
    rng = np.random.default_rng(0)
    X, static = 50 + 20 * rng.standard_normal((8, 30, 2)), 1e3 * rng.uniform(1, 2, (8, SIZE))
    y = X.sum(axis=-1, keepdims=True) + static[:, None, :1]
    given = {"hidden_size": 5, "epochs": 2, "rng": 0, "static": static, **options}
    return numlstm.fit(X, y, **given).model, X.astype("float32"), static


def test_units_of_the_data():
    model, X, static = a_fit()
    Y, _, _ = simulated(model.njit(static=static[2]), X[2])
    require_bits(Y, model.predict(X[2], static=static[2]))
    inside = model.scaling.inputs(X), model.scaling.attributes(static, "float32")
    stepper = model.njit(static=inside[1][2], standardize=False)
    Y, _, _ = simulated(stepper, inside[0][2])
    require_bits(Y, model.forward(inside[0], static=inside[1])[0][2])


def test_attributes_with_names_are_put_in_order():
    pandas = pytest.importorskip("pandas")
    columns = ["area", "slope", "clay", "forest"]
    rng = np.random.default_rng(0)
    static = pandas.DataFrame(rng.standard_normal((8, SIZE)), columns=columns)
    model, X, _ = a_fit(static=static)
    straight, turned = static.iloc[3], static.iloc[3][columns[::-1]]
    require_bits(
        simulated(model.njit(static=turned), X[3])[0],
        simulated(model.njit(static=straight), X[3])[0],
    )


# --- its derivatives ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_an_adjoint_loop_is_vjp(name):
    model = a_model("float64", 19, static_size=SIZE, **VARIANTS[name])
    rng = np.random.default_rng(0)
    static, X = attributes(model), inputs(model, 3, 5)
    stepper = model.njit(static=static, derivatives=True)
    h, c = draw(rng, *stepper.initial_state(5))
    start = State(h.copy(), c.copy())
    H, C = (np.empty((3, *part.shape)) for part in (h, c))
    Y = np.empty((3, 5, model.spec.width))
    assert simulate_and_keep(stepper, X, h, c, Y, H, C) == 0
    dY, dh, dc = draw(rng, Y, h, c)
    _, pullback = model.vjp(X.swapaxes(0, 1), start, static=np.tile(static, (5, 1)))
    expected = pullback(dY.swapaxes(0, 1), State(dh.copy(), dc.copy()))
    dX, dtheta = np.empty_like(X), np.zeros_like(model.theta)
    assert adjoint(stepper, X, H, C, dY, dh, dc, dX, dtheta) == 0
    require_close(dtheta, expected.theta, 1e-13)
    require_close(dX, expected.X.swapaxes(0, 1), 1e-13)
    require_close(dh, expected.state.h, 1e-13)
    require_close(dc, expected.state.c, 1e-13)


# --- rollouts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "everything"])
@pytest.mark.parametrize("batch", [1, 5, 40])
def test_rollout_is_step_after_step(name, batch):
    model = a_model(static_size=SIZE, **VARIANTS[name])
    X, static = inputs(model, batch, 6), attributes(model, batch)
    exogenous = np.random.default_rng(3).standard_normal((batch, 9, 1))
    Y, state = [], None
    for t in range(6):
        y, state = model.step(X[:, t], state, static=static)
    for t in range(9):
        Y.append(y)
        x = np.concatenate([y, exogenous[:, t]], axis=1)
        y, state = model.step(x, state, static=static)
    expected = np.stack(Y, axis=1)
    require_bits(model.rollout(X, 9, exogenous, static=static), expected)
    last = batch - 1
    require_bits(model.rollout(X[last], 9, exogenous[last], static=static[last]), expected[last])
    require_bits(model.rollout_vjp(X, 9, exogenous, static=static)[0], expected)


def test_a_long_rollout_is_cut_into_slices(monkeypatch):
    model = a_model(static_size=SIZE)
    X, static = inputs(model, 3, 20), attributes(model, 3)
    others = np.zeros((3, 50, 1))
    whole = model.rollout(X, 50, others, static=static)
    monkeypatch.setattr(rollout, "FIRST", 3.0)
    require_bits(model.rollout(X, 50, others, static=static), whole)


def by_the_definition(model, theta, X, fed, static):
    """Y (B, T, O) of complex theta, X (B, T, I) and static, step by step through the reference."""
    network, width = Network(model.spec, reference).tangents, model.spec.width
    scaling = model.scaling or Scaling(0.0, 1.0, 0.0, 1.0, static_mean=0.0, static_scale=1.0)
    weights, state, Y = network.pack(theta), None, []
    given = (static - scaling.static_mean) / scaling.static_scale
    for t in range(X.shape[1]):
        x = X[:, t].copy()
        if t:
            x[:, :width] = np.where(fed[:, t, None], Y[-1], x[:, :width])
        inside = (x - scaling.x_mean) / scaling.x_scale
        y, state, _ = network.forward(weights, inside[:, None], state, static=given)
        Y.append(y[:, 0] * scaling.y_scale + scaling.y_mean)
    return np.stack(Y, axis=1)


@pytest.mark.parametrize("first", range(0, 40, 20))
def test_the_gradient_of_a_rollout_is_that_of_the_complex_step(first):
    for seed in range(first, first + 20):
        rng = np.random.default_rng([seed, 2])
        others, batch, warm, steps = (int(n) for n in rng.integers([0, 1, 1, 1], [3, 40, 4, 6]))
        model = a_random_model(seed, exogenous=others)
        width = model.spec.width
        X_warm = rng.standard_normal((batch, warm, width + others))
        exogenous, static = rng.standard_normal((batch, steps, others)), attributes(model, batch)
        given = X_warm, steps, exogenous if others else None
        Y, pullback = model.rollout_vjp(*given, static=static)
        while not np.abs(Y).max() < 1e9:  # a random network may run away from itself
            model.theta[...] /= 2
            Y, pullback = model.rollout_vjp(*given, static=static)
        directions = draw(rng, model.theta, X_warm, exogenous, static)
        X = np.zeros((batch, warm + steps, width + others), complex)
        X[:, :warm] = with_tangent(X_warm, directions[1])
        X[:, warm:, width:] = with_tangent(exogenous, directions[2])
        fed = np.tile(np.arange(warm + steps - 1) >= warm, (batch, 1))
        theta, moved = with_tangent(model.theta, directions[0]), with_tangent(static, directions[3])
        expected = by_the_definition(model, theta, X[:, :-1], fed, moved)[:, warm - 1 :]
        require_close(Y, expected.real, 1e-11)
        cotangent = rng.standard_normal(Y.shape)
        for _ in range(2):  # a second pullback is as the first
            gradients = pullback(cotangent)
            have = sum(np.vdot(*pair) for pair in zip(gradients, directions, strict=True))
            size = np.linalg.norm(cotangent) * np.linalg.norm(expected.imag)
            assert abs(have - np.vdot(cotangent, expected.imag)) <= 1e-11 * size
        only = [np.zeros_like(part) for part in directions[:3]]
        still = with_tangent(model.theta, only[0]), with_tangent(X[:, :-1].real, None)
        expected = by_the_definition(model, *still, fed, moved)[:, warm - 1 :]
        have, want = np.vdot(gradients.static, directions[3]), np.vdot(cotangent, expected.imag)
        size = np.linalg.norm(cotangent) * np.linalg.norm(expected.imag)
        assert abs(have - want) <= 1e-11 * size


def test_the_gradient_of_one_series_has_its_attributes_alone():
    model = a_model(output_size=3, static_size=SIZE)
    X, static = inputs(model, 4, 5), attributes(model, 4)
    _, pullback = model.rollout_vjp(X, 6, static=static)
    Y, alone = model.rollout_vjp(X[1], 6, static=static[1])
    one = alone(Y)
    assert one.static.shape == (SIZE,)
    cotangent = np.zeros((4, *Y.shape))
    cotangent[1] = Y
    many = pullback(cotangent)
    require_close(one.static, many.static[1], 1e-13)
    require_close(one.theta, many.theta, 1e-13)
    assert not many.static[[0, 2, 3]].any()


# --- what is refused ------------------------------------------------------------------------------


def test_attributes_that_are_missing_or_do_not_fit():
    model, x = a_model(output_size=3, static_size=SIZE), np.zeros((2, 3))
    wanted = rf"{SIZE} attribute\(s\) of every sequence"
    for call in (
        lambda: model.step(x),
        model.njit,
        model.cfunc,
        lambda: model.rollout(x, 3),
        lambda: model.rollout_vjp(x, 3),
    ):
        with pytest.raises(ValueError, match=wanted):
            call()
    for call in (
        lambda **options: model.step(x[0], **options),
        model.njit,
        lambda **options: model.rollout(x, 3, **options),
    ):
        with pytest.raises(ValueError, match="static has 3 attribute"):
            call(static=np.zeros(3))
        with pytest.raises(ValueError, match="static"):
            call(static=np.full(SIZE, np.nan))
        with pytest.raises(ValueError, match="static"):
            call(static=np.zeros((7, SIZE)))
        with pytest.raises(ValueError, match="static"):
            call(static=1.0)
    plain = a_model(output_size=3)
    for call in (
        lambda: plain.step(x, static=np.zeros((2, SIZE))),
        lambda: plain.njit(static=np.zeros(SIZE)),
        lambda: plain.rollout(x, 3, static=np.zeros(SIZE)),
    ):
        with pytest.raises(ValueError, match="no attributes of whole sequences"):
            call()


def test_a_model_that_has_stepped_can_be_copied():
    model = a_model(static_size=SIZE)
    x, static = inputs(model, 2), attributes(model, 2)
    y, _ = model.step(x, static=static)
    require_bits(copy.deepcopy(model).step(x, static=static)[0], y)

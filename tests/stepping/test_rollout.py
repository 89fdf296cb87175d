"""Free-running forecasts and their gradient, against a loop over the definition."""

import copy
import pickle

import numpy as np
import pytest

import numlstm
from helpers.harness import require_bits
from helpers.stepping import VARIANTS, a_model, inputs, random_model, require_close
from numlstm.backends import reference
from numlstm.data.scaling import Scaling
from numlstm.network.network import Network, with_tangent
from numlstm.stepping import rollout


@pytest.mark.parametrize("name", ["plain", "everything"])
@pytest.mark.parametrize("batch", [1, 5, 40])
def test_rollout_is_step_after_step(name, batch):
    model = a_model(**VARIANTS[name])
    X = inputs(model, batch, 6)
    exogenous = np.random.default_rng(3).standard_normal((batch, 9, 1))
    Y, state = [], None
    for t in range(6):
        y, state = model.step(X[:, t], state)
    for t in range(9):
        Y.append(y)
        y, state = model.step(np.concatenate([y, exogenous[:, t]], axis=1), state)
    require_bits(model.rollout(X, 9, exogenous), np.stack(Y, axis=1))
    require_bits(model.rollout(X[0], 9, exogenous[0]), np.stack(Y, axis=1)[0])
    require_bits(model.rollout(X, 9, exogenous[..., 0]), np.stack(Y, axis=1))
    require_bits(model.rollout(X[0], 9, exogenous[0, :, 0]), np.stack(Y, axis=1)[0])
    require_bits(model.rollout_vjp(X, 9, exogenous)[0], np.stack(Y, axis=1))


def test_rollout_in_the_units_of_the_data():
    series = 100 + 5 * np.sin(np.arange(400) / 5)
    model = numlstm.fit(series, hidden_size=8, epochs=20, bptt_steps=50, rng=0).model
    forecast = model.rollout(series, 60)
    require_bits(forecast[0], model.predict(series)[-1])
    assert np.abs(forecast - 100).max() < 10


def by_the_definition(model, theta, X, fed):
    """Y (B, T, O) of complex theta and X (B, T, I), step by step through the reference."""
    network, width = Network(model.spec, reference).tangents, model.spec.width
    scaling = model.scaling or Scaling(0.0, 1.0, 0.0, 1.0)
    weights, state, Y = network.pack(theta), None, []
    for t in range(X.shape[1]):
        x = X[:, t].copy()
        if t:
            x[:, :width] = np.where(fed[:, t, None], Y[-1], x[:, :width])
        inside = (x - scaling.x_mean) / scaling.x_scale
        y, state, _ = network.forward(weights, inside[:, None], state)
        Y.append(y[:, 0] * scaling.y_scale + scaling.y_mean)
    return np.stack(Y, axis=1)


def require_gradient(gradients, directions, cotangent, tangent, bar=1e-11):
    have = sum(np.vdot(*pair) for pair in zip(gradients, directions, strict=True))
    size = np.linalg.norm(cotangent) * np.linalg.norm(tangent)
    assert abs(have - np.vdot(cotangent, tangent)) <= bar * size


@pytest.mark.parametrize("first", range(0, 80, 20))
def test_the_gradient_is_that_of_the_complex_step(first):
    for seed in range(first, first + 20):
        rng = np.random.default_rng([seed, 2])
        others, batch, warm, steps = (int(n) for n in rng.integers([0, 1, 1, 1], [3, 20, 4, 6]))
        model = random_model(seed, exogenous=others)
        width = model.spec.width
        X_warm = rng.standard_normal((batch, warm, width + others))
        exogenous = rng.standard_normal((batch, steps, others))
        Y, pullback = model.rollout_vjp(X_warm, steps, exogenous if others else None)
        directions = [rng.standard_normal(a.shape) for a in (model.theta, X_warm, exogenous)]
        X = np.zeros((batch, warm + steps, width + others), complex)
        X[:, :warm] = with_tangent(X_warm, directions[1])
        X[:, warm:, width:] = with_tangent(exogenous, directions[2])
        fed = np.arange(warm + steps - 1) >= warm
        theta = with_tangent(model.theta, directions[0])
        expected = by_the_definition(model, theta, X[:, :-1], np.tile(fed, (batch, 1)))[
            :, warm - 1 :
        ]
        require_close(Y, expected.real, 1e-11)
        cotangent = rng.standard_normal(Y.shape)
        require_gradient(pullback(cotangent), directions, cotangent, expected.imag)


@pytest.mark.parametrize("seed", range(12))
def test_any_step_may_be_fed_and_any_state_given(seed):
    rng = np.random.default_rng([seed, 3])
    model = random_model(seed, exogenous=1)
    stepper, width = model.njit(derivatives=True), model.spec.width
    X = rng.standard_normal((9, 7, width + 1))
    fed = rng.random((9, 7)) < 0.5
    fed[:, 0] = False
    Y, _, tape = rollout.forward(stepper, model.spec, X, fed, None, True)
    dX, dtheta = rng.standard_normal(X.shape), rng.standard_normal(model.theta.shape)
    along = with_tangent(model.theta, dtheta), with_tangent(X, dX), fed
    expected = by_the_definition(model, *along)
    require_close(Y, expected.real, 1e-11)
    cotangent = rng.standard_normal(Y.shape)
    gradients = rollout.backward(stepper, model.spec, tape, cotangent)
    rollout.add_initial(model.spec, gradients.theta, gradients.state)
    require_gradient(gradients[:2], (dtheta, dX), cotangent, expected.imag)
    assert not gradients.X[..., :width][fed].any()
    first, middle, _ = rollout.forward(stepper, model.spec, X[:, :3], fed[:, :3], None, False)
    fed[:, 3] = False
    parts = [rollout.forward(stepper, model.spec, X[:, 3:], fed[:, 3:], middle, False)]
    whole = rollout.forward(stepper, model.spec, X, fed, None, False)
    require_bits(np.concatenate([first, parts[0][0]], axis=1), whole[0])
    for have, want in zip(parts[0][1], whole[1], strict=True):
        require_bits(have, want)


def test_the_gradient_of_one_series_and_of_no_series():
    model, rng = a_model(output_size=3), np.random.default_rng(0)
    X, dY = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    Y, pullback = model.rollout_vjp(X, 5)
    batch, of_batch = model.rollout_vjp(X[None], 5)
    require_bits(batch[0], Y)
    one, same = pullback(dY), of_batch(dY[None])
    assert (one.X_warm.shape, one.exogenous.shape) == ((4, 3), (5, 0))
    require_bits(one.X_warm, same.X_warm[0])
    require_bits(one.theta, same.theta)
    Y, pullback = model.rollout_vjp(np.zeros((0, 4, 3)), 5)
    assert Y.shape == (0, 5, 3)
    assert not pullback(Y).theta.any()
    with pytest.raises(ValueError, match=r"dY must have shape \(0, 5, 3\)"):
        pullback(np.zeros((1, 5, 3)))


# --- what a model was fitted to -------------------------------------------------------------------

RAIN = np.random.default_rng(0).gamma(0.3, 5.0, (120, 1))
FLOW = np.convolve(RAIN[:, 0], np.exp(-np.arange(20) / 4))[:120, None]
BOTH = np.hstack([FLOW, RAIN])
WET = (RAIN[:, 0] > 1).astype(int)
FEW = {"hidden_size": 3, "epochs": 2, "rng": 0}

OTHER_TARGETS = {
    "discharge from rain": ((RAIN, FLOW), {}),
    "in the network's units": ((RAIN, FLOW), {"standardize": False}),
    "by SciPy": ((RAIN, FLOW), {"method": "L-BFGS-B"}),
    "two steps ahead": ((FLOW[:-2], FLOW[2:]), {}),
    "this step": ((FLOW, FLOW), {}),
    "the second feature": ((BOTH[:-1], RAIN[1:]), {}),
    "in another unit": ((FLOW[:-1], 1.001 * FLOW[1:]), {}),
    "a last target that is another": ((FLOW[:-1], np.append(FLOW[1:-2], [[0], [0]], axis=0)), {}),
    "several series": (([RAIN, RAIN[:50]], [FLOW, FLOW[:50]]), {}),
    "mean and log-variance": ((BOTH, FLOW), {"loss": "gaussian_nll", "standardize": False}),
    "of the next inputs": (
        (BOTH[:-1], FLOW[1:]), {"loss": "gaussian_nll", "standardize": False}),
    "logits of classes": ((BOTH, WET), {"loss": "cross_entropy", "standardize": False}),
    "a logit": ((RAIN, WET), {"loss": "binary_cross_entropy", "standardize": False}),
    "a logit of the next inputs": (
        (1.0 * WET[:-1], 1.0 * WET[1:]), {"loss": "binary_cross_entropy", "standardize": False}),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHER_TARGETS)
def test_a_model_that_does_not_forecast_its_inputs_is_refused(kind, tmp_path):
    data, options = OTHER_TARGETS[kind]
    model = numlstm.fit(*data, **FEW | options).model
    model.save(tmp_path / "model")
    wide = model.astype("float64")
    X = (data[0][0] if type(data[0]) is list else data[0]).reshape(-1, model.spec.input_size)
    after = np.zeros((5, X.shape[1] - model.spec.width))
    for one in (
        *(model, numlstm.load(tmp_path / "model"), wide),
        *(copy.deepcopy(model), pickle.loads(pickle.dumps(model))),
    ):
        for method in (one.rollout, one.rollout_vjp):
            with pytest.raises(ValueError, match=r"fitted to something else.* Fit with y=None"):
                method(X, 5, after)
    model.forecasts = True  # the user's word
    assert model.rollout(X, 5, after).shape == (5, model.spec.width)


def test_the_last_fit_counts():
    forecaster = numlstm.fit(FLOW, **FEW).model
    other = numlstm.fit(RAIN, FLOW, model=forecaster, epochs=1).model
    with pytest.raises(ValueError, match="fitted to something else"):
        other.rollout(RAIN, 5)
    assert forecaster.rollout(FLOW, 5).shape == (5, 1)
    assert numlstm.fit(FLOW, model=other, epochs=1).model.rollout(FLOW, 5).shape == (5, 1)
    many = numlstm.ensemble([RAIN] * 3, [FLOW] * 3, members=2, **FEW)
    with pytest.raises(ValueError, match="fitted to something else"):
        many.models[1].rollout(RAIN, 5)
    regressor = numlstm.LSTMRegressor(hidden_size=3, epochs=1, output="sequence")
    with pytest.raises(ValueError, match="fitted to something else"):
        regressor.fit(RAIN[None], FLOW[None]).model_.rollout(RAIN, 5)


NEXT_INPUTS = {
    "no targets": ((FLOW,), {}),
    "the next value": ((FLOW[:-1], FLOW[1:]), {}),
    "rounded to float32": ((FLOW[:-1], FLOW[1:].astype("float32")), {}),
    "absolute errors": ((FLOW,), {"loss": "mae"}),
    "in pieces": ((FLOW.reshape(4, 30, 1),), {"stateful": True, "batch_size": 1}),
    "several series": (([FLOW, FLOW[:50]],), {}),
    "in the network's units": ((FLOW,), {"standardize": False}),
    "some missing": (
        (FLOW[:-1], np.where(np.arange(119)[:, None] % 3, FLOW[1:], np.nan)),
        {"nan_policy": "omit"},
    ),
    "a break": (
        (FLOW, np.append(FLOW[1:60], np.append(FLOW[:1], np.append(FLOW[61:], [[0]], 0), 0), 0)),
        {"reset": np.arange(120) == 60},
    ),
}


@pytest.mark.parametrize("kind", NEXT_INPUTS)
def test_a_model_of_the_next_inputs_rolls_out(kind, tmp_path):
    data, options = NEXT_INPUTS[kind]
    model = numlstm.fit(*data, **FEW | options).model
    model.save(tmp_path / "model")
    expected = FLOW
    for _ in range(4):
        expected = np.append(expected, model.predict(expected)[-1:], axis=0)
    for one in (model, numlstm.load(tmp_path / "model"), copy.deepcopy(model)):
        np.testing.assert_allclose(one.rollout(FLOW, 4), expected[120:], rtol=1e-5)


@pytest.mark.parametrize("features", [1, 2])
def test_the_row_of_a_time_holds_what_is_known_for_the_next(features):
    """A basin that loses a fifth and gets the rain of the day, forecast from forecasts of rain."""
    rain = np.random.default_rng(1).gamma(0.3, 5.0, (400, features))
    flow = np.zeros((400, 1))
    for t in range(1, 400):
        flow[t] = 0.8 * flow[t - 1] + rain[t].sum()
    X = np.hstack([flow[:-1], rain[1:]])  # today's flow beside tomorrow's rain
    options = {"bptt_steps": 60, "epochs": 300, "learning_rate": 0.01, "hidden_size": 16, "rng": 0}
    model = numlstm.fit(X[:350], flow[1:351], **options).model
    forecast = model.rollout(X[:350], 40, X[350:390, 1:])  # of the days 350 to 389 and on
    steps = X[:350]
    for day in range(40):
        steps = np.append(steps, [[*model.predict(steps)[-1], *X[350 + day, 1:]]], axis=0)
    np.testing.assert_allclose(forecast[:, 0], steps[350:, 0], rtol=1e-3, atol=1e-3)
    errors = forecast - flow[350:390]
    assert np.mean(errors**2) < 0.2 * flow.var()
    late = model.rollout(X[:350], 40, X[349:389, 1:]) - flow[350:390]  # a day late
    assert np.mean(late**2) > 2 * np.mean(errors**2)


def test_a_network_that_was_never_fitted_rolls_out():
    model = numlstm.LSTM(2, 3, 1, rng=0)
    first = model.rollout(BOTH, 3, RAIN[:3])
    np.testing.assert_allclose(first[0], model.predict(BOTH)[-1], rtol=1e-6)
    x = [[*first[0], *RAIN[0]]]
    np.testing.assert_allclose(first[1], model.predict(np.append(BOTH, x, axis=0))[-1], rtol=1e-5)
    model.theta *= 2
    assert model.astype("float64").rollout(BOTH, 3, RAIN[:3]).shape == (3, 1)


def test_what_is_refused():
    X = np.zeros((2, 3, 3))
    for model, arguments, message in (
        (a_model(), (X, 5), "exogenous= must give the last 1"),
        (a_model(), (X, 0), "steps must be an integer >= 1"),
        (a_model(), (X[:, :0], 5, np.zeros((2, 5, 1))), "at least one step"),
        (a_model(), (X, 5, np.zeros((2, 4, 1))), "exogenous must have shape"),
        (a_model(output_size=4), (X, 5), "gives 4 output"),
        (a_model(), ([X[0], X[0, :2]], 5, np.zeros((2, 5, 1))), "one by one"),
    ):
        for method in (model.rollout, model.rollout_vjp):
            with pytest.raises(ValueError, match=message):
                method(*arguments)

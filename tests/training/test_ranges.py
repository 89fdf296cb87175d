"""Data and weights of any size: normalised before the cast, or refused."""

import re
import sys

import numpy as np
import pytest

import numlstm
from helpers.fits import batch, quick, same, stop_after
from numlstm.training.methods import METHODS

UNIFORM = [1e300, 1e38, 1e-45, 5e-324, 1e308]


@pytest.mark.parametrize("unit", [1e300, 1e-300, 1e39, 1e-46])
@pytest.mark.parametrize("what", ["X", "y"])
def test_data_of_any_size_are_learned_as_in_a_usual_unit(what, unit):
    X, y = batch()
    scaled = (unit * X, y) if what == "X" else (X, unit * y)
    expected, result = quick(X, y, epochs=10), quick(*scaled, epochs=10)
    assert result.success
    assert result.fun == pytest.approx(expected.fun, rel=1e-5)
    forecast = result.model.predict(scaled[0]) / (unit if what == "y" else 1)
    np.testing.assert_allclose(forecast, expected.model.predict(X), atol=1e-5)
    series = quick(unit * X[0, :, 0], epochs=10)
    forecast = series.model.predict(unit * X[0, :, 0]) / unit
    expected = quick(X[0, :, 0], epochs=10).model.predict(X[0, :, 0])
    np.testing.assert_allclose(forecast, expected, atol=1e-5)


@pytest.mark.parametrize("weight", UNIFORM)
@pytest.mark.parametrize("options", [
    {}, {"batch_size": 4}, {"validation": 0.25, "patience": 3}, {"method": "L-BFGS-B"},
    {"method": "least_squares", "dtype": "float64"}, {"loss": "huber"},
])  # fmt: skip
def test_equal_weights_of_any_size_change_nothing(weight, options):
    X, y = batch()
    same(quick(X, y, sample_weight=np.full(12, weight), **options), quick(X, y, **options))
    per_step = np.full(X.shape[:2], weight)
    same(quick(X, y, sample_weight=per_step, **options), quick(X, y, **options))


@pytest.mark.parametrize("factor", [1e300, 1e-300, 2.0**-1000, 2.0**50, 1e-12])
@pytest.mark.parametrize("method", ["adam", "least_squares"])
def test_weights_have_only_their_ratios(method, factor):
    X, y = batch()
    weight = np.random.default_rng(0).random(12) + 0.1
    options = {"method": method, "dtype": "float64", "epochs": 4}
    expected = quick(X, y, sample_weight=weight, **options)
    result = quick(X, y, sample_weight=factor * weight, **options)
    np.testing.assert_allclose(result.x, expected.x, rtol=0, atol=1e-9)
    assert result.fun == pytest.approx(expected.fun, rel=1e-9)


def test_a_power_of_two_keeps_every_bit():
    X, y = batch()
    weight = np.random.default_rng(0).random(12) + 0.1
    expected = quick(X, y, sample_weight=weight, batch_size=5)
    for exponent in (-40, -3, 1, 7, 50):
        same(expected, quick(X, y, sample_weight=2.0**exponent * weight, batch_size=5))
    many, more = (
        numlstm.ensemble(X, y, sample_weight=w, members=2, epochs=2, hidden_size=3, rng=0)
        for w in (weight, 2.0**-40 * weight)
    )
    for one, other in zip(many.models, more.models, strict=True):
        assert one.theta.tobytes() == other.theta.tobytes()


def test_tiny_weights_beside_huge_ones_count_as_little():
    X, y = batch()
    weight = np.where(np.arange(12) < 6, 1e300, 1e-300)
    expected = quick(X, y, sample_weight=np.arange(12) < 6, standardize=False)
    result = quick(X, y, sample_weight=weight, standardize=False)
    np.testing.assert_array_equal(result.x, expected.x)
    # both sides of a split have weights of their own
    low = quick(X, y, sample_weight=weight[::-1], validation=0.5, standardize=False)
    plain = quick(X, y, validation=0.5, standardize=False)
    same(low, plain)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_objective_keeps_the_meaning_of_weights_or_refuses_them(dtype):
    X, y = batch()
    model = numlstm.LSTM(2, 3, 1, dtype=dtype, rng=0)
    plain = numlstm.objective(model, X, y).residuals(model.theta)
    for weight in (1e-30, 4.0, 1e30):
        fun = numlstm.objective(model, X, y, sample_weight=np.full(12, weight))
        rtol = 1e-6 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(fun.residuals(model.theta), np.sqrt(weight) * plain, rtol=rtol)
    for weight in (1e300, 1e-45, 1e-300):
        given = {"sample_weight": np.full(12, weight)}
        if dtype == "float32":
            with pytest.raises(ValueError, match=r"sample_weight reaches from .* dtype='float64'"):
                numlstm.objective(model, X, y, **given)
        else:
            residuals = numlstm.objective(model, X, y, **given).residuals(model.theta)
            np.testing.assert_allclose(residuals, np.sqrt(weight) * plain, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weight", [2e-37, 1e-30, 1e30, 1e37, 1e38, 3e38])
def test_an_objective_is_a_mean_whatever_the_size_of_weights(dtype, weight):
    X, y = batch()
    model = numlstm.LSTM(2, 3, 1, dtype=dtype, rng=0)
    rng = np.random.default_rng(0)
    ratios, v = 0.1 + 0.9 * rng.random(12), rng.standard_normal(model.theta.size)
    for loss in ("mse", "mae", "huber"):
        plain, fun = (
            numlstm.objective(model, X, 100 * y, loss=loss, sample_weight=unit * ratios)
            for unit in (1, weight)
        )
        rtol = 1e-6 if dtype == "float32" else 1e-13
        expected, gradient = plain(model.theta)
        assert fun.value(model.theta) == pytest.approx(expected, rel=rtol)
        assert fun(model.theta)[0] == pytest.approx(expected, rel=rtol)
        atol = 10 * rtol * np.abs(gradient).max()
        np.testing.assert_allclose(fun(model.theta)[1], gradient, rtol=0, atol=atol)
        product = plain.hessp(model.theta, v)
        atol = 10 * rtol * np.abs(product).max()
        np.testing.assert_allclose(fun.hessp(model.theta, v), product, rtol=0, atol=atol)


@pytest.mark.parametrize("weight", [1e-30, 1e30, 1e38])
def test_residuals_and_their_jacobian_are_finite_in_float32_for_all_weights(weight):
    X, y = batch()
    model = numlstm.LSTM(2, 3, 1, rng=0)
    plain = numlstm.objective(model, X, y)
    fun = numlstm.objective(model, X, y, sample_weight=np.full(12, weight))
    residuals, expected = fun.residuals(model.theta), plain.residuals(model.theta)
    np.testing.assert_allclose(residuals, np.sqrt(weight) * expected, rtol=1e-6)
    pulled = plain.vjp(model.theta, expected)
    atol = 1e-5 * np.abs(pulled).max()
    np.testing.assert_allclose(fun.vjp(model.theta, residuals) / weight, pulled, rtol=0, atol=atol)
    J = plain.jacobian(model.theta)
    np.testing.assert_allclose(
        fun.jacobian(model.theta) / np.sqrt(weight), J, rtol=0, atol=1e-5 * np.abs(J).max()
    )


@pytest.mark.parametrize("weight", [2e306, 1e307, 1.7e308])
def test_weights_whose_sum_is_infinite_are_refused_by_an_objective(weight):
    X, y = batch()
    model = numlstm.LSTM(2, 3, 1, dtype="float64", rng=0)
    words = "sum of sample_weight is beyond the range of float64: scale the weights"
    weights = np.full(12, weight)
    with pytest.raises(ValueError, match=words):
        numlstm.objective(model, X, y, sample_weight=weights)
    result = quick(X, y, hidden_size=2, sample_weight=weights, dtype="float64")
    with pytest.raises(ValueError, match=words):
        result.covariance(X, y, sample_weight=weights)
    one = np.where(np.arange(12) == 3, weight / 10, 0)
    alone = numlstm.objective(model, X, y, sample_weight=one)
    expected = numlstm.objective(model, X[3:4], y[3:4]).value(model.theta)
    assert alone.value(model.theta) == pytest.approx(expected, rel=1e-13)
    assert alone(model.theta)[0] == pytest.approx(expected, rel=1e-13)


def test_a_covariance_keeps_the_meaning_of_weights():
    X, y = batch()
    y += 0.1 * np.random.default_rng(3).standard_normal(y.shape)
    result = quick(X, y, epochs=20, hidden_size=2)
    known = {"absolute_sigma": True}
    plain = result.covariance(X, y, sample_weight=np.ones(12), **known).matrix
    for weight in (1e-45, 4.0, 1e38):
        matrix = result.covariance(X, y, sample_weight=np.full(12, weight), **known).matrix
        np.testing.assert_allclose(weight * matrix, plain, rtol=1e-6, atol=1e-9 * plain.max())


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ((1e300, 1), "X has values beyond the range of float32; fit with standardize=True, or w"),
        ((1, 1e39), "y has values beyond the range of float32; fit with standardize=True, or wi"),
        ((1e-50, 1), "X has values below the range of float32 in column 0, all of which would"),
        ((1, -1e-300), "y has values below the range of float32 in column 0, all of which woul"),
    ],
)
def test_what_float32_cannot_hold_is_refused(factors, words):
    X, y = batch()
    X, y = factors[0] * X, factors[1] * y
    with pytest.raises(ValueError, match=words):
        quick(X, y, standardize=False)
    with pytest.raises(ValueError, match=words):
        numlstm.ensemble(X, y, standardize=False, members=2, hidden_size=3, epochs=1)
    if abs(factors[0]) <= 1 and abs(factors[1]) <= 1:
        assert quick(X, y, standardize=False, dtype="float64").success
    model = numlstm.LSTM(2, 3, 1, rng=0)
    with pytest.raises(ValueError, match=words):
        numlstm.objective(model, X, y)


@pytest.mark.parametrize("unit", [1e300, 1e-300, 1e200])
def test_an_ensemble_of_any_unit_has_a_spread(unit):
    X, y = batch()
    options = {"members": 3, "hidden_size": 3, "epochs": 2, "rng": 0}
    for form in (np.asarray, list):
        near = numlstm.ensemble(form(X), y, **options).predict(form(X))
        far = numlstm.ensemble(form(X), unit * y, **options).predict(form(X))
        for one, other in zip(near, far, strict=True):
            for part, moved in zip(one, other, strict=True):
                np.testing.assert_allclose(moved / unit, part, rtol=1e-4, atol=1e-6)


# --- constants ------------------------------------------------------------------------------------

CONSTANTS = [
    *({name: value} for name in ("weight_decay", "clip") for value in (1e-60, 1e300)),
    {"learning_rate": 1e-60},
    *({"options": {"eps": value}} for value in (1e-60, 1e300)),
    *({"options": {"eps": value}, "method": "rmsprop"} for value in (1e-60, 1e300)),
    *({"options": {"momentum": 1e300}, "method": method} for method in ("sgd", "rmsprop")),
]  # fmt: skip


@pytest.mark.parametrize("options", CONSTANTS, ids=repr)
def test_constants_that_float32_rounds_away_are_refused(options):
    X, y = batch()
    name, value = next(iter(options.get("options", options).items()))
    words = f"{name} must be a number that float32 can hold, received {value:g}, which it rounds to"
    with pytest.raises(ValueError, match=re.escape(words)):
        quick(X, y, **options)
    with pytest.raises(ValueError, match=re.escape(words)):
        numlstm.ensemble(X, y, members=2, hidden_size=3, epochs=1, **options)
    with pytest.raises(ValueError, match=re.escape(words)):
        numlstm.LSTMRegressor(3, epochs=1, **options).fit(X, y[:, -1, 0])
    assert quick(X, y, dtype="float64", **options).x.dtype == np.float64


def test_a_penalty_that_float32_rounds_away_is_refused_of_every_method_and_of_objectives():
    X, y = batch()
    words = "weight_decay must be a number that float32 can hold, received 1e-60"
    with pytest.raises(ValueError, match=words):
        quick(X, y, method="L-BFGS-B", weight_decay=1e-60)
    with pytest.raises(ValueError, match=words):
        numlstm.objective(numlstm.LSTM(2, 3, 1, rng=0), X, y, weight_decay=1e-60)
    wide = numlstm.LSTM(2, 3, 1, rng=0, dtype="float64")
    plain, penalised = (
        numlstm.objective(wide, X, y, weight_decay=decay) for decay in (0.0, 1e-300)
    )
    assert penalised.value(wide.theta) == plain.value(wide.theta)


@pytest.mark.parametrize("method", ["adam", "rmsprop"])
def test_a_fit_that_ends_in_its_first_epoch_can_be_printed(method):
    result = quick(*batch(), schedule=lambda _: 1e300, method=method)
    assert (result.nit, result.success, result.status) == (0, False, 97)
    assert "last finite step" in repr(result)
    for name in ("loss", "gradient_norm"):
        assert result.history[name].shape == (0,)


@pytest.mark.parametrize("method", ["adam", *METHODS])
def test_epochs_without_end_are_as_many_as_it_takes(method):
    options = {"method": method, "dtype": "float64", "callback": stop_after(2)}
    result = quick(*batch(), epochs=sys.maxsize, progress=True, **options)
    assert (result.nit, result.status) == (2, 99)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        *((value, TypeError, "validation must be a fraction, a tuple")
          for value in ("0.5", b"0.5", True, np.True_, 1j, np.array([0.5]))),
        *((value, ValueError, "validation must lie between 0 and 1, received")
          for value in (0, 1, -0.1, 10**400, -(10**400), np.nan, np.inf)),
    ],
)  # fmt: skip
def test_a_share_that_is_none(given, error, words):
    with pytest.raises(error, match=words):
        quick(*batch(), validation=given)


def test_numbers_of_numpy_are_numbers():
    X, y = batch()
    plain = {"hidden_size": 4, "epochs": 2, "learning_rate": 0.5, "validation": 0.25, "clip": 2.0,
             "options": {"betas": (0.5, 0.75)}, "init": {"forget_bias": 0.5}}  # fmt: skip
    expected = quick(X, y, **plain)
    for kind in (np.array, np.float32, np.float64):
        given = {"hidden_size": np.int64(4), "epochs": np.array(2), "learning_rate": kind(0.5),
                 "validation": kind(0.25), "clip": kind(2.0), "init": {"forget_bias": kind(0.5)},
                 "options": {"betas": np.array([0.5, 0.75])}}  # fmt: skip
        same(quick(X, y, **given), expected)


@pytest.mark.parametrize("betas", [(0.9, [0.99]), "90", ("0.9", "0.99"), (0.9, True)])
def test_two_numbers_that_are_none(betas):
    with pytest.raises((TypeError, ValueError), match=r"betas must be (a number|two numbers), rec"):
        quick(*batch(), options={"betas": betas})

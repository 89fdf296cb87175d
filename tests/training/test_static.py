"""Attributes of whole sequences, from the data of a fit to what a saved model predicts."""

import copy
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
import xarray as xr
from sklearn.model_selection import cross_val_score

import numlstm
from numlstm import LSTMClassifier, LSTMRegressor
from numlstm.architecture.spec import StaticGradients
from numlstm.data.scaling import Scaling

RNG = np.random.default_rng(0)
B, T, S = 24, 30, 3
X = RNG.standard_normal((B, T, 1))
A = RNG.uniform(0.2, 3, (B, S)) * [1, 100, 0] + [0, 5000, 7]  # of several units, one constant
SITES = [f"site_{i}" for i in range(B)]
NAMES = ["gain", "height", "kind"]
FRAME = pd.DataFrame(A, index=SITES, columns=NAMES)
FEW = {"hidden_size": 3, "epochs": 3, "rng": 0}


def responses(inputs, gain):
    """A first-order system with a gain (B, 1) of every series."""
    y, level = np.zeros_like(inputs), np.zeros_like(gain)
    for t in range(inputs.shape[1]):
        level = 0.6 * level + 0.4 * gain * inputs[:, t]
        y[:, t] = level
    return y


Y = responses(X, A[:, :1])


@pytest.fixture(scope="module")
def plain():
    return numlstm.fit(X, Y, static=A, **FEW)


def rmse(predicted, truth):
    return float(np.sqrt(np.mean(np.square(predicted - truth))))


def panel(values, names=("q",)):
    index = pd.MultiIndex.from_product([SITES, range(T)], names=["site", "day"])
    return pd.DataFrame(values.reshape(B * T, -1), index=index, columns=list(names))


# --- what is learned ------------------------------------------------------------------------------


def test_a_dependence_on_an_attribute_is_found():
    """Of series that were held out: without the attribute nobody can know their gain."""
    rng = np.random.default_rng(1)
    inputs, static = rng.standard_normal((80, 50, 1)), rng.uniform(0.2, 3, (80, 2))
    truth = responses(inputs, static[:, :1])
    options = {"hidden_size": 12, "epochs": 200, "schedule": "cosine", "rng": 0}
    train, held = slice(0, 60), slice(60, None)
    known = numlstm.fit(inputs[train], truth[train], static=static[train], **options).model
    unknown = numlstm.fit(inputs[train], truth[train], **options).model
    error = rmse(known.predict(inputs[held], static=static[held]), truth[held])
    assert error < 0.25 * rmse(unknown.predict(inputs[held]), truth[held])


def test_they_are_the_further_features_of_every_step():
    """To the gradient of a fit, too: one step of plain gradient descent is the same."""
    options = {"method": "sgd", "epochs": 2, "batch_size": B, "clip": None, "learning_rate": 0.1}
    model = numlstm.LSTM(1, 4, 1, static_size=S, dtype="float64", rng=0)
    wide = numlstm.LSTM(1 + S, 4, 1, dtype="float64", rng=0)
    for name in wide.params:
        parts = [model.params[name]] + [model.params["weight_is_l0"]] * (name == "weight_ih_l0")
        wide.params[name] = np.concatenate(parts, axis=-1)
    found = numlstm.fit(X, Y, static=A, model=model, standardize=True, rng=0, **options)
    tiled = np.concatenate([X, np.repeat(A[:, None], T, axis=1)], axis=2)
    truth = numlstm.fit(tiled, Y, model=wide, standardize=True, rng=0, **options)
    weights = truth.model.params["weight_ih_l0"]
    assert np.allclose(found.model.params["weight_is_l0"], weights[:, 1:], rtol=0, atol=1e-12)
    assert np.allclose(found.fun, truth.fun, rtol=1e-12)
    predicted = found.model.predict(X, static=A)
    assert np.allclose(predicted, truth.model.predict(tiled), rtol=0, atol=1e-12)


def test_the_other_parameters_are_drawn_as_without(plain):
    model = numlstm.LSTM(1, 3, 1, num_layers=2, static_size=S, rng=0)
    without = numlstm.LSTM(1, 3, 1, num_layers=2, rng=0)
    for name, values in without.params.items():
        np.testing.assert_array_equal(model.params[name], values)
    assert set(model.params) - set(without.params) == {"weight_is_l0"}
    weights = model.params["weight_is_l0"]
    assert weights.shape == (12, S)
    assert 0 < np.abs(weights).max() <= np.sqrt(6 / (3 + S))
    assert plain.model.spec.static_size == S


def test_units():
    result = numlstm.fit(X, Y, static=A, **FEW)
    scaling = result.model.scaling
    np.testing.assert_allclose(scaling.static_mean, A.mean(axis=0))
    np.testing.assert_allclose(scaling.static_scale[:2], A.std(axis=0)[:2])
    assert scaling.static_scale[2] == 1  # it is constant
    assert (scaling.attributes(A)[:, 2] == 0).all()
    raw = numlstm.fit(X, Y, static=A / 100, standardize=False, **FEW)
    assert raw.model.scaling is None
    assert not scaling.is_near(scaling._replace(static_mean=A[0]))
    assert Scaling(np.zeros(1), np.ones(1)).attributes(A) is not A


def test_sequences_of_no_weight_have_no_part_in_the_units():
    weight = np.ones(B)
    weight[-4:] = 0
    result = numlstm.fit(X, Y, static=A, sample_weight=weight, **FEW)
    np.testing.assert_allclose(result.model.scaling.static_mean, A[:-4].mean(axis=0))
    steps = np.repeat(weight[:, None], T, axis=1)
    result = numlstm.fit(X, Y, static=A, sample_weight=steps, **FEW)
    np.testing.assert_allclose(result.model.scaling.static_mean, A[:-4].mean(axis=0))


# --- forms ----------------------------------------------------------------------------------------


def test_every_form_of_the_inputs(plain):
    assert plain.data.endswith("a target per step, 3 attributes of each")
    expected = plain.model.predict(X, static=A)
    lists = numlstm.fit(list(X), list(Y), static=A.tolist(), **FEW)
    np.testing.assert_array_equal(lists.x, plain.x)
    one = plain.model.predict(X[3], static=A[3])
    assert one.shape == (T, 1)
    np.testing.assert_array_equal(one, expected[3])
    np.testing.assert_array_equal(plain.model.predict(X[3], static=A[3:4]), expected[3])
    parts = plain.model.predict([X[0], X[1, :9]], static=A[:2])
    np.testing.assert_array_equal(parts[0], expected[0])
    np.testing.assert_array_equal(parts[1], expected[1, :9])


def test_one_attribute_may_be_a_vector():
    one, column = (numlstm.fit(X, Y, static=values, **FEW) for values in (A[:, 0], A[:, :1]))
    np.testing.assert_array_equal(one.x, column.x)
    assert one.data.endswith("one attribute of each")
    np.testing.assert_array_equal(
        one.model.predict(X, static=A[:, 0]), column.model.predict(X, static=A[:, :1])
    )


def test_ragged_reset_forecast_windows_and_stateful():
    lengths = RNG.integers(5, T + 1, B)
    reset = RNG.random((B, T)) < 0.1
    ragged = numlstm.fit(X, Y, static=A, lengths=lengths, reset=reset, bptt_steps=7, **FEW)
    shown = ragged.model.predict(X, static=A, lengths=lengths, reset=reset)
    assert np.isfinite(shown).all()
    forecast = numlstm.fit(X, static=A, **FEW)
    assert forecast.model.forecasts
    pieces = X.reshape(B, T, 1)
    stream = numlstm.fit(pieces, Y, static=[1.0, 2.0], stateful=True, batch_size=4, **FEW)
    assert stream.model.spec.static_size == 2
    assert stream.model.predict(X[0], static=[1.0, 2.0]).shape == (T, 1)
    with pytest.raises(ValueError, match=r"static must have shape \(S,\), the attributes of the o"):
        numlstm.fit(pieces, Y, static=A, stateful=True, **FEW)


@pytest.mark.parametrize("output", ["sequence", "last"])
@pytest.mark.parametrize("cell", [None, {"layer_norm": True, "peephole": True}])
def test_a_bidirectional_network(output, cell):
    target = Y if output == "sequence" else Y[:, -1]
    options = {"bidirectional": True, "num_layers": 2, "cell": cell, "output": output}
    result = numlstm.fit(X, target, static=A, **options, **FEW)
    assert {"weight_is_l0", "weight_is_l0_reverse"} <= set(result.model.params)
    assert "weight_is_l1" not in result.model.params
    assert result.model.predict(X, static=A).shape == target.shape


# --- validation, warm starts, runs ----------------------------------------------------------------


def test_validation_by_fraction_takes_the_rows_with_it():
    share = numlstm.fit(X, Y, static=A, validation=0.25, **FEW)
    own = {"X": X[18:], "y": Y[18:], "static": A[18:]}
    given = numlstm.fit(X[:18], Y[:18], static=A[:18], validation=own, **FEW)
    np.testing.assert_array_equal(share.x, given.x)
    np.testing.assert_array_equal(
        share.history["validation_loss"], given.history["validation_loss"]
    )
    one = numlstm.fit(X[0], Y[0], static=A[0], validation=0.25, **FEW)
    assert np.isfinite(one.history["validation_loss"]).all()
    classes = (A[:, 0] > 1.5).astype(int)
    drawn = numlstm.fit(X, classes, static=A, loss="cross_entropy", validation=0.25, **FEW)
    assert np.isfinite(drawn.history["validation_loss"]).all()


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        ((X, Y), "validation as a tuple cannot say its static"),
        ({"X": X, "y": Y}, "validation: static is missing: the data of the fit has 3 attribute"),
        ({"X": X, "y": Y, "static": A[:, :2]}, "validation: static has 2 attribute.* has 3"),
        ({"X": X, "y": Y, "static": A[:2]}, r"validation: static must have shape \(24, S\)"),
    ],
)
def test_validations_that_are_refused(validation, words):
    with pytest.raises(ValueError, match=words):
        numlstm.fit(X, Y, static=A, validation=validation, **FEW)


def test_a_validation_has_attributes_only_where_the_fit_has():
    with pytest.raises(ValueError, match="validation: static was given, and the data of the fit"):
        numlstm.fit(X, Y, validation={"X": X, "y": Y, "static": A}, **FEW)


def test_a_model_given_says_how_many(plain):
    again = numlstm.fit(X, Y, static=A, model=plain.model, epochs=1, rng=0)
    assert again.model.scaling is plain.model.scaling
    with pytest.raises(ValueError, match="static is missing: the model has 3"):
        numlstm.fit(X, Y, model=plain.model, epochs=1)
    with pytest.raises(ValueError, match="and the model has 3"):
        numlstm.fit(X, Y, static=A[:, :2], model=plain.model, epochs=1)
    other = numlstm.LSTM(1, 3, 1, rng=0)
    with pytest.raises(ValueError, match=re.escape("as LSTM(..., static_size=3)")):
        numlstm.fit(X, Y, static=A, model=other, epochs=1)


def test_a_resumed_fit_has_the_same_bits_and_knows_its_attributes(tmp_path):
    options = {"hidden_size": 3, "rng": 0, "bptt_steps": 10}
    whole = numlstm.fit(X, Y, static=A, epochs=4, **options)
    path = tmp_path / "run.ckpt"
    numlstm.fit(X, Y, static=A, epochs=2, checkpoint=path, **options)
    with pytest.raises(ValueError, match="training data"):
        numlstm.fit(X, Y, static=A[::-1], epochs=4, checkpoint=path, resume=True, **options)
    resumed = numlstm.fit(X, Y, static=A, epochs=4, checkpoint=path, resume=True, **options)
    np.testing.assert_array_equal(resumed.x, whole.x)


@pytest.mark.parametrize("method", ["L-BFGS-B", "trust-ncg", "least_squares"])
def test_methods_of_scipy(method):
    options = {"hidden_size": 2, "method": method, "epochs": 5, "dtype": "float64", "rng": 0}
    result = numlstm.fit(X[:6, :8], Y[:6, :8], static=A[:6, :2], **options)
    fun = numlstm.objective(result.model, X[:6, :8], Y[:6, :8], static=A[:6, :2])
    assert fun.value(result.x) == pytest.approx(result.fun)


def test_derivatives_of_an_objective():
    model = numlstm.LSTM(1, 3, 1, static_size=S, dtype="float64", rng=0)
    given = X[:4, :6], Y[:4, :6]
    fun = numlstm.objective(model, *given, static=A[:4] / 100)
    theta, v = model.theta.copy(), RNG.standard_normal(model.theta.size)
    above, below = (fun(theta + step * v) for step in (1e-6, -1e-6))
    gradient = fun.gradient(theta)
    assert (above[0] - below[0]) / 2e-6 == pytest.approx(gradient @ v, rel=1e-7)
    np.testing.assert_allclose(fun.hessp(theta, v), (above[1] - below[1]) / 2e-6, atol=1e-6)
    J = fun.jacobian(theta)
    np.testing.assert_allclose(J @ v, fun.jvp(theta, v), atol=1e-12)
    np.testing.assert_allclose(2 * J.T @ fun.residuals(theta) / len(J), gradient, atol=1e-12)
    with pytest.raises(ValueError, match="static is missing"):
        numlstm.objective(model, *given)


def test_the_covariance_of_a_fit():
    given = X[:6, :8], Y[:6, :8]
    options = {"hidden_size": 2, "method": "L-BFGS-B", "epochs": 20, "dtype": "float64", "rng": 0}
    result = numlstm.fit(*given, static=A[:6, :1], weight_decay=0.1, **options)
    covariance = result.covariance(*given, static=A[:6, :1], weight_decay=0.1)
    assert (covariance.stderr["weight_is_l0"] > 0).all()
    band = covariance.predict(X, static=A[:, :1])
    assert (band.lower < band.upper).all()
    np.testing.assert_allclose(band.mean, result.model.predict(X, static=A[:, :1]), atol=1e-12)


def test_members_of_an_ensemble_are_fits():
    many = numlstm.ensemble(X, Y, static=A, members=3, bootstrap=False, **FEW)
    mean, spread = many.predict(X, static=A)
    each = [model.predict(X, static=A) for model in many.models]
    np.testing.assert_array_equal(mean, np.mean(each, axis=0))
    assert (spread > 0).any()
    with pytest.raises(ValueError, match="static is missing"):
        many.predict(X)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("static", "words"),
    [
        (A[:5], r"static must have shape \(24, S\), a row of S attributes .* received \(5, 3\)"),
        (A.T, r"received \(3, 24\); if the attributes come first, pass static.T"),
        (np.repeat(A[:, None], T, 1), r"received \(24, 30, 3\); what changes in time is a feature"),
        (np.where(A > 2, np.nan, A), "static has .* NaN: fill it, as with the median"),
        (np.empty((B, 0)), r"static must have shape \(24, S\)"),
    ],
    ids=["rows", "transposed", "in time", "nan", "empty"],
)
def test_arrays_that_are_refused(static, words):
    with pytest.raises(ValueError, match=words):
        numlstm.fit(X, Y, static=static, **FEW)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_column_of_names_is_no_attribute(library):
    """As a file has it that was read without an index."""
    flat = FRAME.rename_axis("station").reset_index()
    static = {"pandas": lambda f: f, "polars": pl.from_pandas, "pyarrow": pa.Table.from_pandas}
    table = static[library](flat)
    with pytest.raises(TypeError, match="names of the series, pass static") as error:
        numlstm.fit(X, Y, static=table, **FEW)
    advice = re.search(r"series, pass (static\S*\))", str(error.value))[1]
    same = numlstm.fit(X, Y, static=eval(advice, {"static": table}), **FEW)
    np.testing.assert_array_equal(same.x, numlstm.fit(X, Y, static=A, **FEW).x)
    with pytest.raises(TypeError, match=r"one-hot, pandas.get_dummies.*leave it out$"):
        numlstm.fit(X, Y, static=FRAME.assign(kind=["clay", "sand"] * 12), **FEW)


def test_one_series_has_one_row():
    with pytest.raises(ValueError, match=r"static must have shape \(S,\), .* received \(24, 3\)"):
        numlstm.fit(X[0], Y[0], static=A, **FEW)
    for given in (X[:, 0], X[:, 0, 0]):
        with pytest.raises(
            ValueError, match=r"received \(24, 3\); as an array, (.*) is one step o"
        ) as e:
            numlstm.fit(given, Y[:, 0], static=A, **FEW)
        advice = re.search("array, (.*) is", str(e.value))[1]
        assert eval(advice, {"X": given}).shape == (B, 1, 1)
    with pytest.raises(TypeError, match="static"):
        numlstm.fit(X, Y, static=[["a"] * 3] * B, **FEW)


def test_what_a_model_does_not_have_or_needs(plain):
    model, without = plain.model, numlstm.LSTM(1, 3, rng=0)
    for call in (model.predict, model.forward, model.vjp, model.jvp, model.jacobian):
        with pytest.raises(ValueError, match="static is missing: the model has 3 attribute"):
            call(X)
        with pytest.raises(ValueError, match="static"):
            call(X, static=A[:, :2])
    for call in (without.predict, without.forward, without.vjp, without.transitions):
        with pytest.raises(ValueError, match="the model has no attributes of whole sequences"):
            call(X, static=A)
    with pytest.raises(ValueError, match=r"static has .* NaN"):
        model.forward(X, static=np.full((B, S), np.nan))
    with pytest.raises(ValueError, match="products of static and the weights may add up"):
        model.forward(X, static=np.full((B, S), 3e38))
    with pytest.raises(ValueError, match=r"must be one of|wrt"):
        without.jacobian(X, wrt="static")
    with pytest.raises(ValueError, match="static_size"):
        numlstm.LSTM(1, 3, static_size=0)
    for call in (lambda: model.step(X[0, 0]), model.njit, model.cfunc):
        with pytest.raises(ValueError, match=r"static is missing: the model has \d attribute"):
            call()


# --- derivatives of a model -----------------------------------------------------------------------


def test_the_pullback_has_the_gradient_of_the_attributes():
    model = numlstm.LSTM(1, 3, 2, static_size=S, dtype="float64", rng=0)
    given, static = X[:4, :5], A[:4] / 100
    values, pullback = model.vjp(given, static=static)
    gradients = pullback(np.ones_like(values))
    assert isinstance(gradients, StaticGradients)
    J = model.jacobian(given, wrt="static", static=static)
    assert J.shape == (4, 5, 2, S)
    np.testing.assert_allclose(J.sum(axis=(1, 2)), gradients.static, atol=1e-13)
    _, (moved, _) = model.jvp(given, dstatic=static, static=static)
    np.testing.assert_allclose(np.einsum("btos,bs->bto", J, static), moved, atol=1e-13)
    whole = model.jacobian(given, of="state", wrt="state", static=static)
    product = np.eye(6)
    for step in model.transitions(given, static=static).swapaxes(0, 1):
        product = step @ product
    np.testing.assert_allclose(product, whole, atol=1e-13)
    assert len(numlstm.LSTM(1, 3, 2, rng=0).vjp(given)[1](values)) == 3  # of others


def test_what_the_caller_writes_later_is_not_in_the_tape():
    model = numlstm.LSTM(1, 3, 1, static_size=S, dtype="float64", rng=0)
    static = A / 100
    values, pullback = model.vjp(X, static=static)
    first = pullback(np.ones_like(values))
    static[...] = 0
    np.testing.assert_array_equal(pullback(np.ones_like(values)).theta, first.theta)


# --- files ----------------------------------------------------------------------------------------


def test_a_file_has_attributes_units_and_names(tmp_path):
    model = numlstm.fit(panel(X), panel(Y), static=FRAME, **FEW).model
    model.save(tmp_path / "model.npz")
    loaded = numlstm.load(tmp_path / "model.npz")
    assert loaded.spec == model.spec
    assert loaded.names.static == tuple(NAMES)
    for part, own in zip(loaded.scaling, model.scaling, strict=True):
        np.testing.assert_array_equal(part, own)
    np.testing.assert_array_equal(
        loaded.predict(X, static=A), copy.deepcopy(model).predict(X, static=A)
    )
    wide = loaded.astype("float64")
    assert wide.predict(X, static=A).shape == (B, T, 1)
    loaded.scaling = loaded.scaling._replace(static_mean=np.zeros(2))
    with pytest.raises(ValueError, match="static_mean"):
        loaded.save(tmp_path / "other.npz")


def test_words():
    model = numlstm.fit(X, Y, static=FRAME.to_numpy(), **FEW).model
    assert "static_size=3" in repr(model)
    assert re.search(r"weight_is_l0\s+\(12, 3\)\s+36", str(model))
    assert re.search(r"static\s+attribute 0\s+[\d.]+\s+[\d.]+", str(model))


# --- labels ---------------------------------------------------------------------------------------


def test_a_row_for_each_series_by_its_name(plain):
    result = numlstm.fit(panel(X), panel(Y, ["r"]), static=FRAME, **FEW)
    np.testing.assert_array_equal(result.x, plain.x)
    assert result.model.names.static == tuple(NAMES)
    expected = plain.model.predict(X, static=A).ravel()
    for static in (FRAME, FRAME[NAMES[::-1]], A, pl.DataFrame(A, schema=NAMES)):
        shown = result.model.predict(panel(X), static=static)
        np.testing.assert_array_equal(shown["r"], expected)
    with pytest.raises(ValueError, match=r"static has the labels of X in another order.*static\.l"):
        result.model.predict(panel(X), static=FRAME[::-1])
    with pytest.raises(ValueError, match="static has other labels than X"):
        result.model.predict(panel(X), static=FRAME.rename(index={"site_3": "site_x"}))
    with pytest.raises(ValueError, match="static lacks 'gain'"):
        result.model.predict(panel(X), static=FRAME[NAMES[1:]])
    with pytest.raises(ValueError, match="static has 'area', which is not known"):
        result.model.predict(panel(X), static=FRAME.assign(area=1.0))


@pytest.mark.parametrize("names", [SITES, list(range(100, 100 + B)), [(i, "x") for i in range(B)]])
def test_a_list_of_series_has_their_names(names):
    series = [pd.Series(part[:, 0], name=name) for part, name in zip(X, names, strict=True)]
    targets = [pd.DataFrame({"r": part[:, 0]}) for part in Y]
    index = pd.Index(names, tupleize_cols=False)
    table = FRAME.set_axis(index)
    result = numlstm.fit(series, targets, static=table, **FEW)
    for static in (A, FRAME.reset_index(drop=True)):  # of an index that nobody chose
        assert numlstm.fit(series, targets, static=static, **FEW).fun == result.fun
    with pytest.raises(ValueError, match="static has the labels of X in another order") as caught:
        numlstm.fit(series, targets, static=table[::-1], **FEW)
    code = re.search(r"pass (static.*?\]\]);", str(caught.value))[1]
    if not isinstance(names[0], tuple):
        assert eval(code, {"static": table[::-1], "X": series}).equals(table)
    with pytest.raises(ValueError, match="static has other labels than X"):
        result.model.predict(series, static=FRAME.set_axis([f"other {i}" for i in range(B)]))
    alike = [part.rename("q") for part in series]  # the name of what was measured
    assert numlstm.fit(alike, targets, static=FRAME[::-1].set_axis(SITES), **FEW).nit
    grids = [
        xr.DataArray(part, dims=["time"], name=name)
        for part, name in zip(X[..., 0], SITES, strict=True)
    ]
    static = xr.DataArray(A, dims=["site", "attribute"], coords={"site": SITES})
    assert numlstm.fit(grids, targets, static=static, **FEW).fun == result.fun
    with pytest.raises(ValueError, match="static has the labels of X in another order"):
        numlstm.fit(grids, targets, static=static[::-1], **FEW)


def test_targets_called_as_the_series_have_their_order():
    series = [pd.Series(part[:, 0], name=site) for part, site in zip(X, SITES, strict=True)]
    targets = [pd.Series(part[:, 0], name=site) for part, site in zip(Y, SITES, strict=True)]
    assert numlstm.fit(series, targets, **FEW).nit
    assert numlstm.fit(series, [part.rename(f"r {part.name}") for part in targets], **FEW).nit
    with pytest.raises(
        ValueError, match=r"y has the labels of X in another order.*the series of y"
    ):
        numlstm.fit(series, targets[::-1], **FEW)
    coords = {"site": SITES, "day": np.arange(T)}
    for inputs in (panel(X), xr.DataArray(X[..., 0], dims=["site", "day"], coords=coords)):
        assert numlstm.fit(inputs, targets, output="sequence", **FEW).nit
        with pytest.raises(ValueError, match="y has the labels of X in another order"):
            numlstm.fit(inputs, targets[::-1], **FEW)


def test_the_fix_that_the_message_names_is_one():
    static, frame = FRAME[::-1], panel(X)
    with pytest.raises(ValueError, match="pass static") as caught:
        numlstm.fit(frame, panel(Y, ["r"]), static=static, **FEW)
    code = re.search(r"pass (static\S+(?: \S+)*?);", str(caught.value))[1]
    assert eval(code, {"static": static, "X": frame}).equals(FRAME)


def test_one_column_is_one_attribute():
    result = numlstm.fit(panel(X), panel(Y, ["r"]), static=FRAME["gain"], **FEW)
    assert result.model.names.static == ("gain",)
    assert result.model.spec.static_size == 1


def test_of_one_series_a_row_has_the_names_in_its_index(plain):
    model = numlstm.fit(panel(X), panel(Y, ["r"]), static=FRAME, **FEW).model
    expected = plain.model.predict(X[4], static=A[4])
    series = pd.DataFrame(X[4], columns=["q"])
    rows = FRAME.loc["site_4"], FRAME.loc["site_4"][::-1], FRAME.loc[["site_4"]], A[4]
    grid = xr.DataArray(A[4], dims=["name"], coords={"name": NAMES})
    for row in (*rows, grid, grid[::-1]):
        np.testing.assert_array_equal(model.predict(series, static=row).to_numpy(), expected)
        np.testing.assert_array_equal(model.predict(X[4], static=row), expected)


def test_one_series_of_several_has_its_row(plain):
    frame = panel(X)
    coords = {"site": SITES, "day": np.arange(T), "feature": ["q"]}
    grid = xr.DataArray(X, dims=["site", "day", "feature"], coords=coords)
    static = xr.DataArray(A, dims=["site", "attribute"], coords={"site": SITES, "attribute": NAMES})
    model = numlstm.fit(frame, panel(Y, ["r"]), static=FRAME, **FEW).model
    expected = plain.model.predict(X, static=A)
    for site, part in frame.groupby(level=0):
        of_frame, of_grid = FRAME.loc[site], static.sel(site=site)
        for row in (of_frame, of_frame[::-1], FRAME.loc[[site]], of_frame.rename(None), of_grid):
            found = model.predict(part, static=row).to_numpy()
            np.testing.assert_array_equal(found, expected[SITES.index(site)])
        for row in (of_grid, of_grid[::-1], of_frame):
            found = model.predict(grid.sel(site=[site]), static=row).values
            np.testing.assert_array_equal(found[0], expected[SITES.index(site)])
    one = frame.loc[["site_4"]]
    words = "static is the row of site_5, and the one series of X is site_4: pass its own"
    for inputs in (one, grid.sel(site=["site_4"])):
        for row in (FRAME.loc["site_5"], static.sel(site="site_5")):
            if isinstance(inputs, pd.DataFrame) and isinstance(row, xr.DataArray):
                continue  # whose coordinate need not be that of the series
            with pytest.raises(ValueError, match=words):
                model.predict(inputs, static=row)
    learned = numlstm.fit(one, panel(Y, ["r"]).loc[["site_4"]], static=FRAME.loc["site_4"], **FEW)
    assert learned.model.names.static == tuple(NAMES)


def test_the_fix_for_a_table_of_more_series_is_one():
    model = numlstm.fit(X, Y, static=FRAME, **FEW).model
    coords = {"site": SITES, "day": np.arange(T), "feature": ["q"]}
    grid = xr.DataArray(X, dims=["site", "day", "feature"], coords=coords)
    table = xr.DataArray(A, dims=["site", "attribute"], coords={"site": SITES, "attribute": NAMES})
    some = [SITES[7], SITES[2]]
    listed = [pd.Series(X[SITES.index(site), :, 0], name=site) for site in some]
    for inputs in (pd.concat([panel(X).loc[[site]] for site in some]), grid.sel(site=some), listed):
        for static in (FRAME, table):
            if isinstance(inputs, pd.DataFrame) and static is table:
                continue
            with pytest.raises(
                ValueError, match="static has more rows than X has series"
            ) as caught:
                model.predict(inputs, static=static)
            code = re.search(r"pass (static.*)", str(caught.value))[1]
            chosen = eval(code, {"static": static, "X": inputs})
            np.testing.assert_array_equal(chosen, FRAME.loc[some])
            assert model.predict(inputs, static=chosen) is not None


def test_data_arrays(plain):
    coords = {"site": SITES, "day": np.arange(T), "feature": ["q"]}
    inputs = xr.DataArray(X, dims=["site", "day", "feature"], coords=coords)
    targets = xr.DataArray(Y, dims=["site", "day", "feature"], coords=coords | {"feature": ["r"]})
    static = xr.DataArray(A, dims=["site", "attribute"], coords={"site": SITES, "attribute": NAMES})
    result = numlstm.fit(inputs, targets, static=static, **FEW)
    np.testing.assert_array_equal(result.x, plain.x)
    assert result.model.names.static == tuple(NAMES)
    expected = plain.model.predict(X, static=A)
    for given in (static.T, static[:, ::-1], FRAME):
        np.testing.assert_array_equal(result.model.predict(inputs, static=given).values, expected)
    np.testing.assert_array_equal(result.model.predict(list(X), static=static), expected)
    with pytest.raises(ValueError, match="static has the labels of X in another order"):
        result.model.predict(inputs, static=static[::-1])
    with pytest.raises(ValueError, match=r"static has the dimensions \(site, day, feature\)"):
        result.model.predict(inputs, static=inputs)


@pytest.mark.parametrize(
    ("static", "error", "words"),
    [
        (FRAME.assign(kind="karst"), TypeError, "static must hold real numbers"),
        ([FRAME.loc[site] for site in SITES], TypeError, "static must be one array, frame or Data"),
        (panel(X), ValueError, "one value for each series"),
        (FRAME.assign(kind=pd.Timestamp("2001-01-01")), ValueError, "a column of dates, 'kind'"),
        (FRAME.assign(gain=np.nan), ValueError, "static has 24 NaN"),
    ],
    ids=["texts", "list", "in time", "dates", "nan"],
)
def test_labels_that_are_refused(static, error, words):
    with pytest.raises(error, match=words):
        numlstm.fit(panel(X), panel(Y, ["r"]), static=static, **FEW)


# --- scikit-learn ---------------------------------------------------------------------------------


def test_estimators():
    target, few = Y[:, -1, 0], {"epochs": 60, "random_state": 0}
    regressor = LSTMRegressor(6, **few).fit(X, target, static=A)
    assert regressor.score(X, target, static=A) > 0.5
    assert regressor.predict(X, static=A).shape == (B,)
    with pytest.raises(ValueError, match="static is missing"):
        regressor.predict(X)
    classifier = LSTMClassifier(6, **few).fit(X, A[:, 0] > 1.5, static=A)
    assert classifier.score(X, A[:, 0] > 1.5, static=A) > 0.9
    assert classifier.predict_proba(X, A).shape == (B, 2)
    np.testing.assert_array_equal(
        np.exp(classifier.predict_log_proba(X, A)).argmax(1),
        classifier.predict_proba(X, A).argmax(1),
    )


def test_estimators_know_the_names_of_attributes():
    table = pd.DataFrame(X[..., 0], index=SITES)
    table.columns = [f"t{i}" for i in range(T)]
    regressor = LSTMRegressor(3, epochs=2, random_state=0).fit(table, Y[:, -1, 0], static=FRAME)
    assert regressor.model_.names.static == tuple(NAMES)
    expected = regressor.predict(table, static=A)
    np.testing.assert_array_equal(regressor.predict(table, static=FRAME[NAMES[::-1]]), expected)
    with pytest.raises(ValueError, match="static has the labels of X in another order"):
        regressor.predict(table, static=FRAME[::-1])
    validation = {"X": table, "y": Y[:, -1, 0], "static": FRAME}
    judged = LSTMRegressor(3, epochs=2, validation=validation, random_state=0)
    judged.fit(table, Y[:, -1, 0], static=FRAME)
    assert np.isfinite(judged.result_.history["validation_loss"]).all()


@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
def test_attributes_of_a_validation_go_by_the_names_of_the_fit_that_it_judges(kind):
    target, turned = (Y[:, -1, 0] > Y[:, -1, 0].mean()) * 1, FRAME[NAMES[::-1]]
    few = {"hidden_size": 3, "epochs": 2, "random_state": 0}

    def losses(static, judged, after=None):
        estimator = kind(**few, validation={"X": X, "y": target, "static": judged})
        if after is not None:
            estimator.set_params(validation=None).fit(X, target, static=after)
            estimator.set_params(validation={"X": X, "y": target, "static": judged})
        return estimator.fit(X, target, static=static).result_.history["validation_loss"]

    expected = losses(A, A)
    for judged in (FRAME, turned, A):
        np.testing.assert_array_equal(losses(FRAME, judged), expected)
        np.testing.assert_array_equal(losses(FRAME, judged, after=turned), expected)
    np.testing.assert_array_equal(losses(A, FRAME, after=turned), expected)
    with pytest.raises(ValueError, match="static lacks 'kind' and has 'sort', which is not known"):
        losses(FRAME, FRAME.rename(columns={"kind": "sort"}))


@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
def test_an_array_between_frames_does_not_make_their_names_forgotten(kind):
    target, turned = (Y[:, -1, 0] > Y[:, -1, 0].mean()) * 1, FRAME[NAMES[::-1]]
    first = {"classes": [0, 1]} if kind is LSTMClassifier else {}

    def learned(*tables):
        estimator = kind(3, random_state=0).partial_fit(X, target, static=tables[0], **first)
        for table in tables[1:]:
            estimator.partial_fit(X, target, static=table)
        return estimator

    expected = learned(A, A, A)
    for last in (A, FRAME, turned):
        found = learned(FRAME, A, last)
        np.testing.assert_array_equal(found.result_.x, expected.result_.x)
        assert found.model_.names.static == tuple(NAMES)
    between = learned(FRAME, A)
    np.testing.assert_array_equal(
        between.predict(X, static=turned), between.predict(X, static=FRAME)
    )
    anew = between.fit(X, target, static=A)
    assert anew.model_.names.static is None


def test_cross_validation_cuts_them_by_rows():
    target = Y[:, -1, 0]
    regressor = LSTMRegressor(3, epochs=3, random_state=0)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = regressor.set_fit_request(static=True).set_score_request(static=True)
        scores = cross_val_score(routed, X, target, cv=3, params={"static": A})
    folds = np.array_split(np.arange(B), 3)
    for fold, score in zip(folds, scores, strict=True):
        rest = np.setdiff1d(np.arange(B), fold)
        own = LSTMRegressor(3, epochs=3, random_state=0).fit(X[rest], target[rest], static=A[rest])
        assert own.score(X[fold], target[fold], static=A[fold]) == score


@pytest.mark.parametrize("horizon", [None, 3])
def test_members_forecast_series_with_attributes(horizon):
    options = {"static": A, "members": 2, "hidden_size": 3, "epochs": 1, "rng": 0}
    series = X.cumsum(axis=1)
    many = numlstm.ensemble(series, horizon=horizon, **options)
    mean, spread = many.forecast(series, 3, static=A)
    each = [model.forecast(series, 3, static=A) for model in many.models]
    np.testing.assert_array_equal(mean, np.mean(each, axis=0))
    np.testing.assert_allclose(spread, np.std(each, axis=0), rtol=1e-6, atol=1e-9)
    assert (many.forecast(series, 3, static=A + 1)[0] != mean).any()
    with pytest.raises(ValueError, match="static is missing"):
        many.forecast(series, 3)

"""Numbers that stand for missing values are said; honest data are not complained of."""

import warnings

import numpy as np
import pandas
import pytest

import numlstm
from helpers.fits import batch, quick

NETCDF = 9.969209968386869e36


def spoilt(name, value, count=1):
    """Data with a fill value in the last column of X or y."""
    X, y = batch(O=2)
    array = {"X": X, "y": y}[name]
    array.reshape(-1, array.shape[-1])[5 : 5 + count, 1] = value
    return X, y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["X", "y"])
@pytest.mark.parametrize("value", [NETCDF, 9.97e36, 1e20, -1e20, 9.999e20, -1e34, 1e30])
def test_a_fill_value_is_named_with_its_column_and_count(name, value, dtype):
    X, y = (array.astype(dtype) for array in spoilt(name, value, 3))
    remedy = {"X": "missing='mask'", "y": "nan_policy='omit'"}[name]
    with pytest.warns(UserWarning, match="replace it by NaN") as caught:
        quick(X, y, epochs=1)
    assert len(caught) == 1
    said = str(caught[0].message)
    number = f"{np.dtype(dtype).type(value):.7g}"
    assert said.startswith(f"{name} has {number}, 3 time(s) in column 1, ")
    assert said.endswith(f"replace it by NaN and pass {remedy}")


def test_the_warning_points_to_the_caller():
    X, y = spoilt("X", NETCDF)
    regressor = numlstm.LSTMRegressor(hidden_size=3, epochs=1)
    calls = {
        "fit": lambda: numlstm.fit(X, y, hidden_size=3, epochs=1),
        "ensemble": lambda: numlstm.ensemble(X, y, members=2, hidden_size=3, epochs=1),
        "estimator": lambda: regressor.fit(X, y[:, -1]),
    }
    for call in calls.values():
        with pytest.warns(UserWarning, match=r"X has 9.96921e\+36, 1 time") as caught:
            call()
        assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("at", [0, 60, 119])
def test_a_series_is_looked_at_once_to_its_end(at):
    series = np.sin(np.arange(120) / 4)
    series[at] = NETCDF
    with pytest.warns(UserWarning, match="time.s. in column 0") as caught:
        quick(series, epochs=1, validation=0.2)
    assert len(caught) == 1


def test_it_is_found_beside_missing_values_in_lists_zeros_and_validation():
    rng = np.random.default_rng(0)
    rain = np.where(rng.random((40, 1)) < 0.8, 0.0, rng.gamma(1, 5, (40, 1)))
    rain[7], rain[9] = NETCDF, np.nan
    dry = np.zeros((30, 1))
    dry[3] = 1e20
    for part in (rain, dry):
        with pytest.warns(UserWarning, match="X has"):
            quick([part, np.zeros((20, 1))], [np.arange(len(part)), np.arange(20)],
                  missing="mask", epochs=1)  # fmt: skip
    X, y = batch()
    spoiled = X.copy()
    spoiled[0, 0, 0] = NETCDF
    with pytest.warns(UserWarning, match=r"validation: X has 9.96921e\+36"):
        quick(X, y, validation=(spoiled, y), epochs=1)


# the values that programs and conventions document, of either sign
KNOWN = [NETCDF, 9.97e36, 1e20, 9.999e20, 1e31, 1e34, 1.70141e38, 3.4028234663852886e38]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("value", KNOWN)
@pytest.mark.parametrize("share", [0.6, 0.95])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_known_fill_value_is_said_whatever_its_share(value, sign, share, dtype):
    rng = np.random.default_rng(1)
    X, y = batch()
    filled = rng.random(X.shape[:2]) < share
    for name, column in (("X", 1), ("y", 0)):
        arrays = {"X": X.astype(dtype), "y": y.astype(dtype)}
        arrays[name][..., column][filled] = sign * value
        number = f"{float(np.dtype(dtype).type(sign * value)):.7g}"
        words = f"{name} has {number}, {filled.sum()} time(s) in column {column}, "
        with pytest.warns(UserWarning, match="replace it by NaN") as caught:
            quick(*arrays.values(), epochs=1, dtype="float64")
        assert [str(w.message).startswith(words) for w in caught] == [True]


def test_known_fill_values_are_said_beside_each_other():
    X, y = batch()
    X[:3, 0, 0], X[:4, 1, 0], X[:2, 2, 0], X[5, 5, 0] = NETCDF, -NETCDF, 1e20, -1e20
    X[..., 1] = NETCDF
    words = (
        "X has -9.96921e+36, 4 time(s) in column 0; -1e+20, 1 time(s) in column 0; 1e+20, "
        "2 time(s) in column 0; 9.96921e+36, 3 time(s) in column 0; 9.96921e+36, 108 time(s) in "
        "column 1, as files"
    )
    with pytest.warns(UserWarning, match="replace it by NaN") as caught:
        quick(X, y, epochs=1)
    assert str(caught[0].message).startswith(words)
    X[..., 1], X[7, 7, 0] = 1, -3e33  # one that is not known, but far from all others
    with pytest.warns(UserWarning, match="replace it by NaN") as caught:
        quick(X, y, epochs=1)
    words = words[: words.index("; 9.96921e+36, 108")] + ", as files"
    words = words.replace("; -1e+20", "; -3e+33, 1 time(s) in column 0; -1e+20")
    assert str(caught[0].message).startswith(words)


@pytest.mark.parametrize("missing", ["raise", "mask"])
def test_data_that_are_only_read_are_looked_at_too(missing):
    X, y = batch()
    result = quick(X, y, missing=missing, dtype="float64", hidden_size=2, epochs=1)
    filled = X.copy()
    filled[2, 3, 1] = 1e20
    large = np.tile(filled, (60, 1, 1))
    remedy = {"raise": "for a model fitted with missing='mask'", "mask": "which this model fills"}
    many = numlstm.ensemble(X, y, members=1, hidden_size=2, epochs=1, bootstrap=False, rng=0)
    calls = {
        "predict": lambda: result.model.predict(filled),
        "large": lambda: result.model.predict(large),
        "list": lambda: result.model.predict([filled[2], filled[3, :4]]),
        "objective": lambda: numlstm.objective(result.model, filled, y),
        "covariance": lambda: result.covariance(filled, y),
        "band": lambda: result.covariance(X, y).predict(filled),
    }
    for name, call in calls.items():
        count = 60 if name == "large" else 1
        with pytest.warns(UserWarning, match="X has 1e.20") as caught:
            call()
        assert [warning.filename for warning in caught] == [__file__]
        said = str(caught[0].message)
        assert said.startswith(f"X has 1e+20, {count} time(s) in column 1, as files")
        assert said.endswith(f"replace it by NaN, {remedy[missing]}")
    if missing == "raise":
        with pytest.warns(UserWarning, match="X has 1e.20"):
            many.predict(filled)
        forecaster = quick(X, hidden_size=2).model
        with pytest.warns(UserWarning, match="X_warm has 1e.20"):
            forecaster.rollout(filled, 2)
    # what lies in the padding, and is missing, is not there
    lengths = np.full(12, 9)
    lengths[2] = 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result.model.predict(filled, lengths=lengths)
        result.model.predict(1e18 * X)
        if missing == "mask":
            result.model.predict(np.where(filled == 1e20, np.nan, X))


def test_attributes_are_looked_at_too():
    X, y = batch()
    static = np.random.default_rng(0).random((12, 2))
    filled = static.copy()
    filled[3, 0] = NETCDF
    table = pandas.DataFrame(filled, columns=["area", "height"])
    few = {"hidden_size": 2, "epochs": 1}
    model = quick(X, y, static=static, **few).model
    named = quick(X, y, static=table.assign(area=1.0), **few).model
    forecaster = quick(X, static=static, **few).model
    direct = quick(X, static=static, window=3, horizon=2, **few).model
    judged = {"X": X, "y": y, "static": filled}
    calls = {
        "static has 9.96921e+36, 1 time(s) in column 0, ": [
            lambda: quick(X, y, static=filled, **few),
            lambda: quick(X, y, static=filled, window=3, **few),
            lambda: model.predict(X, static=filled),
            lambda: numlstm.objective(model, X, y, static=filled),
            lambda: forecaster.rollout(X, 2, static=filled),
            lambda: forecaster.forecast(X, 2, static=filled),
            lambda: direct.forecast(X, 2, static=filled),
            lambda: model.njit(static=filled[3]),
            lambda: numlstm.LSTMRegressor(**few).fit(X, y[:, -1, 0], static=filled),
        ],
        "static has 9.96921e+36, 1 time(s) in column area, ": [
            lambda: quick(X, y, static=table, **few),
            lambda: named.predict(X, static=table),
        ],
        "validation: static has 9.96921e+36, 1 time(s) in column 0, ": [
            lambda: quick(X, y, static=static, validation=judged, **few),
            lambda: quick(X, y, static=static, validation=judged, window=3, **few),
        ],
    }
    for words, these in calls.items():
        for call in these:
            with pytest.warns(UserWarning, match="static has 9.9") as caught:
                call()
            assert len(caught) == 1
            said = str(caught[0].message)
            assert said.startswith(words)
            assert said.endswith("is missing: fill it, as with the median of the attribute")


HONEST = {
    "plain": lambda rng: rng.standard_normal((12, 9, 2)),
    "huge": lambda rng: 1e300 * rng.standard_normal((12, 9, 2)),
    "of order 1e20": lambda rng: 1e20 * rng.standard_normal((12, 9, 2)),
    "heavy tails": lambda rng: np.exp(15 * rng.standard_normal((12, 9, 2))),
    "a flag in a large unit": lambda rng: 1e25 * (rng.random((12, 9, 2)) < 0.5),
    "constant": lambda rng: np.full((12, 9, 2), 1e20),
    "about a known one": lambda rng: 1e20 * (1 + 1e-5 * rng.standard_normal((12, 9, 2))),
    "a known one beside its like": lambda rng: rng.choice([1e17, 1e20], (12, 9, 2)),
    "two huge levels": lambda rng: rng.choice([1.0, 1e30, 2e30], (12, 9, 2)),
    "a grid of decades": lambda rng: np.logspace(0, 20, 216).reshape(12, 9, 2),
    "-9999": lambda rng: np.where(rng.random((12, 9, 2)) < 0.05, -9999, rng.random((12, 9, 2))),
}


@pytest.mark.parametrize("kind", HONEST)
def test_honest_data_are_silent(kind):
    X, y = HONEST[kind](np.random.default_rng(0)), batch()[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(X, y, epochs=1)
        quick(X, epochs=1)

"""Numbers that stand for missing values are said; honest data are not complained of."""

import warnings

import numpy as np
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


HONEST = {
    "plain": lambda rng: rng.standard_normal((12, 9, 2)),
    "huge": lambda rng: 1e300 * rng.standard_normal((12, 9, 2)),
    "of order 1e20": lambda rng: 1e20 * rng.standard_normal((12, 9, 2)),
    "heavy tails": lambda rng: np.exp(15 * rng.standard_normal((12, 9, 2))),
    "a flag in a large unit": lambda rng: 1e25 * (rng.random((12, 9, 2)) < 0.5),
    "constant": lambda rng: np.full((12, 9, 2), 1e20),
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

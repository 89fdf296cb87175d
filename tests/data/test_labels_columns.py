"""Columns of frames: names of what comes back, and frames of one column where one value is read."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

import numlstm
from numlstm import LSTMClassifier, LSTMRegressor

FEW = {"hidden_size": 2, "epochs": 2, "rng": 0}
RNG = np.random.default_rng(0)
DAYS = pd.date_range("2001", periods=30)
FRAME = pd.DataFrame({"date": DAYS, "x": RNG.standard_normal(30)})
LIBRARIES = {"pandas": lambda frame: frame, "polars": pl.from_pandas, "pyarrow": pa.table}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("targets", "titles"),
    [
        (["date"], ["date_predicted"]),
        (["q", "date"], ["q", "date_predicted"]),
        (["date", "y0"], ["date_predicted", "y0"]),
        (["y1", "date"], ["y1", "date_predicted"]),
    ],
)
def test_a_target_called_as_the_times_comes_back(library, targets, titles):
    make = LIBRARIES[library]
    values = RNG.standard_normal((30, len(targets)))
    expected = numlstm.fit(FRAME[["x"]].to_numpy(), values, **FEW).model
    y = make(pd.DataFrame(values, columns=targets))
    model = numlstm.fit(make(FRAME), y, **FEW).model
    predicted = model.predict(make(FRAME))
    assert type(predicted) is type(y)
    frame = predicted if library == "pandas" else predicted.to_pandas()
    assert list(frame.columns) == ["date", *titles]
    np.testing.assert_array_equal(frame["date"], DAYS)
    np.testing.assert_array_equal(frame[titles], expected.predict(FRAME[["x"]].to_numpy()))
    assert list(model.predict(FRAME.set_index("date")).columns) == targets


WEIGHT = RNG.uniform(0.5, 2, 30)
RESET = np.arange(30) % 10 == 0


@pytest.mark.parametrize("library", LIBRARIES)
def test_weights_and_resets_may_be_frames_of_one_column(library):
    make = LIBRARIES[library]
    x = FRAME[["x"]].to_numpy()
    expected = numlstm.fit(x, sample_weight=WEIGHT, reset=RESET, **FEW)
    weight, reset = (make(pd.DataFrame({"one": part})) for part in (WEIGHT, RESET))
    dated = make(pd.DataFrame({"date": DAYS, "one": WEIGHT}))
    for one in (weight, dated):
        result = numlstm.fit(make(FRAME), sample_weight=one, reset=reset, **FEW)
        np.testing.assert_array_equal(result.x, expected.x)
        predicted = result.model.predict(make(FRAME), reset=reset)
        np.testing.assert_array_equal(predicted["x"], expected.model.predict(x, reset=RESET)[:, 0])
    two = make(pd.DataFrame({"one": RESET, "two": RESET}))
    with pytest.raises(ValueError, match=r"reset must .* in shape \(30,\), received shape \(30, 2"):
        numlstm.fit(x, reset=two, **FEW)
    with pytest.raises(ValueError, match=r"sample_weight must hold .* received \(30, 2\)"):
        numlstm.fit(x, sample_weight=two, **FEW)


def test_of_panels_lists_and_batches_too():
    parts = RNG.standard_normal((3, 30, 1))
    weights, resets = RNG.uniform(0.5, 2, (3, 30)), np.tile(RESET, (3, 1))
    index = pd.MultiIndex.from_product([["c", "a", "b"], DAYS], names=["basin", "date"])
    panel = pd.DataFrame({"x": parts.ravel()}, index=index)
    weight = pd.DataFrame({"one": weights.ravel()}, index=index)
    reset = pd.DataFrame({"one": resets.ravel()}, index=index)
    beside = {"sample_weight": list(weights), "reset": list(resets)}
    expected = numlstm.fit(list(parts), **FEW, **beside).x
    result = numlstm.fit(panel, sample_weight=weight, reset=reset, **FEW)
    np.testing.assert_array_equal(result.x, expected)
    listed = {
        "sample_weight": [pd.DataFrame({"one": part}) for part in weights],
        "reset": [pd.DataFrame({"one": part}) for part in resets],
    }
    np.testing.assert_array_equal(numlstm.fit(list(parts), **FEW, **listed).x, expected)
    grid = xr.DataArray(parts, dims=("basin", "date", "feature"))
    named = {
        "sample_weight": xr.DataArray(weights[..., None], dims=grid.dims),
        "reset": xr.DataArray(resets[..., None], dims=grid.dims),
        "lengths": pd.DataFrame({"one": [30, 20, 30]}),
    }
    plain = {"sample_weight": weights, "reset": resets, "lengths": [30, 20, 30]}
    expected = numlstm.fit(parts, **FEW, **plain).x
    np.testing.assert_array_equal(numlstm.fit(grid, **FEW, **named).x, expected)
    short, y, reset = parts[:, :1], np.arange(3), np.ones((3, 1), bool)
    result = numlstm.fit(short, y, reset=pd.DataFrame(reset), **FEW)  # of its one step
    np.testing.assert_array_equal(result.x, numlstm.fit(short, y, reset=reset, **FEW).x)


def test_of_samples_too():
    samples, y = RNG.standard_normal((30, 5)), RNG.standard_normal(30)
    frame, weight = pd.DataFrame(samples), pd.DataFrame({"one": WEIGHT})
    options = {"epochs": 2, "random_state": 0}
    for kind, target in ((LSTMRegressor, y), (LSTMClassifier, y > 0)):
        expected = kind(2, **options).fit(samples, target, WEIGHT)
        model = kind(2, **options).fit(frame, target, weight)
        np.testing.assert_array_equal(model.model_.theta, expected.model_.theta)
        score = expected.score(samples, target, WEIGHT)
        assert model.score(frame, target, weight) == score


# --- tables with a column for each step -----------------------------------------------------------

WIDE = RNG.standard_normal((5, 30))
TITLES = {
    "days": DAYS,
    "zone": DAYS.tz_localize("Europe/Berlin"),
    "texts": DAYS.astype(str),
    "dates": pd.Index(list(DAYS.date), dtype=object),
    "periods": DAYS.to_period("D"),
    "durations": DAYS - DAYS[0],
    "categories": pd.CategoricalIndex(DAYS.astype(str)),
    "months first": DAYS[:12].strftime("%m/%d/%Y"),
}


@pytest.mark.parametrize("titles", TITLES)
def test_columns_that_are_times_are_no_features(titles):
    columns = TITLES[titles]
    wide = pd.DataFrame(WIDE[:, : len(columns)], index=list("abcde"), columns=columns)
    words = r"the columns of X are times, .*: pass X\.T, or X\.to_numpy\(\) to read it as it is"
    for y in (None, np.arange(5.0)):
        with pytest.raises(ValueError, match=words):
            numlstm.fit(wide, y, **FEW)
    if titles != "months first":  # which are refused as times of rows, too
        expected = numlstm.fit(wide.to_numpy().T, **FEW).x
        np.testing.assert_array_equal(numlstm.fit(wide.T, **FEW).x, expected)
    numlstm.fit(wide.to_numpy(), np.arange(5.0), **FEW)


@pytest.mark.parametrize(
    ("library", "turned", "plain"),
    [
        ("polars", "X.transpose()", "X.to_numpy()"),
        ("pyarrow", "X.to_pandas().T", "X.to_pandas().to_numpy()"),
    ],
)
def test_texts_of_dates_are_columns_of_times_in_every_library(library, turned, plain):
    X = LIBRARIES[library](pd.DataFrame(WIDE, columns=DAYS.astype(str)))
    words = f"columns of X are times, but .*: pass {re.escape(turned)}, or {re.escape(plain)} to"
    with pytest.raises(ValueError, match=words):
        numlstm.fit(X, np.arange(5.0), **FEW)
    expected = numlstm.fit(WIDE.T, **FEW).x
    np.testing.assert_array_equal(numlstm.fit(eval(turned), **FEW).x, expected)
    np.testing.assert_array_equal(numlstm.fit(eval(plain), **FEW).x, numlstm.fit(WIDE, **FEW).x)


@pytest.mark.parametrize(
    "columns",
    [["2009", "2011"], [2009, 2011], pd.interval_range(0, 2), ["2001-01-01", "x"], [1.5, 2.5]],
    ids=str,
)
def test_digits_numbers_and_depths_are_names_of_features(columns):
    frame = pd.DataFrame(WIDE[:2].T, columns=columns)
    result = numlstm.fit(frame, **FEW)
    np.testing.assert_array_equal(result.x, numlstm.fit(WIDE[:2].T, **FEW).x)
    assert list(result.model.feature_names_in_) == [str(column) for column in columns]

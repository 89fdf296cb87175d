"""Tokens are refused in every form of data, with ways out that work as they are written."""

import re

import numpy as np
import pytest

import numlstm

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
arrow = pytest.importorskip("pyarrow")
xarray = pytest.importorskip("xarray")
pytest.importorskip("sklearn")

ROWS = np.random.default_rng(1).permutation(60).reshape(6, 10) % 9
FLAT = ROWS.ravel()
NEXT = (FLAT + 1) % 9
PARTS = [FLAT[:25], FLAT[25:]]
NAMES = {"np": np, "pandas": pandas}
DAYS = pandas.date_range("2020-01-01", periods=60)
LEVELS = pandas.MultiIndex.from_product([list("abcdef"), range(10)], names=["site", "step"])


def fit(X, y, **choices):
    return numlstm.fit(X, y, **{"loss": "cross_entropy", "hidden_size": 2, "epochs": 1} | choices)


def classify(X, y=None, **choices):
    classifier = numlstm.LSTMClassifier(hidden_size=2, epochs=1, random_state=0, **choices)
    return classifier.fit(X, np.arange(len(ROWS)) % 3 if y is None else y)


def refusal(call, *arguments, **choices):
    with pytest.raises(ValueError, match="X has one feature of integers") as caught:
        call(*arguments, **choices)
    return str(caught.value)


def ways_out(message, X):
    """What the code in a refusal makes of X: one-hot, and as numbers."""
    onehot, numbers = re.search(r"one-hot, (.*); where they are .* pass (.*)$", message).groups()
    space = NAMES | {"X": X}
    if first := re.fullmatch(r"but number them first, (.*?): (.*)", onehot):
        exec(first[1], space)
        onehot = first[2]
    return eval(onehot.removeprefix("X="), space), eval(numbers, space)


def series():
    """Sixty tokens in a row: name -> (X, y)."""
    frame = pandas.DataFrame({"t": FLAT})
    names = {"id": polars.DataFrame({"day": DAYS.to_numpy(), "t": FLAT})}
    return {
        "array": (FLAT, NEXT),
        "array of 16 bits": (FLAT.astype(np.uint16), NEXT),
        "column": (FLAT[:, None], NEXT),
        "list": (FLAT.tolist(), NEXT),
        "list of lists": (FLAT[:, None].tolist(), NEXT),
        "frame": (frame, NEXT),
        "frame of 8 bits": (frame.astype(np.int8), NEXT),
        "Int64": (frame.astype("Int64"), NEXT),
        "Arrow in pandas": (frame.astype("int64[pyarrow]"), NEXT),
        "column called 0": (pandas.DataFrame(FLAT), NEXT),
        "with days": (frame.set_axis(DAYS), pandas.Series(NEXT, DAYS)),
        "with a column of days": (frame.assign(day=DAYS), NEXT),
        "series": (pandas.Series(FLAT), NEXT),
        "series of Int64": (pandas.Series(FLAT, dtype="Int64"), NEXT),
        "sparse": (pandas.DataFrame({"t": pandas.arrays.SparseArray(FLAT)}), NEXT),
        "polars": (polars.DataFrame({"t": FLAT}), NEXT),
        "polars with days": (names["id"], NEXT),
        "series of polars": (polars.Series("t", FLAT), NEXT),
        "pyarrow": (arrow.table({"t": FLAT}), NEXT),
        "record batch": (arrow.record_batch({"t": FLAT}), NEXT),
        "DataArray": (xarray.DataArray(FLAT, dims="time"), NEXT),
        "DataArray of a feature": (xarray.DataArray(FLAT[:, None], dims=("time", "feature")), NEXT),
    }


def several():
    """Sequences of tokens: name -> (X, y)."""
    frames = [pandas.DataFrame({"t": part}) for part in PARTS]
    following = [NEXT[:25], NEXT[25:]]
    panel = pandas.DataFrame({"t": FLAT}, LEVELS)
    turned = xarray.DataArray(ROWS.T[..., None], dims=("time", "site", "feature"))
    return {
        "batch": (ROWS[..., None], NEXT.reshape(6, 10)),
        "lists": (ROWS[..., None].tolist(), NEXT.reshape(6, 10)),
        "list of arrays": (PARTS, following),
        "list of columns": ([part[:, None] for part in PARTS], following),
        "list of frames": (frames, following),
        "list of Int64": ([frame.astype("Int64") for frame in frames], following),
        "list of polars": ([polars.DataFrame({"t": part}) for part in PARTS], following),
        "list of Arrow": ([arrow.table({"t": part}) for part in PARTS], following),
        "list of series": ([pandas.Series(part, name=f"{part[0]}") for part in PARTS], following),
        "a frame and an array": ([frames[0], PARTS[1]], following),
        "a frame of several series": (panel, pandas.Series(NEXT, LEVELS)),
        "Int64 of several series": (panel.astype("Int64"), pandas.Series(NEXT, LEVELS)),
        "a series of several series": (panel["t"], pandas.Series(NEXT, LEVELS)),
        "DataArray": (xarray.DataArray(ROWS, dims=("site", "time")), NEXT.reshape(6, 10)),
        "DataArray, time first": (
            turned,
            xarray.DataArray(NEXT.reshape(6, 10).T, dims=("time", "site")),
        ),
    }


def tables():
    """Rows of tokens that scikit-learn's users have: name -> X."""
    frame = pandas.DataFrame(ROWS).rename(columns=str)
    return {
        "array": ROWS,
        "lists": ROWS.tolist(),
        "objects": ROWS.astype(object),
        "list of arrays": list(ROWS),
        "frame": frame,
        "Int64": frame.astype("Int64"),
        "Arrow in pandas": frame.astype("int64[pyarrow]"),
        "Int64 in part": frame.astype({"1": "Int64"}),
        "polars": polars.DataFrame(frame),
        "pyarrow": arrow.table(frame),
        "batch": ROWS[..., None],
        "nested lists": ROWS[..., None].tolist(),
        "list of columns": [row[:, None] for row in ROWS],
        "DataArray": xarray.DataArray(ROWS, dims=("site", "time")),
        "DataArray, time first": xarray.DataArray(ROWS.T, dims=("time", "site")),
    }


@pytest.mark.parametrize("name", series())
def test_of_a_series(name):
    X, y = series()[name]
    onehot, numbers = ways_out(refusal(fit, X, y), X)
    np.testing.assert_array_equal(onehot, np.eye(9)[FLAT])
    assert fit(onehot, y).data.startswith("one series of 60 steps, 9 features")
    assert fit(numbers, y).data.startswith("one series of 60 steps, one feature")


@pytest.mark.parametrize("name", several())
def test_of_several(name):
    X, y = several()[name]
    onehot, numbers = ways_out(refusal(fit, X, y), X)
    every = np.concatenate(onehot) if isinstance(onehot, list) else np.reshape(onehot, (60, 9))
    np.testing.assert_array_equal(every, np.eye(9)[FLAT])
    count = 2 if isinstance(X, list) and len(X) == 2 else 6
    assert re.match(rf"{count} sequences of .*, 9 features", fit(onehot, y).data)
    assert re.match(rf"{count} sequences of .*, one feature", fit(numbers, y).data)


@pytest.mark.parametrize("name", tables())
def test_of_the_estimator(name):
    X = tables()[name]
    onehot, numbers = ways_out(refusal(classify, X), X)
    np.testing.assert_array_equal(onehot, np.eye(9)[ROWS])
    assert classify(onehot).model_.num_features == 9
    assert classify(numbers).model_.num_features == 1
    y = np.arange(6) % 3
    assert classify(numbers, validation=(numbers, y)).result_.data.endswith(
        "6 sequences of 10 steps"
    )
    like = tables()["frame"].astype(float) if hasattr(X, "columns") else numbers  # of its names
    refusal(classify, like, validation=(X, y))
    refusal(classify, like, validation={"X": X, "y": y})


def test_of_every_door():
    frame, model = pandas.DataFrame({"t": FLAT}, dtype="Int64"), numlstm.LSTM(1, 3, 9, rng=0)
    options = {"loss": "cross_entropy", "hidden_size": 2, "epochs": 1}
    for call in (
        lambda: numlstm.objective(model, frame, NEXT, loss="cross_entropy"),
        lambda: numlstm.ensemble([frame, frame], [NEXT, NEXT], members=2, **options),
        lambda: fit(FLAT.astype(float), NEXT, validation=(frame, NEXT)),
        lambda: fit(FLAT.astype(float), NEXT, validation={"X": frame, "y": NEXT}),
        lambda: fit(np.eye(9)[FLAT], NEXT, validation=(frame, NEXT)),
        lambda: fit(frame, NEXT % 2, loss="binary_cross_entropy"),
    ):
        refusal(call)


def test_where_some_are_missing():
    """They become a token of their own, or stay missing."""
    there = np.arange(60) % 7 > 0
    column = pandas.array(FLAT, dtype="Int64")
    column[~there] = pandas.NA
    frame = pandas.DataFrame({"t": column})
    expected = np.eye(10)[np.where(there, FLAT, 9)]
    for X in (frame, frame["t"], polars.DataFrame(frame), arrow.table(frame)):
        onehot, numbers = ways_out(refusal(fit, X, NEXT, missing="mask"), X)
        np.testing.assert_array_equal(onehot, expected)
        np.testing.assert_array_equal(np.isnan(np.ravel(numbers)), ~there)
        assert fit(numbers, NEXT, missing="mask").model.num_features == 1
    table = pandas.DataFrame(column.reshape(6, 10)).rename(columns=str).astype("Int64")
    onehot, numbers = ways_out(refusal(classify, table, missing="mask"), table)
    np.testing.assert_array_equal(onehot, expected.reshape(6, 10, 10))
    classify(numbers, missing="mask")


@pytest.mark.parametrize("factor", [1_250, 10**6, 10**15])
def test_large_ones_are_numbered_first(factor):
    """Up to 10 000 they stand for themselves."""
    for X, y in (*series().values(), *several().values()):
        if isinstance(X, np.ndarray) and X.dtype == np.int64:
            X = X * factor
        elif isinstance(X, list) and all(isinstance(part, np.ndarray) for part in X):
            X = [part * factor for part in X]
        elif isinstance(X, pandas.DataFrame) and X.dtypes.iloc[0] == np.int64:
            X = X.assign(t=X["t"] * factor) if "t" in X else X * factor
        else:
            continue
        message = refusal(fit, X, y)
        onehot, _ = ways_out(message, X)
        assert ("number them first" in message) == (8 * factor >= 10_000)
        every = np.concatenate(onehot) if isinstance(onehot, list) else onehot
        np.testing.assert_array_equal(np.reshape(every, (60, 9)), np.eye(9)[FLAT])
    for name, X in tables().items():
        if name in ("array", "frame", "polars", "batch"):
            X = X * factor
            onehot, _ = ways_out(refusal(classify, X), X)
            np.testing.assert_array_equal(onehot, np.eye(9)[ROWS])


@pytest.mark.parametrize(
    "X",
    [
        pandas.DataFrame({"t": FLAT, "u": FLAT}),
        pandas.DataFrame({"t": FLAT, "u": FLAT / 2}),
        pandas.DataFrame({"t": FLAT > 3}),
        pandas.DataFrame({"t": FLAT % 2}, dtype="Int64"),
        pandas.DataFrame({"t": FLAT - 4}),
        pandas.DataFrame({"t": FLAT.astype(float)}),
        polars.DataFrame({"t": FLAT - 4}),
        [pandas.DataFrame({"t": FLAT}), pandas.DataFrame({"t": FLAT / 2})],
    ],
)
def test_numbers_in_frames_are_none(X):
    fit(X, [NEXT, NEXT] if isinstance(X, list) else NEXT)


def test_counts_in_frames_are_numbers_to_a_regression():
    frame = pandas.DataFrame({"t": FLAT}, dtype="Int64")
    expected = fit(FLAT.astype(float), NEXT / 1, loss="mse", rng=0).x
    assert np.array_equal(fit(frame, NEXT / 1, loss="mse", rng=0).x, expected)


def test_few_grades_in_a_table_are_numbers():
    """As in scikit-learn's own checks, in whatever type; those that judge too."""
    y, grades = np.arange(6) % 3, pandas.DataFrame(ROWS % 5).rename(columns=str)
    expected = classify(ROWS % 5.0).model_.theta
    for X in (ROWS % 5, (ROWS % 5).tolist(), grades, grades.astype("Int64")):
        assert np.array_equal(classify(X).model_.theta, expected)
        classify(X, validation=(X, y))


@pytest.mark.parametrize("form", [np.array, np.ndarray.tolist])
@pytest.mark.parametrize("factor", [1, 10**6])
def test_rows_of_tokens_beside_classes_are_said_with_code_that_works(form, factor):
    """To `fit` they are the steps of one series."""
    rows = np.random.default_rng(0).permutation(300).reshape(30, 10) % 9
    X = form(rows * factor)
    with pytest.warns(UserWarning, match=r"columns hold integers that are alike") as caught:
        fit(X, np.arange(30) % 3)
    message = str(caught[0].message).replace("if they are numbers,", "where they are numbers, pass")
    onehot, numbers = ways_out(message, X)
    np.testing.assert_array_equal(onehot, np.eye(9)[rows])
    np.testing.assert_array_equal(numbers, rows * factor)
    assert fit(onehot, np.arange(30) % 3).data.startswith("30 sequences of 10 steps, 9 features")

"""Frames and DataArrays give the numbers of plain arrays, or are refused; labels come back."""

import datetime
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

import numlstm
from numlstm import LSTMClassifier, LSTMRegressor
from numlstm.data import labels
from numlstm.data.labels import times

RNG = np.random.default_rng(0)
TIMES = pd.date_range("2020-01-01", periods=40)
A = RNG.standard_normal((40, 2))
Q = A @ [2.0, -1.0]
FRAME = pd.DataFrame(A, columns=["a", "b"], index=TIMES)
TARGET = pd.Series(Q, index=TIMES, name="q")
BASINS = ["c", "a", "b"]
X = RNG.standard_normal((3, 40, 2))
Y = X.sum(axis=-1, keepdims=True)
COORDS = {"basin": BASINS, "time": TIMES, "feature": ["a", "b"]}
GRID = xr.DataArray(X, dims=("basin", "time", "feature"), coords=COORDS)
GRID_TARGET = xr.DataArray(
    Y[..., 0], dims=("basin", "time"), coords={"basin": BASINS, "time": TIMES}, name="q"
)
INDEX = pd.MultiIndex.from_product([BASINS, TIMES], names=["basin", "time"])
PANEL = pd.DataFrame(X.reshape(-1, 2), columns=["a", "b"], index=INDEX)
PANEL_TARGET = pd.Series(Y.ravel(), index=INDEX, name="q")
FEW = {"hidden_size": 2, "epochs": 2, "rng": 0}
SERIES = FEW | {"bptt_steps": 20}


def fitted(*data, **options):
    return numlstm.fit(*data, **(SERIES | options))


@pytest.fixture(scope="module")
def plain():
    return fitted(A, Q)


@pytest.fixture(scope="module")
def plain_batch():
    return numlstm.fit(X, Y, **FEW)


@pytest.fixture(scope="module")
def plain_list():
    return numlstm.fit(list(X), list(Y), **FEW)


# --- numbers --------------------------------------------------------------------------------------


def polars_frame(frame):
    return pl.DataFrame({"time": frame.index.to_numpy(), **{k: frame[k] for k in frame}})


FORMS = {
    "pandas": lambda frame: frame,
    "pandas with a column of times": lambda frame: frame.rename_axis("time").reset_index(),
    "nullable": lambda frame: frame.convert_dtypes(),
    "pandas of arrow": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "polars": polars_frame,
    "pyarrow": lambda frame: polars_frame(frame).to_arrow(),
    "a record batch": lambda frame: polars_frame(frame).to_arrow().combine_chunks().to_batches()[0],
    "DataArray": lambda frame: xr.DataArray(
        frame.to_numpy(), dims=("time", "feature"), coords={"time": TIMES, "feature": list(frame)}
    ),
    "transposed DataArray": lambda frame: FORMS["DataArray"](frame).T,
}


@pytest.mark.parametrize("form", FORMS)
def test_one_series_in_every_container(plain, form):
    make = FORMS[form]
    result = fitted(make(FRAME), make(TARGET.to_frame()))
    np.testing.assert_array_equal(result.x, plain.x)
    model = result.model
    assert list(model.feature_names_in_) == ["a", "b"]
    swapped = make(FRAME[["b", "a"]])
    Y = model.predict(swapped)
    kind = pa.Table if form == "a record batch" else type(swapped)
    assert type(Y) is kind
    values = Y["q"] if hasattr(Y, "columns") or kind is pa.Table else Y.sel(target="q")
    np.testing.assert_array_equal(np.asarray(values).ravel(), plain.model.predict(A)[:, 0])


def test_series_of_every_library(plain):
    expected = fitted(Q).x
    for series in (TARGET, pl.Series(Q), pa.chunked_array([Q[:9], Q[9:]]), pa.array(Q)):
        np.testing.assert_array_equal(fitted(series).x, expected)
        np.testing.assert_array_equal(fitted(A, series).x, plain.x)


def test_columns_are_converted_one_by_one():
    columns = {
        "flag": Q > 0,
        "maybe": pd.array([None, *[True] * 39], dtype="boolean"),
        "count": pd.array([None, *range(39)], dtype="Int64"),
        "small": np.arange(40, dtype=np.int8),
        "sparse": pd.arrays.SparseArray(np.where(Q > 0, Q, 0.0)),
    }
    frame = pd.DataFrame(columns)
    array = np.column_stack([np.asarray(frame[c].astype(float)) for c in frame])
    expected = fitted(array, Q, missing="mask")
    result = fitted(frame, Q, missing="mask")
    np.testing.assert_array_equal(result.x, expected.x)
    assert np.isnan(labels.inputs("X", frame).values[0]).sum() == 2
    of_polars = pl.DataFrame({"a": [True, None, False], "b": [1, 2, None], "c": [None] * 3})
    values = labels.inputs("X", of_polars).values
    np.testing.assert_array_equal(
        values, [[1, 1, np.nan], [np.nan, 2, np.nan], [0, np.nan, np.nan]]
    )


def test_short_columns_stay_short():
    assert labels.inputs("X", FRAME.astype("float32")).values.dtype == np.float32
    assert labels.inputs("X", FRAME.astype({"a": "float32"})).values.dtype == np.float64
    assert labels.inputs("X", pl.DataFrame(A.astype("f4"))).values.dtype == np.float32


@pytest.mark.parametrize("order", [("basin", "time", "feature"), ("time", "basin", "feature"),
                                   ("feature", "time", "basin")])  # fmt: skip
def test_dimensions_are_ordered(plain_batch, order):
    x, y = GRID.transpose(*order), GRID_TARGET.T
    result = numlstm.fit(x, y, **FEW)
    np.testing.assert_array_equal(result.x, plain_batch.x)
    predicted = result.model.predict(x.isel(feature=[1, 0]))
    assert predicted.dims == (*(dim for dim in order if dim != "feature"), "target")
    for dim, coordinate in GRID_TARGET.coords.items():
        np.testing.assert_array_equal(predicted.coords[dim], coordinate)
    assert list(predicted.target) == ["q"]
    np.testing.assert_array_equal(
        predicted.transpose("basin", "time", "target"), plain_batch.model.predict(X)
    )


@pytest.mark.parametrize("names", [("site", "t", "channel"), ("hydro", "date", "variable"),
                                   ("gauge_id", "valid", "features")])  # fmt: skip
def test_dimensions_by_other_names(plain_batch, names):
    renamed = dict(zip(GRID.dims, names, strict=True))
    x = GRID.rename(renamed).transpose(*names[::-1])
    result = numlstm.fit(x, GRID_TARGET.rename({k: renamed[k] for k in ("basin", "time")}).T, **FEW)
    np.testing.assert_array_equal(result.x, plain_batch.x)


def test_a_dimension_of_dates_may_be_that_of_sequences():
    """The name says more than the coordinates: forecasts are issued at dates."""
    issued = GRID.assign_coords(basin=pd.date_range("2020", periods=3)).rename(basin="window")
    assert labels.inputs("X", issued.transpose("feature", ...)).dims["B"] == "window"


def test_a_batch_of_series_without_features():
    expected = numlstm.fit(Y, **FEW)
    result = numlstm.fit(GRID_TARGET.T, **FEW)
    np.testing.assert_array_equal(result.x, expected.x)


def test_nameless_dimensions_are_an_array(plain_batch):
    np.testing.assert_array_equal(numlstm.fit(xr.DataArray(X), xr.DataArray(Y), **FEW).x,
                                  plain_batch.x)  # fmt: skip


def test_several_levels_are_several_series(plain_list):
    """Not one series across the join, whatever the order of the rows and levels."""
    for target in (PANEL_TARGET, PANEL_TARGET.to_numpy(), PANEL_TARGET.to_frame()):
        result = numlstm.fit(PANEL, target, **FEW)
        np.testing.assert_array_equal(result.x, plain_list.x)
    predicted = result.model.predict(PANEL)
    assert predicted.index.equals(INDEX)
    expected = np.concatenate(plain_list.model.predict(list(X)))
    np.testing.assert_array_equal(predicted, expected)
    mixed = PANEL.swaplevel().iloc[np.argsort(np.tile(np.arange(40), 3), kind="stable")]
    other = numlstm.fit(mixed, PANEL_TARGET, **FEW)  # the same steps of the same series
    np.testing.assert_array_equal(other.x, plain_list.x)
    predicted = other.model.predict(mixed)
    assert predicted.index.equals(mixed.index)
    np.testing.assert_array_equal(predicted.swaplevel().loc[INDEX], expected)


@pytest.mark.parametrize("x", [X, GRID, GRID.transpose("time", ...)])
def test_targets_of_several_levels(plain_batch, x):
    np.testing.assert_array_equal(numlstm.fit(x, PANEL_TARGET, **FEW).x, plain_batch.x)
    if x is not X:
        shifted = PANEL_TARGET.set_axis(INDEX.set_levels(TIMES.shift(1), level="time"))
        with pytest.raises(ValueError, match=r"y\['c'\] has other labels than X"):
            numlstm.fit(x, shifted, **FEW)


def test_one_target_for_each_of_several_series():
    y = pd.Series([1.0, 2.0, 3.0], index=pd.Index(BASINS, name="basin"), name="q")
    expected = numlstm.fit(list(X), y.to_numpy(), **FEW)
    for x in (PANEL, GRID):
        result = numlstm.fit(x, y if x is PANEL else y.to_xarray(), **FEW)
        np.testing.assert_array_equal(result.x, expected.x)
    predicted = numlstm.fit(PANEL, y, **FEW).model.predict(PANEL)
    assert predicted.index.equals(y.index)
    np.testing.assert_array_equal(predicted, expected.model.predict(list(X)))
    assert result.model.predict(GRID).dims == ("basin", "target")
    with pytest.raises(ValueError, match="y has the labels of X in another order"):
        numlstm.fit(PANEL, y[::-1], **FEW)


def test_lists_of_frames(plain_list):
    frames = [pd.DataFrame(x, columns=["a", "b"], index=TIMES) for x in X]
    frames[1] = frames[1][["b", "a"]]
    targets = [pd.Series(y[:, 0], index=TIMES, name="q") for y in Y]
    result = numlstm.fit(frames, targets, **FEW)
    np.testing.assert_array_equal(result.x, plain_list.x)
    for predicted, expected in zip(
        result.model.predict(frames), plain_list.model.predict(list(X)), strict=True
    ):
        assert predicted.index.equals(TIMES)
        np.testing.assert_array_equal(predicted, expected)
    with pytest.raises(ValueError, match=r"y\[2\] has the labels of X\[2\] in another order"):
        numlstm.fit(frames, [*targets[:2], targets[2][::-1]], **FEW)
    with pytest.raises(ValueError, match=r"X\[1\] lacks 'a' and has 'z'"):
        numlstm.fit([FRAME, FRAME.rename(columns={"a": "z"})], **FEW)


def test_weights_resets_and_lengths_have_labels_too():
    weight, reset = RNG.uniform(1, 2, 40), np.arange(40) % 10 == 0
    expected = fitted(A, Q, sample_weight=weight, reset=reset)
    result = fitted(
        FRAME, TARGET, sample_weight=pd.Series(weight, TIMES), reset=pd.Series(reset, TIMES)
    )
    np.testing.assert_array_equal(result.x, expected.x)
    for name, value in (("sample_weight", weight), ("reset", reset)):
        with pytest.raises(ValueError, match=f"{name} has the labels of X in another order"):
            fitted(FRAME, TARGET, **{name: pd.Series(value, TIMES)[::-1]})
    lengths = xr.DataArray([40, 30, 20], dims="basin", coords={"basin": BASINS})
    expected = numlstm.fit(X, Y, lengths=[40, 30, 20], **FEW)
    result = numlstm.fit(GRID, GRID_TARGET, lengths=lengths, **FEW)
    np.testing.assert_array_equal(result.x, expected.x)
    with pytest.raises(ValueError, match="lengths has the labels of X in another order"):
        numlstm.fit(GRID, GRID_TARGET, lengths=lengths[::-1], **FEW)


def test_validation_is_read_alike(plain):
    expected = fitted(A, Q, validation=(A[:20], Q[:20]))
    result = fitted(FRAME, TARGET, validation=(FRAME[["b", "a"]][:20], TARGET[:20]))
    np.testing.assert_array_equal(result.x, expected.x)
    assert (
        result.history["validation_loss"].tolist() == expected.history["validation_loss"].tolist()
    )
    with pytest.raises(ValueError, match="validation: y has the labels of X in another order"):
        fitted(FRAME, TARGET, validation=(FRAME, TARGET[::-1]))
    two = FRAME[["b", "a"]]
    again = fitted(FRAME, two, validation=(FRAME, FRAME))  # targets by name as well
    assert again.history["validation_loss"][-1] == pytest.approx(
        fitted(A, A[:, ::-1], validation=(A, A[:, ::-1])).history["validation_loss"][-1], rel=0
    )


# --- labels that do not agree ---------------------------------------------------------------------


def shuffled(series):
    return series.sample(frac=1, random_state=0)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (FRAME, TARGET[::-1], r"another order: in row 0 .*2020-02-09; pass y.loc\[X.index\]"),
        (FRAME, shuffled(TARGET), "in another order"),
        (FRAME.reset_index(drop=True), TARGET.reset_index(drop=True)[::-1], "in another order"),
        (FRAME, TARGET.shift(1, freq="D"), "other labels .*row 0 X has 2020-01-01, y 2020-01-02"),
        (FRAME, TARGET[5:], "X has 40 labels .* y has 35 labels"),
        (FRAME, TARGET.reset_index(drop=True), "other labels than X"),
        (FRAME, TARGET.tz_localize("UTC"), "one has the time zone UTC, the other has none"),
        (polars_frame(FRAME), polars_frame(TARGET.to_frame()[::-1]), "in another order"),
        (FRAME, TARGET.rename_axis("time").to_xarray()[::-1], "in another order"),
        (GRID, GRID_TARGET.isel(basin=[1, 0, 2]), r"another order.* pass y.sel\(basin=X.basin\)"),
        (GRID, GRID_TARGET.isel(time=slice(None, None, -1)), r"pass y.sel\(time=X.time\)"),
        (PANEL, PANEL_TARGET.loc[["a", "b", "c"]], "y has the labels of X in another order"),
        (PANEL, PANEL_TARGET[::-1], "in another order"),
    ],
)  # fmt: skip
def test_labels_must_agree(x, y, words):
    with pytest.raises(ValueError, match=words):
        numlstm.fit(x, y, **FEW)


def test_equal_times_in_other_zones_and_units_agree(plain):
    x = FRAME.tz_localize("UTC")
    assert (fitted(x, TARGET.tz_localize("UTC").tz_convert("Asia/Tokyo")).x == plain.x).all()
    assert (fitted(FRAME, TARGET.set_axis(TIMES.as_unit("s"))).x == plain.x).all()
    assert (fitted(FRAME, Q).x == fitted(A, TARGET[::-1].to_numpy()[::-1]).x).all()


@pytest.mark.parametrize("door", ["predict", "rollout", "objective", "covariance", "ensemble"])
def test_features_by_name_at_every_door(door):
    result = fitted(FRAME, dtype="float64", weight_decay=0.1)
    model = result.model

    def asked(x):
        if door == "predict":
            return model.predict(x).to_numpy()
        if door == "rollout":
            return model.rollout(x, 3).to_numpy()
        if door == "objective":
            return numlstm.objective(model, x).value(model.theta)
        if door == "covariance":
            band = result.covariance(x, weight_decay=0.1).predict(x)
            assert band.lower.index.equals(band.std.index)
            return band.upper.to_numpy()
        return many.predict(x)[1].to_numpy()

    if door == "ensemble":
        many = numlstm.ensemble(FRAME, members=2, bootstrap=False, **SERIES)
    swapped = FRAME[["b", "a"]]
    np.testing.assert_array_equal(asked(FRAME), asked(swapped))
    with pytest.raises(ValueError, match=r"X.* lacks 'b'"):
        asked(FRAME[["a"]])
    with pytest.raises(ValueError, match=r"X.* has 'c', which is not known: expected are 'a', 'b'"):
        asked(FRAME.assign(c=1.0))


def test_names_are_kept(plain, tmp_path):
    model = fitted(FRAME, TARGET).model
    model.save(tmp_path / "model")
    read, pickled = numlstm.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))
    warm = fitted(FRAME[["b", "a"]], TARGET, model=model, epochs=1).model
    for other in (read, pickled, warm):
        assert list(other.feature_names_in_) == ["a", "b"]
        assert list(other.predict(FRAME[["b", "a"]])) == ["q"]
    np.testing.assert_array_equal(warm.theta, fitted(A, Q, model=plain.model, epochs=1).x)
    assert plain.model.feature_names_in_ is None
    np.testing.assert_array_equal(model.predict(A), plain.model.predict(A))  # by position
    assert list(plain.model.predict(FRAME)) == ["y0"]
    both = fitted(FRAME, TARGET, loss="gaussian_nll").model.predict(FRAME)
    assert list(both) == ["q", "q_log_variance"]


def test_columns_with_numbers_for_names():
    model = fitted(pd.DataFrame(A), Q).model
    np.testing.assert_array_equal(model.predict(pd.DataFrame(A)[[1, 0]]), model.predict(A))


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (FRAME.assign(name="x"), "column 'name' has the type String"),
        (FRAME.assign(kind=pd.Categorical(["x"] * 40)), "column 'kind' has the type Categorical"),
        (FRAME.assign(o=pd.Series([None, *[True] * 39], TIMES, dtype=object)), "column 'o'"),
        (FRAME.assign(z=Q + 1j), "column 'z'"),
        (FRAME.assign(d=TIMES - TIMES[0]), "column 'd' has the type Duration"),
        (polars_frame(FRAME).with_columns(s=pl.lit("x")), "column 's' has the type String"),
        (polars_frame(FRAME).lazy(), r"lazy frame.* X.collect\(\)"),
        (FRAME.to_xarray(), r"Dataset.*to_dataarray\(\"feature\"\)"),
        (pd.concat({"u": FRAME}, axis=1), "columns in 2 levels"),
    ],
)
def test_what_has_no_numbers_is_named(x, words):
    with pytest.raises(TypeError, match=words):
        fitted(x, Q)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (FRAME[["a", "a"]], "several columns of the same name"),
        (FRAME.T, "columns of X are times.*pass X.T"),
        (FRAME.assign(d=TIMES), "more than one time of its rows, the column 'd' and the index"),
        (GRID.rename(basin="a", time="b").drop_vars("b"),
         r'\(a, b, feature\), which do not say .*X.transpose\("a", "b", "feature"\).to_numpy\(\)'),
        (GRID.rename(basin="date"), "which do not say what is"),
        (GRID.isel(time=0), "which do not say what is"),
        (FRAME.set_axis(pd.MultiIndex.from_product([[2020, 2021], range(20)],
                                                   names=["year", "day"])), "several times"),
        ([PANEL, PANEL], r"X\[0\] holds several series"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_refused(x, words):
    with pytest.raises(ValueError, match=words):
        numlstm.fit(x, **FEW)


def test_the_network_takes_arrays():
    model = fitted(FRAME, TARGET).model
    state = model.step(np.zeros(2))[1]
    for call in (
        lambda: model.forward(GRID),
        lambda: model.vjp([FRAME, FRAME]),
        lambda: model.jacobian(GRID),
        lambda: model.step(FRAME.iloc[0], state),
        lambda: model.scaling.inputs(FRAME[["b", "a"]]),
    ):
        with pytest.raises(TypeError, match="has labels, received"):
            call()


# --- time -----------------------------------------------------------------------------------------

BEFORE = [0, 2, 1, *range(3, 40)]
TWICE = [0, 1, 1, *range(3, 40)]


@pytest.mark.parametrize("rows", [BEFORE, TWICE, range(39, -1, -1)])
@pytest.mark.parametrize(
    "index",
    [TIMES, TIMES.tz_localize("Europe/Berlin"), TIMES.to_period("D"), TIMES - TIMES[0],
     pd.RangeIndex(40), pd.Index(np.arange(40) / 8), pd.Index(TIMES.strftime("%Y-%m-%d")),
     pd.Index(list(TIMES.date), dtype=object)],
    ids=["dates", "zone", "periods", "durations", "integers", "floats", "texts", "objects"],
)  # fmt: skip
def test_time_goes_forward(plain, index, rows):
    with pytest.raises(ValueError, match=r"does not go forward: .* Sort it, X.sort_index\(\)"):
        plain.model.predict(FRAME.set_axis(index[list(rows)]))


def test_time_goes_forward_in_columns_and_dimensions(plain):
    swapped = FRAME.iloc[BEFORE]
    with pytest.raises(ValueError, match="column 'time' of X does not go forward"):
        plain.model.predict(polars_frame(swapped))
    with pytest.raises(ValueError, match=r"dimension 'time' of X .*X.sortby\(\"time\"\)"):
        plain.model.predict(FORMS["DataArray"](FRAME).isel(time=BEFORE))
    with pytest.raises(ValueError, match=r"X\['a'\] does not go forward"):
        numlstm.fit(PANEL.iloc[[*range(40), 41, 40, *range(42, 120)]], **FEW)
    with pytest.raises(ValueError, match="missing label"):
        plain.model.predict(FRAME.set_axis(pd.DatetimeIndex([pd.NaT, *TIMES[1:]])))


def test_a_series_may_begin_anew_at_a_reset(plain):
    two, reset = pd.concat([FRAME, FRAME]), np.arange(80) == 40
    with pytest.raises(ValueError, match="2020-01-01 follows 2020-02-09"):
        plain.model.predict(two)
    expected = plain.model.predict(np.concatenate([A, A]), reset=reset)
    np.testing.assert_array_equal(plain.model.predict(two, reset=reset), expected)


@pytest.mark.parametrize(
    ("index", "where"),
    [
        (pd.date_range("2020", periods=41).delete(7), "2020-01-07 to 2020-01-09"),
        (pd.date_range("2000", periods=41, freq="MS").delete(7), "2000-07-01 to 2000-09-01"),
        (pd.date_range("2000", periods=41, freq="YE").delete(7), "2006-12-31 to 2008-12-31"),
        (pd.bdate_range("2020", periods=41).delete(7), "2020-01-09 to 2020-01-13"),
        (pd.period_range("2000", periods=41, freq="M").delete(7), "2000-07 to 2000-09"),
        (pd.date_range("2020", periods=41, freq="h", tz="Europe/Berlin").delete(7),
         "2020-01-01 06:00:00 to 2020-01-01 08:00:00"),
        (pd.RangeIndex(41).delete(7), "6 to 8"),
        (pd.Index(np.delete(np.arange(41) / 10, 7)), "0.6 to 0.8"),
    ],
)  # fmt: skip
def test_gaps_are_reported(plain, index, where):
    expected = plain.model.predict(A)
    message = rf"X has 1 unequal step\(s\), the first from {where}"
    with pytest.warns(UserWarning, match=message) as caught:
        np.testing.assert_array_equal(plain.model.predict(FRAME.set_axis(index)), expected)
    assert caught[0].filename == __file__


def test_gaps_of_several_series_are_one_warning():
    with pytest.warns(UserWarning, match=r"X\['c'\] has 2 .* 1 more series have gaps") as caught:
        numlstm.fit(PANEL.drop(index=[("c", TIMES[5]), ("c", TIMES[9]), ("b", TIMES[7])]), **FEW)
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="X has 1 unequal"):
        numlstm.fit(GRID.isel(time=[*range(9), *range(10, 40)]), **FEW)


REGULAR = [
    TIMES,
    pd.date_range("2020-03-20", periods=40, tz="Europe/Berlin"),  # over the change of the clocks
    pd.date_range("2020-03-28", periods=40, freq="h", tz="Europe/Berlin"),
    pd.bdate_range("2020", periods=40),
    pd.date_range("2000-01-31", periods=40, freq="ME"),
    pd.date_range("2000", periods=40, freq="QS"),
    pd.date_range("1950", periods=40, freq="YS"),
    pd.period_range("2000", periods=40, freq="M"),
    pd.timedelta_range("0s", periods=40, freq="90s"),
    pd.RangeIndex(5, 45),
    pd.Index(np.arange(40) * 10),
    pd.Index([datetime.date(2020, 1, 1) + datetime.timedelta(days=d) for d in range(40)]),
]


@pytest.mark.parametrize("index", REGULAR, ids=lambda index: f"{index[0]}-{index[1]}")
def test_a_rollout_goes_on_with_the_index(index):
    model = fitted(A).model
    expected = model.rollout(A[:36], 4)
    for known in (index[:36], pd.Index(list(index[:36]))):  # with a freq, and without
        rolled = model.rollout(FRAME.iloc[:36].set_axis(known), 4)
        assert list(rolled.index) == list(index[36:])
        np.testing.assert_array_equal(rolled, expected)


def test_a_rollout_goes_on_in_every_container():
    model = fitted(FRAME).model
    expected, after = model.rollout(A[:36], 4), TIMES[36:]
    frame = model.rollout(polars_frame(FRAME[:36]), 4)
    assert frame.columns == ["time", "a", "b"]
    np.testing.assert_array_equal(frame["time"], after)
    np.testing.assert_array_equal(frame.select("a", "b"), expected)
    zoned = polars_frame(FRAME[:36]).with_columns(pl.col("time").dt.replace_time_zone("Asia/Tokyo"))
    assert model.rollout(zoned, 4)["time"].dtype == zoned["time"].dtype
    table = model.rollout(polars_frame(FRAME[:36]).to_arrow(), 4)
    np.testing.assert_array_equal(table["time"].to_numpy(), after)
    array = model.rollout(FORMS["DataArray"](FRAME)[:36].T, 4)
    assert array.dims == ("time", "target")
    np.testing.assert_array_equal(array.time, after)
    np.testing.assert_array_equal(array, expected)
    with pytest.warns(UserWarning, match="unequal"):
        irregular = model.rollout(FRAME[:36].drop(index=TIMES[4]), 4)
    assert irregular.index.equals(pd.RangeIndex(4))


def test_a_rollout_of_several_series():
    result = numlstm.fit(PANEL, **FEW)
    expected = result.model.rollout(X, 2)
    rolled = result.model.rollout(PANEL, 2)
    after = pd.date_range(TIMES[-1], periods=3)[1:]
    assert rolled.index.equals(pd.MultiIndex.from_product([BASINS, after], names=INDEX.names))
    np.testing.assert_array_equal(rolled.to_numpy().reshape(3, 2, 2), expected)
    grid, pullback = result.model.rollout_vjp(GRID.transpose("time", "feature", "basin"), 2)
    assert grid.dims == ("time", "basin", "target")
    np.testing.assert_array_equal(grid.transpose("basin", "time", "target"), expected)
    gradients = result.model.rollout_vjp(X, 2)[1](expected)
    np.testing.assert_array_equal(pullback(grid).X_warm, gradients.X_warm)


def test_exogenous_by_name_and_time():
    frame = pd.DataFrame(
        RNG.standard_normal((44, 3)), pd.date_range("2020", periods=44), ["q", "p", "e"]
    )
    past, future = frame[:40], frame[40:][["e", "p"]]
    y = frame["q"].shift(-1)[:40]
    model = fitted(past, y).model
    expected = model.rollout(past.to_numpy(), 4, frame[40:][["p", "e"]].to_numpy())
    np.testing.assert_array_equal(model.rollout(past[["p", "q", "e"]], 4, future), expected)
    rolled, pullback = model.rollout_vjp(past, 4, future)
    assert rolled.index.equals(future.index)
    assert pullback(rolled).exogenous.shape == (4, 2)
    with pytest.raises(ValueError, match="exogenous has other labels than X_warm"):
        model.rollout(past, 4, future.shift(1, freq="D"))
    with pytest.raises(ValueError, match="exogenous has the labels of X_warm in another order"):
        model.rollout(past, 4, future[::-1])
    with pytest.raises(ValueError, match="exogenous lacks 'e' and has 'z'"):
        model.rollout(past, 4, future.rename(columns={"e": "z"}))


def test_no_rows_and_one_row(plain):
    with pytest.raises(ValueError, match="no data"):
        fitted(FRAME[:0], TARGET[:0])
    np.testing.assert_array_equal(plain.model.predict(FRAME[:1]), plain.model.predict(A[:1]))


def test_rounding_is_no_gap():
    assert times.steps(np.arange(1000) * 0.1).unequal.size == 0


# --- estimators -----------------------------------------------------------------------------------

SAMPLES = pd.DataFrame(RNG.standard_normal((30, 6)), columns=list("abcdef"))
OPTIONS = {"hidden_size": 2, "epochs": 2, "random_state": 0}


def test_estimators_pair_samples_by_label():
    y, weight = SAMPLES.sum(axis=1), SAMPLES["a"].abs()
    expected = LSTMRegressor(**OPTIONS).fit(SAMPLES.to_numpy(), y.to_numpy(), weight.to_numpy())
    regressor = LSTMRegressor(**OPTIONS).fit(SAMPLES, y, weight)
    np.testing.assert_array_equal(regressor.predict(SAMPLES), expected.predict(SAMPLES.to_numpy()))
    for call in (
        lambda: LSTMRegressor(**OPTIONS).fit(SAMPLES, y[::-1]),
        lambda: LSTMRegressor(**OPTIONS).fit(SAMPLES, y, weight[::-1]),
        lambda: regressor.score(SAMPLES, y[::-1]),
        lambda: LSTMClassifier(**OPTIONS).fit(SAMPLES, pd.Series(list("ab") * 15)[::-1]),
    ):
        with pytest.raises(ValueError, match=r"has the labels of X in another order"):
            call()
    with pytest.raises(ValueError, match="index of several levels"):
        LSTMRegressor(**OPTIONS).fit(PANEL, PANEL_TARGET)


def test_estimators_of_arrays_and_lists_with_names():
    samples = np.random.default_rng(1).standard_normal((30, 6, 2))
    dims, coords = ("sample", "time", "feature"), {"feature": ["a", "b"], "sample": range(30)}
    grid = xr.DataArray(samples, dims=dims, coords=coords)
    y = xr.DataArray(samples.sum(axis=(1, 2)), dims="sample", coords={"sample": range(30)})
    expected = LSTMRegressor(**OPTIONS).fit(samples, y.values).predict(samples)
    regressor = LSTMRegressor(**OPTIONS).fit(grid.T, y)
    np.testing.assert_array_equal(regressor.predict(grid.isel(feature=[1, 0])), expected)
    assert list(regressor.feature_names_in_) == ["a", "b"]
    assert list(regressor.model_.feature_names_in_) == ["a", "b"]
    frames = [pd.DataFrame(sample, columns=["a", "b"]) for sample in samples]
    regressor.fit(frames, y.values)
    predicted = regressor.predict([frame[["b", "a"]] for frame in frames])
    np.testing.assert_array_equal(predicted, expected)
    assert type(predicted) is np.ndarray
    with pytest.raises(ValueError, match="lacks 'b'"):
        regressor.predict([frame[["a"]] for frame in frames])
    with pytest.raises(ValueError, match="in another order"):
        regressor.fit(grid, y[::-1])
    regressor.fit(samples, y.values)
    assert not hasattr(regressor, "feature_names_in_")


def test_samples_without_a_time():
    X, y = SAMPLES.to_numpy(), SAMPLES.sum(axis=1).to_numpy()
    expected = LSTMRegressor(**OPTIONS).fit(X, y).predict(X)
    grid = xr.DataArray(X, dims=("sample", "feature"))
    for targets in (y, list(y), y.tolist(), xr.DataArray(y, dims="sample")):
        predicted = LSTMRegressor(**OPTIONS).fit(grid, targets).predict(grid)
        np.testing.assert_array_equal(predicted, expected)


# --- plain arrays ---------------------------------------------------------------------------------


def test_arrays_load_no_library_of_frames():
    code = (
        "import sys, numpy as np, numlstm; x = np.sin(np.arange(30.)); "
        "numlstm.LSTM(1, 2, 1, backend='reference').predict([x, list(x)]); "
        "print({'narwhals', 'pandas', 'polars', 'pyarrow', 'xarray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_arrays_pass_as_they_are():
    for value in (A, list(X), [[1.0], [2.0]], (1.0, 2.0)):
        assert labels.inputs("X", value).values is value

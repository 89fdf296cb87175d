"""What an error says to write is run as it stands, and gives what was meant."""

import decimal
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dateutil.tz import tzoffset

import numlstm
from numlstm import LSTMClassifier, LSTMRegressor

RNG = np.random.default_rng(0)
FEW = {"hidden_size": 2, "epochs": 2, "rng": 0}
DAYS = pd.date_range("2001-01-01", periods=30, name="date")
PARTS = {"upper": RNG.standard_normal((30, 2)), "lower": RNG.standard_normal((30, 2))}
FLAT = pd.concat(
    pd.DataFrame({"basin": basin, "date": DAYS, "rain": part[:, 0], "temp": part[:, 1]})
    for basin, part in PARTS.items()
).reset_index(drop=True)
FLAT["q"] = np.cumsum(FLAT["rain"])
NAMES = ["basin", "date", "rain", "temp"]
LIBRARIES = {"pandas": lambda frame: frame, "polars": pl.from_pandas, "pyarrow": pa.table}


def refused(call, *arguments, **options):
    """The message of an error."""
    with pytest.raises((TypeError, ValueError)) as caught:
        call(*arguments, **options)
    return str(caught.value)


def follow(message, pattern, **names):
    """Run the code in a message that a pattern finds; the names afterwards."""
    found = re.search(pattern, message)
    assert found, message
    known = {"pandas": pd, "polars": pl, "numpy": np, **names}
    code = found.group(1)
    exec(code if re.match(r"[\w\[\]\".]+ = ", code) else f"X = {code}", known)
    return known


@pytest.fixture(scope="module")
def series():
    """The fit to the two series as arrays."""
    y = [FLAT["q"].to_numpy()[:30, None], FLAT["q"].to_numpy()[30:, None]]
    return numlstm.fit(list(PARTS.values()), y, **FEW)


# --- several series in a flat frame ---------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("keys", ["text", "number", "category"])
@pytest.mark.parametrize("order", ["basin", "date"])
def test_a_column_that_tells_series_apart_is_said(series, library, keys, order):
    flat = FLAT if order == "basin" else FLAT.sort_values("date", kind="stable")
    if keys == "number":
        flat = flat.assign(basin=flat["basin"].map({"upper": 7, "lower": 3}))
    if keys == "category":
        flat = flat.assign(basin=flat["basin"].astype("category"))
    make = LIBRARIES[library]
    X, y = make(flat[NAMES]), flat["q"]
    message = refused(numlstm.fit, X, y if library == "pandas" else y.to_numpy(), **FEW)
    assert "Where its column 'basin' tells series apart" in message
    found = follow(message, r"pass (.*?\)), and", X=X)["X"]
    if library == "pandas":
        y = follow(message, r"(y = .*?\.index\))", X=found, y=y)["y"]
    elif library == "polars":
        parts = pl.DataFrame({"basin": flat["basin"].to_numpy(), "q": y.to_numpy()})
        y = parts.partition_by("basin", include_key=False)
    else:
        y = y.to_numpy()
    np.testing.assert_array_equal(numlstm.fit(found, y, **FEW).x, series.x)


def test_an_index_of_equal_times_has_a_column_beside_it(series):
    X = FLAT.set_index("date")
    X, y = X[["basin", "rain", "temp"]], X["q"]
    found = follow(refused(numlstm.fit, X, y, **FEW), r"pass (.*?\)), and", X=X)["X"]
    y = y.set_axis(found.index)
    np.testing.assert_array_equal(numlstm.fit(found, y, **FEW).x, series.x)


def test_a_column_of_texts_without_any_time(series):
    X = FLAT[["basin", "rain", "temp"]]
    message = refused(numlstm.fit, X, FLAT["q"], **FEW)
    known = follow(message, r"pass (X = .*?\)), and", X=X)
    y = follow(message, r"(y = .*?\.index\))", X=known["X"], y=FLAT["q"])["y"]
    np.testing.assert_array_equal(numlstm.fit(known["X"], y, **FEW).x, series.x)
    hot = follow(message, r"one-hot, (.*?\)), or", X=X)["X"]
    assert numlstm.fit(hot, FLAT["q"], **FEW).model.feature_names_in_.tolist() == [
        "rain", "temp", "basin_lower", "basin_upper",
    ]  # fmt: skip


def test_an_hour_tells_no_series_apart():
    days = DAYS.repeat(2)
    X = pd.DataFrame({"date": days, "hour": np.arange(60) % 2, "rain": RNG.standard_normal(60)})
    assert "several series go into a list" in refused(numlstm.fit, X, **FEW)


@pytest.mark.parametrize("library", LIBRARIES)
def test_times_in_another_order_are_sorted_or_left_out(library):
    frame = FLAT[:30][["date", "rain"]]
    expected = numlstm.fit(frame[["rain"]].to_numpy(), **FEW)
    X = LIBRARIES[library](frame[::-1].reset_index(drop=True))
    message = refused(numlstm.fit, X, **FEW)
    found = follow(message, r"Sort it, (.*?\)), and", X=X)["X"]
    np.testing.assert_array_equal(numlstm.fit(found, **FEW).x, expected.x)
    array = follow(message, r"; (\S.*\)) is read", X=X)["X"]
    np.testing.assert_array_equal(array, frame[["rain"]].to_numpy()[::-1])


def test_levels_in_another_order_are_sorted_or_left_out(series):
    both = FLAT.set_index(["basin", "date"]).sort_index(ascending=[True, False])
    X = both[["rain", "temp"]]
    message = refused(numlstm.fit, X, **FEW)
    found = follow(message, r"Sort it, (.*?\)), and", X=X)["X"]
    expected = numlstm.fit([PARTS["lower"], PARTS["upper"]], **FEW)
    np.testing.assert_array_equal(numlstm.fit(found, **FEW).x, expected.x)
    arrays = follow(message, r"; (\[.*\]) is read", X=X)["X"]
    np.testing.assert_array_equal(arrays, [PARTS["lower"][::-1], PARTS["upper"][::-1]])


# --- estimators -----------------------------------------------------------------------------------

STEPS = {"output": "sequence", "hidden_size": 2, "epochs": 2, "random_state": 0}


@pytest.mark.parametrize("levels", [["basin"], ["run", "basin"]])
def test_several_series_of_estimators_are_a_list(levels):
    both = FLAT.assign(run=1).set_index([*levels, "date"])
    X, y = both[["rain", "temp"]], both["q"]
    message = refused(LSTMRegressor(**STEPS).fit, X, y)
    parts = follow(message, r"series (\[.*?\)\]); y", X=X)["X"]
    targets = follow(message, r"alike, (\[.*?\)\]), with", y=y)["X"]
    expected = [FLAT["q"].to_numpy()[:30], FLAT["q"].to_numpy()[30:]]
    expected = LSTMRegressor(**STEPS).fit(list(PARTS.values()), expected).result_
    np.testing.assert_array_equal(LSTMRegressor(**STEPS).fit(parts, targets).result_.x, expected.x)


def test_steps_are_no_targets_of_a_series():
    """Of two series of 30 steps they were 30 targets each."""
    both = FLAT.set_index(["basin", "date"])
    parts = [part.droplevel(0) for _, part in both.groupby(level=0, sort=False)]
    X, y = [part[["rain", "temp"]] for part in parts], [part["q"] for part in parts]
    last = LSTMRegressor(**STEPS | {"output": "last"})
    expected = last.fit(list(PARTS.values()), [part.iloc[-1] for part in y]).result_.x
    for targets in (y, both["q"]):
        message = refused(last.fit, X, targets)
        assert 'pass output="sequence"' in message
        one = follow(message, r", or (.*)$", y=targets)["X"]
        np.testing.assert_array_equal(last.fit(X, one).result_.x, expected)
    LSTMRegressor(**STEPS).fit(X, y)


@pytest.mark.parametrize("form", ["frame", "array", "column"])
@pytest.mark.parametrize("estimator", [LSTMRegressor, LSTMClassifier])
def test_rows_that_were_meant_as_steps_are_a_list_of_one(estimator, form):
    frame = FLAT[:30].set_index("date")
    X, y = frame[["rain", "temp"]], frame["q"] > 0
    expected = estimator(**STEPS).fit([X.to_numpy()], [y.to_numpy()]).result_
    if form == "array":
        X, y = X.to_numpy(), y.to_numpy()
    message = refused(estimator(**STEPS).fit, X, y.to_frame() if form == "column" else y)
    assert "the 30 rows of a two-dimensional X are that many samples, each of 2 steps" in message
    assert "pass [X] and [y]" in message
    np.testing.assert_array_equal(estimator(**STEPS).fit([X], [y]).result_.x, expected.x)


@pytest.mark.parametrize("library", LIBRARIES)
def test_texts_beside_samples_are_one_hot(library):
    X = LIBRARIES[library](FLAT[["basin", "rain"]])
    few = LSTMRegressor(**STEPS | {"output": "last"})
    message = refused(few.fit, X, FLAT["q"].to_numpy())
    assert "tells series apart" not in message
    hot = follow(message, r"one-hot, (.*?\)), or", X=X)["X"]
    assert few.fit(hot, FLAT["q"].to_numpy()).n_features_in_ == 3


# --- rollouts -------------------------------------------------------------------------------------

BOTH = RNG.standard_normal((40, 2))


@pytest.fixture(scope="module")
def forecasts():
    """A model of q with the feature u beside it."""
    y = np.append(BOTH[1:, 0], np.nan)
    frame, y = pd.DataFrame(BOTH, columns=["q", "u"]), pd.Series(y, name="q")
    return numlstm.fit(frame[:-1], y[:-1], bptt_steps=10, **FEW).model


def floats(at):
    return pd.DataFrame(BOTH, 1000 + 0.1 * np.arange(40) if at else 0.1 * np.arange(40), ["q", "u"])


@pytest.mark.parametrize("form", ["frame", "levels", "array", "durations"])
@pytest.mark.parametrize("at", [0, 1])
def test_times_that_were_computed_go_on_but_for_rounding(forecasts, form, at):
    frame = floats(at)
    for warm in range(5, 35, 3):
        X, u = frame.iloc[:warm], frame[["u"]].iloc[warm : warm + 5]
        if form == "durations":
            X, u = (part.set_axis(pd.to_timedelta(part.index / 3, unit="s")) for part in (X, u))
        expected = forecasts.rollout(X.to_numpy(), 5, u.to_numpy())
        if form == "levels":
            X, u = (pd.concat({"a": part, "b": part}) for part in (X, u))
            expected = np.concatenate([expected, expected])
        if form == "array":
            X, u = (part.rename_axis(index="time", columns="feature") for part in (X, u))
            X, u = (part.stack().to_xarray() for part in (X, u))
        np.testing.assert_array_equal(np.asarray(forecasts.rollout(X, 5, exogenous=u)), expected)


@pytest.mark.parametrize("shift", [1e-3, -0.1, 0.1])
def test_other_times_are_no_rounding(forecasts, shift):
    frame = floats(0)
    u = frame[["u"]].iloc[20:25]
    message = refused(forecasts.rollout, frame.iloc[:20], 5, exogenous=u.set_axis(u.index + shift))
    assert "the first of 5 forecasts is at 2, the last at 2.4, and exogenous begins at" in message


def test_the_times_of_the_forecasts_are_said(forecasts):
    frame = pd.DataFrame(BOTH, pd.date_range("2001-01-01", periods=40), ["q", "u"])
    X, u = frame[:30], frame[["u"]]
    start = "the first of 5 forecasts is at 2001-01-31, the last at 2001-02-04, and exogenous "
    for wrong, words in (
        (u[29:34], "begins at 2001-01-30"),
        (u[30:34], "has 4 labels from 2001-01-31 to 2001-02-03"),
        (u.iloc[[30, 31, 35, 36, 37]], "in row 2 the forecast is at 2001-02-02, exogenous 2001-02"),
        (u[:0], "has no rows"),
    ):
        message = refused(forecasts.rollout, X, 5, exogenous=wrong)
        assert start + words in message
        assert "both have" not in message
    found = re.findall(r"at (2001-\d\d-\d\d)", message)
    expected = forecasts.rollout(BOTH[:30], 5, BOTH[30:35, 1:])
    right = forecasts.rollout(X, 5, exogenous=u.loc[found[0] : found[1]])
    np.testing.assert_array_equal(right, expected)


def test_forgotten_and_needless_exogenous_features(forecasts):
    message = refused(forecasts.rollout, BOTH[:30], 5)
    assert "the last 1 of the features, continued from X_warm" in message
    assert "shape (5, 1)" in message
    forecasts.rollout(BOTH[:30], 5, np.zeros((5, 1)))
    assert "shape (2, 5, 1)" in refused(forecasts.rollout, np.stack([BOTH, BOTH]), 5)
    u = pd.DataFrame(BOTH[:5], columns=["u", "v"])
    alone = numlstm.fit(pd.Series(BOTH[:, 0], name="q"), bptt_steps=10, **FEW).model
    for needless in (u, u[["u"]], u["u"], u.to_numpy(), u["u"].to_numpy(), np.zeros((5, 1))):
        message = refused(alone.rollout, BOTH[:30, 0], 5, exogenous=needless)
        assert "no features but those that it forecasts" in message
        assert "leave exogenous= out" in message
    assert alone.rollout(BOTH[:30, 0], 5).shape == (5, 1)


# --- columns in several levels --------------------------------------------------------------------


@pytest.mark.parametrize("keys", [("upper", "lower"), (7, 3)])
@pytest.mark.parametrize("names", [("variable", "basin"), (None, "site"), ("feature", None)])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_level_of_the_columns_that_tells_series_apart_is_said(series, keys, names, order):
    wide = FLAT.assign(basin=FLAT["basin"].map(dict(zip(PARTS, keys, strict=True))))
    wide = wide.pivot(index="date", columns="basin", values=["rain", "temp", "q"])
    wide = wide.rename_axis(names, axis=1).reorder_levels(order, axis=1)
    level = order.index(1)
    chosen = wide.columns.get_level_values(1 - level).isin(["rain", "temp"])
    X, y = wide.loc[:, chosen], wide.loc[:, ~chosen]
    message = refused(numlstm.fit, X, y, **FEW)
    assert message.count(".stack(") == 1
    X = follow(message, r"(X = X.stack\(.*?\))", X=X)["X"]
    y = follow(refused(numlstm.fit, X, y, **FEW), r"(y = y.stack\(.*?\))", y=y)["y"]
    result = numlstm.fit(X.loc[:, ["rain", "temp"]], y, **FEW)
    assert result.model.feature_names_in_.tolist() == ["rain", "temp"]
    index = [(day, key) for day in DAYS for key in keys]
    predicted = result.model.predict(X).loc[index]
    flat = FLAT.sort_values(["date", "basin"], ascending=[True, False], kind="stable")
    np.testing.assert_array_equal(X.loc[index, "rain"], flat["rain"])
    if X.index.get_level_values(1)[0] == keys[0]:
        np.testing.assert_array_equal(result.x, series.x)
    assert predicted.columns.tolist() == ["q"]


def test_levels_of_columns_that_no_one_named_are_all_said():
    wide = pd.DataFrame(
        BOTH[:30], DAYS, pd.MultiIndex.from_tuples([("rain", 3), ("rain", 7)], names=None)
    )
    message = refused(numlstm.fit, wide, **FEW)
    future = "" if pd.__version__ >= "3" else ", future_stack=True"  # of which pandas 2 would warn
    for code in (f"X.stack(0{future}) if 'rain'", f"X.stack(1{future}) if 3, 7"):
        assert f"X = {code} are series" in message
    X = follow(message, r"(X = X.stack\(1.*?\))", X=wide)["X"]
    assert numlstm.fit(X, **FEW).model.feature_names_in_.tolist() == ["rain"]
    plain = wide.copy()
    plain.columns = eval(re.search(r"X.columns = (.*)$", message).group(1), {"X": wide})
    names = numlstm.fit(plain, **FEW).model.feature_names_in_
    assert names.tolist() == ["rain_3", "rain_7"]


# --- texts that are dates -------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%dT%H:%M", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y %H:%M", "%Y%m%d",
     "%Y-%j"],
)  # fmt: skip
def test_a_column_of_texts_that_are_dates_is_made_one(library, form):
    frame = FLAT[:30][["date", "rain"]]
    expected = numlstm.fit(frame[["rain"]].to_numpy(), **FEW)
    X = LIBRARIES[library](frame.assign(date=DAYS.strftime(form)))
    message = refused(numlstm.fit, X, **FEW)
    assert "one-hot" not in message
    made = follow(message, r"write them so, (.*)$", X=X)["X"]
    assert np.array_equal(np.asarray(made["date"]).astype("datetime64[D]"), DAYS)
    np.testing.assert_array_equal(numlstm.fit(made, **FEW).x, expected.x)


def test_dates_that_no_one_knows_need_a_format():
    texts = [f"{day:02d}/02/2001" for day in range(1, 11)]
    X = FLAT[:10][["rain"]].assign(date=texts)
    message = refused(numlstm.fit, X, **FEW)
    assert message.endswith("by pandas.to_datetime with the format that they have")


@pytest.mark.parametrize("time", ["text", "date"])
def test_texts_that_are_dates_are_the_time_of_series(series, time):
    flat = FLAT[NAMES]
    if time == "text":
        flat = flat.assign(date=flat["date"].dt.strftime("%Y-%m-%d"))
    message = refused(numlstm.fit, flat, FLAT["q"], **FEW)
    known = follow(message, r"pass (X = .*?\)), and", X=flat)
    assert known["X"].index.names == ["basin", "date"]
    y = FLAT["q"].set_axis(known["X"].index)
    np.testing.assert_array_equal(numlstm.fit(known["X"], y, **FEW).x, series.x)


def test_a_text_for_every_row_tells_no_series_apart():
    X = FLAT[:5][["rain"]].assign(name=list("abcde"))
    assert "tells series apart" not in refused(numlstm.fit, X, **FEW)


def test_a_zone_that_is_not_known_is_written_in_utc():
    zone = tzoffset(None, 7200)  # of dateutil, whose zones no other library knows
    X = FLAT[:30][["date", "rain"]].assign(date=DAYS.tz_localize(zone))
    expected = numlstm.fit(X[["rain"]].to_numpy(), **FEW).x
    X = follow(refused(numlstm.fit, X, **FEW), r"in UTC, (.*)$", X=X)["X"]
    np.testing.assert_array_equal(numlstm.fit(X, **FEW).x, expected)


@pytest.mark.parametrize("library", LIBRARIES)
def test_durations_and_objects_are_made_numbers(library):
    X = FLAT[:30][["rain"]].assign(since=DAYS - DAYS[0])
    expected = numlstm.fit(np.stack([X["rain"], np.arange(30) * 86400.0], axis=1), **FEW).x
    message = refused(numlstm.fit, LIBRARIES[library](X), **FEW)
    since = follow(message, r"a number, (.*?), or", X=LIBRARIES[library](X))["X"]
    np.testing.assert_array_equal(np.asarray(since), np.arange(30) * 86400.0)
    if library == "pandas":
        np.testing.assert_array_equal(numlstm.fit(X.assign(since=since), **FEW).x, expected)
        X["rain"] = X["rain"].astype(object)
        rain = follow(refused(numlstm.fit, X, **FEW), r"as numbers, (.*)$", X=X)["X"]
        assert rain.dtype == float


def test_durations_are_said_in_words():
    X = pd.DataFrame({"x": BOTH[:3, 0]}, index=pd.to_timedelta([0, 60, 58], unit="h"))
    message = refused(numlstm.fit, X, **FEW)
    assert "2 days, 10:00:00 follows 2 days, 12:00:00" in message


# --- names and objects in the place of numbers ----------------------------------------------------


@pytest.mark.parametrize("name", ["y", "sample_weight"])
@pytest.mark.parametrize("titles", ["w", ["w"], ["w", "temp"]])
@pytest.mark.parametrize("form", [*LIBRARIES, "levels"])
def test_names_of_columns_stand_for_no_values(name, titles, form):
    frame = FLAT[["rain", "temp"]].assign(w=np.arange(1.0, 61.0))
    X = LIBRARIES.get(form, lambda frame: frame.set_axis(FLAT.set_index(NAMES[:2]).index))(frame)
    message = refused(numlstm.fit, X, **{name: titles}, **FEW)
    code = message.partition(": pass ")[2]
    passed = eval(f"dict({code})", {"X": X})
    assert set(passed) == {"X", name}
    taken = [titles] if isinstance(titles, str) else titles
    kept = [title for title in frame if title not in taken]
    np.testing.assert_array_equal(np.asarray(passed["X"]), frame[kept])
    values = np.asarray(passed[name])
    np.testing.assert_array_equal(values.reshape(60, -1), frame[taken])
    if len(taken) == 1 or name == "y":
        numlstm.fit(**passed, **FEW)
    if name == "y" and form == "pandas":
        assert code in refused(LSTMRegressor().fit, X, titles)


def test_a_name_that_is_no_column_is_a_name():
    X = FLAT[["rain", "temp"]]
    for array in (X, X.to_numpy()):
        for name in ("y", "sample_weight"):
            message = refused(numlstm.fit, array, **{name: "flow"}, **FEW)
            assert "'flow' is a name: pass the values that have it" in message


def test_sequences_to_judge_by_are_said_by_their_shape():
    X = BOTH[:, :1]
    expected = numlstm.fit(X, validation={"X": X}, **FEW).x
    for given in (X, pd.DataFrame(X)):
        message = refused(numlstm.fit, X, validation=given, **FEW)
        assert f"received {type(given).__name__} of shape (40, 1)" in message
        assert len(message) < 300
        own = eval(re.search(r"without y are (\{.*?\})", message).group(1), {"X": given})
        np.testing.assert_array_equal(numlstm.fit(X, validation=own, **FEW).x, expected)


def test_numbers_that_are_objects_are_made_floats():
    X = BOTH.astype(object)
    expected = numlstm.fit(BOTH, **FEW).x
    made = follow(refused(numlstm.fit, X, **FEW), r"; pass (.*)$", X=X)["X"]
    np.testing.assert_array_equal(numlstm.fit(made, **FEW).x, expected)
    prices = [decimal.Decimal(str(value)) for value in BOTH[:, 0]]
    made = follow(refused(numlstm.fit, BOTH, prices, **FEW), r"; pass (.*)$", y=prices, np=np)["X"]
    np.testing.assert_array_equal(made, BOTH[:, 0])
    holes = np.array([1.0, None, 2.0] * 5, object)
    made = follow(refused(numlstm.fit, holes, **FEW), r"; pass (.*)$", X=holes)["X"]
    assert np.isnan(made).sum() == 5


def test_texts_among_numbers_are_named():
    message = refused(numlstm.fit, FLAT[["rain", "basin"]].to_numpy(), **FEW)
    assert message.endswith("; it has 'upper' among its numbers: leave out what holds such")
    assert "Timestamp('2001-01-01" in refused(numlstm.fit, FLAT[["rain", "date"]].to_numpy(), **FEW)
    words = np.array(["a", "b", "a"] * 5)
    missing = np.array([*words[:-1], None], object)
    for X in (words, words.astype(object), missing):
        message = refused(numlstm.fit, X, words == "a", **FEW)
        tokens = r"array, (names, tokens = .*?\)), and pass them one-hot, X=(.*)$"
        names, code = re.search(tokens, message).groups()
        known = {"np": np, "X": X}
        exec(f"{names}\nX = {code}", known)
        assert known["X"].shape == (15, 3 if X is missing else 2)


@pytest.mark.parametrize("count", [2, 30])
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_classes_may_be_called_as_columns_are(library, count):
    X = LIBRARIES[library](pd.DataFrame(BOTH[:count], columns=["up", "down"]))
    y = ["up", "down"] * (count // 2)
    few = {name: value for name, value in STEPS.items() if name != "output"}
    assert LSTMClassifier(**few).fit(X, y).classes_.tolist() == ["down", "up"]


# --- several series that are no list --------------------------------------------------------------

SERIES = [RNG.standard_normal((30, 2)), RNG.standard_normal((20, 2))]


def of_objects(parts):
    array = np.empty(len(parts), object)
    array[:] = parts
    return array


@pytest.mark.parametrize(
    "X",
    [
        dict(enumerate(SERIES)),
        of_objects(SERIES),
        pd.Series(SERIES),
        pd.Series([part.tolist() for part in SERIES]),
        pl.Series([part.tolist() for part in SERIES]),
        pa.chunked_array([[part.tolist() for part in SERIES]]),
        pd.DataFrame({"part": SERIES}),
    ],
    ids=["dict", "objects", "pandas", "pandas-lists", "polars", "pyarrow", "frame"],
)
def test_several_series_are_made_a_list(X):
    few = {name: value for name, value in STEPS.items() if name != "output"}
    model = numlstm.fit(SERIES, **FEW).model
    regressor = LSTMRegressor(**few).fit(SERIES, [0.0, 1.0])
    doors = [
        lambda X: numlstm.fit(X, **FEW),
        model.predict,
        lambda X: LSTMRegressor(**few).fit(X, [0.0, 1.0]),
        lambda X: LSTMClassifier(**few).fit(X, ["up", "down"]),
        regressor.predict,
    ]
    for door in doors:
        message = refused(door, X)
        assert "\n" not in message
        assert len(message) < 300
        made = follow(message, r"several series are a list of arrays(?:,|: pass) (.*)$", X=X)["X"]
        for part, expected in zip(made, SERIES, strict=True):
            np.testing.assert_array_equal(part, expected)
        door(made)


# --- targets that are texts -----------------------------------------------------------------------


@pytest.mark.parametrize("form", [list, tuple, np.array])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_name_for_each_series_is_a_class(form, loss):
    y = form(["line", "circle"])
    message = refused(numlstm.fit, SERIES, y, loss=loss, **FEW)
    assert 'pass loss="cross_entropy"; LSTMClassifier takes their names' in message
    known = {"np": np, "y": y}
    exec(re.search(r"the classes, (names, y = .*?\)),", message).group(1), known)
    numlstm.fit(SERIES, known["y"], loss="cross_entropy", **FEW)


def test_a_name_for_each_step_of_several_series_is_a_class():
    y = [["up", "down"] * 15, ["up", "down"] * 10]
    message = refused(numlstm.fit, SERIES, y, loss="cross_entropy", **FEW)
    known = {"np": np, "y": y}
    names, numbers = re.search(r"classes, (names = .*?), (y = .*?\]),", message).groups()
    exec(f"{names}\n{numbers}", known)
    assert known["y"][1].tolist() == [1, 0] * 10
    numlstm.fit(SERIES, known["y"], loss="cross_entropy", **FEW)


def test_words_of_several_series_are_one_hot():
    X = [np.array(["a", "b"] * 3), np.array(["c"] * 4)]
    message = refused(numlstm.fit, X, [0, 1], loss="cross_entropy", **FEW)
    known = {"np": np, "X": X}
    names, code = re.search(r"(names = .*?\)\)), .*one-hot, (X=.*)$", message).groups()
    exec(f"{names}\n{code}", known)
    assert [part.shape for part in known["X"]] == [(6, 3), (4, 3)]
    numlstm.fit(known["X"], [0, 1], loss="cross_entropy", **FEW)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_column_of_text_may_be_the_answer(library):
    X = LIBRARIES[library](FLAT[["rain", "basin"]])
    few = LSTMClassifier(**STEPS | {"output": "last"})
    answer = "'basin' has the type String: if it is what is to be predicted, pass it as y and drop"
    for door in (lambda: numlstm.fit(X, **FEW), lambda: few.fit(X, FLAT["q"].to_numpy() > 0)):
        message = refused(door)
        assert f"{answer} it from X; else write it one-hot" in message


def test_a_column_of_text_in_the_targets_is_no_input():
    message = refused(numlstm.fit, FLAT[["rain"]], FLAT[["basin"]], **FEW)
    assert "to be predicted" not in message
    assert 'loss="cross_entropy"' in message

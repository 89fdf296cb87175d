"""Frames with several series among their rows: the time is the level that it is."""

import datetime
import re

import numpy as np
import pandas as pd
import pytest

import numlstm

RNG = np.random.default_rng(0)
DAYS = pd.date_range("2001-01-01", periods=30)
SITES = ["x", "y"]
X = RNG.standard_normal((2, 30, 1))
FEW = {"hidden_size": 2, "epochs": 2, "rng": 0}


@pytest.fixture(scope="module")
def plain():
    return numlstm.fit(list(X), **FEW)


def panel(times, names=("k", "station")):
    """A row for each time and site, times first."""
    index = pd.MultiIndex.from_product([times, SITES], names=names)
    return pd.DataFrame({"q": X[..., 0].T.ravel()}, index=index)


# --- the level of the time ------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("day_of_obs", "station"), (None, None), ("k", "time")])
@pytest.mark.parametrize(
    "times",
    [
        DAYS,
        DAYS.tz_localize("Europe/Berlin"),
        DAYS.to_period("D"),
        DAYS.strftime("%Y-%m-%d"),
        pd.CategoricalIndex(DAYS.strftime("%Y-%m-%d")),
        pd.CategoricalIndex(DAYS),
        pd.Index(list(DAYS.date), dtype=object),
        pd.Index(DAYS).astype("timestamp[ns][pyarrow]"),
        DAYS - DAYS[0],
        pd.Index(np.arange(30) / 8),
        pd.RangeIndex(30),
        pd.Index(range(30), dtype="UInt16"),
    ],
    ids=lambda times: str(times.dtype),
)
def test_the_time_is_a_level_of_times_and_never_of_texts(plain, times, names):
    frame = panel(times, names)
    result = numlstm.fit(frame, **FEW)
    np.testing.assert_array_equal(result.x, plain.x)
    predicted = result.model.predict(frame)
    assert predicted.index.equals(frame.index)
    expected = np.stack(plain.model.predict(list(X)))
    np.testing.assert_array_equal(predicted["q"], expected[..., 0].T.ravel())


@pytest.mark.parametrize("names", [("t", "case"), ("Days", "Site no"), ("step", "gauge_id")])
def test_of_several_numbers_the_time_is_the_one_so_called(plain, names):
    frame = panel(range(30), names)
    frame.index = frame.index.set_levels([7, 8], level=1)
    np.testing.assert_array_equal(numlstm.fit(frame, **FEW).x, plain.x)


def test_rows_that_are_gone_say_nothing(plain):
    """A level keeps the labels that no row has any more."""
    frame = panel([*DAYS.strftime("%Y-%m-%d")])
    more = pd.MultiIndex.from_tuples([("total", "x")], names=frame.index.names)
    whole = pd.concat([frame, pd.DataFrame({"q": [0.0]}, index=more)])
    np.testing.assert_array_equal(numlstm.fit(whole[:-1], **FEW).x, plain.x)


@pytest.mark.parametrize(
    ("levels", "names", "words"),
    [
        ([range(30), [1, 2]], (None, None), "may have several times, its levels 0, 1: "),
        ([range(30), [1, 2]], ("k", "gauge_id"), "'k', 'gauge_id'"),
        ([DAYS, [2001, 2002]], ("date", "year"), "'date', 'year'"),
        ([range(30), [7, 8]], ("t", "k"), "'t', 'k'"),
        ([range(30), [7, 8]], ("Days", None), "'Days', 1"),
        ([[1999, 2000], range(1, 366)], ("year", "doy"), "'year', 'doy'"),
        ([[1999, 2000], range(1, 5)], ("year", "quarter"), "'year', 'quarter'"),
        ([range(1, 5), [1999, 2000]], ("no", "year"), "'year', 'no'"),
        ([DAYS, range(48)], ("date", "slot"), "'date', 'slot'"),
        ([DAYS, ["00:00", "06:00"]], ("date", "time"), "'date', 'time'"),
        ([DAYS, [datetime.time(0), datetime.time(6)]], ("k", "clock"), "'k', 'clock'"),
        ([range(30), ["0:00:00", "6:00:00.5"]], ("day", None), "'day', 1"),
        ([DAYS, pd.to_timedelta([1, 2], "h")], ("issued", "lead"), "'issued', 'lead'"),
        ([DAYS, [datetime.date(2001, 1, 1)]], ("valid", "issued"), "'valid', 'issued'"),
        ([list("abc"), list("xy")], ("basin", "time"), "'basin', 'time', none of which is a time"),
    ],
)
def test_where_several_levels_or_none_may_be_the_time_is_refused(levels, names, words):
    index = pd.MultiIndex.from_product(levels, names=names)
    with pytest.raises(ValueError, match=words):
        numlstm.fit(pd.DataFrame({"q": np.arange(len(index)) + 0.0}, index=index), **FEW)


@pytest.mark.parametrize("time", ["time", "step", "day"])
@pytest.mark.parametrize(
    "series",
    [
        *("recording", "Trials", "subject", "patient", "episode", "event", "session", "basin"),
        *("gauge", "catchment", "experiment", "participant"),
    ],
)
def test_what_is_called_a_series_is_one(plain, series, time):
    frame = panel(range(30), (time, series))
    frame.index = frame.index.set_levels([7, 8], level=1)
    np.testing.assert_array_equal(numlstm.fit(frame, **FEW).x, plain.x)


def test_the_time_of_an_event_is_a_time():
    index = pd.MultiIndex.from_product([DAYS, ["00:00", "06:00"]], names=["day", "event_time"])
    with pytest.raises(ValueError, match="'day', 'event_time'"):
        numlstm.fit(pd.DataFrame({"q": np.arange(60.0)}, index=index), **FEW)


@pytest.mark.parametrize("frame_of", [pd.DataFrame.copy, lambda frame: frame["q"]])
@pytest.mark.parametrize(
    ("count", "levels", "names"),
    [
        (2, [[0, 1], range(15)], ("recording", "sample")),
        (2, [[0, 1], range(15)], (None, None)),
        (2, [[1.5, 2.5], range(15)], ("trial", "k")),
        (2, [range(15), [1, 2]], ("k", "gauge_id")),
        (2, [range(15), [7, 8]], ("t", "k")),
        (2, [DAYS[:15], [2001, 2002]], ("date", "year")),
        (2, [[1999, 2000], range(1, 16)], ("year", "doy")),
        (2, [["1999", "2000"], ["2001", "2002", "2003"]], ("a", "b")),
        (15, [DAYS[:15], pd.to_timedelta([1, 2], "h")], ("issued", "lead")),
        (2, [DAYS[:15], [datetime.time(0), datetime.time(6)]], ("k", "clock")),
        (4, [[0, 1], [0, 1], range(15)], ("patient", "session", "sample")),
    ],
)
def test_the_line_that_tells_series_apart_is_run(count, levels, names, frame_of):
    index = pd.MultiIndex.from_product(levels, names=names)
    X = frame_of(pd.DataFrame({"q": RNG.standard_normal(len(index))}, index=index))
    y = X + 1
    with pytest.raises(ValueError, match="may have several times") as caught:
        numlstm.fit(X, y, **FEW)
    pattern = r"as texts, (X = .*), and beside it (y = .*?); where all"
    known = {"X": X, "y": y}
    for code in re.search(pattern, str(caught.value)).groups():
        exec(code, known)
    result = numlstm.fit(known["X"], known["y"], **FEW)
    assert result.model.predict(known["X"]).index.equals(known["X"].index)
    assert result.data.startswith(f"{count} sequences of {len(index) // count} steps")


@pytest.mark.parametrize("labels", [[7, 8], ["00:00", "06:00"]])
def test_what_is_called_a_series_is_no_part_of_a_time(plain, labels):
    for times in (DAYS, range(30)):
        frame = panel(times, ("day", "run_id"))
        frame.index = frame.index.set_levels(labels, level=1)
        np.testing.assert_array_equal(numlstm.fit(frame, **FEW).x, plain.x)


def test_dates_are_the_time_beside_numbers(plain):
    frame = panel(DAYS, ("date", "number"))
    frame.index = frame.index.set_levels([7, 8], level=1)
    np.testing.assert_array_equal(numlstm.fit(frame, **FEW).x, plain.x)


# --- rollouts -------------------------------------------------------------------------------------

FUTURE = pd.date_range("2001-01-31", periods=3)
EXOGENOUS = RNG.standard_normal((2, 3, 1))


@pytest.fixture(scope="module")
def forecasts():
    """A model of "q" from "q" and "r", what it forecasts for the sites, and for which X."""
    past = RNG.standard_normal((2, 30, 2))
    model = numlstm.fit(list(past), list(np.roll(past[..., :1], -1, axis=1)), **FEW).model
    model.forecasts = True
    return model, past, np.stack([model.rollout(list(past), 3, list(EXOGENOUS))])[0]


def blocks(times, values):
    """Series by series."""
    index = pd.MultiIndex.from_product([SITES, times], names=["site", "day"])
    return pd.DataFrame(values.reshape(len(index), -1), index=index)


def interleaved(times, values):
    """Time by time."""
    index = pd.MultiIndex.from_product([times, SITES], names=["day", "site"])
    return pd.DataFrame(values.swapaxes(0, 1).reshape(len(index), -1), index=index)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("layout", [blocks, interleaved])
def test_a_flat_exogenous_array_has_the_layout_of_the_frame(forecasts, layout, steps):
    model, past, expected = forecasts
    future = layout(FUTURE[:steps], EXOGENOUS[:, :steps])
    for given in (future.to_numpy(), future.reset_index(drop=True), future, future[0]):
        rolled = model.rollout(layout(DAYS, past), steps, given)
        for site, values in zip(SITES, expected, strict=True):
            np.testing.assert_array_equal(rolled.xs(site, level="site"), values[:steps])
        assert rolled.index.equals(future.index)


def test_a_flat_exogenous_array_beside_another_layout_is_refused(forecasts):
    model, past, expected = forecasts
    frame = interleaved(DAYS, past)
    frame = frame.iloc[[1, 0, *range(2, 60)]]  # y, x, x, y, x, y, ...
    with pytest.raises(ValueError, match=r"neither .* time by time.* exogenous .* cannot be cut"):
        model.rollout(frame, 3, EXOGENOUS.reshape(6, 1))
    rolled = model.rollout(frame, 3, EXOGENOUS[::-1])
    for site, values in zip(SITES, expected, strict=True):
        np.testing.assert_array_equal(rolled.xs(site, level="site"), values)


def test_how_to_reorder_exogenous_labels_is_said(forecasts):
    model, past, _ = forecasts
    future = blocks(FUTURE, EXOGENOUS)
    for wrong in (future.loc[["y", "x"]], future[::-1]):
        with pytest.raises(ValueError, match=r"put its times in order, and the series .* X_warm"):
            model.rollout(blocks(DAYS, past), 3, wrong)


# --- three levels ---------------------------------------------------------------------------------

THREE = ["run", "basin", "date"]
DEEP = pd.DataFrame(
    {"a": RNG.standard_normal(60)},
    index=pd.MultiIndex.from_product([["r1", "r2"], list("xyz"), DAYS[:10]], names=THREE),
)
LIST = list(DEEP.to_numpy().reshape(6, 10, 1))
KEYS = pd.MultiIndex.from_product([["r1", "r2"], list("xyz")], names=THREE[:2])
LAST = pd.Series(np.arange(6.0), index=KEYS, name="last")


def test_one_target_per_series_with_the_index_of_predictions():
    expected = numlstm.fit(LIST, LAST.to_numpy(), **FEW)
    result = numlstm.fit(DEEP, LAST, **FEW)
    np.testing.assert_array_equal(result.x, expected.x)
    predicted = result.model.predict(DEEP)
    assert predicted.index.equals(KEYS)
    np.testing.assert_array_equal(predicted, expected.model.predict(LIST))
    again = numlstm.fit(LIST, predicted.to_numpy(), **FEW)
    for y in (predicted, predicted["last"], predicted.swaplevel()):
        np.testing.assert_array_equal(numlstm.fit(DEEP, y, **FEW).x, again.x)


def test_weights_per_series_of_three_levels():
    weight = LAST + 1
    expected = numlstm.fit(LIST, sample_weight=weight.to_numpy(), **FEW)
    for given in (weight, weight.swaplevel()):
        result = numlstm.fit(DEEP, sample_weight=given, **FEW)
        np.testing.assert_array_equal(result.x, expected.x)


@pytest.mark.parametrize("order", [["basin", "run", "date"], ["date", "basin", "run"]])
def test_levels_are_paired_by_name(order):
    y = pd.Series(RNG.standard_normal(60), index=DEEP.index)
    expected = numlstm.fit(LIST, list(y.to_numpy().reshape(6, 10, 1)), **FEW)
    for x in (DEEP, DEEP.reorder_levels(order)):
        for target in (y, y.reorder_levels(order)):
            np.testing.assert_array_equal(numlstm.fit(x, target, **FEW).x, expected.x)


@pytest.mark.parametrize(
    ("x", "y"), [(DEEP, LAST[::-1]), (DEEP.loc["r1"], LAST.loc["r1"][::-1])], ids=["three", "two"]
)
def test_how_to_reorder_targets_of_series_is_said(x, y):
    with pytest.raises(ValueError, match="y has the labels of X in another order") as caught:
        numlstm.fit(x, y, **FEW)
    code = re.search("pass (.*?);", str(caught.value))[1]
    ordered = eval(code, {"X": x, "y": y})
    pd.testing.assert_series_equal(ordered, y[::-1])
    numlstm.fit(x, ordered, **FEW)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (LAST.rename_axis(["run", "gauge"]).rename({"x": "w"}, level=1), "other labels than X"),
        (LAST[1:], "X has 6 labels .* y has 5 labels"),
        (DEEP.droplevel("run")["a"], "other labels than X"),
    ],
)
def test_other_labels_of_series_are_refused(y, words):
    with pytest.raises(ValueError, match=words):
        numlstm.fit(DEEP, y, **FEW)

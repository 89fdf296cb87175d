"""Times of every type: texts, intervals and objects are known as the times that they are."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

import numlstm
from numlstm.data.labels import times

RNG = np.random.default_rng(0)
DAYS = pd.date_range("2001-01-01", periods=30)
X = RNG.standard_normal(30)
FEW = {"hidden_size": 2, "epochs": 2, "rng": 0, "bptt_steps": 10}


@pytest.fixture(scope="module")
def plain():
    return numlstm.fit(X, **FEW)


def series(index):
    return pd.Series(X, index=index)


# --- texts ----------------------------------------------------------------------------------------

LONG = pd.date_range("2000-12-20", periods=30, freq="7h")
TEXTS = {
    **{form: DAYS.strftime(form) for form in (
        "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%Y-%j", "%Y%j", "%G-W%V-%u", "%GW%V%u",
        "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%m-%d-%Y", "%Y-%m-%d %H:%M:%S.%f",
    )},
    **{form: LONG.strftime(form) for form in (
        "%Y-%m-%dT%H:%M", "%Y/%m/%d %H:%M", "%Y%m%dT%H%M%S", "%Y%m%d%H", "%Y%m%d%H%M",
        "%d.%m.%Y %H:%M", "%Y-%m-%dT%H:%MZ",
    )},
    "%Y": pd.date_range("1987", periods=30, freq="YS").strftime("%Y"),
    "%Y-%m": pd.date_range("1999-11", periods=30, freq="MS").strftime("%Y-%m"),
    "%Y/%m": pd.date_range("1999-11", periods=30, freq="MS").strftime("%Y/%m"),
    "%Y%m": pd.date_range("1999-11", periods=30, freq="MS").strftime("%Y%m"),
    "%G-W%V": pd.date_range("2000-11-06", periods=30, freq="W").strftime("%G-W%V"),
    "%d.%m.%Y of months": pd.date_range("2001", periods=30, freq="MS").strftime("%d.%m.%Y"),
    "quarters": pd.period_range("1999Q1", periods=30, freq="Q").astype(str),
    "weeks": pd.period_range("2000-11-06", periods=30, freq="W").astype(str),
    "without zeros": pd.Index([f"{day.year}/{day.month}/{day.day}" for day in DAYS]),
    "an offset": pd.Index([f"2001-03-25 0{h}:30+0{1 + (h > 1)}:00" for h in (0, 1, 3, 4, 5, 6)]),
}  # fmt: skip


@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize(
    "make", [pd.Index, pd.CategoricalIndex, np.array], ids=lambda m: m.__name__
)
def test_texts_that_are_dates_are_times(plain, form, make):
    index = pd.Index(TEXTS[form])
    frame = pd.DataFrame({"a": X[: len(index)]}, index=make(index))
    np.testing.assert_array_equal(plain.model.predict(frame), plain.model.predict(frame.to_numpy()))
    with pytest.raises(ValueError, match=f"{index[-2]} follows {index[-1]}".replace("+", r"\+")):
        plain.model.predict(frame[::-1])
    with pytest.warns(
        UserWarning, match=f"the first from {index[1]} to {index[3]}".replace("+", ".")
    ):
        plain.model.predict(frame.drop(index=index[2]))


def test_what_texts_mean():
    def read(*texts):
        return times.ticks(np.array(texts, object))

    instants = {
        ("2001-W01", "2001-W53"): None,  # there is no such week
        ("2001-01-01", "20010102"): ["2001-01-01", "2001-01-02"],
        ("2001-01-01", "2001/01/02"): ["2001-01-01", "2001-01-02"],
        ("2001-01-01", "02.01.2001"): None,
        ("2020-W53", "2021-W01"): ["2020-12-28", "2021-01-04"],
        ("2001Q1", "2001Q4"): ["2001-01-01", "2001-10-01"],
        ("2001-03-25T00:30+01:00", "2001-03-25T03:30+02:00"): ["2001-03-24T23:30",
                                                               "2001-03-25T01:30"],
        ("20010203", "20010204"): ["2001-02-03", "2001-02-04"],
        ("2001034", "2001035"): ["2001-02-03", "2001-02-04"],
        ("01.02.2001", "02.02.2001"): ["2001-02-01", "2001-02-02"],
        ("13/02/2001", "01/02/2001"): ["2001-02-13", "2001-02-01"],
        ("02/13/2001", "02/01/2001"): ["2001-02-13", "2001-02-01"],
        ("02/02/2001", "03/03/2001"): ["2001-02-02", "2001-03-03"],
        ("2001.5", "2001.25"): None,  # numbers
        ("1013-22", "1013-23"): None,
        ("10002", "10003"): None,
        ("01013500", "01022500"): None,
        ("a", "b"): None,
    }  # fmt: skip
    for texts, expected in instants.items():
        found = read(*texts)
        if expected is None:
            assert found is None, texts
        else:
            np.testing.assert_array_equal(found, np.array(expected, "datetime64[us]"))


@pytest.mark.parametrize(
    "texts",
    [
        ["01/02/2001", "02/02/2001"],
        ["2001-02-30", "2001-03-01"],
        ["2001-01-01 06:00 PM", "2001-01-02 06:00 AM"],
        ["1 January 2001", "1 February 2001"],
        ["02-Jan-2001", "03-Jan-2001"],
        ["Jan 2, 2001", "Jan 3, 2001"],
        ["Jan 2001", "Feb 2001"],
    ],
)
def test_dates_that_no_one_knows_are_refused(plain, texts):
    with pytest.raises(ValueError, match=f"has dates as texts, such as '{texts[0]}', that can be"):
        plain.model.predict(series(DAYS)[:2].set_axis(texts))
    alone = plain.model.predict(series(DAYS)[:1].set_axis(texts[:1]))  # it has no order
    np.testing.assert_array_equal(alone, plain.model.predict(X[:1]))


@pytest.mark.parametrize(
    "texts", [["b", "a"], ["x2001", "x2000"], ["2001-2", "zz"], ["3", "2"], ["10003", "10002"]]
)
def test_other_texts_are_labels_without_time(plain, texts):
    values = series(DAYS)[:2].set_axis(texts)
    np.testing.assert_array_equal(plain.model.predict(values), plain.model.predict(X[:2]))


def test_missing_times_are_refused_in_every_type(plain):
    for index in (["2001-01-01", None], [datetime.date(2001, 1, 1), None],
                  [None, pd.Period("2001-01-01")], pd.PeriodIndex(["2001", None], freq="D"),
                  pd.IntervalIndex.from_tuples([(0, 1), np.nan])):  # fmt: skip
        with pytest.raises(ValueError, match=r"has 1 missing label\(s\), the first at row [01]"):
            plain.model.predict(series(DAYS)[:2].set_axis(pd.Index(index)))


# --- intervals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "index",
    [
        pd.IntervalIndex.from_breaks(pd.date_range("2001", periods=31)),
        pd.IntervalIndex.from_breaks(pd.date_range("2001", periods=31, tz="Europe/Berlin")),
        pd.IntervalIndex.from_breaks(pd.date_range("2001", periods=31, freq="MS"), closed="left"),
        pd.IntervalIndex.from_breaks(np.arange(31)),
        pd.IntervalIndex.from_arrays(np.zeros(30), np.arange(1, 31)),  # all that came before
    ],
)
def test_intervals_are_times(plain, index):
    np.testing.assert_array_equal(numlstm.fit(series(index), **FEW).x, plain.x)
    with pytest.raises(ValueError, match="does not go forward"):
        plain.model.predict(series(index[::-1]))
    with pytest.warns(UserWarning, match="unequal"):
        plain.model.predict(series(index)[np.arange(30) != 2])
    rolled = plain.model.rollout(series(index), 2)
    assert rolled.index.equals(pd.RangeIndex(2))
    np.testing.assert_array_equal(rolled, plain.model.rollout(X, 2))


# --- levels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "names"),
    [
        ((DAYS, ["2009", "2011"]), ("date", "gauge")),
        ((range(30), ["2009", "2011"]), ("k", "gauge")),
        ((DAYS.strftime("%Y%m%d"), ["x", "y"]), (None, None)),
        ((DAYS.strftime("%d.%m.%Y"), [7, 8]), (None, None)),
        ((DAYS, pd.interval_range(0, 2)), ("date", "depth")),
        ((range(30), pd.interval_range(0, 2)), ("k", "depth")),
        ((pd.interval_range(DAYS[0], periods=30), [1, 2]), (None, None)),
        ((pd.interval_range(DAYS[0], periods=30, freq="h"), ["x", "y"]), ("depth", "time")),
        ((pd.date_range("1990", periods=30, freq="YS").strftime("%Y"), [1, 2]), ("year", "gauge")),
    ],
)
def test_digits_and_intervals_may_be_the_time_of_several_series(levels, names):
    values = RNG.standard_normal((30, 2))
    index = pd.MultiIndex.from_product(levels, names=names)
    expected = numlstm.fit(list(values.T), **FEW)
    result = numlstm.fit(pd.Series(values.ravel(), index=index), **FEW)
    np.testing.assert_array_equal(result.x, expected.x)


def test_doubtful_dates_are_a_level_of_time():
    texts = DAYS[:12].strftime("%m/%d/%Y")
    index = pd.MultiIndex.from_product([texts, [1, 2]], names=["k", "site"])
    with pytest.raises(ValueError, match="has dates as texts, such as '01/01/2001'"):
        numlstm.fit(pd.Series(np.arange(24.0), index=index), **FEW)


# --- labels that agree ----------------------------------------------------------------------------

HOURS = pd.date_range("2001-03-24 12:00", periods=30, freq="h", tz="Europe/Berlin")
ARROW = pd.ArrowDtype(pa.timestamp("us", "Europe/Berlin"))
SAME = {
    "days": [
        DAYS, DAYS.as_unit("s"), DAYS.strftime("%Y-%m-%d"), DAYS.strftime("%d.%m.%Y"),
        pd.CategoricalIndex(DAYS), pd.Index(list(DAYS.date), dtype=object),
        pd.Index(list(DAYS.to_pydatetime()), dtype=object),
        pd.Index(DAYS.date, dtype="date32[pyarrow]"),
        pd.Index(DAYS).astype("timestamp[ns][pyarrow]"),
    ],
    "hours": [
        HOURS, HOURS.tz_convert("UTC"), pd.Index(HOURS).astype(ARROW), pd.CategoricalIndex(HOURS),
        pd.CategoricalIndex(pd.Index(HOURS).astype(ARROW)), pd.Index(list(HOURS), dtype=object),
        pd.Index([hour.isoformat() for hour in HOURS]),
        pd.Index(list(HOURS.to_pydatetime()), dtype=object),
    ],
}  # fmt: skip


@pytest.mark.parametrize("times", SAME)
def test_equal_times_of_other_types_agree(times):
    y = RNG.standard_normal(30)
    expected = numlstm.fit(X, y, **FEW).x
    for index in SAME[times]:
        target = pd.Series(y, index=index)
        for x in (series(SAME[times][0]), series(SAME[times][-2]), series(index)):
            np.testing.assert_array_equal(numlstm.fit(x, target, **FEW).x, expected)
            with pytest.raises(ValueError, match="y has the labels of X in another order"):
                numlstm.fit(x, target[::-1], **FEW)
            with pytest.raises(ValueError, match=r"y has other labels than X: X has 30 .* 29"):
                numlstm.fit(x, target[1:], **FEW)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (DAYS, DAYS.to_period(), "has 2001-01-01 as datetime64, y 2001-01-01 as Period"),
        (pd.RangeIndex(30), pd.Index(map(str, range(30))), "X has 0 as int64, y 0 as str"),
        (pd.RangeIndex(1990, 2020), pd.Index(map(str, range(1990, 2020))), "1990 as str"),
        (DAYS, pd.IntervalIndex.from_breaks([DAYS[0] - DAYS.freq, *DAYS]), "y has other labels"),
        (pd.interval_range(0, 30), pd.interval_range(0, 30, closed="left"), "y has other labels"),
        (DAYS, pd.Index([f"site {i}" for i in range(30)]), "X has 2001-01-01, y site 0"),
        (DAYS, DAYS.strftime("%Y-%m-%d %H:%MZ"), "times with an offset from UTC, the other"),
        (HOURS, HOURS.tz_localize(None).strftime("%Y-%m-%d %H:%M"), "time zone Europe/Berlin"),
    ],
)
def test_equal_words_of_other_types_are_told_apart(x, y, words):
    with pytest.raises(ValueError, match=words) as caught:
        numlstm.fit(series(x), series(y), **FEW)
    assert "another order" not in str(caught.value)


@pytest.mark.parametrize(
    "index",
    [pd.Index(HOURS).astype(ARROW), pd.Index(DAYS).astype("timestamp[ns][pyarrow]"),
     pd.Index(DAYS.date, dtype="date32[pyarrow]"), pd.Index(range(30), dtype="int64[pyarrow]")],
    ids=lambda index: str(index.dtype),
)  # fmt: skip
def test_a_rollout_goes_on_with_times_of_arrow(plain, index):
    rolled = plain.model.rollout(series(index)[:28], 2)
    pd.testing.assert_index_equal(rolled.index, index[28:])
    np.testing.assert_array_equal(rolled, plain.model.rollout(X[:28], 2))


# --- floats ---------------------------------------------------------------------------------------

COUNTED = np.arange(60)
FLOATS = {
    "single": (COUNTED / 10).astype("f4"),
    "epoch": 1.6e9 + COUNTED * 0.01,
    "julian": 2451545 + COUNTED / 86400,
    "sums": np.cumsum(np.full(60, 0.1)),
    "negative": -1e6 + COUNTED * 1e-3,
}


@pytest.mark.parametrize("form", FLOATS)
def test_floats_have_equal_steps_but_for_their_own_rounding(plain, form):
    at = FLOATS[form]
    rolled = plain.model.rollout(series(pd.Index(at[:30])), 30)
    np.testing.assert_array_equal(rolled, plain.model.rollout(X, 30))
    assert rolled.index.dtype == at.dtype
    step = np.float64(at[29] - at[0]) / 29
    np.testing.assert_allclose(rolled.index, at[30:], rtol=0, atol=0.01 * step)


@pytest.mark.parametrize("form", FLOATS)
@pytest.mark.parametrize("shift", [0.6, 1.0])
def test_gaps_between_floats_are_no_rounding(plain, form, shift):
    exact = FLOATS[form].astype(np.float64)
    exact[15:] += shift * (exact[1] - exact[0])
    at = exact.astype(FLOATS[form].dtype)[:30]
    words = f"1 unequal step.s., the first from {at[14]!s} to {at[15]!s}"
    with pytest.warns(UserWarning, match=words):
        rolled = plain.model.rollout(series(pd.Index(at)), 2)
    assert rolled.index.equals(pd.RangeIndex(2))


def test_exogenous_times_of_floats_are_compared_but_for_their_rounding():
    both = RNG.standard_normal((60, 2))
    y = np.append(both[1:, 0], np.nan)
    model = numlstm.fit(both[:-1], y[:-1], **FEW).model
    expected = model.rollout(both[:20], 40, both[20:, 1:])
    for at in (FLOATS["single"], FLOATS["epoch"], FLOATS["julian"]):
        frame = pd.DataFrame(both, at, ["q", "u"])
        past, u = frame.iloc[:20], frame[["u"]].iloc[20:]
        np.testing.assert_array_equal(model.rollout(past, 40, u), expected)
        for wrong in (u[::-1], u.set_axis(at[21] - at[20] + at[20:])):
            with pytest.raises(ValueError, match="exogenous has "):
                model.rollout(past, 40, wrong)


# --- exogenous times where those of X do not go on ------------------------------------------------

BOTH = RNG.standard_normal((40, 2))
LATER = pd.date_range("2001-01-01", periods=40)
WITHOUT = np.delete(np.arange(40), 15)  # a step is missing
UNKNOWN = {
    "gap": LATER,
    "zone": LATER.tz_localize("Europe/Berlin"),
    "dates": pd.Index(LATER.date),
    "texts": LATER.strftime("%Y-%m-%d"),
    "digits": LATER.strftime("%Y%m%d"),
    "periods": LATER.to_period("D"),
    "intervals": pd.IntervalIndex.from_breaks(pd.date_range("2001-01-01", periods=41)),
    "integers": pd.RangeIndex(40),
    "floats": pd.Index(np.arange(40) / 10),
    "durations": pd.to_timedelta(np.arange(40), unit="h"),
}


@pytest.fixture(scope="module")
def forecasts():
    """A model of q with the feature u beside it."""
    y = pd.Series(BOTH[1:, 0], name="q")
    return numlstm.fit(pd.DataFrame(BOTH[:-1], columns=["q", "u"]), y, **FEW).model


def forms_of(past, u):
    """X and exogenous as frames, as one frame of two series, and as DataArrays."""
    yield past, u
    yield tuple(pd.concat({"a": part, "b": part}, names=["site", "date"]) for part in (past, u))
    yield tuple(
        xr.DataArray(part.to_numpy(), [("time", part.index), ("feature", list(part.columns))])
        for part in (past, u)
        if getattr(part.index, "tz", None) is None
    )


@pytest.mark.filterwarnings("ignore:X_warm.* unequal:UserWarning")
@pytest.mark.parametrize("form", UNKNOWN)
def test_exogenous_times_lie_after_those_that_do_not_go_on(forecasts, form):
    frame = pd.DataFrame(BOTH, UNKNOWN[form], ["q", "u"]).iloc[WITHOUT]
    past, u = frame.iloc[:-5], frame[["u"]].iloc[-5:]
    expected = forecasts.rollout(past.to_numpy(), 5, u.to_numpy())
    early = frame[["u"]].iloc[-6:-1]
    for right, reverse, before in zip(
        forms_of(past, u), forms_of(past, u[::-1]), forms_of(past, early), strict=True
    ):
        if not right:
            continue
        rolled = np.asarray(forecasts.rollout(right[0], 5, exogenous=right[1]))
        np.testing.assert_array_equal(rolled[:5], expected)
        with pytest.raises(ValueError, match=r"exogenous.* does not go forward"):
            forecasts.rollout(reverse[0], 5, exogenous=reverse[1])
        with pytest.raises(ValueError, match=r"exogenous.* does not go on after X_warm.*, which "):
            forecasts.rollout(before[0], 5, exogenous=before[1])


@pytest.mark.filterwarnings("ignore:X_warm.* unequal:UserWarning")
def test_exogenous_times_of_columns_and_lists_lie_after_a_gap(forecasts):
    frame = pl.DataFrame({"date": LATER, "q": BOTH[:, 0], "u": BOTH[:, 1]})[WITHOUT]
    past, u = frame[:-5], frame.select("date", "u")
    expected = forecasts.rollout(past.select("q", "u").to_numpy(), 5, BOTH[-5:, 1:])
    np.testing.assert_array_equal(forecasts.rollout(past, 5, u[-5:])["q"], expected[:, 0])
    for x, wrong in ((past, u[-6:-1]), ([past, past], [u[-5:], u[:5]])):
        with pytest.raises(ValueError, match=r"does not go on after X_warm.*, which ends at"):
            forecasts.rollout(x, 5, wrong)


@pytest.mark.filterwarnings("ignore:X_warm.* unequal:UserWarning")
def test_exogenous_times_after_a_gap_are_of_its_type_or_count_from_0(forecasts):
    past = pd.DataFrame(BOTH, LATER, ["q", "u"]).iloc[WITHOUT][:-5]
    u = pd.Series(BOTH[-5:, 1], LATER[-5:], name="u")
    expected, after = forecasts.rollout(past.to_numpy(), 5, BOTH[-5:, 1:]), LATER[-5:]
    for same in (range(5), after, after.date, after.strftime("%Y-%m-%d"), after.astype("M8[s]")):
        rolled = forecasts.rollout(past, 5, u.set_axis(same))
        np.testing.assert_array_equal(rolled, expected)
        assert rolled.index.equals(pd.RangeIndex(5))
    words = r"ends at 2001-02-04: it begins at .*with labels of the same type"
    for other in (range(60, 65), list("abcde"), after.to_period("D")):
        with pytest.raises(ValueError, match=words):
            forecasts.rollout(past, 5, u.set_axis(other))
    with pytest.raises(ValueError, match="one has the time zone UTC, the other has none"):
        forecasts.rollout(past, 5, u.tz_localize("UTC"))


@pytest.mark.filterwarnings("ignore:X_warm.* unequal:UserWarning")
def test_forecasts_of_series_with_and_without_a_gap_are_pulled_back(forecasts):
    frame = pd.DataFrame(BOTH, LATER, ["q", "u"])
    X = pd.concat({"a": frame[:39], "b": frame.iloc[WITHOUT]}, names=["site", "date"])
    rolled, pullback = forecasts.rollout_vjp(X, 3, np.zeros((2, 3, 1)))
    plain, pull = forecasts.rollout_vjp([BOTH[:39], BOTH[WITHOUT]], 3, np.zeros((2, 3, 1)))
    np.testing.assert_array_equal(pullback(rolled).theta, pull(plain).theta)

"""Which step is explained, where X has dates: every function that takes step= reads them."""

import datetime

import numpy as np
import pytest

import numlstm
from numlstm import inspection

pd = pytest.importorskip("pandas")

DAYS = pd.date_range("2014-01-01", periods=40)
MODEL = numlstm.LSTM(2, 3, 1, rng=0)
JUNE = 20
FUNCTIONS = [
    inspection.integrated_gradients,
    inspection.gradient_x_input,
    inspection.memory_paths,
    inspection.memory_length,
]


def frame(days=DAYS, seed=0):
    values = np.random.default_rng(seed).standard_normal((len(days), 2))
    return pd.DataFrame(values, days, columns=["rain", "warmth"])


def panel():
    """The second series begins ten days later."""
    return pd.concat({"b": frame(), "a": frame(DAYS[10:], seed=1)}, names=["basin"])


def steps(X, step):
    return inspection.gradient_x_input(MODEL, X, step=step).steps.tolist()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_date_is_the_step_that_it_labels(function):
    expected = function(MODEL, frame(), step=JUNE)
    day = DAYS[JUNE]
    forms = ["2014-01-21", day, day.to_datetime64(), day.date(), np.array("2014-01-21", "M8[D]")]
    for form in (*forms, ["2014-01-21"], DAYS[JUNE : JUNE + 1]):
        np.testing.assert_equal(function(MODEL, frame(), step=form), expected)


def test_dates_of_any_axis():
    texts = frame().set_axis(DAYS.strftime("%Y-%m-%d"))
    for X in (texts, frame().set_axis(DAYS.date), frame(DAYS.to_period("D"))):
        assert steps(X, "2014-01-21") == [JUNE]
    berlin = frame(DAYS.tz_localize("Europe/Berlin"))
    assert steps(berlin, "2014-01-21") == [JUNE]
    assert steps(berlin, pd.Timestamp("2014-01-20T23:00", tz="UTC")) == [JUNE]
    with pytest.raises(
        ValueError, match=r"step: 2014.* has a time zone, and the index of X has none"
    ):
        steps(frame(), pd.Timestamp("2014-01-21", tz="UTC"))
    xarray = pytest.importorskip("xarray")
    grid = xarray.DataArray(np.ones((2, 40, 2)), {"time": DAYS}, ("basin", "time", "feature"))
    assert steps(grid, datetime.datetime(2014, 1, 21)) == [JUNE, JUNE]
    polars = pytest.importorskip("polars")
    assert steps(polars.from_pandas(frame().reset_index(names="day")), "2014-01-21") == [JUNE]


def test_every_series_has_its_own_dates():
    assert steps(panel(), "2014-01-21") == [JUNE, JUNE - 10]
    assert steps([frame(), frame(DAYS[5:])], ["2014-01-11", "2014-01-12"]) == [10, 6]
    own = pd.Series(DAYS[[20, 12]], ["b", "a"])
    assert steps(panel(), own) == [20, 2]
    for values in (own, pd.Series([20, 2], own.index)):
        with pytest.raises(ValueError, match="labels of X in another order"):
            steps(panel(), values[::-1])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("2014-03-01", "no time of X, which has 40 labels .* the nearest is 2014-02-09"),
        ("2014-01-21T12:00", "2014-01-21T12:00 is no time of X"),
        ("midsummer", "'midsummer' is no date that can be read"),
        (["2014-01-21", "2014-01-22"], "one for each of the 1 sequences"),
        (1.5, "where X has dates it may be one of them"),
    ],
)
def test_a_date_that_is_not_there_is_refused(step, message):
    with pytest.raises(ValueError, match=message):
        steps(frame(), step)


def test_series_without_the_date_are_named():
    with pytest.raises(ValueError, match=r"2014-01-03 is no time of X\['a'\]"):
        steps(panel(), "2014-01-03")
    with pytest.raises(ValueError, match="2014-01-21: X has no dates"):
        steps(frame().to_numpy(), "2014-01-21")
    with pytest.raises(ValueError, match=r"X\[1\] has no dates"):
        steps([frame(), frame().to_numpy()], "2014-01-21")
    twice = frame(DAYS[:30].append(DAYS[10:20]))
    with pytest.raises(ValueError, match="2014-01-11 2 times, in the steps 10, 30"):
        inspection.gradient_x_input(MODEL, twice, step="2014-01-11", reset=np.arange(40) == 30)

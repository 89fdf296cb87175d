"""Forecasts with bands, and the labels of all kinds that are drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr
from matplotlib.dates import date2num
from numpy.testing import assert_allclose, assert_array_equal

import numlstm
from helpers.pictures import data, labels
from numlstm import plotting
from numlstm.objectives.covariance import Band

DATES = pd.date_range("2020-03-01", periods=40, name="day")
SERIES = pd.Series(np.sin(np.arange(40) / 4), DATES, name="level")


def band_of(collection):
    """The least and largest value at every place of a band."""
    (path,) = collection.get_paths()
    places = np.unique(path.vertices[:, 0])
    inside = [path.vertices[path.vertices[:, 0] == place, 1] for place in places]
    return places, np.array([[part.min(), part.max()] for part in inside])


# forecasts


def test_a_forecast_goes_on_after_its_history():
    values = SERIES.to_numpy()
    ahead = values[30:, None]
    picture = plotting.forecast(
        ahead, ahead - 0.1, ahead + 0.2, history=values[:30], truth=values[30:] + 0.05
    )
    artists = picture.artists
    steps, past = data(artists["history"])
    assert_array_equal(steps, np.arange(30))
    assert_array_equal(past, values[:30])
    for name, expected in (("forecast", values[30:]), ("truth", values[30:] + 0.05)):
        (line,) = artists[name]
        steps, found = data(line)
        assert_array_equal(steps, np.arange(30, 40))
        assert_array_equal(found, expected)
    (band,) = artists["band"]
    steps, ends = band_of(band)
    assert_array_equal(steps, np.arange(30, 40))
    assert_allclose(ends, np.stack([values[30:] - 0.1, values[30:] + 0.2], axis=1))
    assert labels(picture.axes) == ["observed", "came later", "forecast"]
    assert picture.axes.get_xlabel() == "step"


@pytest.mark.parametrize("plain", [False, True])
def test_dates_and_names(plain):
    """A forecast without labels goes on after the dates of its history."""
    forecast = SERIES[30:].to_numpy() if plain else SERIES[30:].to_frame()
    picture = plotting.forecast(forecast, history=SERIES[:30], truth=SERIES[30:])
    assert_array_equal(data(picture.artists["forecast"][0])[0], DATES[30:])
    assert_array_equal(data(picture.artists["truth"][0])[0], DATES[30:])
    assert_allclose(picture.axes.dataLim.intervalx, date2num(DATES[[0, -1]]))
    assert (picture.axes.get_xlabel(), picture.axes.get_ylabel()) == ("day", "level")


def test_forecasts_of_several_times():
    """As numlstm.backtest gives them, with and without labels."""
    values, cuts = SERIES.to_numpy(), (10, 20, 30)
    parts = [values[cut : cut + 5, None] for cut in cuts]
    picture = plotting.forecast(
        parts, [p - 1 for p in parts], [p + 1 for p in parts], history=values, start=cuts
    )
    for line, cut in zip(picture.artists["forecast"], cuts, strict=True):
        assert_array_equal(data(line)[0], np.arange(cut, cut + 5))
        assert_array_equal(data(line)[1], values[cut : cut + 5])
    assert [len(band_of(band)[0]) for band in picture.artists["band"]] == [5, 5, 5]
    assert labels(picture.axes) == ["observed", "forecast"]
    dated = plotting.forecast([SERIES[cut : cut + 5] for cut in cuts], history=SERIES)
    for line, cut in zip(dated.artists["forecast"], cuts, strict=True):
        assert_array_equal(data(line)[0], DATES[cut : cut + 5])


def test_one_target_of_several():
    wide = pd.DataFrame({"level": SERIES, "flow": SERIES + 3})
    others = pd.DataFrame({"rain": 0 * SERIES, "flow": SERIES + 3})
    for output in ("flow", 1):
        picture = plotting.forecast(wide[30:], history=others[:30], output=output)
        assert_array_equal(data(picture.artists["forecast"][0])[1], wide["flow"][30:])
        assert_array_equal(data(picture.artists["history"])[1], wide["flow"][:30])
        assert picture.axes.get_ylabel() == "flow"
    message = r"prediction has 2 columns: pass output=, one of \['level', 'flow'\]"
    with pytest.raises(ValueError, match=message):
        plotting.forecast(wide)
    with pytest.raises(ValueError, match="prediction has no column 'rain'"):
        plotting.forecast(wide, output="rain")
    with pytest.raises(ValueError, match="output must be 0 to 1, the columns of prediction"):
        plotting.forecast(wide.to_numpy(), output=2)
    with pytest.raises(ValueError, match="history has 3 columns, and prediction 2"):
        plotting.forecast(np.ones((5, 2)), history=np.ones((9, 3)), output=1)


def test_several_calls_draw_in_one_axes():
    _, ax = plt.subplots()
    first = plotting.forecast(np.ones(5), truth=np.zeros(5), start=1900, ax=ax)
    second = plotting.forecast(np.ones(3), start=1950, ax=ax, label="free run", color="tab:red")
    assert first.axes is second.axes is ax
    assert_array_equal(data(first.artists["truth"][0])[0], np.arange(1900, 1905))
    assert_array_equal(data(second.artists["forecast"][0])[0], [1950, 1951, 1952])
    assert labels(ax) == ["observed", "forecast", "free run"]


def test_a_band_has_the_colour_of_its_line():
    picture = plotting.forecast(np.ones(4), np.zeros(4), np.full(4, 2.0), color="#D55E00")
    assert_allclose(picture.artists["band"][0].get_facecolor()[0, :3], [213 / 255, 94 / 255, 0])
    assert_array_equal(data(picture.artists["forecast"][0])[0], [1, 2, 3, 4])
    assert picture.axes.get_xlabel() == "steps ahead"


def test_a_band_and_a_backtest_are_drawn_as_they_are():
    values = SERIES.to_numpy()[:, None]
    band = Band(values, values - 0.1, values + 0.3, values)
    picture = plotting.forecast(band)
    assert_allclose(band_of(picture.artists["band"][0])[1], np.hstack([band.lower, band.upper]))
    options = {"hidden_size": 2, "epochs": 2, "rng": 0}
    plain = SERIES.to_numpy()
    for series in (plain, pl.Series("level", plain), pd.Series(plain), SERIES):
        backtest = numlstm.backtest(series, 5, (30, 35), **options)
        picture = plotting.forecast(backtest, history=series)
        places = DATES if series is SERIES else np.arange(40)
        for line, cut in zip(picture.artists["forecast"], (30, 35), strict=True):
            assert_array_equal(data(line)[0], places[cut : cut + 5])


def test_what_is_said_of_a_band_or_a_backtest_is_not_ignored():
    options = {"hidden_size": 2, "epochs": 1, "rng": 0}
    backtest = numlstm.backtest(SERIES.to_numpy(), 5, (30, 35), **options)
    picture = plotting.forecast(backtest, start=[1030, 1035])
    first = [data(line)[0][0] for line in picture.artists["forecast"]]
    assert first == [1030, 1035]
    dated = numlstm.backtest(SERIES, 5, (30, 35), **options)
    with pytest.raises(ValueError, match="prediction has labels: leave it out"):
        plotting.forecast(dated, start=[1030, 1035])
    values = SERIES.to_numpy()[:, None]
    with pytest.raises(ValueError, match="is a Band, which has its ends in it: leave lower="):
        plotting.forecast(Band(values, values - 1, values + 1, values), values - 2, values + 2)


def test_an_index_that_nobody_chose_counts_no_times():
    frame = pd.DataFrame({"level": np.arange(40.0)})
    picture = plotting.forecast(frame[:5], history=frame)
    assert_array_equal(data(picture.artists["history"])[0], np.arange(40))
    assert_array_equal(data(picture.artists["forecast"][0])[0], np.arange(40, 45))
    assert_array_equal(
        data(plotting.forecast(frame[30:]).artists["forecast"][0])[0], frame[30:].index
    )


def test_lines_look_as_the_caller_says():
    (line,) = plotting.forecast([1, 2], c="red", lw=3, label="mine").artists["forecast"]
    assert (line.get_color(), line.get_linewidth(), line.get_label()) == ("red", 3, "mine")
    points = plotting.eigenvalues([0.5], ms=9, marker="x").artists["points"]
    assert (points.get_markersize(), points.get_marker()) == (9, "x")


def test_one_step_is_a_point():
    (line,) = plotting.forecast([2.0], history=np.ones(5)).artists["forecast"]
    assert line.get_marker() == "o"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prediction": np.ones((3, 5, 1))}, r"3 sequences, shape \(3, 5, 1\): pass prediction\[0"),
        ({"prediction": []}, r"must be one series, .* received \(0,\)"),
        ({"prediction": [1.0, np.inf]}, "prediction has infinite values: write NaN"),
        ({"prediction": [1.0], "lower": [0.0]}, "a band has two ends: pass upper=, too"),
        ({"prediction": [1.0], "lower": [0.0, 1.0], "upper": [1.0]}, "lower must have the 1 steps"),
        ({"prediction": [1.0], "truth": [0.0, 1.0]}, "truth must have the 1 steps of the forecast"),
        ({"prediction": [np.ones(2)] * 3}, "3 forecasts without labels: pass start="),
        ({"prediction": [np.ones(2)] * 3, "start": [1, 2]}, "one step for each forecast, 3, rec"),
        ({"prediction": SERIES, "start": 3}, "prediction has labels: leave it out"),
        ({"prediction": SERIES[30:], "history": np.ones(30)}, "prediction has dates, and history"),
        (
            {"prediction": SERIES[30:], "history": SERIES, "truth": SERIES[30:]},
            "history goes on to 2020-04-09, and truth begins at 2020-03-31: end history before",
        ),
        (
            {"prediction": [1.0], "history": np.ones(9), "truth": [1.0], "start": 8},
            "history goes on to step 8, and truth begins at step 8: .* or leave truth out",
        ),
        ({"prediction": SERIES, "lower": SERIES.shift(freq="D"), "upper": SERIES}, "other labels"),
    ],
)
def test_what_does_not_fit_a_forecast(arguments, message):
    with pytest.raises(ValueError, match=message):
        plotting.forecast(**arguments)


def test_a_history_of_which_it_is_not_known_how_it_goes_on():
    gaps = SERIES.iloc[[0, 1, 5, 7]]
    with pytest.raises(ValueError, match="not known how the day of history goes on"):
        plotting.forecast(np.ones(3), history=gaps)


# labels of many kinds


@pytest.mark.parametrize(
    ("index", "first", "title"),
    [
        (pd.period_range("2020-03", periods=4, freq="M"), np.datetime64("2020-03-01"), ""),
        (pd.date_range("2020-03-29", periods=4, freq="h", tz="Europe/Berlin"), None, ""),
        (pd.timedelta_range("0h", periods=4, freq="2h", name="age"), 0.0, "age (hours)"),
        (pd.Index([1900, 1901, 1902, 1903], name="year"), 1900, "year"),
        (pd.Index(["2020-03-01", "2020-03-02", "2020-03-03", "2020-03-04"]), DATES[0], ""),
    ],
)
def test_an_index_of_pandas_is_the_axis(index, first, title):
    picture = plotting.forecast(pd.Series(np.arange(4.0), index))
    places = data(picture.artists["forecast"][0])[0]
    assert places[0] == (index.tz_localize(None)[0].to_numpy() if first is None else first)
    assert len(places) == 4
    assert picture.axes.get_xlabel() == title


def test_a_column_of_dates_of_polars():
    frame = pl.DataFrame({"when": list(DATES.to_pydatetime()), "level": SERIES.to_numpy()})
    picture = plotting.forecast(frame)
    assert_array_equal(data(picture.artists["forecast"][0])[0], DATES)
    assert (picture.axes.get_xlabel(), picture.axes.get_ylabel()) == ("when", "level")


def test_units_of_a_data_array():
    array = xr.DataArray(
        SERIES.to_numpy(),
        {"time": ("time", np.arange(40.0), {"units": "h"})},
        name="q",
        attrs={"units": "m3/s", "long_name": "discharge"},
    )
    picture = plotting.residuals(array, array + 0.1 * np.cos(array.time))
    axes = picture.axes
    assert axes[0].get_xlabel() == "time (h)"
    for ax, which in ((axes[0], "y"), (axes[2], "x"), (axes[3], "y")):
        assert getattr(ax, f"get_{which}label")() == "residual of discharge (m3/s)"


def test_labels_that_are_no_times_are_refused():
    with pytest.raises(ValueError, match=r"no numbers or dates, such as 'a': .*to_numpy\(\) is dr"):
        plotting.forecast(pd.Series([1.0, 2.0], ["a", "b"]))
    panel = pd.concat({"a": SERIES, "b": SERIES})
    with pytest.raises(ValueError, match="prediction holds several series: pass one of them"):
        plotting.forecast(panel)

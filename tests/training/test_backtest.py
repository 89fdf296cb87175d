"""Backtests, against the loop by hand."""

import numpy as np
import pandas as pd
import pytest

import numlstm

SMALL = {"hidden_size": 3, "epochs": 1, "rng": 0, "dtype": "float64"}
X = np.random.default_rng(0).standard_normal((40, 2))
FUTURE = np.random.default_rng(1).standard_normal((40, 1))


def require_scores(tested, forecasts, truths):
    errors = np.concatenate([np.stack(forecasts) - np.stack(truths)])
    np.testing.assert_allclose(tested.rmse, np.sqrt((errors**2).mean(axis=(0, 1))), rtol=1e-12)
    np.testing.assert_allclose(tested.mae, np.abs(errors).mean(axis=(0, 1)), rtol=1e-12)
    by_step = np.sqrt((errors**2).mean(axis=0))
    np.testing.assert_allclose(tested.rmse_by_step, by_step, rtol=1e-12)
    np.testing.assert_allclose(tested.mae_by_step, np.abs(errors).mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("recursive", [False, True])
def test_a_fit_and_a_forecast_at_every_cut(recursive):
    tested = numlstm.backtest(X, 3, [20, 37], future=FUTURE, recursive=recursive, **SMALL)
    assert tested.cuts == (20, 37)
    forecasts = []
    for cut in (20, 37):
        asked = {} if recursive else {"horizon": 3}
        known = FUTURE[: cut + 3]
        model = numlstm.fit(X[:cut], future=known, **asked, **SMALL).model
        forecasts.append(model.forecast(X[:cut], 3, future=known))
    np.testing.assert_array_equal(tested.forecasts, forecasts)
    truths = [X[20:23], X[37:40]]
    np.testing.assert_array_equal(tested.truths, truths)
    require_scores(tested, forecasts, truths)
    assert [result.nit for result in tested.results] == [1, 1]
    way = "fed back" if recursive else "at once"
    assert tested.recursive is recursive
    assert repr(tested).startswith(f"<Backtest of 2 forecasts of 3 steps, {way}>\nStep  rmse y0")


def test_targets_of_their_own_and_a_number_of_cuts():
    y = X[:, 0] + 1
    tested = numlstm.backtest(X, 4, 3, y=y, **SMALL)
    assert tested.cuts == (28, 32, 36)
    forecasts = [
        numlstm.fit(X[:cut], y[:cut], horizon=4, **SMALL).model.forecast(X[:cut])
        for cut in tested.cuts
    ]
    np.testing.assert_array_equal(tested.forecasts, forecasts)
    assert not tested.recursive
    np.testing.assert_array_equal(tested.truths[0], y[28:32, None])
    require_scores(tested, forecasts, [y[cut : cut + 4, None] for cut in tested.cuts])


@pytest.mark.parametrize("options", [{}, {"loss": "huber"}, {"window": 8}, {"bptt_steps": 5}])
def test_what_is_tested_is_what_fit_and_forecast_give(options):
    tested = numlstm.backtest(X, 3, [20], future=FUTURE, **options, **SMALL)
    model = numlstm.fit(X[:20], future=FUTURE[:23], **options, **SMALL).model
    forecast = model.forecast(X[:20], 3, future=FUTURE[:23])
    np.testing.assert_array_equal(tested.forecasts[0], forecast)
    assert tested.recursive


def test_a_model_given_forecasts_as_it_was_fitted():
    for horizon in (None, 3):
        first = numlstm.fit(X[:20], horizon=horizon, **SMALL)
        tested = numlstm.backtest(X, 3, [20], model=first.model, epochs=1, rng=1)
        model = numlstm.fit(X[:20], model=first.model, epochs=1, rng=1).model
        np.testing.assert_array_equal(tested.forecasts[0], model.forecast(X[:20], 3))
        assert tested.recursive is (horizon is None)


def test_truths_have_the_form_of_the_forecasts():
    days = pd.date_range("2024-01-01", periods=40)
    sales, other = pd.Series(X[:, 0], days, name="sales"), pd.Series(X[:, 1], days, name="other")
    tested = numlstm.backtest(sales, 3, 1, **SMALL)
    assert list(tested.truths[0].columns) == list(tested.forecasts[0].columns) == ["sales"]
    pd.testing.assert_series_equal(tested.truths[0]["sales"], sales[37:], check_freq=False)
    for y in (other, other.to_numpy()):
        tested = numlstm.backtest(sales, 3, 1, y=y, **SMALL)
        error = tested.truths[0] - tested.forecasts[0]
        assert error.shape == (3, 1)
        np.testing.assert_allclose(tested.mae, error.abs().mean(), rtol=1e-12)
        np.testing.assert_array_equal(tested.truths[0].iloc[:, 0], X[37:, 1])
    gap = sales.drop(days[10])
    with pytest.warns(UserWarning, match="unequal step"):  # where a forecast has no dates
        tested = numlstm.backtest(gap, 3, 1, **SMALL)
    assert tested.forecasts[0].index.equals(days[37:])
    assert (tested.truths[0] - tested.forecasts[0]).notna().all(axis=None)
    panel = pd.concat([sales, sales + 1], keys=["a", "b"], names=["shop", "day"])
    tested = numlstm.backtest(panel, 3, 1, y=np.tile(X[:, 1], 2), **SMALL)
    np.testing.assert_array_equal(tested.truths[0]["y0"], np.tile(X[37:, 1], 2))
    assert tested.truths[0].index.equals(tested.forecasts[0].index)


def a_day(place):
    return pd.date_range("2024-01-01", periods=40)[place]


@pytest.mark.parametrize(
    "cuts",
    [
        ["2024-01-21", "2024-02-07"],
        [a_day(20), a_day(37).date()],
        np.array(["2024-01-20T12", "2024-02-07T00"], "datetime64[h]"),
        pd.DatetimeIndex([a_day(20), a_day(37)]),
        [20, pd.Period("2024-02-07", "D")],
    ],
)
def test_dates_are_cuts_at_what_is_forecast_first(cuts):
    sales = pd.DataFrame({"sales": X[:, 0]}, a_day(slice(None)))
    expected = numlstm.backtest(X[:, 0], 3, [20, 37], **SMALL)
    periods = sales.to_period("D")
    column = sales.rename_axis("day").reset_index()
    panel = pd.concat([sales, sales], keys=["a", "b"], names=["shop", "day"])
    for frame in (sales, periods, column):
        tested = numlstm.backtest(frame, 3, cuts, **SMALL)
        assert tested.cuts == (20, 37)
        np.testing.assert_array_equal(tested.rmse, expected.rmse)
        if frame is not column:
            assert tested.forecasts[0].index[0] == frame.index[20]
    assert numlstm.backtest(panel, 3, cuts, **SMALL).cuts == (20, 37)


def test_a_date_is_one_on_the_clock_of_the_series():
    hours = pd.date_range("2024-03-01", periods=40, freq="h", tz="America/New_York")
    frame = pd.DataFrame(X, hours, ["flow", "level"])
    for cut in ("2024-03-01 20:00", hours[20], hours[20].tz_convert("UTC")):
        assert numlstm.backtest(frame, 3, [cut], **SMALL).cuts == (20,)
    assert numlstm.backtest(frame, 3, "2024-03-02", **SMALL).cuts == (24,)
    array = pytest.importorskip("xarray").DataArray(
        X, {"time": a_day(slice(None))}, dims=("time", "feature")
    )
    assert numlstm.backtest(array, 3, "2024-01-21", **SMALL).cuts == (20,)


def test_dates_that_are_no_cuts():
    days = a_day(slice(None))
    frame = pd.DataFrame(X, days, ["flow", "level"])
    later = pd.DataFrame(X, days + pd.Timedelta("3D"), ["flow", "level"])
    for series, cut, words in (
        (X, "2024-01-21", "cuts must be numbers of steps.*series has no dates"),
        (frame, "soon", "'soon' is no date that can be read"),
        (frame, "2024-01-01", "one of the times after the first of series.*from 2024-01-01"),
        (frame, "2025-01-01", "which go from 2024-01-01 to 2024-02-09"),
        (frame, "2024-02-08", "a cut after 38 steps leaves no 3 steps to compare with"),
        (frame, pd.Timestamp("2024-01-21", tz="UTC"), "has a time zone, and .* has none"),
        ([frame, later], "2024-01-21", r"after 20 of series\[0\] and 17 of series\[1\]"),
    ):
        with pytest.raises(ValueError, match=words):
            numlstm.backtest(series, 3, [cut], **SMALL)


@pytest.mark.parametrize("target", [None, "w"])
def test_series_of_a_panel_are_told_apart_in_any_order_of_rows(target):
    a = pd.DataFrame({"v": X[:, 0], "w": X[:, 1]}, a_day(slice(None)))
    panel = pd.concat([a, a + 100], keys=["a", "b"], names=["shop", "day"])
    rows = np.arange(80).reshape(2, 40).T.copy()
    rows[37:] = rows[37:, ::-1]  # the other shop comes first
    found = []
    for frame in (panel, panel.iloc[rows.ravel()]):
        y = None if target is None else frame[target]
        found.append(numlstm.backtest(frame[["v"]], 3, 1, y=y, **SMALL))
    assert found[1].truths[0].index.equals(found[1].forecasts[0].index)
    name = target or "v"
    assert list(found[1].truths[0].columns) == [name]
    later = panel[panel.index.get_level_values("day") >= a_day(37)]
    pd.testing.assert_series_equal(found[1].truths[0][name].sort_index(), later[name])
    np.testing.assert_allclose(found[1].rmse, found[0].rmse, rtol=1e-12)


def test_targets_of_a_batch_without_an_axis_for_them():
    batch = np.stack([X, X + 1])
    tested = numlstm.backtest(batch, 2, [25], y=batch[..., 0], **SMALL)
    np.testing.assert_array_equal(tested.truths[0], batch[:, 25:27, :1])
    error = np.abs(tested.forecasts[0] - tested.truths[0])
    np.testing.assert_allclose(tested.mae, error.mean(axis=(0, 1)), rtol=1e-12)


def test_several_series_are_cut_at_the_same_step():
    series = [X, X[:30] + 1]
    tested = numlstm.backtest(series, 2, [25, 28], recursive=False, **SMALL)
    model = numlstm.fit([part[:28] for part in series], horizon=2, **SMALL).model
    expected = model.forecast([part[:28] for part in series])
    for found, part in zip(tested.forecasts[1], expected, strict=True):
        np.testing.assert_array_equal(found, part)
    np.testing.assert_array_equal(tested.truths[1][1], series[1][28:30])
    batch = np.stack([X, X + 1])
    of_batch = numlstm.backtest(batch, 2, [25], **SMALL)
    assert of_batch.forecasts[0].shape == of_batch.truths[0].shape == (2, 2, 2)
    errors = of_batch.forecasts[0] - of_batch.truths[0]
    np.testing.assert_allclose(of_batch.mae, np.abs(errors).mean(axis=(0, 1)), rtol=1e-12)


def test_labels_are_kept():
    days = pd.date_range("2024-01-01", periods=40)
    frame = pd.DataFrame(X, days, ["flow", "level"])
    known = pd.DataFrame(FUTURE, days, ["holiday"])
    tested = numlstm.backtest(frame, 3, [20, 37], future=known, **SMALL)
    plain = numlstm.backtest(X, 3, [20, 37], future=FUTURE, **SMALL)
    for forecast, truth, values in zip(
        tested.forecasts, tested.truths, plain.forecasts, strict=True
    ):
        np.testing.assert_array_equal(forecast, values)
        assert (forecast.index == truth.index).all()
        assert list(forecast.columns) == list(truth.columns) == ["flow", "level"]
    np.testing.assert_array_equal(tested.rmse_by_step, plain.rmse_by_step)
    panel = pd.concat([frame, frame + 1], keys=["a", "b"], names=["basin", "day"])
    of_panel = numlstm.backtest(panel, 3, 1, **SMALL)
    assert of_panel.forecasts[0].index.equals(of_panel.truths[0].index)


def test_containers_of_other_libraries():
    pl, xr = pytest.importorskip("polars"), pytest.importorskip("xarray")
    plain = numlstm.backtest(X, 3, 1, **SMALL)
    table = pl.DataFrame(X, schema=["flow", "level"])
    tested = numlstm.backtest(table, 3, 1, **SMALL)
    np.testing.assert_array_equal(tested.forecasts[0].to_numpy(), plain.forecasts[0])
    np.testing.assert_array_equal(tested.rmse, plain.rmse)
    array = xr.DataArray(X, dims=("time", "feature"))
    np.testing.assert_array_equal(numlstm.backtest(array, 3, 1, **SMALL).rmse, plain.rmse)


def test_what_did_not_come_does_not_count():
    gaps = X[:, :1].copy()
    gaps[38] = np.nan
    tested = numlstm.backtest(gaps, 3, 1, missing="mask", **SMALL)
    error = np.abs(tested.forecasts[0] - gaps[37:])
    np.testing.assert_allclose(tested.mae, np.nanmean(error), rtol=1e-12)
    assert np.isnan(tested.mae_by_step[1])


def test_means_alone_are_compared():
    tested = numlstm.backtest(X, 2, 1, loss="gaussian_nll", **SMALL)
    assert tested.forecasts[0].shape == (2, 4)
    require_scores(tested, [tested.forecasts[0][:, :2]], [X[38:]])


@pytest.mark.parametrize(
    ("cuts", "options", "words"),
    [
        ([38], {}, "a cut after 38 steps leaves no 3 steps to compare with"),
        ([], {}, "cuts must have one number of steps"),
        (14, {}, "14 cuts of 3 steps each need more than 42 steps"),
        (1, {"lengths": [3]}, "lengths= does not go with it"),
        (1, {"recursive": True, "y": X}, "leave one of them out"),
        (1, {"loss": "cross_entropy"}, "horizon= and future= forecast numbers"),
    ],
)
def test_what_cannot_be_tested_is_refused(cuts, options, words):
    with pytest.raises(ValueError, match=words):
        numlstm.backtest(X, 3, cuts, **options, **SMALL)
    with pytest.raises(TypeError, match="has no keyword 'units'"):
        numlstm.backtest(X, 3, 1, units=3)


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("window", [None, 8])
def test_attributes_and_windows(recursive, window):
    series, static = np.stack([X, X[::-1] + 1]), np.array([[1.0, 3.0], [2.0, 5.0]])
    future = np.stack([FUTURE, FUTURE[::-1]])
    options = SMALL | {"static": static, "window": window}
    tested = numlstm.backtest(series, 2, [30], future=future, recursive=recursive, **options)
    asked = {} if recursive else {"horizon": 2}
    model = numlstm.fit(series[:, :30], future=future[:, :32], **asked, **options).model
    forecast = model.forecast(series[:, :30], 2, future=future[:, :32], static=static)
    np.testing.assert_array_equal(tested.forecasts[0], forecast)
    require_scores(tested, list(forecast), list(series[:, 30:32]))
    other = model.forecast(series[:, :30], 2, future=future[:, :32], static=static + 1)
    assert (other != forecast).any()

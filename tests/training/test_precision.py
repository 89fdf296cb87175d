"""Data keep the precision in which they were given until they are standardised."""

import numpy as np
import pytest

import numlstm

OPTIONS = {"hidden_size": 16, "bptt_steps": 50, "epochs": 30, "rng": 0}
WAVE = np.sin(np.arange(600) / 9)


def small(X, **options):
    return numlstm.fit(X, hidden_size=3, rng=0, **options)


def errors(dtype, series):
    """Of forecasts of the last sixth, those of persistence, and the forecasts."""
    model = numlstm.fit(series[:500], dtype=dtype, **OPTIONS).model
    forecast = model.predict(series[:-1])[499:, 0]
    truth = np.asarray(series[500:], np.longdouble)
    held = np.asarray(series[499:-1], np.longdouble)
    return *(float(np.sqrt(np.mean((f - truth) ** 2))) for f in (forecast, held)), forecast


@pytest.mark.parametrize(
    "series",
    [
        47.37 + 1e-5 * WAVE,  # below float32's resolution
        -273.15 + 1e-4 * WAVE,
        101325 + 1e-6 * WAVE,
        10**12 + np.round(3000 * WAVE).astype(np.int64),
    ],
)
def test_a_small_wave_on_a_large_mean_is_forecast_as_in_float64(series):
    error, persistence, forecast = errors("float32", series)
    assert error < 0.1 * persistence
    exact, _, expected = errors("float64", series)
    assert forecast.dtype == expected.dtype == np.float64
    assert error < 1.001 * exact
    np.testing.assert_allclose(forecast, expected, rtol=0, atol=0.001 * persistence)


FEW_LEVELS = [1000 + 5e-4 * WAVE, 47.37 + 2e-5 * WAVE, -1e6 + 0.3 * WAVE, 1e30 * (1 + 3e-7 * WAVE)]


@pytest.mark.parametrize("series", FEW_LEVELS)
def test_float32_data_of_few_levels_are_the_same_numbers_in_float64(series):
    """Their moments are taken in float64, to which only a column of one level is constant."""
    narrow = series.astype("float32")
    assert 4 < np.unique(narrow).size < 40
    options = OPTIONS | {"epochs": 3}
    near, far = (numlstm.fit(part, **options) for part in (narrow, narrow.astype(float)))
    scaling = near.model.scaling
    assert scaling.x_scale[0] == pytest.approx(np.std(narrow[:-1], dtype=np.float64), rel=1e-9)
    assert near.x.tobytes() == far.x.tobytes()
    assert near.fun == far.fun
    many = numlstm.ensemble(narrow, members=2, bootstrap=False, **options)
    np.testing.assert_array_equal(many.models[0].scaling.x_scale, scaling.x_scale)
    steps = np.arange(600.0)
    both = [numlstm.fit(steps, part, **options) for part in (narrow, narrow.astype(float))]
    assert both[0].model.scaling.y_scale[0] == pytest.approx(np.std(narrow, dtype=float), rel=1e-9)
    assert both[0].x.tobytes() == both[1].x.tobytes()


def test_float32_data_of_few_levels_are_forecast():
    error, persistence, _ = errors("float32", (1000 + 2e-3 * WAVE).astype("float32"))
    assert error < 0.5 * persistence


NANOSECONDS = 1_700_000_000_000_000_000 + (1000 * np.sin(np.arange(400) / 9)).astype(np.int64)
LOST = {
    "int64": NANOSECONDS,
    "negative": -NANOSECONDS,
    "uint64": NANOSECONDS.astype(np.uint64) + np.uint64(2**63),
    "beside int64's end": 2**63 - 1 - NANOSECONDS % 1000,
    "two features": np.stack([np.arange(400), NANOSECONDS], axis=1),
    "two features, one of which loses little": np.stack(
        [2**60 + 1 + 10**12 * np.arange(400), NANOSECONDS], axis=1
    ),
    "a batch": NANOSECONDS.reshape(4, 100, 1),
    "a list": [np.arange(50), NANOSECONDS],
    "plain numbers": NANOSECONDS.tolist(),
    "a fine wave": 2**60 + np.round(1e4 * WAVE[:400]).astype(np.int64),
}
if np.finfo(np.longdouble).eps < np.finfo(float).eps:
    LOST["longdouble"] = 1e9 + 1e-8 * np.sin(np.arange(400, dtype=np.longdouble) / 9)
    LOST["longdouble of some levels"] = 1e9 + 1e-6 * np.sin(np.arange(400, dtype=np.longdouble))


TOLD = r"{0}.* has .* and .*, which differ, but are one number in float64: pass .*{0}.* - {0}.*\[0"


@pytest.mark.parametrize("kind", LOST)
def test_what_float64_cannot_tell_apart_is_refused(kind):
    data = LOST[kind]
    with pytest.raises(ValueError, match=TOLD.format("X")):
        numlstm.fit(data, hidden_size=3, epochs=1)
    with pytest.raises(ValueError, match=TOLD.format("X")):
        numlstm.ensemble(data, bootstrap=False, members=2, hidden_size=3, epochs=1)
    features = 2 if kind.startswith("two features") else 1
    model = numlstm.fit(np.sin(np.ones((40, features))), hidden_size=3, epochs=1).model
    with pytest.raises(ValueError, match=TOLD.format("X")):
        model.predict(data)


@pytest.mark.parametrize("kind", ["int64", "negative", "uint64", "a fine wave", "plain numbers"])
def test_targets_that_float64_cannot_tell_apart_are_refused(kind):
    usual, data = np.zeros(400), LOST[kind]
    with pytest.raises(ValueError, match=TOLD.format("y")):
        numlstm.fit(usual, data, hidden_size=3, epochs=1)
    with pytest.raises(ValueError, match="which differ"):
        numlstm.fit(usual, usual, validation=(usual, data), hidden_size=3, epochs=1)
    with pytest.raises(ValueError, match=TOLD.format("y")):
        numlstm.objective(numlstm.LSTM(1, 3, 1), usual, data)


@pytest.mark.parametrize("library", ["pandas", "nullable", "polars", "xarray"])
def test_columns_that_float64_cannot_tell_apart_are_refused(library):
    """A column of floats beside it, or a missing value, makes them float64."""
    import pandas as pd
    import polars as pl
    import xarray as xr

    columns = {"a": np.arange(400.0), "t": NANOSECONDS}
    if library == "nullable":
        columns["t"] = pd.array([None, *NANOSECONDS[1:]], dtype="Int64")
    if library == "xarray":
        data = xr.DataArray(NANOSECONDS, dims="time", coords={"time": np.arange(400)})
    else:
        data = pl.DataFrame(columns) if library == "polars" else pd.DataFrame(columns)
    with pytest.raises(ValueError, match=TOLD.format("X")):
        numlstm.fit(data, hidden_size=3, epochs=1, missing="mask")


def test_differences_are_what_to_pass():
    """As the message says; and what float64 tells apart is read, however large."""
    series = NANOSECONDS.repeat(2)[:600]
    unsigned = series.astype(np.uint64) + np.uint64(2**62)
    expected = numlstm.fit((series - series[0]).astype(float), **OPTIONS)
    for data in (series - series[0], (unsigned - unsigned[0]).astype("int64")):
        np.testing.assert_array_equal(numlstm.fit(data, **OPTIONS).x, expected.x)
    near = numlstm.fit(np.arange(600), **OPTIONS)
    for start, step in ((1_700_000_000_000_000_000, 1_000_000_000), (2**62, 4096)):
        far = numlstm.fit(start + step * np.arange(600), **OPTIONS)
        assert far.fun == pytest.approx(near.fun, rel=1e-3)


@pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(float).eps, reason="longdouble is float64 here"
)
def test_rounding_of_longdoubles_is_no_difference():
    phase = np.arange(600, dtype=np.longdouble) * (2 * np.longdouble(np.pi) / 8)
    for wide in (np.sin(phase), np.full(600, np.longdouble(1) / 3), 47.37 + 1e-5 * np.sin(phase)):
        jitter = np.where(np.arange(600) % 2, wide, np.nextafter(wide, np.longdouble(2)))
        one, other = (numlstm.fit(part, **OPTIONS) for part in (jitter, jitter.astype(float)))
        np.testing.assert_array_equal(one.x, other.x)


@pytest.mark.parametrize("where", ["X", "y", "both"])
def test_inputs_and_targets_each_keep_theirs(where):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 12, 2))
    y = np.cumsum(X[..., :1], axis=1)
    far_X = 1e4 + 1e-6 * X if where != "y" else X
    far_y = 300 + 1e-7 * y if where != "X" else y
    options = {"hidden_size": 8, "epochs": 5, "rng": 0}
    near, far = numlstm.fit(X, y, **options), numlstm.fit(far_X, far_y, **options)
    assert far.fun == pytest.approx(near.fun, rel=1e-3)
    scale = far.model.scaling.y_scale / near.model.scaling.y_scale
    back = (far.model.predict(far_X) - far.model.scaling.y_mean) / scale
    expected = near.model.predict(X) - near.model.scaling.y_mean
    np.testing.assert_allclose(back, expected, atol=2e-3)


def test_series_of_a_list_keep_theirs_too():
    series = [47.37 + 1e-5 * WAVE[:n] for n in (300, 420)]
    result = numlstm.fit(series, hidden_size=8, epochs=2, rng=0)
    spread = np.concatenate([part[:-1] for part in series]).std()
    assert result.model.scaling.x_scale[0] == pytest.approx(spread, rel=1e-6)
    assert 0.3 < result.history["loss"][0] < 3  # of targets of variance 1
    mixed = [series[0], np.zeros(5, "float32")]
    Y = result.model.predict(mixed)
    np.testing.assert_array_equal(Y[0], result.model.predict(series)[0])


def test_missing_inputs_are_filled_in_the_precision_of_the_data():
    series = 47.37 + 1e-5 * WAVE
    near, far = WAVE.copy(), series.copy()
    near[5::7] = far[5::7] = np.nan
    options = {"hidden_size": 8, "epochs": 3, "missing": "mask", "rng": 0}
    one, other = numlstm.fit(near, **options), numlstm.fit(far, **options)
    assert other.fun == pytest.approx(one.fun, rel=1e-3)
    back = (other.model.predict(far) - 47.37) / 1e-5
    np.testing.assert_allclose(back, one.model.predict(near), atol=2e-3)


def test_ensembles_bands_and_estimators_answer_in_the_precision_of_the_data():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((24, 8, 1))
    y = np.cumsum(X, axis=1) + 0.1 * rng.standard_normal(X.shape)
    far = 47.37 + 1e-6 * y
    options = {"hidden_size": 3, "epochs": 20, "rng": 0}

    def back(values):
        return (values - 47.37) / 1e-6

    many, near = (numlstm.ensemble(X, part, members=2, **options) for part in (far, y))
    for one, other in zip(many.predict(X), near.predict(X), strict=True):
        assert one.dtype == np.float64
        moved = one - 47.37 if one.mean() > 1 else one
        np.testing.assert_allclose(moved / 1e-6, other, atol=2e-3)
    assert [part.dtype for part in many.predict(X.astype("float32"))] == [np.float32] * 2

    decay = {"weight_decay": 1e-2}
    far_fit, near_fit = (numlstm.fit(X, part, **options, **decay) for part in (far, y))
    band = far_fit.covariance(X, far, **decay).predict(X)
    expected = near_fit.covariance(X, y, **decay).predict(X)
    np.testing.assert_allclose(back(band.lower), expected.lower, atol=5e-3)
    np.testing.assert_allclose(back(band.upper), expected.upper, atol=5e-3)
    assert {part.dtype for part in band} == {np.dtype(np.float64)}
    narrow = far_fit.covariance(X, far, **decay).predict(X.astype("float32"))
    assert {part.dtype for part in narrow} == {np.dtype(np.float32)}

    settings = {"hidden_size": 3, "epochs": 20, "random_state": 0}
    last = far[:, -1, 0]
    regressor = numlstm.LSTMRegressor(**settings).fit(X, last)
    same = numlstm.LSTMRegressor(**settings).fit(X, y[:, -1, 0])
    assert regressor.predict(X).dtype == np.float64
    assert regressor.predict(X.astype("float32")).dtype == np.float32
    np.testing.assert_allclose(back(regressor.predict(X)), same.predict(X), atol=2e-3)
    assert regressor.score(X, last) == pytest.approx(same.score(X, y[:, -1, 0]), abs=1e-3)


@pytest.mark.parametrize(
    "series", [47.37 + 1e-5 * WAVE, 101325 + 1e-6 * WAVE, 10**12 + np.round(3000 * WAVE)]
)
def test_rollouts_are_as_in_float64(series):
    forecasts, gradients = [], []
    for dtype in ("float32", "float64"):
        model = numlstm.fit(series[:500], dtype=dtype, **OPTIONS).model
        Y, pullback = model.rollout_vjp(series[:500], 20)
        np.testing.assert_array_equal(model.rollout(series[:500], 20), Y)
        assert Y.dtype == np.float64
        forecasts.append(Y[:, 0])
        gradients.append(pullback(np.ones_like(Y)).X_warm)
    held = np.sqrt(np.mean((series[500:520] - series[499]) ** 2))
    assert np.sqrt(np.mean((forecasts[0] - series[500:520]) ** 2)) < 0.1 * held
    np.testing.assert_allclose(*forecasts, rtol=0, atol=0.005 * held)
    np.testing.assert_allclose(*gradients, rtol=0, atol=0.01 * np.abs(gradients[1]).max())


def test_steps_convert_by_the_scaling_in_float64():
    series = 47.37 + 1e-5 * WAVE
    model = numlstm.fit(series, hidden_size=8, epochs=3, rng=0).model
    y, _ = model.step(model.scaling.inputs(series[:1]))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(model.scaling.outputs(y), model.predict(series)[0])


def test_scheduled_sampling_sees_the_next_inputs_in_either_precision():
    series = 47.37 + 1e-5 * WAVE
    X, y = series[None, :-1, None], series[None, 1:, None]
    options = {"hidden_size": 4, "epochs": 1, "rng": 0, "scheduled_sampling": 0.5}
    expected = numlstm.fit(series, **options).x
    np.testing.assert_array_equal(numlstm.fit(X, y, **options).x, expected)
    numlstm.fit(X.astype("float32"), y, **options)
    with pytest.raises(ValueError, match="targets must be the next inputs"):
        numlstm.fit(X, y + 1e-5, **options)


def test_digits_that_are_lost_may_be_small_beside_the_spread():
    """Of longdoubles that come back to where they were, and of event times in nanoseconds."""
    turn = np.longdouble(2) * np.arccos(np.longdouble(-1))
    wave = np.sin(np.arange(300, dtype=np.longdouble) * turn / 12)
    assert small(wave, epochs=1).fun == small(wave.astype(float), epochs=1).fun
    events = 1_700_000_000_000_000_000 + np.cumsum(np.random.default_rng(0).integers(1, 9000, 500))
    assert small(events, epochs=1).fun == small(events.astype(float), epochs=1).fun


@pytest.mark.parametrize("levels", [
    10**16 + 6 * (np.arange(300) // 9 % 2),
    1_700_000_000_000_000_000 + 300 * np.round(6 * np.sin(np.arange(300) / 9)).astype(np.int64),
])  # fmt: skip
def test_whole_numbers_that_differ_are_no_constant(levels):
    near = levels - levels[0]
    far, near = (small(part, epochs=1).model.scaling.x_scale for part in (levels, near))
    np.testing.assert_allclose(far, near, rtol=0.2)  # they are rounded to 256 there

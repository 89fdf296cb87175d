"""Forecasts: in one pass, by a rollout, with what is known ahead, and with labels."""

import copy
import io
import pickle

import numpy as np
import pandas as pd
import pytest

import numlstm

SMALL = {"hidden_size": 4, "epochs": 1, "rng": 0, "dtype": "float64"}
STEPS, EXTRA = 40, 6


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


X, FUTURE = 3 + 2 * numbers(STEPS, 2), numbers(STEPS + EXTRA, 1, seed=1)
DAYS = pd.date_range("2024-01-01", periods=STEPS + EXTRA)


@pytest.fixture(scope="module")
def recursive():
    return numlstm.fit(X, future=FUTURE, **SMALL).model


@pytest.fixture(scope="module")
def direct():
    return numlstm.fit(X, future=FUTURE, horizon=3, **SMALL).model


def test_a_recursive_forecast_is_a_rollout(recursive):
    laid = np.c_[X, FUTURE[1 : STEPS + 1]]
    exogenous = np.r_[FUTURE[STEPS + 1 : STEPS + 5], [[99.0]]]  # the last is not read
    Y = recursive.forecast(X, 5, future=FUTURE)
    np.testing.assert_array_equal(Y, recursive.rollout(laid, 5, exogenous))
    np.testing.assert_array_equal(Y, recursive.forecast(X, 5, future=FUTURE[: STEPS + 5]))
    plain = numlstm.fit(X, **SMALL).model
    np.testing.assert_array_equal(plain.forecast(X, 4), plain.rollout(X, 4))


def test_a_recursive_forecast_is_made_step_by_step(recursive):
    series, Y = X, recursive.forecast(X, 4, future=FUTURE)
    for step in range(4):
        following = recursive.predict(series, future=FUTURE)[-1]
        np.testing.assert_allclose(Y[step], following, rtol=1e-10)
        series = np.r_[series, following[None]]


def test_a_direct_forecast_is_the_last_row_of_predict(direct):
    Y, every = direct.forecast(X, future=FUTURE), direct.predict(X, future=FUTURE)
    assert every.shape == (STEPS, 6)
    np.testing.assert_array_equal(Y, every[-1].reshape(3, 2))
    np.testing.assert_array_equal(direct.forecast(X, 2, future=FUTURE), Y[:2])
    inside = np.c_[X, FUTURE[1:41], FUTURE[2:42], FUTURE[3:43]]
    outputs, _ = direct.forward(direct.scaling.inputs(inside[None]))
    np.testing.assert_array_equal(every, direct.scaling.outputs(outputs)[0])


@pytest.mark.parametrize("kind", ["recursive", "direct"])
def test_batches_and_lists_are_their_series(kind, request):
    model = request.getfixturevalue(kind)
    batch = np.stack([X[:30], X[5:35]])
    known = np.stack([FUTURE[:36], FUTURE[5:41]])
    Y = model.forecast(batch, 3, future=known)
    assert Y.shape == (2, 3, 2)
    for row in range(2):
        alone = model.forecast(batch[row], 3, future=known[row])
        np.testing.assert_array_equal(Y[row], alone)
    series, ahead = [X, X[:20]], [FUTURE, FUTURE[:24]]
    parts = model.forecast(series, 3, future=ahead)
    for part, one, future in zip(parts, series, ahead, strict=True):
        np.testing.assert_array_equal(part, model.forecast(one, 3, future=future))
    every = model.predict(series, future=ahead)
    np.testing.assert_array_equal(every[1], model.predict(series[1], future=ahead[1]))


def test_targets_of_their_own():
    y = 100 * X[:, 0]
    model = numlstm.fit(X, y, horizon=4, **SMALL).model
    assert model.forecast(X).shape == (4, 1)
    np.testing.assert_array_equal(model.forecast(X)[:, 0], model.predict(X)[-1])
    assert (model.horizon, model.num_future, model.forecasts) == (4, 0, False)


def test_log_variances_come_after_the_means():
    model = numlstm.fit(X, horizon=3, loss="gaussian_nll", **SMALL).model
    last, Y = model.predict(X)[-1], model.forecast(X)
    assert Y.shape == (3, 4)
    np.testing.assert_array_equal(Y[:, :2].ravel(), last[:6])
    np.testing.assert_array_equal(Y[:, 2:].ravel(), last[6:])


def test_parts_go_on_with_what_is_known_of_them(direct):
    whole = direct.predict(X, future=FUTURE)
    first, state = direct.predict(X[:25], future=FUTURE[:28], return_state=True)
    second = direct.predict(X[25:], future=FUTURE[25:], state=state)
    np.testing.assert_array_equal(np.r_[first, second], whole)


def test_missing_values_are_filled_in_one_pass():
    gaps, known = X.copy(), FUTURE.copy()
    gaps[[7, 30], 0], known[12] = np.nan, np.nan
    model = numlstm.fit(gaps, future=known, horizon=2, missing="mask", **SMALL).model
    assert model.num_features == 2
    assert model.spec.input_size == 2 * (2 + 2)
    Y = model.forecast(gaps, future=known)
    np.testing.assert_array_equal(Y, model.predict(gaps, future=known)[-1].reshape(2, 2))


# --- what is learned ------------------------------------------------------------------------------


def driven(steps, seed=0):
    """A linear system that inputs known ahead drive."""
    u = np.random.default_rng(seed).choice([-1.0, 1.0], (steps, 1))
    x = np.zeros((steps, 1))
    for t in range(1, steps):
        x[t] = 0.5 * x[t - 1] + u[t]
    return x, u


@pytest.mark.parametrize("horizon", [None, 3])
def test_a_system_that_is_driven_by_what_is_known_has_next_to_no_error(horizon):
    x, u = driven(403)
    options = {"hidden_size": 12, "method": "L-BFGS-B", "epochs": 150, "dtype": "float64", "rng": 0}
    model = numlstm.fit(x[:400], future=u, horizon=horizon, **options).model
    forecast = model.forecast(x[:400], 3, future=u)
    np.testing.assert_allclose(forecast, x[400:], atol=0.15)  # without u: about 1
    blind = numlstm.fit(x[:400], horizon=3, **options).model.predict(x[:400])
    told = model.predict(x[:400], future=u)[:, :1]
    errors = [np.abs(Y[50:-1, 0] - x[51:400, 0]).mean() for Y in (told, blind)]
    assert errors[0] < 0.1 * errors[1]


# --- labels ---------------------------------------------------------------------------------------


def frames():
    series = pd.DataFrame(X, DAYS[:STEPS], ["flow", "level"])
    return series, pd.DataFrame(FUTURE, DAYS, ["holiday"])


@pytest.mark.parametrize("horizon", [None, 3])
def test_labels_go_on(horizon, recursive, direct):
    series, known = frames()
    earlier = pd.DataFrame([[9.0]] * 5, pd.date_range(end="2023-12-31", periods=5), ["holiday"])
    calendar = pd.concat([earlier, known])
    model = numlstm.fit(series, future=calendar, horizon=horizon, **SMALL).model
    plain = recursive if horizon is None else direct
    np.testing.assert_array_equal(model.theta, plain.theta)
    Y = model.forecast(series, 3, future=calendar)
    np.testing.assert_array_equal(Y, plain.forecast(X, 3, future=FUTURE))
    assert list(Y.columns) == ["flow", "level"]
    assert (Y.index == DAYS[STEPS : STEPS + 3]).all()
    every = model.predict(series, future=known)
    assert (every.index == series.index).all()
    titles = [f"{name}+{k}" for k in (1, 2, 3) for name in ("flow", "level")]
    assert list(every.columns) == (["flow", "level"] if horizon is None else titles)
    assert model.names.future == ("holiday",)
    assert list(model.feature_names_in_) == ["flow", "level"]
    swapped = series[["level", "flow"]]
    pd.testing.assert_frame_equal(model.forecast(swapped, 3, future=known), Y)


def test_series_in_one_frame_and_data_arrays(direct):
    xr = pytest.importorskip("xarray")
    keys = ["a", "b"]
    panel, known = (
        pd.concat([frame, frame + 1], keys=keys, names=["basin", "day"]) for frame in frames()
    )
    model = numlstm.fit(panel, future=known, horizon=3, **SMALL).model
    Y = model.forecast(panel, future=known)
    alone = model.forecast(X + 1, future=FUTURE + 1)
    np.testing.assert_array_equal(Y.loc["b"], alone)
    assert (Y.loc["a"].index == DAYS[STEPS : STEPS + 3]).all()
    dims = ("day", "basin", "feature")
    array = xr.DataArray(
        np.stack([X, X + 1], 1), dims=dims, coords={"day": DAYS[:STEPS], "basin": keys}
    )
    beside = xr.DataArray(
        np.stack([FUTURE, FUTURE + 1], 1), dims=dims, coords={"day": DAYS, "basin": keys}
    )
    found = model.forecast(array, future=beside)
    np.testing.assert_array_equal(found.sel(basin="b").values, alone)
    with pytest.raises(ValueError, match="labels of X in another order"):
        model.forecast(array, future=beside.sel(basin=["b", "a"]))


def several(values, days, name):
    """Series (B, T) in every form that has labels."""
    xr = pytest.importorskip("xarray")
    keys = list("xyz")
    grid = xr.DataArray(values, dims=["basin", "day"], coords={"basin": keys, "day": days})
    parts = [pd.DataFrame({name: row}, days.rename("day")) for row in values]
    panel = pd.concat(parts, keys=keys, names=["basin"])
    named = [part[name].rename(key) for part, key in zip(parts, keys, strict=True)]
    return {"grid": grid, "turned": grid.T, "panel": panel, "frames": parts, "named": named}


def reversed_series(given):
    """The same, its series in another order."""
    if isinstance(given, list):
        return given[::-1]
    keys = list("zyx")
    return given.loc[keys] if isinstance(given, pd.DataFrame) else given.sel(basin=keys)


FORMS = ["grid", "turned", "panel", "frames", "named"]


@pytest.mark.parametrize("horizon", [None, 2])
@pytest.mark.parametrize("form", FORMS)
def test_series_and_what_is_known_of_them_in_any_two_forms(form, horizon):
    values = numbers(3, STEPS).cumsum(axis=1)
    known = numbers(3, STEPS + 10, seed=1)
    days = pd.date_range("2024-01-01", periods=STEPS + 10)  # from ten days before X on
    series = several(values[:, : STEPS - 2], days[10 : STEPS + 8], "q")[form]
    plain = numlstm.fit(
        values[:, : STEPS - 2, None], future=known[:, 10:, None], horizon=horizon, **SMALL
    )
    expected = plain.model.forecast(values[:, : STEPS - 2, None], 2, future=known[:, 10:, None])
    for beside, future in several(known, days, "f").items():
        result = numlstm.fit(series, future=future, horizon=horizon, **SMALL)
        np.testing.assert_array_equal(result.x, plain.x)
        Y = result.model.forecast(series, 2, future=future)
        parts = [np.asarray(part) for part in Y] if isinstance(Y, list) else np.asarray(Y)
        if form == "turned":
            parts = np.moveaxis(parts, 0, 1)
        np.testing.assert_array_equal(np.reshape(parts, (3, 2, 1)), expected)
        if "frames" not in (form, beside):  # of which no one knows what they are of
            with pytest.raises(ValueError, match="future has the labels of X in another order"):
                numlstm.fit(series, future=reversed_series(future), horizon=horizon, **SMALL)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("beside", FORMS)
def test_what_is_known_of_other_times_or_of_fewer_series_is_refused(form, beside):
    days = pd.date_range("2024-01-01", periods=STEPS + 5)
    series = several(numbers(3, STEPS), days[:STEPS], "q")[form]
    later = several(numbers(3, STEPS), days[5:], "f")[beside]
    with pytest.raises(ValueError, match="other labels than X"):
        numlstm.fit(series, future=later, **SMALL)
    alike = several(numbers(3, STEPS), days[:STEPS], "f")[beside]
    if isinstance(alike, list):
        with pytest.raises(ValueError, match="future has 2 series, and X has 3: one for each"):
            numlstm.fit(series, future=alike[:2], **SMALL)


IRREGULAR = DAYS[:STEPS].delete(10)


def texts(days):
    return days.strftime("%Y-%m-%d")


@pytest.mark.filterwarnings("ignore:X.* unequal step")
@pytest.mark.parametrize("horizon", [None, 3])
@pytest.mark.parametrize(
    "form",
    [
        pd.Index,
        lambda days: days.tz_localize("Europe/Berlin"),
        lambda days: days.to_period("D"),
        texts,
    ],
    ids=["dates", "zone", "periods", "texts"],
)
def test_what_is_known_says_when_the_next_steps_of_an_irregular_series_are(form, horizon):
    days = form(IRREGULAR.append(DAYS[STEPS:]))
    series, known = (np.delete(values, 10, axis=0) for values in (X, FUTURE))
    frame = pd.DataFrame(series, days[: STEPS - 1], ["flow", "level"])
    model = numlstm.fit(frame, future=pd.DataFrame(known, days), horizon=horizon, **SMALL).model
    Y = model.forecast(frame, 3, future=pd.DataFrame(known, days))
    assert Y.index.equals(days[STEPS - 1 : STEPS + 2])
    np.testing.assert_array_equal(Y, model.forecast(series, 3, future=known))
    assert model.predict(frame, future=pd.DataFrame(known, days)[: STEPS + 2]).shape[0] == STEPS - 1
    by_position = model.forecast(frame, 3, future=known)
    assert by_position.index.equals(pd.RangeIndex(3))


@pytest.mark.filterwarnings("ignore:X.* unequal step")
@pytest.mark.parametrize("beside", FORMS)
@pytest.mark.parametrize("form", FORMS)
def test_the_same_of_several_series(form, beside):
    values, known = numbers(3, STEPS - 1).cumsum(axis=1), numbers(3, STEPS + EXTRA - 1)
    days = IRREGULAR.append(DAYS[STEPS:])
    series, future = several(values, IRREGULAR, "q")[form], several(known, days, "f")[beside]
    model = numlstm.fit(series, future=future, horizon=3, **SMALL).model
    Y = model.forecast(series, future=future)
    expected = DAYS[STEPS : STEPS + 3]
    if isinstance(Y, list):
        assert all(part.index.equals(expected) for part in Y)
    elif form == "panel":
        assert all(Y.loc[key].index.equals(expected) for key in "xyz")
    else:
        assert Y.indexes["day"].equals(expected)


@pytest.mark.filterwarnings("ignore:X.* unequal step")
@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        (STEPS, "from 2024-02-09 to 2024-02-11"),
        (STEPS + 1, "from 2024-02-10 to 2024-02-12"),
    ],
)
def test_a_gap_after_an_irregular_series_is_said(left_out, words):
    frame, known = frames()
    frame, known = frame.drop(DAYS[10]), known.drop(DAYS[10])
    model = numlstm.fit(frame, future=known, horizon=3, **SMALL).model
    with pytest.warns(UserWarning, match=rf"future has 1 unequal step\(s\) after X, .*{words}"):
        Y = model.forecast(frame, future=known.drop(DAYS[left_out]))
    assert Y.index.equals(DAYS[STEPS:].drop(DAYS[left_out])[:3])
    listed = numlstm.fit([frame] * 2, future=[known] * 2, horizon=3, **SMALL).model
    with pytest.warns(UserWarning, match=r"future\[1\] has 1 unequal step\(s\) after X\[1\]"):
        listed.forecast([frame] * 2, future=[known, known.drop(DAYS[left_out])])
    earlier = known.set_axis(known.index.where(known.index < DAYS[STEPS], DAYS[0]))
    with pytest.raises(ValueError, match="the index of future does not go forward"):
        model.forecast(frame, future=earlier)


def test_other_labels_are_refused(direct):
    series, known = frames()
    model = numlstm.fit(series, future=known, horizon=3, **SMALL).model
    for future, words in (
        (known[3:], "future has other labels than X: in row 0"),
        (known[: STEPS - 2], "future ends at 2024-02-07, before X, which ends at 2024-02-09"),
        (known.drop(DAYS[STEPS]), "the first of 5 forecasts is at 2024-02-10"),
        (known.drop(DAYS[5]), "future has other labels than X"),
        (known[::-1], "the index of future does not go forward"),
        (known.rename(columns={"holiday": "sale"}), "future lacks 'holiday' and has 'sale'"),
    ):
        with pytest.raises(ValueError, match=words):
            model.forecast(series, future=future)
    words = "future begins at 2024-02-10, behind the end of X at 2024-02-09: it needs the rows of X"
    with pytest.raises(ValueError, match=words):
        model.forecast(series, future=known[STEPS:])
    by_position = model.forecast(series, future=known.to_numpy())
    pd.testing.assert_frame_equal(by_position, model.forecast(series, future=known))


# --- what a model remembers -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["recursive", "direct"])
def test_files_copies_and_pickles_remember(kind, request):
    model = request.getfixturevalue(kind)
    file = io.BytesIO()
    model.save(file)
    copies = (
        numlstm.load(io.BytesIO(file.getvalue())),
        copy.deepcopy(model),
        model.astype("float64"),
    )
    for same in (*copies, pickle.loads(pickle.dumps(model))):
        assert same.ahead == model.ahead
        forecast = same.forecast(X, 3, future=FUTURE)
        np.testing.assert_array_equal(forecast, model.forecast(X, 3, future=FUTURE))
    assert "Known ahead" in model.summary()


def test_the_summary_says_it(direct):
    assert "the next 3 steps of 2 targets, at every step" in str(direct)
    assert "1 feature" in str(direct).partition("Known ahead")[2]


def test_a_warm_start_keeps_the_horizon(direct):
    again = numlstm.fit(X, future=FUTURE, model=direct, epochs=1, rng=0).model
    assert again.ahead == direct.ahead
    for options, words in (
        ({"horizon": 2, "future": FUTURE}, "horizon=2 does not go with the model given"),
        ({}, r"reads 1 feature\(s\) known ahead: pass future="),
        ({"future": np.c_[FUTURE, FUTURE]}, "and the model was fitted with 1"),
    ):
        with pytest.raises(ValueError, match=words):
            numlstm.fit(X, model=direct, epochs=1, **options)
    new = numlstm.LSTM(5, 4, 6, dtype="float64", rng=0)
    assert numlstm.fit(X, future=FUTURE, horizon=3, model=new, epochs=1).model.horizon == 3
    with pytest.raises(ValueError, match=r"a step has 5 with the 3 that are known ahead"):
        numlstm.fit(X, future=FUTURE, horizon=3, model=numlstm.LSTM(2, 4, 6), epochs=1)


def test_its_objective_has_the_loss_of_the_fit():
    result = numlstm.fit(X, future=FUTURE, horizon=3, **SMALL)
    fun = numlstm.objective(result.model, X, future=FUTURE)
    assert fun.value(result.x) == pytest.approx(result.fun, rel=1e-12)


def test_bands_of_all_steps_ahead():
    series = pd.Series(X[:, 0], DAYS[:STEPS], name="flow")
    options = SMALL | {"hidden_size": 1, "weight_decay": 0.1}
    result = numlstm.fit(series, horizon=2, **options)
    band = result.covariance(series, weight_decay=0.1).predict(series)
    assert list(band.std.columns) == ["flow+1", "flow+2"]
    pd.testing.assert_frame_equal(band.mean, result.model.predict(series))
    told = numlstm.fit(X, future=FUTURE, **SMALL)
    with pytest.raises(ValueError, match="this model was fitted with features known ahead"):
        told.covariance(X)


def test_an_ensemble_forecasts():
    options = SMALL | {"members": 2, "bootstrap": False}
    for horizon in (None, 3):
        many = numlstm.ensemble(X, future=FUTURE, horizon=horizon, **options)
        mean, spread = many.forecast(X, 3, future=FUTURE)
        each = [model.forecast(X, 3, future=FUTURE) for model in many.models]
        np.testing.assert_array_equal(mean, np.mean(each, axis=0))
        np.testing.assert_allclose(spread, np.std(each, axis=0), rtol=1e-12)
        mean, _ = many.predict(X, future=FUTURE)
        each = [model.predict(X, future=FUTURE) for model in many.models]
        np.testing.assert_array_equal(mean, np.mean(each, axis=0))


def test_a_feature_in_both_is_said():
    series, known = frames()
    shared = series.assign(holiday=known["holiday"])
    with pytest.warns(UserWarning, match="X and future both have 'holiday'.*leave it out of X"):
        model = numlstm.fit(shared, future=known, **SMALL).model
    assert model.forecast(shared, 2, future=known).shape == (2, 3)  # which is no news


# --- errors ---------------------------------------------------------------------------------------


def test_a_rollout_without_what_is_known_ahead_points_to_forecast():
    series, known = frames()
    model = numlstm.fit(series, future=known, **SMALL).model
    words = r"known ahead, holiday, the future= of the fit: use model.forecast\(X, steps, future=\)"
    with pytest.raises(ValueError, match=words):
        model.rollout(series, 3)
    plain = numlstm.fit(X[:, 0], future=FUTURE, **SMALL).model
    for observed in (X[:, 0], X[:, :1], X[None, :, :1], pd.Series(X[:, 0])):
        with pytest.raises(ValueError, match=r"ahead, 1 feature\(s\), the future= of the fit"):
            plain.rollout(observed, 3)
    beside = series.assign(holiday=FUTURE[1 : STEPS + 1])
    later = pd.DataFrame(FUTURE[STEPS + 1 : STEPS + 4], columns=["holiday"])
    pd.testing.assert_frame_equal(
        model.rollout(beside, 3, later), model.forecast(series, 3, future=known)
    )


def test_a_forecast_of_other_targets_points_to_a_horizon():
    words = "forecast feeds forecasts back.*Fit with horizon=.*future=; or fit X with y=None"
    for options in ({"y": X[:, :1] ** 2}, {"loss": "gaussian_nll"}):
        model = numlstm.fit(X, **options, **SMALL).model
        with pytest.raises(ValueError, match=words):
            model.forecast(X, 3)


def test_what_a_model_cannot_forecast_is_refused(recursive, direct):
    plain = numlstm.fit(X, **SMALL).model
    for call, words in (
        (lambda: plain.forecast(X), "forecast needs horizon=, the number of steps"),
        (lambda: plain.forecast(X, 2, future=FUTURE), "was fitted without features known ahead"),
        (lambda: plain.predict(X, future=FUTURE), "was fitted without features known ahead"),
        (lambda: direct.forecast(X, 4, future=FUTURE), r"forecasts 3 step\(s\) at once"),
        (lambda: direct.forecast(X), "row for each step of X and for the 3 after"),
        (lambda: direct.forecast(X, 2), "row for each step of X and for the 3 after"),
        (lambda: recursive.forecast(X, 5), "row for each step of X and for the 5 after"),
        (lambda: recursive.predict(X), "row for each step of X and for the step after"),
        (
            lambda: direct.forecast(X, future=FUTURE[: STEPS + 2]),
            "each of the 40 steps of X and the 3 after, 43 in all; received 42",
        ),
        (
            lambda: recursive.forecast(X, 5, future=FUTURE[: STEPS + 4]),
            "each of the 40 steps of X and the 5 after, 45 in all; received 44",
        ),
        (lambda: direct.rollout(np.ones((9, 5)), 2), r"use model\.forecast\(X\), or fit without"),
        (lambda: direct.forecast(X[:, :1], future=FUTURE), "but the network reads 2"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bidirectional": True, "horizon": 2}, "it would see the values that it is to forecast"),
        (
            {"bidirectional": True, "future": FUTURE},
            "it would see the values that it is to forecast",
        ),
        ({"horizon": 2, "scheduled_sampling": 0.5}, "leave one of them out"),
        ({"horizon": 0}, "horizon must be"),
        ({"future": FUTURE, "validation": (X,)}, "received 1 values"),
        ({"future": FUTURE, "validation": (X, None)}, "cannot say its future"),
    ],
)
def test_what_does_not_go_together_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        numlstm.fit(X, **options, **SMALL)


def test_validation_and_sampling_with_what_is_known():
    own = {"X": X, "future": FUTURE}
    judged = numlstm.fit(X, future=FUTURE, horizon=2, validation=own, **SMALL)
    assert judged.history["validation_loss"][-1] == pytest.approx(judged.fun, rel=1e-9)
    assert judged.data.endswith("validation: one series of 40 steps")
    numlstm.fit(X, future=FUTURE, scheduled_sampling=0.5, **SMALL)
    numlstm.fit(X, future=FUTURE, horizon=2, stateful=True, batch_size=2, bptt_steps=5, **SMALL)

"""Fits on windows with horizons and features that are known ahead, and their forecasts."""

import numpy as np
import pytest

import numlstm
from helpers.fits import quick, same
from helpers.laid_out import ahead_by_hand
from helpers.sliced import Sliced, windows_by_hand

rng = np.random.default_rng(6)
WINDOW = 7
SERIES = [rng.standard_normal((steps, 2)).astype("float32").cumsum(axis=0) for steps in (30, 24)]
TARGETS = [series[:, 1:] + 0.5 * series[:, :1] for series in SERIES]
KNOWN = [rng.standard_normal((len(series) + 2, 1)).astype("float32") for series in SERIES]
HERE = [known[: len(series)] for known, series in zip(KNOWN, SERIES, strict=True)]


def windowed(X=SERIES, y=None, **options):
    return quick(X, y, **{"window": WINDOW, **options})


def windows_ahead(X, y, future, horizon, last=1, reset=None):
    """Windows, targets (N, last, h O) with NaN where there are none."""
    none = [None] * len(X)
    parts = [
        ahead_by_hand(series, *more, horizon, flags)
        for series, *more, flags in zip(X, y, future or none, reset or none, strict=True)
    ]
    inputs, targets = zip(*parts, strict=True)
    cut = [[windows_by_hand(part, WINDOW) for part in which] for which in (inputs, targets)]
    return np.concatenate(cut[0]), np.concatenate(cut[1])[:, -last:]


CASES = [
    (None, 1),
    (None, 3),
    (KNOWN, 1),
    (KNOWN, 3),
    (HERE, 3),
]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize(("future", "horizon"), CASES)
@pytest.mark.parametrize("given", [True, False])
def test_it_is_the_fit_on_windows_that_are_laid_out(backend, future, horizon, given):
    y = TARGETS if given else None
    X, later = windows_ahead(SERIES, y or SERIES, future, horizon)
    options = {"standardize": False, "backend": backend, "batch_size": 8}
    ours = windowed(y=y, future=future, horizon=horizon, **options)
    theirs = quick(X, later[:, 0], output="last", nan_policy="omit", **options)
    same(ours, theirs)
    assert ours.model.horizon == horizon
    assert "at every step, from the 7 steps up to it" in str(ours.model)
    assert ours.model.num_future == (0 if future is None else 1)


def test_a_window_may_be_read_from_its_end_too():
    X, later = windows_ahead(SERIES, TARGETS, KNOWN, 2)
    options = {"standardize": False, "bidirectional": True}
    ours = windowed(y=TARGETS, future=KNOWN, horizon=2, **options)
    same(ours, quick(X, later[:, 0], output="last", nan_policy="omit", **options))
    forecast = ours.model.forecast(SERIES, future=KNOWN)
    every = ours.model.predict(SERIES, future=KNOWN)
    for Y, whole in zip(forecast, every, strict=True):
        assert Y.tobytes() == whole[-1].tobytes()


@pytest.mark.parametrize("standardize", [True, False])
def test_the_next_step_with_what_is_known_of_it(standardize):
    ours = windowed(future=KNOWN, standardize=standardize)
    same(ours, windowed(future=KNOWN, horizon=1, standardize=standardize))
    assert ours.model.horizon is None
    assert ours.model.forecasts
    assert "2 features, one known ahead, the next value as target" in ours.data


def test_several_last_steps_have_targets_some_of_which_lie_beyond_the_end():
    X, later = windows_ahead(SERIES, TARGETS, KNOWN, 3, last=4)
    y = np.full((*X.shape[:2], 3), np.nan)
    y[:, -4:] = later
    options = {"standardize": False, "dtype": "float64"}
    ours = windowed(y=TARGETS, future=KNOWN, horizon=3, predict_last=4, **options)
    same(ours, quick(X, y, nan_policy="omit", **options))


def test_breaks_and_missing_targets_count_nothing():
    y = [part.copy() for part in TARGETS]
    y[0][11] = np.nan
    reset = [np.arange(len(part)) == 15 for part in y]
    _, later = windows_ahead(SERIES, y, None, 3, reset=reset)
    ours = windowed(
        y=y, reset=reset, horizon=3, nan_policy="omit", epochs=1, learning_rate=1e-30,
        metrics="mae", standardize=False,
    )  # fmt: skip
    Y = [part[:-1] for part in ours.model.predict(SERIES, reset=reset)]
    found = np.concatenate([part[WINDOW - 1 :] for part in Y])
    error = np.abs(found - later[:, 0])
    assert np.isnan(error).any()
    assert ours.history["training_mae"][-1] == pytest.approx(
        np.mean(np.nanmean(error, axis=0)), rel=1e-5
    )
    assert ours.fun == pytest.approx(np.nanmean(error**2), rel=1e-5)


def test_the_units_are_those_of_every_feature_once():
    ours = windowed(y=TARGETS, future=KNOWN, horizon=3, missing="mask", dtype="float64")
    theirs = quick(SERIES, TARGETS, future=KNOWN, horizon=3, missing="mask", dtype="float64")
    for part, own in zip(ours.model.scaling, theirs.model.scaling, strict=True):
        if part is not None:
            np.testing.assert_allclose(part, own, rtol=1e-6)
    np.testing.assert_allclose(ours.model.filling.mean, theirs.model.filling.mean, rtol=1e-5)


@pytest.mark.parametrize("weight", [None, "nse"])
def test_a_cut_in_time_parts_the_targets_too(weight):
    """No target that judges is learned from, however far ahead it is."""
    options = {"horizon": 3, "validation": 0.25, "weight": weight}
    ours = windowed(y=TARGETS, **options)
    changed = [part.copy() for part in TARGETS]
    for part, series in zip(changed, SERIES, strict=True):
        steps = len(series) - 1
        cut = steps - max(1, round(0.25 * steps))
        part[cut + 1 :] += 0.125
    other = windowed(y=changed, **options)
    np.testing.assert_array_equal(ours.history["loss"], other.history["loss"])
    assert (ours.history["validation_loss"] != other.history["validation_loss"]).all()


def test_every_form_of_the_same_series_gives_the_same_fit():
    X, y = (np.stack([part[:24] for part in parts]) for parts in (SERIES, TARGETS))
    known = np.stack([part[:26] for part in KNOWN])
    options = {"horizon": 2, "validation": 0.25, "batch_size": 8, "weight": "nse"}
    first = windowed(X, y, future=known, **options)
    same(windowed(list(X), list(y), future=list(known), **options), first)
    lazy = Sliced(known)
    same(windowed(Sliced(X), Sliced(y), future=lazy, **options), first)
    same(windowed(list(map(Sliced, X)), list(y), future=list(known), **options), first)
    padded = np.concatenate([X, np.full_like(X, np.nan)], axis=1)
    tail = np.concatenate([known, known], axis=1)
    y_padded = np.concatenate([y, np.full_like(y, np.nan)], axis=1)
    ragged = windowed(padded, y_padded, future=tail, lengths=[24, 24], **options)
    longer = windowed(list(X), list(y), future=list(tail), **options)
    same(ragged, longer)


@pytest.mark.parametrize("weight", [None, "nse"])
@pytest.mark.parametrize("future", [None, KNOWN])
def test_series_without_a_window_have_no_sample(weight, future):
    X = [*SERIES, SERIES[0][:1], SERIES[1][:5]]
    known = None if future is None else [*future, future[0][:3], future[1][:7]]
    options = {"horizon": 2, "weight": weight, "standardize": False}
    with pytest.warns(UserWarning, match="2 of 4 series are shorter than the window of 7 steps"):
        ours = windowed(X, future=known, **options)
    theirs = windowed(SERIES, future=future, **options)
    assert ours.nfev == theirs.nfev
    if weight is None:
        same(ours, theirs)


def test_other_series_judge():
    options = {"horizon": 2, "standardize": False}
    others = [[part[5:-2] for part in parts] for parts in (SERIES, TARGETS, KNOWN)]
    judge = dict(zip(("X", "y", "future"), others, strict=True))
    ours = windowed(y=TARGETS, future=KNOWN, validation=judge, **options)
    X, y = windows_ahead(SERIES, TARGETS, KNOWN, 2)
    X_judge, y_judge = windows_ahead(*others, 2)
    theirs = quick(
        *(X, y[:, 0]), validation=(X_judge, y_judge[:, 0]), output="last", nan_policy="omit",
        standardize=False,
    )  # fmt: skip
    same(ours, theirs)


# --- forecasts ------------------------------------------------------------------------------------


def test_every_step_is_predicted_from_its_own_window():
    model = windowed(y=TARGETS, future=KNOWN, horizon=2).model
    for series, known, Y in zip(SERIES, KNOWN, model.predict(SERIES, future=KNOWN), strict=True):
        assert Y.shape == (len(series), 2)
        assert np.isnan(Y[: WINDOW - 1]).all()
        for end in range(WINDOW, len(series) + 1):
            part = series[end - WINDOW : end], known[end - WINDOW : end + 2]
            alone = model.predict(part[0], future=part[1], window=None)[-1]
            assert Y[end - 1].tobytes() == alone.tobytes()
            forecast = model.forecast(series[:end], future=known[: end + 2])
            assert forecast.tobytes() == alone.tobytes()
    both = model.forecast(SERIES, future=KNOWN)
    for series, known, Y in zip(SERIES, KNOWN, both, strict=True):
        assert Y.tobytes() == model.forecast(series, future=known).tobytes()


@pytest.mark.parametrize(
    "options", [{"missing": "mask"}, {"loss": "gaussian_nll"}, {"static": [[1.0], [2.0]]}]
)
def test_a_forecast_is_the_last_step_that_is_predicted(options):
    X, known = ([part.copy() for part in parts] for parts in (SERIES, KNOWN))
    if "missing" in options:
        X[0][-9:-2, 1] = known[1][-6] = np.nan
    beside = {name: options[name] for name in ("static",) if name in options}
    model = windowed(X, TARGETS, future=known, horizon=2, **options).model
    every = model.predict(X, future=known, **beside)
    for Y, found in zip(every, model.forecast(X, future=known, **beside), strict=True):
        assert found.tobytes() == model.ahead.by_step(Y[-1]).tobytes()


@pytest.mark.parametrize("known", [True, False])
def test_a_forecast_that_is_fed_back_warms_up_on_the_last_window(known):
    future = KNOWN if known else None
    model = windowed(future=future).model
    own = [{} if not known else {"future": part} for part in KNOWN]
    found = model.forecast(SERIES, 2, **({"future": KNOWN} if known else {}))
    for series, more, Y in zip(SERIES, own, found, strict=True):
        last = {name: part[len(series) - WINDOW :] for name, part in more.items()}
        alone = model.forecast(series[-WINDOW:], 2, **last)
        assert Y.tobytes() == alone.tobytes()
        first = model.predict(series, **more)[-1]
        np.testing.assert_allclose(Y[0], first, rtol=1e-4, atol=1e-6)
    batch = np.stack([series[-20:] for series in SERIES])
    if not known:
        Y = model.forecast(batch, 2)
        for row, series in zip(Y, batch, strict=True):
            np.testing.assert_allclose(row, model.forecast(series, 2), rtol=1e-5)


@pytest.mark.parametrize("horizon", [None, 2])
def test_a_series_that_is_shorter_than_the_window_has_no_forecast(horizon):
    model = windowed(horizon=horizon).model
    with pytest.raises(ValueError, match="forecasts from the last 7 of X, which has 5"):
        model.forecast(SERIES[0][:5], 1)


def test_frames_go_on_by_their_labels():
    pd = pytest.importorskip("pandas")
    index = pd.date_range("2000", periods=32)
    X = pd.DataFrame(SERIES[0], index=index[:30], columns=["rain", "heat"])
    known = pd.DataFrame(KNOWN[0], index=index, columns=["feast"])
    result = windowed(X, future=known, horizon=2)
    same(result, windowed(SERIES[0], future=KNOWN[0], horizon=2))
    found = result.model.forecast(X, future=known)
    assert found.index.equals(index[30:])
    assert list(found.columns) == ["rain", "heat"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"future": KNOWN[:1]}, "one entry for each of the 2 series"),
        ({"future": [part[:-4] for part in KNOWN]}, "a row for each of the 30 steps of X of row 0"),
        ({"y": TARGETS, "future": KNOWN}, "with y and horizon="),
        ({"horizon": 40}, "horizon=40 reaches beyond the targets"),
        (
            {"horizon": 2, "future": KNOWN, "reset": [np.zeros(len(s), bool) for s in SERIES]},
            "cut the series there, into a list",
        ),
        ({"future": KNOWN, "loss": "cross_entropy", "y": TARGETS, "horizon": 1}, "classes to come"),
    ],
)
def test_what_makes_no_sense_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        windowed(**options)


@pytest.mark.parametrize(
    ("future", "model"),
    [
        (KNOWN[:1], None),
        (KNOWN[0], None),
        ([part[:-4] for part in KNOWN], None),
        ([np.tile(part, 2) for part in KNOWN], {"future": KNOWN}),
    ],
)
def test_a_future_that_does_not_fit_is_refused_in_the_same_words(future, model):
    messages = []
    for window in (None, WINDOW):
        options = {"horizon": 2, "window": window}
        first = None if model is None else quick(SERIES, **model, **options)
        with pytest.raises(ValueError, match=r"^future (must|has)") as caught:
            quick(SERIES, future=future, model=first, **options)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("place", [(0, 5), (1, 24)])
def test_what_is_not_finite_is_named(place):
    known = [part.copy() for part in KNOWN]
    known[place[0]][place[1]] = np.inf
    with pytest.raises(ValueError, match=rf"future\[{place[0]}\] .* index \({place[1]}, 0\)"):
        windowed(future=known, horizon=2)
    X = [part.copy() for part in SERIES]
    X[0][-1, 1] = np.inf  # which is a target alone
    for options in ({}, {"horizon": 2}):
        with pytest.raises(ValueError, match=r"X\[0\] has NaN .* index \(29, 1\); inf"):
            windowed(X, **options)


def test_going_on_and_what_it_must_be_given():
    first = windowed(y=TARGETS, future=KNOWN, horizon=2)
    again = quick(SERIES, TARGETS, future=KNOWN, model=first)
    assert (again.model.horizon, again.model.window) == (2, WINDOW)
    with pytest.raises(ValueError, match="horizon=3 does not go with the model given"):
        quick(SERIES, TARGETS, future=KNOWN, horizon=3, model=first)
    with pytest.raises(ValueError, match="pass future="):
        quick(SERIES, TARGETS, model=first)
    with pytest.raises(ValueError, match=r"numlstm.LSTM\(4"):
        windowed(y=TARGETS, future=KNOWN, horizon=2, model=numlstm.LSTM(2, 4, 2, rng=0))
    fresh = numlstm.LSTM(4, 4, 2, rng=0)
    assert windowed(y=TARGETS, future=KNOWN, horizon=2, model=fresh).model.horizon == 2


def test_a_resumed_fit_sees_what_is_known_ahead(tmp_path):
    options = {"horizon": 2, "checkpoint": tmp_path / "run"}
    windowed(future=KNOWN, epochs=2, **options)
    same(
        windowed(future=KNOWN, epochs=4, resume=True, **options),
        windowed(future=KNOWN, epochs=4, horizon=2),
    )
    other = [part.copy() for part in KNOWN]
    other[1][9] += 1
    with pytest.raises(ValueError, match="training data"):
        windowed(future=other, epochs=4, resume=True, **options)

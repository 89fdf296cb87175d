"""Metrics of a fit: those of its predictions, in the units of the data, from one pass."""

import functools
import itertools
import warnings

import numpy as np
import pytest
import sklearn.metrics
from scipy.optimize import OptimizeWarning

import numlstm
from helpers.fits import PowerCut, batch, cut_the_power, quick, same, stop_after
from helpers.sliced import Sliced
from numlstm import metrics
from numlstm.objectives import evaluator
from numlstm.objectives.evaluator import Evaluator
from numlstm.training.interrupt import Interrupted, SigintGuard

ALL = ["rmse", "mae", "r2", "nse", "kge", "mase"]
MEDIAN = ("nse", "kge")


def scaled(B=7, T=30, O=2, seed=0):  # noqa: E741
    """Series with targets far from variance 1, those of every series of a size of its own."""
    X, y = batch(B, T, O=O, seed=seed)
    return X, 40 + y * np.arange(1, B + 1)[:, None, None]


def expected(name, y, Y, learned=None):
    """(one number, one for every series) for lists of truths and predictions (T, O)."""
    options = {"y_train": learned} if name == "mase" else {}
    each = [getattr(metrics, name)(*pair, **options) for pair in zip(y, Y, strict=True)]
    if name in MEDIAN:
        return np.median(each), each
    return getattr(metrics, name)(np.concatenate(y), np.concatenate(Y), **options), each


def require_expected(result, part, y, Y, learned, rel=1e-9):
    """The last epoch's numbers, and those of the series."""
    for name in ALL:
        pooled, each = expected(name, y, Y, learned)
        assert result.history[f"{part}_{name}"][-1] == pytest.approx(pooled, rel=rel, abs=rel)
        np.testing.assert_allclose(result.per_series[f"{part}_{name}"], each, rtol=rel, atol=rel)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("standardize", [True, False])
def test_metrics_of_the_training_data_are_those_of_predict(dtype, standardize):
    X, y = scaled()
    result = quick(X, y, metrics=ALL, dtype=dtype, standardize=standardize)
    rel = 1e-9 if dtype == "float64" else 1e-4
    require_expected(result, "training", list(y), list(result.model.predict(X)), list(y), rel)
    assert len(result.history["training_rmse"]) == 3
    assert "training_loss" not in result.history


def test_metrics_of_the_validation_data_are_those_of_predict():
    X, y = scaled(O=1)
    seen = []
    result = quick(
        *(X[:5], y[:5]), validation=(X[5:], y[5:]), metrics=ALL, dtype="float64",
        callback=seen.append,
    )  # fmt: skip
    assert not [name for name in result.history if name.startswith("training")]
    last = quick(X[:5], y[:5], dtype="float64")  # the parameters of the last epoch
    Y = last.model.predict(X[5:])
    for name in ALL:
        pooled, _ = expected(name, list(y[5:]), list(Y), list(y[:5]))
        values = result.history[f"validation_{name}"]
        assert values[-1] == pytest.approx(pooled, rel=1e-9)
        assert [one[f"validation_{name}"] for one in seen] == list(values)
    best = result.model.predict(X[5:])
    for name in ALL:
        _, each = expected(name, list(y[5:]), list(best), list(y[:5]))
        np.testing.assert_allclose(result.per_series[f"validation_{name}"], each, rtol=1e-9)


def test_the_end_of_one_series_is_judged_alone():
    series = 30 + np.sin(np.arange(120) / 4).cumsum()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it grows
        result = quick(series, validation=0.25, metrics=ALL, dtype="float64", epochs=1)
    Y = result.model.predict(series)[-31:-1]
    learned = series[1:90]
    require_expected(result, "validation", [series[-30:, None]], [Y], [learned])


def ragged(last=False):
    rng = np.random.default_rng(3)
    X = [rng.standard_normal((steps, 2)) for steps in (9, 30, 4, 17)]
    y = [5 + part[:, :1].cumsum(axis=0) for part in X]
    y[1][3:9] = np.nan
    y[2][0] = np.nan
    return X, [part[-1] for part in y] if last else y


def kept(y, Y):
    there = [~np.isnan(part[:, 0]) for part in y]
    return [[part[own] for part, own in zip(parts, there, strict=True)] for parts in (y, Y)]


def test_only_targets_that_there_are_count():
    """Neither those that are missing, nor padding, nor those of weight 0; all others alike."""
    X, y = ragged()
    weight = [np.full(len(part), 0.5 + i) for i, part in enumerate(y)]
    weight[3][5:8] = 0
    result = quick(
        *(X, y), nan_policy="omit", sample_weight=weight, metrics=ALL, dtype="float64"
    )  # fmt: skip
    y[3][5:8] = np.nan
    pairs = kept(y, result.model.predict(X))
    require_expected(result, "training", *pairs, y)


def test_one_target_per_sequence_is_judged_with_all_others():
    X, y = batch()
    result = quick(X, y[:, -1], metrics=ALL[:-1], dtype="float64")
    Y = result.model.predict(X)
    for name in ALL[:-1]:
        value = getattr(metrics, name)(y[:, -1], Y)
        assert result.history[f"training_{name}"][-1] == pytest.approx(value, rel=1e-9)
        assert result.per_series[f"training_{name}"] == pytest.approx([value], rel=1e-9)
    with pytest.raises(ValueError, match=r"mase.*one per sequence"):
        quick(X, y[:, -1], metrics="mase")


def test_parallel_parts_of_one_series_are_one_series():
    series = np.random.default_rng(0).standard_normal(121).cumsum()
    options = {"stateful": True, "batch_size": 4, "bptt_steps": 10, "dtype": "float64"}
    result = quick(series, metrics=["nse", "rmse"], **options)
    starts = (0, 30, 60, 90)
    Y = [result.model.predict(series[start : start + 30])[:, 0] for start in starts]
    value = metrics.nse(series[1:], np.concatenate(Y))
    assert result.per_series["training_nse"].shape == (1,)
    assert result.history["training_nse"][-1] == pytest.approx(value, rel=1e-9)


def test_data_that_are_read_in_pieces(monkeypatch):
    """The same numbers: the state goes on, and functions get rows and steps in their order."""
    X, y = scaled(B=9, T=25)
    got = []

    def remember(true, pred):
        got.append((true, pred))
        return 0.0

    asked = {"metrics": [*ALL, remember], "dtype": "float64", "epochs": 2}
    whole = quick(X, y, **asked)
    assert len(got) == 2 + 9  # epochs, and at the end the series
    for array in got[1]:
        assert array.shape == (225, 2)
    np.testing.assert_allclose(got[1][0], y.reshape(-1, 2), rtol=1e-12)
    np.testing.assert_allclose(got[1][1], whole.model.predict(X).reshape(-1, 2), rtol=1e-12)
    monkeypatch.setattr(evaluator, "_HELD", 4 * 4 * 9)  # 4 steps of all rows
    monkeypatch.setattr(evaluator, "_blocks", lambda count, size: iter([slice(0, 5), slice(5, 9)]))
    parts = quick(X, y, **asked)
    for name in ALL:
        key = f"training_{name}"
        np.testing.assert_allclose(parts.history[key], whole.history[key], rtol=1e-10)
        np.testing.assert_allclose(parts.per_series[key], whole.per_series[key], rtol=1e-9)
    for before, after in zip(got[1], got[12], strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-12)


def test_one_pass_gives_loss_and_metrics(monkeypatch):
    passes = []
    value = Evaluator.value

    def counted(self, *args, **kwargs):
        passes.append(1)
        return value(self, *args, **kwargs)

    monkeypatch.setattr(Evaluator, "value", counted)

    def count(**options):
        passes.clear()
        quick(*batch(), **options)
        return len(passes)

    at_the_end = count()
    assert count(validation=0.25) == at_the_end + 3
    assert count(validation=0.25, metrics=["rmse"]) == at_the_end + 3 + 1  # of the series, once
    assert count(patience=9, metrics=["rmse"]) == count(patience=9) + 1
    assert count(metrics=["rmse"]) == at_the_end + 3 + 1


@pytest.mark.parametrize(
    "options", [{}, {"patience": 2}, {"validation": 0.25}, {"method": "L-BFGS-B"}]
)
def test_a_fit_does_not_depend_on_its_metrics(options):
    plain, judged = (quick(*batch(), **options, **more) for more in ({}, {"metrics": ["kge"]}))
    judged.history = {name: judged.history[name] for name in plain.history}
    same(plain, judged)


@pytest.mark.parametrize("method", ["L-BFGS-B", "least_squares"])
def test_methods_of_scipy(method):
    X, y = batch()
    result = quick(X, y, method=method, metrics=["nse"], dtype="float64")
    assert len(result.history["training_nse"]) == result.nit == len(result.history["loss"])
    value = np.median([metrics.nse(*pair) for pair in zip(y, result.model.predict(X), strict=True)])
    assert result.history["training_nse"][-1] == pytest.approx(value, rel=1e-9)


def test_classes():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 8, 2)), rng.integers(0, 3, (30, 8))
    f1 = functools.partial(sklearn.metrics.f1_score, average="macro")
    asked = {"accuracy": "accuracy", "f1": f1}
    result = quick(X, y, loss="cross_entropy", metrics=asked, epochs=5, dtype="float64")
    Y = result.model.predict(X).argmax(axis=-1)
    assert result.history["training_accuracy"][-1] == pytest.approx(np.mean(y == Y), rel=1e-12)
    assert result.history["training_f1"][-1] == pytest.approx(f1(y.ravel(), Y.ravel()), rel=1e-12)
    np.testing.assert_allclose(result.per_series["training_accuracy"], np.mean(y == Y, axis=1))


def test_yes_and_no():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 8, 2))
    y = (X[..., :1] > 0).astype(float)
    asked = ["accuracy", sklearn.metrics.roc_auc_score, "rmse"]
    result = quick(X, y, loss="binary_cross_entropy", metrics=asked, dtype="float64")
    logits = result.model.predict(X)
    p = 1 / (1 + np.exp(-logits))
    last = {name.removeprefix("training_"): values[-1] for name, values in result.history.items()}
    assert last["accuracy"] == pytest.approx(np.mean((logits > 0) == y), rel=1e-12)
    assert last["roc_auc_score"] == sklearn.metrics.roc_auc_score(y.ravel(), p.ravel())
    assert last["rmse"] == pytest.approx(metrics.rmse(y, p), rel=1e-9)


def test_of_a_loss_with_a_variance_the_means_are_judged():
    X, y = scaled()
    result = quick(X, y, loss="gaussian_nll", metrics=ALL, dtype="float64")
    require_expected(result, "training", list(y), list(result.model.predict(X)[..., :2]), list(y))


def test_the_estimators():
    X, y = batch()
    labels = np.where(X[:, -1, 0] > 0, "up", "down")
    classifier = numlstm.LSTMClassifier(4, epochs=2, random_state=0, metrics=["accuracy"])
    classifier.fit(X, labels)
    history = classifier.result_.history
    assert history["training_accuracy"][-1] == pytest.approx(classifier.score(X, labels))
    regressor = numlstm.LSTMRegressor(4, epochs=2, random_state=0, metrics="r2").fit(X, y[:, -1, 0])
    score = regressor.score(X, y[:, -1, 0])
    assert regressor.result_.history["training_r2"][-1] == pytest.approx(score, rel=1e-4)


@pytest.mark.parametrize("options", [{"validation": 0.25}, {}, {"cell": {"peephole": True}}])
def test_members(options):
    X, y = scaled(B=12, T=9, O=1)
    many = numlstm.ensemble(
        *(X, y), hidden_size=4, epochs=2, members=3, rng=0, dtype="float64", bootstrap=False,
        metrics=["rmse", "nse", sklearn.metrics.r2_score], **options,
    )  # fmt: skip
    part = "validation" if "validation" in options else "training"
    judged = slice(9, None) if options.get("validation") else slice(None)
    for name, values in many.per_series.items():
        assert values.shape == (3, len(y[judged])), name
    each = many.history[f"{part}_rmse_members"]
    np.testing.assert_allclose(many.history[f"{part}_rmse"], each.mean(axis=1))
    for index, model in enumerate(many.models):
        Y = model.predict(X[judged])
        expected = [metrics.nse(*pair) for pair in zip(y[judged], Y, strict=True)]
        found = many.per_series[f"{part}_nse"][index]
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        best = (
            many.history["validation_loss_members"][:, index].argmin()
            if options.get("validation")
            else -1
        )
        assert each[best, index] == pytest.approx(metrics.rmse(y[judged], Y), rel=1e-9)


def test_of_a_resample_the_sequences_drawn_are_judged():
    X, y = scaled(B=6, T=9, O=1)
    many = numlstm.ensemble(X, y, hidden_size=4, epochs=1, members=3, rng=0, metrics="rmse",
                            dtype="float64")  # fmt: skip
    drawn = ~np.isnan(many.per_series["training_rmse"])
    assert 0 < drawn.sum() < drawn.size
    for index, model in enumerate(many.models):
        own = drawn[index]
        value = metrics.rmse(y[own], model.predict(X[own]))
        assert many.history["training_rmse_members"][-1, index] == pytest.approx(value, rel=1e-9)


# --- undefined, refused, stopped ------------------------------------------------------------------


def test_what_is_undefined_is_nan_and_said_once():
    X, y = batch(B=4)
    y[1] = 3.0
    with pytest.warns(UserWarning, match=r"undefined.*training_nse of 1 of 4 series") as said:
        result = quick(X, y, metrics=["nse", "rmse"])
    assert len(said) == 1
    assert np.isnan(result.per_series["training_nse"]).tolist() == [False, True, False, False]
    assert np.isfinite(result.history["training_nse"]).all()  # the median of the others
    lost = np.where(np.arange(4)[:, None, None] == 1, np.nan, y)
    weight = np.array([1.0, 1.0, 0.0, 1.0])
    words = "or where all are missing or weigh 0: training_rmse of 2 of 4 series"
    with pytest.warns(UserWarning, match=words):
        quick(X, lost, metrics=["rmse"], nan_policy="omit", sample_weight=weight)


def test_a_function_that_fails_for_a_series_alone():
    """A trained network is worth more; that it fails for all data is the user's to know."""
    X, y = batch(B=4)

    def large(true, pred):
        if len(true) < 10:
            raise ZeroDivisionError("too few")
        return np.float32(len(true))

    words = "'large' fails for single series, series 0: ZeroDivisionError: too few"
    with (
        pytest.warns(UserWarning, match=words),
        pytest.warns(UserWarning, match="training_large of 4 of 4 series"),
    ):
        result = quick(X, y, metrics=large)
    assert result.history["training_large"].tolist() == [36] * 3
    assert np.isnan(result.per_series["training_large"]).all()

    def failing(true, pred):
        raise ZeroDivisionError("never")

    with pytest.raises(ZeroDivisionError, match="never"):
        quick(X, y, metrics=[failing])


def test_a_network_that_diverged_is_not_shown_to_functions():
    X, y = batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = quick(
            *(X, 1e30 * y), metrics=["r2", sklearn.metrics.r2_score], standardize=False,
            dtype="float32", method="sgd", learning_rate=1e30, clip=None,
        )  # fmt: skip
    assert result.status == 97


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ("nsee", ValueError, "did you mean 'nse'"),
        (["rmse", "rmse"], ValueError, "'rmse' twice"),
        ([lambda y, p: 0.0], ValueError, "pass a dict"),
        ([functools.partial(metrics.rmse)], ValueError, "pass a dict"),
        ({"loss": max}, ValueError, "needs a name of its own"),
        ({"nse": max}, ValueError, "name of a metric that is known"),
        ({"error": "rmse"}, ValueError, "that name itself"),
        (3, TypeError, "list of names and functions"),
        ([3], TypeError, "names and functions, received 3"),
        ("accuracy", ValueError, "loss='mse' has numbers"),
        ([lambda y, p: "much"], ValueError, "pass a dict"),
        (
            {"words": lambda y, p: "much"},
            TypeError,
            "'words' must return a number, received 'much'",
        ),
    ],
)
def test_what_is_refused(asked, error, words):
    with pytest.raises(error, match=words):
        quick(*batch(), metrics=asked)


def test_numbers_are_not_compared_where_targets_are_classes():
    X, y = batch()
    with pytest.raises(ValueError, match="'rmse' compares numbers"):
        quick(X, (y[..., 0] > 0).astype(int), loss="cross_entropy", metrics=["accuracy", "rmse"])


def test_a_function_of_the_module_is_its_name():
    one, other = (quick(*batch(), metrics=[metric]) for metric in ("nse", metrics.nse))
    same(one, other)


@pytest.mark.parametrize("writes", [2, 6])
def test_a_resumed_run_has_its_metrics(writes, tmp_path, monkeypatch):
    run = {"checkpoint": tmp_path / "run", "metrics": ["nse", max_error], "batch_size": 4}
    with monkeypatch.context() as patch:
        cut_the_power(patch, writes)
        with pytest.raises(PowerCut):
            quick(*batch(), **run)
    resumed = quick(*batch(), **run, resume=True)
    unbroken = quick(*batch(), metrics=["nse", max_error], batch_size=4)
    same(resumed, unbroken)
    for name, values in unbroken.per_series.items():
        np.testing.assert_array_equal(resumed.per_series[name], values)


def max_error(true, pred):
    return np.abs(true - pred).max()


def test_a_metric_that_is_asked_for_on_resuming_is_nan_before(tmp_path):
    run = {"checkpoint": tmp_path / "run"}
    quick(*batch(), **run, epochs=2, metrics="mae")
    result = quick(*batch(), **run, epochs=4, resume=True, metrics="nse")
    whole = quick(*batch(), epochs=4, metrics=["mae", "nse"])
    nse, mae = result.history["training_nse"], result.history["training_mae"]
    assert np.isnan(nse[:2]).all()
    assert np.isnan(mae[2:]).all()
    np.testing.assert_array_equal(nse[2:], whole.history["training_nse"][2:])
    np.testing.assert_array_equal(mae[:2], whole.history["training_mae"][:2])


@pytest.mark.parametrize("moment", [1, 4, 9, 16, 17, 18])
def test_ctrl_c(moment, monkeypatch):
    """Whenever it comes the history is whole; of the series there is no more to say then."""
    checks = itertools.count(1)

    def press_at_the_moment(guard):
        if next(checks) >= moment:
            raise Interrupted

    options = {"metrics": ["nse", max_error], "validation": 0.25, "batch_size": 4}
    whole = quick(*batch(), **options)
    with monkeypatch.context() as patch:
        patch.setattr(SigintGuard, "check", press_at_the_moment)
        result = quick(*batch(), **options)
    assert result.status == 98
    assert np.isnan(result.per_series["validation_nse"]).tolist() == [True] * 3
    assert np.isnan(result.per_series["validation_max_error"]).tolist() == [True] * 3
    for name in result.history.keys() - {"loss", "gradient_norm"}:
        np.testing.assert_array_equal(result.history[name], whole.history[name][: result.nit])


def test_a_fit_that_the_callback_stops_has_its_series():
    X, y = batch()
    result = quick(X, y, metrics="rmse", callback=stop_after(1), dtype="float64")
    Y = result.model.predict(X)
    each = [metrics.rmse(*pair) for pair in zip(y, Y, strict=True)]
    np.testing.assert_allclose(result.per_series["training_rmse"], each, rtol=1e-9)


def test_the_bar_and_the_page_show_them(capsys):
    result = quick(*batch(), metrics=["nse"], progress=True, validation=0.25)
    nse = result.history["validation_nse"]
    assert f"nse={nse[-1]:.4g}" in capsys.readouterr().err
    best = result.history["validation_loss"].argmin()
    assert f"nse {nse[best]:.4g}, in that epoch" in result._repr_html_()
    result = quick(*batch(), metrics=["nse"])
    assert f"nse {result.history['training_nse'][-1]:.4g}, in the last" in result._repr_html_()


def test_without_metrics_there_is_no_word_of_them():
    assert "per_series" not in quick(*batch())


def test_scipy_says_nothing_of_metrics():
    with warnings.catch_warnings():
        warnings.simplefilter("error", OptimizeWarning)
        quick(*batch(), metrics="rmse", method="BFGS")


# --- windows --------------------------------------------------------------------------------------

WINDOW = 6


def long_series():
    rng = np.random.default_rng(3)
    X = [rng.standard_normal((steps, 2)) for steps in (40, 30, 20)]
    return X, [5 + i * part[:, :1].cumsum(axis=0) for i, part in enumerate(X, 1)]


def windowed(X, y, **options):
    return quick(X, y, **{"window": WINDOW, "metrics": ALL, "dtype": "float64", **options})


@pytest.mark.parametrize("options", [{}, {"batch_size": 7}, {"weight": "nse"}])
def test_windows_are_judged_by_series(options):
    X, y = long_series()
    result = windowed(X, y, **options)
    ends = [[part[WINDOW - 1 :] for part in parts] for parts in (y, result.model.predict(X))]
    require_expected(result, "training", *ends, y)


@pytest.mark.parametrize("source", [list, lambda parts: list(map(Sliced, parts))])
def test_the_changes_of_windows_are_those_of_the_series(source, monkeypatch):
    monkeypatch.setattr("numlstm.data.windows._STEPS", 4)
    monkeypatch.setattr("numlstm.data.sources._AT_ONCE", 4)
    X, y = long_series()
    y[1][7:9] = np.nan
    result = windowed(source(X), source(y), nan_policy="omit", validation=0.25)
    cuts = [30, 22, 15]
    learned = [part[:cut] for part, cut in zip(y, cuts, strict=True)]
    Y = result.model.predict(X)
    pairs = [[part[cut:] for part, cut in zip(parts, cuts, strict=True)] for parts in (y, Y)]
    require_expected(result, "validation", *pairs, learned)


def test_a_target_counts_in_each_window_that_has_it():
    X, y = long_series()
    result = windowed(X, y, predict_last=3, stride=2)
    truths, outputs = [], []
    for series, truth in zip(X, y, strict=True):
        parts = [slice(end - WINDOW, end) for end in range(WINDOW, len(series) + 1, 2)]
        truths.append(np.concatenate([truth[part][-3:] for part in parts]))
        Y = [result.model.predict(series[part], window=None)[-3:] for part in parts]
        outputs.append(np.concatenate(Y))
    last = [WINDOW + (len(part) - WINDOW) // 2 * 2 for part in y]
    learned = [part[:end] for part, end in zip(y, last, strict=True)]
    require_expected(result, "training", truths, outputs, learned)


def test_breaks_and_forecasts_of_windows():
    X, _ = long_series()
    values = [part[:, :1].cumsum(axis=0) for part in X]
    reset = [np.arange(len(part)) == 12 for part in values]
    result = windowed(values, None, reset=reset, metrics="mase")
    apart = [piece for part in values for piece in (part[:12], part[12:])]
    changes = np.concatenate([np.abs(np.diff(piece[1:], axis=0)) for piece in apart])
    mae = windowed(values, None, reset=reset, metrics="mae").history["training_mae"]
    np.testing.assert_allclose(result.history["training_mase"], mae / changes.mean(), rtol=1e-9)


@pytest.mark.parametrize("options", [{}, {"window": 5}])
@pytest.mark.parametrize("standardize", [True, False])
def test_far_targets_are_compared_with_changes_from_step_to_step(options, standardize):
    values = np.arange(50.0) ** 2
    steps = np.abs(np.diff(values[1:])).mean()  # 50
    assert steps == 50
    options = {"standardize": standardize, "dtype": "float64", **options}
    result = quick(values, metrics=["mase", "mae"], horizon=3, **options)
    mase, mae = (result.history[f"training_{name}"] for name in ("mase", "mae"))
    np.testing.assert_allclose(mase, mae / steps, rtol=1e-9)


def test_series_without_a_window_are_there_without_a_number():
    X, y = long_series()
    with pytest.warns(UserWarning, match=r"shorter than the window|NaN where"):
        result = windowed([*X, X[0][:3]], [*y, y[0][:3]], metrics=["rmse"])
    assert np.isnan(result.per_series["training_rmse"]).tolist() == [False, False, False, True]

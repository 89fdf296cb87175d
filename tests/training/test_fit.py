"""numlstm.fit learns, repeats itself to the bit, and keeps SciPy's manners."""

import copy
import pickle
import sys
import warnings

import numpy as np
import pytest
from scipy.optimize import OptimizeResult, OptimizeWarning, minimize

import numlstm
from helpers.fits import SINE, batch, quick, stop_after
from numlstm.optim.optimizers import OPTIMIZERS
from numlstm.training.methods import METHODS

# --- learning ---------------------------------------------------------------------------------


def test_a_sine_is_forecast():
    result = numlstm.fit(SINE, hidden_size=8, bptt_steps=20, epochs=40, rng=0)
    assert result.fun < 0.01
    forecast = result.model.predict(SINE)
    assert forecast.shape == (120, 1)
    assert np.abs(forecast[20:-1, 0] - SINE[21:]).max() < 0.3


def test_an_autoregression_is_learned_down_to_its_noise():
    rng = np.random.default_rng(0)
    X = np.zeros((40, 60))
    for t in range(1, 60):
        X[:, t] = 0.9 * X[:, t - 1] + rng.standard_normal(40)
    result = numlstm.fit(
        X[..., None], hidden_size=8, epochs=30, batch_size=8, validation=0.25, rng=0
    )
    noise = 1 / result.model.scaling.y_scale[0] ** 2
    assert result.history["validation_loss"].min() < 1.25 * noise


def test_classes_are_told_apart_by_the_last_step():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((rng.integers(3, 9), 1)) + rng.integers(-1, 2) for _ in range(90)]
    labels = np.array([np.clip(np.round(series.mean()), -1, 1) + 1 for series in X], int)
    result = numlstm.fit(X, labels, loss="cross_entropy", hidden_size=8, epochs=60, rng=0)
    assert result.output == "last"
    logits = result.model.predict(X)
    assert logits.shape == (90, 3)
    assert np.mean(logits.argmax(axis=1) == labels) > 0.9


def test_classes_and_probabilities_per_step():
    X, _ = batch(30)
    rising = (X[..., 0] > 0).astype(int)
    classes = numlstm.fit(X, rising, loss="cross_entropy", epochs=60, rng=0)
    assert classes.output == "sequence"
    assert np.mean(classes.model.predict(X).argmax(axis=-1) == rising) > 0.95
    logits = numlstm.fit(X, rising[..., None], loss="binary_cross_entropy", epochs=60, rng=0)
    assert np.mean((logits.model.predict(X)[..., 0] > 0) == rising) > 0.95


def test_a_gaussian_likelihood_finds_the_noise_in_the_units_of_the_data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 20, 1))
    y = 100 + 10 * X + 5 * rng.standard_normal(X.shape)
    result = numlstm.fit(X, y, loss="gaussian_nll", epochs=40, rng=0)
    mean, log_variance = np.moveaxis(result.model.predict(X), -1, 0)
    assert np.abs(mean - (100 + 10 * X[..., 0])).mean() < 2
    assert np.exp(log_variance / 2).mean() == pytest.approx(5, rel=0.15)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "gaussian_nll"])
@pytest.mark.parametrize("output", ["sequence", "last"])
def test_every_regression_loss_falls(loss, output):
    X, y = batch()
    result = quick(X, y if output == "sequence" else y[:, -1], loss=loss, epochs=15)
    assert result.output == result.model.output == output
    assert result.fun < result.history["loss"][0]


@pytest.mark.parametrize("method", [*OPTIMIZERS, *METHODS])
def test_every_method_makes_the_loss_fall(method):
    X, y = batch()
    result = quick(X, y, method=method, epochs=8, dtype="float64")
    assert result.fun < result.history["loss"][0] or result.nit == 1
    assert 1 <= result.nit <= 8
    assert result.nfev >= result.nit
    assert len(result.history["loss"]) == result.nit
    np.testing.assert_array_equal(result.x, result.model.theta)


def test_the_bridge_gives_scipy_what_it_would_be_given_by_hand():
    X, y = batch()
    result = quick(
        X, y, method="L-BFGS-B", epochs=6, dtype="float64", standardize=False, weight_decay=0.01
    )
    model = numlstm.LSTM(2, 4, 1, dtype="float64")

    def fun(theta):
        model.theta = theta
        Y, pullback = model.vjp(X)
        value = np.mean((Y - y) ** 2) + 0.005 * np.sum(theta**2)
        return value, pullback(2 * (Y - y) / y.size).theta + 0.01 * theta

    start = quick(X, y, epochs=1, learning_rate=1e-300, dtype="float64", standardize=False).x
    expected = minimize(fun, start, jac=True, method="L-BFGS-B", options={"maxiter": 6})
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-6, atol=1e-9)
    assert result.message == str(expected.message)
    assert result.status == expected.status
    assert result.success == expected.success
    assert result.fun == pytest.approx(expected.fun - 0.005 * np.sum(expected.x**2), rel=1e-6)


# --- the result -------------------------------------------------------------------------------


def test_the_result_is_scipys():
    result = quick(*batch())
    assert isinstance(result, numlstm.FitResult)
    assert isinstance(result, OptimizeResult)
    assert result["fun"] == result.fun
    for word in ("message: All epochs were run.", "success: True", "fun:", "nit: 3", "history:"):
        assert word in str(result)
    assert result.status == 0
    assert result.nit == result.nfev == 3
    assert set(result.history) == {"loss", "learning_rate", "gradient_norm"}
    assert all(values.shape == (3,) for values in result.history.values())
    result.x[:] = 0
    assert result.model.theta.any()


def test_fun_is_the_training_loss_at_x():
    X, y = batch()
    result = quick(X, y, standardize=False, dtype="float64", bptt_steps=2)
    assert result.fun == pytest.approx(np.mean((result.model.predict(X) - y) ** 2), rel=1e-12)


def test_goals_decide_about_success():
    X, y = batch()
    missed = quick(X, y, tol=1e-9)
    assert (missed.success, missed.status) == (False, 1)
    assert missed.message == "Maximum number of epochs reached."
    met = quick(X, y, tol=1e9)
    assert (met.success, met.nit) == (True, 1)
    assert "tol" in met.message
    patient = quick(X, y, patience=2, epochs=50, method="sgd", learning_rate=1e-30)
    assert (patient.success, patient.nit) == (True, 3)
    assert "patience" in patient.message


@pytest.mark.parametrize("method", ["adam", "L-BFGS-B", "TNC"])
def test_the_best_epoch_is_returned(method):
    X, y = batch()
    seen = []
    judge = batch(seed=1)[0], batch(seed=2)[1]  # cannot be learned
    options = {"learning_rate": 0.1} if method == "adam" else {}
    result = quick(
        X,
        y,
        method=method,
        validation=judge,
        patience=4,
        epochs=60,
        callback=seen.append,
        **options,
    )
    losses = result.history["validation_loss"]
    assert result.success
    assert result.nit == losses.argmin() + 1 + 4
    np.testing.assert_array_equal(result.x, seen[losses.argmin()].x)


def test_a_loss_that_leaves_the_numbers_is_no_exception():
    X, y = batch()
    result = quick(X, y, method="sgd", learning_rate=1e37, clip=None, epochs=20)
    assert (result.success, result.status) == (False, 97)
    assert "NaN or infinite" in result.message
    assert np.isfinite(result.x).all()
    assert np.isfinite(result.fun)


@pytest.mark.parametrize("method", ["adam", "L-BFGS-B", "TNC", "SLSQP", "trust-constr"])
def test_a_callback_sees_every_epoch_and_may_end_the_fit(method):
    X, y = batch()
    seen = []

    def stop_at_two(intermediate_result):
        seen.append(intermediate_result)
        if intermediate_result.nit == 2:
            raise StopIteration

    result = quick(X, y, method=method, callback=stop_at_two, epochs=10)
    assert result.nit == len(seen) == 2
    assert (result.success, result.status) == (False, 99)
    assert result.message == "`callback` raised `StopIteration`."
    assert all(isinstance(one, OptimizeResult) for one in seen)
    assert [one.fun for one in seen] == list(result.history["loss"])
    np.testing.assert_array_equal(result.x, seen[-1].x)


@pytest.mark.parametrize("method", ["adam", "L-BFGS-B", "TNC", "least_squares"])
@pytest.mark.parametrize("validation", [None, 0.25])
def test_a_callback_that_returns_true_ends_the_fit_as_a_success(method, validation):
    X, y = batch()
    seen = []

    def enough(intermediate_result):
        seen.append(intermediate_result)
        return np.bool_(intermediate_result.nit == 2)

    options = {"method": method, "validation": validation, "dtype": "float64"}
    result = quick(X, y, callback=enough, epochs=10, **options)
    assert result.nit == len(seen) == 2
    assert (result.success, result.status) == (True, 0)
    assert result.message == "`callback` returned True."
    np.testing.assert_array_equal(result.x, seen[-1].x)
    stopped = quick(X, y, callback=stop_after(2), epochs=10, **options | {"validation": None})
    assert not stopped.success


def test_what_the_callback_saw_is_returned_though_another_epoch_was_better():
    X, y = batch()
    judge = batch(seed=1)[0], batch(seed=2)[1]  # cannot be learned
    seen = []

    def enough(intermediate_result):
        seen.append(intermediate_result.validation_loss)
        return intermediate_result.nit == 30

    result = quick(X, y, validation=judge, epochs=60, learning_rate=0.1, callback=enough)
    assert (result.nit, result.success) == (30, True)
    assert min(seen) < seen[-1]
    scale = result.model.scaling.y_scale**2
    error = np.mean(np.square(result.model.predict(judge[0]) - judge[1])) / scale
    np.testing.assert_allclose(error, seen[-1], rtol=1e-5)


def test_a_goal_of_the_callback_that_is_not_reached_is_no_success():
    result = quick(*batch(), callback=lambda intermediate_result: False)
    assert (result.nit, result.success, result.status) == (3, False, 1)
    assert result.message == "Maximum number of epochs reached."
    for anything in (None, 1, "yes", np.ones(3), [], [1, 0]):  # no truth values
        result = quick(*batch(), callback=lambda intermediate_result, said=anything: said)
        assert (result.nit, result.success, result.message) == (3, True, "All epochs were run.")
    for several in ([True, False], np.array([True])):
        with pytest.raises(ValueError, match=r"truth values of shape .*, and a fit has one netw"):
            quick(*batch(), callback=lambda intermediate_result, said=several: said)


def test_a_loss_that_left_the_numbers_is_no_success_of_a_callback():
    X, y = batch()
    options = {"standardize": False, "method": "sgd", "clip": None, "learning_rate": 1e25}
    result = quick(X, y, epochs=9, callback=lambda intermediate_result: True, **options)
    assert (result.success, result.status) == (False, 97)


@pytest.mark.parametrize("method", ["adam", "L-BFGS-B"])
def test_a_callback_sees_the_model_as_it_stands(method):
    X, y = batch()
    models, errors, mine = set(), [], []

    def look(intermediate_result):
        model = intermediate_result.model
        models.add(id(model.theta.base if model.theta.base is not None else model.theta))
        np.testing.assert_array_equal(model.theta, intermediate_result.x)
        errors.append(np.mean(np.square((model.predict(X) - y) / model.scaling.y_scale)))
        mine.append(copy.deepcopy(model))
        with pytest.raises(ValueError, match="read-only"):
            model.theta[0] = 1.0

    result = quick(X, y, callback=look, method=method, epochs=4, validation=(X, y))
    assert len(models) == 1  # the same memory, every time
    np.testing.assert_allclose(errors, result.history["validation_loss"], rtol=1e-5)
    assert len({model.theta.tobytes() for model in mine}) == 4
    mine[0].theta[0] = 1.0  # a copy is the user's
    plain = quick(X, y, method=method, epochs=4, validation=(X, y))
    np.testing.assert_array_equal(result.x, plain.x)


def test_one_batch_of_all_sequences_keeps_their_order():
    X, y = batch(B=30)
    model = numlstm.LSTM(2, 4, 1, rng=0)
    whole = [quick(X, y, model=model, rng=seed, batch_size=30) for seed in (1, 2)]
    assert whole[0].x.tobytes() == whole[1].x.tobytes()
    parts = [quick(X, y, model=model, rng=seed, batch_size=29) for seed in (1, 2)]
    assert parts[0].x.tobytes() != parts[1].x.tobytes()


def test_callbacks_of_any_signature():
    seen = []

    def by_keyword(*, intermediate_result):
        seen.append(intermediate_result.nit)

    quick(*batch(), callback=by_keyword)
    quick(*batch(), callback=lambda anything: seen.append(anything.nit))
    assert seen == [1, 2, 3, 1, 2, 3]
    latest = {}
    quick(*batch(), callback=latest.update)  # whose signature Python may not know
    assert latest["nit"] == 3
    with pytest.raises(TypeError, match="callback must be callable"):
        quick(*batch(), callback=3)


def test_an_exception_of_the_callback_is_the_users():
    def fail(intermediate_result):
        raise KeyError("mine")

    for method in ("adam", "L-BFGS-B", "TNC"):
        with pytest.raises(KeyError, match="mine"):
            quick(*batch(), method=method, callback=fail)


# --- the same bits, and what is left alone ----------------------------------------------------


def test_the_seed_decides_every_bit():
    X, y = batch(20)
    options = {"num_layers": 2, "dropout": 0.3, "batch_size": 8}
    one, two = (quick(X, y, **options) for _ in range(2))
    assert one.x.tobytes() == two.x.tobytes()
    assert one.history["loss"].tobytes() == two.history["loss"].tobytes()
    assert quick(X, y, rng=1, **options).x.tobytes() != one.x.tobytes()
    first, second = (quick(X, y, rng=np.random.default_rng(5), **options) for _ in range(2))
    assert first.x.tobytes() == second.x.tobytes()
    assert quick(X, y, rng=None).x.tobytes() != quick(X, y, rng=None).x.tobytes()


def test_inputs_are_left_as_they_were():
    X, y = batch()
    weight = np.ones(12)
    model = quick(X, y).model
    arrays = (X, y, weight, model.theta)
    copies = [array.copy() for array in arrays]
    for array in (X, y, weight):
        array.setflags(write=False)
    quick(X, y, sample_weight=weight, model=model, validation=(X, y))
    for array, before in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, before)


def test_a_warm_start_goes_on_in_the_units_of_the_model():
    X, y = batch()
    first = quick(X, y, epochs=10)
    second = quick(3 * X + 1, y, model=first.model, learning_rate=1e-30)
    assert second.model is not first.model
    np.testing.assert_array_equal(second.model.theta, first.model.theta)
    assert second.model.scaling is first.model.scaling
    plain = numlstm.LSTM(2, 4, 1, rng=0)
    assert quick(X, y, model=plain, standardize=False).model.scaling is None
    assert quick(X, y, model=plain, standardize=True).model.scaling is not None


def test_a_model_without_a_head_is_trained_on_its_hidden_sequence():
    X, y = batch(O=4)
    headless = numlstm.LSTM(2, 4, rng=0)
    result = quick(X, np.tanh(y), model=headless, epochs=5)
    assert result.model.spec.output_size is None
    assert result.fun < result.history["loss"][0]


def test_any_memory_layout_gives_the_same_bits():
    X, y = (array.astype("float32") for array in batch())
    expected = quick(X, y).x
    for change in (np.asfortranarray, lambda a: a.astype(">f4"), lambda a: a[::-1].copy()[::-1]):
        assert quick(change(X), change(y)).x.tobytes() == expected.tobytes()


def test_a_list_and_a_padded_batch_are_the_same():
    rng = np.random.default_rng(0)
    lengths = [4, 9, 1, 6]
    X, y = ([rng.standard_normal((length, 2)) for length in lengths] for _ in range(2))
    padded_X, padded_y = np.full((2, 4, 9, 2), np.nan)
    for row, length in enumerate(lengths):
        padded_X[row, :length], padded_y[row, :length] = X[row], y[row]
    one, two = quick(X, y), quick(padded_X, padded_y, lengths=lengths)
    assert one.x.tobytes() == two.x.tobytes()
    back = one.model.predict(X)
    assert [part.shape for part in back] == [(length, 2) for length in lengths]


def test_one_window_is_no_window():
    X, y = batch()
    assert quick(X, y, bptt_steps=9).x.tobytes() == quick(X, y).x.tobytes()
    assert quick(X, y, bptt_steps=4).nfev == 3 * quick(X, y).nfev


def test_a_stateful_series_is_a_batch_of_streams():
    T, streams = 101, 4
    series = np.sin(np.arange(T) / 3)
    X, y = series[:-1], series[1:]
    whole = quick(X, y, stateful=True, batch_size=streams, bptt_steps=10)
    cut = quick(
        X.reshape(streams, 25, 1), y.reshape(streams, 25, 1), bptt_steps=10, batch_size=streams
    )
    assert whole.x.tobytes() == cut.x.tobytes()
    pieces = quick(X.reshape(10, 10, 1), y.reshape(10, 10, 1), stateful=True, batch_size=streams)
    assert pieces.x.tobytes() == whole.x.tobytes()
    uneven = quick(X[:-1], y[:-1], stateful=True, batch_size=streams, bptt_steps=10)
    assert uneven.nfev == whole.nfev
    assert whole.data.endswith(
        "series of 100 steps, one feature, a target per step, in 4 parts of 25 steps"
    )


def test_parts_as_short_as_windows_are_told_of():
    """Each then begins in the initial state, as no prediction of the series does."""
    X, y = SINE[:100], SINE[1:101]
    short = {}
    for batch_size in (4, 32):  # 4 streams, not 32
        with pytest.warns(UserWarning, match=r"on 4 parts of 25 .*batch_size=1.* window=25 "):
            short[batch_size] = quick(X, y, stateful=True, batch_size=batch_size, bptt_steps=25)
    assert short[4].x.tobytes() == short[32].x.tobytes()
    with pytest.warns(UserWarning, match="on 10 parts of 10 steps"):
        quick(X.reshape(10, 10, 1), y.reshape(10, 10, 1), stateful=True)
    judged = quick(X, y, stateful=True, batch_size=3, bptt_steps=13, validation=0.2)
    assert judged.data.endswith("per step, in 3 parts of 27 steps; validation: the last 20 %")
    begins = np.arange(100) % 25 == 0  # where the state ends anyway
    quick(X, y, stateful=True, batch_size=4, bptt_steps=25, reset=begins)
    alone = quick(X, y, stateful=True, batch_size=1, bptt_steps=25)
    assert alone.data == "one series of 100 steps, one feature, a target per step"


def test_weights_and_missing_targets():
    X, y = batch()
    options = {"dtype": "float64", "method": "sgd", "standardize": False, "epochs": 5}
    doubled = quick(np.concatenate([X, X[:3]]), np.concatenate([y, y[:3]]), **options)
    weighted = quick(X, y, sample_weight=np.r_[2 * np.ones(3), np.ones(9)], **options)
    np.testing.assert_allclose(weighted.x, doubled.x, rtol=1e-9, atol=1e-12)
    holes, weight = y.copy(), np.ones(y.shape[:2])
    holes[2, 3:6], weight[2, 3:6] = np.nan, 0
    omitted = quick(X, holes, nan_policy="omit", **options)
    assert omitted.x.tobytes() == quick(X, y, sample_weight=weight, **options).x.tobytes()


# --- options ----------------------------------------------------------------------------------


def test_standardising_makes_units_disappear():
    X, y = batch(O=2)
    plain = quick(X, y, dtype="float64", epochs=5)
    moved = quick(1000 * X - 5, 0.01 * y + 7, dtype="float64", epochs=5)
    np.testing.assert_allclose(moved.x, plain.x, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        moved.model.predict(1000 * X - 5), 0.01 * plain.model.predict(X) + 7, rtol=1e-9
    )
    assert quick(X, y, standardize=False).model.scaling is None


def test_scaling_is_that_of_the_training_part():
    X, y = batch()
    X[9:] += 1000
    scaling = quick(X, y, validation=0.25).model.scaling
    np.testing.assert_allclose(scaling.x_mean, X[:9].mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(scaling.x_scale, X[:9].std(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(scaling.y_scale, y[:9].std(axis=(0, 1)), rtol=1e-5)
    X[..., 1] = 3.3
    assert quick(X, y).model.scaling.x_scale[1] == 1


@pytest.mark.filterwarnings("ignore:validation. the targets")
@pytest.mark.parametrize("options", [{}, {"stateful": True, "bptt_steps": 10, "batch_size": 2}])
def test_the_end_of_a_series_is_set_aside(options):
    series = SINE.copy()
    series[60:] = 50.0  # what is set aside cannot have an influence
    result = quick(series, validation=0.5, **options)
    other = quick(SINE, validation=0.5, **options)
    assert len(result.history["validation_loss"]) == 3
    assert result.history["loss"].tobytes() == other.history["loss"].tobytes()


def test_the_end_of_a_series_is_judged_in_the_state_that_its_beginning_leaves():
    result = quick(SINE, validation=0.25, epochs=1, dtype="float64")
    scaling = result.model.scaling
    error = (result.model.predict(SINE)[:-1, 0] - SINE[1:]) / scaling.y_scale
    at = 119 - round(0.25 * 119)
    assert result.history["validation_loss"][0] == pytest.approx(np.mean(error[at:] ** 2))


def test_schedules():
    X, y = batch()
    rate = lambda **options: quick(  # noqa: E731
        X, y, learning_rate=0.1, epochs=4, **options
    ).history["learning_rate"]
    np.testing.assert_allclose(rate(), 0.1)
    np.testing.assert_allclose(rate(schedule="step"), [0.1, 0.1, 0.01, 0.001])
    np.testing.assert_allclose(
        rate(schedule="cosine"), 0.05 * (1 + np.cos(np.pi * np.arange(4) / 4))
    )
    np.testing.assert_allclose(rate(schedule=lambda epoch: 0.5**epoch), 0.1 * 0.5 ** np.arange(4))


def test_clipping_bounds_the_step_not_the_record():
    X, y = batch()
    start = quick(X, y, epochs=1, method="sgd", learning_rate=1e-30)
    moved = quick(X, y, epochs=1, method="sgd", learning_rate=0.5, clip=1e-3)
    assert moved.history["gradient_norm"][0] > 0.01
    assert np.linalg.norm(moved.x - start.x) == pytest.approx(0.5e-3, rel=1e-3)


def test_dropout_is_between_layers_scaled_and_for_training_only():
    X, y = batch()
    with_dropout = quick(X, y, num_layers=2, dropout=0.5)
    assert with_dropout.x.tobytes() != quick(X, y, num_layers=2).x.tobytes()
    predictions = [with_dropout.model.predict(X) for _ in range(2)]
    np.testing.assert_array_equal(*predictions)


def test_a_bar_on_request_only(capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tqdm", None)  # its lock is a semaphore of the system
        for method in ("adam", "BFGS"):
            result = quick(*batch(), method=method)
        result.covariance(*batch(), weight_decay=0.1)
    assert capsys.readouterr().err == ""
    quick(*batch(), progress=True, validation=0.25)
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "loss=" in shown
    assert "validation=" in shown


# --- manners ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learning_rate": 0.1}, "L-BFGS-B does not use learning_rate"),
        ({"schedule": "cosine"}, "does not use schedule"),
        ({"clip": 2.0}, "does not use clip"),
        ({"dropout": 0.1, "num_layers": 2}, "does not use dropout"),
        ({"batch_size": 3}, "does not use batch_size"),
        ({"options": {"nonsense": 1}}, "Unknown solver options: nonsense"),
    ],
)
def test_what_scipys_methods_do_not_use_is_warned_about(options, words, tmp_path):
    with pytest.warns(OptimizeWarning, match=words):
        quick(*batch(), method="L-BFGS-B", **options)


def test_a_checkpoint_that_cannot_be_is_warned_about(tmp_path):
    with pytest.warns(OptimizeWarning, match="does not use checkpoint"):
        quick(*batch(), method="CG", checkpoint=tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_what_our_methods_do_not_use_is_warned_about():
    with pytest.warns(
        OptimizeWarning, match="Unknown solver options of 'adam': momentum"
    ) as caught:
        numlstm.fit(*batch(), hidden_size=4, epochs=1, options={"momentum": 0.9})
    assert caught[0].filename == __file__
    with pytest.warns(OptimizeWarning, match="dropout lies between layers"):
        quick(*batch(), dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(*batch(), options={"betas": (0.5, 0.9)}, clip=None)
        quick(*batch(), method="l-bfgs-b", clip=None, weight_decay=0.1, options={"maxcor": 5})


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "Nelder-Mead"}, ValueError, r"method must be one of \['adam', .*'L-BFGS-B'"),
        ({"method": None}, ValueError, "method must be one of"),
        ({"loss": "l2"}, ValueError, r"loss must be one of \['mse', .*received 'l2'"),
        ({"schedule": "linear"}, ValueError, r"one of \['cosine', 'step'\].*received 'linear'"),
        ({"schedule": lambda epoch: -1}, ValueError, r"schedule\(0\) must be a factor >= 0"),
        ({"output": "first"}, ValueError, "output must be one of"),
        ({"nan_policy": "propagate"}, ValueError, r"one of \['raise', 'omit'\]"),
        ({"backend": "gpu"}, ValueError, "backend must be one of"),
        ({"backend": {"name": "cpu"}}, ValueError, "backend must be one of"),
        ({"dtype": "float16"}, ValueError, "dtype must be one of"),
        ({"schedule": lambda epoch: "half"}, ValueError, r"factor >= 0 .*, returned 'half'"),
        ({"schedule": lambda epoch: "0.5"}, ValueError, r"factor >= 0 .*, returned '0.5'"),
        ({"schedule": lambda epoch: True}, ValueError, r"factor >= 0 .*, returned True"),
        ({"rng": "x"}, TypeError, "rng must be None, an integer >= 0 or .*Generator, received 'x'"),
        ({"rng": -1}, ValueError, "rng must be None, an integer >= 0 .*, received -1"),
        ({"rng": 0.5}, TypeError, r"rng must be None, an integer >= 0 .*, received 0\.5"),
        ({"rng": True}, TypeError, "rng must be None, an integer >= 0 .*, received True"),
        ({"epochs": True}, ValueError, "epochs must be an integer >= 1, received True"),
        ({"clip": True}, TypeError, "clip must be a number, received True"),
        ({"learning_rate": "0.1"}, TypeError, "learning_rate must be a number, received '0.1'"),
        ({"method": "sgd", "options": {"momentum": 0.9, "nesterov": "no"}}, TypeError,
         "nesterov must be True or False, received 'no'"),
        ({"hidden_size": 0}, ValueError, "hidden_size must be an integer >= 1"),
        ({"epochs": 1.5}, TypeError, "epochs must be an integer"),
        ({"batch_size": -1}, ValueError, "batch_size must be an integer >= 1"),
        ({"bptt_steps": 0}, ValueError, "bptt_steps must be an integer >= 1"),
        ({"patience": 0}, ValueError, "patience must be an integer >= 1"),
        ({"learning_rate": 0}, ValueError, "learning_rate must be > 0"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate must be a number"),
        ({"dropout": 1}, ValueError, "dropout must be >= 0 and < 1"),
        ({"clip": -1}, ValueError, "clip must be > 0"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay must be >= 0"),
        ({"tol": np.nan}, ValueError, "tol must be a finite number"),
        ({"stateful": 1}, TypeError, "stateful must be True or False"),
        ({"options": [1]}, TypeError, "options must be a dict"),
        ({"options": {1: 2}}, TypeError, "options must be a dict from names"),
        ({"options": {1: 2}, "method": "L-BFGS-B"}, TypeError, "options must be a dict from names"),
        ({"options": {"betas": 0.9}}, ValueError, "betas must be two numbers"),
        ({"options": {"eps": -1}}, ValueError, "eps must be >= 0"),
        ({"method": "sgd", "options": {"nesterov": True}}, ValueError, "needs a momentum"),
        ({"resume": True}, ValueError, "resume=True needs checkpoint="),
        ({"model": "mine"}, TypeError, r"model must be a numlstm\.LSTM"),
        ({"validation": 1.5}, ValueError, "validation must lie between 0 and 1"),
        ({"validation": "some"}, TypeError, "validation must be a fraction, a tuple"),
        ({"validation": ["A", "B"]}, TypeError, "received names: pass what they stand for"),
        ({"validation": (1, 2, 3, 4)}, ValueError, r"a tuple \(X, y\).*received 4 values"),
        ({"validation": (np.zeros((2, 9, 3)), np.zeros((2, 9, 1)))}, ValueError,
         r"validation: X must have shape \(B, T, 2\), received \(2, 9, 3\)"),
        ({"validation": (np.zeros((2, 9, 2)), np.zeros((2, 9, 3)))}, ValueError,
         "validation has 3 target"),
        ({"loss": "binary_cross_entropy"}, ValueError, "needs targets between 0 and 1"),
        ({"loss": "cross_entropy"}, ValueError, "not one-hot"),
        ({"model": numlstm.LSTM(2, 4, 3)}, ValueError, "has 3 outputs.*need 1"),
        ({"model": numlstm.LSTM(3, 4, 1)}, ValueError, r"\(B, T, 3\), received \(12, 9, 2\)"),
        ({"model": numlstm.LSTM(2, 4, 1), "hidden_size": 7}, ValueError,
         "hidden_size=7 does not go with the model given, which has 4"),
    ],
)  # fmt: skip
def test_options_that_are_refused(options, error, words):
    X, y = batch()
    with pytest.raises(error, match=words):
        quick(X, y, **options)


def test_series_that_cannot_be_split_or_streamed():
    with pytest.raises(ValueError, match="needs bptt_steps="):
        quick(SINE, stateful=True)
    X, y = batch()
    with pytest.raises(ValueError, match="one target per step"):
        quick(X, y[:, -1], stateful=True)
    with pytest.raises(ValueError, match="cannot be set aside from 1 sequence"):
        quick(X[:1], y[:1, -1], validation=0.5)
    with pytest.raises(ValueError, match="does not go with the model given, which keeps a scaling"):
        quick(X, y, model=quick(X, y).model, standardize=False)


def test_what_the_model_does_is_found_there():
    result = numlstm.fit(SINE, hidden_size=2, epochs=1, rng=0)
    methods = {name for name in dir(numlstm.LSTM) if not name.startswith("_")} - {"from_spec"}
    for name in methods - set(result):
        with pytest.raises(AttributeError, match=rf"write result\.model\.{name}$"):
            getattr(result, name)
    with pytest.raises(AttributeError, match=r"write result\.model\.scaling$"):
        result.scaling  # noqa: B018
    with pytest.raises(AttributeError, match=r"^predictions$"):
        result.predictions  # noqa: B018
    assert not hasattr(result, "predict")
    again = pickle.loads(pickle.dumps(copy.deepcopy(result)))
    assert again.model.theta.tobytes() == result.x.tobytes()


def test_an_ensemble_is_shown_in_short_and_points_to_its_models():
    X, y = batch()
    many = numlstm.ensemble(X, y, members=3, hidden_size=2, epochs=1, rng=0)
    said = f"{many.models[0]!r}; {many.data}; All epochs were run."
    assert repr(many) == f"<Ensemble of 3: {said}>"
    for name in ("save", "theta", "scaling"):
        with pytest.raises(AttributeError, match=rf"write ensemble\.models\[0\]\.{name}$"):
            getattr(many, name)
    with pytest.raises(AttributeError, match=r"^an Ensemble has no 'member'$"):
        many.member  # noqa: B018
    again = copy.deepcopy(many)
    assert again.models[2].theta.tobytes() == many.models[2].theta.tobytes()


# --- what was read is said ------------------------------------------------------------------------

ROWS, ONES = batch()
STEPS = np.random.default_rng(0).standard_normal((240, 12))
SAID = {
    "one series of 240 steps, 12 features, a target per step; validation: the last 20 %": (
        (STEPS, STEPS[:, 0]), {"validation": 0.2, "bptt_steps": 40}),
    "240 sequences of 12 steps, one feature, one target per sequence": (
        (STEPS[..., None], STEPS[:, 0]), {}),
    "one series of 120 steps, one feature, the next value as target": ((SINE,), {}),
    "12 sequences of 9 steps, 2 features, a target per step": ((ROWS, ONES), {}),
    "9 sequences of 12 steps, 2 features, 3 targets per step": (
        (ROWS.transpose(1, 0, 2), np.ones((9, 12, 3))), {}),
    "12 sequences of 9 steps, 2 features, 4 targets per sequence": (
        (ROWS, np.ones((12, 4))), {"loss": "mae"}),
    "3 sequences of 2 to 9 steps, 2 features, a target per step": (
        ([ROWS[0], ROWS[1, :4], ROWS[2, :2]], [ONES[0], ONES[1, :4], ONES[2, :2]]), {}),
    "12 sequences of 3 to 9 steps, 2 features, a target per step": (
        (ROWS, ONES), {"lengths": np.arange(3, 15).clip(max=9)}),
    "12 sequences of 9 steps, 2 features, one target per sequence of 3 classes": (
        (ROWS, np.arange(12) % 3), {"loss": "cross_entropy"}),
    "one series of 120 steps in 4 consecutive pieces, one feature, the next value as target, in 2 "
    "parts of 60 steps": (
        (SINE.reshape(4, 30, 1),), {"stateful": True, "batch_size": 2}),
    "one series of 9 steps, 2 features, a target per step; validation: 2 sequences of 4 steps": (
        (ROWS[0], ONES[0]), {"validation": (ROWS[:2, :4], ONES[:2, :4])}),
    "12 sequences of 1 step, 2 features, a target per step": ((ROWS[:, :1], ONES[:, :1]), {}),
    "12 sequences of 9 steps, 2 features, a target per step, 3 of 108 targets missing": (
        (ROWS, np.where(np.arange(108).reshape(12, 9, 1) < 3, np.nan, ONES)),
        {"nan_policy": "omit"}),
    "12 sequences of 9 steps, 2 features, a target per step, 9 of 108 targets without weight, "
    "weighted": (
        (ROWS, ONES), {"sample_weight": np.arange(12)}),
    "one series of 120 steps, one feature, a target per step, 2 resets": (
        (SINE, SINE), {"reset": np.arange(120) % 50 == 49}),
    "12 sequences of 9 steps, 2 features, one target per sequence of 4 classes (0, 2 in none)": (
        (ROWS, np.arange(12) % 2 * 2 + 1), {"loss": "cross_entropy"}),
    "12 sequences of 9 steps, 2 features, a target per step; validation: the last 10 %, 1 of 12 "
    "sequences": (
        (ROWS, ONES), {"validation": 0.1}),
}  # fmt: skip


@pytest.mark.parametrize("words", SAID)
@pytest.mark.parametrize("method", ["adam", "L-BFGS-B"])
def test_what_was_read_is_said(words, method, capsys):
    data, options = SAID[words]
    if method != "adam":
        options = {name: value for name, value in options.items() if name != "bptt_steps"}
        if options.get("stateful"):
            method = "sgd"
    result = quick(*data, method=method, progress=True, **options)
    assert capsys.readouterr().err.splitlines()[0] == words
    assert f"data: {words}\n" in f"{result}\n"
    assert result.data == words
    assert "data" in pickle.loads(pickle.dumps(result))


# --- messages that name the way out, by every function --------------------------------------------

FEW = {"hidden_size": 2, "epochs": 1, "rng": 0}


def doors(X, y, **options):
    """What reads X and y, by name."""
    model = numlstm.LSTM(2, 2, 3 if options else 1, rng=0)
    fine = np.zeros_like(X), np.zeros_like(y)
    calls = {
        "fit": lambda: numlstm.fit(X, y, **FEW, **options),
        "by SciPy": lambda: numlstm.fit(X, y, method="L-BFGS-B", **FEW, **options),
        "a list": lambda: numlstm.fit(list(X), list(y), **FEW, **options),
        "ensemble": lambda: numlstm.ensemble(X, y, members=2, **FEW, **options),
        "objective": lambda: numlstm.objective(model, X, y, **options),
        "validation": lambda: numlstm.fit(*fine, validation=(X, y), **FEW, **options),
    }
    if not options:
        calls["covariance"] = lambda: numlstm.fit(*fine, **FEW).covariance(X, y)
        calls["predict"] = lambda: model.predict(X)
    return calls


def spoilt(array, index, value):
    array = array.astype(float)
    array[index] = value
    return array


DOORS = ["fit", "by SciPy", "a list", "ensemble", "objective", "validation", "covariance"]


@pytest.mark.parametrize("door", DOORS)
def test_missing_targets_name_nan_policy(door):
    words = r"y has 1 NaN .*first at index \(2, 3, 0\); NaN: .*pass nan_policy='omit'"
    with pytest.raises(ValueError, match=words) as caught:
        doors(ROWS, spoilt(ONES, (2, 3, 0), np.nan))[door]()
    assert "missing=" not in str(caught.value)


@pytest.mark.parametrize("door", [*DOORS, "predict"])
def test_missing_inputs_name_missing(door):
    words = r"X(\[2\])? has 1 NaN .*first at index \((2, )?3, 1\); NaN: .* missing='mask'"
    with pytest.raises(ValueError, match=words) as caught:
        doors(spoilt(ROWS, (2, 3, 1), np.nan), ONES)[door]()
    assert "nan_policy" not in str(caught.value)


@pytest.mark.parametrize("door", DOORS[:-1])
@pytest.mark.parametrize("ignored", [-100, -1])
def test_labels_that_others_ignore_name_nan(door, ignored):
    labels = spoilt(np.arange(108).reshape(12, 9) % 3, (2, 3), ignored)
    words = rf"received {ignored}\.0 at index \(2, 3\); .*write NaN, .*nan_policy='omit'"
    with pytest.raises(ValueError, match=words):
        doors(ROWS, labels, loss="cross_entropy")[door]()


def test_the_ways_out_are_ways_out():
    there = np.ones((12, 9))
    there[2, 3] = 0
    options = {"standardize": False, "batch_size": 4}
    weighed = quick(ROWS, ONES, sample_weight=there, **options)
    lacking = quick(ROWS, spoilt(ONES, (2, 3, 0), np.nan), nan_policy="omit", **options)
    np.testing.assert_array_equal(lacking.x, weighed.x)
    labels = np.arange(108).reshape(12, 9) % 3
    weighed = quick(ROWS, labels, loss="cross_entropy", sample_weight=there, **options)
    ignored = spoilt(labels, (2, 3), -100)
    lacking = quick(ROWS, np.where(ignored < 0, np.nan, ignored), loss="cross_entropy",
                    nan_policy="omit", **options)  # fmt: skip
    np.testing.assert_array_equal(lacking.x, weighed.x)
    assert quick(spoilt(ROWS, (2, 3, 1), np.nan), ONES, missing="mask").success


@pytest.mark.parametrize("rng", ["x", -1, 0.5, True])
def test_an_unknown_rng_is_said_by_all(rng):
    for call in (
        lambda: numlstm.ensemble(*batch(), members=2, **FEW | {"rng": rng}),
        lambda: numlstm.LSTM(2, 3, 1, rng=rng),
        lambda: numlstm.LSTM(2, 3, 1, dropout={"states": 0.1}, rng=0).predict(
            batch()[0], noise_rng=rng
        ),
    ):
        with pytest.raises((TypeError, ValueError), match=rf"rng must be None, .*received {rng!r}"):
            call()


def test_the_norm_of_the_history_is_that_of_the_loss_without_its_penalty():
    X, y = batch()
    options = {"method": "L-BFGS-B", "weight_decay": 0.5, "dtype": "float64", "epochs": 3}
    result = quick(X, y, **options)
    scaling = result.model.scaling
    plain = numlstm.LSTM.from_spec(result.model.spec, "cpu", result.x)
    _, gradient = numlstm.objective(plain, scaling.inputs(X), scaling.targets(y))(result.x)
    assert result.history["gradient_norm"][-1] == pytest.approx(np.linalg.norm(gradient), rel=1e-6)


def test_a_small_fraction_sets_one_sequence_aside():
    X, y = batch()
    assert "1 of 12 sequences" in quick(X, y, validation=0.01).data

"""A goal is claimed only where it holds for what is returned, and a success only for an answer."""

import re
import warnings

import numpy as np
import pytest

import numlstm
from helpers.fits import PowerCut, batch, cut_the_power, quick
from numlstm.data.sequences import Dataset
from numlstm.objectives.constant import worst_loss
from numlstm.optim.losses import LOSSES

EXACT = {"dtype": "float64", "learning_rate": 0.3, "clip": None, "batch_size": 3}


def loss_of(result, X, y):
    model = result.model
    return numlstm.objective(model, X, y).value(model.theta)


def test_tol_holds_for_the_parameters_returned():
    X, y = batch()
    result = quick(X, y, tol=0.3, epochs=200, dtype="float64")
    assert result.message == "The loss reached tol = 0.3."
    assert result.fun <= 0.3
    assert result.fun == result.history["training_loss"][-1]
    assert result.fun == pytest.approx(loss_of(result, X, y), rel=1e-12)
    assert (result.history["training_loss"][:-1] > 0.3).all()


@pytest.mark.parametrize("learned", [False, True])
def test_tol_of_streams_is_the_loss_of_these_streams(learned):
    """Each of them begins in the initial state, in training, in the goal and in `fun`."""
    series = np.random.default_rng(0).standard_normal(120).cumsum()
    options = {"stateful": True, "batch_size": 4, "bptt_steps": 10, "learned_state": learned}
    result = quick(series, tol=0.4, epochs=300, dtype="float64", **options)
    assert result.message == "The loss reached tol = 0.4."
    assert result.fun == result.history["training_loss"][-1] <= 0.4
    errors = [
        result.model.predict(series[start : min(start + 30, 119)])[:, 0]
        - series[start + 1 : min(start + 31, 120)]
        for start in (0, 30, 60, 90)
    ]
    expected = np.mean(np.concatenate(errors) ** 2) / result.model.scaling.y_scale[0] ** 2
    assert result.fun == pytest.approx(expected, rel=1e-12)
    whole = result.model.predict(series[:119])[:, 0] - series[1:]
    assert np.mean(whole**2) / result.model.scaling.y_scale[0] ** 2 != pytest.approx(expected)


def test_patience_returns_the_best_parameters_of_all_epochs():
    X, y = batch()
    result = quick(X, y, patience=3, epochs=60, **EXACT)
    best = result.history["training_loss"].min()
    assert result.fun == best == pytest.approx(loss_of(result, X, y), rel=1e-12)
    # not the running mean of the epoch, which is a loss of no parameters
    assert best not in result.history["loss"]


def losses_of(options):
    """The result, and the loss of the parameters after each of its epochs."""
    X, y = batch()
    seen = []
    result = quick(X, y, callback=lambda intermediate_result: seen.append(
        intermediate_result.x.copy()), **EXACT | options)  # fmt: skip
    judged = {name: options[name] for name in ("loss", "sample_weight") if name in options}
    fun = numlstm.objective(result.model, X, y, **judged)
    assert result.fun == pytest.approx(fun.value(result.x), rel=1e-12)
    return result, np.array([fun.value(theta) for theta in seen])


@pytest.mark.parametrize("options", [
    {"patience": 3}, {"patience": 2, "batch_size": 1}, {"patience": 3, "loss": "huber"},
    {"patience": 4, "sample_weight": np.arange(1.0, 13)}, {"patience": 1, "bptt_steps": 4},
    {"patience": 3, "method": "sgd", "learning_rate": 0.5},
])  # fmt: skip
def test_patience_counts_from_the_best_parameters(options):
    result, losses = losses_of({"epochs": 99, **options})
    best = np.argmin(losses)
    assert result.success
    assert result.message == f"No better loss for patience = {options['patience']} epochs."
    assert result.fun == pytest.approx(losses[best], rel=1e-9)
    assert result.nit == len(losses) == best + 1 + options["patience"]


@pytest.mark.parametrize("options", [
    {"tol": 0.3, "learning_rate": 0.001, "batch_size": 32, "epochs": 600}, {"tol": 0.05},
    {"tol": 0.3, "patience": 5, "learning_rate": 0.05}, {"tol": 0.02, "loss": "huber"},
    {"tol": 0.2, "sample_weight": np.arange(1.0, 13), "learning_rate": 0.01},
])  # fmt: skip
def test_tol_is_reached_by_the_first_parameters_that_reach_it(options):
    result, losses = losses_of({"epochs": 99, **options})
    assert result.success
    assert result.message == f"The loss reached tol = {options['tol']:g}."
    assert result.fun == pytest.approx(losses[-1], rel=1e-9)
    assert losses[-1] <= options["tol"] < losses[:-1].min()


def test_every_member_returns_its_own_best():
    X, y = batch()
    many = numlstm.ensemble(
        X, y, members=3, hidden_size=4, rng=0, patience=3, epochs=60, bootstrap=False, **EXACT
    )
    for model, losses in zip(many.models, many.history["training_loss_members"].T, strict=True):
        value = numlstm.objective(model, X, y).value(model.theta)
        assert value == pytest.approx(losses.min(), rel=1e-12)


def test_nothing_more_is_evaluated_without_a_goal():
    assert "training_loss" not in quick(*batch()).history


def test_a_fit_that_ends_far_above_a_constant_is_no_success():
    X, y = batch()
    wild = quick(X, y, method="sgd", learning_rate=50.0, clip=None, epochs=1, batch_size=1)
    assert not wild.success
    assert wild.status in (96, 97)
    far = quick(X, 1000 + y, standardize=False)  # three epochs do not reach a mean of 1000
    assert not far.success
    assert far.status == 96
    assert "best constant prediction" in far.message
    assert quick(X, 1000 + y).success


@pytest.mark.filterwarnings("ignore:validation. the targets")
def test_an_infinite_validation_loss_is_no_best_one():
    X, y = batch()
    far = np.full_like(y, 1e30)  # its square is beyond float32
    result = quick(X, y, validation=(X, far), patience=2, epochs=9, standardize=False)
    assert not result.success
    assert result.status == 97
    assert "validation loss" in result.message


def rows(y, value):
    """Targets that end with rows of such a value."""
    y = y.copy()
    y[-3:] = value
    return y


INFINITE = {
    "a pair": lambda X, y: {"validation": (X, np.full_like(y, 1e30)), "standardize": False},
    "float64": lambda X, y: {"validation": (X, 1e200 * y), "dtype": "float64"},
    "in standard units": lambda X, y: {"validation": (X, np.full_like(y, 1e30))},
    "no patience": lambda X, y: {"validation": (X, np.full_like(y, 1e30)), "patience": None},
    "a fraction": lambda X, y: {
        "y": rows(y, 1e30), "validation": 0.25, "standardize": False},
    "by SciPy": lambda X, y: {"validation": (X, np.full_like(y, 1e30)), "method": "L-BFGS-B"},
    "by steps": lambda X, y: {
        "validation": (X, np.full_like(y, 1e30)), "bptt_steps": 4, "standardize": False},
}  # fmt: skip


@pytest.mark.parametrize("kind", INFINITE)
def test_a_validation_that_is_never_finite_is_no_success(kind):
    X, y = batch()
    options = {"y": y, "patience": 2, "epochs": 5} | INFINITE[kind](X, y)
    with warnings.catch_warnings():  # of fill values, which 1e30 may be
        warnings.simplefilter("ignore", UserWarning)
        result = quick(X, **options)
        many = numlstm.ensemble(X, members=2, hidden_size=3, rng=0, **options) if (
            kind != "by SciPy") else result  # fmt: skip
    for one in (result, many):
        assert not one.success
        assert one.status == 97
        assert one.message == "The validation loss was infinite or NaN in every epoch."
    assert np.isfinite(result.fun)
    assert np.isfinite(result.x).all()


LABELS = np.arange(12) % 3
STEEP = {"method": "sgd", "learning_rate": 1e4, "clip": None}
FAR = {
    "squares": (lambda y: y, {"dtype": "float64"} | STEEP),
    "absolute": (lambda y: y + 1e3, {"loss": "mae", "standardize": False}),
    "likelihood": (lambda y: y + 50, {"loss": "gaussian_nll", "standardize": False}),
    "classes": (lambda y: LABELS, {"loss": "cross_entropy"} | STEEP),
    "one class": (lambda y: 1.0 * (LABELS > 0), {"loss": "binary_cross_entropy"} | STEEP),
}


@pytest.mark.parametrize("kind", FAR)
def test_a_loss_far_above_that_of_a_constant_is_said_with_both(kind):
    X, y = batch()
    change, options = FAR[kind]
    with np.errstate(over="ignore"):
        result = quick(X, change(y), epochs=1, batch_size=2, **options)
    assert not result.success
    assert result.status == 96
    words = rf"^The loss {result.fun:.3g} is far above .* constant prediction \(more than"
    assert re.match(words.replace("+", r"\+"), result.message)
    usual = {name: value for name, value in options.items() if name == "loss"}
    assert quick(X, change(y), epochs=3, **usual).success


@pytest.mark.parametrize("options", [
    {"batch_size": 1}, {"batch_size": 4}, {"batch_size": 1, "options": {"momentum": 0.9}},
    {"bptt_steps": 3}, {"batch_size": 1, "dtype": "float64", "learning_rate": 1e160},
    {"batch_size": 1, "patience": 3}, {"batch_size": 1, "validation": 0.25},
])  # fmt: skip
def test_the_last_finite_step_is_finite(options):
    """Where a step of the first epoch leads to a loss that is infinite, it is the start."""
    X, y = batch()
    steep = {"method": "sgd", "learning_rate": 1e20, "clip": None, "epochs": 5}
    result = quick(X, y, **steep | options)
    assert not result.success
    assert result.status == 97
    assert np.isfinite(result.fun)
    assert result.fun < 10
    assert np.isfinite(result.model.predict(X)).all()
    if "validation" not in options:
        assert result.fun == pytest.approx(loss_of(result, X, y), rel=1e-5)


@pytest.mark.parametrize("method", ["least_squares", "L-BFGS-B", "BFGS", "adam", "sgd"])
@pytest.mark.parametrize(("dtype", "unit"), [("float64", 1e200), ("float32", 1e25)])
def test_data_whose_squares_are_infinite_end_alike(method, dtype, unit):
    X, y = batch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = quick(X, unit * y, method=method, dtype=dtype, standardize=False)
    assert not result.success
    assert result.status == 97
    assert result.message.startswith("The loss became NaN or infinite")
    assert np.isfinite(result.x).all()
    far, near = (quick(X, part, method=method, dtype=dtype) for part in (unit * y, y))
    assert far.fun == pytest.approx(near.fun, rel=1e-4)


SQUARES = {"method": "least_squares"}


@pytest.mark.parametrize(("dtype", "unit"), [
    ("float64", 1e154), ("float64", 1e300), ("float32", 1e20), ("float32", 1e37),
])  # fmt: skip
@pytest.mark.parametrize("options", [
    SQUARES | {"options": {"max_nfev": 5}}, SQUARES | {"options": {"tr_solver": "lsmr"}},
    SQUARES | {"options": {"method": "dogbox"}}, SQUARES | {"weight_decay": 1e-3},
    SQUARES | {"weight_decay": 1e-3, "options": {"method": "lm"}}, SQUARES | {"tol": 0.1},
    SQUARES | {"epochs": 1}, {"method": "BFGS"}, {"method": "CG"}, {"method": "TNC"},
    {"method": "trust-ncg"},
])  # fmt: skip
def test_an_infinite_loss_has_one_status_whatever_ended_the_run(options, dtype, unit):
    X, y = batch()
    with warnings.catch_warnings():  # SciPy's own, of what float32 could not hold either
        warnings.simplefilter("ignore")
        result = quick(X, 10 * unit / 4 * y, dtype=dtype, standardize=False, **options)
    assert np.isinf(result.fun)
    assert (result.success, result.status) == (False, 97)
    assert result.message == "The loss became NaN or infinite; the model is that of the start."
    assert result.nit == 0 or np.isinf(result.history["loss"]).all()
    start = numlstm.LSTM(2, 4, 1, dtype=dtype, rng=0)
    assert result.x.shape == start.theta.shape
    assert np.isfinite(result.x).all()


def test_a_start_without_a_finite_loss_is_said_and_returned():
    X, y = batch()
    model = numlstm.LSTM(2, 3, 1, rng=0)
    model.params["head_weight"] = np.full((1, 3), 1e30)
    steep = {"standardize": False, "clip": None, "method": "sgd", "learning_rate": 1e-3}
    result = numlstm.fit(X, y, model=model, epochs=4, **steep)
    assert (result.success, result.status, result.nit) == (False, 97, 0)
    assert result.message == "The loss became NaN or infinite; the model is that of the start."
    np.testing.assert_array_equal(result.x, model.theta)
    many = numlstm.ensemble(X, 1e25 * y, members=2, hidden_size=3, epochs=4, rng=0, **steep)
    assert many.message == result.message


@pytest.mark.parametrize(
    "options",
    [
        {"method": "sgd", "learning_rate": 1e20},
        {"method": "adamw", "learning_rate": 1e22},
        {"method": "rmsprop", "learning_rate": 1e22},
        {"method": "sgd", "learning_rate": 1e20, "epochs": 4},
        {"method": "adam", "learning_rate": 1e25, "epochs": 30, "batch_size": 4},
    ],
)
def test_a_last_update_to_infinity_is_taken_back(options):
    X, y = batch()
    options = {"epochs": 1, "hidden_size": 3, "rng": 0, "clip": None, **options}
    result = numlstm.fit(X, y, **options)
    assert (result.success, result.status) == (False, 97)
    assert np.isfinite(result.fun)
    assert result.fun == pytest.approx(loss_of(result, X, y), rel=1e-4)
    many = numlstm.ensemble(X, y, members=2, **options)
    assert all(np.isfinite(model.predict(X)).all() for model in many.models)


@pytest.mark.filterwarnings("ignore:validation. the targets")
@pytest.mark.parametrize(
    "other",
    [lambda y: y.mean() + 0 * y, lambda y: y / 100, lambda y: y + 40, lambda y: 1e10 * (y + 9)],
    ids=["constant", "quiet", "another level", "another unit"],
)
def test_data_to_judge_by_may_be_hard(other):
    """A trend or a quiet part; nobody can know the constant that is the best one there."""
    X, y = batch()
    result = quick(X, y, validation=(X, other(y)), dtype="float64")
    assert (result.success, result.status) == (True, 0)
    many = numlstm.ensemble(X, y, validation=(X, other(y)), members=2, hidden_size=3, rng=0)
    assert (many.success, many.status) == (True, 0)


@pytest.mark.parametrize("epochs", [1, 20])
def test_a_density_of_equal_targets_has_a_bar(epochs):
    X, _ = batch()
    options = {"loss": "gaussian_nll", "epochs": epochs}
    assert quick(X, np.full(12, 3.0), **options).success
    waves = np.column_stack([np.sin(np.arange(300) / 9), np.full(300, 4.0)])
    assert quick(waves, **options).success


def test_a_resample_of_few_targets_is_judged_as_all_data_are():
    X, y = batch()
    many = numlstm.ensemble(X[:3], y[:3, -1], members=16, hidden_size=3, epochs=20, rng=0)
    assert (many.success, many.status) == (True, 0)
    rare = np.r_[np.zeros(11, int), 1]
    options = {"loss": "cross_entropy", "members": 16, "hidden_size": 3, "epochs": 3, "rng": 0}
    assert numlstm.ensemble(X, rare, **options).success


@pytest.mark.parametrize("unit", [1e10, -1e4])
def test_targets_to_judge_by_in_another_unit_are_said(unit):
    X, y = batch(O=2)
    other = y * [1, unit]
    far = np.median(np.abs(other[..., 1] - y[..., 1].mean())) / y[..., 1].std()
    words = f"validation: the targets of column 1 are typically {far:.1g} standard deviations"
    for weight in (None, np.r_[np.zeros(3), np.ones(9)]):
        given = {"X": X, "y": other, "sample_weight": weight}
        with pytest.warns(UserWarning, match="see whether they have the same unit") as caught:
            quick(X, y, validation=given, standardize=False, dtype="float64")
        assert len(caught) == 1
        assert caught[0].filename.endswith("fits.py")
        assert weight is not None or str(caught[0].message).startswith(words)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(X, y, validation=(X, 100 * y))
        quick(X, 0 * y, validation=(X, 1e4 + 0 * y))


def test_least_squares_with_an_infinite_first_residual_ends_as_others_do():
    X, y = batch()
    model = numlstm.LSTM(2, 3, 1, dtype="float64", rng=0)
    model.theta[:] = np.inf
    for method in ("least_squares", "L-BFGS-B", "adam"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = numlstm.fit(X, y, model=model, method=method, epochs=2, standardize=False)
        assert not result.success
        assert result.status == 97


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_the_bar_is_that_of_the_best_constant(loss):
    rng = np.random.default_rng(0)
    y, weight = rng.normal(3, 2, (6, 5, 1)), rng.exponential(size=(6, 5, 1))
    if loss == "cross_entropy":
        y, weight = rng.integers(0, 3, (6, 5)), weight[..., 0]
    if loss == "binary_cross_entropy":
        y = rng.random(y.shape)
    bar = worst_loss(LOSSES[loss], Dataset(np.zeros((6, 5, 1)), y, weight))

    def mean_loss(outputs):
        prediction = np.broadcast_to(outputs, (6, 5, len(outputs)))
        return LOSSES[loss].function(prediction, y, weight)[0] / weight.sum()

    from scipy.optimize import minimize

    size = {"cross_entropy": 3, "gaussian_nll": 2}.get(loss, 1)
    least = minimize(mean_loss, np.full(size, 0.5), method="Nelder-Mead").fun
    expected = least + 1 if LOSSES[loss].logarithmic else 2 * least
    assert bar == pytest.approx(expected, rel=0.02)
    assert bar >= expected - 1e-3


def test_where_a_constant_is_exact_the_bar_is_the_loss_of_zero():
    X = np.zeros((2, 3, 1))
    for value, bar in ((5.0, 25.0), (0.0, 1.0)):
        y = np.full((2, 3, 1), value)
        assert worst_loss(LOSSES["mse"], Dataset(X, y, np.ones_like(y))) == bar


def test_where_a_density_has_an_exact_constant_the_bar_is_that_of_a_standard_normal_one():
    y = np.full((2, 3, 1), 3.0)
    standard = np.zeros((2, 3, 2))  # mean, logarithm of the variance
    loss = LOSSES["gaussian_nll"]
    expected = loss.function(standard, y, np.ones_like(y))[0] / y.size + 1
    found = worst_loss(loss, Dataset(np.zeros((2, 3, 1)), y, np.ones_like(y)))
    assert found == pytest.approx(expected, rel=1e-12)


# of one unit on a large mean; the loss of the best constant is that of the wave alone
OFFSETS = [
    (loss, offset) for loss in ("mse", "mae", "huber", "gaussian_nll") for offset in (1013, 1e6)
]


@pytest.mark.parametrize(("loss", "offset"), OFFSETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_wave_on_a_large_mean_is_no_constant(loss, offset, dtype):
    wave = np.sin(np.arange(400) / 9)
    options = {"loss": loss, "dtype": dtype, "epochs": 2}
    far = quick(wave, offset + wave, standardize=False, **options)
    least = {"mse": wave.var(), "mae": np.abs(wave - np.median(wave)).mean()}
    assert far.fun > 100 * least.get(loss, 1)
    assert (far.success, far.status) == (False, 96)
    if loss in least:
        limit = re.search(r"more than ([^)]+)\)", far.message)
        assert float(limit[1]) == pytest.approx(2 * least[loss], rel=0.02)
    many = numlstm.ensemble(
        wave.reshape(4, 100, 1), offset + wave.reshape(4, 100, 1),
        members=2, hidden_size=4, rng=0, standardize=False, **options,
    )  # fmt: skip
    assert (many.success, many.status) == (False, 96)
    trained = quick(wave, wave, epochs=5, loss=loss, dtype=dtype).model
    warm = numlstm.fit(wave, offset + wave, model=trained, loss=loss, epochs=3)
    assert (warm.success, warm.status) == (False, 96)
    assert quick(wave, offset + wave, **options).success


def test_no_better_loss_is_no_success_far_above_a_constant():
    wave = np.sin(np.arange(400) / 9)
    far = quick(wave, 1e4 + wave, standardize=False, patience=2, learning_rate=1e-9, epochs=9)
    assert (far.success, far.status) == (False, 96)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("spread", [1e-3, 1e-5])
def test_the_bar_of_a_small_spread_is_that_of_its_constant(loss, spread):
    rng = np.random.default_rng(0)
    y = 1 + spread * rng.standard_normal((60, 5, 1))
    outputs = np.ones((60, 5, 1))
    if loss == "gaussian_nll":
        y, spread = 1 + 100 * (y - 1), 100 * spread  # above the floor of its variance
        outputs = np.concatenate([outputs, np.full_like(outputs, 2 * np.log(spread))], axis=-1)
    if loss == "binary_cross_entropy":
        y, outputs = y - 0.5, outputs - 1
    if loss == "cross_entropy":
        y, outputs = (rng.random((60, 5)) < spread).astype(int), np.zeros((60, 5, 2))
        outputs[..., 1] = np.log(max(y.mean(), 1e-30) / (1 - y.mean()))
    weight = np.ones(y.shape)
    least = LOSSES[loss].function(outputs, y, weight)[0] / y.size
    expected = least + 1 if LOSSES[loss].logarithmic else 2 * least
    assert worst_loss(LOSSES[loss], Dataset(np.zeros((60, 5, 1)), y, weight)) == pytest.approx(
        expected, rel=0.02
    )


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_targets_but_for_rounding_have_an_exact_constant(loss, standardize, dtype):
    X = np.random.default_rng(0).standard_normal((20, 50, 1))
    for value in (0.3, 1e4 / 3 if standardize else 3.0):
        y = np.full_like(X, value)
        y[::2] = np.nextafter(y[::2], 1)
        options = {"loss": loss, "standardize": standardize, "dtype": dtype}
        result = quick(X, y, epochs=5, **options)
        assert result.success
        np.testing.assert_allclose(result.model.predict(X), y, atol=max(1, value))


# --- a goal that only a resumed run has -----------------------------------------------------------

NOISY = {"method": "sgd", "learning_rate": 0.5, "clip": None, "batch_size": 4, "dtype": "float64"}


@pytest.fixture(scope="module")
def unbroken():
    """The training loss after every one of 40 epochs."""
    return quick(*batch(), **NOISY, epochs=40, patience=40).history["training_loss"]


def waited_for(losses, first, patience):
    """How many epochs a run makes whose losses are known from an epoch on, counted from 1."""
    for epoch in range(first + patience, len(losses) + 1):
        known = losses[first - 1 : epoch]
        if epoch - (first + np.argmin(known)) >= patience:
            return epoch
    return len(losses)


@pytest.mark.parametrize("first", [1, 6, 17])
def test_a_goal_set_on_resuming_counts_from_there(first, unbroken, tmp_path):
    X, y = batch()
    run = {"checkpoint": tmp_path / "run", **NOISY}
    quick(X, y, **run, epochs=first)
    result = quick(X, y, **run, resume=True, epochs=40, patience=3)
    losses = result.history["training_loss"]
    assert result.nit == len(losses) == waited_for(unbroken, first, 3)
    assert np.isnan(losses[: first - 1]).all()
    np.testing.assert_array_equal(losses[first - 1 :], unbroken[first - 1 : result.nit])
    assert result.fun == np.nanmin(losses) == pytest.approx(loss_of(result, X, y), rel=1e-12)
    # a further stop is none
    again = quick(X, y, **run, resume=True, epochs=40, patience=3)
    assert (again.fun, again.nit, again.message) == (result.fun, result.nit, result.message)


def test_a_goal_that_was_dropped_for_some_epochs(unbroken, tmp_path):
    X, y = batch()
    run = {"checkpoint": tmp_path / "run", **NOISY}
    quick(X, y, **run, epochs=5, patience=40)
    free = quick(X, y, **run, resume=True, epochs=9)
    assert free.message == "All epochs were run."
    assert np.isnan(free.history["training_loss"][5:]).all()
    result = quick(X, y, **run, resume=True, epochs=40, patience=4)
    expected = unbroken[: result.nit].copy()
    expected[5:8] = np.nan
    np.testing.assert_array_equal(result.history["training_loss"], expected)
    assert result.fun == np.nanmin(expected) == pytest.approx(loss_of(result, X, y), rel=1e-12)
    assert result.nit >= 9 + 4 or np.nanargmin(expected) + 1 == result.nit - 4
    assert result.nit > 9


def test_a_low_loss_of_earlier_epochs_is_no_goal_of_later_ones(unbroken, tmp_path):
    """The loss that a run with `tol` ended with says nothing of the epochs that came after."""
    X, y = batch()
    run = {"checkpoint": tmp_path / "run", **NOISY}
    low = unbroken[2]
    assert unbroken[5] < low < min(unbroken[:2].min(), unbroken[3:5].min())
    assert quick(X, y, **run, epochs=9, tol=low).nit == 3
    quick(X, y, **run, resume=True, epochs=5)
    result = quick(X, y, **run, resume=True, epochs=40, tol=low)
    assert (result.nit, result.fun, result.success) == (6, unbroken[5], True)


@pytest.mark.parametrize("writes", [7, 8, 10])
def test_a_goal_set_within_an_epoch_counts_from_its_end(writes, unbroken, tmp_path, monkeypatch):
    X, y = batch()
    run = {"checkpoint": tmp_path / "run", **NOISY}
    with monkeypatch.context() as patch:
        cut_the_power(patch, writes)  # three windows and an end in every epoch
        with pytest.raises(PowerCut):
            quick(X, y, **run, epochs=40)
    result = quick(X, y, **run, resume=True, epochs=40, patience=3)
    first = -(-writes // 4)
    losses = result.history["training_loss"]
    assert np.isnan(losses[: first - 1]).all()
    np.testing.assert_array_equal(losses[first - 1 :], unbroken[first - 1 : result.nit])
    assert result.fun == np.nanmin(losses) == pytest.approx(loss_of(result, X, y), rel=1e-12)


def test_a_trend_is_said_where_the_data_to_judge_by_lie_beyond():
    series = np.arange(300) / 30 + np.sin(np.arange(300) / 5)
    with pytest.warns(UserWarning, match=r"column 0 lie beyond all .*, \d\d% of them above"):
        quick(series, None, validation=0.2)
    quick(np.diff(series), None, validation=0.2)

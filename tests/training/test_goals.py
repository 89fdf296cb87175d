"""A goal is claimed only where it holds for what is returned, and a success only for an answer."""

import warnings

import numpy as np
import pytest

import numlstm
from helpers.fits import batch, quick
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


def test_patience_returns_the_best_parameters_of_all_epochs():
    X, y = batch()
    result = quick(X, y, patience=3, epochs=60, **EXACT)
    best = result.history["training_loss"].min()
    assert result.fun == best == pytest.approx(loss_of(result, X, y), rel=1e-12)
    # not the running mean of the epoch, which is a loss of no parameters
    assert best not in result.history["loss"]


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


def test_an_infinite_validation_loss_is_no_best_one():
    X, y = batch()
    far = np.full_like(y, 1e30)  # its square is beyond float32
    result = quick(X, y, validation=(X, far), patience=2, epochs=9, standardize=False)
    assert not result.success
    assert result.status == 97
    assert "validation loss" in result.message


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

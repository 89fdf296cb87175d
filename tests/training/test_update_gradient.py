"""The updates of an epoch follow the gradient of the loss on all data, however they are cut."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numlstm
from numlstm.training import ensemble
from numlstm.training.update import MemberUpdate, Update

# nothing that an epoch's gradients do not share with those of `objective`
PLAIN = {"hidden_size": 3, "epochs": 1, "standardize": False, "dtype": "float64", "rng": 0}


@contextmanager
def recorded(kind=Update):
    """Gradients of a run whose parameters stay."""
    gradients = []

    def apply(self, evaluated, context):
        value, gradient, carried = evaluated
        self.carry(carried)
        gradients.append((gradient.copy(), np.asarray(context.window.weight)))
        return value, self._norm(gradient)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "apply", apply)
        yield gradients


def check(X, y, *, loss="mse", bptt_steps=None, batch_size=32, **data):
    """The mean of an epoch's gradients is the gradient of all, and its loss the loss of all."""
    options = {"loss": loss, "bptt_steps": bptt_steps, "batch_size": batch_size, **PLAIN}
    with recorded() as gradients:
        result = numlstm.fit(X, y, **options, **data)
    fun = replace(numlstm.objective(result.model, X, y, loss=loss, **data), bptt_steps=bptt_steps)
    value, expected = fun(result.x)
    mean = np.mean([gradient for gradient, _ in gradients], axis=0)
    np.testing.assert_allclose(mean, expected, rtol=1e-9, atol=1e-12)
    assert result.history["loss"][0] == pytest.approx(value, rel=1e-10)
    return gradients


SIZES = st.integers(1, 7)


@st.composite
def problems(draw):
    """Rows of one length, their targets under some loss, weights, and gaps among the targets."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    B, T = draw(SIZES), draw(st.integers(1, 8))
    loss = draw(st.sampled_from(["mse", "mae", "huber", "cross_entropy", "gaussian_nll"]))
    X, y = rng.standard_normal((B, T, 2)), rng.standard_normal((B, T, 1))
    if loss == "cross_entropy":
        y = np.floor(rng.uniform(0, 3, (B, T)))
        y[0, 0] = 2
    weight = rng.exponential(size=(B, T)) ** 3
    data = {"sample_weight": weight * (rng.random((B, T)) < 0.7) + 1e-3}
    if draw(st.booleans()):
        gaps = rng.random((B, T)) < 0.6
        gaps[0, 0] = False  # one target is left
        y[gaps] = np.nan
        data["nan_policy"] = "omit"
    if draw(st.booleans()):
        data["lengths"] = rng.integers(0, T + 1, B)
        data["lengths"][0] = T
    return X, y, loss, data


@given(problems(), SIZES, st.none() | SIZES)
def test_the_mean_gradient_of_an_epoch_is_that_of_all_data(problem, batch_size, bptt_steps):
    X, y, loss, data = problem
    check(X, y, loss=loss, batch_size=batch_size, bptt_steps=bptt_steps, **data)


@given(st.lists(st.integers(2, 9), min_size=1, max_size=6), SIZES, st.none() | SIZES)
def test_also_of_forecasts_of_series_of_any_lengths(lengths, batch_size, bptt_steps):
    rng = np.random.default_rng(sum(lengths))
    series = [rng.standard_normal((length, 2)) for length in lengths]
    check(series, None, batch_size=batch_size, bptt_steps=bptt_steps)


def test_also_across_resets_and_windows_without_a_target():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((4, 30, 2)), np.full((4, 30, 1), np.nan)
    y[0, 3], y[1, 28], y[3, 11:14] = 1.0, -2.0, 0.5
    reset = rng.random((4, 30)) < 0.2
    gradients = check(X, y, bptt_steps=5, batch_size=1, nan_policy="omit", reset=reset)
    assert len(gradients) == 3  # a window of row 0, one of row 1, one of row 3


def test_also_of_one_target_per_sequence():
    rng = np.random.default_rng(1)
    X, y, weight = rng.standard_normal((7, 6, 2)), rng.standard_normal(7), rng.exponential(size=7)
    for batch_size in (1, 3, 7):
        check(X, y, batch_size=batch_size, sample_weight=weight)


def test_every_member_follows_the_gradient_of_its_own_resample():
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((8, 5, 2)), rng.standard_normal((8, 5, 1))
    with recorded(MemberUpdate) as gradients, pytest.MonkeyPatch.context() as patch:
        drawn = []
        resamples = ensemble._resamples

        def watched(*args):
            drawn.append(resamples(*args))
            return drawn[0]

        patch.setattr(ensemble, "_resamples", watched)
        result = numlstm.ensemble(X, y, members=4, batch_size=2, **PLAIN)
    for member, (model, counts) in enumerate(zip(result.models, drawn[0], strict=True)):
        own = [
            gradient.reshape(4, -1)[member]
            for gradient, weight in gradients
            if weight[member] > 0  # updates in which it learns something
        ]
        expected = numlstm.objective(model, X, y, sample_weight=counts).gradient(model.theta)
        np.testing.assert_allclose(np.mean(own, axis=0), expected, rtol=1e-9, atol=1e-12)


# --- and so what is learned does not depend on the batches ----------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 8, 64])
def test_weights_count_whatever_the_batch(batch_size):
    """Zero inputs, targets +1 and -1 in equal number with weights 9 and 1: the answer is 0.8."""
    y = np.tile([1.0, -1.0], 32)
    model = numlstm.fit(
        np.zeros((64, 3, 1)),
        y,
        sample_weight=np.where(y > 0, 9.0, 1.0),
        batch_size=batch_size,
        epochs=200,
        **{"learning_rate": 0.003, "schedule": "cosine", "clip": None, "rng": 0},
        **{"hidden_size": 4, "standardize": False, "dtype": "float64"},
    ).model
    assert model.predict(np.zeros((1, 3, 1)))[0, 0] == pytest.approx(0.8, abs=0.01)


def test_rare_targets_under_truncation_count_as_often_as_they_come():
    """A window of one target pulls less than a window of many: the mean, not that of windows."""
    y = np.full((1, 200, 1), np.nan)
    y[0, :10], y[0, 20::10] = 1.0, -1.0  # ten in the first window, eighteen alone in theirs
    model = numlstm.fit(
        np.zeros((1, 200, 1)),
        y,
        nan_policy="omit",
        bptt_steps=10,
        epochs=400,
        **{"learning_rate": 0.003, "schedule": "cosine", "clip": None, "rng": 0},
        **{"hidden_size": 1, "standardize": False, "dtype": "float64"},
        limits={"fixed": ["weight_ih_l0", "weight_hh_l0", "bias_l0", "head_weight"]},
    ).model
    fun = numlstm.objective(model, np.zeros((1, 200, 1)), y, nan_policy="omit")
    assert fun.gradient(model.theta)[-1] == pytest.approx(0, abs=0.01)  # of the only free one


def test_classes_are_as_probable_as_they_weigh():
    """Balanced by weights in batches of one: 50 %, though one class is nine times as frequent."""
    y = np.array([0] * 45 + [1] * 5)
    model = numlstm.fit(
        np.zeros((50, 2, 1)),
        y,
        sample_weight=np.where(y == 1, 9.0, 1.0),
        loss="cross_entropy",
        batch_size=1,
        epochs=200,
        **{"learning_rate": 0.003, "schedule": "cosine", "clip": None, "rng": 0},
        **{"hidden_size": 2, "standardize": False, "dtype": "float64"},
    ).model
    logits = model.predict(np.zeros((1, 2, 1)))[0]
    assert np.exp(logits[1]) / np.exp(logits).sum() == pytest.approx(0.5, abs=0.01)

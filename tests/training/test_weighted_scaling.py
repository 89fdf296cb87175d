"""Standardisation with sample weights: a row of weight w is w copies of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numlstm
from helpers.fits import SINE, batch, quick, same
from numlstm.data.scaling import moments

EXACT = {"dtype": "float64", "batch_size": 256, "epochs": 30}
COUNTS = np.array([1, 0, 2, 3, 1, 0, 4, 1, 2, 1, 5, 0])


def scalings(*results, rtol=1e-12):
    """The moments of all results, which must be those of the first one."""
    first, *others = (result.model.scaling for result in results)
    for other in others:
        for part, its in zip(first, other, strict=True):
            assert (part is None) == (its is None)
            if part is not None:
                np.testing.assert_allclose(part, its, rtol=rtol)
    return first


def as_copies(X, y=None, *, rtol=1e-12, **options):
    """The fit with weights, which must be the one of so many copies of every row."""
    copies = [index for index, count in enumerate(COUNTS) for _ in range(count)]
    beside = {name: options.pop(name) for name in ("lengths", "reset") if name in options}

    def copied(rows):
        if isinstance(rows, list):
            return [rows[index] for index in copies]
        return None if rows is None else rows[copies]

    options = EXACT | options
    weighted = quick(X, y, sample_weight=COUNTS, **beside, **options)
    beside = {name: copied(value) for name, value in beside.items()}
    repeated = quick(copied(X), copied(y), **beside, **options)
    scalings(weighted, repeated, rtol=rtol)
    np.testing.assert_allclose(weighted.x, repeated.x, rtol=1e-7, atol=1e-9)
    assert weighted.fun == pytest.approx(repeated.fun, rel=1e-7)
    plain = quick(X, y, **options | {"epochs": 1}).model.scaling  # it makes a difference
    assert np.abs(plain.x_mean - weighted.model.scaling.x_mean).min() > 0.01
    return weighted, repeated


LENGTHS = np.array([9, 9, 4, 8, 3, 9, 2, 7, 5, 6, 9, 1])
CASES = {
    "steps": {},
    "lengths": {"lengths": LENGTHS},
    "resets": {"reset": np.random.default_rng(4).random((12, 9)) < 0.2},
    "huber": {"loss": "huber"},
    "scipy": {"method": "L-BFGS-B", "epochs": 5, "batch_size": 32},
    "variances": {"loss": "gaussian_nll"},
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("last", [False, True])
def test_a_weight_is_so_many_copies(name, last):
    X, y = batch(O=2)
    X, y = 3 * X + [5, -1], 10 * y + [7, -40]
    as_copies(X, y[:, -1] if last else y, **CASES[name])


def test_of_lists_too():
    X, y = batch()
    cut = [slice(None, length) for length in LENGTHS]
    as_copies([a[s] for a, s in zip(X, cut)], [a[s] for a, s in zip(y, cut)])  # noqa: B905


def test_of_classes_too():
    X, y = batch()
    weighted, _ = as_copies(X, (y[:, -1, 0] > 0).astype(int), loss="cross_entropy")
    assert weighted.model.scaling.y_mean is None


def test_of_forecasts_too():
    X, _ = batch(I=1)
    weighted, _ = as_copies(X)
    assert weighted.model.scaling.one_unit()


def test_of_missing_values_too():
    """Inputs and targets that are not there count for nothing, and fill by the weighted mean."""
    X, y = batch()
    rng = np.random.default_rng(2)
    X, y = (np.where(rng.random(part.shape) < 0.3, np.nan, part) for part in (X, y))
    weighted, repeated = as_copies(X, y, missing="mask", nan_policy="omit")
    expected = [
        np.average(X[..., i][there], weights=np.broadcast_to(COUNTS[:, None], (12, 9))[there])
        for i in range(2)
        for there in [~np.isnan(X[..., i])]
    ]
    for result in (weighted, repeated):
        np.testing.assert_allclose(result.model.filling.mean, expected, rtol=1e-12)


@pytest.mark.parametrize("factor", [1.0, 1e300, 1e-45, 5e-324])
def test_steps_have_weights_of_their_own(factor):
    """A target counts by its own, an input, which is read for many, by that of its row."""
    X, y = batch()
    counts = np.random.default_rng(1).integers(0, 4, (12, 9))
    counts[4] = 0
    y[2, 3] = np.nan  # its input is one still
    result = quick(X, y, sample_weight=factor * counts, nan_policy="omit", **EXACT)
    scaling = result.model.scaling
    rows = np.repeat(X, counts.sum(axis=1), axis=0).reshape(-1, 2)
    targets = np.repeat(y.ravel(), counts.ravel())
    np.testing.assert_allclose(scaling.x_mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling.x_scale, rows.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling.y_mean, np.nanmean(targets), rtol=1e-12)
    np.testing.assert_allclose(scaling.y_scale, np.nanstd(targets), rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"stateful": True, "bptt_steps": 20, "batch_size": 3}])
def test_the_values_of_a_series_have_weights(options):
    """A value counts by its own weight, as target and as input; one without shapes nothing."""
    series, weight = 100 + SINE, np.ones((1, SINE.size))
    series[30:40], weight[0, 30:40] = 9.97e9, 0
    scaling = quick(series, sample_weight=weight, **options).model.scaling
    kept = np.delete(series, np.s_[30:40])[: None if "stateful" in options else -1]
    np.testing.assert_allclose(scaling.x_mean, kept.mean(), rtol=1e-3)
    np.testing.assert_allclose(scaling.x_scale, kept.std(), rtol=2e-2)
    assert scaling.one_unit()


def test_targets_without_a_weight_may_be_anything():
    """They are not read, wherever they lie outside the scaling: warnings are errors here."""
    X, y = batch()
    weight = np.ones((12, 9))
    weight[3, 2:5] = 0
    expected = quick(X, y, sample_weight=weight)
    for value in (0, 9.97e36, 1e300):
        same(quick(X, np.where(weight[..., None] > 0, y, value), sample_weight=weight), expected)


@pytest.mark.parametrize("size", [1.0, 1e300, 5e-324])
def test_inputs_without_a_target_that_counts_are_read(size):
    """Where the last step alone counts, and its own input says nothing."""
    rng = np.random.default_rng(0)
    X = rng.normal(1000, 300, (200, 12, 1))
    X[:, -1] = 0
    y, weight = np.zeros(X.shape), np.zeros((200, 12))
    y[:, -1, 0], weight[:, -1] = X[:, :-1, 0].mean(axis=1), size
    result = quick(X, y, sample_weight=weight, hidden_size=8, epochs=60)
    expected = [X.mean()], [X.std()], [y[:, -1].mean()], [y[:, -1].std()]
    np.testing.assert_allclose(result.model.scaling[:4], expected, rtol=1e-12)
    assert result.fun < 0.02  # of a variance of 1


def test_weights_of_ragged_steps_are_those_of_their_sequence():
    """A sequence counts by the mean over the steps that it has, in any form: so do the means."""
    X, y = batch()
    X[1, 2, 0] = X[7, 0, 1] = np.nan
    weight = np.random.default_rng(1).integers(0, 3, (12, 9)) * 1.0
    weight[3] = 0
    X[3], weight[6, 5:] = 1e9, 7  # read for nothing; the other lies in the padding
    cut = [slice(None, length) for length in np.where(LENGTHS == 9, 5, LENGTHS)]
    parts = [[a[s] for a, s in zip(part, cut, strict=True)] for part in (X, y, weight)]
    lengths, flat = [len(part) for part in parts[0]], [np.concatenate(part) for part in parts]
    reset = np.isin(np.arange(sum(lengths)), np.cumsum([0, *lengths[:-1]]))
    mean = np.repeat([part.mean() for part in parts[2]], lengths)
    there = ~np.isnan(flat[0])
    expected = [np.average(flat[0][there[:, i], i], weights=mean[there[:, i]]) for i in range(2)]
    options = {**EXACT, "missing": "mask", "epochs": 1}
    results = [
        quick(parts[0], parts[1], sample_weight=parts[2], **options),
        quick(X, y, sample_weight=weight, lengths=lengths, **options),
        quick(flat[0], flat[1], sample_weight=flat[2], reset=reset, **options),
    ]
    np.testing.assert_allclose(scalings(*results).x_mean, expected, rtol=1e-12)
    for result in results:
        np.testing.assert_allclose(result.model.filling.mean, expected, rtol=1e-12)


def test_steps_of_equal_weight_are_rows():
    """To the bit, of forecasts too; and where all are equal they are none."""
    X, y = batch()
    for targets in (y, None):
        rows = quick(X, targets, sample_weight=COUNTS)
        same(quick(X, targets, sample_weight=np.repeat(COUNTS[:, None], 9, axis=1)), rows)
        scalings(quick(X, targets, sample_weight=np.full((12, 9), 0.3)), quick(X, targets), rtol=0)


@pytest.mark.parametrize("given", [True, False])
def test_garbage_without_weight_sets_no_units_of_a_forecast(given):
    """Neither without y nor with the same targets beside it."""
    series, weight = np.sin(np.arange(400) / 5), np.ones(400)
    series[100], weight[95:130] = 1e6, 0
    X, y = (series[:-1], series[1:]) if given else (series, None)
    own = weight[1:] if given else weight
    result = quick(X, y, sample_weight=own, hidden_size=8, epochs=60)
    kept, scaling = series[1:][weight[1:] > 0], result.model.scaling
    np.testing.assert_allclose(scaling.x_mean, kept.mean(), rtol=1e-12)
    np.testing.assert_allclose(scaling.x_scale, kept.std(), rtol=1e-12)
    assert scaling.one_unit()
    error = result.model.predict(series)[200:-1, 0] - series[201:]
    assert 1 - np.mean(error**2) / np.var(series[201:]) > 0.99


def test_exogenous_inputs_of_a_forecast_count_as_inputs():
    rng = np.random.default_rng(2)
    X, weight = rng.normal(5, 3, (12, 10, 3)), rng.integers(0, 3, (12, 9))
    y, X = X[:, 1:, :2], X[:, :-1]
    scaling = quick(X, y, sample_weight=weight, **EXACT).model.scaling
    targets = np.repeat(y.reshape(-1, 2), weight.ravel(), axis=0)
    exogenous = np.repeat(X[..., 2], weight.sum(axis=1), axis=0)
    np.testing.assert_allclose(scaling.y_mean, targets.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling.y_scale, targets.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling.x_mean[2], exogenous.mean(), rtol=1e-12)
    np.testing.assert_allclose(scaling.x_scale[2], exogenous.std(), rtol=1e-12)
    assert scaling.one_unit()


def test_forecasts_of_the_last_value_alone_have_its_unit():
    X, _ = batch(I=1)
    weight = np.zeros((12, 9))
    weight[:, -1] = 1
    scaling = quick(X, sample_weight=weight, **EXACT).model.scaling
    np.testing.assert_allclose(scaling.x_mean, X[:, -1].mean(), rtol=1e-12)
    assert scaling.one_unit()


def test_the_validation_data_shape_nothing():
    X, y = batch()
    weight = np.arange(12.0)
    weighted = quick(X, y, sample_weight=weight, validation=0.25)
    scalings(weighted, quick(X[:9], y[:9], sample_weight=weight[:9]))


def test_an_ensemble_has_one_scaling():
    """Of the data with their weights, not of the members' resamples."""
    X, y = batch()
    options = {"members": 3, "epochs": 1, "hidden_size": 3, "rng": 0}
    many = numlstm.ensemble(X, y, sample_weight=COUNTS, **options)
    expected = quick(X, y, sample_weight=COUNTS).model.scaling
    for model in many.models:
        for part, its in zip(model.scaling, expected, strict=True):
            np.testing.assert_array_equal(part, its)


# --- the moments ----------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.sampled_from(["float32", "float64"]))
def test_weighted_moments_are_those_of_copies(seed, dtype):
    rng = np.random.default_rng(seed)
    values = (10 * rng.standard_normal((4, 5, 3)) + 100).astype(dtype)
    valid = rng.random(values.shape) < 0.7
    valid[0] = True
    counts = rng.integers(0, 5, (4, 5, 1))
    counts[0, 0] = 1
    values[~valid] = np.nan
    mean, scale = moments(values, valid, counts)
    flat = (part.reshape(20, 3) for part in (values, valid))
    expected = moments(*(np.repeat(part, counts.ravel(), axis=0) for part in flat))
    np.testing.assert_allclose(mean, expected[0], rtol=1e-12)
    np.testing.assert_allclose(scale, expected[1], rtol=1e-12)
    for factor in (1e300, 2.0**-1060):
        far = moments(values, valid, factor * counts)
        np.testing.assert_allclose(far, (mean, scale), rtol=1e-12)


def test_equal_weights_are_none_to_the_bit():
    values = np.random.default_rng(0).standard_normal((300, 7, 2))
    valid = values > -1
    for weight in (1e300, 0.3, 1e-45, 5e-324):
        given = moments(values, valid, np.full((300, 1, 1), weight))
        np.testing.assert_array_equal(given, moments(values, valid))


def test_entries_without_weight_are_not_there():
    values = np.tile([[0.1], [0.1], [1e308], [3.0]], (1, 2))
    weight = np.array([[1e-200, 0], [3e-200, 0], [0, 0], [0, 1e200]])
    mean, scale = moments(values, np.ones(values.shape, bool), weight)
    np.testing.assert_allclose(mean, [0.1, 3.0], rtol=1e-15)
    assert scale.tolist() == [1, 1]  # constant
    mean, scale = moments(values, np.ones(values.shape, bool), np.zeros((4, 1)))
    np.testing.assert_array_equal([mean, scale], [[0, 0], [1, 1]])

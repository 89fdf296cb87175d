"""Known futures and horizons as they are laid out, against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.laid_out import ahead_by_hand
from helpers.sliced import Sliced
from numlstm.data import ahead
from numlstm.data.ahead import Ahead
from numlstm.data.arrays import Arrays
from numlstm.data.missing import Imputer
from numlstm.data.preparation import DataConfig, prepare
from numlstm.data.scaling import Scaling
from numlstm.data.targets import Reading, read_dataset
from numlstm.optim.losses import LOSSES
from numlstm.utils.random_streams import RandomStreams


def reading(horizon, **options):
    return Reading(None, "raise", LOSSES["mse"], None, horizon=horizon, **options)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def require_laid_out(data, row, series, horizon):
    """Row `row` of a dataset is what plain loops make of the series (X, y, future)."""
    inputs, targets = ahead_by_hand(*series, horizon)
    there = slice(0, len(inputs))
    np.testing.assert_array_equal(data.X[row, there], inputs)
    np.testing.assert_array_equal(data.y[row, there], np.nan_to_num(targets))
    np.testing.assert_array_equal(data.weight[row, there], ~np.isnan(targets))
    assert not data.weight[row, len(inputs) :].any()
    return len(inputs)


@given(
    steps=st.integers(4, 9),
    horizon=st.integers(1, 3),
    features=st.integers(1, 2),
    known=st.integers(0, 2),
    extra=st.integers(0, 4),
    own=st.booleans(),
    seed=st.integers(0, 9),
)
def test_every_step_beside_what_follows(steps, horizon, features, known, extra, own, seed):
    X, y = numbers(steps, features, seed=seed), numbers(steps, 2, seed=seed + 1)
    future = numbers(steps + extra, known, seed=seed + 2) if known else None
    data = read_dataset(X, y if own else None, reading(horizon), future=future)
    count = require_laid_out(data, 0, (X, y if own else X, future), horizon)
    assert data.X.shape[1] == count
    assert data.ahead == Ahead(horizon, known, 2 if own else features)
    assert data.lost == steps - count


def test_a_list_of_series_and_a_batch_with_lengths():
    ends, extra = (7, 4, 6), (0, 2, 5)
    X = [numbers(n, 2, seed=n) for n in ends]
    future = [numbers(n + more, 1, seed=n) for n, more in zip(ends, extra, strict=True)]
    data = read_dataset(X, None, reading(2), future=future)
    padded, known = np.zeros((3, 7, 2)), np.full((3, 11, 1), 99.0)
    for row in range(3):
        padded[row, : ends[row]], known[row, : len(future[row])] = X[row], future[row]
    for row in range(3):
        count = require_laid_out(data, row, (X[row], X[row], future[row]), 2)
        assert count == data.lengths[row]
    batch = read_dataset(padded, None, reading(2), future=known, lengths=list(ends))
    np.testing.assert_array_equal(batch.weight[1, :3], data.weight[1, :3])
    np.testing.assert_array_equal(batch.y[1, :3], data.y[1, :3])


def test_without_a_horizon_it_is_the_next_value_beside_what_is_known_of_it():
    X, future = numbers(8, 2), numbers(9, 1, seed=1)
    data = read_dataset(X, None, reading(None), future=future)
    plain = read_dataset(np.c_[X, future[1:9]], None, reading(None))
    np.testing.assert_array_equal(data.X, plain.X)
    np.testing.assert_array_equal(data.y, plain.y[..., :2])
    np.testing.assert_array_equal(data.weight, plain.weight[..., :2])


def test_a_horizon_of_one_is_the_next_value():
    X, weight = numbers(2, 8, 2), np.random.default_rng(3).random((2, 8))
    reset = np.random.default_rng(4).random((2, 8)) < 0.3
    options = {"sample_weight": weight, "lengths": [8, 5], "reset": reset}
    data, plain = (read_dataset(X, None, reading(h), **options) for h in (1, None))
    for name in ("X", "y", "weight", "lengths", "reset", "sample_weight"):
        there = getattr(plain, name)
        valid = plain.valid if np.ndim(there) > 1 else ...
        np.testing.assert_array_equal(getattr(data, name)[valid], there[valid], err_msg=name)


def test_weights_are_those_of_the_values_forecast():
    X, weight = numbers(6, 1), np.arange(1.0, 7.0)
    data = read_dataset(X, None, reading(3), sample_weight=weight[None])
    np.testing.assert_array_equal(data.weight[0, 1], weight[2:5])
    rows = read_dataset(numbers(2, 6, 1), None, reading(3), sample_weight=[2.0, 3.0])
    assert set(rows.weight[0].ravel()) == {0.0, 2.0}
    assert set(rows.weight[1].ravel()) == {0.0, 3.0}


def test_nothing_is_forecast_across_a_reset():
    reset = np.arange(8) == 3
    data = read_dataset(numbers(8, 1), None, reading(3), reset=reset)
    expected = [[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 0, 0]]
    np.testing.assert_array_equal(data.weight[0], expected)


@given(
    begins=st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=3),
    horizon=st.integers(1, 7),
)
def test_a_sequence_goes_on_until_another_begins(begins, horizon):
    found = np.stack(list(ahead.unbroken(np.array(begins), horizon)), axis=-1)
    assert found.shape == (len(begins), 8 - horizon, horizon)
    for row, n, h in np.ndindex(found.shape):
        assert found[row, n, h] == (not any(begins[row][n : n + h + 1]))


def test_missing_values_are_no_targets():
    X = numbers(6, 1)
    X[3] = np.nan
    data = read_dataset(X, None, reading(2, missing=True))
    np.testing.assert_array_equal(data.weight[0], [[1, 1], [1, 0], [0, 1], [1, 1], [1, 0]])
    y = reading(2)._replace(nan_policy="omit")
    same = read_dataset(np.zeros((6, 1)), X, y)
    np.testing.assert_array_equal(same.weight, data.weight)


def test_slices_are_those_of_the_whole():
    X, future, y = numbers(3, 9, 2), numbers(3, 11, 1), numbers(3, 9, 2)
    for start, stop in ((0, 9), (2, 5), (6, 9), (4, 4)):
        for layout, arrays in ((ahead.inputs, (X, future)), (ahead.targets, (y,))):
            whole = layout(*arrays, 3, 0, 9)
            np.testing.assert_array_equal(layout(*arrays, 3, start, stop), whole[:, start:stop])


def test_of_lazy_arrays_no_more_is_read_than_a_slice_needs():
    X, future = numbers(1000, 2), numbers(1000, 1)
    lazy = Sliced(X), Sliced(future)
    laid = ahead.inputs(*lazy, 4, 500, 510)
    np.testing.assert_array_equal(laid, ahead.inputs(X, future, 4, 500, 510))
    assert [part.read for part in lazy] == [[(None, 500, 510)], [(None, 501, 514)]]


def test_one_unit_for_all_steps():
    X, future = 5 + 3 * numbers(200, 2), numbers(203, 1) - 7
    config = DataConfig(horizon=3)
    data = prepare(Arrays(X, future=future), config, "float64", RandomStreams(0))
    scaling, once = data.scaling, X[:199]
    mean = np.r_[once.mean(axis=0), [future[1:200].mean()] * 3]
    np.testing.assert_allclose(scaling.x_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(scaling.y_mean, np.tile(once.mean(axis=0), 3), rtol=1e-12)
    np.testing.assert_allclose(scaling.y_scale, np.tile(once.std(axis=0), 3), rtol=1e-12)
    y = 100 + 9 * numbers(200, seed=5)
    own = prepare(Arrays(X, y, future=future), config, "float64", RandomStreams(0)).scaling
    np.testing.assert_allclose(own.y_mean, [y[1:].mean()] * 3, rtol=1e-12)
    np.testing.assert_allclose(own.y_scale, [y[1:].std()] * 3, rtol=1e-12)
    assert data.words == (
        "one series of 200 steps, 2 features, one known ahead, the next 3 values as targets"
    )


def test_what_is_judged_by_is_no_target_of_training():
    series = np.random.default_rng(0).permutation(np.arange(100.0))
    config = DataConfig(horizon=4, standardize=False)
    arrays = Arrays(series, validation=0.2)
    data = prepare(arrays, config, "float64", RandomStreams(0))
    learned, judged = (set(part.y[part.weight > 0]) for part in (data.train, data.validation))
    assert not learned & judged
    assert learned | judged == set(series[1:])
    assert judged == set(series[-len(judged) :])


def test_columns_of_several_steps_and_back():
    layout = Ahead(3, 2, 2)
    once = Scaling(*(np.arange(4.0) + i for i in range(2)), np.array([7.0, 8.0]), np.ones(2))
    np.testing.assert_array_equal(layout.scaling(once).x_mean, [0, 1, 2, 3, 2, 3, 2, 3])
    np.testing.assert_array_equal(layout.scaling(once).y_mean, [7, 8] * 3)
    filling = layout.filling(Imputer(np.arange(3.0)))
    np.testing.assert_array_equal(filling.mean, [0, 1, 2, 1, 2, 1, 2])
    np.testing.assert_array_equal(layout.by_step(np.arange(6)), [[0, 1], [2, 3], [4, 5]])
    wide = layout.by_step(np.arange(12)[None])
    np.testing.assert_array_equal(wide[0], [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"future": numbers(5, 1)}, "a row for each of the 6 steps of X, 6 in all; received 5"),
        ({"future": [numbers(6, 1)] * 2}, "future must have the form of X"),
        ({"future": np.full((8, 1), np.nan)}, "future has 8 NaN or infinite"),
        ({"future": numbers(8, 1), "reset": np.arange(6) == 3}, "reset does not go with future="),
        ({"horizon": 6}, "horizon=6 reaches beyond the targets: no step has one with a weight 6"),
        ({"future": numbers(7, 1), "horizon": 7}, "a forecast needs two steps at least, with 7"),
        ({"y": numbers(6), "future": numbers(8, 1), "horizon": None}, "belongs to X, as further"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(options, words):
    options = {"y": None, "horizon": 2} | options
    horizon = options.pop("horizon")
    with pytest.raises(ValueError, match=words):
        read_dataset(numbers(6, 1), options.pop("y"), reading(horizon), **options)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": LOSSES["cross_entropy"]}, "horizon= and future= forecast numbers"),
        ({"output": "last"}, "asks for one output per sequence"),
        ({"pieces": True}, "needs the series in one piece"),
        ({"future": 2}, r"reads 2 feature\(s\) known ahead: pass future="),
    ],
)
def test_what_does_not_go_with_a_horizon_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        read_dataset(numbers(2, 6, 1), None, reading(2)._replace(**change))

"""Every accepted form of inputs, the windows cut from them, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.datasets import dataset
from numlstm.data.sequences import mask, read_inputs, streams

ragged = st.lists(st.integers(0, 7), min_size=1, max_size=5)


def series(lengths, features, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((length, features)) for length in lengths]


@given(ragged, st.integers(1, 3))
def test_a_list_of_series_and_back(lengths, features):
    given_series = series(lengths, features)
    X, found, form = read_inputs(given_series, None)
    assert X.shape == (len(lengths), max(lengths), features)
    assert X.flags.c_contiguous
    if len(set(lengths)) > 1:
        assert found.tolist() == lengths
        assert not X[~mask(found, X.shape[1])].any()
    else:
        assert found is None
    back = form.restore(X)
    assert isinstance(back, list)
    for one, other in zip(back, given_series, strict=True):
        np.testing.assert_array_equal(one, other)
    last = np.ones((len(lengths), 2))
    assert form.restore(last) is last


@given(st.integers(0, 4), st.integers(0, 4), st.integers(1, 3))
def test_a_batch_is_itself(B, T, features):
    given_batch = np.arange(float(B * T * features)).reshape(B, T, features)
    X, lengths, form = read_inputs(given_batch, features)
    assert lengths is None
    np.testing.assert_array_equal(form.restore(X), given_batch)


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 3), (0,), (0, 3)])
def test_one_series_and_back(shape):
    one = np.arange(float(np.prod(shape))).reshape(shape)
    X, lengths, form = read_inputs(one, None)
    assert X.shape == (1, shape[0], shape[1] if len(shape) == 2 else 1)
    assert lengths is None
    np.testing.assert_array_equal(form.restore(X), one.reshape(X.shape[1:]))
    assert form.restore(np.ones((1, 4))).shape == (4,)


def test_lists_of_numbers_are_one_array():
    assert read_inputs([1.0, 2.0, 3.0], None)[2].kind == "series"
    assert read_inputs([np.float64(1), np.float64(2)], None)[2].kind == "series"
    assert read_inputs([[[1.0], [2.0]]], None)[2].kind == "batch"


def test_what_lies_behind_a_length_is_never_looked_at():
    X = np.full((2, 4, 1), np.nan)
    X[0, :3], X[1, :1] = 1.0, 2.0
    copy = X.copy()
    read, lengths, _ = read_inputs(X, 1, lengths=[3, 1])
    assert read[..., 0].tolist() == [[1, 1, 1, 0], [2, 0, 0, 0]]
    assert lengths.tolist() == [3, 1]
    np.testing.assert_array_equal(X, copy)
    X[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"first at index \(1, 0, 0\)"):
        read_inputs(X, 1, lengths=[3, 1])


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.zeros((2, 3, 4, 5)), r"received shape \(2, 3, 4, 5\)"),
        (np.float64(3), r"received shape \(\)"),
        (np.zeros((2, 5, 3)), r"\(B, T, 2\), received \(2, 5, 3\)"),
        (np.zeros((4, 2, 7)), r"X\.transpose\(0, 2, 1\)"),
        ([np.zeros((3, 2)), np.zeros((3, 1))], r"X\[1\] must have shape \(T, 2\), received"),
        ([np.zeros((3, 2, 1))], r"X\[0\] must have shape \(T,\) or \(T, I\)"),
        ([np.zeros(3), np.array([1.0, np.inf])], r"X\[1\] has 1 NaN or infinite"),
        ([np.array(["a"]), np.zeros(3)], r"X\[0\] must hold real numbers"),
    ],
)  # fmt: skip
def test_inputs_that_are_refused(X, words):
    with pytest.raises((ValueError, TypeError), match=words):
        read_inputs(X, 2)


def test_lengths_go_with_a_batch():
    with pytest.raises(ValueError, match="a list has its own"):
        read_inputs([np.zeros(3)], None, lengths=[3])


@given(ragged.filter(max), st.integers(1, 8), st.booleans())
def test_windows_hold_every_step_once(lengths, k, last):
    data = dataset(lengths, last)
    T = data.X.shape[1]
    parts = [data.cut(start, min(start + k, T)) for start in range(0, T, k)]
    np.testing.assert_array_equal(np.concatenate([part.X for part in parts], axis=1), data.X)
    for part in parts:
        assert part.X.flags.c_contiguous
        assert part.last == last
    if data.lengths is not None:
        np.testing.assert_array_equal(sum(part.lengths for part in parts), data.lengths)
    if last:
        # a row's one target counts in exactly one window
        np.testing.assert_array_equal(sum(part.weight for part in parts), data.weight)
        for part in parts:
            np.testing.assert_array_equal(part.y, data.y)
    else:
        for name in ("y", "weight"):
            joined = np.concatenate([getattr(part, name) for part in parts], axis=1)
            np.testing.assert_array_equal(joined, getattr(data, name))


@given(ragged.filter(max), st.booleans(), st.data())
def test_some_rows(lengths, last, draw):
    data = dataset(lengths, last)
    rows = np.array(draw.draw(st.permutations(range(len(lengths)))))[: len(lengths) // 2 + 1]
    steps = data.steps(rows)
    assert steps == max(lengths[row] for row in rows)
    part = data.cut(0, steps, rows)
    np.testing.assert_array_equal(part.X, data.X[rows, :steps])
    np.testing.assert_array_equal(part.y, data.y[rows] if last else data.y[rows, :steps])
    assert part.X.flags.c_contiguous


@given(ragged.filter(max), st.integers(1, 6))
def test_streams_are_contiguous_and_complete(lengths, count):
    data = dataset(lengths)
    cut = streams(data, count)
    valid = mask(np.array(lengths), max(lengths))
    kept = mask(cut.lengths, cut.X.shape[1]) if cut.lengths is not None else np.ones(
        cut.X.shape[:2], bool
    )  # fmt: skip
    assert len(cut.X) <= count
    for name in ("X", "y", "weight"):
        np.testing.assert_array_equal(getattr(cut, name)[kept], getattr(data, name)[valid])

"""Targets in every form: what they mean, how much they count, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numlstm.data.sequences import input_weight
from numlstm.data.targets import Reading, read_dataset
from numlstm.optim.losses import LOSSES

REAL = Reading(None, "raise", LOSSES["mse"], None)
CLASSES = REAL._replace(loss=LOSSES["cross_entropy"])
OMIT = REAL._replace(nan_policy="omit")

BATCH, SERIES = np.zeros((4, 5, 2)), np.zeros((6, 2))
RAGGED = [np.zeros((length, 2)) for length in (3, 5, 1)]


@pytest.mark.parametrize(
    ("X", "y", "reading", "shape", "last"),
    [
        (BATCH, np.ones((4, 5, 3)), REAL, (4, 5, 3), False),
        (BATCH, np.ones((4, 5)), REAL._replace(output="sequence"), (4, 5, 1), False),
        (BATCH, np.ones((4, 5)), REAL._replace(output="last"), (4, 5), True),
        (BATCH, np.ones((4, 3)), REAL, (4, 3), True),
        (BATCH, np.ones(4), REAL, (4, 1), True),
        (BATCH, np.ones((4, 5), int), CLASSES, (4, 5), False),
        (BATCH, np.ones(4, int), CLASSES, (4,), True),
        (BATCH, [1.0, 2.0, 3.0, 4.0], REAL, (4, 1), True),
        (SERIES, np.ones(6), REAL, (1, 6, 1), False),
        (SERIES, np.ones((6, 3)), REAL, (1, 6, 3), False),
        (SERIES, np.ones(6, int), CLASSES, (1, 6), False),
        (SERIES, np.ones(2), REAL._replace(output="last"), (1, 2), True),
        (SERIES, 1, CLASSES, (1,), True),
        (RAGGED, [np.ones(3), np.ones(5), np.ones(1)], REAL, (3, 5, 1), False),
        (RAGGED, [np.ones((3, 2)), np.ones((5, 2)), np.ones((1, 2))], REAL, (3, 5, 2), False),
        (RAGGED, [[1, 0, 1], [0, 0, 0, 0, 1], [1]], CLASSES, (3, 5), False),
        (RAGGED, np.ones(3), REAL, (3, 1), True),
        (RAGGED, np.ones((3, 2)), REAL, (3, 2), True),
        (RAGGED, [0, 1, 2], CLASSES, (3,), True),
        (BATCH, None, REAL, (4, 4, 2), False),
        (SERIES, None, REAL, (1, 5, 2), False),
        (RAGGED, None, REAL, (3, 4, 2), False),
    ],
)  # fmt: skip
def test_forms(X, y, reading, shape, last):
    data = read_dataset(X, y, reading)
    assert data.y.shape == shape == data.weight.shape
    assert data.last == last
    assert data.y.dtype == (np.int64 if reading.classes else np.float64)
    if not last:
        assert data.X.shape[:2] == shape[:2]


def test_what_can_be_read_in_two_ways_is_asked_about():
    with pytest.raises(ValueError, match=r"\(4, 5\).*pass output='sequence' or output='last'"):
        read_dataset(BATCH, np.ones((4, 5)), REAL)


@pytest.mark.parametrize(
    ("X", "y", "reading", "words"),
    [
        (BATCH, np.ones((4, 6, 1)), REAL, r"\(4, 5, O\).*received \(4, 6, 1\)"),
        (BATCH, np.ones((4, 3, 5)), REAL, r"y\.transpose\(0, 2, 1\)"),
        (BATCH, np.ones((3, 5, 1)), REAL, "X has 4 sequences, y has 3"),
        (BATCH, np.ones((4, 5, 1)), REAL._replace(output="last"), r"\(4, O\), received"),
        (BATCH, np.ones((4, 5, 3)), CLASSES, "not one-hot"),
        (BATCH, np.full((4, 5), 0.5), CLASSES, r"received 0\.5 at index \(0, 0\)"),
        (BATCH, np.full(4, -1), CLASSES, r"received -1\.0 at index \(0,\)"),
        (BATCH, np.full((4, 5), -100), CLASSES, r"-100.* no label write NaN.*nan_policy='omit'"),
        (BATCH, np.full((4, 5, 1), np.nan), REAL, r"NaN: .*pass nan_policy='omit'"),
        (RAGGED, [np.ones(3), np.full(5, np.nan), np.ones(1)], CLASSES, "nan_policy='omit'"),
        (BATCH, np.full((4, 5, 1), np.inf), REAL, r"\(0, 0, 0\); inf: replace it by a number$"),
        (BATCH * np.nan, np.ones((4, 5, 1)), REAL, r"X has 40 NaN.*fit with missing='mask'"),
        (BATCH - np.inf, np.ones((4, 5, 1)), REAL, r"\(0, 0, 0\); inf: replace it by a number$"),
        (SERIES * np.nan, np.ones(6), REAL, r"first at index \(0, 0\); NaN:.*missing='mask'"),
        (np.array([1.0, 2.0, np.nan]), np.ones(3), REAL, r"first at index \(2,\);"),
        (SERIES, np.ones(5), REAL, r"\(6, O\) or \(6,\).*\(5,\); to forecast the next value"),
        (SERIES, np.ones(7), REAL, r"y must have shape \(6, O\).*received \(7,\)"),
        (RAGGED, [np.ones(3), np.ones(4), np.ones(1)], REAL, r"y\[1\] of shape \(4,\)"),
        (RAGGED, [np.ones(3)], REAL, "X has 3 sequences, y has 1"),
        (BATCH, np.full((4, 5, 1), np.nan), REAL, r"y has 20 NaN"),
        (BATCH, np.full((4, 5, 1), np.nan), OMIT, "nothing to learn"),
        (BATCH, np.full((4, 5, 1), np.inf), OMIT, "y has 20 NaN or infinite"),
        (BATCH, None, CLASSES, "this loss needs targets"),
        (BATCH, None, REAL._replace(output="last"), "output='last' needs targets"),
        (np.zeros((4, 1, 2)), None, REAL, "nothing to learn"),
        (np.zeros((0, 5, 2)), None, REAL, r"X has no data: received shape \(0, 5, 2\)"),
        (BATCH, np.ma.ones((4, 5, 1)), REAL, "y is a masked array"),
        (BATCH, np.ones((4, 5, 1), complex), REAL, "y must hold real numbers"),
        (BATCH, np.ones((4, 5, 1), object), REAL, "y must hold real numbers"),
    ],
)  # fmt: skip
def test_targets_that_are_refused(X, y, reading, words):
    with pytest.raises((ValueError, TypeError), match=words):
        read_dataset(X, y, reading)


def test_the_next_value():
    X = np.arange(12.0).reshape(2, 3, 2)
    data = read_dataset(X, None, REAL)
    np.testing.assert_array_equal(data.X, X[:, :-1])
    np.testing.assert_array_equal(data.y, X[:, 1:])
    ragged = read_dataset([np.arange(3.0), np.arange(1.0), np.arange(2.0)], None, REAL)
    assert ragged.lengths.tolist() == [2, 0, 1]
    assert ragged.weight[..., 0].tolist() == [[1, 1], [0, 0], [1, 0]]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_targets_that_are_missing_count_nothing(lengths, seed):
    rng = np.random.default_rng(seed)
    X = [rng.standard_normal((length, 2)) for length in lengths]
    y = [rng.standard_normal((length, 3)) for length in lengths]
    y[0][0, 0] = 1.0  # one is left
    for part in y:
        part[rng.random(part.shape) < 0.4] = np.nan
    y[0][0, 0] = 1.0
    copies = [part.copy() for part in y]
    data = read_dataset(X, y, OMIT)
    assert np.isfinite(data.y).all()
    for row, part in enumerate(y):
        np.testing.assert_array_equal(data.weight[row, : len(part)] == 0, np.isnan(part))
        assert not data.weight[row, len(part) :].any()
    for part, copy in zip(y, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


@pytest.mark.parametrize(
    ("X", "y", "weight", "expected"),
    [
        (BATCH, np.ones((4, 5, 1)), [1, 2, 0, 4], [5, 10, 0, 20]),
        (BATCH, np.ones((4, 5, 1)), np.arange(20).reshape(4, 5), [10, 35, 60, 85]),
        (BATCH, None, np.arange(20).reshape(4, 5), [20, 60, 100, 140]),
        (BATCH, None, [1, 2, 0, 4], [8, 16, 0, 32]),
        (BATCH, np.ones(4), [1, 2, 0, 4], [1, 2, 0, 4]),
        (SERIES, np.ones(6), np.arange(6), [15]),
        (RAGGED, [np.ones(3), np.ones(5), np.ones(1)], [1, 1, 3], [3, 5, 3]),
        (RAGGED, [np.ones(3), np.ones(5), np.ones(1)],
         [np.ones(3), 2 * np.ones(5), np.zeros(1)], [3, 10, 0]),
    ],
)  # fmt: skip
def test_sample_weights(X, y, weight, expected):
    data = read_dataset(X, y, REAL, sample_weight=weight)
    assert data.weight.reshape(len(data.X), -1).sum(axis=1).tolist() == expected


@pytest.mark.parametrize(
    ("X", "y", "weight", "words"),
    [
        (BATCH, np.ones((4, 5, 1)), np.ones(5), r"B = 4 and T = 5; received \(5,\)"),
        (BATCH, np.ones((4, 5, 1)), -np.ones(4), "must not be negative, received -1"),
        (BATCH, np.ones((4, 5, 1)), np.zeros(4), "nothing to learn"),
        (BATCH, np.ones((4, 5, 1)), [1, 1, 1, np.nan], "sample_weight has 1 NaN"),
        (BATCH, np.ones(4), np.ones((4, 5)), r"must have shape \(B,\)"),
        (RAGGED, [np.ones(3), np.ones(5), np.ones(1)], [np.ones(3)] * 3, "one weight per sequence"),
    ],
)
def test_sample_weights_that_are_refused(X, y, weight, words):
    with pytest.raises(ValueError, match=words):
        read_dataset(X, y, REAL, sample_weight=weight)


def test_weights_of_forecast_steps_end_where_a_sequence_does():
    """The value after a reset is no target; its weight is that of the next sequence's inputs."""
    weight, reset = np.array([[1, 2, 3, 70, 80, 90]]), np.arange(6) == 3
    data = read_dataset(np.arange(6.0), None, REAL, sample_weight=weight, reset=reset)
    assert data.weight[0, :, 0].tolist() == [2, 3, 0, 80, 90]
    assert data.sample_weight.tolist() == [[2, 3, 3, 80, 90]]
    assert input_weight(data)[0, :, 0].tolist() == [8 / 3] * 3 + [85] * 2


def test_any_layout_of_memory_is_read_and_left_alone():
    base = np.arange(40.0).reshape(4, 5, 2)
    variants = [
        np.asfortranarray(base),
        base[::-1][::-1],
        base.astype(">f8"),
        np.lib.stride_tricks.as_strided(base, base.shape, base.strides, writeable=False),
        base.astype(int),
    ]
    for X in variants:
        copy = X.copy()
        data = read_dataset(X, X, REAL)
        np.testing.assert_array_equal(data.X, base)
        assert data.X.flags.c_contiguous
        assert data.X.dtype == np.float64
        assert data.X.dtype.isnative
        np.testing.assert_array_equal(X, copy)

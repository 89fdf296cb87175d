"""stateful=True: rows that are consecutive pieces of one series are that series, to the bit."""

import numpy as np
import pytest

import numlstm
from helpers.fits import quick, same
from numlstm.data.targets import Reading, read_dataset
from numlstm.optim.losses import LOSSES

COUNT = np.arange(40.0)
OPTIONS = {"stateful": True, "batch_size": 2, "dtype": "float64"}


def read(X, **arrays):
    reading = Reading(None, "raise", LOSSES["mse"], None, pieces=True)
    return read_dataset(X, None, reading, **arrays)


def test_the_end_of_a_piece_is_followed_by_the_next_piece():
    data = read(COUNT.reshape(4, 10, 1))
    np.testing.assert_array_equal(data.y[:, -1, 0], [10, 20, 30, 0])
    np.testing.assert_array_equal(data.lengths, [10, 10, 10, 9])
    np.testing.assert_array_equal(data.weight[..., 0].sum(axis=1), [10, 10, 10, 9])
    ragged = read([COUNT[:3], COUNT[3:3], COUNT[3:4], COUNT[4:6]])
    np.testing.assert_array_equal(ragged.y[..., 0], [[1, 2, 3], [0, 0, 0], [4, 0, 0], [5, 0, 0]])
    np.testing.assert_array_equal(ragged.lengths, [3, 0, 1, 1])
    begins = np.zeros((4, 10), bool)
    begins[2, 0] = True  # what comes after a reset is not asked for
    again = read(COUNT.reshape(4, 10, 1), reset=begins)
    np.testing.assert_array_equal(again.weight[..., 0].sum(axis=1), [10, 9, 10, 9])
    with pytest.raises(ValueError, match="nothing to learn"):
        read([COUNT[:1], COUNT[:0]])


def pieces_and_series(kind):
    """(X, keywords) of rows, and of the series that they are."""
    rng = np.random.default_rng(5)
    flat = np.column_stack([np.sin(np.arange(60) / 4), rng.standard_normal(60)])
    rows = flat.reshape(6, 10, 2)
    if kind == "lengths":
        lengths = np.array([10, 7, 10, 1, 10, 4])
        kept = np.arange(10) < lengths[:, None]
        return (rows, {"lengths": lengths}), (rows[kept], {})
    if kind == "list":
        return (np.split(flat, [13, 14, 40]), {"bptt_steps": 10}), (flat, {})
    if kind == "reset":
        reset = rng.random((6, 10)) < 0.2
        reset[3, 0] = True
        return (rows, {"reset": reset}), (flat, {"reset": reset.ravel()})
    if kind == "weights of steps":
        weight = rng.random((6, 10))
        return (rows, {"sample_weight": weight}), (flat, {"sample_weight": weight.reshape(1, -1)})
    if kind == "weights of rows":
        weight = rng.random(6)
        each = np.repeat(weight, 10)[None]
        return (rows, {"sample_weight": weight}), (flat, {"sample_weight": each})
    if kind == "missing":
        flat[rng.random(flat.shape) < 0.2] = np.nan
        flat[[9, 10, 20], 0] = np.nan  # on both sides of a join
        return (flat.reshape(6, 10, 2), {"missing": "mask"}), (flat, {"missing": "mask"})
    options = {
        "plain": {},
        "windows": {"bptt_steps": 7},
        "validation": {"validation": 0.3},
        "one stream": {"batch_size": 1},
        "sampled": {"scheduled_sampling": 0.5},
        "scipy": {"method": "L-BFGS-B"},
    }[kind]
    return (rows, options), (flat, options)


KINDS = [
    *("plain", "windows", "validation", "one stream", "sampled", "scipy"),
    *("lengths", "list", "reset", "weights of steps", "weights of rows", "missing"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_and_the_series_give_the_same_bits(kind):
    (rows, asked), (flat, asked_flat) = pieces_and_series(kind)
    one = quick(rows, **OPTIONS | asked)
    other = quick(flat, **OPTIONS | {"bptt_steps": 10} | asked_flat)
    same(one, other)


def test_pieces_of_one_step_and_an_ensemble():
    same(quick(COUNT.reshape(40, 1, 1), **OPTIONS), quick(COUNT, bptt_steps=1, **OPTIONS))
    options = {"members": 2, "epochs": 2, "hidden_size": 3, "rng": 0, **OPTIONS}
    one = numlstm.ensemble(COUNT.reshape(4, 10, 1), **options)
    other = numlstm.ensemble(COUNT, bptt_steps=10, **options)
    assert one.history["loss"].tobytes() == other.history["loss"].tobytes()


@pytest.mark.filterwarnings("ignore:validation. the targets")
def test_a_validation_of_pieces_is_one_series_too():
    judge = np.sin(np.arange(50) / 3)
    one, other = (
        quick(COUNT, bptt_steps=10, validation={"X": X}, **OPTIONS)
        for X in (judge.reshape(5, 10, 1), judge)
    )
    same(one, other)


@pytest.mark.parametrize("options", [{}, {"bptt_steps": 5}])
def test_one_target_per_sequence_is_none_of_a_piece(options):
    X = np.zeros((4, 10, 1))
    for y in (np.zeros(4), np.zeros((4, 2))):
        with pytest.raises(ValueError, match="stateful=True needs one target per step"):
            numlstm.fit(X, y, stateful=True, **options)

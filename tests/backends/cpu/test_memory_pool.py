"""Memory that is used again: never while somebody holds it, never more than agreed, never read."""

import gc

import numpy as np
import pytest

import numlstm
from helpers.harness import require_bits
from numlstm.backends.cpu.codegen import memory_pool
from numlstm.backends.cpu.codegen.memory_pool import LARGE, from_pool


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    gc.collect()
    monkeypatch.setattr(memory_pool, "_kept", {})


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_comes_back_when_the_last_view_is_gone():
    first = from_pool((LARGE,), "float32")
    view, place = first[7:].reshape(1, -1).T, address(first)
    del first
    other = from_pool((LARGE,), "float32")
    assert address(other) != place
    del view
    again = from_pool((LARGE // 2, 2), "float32")
    assert address(again) == place
    assert again.flags.carray
    assert again.shape == (LARGE // 2, 2)


def test_what_is_much_too_large_is_not_taken():
    place = address(from_pool((3 * LARGE,), "float64"))
    assert address(from_pool((LARGE,), "float64")) != place


def test_small_arrays_are_not_kept():
    from_pool((10,), "float32")
    assert not memory_pool._kept


def test_no_more_is_kept_than_agreed(monkeypatch):
    monkeypatch.setattr(memory_pool, "MOST_KEPT", 10 * LARGE)
    held = [from_pool((LARGE,), "float32") for _ in range(4)]
    places = [address(array) for array in held]
    while held:
        held.pop(0)
    assert [address(memory) for memory in memory_pool._kept.values()] == places[2:]


def test_what_stood_in_used_memory_changes_nothing():
    model = numlstm.LSTM(3, 40, rng=0)
    X = np.random.default_rng(1).standard_normal((64, 130, 3)).astype("float32")
    dY = np.ones((64, 130, 40), "float32")

    def gradients():
        Y, pullback = model.vjp(X)
        return [Y, *pullback(dY)[:2]]

    first = gradients()
    assert memory_pool._kept
    for memory in memory_pool._kept.values():
        memory.view("float32")[...] = np.nan
    for one, other in zip(first, gradients(), strict=True):
        require_bits(one, other)

"""Values that are computed once."""

import threading

import pytest

from numlstm.utils.lazy import cached_property


class Slow:
    """An object one of whose values takes as long as somebody else says."""

    def __init__(self, gate):
        self.gate, self.calls = gate, 0

    @cached_property
    def value(self):
        """What it is for."""
        self.calls += 1
        self.gate.wait()
        return self.calls


def opened():
    gate = threading.Event()
    gate.set()
    return gate


def test_a_value_is_computed_once():
    slow = Slow(opened())
    assert (slow.value, slow.value, slow.calls) == (1, 1, 1)
    assert Slow.value.__doc__ == "What it is for."


def test_an_error_is_not_kept():
    slow = Slow(None)
    with pytest.raises(AttributeError):
        _ = slow.value
    slow.gate = opened()
    assert slow.value == 2


def test_one_instance_does_not_wait_for_another():
    """In Python 3.11 functools has a lock for all, which children of a fork found locked."""
    gate = threading.Event()
    thread = threading.Thread(target=lambda: Slow(gate).value)
    thread.start()
    done = threading.Event()
    other = threading.Thread(target=lambda: (Slow(opened()).value, done.set()), daemon=True)
    other.start()
    assert done.wait(60)
    gate.set()
    thread.join()

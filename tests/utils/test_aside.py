"""Calls in threads of their own: what comes back, and what happens to one that is left."""

import os
import signal
import threading

import numpy as np
import pytest

from numlstm.utils import aside
from numlstm.utils.aside import STACK, Call, Left, Runner, slices


def press_soon():
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()


@pytest.fixture
def usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_results_and_errors_come_back():
    assert Runner().aside(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        Runner().aside(divmod, 7, 0)


def test_what_the_caller_has_set_holds():
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        Runner().aside(np.divide, np.ones(1), np.zeros(1))


def test_a_call_that_is_left_ends_at_its_next_check(usual_handler):
    over, ended = threading.Event(), threading.Event()

    def work():
        press_soon()
        over.wait(60)
        try:
            aside.check()
        except Left:
            ended.set()
            raise

    with pytest.raises(KeyboardInterrupt):
        Runner().aside(work)
    over.set()
    assert ended.wait(60)


def test_the_threads_are_daemons_with_a_stack_of_their_own():
    before = threading.stack_size(2**18)
    try:
        thread = Runner().aside(threading.current_thread)
        assert threading.stack_size() == 2**18
    finally:
        threading.stack_size(before)
    assert thread.daemon
    assert thread is not threading.main_thread()
    assert STACK >= 2**20


def test_without_another_thread_the_call_is_made_here(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    call = Call(threading.current_thread)
    assert call.wait(0)
    assert call.result() is threading.current_thread()


def test_outside_the_main_thread_nothing_is_aside():
    found = []
    thread = threading.Thread(target=lambda: found.append(Runner().aside(threading.current_thread)))
    thread.start()
    thread.join()
    assert found == [thread]


def test_short_calls_are_made_here_once_they_are_known():
    runner = Runner()
    assert runner.run(threading.current_thread) is not threading.main_thread()
    threads = [runner.run(threading.current_thread) for _ in range(20)]
    assert threads[-1] is threading.main_thread()


@pytest.mark.parametrize("steps", [0, 1, 7, 1000])
@pytest.mark.parametrize("first", [0, 1, 5, 10**9])
def test_slices_are_the_series(steps, first):
    parts = list(slices(steps, first))
    assert [t for start, stop in parts for t in range(start, stop)] == list(range(steps))

"""Calls in threads of their own: what comes back, and what happens to one that is abandoned."""

import os
import signal
import threading
import time
import weakref

import numpy as np
import pytest

import numlstm
from helpers.processes import run_python
from numlstm.utils import interruptible, notices
from numlstm.utils.interruptible import STACK, Abandoned, Call, Runner


def press_soon():
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()


@pytest.fixture
def usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_results_and_errors_come_back():
    assert interruptible.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        interruptible.call(divmod, 7, 0)


def test_what_the_caller_has_set_holds():
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        interruptible.call(np.divide, np.ones(1), np.zeros(1))


def require_ended_by(function):
    """A call that was abandoned before it calls this is ended by it."""
    over, ended = threading.Event(), threading.Event()

    def work():
        press_soon()
        over.wait(60)
        try:
            function()
        except Abandoned:
            ended.set()
            raise

    with pytest.raises(KeyboardInterrupt):
        interruptible.call(work)
    over.set()
    assert ended.wait(60)


def test_an_abandoned_call_ends_at_its_next_check(usual_handler):
    require_ended_by(interruptible.check)


def test_the_threads_are_daemons_with_a_stack_of_their_own(monkeypatch):
    monkeypatch.setattr(interruptible, "_workers", [])
    before = threading.stack_size(2**18)
    try:
        thread = interruptible.call(threading.current_thread)
        assert threading.stack_size() == 2**18
    finally:
        threading.stack_size(before)
    assert thread.daemon
    assert thread is not threading.main_thread()
    assert STACK >= 2**20


def test_without_another_thread_the_call_is_made_here(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(interruptible, "_workers", [])
    monkeypatch.setattr(threading.Thread, "start", refuse)
    call = Call(threading.current_thread)
    assert call.wait(0)
    assert call.result() is threading.current_thread()


def test_outside_the_main_thread_calls_are_made_there():
    found = []
    ask = threading.current_thread
    thread = threading.Thread(target=lambda: found.append(interruptible.call(ask)))
    thread.start()
    thread.join()
    assert found == [thread]


def test_short_calls_are_made_here_once_they_are_known():
    runner = Runner()
    assert runner.run(threading.current_thread) is not threading.main_thread()
    threads = [runner.run(threading.current_thread) for _ in range(20)]
    assert threads[-1] is threading.main_thread()


def test_what_was_short_may_be_long_where_there_is_more_to_do():
    runner = Runner()

    def main():
        return threading.current_thread() is threading.main_thread()

    assert not runner.run(main, extent=5)
    assert runner.run(main, extent=5)
    assert runner.is_short(main, 4)
    assert not runner.is_short(main, 6)
    assert not runner.run(main, extent=6)


def test_where_nothing_is_to_be_abandoned_all_calls_are_made_here():
    runner = Runner(interruptible=False)
    assert runner.is_short(divmod, 10**9)
    assert runner.run(threading.current_thread, extent=10**9) is threading.main_thread()


def test_one_thread_makes_all_calls():
    threads = {interruptible.call(threading.current_thread) for _ in range(3)}
    assert len(threads) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_leaves_no_thread_behind_and_the_child_has_its_own():
    """Python warns of a fork beside threads."""
    thread = interruptible.call(threading.current_thread)
    if (child := os.fork()) == 0:
        try:
            os._exit(int(interruptible.call(divmod, 7, 2) != (3, 1)))
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert not thread.is_alive()
    assert interruptible.call(divmod, 7, 2) == (3, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_waits_for_an_abandoned_call(usual_handler):
    over, ended = threading.Event(), []

    def work():
        press_soon()
        over.wait(60)
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        interruptible.call(work)
    assert not ended
    threading.Timer(0.1, over.set).start()
    if (child := os.fork()) == 0:
        os._exit(int(not ended))
    assert os.waitpid(child, 0)[1] == 0


def test_an_abandoned_call_ends_at_its_next_kernel(usual_handler, monkeypatch):
    model = numlstm.LSTM(1, 4, 1, rng=0)
    model.vjp(np.ones((2, 3, 1)))
    require_ended_by(lambda: model.vjp(np.ones((2, 3, 1))))


def test_an_abandoned_call_may_end_by_itself(usual_handler, monkeypatch):
    over, told = threading.Event(), []

    def work():
        press_soon()
        time.sleep(0.15)
        over.set()

    monkeypatch.setattr(interruptible, "GRACE", 60)
    monkeypatch.setattr(interruptible, "on_abandoned", [lambda: told.append(True)])
    with pytest.raises(KeyboardInterrupt):
        interruptible.call(work)
    assert over.is_set()
    assert not told


def test_a_warning_is_at_the_line_of_who_called():
    with pytest.warns(UserWarning, match="where") as seen:
        exec(CALLER, {"call": interruptible.call, "warn": notices.warn})
    assert [(warning.filename, warning.lineno) for warning in seen] == [("<string>", 2)]


CALLER = """
call(warn, "where")  # from the first line
"""


def test_the_result_of_a_long_call_is_not_kept():
    made = Call(np.zeros, 3)
    made.wait()
    result = made.result()
    gone = weakref.ref(result)
    del result
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_calls_are_made_beside_threads_that_fork():
    """A fork ended the worker between the look whether it is free and the call."""
    program = """
import os, threading
from numlstm.utils import interruptible
over = threading.Event()
def fork():
    while not over.is_set():
        if (child := os.fork()) == 0:
            os._exit(0)
        os.waitpid(child, 0)
thread = threading.Thread(target=fork)
thread.start()
for number in range(20_000):
    assert interruptible.call(abs, -number) == number
over.set()
thread.join()
"""
    done = run_python("-W", "ignore", "-c", program, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_process_ends_while_a_call_goes_on_in_blas():
    """OpenBLAS waited for ever for a thread that was at work when its destructor came."""
    program = """
import sys, threading, _thread
import numpy as np
from numlstm.utils import interruptible
matrix = np.ones((1500, 1500))
def multiply():
    while True:
        matrix @ matrix
threading.Timer(0.2, _thread.interrupt_main).start()
try:
    interruptible.call(multiply)
except KeyboardInterrupt:
    print("left")  # is in a buffer of Python's
sys.exit(3)
"""
    for _ in range(4):
        done = run_python("-c", program, timeout=120)
        assert (done.returncode, done.stdout, done.stderr) == (3, "left\n", "")

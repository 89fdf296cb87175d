"""Ctrl-C: a result with the last complete step, at once, and never half of an update."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.optimize

from helpers.fits import batch, quick, same
from helpers.processes import environment
from numlstm.training import scipy_methods
from numlstm.training.interrupt import Interrupted, SigintGuard
from numlstm.training.update import Update

OVER = threading.Event()  # set after each test, so that no thread is left at the end


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    OVER.clear()
    yield
    OVER.set()
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("method", ["adam", "L-BFGS-B", "BFGS", "TNC", "SLSQP", "trust-constr"])
def test_the_model_is_that_of_the_last_step(method):
    seen = []

    def press_at_two(intermediate_result):
        seen.append(intermediate_result)
        if intermediate_result.nit == 2:
            press_ctrl_c()

    result = quick(*batch(), method=method, epochs=50, callback=press_at_two)
    assert (result.success, result.status) == (False, 98)
    assert "Ctrl-C" in result.message
    assert "last complete step" in result.message
    assert result.nit == len(seen) == 2
    np.testing.assert_array_equal(result.x, seen[-1].x)
    np.testing.assert_array_equal(result.model.theta, result.x)
    assert result.fun == result.history["loss"][-1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_within_the_last_epoch_it_counts_too():
    result = quick(*batch(), epochs=1, callback=lambda intermediate_result: press_ctrl_c())
    assert result.status == 98


def test_a_long_step_is_left_while_it_runs():
    """The step waits for an event that is set only after the fit is over."""
    over, finished = threading.Event(), threading.Event()

    def long_step():
        threading.Timer(0.05, press_ctrl_c).start()
        assert over.wait(60)
        finished.set()

    with SigintGuard() as watch:
        with pytest.raises(Interrupted):
            watch.run(long_step)
        assert not finished.is_set()
    over.set()
    assert finished.wait(60)


def test_what_was_short_may_be_long_where_there_is_more_to_do():
    over, threads = threading.Event(), []

    def step(size):
        threads.append(threading.current_thread())
        if size > 1:
            threading.Timer(0.05, press_ctrl_c).start()
            assert over.wait(60)

    with SigintGuard() as watch:
        for _ in range(20):
            watch.run(step, 1, extent=1)
        assert threads[-1] is threading.main_thread()
        with pytest.raises(Interrupted):
            watch.run(step, 2, extent=2)
    over.set()


def never_ends(*_, **__):
    """The place of a long computation in C; Ctrl-C comes while it runs."""
    threading.Timer(0.05, press_ctrl_c).start()
    OVER.wait()


def test_a_solver_is_left_in_its_own_algebra(monkeypatch):
    seen = []

    def solve(fun, x, jac, **_):
        seen.extend([x.copy(), fun(x), jac(x), threading.current_thread()])
        never_ends()

    monkeypatch.setattr(scipy.optimize, "least_squares", solve)
    monkeypatch.setattr(scipy_methods, "_DENSE", 0)
    result = quick(*batch(), method="least_squares", callback=lambda _: None)
    assert (result.status, result.nit) == (98, 0)
    assert seen[-1].daemon
    np.testing.assert_array_equal(result.x, seen[0])


@pytest.mark.parametrize("method", ["BFGS", "SLSQP", "trust-constr", "least_squares"])
def test_a_solver_in_a_thread_of_its_own_finds_the_same(method, monkeypatch):
    """And all that is the fit's happens in the main thread, at which errors arrive too."""
    here = quick(*batch(), method=method)
    monkeypatch.setattr(scipy_methods, "_DENSE", 0)
    threads = set()
    there = quick(
        *batch(), method=method, callback=lambda _: threads.add(threading.current_thread())
    )
    same(here, there)
    assert threads == {threading.main_thread()}

    def fail(intermediate_result):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        quick(*batch(), method=method, callback=fail)


@pytest.mark.parametrize("method", ["SLSQP", "trust-constr", "least_squares", "adam"])
def test_functions_of_the_user_are_called_in_the_thread_of_the_fit(method, monkeypatch):
    monkeypatch.setattr(scipy_methods, "_DENSE", 0)
    threads = []

    def here(result):
        threads.append(threading.current_thread())
        return result

    options = {"metrics": {"seen": lambda y, p: here(0.0)}}
    if method == "adam":
        options["scheduled_sampling"] = lambda epoch: here(1.0)
    elif method == "least_squares":
        options["options"] = {"loss": lambda z: here(np.stack([z, np.ones(z.size), 0 * z]))}
    else:
        norm = scipy.optimize.NonlinearConstraint(
            lambda x: here(np.sum(x * x)), 0, 9, jac=lambda x: here(2 * x[None])
        )
        options["limits"] = {"constraints": norm}
    quick(batch()[0], method=method, **options)
    assert set(threads) == {threading.main_thread()}


def test_a_fit_has_memory_of_its_own(monkeypatch):
    """A step that is abandoned goes on reading, when the user may have closed a shared memory."""
    X, y = (part.astype(np.float32) for part in batch())
    reset, lengths, seen = np.zeros(X.shape[:2], bool), np.full(len(X), X.shape[1]), []
    original = Update.__init__

    def look(update, evaluator, train, *arguments):
        seen.append(train)
        original(update, evaluator, train, *arguments)

    monkeypatch.setattr(Update, "__init__", look)
    quick(
        X,
        y,
        reset=reset,
        lengths=lengths,
        standardize=False,
        epochs=1,
    )
    for name, given in {"X": X, "y": y, "reset": reset, "lengths": lengths}.items():
        assert not np.may_share_memory(getattr(seen[0], name), given), name


@pytest.mark.parametrize("method", ["BFGS", "SLSQP", "trust-constr", "least_squares"])
def test_such_a_fit_ends_with_a_whole_step(method, monkeypatch):
    monkeypatch.setattr(scipy_methods, "_DENSE", 0)
    seen = []

    def press_at_two(intermediate_result):
        seen.append(intermediate_result.x)
        if intermediate_result.nit == 2:
            press_ctrl_c()

    result = quick(*batch(), method=method, epochs=50, callback=press_at_two)
    assert (result.status, result.nit) == (98, 2)
    np.testing.assert_array_equal(result.x, seen[-1])


def test_a_covariance_is_left_in_its_algebra(monkeypatch):
    X, y = batch()
    result = quick(X, y, hidden_size=2, dtype="float64")
    theta = result.model.theta.copy()
    with monkeypatch.context() as patch:
        patch.setattr(np.linalg, "svd", never_ends)
        with pytest.raises(KeyboardInterrupt):
            result.covariance(X, y)
    assert result.model.theta.tobytes() == theta.tobytes()
    assert np.isfinite(result.covariance(X, y).matrix).all()


def test_results_and_errors_come_back_from_the_other_thread():
    def fail():
        raise KeyError("mine")

    with SigintGuard() as watch:
        assert watch.run(lambda a, b: a + b, 1, 2) == 3
        with pytest.raises(KeyError, match="mine"):
            watch.run(fail)


def test_pressed_twice_it_is_a_keyboard_interrupt():
    def press_twice(intermediate_result):
        press_ctrl_c()
        press_ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        quick(*batch(), callback=press_twice)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_is_respected():
    caught = []
    signal.signal(signal.SIGINT, lambda *_: caught.append(True))
    result = quick(*batch(), callback=lambda intermediate_result: press_ctrl_c())
    assert result.success
    assert len(caught) == 3


def test_other_threads_fit_without_signals():
    results = []
    thread = threading.Thread(target=lambda: results.append(quick(*batch())))
    thread.start()
    thread.join()
    assert results[0].x.tobytes() == quick(*batch()).x.tobytes()


FIT = """
import threading
import numpy as np
import numlstm
from numlstm.objectives.evaluator import Evaluator

def endless(*arguments):
    print("running", flush=True)
    while True:
        numlstm.LSTM(8, 64, 8, rng=0).vjp(np.ones((4, 500, 8)))

Evaluator.step = endless
result = numlstm.fit(np.ones((4, 10, 8)), hidden_size=4, rng=0)
busy = any(thread.name.startswith("numlstm") for thread in threading.enumerate())
print(result.status, result.nit, np.isfinite(result.x).all(), busy, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_a_process_ends_in_the_middle_of_a_step_that_has_no_end():
    command = [sys.executable, "-c", FIT]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    answer = process.stdout.readline()
    process.stdout.close()
    assert answer == "98 0 True True\n"  # back, while the step still runs
    assert process.wait(60) == 0

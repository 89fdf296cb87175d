"""Ctrl-C: a result with the last complete step, at once, and never half of an update."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from helpers.fits import batch, quick
from helpers.processes import environment
from numlstm.training.interrupt import Interrupted, SigintGuard


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
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
import os
import threading
import numpy as np
import numlstm
from numlstm.objectives.evaluator import Evaluator

model = numlstm.LSTM(8, 1024, 8, num_layers=2, init={"weights": "uniform"}, rng=0)
numlstm.fit(np.zeros((2, 4, 8)), model=model, epochs=1)  # compiles
step = Evaluator.step

def announced(*arguments):
    print("running", flush=True)
    return step(*arguments)

Evaluator.step = announced
X = np.random.default_rng(0).standard_normal((4, 1500, 8))
result = numlstm.fit(X, model=model, epochs=1000)
busy = any(thread.name.startswith("numlstm") for thread in threading.enumerate())
print(result.status, result.nit, np.isfinite(result.x).all(), busy, flush=True)
os._exit(0)  # without waiting for the step
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_a_process_in_the_middle_of_a_step_of_many_seconds():
    command = [sys.executable, "-c", FIT]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    answer = process.stdout.readline()
    process.stdout.close()
    assert answer == "98 0 True True\n"  # back, while the step still runs
    assert process.wait(60) == 0

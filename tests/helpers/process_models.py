"""A task in a process model, in this process and its children: the bits must be the same.

``python -m helpers.process_models MODEL TASK`` prints one JSON object: the digest of each result,
by name. Whatever the process model, the number of threads, the threading layer or the state of the
cache, those of a task are equal. What else makes the process comes from the environment, so that
children of every kind find it too: OPENMP, what there is of OpenMP, COMMA, whether numbers have a
decimal comma here, CELL_FOLDER, for files, and CELL_SEED.
"""

import ctypes
import json
import locale
import multiprocessing
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from helpers.process_tasks import TASKS, first_model

PYTHON_THREADS = 16
SMALL_STACK = 2**18  # bytes
Digests = dict[str, str]  # of the results of a task, by name


@cache
def prepare() -> None:
    """Make this process that of the cell, once, before Numba is used."""
    openmp = os.environ.get("OPENMP")
    if openmp == "none":  # as where there is no libgomp, which Numba links to
        sys.modules["numba.np.ufunc.omppool"] = None  # type: ignore[assignment]
    if openmp == "used":
        use_openmp()
    if os.environ.get("COMMA"):
        locale.setlocale(locale.LC_ALL, "")
        assert locale.localeconv()["decimal_point"] == ","


def use_openmp() -> None:
    """Another library of the process has OpenMP start threads, which stay."""
    libc, libgomp = ctypes.CDLL(None), ctypes.CDLL("libgomp.so.1")
    libgomp.GOMP_parallel(ctypes.cast(libc.getpid, ctypes.c_void_p), None, 4, 0)


def run_task(task: str) -> Digests:
    """The jobs of a task, one after the other."""
    prepare()
    return {name: job() for name, job in TASKS[task].items()}


def merged(outputs: list[Digests]) -> Digests:
    """The common digests; different ones are joined, so that they equal nothing."""
    return {name: "|".join(sorted({output[name] for output in outputs})) for name in outputs[0]}


# --- threads --------------------------------------------------------------------------------------


def alone(task: str) -> Digests:
    """The main thread of a new process."""
    return run_task(task)


def threads(task: str) -> Digests:
    """Many Python threads at once, from the first call on, each in its own order."""
    prepare()
    start, outputs = threading.Barrier(PYTHON_THREADS), list[Digests]()

    def work(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(list(TASKS[task]))
        start.wait()
        outputs.append({name: TASKS[task][name]() for name in order})

    crowd = [threading.Thread(target=work, args=(seed,)) for seed in range(PYTHON_THREADS)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert len(outputs) == PYTHON_THREADS, f"{len(outputs)} threads ended well"
    return merged(outputs)


def daemon(task: str) -> Digests:
    """The process ends while a daemon thread is in the middle of the task."""
    found, begun = run_task(task), threading.Event()

    def work() -> None:
        while True:
            begun.set()
            run_task(task)

    threading.Thread(target=work, daemon=True).start()
    begun.wait()
    time.sleep(random.Random(os.environ["CELL_SEED"]).uniform(0, 0.03))
    return found


def small_stack(task: str) -> Digests:
    """A Python thread with a small stack; stress/processes.py gives all other threads one too."""
    threading.stack_size(SMALL_STACK)
    outputs = list[Digests]()
    thread = threading.Thread(target=lambda: outputs.append(run_task(task)))
    thread.start()
    thread.join()
    return merged(outputs)


def cramped(task: str) -> Digests:
    """Where memory is limited to what this process has, and a little more than a job needs."""
    import resource

    from numlstm.backends.cpu.codegen import parallel

    with parallel._region:  # in one thread, so that machine code is there
        run_task(task)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2**28
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return run_task(task)


# --- children -------------------------------------------------------------------------------------


def in_child(method: str, function: Callable[..., Digests], *arguments: Any) -> Digests:
    """What a function returns in a child."""
    context = multiprocessing.get_context(method)
    reading, writing = context.Pipe(duplex=False)
    child = context.Process(target=send, args=(writing, function, *arguments))
    child.start()
    writing.close()
    output = reading.recv()
    child.join()
    assert child.exitcode == 0, child.exitcode
    reading.close()
    child.close()
    return output


def send(writing: Any, function: Callable[..., Digests], *arguments: Any) -> None:
    """What a child does."""
    with writing:
        writing.send(function(*arguments))


def fork_before(task: str) -> Digests:
    """Children of a process that has imported the package, and then that process."""
    prepare()
    return merged([in_child("fork", run_task, task), run_task(task)])


def fork_after(task: str) -> Digests:
    """A child of a process that has run the task, a child of its child, and that process again."""
    found = [run_task(task), in_child("fork", run_task, task)]
    found.append(in_child("fork", in_child, "fork", run_task, task))
    return merged([*found, run_task(task)])


def fork_while_busy(task: str) -> Digests:
    """Children of a process that is inside the kernels at the moment of the fork."""
    found, stop = [run_task(task)], threading.Event()
    [busy] = first_model.values()

    def keep_busy() -> None:
        while not stop.is_set():
            busy()

    crowd = [threading.Thread(target=keep_busy) for _ in range(3)]
    for thread in crowd:
        thread.start()
    found += [in_child("fork", run_task, task) for _ in range(10)]
    stop.set()
    for thread in crowd:
        thread.join()
    return merged(found)


def fork_after_others(task: str) -> Digests:
    """A child of a process in which somebody else's code, not this package, has started threads."""
    import numba

    @numba.njit(parallel=True)
    def fill(array):
        for i in numba.prange(len(array)):
            array[i] = i

    fill(np.zeros(10_000))
    return fork_before(task)


def executor(task: str) -> Digests:
    """The forked workers of a ProcessPoolExecutor, after and between calls in the parent."""
    found = [run_task(task)]
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        pending = [pool.submit(run_task, task) for _ in range(3)]
        found.append(run_task(task))
        found += [one.result() for one in pending]
    return merged(found)


def loky(task: str) -> Digests:
    """The workers of joblib, after use in the parent."""
    import joblib

    found = [run_task(task)]
    found += joblib.Parallel(n_jobs=2)(joblib.delayed(run_task)(task) for _ in range(3))
    return merged([*found, run_task(task)])


def new_children(method: str, task: str) -> Digests:
    """Two children that are no forks of this process, which has run the task."""
    found = [run_task(task), *(in_child(method, run_task, task) for _ in range(2))]
    return merged(found)


_models = (
    *(alone, threads, daemon, small_stack, cramped),
    *(fork_before, fork_after, fork_while_busy, fork_after_others, executor, loky),
)
MODELS: dict[str, Callable[[str], Digests]] = {
    **{model.__name__: model for model in _models},
    **{method: partial(new_children, method) for method in ("spawn", "forkserver")},
}

if __name__ == "__main__":
    from helpers import process_models  # by this name children find the functions

    print(json.dumps(process_models.MODELS[sys.argv[1]](sys.argv[2])))

"""One cell of `processes.py`: a task in a process model, in this process and its children.

python stress/process_models.py MODEL TASK prints the SHA-256 of the bits of the result. What else
makes the cell comes from the environment, so that children of every kind find it too: OPENMP, what
there is of OpenMP, COMMA, whether numbers have a decimal comma here, and CELL_FOLDER, for files.
"""

import ctypes
import hashlib
import locale
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

PYTHON_THREADS = 16
SMALL_STACK = 2**18  # bytes


@cache
def prepare() -> None:
    """Make this process that of the cell, once, before Numba is used."""
    if os.environ["OPENMP"] == "none":  # as where there is no libgomp, which Numba links to
        sys.modules["numba.np.ufunc.omppool"] = None  # type: ignore[assignment]
    if os.environ["OPENMP"] == "used":
        use_openmp()
    if os.environ["COMMA"]:
        locale.setlocale(locale.LC_ALL, "")
        assert locale.localeconv()["decimal_point"] == ","


def use_openmp() -> None:
    """Another library of the process has OpenMP start threads, which stay."""
    libc, libgomp = ctypes.CDLL(None), ctypes.CDLL("libgomp.so.1")
    libgomp.GOMP_parallel(ctypes.cast(libc.getpid, ctypes.c_void_p), None, 4, 0)


# --- tasks: each has enough to do for threads -----------------------------------------------------


def digest(*arrays: Any) -> str:
    """One hash of the bits of arrays and texts."""
    result = hashlib.sha256()
    for array in arrays:
        result.update(array.encode() if isinstance(array, str) else array.tobytes())
    return result.hexdigest()


def data(*shape: int) -> Any:
    """Numbers, the same everywhere."""
    import numpy as np

    return np.random.default_rng(1).standard_normal(shape)


def fit() -> str:
    """A small fit, in batches, with dropout."""
    import numlstm

    X = data(48, 20, 3)
    result = numlstm.fit(
        X, X[..., :1] ** 2, hidden_size=24, num_layers=2, epochs=2, batch_size=24, dropout=0.1,
        rng=0, progress=False, backend="cpu",
    )  # fmt: skip
    return digest(result.x, result.model.predict(X))


def predict() -> str:
    """Predictions for a batch."""
    import numlstm

    return digest(numlstm.LSTM(3, 33, 2, rng=0, backend="cpu").predict(data(40, 17, 3)))


def step() -> str:
    """Steps of a small network and of one so large that threads share a step, and exported C."""
    import numlstm

    results: list[Any] = []
    for units in (8, 300):
        model = numlstm.LSTM(2, units, 1, init={"weights": "uniform"}, rng=0, backend="cpu")
        state = None
        for x in data(5, 1, 2).astype("float32"):
            y, state = model.step(x, state)
            results.append(y)
        results += state or []
    # not a TemporaryDirectory: Python's end removes that under a daemon thread
    path = Path(tempfile.mkdtemp(dir=os.environ["CELL_FOLDER"])) / "net.c"
    numlstm.LSTM(2, 8, 1, rng=0, backend="cpu").export_c(path)
    return digest(*results, path.read_text())


def prange() -> str:
    """The user's own prange around the step."""
    import numpy as np

    import numlstm
    from prange_of_steps import run

    X = data(40, 17, 3).astype("float32")
    stepper = numlstm.LSTM(3, 16, 2, rng=0, backend="cpu").njit()
    h, c = (np.ascontiguousarray(np.swapaxes(a, 0, 1)) for a in stepper.initial_state(len(X)))
    Y = np.zeros((*X.shape[:2], 2), "float32")
    run(stepper, X, h, c, Y)
    return digest(Y, h, c)


TASKS = {task.__name__: task for task in (fit, predict, step, prange)}


def run_task(task: str) -> str:
    """The digest of a task."""
    prepare()
    return TASKS[task]()


# --- process models -------------------------------------------------------------------------------


def agreed(digests: list[str]) -> str:
    """The common digest; different ones are joined, so that they equal nothing."""
    return "|".join(sorted(set(digests)))


def alone(task: str) -> str:
    """The main thread of a new process."""
    return run_task(task)


def threads(task: str) -> str:
    """Many Python threads at once, from the first call on."""
    prepare()
    start, found = threading.Barrier(PYTHON_THREADS), []

    def work() -> None:
        start.wait()
        found.append(run_task(task))

    crowd = [threading.Thread(target=work) for _ in range(PYTHON_THREADS)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return agreed(found) if len(found) == PYTHON_THREADS else f"{len(found)} threads ended well"


def children(method: str, task: str) -> list[str]:
    """The digests of two children, one after the other."""
    context, found = multiprocessing.get_context(method), []
    for _ in range(2):
        reading, writing = context.Pipe(duplex=False)
        child = context.Process(target=send, args=(writing, task))  # type: ignore[attr-defined]
        child.start()
        writing.close()
        found.append(reading.recv())
        child.join()
        assert child.exitcode == 0, child.exitcode
        reading.close()
        child.close()
    return found


def send(writing: Any, task: str) -> None:
    """What a child does."""
    with writing:
        writing.send(run_task(task))


def fork_after(task: str) -> str:
    """Children of a process that has run the task, and then that process again."""
    return agreed([run_task(task), *children("fork", task), run_task(task)])


def fork_before(task: str) -> str:
    """Children of a process that has imported the package, and then that process."""
    import numlstm  # noqa: F401

    prepare()
    return agreed([*children("fork", task), run_task(task)])


def spawn(task: str) -> str:
    """New processes of multiprocessing's."""
    return agreed([run_task(task), *children("spawn", task)])


def forkserver(task: str) -> str:
    """Forks of a server that has imported nothing."""
    return agreed([run_task(task), *children("forkserver", task)])


def loky(task: str) -> str:
    """The workers of joblib, after use in the parent."""
    import joblib

    found = [run_task(task)]
    found += joblib.Parallel(n_jobs=2)(joblib.delayed(run_task)(task) for _ in range(3))
    return agreed([*found, run_task(task)])


def executor(task: str) -> str:
    """The workers of a ProcessPoolExecutor of the usual kind, after use in the parent."""
    found = [run_task(task)]
    with ProcessPoolExecutor(2) as pool:
        found += pool.map(run_task, [task] * 3)
    return agreed([*found, run_task(task)])


def daemon(task: str) -> str:
    """The process ends while a daemon thread is in the middle of the task."""
    found, begun = run_task(task), threading.Event()

    def work() -> None:
        while True:
            begun.set()
            run_task(task)

    threading.Thread(target=work, daemon=True).start()
    begun.wait()
    time.sleep(random.uniform(0, 0.03))
    return found


def small_stack(task: str) -> str:
    """A Python thread with a small stack; `processes.py` gives all other threads one too."""
    threading.stack_size(SMALL_STACK)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(run_task(task)))
    thread.start()
    thread.join()
    return agreed(found)


_models: tuple[Callable[[str], str], ...] = (
    *(alone, threads, fork_after, fork_before, spawn, forkserver, loky, executor),
    *(daemon, small_stack),
)
MODELS = {model.__name__: model for model in _models}

if __name__ == "__main__":
    import process_models  # by this name children find the functions

    print(process_models.MODELS[sys.argv[1]](sys.argv[2]))

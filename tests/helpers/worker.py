"""What backends/cpu/test_threads.py runs in processes of its own: python worker.py TASK.

Every task prints one JSON object: the digest of the bits of each result, by name. So whatever the
number of threads, the threading layer, the process or the state of the cache, the outputs of two
tasks must be equal.
"""

import hashlib
import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import numlstm

# (I, H, O, num_layers, B, T, ragged): many rows, one row, few and long, and one row of a layer so
# wide that its units are shared; float32 and float64
SIZES = [
    (3, 33, 2, 2, 40, 17, True),
    (1, 16, 1, 1, 1, 60, False),
    (5, 64, None, 1, 130, 6, False),
    (2, 9, 1, 3, 7, 40, True),
    (4, 150, None, 1, 1, 5, False),
]
FAMILY = {
    "proj_size": 5,
    "cell": {"peephole": True, "layer_norm": True, "activation_clip": 2.0},
    "learned_state": True,
    "bidirectional": True,
    "dropout": {"zoneout_h": 0.2, "zoneout_c": 0.1, "recurrent": 0.3, "states": 0.2},
}
THREADS = 16


def digest(arrays) -> str:
    """One hash of the bits, shapes and dtypes of some arrays."""
    result = hashlib.sha256()
    for array in arrays:
        result.update(f"{array.dtype.str}{array.shape}".encode())
        result.update(np.ascontiguousarray(array).tobytes())
    return result.hexdigest()


def run_model(sizes, dtype) -> str:
    """Forward, vjp and predict of one model."""
    input_size, hidden_size, output_size, num_layers, B, T, ragged = sizes
    model = numlstm.LSTM(
        input_size, hidden_size, output_size, num_layers=num_layers, dtype=dtype, rng=0
    )
    rng = np.random.default_rng(1)
    X = rng.standard_normal((B, T, input_size))
    lengths = rng.integers(0, T + 1, B) if ragged else None
    Y, state = model.forward(X, lengths=lengths)
    taped, pullback = model.vjp(X, lengths=lengths)
    gradients = pullback(Y, state)
    predicted = model.predict(X, lengths=lengths)
    return digest([Y, *state, taped, gradients.theta, gradients.X, *gradients.state, predicted])


def run_family(dtype) -> str:
    """Forward and backward of a model of many variants, with resets and noise."""
    model = numlstm.LSTM(3, 19, 2, dtype=dtype, rng=0, **FAMILY)
    rng = np.random.default_rng(1)
    X, reset = rng.standard_normal((40, 9, 3)), rng.random((40, 9)) < 0.2
    Y, pullback = model.vjp(X, lengths=rng.integers(0, 10, 40), reset=reset, noise_rng=2)
    gradients = pullback(Y)
    return digest([Y, gradients.theta, gradients.X])


def run_fit(method, dtype) -> str:
    """A small fit: ragged, validated, with dropout, in windows."""
    rng = np.random.default_rng(2)
    X = [rng.standard_normal((T, 2)) for T in rng.integers(1, 20, 40)]
    y = [np.cumsum(x, axis=0)[:, :1] for x in X]
    stochastic = {"epochs": 2, "batch_size": 24, "bptt_steps": 8, "dropout": 0.1}
    options = stochastic if method == "adam" else {"options": {"maxiter": 3}}
    result = numlstm.fit(
        X,
        y,
        hidden_size=17,
        num_layers=2,
        method=method,
        dtype=dtype,
        rng=3,
        progress=False,
        **options,
    )
    return digest([result.x, np.array(result.history["loss"]), *result.model.predict(X)])


def run_large_head() -> str:
    """A head of many outputs, over more rows than a thread gets."""
    model = numlstm.LSTM(3, 24, 40, rng=0)
    X = np.random.default_rng(1).standard_normal((40, 30, 3))
    Y, pullback = model.vjp(X)
    return digest([Y, *pullback(Y)[:2]])


def run_variant() -> str:
    """A variant of more steps than in `run_family`, and a head of few outputs."""
    model = numlstm.LSTM(3, 24, 2, cell={"peephole": True}, rng=0)
    X = np.random.default_rng(1).standard_normal((40, 170, 3))
    Y, pullback = model.vjp(X)
    return digest([Y, *pullback(Y)[:2]])


def run_ensemble() -> str:
    """Members side by side, each with batches of its own."""
    X = np.random.default_rng(1).standard_normal((40, 30, 3))
    found = numlstm.ensemble(
        X, X[..., :1], hidden_size=16, members=6, epochs=2, rng=0, progress=False
    )
    return digest([model.theta for model in found.models])


def run_jacobians() -> str:
    """What a state depends on, for many states."""
    model = numlstm.LSTM(3, 40, 2, rng=0)
    return digest([model.transitions(np.ones((6, 40, 3)))])


def run_tangents() -> str:
    """The Hessian along a direction."""
    X = np.random.default_rng(1).standard_normal((40, 30, 3))
    model = numlstm.LSTM(3, 24, 1, dtype="float64", rng=0)
    objective = numlstm.objective(model, X, X[..., :1])
    return digest([objective.hessp(model.theta, np.ones_like(model.theta))])


def run_rollout() -> str:
    """Free-running forecasts of many series, and their gradient."""
    model = numlstm.LSTM(2, 24, 2, dtype="float64", rng=0)
    Y, pullback = model.rollout_vjp(np.ones((130, 4, 2)), 20)
    gradients = pullback(Y)
    return digest([Y, gradients.theta, gradients.X_warm])


def others() -> dict[str, str]:
    """What else is shared among threads."""
    tasks = run_large_head, run_variant, run_ensemble, run_jacobians, run_tangents, run_rollout
    return {task.__name__: task() for task in tasks}


def jobs() -> dict[str, Callable[[], str]]:
    """Everything whose bits are compared, by name."""
    dtypes = ("float32", "float64")
    models = {
        f"model {sizes} {dtype}": partial(run_model, sizes, dtype)
        for sizes in SIZES
        for dtype in dtypes
    }
    fits = {
        f"fit {method} {dtype}": partial(run_fit, method, dtype)
        for method in ("adam", "L-BFGS-B")
        for dtype in dtypes
    }
    family = {f"family {dtype}": partial(run_family, dtype) for dtype in dtypes}
    return models | fits | family


def plain() -> dict[str, str]:
    """One after the other, in the main thread."""
    return {name: job() for name, job in jobs().items()}


def single() -> dict[str, str]:
    """One job, for runs that must compile everything anew."""
    name = next(iter(jobs()))
    return {name: jobs()[name]()}


def varied() -> dict[str, str]:
    """That job, and one of a layer with variants."""
    return single() | {name: jobs()[name]() for name in ("family float32",)}


def merged(outputs: list[dict[str, str]]) -> dict[str, str]:
    """The common digests; different ones are joined, so that they equal nothing."""
    return {name: "|".join(sorted({output[name] for output in outputs})) for name in outputs[0]}


def crowd() -> dict[str, str]:
    """Many Python threads at once, from the first call of the process on, each in its own order."""
    outputs, failures = [], []
    start = threading.Barrier(THREADS)

    def work(seed):
        try:
            order = np.random.default_rng(seed).permutation(list(jobs()))
            start.wait()
            outputs.append({name: jobs()[name]() for name in order})
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert len(outputs) == THREADS
    return merged(outputs)


def forked() -> dict[str, str]:
    """A child of a process whose threads have run, and a child of that child."""
    return merged([plain(), in_child(plain), in_child(lambda: in_child(plain)), plain()])


def forked_while_busy() -> dict[str, str]:
    """Children of a process that is inside the kernels at the moment of the fork."""
    expected, stop = plain(), threading.Event()

    def keep_busy():
        while not stop.is_set():
            run_model(SIZES[0], "float32")

    threads = [threading.Thread(target=keep_busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    name = f"model {SIZES[0]} float32"
    found = [in_child(lambda: {name: jobs()[name]()}) for _ in range(10)]
    stop.set()
    for thread in threads:
        thread.join()
    return expected | merged([{name: expected[name]}, *found])


def forked_after_others() -> dict[str, str]:
    """A child of a process in which somebody else's code, not this package, has started threads."""
    import numba

    @numba.njit(parallel=True)
    def fill(array):
        for i in numba.prange(len(array)):
            array[i] = i

    fill(np.zeros(10_000))
    return merged([in_child(plain), plain()])


def pooled() -> dict[str, str]:
    """The workers of a fork pool, after and between calls in the parent."""
    expected = plain()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pending = [pool.apply_async(plain) for _ in range(4)]
        again = plain()
        return merged([expected, again, *(result.get(timeout=120) for result in pending)])


def without_omp() -> dict[str, str]:
    """Where Numba's layer over OpenMP cannot be imported, as without libgomp."""
    sys.modules["numba.np.ufunc.omppool"] = None  # type: ignore[assignment]
    return single()


def cramped() -> dict[str, str]:
    """Where memory is limited to what this process has, and a little more than one job needs."""
    import resource

    from numlstm.backends.cpu.codegen import parallel

    with parallel._region:  # in one thread, so that machine code is there
        single()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2**28
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return single()


def in_child(task: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Run `task` in a fork; a pipe brings its output back."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as pipe:
                json.dump(task(), pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with status {status}"
    return json.loads(text)


_tasks = (
    *(plain, others, single, varied),
    *(crowd, forked, forked_while_busy, forked_after_others, pooled),
    *(without_omp, cramped),
)
TASKS = {task.__name__: task for task in _tasks}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]]()))

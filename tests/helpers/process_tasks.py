"""Tasks whose bits are the same in every process: jobs by name, each with enough for threads."""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import numlstm
from helpers.digests import digest

Jobs = dict[str, Callable[[], str]]  # each returns the digest of its results

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
DTYPES = "float32", "float64"
model_of = partial(numlstm.LSTM, rng=0, backend="cpu")


def data(*shape: int) -> np.ndarray:
    """Numbers, the same everywhere."""
    return np.random.default_rng(1).standard_normal(shape)


def run_model(sizes, dtype) -> str:
    """Forward, vjp and predict of one model."""
    input_size, hidden_size, output_size, num_layers, B, T, ragged = sizes
    model = model_of(input_size, hidden_size, output_size, num_layers=num_layers, dtype=dtype)
    rng = np.random.default_rng(1)
    X = rng.standard_normal((B, T, input_size))
    lengths = rng.integers(0, T + 1, B) if ragged else None
    Y, state = model.forward(X, lengths=lengths)
    taped, pullback = model.vjp(X, lengths=lengths)
    gradients = pullback(Y, state)
    predicted = model.predict(X, lengths=lengths)
    return digest(Y, *state, taped, gradients.theta, gradients.X, *gradients.state, predicted)


def run_family(dtype) -> str:
    """Forward and backward of a model of many variants, with resets and noise."""
    model = model_of(3, 19, 2, dtype=dtype, **FAMILY)
    rng = np.random.default_rng(1)
    X, reset = rng.standard_normal((40, 9, 3)), rng.random((40, 9)) < 0.2
    Y, pullback = model.vjp(X, lengths=rng.integers(0, 10, 40), reset=reset, noise_rng=2)
    gradients = pullback(Y)
    return digest(Y, gradients.theta, gradients.X)


def run_fit(method, dtype) -> str:
    """A small fit: ragged, validated, with dropout, in windows."""
    rng = np.random.default_rng(2)
    X = [rng.standard_normal((T, 2)) for T in rng.integers(1, 20, 40)]
    y = [np.cumsum(x, axis=0)[:, :1] for x in X]
    stochastic = {"epochs": 2, "batch_size": 24, "bptt_steps": 8, "dropout": 0.1}
    own = stochastic if method == "adam" else {"options": {"maxiter": 3}}
    own |= {"hidden_size": 17, "num_layers": 2, "method": method, "dtype": dtype}
    result = numlstm.fit(X, y, rng=3, progress=False, backend="cpu", **own)
    return digest(result.x, np.array(result.history["loss"]), *result.model.predict(X))


def run_large_head() -> str:
    """A head of many outputs, over more rows than a thread gets."""
    Y, pullback = model_of(3, 24, 40).vjp(data(40, 30, 3))
    return digest(Y, *pullback(Y)[:2])


def run_variant() -> str:
    """A variant of more steps than in `run_family`, and a head of few outputs."""
    Y, pullback = model_of(3, 24, 2, cell={"peephole": True}).vjp(data(40, 170, 3))
    return digest(Y, *pullback(Y)[:2])


def run_ensemble() -> str:
    """Members side by side, each with batches of its own."""
    X, options = data(40, 30, 3), {"rng": 0, "progress": False, "backend": "cpu"}
    found = numlstm.ensemble(X, X[..., :1], hidden_size=16, members=6, epochs=2, **options)
    return digest(*(model.theta for model in found.models))


def run_jacobians() -> str:
    """What a state depends on, for many states."""
    return digest(model_of(3, 40, 2).transitions(np.ones((6, 40, 3))))


def run_tangents() -> str:
    """The Hessian along a direction."""
    X, model = data(40, 30, 3), model_of(3, 24, 1, dtype="float64")
    objective = numlstm.objective(model, X, X[..., :1])
    return digest(objective.hessp(model.theta, np.ones_like(model.theta)))


def run_rollout() -> str:
    """Free-running forecasts of many series, and their gradient."""
    model = model_of(2, 24, 2, dtype="float64")
    Y, pullback = model.rollout_vjp(np.ones((130, 4, 2)), 20)
    gradients = pullback(Y)
    return digest(Y, gradients.theta, gradients.X_warm)


def run_step() -> str:
    """Steps of a small network and of one so large that threads share a step, and exported C."""
    results = []
    for units in (8, 300):
        model, state = model_of(2, units, 1, init={"weights": "uniform"}), None
        for x in data(5, 1, 2).astype("float32"):
            y, state = model.step(x, state)
            results.append(y)
        results += state
    # not a TemporaryDirectory: Python's end removes that under a daemon thread
    path = Path(tempfile.mkdtemp(dir=os.environ["CELL_FOLDER"])) / "net.c"
    model_of(2, 8, 1).export_c(path)
    return digest(*results, path.read_text())


def run_prange() -> str:
    """The user's own prange around the step."""
    from helpers.prange_of_steps import run

    X = data(40, 17, 3).astype("float32")
    stepper = model_of(3, 16, 2).njit()
    h, c = (np.ascontiguousarray(np.swapaxes(a, 0, 1)) for a in stepper.initial_state(len(X)))
    Y = np.zeros((*X.shape[:2], 2), "float32")
    run(stepper, X, h, c, Y)
    return digest(Y, h, c)


def named(*jobs: Callable[..., str]) -> Jobs:
    """Jobs by their names."""
    return {job.__name__: job for job in jobs}


MODELS = {f"model {s} {dtype}": partial(run_model, s, dtype) for s in SIZES for dtype in DTYPES}
FITS = {
    f"fit {method} {dtype}": partial(run_fit, method, dtype)
    for method in ("adam", "L-BFGS-B")
    for dtype in DTYPES
}
FAMILIES = {f"family {dtype}": partial(run_family, dtype) for dtype in DTYPES}
first_model: Jobs = dict([next(iter(MODELS.items()))])

TASKS: dict[str, Jobs] = {
    "all": MODELS | FITS | FAMILIES,
    "others": named(
        *(run_large_head, run_variant, run_ensemble, run_jacobians, run_tangents, run_rollout)
    ),
    "varied": first_model | {"family float32": FAMILIES["family float32"]},
    "predict": first_model,
    "fit": {"fit adam float32": FITS["fit adam float32"]},
    "step": named(run_step),
    "prange": named(run_prange),
}

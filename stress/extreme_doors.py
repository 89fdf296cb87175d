"""What takes numbers beside the passes: doors at extreme numbers, and sizes no memory holds.

    doors     fit by every method on data times 1e30 and 1e-30, and with all inputs of a row
              missing; `step`, the compiled step and exported C (with gcc) of every variant at 1e30
              and 1e-41 against the definition in float64; jacobian and transitions
    memory    arrays of 10^13 elements and more, which are views of one: a MemoryError or ValueError
              with a text, in a child of 4 GB

Command: python stress/extreme_doors.py [--only doors memory] [--dtype float32] [--verbose]
It takes a few minutes once the kernels are compiled.
"""

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numlstm
from helpers import extremes
from helpers.compilers import Exported
from helpers.extremes import VARIANTS, Case, Outcome, drawn, extreme
from numlstm import LSTM
from numlstm.training.methods import METHODS

# --- doors ----------------------------------------------------------------------------------------


def doors(dtype: str) -> Iterator[Case]:
    """Fits and derived answers at extreme data: finite numbers, or what is documented."""
    for method in METHODS:
        for unit in (1e30, 1e-30):
            yield f"fit by {method}, data times {unit:g}", partial(fitted, method, unit, dtype)
    steppable = {k: v for k, v in VARIANTS.items() if k != "bidirectional" and " gates" not in k}
    for name, keywords in steppable.items():
        for places in ("X", "c", "weights"):
            for size in (1e30, 1e-41):
                yield (
                    f"steps, {name}, {places} at {size:g}",
                    partial(steps_at, keywords, places, size, dtype),
                )
    yield "jacobian and transitions at 1e30", partial(jacobians, 1e30, dtype)
    yield "all inputs missing", partial(all_missing, dtype)


def data() -> tuple[np.ndarray, np.ndarray]:
    """Twelve sequences, and the sums of their first features."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 6, 2))
    return X, np.cumsum(X[..., :1], axis=1)


def fitted(method: str, unit: float, dtype: str) -> Outcome:
    """A fit of data in another unit predicts as one in the usual unit does, in that unit."""
    X, y = data()
    chosen: dict[str, Any] = {
        "method": method,
        "dtype": dtype,
        "hidden_size": 3,
        "epochs": 3,
        "rng": 0,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # 1e30 is a fill value of some files
        one, other = (
            numlstm.fit(u * X, u * y, progress=False, **chosen).model.predict(u * X) / u
            for u in (1.0, unit)
        )
    # rounding differs, and SciPy's methods make more of it
    return float(np.linalg.norm(one - other) / np.linalg.norm(one)) / 0.02, "predictions"


def steps_at(keywords: dict[str, Any], places: str, size: float, dtype: str) -> Outcome:
    """`step`, the compiled step and the exported C are the definition, step by step."""
    model = LSTM(2, 4, 1, dtype=dtype, rng=0, backend="cpu", **keywords)
    given = extreme(model, drawn(model, 1, 20), places, size)
    model.theta = given.theta
    Y, _ = extremes.of(replace(model.spec, dtype="float64"), "reference", model.theta).forward(
        given.X, given.state
    )
    function, state, ours = model.cfunc(standardize=False), given.state, []
    h, c = (part.copy() for part in given.state)
    for t in range(20):
        y, state = model.step(given.X[:, t], state)
        other, x = np.empty_like(y), np.ascontiguousarray(given.X[:, t])
        function.ctypes(function.net, *(a.ctypes.data for a in (x, h, c, other)), 1)
        ours.append([y[0], other[0]])
    with tempfile.TemporaryDirectory() as folder:
        exported: Any = Exported(model, Path(folder), standardize=False)
        flat = np.concatenate([part.ravel() for part in given.state])
        ours_in_c, _ = exported.run(given.X[0], flat)
    found = np.concatenate([np.array(ours), ours_in_c[:, None]], axis=1)
    flushed = 100 * float(np.finfo(dtype).tiny) * np.sqrt(Y.size)  # of weights of a few bits
    error = extremes.norm(found - Y[0][:, None]) / (extremes.BAR * extremes.norm(Y) + flushed)
    return float(error), "outputs"


def jacobians(size: float, dtype: str) -> Outcome:
    """The product of the transitions is the Jacobian of the final state."""
    model = LSTM(2, 4, 1, dtype=dtype, rng=0, backend="cpu")
    given = extreme(model, drawn(model, 2, 4), "X", size)
    whole = model.jacobian(given.X, "state", "state", state=given.state).astype(float)
    product = np.eye(whole.shape[-1])
    for J in np.moveaxis(model.transitions(given.X, given.state).astype(float), 1, 0):
        product = J @ product
    error = extremes.norm(whole - product) / (extremes.norm(whole) or 1.0)
    return error / extremes.BAR, "Jacobian"


def all_missing(dtype: str) -> Outcome:
    """A row without any input is filled, and gives finite predictions."""
    X, y = data()
    X[3] = np.nan
    result = numlstm.fit(X, y, missing="mask", hidden_size=3, epochs=2, rng=0, dtype=dtype,
                         progress=False)  # fmt: skip
    return (0.0 if np.isfinite(result.model.predict(X)).all() else np.inf), "predictions"


# --- memory ---------------------------------------------------------------------------------------

HUGE = {
    "forward": "model.forward(big(10**9, 10**6, 1))",
    "forward, 2**60 numbers": "model.forward(big(2**30, 2**30, 1))",
    "forward, one long row": "model.forward(big(1, 10**13, 1))",
    "vjp": "model.vjp(big(10**9, 10**6, 1))",
    "jvp": "model.jvp(big(10**9, 10**6, 1))",
    "jacobian": "model.jacobian(big(10**4, 10**4, 1))",
    "transitions": "model.transitions(big(10**9, 10**6, 1))",
    "step": "model.step(big(10**13, 1))",
    "predict": "model.predict(big(10**9, 10**6, 1))",
    "predict, one series": "model.predict(big(10**13))",
    "rollout": "model.rollout(np.zeros(3), 10**15)",
    "fit": "numlstm.fit(big(10**6, 10**7, 1), epochs=1)",
    "objective": "numlstm.objective(model, big(10**7, 10**6, 1), big(10**7, 10**6, 1))",
    "hidden_size": "numlstm.LSTM(1, 10**6)",
    "num_layers": "numlstm.LSTM(1, 4, num_layers=10**9)",
    "members": "numlstm.ensemble(np.ones((9, 5, 1)), np.arange(9.0), members=10**12, epochs=1)",
}

CHILD = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (4 << 30,) * 2)
import numpy as np, numlstm
big = lambda *shape: np.broadcast_to(np.float32(0.5), shape)
model = numlstm.LSTM(1, 4, 1, rng=0)
try:
    {statement}
except (MemoryError, ValueError) as error:
    assert str(error), "no text"
    print(type(error).__name__, error)
else:
    raise SystemExit("nothing was refused")
"""


def memory(dtype: str) -> Iterator[Case]:
    """Sizes that no memory holds."""
    for name, statement in HUGE.items():
        yield name, partial(in_child, statement)


def in_child(statement: str) -> Outcome:
    """The error that a statement ends with; a crash is a miss."""
    command = [sys.executable, "-c", CHILD.format(statement=statement)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode == 0:
        return done.stdout.strip()
    last = (done.stderr.strip() or "killed").splitlines()[-1]
    return np.inf, f"exit {done.returncode}: {last}"


if __name__ == "__main__":
    sys.exit(extremes.main(__doc__, {"doors": doors, "memory": memory}))

"""Numbers and sizes at the extremes, held to float64: errors beyond the bar are listed, exit 1.

What is compared, and by which measure, is in `tests/helpers/extremes.py`: 1e-3 of the norm of every
quantity, against the NumPy definition in float64, or a ValueError or MemoryError that says what is
too large. The groups:

    numbers   every variant of the cell and of the network, with inputs, weights, biases, states,
              other parameters and gradients times 1e30, 1e10, 1e4, 1e-20 and 1e-41 (float64: 1e300
              to 1e-310), alone and together
    sizes     lengths 0 and 1, batch 0, no steps, H = 1 and 5000, I = 1 and 5000, 1000 outputs,
              10^5 rows, 200 layers, 10^6 steps forward and backward, and by `step`
    losses    every loss at predictions up to 1e30 against the same in long double
    doors     what else takes numbers: fit by every method, predict, rollout, jacobian, transitions,
              njit, ensemble, objective: finite, or the documented end
    memory    arrays of 10^15 elements that are views of one: an error, in a child of 4 GB

Command: python stress/extremes.py [--only numbers sizes losses doors memory] [--dtype float32]
It takes about 8 minutes on two cores, and up to 8 GB.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numlstm
from helpers import extremes
from helpers.compilers import Exported
from helpers.extremes import FACTORS, PLACES, VARIANTS, Numbers, compared, drawn, extreme
from numlstm import LSTM, State
from numlstm.optim.losses import LOSSES
from numlstm.training.methods import METHODS

Outcome = tuple[float, str] | str  # (error in units of the bar, quantity), or a refusal
Case = tuple[str, Callable[[], Outcome]]


# --- numbers --------------------------------------------------------------------------------------


def numbers(dtype: str) -> Iterator[Case]:
    """Every variant with every place at every factor."""
    for name, keywords in VARIANTS.items():
        model = LSTM(3, 5, 2, dtype=dtype, rng=0, backend="cpu", **keywords)
        ordinary = drawn(model, batch=3, steps=3)
        for place in PLACES:
            for factor in FACTORS[dtype]:
                changed = extreme(model, ordinary, place, factor)
                case = f"{name}; {place} times {factor:g}"
                yield case, lambda model=model, changed=changed: compared(model.spec, changed)


# --- sizes ----------------------------------------------------------------------------------------

SIZES: dict[str, tuple[int, int, dict[str, Any]]] = {  # batch, steps, keywords
    "batch 0": (0, 3, {}),
    "no steps": (3, 0, {}),
    "nothing at all": (0, 0, {}),
    "one of everything": (1, 1, {"input_size": 1, "hidden_size": 1, "output_size": 1}),
    "1000 outputs": (2, 3, {"output_size": 1000}),
    "5000 inputs": (2, 3, {"input_size": 5000}),
    "10^5 rows": (10**5, 3, {}),
    "10^5 rows, layer norm": (10**5, 2, {"cell": {"layer_norm": True, "peephole": True}}),
    "200 layers": (2, 3, {"num_layers": 200}),
    "200 residual layers": (2, 3, {"num_layers": 200, "residual": True}),
    "20,000 steps": (1, 20_000, {}),
    "20,000 steps, all variants": (1, 20_000, {"cell": {"layer_norm": True, "peephole": True}}),
    "1000 units": (2, 3, {"hidden_size": 1000}),
}


def sizes(dtype: str) -> Iterator[Case]:
    """Networks and batches of extreme sizes."""
    for name, (batch, steps, keywords) in SIZES.items():
        yield (
            name,
            lambda batch=batch, steps=steps, keywords=keywords: of_size(
                dtype, batch, steps, keywords
            ),
        )
    yield "lengths 0 and 1", lambda: of_lengths(dtype)
    yield "5000 units", lambda: many_units(dtype)
    yield "10^6 steps", lambda: many_steps(dtype)


def of_size(dtype: str, batch: int, steps: int, keywords: dict[str, Any]) -> Outcome:
    """All quantities of a network and a batch of some size."""
    usual = {"input_size": 2, "hidden_size": 4, "output_size": 1}
    model = LSTM(**(usual | keywords), dtype=dtype, rng=0, backend="cpu")
    return compared(model.spec, drawn(model, batch, steps))


def of_lengths(dtype: str) -> Outcome:
    """Rows of lengths 0 and 1 are what they are alone."""
    model = LSTM(2, 4, 1, dtype=dtype, rng=0, backend="cpu")
    given, lengths = drawn(model, 4, 5), np.array([0, 1, 0, 5])
    Y, pullback = model.vjp(given.X, given.state, lengths=lengths)
    gradients, worst = pullback(given.dY, given.dstate), 0.0
    for row, length in enumerate(lengths):
        pick = (slice(None), slice(row, row + 1))
        state, dstate = (State(s.h[pick], s.c[pick]) for s in (given.state, given.dstate))
        y, alone = model.vjp(given.X[row : row + 1, :length], state)
        d = alone(given.dY[row : row + 1, :length], dstate)
        parts = [(Y[row, :length], y[0]), (gradients.X[row, :length], d.X[0])]
        parts += [(gradients.state.h[:, row], d.state.h[:, 0])]
        worst = max(worst, *(float(np.abs(a - b).max(initial=0)) for a, b in parts))
        worst = max(worst, float(np.abs(Y[row, length:]).max(initial=0)))
    return worst / extremes.BAR, "rows alone"


def many_units(dtype: str) -> Outcome:
    """5000 units: outputs, final state and the gradient of X, by a loop in float64."""
    model = LSTM(2, 5000, 1, dtype="float32", rng=0, backend="cpu")
    given = drawn(model, 1, 2)
    Y, pullback = model.vjp(given.X, given.state)
    gradients = pullback(given.dY, given.dstate)
    found = {"Y": Y, "dX": gradients.X, "dh": gradients.state.h, "dc": gradients.state.c}
    truth = loop(model, given)
    return worst_of(found | {"dtheta": gradients.theta}, truth)


def many_steps(dtype: str) -> Outcome:
    """10^6 steps: outputs and all gradients, by a loop in float64; and the same by `step`."""
    model = LSTM(2, 4, 1, dtype=dtype, rng=0, backend="cpu")
    given = drawn(model, 1, 10**6)
    Y, pullback = model.vjp(given.X, given.state)
    gradients = pullback(given.dY, given.dstate)
    found = {"Y": Y, "dX": gradients.X, "dh": gradients.state.h, "dc": gradients.state.c}
    worst = worst_of(found | {"dtheta": gradients.theta}, loop(model, given))
    state, same = given.state, True
    for t in range(10_000):
        y, state = model.step(given.X[:, t], state)
        same &= bool((y == Y[:, t]).all())
    return worst if same else (np.inf, "step")


def loop(model: LSTM, given: Numbers) -> dict[str, np.ndarray]:
    """One row through one plain layer and its head in float64, forward and backward."""
    w = {name: np.asarray(value, float) for name, value in model.params.items()}
    X, dY, T = given.X[0].astype(float), given.dY[0].astype(float), given.X.shape[1]
    (h,), (c,) = given.state.h[0].astype(float), given.state.c[0].astype(float)
    H, by_input = len(h), X @ w["weight_ih_l0"].T + w["bias_l0"]
    hs, cs, gates, Y = np.empty((T + 1, H)), np.empty((T + 1, H)), np.empty((T, 4, H)), []
    hs[0], cs[0] = h, c
    for t in range(T):
        z = (by_input[t] + w["weight_hh_l0"] @ hs[t]).reshape(4, H)
        a = 0.5 * (1 + np.tanh(0.5 * z))
        a[2] = np.tanh(z[2])
        gates[t], cs[t + 1] = a, a[1] * cs[t] + a[0] * a[2]
        hs[t + 1] = a[3] * np.tanh(cs[t + 1])
    Y = hs[1:] @ w["head_weight"].T + w["head_bias"]
    (dh,), (dc,) = given.dstate.h[0].astype(float), given.dstate.c[0].astype(float)
    dz, from_head = np.empty((T, 4 * H)), dY @ w["head_weight"]
    for t in reversed(range(T)):
        (i, f, g, o), tanh_c, dh = gates[t], np.tanh(cs[t + 1]), dh + from_head[t]
        dc = dc + dh * o * (1 - tanh_c**2)
        parts = dc * g * i * (1 - i), dc * cs[t] * f * (1 - f), dc * i * (1 - g * g)
        dz[t] = np.concatenate([*parts, dh * tanh_c * o * (1 - o)])
        dh, dc = w["weight_hh_l0"].T @ dz[t], dc * f
    dtheta = [dz.T @ X, dz.T @ hs[:-1], dz.sum(0), dY.T @ hs[1:], dY.sum(0)]
    return {
        "Y": Y[None], "dX": (dz @ w["weight_ih_l0"])[None], "dh": dh[None, None],
        "dc": dc[None, None], "dtheta": np.concatenate([part.ravel() for part in dtheta]),
    }  # fmt: skip


def worst_of(found: dict[str, Any], truth: dict[str, np.ndarray]) -> Outcome:
    """The worst error in units of the bar, without what may be added to it."""
    errors = {
        name: float(np.linalg.norm(found[name] - expected) / np.linalg.norm(expected))
        for name, expected in truth.items()
    }
    name = max(errors, key=lambda key: errors[key])
    return errors[name] / extremes.BAR, name


# --- losses ---------------------------------------------------------------------------------------


def losses(dtype: str) -> Iterator[Case]:
    """Every loss at predictions of every size."""
    for name in LOSSES:
        for size in (1e30, 1e15, 1e4, 100.0, 1e-20, 1e-41):
            yield f"{name} at {size:g}", lambda name=name, size=size: loss_at(name, size, dtype)


def loss_at(name: str, size: float, dtype: str) -> Outcome:
    """Value and gradient of a loss; a value beyond the dtype may be infinite, as `fit` reports."""
    rng = np.random.default_rng(0)
    prediction = (size * rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], (50, 4))).astype(dtype)
    target: Any = rng.random((50, 2 if name == "gaussian_nll" else 4)).astype(dtype)
    target = rng.integers(0, 4, 50) if name == "cross_entropy" else target
    weight = np.full(target.shape, 0.02, dtype)
    function, wide = LOSSES[name].function, np.longdouble
    with np.errstate(all="ignore"):
        value, gradient = function(prediction, target, weight)
        exact = target if target.dtype.kind == "i" else target.astype(wide)
        truth, slope = function(prediction.astype(wide), exact, weight.astype(wide))
        largest = float(np.finfo(dtype).max)
        held = np.abs(slope) < largest
        errors = {"gradient": extremes._norm(np.where(held, gradient - slope, 0))}
        errors["gradient"] /= extremes._norm(np.where(held, slope, 0)) or 1
    if np.isfinite(value):
        errors["value"] = float(abs(value - truth) / max(abs(truth), np.finfo(dtype).tiny))
    elif not (value == np.inf and truth > 1e-3 * largest):
        errors["value"] = np.inf
    worst = max(errors, key=lambda key: errors[key])
    return errors[worst] / extremes.BAR, worst


# --- doors ----------------------------------------------------------------------------------------


def doors(dtype: str) -> Iterator[Case]:
    """Fits and derived answers at extreme data: finite numbers, or what is documented."""
    for method in METHODS:
        for unit in (1e30, 1e-30):
            yield (
                f"fit by {method}, data times {unit:g}",
                lambda method=method, unit=unit: fitted(method, unit, dtype),
            )
    steppable = {k: v for k, v in VARIANTS.items() if k != "bidirectional" and " gates" not in k}
    for name, keywords in steppable.items():
        for places in ("X", "c", "weights"):
            for size in (1e30, 1e-41):
                yield (
                    f"steps, {name}, {places} at {size:g}",
                    partial(steps_at, keywords, places, size, dtype),
                )
    yield "jacobian and transitions at 1e30", lambda: jacobians(1e30, dtype)
    yield "all inputs missing", lambda: all_missing(dtype)


def data() -> tuple[np.ndarray, np.ndarray]:
    """Twelve sequences, and the sums of their first features."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 6, 2))
    return X, np.cumsum(X[..., :1], axis=1)


def fitted(method: str, unit: float, dtype: str) -> Outcome:
    """A fit of data in another unit predicts as one in the usual unit does, in that unit."""
    X, y = data()
    chosen = {"method": method, "dtype": dtype, "hidden_size": 3, "epochs": 3, "rng": 0}
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
        exported = Exported(model, Path(folder), standardize=False)
        flat = np.concatenate([part.ravel() for part in given.state])
        ours_in_c, _ = exported.run(given.X[0], flat)
    found = np.concatenate([np.array(ours), ours_in_c[:, None]], axis=1)
    error = np.linalg.norm(found - Y[0][:, None]) / np.linalg.norm(Y)
    return float(error) / extremes.BAR, "outputs"


def jacobians(size: float, dtype: str) -> Outcome:
    """The product of the transitions is the Jacobian of the final state."""
    model = LSTM(2, 4, 1, dtype=dtype, rng=0, backend="cpu")
    given = extreme(model, drawn(model, 2, 4), "X", size)
    whole = model.jacobian(given.X, "state", "state", state=given.state).astype(float)
    product = np.eye(whole.shape[-1])
    for J in np.moveaxis(model.transitions(given.X, given.state).astype(float), 1, 0):
        product = J @ product
    error = np.linalg.norm(whole - product) / max(np.linalg.norm(whole), 1e-30)
    return float(error) / extremes.BAR, "Jacobian"


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
        yield name, lambda statement=statement: in_child(statement)


def in_child(statement: str) -> Outcome:
    """The error that a statement ends with; a crash is a miss."""
    command = [sys.executable, "-c", CHILD.format(statement=statement)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode == 0:
        return done.stdout.strip()
    last = (done.stderr.strip() or "killed").splitlines()[-1]
    return np.inf, f"exit {done.returncode}: {last}"


GROUPS = {"numbers": numbers, "sizes": sizes, "losses": losses, "doors": doors, "memory": memory}


def main() -> int:
    """Run the groups; how many cases missed the bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--dtype", nargs="+", choices=list(FACTORS), default=list(FACTORS))
    parser.add_argument("--verbose", action="store_true", help="print every case")
    chosen = parser.parse_args()
    warnings.simplefilter("error")
    missed = 0
    for group in chosen.only:
        for dtype in chosen.dtype[: 1 if group == "memory" else 2]:
            missed += run(f"{group}, {dtype}", GROUPS[group](dtype), chosen.verbose)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{missed} missed; at most {peak:.1f} GB")
    return int(missed > 0)


def run(title: str, cases: Iterator[Case], verbose: bool) -> int:
    """Run a group, and print its misses, its worst error and its refusals."""
    start, worst, refused, missed, count = time.time(), (0.0, ""), 0, 0, 0
    for name, case in cases:
        count += 1
        try:
            outcome = case()
        except Exception as error:
            outcome = (np.inf, f"{type(error).__name__}: {error}")
        if isinstance(outcome, str):
            refused, is_miss, text = refused + 1, False, f"refused: {outcome}"
        else:
            is_miss, text = not outcome[0] <= 1, f"{extremes.BAR * outcome[0]:.1e} ({outcome[1]})"
            worst = max(worst, (outcome[0], name))
        missed += is_miss
        if verbose or is_miss:
            print(f"    {name}: {text}", flush=True)
    error = f"worst {extremes.BAR * worst[0]:.1e} ({worst[1]})"
    counts = f"{count} cases, {refused} refused, {missed} missed"
    print(f"{title}: {counts}, {error}, {time.time() - start:.0f} s", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())

"""Numbers and sizes at the extremes, held to float64: errors beyond the bar are listed, exit 1.

What is compared, and by which measure, is in `tests/helpers/extremes.py`: 1e-3 of the norm of every
quantity, against the NumPy definition in float64, or a ValueError that says what is too large.

    numbers   every variant of the cell and of the network, with inputs, weights, biases, states,
              other parameters and gradients times 1e30, 1e10, 1e4, 1e-20 and 1e-41 (float64: 1e300
              to 1e-310), alone and together
    sizes     lengths 0 and 1, batch 0, no steps, H = 1 and 5000, I = 1 and 5000, 1000 outputs,
              10^5 rows, 200 layers, 10^6 steps forward and backward, and by `step`
    losses    every loss at predictions up to 1e30 against the same in long double

Command: python stress/extremes.py [--only numbers sizes losses] [--dtype float32] [--verbose]
It takes a few minutes once the kernels are compiled, and up to 8 GB.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers import extremes
from helpers.extremes import FACTORS, PLACES, VARIANTS, Case, Numbers, Outcome, compared, drawn
from numlstm import LSTM, State
from numlstm.optim.losses import LOSSES

# --- numbers --------------------------------------------------------------------------------------


def numbers(dtype: str) -> Iterator[Case]:
    """Every variant with every place at every factor."""
    for name, keywords in VARIANTS.items():
        model = LSTM(3, 5, 2, dtype=dtype, rng=0, backend="cpu", **keywords)
        ordinary = drawn(model, batch=3, steps=3)
        for place in PLACES:
            for factor in FACTORS[dtype]:
                changed = extremes.extreme(model, ordinary, place, factor)
                case = f"{name}; {place} times {factor:g}"
                yield case, partial(compared, model.spec, changed)


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
        yield name, partial(of_size, dtype, batch, steps, keywords)
    yield "lengths 0 and 1", partial(of_lengths, dtype)
    yield "5000 units", many_units
    yield "10^6 steps", partial(many_steps, dtype)


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


def many_units() -> Outcome:
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
    hs, cs, gates = np.empty((T + 1, H)), np.empty((T + 1, H)), np.empty((T, 4, H))
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
            yield f"{name} at {size:g}", partial(loss_at, name, size, dtype)


def loss_at(name: str, size: float, dtype: str) -> Outcome:
    """Value and gradient of a loss; a value beyond the dtype may be infinite, as `fit` reports."""
    rng = np.random.default_rng(0)
    prediction = (size * rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], (50, 4))).astype(dtype)
    target: Any = rng.random((50, 2 if name == "gaussian_nll" else 4)).astype(dtype)
    target = rng.integers(0, 4, 50) if name == "cross_entropy" else target
    weight = np.full(target.shape, 0.02, dtype)
    function, wide = LOSSES[name].function, np.longdouble
    errors: dict[str, float] = {}
    with np.errstate(all="ignore"):
        value, gradient = function(prediction, target, weight)
        exact = target if target.dtype.kind == "i" else target.astype(wide)
        truth, slope = function(prediction.astype(wide), exact, weight.astype(wide))
        largest = float(np.finfo(dtype).max)
        held = np.abs(slope) < largest
        size_of = extremes.norm(np.where(held, slope, 0)) or 1.0
        errors["gradient"] = extremes.norm(np.where(held, gradient - slope, 0)) / size_of
    if np.isfinite(value):
        smallest = float(np.finfo(dtype).tiny)
        errors["value"] = float(abs(value - truth)) / max(float(abs(truth)), smallest)
    elif not (value == np.inf and truth > 1e-3 * largest):
        errors["value"] = np.inf
    worst = max(errors, key=lambda key: errors[key])
    return float(errors[worst]) / extremes.BAR, worst


if __name__ == "__main__":
    sys.exit(extremes.main(__doc__, {"numbers": numbers, "sizes": sizes, "losses": losses}))

"""Networks at extreme numbers, held to the definition in float64.

The measure is the norm: of every quantity by itself (outputs, final state, loss, gradients of
theta, X and state, tangents) the L2 norm of the error may be 1e-3 of the L2 norm of the truth, the
NumPy definition in float64 on the same numbers. Single elements are not held to it: one that is
nearly cancelled has no digits in any arithmetic. Three things may add to the bar:

- what is lost below the smallest normal number, `tiny`, where kernels flush: for every element 100
  times `tiny` times the largest factor around (weight, input, state or gradient, at least 1). So a
  gradient that vanishes over 200 layers need not have digits that its dtype does not have. Each
  term of a sum may lose `tiny` times one factor; 100 stands for the terms, and is no bound: it lies
  far below every number that matters, 1e-36 in float32 where no factor is above 1;
- slopes are computed from values: 1 - o of a gate that is nearly open has few digits, and the error
  of o, eps. So derivatives have 4 eps times the largest factor around, with a projection its cube
  (up, down and the state), times the norm of what they are multiplied by. Beyond factors of 1e5
  gates are open or shut, and only softsign has slopes at all, (1 - |y|)^2, whose error is eps^2:
  in float32 they are 0 from 1e8 on, where the truth is 1e-16 and less. From 1e11 on nothing is
  added. Below 1e5 it is a wide bar where the truth is far smaller than what it is multiplied by:
  for factors of 1e4 a gradient that has vanished is held to 1e-2 of that in float32, and behind a
  projection to nothing;
- four times the error of the definition itself in the network's dtype, on numbers moved by one unit
  in the last place: what the dtype cannot tell apart is not asked of a kernel either. An error of
  the definition that is not finite excuses nothing. So these cases hold a kernel to the definition,
  not to float64; where both are wrong in one way, this measure is blind.

A case passes where every quantity is within the bar, or where a ValueError says what is too large.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from numlstm import LSTM, State
from numlstm.network import derivatives
from numlstm.network.network import network_on

BAR = 1e-3

Outcome = tuple[float, str] | str  # (error in units of the bar, quantity), or a refusal
Case = tuple[str, Callable[[], Outcome]]

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two layers": {"num_layers": 2},
    "peephole": {"cell": {"peephole": True}},
    "layer norm": {"cell": {"layer_norm": True}},
    "layer norm, peephole": {"cell": {"layer_norm": True, "peephole": True}},
    "gates normalised": {"cell": {"layer_norm": "gates"}},
    "gates normalised, peephole": {"cell": {"layer_norm": "gates", "peephole": True}},
    "coupled": {"cell": {"forget_gate": "coupled"}},
    "no forget gate": {"cell": {"forget_gate": "none"}},
    "activation clip": {"cell": {"activation_clip": 3.0}},
    "cell clip": {"cell": {"cell_clip": 2.0}},
    "projection": {"proj_size": 2},
    "clipped projection": {"proj_size": 2, "cell": {"proj_clip": 0.5}},
    "residual": {"num_layers": 2, "residual": True},
    "bidirectional": {"bidirectional": True},
    "direct input": {"direct_input": True},
    "learned state": {"learned_state": True},
    "zoneout": {"dropout": {"zoneout_h": 0.2, "zoneout_c": 0.3}},
}
for _name in ("relu", "affine", "leaky_relu", "thresholded_relu", "scaled_tanh", "hard_sigmoid",
              "elu", "softsign", "softplus"):  # fmt: skip
    VARIANTS |= {
        f"{_name} gates": {"cell": {"activations": (_name, "tanh", "tanh")}},
        f"{_name} candidate": {"cell": {"activations": ("sigmoid", _name, "tanh")}},
        f"{_name} output": {"cell": {"activations": ("sigmoid", "tanh", _name)}},
    }

# what is made extreme, and by which factors
PLACES = ("X", "weights", "biases", "c", "h", "others", "X weights", "X c", "gradient")
FACTORS = {
    "float32": (1e30, 1e10, 1e4, 1e-20, 1e-41),
    "float64": (1e300, 1e100, 1e30, 1e-160, 1e-310),
}


class Numbers(NamedTuple):
    """What a forward and a backward pass take; `theta` is beside them, in the model."""

    theta: np.ndarray
    X: np.ndarray
    state: State
    dY: np.ndarray
    dstate: State
    dX: np.ndarray  # the direction of a tangent


def drawn(model: LSTM, batch: int, steps: int, seed: int = 1) -> Numbers:
    """Ordinary numbers for a model."""
    rng, spec = np.random.default_rng(seed), model.spec
    layers, H, P = len(spec.layers), spec.hidden_size, spec.layers[0].output_size

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(spec.dtype)

    def state() -> State:
        return State(np.tanh(normal(layers, batch, P)), normal(layers, batch, H))

    X, dY = normal(batch, steps, spec.input_size), normal(batch, steps, spec.width)
    return Numbers(model.theta.copy(), X, state(), dY, state(), normal(*X.shape))


def extreme(model: LSTM, numbers: Numbers, places: str, factor: float) -> Numbers:
    """The numbers, those of some places `factor` times as large."""

    def scaled(value: np.ndarray) -> np.ndarray:
        return (value.astype(float) * factor).astype(value.dtype)

    for place in places.split():
        if place == "X":
            numbers = numbers._replace(X=scaled(numbers.X))
        elif place in ("h", "c"):
            changed = {place: scaled(getattr(numbers.state, place))}
            numbers = numbers._replace(state=numbers.state._replace(**changed))
        elif place == "gradient":
            dstate = State(*map(scaled, numbers.dstate))
            numbers = numbers._replace(dY=scaled(numbers.dY), dstate=dstate)
        else:
            numbers = numbers._replace(theta=_scaled_theta(model, numbers.theta, place, factor))
    return numbers


def _scaled_theta(model: LSTM, theta: np.ndarray, place: str, factor: float) -> np.ndarray:
    rng, model = np.random.default_rng(3), of(model.spec, model.network.backend.name, theta)
    for name in model.params:
        kind = {"w": "weights", "b": "biases"}.get(name.removeprefix("head_")[0], "others")
        if kind == place:
            value = model.params[name].astype(float)
            value = rng.standard_normal(value.shape) if kind != "weights" else value
            model.params[name] = (factor * value).astype(theta.dtype)
    return model.theta.copy()


def of(spec: Any, backend: str, theta: np.ndarray) -> LSTM:
    """A model of a spec with these parameters."""
    return LSTM.from_spec(spec, backend, theta.astype(spec.dtype))


def results(model: LSTM, numbers: Numbers) -> dict[str, np.ndarray]:
    """Every quantity by name, through the public doors."""
    Y, pullback = model.vjp(numbers.X, numbers.state)
    _, final = model.forward(numbers.X, numbers.state)
    gradients = pullback(numbers.dY, numbers.dstate)
    _, (tangent, dfinal) = model.jvp(numbers.X, numbers.dX, state=numbers.state)
    return _named((Y, final), gradients, (tangent, dfinal))


def _named(values: Any, gradients: Any, tangents: Any) -> dict[str, np.ndarray]:
    """The quantities by name, of pairs of outputs and final states."""
    (Y, final), (tangent, dfinal) = values, tangents
    return {
        "Y": Y, "h": final.h, "c": final.c, "loss": np.abs(Y.astype(float)).sum(),
        "dtheta": gradients.theta, "dX": gradients.X,
        "dh": gradients.state.h, "dc": gradients.state.c,
        "tangent of Y": tangent, "tangent of h": dfinal.h, "tangent of c": dfinal.c,
    }  # fmt: skip


def compared(spec: Any, numbers: Numbers, found: Any = None) -> Outcome:
    """(error in units of the bar, quantity), or the text of a refusal; see the top of the file."""
    wide = np.float64
    with np.errstate(all="ignore"):
        try:
            found = results(of(spec, "cpu", numbers.theta), numbers) if found is None else found
        except ValueError as error:
            return str(error)
        truth = _definition(spec, numbers, wide)
        worst, where = 0.0, ""
        moved: list[Any] = []
        for name, expected in truth.items():
            error = norm(np.asarray(found[name], wide) - expected)
            bar = BAR * norm(expected) + _flushed(spec, numbers, expected)
            if name not in ("Y", "h", "c", "loss"):
                bar += _rounded(spec, numbers)
            if not error <= bar:
                moved = moved or [_definition(spec, _moved(numbers, n), spec.dtype) for n in (0, 1)]
                own = max(norm(np.asarray(m[name], wide) - expected) for m in moved if m)
                bar += 4 * own if np.isfinite(own) else 0
            ratio = error / max(bar, np.nextafter(0, 1)) if np.isfinite(error) else np.inf
            worst, where = max((worst, where), (float(ratio), name))
    return worst, where


def _definition(spec: Any, numbers: Numbers, dtype: Any) -> Any:
    """The quantities of the definition in a dtype, without the checks of the doors."""
    dtype = np.dtype(dtype)
    network = network_on(replace(spec, dtype=dtype.name), "reference")

    def cast(value: Any) -> Any:
        return State(*map(cast, value)) if isinstance(value, State) else value.astype(dtype)

    theta, X, state, dY, dstate, dX = map(cast, numbers)
    weights = network.pack(theta)
    Y, final, tape = network.forward(weights, X, state, tape=True)
    gradients = network.backward(weights, tape, dY, dstate, need_dX=True)
    run = derivatives.Run(theta, X, state, None, None)
    along = derivatives.Direction(X=dX)
    _, (tangent, dfinal) = derivatives.jvp(network, run, along)
    return _named((Y, final), gradients, (tangent, dfinal))


def _moved(numbers: Numbers, seed: int) -> Numbers:
    """Every number moved by up to a unit in its last place."""
    rng = np.random.default_rng(seed)

    def moved(value: Any) -> Any:
        if isinstance(value, State):
            return State(*map(moved, value))
        step = np.finfo(value.dtype).eps * rng.uniform(-1, 1, value.shape)
        return (value * (1 + step)).astype(value.dtype)

    return Numbers(*map(moved, numbers))


def _largest(*arrays: np.ndarray) -> float:
    return max(1.0, *(float(np.abs(array).max(initial=0)) for array in arrays))


def _flushed(spec: Any, numbers: Numbers, expected: np.ndarray) -> float:
    arrays = [*numbers[:2], *numbers.state, numbers.dY, *numbers.dstate]
    tiny = float(np.finfo(spec.dtype).tiny)
    return 100 * tiny * _largest(*arrays) * float(np.sqrt(np.size(expected)))


def _rounded(spec: Any, numbers: Numbers) -> float:
    largest = _largest(*numbers[:2], *numbers.state)
    along = sum(norm(array) for array in (numbers.dY, *numbers.dstate, numbers.dX))
    eps, power = float(np.finfo(spec.dtype).eps), 3 if spec.proj_size else 1
    if largest > 1e11:
        return 0.0
    return 4 * (eps * largest**power if largest < 1e5 else eps**2 * largest) * along


def norm(value: Any) -> float:
    """The L2 norm, whose squares do not overflow."""
    largest = float(np.abs(value).max(initial=0))
    if not np.isfinite(largest) or largest == 0:
        return largest
    return float(np.linalg.norm(np.ravel(value) / largest)) * largest


# --- for the scripts in stress/ -------------------------------------------------------------------


def main(description: str, groups: dict[str, Callable[[str], Iterable[Case]]]) -> int:
    """Run groups of cases by the arguments of the command line; 1 where one missed the bar."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=groups, default=list(groups))
    parser.add_argument("--dtype", nargs="+", choices=list(FACTORS), default=list(FACTORS))
    parser.add_argument("--verbose", action="store_true", help="print every case")
    chosen, missed = parser.parse_args(), 0
    warnings.simplefilter("error")
    for group in chosen.only:
        for dtype in chosen.dtype:
            missed += run(f"{group}, {dtype}", groups[group](dtype), chosen.verbose)
    return int(missed > 0)


def run(title: str, cases: Iterable[Case], verbose: bool) -> int:
    """Run a group, and print its misses, its worst error and its refusals."""
    start, worst, refused, missed, count = time.time(), (0.0, ""), 0, 0, 0
    for name, case in cases:
        count += 1
        try:
            outcome = case()
        except Exception as error:
            outcome = (np.inf, f"{type(error).__name__}: {error}")
            if isinstance(error, ValueError) and "beyond the range of" in str(error):
                outcome = str(error)
        if isinstance(outcome, str):
            refused, is_miss, text = refused + 1, False, f"refused: {outcome}"
        else:
            is_miss, text = not outcome[0] <= 1, f"{BAR * outcome[0]:.1e} ({outcome[1]})"
            worst = max(worst, (outcome[0], name))
        missed += is_miss
        if verbose or is_miss:
            print(f"    {name}: {text}", flush=True)
    summary = f"worst {BAR * worst[0]:.1e} ({worst[1]})"
    counts = f"{count} cases, {refused} refused, {missed} missed"
    print(f"{title}: {counts}, {summary}, {time.time() - start:.0f} s", flush=True)
    return missed

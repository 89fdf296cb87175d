"""Derivatives of a whole network: along a direction, and the Jacobians that are made of them.

Forward mode is `Network.tangents`, reverse mode `Network.backward`. Rows do not depend on each
other, so that directions are taken as further rows of the batch. In Jacobians a row's state is one
vector: h of all layers, then c of all layers.
"""

from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from numlstm.architecture.spec import Gradients, NetworkSpec, State, StaticGradients
from numlstm.network.network import Network, with_tangent
from numlstm.utils.types import Array

_HELD = 2**22  # elements of hidden sequence that are held at once


Outputs: TypeAlias = tuple[Array, State]  # Y and the final state, or their derivatives


class Run(NamedTuple):
    """The parameters and inputs of a forward pass: the point at which derivatives are taken."""

    theta: Array  # (n,)
    X: Array  # (B, T, I)
    state: State | None  # None: the initial one
    lengths: Array | None  # (B,)
    reset: Array | None  # (B, T)
    static: Array | None = None  # (B, S)

    @property
    def options(self) -> dict[str, Any]:
        """What a forward pass is given by name."""
        return {"reset": self.reset, "static": self.static}


class Direction(NamedTuple):
    """A direction in the parameters and inputs of a forward pass; None is no change."""

    theta: Array | None = None
    X: Array | None = None
    state: State | None = None
    static: Array | None = None


def jvp(network: Network, run: Run, along: Direction) -> tuple[Outputs, Outputs]:
    """(Y, final state), and the derivative of both along a direction."""
    tangents = network.tangents
    theta = run.theta if along.theta is None else with_tangent(run.theta, along.theta)
    weights, state = tangents.pack(theta), run.state
    if along.state is not None:
        start = tangents.initial_state(weights, len(run.X)) if state is None else state
        state = State(
            *(with_tangent(a.real, a.imag + da) for a, da in zip(start, along.state, strict=True))
        )
    X = with_tangent(run.X, along.X)
    options = run.options
    if run.static is not None:
        options["static"] = with_tangent(run.static, along.static)
    Y, final, _ = tangents.forward(weights, X, state, run.lengths, **options)
    values = Y.real.copy(), State(*(part.real.copy() for part in final))
    return values, (Y.imag.copy(), State(*(part.imag.copy() for part in final)))


def jacobian(network: Network, run: Run, of: str, wrt: str) -> Array:
    """(B, ...of, ...wrt): every number of an output by every number of an input."""
    batch, steps, inputs = run.X.shape
    states = state_size(network)
    outs = {"y": (steps, network.spec.width), "state": (states,)}[of]
    ins = {
        "X": (steps, inputs),
        "state": (states,),
        "theta": run.theta.shape,
        "static": (network.spec.static_size or 0,),
    }[wrt]
    result = np.zeros((batch, int(np.prod(outs)), int(np.prod(ins))), run.X.dtype)
    if result.size == 0:
        pass
    elif wrt == "theta" and result.shape[2] <= batch * result.shape[1]:
        _by_parameter(network, run, of, result)
    elif wrt == "theta":
        _by_output_and_row(network, run, of, result)
    elif result.shape[2] <= 2 * result.shape[1]:
        _by_input(network, run, of, wrt, result)
    else:
        _by_output(network, run, of, wrt, result)
    return result.reshape(batch, *outs, *ins)


def state_size(network: Network) -> int:
    """Length of a row's state as a vector."""
    layer = network.spec.layers[0]
    return len(network.spec.layers) * (layer.output_size + layer.hidden_size)


def as_vectors(state: State) -> Array:
    """(B, S) from h (layers, B, P) and c (layers, B, H)."""
    layers, batch, _ = state.h.shape
    parts = [part.swapaxes(0, 1).reshape(batch, layers * part.shape[2]) for part in state]
    return np.concatenate(parts, axis=1)


def as_state(network: Network, vectors: Array) -> State:
    """The mirror of `as_vectors`."""
    layers, layer = len(network.spec.layers), network.spec.layers[0]
    parts = np.split(vectors, [layers * layer.output_size], axis=1)
    shapes = ((len(vectors), layers, size) for size in (layer.output_size, layer.hidden_size))
    swapped = (a.reshape(shape).swapaxes(0, 1) for a, shape in zip(parts, shapes, strict=True))
    return State(*(part.copy() for part in swapped))


class Linearised(NamedTuple):
    """Every step as a linear system: how its state changes with the one before and the inputs."""

    by_state: Array  # (B, T, S, S)
    by_X: Array  # (B, T, S, I)


def transitions(network: Network, run: Run) -> Array:
    """(B, T, S, S): the state after every step by the state before it."""
    return linearised(network, run, need_X=False).by_state


def linearised(network: Network, run: Run, *, need_X: bool = True) -> Linearised:
    """The state after every step by the state before it, and by the step's inputs if needed."""
    size, inputs = state_size(network), run.X.shape[2] if need_X else 0
    kernels = network.backend.transitions() if _units_are_apart(network.spec) else None
    if kernels is None or not run.X.size:
        J = _step_by_step(network, run, inputs)
        return Linearised(J[..., :size], J[..., size:])
    J = _by_tape(network, kernels, run, inputs)
    steps = np.arange(run.X.shape[1])
    if run.reset is not None:
        J[..., :size][run.reset] = 0
    if run.lengths is not None:
        J[steps >= run.lengths[:, None]] = np.eye(size, size + inputs)
    return Linearised(J[..., :size], J[..., size:])


def states_before(network: Network, run: Run) -> Array:
    """(B, T, S): the state before every step."""
    (batch, steps, _), weights = run.X.shape, network.pack(run.theta)
    state = network.initial_state(weights, batch) if run.state is None else run.state
    before = np.empty((batch, steps, state_size(network)), run.X.dtype)
    for t in range(steps):
        before[:, t] = as_vectors(state)
        _, state, _ = network.forward(weights, run.X[:, t : t + 1], state, **_options(run, t))
    return before


def _units_are_apart(spec: NetworkSpec) -> bool:
    """Whether within a step no unit of a layer sees another one but through its gates' products."""
    rates = spec.dropout
    return not (spec.cell.layer_norm or spec.proj_size or rates.zoneout_h or rates.zoneout_c)


def _by_tape(network: Network, kernels: ModuleType, run: Run, inputs: int) -> Array:
    """(B, T, S, S + I) from one forward pass, layer upon layer; see `_units_are_apart`."""
    (batch, steps, _), spec = run.X.shape, network.spec
    layers, H, size = len(spec.layers), spec.hidden_size, state_size(network)
    weights = network.pack(run.theta)
    given = weights, run.X, run.state, run.lengths
    _, _, tape = network.forward(*given, tape=True, **run.options)
    J, below = np.zeros((batch, steps, 2, layers, H, size + inputs), run.X.dtype), None
    for index, layer in enumerate(spec.layers):
        part, width = J[:, :, :, index], layer.input_size if index else inputs
        by_X = np.zeros((batch, steps, 2, H, width), run.X.dtype)
        kernels.fill(layer, weights.layers[index], tape.layers[index], index, J, by_X)
        if below is not None:
            part += by_X @ below[:, :, None]
        elif inputs:
            part[..., size:] = by_X
        residual = spec.residual and below is not None
        below = below + part[:, :, 0] if residual else part[:, :, 0]
    return J.reshape(batch, steps, size, size + inputs)


def _step_by_step(network: Network, run: Run, inputs: int) -> Array:
    """(B, T, S, S + I) by directions, as rows, through every step from the state before it."""
    batch, steps, _ = run.X.shape
    size = state_size(network)
    J = np.zeros((batch, steps, size, size + inputs), run.X.dtype)
    if not batch * steps:
        return J
    vectors = states_before(network, run).reshape(batch * steps, size)
    lengths = None
    if run.lengths is not None:
        lengths = (np.arange(steps) < run.lengths[:, None]).astype(np.int64).ravel()
    reset = None if run.reset is None else run.reset.reshape(-1, 1)
    X = run.X.reshape(batch * steps, 1, -1)
    static = None if run.static is None else np.repeat(run.static, steps, axis=0)
    each = Run(run.theta, X, as_state(network, vectors), lengths, reset, static)
    J[..., :size] = jacobian(network, each, "state", "state").reshape(batch, steps, size, size)
    if inputs:
        J[..., size:] = jacobian(network, each, "state", "X").reshape(batch, steps, size, inputs)
    return J


def _options(run: Run, t: int) -> dict[str, Any]:
    """Lengths and resets of the one step t."""
    return {
        "lengths": None if run.lengths is None else (run.lengths > t).astype(np.int64),
        "reset": None if run.reset is None else run.reset[:, t : t + 1],
        "static": run.static,
    }


def _by_parameter(network: Network, run: Run, of: str, result: Array) -> None:
    """Forward mode, a parameter at a time."""
    for index in range(run.theta.size):
        along = np.zeros_like(run.theta)
        along[index] = 1
        _, (dY, dstate) = jvp(network, run, Direction(theta=along))
        result[:, :, index] = _chosen(of, dY, dstate)


def _by_output_and_row(network: Network, run: Run, of: str, result: Array) -> None:
    """Reverse mode, an output of a row at a time: the gradient of theta is a sum over rows."""
    for row in range(len(run.X)):
        for part, gradients in _pullbacks(network, _rows(run, [row]), of, 1):
            result[row, part] = gradients.theta


def _by_input(network: Network, run: Run, of: str, wrt: str, result: Array) -> None:
    """Forward mode, directions as rows."""
    batch, _, count = result.shape
    for part in _parts(network, run, count):
        along = np.eye(count, dtype=run.X.dtype)[part]
        many = _rows(run, np.repeat(np.arange(batch), len(along)))
        along = np.tile(along, (batch, 1))
        direction = _direction(network, many, wrt, along)
        _, (dY, dstate) = jvp(network, many, direction)
        columns = _chosen(of, dY, dstate).reshape(batch, -1, result.shape[1])
        result[:, :, part] = columns.swapaxes(1, 2)


def _direction(network: Network, run: Run, wrt: str, along: Array) -> Direction:
    """The direction in one of the inputs that has these rows."""
    if wrt == "X":
        return Direction(X=along.reshape(run.X.shape))
    return Direction(static=along) if wrt == "static" else Direction(state=as_state(network, along))


def _by_output(network: Network, run: Run, of: str, wrt: str, result: Array) -> None:
    """Reverse mode, outputs as rows."""
    batch, count, _ = result.shape
    for part in _parts(network, run, count):
        size = part.stop - part.start
        many = _rows(run, np.repeat(np.arange(batch), size))
        [(_, gradients)] = _pullbacks(network, many, of, size, part)
        columns = as_vectors(gradients.state) if wrt == "state" else getattr(gradients, wrt)
        result[:, part] = columns.reshape(batch, size, -1)


def _pullbacks(
    network: Network, run: Run, of: str, size: int, only: slice | None = None
) -> Iterator[tuple[slice, Gradients | StaticGradients]]:
    """(outputs, their gradients): `size` outputs at once, of every group of so many rows."""
    weights = network.pack(run.theta)
    given = weights, run.X, run.state, run.lengths
    Y, _, tape = network.forward(*given, tape=True, **run.options)
    count = Y[0].size if of == "y" else state_size(network)
    groups = len(run.X) // size
    for part in [only] if only else [slice(k, k + size) for k in range(0, count, size)]:
        along = np.tile(np.eye(count, dtype=Y.dtype)[part], (groups, 1))
        if of == "y":
            gradients = network.backward(weights, tape, along.reshape(Y.shape), need_dX=True)
        else:
            nothing, dstate = np.zeros_like(Y), as_state(network, along)
            gradients = network.backward(weights, tape, nothing, dstate, need_dX=True)
        yield part, gradients


def _chosen(of: str, dY: Array, dstate: State) -> Array:
    return dY.reshape(len(dY), -1) if of == "y" else as_vectors(dstate)


def _rows(run: Run, index: Any) -> Run:
    """Some rows of a run, as often as they are named."""
    state = run.state and State(*(part[:, index] for part in run.state))
    rest = (run.lengths, run.reset, run.static)
    lengths, reset, static = (None if each is None else each[index] for each in rest)
    return Run(run.theta, run.X[index], state, lengths, reset, static)


def _parts(network: Network, run: Run, count: int) -> Iterator[slice]:
    """Directions that fit the memory together."""
    spec, (batch, steps, _) = network.spec, run.X.shape
    each = batch * steps * spec.hidden_width * spec.num_layers
    size = max(1, _HELD // max(1, each))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))

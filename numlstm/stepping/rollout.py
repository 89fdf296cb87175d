"""Sequences whose inputs are partly the network's own forecasts, and their gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.parameters import split
from numlstm.architecture.spec import Gradients, NetworkSpec, State
from numlstm.backends.cpu.codegen.packing import blocks, sum_in_order
from numlstm.backends.cpu.codegen.parallel import call
from numlstm.backends.cpu.launch import uniform
from numlstm.backends.cpu.layer.shards import shard_count
from numlstm.data import sequences
from numlstm.stepping.kernels import closed_loop as kernels
from numlstm.stepping.stepper import Stepper
from numlstm.utils import checks
from numlstm.utils.types import Array


class RolloutGradients(NamedTuple):
    """Gradients that the pullback of a rollout returns.

    Attributes
    ----------
    theta : ndarray, shape (n,)
        Gradient with respect to the flat parameter vector.
    X_warm : ndarray, shape of X_warm with its features, (B, T, I) or (T, I)
        With respect to what was observed.
    exogenous : ndarray, shape (B, S, I - O) or (S, I - O)
        With respect to the exogenous inputs; of the last, which is not used, zero.
    """

    theta: Array
    X_warm: Array
    exogenous: Array


class Tape(NamedTuple):
    """Record of `forward` for `backward`."""

    series: kernels.Series
    states: kernels.States
    groups: int


def forward(
    stepper: Stepper, spec: NetworkSpec, X: Array, fed: Array, state: State | None, tape: bool
) -> tuple[Array, State, Any]:
    """(Y (B, T, O), final state, tape or None) of X (B, T, I).

    Where fed (B, T) is True the first O features of X are not read: they are the output of the step
    before.
    """
    batch, steps, _ = X.shape
    groups = shard_count(spec.layers[0], batch, plain=False)
    per_group = blocks(batch, groups)
    state = stepper.initial_state(batch) if state is None else state
    running = _running(state, per_group, X, stepper.output_size)
    Y = np.empty((batch, steps, stepper.output_size), X.dtype)
    series = kernels.Series(uniform(X), np.array(fed, np.uint8), Y)
    counts = [part.size * steps if tape else 0 for part in (running.h, running.c)]
    states = kernels.States(*(np.empty(count, X.dtype) for count in counts))
    if batch:
        work = batch * steps * spec.num_parameters
        call(kernels.forward, groups, work, stepper.memory, per_group, series, running, states)
    return Y, _state_of(running, state, per_group), Tape(series, states, groups) if tape else None


def backward(stepper: Stepper, spec: NetworkSpec, tape: Tape, dY: Array) -> Gradients:
    """Gradients of theta, X and the initial state; the stepper must have derivatives."""
    X = tape.series.X
    batch, steps, _ = X.shape
    per_group = blocks(batch, tape.groups)
    zeros = State(*(np.zeros_like(part) for part in stepper.initial_state(batch)))
    running = _running(zeros, per_group, X, stepper.output_size)
    dthetas = np.zeros((tape.groups, spec.num_parameters), X.dtype)
    gradient = kernels.Gradient(uniform(dY), np.empty_like(X), dthetas, running)
    if batch:
        work = 6 * batch * steps * spec.num_parameters
        given = stepper.memory, per_group, tape.series, tape.states, gradient
        call(kernels.backward, tape.groups, work, *given)
    return Gradients(sum_in_order(dthetas), gradient.dX, _state_of(running, zeros, per_group))


def add_initial(spec: NetworkSpec, dtheta: Array, dstate: State) -> None:
    """Add the gradient of the initial state, where that is learned, to the one of theta."""
    views = split(spec.shapes, dtheta)
    for index in range(len(spec.layers) if spec.learned_state else 0):
        for name, part in zip("hc", dstate, strict=True):
            views[f"initial_{name}_l{index}"][...] += part[index].sum(axis=0)


def _running(state: State, per_group: int, X: Array, outputs: int) -> kernels.Running:
    """The state with the rows of a group together, and room for an input and an output."""
    batch, _, inputs = X.shape
    h, c = (
        np.concatenate([part[:, rows].ravel() for rows in _groups(batch, per_group)])
        for part in state
    )
    return kernels.Running(
        h, c, np.empty((batch, inputs), X.dtype), np.empty((batch, outputs), X.dtype)
    )


def _state_of(running: kernels.Running, like: State, per_group: int) -> State:
    """The mirror of `_running`."""
    parts = []
    for flat, part in zip(running[:2], like, strict=True):
        layers, batch, size = part.shape
        rows = [
            flat[group.start * layers * size : group.stop * layers * size].reshape(layers, -1, size)
            for group in _groups(batch, per_group)
        ]
        parts.append(np.concatenate(rows, axis=1))
    return State(*parts)


def _groups(batch: int, per_group: int) -> list[slice]:
    return [slice(n, min(n + per_group, batch)) for n in range(0, max(batch, 1), max(per_group, 1))]


# --- free-running forecasts -----------------------------------------------------------------------


class RolloutInputs(NamedTuple):
    """Inputs of a rollout."""

    X: np.ndarray  # (B, T + S - 1, I), zero where forecasts are fed
    fed: np.ndarray  # (B, T + S - 1)
    warm: int  # T
    single: bool  # one series, without an axis for the batch

    def forecasts(self, Y: np.ndarray) -> np.ndarray:
        """The forecasts among all outputs, in the user's layout."""
        later = np.ascontiguousarray(Y[:, self.warm - 1 :])
        return later[0] if self.single else later


def read_rollout_inputs(
    spec: NetworkSpec, X_warm: Any, steps: Any, exogenous: Any
) -> RolloutInputs:
    """The arguments of a rollout, checked."""
    steps = checks.size("steps", steps)
    observed, lengths, form = sequences.read_inputs(X_warm, spec.input_size, spec.dtype)
    batch, warm, features = observed.shape
    if lengths is not None or warm == 0:
        raise ValueError(
            "X_warm must hold at least one step, and the same number for every sequence; run "
            "series of different lengths one by one"
        )
    single, others = form.kind == "series", features - spec.width
    X = np.zeros((batch, warm + steps - 1, features), observed.dtype)
    X[:, :warm] = observed
    if exogenous is not None:
        exogenous = checks.array("exogenous", exogenous, spec.dtype)
        shape = (batch, steps, others)
        if others == 1 and exogenous.ndim == 2 - single:  # one feature, as X may be (T,)
            exogenous = exogenous[..., None]
        checks.shape("exogenous", exogenous, shape[1:] if single else shape)
        X[:, warm:, spec.width :] = exogenous.reshape(shape)[:, :-1]
    elif others:
        raise ValueError(f"exogenous= must give the last {others} features of X_warm")
    fed = np.zeros(X.shape[:2], bool)
    fed[:, warm:] = True
    return RolloutInputs(X, fed, warm, single)


def rollout(stepper: Stepper, spec: NetworkSpec, inputs: RolloutInputs) -> np.ndarray:
    """The forecasts."""
    return inputs.forecasts(forward(stepper, spec, inputs.X, inputs.fed, None, False)[0])


def rollout_vjp(
    stepper: Stepper, spec: NetworkSpec, inputs: RolloutInputs
) -> tuple[np.ndarray, Callable[[Any], RolloutGradients]]:
    """The forecasts, and the function that pulls gradients back through them."""
    every, _, tape = forward(stepper, spec, inputs.X, inputs.fed, None, True)
    Y = inputs.forecasts(every)

    def pullback(dY: Any) -> RolloutGradients:
        dY = checks.array("dY", dY, spec.dtype, finite=False)
        checks.shape("dY", dY, Y.shape)
        of_every = np.zeros_like(every)
        of_every[:, inputs.warm - 1 :] = dY
        dtheta, dX, dstate = backward(stepper, spec, tape, of_every)
        add_initial(spec, dtheta, dstate)
        dwarm, dexogenous = dX[:, : inputs.warm].copy(), dX[:, inputs.warm :, spec.width :]
        dexogenous = np.pad(dexogenous, ((0, 0), (0, 1), (0, 0)))  # the last is not used
        parts = (dwarm[0], dexogenous[0]) if inputs.single else (dwarm, dexogenous)
        return RolloutGradients(dtheta, *parts)

    return Y, pullback

"""Sequences whose inputs are partly the network's own forecasts, and their gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.parameters import split
from numlstm.architecture.spec import Gradients, NetworkSpec, State, StaticGradients
from numlstm.backends.cpu.codegen.packing import blocks, sum_in_order
from numlstm.backends.cpu.codegen.parallel import call
from numlstm.backends.cpu.launch import uniform
from numlstm.backends.cpu.layer.shards import shard_count
from numlstm.data import sequences
from numlstm.data.attributes import read_static, require_static, static_for_network
from numlstm.data.fill_values import warn_of_filled_inputs, warn_of_filled_static
from numlstm.data.missing import network_inputs
from numlstm.data.scaling import Scaling
from numlstm.network.slices import slices
from numlstm.stepping.kernels import closed_loop as kernels
from numlstm.stepping.memory import Bound
from numlstm.stepping.stepper import Stepper, bound_nets, static_gradient
from numlstm.utils import checks
from numlstm.utils.interruptible import Runner
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


class StaticRolloutGradients(NamedTuple):
    """As `RolloutGradients`, of a network with attributes of whole sequences.

    Attributes
    ----------
    theta : ndarray, shape (n,)
        Gradient with respect to the flat parameter vector.
    X_warm : ndarray, shape (B, T, I) or (T, I)
        With respect to what was observed.
    exogenous : ndarray, shape (B, S, I - O) or (S, I - O)
        With respect to the exogenous inputs.
    static : ndarray, shape (B, A) or (A,)
        With respect to the attributes; (A,) of one series.
    """

    theta: Array
    X_warm: Array
    exogenous: Array
    static: Array


class Tape(NamedTuple):
    """Record of `forward` for `backward`."""

    series: kernels.Series
    states: kernels.States
    groups: int
    static: Array | None


def forward(
    stepper: Stepper,
    spec: NetworkSpec,
    X: Array,
    fed: Array,
    state: State | None,
    tape: bool,
    static: Array | None = None,
) -> tuple[Array, State, Any]:
    """(Y (B, T, O), final state, tape or None) of X (B, T, I) and static (B, S).

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
        nets = _nets(stepper, static, per_group).nets
        call(kernels.forward, groups, work, nets, per_group, series, running, states)
    kept = Tape(series, states, groups, static) if tape else None
    return Y, _state_of(running, state, per_group), kept


def backward(
    stepper: Stepper, spec: NetworkSpec, tape: Tape, dY: Array
) -> Gradients | StaticGradients:
    """Gradients of theta, X, the initial state, and attributes; the stepper needs derivatives."""
    X = tape.series.X
    batch, steps, _ = X.shape
    per_group = blocks(batch, tape.groups)
    zeros = State(*(np.zeros_like(part) for part in stepper.initial_state(batch)))
    running = _running(zeros, per_group, X, stepper.output_size)
    dthetas = np.zeros((tape.groups, spec.num_parameters), X.dtype)
    gradient = kernels.Gradient(uniform(dY), np.empty_like(X), dthetas, running)
    bound = _nets(stepper, tape.static, per_group, summed=True)
    if batch:
        work = 6 * batch * steps * spec.num_parameters
        given = bound.nets, per_group, tape.series, tape.states, gradient
        call(kernels.backward, tape.groups, work, *given)
    dstate = _state_of(running, zeros, per_group)
    gradients = Gradients(sum_in_order(dthetas), gradient.dX, dstate)
    if tape.static is None:
        return gradients
    return StaticGradients(*gradients, static_gradient(stepper, tape.static, bound.dterms))


def _nets(stepper: Stepper, static: Array | None, per_group: int, *, summed: bool = False) -> Bound:
    """The stepper's nets, one for every group of rows or for all."""
    if static is None:
        return Bound(stepper.memory[None], np.zeros((0, 0), stepper.dtype))
    return bound_nets(stepper, static, per_group=per_group, summed=summed)


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
    """Inputs of a rollout in the network's units, and the way back to those of the data."""

    X: np.ndarray  # (B, T + S - 1, I), zero where forecasts are fed
    static: np.ndarray | None  # (B, A) attributes
    fed: np.ndarray  # (B, T + S - 1)
    warm: int  # T
    single: bool  # one series, without an axis for the batch
    dtype: np.dtype  # of what is in the units of the data
    mean: np.ndarray  # (I,) of the inputs, float64
    scale: np.ndarray  # (I,)
    static_scale: np.ndarray | None  # (A,) of the attributes; None: 1

    def forecasts(self, Y: np.ndarray) -> np.ndarray:
        """The forecasts among all outputs, in the user's layout and units."""
        outputs = Y.shape[2]
        later = Y[:, self.warm - 1 :] * self.scale[:outputs] + self.mean[:outputs]
        return self._for_caller(later)

    def gradients(
        self, dtheta: np.ndarray, dX: np.ndarray, dstatic: np.ndarray | None, outputs: int
    ) -> RolloutGradients | StaticRolloutGradients:
        """What the caller gets of the gradients with respect to theta, X and attributes."""
        dX = dX / self.scale
        # the last exogenous inputs are not used
        dexogenous = np.pad(dX[:, self.warm :, outputs:], ((0, 0), (0, 1), (0, 0)))
        d_warm, d_exogenous = map(self._for_caller, (dX[:, : self.warm], dexogenous))
        if dstatic is None:
            return RolloutGradients(dtheta, d_warm, d_exogenous)
        unit = 1.0 if self.static_scale is None else self.static_scale
        d_static = self._for_caller(dstatic / unit)
        return StaticRolloutGradients(dtheta, d_warm, d_exogenous, d_static)

    def _for_caller(self, array: np.ndarray) -> np.ndarray:
        with checks.within_range("the result", self.dtype.name, "pass X_warm as float64"):
            array = np.ascontiguousarray(array, self.dtype)
        return array[0] if self.single else array


FIRST = 2.0**24  # multiply-adds of a first slice, of which nothing is known yet


def in_slices(
    runner: Runner, stepper: Stepper, spec: NetworkSpec, inputs: RolloutInputs
) -> np.ndarray:
    """The outputs at all steps, in slices of time between which Ctrl-C is heard.

    A slice begins with what the one before has forecast, as if it had been observed.
    """
    X, outputs = inputs.X, spec.width
    batch, steps, _ = X.shape
    Y = np.empty((batch, steps, outputs), spec.dtype)
    state: State | None = None
    for start, stop in slices(steps, int(FIRST / max(1, batch * spec.num_parameters))):
        now, fed = X[:, start:stop], inputs.fed[:, start:stop]
        if start > 0:
            now, fed = now.copy(), fed.copy()
            begin = fed[:, 0]
            now[begin, 0, :outputs] = Y[begin, start - 1]
            fed[:, 0] = False
        given = stepper, spec, now, fed, state, False, inputs.static
        extent = batch * (stop - start)
        Y[:, start:stop], state, _ = runner.run(forward, *given, extent=extent)
    return Y


def feedback(scaling: Scaling, outputs: int) -> Scaling | None:
    """What takes outputs from the network's units of the outputs to those of the inputs.

    None where they are the same, as after training on the next inputs.
    """
    x_mean, x_scale = scaling.x_mean[:outputs], scaling.x_scale[:outputs]
    factor, offset = scaling.of_outputs(outputs)
    factor, offset = factor / x_scale, (offset - x_mean) / x_scale
    if (factor == 1).all() and (offset == 0).all():
        return None
    size = scaling.x_mean.size
    return Scaling(np.zeros(size), np.ones(size), offset, factor)


def read_rollout_inputs(
    spec: NetworkSpec,
    scaling: Scaling | None,
    X_warm: Any,
    steps: int,
    exogenous: Any,
    static: Any = None,
) -> RolloutInputs:
    """The arguments of a rollout, checked; they are standardised before they are rounded."""
    size, width = spec.input_size, spec.width
    scaling = scaling or Scaling(np.zeros(size), np.ones(size))
    observed, lengths, form = sequences.read_inputs(X_warm, size)
    batch, warm, _ = observed.shape
    if lengths is not None or warm == 0:
        raise ValueError(
            "X_warm must hold at least one step, and the same number for every sequence; run "
            "series of different lengths one by one"
        )
    warn_of_filled_inputs("X_warm", observed)
    X = np.zeros((batch, warm + steps - 1, size), spec.dtype)
    X[:, :warm] = network_inputs(observed, None, scaling, spec.dtype)
    single = form.kind == "series"
    if exogenous is not None or size > width:
        given = _read_exogenous(exogenous, (batch, steps, size - width), single)
        warn_of_filled_inputs("exogenous", given)
        others = Scaling(scaling.x_mean[width:], scaling.x_scale[width:])
        X[:, warm:, width:] = network_inputs(given, None, others, spec.dtype)[:, :-1]
    fed = np.zeros(X.shape[:2], bool)
    fed[:, warm:] = True
    attributes = read_static(static, form)
    warn_of_filled_static("static", attributes, None)
    require_static(attributes, spec.static_size)
    attributes = static_for_network(attributes, scaling, spec.dtype)
    units = scaling.x_mean, scaling.x_scale, scaling.static_scale
    return RolloutInputs(X, attributes, fed, warm, single, observed.dtype, *units)


def _read_exogenous(exogenous: Any, shape: tuple[int, int, int], single: bool) -> np.ndarray:
    """The exogenous inputs as (B, S, I - O); one feature may lack the last axis, as X may."""
    wanted = shape[1:] if single else shape
    if exogenous is None:
        raise ValueError(
            f"exogenous= must give the last {shape[-1]} of the features, continued from X_warm: "
            f"a row for each of the {shape[1]} forecasts, shape {wanted}"
        )
    if shape[-1] == 0 and np.size(exogenous):
        raise ValueError(
            "this model has no features but those that it forecasts: leave exogenous= out, "
            f"received shape {np.shape(exogenous)}"
        )
    array = checks.array("exogenous", exogenous, None)
    if shape[-1] == 1 and array.ndim == 2 - single:
        array = array[..., None]
    checks.shape("exogenous", array, wanted)
    return array.reshape(shape)


def rollout_vjp(
    stepper: Stepper, spec: NetworkSpec, inputs: RolloutInputs
) -> tuple[np.ndarray, Callable[[Any], RolloutGradients | StaticRolloutGradients]]:
    """The forecasts, and the function that pulls gradients back through them.

    The stepper is one in the network's units, with its `feedback`.
    """
    every, _, tape = forward(stepper, spec, inputs.X, inputs.fed, None, True, inputs.static)
    Y = inputs.forecasts(every)

    def pullback(dY: Any) -> RolloutGradients | StaticRolloutGradients:
        dY = checks.array("dY", dY, "float64", finite=False)
        checks.shape("dY", dY, Y.shape)
        of_every = np.zeros_like(every)
        of_every[:, inputs.warm - 1 :] = dY * inputs.scale[: spec.width]
        dtheta, dX, dstate, *rest = backward(stepper, spec, tape, of_every)
        add_initial(spec, dtheta, dstate)
        return inputs.gradients(dtheta, dX, rest[0] if rest else None, spec.width)

    return Y, pullback

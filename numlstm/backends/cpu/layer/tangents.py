"""The contract over complex arrays: values and tangents through the kernels, in dual numbers.

The kernels of `plain_recurrence.py` and `recurrence.py` compile over dual numbers as they stand; a
plain cell with large weights goes through the latter. Here complex arrays are parted, and what
comes back is put together.
"""

from typing import Any

import numpy as np

from numlstm.architecture.spec import HeadSpec, LayerSpec
from numlstm.backends import numpy_arrays
from numlstm.backends.cpu import launch
from numlstm.backends.cpu.codegen import packing
from numlstm.backends.cpu.codegen.dual_numbers import DualArray, dual_array
from numlstm.backends.cpu.codegen.parallel import call
from numlstm.backends.cpu.layer import plain_recurrence, recurrence, shards
from numlstm.backends.cpu.layer.recurrence import Parameters
from numlstm.backends.cpu.layer.variant_arrays import parameters_of, put_gradients, switches_of
from numlstm.cell.encoding import encode

name, arrays = "cpu", numpy_arrays

WORK = 3  # products for one of real numbers


# --- layer ----------------------------------------------------------------------------------------


def pack_layer(spec: LayerSpec, theta) -> launch.LayerWeights:
    """Values and tangents alike, as packing is linear; real parameters stay real: constants."""
    if not np.iscomplexobj(theta):
        return launch.pack_layer(spec, theta)
    parts = dual_array(theta)
    value, tangent = (launch.pack_layer(spec, part) for part in parts[:2])
    return value._replace(theta=parts, panels=_joined(value.panels, tangent.panels))


def _parameters(spec: LayerSpec, theta) -> Parameters:
    """What the layer has beside its gates."""
    if not isinstance(theta, DualArray):
        return parameters_of(spec, theta)
    value, tangent = (parameters_of(spec, part) for part in theta[:2])
    return Parameters(*(_joined(*pair) for pair in zip(value, tangent, strict=True)))


def layer_forward(
    spec: LayerSpec, weights, X, state, lengths=None, *, tape=False, reset=None, noise=None
):
    """h_1..h_T of one layer, its final state, and the tape for `layer_backward`."""
    batch, steps, _ = X.shape
    plain = weights.plain and not shards.is_wide(spec, batch) and reset is None and noise is None
    plan = launch.plan_of(spec, weights, batch, steps, lengths, plain)
    Y, h_last, c_last = (
        _empty(shape, spec)
        for shape in (
            (batch, steps, spec.output_size),
            (batch, spec.output_size),
            (batch, spec.hidden_size),
        )
    )
    memory = _empty((plan.memory(tape),), spec)
    kernel, switches = plain_recurrence.forward, None
    variant: tuple[Any, ...] = ()
    if not plain:
        kernel, switches = recurrence.forward, switches_of(spec, reset, noise)
        variant = _parameters(spec, weights.theta), switches, encode(spec)
    given = (dual_array(array) for array in (X, *state))
    call(
        *(kernel, plan.tasks, WORK * plan.lines * weights.panels.size),
        *(plan.numbers, weights.panels, *variant, *given, Y, h_last, c_last, memory, tape),
    )
    kept = launch.LayerTape(plan, memory, switches) if tape else None
    return _complex(Y), (_complex(h_last), _complex(c_last)), kept


def layer_backward(spec: LayerSpec, weights, tape, dY, dstate, *, need_dX=True):
    """Gradients of theta (flat), X (or None) and the initial state; dY or dstate may be None."""
    plan, memory, switches = tape
    batch, steps = plan.batch, plan.steps
    dY = np.empty((0, 0, 0), spec.dtype) if dY is None else dY
    dstate = (np.empty((0, 0), spec.dtype),) * 2 if dstate is None else dstate
    dtheta = _zeros(weights.theta.shape, spec)
    dX = _empty((batch if need_dX else 0, steps, spec.input_size), spec)
    dh_0 = _empty((batch, spec.output_size), spec)
    dc_0 = _empty((batch, spec.hidden_size), spec)
    kernel = plain_recurrence.backward
    variant: tuple[Any, ...] = (_empty((plan.parts * weights.panels.size,), spec),)
    if switches is not None:
        parameters = _parameters(spec, weights.theta)
        dunit = _zeros((plan.parts, *parameters.unit.shape), spec)
        dout = _zeros((plan.parts, *parameters.back.shape), spec)
        kernel = recurrence.backward
        variant += parameters, switches, encode(spec), dunit, dout
    given = (dual_array(array) for array in (dY, *dstate))
    call(
        *(kernel, plan.tasks, 2 * WORK * plan.lines * weights.panels.size),
        *(plan.numbers, weights.theta, *given, memory, dtheta, dX, dh_0, dc_0, *variant),
    )
    if switches is not None:
        for part in range(2):
            put_gradients(spec, dtheta[part], dunit[part], dout[part])
    return _complex(dtheta), (_complex(dX) if need_dX else None), (_complex(dh_0), _complex(dc_0))


# --- head -----------------------------------------------------------------------------------------


def pack_head(spec: HeadSpec, theta) -> tuple:
    """Values and tangents alike."""
    return tuple(launch.pack_head(spec, part) for part in dual_array(theta)[:2])


def head_forward(spec: HeadSpec, weights, H):
    """y = W h + b over the last axis: y' = W h' + W' h + b'."""
    value, tangent = weights
    theta = value.theta.copy()
    theta[-spec.output_size :] = 0
    still = value._replace(theta=theta, bias=np.zeros_like(value.bias))
    H, dH, *_ = dual_array(H)
    moved = launch.head_forward(spec, still, dH) + launch.head_forward(spec, tangent, H)
    return _complex((launch.head_forward(spec, value, H), moved))


def head_backward(spec: HeadSpec, weights, H, dY):
    """Gradients of theta (flat) and of H, bilinear in the weights or H and dY."""
    value, tangent = weights
    H, moved_H, *_ = dual_array(H)
    dY, moved_dY, *_ = dual_array(dY)
    dtheta, dH = launch.head_backward(spec, value, H, dY)
    by_dY = launch.head_backward(spec, value, H, moved_dY)
    by_rest = launch.head_backward(spec, tangent, moved_H, dY)
    by_rest[0][-spec.output_size :] = 0  # the gradient of the bias has no H in it
    return _complex((dtheta, by_dY[0] + by_rest[0])), _complex((dH, by_dY[1] + by_rest[1]))


# --- values and tangents --------------------------------------------------------------------------


def _zeros(shape: tuple, spec: LayerSpec) -> DualArray:
    return _joined(packing.zeros(shape, spec.dtype), packing.zeros(shape, spec.dtype))


def _empty(shape: tuple, spec: LayerSpec) -> DualArray:
    return _joined(packing.empty(shape, spec.dtype), packing.empty(shape, spec.dtype))


def _joined(value: np.ndarray, tangent: np.ndarray) -> DualArray:
    return DualArray(value, tangent, value.size, value.shape)


def _complex(parts) -> np.ndarray:
    value, tangent = parts[:2]
    result = np.empty(value.shape, np.result_type(value, np.complex64))
    result.real, result.imag = value, tangent
    return result

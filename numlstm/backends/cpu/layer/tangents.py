"""The contract over complex arrays: values and tangents through the kernels, in dual numbers.

The kernels of `plain_recurrence.py` and `recurrence.py` compile over dual numbers as they stand; a
plain cell with large weights is a variant here. Complex arrays are split into values and tangents,
and the results joined.
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
from numlstm.backends.cpu.layer import row_terms as terms
from numlstm.backends.cpu.layer.recurrence import Parameters
from numlstm.backends.cpu.layer.variant_arrays import (
    layer_of,
    masks_of,
    parameters_of,
    put_gradients,
)

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
    """Parameters beside the weights of the gates."""
    if not isinstance(theta, DualArray):
        return parameters_of(spec, theta)
    value, tangent = (parameters_of(spec, part) for part in theta[:2])
    return Parameters(*(_joined(*pair) for pair in zip(value, tangent, strict=True)))


def layer_forward(
    spec: LayerSpec,
    weights,
    X,
    state,
    lengths=None,
    *,
    tape=False,
    reset=None,
    noise=None,
    row_terms=None,
):
    """h_1..h_T of one layer, its final state, and the tape for `layer_backward`."""
    batch, steps, _ = X.shape
    by_units = shards.is_by_units(spec, batch)
    plain = weights.plain and not by_units and reset is None and noise is None
    layout = launch.layout_of(spec, weights, batch, steps, lengths, plain)
    inputs = tuple(map(dual_array, (X, *state, terms.pack(spec, layout, row_terms))))
    outputs = (
        _empty((batch, steps, spec.output_size), spec),
        _empty((batch, spec.output_size), spec),
        _empty((batch, spec.hidden_size), spec),
    )
    memory = _empty((layout.memory(tape),), spec)
    kernel, masks = plain_recurrence.forward, None
    variant: tuple[Any, ...] = ()
    if not plain:
        kernel, masks = recurrence.forward, masks_of(spec, reset, noise)
        variant = (layer_of(spec, _parameters(spec, weights.theta), masks),)
    work = WORK * layout.lines * weights.panels.size
    given = layout.numbers, weights.panels, inputs, outputs, memory, tape, *variant
    call(kernel, layout.tasks, work, *given)
    kept = launch.LayerTape(layout, memory, masks, row_terms is not None) if tape else None
    Y, *final = map(_complex, outputs)
    return Y, tuple(final), kept


def layer_backward(spec: LayerSpec, weights, tape, dY, dstate, *, need_dX=True, need_dtheta=True):
    """As `launch.layer_backward`."""
    layout, memory, masks, has_terms = tape
    batch, steps = layout.batch, layout.steps
    dY = np.empty((0, 0, 0), spec.dtype) if dY is None else dY
    dstate = (np.empty((0, 0), spec.dtype),) * 2 if dstate is None else dstate
    dtheta = _zeros(weights.theta.shape if need_dtheta else (0,), spec)
    doutputs = tuple(map(dual_array, (dY, *dstate)))
    dinputs = (
        _empty((batch if need_dX else 0, steps, spec.input_size), spec),
        _empty((batch, spec.output_size), spec),
        _empty((batch, spec.hidden_size), spec),
        _zeros(terms.shape(spec, layout, has_terms), spec),
    )
    scratch = _empty((layout.parts * weights.panels.size * need_dtheta,), spec)
    kernel: Any = plain_recurrence.backward
    variant: tuple[Any, ...] = ()
    if masks is not None:
        kernel, parameters = recurrence.backward, _parameters(spec, weights.theta)
        dparameters = (
            _zeros((layout.parts, *parameters.unit.shape), spec),
            _zeros((layout.parts, *parameters.back.shape), spec),
        )
        variant = layer_of(spec, parameters, masks), dparameters
    work = (1 + need_dtheta) * WORK * layout.lines * weights.panels.size
    given = layout.numbers, weights.theta, memory, doutputs, dinputs, dtheta, scratch, *variant
    call(kernel, layout.tasks, work, *given)
    if masks is not None and need_dtheta:
        for part in range(2):
            put_gradients(spec, dtheta[part], *(each[part] for each in dparameters))
    dX, *dstate, dterms = map(_complex, dinputs)
    drow_terms = terms.unpack(spec, layout, dterms) if has_terms else None
    wanted = (_complex(dtheta) if need_dtheta else None), (dX if need_dX else None)
    return *wanted, tuple(dstate), drow_terms


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

"""The CPU backend: the contract of `numlstm.backends` over the kernels of this folder.

Here arrays are allocated, padded and counted; `layer.py` and `head.py` hold the arithmetic.
"""

import importlib
from typing import Any, NamedTuple

import numpy as np

from numlstm.backends.cpu import family, head, layer, packing, shards, weights, wide
from numlstm.backends.cpu.packing import blocks, empty, zeros
from numlstm.backends.cpu.parallel import driver_for
from numlstm.backends.cpu.shards import Shards
from numlstm.backends.cpu.variants import family_of, parameters_of, put_gradients, switches_of
from numlstm.backends.cpu.weights import Columns
from numlstm.params import split
from numlstm.spec import HeadSpec, LayerSpec

name = "cpu"

HEAD_ROWS = 512  # rows of a head per shard, at least
MAX_HEAD_SHARDS = 16


class LayerWeights(NamedTuple):
    """A layer's parameters: a copy of the flat block, and the panels of the forward pass."""

    theta: Any  # (n,)
    panels: Any  # (2U, K, W)


class LayerTape(NamedTuple):
    """What `layer_backward` needs to know of `layer_forward`."""

    plan: Shards
    memory: Any
    switches: Any  # resets and noise, or None for the kernels of the plain cell


class HeadWeights(NamedTuple):
    """A head's parameters, packed for both passes."""

    forward: Any  # (padded O / W, H, W)
    backward: Any  # (padded H / W, O, W)
    bias: Any  # (padded O,)


def require() -> None:
    """Nothing is missing: Numba is a requirement of the package."""


def tangents():
    """Derivatives along a direction, by the same kernels over dual numbers."""
    return importlib.import_module("numlstm.backends.cpu.forward_mode")


def asarray(array):
    """Backend memory is NumPy memory."""
    return np.asarray(array)


def to_numpy(array):
    """Backend memory is NumPy memory."""
    return np.asarray(array)


# --- layer ----------------------------------------------------------------------------------------


def pack_layer(spec: LayerSpec, theta):
    """Copy the parameters, and rearrange them for the forward pass."""
    lanes = packing.lanes(spec.dtype)
    shape = (2 * blocks(spec.hidden_size, lanes), 1 + spec.input_size + spec.output_size, 2 * lanes)
    packed = LayerWeights(np.array(theta), empty(shape, spec.dtype))
    with driver_for(2, packed.panels.size / 8) as driver:
        weights.pack(driver, shards.uniform(spec, 0, 0).numbers, *packed)
    return packed


def layer_forward(
    spec: LayerSpec, packed, X, state, lengths=None, *, tape=False, reset=None, noise=None
):
    """h_1..h_T of one layer, its final state, and the tape for `layer_backward`."""
    batch, steps, _ = X.shape
    plain = shards.is_plain(spec) and reset is None and noise is None
    if lengths is None:
        plan = shards.uniform(spec, batch, steps, plain)
    else:
        plan = shards.ragged(spec, lengths, steps, plain)
    Y = np.empty((batch, steps, spec.output_size), spec.dtype)
    h_last = np.empty((batch, spec.output_size), spec.dtype)
    c_last = np.empty((batch, spec.hidden_size), spec.dtype)
    memory = empty((plan.memory(tape),), spec.dtype)
    h, c = state
    inputs, results = (uniform(X), uniform(h), uniform(c)), (Y, h_last, c_last, memory, tape)
    switches = None
    with driver_for(plan.tasks, batch * steps * packed.panels.size) as driver:
        if plain:
            kernels = wide if plan.wide else layer
            kernels.forward(driver, plan.numbers, packed.panels, *inputs, *results)
        else:
            switches = switches_of(spec, reset, noise)
            variant = family_of(spec), packed.panels, parameters_of(spec, packed.theta), switches
            family.forward(driver, plan.numbers, *variant, *inputs, *results)
    return Y, (h_last, c_last), LayerTape(plan, memory, switches) if tape else None


def layer_backward(spec: LayerSpec, packed, tape, dY, dstate, *, need_dX=True):
    """Gradients of theta (flat), X (or None) and the initial state; dY or dstate may be None."""
    plan, memory, switches = tape
    nothing = packed.theta[:0]
    dY = nothing.reshape(0, 0, 0) if dY is None else dY
    dh, dc = (nothing.reshape(0, 0),) * 2 if dstate is None else dstate
    batch, steps = plan.numbers[:2]
    dtheta = np.zeros(packed.theta.shape, spec.dtype)
    dX = np.empty((batch if need_dX else 0, steps, spec.input_size), spec.dtype)
    dh_0 = np.empty((batch, spec.output_size), spec.dtype)
    dc_0 = np.empty((batch, spec.hidden_size), spec.dtype)
    given, results = (uniform(dY), uniform(dh), uniform(dc), memory), (dX, dh_0, dc_0)
    with driver_for(plan.tasks, 2 * plan.lines * packed.panels.size) as driver:
        common = driver, plan.numbers
        if switches is not None:
            parameters = parameters_of(spec, packed.theta)
            dunit = zeros((plan.parts, *parameters.unit.shape), spec.dtype)
            dout = zeros((plan.parts, *parameters.back.shape), spec.dtype)
            variant = family_of(spec), packed.theta, parameters, switches
            family.backward(*common, *variant, *given, dtheta, dunit, dout, *results)
            put_gradients(spec, dtheta, dunit, dout)
        elif plan.wide:
            scratch = _scratch(spec, plan, packed.panels.shape, need_dX)
            wide.backward(*common, packed.theta, *given, dtheta, *results, scratch)
        else:
            layer.backward(*common, packed.theta, *given, dtheta, *results)
    return dtheta, (dX if need_dX else None), (dh_0, dc_0)


def _scratch(spec: LayerSpec, plan: Shards, shape, need_dX: bool) -> wide.Scratch:
    """The memory of a wide backward pass, for weights of a shape."""
    width, rows = packing.panel_width(spec.dtype), 4 * plan.gate
    h_panels = blocks(spec.hidden_size, width)
    x_panels = blocks(spec.input_size, width) if need_dX else 0
    groups = min(wide.MAX_GROUPS, h_panels)
    columns = Columns(
        empty((h_panels, rows, width), spec.dtype), empty((x_panels, rows, width), spec.dtype)
    )
    return wide.Scratch(
        empty((plan.lines, 4, plan.gate), spec.dtype),
        columns,
        empty(shape, spec.dtype),
        empty((groups, layer.LINES_OF_DZ, width), spec.dtype),
        empty((groups, plan.lines_of_chunk, x_panels * width), spec.dtype),
    )


# --- head -----------------------------------------------------------------------------------------


def pack_head(spec: HeadSpec, theta):
    """Rearrange the head's parameters for both passes."""
    views = split(spec.shapes, theta)
    width = packing.panel_width(spec.dtype)
    weight, bias = views["weight"], views["bias"]
    padded_bias = np.zeros(blocks(spec.output_size, width) * width, spec.dtype)
    padded_bias[: spec.output_size] = bias
    return HeadWeights(packing.panels(weight.T), packing.panels(weight), padded_bias)


def head_forward(spec: HeadSpec, packed, H):
    """y = W h + b over the last axis: H (..., H) -> (..., O)."""
    sizes, count = _head_rows(spec, H)
    Y = np.empty((sizes.rows, spec.output_size), spec.dtype)
    scratch = empty((count, head.CHUNK, len(packed.bias)), spec.dtype)
    rows = uniform(H.reshape(sizes.rows, sizes.inputs))
    with driver_for(count, sizes.rows * packed.forward.size) as driver:
        head.forward(driver, count, sizes, packed.forward, packed.bias, rows, Y, scratch)
    return Y.reshape(*H.shape[:-1], spec.output_size)


def head_backward(spec: HeadSpec, packed, H, dY):
    """Gradients of theta (flat) and of H."""
    sizes, count = _head_rows(spec, H)
    rows = uniform(H.reshape(sizes.rows, sizes.inputs))
    drows = uniform(dY.reshape(sizes.rows, sizes.outputs))
    panels, _, width = packed.forward.shape
    padded = len(packed.backward) * width
    gradient = head.HeadGradient(
        np.empty((sizes.rows, sizes.inputs), spec.dtype),
        zeros((count, *packed.forward.shape), spec.dtype),
        np.zeros((count, spec.output_size), spec.dtype),
        empty((count, head.CHUNK, padded), spec.dtype),
        zeros((count, panels, head.CHUNK, width), spec.dtype),
    )
    with driver_for(count, 2 * sizes.rows * packed.backward.size) as driver:
        head.backward(driver, count, sizes, packed.backward, rows, drows, gradient)
    dW, db = (packing.sum_in_order(parts) for parts in (gradient.dW, gradient.db))
    dW = dW.transpose(0, 2, 1).reshape(-1, spec.input_size)[: spec.output_size]
    return np.concatenate([dW.ravel(), db]), gradient.dH.reshape(H.shape)


def _head_rows(spec: HeadSpec, H) -> tuple[head.Rows, int]:
    rows = H.size // spec.input_size
    shards = max(1, min(MAX_HEAD_SHARDS, rows // HEAD_ROWS))
    per_shard = blocks(rows, shards)
    return head.Rows(rows, spec.input_size, spec.output_size, per_shard), shards


def uniform(array):
    """C-contiguous, aligned and writable, so that every input has one type for the compiler."""
    return np.require(array, requirements=["C", "A", "W"])

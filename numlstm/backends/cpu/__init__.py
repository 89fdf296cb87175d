"""The CPU backend: the contract of `numlstm.backends` over the kernels of this folder.

Here arrays are allocated, padded and counted; `layer.py` and `head.py` hold the arithmetic.
"""

from typing import Any, NamedTuple

import numpy as np

from numlstm.backends.cpu import head, layer, packing
from numlstm.backends.cpu.packing import blocks, empty, zeros
from numlstm.backends.cpu.parallel import driver_for
from numlstm.backends.cpu.shards import make_plan
from numlstm.params import split
from numlstm.spec import HeadSpec, LayerSpec

name = "cpu"

LINES_OF_DZ = 128  # lines of tape whose share of dW is computed in one product
HEAD_ROWS = 512  # rows of a head per shard, at least
MAX_HEAD_SHARDS = 16


class LayerWeights(NamedTuple):
    """A layer's parameters: a copy of the flat block, and the panels of the forward pass."""

    theta: Any  # (n,)
    panels: Any  # (2U, K, W)


class LayerTape(NamedTuple):
    """What `layer_backward` needs to know of `layer_forward`."""

    plan: layer.Plan
    tape: layer.Tape
    shape: tuple  # of X


class HeadWeights(NamedTuple):
    """A head's parameters, packed for both passes."""

    forward: Any  # (padded O / W, H, W)
    backward: Any  # (padded H / W, O, W)
    bias: Any  # (padded O,)


def require() -> None:
    """Nothing is missing: Numba is a requirement of the package."""


def asarray(array):
    """Backend memory is NumPy memory."""
    return np.asarray(array)


def to_numpy(array):
    """Backend memory is NumPy memory."""
    return np.asarray(array)


# --- layer ----------------------------------------------------------------------------------------


def pack_layer(spec: LayerSpec, theta):
    """Copy the parameters, and rearrange them for the forward pass."""
    theta = np.array(theta)
    return LayerWeights(theta, packing.gate_panels(spec, theta))


def layer_forward(spec: LayerSpec, weights, X, state, lengths=None, *, tape=False):
    """h_1..h_T of one layer, its final state, and the tape for `layer_backward`."""
    X = _readable(X)
    batch, steps, _ = X.shape
    plan = make_plan(spec, lengths, batch, steps)
    shards = len(plan.place) - 1
    carry = _carry(plan, state, spec)
    kept = _tape(plan, int(plan.line[-1, -1]) if tape else batch, carry, spec)
    new_array = np.empty if lengths is None else np.zeros
    Y = new_array((batch, steps, spec.hidden_size), spec.dtype)
    with driver_for(shards, batch * steps * weights.panels.size) as driver:
        layer.forward(driver, shards, plan, weights.panels, X, Y, carry, kept, tape)
    return Y, _state(plan, carry), LayerTape(plan, kept, X.shape) if tape else None


def layer_backward(spec: LayerSpec, weights, tape, dY, dstate, *, need_dX=True):
    """Gradients of theta (flat), X (or None) and the initial state; dY or dstate may be None."""
    plan, kept, (batch, steps, inputs) = tape
    shards, width = len(plan.place) - 1, packing.panel_width(spec.dtype)
    dY = _readable(np.empty((0, 0, 0), spec.dtype) if dY is None else dY)
    carry = _carry(plan, dstate, spec)
    columns = _columns(spec, weights.theta, need_dX)
    padded = blocks(inputs, width) * width if need_dX else 0
    capacity = max(LINES_OF_DZ, int(np.diff(plan.place).max(initial=0)))
    panels = len(weights.panels)
    gradient = layer.Gradient(
        np.zeros((batch, steps, inputs) if need_dX else (0, 0, 0), spec.dtype),
        empty((batch, padded), spec.dtype),
        zeros((shards, *weights.panels.shape), spec.dtype),
        empty((shards, panels, capacity, width), spec.dtype),
    )
    with driver_for(shards, 2 * batch * steps * weights.panels.size) as driver:
        layer.backward(driver, shards, plan, columns, dY, carry, kept, gradient)
    dtheta = packing.unpack_gradient(spec, gradient.dW)
    return dtheta, (gradient.dX if need_dX else None), _state(plan, carry)


def layer_step(spec: LayerSpec, weights, x, state):
    """(h, c) after one step, all rows in one shard; the bits of `layer_forward`."""
    h, c = state
    h, c = layer.step(weights.panels, _readable(x[:, None]), _readable(h), _readable(c))
    return h[:, 0], c


def _carry(plan: layer.Plan, state, spec: LayerSpec) -> layer.Carry:
    """The state (or its gradient; None is zero) by place, padded to whole panels."""
    lanes, width = packing.lanes(spec.dtype), packing.panel_width(spec.dtype)
    batch, units = len(plan.order), plan.units
    both = zeros((2, batch, blocks(units, width) * width), spec.dtype)
    if state is not None:
        for padded, values in zip(both, state, strict=True):
            padded[:, :units] = np.asarray(values)[plan.order]
    return layer.Carry(
        both[0], both[1], empty((batch, 4 * lanes * blocks(units, lanes)), spec.dtype)
    )


def _state(plan: layer.Plan, carry: layer.Carry) -> tuple:
    """(h, c) back in the caller's order."""
    both = []
    for padded in (carry.h, carry.c):
        values = np.empty((len(plan.order), plan.units), padded.dtype)
        values[plan.order] = padded[:, : plan.units]
        both.append(values)
    return tuple(both)


def _tape(plan: layer.Plan, lines: int, carry: layer.Carry, spec: LayerSpec) -> layer.Tape:
    lanes = packing.lanes(spec.dtype)
    padded = lanes * blocks(plan.units, lanes)
    per_line = packing.CACHE_LINE // np.dtype(spec.dtype).itemsize
    stride = blocks(1 + plan.inputs + padded, per_line)
    stride += 1 - stride % 2  # an odd number of cache lines: consecutive lines use different sets
    return layer.Tape(
        empty((lines, stride * per_line), spec.dtype),
        empty((lines, 5 * padded), spec.dtype),
        carry.c.copy(),
    )


def _columns(spec: LayerSpec, theta, need_dX: bool) -> layer.Columns:
    views = split(spec.shapes, theta)
    nothing = theta[:0].reshape(4 * spec.hidden_size, 0)
    weight_ih = views["weight_ih"] if need_dX else nothing
    return layer.Columns(packing.panels(views["weight_hh"]), packing.panels(weight_ih))


# --- head -----------------------------------------------------------------------------------------


def pack_head(spec: HeadSpec, theta):
    """Rearrange the head's parameters for both passes."""
    views = split(spec.shapes, theta)
    width = packing.panel_width(spec.dtype)
    weight, bias = views["weight"], views["bias"]
    padded_bias = np.zeros(blocks(spec.output_size, width) * width, spec.dtype)
    padded_bias[: spec.output_size] = bias
    return HeadWeights(packing.panels(weight.T), packing.panels(weight), padded_bias)


def head_forward(spec: HeadSpec, weights, H):
    """y = W h + b over the last axis: H (..., H) -> (..., O)."""
    sizes, shards = _head_rows(spec, H)
    Y = np.empty((sizes.rows, spec.output_size), spec.dtype)
    scratch = empty((shards, head.CHUNK, len(weights.bias)), spec.dtype)
    rows = _readable(H.reshape(sizes.rows, sizes.inputs))
    with driver_for(shards, sizes.rows * weights.forward.size) as driver:
        head.forward(driver, shards, sizes, weights.forward, weights.bias, rows, Y, scratch)
    return Y.reshape(*H.shape[:-1], spec.output_size)


def head_backward(spec: HeadSpec, weights, H, dY):
    """Gradients of theta (flat) and of H."""
    sizes, shards = _head_rows(spec, H)
    rows = _readable(H.reshape(sizes.rows, sizes.inputs))
    drows = _readable(dY.reshape(sizes.rows, sizes.outputs))
    panels, _, width = weights.forward.shape
    padded = len(weights.backward) * width
    gradient = head.HeadGradient(
        np.empty((sizes.rows, sizes.inputs), spec.dtype),
        zeros((shards, *weights.forward.shape), spec.dtype),
        np.zeros((shards, spec.output_size), spec.dtype),
        empty((shards, head.CHUNK, padded), spec.dtype),
        zeros((shards, panels, head.CHUNK, width), spec.dtype),
    )
    with driver_for(shards, 2 * sizes.rows * weights.backward.size) as driver:
        head.backward(driver, shards, sizes, weights.backward, rows, drows, gradient)
    dW, db = (packing.sum_in_order(parts) for parts in (gradient.dW, gradient.db))
    dW = dW.transpose(0, 2, 1).reshape(-1, spec.input_size)[: spec.output_size]
    return np.concatenate([dW.ravel(), db]), gradient.dH.reshape(H.shape)


def _head_rows(spec: HeadSpec, H) -> tuple[head.Rows, int]:
    rows = H.size // spec.input_size
    shards = max(1, min(MAX_HEAD_SHARDS, rows // HEAD_ROWS))
    per_shard = blocks(rows, shards)
    return head.Rows(rows, spec.input_size, spec.output_size, per_shard), shards


def _readable(array):
    """C-contiguous and read-only, so that every input has one type for the compiler."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view

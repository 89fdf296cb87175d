"""How the kernels of a layer and of a head are launched.

Arrays are allocated, padded and counted here, and the kernels chosen: `plain_recurrence.py` for a
plain layer in shards of rows, `recurrence_by_units.py` in shards of units, `recurrence.py` for
every variant, `head.py`.
"""

from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.parameters import split
from numlstm.architecture.spec import HeadSpec, LayerSpec
from numlstm.backends.cpu.codegen import packing
from numlstm.backends.cpu.codegen.memory_pool import recycled
from numlstm.backends.cpu.codegen.packing import blocks, empty, zeros
from numlstm.backends.cpu.codegen.parallel import call
from numlstm.backends.cpu.layer import (
    head,
    plain_recurrence,
    recurrence,
    recurrence_by_units,
    shards,
)
from numlstm.backends.cpu.layer.shards import Shards
from numlstm.backends.cpu.layer.variant_arrays import parameters_of, put_gradients, switches_of
from numlstm.backends.cpu.layer.weights import Columns, pack
from numlstm.cell.encoding import encode

HEAD_ROWS = 512  # rows of a head per shard, at least
MAX_HEAD_SHARDS = 16
MAX_PLANS = 8  # that a layer's weights keep


class LayerWeights(NamedTuple):
    """A layer's parameters: a copy of the flat block, and the panels of the forward pass."""

    theta: Any  # (n,)
    panels: Any  # (2U, K, W)
    plain: bool  # no variant
    plans: dict  # (batch, steps) -> Shards of rows of the same length, looked up before


class LayerTape(NamedTuple):
    """What `layer_backward` needs to know of `layer_forward`."""

    plan: Shards
    memory: Any
    switches: Any  # resets and noise, or None for the kernels of the plain cell


class HeadWeights(NamedTuple):
    """A head's parameters: a copy of the flat block, and packed for both passes."""

    theta: Any  # (n,)
    forward: Any  # (padded O / W, H, W)
    backward: Any  # (padded H / W, O, W)
    bias: Any  # (padded O,)


# --- layer ----------------------------------------------------------------------------------------


def pack_layer(spec: LayerSpec, theta):
    """Copy the parameters, and rearrange them for the forward pass."""
    lanes = packing.lanes(spec.dtype)
    shape = (2 * blocks(spec.hidden_size, lanes), 1 + spec.input_size + spec.output_size, 2 * lanes)
    theta, panels = np.array(theta), empty(shape, spec.dtype)
    numbers = shards.uniform(spec, 0, 0).numbers
    call(pack, shape[0], panels.size / 8, numbers, theta, panels)
    return LayerWeights(theta, panels, shards.is_plain(spec), {})


def layer_forward(
    spec: LayerSpec, weights, X, state, lengths=None, *, tape=False, reset=None, noise=None
):
    """h_1..h_T of one layer, its final state, and the tape for `layer_backward`."""
    batch, steps, _ = X.shape
    h, c = state
    plain = weights.plain and reset is None and noise is None
    plan = plan_of(spec, weights, batch, steps, lengths, plain)
    Y = np.empty((batch, steps, spec.output_size), spec.dtype)
    h_last = np.empty((batch, spec.output_size), spec.dtype)
    c_last = np.empty((batch, spec.hidden_size), spec.dtype)
    memory = recycled((plan.memory(tape),), spec.dtype)
    switches = None if plain else switches_of(spec, reset, noise)
    kernel = (recurrence_by_units if plan.wide else plain_recurrence).forward
    variant: tuple[Any, ...] = ()
    if not plain:
        kernel = recurrence.forward
        variant = parameters_of(spec, weights.theta), switches, encode(spec)
    call(
        *(kernel, plan.tasks, plan.lines * weights.panels.size),
        *(plan.numbers, weights.panels, *variant, uniform(X), uniform(h), uniform(c)),
        *(Y, h_last, c_last, memory, tape),
    )
    return Y, (h_last, c_last), LayerTape(plan, memory, switches) if tape else None


def plan_of(spec: LayerSpec, weights, batch, steps, lengths, plain) -> Shards:
    """How the rows of a layer are cut into shards, looked up where it was asked for before."""
    if lengths is not None:
        return shards.ragged(spec, lengths, steps, plain)
    key, plans = (batch, steps, plain), weights.plans
    if key not in plans:
        if len(plans) >= MAX_PLANS:  # one of a long series is large
            plans.clear()
        plans[key] = shards.uniform(spec, *key)
    return plans[key]


def layer_backward(spec: LayerSpec, weights, tape, dY, dstate, *, need_dX=True):
    """Gradients of theta (flat), X (or None) and the initial state; dY or dstate may be None."""
    plan, memory, switches = tape
    nothing = weights.theta[:0]
    dY = nothing.reshape(0, 0, 0) if dY is None else uniform(dY)
    dh, dc = (nothing.reshape(0, 0),) * 2 if dstate is None else map(uniform, dstate)
    batch, steps = plan.batch, plan.steps
    dtheta = np.zeros(weights.theta.shape, spec.dtype)
    dX = np.empty((batch if need_dX else 0, steps, spec.input_size), spec.dtype)
    dh_0 = np.empty((batch, spec.output_size), spec.dtype)
    dc_0 = np.empty((batch, spec.hidden_size), spec.dtype)
    kernel = plain_recurrence.backward
    extra: tuple[Any, ...]
    if plan.wide:
        kernel, extra = (
            recurrence_by_units.backward,
            (_scratch(spec, plan, weights.panels.shape, need_dX),),
        )
    else:
        extra = (recycled((plan.parts * weights.panels.size,), spec.dtype),)
    if switches is not None:
        parameters = parameters_of(spec, weights.theta)
        dunit = zeros((plan.parts, *parameters.unit.shape), spec.dtype)
        dout = zeros((plan.parts, *parameters.back.shape), spec.dtype)
        kernel = recurrence.backward
        extra += parameters, switches, encode(spec), dunit, dout
    call(
        *(kernel, plan.tasks, 2 * plan.lines * weights.panels.size),
        *(plan.numbers, weights.theta, dY, dh, dc, memory, dtheta, dX, dh_0, dc_0, *extra),
    )
    if switches is not None:
        put_gradients(spec, dtheta, dunit, dout)
    return dtheta, (dX if need_dX else None), (dh_0, dc_0)


def _scratch(spec: LayerSpec, plan: Shards, shape, need_dX: bool) -> recurrence_by_units.Scratch:
    """The memory of a wide backward pass, for weights of a shape."""
    width, rows = packing.panel_width(spec.dtype), 4 * plan.gate
    h_panels = blocks(spec.hidden_size, width)
    x_panels = blocks(spec.input_size, width) if need_dX else 0
    groups, itemsize = min(recurrence_by_units.MAX_GROUPS, h_panels), np.dtype(spec.dtype).itemsize
    columns = Columns(
        recycled((h_panels, rows, width), spec.dtype), recycled((x_panels, rows, width), spec.dtype)
    )
    return recurrence_by_units.Scratch(
        recycled((plan.lines, packing.odd_cache_lines(rows, itemsize)), spec.dtype),
        columns,
        recycled(shape, spec.dtype),
        empty(
            (groups, plain_recurrence.PANELS_OF_DZ, plain_recurrence.LINES_OF_DZ, width), spec.dtype
        ),
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
    packed = packing.panels(weight.T), packing.panels(weight), padded_bias
    return HeadWeights(np.array(theta), *packed)


def head_forward(spec: HeadSpec, weights, H):
    """y = W h + b over the last axis: H (..., H) -> (..., O)."""
    sizes, count = _head_rows(spec, H)
    Y = np.empty((sizes.rows, spec.output_size), spec.dtype)
    rows = uniform(H.reshape(sizes.rows, sizes.inputs))
    kernel = head.forward_few
    given: tuple[Any, ...] = weights.theta[None], rows, Y
    if spec.output_size > head.FEW:
        scratch = empty((count, head.CHUNK, len(weights.bias)), spec.dtype)
        kernel, given = head.forward, (weights.forward, weights.bias, rows, Y, scratch)
    call(kernel, count, rows.size * spec.output_size, count, sizes, *given)
    return Y.reshape(*H.shape[:-1], spec.output_size)


def head_backward(spec: HeadSpec, weights, H, dY):
    """Gradients of theta (flat) and of H."""
    sizes, count = _head_rows(spec, H)
    rows = uniform(H.reshape(sizes.rows, sizes.inputs))
    drows = uniform(dY.reshape(sizes.rows, sizes.outputs))
    if spec.output_size <= head.FEW:
        dH, dthetas = np.empty_like(rows), zeros((count, weights.theta.size), spec.dtype)
        call(
            *(head.backward_few, count, 2 * rows.size * spec.output_size, count, sizes),
            *(weights.theta[None], rows, drows, dH, dthetas),
        )
        return packing.sum_in_order(dthetas), dH.reshape(H.shape)
    panels, _, width = weights.forward.shape
    padded = len(weights.backward) * width
    gradient = head.HeadGradient(
        np.empty((sizes.rows, sizes.inputs), spec.dtype),
        zeros((count, *weights.forward.shape), spec.dtype),
        np.zeros((count, spec.output_size), spec.dtype),
        empty((count, head.CHUNK, padded), spec.dtype),
        zeros((count, panels, head.CHUNK, width), spec.dtype),
    )
    call(
        *(head.backward, count, 2 * sizes.rows * weights.backward.size),
        *(count, sizes, weights.backward, rows, drows, gradient),
    )
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
    if array.flags.carray:
        return array
    return np.require(array, requirements=["C", "A", "W"])

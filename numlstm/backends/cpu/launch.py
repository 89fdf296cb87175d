"""How the kernels of a layer and of a head are launched.

Arrays are allocated, padded and counted here, and the kernels chosen: `plain_recurrence.py` for a
plain layer in shards of rows, `recurrence_by_units.py` in shards of units, `recurrence.py` for
every variant, `head.py`.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.parameters import split
from numlstm.architecture.spec import HeadSpec, LayerSpec
from numlstm.backends.cpu.codegen import packing
from numlstm.backends.cpu.codegen.memory_pool import from_pool
from numlstm.backends.cpu.codegen.packing import blocks, empty, zeros
from numlstm.backends.cpu.codegen.parallel import call
from numlstm.backends.cpu.layer import (
    head,
    plain_recurrence,
    recurrence,
    recurrence_by_units,
    shards,
)
from numlstm.backends.cpu.layer import row_terms as terms
from numlstm.backends.cpu.layer.shards import Layout
from numlstm.backends.cpu.layer.variant_arrays import (
    layer_of,
    masks_of,
    parameters_of,
    put_gradients,
)
from numlstm.backends.cpu.layer.weights import LINES_OF_DZ, PANELS_OF_DZ, Columns, pack

HEAD_ROWS = 512  # rows of a head per shard, at least
MAX_HEAD_SHARDS = 16
MAX_LAYOUTS = 8  # kept with a layer's weights


class LayerWeights(NamedTuple):
    """A layer's parameters: a copy of the flat block, and the panels of the forward pass."""

    theta: Any  # (n,)
    panels: Any  # (2U, K, W)
    plain: bool  # no variant
    layouts: dict  # (batch, steps, plain) -> Layout of rows of the same length, used before


class LayerTape(NamedTuple):
    """Record of `layer_forward` for `layer_backward`."""

    layout: Layout
    memory: Any
    masks: Any  # reset and dropout masks, or None for the kernels of the plain cell
    has_terms: bool  # whether rows had terms of their own


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
    plain = weights.plain and reset is None and noise is None
    layout = layout_of(spec, weights, batch, steps, lengths, plain)
    inputs = uniform(X), uniform(state[0]), uniform(state[1]), terms.pack(spec, layout, row_terms)
    outputs = (
        np.empty((batch, steps, spec.output_size), spec.dtype),
        np.empty((batch, spec.output_size), spec.dtype),
        np.empty((batch, spec.hidden_size), spec.dtype),
    )
    memory = from_pool((layout.memory(tape),), spec.dtype)
    kernel = (recurrence_by_units if layout.by_units else plain_recurrence).forward
    masks = None
    variant: tuple[Any, ...] = ()
    if not plain:
        kernel, masks = recurrence.forward, masks_of(spec, reset, noise)
        variant = (layer_of(spec, parameters_of(spec, weights.theta), masks),)
    given = layout.numbers, weights.panels, inputs, outputs, memory, tape, *variant
    call(kernel, layout.tasks, layout.lines * weights.panels.size, *given)
    kept = LayerTape(layout, memory, masks, row_terms is not None) if tape else None
    return outputs[0], outputs[1:], kept


def layout_of(spec: LayerSpec, weights, batch, steps, lengths, plain) -> Layout:
    """The layout of a batch, looked up where its sizes were seen before."""
    if lengths is not None:
        return shards.ragged(spec, lengths, steps, plain)
    key, layouts = (batch, steps, plain), weights.layouts
    if key not in layouts:
        if len(layouts) >= MAX_LAYOUTS:  # one of a long series is large
            layouts.clear()
        layouts[key] = shards.uniform(spec, *key)
    return layouts[key]


def layer_backward(spec: LayerSpec, weights, tape, dY, dstate, *, need_dX=True, need_dtheta=True):
    """Gradients of theta (flat), X, the initial state and the row terms; None for one not wanted.

    Row terms have one where there were some.
    """
    layout, memory, masks, has_terms = tape
    nothing = weights.theta[:0]
    dY = nothing.reshape(0, 0, 0) if dY is None else uniform(dY)
    dh, dc = (nothing.reshape(0, 0),) * 2 if dstate is None else map(uniform, dstate)
    batch, steps = layout.batch, layout.steps
    dtheta = np.zeros(weights.theta.size if need_dtheta else 0, spec.dtype)
    dW_shape = weights.panels.shape if need_dtheta else (0, 0, 0)
    dinputs = (
        np.empty((batch if need_dX else 0, steps, spec.input_size), spec.dtype),
        np.empty((batch, spec.output_size), spec.dtype),
        np.empty((batch, spec.hidden_size), spec.dtype),
        np.zeros(terms.shape(spec, layout, has_terms), spec.dtype),
    )
    kernel: Any = plain_recurrence.backward
    scratch: Any
    if layout.by_units:
        kernel = recurrence_by_units.backward
        scratch = _scratch(spec, layout, dW_shape, need_dX)
    else:
        scratch = from_pool((layout.parts * math.prod(dW_shape),), spec.dtype)
    variant: tuple[Any, ...] = ()
    if masks is not None:
        kernel, parameters = recurrence.backward, parameters_of(spec, weights.theta)
        dparameters = (
            zeros((layout.parts, *parameters.unit.shape), spec.dtype),
            zeros((layout.parts, *parameters.back.shape), spec.dtype),
        )
        variant = layer_of(spec, parameters, masks), dparameters
    work = (1 + need_dtheta) * layout.lines * weights.panels.size
    given = layout.numbers, weights.theta, memory, (dY, dh, dc), dinputs, dtheta, scratch, *variant
    call(kernel, layout.tasks, work, *given)
    if masks is not None and need_dtheta:
        put_gradients(spec, dtheta, *dparameters)
    dX, *dstate, dterms = dinputs
    drow_terms = terms.unpack(spec, layout, dterms) if has_terms else None
    wanted = (dtheta if need_dtheta else None), (dX if need_dX else None)
    return *wanted, tuple(dstate), drow_terms


def _scratch(spec: LayerSpec, layout: Layout, shape, need_dX: bool) -> recurrence_by_units.Scratch:
    """Scratch of a backward pass in shards of units; the shape is that of dW."""
    width, rows = packing.panel_width(spec.dtype), 4 * layout.gate
    h_panels = blocks(spec.hidden_size, width)
    x_panels = blocks(spec.input_size, width) if need_dX else 0
    groups, itemsize = min(recurrence_by_units.MAX_GROUPS, h_panels), np.dtype(spec.dtype).itemsize
    columns = Columns(
        from_pool((h_panels, rows, width), spec.dtype),
        from_pool((x_panels, rows, width), spec.dtype),
    )
    return recurrence_by_units.Scratch(
        from_pool((layout.lines, packing.odd_cache_lines(rows, itemsize)), spec.dtype),
        columns,
        from_pool(shape, spec.dtype),
        empty((groups, PANELS_OF_DZ, LINES_OF_DZ, width), spec.dtype),
        empty((groups, layout.lines_of_chunk, x_panels * width), spec.dtype),
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
    call(kernel, count, rows.size * spec.output_size, count, tuple(sizes), *given)
    return Y.reshape(*H.shape[:-1], spec.output_size)


def head_backward(spec: HeadSpec, weights, H, dY):
    """Gradients of theta (flat) and of H."""
    sizes, count = _head_rows(spec, H)
    rows = uniform(H.reshape(sizes.rows, sizes.inputs))
    drows = uniform(dY.reshape(sizes.rows, sizes.outputs))
    if spec.output_size <= head.FEW:
        dH, dthetas = np.empty_like(rows), zeros((count, weights.theta.size), spec.dtype)
        work, theta = 2 * rows.size * spec.output_size, weights.theta[None]
        call(head.backward_few, count, work, count, tuple(sizes), theta, rows, drows, dH, dthetas)
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
    work = 2 * sizes.rows * weights.backward.size
    given = count, tuple(sizes), weights.backward, rows, drows, tuple(gradient)
    call(head.backward, count, work, *given)
    dW, db = (packing.sum_in_order(parts) for parts in (gradient.dW, gradient.db))
    dW = dW.transpose(0, 2, 1).reshape(-1, spec.input_size)[: spec.output_size]
    return np.concatenate([dW.ravel(), db]), gradient.dH.reshape(H.shape)


def _head_rows(spec: HeadSpec, H) -> tuple[head.Rows, int]:
    rows = H.size // spec.input_size
    shards = max(1, min(MAX_HEAD_SHARDS, rows // HEAD_ROWS))
    per_shard = blocks(rows, shards)
    return head.Rows(rows, spec.input_size, spec.output_size, per_shard), shards


def uniform(array: np.ndarray) -> np.ndarray:
    """C-contiguous, aligned and writable, so that every input has one type for the compiler."""
    if array.flags.carray:
        return array
    return np.require(array, requirements=["C", "A", "W"])

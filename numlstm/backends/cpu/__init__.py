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
    plan = make_plan(spec, None, 0, 0)
    lanes = packing.lanes(spec.dtype)
    shape = (2 * blocks(plan.units, lanes), 1 + plan.inputs + plan.units, 2 * lanes)
    weights = LayerWeights(np.array(theta), zeros(shape, spec.dtype))
    layer.pack(plan, *weights)
    return weights


def layer_forward(spec: LayerSpec, weights, X, state, lengths=None, *, tape=False):
    """h_1..h_T of one layer, its final state, and the tape for `layer_backward`."""
    batch, steps, _ = X.shape
    plan = make_plan(spec, lengths, batch, steps)
    h, c = state
    with driver_for(len(plan.place) - 1, batch * steps * weights.panels.size) as driver:
        Y, h, c, kept = layer.forward(
            driver, plan, weights.panels, _readable(X), _readable(h), _readable(c), tape
        )
    return Y, (h, c), LayerTape(plan, kept) if tape else None


def layer_backward(spec: LayerSpec, weights, tape, dY, dstate, *, need_dX=True):
    """Gradients of theta (flat), X (or None) and the initial state; dY or dstate may be None."""
    plan, kept = tape
    nothing = weights.theta[:0]
    dY = nothing.reshape(0, 0, 0) if dY is None else dY
    dh, dc = (nothing.reshape(0, 0),) * 2 if dstate is None else dstate
    work = 2 * len(kept.xh) * weights.panels.size
    with driver_for(len(plan.place) - 1, work) as driver:
        dtheta, dX, dh, dc = layer.backward(
            *(driver, plan, weights.theta),
            *(_readable(dY), _readable(dh), _readable(dc), kept, need_dX),
        )
    return dtheta, (dX if need_dX else None), (dh, dc)


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

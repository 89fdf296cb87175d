"""A layer's parameters in the layout of the products, and their gradient back from it.

theta begins with W_ih (4H, I), W_hh (4H, P), b (4H), where a gate may be absent; in the products it
is there, with weights of zero. Forward, panels 2u and 2u + 1 hold the gates (i, f) and
(g, o) of the u-th vector of units; their k runs over 1 (whose weight is b), x and h. The letters in
the shape comments: see `tape.py`.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.gemm import accumulate, copy_spaced, pack_panel
from numlstm.backends.cpu.codegen.parallel import for_shards
from numlstm.backends.cpu.codegen.vectors import at, get, lanes_of, move, noinline, panel_width, put
from numlstm.backends.cpu.layer.tape import read_layout

MANY = 2**16  # numbers to rearrange that are worth a meeting of the threads


@entry
def pack(driver, numbers, theta, weights):
    """Fill weights (2U, K, W) from theta."""
    layout = read_layout(numbers)
    for_shards(pack_vector, driver, layout.vectors, (layout, theta, weights))


@kernel
def pack_vector(u, layout, theta, weights):
    """The two panels of a vector of units."""
    noinline()
    k, width, lanes = 1 + layout.inputs + layout.outputs, panel_width(theta), lanes_of(theta)
    for gate in range(4):
        panel = at(weights, (2 * u + gate // 2) * k * width + gate % 2 * lanes)
        own = gate_of_theta(layout, gate)
        count = 0 if own < 0 else min(lanes, layout.units - u * lanes)
        for j in range(count):
            b, w_ih, w_hh = row_of_theta(layout, own * layout.units + u * lanes + j, theta)
            to = move(panel, j)
            put(to, 0, get(b, 0) if layout.biased else get(b, 0) * 0)
            copy_spaced(move(to, width), width, w_ih, 1, layout.inputs)
            copy_spaced(move(to, (1 + layout.inputs) * width), width, w_hh, 1, layout.outputs)
        for j in range(count, lanes):
            for row in range(k):
                put(panel, row * width + j, 0)


@kernel
def unpack(u, layout, dW, dtheta):
    """The mirror of `pack`, for a vector of units. dW (2U, K, W)."""
    noinline()
    k, width, lanes = 1 + layout.inputs + layout.outputs, panel_width(dtheta), lanes_of(dtheta)
    for gate in range(4):
        panel = move(dW, (2 * u + gate // 2) * k * width + gate % 2 * lanes)
        own = gate_of_theta(layout, gate)
        for j in range(0 if own < 0 else min(lanes, layout.units - u * lanes)):
            db, dw_ih, dw_hh = row_of_theta(layout, own * layout.units + u * lanes + j, dtheta)
            source = move(panel, j)
            put(db, 0, get(source, 0))
            copy_spaced(dw_ih, 1, move(source, width), width, layout.inputs)
            copy_spaced(dw_hh, 1, move(source, (1 + layout.inputs) * width), width, layout.outputs)


@kernel
def sum_gradients(driver, layout, dW, dtheta):
    """dtheta from the sum over dW (shards, 2U, K, W), whose first part becomes the sum."""
    if dW.size >= MANY:
        for_shards(_sum_vector, driver, layout.vectors, (layout, dW, dtheta))
    else:
        for u in range(layout.vectors):
            _sum_vector(u, layout, dW, dtheta)


@kernel
def _sum_vector(u, layout, dW, dtheta):
    """One shard after the other, so that the sum is the same on any machine."""
    size = dW.size // layout.shards
    share = size // layout.vectors
    for shard in range(1, layout.shards):
        accumulate(at(dW, u * share), at(dW, shard * size + u * share), share)
    unpack(u, layout, at(dW, 0), dtheta)


@kernel
def gate_of_theta(layout, gate):
    """Position of a gate (i, f, g, o) in theta, or -1."""
    if layout.gates == 4 or gate == 0:
        return gate
    return gate - 1 if gate > 1 else -1


@kernel
def row_of_theta(layout, row, theta):
    """Pointers to b, W_ih and W_hh of one of the 4H rows."""
    rows, inputs, outputs = layout.gates * layout.units, layout.inputs, layout.outputs
    w_hh = at(theta, rows * inputs + row * outputs)
    return at(theta, rows * (inputs + outputs) + row), at(theta, row * inputs), w_hh


class Columns(NamedTuple):
    """The weights packed for the backward pass: k runs over the rows of W_hh and W_ih, by gates."""

    h: Any  # (ceil(P / W), 4 gate, W)
    x: Any  # (ceil(I / W), 4 gate, W), or empty where dX is not wanted


@kernel
def pack_columns(driver, layout, theta, columns, gate):
    """Fill columns from theta; `gate` >= H rows belong to a gate."""
    panels = max(columns.h.shape[0], columns.x.shape[0])
    if theta.size >= MANY:
        for_shards(_pack_columns_of, driver, panels, (layout, theta, columns, gate))
    else:
        for panel in range(panels):
            _pack_columns_of(panel, layout, theta, columns, gate)


@kernel
def _pack_columns_of(panel, layout, theta, columns, gate):
    """One panel of W_hh and one of W_ih."""
    noinline()
    width, units = panel_width(theta), layout.units
    for n in range(4):
        own, first = gate_of_theta(layout, n), n * gate * width
        rows = 0 if own < 0 else units
        _, w_ih, w_hh = row_of_theta(layout, max(own, 0) * units, theta)
        if panel < columns.h.shape[0]:
            to = at(columns.h, panel * 4 * gate * width + first)
            pack_panel(to, gate, w_hh, rows, layout.outputs, panel * width)
        if panel < columns.x.shape[0]:
            to = at(columns.x, panel * 4 * gate * width + first)
            pack_panel(to, gate, w_ih, rows, layout.inputs, panel * width)

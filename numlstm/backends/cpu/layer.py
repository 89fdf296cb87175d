"""One LSTM layer over whole sequences: the shard bodies, forward next to backward.

A shard is a group of rows (sequences) that one thread takes through all time steps. Within a shard
the rows stand longest first, so the rows that still run at step t are the first few. Every step of
every row owns one line of tape; `Plan.line` says where the lines of a step begin.

In the shape comments: B rows, T steps, I inputs, H units, L lanes of a vector, U = ceil(H / L)
vectors of units, W = 2 L the width of a panel, K = 1 + I + H, N lines of tape. Arrays are
C-contiguous and are read and written by flat index; rows are padded to whole vectors.
"""

from typing import Any, NamedTuple

import numpy as np

from numlstm.backends.cpu.compile import entry, kernel, kernel_that_allocates
from numlstm.backends.cpu.packing import CACHE_LINE
from numlstm.backends.cpu.parallel import for_shards
from numlstm.backends.cpu.products import (
    accumulate,
    clear,
    copy,
    copy_spaced,
    pack_columns,
    product,
)
from numlstm.backends.cpu.simd import Block, at, get, lanes_of, load, move, panel_width, put, store
from numlstm.cell import cell_backward, cell_forward

LINES_OF_DZ = 128  # lines of tape whose share of dW is computed in one product


class Plan(NamedTuple):
    """Sizes, which rows go together, and where their tape lies; made by `cpu.shards`."""

    steps: int  # T
    inputs: int  # I
    units: int  # H
    vectors: int  # U
    padded: int  # H, filled up to whole panels
    order: Any  # (B,) the caller's row that stands in each place
    place: Any  # (shards + 1,) first place of each shard
    line: Any  # (shards, T + 1) first line of tape of each step


class Tape(NamedTuple):
    """What a forward pass leaves behind; if no backward pass is to come, B lines, used over."""

    xh: Any  # (N, stride) the k-vector of every line: 1, x_t, h_{t-1}
    gates: Any  # (N, U * 5 * L) i, f, g, o, c of every line
    c_first: Any  # (B, padded H) initial cell state by place


class Carry(NamedTuple):
    """What goes from step to step: the state, or on the way back its gradient, by place."""

    h: Any  # (B, padded H)
    c: Any  # (B, padded H)
    z: Any  # (B, U * 4 * L) scratch of the running step: pre-activations, or their gradients


# --- forward --------------------------------------------------------------------------------------


@kernel
def forward_shard(shard, plan, weights, X, Y, carry, tape, taped):
    """z = W [1 x h], then the cell, for all t. weights (2U, K, W), X (B, T, I), Y (B, T, H)."""
    place, stride, z_row = plan.place[shard], tape.xh.shape[1], carry.z.shape[1]
    k, width = 1 + plan.inputs + plan.units, panel_width(weights)
    panels = 2 * plan.vectors
    w = Block(at(weights, 0), k * width, width)
    z = Block(at(carry.z, place * z_row), z_row, width)
    for t in range(plan.steps):
        rows = plan.line[shard, t + 1] - plan.line[shard, t]
        line = plan.line[shard, t] if taped else place
        for j in range(rows):
            _read_input(line + j, place + j, t, plan, X, carry, tape)
        product(z, Block(at(tape.xh, line * stride), stride, 1), w, rows, panels, k, False)
        for j in range(rows):
            _forward_row(line + j, place + j, plan, carry, tape)
            y = at(Y, (plan.order[place + j] * plan.steps + t) * plan.units)
            copy(y, at(carry.h, (place + j) * carry.h.shape[1]), plan.units)


@kernel
def _read_input(line, place, t, plan, X, carry, tape):
    """xh[line] = 1, x_t, h_{t-1}."""
    xh = at(tape.xh, line * tape.xh.shape[1])
    x = at(X, (plan.order[place] * plan.steps + t) * plan.inputs)
    put(xh, 0, 1)
    copy(move(xh, 1), x, plan.inputs)
    copy(move(xh, 1 + plan.inputs), at(carry.h, place * carry.h.shape[1]), plan.units)


@kernel
def _forward_row(line, place, plan, carry, tape):
    """The cell of one row: h and c to the carry, gates and c to the tape."""
    lanes = lanes_of(carry.h)
    for u in range(plan.vectors):
        z = at(carry.z, place * carry.z.shape[1] + u * 4 * lanes)
        h_now = at(carry.h, place * carry.h.shape[1] + u * lanes)
        c_now = at(carry.c, place * carry.c.shape[1] + u * lanes)
        gates = at(tape.gates, line * tape.gates.shape[1] + u * 5 * lanes)
        i, f, g, o, c, h = cell_forward(
            load(z, 0), load(z, lanes), load(z, 2 * lanes), load(z, 3 * lanes), load(c_now, 0)
        )
        store(h_now, 0, h)
        store(c_now, 0, c)
        store(gates, 0, i)
        store(gates, lanes, f)
        store(gates, 2 * lanes, g)
        store(gates, 3 * lanes, o)
        store(gates, 4 * lanes, c)


# --- backward -------------------------------------------------------------------------------------


class Columns(NamedTuple):
    """The weights packed for the way back: k runs over the 4H rows of W_hh and W_ih."""

    h: Any  # (ceil(H / W), 4H, W)
    x: Any  # (ceil(I / W), 4H, W), or empty where dX is not wanted


class Gradient(NamedTuple):
    """What a backward pass fills, and the lines of dz that wait to be multiplied with their xh."""

    dX: Any  # (B, T, I), or empty where it is not wanted
    dx: Any  # (B, padded I) scratch: dX of the running step
    dW: Any  # (shards, 2U, K, W) gradient of the packed weights, zero at first
    dz: Any  # (shards, 2U, capacity, W)


@kernel
def backward_shard(shard, plan, columns, dY, carry, tape, gradient):
    """dz from the tape, dh and dx = dz W, dW = sum dz xh', back in t. dY (B, T, H) or empty."""
    place, z_row, h_row = plan.place[shard], carry.z.shape[1], carry.h.shape[1]
    x_row, width, k = gradient.dx.shape[1], panel_width(columns.h), 4 * plan.units
    dz = Block(at(carry.z, place * z_row), z_row, 1)
    dh = Block(at(carry.h, place * h_row), h_row, width)
    dx = Block(at(gradient.dx, place * x_row), x_row, width)
    w_h, w_x = Block(at(columns.h, 0), k * width, width), Block(at(columns.x, 0), k * width, width)
    waiting = 0
    for t in range(plan.steps - 1, -1, -1):
        line = plan.line[shard, t]
        rows = plan.line[shard, t + 1] - line
        if waiting + rows > gradient.dz.shape[2]:
            _add_to_dW(shard, line + rows, waiting, tape, gradient)
            waiting = 0
        waiting += rows
        for j in range(rows):
            if dY.size > 0:
                dy = at(dY, (plan.order[place + j] * plan.steps + t) * plan.units)
                accumulate(move(dh.start, j * h_row), dy, plan.units)
            _backward_row(shard, t, j, waiting, plan, carry, tape, gradient)
        product(dh, dz, w_h, rows, h_row // width, k, False)
        if gradient.dX.size > 0:
            product(dx, dz, w_x, rows, x_row // width, k, False)
            for j in range(rows):
                dx_out = at(gradient.dX, (plan.order[place + j] * plan.steps + t) * plan.inputs)
                copy(dx_out, move(dx.start, j * x_row), plan.inputs)
    _add_to_dW(shard, plan.line[shard, 0], waiting, tape, gradient)


@kernel
def _backward_row(shard, t, j, waiting, plan, carry, tape, gradient):
    """The cell of one row, backward: dz by row and to the waiting lines, dc to the carry."""
    lanes, place, H = lanes_of(carry.h), plan.place[shard] + j, plan.units
    gate_row, panel = tape.gates.shape[1], gradient.dz.shape[2] * gradient.dz.shape[3]
    gates = at(tape.gates, (plan.line[shard, t] + j) * gate_row)
    if t > 0:  # c_{t-1} is on the tape
        c_prev, c_step = at(tape.gates, (plan.line[shard, t - 1] + j) * gate_row + 4 * lanes), 5
    else:
        c_prev, c_step = at(tape.c_first, place * carry.c.shape[1]), 1
    slot = (gradient.dz.shape[2] - waiting + j) * gradient.dz.shape[3]
    lines = at(gradient.dz, shard * gradient.dz.shape[1] * panel + slot)
    dh = at(carry.h, place * carry.h.shape[1])
    dc_now = at(carry.c, place * carry.c.shape[1])
    dz = at(carry.z, place * carry.z.shape[1])
    # from the last unit to the first, so that what the last vector writes beyond the units of one
    # gate is overwritten by the next gate's first
    for u in range(plan.vectors - 1, -1, -1):
        gate, unit = move(gates, u * 5 * lanes), u * lanes
        dz_i, dz_f, dz_g, dz_o, dc = cell_backward(
            load(gate, 0),
            load(gate, lanes),
            load(gate, 2 * lanes),
            load(gate, 3 * lanes),
            load(gate, 4 * lanes),
            load(c_prev, c_step * unit),
            load(dh, unit),
            load(dc_now, unit),
        )
        store(dc_now, unit, dc)
        store(dz, unit, dz_i)
        store(dz, unit + H, dz_f)
        store(dz, unit + 2 * H, dz_g)
        store(dz, unit + 3 * H, dz_o)
        pair = move(lines, 2 * u * panel)
        store(pair, 0, dz_i)
        store(pair, lanes, dz_f)
        store(pair, panel, dz_g)
        store(pair, panel + lanes, dz_o)


@kernel
def _add_to_dW(shard, line, waiting, tape, gradient):
    """dW += sum over the waiting lines, the first of which is `line`, of dz xh'."""
    if waiting == 0:
        return
    _, panels, k, width = gradient.dW.shape
    capacity, stride = gradient.dz.shape[2], tape.xh.shape[1]
    dW = Block(at(gradient.dW, shard * panels * k * width), width, k * width)
    xh = Block(at(tape.xh, line * stride), 1, stride)
    first = (shard * panels * capacity + capacity - waiting) * width
    dz = Block(at(gradient.dz, first), capacity * width, width)
    product(dW, xh, dz, k, panels, waiting, True)


# --- entries: what Python calls -------------------------------------------------------------------


@entry(allocates=True)
def forward(driver, plan, weights, X, h, c, taped):
    """(Y, h_T, c_T, tape) of all shards. weights (2U, K, W), X (B, T, I), h and c (B, H)."""
    batch, units, lanes = len(plan.order), plan.units, lanes_of(weights)
    lines_of_all = plan.line[-1, -1]
    lines = lines_of_all if taped else batch
    padded = plan.vectors * lanes
    carry = _carry(plan, h, c)
    tape = Tape(
        np.empty((lines, _stride(1 + plan.inputs + padded, weights)), weights.dtype),
        np.empty((lines, 5 * padded), weights.dtype),
        carry.c.copy(),
    )
    Y = np.empty((batch, plan.steps, units), weights.dtype)
    if lines_of_all < batch * plan.steps:  # some rows are shorter: padding is zero
        clear(at(Y, 0), Y.size)
    shards = len(plan.place) - 1
    for_shards(forward_shard, driver, shards, (plan, weights, X, Y, carry, tape, taped))
    return Y, _in_order(plan, carry.h), _in_order(plan, carry.c), tape


@entry(allocates=True)
def backward(driver, plan, theta, dY, dh, dc, tape, wants_dX):
    """(dtheta, dX, dh_0, dc_0) of all shards; dY, dh and dc may be empty, which means zero."""
    batch, width, k = len(plan.order), panel_width(theta), 1 + plan.inputs + plan.units
    shards, panels = len(plan.place) - 1, 2 * plan.vectors
    capacity = LINES_OF_DZ
    for shard in range(shards):
        capacity = max(capacity, plan.place[shard + 1] - plan.place[shard])
    inputs = plan.inputs if wants_dX else 0
    columns = _columns(plan, theta, inputs)
    carry = _carry(plan, dh, dc)
    gradient = Gradient(
        np.empty((batch, plan.steps, inputs), theta.dtype),
        np.empty((batch, columns.x.shape[0] * width), theta.dtype),
        np.empty((shards, panels, k, width), theta.dtype),
        np.empty((shards, panels, capacity, width), theta.dtype),
    )
    clear(at(gradient.dX, 0), gradient.dX.size)
    clear(at(gradient.dW, 0), gradient.dW.size)
    for_shards(backward_shard, driver, shards, (plan, columns, dY, carry, tape, gradient))
    for shard in range(1, shards):  # one after the other: the sum is the same on any machine
        accumulate(at(gradient.dW, 0), at(gradient.dW[shard], 0), panels * k * width)
    dtheta = np.empty_like(theta)
    _unpack(plan, gradient.dW, dtheta)
    return dtheta, gradient.dX, _in_order(plan, carry.h), _in_order(plan, carry.c)


@kernel_that_allocates
def _carry(plan, h, c):
    """The state (or its gradient; empty means zero) by place, padded to whole panels."""
    batch, padded = len(plan.order), plan.padded
    carry = Carry(
        np.empty((batch, padded), h.dtype),
        np.empty((batch, padded), h.dtype),
        np.empty((batch, 4 * lanes_of(h) * plan.vectors), h.dtype),
    )
    clear(at(carry.h, 0), batch * padded)
    clear(at(carry.c, 0), batch * padded)
    if h.size > 0:
        for place in range(batch):
            row = plan.order[place] * plan.units
            copy(at(carry.h, place * padded), at(h, row), plan.units)
            copy(at(carry.c, place * padded), at(c, row), plan.units)
    return carry


@kernel_that_allocates
def _in_order(plan, values):
    """The rows of a padded array (B, padded H) in the caller's order, (B, H)."""
    result = np.empty((len(plan.order), plan.units), values.dtype)
    for place in range(len(plan.order)):
        row = at(result, plan.order[place] * plan.units)
        copy(row, at(values, place * values.shape[1]), plan.units)
    return result


@kernel
def _stride(count, array):
    """Length of a line of xh: an odd number of cache lines, so that columns do not collide."""
    per_line = CACHE_LINE // array.itemsize
    return ((count + per_line - 1) // per_line // 2 * 2 + 1) * per_line


@kernel_that_allocates
def _columns(plan, theta, inputs):
    """W_hh, and the first `inputs` columns of W_ih (all or none), packed for the way back."""
    rows, width = 4 * plan.units, panel_width(theta)
    columns = Columns(
        np.empty(((plan.units + width - 1) // width, rows, width), theta.dtype),
        np.empty(((inputs + width - 1) // width, rows, width), theta.dtype),
    )
    pack_columns(at(columns.h, 0), at(theta, rows * plan.inputs), rows, plan.units)
    pack_columns(at(columns.x, 0), at(theta, 0), rows, inputs)
    return columns


# --- packing: theta is W_ih (4H, I), W_hh (4H, H), b (4H); panels 2u and 2u + 1 hold the gates ----
# (i, f) and (g, o) of the u-th vector of units; their k runs over 1 (whose weight is b), x and h


@kernel
def _gate_column(plan, row, array):
    """Where a row of theta's matrices begins in packed weights: (panel, column of the panel)."""
    lanes = lanes_of(array)
    gate, unit = row // plan.units, row % plan.units
    return 2 * (unit // lanes) + gate // 2, gate % 2 * lanes + unit % lanes


@entry
def pack(plan, theta, weights):
    """Fill weights (2U, K, W), zero at first, from theta."""
    k, width, rows = 1 + plan.inputs + plan.units, panel_width(theta), 4 * plan.units
    for row in range(rows):
        panel, column = _gate_column(plan, row, theta)
        to = at(weights, panel * k * width + column)
        put(to, 0, get(at(theta, rows * (k - 1)), row))
        copy_spaced(move(to, width), width, at(theta, row * plan.inputs), 1, plan.inputs)
        w_hh = at(theta, rows * plan.inputs + row * plan.units)
        copy_spaced(move(to, (1 + plan.inputs) * width), width, w_hh, 1, plan.units)


@kernel
def _unpack(plan, dW, dtheta):
    """The mirror of `pack`, from the first shard's dW (shards, 2U, K, W)."""
    k, width, rows = 1 + plan.inputs + plan.units, panel_width(dtheta), 4 * plan.units
    for row in range(rows):
        panel, column = _gate_column(plan, row, dtheta)
        source = at(dW, panel * k * width + column)
        put(at(dtheta, rows * (k - 1)), row, get(source, 0))
        copy_spaced(at(dtheta, row * plan.inputs), 1, move(source, width), width, plan.inputs)
        w_hh = at(dtheta, rows * plan.inputs + row * plan.units)
        copy_spaced(w_hh, 1, move(source, (1 + plan.inputs) * width), width, plan.units)

"""One LSTM layer over whole sequences in shards of rows, forward next to backward.

A shard is a group of rows (sequences) that one thread takes through all time steps without
meeting another. The letters in the shape comments: see `tape.py`.

The variants have a loop over time of their own, in `recurrence.py`. One loop for both, with the
cell's functions as arguments, passed on all of a layer at every step: for 8 units and one row it
took 6 % longer forward and 30 % longer backward.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.gemm import accumulate, ask_for, clear, copy, product
from numlstm.backends.cpu.codegen.packing import blocks, odd_cache_lines
from numlstm.backends.cpu.codegen.parallel import for_shards
from numlstm.backends.cpu.codegen.vectors import (
    Block,
    at,
    get,
    itemsize_of,
    lanes_of,
    load,
    move,
    new,
    noinline,
    panel_width,
    store,
)
from numlstm.backends.cpu.layer.plain_cell import SLOTS, backward_cells, forward_cells
from numlstm.backends.cpu.layer.tape import (
    Inputs,
    Outputs,
    ask_for_cells,
    hidden,
    in_caller,
    line_of,
    most_rows,
    put_input,
    read_carry,
    read_layout,
    read_tape,
    rows_at,
    start_tape,
    write_carry,
)
from numlstm.backends.cpu.layer.weights import Columns, pack_columns, sum_gradients

# lines of tape whose share of dW is computed in one product, and how many of its panels
LINES_OF_DZ, PANELS_OF_DZ = 128, 8


# --- forward --------------------------------------------------------------------------------------


@entry(allocates=True)
def forward(driver, numbers, weights, inputs, outputs, memory, taped):
    """Fill the outputs and the tape. weights (2U, K, W); memory as `Layout.memory` says."""
    layout, inputs, outputs = read_layout(numbers), Inputs(*inputs), Outputs(*outputs)
    lines = line_of(layout, layout.shards - 1, layout.steps)
    if lines < layout.batch * layout.steps:  # some rows are shorter: padding is zero
        clear(at(outputs.Y, 0), outputs.Y.size)
    tape = read_tape(layout, lines if taped else layout.batch, memory)
    carry = read_carry(layout, inputs)
    start_tape(layout, carry, tape, taped)
    z = new(inputs.h, (layout.batch, 4 * layout.vectors * lanes_of(inputs.h)))
    arguments = layout, weights, inputs.X, outputs.Y, carry, z, tape, taped
    for_shards(forward_shard, driver, layout.shards, arguments)
    write_carry(layout, carry, outputs)


@kernel
def forward_shard(shard, layout, weights, X, Y, carry, z, tape, taped):
    """z = W [1 x h], then the cell, for all t."""
    place, width = get(layout.place, shard), panel_width(weights)
    k = 1 + layout.inputs + layout.units
    w = Block(at(weights, 0), k * width, width)
    z_rows = Block(at(z, place * z.shape[1]), z.shape[1], width)
    for t in range(layout.steps):
        line = line_of(layout, shard, t) if taped else place
        following = line_of(layout, shard, t + 1) if taped else place
        rows, rows_after = rows_at(layout, shard, t), rows_at(layout, shard, t + 1)
        for j in range(rows):
            put_input(line + j, place + j, t, layout, X, tape)
        xh = Block(move(tape.xh.start, line * tape.xh.row), tape.xh.row, 1)
        product(z_rows, xh, w, rows, 2 * layout.vectors, k, False)
        for j in range(rows):
            row = (place + j) * layout.padded
            h_now = hidden(following + j, layout, tape) if j < rows_after else at(carry.h, row)
            z_row = move(z_rows.start, j * z_rows.row)
            cells = move(tape.cells.start, (line + j) * tape.cells.row)
            forward_cells(0, layout.vectors, z_row, at(carry.c, row), h_now, cells)
            copy(in_caller(layout, Y, place + j, t, layout.units), h_now, layout.units)


# --- backward -------------------------------------------------------------------------------------


class Gradient(NamedTuple):
    """Results of a backward pass and its scratch: lines of dz wait to be multiplied together."""

    dX: Any  # (B, T, I), or empty where it is not wanted
    dW: Any  # (shards, 2U, K, W) gradient of the packed weights
    dz: Any  # (shards, capacity, 4H) padded
    panels: Any  # (shards, PANELS_OF_DZ, LINES_OF_DZ, W) of dz
    dx: Any  # (shards, capacity, padded I)


@entry(allocates=True)
def backward(driver, numbers, theta, memory, doutputs, dinputs, dtheta, dW):
    """Fill dtheta and dinputs; arrays of doutputs, and dinputs.X, may be empty.

    dW (shards, 2U, K, W) is scratch; it is large, so that Python allocates it.
    """
    layout, doutputs, dinputs = read_layout(numbers), Outputs(*doutputs), Inputs(*dinputs)
    width, shards = panel_width(theta), layout.shards
    capacity = max(LINES_OF_DZ, most_rows(layout))
    dX = dinputs.X
    wanted = layout.inputs if dX.size > 0 else 0
    columns = Columns(
        new(theta, (layout.padded // width, 4 * layout.units, width)),
        new(theta, (blocks(wanted, width), 4 * layout.units, width)),
    )
    pack_columns(driver, layout, theta, columns, layout.units)
    gradient = Gradient(
        dX,
        dW,
        new(dX, (shards, capacity, odd_cache_lines(4 * layout.units + width, itemsize_of(dW)))),
        new(dX, (shards, PANELS_OF_DZ, LINES_OF_DZ, width)),
        new(dX, (shards, capacity, columns.x.shape[0] * width)),
    )
    lines = line_of(layout, shards - 1, layout.steps)
    if lines < layout.batch * layout.steps:
        clear(at(dX, 0), dX.size)
    tape = read_tape(layout, lines, memory)
    carry = read_carry(layout, doutputs)
    arguments = layout, columns, doutputs.Y, carry, tape, gradient
    for_shards(backward_shard, driver, shards, arguments)
    sum_gradients(driver, layout, dW, dtheta)
    write_carry(layout, carry, dinputs)


@kernel
def backward_shard(shard, layout, columns, dY, carry, tape, gradient):
    """dz from the tape, dh = dz W_hh, back in t. dY (B, T, H) or empty."""
    place, k, width = get(layout.place, shard), 4 * layout.units, panel_width(columns.h)
    capacity, dz_row = gradient.dz.shape[1], gradient.dz.shape[2]
    dh = Block(at(carry.h, place * layout.padded), layout.padded, width)
    w_h = Block(at(columns.h, 0), k * width, width)
    size = gradient.dW.size // layout.shards
    clear(at(gradient.dW, shard * size), size)
    waiting, last = 0, layout.steps
    for t in range(layout.steps - 1, -1, -1):
        rows = rows_at(layout, shard, t)
        if waiting + rows > capacity:
            _use_dz(shard, t + 1, last, waiting, layout, columns, tape, gradient)
            waiting, last = 0, t + 1
        waiting += rows
        start = at(gradient.dz, (shard * capacity + capacity - waiting) * dz_row)
        for j in range(rows):
            dh_row = move(dh.start, j * layout.padded)
            if dY.size > 0:
                dy = in_caller(layout, dY, place + j, t, layout.units)
                accumulate(dh_row, dy, layout.units)
                ask_for(move(dy, -layout.units), layout.units)
            dz = move(start, j * dz_row)
            backward_row(shard, t, j, 0, layout.vectors, layout, carry, tape, dz, layout.units)
        product(dh, Block(start, dz_row, 1), w_h, rows, layout.padded // width, k, False)
    _use_dz(shard, 0, last, waiting, layout, columns, tape, gradient)


@kernel
def backward_row(shard, t, j, first, last, layout, carry, tape, dz, gate):
    """The cells of one row, backward, a range of vectors of units."""
    row = (get(layout.place, shard) + j) * layout.padded
    cells = move(tape.cells.start, (line_of(layout, shard, t) + j) * tape.cells.row)
    dh, dc = at(carry.h, row), at(carry.c, row)
    c_prev, c_step = move(tape.c_first.start, row), 1
    if t > 0:  # c_{t-1} is the last of its slots on the tape
        before = (line_of(layout, shard, t - 1) + j) * tape.cells.row
        c_prev = move(tape.cells.start, before + (SLOTS - 1) * lanes_of(carry.c))
        c_step = SLOTS
    ask_for_cells(shard, t, j, first, last, layout, tape)
    backward_cells(first, last, cells, c_prev, c_step, dh, dc, dz, gate)


@kernel
def _use_dz(shard, t_first, t_last, waiting, layout, columns, tape, gradient):
    """dW += dz' xh and dx = dz W_ih of the waiting lines, steps t_first to t_last."""
    noinline()
    capacity, dz_row = gradient.dz.shape[1], gradient.dz.shape[2]
    start = at(gradient.dz, (shard * capacity + capacity - waiting) * dz_row)
    dz = Block(start, dz_row, 1)
    line, w_k = line_of(layout, shard, t_first), 1 + layout.inputs + layout.outputs
    width = panel_width(columns.x)
    dW = at(gradient.dW, shard * 2 * layout.vectors * w_k * width)
    panels = at(gradient.panels, shard * PANELS_OF_DZ * LINES_OF_DZ * width)
    add_to_dW(0, 2 * layout.vectors, line, waiting, dz, layout.units, layout, tape, dW, panels)
    if gradient.dX.size > 0:
        k = 4 * layout.units
        dx = at(gradient.dx, shard * capacity * gradient.dx.shape[2])
        w_x = Block(at(columns.x, 0), k * width, width)
        put_dX(shard, t_first, t_last, waiting, dz, w_x, layout, dx, gradient.dX)


@kernel
def add_to_dW(first, last, line, lines, dz, gate, layout, tape, dW, panels):
    """dW += sum of dz xh' over lines of tape, a range of panels. dW (2U, K, W), dz (lines, 4 gate).

    A few panels of dz are brought together: in place, their lines would collide in the cache.
    """
    noinline()
    k, width = 1 + layout.inputs + layout.outputs, panel_width(dW)
    for part in range(0, lines, LINES_OF_DZ):
        count = min(LINES_OF_DZ, lines - part)
        xh = Block(move(tape.xh.start, (line + part) * tape.xh.row), 1, tape.xh.row)
        for p in range(first, last, PANELS_OF_DZ):
            high = min(PANELS_OF_DZ, last - p)
            for n in range(high):
                panel = move(panels, n * LINES_OF_DZ * width)
                copy_panel(panel, move(dz.start, part * dz.row), dz.row, p + n, gate, count)
            out = Block(move(dW, p * k * width), width, k * width)
            product(out, xh, Block(panels, LINES_OF_DZ * width, width), k, high, count, True)


@kernel
def copy_panel(panel, dz, dz_row, p, gate, count):
    """panel (count, W) = what belongs to panel p of dz (count, 4, gate)."""
    noinline()
    lanes = lanes_of(panel)
    source = move(dz, p % 2 * 2 * gate + p // 2 * lanes)
    for j in range(count):
        line = move(source, j * dz_row)
        store(panel, j * 2 * lanes, load(line, 0))
        store(panel, j * 2 * lanes + lanes, load(line, gate))


@kernel
def put_dX(shard, t_first, t_last, lines, dz, w, layout, dx, dX):
    """dx = dz W_ih of `lines` lines, steps t_first to t_last; dx (lines, padded I) is scratch."""
    noinline()
    row = (layout.inputs + w.column - 1) // w.column * w.column
    product(Block(dx, row, w.column), dz, w, lines, row // w.column, w.row // w.column, False)
    place = get(layout.place, shard)
    for t in range(t_first, t_last):
        for j in range(rows_at(layout, shard, t)):
            copy(in_caller(layout, dX, place + j, t, layout.inputs), dx, layout.inputs)
            dx = move(dx, row)

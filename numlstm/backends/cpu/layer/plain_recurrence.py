"""One LSTM layer over whole sequences in shards of rows, forward next to backward.

A shard is a group of rows (sequences) that one thread takes through all time steps without
meeting another. The letters in the shape comments: see `tape.py`.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.gemm import accumulate, ask_for, clear, copy, product
from numlstm.backends.cpu.codegen.packing import blocks, odd_cache_lines
from numlstm.backends.cpu.codegen.parallel import for_shards
from numlstm.backends.cpu.codegen.vectors import (
    Block,
    at,
    compact,
    get,
    itemsize_of,
    lanes_of,
    load,
    move,
    new,
    panel_width,
    store,
)
from numlstm.backends.cpu.layer.plain_cell import SLOTS, backward_cells, forward_cells
from numlstm.backends.cpu.layer.tape import (
    ask_for_cells,
    hidden,
    in_caller,
    line_of,
    most_rows,
    put_input,
    read_carry,
    read_plan,
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
def forward(driver, plan_numbers, weights, X, h, c, Y, h_last, c_last, memory, taped):
    """Fill Y (B, T, H), the last state and the tape.

    weights (2U, K, W), X (B, T, I), h and c (B, H); memory as `Shards.memory` says.
    """
    plan = read_plan(plan_numbers)
    lines = line_of(plan, plan.shards - 1, plan.steps)
    if lines < plan.batch * plan.steps:  # some rows are shorter: padding is zero
        clear(at(Y, 0), Y.size)
    tape = read_tape(plan, lines if taped else plan.batch, memory)
    carry = read_carry(plan, h, c)
    start_tape(plan, carry, tape, taped)
    z = new(h, (plan.batch, 4 * plan.vectors * lanes_of(h)))
    for_shards(forward_shard, driver, plan.shards, (plan, weights, X, Y, carry, z, tape, taped))
    write_carry(plan, carry, h_last, c_last)


@kernel
def forward_shard(shard, plan, weights, X, Y, carry, z, tape, taped):
    """z = W [1 x h], then the cell, for all t."""
    place, k, width = get(plan.place, shard), 1 + plan.inputs + plan.units, panel_width(weights)
    w = Block(at(weights, 0), k * width, width)
    z_rows = Block(at(z, place * z.shape[1]), z.shape[1], width)
    for t in range(plan.steps):
        line = line_of(plan, shard, t) if taped else place
        following = line_of(plan, shard, t + 1) if taped else place
        rows, rows_after = rows_at(plan, shard, t), rows_at(plan, shard, t + 1)
        for j in range(rows):
            put_input(line + j, place + j, t, plan, X, tape)
        xh = Block(move(tape.xh.start, line * tape.xh.row), tape.xh.row, 1)
        product(z_rows, xh, w, rows, 2 * plan.vectors, k, False)
        for j in range(rows):
            row = (place + j) * plan.padded
            h_now = hidden(following + j, plan, tape) if j < rows_after else at(carry.h, row)
            z_row = move(z_rows.start, j * z_rows.row)
            cells = move(tape.cells.start, (line + j) * tape.cells.row)
            forward_cells(0, plan.vectors, z_row, at(carry.c, row), h_now, cells)
            copy(in_caller(plan, Y, place + j, t, plan.units), h_now, plan.units)


# --- backward -------------------------------------------------------------------------------------


class Gradient(NamedTuple):
    """What a backward pass fills, and its scratch: lines of dz wait to be multiplied together."""

    dX: Any  # (B, T, I), or empty where it is not wanted
    dW: Any  # (shards, 2U, K, W) gradient of the packed weights
    dz: Any  # (shards, capacity, 4H) padded
    panels: Any  # (shards, PANELS_OF_DZ, LINES_OF_DZ, W) of dz
    dx: Any  # (shards, capacity, padded I)


@entry(allocates=True)
def backward(driver, plan_numbers, theta, dY, dh, dc, memory, dtheta, dX, dh_0, dc_0, dW):
    """Fill dtheta, dX (B, T, I), dh_0 and dc_0 (B, H); dY, dh, dc and dX may be empty.

    dW (shards, 2U, K, W) is scratch; it is large, so that Python allocates it.
    """
    plan = read_plan(plan_numbers)
    width, shards = panel_width(theta), plan.shards
    capacity = max(LINES_OF_DZ, most_rows(plan))
    wanted = plan.inputs if dX.size > 0 else 0
    columns = Columns(
        new(theta, (plan.padded // width, 4 * plan.units, width)),
        new(theta, (blocks(wanted, width), 4 * plan.units, width)),
    )
    pack_columns(driver, plan, theta, columns, plan.units)
    gradient = Gradient(
        dX,
        dW,
        new(dh, (shards, capacity, odd_cache_lines(4 * plan.units + width, itemsize_of(dh)))),
        new(dh, (shards, PANELS_OF_DZ, LINES_OF_DZ, width)),
        new(dh, (shards, capacity, columns.x.shape[0] * width)),
    )
    lines = line_of(plan, shards - 1, plan.steps)
    if lines < plan.batch * plan.steps:
        clear(at(dX, 0), dX.size)
    tape = read_tape(plan, lines, memory)
    carry = read_carry(plan, dh, dc)
    for_shards(backward_shard, driver, shards, (plan, columns, dY, carry, tape, gradient))
    sum_gradients(driver, plan, dW, dtheta)
    write_carry(plan, carry, dh_0, dc_0)


@kernel
def backward_shard(shard, plan, columns, dY, carry, tape, gradient):
    """dz from the tape, dh = dz W_hh, back in t. dY (B, T, H) or empty."""
    place, k, width = get(plan.place, shard), 4 * plan.units, panel_width(columns.h)
    capacity, dz_row = gradient.dz.shape[1], gradient.dz.shape[2]
    dh = Block(at(carry.h, place * plan.padded), plan.padded, width)
    w_h = Block(at(columns.h, 0), k * width, width)
    size = gradient.dW.size // plan.shards
    clear(at(gradient.dW, shard * size), size)
    waiting, last = 0, plan.steps
    for t in range(plan.steps - 1, -1, -1):
        rows = rows_at(plan, shard, t)
        if waiting + rows > capacity:
            _use_dz(shard, t + 1, last, waiting, plan, columns, tape, gradient)
            waiting, last = 0, t + 1
        waiting += rows
        start = at(gradient.dz, (shard * capacity + capacity - waiting) * dz_row)
        for j in range(rows):
            dh_row = move(dh.start, j * plan.padded)
            if dY.size > 0:
                dy = in_caller(plan, dY, place + j, t, plan.units)
                accumulate(dh_row, dy, plan.units)
                ask_for(move(dy, -plan.units), plan.units)
            dz = move(start, j * dz_row)
            backward_row(shard, t, j, 0, plan.vectors, plan, carry, tape, dz, plan.units)
        product(dh, Block(start, dz_row, 1), w_h, rows, plan.padded // width, k, False)
    _use_dz(shard, 0, last, waiting, plan, columns, tape, gradient)


@kernel
def backward_row(shard, t, j, first, last, plan, carry, tape, dz, gate):
    """The cells of one row, backward, a range of vectors of units."""
    row = (get(plan.place, shard) + j) * plan.padded
    cells = move(tape.cells.start, (line_of(plan, shard, t) + j) * tape.cells.row)
    dh, dc = at(carry.h, row), at(carry.c, row)
    c_prev, c_step = move(tape.c_first.start, row), 1
    if t > 0:  # c_{t-1} is the last of its slots on the tape
        before = (line_of(plan, shard, t - 1) + j) * tape.cells.row
        c_prev = move(tape.cells.start, before + (SLOTS - 1) * lanes_of(carry.c))
        c_step = SLOTS
    ask_for_cells(shard, t, j, first, last, plan, tape)
    backward_cells(first, last, cells, c_prev, c_step, dh, dc, dz, gate)


@kernel
def _use_dz(shard, t_first, t_last, waiting, plan, columns, tape, gradient):
    """dW += dz' xh and dx = dz W_ih of the waiting lines, steps t_first to t_last."""
    compact()
    capacity, dz_row = gradient.dz.shape[1], gradient.dz.shape[2]
    start = at(gradient.dz, (shard * capacity + capacity - waiting) * dz_row)
    dz = Block(start, dz_row, 1)
    line, w_k = line_of(plan, shard, t_first), 1 + plan.inputs + plan.outputs
    width = panel_width(columns.x)
    dW = at(gradient.dW, shard * 2 * plan.vectors * w_k * width)
    panels = at(gradient.panels, shard * PANELS_OF_DZ * LINES_OF_DZ * width)
    add_to_dW(0, 2 * plan.vectors, line, waiting, dz, plan.units, plan, tape, dW, panels)
    if gradient.dX.size > 0:
        k = 4 * plan.units
        dx = at(gradient.dx, shard * capacity * gradient.dx.shape[2])
        w_x = Block(at(columns.x, 0), k * width, width)
        put_dX(shard, t_first, t_last, waiting, dz, w_x, plan, dx, gradient.dX)


@kernel
def add_to_dW(first, last, line, lines, dz, gate, plan, tape, dW, panels):
    """dW += sum of dz xh' over lines of tape, a range of panels. dW (2U, K, W), dz (lines, 4 gate).

    A few panels of dz are brought together: in place, their lines would collide in the cache.
    """
    compact()
    k, width = 1 + plan.inputs + plan.outputs, panel_width(dW)
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
    compact()
    lanes = lanes_of(panel)
    source = move(dz, p % 2 * 2 * gate + p // 2 * lanes)
    for j in range(count):
        line = move(source, j * dz_row)
        store(panel, j * 2 * lanes, load(line, 0))
        store(panel, j * 2 * lanes + lanes, load(line, gate))


@kernel
def put_dX(shard, t_first, t_last, lines, dz, w, plan, dx, dX):
    """dx = dz W_ih of `lines` lines, steps t_first to t_last; dx (lines, padded I) is scratch."""
    compact()
    row = (plan.inputs + w.column - 1) // w.column * w.column
    product(Block(dx, row, w.column), dz, w, lines, row // w.column, w.row // w.column, False)
    place = get(plan.place, shard)
    for t in range(t_first, t_last):
        for j in range(rows_at(plan, shard, t)):
            copy(in_caller(plan, dX, place + j, t, plan.inputs), dx, plan.inputs)
            dx = move(dx, row)

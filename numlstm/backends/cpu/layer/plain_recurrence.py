"""One LSTM layer over whole sequences in shards of rows, forward next to backward.

A shard is a group of rows (sequences) that one thread takes through all time steps without
meeting another. The letters in the shape comments: see `tape.py`.

The variants have a loop over time of their own, in `recurrence.py`. One loop for both, with the
cell's functions as arguments, passed on all of a layer at every step: for 8 units and one row it
took 6 % longer forward and 30 % longer backward.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.gemm import (
    accumulate,
    ask_for,
    clear,
    copy,
    product,
    product_from,
)
from numlstm.backends.cpu.codegen.packing import blocks, odd_cache_lines
from numlstm.backends.cpu.codegen.parallel import for_shards
from numlstm.backends.cpu.codegen.vectors import (
    Block,
    at,
    get,
    itemsize_of,
    lanes_of,
    move,
    new,
    panel_width,
)
from numlstm.backends.cpu.layer.plain_cell import SLOTS, backward_cells, forward_cells
from numlstm.backends.cpu.layer.row_terms import block_of
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
from numlstm.backends.cpu.layer.weights import (
    LINES_OF_DZ,
    PANELS_OF_DZ,
    Columns,
    pack_columns,
    sum_gradients,
    use_dz,
)

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
    arguments = layout, weights, inputs.X, inputs.terms, outputs.Y, carry, z, tape, taped
    for_shards(forward_shard, driver, layout.shards, arguments)
    write_carry(layout, carry, outputs)


@kernel
def forward_shard(shard, layout, weights, X, terms, Y, carry, z, tape, taped):
    """z = W [1 x h] + the row's terms, then the cell, for all t."""
    place, width = get(layout.place, shard), panel_width(weights)
    k = 1 + layout.inputs + layout.units
    w = Block(at(weights, 0), k * width, width)
    z_rows = Block(at(z, place * z.shape[1]), z.shape[1], width)
    own = block_of(shard, layout, terms, z_rows)
    for t in range(layout.steps):
        line = line_of(layout, shard, t) if taped else place
        following = line_of(layout, shard, t + 1) if taped else place
        rows, rows_after = rows_at(layout, shard, t), rows_at(layout, shard, t + 1)
        for j in range(rows):
            put_input(line + j, place + j, t, layout, X, tape)
        xh = Block(move(tape.xh.start, line * tape.xh.row), tape.xh.row, 1)
        product_from(z_rows, own, xh, w, rows, 2 * layout.vectors, k, terms.size > 0)
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
    dW: Any  # (shards, 2U, K, W) gradient of the packed weights, or empty where not wanted
    dz: Any  # (shards, capacity, 4H) padded
    panels: Any  # (shards, PANELS_OF_DZ, LINES_OF_DZ, W) of dz
    dx: Any  # (shards, capacity, padded I)
    terms: Any  # of what rows have in z at all steps, zero at first: see `row_terms.py`


@entry(allocates=True)
def backward(driver, numbers, theta, memory, doutputs, dinputs, dtheta, dW):
    """Fill dtheta and dinputs; arrays of doutputs, and dinputs.X, may be empty.

    dW (shards, 2U, K, W) is scratch; it is large, so that Python allocates it. Where it is empty,
    dtheta is not filled.
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
        dinputs.terms,
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
    place, gate, width = get(layout.place, shard), layout.units, panel_width(columns.h)
    capacity, dz_row = gradient.dz.shape[1], gradient.dz.shape[2]
    dh = Block(at(carry.h, place * layout.padded), layout.padded, width)
    w_h = Block(at(columns.h, 0), 4 * gate * width, width)
    size = gradient.dW.size // layout.shards
    clear(at(gradient.dW, shard * size), size)
    waiting, last = 0, layout.steps
    for t in range(layout.steps - 1, -1, -1):
        rows = rows_at(layout, shard, t)
        if waiting + rows > capacity:
            use_dz(shard, t + 1, last, waiting, gate, layout, columns, tape, gradient)
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
            backward_row(shard, t, j, 0, layout.vectors, layout, carry, tape, dz, gate)
        product(dh, Block(start, dz_row, 1), w_h, rows, layout.padded // width, 4 * gate, False)
    use_dz(shard, 0, last, waiting, gate, layout, columns, tape, gradient)


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

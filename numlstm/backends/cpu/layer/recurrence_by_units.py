"""One LSTM layer whose weights are large, in shards of units, forward next to backward.

Where the weights do not fit the caches, a shard of rows would read all of them at every step. Here
a shard is a group of units with all rows: it reads its own part of the weights, and the shards meet
once per step. The input's part of z and all gradients of weights and inputs do not depend on the
step before; they are large products, outside of the steps. The letters: see `tape.py`.
"""

from typing import Any, NamedTuple

import numpy as np

from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.gemm import accumulate, clear, copy, corner, product
from numlstm.backends.cpu.codegen.packing import blocks
from numlstm.backends.cpu.codegen.parallel import for_shards
from numlstm.backends.cpu.codegen.vectors import Block, at, lanes_of, move, panel_width
from numlstm.backends.cpu.layer.plain_cell import forward_cells
from numlstm.backends.cpu.layer.plain_recurrence import backward_row
from numlstm.backends.cpu.layer.row_terms import add_lines, block_of, put_row_terms
from numlstm.backends.cpu.layer.tape import (
    Inputs,
    Outputs,
    hidden,
    in_caller,
    line_of,
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
    Summed,
    add_to_dW,
    pack_columns,
    put_dX,
    unpack,
)

MAX_GROUPS = 32  # shards


class Group(NamedTuple):
    """A share of the units: panels of h, vectors of units, and the elements they cover."""

    first_panel: int
    last_panel: int
    first: int
    last: int
    unit: int
    units: int


@kernel
def groups_of(layout, width):
    """How many groups the units are cut into."""
    return min(MAX_GROUPS, layout.padded // width)


@kernel
def read_group(group, layout, width):
    """The group's share: panels of h dealt evenly, two vectors of units each."""
    panels, groups = layout.padded // width, groups_of(layout, width)
    first, last = group * panels // groups, (group + 1) * panels // groups
    unit = first * width
    units = min(layout.units, last * width) - unit
    return Group(first, last, 2 * first, min(2 * last, layout.vectors), unit, units)


# --- forward --------------------------------------------------------------------------------------


@entry(allocates=True)
def forward(driver, numbers, weights, inputs, outputs, memory, taped):
    """Fill the outputs and the tape, like `plain_recurrence.forward`."""
    layout, inputs, outputs = read_layout(numbers), Inputs(*inputs), Outputs(*outputs)
    lines = line_of(layout, 0, layout.steps)
    if lines < layout.batch * layout.steps:
        clear(at(outputs.Y, 0), outputs.Y.size)
    tape = read_tape(layout, lines if taped else min(lines, layout.chunk * layout.batch), memory)
    carry = read_carry(layout, inputs)
    start_tape(layout, carry, tape, True)
    X, terms, Y = inputs.X, inputs.terms, outputs.Y
    z = np.empty((layout.chunk * layout.batch, 4 * layout.vectors * lanes_of(X)), X.dtype)
    groups = groups_of(layout, panel_width(X))
    for t in range(layout.steps):
        if t % layout.chunk == 0:
            _put_inputs(t, layout, X, tape, taped)
        given = t, layout, weights, terms, Y, carry, z, tape, taped
        for_shards(forward_group, driver, groups, given)
    write_carry(layout, carry, outputs)


@kernel
def _line(layout, t, first, taped):
    """The line of step t; without a tape every chunk, from step `first` on, uses the same ones."""
    return line_of(layout, 0, t) - (0 if taped else line_of(layout, 0, first))


@kernel
def _put_inputs(first, layout, X, tape, taped):
    """1, x_t to the lines of the chunk that begins at step `first`."""
    for t in range(first, min(first + layout.chunk, layout.steps)):
        line = _line(layout, t, first, taped)
        for j in range(rows_at(layout, 0, t)):
            put_input(line + j, j, t, layout, X, tape)


@kernel
def forward_group(group, t, layout, weights, terms, Y, carry, z, tape, taped):
    """Step t of a group: z += W_hh h, then the cell; at the first of a chunk, all its W_ih x."""
    width, k = panel_width(weights), 1 + layout.inputs + layout.units
    share = read_group(group, layout, width)
    first_panel = 2 * share.first
    panels = 2 * (share.last - share.first)
    first = t - t % layout.chunk
    begin = line_of(layout, 0, first)
    end = line_of(layout, 0, min(first + layout.chunk, layout.steps))
    z_all = Block(at(z, first_panel * width), z.shape[1], width)
    w = Block(at(weights, first_panel * k * width), k * width, width)
    if t == first:
        line = _line(layout, t, first, taped)
        xh = Block(move(tape.xh.start, line * tape.xh.row), tape.xh.row, 1)
        if terms.size > 0:
            own = corner(block_of(0, layout, terms, z_all), 0, first_panel)
            for s in range(first, min(first + layout.chunk, layout.steps)):
                z_step = corner(z_all, line_of(layout, 0, s) - begin, 0)
                put_row_terms(own, rows_at(layout, 0, s), panels, z_step)
        product(z_all, xh, w, end - begin, panels, 1 + layout.inputs, terms.size > 0)
    line, rows = _line(layout, t, first, taped), rows_at(layout, 0, t)
    z_rows = Block(move(z_all.start, (line_of(layout, 0, t) - begin) * z_all.row), z_all.row, width)
    w_h = Block(move(w.start, (1 + layout.inputs) * width), k * width, width)
    product(
        z_rows,
        Block(hidden(line, layout, tape), tape.xh.row, 1),
        w_h,
        rows,
        panels,
        layout.units,
        True,
    )

    rows_after = rows_at(layout, 0, t + 1)
    following = _line(layout, t + 1, first, taped) if t + 1 < first + layout.chunk or taped else 0
    for j in range(rows):
        row = j * layout.padded
        h_now = hidden(following + j, layout, tape) if j < rows_after else at(carry.h, row)
        z_row = at(z, (line_of(layout, 0, t) - begin + j) * z.shape[1])
        cells = move(tape.cells.start, (line + j) * tape.cells.row)
        forward_cells(share.first, share.last, z_row, at(carry.c, row), h_now, cells)
        y = in_caller(layout, Y, j, t, layout.units)
        copy(move(y, share.unit), move(h_now, share.unit), share.units)


# --- backward -------------------------------------------------------------------------------------


class Scratch(NamedTuple):
    """Scratch of a backward pass; it is large, so that Python allocates it."""

    dz: Any  # (N, 4 U * L) padded, so that its rows do not collide in the cache
    columns: Columns  # 4 U * L rows
    dW: Any  # (2U, K, W), or empty where it is not wanted
    panels: Any  # (groups, PANELS_OF_DZ, LINES_OF_DZ, W)
    dx: Any  # (groups, lines of a chunk, padded I)


@entry(allocates=True)
def backward(driver, numbers, theta, memory, doutputs, dinputs, dtheta, scratch):
    """Fill dtheta and dinputs, like `plain_recurrence.backward`."""
    layout, doutputs, dinputs = read_layout(numbers), Outputs(*doutputs), Inputs(*dinputs)
    dX = dinputs.X
    groups, lines = groups_of(layout, panel_width(theta)), line_of(layout, 0, layout.steps)
    if lines < layout.batch * layout.steps:
        clear(at(dX, 0), dX.size)
    tape = read_tape(layout, lines, memory)
    carry = read_carry(layout, doutputs)
    pack_columns(driver, layout, theta, scratch.columns, layout.vectors * lanes_of(theta))
    for t in range(layout.steps - 1, -2, -1):
        for_shards(backward_group, driver, groups, (t, layout, doutputs.Y, carry, tape, scratch))
    for_shards(dW_of_group, driver, groups, (layout, tape, scratch, dtheta, dinputs.terms))
    if dX.size > 0:
        for_shards(dX_of_group, driver, groups, (groups, layout, scratch, dX))
    write_carry(layout, carry, dinputs)


@kernel
def backward_group(group, t, layout, dY, carry, tape, scratch):
    """dh_t = dz_{t+1} W_hh, then dz_t, of a group of units; t = -1: dh_0 alone."""
    width, gate = panel_width(dY), layout.vectors * lanes_of(dY)
    share, k = read_group(group, layout, width), 4 * gate
    after, dz_row = rows_at(layout, 0, t + 1), scratch.dz.shape[1]
    if after > 0:
        dz = Block(at(scratch.dz, line_of(layout, 0, t + 1) * dz_row), dz_row, 1)
        dh = Block(at(carry.h, share.unit), layout.padded, width)
        w = Block(at(scratch.columns.h, share.first_panel * k * width), k * width, width)
        product(dh, dz, w, after, share.last_panel - share.first_panel, k, False)
    if t < 0:
        return
    line = line_of(layout, 0, t)
    for j in range(rows_at(layout, 0, t)):
        if dY.size > 0:
            dy = move(in_caller(layout, dY, j, t, layout.units), share.unit)
            accumulate(at(carry.h, j * layout.padded + share.unit), dy, share.units)
        dz = at(scratch.dz, (line + j) * dz_row)
        backward_row(0, t, j, share.first, share.last, layout, carry, tape, dz, gate)


@kernel
def dW_of_group(group, layout, tape, scratch, dtheta, dterms):
    """dW = sum of dz xh' over all lines, of the group's units, and from there to dtheta.

    And the sums of dz by rows. An empty dW is not wanted.
    """
    width, k = panel_width(dtheta), 1 + layout.inputs + layout.units
    gate = layout.vectors * lanes_of(dtheta)
    share, lines = read_group(group, layout, width), line_of(layout, 0, layout.steps)
    dz, dW = Block(at(scratch.dz, 0), scratch.dz.shape[1], 1), at(scratch.dW, 0)
    panels = at(scratch.panels, group * PANELS_OF_DZ * LINES_OF_DZ * width)
    first, last = 2 * share.first, 2 * share.last
    if dterms.size > 0:
        add_lines(0, 0, layout.steps, first, last, dz, gate, layout, dterms)
    if scratch.dW.size == 0:
        return
    clear(move(dW, first * k * width), (last - first) * k * width)
    apart = Summed(0, 0, 0, dterms)
    add_to_dW(first, last, 0, lines, dz, gate, layout, tape, dW, panels, apart)
    for u in range(share.first, share.last):
        unpack(u, layout, dW, dtheta)


@kernel
def dX_of_group(group, groups, layout, scratch, dX):
    """dX = dz W_ih, every so many chunks of steps."""
    width, dz_row = panel_width(dX), scratch.dz.shape[1]
    k = 4 * layout.vectors * lanes_of(dX)
    dx = at(scratch.dx, group * scratch.dx.shape[1] * scratch.dx.shape[2])
    w = Block(at(scratch.columns.x, 0), k * width, width)
    for chunk in range(group, blocks(layout.steps, layout.chunk), groups):
        t, end = chunk * layout.chunk, min((chunk + 1) * layout.chunk, layout.steps)
        line = line_of(layout, 0, t)
        dz = Block(at(scratch.dz, line * dz_row), dz_row, 1)
        put_dX(0, t, end, line_of(layout, 0, end) - line, dz, w, layout, dx, dX)

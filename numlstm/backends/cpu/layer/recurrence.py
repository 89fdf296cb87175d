"""One LSTM layer of any variant, with resets and noise: as `layer.py`, which has the plain one.

The letters in the shape comments: see `tape.py`; P outputs per step.
"""

from typing import Any, NamedTuple

import numpy as np

from numlstm.backends.cpu.codegen.compile import entry, kernel, kernel_that_allocates
from numlstm.backends.cpu.codegen.gemm import accumulate, ask_for, clear, copy, product, scale
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
from numlstm.backends.cpu.layer.plain_recurrence import LINES_OF_DZ, PANELS_OF_DZ, add_to_dW, put_dX
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
    write_carry,
)
from numlstm.backends.cpu.layer.variant_cell import (
    A,
    C,
    O,
    Row,
    backward_row,
    forward_row,
)
from numlstm.backends.cpu.layer.weights import Columns, pack_columns, sum_gradients
from numlstm.cell.elementary import fma, like
from numlstm.cell.encoding import INITIAL_C, INITIAL_H, UNIT_ROWS, with_ends
from numlstm.cell.equations import mixed


class Parameters(NamedTuple):
    """What a layer has beside its gates."""

    unit: Any  # (UNIT_ROWS, padded H), zero where the variant has none
    out: Any  # panels of W_hr, (padded P / W, H, W), empty without a projection
    back: Any  # panels of its transpose, (padded H / W, P, W)


class Switches(NamedTuple):
    """What acts on the sequence from outside; an empty array is nothing."""

    reset: Any  # (B, T) of bytes
    x: Any  # (B, I)
    h: Any  # (B, P)
    g: Any  # (B, T or 1, H)
    keep_h: Any  # (B, T or 1, P)
    keep_c: Any  # (B, T or 1, H)


class Work(NamedTuple):
    """Scratch of a pass, by place or by shard, padded."""

    z: Any  # (B, U * 4 * L) forward: pre-activations
    m: Any  # (B, padded H) o a, or its gradient
    out: Any  # (B, padded P) the new hidden state before zoneout, or its gradient
    mask_h: Any  # (B, padded P)
    m_g: Any  # (shards, padded H), and so the next two: noise of one row at one step
    keep_c: Any
    keep_h: Any
    dn: Any


@kernel_that_allocates
def new_work(plan, switches, array):
    """Scratch for numbers like the array's; factors are 1 where there is no noise."""
    compact()
    batch, padded, out, dtype = plan.batch, plan.padded, plan.padded_out, switches.x.dtype
    work = Work(
        new(array, (batch, 4 * plan.vectors * lanes_of(array))),
        new_zeros(array, (batch, padded)),
        new_zeros(array, (batch, out)),
        np.ones((batch, out), dtype),
        np.ones((plan.shards, padded), dtype),
        np.ones((plan.shards, padded), dtype),
        np.ones((plan.shards, out), dtype),
        new_zeros(array, (plan.shards, padded)),
    )
    if switches.h.size > 0:
        for place in range(batch):
            mask = at(switches.h, get(plan.order, place) * plan.outputs)
            copy(at(work.mask_h, place * out), mask, plan.outputs)
    return work


@kernel_that_allocates
def new_zeros(array, shape):
    """An array of zeros for numbers like those of another one."""
    zeros = new(array, shape)
    clear(at(zeros, 0), zeros.size)
    return zeros


@kernel
def at_step(plan, noise, place, t, width):
    """Pointer to the factors of a row at step t; what has but one step is the same at all."""
    steps = noise.shape[1]
    return at(noise, (get(plan.order, place) * steps + min(t, steps - 1)) * width)


@kernel
def read_ahead(target, noise, count, step):
    """target = noise, and ask for the factors of the next step, `step` (1 or -1) further."""
    copy(target, noise, count)
    ask_for(move(noise, step * count), count)


@kernel
def row_at(shard, place, line, t, step, plan, switches, work, tape, c_prev, c_step):
    """What the cells of one row take beside z, with its noise at step t."""
    compact()
    m_g, keep_c = at(work.m_g, shard * plan.padded), at(work.keep_c, shard * plan.padded)
    if switches.g.size > 0:
        read_ahead(m_g, at_step(plan, switches.g, place, t, plan.units), plan.units, step)
    if switches.keep_c.size > 0:
        noise = at_step(plan, switches.keep_c, place, t, plan.units)
        read_ahead(keep_c, noise, plan.units, step)
    cells = move(tape.cells.start, line * tape.cells.row)
    return Row(cells, c_prev, c_step, m_g, keep_c)


@kernel
def keep_h_at(shard, place, t, step, plan, switches, work):
    """The share of the new hidden state of one row at step t."""
    compact()
    keep = at(work.keep_h, shard * plan.padded_out)
    if switches.keep_h.size > 0:
        noise = at_step(plan, switches.keep_h, place, t, plan.outputs)
        read_ahead(keep, noise, plan.outputs, step)
    return keep


@kernel
def resets_at(plan, switches, place, t):
    """Whether the state of a row begins anew before step t."""
    if switches.reset.size == 0:
        return False
    return get(at(switches.reset, get(plan.order, place) * plan.steps + t), 0) != 0


# --- forward --------------------------------------------------------------------------------------


@entry(allocates=True)
def forward(
    driver, numbers, weights, parameters, switches, cell, X, h, c, Y, h_last, c_last, memory,
    taped,
):  # fmt: skip
    """As `layer.forward`."""
    plan = read_plan(numbers)
    lines = line_of(plan, plan.shards - 1, plan.steps)
    if lines < plan.batch * plan.steps:
        clear(at(Y, 0), Y.size)
    tape = read_tape(plan, lines if taped else plan.batch, memory)
    carry = read_carry(plan, h, c)
    copy(tape.c_first.start, at(carry.c, 0), plan.batch * plan.padded)
    work = new_work(plan, switches, h)
    arguments = (plan, cell, weights, parameters, switches, X, Y, carry, work, tape, taped)
    for_shards(forward_shard, driver, plan.shards, arguments)
    write_carry(plan, carry, h_last, c_last)


@kernel
def forward_shard(shard, plan, cell, weights, parameters, switches, X, Y, carry, work, tape, taped):
    """z = W [1 x h], then the cell, for all t."""
    place, k, width = get(plan.place, shard), 1 + plan.inputs + plan.outputs, panel_width(weights)
    w, z_row = Block(at(weights, 0), k * width, width), work.z.shape[1]
    z = Block(at(work.z, place * z_row), z_row, width)
    m = Block(at(work.m, place * plan.padded), plan.padded, 1)
    out = Block(at(work.out, place * plan.padded_out), plan.padded_out, width)
    w_out = Block(at(parameters.out, 0), plan.units * width, width)
    unit = at(parameters.unit, 0)
    for t in range(plan.steps):
        line = line_of(plan, shard, t) if taped else place
        rows = rows_at(plan, shard, t)
        for j in range(rows):
            put_line(line + j, place + j, t, plan, unit, switches, X, carry, work, tape)
        xh = Block(move(tape.xh.start, line * tape.xh.row), tape.xh.row, 1)
        product(z, xh, w, rows, 2 * plan.vectors, k, False)
        for j in range(rows):
            c_now = at(carry.c, (place + j) * plan.padded)
            row = row_at(shard, place + j, line + j, t, 1, plan, switches, work, tape, c_now, 1)
            z_j, m_j = move(z.start, j * z.row), move(m.start, j * m.row)
            forward_row(plan, cell, unit, row, z_j, c_now, m_j)
        if cell.projected:
            product(out, m, w_out, rows, plan.padded_out // width, plan.units, False)
        for j in range(rows):
            h_new = move(out.start, j * out.row) if cell.projected else move(m.start, j * m.row)
            h_now = at(carry.h, (place + j) * plan.padded_out)
            keep = keep_h_at(shard, place + j, t, 1, plan, switches, work)
            mix_rows(h_now, keep, h_new, h_now, plan.padded_out)
            copy(in_caller(plan, Y, place + j, t, plan.outputs), h_now, plan.outputs)


@kernel
def put_line(line, place, t, plan, unit, switches, X, carry, work, tape):
    """xh[line] = 1, x_t and h_{t-1} under their masks; the state anew where it is reset."""
    compact()
    h_now = at(carry.h, place * plan.padded_out)
    if resets_at(plan, switches, place, t):
        copy(h_now, move(unit, INITIAL_H * plan.padded), plan.outputs)
        copy(at(carry.c, place * plan.padded), move(unit, INITIAL_C * plan.padded), plan.units)
    put_input(line, place, t, plan, X, tape)
    if switches.x.size > 0:
        mask = at(switches.x, get(plan.order, place) * plan.inputs)
        scale(move(tape.xh.start, line * tape.xh.row + 1), mask, plan.inputs)
    h_line = hidden(line, plan, tape)
    copy(h_line, h_now, plan.outputs)
    if switches.h.size > 0:
        scale(h_line, at(work.mask_h, place * plan.padded_out), plan.outputs)


@kernel
def mix_rows(target, keep, fresh, old, count):
    """target = keep fresh + (1 - keep) old, whole vectors."""
    lanes = lanes_of(fresh)
    for i in range(0, count, lanes):
        store(target, i, mixed(load(keep, i), load(fresh, i), load(old, i)))


# --- backward -------------------------------------------------------------------------------------


class Gradient(NamedTuple):
    """What a backward pass fills, and its scratch."""

    dX: Any  # (B, T, I), or empty where it is not wanted
    dW: Any  # (shards, 2U, K, W)
    dunit: Any  # (shards, UNIT_ROWS, padded H), zero at first, and so the next
    dout: Any  # (shards, padded H / W, P, W) of W_hr, or empty
    dz: Any  # (shards, capacity, 4 U L) padded
    dh: Any  # (shards, capacity, padded P) of the new hidden state
    panels: Any  # (shards, PANELS_OF_DZ, LINES_OF_DZ, W)
    dx: Any  # (shards, capacity, padded I)


@entry(allocates=True)
def backward(
    driver, numbers, theta, dY, dh, dc, memory, dtheta, dX, dh_0, dc_0, dW,
    parameters, switches, cell, dunit, dout,
):  # fmt: skip
    """As `layer.backward`; dtheta is filled up to the biases, dunit and dout by shards."""
    plan = read_plan(numbers)
    width, shards = panel_width(theta), plan.shards
    capacity, gate = max(LINES_OF_DZ, most_rows(plan)), plan.vectors * lanes_of(theta)
    x_panels = blocks(plan.inputs, width) if dX.size > 0 else 0
    columns = Columns(
        new(theta, (plan.padded_out // width, 4 * gate, width)),
        new(theta, (x_panels, 4 * gate, width)),
    )
    pack_columns(driver, plan, theta, columns, gate)
    gradient = Gradient(
        dX,
        dW,
        dunit,
        dout,
        new(dh, (shards, capacity, odd_cache_lines(4 * gate, itemsize_of(dh)))),
        new(dh, (shards, capacity, plan.padded_out)),
        new(dh, (shards, PANELS_OF_DZ, LINES_OF_DZ, width)),
        new(dh, (shards, capacity, x_panels * width)),
    )
    lines = line_of(plan, shards - 1, plan.steps)
    if lines < plan.batch * plan.steps:
        clear(at(dX, 0), dX.size)
    tape, carry = read_tape(plan, lines, memory), read_carry(plan, dh, dc)
    work, complete = new_work(plan, switches, dh), with_ends(cell, like(get(at(dh, 0), 0), 0.0))
    arguments = (plan, complete, columns, parameters, switches, dY, carry, work, tape, gradient)
    for_shards(backward_shard, driver, shards, arguments)
    sum_gradients(driver, plan, dW, dtheta)
    write_carry(plan, carry, dh_0, dc_0)


@kernel
def backward_shard(
    shard, plan, cell, columns, parameters, switches, dY, carry, work, tape, gradient
):
    """dz from the tape, dh = dz W_hh, back in t. dY (B, T, P) or empty."""
    place, width, lanes = get(plan.place, shard), panel_width(columns.h), lanes_of(columns.h)
    k, capacity, dz_row = 4 * plan.vectors * lanes, gradient.dz.shape[1], gradient.dz.shape[2]
    w_h = Block(at(columns.h, 0), k * width, width)
    back = Block(at(parameters.back, 0), plan.outputs * width, width)
    dm_all = Block(at(work.m, place * plan.padded), plan.padded, width)
    dh_all = Block(at(work.out, place * plan.padded_out), plan.padded_out, width)
    unit = at(parameters.unit, 0)
    dunit = at(gradient.dunit, shard * UNIT_ROWS * plan.padded)
    dn = at(work.dn, shard * plan.padded)
    size = gradient.dW.size // plan.shards
    clear(at(gradient.dW, shard * size), size)
    waiting, last = 0, plan.steps
    for t in range(plan.steps - 1, -1, -1):
        rows = rows_at(plan, shard, t)
        if waiting + rows > capacity:
            use_lines(shard, t + 1, last, waiting, plan, cell, columns, switches, tape, gradient)
            waiting, last = 0, t + 1
        waiting += rows
        slot = shard * capacity + capacity - waiting
        dz = Block(at(gradient.dz, slot * dz_row), dz_row, 1)
        dh_new = Block(at(gradient.dh, slot * plan.padded_out), plan.padded_out, 1)
        for j in range(rows):
            keep = keep_h_at(shard, place + j, t, -1, plan, switches, work)
            dh = at(carry.h, (place + j) * plan.padded_out)
            if dY.size > 0:
                accumulate(dh, in_caller(plan, dY, place + j, t, plan.outputs), plan.outputs)
            part_rows(move(dh_new.start, j * dh_new.row), dh, keep, plan.padded_out)
        if cell.projected:
            product(dm_all, dh_new, back, rows, plan.padded // width, plan.outputs, False)
        for j in range(rows):
            dm = move(dh_new.start, j * dh_new.row)
            if cell.projected:
                dm = move(dm_all.start, j * dm_all.row)
            ask_for_cells(shard, t, j, 0, plan.vectors, plan, tape)
            c_prev, c_step = c_before(shard, t, j, plan, unit, switches, tape)
            line = line_of(plan, shard, t) + j
            row = row_at(shard, place + j, line, t, -1, plan, switches, work, tape, c_prev, c_step)
            dc = at(carry.c, (place + j) * plan.padded)
            backward_row(plan, cell, unit, row, dm, dn, dc, move(dz.start, j * dz.row), dunit)
        product(dh_all, dz, w_h, rows, plan.padded_out // width, k, False)
        for j in range(rows):
            dh = at(carry.h, (place + j) * plan.padded_out)
            mask = at(work.mask_h, (place + j) * plan.padded_out)
            add_product(dh, mask, move(dh_all.start, j * dh_all.row), plan.padded_out)
            if resets_at(plan, switches, place + j, t):
                dc = at(carry.c, (place + j) * plan.padded)
                accumulate(move(dunit, INITIAL_H * plan.padded), dh, plan.outputs)
                accumulate(move(dunit, INITIAL_C * plan.padded), dc, plan.units)
                clear(dh, plan.padded_out)
                clear(dc, plan.padded)
    use_lines(shard, 0, last, waiting, plan, cell, columns, switches, tape, gradient)


@kernel
def part_rows(dh_new, dh, keep, count):
    """Zoneout backward: dh_new = keep dh, and dh = (1 - keep) dh is what remains."""
    lanes = lanes_of(dh)
    for i in range(0, count, lanes):
        value = load(dh, i)
        store(dh_new, i, load(keep, i) * value)
        store(dh, i, (like(value, 1.0) - load(keep, i)) * value)


@kernel
def add_product(target, a, b, count):
    """target += a b, whole vectors."""
    lanes = lanes_of(a)
    for i in range(0, count, lanes):
        store(target, i, fma(load(a, i), load(b, i), load(target, i)))


@kernel
def c_before(shard, t, j, plan, unit, switches, tape):
    """c_{t-1} of a row as (pointer, distance of its vectors): where it was reset, anew."""
    compact()
    place = get(plan.place, shard) + j
    if resets_at(plan, switches, place, t):
        return move(unit, INITIAL_C * plan.padded), 1
    if t == 0:
        return move(tape.c_first.start, place * plan.padded), 1
    line = line_of(plan, shard, t - 1) + j
    return move(tape.cells.start, line * tape.cells.row + C * lanes_of(unit)), plan.slots


@kernel
def use_lines(shard, t_first, t_last, waiting, plan, cell, columns, switches, tape, gradient):
    """dW += dz' xh, dW_hr += dh' m and dx = dz W_ih of the waiting lines."""
    compact()
    capacity, dz_row, width = gradient.dz.shape[1], gradient.dz.shape[2], panel_width(columns.x)
    gate, slot = plan.vectors * lanes_of(columns.x), shard * capacity + capacity - waiting
    dz = Block(at(gradient.dz, slot * dz_row), dz_row, 1)
    line, k = line_of(plan, shard, t_first), 1 + plan.inputs + plan.outputs
    dW = at(gradient.dW, shard * 2 * plan.vectors * k * width)
    panels = at(gradient.panels, shard * PANELS_OF_DZ * LINES_OF_DZ * width)
    add_to_dW(0, 2 * plan.vectors, line, waiting, dz, gate, plan, tape, dW, panels)
    if cell.projected:
        dh = Block(at(gradient.dh, slot * plan.padded_out), 1, plan.padded_out)
        dout = at(gradient.dout, shard * plan.padded * plan.outputs)
        add_to_dout(line, waiting, plan, dh, tape, dout, panels)
    if gradient.dX.size > 0:
        dx = at(gradient.dx, shard * capacity * gradient.dx.shape[2])
        w_x = Block(at(columns.x, 0), 4 * gate * width, width)
        put_dX(shard, t_first, t_last, waiting, dz, w_x, plan, dx, gradient.dX)
        if switches.x.size > 0:
            mask_dX(shard, t_first, t_last, plan, switches, gradient.dX)


@kernel
def add_to_dout(line, lines, plan, dh, tape, dout, panel):
    """dW_hr += sum of dh m' over lines of tape, m = o a. dout (padded H / W, P, W)."""
    compact()
    width = panel_width(dout)
    for part in range(0, lines, LINES_OF_DZ):
        count = min(LINES_OF_DZ, lines - part)
        a = Block(move(dh.start, part * dh.column), 1, dh.column)
        for p in range(plan.padded // width):
            cells = move(tape.cells.start, (line + part) * tape.cells.row)
            put_output_panel(panel, cells, tape.cells.row, p, plan, count)
            out = Block(move(dout, p * plan.outputs * width), width, 0)
            product(out, a, Block(panel, 0, width), plan.outputs, 1, count, True)


@kernel
def put_output_panel(panel, cells, cells_row, p, plan, count):
    """panel (count, W) = o a of two vectors of units; zero beyond the last."""
    compact()
    lanes = lanes_of(panel)
    for half in range(2):
        u = 2 * p + half
        for j in range(count):
            to = move(panel, (2 * j + half) * lanes)
            if u < plan.vectors:
                source = move(cells, j * cells_row + u * plan.slots * lanes)
                store(to, 0, load(source, O * lanes) * load(source, A * lanes))
            else:
                clear(to, lanes)


@kernel
def mask_dX(shard, t_first, t_last, plan, switches, dX):
    """dX under the mask of the inputs."""
    compact()
    place = get(plan.place, shard)
    for t in range(t_first, t_last):
        for j in range(rows_at(plan, shard, t)):
            mask = at(switches.x, get(plan.order, place + j) * plan.inputs)
            scale(in_caller(plan, dX, place + j, t, plan.inputs), mask, plan.inputs)

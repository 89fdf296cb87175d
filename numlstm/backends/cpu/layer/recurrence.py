"""One LSTM layer of any variant, with reset and dropout masks; `plain_recurrence.py`: without any.

The letters in the shape comments: see `tape.py`; P outputs per step.
"""

from typing import Any, NamedTuple

import numpy as np

from numlstm.backends.cpu.codegen.compile import entry, kernel, kernel_that_allocates
from numlstm.backends.cpu.codegen.gemm import (
    accumulate,
    ask_for,
    clear,
    copy,
    product,
    product_from,
    scale,
)
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
from numlstm.backends.cpu.layer.weights import (
    LINES_OF_DZ,
    PANELS_OF_DZ,
    Columns,
    pack_columns,
    sum_gradients,
    use_dz,
)
from numlstm.cell.elementary import fma, like
from numlstm.cell.encoding import INITIAL_C, INITIAL_H, UNIT_ROWS, Variant, with_ends
from numlstm.cell.equations import (
    is_projection_clipped,
    mixed,
    projection_backward,
    projection_forward,
)


class Parameters(NamedTuple):
    """Parameters of a layer beside the weights of its gates."""

    unit: Any  # (UNIT_ROWS, padded H), zero where the variant has none
    out: Any  # panels of W_hr, (padded P / W, H, W), empty without a projection
    back: Any  # panels of its transpose, (padded H / W, P, W)


class Masks(NamedTuple):
    """Reset and dropout masks, in the caller's order; an empty array is none."""

    reset: Any  # (B, T) of bytes
    x: Any  # (B, I)
    h: Any  # (B, P)
    g: Any  # (B, T or 1, H)
    keep_h: Any  # (B, T or 1, P)
    keep_c: Any  # (B, T or 1, H)


class Layer(NamedTuple):
    """A layer of any variant beside the weights of its gates."""

    cell: Variant
    parameters: Parameters
    masks: Masks


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
def new_work(layout, masks, array):
    """Scratch for numbers like the array's; factors are 1 where there is no noise."""
    noinline()
    batch, padded, out, dtype = layout.batch, layout.padded, layout.padded_out, masks.x.dtype
    work = Work(
        new(array, (batch, 4 * layout.vectors * lanes_of(array))),
        new_zeros(array, (batch, padded)),
        new_zeros(array, (batch, out)),
        np.ones((batch, out), dtype),
        np.ones((layout.shards, padded), dtype),
        np.ones((layout.shards, padded), dtype),
        np.ones((layout.shards, out), dtype),
        new_zeros(array, (layout.shards, padded)),
    )
    if masks.h.size > 0:
        for place in range(batch):
            mask = at(masks.h, get(layout.order, place) * layout.outputs)
            copy(at(work.mask_h, place * out), mask, layout.outputs)
    return work


@kernel_that_allocates
def new_zeros(array, shape):
    """An array of zeros for numbers like those of another one."""
    zeros = new(array, shape)
    clear(at(zeros, 0), zeros.size)
    return zeros


@kernel
def at_step(layout, noise, place, t, width):
    """Pointer to the factors of a row at step t; what has but one step is the same at all."""
    steps = noise.shape[1]
    return at(noise, (get(layout.order, place) * steps + min(t, steps - 1)) * width)


@kernel
def read_ahead(target, noise, count, step):
    """target = noise, and ask for the factors of the next step, `step` (1 or -1) further."""
    copy(target, noise, count)
    ask_for(move(noise, step * count), count)


@kernel
def row_at(shard, place, t, step, layout, masks, work, cells, c_prev, c_step):
    """The `Row` at a place and step t, its factors read from the masks.

    Out of line, so that c_step is no constant to the compiler: with one, the cells of a row took
    half as long again.
    """
    noinline()
    m_g, keep_c = at(work.m_g, shard * layout.padded), at(work.keep_c, shard * layout.padded)
    if masks.g.size > 0:
        read_ahead(m_g, at_step(layout, masks.g, place, t, layout.units), layout.units, step)
    if masks.keep_c.size > 0:
        noise = at_step(layout, masks.keep_c, place, t, layout.units)
        read_ahead(keep_c, noise, layout.units, step)
    return Row(cells, c_prev, c_step, m_g, keep_c)


@kernel
def keep_h_at(shard, place, t, step, layout, masks, work):
    """Shares of the new hidden state of one row at step t."""
    noinline()
    keep = at(work.keep_h, shard * layout.padded_out)
    if masks.keep_h.size > 0:
        noise = at_step(layout, masks.keep_h, place, t, layout.outputs)
        read_ahead(keep, noise, layout.outputs, step)
    return keep


@kernel
def is_reset(layout, masks, place, t):
    """Whether the state of a row is reset before step t."""
    if masks.reset.size == 0:
        return False
    return get(at(masks.reset, get(layout.order, place) * layout.steps + t), 0) != 0


# --- forward --------------------------------------------------------------------------------------


@entry(allocates=True)
def forward(driver, numbers, weights, inputs, outputs, memory, taped, layer):
    """Fill the outputs and the tape, like `plain_recurrence.forward`."""
    layout, inputs, outputs = read_layout(numbers), Inputs(*inputs), Outputs(*outputs)
    cell, parameters, masks = layer
    layer = Layer(cell, Parameters(*parameters), Masks(*masks))
    lines = line_of(layout, layout.shards - 1, layout.steps)
    if lines < layout.batch * layout.steps:
        clear(at(outputs.Y, 0), outputs.Y.size)
    tape = read_tape(layout, lines if taped else layout.batch, memory)
    carry = read_carry(layout, inputs)
    copy(tape.c_first.start, at(carry.c, 0), layout.batch * layout.padded)
    work = new_work(layout, layer.masks, inputs.h)
    arguments = layout, layer, weights, inputs, outputs.Y, carry, work, tape, taped
    for_shards(forward_shard, driver, layout.shards, arguments)
    write_carry(layout, carry, outputs)


@kernel
def forward_shard(shard, layout, layer, weights, inputs, Y, carry, work, tape, taped):
    """z = W [1 x h] + the row's terms, then the cell, for all t."""
    cell, parameters, masks = layer
    X, terms = inputs.X, inputs.terms
    place, width = get(layout.place, shard), panel_width(weights)
    k = 1 + layout.inputs + layout.outputs
    w, z_row = Block(at(weights, 0), k * width, width), work.z.shape[1]
    z = Block(at(work.z, place * z_row), z_row, width)
    own = block_of(shard, layout, terms, z)
    m = Block(at(work.m, place * layout.padded), layout.padded, 1)
    out = Block(at(work.out, place * layout.padded_out), layout.padded_out, width)
    w_out = Block(at(parameters.out, 0), layout.units * width, width)
    unit = at(parameters.unit, 0)
    for t in range(layout.steps):
        line = line_of(layout, shard, t) if taped else place
        rows = rows_at(layout, shard, t)
        for j in range(rows):
            put_line(line + j, place + j, t, layout, unit, masks, X, carry, work, tape)
        xh = Block(move(tape.xh.start, line * tape.xh.row), tape.xh.row, 1)
        product_from(z, own, xh, w, rows, 2 * layout.vectors, k, terms.size > 0)
        for j in range(rows):
            c_now = at(carry.c, (place + j) * layout.padded)
            cells = move(tape.cells.start, (line + j) * tape.cells.row)
            row = row_at(shard, place + j, t, 1, layout, masks, work, cells, c_now, 1)
            z_j, m_j = move(z.start, j * z.row), move(m.start, j * m.row)
            forward_row(layout, cell, unit, row, z_j, c_now, m_j)
        if cell.projected:
            project(cell, out, m, w_out, rows, layout.padded_out // width, layout.units)
        for j in range(rows):
            h_new = move(out.start, j * out.row) if cell.projected else move(m.start, j * m.row)
            h_now = at(carry.h, (place + j) * layout.padded_out)
            keep = keep_h_at(shard, place + j, t, 1, layout, masks, work)
            mix_rows(h_now, keep, h_new, h_now, layout.padded_out)
            copy(in_caller(layout, Y, place + j, t, layout.outputs), h_now, layout.outputs)


@kernel
def project(cell, out, m, w, rows, panels, units):
    """out = W_hr m of some rows, within its limit."""
    product(out, m, w, rows, panels, units, False)
    if is_projection_clipped(cell):
        lanes = lanes_of(m.start)
        for j in range(rows):
            h = move(out.start, j * out.row)
            for i in range(0, panels * out.column, lanes):
                store(h, i, projection_forward(cell, load(h, i)))


@kernel
def put_line(line, place, t, layout, unit, masks, X, carry, work, tape):
    """xh[line] = 1, x_t and h_{t-1} under their masks; the initial state where it is reset."""
    noinline()
    h_now = at(carry.h, place * layout.padded_out)
    if is_reset(layout, masks, place, t):
        copy(h_now, move(unit, INITIAL_H * layout.padded), layout.outputs)
        copy(
            at(carry.c, place * layout.padded), move(unit, INITIAL_C * layout.padded), layout.units
        )
    put_input(line, place, t, layout, X, tape)
    if masks.x.size > 0:
        mask = at(masks.x, get(layout.order, place) * layout.inputs)
        scale(move(tape.xh.start, line * tape.xh.row + 1), mask, layout.inputs)
    h_line = hidden(line, layout, tape)
    copy(h_line, h_now, layout.outputs)
    if masks.h.size > 0:
        scale(h_line, at(work.mask_h, place * layout.padded_out), layout.outputs)


@kernel
def mix_rows(target, keep, fresh, old, count):
    """target = keep fresh + (1 - keep) old, whole vectors."""
    lanes = lanes_of(fresh)
    for i in range(0, count, lanes):
        store(target, i, mixed(load(keep, i), load(fresh, i), load(old, i)))


# --- backward -------------------------------------------------------------------------------------


class ParameterGradients(NamedTuple):
    """Gradients of the parameters beside the weights of the gates, by shards; zero at first."""

    unit: Any  # (shards, UNIT_ROWS, padded H)
    out: Any  # (shards, padded H / W, P, W) of W_hr, or empty


class Gradient(NamedTuple):
    """Results of a backward pass, and its scratch."""

    dX: Any  # (B, T, I), or empty where it is not wanted
    dW: Any  # (shards, 2U, K, W), or empty where it is not wanted
    parameters: ParameterGradients
    dz: Any  # (shards, capacity, 4 U L) padded
    dh: Any  # (shards, capacity, padded P) of the new hidden state
    panels: Any  # (shards, PANELS_OF_DZ, LINES_OF_DZ, W)
    dx: Any  # (shards, capacity, padded I)
    terms: Any  # of what rows have in z at all steps, zero at first: see `row_terms.py`


@entry(allocates=True)
def backward(driver, numbers, theta, memory, doutputs, dinputs, dtheta, dW, layer, dparameters):
    """Fill dtheta up to the biases, dinputs and dparameters, like `plain_recurrence.backward`."""
    layout, doutputs, dinputs = read_layout(numbers), Outputs(*doutputs), Inputs(*dinputs)
    cell, parameters, masks = layer
    parameters, masks, dX = Parameters(*parameters), Masks(*masks), dinputs.X
    width, shards = panel_width(theta), layout.shards
    capacity, gate = max(LINES_OF_DZ, most_rows(layout)), layout.vectors * lanes_of(theta)
    x_panels = blocks(layout.inputs, width) if dX.size > 0 else 0
    columns = Columns(
        new(theta, (layout.padded_out // width, 4 * gate, width)),
        new(theta, (x_panels, 4 * gate, width)),
    )
    pack_columns(driver, layout, theta, columns, gate)
    gradient = Gradient(
        dX,
        dW,
        ParameterGradients(*dparameters),
        new(dX, (shards, capacity, odd_cache_lines(4 * gate, itemsize_of(dW)))),
        new(dX, (shards, capacity, layout.padded_out)),
        new(dX, (shards, PANELS_OF_DZ, LINES_OF_DZ, width)),
        new(dX, (shards, capacity, x_panels * width)),
        dinputs.terms,
    )
    lines = line_of(layout, shards - 1, layout.steps)
    if lines < layout.batch * layout.steps:
        clear(at(dX, 0), dX.size)
    tape, carry = read_tape(layout, lines, memory), read_carry(layout, doutputs)
    complete = with_ends(cell, like(get(at(dX, 0), 0), 0.0))
    layer, work = Layer(complete, parameters, masks), new_work(layout, masks, dX)
    arguments = layout, layer, columns, doutputs.Y, carry, work, tape, gradient
    for_shards(backward_shard, driver, shards, arguments)
    sum_gradients(driver, layout, dW, dtheta)
    write_carry(layout, carry, dinputs)


@kernel
def backward_shard(shard, layout, layer, columns, dY, carry, work, tape, gradient):
    """dz from the tape, dh = dz W_hh, back in t. dY (B, T, P) or empty."""
    cell, parameters, masks = layer
    place, width, lanes = get(layout.place, shard), panel_width(columns.h), lanes_of(columns.h)
    k, capacity, dz_row = 4 * layout.vectors * lanes, gradient.dz.shape[1], gradient.dz.shape[2]
    w_h = Block(at(columns.h, 0), k * width, width)
    back = Block(at(parameters.back, 0), layout.outputs * width, width)
    w_out = Block(at(parameters.out, 0), layout.units * width, width)
    dm_all = Block(at(work.m, place * layout.padded), layout.padded, width)
    dh_all = Block(at(work.out, place * layout.padded_out), layout.padded_out, width)
    unit = at(parameters.unit, 0)
    dunit = at(gradient.parameters.unit, shard * UNIT_ROWS * layout.padded)
    dn = at(work.dn, shard * layout.padded)
    size = gradient.dW.size // layout.shards
    clear(at(gradient.dW, shard * size), size)
    waiting, last = 0, layout.steps
    for t in range(layout.steps - 1, -1, -1):
        rows = rows_at(layout, shard, t)
        if waiting + rows > capacity:
            use_lines(shard, t + 1, last, waiting, layout, layer, columns, tape, gradient)
            waiting, last = 0, t + 1
        waiting += rows
        slot = shard * capacity + capacity - waiting
        dz = Block(at(gradient.dz, slot * dz_row), dz_row, 1)
        dh_new = Block(at(gradient.dh, slot * layout.padded_out), layout.padded_out, 1)
        for j in range(rows):
            keep = keep_h_at(shard, place + j, t, -1, layout, masks, work)
            dh = at(carry.h, (place + j) * layout.padded_out)
            if dY.size > 0:
                accumulate(dh, in_caller(layout, dY, place + j, t, layout.outputs), layout.outputs)
            part_rows(move(dh_new.start, j * dh_new.row), dh, keep, layout.padded_out)
        if is_projection_clipped(cell):
            m = Block(dm_all.start, dm_all.row, 1)
            line = line_of(layout, shard, t)
            for j in range(rows):
                cells = move(tape.cells.start, (line + j) * tape.cells.row)
                put_m(layout, cells, move(m.start, j * m.row))
            panels = layout.padded_out // width
            limit_backward(cell, dh_new, dh_all, m, w_out, rows, panels, layout.units)
        if cell.projected:
            product(dm_all, dh_new, back, rows, layout.padded // width, layout.outputs, False)
        for j in range(rows):
            dm = move(dh_new.start, j * dh_new.row)
            if cell.projected:
                dm = move(dm_all.start, j * dm_all.row)
            ask_for_cells(shard, t, j, 0, layout.vectors, layout, tape)
            c_prev, c_step = c_before(shard, t, j, layout, unit, masks, tape)
            line = line_of(layout, shard, t) + j
            cells = move(tape.cells.start, line * tape.cells.row)
            row = row_at(shard, place + j, t, -1, layout, masks, work, cells, c_prev, c_step)
            dc = at(carry.c, (place + j) * layout.padded)
            backward_row(layout, cell, unit, row, dm, dn, dc, move(dz.start, j * dz.row), dunit)
        product(dh_all, dz, w_h, rows, layout.padded_out // width, k, False)
        for j in range(rows):
            dh = at(carry.h, (place + j) * layout.padded_out)
            mask = at(work.mask_h, (place + j) * layout.padded_out)
            add_product(dh, mask, move(dh_all.start, j * dh_all.row), layout.padded_out)
            if is_reset(layout, masks, place + j, t):
                dc = at(carry.c, (place + j) * layout.padded)
                accumulate(move(dunit, INITIAL_H * layout.padded), dh, layout.outputs)
                accumulate(move(dunit, INITIAL_C * layout.padded), dc, layout.units)
                clear(dh, layout.padded_out)
                clear(dc, layout.padded)
    use_lines(shard, 0, last, waiting, layout, layer, columns, tape, gradient)


@kernel
def put_m(layout, cells, m):
    """m = o a of a row, from its line of tape."""
    lanes = lanes_of(m)
    for u in range(layout.vectors):
        unit = move(cells, u * layout.slots * lanes)
        store(m, u * lanes, load(unit, O * lanes) * load(unit, A * lanes))


@kernel
def limit_backward(cell, dh, h, m, w, rows, panels, units):
    """The limit of `project` backward: dh of W_hr m, in place. m as it was, h is scratch."""
    noinline()
    product(h, m, w, rows, panels, units, False)
    lanes = lanes_of(m.start)
    for j in range(rows):
        dh_row, h_row = move(dh.start, j * dh.row), move(h.start, j * h.row)
        for i in range(0, panels * h.column, lanes):
            store(dh_row, i, projection_backward(cell, load(dh_row, i), load(h_row, i)))


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
def c_before(shard, t, j, layout, unit, masks, tape):
    """c_{t-1} of a row as (pointer, distance of its vectors); the initial one after a reset."""
    noinline()
    place = get(layout.place, shard) + j
    if is_reset(layout, masks, place, t):
        return move(unit, INITIAL_C * layout.padded), 1
    if t == 0:
        return move(tape.c_first.start, place * layout.padded), 1
    line = line_of(layout, shard, t - 1) + j
    return move(tape.cells.start, line * tape.cells.row + C * lanes_of(unit)), layout.slots


@kernel
def use_lines(shard, t_first, t_last, waiting, layout, layer, columns, tape, gradient):
    """dW += dz' xh, dW_hr += dh' m and dx = dz W_ih of the waiting lines."""
    noinline()
    gate, width = layout.vectors * lanes_of(columns.x), panel_width(columns.x)
    use_dz(shard, t_first, t_last, waiting, gate, layout, columns, tape, gradient)
    if layer.cell.projected and gradient.dW.size > 0:
        capacity, line = gradient.dh.shape[1], line_of(layout, shard, t_first)
        start = at(gradient.dh, (shard * capacity + capacity - waiting) * layout.padded_out)
        dh = Block(start, 1, layout.padded_out)
        dout = at(gradient.parameters.out, shard * layout.padded * layout.outputs)
        panel = at(gradient.panels, shard * PANELS_OF_DZ * LINES_OF_DZ * width)
        add_to_dout(line, waiting, layout, dh, tape, dout, panel)
    if gradient.dX.size > 0 and layer.masks.x.size > 0:
        mask_dX(shard, t_first, t_last, layout, layer.masks.x, gradient.dX)


@kernel
def add_to_dout(line, lines, layout, dh, tape, dout, panel):
    """dW_hr += sum of dh m' over lines of tape, m = o a. dout (padded H / W, P, W)."""
    noinline()
    width = panel_width(dout)
    for part in range(0, lines, LINES_OF_DZ):
        count = min(LINES_OF_DZ, lines - part)
        a = Block(move(dh.start, part * dh.column), 1, dh.column)
        for p in range(layout.padded // width):
            cells = move(tape.cells.start, (line + part) * tape.cells.row)
            put_output_panel(panel, cells, tape.cells.row, p, layout, count)
            out = Block(move(dout, p * layout.outputs * width), width, 0)
            product(out, a, Block(panel, 0, width), layout.outputs, 1, count, True)


@kernel
def put_output_panel(panel, cells, cells_row, p, layout, count):
    """panel (count, W) = o a of two vectors of units; zero beyond the last."""
    noinline()
    lanes = lanes_of(panel)
    for half in range(2):
        u = 2 * p + half
        for j in range(count):
            to = move(panel, (2 * j + half) * lanes)
            if u < layout.vectors:
                source = move(cells, j * cells_row + u * layout.slots * lanes)
                store(to, 0, load(source, O * lanes) * load(source, A * lanes))
            else:
                clear(to, lanes)


@kernel
def mask_dX(shard, t_first, t_last, layout, masks, dX):
    """dX under the masks (B, I) of the inputs."""
    noinline()
    place = get(layout.place, shard)
    for t in range(t_first, t_last):
        for j in range(rows_at(layout, shard, t)):
            mask = at(masks, get(layout.order, place + j) * layout.inputs)
            scale(in_caller(layout, dX, place + j, t, layout.inputs), mask, layout.inputs)

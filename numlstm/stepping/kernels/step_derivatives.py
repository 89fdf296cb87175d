"""Derivatives of one step of a whole network, for callers that own the loop.

Along a direction, the step runs over dual numbers. Gradients go back from the state after a step to
the state before it: the step is taken once more, now with its gates kept on the stack, then follows
the chain rule from the last layer to the first. So the caller keeps states, and nothing else. The
letters in the shape comments: see `step.py`.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.codegen.compile import kernel
from numlstm.backends.cpu.codegen.dual_numbers import dual
from numlstm.backends.cpu.codegen.gemm import accumulate, add_outer, clear, copy, product
from numlstm.backends.cpu.codegen.vectors import (
    Block,
    get,
    lanes_of,
    move,
    panel_width,
    put,
)
from numlstm.backends.cpu.layer.recurrence import limit_backward, part_rows, put_m
from numlstm.backends.cpu.layer.variant_cell import SCALES, Row, backward_row
from numlstm.backends.cpu.layer.weights import gate_of_theta
from numlstm.cell.elementary import compilable, like
from numlstm.cell.encoding import UNIT_ROWS, with_ends
from numlstm.cell.equations import OFF, is_projection_clipped
from numlstm.stepping.kernels.pointers import is_null, own_frame, read_numbers, recast, reserve
from numlstm.stepping.kernels.step import (
    DONE,
    Part,
    advance,
    advance_all,
    carve,
    cell_of,
    fault_of,
    home_of,
    read_net,
    shape_of,
    variant_layer,
    variant_rows,
    whole,
    work_size,
)

# --- along a direction ----------------------------------------------------------------------------


def step_jvp(memory, x, h, c, y, dx, dh, dc, dy, batch):
    """The step and its derivative along (dx, dh, dc); the parameters are constants."""
    fault = fault_of(memory, (x, h, c, y, dx, dh, dc, dy), batch)
    if fault == DONE:
        memory = home_of(memory)
        at_once = read_net(memory, x).sizes.rows_derived
        xx, hh, cc, yy = dual(x, dx), dual(h, dh), dual(c, dc), dual(y, dy)
        advance_all(variant_layer, at_once, memory, xx, hh, cc, yy, batch)
    return fault


# --- scratch of the backward pass -----------------------------------------------------------------


class Back(NamedTuple):
    """Scratch of the backward pass of a step of so many rows, behind that of the step."""

    tape: Any  # (layers, R, cells)
    h: Any  # (layers, R, P) the state after the step
    c: Any  # (layers, R, H)
    y: Any  # (R, O) outputs, then their gradient in the network's units
    below: Any  # (R, P) what a residual layer reads
    dbelow: Any  # (R, P) gradient of what the layer above reads
    dx: Any  # (R, padded P or I) of what a layer reads
    dh: Any  # (R, padded_out) of h before the step
    dnew: Any  # (R, padded_out) of h after the step, without what zoneout keeps
    dm: Any  # (R, padded) of m = o a, and m
    m: Any
    dz: Any  # (R, 4 padded)
    dunit: Any  # (UNIT_ROWS, padded)
    dc: Any  # (padded,) of one row, and so the next
    dn: Any


@compilable()
def row_of_cells(s):
    """Elements of the gates of one row."""
    return whole(s.slots * s.padded + SCALES)


@compilable()
def row_of_dx(s):
    """Elements of a gradient of what a layer reads, in whole panels of any width up to 64."""
    return -(-max(s.inputs, s.outputs) // 64) * 64


@compilable()
def back_sizes(s, rows):
    """Elements of every field of `Back`."""
    return (
        s.layers * rows * row_of_cells(s),
        whole(s.layers * rows * s.outputs),
        whole(s.layers * rows * s.units),
        whole(rows * s.width),
        whole(rows * s.outputs),
        whole(rows * s.outputs),
        rows * row_of_dx(s),
        whole(rows * s.padded_out),
        whole(rows * s.padded_out),
        whole(rows * s.padded),
        whole(rows * s.padded),
        whole(rows * 4 * s.padded),
        whole(UNIT_ROWS * s.padded),
        whole(s.padded),
        whole(s.padded),
    )


@compilable()
def derived_size(s, rows):
    """Elements of scratch that the derivatives of a step need."""
    return 2 * work_size(s, rows) + sum(back_sizes(s, rows))


@kernel
def carve_back(s, rows, memory):
    """The scratch in the same piece of memory as that of the step."""
    n = back_sizes(s, rows)
    tape = move(memory, work_size(s, rows))
    h = move(tape, n[0])
    c = move(h, n[1])
    y = move(c, n[2])
    below = move(y, n[3])
    dbelow = move(below, n[4])
    dx = move(dbelow, n[5])
    dh = move(dx, n[6])
    dnew = move(dh, n[7])
    dm = move(dnew, n[8])
    m = move(dm, n[9])
    dz = move(m, n[10])
    dunit = move(dz, n[11])
    dc = move(dunit, n[12])
    dn = move(dc, n[13])
    return Back(tape, h, c, y, below, dbelow, dx, dh, dnew, dm, m, dz, dunit, dc, dn)


# --- gradients ------------------------------------------------------------------------------------


class Inputs(NamedTuple):
    """Inputs of a step, from some row on: pointers to x (R, I), h and c (layers, batch, ...)."""

    x: Any
    h: Any
    c: Any


class Flow(NamedTuple):
    """Gradients, from the same row on: dh and dc go back through the step in place."""

    dy: Any  # (R, O)
    dh: Any  # (layers, batch, P)
    dc: Any  # (layers, batch, H)
    dx: Any  # (R, I)
    dtheta: Any  # (n,), added to
    learns: bool  # whether dtheta is there


@kernel
def taped_layer(memory, scratch, layer, rows, terms, below, h, c):
    """A layer of any variant, with the gates of every row kept."""
    s = read_net(memory, h).sizes
    row, work = row_of_cells(s), carve(s, rows, scratch)
    tape = move(carve_back(s, rows, scratch).tape, layer * rows * row)
    clear_from(work.c, s.units, s.padded)
    variant_rows(memory, scratch, layer, rows, terms, below, h, c, Block(tape, row, 1))


@kernel
def backward(memory, scratch, first, rows, batch, given, flow):
    """Everything in `flow`, from the inputs of the step."""
    s = read_net(memory, given.h).sizes
    back = carve_back(s, rows, scratch)
    for layer in range(s.layers):
        h, c = move(given.h, layer * batch * s.outputs), move(given.c, layer * batch * s.units)
        copy(move(back.h, layer * rows * s.outputs), h, rows * s.outputs)
        copy(move(back.c, layer * rows * s.units), c, rows * s.units)
    x, y = Block(given.x, s.inputs, 1), Block(back.y, s.width, 1)
    advance(taped_layer, memory, scratch, first, rows, rows, x, back.h, back.c, y)
    put_dhidden(memory, scratch, rows, given.x, flow)
    for layer in range(s.layers - 1, -1, -1):
        dh = move(flow.dh, layer * batch * s.outputs)
        dc = move(flow.dc, layer * batch * s.units)
        c = move(given.c, layer * batch * s.units)
        accumulate(dh, back.dbelow, rows * s.outputs)
        layer_back(memory, scratch, layer, rows, c, dh, dc, flow)
        if flow.learns:
            below = put_below(memory, scratch, layer, rows, given.x)
            h = move(given.h, layer * batch * s.outputs)
            add_to_dtheta(memory, scratch, layer, rows, below, h, flow.dtheta)
        if layer == 0 and s.static > 0:
            static_back(memory, scratch, first, rows, flow)
        if layer > 0:
            for j in range(rows):
                dbelow = move(back.dbelow, j * s.outputs)
                if not s.residual:
                    clear(dbelow, s.outputs)
                accumulate(dbelow, move(back.dx, j * row_of_dx(s)), s.outputs)
    put_dx(memory, scratch, rows, flow.dx)


@kernel
def put_dhidden(memory, scratch, rows, given_x, flow):
    """dbelow of the last layer from dy, and the head's part of dtheta."""
    net = read_net(memory, flow.dy)
    s, width = net.sizes, panel_width(flow.dy)
    work, back = carve(s, rows, scratch), carve_back(s, rows, scratch)
    copy(back.y, flow.dy, rows * s.width)
    if s.scaled:
        factors = move(net.scaling, 2 * s.inputs)
        for i in range(rows * s.width):
            value, factor = get(back.y, i), get(factors, i % s.width)
            put(back.y, i, like(value, like(factor, value) * factor))
    if not s.head:
        copy(back.dbelow, back.y, rows * s.outputs)
        return
    dx, row = Block(back.dx, row_of_dx(s), width), row_of_dx(s)
    w = Block(move(net.values, s.head_back), s.width * width, width)
    product(dx, Block(back.y, s.width, 1), w, rows, s.padded_out // width, s.width, False)
    for j in range(rows):
        copy(move(back.dbelow, j * s.outputs), move(back.dx, j * row), s.outputs)
    if flow.learns:
        hidden = move(back.h, (s.layers - 1) * rows * s.outputs)
        if s.residual:
            hidden = work.hidden
        dweight = move(flow.dtheta, s.head_theta)
        dbias = move(dweight, s.width * s.outputs)
        dy = Block(back.y, s.width, 1)
        add_outer(dweight, s.width, s.outputs, dy, Block(hidden, s.outputs, 1), rows)
        for j in range(rows):
            accumulate(dbias, move(back.y, j * s.width), s.width)
        if s.direct:
            x = Block(put_below(memory, scratch, 0, rows, given_x), s.inputs, 1)
            add_outer(move(flow.dtheta, s.direct_theta), s.width, s.inputs, dy, x, rows)


@kernel
def layer_back(memory, scratch, layer, rows, c, dh, dc, flow):
    """dz of a layer, dx of what it reads, and dh (R, P) and dc (R, H) in place."""
    net, width, lanes = read_net(memory, dh), panel_width(dh), lanes_of(dh)
    cell = with_ends(cell_of(memory), like(get(dh, 0), 0.0))
    s, shape = net.sizes, shape_of(net.sizes)
    part, work, back = (
        read_numbers(net.parts, layer, Part),
        carve(s, rows, scratch),
        carve_back(s, rows, scratch),
    )
    for j in range(rows):
        dh_row, at_row = move(dh, j * s.outputs), j * s.padded_out
        copy_padded(move(back.dh, at_row), dh_row, s.outputs, s.padded_out)
        keep_h = move(net.values, s.keep_h)
        part_rows(move(back.dnew, at_row), move(back.dh, at_row), keep_h, s.padded_out)
    dnew, dm = Block(back.dnew, s.padded_out, 1), Block(back.dnew, s.padded_out, width)
    if is_projection_clipped(cell):
        tape, m = move(back.tape, layer * rows * row_of_cells(s)), Block(back.m, s.padded, 1)
        for j in range(rows):
            put_m(s, move(tape, j * row_of_cells(s)), move(back.m, j * s.padded))
        h, w_out = Block(work.out, s.padded_out, width), move(net.values, part.out)
        w = Block(w_out, s.units * width, width)
        limit_backward(cell, dnew, h, m, w, rows, s.padded_out // width, s.units)
    if s.projected:
        dm = Block(back.dm, s.padded, width)
        w = Block(move(net.values, part.out_back), s.outputs * width, width)
        product(dm, dnew, w, rows, s.padded // width, s.outputs, False)
    if s.own > 0:
        clear(back.dunit, UNIT_ROWS * s.padded)
    if flow.learns:  # the sums go on where they were, so that they do not depend on R
        for n in range(s.own):
            dunit, dtheta, count = own_at(memory, part, n, back.dunit, flow.dtheta)
            copy(dunit, dtheta, count)
    unit, tape = move(net.values, part.unit), move(back.tape, layer * rows * row_of_cells(s))
    for j in range(rows):
        dc_row, cells = move(dc, j * s.units), move(tape, j * row_of_cells(s))
        copy_padded(work.c, move(c, j * s.units), s.units, s.padded)
        copy_padded(back.dc, dc_row, s.units, s.padded)
        row = Row(cells, work.c, 1, move(net.values, s.ones), move(net.values, s.keep_c))
        dm_row, dz_row = move(dm.start, j * dm.row), move(back.dz, j * 4 * s.padded)
        backward_row(shape, cell, unit, row, dm_row, back.dn, back.dc, dz_row, back.dunit)
        copy(dc_row, back.dc, s.units)
    k, dz = 4 * s.vectors * lanes, Block(back.dz, 4 * s.padded, 1)
    w_h = Block(move(net.values, part.h_back), k * width, width)
    product(Block(back.dh, s.padded_out, width), dz, w_h, rows, s.padded_out // width, k, True)
    for j in range(rows):
        copy(move(dh, j * s.outputs), move(back.dh, j * s.padded_out), s.outputs)
    w_x = Block(move(net.values, part.x_back), k * width, width)
    dx = Block(back.dx, row_of_dx(s), width)
    product(dx, dz, w_x, rows, (part.inputs + width - 1) // width, k, False)


@kernel
def copy_padded(target, source, count, padded):
    """target[:padded] = source[:count], then zeros, which weights of zero may multiply."""
    copy(target, source, count)
    clear_from(target, count, padded)


@kernel
def clear_from(target, first, padded):
    """target[first:padded] = 0."""
    for i in range(first, padded):
        put(target, i, 0)


@kernel
def put_below(memory, scratch, layer, rows, x):
    """Pointer to what a layer read."""
    s = read_net(memory, x).sizes
    work, back = carve(s, rows, scratch), carve_back(s, rows, scratch)
    if layer == 0:
        return work.x if s.scaled else x
    count = rows * s.outputs
    if not s.residual:
        return move(back.h, (layer - 1) * count)
    copy(back.below, back.h, count)
    for under in range(1, layer):
        accumulate(back.below, move(back.h, under * count), count)
    return back.below


@kernel
def put_dx(memory, scratch, rows, dx):
    """dx in the units of x, from that of the first layer and of direct connections."""
    net, width = read_net(memory, dx), panel_width(dx)
    s, back = net.sizes, carve_back(net.sizes, rows, scratch)
    if s.direct:
        total, dy = Block(back.dx, row_of_dx(s), width), Block(back.y, s.width, 1)
        w = Block(move(net.values, s.direct_back), s.width * width, width)
        product(total, dy, w, rows, (s.inputs + width - 1) // width, s.width, True)
    scale = move(net.scaling, s.inputs)
    for j in range(rows):
        source, target = move(back.dx, j * row_of_dx(s)), move(dx, j * s.inputs)
        copy(target, source, s.inputs)
        if s.scaled:
            for i in range(s.inputs):
                value, divisor = get(source, i), get(scale, i)
                put(target, i, like(value, like(divisor, value) / divisor))


@kernel
def add_to_dtheta(memory, scratch, layer, rows, below, h_prev, dtheta):
    """dtheta += dz [below x h]' of a layer, and the gradients of what its units have beside."""
    net, lanes = read_net(memory, dtheta), lanes_of(dtheta)
    s, part = net.sizes, read_numbers(net.parts, layer, Part)
    back, gate_rows = carve_back(s, rows, scratch), s.gates * s.units
    biased = cell_of(memory).layer_norm == OFF
    dw_ih = move(dtheta, part.theta)
    dw_hh = move(dw_ih, gate_rows * part.inputs)
    dbias = move(dw_hh, gate_rows * s.outputs)
    x, h = Block(below, part.inputs, 1), Block(h_prev, s.outputs, 1)
    for gate in range(4):
        place = gate_of_theta(s, gate)
        if place >= 0:
            first = place * s.units
            dz = Block(move(back.dz, gate * s.vectors * lanes), 4 * s.padded, 1)
            add_outer(move(dw_ih, first * x.row), s.units, x.row, dz, x, rows)
            add_outer(move(dw_hh, first * h.row), s.units, h.row, dz, h, rows)
            for j in range(rows if biased else 0):
                accumulate(move(dbias, first), move(dz.start, j * dz.row), s.units)
    if s.projected:
        tape = move(back.tape, layer * rows * row_of_cells(s))
        for j in range(rows):
            put_m(s, move(tape, j * row_of_cells(s)), move(back.m, j * s.padded))
        dnew, m = Block(back.dnew, s.padded_out, 1), Block(back.m, s.padded, 1)
        add_outer(move(dtheta, part.theta_out), s.outputs, s.units, dnew, m, rows)
    for n in range(s.own):
        dunit, own, count = own_at(memory, part, n, back.dunit, dtheta)
        copy(own, dunit, count)


@kernel
def static_back(memory, scratch, first, rows, flow):
    """dz of the first level to the gradients of W_is and of what the attributes add to z."""
    net, lanes = read_net(memory, flow.dtheta), lanes_of(flow.dtheta)
    s, part = net.sizes, read_numbers(net.parts, 0, Part)
    dz, row = carve_back(s, rows, scratch).dz, 4 * s.padded
    if s.dterms_at > 0:
        dterms = recast(move(memory, s.dterms_at), flow.dtheta)
        for j in range(rows):
            to = move(dterms, (first + j) * s.dterms_row)
            accumulate(to, move(dz, j * row), 4 * s.vectors * lanes)
    if flow.learns:
        static = move(recast(move(memory, s.static_at), flow.dtheta), first * s.static_row)
        dweight = move(flow.dtheta, part.theta_static)
        for gate in range(4):
            place = gate_of_theta(s, gate)
            if place >= 0:
                of_gate = Block(move(dz, gate * s.vectors * lanes), row, 1)
                to = move(dweight, place * s.units * s.static)
                add_outer(to, s.units, s.static, of_gate, Block(static, s.static_row, 1), rows)


@kernel
def own_at(memory, part, n, dunit, dtheta):
    """Pointers to a piece of what units have of their own in dunit and in dtheta, and its size."""
    net = read_net(memory, dunit)
    triple, padded = move(net.parts, part.own + 3 * n), net.sizes.padded
    return move(dunit, get(triple, 0) * padded), move(dtheta, get(triple, 1)), get(triple, 2)


@kernel
def back_on_stack(memory, first, rows, batch, given, flow):
    """`backward` with scratch that is gone at the end."""
    own_frame()
    scratch = reserve(given.h, derived_size(read_net(memory, given.h).sizes, rows))
    backward(memory, scratch, first, rows, batch, given, flow)


def step_vjp(memory, x, h, c, dy, dh, dc, dx, dtheta, batch):
    """Gradients through a step: of the state in place, of x, and added to dtheta if not null."""
    fault = fault_of(memory, (x, h, c, dy, dh, dc, dx), batch)
    if fault == DONE:
        memory = home_of(memory)
        s, row, learns = read_net(memory, x).sizes, 0, not is_null(dtheta)
        while row < batch:
            rows = min(s.rows_derived, batch - row)
            of_h, of_c, of_x = row * s.outputs, row * s.units, row * s.inputs
            given = Inputs(move(x, of_x), move(h, of_h), move(c, of_c))
            of_y, dh_rows, dc_rows = row * s.width, move(dh, of_h), move(dc, of_c)
            flow = Flow(move(dy, of_y), dh_rows, dc_rows, move(dx, of_x), dtheta, learns)
            back_on_stack(memory, row, rows, batch, given, flow)
            row += rows
    return fault

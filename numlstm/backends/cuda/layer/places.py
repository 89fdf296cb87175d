"""A thread's work at one of its places: from the sums of products to the cell, and backward.

The letters in the shape comments: see `cells.py`.
"""

from typing import Any, NamedTuple

from numlstm.backends.cuda.layer.cells import (
    Gates,
    Taped,
    cell,
    cell_backward,
    is_active,
    limit_backward,
    output,
    output_backward,
    output_gradient,
    put_hidden,
    put_padding,
    take_cell,
    take_hidden,
    taped,
)
from numlstm.backends.cuda.layer.tiles import place_of, places_of, whole_rows
from numlstm.cell.elementary import compilable, like

AHEAD = 10  # numbers that a cell needs backward; forward 5


class Part(NamedTuple):
    """The rows and units of a block, and this thread's place in the block."""

    first_row: int
    last_row: int
    first_unit: int
    last_unit: int
    thread: int
    threads: int
    unit: int  # the first place of this thread: its unit, counted from the first
    row: int


class Scratch(NamedTuple):
    """Scratch of a thread (registers) and of a block (shared memory)."""

    acc: Any  # (places of the thread, 4): sums by gates, then what the cells make of them
    ahead: Any  # (AHEAD,): what a cell needs, read before the products where there is one place
    held: Any  # (held, 4): weights in registers
    w: Any  # (kept or depth, units, 4): weights in shared memory
    left: Any  # (rows, depth, sides): their factors there, h or by gates dz


@compilable()
def clear(acc, first):
    """Four sums from the beginning."""
    for gate in range(4):
        acc[first + gate] = like(acc[0], 0.0)


@compilable()
def owns(part, row, unit):
    """Whether there is such a place in what the block owns."""
    return unit < part.last_unit and row < part.last_row


@compilable()
def read_ahead(ahead, given, row, t, unit):
    """W_ih x + b by gates and the cell's state, of one place."""
    for gate in range(4):
        ahead[gate] = given.tape.gates[row, t, gate, unit]
    ahead[4] = given.state.c[row, unit]


@compilable()
def place_forward(variant, tile, part, given, Y, scratch, first, t, j):
    """The j-th place of a thread: from its sums in acc to h, or as far as one unit goes."""
    acc, ahead = scratch.acc, scratch.ahead
    row, unit = place_of(tile, part, j)
    unit += first
    if owns(part, row, unit):
        if places_of(tile) > 1:
            read_ahead(ahead, given, row, t, unit)
        z_i, z_f = acc[4 * j] + ahead[0], acc[4 * j + 1] + ahead[1]
        z_g, z_o = acc[4 * j + 2] + ahead[2], acc[4 * j + 3] + ahead[3]
        z = Gates(z_i, z_f, z_g, z_o)
        acc[4 * j] = unit_forward(variant, given, Y, row, t, unit, ahead[4], z)


@compilable()
def unit_forward(variant, given, Y, row, t, unit, c_prev, z):
    """One unit of one row; returns what the next step multiplies, unless that needs whole rows."""
    weights, masks, tape, state = given
    factor = like(z.i, 0.0)
    if not is_active(masks, row, t):
        if variant.projected:
            tape.m[row, t, unit] = factor
        else:
            put_padding(tape, Y, row, t, unit)
    elif variant.layer_norm:
        tape.gates[row, t, 0, unit] = z.i
        tape.gates[row, t, 1, unit] = z.f
        tape.gates[row, t, 2, unit] = z.g
        tape.gates[row, t, 3, unit] = z.o
    else:
        c_new = cell(variant, given, row, t, unit, c_prev, z)
        m = output(variant, weights, tape, row, t, unit, c_new)
        if not variant.projected:
            factor = put_hidden(weights, masks, tape, state, Y, row, t, unit, m)
    return factor


# --- backward -------------------------------------------------------------------------------------


@compilable()
def read_back(variant, ahead, given, dY, row, t, unit):
    """The gradient of h, and what the cells of rows that need not be whole are made of."""
    ahead[0] = given.state.h[row, unit]
    ahead[1] = output_gradient(dY, row, t, unit, like(ahead[0], 0.0))
    if not whole_rows(variant):
        ahead[2] = given.state.c[row, unit]
        if t >= 0:
            i, f, g, o, c_prev, c_new, a = taped(given.tape, row, t, unit)
            ahead[3], ahead[4], ahead[5], ahead[6] = i, f, g, o
            ahead[7], ahead[8], ahead[9] = c_prev, c_new, a


@compilable()
def place_backward(variant, tile, part, given, dY, gradient, scratch, first, t, j):
    """The j-th place of a thread: from what came through its weights, in acc, to dz there."""
    acc, ahead = scratch.acc, scratch.ahead
    row, unit = place_of(tile, part, j)
    unit += first
    if owns(part, row, unit):
        if places_of(tile) > 1:
            read_back(variant, ahead, given, dY, row, t, unit)
        through = (acc[4 * j] + acc[4 * j + 1]) + (acc[4 * j + 2] + acc[4 * j + 3])
        dz = unit_backward(variant, given, gradient, ahead, row, t, unit, through)
        acc[4 * j], acc[4 * j + 1], acc[4 * j + 2], acc[4 * j + 3] = dz.i, dz.f, dz.g, dz.o


@compilable()
def unit_backward(variant, given, gradient, ahead, row, t, unit, through):
    """One unit of one row; returns its dz, unless that needs whole rows."""
    weights, masks, tape, dstate = given
    zero = like(through, 0.0)
    nothing = Gates(zero, zero, zero, zero)
    dh = take_hidden(masks, ahead[1], gradient, dstate, ahead[0], row, t, unit, through)
    if whole_rows(variant):
        if t >= 0:
            gradient.dh[row, t, unit] = limit_backward(variant, weights, tape, row, t, unit, dh)
        return nothing
    dc = take_cell(masks, gradient, dstate, ahead[2], row, t, unit)
    if t < 0 or not is_active(masks, row, t):
        return nothing
    known = Taped(ahead[3], ahead[4], ahead[5], ahead[6], ahead[7], ahead[8], ahead[9])
    dn = output_backward(variant, known.o, known.a, dh)
    return cell_backward(variant, given, known, gradient, row, t, unit, dh, dn, dc)

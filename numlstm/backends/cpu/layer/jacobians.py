"""The Jacobian of every step's state by the state before it, from the tape of a forward pass.

Within a step a unit sees the others through its gates' products alone. So the backward pass of its
cell, from a gradient of 1 at h and then at c, gives the few numbers that make up its rows: dz, by
which the gates' rows of W_hh are weighted and added, and dc. No step waits for another. The letters
in the shape comments: see `tape.py`; S numbers are the state of all layers.
"""

from typing import Any, NamedTuple

from numlstm.architecture.spec import LayerSpec
from numlstm.backends.cpu.codegen.compile import entry, kernel, kernel_that_allocates
from numlstm.backends.cpu.codegen.parallel import call, for_shards
from numlstm.backends.cpu.codegen.vectors import at, get, lanes_of, load, move, new, put, store
from numlstm.backends.cpu.layer import plain_recurrence, variant_cell
from numlstm.backends.cpu.layer.recurrence import (
    Layer,
    Masks,
    Parameters,
    c_before,
    new_work,
    new_zeros,
    row_at,
)
from numlstm.backends.cpu.layer.tape import Carry, line_of, read_layout, read_tape, rows_at
from numlstm.backends.cpu.layer.variant_arrays import layer_of, parameters_of
from numlstm.backends.cpu.layer.weights import gate_of_theta, row_of_theta
from numlstm.cell.elementary import fma, like
from numlstm.cell.encoding import UNIT_ROWS, with_ends


def fill(spec: LayerSpec, weights, tape, index: int, J, by_X) -> None:
    """Put the derivatives by a layer's own state into J, and those by its inputs into by_X.

    J (B, T, 2, layers, H, S) is that of h and c of all layers, by_X (B, T, 2, H, I) or empty. Both
    are zero at first and stay so where a row has ended. The layer, number `index`, has units that
    are apart: no normalisation, projection or zoneout.
    """
    layout, memory, masks, _ = tape
    kernel = of_plain
    variant: tuple[Any, ...] = ()
    if masks is not None:
        kernel = of_variant
        variant = (layer_of(spec, parameters_of(spec, weights.theta), masks),)
    work = 2 * layout.lines * spec.hidden_size * weights.panels.size
    given = layout.numbers, weights.theta, memory, index, J, by_X, *variant
    call(kernel, layout.steps, work, *given)


class Rows(NamedTuple):
    """The arrays to fill, and scratch for the cells of each step."""

    layer: int  # which of them it is
    J: Any  # (B, T, 2, layers, H, S)
    by_X: Any  # (B, T, 2, H, I), or empty
    dh: Any  # (T, B, padded H), and so dc
    dc: Any
    dz: Any  # (T, 2, 4, U L) of the row at hand


@kernel_that_allocates
def new_rows(layout, index, J, by_X):
    """Scratch for what is to be filled."""
    sizes, gate = (layout.steps, layout.batch, layout.padded), layout.vectors * lanes_of(J)
    return Rows(index, J, by_X, new(J, sizes), new(J, sizes), new(J, (layout.steps, 2, 4, gate)))


@entry(allocates=True)
def of_plain(driver, numbers, theta, memory, index, J, by_X):
    """Fill J and by_X for a plain layer."""
    layout = read_layout(numbers)
    tape = read_tape(layout, line_of(layout, layout.shards - 1, layout.steps), memory)
    rows = new_rows(layout, index, J, by_X)
    for_shards(plain_step, driver, layout.steps, (layout, theta, tape, rows))


@kernel
def plain_step(t, layout, theta, tape, rows):
    """The rows of all sequences at step t."""
    carry, gate = Carry(rows.dh[t], rows.dc[t]), rows.dz.shape[3]
    for shard in range(layout.shards):
        for j in range(rows_at(layout, shard, t)):
            place = get(layout.place, shard) + j
            for part in range(2):
                dz = begin(part, place, t, layout, rows)
                plain_recurrence.backward_row(
                    shard, t, j, 0, layout.vectors, layout, carry, tape, dz, gate
                )
                put_by_c(part, place, t, layout, rows)
            put_by_products(place, t, layout, theta, rows)


@entry(allocates=True)
def of_variant(driver, numbers, theta, memory, index, J, by_X, layer):
    """Fill J and by_X for a layer of any variant whose units see each other in products alone."""
    layout = read_layout(numbers)
    tape = read_tape(layout, line_of(layout, layout.shards - 1, layout.steps), memory)
    cell, parameters, masks = layer
    parameters, masks = Parameters(*parameters), Masks(*masks)
    layer = Layer(with_ends(cell, like(get(at(theta, 0), 0), 0.0)), parameters, masks)
    work = new_work(layout, masks, theta)
    dn = new(theta, (layout.steps, layout.padded))
    dunit = new_zeros(theta, (layout.steps, UNIT_ROWS, layout.padded))
    rows = new_rows(layout, index, J, by_X)
    arguments = layout, layer, theta, tape, work, dn, dunit, rows
    for_shards(variant_step, driver, layout.steps, arguments)


@kernel
def variant_step(t, layout, layer, theta, tape, work, dn, dunit, rows):
    """The rows of all sequences at step t."""
    cell, parameters, masks = layer
    unit = at(parameters.unit, 0)
    for shard in range(layout.shards):
        for j in range(rows_at(layout, shard, t)):
            place, line = get(layout.place, shard) + j, line_of(layout, shard, t) + j
            c_prev, c_step = c_before(shard, t, j, layout, unit, masks, tape)
            cells = move(tape.cells.start, line * tape.cells.row)
            row = row_at(shard, place, t, -1, layout, masks, work, cells, c_prev, c_step)
            for part in range(2):
                dz = begin(part, place, t, layout, rows)
                start = place * layout.padded
                dh, dc = at(rows.dh[t], start), at(rows.dc[t], start)
                variant_cell.backward_row(
                    layout, cell, unit, row, dh, at(dn[t], 0), dc, dz, at(dunit[t], 0)
                )
                put_by_c(part, place, t, layout, rows)
            put_by_products(place, t, layout, theta, rows)


@kernel
def begin(part, place, t, layout, rows):
    """A gradient of 1 at every h (part 0) or c (part 1) of a row; where its dz is to go."""
    dh, dc = at(rows.dh[t], place * layout.padded), at(rows.dc[t], place * layout.padded)
    for unit in range(layout.padded):
        put(dh, unit, 1 - part)
        put(dc, unit, part)
    return at(rows.dz[t], part * 4 * rows.dz.shape[3])


@kernel
def in_J(part, place, t, unit, layout, rows):
    """Pointer to the row of J of a unit's h (part 0) or c (part 1)."""
    step = get(layout.order, place) * layout.steps + t
    layers, size = rows.J.shape[3], rows.J.shape[5]
    return at(rows.J, (((step * 2 + part) * layers + rows.layer) * layout.units + unit) * size)


@kernel
def put_by_c(part, place, t, layout, rows):
    """The derivative of every unit's h or c by its own c."""
    dc, first = at(rows.dc[t], place * layout.padded), (rows.J.shape[3] + rows.layer) * layout.units
    for unit in range(layout.units):
        put(in_J(part, place, t, unit, layout, rows), first + unit, get(dc, unit))


@kernel
def put_by_products(place, t, layout, theta, rows):
    """The derivatives of every unit's h and c by what the weights multiply."""
    gate, units, inputs = rows.dz.shape[3], layout.units, layout.inputs
    step = get(layout.order, place) * layout.steps + t
    for unit in range(units):
        dz_h, dz_c = at(rows.dz[t], unit), at(rows.dz[t], 4 * gate + unit)
        _, x_i, h_i = row_of_theta(layout, unit, theta)
        _, x_f, h_f = row_of_theta(layout, max(gate_of_theta(layout, 1), 0) * units + unit, theta)
        _, x_g, h_g = row_of_theta(layout, gate_of_theta(layout, 2) * units + unit, theta)
        _, x_o, h_o = row_of_theta(layout, gate_of_theta(layout, 3) * units + unit, theta)
        own = rows.layer * units
        h = move(in_J(0, place, t, unit, layout, rows), own)
        c = move(in_J(1, place, t, unit, layout, rows), own)
        put_sums(h, c, dz_h, dz_c, gate, h_i, h_f, h_g, h_o, units)
        if rows.by_X.size > 0:
            h = at(rows.by_X, ((step * 2 + 0) * units + unit) * inputs)
            c = at(rows.by_X, ((step * 2 + 1) * units + unit) * inputs)
            put_sums(h, c, dz_h, dz_c, gate, x_i, x_f, x_g, x_o, inputs)


@kernel
def put_sums(h, c, dz_h, dz_c, gate, w_i, w_f, w_g, w_o, count):
    """h and c (count,) = dz_i w_i + dz_f w_f + dz_g w_g + dz_o w_o."""
    lanes = lanes_of(h)
    whole = count - count % lanes
    for k in range(0, whole, lanes):
        i, f, g, o = load(w_i, k), load(w_f, k), load(w_g, k), load(w_o, k)
        store(h, k, weighted(dz_h, gate, i, f, g, o))
        store(c, k, weighted(dz_c, gate, i, f, g, o))
    for k in range(whole, count):
        i, f, g, o = get(w_i, k), get(w_f, k), get(w_g, k), get(w_o, k)
        put(h, k, weighted(dz_h, gate, i, f, g, o))
        put(c, k, weighted(dz_c, gate, i, f, g, o))


@kernel
def weighted(dz, gate, i, f, g, o):
    """dz_i i + dz_f f + dz_g g + dz_o o; dz (4, gate)."""
    total = like(o, get(dz, 3 * gate)) * o
    total = fma(like(g, get(dz, 2 * gate)), g, total)
    return fma(like(i, get(dz, 0)), i, fma(like(f, get(dz, gate)), f, total))

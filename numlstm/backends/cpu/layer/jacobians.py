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
from numlstm.backends.cpu.layer.recurrence import c_before, new_work, new_zeros, row_at
from numlstm.backends.cpu.layer.tape import Carry, line_of, read_plan, read_tape, rows_at
from numlstm.backends.cpu.layer.variant_arrays import parameters_of
from numlstm.backends.cpu.layer.weights import gate_of_theta, row_of_theta
from numlstm.cell.elementary import fma, like
from numlstm.cell.encoding import UNIT_ROWS, encode, with_ends


def fill(spec: LayerSpec, weights, tape, index: int, J, by_X) -> None:
    """Put the derivatives by a layer's own state into J, and those by its inputs into by_X.

    J (B, T, 2, layers, H, S) is that of h and c of all layers, by_X (B, T, 2, H, I) or empty. Both
    are zero at first and stay so where a row has ended. The layer, number `index`, has units that
    are apart: no normalisation, projection or zoneout.
    """
    plan, memory, switches = tape
    kernel = of_plain
    variant: tuple[Any, ...] = ()
    if switches is not None:
        kernel, variant = of_variant, (parameters_of(spec, weights.theta), switches, encode(spec))
    work = 2 * plan.lines * spec.hidden_size * weights.panels.size
    call(kernel, plan.steps, work, plan.numbers, weights.theta, memory, *variant, index, J, by_X)


class Rows(NamedTuple):
    """What is filled, and scratch for the cells of each step."""

    layer: int  # which of them it is
    J: Any  # (B, T, 2, layers, H, S)
    by_X: Any  # (B, T, 2, H, I), or empty
    dh: Any  # (T, B, padded H), and so dc
    dc: Any
    dz: Any  # (T, 2, 4, U L) of the row at hand


@kernel_that_allocates
def new_rows(plan, index, J, by_X):
    """Scratch for what is to be filled."""
    sizes, gate = (plan.steps, plan.batch, plan.padded), plan.vectors * lanes_of(J)
    return Rows(index, J, by_X, new(J, sizes), new(J, sizes), new(J, (plan.steps, 2, 4, gate)))


@entry(allocates=True)
def of_plain(driver, numbers, theta, memory, index, J, by_X):
    """Fill J and by_X for a plain layer."""
    plan = read_plan(numbers)
    tape = read_tape(plan, line_of(plan, plan.shards - 1, plan.steps), memory)
    rows = new_rows(plan, index, J, by_X)
    for_shards(plain_step, driver, plan.steps, (plan, theta, tape, rows))


@kernel
def plain_step(t, plan, theta, tape, rows):
    """The rows of all sequences at step t."""
    carry, gate = Carry(rows.dh[t], rows.dc[t]), rows.dz.shape[3]
    for shard in range(plan.shards):
        for j in range(rows_at(plan, shard, t)):
            place = get(plan.place, shard) + j
            for part in range(2):
                dz = begin(part, place, t, plan, rows)
                plain_recurrence.backward_row(
                    shard, t, j, 0, plan.vectors, plan, carry, tape, dz, gate
                )
                put_by_c(part, place, t, plan, rows)
            put_by_products(place, t, plan, theta, rows)


@entry(allocates=True)
def of_variant(driver, numbers, theta, memory, parameters, switches, cell, index, J, by_X):
    """Fill J and by_X for a layer of any variant whose units see each other in products alone."""
    plan = read_plan(numbers)
    tape = read_tape(plan, line_of(plan, plan.shards - 1, plan.steps), memory)
    rows, work = new_rows(plan, index, J, by_X), new_work(plan, switches, theta)
    dn = new(theta, (plan.steps, plan.padded))
    dunit = new_zeros(theta, (plan.steps, UNIT_ROWS, plan.padded))
    complete, unit = with_ends(cell, like(get(at(theta, 0), 0), 0.0)), parameters.unit
    arguments = (plan, complete, theta, unit, switches, tape, work, dn, dunit, rows)
    for_shards(variant_step, driver, plan.steps, arguments)


@kernel
def variant_step(t, plan, cell, theta, unit, switches, tape, work, dn, dunit, rows):
    """The rows of all sequences at step t."""
    unit = at(unit, 0)
    for shard in range(plan.shards):
        for j in range(rows_at(plan, shard, t)):
            place, line = get(plan.place, shard) + j, line_of(plan, shard, t) + j
            c_prev, c_step = c_before(shard, t, j, plan, unit, switches, tape)
            row = row_at(shard, place, line, t, -1, plan, switches, work, tape, c_prev, c_step)
            for part in range(2):
                dz = begin(part, place, t, plan, rows)
                dh, dc = at(rows.dh[t], place * plan.padded), at(rows.dc[t], place * plan.padded)
                variant_cell.backward_row(
                    plan, cell, unit, row, dh, at(dn[t], 0), dc, dz, at(dunit[t], 0)
                )
                put_by_c(part, place, t, plan, rows)
            put_by_products(place, t, plan, theta, rows)


@kernel
def begin(part, place, t, plan, rows):
    """A gradient of 1 at every h (part 0) or c (part 1) of a row; where its dz is to go."""
    dh, dc = at(rows.dh[t], place * plan.padded), at(rows.dc[t], place * plan.padded)
    for unit in range(plan.padded):
        put(dh, unit, 1 - part)
        put(dc, unit, part)
    return at(rows.dz[t], part * 4 * rows.dz.shape[3])


@kernel
def in_J(part, place, t, unit, plan, rows):
    """Pointer to the row of J of a unit's h (part 0) or c (part 1)."""
    step = get(plan.order, place) * plan.steps + t
    layers, size = rows.J.shape[3], rows.J.shape[5]
    return at(rows.J, (((step * 2 + part) * layers + rows.layer) * plan.units + unit) * size)


@kernel
def put_by_c(part, place, t, plan, rows):
    """The derivative of every unit's h or c by its own c."""
    dc, first = at(rows.dc[t], place * plan.padded), (rows.J.shape[3] + rows.layer) * plan.units
    for unit in range(plan.units):
        put(in_J(part, place, t, unit, plan, rows), first + unit, get(dc, unit))


@kernel
def put_by_products(place, t, plan, theta, rows):
    """The derivatives of every unit's h and c by what the weights multiply."""
    gate, units, inputs = rows.dz.shape[3], plan.units, plan.inputs
    step = get(plan.order, place) * plan.steps + t
    for unit in range(units):
        dz_h, dz_c = at(rows.dz[t], unit), at(rows.dz[t], 4 * gate + unit)
        _, x_i, h_i = row_of_theta(plan, unit, theta)
        _, x_f, h_f = row_of_theta(plan, max(gate_of_theta(plan, 1), 0) * units + unit, theta)
        _, x_g, h_g = row_of_theta(plan, gate_of_theta(plan, 2) * units + unit, theta)
        _, x_o, h_o = row_of_theta(plan, gate_of_theta(plan, 3) * units + unit, theta)
        own = rows.layer * units
        h = move(in_J(0, place, t, unit, plan, rows), own)
        c = move(in_J(1, place, t, unit, plan, rows), own)
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

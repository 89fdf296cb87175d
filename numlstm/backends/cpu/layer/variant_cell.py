"""One row through a cell of any variant, forward next to backward; `plain_cell.py`: the plain one.

Sums over the units of a row, for normalisation, go unit by unit in order, so that their bits do
not depend on the width of the vectors. The letters in the shape comments: see `tape.py`.
"""

from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from numlstm.backends.cpu.codegen.compile import kernel
from numlstm.backends.cpu.codegen.vectors import (
    get,
    lanes_of,
    load_pair,
    move,
    noinline,
    put,
    store_pair,
)
from numlstm.cell.activations import activate_limited, slope_limited
from numlstm.cell.elementary import fma, like, reduction
from numlstm.cell.encoding import (
    BIAS,
    CELL_BIAS,
    CELL_GAIN,
    EARLY_I,
    EARLY_O,
    GAIN,
)
from numlstm.cell.equations import (
    OF_GATES_AND_CELL,
    OFF,
    add_unit_gradients,
    sees_cell_early,
    unit_of,
    variant_backward,
    variant_forward,
)

# what the tape holds of a unit: the state after zoneout and a, the cell's activation, too; where
# there is normalisation the normalised values, and behind the units what they were scaled by
I, F, G, O, C_NEW, A, C, Z_HAT = range(8)  # noqa: E741
C_HAT = Z_HAT + 4
SLOTS, SLOTS_NORMALISED, SCALES = 7, 12, 8


class Row(NamedTuple):
    """Pointers to what belongs to one row at one step; all padded."""

    cells: Any  # (U, slots, L), SCALES
    c_prev: Any  # (U, c_step, L)
    c_step: int
    m_g: Any  # (H,) noise on the candidate
    keep_c: Any  # (H,) share of the new cell


@kernel
def forward_row(layout, cell, unit, row, z, c_now, m):
    """i f g o c a of one row. z (U, 4, L), unit (UNIT_ROWS, H), m (H,) = o a."""
    lanes, size, early = lanes_of(z), layout.padded, sees_cell_early(cell)
    epsilon = cell.layer_norm_epsilon
    if early:
        add_cell(layout, unit, row, z)
    if cell.layer_norm != OFF:
        normalise_gates(layout, epsilon, unit, row, z, 0, 3 if early else 4)
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        zu, zv, cu, cv = 4 * lanes * u, 4 * lanes * v, lanes * u, lanes * v
        i, f, g, o, c_new, c = variant_forward(
            cell,
            load_pair(z, zu, zv),
            load_pair(z, zu + lanes, zv + lanes),
            load_pair(z, zu + 2 * lanes, zv + 2 * lanes),
            load_pair(z, zu + 3 * lanes, zv + 3 * lanes),
            load_pair(row.c_prev, row.c_step * cu, row.c_step * cv),
            unit_pair(cell, unit, size, row, cu, cv),
        )
        tu, tv = layout.slots * cu, layout.slots * cv
        store_pair(move(row.cells, I * lanes), tu, tv, i)
        store_pair(move(row.cells, F * lanes), tu, tv, f)
        store_pair(move(row.cells, G * lanes), tu, tv, g)
        store_pair(move(row.cells, O * lanes), tu, tv, o)
        store_pair(move(row.cells, C_NEW * lanes), tu, tv, c_new)
        store_pair(move(row.cells, C * lanes), tu, tv, c)
        store_pair(c_now, cu, cv, c)
    if early:
        put_output_gate(layout, cell, unit, row, z)
    if cell.layer_norm == OF_GATES_AND_CELL:
        normalise_cell(layout, epsilon, row)
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        cu, cv = lanes * u, lanes * v
        tu, tv = layout.slots * cu, layout.slots * cv
        n = load_pair(move(row.cells, C_NEW * lanes), tu, tv)
        if cell.layer_norm == OF_GATES_AND_CELL:
            hat = load_pair(move(row.cells, C_HAT * lanes), tu, tv)
            gain = load_pair(move(unit, CELL_GAIN * size), cu, cv)
            n = fma(gain, hat, load_pair(move(unit, CELL_BIAS * size), cu, cv))
        a = activate_limited(cell.activations[2], n)
        store_pair(move(row.cells, A * lanes), tu, tv, a)
        store_pair(m, cu, cv, load_pair(move(row.cells, O * lanes), tu, tv) * a)


@kernel
def unit_pair(cell, unit, size, row, cu, cv):
    """The parameters and the noise of two vectors of units."""
    m_g, keep_c = load_pair(row.m_g, cu, cv), load_pair(row.keep_c, cu, cv)
    return unit_of(cell, load_row, (unit, size, cu, cv), m_g, keep_c)


@kernel
def load_row(place, there, row):
    """The parameters of two vectors of units; those that are not there are zero."""
    unit, size, cu, cv = place
    return load_pair(move(unit, row * size), cu, cv)


@kernel
def add_to_row(place, row, value):
    """Add to the gradients of the parameters of two vectors of units."""
    dunit, size, cu, cv = place
    add_pair(move(dunit, row * size), cu, cv, value)


@kernel
def backward_row(layout, cell, unit, row, dm, dn, dc_now, dz, dunit):
    """dz (4, gate) and dc of one row from dm, the gradient of o a; dn (H,) is scratch.

    Gradients of the unit's parameters are added to dunit (UNIT_ROWS, H).
    """
    lanes, size, gate = lanes_of(dm), layout.padded, layout.vectors * lanes_of(dm)
    early = sees_cell_early(cell)
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        cu, cv = lanes * u, lanes * v
        tu, tv = layout.slots * cu, layout.slots * cv
        a = load_pair(move(row.cells, A * lanes), tu, tv)
        da = load_pair(dm, cu, cv) * load_pair(move(row.cells, O * lanes), tu, tv)
        store_pair(dn, cu, cv, da * slope_limited(cell.activations[2], a))
    if cell.layer_norm == OF_GATES_AND_CELL:
        normalise_cell_backward(layout, unit, row, dn, dunit)
    if early:
        output_gate_backward(layout, cell, unit, row, dm, dn, dz, dunit)
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        cu, cv = lanes * u, lanes * v
        tu, tv = layout.slots * cu, layout.slots * cv
        c_new = load_pair(move(row.cells, C_NEW * lanes), tu, tv)
        c_prev = load_pair(row.c_prev, row.c_step * cu, row.c_step * cv)
        dz_i, dz_f, dz_g, dz_o, dc = variant_backward(
            cell,
            load_pair(move(row.cells, I * lanes), tu, tv),
            load_pair(move(row.cells, F * lanes), tu, tv),
            load_pair(move(row.cells, G * lanes), tu, tv),
            load_pair(move(row.cells, O * lanes), tu, tv),
            c_new,
            c_prev,
            load_pair(dm, cu, cv) * load_pair(move(row.cells, A * lanes), tu, tv),
            load_pair(dn, cu, cv),
            load_pair(dc_now, cu, cv),
            unit_pair(cell, unit, size, row, cu, cv),
        )
        store_pair(dc_now, cu, cv, dc)
        store_pair(dz, cu, cv, dz_i)
        store_pair(move(dz, gate), cu, cv, dz_f)
        store_pair(move(dz, 2 * gate), cu, cv, dz_g)
        if not early:
            store_pair(move(dz, 3 * gate), cu, cv, dz_o)
        place = dunit, size, cu, cv
        add_unit_gradients(cell, add_to_row, place, dz_i, dz_f, dz_o, c_new, c_prev)
    if cell.layer_norm != OFF:
        normalise_gates_backward(layout, unit, row, dz, dunit, 0, 3 if early else 4)
    if early:
        add_cell_backward(layout, unit, row, dc_now, dz, dunit)


@kernel
def add_pair(pointer, first, second, pair):
    """pointer[first:] += pair, and so the second half."""
    store_pair(pointer, first, second, load_pair(pointer, first, second) + pair)


# --- gates that see the cell before they are normalised -------------------------------------------


@kernel
def add_cell(layout, unit, row, z):
    """z_i and z_f with what they see of the cell before the step."""
    noinline()
    lanes, size = lanes_of(z), layout.padded
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        cu, cv = lanes * u, lanes * v
        c_prev = load_pair(row.c_prev, row.c_step * cu, row.c_step * cv)
        for gate in range(2):
            z_gate = move(z, gate * lanes)
            p = load_pair(move(unit, (EARLY_I + gate) * size), cu, cv)
            store_pair(z_gate, 4 * cu, 4 * cv, fma(p, c_prev, load_pair(z_gate, 4 * cu, 4 * cv)))


@kernel
def put_output_gate(layout, cell, unit, row, z):
    """o to the tape, from z_o and the new cell."""
    noinline()
    lanes, size = lanes_of(z), layout.padded
    z_o = move(z, 3 * lanes)
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        cu, cv = lanes * u, lanes * v
        c_new = load_pair(move(row.cells, C_NEW * lanes), layout.slots * cu, layout.slots * cv)
        p = load_pair(move(unit, EARLY_O * size), cu, cv)
        store_pair(z_o, 4 * cu, 4 * cv, fma(p, c_new, load_pair(z_o, 4 * cu, 4 * cv)))
    normalise_gates(layout, cell.layer_norm_epsilon, unit, row, z, 3, 4)
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        cu, cv = lanes * u, lanes * v
        o = activate_limited(cell.activations[0], load_pair(z_o, 4 * cu, 4 * cv))
        store_pair(move(row.cells, O * lanes), layout.slots * cu, layout.slots * cv, o)


@kernel
def output_gate_backward(layout, cell, unit, row, dm, dn, dz, dunit):
    """dz_o, and dn with what the output gate saw of the new cell."""
    noinline()
    lanes, size = lanes_of(dm), layout.padded
    dz_o = move(dz, 3 * layout.vectors * lanes)
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        cu, cv = lanes * u, lanes * v
        tu, tv = layout.slots * cu, layout.slots * cv
        do = load_pair(dm, cu, cv) * load_pair(move(row.cells, A * lanes), tu, tv)
        o = load_pair(move(row.cells, O * lanes), tu, tv)
        store_pair(dz_o, cu, cv, do * slope_limited(cell.activations[0], o))
    normalise_gates_backward(layout, unit, row, dz, dunit, 3, 4)
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        cu, cv = lanes * u, lanes * v
        d, c_new = load_pair(dz_o, cu, cv), move(row.cells, C_NEW * lanes)
        p = load_pair(move(unit, EARLY_O * size), cu, cv)
        store_pair(dn, cu, cv, fma(d, p, load_pair(dn, cu, cv)))
        by_p = d * load_pair(c_new, layout.slots * cu, layout.slots * cv)
        add_pair(move(dunit, EARLY_O * size), cu, cv, by_p)


@kernel
def add_cell_backward(layout, unit, row, dc_now, dz, dunit):
    """dc with what the input and the forget gate saw of the cell before the step."""
    noinline()
    lanes, size = lanes_of(dz), layout.padded
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        cu, cv = lanes * u, lanes * v
        c_prev = load_pair(row.c_prev, row.c_step * cu, row.c_step * cv)
        for gate in range(2):
            d = load_pair(move(dz, gate * layout.vectors * lanes), cu, cv)
            p = load_pair(move(unit, (EARLY_I + gate) * size), cu, cv)
            store_pair(dc_now, cu, cv, fma(d, p, load_pair(dc_now, cu, cv)))
            add_pair(move(dunit, (EARLY_I + gate) * size), cu, cv, d * c_prev)


# --- layer normalisation: x_hat = (x - mean x) scale, scale = 1 / sqrt(var x + epsilon) -----------


@kernel
def normalise_gates(layout, epsilon, unit, row, z, first, last):
    """z = gain z_hat + b of some gates, in place; z_hat and the scales to the tape."""
    noinline()
    lanes, size = lanes_of(z), layout.padded
    for gate in range(first, last):
        source, hat = move(z, gate * lanes), move(row.cells, (Z_HAT + gate) * lanes)
        scale = normalise(layout, epsilon, source, 4, hat)
        put(move(row.cells, layout.slots * layout.vectors * lanes), gate, scale)
        gain, bias = move(unit, (GAIN + gate) * size), move(unit, (BIAS + gate) * size)
        for u in range(0, layout.vectors, 2):
            v = min(u + 1, layout.vectors - 1)
            cu, cv = lanes * u, lanes * v
            value = load_pair(hat, layout.slots * cu, layout.slots * cv)
            value = fma(load_pair(gain, cu, cv), value, load_pair(bias, cu, cv))
            store_pair(source, 4 * cu, 4 * cv, value)


@kernel
def normalise_cell(layout, epsilon, row):
    """c_hat and its scale to the tape."""
    noinline()
    lanes = lanes_of(row.cells)
    cells = row.cells
    c_new, hat = move(cells, C_NEW * lanes), move(cells, C_HAT * lanes)
    scale = normalise(layout, epsilon, c_new, layout.slots, hat)
    put(move(cells, layout.slots * layout.vectors * lanes), 4, scale)


@kernel
def normalise(layout, epsilon, x, x_step, hat):
    """x_hat (U, slots, L) of x (U, x_step, L); returns the scale."""
    noinline()
    lanes, count = lanes_of(x), like(get(x, 0), layout.units)
    mean = sum_of(layout, x, x_step) / count
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        value = load_pair(x, u * x_step * lanes, v * x_step * lanes)
        store_pair(
            hat, u * layout.slots * lanes, v * layout.slots * lanes, value - like(value, mean)
        )
    squares = sum_of_products(layout, hat, layout.slots, hat, layout.slots)
    if not squares < like(mean, np.inf):
        return normalise_huge(layout, epsilon, x, x_step, hat)
    scale = like(mean, 1.0) / sqrt(squares / count + like(mean, epsilon))
    for u in range(0, layout.vectors, 2):
        tu, tv = layout.slots * lanes * u, layout.slots * lanes * min(u + 1, layout.vectors - 1)
        value = load_pair(hat, tu, tv)
        store_pair(hat, tu, tv, value * like(value, scale))
    return scale


@kernel
def normalise_huge(layout, epsilon, x, x_step, hat):
    """`normalise` of numbers whose squares overflow: of their small parts, less the first.

    Those of equal numbers are then exactly 0.
    """
    noinline()
    count = like(get(x, 0), layout.units)
    unit = like(count, reduction(count))
    first = get(x, 0) * unit
    for u in range(layout.units):
        put(hat, place(hat, layout.slots, u), get(x, place(x, x_step, u)) * unit - first)
    for u in range(layout.units, layout.vectors * lanes_of(x)):  # the rest of the last vector
        put(hat, place(hat, layout.slots, u), 0)
    mean = sum_of(layout, hat, layout.slots) / count
    for u in range(layout.units):
        at_unit = place(hat, layout.slots, u)
        put(hat, at_unit, get(hat, at_unit) - mean)
    variance = sum_of_products(layout, hat, layout.slots, hat, layout.slots) / count
    epsilon = like(mean, epsilon)
    root = sqrt(epsilon) * unit
    if variance > like(mean, 0.0):
        root = sqrt(variance + epsilon * unit * unit)
    factor = like(mean, 1.0) / root
    for u in range(layout.units):
        at_unit = place(hat, layout.slots, u)
        put(hat, at_unit, get(hat, at_unit) * factor)
    return factor * unit


@kernel
def sum_of(layout, x, x_step):
    """The sum of x (U, x_step, L) over the units, in four parts so that none waits for another."""
    a = b = c = d = like(get(x, 0), 0.0)
    whole = layout.units - layout.units % 4
    for unit in range(0, whole, 4):
        here, next_two = place(x, x_step, unit), place(x, x_step, unit + 2)
        a += get(x, here)
        b += get(x, here + 1)
        c += get(x, next_two)
        d += get(x, next_two + 1)
    for unit in range(whole, layout.units):
        a += get(x, place(x, x_step, unit))
    return (a + b) + (c + d)


@kernel
def sum_of_products(layout, x, x_step, y, y_step):
    """The sum of x y over the units, in four parts like `sum_of`."""
    a = b = c = d = like(get(x, 0), 0.0)
    whole = layout.units - layout.units % 4
    for unit in range(0, whole, 4):
        x_at, y_at = place(x, x_step, unit), place(y, y_step, unit)
        x_two, y_two = place(x, x_step, unit + 2), place(y, y_step, unit + 2)
        a = fma(get(x, x_at), get(y, y_at), a)
        b = fma(get(x, x_at + 1), get(y, y_at + 1), b)
        c = fma(get(x, x_two), get(y, y_two), c)
        d = fma(get(x, x_two + 1), get(y, y_two + 1), d)
    for unit in range(whole, layout.units):
        a = fma(get(x, place(x, x_step, unit)), get(y, place(y, y_step, unit)), a)
    return (a + b) + (c + d)


@kernel
def place(x, x_step, unit):
    """Offset of a unit in an array (U, x_step, L); after an even one comes the next."""
    lanes = lanes_of(x)
    return unit // lanes * x_step * lanes + unit % lanes


@kernel
def normalise_cell_backward(layout, unit, row, dn, dunit):
    """dn: from that of what was normalised to that of the cell, in place."""
    noinline()
    lanes, size = lanes_of(dn), layout.padded
    hat = move(row.cells, C_HAT * lanes)
    gain = move(unit, CELL_GAIN * size)
    dgain, dbias = move(dunit, CELL_GAIN * size), move(dunit, CELL_BIAS * size)
    scale = get(move(row.cells, layout.slots * layout.vectors * lanes), 4)
    normalise_backward(layout, dn, hat, gain, scale, dgain, dbias)


@kernel
def normalise_gates_backward(layout, unit, row, dz, dunit, first, last):
    """dz of some gates: from that of gain z_hat + b to that of the products, in place."""
    noinline()
    lanes, size = lanes_of(dz), layout.padded
    for gate in range(first, last):
        hat = move(row.cells, (Z_HAT + gate) * lanes)
        gain = move(unit, (GAIN + gate) * size)
        dgain, dbias = move(dunit, (GAIN + gate) * size), move(dunit, (BIAS + gate) * size)
        scale = get(move(row.cells, layout.slots * layout.vectors * lanes), gate)
        dz_gate = move(dz, gate * layout.vectors * lanes)
        normalise_backward(layout, dz_gate, hat, gain, scale, dgain, dbias)


@kernel
def normalise_backward(layout, d, hat, gain, scale, dgain, dbias):
    """d = scale (d gain - mean(d gain) - x_hat mean(d gain x_hat)), in place; dgain, dbias.

    Without its parts along 1 and along x_hat, which normalisation takes away.
    """
    noinline()
    lanes, count = lanes_of(d), like(scale, layout.units)
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        cu, cv = lanes * u, lanes * v
        value = load_pair(d, cu, cv)
        add_pair(dgain, cu, cv, value * load_pair(hat, layout.slots * cu, layout.slots * cv))
        add_pair(dbias, cu, cv, value)
        store_pair(d, cu, cv, value * load_pair(gain, cu, cv))
    along_one = sum_of(layout, d, 1) / count
    along_hat = sum_of_products(layout, d, 1, hat, layout.slots) / count
    for u in range(0, layout.vectors, 2):
        v = min(u + 1, layout.vectors - 1)
        cu, cv = lanes * u, lanes * v
        value, x = load_pair(d, cu, cv), load_pair(hat, layout.slots * cu, layout.slots * cv)
        rest = fma(-x, like(x, along_hat), value - like(x, along_one))
        store_pair(d, cu, cv, rest * like(x, scale))

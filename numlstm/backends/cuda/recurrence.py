"""The recurrence as two kernels, forward and backward, compiled for a variant and a `Tile`.

A block owns some rows and some units at all steps: their cells (`cells.py`) and, on the way back,
their gradients. Per step it adds W_hh h_{t-1} for its units, or W_hh' dz_{t+1}, and
passes them through the cell. Where it owns all units of its rows, nobody waits for it but its own
threads; where several blocks share the units, they meet at a barrier after every step; and a launch
for a single step needs no barrier at all. The three are the same code.

Every sum runs over k in order, so the bits depend neither on the tile nor on the barrier.
The letters in the shape comments: see `cells.py`.
"""

from functools import lru_cache
from math import sqrt
from typing import Any, NamedTuple

from numlstm.backends.cuda.cells import (
    cell,
    cell_backward,
    output,
    output_backward,
    put_hidden,
    put_padding,
    read_variant,
    runs,
    take_cell,
    take_hidden,
)
from numlstm.backends.cuda.target import cuda, kernel_of, number_type
from numlstm.elementary import compilable, fma, like
from numlstm.families import BIAS, CELL_BIAS, CELL_GAIN, EPSILON, GAIN, Family

LANES = 32  # partial sums of a row that is normalised


class Tile(NamedTuple):
    """How a block's work is cut; a constant of the kernels that are compiled for it."""

    units: int  # threads along the units
    lines: int  # threads along the rows
    rows: int  # of every thread
    depth: int  # of k that is in shared memory at a time
    kept: int  # of k whose weights stay there for the whole launch: all, or 0
    shared_units: bool  # whether several blocks share the units of a row


def weights_of(tile: Tile) -> int:
    """How many weights of a block are in shared memory."""
    return (tile.kept or tile.depth) * 4 * tile.units


class Part(NamedTuple):
    """What a block owns, and who this thread is in it."""

    first_row: int
    last_row: int
    first_unit: int
    last_unit: int
    thread: int
    threads: int
    unit: int  # this thread's place along the units
    row: int  # the first row of this thread


class Pass(NamedTuple):
    """What kernels take beside the steps: everything but scratch."""

    weights: Any
    switches: Any
    tape: Any
    state: Any  # forward the state, backward its gradient


@compilable()
def own_part(tile, batch, units):
    """Blocks (x, y): x along the units, y along the rows."""
    rows = tile.lines * tile.rows
    share = (units + cuda.gridDim.x - 1) // cuda.gridDim.x
    thread, first = cuda.threadIdx.x, cuda.blockIdx.x * share
    first_row = cuda.blockIdx.y * rows
    return Part(
        first_row,
        min(first_row + rows, batch),
        first,
        min(first + share, units),
        thread,
        tile.units * tile.lines,
        thread % tile.units,
        first_row + thread // tile.units * tile.rows,
    )


@compilable()
def barrier(signal, count):
    """Wait until the blocks that share these rows have all come here `count` times."""
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        cuda.threadfence()
        cuda.atomic.add(signal, cuda.blockIdx.y, 1)
        while cuda.atomic.add(signal, cuda.blockIdx.y, 0) < count * cuda.gridDim.x:
            pass
        cuda.threadfence()
    cuda.syncthreads()


@compilable()
def end_step(tile, signal, count):
    """Everything that was written before is seen by whoever reads it in the next step."""
    if tile.shared_units:
        barrier(signal, count)
    else:
        cuda.syncthreads()


# --- products: acc[j, gate] += sum over k of left[row + j, k] W[k, gate, unit] --------------------


@compilable()
def stage_weights(tile, part, w, W, first_k, count, first):
    """w (k, 4, units of the tile) = W[first_k:][:count, :, first:]; zero beyond the units."""
    zero = like(w[0], 0.0)
    for item in range(part.thread, count * 4 * tile.units, part.threads):
        k, rest = item // (4 * tile.units), item % (4 * tile.units)
        gate, unit = rest // tile.units, first + rest % tile.units
        w[item] = W[first_k + k, gate, unit] if unit < part.last_unit else zero


@compilable()
def stage_weights_back(tile, part, w, W, first_k, count, first):
    """w (k, 4, units of the tile) = W[first:, :, first_k:][..., :count] with k in front."""
    zero = like(w[0], 0.0)
    for item in range(part.thread, count * 4 * tile.units, part.threads):
        unit, rest = first + item // (4 * count), item % (4 * count)
        gate, k = rest // count, rest % count
        to = (k * 4 + gate) * tile.units + unit - first
        w[to] = W[unit, gate, first_k + k] if unit < part.last_unit else zero


@compilable()
def multiply_forward(tile, part, acc, w, left, weights, tape, t, first):
    """acc += W_hh h_{t-1}, for the units from `first` on. left (rows, depth) is scratch."""
    outputs, depth = weights.out.shape[0], tile.depth
    outputs = outputs if outputs > 0 else weights.gates.shape[2]
    for first_k in range(0, outputs, depth):
        count = min(depth, outputs - first_k)
        cuda.syncthreads()
        for item in range(part.thread, (part.last_row - part.first_row) * count, part.threads):
            row, k = item // count, item % count
            left[row * depth + k] = tape.xh[part.first_row + row, t, first_k + k]
        if tile.kept == 0:
            stage_weights(tile, part, w, weights.gates, first_k, count, first)
        cuda.syncthreads()
        line = (part.row - part.first_row) * depth
        w_line = first_k * 4 * tile.units if tile.kept > 0 else 0
        for k in range(count):
            column = w_line + k * 4 * tile.units + part.unit
            w_i, w_f = w[column], w[column + tile.units]
            w_g, w_o = w[column + 2 * tile.units], w[column + 3 * tile.units]
            for j in range(tile.rows):
                h = left[line + j * depth + k]
                acc[4 * j] = fma(h, w_i, acc[4 * j])
                acc[4 * j + 1] = fma(h, w_f, acc[4 * j + 1])
                acc[4 * j + 2] = fma(h, w_g, acc[4 * j + 2])
                acc[4 * j + 3] = fma(h, w_o, acc[4 * j + 3])


@compilable()
def multiply_backward(tile, part, acc, w, left, weights, dz, t, first):
    """acc += W_hh' dz_t by gates, for the outputs from `first` on. left (rows, 4, depth)."""
    units, depth = weights.gates.shape[2], tile.depth
    for first_k in range(0, units, depth):
        count = min(depth, units - first_k)
        cuda.syncthreads()
        for item in range(part.thread, (part.last_row - part.first_row) * 4 * count, part.threads):
            row, rest = item // (4 * count), item % (4 * count)
            gate, k = rest // count, rest % count
            left[(row * 4 + gate) * depth + k] = dz[part.first_row + row, t, gate, first_k + k]
        if tile.kept == 0:
            stage_weights_back(tile, part, w, weights.gates, first_k, count, first)
        cuda.syncthreads()
        line = (part.row - part.first_row) * 4 * depth
        w_line = first_k * 4 * tile.units if tile.kept > 0 else 0
        for k in range(count):
            column = w_line + k * 4 * tile.units + part.unit
            w_i, w_f = w[column], w[column + tile.units]
            w_g, w_o = w[column + 2 * tile.units], w[column + 3 * tile.units]
            for j in range(tile.rows):
                at = line + 4 * j * depth + k
                acc[4 * j] = fma(left[at], w_i, acc[4 * j])
                acc[4 * j + 1] = fma(left[at + depth], w_f, acc[4 * j + 1])
                acc[4 * j + 2] = fma(left[at + 2 * depth], w_g, acc[4 * j + 2])
                acc[4 * j + 3] = fma(left[at + 3 * depth], w_o, acc[4 * j + 3])


# --- normalisation of whole rows: x_hat = (x - mean x) scale, scale = 1 / sqrt(var x + EPSILON) ---
# Sums go by LANES parts, each every so many units; everybody adds the parts in the same order.


@compilable()
def total(sums, item):
    """The sum of the parts of one (row, gate)."""
    result = sums[item * LANES]
    for lane in range(1, LANES):
        result += sums[item * LANES + lane]
    return result


@compilable()
def normalise(part, switches, t, x, hat, scale, first_scale, sums):
    """hat = x normalised over the units. x and hat (B, T, J, H), scale (B, T, 5) from one J on."""
    gates, units = x.shape[2], x.shape[3]
    zero = like(sums[0], 0.0)
    count, rows = like(zero, units), part.last_row - part.first_row
    for squared in range(2):
        cuda.syncthreads()
        for item in range(part.thread, rows * gates * LANES, part.threads):
            line, lane = item // LANES, item % LANES
            row, gate = part.first_row + line // gates, line % gates
            value = zero
            if runs(switches, row, t):
                for unit in range(lane, units, LANES):
                    if squared == 0:
                        value += x[row, t, gate, unit]
                    else:
                        value = fma(hat[row, t, gate, unit], hat[row, t, gate, unit], value)
            sums[squared * rows * gates * LANES + item] = value
        cuda.syncthreads()
        if squared == 0:
            for item in range(part.thread, rows * gates * units, part.threads):
                line, unit = item // units, item % units
                row, gate = part.first_row + line // gates, line % gates
                if runs(switches, row, t):
                    hat[row, t, gate, unit] = x[row, t, gate, unit] - total(sums, line) / count
    for item in range(part.thread, rows * gates * units, part.threads):
        line, unit = item // units, item % units
        row, gate = part.first_row + line // gates, line % gates
        if runs(switches, row, t):
            variance = total(sums, rows * gates + line) / count
            factor = like(zero, 1.0) / sqrt(variance + like(zero, EPSILON))
            hat[row, t, gate, unit] *= factor
            if unit == 0:
                scale[row, t, first_scale + gate] = factor
    cuda.syncthreads()


@compilable()
def normalise_backward(
    part, switches, t, d, hat, scale, first_scale, unit_rows, gains, biases, dunit, sums
):
    """d = scale (d gain - mean(d gain) - x_hat mean(d gain x_hat)), in place; dgain and dbias.

    Without its parts along 1 and along x_hat, which normalisation takes away. d (B, T, J, H).
    """
    gates, units = d.shape[2], d.shape[3]
    zero = like(sums[0], 0.0)
    count, rows = like(zero, units), part.last_row - part.first_row
    lines = rows * gates
    cuda.syncthreads()
    for item in range(part.thread, lines * units, part.threads):
        line, unit = item // units, item % units
        row, gate = part.first_row + line // gates, line % gates
        if runs(switches, row, t):
            value = d[row, t, gate, unit]
            dunit[row, gains + gate, unit] += value * hat[row, t, gate, unit]
            dunit[row, biases + gate, unit] += value
            d[row, t, gate, unit] = value * unit_rows[gains + gate, unit]
    cuda.syncthreads()
    for item in range(part.thread, lines * LANES, part.threads):
        line, lane = item // LANES, item % LANES
        row, gate = part.first_row + line // gates, line % gates
        along_one = along_hat = zero
        if runs(switches, row, t):
            for unit in range(lane, units, LANES):
                value = d[row, t, gate, unit]
                along_one += value
                along_hat = fma(value, hat[row, t, gate, unit], along_hat)
        sums[item], sums[lines * LANES + item] = along_one, along_hat
    cuda.syncthreads()
    for item in range(part.thread, lines * units, part.threads):
        line, unit = item // units, item % units
        row, gate = part.first_row + line // gates, line % gates
        if runs(switches, row, t):
            along_one, along_hat = total(sums, line) / count, total(sums, lines + line) / count
            rest = d[row, t, gate, unit] - along_one
            rest = fma(-hat[row, t, gate, unit], along_hat, rest)
            d[row, t, gate, unit] = rest * scale[row, t, first_scale + gate]
    cuda.syncthreads()


# --- one step -------------------------------------------------------------------------------------


@compilable()
def step_forward(family, variant, tile, part, given, Y, acc, shared, w, t):
    """Everything of step t that this block owns."""
    weights, switches, tape, state = given
    for first in range(part.first_unit, part.last_unit, tile.units):
        unit = first + part.unit
        mine = unit < part.last_unit
        for j in range(tile.rows):
            for gate in range(4):
                acc[4 * j + gate] = like(acc[0], 0.0)
                if mine and part.row + j < part.last_row:
                    acc[4 * j + gate] = tape.gates[part.row + j, t, gate, unit]
        multiply_forward(tile, part, acc, w, shared, weights, tape, t, first)
        for j in range(tile.rows):
            row = part.row + j
            if mine and row < part.last_row:
                z_i, z_f, z_g, z_o = acc[4 * j], acc[4 * j + 1], acc[4 * j + 2], acc[4 * j + 3]
                if not runs(switches, row, t):
                    if not family.projected:
                        put_padding(tape, Y, row, t, unit)
                elif family.normalised:
                    tape.gates[row, t, 0, unit] = z_i
                    tape.gates[row, t, 1, unit] = z_f
                    tape.gates[row, t, 2, unit] = z_g
                    tape.gates[row, t, 3, unit] = z_o
                else:
                    c_new = cell(
                        family, variant, weights, switches, tape, state, row, t, unit,
                        z_i, z_f, z_g, z_o,
                    )  # fmt: skip
                    m = output(family, variant, weights, tape, row, t, unit, c_new)
                    if not family.projected:
                        put_hidden(weights, switches, tape, state, Y, row, t, unit, m)
    if family.normalised:
        normalised_cells(family, variant, part, given, Y, shared, t)
    if family.projected:
        project(part, given, Y, t)


@compilable()
def normalised_cells(family, variant, part, given, Y, sums, t):
    """Cells of whole rows, from z that is to be normalised; then their outputs."""
    weights, switches, tape, state = given
    units, unit_rows = weights.gates.shape[2], weights.unit
    rows = part.last_row - part.first_row
    normalise(part, switches, t, tape.gates, tape.z_hat, tape.scale, 0, sums)
    for item in range(part.thread, rows * units, part.threads):
        row, unit = part.first_row + item // units, item % units
        if runs(switches, row, t):
            z_i = rescaled(unit_rows, tape.z_hat, row, t, 0, unit)
            z_f = rescaled(unit_rows, tape.z_hat, row, t, 1, unit)
            z_g = rescaled(unit_rows, tape.z_hat, row, t, 2, unit)
            z_o = rescaled(unit_rows, tape.z_hat, row, t, 3, unit)
            cell(family, variant, weights, switches, tape, state, row, t, unit, z_i, z_f, z_g, z_o)
    normalise(part, switches, t, tape.c_new, tape.c_hat, tape.scale, 4, sums)
    for item in range(part.thread, rows * units, part.threads):
        row, unit = part.first_row + item // units, item % units
        if runs(switches, row, t):
            c_new = tape.c_new[row, t, 0, unit]
            m = output(family, variant, weights, tape, row, t, unit, c_new)
            if not family.projected:
                put_hidden(weights, switches, tape, state, Y, row, t, unit, m)


@compilable()
def rescaled(unit_rows, hat, row, t, gate, unit):
    """z = gain z_hat + b."""
    return fma(unit_rows[GAIN + gate, unit], hat[row, t, gate, unit], unit_rows[BIAS + gate, unit])


@compilable()
def project(part, given, Y, t):
    """h_new = W_hr m of whole rows."""
    weights, switches, tape, state = given
    outputs, units = weights.out.shape
    cuda.syncthreads()
    for item in range(part.thread, (part.last_row - part.first_row) * outputs, part.threads):
        row, p = part.first_row + item // outputs, item % outputs
        if runs(switches, row, t):
            h_new = like(Y[row, t, p], 0.0)
            for unit in range(units):
                h_new = fma(weights.out[p, unit], tape.m[row, t, unit], h_new)
            put_hidden(weights, switches, tape, state, Y, row, t, p, h_new)
        else:
            put_padding(tape, Y, row, t, p)


@compilable()
def step_backward(family, variant, tile, part, given, dY, gradient, acc, shared, w, t):
    """As `step_forward`, of the gradients; at t = -1 what is left for the initial state."""
    weights, switches, tape, dstate = given
    for first in range(part.first_unit, part.last_unit, tile.units):
        unit = first + part.unit
        for place in range(4 * tile.rows):
            acc[place] = like(acc[0], 0.0)
        if t + 1 < gradient.dz.shape[1]:
            multiply_backward(tile, part, acc, w, shared, weights, gradient.dz, t + 1, first)
        for j in range(tile.rows):
            row = part.row + j
            if unit < part.last_unit and row < part.last_row:
                through = (acc[4 * j] + acc[4 * j + 1]) + (acc[4 * j + 2] + acc[4 * j + 3])
                dh = take_hidden(switches, dY, gradient, dstate, row, t, unit, through)
                if family.projected or family.normalised:
                    if t >= 0:
                        gradient.dh[row, t, unit] = dh
                else:
                    dc = take_cell(switches, gradient, dstate, row, t, unit)
                    if t >= 0 and runs(switches, row, t):
                        dn = output_backward(variant, tape, row, t, unit, dh)
                        cell_backward(
                            family, variant, weights, switches, tape, gradient, dstate,
                            row, t, unit, dh, dn, dc,
                        )  # fmt: skip
    if family.projected or family.normalised:
        rows_backward(family, variant, part, given, gradient, shared, t)


@compilable()
def rows_backward(family, variant, part, given, gradient, sums, t):
    """Cells of whole rows, whose outputs were projected or normalised."""
    weights, switches, tape, dstate = given
    units = weights.gates.shape[2]
    items = (part.last_row - part.first_row) * units
    cuda.syncthreads()
    for item in range(part.thread, items, part.threads):
        row, unit = part.first_row + item // units, item % units
        take_cell(switches, gradient, dstate, row, t, unit)
        if t >= 0 and runs(switches, row, t):
            dm = like(sums[0], 0.0)
            if family.projected:
                for p in range(weights.out.shape[0]):
                    dm = fma(gradient.dh[row, t, p], weights.out[p, unit], dm)
            else:
                dm = gradient.dh[row, t, unit]
            gradient.dm[row, t, unit] = dm
            gradient.dn[row, t, 0, unit] = output_backward(variant, tape, row, t, unit, dm)
    if t < 0:
        return
    if family.normalised:
        normalise_backward(
            part, switches, t, gradient.dn, tape.c_hat, tape.scale, 4,
            weights.unit, CELL_GAIN, CELL_BIAS, gradient.unit, sums,
        )  # fmt: skip
    for item in range(part.thread, items, part.threads):
        row, unit = part.first_row + item // units, item % units
        if runs(switches, row, t):
            dm, dn = gradient.dm[row, t, unit], gradient.dn[row, t, 0, unit]
            dc = dstate.c[row, unit]
            cell_backward(
                family, variant, weights, switches, tape, gradient, dstate,
                row, t, unit, dm, dn, dc,
            )  # fmt: skip
    if family.normalised:
        normalise_backward(
            part, switches, t, gradient.dz, tape.z_hat, tape.scale, 0,
            weights.unit, GAIN, BIAS, gradient.unit, sums,
        )  # fmt: skip


# --- kernels --------------------------------------------------------------------------------------


class Recurrence(NamedTuple):
    """The kernels for a variant, a tile and a type of numbers."""

    forward: Any
    backward: Any


@lru_cache(maxsize=64)
def compiled(family: Family, tile: Tile, dtype: str) -> Recurrence:
    """Kernels in which the variant and the tile are constants; compiled at their first launch."""
    number = number_type(dtype)
    places, scratch = 4 * tile.rows, weights_of(tile)
    bounds = tile.units * tile.lines

    @kernel_of(bounds)
    def forward(t_first, t_last, given, Y, signal):
        """h_t for t_first <= t < t_last, of all rows and units."""
        shared = cuda.shared.array(0, number)
        w, left = shared[:scratch], shared[scratch:]
        acc = cuda.local.array(places, number)
        part = own_part(tile, Y.shape[0], given.weights.gates.shape[2])
        variant = read_variant(family, like(w[0], 0.0))
        if tile.kept > 0:
            outputs = Y.shape[2]
            stage_weights(tile, part, w, given.weights.gates, 0, outputs, part.first_unit)
        for t in range(t_first, t_last):
            step_forward(family, variant, tile, part, given, Y, acc, left, w, t)
            if t + 1 < t_last:
                end_step(tile, signal, t + 1 - t_first)

    @kernel_of(bounds)
    def backward(t_first, t_last, given, dY, gradient, signal):
        """dz_t for t_first >= t > t_last, of all rows and units; t = -1 is the initial state."""
        shared = cuda.shared.array(0, number)
        w, left = shared[:scratch], shared[scratch:]
        acc = cuda.local.array(places, number)
        dh = given.state.h
        part = own_part(tile, dh.shape[0], dh.shape[1])
        variant = read_variant(family, like(w[0], 0.0))
        if tile.kept > 0:
            units, gates = given.weights.gates.shape[2], given.weights.gates
            stage_weights_back(tile, part, w, gates, 0, units, part.first_unit)
        for t in range(t_first, t_last, -1):
            step_backward(family, variant, tile, part, given, dY, gradient, acc, left, w, t)
            if t - 1 > t_last:
                end_step(tile, signal, t_first - t + 1)

    return Recurrence(forward, backward)

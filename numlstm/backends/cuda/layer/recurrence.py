"""The recurrence as two kernels, forward and backward, compiled for a variant and a `Tile`.

A block owns some rows and some units at all steps: their cells (`cells.py`) and, in the backward
pass, their gradients. Per step it adds W_hh h_{t-1} for its units, or W_hh' dz_{t+1}, and passes
them through the cell (`places.py`). Where it owns all units of its rows, nobody waits for it
but its own threads; where several blocks share the units, they meet at a barrier after every step;
and a launch for a single step needs no barrier at all. The three are the same code.

Every sum runs over k in order, so the bits depend neither on the tile nor on the barrier.
The letters in the shape comments: see `cells.py`.
"""

from functools import lru_cache
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from numlstm.backends.cuda.device.compile import kernel_of
from numlstm.backends.cuda.device.target import cuda, number_type
from numlstm.backends.cuda.gemm.tensor_cores import rounded
from numlstm.backends.cuda.gemm.transfers import Chunk, arrived
from numlstm.backends.cuda.layer.cells import (
    Gates,
    add_cell,
    add_cell_backward,
    add_new_cell,
    add_new_cell_backward,
    cell,
    cell_backward,
    is_active,
    output,
    output_backward,
    output_gate_backward,
    projected,
    put_hidden,
    put_padding,
    take_cell,
    taped,
)
from numlstm.backends.cuda.layer.places import (
    AHEAD,
    Part,
    Scratch,
    clear,
    owns,
    place_backward,
    place_forward,
    read_ahead,
    read_back,
)
from numlstm.backends.cuda.layer.staging import (
    add_products,
    keep_weights,
    place_in_left,
    stage_left,
    stage_weights,
)
from numlstm.backends.cuda.layer.tiles import (
    LANES,
    Tile,
    all_weights_of,
    carries,
    first_place,
    place_of,
    places_of,
    rows_of,
    threads_of,
    whole_rows,
)
from numlstm.cell.activations import activate_limited
from numlstm.cell.elementary import compilable, fma, like, noinline, reduction
from numlstm.cell.encoding import BIAS, CELL_BIAS, CELL_GAIN, GAIN, Variant, with_ends
from numlstm.cell.equations import OF_GATES_AND_CELL, projection_forward, sees_cell_early


@compilable()
def own_part(tile, batch, units):
    """Blocks (x, y): x along the rows, y along the units."""
    share = (units + cuda.gridDim.y - 1) // cuda.gridDim.y
    thread, first = cuda.threadIdx.x, cuda.blockIdx.y * share
    first_row = cuda.blockIdx.x * rows_of(tile)
    row, unit = first_place(tile, thread)
    return Part(
        first_row,
        min(first_row + rows_of(tile), batch),
        first,
        min(first + share, units),
        thread,
        threads_of(tile),
        unit,
        first_row + row,
    )


@compilable()
def barrier(signal, count):
    """Wait until the blocks that share these rows have all come here `count` times."""
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        cuda.threadfence()
        cuda.atomic.add(signal, cuda.blockIdx.x, 1)
        while cuda.atomic.add(signal, cuda.blockIdx.x, 0) < count * cuda.gridDim.y:
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


# --- products: see `staging.py` -------------------------------------------------------------------


@compilable()
def multiply(tile, part, scratch, W, source, back, length, t, first, staged):
    """acc += W_hh h_{t-1}, or by gates W_hh' dz_t, over `length` k, for the units from `first` on.

    `staged` is whether left has the factors already. The next chunk is on its way meanwhile.
    """
    sides = 4 if back else 1
    chunk = Chunk(0, min(tile.depth, length), 0)
    if not staged:
        cuda.syncthreads()
        stage(tile, part, scratch, W, source, back, t, chunk, first)
    while chunk.first < length:
        if not staged:
            arrived()
            cuda.syncthreads()
        after = Chunk(chunk.last, min(chunk.last + tile.depth, length), 1 - chunk.buffer)
        if after.first < length:
            stage(tile, part, scratch, W, source, back, t, after, first)
        add_products(tile, part, scratch, sides, chunk)
        chunk = after


@compilable()
def stage(tile, part, scratch, W, source, back, t, chunk, first):
    """A chunk to shared memory."""
    stage_left(tile, part, scratch.left, source, 4 if back else 1, t, chunk)
    if tile.kept == 0:
        stage_weights(tile, part, scratch.w, W, back, chunk, first)


@compilable()
def carry(tile, part, scratch, sides):
    """Copy the cells' results from acc to where the next step reads them, after all products."""
    cuda.syncthreads()
    width = max(1, tile.factors)  # neighbours are in one register
    for j in range(0, places_of(tile), width):
        row, unit = place_of(tile, part, j)
        for side in range(sides):
            place = place_in_left(tile, sides, row - part.first_row, side, unit // width)
            low, high = scratch.acc[4 * j + side], scratch.acc[4 * (j + width - 1) + side]
            scratch.left[place] = rounded(low, high, tile.factors)


# --- normalisation of whole rows: x_hat = (x - mean x) scale, scale = 1 / sqrt(var x + epsilon) ---
# Sums go by LANES parts, each every so many units; everybody adds the parts in the same order.


class Lines(NamedTuple):
    """Which of the J lines of an array (B, T, J, H) are normalised."""

    first: int
    last: int
    scale: int  # where in (B, T, 5) their scales begin
    gain: int  # the rows of the first of the J lines' gain and bias
    bias: int


ALL_GATES, OUTPUT_GATE = Lines(0, 4, 0, GAIN, BIAS), Lines(3, 4, 3, GAIN, BIAS)
EARLY_GATES, CELLS = Lines(0, 3, 0, GAIN, BIAS), Lines(0, 1, 4, CELL_GAIN, CELL_BIAS)


@compilable()
def total(sums, item):
    """The sum of the parts of one (row, gate)."""
    result = sums[item * LANES]
    for lane in range(1, LANES):
        result += sums[item * LANES + lane]
    return result


@compilable()
def normalise(variant, part, masks, t, which, x, hat, scale, sums):
    """hat = x normalised over the units, of some lines. x and hat (B, T, J, H), scale (B, T, 5)."""
    gates, units = which.last - which.first, x.shape[3]
    zero = like(sums[0], 0.0)
    count, rows = like(zero, units), part.last_row - part.first_row
    for squared in range(2):
        cuda.syncthreads()
        for item in range(part.thread, rows * gates * LANES, part.threads):
            line, lane = item // LANES, item % LANES
            row, gate = part.first_row + line // gates, which.first + line % gates
            value = zero
            if is_active(masks, row, t):
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
                row, gate = part.first_row + line // gates, which.first + line % gates
                if is_active(masks, row, t):
                    hat[row, t, gate, unit] = x[row, t, gate, unit] - total(sums, line) / count
    for item in range(part.thread, rows * gates * units, part.threads):
        line, unit = item // units, item % units
        row, gate = part.first_row + line // gates, which.first + line % gates
        if is_active(masks, row, t):
            variance = total(sums, rows * gates + line) / count
            factor = like(zero, 1.0) / sqrt(variance + like(zero, variant.layer_norm_epsilon))
            if variance < like(zero, np.inf):
                hat[row, t, gate, unit] *= factor
            else:
                line_of_x, epsilon = x[row, t, gate], like(zero, variant.layer_norm_epsilon)
                hat[row, t, gate, unit], factor = normalised_huge(line_of_x, unit, epsilon)
            if unit == 0:
                scale[row, t, which.scale + line % gates] = factor
    cuda.syncthreads()


@compilable()
def normalised_huge(x, unit, epsilon):
    """A number normalised among x (H,), whose squares overflow, and the scale.

    Of their small parts, less the first: those of equal numbers are then exactly 0.
    """
    noinline()
    zero = like(epsilon, 0.0)
    count, small = like(zero, x.size), like(zero, reduction(zero))
    first, mean, variance = x[0] * small, zero, zero
    for other in range(x.size):
        mean += x[other] * small - first
    mean /= count
    for other in range(x.size):
        value = x[other] * small - first - mean
        variance = fma(value, value, variance)
    variance /= count
    root = like(zero, sqrt(epsilon)) * small
    if variance > zero:
        root = like(zero, sqrt(variance + epsilon * small * small))
    factor = like(zero, 1.0) / root
    return (x[unit] * small - first - mean) * factor, factor * small


@compilable()
def normalise_backward(part, given, t, which, d, hat, dunit, sums):
    """d = scale (d gain - mean(d gain) - x_hat mean(d gain x_hat)), in place; dgain and dbias.

    Without its parts along 1 and along x_hat, which normalisation takes away. d (B, T, J, H).
    """
    masks, scale, unit_rows = given.masks, given.tape.scale, given.weights.unit
    gates, units = which.last - which.first, d.shape[3]
    zero = like(sums[0], 0.0)
    count, rows = like(zero, units), part.last_row - part.first_row
    lines = rows * gates
    cuda.syncthreads()
    for item in range(part.thread, lines * units, part.threads):
        line, unit = item // units, item % units
        row, gate = part.first_row + line // gates, which.first + line % gates
        if is_active(masks, row, t):
            value = d[row, t, gate, unit]
            dunit[row, which.gain + gate, unit] += value * hat[row, t, gate, unit]
            dunit[row, which.bias + gate, unit] += value
            d[row, t, gate, unit] = value * unit_rows[which.gain + gate, unit]
    cuda.syncthreads()
    for item in range(part.thread, lines * LANES, part.threads):
        line, lane = item // LANES, item % LANES
        row, gate = part.first_row + line // gates, which.first + line % gates
        along_one = along_hat = zero
        if is_active(masks, row, t):
            for unit in range(lane, units, LANES):
                value = d[row, t, gate, unit]
                along_one += value
                along_hat = fma(value, hat[row, t, gate, unit], along_hat)
        sums[item], sums[lines * LANES + item] = along_one, along_hat
    cuda.syncthreads()
    for item in range(part.thread, lines * units, part.threads):
        line, unit = item // units, item % units
        row, gate = part.first_row + line // gates, which.first + line % gates
        if is_active(masks, row, t):
            along_one, along_hat = total(sums, line) / count, total(sums, lines + line) / count
            rest = d[row, t, gate, unit] - along_one
            rest = fma(-hat[row, t, gate, unit], along_hat, rest)
            d[row, t, gate, unit] = rest * scale[row, t, which.scale + line % gates]
    cuda.syncthreads()


# --- one step -------------------------------------------------------------------------------------


@compilable()
def step_forward(variant, tile, part, given, Y, scratch, t, staged):
    """Everything of step t that this block owns."""
    W, acc, sums = given.weights.gates, scratch.acc, scratch.left
    outputs = given.weights.out.shape[0] if variant.projected else W.shape[2]
    for first in range(part.first_unit, part.last_unit, tile.units):
        for j in range(places_of(tile)):
            row, unit = place_of(tile, part, j)
            clear(acc, 4 * j)
            if places_of(tile) == 1 and owns(part, row, first + unit):
                read_ahead(scratch.ahead, given, row, t, first + unit)
        multiply(tile, part, scratch, W, given.tape.xh, False, outputs, t, first, staged)
        # no loop: not every compiler unrolls one so long, and the registers become memory
        place_forward(variant, tile, part, given, Y, scratch, first, t, 0)
        if places_of(tile) > 1:
            place_forward(variant, tile, part, given, Y, scratch, first, t, 1)
        if places_of(tile) > 2:
            place_forward(variant, tile, part, given, Y, scratch, first, t, 2)
            place_forward(variant, tile, part, given, Y, scratch, first, t, 3)
    if carries(variant, tile):
        carry(tile, part, scratch, 1)
    if variant.layer_norm:
        normalised_cells(variant, part, given, Y, sums, t)
    if variant.projected:
        project(variant, part, given, Y, t)


@compilable()
def normalised_cells(variant, part, given, Y, sums, t):
    """Cells of whole rows, from z that is to be normalised; then their outputs."""
    weights, masks, tape, state = given
    units, unit_rows = weights.gates.shape[2], weights.unit
    items = (part.last_row - part.first_row) * units
    if sees_cell_early(variant):
        cuda.syncthreads()  # others have put z there
        for item in range(part.thread, items, part.threads):
            row, unit = part.first_row + item // units, item % units
            if is_active(masks, row, t):
                add_cell(weights, masks, tape, state, row, t, unit)
        normalise(variant, part, masks, t, EARLY_GATES, tape.gates, tape.z_hat, tape.scale, sums)
    else:
        normalise(variant, part, masks, t, ALL_GATES, tape.gates, tape.z_hat, tape.scale, sums)
    for item in range(part.thread, items, part.threads):
        row, unit = part.first_row + item // units, item % units
        if is_active(masks, row, t):
            z_i = rescaled(unit_rows, tape.z_hat, row, t, 0, unit)
            z_f = rescaled(unit_rows, tape.z_hat, row, t, 1, unit)
            z_g = rescaled(unit_rows, tape.z_hat, row, t, 2, unit)
            if sees_cell_early(variant):
                z_o = tape.gates[row, t, 3, unit]
            else:
                z_o = rescaled(unit_rows, tape.z_hat, row, t, 3, unit)
            z = Gates(z_i, z_f, z_g, z_o)
            cell(variant, given, row, t, unit, state.c[row, unit], z)
            if sees_cell_early(variant):
                add_new_cell(weights, tape, row, t, unit, z_o)
    if sees_cell_early(variant):
        put_output_gates(variant, part, given, sums, t)
    if variant.layer_norm == OF_GATES_AND_CELL:
        normalise(variant, part, masks, t, CELLS, tape.c_new, tape.c_hat, tape.scale, sums)
    for item in range(part.thread, items, part.threads):
        row, unit = part.first_row + item // units, item % units
        if is_active(masks, row, t):
            c_new = tape.c_new[row, t, 0, unit]
            m = output(variant, weights, tape, row, t, unit, c_new)
            if not variant.projected:
                put_hidden(weights, masks, tape, state, Y, row, t, unit, m)


@compilable()
def put_output_gates(variant, part, given, sums, t):
    """o of whole rows to the tape, from z_o that is to be normalised."""
    weights, masks, tape, _ = given
    units = weights.gates.shape[2]
    normalise(variant, part, masks, t, OUTPUT_GATE, tape.gates, tape.z_hat, tape.scale, sums)
    for item in range(part.thread, (part.last_row - part.first_row) * units, part.threads):
        row, unit = part.first_row + item // units, item % units
        if is_active(masks, row, t):
            z_o = rescaled(weights.unit, tape.z_hat, row, t, 3, unit)
            tape.gates[row, t, 3, unit] = activate_limited(variant.activations[0], z_o)


@compilable()
def rescaled(unit_rows, hat, row, t, gate, unit):
    """z = gain z_hat + b."""
    return fma(unit_rows[GAIN + gate, unit], hat[row, t, gate, unit], unit_rows[BIAS + gate, unit])


@compilable()
def project(variant, part, given, Y, t):
    """h_new = W_hr m of whole rows, within its limit."""
    weights, masks, tape, state = given
    outputs = weights.out.shape[0]
    cuda.syncthreads()
    for item in range(part.thread, (part.last_row - part.first_row) * outputs, part.threads):
        row, p = part.first_row + item // outputs, item % outputs
        if is_active(masks, row, t):
            h_new = projection_forward(variant, projected(weights, tape, row, t, p))
            put_hidden(weights, masks, tape, state, Y, row, t, p, h_new)
        else:
            put_padding(tape, Y, row, t, p)


@compilable()
def step_backward(variant, tile, part, given, dY, gradient, scratch, t, staged):
    """One step of the gradients; at t = -1 the gradient of the initial state."""
    W, acc, sums, units = given.weights.gates, scratch.acc, scratch.left, gradient.dz.shape[3]
    for first in range(part.first_unit, part.last_unit, tile.units):
        for j in range(places_of(tile)):
            row, unit = place_of(tile, part, j)
            clear(acc, 4 * j)
            if places_of(tile) == 1 and owns(part, row, first + unit):
                read_back(variant, scratch.ahead, given, dY, row, t, first + unit)
        if t + 1 < gradient.dz.shape[1]:
            multiply(tile, part, scratch, W, gradient.dz, True, units, t + 1, first, staged)
        place_backward(variant, tile, part, given, dY, gradient, scratch, first, t, 0)
        if places_of(tile) > 1:
            place_backward(variant, tile, part, given, dY, gradient, scratch, first, t, 1)
        if places_of(tile) > 2:
            place_backward(variant, tile, part, given, dY, gradient, scratch, first, t, 2)
            place_backward(variant, tile, part, given, dY, gradient, scratch, first, t, 3)
    if carries(variant, tile):
        carry(tile, part, scratch, 4)
    if whole_rows(variant):
        rows_backward(variant, part, given, gradient, sums, t)


@compilable()
def rows_backward(variant, part, given, gradient, sums, t):
    """Cells of whole rows, whose outputs were projected or normalised."""
    weights, masks, tape, dstate = given
    units = weights.gates.shape[2]
    items = (part.last_row - part.first_row) * units
    cuda.syncthreads()
    for item in range(part.thread, items, part.threads):
        row, unit = part.first_row + item // units, item % units
        take_cell(masks, gradient, dstate, dstate.c[row, unit], row, t, unit)
        if t >= 0 and is_active(masks, row, t):
            dm = like(sums[0], 0.0)
            if variant.projected:
                for p in range(weights.out.shape[0]):
                    dm = fma(gradient.dh[row, t, p], weights.out[p, unit], dm)
            else:
                dm = gradient.dh[row, t, unit]
            gradient.dm[row, t, unit] = dm
            o, a = tape.gates[row, t, 3, unit], tape.a[row, t, unit]
            gradient.dn[row, t, 0, unit] = output_backward(variant, o, a, dm)
    if t < 0:
        return
    if variant.layer_norm == OF_GATES_AND_CELL:
        normalise_backward(part, given, t, CELLS, gradient.dn, tape.c_hat, gradient.unit, sums)
    if sees_cell_early(variant):
        output_gates_backward(variant, part, given, gradient, sums, t)
    for item in range(part.thread, items, part.threads):
        row, unit = part.first_row + item // units, item % units
        if is_active(masks, row, t):
            dm, dn = gradient.dm[row, t, unit], gradient.dn[row, t, 0, unit]
            known, dc = taped(tape, row, t, unit), dstate.c[row, unit]
            cell_backward(variant, given, known, gradient, row, t, unit, dm, dn, dc)
    if sees_cell_early(variant):
        early_gates_backward(part, given, gradient, sums, t)
    elif variant.layer_norm:
        normalise_backward(part, given, t, ALL_GATES, gradient.dz, tape.z_hat, gradient.unit, sums)


@compilable()
def output_gates_backward(variant, part, given, gradient, sums, t):
    """dz_o of whole rows, and what it adds to dn."""
    weights, masks, tape, _ = given
    units = weights.gates.shape[2]
    items = (part.last_row - part.first_row) * units
    for item in range(part.thread, items, part.threads):
        row, unit = part.first_row + item // units, item % units
        if is_active(masks, row, t):
            dm = gradient.dm[row, t, unit]
            output_gate_backward(variant, tape, gradient, row, t, unit, dm)
    normalise_backward(part, given, t, OUTPUT_GATE, gradient.dz, tape.z_hat, gradient.unit, sums)
    for item in range(part.thread, items, part.threads):
        row, unit = part.first_row + item // units, item % units
        if is_active(masks, row, t):
            add_new_cell_backward(weights, tape, gradient, row, t, unit)


@compilable()
def early_gates_backward(part, given, gradient, sums, t):
    """dz of the other gates of whole rows, and what it adds to dc."""
    weights, masks, tape, dstate = given
    units = weights.gates.shape[2]
    normalise_backward(part, given, t, EARLY_GATES, gradient.dz, tape.z_hat, gradient.unit, sums)
    for item in range(part.thread, (part.last_row - part.first_row) * units, part.threads):
        row, unit = part.first_row + item // units, item % units
        if is_active(masks, row, t):
            add_cell_backward(weights, tape, gradient, dstate, row, t, unit)


# --- kernels --------------------------------------------------------------------------------------


class Recurrence(NamedTuple):
    """The kernels for a variant, a tile and a type of numbers."""

    forward: Any
    backward: Any


@lru_cache(maxsize=64)
def compiled(encoded: Variant, tile: Tile, dtype: str) -> Recurrence:
    """Kernels in which the variant and the tile are constants; compiled at their first launch."""
    number = number_type(dtype)
    sums, weights, held = 4 * places_of(tile), all_weights_of(tile), max(1, 4 * tile.held)
    in_shared = carries(encoded, tile)

    @kernel_of(threads_of(tile))
    def forward(t_first, t_last, given, Y, signal):
        """h_t for t_first <= t < t_last, of all rows and units."""
        shared = cuda.shared.array(0, number)
        acc, ahead = cuda.local.array(sums, number), cuda.local.array(AHEAD, number)
        own = cuda.local.array(held, number)
        scratch = Scratch(acc, ahead, own, shared[:weights], shared[weights:])
        W, outputs = given.weights.gates, Y.shape[2]
        part = own_part(tile, Y.shape[0], W.shape[2])
        variant = with_ends(encoded, like(acc[0], 0.0))
        keep_weights(tile, part, scratch, W, False, outputs)
        for t in range(t_first, t_last):
            staged = in_shared and t > t_first
            step_forward(variant, tile, part, given, Y, scratch, t, staged)
            if t + 1 < t_last:
                end_step(tile, signal, t + 1 - t_first)

    @kernel_of(threads_of(tile))
    def backward(t_first, t_last, given, dY, gradient, signal):
        """dz_t for t_first >= t > t_last, of all rows and units; t = -1 is the initial state."""
        shared = cuda.shared.array(0, number)
        acc, ahead = cuda.local.array(sums, number), cuda.local.array(AHEAD, number)
        own = cuda.local.array(held, number)
        scratch = Scratch(acc, ahead, own, shared[:weights], shared[weights:])
        W, dh = given.weights.gates, given.state.h
        part = own_part(tile, dh.shape[0], dh.shape[1])
        variant = with_ends(encoded, like(acc[0], 0.0))
        keep_weights(tile, part, scratch, W, True, W.shape[2])
        for t in range(t_first, t_last, -1):
            staged = in_shared and t < t_first
            step_backward(variant, tile, part, given, dY, gradient, scratch, t, staged)
            if t - 1 > t_last:
                end_step(tile, signal, t_first - t + 1)

    return Recurrence(forward, backward)

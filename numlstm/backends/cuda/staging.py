"""The products of the recurrence: weights and their factors, to where threads read them, and sums.

acc[j, gate] += sum over k of left[row of j, side, k] w[k, gate, unit]. Forward k goes over the
outputs and there is one side, h; on the way back k goes over the units, and the sides are the four
gates of dz. On tensor cores w and left are fragments, and k counts registers: see
`tensor_cores.py`. The letters in the shape comments: see `cells.py`.
"""

from numlstm.backends.cuda.tensor_cores import (
    A_SIZE,
    B_SIZE,
    B_STEP,
    COLUMNS,
    REGISTERS,
    ROWS,
    WARP,
    add_fragment,
    place_in_a,
    place_in_b,
    rounded,
)
from numlstm.backends.cuda.tiles import along_k, rows_of
from numlstm.elementary import compilable, fma, like

# --- weights --------------------------------------------------------------------------------------


@compilable()
def weight(W, back, k, gate, unit):
    """W_hh (k, gate, unit), or on the way back its transpose."""
    return W[unit, gate, k] if back else W[k, gate, unit]


@compilable()
def place_in_w(tile, k, gate, unit):
    """Where w has a weight, or a register of them: w (k, 4, units)."""
    if tile.factors == 0:
        return (k * 4 + gate) * tile.units + unit
    fragment = (k // REGISTERS * 4 + gate) * (tile.units // COLUMNS) + unit // COLUMNS
    return fragment * B_SIZE + place_in_b(k, unit)


@compilable()
def stage_weights(tile, part, w, W, back, first_k, last_k, first):
    """w (k, 4, units of the tile) from `first_k` and the unit `first` on; zero beyond either."""
    zero, width = like(w[0], 0.0), max(1, tile.factors)
    count = along_k(tile, tile.kept if tile.kept > 0 else tile.depth)
    for item in range(part.thread, count * 4 * tile.units, part.threads):
        # neighbours in memory by neighbouring threads
        if back:
            unit, rest = item // (4 * count), item % (4 * count)
            gate, k = rest // count, rest % count
        else:
            k, rest = item // (4 * tile.units), item % (4 * tile.units)
            gate, unit = rest // tile.units, rest % tile.units
        low = high = zero
        at, inside = first_k + k * width, first + unit < part.last_unit
        if inside and at < last_k:
            low = weight(W, back, at, gate, first + unit)
        if width == 2 and inside and at + 1 < last_k:
            high = weight(W, back, at + 1, gate, first + unit)
        w[place_in_w(tile, k, gate, unit)] = rounded(low, high, tile.factors)


@compilable()
def keep_weights(tile, part, scratch, W, back, length):
    """The weights of `length` k to where they stay for the whole launch, if they do."""
    if tile.kept > 0:
        stage_weights(tile, part, scratch.w, W, back, 0, length - tile.held, part.first_unit)
    for k in range(tile.held):
        for gate in range(4):
            scratch.held[4 * k + gate] = weight(W, back, tile.kept + k, gate, part.unit)


# --- their factors --------------------------------------------------------------------------------


@compilable()
def factor_of(source, row, t, side, k):
    """h_{t-1}, or dz_t of a gate. source (B, T, K) or (B, T, 4, H)."""
    if source.ndim == 3:
        return source[row, t, k]
    return source[row, t, side, k]


@compilable()
def fragment_in_left(tile, sides, row, side, chunk):
    """Where left has the fragment of A with this row, for a side and a part of k."""
    chunks = along_k(tile, tile.depth) // REGISTERS
    return ((row // ROWS * sides + side) * chunks + chunk) * A_SIZE


@compilable()
def place_in_left(tile, sides, row, side, k):
    """Where left has a factor, or a register of them: left (rows, sides, k)."""
    if tile.factors == 0:
        return (row * sides + side) * tile.depth + k
    return fragment_in_left(tile, sides, row, side, k // REGISTERS) + place_in_a(row, k)


@compilable()
def stage_left(tile, part, left, source, sides, t, first_k, last_k):
    """left (rows, sides, k) = the factors of step t from `first_k` on, then zeros."""
    zero, width, count = like(left[0], 0.0), max(1, tile.factors), along_k(tile, tile.depth)
    rows = rows_of(tile) if tile.factors > 0 else part.last_row - part.first_row
    for item in range(part.thread, rows * sides * count, part.threads):
        line, k = item // count, item % count
        row, side = part.first_row + line // sides, line % sides
        low = high = zero
        at, inside = first_k + k * width, row < part.last_row
        if inside and at < last_k:
            low = factor_of(source, row, t, side, at)
        if width == 2 and inside and at + 1 < last_k:
            high = factor_of(source, row, t, side, at + 1)
        place = place_in_left(tile, sides, line // sides, side, k)
        left[place] = rounded(low, high, tile.factors)


# --- products -------------------------------------------------------------------------------------


@compilable()
def add_products(tile, part, scratch, sides, first_k, count):
    """The products of `count` k, whose weights are in w from `first_k` on."""
    if tile.factors > 0:
        chunks = along_k(tile, count) // REGISTERS
        add_fragments(tile, part, scratch, sides, along_k(tile, first_k) // REGISTERS, chunks)
    else:
        add_rows(tile, part, scratch, sides, first_k, count)


@compilable()
def add_rows(tile, part, scratch, sides, first_k, count):
    """The products of every thread by itself; the weights of the last k are in held."""
    acc, held, w, left = scratch
    at, in_memory = (part.row - part.first_row) * sides * tile.depth, count - tile.held
    for k in range(in_memory):
        place = (first_k + k) * 4 * tile.units + part.unit
        w_i, w_f = w[place], w[place + tile.units]
        w_g, w_o = w[place + 2 * tile.units], w[place + 3 * tile.units]
        add_row(tile, acc, left, at + k, sides, w_i, w_f, w_g, w_o)
    for k in range(tile.held):
        w_i, w_f, w_g, w_o = held[4 * k], held[4 * k + 1], held[4 * k + 2], held[4 * k + 3]
        add_row(tile, acc, left, at + in_memory + k, sides, w_i, w_f, w_g, w_o)


@compilable()
def add_row(tile, acc, left, at, sides, w_i, w_f, w_g, w_o):
    """The products of one k, for all rows of this thread."""
    f, g, o = 1 % sides * tile.depth, 2 % sides * tile.depth, 3 % sides * tile.depth
    for j in range(tile.rows):
        line = at + j * sides * tile.depth
        acc[4 * j] = fma(left[line], w_i, acc[4 * j])
        acc[4 * j + 1] = fma(left[line + f], w_f, acc[4 * j + 1])
        acc[4 * j + 2] = fma(left[line + g], w_g, acc[4 * j + 2])
        acc[4 * j + 3] = fma(left[line + o], w_o, acc[4 * j + 3])


@compilable()
def add_fragments(tile, part, scratch, sides, first_chunk, chunks):
    """The products of every warp, on tensor cores."""
    acc, _, w, left = scratch
    lane, row = part.thread % WARP, (part.row - part.first_row) // ROWS * ROWS
    column = part.unit // COLUMNS * COLUMNS
    for chunk in range(chunks):
        for gate in range(4):
            a = fragment_in_left(tile, sides, row, gate % sides, chunk) + lane
            b = place_in_w(tile, (first_chunk + chunk) * REGISTERS, gate, column) + lane
            add_fragment(acc, gate, 4, left, a, w[b], w[b + B_STEP], tile.factors)

"""The products of the recurrence: weights and their factors, to where threads read them, and sums.

acc[j, gate] += sum over k of left[row of j, side, k] w[k, gate, unit]. Forward k goes over the
outputs and there is one side, h; in the backward pass k goes over the units, and the sides are the
four gates of dz. On tensor cores w and left are fragments, and k counts registers: see
`tensor_cores.py`. The letters in the shape comments: see `cells.py`.
"""

from numlstm.backends.cuda.gemm.tensor_cores import (
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
from numlstm.backends.cuda.gemm.transfers import Chunk, copy, four
from numlstm.backends.cuda.layer.tiles import along_k, left_of, line_of
from numlstm.cell.elementary import compilable, fma, like

# --- weights --------------------------------------------------------------------------------------


@compilable()
def weight(W, back, k, gate, unit):
    """W_hh (k, gate, unit), or for the backward pass its transpose."""
    return W[unit, gate, k] if back else W[k, gate, unit]


@compilable()
def place_in_w(tile, k, gate, unit):
    """Offset of a weight, or a register of them, in w (k, units, 4)."""
    if tile.factors == 0:
        return (k * tile.units + unit) * 4 + gate
    fragment = (k // REGISTERS * 4 + gate) * (tile.units // COLUMNS) + unit // COLUMNS
    return fragment * B_SIZE + place_in_b(k, unit)


@compilable()
def stage_weights(tile, part, w, W, back, chunk, first):
    """w (k, units of the tile, 4) of a chunk, from the unit `first` on; zero beyond either."""
    zero, width = like(w[0], 0.0), max(1, tile.factors)
    count = along_k(tile, tile.kept if tile.kept > 0 else tile.depth)
    for item in range(part.thread, count * tile.units, part.threads):
        # neighbours in memory by neighbouring threads
        if back:
            unit, k = item // count, item % count
        else:
            k, unit = item // tile.units, item % tile.units
        at, inside = chunk.first + k * width, first + unit < part.last_unit
        for gate in range(4):
            place = place_in_w(tile, chunk.buffer * count + k, gate, unit)
            low = high = zero
            if inside and at < chunk.last:
                low = weight(W, back, at, gate, first + unit)
            if width == 2 and inside and at + 1 < chunk.last:
                high = weight(W, back, at + 1, gate, first + unit)
            w[place] = rounded(low, high, tile.factors)


@compilable()
def keep_weights(tile, part, scratch, W, back, length):
    """The weights of `length` k to where they stay for the whole launch, if they do."""
    if tile.kept > 0:
        kept = Chunk(tile.held, length, 0)
        stage_weights(tile, part, scratch.w, W, back, kept, part.first_unit)
    # by parts, or a compiler that does not unroll so long a loop leaves them in memory
    hold(tile, scratch.held, W, back, 0, part.unit)
    hold(tile, scratch.held, W, back, 8, part.unit)
    hold(tile, scratch.held, W, back, 16, part.unit)


@compilable()
def hold(tile, held, W, back, first, unit):
    """The weights of eight k to registers."""
    for k in range(first, min(first + 8, tile.held)):
        for gate in range(4):
            held[4 * k + gate] = weight(W, back, k, gate, unit)


# --- their factors --------------------------------------------------------------------------------


@compilable()
def factor_of(source, row, t, side, k):
    """h_{t-1}, or dz_t of a gate. source (B, T, K) or (B, T, 4, H)."""
    if source.ndim == 3:
        return source[row, t, k]
    return source[row, t, side, k]


@compilable()
def fragment_in_left(tile, sides, row, side, chunk):
    """Offset in left of the fragment of A with this row, for a side and a part of k."""
    chunks = along_k(tile, tile.depth) // REGISTERS
    return ((row // ROWS * sides + side) * chunks + chunk) * A_SIZE


@compilable()
def place_in_left(tile, sides, row, side, k):
    """Offset of a factor, or a register of them, in left (rows, k, sides)."""
    if tile.factors == 0:
        return row * line_of(tile, sides) + k * sides + side
    return fragment_in_left(tile, sides, row, side, k // REGISTERS) + place_in_a(row, k)


@compilable()
def stage_left(tile, part, left, source, sides, t, chunk):
    """left (rows, k, sides) = the factors of step t in a chunk, once they have arrived."""
    if tile.factors > 0:
        stage_fragments(tile, part, left, source, sides, t, chunk)
    else:
        stage_rows(tile, part, left, source, sides, t, chunk)


@compilable()
def stage_rows(tile, part, left, source, sides, t, chunk):
    """A row by every warp, neighbours in memory by neighbouring threads."""
    width, line = min(WARP, part.threads), line_of(tile, sides)
    own, rows_at_once, k = part.thread // width, part.threads // width, part.thread % width
    # source is (B, T, K) or (B, T, 4, H); factors are the first k
    length = source.shape[source.ndim - 1]
    of_row = source.shape[1] * sides * length
    if part.thread >= rows_at_once * width:  # of a warp that is not whole
        k = chunk.last
    while chunk.first + k < chunk.last:
        row = part.first_row + own
        place = chunk.buffer * left_of(tile, sides) + own * line + k * sides
        i = row * of_row + t * sides * length + chunk.first + k
        while row < part.last_row:
            for side in range(sides):
                copy(left, place + side, source, i + side * length)
            row += rows_at_once
            place += rows_at_once * line
            i += rows_at_once * of_row
        k += width


@compilable()
def stage_fragments(tile, part, left, source, sides, t, chunk):
    """Registers of whole fragments, a row by every warp; zero beyond the last k."""
    own, rows_at_once, q = part.thread // WARP, part.threads // WARP, part.thread % WARP
    first = chunk.buffer * left_of(tile, sides)
    while q < along_k(tile, tile.depth):
        k, row = chunk.first + q * tile.factors, own
        while part.first_row + row < part.last_row:
            for side in range(sides):
                low = high = like(left[0], 0.0)
                if k < chunk.last:
                    low = factor_of(source, part.first_row + row, t, side, k)
                if tile.factors == 2 and k + 1 < chunk.last:
                    high = factor_of(source, part.first_row + row, t, side, k + 1)
                place = first + place_in_left(tile, sides, row, side, q)
                left[place] = rounded(low, high, tile.factors)
            row += rows_at_once
        q += WARP


# --- products -------------------------------------------------------------------------------------


@compilable()
def add_products(tile, part, scratch, sides, chunk):
    """The products of a chunk, which is in left, and in w from its beginning or the kept ones'."""
    first_k = chunk.first if tile.kept > 0 else chunk.buffer * tile.depth
    at, count = chunk.buffer * left_of(tile, sides), chunk.last - chunk.first
    if tile.factors > 0:
        first_chunk, chunks = along_k(tile, first_k) // REGISTERS, along_k(tile, count) // REGISTERS
        add_fragments(tile, part, scratch, sides, at, first_chunk, chunks)
    elif part.row < part.last_row:
        add_rows(tile, part, scratch, sides, at, first_k, count)


@compilable()
def add_rows(tile, part, scratch, sides, at, first_k, count):
    """The products of every thread by itself; the weights of the first k are in held."""
    acc, _, held, w, left = scratch
    at += (part.row - part.first_row) * line_of(tile, sides)
    for k in range(0, tile.held, 4):
        w_0, w_1 = of_held(held, k), of_held(held, k + 1)
        w_2, w_3 = of_held(held, k + 2), of_held(held, k + 3)
        add_four(tile, acc, left, at + k * sides, sides, w_0, w_1, w_2, w_3)
    # while: of a loop over a range the compiler makes several times the instructions
    i, fours, step = 0, (count - tile.held) // 4, 4 * tile.units
    while i < fours:
        k, place = tile.held + 4 * i, ((first_k + 4 * i) * tile.units + part.unit) * 4
        w_0, w_1 = four(w, place), four(w, place + step)
        w_2, w_3 = four(w, place + 2 * step), four(w, place + 3 * step)
        add_four(tile, acc, left, at + k * sides, sides, w_0, w_1, w_2, w_3)
        i += 1
    k = tile.held + 4 * fours
    while k < count:
        place = ((first_k + k - tile.held) * tile.units + part.unit) * 4
        add_one(tile, acc, left, at + k * sides, sides, four(w, place))
        k += 1


@compilable()
def of_held(held, k):
    """The weights of one k that are in registers."""
    return held[4 * k], held[4 * k + 1], held[4 * k + 2], held[4 * k + 3]


@compilable()
def add_four(tile, acc, left, at, sides, w_0, w_1, w_2, w_3):
    """The products of four k, for all rows of this thread."""
    if sides == 4:
        add_one(tile, acc, left, at, sides, w_0)
        add_one(tile, acc, left, at + 4, sides, w_1)
        add_one(tile, acc, left, at + 8, sides, w_2)
        add_one(tile, acc, left, at + 12, sides, w_3)
    else:
        for j in range(tile.rows):
            x_0, x_1, x_2, x_3 = four(left, at + j * tile.lines * line_of(tile, sides))
            add_gates(acc, 4 * j, (x_0, x_0, x_0, x_0), w_0)
            add_gates(acc, 4 * j, (x_1, x_1, x_1, x_1), w_1)
            add_gates(acc, 4 * j, (x_2, x_2, x_2, x_2), w_2)
            add_gates(acc, 4 * j, (x_3, x_3, x_3, x_3), w_3)


@compilable()
def add_one(tile, acc, left, at, sides, w):
    """The products of one k, for all rows of this thread."""
    for j in range(tile.rows):
        line = at + j * tile.lines * line_of(tile, sides)
        if sides == 4:
            add_gates(acc, 4 * j, four(left, line), w)
        else:
            x = left[line]
            add_gates(acc, 4 * j, (x, x, x, x), w)


@compilable()
def add_gates(acc, first, x, w):
    """acc[first + gate] += x[gate] w[gate]."""
    acc[first] = fma(x[0], w[0], acc[first])
    acc[first + 1] = fma(x[1], w[1], acc[first + 1])
    acc[first + 2] = fma(x[2], w[2], acc[first + 2])
    acc[first + 3] = fma(x[3], w[3], acc[first + 3])


@compilable()
def add_fragments(tile, part, scratch, sides, at, first_chunk, chunks):
    """The products of every warp, on tensor cores."""
    acc, _, _, w, left = scratch
    lane, row = part.thread % WARP, (part.row - part.first_row) // ROWS * ROWS
    column = part.unit // COLUMNS * COLUMNS
    for chunk in range(chunks):
        for gate in range(4):
            a = at + fragment_in_left(tile, sides, row, gate % sides, chunk) + lane
            b = place_in_w(tile, (first_chunk + chunk) * REGISTERS, gate, column) + lane
            add_fragment(acc, gate, 4, left, a, w[b], w[b + B_STEP], tile.factors)

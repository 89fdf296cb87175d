"""Matrix products out of register tiles.

The second factor is packed: cut into panels, `PANEL_VECTORS` vectors of columns wide, and stored
panel by panel, k by k, so that the innermost loop reads it front to back.
"""

from numlstm.backends.cpu.codegen.compile import kernel
from numlstm.backends.cpu.codegen.vectors import (
    TILE_ROWS,
    Block,
    get,
    itemsize_of,
    lanes_of,
    load,
    move,
    multiply,
    noinline,
    panel_width,
    prefetch,
    put,
    store,
)
from numlstm.cell.elementary import fma, like

K_PART = 256  # of k: a panel's part stays in the first-level cache
ROWS_PART = 128  # of a: their part stays in the second-level cache
NEAR = 2**18  # bytes of w that stay in the second-level cache


@kernel
def corner(block, rows, columns):
    """The block that begins `rows` rows and `columns` columns further."""
    start = move(block.start, rows * block.row + columns * block.column)
    return Block(start, block.row, block.column)


@kernel
def panels_at_once(rows, panels):
    """How many panels to take in one tile: with few rows, more than one keeps the units busy."""
    if rows == 1:
        return 6 if panels >= 6 else (4 if panels >= 4 else (2 if panels >= 2 else 1))
    return 2 if rows <= 3 and panels >= 2 else 1


@kernel
def product(out, a, w, rows, panels, k, add):
    """out[i, j] = sum over k of a[i, k] w[j, k] (+ out[i, j] with `add`).

    Blocks: out (rows, panels), a (rows, k), w (panels, k); an element of out or w is a panel's row.
    Taken in parts that fit the caches: K_PART of a panel in the first level, ROWS_PART rows of a in
    the second. A sum goes on where the last part left it, so the parts do not show in the result.
    """
    product_from(out, out, a, w, rows, panels, k, add)


@kernel
def product_from(out, begin, a, w, rows, panels, k, add):
    """As `product`, but with `add` out[i, j] begins with begin[i, j], a Block of the same kind."""
    noinline()
    for k_first in range(0, k, K_PART):
        k_count = min(K_PART, k - k_first)
        before = out if k_first > 0 else begin
        for row in range(0, rows, ROWS_PART):
            _product_part(
                corner(out, row, 0),
                corner(before, row, 0),
                corner(a, row, k_first),
                corner(w, 0, k_first),
                min(ROWS_PART, rows - row),
                panels,
                k_count,
                add or k_first > 0,
            )


@kernel
def _product_part(out, begin, a, w, rows, panels, k, add):
    """One part of `product`: every panel in turn, with all rows, a tile at a time."""
    tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
    far = panels * w.row * itemsize_of(w) > NEAR
    panel = 0
    while panel < panels:
        wide = panels_at_once(rows, panels - panel)
        row = 0
        for tile in range(tiles):
            high = (rows - row + tiles - tile - 1) // (tiles - tile)  # the rest, spread evenly
            out_corner, a_corner = corner(out, row, panel), corner(a, row, 0)
            begin_corner = corner(begin, row, panel)
            step = wide * w.column // tiles if far or wide == 1 else 0
            after = move(w.start, (panel + wide) * w.row + tile * k * step)
            ahead = Block(after, 0, step)
            w_corner = corner(w, panel, 0)
            multiply(out_corner, begin_corner, a_corner, w_corner, high, wide, k, add, ahead)
            row += high
        panel += wide


@kernel
def copy(target, source, count):
    """target[:count] = source[:count]."""
    lanes = lanes_of(source)
    whole = count - count % lanes
    for i in range(0, whole, lanes):
        store(target, i, load(source, i))
    for i in range(whole, count):
        put(target, i, get(source, i))


@kernel
def ask_for(source, count):
    """Ask the memory for source[:count], which will be read soon."""
    for i in range(0, count, lanes_of(source)):
        prefetch(source, i)


@kernel
def accumulate(target, source, count):
    """target[:count] += source[:count]."""
    lanes = lanes_of(source)
    whole = count - count % lanes
    for i in range(0, whole, lanes):
        store(target, i, load(target, i) + load(source, i))
    for i in range(whole, count):
        put(target, i, get(target, i) + get(source, i))


@kernel
def add_outer(target, rows, columns, a, b, count):
    """target += sum over k of a[k] b[k]', in order: for few k, and a target that is not packed.

    target (rows, columns); Blocks: a (count, rows), b (count, columns), whose columns are adjacent.
    """
    lanes = lanes_of(target)
    whole = columns - columns % lanes
    for i in range(rows):
        row = move(target, i * columns)
        for n in range(0, whole, lanes):
            total = load(row, n)
            for k in range(count):
                factor = like(total, get(a.start, k * a.row + i * a.column))
                total = fma(factor, load(b.start, k * b.row + n), total)
            store(row, n, total)
        for n in range(whole, columns):
            last = get(row, n)
            for k in range(count):
                factor = get(a.start, k * a.row + i * a.column)
                last = fma(factor, get(b.start, k * b.row + n), last)
            put(row, n, last)


@kernel
def add_dots(out, a, w, rows, k):
    """out[i] += sum over k of a[i, k] w[k], in order: a product of one column. out, a are Blocks.

    Four rows at a time, because every sum waits for its last term.
    """
    noinline()
    whole = rows - rows % 4
    for i in range(0, whole, 4):
        a_0, to = move(a.start, i * a.row), move(out.start, i * out.row)
        a_1, a_2, a_3 = move(a_0, a.row), move(a_0, 2 * a.row), move(a_0, 3 * a.row)
        s_0, s_1 = get(to, 0), get(to, out.row)
        s_2, s_3 = get(to, 2 * out.row), get(to, 3 * out.row)
        for n in range(k):
            weight = get(w, n)
            s_0, s_1 = fma(get(a_0, n), weight, s_0), fma(get(a_1, n), weight, s_1)
            s_2, s_3 = fma(get(a_2, n), weight, s_2), fma(get(a_3, n), weight, s_3)
        put(to, 0, s_0)
        put(to, out.row, s_1)
        put(to, 2 * out.row, s_2)
        put(to, 3 * out.row, s_3)
    for i in range(whole, rows):
        total = get(out.start, i * out.row)
        for n in range(k):
            total = fma(get(a.start, i * a.row + n), get(w, n), total)
        put(out.start, i * out.row, total)


@kernel
def scale(target, source, count):
    """target[:count] *= source[:count]."""
    lanes = lanes_of(source)
    whole = count - count % lanes
    for i in range(0, whole, lanes):
        store(target, i, load(target, i) * load(source, i))
    for i in range(whole, count):
        put(target, i, get(target, i) * get(source, i))


@kernel
def clear(target, count):
    """target[:count] = 0."""
    noinline()
    for i in range(count):
        put(target, i, 0)


@kernel
def copy_spaced(target, target_step, source, source_step, count):
    """target[::target_step] = source[::source_step], `count` elements."""
    noinline()
    for i in range(count):
        put(target, i * target_step, get(source, i * source_step))


@kernel
def pack_panel(panel, count, matrix, rows, columns, first):
    """Columns of a (rows, columns) matrix from `first` on as a panel (count, W), count >= rows.

    k runs over the rows; what lies beyond rows and columns is zero.
    """
    width = panel_width(matrix)
    wide = min(width, columns - first)
    for k in range(rows):
        to = move(panel, k * width)
        copy(to, move(matrix, k * columns + first), wide)
        clear(move(to, wide), width - wide)
    clear(move(panel, rows * width), (count - rows) * width)

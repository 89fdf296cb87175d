"""Matrix products out of register tiles.

The second factor is packed: cut into panels, `PANEL_VECTORS` vectors of columns wide, and stored
panel by panel, k by k, so that the innermost loop reads it front to back.
"""

from numlstm.backends.cpu.compile import kernel
from numlstm.backends.cpu.simd import (
    PANEL_VECTORS,
    TILE_ROWS,
    Block,
    get,
    lanes_of,
    load,
    move,
    multiply,
    put,
    store,
)


@kernel
def panel_width(array):
    """Columns in a panel."""
    return PANEL_VECTORS * lanes_of(array)


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
    """
    tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
    panel = 0
    while panel < panels:
        wide = panels_at_once(rows, panels - panel)
        row = 0
        for tile in range(tiles):
            high = (rows - row + tiles - tile - 1) // (tiles - tile)  # the rest, spread evenly
            out_corner, a_corner = corner(out, row, panel), corner(a, row, 0)
            multiply(out_corner, a_corner, corner(w, panel, 0), high, wide, k, add)
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
def accumulate(target, source, count):
    """target[:count] += source[:count]."""
    lanes = lanes_of(source)
    whole = count - count % lanes
    for i in range(0, whole, lanes):
        store(target, i, load(target, i) + load(source, i))
    for i in range(whole, count):
        put(target, i, get(target, i) + get(source, i))

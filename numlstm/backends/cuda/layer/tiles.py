"""How a block's work is cut, and the sizes that follow from it, for the host and for kernels."""

from typing import NamedTuple

from numlstm.backends.cuda.gemm import tensor_cores
from numlstm.backends.cuda.gemm.tensor_cores import (
    A_SIZE,
    B_SIZE,
    COLUMNS,
    REGISTERS,
    ROWS,
    place_in_c,
)
from numlstm.cell.elementary import compilable

LANES = 32  # partial sums of a row that is normalised


class Tile(NamedTuple):
    """How a block's work is cut; a constant of the kernels that are compiled for it.

    With tensor cores, warps take the place of threads, each with 8 units of 16 rows, and units and
    depth are multiples of what a fragment has: see `tensor_cores.py`.
    """

    units: int  # of a block at a time, a thread each
    lines: int  # threads along the rows
    rows: int  # of every thread; with tensor cores 1
    depth: int  # of k whose factors are in shared memory at a time
    kept: int  # of k whose weights stay there for the whole launch: all that are not held, or 0
    shared_units: bool  # whether several blocks share the units of a row
    held: int = 0  # of k, the first ones, whose weights stay in registers; then depth is all of k
    factors: int = 0  # in a register of the tensor cores, 0 where they are not used: held is 0 then


@compilable()
def threads_of(tile):
    """Threads of a block."""
    warps = tile.units // COLUMNS * tile.lines
    return warps * tensor_cores.WARP if tile.factors > 0 else tile.units * tile.lines


@compilable()
def rows_of(tile):
    """Rows of a block."""
    return tile.lines * (ROWS if tile.factors > 0 else tile.rows)


@compilable()
def places_of(tile):
    """How many (row, unit) a thread has."""
    return 4 if tile.factors > 0 else tile.rows


@compilable()
def first_place(tile, thread):
    """(row, unit) of a thread's first place, both counted from the block's first."""
    if tile.factors == 0:
        return thread // tile.units, thread % tile.units
    warp, across = thread // tensor_cores.WARP, tile.units // COLUMNS
    row, unit = place_in_c(thread % tensor_cores.WARP, 0)
    return warp // across * ROWS + row, warp % across * COLUMNS + unit


@compilable()
def place_of(tile, part, j):
    """(row, unit) of a thread's j-th place, the unit counted from the block's first."""
    if tile.factors == 0:
        return part.row + j * tile.lines, part.unit
    row, unit = place_in_c(0, j)
    return part.row + row, part.unit + unit


@compilable()
def along_k(tile, count):
    """Numbers in shared memory for `count` of k: registers of whole fragments, where there are."""
    if tile.factors == 0:
        return count
    width = REGISTERS * tile.factors
    return (count + width - 1) // width * REGISTERS


@compilable()
def line_of(tile, sides):
    """Numbers in shared memory for a row's factors: the rows of neighbours in different banks."""
    return (sides * tile.depth + 3) // 8 * 8 + 4


@compilable()
def buffers_of(tile):
    """Of factors, and of weights that are streamed: one is filled while the other is read."""
    return 1 if tile.kept > 0 and tile.depth >= tile.kept + tile.held else 2


@compilable()
def weights_of(tile):
    """Numbers in shared memory for weights, or for as many as are there at a time."""
    k = along_k(tile, tile.kept if tile.kept > 0 else tile.depth)
    if tile.factors == 0:
        return k * 4 * tile.units
    return k // REGISTERS * 4 * (tile.units // COLUMNS) * B_SIZE


@compilable()
def left_of(tile, sides):
    """Numbers in shared memory for the factors of the weights, of 1 side forward, of 4 back."""
    k = along_k(tile, tile.depth)
    if tile.factors == 0:
        return rows_of(tile) * line_of(tile, sides)
    return rows_of(tile) // ROWS * sides * (k // REGISTERS) * A_SIZE


def shared_numbers(variant, tile: Tile) -> int:
    """Numbers in a block's shared memory: weights, and their factors or the sums of whole rows."""
    sums = 8 * rows_of(tile) * LANES if variant.layer_norm else 0
    return all_weights_of(tile) + max(buffers_of(tile) * left_of(tile, 4), sums)


def all_weights_of(tile: Tile) -> int:
    """Numbers in shared memory for weights."""
    return weights_of(tile) * (1 if tile.kept else buffers_of(tile))


@compilable()
def whole_rows(variant):
    """Whether one block must have all units of a row."""
    return variant.layer_norm != 0 or variant.projected != 0


@compilable()
def carries(variant, tile):
    """Whether a step finds its factors in shared memory, where the cells of the last put them."""
    return buffers_of(tile) == 1 and not (tile.shared_units or whole_rows(variant))

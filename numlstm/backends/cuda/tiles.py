"""How a block's work is cut, and the sizes that follow from it, for the host and for kernels."""

from typing import NamedTuple

from numlstm.elementary import compilable
from numlstm.families import Family

LANES = 32  # partial sums of a row that is normalised


class Tile(NamedTuple):
    """How a block's work is cut; a constant of the kernels that are compiled for it."""

    units: int  # threads along the units
    lines: int  # threads along the rows
    rows: int  # of every thread
    depth: int  # of k whose factors are in shared memory at a time
    kept: int  # of k whose weights stay there for the whole launch: all that are not held, or 0
    shared_units: bool  # whether several blocks share the units of a row
    held: int = 0  # of k, the last ones, whose weights stay in registers; then depth is all of k


@compilable()
def threads_of(tile):
    """Threads of a block."""
    return tile.units * tile.lines


@compilable()
def rows_of(tile):
    """Rows of a block."""
    return tile.lines * tile.rows


def weights_of(tile: Tile) -> int:
    """How many weights of a block are in shared memory."""
    return (tile.kept or tile.depth) * 4 * tile.units


def shared_numbers(family: Family, tile: Tile) -> int:
    """Numbers in a block's shared memory: weights, and their factors or the sums of whole rows."""
    sums = 8 * rows_of(tile) * LANES if family.normalised else 0
    return weights_of(tile) + max(4 * rows_of(tile) * tile.depth, sums)


@compilable()
def carries(family, tile):
    """Whether a step finds its factors in shared memory, where the cells of the last put them."""
    whole_rows = family.normalised or family.projected
    all_of_k = tile.kept > 0 and tile.depth >= tile.kept + tile.held
    return all_of_k and not (tile.shared_units or whole_rows)

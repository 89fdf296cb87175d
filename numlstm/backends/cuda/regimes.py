"""How the recurrence of a layer is cut into blocks: the table of the three regimes.

1. One block has all units of some rows, and their weights in its shared memory, the last of them in
   registers where that has no room for all: one launch for the whole sequence, no block waits for
   another.
2. Several blocks share the units of the same rows, each with its own units' weights in its shared
   memory: one launch, and a barrier after every step.
3. The weights are read through shared memory in every step: for layers whose weights fit nowhere.
   With all blocks on the device at once it is one launch with barriers too, else one launch a step.

A layer that is normalised or projected needs rows as a whole, so one block has all of their units:
regime 1 where the weights fit, else 3 without a barrier. No choice changes a bit of the results.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np

from numlstm.backends.cuda.target import SIMULATED, cuda
from numlstm.backends.cuda.tiles import Tile, rows_of, shared_numbers
from numlstm.families import Family


class Device(NamedTuple):
    """What of a device the table looks at."""

    shared_memory: int  # bytes that a block can have
    processors: int  # streaming multiprocessors


@lru_cache(maxsize=1)
def device() -> Device:
    """The device at hand."""
    if SIMULATED:
        return Device(2**13, 4)
    current = cuda.get_current_device()
    return Device(
        current.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        current.MULTIPROCESSOR_COUNT,
    )


class Regime(NamedTuple):
    """A tile, the blocks that share the units of a row, and whether every step is a launch."""

    tile: Tile
    columns: int
    rows: int  # of a block
    shared_memory: int  # bytes
    step_by_step: bool


MAX_UNITS_OF_BLOCK = 128  # in regime 1
SHARES = 32, 16, 8  # units of a block in regime 2, best first
MAX_THREADS, MAX_ROWS = 256, 4  # threads of a block, rows of a thread
DEPTHS = 256, 128, 64, 32  # of k that is multiplied at a time, best first
HELD = {"float32": (8, 16, 24), "float64": (4, 8)}  # of k: at most 96 registers, best first
MAX_ROWS_HELD = 2  # of a thread that has weights in its registers
STREAMED = {  # of regime 3
    "float32": Tile(32, 8, 4, 32, kept=0, shared_units=True),
    "float64": Tile(32, 8, 2, 32, kept=0, shared_units=True),
}
STREAMED_ROWS = Tile(32, 8, 1, 32, kept=0, shared_units=False)  # for rows as a whole


def regime_of(family: Family, units: int, batch: int, dtype: str, device: Device) -> Regime:
    """The regime of a layer."""
    return next(candidates(family, units, batch, dtype, device))


def candidates(
    family: Family, units: int, batch: int, dtype: str, device: Device
) -> Iterator[Regime]:
    """The regimes that a device has room for, in the order of the table."""
    whole_rows = family.normalised or family.projected
    for share, held, depth in cuts(family, units, dtype):
        columns = -(-units // share)
        tile = resident_tile(units, share, depth, held, -(-batch * columns // device.processors))
        size = shared_memory(tile, family, dtype)
        blocks = columns * -(-batch // rows_of(tile))
        if size <= device.shared_memory and (columns == 1 or blocks <= device.processors):
            yield Regime(tile, columns, rows_of(tile), size, False)
    tile = STREAMED_ROWS if whole_rows else STREAMED[dtype]
    columns = 1 if whole_rows else -(-units // tile.units)
    blocks = columns * -(-batch // rows_of(tile))
    waits = columns > 1 and blocks > device.processors
    yield Regime(tile, columns, rows_of(tile), shared_memory(tile, family, dtype), waits)


def cuts(family: Family, units: int, dtype: str) -> Iterator[tuple[int, int, int]]:
    """(share, held, depth) of the regimes whose weights stay, in the order of the table."""
    if units <= MAX_UNITS_OF_BLOCK:
        yield from product((units,), (0,), DEPTHS)
        # forward, a projected layer has fewer k than on the way back: too few for a fixed number
        held_here = () if family.projected else HELD[dtype]
        yield from ((units, held, units) for held in held_here if held < units)
    if not (family.normalised or family.projected):
        yield from product(SHARES, (0,), DEPTHS)


def resident_tile(units: int, share: int, depth: int, held: int, rows: int) -> Tile:
    """A tile for at least `rows` rows and a share of the units, with all of their weights."""
    lines = of_thread = 1  # powers of two: every other tile is other kernels
    while lines < rows and 2 * lines * share <= MAX_THREADS:
        lines *= 2
    while lines * of_thread < rows and of_thread < (MAX_ROWS_HELD if held else MAX_ROWS):
        of_thread *= 2
    return Tile(share, lines, of_thread, min(depth, units), units - held, share < units, held)


def shared_memory(tile: Tile, family: Family, dtype: str) -> int:
    """Bytes of a block."""
    return shared_numbers(family, tile) * np.dtype(dtype).itemsize

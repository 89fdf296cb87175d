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

from numlstm.backends import BackendError
from numlstm.backends.cuda.device.target import SIMULATED, cuda
from numlstm.backends.cuda.gemm.tensor_cores import FACTORS, REGISTERS
from numlstm.backends.cuda.layer.tiles import Tile, rows_of, shared_numbers, threads_of, whole_rows
from numlstm.cell.encoding import Variant


class Device(NamedTuple):
    """The properties of a device that the table depends on."""

    shared_memory: int  # bytes that a block can have
    processors: int  # streaming multiprocessors
    capability: tuple[int, int] = (9, 0)


@lru_cache(maxsize=1)
def device() -> Device:
    """The device at hand."""
    if SIMULATED:
        return Device(2**13, 4)
    current = cuda.get_current_device()
    return Device(
        current.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        current.MULTIPROCESSOR_COUNT,
        tuple(current.compute_capability),
    )


def factors_of(precision: str | None, device: Device) -> int:
    """Factors in a register of the tensor cores, 0 where a product does not use them."""
    if precision is not None and device.capability < TENSOR_CORES:
        raise BackendError(
            f"precision={precision!r} needs tensor cores, of compute capability "
            f"{as_version(TENSOR_CORES)} or newer; this GPU has {as_version(device.capability)}: "
            "leave precision out"
        )
    return FACTORS[precision]


def as_version(capability: tuple[int, int]) -> str:
    """A compute capability as NVIDIA writes it."""
    return "{}.{}".format(*capability)


class Room(NamedTuple):
    """Capacity of a thread's registers, beside the cells."""

    rows: int
    held: tuple[int, ...]  # of k, whose weights are held, for one row


class Regime(NamedTuple):
    """A tile, the blocks that share the units of a row, and whether every step is a launch."""

    tile: Tile
    columns: int
    rows: int  # of a block
    shared_memory: int  # bytes
    step_by_step: bool


TENSOR_CORES = 8, 0  # the first compute capability whose tensor cores know tf32 and bf16
MAX_UNITS_OF_BLOCK = 128  # in regime 1
SHARES = 32, 16, 8  # units of a block in regime 2, best first
SCHEDULERS = 4 * 32  # threads of a block from which on every scheduler of a processor has some
MAX_THREADS = 256  # of a block
DEPTHS = 256, 128, 64, 32  # of k that is multiplied at a time, best first
ROOM = {  # by type, and whether the layer is normalised
    ("float32", False): Room(4, (8, 16, 24)),
    ("float32", True): Room(4, (8, 16)),
    ("float64", False): Room(2, (8, 12)),
    ("float64", True): Room(1, ()),
}
STREAMED = {  # of regime 3
    "float32": Tile(32, 8, 4, 32, kept=0, shared_units=True),
    "float64": Tile(32, 8, 2, 32, kept=0, shared_units=True),
}
STREAMED_ROWS = Tile(32, 8, 1, 32, kept=0, shared_units=False)  # for rows as a whole
STREAMED_CORES = Tile(16, 4, 1, 32, kept=0, shared_units=True)
STREAMED_ROWS_CORES = Tile(64, 1, 1, 32, kept=0, shared_units=False)
STREAMED_DEPTHS = 32, 16  # best first


def regime_of(
    variant: Variant, units: int, batch: int, dtype: str, device: Device, factors: int = 0
) -> Regime:
    """The regime of a layer."""
    return next(candidates(variant, units, batch, dtype, device, factors))


def candidates(
    variant: Variant, units: int, batch: int, dtype: str, device: Device, factors: int = 0
) -> Iterator[Regime]:
    """The regimes that a device has room for, in the order of the table."""
    few = batch * units <= MAX_THREADS * device.processors
    for tile in resident_tiles(variant, units, dtype, factors, few):
        columns = -(-units // tile.units)
        most = 1 if factors > 0 or tile.held > 0 else ROOM[dtype, bool(variant.layer_norm)].rows
        tile = with_rows(tile, -(-batch * columns // device.processors), most)
        size = shared_memory(tile, variant, dtype)
        blocks = columns * -(-batch // rows_of(tile))
        if size > device.shared_memory or threads_of(tile) > MAX_THREADS:
            continue
        if columns == 1 or blocks <= device.processors:
            yield Regime(tile, columns, rows_of(tile), size, False)
    for depth in STREAMED_DEPTHS:
        tile = streamed_tile(variant, dtype, factors)._replace(depth=depth)
        size = shared_memory(tile, variant, dtype)
        columns = -(-units // tile.units) if tile.shared_units else 1
        blocks = columns * -(-batch // rows_of(tile))
        if size <= device.shared_memory or depth == STREAMED_DEPTHS[-1]:
            waits = columns > 1 and blocks > device.processors
            yield Regime(tile, columns, rows_of(tile), size, waits)


def resident_tiles(
    variant: Variant, units: int, dtype: str, factors: int, few: bool
) -> Iterator[Tile]:
    """Tiles whose weights stay, with one line of rows, in the order of the table.

    Registers are nearer than shared memory. But a thread that has several rows reads a weight for
    all of them at once, and has no registers to spare: where rows are many, those come last.
    """
    width = REGISTERS * factors or 1  # along k, and so along the units of a whole row
    whole = -(-units // width) * width
    depths = [min(depth, whole) for depth in DEPTHS]
    if units <= MAX_UNITS_OF_BLOCK:
        # forward, a projected layer has fewer k than backward, and both hold as many
        held = (
            () if variant.projected or factors > 0 else ROOM[dtype, bool(variant.layer_norm)].held
        )
        in_registers = [Tile(units, 1, 1, units, units - n, False, n) for n in held if n < units]
        if few:
            yield from reversed(in_registers)
        for depth in depths:
            yield Tile(whole, 1, 1, depth, units, False, factors=factors)
        yield from in_registers
    if not whole_rows(variant):
        for share, depth in product(SHARES, depths):
            yield Tile(share, 1, 1, depth, units, share < units, factors=factors)


def with_rows(tile: Tile, rows: int, most: int) -> Tile:
    """The tile for at least `rows` rows, as far as a block goes, `most` of them a thread's."""
    # where blocks share units, threads without a row help to fetch what the others multiply
    helped = tile.shared_units and tile.factors == 0
    tile = with_lines(tile, SCHEDULERS if helped else rows, SCHEDULERS)
    while rows_of(tile) < rows and tile.rows < most:
        tile = tile._replace(rows=2 * tile.rows)
    return with_lines(tile, rows, MAX_THREADS)


def with_lines(tile: Tile, rows: int, threads: int) -> Tile:
    """The tile for at least `rows` rows, as far as so many threads go."""
    # powers of two: every other tile is other kernels
    while rows_of(tile) < rows and 2 * threads_of(tile) <= threads:
        tile = tile._replace(lines=2 * tile.lines)
    return tile


def streamed_tile(variant: Variant, dtype: str, factors: int) -> Tile:
    """The tile of regime 3."""
    if factors > 0:
        tile = STREAMED_ROWS_CORES if whole_rows(variant) else STREAMED_CORES
        return tile._replace(factors=factors)
    return STREAMED_ROWS if whole_rows(variant) else STREAMED[dtype]


def shared_memory(tile: Tile, variant: Variant, dtype: str) -> int:
    """Bytes of a block."""
    return shared_numbers(variant, tile) * np.dtype(dtype).itemsize

"""What a step costs the CUDA kernels at least, counted: `python benchmarks/gpu_floors.py`.

For the regimes that the table chooses on an H100, in float32 and on its tensor cores. The products
of the recurrence take as many cycles as a processor reads wavefronts of shared memory, or as its
four schedulers issue instructions, whichever is more. A warp reads per k four wavefronts of
weights, unless they are in registers, and for each of a thread's rows one of factors on the way
back, and forward one for four k. It issues four multiply-adds a row, an instruction a read, and, by
what the compiler makes, 13 for a turn of the loop, which is four k, or 32 for a single row. On
tensor cores it reads, per 8 k in tf32 and per 16 in bf16, 8 wavefronts of weights each way, and of
factors 4 forward and 16 on the way back, which take longer than the instructions. Where the cells
have not left the factors in shared memory, to copy 32 of them there takes 5 instructions, and to
round 32 registers of them for tensor cores 35.

To this come the bytes that all blocks together read from the cache (factors, and weights that are
streamed) or move to and from memory (the tape), the way of h or dz from thread to thread, and the
barrier where blocks share the units: their latencies below are assumptions. Needs
NUMBA_ENABLE_CUDASIM=1 or numba-cuda, and no GPU.
"""

from typing import NamedTuple

from numlstm.architecture.spec import PRECISIONS, LayerSpec
from numlstm.backends.cuda.layer import regimes
from numlstm.backends.cuda.layer.tiles import along_k, carries, rows_of, threads_of
from numlstm.cell.encoding import encode

H100 = regimes.Device(227 * 1024, 132, (9, 0))
CLOCK = 1.7e9  # Hz
PEAK = {"float32": 60e12, "tf32": 450e12, "bf16": 900e12}  # flops a second
CACHE, MEMORY = 5.5e12, 3.3e12  # bytes a second
IN_BLOCK, EXCHANGE, BARRIER = 0.1e-6, 0.5e-6, 1.2e-6  # seconds, assumed
TURN, COPY, ROUND = 13, 5, 35  # instructions: a turn of the loop, 32 factors, 32 rounded
TAPE = 25  # numbers of a unit: 13 forward, 12 on the way back
# (T, B, I, H)
SIZES = [
    (1024, 16, 64, 64),
    (100, 8, 128, 128),
    (128, 64, 256, 256),
    (365, 256, 30, 256),
    (512, 1, 512, 512),
    (100, 64, 1024, 1024),
    (20, 64, 2048, 2048),
]


class Counts(NamedTuple):
    """Of one step, forward and backward together."""

    regime: int
    blocks: str
    cycles: int  # of a processor, for products
    cached: int  # bytes that all blocks read from the cache
    exchange: float  # seconds, each way
    barriers: int


def counts_of(B: int, H: int, precision: str | None) -> Counts:
    """Counts of the regime that the table chooses."""
    encoded = encode(LayerSpec(1, H, "float32"))
    factors = regimes.factors_of(precision, H100)
    regime = regimes.regime_of(encoded, H, B, "float32", H100, factors)
    tile, groups, inside = regime.tile, -(-B // regime.rows), carries(encoded, regime.tile)
    streamed = 0 if tile.kept else 2 * 16 * H * H * groups
    read = 0 if inside else 5 * 4 * B * H * regime.columns
    return Counts(
        3 if not tile.kept else 2 if tile.shared_units else 1,
        f"{regime.columns} x {groups}",
        cycles_of(tile, B, H, inside),
        streamed + read,
        IN_BLOCK if inside else EXCHANGE,
        2 * int(tile.shared_units),
    )


def cycles_of(tile, B: int, H: int, inside: bool) -> int:
    """Cycles for the products of a block, forward and backward."""
    rows = min(B, rows_of(tile))
    if tile.factors > 0:
        registers, threads = along_k(tile, H), threads_of(tile)
        rounded = 0 if inside else ROUND * rows * 5 * registers / threads
        return round(-(-threads // 32) * registers // 8 * (8 + 4 + 8 + 16) + rounded)
    warps = -(-tile.units * -(-rows // tile.rows) // 32)  # that have rows
    in_memory, factors = H - tile.held, tile.rows * (H + H / 4)
    wavefronts = warps * (2 * 4 * in_memory + factors)
    turn = TURN / (32 if tile.rows == 1 else 4)
    issued = 2 * 4 * tile.rows * H + 2 * (1 + turn) * in_memory + factors
    copied = 0 if inside else COPY * rows * 5 * H / threads_of(tile)
    return round(max(wavefronts, -(-warps // 4) * issued + copied))


def row_of(T: int, B: int, inputs: int, H: int, precision: str | None) -> str:
    """A line of the table."""
    counts = counts_of(B, H, precision)
    tape, arithmetic = 4 * TAPE * B * H, precision or "float32"
    floor = counts.cycles / CLOCK + counts.cached / CACHE + tape / MEMORY
    floor += 2 * counts.exchange + counts.barriers * BARRIER
    recurrence, rest = 16 * B * H * H, 8 * B * H * (3 * inputs + H)
    cells = (
        f"({T}, {B}, {inputs}, {H})",
        arithmetic,
        str(counts.regime),
        counts.blocks,
        f"{(recurrence + rest) / 1e6:.1f}",
        f"{counts.cached / 2**20:.1f}",
        f"{tape / 2**20:.1f}",
        str(counts.barriers),
        f"{counts.cycles}",
        f"{1e6 * floor:.1f}",
        f"{1e6 * rest / PEAK[arithmetic]:.2f}",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    heads = "(T, B, I, H)", "products", "regime", "blocks", "Mflop", "MiB of the cache"
    heads += "MiB of the tape", "barriers", "cycles", "floor, us", "other products, us"
    print("| " + " | ".join(heads) + " |\n|---|---|" + " ---: |" * (len(heads) - 2))
    for size in SIZES:
        for precision in (None, *PRECISIONS):
            print(row_of(*size, precision))


if __name__ == "__main__":
    main()

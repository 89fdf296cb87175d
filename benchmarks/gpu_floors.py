"""What a step costs the CUDA kernels at least, counted: `python benchmarks/gpu_floors.py`.

For the regimes that the table chooses on an H100, in float32. Per warp and k, a thread reads 4
weights and the numbers of its rows from shared memory, a wavefront each, and does 4 multiply-adds a
row; a processor has one wavefront and four warps of multiply-adds a cycle. To this come the way of
h or dz from thread to thread through the cache, and the barrier where blocks share the units: their
latencies below are assumptions. Needs NUMBA_ENABLE_CUDASIM=1 or numba-cuda, and no GPU.
"""

from numlstm.backends.cuda import regimes
from numlstm.families import family_of
from numlstm.spec import LayerSpec

H100 = regimes.Device(227 * 1024, 132)
CLOCK, PEAK = 1.7e9, 60e12  # Hz, flops a second in float32
EXCHANGE, BARRIER = 0.5e-6, 1.2e-6  # seconds, assumed
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


def row_of(T: int, B: int, inputs: int, H: int) -> str:
    """A line of the table: counts of one step, forward and backward together."""
    regime = regimes.regime_of(family_of(LayerSpec(inputs, H, "float32")), H, B, "float32", H100)
    tile, groups = regime.tile, -(-B // regime.rows)
    number = 3 if not tile.kept else 2 if tile.shared_units else 1
    warps = -(-tile.units * tile.lines // 32)
    wavefronts = H * warps * (4 + tile.rows + 4 + 4 * tile.rows)
    streamed = 0 if tile.kept else 2 * 16 * H * H * groups  # bytes of weights
    waits = 2 * int(tile.shared_units)
    floor = wavefronts / CLOCK + 2 * EXCHANGE + waits * BARRIER
    recurrence, rest = 16 * B * H * H, 8 * B * H * (3 * inputs + H)
    cells = (
        f"({T}, {B}, {inputs}, {H})",
        str(number),
        f"{regime.columns} x {groups}",
        f"{(recurrence + rest) / 1e6:.1f}",
        f"{streamed / 2**20:.0f}",
        str(waits),
        f"{wavefronts}",
        f"{1e6 * floor:.1f}",
        f"{1e6 * rest / PEAK:.2f}",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    heads = "(T, B, I, H)", "regime", "blocks", "Mflop", "MiB of weights", "barriers"
    heads += "wavefronts", "floor, us", "other products, us"
    print("| " + " | ".join(heads) + " |\n|" + "---|" + " ---: |" * (len(heads) - 1))
    for size in SIZES:
        print(row_of(*size))


if __name__ == "__main__":
    main()

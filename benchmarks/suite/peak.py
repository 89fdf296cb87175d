"""The machine's peak: how many multiply-adds per second its vector units do, measured.

The loop is the register tile of the kernels on operands that stay in the first-level cache. It has
more accumulators than the latency of a multiply-add and fewer loads than the load units can take,
so that the vector units are what limits it.
"""

import time

import numba
import numpy as np

from numlstm.backends.cpu import packing
from numlstm.backends.cpu.compile import kernel
from numlstm.backends.cpu.products import panel_width
from numlstm.backends.cpu.simd import TILE_ROWS, Block, at, multiply

LENGTH = 128  # of the sum; the operands take 2 + 8 or 6 + 16 KB of the first-level cache


@kernel
def multiply_again(thread, times, out, a, w):
    """The same tile `times` times, on memory of the thread's own."""
    rows, width = a.shape[1], panel_width(w)
    tile = Block(at(out, thread * rows * width), width, width)
    left = Block(at(a, thread * rows * LENGTH), LENGTH, 1)
    right = Block(at(w, thread * LENGTH * width), LENGTH * width, width)
    for _ in range(times):
        multiply(tile, left, right, rows, 1, LENGTH, False)


@numba.njit(parallel=True)
def multiply_on_threads(threads, times, out, a, w):
    """Every thread for itself."""
    for thread in numba.prange(threads):
        multiply_again(thread, times, out, a, w)


class Peak:
    """The peak of so many threads: the best of all the times that `measure` was called."""

    def __init__(self, dtype: str, threads: int):
        width = packing.panel_width(dtype)
        self.threads, self.flops_per_second = threads, 0.0
        self.memory = (
            packing.zeros((threads, TILE_ROWS, width), dtype),
            packing.zeros((threads, TILE_ROWS, LENGTH), dtype),
            packing.zeros((threads, 1, LENGTH, width), dtype),
        )
        self.flops = 2 * threads * TILE_ROWS * width * LENGTH
        multiply_on_threads(threads, 1, *self.memory)  # compile

    def measure(self, seconds: float = 0.2) -> float:
        """Flops per second; noise only ever takes from a peak, so short runs, the best kept."""
        times = 2000  # less than a millisecond
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            multiply_on_threads(self.threads, times, *self.memory)
            rate = times * self.flops / (time.perf_counter() - start)
            self.flops_per_second = max(self.flops_per_second, rate)
        return self.flops_per_second


if __name__ == "__main__":
    for dtype in (np.float32, np.float64):
        for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
            rate = Peak(np.dtype(dtype).name, threads).measure()
            print(f"{np.dtype(dtype).name}, {threads} thread(s): {rate / 1e9:.0f} GF/s")

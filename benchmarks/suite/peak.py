"""The machine's peak: how many multiply-adds per second its vector units do, measured.

The loop is the register tile of the kernels on operands that stay in the first-level cache. It has
more accumulators than the latency of a multiply-add and fewer loads than the load units can take,
so that the vector units are what limits it.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numba
import numpy as np

from numlstm.backends.cpu.codegen import packing
from numlstm.backends.cpu.codegen.gemm import panel_width
from numlstm.backends.cpu.codegen.vectors import TILE_ROWS, Block, at, multiply

LENGTH = 128  # of the sum; the operands take 2 + 8 or 6 + 16 KB of the first-level cache


TIMES = 2000  # less than a millisecond, so that some samples are left in peace


@numba.njit(nogil=True)
def multiply_again(out, a, w):
    """The same tile over and over."""
    width = panel_width(w)
    tile, left = Block(at(out, 0), width, width), Block(at(a, 0), LENGTH, 1)
    right = Block(at(w, 0), LENGTH * width, width)
    for _ in range(TIMES):
        multiply(tile, left, right, TILE_ROWS, 1, LENGTH, False, Block(at(w, 0), 0, 0))


class Peak:
    """The peak of so many threads: the sum of the best that each reached while all were at work."""

    def __init__(self, dtype: str, threads: int):
        width = packing.panel_width(dtype)
        shapes = ((TILE_ROWS, width), (TILE_ROWS, LENGTH), (LENGTH, width))
        self.memory = [[packing.zeros(shape, dtype) for shape in shapes] for _ in range(threads)]
        self.flops = 2 * TIMES * TILE_ROWS * LENGTH * width
        self.best = [0.0] * threads
        multiply_again(*self.memory[0])  # compile

    def measure(self, seconds: float = 0.2) -> float:
        """Flops per second, the best of all calls so far: noise only ever takes from a peak."""
        with ThreadPoolExecutor(len(self.best)) as threads:
            list(threads.map(self._measure, range(len(self.best)), repeat(seconds)))
        return self.flops_per_second

    @property
    def flops_per_second(self) -> float:
        """What was measured so far."""
        return sum(self.best)

    def _measure(self, thread: int, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            multiply_again(*self.memory[thread])
            rate = self.flops / (time.perf_counter() - start)
            self.best[thread] = max(self.best[thread], rate)


if __name__ == "__main__":
    for dtype in (np.float32, np.float64):
        for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
            rate = Peak(np.dtype(dtype).name, threads).measure()
            print(f"{np.dtype(dtype).name}, {threads} thread(s): {rate / 1e9:.0f} GF/s")

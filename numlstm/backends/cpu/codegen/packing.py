"""Memory as the kernels like it: aligned, in whole vectors, weights in panels.

W is the width of a panel, PANEL_VECTORS vectors.
"""

import math

import numpy as np

from numlstm.backends.cpu.codegen.vectors import CACHE_LINE, PANEL_VECTORS, VECTOR_BYTES
from numlstm.cell.elementary import compilable

SMALL = 2**14  # bytes; smaller arrays stay in the nearest cache wherever they begin
FEW = SMALL // 8  # elements; fewer are small in any dtype


def lanes(dtype) -> int:
    """L: elements in a vector."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def panel_width(dtype) -> int:
    """W: elements in a row of a panel."""
    return PANEL_VECTORS * lanes(dtype)


@compilable()
def blocks(count, size):
    """How many blocks of `size` hold `count` elements."""
    return -(-count // size)


@compilable()
def odd_cache_lines(count, itemsize):
    """At least `count` elements, in an odd number of cache lines so that columns do not collide."""
    per_line = CACHE_LINE // itemsize
    return (blocks(count, per_line) // 2 * 2 + 1) * per_line


def empty(shape: tuple, dtype) -> np.ndarray:
    """An array that begins at a cache line, as whole vectors like to."""
    count = math.prod(shape)
    if count < FEW:
        return np.empty(shape, dtype)
    itemsize = np.dtype(dtype).itemsize
    if count * itemsize < SMALL:
        return np.empty(shape, dtype)
    memory = np.empty(count + CACHE_LINE // itemsize, dtype)
    skip = -memory.ctypes.data % CACHE_LINE // itemsize
    return memory[skip : skip + count].reshape(shape)


def zeros(shape: tuple, dtype) -> np.ndarray:
    """An array of zeros that begins at a cache line."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


def panels(matrix: np.ndarray) -> np.ndarray:
    """A (k, columns) matrix in panels, (ceil(columns / W), k, W)."""
    k, columns = matrix.shape
    width = panel_width(matrix.dtype)
    packed = empty((blocks(columns, width), k, width), matrix.dtype)
    whole = columns // width
    packed[:whole] = matrix[:, : whole * width].reshape(k, whole, width).transpose(1, 0, 2)
    if whole < len(packed):
        packed[whole] = 0
        packed[whole, :, : columns - whole * width] = matrix[:, whole * width :]
    return packed


def sum_in_order(parts: np.ndarray) -> np.ndarray:
    """The sum over the first axis, one term after the other, in place of the first."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total

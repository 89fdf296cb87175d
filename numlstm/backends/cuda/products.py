"""Products of large matrices, sums in a fixed order, and the way to the kernels' layout and back.

The product is cut into tiles of the result by blocks; every element is summed over k in order, so
its bits depend on nothing but its row and its column. Where k is long, it is cut into parts, whose
sums are added in order.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from numlstm.backends.cuda.compile import kernel, kernel_of
from numlstm.backends.cuda.target import SIMULATED, cuda, number_type
from numlstm.backends.cuda.tensor_cores import (
    A_SIZE,
    B_SIZE,
    B_STEP,
    COLUMNS,
    REGISTERS,
    ROWS,
    WARP,
    add_fragment,
    place_in_a,
    place_in_b,
    place_in_c,
    rounded,
)
from numlstm.elementary import compilable, fma, like


class ProductTile(NamedTuple):
    """How a block's part of the result is cut.

    With tensor cores warps take the place of threads, and fragments (16, 8) that of elements;
    depth is a multiple of what a fragment has.
    """

    lines: int  # threads along the rows
    across: int  # threads along the columns
    rows: int  # elements of a thread along the rows
    columns: int  # elements of a thread along the columns
    depth: int  # of k that is in shared memory at a time
    factors: int = 0  # in a register of the tensor cores, 0 where they are not used


TILES = (  # by factors in a register
    ProductTile(16, 16, 4, 4, 16),
    ProductTile(4, 2, 2, 4, 32, factors=1),
    ProductTile(4, 2, 2, 4, 32, factors=2),
)
if SIMULATED:  # a thread there is one of Python
    TILES = (
        ProductTile(2, 2, 2, 2, 3),
        ProductTile(1, 1, 2, 2, 16, factors=1),
        ProductTile(1, 1, 2, 2, 16, factors=2),
    )


@compilable()
def threads_of(tile):
    """Threads of a block."""
    return tile.lines * tile.across * (WARP if tile.factors > 0 else 1)


@compilable()
def rows_of(tile):
    """Rows of the result that a block has."""
    return tile.lines * tile.rows * (ROWS if tile.factors > 0 else 1)


@compilable()
def columns_of(tile):
    """Columns of the result that a block has."""
    return tile.across * tile.columns * (COLUMNS if tile.factors > 0 else 1)


@compilable()
def places_of(tile):
    """How many elements of the result a thread has."""
    return tile.rows * tile.columns * (4 if tile.factors > 0 else 1)


@compilable()
def left_of(tile):
    """Numbers in shared memory for A."""
    if tile.factors == 0:
        return rows_of(tile) * (tile.depth + 1)
    return tile.depth // (REGISTERS * tile.factors) * (rows_of(tile) // ROWS) * A_SIZE


@compilable()
def right_of(tile):
    """Numbers in shared memory for B."""
    if tile.factors == 0:
        return tile.depth * (columns_of(tile) + 1)
    return tile.depth // (REGISTERS * tile.factors) * (columns_of(tile) // COLUMNS) * B_SIZE


def shared_memory(tile: ProductTile, dtype: np.dtype) -> int:
    """Bytes of a block."""
    return (left_of(tile) + right_of(tile)) * dtype.itemsize


@lru_cache(maxsize=8)
def product_kernel(tile: ProductTile, dtype: str):
    """C = A B over parts of k. A (M, K), B (K, N), C (parts, M, N), start (N,) or empty."""
    number, places, left = number_type(dtype), places_of(tile), left_of(tile)

    @kernel_of(threads_of(tile))
    def product(A, B, C, start):
        """Blocks (x, y, z): rows, columns, parts."""
        shared = cuda.shared.array(0, number)  # the simulator may give threads different others
        acc = cuda.local.array(places, number)
        multiply(tile, A, B, C, start, shared[:left], shared[left:], acc)

    return product


@compilable()
def multiply(tile, A, B, C, start, a, b, acc):
    """The tile of C that belongs to this block. a (rows, depth) and b (depth, columns): scratch."""
    thread = cuda.threadIdx.x
    first_row, first_column = cuda.blockIdx.x * rows_of(tile), cuda.blockIdx.y * columns_of(tile)
    length = (A.shape[1] + C.shape[0] - 1) // C.shape[0]
    last_k = min((cuda.blockIdx.z + 1) * length, A.shape[1])
    for i in range(places_of(tile)):
        _, column = place_of(tile, thread, i)
        acc[i] = like(acc[0], 0.0)
        if start.shape[0] > 0 and first_column + column < B.shape[1]:
            acc[i] = start[first_column + column]
    for first_k in range(cuda.blockIdx.z * length, last_k, tile.depth):
        cuda.syncthreads()
        stage_left(tile, thread, a, A, first_row, first_k, last_k)
        stage_right(tile, thread, b, B, first_column, first_k, last_k)
        cuda.syncthreads()
        if tile.factors > 0:
            add_fragments(tile, thread, a, b, acc)
        else:
            add_elements(tile, thread, a, b, acc, min(tile.depth, last_k - first_k))
    for i in range(places_of(tile)):
        row, column = place_of(tile, thread, i)
        if first_row + row < A.shape[0] and first_column + column < B.shape[1]:
            C[cuda.blockIdx.z, first_row + row, first_column + column] = acc[i]


@compilable()
def place_of(tile, thread, i):
    """(row, column) of a thread's i-th sum in the block's part of the result."""
    if tile.factors == 0:
        row = thread // tile.across + i // tile.columns * tile.lines
        return row, thread % tile.across + i % tile.columns * tile.across
    warp, fragment = thread // WARP, i // 4
    row, column = place_in_c(thread % WARP, i % 4)
    row += (warp // tile.across * tile.rows + fragment // tile.columns) * ROWS
    return row, (warp % tile.across * tile.columns + fragment % tile.columns) * COLUMNS + column


# --- from device memory to shared memory ----------------------------------------------------------


@compilable()
def fragment_in_left(tile, row, chunk):
    """Where a has the fragment with this row, for a part of k."""
    return (chunk * (rows_of(tile) // ROWS) + row // ROWS) * A_SIZE


@compilable()
def fragment_in_right(tile, chunk, column):
    """Where b has the fragment with this column, for a part of k."""
    return (chunk * (columns_of(tile) // COLUMNS) + column // COLUMNS) * B_SIZE


@compilable()
def place_in_left(tile, row, k):
    """Where a has an element, or a register of them."""
    if tile.factors == 0:
        return row * (tile.depth + 1) + k  # 1: neighbours on either side in different banks
    return fragment_in_left(tile, row, k // REGISTERS) + place_in_a(row, k)


@compilable()
def place_in_right(tile, k, column):
    """Where b has an element, or a register of them."""
    if tile.factors == 0:
        return k * (columns_of(tile) + 1) + column
    return fragment_in_right(tile, k // REGISTERS, column) + place_in_b(k, column)


@compilable()
def spread(item, matrix, rows, columns):
    """(row, column) of an item of a part of a matrix: by neighbours in memory."""
    if matrix.strides[0] < matrix.strides[1]:
        return item % rows, item // rows
    return item // columns, item % columns


@compilable()
def stage_left(tile, thread, a, A, first_row, first_k, last_k):
    """a (rows, depth) = A (M, K) from the row and k on; zero beyond."""
    zero, rows, width = like(a[0], 0.0), rows_of(tile), max(1, tile.factors)
    for item in range(thread, rows * (tile.depth // width), threads_of(tile)):
        row, k = spread(item, A, rows, tile.depth // width)
        low = high = zero
        at, inside = first_k + k * width, first_row + row < A.shape[0]
        if inside and at < last_k:
            low = A[first_row + row, at]
        if width == 2 and inside and at + 1 < last_k:
            high = A[first_row + row, at + 1]
        a[place_in_left(tile, row, k)] = rounded(low, high, tile.factors)


@compilable()
def stage_right(tile, thread, b, B, first_column, first_k, last_k):
    """b (depth, columns) = B (K, N) from k and the column on; zero beyond."""
    zero, columns, width = like(b[0], 0.0), columns_of(tile), max(1, tile.factors)
    for item in range(thread, tile.depth // width * columns, threads_of(tile)):
        k, column = spread(item, B, tile.depth // width, columns)
        low = high = zero
        at, inside = first_k + k * width, first_column + column < B.shape[1]
        if inside and at < last_k:
            low = B[at, first_column + column]
        if width == 2 and inside and at + 1 < last_k:
            high = B[at + 1, first_column + column]
        b[place_in_right(tile, k, column)] = rounded(low, high, tile.factors)


# --- sums -----------------------------------------------------------------------------------------


@compilable()
def add_elements(tile, thread, a, b, acc, count):
    """The products of every thread by itself, of `count` k."""
    own_row, own_column = thread // tile.across, thread % tile.across
    for k in range(count):
        for i in range(tile.rows):
            left = a[place_in_left(tile, own_row + i * tile.lines, k)]
            for j in range(tile.columns):
                right = b[place_in_right(tile, k, own_column + j * tile.across)]
                acc[i * tile.columns + j] = fma(left, right, acc[i * tile.columns + j])


@compilable()
def add_fragments(tile, thread, a, b, acc):
    """The products of every warp, on tensor cores."""
    lane, warp = thread % WARP, thread // WARP
    first_row = warp // tile.across * tile.rows * ROWS
    first_column = warp % tile.across * tile.columns * COLUMNS
    for chunk in range(tile.depth // (REGISTERS * tile.factors)):
        for i in range(tile.rows):
            left = fragment_in_left(tile, first_row + i * ROWS, chunk) + lane
            for j in range(tile.columns):
                right = fragment_in_right(tile, chunk, first_column + j * COLUMNS) + lane
                first = 4 * (i * tile.columns + j)
                add_fragment(acc, first, 1, a, left, b[right], b[right + B_STEP], tile.factors)


@kernel
def sum_parts(parts, result):
    """result (n,) = the parts (m, n) added one after the other."""
    for i in range(cuda.grid(1), result.shape[0], cuda.gridsize(1)):
        value = parts[0, i]
        for part in range(1, parts.shape[0]):
            value += parts[part, i]
        result[i] = value


@kernel
def gather(theta, source, packed):
    """packed[i] = theta[source[i]], or 0 where there is no source."""
    for i in range(cuda.grid(1), packed.shape[0], cuda.gridsize(1)):
        packed[i] = theta[source[i]] if source[i] >= 0 else like(packed[i], 0.0)


@kernel
def scatter(dpacked, source, first, dtheta):
    """The mirror of `gather`, for the part of it that begins at `first`."""
    for i in range(cuda.grid(1), dpacked.shape[0], cuda.gridsize(1)):
        if source[first + i] >= 0:
            dtheta[source[first + i]] = dpacked[i]

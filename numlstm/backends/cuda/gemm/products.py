"""Products of large matrices, sums in a fixed order, and the way to the kernels' layout and back.

The product is cut into tiles of the result by blocks; every element is summed over k in order, so
its bits depend on nothing but its row and its column. Where k is long, it is cut into parts, whose
sums are added in order.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from numlstm.backends.cuda.device.compile import kernel, kernel_of
from numlstm.backends.cuda.device.target import SIMULATED, cuda, number_type
from numlstm.backends.cuda.gemm.tensor_cores import (
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
from numlstm.backends.cuda.gemm.transfers import Chunk, arrived, copy, four
from numlstm.cell.elementary import compilable, fma, like


class ProductTile(NamedTuple):
    """How a block's part of the result is cut.

    A thread has elements in fours, those of its neighbours in between. With tensor cores warps take
    the place of threads, and fragments (16, 8) that of elements; depth is a multiple of what a
    fragment has.
    """

    lines: int  # threads along the rows
    across: int  # threads along the columns
    rows: int  # elements of a thread along the rows
    columns: int  # elements of a thread along the columns
    depth: int  # of k that is in shared memory at a time
    factors: int = 0  # in a register of the tensor cores, 0 where they are not used


TILES = (  # by factors in a register
    {"float32": ProductTile(16, 16, 8, 8, 16), "float64": ProductTile(16, 16, 4, 4, 16)},
    {"float32": ProductTile(4, 2, 2, 4, 32, factors=1)},
    {"float32": ProductTile(4, 2, 2, 4, 32, factors=2)},
)
SMALL = ProductTile(16, 16, 4, 4, 16)  # where larger ones would not go round
if SIMULATED:  # a thread there is one of Python
    TILES = (
        {"float32": ProductTile(4, 4, 4, 8, 2), "float64": ProductTile(4, 4, 8, 4, 4)},
        {"float32": ProductTile(1, 1, 2, 2, 16, factors=1)},
        {"float32": ProductTile(1, 1, 2, 2, 16, factors=2)},
    )
    SMALL = ProductTile(4, 4, 4, 4, 2)


def tile_of(rows: int, columns: int, dtype: str, factors: int, processors: int) -> ProductTile:
    """The tile of a product."""
    tile = TILES[factors][dtype]
    blocks = -(-rows // rows_of(tile)) * -(-columns // columns_of(tile))
    return SMALL if factors == 0 and blocks < processors else tile


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
        return tile.depth * line_of(rows_of(tile))
    return tile.depth // (REGISTERS * tile.factors) * (rows_of(tile) // ROWS) * A_SIZE


@compilable()
def right_of(tile):
    """Numbers in shared memory for B."""
    if tile.factors == 0:
        return tile.depth * line_of(columns_of(tile))
    return tile.depth // (REGISTERS * tile.factors) * (columns_of(tile) // COLUMNS) * B_SIZE


def shared_memory(tile: ProductTile, dtype: np.dtype) -> int:
    """Bytes of a block: one part of k is on its way while another is multiplied."""
    return 2 * (left_of(tile) + right_of(tile)) * dtype.itemsize


class Part(NamedTuple):
    """The part of the result that a block computes, and this thread's place in the block."""

    first_row: int
    first_column: int
    thread: int


@lru_cache(maxsize=8)
def product_kernel(tile: ProductTile, dtype: str):
    """C = A B over parts of k. A (M, K), B (K, N), C (parts, M, N), start (N,) or empty."""
    number, places = number_type(dtype), places_of(tile)

    @kernel_of(threads_of(tile))
    def product(A, B, C, start):
        """Blocks (x, y, z): rows, columns, parts."""
        shared = cuda.shared.array(0, number)  # the simulator may give threads different others
        multiply(tile, A, B, C, start, shared, cuda.local.array(places, number))

    return product


@compilable()
def multiply(tile, A, B, C, start, shared, acc):
    """The tile of C that belongs to this block."""
    first_row, first_column = cuda.blockIdx.x * rows_of(tile), cuda.blockIdx.y * columns_of(tile)
    part = Part(first_row, first_column, cuda.threadIdx.x)
    length = (A.shape[1] + C.shape[0] - 1) // C.shape[0]
    first_k, end = cuda.blockIdx.z * length, min((cuda.blockIdx.z + 1) * length, A.shape[1])
    # sums by parts, or a compiler that does not unroll so long a loop leaves them in memory
    begin(tile, part, acc, start, C, 0)
    if places_of(tile) > 16:
        begin(tile, part, acc, start, C, 16)
    if places_of(tile) > 32:
        begin(tile, part, acc, start, C, 32)
        begin(tile, part, acc, start, C, 48)
    chunk = Chunk(first_k, min(first_k + tile.depth, end), 0)
    stage(tile, part, shared, A, B, chunk)
    while chunk.first < end:
        arrived()
        cuda.syncthreads()
        after = Chunk(chunk.last, min(chunk.last + tile.depth, end), 1 - chunk.buffer)
        if after.first < end:
            stage(tile, part, shared, A, B, after)
        add(tile, part.thread, shared, acc, chunk)
        chunk = after
    finish(tile, part, acc, C, 0)
    if places_of(tile) > 16:
        finish(tile, part, acc, C, 16)
    if places_of(tile) > 32:
        finish(tile, part, acc, C, 32)
        finish(tile, part, acc, C, 48)


@compilable()
def begin(tile, part, acc, start, C, first):
    """Sixteen sums from where they start. C (parts, M, N)."""
    for i in range(first, first + 16):
        _, column = place_of(tile, part, i)
        acc[i] = like(acc[0], 0.0)
        if start.shape[0] > 0 and column < C.shape[2]:
            acc[i] = start[column]


@compilable()
def finish(tile, part, acc, C, first):
    """Sixteen sums to C (parts, M, N)."""
    for i in range(first, first + 16):
        row, column = place_of(tile, part, i)
        if row < C.shape[1] and column < C.shape[2]:
            C[cuda.blockIdx.z, row, column] = acc[i]


@compilable()
def place_of(tile, part, i):
    """(row, column) of a thread's i-th sum."""
    thread = part.thread
    if tile.factors == 0:
        row, column = i // tile.columns, i % tile.columns
        row += (thread // tile.across + row // 4 * (tile.lines - 1)) * 4
        column += (thread % tile.across + column // 4 * (tile.across - 1)) * 4
    else:
        warp, fragment = thread // WARP, i // 4
        row, column = place_in_c(thread % WARP, i % 4)
        row += (warp // tile.across * tile.rows + fragment // tile.columns) * ROWS
        column += (warp % tile.across * tile.columns + fragment % tile.columns) * COLUMNS
    return part.first_row + row, part.first_column + column


# --- from device memory to shared memory ----------------------------------------------------------


@compilable()
def first_in_buffer(tile, buffer):
    """Offset of A in shared memory; B follows it."""
    return buffer * (left_of(tile) + right_of(tile))


@compilable()
def stage(tile, part, shared, A, B, chunk):
    """The block's rows of A (M, K) and columns of B (K, N), for the k of a chunk."""
    left = first_in_buffer(tile, chunk.buffer)
    right = left + left_of(tile)
    stage_lines(tile, part.thread, shared, left, rows_of(tile), A, False, part.first_row, chunk)
    stage_lines(
        tile, part.thread, shared, right, columns_of(tile), B, True, part.first_column, chunk
    )


@compilable()
def stage_lines(tile, thread, shared, place, lines, matrix, turned, first_line, chunk):
    """Lines of a matrix (lines, K) or, turned, (K, lines), as far as there are any.

    On tensor cores k counts registers here, and those beyond the chunk are zero.
    """
    threads, depth = threads_of(tile), tile.depth // max(1, tile.factors)
    lines_left = min(lines, (matrix.shape[1] if turned else matrix.shape[0]) - first_line)
    k_left = depth if tile.factors > 0 else min(depth, chunk.last - chunk.first)
    # neighbours in memory by neighbouring threads
    if (matrix.strides[0] < matrix.strides[1]) != turned:
        line, k = thread % lines, thread // lines
        while line < lines_left and k < k_left:
            put(tile, shared, place, lines, matrix, turned, first_line, line, chunk, k)
            k += threads // lines
    else:
        line, k = thread // depth, thread % depth
        while k < k_left and line < lines_left:
            put(tile, shared, place, lines, matrix, turned, first_line, line, chunk, k)
            line += threads // depth


@compilable()
def put(tile, shared, place, lines, matrix, turned, first_line, line, chunk, k):
    """An element of a line, or a register of them."""
    if tile.factors > 0:
        at = chunk.first + k * tile.factors
        low = high = element(matrix, turned, first_line + line, at, chunk.last, shared)
        if tile.factors == 2:
            high = element(matrix, turned, first_line + line, at + 1, chunk.last, shared)
        place += place_in_right(tile, k, line) if turned else place_in_left(tile, line, k)
        shared[place] = rounded(low, high, tile.factors)
    else:
        place += k * line_of(lines) + line
        if turned:
            copy(shared, place, matrix, (chunk.first + k, first_line + line))
        else:
            copy(shared, place, matrix, (first_line + line, chunk.first + k))


@compilable()
def element(matrix, turned, line, k, last_k, shared):
    """An element of a line, zero beyond the last k."""
    if k >= last_k:
        return like(shared[0], 0.0)
    return matrix[k, line] if turned else matrix[line, k]


@compilable()
def line_of(lines):
    """Numbers in shared memory for the lines of one k: those of neighbours in different banks."""
    return lines + 4


@compilable()
def fragment_in_left(tile, row, chunk):
    """Offset of the fragment of A with this row, for a part of k."""
    return (chunk * (rows_of(tile) // ROWS) + row // ROWS) * A_SIZE


@compilable()
def fragment_in_right(tile, chunk, column):
    """Offset of the fragment of B with this column, for a part of k."""
    return (chunk * (columns_of(tile) // COLUMNS) + column // COLUMNS) * B_SIZE


@compilable()
def place_in_left(tile, row, k):
    """Offset of a register of A."""
    return fragment_in_left(tile, row, k // REGISTERS) + place_in_a(row, k)


@compilable()
def place_in_right(tile, k, column):
    """Offset of a register of B."""
    return fragment_in_right(tile, k // REGISTERS, column) + place_in_b(k, column)


# --- sums -----------------------------------------------------------------------------------------


@compilable()
def add(tile, thread, shared, acc, chunk):
    """The products of a chunk."""
    left = first_in_buffer(tile, chunk.buffer)
    right = left + left_of(tile)
    if tile.factors > 0:
        add_fragments(tile, thread, shared, left, right, acc)
    else:
        add_elements(tile, thread, shared, left, right, acc, chunk.last - chunk.first)


@compilable()
def add_elements(tile, thread, shared, left, right, acc, count):
    """The products of every thread by itself, of `count` k."""
    left += thread // tile.across * 4
    right += thread % tile.across * 4
    k = 0
    while k < count:  # see `staging.add_rows`
        for i in range(0, tile.rows, 4):
            x = four(shared, left + k * line_of(rows_of(tile)) + i * tile.lines)
            for j in range(0, tile.columns, 4):
                y = four(shared, right + k * line_of(columns_of(tile)) + j * tile.across)
                first = i * tile.columns + j
                add_line(acc, first, x[0], y)
                add_line(acc, first + tile.columns, x[1], y)
                add_line(acc, first + 2 * tile.columns, x[2], y)
                add_line(acc, first + 3 * tile.columns, x[3], y)
        k += 1


@compilable()
def add_line(acc, first, x, y):
    """acc[first + j] += x y[j]."""
    acc[first] = fma(x, y[0], acc[first])
    acc[first + 1] = fma(x, y[1], acc[first + 1])
    acc[first + 2] = fma(x, y[2], acc[first + 2])
    acc[first + 3] = fma(x, y[3], acc[first + 3])


@compilable()
def add_fragments(tile, thread, shared, left, right, acc):
    """The products of every warp, on tensor cores."""
    lane, warp = thread % WARP, thread // WARP
    first_row = warp // tile.across * tile.rows * ROWS
    first_column = warp % tile.across * tile.columns * COLUMNS
    for chunk in range(tile.depth // (REGISTERS * tile.factors)):
        for i in range(tile.rows):
            a = left + fragment_in_left(tile, first_row + i * ROWS, chunk) + lane
            for j in range(tile.columns):
                b = right + fragment_in_right(tile, chunk, first_column + j * COLUMNS) + lane
                first, b_0, b_1 = 4 * (i * tile.columns + j), shared[b], shared[b + B_STEP]
                add_fragment(acc, first, 1, shared, a, b_0, b_1, tile.factors)


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

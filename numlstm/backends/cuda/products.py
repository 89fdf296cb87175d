"""Products of large matrices, sums in a fixed order, and the way to the kernels' layout and back.

The product is cut into tiles of the result by blocks; every element is summed over k in order, so
its bits depend on nothing but its row and its column. Where k is long, it is cut into parts, whose
sums are added in order.
"""

from functools import lru_cache
from typing import NamedTuple

from numlstm.backends.cuda.target import cuda, kernel_of, number_type
from numlstm.elementary import compilable, fma, like


class ProductTile(NamedTuple):
    """A block has threads x threads threads, each with side x side elements of the result."""

    threads: int
    side: int
    depth: int  # of k that is in shared memory at a time


def shared_numbers(tile: ProductTile) -> int:
    """Numbers in a block's shared memory."""
    return 2 * tile.depth * tile.threads * tile.side


@lru_cache(maxsize=4)
def product_kernel(tile: ProductTile, dtype: str):
    """C = A B over parts of k. A (M, K), B (K, N), C (parts, M, N), start (N,) or empty."""
    number = number_type(dtype)
    places, panel = tile.side * tile.side, shared_numbers(tile) // 2

    @kernel_of(tile.threads * tile.threads)
    def product(A, B, C, start):
        """Blocks (x, y, z): rows, columns, parts."""
        shared = cuda.shared.array(0, number)  # the simulator may give threads different others
        acc = cuda.local.array(places, number)
        multiply(tile, A, B, C, start, shared[:panel], shared[panel:], acc)

    return product


@compilable()
def multiply(tile, A, B, C, start, a, b, acc):
    """The tile of C that belongs to this block. a and b (depth, threads * side) are scratch."""
    wide = tile.threads * tile.side
    thread, threads = cuda.threadIdx.x, tile.threads * tile.threads
    first_row, first_column = cuda.blockIdx.x * wide, cuda.blockIdx.y * wide
    own_row, own_column = thread // tile.threads, thread % tile.threads
    zero, rows, columns = like(acc[0], 0.0), A.shape[0], B.shape[1]
    length = (A.shape[1] + C.shape[0] - 1) // C.shape[0]
    last_k = min((cuda.blockIdx.z + 1) * length, A.shape[1])
    for i in range(tile.side):
        for j in range(tile.side):
            column = first_column + own_column + j * tile.threads
            acc[i * tile.side + j] = zero
            if start.shape[0] > 0 and column < columns:
                acc[i * tile.side + j] = start[column]
    for first_k in range(cuda.blockIdx.z * length, last_k, tile.depth):
        cuda.syncthreads()
        for item in range(thread, tile.depth * wide, threads):
            row, k = first_row + item // tile.depth, first_k + item % tile.depth
            inside = row < rows and k < last_k
            a[item % tile.depth * wide + item // tile.depth] = A[row, k] if inside else zero
            k, column = first_k + item // wide, first_column + item % wide
            inside = column < columns and k < last_k
            b[item] = B[k, column] if inside else zero
        cuda.syncthreads()
        for k in range(min(tile.depth, last_k - first_k)):
            for i in range(tile.side):
                left = a[k * wide + own_row + i * tile.threads]
                for j in range(tile.side):
                    right = b[k * wide + own_column + j * tile.threads]
                    acc[i * tile.side + j] = fma(left, right, acc[i * tile.side + j])
    for i in range(tile.side):
        for j in range(tile.side):
            row = first_row + own_row + i * tile.threads
            column = first_column + own_column + j * tile.threads
            if row < rows and column < columns:
                C[cuda.blockIdx.z, row, column] = acc[i * tile.side + j]


@cuda.jit
def sum_parts(parts, result):
    """result (n,) = the parts (m, n) added one after the other."""
    for i in range(cuda.grid(1), result.shape[0], cuda.gridsize(1)):
        value = parts[0, i]
        for part in range(1, parts.shape[0]):
            value += parts[part, i]
        result[i] = value


@cuda.jit
def gather(theta, source, packed):
    """packed[i] = theta[source[i]], or 0 where there is no source."""
    for i in range(cuda.grid(1), packed.shape[0], cuda.gridsize(1)):
        packed[i] = theta[source[i]] if source[i] >= 0 else like(packed[i], 0.0)


@cuda.jit
def scatter(dpacked, source, first, dtheta):
    """The mirror of `gather`, for the part of it that begins at `first`."""
    for i in range(cuda.grid(1), dpacked.shape[0], cuda.gridsize(1)):
        if source[first + i] >= 0:
            dtheta[source[first + i]] = dpacked[i]

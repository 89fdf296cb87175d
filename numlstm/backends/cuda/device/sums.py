"""Sums in float64, also for float32 networks: of the loss, and the norm of the gradient.

They are added up in an order that their length alone decides: every thread adds up its share, the
threads of a block add up theirs in pairs, and so do the blocks in a last launch. The kernels here
and `updates.settle` are the only ones of a float32 network with double-precision instructions.
"""

import math

import numpy as np
from numba.core import types

from numlstm.backends.cuda.device.compile import kernel, kernel_of
from numlstm.backends.cuda.device.memory import THREADS, empty, launched, over_elements
from numlstm.backends.cuda.device.target import cuda
from numlstm.cell.elementary import compilable, like

EACH = 8  # terms of a thread, before there is more than one block
# bytes of shared memory; a static array is not always one for all threads in the simulator
SCRATCH = 8 * THREADS


def total(terms):
    """The sum of a vector (n,), on the device: float64 (1,)."""
    return _added(terms, root=False)


def norm(gradient, free):
    """Euclidean norm of a vector (n,), zero where `free` (n,) is 0, on the device: float64 (1,).

    An empty `free` takes every entry.
    """
    parts = empty(_blocks(gradient.size), np.float64)
    launched(sum_squares, parts.size, THREADS, SCRATCH)(gradient, free, parts)
    return _added(parts, root=True)


def in_type(numbers, dtype):
    """A vector in float64 (n,), rounded to the type of a network."""
    if numbers.dtype == dtype:
        return numbers
    rounded = empty(numbers.size, dtype)
    over_elements(round_numbers, numbers.size, numbers, rounded)
    return rounded


def _added(terms, root: bool):
    """The sum of a vector (n,), or its root."""
    parts = empty(_blocks(terms.size), np.float64)
    last = parts.size == 1
    launched(sum_terms, parts.size, THREADS, SCRATCH)(terms, root and last, parts)
    return parts if last else _added(parts, root)


def _blocks(count: int) -> int:
    """How many parts a sum is cut into; one thread of the last block for each."""
    return max(1, min(THREADS, -(-count // (THREADS * EACH))))


@kernel_of(THREADS)
def sum_terms(terms, root, parts):
    """parts[block] = sum of the block's terms, or its root. terms (n,), parts (blocks,)."""
    shared = cuda.shared.array(0, types.float64)
    own = 0.0
    for i in range(cuda.grid(1), terms.shape[0], cuda.gridsize(1)):
        own += float(terms[i])
    added = add_up(own, shared)
    if cuda.threadIdx.x == 0:
        parts[cuda.blockIdx.x] = math.sqrt(added) if root else added


@kernel_of(THREADS)
def sum_squares(gradient, free, parts):
    """parts[block] = sum of gradient^2 where free. gradient (n,), free (n,) or (0,)."""
    shared = cuda.shared.array(0, types.float64)
    own = 0.0
    for i in range(cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
        if free.shape[0] == 0 or free[i] != 0:
            own += float(gradient[i]) * float(gradient[i])
    added = add_up(own, shared)
    if cuda.threadIdx.x == 0:
        parts[cuda.blockIdx.x] = added


@compilable()
def add_up(own, shared):
    """The sum of what the threads of a block have, in pairs. shared (THREADS,) is scratch."""
    thread, pairs = cuda.threadIdx.x, THREADS // 2
    shared[thread] = own
    cuda.syncthreads()
    while pairs > 0:
        if thread < pairs:
            shared[thread] += shared[thread + pairs]
        cuda.syncthreads()
        pairs //= 2
    return shared[0]


@kernel
def round_numbers(numbers, rounded):
    """rounded = numbers, in another type. Both (n,)."""
    for i in range(cuda.grid(1), numbers.shape[0], cuda.gridsize(1)):
        rounded[i] = like(rounded[i], numbers[i])

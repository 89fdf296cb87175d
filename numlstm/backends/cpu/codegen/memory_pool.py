"""A pool of memory: large arrays that are gone, kept for the next one.

Getting fresh pages from the system takes as long as filling them: a tenth of a pass over a long
batch.
"""

import math
import weakref
from itertools import count

import numpy as np

from numlstm.backends.cpu.codegen.packing import FEW, empty

LARGE = 2**18  # bytes; less is kept by the C library, even in a thread of its own
MOST_KEPT = 2**29  # bytes in all

_kept: dict[int, np.ndarray] = {}  # oldest first
_keys = count()


class _Loan:
    """Memory that returns to the pool once the last array in it is gone."""

    def __init__(self, memory: np.ndarray):
        self.__array_interface__ = memory.__array_interface__
        weakref.finalize(self, _keep, memory).atexit = False


def _keep(memory: np.ndarray) -> None:
    _kept[next(_keys)] = memory
    while sum(kept.nbytes for kept in _kept.copy().values()) > MOST_KEPT:
        _kept.pop(min(_kept.copy(), default=-1), None)


def from_pool(shape: tuple, dtype) -> np.ndarray:
    """An uninitialised array from the pool if any memory there fits, else a new one."""
    count = math.prod(shape)
    if count < FEW:
        return np.empty(shape, dtype)
    needed = count * np.dtype(dtype).itemsize
    if needed < LARGE:
        return empty(shape, dtype)
    for key, memory in _kept.copy().items():
        # the second look: another thread may have been faster
        if needed <= memory.nbytes <= 2 * needed and _kept.pop(key, None) is not None:
            break
    else:
        memory = empty((needed,), np.uint8)
    return np.asarray(_Loan(memory))[:needed].view(dtype).reshape(shape)

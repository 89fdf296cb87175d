"""The names of `driver.py` in Numba's simulator: memory is NumPy's, a graph is a function."""

import numpy as np

from numlstm.backends.cuda.device.target import cuda

FakeCUDAArray = type(cuda.to_device(np.zeros(1)))


def new_stream():
    """A stream; the simulator has one."""
    return 0


def new_block(size: int, stream):
    """So many bytes, until the last reference to them is gone."""
    return np.empty(size, np.uint8)


def free_memory() -> float:
    """Bytes that may still be had: of the simulator's nobody knows."""
    return np.inf


class _Loan:
    def __init__(self, owner, block):
        self.owner, self.__array_interface__ = owner, block.__array_interface__


def array_in(block, shape, dtype, stream, owner):
    """An array in a block; as long as it or a view of it lives, so does the owner."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.asarray(_Loan(owner, block))[:size]
    return FakeCUDAArray(memory.view(dtype).reshape(shape))


def transposed(matrix):
    """The same memory, seen the other way round."""
    return matrix.T


def is_on_device(array) -> bool:
    """Whether a value is an array of this backend."""
    return isinstance(array, FakeCUDAArray)


def as_ours(array, stream):
    """An array of the GPU's memory, whosever it is, as one of this backend's."""
    return array


def lent_by(array, stream):
    """An array of this backend's as others read it, once the stream has made it."""
    return array


class Graph:
    """The launches of a function, repeated in the simulator by calling it."""

    def __init__(self, function, stream):
        self.launch = function

"""Memory of the device, and launches: everything that the backend does goes through one stream."""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from numlstm.backends import BackendError
from numlstm.backends.cuda.device.compile import kernel
from numlstm.backends.cuda.device.target import SIMULATED, cuda, launch

driver: Any = import_module(f"{__package__}.{'simulator' if SIMULATED else 'driver'}")

THREADS, BLOCKS = (2, 2) if SIMULATED else (256, 1024)  # of kernels over all elements of an array


# one thread at a time: what another one allocates or launches is not for a graph that is captured
turn = threading.RLock()


@lru_cache(maxsize=1)
def stream():
    """The stream of all launches and copies."""
    return driver.new_stream()


# --- memory ---------------------------------------------------------------------------------------


class Arena:
    """Blocks of memory for a graph: what is given back is given out again, to nobody else."""

    def __init__(self):
        self._free: dict[int, list] = {}

    def take(self, size: int):
        """(block, owner): the block is free again once the owner is gone."""
        free = self._free.setdefault(size, [])
        block, owner = free.pop() if free else driver.new_block(size, stream()), _Owner()
        weakref.finalize(owner, free.append, block).atexit = False
        return block, owner


class _Owner:
    """Whoever refers to it, needs a block."""


_arena: Arena | None = None


@contextmanager
def inside(arena: Arena) -> Iterator[None]:
    """Everything that is allocated here is in the arena."""
    global _arena
    with turn:
        _arena = arena
        try:
            yield
        finally:
            _arena = None


@contextmanager
def _in_words():
    """An error that says what to do where the device has too little memory."""
    try:
        yield
    except Exception as error:
        if "out_of_memory" not in str(error).lower().replace(" ", "_"):
            raise
        raise BackendError(
            "the GPU has too little memory for this: pass smaller batches or a smaller bptt_steps, "
            'or backend="cpu"'
        ) from error


def empty(shape, dtype):
    """Memory in which anything may stand."""
    shape = (shape,) if isinstance(shape, int) else tuple(map(int, shape))
    with turn, _in_words():
        return allocate(shape, np.dtype(dtype))


def allocate(shape: tuple[int, ...], dtype: np.dtype):
    """An array of the pool, or of the arena in which we are."""
    size = int(np.prod(shape)) * dtype.itemsize
    if size == 0:
        return cuda.device_array(shape, dtype)
    if _arena is not None:
        block, owner = _arena.take(size)
    else:
        block = owner = driver.new_block(size, stream())
    return driver.array_in(block, shape, dtype, stream(), owner)


def on_device(array, dtype=None):
    """A C-contiguous copy on the device, in its own type or in another one."""
    array = np.require(array, dtype, "C")
    array = array.astype(np.uint8) if array.dtype == bool else array
    copy = empty(array.shape, array.dtype)
    send(array, copy)
    return copy


def send(array: np.ndarray, target) -> None:
    """From NumPy's memory to the device's, both of the same shape and type."""
    with turn:
        if target.size:
            target.copy_to_device(array, stream=stream())


def on_host(array) -> np.ndarray:
    """A copy in NumPy's memory."""
    with turn:
        copy = array.copy_to_host(stream=stream())
        if not SIMULATED:
            stream().synchronize()
    return copy


def full(shape, value: float, dtype):
    """The same number everywhere."""
    array = empty(shape, dtype)
    over_elements(fill, array.size, flat(array), array.dtype.type(value))
    return array


def zeros(shape, dtype):
    """Memory of zeros."""
    return full(shape, 0.0, dtype)


@lru_cache(maxsize=32)
def nothing(dtype: str, dimensions: int):
    """An empty array, for what is not there."""
    return empty((0,) * dimensions, dtype)


def flat(array):
    """The array as a vector, in the same memory."""
    return array.reshape(array.size)


def as_matrix(array):
    """(N, ...) as (N, n)."""
    rows = array.shape[0]
    return array.reshape((rows, array.size // max(1, rows)))


def as_steps(array):
    """(B, T, ...) as (B, T, n)."""
    batch, steps = array.shape[:2]
    return array.reshape((batch, steps, array.size // max(1, batch * steps)))


# --- launches -------------------------------------------------------------------------------------


def launched(kernel, grid, threads: int, shared_memory: int = 0) -> Callable[..., None]:
    """The kernel as a function of its arguments."""

    def on_stream(*arguments) -> None:
        with turn:
            launch(kernel, grid, threads, stream(), shared_memory, arguments)

    return on_stream


def over_elements(kernel, count: int, *arguments) -> None:
    """Launch a kernel that goes over so many elements, however many threads it gets."""
    if count > 0:
        launched(kernel, min(BLOCKS, -(-count // THREADS)), THREADS)(*arguments)


@kernel
def fill(array, value):
    """array (n,) = value."""
    for i in range(cuda.grid(1), array.shape[0], cuda.gridsize(1)):
        array[i] = value

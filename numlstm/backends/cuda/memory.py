"""Memory of the device, and launches: everything that the backend does goes through one stream."""

from collections.abc import Callable
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

from numlstm.backends import BackendError
from numlstm.backends.cuda.target import SIMULATED, configured, cuda
from numlstm.elementary import like

THREADS, BLOCKS = (2, 2) if SIMULATED else (256, 1024)  # of kernels over all elements of an array


@lru_cache(maxsize=1)
def stream():
    """The stream of all launches and copies; it waits for the default stream, and that for it."""
    return 0 if SIMULATED else cuda.stream()


# --- memory ---------------------------------------------------------------------------------------


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
    with _in_words():
        return allocate(shape, dtype)


def allocate(shape, dtype):
    """An array of the stream."""
    return cuda.device_array(shape, dtype, stream=stream())


def on_device(array, dtype=None):
    """A C-contiguous copy on the device, in its own type or in another one."""
    array = np.require(array, dtype, "C")
    copy = empty(array.shape, array.dtype)
    if copy.size:
        copy.copy_to_device(array, stream=stream())
    return copy


def on_host(array) -> np.ndarray:
    """A copy in NumPy's memory."""
    return array.copy_to_host(stream=stream())


def zeros(shape, dtype):
    """Memory of zeros."""
    array = empty(shape, dtype)
    over_elements(clear, array.size, flat(array))
    return array


def flat(array):
    """The array as a vector, in the same memory."""
    return array.reshape(array.size)


# --- launches -------------------------------------------------------------------------------------


def launched(kernel, grid, threads: int, shared_memory: int = 0) -> Callable[..., None]:
    """The kernel as a function of its arguments."""
    return configured(kernel, grid, threads, stream(), shared_memory)


def over_elements(kernel, count: int, *arguments) -> None:
    """Launch a kernel that goes over so many elements, however many threads it gets."""
    if count > 0:
        launched(kernel, min(BLOCKS, -(-count // THREADS)), THREADS)(*arguments)


@cuda.jit
def clear(array):
    """array (n,) = 0."""
    for i in range(cuda.grid(1), array.shape[0], cuda.gridsize(1)):
        array[i] = like(array[i], 0.0)

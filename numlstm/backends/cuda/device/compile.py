"""How kernels are compiled, and that their machine code is kept between processes.

`numlstm.utils.disk_cache` says where and for how long; numba-cuda's own cache looks only at the
file that defines a kernel.
"""

import pickle
from functools import cache
from importlib.metadata import version

import numba
from numba.core import config, serialize
from numba.core.caching import NullCache
from numba.misc.appdirs import user_cache_dir

from numlstm.backends.cuda.device.target import SIMULATED, cuda, indices_as_given
from numlstm.utils import disk_cache

SOURCES = "architecture", "cell", "backends/cuda"  # what kernels are made of


def kernel(function):
    """The decorator of kernels, whose machine code is kept on disk."""
    return _kept(cuda.jit(function))


def kernel_of(threads: int):
    """The decorator of kernels whose blocks have at most so many threads."""
    if SIMULATED:
        return cuda.jit
    # at least one block per processor: the registers that this leaves, and not fewer
    jit = cuda.jit(launch_bounds=(threads, 1))
    return lambda function: _kept(jit(function))


def _kept(dispatcher):
    """The same dispatcher, with machine code that other processes compiled."""
    if not SIMULATED:
        dispatcher._cache = DiskCache(dispatcher.py_func)
        dispatcher.compile = _compiling(dispatcher.compile)
    return dispatcher


def _compiling(compile_for):
    """The dispatcher's method, with indices as they are given."""

    def compiled(signature):
        with indices_as_given():
            return compile_for(signature)

    return compiled


class DiskCache(NullCache):
    """Machine code by function, what it closes over, argument types, GPU, options and source."""

    def __init__(self, function):
        self._function = function

    def load_overload(self, sig, target_context):
        """The compiled kernel for a signature, or None if it is not to be had."""
        try:
            payload = _store().read(self._entry(sig))
            if payload is None:
                return None
            return cuda.dispatcher._Kernel._rebuild(**pickle.loads(payload))
        except Exception:  # whatever is wrong with a cache, compiling again cures it
            return None

    def save_overload(self, sig, data):
        """Keep a compiled kernel."""
        try:
            _store().write(self._entry(sig), serialize.dumps(data._reduce_states()))
        except Exception:  # a cache that cannot be written costs time, nothing else
            return

    def _entry(self, sig) -> str:
        function = self._function
        closed = [_in_words(cell.cell_contents) for cell in function.__closure__ or ()]
        capability = cuda.get_current_device().compute_capability
        name = f"{function.__module__}.{function.__qualname__.replace('<locals>.', '')}"
        key = sig, closed, capability, disk_cache.options(config)
        return disk_cache.name(name, key)


def _in_words(value) -> str:
    """A value that a kernel closes over (number, named tuple, type, function) as part of a key."""
    return getattr(value, "__qualname__", None) or repr(value)


@cache
def _store() -> disk_cache.Store:
    """The store for this version of the source and of the compiler."""
    versions = (numba.__version__, version("numba-cuda"), version("cuda-core"))
    usual = user_cache_dir("numlstm", appauthor=False)
    return disk_cache.store(usual, versions, SOURCES)

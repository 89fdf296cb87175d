"""How kernels are compiled, and where the machine code is kept between processes.

`kernel` is for functions that other kernels call, `entry` for those that Python calls. Only entries
are cached, as `numlstm.utils.disk_cache` says; Numba's own cache looks only at the file that
defines a function.
"""

import pickle
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import serialize
from numba.core.caching import NullCache
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.core.types.misc import unliteral
from numba.misc.appdirs import user_cache_dir

from numlstm.utils import disk_cache

SOURCES = "architecture", "cell", "backends/cpu", "stepping"  # what kernels are made of

# error_model="numpy": division by zero gives inf or nan, so kernels have nothing to raise
_options = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}


def kernel(function: Callable, *, allocates: bool = False) -> Callable:
    """A function that other kernels call; compiled once for a number, constant or not."""
    options = _options | {"_nrt": allocates, "no_cpython_wrapper": True}
    dispatcher = numba.njit(function, **options)
    of_types = dispatcher.get_call_template

    def get_call_template(args, kws):
        return of_types([unliteral(arg) for arg in args], kws)

    dispatcher.get_call_template = get_call_template
    return dispatcher


kernel_that_allocates = partial(kernel, allocates=True)


def entry(function: Callable | None = None, *, allocates: bool = False) -> Callable:
    """A kernel that Python calls, with its machine code kept on disk.

    Arrays that go together come as a plain tuple, and the kernel gives them their names: to read
    the type of a NamedTuple costs a call 0.5 us, a third of all its arguments.
    """
    if function is None:
        return partial(entry, allocates=allocates)
    dispatcher = numba.njit(function, **(_options | {"_nrt": allocates}))
    dispatcher._cache = DiskCache(f"{function.__module__}.{function.__qualname__}")
    return dispatcher


def callback(function: Callable, signature, *, parallel: bool) -> int:
    """The address of a function compiled for C callers, with its machine code kept on disk."""
    options = {"nopython": True, "nogil": True, "parallel": parallel}
    compiled: Any = CFunc(function, (signature.args, signature.return_type), {}, options)
    compiled._cache = DiskCache(f"{function.__module__}.{function.__qualname__}")
    compiled.compile()
    _kept.append(compiled)  # the address is good for as long as its owner lives
    return compiled.address


_kept: list[Any] = []


class DiskCache(NullCache):
    """Machine code by function, argument types, processor and source; any fault means recompile."""

    def __init__(self, name: str):
        self.name = name

    def load_overload(self, sig, target_context):
        """The compiled function for a signature, or None if it is not to be had."""
        rtsys.initialize(target_context)  # what machine code calls when it allocates
        try:
            payload = disk_cache.read(self._path(sig, target_context))
            return payload and CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:  # whatever is wrong with a cache, compiling again cures it
            return None

    def save_overload(self, sig, data):
        """Keep a compiled function."""
        try:
            disk_cache.write(self._path(sig, data.target_context), serialize.dumps(data._reduce()))
        except Exception:  # a cache that cannot be written costs time, nothing else
            return

    def _path(self, sig, target_context) -> Path:
        return _folder() / disk_cache.name(self.name, (sig, target_context.codegen().magic_tuple()))


@cache
def _folder() -> Path:
    """The cache folder for this version of the source and of the compiler."""
    usual = user_cache_dir("numlstm", appauthor=False)
    versions = numba.__version__, llvmlite.__version__
    return disk_cache.folder(usual, versions, SOURCES)

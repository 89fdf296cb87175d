"""How kernels are compiled, and where the machine code is kept between processes.

`kernel` is for functions that other kernels call, `entry` for those that Python calls. Only entries
are cached, as `numlstm.utils.disk_cache` says; Numba's own cache looks only at the file that
defines a function.
"""

import pickle
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import llvmlite
import numba
from numba.core import config, serialize
from numba.core.caching import NullCache
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.runtime import rtsys
from numba.core.types.misc import unliteral
from numba.misc.appdirs import user_cache_dir

from numlstm.backends import DisabledError
from numlstm.utils import disk_cache, interruptible

if config.DISABLE_JIT:
    raise DisabledError(
        'backend "cpu" cannot run: NUMBA_DISABLE_JIT switches Numba\'s compiler off: there are no '
        "compiled kernels, no steps for compiled code, no rollout, no scheduled sampling. Unset "
        'it, or do without these and pass backend="reference", which is plain NumPy and slow'
    )

interruptible.held_in_forks.append(global_compiler_lock)

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
    """Machine code by function, argument types, processor, options and source.

    Any fault means that it is compiled again.
    """

    def __init__(self, name: str):
        self.name = name

    def load_overload(self, sig, target_context):
        """The compiled function for a signature, or None if it is not to be had."""
        rtsys.initialize(target_context)  # what machine code calls when it allocates
        try:
            payload = _store().read(self._entry(sig, target_context))
            return payload and CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:  # whatever is wrong with a cache, compiling again cures it
            return None

    def save_overload(self, sig, data):
        """Keep a compiled function."""
        try:
            entry = self._entry(sig, data.target_context)
            _store().write(entry, serialize.dumps(data._reduce()))
        except Exception:  # a cache that cannot be written costs time, nothing else
            return

    def _entry(self, sig, target_context) -> str:
        processor = target_context.codegen().magic_tuple()
        return disk_cache.name(self.name, (sig, processor, disk_cache.options(config)))


@cache
def _store() -> disk_cache.Store:
    """The store for this version of the source and of the compiler."""
    usual = user_cache_dir("numlstm", appauthor=False)
    versions = numba.__version__, llvmlite.__version__
    return disk_cache.store(usual, versions, SOURCES)

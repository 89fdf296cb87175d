"""How kernels are compiled, and where the machine code is kept between processes.

`kernel` is for what other kernels call, `entry` for what Python calls. Only entries are cached, in
a private folder of our own: the folder of the environment variable NUMLSTM_CACHE_DIR, or the
user's cache folder. Numba's own cache looks only at the file that defines a function; a kernel
here is spread over several files, so its key is a digest of all of them.
"""

import hashlib
import os
import pickle
import sys
import tempfile
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

import numlstm

# error_model="numpy": division by zero gives inf or nan, so kernels have nothing to raise
_options = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}


def kernel(function: Callable, *, allocates: bool = False) -> Callable:
    """What other kernels call; compiled once for a number, whether or not it is a constant."""
    options = _options | {"_nrt": allocates, "no_cpython_wrapper": True}
    dispatcher = numba.njit(function, **options)
    of_types = dispatcher.get_call_template

    def get_call_template(args, kws):
        return of_types([unliteral(arg) for arg in args], kws)

    dispatcher.get_call_template = get_call_template
    return dispatcher


kernel_that_allocates = partial(kernel, allocates=True)


def entry(function: Callable | None = None, *, allocates: bool = False) -> Callable:
    """A kernel that Python calls, with its machine code kept on disk."""
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
            path = self._path(sig, target_context)
            if not _is_private(path.parent):
                return None
            content = path.read_bytes()
            digest, payload = content[:32], content[32:]
            if hashlib.sha256(payload).digest() != digest:
                return None
            return CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:  # whatever is wrong with a cache, compiling again cures it
            return None

    def save_overload(self, sig, data):
        """Keep a compiled function; written beside its place and moved there, so never half."""
        try:
            path = self._path(sig, data.target_context)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_private(path.parent):
                return
            payload = serialize.dumps(data._reduce())
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(hashlib.sha256(payload).digest() + payload)
            os.replace(file.name, path)
        except Exception:  # a cache that cannot be written costs time, nothing else
            return

    def _path(self, sig, target_context) -> Path:
        key = repr((sig, target_context.codegen().magic_tuple()))
        digest = hashlib.sha256(key.encode()).hexdigest()[:24]
        return _folder() / f"{self.name.removeprefix('numlstm.backends.')}-{digest}"


@cache
def _folder() -> Path:
    """The cache folder for this version of the source and of the compiler."""
    stamp = hashlib.sha256(repr((sys.version, numba.__version__, llvmlite.__version__)).encode())
    package = Path(numlstm.__file__).parent
    kernels = sorted(Path(__file__).parent.glob("*.py"))
    shared = (package / f"{name}.py" for name in ("activations", "cell", "elementary", "families"))
    for path in (*shared, *kernels):
        stamp.update(path.read_bytes())
    root = os.environ.get("NUMLSTM_CACHE_DIR") or user_cache_dir("numlstm", appauthor=False)
    return Path(root) / f"{numlstm.__version__}-{stamp.hexdigest()[:16]}"


def _is_private(folder: Path) -> bool:
    """Whether nobody else can have put a file there: it is ours, and only we may write."""
    if not hasattr(os, "getuid"):
        return True
    status = folder.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o022

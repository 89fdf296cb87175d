"""Arrays between two pages that nobody may touch, and the CPU kernels at work in such arrays.

Whatever an array is told to begin or to end at, one element beyond is a page without rights: reading
it ends the process with SIGSEGV. Of a layer's arrays each one is guarded by itself: those that are
parts of one block, as the pieces of a tape or of a net, are not guarded from each other.
"""

import ctypes
import mmap
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core.ccallback import CFunc
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python, rtsys

from helpers.harness import require_bits
from numlstm.backends.cpu.codegen import memory_pool, packing, parallel
from numlstm.backends.cpu.codegen.compile import DiskCache
from numlstm.backends.cpu.codegen.vectors import primitive
from numlstm.stepping import memory as net_memory
from numlstm.stepping import stepper
from numlstm.stepping.kernels import step, step_derivatives

PAGE = mmap.PAGESIZE
SIDES = BEGIN, END = "begin", "end"  # which end of an array lies at a guard page
NO_RIGHTS, READ_AND_WRITE = 0, 3
POISON = 0xFF  # of numbers, NaN


def guarded(array: np.ndarray, side: str, *, beyond: int = 0) -> np.ndarray:
    """A copy in guarded memory.

    With `beyond` so many elements of it, at the side, lie in the guard page: a proof that they are
    touched.
    """
    room = -(-array.nbytes // PAGE) * PAGE
    memory = mmap.mmap(-1, room + 2 * PAGE)
    bytes_of = np.frombuffer(memory, np.uint8)
    bytes_of[PAGE : PAGE + room] = POISON
    place = PAGE if side == BEGIN else PAGE + room - array.nbytes
    target = place + (-beyond if side == BEGIN else beyond) * array.itemsize
    copy = np.ndarray(array.shape, array.dtype, memory, target)
    skip = beyond * array.itemsize
    source = np.frombuffer(array.tobytes(), np.uint8)
    kept = source[skip:] if side == BEGIN else source[: len(source) - skip]
    bytes_of[place + (0 if side == BEGIN else skip) :][: len(kept)] = kept
    copy.flags.writeable = array.flags.writeable
    for page in (0, PAGE + room):
        _protect(bytes_of.ctypes.data + page)
    return copy


def _protect(address: int) -> None:
    """Take all rights from a page."""
    if _libc().mprotect(address, PAGE, NO_RIGHTS):
        raise OSError("mprotect failed")


@cache
def _libc() -> ctypes.CDLL:
    """The C library, its functions for memory with the types of their arguments."""
    libc, word, number = ctypes.CDLL(None), ctypes.c_ssize_t, ctypes.c_int
    libc.mmap.restype, libc.mmap.argtypes = word, [word, word, number, number, number, word]
    libc.munmap.restype, libc.munmap.argtypes = number, [word, word]
    libc.mprotect.restype, libc.mprotect.argtypes = number, [word, word, number]
    return libc


class Moved:
    """Guarded copies of a kernel's arguments; what is given twice is one array there too."""

    def __init__(self, side: str, beyond: dict[int, int] | None = None):
        self.side = side
        self.beyond = beyond or {}  # elements in the guard page, by the number of the array
        self.pairs: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}  # (original, copy)

    def __call__(self, value: Any) -> Any:
        if isinstance(value, tuple):
            parts = map(self, value)
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        if not isinstance(value, np.ndarray):
            return value
        assert value.flags.carray or not value.flags.writeable, "kernels read memory in order"
        key = value.ctypes.data, value.shape, value.dtype
        if key not in self.pairs:
            beyond = self.beyond.get(len(self.pairs), 0)
            self.pairs[key] = value, guarded(value, self.side, beyond=beyond)
        return self.pairs[key][1]


class Kernels:
    """Runs kernels in guarded memory, both ways, and then as they were meant to run."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()  # (name of a kernel, dtype)
        self.beyond: dict[int, int] = {}

    def run(self, kernel: Callable, function: Callable, arguments: tuple) -> Any:
        """function(*arguments), which calls the kernel: the same bits wherever its arrays are."""
        every = []
        for side in SIDES:
            every.append(moved := Moved(side, self.beyond))
            allocations[0] = side == END
            function(*moved(arguments))
        result = function(*arguments)
        for moved in every:
            for original, copy in moved.pairs.values():
                require_bits(copy, original)
        kinds = {a.dtype.name for a, _ in every[0].pairs.values() if a.dtype.kind == "f"}
        dual = any(type(a).__name__ == "DualArray" for a in _tuples(arguments))
        for kind in kinds:
            self.seen[name_of(kernel), kind + " dual" * dual] += 1
        return result

    def call(self, kernel: Callable, shards: int, work: float, *arguments: Any) -> Any:
        """In place of `parallel.call`."""
        return self.run(kernel, partial(parallel.call, kernel, shards, work), arguments)


def _tuples(value: Any):
    if isinstance(value, tuple):
        yield value
        for part in value:
            yield from _tuples(part)


def name_of(kernel: Any) -> str:
    """The name under which a kernel's machine code is kept."""
    return kernel._cache.name.removeprefix("numlstm.")


def entries() -> set[str]:
    """Names of all kernels that Python calls, of the modules imported so far."""
    of_cpu = ("numlstm.backends.cpu", "numlstm.stepping")
    modules = [m for name, m in list(sys.modules.items()) if name.startswith(of_cpu)]
    found = [value for module in modules for value in vars(module).values()]
    return {name_of(one) for one in found if isinstance(getattr(one, "_cache", None), DiskCache)}


@contextmanager
def guarded_kernels():
    """Every kernel that Python calls runs by way of the `Kernels` that are yielded."""
    kernels, changed = Kernels(), []

    def change(module, name, value):
        changed.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    for module in [m for name, m in list(sys.modules.items()) if name.startswith("numlstm.")]:
        if module is not parallel and vars(module).get("call") is parallel.call:
            change(module, "call", kernels.call)
    step_once = stepper.step_once
    change(stepper, "step_once", lambda *given: kernels.run(step_once, step_once, given))
    for module in (packing, memory_pool):  # arrays of exactly the size that was asked for
        change(module, "FEW", sys.maxsize)
    try:
        yield kernels
    finally:
        for module, name, value in reversed(changed):
            setattr(module, name, value)


@contextmanager
def guarded_nets(side: str):
    """The memory of a `Stepper` is guarded too, for loops that get its address."""
    usual = net_memory._aligned
    net_memory._aligned = lambda count: guarded(np.zeros(count, np.int64), side)
    try:
        yield
    finally:
        net_memory._aligned = usual


# --- scratch of a step -----------------------------------------------------------------------------

_regions: list[np.ndarray] = []  # one for each place in compiled code that reserves scratch


def guard_scratch() -> None:
    """Steps take their scratch from guarded memory and not from the stack, from now on.

    They are compiled for that, which takes a while, and are good for one thread.
    """
    for module in (step, step_derivatives):
        module.reserve = reserve
    net_memory.callback = _uncached_callback


def _uncached_callback(function: Callable, signature: Any, *, parallel: bool) -> int:
    compiled = CFunc(function, (signature.args, signature.return_type), {}, {"nopython": True})
    compiled.compile()
    _kept.append(compiled)
    return compiled.address


@primitive
def reserve(typingctx, pointer, count):
    """In place of the one that `numlstm.stepping.kernels.pointers` has."""

    def codegen(context, builder, sig, args):
        size = context.get_abi_sizeof(context.get_value_type(pointer.dtype))
        region = guarded(np.zeros(2 * net_memory.STACK, np.uint8), END)  # whole pages: at both ends
        _regions.append(region)
        word = ir.IntType(64)
        switch = builder.inttoptr(word(allocations.ctypes.data), word.as_pointer())
        free = builder.sub(word(region.nbytes), builder.mul(args[1], word(size)))
        start = builder.add(word(region.ctypes.data), builder.mul(builder.load(switch), free))
        return builder.inttoptr(start, context.get_value_type(sig.return_type))

    return pointer(pointer, types.intp), codegen


# --- memory that kernels allocate -----------------------------------------------------------------

# whether what kernels allocate ends at a guard page (1) or begins at one, and how often they did
allocations = np.zeros(2, np.int64)


def guard_allocations() -> None:
    """What kernels allocate is guarded from now on.

    For processes of their own, before any kernel is loaded: there is no way back.
    """
    rtsys.initialize(cpu_target.target_context)
    address = _allocator().address
    for name in ("NRT_MemInfo_alloc_aligned", "NRT_MemInfo_alloc_safe_aligned"):
        binding.add_symbol(name, address)


class _Api(ctypes.Structure):
    """What Numba lets others do with its counted memory: NRT_api_functions."""

    _fields_ = [
        (name, ctypes.c_void_p)
        for name in ("allocate", "allocate_external", "manage_memory", "acquire", "release", "data")
    ]


@cache
def _allocator() -> Any:
    """(size, alignment) -> counted memory: header page, guard page, data, guard page."""
    manage, mapped, unmapped, protected = _functions()
    flags, switch = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, allocations.ctypes.data

    @numba.cfunc(types.void(types.intp), nopython=True)
    def free(data):
        first = data // PAGE * PAGE - 2 * PAGE  # the header is two pages before the data's page
        unmapped(first, numba.carray(_pointer(first), 1)[0])

    release = free.address

    @numba.cfunc(types.intp(types.uintp, types.uint32), nopython=True)
    def allocate(size, alignment):
        size = max(types.intp(size), 8)
        room = (size + PAGE - 1) // PAGE * PAGE
        first = mapped(0, room + 3 * PAGE, READ_AND_WRITE, flags, -1, 0)
        numba.carray(_pointer(first), 1)[0] = room + 3 * PAGE
        data = numba.carray(_pointer(first + 2 * PAGE), room // 8)
        data[:] = -1
        protected(first + PAGE, PAGE, NO_RIGHTS)
        protected(first + 2 * PAGE + room, PAGE, NO_RIGHTS)
        counts = numba.carray(_pointer(switch), 2)
        counts[1] += 1
        return manage(first + 2 * PAGE + counts[0] * (room - size), release)

    _kept.extend([free, allocate])
    return allocate


_kept: list[Any] = []


@numba.extending.intrinsic
def _pointer(typingctx, address):
    """The address as a pointer to integers."""
    result = types.CPointer(types.int64)

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_value_type(result))

    return result(types.intp), codegen


def _functions() -> tuple:
    """manage_memory of Numba's runtime, mmap, munmap and mprotect, for compiled code."""
    word, libc = ctypes.c_ssize_t, _libc()
    api = ctypes.CFUNCTYPE(ctypes.POINTER(_Api))(_nrt_python.c_helpers["get_api"])().contents
    manage = ctypes.CFUNCTYPE(word, word, word)(api.manage_memory)
    return manage, libc.mmap, libc.munmap, libc.mprotect

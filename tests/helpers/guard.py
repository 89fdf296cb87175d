"""Arrays between two pages that nobody may touch, and the CPU kernels at work in such arrays.

One element beyond the end, or before the beginning, is a page without rights: reading it ends the
process with SIGSEGV. Every array that a kernel is given is copied to such a place, and what it
allocates is there too, and gone from the process when it is freed. What are parts of one array, as
the pieces of a tape or of a net, are not guarded from each other.
"""

import ctypes
import faulthandler
import mmap
import os
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache, partial
from signal import SIGBUS, SIGSEGV
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
from numlstm.backends.cpu.codegen.vectors import at, get, primitive
from numlstm.backends.cpu.layer import head
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

    def run(self, kernel: Callable, function: Callable, arguments: tuple) -> Any:
        """function(*arguments), which calls the kernel: the same bits wherever its arrays are."""
        every = []
        for side in SIDES:
            every.append(moved := Moved(side))
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


class Probe(Kernels):
    """Kernels that have one array after the other an element short, in forks, and how they end.

    With that element in the guard page, a kernel that touches it does not survive: a proof that the
    guard is on duty for that very array.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fates: dict[tuple[str, int, str], bool] = {}  # (kernel, array, side) -> whether caught

    def run(self, kernel: Callable, function: Callable, arguments: tuple) -> Any:
        (whole := Moved(END))(arguments)
        for number, (array, _) in enumerate(whole.pairs.values()):
            for side in SIDES if array.size else ():
                moved = Moved(side, {number: 1})
                key = name_of(kernel), number, side
                ends = is_fatal(lambda moved=moved: function(*moved(arguments)))
                self.fates[key] = self.fates.get(key, False) or ends
        return super().run(kernel, function, arguments)


def is_fatal(function: Callable[[], Any]) -> bool:
    """Whether calling the function touches a guard page: in a fork, whose end is seen."""
    if child := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -SIGSEGV, -SIGBUS), status
        return status != 0
    faulthandler.disable()
    function()
    os._exit(0)


def self_test() -> dict[str, bool]:
    """What must be fatal, and what must not, and whether it is."""
    found = {}
    array = np.arange(9.0)
    for side in SIDES:
        allocations[0], copy = side == END, guarded(array, side)
        first, size = copy.ctypes.data, copy.itemsize
        inside, outside = (
            (first, first - size) if side == BEGIN else (first + 8 * size, first + 9 * size)
        )
        found[f"reading inside, {side}"] = not is_fatal(partial(ctypes.string_at, inside, size))
        found[f"reading, {side}"] = is_fatal(partial(ctypes.string_at, outside, 1))
        found[f"writing, {side}"] = is_fatal(partial(ctypes.memset, outside, 0, 1))
        place, beyond = (0, -1) if side == BEGIN else (8, 9)
        found[f"an allocation, inside, {side}"] = not is_fatal(
            partial(_allocate_and_read, 9, place)
        )
        found[f"an allocation, {side}"] = is_fatal(partial(_allocate_and_read, 9, beyond))
        H, theta, Y = np.ones((4, 3)), np.ones((1, 4)), np.ones((4, 1))
        for name, moved in (
            ("whole", Moved(side)),
            ("H", Moved(side, {0: 1})),
            ("Y", Moved(side, {2: 1})),
        ):
            H_, theta_, Y_ = moved((H, theta, Y))
            given = parallel.serial_driver(), 1, (4, 3, 1, 4), theta_, H_, Y_
            fatal = is_fatal(partial(head.forward_few, *given))
            found[f"a kernel, {name}, {side}"] = fatal == (name != "whole")
    return found


@numba.njit
def _allocate_and_read(size, index):
    array = np.empty(size)
    value = get(at(array, 0), index)
    return value, array  # not gone before it is read: a kernel that did that would end here too


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
def guarded_kernels(kernels: Kernels):
    """Every kernel that Python calls runs by way of these."""
    changed = []

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


# --- scratch of a step ----------------------------------------------------------------------------

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

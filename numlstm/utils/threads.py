"""Whether more threads can be started in this process.

Where the system refuses one, GNU's OpenMP ends the process, and Numba's work queue waits for ever.
It refuses under limits of address space, which the stacks take, and of processes.
"""

import contextlib
import ctypes
import mmap
import sys
from collections.abc import Iterator

RESERVE = 2**26  # bytes that must be left beside their stacks: what threads allocate themselves
GATE = 16  # 64-bit integers, more than any sem_t has


def can_start(count: int) -> bool:
    """Whether so many can run at once, as starting them shows; True where that cannot be tried.

    They are the C library's: those of Python would take an arena of memory each, and keep it.
    """
    if sys.platform != "linux":
        return True
    try:
        reserve = mmap.mmap(-1, RESERVE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        return False
    with reserve, _waiting(count) as started:
        return started == count


@contextlib.contextmanager
def _waiting(count: int) -> Iterator[int]:
    """Threads that wait for the end of the block; how many of them there are."""
    libc = ctypes.CDLL(None)
    gate, threads, started = (ctypes.c_uint64 * GATE)(), (ctypes.c_ulong * count)(), 0
    libc.sem_init(gate, 0, 0)
    try:
        for thread in range(count):
            place = ctypes.byref(threads, thread * ctypes.sizeof(ctypes.c_ulong))
            if libc.pthread_create(place, None, libc.sem_wait, gate):
                break
            started += 1
        yield started
    finally:
        for _ in range(started):
            libc.sem_post(gate)
        for handle in threads[:started]:
            libc.pthread_join(ctypes.c_ulong(handle), None)

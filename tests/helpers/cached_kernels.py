"""An entry that calls a kernel, and a callback: prints how many of the two had to be compiled."""

from numba.core.ccallback import CFunc

from numlstm.backends.cpu.codegen import parallel
from numlstm.backends.cpu.codegen.compile import entry, kernel

callbacks = []
compile_one = CFunc._compile_uncached


def counted(self):
    callbacks.append(self)
    return compile_one(self)


CFunc._compile_uncached = counted
twice = kernel(lambda x: 2 * x)


@entry
def six_times(x):
    return twice(x) * 3


result = six_times(7)
assert result == 42, result
parallel.serial_driver()
print(len(callbacks) + sum(six_times.stats.cache_misses.values()))

"""Shards, one after the other or shared among threads: the same machine code, so the same bits.

`for_shards` turns the shard body of an entry into a plain function (shard, context) and hands it to
a driver by address. There are two drivers, a loop and the one `parallel=True` function of the
package; which one runs is decided per call, in `call`.

The parallel driver is entered by one Python thread at a time, because not every threading layer of
Numba allows more; whoever finds it busy runs the serial one. So does every child of a fork: threads
that the parent had running, ours or another library's, did not survive the fork.
"""

import threading
from collections.abc import Callable
from functools import cache

import numba
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic
from numba.np.ufunc import parallel as threading_layer

from numlstm.backends.cpu.codegen.compile import callback
from numlstm.utils import forks, notices, threads

SMALL = 3e5  # multiply-adds below which waking the threads costs more than they save


@intrinsic
def for_shards(typingctx, body, driver, shards, arguments):
    """driver: body(shard, *arguments) for every shard. `driver` is the address of a driver."""
    call = body.get_call_type(typingctx, (types.intp, *arguments.types), {})

    def codegen(context, builder, sig, args):
        _, address, count, values = args
        index, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
        name = builder.module.get_unique_name(f"shard.{builder.function.name}")
        function = ir.Function(
            builder.module, ir.FunctionType(ir.VoidType(), [index, pointer]), name
        )
        function.linkage = "internal"
        inner = ir.IRBuilder(function.append_basic_block())
        shard, packed = function.args
        unpacked = inner.load(inner.bitcast(packed, values.type.as_pointer()))
        each = [inner.extract_value(unpacked, i) for i in range(len(arguments))]
        compiled = body.dispatcher.overloads[call.args]
        context.active_code_library.add_linking_library(compiled.library)
        callee = context.declare_function(builder.module, compiled.fndesc)
        # kernels do not raise, so the status that comes back says nothing
        context.call_conv.call_function(inner, callee, types.none, call.args, [shard, *each])
        inner.ret_void()

        memory = builder.alloca(values.type)
        builder.store(values, memory)
        kind = ir.FunctionType(ir.VoidType(), [index, index, index])
        builder.call(
            builder.inttoptr(address, kind.as_pointer()),
            [count, builder.ptrtoint(function, index), builder.ptrtoint(memory, index)],
        )
        return context.get_dummy_value()

    return types.void(body, types.intp, types.intp, arguments), codegen


@intrinsic
def _call(typingctx, function, shard, context_address):
    """Call the function (shard, context) at an address."""

    def codegen(context, builder, sig, args):
        index, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [index, pointer])
        target = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(target, [args[1], builder.inttoptr(args[2], pointer)])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


def _serial(shards, function, context):
    for shard in range(shards):
        _call(function, shard, context)


def _parallel(shards, function, context):
    for shard in prange(shards):
        _call(function, types.intp(shard), context)


@cache
def _address(function: Callable, parallel: bool) -> int:
    return callback(function, types.void(types.intp, types.intp, types.intp), parallel=parallel)


def serial_driver() -> int:
    """The loop, for kernels that run within a shard."""
    return _address(_serial, False)


_region = threading.Lock()
_here = threading.local()  # .driver: OpenMP has other threads for every thread that calls it


def call(kernel: Callable, shards: int, work: float, *arguments):
    """kernel(driver, *arguments) with the driver to use now; `work` counts multiply-adds."""
    if shards == 1 or work < SMALL or numba.config.NUMBA_NUM_THREADS == 1 or forks.in_child:
        return kernel(serial_driver(), *arguments)
    if not _region.acquire(blocking=False):
        return kernel(serial_driver(), *arguments)
    try:
        if not hasattr(_here, "driver"):
            _here.driver = _driver_here()
        return kernel(_here.driver, *arguments)
    finally:
        _region.release()


def _driver_here() -> int:
    """The parallel driver, or the loop where this thread cannot have others beside it."""
    count = numba.config.NUMBA_NUM_THREADS
    if threads.can_start(count):
        return _parallel_driver()
    _warn(
        f"the system does not start {count} threads, for a limit of memory or of processes. Raise "
        "it, or set NUMBA_NUM_THREADS to what there is room for"
    )
    return serial_driver()


@cache
def _parallel_driver() -> int:
    try:
        threading_layer._launch_threads()
    except ValueError as error:  # what is asked for is unknown or not installed
        reason = str(error).split("\n")[0].rstrip(".")
        _warn(
            f"Numba finds no threads with NUMBA_THREADING_LAYER={numba.config.THREADING_LAYER} "
            f"({reason}). Install what it needs, or leave the variable unset"
        )
        return serial_driver()
    return _address(_parallel, True)


def _warn(reason: str) -> None:
    notices.warn(f"the kernels run in one thread, slower but to the same numbers: {reason}.")

"""numba.cuda, and the primitives of `numlstm.cell.elementary` as its instructions.

The only module that imports numba.cuda: the package numba-cuda, or for the simulator
(NUMBA_ENABLE_CUDASIM=1) whatever Numba brings along.
"""

import importlib.util
import warnings
from contextlib import contextmanager

import numpy as np
from numba.core import config, types

from numlstm.backends import BackendError
from numlstm.cell import elementary

SIMULATED = bool(config.ENABLE_CUDASIM)

if not SIMULATED and importlib.util.find_spec("numba_cuda") is None:
    raise BackendError(
        'backend "cuda" needs the package numba-cuda: install "numlstm[cuda12]" or '
        '"numlstm[cuda13]", for the version of CUDA that nvidia-smi shows'
    )


@contextmanager
def _older_numpy():
    """NumPy 2.5 as numba-cuda 0.30 expects it while it is imported.

    That NumPy has no `row_stack` any more, and deprecates a timedelta64 without a unit, which
    numba-cuda makes once, for its NaT. Users can change neither, so no warning reaches them.
    """
    lacking = not hasattr(np, "row_stack")
    if lacking:
        vars(np)["row_stack"] = np.vstack
    try:
        with warnings.catch_warnings():
            message, module = "The 'generic' unit", r"numba\.cuda\.np\.npdatetime_helpers"
            warnings.filterwarnings("ignore", message, DeprecationWarning, module)
            yield
    finally:
        if lacking:
            del vars(np)["row_stack"]


with _older_numpy():
    from numba import cuda

    if not SIMULATED:
        from numba.cuda.core.compiler_lock import global_compiler_lock
        from numba.cuda.extending import intrinsic, overload
        from numba.cuda.np import arrayobj  # otherwise imported late, without `row_stack`

WITHOUT_ASKING = 48 * 1024  # bytes of shared memory that every kernel may have
WIDTHS = {32: (23, 127), 64: (52, 1023)}  # bits -> bits of the mantissa, bias of the exponent

__all__ = ["SIMULATED", "cuda", "fault", "indices_as_given", "launch", "number_type"]


def fault() -> str | None:
    """The reason why the device cannot run kernels, on one line, or None."""
    if SIMULATED:
        return None
    try:
        if not cuda.is_available():
            return _line(cuda.cuda_error() or "there is no NVIDIA GPU")
        cuda.get_current_device().compute_capability  # noqa: B018
        cuda.to_device(np.zeros(1))
    except Exception as error:  # an old driver, a device in use by others alone: whatever it says
        return _line(str(error) or type(error).__name__)
    return None


def _line(text: str) -> str:
    return " ".join(text.split()).rstrip(".: ")


def number_type(dtype: str) -> types.Float:
    """The type of a kernel's numbers."""
    return types.float32 if dtype == "float32" else types.float64


@contextmanager
def indices_as_given():
    """Compile without what makes -1 the last element: kernels have no such index.

    Where Numba cannot see that, it would take longer than the products in the innermost loops.
    """
    if SIMULATED:
        yield
        return
    with global_compiler_lock:
        usual = arrayobj.fix_integer_index
        arrayobj.fix_integer_index = _as_given
        try:
            yield
        finally:
            arrayobj.fix_integer_index = usual


def _as_given(context, builder, kind, index, size):
    return context.cast(builder, index, kind, types.intp)


if not SIMULATED:  # there the Python of `numlstm.cell.elementary` itself runs
    from llvmlite import ir

    @overload(elementary.fma, strict=False)
    def _fma(a, b, c):
        return lambda a, b, c: cuda.fma(a, b, c)

    @overload(elementary.like, strict=False)
    def _like(x, value):
        kind = x
        return lambda x, value: kind(value)

    @overload(elementary.where, strict=False)
    def _where(condition, a, b):
        return lambda condition, a, b: a if condition else b

    @overload(elementary.noinline, strict=False)
    def _noinline():
        return lambda: None

    @overload(elementary.shift, strict=False)
    def _shift(x):
        value = 1.5 * 2.0 ** WIDTHS[x.bitwidth][0]
        return lambda x: value

    @overload(elementary.smallest_normal, strict=False)
    def _smallest_normal(x):
        value = float(np.finfo(x.name).smallest_normal)
        return lambda x: value

    @overload(elementary.exponent_limit, strict=False)
    def _exponent_limit(x):
        value = 87.0 if x.bitwidth == 32 else 708.0
        return lambda x: value

    @overload(elementary.reduction, strict=False)
    def _reduction(x):
        value = 2.0**-73 if x.bitwidth == 32 else 2.0**-521
        return lambda x: value

    @overload(elementary.expm1_series, strict=False)
    def _expm1_series(r):
        return elementary.series32 if r.bitwidth == 32 else elementary.series64

    @overload(elementary.power_of_two, strict=False)
    def _power_of_two(shifted):
        return lambda shifted: _moved_to_exponent(shifted)

    @intrinsic
    def _moved_to_exponent(typingctx, shifted):
        mantissa, bias = WIDTHS[shifted.bitwidth]

        def codegen(context, builder, sig, args):
            integer = ir.IntType(shifted.bitwidth)
            moved = builder.shl(builder.bitcast(args[0], integer), ir.Constant(integer, mantissa))
            moved = builder.add(moved, ir.Constant(integer, bias << mantissa))
            return builder.bitcast(moved, args[0].type)

        return shifted(shifted), codegen


def launch(kernel, grid, threads: int, stream, shared_memory: int, arguments) -> None:
    """Launch a kernel with so many bytes of dynamic shared memory."""
    if not SIMULATED and shared_memory > WITHOUT_ASKING:
        _ask_for(shared_memory, kernel, arguments)
    with _quietly():
        configured = kernel[grid, threads, stream, shared_memory]
    configured(*arguments)


@contextmanager
def _quietly():
    """Without the warning about few blocks: here they are as many as the problem has."""
    name = "CUDA_LOW_OCCUPANCY_WARNINGS"
    before = getattr(config, name)
    setattr(config, name, 0)
    try:
        yield
    finally:
        setattr(config, name, before)


def _ask_for(shared_memory: int, kernel, arguments) -> None:
    from numba.cuda.cudadrv.driver import binding, driver

    types_of = tuple(map(kernel.typeof_pyval, arguments))
    compiled = kernel.overloads.get(types_of) or kernel.compile(types_of)
    function = compiled._codelibrary.get_cufunc()
    attribute = binding.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    driver.cuKernelSetAttribute(attribute, shared_memory, function.handle, function.device.id)

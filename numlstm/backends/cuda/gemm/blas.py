"""Products of matrices by cuBLAS, where it is installed.

Two runs give the same bits where the version of cuBLAS, the architecture of the GPU and its number
of multiprocessors are the same: so NVIDIA says, as long as every stream has a handle or a workspace
of its own. Here all goes through one stream, with one handle and one workspace. Which kernel runs,
and so the order of a sum, depends on the sizes of a product and on how its matrices lie in memory:
other than with our own kernels, a row's last bits may depend on the batch that it is in.

float32 is float32, unless `precision` or an environment variable of NVIDIA's asks for less.
"""

import ctypes
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from numlstm.backends import BackendError
from numlstm.backends.cuda.device.memory import empty, stream, turn
from numlstm.backends.cuda.device.target import SIMULATED, cuda

WORKSPACE = 2**25  # bytes; what NVIDIA recommends for the largest GPUs

# from library_types.h and cublas_api.h
TYPES = {"float32": (0, ctypes.c_float), "float64": (1, ctypes.c_double)}  # CUDA_R_32F, _64F
ARITHMETIC = {  # CUBLAS_COMPUTE_32F, _32F_FAST_TF32, _32F_FAST_16BF, _64F
    ("float32", None): 68,
    ("float32", "tf32"): 77,
    ("float32", "bf16"): 75,
    ("float64", None): 70,
}
AS_FOUND, TRANSPOSED = 0, 1  # CUBLAS_OP_N, CUBLAS_OP_T
DEFAULT_ALGORITHM = -1  # CUBLAS_GEMM_DEFAULT
_word, _pointer, _kind = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int
SIGNATURES = {
    "cublasCreate_v2": (ctypes.POINTER(_pointer),),
    "cublasSetStream_v2": (_pointer, _pointer),
    "cublasSetWorkspace_v2": (_pointer, _pointer, ctypes.c_size_t),
    "cublasGemmEx_64": (
        *(_pointer, _kind, _kind, _word, _word, _word),
        *(_pointer, _pointer, _kind, _word, _pointer, _kind, _word),
        *(_pointer, _pointer, _kind, _word, _kind, _kind),
    ),
}


class Blas(NamedTuple):
    """The library, opened."""

    functions: Any
    handle: Any
    workspace: Any  # kept as long as the handle


class Arguments(NamedTuple):
    """A product as cuBLAS is asked for it: the first factor is B, the second one A."""

    operations: tuple[int, int]  # of B and A
    sizes: tuple[int, int, int]  # columns and rows of C, and the length of its sums
    distances: tuple[int, int, int]  # in elements, between columns that are found: of B, A and C


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether cuBLAS can be used: found out once, and not while a stream is captured."""
    if SIMULATED:
        return False
    try:
        _opened()
    except Exception:  # it is not installed, it is too old, it does not run: whatever it says
        return False
    return True


def multiply(A, B, C, precision: str | None = None, *, add: bool = False) -> None:
    """C = A B, or C += A B. A (M, K), B (K, N), C (M, N), all of one dtype; K > 0.

    The elements of a row of C lie side by side in memory, those of A and B along either axis. It
    can be captured if the same product has run before: cuBLAS loads its kernels at first use.
    """
    if 0 in C.shape:
        return
    blas, asked, dtype = _opened(), arguments_of(A, B, C), C.dtype.name
    kind, number = TYPES[dtype]
    arithmetic = ARITHMETIC[dtype, precision]
    cuda.current_context()  # of this thread
    with turn:  # threads share the handle
        _call(
            blas.functions,
            "cublasGemmEx_64",
            *(blas.handle, *asked.operations, *asked.sizes),
            *(ctypes.byref(number(1)), _address(B), kind, asked.distances[0]),
            *(_address(A), kind, asked.distances[1]),
            *(ctypes.byref(number(add)), _address(C), kind, asked.distances[2]),
            *(arithmetic, DEFAULT_ALGORITHM),
        )


# --- rows for columns -----------------------------------------------------------------------------


def arguments_of(A, B, C) -> Arguments:
    """C = A B for cuBLAS, which reads memory by columns: C' = B' A', of what it finds there."""
    (rows, depth), columns = A.shape, B.shape[1]
    if (*B.shape, *C.shape) != (depth, columns, rows, columns):
        raise ValueError(f"no product: shapes {A.shape} and {B.shape} for {C.shape}")
    if not A.dtype == B.dtype == C.dtype:
        raise ValueError(f"no product: {A.dtype} and {B.dtype} for {C.dtype}")
    operations, distances = zip(*map(stored, (B, A, C)), strict=True)
    if operations[2] != AS_FOUND:
        raise ValueError("the elements of a row of C must lie side by side")
    return Arguments(operations[:2], (columns, rows, depth), distances)


def stored(matrix) -> tuple[int, int]:
    """(operation, distance) that make its transpose of what is found in memory, by columns."""
    rows, columns = matrix.shape
    down, right = (stride // matrix.dtype.itemsize for stride in matrix.strides)
    for operation, count, length, near, far in (
        (AS_FOUND, rows, columns, right, down),  # its rows are the columns that are found
        (TRANSPOSED, columns, rows, down, right),
    ):
        distance = far if count > 1 else max(1, length)  # of a single one it does not matter
        if (near == 1 or length <= 1) and distance >= max(1, length):
            return operation, distance
    raise ValueError(f"shape {matrix.shape} with strides {matrix.strides} is no matrix of cuBLAS")


# --- the library ----------------------------------------------------------------------------------


def _opened() -> Blas:
    with turn:
        return _open()


@lru_cache(maxsize=1)
def _open() -> Blas:
    """One handle, for the one stream, with a workspace of its own."""
    from cuda import pathfinder

    functions = ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path)
    for name, types in SIGNATURES.items():
        getattr(functions, name).argtypes = types
    functions.cublasGetStatusName.restype = ctypes.c_char_p
    cuda.current_context()  # the handle belongs to it
    handle = ctypes.c_void_p()
    _call(functions, "cublasCreate_v2", ctypes.byref(handle))
    workspace = empty(WORKSPACE, np.uint8)
    # in this order: setting the stream takes the workspace away
    _call(functions, "cublasSetStream_v2", handle, int(stream()))
    _call(functions, "cublasSetWorkspace_v2", handle, _address(workspace), WORKSPACE)
    return Blas(functions, handle, workspace)


def _call(functions, name: str, *arguments) -> None:
    """Call a function of cuBLAS, and raise the status that it returns, unless that is 0."""
    status = getattr(functions, name)(*arguments)
    if status != 0:
        raise BackendError(f"{name}: {functions.cublasGetStatusName(status).decode()}")


def _address(array) -> int:
    return array.device_ctypes_pointer.value

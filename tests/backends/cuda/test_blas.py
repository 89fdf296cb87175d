"""Products by cuBLAS without a GPU: what it is asked for, by a product that reads by columns."""

import ctypes
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numlstm.backends import BackendError

pytest.importorskip("numba_cuda", reason="numba-cuda is only there on Linux")
from numlstm.backends.cuda.gemm import blas

BEFORE = 3  # elements of memory in front of a matrix


def matrix(rows, columns, transposed, padding, dtype, rng):
    """Random numbers, by rows or by columns, with so many more between two rows or columns."""
    if transposed:
        return matrix(columns, rows, False, padding, dtype, rng).T
    memory = rng.standard_normal(BEFORE + rows * (columns + padding)).astype(dtype)
    return memory[BEFORE:].reshape(rows, columns + padding)[:, :columns]


def by_columns(array, operation, rows, columns, distance):
    """Where in memory a matrix stands that is found by columns, once the operation is done."""
    found = (rows, columns) if operation == blas.AS_FOUND else (columns, rows)
    assert distance >= max(1, found[0])  # cuBLAS refuses the rest
    places = BEFORE + np.arange(found[0])[:, None] + distance * np.arange(found[1])
    assert places.max() < array.base.size
    return places if operation == blas.AS_FOUND else places.T


def product_by_columns(asked, first, second, result):
    """What cuBLAS does, on the memory of its arguments."""
    m, n, k = asked.sizes
    a = by_columns(first, asked.operations[0], m, k, asked.distances[0])
    b = by_columns(second, asked.operations[1], k, n, asked.distances[1])
    c = by_columns(result, blas.AS_FOUND, m, n, asked.distances[2])
    result.base[c] = first.base[a] @ second.base[b]


def require_product(sizes, forms, dtype="float64"):
    """A product by columns is that of the matrices, and changes nothing else."""
    rng, (M, K, N) = np.random.default_rng(0), sizes
    shapes = (M, K), (K, N), (M, N)
    A, B, C = (matrix(*shape, *form, dtype, rng) for shape, form in zip(shapes, forms, strict=True))
    before, kept = C.base.copy(), C.copy()
    product_by_columns(blas.arguments_of(A, B, C), B, A, C)
    np.testing.assert_allclose(C, A @ B, rtol=1e-5, atol=1e-5)
    C[...] = kept
    np.testing.assert_array_equal(C.base, before)


FACTOR = list(itertools.product([False, True], [0, 2]))  # by columns or not, padding
RESULT = [(False, 0), (False, 2)]


@pytest.mark.parametrize("A", FACTOR, ids=str)
@pytest.mark.parametrize("B", FACTOR, ids=str)
@pytest.mark.parametrize("C", RESULT, ids=str)
def test_every_way_to_lie_in_memory(A, B, C):
    for sizes in itertools.product((1, 2, 5), repeat=3):
        require_product(sizes, (A, B, C))


@given(
    sizes=st.tuples(*[st.integers(1, 9)] * 3),
    forms=st.tuples(st.sampled_from(FACTOR), st.sampled_from(FACTOR), st.sampled_from(RESULT)),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_products_of_any_size(sizes, forms, dtype):
    require_product(sizes, forms, dtype)


@pytest.mark.parametrize(
    ("A", "B", "C", "words"),
    [
        (np.ones((2, 3)), np.ones((4, 5)), np.ones((2, 5)), "shapes"),
        (np.ones((2, 3)), np.ones((3, 5)), np.ones((5, 2)), "shapes"),
        (np.ones((2, 3)), np.ones((3, 5), "float32"), np.ones((2, 5)), "float32"),
        (np.ones((4, 6))[:, ::2], np.ones((3, 5)), np.ones((4, 5)), "strides"),
        (np.ones((4, 3))[::-1], np.ones((3, 5)), np.ones((4, 5)), "strides"),
        (np.broadcast_to(1.0, (4, 3)), np.ones((3, 5)), np.ones((4, 5)), "strides"),
        (np.ones((4, 3)), np.ones((3, 5)), np.ones((5, 4)).T, "side by side"),
    ],
)
def test_what_is_no_product_of_cublas(A, B, C, words):
    with pytest.raises(ValueError, match=words):
        blas.arguments_of(A, B, C)


# --- the call -------------------------------------------------------------------------------------


class Library:
    """In the place of cuBLAS: writes down how it was called, and returns a status."""

    def __init__(self, status=0):
        self.status, self.calls = status, []

    def cublasGemmEx_64(self, *arguments):
        self.calls.append(arguments)
        return self.status

    def cublasGetStatusName(self, status):
        return {7: b"CUBLAS_STATUS_INVALID_VALUE"}[status]


@pytest.fixture
def library(monkeypatch):
    library = Library()
    opened = blas.Blas(library, "handle", None)
    monkeypatch.setattr(blas, "_opened", lambda: opened)
    monkeypatch.setattr(blas, "cuda", SimpleNamespace(current_context=lambda: None))
    return library


def on_device(array):
    """What the device's arrays have beside NumPy's: an address."""
    address = SimpleNamespace(value=array.ctypes.data)
    kind = array.shape, array.strides, array.dtype
    names = "shape", "strides", "dtype", "device_ctypes_pointer"
    return SimpleNamespace(**dict(zip(names, (*kind, address), strict=True)))


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize(
    ("dtype", "precision", "kind", "arithmetic"),
    [
        ("float32", None, 0, 68),
        ("float32", "tf32", 0, 77),
        ("float32", "bf16", 0, 75),
        ("float64", None, 1, 70),
    ],
)
def test_the_order_of_the_arguments(library, dtype, precision, kind, arithmetic, add):
    arrays = A, B, C = np.ones((2, 3), dtype), np.ones((4, 3), dtype).T, np.ones((2, 4), dtype)
    blas.multiply(*map(on_device, arrays), precision, add=add)
    [(handle, first, second, m, n, k, one, *rest)] = library.calls
    [a, a_kind, lda, b, b_kind, ldb, old, c, c_kind, ldc, asked, algorithm] = rest
    assert (handle, m, n, k) == ("handle", 4, 2, 3)
    assert (first, second) == (blas.TRANSPOSED, blas.AS_FOUND)
    assert (a, b, c) == (B.ctypes.data, A.ctypes.data, C.ctypes.data)
    assert (lda, ldb, ldc) == (3, 3, 4)
    assert a_kind == b_kind == c_kind == kind
    assert (one._obj.value, old._obj.value) == (1, add)
    assert type(one._obj) is (ctypes.c_float if dtype == "float32" else ctypes.c_double)
    assert (asked, algorithm) == (arithmetic, -1)


def test_nothing_is_asked_for_nothing(library):
    for shape in ((0, 4), (2, 0)):
        A, B, C = np.ones((shape[0], 3)), np.ones((3, shape[1])), np.ones(shape)
        blas.multiply(*map(on_device, (A, B, C)))
    assert library.calls == []


def test_a_status_is_an_error_with_its_name(library):
    library.status = 7
    with pytest.raises(BackendError, match="cublasGemmEx_64: CUBLAS_STATUS_INVALID_VALUE"):
        blas.multiply(*map(on_device, (np.ones((2, 2)),) * 3))


@pytest.mark.parametrize("error", [ImportError, OSError, BackendError, AttributeError])
def test_what_cannot_be_opened_is_not_available(monkeypatch, error):
    def opened():
        raise error

    monkeypatch.setattr(blas, "_opened", opened)
    assert blas.available.__wrapped__() is False


def test_the_simulator_has_none(monkeypatch):
    monkeypatch.setattr(blas, "SIMULATED", True)
    monkeypatch.setattr(blas, "_opened", lambda: 1 / 0)
    assert blas.available.__wrapped__() is False

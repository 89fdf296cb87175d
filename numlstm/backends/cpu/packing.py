"""Weights rearranged into panels, as the register tiles read them, and gradients back again.

Shape comments: H units, I inputs, K = 1 + I + H, L lanes of a vector, W = 2 L the width of a panel,
U = ceil(H / L). The k of the forward weights runs over the constant 1 (whose weight is the bias),
the inputs and the hidden state; panels 2u and 2u + 1 hold the gates (i, f) and (g, o) of the u-th
vector of units. What lies beyond the last unit or column is zero.
"""

import math

import numpy as np

from numlstm.backends.cpu.simd import PANEL_VECTORS, VECTOR_BYTES
from numlstm.params import split
from numlstm.spec import LayerSpec

CACHE_LINE = 64  # bytes
SMALL = 2**14  # bytes; smaller arrays stay in the nearest cache wherever they begin


def lanes(dtype) -> int:
    """L: elements in a vector."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def panel_width(dtype) -> int:
    """W: elements in a row of a panel."""
    return PANEL_VECTORS * lanes(dtype)


def blocks(count: int, size: int) -> int:
    """How many blocks of `size` hold `count` elements."""
    return -(-count // size)


def empty(shape: tuple, dtype) -> np.ndarray:
    """An array that begins at a cache line, as whole vectors like to."""
    count, itemsize = math.prod(shape), np.dtype(dtype).itemsize
    if count * itemsize < SMALL:
        return np.empty(shape, dtype)
    memory = np.empty(count + CACHE_LINE // itemsize, dtype)
    skip = -memory.ctypes.data % CACHE_LINE // itemsize
    return memory[skip : skip + count].reshape(shape)


def zeros(shape: tuple, dtype) -> np.ndarray:
    """As `empty`, filled with zeros."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


def panels(matrix: np.ndarray) -> np.ndarray:
    """A (k, columns) matrix in panels, (ceil(columns / W), k, W)."""
    k, columns = matrix.shape
    width = panel_width(matrix.dtype)
    packed = empty((blocks(columns, width), k, width), matrix.dtype)
    whole = columns // width
    packed[:whole] = matrix[:, : whole * width].reshape(k, whole, width).transpose(1, 0, 2)
    if whole < len(packed):
        packed[whole] = 0
        packed[whole, :, : columns - whole * width] = matrix[:, whole * width :]
    return packed


def gate_panels(spec: LayerSpec, theta: np.ndarray) -> np.ndarray:
    """The forward weights of a layer, (2U, K, W)."""
    views, count = split(spec.shapes, theta), lanes(theta.dtype)
    units, inputs = spec.hidden_size, spec.input_size
    vectors, k = blocks(units, count), 1 + inputs + units
    rows = np.zeros((4, vectors * count, k), theta.dtype)
    rows[:, :units, 0] = views["bias"].reshape(4, units)
    rows[:, :units, 1 : 1 + inputs] = views["weight_ih"].reshape(4, units, inputs)
    rows[:, :units, 1 + inputs :] = views["weight_hh"].reshape(4, units, units)
    packed = empty((2 * vectors, k, 2 * count), theta.dtype)
    _by_gate(packed, count)[...] = rows.reshape(2, 2, vectors, count, k)
    return packed


def unpack_gradient(spec: LayerSpec, dW: np.ndarray) -> np.ndarray:
    """The flat gradient from that of the panels, (shards, 2U, K, W), the shards added in order."""
    count, units, inputs = lanes(dW.dtype), spec.hidden_size, spec.input_size
    by_gate = _by_gate(sum_in_order(dW), count)
    rows = by_gate.reshape(4, -1, by_gate.shape[-1])[:, :units].reshape(4 * units, -1)
    parts = (rows[:, 1 : 1 + inputs], rows[:, 1 + inputs :], rows[:, 0])
    return np.concatenate([part.ravel() for part in parts])


def _by_gate(packed: np.ndarray, count: int) -> np.ndarray:
    """(2U, K, W) seen as (2 pairs, 2 gates of a pair, U, L, K)."""
    k = packed.shape[1]
    return packed.reshape(-1, 2, k, 2, count).transpose(1, 3, 0, 4, 2)


def sum_in_order(parts: np.ndarray) -> np.ndarray:
    """The sum over the first axis, one term after the other, in place of the first."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total

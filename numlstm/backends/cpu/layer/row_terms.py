"""What a row has in z at all of its steps: sums begin with it, and its gradient is that of z.

Both lie as z does, (B, U * 4 * L), by place, and are empty where there is none. The letters in the
shape comments: see `tape.py`.
"""

import numpy as np

from numlstm.architecture.spec import LayerSpec
from numlstm.backends.cpu.codegen import packing
from numlstm.backends.cpu.codegen.compile import kernel
from numlstm.backends.cpu.codegen.gemm import copy
from numlstm.backends.cpu.codegen.packing import blocks
from numlstm.backends.cpu.codegen.vectors import at, lanes_of, load, move, noinline, store
from numlstm.backends.cpu.layer.shards import Layout
from numlstm.backends.cpu.layer.tape import HEADER


def pack(spec: LayerSpec, layout: Layout, row_terms) -> np.ndarray:
    """From (B, G H), as the kernels read them; gates without weights of their own have none."""
    if row_terms is None:
        return np.empty((0, 0), spec.dtype)
    lanes, gates = packing.lanes(spec.dtype), _gates(spec)
    vectors = blocks(spec.hidden_size, lanes)
    padded = np.zeros((layout.batch, 4, vectors * lanes), row_terms.dtype)
    by_gate = row_terms.reshape(layout.batch, len(gates), spec.hidden_size)
    padded[:, gates, : spec.hidden_size] = by_gate[_order(layout)]
    by_vector = padded.reshape(layout.batch, 4, vectors, lanes).swapaxes(1, 2)
    return np.ascontiguousarray(by_vector).reshape(layout.batch, 4 * vectors * lanes)


def shape(layout: Layout, given: bool) -> tuple[int, int]:
    """Shape of the gradient, if such terms were given."""
    return (layout.batch if given else 0), 4 * layout.gate


def unpack(spec: LayerSpec, layout: Layout, dterms: np.ndarray) -> np.ndarray:
    """The gradient (B, G H), in the caller's order, from that of the kernels."""
    lanes, gates = packing.lanes(spec.dtype), _gates(spec)
    by_vector = dterms.reshape(layout.batch, layout.gate // lanes, 4, lanes)
    by_gate = by_vector.swapaxes(1, 2).reshape(layout.batch, 4, layout.gate)
    result = np.empty((layout.batch, len(gates) * spec.hidden_size), dterms.dtype)
    own = by_gate[:, gates, : spec.hidden_size]
    result[_order(layout)] = own.reshape(result.shape)
    return result


def _gates(spec: LayerSpec) -> list[int]:
    """The places in z of the gates that have weights of their own."""
    return [place for place, gate in enumerate("ifgo") if gate in spec.cell.gates]


def _order(layout: Layout) -> np.ndarray:
    """The caller's row that stands in each place."""
    return layout.numbers[HEADER : HEADER + layout.batch]


@kernel
def put_row_terms(terms, place, rows, first, count, z):
    """z = elements `first` to `first + count` of the terms of some rows; z is a Block."""
    noinline()
    for j in range(rows):
        copy(move(z.start, j * z.row), at(terms, (place + j) * terms.shape[1] + first), count)


@kernel
def add_to_row_terms(layout, terms, place, dz):
    """terms += dz (4, U L) of a row."""
    noinline()
    lanes, own = lanes_of(dz), at(terms, place * terms.shape[1])
    for u in range(layout.vectors):
        for gate in range(4):
            to = move(own, (4 * u + gate) * lanes)
            store(to, 0, load(to, 0) + load(dz, (gate * layout.vectors + u) * lanes))

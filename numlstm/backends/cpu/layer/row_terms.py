"""What a row has in z at all of its steps: sums begin with it, and its gradient is that of z.

Forward it lies as z does, (B, U * 4 * L), backward as dz does, (B, 4 * gate) with the distance
`gate` from one gate's units to the next; both in the caller's order, and empty where there is none.
The letters in the shape comments: see `tape.py`.
"""

import numpy as np

from numlstm.architecture.spec import LayerSpec
from numlstm.backends.cpu.codegen import packing
from numlstm.backends.cpu.codegen.compile import kernel
from numlstm.backends.cpu.codegen.gemm import accumulate, copy
from numlstm.backends.cpu.codegen.packing import blocks
from numlstm.backends.cpu.codegen.vectors import at, get, move, noinline


def pack(spec: LayerSpec, row_terms) -> np.ndarray:
    """From (B, G H), as the kernels read them; gates without weights of their own have none."""
    if row_terms is None:
        return np.empty((0, 0), spec.dtype)
    batch, lanes = len(row_terms), packing.lanes(spec.dtype)
    vectors, gates = blocks(spec.hidden_size, lanes), _gates(spec)
    padded = np.zeros((batch, 4, vectors * lanes), row_terms.dtype)
    padded[:, gates, : spec.hidden_size] = row_terms.reshape(batch, len(gates), -1)
    by_vector = padded.reshape(batch, 4, vectors, lanes).swapaxes(1, 2)
    return np.ascontiguousarray(by_vector).reshape(batch, -1)


def unpack(spec: LayerSpec, dterms: np.ndarray) -> np.ndarray:
    """The gradient (B, G H) from the kernels' (B, 4 * gate)."""
    batch, gates = len(dterms), _gates(spec)
    own = dterms.reshape(batch, 4, dterms.shape[1] // 4)[:, gates, : spec.hidden_size]
    return own.reshape(batch, len(gates) * spec.hidden_size)


def _gates(spec: LayerSpec) -> list[int]:
    """The places in z of the gates that have weights of their own."""
    return [place for place, gate in enumerate("ifgo") if gate in spec.cell.gates]


@kernel
def put_row_terms(layout, terms, place, rows, first, count, z):
    """z = elements `first` to `first + count` of the terms of some rows; z is a Block."""
    noinline()
    for j in range(rows):
        own = get(layout.order, place + j) * terms.shape[1]
        copy(move(z.start, j * z.row), at(terms, own + first), count)


@kernel
def add_to_row_terms(layout, terms, place, first, count, dz):
    """terms += dz of a row, `count` units of every gate from one on; dz (4, gate)."""
    noinline()
    gate = terms.shape[1] // 4
    own = get(layout.order, place) * terms.shape[1]
    for n in range(4):
        start = n * gate + first
        accumulate(at(terms, own + start), move(dz, start), count)

"""What a row has in z at all of its steps: sums begin with it, and its gradient is that of z.

Both lie shard by shard, in panels as the weights do, (2U, rows of the shard, W), and are empty
where there is none: so a product finds those of its tile, and dz to be summed, next to each other,
and the panels of a shard do not collide in the cache. The letters in the shape comments: see
`tape.py`.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from numlstm.architecture.spec import LayerSpec
from numlstm.backends.cpu.codegen import packing
from numlstm.backends.cpu.codegen.compile import kernel
from numlstm.backends.cpu.codegen.gemm import copy
from numlstm.backends.cpu.codegen.vectors import (
    Block,
    at,
    get,
    lanes_of,
    load,
    move,
    noinline,
    panel_width,
    store,
)
from numlstm.backends.cpu.layer.shards import Layout
from numlstm.backends.cpu.layer.tape import HEADER, line_of, rows_at


def pack(spec: LayerSpec, layout: Layout, row_terms) -> np.ndarray:
    """From (B, G H), as the kernels read them; gates without weights of their own have none."""
    if row_terms is None:
        return np.empty((0, 0, 0), spec.dtype)
    lanes, gates = packing.lanes(spec.dtype), _gates(spec)
    padded = np.zeros((layout.batch, 4, layout.gate), row_terms.dtype)
    by_gate = row_terms.reshape(layout.batch, len(gates), spec.hidden_size)
    padded[:, gates, : spec.hidden_size] = by_gate[_order(layout)]
    by_vector = padded.reshape(layout.batch, 2, 2, layout.gate // lanes, lanes)
    panels = by_vector.transpose(3, 1, 0, 2, 4)  # of two gates of a vector of units each
    result = np.empty(shape(spec, layout, True), row_terms.dtype)
    for of_shard, first, last in _shards(layout, result):
        of_shard[...] = panels[:, :, first:last]
    return result


def shape(spec: LayerSpec, layout: Layout, given: bool) -> tuple[int, int, int]:
    """Shape as the kernels read them, if such terms were given."""
    lanes = packing.lanes(spec.dtype)
    return (2 * layout.gate // lanes, layout.batch, 2 * lanes) if given else (0, 0, 0)


def unpack(spec: LayerSpec, layout: Layout, dterms: np.ndarray) -> np.ndarray:
    """The gradient (B, G H), in the caller's order, from that of the kernels."""
    lanes, gates = packing.lanes(spec.dtype), _gates(spec)
    by_gate = np.empty((layout.batch, 2, 2, layout.gate // lanes, lanes), dterms.dtype)
    for of_shard, first, last in _shards(layout, dterms):
        by_gate[first:last] = of_shard.transpose(2, 1, 3, 0, 4)
    by_gate = by_gate.reshape(layout.batch, 4, layout.gate)
    result = np.empty((layout.batch, len(gates) * spec.hidden_size), dterms.dtype)
    result[_order(layout)] = by_gate[:, gates, : spec.hidden_size].reshape(result.shape)
    return result


def _shards(layout: Layout, panels: np.ndarray) -> Iterator[tuple[np.ndarray, int, int]]:
    """The panels of every shard, (U, 2, rows, 2, L), and the places of its rows."""
    vectors, width = len(panels) // 2, panels.shape[2]
    start = HEADER + layout.batch
    for first, last in pairwise(layout.numbers[start : start + layout.parts + 1].tolist()):
        own = panels.reshape(-1)[2 * vectors * width * first : 2 * vectors * width * last]
        yield own.reshape(vectors, 2, last - first, 2, width // 2), first, last


def _gates(spec: LayerSpec) -> list[int]:
    """The places in z of the gates that have weights of their own."""
    return [place for place, gate in enumerate("ifgo") if gate in spec.cell.gates]


def _order(layout: Layout) -> np.ndarray:
    """The caller's row that stands in each place."""
    return layout.numbers[HEADER : HEADER + layout.batch]


@kernel
def block_of(shard, layout, terms, z):
    """The terms of a shard's rows, as a Block; z itself, which may be read, for none."""
    if terms.size == 0:
        return z
    width, first = panel_width(terms), get(layout.place, shard)
    column = (get(layout.place, shard + 1) - first) * width
    return Block(at(terms, first * 2 * layout.vectors * width), width, column)


@kernel
def put_row_terms(terms, rows, panels, z):
    """z = the terms of some rows, a range of panels; both are Blocks."""
    noinline()
    for panel in range(panels):
        for j in range(rows):
            to = move(z.start, j * z.row + panel * z.column)
            copy(to, move(terms.start, j * terms.row + panel * terms.column), z.column)


@kernel
def add_panel(shard, t_first, t_last, p, panel, layout, terms):
    """terms += panel p (lines, W) of dz, of the lines from step t_first to t_last.

    Like `add_lines` from the last step to the first, so that a row's sum does not depend on how
    many steps come at once.
    """
    noinline()
    lanes, begin = lanes_of(panel), line_of(layout, shard, t_first)
    block = block_of(shard, layout, terms, Block(panel, 2 * lanes, 2 * lanes))
    own = move(block.start, p * block.column)
    for j in range(rows_at(layout, shard, t_first)):
        to = move(own, j * 2 * lanes)
        low, high = load(to, 0), load(to, lanes)
        for t in range(t_last - 1, t_first - 1, -1):
            if j < rows_at(layout, shard, t):
                line = move(panel, (line_of(layout, shard, t) - begin + j) * 2 * lanes)
                low, high = low + load(line, 0), high + load(line, lanes)
        store(to, 0, low)
        store(to, lanes, high)


@kernel
def add_lines(shard, t_first, t_last, first, last, dz, gate, layout, terms):
    """terms += lines of dz (4, gate), a range of panels; dz is a Block that begins at t_first."""
    noinline()
    lanes, begin = lanes_of(dz.start), line_of(layout, shard, t_first)
    block = block_of(shard, layout, terms, dz)
    for p in range(first, last):
        own = move(block.start, p * block.column)
        source = move(dz.start, p % 2 * 2 * gate + p // 2 * lanes)
        for t in range(t_last - 1, t_first - 1, -1):
            for j in range(rows_at(layout, shard, t)):
                line = move(source, (line_of(layout, shard, t) - begin + j) * dz.row)
                to = move(own, j * 2 * lanes)
                store(to, 0, load(to, 0) + load(line, 0))
                store(to, lanes, load(to, lanes) + load(line, gate))

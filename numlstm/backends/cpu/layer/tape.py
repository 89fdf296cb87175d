"""The data of a pass over a layer: layout of sequences, inputs and outputs, tape, carried state.

Within a shard of rows the rows stand longest first, so the rows that are active at step t are the
first few. Every step of every row owns one line of tape; `SequenceLayout.line` says where the lines
of a step begin.

In the shape comments: B rows, T steps, I inputs, H units, L lanes of a vector, U = ceil(H / L)
vectors of units, W = 2 L the width of a panel, K = 1 + I + H, N lines of tape. "padded" means
filled up to whole panels. The user's arrays are C-contiguous and not padded.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.codegen.compile import kernel, kernel_that_allocates
from numlstm.backends.cpu.codegen.gemm import ask_for, clear, copy
from numlstm.backends.cpu.codegen.vectors import Block, at, get, lanes_of, move, new, noinline, put

HEADER = 15  # integers before the arrays of a layout


class SequenceLayout(NamedTuple):
    """Sizes, the order of the rows and the lines of their tape; written by `shards.py`."""

    batch: int  # B
    steps: int  # T
    inputs: int  # I
    units: int  # H
    vectors: int  # U
    padded: int  # H, filled up to whole panels
    stride: int  # of a line of xh
    shards: int
    chunk: int  # steps whose input part `recurrence_by_units.py` computes at once
    outputs: int  # P: H, or the size of the projection
    padded_out: int  # P, filled up to whole panels
    gates: int  # how many have weights of their own: 4, or 3 without a forget gate
    biased: bool  # whether b is a weight of the product, or comes after the normalisation
    slots: int  # values of a unit on the tape
    row: int  # of a line of cells
    order: Any  # (B,) the caller's row that stands in each place
    place: Any  # (shards + 1,) first place of each shard
    line: Any  # (shards, T + 1) first line of tape of each step


@kernel
def read_layout(numbers):
    """The layout, out of one array of integers: a single argument for Python to pass."""
    n = numbers
    order = at(n, HEADER)
    place = move(order, n[0])
    line = move(place, n[7] + 1)
    return SequenceLayout(
        n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13],
        n[14], order, place, line,
    )  # fmt: skip


@kernel
def line_of(layout, shard, t):
    """The first line of tape of step t."""
    return get(layout.line, shard * (layout.steps + 1) + t)


@kernel
def rows_at(layout, shard, t):
    """Number of rows of a shard that are active at step t."""
    return line_of(layout, shard, t + 1) - line_of(layout, shard, t) if t < layout.steps else 0


@kernel
def most_rows(layout):
    """The rows of the largest shard."""
    most = 0
    for shard in range(layout.shards):
        most = max(most, rows_at(layout, shard, 0))
    return most


@kernel
def in_caller(layout, array, place, t, width):
    """Pointer to step t of the row at a place, in an array (B, T, width) of the caller."""
    return at(array, (get(layout.order, place) * layout.steps + t) * width)


class Inputs(NamedTuple):
    """Inputs and initial state, or their gradient, in the caller's order; arrays may be empty."""

    X: Any  # (B, T, I)
    h: Any  # (B, P) initial state
    c: Any  # (B, H)
    terms: Any  # what rows have in z at all steps, by place: see `row_terms.py`


class Outputs(NamedTuple):
    """Outputs and final state, or their gradient, in the caller's order; arrays may be empty."""

    Y: Any  # (B, T, P)
    h: Any  # (B, P) final state
    c: Any  # (B, H)


class Tape(NamedTuple):
    """Record of a forward pass for the backward pass; without one to come its lines are reused."""

    xh: Block  # (N, K) the k-vector of every line: 1, x_t, h_{t-1}
    cells: Block  # (N, U * slots * L) i, f, g, o, c...: see `plain_cell.py`, `variant_cell.py`
    c_first: Block  # (B, padded H) initial cell state by place


@kernel
def read_tape(layout, lines, memory):
    """The tape, out of one array of the size that `Layout.memory` gives."""
    xh = at(memory, 0)
    cells = move(xh, lines * layout.stride)
    first = Block(move(cells, lines * layout.row), layout.padded, 1)
    return Tape(Block(xh, layout.stride, 1), Block(cells, layout.row, 1), first)


@kernel
def put_input(line, place, t, layout, X, tape):
    """The first part of a line of xh: 1, x_t. X (B, T, I)."""
    noinline()
    xh = move(tape.xh.start, line * tape.xh.row)
    put(xh, 0, 1)
    copy(move(xh, 1), in_caller(layout, X, place, t, layout.inputs), layout.inputs)


@kernel
def hidden(line, layout, tape):
    """Pointer to h_{t-1} in a line of xh."""
    return move(tape.xh.start, line * tape.xh.row + 1 + layout.inputs)


@kernel
def ask_for_cells(shard, t, j, first, last, layout, tape):
    """Ask for a row's cells at t - 2, a range of vectors of units: at t - 1 their c is wanted."""
    if t > 1:
        line, size = line_of(layout, shard, t - 2) + j, layout.slots * lanes_of(tape.cells.start)
        start = line * tape.cells.row + first * size
        ask_for(move(tape.cells.start, start), (last - first) * size)


class Carry(NamedTuple):
    """The state of every row, in the backward pass its gradient, by place."""

    h: Any  # (B, padded P); forward in a plain layer: only of rows that have ended
    c: Any  # (B, padded H)


@kernel_that_allocates
def read_carry(layout, ends):
    """The state in Inputs or Outputs (empty means zero), in order of place and padded."""
    noinline()
    batch, h, c = layout.batch, ends.h, ends.c
    carry = Carry(new(h, (batch, layout.padded_out)), new(h, (batch, layout.padded)))
    clear(at(carry.h, 0), carry.h.size)
    clear(at(carry.c, 0), carry.c.size)
    if h.size > 0:
        for place in range(batch):
            row = get(layout.order, place)
            copy(
                at(carry.h, place * layout.padded_out), at(h, row * layout.outputs), layout.outputs
            )
            copy(at(carry.c, place * layout.padded), at(c, row * layout.units), layout.units)
    return carry


@kernel
def write_carry(layout, carry, ends):
    """The state to Inputs or Outputs, in the caller's order."""
    noinline()
    for place in range(layout.batch):
        row = get(layout.order, place)
        copy(
            at(ends.h, row * layout.outputs), at(carry.h, place * layout.padded_out), layout.outputs
        )
        copy(at(ends.c, row * layout.units), at(carry.c, place * layout.padded), layout.units)


@kernel
def start_tape(layout, carry, tape, taped):
    """h_0 to the lines of the first step, c_0 to its place on the tape."""
    noinline()
    copy(tape.c_first.start, at(carry.c, 0), layout.batch * layout.padded)
    for shard in range(layout.shards):
        place = get(layout.place, shard)
        line = line_of(layout, shard, 0) if taped else place
        for j in range(rows_at(layout, shard, 0)):
            h = at(carry.h, (place + j) * layout.padded)
            copy(hidden(line + j, layout, tape), h, layout.units)

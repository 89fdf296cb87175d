"""The nouns of a pass over a layer: the plan of the rows, the tape, and what is carried along.

Within a shard of rows the rows stand longest first, so the rows that still run at step t are the
first few. Every step of every row owns one line of tape; `Plan.line` says where the lines of a
step begin.

In the shape comments: B rows, T steps, I inputs, H units, L lanes of a vector, U = ceil(H / L)
vectors of units, W = 2 L the width of a panel, K = 1 + I + H, N lines of tape. "padded" means
filled up to whole panels. The user's arrays are C-contiguous and not padded.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.codegen.compile import kernel, kernel_that_allocates
from numlstm.backends.cpu.codegen.gemm import ask_for, clear, copy
from numlstm.backends.cpu.codegen.vectors import Block, at, compact, get, lanes_of, move, new, put

HEADER = 15  # numbers before the arrays of a plan


class Plan(NamedTuple):
    """Sizes, which rows go together, and where their tape lies; written by `cpu.shards`."""

    batch: int  # B
    steps: int  # T
    inputs: int  # I
    units: int  # H
    vectors: int  # U
    padded: int  # H, filled up to whole panels
    stride: int  # of a line of xh
    shards: int
    chunk: int  # steps whose input part `wide.py` computes at once
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
def read_plan(numbers):
    """The plan that stands in one array of integers, so that Python has one argument to pass."""
    n = numbers
    order = at(n, HEADER)
    place = move(order, n[0])
    line = move(place, n[7] + 1)
    return Plan(
        n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13],
        n[14], order, place, line,
    )  # fmt: skip


@kernel
def line_of(plan, shard, t):
    """The first line of tape of step t."""
    return get(plan.line, shard * (plan.steps + 1) + t)


@kernel
def rows_at(plan, shard, t):
    """How many rows of a shard run at step t."""
    return line_of(plan, shard, t + 1) - line_of(plan, shard, t) if t < plan.steps else 0


@kernel
def most_rows(plan):
    """The rows of the largest shard."""
    most = 0
    for shard in range(plan.shards):
        most = max(most, rows_at(plan, shard, 0))
    return most


@kernel
def in_caller(plan, array, place, t, width):
    """Pointer to step t of the row at a place, in an array (B, T, width) of the caller."""
    return at(array, (get(plan.order, place) * plan.steps + t) * width)


class Tape(NamedTuple):
    """What a forward pass leaves behind; without a backward pass to come its lines are reused."""

    xh: Block  # (N, K) the k-vector of every line: 1, x_t, h_{t-1}
    cells: Block  # (N, U * slots * L) i, f, g, o, c... of every line; see `cells.py`
    c_first: Block  # (B, padded H) initial cell state by place


@kernel
def read_tape(plan, lines, memory):
    """The tape that stands in one array, as long as `cpu.shards` says."""
    xh = at(memory, 0)
    cells = move(xh, lines * plan.stride)
    first = Block(move(cells, lines * plan.row), plan.padded, 1)
    return Tape(Block(xh, plan.stride, 1), Block(cells, plan.row, 1), first)


@kernel
def put_input(line, place, t, plan, X, tape):
    """The first part of a line of xh: 1, x_t. X (B, T, I)."""
    compact()
    xh = move(tape.xh.start, line * tape.xh.row)
    put(xh, 0, 1)
    copy(move(xh, 1), in_caller(plan, X, place, t, plan.inputs), plan.inputs)


@kernel
def hidden(line, plan, tape):
    """Pointer to h_{t-1} in a line of xh."""
    return move(tape.xh.start, line * tape.xh.row + 1 + plan.inputs)


@kernel
def ask_for_cells(shard, t, j, first, last, plan, tape):
    """Ask for a row's cells at t - 2, a range of vectors of units: at t - 1 their c is wanted."""
    if t > 1:
        line, size = line_of(plan, shard, t - 2) + j, plan.slots * lanes_of(tape.cells.start)
        start = line * tape.cells.row + first * size
        ask_for(move(tape.cells.start, start), (last - first) * size)


class Carry(NamedTuple):
    """The state of every row, or on the way back its gradient, by place."""

    h: Any  # (B, padded P); forward in a plain layer: only of rows that have ended
    c: Any  # (B, padded H)


@kernel_that_allocates
def read_carry(plan, h, c):
    """The state (or its gradient; empty means zero), in order of place and padded."""
    compact()
    batch = plan.batch
    carry = Carry(new(h, (batch, plan.padded_out)), new(h, (batch, plan.padded)))
    clear(at(carry.h, 0), carry.h.size)
    clear(at(carry.c, 0), carry.c.size)
    if h.size > 0:
        for place in range(batch):
            row = get(plan.order, place)
            copy(at(carry.h, place * plan.padded_out), at(h, row * plan.outputs), plan.outputs)
            copy(at(carry.c, place * plan.padded), at(c, row * plan.units), plan.units)
    return carry


@kernel
def write_carry(plan, carry, h, c):
    """The state in the caller's order. h (B, P), c (B, H)."""
    compact()
    for place in range(plan.batch):
        row = get(plan.order, place)
        copy(at(h, row * plan.outputs), at(carry.h, place * plan.padded_out), plan.outputs)
        copy(at(c, row * plan.units), at(carry.c, place * plan.padded), plan.units)


@kernel
def start_tape(plan, carry, tape, taped):
    """h_0 to the lines of the first step, c_0 to its place on the tape."""
    compact()
    copy(tape.c_first.start, at(carry.c, 0), plan.batch * plan.padded)
    for shard in range(plan.shards):
        place = get(plan.place, shard)
        line = line_of(plan, shard, 0) if taped else place
        for j in range(rows_at(plan, shard, 0)):
            h = at(carry.h, (place + j) * plan.padded)
            copy(hidden(line + j, plan, tape), h, plan.units)

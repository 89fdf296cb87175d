"""What a forward pass had of its gates and cells, copied off the tape.

The letters in the shape comments: see `tape.py`; S steps of a row are asked for.
"""

import numpy as np

from numlstm.architecture.spec import LayerSpec
from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.gemm import clear, copy
from numlstm.backends.cpu.codegen.memory_pool import from_pool
from numlstm.backends.cpu.codegen.parallel import call, for_shards
from numlstm.backends.cpu.codegen.vectors import at, get, lanes_of, move, put
from numlstm.backends.cpu.layer import plain_cell, variant_cell
from numlstm.backends.cpu.layer.tape import line_of, read_layout, read_tape, rows_at

GATES = "ifgo"  # in the order in which every kind of tape begins


def layer_trace(spec: LayerSpec, tape, quantity: str, steps=None, units=None) -> np.ndarray:
    """What the layer had of a gate or of the cell, (B, S, U); zero behind the ends of the rows."""
    layout, memory, masks, _ = tape
    steps = np.arange(layout.steps)[None] if steps is None else steps
    every = np.arange(spec.hidden_size) if units is None else units
    result = from_pool((layout.batch, steps.shape[1], len(every)), spec.dtype)
    if result.size:
        slot = GATES.find(quantity)
        if quantity == "c":
            slot = plain_cell.SLOTS - 1 if masks is None else variant_cell.C
        given = layout.numbers, memory, slot, steps, every, units is None, result
        call(read_units, layout.parts, result.size, *given)
    return result


@entry
def read_units(driver, numbers, memory, slot, steps, units, whole, result):
    """result (B, S, U) = a slot of the cells, at steps (B or 1, S) and units (U,): of the whole."""
    layout = read_layout(numbers)
    tape = read_tape(layout, line_of(layout, layout.shards - 1, layout.steps), memory)
    for_shards(read_rows, driver, layout.shards, (layout, tape, slot, steps, units, whole, result))


@kernel
def read_rows(shard, layout, tape, slot, steps, units, whole, result):
    """The rows of a shard."""
    count, width = result.shape[1], result.shape[2]
    first, last = get(layout.place, shard), get(layout.place, shard + 1)
    for j in range(last - first):
        row = get(layout.order, first + j)
        own = at(steps, min(row, steps.shape[0] - 1) * count)
        target = at(result, row * count * width)
        for s in range(count):
            t = get(own, s)
            if j < rows_at(layout, shard, t):
                cells = move(tape.cells.start, (line_of(layout, shard, t) + j) * tape.cells.row)
                cells = move(cells, slot * lanes_of(cells))
                if whole:
                    copy_units(target, cells, layout)
                else:
                    pick_units(target, cells, layout, units)
            else:
                clear(target, width)
            target = move(target, width)


@kernel
def copy_units(target, cells, layout):
    """target (H,) = those of a line of cells, (U, slots, L)."""
    lanes = lanes_of(cells)
    for u in range(layout.vectors):
        count = min(lanes, layout.units - u * lanes)
        copy(move(target, u * lanes), move(cells, u * layout.slots * lanes), count)


@kernel
def pick_units(target, cells, layout, units):
    """target[k] = unit units[k] of a line of cells, (U, slots, L)."""
    lanes = lanes_of(cells)
    for k in range(units.size):
        unit = get(at(units, k), 0)
        put(target, k, get(cells, unit // lanes * layout.slots * lanes + unit % lanes))

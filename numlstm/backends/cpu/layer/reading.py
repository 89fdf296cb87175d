"""What a forward pass had of its gates and cells, copied off the tape.

The tape is in lines of vectors of units: NumPy finds those of a quantity by their places alone, so
that there is no kernel to compile. The letters in the shape comments: see `tape.py`.
"""

import numpy as np

from numlstm.architecture.spec import LayerSpec
from numlstm.backends.cpu.layer import plain_cell, variant_cell
from numlstm.backends.cpu.layer.shards import Layout
from numlstm.backends.cpu.layer.tape import HEADER, SequenceLayout

GATES = "ifgo"  # in the order in which every kind of tape begins


def layer_trace(spec: LayerSpec, tape, quantity: str, steps=None, units=None) -> np.ndarray:
    """What the layer had of a gate or of the cell, (B, S, U); zero behind the ends of the rows."""
    layout, memory, _, _ = tape
    sizes = sequence_layout(layout)
    steps = np.arange(layout.steps)[None] if steps is None else steps
    count = spec.hidden_size if units is None else len(units)
    if not (layout.lines and steps.size and count):
        return np.zeros((layout.batch, steps.shape[1], count), spec.dtype)
    lines, active = lines_of(sizes, steps)
    cells = cells_of(layout, sizes, memory)[:, :, slot_of(sizes, quantity)]
    if units is None:
        values = cells[lines].reshape(*lines.shape, -1)[..., : spec.hidden_size]
    else:
        lanes = cells.shape[2]
        values = cells[lines[..., None], units // lanes, units % lanes]
    if not active.all():
        values[~active] = 0
    return values


def slot_of(sizes: SequenceLayout, quantity: str) -> int:
    """The place of a quantity among the values that the tape holds of a unit."""
    if quantity != "c":
        return GATES.index(quantity)
    return plain_cell.SLOTS - 1 if sizes.slots == plain_cell.SLOTS else variant_cell.C


def cells_of(layout: Layout, sizes: SequenceLayout, memory: np.ndarray) -> np.ndarray:
    """The tape's cells, (N, U, slots, L): a view, as `tape.read_tape` has them."""
    first, count = layout.lines * sizes.stride, layout.lines * sizes.row
    lanes = layout.gate // sizes.vectors
    lines = memory[first : first + count].reshape(layout.lines, sizes.row)
    units = lines[:, : layout.gate * sizes.slots]  # what normalisation scaled by stands behind
    return units.reshape(layout.lines, sizes.vectors, sizes.slots, lanes)


def lines_of(sizes: SequenceLayout, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The line of tape of every row at its steps, and whether it has one, both (B, S)."""
    place = np.argsort(sizes.order)  # of every row of the caller
    shard = np.searchsorted(sizes.place, place, side="right") - 1
    within = (place - sizes.place[shard])[:, None]
    first, end = (sizes.line[shard[:, None], steps + later] for later in (0, 1))
    active = within < end - first
    return np.where(active, first + within, 0), active


def sequence_layout(layout: Layout) -> SequenceLayout:
    """The layout as the kernels know it, its parts by name: as `tape.read_layout`."""
    numbers, batch = layout.numbers, layout.batch
    order, place, line = np.split(numbers[HEADER:], [batch, batch + layout.parts + 1])
    parts = order, place, line.reshape(layout.parts, layout.steps + 1)
    return SequenceLayout._make([*numbers[:HEADER].tolist(), *parts])

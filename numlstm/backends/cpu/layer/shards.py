"""How a layer's work is cut into shards: by the problem alone, never by the number of threads."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from numlstm.architecture.cell import Cell
from numlstm.architecture.spec import LayerSpec
from numlstm.backends.cpu.codegen import packing
from numlstm.backends.cpu.codegen.packing import blocks
from numlstm.backends.cpu.layer import variant_cell
from numlstm.backends.cpu.layer.plain_cell import SLOTS

MAX_SHARDS = 16  # every shard has its own copy of the gradient
MIN_ROWS = 8  # fewer rows per shard would read the weights too often
FEW_ROWS = 4  # but a few threads should have something to do
FEW_SHARDS = 4
# bytes of weights beyond which a shard is a group of units (see `recurrence_by_units.py`): in any
# case, and where the rows are too few to be shared
LARGE_WEIGHTS, LARGE_WEIGHTS_OF_FEW = 2**24, 2**18
CHUNK_LINES = 128  # lines of tape whose input part is computed in one product


class Layout(NamedTuple):
    """A layout of sequences as the kernels read it, and sizes of the arrays to be allocated."""

    numbers: np.ndarray  # see tape.SequenceLayout
    batch: int
    steps: int
    parts: int  # shards of rows
    lines: int  # N
    lines_untaped: int  # lines that a pass without a tape uses
    lines_of_chunk: int  # of a chunk of steps in `recurrence_by_units.py`
    line_size: int  # elements of a line of tape
    first_size: int  # elements of the initial cell states
    gate: int  # H, filled up to whole vectors
    by_units: bool  # shards of units, as in `recurrence_by_units.py`

    @property
    def tasks(self) -> int:
        """Number of tasks for threads, at least."""
        return 2 if self.by_units else self.parts

    def memory(self, taped: bool) -> int:
        """Elements of the tape's memory."""
        return (self.lines if taped else self.lines_untaped) * self.line_size + self.first_size


@lru_cache(maxsize=8)
def uniform(spec: LayerSpec, batch: int, steps: int, plain: bool = True) -> Layout:
    """The layout for rows of the same length; plain as `is_plain` says."""
    in_order = np.array_split(np.arange(batch), shard_count(spec, batch, plain))
    return _assemble(spec, np.full(batch, steps), steps, in_order, plain)


def ragged(spec: LayerSpec, lengths: np.ndarray, steps: int, plain: bool = True) -> Layout:
    """The layout for rows of any length, dealt to the shards longest first, like cards."""
    lengths = np.minimum(lengths, steps)
    # as many as for full rows of the same length in all: a shard should not run out of rows
    full = blocks(int(lengths.sum()), max(1, steps))
    shards = shard_count(spec, full, plain)
    longest_first = np.argsort(-lengths, kind="stable")
    dealt = [longest_first[shard::shards] for shard in range(shards)]
    return _assemble(spec, lengths, steps, dealt, plain)


def _assemble(spec: LayerSpec, lengths: np.ndarray, steps: int, dealt: list, plain: bool) -> Layout:
    """The layout in which every shard has the rows that it was dealt, longest first."""
    shards, order = len(dealt), np.concatenate(dealt)
    place = np.concatenate([[0], np.cumsum([len(rows) for rows in dealt])])
    line = np.zeros((shards, steps + 1), np.int64)
    for shard, rows in enumerate(dealt):
        ends = np.bincount(lengths[rows], minlength=steps + 1)[: steps + 1]
        active = len(rows) - np.cumsum(ends)[:-1]  # rows longer than t
        line[shard, 1:] = np.cumsum(active)
    line += np.concatenate([[0], np.cumsum(line[:, -1])[:-1]])[:, None]
    units, batch, lines = spec.hidden_size, len(order), int(line[-1, -1])
    lanes, width = packing.lanes(spec.dtype), packing.panel_width(spec.dtype)
    vectors, padded = blocks(units, lanes), blocks(units, width) * width
    itemsize = np.dtype(spec.dtype).itemsize
    outputs = spec.output_size
    stride = packing.odd_cache_lines(1 + spec.input_size + vectors * lanes, itemsize)
    slots, row = _tape_line(spec, vectors * lanes, plain)
    by_units = plain and is_by_units(spec, batch)
    chunk = max(2, CHUNK_LINES // max(1, batch)) if by_units else 1
    chunk_lines = min(lines, chunk * batch)
    sizes = batch, steps, spec.input_size, units, vectors, padded, stride, shards, chunk
    padded_out, gates = blocks(outputs, width) * width, len(spec.cell.gates)
    variant = outputs, padded_out, gates, not spec.cell.layer_norm, slots, row
    numbers = np.concatenate([sizes, variant, order, place, line.ravel()]).astype(np.int64)
    return Layout(
        numbers,
        batch,
        steps,
        shards,
        lines,
        lines_untaped=chunk_lines if by_units else batch,
        lines_of_chunk=chunk_lines,
        line_size=stride + row,
        first_size=batch * padded,
        gate=vectors * lanes,
        by_units=by_units,
    )


def _tape_line(spec: LayerSpec, padded: int, plain: bool) -> tuple[int, int]:
    """Values of a unit on the tape, and elements of a line of them."""
    if plain:
        return SLOTS, SLOTS * padded
    if spec.cell.layer_norm:
        return variant_cell.SLOTS_NORMALISED, (
            variant_cell.SLOTS_NORMALISED * padded + variant_cell.SCALES
        )
    return variant_cell.SLOTS, variant_cell.SLOTS * padded


def is_plain(spec: LayerSpec) -> bool:
    """Whether a layer has the plain cell, without a variant."""
    return spec.cell == Cell() and spec.proj_size is None


def shard_count(spec: LayerSpec, batch: int, plain: bool) -> int:
    """Number of shards of rows for a batch, at least one."""
    if plain and is_by_units(spec, batch):
        return 1
    most = max(batch // MIN_ROWS, min(FEW_SHARDS, batch // FEW_ROWS))
    return max(1, min(MAX_SHARDS, most))


def is_by_units(spec: LayerSpec, batch: int) -> bool:
    """Whether every thread should read only a part of the weights, for all rows."""
    columns = 1 + spec.input_size + spec.hidden_size
    size = 4 * spec.hidden_size * columns * np.dtype(spec.dtype).itemsize
    return size > LARGE_WEIGHTS or (size > LARGE_WEIGHTS_OF_FEW and batch < 2 * FEW_ROWS)

"""How a batch is cut into shards: by the problem alone, never by the number of threads."""

from functools import lru_cache

import numpy as np

from numlstm.backends.cpu import packing
from numlstm.backends.cpu.layer import Plan
from numlstm.backends.cpu.packing import blocks
from numlstm.spec import LayerSpec

MAX_SHARDS = 16  # every shard has its own copy of the gradient
MIN_ROWS = 8  # fewer rows per shard would read the weights too often
MIN_ROWS_LARGE = 16  # where the weights do not stay in a core's own cache
LARGE_WEIGHTS = 2**20  # bytes


def make_plan(spec: LayerSpec, lengths: np.ndarray | None, batch: int, steps: int) -> Plan:
    """The plan for one batch; rows are dealt to the shards longest first, like cards."""
    if lengths is None:
        return _uniform_plan(spec, batch, steps)
    return _plan(spec, np.minimum(lengths, steps), steps)


@lru_cache(maxsize=8)
def _uniform_plan(spec: LayerSpec, batch: int, steps: int) -> Plan:
    in_order = np.array_split(np.arange(batch), shard_count(spec, batch))
    return _assemble(spec, np.full(batch, steps), steps, in_order)


def _plan(spec: LayerSpec, lengths: np.ndarray, steps: int) -> Plan:
    shards = shard_count(spec, len(lengths))
    longest_first = np.argsort(-lengths, kind="stable")
    dealt = [longest_first[shard::shards] for shard in range(shards)]
    return _assemble(spec, lengths, steps, dealt)


def _assemble(spec: LayerSpec, lengths: np.ndarray, steps: int, dealt: list) -> Plan:
    """The plan in which every shard has the rows that it was dealt, longest first."""
    shards, order = len(dealt), np.concatenate(dealt).astype(np.int64)
    place = np.concatenate([[0], np.cumsum([len(rows) for rows in dealt])]).astype(np.int64)
    line = np.zeros((shards, steps + 1), np.int64)
    for shard, rows in enumerate(dealt):
        ends = np.bincount(lengths[rows], minlength=steps + 1)[: steps + 1]
        running = len(rows) - np.cumsum(ends)[:-1]  # rows longer than t
        line[shard, 1:] = np.cumsum(running)
    line += np.concatenate([[0], np.cumsum(line[:, -1])[:-1]])[:, None]
    units, lanes, width = (
        spec.hidden_size,
        packing.lanes(spec.dtype),
        packing.panel_width(spec.dtype),
    )
    vectors, padded = blocks(units, lanes), blocks(units, width) * width
    return Plan(steps, spec.input_size, units, vectors, padded, order, place, line)


def shard_count(spec: LayerSpec, batch: int) -> int:
    """Number of shards for a batch, at least one."""
    columns = 1 + spec.input_size + spec.hidden_size
    large = 4 * spec.hidden_size * columns * np.dtype(spec.dtype).itemsize > LARGE_WEIGHTS
    rows = MIN_ROWS_LARGE if large else MIN_ROWS
    return max(1, min(MAX_SHARDS, batch // rows))

"""The CUDA kernels in Numba's simulator: cuts of a layer that suit it, memory full of NaN.

The simulator takes a thread of Python for every thread of a block.
"""

import sys

import numpy as np
import pytest

from numlstm.backends.cuda.device import memory
from numlstm.backends.cuda.layer import regimes
from numlstm.backends.cuda.layer.tiles import Tile, rows_of

sys.setswitchinterval(1e-4)  # the simulator's threads wait for each other all the time

# how a layer is cut -> (threads and rows of a block and more, blocks that share the units)
CUTS = {
    "one block": (Tile(0, 2, 1, 2, kept=-1, shared_units=False), 1),
    "one block, all of k": (Tile(0, 2, 1, 99, kept=-1, shared_units=False), 1),
    "held": (Tile(0, 1, 2, 99, kept=-1, shared_units=False, held=4), 1),
    "two blocks": (Tile(0, 1, 2, 9, kept=-1, shared_units=True), 2),
    "streamed": (Tile(2, 1, 2, 2, kept=0, shared_units=True), 3),
    "streamed rows": (Tile(2, 2, 1, 3, kept=0, shared_units=False), 1),
}


def cut(name):
    """In the place of `regime_of`: always the same cut."""
    tile, columns = CUTS[name]

    def regime_of(encoded, units, batch, dtype, device, factors=0):
        ours, shared = tile, columns
        if encoded.layer_norm or encoded.projected:
            ours, shared = ours._replace(shared_units=False), 1
        if ours.kept:
            held = ours.held if units > ours.held and not encoded.projected else 0
            depth = min(ours.depth, units)
            share = -(-units // shared)
            ours = ours._replace(units=share, depth=depth, kept=units - held, held=held)
        size = regimes.shared_memory(ours, encoded, dtype)
        return regimes.Regime(ours, shared, rows_of(ours), size, False)

    return regime_of


@pytest.fixture(autouse=True)
def poisoned_memory(monkeypatch):
    """What is not written is NaN."""

    found = memory.allocate

    def allocate(shape, dtype):
        array = found(shape, dtype)
        array[...] = np.nan if array.dtype.kind == "f" else 99
        return array

    monkeypatch.setattr(memory, "allocate", allocate)

"""The CUDA kernels in Numba's simulator: its threads, cuts of a layer, memory full of NaN."""

import random
import threading

import numpy as np
import pytest
from numba.cuda.simulator import kernel

from numlstm.backends.cuda.device import memory
from numlstm.backends.cuda.layer import regimes
from numlstm.backends.cuda.layer.tiles import Tile, rows_of


class Thread(kernel.BlockThread):
    """A thread of a block, which says itself when it waits and when it has ended."""

    def run(self):
        super().run()
        self._manager.ended(self)

    def syncthreads(self):
        self._manager.waits(self)
        self.syncthreads_event.wait()
        self.syncthreads_event.clear()
        if self.abort:
            raise RuntimeError("another thread has failed")


class Block(kernel.BlockManager):
    """A block whose threads wake each other, in another order every time.

    The simulator's own asks each of them all the time whether it waits, which takes most of the
    time, and starts and wakes them in the order of their indices: that hides where one of them
    relies on another before it.
    """

    order = random.Random(0)

    def run(self, grid_point, *args):
        self._lock, self._waiting = threading.Lock(), []
        self._threads = [
            Thread(lambda: self._f(*args), self, grid_point, point, self._debug)
            for point in np.ndindex(*self._block_dim)
        ]
        self._alive = len(self._threads)
        for thread in self.order.sample(self._threads, self._alive):
            thread.start()
        for thread in self._threads:
            thread.join()
        # what the others raise since one has failed says nothing
        failed = [thread for thread in self._threads if thread.exception and not thread.abort]
        if failed:
            error, traceback = failed[0].exception
            raise error.with_traceback(traceback)

    def waits(self, thread):
        with self._lock:
            self._waiting.append(thread)
            self._wake_if_all_wait()

    def ended(self, thread):
        with self._lock:
            self._alive -= 1
            if thread.exception and not thread.abort:
                for other in set(self._threads) - {thread}:
                    other.abort = True
                    other.syncthreads_event.set()
            self._wake_if_all_wait()

    def _wake_if_all_wait(self):
        if len(self._waiting) == self._alive:
            waiting, self._waiting = self._waiting, []
            for thread in self.order.sample(waiting, len(waiting)):
                thread.syncthreads_event.set()


kernel.BlockManager = Block

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

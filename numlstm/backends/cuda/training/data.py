"""A dataset on the device, or brought there batch by batch, and windows of it."""

from dataclasses import replace
from typing import Any

import numpy as np

from numlstm.backends.cuda.device.compile import kernel
from numlstm.backends.cuda.device.memory import (
    as_matrix,
    as_steps,
    empty,
    flat,
    full,
    on_device,
    over_elements,
    send,
)
from numlstm.backends.cuda.device.target import cuda
from numlstm.cell.elementary import like


class Resident:
    """A `numlstm.data.sequences.Dataset` whose arrays were brought to the device once.

    What is small and steers a run, as lengths and sums of weights, is asked of the host's.
    """

    def __init__(self, data: Any):
        self._data = data
        self.last, self.count, self.order = data.last, data.count, data.order
        self.steps, self.total_weight = data.steps, data.total_weight
        self.X, self.y, self.weight = map(on_device, (data.X, data.y, data.weight))
        self.lengths, self.reset, self.static = (
            None if array is None else on_device(array)
            for array in (data.lengths, data.reset, data.static)
        )

    def cut(self, start: int, stop: int, rows: Any = slice(None)):
        """Some rows' steps from `start` to before `stop`: see `Dataset.cut`."""
        index = on_device(np.arange(self.X.shape[0])[rows])
        return self.window(index, on_device(np.array([start], np.int64)), stop - start)

    def take(self, other: "Resident") -> bool:
        """Become another dataset without other memory, where its arrays have these shapes."""
        own, given = self._arrays(), other._arrays()
        if _shapes(own) != _shapes(given):
            return False
        for name, array in given.items():
            over_elements(take_all, array.size, flat(own[name]), flat(array))
        vars(self).update({**vars(other), **own})
        return True

    def _arrays(self) -> dict[str, Any]:
        """All that lies on the device."""
        return {name: part for name, part in vars(self).items() if hasattr(part, "shape")}

    def numbers(self, rows: Any) -> np.ndarray:
        """Rows by number."""
        return np.arange(self.count)[rows]

    def feed(self, start: int, stop: int, rows: Any, fed: Any) -> None:
        """Nothing has to be brought over for an update: `window` cuts what it needs."""

    def window(self, rows, start, steps: int):
        """The same for rows (B,) and start (1,) that are on the device: a Dataset of its arrays."""
        place = rows, start, steps
        if self.last:
            y, weight = _rows(self.y, rows), self._ending(*place)
        else:
            y, weight = _cut(self.y, *place), _cut(self.weight, *place)
        reset = None if self.reset is None else _cut(self.reset, *place)
        lengths = None if self.lengths is None else self._remaining(*place)
        static = None if self.static is None else _rows(self.static, rows)
        parts = {"X": _cut(self.X, *place), "y": y, "weight": weight}
        return replace(self._data, **parts, lengths=lengths, reset=reset, static=static)

    def _ending(self, rows, start, steps: int):
        """Weights of the targets of rows that end in the window, 0 for the others."""
        result = empty((rows.size, *self.weight.shape[1:]), self.weight.dtype)
        lengths = self.lengths
        if lengths is None:
            lengths = full((self.X.shape[0],), self.X.shape[1], np.int64)
        matrices = as_matrix(result), as_matrix(self.weight)
        over_elements(take_ending, result.size, *matrices, rows, start, steps, lengths)
        return result

    def _remaining(self, rows, start, steps: int):
        """How many steps of the window every row has."""
        result = empty(rows.shape, np.int64)
        over_elements(take_lengths, result.size, result, self.lengths, rows, start, steps)
        return result


def _shapes(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


_ARRAYS = "X", "y", "weight", "reset", "static"


class FromHost:
    """Windows over series that the device has no room for: what the host cuts is brought over."""

    def __init__(self, data: Any):
        self._data = data
        self.last, self.count, self.order = data.last, data.count, data.order
        self.steps, self.total_weight = data.steps, data.total_weight

    def cut(self, start: int, stop: int, rows: Any = slice(None)):
        """Some samples' steps from `start` to before `stop`: see `Dataset.cut`."""
        return self.feed(start, stop, rows, None)

    def numbers(self, rows: Any) -> np.ndarray:
        """Samples by number."""
        return np.arange(*rows.indices(self.count)) if isinstance(rows, slice) else np.asarray(rows)

    def feed(self, start: int, stop: int, rows: Any, fed: Any):
        """The same, into the arrays of one that was cut before, of the same shape."""
        part = self._data.cut(start, stop, rows)
        found = {name: getattr(part, name) for name in _ARRAYS}
        arrays = {name: array for name, array in found.items() if array is not None}
        if fed is None:
            return replace(part, **{name: on_device(array) for name, array in arrays.items()})
        for name, array in arrays.items():
            target = getattr(fed, name)
            send(np.ascontiguousarray(array, target.dtype), target)
        return fed


def _cut(array, rows, start, steps: int):
    """Some rows' steps from `start` on, of (N, T, ...)."""
    result = empty((rows.size, steps, *array.shape[2:]), array.dtype)
    over_elements(take_steps, result.size, as_steps(result), as_steps(array), rows, start)
    return result


def _rows(array, rows):
    """Some rows of (N, ...)."""
    result = empty((rows.size, *array.shape[1:]), array.dtype)
    over_elements(take_rows, result.size, as_matrix(result), as_matrix(array), rows)
    return result


@kernel
def take_steps(target, source, rows, start):
    """target (B, k, n) = source (N, T, n) at rows (B,), k steps from start (1,) on."""
    _, steps, width = target.shape
    for i in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        line, k = i // width, i % width
        row, t = line // steps, line % steps
        target[row, t, k] = source[rows[row], start[0] + t, k]


@kernel
def take_all(target, source):
    """target (n,) = source (n,)."""
    for i in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        target[i] = source[i]


@kernel
def take_rows(target, source, rows):
    """target (B, n) = source (N, n) at rows (B,)."""
    width = target.shape[1]
    for i in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        target[i // width, i % width] = source[rows[i // width], i % width]


@kernel
def take_ending(target, source, rows, start, steps, lengths):
    """target (B, n) = source (N, n) at rows (B,) that end in the window, else 0. lengths (N,)."""
    width = target.shape[1]
    for i in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        row = rows[i // width]
        end, first = lengths[row], start[0]
        value = source[row, i % width]
        here = (first < end or first == 0) and end <= first + steps
        target[i // width, i % width] = value if here else like(value, 0.0)


@kernel
def take_lengths(target, lengths, rows, start, steps):
    """target (B,) = lengths (N,) at rows (B,) less start (1,), between 0 and `steps`."""
    for i in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        target[i] = min(max(lengths[rows[i]] - start[0], 0), steps)

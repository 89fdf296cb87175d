"""Windows that are gathered on the device, out of series that lie there."""

from typing import Any

import numpy as np

from numlstm.backends.cuda.device.compile import kernel
from numlstm.backends.cuda.device.memory import (
    as_matrix,
    as_steps,
    driver,
    empty,
    on_device,
    over_elements,
    send,
)
from numlstm.backends.cuda.device.target import cuda
from numlstm.backends.cuda.training.data import FromHost, take_rows
from numlstm.cell.elementary import like


def gathered(data: Any) -> "ResidentSeries | FromHost":
    """A `numlstm.data.windows.WindowedDataset` where its windows are cut.

    On the device, unless the series take more than half of the memory that is free there: the other
    half is for the tape of a batch. Whether they are read from memory or from a file does not
    matter: each step is read once, and a file that is larger than the device stays on the host.
    """
    steps = data.by_steps()
    if 2 * steps.nbytes > driver.free_memory():
        return FromHost(data)
    return ResidentSeries(data, steps)


class ResidentSeries:
    """Windows over series whose steps were brought to the device once, in the network's units.

    A row of a batch is the place of its first step among all that lie there.
    """

    def __init__(self, data: Any, steps: Any):
        self.last, self.count, self.order = data.last, data.count, data.order
        self.steps, self.total_weight = data.steps, data.total_weight
        self._steps = steps
        self._first_target = data.window - data.targets.last
        self._arrays = _brought_over(steps)
        self._static = None if data.static is None else on_device(data.static)

    def cut(self, start: int, stop: int, rows: Any = slice(None)):
        """Some samples' steps from `start` to before `stop`: see `Dataset.cut`."""
        begins = on_device(self.numbers(rows))
        return self.window(begins, on_device(np.array([start], np.int64)), stop - start)

    def numbers(self, rows: Any) -> np.ndarray:
        """The places of samples."""
        places: np.ndarray = self._steps.starts(rows)
        return places

    def feed(self, start: int, stop: int, rows: Any, fed: Any) -> None:
        """Nothing has to be brought over for an update: `window` gathers what it needs."""

    def window(self, begins, start, steps: int):
        """The same for begins (B,) and start (1,) that are on the device."""
        place, arrays = (begins, start), self._arrays
        if "age" in arrays:
            X = _filled(arrays["X"], arrays["age"], *place, steps)
        else:
            X = _gathered(arrays["X"], *place, steps)
        y, weight = (self._targets(arrays[name], *place, steps) for name in ("y", "weight"))
        reset = _gathered(arrays["reset"], *place, steps) if "reset" in arrays else None
        return self._steps.dataset(X, y, weight, reset, self._attributes(begins))

    def _targets(self, source, begins, start, steps: int):
        """Targets of the steps of a cut, or what they count; 0 at steps that have none."""
        first = self._first_target
        if not self.last:
            return _gathered(source, begins, start, steps, first=first)
        # of a sample with one target, at its last step, that of the last step of the cut
        target = _gathered(source, begins, start, 1, skip=steps - 1, first=first)
        return target.reshape((begins.size, *source.shape[1:]))

    def _attributes(self, begins):
        """Attributes of the series in which windows begin, (B, A)."""
        if self._static is None:
            return None
        rows, series = empty(begins.size, np.int64), self._arrays["series"]
        over_elements(take_rows, rows.size, as_matrix(rows), as_matrix(series), begins)
        static = empty((rows.size, self._static.shape[1]), self._static.dtype)
        over_elements(take_rows, static.size, static, self._static, rows)
        return static


def _brought_over(steps: Any) -> dict[str, Any]:
    """All steps on the device, an array of each kind; they are read a piece at a time."""
    arrays: dict[str, Any] = {}
    first = 0
    for piece in steps.pieces():
        count = len(piece.X)
        for name, part in piece.arrays.items():
            if name not in arrays:
                arrays[name] = empty((steps.count, *part.shape[1:]), part.dtype)
            send(np.ascontiguousarray(part), arrays[name][first : first + count])
        first += count
    return arrays


def _gathered(source, begins, start, steps: int, skip: int = 0, first: int = 0):
    """Steps of windows, (B, steps, ...) out of (R, ...)."""
    target = empty((begins.size, steps, *source.shape[1:]), source.dtype)
    arguments = as_steps(target), as_matrix(source), begins, start, skip, first
    over_elements(take_windows, target.size, *arguments)
    return target


def _filled(source, age, begins, start, steps: int):
    """Steps of windows without a missing input, and what was observed, (B, steps, 2 I)."""
    width = source.shape[1]
    target = empty((begins.size, steps, 2 * width), source.dtype)
    over_elements(take_filled, begins.size * steps * width, target, source, age, begins, start)
    return target


@kernel
def take_windows(target, source, begins, start, skip, first):
    """target[b, j] (B, k, n) = source[begins[b] + t] (R, n) at t = start[0] + skip + j >= first.

    0 before that. begins (B,), start (1,).
    """
    _, steps, width = target.shape
    for i in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        line, k = i // width, i % width
        row, j = line // steps, line % steps
        t = start[0] + skip + j
        value = source[begins[row] + t, k]
        target[row, j, k] = value if t >= first else like(value, 0)


@kernel
def take_filled(target, source, ages, begins, start):
    """target[b, j] (B, k, 2 n) = source[s - age] (R, n) and age == 0, at s = begins[b] + t.

    t = start[0] + j, age = ages[s] (R, n) if it is at most t, else 0, where source has the mean.
    begins (B,), start (1,).
    """
    steps, width = target.shape[1], source.shape[1]
    for i in range(cuda.grid(1), target.shape[0] * steps * width, cuda.gridsize(1)):
        line, k = i // width, i % width
        row, j = line // steps, line % steps
        t = start[0] + j
        step = begins[row] + t
        age = ages[step, k]
        value = source[step - age if age <= t else step, k]
        target[row, j, k] = value
        target[row, j, width + k] = like(value, 1) if age == 0 else like(value, 0)

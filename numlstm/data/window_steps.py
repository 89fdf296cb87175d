"""The steps of series as windows have them, each once: for a backend that keeps all of them.

A step has the same numbers in every window that it is in, but for a missing input, which is filled
by what came before it in its window. How long ago that was is a number of the step.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numlstm.data.sequences import Dataset
from numlstm.utils.types import Array

if TYPE_CHECKING:
    from numlstm.data.windows import WindowedDataset

_STEPS = 4096  # that are read at once, or a multiple


class Steps(NamedTuple):
    """Steps of a series, in the network's units.

    Attributes
    ----------
    X : ndarray, shape (n, I)
        Inputs, the mean where one is missing.
    y, weight : ndarray, shape (n, O), or (n,) for classes
        Targets and what they count.
    reset : ndarray of uint8, shape (n,), or None
        1 where the series begins anew before a step.
    age : ndarray of int32, shape (n, I), or None
        Steps since a feature was observed, 0 where it is; those of a window if it is longer ago
        or was before a reset. None where nothing is filled.
    series : ndarray of int64, shape (n,), or None
        Number of the series; None where series have no attributes.
    """

    X: Array
    y: Array
    weight: Array
    reset: Array | None
    age: Array | None
    series: Array | None

    @property
    def arrays(self) -> dict[str, Array]:
        """Those that there are."""
        return {name: part for name, part in self._asdict().items() if part is not None}


class _Seen(NamedTuple):
    """What was, up to a step of a series."""

    observed: Array  # (1, I) the last step at which each feature was observed
    begun: int  # the last step before which the series began anew


@dataclass(frozen=True, eq=False)
class WindowSteps:
    """All steps that are in a window of a dataset, series after series.

    Between the first window of a series and the last one none is left out.
    """

    data: "WindowedDataset"

    @property
    def spans(self) -> tuple[Array, Array]:
        """The first of these steps in every series, and the one behind the last, each (S,)."""
        samples = self.data.samples
        begins = samples.first - (self.data.window - 1)
        ends = samples.first + samples.stride * (samples.counts - 1) + 1
        return begins, np.where(samples.counts > 0, ends, begins)

    @property
    def count(self) -> int:
        """How many these are."""
        begins, ends = self.spans
        return int(np.sum(ends - begins))

    @property
    def nbytes(self) -> int:
        """Memory of all of them."""
        begins, ends = self.spans
        number = int(np.argmax(ends > begins))
        first = int(begins[number])
        one, _ = self._read(number, first, first + 1, self._nothing_seen(first))
        return self.count * sum(part.nbytes for part in one.arrays.values())

    def starts(self, rows: Any) -> Array:
        """The first step of some samples, (B,), by its place among all of these."""
        series, ends = self.data.samples.places(rows)
        first, behind = self.spans
        before = np.cumsum(behind - first) - (behind - first)
        starts: Array = before[series] + ends - (self.data.window - 1) - first[series]
        return starts

    def pieces(self) -> Iterator[Steps]:
        """All of them in order, a part at a time."""
        for number, (first, behind) in enumerate(zip(*self.spans, strict=True)):
            seen = self._nothing_seen(int(first))
            for start, stop in self.data.X.sources[number].slices(_STEPS, int(behind)):
                if stop > first:
                    steps, seen = self._read(number, max(start, int(first)), stop, seen)
                    yield steps

    def dataset(self, X: Any, y: Any, weight: Any, reset: Any, static: Any) -> Dataset:
        """Windows that were made of these, as `WindowedDataset.cut` has them."""
        return Dataset(X, y, weight, None, self.data.last, reset, static=static)

    def _nothing_seen(self, first: int) -> _Seen:
        """Before the first step that is in a window."""
        observed = np.full((1, self.data.X.width), first - self.data.window, np.int64)
        return _Seen(observed, first)

    def _read(self, number: int, start: int, stop: int, seen: _Seen) -> tuple[Steps, _Seen]:
        data, reset = self.data, None
        if data.resets is not None:
            reset = data.resets[number][start:stop].astype(np.uint8)
        x, age = data.X.sources[number].read(start, stop), None
        units, filling = data.units, data.units.filling
        if filling is not None:
            there = ~np.isnan(x)
            age, seen = self._ages(there, reset, start, seen)
            x = np.where(there, x, filling.mean)
        X = replace(units, filling=None).inputs(x[None], None)[0]
        y, weight = self._targets(number, start, stop)
        series = None if data.static is None else np.full(stop - start, number, np.int64)
        return Steps(X, y, weight, reset, age, series), seen

    def _ages(
        self, there: Array, reset: Array | None, start: int, seen: _Seen
    ) -> tuple[Array, _Seen]:
        """Steps since each feature was `there` (n, I), and what was seen up to the last of them."""
        t = start + np.arange(len(there))[:, None]
        observed = np.maximum.accumulate(np.where(there, t, seen.observed), axis=0)
        age = np.minimum(t - observed, self.data.window)
        begun = seen.begun
        if reset is not None:
            begins = np.maximum.accumulate(np.where(reset[:, None], t, begun), axis=0)
            age = np.where(observed >= begins, age, self.data.window)
            begun = int(begins[-1, 0])
        return age.astype(np.int32), _Seen(observed[-1:], begun)

    def _targets(self, number: int, start: int, stop: int) -> tuple[Array, Array]:
        """Targets of steps and what they count: those of a window that has one at each."""
        targets = replace(self.data.targets, last=stop - start)
        place = np.array([number]), np.array([stop - 1])
        y, weight = self.data.converted(*targets.gather(*place))
        return y[0], weight[0]

"""Windows over long series: a dataset of samples that are cut when they are asked for."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from numlstm.data.ahead import side_by_side, unbroken
from numlstm.data.attributes import static_for_network
from numlstm.data.changes import naive_changes
from numlstm.data.labels import UNNAMED, Names
from numlstm.data.missing import Imputer, network_inputs
from numlstm.data.orders import InBlocks, Shuffled
from numlstm.data.scaling import Scaling
from numlstm.data.sequences import Dataset
from numlstm.data.sources import Series, as_it_is
from numlstm.data.window_steps import WindowSteps
from numlstm.utils.types import Array

_LISTED = 2**22  # samples up to which an order is a list of them
_STEPS = 4096  # that are read at once for the changes of the data, or a multiple


def narrow(count: int) -> Any:
    """The narrowest type of integers for so many samples."""
    return np.int32 if count < 2**31 else np.int64


@dataclass(frozen=True, eq=False)
class Samples:
    """Where the windows of a dataset end: every `stride` steps in every series.

    Attributes
    ----------
    first, counts : ndarray of int64, shape (S,)
        The first end in every series, and how many there are.
    stride : int
        Steps from one end to the next.
    kept : ndarray of int, or None
        Those that are samples, by their number; None: all.
    """

    first: Array
    counts: Array
    stride: int
    kept: Array | None = None

    @property
    def count(self) -> int:
        """Number of samples."""
        return int(self.counts.sum()) if self.kept is None else len(self.kept)

    def places(self, rows: Any) -> tuple[Array, Array]:
        """Series and last step of some samples, each (B,)."""
        if isinstance(rows, slice):
            numbers = np.arange(*rows.indices(self.count))
        else:
            numbers = np.asarray(rows, np.int64)
        if self.kept is not None:
            numbers = self.kept[numbers].astype(np.int64)
        behind = np.cumsum(self.counts)
        series = np.searchsorted(behind, numbers, side="right")
        before = numbers - (behind[series] - self.counts[series])
        return series, self.first[series] + self.stride * before


def _flags(values: list[Array], series: Array, begins: Array, steps: int) -> Array:
    """Those of windows (B, steps) of series (B,), from the steps `begins` (B,) on.

    False behind the end of a series.
    """
    flags = np.zeros((len(series), steps), bool)
    for row, number, begin in zip(flags, series.tolist(), begins.tolist(), strict=True):
        there = values[number][begin : begin + steps]
        row[: len(there)] = there
    return flags


def _numbers(rows: Any) -> Any:
    """Rows as an index of arrays."""
    return rows if isinstance(rows, slice) else np.asarray(rows)


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of every step, and what they count.

    Attributes
    ----------
    y : Series
        As they were given, NaN where there is none.
    last : int
        How many steps at the end of a window have a target.
    classes : bool
        Whether they are numbers of classes.
    since : ndarray of int64, shape (S,), or None
        The first step of every series whose target counts.
    weights : list of ndarray, each (T_s,), or ndarray (S,), or None
        What the targets of a step, or of a series, count.
    begins : list of ndarray of bool, each (T_s,), or None
        Of forecasts: where the next step begins a sequence anew, so that nothing is forecast.
    factor : ndarray, shape (S, O), or None
        What every target of a series counts beside that.
    horizon : int
        How many steps of `y` a step has as targets, side by side: its own and those that follow.
        Where there may be none, `y` is `numlstm.data.ahead_sources.ending`.
    until : ndarray of int64, shape (S,), or None
        The first step of every series from which on targets do not count.
    """

    y: Series
    last: int
    classes: bool
    since: Array | None = None
    weights: Any = None
    begins: list[Array] | None = None
    factor: Array | None = None
    horizon: int = 1
    until: Array | None = None

    @property
    def width(self) -> int:
        """Numbers that a target has in the network's units."""
        return 1 if self.classes else self.y.width * self.horizon

    def gather(self, series: Array, ends: Array, kernels: Any = None) -> tuple[Array, Array]:
        """Targets (B, last, O) with zeros where there is none, and what each counts, float64."""
        begins, span = ends - (self.last - 1), self.last + self.horizon - 1
        y = self.y.gather(series, begins, span, kernels)
        weight = (~np.isnan(y)).astype(np.float64)
        steps = begins[:, None] + np.arange(span)
        if self.since is not None:
            weight *= (steps >= self.since[series, None])[..., None]
        if self.until is not None:
            weight *= (steps < self.until[series, None])[..., None]
        if any(part is not None for part in (self.begins, self.weights, self.factor)):
            for row, number, begin in zip(weight, series.tolist(), begins.tolist(), strict=True):
                factor = self._factors(number, begin, begin + span)
                part = row[: len(factor)] if np.ndim(factor) > 1 else row  # steps that there are
                part *= factor
        if self.horizon > 1:
            y, weight = (side_by_side(part, self.horizon) for part in (y, weight))
            if self.begins is not None:
                weight *= self._unbroken(series, begins)
        return np.where(weight > 0, y, y.dtype.type(0)), weight

    def _unbroken(self, series: Array, begins: Array) -> Array:
        """Whether the same sequence goes on to each target, (B, last, h O)."""
        assert self.begins is not None
        flags = _flags(self.begins, series, begins, self.last + self.horizon - 1)
        same = np.stack(list(unbroken(flags, self.horizon)), axis=-1)
        return np.repeat(same, self.y.width, axis=2)

    def counting(self, y: Array, number: int, start: int) -> Array:
        """What targets y (n, O) of the steps from `start` on count in one series, float64."""
        stop = start + len(y)
        weight: Array = (~np.isnan(y)).astype(np.float64)
        if self.since is not None:
            weight[: max(0, int(self.since[number]) - start)] = 0
        weight *= self._factors(number, start, stop)
        return weight

    def _factors(self, number: int, start: int, stop: int) -> Any:
        """What steps of a series count where they have a target, (n, O), (n, 1), (O,) or ()."""
        factor: Any = 1.0
        if isinstance(self.weights, list):
            factor = self.weights[number][start:stop, None]
        elif self.weights is not None:
            factor = self.weights[number]
        if self.begins is not None:
            factor = factor * ~self.begins[number][start:stop, None]
        return factor if self.factor is None else factor * self.factor[number]


@dataclass(frozen=True, eq=False)
class Units:
    """What makes network inputs and targets of the data."""

    dtype: str
    scaling: Scaling | None = None
    filling: Imputer | None = None

    def inputs(self, X: Array, reset: Array | None) -> Array:
        """Windows (B, T, I) as the network reads them; each is a sequence of its own."""
        return network_inputs(X, self.filling, self.scaling, self.dtype, reset)

    def targets(self, y: Array) -> Array:
        """Targets (..., O) as the loss reads them."""
        scaled: Array = (
            y.astype(self.dtype) if self.scaling is None else self.scaling.targets(y, self.dtype)
        )
        return scaled


@dataclass(frozen=True, eq=False)
class WindowedDataset:
    """Windows of `window` steps over series, each a sequence of its own.

    To those who learn from it, it is `numlstm.data.sequences.TrainingData`: rows, here samples,
    that are cut. They are made of the series as they are whenever that is asked for.

    Attributes
    ----------
    X : Series
        Inputs, as they were given.
    targets : Targets
        Targets, as they were given.
    samples : Samples
        Where windows end.
    window : int
        Steps of each.
    units : Units
        The network's.
    sums : ndarray, shape (N,), or None
        What the targets of every sample count together; None: 1 for each number.
    coarse : bool
        Whether blocks of consecutive samples are drawn, not single ones.
    resets : list of ndarray of bool, each (T_s,), or None
        Where a series begins anew before a step.
    static : ndarray, shape (S, A), or None
        Attributes of every series.
    y, weight : ndarray, shape (N, O), or (N,) for classes
        Targets of steps, in the network's units, and what they count in all windows: all of them,
        or of many a random part, by which it is told what a constant would reach.
    names : Names
        Of features and targets.
    kernels : module or None
        Those of a backend that cut and standardise at once; to the bits of NumPy, which does it
        where there are none.
    """

    X: Series
    targets: Targets
    samples: Samples
    window: int
    units: Units
    sums: Array | None
    coarse: bool
    resets: list[Array] | None
    y: Array
    weight: Array
    static: Array | None = None
    names: Names = UNNAMED
    kernels: Any = None

    @property
    def count(self) -> int:
        """Number of samples."""
        return self.samples.count

    @property
    def series(self) -> Array:
        """The number of the series that every sample is judged with, (N,)."""
        return self.samples.places(slice(None))[0]

    @property
    def num_series(self) -> int:
        """How many series there are, of which some may have no sample."""
        return len(self.samples.counts)

    @property
    def num_inputs(self) -> int:
        """Number of features that the network reads."""
        return self.X.width * (1 if self.units.filling is None else 2)

    @property
    def last(self) -> bool:
        """Whether a sample has one target, that of its last step."""
        return self.targets.last == 1

    @property
    def extent(self) -> int:
        """Number of steps in all samples."""
        return self.count * self.window

    def steps(self, rows: Any = slice(None)) -> int:
        """Length of a sample."""
        return self.window

    def balanced(self) -> "WindowedDataset":
        """Itself: its weights were given for a mean."""
        return self

    def order(self, rng: np.random.Generator) -> Any:
        """Samples in the order of an epoch."""
        if self.coarse:
            return InBlocks(self.count, rng)
        if self.count > _LISTED:
            return Shuffled(self.count, rng)
        order = np.arange(self.count, dtype=narrow(self.count))
        rng.shuffle(order)  # to the order of `permutation`, in half its memory
        return order

    def total_weight(
        self, start: int = 0, stop: int | None = None, rows: Any = slice(None)
    ) -> float:
        """Sum of the weights of all targets, or of those of a `cut`."""
        stop = self.window if stop is None else stop
        first = self._first_target
        if stop <= first:
            return 0.0
        if self.sums is None:
            count = len(range(*rows.indices(self.count))) if isinstance(rows, slice) else len(rows)
            return float(count * (stop - max(start, first)) * self.targets.width)
        if start <= first and stop == self.window:
            return float(np.sum(self.sums[_numbers(rows)], dtype=np.float64))
        places = self.samples.places(rows)
        return float(np.sum(self._targets(*places, start, stop)[1], dtype=np.float64))

    def changes(self, scale: Array) -> Array:
        """Sum and number of the changes of targets from step to step, (2, O), in the data's units.

        Each once, however many windows it is in, up to the end of the last window of its series.
        Targets are read once more; they are in the units of the data, whatever their `scale` is.
        """
        changes: Array = np.sum(list(self._changes_of_series()), axis=0)
        return changes

    def _changes_of_series(self) -> Iterator[Array]:
        samples, targets = self.samples, self.targets
        behind = samples.first + samples.stride * (samples.counts - 1) + 1
        sources = zip(targets.y.sources, samples.counts, strict=True)
        for number, (source, count) in enumerate(sources):
            for start, stop in source.slices(_STEPS, int(behind[number]) if count else 0):
                start = max(0, start - 1)  # from the last step of the slice before
                y = source.read(start, stop)
                there = targets.counting(y, number, start) > 0
                begins = None
                if self.resets is not None:
                    begins = self.resets[number][None, start:stop, None]
                yield naive_changes(y[None], there[None], begins)

    @property
    def _first_target(self) -> int:
        """The step of a window from which on there are targets."""
        return self.window - self.targets.last

    def cut(self, start: int, stop: int, rows: Any = slice(None)) -> Dataset:
        """Some samples' steps from `start` to before `stop`, in the network's units."""
        series, ends = self.samples.places(rows)
        reset = self._reset(series, ends, start, stop)
        y, weight = self._targets(series, ends, start, stop)
        X = self._inputs(series, ends, start, stop)
        static = None if self.static is None else self.static[series]
        return Dataset(X, y, weight, None, self.last, reset, static=static)

    def _inputs(self, series: Array, ends: Array, start: int, stop: int) -> Array:
        begins = ends - (self.window - 1)
        if self.units.filling is None:
            if self.kernels is not None:
                return self._standardised(series, begins + start, stop - start)
            return self.units.inputs(self.X.gather(series, begins + start, stop - start), None)
        # what is missing is filled by what came before it in its window
        reset = self._reset(series, ends, 0, stop)
        X = self.units.inputs(self.X.gather(series, begins, stop), reset)
        return np.ascontiguousarray(X[:, start:])

    def _standardised(self, series: Array, begins: Array, steps: int) -> Array:
        X, scaling = self.X, self.units.scaling
        if X.addresses is None:
            held = X.gather(series, begins, steps)
            places = held.ctypes.data + held[0].nbytes * np.arange(len(series))
        else:
            places = X.places_of(series, begins)
        mean, scale = as_it_is(X.width) if scaling is None else scaling[:2]
        result = np.empty((len(series), steps, X.width), self.units.dtype)
        self.kernels.standardised(places, X.dtype, mean, scale, result)
        return result

    def _reset(self, series: Array, ends: Array, start: int, stop: int) -> Array | None:
        if self.resets is None:
            return None
        return _flags(self.resets, series, ends - (self.window - 1) + start, stop - start)

    def _targets(self, series: Array, ends: Array, start: int, stop: int) -> tuple[Array, Array]:
        """Targets and weights of a cut, (B, O) or (B, n, O)."""
        if stop <= self._first_target:
            return self._no_targets(len(series), stop - start)
        y, weight = self.converted(*self.targets.gather(series, ends, self.kernels))
        if self.last:
            y, weight = y[:, 0], weight[:, 0]
            return y, weight if stop == self.window else np.zeros_like(weight)
        wide = self._no_targets(len(series), self.window)
        for whole, part in zip(wide, (y, weight), strict=True):
            whole[:, self._first_target :] = part
        y, weight = (np.ascontiguousarray(part[:, start:stop]) for part in wide)
        return y, weight

    def converted(self, y: Array, weight: Array) -> tuple[Array, Array]:
        """Targets (B, n, O) and what they count in the network's units; classes (B, n)."""
        weight = weight.astype(self.units.dtype)
        if self.targets.classes:
            return y[..., 0].astype(np.int64), weight[..., 0]
        return self.units.targets(y), weight

    def _no_targets(self, rows: int, steps: int) -> tuple[Array, Array]:
        shape: tuple[int, ...] = (rows,) if self.last else (rows, steps)
        if not self.targets.classes:
            shape = (*shape, self.targets.width)
        dtype = np.dtype(np.int64 if self.targets.classes else self.units.dtype)
        return np.zeros(shape, dtype), np.zeros(shape, self.units.dtype)

    def by_steps(self) -> WindowSteps:
        """The steps of its windows, each once."""
        return WindowSteps(self)

    def cut_by(self, kernels: Any) -> "WindowedDataset":
        """The same, by the kernels of a backend."""
        return replace(self, kernels=kernels)

    def in_units(self, units: Units) -> "WindowedDataset":
        """The same of data that were not converted before."""
        y = self.y if self.targets.classes else units.targets(self.y)
        static = static_for_network(self.static, units.scaling, units.dtype)
        weight = self.weight.astype(units.dtype)
        return replace(self, units=units, y=y, weight=weight, static=static)

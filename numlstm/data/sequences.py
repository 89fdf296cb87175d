"""Series, batches and ragged lists of them: one rectangular layout inside, the user's outside."""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn, Protocol

import numpy as np

from numlstm.data.changes import naive_changes
from numlstm.data.labels import UNNAMED, Names
from numlstm.data.padding import require_right_padding
from numlstm.utils import checks

_ORDINARY = 2.0**60  # weights up to it, and down to its inverse, keep their digits
_ROWS = 256  # that are read at once for the changes of the data
# what to do about a missing input
NAN_INPUT = "remove or fill it, or fit with missing='mask', to which it is a missing input"


class TrainingData(Protocol):
    """What is learned from, or judged by: rows that are cut, in the network's units.

    Sequences as they are, a `Dataset`, or windows over series, which are made when they are asked
    for, a `numlstm.data.windows.WindowedDataset`.
    """

    @property
    def y(self) -> np.ndarray:
        """Targets, by which it is told what a constant would reach."""

    @property
    def weight(self) -> np.ndarray:
        """What each of these counts."""

    @property
    def static(self) -> np.ndarray | None:
        """Attributes of every row, or of every series."""

    @property
    def count(self) -> int:
        """Number of rows."""

    @property
    def num_inputs(self) -> int:
        """Number of features that the network reads."""

    @property
    def last(self) -> bool:
        """Whether a row has one target, that of its last step."""

    @property
    def extent(self) -> int:
        """Number of steps in all rows."""

    @property
    def series(self) -> np.ndarray:
        """The number of the series that every row is judged with, (N,), from 0 on."""

    @property
    def num_series(self) -> int:
        """How many series there are, of which some may have no row."""

    def steps(self, rows: Any = slice(None)) -> int:
        """Length of the longest of the rows."""

    def order(self, rng: np.random.Generator) -> Any:
        """Rows in the order of an epoch."""

    def total_weight(
        self, start: int = 0, stop: int | None = None, rows: Any = slice(None)
    ) -> float:
        """Sum of the weights of all targets, or of those of a `cut`."""

    def cut(self, start: int, stop: int, rows: Any = slice(None)) -> "Dataset":
        """Some rows' steps from `start` to before `stop`, in the network's units."""

    def changes(self, scale: np.ndarray) -> np.ndarray:
        """Sum and number of the changes of targets from step to step, (2, O), in the data's units.

        `scale` (O,) are the units of the targets of one step.
        """


@dataclass(frozen=True)
class Dataset:
    """Padded sequences, their targets, and the weight of every target.

    It is `TrainingData` to those who learn from it.

    Attributes
    ----------
    X : ndarray, shape (B, T, I)
        Inputs, zero in the padding.
    y : ndarray, shape (B, T, O), or (B, O) for one target per sequence
        Targets; without the last axis for classes.
    weight : ndarray, shape of y
        Weight of every single target: 0 in the padding and where there is no target.
    lengths : ndarray of int64, shape (B,), or None
        Length of every row; None where all have T steps.
    last : bool
        One target per sequence.
    reset : ndarray of bool, shape (B, T), or None
        True where a row's state is reset before the step.
    names : Names
        Of features and targets; the parts that are cut from the data do without them.
    sample_weight : ndarray, shape (B,) or (B, T), or None
        Weight of every row, or of every step's target, as it was given, whether there is a target
        or not; None where all count alike, and in the network's units, which it is for.
    ahead : Ahead or None
        What is forecast at every step, where more was asked for than the next value; the parts that
        are cut from the data do without it.
    lost : int
        Steps at the end of the given series that are only targets, or known ahead.
    static : ndarray, shape (B, S), or None
        Attributes of every row.
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    lengths: np.ndarray | None = None
    last: bool = False
    reset: np.ndarray | None = None
    names: Names = UNNAMED
    sample_weight: np.ndarray | None = None
    ahead: Any = None
    lost: int = 0
    static: np.ndarray | None = None

    @property
    def num_inputs(self) -> int:
        """Number of features per step."""
        return int(self.X.shape[2])

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Rows in the order of an epoch."""
        return rng.permutation(self.count)

    @property
    def valid(self) -> np.ndarray:
        """True where a row has a step, (B, T)."""
        rows, steps = self.X.shape[:2]
        return np.ones((rows, steps), bool) if self.lengths is None else mask(self.lengths, steps)

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def series(self) -> np.ndarray:
        """The number of the series that every row is judged with, (B,), from 0 on.

        Rows with a target per step are series of their own; one target says nothing of a series.
        """
        return np.zeros(self.count, np.int64) if self.last else np.arange(self.count)

    @property
    def num_series(self) -> int:
        """How many series there are."""
        return 1 if self.last else self.count

    @property
    def extent(self) -> int:
        """Number of steps in all, with those of the padding."""
        rows, steps = self.X.shape[:2]
        return int(rows * steps)

    def steps(self, rows: Any = slice(None)) -> int:
        """Length of the longest of the rows."""
        if self.lengths is None:
            return int(self.X.shape[1])
        return int(self.lengths[rows].max(initial=0))

    def cut(self, start: int, stop: int, rows: Any = slice(None)) -> "Dataset":
        """Some rows' steps from `start` to before `stop`, as contiguous arrays.

        One target per sequence belongs to the window in which the sequence ends.
        """
        X = np.ascontiguousarray(self.X[rows, start:stop])
        lengths = None if self.lengths is None else self.lengths[rows]
        weight = np.ascontiguousarray(self.weights(start, stop, rows))
        y = self.y[rows] if self.last else np.ascontiguousarray(self.y[rows, start:stop])
        if lengths is not None:
            lengths = np.clip(lengths - start, 0, stop - start)
        reset = None if self.reset is None else self.reset[rows, start:stop]
        given = self.sample_weight
        if given is not None:
            given = given[rows] if given.ndim == 1 else given[rows, start:stop]
        static = None if self.static is None else np.ascontiguousarray(self.static[rows])
        parts = X, y, weight, lengths, self.last, reset
        return Dataset(*parts, sample_weight=given, static=static)

    def balanced(self) -> "Dataset":
        """The same for a mean, in which weights have only their ratios: the largest is about 1.

        Ordinary weights are divided by a power of two, which changes no digit of the mean.
        """
        return self if self.unit == 1 else replace(self, weight=self.weight / self.unit)

    @property
    def unit(self) -> float:
        """What weights are divided by for a mean."""
        largest = float(self.weight.max(initial=0))
        if 1 / _ORDINARY <= largest <= _ORDINARY:
            return float(2.0 ** (math.frexp(largest)[1] - 1))
        return largest or 1.0

    def total_weight(
        self, start: int = 0, stop: int | None = None, rows: Any = slice(None)
    ) -> float:
        """Sum of the weights of all targets, or of those of a `cut`."""
        stop = self.X.shape[1] if stop is None else stop
        return float(np.sum(self.weights(start, stop, rows), dtype=np.float64))

    def changes(self, scale: np.ndarray) -> np.ndarray:
        """Sum and number of the changes of targets from step to step, (2, O), in the data's units.

        `scale` (O,) are the units of the targets of one step, the first ones.
        """
        if self.last:
            raise ValueError(
                "metrics='mase' compares with the forecast of the last value, which needs a target "
                "for every step: there is one per sequence"
            )
        parts = []
        for start in range(0, self.count, _ROWS):
            rows = slice(start, start + _ROWS)
            window = self.cut(0, self.steps(rows), rows)
            begins = None if window.reset is None else window.reset[..., None]
            y, weight = (part[..., : len(scale)] for part in (window.y, window.weight))
            parts.append(naive_changes(y, weight > 0, begins))
        changes: np.ndarray = np.sum(parts, axis=0)
        changes[0] *= scale
        return changes

    def weights(self, start: int, stop: int, rows: Any) -> np.ndarray:
        """Those of a `cut`."""
        weight: np.ndarray = self.weight[rows] if self.last else self.weight[rows, start:stop]
        if not self.last:
            return weight
        ends = self.X.shape[1] if self.lengths is None else self.lengths[rows]
        here = ((start < ends) | (start == 0)) & (ends <= stop)
        weight = weight * np.reshape(here, (-1, *(1,) * (self.y.ndim - 1)))
        return weight


class Form(NamedTuple):
    """The form in which sequences were given, which predictions take too."""

    kind: str  # "batch" (B, T, I), "series" (T,) or (T, I), "list" of series
    lengths: tuple[int, ...]  # of every series

    def one_step_each(self, rows: int) -> str:
        """What to write if the steps of one series are as many sequences; "" where they cannot."""
        if self.kind != "series" or self.lengths != (rows,):
            return ""
        return f"; as an array, X.reshape({rows}, 1, -1) is one step of each of {rows} series"

    def restore(self, Y: np.ndarray) -> Any:
        """Predictions (B, T, O), or (B, O) for one per sequence, in the form of the inputs."""
        if self.kind == "series":
            return Y[0]
        if self.kind == "list" and Y.ndim == 3:
            return [row[:length] for row, length in zip(Y, self.lengths, strict=True)]
        return Y


def read_inputs(
    X: Any,
    input_size: int | None,
    *,
    lengths: Any = None,
    missing: bool = False,
) -> tuple[np.ndarray, np.ndarray | None, Form]:
    """Inputs in any accepted form as (X (B, T, I), lengths or None, form).

    X is (B, T, I), or one series (T,) or (T, I), or a list of series of any lengths. It keeps its
    precision. What lies behind `lengths` may hold anything; it comes back as zeros. A NaN is
    refused, unless `missing` says that it is to be filled.
    """
    if is_list(X):
        if lengths is not None:
            raise ValueError("lengths= goes with an X of shape (B, T, I); a list has its own")
        array, lengths = _stacked(X, missing)
        form = Form("list", tuple(map(int, lengths)))
        if len(set(form.lengths)) <= 1:
            lengths = None
    else:
        array, form = _batched(X)
        lengths = checks.lengths(lengths, *array.shape[:2])
        require_right_padding(array, lengths)
    if input_size is not None and array.shape[2] != input_size:
        _refuse_features(X, array, form, input_size)
    array = np.ascontiguousarray(array)
    if lengths is not None:
        array = np.where(mask(lengths, array.shape[1])[..., None], array, array.dtype.type(0))
    _require_values("X", array.reshape(np.shape(X)) if form.kind == "series" else array, missing)
    return array, lengths, form


def read_reset(reset: Any, form: Form, steps: int) -> np.ndarray | None:
    """Resets in the form of the inputs as (B, T): (B, T), (T,) for a series, a list for a list."""
    if reset is None:
        return None
    if form.kind != "list":
        shape = (steps,) if form.kind == "series" else (len(form.lengths), steps)
        return checks.flags("reset", reset, shape).reshape(len(form.lengths), steps)
    checks.require_unmasked("reset", reset, "False")
    if not isinstance(reset, (list, tuple)) or len(reset) != len(form.lengths):
        raise ValueError("reset must be a list with one array (T_i,) per series of X")
    pairs = enumerate(zip(reset, form.lengths, strict=True))
    return padded([checks.flags(f"reset[{i}]", part, (n,)) for i, (part, n) in pairs])


def is_list(X: Any) -> bool:
    """A list of series, not nested lists of plain numbers that stand for one array."""
    return isinstance(X, (list, tuple)) and any(
        hasattr(series, "__array__") and np.ndim(series) > 0 for series in X
    )


def mask(lengths: np.ndarray, steps: int) -> np.ndarray:
    """True where a row has a step, (B, T)."""
    return np.arange(steps) < lengths[:, None]


def with_axes(array: np.ndarray, ndim: int) -> np.ndarray:
    """The array with axes of length 1 behind its own, `ndim` in all."""
    return array.reshape(*array.shape, *(1,) * (ndim - array.ndim))


def observed(data: Dataset) -> np.ndarray:
    """True where an input was observed, (B, T, I): not in the padding, and no NaN."""
    there: np.ndarray = ~np.isnan(data.X)
    there &= data.valid[..., None]
    return there


def input_weight(data: Dataset) -> np.ndarray | None:
    """Weight of every step's inputs, (B, T, 1) or (B, 1, 1); None where all count alike.

    All steps of a sequence are read, whatever each one's target counts: they count alike, by the
    mean of its weights. A reset begins another sequence.
    """
    given = data.sample_weight
    if given is None or given.ndim == 1:
        return None if given is None else given[:, None, None]
    largest = np.max(given, where=data.valid, initial=0.0)
    unit = largest if 0 < largest < 1 else 1.0  # in it, no digit of a mean of small ones is lost
    return mean_weights(given, data.reset, data.valid, unit)[..., None]


def mean_weights(
    given: np.ndarray, reset: np.ndarray | None, valid: np.ndarray, unit: float = 1.0
) -> np.ndarray:
    """Weights of steps, all (B, T), as the mean of their sequences, in a unit."""
    begins = np.zeros(given.shape, bool) if reset is None else reset.copy()
    begins[:, :1] = True
    place = np.cumsum(begins).reshape(begins.shape) - 1
    peak = np.max(given, axis=1, where=valid, initial=0.0)[:, None]  # of each, no sum overflows
    share = np.where(valid, given, 0.0) / np.where(peak > 0, peak, 1.0)
    count, total = (
        np.bincount(place[valid], part, place.max(initial=0) + 1) for part in (None, share[valid])
    )
    mean: np.ndarray = (total / np.maximum(count, 1))[place] * (peak / unit)
    return mean


def varies(data: Dataset) -> bool:
    """Whether steps of one row have different weights."""
    given = data.sample_weight
    if given is None or given.ndim == 1:
        return False
    return bool(((given != given[:, :1]) & data.valid).any())


def padded(parts: list[np.ndarray]) -> np.ndarray:
    """Arrays (T_b, ...) behind one another as (B, max T_b, ...), zeros behind each."""
    steps = max(len(part) for part in parts)
    dtype = np.result_type(*{part.dtype for part in parts})
    result = np.zeros((len(parts), steps, *parts[0].shape[1:]), dtype)
    for row, part in zip(result, parts, strict=True):
        row[: len(part)] = part
    return result


def _batched(X: Any) -> tuple[np.ndarray, Form]:
    array = checks.array("X", X, None, finite=False)
    if array.ndim == 3:
        checks.require_room("X", array.shape, array.shape)
        return array, Form("batch", (array.shape[1],) * array.shape[0])
    if array.ndim not in (1, 2):
        raise ValueError(
            "X must have shape (B, T, I), or (T,) or (T, I) for one series, or be a list of "
            f"series; received shape {array.shape}"
        )
    series = array[:, None] if array.ndim == 1 else array
    return series[None], Form("series", (len(series),))


def _require_values(name: str, array: np.ndarray, missing: bool) -> None:
    """Finite numbers, or NaN where values may be missing."""
    if missing:
        array = np.where(np.isnan(array), array.dtype.type(0), array)
    checks.require_finite(name, array, NAN_INPUT)


def _refuse_features(X: Any, array: np.ndarray, form: Form, input_size: int) -> NoReturn:
    """Say what was received as the caller has it, not as it lies inside."""
    if form.kind == "batch":
        checks.shape("X", array, ("B", "T", input_size))
    read, given = "one series", "X"
    if form.kind == "list":
        read, given = "a list of series", "X[0]"
    shape = np.shape(X[0] if form.kind == "list" else X)
    raise ValueError(
        f"X is {read} with {array.shape[2]} feature(s) per step, {given} of shape {shape}, but the "
        f"network reads {input_size}; a batch of sequences has shape (B, T, {input_size})"
    )


def _stacked(X: Any, missing: bool) -> tuple[np.ndarray, np.ndarray]:
    parts: list[np.ndarray] = []
    for index, series in enumerate(X):
        part = checks.array(f"X[{index}]", series, None, finite=False)
        _require_values(f"X[{index}]", part, missing)
        part = part[:, None] if part.ndim == 1 else part
        if part.ndim != 2 or part.shape[1] != (parts[0] if parts else part).shape[1]:
            wanted = f"(T, {parts[0].shape[1]})" if parts else "(T,) or (T, I)"
            raise ValueError(
                f"X[{index}] must have shape {wanted}, received {np.shape(series)}; "
                "every series of a list needs the same number of features"
                + "; if features come first, pass [series.T for series in X]"
                * (part.ndim == 2 and bool(parts) and len(part) == len(parts[0]))
            )
        parts.append(part)
    return padded(parts), np.array([len(part) for part in parts], dtype=np.int64)


def streams(data: Dataset, count: int) -> Dataset:
    """Rows that are consecutive pieces of one long series, re-cut into `count` long rows.

    Every row is then a contiguous stream; the last ones may be shorter, no step is dropped.
    """
    valid = data.valid
    total = int(valid.sum())
    steps = -(-total // count)
    cuts = range(0, total, steps) if steps else ()

    def laid(array: np.ndarray | None) -> Any:
        if array is None:
            return None
        if array.ndim == 1:  # of all steps of a row
            array = np.broadcast_to(array[:, None], valid.shape)
        series = array[valid]
        return padded([series[i : i + steps] for i in cuts])

    arrays = (data.X, data.y, data.weight, data.reset, data.sample_weight)
    X, y, weight, reset, given = map(laid, arrays)
    ends = np.array([min(steps, total - i) for i in cuts], dtype=np.int64)
    shorter = ends if ends.min() < steps else None
    static = None if data.static is None else np.repeat(data.static[:1], len(X), axis=0)
    return Dataset(X, y, weight, shorter, False, reset, sample_weight=given, static=static)

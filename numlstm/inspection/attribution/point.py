"""What is explained, in the network's units: the inputs up to a step, and the baseline."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.data import labels
from numlstm.data.missing import network_inputs
from numlstm.data.sequences import Form, mask
from numlstm.inspection.attribution import baselines
from numlstm.inspection.steps import explained_steps, read_range
from numlstm.model.continuation import Request, Rows
from numlstm.model.inputs import ModelInputs
from numlstm.model.lstm import LSTM
from numlstm.utils import checks
from numlstm.utils.types import Array


class Point(NamedTuple):
    """Inputs and a baseline in the network's units, (B, W, N), and what of the data they are."""

    inputs: ModelInputs
    baseline: Array  # (B, W, N)
    static_baseline: Array | None  # (B, S)
    picked: Array | None  # (B,) the step that is explained; None: the last of each row

    @property
    def lengths(self) -> Array:
        """Number of steps of every row, (B,)."""
        rows, steps, _ = self.baseline.shape
        lengths = self.inputs.lengths
        return np.full(rows, steps, np.int64) if lengths is None else np.asarray(lengths)


class Reading(NamedTuple):
    """The data of an explanation: (B, T, C), C with the columns known ahead."""

    given: labels.Labelled
    form: Form
    rows: Rows
    baseline: Array  # (B, T, C) in the units of the data
    steps: Array  # (B,) the ones that are explained
    start: Array  # (B,) first step that is read
    stop: Array  # (B,) end of what is read
    point: Point


class Asked(NamedTuple):
    """The arguments of an explanation that say what the inputs are."""

    X: Any
    step: Any
    baseline: Any
    lengths: Any = None
    reset: Any = None
    static: Any = None
    future: Any = None


def read(model: LSTM, asked: Asked) -> Reading:
    """Inputs with their baseline, up to the steps that are explained."""
    X, lengths, reset = asked.X, asked.lengths, asked.reset
    given, lengths, reset = labels.with_rows(X, model.names, lengths, reset)
    static = asked.static
    if static is not None:
        static = labels.attributes(given, static, model.names.static).values
    future = model._known(given, asked.future)
    request = Request(future=future, static=static)
    rows, form = model._rows(given.stepwise, lengths, reset, request)
    parts = baselines.parts_of(asked.baseline)
    beside = baselines.Beside(model, X, asked.static, asked.future, given, rows, form)
    baseline = baselines.of_inputs(beside, parts["X"], parts["future"])
    static_baseline = baselines.of_static(beside, parts["static"])
    steps = explained_steps(model, asked.step, rows, given)
    start, stop = read_range(model, steps, rows)
    point = _point(model, rows, baseline, steps, start, stop, static_baseline)
    return Reading(given, form, rows, baseline, steps, start, stop, point)


# --- in the network's units -----------------------------------------------------------------------


def _point(
    model: LSTM,
    rows: Rows,
    baseline: Array,
    steps: Array,
    start: Array,
    stop: Array,
    static_baseline: Array | None,
) -> Point:
    """What the network reads of rows and baseline, from `start` to before `stop`."""
    part = cut(rows, start, stop)
    given = model._read(part, Request()).inputs
    compared = cut(rows._replace(X=baseline), start, stop)
    units = model.filling, model.scaling, model.spec.dtype
    base = network_inputs(compared.X, *units, part.reset)
    bound = max(given.bound, checks.bound(base))
    if static_baseline is not None:
        bound = max(bound, checks.bound(static_baseline))
    whole = model.spec.bidirectional and model.window is None and model.output != "last"
    return Point(
        given._replace(bound=bound), base, static_baseline, steps - start if whole else None
    )


def cut(rows: Rows, start: Array, stop: Array) -> Rows:
    """The steps of every row from `start` to before `stop`, from the left, zeros behind them."""
    count = stop - start
    width = int(count.max(initial=0))
    there = mask(count, width)
    own, t = np.arange(len(count))[:, None], start[:, None] + np.arange(width)
    t = np.where(there, t, 0)
    X = np.where(there[..., None], rows.X[own, t], rows.X.dtype.type(0))
    reset = None if rows.reset is None else rows.reset[own, t] & there
    lengths = None if (count == width).all() else count
    return Rows(np.ascontiguousarray(X), lengths, reset, rows.static)

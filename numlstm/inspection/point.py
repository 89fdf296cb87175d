"""What is explained, in the network's units: the inputs up to a step, and the baseline."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from numlstm.data import labels
from numlstm.data.missing import network_inputs
from numlstm.data.sequences import Form, is_list, mask, read_inputs
from numlstm.inspection.steps import ends_of, explained_steps, read_range
from numlstm.model.continuation import Request, Rows
from numlstm.model.inputs import ModelInputs
from numlstm.model.lstm import LSTM
from numlstm.utils import checks
from numlstm.utils.types import Array

_PARTS = ("X", "static", "future")


class _Own(Enum):
    """A baseline that no one can pass by mistake: what each sequence has itself."""

    OWN = "the inputs' own values"


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
    parts = _parts(asked.baseline)
    baseline = _baseline(model, parts["X"], parts["future"], rows, given)
    steps = explained_steps(model, asked.step, rows, given)
    start, stop = read_range(model, steps, rows)
    point = _point(model, rows, baseline, steps, start, stop, parts["static"])
    return Reading(given, form, rows, baseline, steps, start, stop, point)


# --- baselines ------------------------------------------------------------------------------------


def _parts(baseline: Any) -> dict[str, Any]:
    """The baseline of every kind of input: what is said of one is not said of the others."""
    if isinstance(baseline, Mapping):
        if unknown := [name for name in baseline if name not in _PARTS]:
            raise ValueError(
                f"baseline as a mapping has the entries {list(_PARTS)}, received {unknown[0]!r}"
            )
        return {name: baseline.get(name, "mean") for name in _PARTS}
    everywhere = baseline is None or isinstance(baseline, str)
    others = baseline if everywhere else _Own.OWN  # nothing is asked about them
    return {"X": baseline, "static": others, "future": others}


def _baseline(model: LSTM, own: Any, ahead: Any, rows: Rows, given: labels.Labelled) -> Array:
    """The baseline (B, T, C) in the units of the data."""
    features = model.num_features
    shape = rows.X.shape
    values = np.empty(shape)
    values[...] = _means(model, shape[2])
    _put(values[..., :features], _like(own, given, model), "baseline")
    if shape[2] > features:
        count = model.num_future
        columns = values[..., features:].reshape(*shape[:2], -1, count)
        if ahead is _Own.OWN:
            ahead = rows.X[..., features:].reshape(columns.shape)
        _put(columns, ahead, 'baseline["future"]')
    looked_at = mask(ends_of(rows), shape[1])[..., None]
    if model.filling is not None:  # to which a NaN is a baseline that was not observed
        looked_at = looked_at & ~np.isnan(values)
    remedy = "give a number for every feature"
    checks.require_finite("baseline", np.where(looked_at, values, 0.0), remedy)
    return values


def _means(model: LSTM, columns: int) -> Array:
    """The mean of the training inputs, which the network's units know; else zeros."""
    if model.scaling is not None:
        return model.scaling.x_mean
    return np.zeros(columns) if model.filling is None else model.filling.mean


def _like(value: Any, given: labels.Labelled, model: LSTM) -> Any:
    """A baseline in the form of X as (B, T, I), with its labels or without; all else as it is."""
    if isinstance(value, str) or value is None:
        return value
    X, features = given.stepwise, model.num_features
    names = given.features or model.names.features
    value = labels.companion(given, "baseline", value, names).stepwise
    if is_list(value) and is_list(X):
        return read_inputs(value, features, missing=model.filling is not None)[0]
    value = np.asarray(value)
    is_series = value.ndim == 1 and np.ndim(X) == 1 and features == 1
    return value[:, None] if is_series else value


def _put(values: Array, given: Any, name: str) -> None:
    """Fill values, which hold the means, with a baseline that broadcasts to them."""
    if given is None or (isinstance(given, str) and given == "mean"):
        return
    if isinstance(given, str):
        checks.choice(name, given, ("mean", "zeros"))
        values[...] = 0.0
        return
    array = checks.array(name, given, "float64", finite=False)
    try:
        values[...] = np.broadcast_to(array, values.shape)
    except ValueError:
        raise ValueError(
            f'{name} must be "mean", "zeros" or an array that broadcasts to {values.shape}, the '
            f"shape of the inputs, received one of shape {array.shape}"
        ) from None


def _static_baseline(model: LSTM, given: Any, static: Array) -> Array:
    """The baseline of the attributes (B, S), in the network's units."""
    scaling, size = model.scaling, static.shape[1]
    known = scaling is not None and scaling.static_mean is not None
    values = np.zeros(static.shape)
    if known:
        assert scaling is not None
        values[...] = scaling.static_mean
    _put(values, given, 'baseline["static"]')
    checks.require_finite('baseline["static"]', values, f"give {size} numbers")
    if known:
        assert scaling is not None
        return scaling.attributes(values, model.spec.dtype)
    return values.astype(model.spec.dtype)


# --- in the network's units -----------------------------------------------------------------------


def _point(
    model: LSTM,
    rows: Rows,
    baseline: Array,
    steps: Array,
    start: Array,
    stop: Array,
    of_static: Any,
) -> Point:
    """What the network reads of rows and baseline, from `start` to before `stop`."""
    part = cut(rows, start, stop)
    given = model._read(part, Request()).inputs
    compared = cut(rows._replace(X=baseline), start, stop)
    units = model.filling, model.scaling, model.spec.dtype
    base = network_inputs(compared.X, *units, part.reset)
    own = None
    bound = max(given.bound, checks.bound(base))
    if rows.static is not None:
        own = np.asarray(given.static)
        if of_static is not _Own.OWN:
            own = _static_baseline(model, of_static, rows.static)
        bound = max(bound, checks.bound(own))
    whole = model.spec.bidirectional and model.window is None and model.output != "last"
    return Point(given._replace(bound=bound), base, own, steps - start if whole else None)


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

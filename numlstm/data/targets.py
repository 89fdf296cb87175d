"""Targets and their weights, laid out beside the inputs."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from numlstm.data import labels
from numlstm.data.ahead import Future, Padded, dataset
from numlstm.data.attributes import read_static, static_for_network
from numlstm.data.labels import UNNAMED, Names
from numlstm.data.missing import Imputer, network_inputs
from numlstm.data.pieces import Following
from numlstm.data.scaling import REMEDY, Scaling
from numlstm.data.sequences import Dataset, Form, mask, padded, read_inputs, read_reset, with_axes
from numlstm.data.tokens import require_no_tokens
from numlstm.optim.losses import Loss
from numlstm.utils import checks
from numlstm.utils.interruptible import own
from numlstm.utils.types import Array

_OMIT = "nan_policy='omit'"


class Reading(NamedTuple):
    """How the arrays of a call are read."""

    input_size: int | None
    nan_policy: str
    loss: Loss
    output: str | None  # "sequence", "last", or None: by the shapes
    missing: bool = False  # inputs may be NaN
    names: Names = UNNAMED  # of features and targets, where they are known
    pieces: bool = False  # rows are consecutive pieces of one series
    ragged: bool = False  # sequences have lengths of their own
    horizon: int | None = None  # how many steps are forecast at once; None: as `y` says
    future: int | None = None  # number of features that are known ahead; None: any

    @property
    def classes(self) -> bool:
        """Whether targets are class numbers."""
        return self.loss.classes

    def like(self, data: Dataset) -> "Reading":
        """For what stands beside data that were read: of the same form, size and names."""
        known = 0 if data.ahead is None else data.ahead.columns
        return self._replace(
            input_size=data.X.shape[2] - known,
            output="last" if data.last else "sequence",
            names=data.names,
            ragged=data.lengths is not None,
            future=None if data.ahead is None else data.ahead.future,
        )


def read_dataset(
    X: Any,
    y: Any,
    reading: Reading,
    *,
    sample_weight: Any = None,
    lengths: Any = None,
    reset: Any = None,
    future: Any = None,
    static: Any = None,
) -> Dataset:
    """Inputs, targets and weights in any accepted form; y=None means the next value of X."""
    given = labels.inputs("X", X, reading.names.features, reset)
    if not reading.loss.regression:
        require_no_tokens(given)
    wanted = reading.names.targets
    targets = labels.companion(given, "y", y, wanted if wanted and len(wanted) > 1 else None)
    known, titles = labels.known_ahead(given, future, reading.names.future)
    attributes = labels.attributes(given, static, reading.names.static)
    rows = {
        "sample_weight": labels.beside(given, "sample_weight", sample_weight),
        "lengths": labels.beside(given, "lengths", lengths),
        "reset": labels.beside(given, "reset", reset),
    }
    arrays = given.stepwise, targets.values if reading.classes else targets.stepwise
    with labels.named(*((given,) if reading.classes else (given, targets))):
        data = _read_arrays(*arrays, reading, **rows, future=known, static=attributes.values)
    own = None if reading.classes else (given if y is None else targets).features
    said = reading.names
    names = Names(
        *(given.features or said.features, wanted or own),
        future=titles or said.future,
        static=attributes.names or said.static,
    )
    return replace(data, names=names)


def _read_arrays(
    X: Any,
    y: Any,
    reading: Reading,
    *,
    sample_weight: Any,
    lengths: Any,
    reset: Any,
    future: Any,
    static: Any,
) -> Dataset:
    """The same of plain arrays, or lists of them."""
    array, lengths, form = read_inputs(
        X, reading.input_size, lengths=lengths, missing=reading.missing
    )
    if 0 in array.shape:
        raise ValueError(f"X has no data: received shape {np.shape(array)} as (B, T, I)")
    weight = (
        None if sample_weight is None else read_sample_weight(sample_weight, form, array.shape[1])
    )
    reset = read_reset(reset, form, array.shape[1])
    static = read_static(static, form, pieces=reading.pieces)
    if reading.horizon is not None or future is not None or reading.future:
        require_ahead(y, future, reading, len(array))
        known = Future.of(future, form, reading.missing)
        values, there = array, ~np.isnan(array)
        if y is not None:
            values, last = _read_targets(y, form, reading._replace(output="sequence"))
            values, there = _present(values, lengths, last, reading)
        elif lengths is not None:
            there &= mask(lengths, array.shape[1])[..., None]
        zeroed = np.where(there, values, values.dtype.type(0))
        series = Padded(array, zeroed, there, lengths, weight, reset)
        if known is not None:
            known.require(series.ends, wanted=reading.future)
        return replace(dataset(series, known, reading.horizon), static=static)
    if y is None:
        return replace(_forecast(array, lengths, weight, reset, reading), static=static)
    y, last = _read_targets(y, form, reading)
    y, present = _present(y, lengths, last, reading)
    combined = _combined(present, weight, last)
    return Dataset(array, y, combined, lengths, last, reset, sample_weight=weight, static=static)


def require_ahead(y: Any, future: Any, reading: Reading, rows: int) -> None:
    """Refuse what does not go with forecasts of more than the next value."""
    if not reading.loss.regression:
        raise ValueError(
            "horizon= and future= forecast numbers, by loss='mse', 'mae', 'huber' or "
            "'gaussian_nll'; classes to come are a y, as y[t] = c[t + h]"
        )
    if reading.output == "last":
        raise ValueError(
            "output='last' asks for one output per sequence, and horizon= and future= for "
            "forecasts at every step: leave output out"
        )
    if y is not None and reading.horizon is None:
        raise ValueError(
            "future= goes with forecasts: without y, of the next values of X, or with y and "
            "horizon=, how many steps ahead y is forecast. What is known at the time of y itself "
            "belongs to X, as further features"
        )
    if reading.pieces and rows > 1:
        raise ValueError(
            "stateful=True with horizon= or future= needs the series in one piece, (T, I): X has "
            f"{rows} rows"
        )
    if future is None and reading.future:
        raise ValueError(
            f"the model given reads {reading.future} feature(s) known ahead: pass future="
        )


def _forecast(
    X: Array,
    lengths: Array | None,
    weight: Array | None,
    reset: Array | None,
    reading: Reading,
) -> Dataset:
    """The next value at every step: the weight of a step is that of the value forecast there.

    A value that is missing is no target, nor is one that comes after a reset: it belongs to
    another sequence. Where rows are pieces of one series, the last value of a row is followed by
    the first of the next one.
    """
    if reading.classes or reading.output == "last":
        what = "this loss" if reading.classes else "output='last'"
        raise ValueError(f"{what} needs targets: pass y (y=None means the next value of X)")
    own = None if weight is None or weight.ndim == 1 else weight
    if reading.pieces:
        after = Following.of(lengths, *X.shape[:2])
        y, lengths = after(X), after.lengths()
        weight = None if weight is None else after(weight)
        begins = None if reset is None else after(reset)
    else:
        steps = X.shape[1] - 1
        lengths = None if lengths is None else np.maximum(lengths - 1, 0)
        weight = weight if weight is None or weight.ndim == 1 else weight[:, 1:]
        begins = None if reset is None else reset[:, 1:]
        own = None if own is None else own[:, :steps]
        X, y = np.ascontiguousarray(X[:, :steps]), np.ascontiguousarray(X[:, 1:])
        reset = None if reset is None else reset[:, :steps]
    there = ~np.isnan(y)
    if lengths is not None:
        there &= mask(lengths, y.shape[1])[..., None]
    if begins is not None:
        there &= ~begins[..., None]
    y = np.where(there, y, y.dtype.type(0))
    combined = _combined(there, weight, False)
    if weight is not None and own is not None and begins is not None:
        weight = np.where(begins, own, weight)  # what the next sequence counts says nothing here
    return Dataset(X, y, combined, lengths, False, reset, sample_weight=weight)


def _read_targets(y: Any, form: Form, reading: Reading) -> tuple[Array, bool]:
    """Targets as (B, T, O), or (B, O) for one per sequence; classes lack the last axis."""
    dtype = "float64" if reading.classes else None
    if form.kind == "list" and isinstance(y, (list, tuple)) and not _are_texts(y):
        parts = [checks.array(f"y[{i}]", part, dtype, finite=False) for i, part in enumerate(y)]
    else:
        array = checks.array("y", y, dtype, finite=False)
        parts = [array] if form.kind == "series" else list(array if array.ndim else [array])
    if len(parts) != len(form.lengths):
        raise ValueError(
            f"y must have one entry per sequence: X has {len(form.lengths)} sequences, "
            f"y has {len(parts)}"
            + "; X is read as (sequences, steps, features)"
            * (form.kind == "batch")
        )
    last = _output(parts, form, reading) == "last"
    if not reading.classes:
        parts = [part[..., None] if part.ndim == (0 if last else 1) else part for part in parts]
    return (np.stack(parts) if last else padded(parts)), last


def _are_texts(y: Any) -> bool:
    """Whether each entry is the name of a class, which are better refused together."""
    return any(isinstance(part, (str, bytes)) for part in y) and not any(map(np.ndim, y))


def _output(parts: list[Array], form: Form, reading: Reading) -> str:
    """One target per step or per sequence, as the shapes say or the user does."""
    shapes = [part.shape for part in parts]
    same = len({shape[1:] for shape in shapes}) == 1
    depth = 1 if reading.classes else 2
    fits = {
        "sequence": same
        and all(
            1 <= len(shape) <= depth and shape[0] == length
            for shape, length in zip(shapes, form.lengths, strict=True)
        ),
        "last": len(set(shapes)) == 1 and len(shapes[0]) < depth and 0 not in shapes[0],
    }
    if reading.output is not None:
        if fits[reading.output]:
            return reading.output
    elif fits["sequence"] and fits["last"] and form.kind == "batch":
        raise ValueError(
            f"y of shape {(len(parts), *shapes[0])} can mean one target per step or "
            f"{shapes[0][0]} targets per sequence: pass output='sequence' or output='last'"
        )
    elif fits["sequence"]:
        return "sequence"
    # a series' y of a wrong length is a mistake, not that many targets for its last step
    elif fits["last"] and (form.kind != "series" or not shapes[0]):
        return "last"
    raise ValueError(_mismatch(shapes, form, reading))


def _mismatch(shapes: list[tuple[int, ...]], form: Form, reading: Reading) -> str:
    tail = "" if reading.classes else ", O"
    steps = form.lengths[0]
    if form.kind == "list":
        wrong = [i for i, shape in enumerate(shapes) if shape[:1] != (form.lengths[i],)] or [0]
        index, shape = wrong[0], shapes[wrong[0]]
        return (
            f"y[{index}] of shape {shape} does not fit X[{index}] of {form.lengths[index]} steps: "
            "y must hold one array per series, (T_i,) or (T_i, O), or one target per series"
        )
    if form.kind == "series" and reading.output != "last":
        either = f"({steps},)" if reading.classes else f"({steps}, O) or ({steps},)"
        message = f"y must have shape {either}, a target for every one of the {steps} steps of "
        message += f"the one series in X, received {shapes[0]}"
        if shapes[0][:1] == (steps - 1,):
            message += "; to forecast the next value leave y out, or pass X without its last step"
        return message
    batch = "" if form.kind == "series" else f"{len(shapes)}, "
    received = shapes[0] if form.kind == "series" else (len(shapes), *shapes[0])
    per_step, per_row = f"({batch}{steps}{tail or ','})", f"({batch}{tail[2:] or ''})"
    wanted = {"sequence": per_step, "last": per_row}.get(
        reading.output or "",
        f"{per_step} for one target per step or {per_row} for one per sequence",
    )
    message = f"y must have shape {wanted}, received {received}"
    if form.kind == "batch" and shapes[0][1:2] == (steps,):
        message += "; if the targets come second, pass y.transpose(0, 2, 1)"
    elif form.kind == "batch" and shapes[0]:
        message += "; X is read as (sequences, steps, features)"
    if reading.classes:
        message += (
            "; classes are whole numbers, one per step or per sequence, not one-hot: y[..., 0] "
            "drops an axis of one, y.argmax(axis=-1) numbers one-hot classes"
        )
    return message


def _present(y: Array, lengths: Array | None, last: bool, reading: Reading) -> tuple[Array, Array]:
    """Targets with zeros where there is none, and whether there is one."""
    present = np.ones(y.shape, bool)
    if lengths is not None and not last:
        present &= with_axes(mask(lengths, y.shape[1]), y.ndim)
    if reading.nan_policy == "omit":
        present &= ~np.isnan(y)
    y = np.where(present, y, y.dtype.type(0))
    checks.require_finite("y", y, f"remove it, or pass {_OMIT}, to which it is no target")
    if reading.classes:
        require_classes(y)
        y = y.astype(np.int64)
    return y, present


def require_classes(y: Array) -> None:
    """Refuse targets of classes that are no numbers of them."""
    whole = np.equal(np.floor(y), y) & (y >= 0)
    if not whole.all():
        where = tuple(map(int, np.argwhere(~whole)[0]))
        raise ValueError(
            "classes must be whole numbers from 0 on, one per target; "
            f"received {y[where]} at index {where}{_unlabelled(y[where])}"
        )


def _unlabelled(value: float) -> str:
    """The way out where a negative number may have been meant to be no label, as PyTorch's -100."""
    if value >= 0:
        return ""
    return (
        f"; where there is no label write NaN, as in np.where(y < 0, np.nan, y), and pass {_OMIT}"
    )


def read_sample_weight(value: Any, form: Form, steps: int) -> Array:
    """Sample weights as (B,) or (B, T)."""
    checks.require_unmasked("sample_weight", value, "0")
    if form.kind == "list" and isinstance(value, (list, tuple)) and np.ndim(value[0]) == 1:
        parts = [
            checks.array(f"sample_weight[{i}]", part, "float64") for i, part in enumerate(value)
        ]
        fits = [part.shape for part in parts] == [(length,) for length in form.lengths]
        received: Any = [part.shape for part in parts]
        weight = padded(parts) if fits else parts[0]
    else:
        weight = checks.array("sample_weight", value, "float64", finite=False)
        checks.require_finite("sample_weight", weight, "0 counts what has no target for nothing")
        received, batch = weight.shape, len(form.lengths)
        weight = weight[None] if form.kind == "series" and weight.shape == (steps,) else weight
        fits = weight.shape in ((batch,), (batch, steps))
    if not fits:
        raise ValueError(
            "sample_weight must hold one weight per sequence, (B,), or per step, (B, T), with "
            f"B = {len(form.lengths)} and T = {steps}; received {received}"
        )
    if (weight < 0).any():
        raise ValueError(f"sample_weight must not be negative, received {weight.min()}")
    return weight


def _combined(present: Array, weight: Array | None, last: bool) -> Array:
    """Weight of every single target: sample weight where there is a target, else 0."""
    combined = present.astype(np.float32)
    if weight is not None:
        if last and weight.ndim == 2:
            raise ValueError("with one target per sequence, sample_weight must have shape (B,)")
        combined = present * with_axes(weight, present.ndim)
    if not (combined > 0).any():
        raise ValueError("there is nothing to learn: no target with a weight above zero is left")
    return combined


def classes_of(largest: int) -> int:
    """How many classes there are at least where this is the largest number of one."""
    return max(2, largest + 1)


def needed_outputs(data: Dataset, loss: Loss) -> int:
    """Number of outputs per step that the targets need."""
    if loss.classes:
        return classes_of(int(data.y.max()))
    return loss.outputs * int(data.y.shape[-1])


def require_outputs(width: int, needed: int, loss: str) -> None:
    """Refuse a network of another width; of classes it may know more."""
    if width < needed or (width > needed and loss != "cross_entropy"):
        raise ValueError(
            f"the network has {width} outputs, as output_size or the model given says, but y and "
            f"loss={loss!r} need {needed}"
        )


def require_probabilities(y: Array) -> None:
    """Refuse targets of "binary_cross_entropy" that are none."""
    if not ((y >= 0) & (y <= 1)).all():
        raise ValueError(
            "binary_cross_entropy needs targets between 0 and 1, received "
            f"{y.min():g} to {y.max():g}{_unlabelled(y.min())}"
        )


def require_weights(weight: Array, dtype: str) -> None:
    """Refuse weights that would become 0 or infinite: what they are is not only their ratio."""
    least, most = np.min(weight, where=weight > 0, initial=np.inf), weight.max()
    limits = np.finfo(dtype)
    if least < limits.tiny or most > limits.max:
        raise ValueError(
            f"sample_weight reaches from {least:g} to {most:g}, beyond the range of {dtype}: scale "
            "the weights" + (", or use a model with dtype='float64'" if dtype == "float32" else "")
        )
    with np.errstate(over="ignore"):
        total = np.sum(weight, dtype=np.float64)
    if np.isinf(total):  # of which the squares of residuals are a part
        raise ValueError(
            "the sum of sample_weight is beyond the range of float64: scale the weights"
        )


def _require_kept(name: str, values: Array, dtype: str) -> None:
    """Refuse a column of which nothing is left: all of it would become 0."""
    axes = tuple(range(values.ndim - 1))
    if values.dtype.itemsize <= np.dtype(dtype).itemsize:
        return
    there, kept = (np.any(np.abs(part) > 0, axis=axes) for part in (values, values.astype(dtype)))
    if (lost := there & ~kept).any():
        raise ValueError(
            f"{name} has values below the range of {dtype} in column {np.argmax(lost)}, all of "
            f"which would become 0; {REMEDY}"
        )


def for_network(
    data: Dataset, filling: Imputer | None, scaling: Scaling | None, dtype: str
) -> Dataset:
    """The dataset in the network's units and dtype, with its mask channels, in its own memory."""
    X, y = network_inputs(data.X, filling, scaling, dtype, data.reset), data.y
    if scaling is None:
        _require_kept("X", data.X, dtype)
    if y.dtype.kind == "f":  # else they are classes
        if data.sample_weight is not None:  # one without may lie far outside the scaling
            y = np.where(data.weight > 0, y, y.dtype.type(0))
        with checks.within_range("y", dtype, REMEDY):
            y = y.astype(dtype, copy=False) if scaling is None else scaling.targets(y, dtype)
        if scaling is None or scaling.y_mean is None:
            _require_kept("y", data.y, dtype)
    X, y = own(X, data.X), own(y, data.y)
    weight = own(data.weight.astype(dtype, copy=False), data.weight)
    lengths, reset = (None if part is None else part.copy() for part in (data.lengths, data.reset))
    static = static_for_network(data.static, scaling, dtype)
    static = None if static is None else own(static, data.static)
    parts = {"X": X, "y": y, "weight": weight, "lengths": lengths, "reset": reset, "static": static}
    return replace(data, **parts, sample_weight=None)

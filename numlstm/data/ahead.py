"""Forecasts laid out: beside every step what is known of the steps ahead, and what they will be.

All of it is a function of a slice of steps. A source is an array, or anything with a shape that
gives arrays by slicing, of shape (..., T, N), with steps in its axis before the last.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import numpy as np

from numlstm.data.missing import Imputer
from numlstm.data.scaling import Scaling
from numlstm.data.sequences import NAN_INPUT, Dataset, Form, mask, padded
from numlstm.utils import checks, schema
from numlstm.utils.types import Array


class Ahead(NamedTuple):
    """What a network forecasts at every step, and what it is told of the steps ahead.

    Attributes
    ----------
    horizon : int or None
        How many steps it forecasts at once. None: the next one, and further ones from its own
        forecasts.
    future : int
        Number of features that are known ahead, F.
    targets : int
        Number of targets of a step, O.
    """

    horizon: int | None
    future: int
    targets: int

    @property
    def steps(self) -> int:
        """How many steps are forecast at once."""
        return self.horizon or 1

    @property
    def columns(self) -> int:
        """Number of the inputs that are features known ahead, the last ones."""
        return self.steps * self.future

    @classmethod
    def restored(cls, entry: Any) -> "Ahead | None":
        """From the entry of a file."""
        if entry is None:
            return None
        schema.mapping("ahead", entry, cls._fields)
        most = 10**6
        horizon = entry["horizon"]
        return cls(
            None if horizon is None else schema.whole("ahead.horizon", horizon, 1, most),
            schema.whole("ahead.future", entry["future"], 0, most),
            schema.whole("ahead.targets", entry["targets"], 1, most),
        )

    def require_fit(self, features: int, outputs: int) -> None:
        """Refuse another number of the network's features, and of its outputs."""
        count = self.steps * self.targets
        if features <= self.columns or outputs not in (count, 2 * count):
            raise ValueError(
                f"{count} value(s) ahead from {self.columns} feature(s) known ahead do not fit "
                f"{features} feature(s) and {outputs} output(s)"
            )

    def require_no_breaks(self) -> None:
        """Refuse what would tell a network of what comes after a break."""
        if self.future and self.steps > 1:
            raise ValueError(
                "reset does not go with future= and horizon=, which would tell a network of what "
                "comes after the break: cut the series there, into a list"
            )

    def by_step(self, Y: Array) -> Array:
        """Outputs (..., W) as (..., h, O), or (..., h, 2 O) where there are log-variances."""
        parts = Y.reshape(*Y.shape[:-1], -1, self.steps, self.targets)
        return np.ascontiguousarray(np.moveaxis(parts, -3, -2)).reshape(
            *Y.shape[:-1], self.steps, -1
        )

    def one_step(self, data: Dataset) -> Dataset:
        """The data with every feature and target once, as of the next step."""
        features = data.X.shape[-1] - self.columns + self.future
        parts = {name: getattr(data, name)[..., : self.targets] for name in ("y", "weight")}
        names = self.one_step_names(data.names)
        return replace(data, X=data.X[..., :features], names=names, ahead=None, **parts)

    def one_step_names(self, names: Any) -> Any:
        """The names where those of the features known ahead come after the others."""
        if not self.future:
            return names
        future = names.future or tuple(f"future {i}" for i in range(self.future))
        own = names.features
        return names._replace(features=None if own is None else (*own, *future))

    def scaling(self, own: Scaling) -> Scaling:
        """The scaling of all columns: a feature has one unit, and so has a target."""
        y_mean, y_scale = own.y_mean, own.y_scale
        if y_mean is not None and y_scale is not None:
            y_mean, y_scale = np.tile(y_mean, self.steps), np.tile(y_scale, self.steps)
        return own._replace(
            x_mean=self.of_inputs(own.x_mean),
            x_scale=self.of_inputs(own.x_scale),
            y_mean=y_mean,
            y_scale=y_scale,
        )

    def filling(self, own: Imputer) -> Imputer:
        """The rule for missing values of all columns."""
        return Imputer(self.of_inputs(own.mean))

    def of_inputs(self, values: Array) -> Array:
        """One value for each feature, (..., N), as one for each column."""
        own = values.shape[-1] - self.future
        return np.concatenate([values[..., :own], np.tile(values[..., own:], self.steps)], axis=-1)


def steps_ahead(ahead: Ahead | None) -> int:
    """How many steps targets reach ahead; 1 where there is nothing but the next one, or y."""
    return 1 if ahead is None else ahead.steps


class Future(NamedTuple):
    """Features that are known ahead: of every row of X, and of the steps behind it."""

    values: Array  # (B, N, F)
    lengths: Array  # (B,) steps of which they are known

    @classmethod
    def of(cls, value: Any, form: Form, missing: bool) -> "Future | None":
        """Arrays without labels, in the form of X; None where there are none."""
        if value is None:
            return None
        parts = _parts(value, form)
        arrays = [checks.array(name, part, None, finite=False) for name, part in parts]
        arrays = [part[:, None] if part.ndim == 1 else part for part in arrays]
        if arrays[0].ndim != 2 or len({part.shape[1:] for part in arrays}) != 1:
            refuse_form(value, len(form.lengths))
        for name, part in zip((name for name, _ in parts), arrays, strict=True):
            there = np.nan_to_num(part, nan=0.0, posinf=np.inf, neginf=-np.inf)
            checks.require_finite(name, there if missing else part, NAN_INPUT)
        return cls(padded(arrays), np.array([len(part) for part in arrays], np.int64))

    def require(self, lengths: Array, ahead: int = 0, wanted: int | None = None) -> None:
        """Refuse what does not suit a model and rows of these lengths: see `require_future`."""
        require_future(self.values.shape[2], self.lengths, lengths, ahead, wanted)


def require_future(
    features: int, known: Array, lengths: Array, ahead: int = 0, wanted: int | None = None
) -> None:
    """Refuse another number of features than a model has, and too few steps.

    They are `known` of so many steps of every row, (B,), and needed for all of its `lengths` and
    so many `ahead`.
    """
    if wanted is not None and features != wanted:
        raise ValueError(
            f"future has {features} feature(s) per step, and the model was fitted with {wanted}"
        )
    short = np.flatnonzero(known < lengths + ahead)
    if short.size:
        row = int(short[0])
        of = f" of row {row}" if len(lengths) > 1 else ""
        more = f" and the {ahead} after" if ahead else ""
        raise ValueError(
            f"future must have a row for each of the {lengths[row]} steps of X{of}{more}, "
            f"{lengths[row] + ahead} in all; received {known[row]}"
        )


def refuse_form(value: Any, count: int) -> NoReturn:
    """Say what features that are known ahead of so many sequences look like."""
    each = f", with one entry for each of the {count} series" if count > 1 else ""
    raise ValueError(
        "future must have the form of X, with steps of F features each: (N, F) for one series, "
        f"(B, N, F) for a batch, a list for a list{each}; received {_shapes(value)}"
    )


def _parts(value: Any, form: Form) -> list[tuple[str, Any]]:
    """The values of every row of X."""
    if form.kind == "series":
        return [("future", value)]
    known = isinstance(value, (list, tuple)) or np.ndim(value) == 3
    if not known or len(value) != len(form.lengths):
        refuse_form(value, len(form.lengths))
    return [(f"future[{index}]", part) for index, part in enumerate(value)]


def _shapes(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"{len(value)} of {_shapes(value[0]) if value else 'shape ()'}"
    return f"shape {value.shape if hasattr(value, 'shape') else np.shape(value)}"


def steps(source: Any, start: int, stop: int) -> Array:
    """Steps of a source (..., T, N), zeros where it has none."""
    total = source.shape[-2]
    first, last = min(max(start, 0), total), min(max(stop, 0), total)
    there = np.asarray(source[..., first:last, :])
    if last - first == stop - start:
        return there
    result = np.zeros((*there.shape[:-2], stop - start, there.shape[-1]), there.dtype)
    result[..., first - start : last - start, :] = there
    return result


def inputs(X: Any, future: Any, horizon: int, start: int, stop: int) -> Array:
    """[x_t, f_(t+1), ..., f_(t+h)] for the steps t of a slice, (..., stop - start, I + h F)."""
    now = steps(X, start, stop)
    if future is None:
        return now
    later = steps(future, start + 1, stop + horizon)
    count = stop - start
    parts = [later[..., k : k + count, :] for k in range(horizon)]
    return np.concatenate([now, *parts], axis=-1)


def targets(y: Any, horizon: int, start: int, stop: int) -> Array:
    """[y_(t+1), ..., y_(t+h)] for the steps t of a slice, (..., stop - start, h O)."""
    return side_by_side(steps(y, start + 1, stop + horizon), horizon)


def side_by_side(later: Array, horizon: int) -> Array:
    """Each step (..., n + h - 1, O) beside the h - 1 that follow it, (..., n, h O)."""
    count = later.shape[-2] - (horizon - 1)
    return np.concatenate([later[..., k : k + count, :] for k in range(horizon)], axis=-1)


def unbroken(begins: Array, horizon: int) -> Iterator[Array]:
    """Whether a sequence goes on from a step to the target 1, 2, ..., h steps ahead, each (..., n).

    `begins` (..., n + h - 1) says of every step whether the one after it begins another sequence.
    """
    count = begins.shape[-1] - (horizon - 1)
    same = np.ones((*begins.shape[:-1], count), bool)
    for k in range(horizon):
        same = same & ~begins[..., k : k + count]
        yield same


class Padded(NamedTuple):
    """Arrays to be laid out."""

    X: Array  # (B, T, I)
    y: Array  # (B, T, O), zero where there is no target
    present: Array  # (B, T, O)
    lengths: Array | None  # (B,)
    weight: Array | None  # (B,) or (B, T)
    reset: Array | None  # (B, T)

    @property
    def ends(self) -> Array:
        """Number of steps of every row, (B,)."""
        rows, steps, _ = self.X.shape
        return np.full(rows, steps, np.int64) if self.lengths is None else self.lengths


def dataset(series: Padded, future: Future | None, horizon: int | None) -> Dataset:
    """What a network learns from that forecasts at every step.

    A step of which not all is known that the network is to be told is left out, as is the last one,
    which nothing follows; of targets those count that there are.
    """
    X, y, present, _, weight, reset = series
    (rows, total, _), ends = X.shape, series.ends
    ahead = Ahead(horizon, 0 if future is None else future.values.shape[2], y.shape[2])
    if reset is not None:
        ahead.require_no_breaks()
    used = ends - 1
    if future is not None:
        used = np.minimum(used, future.lengths - ahead.steps)
    used = np.maximum(used, 0)
    count = int(used.max())
    if count == 0:
        raise ValueError(_nothing(ahead, int(ends.max())))
    y_later = targets(y, ahead.steps, 0, count)
    there = targets(present, ahead.steps, 0, count) & mask(used, count)[..., None]
    if reset is not None:
        same = list(unbroken(_begins(reset, count + ahead.steps - 1), ahead.steps))
        there &= np.repeat(np.stack(same, axis=-1), ahead.targets, axis=2)
    combined = there.astype(np.float32)
    own = weight
    if weight is not None:
        stepwise = np.broadcast_to(weight[:, None] if weight.ndim == 1 else weight, (rows, total))
        spread = np.repeat(stepwise[..., None], ahead.targets, axis=2)
        combined = there * targets(spread, ahead.steps, 0, count)
        own = weight if weight.ndim == 1 else _of_targets(weight, reset, count)
    require_all(combined, ahead, int(ends.max()))
    known = None if future is None else future.values
    return Dataset(
        np.ascontiguousarray(inputs(X, known, ahead.steps, 0, count)),
        np.where(there, y_later, y_later.dtype.type(0)),
        combined,
        None if (used == count).all() else used,
        False,
        None if reset is None else reset[:, :count],
        sample_weight=own,
        ahead=ahead,
        lost=total - count,
    )


def _begins(reset: Array, count: int) -> Array:
    """Whether the next step begins another sequence, of the first steps, (B, count)."""
    return steps(reset[..., None], 1, count + 1)[..., 0]


def _of_targets(weight: Array, reset: Array | None, count: int) -> Array:
    """Weights (B, T) of the next steps; what the next sequence counts says nothing here."""
    later = steps(weight[..., None], 1, count + 1)[..., 0]
    if reset is None:
        return later
    return np.where(_begins(reset, count), weight[:, :count], later)


def _nothing(ahead: Ahead, longest: int) -> str:
    rows = f", with {ahead.steps} rows of future beyond each" if ahead.future else ""
    return (
        f"there is nothing to learn: a forecast needs two steps at least{rows}, and the longest "
        f"sequence has {longest}"
    )


def require_all(combined: Array, ahead: Ahead, longest: int) -> None:
    """Refuse targets that no step has."""
    counts = combined.reshape(-1, ahead.steps, ahead.targets).any(axis=(0, 2))
    if not counts.any():
        raise ValueError("there is nothing to learn: no target with a weight above zero is left")
    if not counts.all():
        step = int(np.argmin(counts)) + 1
        raise ValueError(
            f"horizon={ahead.steps} reaches beyond the targets: no step has one with a weight "
            f"{step} steps ahead, the longest sequence having {longest} steps; pass a smaller "
            "horizon"
        )


def without_later(data: Dataset, horizon: int | None) -> Dataset:
    """The beginning of a series, without the targets that lie behind its end.

    The next step after it, which is what is read there next, is a target of its last step.
    """
    if horizon is None or horizon == 1:
        return data
    weight, total = data.weight.copy(), data.X.shape[1]
    count = weight.shape[-1] // horizon
    for k in range(1, horizon):
        weight[:, max(0, total - k) :, k * count : (k + 1) * count] = 0
    return replace(data, weight=weight)

"""Metrics of a fit, gathered while its loss is computed, in the units of the data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numlstm.data.ahead import steps_ahead
from numlstm.data.preparation import Data
from numlstm.data.scaling import Scaling
from numlstm.data.sequences import TrainingData
from numlstm.objectives.scores import NAMES, Sums, measured, naive_error
from numlstm.optim.losses import Loss
from numlstm.utils import checks, notices
from numlstm.utils.nouns import suggestion
from numlstm.utils.types import Array

# of several series the median, as hydrologists compare models; all others count targets alike
_MEDIAN = ("nse", "kge")


class Metric(NamedTuple):
    """One that was asked for: a name that is known, or a function of the user's."""

    name: str
    function: Callable[[Array, Array], float] | None = None


def read_metrics(name: str, value: Any) -> tuple[Metric, ...] | None:
    """Metrics from names and functions, or from a mapping from names to them."""
    if value is None:
        return None
    if isinstance(value, str) or callable(value):
        value = [value]
    if isinstance(value, Mapping):
        found = [_read_one(name, given, called) for called, given in value.items()]
    elif isinstance(value, (list, tuple)):
        found = [_read_one(name, given, None) for given in value]
    else:
        raise TypeError(
            f"{name} must be a list of names and functions, or a dict of them by name; received "
            f"{checks.shown(value)}"
        )
    names = [metric.name for metric in found]
    if twice := [one for one in names if names.count(one) > 1]:
        raise ValueError(f"{name} has {twice[0]!r} twice")
    return tuple(found)


def _read_one(name: str, value: Any, called: Any) -> Metric:
    if getattr(value, "__module__", None) == "numlstm.metrics":
        value = value.__name__
    if isinstance(value, str):
        if value not in NAMES:
            raise ValueError(
                f"{name} has no {value!r}{suggestion(value, NAMES)}; it has {list(NAMES)}, and "
                "takes functions metric(y_true, y_pred)"
            )
        if called not in (None, value):
            raise ValueError(f"{name}: {value!r} has that name itself, received {called!r} for it")
        return Metric(value)
    if not callable(value):
        raise TypeError(f"{name} must hold names and functions, received {checks.shown(value)}")
    called = getattr(value, "__name__", None) if called is None else called
    if not isinstance(called, str) or not called.isidentifier() or called == "loss":
        raise ValueError(
            f"{name}: {checks.shown(value)} needs a name of its own for the history, received "
            f"{called!r}: pass a dict, as in {name}={{'error': function}}"
        )
    if called in NAMES:
        raise ValueError(
            f"{name}: the function {called!r} has the name of a metric that is known: pass a dict "
            f"with another name, as in {name}={{'my_{called}': {called}}}"
        )
    return Metric(called, value)


def require_sense(metrics: Sequence[Metric], loss: Loss, name: str) -> None:
    """Refuse metrics of numbers for classes, and of classes for numbers."""
    for metric in metrics:
        if metric.function is None and loss.classes and metric.name != "accuracy":
            raise ValueError(
                f"metrics={metric.name!r} compares numbers, and targets of loss={name!r} are "
                "classes: use 'accuracy', or a function metric(y_true, y_pred) of class numbers"
            )
        if metric.name == "accuracy" and metric.function is None and loss.regression:
            raise ValueError(
                f"metrics='accuracy' compares classes, and loss={name!r} has numbers for targets: "
                "use 'rmse', 'mae', 'r2', 'nse', 'kge' or 'mase'"
            )


class Judging(NamedTuple):
    """The metrics of a run, and what they need to know of its data."""

    metrics: tuple[Metric, ...]
    part: str  # "validation", or "training"
    loss: Loss
    scaling: Scaling | None
    series: Array  # of every row of the data that judge
    outputs: int  # targets per step
    naive: Any  # error of the naive forecast, (O,), for "mase"
    num_series: int
    members: int | None = None  # of an ensemble

    @classmethod
    def of(
        cls,
        metrics: tuple[Metric, ...] | None,
        data: Data,
        loss: Loss,
        *,
        stateful: bool = False,
        members: int | None = None,
    ) -> "Judging | None":
        """For the data of a fit; None where no metric was asked for."""
        if not metrics:
            return None
        judge: TrainingData = data.train if data.validation is None else data.validation
        part = "training" if data.validation is None else "validation"
        series = np.zeros(judge.count, np.int64) if stateful else judge.series
        outputs = 1 if loss.classes else data.output_size // loss.outputs
        naive: Any = np.nan
        if any(metric == Metric("mase") for metric in metrics):
            naive = _naive(data, outputs)
        count = 1 if stateful else judge.num_series
        return cls(metrics, part, loss, data.scaling, series, outputs, naive, count, members)

    def watch(self) -> Any:
        """What sees the outputs of one pass over the data: a `Watching`, of members several."""
        if self.members is None:
            return Watching(self)
        return Watchings([Watching(self) for _ in range(self.members)])

    def in_units(self, Y: Array, y: Array) -> tuple[Array, Array]:
        """Truths and predictions (..., O) in the units of the data, float64.

        Of classes their numbers, of yes and no the probability of yes.
        """
        if self.loss.classes:
            return y[..., None].astype(np.float64), Y.argmax(axis=-1)[..., None].astype(np.float64)
        Y, y = Y.astype(np.float64), y.astype(np.float64)
        if not self.loss.regression:
            return y, 1 / (1 + np.exp(-Y))
        if self.scaling is not None:
            Y, y = self.scaling.outputs(Y), self.scaling.outputs(y)
        return y, Y[..., : self.outputs]  # of a loss with a variance the means alone

    def right(self, true: Array, pred: Array) -> Array | None:
        """Which predictions are right, of yes and no; of all else those that are the truth."""
        is_yes = not (self.loss.regression or self.loss.classes)
        return (true > 0.5) == (pred > 0.5) if is_yes else None

    @property
    def known(self) -> list[str]:
        """The metrics that sums tell."""
        return [metric.name for metric in self.metrics if metric.function is None]

    @property
    def functions(self) -> list[Metric]:
        """The metrics of the user's, which need all predictions."""
        return [metric for metric in self.metrics if metric.function is not None]

    def warn_of_undefined(self, per_series: Mapping[str, Array]) -> None:
        """Say once where metrics of a run that ended well have no value.

        Not of resamples, of which most lack some series.
        """
        if self.members is not None and self.part == "training":
            return
        missing = {name: np.isnan(np.atleast_2d(values)) for name, values in per_series.items()}
        words = [
            f"{name} of {lost.any(axis=0).sum()} of {lost.shape[1]} series"
            for name, lost in missing.items()
            if lost.any()
        ]
        if words:
            notices.warn(
                "metrics are NaN where they are undefined, as of targets that are all the same, or "
                f"where all are missing or weigh 0: {', '.join(words)}"
            )


def _naive(data: Data, outputs: int) -> Array:
    """The mean change from a target to the next one in the training data, in their units.

    Of targets further ahead it is that of the next step.
    """
    steps = steps_ahead(data.ahead)
    scale = np.ones(outputs // steps)
    if data.scaling is not None and data.scaling.y_scale is not None:
        scale = data.scaling.y_scale[: len(scale)]
    train: TrainingData = data.train
    return np.tile(naive_error(train.changes(scale)), steps)


class Watching:
    """Sees outputs, targets and weights piece by piece; then it has the metrics.

    Every target with a weight above zero counts alike. Functions are called by `values` and
    `per_series`, in the thread that asks for them.
    """

    def __init__(self, judging: Judging):
        self._judging = judging
        self._sums = Sums.none(judging.num_series, judging.outputs)
        self._kept: list[tuple[Array, Array, Array]] = []  # rows, truths, predictions of steps

    def __call__(self, rows: slice, Y: Array, y: Array, weight: Array) -> None:
        """Add a piece: Y (b, t, ...) or (b, ...), y and weight beside it."""
        judging = self._judging
        with np.errstate(all="ignore"):  # a network that diverged has any numbers
            true, pred = judging.in_units(Y, y)
            there = (weight > 0).reshape(true.shape)
            number = np.arange(rows.start, rows.start + len(true))
            number = np.broadcast_to(number.reshape(-1, *(1,) * (true.ndim - 2)), true.shape[:-1])
            number = number.ravel()
            true, pred, present = (
                part.reshape(-1, judging.outputs) for part in (true, pred, there)
            )
            if judging.known:
                place = judging.series[number]
                self._sums.add(true, pred, present, place, judging.right(true, pred))
            if judging.functions:
                whole = present.all(axis=1)
                self._kept.append((number[whole], true[whole], pred[whole]))

    def values(self) -> dict[str, float]:
        """One number for every metric: pooled, or the median over the series."""
        judging = self._judging
        pooled = self._sums.pooled() if judging.known else self._sums
        found = {}
        with np.errstate(all="ignore"):
            for name in judging.known:
                if name in _MEDIAN:
                    found[name] = _median(measured(name, self._sums, judging.naive))
                else:
                    found[name] = float(measured(name, pooled, judging.naive)[0])
        true, pred, _ = self._all()
        called = {metric.name: _called(metric, true, pred) for metric in judging.functions}
        return {name: (found | called)[name] for name, _ in judging.metrics}

    def per_series(self) -> dict[str, Array]:
        """The metrics of every series, (S,); NaN where a function of the user's fails."""
        judging, count = self._judging, len(self._sums.weight)
        with np.errstate(all="ignore"):
            found = {name: measured(name, self._sums, judging.naive) for name in judging.known}
        true, pred, series = self._all()
        order = np.argsort(series, kind="stable")
        ends = np.searchsorted(series[order], np.arange(1, count))
        own = [np.split(part[order], ends) for part in (true, pred)]
        for metric in judging.functions:
            found[metric.name] = np.array(_of_each(metric, list(zip(*own, strict=True))))
        return {name: found[name] for name, _ in judging.metrics}

    def _all(self) -> tuple[Array, Array, Array]:
        """Truths and predictions in the order of rows and steps, (N,) or (N, O); their series."""
        outputs = self._judging.outputs
        if not self._kept:
            none = np.empty((0, outputs)[: min(outputs, 2)])
            return none, none, np.empty(0, np.int64)
        number, true, pred = (np.concatenate(parts) for parts in zip(*self._kept, strict=True))
        order = np.argsort(number, kind="stable")
        true, pred = true[order], pred[order]
        if outputs == 1:
            true, pred = true[:, 0], pred[:, 0]
        if self._judging.loss.classes:
            true, pred = true.astype(np.int64), pred.astype(np.int64)
        return true, pred, self._judging.series[number[order]]


class Watchings(list[Watching]):
    """One for every member of an ensemble."""

    def values(self) -> dict[str, Array]:
        """The metrics of every member, (M,)."""
        return _stacked([one.values() for one in self])

    def per_series(self) -> dict[str, Array]:
        """The metrics of every member and series, (M, S)."""
        return _stacked([one.per_series() for one in self])


def _stacked(parts: list[Any]) -> dict[str, Array]:
    return {name: np.array([part[name] for part in parts]) for name in parts[0]}


def _median(values: Array) -> float:
    """Over the series of which there is a value."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else float("nan")


def _called(metric: Metric, true: Array, pred: Array) -> float:
    """What a function of the user's says; NaN of no targets and where a network diverged."""
    assert metric.function is not None
    if not len(true) or not np.isfinite(pred).all():
        return float("nan")
    value = metric.function(true, pred)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"metrics: the function {metric.name!r} must return a number, received "
            f"{checks.shown(value)}"
        ) from None


def _of_each(metric: Metric, own: list[tuple[Array, Array]]) -> list[float]:
    """The same for every series; it may not be able to say anything of one."""
    values, failed = [], ""
    for number, pair in enumerate(own):
        try:
            values.append(_called(metric, *pair))
        except Exception as error:  # of any kind: a trained network is worth more
            values.append(float("nan"))
            failed = failed or f"series {number}: {type(error).__name__}: {error}"
    if failed:
        notices.warn(f"metrics: the function {metric.name!r} fails for single series, {failed}")
    return values

"""The series of a fit on windows, as they were given: nothing is read that is not in memory."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.data import labels
from numlstm.data.ahead import Ahead
from numlstm.data.ahead_sources import beside, ending, read_known
from numlstm.data.arrays import Arrays
from numlstm.data.attributes import read_static, require_static, size_of
from numlstm.data.description import lengths_in_words
from numlstm.data.labels import Labelled, Names
from numlstm.data.padding import require_right_padding
from numlstm.data.scaling import power_of_two
from numlstm.data.sequences import Form, read_reset
from numlstm.data.sources import Series, has_lazy, read_series, read_targets
from numlstm.data.targets import Reading, read_sample_weight, require_ahead
from numlstm.data.tokens import require_no_tokens
from numlstm.data.validation import own_data, require_targets_of
from numlstm.utils.types import Array


class GivenSeries(NamedTuple):
    """Series and what stands beside them, before anything was read of them."""

    X: Series  # of forecasts with what is known of the next step alone
    y: Series  # of forecasts those of the next steps, which may be more
    wide: Series  # X with all that is known ahead
    total: Array  # (S,) steps that were given
    forecast: bool
    names: Names
    reading: Reading
    weights: Any = None  # of steps, a list of (T_s,), of series (S,), or None
    resets: list[Array] | None = None
    begins: list[Array] | None = None  # of forecasts: resets before the value forecast
    static: Array | None = None  # (S, A) attributes of the series
    ahead: Ahead | None = None
    labels: tuple[Labelled, ...] = ()  # of X and of y, for what is said of them

    @property
    def features(self) -> int:
        """Number of features that are not known ahead."""
        return self.X.width - (0 if self.ahead is None else self.ahead.future)

    @property
    def words(self) -> str:
        """How many series of how many steps."""
        return lengths_in_words(self.total, "series", "series")


def read_given(arrays: Arrays, reading: Reading) -> GivenSeries:
    """The series of a call, with their labels compared; nothing is read that is not in memory."""
    labelled = labels.inputs("X", arrays.X, reading.names.features, arrays.reset)
    if reading.classes and not has_lazy(labelled.sliceable):
        require_no_tokens(labelled)
    wanted = reading.names.targets
    wanted = wanted if wanted and len(wanted) > 1 else None
    targets = labels.companion(labelled, "y", arrays.y, wanted)
    own = {name: getattr(arrays, name) for name in ("sample_weight", "lengths", "reset")}
    beside_X = {name: labels.beside(labelled, name, value) for name, value in own.items()}
    X = _read_inputs(labelled, beside_X["lengths"], reading)
    attributes = labels.attributes(labelled, arrays.static, reading.names.static)
    weights, resets = _beside(X, beside_X["sample_weight"], beside_X["reset"])
    given = GivenSeries(
        X=X,
        y=X if arrays.y is None else read_targets(targets.sliceable, X),
        wide=X,
        total=X.steps,
        forecast=arrays.y is None,
        names=_names(labelled, labelled if arrays.y is None else targets, attributes, reading),
        reading=reading,
        weights=weights,
        resets=resets,
        static=read_static(attributes.values, Form(X.kind, tuple(X.steps.tolist()))),
        labels=(labelled, targets),
    )
    if reading.horizon is not None or arrays.future is not None or reading.future:
        return _read_ahead(given, labelled, arrays)
    return _next_values(given) if given.forecast else _one_class(given)


def _read_inputs(labelled: Any, lengths: Any, reading: Reading) -> Series:
    """X, of as many features as are read."""
    X = read_series("X", labelled.sliceable, lengths)
    if reading.input_size is not None and X.width != reading.input_size:
        raise ValueError(
            f"X has {X.width} feature(s) per step, but the network reads {reading.input_size}"
        )
    if lengths is not None and isinstance(X.sources[0].array, np.ndarray):
        require_right_padding(X.sources[0].array, X.steps)
    return X


def _names(labelled: Any, targets: Any, attributes: Any, reading: Reading) -> Names:
    """Those that were given, or else those that a model has."""
    said = reading.names
    return Names(
        features=labelled.features or said.features,
        targets=said.targets or (None if reading.classes else targets.features),
        static=attributes.names or said.static,
    )


def _one_class(given: GivenSeries) -> GivenSeries:
    """Series with one class per step; several are refused."""
    if given.reading.classes and given.y.width > 1:
        raise ValueError(
            f"y must have one class per step, received {given.y.width} numbers; classes are whole "
            "numbers, not one-hot: y.argmax(axis=-1) numbers one-hot classes"
        )
    return given


def _next_values(given: GivenSeries) -> GivenSeries:
    """Series of which the next values of X are forecast."""
    if given.reading.classes:
        raise ValueError("this loss needs targets: pass y (y=None means the next value of X)")
    inputs = given.X.before(1)
    return given._replace(
        X=inputs,
        y=given.X.ahead(1),
        wide=inputs,
        weights=_later(given.weights, given.resets),
        begins=_later(given.resets),
    )


def _later(values: Any, resets: list[Array] | None = None) -> Any:
    """Of every series what stands beside the next step.

    What the next sequence counts, after a reset, says nothing of a step.
    """
    if not isinstance(values, list):
        return values
    later = [part[1:] for part in values]
    if resets is None:
        return later
    triples = zip(resets, values, later, strict=True)
    return [np.where(begins[1:], own[:-1], part) for begins, own, part in triples]


def _read_ahead(given: GivenSeries, labelled: Any, arrays: Arrays) -> GivenSeries:
    """Series of which later targets are forecast, by what is known ahead of each step."""
    reading = given.reading
    require_ahead(arrays.y, arrays.future, reading, 1)
    values, titles = labels.known_ahead(labelled, arrays.future, reading.names.future)
    known = None if values is None else read_known(values, given.X, reading.future)
    names = given.names._replace(future=titles or reading.names.future)
    return _with_ahead(given._replace(names=names), known)


def _with_ahead(given: GivenSeries, known: Series | None) -> GivenSeries:
    """Series with later targets, and with features `known` ahead, if any are."""
    X, steps = given.X, given.X.steps
    ahead = Ahead(given.reading.horizon, 0 if known is None else known.width, given.y.width)
    used, one_step, wide = steps - 1, X.before(1), X.before(1)
    if known is not None:
        if given.resets is not None:
            ahead.require_no_breaks()
        used = np.maximum(0, np.minimum(used, known.steps - ahead.steps))
        one_step, wide = (beside(X, known, count, used) for count in (1, ahead.steps))
    return given._replace(
        X=one_step,
        y=ending(given.y.ahead(1)),
        weights=_later(given.weights, given.resets),
        begins=_later(given.resets),
        ahead=ahead,
        wide=wide,
        total=steps,
    )


def _beside(X: Series, sample_weight: Any, reset: Any) -> tuple[Any, list[Array] | None]:
    """Weights of steps or series, and resets, of every series."""
    counts = X.steps.tolist()
    form = Form(X.kind, tuple(counts))
    steps = max(counts) if X.kind != "batch" else int(X.sources[0].array.shape[1])
    weights: Any = None
    if sample_weight is not None:
        weights = read_sample_weight(sample_weight, form, steps)
        if weights.ndim == 2:
            weights = [row[:count] for row, count in zip(weights, counts, strict=True)]
        weights = balanced(weights)
    flags = read_reset(reset, form, steps)
    resets = None
    if flags is not None:
        resets = [row[:count] for row, count in zip(flags, counts, strict=True)]
    return weights, resets


def balanced(weights: Any) -> Any:
    """The same with the largest between 1 and 2: the ratios of weights count alone."""
    largest = np.max([np.max(part, initial=0.0) for part in weights])
    unit = power_of_two(largest)
    return [part / unit for part in weights] if isinstance(weights, list) else weights / unit


def read_others(arrays: Arrays, given: GivenSeries) -> GivenSeries:
    """The series of a validation of their own."""
    like = given.reading._replace(
        input_size=given.features,
        names=given.names,
        ragged=arrays.lengths is not None,
        future=None if given.ahead is None else given.ahead.future,
    )
    own = own_data(arrays.validation, arrays, like)
    require_targets_of(own, arrays)
    try:
        others = read_given(own, like)
        require_static(others.static, size_of(given.static), "the data of the fit")
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation: {error}") from error
    if others.y.width != given.y.width:
        raise ValueError(
            f"validation has {others.y.width} target(s) per step, y has {given.y.width}"
        )
    return others

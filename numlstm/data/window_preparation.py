"""From the user's series to windows of them, which are cut while a network is trained.

The data are read once, in slices, before: what is not finite is refused, what has no target is left
out, and the units are taken. Nothing of them is kept but a part of the targets.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from numlstm.data import labels
from numlstm.data.ahead import Ahead, require_all
from numlstm.data.ahead_sources import Beside, beside, ending, read_known
from numlstm.data.arrays import Arrays
from numlstm.data.attributes import read_static, require_static
from numlstm.data.description import ahead_in_words, known_in_words
from numlstm.data.fill_values import OF_A_FIT, OF_TARGETS, warn_of_values
from numlstm.data.labels import Names
from numlstm.data.missing import Imputer
from numlstm.data.padding import require_right_padding
from numlstm.data.preparation import (
    Data,
    DataConfig,
    GivenModel,
    check_targets,
    of_all_steps,
    reading_of,
    require_agreement,
    require_channels,
    require_width,
    scaling_of,
)
from numlstm.data.running_moments import Ends, RunningMoments
from numlstm.data.scaling import REMEDY, Scaling, moments
from numlstm.data.sequences import Form, read_reset
from numlstm.data.series_weight import even, weight_of
from numlstm.data.sources import Series, Source, has_lazy, read_series, read_targets
from numlstm.data.targets import (
    Reading,
    read_weight,
    require_ahead,
    require_classes,
    require_outputs,
)
from numlstm.data.tokens import require_no_tokens
from numlstm.data.validation import fraction_of, own_data, require_targets_of
from numlstm.data.windows import Samples, Targets, Units, WindowedDataset, narrow
from numlstm.utils import checks, notices
from numlstm.utils.random_streams import RandomStreams
from numlstm.utils.types import Array

_BLOCK = 4096  # steps; slices that are read are multiples
_KEPT = 2**20  # steps whose targets are kept
_AT_ONCE = 2**16  # windows whose weights are summed at once
_NAN = "remove or fill it, or fit with missing='mask', to which it is a missing input"
_NO_TARGET = "remove it, or pass nan_policy='omit', to which it is no target"


def prepare_windows(
    arrays: Arrays,
    config: DataConfig,
    dtype: str,
    draws: RandomStreams,
    model: GivenModel | None = None,
    outputs: int | None = None,
) -> Data:
    """Read the series of a fit on windows; see `numlstm.data.preparation.prepare`."""
    model = model or GivenModel()
    require_agreement(arrays, config, model)
    reading = reading_of(config, model, known=arrays.future is not None)
    given = _read(arrays, reading, config)
    ahead = given.ahead
    if model.num_features is not None:
        require_static(given.static, model.static_size)
    require_channels(given.wide.width, config, model)
    if ahead is not None and model.ahead is None and config.missing != "mask":
        require_width(ahead.columns, given.wide.width, model)
    fraction, others, said = None, None, ""
    if isinstance(arrays.validation, (tuple, list, dict)) or hasattr(arrays.validation, "keys"):
        others = _read_others(arrays, reading, given, config)
    elif arrays.validation is not None:
        fraction = fraction_of(arrays.validation)
    train, judge = _parts(given, fraction, config, dtype)
    if others is not None:
        try:
            judge = _whole(others, config, dtype)
        except ValueError as error:
            raise type(error)(f"validation: {error}") from error
    parts = [part for part in (train, judge) if part is not None]
    size = _output_size(parts, config, outputs if model.num_outputs is None else model.num_outputs)
    check_targets([part.once for part in parts], config)
    own = partial(_own_scaling, train, config)
    scaling = scaling_of(partial(of_all_steps, own, ahead), config, model)
    filling = _filling(train, model) if reading.missing else None
    units = Units(dtype, scaling, filling)
    for part in parts:
        _require_range(part, units)
    data = [part.data.in_units(units) for part in parts]
    if judge is not None:
        share = "windows that end in the last {:.4g} %" if fraction else "{}"
        said = share.format(100 * fraction if fraction else judge.given.words)
        said = f"; validation: {said}, {data[1].count:,} windows"
    return Data(
        train=data[0],
        validation=data[1] if judge is not None else None,
        scaling=scaling,
        filling=filling,
        output_size=size,
        bptt_steps=config.bptt_steps,
        words=_in_words(train, config) + said,
        names=given.names,
        forecasts=train.forecast
        and config.criterion.regression
        and config.criterion.outputs == train.data.targets.horizon == 1,
        ahead=ahead,
    )


# --- what was given -------------------------------------------------------------------------------


class _Given(NamedTuple):
    """Series and what stands beside them, before anything was read of them."""

    X: Series  # of forecasts with what is known of the next step alone
    y: Series  # of forecasts those of the next steps, which may be more
    weights: Any  # of steps, a list of (T_s,), of series (S,), or None
    resets: list[Array] | None
    begins: list[Array] | None  # of forecasts: resets before the value forecast
    forecast: bool
    names: Names
    reading: Reading
    static: Array | None = None  # (S, A) attributes of the series
    ahead: Ahead | None = None
    wide: Series = None  # type: ignore[assignment]  # X with all that is known ahead
    total: Array = None  # type: ignore[assignment]  # (S,) steps that were given

    @property
    def features(self) -> int:
        """Number of features that are not known ahead."""
        return self.X.width - (0 if self.ahead is None else self.ahead.future)

    @property
    def words(self) -> str:
        """How many series of how many steps."""
        steps = self.total
        least, most = int(steps.min()), int(steps.max())
        length = f"{f'{least} to ' * (least < most)}{most} step{'s' * (most != 1)}"
        return f"one series of {length}" if len(steps) == 1 else f"{len(steps)} series of {length}"


def _read(arrays: Arrays, reading: Reading, config: DataConfig) -> _Given:
    """The series of a call, with their labels compared; nothing is read that is not in memory."""
    given = labels.inputs("X", arrays.X, reading.names.features, arrays.reset)
    if reading.classes and not has_lazy(given.sliceable):
        require_no_tokens(given)
    wanted = reading.names.targets
    targets = labels.companion(given, "y", arrays.y, wanted if wanted and len(wanted) > 1 else None)
    own = {name: getattr(arrays, name) for name in ("sample_weight", "lengths", "reset")}
    beside_X = {name: labels.beside(given, name, value) for name, value in own.items()}
    X = read_series("X", given.sliceable, beside_X["lengths"])
    if reading.input_size is not None and X.width != reading.input_size:
        raise ValueError(
            f"X has {X.width} feature(s) per step, but the network reads {reading.input_size}"
        )
    if beside_X["lengths"] is not None and isinstance(X.sources[0].array, np.ndarray):
        require_right_padding(X.sources[0].array, X.steps)
    attributes = labels.attributes(given, arrays.static, reading.names.static)
    static = read_static(attributes.values, Form(X.kind, tuple(X.steps.tolist())))
    titles = None if reading.classes else (given if arrays.y is None else targets).features
    said = reading.names
    names = Names(
        *(given.features or said.features, wanted or titles),
        static=attributes.names or said.static,
    )
    weights, resets = _beside(X, beside_X["sample_weight"], beside_X["reset"])
    y = X if arrays.y is None else read_targets(targets.sliceable, X)
    if reading.horizon is not None or arrays.future is not None or reading.future:
        require_ahead(arrays.y, arrays.future, reading, 1)
        known, titles = labels.known_ahead(given, arrays.future, said.future)
        future = None if known is None else read_known(known, X, reading.future)
        names = names._replace(future=titles or said.future)
        forecast = arrays.y is None
        as_given = _Given(X, y, weights, resets, None, forecast, names, reading, static)
        return _ahead(as_given, future)
    if arrays.y is not None:
        if reading.classes and y.width > 1:
            raise ValueError(
                f"y must have one class per step, received {y.width} numbers; classes are whole "
                "numbers, not one-hot: y.argmax(axis=-1) numbers one-hot classes"
            )
        return _Given(
            *(X, y, weights, resets, None, False, names, reading, static),
            wide=X,
            total=X.steps,
        )
    if reading.classes:
        raise ValueError("this loss needs targets: pass y (y=None means the next value of X)")
    inputs, later = X.before(1), (_later(weights), resets, _later(resets))
    return _Given(
        *(inputs, X.ahead(1), *later, True, names, reading, static),
        wide=inputs,
        total=X.steps,
    )


def _later(values: Any) -> Any:
    """Of every series what stands beside the next step."""
    return [part[1:] for part in values] if isinstance(values, list) else values


def _ahead(given: _Given, known: Series | None) -> _Given:
    """The same for forecasts: a step has what is known ahead, and later targets."""
    X, steps = given.X, given.X.steps
    ahead = Ahead(given.reading.horizon, 0 if known is None else known.width, given.y.width)
    used, once, wide = steps - 1, X.before(1), X.before(1)
    if known is not None:
        if given.resets is not None:
            ahead.require_no_breaks()
        used = np.maximum(0, np.minimum(used, known.steps - ahead.steps))
        once, wide = (beside(X, known, count, used) for count in (1, ahead.steps))
    return given._replace(
        X=once,
        y=ending(given.y.ahead(1)),
        weights=_later(given.weights),
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
        weights = read_weight(sample_weight, form, steps)
        if weights.ndim == 2:
            weights = [row[:count] for row, count in zip(weights, counts, strict=True)]
        weights = _balanced(weights)
    flags = read_reset(reset, form, steps)
    resets = None
    if flags is not None:
        resets = [row[:count] for row, count in zip(flags, counts, strict=True)]
    return weights, resets


def _balanced(weights: Any) -> Any:
    """The same with the largest between 1 and 2: the ratios of weights count alone."""
    largest = float(np.max([np.max(part, initial=0.0) for part in weights]))
    unit = 2.0 ** (np.frexp(largest)[1] - 1) if largest > 0 else 1.0
    return [part / unit for part in weights] if isinstance(weights, list) else weights / unit


def _read_others(arrays: Arrays, reading: Reading, given: _Given, config: DataConfig) -> _Given:
    """The series of a validation of their own."""
    like = reading._replace(
        input_size=given.features,
        names=given.names,
        ragged=arrays.lengths is not None,
        future=None if given.ahead is None else given.ahead.future,
    )
    own = own_data(arrays.validation, arrays, like)
    require_targets_of(own, arrays)
    size = None if given.static is None else given.static.shape[1]
    try:
        others = _read(own, like, config)
        require_static(others.static, size, "the data of the fit")
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation: {error}") from error
    if others.y.width != given.y.width:
        raise ValueError(
            f"validation has {others.y.width} target(s) per step, y has {given.y.width}"
        )
    return others


# --- reading --------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Scan:
    """What is known of the data after they were read once."""

    given: _Given
    until: Array  # (S,) the step of every series at which what is learned from ends
    inputs: RunningMoments  # of what is learned from
    outputs: RunningMoments
    every: tuple[Ends, Ends]  # of all
    follows: bool | None = None  # whether targets are the next inputs
    factor: Array | None = None  # (S, O) what every target of a series counts beside that
    counts: list[Array] = field(default_factory=list)  # (T_s,) what targets of a step count
    kept: list[tuple[Array, Array]] = field(default_factory=list)  # targets, and what they count
    warned: bool = False


def _scan(given: _Given, until: Array, config: DataConfig, dtype: str) -> _Scan:
    """Read all once, in slices, and refuse what cannot be learned from."""
    X, y = given.X, given.y
    parts = RunningMoments(X.width), RunningMoments(y.width)
    every = Ends(X.width), Ends(y.width)
    scan = _Scan(given, until, *parts, every)
    weighs, deviations = config.weight is not None, []
    targets = Targets(y, 1, given.reading.classes, None, given.weights, given.begins)
    every_nth, at = max(1, -(-int(X.steps.sum()) // _KEPT)), 0
    for number, source in enumerate(X.sources):
        total = y.sources[number].steps
        counts = np.empty((total, y.width)) if weighs else np.empty(total, dtype)
        kept, own_moments = [], RunningMoments(y.width)
        for start, stop in _slices(source, total):
            values, own = _slice(given, number, start, stop)
            weight = targets.counting(own, number, start)
            _look(scan, number, start, values, own, weight)
            counts[start:stop] = weight if weighs else _together(weight, dtype)
            if weighs:
                learned = slice(0, max(0, int(until[number]) - start))
                own_moments.count(own[learned], weight[learned] > 0)
            first = -(at + start) % every_nth
            kept.append((own[first::every_nth].copy(), weight[first::every_nth]))
        _require_rest(given, number)
        at += total
        if (counts == (1 if weighs else targets.width)).all():  # as in most: nothing is kept then
            counts = np.broadcast_to(counts[0].copy(), counts.shape)
        deviations.append(own_moments.deviation)
        scan.counts.append(counts)
        scan.kept.append(tuple(map(np.concatenate, zip(*kept, strict=True))))  # type: ignore[arg-type]
    return _weighed(scan, np.stack(deviations), dtype) if weighs else scan


def _together(weight: Array, dtype: str) -> Array:
    """What all targets of a step count, (n,), of what each does, (n, O)."""
    total: Array = weight.astype(dtype).sum(axis=1, dtype=np.float64)
    return total.astype(dtype)


def _weighed(scan: _Scan, deviations: Array, dtype: str) -> _Scan:
    """The same where series count by the deviations (S, O) of their targets."""
    factor = _balanced(even(weight_of(deviations)))
    counts = []
    for own, part in zip(factor, scan.counts, strict=True):
        alike = part.strides[0] == 0
        total = _together((part[:1] if alike else part) * own, dtype)
        counts.append(np.broadcast_to(total[0], len(part)) if alike else total)
    pairs = zip(scan.kept, factor, strict=True)
    kept = [(y, weight * own) for (y, weight), own in pairs]
    return replace(scan, factor=factor, counts=counts, kept=kept)


def _slices(source: Source, total: int) -> Iterator[tuple[int, int]]:
    """Of a series what is read at once, and then of the targets that come after it."""
    yield from source.slices(_BLOCK)
    for start in range(source.steps, total, _BLOCK):
        yield start, min(start + _BLOCK, total)


def _slice(given: _Given, number: int, start: int, stop: int) -> tuple[Array, Array]:
    """Inputs and targets of some steps of a series."""
    if start >= (source := given.X.sources[number]).steps:
        return np.empty((0, source.width), source.dtype), given.y.sources[number].read(start, stop)
    if not given.forecast or given.ahead is not None:
        return tuple(part.sources[number].read(start, stop) for part in (given.X, given.y))  # type: ignore[return-value]
    values = given.X.sources[number].read(start, stop + 1)  # the last one is read as target alone
    return values[:-1], values[1:]


def _look(
    scan: _Scan, number: int, start: int, values: Array, targets: Array, weight: Array
) -> None:
    """Look at some steps of a series: inputs (n, I), targets (n, O) and what these count."""
    given, reading, own = scan.given, scan.given.reading, scan.given.features
    there, there_y = ~np.isnan(values), ~np.isnan(targets)
    source, nan = given.X.sources[number], "" if reading.missing else _NAN
    _require_values((source, start), values[:, :own], there[:, :own], nan)
    if isinstance(source, Beside):
        _require_values((source.known, start + 1), values[:, own:], there[:, own:], nan)
    if not given.forecast:
        nan = "" if reading.nan_policy == "omit" else _NO_TARGET
    _require_values((given.y.sources[number], start), targets, there_y, nan)
    if given.reading.classes:
        require_classes(np.where(there_y, targets, 0.0))
    if not scan.warned:
        scan.warned = warn_of_values("X", values, there, _features(given), OF_A_FIT) or (
            not (given.forecast or given.reading.classes)
            and warn_of_values("y", targets, there_y, given.names.targets, OF_TARGETS)
        )
    _take_moments(scan, number, start, (values, there), (targets, weight))
    if not given.forecast and scan.follows is not False and len(values):
        scan.follows = _are_next(values, targets, weight > 0, scan.follows)


def _features(given: _Given) -> tuple[str, ...] | None:
    """Names of the features with those that are known of the next step."""
    names = given.names if given.ahead is None else given.ahead.names_once(given.names)
    features: tuple[str, ...] | None = names.features
    return features


def _require_rest(given: _Given, number: int) -> None:
    """Refuse what is not finite of what is known of later steps than the last one's next."""
    source = given.wide.sources[number]
    if not isinstance(source, Beside):
        return
    start = source.steps + 1
    values = source.known.read(start, source.steps + source.horizon)
    nan = "" if given.reading.missing else _NAN
    _require_values((source.known, start), values, ~np.isnan(values), nan)


def _take_moments(
    scan: _Scan,
    number: int,
    start: int,
    inputs: tuple[Array, Array],
    targets: tuple[Array, Array],
) -> None:
    (values, there), (y, weight) = inputs, targets
    given, learned = scan.given, slice(0, max(0, int(scan.until[number]) - start))
    given_weight = _input_weight(given, number, int(scan.until[number]))
    scan.inputs.count(values[learned], there[learned], given_weight)
    scan.every[0].add(values)
    if not given.reading.classes:
        counts = weight.max(axis=1)  # alike for all targets of a step that are there
        scan.outputs.count(y[learned], weight[learned] > 0, counts[learned])
    scan.every[1].add(np.where(weight > 0, y, np.nan))


def _input_weight(given: _Given, number: int, until: int) -> float:
    """What every step of a series counts as input: the mean of what its targets do."""
    if not isinstance(given.weights, list):
        return 1.0 if given.weights is None else float(given.weights[number])
    return float(np.mean(given.weights[number][:until])) if until else 0.0


def _require_values(place: tuple[Source, int], values: Array, there: Array, nan: str) -> None:
    """Refuse infinite values, and NaN where `nan` says what to do about it."""
    source, start = place
    good = np.isfinite(values) | (~there & (not nan))
    if good.all():
        return
    step, column = (int(index) for index in np.argwhere(~good)[0])
    where = [] if source.row is None else [source.row]
    index = (*where, start + step + source.shift, column)
    what = f"NaN: {nan}" if not there[step, column] else "inf: replace it by a number"
    raise ValueError(
        f"{source.name} has NaN or infinite values, the first at index {index}; {what}"
    )


def _are_next(values: Array, targets: Array, there: Array, before: bool | None) -> bool | None:
    """Whether targets are the first features of the next step, where they are any."""
    if targets.shape[1] > values.shape[1]:
        return False
    there = there[:-1]
    if not there.any():
        return before
    following = values[1:, : targets.shape[1]]
    dtype = np.float32 if np.float32 in (values.dtype, targets.dtype) else np.float64
    pair = targets[:-1][there].astype(dtype), following[there].astype(dtype)
    return bool(np.array_equal(*pair))


# --- samples --------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Part:
    """What is learned from, or judged by."""

    given: _Given
    data: WindowedDataset  # in the units of the data
    scan: _Scan

    @property
    def forecast(self) -> bool:
        """Whether targets are the values of the next inputs."""
        return self.given.forecast or bool(self.scan.follows)

    @property
    def once(self) -> WindowedDataset:
        """Its data with the targets that are kept once, those of the next step."""
        if self.data.targets.horizon == 1:
            return self.data
        width = self.given.y.width
        return replace(self.data, y=self.data.y[:, :width], weight=self.data.weight[:, :width])

    @property
    def inputs(self) -> RunningMoments:
        """Moments of the inputs that are learned from."""
        return self.scan.inputs


def _whole(given: _Given, config: DataConfig, dtype: str) -> _Part:
    """All windows of series."""
    _say_short(given, config)
    scan = _scan(given, given.X.steps, config, dtype)
    return _Part(given, _dataset(scan, config, dtype, np.zeros_like(scan.until), scan.until), scan)


def _parts(
    given: _Given, fraction: float | None, config: DataConfig, dtype: str
) -> tuple[_Part, _Part | None]:
    """Windows to learn from, and those that end in the last part of every series."""
    if fraction is None:
        return _whole(given, config, dtype), None
    _say_short(given, config)
    steps = given.X.steps
    cut = steps - np.maximum(1, np.rint(fraction * steps)).astype(np.int64)
    scan = _scan(given, cut, config, dtype)
    try:
        train = _dataset(scan, config, dtype, np.zeros_like(cut), cut, ends=True)
        judge = _dataset(scan, config, dtype, cut, steps)
    except ValueError as error:
        raise ValueError(
            f"validation={fraction:g} leaves no window with a target on one side of the cuts in "
            "time: windows that end before a cut are learned from, those that end behind it judge"
        ) from error
    return _Part(given, train, scan), _Part(given, judge, scan)


def _say_short(given: _Given, config: DataConfig) -> None:
    """Refuse series that are all shorter than a window, and say how many are."""
    window, steps = config.window or 1, given.X.steps
    if not (short := int((steps < window).sum())):
        return
    if short == len(steps):
        ahead = " and the value that is forecast" * given.forecast
        if given.ahead is not None and given.ahead.future:
            ahead += ", and all that is known ahead of each"
        raise ValueError(
            f"window={window} is longer than X: its longest series has "
            f"{int(given.total.max())} step(s), and a sample is {window} steps{ahead}"
        )
    notices.warn(
        f"{short} of {len(steps)} series are shorter than the window of {window} steps, and have "
        "no sample"
    )


def _dataset(
    scan: _Scan,
    config: DataConfig,
    dtype: str,
    since: Array,
    until: Array,
    *,
    ends: bool = False,
) -> WindowedDataset:
    """Windows that end from the steps `since` (S,) on, before `until` (S,).

    Where all `ends` there, no later target counts.
    """
    given, window = scan.given, config.window or 1
    first = window - 1 + config.stride * np.maximum(0, -(-(since - window + 1) // config.stride))
    counts = np.maximum(0, -(-(until - first) // config.stride))
    samples = Samples(first, counts, config.stride)
    horizon = 1 if given.ahead is None else given.ahead.steps
    targets = Targets(
        *(given.y, config.predict_last, given.reading.classes),
        since=since if since.any() else None,
        weights=given.weights,
        begins=given.begins,
        factor=scan.factor,
        horizon=horizon,
        until=until if ends and horizon > 1 else None,
    )
    sums = _sums(scan, samples, targets)
    if sums is not None and not sums.all():
        kept = np.flatnonzero(sums)
        sums = sums[kept]
        samples = replace(samples, kept=kept.astype(narrow(samples.count)))
    if not samples.count:
        raise ValueError("there is nothing to learn: no target with a weight above zero is left")
    if sums is not None and (sums == config.predict_last * targets.width).all():
        sums = None
    y, weight = _kept_targets(scan, samples, targets)
    if given.ahead is not None:
        require_all(weight, given.ahead, int(given.total.max()))
    if targets.classes:
        y, weight = np.nan_to_num(y[:, 0]).astype(np.int64), weight[:, 0]
    return WindowedDataset(
        *(given.wide, targets, samples, window, Units(dtype)),
        sums=sums,
        coarse=config.shuffle == "blocks",
        resets=given.resets,
        static=given.static,
        y=np.where(weight > 0, y, y.dtype.type(0)),
        weight=weight,
        names=given.names,
    )


def _ends(samples: Samples, number: int) -> Array:
    """The last steps of all windows of a series."""
    ends: Array = samples.first[number] + samples.stride * np.arange(samples.counts[number])
    return ends


def _sums(scan: _Scan, samples: Samples, targets: Targets) -> Array | None:
    """What the targets of every sample count together, (N,); None: 1 for each number."""
    whole = targets.weights is None and targets.factor is None
    exact, last = np.float32 if whole else np.float64, targets.last
    sums, alike = [np.empty(0, exact)], True
    for number, counts in enumerate(scan.counts):
        begins = _ends(samples, number) - (last - 1)
        since = 0 if targets.since is None else targets.since[number]
        if targets.horizon == 1 and counts.strides == (0,) and (begins >= since).all():
            alike &= counts[0] == targets.width
            sums.append(np.broadcast_to(exact(last * float(counts[0])), len(begins)))
            continue
        alike = False
        counts = _with_later(np.where(np.arange(len(counts)) < since, 0, counts), targets, number)
        rows = np.lib.stride_tricks.sliding_window_view(counts, last)
        for start in range(0, len(begins), _AT_ONCE):
            part = rows[begins[start : start + _AT_ONCE]]
            sums.append(part.sum(axis=1, dtype=np.float64).astype(exact))
    return None if alike else np.concatenate(sums)


def _with_later(counts: Array, targets: Targets, number: int) -> Array:
    """What the targets of each step (T_s,) count with those that are beside them."""
    if targets.horizon == 1:
        return counts
    steps, horizon = len(counts), targets.horizon
    if targets.until is not None:
        counts = np.where(np.arange(steps) < targets.until[number], counts, 0)
    counts = np.concatenate([counts, np.zeros(horizon - 1)])
    unbroken = np.ones(steps, bool)
    total = np.zeros(steps)
    for k in range(horizon):
        if targets.begins is not None:
            begins = targets.begins[number][k:]
            unbroken[: len(begins)] &= ~begins
        total += counts[k : k + steps] * unbroken
    return total


def _kept_targets(scan: _Scan, samples: Samples, targets: Targets) -> tuple[Array, Array]:
    """The targets (n, h O) that were kept, and what each counts in all windows.

    Of those that stand side by side each column has all, as often as it has them.
    """
    steps, last = scan.given.y.steps, targets.last
    every_nth, at = max(1, -(-int(steps.sum()) // _KEPT)), 0
    there = None
    if samples.kept is not None:
        there = np.zeros(int(samples.counts.sum()), bool)
        there[samples.kept] = True
    weights, first = [], 0
    for number, (_, weight) in enumerate(scan.kept):
        ends = _ends(samples, number)
        ends = ends if there is None else ends[there[first : first + len(ends)]]
        first += int(samples.counts[number])
        size = int(steps[number]) + 1
        begun, ended = (np.bincount(at, minlength=size) for at in (ends - (last - 1), ends + 1))
        windows, columns = np.cumsum(begun - ended)[:-1], []
        for k in range(targets.horizon):
            there_k = np.concatenate([np.zeros(k, windows.dtype), windows])[: len(windows)]
            there_k[: 0 if targets.since is None else targets.since[number]] = 0
            if targets.until is not None:
                there_k[targets.until[number] :] = 0
            columns.append(weight * there_k[-at % every_nth :: every_nth, None])
        at += int(steps[number])
        weights.append(np.concatenate(columns, axis=1))
    every: Array = np.concatenate([y for y, _ in scan.kept])
    return np.tile(every, targets.horizon), np.concatenate(weights)


# --- targets and units ----------------------------------------------------------------------------


def _output_size(parts: list[_Part], config: DataConfig, outputs: int | None) -> int:
    """Number of outputs: that asked for, if it fits the targets, or what they need."""
    loss = config.criterion
    needed = loss.outputs * parts[0].data.targets.width
    if loss.classes:
        needed = max(2, *(int(part.scan.every[1].most[0]) + 1 for part in parts))
    if config.loss == "binary_cross_entropy":
        for part in parts:
            _require_probabilities(part.scan.every[1])
    if outputs is None:
        return needed
    require_outputs(outputs, needed, config.loss)
    return outputs


def _require_probabilities(found: Ends) -> None:
    if (found.least < 0).any() or (found.most > 1).any():
        raise ValueError(
            "binary_cross_entropy needs targets between 0 and 1, received "
            f"{found.least.min():g} to {found.most.max():g}"
        )


def _filling(train: _Part, model: GivenModel) -> Imputer:
    """How missing inputs are filled: as a given model does, or by what was observed."""
    once, ahead = Imputer(train.inputs.result()[0]), train.given.ahead
    return model.filling or (once if ahead is None else ahead.filling(once))


def _own_scaling(train: _Part, config: DataConfig) -> Scaling:
    """The units of what is learned from: every step counts once, not once for every window."""
    scaling = _scaling_in_time(train, config)
    if (static := train.given.static) is None:
        return scaling
    every = range(len(static))
    steps = train.scan.until.tolist()
    weight = np.array([[_input_weight(train.given, number, steps[number])] for number in every])
    mean, scale = moments(static, np.ones(static.shape, bool), weight)
    return scaling._replace(static_mean=mean, static_scale=scale)


def _scaling_in_time(train: _Part, config: DataConfig) -> Scaling:
    """The units of inputs and targets."""
    inputs = train.inputs.result()
    if not config.criterion.regression:
        return Scaling(*inputs)
    outputs = train.given.y.width
    if train.forecast and not isinstance(train.given.weights, list):
        return Scaling(*inputs, *(part[:outputs].copy() for part in inputs))
    targets = train.scan.outputs.result()
    if train.forecast:
        for part, own in zip(inputs, targets, strict=True):
            part[:outputs] = own
    return Scaling(*inputs, *targets)


def _require_range(part: _Part, units: Units) -> None:
    """Refuse data that leave the range of the network's dtype; both ends say so."""
    inputs, targets = part.scan.every
    scaling, ahead = units.scaling, part.given.ahead
    with checks.within_range("X", units.dtype, REMEDY):
        ends = np.nan_to_num(np.stack([inputs.least, inputs.most]), posinf=0.0, neginf=0.0)
        ends = ends if ahead is None else ahead.of_inputs(ends)
        (ends if scaling is None else scaling.inputs(ends)).astype(units.dtype)
    if not part.given.reading.classes:
        with checks.within_range("y", units.dtype, REMEDY):
            ends = np.nan_to_num(np.stack([targets.least, targets.most]), posinf=0.0, neginf=0.0)
            units.targets(np.tile(ends, part.data.targets.horizon))


def _in_words(train: _Part, config: DataConfig) -> str:
    """The data of a fit: "3 series of 900 steps, 2 features, a target per step, 1,500 windows"."""
    given, loss = train.given, config.criterion
    features, width, ahead = given.features, given.y.width, given.ahead
    words = [given.words, "one feature" if features == 1 else f"{features} features"]
    words += known_in_words(0 if ahead is None else ahead.future)
    if ahead is not None and ahead.horizon is not None:
        words.append(ahead_in_words(ahead, given.forecast))
    elif given.forecast:
        words.append("the next value as target")
    elif loss.classes:
        count = max(2, int(train.scan.every[1].most[0]) + 1)
        words.append(f"a target per step of {count} classes")
    else:
        words.append("a target per step" if width == 1 else f"{width} targets per step")
    words += ["weighted"] * (given.weights is not None)
    if given.resets is not None:
        words.append(f"{sum(int(part.sum()) for part in given.resets)} resets")
    every = f", every {config.stride} steps" * (config.stride > 1)
    kept = train.data.samples.kept
    left = int(train.data.samples.counts.sum()) - train.data.count
    without = f", {left:,} without a target" if kept is not None and left else ""
    words.append(f"{train.data.count:,} windows of {config.window} steps{every}{without}")
    return ", ".join(words)

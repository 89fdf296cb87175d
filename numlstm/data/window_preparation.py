"""From the user's series to windows of them, which are cut while a network is trained.

The data are read once, in slices, before: what is not finite is refused, what has no target is left
out, and the units are taken. Nothing of them is kept but a part of the targets.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from numlstm.data.ahead import require_all, steps_ahead, unbroken
from numlstm.data.arrays import Arrays, is_own_data
from numlstm.data.description import Contents, describe
from numlstm.data.kept_targets import Grid
from numlstm.data.preparation import (
    Data,
    DataConfig,
    GivenModel,
    check_targets,
    feeds_back,
    outputs_of,
    reading_of,
    require_agreement,
    require_model,
    units_of,
)
from numlstm.data.scaling import REMEDY, Moments, moments
from numlstm.data.sequences import TrainingData
from numlstm.data.targets import classes_of, require_probabilities
from numlstm.data.validation import fraction_of
from numlstm.data.window_reading import GivenSeries, read_given, read_others
from numlstm.data.window_scan import Scan, input_weight, scan_all
from numlstm.data.windows import Samples, Targets, Units, WindowedDataset, narrow
from numlstm.utils import checks, notices
from numlstm.utils.random_streams import RandomStreams
from numlstm.utils.types import Array

_AT_ONCE = 2**16  # windows whose weights are summed at once


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
    given = read_given(arrays, reading)
    ahead = given.ahead
    require_model(given.wide.width, given.static, ahead, config, model)
    train, judge, said = _parts(given, arrays, config, dtype)
    parts = [part for part in (train, judge) if part is not None]
    if config.loss == "binary_cross_entropy":
        for part in parts:
            require_probabilities(part.scan.every[1].ends)
    size = outputs_of(parts, config, outputs if model.num_outputs is None else model.num_outputs)
    check_targets([part.one_step for part in parts], config)
    scaling, filling = units_of(train, ahead, config, model)
    units = Units(dtype, scaling, filling)
    for part in parts:
        _require_range(part, units)
    data: list[TrainingData] = [part.data.in_units(units) for part in parts]
    if judge is not None:
        said = f"; validation: {said}, {judge.data.count:,} windows"
    return Data(
        train=data[0],
        validation=data[1] if judge is not None else None,
        scaling=scaling,
        filling=filling,
        output_size=size,
        bptt_steps=config.bptt_steps,
        words=_in_words(train, config) + said,
        names=given.names,
        forecasts=feeds_back(train.forecast, config.criterion, ahead),
        ahead=ahead,
    )


# --- samples --------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Part:
    """What is learned from, or judged by, and its statistics.

    Every step that is learned from counts once, not once for every window.
    """

    given: GivenSeries
    data: WindowedDataset  # in the units of the data
    scan: Scan

    @property
    def forecast(self) -> bool:
        """Whether targets are the values of the next inputs."""
        return self.given.forecast or self.scan.follows

    @property
    def one_step(self) -> WindowedDataset:
        """Its data with the targets that are kept once, those of the next step."""
        if self.data.targets.horizon == 1:
            return self.data
        width = self.given.y.width
        return replace(self.data, y=self.data.y[:, :width], weight=self.data.weight[:, :width])

    @property
    def inputs(self) -> Moments:
        return self.scan.inputs.result()

    @property
    def targets(self) -> Moments:
        return self.scan.outputs.result()

    @property
    def attributes(self) -> Moments | None:
        if (static := self.given.static) is None:
            return None
        steps = enumerate(self.scan.until.tolist())
        own = [np.max(input_weight(self.given, *place), initial=0.0) for place in steps]
        return moments(static, np.ones(static.shape, bool), np.array(own)[:, None])

    @property
    def varies(self) -> bool:
        if not isinstance(weights := self.given.weights, list):
            return False
        learned = (part[:until] for part, until in zip(weights, self.scan.until, strict=True))
        return any((part != part[:1]).any() for part in learned)

    @property
    def num_one_step(self) -> int:
        return self.given.y.width

    @property
    def num_targets(self) -> int:
        return self.data.targets.width

    @property
    def num_classes(self) -> int:
        return classes_of(int(self.scan.every[1].most[0]))


def _whole(given: GivenSeries, config: DataConfig, dtype: str, where: str = "") -> _Part:
    """All windows of series."""
    _say_short(given, config, where)
    grid = _grid(given, given.X.steps, config)
    scan = scan_all(given, grid, config.weight is not None, dtype, where)
    return _Part(given, _dataset(scan, config, dtype, _Cut(0 * scan.until, scan.until)), scan)


def _parts(
    given: GivenSeries, arrays: Arrays, config: DataConfig, dtype: str
) -> tuple[_Part, _Part | None, str]:
    """What to learn from, what to judge by, and the latter in words."""
    if arrays.validation is None:
        return _whole(given, config, dtype), None, ""
    if not is_own_data(arrays.validation):
        fraction = fraction_of(arrays.validation)
        words = f"windows that end in the last {100 * fraction:.4g} %"
        return *_cut_in_time(given, fraction, config, dtype), words
    others = read_others(arrays, given)
    train = _whole(given, config, dtype)
    try:
        judge = _whole(others, config, dtype, "validation: ")
    except ValueError as error:
        raise type(error)(f"validation: {error}") from error
    return train, judge, others.words


def _cut_in_time(
    given: GivenSeries, fraction: float, config: DataConfig, dtype: str
) -> tuple[_Part, _Part]:
    """Windows to learn from, and those that end in the last part of every series."""
    _say_short(given, config)
    steps = given.X.steps
    at = steps - np.maximum(1, np.rint(fraction * steps)).astype(np.int64)
    scan = scan_all(given, _grid(given, at, config), config.weight is not None, dtype)
    try:
        train = _dataset(scan, config, dtype, _Cut(0 * at, at, closes=True))
        judge = _dataset(scan, config, dtype, _Cut(at, steps))
    except ValueError as error:
        raise ValueError(
            f"validation={fraction:g} leaves no window with a target on one side of the cuts in "
            "time: windows that end before a cut are learned from, those that end behind it judge"
        ) from error
    return _Part(given, train, scan), _Part(given, judge, scan)


def _grid(given: GivenSeries, cut: Array, config: DataConfig) -> Grid:
    """Which steps have targets in windows that end before a cut, or behind it."""
    size = config.window or 1, config.stride, config.predict_last, steps_ahead(given.ahead)
    return Grid(*size, steps=given.X.steps, cut=cut)


def _say_short(given: GivenSeries, config: DataConfig, where: str = "") -> None:
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
        f"{where}{short} of {len(steps)} series are shorter than the window of {window} steps, "
        "and have no sample"
    )


class _Cut(NamedTuple):
    """The part of series in which windows end."""

    since: Array  # (S,) the first step of it
    until: Array  # (S,) the first one behind it
    closes: bool = False  # whether no target behind it counts

    def samples(self, config: DataConfig) -> Samples:
        """Where windows end."""
        stride, least = config.stride, (config.window or 1) - 1
        first = least + stride * np.maximum(0, -(-(self.since - least) // stride))
        return Samples(first, np.maximum(0, -(-(self.until - first) // stride)), stride)

    def targets(self, scan: Scan, config: DataConfig) -> Targets:
        """Targets of its steps."""
        given = scan.given
        horizon = steps_ahead(given.ahead)
        return Targets(
            y=given.y,
            last=config.predict_last,
            classes=given.reading.classes,
            since=self.since if self.since.any() else None,
            weights=given.weights,
            begins=given.begins,
            factor=scan.factor,
            horizon=horizon,
            until=self.until if self.closes and horizon > 1 else None,
        )


def _dataset(scan: Scan, config: DataConfig, dtype: str, cut: _Cut) -> WindowedDataset:
    """The windows that end in a part of series."""
    given, targets = scan.given, cut.targets(scan, config)
    samples, sums = _with_target(scan, cut.samples(config), targets)
    y, weight = _kept_targets(scan, samples, targets)
    if given.ahead is not None:
        require_all(weight, given.ahead, int(given.total.max()))
    if targets.classes:
        y, weight = np.nan_to_num(y[:, 0]).astype(np.int64), weight[:, 0]
    return WindowedDataset(
        X=given.wide,
        targets=targets,
        samples=samples,
        window=config.window or 1,
        units=Units(dtype),
        sums=sums,
        coarse=config.shuffle == "blocks",
        resets=given.resets,
        static=given.static,
        y=np.where(weight > 0, y, y.dtype.type(0)),
        weight=weight,
        names=given.names,
    )


def _with_target(scan: Scan, samples: Samples, targets: Targets) -> tuple[Samples, Array | None]:
    """The samples that have a target, and what those of each count; None: 1 for each number."""
    sums = _sums(scan, samples, targets)
    if sums is not None and not sums.all():
        kept = np.flatnonzero(sums)
        sums = sums[kept]
        samples = replace(samples, kept=kept.astype(narrow(samples.count)))
    if not samples.count:
        raise ValueError("there is nothing to learn: no target with a weight above zero is left")
    if sums is not None and (sums == targets.last * targets.width).all():
        sums = None
    return samples, sums


def _ends(samples: Samples, number: int) -> Array:
    """The last steps of all windows of a series."""
    ends: Array = samples.first[number] + samples.stride * np.arange(samples.counts[number])
    return ends


def _sums(scan: Scan, samples: Samples, targets: Targets) -> Array | None:
    """What the targets of every sample count together, (N,); None: 1 for each number."""
    whole = targets.weights is None and targets.factor is None
    exact, last = np.float32 if whole else np.float64, targets.last
    sums, alike = [np.empty(0, exact)], True
    for number, counts in enumerate(scan.counts):
        begins = _ends(samples, number) - (last - 1)
        if not len(begins):
            continue
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
    begins = np.zeros(len(counts), bool)
    if targets.begins is not None:
        own = targets.begins[number]
        begins[: len(own)] = own
    total = np.zeros(steps)
    for k, same in enumerate(unbroken(begins, horizon)):
        total += counts[k : k + steps] * same
    return total


def _kept_targets(scan: Scan, samples: Samples, targets: Targets) -> tuple[Array, Array]:
    """The targets (n, h O) that were kept, and what each counts in all windows.

    Of those that stand side by side each column has all, as often as it has them.
    """
    steps, last = scan.given.y.steps, targets.last
    there = None
    if samples.kept is not None:
        there = np.zeros(int(samples.counts.sum()), bool)
        there[samples.kept] = True
    weights, first = [], 0
    for number, (own, _, weight) in enumerate(scan.kept):
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
            columns.append(weight * there_k[own, None])
        weights.append(np.concatenate(columns, axis=1))
    every: Array = np.concatenate([y for _, y, _ in scan.kept])
    return np.tile(every, targets.horizon), np.concatenate(weights)


# --- targets and units ----------------------------------------------------------------------------


def _require_range(part: _Part, units: Units) -> None:
    """Refuse data that leave the range of the network's dtype; both ends say so."""
    inputs, targets = part.scan.every
    scaling, ahead = units.scaling, part.given.ahead
    with checks.within_range("X", units.dtype, REMEDY):
        ends = inputs.ends if ahead is None else ahead.of_inputs(inputs.ends)
        (ends if scaling is None else scaling.inputs(ends)).astype(units.dtype)
    if not part.given.reading.classes:
        with checks.within_range("y", units.dtype, REMEDY):
            units.targets(np.tile(targets.ends, part.data.targets.horizon))


def _in_words(train: _Part, config: DataConfig) -> str:
    """The data of a fit: "3 series of 900 steps, 2 features, a target per step, 1,500 windows"."""
    every = f", every {config.stride} steps" * (config.stride > 1)
    kept = train.data.samples.kept
    left = int(train.data.samples.counts.sum()) - train.data.count
    without = f", {left:,} without a target" if kept is not None and left else ""
    samples = f"{train.data.count:,} windows of {config.window} steps{every}{without}"
    return f"{describe(_contents(train, config))}, {samples}"


def _contents(train: _Part, config: DataConfig) -> Contents:
    """Facts about series, whichever of their windows are learned from."""
    given, scan = train.given, train.scan
    classes = train.num_classes if config.criterion.classes else None
    weights, resets = given.weights, given.resets
    return Contents(
        size=given.words,
        features=given.features,
        targets=given.y.width,
        last=False,
        forecast=given.forecast,
        ahead=given.ahead,
        static=given.static,
        missing=scan.total - scan.present,
        total=scan.total,
        all_weigh=weights is None or all(map(np.all, weights)),
        weighted=weights is not None,
        resets=None if resets is None else sum(int(part.sum()) for part in resets),
        classes=classes,
        unseen=tuple(sorted(set(range(classes or 0)) - scan.classes)),
    )

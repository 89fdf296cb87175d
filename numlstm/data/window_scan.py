"""Series are read once before they are learned from: checked, and their units taken."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from numlstm.data.ahead_sources import WithFuture
from numlstm.data.fill_values import OF_A_FIT, OF_TARGETS, warn_of_filled_static, warn_of_values
from numlstm.data.kept_targets import Grid, KeptTargets
from numlstm.data.labels import named
from numlstm.data.next_inputs import NextInputs
from numlstm.data.running_moments import Range, RunningMoments
from numlstm.data.sequences import NAN_INPUT, mean_weights
from numlstm.data.series_weight import even, weight_of
from numlstm.data.sources import Source
from numlstm.data.targets import require_classes
from numlstm.data.window_reading import GivenSeries, balanced
from numlstm.data.windows import Targets
from numlstm.utils import checks
from numlstm.utils.types import Array

_BLOCK = 4096  # steps; slices that are read are multiples
_NO_TARGET = "remove it, or pass nan_policy='omit', to which it is no target"


@dataclass(eq=False)
class Scan:
    """What is known of the data after they were read once."""

    given: GivenSeries
    until: Array  # (S,) the step of every series at which what is learned from ends
    where: str  # before names in warnings
    inputs: RunningMoments  # of what is learned from
    outputs: RunningMoments
    every: tuple[Range, Range]  # of all
    following: NextInputs = field(default_factory=NextInputs)  # inputs, of targets
    factor: Array | None = None  # (S, O) what every target of a series counts beside that
    counts: list[Array] = field(default_factory=list)  # (T_s,) what targets of a step count
    # of every series steps (n,), their targets (n, O), and what they count
    kept: list[tuple[Array, Array, Array]] = field(default_factory=list)
    classes: set[int] = field(default_factory=set)  # those of targets that count
    present: int = 0  # targets that count
    total: int = 0  # targets of steps
    warned: bool = False

    @property
    def follows(self) -> bool:
        """Whether targets are the first features of the next step."""
        return self.following.count > 0 and self.following.same


def scan_all(given: GivenSeries, grid: Grid, weighs: bool, dtype: str, where: str = "") -> Scan:
    """Read all once, in slices, and refuse what cannot be learned from."""
    until = grid.cut
    X, y = given.X, given.y
    parts = RunningMoments(X.width), RunningMoments(y.width)
    every = Range(X.width), Range(y.width)
    scan = Scan(given, until, where, *parts, every)
    warn_of_filled_static(f"{where}static", given.static, given.names.static)
    deviations, seen = [], []
    targets = Targets(y, 1, given.reading.classes, None, given.weights, given.begins)
    sample, at = KeptTargets(int(y.steps.sum()), grid), 0
    nothing = np.empty((0, y.width), y.dtype)
    for number, source in enumerate(X.sources):
        total = y.sources[number].steps
        counts = np.empty((total, y.width)) if weighs else np.empty(total, dtype)
        own_moments = RunningMoments(y.width)
        own_weight = input_weight(given, number, int(until[number]))
        # the target of the last step that was read, and what it counts
        before = nothing, np.empty((0, y.width))
        for start, stop in _slices(source, total):
            values, own = _slice(given, number, start, stop)
            weight = targets.counting(own, number, start)
            piece = _Piece(number, start, values, own, weight)
            with named(*given.labels):
                _look(scan, piece)
            _take_moments(scan, piece, own_weight)
            before = _compare(scan, piece, before)
            counts[start:stop] = weight if weighs else _together(weight, dtype)
            if weighs:
                learned = slice(0, max(0, int(until[number]) - start))
                own_moments.count(own[learned], weight[learned] > 0)
            sample.add(number, at, start, own, weight)
        _require_rest(given, number)
        at += total
        # as in most: nothing is kept then
        if total and (counts == (1 if weighs else targets.width)).all():
            counts = np.broadcast_to(counts[0].copy(), counts.shape)
        deviations.append(own_moments.deviation)
        seen.append(own_moments.has_any)
        scan.counts.append(counts)
    scan.kept = sample.of_series(len(X.sources), nothing)
    return _weighed(scan, np.stack(deviations), np.stack(seen), dtype) if weighs else scan


def _together(weight: Array, dtype: str) -> Array:
    """What all targets of a step count, (n,), of what each does, (n, O)."""
    total: Array = weight.astype(dtype).sum(axis=1, dtype=np.float64)
    return total.astype(dtype)


def _weighed(scan: Scan, deviations: Array, seen: Array, dtype: str) -> Scan:
    """The same where series count by the deviations (S, O) of their targets, of those `seen`."""
    factor = balanced(even(weight_of(deviations), seen))
    counts = []
    for own, part in zip(factor, scan.counts, strict=True):
        alike = len(part) > 0 and part.strides[0] == 0
        total = _together((part[:1] if alike else part) * own, dtype)
        counts.append(np.broadcast_to(total[0], len(part)) if alike else total)
    pairs = zip(scan.kept, factor, strict=True)
    kept = [(steps, y, weight * own) for (steps, y, weight), own in pairs]
    return replace(scan, factor=factor, counts=counts, kept=kept)


def _slices(source: Source, total: int) -> Iterator[tuple[int, int]]:
    """Of a series what is read at once, and then of the targets that come after it."""
    yield from source.slices(_BLOCK)
    for start in range(source.steps, total, _BLOCK):
        yield start, min(start + _BLOCK, total)


def _slice(given: GivenSeries, number: int, start: int, stop: int) -> tuple[Array, Array]:
    """Inputs and targets of some steps of a series."""
    if start >= (source := given.X.sources[number]).steps:
        return np.empty((0, source.width), source.dtype), given.y.sources[number].read(start, stop)
    if not given.forecast or given.ahead is not None:
        return tuple(part.sources[number].read(start, stop) for part in (given.X, given.y))  # type: ignore[return-value]
    values = given.X.sources[number].read(start, stop + 1)  # the last one is read as target alone
    return values[:-1], values[1:]


class _Piece(NamedTuple):
    """Some steps of a series."""

    number: int
    start: int
    values: Array  # (n, I)
    targets: Array  # (n, O)
    weight: Array  # (n, O) what they count


def _look(scan: Scan, piece: _Piece) -> None:
    """Look at some steps of a series."""
    number, start, values, targets, _ = piece
    given, reading, own = scan.given, scan.given.reading, scan.given.features
    there, there_y = ~np.isnan(values), ~np.isnan(targets)
    source, nan = given.X.sources[number], "" if reading.missing else NAN_INPUT
    _require_values((source, start), values[:, :own], there[:, :own], nan)
    if isinstance(source, WithFuture):
        _require_values((source.known, start + 1), values[:, own:], there[:, own:], nan)
    if not given.forecast:
        nan = "" if reading.nan_policy == "omit" else _NO_TARGET
    _require_values((given.y.sources[number], start), targets, there_y, nan)
    if given.reading.classes:
        require_classes(np.where(there_y, targets, 0.0))
    if not scan.warned:
        _warn(scan, (values, there), (targets, there_y))


def _warn(scan: Scan, inputs: tuple[Array, Array], targets: tuple[Array, Array]) -> None:
    """Say, once, where numbers stand for what is missing."""
    given, names = scan.given, scan.given.names
    scan.warned = warn_of_values(f"{scan.where}X", *inputs, _features(given), OF_A_FIT)
    if not (scan.warned or given.forecast or given.reading.classes):
        scan.warned = warn_of_values(f"{scan.where}y", *targets, names.targets, OF_TARGETS)


def _features(given: GivenSeries) -> tuple[str, ...] | None:
    """Names of the features with those that are known of the next step."""
    names = given.names if given.ahead is None else given.ahead.one_step_names(given.names)
    features: tuple[str, ...] | None = names.features
    return features


def _require_rest(given: GivenSeries, number: int) -> None:
    """Refuse what is not finite of what is known of later steps than the last one's next."""
    source = given.wide.sources[number]
    if not isinstance(source, WithFuture):
        return
    start = source.steps + 1
    values = source.known.read(start, source.steps + source.horizon)
    nan = "" if given.reading.missing else NAN_INPUT
    _require_values((source.known, start), values, ~np.isnan(values), nan)


def _take_moments(scan: Scan, piece: _Piece, own: Array | float) -> None:
    """Take moments of some steps of a series, which count so much as inputs."""
    values, y, weight = piece.values, piece.targets, piece.weight
    learned = slice(0, max(0, int(scan.until[piece.number]) - piece.start))
    stepwise = own if np.ndim(own) == 0 else np.asarray(own)[piece.start :][: len(values)]
    scan.inputs.count(values[learned], ~np.isnan(values[learned]), stepwise)
    scan.every[0].add(values)
    if not scan.given.reading.classes:
        counts = weight.max(axis=1)  # alike for all targets of a step that are there
        scan.outputs.count(y[learned], weight[learned] > 0, counts[learned])
    scan.every[1].add(np.where(weight > 0, y, np.nan))
    there = weight[: len(values)] > 0
    scan.total, scan.present = scan.total + there.size, scan.present + int(there.sum())
    if scan.given.reading.classes:
        scan.classes.update(np.unique(y[weight > 0]).astype(np.int64).tolist())


def input_weight(given: GivenSeries, number: int, until: int) -> Array | float:
    """What every step of a series counts as input: the mean of what its sequence's targets do."""
    if not isinstance(given.weights, list):
        return 1.0 if given.weights is None else float(given.weights[number])
    weights = given.weights[number][None, :until]
    reset = None if given.resets is None else given.resets[number][None, :until]
    mean: Array = mean_weights(weights, reset, np.ones(weights.shape, bool))[0]
    return mean


def _compare(scan: Scan, piece: _Piece, before: tuple[Array, Array]) -> tuple[Array, Array]:
    """Compare targets with the first features of the next step; the last target, for the next one.

    Those that are learned from: what judges decides nothing.

    `before` is the target of the last step that was read, and what it counts.
    """
    given = scan.given
    targets, weight = (
        np.concatenate(pair) for pair in zip(before, (piece.targets, piece.weight), strict=True)
    )
    count = len(piece.values) - 1 + len(before[0])  # steps after another one
    comparable = not given.forecast and given.y.width <= piece.values.shape[1]
    if count > 0 and comparable:
        following = piece.values[-count:, : given.y.width]
        stop = piece.start + len(piece.values)
        learned = np.arange(stop - count, stop) < scan.until[piece.number]
        there = (weight[:count] > 0) & learned[:, None]
        if given.resets is not None:
            there &= ~given.resets[piece.number][stop - count : stop, None]
        scan.following.add(targets[:count][there], following[there])
    return targets[-1:].copy(), weight[-1:].copy()


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
    message = f"{source.name} has NaN or infinite values, the first at index {index}; {what}"
    raise checks.misplaced(message, source.name, index)

"""Series are read once before they are learned from: checked, and their units taken."""

from dataclasses import dataclass, field

import numpy as np

from numlstm.data.fill_values import OF_A_FIT, OF_TARGETS, warn_of_values
from numlstm.data.running_moments import Ends, RunningMoments
from numlstm.data.sources import Source
from numlstm.data.targets import require_classes
from numlstm.data.window_reading import GivenSeries
from numlstm.data.windows import Targets
from numlstm.utils.types import Array

_BLOCK = 4096  # steps; slices that are read are multiples
_KEPT = 2**20  # steps whose targets are kept
_NAN = "remove or fill it, or fit with missing='mask', to which it is a missing input"
_NO_TARGET = "remove it, or pass nan_policy='omit', to which it is no target"


def every_nth(steps: Array) -> int:
    """Of how many steps the targets of one are kept, of series of so many, (S,)."""
    return max(1, -(-int(steps.sum()) // _KEPT))


@dataclass(eq=False)
class Scan:
    """What is known of the data after they were read once."""

    given: GivenSeries
    until: Array  # (S,) the step of every series at which what is learned from ends
    where: str  # before names in warnings
    inputs: RunningMoments  # of what is learned from
    outputs: RunningMoments
    every: tuple[Ends, Ends]  # of all
    follows: bool | None = None  # whether targets are the next inputs
    counts: list[Array] = field(default_factory=list)  # (T_s,) what targets of a step count
    kept: list[tuple[Array, Array]] = field(default_factory=list)  # targets, and what they count
    warned: bool = False


def scan_all(given: GivenSeries, until: Array, dtype: str, where: str = "") -> Scan:
    """Read all once, in slices, and refuse what cannot be learned from."""
    X, y = given.X, given.y
    parts = RunningMoments(X.width), RunningMoments(y.width)
    every = Ends(X.width), Ends(y.width)
    scan = Scan(given, until, where, *parts, every)
    targets = Targets(y, 1, given.reading.classes, None, given.weights, given.begins)
    nth, at = every_nth(X.steps), 0
    for number, source in enumerate(X.sources):
        counts = np.empty(source.steps, dtype)
        kept = [(np.empty((0, y.width), y.dtype), np.empty((0, y.width)))]
        for start, stop in source.slices(_BLOCK):
            values, own = _slice(given, number, start, stop)
            weight = targets.counting(own, number, start)
            _look(scan, number, start, values, own, weight)
            counts[start:stop] = weight.astype(dtype).sum(axis=1, dtype=np.float64)
            first = -(at + start) % nth
            kept.append((own[first::nth].copy(), weight[first::nth]))
        at += source.steps
        if (counts == targets.width).all():  # as in most series, of which nothing is kept then
            counts = np.broadcast_to(np.array(targets.width, dtype), source.steps)
        scan.counts.append(counts)
        scan.kept.append(tuple(map(np.concatenate, zip(*kept, strict=True))))  # type: ignore[arg-type]
    return scan


def _slice(given: GivenSeries, number: int, start: int, stop: int) -> tuple[Array, Array]:
    """Inputs and targets of some steps of a series."""
    if not given.forecast:
        return tuple(part.sources[number].read(start, stop) for part in (given.X, given.y))  # type: ignore[return-value]
    values = given.X.sources[number].read(start, stop + 1)  # the last one is read as target alone
    return values[:-1], values[1:]


def _look(
    scan: Scan, number: int, start: int, values: Array, targets: Array, weight: Array
) -> None:
    """Look at some steps of a series: inputs (n, I), targets (n, O) and what these count."""
    given, place = scan.given, (scan.given.X.sources[number], start)
    there = ~np.isnan(values)
    omits = given.reading.nan_policy == "omit"
    _require_values("X", place, values, there, _NAN if not given.reading.missing else "")
    there_y = ~np.isnan(targets)
    if not given.forecast:
        place = given.y.sources[number], start
        _require_values("y", place, targets, there_y, "" if omits else _NO_TARGET)
    if given.reading.classes:
        require_classes(np.where(there_y, targets, 0.0))
    if not scan.warned:
        _warn(scan, (values, there), (targets, there_y))
    _take_moments(scan, number, start, (values, there), (targets, weight))
    if not given.forecast and scan.follows is not False:
        scan.follows = _are_next(values, targets, weight > 0, scan.follows)


def _warn(scan: Scan, inputs: tuple[Array, Array], targets: tuple[Array, Array]) -> None:
    """Say, once, where numbers stand for what is missing."""
    given, names = scan.given, scan.given.names
    scan.warned = warn_of_values(f"{scan.where}X", *inputs, names.features, OF_A_FIT)
    if not (scan.warned or given.forecast or given.reading.classes):
        scan.warned = warn_of_values(f"{scan.where}y", *targets, names.targets, OF_TARGETS)


def _take_moments(
    scan: Scan,
    number: int,
    start: int,
    inputs: tuple[Array, Array],
    targets: tuple[Array, Array],
) -> None:
    (values, there), (y, weight) = inputs, targets
    given, learned = scan.given, slice(0, max(0, int(scan.until[number]) - start))
    given_weight = input_weight(given, number, int(scan.until[number]))
    scan.inputs.count(values[learned], there[learned], given_weight)
    scan.every[0].add(values)
    if not given.reading.classes:
        counts = weight.max(axis=1)  # alike for all targets of a step that are there
        scan.outputs.count(y[learned], weight[learned] > 0, counts[learned])
    scan.every[1].add(np.where(weight > 0, y, np.nan))


def input_weight(given: GivenSeries, number: int, until: int) -> float:
    """What every step of a series counts as input: the mean of what its targets do."""
    if not isinstance(given.weights, list):
        return 1.0 if given.weights is None else float(given.weights[number])
    return float(np.mean(given.weights[number][:until])) if until else 0.0


def _require_values(
    name: str, place: tuple[Source, int], values: Array, there: Array, nan: str
) -> None:
    """Refuse infinite values, and NaN where `nan` says what to do about it."""
    source, start = place
    good = np.isfinite(values) | (~there & (not nan))
    if good.all():
        return
    step, column = (int(index) for index in np.argwhere(~good)[0])
    where = [] if source.row is None else [source.row]
    index = (*where, start + step + source.shift, column)
    title = name + source.name[1:]  # which may be an entry of a list
    what = f"NaN: {nan}" if not there[step, column] else "inf: replace it by a number"
    raise ValueError(f"{title} has NaN or infinite values, the first at index {index}; {what}")


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

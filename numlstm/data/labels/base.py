"""Data with labels, and the rule by which the labels of two agree."""

from typing import Any

import numpy as np

from numlstm.data.labels.axes import Axis
from numlstm.data.labels.names import Names
from numlstm.utils.lazy import cached_property
from numlstm.utils.sliced import is_sliced, whole


class Labelled:
    """Data at a public door: an array, or a list of arrays, and the labels that it came with.

    This one has none; frames, DataArrays and lists of them have.

    Attributes
    ----------
    name : str
        What the caller calls it.
    values : array_like, or list of array_like
        Without labels, axes and features in the order in which they are read.
    features : tuple of str, or None
        Names of the last axis, or the name of a single series.
    shown : tuple of str, or None
        Names of the last axis in the order in which the data have them.
    axes : tuple of Axis
        Labels of the first axis; several where any may be meant.
    series : Axis or None
        Names of the series, of several.
    past : Axis or None
        The times before these, where it is not known how they go on.
    """

    features: tuple[str, ...] | None = None
    shown: tuple[str, ...] | None = None
    axes: tuple[Axis, ...] = ()
    series: Axis | None = None
    past: Axis | None = None
    _given: Any = None  # of one without labels
    is_future = False  # made by `continued`
    is_column = False  # one feature without an axis, whose name is that of the whole

    def __init__(self, name: str, values: Any):
        self.name, self._given = name, values

    @cached_property
    def values(self) -> Any:
        """The values; of what is had by slicing alone all are read."""
        return whole(self._given)

    @property
    def roles(self) -> str:
        """The axes that there can be: sequences B, time T and features I."""
        given = self.values if self._given is None else self._given
        axes = len(given.shape) if is_sliced(given) else np.ndim(given)
        return "BTI" if isinstance(given, list) or axes == 3 else "TI"

    @property
    def title(self) -> Any:
        """The name of one feature without an axis, as the caller has it."""
        return None

    @property
    def stepwise(self) -> Any:
        """The values, with an axis for features where they are known to be one per step."""
        return self.values

    @property
    def sliceable(self) -> Any:
        """The same, but read slice by slice where the values are not in memory."""
        return self.stepwise if self._given is None else self._given

    def agreed(self, other: "Labelled") -> "Labelled":
        """The other one, which must have the same labels where both have some."""
        require_same(self, other)
        return other

    def require_rows(self, rows: "Labelled") -> None:
        """Refuse rows, one for each series, of other labels than the series have."""
        if self.axes and rows.axes:
            require_no_more(self.name, self.axes[0], rows.name, rows.axes[0])
        self.agreed(rows)

    def outputs(self, names: Names, width: int) -> list[str]:
        """Names of the outputs beside the labels of these inputs."""
        return names.outputs(width)

    def restore(self, Y: Any, names: Names) -> Any:
        """Predictions with the labels of these inputs."""
        return Y

    def continued(self, count: int, known: Any = None) -> "Labelled":
        """What comes after these inputs: no values, but labels for `count` steps.

        Where these do not say them, those that are `known`: an Axis, or one for each series.
        """
        return self

    def gaps(self, reset: Any) -> list[str]:
        """Unequal steps in words; steps back in time are refused."""
        return []


def labelled(name: str, axis: Axis) -> Labelled:
    """Labels alone."""
    found = Labelled(name, None)
    found.axes = (axis,)
    return found


def require_no_more(name: str, mine: Axis, other: str, rows: Axis) -> None:
    """Refuse what has a row for each of the series, and others; and say how to choose."""
    if len(rows) > len(mine) and set(mine.labels.tolist()) <= set(rows.labels.tolist()):
        raise ValueError(
            f"{other} has more rows than {name} has series, {len(rows)} and {len(mine)}: pass "
            f"{rows.reorder.format(name=other, x=name)}"
        )


def require_same(x: Labelled, other: Labelled) -> None:
    """Refuse labels that differ, in value or in order."""
    mine, others = x.axes, other.axes
    if not others or (x.is_future and others[0].is_counted):
        return
    if not mine:
        _require_after(x, other)
        return
    if mine[0].is_time and others[0].is_time:
        mine, others = mine[:1], others[:1]
    if any(a.equals(b) for a in mine for b in others):
        return
    a, b = mine[0], others[0]
    plain = f"{b.plain.format(name=other.name)} goes with {x.name} by position"
    if a.is_permutation(b):
        fix = f"pass {b.reorder.format(name=other.name, x=x.name)}"
        if x.is_future:  # whose labels are nowhere yet
            fix = f"put its times in order, and the series among its rows in that of {x.name}"
        raise ValueError(
            f"{other.name} has the labels of {x.name} in another order: {_difference(x, other)}; "
            f"{fix}; {plain}"
        )
    if x.is_future and a.is_comparable(b):
        by_position = f"; {b.plain.format(name=other.name)} goes with the forecasts by position"
        raise ValueError(_of_other_times(x, other) + by_position * (len(a) == len(b)))
    raise ValueError(
        f"{other.name} has other labels than {x.name}: {_difference(x, other)}; keep the rows that "
        f"both have, in the same order and with labels of the same type; {plain}"
    )


def _require_after(x: Labelled, other: Labelled) -> None:
    """Refuse times that cannot be the next ones, where these are not known."""
    past, given = x.past, other.axes[0]
    if past is None or past.ticks is None or not len(past) or not len(given):
        return
    given.require_forward(other.name, None)
    if past.ends_before(given):
        return
    zones = "" if past.is_comparable(given) else f" ({zones_in_words(past, given)})"
    raise ValueError(
        f"{other.name} does not go on after {x.name}, which ends at {past.at(-1)}: it begins at "
        f"{given.at(0)}{zones}. Pass the rows of the next times, with labels of the same type; "
        f"{given.plain.format(name=other.name)} goes with the forecasts by position"
    )


def zones_in_words(a: Axis, b: Axis) -> str:
    """Which of two kinds of times only one has, in words."""
    zone = a.zone or b.zone
    one = "times with an offset from UTC" if zone is None else f"the time zone {zone}"
    return f"one has {one}, the other has none"


def _of_other_times(x: Labelled, other: Labelled) -> str:
    """What stands beside forecasts has other times than these, in words."""
    a, b = x.axes[0], other.axes[0]
    received = f"begins at {b.at(0)}" if len(b) else "has no rows"
    if len(a) != len(b):
        received = f"has {b}"
    elif len(b) and a.at(0) == b.at(0):
        received = _difference(x, other).replace(f"{x.name} has", "the forecast is at", 1)
    return (
        f"{other.name} has other labels than {x.name} goes on with: the first of {len(a)} "
        f"forecasts is at {a.at(0)}, the last at {a.at(-1)}, and {other.name} {received}. Pass the "
        "rows of these times, with labels of the same type"
    )


def _difference(x: Labelled, other: Labelled) -> str:
    """Where labels differ, in words."""
    a, b = x.axes[0], other.axes[0]
    if not a.is_comparable(b):
        return zones_in_words(a, b)
    if len(a) != len(b):
        return f"{x.name} has {a}, {other.name} has {b}"
    mine, theirs = a.alike(b)
    row = int(np.argmax(mine != theirs))
    words = [a.at(row), b.at(row)]
    if words[0] == words[1]:
        words = [f"{axis.at(row)} as {type(axis.labels[row]).__name__}" for axis in (a, b)]
    return f"in row {row} {x.name} has {words[0]}, {other.name} {words[1]}"

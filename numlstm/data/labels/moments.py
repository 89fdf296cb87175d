"""Moments in the time of series: how many steps come before one, and which step is at one."""

from typing import Any

import numpy as np

from numlstm.data.labels.ahead import time_axis
from numlstm.data.labels.axes import Axis
from numlstm.data.labels.base import Labelled
from numlstm.data.labels.ends import dates
from numlstm.data.labels.lists import Several
from numlstm.utils.types import Array


def is_moment(value: Any) -> bool:
    """Whether this is one date or time, in any form, and no number of steps."""
    date = hasattr(value, "year") and np.ndim(value) == 0
    return date or isinstance(value, (str, np.datetime64))


def steps_before(name: str, given: Labelled, moment: Any) -> int:
    """The number of steps of the series before a moment, the same of all of them.

    A moment without a time zone is one on the clock of the series.
    """
    if not isinstance(given, Several):
        return _steps_before(name, given, moment)
    found = [_steps_before(name, item, moment) for item in given.items]
    if len(set(found)) > 1:
        row = next(row for row, count in enumerate(found) if count != found[0])
        raise ValueError(
            f"{name}: series are cut after the same number of steps each, and {moment} comes after "
            f"{found[0]} of {given.items[0].name} and {found[row]} of {given.items[row].name}"
        )
    return found[0]


def _steps_before(name: str, given: Labelled, moment: Any) -> int:
    axis = time_axis(given)
    every, then = _comparable(name, given.name, axis, moment)
    assert axis is not None
    count = int((every < then).sum())
    if not 0 < count < len(axis):
        raise ValueError(
            f"{name}: {moment!s} must be one of the times after the first of {given.name}, which "
            f"go from {axis.at(0)} to {axis.at(-1)}"
        )
    return count


def are_moments(value: Any) -> bool:
    """Whether this is a moment, or several."""
    several = np.ndim(value) == 1 and len(value) > 0
    return is_moment(value) or (several and all(map(is_moment, value)))


def steps_at(name: str, given: Labelled, moments: Any, rows: int) -> Array:
    """The steps of so many series at a moment, or each at its own, (rows,)."""
    every = [moments] * rows if is_moment(moments) else list(moments)
    if len(every) != rows:
        raise ValueError(f"{name} must be one date, or one for each of the {rows} sequences")
    axes = dates(given) or [None] * rows
    pairs = zip(axes, every, strict=True)
    return np.array([_step_at(name, given, row, *pair) for row, pair in enumerate(pairs)], np.int64)


def _step_at(name: str, given: Labelled, row: int, axis: Axis | None, moment: Any) -> int:
    title = given.items[row].name if isinstance(given, Several) else given.name
    every, then = _comparable(name, title, axis, moment)
    assert axis is not None
    places = np.flatnonzero(every == then)
    if len(places) == 1:
        return int(places[0])
    if len(places):
        raise ValueError(
            f"{name}: {title} is at {moment!s} {len(places)} times, in the steps "
            f"{', '.join(map(str, places[:5]))}: pass the number of the step"
        )
    near = f", the nearest is {axis.at(int(np.abs(every - then).argmin()))}" if len(axis) else ""
    raise ValueError(f"{name}: {moment!s} is no time of {title}, which has {axis}{near}")


def _comparable(name: str, title: str, axis: Axis | None, moment: Any) -> tuple[Array, Any]:
    """All times of what is called `title`, and a moment, as they are compared."""
    if axis is None or (every := _instants(axis)) is None:
        raise ValueError(
            f"{name} must be numbers of steps, received {moment!s}: {title} has no dates"
        )
    asked = Axis(_as_labels(moment))
    then = _instants(asked)
    if then is None:
        raise ValueError(f"{name}: {moment!r} is no date that can be read: write year-month-day")
    if not asked.has_zone and axis.wall is not None:
        every = axis.wall
    elif asked.has_zone != axis.has_zone:
        raise ValueError(
            f"{name}: {moment!s} {'has' if asked.has_zone else 'lacks'} a time zone, and the "
            f"{axis.name} of {title} has {'one' if axis.has_zone else 'none'}"
        )
    return every, then[0]


def _as_labels(moment: Any) -> Array:
    if isinstance(moment, np.datetime64):
        return np.array([moment])
    labels = np.empty(1, object)
    labels[0] = moment
    return labels


def _instants(axis: Axis) -> Array | None:
    """The labels as times in UTC, of periods as their beginnings."""
    if len(axis) and hasattr(axis.labels[0], "start_time"):
        return np.array([label.start_time.to_datetime64() for label in axis.labels])
    return axis.instants

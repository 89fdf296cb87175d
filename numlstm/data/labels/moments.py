"""Moments in the time of series: how many steps come before one."""

from typing import Any

import numpy as np

from numlstm.data.labels.ahead import time_axis
from numlstm.data.labels.axes import Axis
from numlstm.data.labels.base import Labelled
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
    if axis is None or (every := _instants(axis)) is None:
        raise ValueError(
            f"{name} must be numbers of steps, received {moment!s}: {given.name} has no dates"
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
            f"{axis.name} of {given.name} {'has' if axis.has_zone else 'has none'}"
        )
    count = int((every < then[0]).sum())
    if not 0 < count < len(axis):
        raise ValueError(
            f"{name}: {moment!s} must be one of the times after the first of {given.name}, which "
            f"go from {axis.at(0)} to {axis.at(-1)}"
        )
    return count


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

"""The steps of a time axis: whether they go forward, where they are unequal, how they go on."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from numlstm.utils.types import Array

_MONTH = np.timedelta64(1, "M")


class Steps(NamedTuple):
    """The usual step of a time axis, and where it is another one."""

    unit: str  # "time", "months" or "business days"
    usual: Any
    unequal: Array  # positions t: the step from t - 1 to t


def ticks(labels: Array) -> Array | None:
    """Labels as numbers or times that can be subtracted; None where they are neither."""
    if labels.dtype.kind in "Mmiuf":
        return labels if labels.dtype.kind != "u" else labels.astype(np.int64)
    first = labels[0] if labels.size else None
    if isinstance(first, str) and all(re.match(r"\d{4}-\d\d", str(label)) for label in labels):
        return _parsed(labels)
    if hasattr(first, "ordinal"):  # periods of pandas
        return np.array([label.ordinal for label in labels])
    if hasattr(first, "year"):  # times of Python and cftime
        try:
            return np.array([(label - first).total_seconds() for label in labels])
        except (TypeError, AttributeError):
            return None
    return None


def _parsed(labels: Array) -> Array | None:
    try:
        return np.array(labels, "datetime64[s]")
    except ValueError:
        return None


def missing(times: Array) -> Array:
    """Where there is no time."""
    return np.isnat(times) if times.dtype.kind in "Mm" else np.isnan(times)


def backward(times: Array, joins: Array | None) -> Array:
    """Positions t that are not later than t - 1; at `joins`, True there, a series may begin."""
    stays = times[1:] <= times[:-1]
    return np.flatnonzero(stays if joins is None else stays & ~joins[1:]) + 1


def steps(times: Array, joins: Array | None = None) -> Steps | None:
    """The usual step in the unit in which the fewest are unequal; None for a single time."""
    within = np.ones(max(times.size - 1, 0), bool) if joins is None else ~joins[1:]
    if not within.any():
        return None
    found = [_unequal(unit, lengths, within) for unit, lengths in _lengths(times)]
    return min(found, key=lambda steps: steps.unequal.size)


def continued(times: Array, steps: Steps, count: int) -> Array | None:
    """The `count` times after the last one; None where that is not known."""
    if times.dtype.kind not in "Mmiuf":
        return _continued_objects(times, count)
    ahead = np.arange(1, count + 1) * steps.usual
    after: Array | None = None
    if steps.unit == "time":
        after = times[-1] + ahead
    elif steps.unit == "business days":
        days = times.astype("datetime64[D]")
        since = times[-1] - days[-1]
        after = np.busday_offset(days[-1], ahead).astype(times.dtype) + since
    else:
        months, unit = times.astype("datetime64[M]"), times.dtype
        since, before = times - months.astype(unit), times - (months + _MONTH).astype(unit)
        coming = months[-1] + ahead * _MONTH
        if (since == since[0]).all():
            after = coming.astype(unit) + since[0]
        elif (before == before[0]).all():  # ends of months
            after = (coming + _MONTH).astype(unit) + before[0]
    return after


def _continued_objects(times: Array, count: int) -> Array | None:
    """Periods of pandas, times of Python and cftime; not texts."""
    if isinstance(times[-1], str):
        return None
    step = times[-1] - times[-2]
    return np.array([times[-1] + step * ahead for ahead in range(1, count + 1)], dtype=object)


def _lengths(times: Array) -> Iterator[tuple[str, Array]]:
    """Every step, as a time and by the calendar."""
    yield "time", np.diff(times)
    if times.dtype.kind != "M":
        return
    months = np.diff(times.astype("datetime64[M]")).astype(np.int64)
    if (months > 0).all():
        yield "months", months
    days = times.astype("datetime64[D]")
    since = times - days
    if np.is_busday(days).all() and (since == since[0]).all():
        yield "business days", np.busday_count(days[:-1], days[1:])


def _unequal(unit: str, lengths: Array, within: Array) -> Steps:
    usual = np.sort(lengths[within])[int(within.sum()) // 2]
    exact = lengths == usual
    if unit == "time":  # rounding is no gap
        exact = np.abs(lengths - usual) <= usual * 1e-6
    return Steps(unit, usual, np.flatnonzero(~exact & within) + 1)

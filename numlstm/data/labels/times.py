"""The steps of a time axis: whether they go forward, where they are unequal, how they go on."""

import contextlib
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
        with contextlib.suppress(ValueError):
            return np.array(labels, "datetime64[s]")
    if hasattr(first, "ordinal"):  # periods of pandas
        return np.array([label.ordinal for label in labels])
    if hasattr(first, "year"):  # times of Python and cftime
        with contextlib.suppress(TypeError, AttributeError):
            return np.array([(label - first).total_seconds() for label in labels])
    return None


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


def continued(times: Array, steps: Steps, count: int) -> Any:
    """The `count` times after the last one, an array; None where that is not known."""
    last = times[-1]
    if isinstance(last, str):
        return None
    if times.dtype.kind not in "Mmiuf":  # periods of pandas, times of Python and cftime
        step = last - times[-2]
        return np.array([last + step * ahead for ahead in range(1, count + 1)], dtype=object)
    ahead = np.arange(1, count + 1) * steps.usual
    if steps.unit == "months":
        return _months_later(times, ahead * _MONTH)
    if steps.unit == "business days":
        day = last.astype("datetime64[D]")
        return np.busday_offset(day, ahead).astype(times.dtype) + (last - day)
    return last + ahead


def _months_later(times: Array, months: Any) -> Any:
    """So long after the last one, where all have the same place in their month."""
    unit, month = times.dtype, times.astype("datetime64[M]")
    for later in (0 * _MONTH, _MONTH):  # from its beginning, or to its end
        since = times - (month + later).astype(unit)
        if (since == since[0]).all():
            return (month[-1] + later + months).astype(unit) + since[0]
    return None


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

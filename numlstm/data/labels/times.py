"""The steps of a time axis: whether they go forward, where they are unequal, how they go on."""

import contextlib
import datetime
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from numlstm.data.labels import dates
from numlstm.utils.types import Array

ROUNDING = 1e-6  # of a step: by so much steps and times may differ and be equal
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
    there = np.array([not _is_missing(label) for label in labels], bool)
    found = _of_objects(list(labels[there])) if there.any() else None
    if found is None or there.all():
        return found
    kept = found if found.dtype.kind in "mM" else found.astype(np.float64)
    every = np.full(labels.shape, np.nan if kept.dtype.kind == "f" else "NaT", kept.dtype)
    every[there] = kept
    return every


def _is_missing(label: Any) -> bool:
    return label is None or type(label).__name__ == "NAType" or label != label


def _of_objects(labels: list[Any]) -> Array | None:
    first = labels[0]
    if all(isinstance(label, str) for label in labels):
        return dates.read(labels)
    if hasattr(first, "right"):  # intervals of pandas, by their ends
        return ticks(np.array([label.right for label in labels]))
    if hasattr(first, "ordinal"):  # periods of pandas
        return np.array([label.ordinal for label in labels])
    if hasattr(first, "to_datetime64"):  # times of pandas, with a zone perhaps
        with contextlib.suppress(AttributeError):
            return np.array([label.to_datetime64() for label in labels])
    if isinstance(first, datetime.date):
        return dates.as_utc(labels)
    if hasattr(first, "year"):  # times of cftime
        with contextlib.suppress(TypeError, AttributeError):
            return np.array([(label - first).total_seconds() for label in labels])
    return None


def are_intervals(labels: Array) -> bool:
    """Whether these are intervals of pandas."""
    return any(hasattr(label, "right") for label in labels[:1])


def have_offset(labels: Array) -> bool:
    """Whether these are times that say how far they are from UTC, each for itself."""
    first = None if labels.dtype.kind in "Mmiufb" or labels.size == 0 else labels[0]
    if isinstance(first, str):
        return dates.has_offset(first)
    return getattr(first, "tzinfo", None) is not None


class Likeness(Enum):
    """How much labels are like times."""

    CERTAIN = "they can be nothing else"
    NUMBERS = "they are numbers, as many labels are"
    PERHAPS = "texts of digits that may be dates, and intervals of numbers"
    NONE = "not at all"


def likeness(labels: Array) -> Likeness:
    """How much the labels are like times."""
    if labels.dtype.kind in "iuf":
        return Likeness.NUMBERS
    if is_doubtful(labels):
        return Likeness.CERTAIN
    found = ticks(labels)
    if found is None:
        return Likeness.NONE
    texts = _texts(labels)
    between = are_intervals(labels) and found.dtype.kind in "if"
    return Likeness.PERHAPS if between or (texts and dates.are_digits(texts)) else Likeness.CERTAIN


def is_doubtful(labels: Array) -> bool:
    """Whether these are texts that are dates, but no one knows which."""
    texts = _texts(labels)
    return bool(texts) and dates.are_dates(texts) and ticks(labels) is None


def are_clocks(labels: Array) -> bool:
    """Whether these are times of a day, which tell no time without a date."""
    texts = _texts(labels)
    if texts:
        return dates.are_clocks(texts)
    objects = labels.dtype.kind == "O" and labels.size > 0
    return objects and all(isinstance(label, datetime.time) for label in labels)


def _texts(labels: Array) -> list[str]:
    """The labels that there are, where all of them are texts."""
    if labels.dtype.kind in "Mmiufb":
        return []
    there = [label for label in labels if not _is_missing(label)]
    return there if all(isinstance(label, str) for label in there) else []


def backward(times: Array, joins: Array | None) -> Array:
    """Positions t that are not later than t - 1; at `joins`, True there, a series may begin."""
    stays = times[1:] <= times[:-1]
    return np.flatnonzero(stays if joins is None else stays & ~joins[1:]) + 1


def steps(times: Array, joins: Array | None = None) -> Steps | None:
    """The usual step in the unit in which the fewest are unequal; None for a single time."""
    within = np.ones(max(times.size - 1, 0), bool) if joins is None else ~joins[1:]
    if not within.any():
        return None
    found = [_unequal(times, unit, lengths, within) for unit, lengths in _lengths(times)]
    return min(found, key=lambda steps: steps.unequal.size)


def continued(times: Array, steps: Steps, count: int) -> Any:
    """The `count` times after the last one, an array; None where that is not known."""
    last = times[-1]
    if isinstance(last, str) or hasattr(last, "right"):
        return None
    if times.dtype.kind not in "Mmiuf":  # periods of pandas, times of Python and cftime
        if steps.unit != "time":
            return None
        step = last - times[-2]
        return np.array([last + step * ahead for ahead in range(1, count + 1)], dtype=object)
    ahead = np.arange(1, count + 1) * steps.usual
    if times.dtype.kind == "f":  # the mean step: what rounds it does not add up
        ahead = np.arange(1, count + 1) * ((float(last) - float(times[0])) / (times.size - 1))
    if steps.unit == "months":
        return _months_later(times, ahead * _MONTH)
    if steps.unit == "business days":
        day = last.astype("datetime64[D]")
        return np.busday_offset(day, ahead).astype(times.dtype) + (last - day)
    return (last + ahead).astype(times.dtype)


def rounding(times: Array, usual: Any, ahead: int = 0) -> Any:
    """By how much steps, or the times so many steps ahead, may differ and be equal.

    Floats are also rounded by themselves: every time, and so the step that is taken ahead.
    """
    share = usual * ROUNDING
    if times.dtype.kind != "f":
        return share
    largest = float(np.abs(times).max()) + ahead * float(usual)
    own = 4 * float(np.finfo(times.dtype).eps) * largest * (1 + ahead / times.size)
    return min(float(share) + own, float(usual) / 2)  # less than a gap is


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


def _unequal(times: Array, unit: str, lengths: Array, within: Array) -> Steps:
    usual = np.sort(lengths[within])[int(within.sum()) // 2]
    exact = lengths == usual
    if unit == "time":  # rounding is no gap
        exact = np.abs(lengths - usual) <= rounding(times, usual)
    return Steps(unit, usual, np.flatnonzero(~exact & within) + 1)

"""Texts that are dates: those that begin with the year, and others that can be read in one way."""

import datetime
import re
from collections.abc import Iterable

import numpy as np

from numlstm.utils.types import Array

_CLOCK = r"(?:[T ] ?(?P<clock>\d.*))?"
_MARKED = re.compile(
    r"(?!\d+\.\d+$)"  # which is a number
    r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d\d?)"
    rf"(?:(?P=mark)(?P<day>\d\d?)(?:/\d{{4}}-\d\d-\d\d|{_CLOCK}))?"  # or a week of pandas
)
_DIGITS = re.compile(
    r"(?P<year>[12]\d{3})(?:(?P<month>\d\d)(?:(?P<day>\d\d)(?:T?(?P<clock>(?:\d\d){1,3}))?)?)?"
)
_DAY_OF_YEAR = re.compile(r"(?P<year>[12]\d{3})[-/.]?(?P<count>\d{3})")
_WEEK = re.compile(r"(?P<year>\d{4})-?W(?P<week>\d\d)(?:-?(?P<weekday>[1-7]))?")
_QUARTER = re.compile(r"(?P<year>\d{4})-?Q(?P<quarter>[1-4])")
_DAY_FIRST, _MONTH_FIRST = (
    re.compile(rf"(?P<{a}>\d\d?)(?P<mark>[-/.])(?P<{b}>\d\d?)(?P=mark)(?P<year>\d{{4}}){_CLOCK}")
    for a, b in (("day", "month"), ("month", "day"))
)
_NAMED = re.compile(
    r"(?:\d\d?\W*)?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\W*"
    r"(?:\d\d?\W+)?\d{4}\b.*",
    re.IGNORECASE,
)
_DATES = re.compile(r"(?:\d{4}([-/.])\d\d?\1\d\d?|\d\d?([-/.])\d\d?\2\d{4})(?!\d).*")
_TIME_OF_DAY = re.compile(r"(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?")
_OFFSET = re.compile(r"[T ]\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)$")


def read(texts: list[str]) -> Array | None:
    """Texts of one form as times, in UTC; None where it is none of dates, or not certain."""
    if (
        texts[0][4:5] == "-"
        and (quick := as_utc(map(datetime.datetime.fromisoformat, texts))) is not None
    ):
        return quick
    for form in (_MARKED, _DIGITS, _DAY_OF_YEAR, _WEEK, _QUARTER):
        if form.fullmatch(texts[0]) and (found := _in_form(form, texts)) is not None:
            return found
    days, months = _in_form(_DAY_FIRST, texts), _in_form(_MONTH_FIRST, texts)
    if months is None or "." in texts[0]:  # nobody writes the month first with points
        return days
    return months if days is None or np.array_equal(days, months) else None


def as_utc(moments: Iterable[datetime.date]) -> Array | None:
    """Dates and times of Python in UTC; None where one of them is none."""
    try:
        return np.array([_in_utc(moment) for moment in moments], "datetime64[us]")
    except (ValueError, AttributeError):
        return None


def has_offset(text: str) -> bool:
    """Whether it is a date that says how far from UTC its clock is."""
    return read([text]) is not None and _OFFSET.search(text) is not None


def are_digits(texts: list[str]) -> bool:
    """Whether all are digits alone: dates, perhaps, or any other numbers."""
    return all(text.isdigit() for text in texts)


def are_dates(texts: list[str]) -> bool:
    """Whether all are no doubt dates, be they such as can be read or not."""
    return any(all(form.fullmatch(text) for text in texts) for form in (_DATES, _NAMED))


def are_clocks(texts: list[str]) -> bool:
    """Whether all are times of a day."""
    return all(_TIME_OF_DAY.fullmatch(text) for text in texts)


def _in_form(form: re.Pattern[str], texts: list[str]) -> Array | None:
    return as_utc(_of_parts(form.fullmatch(text)) for text in texts)


def _of_parts(match: re.Match[str] | None) -> datetime.datetime:
    """The moment that a text names, the first one where it is longer; else a ValueError."""
    if match is None:
        raise ValueError
    parts = {name: part for name, part in match.groupdict().items() if part is not None}
    year = int(parts["year"])
    if "week" in parts:
        week, weekday = int(parts["week"]), int(parts.get("weekday", 1))
        return datetime.datetime.fromisocalendar(year, week, weekday)
    if "count" in parts:
        return datetime.datetime.strptime(f"{year} {parts['count']}", "%Y %j")
    month = int(parts["month"]) if "month" in parts else 3 * int(parts.get("quarter", 1)) - 2
    day = datetime.date(year, month, int(parts.get("day", 1)))
    clock = parts.get("clock", "00")
    padded = f"0{clock}" if clock[1:2] == ":" else clock
    return datetime.datetime.combine(day, datetime.time.fromisoformat(padded))


def _in_utc(moment: datetime.date) -> datetime.date:
    if isinstance(moment, datetime.datetime) and moment.tzinfo is not None:
        return moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return moment

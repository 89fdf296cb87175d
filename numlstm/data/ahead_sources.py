"""Series of forecasts, laid out when they are read: nothing of them is copied before."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from numlstm.data.ahead import inputs, refuse_form, require_future
from numlstm.data.sources import Series, Source, precision_of, read_series
from numlstm.utils.types import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class WithFuture(Source):
    """The steps of a series, beside each what is known of the steps ahead of it.

    Attributes
    ----------
    own, known : Source
        The series, and what is known, from its first step on.
    horizon : int
        Of how many steps ahead.
    """

    own: Source
    known: Source
    horizon: int

    def read(self, start: int, stop: int) -> Array:
        """The steps from `start` to before `stop`, (n, I + h F)."""
        now, known = self.own.read(start, stop), self.known.read(start, stop + self.horizon)
        wide: Array = inputs(now, known, self.horizon, 0, stop - start)
        return wide.astype(self.dtype, copy=False)

    @property
    def parts(self) -> list[Source]:
        """What it is read from."""
        return [self.own, self.known]

    @property
    def base(self) -> None:
        """It does not lie in memory as it is read."""


@dataclass(frozen=True, eq=False)
class NanPadded(Source):
    """A series that has NaN behind its end."""

    def read(self, start: int, stop: int) -> Array:
        """The steps from `start` to before `stop`, (n, N)."""
        last = min(stop, self.steps)
        result = np.full((stop - start, self.width), np.nan, self.dtype)
        if start < last:
            result[: last - start] = super().read(start, last)
        return result

    @property
    def parts(self) -> list[Source]:
        """What it is read from."""
        return [Source(*_fields(self))]

    @property
    def base(self) -> None:
        """What lies behind its end is not in memory."""


def _fields(source: Source) -> list[Any]:
    """Those of all sources."""
    return [getattr(source, field.name) for field in fields(Source)]


def beside(own: Series, known: Series, horizon: int, steps: Array) -> Series:
    """The first `steps` (S,) of every series, beside each what is known of `horizon` ahead."""
    sources: list[Source] = []
    for one, other, count in zip(own.sources, known.sources, steps.tolist(), strict=True):
        width = one.width + horizon * other.width
        dtype = precision_of(one, other)
        place = one.name, one.array, count, width, dtype, one.row, one.shift
        sources.append(WithFuture(*place, own=one, known=other, horizon=horizon))
    return Series(sources, own.kind)


def ending(series: Series) -> Series:
    """The same, with NaN behind the end of each."""
    sources: list[Source] = [NanPadded(*_fields(source)) for source in series.sources]
    return Series(sources, series.kind)


def read_known(value: Any, X: Series, wanted: int | None) -> Series:
    """Features that are known ahead, for the series X."""
    found = read_series("future", value)
    if len(found.sources) != len(X.sources) or (X.kind == "series") != (found.kind == "series"):
        refuse_form(value, len(X.sources))
    require_future(found.width, found.steps, X.steps, wanted=wanted)
    return found

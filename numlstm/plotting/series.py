"""One series with its labels, as it is drawn: values, places along the axis, names and units."""

import re
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from numlstm.data import labels
from numlstm.data.labels import Frame, Grid, Labelled, Panel, times
from numlstm.data.labels.axes import Axis
from numlstm.data.labels.base import labelled, require_same
from numlstm.data.labels.names import SEQUENCES, called
from numlstm.utils import checks
from numlstm.utils.types import Array

_ONE = Labelled("values", np.empty((0, 0)))  # beside which a dimension "unit" is no sequence
_UNITS = frozenset({"unit"})  # of a network, beside sequences
_DURATIONS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0}  # in seconds
_SECONDS = "seconds", 1.0


Row: TypeAlias = int | Literal[False] | None


class Series(NamedTuple):
    """Values of T steps.

    Attributes
    ----------
    name : str
        What the caller calls them.
    values : ndarray, shape (T, K)
        Float64; NaN where there is none.
    places : ndarray, shape (T,), or None
        Times or numbers along the axis, where there are labels.
    along : str
        What these are called.
    names : tuple of str, or None
        Of the K columns.
    quantity : str
        What the values are, with its unit, where it is known.
    given : Labelled
        The labels themselves.
    """

    name: str
    values: Array
    places: Array | None
    along: str
    names: tuple[str, ...] | None
    quantity: str
    given: Labelled

    def until(self, stop: int) -> "Series":
        """Its first steps."""
        places = None if self.places is None else self.places[:stop]
        return self._replace(values=self.values[:stop], places=places)

    def where(self, start: int = 0) -> Array:
        """The place of every step; without labels they count from `start` on."""
        steps: Array = start + np.arange(len(self.values))
        return steps if self.places is None else self.places


def read(name: str, value: Any, row: Row = False, like: Series | None = None) -> Series:
    """One series; of several sequences that of a row; with the labels that `like` has, if any.

    Who takes no row has False.
    """
    given = _read(name, value, row)
    if like is not None:
        like.given.agreed(given)
    values = checks.array(name, given.values, "float64", finite=False)
    if np.isinf(values).any():
        raise ValueError(f"{name} has infinite values: write NaN where there is none to draw")
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(
            f"{name} must be one series, of shape (T,) or (T, K), received {values.shape}"
            + ": choose a layer, a sequence or an output first, as in values[0]" * (values.ndim > 2)
        )
    columns = values[:, None] if values.ndim == 1 else values
    axis = _axis(given)
    places, along = (None, "step") if axis is None else _places(name, axis)
    if isinstance(given, Grid):
        along = str(given.dims["T"]) if axis is None else along
        along = _title(given.array.coords[along], along) if along in given.array.coords else along
    return Series(name, columns, places, along, given.features, _quantity(given), given)


def _axis(given: Labelled) -> Axis | None:
    """The labels of the steps, unless nobody chose them; of a DataArray dates before numbers."""
    if not isinstance(given, Grid):
        axis = next(iter(given.axes), None)
        return None if axis is None or axis.is_counted else axis
    if given.time is None or not given.time.is_time:
        for name, coordinate in given.array.coords.items():
            if coordinate.dims == (given.dims["T"],) and coordinate.dtype.kind == "M":
                zone = coordinate.attrs.get("time_zone")
                return Axis(coordinate.values, f"coordinate {name!r}", zone=zone)
    if given.time is None:
        return None
    return replace(given.time, zone=given.array.coords[given.dims["T"]].attrs.get("time_zone"))


def at_same_times(given: Series, other: Series) -> Series:
    """The given at the times of the other, as clocks show them; other times are refused."""
    mine, theirs = _axis(given.given), _axis(other.given)
    if mine is None or theirs is None or mine.is_counted or theirs.is_counted:
        return given
    kept = mine.cut(0, len(given.values))
    require_same(labelled(given.name, kept), labelled(other.name, theirs))
    if theirs.wall is None:
        return given
    return given._replace(places=other.places, along=other.along)


def has_rows(value: Any) -> bool:
    """Whether there are several sequences: a list, three axes, or a frame with several series."""
    levels = getattr(getattr(value, "index", None), "nlevels", 1)
    return are_several(value) or len(getattr(value, "shape", ())) == 3 or levels > 1


def are_several(value: Any) -> bool:
    """Whether a list has arrays or frames, not numbers or rows of numbers."""
    return isinstance(value, (list, tuple)) and any(
        getattr(part, "shape", ()) for part in value[:1]
    )


def places_after(past: Series, count: int) -> Array:
    """The places of the steps that come after."""
    if past.places is None:
        return len(past.values) + np.arange(count)
    after = past.given.continued(count)
    axis = after.time if isinstance(after, Grid) else next(iter(after.axes), None)
    if axis is None:
        raise ValueError(
            f"it is not known how the {past.along or 'time'} of {past.name} goes on: pass what "
            "comes after it with labels of its own"
        )
    return _places(past.name, axis)[0]


def _read(name: str, value: Any, row: Row) -> Labelled:
    """With labels, and of one sequence."""
    if are_several(value):
        value, row = value[_row(name, len(value), "a list", row)], None
    shape = tuple(getattr(value, "shape", ()))
    if len(shape) == 3:
        value, row = _of_row(name, value, shape, row), None
    given = labels.read(name, value, None, _ONE)
    if isinstance(given, Panel):
        if row is False:
            raise ValueError(
                f"{name} holds several series: pass one of them, a part of {given.grouped(name)}"
            )
        return given.items[_row(name, len(given.items), "a frame of several series", row)]
    if row is not None and row is not False:
        raise ValueError(
            f"row={row!r} chooses among sequences, and {name} is one, of shape {shape}: leave it "
            "out"
        )
    return given


def _of_row(name: str, value: Any, shape: tuple[int, ...], row: Row) -> Any:
    """One sequence of several."""
    if not hasattr(value, "isel"):
        return value[_row(name, shape[0], f"shape {shape}", row)]
    named = [dim for dim in value.dims if called(dim, SEQUENCES)]
    apart = [dim for dim in named if not called(dim, _UNITS)] or named
    dim = apart[0] if len(apart) == 1 else value.dims[0]
    return value.isel({dim: _row(name, value.sizes[dim], f"shape {shape}", row)}, drop=True)


def _row(name: str, count: int, form: str, row: Row) -> int:
    """Which of so many sequences is drawn; the only one, if there is one."""
    if count == 1 and (row is None or row is False):
        return 0
    if row is None or row is False:
        how = f"{name}[0]" if row is False else f"row=, 0 to {count - 1}, to say which is drawn"
        raise ValueError(f"{name} has {count} sequences, {form}: pass {how}")
    row = checks.size("row", row, minimum=-count)
    if row >= count:
        raise ValueError(f"row must be below {count}, the sequences of {name}, received {row}")
    return row


def _places(name: str, axis: Axis) -> tuple[Array, str]:
    """Labels as numbers or times of NumPy, and what they are called."""
    found = re.search(r"'(.*)'$", axis.name)
    title = found[1] if found else ""
    places = axis.labels if axis.wall is None else axis.wall
    if places.dtype.kind == "O" and places.size:
        places = _of_objects(places)
    if places.dtype.kind == "m":
        places, unit = _in_unit(places)
        return places, f"{title or 'time'} ({unit})"
    if places.dtype.kind not in "iufM":
        raise ValueError(
            f"the {axis.name} of {name} has no numbers or dates, such as "
            f"{checks.shown(places[0])}: {axis.plain.format(name=name)} is drawn over its steps, "
            "0, 1, ..."
        )
    return places, title or ("" if places.dtype.kind == "M" else "step")


def _of_objects(labels_: Array) -> Array:
    """Periods, dates and texts of dates as times of NumPy, where they are such."""
    if hasattr(labels_[0], "to_timestamp"):
        return np.array([period.to_timestamp().to_datetime64() for period in labels_])
    if hasattr(labels_[0], "calendar"):  # of cftime; other calendars may have other days
        try:
            return np.array([time.isoformat() for time in labels_], "datetime64[s]")
        except ValueError:
            return labels_
    ticks = times.ticks(labels_)
    return labels_ if ticks is None else ticks


def _in_unit(durations: Array) -> tuple[Array, str]:
    """Durations as numbers, in a unit of which there are a few."""
    seconds = durations / np.timedelta64(1, "s")
    longest = np.abs(seconds).max()
    unit, size = next((pair for pair in _DURATIONS.items() if longest >= 3 * pair[1]), _SECONDS)
    return seconds / size, unit


def _quantity(given: Labelled) -> str:
    """What the values are, with their unit."""
    if isinstance(given, Grid):
        return _title(given.array, "" if given.array.name is None else str(given.array.name))
    features = given.features or ()
    return features[0] if isinstance(given, Frame) and len(features) == 1 else ""


def _title(array: Any, name: str) -> str:
    """The name of a DataArray with its unit, as CF has them."""
    name, unit = str(array.attrs.get("long_name", name)), str(array.attrs.get("units", ""))
    return f"{name} ({unit})".strip() if unit not in ("", "1") else name

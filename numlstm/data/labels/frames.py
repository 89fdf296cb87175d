"""Frames and series of pandas, polars, pyarrow and their like, through narwhals."""

import copy
from typing import Any

import numpy as np

from numlstm.data.labels import remedies, times
from numlstm.data.labels.axes import Axis
from numlstm.data.labels.base import Labelled
from numlstm.data.labels.names import Names, order
from numlstm.data.labels.times import Likeness
from numlstm.utils import checks
from numlstm.utils.lazy import cached_property
from numlstm.utils.types import Array


class Frame(Labelled):
    """A frame whose rows are steps or sequences, or one of its columns.

    One column of dates is the time of the rows, and no feature.

    Attributes
    ----------
    index : Index of pandas, or None
        Where the library has one.
    time : narwhals.Series or None
        The column of dates.
    whole : str
        What the caller calls the frame that these rows are of.
    are_samples : bool
        A row is a sequence, not a step.
    """

    roles = "TI"
    are_samples = False

    def __init__(self, name: str, table: Any, index: Any, wanted: tuple[str, ...] | None):
        import narwhals as nw

        self.name, self.whole, self.index = name, name, index
        self.library = table.implementation
        self.is_column = isinstance(table, nw.Series)
        columns = [table] if self.is_column else list(table.iter_columns())
        pairs = [(not self.is_column and c.dtype in (nw.Datetime, nw.Date), c) for c in columns]
        dates = [column for is_date, column in pairs if is_date]
        self.columns = [column for is_date, column in pairs if not is_date]
        self.time = dates[0] if dates else None
        self.axes = tuple(_axis_of_column(self, column) for column in dates)
        if index is not None:
            self.axes += (axis_of_index(index),)
        found = [axis.name for i, axis in enumerate(self.axes) if i < len(dates) or axis.is_time]
        if len(found) > 1:
            listed = " and the ".join(found)
            raise ValueError(f"{name} has more than one time of its rows, the {listed}: keep one")
        kept = [not is_date for is_date, _ in pairs]
        self._across = not self.is_column and _are_times(_titles(table, kept))
        self._name_features(wanted)

    def _name_features(self, wanted: tuple[str, ...] | None) -> None:
        """Names of the columns, and the order in which they are read."""
        have = tuple(str(column.name) for column in self.columns)
        if self.is_column and self.title is None:
            return
        self.shown = have
        positions, self.features = order(self.name, have, wanted)
        if positions is not None:
            self.columns = [self.columns[position] for position in positions]

    @property
    def title(self) -> Any:
        """The name of a column alone, as the caller has it."""
        name = self.columns[0].name if self.is_column else None
        return None if name == "" else name

    @cached_property
    def values(self) -> Any:
        """The columns as an array (N, I), of a series (N,): float32 if all columns are."""
        arrays = [self._numbers(column) for column in self.columns]
        if self.is_column:
            return arrays[0]
        if not arrays:
            raise ValueError(f"{self.name} has no column of numbers")
        dtype: Any = checks.kept_dtype(*arrays)
        return np.stack(arrays, axis=1, dtype=dtype, casting="unsafe")

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.columns[0] if self.columns else self.axes[0])

    def outputs(self, names: Names, width: int) -> list[str]:
        """Names of the outputs, none that of the column of dates."""
        return names.outputs(width, () if self.time is None else (str(self.time.name),))

    def restore(self, Y: Any, names: Names) -> Any:
        """A frame with the same rows; of one prediction for the whole series an array."""
        if Y.ndim == 1:
            return Y
        titles = self.outputs(names, Y.shape[1])
        frame = table_of(self.library, Y, titles, self.index)
        if self.time is None:
            return frame
        import narwhals as nw

        named = nw.from_native(frame)
        return named.with_columns(self.time).select(self.time.name, *titles).to_native()

    @property
    def column(self) -> Array | None:
        """One value for each row, (N,), in its own type, where there is one column."""
        return self._numbers(self.columns[0]) if len(self.columns) == 1 else None

    def _numbers(self, column: Any) -> Array:
        """A column of numbers or flags as an array; others are refused."""
        array = _numbers(self.name, column)
        if array is not None:
            return array
        one = "it" if self.is_column else f"its column {str(column.name)!r}"
        raise TypeError(
            f"{self.name} must hold real numbers, but {one} has the type {column.dtype}: "
            f"{remedies.of_column(self, column)}"
        )

    @property
    def only(self) -> Any:
        """The name of the first column, as the caller has it, be it a number."""
        return self.columns[0].name

    @property
    def integers(self) -> Any:
        """What the only column has, in its own type, missing integers left out; None of several."""
        if len(self.columns) != 1:
            return None
        return self.columns[0].drop_nulls().to_numpy() if self.is_whole else self.column

    @property
    def is_whole(self) -> bool:
        """Whether all columns are of integers."""
        return all(column.dtype.is_integer() for column in self.columns)

    def continued(self, count: int, known: Any = None) -> Labelled:
        """The next rows: their times where those of these rows are regular, or they are known."""
        after = copy.copy(self)
        after.is_future = True
        found: tuple[Axis, ...] = ()
        if self.time is not None:
            after.time = _column_after(self.time, self.axes[0], count, known)
            found = () if after.time is None else (_axis_of_column(self, after.time),)
            after.index = None
        elif self.index is not None:
            own = self.index, self.axes[0]
            after.index = _index_after(*own, count, known, self.library)
            found = () if after.index is None else (axis_of_index(after.index),)
        after.axes = tuple(self.axes[0].after(axis) for axis in found)
        after.past = self.axes[0] if self.axes and not found else None
        return after

    def gaps(self, reset: Any) -> list[str]:
        """Unequal steps of the rows in words; steps back in time are refused."""
        if self._across:
            turned, plain = remedies.transposed(self)
            raise ValueError(
                f"the columns of {self.name} are times, but its rows are read as the steps: pass "
                f"{turned}, or {plain} to read it as it is"
            )
        if not self.axes:
            return []
        return self.axes[0].gaps(self.name, reset, lambda: remedies.of_several_series(self))


def table_of(library: Any, Y: Array, titles: list[str], index: Any) -> Any:
    """A frame of the same library with these columns."""
    import narwhals as nw

    columns = {title: np.ascontiguousarray(Y[:, i]) for i, title in enumerate(titles)}
    frame = nw.from_dict(columns, backend=library).to_native()
    if index is not None:
        frame.index = index
    return frame


def _titles(table: Any, kept: list[bool]) -> Array:
    """The names of these columns, as pandas has them in its index of columns or else as texts."""
    if table.implementation.is_pandas_like():
        return np.asarray(table.to_native().columns[kept].to_numpy())
    return np.array(table.columns, object)[kept]


def _are_times(titles: Array) -> bool:
    """Whether columns are no doubt the steps of a table that is wide; digits may be anything."""
    return titles.size > 0 and times.likeness(titles) is Likeness.CERTAIN


def _of_dates(level: Any) -> bool:
    return hasattr(level, "to_period") or hasattr(level, "to_timestamp")


def _numbers(name: str, column: Any) -> Array | None:
    """A column as an array of numbers or flags, missing values as NaN; None for others."""
    import narwhals as nw

    if column.dtype.is_numeric() or column.dtype == nw.Boolean:
        array = column.to_numpy()
        if column.dtype.is_integer():  # which a missing value or another column makes float64
            exact = column.drop_nulls().to_numpy()
            label = f"{name}[{str(column.name)!r}]" if column.name else name
            checks.require_distinct(label, exact, exact.astype(np.float64))
        if array.dtype.kind not in "fiub":
            array = column.cast(nw.Float64).to_numpy()
        return np.asarray(array)
    if column.dtype == nw.Unknown:  # sparse columns, and those without any value
        if column.null_count() == len(column):
            return np.full(len(column), np.nan)
        array = np.asarray(column.to_native())
        if array.dtype.kind in "fiub":
            return array
    return None


def axis_of_index(index: Any) -> Axis:
    """The labels of an index of pandas."""
    name = "index" if index.name is None else f"index {index.name!r}"
    index = _with_zone(index)
    if getattr(index, "tz", None) is None:
        return Axis(index.to_numpy(), name)
    utc, wall = index.tz_convert("UTC").tz_localize(None), index.tz_localize(None)
    return Axis(utc.to_numpy(), name, zone=str(index.tz), wall=wall.to_numpy())


def _with_zone(index: Any) -> Any:
    """Times of a zone as an index of pandas' own, be they of Arrow or categories."""
    held = getattr(index, "categories", index)
    of_arrow: Any = getattr(held.dtype, "pyarrow_dtype", None)
    if getattr(of_arrow, "tz", None) is not None:
        return index.astype(held.dtype).astype(f"datetime64[{of_arrow.unit}, {of_arrow.tz}]")
    return index if getattr(held, "tz", None) is None else index.astype(held.dtype)


def _axis_of_column(frame: Frame, column: Any) -> Axis:
    """The labels in a column of dates."""
    zone, wall = getattr(column.dtype, "time_zone", None), None
    method = {"pandas": "sort_values", "pyarrow": "sort_by"}.get(frame.library.value, "sort")
    utc = column
    if zone is not None:
        utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        wall = column.dt.replace_time_zone(None).to_numpy()
    return Axis(
        utc.to_numpy(),
        name=f"column {column.name!r}",
        sort=f'{{name}}.{method}("{column.name}")',
        reorder="the rows of {name} in the order of those of {x}",
        zone=zone,
        wall=wall,
        plain=remedies.without_dates(frame, column),
    )


def _index_after(index: Any, axis: Axis, count: int, known: Axis | None, library: Any) -> Any:
    """The index of the next rows, or None where it is not known."""
    pandas = library.to_native_namespace()
    if getattr(index, "freq", None) is not None and _of_dates(index) and axis.is_time:
        after = pandas.date_range(index[-1], periods=count + 1, freq=index.freq)[1:]
        return after.rename(index.name)
    found = axis.continued(count, known)
    if found is None:
        return None
    labels, local = found
    after = pandas.Index(labels, name=index.name)
    if axis.zone is not None:
        zone = _with_zone(index).tz
        after = after.tz_localize(zone if local else "UTC").tz_convert(zone)
    return after.astype(index.dtype) if hasattr(index.dtype, "pyarrow_dtype") else after


def _column_after(column: Any, axis: Axis, count: int, known: Axis | None) -> Any:
    """The dates of the next rows, or None where they are not known."""
    import narwhals as nw

    found = axis.continued(count, known)
    if found is None:
        return None
    labels, local = found
    after = nw.new_series(column.name, labels, backend=column.implementation)
    if axis.zone is None:
        return after.cast(column.dtype)
    zoned = after.dt.replace_time_zone(axis.zone if local else "UTC")
    return zoned.dt.convert_time_zone(axis.zone).cast(column.dtype)

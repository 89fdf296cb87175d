"""Frames and series of pandas, polars, pyarrow and their like, through narwhals."""

import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from numlstm.data.labels import remedies, times
from numlstm.data.labels.base import TIMES, Axis, Labelled, Names, called, order, tells_apart
from numlstm.data.labels.lists import Several
from numlstm.data.labels.times import Likeness
from numlstm.utils import checks
from numlstm.utils.types import Array


def read(
    name: str, native: Any, wanted: tuple[str, ...] | None, like: Labelled | None = None
) -> Labelled:
    """A frame or series with its labels; anything else has none.

    `like` are the inputs that it stands beside, if it is none.
    """
    import narwhals as nw  # on first use: `import numlstm` and arrays do without it
    from narwhals.exceptions import DuplicateError

    try:
        table = nw.from_native(native, allow_series=True, pass_through=True)
        if table is native and hasattr(native, "column_names"):  # a record batch
            table = nw.from_arrow(native, backend="pyarrow")
    except DuplicateError:
        raise ValueError(f"{name} has several columns of the same name: rename them") from None
    if isinstance(table, nw.LazyFrame):
        raise TypeError(f"{name} is a lazy frame, which has no values yet: pass {name}.collect()")
    if not isinstance(table, (nw.DataFrame, nw.Series)):
        return Labelled(name, native)
    if not table.implementation.is_pandas_like():
        return Frame(name, table, None, wanted)
    if getattr(getattr(native, "columns", None), "nlevels", 1) > 1:
        raise TypeError(
            f"{name} has columns in {native.columns.nlevels} levels, "
            f"{remedies.of_levels(name, native.columns)}"
        )
    if isinstance(like, Panel):
        native = like.with_levels(native)
        if native.index.nlevels == like.index.nlevels - 1:
            return like.row_for_each(Frame(name, table, native.index, wanted))
    if native.index.nlevels > 1:
        return _panel(name, native, wanted)
    return Frame(name, table, native.index, wanted)


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
            self.axes += (_axis_of_index(index),)
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
        if self.is_column and self.columns[0].name in (None, ""):
            return
        positions, self.features = order(self.name, have, wanted)
        if positions is not None:
            self.columns = [self.columns[position] for position in positions]

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

    def continued(self, count: int) -> Labelled:
        """The next rows: their times where those of these rows are regular."""
        after = copy.copy(self)
        after.is_future = True
        found: tuple[Axis, ...] = ()
        if self.time is not None:
            after.time = _column_after(self.time, self.axes[0], count)
            found = () if after.time is None else (_axis_of_column(self, after.time),)
            after.index = None
        elif self.index is not None:
            after.index = _index_after(self.index, self.axes[0], count, self.library)
            found = () if after.index is None else (_axis_of_index(after.index),)
        after.axes = tuple(map(self.axes[0].after, found))
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


class Panel(Several):
    """A frame of pandas with several series among its rows, told apart by levels of its index."""

    _has_order = True  # the rows are in an order that is known, as those of a frame always are

    @property
    def stepwise(self) -> Any:
        """A row for each step: what has no axis for features gets one."""
        return [part[:, None] if part.ndim == 1 else part for part in self.values]

    def __init__(self, name: str, items: list[Any], index: Any, rows: list[Array], level: int):
        self.index, self._rows, self._level = index, rows, level
        self.library = items[0].library
        self._keys = index.droplevel(level)[[int(row[0]) for row in rows]]
        super().__init__(name, items, (_axis_of_index(self._keys),))

    def grouped(self, name: str) -> str:
        """Code that groups the rows of a frame, so called, by series."""
        return _grouped(name, self.index, self._level)

    def listed(self, name: str) -> str:
        """Code that makes a list of frames of one, so called."""
        level = _others(self.index, self._level)
        return f"[part.droplevel({level}) for _, part in {self.grouped(name)}]"

    def with_levels(self, native: Any) -> Any:
        """What stands beside this frame, the levels of its index in the order of these."""
        names = self.index.names if native.index.nlevels == self.index.nlevels else self._keys.names
        same = len(set(names)) == len(names) and set(names) == set(native.index.names)
        return native.reorder_levels(names) if same and len(names) > 1 else native

    def row_for_each(self, frame: "Frame") -> "Frame":
        """What has a row for each series: how to reorder it is to be said for these."""
        keys = f"{{x}}.index.droplevel({self._level}).unique()"
        frame.axes = tuple(replace(axis, reorder=f"{{name}}.loc[{keys}]") for axis in frame.axes)
        return frame

    def agreed(self, other: Labelled) -> Labelled:
        """Labels as of a list; as many rows without labels are cut as those of this frame are."""
        shape = np.shape(other.values) if isinstance(other.values, np.ndarray) else ()
        labelled = other.axes and not (self.is_future and other.axes[0].is_counted)
        if labelled or shape[:1] != (len(self.index),) or len(self.index) == len(self.items):
            return super().agreed(other)
        if not self._has_order:
            raise ValueError(
                f"the rows of {self.name} are neither series by series nor time by time, so that "
                f"{other.name} of shape {shape} cannot be cut: pass it with an index, or as (B, S) "
                "or (B, S, I), series by series in the order in which they begin"
            )
        return Labelled(other.name, [other.values[rows] for rows in self._rows])

    def restore(self, Y: Any, names: Names) -> Any:
        """One frame with the same index; of one prediction per series a row for each."""
        if not isinstance(Y, list) and Y.ndim == 2:
            return table_of(self.library, Y, names.outputs(Y.shape[1]), self._keys)
        parts = [np.asarray(part) for part in Y]
        every = np.empty((len(self.index), parts[0].shape[1]), parts[0].dtype)
        for rows, part in zip(self._rows, parts, strict=True):
            every[rows] = part
        return table_of(self.library, every, names.outputs(every.shape[1]), self.index)

    def continued(self, count: int) -> Labelled:
        """What comes after every series, its rows in the order of these where they have one."""
        items: Any = [item.continued(count) for item in self.items]
        pandas = self.library.to_native_namespace()
        counted = pandas.RangeIndex(count)
        ends = [counted if item.index is None else item.index for item in items]
        time = ends[0].append(ends[1:])
        outer = self._keys.repeat(count)
        levels = [outer.get_level_values(i) for i in range(outer.nlevels)]
        levels.insert(self._level, time)
        index = pandas.MultiIndex.from_arrays(levels, names=self.index.names)
        places = self._places(count)
        rows = list(np.arange(len(index)).reshape(len(items), count)) if places is None else places
        index = index[np.argsort(np.concatenate(rows))]
        after = Panel(self.name, items, index, rows, self._level)
        after.is_future, after._has_order = True, places is not None
        return after

    def _places(self, count: int) -> list[Array] | None:
        """The rows of every series where `count` come after each, in the order that these have.

        Series by series or time by time; None where these rows are neither.
        """
        every, place = len(self.items), np.arange(len(self.items) * count)
        if _is_counted(np.concatenate(self._rows)):
            return list(place.reshape(every, count))
        if len(set(map(len, self._rows))) == 1 and _is_counted(np.stack(self._rows, 1).ravel()):
            return list(place.reshape(count, every).T)
        return None


def table_of(library: Any, Y: Array, titles: list[str], index: Any) -> Any:
    """A frame of the same library with these columns."""
    import narwhals as nw

    columns = {title: np.ascontiguousarray(Y[:, i]) for i, title in enumerate(titles)}
    frame = nw.from_dict(columns, backend=library).to_native()
    if index is not None:
        frame.index = index
    return frame


def _panel(name: str, native: Any, wanted: tuple[str, ...] | None) -> Labelled:
    """A frame with several levels in its index as a list of series."""
    index = native.index
    level = _time_level(name, index)
    codes, keys = index.droplevel(level).factorize()
    if (codes < 0).any() or len(codes) == 0:
        raise ValueError(f"{name} has rows whose index does not say the series, or none at all")
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    time, items = index.get_level_values(level), []
    apart = f"for _, part in {_grouped(name, index, level)}"
    for key, positions in zip(keys, rows, strict=True):
        part = native.iloc[positions].set_axis(time[positions], axis=0)
        item = read(f"{name}[{key!r}]", part, wanted)
        assert isinstance(item, Frame)
        item.whole, item.axes = name, tuple(_of_whole(axis, name, apart) for axis in item.axes)
        wanted = wanted or item.features
        items.append(item)
    return Panel(name, items, index, rows, level)


def _grouped(name: str, index: Any, level: int) -> str:
    return f"{name}.groupby(level={_others(index, level)}, sort=False)"


def _others(index: Any, level: int) -> Any:
    """The levels of an index but one, by number."""
    levels = [other for other in range(index.nlevels) if other != level]
    return levels[0] if len(levels) == 1 else levels


def _of_whole(axis: Axis, name: str, apart: str) -> Axis:
    """The labels of one of several series: what to write is said for the frame of all."""
    sort, plain = axis.sort.replace("{name}", name), axis.plain.format(name="part")
    return replace(axis, sort=sort, plain=f"[{plain} {apart}]")


def _time_level(name: str, index: Any) -> int:
    """The level that is the time: the only one that can be, dates and durations before numbers.

    Of several of numbers it is the one that is so called, where the others are called as series
    are; clocks are parts of a time.
    """
    levels = [index.get_level_values(i).unique() for i in range(index.nlevels)]
    like = [times.likeness(level.to_numpy()) for level in levels]
    known, numbers, maybe = (
        [i for i, own in enumerate(like) if own is kind]
        for kind in (Likeness.CERTAIN, Likeness.NUMBERS, Likeness.PERHAPS)
    )
    named = [i for i in numbers + maybe if called(index.names[i], TIMES)]
    found = known + named or numbers or maybe
    if named and not known:  # else a part of the time would tell series apart
        found = found + [i for i in numbers if i not in named and not tells_apart(index.names[i])]
    if found:
        clocks = [i for i, level in enumerate(levels) if times.are_clocks(level.to_numpy())]
        found = found + [i for i in clocks if not tells_apart(index.names[i])]
    if len(found) == 1:
        return found[0]
    shown = [repr(index.names[i] or i) for i in found or range(index.nlevels)]
    if not found:
        raise ValueError(
            f"the index of {name} has several levels, {', '.join(shown)}, none of which is a time: "
            "write dates as dates, by pandas.to_datetime, or add a level that counts the steps; "
            f"{name}.to_numpy() is read without its labels"
        )
    raise ValueError(
        f"the index of {name} may have several times, its levels {', '.join(shown)}: make one time "
        "of them, or write those that tell series apart as texts and rename them"
    )


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


def _is_counted(rows: Array) -> bool:
    return np.array_equal(rows, np.arange(rows.size))


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


def _axis_of_index(index: Any) -> Axis:
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


def _index_after(index: Any, axis: Axis, count: int, library: Any) -> Any:
    """The index of the next rows, or None where it is not known."""
    pandas = library.to_native_namespace()
    if getattr(index, "freq", None) is not None and _of_dates(index) and axis.is_time:
        after = pandas.date_range(index[-1], periods=count + 1, freq=index.freq)[1:]
        return after.rename(index.name)
    found = axis.continued(count)
    if found is None:
        return None
    labels, local = found
    after = pandas.Index(labels, name=index.name)
    if axis.zone is not None:
        zone = _with_zone(index).tz
        after = after.tz_localize(zone if local else "UTC").tz_convert(zone)
    return after.astype(index.dtype) if hasattr(index.dtype, "pyarrow_dtype") else after


def _column_after(column: Any, axis: Axis, count: int) -> Any:
    """The dates of the next rows, or None where they are not known."""
    import narwhals as nw

    found = axis.continued(count)
    if found is None:
        return None
    labels, local = found
    after = nw.new_series(column.name, labels, backend=column.implementation)
    if axis.zone is None:
        return after.cast(column.dtype)
    zoned = after.dt.replace_time_zone(axis.zone if local else "UTC")
    return zoned.dt.convert_time_zone(axis.zone).cast(column.dtype)

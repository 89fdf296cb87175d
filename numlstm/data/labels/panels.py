"""Frames of pandas with several series among their rows."""

from dataclasses import replace
from typing import Any

import numpy as np

from numlstm.data.labels import times
from numlstm.data.labels.axes import Axis
from numlstm.data.labels.base import Labelled
from numlstm.data.labels.frames import Frame, axis_of_index, table_of
from numlstm.data.labels.lists import Several
from numlstm.data.labels.names import TIMES, Names, called, tells_apart
from numlstm.data.labels.times import Likeness
from numlstm.utils.types import Array


class Panel(Several):
    """A frame of pandas with several series among its rows, told apart by levels of its index."""

    _has_order = True  # the rows are in an order that is known, as those of a frame always are

    @property
    def rows(self) -> list[Array]:
        """The rows of every series."""
        return self._rows

    @property
    def stepwise(self) -> Any:
        """A row for each step: what has no axis for features gets one."""
        return [part[:, None] if part.ndim == 1 else part for part in self.values]

    def __init__(self, name: str, items: list[Any], index: Any, rows: list[Array], level: int):
        self.index, self._rows, self._level = index, rows, level
        self.library = items[0].library
        self._keys = index.droplevel(level)[[int(row[0]) for row in rows]]
        super().__init__(name, items, (axis_of_index(self._keys),))
        self.series = self.axes[0]

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

    def row_for_each(self, frame: Frame) -> Frame:
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

    def continued(self, count: int, known: Any = None) -> Labelled:
        """What comes after every series, its rows in the order of these where they have one."""
        items: Any = self._each_continued(count, known)
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


def panel_of(name: str, native: Any, wanted: tuple[str, ...] | None) -> Panel:
    """A frame with several levels in its index as a list of series."""
    import narwhals as nw

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
        table = nw.from_native(part, allow_series=True)
        item = Frame(f"{name}[{key!r}]", table, part.index, wanted)
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
    time = _likeliest_time(index.names, found, like)
    others = sorted(set(found) - {time})
    apart = " and ".join(repr(index.names[i] or i) for i in others)
    apart += f" tell{'s' * (len(others) == 1)} series apart, write it as texts"
    beside = f", and beside it y = y.set_axis({name}.index)" if name == "X" else ""
    raise ValueError(
        f"the index of {name} may have several times, its levels {', '.join(shown)}: where "
        f"{apart}, {_as_texts(name, others)}{beside}; where all are parts of a time, make "
        "one time of them"
    )


def _likeliest_time(titles: Any, found: list[int], like: list[Likeness]) -> int:
    """Of the levels that may be the time the one that is, if the others tell series apart."""

    def rank(i: int) -> tuple[bool, bool, bool, int]:
        is_date = like[i] is Likeness.CERTAIN
        return is_date, called(titles[i], TIMES), not tells_apart(titles[i]), i

    return max(found, key=rank)


def _as_texts(name: str, levels: list[int]) -> str:
    """Code that makes texts of levels, none of which is like a time."""
    made = [f'{name}.index.levels[{i}].map("series {{}}".format)' for i in levels]
    texts, which = f"[{', '.join(made)}]", str(levels)
    if len(levels) == 1:
        texts, which = made[0], str(levels[0])
    return f"{name} = {name}.set_axis({name}.index.set_levels({texts}, level={which}))"


def _is_counted(rows: Array) -> bool:
    return np.array_equal(rows, np.arange(rows.size))

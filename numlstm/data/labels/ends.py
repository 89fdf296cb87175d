"""Where labelled series ended: what the next part of them has to go on from."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.data.labels.axes import Axis
from numlstm.data.labels.base import Labelled, zones_in_words
from numlstm.data.labels.frames import Frame
from numlstm.data.labels.grids import Grid
from numlstm.data.labels.lists import Several
from numlstm.utils.types import Array


class Ends(NamedTuple):
    """The names of series, and the last date of each.

    Attributes
    ----------
    series : Axis or None
        The names, where the series have some.
    times : tuple of (Axis or None)
        The last date of every series, one label each; None where it has no dates.
    """

    series: Axis | None
    times: tuple[Axis | None, ...]

    @classmethod
    def of(cls, given: Labelled, lengths: Any, before: "Ends | None") -> "Ends | None":
        """Those of the inputs, in the order of their rows; None where they have no labels.

        A series without a step ends where it did `before`. Padding hides the ends of rows.
        """
        ends = [_last(axis) for axis in dates(given)] if lengths is None else []
        if before is not None and len(before.times) == len(ends):
            pairs = zip(ends, before.times, strict=True)
            ends = [own if own is not None else earlier for own, earlier in pairs]
        if given.series is None and all(end is None for end in ends):
            return None
        return cls(given.series, tuple(ends))

    def rows(self, given: Labelled) -> Array | None:
        """Which of these the series of the inputs are, by name; None where they are all of them."""
        mine, theirs = self.series, given.series
        if mine is None or theirs is None or mine.equals(theirs):
            return None
        place = {name: row for row, name in enumerate(mine.labels.tolist())}
        wanted = theirs.labels.tolist()
        if len(place) < len(mine):
            raise ValueError(
                f"state has series of the same name, and {given.name} others or in another order: "
                "pass the same series in the same order, or plain arrays, which go with the rows "
                "of a state by position"
            )
        if new := [name for name in wanted if name not in place]:
            known = [repr(name) for name in place]
            shown = ", ".join(known if len(known) < 6 else [*known[:3], "...", known[-1]])
            raise ValueError(
                f"state does not know {len(new)} of the series of {given.name}, the first of which "
                f"is {new[0]!r}: it knows {shown}. Predict new series in a call of their own, "
                "without state=, and give names of the same type; plain arrays go with the rows of "
                "a state by position"
            )
        return np.array([place[name] for name in wanted], dtype=np.int64)

    def of_rows(self, rows: Array) -> "Ends":
        """Some of them."""
        assert self.series is not None
        labels, times = self.series.labels[rows], self.times
        kept = tuple(times[row] for row in rows) if times else ()
        return Ends(Axis(labels, self.series.name), kept)

    def require_later(self, given: Labelled) -> None:
        """Refuse inputs that do not begin after these ends; row for row."""
        begins = dates(given)
        if len(begins) != len(self.times):
            return
        for row, (end, axis) in enumerate(zip(self.times, begins, strict=True)):
            if end is None or axis is None or not len(axis) or end.ends_before(axis):
                continue
            name = given.items[row].name if isinstance(given, Several) else given.name
            zones = "" if end.is_comparable(axis) else f" ({zones_in_words(end, axis)})"
            raise ValueError(
                f"{name} begins at {axis.at(0)}, and the state is that at the end of "
                f"{end.at(0)}{zones}: pass the rows of the times after it, or leave state= out to "
                f"begin anew. {axis.plain.format(name=name)} is read without its labels, whatever "
                "the state is of"
            )


def dates(given: Labelled) -> list[Axis | None]:
    """The dates of every series; None for one without."""
    if isinstance(given, Several):
        return [axis for item in given.items for axis in (dates(item) or [None])]
    if isinstance(given, Grid):
        return [_dated(given.time)] * given.rows
    if isinstance(given, Frame):
        return [_dated(given.axes[0] if given.axes else None)]
    return []


def _dated(axis: Axis | None) -> Axis | None:
    """Labels that are dates; what counts the rows may begin again in every part."""
    if axis is None or axis.ticks is None:
        return None
    return axis if axis.instants is not None or axis.labels.dtype.kind == "O" else None


def _last(axis: Axis | None) -> Axis | None:
    return axis.cut(len(axis) - 1, len(axis)) if axis is not None and len(axis) else None

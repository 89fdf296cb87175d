"""Attributes of whole sequences: a row for each series, labelled by the name of the series."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.data.labels import grids, tables
from numlstm.data.labels.base import Labelled
from numlstm.data.labels.frames import Frame
from numlstm.data.labels.grids import Grid
from numlstm.data.labels.lists import Several
from numlstm.data.labels.names import SEQUENCES, called, order

NAME = "static"
_BATCH = Labelled("X", np.empty((0, 0, 0)))  # what sequences are that do not say so


class Attributes(NamedTuple):
    """Attributes without labels, in the order in which they are read."""

    values: Any = None
    names: tuple[str, ...] | None = None


def of_frame(x: Labelled, value: Any, wanted: tuple[str, ...] | None, *, many: bool) -> Attributes:
    """A frame with a row for each of `many` series, or a column that is one attribute.

    Of one series alone a Series of pandas is its row: its index has the names of the attributes.
    """
    frame = tables.read(NAME, value, None, x if many else None)
    if not isinstance(frame, Frame):
        if type(frame) is Labelled:
            return Attributes(frame.values, None)
        raise ValueError(
            "static has the labels of several series at several times, and an attribute has one "
            "value for each series: pass a frame with one row for each, as static.groupby(level=0)"
            ".first()"
        )
    if frame.time is not None:
        raise ValueError(
            f"static has a column of dates, {str(frame.time.name)!r}, and attributes do not change "
            "in time: give it as a number, or leave it out"
        )
    own = tuple(map(str, frame.index)) if frame.is_column and frame.index is not None else None
    if frame.is_column and not many:
        return _in_order(frame.values, own, wanted)
    if own is not None and _is_row(x, frame.title, own, wanted):
        return _in_order(frame.values[None], own, wanted)
    if many:
        x.require_rows(frame)
    return _in_order(frame.values, frame.features, wanted)


def _is_row(x: Labelled, title: Any, own: tuple[str, ...], wanted: tuple[str, ...] | None) -> bool:
    """Whether these are the attributes of the only series of x, which the title names, if any."""
    keys = x.keys if isinstance(x, Several) else next(iter(x.axes), None)
    key = keys.labels[0] if keys is not None and len(keys) == 1 else None
    if _count(x) != 1 or own == (str(key),):
        return False
    if wanted is None or set(own) != set(wanted):
        return key is not None and title == key
    if None not in (key, title) and title != key:
        raise ValueError(
            f"static is the row of {title}, and the one series of {x.name} is {key}: pass its "
            "own; static.to_numpy() is read without its labels"
        )
    return True


def _count(x: Labelled) -> int:
    """How many series there are."""
    if isinstance(x, Several):
        return len(x.items)
    return x.array.sizes[x.dims["B"]] if isinstance(x, Grid) else len(x.values)


def of_grid(x: Labelled, array: Any, wanted: tuple[str, ...] | None, *, many: bool) -> Attributes:
    """A DataArray with dimensions of sequences and of attributes; of one series of the latter."""
    dims = tuple(getattr(array, "dims", ()))
    known = x.dims.get("B") if isinstance(x, Grid) else None
    rows = [dim for dim in dims if dim == known or (known is None and called(dim, SEQUENCES))]
    rest = [dim for dim in dims if dim not in rows]
    if not rows and len(rest) == 1 and (not many or _count(x) == 1):
        own = _titles(array, rest[0])
        if not many:
            return _in_order(array.values, own, wanted)
        title = array.coords[known].values[()] if known in getattr(array, "coords", ()) else None
        if own is not None and _is_row(x, title, own, wanted):
            return _in_order(array.values[None], own, wanted)
    if many and len(rows) == 1 and len(rest) <= 1 and hasattr(array, "rename"):
        own = _titles(array, rest[0]) if rest else None
        like = x if "B" in x.roles else _BATCH
        grid = grids.read(NAME, array.rename(dict.fromkeys(rest, "feature")), None, like)
        x.require_rows(grid)
        return _in_order(grid.values, own or grid.features, wanted)
    raise ValueError(
        f"static has the dimensions ({', '.join(map(str, dims))}), and attributes have one for the "
        "series, called as that of X, and one for the attributes; of one series the latter alone"
    )


def _titles(array: Any, dim: Any) -> tuple[str, ...] | None:
    """The labels along a dimension, as texts."""
    if dim not in getattr(array, "coords", ()):
        return None
    return tuple(str(label) for label in array.coords[dim].values)


def _in_order(
    values: Any, own: tuple[str, ...] | None, wanted: tuple[str, ...] | None
) -> Attributes:
    """The attributes in the order that is wanted, by name where they have names."""
    if own is None:
        return Attributes(values, None)
    positions, names = order(NAME, own, wanted)
    if positions is not None and np.ndim(values):
        values = values[..., positions]
    return Attributes(values, names)

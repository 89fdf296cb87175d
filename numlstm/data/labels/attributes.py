"""Attributes of whole sequences: a row for each series, labelled by the name of the series."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.data.labels import grids, tables
from numlstm.data.labels.base import Labelled
from numlstm.data.labels.frames import Frame
from numlstm.data.labels.grids import Grid
from numlstm.data.labels.names import SEQUENCES, called, order

NAME = "static"
_BATCH = Labelled("X", np.empty((0, 0, 0)))  # what sequences are that do not say so


class Attributes(NamedTuple):
    """Attributes without labels, in the order in which they are read."""

    values: Any
    names: tuple[str, ...] | None


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
    if frame.is_column and not many:
        own = None if frame.index is None else tuple(map(str, frame.index))
        return _in_order(frame.values, own, wanted)
    if many:
        x.require_rows(frame)
    return _in_order(frame.values, frame.features, wanted)


def of_grid(x: Labelled, array: Any, wanted: tuple[str, ...] | None, *, many: bool) -> Attributes:
    """A DataArray with dimensions of sequences and of attributes; of one series of the latter."""
    dims = tuple(getattr(array, "dims", ()))
    known = x.dims.get("B") if isinstance(x, Grid) else None
    rows = [dim for dim in dims if dim == known or (known is None and called(dim, SEQUENCES))]
    rest = [dim for dim in dims if dim not in rows]
    if not many and not rows and len(rest) == 1:
        return _in_order(array.values, _titles(array, rest[0]), wanted)
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

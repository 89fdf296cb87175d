"""Numbers with a name each, in the order in which they are read."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numlstm.data.labels.names import order
from numlstm.utils.types import Array


def read(name: str, value: Any, wanted: tuple[str, ...] | None) -> Array | None:
    """A number for each of the names that are wanted; None where the labels are no such names.

    A Series of pandas, a DataArray of one dimension or a mapping from names to numbers.
    """
    found = _named(value)
    if found is None or wanted is None:
        return None
    have, values = found
    are_names = not all(map(str.isdigit, have)) and set(have) & set(wanted)
    if set(have) != set(wanted) and not are_names:
        return None  # labels of rows, which may be numbers as names may
    positions, _ = order(name, have, wanted)
    return values if positions is None else values[positions]


def in_order(name: str, value: Any, wanted: tuple[str, ...] | None) -> Any:
    """The same of what stands for nothing but the names: other ones are refused.

    What has no names is as it is; so are names, where none are wanted.
    """
    found = _named(value)
    if found is None or wanted is None or names_of(value) is None:
        return value
    positions, _ = order(name, found[0], wanted)
    return found[1] if positions is None else found[1][positions]


def names_of(value: Any) -> tuple[str, ...] | None:
    """The names of what has one for each number; numbers are no names."""
    found = _named(value)
    return None if found is None or all(map(str.isdigit, found[0])) else found[0]


def _named(value: Any) -> tuple[tuple[str, ...], Array] | None:
    """Names and numbers of what has a label for each number."""
    if isinstance(value, Mapping):
        return tuple(map(str, value)), np.asarray([value[name] for name in value])
    if isinstance(value, (np.ndarray, list, tuple)) or np.ndim(value) != 1:
        return None
    dims = getattr(value, "dims", ())
    if dims:
        labels = value.coords[dims[0]].values if dims[0] in getattr(value, "coords", ()) else None
    else:
        labels = getattr(value, "index", None)
    if labels is None or callable(labels):
        return None
    return tuple(map(str, labels)), np.asarray(value)


def reordered(values: Any, have: tuple[str, ...] | None, wanted: tuple[str, ...] | None) -> Any:
    """Numbers without names that stand beside what has its own in another order than is wanted."""
    if have is None or wanted is None or have == wanted or set(have) != set(wanted):
        return values
    array = np.asarray(values)
    if array.ndim == 0 or array.shape[-1] != len(wanted):
        return values
    return array[..., [have.index(name) for name in wanted]]

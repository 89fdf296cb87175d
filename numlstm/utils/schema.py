"""Checks of plain values and arrays that come from a file, whoever wrote it.

What a value is called says where it stands, as in "sums.loss". Whatever is wrong is a ValueError;
`files.refusing` makes it the `StorageError` of a file.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from numlstm.utils import checks

_LARGEST = 2**63 - 1


def received(value: Any) -> str:
    """A value in an error: of what holds others its type alone, however deep or long it is."""
    if isinstance(value, (str, bytes, int, float, type(None))):
        text = repr(value)
        return text if len(text) <= 99 else f"{text[:99]}..."
    return type(value).__name__


def mapping(
    name: str, value: Any, known: Collection[str], optional: Collection[str] = ()
) -> dict[str, Any]:
    """A dictionary with all of the `known` entries, perhaps the `optional` ones, and no others."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a dictionary, received {received(value)}")
    for key in value:
        if key not in known and key not in optional:
            raise ValueError(f"{name} has the unknown entry {received(key)}")
    for key in known:
        if key not in value:
            raise ValueError(f"{name} lacks the entry {key!r}")
    return value


def whole(name: str, value: Any, least: int = 0, most: int = _LARGEST) -> int:
    """An integer in the range; True is not one."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(
            f"{name} must be an integer from {least} to {most}, received {received(value)}"
        )
    return value


def text(name: str, value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, received {received(value)}")
    return value


def one_of(name: str, value: Any, options: Collection[Any]) -> Any:
    """One of the plain values `options`, and of its type: 1 is not True."""
    for option in options:
        if type(value) is type(option) and value == option:
            return option
    raise ValueError(f"{name} must be one of {list(options)}, received {received(value)}")


def texts(name: str, value: Any, most: int) -> tuple[str, ...]:
    """Different texts, one at least."""
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= most:
        count = f" of {len(value)}" if isinstance(value, (list, tuple)) else ""
        raise ValueError(
            f"{name} must be a list of 1 to {most} text(s), received {received(value)}{count}"
        )
    found = tuple(text(f"{name}[{index}]", item) for index, item in enumerate(value))
    if len(set(found)) < len(found):
        raise ValueError(f"{name} has the same text twice")
    return found


def number(name: str, value: Any) -> float:
    """A number of any size, NaN too; an integer is the float that it is."""
    if type(value) is float or (type(value) is int and abs(value) <= 2**53):
        return float(value)
    raise ValueError(f"{name} must be a number, received {received(value)}")


def numbers(name: str, value: Any, count: int | None) -> Any:
    """A number, or where there is a `count` a list of so many, as an array."""
    if count is None:
        return number(name, value)
    return np.array(
        [number(f"{name}[{i}]", item) for i, item in enumerate(items(name, value, count))]
    )


def wholes(name: str, value: Any, count: int | None, most: int) -> Any:
    """An integer from 0 to `most`, or where there is a `count` a list of so many, as an array."""
    if count is None:
        return whole(name, value, most=most)
    listed = enumerate(items(name, value, count))
    return np.array([whole(f"{name}[{index}]", item, most=most) for index, item in listed])


def items(name: str, value: Any, count: int) -> list[Any]:
    """A list of so many entries."""
    if not isinstance(value, list) or len(value) != count:
        size = f" of {len(value)}" if isinstance(value, list) else ""
        raise ValueError(f"{name} must be a list of {count}, received {received(value)}{size}")
    return value


def array(
    arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: str
) -> np.ndarray:
    """The array of a name, of this shape and type, in native byte order."""
    found = native(arrays, name)
    if found.shape != shape or found.dtype != np.dtype(dtype):
        raise ValueError(
            f"the array {name!r} must be {dtype} of shape {shape}, received {found.dtype} of "
            f"shape {found.shape}"
        )
    return found


def native(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """The array of a name, in native byte order and C's order of elements."""
    if name not in arrays:
        raise ValueError(f"the array {name!r} is not there")
    found = arrays[name]
    return found.astype(found.dtype.newbyteorder("="), order="C", copy=False)


def vector(name: str, value: Any, sizes: tuple[int, ...], *, above: float = -np.inf) -> None:
    """Refuse what is no vector of finite float64 numbers, of one of the sizes and above a limit."""
    kind = getattr(value, "dtype", type(value).__name__)
    if not isinstance(value, np.ndarray) or value.dtype != np.float64:
        raise ValueError(f"{name} must be an array of float64, received {kind}")
    if value.shape not in [(size,) for size in sizes]:
        raise ValueError(
            f"{name} must have {' or '.join(map(str, sizes))} number(s), received shape "
            f"{value.shape}"
        )
    if not checks.all_finite(value) or (above > -np.inf and value.min() <= above):
        least = "" if above == -np.inf else f" above {above:g}"
        raise ValueError(f"{name} must have finite numbers{least}, received others")

"""Nodes of ONNX applied to arrays: to constants, such as sizes, and to the places of data."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from numlstm.convert.onnx.files import BFLOAT16, DOUBLE, FLOAT, FLOAT16, INT32, INT64
from numlstm.utils.types import Array

CASTS = {
    **dict.fromkeys((FLOAT, FLOAT16, BFLOAT16), np.float32),
    **{DOUBLE: np.float64, INT32: np.int32, INT64: np.int64},
}
_LARGEST = 2**26  # numbers in what a node makes, so that a small file needs no large memory


class CannotFold(Exception):
    """A node that is no constant, or one too large."""


def fold(
    kind: str, attributes: Mapping[str, Any], arrays: Sequence[Array | None], outputs: int
) -> list[Array]:
    """The arrays that a node makes of others; `CannotFold` where they are not known."""
    if kind not in _FOLDS:
        raise CannotFold(kind)
    named = {"outputs": outputs} if kind == "Split" else {}
    try:
        with np.errstate(all="ignore"):
            made = _FOLDS[kind](attributes, *arrays, **named)
    except (TypeError, ValueError, IndexError, AttributeError, KeyError, OverflowError) as error:
        raise CannotFold(f"{kind}: {error}") from error
    return made if isinstance(made, list) else [made]


def integers(array: Array | None) -> list[int]:
    """Entries of a flat array of sizes or places."""
    return [] if array is None else [int(one) for one in np.asarray(array).ravel()]


def _sized(sizes: Sequence[int]) -> None:
    if math.prod(sizes) > _LARGEST:
        raise CannotFold("too large")


def _shape_of(target: Array | None) -> list[int]:
    sizes = integers(target)
    if any(size < 0 for size in sizes):
        raise CannotFold("negative sizes")
    _sized(sizes)
    return sizes


def _expand(_: Any, array: Array, target: Array) -> Array:
    sizes = np.broadcast_shapes(array.shape, tuple(_shape_of(target)))
    _sized(sizes)
    return np.broadcast_to(array, sizes)


def _constant_of_shape(attributes: Mapping[str, Any], target: Array) -> Array:
    value = np.asarray(attributes.get("value", np.zeros(1, np.float32)))
    return np.full(_shape_of(target), value.ravel()[0], value.dtype)


def axes_of(attributes: Mapping[str, Any], given: Array | None, rank: int) -> list[int]:
    """Axes of a node, which has them as an attribute or, later, as an input."""
    axes = integers(given) if given is not None else list(attributes.get("axes", ()))
    if any(not -rank <= axis < rank for axis in axes):
        raise CannotFold(f"axes {axes}")
    return [axis % rank for axis in axes]


def _squeeze(attributes: Mapping[str, Any], array: Array, axes: Array | None = None) -> Array:
    found = axes_of(attributes, axes, array.ndim)
    return np.squeeze(array, tuple(found) if found else None)


def _unsqueeze(attributes: Mapping[str, Any], array: Array, axes: Array | None = None) -> Array:
    count = len(integers(axes)) if axes is not None else len(attributes.get("axes", ()))
    return np.expand_dims(array, tuple(axes_of(attributes, axes, array.ndim + count)))


def _reshape(attributes: Mapping[str, Any], array: Array, target: Array) -> Array:
    sizes = integers(target)
    if not attributes.get("allowzero", 0):
        sizes = [array.shape[k] if size == 0 else size for k, size in enumerate(sizes)]
    try:
        return array.reshape(sizes)
    except ValueError:
        other = next((one for one in sizes if one not in (*array.shape, -1)), sizes)
        raise CannotFold(f"its target size {other} does not fit the axes") from None


def _concat(attributes: Mapping[str, Any], *arrays: Array) -> Array:
    _sized([sum(array.size for array in arrays)])
    return np.concatenate(arrays, attributes["axis"])


def slices_of(
    attributes: Mapping[str, Any],
    rank: int,
    starts: Array | None = None,
    ends: Array | None = None,
    axes: Array | None = None,
    steps: Array | None = None,
) -> dict[int, slice]:
    """The slices of a Slice node by axis."""
    first = integers(starts) if starts is not None else list(attributes.get("starts", ()))
    last = integers(ends) if ends is not None else list(attributes.get("ends", ()))
    given = integers(axes) if axes is not None else list(attributes.get("axes", range(len(first))))
    by = integers(steps) if steps is not None else [1] * len(first)
    found = {}
    for start, end, axis, step in zip(first, last, given, by, strict=True):
        found[axes_of({"axes": [axis]}, None, rank)[0]] = slice(start, end, step)
    return found


def _slice(attributes: Mapping[str, Any], array: Array, *places: Array | None) -> Array:
    found = slices_of(attributes, array.ndim, *places)
    return array[tuple(found.get(axis, slice(None)) for axis in range(array.ndim))]


def _gather(attributes: Mapping[str, Any], array: Array, places: Array) -> Array:
    _sized([places.size, max(array.size, 1)])
    return np.asarray(np.take(array, places.astype(np.int64), attributes.get("axis", 0)))


def _split(
    attributes: Mapping[str, Any], array: Array, sizes: Array | None = None, *, outputs: int
) -> list[Array]:
    axis = attributes.get("axis", 0)
    found = integers(sizes) if sizes is not None else list(attributes.get("split", ()))
    if found and (len(found) != outputs or sum(found) != array.shape[axis]):
        raise CannotFold("sizes of a split")
    if not found:
        return np.array_split(array, outputs, axis)
    return np.split(array, np.cumsum(found)[:-1], axis)


def _arithmetic(operation: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    def applied(_: Any, one: Array, other: Array) -> Array:
        _sized(np.broadcast_shapes(one.shape, other.shape))
        return np.asarray(operation(one, other))

    return applied


def _divided(one: Array, other: Array) -> Array:
    if one.dtype.kind in "iu":
        return np.asarray(one // other)
    return np.asarray(one / other)


_FOLDS: dict[str, Callable[..., Any]] = {
    "Identity": lambda _, array: array,
    "Cast": lambda attributes, array: array.astype(CASTS[attributes["to"]]),
    "Transpose": lambda attributes, array: np.transpose(array, attributes.get("perm")),
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "Split": _split,
    "Expand": _expand,
    "ConstantOfShape": _constant_of_shape,
    "Add": _arithmetic(np.add),
    "Sub": _arithmetic(np.subtract),
    "Mul": _arithmetic(np.multiply),
    "Div": _arithmetic(_divided),
    "Equal": _arithmetic(np.equal),
    "Where": lambda _, *arrays: np.where(*arrays),
    "Min": _arithmetic(np.minimum),
}

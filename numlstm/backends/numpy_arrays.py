"""Operations on arrays between the layers of a network, in NumPy.

A backend with memory of its own has a module with the same functions over that. No function changes
an argument, but those whose first one is a `target`.
"""

import math

import numpy as np


def asarray(array) -> np.ndarray:
    """From NumPy's memory."""
    return np.asarray(array)


def to_numpy(array) -> np.ndarray:
    """To NumPy's memory."""
    return np.asarray(array)


def number(value) -> float:
    """A number that may be an array of one element."""
    return float(value)


def zeros(shape, dtype) -> np.ndarray:
    """Zeros that may be written to."""
    return np.zeros(shape, dtype)


def full(shape, value: float, dtype) -> np.ndarray:
    """The same number everywhere."""
    return np.full(shape, value, dtype)


def copy(array):
    """A copy that may be written to."""
    return array.copy()


def repeated(vector, rows: int):
    """(n,) as every row of (rows, n)."""
    return np.repeat(vector[None], rows, axis=0)


def stacked(arrays):
    """Arrays of one shape as one, along a new first axis; of a single one a view."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def end_to_end(vectors):
    """Vectors one behind the other; of a single one itself."""
    return vectors[0] if len(vectors) == 1 else np.concatenate(vectors)


def total(arrays):
    """The sum of arrays of one shape; of a single one itself."""
    result = arrays[0]
    for array in arrays[1:]:
        result = result + array
    return result


def product(array, factors):
    """Element by element, both of one shape."""
    return array * factors


def add_rows_to(target, array) -> None:
    """target (n,) += the sum over the rows of (B, n)."""
    target += array.sum(axis=0)


def scale_by(target, factors) -> None:
    """target *= factors."""
    target *= factors


def joined(arrays):
    """Both directions side by side."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=-1)


def parted(array, count: int):
    """The parts of an array that belong to each of `count` directions."""
    if array is None or count == 1:
        return [array] * count
    return np.split(array, count, axis=-1)


def flip(array, lengths):
    """(B, T, ...) with every row's steps in reverse order; the padding stays where it is."""
    if lengths is None:
        return array[:, ::-1]
    t = np.arange(array.shape[1])
    ends = lengths[:, None]
    source = np.where(t < ends, ends - 1 - t, t)
    return array[np.arange(len(array))[:, None], source]


def flip_reset(reset, lengths):
    """Resets of the reversed rows: one before step t parts t - 1 and t, in either direction."""
    before_next = np.zeros_like(reset)
    before_next[:, :-1] = reset[:, 1:]
    if lengths is not None:
        before_next &= np.arange(1, reset.shape[1] + 1) < lengths[:, None]
    return flip(before_next, lengths)


def without_padding(array, lengths):
    """Zeros in the padding of (B, T, ...), whatever stands there."""
    valid = np.arange(array.shape[1]) < lengths[:, None]
    return np.where(valid[..., None], array, array.dtype.type(0))


def last_steps(array, lengths):
    """Every row's last step of (B, T, n), as (B, n); zeros of a row that has none."""
    batch, steps, width = array.shape
    result, ends = np.zeros((batch, width), array.dtype), _ends(batch, steps, lengths)
    rows = np.flatnonzero(ends)
    result[rows] = array[rows, ends[rows] - 1]
    return result


def at_last_steps(array, steps: int, lengths):
    """The mirror of `last_steps`: (B, n) at every row's last step of (B, T, n), zeros elsewhere."""
    batch, width = array.shape
    result, ends = np.zeros((batch, steps, width), array.dtype), _ends(batch, steps, lengths)
    rows = np.flatnonzero(ends)
    result[rows, ends[rows] - 1] = array[rows]
    return result


def _ends(batch: int, steps: int, lengths):
    """Lengths (B,), those of full rows where none are given."""
    return np.full(batch, steps) if lengths is None else lengths


def resident(data):
    """A `numlstm.data.sequences.Dataset` where the backend reads it."""
    return data


def loss(function, prediction, target, weight, scale: float):
    """Value and gradient of one of `numlstm.optim.losses`, every weight times `scale`."""
    return function(prediction, target, weight * weight.dtype.type(scale))


def mask(source, update: int, place, shape, threshold: int, value: float, dtype) -> np.ndarray:
    """`value` where 16 random bits are at least `threshold`, else 0; `place` = (purpose, part)."""
    result, at = np.empty(shape, dtype), 0
    flat = result.reshape(shape[0], math.prod(shape[1:]))
    purpose, part = place
    for bits in source.bits(purpose, update, part, *flat.shape):
        np.greater_equal(bits, threshold, out=flat[at : at + len(bits)])
        at += len(bits)
    result *= result.dtype.type(value)
    return result

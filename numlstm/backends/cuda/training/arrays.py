"""Operations on arrays between layers, on the device: see `numlstm.backends.numpy_arrays`."""

import math

import numpy as np

from numlstm.backends import BackendError
from numlstm.backends.cuda.device.compile import kernel
from numlstm.backends.cuda.device.memory import (
    as_steps,
    driver,
    empty,
    flat,
    on_device,
    on_host,
    over_elements,
    stream,
)
from numlstm.backends.cuda.device.memory import full as full
from numlstm.backends.cuda.device.memory import zeros as zeros
from numlstm.backends.cuda.device.target import cuda
from numlstm.backends.cuda.training import losses, masks
from numlstm.backends.cuda.training.data import FromHost, Resident
from numlstm.backends.cuda.training.windows import ResidentSeries, gathered
from numlstm.cell.elementary import like


def asarray(array):
    """From NumPy's memory; what is on the device stays as it is."""
    return array if driver.is_on_device(array) else on_device(np.asarray(array))


def to_numpy(array) -> np.ndarray:
    """To NumPy's memory."""
    return on_host(array) if driver.is_on_device(array) else np.asarray(array)


def borrowed(name: str, value, dtype: str):
    """An array of a GPU's memory, somebody's or ours, as the backend reads it: the same memory."""
    try:
        array = driver.as_ours(value, stream())
    except BackendError as error:
        raise BackendError(f"{name} cannot be read: {error}; bring it there first") from error
    if array.dtype != dtype:
        raise TypeError(
            f"{name} must be {dtype}, as the model is, received {array.dtype}: on a GPU nothing "
            "is converted"
        )
    if array.size and not array.is_c_contiguous():
        raise ValueError(
            f"{name} must be C-contiguous, received strides {array.strides} for shape "
            f"{tuple(array.shape)}"
        )
    return array


def lent(array):
    """An array of the backend's as others read it."""
    return driver.lent_by(array, stream())


def all_finite(array, lengths) -> bool:
    """Whether (B, T, ...) holds finite numbers within the rows' lengths (None: all)."""
    found = zeros((1,), np.int32)
    if lengths is None:
        over_elements(find_faults, array.size, flat(array), found)
    else:
        over_elements(find_faults_of_rows, array.size, as_steps(array), lengths, found)
    return number(found) == 0


def number(value) -> float:
    """A number that may be an array of one element."""
    return float(to_numpy(value).reshape(()))


def copy(array):
    """A copy that may be written to."""
    return _filled_with([array], array.shape)


def repeated(vector, rows: int):
    """(n,) as every row of (rows, n)."""
    result = empty((rows, vector.size), vector.dtype)
    over_elements(put_rows, result.size, vector, result)
    return result


def stacked(arrays):
    """Arrays of one shape as one, along a new first axis; of a single one a view."""
    shape = (len(arrays), *arrays[0].shape)
    return arrays[0].reshape(shape) if len(arrays) == 1 else _filled_with(arrays, shape)


def end_to_end(vectors):
    """Vectors one behind the other; of a single one itself."""
    if len(vectors) == 1:
        return vectors[0]
    return _filled_with(vectors, (sum(vector.size for vector in vectors),))


def total(arrays):
    """The sum of arrays of one shape; of a single one itself."""
    if len(arrays) == 1:
        return arrays[0]
    result = copy(arrays[0])
    for array in arrays[1:]:
        over_elements(add, result.size, flat(result), flat(array))
    return result


def product(array, factors):
    """Element by element, both of one shape."""
    result = copy(array)
    scale_by(result, factors)
    return result


def add_rows_to(target, array) -> None:
    """target (n,) += the sum over the rows of (B, n)."""
    over_elements(add_rows, target.size, target, array)


def scale_by(target, factors) -> None:
    """target *= factors."""
    over_elements(multiply, target.size, flat(target), flat(factors))


def joined(arrays):
    """Both directions side by side."""
    if len(arrays) == 1:
        return arrays[0]
    lines = [_lines(array) for array in arrays]
    *leading, _ = arrays[0].shape
    width = sum(part.shape[1] for part in lines)
    result, first = empty((*leading, width), arrays[0].dtype), 0
    for part in lines:
        over_elements(put_columns, part.size, part, _lines(result), first)
        first += part.shape[1]
    return result


def parted(array, count: int):
    """The parts of an array that belong to each of `count` directions."""
    if array is None or count == 1:
        return [array] * count
    *leading, width = array.shape
    own = width // count
    parts = [empty((*leading, own), array.dtype) for _ in range(count)]
    for index, part in enumerate(parts):
        over_elements(take_columns, part.size, _lines(part), _lines(array), index * own)
    return parts


def flip(array, lengths):
    """(B, T, ...) with every row's steps in reverse order; the padding stays where it is."""
    result = empty(array.shape, array.dtype)
    over_elements(flip_steps, array.size, as_steps(result), as_steps(array), _ends(array, lengths))
    return result


def flip_reset(reset, lengths):
    """Resets of the reversed rows: one before step t parts t - 1 and t, in either direction."""
    result = empty(reset.shape, reset.dtype)
    over_elements(flip_resets, reset.size, result, reset, _ends(reset, lengths))
    return result


def without_padding(array, lengths):
    """Zeros in the padding of (B, T, ...), whatever stands there."""
    result = empty(array.shape, array.dtype)
    over_elements(keep_steps, array.size, as_steps(result), as_steps(array), lengths)
    return result


def last_steps(array, lengths):
    """Every row's last step of (B, T, n), as (B, n); zeros of a row that has none."""
    batch, steps, width = array.shape
    if steps == 0:
        return zeros((batch, width), array.dtype)
    result = empty((batch, width), array.dtype)
    over_elements(take_last_steps, result.size, result, array, _ends(array, lengths))
    return result


def at_last_steps(array, steps: int, lengths):
    """The mirror of `last_steps`: (B, n) at every row's last step of (B, T, n), zeros elsewhere."""
    batch, width = array.shape
    result = empty((batch, steps, width), array.dtype)
    over_elements(put_last_steps, result.size, result, array, _ends(result, lengths))
    return result


def resident(data) -> Resident | ResidentSeries | FromHost:
    """A `numlstm.data.sequences.Dataset`, or windows over series, where the backend reads it."""
    return Resident(data) if isinstance(data.X, np.ndarray) else gathered(data)


def loss(function, prediction, target, weight, scale):
    """Value and gradient of one of `numlstm.optim.losses`, every weight times `scale`."""
    scale = scale if driver.is_on_device(scale) else on_device(np.array([scale], np.float64))
    return losses.evaluate(function.__name__, prediction, target, weight, scale)


def mask(source, update, place, shape, threshold: int, value: float, dtype):
    """`value` where 16 random bits are at least `threshold`, else 0; `place` = (purpose, part)."""
    update = update if driver.is_on_device(update) else on_device(np.array([update], np.int64))
    result, (purpose, part) = empty(shape, dtype), place
    masks.draw_mask(result, source.key, purpose, part, update, threshold, value)
    return result


# --- views and kernels ----------------------------------------------------------------------------


def _filled_with(arrays, shape):
    """A new array with the arrays one behind the other."""
    result, first = empty(shape, arrays[0].dtype), 0
    for array in arrays:
        over_elements(put, array.size, flat(array), flat(result), first)
        first += array.size
    return result


def _lines(array):
    """(..., n) as (lines, n)."""
    *leading, width = array.shape
    return array.reshape((math.prod(leading), width))


def _ends(array, lengths):
    """Lengths (B,), those of full rows where none are given."""
    return full((array.shape[0],), array.shape[1], np.int64) if lengths is None else lengths


@kernel
def find_faults(array, found):
    """found (1,) = 1 where array (n,) is somewhere not finite."""
    for i in range(cuda.grid(1), array.shape[0], cuda.gridsize(1)):
        if not math.isfinite(array[i]):
            found[0] = 1


@kernel
def find_faults_of_rows(array, lengths, found):
    """found (1,) = 1 where array (B, T, n) is not finite before a row's end, lengths (B,)."""
    _, steps, width = array.shape
    for i in range(cuda.grid(1), array.size, cuda.gridsize(1)):
        line, k = i // width, i % width
        row, t = line // steps, line % steps
        if t < lengths[row] and not math.isfinite(array[row, t, k]):
            found[0] = 1


@kernel
def put(source, target, first):
    """target[first:][:n] = source (n,)."""
    for i in range(cuda.grid(1), source.shape[0], cuda.gridsize(1)):
        target[first + i] = source[i]


@kernel
def put_rows(vector, target):
    """target (rows, n) = vector (n,) in every row."""
    width = target.shape[1]
    for i in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        target[i // width, i % width] = vector[i % width]


@kernel
def add(target, array):
    """target (n,) += array (n,)."""
    for i in range(cuda.grid(1), target.shape[0], cuda.gridsize(1)):
        target[i] += array[i]


@kernel
def multiply(target, factors):
    """target (n,) *= factors (n,)."""
    for i in range(cuda.grid(1), target.shape[0], cuda.gridsize(1)):
        target[i] *= factors[i]


@kernel
def add_rows(target, array):
    """target (n,) += the rows of array (B, n), one after the other."""
    for i in range(cuda.grid(1), target.shape[0], cuda.gridsize(1)):
        value = like(target[i], 0.0)
        for row in range(array.shape[0]):
            value += array[row, i]
        target[i] += value


@kernel
def put_columns(source, target, first):
    """target[:, first:][:, :n] = source (lines, n)."""
    width = source.shape[1]
    for i in range(cuda.grid(1), source.shape[0] * width, cuda.gridsize(1)):
        target[i // width, first + i % width] = source[i // width, i % width]


@kernel
def take_columns(target, source, first):
    """target (lines, n) = source[:, first:][:, :n]."""
    width = target.shape[1]
    for i in range(cuda.grid(1), target.shape[0] * width, cuda.gridsize(1)):
        target[i // width, i % width] = source[i // width, first + i % width]


@kernel
def flip_steps(target, source, lengths):
    """target (B, T, n) = the rows of source within their lengths (B,) backwards."""
    batch, steps, width = source.shape
    for i in range(cuda.grid(1), batch * steps * width, cuda.gridsize(1)):
        line, k = i // width, i % width
        row, t = line // steps, line % steps
        end = lengths[row]
        target[row, t, k] = source[row, end - 1 - t if t < end else t, k]


@kernel
def flip_resets(target, source, lengths):
    """target (B, T): whether source parts the two steps, seen from the end of rows (B,)."""
    batch, steps = source.shape
    for i in range(cuda.grid(1), batch * steps, cuda.gridsize(1)):
        row, t = i // steps, i % steps
        end = lengths[row]
        target[row, t] = source[row, end - t] if 0 < t < end else 0


@kernel
def take_last_steps(target, source, lengths):
    """target (B, n) = the last step of the rows of source (B, T, n) within their lengths (B,)."""
    batch, width = target.shape
    for i in range(cuda.grid(1), batch * width, cuda.gridsize(1)):
        row, k = i // width, i % width
        end = lengths[row]
        t = end - 1 if end > 0 else 0
        target[row, k] = source[row, t, k] if end > 0 else like(target[row, k], 0.0)


@kernel
def put_last_steps(target, source, lengths):
    """target (B, T, n) = source (B, n) at the last step of a row, zero at all others."""
    batch, steps, width = target.shape
    for i in range(cuda.grid(1), batch * steps * width, cuda.gridsize(1)):
        line, k = i // width, i % width
        row, t = line // steps, line % steps
        last = t == lengths[row] - 1
        target[row, t, k] = source[row, k] if last else like(target[row, t, k], 0.0)


@kernel
def keep_steps(target, source, lengths):
    """target (B, T, n) = source, zero where a row has ended."""
    batch, steps, width = source.shape
    for i in range(cuda.grid(1), batch * steps * width, cuda.gridsize(1)):
        line, k = i // width, i % width
        row, t = line // steps, line % steps
        inside = t < lengths[row]
        target[row, t, k] = source[row, t, k] if inside else like(target[row, t, k], 0.0)

"""Checks of arguments; errors show what was received and what to do."""

import contextlib
import math
import operator
from collections.abc import Callable, Iterator, Mapping, ValuesView
from typing import Any

import numpy as np

DTYPES = ("float32", "float64")
PLACE = "place"  # what an error of a value has: the name of an array, and an index
# elements up to which BLAS sums by itself; for more it wakes threads, which then wait in a loop and
# take the time from those of the kernels
FEW = 8192
_ROUNDED = 1.01  # by how much more than a sum of so many squares has lost
_FITS = 2**28  # bytes for which nobody need ask
_LOST = 1e-3  # of how much a column varies, up to which it may lose digits
_EXCERPT = 60  # characters of a value in an error: it may be a whole data set
_LARGEST_SIZE = 2**63 - 1  # what the largest of NumPy's and C's own integers count to
_REMEDY_OF_TEXT = {  # by the first letter of what is called X or y, or what is called X[0] or y[0]
    "X": "; number its words or characters, each an entry of an array, "
    "names, tokens = np.unique(X, return_inverse=True), and pass them one-hot, "
    "X=np.eye(len(names))[tokens]",
    "X[": "; number their words or characters, names = np.unique(np.concatenate(X)), and pass "
    "them one-hot, X=[np.eye(len(names))[tokens] for tokens in [np.searchsorted(names, series) "
    "for series in X]]",
    "y": "; number the classes, names, y = np.unique(y, return_inverse=True), and pass "
    'loss="cross_entropy"; LSTMClassifier takes their names',
    "y[": "; number the classes, names = np.unique(np.concatenate(y)), y = [np.searchsorted(names, "
    'part) for part in y], and pass loss="cross_entropy"; LSTMClassifier takes their names',
}
_OF_SERIES = ("X", "y", "sample_weight", "exogenous")
_CUDA = (2, 13)  # DLPack's numbers for device memory and managed memory
_NATIVE: dict[str | None, tuple[np.dtype[Any], ...]] = {name: (np.dtype(name),) for name in DTYPES}
_NATIVE[None] = tuple(map(np.dtype, DTYPES))


def size(name: str, value: Any, minimum: int = 1) -> int:
    """`value` as an int that is at least `minimum`, and that 64 bits can hold."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, received {shown(value)}") from None
    if isinstance(value, bool) or number < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}, received {shown(value)}")
    if number > _LARGEST_SIZE:
        raise ValueError(f"{name} must be at most 2**63 - 1, received {number}")
    return int(number)


def flag(name: str, value: Any) -> bool:
    """`value` as a bool, if it is one."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, received {shown(value)}")
    return bool(value)


def real(
    name: str,
    value: Any,
    *,
    least: float = -np.inf,
    above: float = -np.inf,
    below: float = np.inf,
) -> float:
    """`value` as a finite float in the range."""
    kind = getattr(value, "dtype", np.dtype(float)).kind
    try:
        # text and truth values could be converted, and would be mistakes
        if isinstance(value, (str, bytes, bool)) or kind not in "iuf" or np.ndim(value):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, received {shown(value)}") from None
    except OverflowError:
        raise ValueError(f"{name} must be below 1.8e308, the largest float64") from None
    if least <= number < below and number > above and np.isfinite(number):
        return number
    bounds = [f">= {least:g}"] * (least > -np.inf) + [f"> {above:g}"] * (above > -np.inf)
    bounds += [f"< {below:g}"] * (below < np.inf)
    raise ValueError(
        f"{name} must be {' and '.join(bounds) or 'a finite number'}, received {shown(value)}"
    )


def held(name: str, value: float | None, dtype: str) -> None:
    """Refuse a number that a dtype rounds to 0 or to infinity; None is no number."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = float(np.dtype(dtype).type(value or 0.0))
    if value and (rounded == 0 or not math.isfinite(rounded)):
        raise ValueError(
            f"{name} must be a number that {dtype} can hold, received {value:g}, which it rounds "
            f"to {rounded:g}: choose another one, or dtype='float64'"
        )


def optional(check: Callable[..., Any], name: str, value: Any, **bounds: Any) -> Any:
    """None, or what another check makes of `value`."""
    return None if value is None else check(name, value, **bounds)


def choice(name: str, value: Any, options: tuple[str, ...]) -> str:
    """The one of `options` that `value` is, as a plain str."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {list(options)}, received {shown(value)}")
    return options[options.index(value)]


def plain(text: str) -> str:
    """The same text as a str itself, of np.str_ and other subclasses."""
    return str.__str__(text)


def probability(name: str, value: Any) -> float:
    """`value` as a float between 0 and 1."""
    number = real(name, value, least=0.0)
    if number > 1:
        raise ValueError(f"{name} must be a probability, at most 1, received {shown(value)}")
    return number


def dtype(name: str, value: Any) -> str:
    """The name of a supported dtype: "float32" or "float64"."""
    try:
        kind = np.dtype(value).name if value is not None else "None"  # to NumPy it is float64
    except TypeError:
        kind = str(value)
    return choice(name, kind, DTYPES)


def array(name: str, value: Any, dtype: str | None, *, finite: bool = True) -> np.ndarray:
    """`value` as a plain array of `dtype` in native byte order; a copy only where needed.

    No dtype: the precision of `value`, float32 for it and narrower floats, float64 for all else;
    what differs and would not in float64 is refused.
    Any memory layout, byte order, read-only and memory-mapped arrays are fine. Masked arrays,
    np.matrix, object, string and complex data are refused rather than reinterpreted, and with
    `finite` so is a NaN or an infinite value.
    """
    if type(value) is np.ndarray and value.dtype in _NATIVE[dtype] and value.flags.aligned:
        result = value
    else:
        result = _converted(name, value, dtype)
    if finite:
        require_finite(name, result)
    return result


def _converted(name: str, value: Any, dtype: str | None) -> np.ndarray:
    if on_gpu(value):
        raise TypeError(
            f"{name} lies on a GPU, and what was asked for reads NumPy's memory: bring it there "
            'first; a model with backend="cuda" takes it as it is in forward, vjp and step'
        )
    require_unmasked(name, value)
    if isinstance(value, np.matrix):
        raise TypeError(f"{name} is an np.matrix; pass np.asarray({name}) instead")
    try:
        result = np.asarray(value)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise ValueError(f"{name} cannot be made an array: {error}") from None
        raise ValueError(
            f"{name} cannot be made an array: its rows have different lengths. Sequences of "
            f"different lengths are a list of arrays, [np.asarray(row) for row in {name}]"
        ) from None
    if result.dtype.kind not in "fiub":
        remedy = _remedy(name, value, result)
        raise TypeError(f"{name} must hold real numbers, received dtype {result.dtype}{remedy}")
    with within_range(name, dtype or "float64", "scale them, or use float64"):
        kept = result.astype(dtype or kept_dtype(result))
    if dtype is None:
        require_distinct(name, result, kept)
    return kept


def require_unmasked(name: str, value: Any, fill: str = "np.nan") -> None:
    """Refuse a masked array, and lists with some in them: NumPy would drop the mask."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; fill it first, e.g. {name}.filled({fill})")
    if _has_masks(value):
        raise TypeError(
            f"{name} has masked values in a list; fill the arrays that it was made of, e.g. by "
            f"array.filled({fill})"
        )


def _has_masks(value: Any) -> bool:
    """Whether there is a masked array or value in lists of lists."""
    if not isinstance(value, (list, tuple)):
        return False
    kinds = set(map(type, value))
    if any(issubclass(kind, np.ma.MaskedArray) for kind in kinds):
        return True
    return any(issubclass(kind, (list, tuple)) for kind in kinds) and any(map(_has_masks, value))


def require_distinct(name: str, exact: np.ndarray, kept: np.ndarray) -> None:
    """Refuse numbers that differ where they are `kept` as one float64: beyond 2**53 integers do.

    So do longdoubles; what is lost may be small beside how much its column varies.
    """
    if exact.dtype.itemsize < 8 or exact.dtype.newbyteorder("=") == kept.dtype:
        return
    with np.errstate(invalid="ignore"):  # of NaN, and of 2**63
        changed = kept.astype(exact.dtype) != exact
        if not (changed & (exact == exact)).any():
            return
        order = np.argsort(exact, axis=None)
        ordered = exact.ravel()[order]
        values, first = np.unique(kept.ravel()[order], return_index=True)
        least, most = ordered[first], ordered[np.append(first[1:], exact.size) - 1]
        rounding = np.spacing(np.abs(values)) / 64 if exact.dtype.kind == "f" else 0
        small = np.maximum(rounding, _LOST * _least_spread(exact, changed))
        lost = np.flatnonzero(most - least > small)
    if lost.size == 0:
        return
    difference = f"{name} - {name}[{'0, 0' if exact.ndim > 2 else '0'}]"
    if exact.dtype.kind == "u":
        difference = f'({difference}).astype("int64")'
    raise ValueError(
        f"{name} has {least[lost[0]]} and {most[lost[0]]}, which differ, but are one number in "
        f"float64: pass {difference}, and subtract the same number from all data of the model"
    )


def _least_spread(exact: np.ndarray, changed: np.ndarray) -> Any:
    """By how much the least varying column varies, of those in which a number was `changed`."""
    width = exact.shape[-1] if exact.ndim > 1 else 1
    columns, touched = exact.reshape(-1, width), changed.reshape(-1, width).any(axis=0)
    columns = columns[:, touched]
    return (np.nanmax(columns, axis=0) - np.nanmin(columns, axis=0)).min()


def _remedy(name: str, value: Any, array: np.ndarray) -> str:
    """What to pass instead of an array that holds no numbers."""
    there = [item for item in array.flat if item is not None]
    if there and all(isinstance(item, (str, bytes)) for item in there):
        if array.ndim == 0 and name[0] != "X":  # whose characters may be meant
            return f"; {shown(value)} is a name: pass the values that have it"
        if len(there) == array.size and _are_numbers(array):
            made = name if isinstance(value, np.ndarray) else f"np.asarray({name})"
            return f"; these texts are numbers: pass {made}.astype(float)"
        remedy = _REMEDY_OF_TEXT.get(name[:2], _REMEDY_OF_TEXT.get(name[0], ""))
        if len(there) < array.size:  # None is in no order
            remedy = remedy.replace(f"({name[0]},", f"(np.asarray({name[0]}, str),")
        return remedy
    if array.dtype != object:
        return ""
    if series := _remedy_of_series(name, value, array):
        return series
    others = [item for item in array.flat if not _is_number(item)]
    if others:
        return f"; it has {shown(others[0])} among its numbers: leave out what holds such"
    made = name if isinstance(value, np.ndarray) else f"np.asarray({name})"
    return f"; pass {made}.astype(float)" if array.size else ""


def _remedy_of_series(name: str, value: Any, array: Any) -> str:
    """What to pass instead of a collection that is no list; "" for anything else."""
    if name.partition("[")[0] not in _OF_SERIES:
        return ""
    kind = type(value).__name__
    # SciPy's sparse matrices and xarray's datasets may be mappings, too
    if isinstance(value, Mapping) and not (hasattr(value, "shape") or hasattr(value, "dims")):
        return f"; it is a {kind}: {_as_list(name, list(value.values()))}"
    if isinstance(value, (Iterator, ValuesView)):
        return f"; it is a {kind}: several series are a list of arrays, list({name})"
    if isinstance(array, np.ndarray) and array.ndim == 1 and any(map(np.ndim, array)):
        made = name if value is array else f"np.asarray({name}, object)"
        return f"; several series are a list of arrays: pass list({made})"
    return ""


def _as_list(name: str, parts: list[Any]) -> str:
    """What to pass instead of a mapping to these values."""
    plain = any(isinstance(part, (list, tuple)) for part in parts)  # nested, one array to NumPy
    every = f"{name}.values()"
    listed = f"[np.asarray(part) for part in {every}]" if plain else f"list({every})"
    columns = name == "X" and all(map(_is_flat, parts)) and len(set(map(len, parts))) == 1
    stacked = f", and columns of one series np.stack(list({every}), axis=1)"
    return f"several series are a list of arrays, {listed}{stacked * columns}"


def _is_flat(part: Any) -> bool:
    """Whether this is an array, or a list, with one axis."""
    if isinstance(part, (list, tuple)):
        return not any(hasattr(item, "__len__") for item in part)
    return getattr(part, "ndim", 0) == 1


def require_no_collection(name: str, value: Any) -> None:
    """Refuse a collection of series that is no list, where others than `array` would read it."""
    if remedy := _remedy_of_series(name, value, value):
        raise TypeError(f"{name} must hold real numbers, received {type(value).__name__}{remedy}")


def _are_numbers(texts: np.ndarray) -> bool:
    """Whether every text is a number; one of digits in all alike may be a name."""
    try:
        return bool(np.isfinite(texts.astype(float)).all()) and "." in "".join(map(str, texts.flat))
    except ValueError:
        return False


def _is_number(item: Any) -> bool:
    """Whether an object is a real number, as NumPy makes one of it; None becomes NaN."""
    if item is None:
        return True
    if isinstance(item, (str, bytes)) or np.ndim(item):
        return False
    try:
        float(item)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def shown(value: Any) -> str:
    """A value in an error, in one short line: of an array or a frame its type and shape."""
    size = getattr(value, "shape", None)
    if isinstance(size, tuple) and size:
        return f"{type(value).__name__} of shape {size}"
    text = " ".join(line.strip() for line in repr(value).splitlines())
    return text if len(text) <= _EXCERPT else f"{text[: _EXCERPT - 3]}..."


def kept_dtype(*values: np.ndarray) -> str:
    """The name of the dtype that keeps the precision of arrays, as `array` does without one."""
    narrow = all(value.dtype.kind == "f" and value.dtype.itemsize <= 4 for value in values)
    return "float32" if narrow else "float64"


def cast(value: np.ndarray, name: str, dtype: str | np.dtype, remedy: str) -> np.ndarray:
    """`value` in a dtype, itself where it has it; numbers that overflow are refused."""
    if value.dtype == dtype:
        return value
    with within_range(name, dtype, remedy):
        return value.astype(dtype)


@contextlib.contextmanager
def within_range(name: str, dtype: str | np.dtype, remedy: str) -> Iterator[None]:
    """Refuse numbers that overflow on their way to a dtype."""
    try:
        with np.errstate(over="raise"):
            yield
    except FloatingPointError:
        raise ValueError(f"{name} has values beyond the range of {dtype}; {remedy}") from None


def on_gpu(value: Any) -> bool:
    """Whether an array lies in a GPU's memory."""
    if type(value) is np.ndarray:
        return False
    if hasattr(value, "__cuda_array_interface__") or hasattr(value, "__cuda_ndarray__"):
        return True
    device = getattr(value, "__dlpack_device__", None)
    return device is not None and device()[0] in _CUDA


def require_finite(name: str, value: np.ndarray, nan: str = "remove or fill it first") -> float:
    """Refuse NaN and infinities, saying where the first one is, and what to do about a NaN.

    Returns a number that no magnitude is above.
    """
    if math.isfinite(most := bound(value)):
        return most
    bad = ~np.isfinite(value)
    if bad.any():
        where = tuple(int(index) for index in np.argwhere(bad)[0])
        ways = [f"NaN: {nan}"] * bool(np.isnan(value).any())
        ways += ["inf: replace it by a number"] * bool(np.isinf(value).any())
        error = ValueError(
            f"{name} has {int(bad.sum())} NaN or infinite value(s), the first at index {where}; "
            + "; ".join(ways)
        )
        vars(error)[PLACE] = name, where
        raise error
    return largest(value)


def bound(value: np.ndarray) -> float:
    """A number that no magnitude is above, by one cheap call where there are few numbers.

    NaN where there is one; infinite where there is an infinity, or where squares overflow.
    """
    if value.size <= FEW:
        return math.sqrt(float(np.vdot(value, value))) * _ROUNDED
    return largest(value)


def require_room(name: str, given: tuple[int, ...], *needed: tuple[int, ...]) -> None:
    """Refuse an array of a shape if no memory holds what has to be made of it, before it is read.

    `needed` are shapes, of numbers of 4 bytes at least. A view may have more elements than memory.
    """
    size = 4 * sum(map(math.prod, needed))
    if size < _FITS:
        return
    with contextlib.suppress(MemoryError, ValueError, OverflowError):
        np.empty(size, np.uint8)
        return
    raise MemoryError(
        f"{name} of shape {given} needs at least {size / 2**30:.3g} GiB, more memory than there "
        "is: pass fewer rows or steps at a time"
    )


def all_finite(value: np.ndarray) -> bool:
    """Whether no element is NaN or infinite."""
    return math.isfinite(bound(value)) or bool(np.isfinite(value).all())


def largest(value: np.ndarray) -> float:
    """The largest magnitude, 0 of an empty array; NaN where there is one."""
    return max(float(value.max(initial=0)), -float(value.min(initial=0)))


def shape(name: str, value: np.ndarray, expected: tuple[int | str, ...]) -> None:
    """Require a shape; letters in `expected` stand for any size, e.g. ("B", "T", 3)."""
    if value.shape == expected:
        return
    if value.ndim == len(expected):
        pairs = zip(expected, value.shape, strict=True)
        if not [want for want, have in pairs if want != have and type(want) is not str]:
            return
    wanted = "(" + ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "") + ")"
    message = f"{name} must have shape {wanted}, received {value.shape}"
    if expected[:2] == ("B", "T") and value.ndim == 3 and value.shape[1] == expected[2]:
        message += f"; if the features come second, pass {name}.transpose(0, 2, 1)"
    raise ValueError(message)


def flags(name: str, value: Any, expected: tuple[int, ...]) -> np.ndarray:
    """`value` as an array of bool of a shape; numbers are refused unless they are 0 and 1."""
    require_unmasked(name, value, "False")
    result = np.asarray(value)
    if result.dtype.kind not in "biuf" or result.shape != expected:
        received = f"shape {result.shape}"
        if result.dtype.kind not in "biuf":
            received = f"dtype {result.dtype} and {received}"
        raise ValueError(f"{name} must hold True or False in shape {expected}, received {received}")
    if result.dtype.kind != "b" and not np.isin(result, (0, 1)).all():
        raise ValueError(f"{name} must hold True or False, received other numbers")
    return result.astype(bool)


def lengths(value: Any, batch: int, steps: int) -> np.ndarray | None:
    """Length of every row as int64, shape (B,), each between 0 and T."""
    if value is None:
        return None
    require_unmasked("lengths", value, "0")
    result = np.asarray(value)
    if result.dtype.kind not in "iu" or result.shape != (batch,):
        raise ValueError(
            f"lengths must be integers of shape ({batch},), one per row of X, "
            f"received dtype {result.dtype} and shape {result.shape}"
        )
    if result.size and (result.min() < 0 or result.max() > steps):
        raise ValueError(
            f"lengths must lie between 0 and T = {steps}, "
            f"received {int(result.min())} to {int(result.max())}"
        )
    return result.astype(np.int64)

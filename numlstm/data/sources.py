"""Series as they are, read in slices: in memory, or anywhere that has shape, dtype and slicing.

Such are `numpy.memmap`, the arrays of h5py, zarr and dask, and the variables of xarray. No more of
them is read than is asked for, and nothing that was read is kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from numlstm.utils import checks
from numlstm.utils.lazy import cached_property
from numlstm.utils.sliced import unmasked
from numlstm.utils.types import Array

_LABELS = ("index", "iloc"), ("coords", "dims")  # what pandas' and xarray's data have
_AT_ONCE = 2**21  # elements of a slice where the whole is read


def is_lazy(value: Any) -> bool:
    """Whether an array is read slice by slice: its values need not be in memory."""
    if isinstance(value, np.memmap):
        return True
    if isinstance(value, (np.ndarray, np.generic, list, tuple)) or not _is_array(value):
        return False
    try:
        np.dtype(value.dtype)
    except TypeError:  # of another library, whose arrays NumPy converts
        return False
    return not checks.on_gpu(value)


def _is_array(value: Any) -> bool:
    """Whether it has shape, dtype and slicing, and no labels of its own."""
    has = all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__"))
    labels = any(all(map(partial(hasattr, value), names)) for names in _LABELS)
    return has and not labels


def has_lazy(value: Any) -> bool:
    """Whether an array, or one of a list of them, is read slice by slice."""
    return any(map(is_lazy, value)) if isinstance(value, (list, tuple)) else is_lazy(value)


@dataclass(frozen=True, eq=False)
class Source:
    """One series (T, N) of numbers, read in slices of its steps.

    Attributes
    ----------
    name : str
        What the caller calls it.
    array : array_like
        (T,) or (T, N); or (S, T) or (S, T, N), of which it is the series `row`.
    steps, width : int
        T and N.
    dtype : str
        Of what is read: the precision of the array, "float32" or "float64".
    row : int or None
        Its place among the series of an array.
    shift : int
        The step of the array that is the first one.
    """

    name: str
    array: Any
    steps: int
    width: int
    dtype: str
    row: int | None = None
    shift: int = 0

    def read(self, start: int, stop: int) -> Array:
        """The steps from `start` to before `stop`, (n, N)."""
        part = slice(start + self.shift, stop + self.shift)
        values: Any = self.array[part] if self.row is None else self.array[self.row, part]
        values = unmasked(values)
        if type(values) is not np.ndarray or values.dtype != self.dtype:
            values = checks.array(self.name, values, None, finite=False)
            values = values.astype(self.dtype, copy=False)
        steps: Array = values.reshape(len(values), self.width)
        return steps

    def slices(self, block: int, steps: int | None = None) -> Iterator[tuple[int, int]]:
        """(start, stop) of slices that are read at once; `block` steps or a multiple."""
        steps = self.steps if steps is None else steps
        size = block * max(1, _AT_ONCE // (block * self.width))
        return ((at, min(at + size, steps)) for at in range(0, steps, size))

    @property
    def parts(self) -> list["Source"]:
        """What it is read from."""
        return [self]

    @property
    def base(self) -> Array | None:
        """Its values (T, N), where they lie in memory as they are read, step by step."""
        array = self.array
        if type(array) is not np.ndarray or array.dtype != self.dtype:
            return None
        series: Array = array if self.row is None else array[self.row]
        if not (series.flags.c_contiguous and series.flags.aligned):
            return None
        return series[self.shift : self.shift + self.steps].reshape(self.steps, self.width)


@dataclass(frozen=True, eq=False)
class Series:
    """Series of the same width, read in slices.

    Attributes
    ----------
    sources : list of Source
        One of each series.
    kind : str
        The form in which they were given: "batch" (S, T, N), "series", or "list".
    """

    sources: list[Source]
    kind: str

    @property
    def width(self) -> int:
        """Number of features, or of targets."""
        return self.sources[0].width

    @property
    def dtype(self) -> str:
        """The precision that holds all of them."""
        return precision_of(*self.sources)

    @property
    def steps(self) -> Array:
        """Number of steps of each, (S,)."""
        return np.array([source.steps for source in self.sources], np.int64)

    @cached_property
    def addresses(self) -> Array | None:
        """Where each begins, (S,), if all lie in memory as they are read, and are of one type."""
        bases = [source.base for source in self.sources]
        if any(base is None or base.dtype != self.dtype for base in bases):
            return None
        return np.array([base.ctypes.data for base in bases if base is not None], np.int64)

    def places_of(self, series: Array, begins: Array) -> Array:
        """Addresses of steps (B,) of series (B,)."""
        assert self.addresses is not None
        places: Array = self.addresses[series] + np.dtype(self.dtype).itemsize * self.width * begins
        return places

    def before(self, count: int) -> "Series":
        """Without the last steps of each."""
        return Series([_moved(source, 0, count) for source in self.sources], self.kind)

    def ahead(self, count: int) -> "Series":
        """What comes so many steps later, at all steps of `before`."""
        return Series([_moved(source, count, count) for source in self.sources], self.kind)

    def gather(self, series: Array, begins: Array, steps: int, kernels: Any = None) -> Array:
        """Windows (B, steps, N) of series (B,), from the steps `begins` (B,) on.

        `kernels` are those of a backend that reads what lies in memory, where it has some.
        """
        result = np.empty((len(series), steps, self.width), self.dtype)
        if kernels is not None and self.addresses is not None:
            places = self.places_of(series, begins)
            kernels.standardised(places, self.dtype, *as_it_is(self.width), result)
            return result
        for rows, source, start, stop in self._reads(series, begins, steps):
            values = source.read(start, stop)
            for row in rows:
                first = begins[row] - start
                result[row] = values[first : first + steps]
        return result

    def _reads(self, series: Array, begins: Array, steps: int) -> Iterator["_Read"]:
        """What is read for some windows; those that overlap in a series are read together."""
        order = np.lexsort((begins, series))
        places = zip(order.tolist(), series[order].tolist(), begins[order].tolist(), strict=True)
        pending: _Read | None = None
        for row, number, start in places:
            source = self.sources[number]
            if pending is not None and pending.source is source and start <= pending.stop:
                pending.rows.append(row)
                pending = pending._replace(stop=start + steps)
                continue
            if pending is not None:
                yield pending
            pending = _Read([row], source, start, start + steps)
        if pending is not None:
            yield pending


def precision_of(*sources: Source) -> str:
    """The precision that holds all of them."""
    return "float32" if {source.dtype for source in sources} == {"float32"} else "float64"


def as_it_is(width: int) -> tuple[Array, Array]:
    """Mean and scale of features that stay as they are."""
    return np.zeros(width), np.ones(width)


class _Read(NamedTuple):
    rows: list[int]  # of the windows that it serves
    source: Source
    start: int
    stop: int


def _moved(source: Source, shift: int, fewer: int) -> Source:
    steps = max(0, source.steps - fewer)
    return replace(source, shift=source.shift + shift, steps=steps)


def read_series(name: str, value: Any, lengths: Any = None) -> Series:
    """Series in any accepted form: (T,), (T, N), a list of them, or (S, T, N) with lengths.

    What is in memory becomes a plain array of float32 or float64; else nothing is read.
    """
    if _is_list(value):
        if lengths is not None:
            raise ValueError(f"lengths= goes with an {name} of shape (S, T, I); a list has its own")
        parts = [_array(f"{name}[{i}]", part) for i, part in enumerate(value)]
        sources = [_source(f"{name}[{i}]", part) for i, part in enumerate(parts)]
        if len(widths := {source.width for source in sources}) > 1:
            raise ValueError(
                f"every series of {name} needs the same number of features, received {widths}"
            )
        return Series(sources, "list")
    array = _array(name, value)
    if len(array.shape) != 3:
        if lengths is not None:
            raise ValueError(f"lengths= goes with an {name} of shape (S, T, I)")
        return Series([_source(name, array)], "series")
    count, steps, width = map(int, array.shape)
    own = checks.lengths(lengths, count, steps)
    each = [steps] * count if own is None else own.tolist()
    dtype = _kept(array)
    rows = (Source(name, array, length, width, dtype, row) for row, length in enumerate(each))
    return Series(list(rows), "batch")


def read_targets(y: Any, like: Series) -> Series:
    """Targets of every step: (T,) or (T, O), a list of them, or (S, T) or (S, T, O)."""
    if like.kind == "list" and _has_a_row_for_each(y, like.steps.tolist()):
        array = _array("y", y)
        count, steps = array.shape
        numbers = range(count)
        return Series([Source("y", array, steps, 1, _kept(array), row) for row in numbers], "list")
    if like.kind != "batch":
        listed = like.kind == "list" and isinstance(y, (list, tuple))
        parts = (
            [part if hasattr(part, "shape") else np.asarray(part) for part in y] if listed else y
        )
        found = read_series("y", parts)
    else:
        array = _array("y", y)
        count, steps = like.sources[0].array.shape[:2]
        _require_steps(tuple(array.shape[:2]) == (count, steps), array.shape, (count, steps))
        width, dtype = int(np.prod(array.shape[2:], dtype=np.int64)), _kept(array)
        rows = enumerate(like.steps.tolist())
        sources = [Source("y", array, length, width, dtype, row) for row, length in rows]
        return Series(sources, "batch")
    wanted, given = like.steps.tolist(), found.steps.tolist()
    _require_steps(wanted == given, _short(given), _short(wanted))
    return found


def _has_a_row_for_each(y: Any, steps: list[int]) -> bool:
    """Whether this is an array (S, T) for series that all have so many steps."""
    shape = tuple(getattr(y, "shape", ()))
    return len(shape) == 2 and shape[0] == len(steps) and set(steps) == {shape[1]}


def _require_steps(holds: bool, received: Any, wanted: Any) -> None:
    if not holds:
        raise ValueError(
            f"with window= y has a target for every step of X, {wanted} step(s); received "
            f"{received}. A window's target is that of its last step: give one to every step, NaN "
            "with nan_policy='omit' where there is none"
        )


def _short(counts: list[int]) -> Any:
    return counts[0] if len(counts) == 1 else counts[:5]


def _is_list(value: Any) -> bool:
    """Whether it is a list of series, not nested lists that stand for one array."""
    if not isinstance(value, (list, tuple)):
        return False
    return any(len(getattr(part, "shape", ())) > 0 for part in value)


def _array(name: str, value: Any) -> Any:
    """A plain array of floats where the values are in memory, else what is read in slices."""
    if isinstance(value, np.memmap) and value.dtype in map(np.dtype, checks.DTYPES):
        value = value.view(np.ndarray)
    elif not is_lazy(value):
        value = checks.array(name, value, None, finite=False)
    if any(size != size for size in value.shape):  # NaN of dask
        raise ValueError(
            f"{name} has chunks of unknown sizes, received shape {tuple(value.shape)}: pass "
            f"{name}.compute_chunk_sizes()"
        )
    if not 1 <= len(value.shape) <= 3 or (len(value.shape) == 3 and "[" in name):
        raise ValueError(
            f"{name} must have shape (T,) or (T, I), or (S, T, I) for several series; received "
            f"shape {tuple(value.shape)}"
        )
    if 0 in value.shape:
        raise ValueError(f"{name} has no data: received shape {tuple(value.shape)}")
    return value


def _source(name: str, array: Any) -> Source:
    steps, *width = map(int, array.shape)
    return Source(name, array, steps, width[0] if width else 1, _kept(array))


def _kept(array: Any) -> str:
    """The precision of an array of numbers; others are refused."""
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "fiub":
        raise TypeError(f"windows are read of real numbers, received dtype {dtype}")
    return "float32" if dtype.kind == "f" and dtype.itemsize <= 4 else "float64"

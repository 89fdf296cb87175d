"""Integers that are tokens: refused as numbers where targets are classes, with what to write."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.data import labels
from numlstm.data.labels import Frame, Grid, Labelled, Panel, Several
from numlstm.data.sequences import is_list
from numlstm.utils.types import Array

_MOST = 10_000  # tokens that stand for themselves: of larger numbers, most are not in use


class _Code(NamedTuple):
    """How the caller's data are written otherwise.

    Attributes
    ----------
    tokens : str
        The integers, without an axis for their one feature.
    numbers : str
        The data as they are, but not of integers.
    onehot : str
        What has the labels of the data, and {} in it.
    each : bool
        Whether all of this is that of one series of a list.
    """

    tokens: str
    numbers: str
    onehot: str = "{}"
    each: bool = False


def require_no_tokens(given: Labelled) -> None:
    """Refuse integers from 0 on as the one feature of inputs whose targets are classes."""
    parts = _parts(given)
    if (found := kinds(parts)).size:
        gap = int(found[-1]) + 1 if _has_gaps(given) else None
        onehot, numbers = _written(found, _code(given, "X", gap), gap)
        raise ValueError(_doubt(found, onehot, numbers))


def in_rows(X: Any, rows: Array) -> str:
    """What speaks against `rows` (N, W, ...) of X, of which each is a sequence, as numbers."""
    given = labels.read("X", X)
    there = rows[~np.isnan(rows)].astype(np.int64) if _is_whole(given) else rows
    found = kinds([there])
    return _doubt(found, *ways_out(X, found, missing=there.size < rows.size)) if found.size else ""


def ways_out(X: Any, found: Array, *, missing: bool = False) -> tuple[str, str]:
    """Code for X, whose rows are sequences of the tokens found: one-hot, and as numbers."""
    gap = int(found[-1]) + 1 if missing else None
    plain = isinstance(X, np.ndarray) or hasattr(X, "iloc") or hasattr(X, "dims")
    numbers = "X.astype(float)" if plain else "np.asarray(X).astype(float)"
    tokens = "X" if isinstance(X, np.ndarray) and X.dtype.kind != "O" else "np.asarray(X, int)"
    if hasattr(X, "dims"):
        tokens = _code_of_grid(labels.read("X", X), "X").tokens
    return _written(found, _Code(_filled(tokens, numbers, gap), numbers), gap)


def kinds(parts: list[Array]) -> Array:
    """The integers that arrays hold if they may be tokens, from 0 on, else none.

    Two of them are a code of their own; of more, the network would read sizes and distances.
    """
    if not parts or any(part.dtype.kind not in "iu" or part.size == 0 for part in parts):
        return np.empty(0, np.int64)
    values = np.unique(np.concatenate([np.unique(part) for part in parts]))
    return values if len(values) > 2 and values[0] >= 0 else np.empty(0, np.int64)


def _doubt(found: Array, onehot: str, numbers: str) -> str:
    return (
        f"X has one feature of integers, {found[0]} to {found[-1]}, and the targets are classes: "
        f"as numbers, token 7 would be seven times token 1. Pass tokens one-hot, {onehot}; where "
        f"they are counts or measurements, pass {numbers}"
    )


def _written(found: Array, code: _Code, gap: int | None) -> tuple[str, str]:
    """What to write: tokens one-hot, numbered before where they are large, and numbers."""
    count, numbers = int(found[-1]) + 1 + (gap is not None), code.numbers
    first, place = "", code.tokens
    if count > _MOST:
        count = len(found) + (gap is not None)
        first, place = f"tokens = np.unique({code.tokens}, return_inverse=True)[1]", "tokens"
        if code.each:
            first = f"names = np.unique(np.concatenate([{code.tokens} for series in X]))"
            place = f"np.searchsorted(names, {code.tokens})"
        first = f"but number them first, {first}: "
    onehot = code.onehot.format(f"np.eye({count})[{place}]")
    if code.each:
        onehot, numbers = (f"[{part} for series in X]" for part in (onehot, numbers))
    return f"{first}X={onehot}", numbers


def _parts(given: Labelled) -> list[Array]:
    """The values of one feature in their own types, array by array; none where there are more."""
    if isinstance(given, Several):
        each = [_parts(item) for item in given.items]
        return [part for parts in each for part in parts] if all(each) else []
    if isinstance(given, Frame):
        return [] if given.integers is None else [given.integers]
    parts = [np.asarray(part) for part in _series(given.stepwise)]
    wide = any(part.ndim == 0 or (part.ndim > 1 and part.shape[-1] != 1) for part in parts)
    return [] if wide else parts


def _series(values: Any) -> list[Any]:
    return list(values) if is_list(values) else [values]


def _is_whole(given: Labelled) -> bool:
    """Whether all values are integers, be they in columns with missing ones, or objects."""
    if isinstance(given, Several):
        return all(map(_is_whole, given.items))
    if isinstance(given, Frame):
        return given.is_whole
    objects = isinstance(given.values, np.ndarray) and given.values.dtype.kind == "O"
    return objects and all(isinstance(value, (int, np.integer)) for value in given.values.flat)


def _has_gaps(given: Labelled) -> bool:
    if isinstance(given, Several):
        return any(map(_has_gaps, given.items))
    return isinstance(given, Frame) and bool(np.isnan(given.values).any())


def _code(given: Labelled, name: str, gap: int | None) -> _Code:
    """How data of one feature, so called, are written; missing tokens get the number `gap`."""
    if isinstance(given, Panel):
        return _code_of_frame(given.items[0], name, gap)
    if isinstance(given, Frame):
        return _code_of_frame(given, name, gap)
    if isinstance(given, Grid):
        return _code_of_grid(given, name)
    if isinstance(given, Several):
        return _code_of_list(given.items, gap)
    if is_list(given.values):
        return _code_of_list([Labelled(given.name, part) for part in given.values], gap)
    array = name if isinstance(given.values, np.ndarray) else f"np.asarray({name})"
    tokens = f"{array}[..., 0]" if np.ndim(given.values) > 1 else name
    return _Code(tokens, f"{array}.astype(float)")


def _code_of_frame(frame: Any, name: str, gap: int | None) -> _Code:
    column = name if frame.is_column else f"{name}[{frame.only!r}]"
    numbers = f"np.asarray({column}).astype(float)"
    tokens = _filled(f"np.asarray({column}, int)", numbers, gap)
    if frame.index is None:
        return _Code(tokens, numbers)
    types = "float" if frame.time is None else f"{{{frame.only!r}: float}}"
    return _Code(tokens, f"{name}.astype({types})", f"pandas.DataFrame({{}}, index={name}.index)")


def _code_of_grid(grid: Any, name: str) -> _Code:
    read, shown = tuple(grid.dims.values()), tuple(grid.array.dims)
    turned = "" if read == shown else f".transpose({', '.join(map(repr, read))})"
    tokens = f"{name}{turned}.values" + "[..., 0]" * ("I" in grid.dims)
    return _Code(tokens, f"{name}.astype(float)")


def _code_of_list(items: list[Labelled], gap: int | None) -> _Code:
    """The code of every series, which is one for all: what is of several kinds becomes arrays."""
    codes = {_code(item, "series", gap) for item in items}
    if len(codes) == 1:
        return codes.pop()._replace(each=True)
    numbers = "np.asarray(series).astype(float)"
    tokens = _filled("np.asarray(series, int)", numbers, gap)
    return _Code(f"{tokens}.ravel()", numbers, each=True)


def _filled(tokens: str, numbers: str, gap: int | None) -> str:
    return tokens if gap is None else f"np.nan_to_num({numbers}, nan={gap}).astype(int)"

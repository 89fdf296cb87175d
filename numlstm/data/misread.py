"""What was read and may not have been meant: refused where that is sure, else said."""

from typing import Any

import numpy as np

from numlstm.data.sequences import Dataset, is_list
from numlstm.utils import notices
from numlstm.utils.types import Array

_MOST = 2**18  # values that are looked at
_WIDEST = 512  # of an axis
_FEWEST = 8  # rows that say anything
_GRAM = 16  # values by which a piece of a window is known again

_FEATURES_FIRST = "it looks as where features come before time, (sequences, features, steps): if so"


def require_no_tokens(X: Any) -> None:
    """Refuse integers from 0 on as the one feature of inputs whose targets are classes."""
    if doubt := as_tokens(X):
        raise ValueError(doubt)


def as_tokens(X: Any, array: str | None = None) -> str:
    """What speaks against reading X, which the caller has as `array`, as numbers."""
    parts = [np.asarray(part) for part in (X if is_list(X) else [X])]
    if any(part.ndim == 0 or (part.ndim > 1 and part.shape[-1] != 1) for part in parts):
        return ""
    values = _kinds(parts)
    if not len(values):
        return ""
    array = array or ("X[..., 0]" if parts[0].ndim > 1 else "X")
    onehot, numbers = f"np.eye({values[-1] + 1})[{array}]", "X.astype(float)"
    if is_list(X):
        onehot, numbers = (
            "[" + code.replace("X", "series") + " for series in X]" for code in (onehot, numbers)
        )
    return (
        f"X has one feature of integers, {values[0]} to {values[-1]}, and the targets are classes: "
        "as numbers, token 7 would be seven times token 1. Pass tokens one-hot, "
        f"X={onehot}; where they are counts or measurements, pass {numbers}"
    )


def _kinds(parts: list[Array]) -> Array:
    """The integers that arrays hold if they may be tokens, from 0 on, else none.

    Two of them are a code of their own; of more, the network would read sizes and distances.
    """
    if any(part.dtype.kind not in "iu" or part.size == 0 for part in parts):
        return np.empty(0)
    values = np.unique(np.concatenate([np.unique(part) for part in parts]))
    return values if len(values) > 2 and values[0] >= 0 else np.empty(0)


def _columns_of_tokens(X: Any) -> str:
    """Rows (N, W) of integers that are alike in all columns: sequences of tokens, as Keras' are."""
    rows = np.asarray(X)
    if rows.ndim != 2 or rows.shape[1] < 3 or len(rows) < _FEWEST or not len(_kinds([rows])):
        return ""
    if rows.mean(axis=0).std() > 0.5 * rows.std():
        return ""
    return (
        "its columns hold integers that are alike, as where every row is a sequence of tokens: if "
        f"so, pass them one-hot, np.eye({rows.max() + 1})[X]; if they are numbers, X.astype(float)"
    )


def warn_of_misreading(data: Dataset, X: Any, words: str, *, pieces: bool, classes: bool) -> None:
    """Say it where the data look as they do when something else was meant.

    `X` is what the caller has, and `data` how it was read, in `words`: as rows that are `pieces` of
    one series, or as sequences, with numbers or `classes` as targets.
    """
    if hasattr(X, "dims"):
        return  # its dimensions have names
    plain = isinstance(X, (np.ndarray, list, tuple))
    given = f"X of shape {X.shape}" if isinstance(X, np.ndarray) else f"X, a {type(X).__name__},"
    axes = np.ndim(X) if plain and not is_list(X) else len(getattr(X, "shape", (0, 0)))
    find = _looks_flat if axes < 3 else _looks_deep
    doubt = find(data, "X" if plain else "np.asarray(X)", pieces, classes)
    if plain and classes and find is _looks_flat and not is_list(X):
        doubt = doubt or _columns_of_tokens(X)
    if doubt:
        notices.warn(f"{given} is read as {words}; but {doubt}")


def _looks_flat(data: Dataset, array: str, pieces: bool, classes: bool) -> str:
    """What a series (T, I), or a list of them, looks like otherwise."""
    longest = 0 if data.lengths is None else int(np.argmax(data.lengths))
    if _overlap(data.X[longest]):
        return (
            "its rows are shifted copies of each other, as windows over a series are: if every row "
            f"is a sequence of its own, pass {array}[..., None]; if lagged values are meant as "
            f"features, {array}[None] with y.reshape(1, -1, 1) says so"
        )
    if len(data.X) == 1 and classes and _series_in_rows(data.X[0]):
        return (
            "it varies smoothly along each row and not from row to row, as where every row is a "
            f"sequence: if so, pass {array}[..., None]; {array}[None] with y[None] says that rows "
            "are steps"
        )
    if len(data.X) > 1 and _time_last(data.X):
        return f"{_FEATURES_FIRST}, pass [series.T for series in X]"
    return ""


def _looks_deep(data: Dataset, array: str, pieces: bool, classes: bool) -> str:
    """What a batch (B, T, I) looks like otherwise."""
    if pieces and _overlap(data.X.reshape(len(data.X), -1)):
        return (
            "its rows are shifted copies of each other, as overlapping windows are: if every row "
            "is a sequence of its own, leave stateful out, else pass the series itself"
        )
    if not pieces and _time_last(data.X):
        return f"{_FEATURES_FIRST}, pass {array}.transpose(0, 2, 1)"
    return ""


def _overlap(rows: Array) -> bool:
    """Whether the beginnings of rows (N, W) stand in other rows too, farther behind.

    As they do not once the columns are in another order, which tells windows from features of few
    values.
    """
    if rows.shape[1] < 3:
        return False
    rows = rows[: max(_FEWEST, _MOST // rows.shape[1]), :_WIDEST]
    width = min(_GRAM, rows.shape[1] - rows.shape[1] // 2)
    begins = np.sort(rows[:, :width], axis=1)
    rows = rows[1 + (np.diff(begins, axis=1) != 0).sum(axis=1) >= min(3, width)]
    if len(rows) < _FEWEST:
        return False
    order = np.random.default_rng(0).permutation(rows.shape[1])
    found = _known_again(rows, width)
    return found > 0.3 and _known_again(rows[:, order], width) < found / 2


def _known_again(rows: Array, width: int) -> float:
    """The share of rows (N, W) whose first `width` values stand elsewhere in another row."""
    bits = (rows + 0.0).view(f"u{rows.itemsize}")
    odd = 2 * np.random.default_rng(1).integers(0, 2**31, width, dtype=bits.dtype) + 1
    keys = np.lib.stride_tricks.sliding_window_view(bits, width, axis=1) @ odd  # a hash
    keys = keys[(keys[:, 1:] != keys[:, :1]).all(axis=1)]
    return float(np.isin(keys[:, 0], keys[:, 1:]).mean()) if len(keys) else 0.0


def _series_in_rows(rows: Array) -> bool:
    """Whether rows (N, W) are smooth, and stand in no order."""
    values = _standardised(rows[:, None])
    if len(values) < 2 * _FEWEST or values.shape[2] < _FEWEST:
        return False
    return _roughness(values, 2) < 0.3 and _roughness(values, 0) > 0.5


def _time_last(X: Array) -> bool:
    """Whether the last axis of (B, T, I) behaves as time does, and the second as features do."""
    rows, steps, features = X.shape
    if rows < _FEWEST or features < max(_FEWEST, steps + 1):
        return False
    if steps == 1:
        return True  # there is nothing to be remembered
    values = _standardised(X)
    if len(values) < _FEWEST or _roughness(values, 1) < 0.8:
        return False
    smooth = _roughness(values, 2)
    return (smooth < 0.9 and _differ_as_features(X)) or (smooth < 0.2 and features >= 3 * steps)


def _standardised(X: Array) -> Array:
    """Some of the rows of (B, T, I), without gaps, by what they have at the same place."""
    values = _some(X)
    spread = values.std(axis=0)
    standardised: Array = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return standardised


def _some(X: Array) -> Array:
    """Some of the rows of (B, T, I), without gaps; float64, at most 1 in size."""
    values = X[:, :_WIDEST, :_WIDEST]
    values = values[: max(2 * _FEWEST, _MOST // values[0].size)].astype(np.float64)
    values = values[~np.isnan(values).any(axis=(1, 2))]
    scaled: Array = values / (np.abs(values).max(initial=0) or 1)
    return scaled


def _roughness(values: Array, axis: int) -> float:
    """Half the mean squared difference of neighbours, by the variance along the axis.

    It is 1 where the order means nothing, and near 0 where the values change slowly: von Neumann
    (1941), "Distribution of the ratio of the mean square successive difference to the variance".
    """
    variance = np.var(values, axis=axis, ddof=1).mean()
    return float(np.square(np.diff(values, axis=axis)).mean() / 2 / variance) if variance else 1.0


def _differ_as_features(X: Array) -> bool:
    """Whether level or spread differ between the steps of (B, T, I), and more than between I."""
    values = _some(X)
    level, spread = values.mean(axis=0), values.std(axis=0)
    if not spread.any():
        return False
    parts = level / spread.mean(), np.log(np.maximum(spread, 1e-9 * spread.max()))
    steps, features = (max(part.mean(axis=axis).std() for part in parts) for axis in (1, 0))
    return bool(steps > max(0.1, features))

"""What was read and may not have been meant: refused where that is sure, else said."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.data.sequences import Dataset, is_list
from numlstm.data.tokens import kinds, ways_out
from numlstm.utils import notices
from numlstm.utils.types import Array

_MOST = 2**16  # values that are looked at
_WIDEST = 512  # of an axis
_FEWEST = 8  # rows that say anything
_STRIDES = 64  # steps from one window to the next

_FEATURES_FIRST = (
    "it looks as where features come before time, (sequences, features, steps): if so, pass "
)


class Given(NamedTuple):
    """The inputs as the caller has them, beside the dataset that was read from them."""

    X: Any
    forecast: bool  # without targets of their own
    classes: bool  # with classes as targets
    pieces: bool  # as consecutive pieces of one series
    said: bool  # of the targets, how many a sequence has

    @property
    def is_flat(self) -> bool:
        """Whether it is one series (T, I), or a list of them, by its axes."""
        if is_list(self.X):
            return True
        if isinstance(self.X, (list, tuple)):
            return np.ndim(self.X) < 3
        return len(getattr(self.X, "shape", (0, 0))) < 3

    @property
    def array(self) -> str:
        """It as an array, in code."""
        return "X" if isinstance(self.X, np.ndarray) else "np.asarray(X)"

    @property
    def words(self) -> str:
        """It in words."""
        if isinstance(self.X, np.ndarray):
            return f"X of shape {self.X.shape}"
        return f"X, a {type(self.X).__name__},"


def warn_of_misreading(data: Dataset, given: Given, words: str) -> None:
    """Say it where data, which were read as `words` say, look as if something else was meant."""
    if hasattr(given.X, "dims"):
        return  # its dimensions have names
    if given.pieces:
        doubt = _of_pieces(data)
    else:
        doubt = _of_series(data, given) if given.is_flat else _of_batch(data, given)
    if doubt:
        notices.warn(f"{given.words} is read as {words}; but {doubt}")


def _of_pieces(data: Dataset) -> str:
    rows, _, features = data.X.shape
    if not _in_order(_looked_at(data.X.reshape(rows, -1)), features) or _is_periodic(data.X):
        return ""
    return (
        "its rows are shifted copies of each other, as overlapping windows are: if every row is a "
        "sequence of its own, leave stateful out, else pass the series itself"
    )


def _of_batch(data: Dataset, given: Given) -> str:
    if _time_last(data, given):
        return _FEATURES_FIRST + f"{given.array}.transpose(0, 2, 1)"
    return _one_step_off(data, given)


def _one_step_off(data: Dataset, given: Given) -> str:
    """Targets (B, T - 1) or (B, T + 1): perhaps one per step, off by one."""
    if given.said or given.classes:
        return ""
    steps, outputs = data.X.shape[1], data.y.shape[-1]
    several = data.last and data.y.ndim == 2 and data.lengths is None and steps >= _FEWEST
    if not (several and abs(steps - outputs) == 1):
        return ""
    return (
        f"y has {outputs} numbers for {steps} steps: if they are targets of steps, pass one for "
        f"every step, (B, {steps}, 1); if every sequence has {outputs} targets, pass output='last'"
    )


def _of_series(data: Dataset, given: Given) -> str:
    """What a series (T, I), or a list of them, looks like otherwise."""
    if doubt := _several_in_a_frame(given.X):
        return doubt
    longest = 0 if data.lengths is None else int(np.argmax(data.lengths))
    rows = _looked_at(data.X[longest])
    single, array = len(data.X) == 1, given.array
    if _in_order(rows) or _in_any_order(rows):
        rows_as_sequences = f"{array}[..., None]"
        if is_list(given.X):
            rows_as_sequences = "np.concatenate(X)[..., None] with np.concatenate(y)"
        doubt = (
            "its rows are shifted copies of each other, as windows over a series are: pass the "
            f"series itself with window={rows.shape[1]}, or {rows_as_sequences} if every row is a "
            "sequence of its own"
        )
        return (
            doubt + f"; if lagged values are meant as features, {_as_steps(data, given)}" * single
        )
    if single and given.classes and _smooth_rows(data.X[0]):
        return (
            "it varies smoothly along each row and not from row to row, as where every row is a "
            f"sequence: if so, pass {array}[..., None]; if rows are steps, {_as_steps(data, given)}"
        )
    if single and given.classes and not is_list(given.X):
        return _columns_of_tokens(given.X)
    if not single and _time_last(data, given):
        return _FEATURES_FIRST + "[series.T for series in X]"
    return "" if single else _one_step_off(data, given)


def _several_in_a_frame(X: Any) -> str:
    """A frame whose rows are labelled by a few texts that repeat: names of series."""
    index: Any = getattr(X, "index", None)
    if not hasattr(index, "nunique") or getattr(index, "inferred_type", "") != "string":
        return ""
    if 2 * index.nunique() > len(index):
        return ""
    return (
        f"its index has {index.nunique()} labels, which repeat, as where a frame holds several "
        "series: if so, let it have levels of series and of time, "
        f"set_index([{index.name!r}, TIME]) with the name of the column of times"
    )


def _columns_of_tokens(X: Any) -> str:
    """Rows (N, W) of integers that are alike in all columns: sequences of tokens, as Keras' are."""
    rows = np.asarray(X)
    if rows.ndim != 2 or rows.shape[1] < 3 or len(rows) < _FEWEST:
        return ""
    found = kinds([rows])
    if not found.size or rows.mean(axis=0).std() > 0.5 * rows.std():
        return ""
    onehot, numbers = ways_out(X, found)
    return (
        "its columns hold integers that are alike, as where every row is a sequence of tokens: if "
        f"so, pass them one-hot, {onehot}; if they are numbers, {numbers}"
    )


def _as_steps(data: Dataset, given: Given) -> str:
    """How to say that the rows of X are the steps of one series."""
    if given.forecast:
        return f"{given.array}[None] says so"
    several = given.classes or data.y.shape[-1] > 1
    targets = "y[None]" if several else "y.reshape(1, -1, 1)"
    return f"{given.array}[None] with {targets} says so"


def _looked_at(rows: Array) -> Array:
    """Some of the rows (N, W); -0 is 0, and a NaN the same as another."""
    rows = rows[: max(_FEWEST, _MOST // rows.shape[1]), :_WIDEST] + 0.0
    return np.nan_to_num(rows, nan=1e30)


def _in_order(rows: Array, least: int = 1) -> bool:
    """Whether rows (N, W) go on where the one before, or behind, began, by `least` steps or more.

    Most columns then hold what another column of that row has. Those of two values do so by
    chance, as months do that are one-hot; nor do places count that hold the same in any case.
    """
    count, width = rows.shape
    if width < 3 or count < _FEWEST:
        return False
    told = np.array([len(np.unique(column)) > 2 for column in rows.T])
    for stride in range(least, min(width - 1, _STRIDES + 1)):
        both = told[stride:] & told[:-stride]
        for old, new in ((rows[:-1], rows[1:]), (rows[1:], rows[:-1])):
            counted = old[:, :-stride] != old[:, stride:]
            same = (new[:, :-stride] == old[:, stride:]) & counted
            found = both & (same.sum(axis=0) > 0.9 * counted.sum(axis=0))
            found &= counted.sum(axis=0) >= _FEWEST // 2
            if found.sum() >= max(2, both.size / 2):
                return True
    return False


def _in_any_order(rows: Array) -> bool:
    """Whether rows (N, W) are windows in any order: whether many go on where others began."""
    rows = np.unique(rows, axis=0)
    rows = rows[(np.diff(np.sort(rows, axis=1), axis=1) != 0).sum(axis=1) >= 2]  # three values
    count, width = rows.shape
    if width < 3 or count < _FEWEST:
        return False
    ranks = np.unique(rows, return_inverse=True)[1].reshape(rows.shape).astype(np.uint64)
    odd: Any = 2 * np.random.default_rng(0).integers(0, 2**63, width, dtype=np.uint64) + 1
    found = np.zeros(count, bool)
    for stride in range(1, min(width // 2, _STRIDES) + 1):
        begins = ranks[:, :-stride] @ odd[:-stride]
        ends = ranks[:, stride:] @ odd[:-stride]
        if len(np.unique(begins)) > 0.9 * count:  # else there are few values, and chance
            found |= np.isin(ends, begins) & (ends != begins)
    return bool(found.mean() > 0.3)


def _is_periodic(pieces: Array) -> bool:
    """Whether pieces (B, T, I), one behind the other, repeat within T steps."""
    steps = pieces.shape[1]
    series = _looked_at(pieces.reshape(-1, pieces.shape[2]))
    return any(
        (series[period:] == series[:-period]).mean() > 0.95
        for period in range(1, min(steps, len(series) - 1) + 1)
    )


def _smooth_rows(rows: Array) -> bool:
    """Whether rows (N, W) are smooth, and stand in no order."""
    values = _standardised(_some(rows[:, None]))
    if len(values) < 2 * _FEWEST or values.shape[2] < _FEWEST:
        return False
    return _roughness(values, 2) < 0.3 and _roughness(values, 0) > 0.5


def _time_last(data: Dataset, given: Given) -> bool:
    """Whether the last axis of (B, T, I) behaves as time does, and the second as features do."""
    rows, steps, features = data.X.shape
    if rows < _FEWEST or features < max(_FEWEST, steps + 1):
        return False
    if not given.forecast and not given.classes and data.y.shape[-1] == features:
        return False  # the targets name the features
    some = _some(data.X)
    if len(some) < _FEWEST:
        return False
    values = _standardised(some)
    smooth = _roughness(values, 2)
    if steps == 1:
        return not given.forecast and (smooth < 0.6 or features >= 100)
    if _roughness(values, 1) < 0.8:
        return False
    if smooth < 0.9 and _differ_as_features(some):
        return True
    # features may be in an order too: a spectrum, the hours of a day
    return not given.forecast and smooth < 0.2 and features >= max(30, 10 * steps)


def _standardised(values: Array) -> Array:
    """Rows (B, T, I) by what they have at the same place."""
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


def _differ_as_features(values: Array) -> bool:
    """Whether level or spread differ between the steps of (B, T, I), and more than between I."""
    level, spread = values.mean(axis=0), values.std(axis=0)
    if not spread.any():
        return False
    parts = level / spread.mean(), np.log(np.maximum(spread, 1e-9 * spread.max()))
    steps, features = (max(part.mean(axis=axis).std() for part in parts) for axis in (1, 0))
    return bool(steps > max(0.1, features))

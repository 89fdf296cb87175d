"""Predictions of every step from a window of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from numlstm.model.continuation import Rows
from numlstm.utils import checks
from numlstm.utils.types import Array

_ROWS = 1024  # windows that are passed forward at once
_HELD = 2**22  # elements of them


class _Own:
    """That a keyword was left out: what the model remembers is meant."""

    def __repr__(self) -> str:
        return "<the model's>"


OWN: Any = _Own()


def asked_window(model: Any, window: Any) -> int | None:
    """The window of a prediction, the model's where nothing is said."""
    if window is OWN:
        own: int | None = model.window
        return own
    if window is not None:
        return checks.size("window", window)
    if model.window is not None and model.spec.bidirectional:
        raise ValueError(
            "window=None carries the state from step to step, and a bidirectional network, which "
            f"was trained on windows of {model.window} steps, reads each from its end too: leave "
            "window out"
        )
    return None


def of_every_step(outputs: Callable[[Rows], Array], window: int, width: int, rows: Rows) -> Array:
    """What `outputs` makes of windows as rows, (N, O), as (B, T, O) of these `rows`.

    It is that of the step in which a window ends, NaN where none does; `width` is O.
    """
    X, lengths, reset, static = rows
    batch, steps, features = X.shape
    most = max(1, min(_ROWS, _HELD // (window * features)))
    result = np.full((batch, steps, width), np.nan, X.dtype)
    for row in range(batch):
        count = (steps if lengths is None else int(lengths[row])) - window + 1
        for start in range(0, max(0, count), most):
            stop = min(start + most, count)
            part = Rows(
                _cut(X[row], window, start, stop),
                None,
                None if reset is None else _cut(reset[row], window, start, stop),
                None if static is None else np.repeat(static[row : row + 1], stop - start, axis=0),
            )
            result[row, start + window - 1 : stop + window - 1] = outputs(part)
    return result


def parts_of_windows(rows: Rows, window: int, ends: Array) -> Iterator[tuple[int, Array, Rows]]:
    """Windows that end at some steps, as rows: of which sequence, at which of `ends`, and they.

    Steps in which no window ends are left out.
    """
    X, lengths, reset, static = rows
    most = max(1, min(_ROWS, _HELD // (window * X.shape[2])))
    for row in range(len(X)):
        length = X.shape[1] if lengths is None else int(lengths[row])
        whole = np.flatnonzero((window - 1 <= ends) & (ends < length))
        for places in (whole[at : at + most] for at in range(0, len(whole), most)):
            steps = ends[places, None] - window + 1 + np.arange(window)
            flags = None if reset is None else reset[row][steps]
            own = None if static is None else np.repeat(static[row : row + 1], len(places), axis=0)
            yield row, places, Rows(X[row][steps], None, flags, own)


def last_steps(rows: Rows, window: int) -> Rows:
    """The last steps of all sequences."""
    X, lengths, reset, static = rows
    ends = np.full(len(X), X.shape[1]) if lengths is None else np.asarray(lengths)
    _require_window(int(ends.min()), window)
    steps = ends[:, None] - window + np.arange(window)
    own = np.arange(len(X))[:, None]
    return Rows(X[own, steps], None, None if reset is None else reset[own, steps], static)


def _require_window(steps: int, window: int) -> None:
    """Refuse to forecast from less than was learned from."""
    if steps < window:
        raise ValueError(
            f"this model was trained on windows of {window} steps, and forecasts from the last "
            f"{window} of X, which has {steps}"
        )


def _cut(series: Array, window: int, start: int, stop: int) -> Array:
    """Windows (n, window, ...) that begin at the steps from `start` to before `stop`."""
    part = series[start : stop + window - 1]
    views = np.lib.stride_tricks.sliding_window_view(part, window, axis=0)
    return np.ascontiguousarray(np.moveaxis(views, -1, 1))

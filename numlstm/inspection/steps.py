"""The steps of sequences that are explained, by number or by date, and what their outputs read."""

from typing import Any

import numpy as np

from numlstm.data import labels
from numlstm.data.labels import moments
from numlstm.model.continuation import Rows
from numlstm.model.lstm import LSTM
from numlstm.utils import checks
from numlstm.utils.types import Array


def ends_of(rows: Rows) -> Array:
    """Number of steps of every row, (B,)."""
    count = np.full(len(rows.X), rows.X.shape[1], np.int64)
    return count if rows.lengths is None else np.asarray(rows.lengths)


def explained_steps(model: LSTM, step: Any, rows: Rows, given: labels.Labelled) -> Array:
    """The step of every row that is explained, (B,)."""
    ends = ends_of(rows)
    if not (ends > 0).all():
        raise ValueError("a sequence of X has no step, and nothing to explain: leave it out")
    if step is None:
        return ends - 1
    steps = _numbers(step, ends, given)
    if ((steps < 0) | (steps >= ends)).any():
        row = int(np.argmax((steps < 0) | (steps >= ends)))
        raise ValueError(
            f"step must lie between {-ends[row]} and {ends[row] - 1} for a sequence of {ends[row]} "
            f"steps, received {checks.shown(step)}"
        )
    reads_all = model.spec.bidirectional and model.window is None and model.output == "last"
    if reads_all and (steps != ends - 1).any():
        raise ValueError(
            "this bidirectional model was trained on one output per sequence, which reads all of "
            "it: leave step= out, or cut X"
        )
    return steps


def _numbers(step: Any, ends: Array, given: labels.Labelled) -> Array:
    """Steps as numbers from the first one on, (B,)."""
    if np.ndim(step) == 1:  # whose labels would say of which series each is
        labels.companion(given, "step", step.notna() if hasattr(step, "notna") else step)
    if isinstance(step, np.ndarray) and step.ndim == 0:
        step = step[()]
    if moments.are_moments(step):
        return moments.steps_at("step", given, step, len(ends))
    steps = np.asarray(step)
    if steps.dtype.kind not in "iu" or steps.shape not in ((), (len(ends),)):
        raise ValueError(
            f"step must be an integer, or one for each of the {len(ends)} sequences, received "
            f"{checks.shown(step)}; where X has dates it may be one of them"
        )
    steps = np.broadcast_to(steps.astype(np.int64), ends.shape)
    return np.where(steps < 0, steps + ends, steps)


def read_range(model: LSTM, steps: Array, rows: Rows) -> tuple[Array, Array]:
    """(start, stop) of what the outputs of these steps read, (B,) each."""
    if model.window is not None:
        start = steps + 1 - model.window
        if (start < 0).any():
            raise ValueError(
                f"this model reads the {model.window} steps up to the one that it predicts for: "
                f"step must be at least {model.window - 1}, received {int(steps.min())}"
            )
        return start, steps + 1
    stop = ends_of(rows) if model.spec.bidirectional else steps + 1
    return np.zeros_like(steps), stop

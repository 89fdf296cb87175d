"""What a forecast reads, and what it is to give, step by step in plain Python."""

import numpy as np


def ahead_by_hand(X, y, future, horizon, reset=None):
    """Inputs, and targets (n, h O) with NaN where there are none, of the steps of a series.

    It has all steps that something follows, and of which all is known that is known ahead.
    """
    count = len(X) - 1
    if future is not None:
        count = min(count, len(future) - horizon)
    none = np.full(y.shape[1], np.nan, y.dtype)
    inputs, targets = [], []
    for t in range(count):
        later = range(t + 1, t + 1 + horizon)
        inputs.append(
            np.concatenate([X[t], *([] if future is None else future[t + 1 :][:horizon])])
        )
        broken = [reset is not None and reset[t + 1 : at + 1].any() for at in later]
        there = [at < len(X) and not gap for at, gap in zip(later, broken, strict=True)]
        targets.append([y[at] if ok else none for at, ok in zip(later, there, strict=True)])
    return np.array(inputs), np.array(targets).reshape(count, -1)

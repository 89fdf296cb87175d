"""Changes of targets from step to step, by which the forecast of the last value is judged."""

import numpy as np

from numlstm.utils.types import Array


def naive_changes(y: Array, there: Array, begins: Array | None = None) -> Array:
    """Sum and number of the changes from step to step, (2, O), of series (B, T, O).

    Between steps that are there, and that do not begin another sequence.
    """
    pairs = there[:, 1:] & there[:, :-1]
    if begins is not None:
        pairs &= ~begins[:, 1:]
    change = np.abs(np.diff(y.astype(np.float64), axis=1))
    axes = (0, 1)
    return np.stack([np.sum(change, axis=axes, where=pairs), pairs.sum(axis=axes)])
